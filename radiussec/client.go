package radiussec

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/tlscheck"
	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
)

// Timing is how requests are repeated (RFC 5080, 2.2.1). The zero value is that document's,
// but for Total, which is 30 s there for all servers and 10 s here for each.
type Timing struct {
	Initial time.Duration `json:"initial,omitempty"` // first wait, IRT. 0: 2 s
	Most    time.Duration `json:"most,omitempty"`    // longest wait, MRT. 0: 16 s
	Total   time.Duration `json:"total,omitempty"`   // for one server, MRD. 0: 10 s
}

func (t Timing) withDefaults() Timing {
	if t.Initial <= 0 {
		t.Initial = 2 * time.Second
	}
	if t.Most <= 0 {
		t.Most = 16 * time.Second
	}
	if t.Total <= 0 {
		t.Total = 10 * time.Second
	}
	return t
}

// next is the wait after one of d: twice as long, ±10 %, so that clients that lost the server
// together do not come back together.
func (t Timing) next(d time.Duration) time.Duration {
	if d == 0 {
		return jitter(t.Initial)
	}
	if d = 2*d + jitter(d) - d; d > t.Most {
		d = jitter(t.Most)
	}
	return d
}

func jitter(d time.Duration) time.Duration {
	return d + time.Duration((rand.Float64()*0.2-0.1)*float64(d)) //nolint:gosec // timing, not a secret
}

// ALPN protocol names (RFC 9765, 3.1).
const (
	alpn10 = "radius/1.0"
	alpn11 = "radius/1.1"
)

// Client asks RADIUS servers. It is safe for concurrent use. Close it.
type Client struct {
	c       Config
	signing Signing
	links   []*link // over TLS, one per server
}

// Client returns a client for the setting.
//
// It refuses a setting of which a rule of High or above fails, unless a waiver covers it.
// Over TLS it connects to the first server that it can, verifies name and certificate, and
// keeps the connection; over UDP there is nothing to connect.
//
// Every request begins with a Message-Authenticator. Of an answer over UDP it demands one, and
// verifies it, the Response Authenticator, the identifier, the Proxy-State and the address it
// comes from. Servers that do not sign answers (FreeRADIUS before 3.2.5, unpatched NPS) are
// refused over UDP; to use one for a while, set SigningOptional and waive
// [RuleMessageAuthenticatorOff]. Over TLS a Message-Authenticator is verified if there is one.
func (c Config) Client(ctx context.Context) (*Client, error) {
	report, _ := c.Validate().Waive(c.Waivers, c.now())
	if err := report.Err(connsec.High); err != nil {
		return nil, err
	}
	switch {
	case len(c.Servers) == 0:
		return nil, errors.New("radiussec: no server is given")
	case c.MessageAuthenticator >= SigningOff:
		return nil, errors.New("radiussec: a Message-Authenticator is always sent; set signing to required, or to optional with a waiver")
	case c.Transport != UDP && c.Transport != TLS:
		return nil, fmt.Errorf("radiussec: %s is no known transport", c.Transport)
	case c.Identity != SubjectAltName:
		return nil, errors.New("radiussec: servers are told by the names in their certificates, never by the common name")
	}
	cl := &Client{c: c, signing: c.MessageAuthenticator}
	if c.Transport == UDP {
		return cl, nil
	}
	for _, s := range c.Servers {
		cl.links = append(cl.links, newLink(c, s))
	}
	var failed []error
	for _, l := range cl.links {
		err := l.connect(ctx)
		if err == nil {
			return cl, nil
		}
		if failed = append(failed, err); ctx.Err() != nil {
			break
		}
	}
	return nil, serverErrors(failed)
}

// Close breaks the connections.
func (cl *Client) Close() error {
	for _, l := range cl.links {
		l.close()
	}
	return nil
}

