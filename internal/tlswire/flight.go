package tlswire

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"math/bits"

	"golang.org/x/crypto/cryptobyte"
)

// Flight is what a server answers to a ClientHello before it encrypts anything.
type Flight struct {
	Version uint16 // negotiated; zero if no ServerHello came
	Suite   uint16
	Deflate bool // the server chose record compression

	// Group is the named group of the key exchange: the one in a HelloRetryRequest, of the
	// server's key share, or of its ServerKeyExchange. Zero if it has none or does not name it.
	Group uint16
	// DHBits is the size of the prime in a finite-field ServerKeyExchange.
	DHBits int
	// SignatureScheme signed the ServerKeyExchange of TLS 1.2.
	SignatureScheme uint16
	// Retry: the server asks for another ClientHello, with a key share of Group. Version
	// and Suite are already what it will use.
	Retry bool

	ALPN         string   // up to TLS 1.2; later it is encrypted
	Certificates [][]byte // DER as sent, up to TLS 1.2; later they are encrypted
	Staple       []byte   // stapled OCSP response, up to TLS 1.2

	SecureRenegotiation  bool // RFC 5746
	ExtendedMasterSecret bool // RFC 7627
	// ClientCertificate: the server asks for one. Up to TLS 1.2; later it is encrypted.
	ClientCertificate bool

	// Done: the flight was read to its plaintext end.
	Done bool
	// Alert is the alert that the server gave instead of an answer, or in the middle of one.
	Alert *Alert
	// Warnings are alerts that the server went on after.
	Warnings []Alert
}

// helloRetryRequest is the random value that marks a ServerHello as a retry request
// (RFC 8446 §4.1.3): SHA-256 of "HelloRetryRequest".
var helloRetryRequest = []byte{
	0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
	0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
}

// ReadServerFlight reads a server's answer to a ClientHello. It may read beyond the flight.
//
// An alert is an answer and no error. Errors: *NotTLSError if the server speaks something
// else, [ErrTooLong], io.EOF if it closed without any answer, io.ErrUnexpectedEOF in the middle
// of one, and what r returns. Next to an error the Flight holds what was read until then.
func ReadServerFlight(r io.Reader) (Flight, error) {
	var f Flight
	rec := records{r: bufio.NewReaderSize(r, 4096)}
	for {
		kind, body, err := rec.record()
		if err != nil {
			return f, f.ended(err, rec.count)
		}
		switch kind {
		case recordAlert:
			stop, err := f.alert(body)
			if stop || err != nil {
				return f, err
			}
		case recordHandshake:
			if len(body) == 0 {
				return f, malformed("handshake record: it is empty") // RFC 8446 §5.1
			}
			rec.add(body)
			for {
				kind, message, ok, err := rec.message()
				if err != nil {
					return f, err
				}
				if !ok {
					break
				}
				if err := f.handshake(kind, message); err != nil || f.Done {
					return f, err
				}
			}
		case recordChangeCipherSpec:
			if f.Version == 0 {
				return f, malformed("flight: ChangeCipherSpec before ServerHello")
			}
			f.Done = true // an abbreviated handshake: everything that follows is encrypted
			return f, nil
		default:
			return f, malformed("flight: a record that does not belong to a handshake")
		}
	}
}

// ended says what an error while reading means after what was read so far.
func (f *Flight) ended(err error, records int) error {
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	if n := len(f.Warnings); n > 0 && f.Version == 0 {
		f.Alert = &f.Warnings[n-1] // a warning and then the end: that was the answer
		f.Warnings = f.Warnings[: n-1 : n-1]
		return nil
	}
	if records > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}

// alert takes an alert record; stop means that nothing more is to be expected.
func (f *Flight) alert(body []byte) (stop bool, err error) {
	if len(body) == 0 || len(body)%2 != 0 {
		return true, malformed("alert")
	}
	for ; len(body) > 0; body = body[2:] {
		a := Alert{Level: body[0], Description: body[1]}
		if a.Level < 1 || a.Level > 2 {
			return true, malformed("alert")
		}
		if a.Level == 2 || a.Description == AlertCloseNotify {
			f.Alert = &a
			return true, nil
		}
		// A server may warn, usually of a name it does not know, and go on (RFC 6066 §3).
		if f.Warnings = append(f.Warnings, a); len(f.Warnings) > maxWarnings {
			return true, ErrTooLong
		}
	}
	return false, nil
}

