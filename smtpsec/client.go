package smtpsec

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/tlscheck"
	"github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"
)

// Client returns a client of go-mail that sends through the server of the setting and cannot
// do with less than verified TLS: no other port is tried, TLS is mandatory, name and chain are
// verified, and the login waits for that.
//
// A setting of which a rule of High or above fails is refused, unless a waiver covers it; no
// TLS, TLS if offered and unverified certificates are refused always. What Validate fails is an
// error for [errors.Is] on the rules.
//
// As go-mail keeps the state of a login in the client, connect from one goroutine at a time;
// for several connections at once take a client each, or use Dial.
//
// The context of go-mail's own methods governs the connection and, with its deadline,
// everything up to the login; from then on each of the server's answers has go-mail's timeout.
// More options of go-mail come before those of the setting and cannot undo them. Whatever is
// changed on the client later, nothing but the way to TLS is sent in clear: the connection
// itself refuses.
func (c Config) Client(more ...mail.Option) (*mail.Client, error) {
	client, _, err := c.client(more...)
	return client, err
}

// Dial connects, verifies the server, logs in if the setting has an account, and hands over
// the connection for use step by step, or for [mail.Client.SendWithSMTPClient] of the client
// that [Config.Client] returns. ctx governs everything up to the return. It refuses what Client
// refuses.
func (c Config) Dial(ctx context.Context) (*smtp.Client, error) {
	client, conns, err := c.client()
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, conns.closeAll)
	conn, err := client.DialToSMTPClientWithContext(ctx)
	if !stop() {
		err = errors.Join(context.Cause(ctx), err)
	}
	if err != nil {
		conns.closeAll()
		return nil, fmt.Errorf("smtpsec: %s: %w", c.target(), explain(err))
	}
	return conn, nil
}

func (c Config) client(more ...mail.Option) (*mail.Client, *connections, error) {
	report, _ := c.Validate().Waive(c.Waivers, c.now())
	if err := report.Err(connsec.High); err != nil {
		return nil, nil, err
	}
	if c.Mode != Implicit && c.Mode != StartTLS || c.AnyCertificate {
		return nil, nil, fmt.Errorf("smtpsec: %s: a connection without verified TLS is never made, whatever is waived", c.target())
	}
	if err := c.heloProblem(); err != nil {
		return nil, nil, err
	}
	name, err := tlscheck.ParseFQDN(c.Host)
	if err != nil {
		return nil, nil, fmt.Errorf("smtpsec: %s: %w", c.target(), err)
	}
	cfg, err := tlscheck.ClientConfig(tlscheck.Intermediate, c.Host, c.Roots)
	if err != nil {
		return nil, nil, err
	}
	cfg.Time = c.Now
	conns := &connections{}
	options := []mail.Option{
		mail.WithPort(int(c.port())), mail.WithTLSConfig(cfg), mail.WithTLSPolicy(mail.TLSMandatory),
		mail.WithDialContextFunc(func(ctx context.Context, _, _ string) (net.Conn, error) { return c.open(ctx, conns) }),
	}
	if c.HELO != "" {
		options = append(options, mail.WithHELO(c.HELO))
	}
	auth, err := c.authOptions(name.String())
	if err != nil {
		return nil, nil, err
	}
	client, err := mail.NewClient(name.String(), slices.Concat(more, options, auth)...)
	if err != nil {
		return nil, nil, fmt.Errorf("smtpsec: %w", err)
	}
	client.SetSSL(c.Mode == Implicit) // an option may have said otherwise, and STARTTLS been left out
	return client, conns, nil
}

