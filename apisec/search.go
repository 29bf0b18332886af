package apisec

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
)

// match is where something was found in one stretch of bytes.
type match struct {
	secret  int    // or -1
	pattern string // where no secret was looked for
	value   string // what a pattern took for a secret; it goes no further than the fingerprint
	form    string
	begin   int64
	end     int64
	line    int // 0: not a text
	column  int
}

// chunk is how much is read at once, beside what overlaps: it stays in the second cache.
const chunk = 128 << 10

// progressStep is after how many bytes of one stream progress is told.
const progressStep = 64 << 20

// searcher looks through streams, one after the other.
type searcher struct {
	sieve    *sieve
	patterns bool
	overlap  int
	buf      []byte

	// progress, when set, is told now and then how many bytes more were searched; told are those
	// of the present stream that it knows of.
	progress func(int64)
	told     int64

	// past is up to where each secret was found already, in the present stream.
	past []int64
	seen int64 // the same for patterns
	// last is the end of the stream that was searched.
	last []byte

	wide    [2]stretch // of both orders
	scratch scratch
}

// stretch is what narrowed made of the buffer between two places. Places that pass come close
// together where somebody plays with part of a secret, so it is kept for the next.
type stretch struct {
	low, high int
	text      []byte
	from      []int32
}

func newSearcher(s *sieve, secrets int, patterns bool) *searcher {
	overlap := s.span
	if patterns {
		overlap = max(overlap, patternSpan)
	}
	return &searcher{sieve: s, patterns: patterns, overlap: overlap, past: make([]int64, secrets)}
}

// reset prepares for another stream.
func (s *searcher) reset() {
	clear(s.past)
	s.seen, s.told = 0, 0
	s.forget()
}

// forget notes that the buffer holds something else.
func (s *searcher) forget() {
	for i := range s.wide {
		s.wide[i].low, s.wide[i].high = 0, 0
	}
}

// head reads the beginning of a stream into the buffer: all of it, if it is short.
func (s *searcher) head(in io.Reader) ([]byte, error) {
	if s.buf == nil {
		s.buf = make([]byte, chunk+2*s.overlap)
	}
	n, err := readFull(in, s.buf)
	return s.buf[:n], err
}

// readFull fills the buffer, unless the stream ends before that. The error says how it ended.
func readFull(in io.Reader, buf []byte) (n int, err error) {
	for idle := 0; n < len(buf) && err == nil; {
		var m int
		m, err = in.Read(buf[n:])
		n += m
		if idle++; m > 0 {
			idle = 0
		} else if idle > 100 && err == nil {
			err = io.ErrNoProgress
		}
	}
	return n, err
}

// search looks through a stream of which the head was read already with the error. It returns
// how many bytes it saw, and the error that ended the stream, unless that is its end.
func (s *searcher) search(ctx context.Context, head []byte, err error, in io.Reader, report func(match)) (int64, error) {
	s.reset()
	text, base, from := head, int64(0), 0
	lines := newLineCounter(head)
	for {
		limit := len(text)
		if err == nil {
			limit -= s.overlap
		}
		from = s.scan(text, from, limit, base, &lines, report)
		if s.patterns {
			s.scanPatterns(text, limit, base, &lines, report)
		}
		switch {
		case errors.Is(err, io.EOF):
			s.last = text
			return base + int64(len(text)), nil
		case err != nil:
			return base + int64(len(text)), err
		case ctx.Err() != nil:
			return base + int64(len(text)), context.Cause(ctx)
		}
		drop := max(0, min(from, limit)-s.overlap)
		lines.drop(text, base, drop)
		n := copy(s.buf, text[drop:])
		s.forget()
		base, from = base+int64(drop), from-drop
		if s.progress != nil && base-s.told >= progressStep {
			s.progress(base - s.told)
			s.told = base
		}
		var more int
		more, err = readFull(in, s.buf[n:])
		text = s.buf[:n+more]
	}
}

// scan looks for the secrets from a place up to a limit and returns where to go on.
func (s *searcher) scan(text []byte, from, limit int, base int64, lines *lineCounter, report func(match)) int {
	for {
		p, passes := s.sieve.next(text, from, limit)
		if !passes {
			return p
		}
		four, eight := s.sieve.at(text, p)
		for _, anchors := range [2][]anchor{four, eight} {
			for i := range anchors {
				if a := &anchors[i]; base+int64(p) >= s.past[a.needle.secret] {
					s.compare(text, p, base, a, lines, report)
				}
			}
		}
		from = p + s.sieve.stride
	}
}

