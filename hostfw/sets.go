package hostfw

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/connsec/connsec/internal/setting"
)

// PortRange is ports from First to Last, both included. In JSON it is text: "443", "8000-8099".
type PortRange struct{ First, Last uint16 }

// String returns "443" or "8000-8099".
func (r PortRange) String() string {
	if r.First == r.Last {
		return strconv.Itoa(int(r.First))
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// MarshalText writes what String returns.
func (r PortRange) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads a port, or two with a dash between them.
func (r *PortRange) UnmarshalText(text []byte) error {
	first, last, isRange := strings.Cut(string(text), "-")
	if !isRange {
		last = first
	}
	a, errA := strconv.ParseUint(first, 10, 16)
	b, errB := strconv.ParseUint(last, 10, 16)
	if errA != nil || errB != nil || a > b {
		return fmt.Errorf("hostfw: %q is no port or range of ports, such as 443 or 8000-8099", setting.OneLine(string(text)))
	}
	*r = PortRange{uint16(a), uint16(b)}
	return nil
}

// portSet is ranges in order that neither overlap nor touch. See match for nil.
type portSet []PortRange

// portsOf is the union of ranges in any order.
func portsOf(ranges ...PortRange) portSet {
	return portSet(merge(ranges, cmp.Compare[uint16], func(p uint16) (uint16, bool) { return p + 1, p < 65535 }))
}

// addrRange is addresses of one version from First to Last, both included.
type addrRange struct {
	First, Last netip.Addr
}

// addrSet is ranges in order, IPv4 first, that neither overlap nor touch. See match for nil.
type addrSet []addrRange

// addressesOf is the union of prefixes.
func addressesOf(prefixes ...netip.Prefix) addrSet {
	ranges := make([]addrRange, len(prefixes))
	for i, p := range prefixes {
		ranges[i] = rangeOf(p)
	}
	return addressRanges(ranges...)
}

// addressRanges is the union of ranges in any order.
func addressRanges(ranges ...addrRange) addrSet {
	return addrSet(merge(ranges, netip.Addr.Compare, func(a netip.Addr) (netip.Addr, bool) {
		next := a.Next()
		return next, next.IsValid()
	}))
}

// rangeOf is the first and the last address of a prefix.
func rangeOf(p netip.Prefix) addrRange {
	p = p.Masked()
	last := p.Addr().AsSlice()
	for i := p.Bits(); i < len(last)*8; i++ {
		last[i/8] |= 0x80 >> (i % 8)
	}
	end, _ := netip.AddrFromSlice(last)
	return addrRange{p.Addr(), end}
}

// merge sorts ranges and joins those that overlap or touch. Ranges that end before they begin are
// empty.
func merge[R ~struct{ First, Last T }, T any](in []R, compare func(T, T) int, next func(T) (T, bool)) []R {
	type bounds = struct{ First, Last T }
	sorted := make([]R, 0, len(in))
	for _, r := range in {
		if b := bounds(r); compare(b.First, b.Last) <= 0 {
			sorted = append(sorted, r)
		}
	}
	slices.SortFunc(sorted, func(a, b R) int { return compare(bounds(a).First, bounds(b).First) })
	out := sorted[:0]
	for _, r := range sorted {
		b := bounds(r)
		if len(out) > 0 {
			last := bounds(out[len(out)-1])
			after, more := next(last.Last)
			if compare(b.First, last.Last) <= 0 || more && compare(b.First, after) == 0 {
				if compare(b.Last, last.Last) > 0 {
					last.Last = b.Last
					out[len(out)-1] = R(last)
				}
				continue
			}
		}
		out = append(out, r)
	}
	return out
}

// complement is the other ports.
func (s portSet) complement() portSet {
	out := portSet{}
	next := 0
	for _, r := range s {
		if int(r.First) > next {
			out = append(out, PortRange{uint16(next), r.First - 1})
		}
		next = int(r.Last) + 1
	}
	if next <= 65535 {
		out = append(out, PortRange{uint16(next), 65535})
	}
	return out
}

// complement is the other addresses of both versions.
func (s addrSet) complement() addrSet {
	out := addrSet{}
	for _, whole := range wholes {
		next := whole.First
		for _, r := range s {
			if r.First.BitLen() != whole.First.BitLen() {
				continue
			}
			if next.Less(r.First) {
				out = append(out, addrRange{next, r.First.Prev()})
			}
			if next = r.Last.Next(); !next.IsValid() {
				break
			}
		}
		if next.IsValid() {
			out = append(out, addrRange{next, whole.Last})
		}
	}
	return out
}

// all addresses of each version.
var wholes = [2]addrRange{rangeOf(netip.PrefixFrom(netip.IPv4Unspecified(), 0)), rangeOf(netip.PrefixFrom(netip.IPv6Unspecified(), 0))}

// and is what both sets hold.
func (s portSet) and(o portSet) portSet {
	switch {
	case s == nil:
		return o
	case o == nil:
		return s
	}
	out := portSet{}
	for i, j := 0, 0; i < len(s) && j < len(o); {
		first, last := max(s[i].First, o[j].First), min(s[i].Last, o[j].Last)
		if first <= last {
			out = append(out, PortRange{first, last})
		}
		if s[i].Last < o[j].Last {
			i++
		} else {
			j++
		}
	}
	return out
}

// and is what both sets hold.
func (s addrSet) and(o addrSet) addrSet {
	switch {
	case s == nil:
		return o
	case o == nil:
		return s
	}
	out := addrSet{}
	for i, j := 0, 0; i < len(s) && j < len(o); {
		first, last := s[i].First, s[i].Last
		if first.Less(o[j].First) {
			first = o[j].First
		}
		if o[j].Last.Less(last) {
			last = o[j].Last
			j++
		} else {
			i++
		}
		if !last.Less(first) {
			out = append(out, addrRange{first, last})
		}
	}
	return out
}

// nameSet is names of interfaces, some with a trailing "*" for every name that begins so.
type nameSet struct {
	names []string
	not   bool     // every other name
	also  *nameSet // which has to hold, too
}

func (s *nameSet) has(name string) bool {
	for ; s != nil; s = s.also {
		if slices.ContainsFunc(s.names, func(n string) bool {
			prefix, wild := strings.CutSuffix(n, "*")
			return n == name || wild && strings.HasPrefix(name, prefix)
		}) == s.not {
			return false
		}
	}
	return true
}

// and is what both sets hold.
func (s *nameSet) and(o *nameSet) *nameSet {
	switch {
	case s == nil:
		return o
	case o == nil:
		return s
	}
	both := *s
	both.also = s.also.and(o)
	return &both
}
