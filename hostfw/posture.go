package hostfw

import (
	"encoding/binary"
	"slices"
	"strings"
)

// What an evaluation says about packets that no rule names, and about ports that are open to
// nearly everyone. Both are asked of one slice at a time: a network that is trusted as a whole must
// not hide what the others let in.

// slice is packets of one side that come in through interfaces which rules treat alike.
type slice struct {
	side
	through int // an index of judge.classes
}

// posture is what a slice does with packets that no rule names.
type posture uint8

const (
	blocks posture = iota
	allows
	open // nothing is kept out at all
	untold
	notCovered
)

// classify finds the interfaces that have the same exposures.
func (j *judge) classify() {
	byExposures := map[string]int{}
	for i, name := range j.e.interfaces {
		if name == "lo" {
			continue
		}
		var key []byte
		for n := range j.e.Exposures {
			if j.e.Exposures[n].through.has(i) {
				key = binary.AppendUvarint(key, uint64(n))
			}
		}
		class, seen := byExposures[string(key)]
		if !seen {
			class = len(j.classes)
			byExposures[string(key)] = class
			j.classes = append(j.classes, newNames(len(j.e.interfaces), func(int) bool { return false }))
		}
		j.classes[class][i/64] |= 1 << (i % 64)
	}
}

// in reports whether an exposure is one of a slice.
func (j *judge) in(x *Exposure, s slice) bool {
	return x.in(s.side) && x.through.overlaps(j.classes[s.through])
}

// all calls f for each slice, IPv4 first.
func (j *judge) all(f func(slice)) {
	for _, v4 := range []bool{true, false} {
		for _, profile := range j.e.profiles {
			for class := range j.classes {
				f(slice{side{v4, profile}, class})
			}
		}
	}
}

// openPorts are the ports that a slice lets nearly everyone reach, from whatever port, or may if
// perhaps is set. Sources that stand in several rules count together. What a client of DHCP needs is
// for its own link.
func (j *judge) openPorts(s slice, p Protocol, perhaps bool) []span {
	key := openQuestion{s, p, perhaps}
	if known, ok := j.opens[key]; ok {
		return known
	}
	var ports portSet
	var narrow []*Exposure
	total := uint64(0)
	for i := range j.e.Exposures {
		x := &j.e.Exposures[i]
		if x.Protocol != p || x.SourcePorts != nil || x.Action != Accept && !perhaps || !j.in(x, s) || answersDHCP(*x) {
			continue
		}
		if n := size(x.sources(s.v4), s.v4); n < half(s.v4) {
			narrow = append(narrow, x)
			total = min(total+n, half(s.v4))
			continue
		}
		ports = append(ports, x.Ports)
	}
	if total >= half(s.v4) {
		ports = append(ports, jointly(narrow, s.v4)...)
	}
	out := portSpans(portsOf(ports...))
	j.opens[key] = out
	return out
}

// openQuestion is what openPorts has been asked.
type openQuestion struct {
	slice
	protocol Protocol
	perhaps  bool
}

// jointly are the ports that exposures open to nearly everyone only together.
func jointly(exposures []*Exposure, v4 bool) portSet {
	var edges []int
	for _, x := range exposures {
		edges = append(edges, int(x.Ports.First), int(x.Ports.Last)+1)
	}
	slices.Sort(edges)
	edges = slices.Compact(edges)
	var out portSet
	for i := range len(edges) - 1 {
		var sources []span
		for _, x := range exposures {
			if int(x.Ports.First) <= edges[i] && edges[i] <= int(x.Ports.Last) {
				sources = append(sources, x.sources(v4)...)
			}
		}
		if wide(unionOf(sources), v4) {
			out = append(out, PortRange{uint16(edges[i]), uint16(edges[i+1] - 1)})
		}
	}
	return out
}

