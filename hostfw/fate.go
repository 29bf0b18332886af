package hostfw

import (
	"net/netip"
	"slices"
)

// mostNested bounds how deep chains may call each other. The kernel allows 16.
const mostNested = 32

const tooNested = "chains that call each other too deep"

// anything is the fate of packets that nobody can follow.
func anything(why string) fate {
	return fate{accept: why, drop: why, returns: true, unmodelled: why, rewrites: []rewriting{{to: rewrite{unknown: true}, by: why}}}
}

// lost is the fate of packets that have been rewritten in a way that is not modelled.
func lost(by string) fate { return fate{accept: by, drop: by, unmodelled: by} }

// unfiltered is who accepts what no base chain looks at.
const unfiltered = "no base chain"

// route is what has become of a packet on its way.
type route struct {
	// tracking holds the states that it may be in, one bit for each.
	tracking uint8
	// way is hookForward for a packet whose destination was rewritten to another host.
	way hook
	// rewritten is set once the destination has been; then to has what it is now. An address
	// that is not valid is one of this host's, whichever.
	rewritten bool
	to        rewrite
	// samePort is set if the port was not changed, so that the address may not have been either.
	samePort bool
	by       string // the rule that did it
}

func newRoute() route { return route{tracking: 1 << trackNone} }

// seen is the route at a base chain: past a certain point, connection tracking knows the packet.
func (r route) seen(s stage) route {
	if (s.hook != hookPrerouting || s.priority > trackingPriority) && r.tracking&(1<<trackNone) != 0 {
		r.tracking = r.tracking&^(1<<trackNone) | 1<<trackNew
	}
	return r
}

// untracked is the route after "notrack", which is certain to have happened or not.
func (r route) untracked(certain bool) route {
	if certain {
		r.tracking = 0
	}
	r.tracking |= 1 << trackUntracked
	return r
}

// ways are those that a packet may take after a destination NAT: an address may be this host's
// or another's, and an export does not tell which.
func (r route) ways(n rewriting, port uint16) []route {
	r.rewritten, r.by, r.to = true, n.by, n.to
	if r.to.port == 0 {
		r.to.port = port
	}
	r.samePort = r.to.port == port
	if !r.to.address.IsValid() {
		return []route{r}
	}
	away := r
	away.way = hookForward
	return []route{r, away}
}

// passes reports whether a packet on this route passes a base chain. Nobody translates what is
// not tracked.
func (r route) passes(s stage, v4 bool) bool {
	return (s.hook == hookPrerouting || s.hook == r.way) && !(s.nat && (r.rewritten || r.tracking == 1<<trackUntracked)) &&
		!(s.only4 && !v4 || s.only6 && v4)
}

// translated answers whether connection tracking says that the destination was rewritten, and
// whether that is certain: a rewriting that changes nothing does not count.
func (r route) translated(c condition) (yes, certain bool) {
	switch {
	case c == whichever:
		return true, true
	case r.rewritten && r.samePort:
		return true, false
	}
	return r.rewritten == (c == must), true
}

// doubtfulNAT is what a question about a rewriting hangs on that may have changed nothing.
const doubtfulNAT = "ct status dnat, after a destination NAT that keeps the port"

// fate is what may happen to a packet, each with the rule behind it. More than one possibility
// means that something unmodelled decides, of which the first is kept.
type fate struct {
	accept, drop, reject string
	implicit             bool // accept is nobody's but a policy's
	returns              bool // goes on behind the chain
	rewrites             []rewriting
	unmodelled           string
}

// rewriting is a destination NAT by a rule.
type rewriting struct {
	to rewrite
	by string
}

// open reports whether nothing can have happened yet.
func (f *fate) open() bool {
	return f.accept == "" && f.drop == "" && f.reject == "" && !f.returns && len(f.rewrites) == 0
}

// doubt keeps the first unmodelled expression.
func (f *fate) doubt(expression string) { keep(&f.unmodelled, expression) }

func keep(have *string, value string) {
	if *have == "" {
		*have = value
	}
}

// add is the union of possibilities.
func (f *fate) add(g fate) {
	if g.accept != "" && (f.accept == "" || f.implicit && !g.implicit) {
		f.accept, f.implicit = g.accept, g.implicit
	}
	keep(&f.drop, g.drop)
	keep(&f.reject, g.reject)
	f.returns = f.returns || g.returns
	for _, r := range g.rewrites {
		f.rewrite(r)
	}
	f.doubt(g.unmodelled)
}

func (f *fate) rewrite(r rewriting) {
	if !slices.ContainsFunc(f.rewrites, func(have rewriting) bool { return have.to == r.to }) {
		f.rewrites = append(f.rewrites[:len(f.rewrites):len(f.rewrites)], r)
	}
}

// end adds what a rule's verdict does if it ends the chain, and reports whether it does.
func (f *fate) end(r *rule) bool {
	switch r.verdict {
	case verdictAccept:
		f.add(fate{accept: r.by})
	case verdictDrop:
		keep(&f.drop, r.by)
	case verdictReject:
		keep(&f.reject, r.by)
	case verdictReturn:
		f.returns = true
	case verdictRewrite:
		f.rewrite(rewriting{r.to, r.by})
	default:
		return false
	}
	return true
}

// behind is what may happen once a base chain has ended, without going on to the next: the
// policy replaces the end of the chain, and what is accepted or rewritten goes on.
func (s stage) behind(f fate) (ended, goesOn fate) {
	if f.returns {
		if s.policy == verdictDrop {
			keep(&f.drop, s.by)
		} else {
			f.add(fate{accept: s.by, implicit: true})
		}
	}
	return fate{drop: f.drop, reject: f.reject, unmodelled: f.unmodelled},
		fate{accept: f.accept, implicit: f.implicit, rewrites: f.rewrites}
}

// accepted is the fate behind the last base chain. The name is that of the last rule that
// accepted, or else of the last policy.
func (r route) accepted(by fate) fate {
	keep(&by.accept, unfiltered)
	f := fate{accept: by.accept, implicit: by.implicit}
	if r.rewritten {
		f.accept = r.by + ", then " + f.accept
		if r.to.address.IsValid() {
			// The two ways of a packet have to agree, or the address is what it hangs on.
			f.unmodelled = "destination NAT to " + r.to.address.String() + ", which may be this host or another"
		}
	}
	return f
}

// named is the better name for who accepted: a rule rather than a policy, the later one.
func (f fate) named(before fate) fate {
	if f.implicit && before.accept != "" && !before.implicit {
		return before
	}
	return fate{accept: f.accept, implicit: f.implicit}
}

// decision is what a fate amounts to. Drop and reject together are Drop: the packet does not get
// in, and whether somebody says so depends.
func (f fate) decision() Decision {
	switch {
	case f.accept != "" && (f.drop != "" || f.reject != ""), f.accept == "" && f.drop == "" && f.reject == "":
		return Decision{Action: Unknown, By: f.accept, Unmodelled: f.unmodelled}
	case f.accept != "":
		return Decision{Action: Accept, By: f.accept}
	case f.drop != "":
		return Decision{Action: Drop, By: f.drop}
	}
	return Decision{Action: Reject, By: f.reject}
}

// destination is where a packet goes by now: where it was sent to from outside, or what a
// destination NAT chose. A redirect chooses an address of this host that nobody knows.
func (r route) destination(original netip.Addr) (addr netip.Addr, known bool) {
	if !r.rewritten {
		return original, true
	}
	return r.to.address, r.to.address.IsValid()
}
