package hostfw

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
)

// A box is a set of packets of one IP version: a product of one set for each dimension. Rules cut
// boxes in two, so that in the end each box holds packets that share their fate.

// box is a set of packets and the route that all of them are on. No set of it is empty.
type box struct {
	protocols     uint8 // one bit for each Protocol
	ports, origin []span
	src, dst      []span
	interfaces    names
	profiles      names
	route         route
}

// span is numbers from lo to hi, both included: ports, or addresses of one version.
type span struct{ lo, hi u128 }

type u128 struct{ hi, lo uint64 }

func (a u128) less(b u128) bool { return a.hi < b.hi || a.hi == b.hi && a.lo < b.lo }

func (a u128) next() u128 {
	lo, carry := bits.Add64(a.lo, 1, 0)
	return u128{a.hi + carry, lo}
}

func (a u128) previous() u128 {
	lo, borrow := bits.Sub64(a.lo, 1, 0)
	return u128{a.hi - borrow, lo}
}

func number(a netip.Addr) u128 {
	if a.Is4() {
		b := a.As4()
		return u128{0, uint64(binary.BigEndian.Uint32(b[:]))}
	}
	b := a.As16()
	return u128{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func address(n u128, v4 bool) netip.Addr {
	if v4 {
		return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, uint32(n.lo))))
	}
	return netip.AddrFrom16([16]byte(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, n.hi), n.lo)))
}

func portSpans(s portSet) []span {
	if s == nil {
		return nil
	}
	out := make([]span, len(s))
	for i, r := range s {
		out[i] = span{u128{0, uint64(r.First)}, u128{0, uint64(r.Last)}}
	}
	return out
}

// addrSpans is what a set holds of one version.
func addrSpans(s addrSet, v4 bool) []span {
	if s == nil {
		return nil
	}
	out := []span{}
	for _, r := range s {
		if r.First.Is4() == v4 {
			out = append(out, span{number(r.First), number(r.Last)})
		}
	}
	return out
}

func one(n uint16) []span { return []span{{u128{0, uint64(n)}, u128{0, uint64(n)}}} }

// at finds the first span of s that ends at n or after it.
func at(s []span, n u128) int {
	lo, hi := 0, len(s)
	for lo < hi {
		if m := (lo + hi) / 2; s[m].hi.less(n) {
			lo = m + 1
		} else {
			hi = m
		}
	}
	return lo
}

// overlap reports whether two sets have something in common.
func overlap(a, b []span) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	for _, s := range a {
		if i := at(b, s.lo); i < len(b) && !s.hi.less(b[i].lo) {
			return true
		}
	}
	return false
}

// intersect is what two sets have in common. It returns a itself if b holds all of it.
func intersect(a, b []span) []span {
	if contains(b, a) {
		return a
	}
	var out []span
	small, large := a, b
	if len(small) > len(large) {
		small, large = large, small
	}
	for _, s := range small {
		for i := at(large, s.lo); i < len(large) && !s.hi.less(large[i].lo); i++ {
			c := large[i]
			if c.lo.less(s.lo) {
				c.lo = s.lo
			}
			if s.hi.less(c.hi) {
				c.hi = s.hi
			}
			out = append(out, c)
		}
	}
	return out
}

// contains reports whether all of part is in whole.
func contains(whole, part []span) bool {
	for _, s := range part {
		i := at(whole, s.lo)
		if i == len(whole) || s.lo.less(whole[i].lo) || whole[i].hi.less(s.hi) {
			return false
		}
	}
	return true
}

// subtract is what of a is not in b.
func subtract(a, b []span) []span {
	out := make([]span, 0, len(a)+len(b))
	for _, s := range a {
		gone := false
		for i := at(b, s.lo); i < len(b) && !s.hi.less(b[i].lo); i++ {
			if s.lo.less(b[i].lo) {
				out = append(out, span{s.lo, b[i].lo.previous()})
			}
			if !b[i].hi.less(s.hi) {
				gone = true
				break
			}
			s.lo = b[i].hi.next()
		}
		if !gone {
			out = append(out, s)
		}
	}
	return out
}

// join is the union of sets that do not overlap.
func join(a, b []span) []span {
	all := slices.Concat(a, b)
	slices.SortFunc(all, func(x, y span) int {
		switch {
		case x.lo.less(y.lo):
			return -1
		case y.lo.less(x.lo):
			return 1
		}
		return 0
	})
	out := all[:0]
	for _, s := range all {
		if n := len(out); n > 0 && out[n-1].hi.next() == s.lo {
			out[n-1].hi = s.hi
			continue
		}
		out = append(out, s)
	}
	return out
}

// names is a set of interfaces or profiles, one bit for each that is told apart.
type names []uint64

func newNames(n int, in func(int) bool) names {
	out := make(names, (n+63)/64)
	for i := range n {
		if in(i) {
			out[i/64] |= 1 << (i % 64)
		}
	}
	return out
}

func (a names) has(i int) bool { return a[i/64]&(1<<(i%64)) != 0 }

