package hostfw

import (
	"cmp"
	"net/netip"
	"slices"
)

// A rule set of every kind is brought into one form, a program: base chains that a packet passes
// one after the other, whose rules match boxes of packets and give verdicts. One evaluator then
// serves all kinds (evaluate.go), and the semantics of a kind are those of its compiler.

// program is a rule set.
type program struct {
	// stages are the base chains in the order that a packet passes them. Without any, nothing is
	// filtered.
	stages []stage
	// notCovered says why an IP version is not covered by the export, for exports of one version
	// only: "iptables-save shows IPv4 only". Packets of that version are Unknown.
	notCovered4, notCovered6 string
	// legacy is set for an export that shows the rules of iptables-legacy, and so nothing of what
	// nft shows beside them.
	legacy bool
}

// hook is where a base chain stands on a packet's way.
type hook uint8

const (
	hookInput      hook = iota // for this host
	hookPrerouting             // before it is known who a packet is for
	hookForward                // for another host, after a destination NAT
)

// stage is a base chain.
type stage struct {
	hook hook
	// priority orders the base chains of one hook, the lowest first.
	priority int
	// only4 and only6 are for chains that one IP version never sees.
	only4, only6 bool
	chain        *chain
	// policy is the verdict at the end of the chain: verdictAccept or verdictDrop.
	policy verdict
	// by names the policy: "policy of inet filter input", "default of profile Public". A program
	// whose default depends on the profile ends its chain with one rule for each.
	by string
	// compat marks a base chain that iptables-nft made and nft cannot show in full.
	compat bool
	// nat chains are passed until one of them has rewritten the destination. All of them stand at
	// natPriority, whatever theirs is, which orders them among each other.
	nat   bool
	among int
}

// natPriority is where the kernel passes all chains that may rewrite destinations
// (NF_IP_PRI_NAT_DST, nf_nat_register_fn).
const natPriority = -100

// chain is a list of rules; the first whose verdict ends the chain decides.
type chain struct {
	name  string
	rules []rule
}

// verdict is what a rule does with a packet that it matches.
type verdict uint8

const (
	verdictContinue verdict = iota // nothing: on to the next rule
	verdictAccept                  // on to the next stage; after the last one, in
	verdictDrop
	verdictReject
	verdictJump     // to target, and back at its end
	verdictGoto     // to target, and not back
	verdictReturn   // to the caller; in a base chain, the policy
	verdictRewrite  // destination NAT to rule.to: on to the next stage
	verdictUntrack  // connection tracking never sees it: on to the next rule
	verdictMaybeAny // not modelled, and by says what: may accept, drop, or go on
)

// rule is a match with a verdict.
type rule struct {
	match   match
	verdict verdict
	target  *chain  // of jump and goto
	to      rewrite // of rewrite
	by      string  // names the rule in decisions: "inet filter input rule 7 (handle 12)"
	// beyond is what the usual first packet does not fulfil, though the match says so. Such a jump
	// waits for its chain to be complete (program.settle).
	beyond string
}

// match is what a rule asks of a packet: all of it together. A nil set asks nothing, and an empty
// one that is not nil is never fulfilled. What a format says twice is intersected, and what it
// negates is a complement.
type match struct {
	protocols    []Protocol
	sources      addrSet
	sourcePorts  portSet
	destinations addrSet
	ports        portSet
	interfaces   *nameSet
	profiles     []string // of Windows
	// tracking is what connection tracking says of the packet; nil: anything.
	tracking []tracking
	// translated asks whether the destination has been rewritten.
	translated condition
	// nothing is set where no packet of ours can match, such as an ICMP type.
	nothing bool
	// unmodelled is an expression, as it stands in the export, that may hold or not. With one,
	// the rule may match where all the rest does. Two are joined with "; ".
	unmodelled string
}

// tracking is the state of a connection's first packet.
type tracking uint8

const (
	trackNew       tracking = iota
	trackUntracked          // told to look away
	trackNone               // has not seen it yet: before priority -200 of hookPrerouting
	trackings               // how many there are
)

