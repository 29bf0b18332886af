package tdswire

import (
	"fmt"
	"net"
	"sync/atomic"
)

// HandshakeConn carries a TLS handshake inside PRELOGIN packets, as TDS up to 7.4 does (MS-TDS
// 3.2.5.2). After the handshake, TLS records travel bare: call Unwrap then.
type HandshakeConn struct {
	net.Conn
	bare atomic.Bool
	rest []byte // of the packet that was read last
}

// NewHandshakeConn wraps conn, on which PRELOGIN messages have been exchanged. It serves
// either side.
func NewHandshakeConn(conn net.Conn) *HandshakeConn { return &HandshakeConn{Conn: conn} }

// Unwrap ends the wrapping in both directions.
func (c *HandshakeConn) Unwrap() { c.bare.Store(true) }

// Read returns the payload of packets. Old servers send replies instead of PRELOGIN packets.
func (c *HandshakeConn) Read(b []byte) (int, error) {
	if len(c.rest) == 0 && c.bare.Load() {
		return c.Conn.Read(b)
	}
	for empty := 0; len(c.rest) == 0; empty++ {
		p, err := ReadPacket(c.Conn)
		if err != nil {
			return 0, err
		}
		if p.Type != PreLogin && p.Type != Reply {
			return 0, fmt.Errorf("tdswire: a packet of type %#02x in the TLS handshake", byte(p.Type))
		}
		if empty > 16 {
			return 0, ErrTooLong
		}
		c.rest = p.Payload
	}
	n := copy(b, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// Write sends b as one message: crypto/tls writes a whole flight at a time.
func (c *HandshakeConn) Write(b []byte) (int, error) {
	if c.bare.Load() {
		return c.Conn.Write(b)
	}
	if err := WriteMessage(c.Conn, PreLogin, b, DefaultPacketSize); err != nil {
		return 0, err
	}
	return len(b), nil
}