func (a names) overlaps(b names) bool {
	for i := range a {
		if a[i]&b[i] != 0 {
			return true
		}
	}
	return false
}

func (a names) within(b names) bool {
	for i := range a {
		if a[i]&^b[i] != 0 {
			return false
		}
	}
	return true
}

// combine is op on each word, in a new set.
func (a names) combine(b names, op func(x, y uint64) uint64) names {
	out := make(names, len(a))
	for i := range a {
		out[i] = op(a[i], b[i])
	}
	return out
}

func both(x, y uint64) uint64   { return x & y }
func either(x, y uint64) uint64 { return x | y }
func except(x, y uint64) uint64 { return x &^ y }

// cut is a match in the terms of boxes of one version. What is nil asks nothing.
type cut struct {
	protocols     uint8
	ports, origin []span
	src, dst      []span
	interfaces    names
	profiles      names
	tracking      uint8
	translated    condition
	unmodelled    string
}

// meets reports whether some packet of a box matches or may match.
func (c *cut) meets(b *box) bool {
	if c.protocols&b.protocols == 0 || c.tracking&b.route.tracking == 0 {
		return false
	}
	if yes, _ := b.route.translated(c.translated); !yes {
		return false
	}
	if c.ports != nil {
		if b.route.rewritten {
			if !overlap(c.ports, one(b.route.to.port)) {
				return false
			}
		} else if !overlap(c.ports, b.ports) {
			return false
		}
	}
	if c.interfaces != nil && !c.interfaces.overlaps(b.interfaces) || c.profiles != nil && !c.profiles.overlaps(b.profiles) {
		return false
	}
	if c.src != nil && !overlap(c.src, b.src) || c.origin != nil && !overlap(c.origin, b.origin) {
		return false
	}
	if c.dst == nil {
		return true
	}
	if !b.route.rewritten {
		return overlap(c.dst, b.dst)
	}
	if !b.route.to.address.IsValid() {
		return len(c.dst) > 0
	}
	n := number(b.route.to.address)
	return overlap(c.dst, []span{{n, n}})
}

// doubt is the expression that the match of a box hangs on, if any.
func (c *cut) doubt(b *box, v4 bool) string {
	switch {
	case c.unmodelled != "":
		return c.unmodelled
	case c.dst != nil && b.route.rewritten && !b.route.to.address.IsValid() && !contains(c.dst, everything(v4)):
		return "destination after redirect"
	case b.route.tracking&^c.tracking != 0:
		return "connection tracking after a doubtful notrack"
	}
	if _, certain := b.route.translated(c.translated); !certain {
		return doubtfulNAT
	}
	return ""
}

// everything is all addresses of a version.
func everything(v4 bool) []span {
	if v4 {
		return addrSpans(addrSet(wholes[:]), true)
	}
	return addrSpans(addrSet(wholes[:]), false)
}

// divide splits a box that a cut meets into what matches and the rest, which is appended to.
func (c *cut) divide(b box, rest []box) (hit box, _ []box) {
	if outside := b.protocols &^ c.protocols; outside != 0 {
		r := b
		r.protocols = outside
		rest = append(rest, r)
		b.protocols &= c.protocols
	}
	rest = divideSpans(&b, rest, c.ports, !b.route.rewritten, func(b *box) *[]span { return &b.ports })
	rest = divideNames(&b, rest, c.interfaces, func(b *box) *names { return &b.interfaces })
	rest = divideNames(&b, rest, c.profiles, func(b *box) *names { return &b.profiles })
	rest = divideSpans(&b, rest, c.src, true, func(b *box) *[]span { return &b.src })
	rest = divideSpans(&b, rest, c.dst, !b.route.rewritten, func(b *box) *[]span { return &b.dst })
	rest = divideSpans(&b, rest, c.origin, true, func(b *box) *[]span { return &b.origin })
	return b, rest
}

func divideSpans(b *box, rest []box, by []span, applies bool, dimension func(*box) *[]span) []box {
	mine := *dimension(b)
	if by == nil || !applies || contains(by, mine) {
		return rest
	}
	r := *b
	*dimension(&r) = subtract(mine, by)
	*dimension(b) = intersect(mine, by)
	return append(rest, r)
}

func divideNames(b *box, rest []box, by names, dimension func(*box) *names) []box {
	mine := *dimension(b)
	if by == nil || mine.within(by) {
		return rest
	}
	r := *b
	*dimension(&r) = mine.combine(by, except)
	*dimension(b) = mine.combine(by, both)
	return append(rest, r)
}

// reach is the first and the last port of a box or cut.
type reach struct{ first, last uint16 }

// reach of a rewritten box is every port, since its ports are the original ones.
func (b *box) reach() reach {
	if b.route.rewritten {
		return reach{0, 65535}
	}
	return reach{uint16(b.ports[0].lo.lo), uint16(b.ports[len(b.ports)-1].hi.lo)}
}

func (c *cut) reach() reach {
	if len(c.ports) == 0 {
		return reach{0, 65535}
	}
	return reach{uint16(c.ports[0].lo.lo), uint16(c.ports[len(c.ports)-1].hi.lo)}
}