// trackingPriority is where connection tracking stands at hookPrerouting (NF_IP_PRI_CONNTRACK).
const trackingPriority = -200

// condition is a question that a rule may ask.
type condition uint8

const (
	whichever condition = iota
	must
	mustNot
)

// rewrite is a destination NAT. Zero fields keep what is there.
type rewrite struct {
	// local: to an address of this host, whichever (redirect).
	local bool
	// address may be this host's or another's; nobody can tell from an export.
	address netip.Addr
	port    uint16
	// unknown: nobody can tell what is rewritten, so that all later rules may match or not.
	unknown bool
}

// fits reports whether a rule can do what it does to a packet of a version: a destination NAT
// stays within one.
func (r *rule) fits(v4 bool) bool { return !r.to.address.IsValid() || r.to.address.Is4() == v4 }

// never reports whether a match cannot be fulfilled.
func (m *match) never() bool {
	return m.nothing || m.protocols != nil && len(m.protocols) == 0 || m.sources != nil && len(m.sources) == 0 ||
		m.sourcePorts != nil && len(m.sourcePorts) == 0 || m.destinations != nil && len(m.destinations) == 0 ||
		m.ports != nil && len(m.ports) == 0 || m.profiles != nil && len(m.profiles) == 0 || m.tracking != nil && len(m.tracking) == 0
}

// and is what two matches ask together.
func (m match) and(o match) match {
	if o.protocols != nil {
		if m.protocols == nil {
			m.protocols = o.protocols
		} else {
			m.protocols = common(m.protocols, o.protocols)
		}
	}
	if o.tracking != nil {
		if m.tracking == nil {
			m.tracking = o.tracking
		} else {
			m.tracking = common(m.tracking, o.tracking)
		}
	}
	if o.profiles != nil {
		if m.profiles == nil {
			m.profiles = o.profiles
		} else {
			m.profiles = common(m.profiles, o.profiles)
		}
	}
	m.sources, m.destinations = m.sources.and(o.sources), m.destinations.and(o.destinations)
	m.ports, m.sourcePorts = m.ports.and(o.ports), m.sourcePorts.and(o.sourcePorts)
	m.interfaces = m.interfaces.and(o.interfaces)
	if o.translated != whichever {
		m.nothing = m.nothing || m.translated != whichever && m.translated != o.translated
		m.translated = o.translated
	}
	m.nothing = m.nothing || o.nothing
	if o.unmodelled != "" {
		m.unmodelled = also(m.unmodelled, o.unmodelled)
	}
	return m
}

// common is what is in both lists, never nil.
func common[T comparable](a, b []T) []T {
	out := []T{}
	for _, v := range a {
		if slices.Contains(b, v) {
			out = append(out, v)
		}
	}
	return out
}

func also(have, expression string) string {
	if have == "" || have == expression {
		return expression
	}
	return have + "; " + expression
}

// minus is what alternatives hold without what a match holds. It fails, with nil, for matches
// that have no complement here.
func minus(from []match, m match) []match {
	if m.unmodelled != "" || m.translated != whichever || m.nothing || m.profiles != nil || m.interfaces != nil && m.interfaces.also != nil {
		return nil
	}
	out := []match{}
	for _, a := range from {
		rest := func(part match) {
			if part = a.and(part); !part.never() {
				out = append(out, part)
			}
		}
		if m.protocols != nil {
			others := []Protocol{}
			for _, p := range []Protocol{TCP, UDP} {
				if !slices.Contains(m.protocols, p) {
					others = append(others, p)
				}
			}
			rest(match{protocols: others})
			a = a.and(match{protocols: m.protocols})
		}
		if m.ports != nil {
			rest(match{ports: m.ports.complement()})
			a = a.and(match{ports: m.ports})
		}
		if m.sourcePorts != nil {
			rest(match{sourcePorts: m.sourcePorts.complement()})
			a = a.and(match{sourcePorts: m.sourcePorts})
		}
		if m.sources != nil {
			rest(match{sources: m.sources.complement()})
			a = a.and(match{sources: m.sources})
		}
		if m.destinations != nil {
			rest(match{destinations: m.destinations.complement()})
			a = a.and(match{destinations: m.destinations})
		}
		if m.interfaces != nil {
			others := *m.interfaces
			others.not = !others.not
			rest(match{interfaces: &others})
			a = a.and(match{interfaces: m.interfaces})
		}
		if m.tracking != nil {
			others := []tracking{}
			for t := range trackings {
				if !slices.Contains(m.tracking, t) {
					others = append(others, t)
				}
			}
			rest(match{tracking: others})
			a = a.and(match{tracking: m.tracking})
		}
	}
	return out
}

