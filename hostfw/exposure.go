package hostfw

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Exposure is packets from outside that get in, or may.
type Exposure struct {
	// Action is Accept or Unknown. What is kept out is in no exposure.
	Action   Action    `json:"action"`
	Protocol Protocol  `json:"protocol"`
	Ports    PortRange `json:"ports"`
	// Sources are who may send them, of one IP version or of both, without those in Except.
	Sources []netip.Prefix `json:"sources"`
	Except  []netip.Prefix `json:"except,omitempty"`
	// SourcePorts is not empty for packets that have to come from certain ports, which their
	// sender chooses.
	SourcePorts []PortRange `json:"source_ports,omitempty"`
	// Destinations are addresses of this host, if only some will do. Nobody can tell from an
	// export whether they are this host's.
	Destinations []netip.Prefix `json:"destinations,omitempty"`
	// Interfaces and Profiles are where they have to come in, if only some will do: names, and
	// patterns such as "eth*" or "* except eth0, wg*".
	Interfaces []string `json:"interfaces,omitempty"`
	Profiles   []string `json:"profiles,omitempty"`
	// By is the rule or policy that lets them in.
	By string `json:"by,omitempty"`
	// Unmodelled is the expression that an Unknown hangs on.
	Unmodelled string `json:"unmodelled,omitempty"`

	v4, v6  []span // the sources
	through names  // the interfaces, as Evaluation.interfaces has them
}

// Evaluation is everything that may come in, ordered by protocol and port.
type Evaluation struct {
	Target    string     `json:"target"`
	Kind      string     `json:"kind"`
	Exposures []Exposure `json:"exposures"`

	profiles   []string
	interfaces []string // that rules tell apart, and one that none names; also loopback
	// unfiltered holds the sides in which nothing at all is kept out.
	unfiltered map[side]bool
	covered    map[bool]bool // by IP version: the export says something about it
}

// side is packets of one IP version and one profile.
type side struct {
	v4      bool
	profile string
}

// MarshalJSON writes an empty list of exposures as a list.
func (e Evaluation) MarshalJSON() ([]byte, error) {
	type plain Evaluation
	if e.Exposures == nil {
		e.Exposures = []Exposure{}
	}
	return json.Marshal(plain(e))
}

// Evaluate finds all packets that begin a connection from outside and get in, or may. It is exact
// but for expressions that are not modelled, whose packets are Unknown where the expression
// matters.
func (r Ruleset) Evaluate() Evaluation {
	e := Evaluation{Target: r.Target, Kind: r.Kind, unfiltered: map[side]bool{}, covered: map[bool]bool{}}
	var all []Exposure
	for _, v4 := range []bool{true, false} {
		cells, run := r.program.cells(v4)
		e.profiles, e.interfaces = run.profiles, run.interfaces
		e.covered[v4] = r.program.notCovered(v4) == ""
		for _, p := range run.profiles {
			e.unfiltered[side{v4, p}] = true
		}
		shown := cells[:0:0]
		for _, c := range cells {
			d := c.fate.decision()
			if d.Action != Accept {
				for i, p := range run.profiles {
					if c.box.profiles.has(i) {
						delete(e.unfiltered, side{v4, p})
					}
				}
			}
			if d.Action == Drop || d.Action == Reject {
				continue
			}
			// Cells with one decision belong together, whatever else might have happened.
			c.fate = fate{accept: d.By, unmodelled: d.Unmodelled, returns: d.Action == Unknown}
			shown = append(shown, c)
		}
		for _, c := range merged(shown) {
			all = append(all, run.exposures(c)...)
		}
	}
	e.Exposures = bothVersions(all)
	slices.SortStableFunc(e.Exposures, func(a, b Exposure) int {
		return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Ports.First, b.Ports.First), cmp.Compare(a.Ports.Last, b.Ports.Last))
	})
	return e
}

// exposures shows a cell: one for each protocol and range of ports.
func (e *evaluation) exposures(c cell) []Exposure {
	b := c.box
	x := Exposure{Action: Accept, By: c.fate.accept, Unmodelled: c.fate.unmodelled, SourcePorts: portRanges(b.origin), through: b.interfaces}
	if c.fate.returns {
		x.Action = Unknown
	}
	if len(x.SourcePorts) == 1 && x.SourcePorts[0] == (PortRange{0, 65535}) {
		x.SourcePorts = nil
	}
	if e.v4 {
		x.v4 = b.src
	} else {
		x.v6 = b.src
	}
	if whole := subtract(everything(e.v4), addrSpans(notUnicast, e.v4)); !contains(b.dst, whole) {
		x.Destinations = prefixes(b.dst, e.v4)
	}
	x.Interfaces = patterns(e.interfaces, b.interfaces)
	x.Profiles = chosen(e.profiles, b.profiles, "")
	var out []Exposure
	for _, p := range []Protocol{TCP, UDP} {
		if b.protocols&(1<<p) == 0 {
			continue
		}
		for _, r := range portRanges(b.ports) {
			one := x
			one.Protocol, one.Ports = p, r
			out = append(out, one)
		}
	}
	return out
}

