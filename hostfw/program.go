package hostfw

import "net/netip"

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
	// nat chains are passed until one of them has rewritten the destination.
	nat bool
}

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
