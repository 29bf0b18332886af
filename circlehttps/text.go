package circlehttps

import (
	"bytes"
	"encoding/binary"
	"html"
	"slices"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/connsec/connsec"
)

// span says where in a file each byte of a text came from. The text may have been cut out of
// the file, decoded, or put together from several literals.
type span struct {
	base int
	at   []int32 // nil: byte i came from base+i. Otherwise one entry per byte, plus the end.
}

func (s span) file(i int) int {
	if s.at == nil {
		return s.base + i
	}
	return int(s.at[i])
}

// from returns the span of text[i:].
func (s span) from(i int) span {
	if s.at == nil {
		return span{base: s.base + i}
	}
	return span{at: s.at[i:]}
}

// mapped is a text whose bytes know where they came from.
type mapped struct {
	text []byte
	span span
}

func (m mapped) cut(i, j int) mapped { return mapped{m.text[i:j:j], m.span.from(i)} }

// decoder builds a mapped text byte by byte.
type decoder struct {
	text []byte
	at   []int32
	from span
}

func newDecoder(m mapped) *decoder {
	return &decoder{text: make([]byte, 0, len(m.text)), at: make([]int32, 0, len(m.text)+1), from: m.span}
}

func (d *decoder) add(i int, b ...byte) {
	for _, c := range b {
		d.text = append(d.text, c)
		d.at = append(d.at, int32(d.from.file(i)))
	}
}

func (d *decoder) rune(i int, r rune) {
	var buf [utf8.UTFMax]byte
	d.add(i, buf[:utf8.EncodeRune(buf[:], r)]...)
}

func (d *decoder) done(end int) mapped {
	return mapped{d.text, span{at: append(d.at, int32(d.from.file(end)))}}
}

// join appends b to a. A text that was joined or decoded before grows in place, so that many
// parts cost no more than their length.
func join(a, b mapped) mapped {
	if len(a.text) == 0 {
		return b
	}
	at := a.span.at
	if at == nil {
		at = make([]int32, len(a.text)+1, 2*len(a.text)+len(b.text)+1)
		for i := range at {
			at[i] = int32(a.span.file(i))
		}
	}
	at = at[:len(a.text)]
	for i := range len(b.text) + 1 {
		at = append(at, int32(b.span.file(i)))
	}
	return mapped{append(a.text, b.text...), span{at: at}}
}

// longestEntity bounds the look-ahead for a character reference; the longest name in the HTML
// standard is CounterClockwiseContourIntegral.
const longestEntity = 33

// decodeEntities resolves HTML character references.
func decodeEntities(m mapped) mapped {
	if bytes.IndexByte(m.text, '&') < 0 {
		return m
	}
	d := newDecoder(m)
	for i := 0; i < len(m.text); {
		if m.text[i] != '&' {
			d.add(i, m.text[i])
			i++
			continue
		}
		j := i + 1
		for j < len(m.text) && j-i < longestEntity && (isAlnum(m.text[j]) || m.text[j] == '#') {
			j++
		}
		if j < len(m.text) && m.text[j] == ';' {
			j++
		}
		d.add(i, []byte(html.UnescapeString(string(m.text[i:j])))...)
		i = j
	}
	return d.done(len(m.text))
}

// withoutBreaks removes tabs and line ends, as browsers do in every URL attribute (WHATWG URL
// 4.4), and leading blanks.
func withoutBreaks(m mapped) mapped {
	for len(m.text) > 0 && m.text[0] <= ' ' {
		m = m.cut(1, len(m.text))
	}
	if !bytes.ContainsAny(m.text, "\t\r\n") {
		return m
	}
	d := newDecoder(m)
	for i, c := range m.text {
		if c != '\t' && c != '\r' && c != '\n' {
			d.add(i, c)
		}
	}
	return d.done(len(m.text))
}

// decodePercent resolves percent-encoding (WHATWG URL 1.3).
func decodePercent(m mapped) mapped {
	if bytes.IndexByte(m.text, '%') < 0 {
		return m
	}
	d := newDecoder(m)
	for i := 0; i < len(m.text); {
		if m.text[i] == '%' && hexLen(m.text[i+1:], 2) == 2 {
			d.add(i, byte(hexRune(m.text[i+1:i+3])))
			i += 3
			continue
		}
		d.add(i, m.text[i])
		i++
	}
	return d.done(len(m.text))
}