func (f *Flight) handshake(kind uint8, body []byte) error {
	if f.Version == 0 && kind != typeServerHello && kind != typeHelloRequest {
		return malformed("flight: no ServerHello at its beginning")
	}
	s := cryptobyte.String(body)
	switch kind {
	case typeHelloRequest:
		return nil // to be ignored during a handshake, RFC 5246 §7.4.1.1
	case typeServerHello:
		if f.Version != 0 {
			return malformed("flight: a second ServerHello")
		}
		return f.serverHello(s)
	case typeCertificate:
		return f.certificates(s)
	case typeCertificateStatus:
		var format uint8
		var response cryptobyte.String
		if !s.ReadUint8(&format) || !s.ReadUint24LengthPrefixed(&response) || !s.Empty() {
			return malformed("CertificateStatus")
		}
		if format == 1 {
			f.Staple = bytes.Clone(response)
		}
	case typeServerKeyExchange:
		return f.keyExchange(s)
	case typeCertificateRequest:
		f.ClientCertificate = true
	case typeServerHelloDone:
		f.Done = true
	default:
		return malformed("flight: a message that does not belong there")
	}
	return nil
}

func (f *Flight) serverHello(s cryptobyte.String) error {
	var (
		version, suite uint16
		random         []byte
		session        cryptobyte.String
		compression    uint8
	)
	if !s.ReadUint16(&version) || !s.ReadBytes(&random, 32) || !s.ReadUint8LengthPrefixed(&session) || len(session) > 32 ||
		!s.ReadUint16(&suite) || !s.ReadUint8(&compression) {
		return malformed("ServerHello")
	}
	retry := bytes.Equal(random, helloRetryRequest)
	var got Flight
	err := eachExtension(s, func(id uint16, body cryptobyte.String) bool {
		switch id {
		case extSupportedVersions:
			return body.ReadUint16(&version) && body.Empty()
		case extKeyShare: // in a retry request the group alone
			var share cryptobyte.String
			return body.ReadUint16(&got.Group) && (retry || body.ReadUint16LengthPrefixed(&share)) && body.Empty()
		case extRenegotiationInfo:
			got.SecureRenegotiation = true
		case extExtendedMasterSecret:
			got.ExtendedMasterSecret = true
		case extALPN:
			var list, protocol cryptobyte.String
			if !body.ReadUint16LengthPrefixed(&list) || !list.ReadUint8LengthPrefixed(&protocol) || !list.Empty() {
				return false
			}
			got.ALPN = string(protocol)
		}
		return true
	})
	if err != nil {
		return err
	}
	if version < VersionSSL30 || version > tls.VersionTLS13 {
		return malformed("ServerHello: unknown version " + VersionName(version))
	}
	if version < tls.VersionTLS13 {
		retry, got.Group = false, 0
	}
	got.Warnings = f.Warnings
	*f = got
	f.Version, f.Suite, f.Retry = version, suite, retry
	f.Deflate = compression == 1
	f.Done = version >= tls.VersionTLS13 // everything else is encrypted
	return nil
}

func (f *Flight) certificates(s cryptobyte.String) error {
	var list cryptobyte.String
	if f.Certificates != nil || !s.ReadUint24LengthPrefixed(&list) || !s.Empty() {
		return malformed("Certificate message")
	}
	f.Certificates = [][]byte{}
	for !list.Empty() {
		var cert cryptobyte.String
		if !list.ReadUint24LengthPrefixed(&cert) || len(cert) == 0 {
			return malformed("Certificate message")
		}
		if len(f.Certificates) == maxCertificates {
			return ErrTooLong
		}
		f.Certificates = append(f.Certificates, bytes.Clone(cert))
	}
	return nil
}

// keyExchange reads the group, and the scheme of the signature where there is one. What
// follows in exchanges that we do not know is left alone.
func (f *Flight) keyExchange(s cryptobyte.String) error {
	suite, _ := LookupSuite(f.Suite)
	bad := malformed("ServerKeyExchange")
	var skipped cryptobyte.String
	kx := suite.KeyExchange
	switch kx {
	case "DHE_PSK", "ECDHE_PSK":
		if !s.ReadUint16LengthPrefixed(&skipped) { // identity hint, RFC 4279 §3
			return bad
		}
	}
	switch kx {
	case "ECDHE", "ECDH", "ECDHE_PSK":
		var curveType uint8
		if !s.ReadUint8(&curveType) {
			return bad
		}
		if curveType != 3 { // not a named curve: explicit parameters, RFC 4492 §5.4
			return nil
		}
		if !s.ReadUint16(&f.Group) || !s.ReadUint8LengthPrefixed(&skipped) {
			return bad
		}
	case "DHE", "DH", "DHE_PSK":
		var prime cryptobyte.String
		if !s.ReadUint16LengthPrefixed(&prime) || !s.ReadUint16LengthPrefixed(&skipped) || !s.ReadUint16LengthPrefixed(&skipped) {
			return bad
		}
		f.DHBits = bitLen(prime)
	default:
		return nil
	}
	if f.Version == tls.VersionTLS12 && suite.Authentication != "anon" && suite.Authentication != "PSK" {
		if !s.ReadUint16(&f.SignatureScheme) {
			return bad
		}
	}
	return nil
}

func bitLen(number []byte) int {
	number = bytes.TrimLeft(number, "\x00")
	if len(number) == 0 {
		return 0
	}
	return 8*(len(number)-1) + bits.Len8(number[0])
}
