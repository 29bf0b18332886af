package hostfw

import (
	"net/netip"
	"slices"
)

// decide says what a program does with one packet. It walks the rules the way that a kernel does
// and shares no matching with the evaluation of boxes of packets (evaluate.go), which the tests
// compare with it.
func (p *program) decide(packet Packet) Decision {
	if why := p.notCovered(packet.Source.Is4()); why != "" {
		return Decision{Unmodelled: why}
	}
	work := 0
	f := p.pass(packet, newRoute(), 0, fate{}, &work)
	return f.decision()
}

func (p *program) notCovered(v4 bool) string {
	if v4 {
		return p.notCovered4
	}
	return p.notCovered6
}

// pass takes a packet through the base chains from the given one on. Before says who accepted it
// so far.
func (p *program) pass(packet Packet, r route, from int, before fate, work *int) fate {
	for from < len(p.stages) && !r.passes(p.stages[from], packet.Source.Is4()) {
		from++
	}
	if from == len(p.stages) {
		return r.accepted(before)
	}
	s := p.stages[from]
	end, r := walk(s.chain, packet, r.seen(s), true, 0, work)
	ended, on := s.behind(end)
	if on.accept != "" {
		ended.add(p.pass(packet, r, from+1, on.named(before), work))
	}
	for _, n := range on.rewrites {
		if n.to.unknown {
			ended.add(lost(n.by))
			continue
		}
		for _, way := range r.ways(n, packet.Port) {
			ended.add(p.pass(packet, way, from+1, fate{}, work))
		}
	}
	return ended
}

// walk takes a packet through a chain, if that is certain to be reached. It returns what may
// happen, and the route behind the chain.
func walk(c *chain, packet Packet, r route, certain bool, depth int, work *int) (fate, route) {
	if depth > mostNested {
		return anything(tooNested), r
	}
	if *work += len(c.rules); *work > mostWork/100 {
		return anything(tooComplex), r
	}
	var f fate
	for i := range c.rules {
		rule := &c.rules[i]
		yes, doubt := rule.match.matches(packet, r)
		if !yes || rule.verdict == verdictContinue || !rule.fits(packet.Source.Is4()) {
			continue
		}
		sure := doubt == ""
		f.doubt(doubt)
		switch rule.verdict {
		case verdictUntrack:
			r = r.untracked(sure && certain && f.open())
		case verdictMaybeAny:
			f.doubt(rule.by)
			f.add(fate{accept: rule.by, drop: rule.by})
			if rule.to.unknown {
				f.rewrite(rewriting{rule.to, rule.by})
			}
		case verdictJump, verdictGoto:
			var inner fate
			inner, r = walk(rule.target, packet, r, sure && certain && f.open(), depth+1, work)
			comesBack := inner.returns
			if rule.verdict == verdictJump {
				inner.returns = false
			}
			f.add(inner)
			if sure && (rule.verdict == verdictGoto || !comesBack) {
				return f, r
			}
		default:
			if f.end(rule); sure {
				return f, r
			}
		}
	}
	f.returns = true
	return f, r
}

// matches reports whether a packet may match, and the expression that it hangs on, if any.
func (m *match) matches(p Packet, r route) (yes bool, doubt string) {
	port := p.Port
	if r.rewritten {
		port = r.to.port
	}
	if m.protocols != nil && !slices.Contains(m.protocols, p.Protocol) ||
		!m.sources.has(p.Source) || !m.sourcePorts.has(p.SourcePort) || !m.ports.has(port) || !m.interfaces.has(p.Interface) ||
		m.nothing ||
		m.profiles != nil && !slices.Contains(m.profiles, p.Profile) {
		return false, ""
	}
	destination, known := r.destination(p.Destination)
	yes, certain := r.translated(m.translated)
	if !yes {
		return false, ""
	}
	switch {
	case m.destinations == nil:
	case !known && m.destinations.some(p.Source.Is4()):
		if !m.destinations.whole(p.Source.Is4()) {
			doubt = "destination after redirect"
		}
	case !m.destinations.has(destination):
		return false, ""
	}
	if m.tracking != nil {
		in, out := false, false
		for t := range trackings {
			if r.tracking&(1<<t) != 0 {
				listed := slices.Contains(m.tracking, t)
				in, out = in || listed, out || !listed
			}
		}
		if !in {
			return false, ""
		}
		if out {
			keep(&doubt, "connection tracking after a doubtful notrack")
		}
	}
	if !certain {
		keep(&doubt, doubtfulNAT)
	}
	if m.unmodelled != "" {
		doubt = m.unmodelled
	}
	return true, doubt
}

func (s addrSet) has(a netip.Addr) bool {
	return s == nil || slices.ContainsFunc(s, func(r addrRange) bool { return r.First.Compare(a) <= 0 && a.Compare(r.Last) <= 0 })
}

// some reports whether an address of a version is in the set.
func (s addrSet) some(v4 bool) bool {
	return slices.ContainsFunc(s, func(r addrRange) bool { return r.First.Is4() == v4 })
}

// whole reports whether all addresses of a version are in the set.
func (s addrSet) whole(v4 bool) bool {
	all := wholes[1]
	if v4 {
		all = wholes[0]
	}
	return slices.Contains(s, all)
}

func (s portSet) has(p uint16) bool {
	return s == nil || slices.ContainsFunc(s, func(r PortRange) bool { return r.First <= p && p <= r.Last })
}