// Exchange sends an Access-Request or a Status-Server and returns the first answer that can be
// believed. A server that does not answer in its time gives way to the next one; an
// Access-Reject is an answer.
//
// The request is one of [radius.New] with any secret: hidden passwords are hidden anew for each
// server. Its Identifier is replaced. The error wraps one of the Err values of this package if
// answers came that could not be believed.
func (cl *Client) Exchange(ctx context.Context, request *radius.Packet) (*radius.Packet, error) {
	var failed []error
	for i, s := range cl.c.Servers {
		var (
			answer *radius.Packet
			err    error
		)
		if cl.c.Transport == UDP {
			answer, err = cl.exchangeUDP(ctx, s, request)
		} else {
			answer, err = cl.links[i].exchange(ctx, request)
		}
		if err == nil {
			return answer, nil
		}
		if failed = append(failed, fmt.Errorf("%s: %w", cl.c.subject(s), err)); ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("radiussec: %w", serverErrors(failed))
}

// serverErrors says on one line why each server could not be used.
type serverErrors []error

func (e serverErrors) Error() string {
	texts := make([]string, len(e))
	for i, err := range e {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (e serverErrors) Unwrap() []error { return e }

// maxPassword is the longest password that User-Password can hide (RFC 2865, 5.2).
const maxPassword = 128

// Authenticate asks whether a user's password is right, by PAP. The answer is an Access-Accept,
// an Access-Reject or an Access-Challenge; only the first one means yes.
func (cl *Client) Authenticate(ctx context.Context, user string, password connsec.Secret) (*radius.Packet, error) {
	if cl.c.Method != PAP {
		return nil, fmt.Errorf("radiussec: the setting says %s; Authenticate does PAP only, make the packet yourself and use Exchange", cl.c.Method)
	}
	if n := len(password.Reveal()); n == 0 || n > maxPassword {
		return nil, fmt.Errorf("radiussec: a password has 1 to %d bytes", maxPassword)
	}
	request, err := accessRequest(cl.c, []byte(fixedSecret), user, password.Reveal())
	if err != nil {
		return nil, err
	}
	return cl.Exchange(ctx, request)
}

// accessRequest makes a PAP request with authenticator and identifier from the setting's
// randomness.
func accessRequest(c Config, secret []byte, user, password string) (*radius.Packet, error) {
	p, err := newPacket(c, radius.CodeAccessRequest, secret)
	if err != nil {
		return nil, err
	}
	for _, set := range []func() error{
		func() error { return rfc2865.UserName_SetString(p, user) },
		func() error { return rfc2865.UserPassword_SetString(p, password) },
		func() error { return rfc2865.NASIdentifier_SetString(p, c.nasIdentifier()) },
	} {
		if err := set(); err != nil {
			return nil, fmt.Errorf("radiussec: the user name, password or NAS identifier cannot be sent: %w", err)
		}
	}
	return p, nil
}

func newPacket(c Config, code radius.Code, secret []byte) (*radius.Packet, error) {
	var b [17]byte
	if _, err := io.ReadFull(c.rand(), b[:]); err != nil {
		return nil, fmt.Errorf("radiussec: no randomness: %w", err)
	}
	p := &radius.Packet{Code: code, Identifier: b[0], Secret: secret}
	copy(p.Authenticator[:], b[1:])
	return p, nil
}

// forServer is the request with a fresh authenticator and identifier, and passwords hidden with
// the server's secret. An authenticator that was used with one secret must not meet another.
func (c Config) forServer(request *radius.Packet, secret []byte) (*radius.Packet, error) {
	p, err := newPacket(c, request.Code, secret)
	if err != nil {
		return nil, err
	}
	if _, ok := request.Lookup(rfc2865.CHAPPassword_Type); ok {
		if _, ok := request.Lookup(rfc2865.CHAPChallenge_Type); !ok {
			p.Authenticator = request.Authenticator // it is the challenge (RFC 2865, 5.3)
		}
	}
	for _, a := range request.Attributes {
		if a.Type == rfc2865.UserPassword_Type {
			clear, err := radius.UserPassword(a.Attribute, request.Secret, request.Authenticator[:])
			if err != nil {
				return nil, errors.New("the User-Password was not made for this packet")
			}
			hidden, err := radius.NewUserPassword(clear, secret, p.Authenticator[:])
			if err != nil {
				return nil, errors.New("the User-Password cannot be hidden")
			}
			a = &radius.AVP{Type: a.Type, Attribute: hidden}
		}
		p.Attributes = append(p.Attributes, a)
	}
	return p, nil
}

func (c Config) endpoint(s Server) tlscheck.Endpoint {
	return tlscheck.Endpoint{
		Host: s.Host, Port: c.port(s), Connect: s.Connect, Subject: c.subject(s), ALPN: []string{alpn11, alpn10},
		ClientCertificates: c.ClientCertificates, Roots: c.Roots, Known: c.Known, CRLs: c.CRLs, AsOf: c.AsOf,
		Dialer: c.Dialer, Resolver: c.Resolver, Now: c.Now,
	}
}

// dialUDP opens a socket of its own for one request: the system picks a random port and
// delivers only what comes from the server's address and port.
func (c Config) dialUDP(ctx context.Context, s Server) (net.Conn, error) {
	addrs, err := c.endpoint(s).Addresses(ctx)
	if err != nil {
		return nil, err
	}
	if c.Dialer != nil {
		return c.Dialer.DialContext(ctx, "udp", addrs[0].String())
	}
	return (&net.Dialer{}).DialContext(ctx, "udp", addrs[0].String())
}

func (cl *Client) exchangeUDP(ctx context.Context, s Server, request *radius.Packet) (*radius.Packet, error) {
	secret := []byte(s.Secret.Reveal())
	p, err := cl.c.forServer(request, secret)
	if err != nil {
		return nil, err
	}
	wire, err := encodeRequest(p, secret, true)
	if err != nil {
		return nil, err
	}
	t := cl.c.Timing.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, t.Total)
	defer cancel()
	conn, err := cl.c.dialUDP(ctx, s)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	got := exchange(ctx, conn, wire, secret, t, cl.signing == SigningRequired)
	if got.err != nil {
		return nil, got.err
	}
	return got.reply.packet, nil
}

// maxBad is how many packets that are no answer one request bears. A flood of them is an
// attack on the client's patience.
const maxBad = 1000

// outcome is what became of one request.
type outcome struct {
	reply   reply
	tries   int
	took    time.Duration // from the last sending to the answer
	bad     int           // packets that were not believed
	why     error         // the last reason for that
	refused bool          // the system says that nothing listens
	err     error         // nil: reply is good
}

// exchange sends a request over a connected socket until an answer can be believed or ctx ends.
func exchange(ctx context.Context, conn net.Conn, wire, secret []byte, t Timing, signed bool) (o outcome) {
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	buf := make([]byte, radius.MaxPacketLength+1)
	wait := time.Duration(0)
	for {
		sent := time.Now()
		if _, err := conn.Write(wire); err != nil && ctx.Err() == nil && !o.refused {
			if !portClosed(err) {
				o.err = err
				return o
			}
			o.refused = true
		}
		o.tries++
		wait = t.next(wait)
		_ = conn.SetReadDeadline(sent.Add(wait))
		if ctx.Err() != nil { // the deadline of AfterFunc may be overwritten
			return o.gaveUp(ctx)
		}
		for {
			n, err := conn.Read(buf)
			if ctx.Err() != nil && err != nil {
				return o.gaveUp(ctx)
			}
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				break
			}
			if err != nil {
				if !portClosed(err) {
					o.err = err
					return o
				}
				// Anyone can send ICMP "port unreachable": it is noted, and not believed.
				o.refused = true
				if o.bad++; o.bad > maxBad {
					o.err = errFlood
					return o
				}
				continue
			}
			r, err := parseReply(buf[:n], secret)
			if err == nil {
				err = r.believe(wire, secret)
			}
			if err == nil && signed && r.ma == 0 {
				err = ErrUnsigned
			}
			if err == nil {
				o.reply, o.took = r, time.Since(sent)
				return o
			}
			o.why = err
			if o.bad++; o.bad > maxBad {
				o.err = fmt.Errorf("%w: %w", errFlood, o.why)
				return o
			}
		}
	}
}

var errFlood = errors.New("more packets came than a server sends")

func (o outcome) gaveUp(ctx context.Context) outcome {
	switch {
	case o.why != nil:
		o.err = fmt.Errorf("no answer that can be believed, of %d: %w%s", o.bad, o.why, hint(o.why))
	case o.refused:
		o.err = fmt.Errorf("nothing listens there: %w", ctx.Err())
	default:
		o.err = fmt.Errorf("no answer to %d requests; the secret may be wrong, or this client unknown to the server: %w", o.tries, ctx.Err())
	}
	return o
}

func hint(err error) string {
	switch {
	case errors.Is(err, ErrResponseAuthenticator):
		return " (the secret is not the server's, or somebody forges answers)"
	case errors.Is(err, ErrUnsigned):
		return " (the server is too old to be protected against Blast-RADIUS: update it)"
	}
	return ""
}

// link is a TLS connection to one server. One request is under way at a time.
type link struct {
	c      Config
	server Server
	turn   chan struct{} // holds one token; who has it may use conn and token

	conn  *tls.Conn // nil: to be made
	token uint32

	mu     sync.Mutex
	raw    net.Conn // of conn, to break it from outside
	closed bool
}

func newLink(c Config, s Server) *link {
	l := &link{c: c, server: s, turn: make(chan struct{}, 1)}
	l.turn <- struct{}{}
	return l
}

// take waits for the turn, no longer than ctx.
func (l *link) take(ctx context.Context) error {
	select {
	case <-l.turn:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("another request is under way on the connection: %w", ctx.Err())
	}
}

func (l *link) give() { l.turn <- struct{}{} }

func (l *link) connect(ctx context.Context) error {
	if err := l.take(ctx); err != nil {
		return err
	}
	defer l.give()
	return l.dial(ctx)
}

// dial makes the connection.
func (l *link) dial(ctx context.Context) error {
	conn, err := l.c.endpoint(l.server).Dial(ctx, l.c.TLSProfile)
	if err != nil {
		return fmt.Errorf("radiussec: %s: %w", l.c.subject(l.server), err)
	}
	var b [4]byte
	if _, err := io.ReadFull(l.c.rand(), b[:]); err != nil {
		_ = conn.NetConn().Close()
		return fmt.Errorf("radiussec: no randomness: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		_ = conn.NetConn().Close()
		return net.ErrClosed
	}
	l.conn, l.raw, l.token = conn, conn.NetConn(), binary.BigEndian.Uint32(b[:])
	return nil
}

// close breaks the connection, also under a request. Not by tls.Conn.Close, which waits for the
// peer to take a close_notify; it may not.
func (l *link) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.raw != nil {
		_ = l.raw.Close()
	}
}

func (l *link) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.raw != nil {
		_ = l.raw.Close()
	}
	l.conn, l.raw = nil, nil
}

