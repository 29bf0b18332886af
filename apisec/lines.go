package apisec

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"
)

// lineCounter tells the lines and columns of a stream, counted as SARIF and editors do: lines end
// with LF, a column is a Unicode code point, and a byte order mark takes none. A byte that is not
// UTF-8 takes one, as it does in a code page.
type lineCounter struct {
	encoding encoding
	buffer   cursor // where the buffer begins
	asked    cursor // where the last answer was, from which the next is counted on
}

// cursor is a place in a stream, counted from 0.
type cursor struct {
	at           int64
	line, column int
}

type encoding uint8

const (
	eightBit encoding = iota // UTF-8, and the code pages that have ASCII in them
	utf16LE                  // UTF-16 that says so
	utf16BE
	noText
)

// newLineCounter tells the encoding by how the stream begins.
func newLineCounter(head []byte) lineCounter {
	l := lineCounter{}
	switch {
	case bytes.HasPrefix(head, []byte("\xff\xfe")):
		l.encoding, l.buffer.at = utf16LE, 2
	case bytes.HasPrefix(head, []byte("\xfe\xff")):
		l.encoding, l.buffer.at = utf16BE, 2
	case bytes.IndexByte(head[:min(len(head), 8<<10)], 0) >= 0:
		l.encoding = noText
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		l.buffer.at = 3
	}
	l.asked = l.buffer
	return l
}

// drop notes that the first bytes of the buffer go.
func (l *lineCounter) drop(text []byte, base int64, n int) {
	l.advance(&l.buffer, text, base, n)
	l.asked = l.buffer
}

// at returns line and column of a place in the buffer, counted from 1; zeros, if there is no text,
// or one in another width than that of the place.
func (l *lineCounter) at(text []byte, base int64, place int, order width) (line, column int) {
	if l.encoding == noText || order == narrow && l.encoding != eightBit {
		return 0, 0
	}
	if base+int64(place) < l.asked.at {
		l.asked = l.buffer
	}
	l.advance(&l.asked, text, base, place)
	return l.asked.line + 1, l.asked.column + 1
}

// advance moves a cursor to a place in the buffer, and behind the character that it is in.
func (l *lineCounter) advance(c *cursor, text []byte, base int64, place int) {
	from := int(c.at - base)
	if l.encoding == noText || from >= place {
		return
	}
	if l.encoding == eightBit {
		if i := bytes.LastIndexByte(text[from:place], '\n'); i >= 0 {
			c.line += bytes.Count(text[from:from+i+1], []byte{'\n'})
			c.column, from = 0, from+i+1
		}
		n, to := characters(text, from, place)
		c.column, c.at = c.column+n, base+int64(to)
		return
	}
	var order binary.ByteOrder = binary.LittleEndian
	if l.encoding == utf16BE {
		order = binary.BigEndian
	}
	for i := from; ; { // units begin where from does, in steps of two
		j := bytes.IndexByte(text[i:place], '\n')
		if j < 0 {
			break
		}
		unit := i + j - (i+j-from)%2
		if i = unit + 2; i > place {
			break
		}
		if order.Uint16(text[unit:]) == '\n' {
			c.line++
			c.column, from = 0, i
		}
	}
	for ; from+1 < place; from += 2 {
		if u := order.Uint16(text[from:]); u < 0xdc00 || 0xdfff < u { // the second half of a pair
			c.column++
		}
	}
	c.at = base + int64(from)
}

// characters counts those that begin between two places, and tells where the last of them ends.
func characters(text []byte, from, place int) (n, to int) {
	for from < place {
		if from+8 <= place && binary.LittleEndian.Uint64(text[from:])&0x8080808080808080 == 0 {
			n, from = n+8, from+8
			continue
		}
		size := 1
		if text[from] >= utf8.RuneSelf {
			_, size = utf8.DecodeRune(text[from:])
		}
		n, from = n+1, from+size
	}
	return n, from
}