// authOptions chooses how go-mail authenticates.
func (c Config) authOptions(name string) ([]mail.Option, error) {
	if c.User == "" && c.Password.IsEmpty() {
		return nil, nil
	}
	if c.User == "" || c.Password.IsEmpty() {
		return nil, errors.New("smtpsec: the login is incomplete: give both user and password, or neither")
	}
	if c.Method == SCRAMSHA256Plus { // only go-mail itself knows the channel to bind to
		return []mail.Option{
			mail.WithSMTPAuth(mail.SMTPAuthSCRAMSHA256PLUS), mail.WithUsername(c.User), mail.WithPassword(c.Password.Reveal()),
		}, nil
	}
	if int(c.Method) >= len(methods.Names) {
		return nil, fmt.Errorf("smtpsec: %s is no known method", c.Method)
	}
	return []mail.Option{mail.WithSMTPAuthCustom(&login{method: c.Method, user: c.User, password: c.Password, host: name})}, nil
}

// login takes the mechanism of the setting, or the best that the server offers within TLS. What
// go-mail would choose by itself includes CRAM-MD5, and XOAUTH2, which takes no password; and
// where the server does not offer what is wanted, go-mail leaves the connection open.
type login struct {
	method     Method
	user, host string
	password   connsec.Secret

	mu     sync.Mutex
	chosen smtp.Auth
}

func (a *login) Start(server *smtp.ServerInfo) (string, []byte, error) {
	if !server.TLS {
		return "", nil, smtp.ErrUnencrypted
	}
	accepted := []Method{a.method}
	if a.method == Auto {
		accepted = []Method{SCRAMSHA256, Plain, Login}
	}
	for _, m := range accepted {
		if slices.ContainsFunc(server.Auth, func(o string) bool { return strings.EqualFold(o, m.String()) }) {
			chosen := a.mechanism(m)
			a.mu.Lock()
			a.chosen = chosen
			a.mu.Unlock()
			return chosen.Start(server)
		}
	}
	if a.method == Auto {
		return "", nil, errors.New("the server offers none of SCRAM-SHA-256, PLAIN, LOGIN within TLS")
	}
	return "", nil, fmt.Errorf("the server does not offer %s within TLS", a.method)
}

func (a *login) mechanism(m Method) smtp.Auth {
	password := a.password.Reveal()
	switch m {
	case SCRAMSHA256:
		return smtp.ScramSHA256Auth(a.user, password)
	case Login:
		return smtp.LoginAuth(a.user, password, a.host, false)
	case XOAuth2:
		return smtp.XOAuth2Auth(a.user, password)
	case CRAMMD5:
		return smtp.CRAMMD5Auth(a.user, password)
	default:
		return smtp.PlainAuth("", a.user, password, a.host, false)
	}
}

func (a *login) Next(fromServer []byte, more bool) ([]byte, error) {
	a.mu.Lock()
	chosen := a.chosen
	a.mu.Unlock()
	return chosen.Next(fromServer, more)
}

// open makes the connection that go-mail speaks on: for implicit TLS one that is verified
// already.
func (c Config) open(ctx context.Context, conns *connections) (net.Conn, error) {
	e := c.endpoint(c.port(), waySMTPS)
	e.Dialer = guardingDialer{c.Dialer, ctx, conns}
	if c.Mode == Implicit {
		return e.Dial(ctx, tlscheck.Intermediate)
	}
	addrs, err := e.Addresses(ctx)
	if err != nil {
		return nil, err
	}
	for _, at := range addrs { // the first that accepts
		var conn net.Conn
		if conn, err = (Config{Dialer: e.Dialer}).dial(ctx, at); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// connections are those made for one client, so that they can be broken when ctx ends.
type connections struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (s *connections) add(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns = append(s.conns, c)
}

func (s *connections) remove(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.conns, c); i >= 0 {
		s.conns = slices.Delete(s.conns, i, i+1)
	}
}

func (s *connections) closeAll() {
	s.mu.Lock()
	conns := slices.Clone(s.conns)
	s.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
	}
}

type guardingDialer struct {
	tlscheck.Dialer
	until context.Context
	conns *connections
}