// exchange asks over the connection, or over a new one if the server has closed the old one in
// the meantime, as servers do with idle ones.
func (l *link) exchange(ctx context.Context, request *radius.Packet) (*radius.Packet, error) {
	ctx, cancel := context.WithTimeout(ctx, l.c.Timing.withDefaults().Total)
	defer cancel()
	if err := l.take(ctx); err != nil {
		return nil, err
	}
	defer l.give()
	kept := l.conn != nil
	if !kept {
		if err := l.dial(ctx); err != nil {
			return nil, err
		}
	}
	answer, err := l.ask(ctx, request)
	if err != nil && kept && ctx.Err() == nil && gone(err) {
		if err := l.dial(ctx); err != nil {
			return nil, err
		}
		answer, err = l.ask(ctx, request)
	}
	return answer, err
}

// gone reports whether the peer has closed the connection.
func gone(err error) bool {
	return tlscheck.ProblemOf(err).Kind == tlscheck.Closed || errors.Is(err, net.ErrClosed)
}

// ask sends the request once: TCP repeats what gets lost
// (draft-ietf-radext-radiusdtls-bis, 5.2).
func (l *link) ask(ctx context.Context, request *radius.Packet) (answer *radius.Packet, err error) {
	defer func() {
		if err != nil {
			l.drop()
		}
	}()
	secret := []byte(fixedSecret)
	p, err := l.c.forServer(request, secret)
	if err != nil {
		return nil, err
	}
	modern := l.conn.ConnectionState().NegotiatedProtocol == alpn11
	var wire []byte
	if modern {
		l.token++
		wire, err = encode11(p, l.token, secret)
	} else {
		wire, err = encodeRequest(p, secret, true)
	}
	if err != nil {
		return nil, err
	}
	conn := l.conn
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		if !stop() && err != nil {
			err = fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}()
	if _, err := conn.Write(wire); err != nil {
		return nil, err
	}
	for range maxBad {
		r, err := readReply(conn, secret)
		if err != nil {
			return nil, err // over a stream, a malformed packet leaves no way to find the next
		}
		if modern {
			err = r.believe11(wire)
		} else {
			err = r.believe(wire, secret)
		}
		switch {
		case err == nil:
			return r.packet, nil
		case !errors.Is(err, ErrUnexpected): // that may be the answer to an earlier request
			return nil, err
		}
	}
	return nil, errFlood
}

// readReply reads one packet from a stream.
func readReply(r io.Reader, secret []byte) (reply, error) {
	buf := make([]byte, headerSize, 256)
	if _, err := io.ReadFull(r, buf); err != nil {
		return reply{}, err
	}
	n := int(binary.BigEndian.Uint16(buf[2:4]))
	if n < headerSize || n > radius.MaxPacketLength {
		return reply{}, ErrMalformed
	}
	buf = append(buf, make([]byte, n-headerSize)...)
	if _, err := io.ReadFull(r, buf[headerSize:]); err != nil {
		return reply{}, err
	}
	return parseReply(buf, secret)
}

// portClosed reports whether an error says that nothing listens on a UDP port.
func portClosed(err error) bool { return tlscheck.ProblemOf(err).Kind == tlscheck.Refused || gone(err) }