// decodeJS resolves the escapes of a JavaScript string or template (ECMA-262 12.9.4).
func decodeJS(m mapped) mapped {
	if bytes.IndexByte(m.text, '\\') < 0 {
		return m
	}
	t := m.text
	d := newDecoder(m)
	for i := 0; i < len(t); {
		if t[i] != '\\' || i+1 >= len(t) {
			d.add(i, t[i])
			i++
			continue
		}
		switch c := t[i+1]; {
		case c == 'x' && hexLen(t[i+2:], 2) == 2:
			d.rune(i, hexRune(t[i+2:i+4]))
			i += 4
		case c == 'u' && hexLen(t[i+2:], 4) == 4 && surrogates(t[i:]) != utf8.RuneError:
			d.rune(i, surrogates(t[i:]))
			i += 12
		case c == 'u' && hexLen(t[i+2:], 4) == 4:
			d.rune(i, hexRune(t[i+2:i+6]))
			i += 6
		case c == 'u' && i+2 < len(t) && t[i+2] == '{':
			n := hexLen(t[i+3:], 8)
			if n == 0 || i+3+n >= len(t) || t[i+3+n] != '}' {
				d.add(i, c)
				i += 2
				continue
			}
			d.rune(i, hexRune(t[i+3:i+3+n]))
			i += 4 + n
		case c == '\r' && i+2 < len(t) && t[i+2] == '\n':
			i += 3
		case c == '\n' || c == '\r':
			i += 2
		case c >= '0' && c <= '7':
			n := 1
			for n < 3 && i+1+n < len(t) && t[i+1+n] >= '0' && t[i+1+n] <= '7' {
				n++
			}
			v := 0
			for _, o := range t[i+1 : i+1+n] {
				v = v*8 + int(o-'0')
			}
			d.rune(i, rune(v))
			i += 1 + n
		default:
			if k := bytes.IndexByte([]byte("bfnrtv"), c); k >= 0 {
				c = "\b\f\n\r\t\v"[k]
			}
			d.add(i, c)
			i += 2
		}
	}
	return d.done(len(t))
}

// decodeCSS resolves the escapes of a CSS string or URL (CSS Syntax 4.3.7).
func decodeCSS(m mapped) mapped {
	if bytes.IndexByte(m.text, '\\') < 0 {
		return m
	}
	t := m.text
	d := newDecoder(m)
	for i := 0; i < len(t); {
		if t[i] != '\\' || i+1 >= len(t) {
			d.add(i, t[i])
			i++
			continue
		}
		if n := hexLen(t[i+1:], 6); n > 0 {
			d.rune(i, hexRune(t[i+1:i+1+n]))
			i += 1 + n
			if i < len(t) && (t[i] == ' ' || t[i] == '\n' || t[i] == '\t') {
				i++
			}
			continue
		}
		if t[i+1] != '\n' {
			d.add(i, t[i+1])
		}
		i += 2
	}
	return d.done(len(t))
}

func hexLen(b []byte, most int) int {
	n := 0
	for n < most && n < len(b) && hexDigit(b[n]) >= 0 {
		n++
	}
	return n
}

// surrogates returns the character beyond the BMP that t begins with as two escapes of four
// digits, or RuneError.
func surrogates(t []byte) rune {
	if len(t) < 12 || t[6] != '\\' || t[7] != 'u' || hexLen(t[8:], 4) != 4 {
		return utf8.RuneError
	}
	return utf16.DecodeRune(hexRune(t[2:6]), hexRune(t[8:12]))
}

func hexRune(b []byte) rune {
	r := rune(0)
	for _, c := range b {
		if r > utf8.MaxRune {
			return utf8.RuneError
		}
		r = r<<4 | rune(hexDigit(c))
	}
	return r
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

// lines turns offsets of one file into positions. Lines end with LF; the index is built when
// the first position is asked for.
type lines struct {
	file   string
	src    []byte
	starts []int32
	// inner is how many bytes in front of each block of innerBlock bytes are inside of a
	// character of UTF-8, and not its first. Nil: none is, or the file is in a code page.
	inner []int32
}

// innerBlock is how many bytes one position costs at most, however long its line is.
const innerBlock = 512

func newLines(file string, src []byte) *lines { return &lines{file: file, src: src} }

func (l *lines) position(off int) connsec.Position {
	if l.starts == nil {
		l.starts = append(l.starts, 0)
		for at := 0; ; {
			i := bytes.IndexByte(l.src[at:], '\n')
			if i < 0 {
				break
			}
			at += i + 1
			l.starts = append(l.starts, int32(at))
		}
		l.countInner()
	}
	off = min(max(off, 0), len(l.src))
	line, found := slices.BinarySearch(l.starts, int32(off))
	if !found {
		line--
	}
	begin := int(l.starts[line])
	if line == 0 && bytes.HasPrefix(l.src, []byte("\ufeff")) { // which no editor counts
		begin = min(len("\ufeff"), off)
	}
	return connsec.Position{File: l.file, Line: line + 1, Column: off - l.innerTo(off) - (begin - l.innerTo(begin)) + 1}
}

func (l *lines) countInner() {
	if ascii(l.src) || !utf8.Valid(l.src) {
		return
	}
	n := int32(0)
	for i, c := range l.src {
		if i%innerBlock == 0 {
			l.inner = append(l.inner, n)
		}
		if !utf8.RuneStart(c) {
			n++
		}
	}
}

func ascii(text []byte) bool {
	for ; len(text) >= 8; text = text[8:] {
		if binary.LittleEndian.Uint64(text)&0x8080808080808080 != 0 {
			return false
		}
	}
	for _, c := range text {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func (l *lines) innerTo(off int) int {
	if l.inner == nil {
		return 0
	}
	block := min(off/innerBlock, len(l.inner)-1)
	n := int(l.inner[block])
	for _, c := range l.src[block*innerBlock : off] {
		if !utf8.RuneStart(c) {
			n++
		}
	}
	return n
}
