package trap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/connsec/connsec/internal/tdswire"
)

// procExecuteSQL is the number of sp_executesql (MS-TDS 2.2.6.6).
const procExecuteSQL = 10

// readRPC reads a remote procedure call. Of the well-known procedures it knows sp_executesql.
func readRPC(b []byte) (SQLQuery, error) {
	r := &rpcReader{b: b}
	name, id := "", uint16(0)
	if n := r.u16(); n == 0xffff {
		id = r.u16()
	} else {
		name = tdswire.UTF16(r.take(2 * int(n)))
	}
	r.u16() // option flags
	var args []SQLArg
	for r.bad == nil && len(r.b) > 0 {
		if r.b[0] == 0xff || r.b[0] == 0x80 { // another call in the same message
			return SQLQuery{}, errors.New("the trap takes one call at a time")
		}
		a := SQLArg{Name: tdswire.UTF16(r.take(2 * int(r.u8())))}
		r.u8() // status
		a.Value = r.value()
		args = append(args, a)
	}
	if r.bad != nil {
		return SQLQuery{}, r.bad
	}
	if id != procExecuteSQL && name != "sp_executesql" {
		if name == "" {
			return SQLQuery{}, fmt.Errorf("the trap does not know procedure number %d", id)
		}
		return SQLQuery{Text: "EXEC " + name, Args: args}, nil
	}
	if len(args) == 0 {
		return SQLQuery{}, errors.New("sp_executesql needs a statement")
	}
	text, ok := args[0].Value.(string)
	if !ok {
		return SQLQuery{}, errors.New("the statement for sp_executesql is no text")
	}
	return SQLQuery{Text: text, Args: args[min(2, len(args)):]}, nil
}

// rpcReader takes bytes from the front; after the first mistake it gives zeros.
type rpcReader struct {
	b   []byte
	bad error
}

func (r *rpcReader) take(n int) []byte {
	if r.bad == nil && (n < 0 || n > len(r.b)) {
		r.bad = errors.New("the call ends too early")
	}
	if r.bad != nil {
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *rpcReader) u8() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *rpcReader) u16() uint16 {
	if b := r.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (r *rpcReader) u32() uint32 {
	if b := r.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *rpcReader) u64() uint64 {
	if b := r.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// value reads a type with its value.
func (r *rpcReader) value() any {
	switch kind := r.u8(); kind {
	case 0x1f: // NULL
		return nil
	case typeInt:
		r.u8()
		return r.integer(r.take(int(r.u8())))
	case typeBit:
		r.u8()
		if b := r.take(int(r.u8())); len(b) > 0 {
			return b[0] != 0
		}
		return nil
	case typeFloat:
		r.u8()
		switch b := r.take(int(r.u8())); len(b) {
		case 4:
			return float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
		case 8:
			return math.Float64frombits(binary.LittleEndian.Uint64(b))
		}
		return nil
	case typeGUID:
		r.u8()
		if b := r.take(int(r.u8())); len(b) > 0 {
			return append([]byte{}, b...)
		}
		return nil
	case typeDate:
		return r.date(r.take(int(r.u8())))
	case typeDateTime2, typeOffset:
		scale := r.u8()
		return r.dateTime(r.take(int(r.u8())), scale, kind == typeOffset)
	case typeDateTimeN:
		r.u8()
		return r.oldDateTime(r.take(int(r.u8())))
	case typeNVarChar, typeNChar, typeVarChar, typeChar:
		size := r.u16()
		r.take(len(collation))
		data, null := r.bytes(size)
		switch {
		case null:
			return nil
		case kind == typeVarChar || kind == typeChar:
			runes := make([]rune, len(data)) // Latin-1 is near enough to the collation
			for i, c := range data {
				runes[i] = rune(c)
			}
			return string(runes)
		}
		return tdswire.UTF16(data)
	case typeVarBinary, typeBinary:
		data, null := r.bytes(r.u16())
		if null {
			return nil
		}
		return data
	default:
		if r.bad == nil {
			r.bad = fmt.Errorf("the trap does not know parameters of type %#02x", kind)
		}
		return nil
	}
}

func (r *rpcReader) integer(b []byte) any {
	switch len(b) {
	case 1:
		return int64(b[0])
	case 2:
		return int64(int16(binary.LittleEndian.Uint16(b)))
	case 4:
		return int64(int32(binary.LittleEndian.Uint32(b)))
	case 8:
		return int64(binary.LittleEndian.Uint64(b))
	}
	return nil
}

// bytes reads a value of a type with that maximal size: short, or long in chunks.
func (r *rpcReader) bytes(size uint16) (data []byte, null bool) {
	if size != longType {
		n := r.u16()
		if n == 0xffff {
			return nil, true
		}
		return append([]byte{}, r.take(int(n))...), false
	}
	if r.u64() == plpNull {
		return nil, true
	}
	data = []byte{}
	for {
		n := r.u32()
		if n == 0 || r.bad != nil {
			return data, false
		}
		if int64(n) > int64(len(r.b)) {
			r.take(len(r.b) + 1)
			return nil, false
		}
		data = append(data, r.take(int(n))...)
	}
}

func (r *rpcReader) date(b []byte) any {
	if len(b) != 3 {
		return nil
	}
	return dayOne.AddDate(0, 0, int(b[0])|int(b[1])<<8|int(b[2])<<16)
}

func (r *rpcReader) dateTime(b []byte, scale byte, offset bool) any {
	n := 3
	switch {
	case scale > 7:
		if r.bad == nil {
			r.bad = errors.New("a time has more than seven digits of a second")
		}
		return nil
	case scale > 4:
		n = 5
	case scale > 2:
		n = 4
	}
	want := n + 3
	if offset {
		want += 2
	}
	if len(b) != want {
		return nil
	}
	var ticks uint64
	for i := n - 1; i >= 0; i-- {
		ticks = ticks<<8 | uint64(b[i])
	}
	for ; scale < 7; scale++ {
		ticks *= 10
	}
	day, _ := r.date(b[n : n+3]).(time.Time)
	t := day.Add(time.Duration(ticks%(86400*1e7)) * 100)
	if offset { // the value is in UTC
		t = t.In(time.FixedZone("", 60*int(int16(binary.LittleEndian.Uint16(b[n+3:])))))
	}
	return t
}

// oldDateTime is DATETIME: days since 1900 and three hundredths of a second.
func (r *rpcReader) oldDateTime(b []byte) any {
	if len(b) != 8 {
		return nil
	}
	days, ticks := int32(binary.LittleEndian.Uint32(b)), binary.LittleEndian.Uint32(b[4:])
	return time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, int(days)).Add(time.Duration(ticks) * time.Second / 300)
}
