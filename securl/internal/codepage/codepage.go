// Package codepage converts between Unicode and the ANSI and OEM code pages in which SQL
// Server stores VARCHAR data, byte for byte as Windows does it.
//
// Encoding follows WideCharToMultiByte without WC_NO_BEST_FIT_CHARS, which is what SQL Server
// uses: a character that the page lacks becomes a similar one where Windows lists one (the
// best fit: "ł" is "l" in 1252), and "?" otherwise. The conversion sees UTF-16 code units, so a
// character beyond U+FFFF becomes two question marks.
//
// The tables come from recordings of Windows itself (see tables.go). Those of golang.org/x/text
// have no best fit and are other tables for 932, 936 and 950. Pages are unpacked on first use.
//
// Not here: UTF-8 and UTF-16, which need no table, and normalisation, which SQL Server does not
// do either.
package codepage

//go:generate go run ./gen -in ../../../../shared/data/ucm

import (
	"unicode/utf8"
)

// Page is one code page. Pages are immutable and safe for concurrent use.
type Page struct {
	number int
	double bool // has two-byte characters
	lead   [256]bool
	// code holds for each UTF-16 unit the bytes (a one-byte character as 0x00nn), in blocks
	// of 256 units; a nil block maps nothing.
	code [256]*[256]uint16
	// fit tells, for the same units, which mappings are best fits or do not exist.
	fit [256]*[256]Fit
	// one and two are the reverse: Unicode by byte and by pair of bytes.
	one [256]uint16
	two [256]*[256]uint16
}

// Fit says how well a character survived the conversion to a code page.
type Fit uint8

const (
	// None: the page lacks the character; "?" took its place. It is the zero value because
	// most of Unicode is in no code page.
	None Fit = iota
	// Best: a similar character took its place, which does not convert back.
	Best
	// Exact: the character converts back to itself.
	Exact
)

// undefined marks bytes that stand for no character. U+FFFF is not a character either, and no
// page maps to it.
const undefined = 0xFFFF

// Number returns the code page's identifier, such as 1252.
func (p *Page) Number() int { return p.number }

// Lead reports whether b begins a two-byte character, assigned or not (as IsDBCSLeadByteEx).
func (p *Page) Lead(b byte) bool { return p.lead[b] }

// Double reports whether the page has two-byte characters.
func (p *Page) Double() bool { return p.double }

// Unit returns the bytes for one UTF-16 code unit: one byte if the high byte is 0, otherwise
// the lead byte and the trail byte.
func (p *Page) Unit(u uint16) (uint16, Fit) {
	if b := p.fit[u>>8]; b != nil && b[u&0xFF] != None {
		return p.code[u>>8][u&0xFF], b[u&0xFF]
	}
	return '?', None
}

// Append appends s, which must be valid UTF-8, to dst in the code page, and stops before the
// first character that would make the appended bytes more than most. It returns the worst fit
// of the characters it took, and how many bytes of s they were; fewer than len(s) means that
// the rest was cut off.
//
// A character beyond U+FFFF is two units and may be cut between its two question marks; it is
// then not counted.
func (p *Page) Append(dst []byte, s string, most int) (out []byte, worst Fit, n int) {
	worst = Exact
	end := len(dst) + most
	for n < len(s) {
		r, size := rune(s[n]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(s[n:])
		}
		switch {
		case r > 0xFFFF:
			if len(dst)+1 > end {
				return dst, worst, n
			}
			worst = None
			if len(dst)+2 > end {
				return append(dst, '?'), worst, n
			}
			dst = append(dst, '?', '?')
		default:
			code, fit := p.Unit(uint16(r))
			if code > 0xFF {
				if len(dst)+2 > end {
					return dst, worst, n
				}
				dst = append(dst, byte(code>>8), byte(code))
			} else {
				if len(dst)+1 > end {
					return dst, worst, n
				}
				dst = append(dst, byte(code))
			}
			worst = min(worst, fit)
		}
		n += size
	}
	return dst, worst, n
}

// Cut returns the longest prefix of b that is at most most bytes and does not end within a
// two-byte character.
func (p *Page) Cut(b []byte, most int) []byte {
	if len(b) <= most {
		return b
	}
	if !p.double {
		return b[:most]
	}
	n := 0
	for n < most {
		size := 1
		if p.Lead(b[n]) {
			size = 2
		}
		if n+size > most {
			break
		}
		n += size
	}
	return b[:n]
}

// Decode appends the characters of b as UTF-8 to dst. If b holds bytes that stand for no
// character in this page, it returns the offset of the first, otherwise -1: what Windows makes
// of such bytes has differed between versions, so nothing is made of them here.
func (p *Page) Decode(dst, b []byte) (out []byte, bad int) {
	for i := 0; i < len(b); i++ {
		u := p.one[b[i]]
		if p.lead[b[i]] {
			row := p.two[b[i]]
			if row == nil || i+1 == len(b) || row[b[i+1]] == undefined {
				return dst, i
			}
			i++
			u = row[b[i]]
		} else if u == undefined {
			return dst, i
		}
		dst = utf8.AppendRune(dst, rune(u))
	}
	return dst, -1
}
