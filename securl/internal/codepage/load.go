package codepage

import (
	"bytes"
	"compress/flate"
	_ "embed"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
)

// section is where one page lies in tables.bin, and how long it is when unpacked.
type section struct {
	number              int
	offset, packed, raw int
}

//go:embed tables.bin
var tables []byte

// loaders unpacks each page once, on its first use. A page takes up to 420 KiB in memory and
// about a millisecond.
var loaders = func() map[int]func() *Page {
	m := make(map[int]func() *Page, len(sections))
	for _, s := range sections {
		m[s.number] = sync.OnceValue(s.load)
	}
	return m
}()

// Get returns the code page with this number, or nil if there is no table for it.
func Get(number int) *Page {
	if load := loaders[number]; load != nil {
		return load()
	}
	return nil
}

// Numbers returns the numbers of all pages, in rising order.
func Numbers() []int {
	out := make([]int, len(sections))
	for i, s := range sections {
		out[i] = s.number
	}
	return out
}

// leads are the ranges of lead bytes, as GetCPInfo reports them. The tables cannot tell: some
// lead bytes have no character assigned.
var leads = map[int][][2]byte{
	932: {{0x81, 0x9F}, {0xE0, 0xFC}},
	936: {{0x81, 0xFE}},
	949: {{0x81, 0xFE}},
	950: {{0x81, 0xFE}},
}

// load unpacks a section. The data is part of the program and covered by tests, so anything
// wrong with it is a defect in the build.
func (s section) load() *Page {
	raw, err := io.ReadAll(flate.NewReader(bytes.NewReader(tables[s.offset : s.offset+s.packed])))
	if err != nil || len(raw) != s.raw {
		panic(fmt.Sprintf("codepage: table %d is damaged", s.number))
	}
	p := &Page{number: s.number}
	for i := range p.one {
		p.one[i] = undefined
	}
	for _, span := range leads[s.number] {
		p.double = true
		for b := int(span[0]); b <= int(span[1]); b++ {
			p.lead[b] = true
		}
	}
	r := columns{raw}
	for code, unit := range r.pairs() { // exact in both directions, by code
		p.encode(unit, code, Exact)
		p.decode(code, unit)
	}
	for unit, code := range r.pairs() { // best fits, by unit
		p.encode(unit, code, Best)
	}
	for code, unit := range r.pairs() { // only from bytes to Unicode, by code
		p.decode(code, unit)
	}
	return p
}

func (p *Page) encode(unit, code uint16, fit Fit) {
	if p.code[unit>>8] == nil {
		p.code[unit>>8], p.fit[unit>>8] = new([256]uint16), new([256]Fit)
	}
	p.code[unit>>8][unit&0xFF], p.fit[unit>>8][unit&0xFF] = code, fit
}

func (p *Page) decode(code, unit uint16) {
	if code <= 0xFF {
		p.one[code] = unit
		return
	}
	row := p.two[code>>8]
	if row == nil {
		row = new([256]uint16)
		for i := range row {
			row[i] = undefined
		}
		p.two[code>>8] = row
	}
	row[code&0xFF] = unit
}

// columns reads what gen writes: a list of pairs is its length (two bytes, big endian) and four
// runs of that many bytes: the high and the low bytes of the keys, then of the values, where
// each key and value is the difference to the one before. Apart and as differences, they pack
// to two thirds of the size.
type columns struct{ rest []byte }

func (c *columns) pairs() func(func(key, value uint16) bool) {
	n := int(binary.BigEndian.Uint16(c.rest))
	body := c.rest[2 : 2+4*n]
	c.rest = c.rest[2+4*n:]
	return func(yield func(key, value uint16) bool) {
		var key, value uint16
		for i := range n {
			key += uint16(body[i])<<8 | uint16(body[n+i])
			value += uint16(body[2*n+i])<<8 | uint16(body[3*n+i])
			if !yield(key, value) {
				return
			}
		}
	}
}
