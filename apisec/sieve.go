package apisec

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strings"
)

// A sieve finds the places of a text at which a needle may stand. It looks at four bytes of
// every stride-th place only: each form of each needle has, in its first and in its second
// half, a window of which the sieve knows the bytes at every phase. So a form that stands in
// the text is met, and so is one with a line break at any one place, for that spoils at most
// one of the windows. A place that passes is compared further by the needle itself.
type sieve struct {
	stride  int
	shift   uint
	bitmap  []uint64
	four    map[uint32][]anchor // of windows that are too short for eight bytes
	eight   map[uint64][]anchor
	needles []needle
	span    int // bytes that a match takes at most
}

// anchor is what a few bytes in the text may be: part of a form of a needle.
type anchor struct {
	needle *needle
	form   *form
	width  width
	unit   int // of the needle, in which the bytes begin
	inside int // how many bytes of that unit's form come before them
	off    int // where they begin in the form
}

// width is how many bytes hold a character of the text.
type width uint8

const (
	narrow       width = iota
	littleEndian       // UTF-16LE
	bigEndian
)

const (
	maxStride = 8
	hashing   = 0x9E3779B1 // 2^32 divided by the golden ratio
)

// newSieve compiles all forms of all secrets.
func newSieve(values []string) *sieve {
	s := &sieve{four: map[uint32][]anchor{}, eight: map[uint64][]anchor{}, stride: maxStride}
	for i, v := range values {
		s.needles = append(s.needles, needlesOf(i, v)...)
	}
	for i := range s.needles {
		n := &s.needles[i]
		s.span = max(s.span, 2*n.span) // in UTF-16
		for _, f := range n.forms {
			s.stride = min(s.stride, max(len(f.text)/2-3, 1))
		}
	}
	for i := range s.needles {
		n := &s.needles[i]
		for j := range n.forms {
			f := &n.forms[j]
			f.literal = f.text == litOf(n)
			s.add(n, f, narrow)
			if f.narrow {
				continue
			}
			if w, ok := f.widened(false); ok {
				s.add(n, &w, littleEndian)
			}
			if w, ok := f.widened(true); ok {
				s.add(n, &w, bigEndian)
			}
		}
	}
	// At most one bit in 128 is set, in a table that mostly stays in the processor's first cache.
	size := uint(bits.Len(uint(len(s.four)+len(s.eight)) * 256))
	size = min(max(size, 15), 24)
	s.shift = 32 - size
	s.bitmap = make([]uint64, 1<<size/64)
	for g := range s.four {
		s.set(g)
	}
	for g := range s.eight {
		s.set(uint32(g))
	}
	return s
}

func (s *sieve) set(g uint32) {
	h := g * hashing >> s.shift
	s.bitmap[h/64] |= 1 << (h % 64)
}

// add enters the windows of a form.
func (s *sieve) add(n *needle, f *form, w width) {
	half := len(f.text) / 2
	gram := 4
	if half >= s.stride+7 {
		gram = 8
	}
	starts := []int{}
	window := s.stride + gram - 1
	switch {
	case f.literal && !f.narrow && len(f.text) <= 256:
		// The secret itself is met wherever enough of it stands in one piece.
		for at := 0; at+gram <= len(f.text); at += s.stride {
			starts = append(starts, min(at, max(len(f.text)-gram-s.stride+1, 0)))
		}
	case f.dumped > 0 && w == narrow:
		// Wherever the groups of 8, 12 or 16 bytes begin, a seam is in one of two windows at most
		// that are four bytes apart, or four and some multiples of eight.
		first := int(float64(best(f.text[:half], window)) / f.dumped)
		second := first + 4
		for int(float64(second)*f.dumped) < half || (second-first)%12 == 0 {
			second += 8
		}
		for _, b := range []int{first, second} {
			starts = append(starts, max(0, min(int(math.Ceil(float64(b)*f.dumped)), len(f.text)-window)))
		}
	default:
		starts = append(starts, best(f.text[:half], window), half+best(f.text[half:], window))
	}
	seen := map[int]bool{}
	for _, start := range starts {
		for at := start; at < start+s.stride && at+gram <= len(f.text); at++ {
			if seen[at] {
				continue
			}
			seen[at] = true
			a := anchor{needle: n, form: f, width: w, off: at}
			for a.unit+1 < len(f.starts) && f.starts[a.unit+1] <= at {
				a.unit++
			}
			a.inside = at - f.starts[a.unit]
			if gram == 8 {
				key := binary.LittleEndian.Uint64([]byte(f.text[at : at+8]))
				s.eight[key] = with(s.eight[key], a)
			} else {
				key := binary.LittleEndian.Uint32([]byte(f.text[at : at+4]))
				s.four[key] = with(s.four[key], a)
			}
		}
	}
}