// compare decides whether an anchor is part of a secret.
func (s *searcher) compare(text []byte, p int, base int64, a *anchor, lines *lineCounter, report func(match)) {
	n := a.needle
	begin, end, how, ok, order := 0, 0, traits(0), false, a.width
	if order == narrow {
		if begin = p - a.off; a.form.literal && begin >= 0 && string(text[begin:min(len(text), begin+len(a.form.text))]) == a.form.text {
			end, ok = begin+len(a.form.text), true
		} else {
			begin, end, how, ok = n.follow(text, p-a.inside, a.unit, &s.scratch)
		}
	} else {
		begin, end, how, ok = s.followWide(text, p-a.inside, a)
		if ok {
			begin, end, order = byteOrder(text, begin, end, base, order)
		}
	}
	if !ok {
		return
	}
	s.past[n.secret] = base + int64(end)
	m := match{secret: n.secret, form: describe(n, order, how), begin: base + int64(begin), end: base + int64(end)}
	m.line, m.column = lines.at(text, base, begin, order)
	report(m)
}

// followWide is follow in UTF-16.
func (s *searcher) followWide(text []byte, at int, a *anchor) (begin, end int, how traits, ok bool) {
	if at < 0 {
		return 0, 0, 0, false
	}
	w := &s.wide[a.width-littleEndian]
	low, high := at-min(at, 2*a.needle.span)&^1, min(len(text), at+2*a.needle.span)
	if w.low > low || w.high < high || (at-w.low)%2 != 0 {
		if at < w.high { // this is not the first place around here
			high = min(len(text), high+chunk/2)
		}
		w.low, w.high = low, high
		w.text, w.from = narrowed(text[low:high], a.width, w.text, w.from)
	}
	i, exact := slices.BinarySearch(w.from, int32(at-w.low))
	if !exact {
		return 0, 0, 0, false
	}
	begin, end, how, ok = a.needle.follow(w.text, i, a.unit, &s.scratch)
	if !ok {
		return 0, 0, 0, false
	}
	return w.low + int(w.from[begin]), w.low + int(w.from[end]), how, true
}

// byteOrder tells the order of a match, for ASCII in UTF-16 can be read in both, a byte apart.
// Characters begin at even offsets, as they do in files of their own.
func byteOrder(text []byte, begin, end int, base int64, order width) (int, int, width) {
	if (base+int64(begin))%2 == 0 {
		return begin, end, order
	}
	zeros, by := begin+1, -1 // of LE
	if order == bigEndian {
		zeros, by = begin, 1
	}
	if begin+by < 0 || end+by > len(text) || by > 0 && text[end] != 0 || by < 0 && text[begin-1] != 0 {
		return begin, end, order
	}
	for i := zeros; i < end; i += 2 {
		if text[i] != 0 {
			return begin, end, order
		}
	}
	return begin + by, end + by, bigEndian + littleEndian - order
}

// describe names a form: what the text is and what was done to it.
func describe(n *needle, w width, how traits) string {
	var parts []string
	switch {
	case n.writing == asBase64:
		parts = append(parts, "base64")
	case n.writing == asHex:
		parts = append(parts, "hex")
	case how&^(broken|cased) == 0 && w == narrow:
		parts = append(parts, "verbatim")
	}
	if n.of != "" {
		parts[0] += " of " + n.of
	}
	for _, t := range []struct {
		traits
		name string
	}{
		{percents, "percent-encoded"}, {escapes, "string-escaped"}, {entities, "XML-escaped"}, {quoted, "quoted-printable"}, {quotes, "quoted"},
		{separators, "with separators"}, {broken, "split"}, {cased, "in the other case"},
	} {
		if how&t.traits != 0 {
			parts = append(parts, t.name)
		}
	}
	switch w {
	case littleEndian:
		parts = append(parts, "UTF-16LE")
	case bigEndian:
		parts = append(parts, "UTF-16BE")
	}
	return strings.Join(parts, ", ")
}

// inBytes reports whether a short text holds a secret, and returns it without.
func (s *searcher) inBytes(text string) ([]match, string) {
	if len(text) < MinSecret {
		return nil, text
	}
	s.reset()
	var found []match
	s.scan([]byte(text), 0, len(text), 0, &lineCounter{encoding: noText}, func(m match) { found = append(found, m) })
	if len(found) == 0 {
		return nil, text
	}
	slices.SortFunc(found, func(a, b match) int { return cmp.Compare(a.begin, b.begin) })
	var b strings.Builder
	at := 0
	for _, m := range found {
		if int(m.begin) >= at {
			b.WriteString(text[at:m.begin] + "REDACTED")
		}
		at = max(at, int(m.end))
	}
	b.WriteString(text[at:])
	return found, b.String()
}
