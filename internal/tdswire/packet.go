// Package tdswire reads and writes the parts of TDS, the protocol of SQL Server, that come
// before and around a login: packets, PRELOGIN, LOGIN7, TLS records inside packets, and the
// answers of SQL Server Browser. It knows no SQL and keeps no state.
//
// Every reader is bounded and takes nothing on trust: the peers here are servers under
// examination and clients that were lured to a trap.
//
// References: MS-TDS 2.2.3.1 (packet header), 2.2.6.4 (LOGIN7), 2.2.6.5 (PRELOGIN); MC-SQLR.
package tdswire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Type is the kind of a packet, its first byte (MS-TDS 2.2.3.1.1).
type Type byte

// The packet types. A server answers everything with Reply.
const (
	SQLBatch           Type = 0x01
	RPC                Type = 0x03
	Reply              Type = 0x04
	Attention          Type = 0x06
	BulkLoad           Type = 0x07
	TransactionManager Type = 0x0e
	Login7             Type = 0x10
	SSPI               Type = 0x11
	PreLogin           Type = 0x12 // also carries the TLS handshake up to TDS 7.4
)

// TLSHandshake is the first byte of a TLS handshake record: with TDS 8.0 the connection begins
// with one.
const TLSHandshake = 0x16

const (
	headerSize    = 8
	statusEOM     = 0x01 // last packet of a message
	maxPacketSize = 32767
	// DefaultPacketSize is what both sides use until LOGIN7 agrees on another size.
	DefaultPacketSize = 4096
)

// Packet is one packet without its header.
type Packet struct {
	Type    Type
	Last    bool // of its message
	Payload []byte
}

// ErrNotTDS says that the peer's first bytes cannot be a packet header.
var ErrNotTDS = errors.New("tdswire: the peer does not speak TDS")

// ReadPacket reads one packet. It never reads beyond it.
func ReadPacket(r io.Reader) (Packet, error) {
	var h [headerSize]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return Packet{}, err
	}
	size := int(binary.BigEndian.Uint16(h[2:]))
	switch Type(h[0]) {
	case SQLBatch, RPC, Reply, Attention, BulkLoad, TransactionManager, Login7, SSPI, PreLogin, 0x08:
	default:
		return Packet{}, fmt.Errorf("%w: its answer begins with % x", ErrNotTDS, h[:4])
	}
	if size < headerSize || size > maxPacketSize {
		return Packet{}, fmt.Errorf("tdswire: a packet claims a length of %d bytes", size)
	}
	p := Packet{Type: Type(h[0]), Last: h[1]&statusEOM != 0, Payload: make([]byte, size-headerSize)}
	if _, err := io.ReadFull(r, p.Payload); err != nil {
		return Packet{}, fmt.Errorf("tdswire: a packet of %d bytes ends early: %w", size, noEOF(err))
	}
	return p, nil
}

// noEOF makes an end inside a packet different from one between packets.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// ErrTooLong says that a message exceeds the reader's limit.
var ErrTooLong = errors.New("tdswire: the message is too long")

// ReadMessage reads packets up to the last of a message, whose payloads together may have at
// most limit bytes. An end of input before the first packet is io.EOF.
func ReadMessage(r io.Reader, limit int) (Type, []byte, error) {
	p, err := ReadPacket(r)
	if err != nil {
		return 0, nil, err
	}
	message, t := p.Payload, p.Type
	for empty := 0; ; {
		if len(message) > limit {
			return t, nil, ErrTooLong
		}
		if p.Last {
			return t, message, nil
		}
		if p, err = ReadPacket(r); err != nil {
			return t, nil, noEOF(err)
		}
		if p.Type != t {
			return t, nil, fmt.Errorf("tdswire: a packet of type %#02x in a message of type %#02x", byte(p.Type), byte(t))
		}
		if len(p.Payload) == 0 {
			if empty++; empty > 16 {
				return t, nil, ErrTooLong
			}
		}
		message = append(message, p.Payload...)
	}
}

// AppendMessage appends the message cut into packets of at most packetSize bytes.
func AppendMessage(b []byte, t Type, message []byte, packetSize int) []byte {
	if packetSize <= headerSize || packetSize > maxPacketSize {
		packetSize = DefaultPacketSize
	}
	for id := byte(1); ; id++ {
		chunk := message[:min(len(message), packetSize-headerSize)]
		message = message[len(chunk):]
		status := byte(0)
		if len(message) == 0 {
			status = statusEOM
		}
		size := headerSize + len(chunk)
		b = append(b, byte(t), status, byte(size>>8), byte(size), 0, 0, id, 0)
		b = append(b, chunk...)
		if len(message) == 0 {
			return b
		}
	}
}

// WriteMessage writes the message, all packets at once.
func WriteMessage(w io.Writer, t Type, message []byte, packetSize int) error {
	_, err := w.Write(AppendMessage(make([]byte, 0, len(message)+2*headerSize), t, message, packetSize))
	return err
}