// with adds an anchor, unless one is there that leads to the same comparison: forms that differ
// elsewhere only have many windows in common.
func with(anchors []anchor, a anchor) []anchor {
	for i := range anchors {
		if b := &anchors[i]; b.needle == a.needle && b.width == a.width && b.unit == a.unit && b.inside == a.inside {
			if a.form.literal {
				*b = a // which is compared first as it is
			}
			return anchors
		}
	}
	return append(anchors, a)
}

func litOf(n *needle) string {
	var b strings.Builder
	for _, u := range n.units {
		b.WriteString(u.lit)
	}
	return b.String()
}

// best is where the window of the length lies that is least likely to be written in another
// way or to stand in other text: few special characters, many digits and capitals.
func best(text string, length int) int {
	score := func(c byte) int {
		switch {
		case c == 0:
			return 0
		case '0' <= c && c <= '9', 'A' <= c && c <= 'Z':
			return 3
		case 'a' <= c && c <= 'z':
			return 2
		}
		return -8
	}
	sum, most, at := 0, 0, 0
	for i := range len(text) {
		sum += score(text[i])
		if i >= length {
			sum -= score(text[i-length])
		}
		if i == length-1 || i >= length && sum > most {
			most, at = sum, i-length+1
		}
	}
	return at
}

// next returns the first place at or behind from, and before end, that passes. The caller goes
// on a stride behind it. If there is none, it returns where to go on once there is more text.
func (s *sieve) next(text []byte, from, end int) (place int, passes bool) {
	end = min(end, len(text)-3)
	bitmap, shift, stride := s.bitmap, s.shift&31, s.stride
	p := from
	if stride == maxStride { // four places at once
		for ; p+4*maxStride <= end; p += 4 * maxStride {
			t := text[p : p+4*maxStride]
			a := binary.LittleEndian.Uint32(t) * hashing >> shift
			b := binary.LittleEndian.Uint32(t[maxStride:]) * hashing >> shift
			c := binary.LittleEndian.Uint32(t[2*maxStride:]) * hashing >> shift
			d := binary.LittleEndian.Uint32(t[3*maxStride:]) * hashing >> shift
			if (bitmap[a>>6]>>(a&63)|bitmap[b>>6]>>(b&63)|bitmap[c>>6]>>(c&63)|bitmap[d>>6]>>(d&63))&1 != 0 {
				break
			}
		}
	}
	for ; p < end; p += stride {
		h := binary.LittleEndian.Uint32(text[p:]) * hashing >> shift
		if bitmap[h>>6]&(1<<(h&63)) != 0 {
			return p, true
		}
	}
	return p, false
}

// at returns what the bytes at a place may be.
func (s *sieve) at(text []byte, p int) (four, eight []anchor) {
	if len(s.four) > 0 {
		four = s.four[binary.LittleEndian.Uint32(text[p:])]
	}
	if p+8 <= len(text) {
		eight = s.eight[binary.LittleEndian.Uint64(text[p:])]
	}
	return four, eight
}
