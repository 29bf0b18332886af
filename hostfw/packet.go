package hostfw

import (
	"net/netip"

	"github.com/connsec/connsec/internal/setting"
)

// Protocol is what carries a port.
type Protocol uint8

// The protocols that are evaluated.
const (
	TCP Protocol = iota
	UDP
)

var protocols = setting.Enum[Protocol]{Package: "hostfw", Kind: "protocol", Names: []string{"tcp", "udp"}}

// String returns the name as it stands in JSON.
func (p Protocol) String() string { return protocols.Name(p) }

// MarshalText writes the name.
func (p Protocol) MarshalText() ([]byte, error) { return protocols.Encode(p) }

// UnmarshalText accepts the names.
func (p *Protocol) UnmarshalText(text []byte) error { return protocols.Decode(text, p) }

// Packet is the first packet of a connection to this host, from outside: no connection tracking
// knows it yet.
type Packet struct {
	Protocol    Protocol
	Source      netip.Addr
	SourcePort  uint16 // an ephemeral one
	Destination netip.Addr
	Port        uint16
	Interface   string // that it comes in through; "" is one that no rule names
	Profile     string // of Windows: "Domain", "Private", "Public"; "" elsewhere
}

// Action is what happens to a packet.
type Action uint8

const (
	// Unknown: an expression that is not modelled stands in the way of an answer.
	Unknown Action = iota
	// Accept: it reaches the host's services.
	Accept
	// Drop: no answer.
	Drop
	// Reject: an answer that says no.
	Reject
)

var actions = setting.Enum[Action]{Package: "hostfw", Kind: "action", Names: []string{"unknown", "accept", "drop", "reject"}}

// String returns the name as it stands in JSON.
func (a Action) String() string { return actions.Name(a) }

// MarshalText writes the name.
func (a Action) MarshalText() ([]byte, error) { return actions.Encode(a) }

// UnmarshalText accepts the names.
func (a *Action) UnmarshalText(text []byte) error { return actions.Decode(text, a) }

// Decision is what a rule set does with one packet, and why.
type Decision struct {
	Action Action
	// By names the rule or policy that decided: "inet filter input rule 7", "default of profile
	// Public".
	By string
	// Unmodelled is the expression behind Unknown, as it stands in the export.
	Unmodelled string
}

// Ruleset is a parsed export. Make one with [Parse].
type Ruleset struct {
	// Target is what findings are about: the host or file that the export came from.
	Target string
	// Kind is the format: "nftables", "iptables", "windows-json", "windows-netsh".
	Kind string

	program *program
}

// Decide says what happens to one packet.
func (r Ruleset) Decide(p Packet) Decision { return r.program.decide(p) }