// patterns shows a set of interfaces. Of those that are told apart, a pattern stands for what no
// longer one and no name in full means; what it seems to hold and does not is said.
func patterns(all []string, set names) []string {
	out := chosen(all, set, "lo")
	for i, n := range out {
		if n == otherInterface {
			n = "*"
		}
		prefix, wild := strings.CutSuffix(n, "*")
		if !wild {
			continue
		}
		var not []string
		for k, other := range all {
			if !set.has(k) && other != otherInterface && other != n && strings.HasPrefix(other, prefix) {
				not = append(not, other)
			}
		}
		if out[i] = n; not != nil {
			out[i] += " except " + strings.Join(not, ", ")
		}
	}
	return out
}

// chosen are the names in a set, or nil if all are that there can be.
func chosen(all []string, set names, without string) []string {
	var in []string
	n := 0
	for i, name := range all {
		if name == without {
			continue
		}
		n++
		if set.has(i) {
			in = append(in, name)
		}
	}
	if len(in) == n {
		return nil
	}
	return in
}

func portRanges(s []span) []PortRange {
	out := make([]PortRange, len(s))
	for i, r := range s {
		out[i] = PortRange{uint16(r.lo.lo), uint16(r.hi.lo)}
	}
	return out
}

// bothVersions joins what is open in the same way to both IP versions, and writes the sources.
func bothVersions(all []Exposure) []Exposure {
	first := map[string]int{}
	out := all[:0]
	for _, x := range all {
		key := fmt.Sprint(x.Action, x.Protocol, x.Ports, x.SourcePorts, x.Destinations, x.Interfaces, x.Profiles, x.By, x.Unmodelled)
		if i, seen := first[key]; seen && x.v6 != nil && out[i].v6 == nil {
			out[i].v6 = x.v6
			continue
		}
		first[key] = len(out)
		out = append(out, x)
	}
	for i := range out {
		for _, v4 := range []bool{true, false} {
			set := out[i].sources(v4)
			if len(set) == 0 {
				continue
			}
			// "Everyone but" is shorter for what is left over by a list of blocked addresses.
			without := subtract(subtract(everything(v4), addrSpans(notOutside, v4)), set)
			if len(set) > len(without) {
				out[i].Sources = append(out[i].Sources, prefixes(everything(v4), v4)...)
				out[i].Except = append(out[i].Except, prefixes(without, v4)...)
			} else {
				out[i].Sources = append(out[i].Sources, prefixes(set, v4)...)
			}
		}
	}
	return slices.Clip(out)
}

// sources are those of one version.
func (x *Exposure) sources(v4 bool) []span {
	if v4 {
		return x.v4
	}
	return x.v6
}

// in reports whether an exposure is one of a side.
func (x *Exposure) in(s side) bool {
	return x.sources(s.v4) != nil && (x.Profiles == nil || slices.Contains(x.Profiles, s.profile))
}

// wide reports whether sources are everyone, or nearly: half of all addresses. Half of what is
// given out of IPv6 (2000::/3) is a sixteenth.
func wide(set []span, v4 bool) bool { return size(set, v4) >= half(v4) }

// half of all addresses of a version, as size counts them.
func half(v4 bool) uint64 {
	if v4 {
		return 1 << 31
	}
	return 1 << 60
}

// size counts addresses: of IPv6 in units of 2^64, without what is left of one.
func size(set []span, v4 bool) uint64 {
	var sum uint64
	for _, s := range set {
		if v4 {
			sum += s.hi.lo - s.lo.lo + 1
		} else {
			sum += s.hi.hi - s.lo.hi
		}
	}
	return sum
}

// everyone reports whether an exposure is open to nearly all addresses of a version.
func (x *Exposure) everyone() bool { return wide(x.v4, true) || wide(x.v6, false) }

// String is one line: "tcp 8080 from everyone, by policy of ip filter INPUT".
func (x Exposure) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s from %s", x.Protocol, x.Ports, x.from())
	for _, part := range []struct {
		word string
		list string
	}{
		{"from the source port", fmtList(x.SourcePorts)}, {"to", fmtList(x.Destinations)}, {"through", strings.Join(x.Interfaces, ", ")},
		{"with the profile", strings.Join(x.Profiles, ", ")},
	} {
		if part.list != "" {
			fmt.Fprintf(&b, ", %s %s", part.word, part.list)
		}
	}
	if x.By != "" {
		fmt.Fprintf(&b, ", by %s", x.By)
	}
	if x.Action == Unknown {
		fmt.Fprintf(&b, ", depending on %q", x.Unmodelled)
	}
	return b.String()
}

// from says who may send.
func (x *Exposure) from() string {
	all4, all6 := contains(x.v4, subtract(everything(true), addrSpans(notOutside, true))), contains(x.v6, subtract(everything(false), addrSpans(notOutside, false)))
	switch {
	case all4 && all6:
		return "everyone"
	case all4 && x.v6 == nil:
		return "everyone (IPv4)"
	case all6 && x.v4 == nil:
		return "everyone (IPv6)"
	}
	out := fmtList(x.Sources)
	if len(x.Except) > 0 {
		out += " except " + fmtList(x.Except)
	}
	return out
}

// fmtList shows some of a list.
func fmtList[T fmt.Stringer](list []T) string {
	const most = 6
	var parts []string
	for _, v := range list[:min(len(list), most)] {
		parts = append(parts, v.String())
	}
	out := strings.Join(parts, ", ")
	if n := len(list) - most; n > 0 {
		out += fmt.Sprintf(" and %d more", n)
	}
	return out
}