func (d guardingDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := d.Dialer
	if dialer == nil {
		dialer = &net.Dialer{}
	}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	g := &guardedConn{Conn: conn, conns: d.conns}
	d.conns.add(g)
	// go-mail sets deadlines of its own, which may be later than the context's, and does not
	// close a connection that came to nothing. It cancels this context when it has logged in or
	// failed, so that a cancellation by itself says nothing.
	context.AfterFunc(d.until, func() {
		if errors.Is(d.until.Err(), context.DeadlineExceeded) || g.failed() {
			_ = g.Close()
		}
	})
	return g, nil
}

// maxUnasked is what a server may send between two writes of the client's: a reply, or a
// flight of handshake messages with a long chain. go-mail reads replies without a bound.
const maxUnasked = 256 << 10

// guardedConn is the TCP connection below TLS. Until TLS begins it lets nothing through but the
// way to TLS, and refuses a server, or somebody on the path, who sends more than the one reply
// to STARTTLS. It bounds what is read.
type guardedConn struct {
	net.Conn
	conns *connections

	mu        sync.Mutex
	secure    bool // the client's first record has gone out
	unasked   int
	startTLS  bool // STARTTLS was the last that was sent
	replySeen bool // and a line of the reply has ended
	encrypted bool // the first encrypted record has gone out
	gaveUp    bool // with an alert, during the handshake
}

var errUnasked = errors.New("the server sends without end")

func (g *guardedConn) Write(p []byte) (int, error) {
	g.mu.Lock()
	err := g.permit(p)
	g.unasked = 0
	g.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return g.Conn.Write(p)
}

// permit holds back what has no place in clear.
func (g *guardedConn) permit(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if g.secure {
		first := p[0] == recordData && !g.encrypted
		g.encrypted = g.encrypted || first
		g.gaveUp = g.gaveUp || p[0] == recordAlert && !g.encrypted || first && len(p) == encryptedAlert
		return nil
	}
	g.startTLS, g.replySeen = false, false
	if p[0] == recordHandshake {
		g.secure = true
		return nil
	}
	verb, _, _ := strings.Cut(strings.TrimRight(string(p[:min(len(p), 16)]), "\r\n"), " ")
	switch verb = strings.ToUpper(verb); verb {
	case "EHLO", "HELO", "NOOP", "QUIT", "*":
	case "STARTTLS":
		g.startTLS = true
	default:
		return errors.New("this is not sent without TLS")
	}
	if i := bytes.IndexByte(p, '\n'); i >= 0 && i < len(p)-1 {
		return errors.New("only one command at a time is sent without TLS")
	}
	return nil
}

// failed reports whether the handshake was given up, or never begun.
func (g *guardedConn) failed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.secure || g.gaveUp
}

// The first bytes of TLS records (RFC 8446, 5.1), and the length of an alert in TLS 1.3: header,
// two bytes, content type and tag. A Finished message, the other first record, is longer.
const (
	recordAlert     = 21
	recordHandshake = 22
	recordData      = 23
	encryptedAlert  = 5 + 2 + 1 + 16
)

func (g *guardedConn) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.unasked += n
	if g.unasked > maxUnasked {
		return 0, errUnasked
	}
	if g.startTLS && !g.secure && n > 0 {
		end := bytes.IndexByte(p[:n], '\n')
		if g.replySeen || end >= 0 && end < n-1 {
			return 0, errGlued
		}
		g.replySeen = end >= 0
	}
	return n, err
}

func (g *guardedConn) Close() error {
	g.conns.remove(g)
	return g.Conn.Close()
}

// explain adds to a failed connection what can be done about it.
func explain(err error) error {
	var unknown x509.UnknownAuthorityError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &unknown):
		return fmt.Errorf("%w (add the issuing CA's certificate to the roots)", err)
	case errors.As(err, &record):
		return fmt.Errorf("%w (is this the port for TLS from the first byte?)", err)
	}
	return err
}
