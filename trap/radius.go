package trap

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/connsec/connsec"
)

// RADIUSPosture is how a RADIUS trap behaves. The zero value is an honest, strict server.
type RADIUSPosture uint8

// The postures. All but those of the first group answer an Access-Request with an
// Access-Accept that no client should believe, or not at all.
const (
	// RADIUSHonest: answers are signed, the Message-Authenticator comes first, and requests
	// without one are dropped. Every user is rejected but "trap", whose password is "trap".
	RADIUSHonest RADIUSPosture = iota
	// RADIUSLimiting: as honest, but only requests that have a Proxy-State need one.
	RADIUSLimiting
	// RADIUSOpen: as honest, but no request needs one.
	RADIUSOpen
	// RADIUSExplaining: as honest, but instead of dropping a request it rejects it with
	// Error-Cause 510, Missing Message-Authenticator.
	RADIUSExplaining
	// RADIUSLate: as honest, but the Message-Authenticator is the last attribute.
	RADIUSLate

	// RADIUSUnsigned: as a server before 2024: no Message-Authenticator in answers, none
	// required. It knows the secret; the answer is an honest one.
	RADIUSUnsigned

	// RADIUSForgedSignature: accepts, the Response Authenticator right and the
	// Message-Authenticator wrong.
	RADIUSForgedSignature
	// RADIUSForged: accepts, without knowing the secret.
	RADIUSForged
	// RADIUSEchoing: accepts, with the authenticators of the request copied into the answer.
	RADIUSEchoing
	// RADIUSWrongIdentifier: accepts another request than the one that was sent.
	RADIUSWrongIdentifier
	// RADIUSOtherPort: accepts and signs, from another port than the one that was asked.
	RADIUSOtherPort
	// RADIUSProxyState: accepts and signs, with a Proxy-State that nobody sent, as the
	// collision blocks of Blast-RADIUS come back.
	RADIUSProxyState
	// RADIUSOversize: accepts, with an attribute that reaches beyond the packet.
	RADIUSOversize
	// RADIUSRunt: answers with less than a header.
	RADIUSRunt
	// RADIUSFlood: answers every request with 3000 forged accepts.
	RADIUSFlood
	// RADIUSSilent: never answers.
	RADIUSSilent
)

var radiusPostures = posturesOf[RADIUSPosture]("RADIUS",
	"honest", "limiting", "open", "explaining", "late", "unsigned", "forged-signature", "forged", "echoing",
	"wrong-identifier", "other-port", "proxy-state", "oversize", "runt", "flood", "silent",
)

// RADIUSPostures returns all postures, the honest one first.
func RADIUSPostures() []RADIUSPosture { return radiusPostures.all() }

// String returns the name, such as "other-port".
func (p RADIUSPosture) String() string { return radiusPostures.Name(p) }

// ParseRADIUSPosture is the inverse of [RADIUSPosture.String].
func ParseRADIUSPosture(name string) (RADIUSPosture, error) { return radiusPostures.parse(name) }

// MarshalText writes the name.
func (p RADIUSPosture) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// Hostile reports whether a client that takes the answer for the server's has fallen in.
func (p RADIUSPosture) Hostile() bool { return p >= RADIUSForgedSignature && p < RADIUSSilent }

// RADIUSRequest is what a client did with one request: all packets from one port with one
// authenticator.
type RADIUSRequest struct {
	Code int `json:"code"`
	// MessageAuthenticator: the request has one; First: it is the first attribute; Verified: it
	// is right.
	MessageAuthenticator bool `json:"message_authenticator"`
	First                bool `json:"first"`
	Verified             bool `json:"verified"`
	ProxyState           bool `json:"proxy_state"`
	// Password: there is a User-Password, a CHAP or an MS-CHAP response. Never its content.
	Password bool `json:"password"`
	// Sent counts how often it came.
	Sent int `json:"sent"`
	// Answers counts the packets that went back.
	Answers int `json:"answers"`
	// Repeated counts how often it came again after an answer had gone out.
	Repeated int `json:"repeated"`
	// Trust in a hostile answer. A client that asks again has Refused it. One that is silent
	// afterwards has believed it or given up: over UDP that looks the same, and stays
	// Undecided; its exit status tells.
	Trust Trust `json:"trust"`
}

