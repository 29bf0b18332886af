package tlswire

import (
	"crypto/tls"
	"errors"
	"io"
	"slices"

	"golang.org/x/crypto/cryptobyte"
)

// ClientHello is what a client offers.
type ClientHello struct {
	// Raw holds the records as they were read, also when an error came: hand them, then
	// the rest of the stream, to whoever shall answer.
	Raw []byte

	Legacy           uint16   // the version field; TLS 1.3 clients say TLS 1.2 here
	Versions         []uint16 // all that the client states: supported_versions, or Legacy alone
	Suites           []uint16 // signalling values included
	Compressions     []uint8
	ServerName       string // as sent; empty without SNI
	ALPN             []string
	Groups           []uint16
	KeyShares        []uint16 // groups with a key share
	SignatureSchemes []uint16
	StatusRequest    bool
	SessionTicket    bool // the client can resume, or wants to
}

// MaxVersion is the highest version offered that is not a reserved value (RFC 8701).
func (h ClientHello) MaxVersion() uint16 {
	var highest uint16
	for _, v := range h.Versions {
		if v >= VersionSSL30 && v <= tls.VersionTLS13 {
			highest = max(highest, v)
		}
	}
	return highest
}

// ReadClientHello reads a client's first message and not one byte more. Errors: *NotTLSError
// if the client speaks something else, [ErrTooLong], io.EOF if it closed before sending
// anything, io.ErrUnexpectedEOF in the middle, and what r returns.
func ReadClientHello(r io.Reader) (ClientHello, error) {
	rec := records{r: r, keep: true}
	hello, err := readClientHello(&rec)
	hello.Raw = rec.raw
	return hello, err
}

func readClientHello(rec *records) (ClientHello, error) {
	for {
		kind, body, err := rec.record()
		if err != nil {
			if rec.count > 0 && errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return ClientHello{}, err
		}
		if kind != recordHandshake || len(body) == 0 {
			return ClientHello{}, malformed("ClientHello: another record in its place")
		}
		rec.add(body)
		if rec.hand[0] != typeClientHello {
			return ClientHello{}, malformed("ClientHello: another handshake message in its place")
		}
		_, message, ok, err := rec.message()
		if err != nil {
			return ClientHello{}, err
		}
		if ok {
			return parseClientHello(message)
		}
	}
}

func parseClientHello(message []byte) (ClientHello, error) {
	var (
		h                            ClientHello
		s                            = cryptobyte.String(message)
		session, suites, compression cryptobyte.String
	)
	if !s.ReadUint16(&h.Legacy) || !s.Skip(32) || !s.ReadUint8LengthPrefixed(&session) || len(session) > 32 ||
		!s.ReadUint16LengthPrefixed(&suites) || !readUint16s(suites, &h.Suites) ||
		!s.ReadUint8LengthPrefixed(&compression) || len(compression) == 0 {
		return ClientHello{}, malformed("ClientHello")
	}
	h.Compressions = slices.Clone([]byte(compression))
	if h.Legacy>>8 != 3 {
		return ClientHello{}, malformed("ClientHello: its version is not one of TLS")
	}
	err := eachExtension(s, func(id uint16, body cryptobyte.String) bool { return h.extension(id, body) })
	if err != nil {
		return ClientHello{}, err
	}
	if h.Versions == nil {
		h.Versions = []uint16{h.Legacy}
	}
	return h, nil
}

func (h *ClientHello) extension(id uint16, body cryptobyte.String) bool {
	var list cryptobyte.String
	switch id {
	case extServerName:
		if !body.ReadUint16LengthPrefixed(&list) {
			return false
		}
		for !list.Empty() {
			var kind uint8
			var name cryptobyte.String
			if !list.ReadUint8(&kind) || !list.ReadUint16LengthPrefixed(&name) {
				return false
			}
			if kind == 0 && h.ServerName == "" {
				h.ServerName = string(name)
			}
		}
	case extStatusRequest:
		h.StatusRequest = true
	case extSupportedGroups:
		return body.ReadUint16LengthPrefixed(&list) && readUint16s(list, &h.Groups)
	case extSignatureAlgorithms:
		return body.ReadUint16LengthPrefixed(&list) && readUint16s(list, &h.SignatureSchemes)
	case extALPN:
		if !body.ReadUint16LengthPrefixed(&list) {
			return false
		}
		for !list.Empty() {
			var protocol cryptobyte.String
			if !list.ReadUint8LengthPrefixed(&protocol) {
				return false
			}
			h.ALPN = append(h.ALPN, string(protocol))
		}
	case extSessionTicket:
		h.SessionTicket = true
	case extSupportedVersions:
		return body.ReadUint8LengthPrefixed(&list) && readUint16s(list, &h.Versions)
	case extKeyShare:
		if !body.ReadUint16LengthPrefixed(&list) {
			return false
		}
		for !list.Empty() {
			var group uint16
			var share cryptobyte.String
			if !list.ReadUint16(&group) || !list.ReadUint16LengthPrefixed(&share) {
				return false
			}
			h.KeyShares = append(h.KeyShares, group)
		}
	}
	return true
}

// eachExtension walks the extension block that ends a hello; none at all is fine.
func eachExtension(s cryptobyte.String, visit func(id uint16, body cryptobyte.String) bool) error {
	if s.Empty() {
		return nil
	}
	var all cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&all) || !s.Empty() {
		return malformed("extensions")
	}
	seen := map[uint16]bool{}
	for !all.Empty() {
		var id uint16
		var body cryptobyte.String
		if !all.ReadUint16(&id) || !all.ReadUint16LengthPrefixed(&body) || seen[id] {
			return malformed("extensions")
		}
		seen[id] = true
		if !visit(id, body) {
			return malformed("extension")
		}
	}
	return nil
}

func readUint16s(s cryptobyte.String, into *[]uint16) bool {
	if len(s) == 0 || len(s)%2 != 0 {
		return false
	}
	out := make([]uint16, len(s)/2)
	for i := range out {
		s.ReadUint16(&out[i])
	}
	*into = out
	return true
}