// slices finds the posture of each slice. The default allows if it lets half of the ports of
// either protocol in from everyone.
func (j *judge) slices() {
	j.classify()
	j.byKind, j.loose, j.opens = map[slice]posture{}, map[slice][2]bool{}, map[openQuestion][]span{}
	j.all(func(s slice) {
		most := func(p Protocol, perhaps bool) bool {
			n := uint64(0)
			for _, r := range j.openPorts(s, p, perhaps) {
				n += r.hi.lo - r.lo.lo + 1
			}
			return n >= 1<<15
		}
		certain, possible := [2]bool{TCP: most(TCP, false), UDP: most(UDP, false)}, [2]bool{TCP: most(TCP, true), UDP: most(UDP, true)}
		switch {
		case !j.e.covered[s.v4]:
			j.byKind[s] = notCovered
		case j.e.unfiltered[s.side]:
			j.byKind[s] = open
		case certain[TCP] || certain[UDP]:
			j.byKind[s] = allows
			j.loose[s] = certain
			if !possible[TCP] || !possible[UDP] {
				j.filtered = append(j.filtered, s)
			}
		case possible[TCP] || possible[UDP]:
			j.byKind[s] = untold
		default:
			j.byKind[s] = blocks
			j.filtered = append(j.filtered, s)
		}
	})
}

// of returns the slices with a posture.
func (j *judge) of(p posture) []slice {
	var out []slice
	j.all(func(s slice) {
		if j.byKind[s] == p {
			out = append(out, s)
		}
	})
	return out
}

// worse returns the slices with a posture, but for those of IPv6 beside an IPv4 that blocks.
func (j *judge) worse(p posture) []slice {
	return slices.DeleteFunc(j.of(p), func(s slice) bool { return !s.v4 && j.byKind[slice{side{true, s.profile}, s.through}] == blocks })
}

// isLoose reports whether a slice lets a protocol in by default.
func (j *judge) isLoose(s slice, p Protocol) bool { return j.byKind[s] == open || j.loose[s][p] }

// toEveryone reports whether a port of an exposure is open to nearly everyone, by itself or
// together with others.
func (j *judge) toEveryone(x *Exposure, port uint16) bool {
	return x.everyone() || slices.ContainsFunc(j.filtered, func(s slice) bool {
		return j.in(x, s) && contains(j.openPorts(s, x.Protocol, x.Action == Unknown), one(port))
	})
}

// where names slices, as far as there are others: " over IPv4 (profile Public) through wg0".
func (j *judge) where(list []slice) string {
	var phrases [2]string
	var present [2]bool
	for version, v4 := range []bool{true, false} {
		var profiles []string
		var classes []int
		for _, s := range list {
			if s.v4 == v4 {
				profiles, classes = append(profiles, s.profile), append(classes, s.through)
			}
		}
		present[version] = profiles != nil
		phrases[version] = profileList(slices.Compact(profiles)) + j.throughText(classes)
	}
	switch {
	case present[0] && present[1] && phrases[0] == phrases[1], !j.e.covered[false]:
		return phrases[0]
	case !j.e.covered[true]:
		return phrases[1]
	case !present[1]:
		return " over IPv4" + phrases[0]
	case !present[0]:
		return " over IPv6" + phrases[1]
	}
	return " over IPv4" + phrases[0] + " and over IPv6" + phrases[1]
}

// name is one slice: "IPv4 in profile Public".
func (j *judge) name(s slice) string {
	version := "IPv6"
	if s.v4 {
		version = "IPv4"
	}
	if s.profile != "" {
		version += " in profile " + s.profile
	}
	return version + j.throughText([]int{s.through})
}

// throughText names the interfaces of classes, unless they are all that there are.
func (j *judge) throughText(classes []int) string {
	set := newNames(len(j.e.interfaces), func(int) bool { return false })
	for _, c := range classes {
		set = set.combine(j.classes[c], either)
	}
	shown := patterns(j.e.interfaces, set)
	if shown == nil {
		return ""
	}
	return " through " + strings.Join(shown, ", ")
}

func profileList(profiles []string) string {
	if len(profiles) == 0 || profiles[0] == "" {
		return ""
	}
	return " (profile " + strings.Join(profiles, ", ") + ")"
}

// union is what is in either set.
func union(a, b []span) []span { return join(a, subtract(b, a)) }

// unionOf is what is in any of some spans, which may overlap.
func unionOf(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int {
		switch {
		case a.lo.less(b.lo):
			return -1
		case b.lo.less(a.lo):
			return 1
		}
		return 0
	})
	out := spans[:0]
	for _, s := range spans {
		if n := len(out); n > 0 && !out[n-1].hi.less(s.lo) {
			if out[n-1].hi.less(s.hi) {
				out[n-1].hi = s.hi
			}
			continue
		}
		out = append(out, s)
	}
	return out
}