// RADIUS is a fake RADIUS server over UDP. It has the methods of the other traps; there are no
// connections, so Await counts requests.
type RADIUS struct {
	posture RADIUSPosture
	secret  []byte
	socket  net.PacketConn
	other   net.PacketConn // RADIUSOtherPort
	running sync.WaitGroup

	mu      sync.Mutex
	records []*RADIUSRequest
	served  int
	open    map[radiusKey]*RADIUSRequest
	changed chan struct{}
}

type radiusKey struct {
	from          netip.AddrPort
	authenticator [16]byte
}

// NewRADIUS starts one with the default options.
func NewRADIUS(p RADIUSPosture, secret connsec.Secret) (*RADIUS, error) {
	return Options{}.RADIUS(p, secret)
}

// RADIUS starts a fake RADIUS server over UDP that shares a secret with every client. Close it.
// Of the options only Listen counts.
func (o Options) RADIUS(p RADIUSPosture, secret connsec.Secret) (*RADIUS, error) {
	if err := radiusPostures.check(p); err != nil {
		return nil, err
	}
	if secret.IsEmpty() {
		return nil, errors.New("trap: a RADIUS server needs a secret")
	}
	o = o.withDefaults()
	s := &RADIUS{posture: p, secret: []byte(secret.Reveal()), open: map[radiusKey]*RADIUSRequest{}, changed: make(chan struct{})}
	var err error
	if s.socket, err = net.ListenPacket("udp", o.Listen); err != nil {
		return nil, fmt.Errorf("trap: %w", err)
	}
	if p == RADIUSOtherPort {
		host, _, _ := net.SplitHostPort(s.Addr())
		if s.other, err = net.ListenPacket("udp", net.JoinHostPort(host, "0")); err != nil {
			_ = s.socket.Close()
			return nil, fmt.Errorf("trap: %w", err)
		}
	}
	s.running.Go(s.serve)
	return s, nil
}

// Addr returns the address the trap listens on, as "127.0.0.1:40123".
func (s *RADIUS) Addr() string { return s.socket.LocalAddr().String() }

// Observed returns what was recorded so far, in the order in which the requests came.
func (s *RADIUS) Observed() []RADIUSRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]RADIUSRequest, len(s.records))
	for i, r := range s.records {
		out[i] = *r
	}
	return out
}

// Await returns when n different requests have come and been dealt with, or with the error of
// ctx. They may still come again.
func (s *RADIUS) Await(ctx context.Context, n int) error {
	for {
		s.mu.Lock()
		have, changed := s.served, s.changed
		s.mu.Unlock()
		if have >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("trap: waiting for %d requests, %d have come: %w", n, have, ctx.Err())
		}
	}
}

// Close stops listening, and returns when nothing runs any more.
func (s *RADIUS) Close() error {
	err := s.socket.Close()
	if s.other != nil {
		_ = s.other.Close()
	}
	s.running.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil // closed before
	}
	return err
}

const maxRADIUS = 4096 // octets of a packet (RFC 2865, 3)

func (s *RADIUS) serve() {
	buf := make([]byte, maxRADIUS+1)
	for {
		n, from, err := s.socket.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // ICMP from a client that is gone, on some systems
			continue
		}
		request, ok := readRADIUS(bytes.Clone(buf[:n]))
		if !ok {
			continue
		}
		s.one(request, from)
	}
}

