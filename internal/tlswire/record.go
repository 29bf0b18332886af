package tlswire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Content types (RFC 8446 §5.1) and handshake types (§4; RFC 5246 §7.4).
const (
	recordChangeCipherSpec = 20
	recordAlert            = 21
	recordHandshake        = 22
	recordApplication      = 23
	recordHeartbeat        = 24

	typeHelloRequest       = 0
	typeClientHello        = 1
	typeServerHello        = 2
	typeCertificate        = 11
	typeServerKeyExchange  = 12
	typeCertificateRequest = 13
	typeServerHelloDone    = 14
	typeCertificateStatus  = 22
)

// Bounds on what a peer may send, see the package comment.
const (
	maxRecordBody   = 1<<14 + 2048 // RFC 5246 §6.2.3; in plaintext the peer owes us 2^14
	maxMessage      = 128 << 10
	maxFlight       = 256 << 10
	maxRecords      = 256
	maxCertificates = 64
	maxWarnings     = 4
)

// ErrTooLong is the error when a peer sends more than the bounds of this package.
var ErrTooLong = errors.New("tlswire: the peer sends more than a handshake needs")

// NotTLSError is the error when the first bytes are no TLS record.
type NotTLSError struct {
	// Prefix is what was read, at most five bytes. It is the peer's text: quote it.
	Prefix []byte
}

// Error quotes the first bytes.
func (e *NotTLSError) Error() string {
	return fmt.Sprintf("tlswire: the peer does not speak TLS: it begins with %q", e.Prefix)
}

func malformed(what string) error { return fmt.Errorf("tlswire: malformed %s", what) }

// records reads records and, over them, handshake messages. It reads no further than the
// record it returns.
type records struct {
	r      io.Reader
	header [5]byte
	total  int // bytes so far
	count  int
	hand   []byte // handshake bytes not yet consumed
	raw    []byte // all records, if keep
	keep   bool
}

// record returns the next one. At a clean end before a record the error is io.EOF; in the
// middle of one, io.ErrUnexpectedEOF. The body is valid until the next call.
func (r *records) record() (kind uint8, body []byte, err error) {
	n, err := io.ReadFull(r.r, r.header[:])
	if r.keep {
		r.raw = append(r.raw, r.header[:n]...)
	}
	// Only the first record can tell that the peer never spoke TLS; a foreign byte later is
	// a broken record.
	if h := r.header[:n]; n > 0 && (h[0] < recordChangeCipherSpec || h[0] > recordHeartbeat || n > 1 && h[1] != 3) {
		if r.count == 0 {
			return 0, nil, &NotTLSError{Prefix: append([]byte(nil), h...)}
		}
		return 0, nil, malformed("record header")
	}
	if err != nil {
		return 0, nil, err
	}
	size := int(binary.BigEndian.Uint16(r.header[3:]))
	r.count++
	r.total += len(r.header) + size
	if size > maxRecordBody || r.total > maxFlight || r.count > maxRecords {
		return 0, nil, ErrTooLong
	}
	if r.keep {
		at := len(r.raw)
		r.raw = append(r.raw, make([]byte, size)...)
		n, err = io.ReadFull(r.r, r.raw[at:])
		r.raw = r.raw[:at+n]
		body = r.raw[at:]
	} else {
		body = make([]byte, size)
		_, err = io.ReadFull(r.r, body)
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return r.header[0], body, err
}

// message takes one whole handshake message from the bytes at hand; ok is false if more
// records are needed. The body stays valid.
func (r *records) message() (kind uint8, body []byte, ok bool, err error) {
	if len(r.hand) < 4 {
		return 0, nil, false, nil
	}
	size := int(r.hand[1])<<16 | int(r.hand[2])<<8 | int(r.hand[3])
	if size > maxMessage {
		return 0, nil, false, ErrTooLong
	}
	if len(r.hand) < 4+size {
		return 0, nil, false, nil
	}
	kind, body = r.hand[0], r.hand[4:4+size:4+size]
	r.hand = r.hand[4+size:]
	return kind, body, true, nil
}

func (r *records) add(body []byte) {
	if len(r.hand) == 0 {
		r.hand = body[:len(body):len(body)]
		return
	}
	r.hand = append(r.hand, body...)
}
