package hostfw

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
)

// mostWork bounds an evaluation, in pairs of a rule and a box: some seconds. What is left then is
// Unknown.
const mostWork = 300_000_000

const tooComplex = "the rule set as a whole: it is too complex to evaluate"

// otherInterface is the one that no rule names.
const otherInterface = "other"

// cell is a box of packets that share their fate.
type cell struct {
	box  box
	fate fate
}

// evaluation takes all packets of one IP version through a program.
type evaluation struct {
	program    *program
	v4         bool
	interfaces []string // one name for each that rules tell apart, and one that none names
	profiles   []string
	chains     map[*chain]*compiled
	work       int
}

// compiled is a chain in the terms of boxes of one version, without the rules that cannot match
// or do nothing.
type compiled struct{ rules []compiledRule }

type compiledRule struct {
	cut
	*rule
	target *compiled
}

var (
	// notOutside are addresses that no packet from outside comes from (RFC 1122 §3.2.1.3, RFC
	// 4291 §2.5.3).
	notOutside = addressesOf(netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"))
	// notUnicast are those that are no address of one host that others can reach.
	notUnicast = addressesOf(netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"),
		netip.MustParsePrefix("224.0.0.0/4"), netip.MustParsePrefix("255.255.255.255/32"), netip.MustParsePrefix("ff00::/8"))
)

// cells divides all packets of one version into boxes with their fates: from outside, that is
// not through the loopback interface, and to one host.
func (p *program) cells(v4 bool) ([]cell, *evaluation) {
	e := &evaluation{program: p, v4: v4, chains: map[*chain]*compiled{}}
	e.tellApart()
	all := box{
		protocols: 1<<TCP | 1<<UDP, ports: portSpans(portSet{{0, 65535}}), origin: portSpans(portSet{{0, 65535}}),
		src: subtract(everything(v4), addrSpans(notOutside, v4)), dst: subtract(everything(v4), addrSpans(notUnicast, v4)), route: newRoute(),
		interfaces: newNames(len(e.interfaces), func(i int) bool { return e.interfaces[i] != "lo" }),
		profiles:   newNames(len(e.profiles), func(int) bool { return true }),
	}
	if why := p.notCovered(v4); why != "" {
		return []cell{{all, fate{unmodelled: why}}}, e
	}
	return e.pass(all, 0, fate{}), e
}

// tellApart finds the interfaces and profiles that rules name.
func (e *evaluation) tellApart() {
	interfaces, profiles := map[string]bool{otherInterface: true}, map[string]bool{}
	seen := map[*chain]bool{}
	var visit func(*chain)
	visit = func(c *chain) {
		if c == nil || seen[c] {
			return
		}
		seen[c] = true
		for i := range c.rules {
			for set := c.rules[i].match.interfaces; set != nil; set = set.also {
				for _, n := range set.names {
					interfaces[n] = true // "eth*" stands for one that no rule names in full
				}
			}
			for _, n := range c.rules[i].match.profiles {
				profiles[n] = true
			}
			visit(c.rules[i].target)
		}
	}
	for _, s := range e.program.stages {
		visit(s.chain)
	}
	if len(profiles) == 0 {
		profiles[""] = true
	}
	e.interfaces, e.profiles = slices.Sorted(maps.Keys(interfaces)), slices.Sorted(maps.Keys(profiles))
}

// compile brings a chain into the terms of boxes.
func (e *evaluation) compile(c *chain) *compiled {
	if done, ok := e.chains[c]; ok {
		return done
	}
	out := &compiled{rules: make([]compiledRule, 0, len(c.rules))}
	e.chains[c] = out // before its rules, which may lead back here
	for i := range c.rules {
		r := &c.rules[i]
		if r.verdict == verdictContinue || r.match.never() || !r.fits(e.v4) {
			continue
		}
		k := e.cut(&r.match)
		if k.protocols == 0 || k.src != nil && len(k.src) == 0 || k.dst != nil && len(k.dst) == 0 {
			continue
		}
		compiled := compiledRule{cut: k, rule: r}
		if r.target != nil {
			compiled.target = e.compile(r.target)
		}
		out.rules = append(out.rules, compiled)
	}
	return out
}

func (e *evaluation) cut(m *match) cut {
	k := cut{
		protocols: 1<<TCP | 1<<UDP, ports: portSpans(m.ports), origin: portSpans(m.sourcePorts),
		src: addrSpans(m.sources, e.v4), dst: addrSpans(m.destinations, e.v4), tracking: 1<<trackings - 1,
		translated: m.translated, unmodelled: m.unmodelled,
	}
	if m.protocols != nil {
		k.protocols = 0
		for _, p := range m.protocols {
			k.protocols |= 1 << p
		}
	}
	if m.tracking != nil {
		k.tracking = 0
		for _, t := range m.tracking {
			k.tracking |= 1 << t
		}
	}
	if m.interfaces != nil {
		k.interfaces = newNames(len(e.interfaces), func(i int) bool { return m.interfaces.has(e.interfaces[i]) })
	}
	if m.profiles != nil {
		k.profiles = newNames(len(e.profiles), func(i int) bool { return slices.Contains(m.profiles, e.profiles[i]) })
	}
	return k
}

// pass takes a box through the base chains from the given one on, as program.pass does a packet.
func (e *evaluation) pass(b box, from int, before fate) []cell {
	stages := e.program.stages
	for from < len(stages) && !b.route.passes(stages[from], e.v4) {
		from++
	}
	if from == len(stages) {
		return []cell{{b.settled(), b.route.accepted(before)}}
	}
	s := stages[from]
	b.route = b.route.seen(s)
	var out []cell
	for _, end := range e.walk(e.compile(s.chain), b, true, 0) {
		ended, on := s.behind(end.fate)
		parts := []cell{{end.box.settled(), ended}}
		if on.accept != "" {
			parts = refine(parts, e.pass(end.box, from+1, on.named(before)))
		}
		for _, n := range on.rewrites {
			if n.to.unknown {
				for i := range parts {
					parts[i].fate.add(lost(n.by))
				}
				continue
			}
			parts = e.rewritten(parts, end.box, n, from+1)
		}
		out = append(out, parts...)
	}
	return merged(out)
}

// rewritten adds what happens to a box after a destination NAT. One that keeps the port has to
// go on port by port, since the port of a rewritten box is one number.
func (e *evaluation) rewritten(parts []cell, b box, n rewriting, from int) []cell {
	var to []cell
	if n.to.port != 0 {
		// The port itself goes apart, since for it nothing changes.
		same := cut{protocols: b.protocols, ports: one(n.to.port), tracking: 1<<trackings - 1}
		original := b
		original.route.rewritten = false
		if same.meets(&original) {
			hit, rest := same.divide(original, nil)
			hit.route = b.route
			to = e.onWays(hit, n, n.to.port, from)
			for _, r := range rest {
				r.route = b.route
				to = append(to, e.onWays(r, n, uint16(r.ports[0].lo.lo), from)...)
			}
		} else {
			to = e.onWays(b, n, uint16(b.ports[0].lo.lo), from)
		}
	} else {
		for _, s := range b.ports {
			for p := s.lo.lo; p <= s.hi.lo; p++ {
				one := b
				one.ports = []span{{u128{0, p}, u128{0, p}}}
				to = append(to, e.onWays(one, n, uint16(p), from)...)
			}
		}
		to = merged(to)
	}
	return refine(parts, to)
}

func (e *evaluation) onWays(b box, n rewriting, port uint16, from int) []cell {
	parts := []cell{{box: b.settled()}}
	for _, way := range b.route.ways(n, port) {
		on := b
		on.route = way
		parts = refine(parts, e.pass(on, from, fate{}))
	}
	return parts
}

// settled is a box whose packets have arrived, so that their routes no longer tell them apart.
func (b box) settled() box {
	b.route = newRoute()
	return b
}

// refine cuts the boxes of two divisions of one box by each other, and adds up the fates.
func refine(a, b []cell) []cell {
	if len(a) == 1 {
		for i := range b {
			f := a[0].fate
			f.add(b[i].fate)
			b[i].fate = f
		}
		return b
	}
	var out []cell
	for _, x := range a {
		for _, y := range b {
			k := cut{protocols: y.box.protocols, ports: y.box.ports, origin: y.box.origin, src: y.box.src, dst: y.box.dst,
				interfaces: y.box.interfaces, profiles: y.box.profiles, tracking: 1<<trackings - 1}
			if !k.meets(&x.box) {
				continue
			}
			hit, _ := k.divide(x.box, nil)
			f := x.fate
			f.add(y.fate)
			out = append(out, cell{hit, f})
		}
	}
	return out
}

// walk takes a box through a chain, as the function of the same name does a packet.
func (e *evaluation) walk(c *compiled, whole box, certain bool, depth int) []cell {
	if depth > mostNested {
		return []cell{{whole, anything(tooNested)}}
	}
	live := []cell{{box: whole}}
	reaches := []reach{whole.reach()} // of live, apart, since most rules pass most boxes by
	var done []cell
	var rest []box
	for i := range c.rules {
		r := &c.rules[i]
		e.work += len(live)
		if e.work > mostWork {
			for _, l := range live {
				l.fate.add(anything(tooComplex))
				done = append(done, l)
			}
			return done
		}
		want := r.reach()
		for j, n := 0, len(live); j < n; j++ {
			if reaches[j].last < want.first || want.last < reaches[j].first || !r.meets(&live[j].box) {
				continue
			}
			l := live[j]
			var hit box
			hit, rest = r.divide(l.box, rest[:0])
			var on []cell
			on, done = e.apply(r, cell{hit, l.fate}, certain, depth, done)
			// What goes on takes the place of the box that was cut.
			for _, b := range rest {
				on = append(on, cell{b, l.fate})
			}
			if len(on) == 0 {
				n--
				last := len(live) - 1
				live[j], live[n], live = live[n], live[last], live[:last]
				reaches[j], reaches[n], reaches = reaches[n], reaches[last], reaches[:last]
				j--
				continue
			}
			live[j], reaches[j] = on[0], on[0].box.reach()
			for k := range on[1:] {
				live = append(live, on[k+1])
				reaches = append(reaches, on[k+1].box.reach())
			}
		}
	}
	for _, l := range live {
		l.fate.returns = true
		done = append(done, l)
	}
	return done
}

// apply gives a rule's verdict to a box that matches or may match. It returns what goes on to the
// next rule, and appends what does not to done.
func (e *evaluation) apply(r *compiledRule, hit cell, certain bool, depth int, done []cell) (on, _ []cell) {
	doubt := r.doubt(&hit.box, e.v4)
	sure := doubt == ""
	hit.fate.doubt(doubt)
	switch r.verdict {
	case verdictUntrack:
		hit.box.route = hit.box.route.untracked(sure && certain && hit.fate.open())
		return []cell{hit}, done
	case verdictMaybeAny:
		hit.fate.doubt(r.by)
		hit.fate.add(fate{accept: r.by, drop: r.by})
		if r.to.unknown {
			hit.fate.rewrite(rewriting{r.to, r.by})
		}
		return []cell{hit}, done
	case verdictJump, verdictGoto:
		for _, inner := range merged(e.walk(r.target, hit.box, sure && certain && hit.fate.open(), depth+1)) {
			comesBack := inner.fate.returns
			if r.verdict == verdictJump {
				inner.fate.returns = false
			}
			f := hit.fate
			f.add(inner.fate)
			inner.fate = f
			if sure && (r.verdict == verdictGoto || !comesBack) {
				done = append(done, inner)
			} else {
				on = append(on, inner)
			}
		}
		return on, done
	}
	if hit.fate.end(r.rule); sure {
		return nil, append(done, hit)
	}
	return []cell{hit}, done
}

// merged joins boxes of one fate that differ in one dimension only, until there are none left.
func merged(cells []cell) []cell {
	for round := 0; len(cells) > 1; round++ {
		before := len(cells)
		for d := range dimensions {
			cells = mergedIn(cells, d)
		}
		if len(cells) == before {
			break
		}
	}
	return cells
}

// dimensions of a box.
const dimensions = 7

// mergedIn joins boxes of one fate that differ in one given dimension only.
func mergedIn(cells []cell, d int) []cell {
	if len(cells) < 2 {
		return cells
	}
	first := make(map[string]int, len(cells))
	// What joins a box is joined at once in the end: one by one takes the square of the time.
	var more map[int][]span
	out := cells[:0]
	var key []byte
	for _, c := range cells {
		key = c.key(key[:0], d)
		i, seen := first[string(key)]
		if !seen {
			first[string(key)] = len(out)
			out = append(out, c)
			continue
		}
		b := &out[i].box
		switch d {
		case 0:
			b.protocols |= c.box.protocols
		case 1, 2, 3, 4:
			if more == nil {
				more = map[int][]span{}
			}
			more[i] = append(more[i], *c.box.spans(d)...)
		case 5:
			b.interfaces = b.interfaces.combine(c.box.interfaces, either)
		case 6:
			b.profiles = b.profiles.combine(c.box.profiles, either)
		}
	}
	for i, spans := range more {
		to := out[i].box.spans(d)
		*to = join(*to, spans)
	}
	return out
}

// spans are the ranges of a dimension, from 1 to 4.
func (b *box) spans(d int) *[]span {
	return [...]*[]span{1: &b.ports, 2: &b.origin, 3: &b.src, 4: &b.dst}[d]
}

// key writes everything of a cell but one dimension.
func (c *cell) key(to []byte, except int) []byte {
	b := &c.box
	if except != 0 {
		to = append(to, b.protocols)
	}
	for d, spans := range [][]span{1: b.ports, 2: b.origin, 3: b.src, 4: b.dst} {
		if d == except || d == 0 {
			continue
		}
		to = append(to, byte(len(spans)), byte(len(spans)>>8), byte(len(spans)>>16))
		for _, s := range spans {
			for _, n := range [...]uint64{s.lo.hi, s.lo.lo, s.hi.hi, s.hi.lo} {
				to = append(to, byte(n), byte(n>>8), byte(n>>16), byte(n>>24), byte(n>>32), byte(n>>40), byte(n>>48), byte(n>>56))
			}
		}
	}
	for d, n := range [][]uint64{5: b.interfaces, 6: b.profiles} {
		if d == except || d < 5 {
			continue
		}
		for _, w := range n {
			to = fmt.Appendf(to, "%x,", w)
		}
	}
	r := &b.route
	to = fmt.Appendf(to, "|%d %d %t %t %v %d %s", r.tracking, r.way, r.rewritten, r.samePort, r.to.address, r.to.port, r.by)
	f := &c.fate
	to = append(to, '|')
	for _, s := range [...]string{f.accept, f.drop, f.reject, f.unmodelled} {
		to = append(append(to, s...), 0)
	}
	to = fmt.Appendf(to, "%t %t", f.implicit, f.returns)
	for _, w := range f.rewrites {
		to = fmt.Appendf(to, " %v %d %s", w.to.address, w.to.port, w.by)
	}
	return to
}

// prefixes is the shortest list of prefixes with exactly these addresses.
func prefixes(set []span, v4 bool) []netip.Prefix {
	width := 128
	if v4 {
		width = 32
	}
	var out []netip.Prefix
	for _, s := range set {
		for lo := s.lo; !s.hi.less(lo); {
			// The largest block that begins here and does not go beyond the end.
			bits := width
			for bits > 0 {
				end, aligned := block(lo, width-bits+1)
				if !aligned || s.hi.less(end) {
					break
				}
				bits--
			}
			out = append(out, netip.PrefixFrom(address(lo, v4), bits))
			end, _ := block(lo, width-bits)
			if end == s.hi {
				break
			}
			lo = end.next()
		}
	}
	return out
}

// block returns the last number of the block of 2^size numbers that begins at lo, if one can.
func block(lo u128, size int) (end u128, aligned bool) {
	mask := u128{}
	switch {
	case size >= 128:
		mask = u128{^uint64(0), ^uint64(0)}
	case size > 64:
		mask = u128{1<<(size-64) - 1, ^uint64(0)}
	case size == 64:
		mask = u128{0, ^uint64(0)}
	default:
		mask = u128{0, 1<<size - 1}
	}
	return u128{lo.hi | mask.hi, lo.lo | mask.lo}, lo.hi&mask.hi == 0 && lo.lo&mask.lo == 0
}