func (s *RADIUS) one(request radiusPacket, from net.Addr) {
	key := radiusKey{authenticator: [16]byte(request.wire[4:20])}
	if udp, ok := from.(*net.UDPAddr); ok {
		key.from = udp.AddrPort()
	}
	s.mu.Lock()
	record := s.open[key]
	fresh := record == nil
	if fresh {
		record = &RADIUSRequest{Code: int(request.wire[0])}
		record.MessageAuthenticator = request.ma > 0
		record.First = request.ma == 20
		record.Verified = request.ma > 0 && request.verify(s.secret)
		record.ProxyState = len(request.all(33)) > 0
		record.Password = len(request.all(2))+len(request.all(3)) > 0 || request.mschap()
		if len(s.records) < maxRecords {
			s.open[key] = record
			s.records = append(s.records, record)
		}
	}
	record.Sent++
	if record.Answers > 0 {
		record.Repeated++
		if s.posture.Hostile() {
			record.Trust = Refused
		}
	}
	s.mu.Unlock()

	answers, through := s.answers(request, record.Verified), s.socket
	if s.posture == RADIUSOtherPort {
		through = s.other
	}
	for _, a := range answers {
		if _, err := through.WriteTo(a, from); err != nil {
			break
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	record.Answers += len(answers)
	if fresh {
		s.served++
		close(s.changed)
		s.changed = make(chan struct{})
	}
}

// floodSize is how many packets a flooding trap answers with.
const floodSize = 3000

const (
	radiusAccessRequest = 1
	radiusAccept        = 2
	radiusReject        = 3
	radiusStatusServer  = 12
)

// answers makes what goes back.
func (s *RADIUS) answers(request radiusPacket, verified bool) [][]byte {
	code := request.wire[0]
	if code != radiusAccessRequest && code != radiusStatusServer || s.posture == RADIUSSilent {
		return nil
	}
	if request.ma > 0 && !verified && !s.posture.Hostile() { // RFC 3579, 3.2: silently discard
		return nil
	}
	accept := radiusAnswer{code: radiusAccept, request: request, secret: s.secret, signed: true}
	honest := accept
	if code == radiusAccessRequest && !request.right(s.secret) {
		honest.code = radiusReject
	}
	proxied := len(request.all(33)) > 0
	switch s.posture {
	case RADIUSUnsigned:
		honest.signed = false
	case RADIUSLate:
		honest.late = true
	}
	if !s.posture.Hostile() {
		if request.ma == 0 && (s.posture == RADIUSHonest || s.posture == RADIUSLate || s.posture == RADIUSLimiting && proxied) {
			return nil
		}
		if request.ma == 0 && s.posture == RADIUSExplaining {
			honest.code, honest.extra = radiusReject, []byte{101, 6, 0, 0, 1, 0xfe}
		}
		return [][]byte{honest.encode()}
	}
	switch s.posture {
	case RADIUSForgedSignature:
		accept.badMA = true
	case RADIUSForged, RADIUSFlood:
		accept.secret = []byte("not the secret")
	case RADIUSProxyState:
		accept.extra = append([]byte{33, 34}, bytes.Repeat([]byte{0xc3}, 32)...)
	}
	out := accept.encode()
	switch s.posture {
	case RADIUSEchoing:
		copy(out[4:20], request.wire[4:20])
	case RADIUSWrongIdentifier:
		accept.request.wire = bytes.Clone(request.wire)
		accept.request.wire[1]++
		out = accept.encode()
	case RADIUSOversize:
		out[21] = 255
	case RADIUSRunt:
		out = out[:12]
	case RADIUSFlood:
		return slices.Repeat([][]byte{out}, floodSize)
	}
	return [][]byte{out}
}

// radiusPacket is a request.
type radiusPacket struct {
	wire []byte
	ma   int // offset of the Message-Authenticator, 0: none
}

func readRADIUS(b []byte) (radiusPacket, bool) {
	if len(b) < 20 {
		return radiusPacket{}, false
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if n < 20 || n > len(b) || n > maxRADIUS {
		return radiusPacket{}, false
	}
	p := radiusPacket{wire: b[:n]}
	for at := 20; at < n; at += int(b[at+1]) {
		if n-at < 2 || b[at+1] < 2 || at+int(b[at+1]) > n {
			return radiusPacket{}, false
		}
		if b[at] == 80 && p.ma == 0 {
			if b[at+1] != 18 {
				return radiusPacket{}, false
			}
			p.ma = at
		}
	}
	return p, true
}

// all returns the values of an attribute.
func (p radiusPacket) all(kind byte) [][]byte {
	var out [][]byte
	for at := 20; at < len(p.wire); at += int(p.wire[at+1]) {
		if p.wire[at] == kind {
			out = append(out, p.wire[at+2:at+int(p.wire[at+1])])
		}
	}
	return out
}

// mschap: a vendor attribute of Microsoft's (311), type 1, 11 or 25.
func (p radiusPacket) mschap() bool {
	return slices.ContainsFunc(p.all(26), func(v []byte) bool {
		return len(v) > 4 && binary.BigEndian.Uint32(v) == 311 && slices.Contains([]byte{1, 11, 25}, v[4])
	})
}

func (p radiusPacket) verify(secret []byte) bool {
	zeroed := bytes.Clone(p.wire)
	clear(zeroed[p.ma+2 : p.ma+18])
	mac := hmac.New(md5.New, secret)
	mac.Write(zeroed)
	return hmac.Equal(mac.Sum(nil), p.wire[p.ma+2:p.ma+18])
}

// right reports whether the request is of user and password "trap", by PAP.
func (p radiusPacket) right(secret []byte) bool {
	user, hidden := p.all(1), p.all(2)
	if len(user) != 1 || string(user[0]) != "trap" || len(hidden) != 1 || len(hidden[0]) != 16 {
		return false
	}
	key := md5.Sum(slices.Concat(secret, p.wire[4:20]))
	clear := make([]byte, 16)
	for i := range clear {
		clear[i] = hidden[0][i] ^ key[i]
	}
	return string(bytes.TrimRight(clear, "\x00")) == "trap"
}

// radiusAnswer is an answer to be made.
type radiusAnswer struct {
	code    byte
	request radiusPacket
	secret  []byte
	signed  bool
	late    bool   // the Message-Authenticator comes last
	badMA   bool   // and is wrong
	extra   []byte // attributes
}

func (a radiusAnswer) encode() []byte {
	body := slices.Concat([]byte{18, 6}, []byte("trap"), a.extra)
	for _, state := range a.request.all(33) {
		body = append(append(body, 33, byte(len(state)+2)), state...)
	}
	ma := append([]byte{80, 18}, make([]byte, 16)...)
	at := 20
	switch {
	case a.signed && a.late:
		at += len(body)
		body = append(body, ma...)
	case a.signed:
		body = append(ma, body...)
	}
	out := append([]byte{a.code, a.request.wire[1], 0, 0}, a.request.wire[4:20]...)
	out = append(out, body...)
	binary.BigEndian.PutUint16(out[2:], uint16(len(out)))
	if a.signed {
		mac := hmac.New(md5.New, a.secret)
		mac.Write(out)
		mac.Sum(out[at+2 : at+2 : at+18])
		if a.badMA {
			out[at+2] ^= 1
		}
	}
	sum := md5.Sum(slices.Concat(out, a.secret))
	copy(out[4:], sum[:])
	return out
}

// RadSecPosture is how a RADIUS trap over TLS behaves. The zero value is an honest server.
type RadSecPosture uint8

// The postures.
const (
	// RadSecHonest: a sound certificate, TLS 1.2 and 1.3, a client certificate demanded,
	// radius/1.1 and radius/1.0 offered. Every user is rejected but "trap" with password "trap".
	RadSecHonest RadSecPosture = iota
	// RadSecHistoric: as honest, without ALPN.
	RadSecHistoric
	// RadSecAnonymous: as honest, but no client certificate is asked for.
	RadSecAnonymous
	// RadSecExpired: the certificate ended yesterday.
	RadSecExpired
	// RadSecWrongName: it is for another host.
	RadSecWrongName
	// RadSecCommonName: it has the name as common name only.
	RadSecCommonName
	// RadSecUntrusted: it is from an authority that the client does not know.
	RadSecUntrusted
	// RadSecForged: honest TLS, but answers are made with another secret than "radsec", or over
	// radius/1.1 for another token.
	RadSecForged
	// RadSecOversize: a length of 65535 is announced.
	RadSecOversize
	// RadSecSilent: honest TLS, and no answer.
	RadSecSilent
	// RadSecClosing: honest TLS, and the connection is closed after each answer.
	RadSecClosing
)

var radsecPostures = posturesOf[RadSecPosture]("RadSec",
	"honest", "historic", "anonymous", "expired", "wrong-name", "common-name", "untrusted", "forged", "oversize", "silent", "closing",
)

// RadSecPostures returns all postures, the honest one first.
func RadSecPostures() []RadSecPosture { return radsecPostures.all() }

// String returns the name, such as "wrong-name".
func (p RadSecPosture) String() string { return radsecPostures.Name(p) }

// ParseRadSecPosture is the inverse of [RadSecPosture.String].
func ParseRadSecPosture(name string) (RadSecPosture, error) { return radsecPostures.parse(name) }

// RadSecConnection is what a client did on one connection.
type RadSecConnection struct {
	TLS *Handshake `json:"tls,omitempty"` // nil: no ClientHello came
	// ClientCertificate: the client showed one.
	ClientCertificate bool `json:"client_certificate"`
	// ALPN is the protocol that was chosen.
	ALPN string `json:"alpn,omitempty"`
	// Cleartext: RADIUS came outside of TLS.
	Cleartext bool `json:"cleartext"`
	// Requests counts packets, Passwords those with one.
	Requests  int `json:"requests"`
	Passwords int `json:"passwords"`
}

// RadSec is a fake server for RADIUS over TLS. See [Server] for its other methods.
type RadSec struct {
	*Server[RadSecConnection]
	posture RadSecPosture
	config  *tls.Config
}

// NewRadSec starts one with the default options.
func NewRadSec(p RadSecPosture) (*RadSec, error) { return Options{}.RadSec(p) }

// RadSec starts a fake server for RADIUS over TLS. Close it. It takes any client certificate.
func (o Options) RadSec(p RadSecPosture) (*RadSec, error) {
	id, err := radsecPostures.identity(o, p)
	if err != nil {
		return nil, err
	}
	s := &RadSec{posture: p, config: &tls.Config{
		Certificates: []tls.Certificate{id.certificate},
		MinVersion:   tls.VersionTLS12,
		CipherSuites: soundSuites,
		NextProtos:   []string{"radius/1.1", "radius/1.0"},
		ClientAuth:   tls.RequireAnyClientCert,
	}}
	switch p {
	case RadSecHistoric:
		s.config.NextProtos = nil
	case RadSecAnonymous:
		s.config.ClientAuth = tls.NoClientCert
	}
	s.Server, err = start(o, id, s.serve)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (s *RadSec) serve(_ context.Context, c *conn, note func(func(*RadSecConnection))) {
	first, err := c.peek(1)
	if err != nil {
		return
	}
	if first[0] != 22 {
		note(func(r *RadSecConnection) { r.Cleartext = true })
		return
	}
	secure, err := acceptTLS(c, s.config, false, func(change func(*Handshake)) {
		note(func(r *RadSecConnection) { // a copy, because a snapshot may hold the old one
			next := Handshake{}
			if r.TLS != nil {
				next = *r.TLS
			}
			change(&next)
			r.TLS = &next
		})
	})
	if err != nil {
		return
	}
	defer func() { _ = secure.Close() }()
	state := secure.ConnectionState()
	note(func(r *RadSecConnection) {
		r.ALPN, r.ClientCertificate = state.NegotiatedProtocol, len(state.PeerCertificates) > 0
	})
	for {
		head := make([]byte, 20)
		if _, err := io.ReadFull(secure, head); err != nil {
			return
		}
		n := int(binary.BigEndian.Uint16(head[2:]))
		if n < 20 || n > maxRADIUS {
			return
		}
		wire := append(head, make([]byte, n-20)...)
		if _, err := io.ReadFull(secure, wire[20:]); err != nil {
			return
		}
		request, ok := readRADIUS(wire)
		if !ok {
			return
		}
		note(func(r *RadSecConnection) {
			r.Requests++
			if len(request.all(2)) > 0 {
				r.Passwords++
			}
		})
		answer := s.answer(request, state.NegotiatedProtocol == "radius/1.1")
		if answer == nil {
			continue
		}
		if _, err := secure.Write(answer); err != nil || s.posture == RadSecClosing {
			return
		}
	}
}

var radsecSecret = []byte("radsec")

func (s *RadSec) answer(request radiusPacket, modern bool) []byte {
	code := byte(radiusAccept)
	if request.wire[0] == radiusAccessRequest {
		right := request.right(radsecSecret)
		if modern { // RFC 9765, 5.1.1: in the clear, inside TLS
			user, password := request.all(1), request.all(2)
			right = len(user) == 1 && len(password) == 1 && string(user[0]) == "trap" && string(password[0]) == "trap"
		}
		if !right {
			code = radiusReject
		}
	}
	a := radiusAnswer{code: code, request: request, secret: radsecSecret, signed: !modern}
	if s.posture == RadSecForged {
		a.code, a.secret = radiusAccept, []byte("not the secret")
	}
	out := a.encode()
	if modern {
		out[1] = 0
		copy(out[4:20], request.wire[4:20]) // token and reserved
		if s.posture == RadSecForged {
			out[7] ^= 0xff
		}
	}
	switch s.posture {
	case RadSecSilent:
		return nil
	case RadSecOversize:
		out[2], out[3] = 0xff, 0xff
	}
	return out
}