// orderStages puts base chains in the order that a packet passes them. Those that this does not
// tell apart stay as they are.
func orderStages(stages []stage) {
	place := [...]int{hookPrerouting: 0, hookInput: 1, hookForward: 2}
	slices.SortStableFunc(stages, func(a, b stage) int {
		return cmp.Or(cmp.Compare(place[a.hook], place[b.hook]), cmp.Compare(a.priority, b.priority), cmp.Compare(a.among, b.among))
	})
}

// guarded is a base chain that only some packets pass.
func (s stage) guarded(m match) stage {
	inner := s.chain
	s.chain = &chain{name: inner.name, rules: []rule{{match: m, verdict: verdictJump, target: inner, by: inner.name}}}
	if s.policy == verdictDrop {
		s.chain.rules = append(s.chain.rules, rule{match: m, verdict: verdictDrop, by: s.by})
		s.policy = verdictAccept
	}
	return s
}

// doubtful is a base chain of which nobody can tell whether the packets of a match pass it. All
// others do.
func (s stage) doubtful(m match) stage {
	out := s.guarded(m)
	if m.sources != nil {
		others := s.guarded(match{sources: m.sources.complement()})
		out.chain.rules = append(out.chain.rules, others.chain.rules...)
	}
	return out
}

// unusual says how a verdict stands that not every first packet gets. Who wants in sends whichever
// packet gets in: that the usual one is accepted is enough, and that another is kept out does not
// matter. All else is in doubt. Early says that it stands in prerouting, where accepting is not the
// last word.
func unusual(v verdict, below, beyond string, early bool) (doubt string, never bool) {
	switch {
	case beyond != "":
		return beyond, v == verdictDrop || v == verdictReject
	case v == verdictAccept && !early:
		return "", false
	}
	return below, false
}

// settle decides jumps that the usual first packet does not make: nothing is lost without one to
// a chain that lets nothing in. A program must have no circle.
func (p *program) settle() {
	seen, keeps := map[*chain]bool{}, map[*chain]bool{}
	var visit func(*chain) bool
	visit = func(c *chain) bool {
		if seen[c] {
			return keeps[c]
		}
		seen[c] = true
		all := true
		for i := range c.rules {
			r := &c.rules[i]
			ok := slices.Contains([]verdict{verdictContinue, verdictDrop, verdictReject, verdictReturn}, r.verdict)
			if r.target != nil {
				ok = visit(r.target) && r.verdict == verdictJump
			}
			if r.beyond != "" {
				r.match.nothing = r.match.nothing || ok
				r.match.unmodelled = also(r.match.unmodelled, r.beyond)
				r.beyond = ""
			}
			all = all && (ok || r.match.nothing)
		}
		keeps[c] = all
		return all
	}
	for _, s := range p.stages {
		visit(s.chain)
	}
}

// circle names a chain that calls itself, perhaps by way of others. No kernel takes such rules.
func (p *program) circle() (name string, is bool) {
	const inside, done = 1, 2
	state := map[*chain]int{}
	var visit func(*chain) bool
	visit = func(c *chain) bool {
		switch {
		case c == nil || state[c] == done:
			return false
		case state[c] == inside:
			name = c.name
			return true
		}
		state[c] = inside
		for i := range c.rules {
			if visit(c.rules[i].target) {
				return true
			}
		}
		state[c] = done
		return false
	}
	for _, s := range p.stages {
		if visit(s.chain) {
			return name, true
		}
	}
	return "", false
}
