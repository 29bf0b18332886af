package smtpsec

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/setting"
	"github.com/connsec/connsec/tlscheck"
)

// Caps on one conversation; the context's deadline comes first where it is nearer. Servers
// make strangers wait for the greeting, a few seconds at most.
const (
	greetTimeout = 15 * time.Second
	stepTimeout  = 10 * time.Second
)

const (
	waySMTPS    = "smtps"
	wayStartTLS = "starttls"
)

// Observe looks at the server: the port that begins in clear, the port with TLS from the first
// byte, and for an MX what the domain publishes. The error is for no facts at all: the host
// was not found or not reached.
//
// At each of the host's addresses, of which it takes the first 16, it makes three or four
// conversations, none of which sends mail or names an account, and those connections that
// [tlscheck.Endpoint.Observe] makes. See the package documentation for what the server logs.
func (c Config) Observe(ctx context.Context) (Observation, error) {
	started := c.now()
	o := Observation{Target: c.target(), Host: setting.OneLine(hostOf(c.Host)), At: started, Mode: c.Mode, MX: c.MX}
	if err := c.heloProblem(); err != nil {
		return o, err
	}
	addrs, err := c.endpoint(c.clearPort(), wayStartTLS).Addresses(ctx)
	if err != nil {
		return o, fmt.Errorf("smtpsec: %s: %s", o.Target, setting.OneLine(strings.TrimPrefix(err.Error(), "tlscheck: ")))
	}
	var wg sync.WaitGroup
	o.Clear = ClearLook{Port: c.clearPort(), Subject: c.subject(c.clearPort(), wayStartTLS), MX: c.MX}
	wg.Go(func() { c.lookClear(ctx, addrs, &o.Clear) })
	if !c.MX {
		o.Implicit = &ImplicitLook{Port: c.tlsPort(), Subject: c.subject(c.tlsPort(), waySMTPS), Wanted: c.Mode == Implicit}
		wg.Go(func() { c.lookImplicit(ctx, o.Implicit) })
	}
	if c.MX {
		o.Policy = &Policy{Domain: setting.OneLine(hostOf(c.Domain)), Host: o.Host, Subject: c.policySubject()}
		wg.Go(func() { c.lookPolicy(ctx, o.Policy) })
	}
	wg.Wait()
	o.Duration = c.now().Sub(started)
	if !o.seen() {
		return o, fmt.Errorf("smtpsec: %s: %s", o.Target, o.Clear.Addresses[0].Problem.Text)
	}
	if o.Policy != nil {
		o.Policy.hold(o.Clear)
	}
	return o, nil
}

// Probe observes and judges. The report contains the rules of the setting too.
func (c Config) Probe(ctx context.Context) (connsec.Report, error) {
	o, err := c.Observe(ctx)
	if err != nil {
		return connsec.Report{}, err
	}
	r := o.Judge()
	r.Findings = append(c.Validate().Findings, r.Findings...)
	return r, nil
}

// seen reports whether there is any fact: a conversation, or that a port refuses one.
func (o Observation) seen() bool {
	for _, a := range o.Clear.Addresses {
		if k := a.Problem.Kind; k == "" || k == tlscheck.Refused || k == tlscheck.Closed || k == tlscheck.Other {
			return true
		}
	}
	if o.Implicit == nil {
		return false
	}
	for _, a := range o.Implicit.TLS.Addresses {
		if a.Unreachable.Kind == "" || a.Unreachable.Kind == tlscheck.Refused {
			return true
		}
	}
	return false
}

func (c Config) subject(port uint16, way string) string {
	return fmt.Sprintf("%s (%s)", net.JoinHostPort(strings.Trim(setting.OneLine(hostOf(c.Host)), "[]"), strconv.Itoa(int(port))), way)
}

// endpoint is one way to the server, for tlscheck.
func (c Config) endpoint(port uint16, way string) tlscheck.Endpoint {
	e := tlscheck.Endpoint{
		Host: hostOf(c.Host), Port: port, Connect: c.connect(port), Subject: c.subject(port, way), Roots: c.Roots, Known: c.Known,
		CRLs: c.CRLs, AsOf: c.AsOf, Dialer: c.Dialer, Resolver: c.Resolver, Now: c.Now,
	}
	if way == wayStartTLS {
		e.Open = c.openStartTLS
	}
	return e
}

// connect is Connect for one of the ports: a port in it stands for the setting's own only.
func (c Config) connect(port uint16) string {
	if c.Connect == "" || port == c.port() {
		return c.Connect
	}
	if h, _, err := net.SplitHostPort(c.Connect); err == nil {
		return net.JoinHostPort(h, strconv.Itoa(int(port)))
	}
	return c.Connect
}

// dial connects to one address.
func (c Config) dial(ctx context.Context, at netip.AddrPort) (net.Conn, error) {
	var dialer tlscheck.Dialer = &net.Dialer{}
	if c.Dialer != nil {
		dialer = c.Dialer
	}
	step, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	return dialer.DialContext(step, "tcp", at.String())
}

// maxAddresses bounds how many addresses are looked at, and how many at a time, as in tlscheck.
const (
	maxAddresses       = 16
	addressesAtOneTime = 4
)

// lookClear looks at the port at every address. The looks of tlscheck, which takes all addresses
// at once, run beside the conversations, as soon as one server is known to offer STARTTLS.
func (c Config) lookClear(ctx context.Context, addrs []netip.AddrPort, l *ClearLook) {
	most := min(len(addrs), maxAddresses)
	addrs, rest := addrs[:most], addrs[most:]
	l.Addresses = make([]ClearAddress, most, most+1)
	behind := sync.OnceValue(func() *tlscheck.Observation {
		o, err := c.endpoint(l.Port, wayStartTLS).Observe(ctx)
		if err != nil {
			return nil
		}
		return &o
	})
	slots := make(chan struct{}, addressesAtOneTime)
	var wg sync.WaitGroup
	for i, at := range addrs {
		a := &l.Addresses[i]
		a.Address = at
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			c.lookClearAt(ctx, a, behind)
		})
	}
	wg.Wait()
	if len(rest) > 0 { // what they do is not known
		l.Addresses = append(l.Addresses, ClearAddress{Address: rest[0], Problem: tlscheck.Problem{
			Kind: tlscheck.Other, Text: fmt.Sprintf("the name has %d more addresses, which were not looked at", len(rest)),
		}})
	}
	if slices.ContainsFunc(l.Addresses, func(a ClearAddress) bool { return a.Before.Has("STARTTLS") }) {
		l.TLS = behind()
	}
}

// lookClearAt has two conversations at one address: one stays in clear, the other goes through
// STARTTLS.
func (c Config) lookClearAt(ctx context.Context, a *ClearAddress, behind func() *tlscheck.Observation) {
	conn, err := c.dial(ctx, a.Address)
	if err != nil {
		a.Problem = problemOf(err)
		return
	}
	defer conn.Close()
	w := newWire(conn)
	within(ctx, greetTimeout, conn, func() {
		var greeting *Reply
		if greeting, err = w.greet(); err == nil {
			a.Greeting = setting.OneLine(greeting.Text)
			a.Before, err = w.ehlo(c.helo(conn))
		}
	})
	if err != nil {
		a.Problem = problemOf(err)
		return
	}
	var wg sync.WaitGroup
	if a.Before.Has("STARTTLS") {
		wg.Go(func() { c.lookInside(ctx, leafAt(behind(), a.Address), a) })
	}
	within(ctx, stepTimeout, conn, func() { askInClear(w, a) })
	wg.Wait()
}

// askInClear asks what the server would take without TLS: a login, and mail.
func askInClear(w *wire, a *ClearAddress) {
	a.Mechanism = "PLAIN"
	for _, m := range append([]string{"PLAIN", "LOGIN"}, a.Before.Auth...) {
		if a.Before.HasAuth(m) {
			a.Mechanism = m
			break
		}
	}
	// Without an initial response a server that is willing asks for the credentials, with 334;
	// the asterisk cancels (RFC 4954, 4). Nobody is named.
	r, _, err := w.ask("AUTH " + a.Mechanism)
	if err != nil {
		return
	}
	a.Auth = r
	if r.Code == 334 {
		if _, _, err = w.ask("*"); err != nil {
			return
		}
	}
	// The null sender of delivery reports (RFC 5321, 4.5.5) claims to be nobody.
	if r, _, err = w.ask("MAIL FROM:<>"); err != nil {
		return
	}
	a.Mail = r
	if r.Code == 250 {
		if _, _, err = w.ask("RSET"); err != nil {
			return
		}
	}
	_, _, _ = w.ask("QUIT")
}

// lookInside goes through STARTTLS with a NOOP glued behind it in one segment, and asks what
// the server offers within TLS.
func (c Config) lookInside(ctx context.Context, leaf *x509.Certificate, a *ClearAddress) {
	if leaf == nil {
		a.InjectedDetail = "no certificate was seen behind STARTTLS"
		// Whether STARTTLS itself is refused is worth a look of its own.
		conn, rest, err := c.throughStartTLS(ctx, a.Address, "")
		if err != nil {
			a.StartTLS = refusal(err)
			return
		}
		if _ = conn.Close(); rest != "" {
			a.Injected = InjectedUnasked
		}
		return
	}
	conn, rest, err := c.throughStartTLS(ctx, a.Address, "\r\nNOOP")
	if err != nil {
		a.StartTLS = refusal(err)
		if a.StartTLS != nil { // is it the glue that is refused?
			c.withoutGlue(ctx, leaf, a)
			return
		}
		a.InjectedDetail = problemOf(err).Text
		return
	}
	defer func() { _ = conn.Close() }()
	if rest != "" {
		a.Injected = fateInClear(rest)
		c.withoutGlue(ctx, leaf, a)
		return
	}
	inside, err := c.holdOn(ctx, conn, leaf)
	if err != nil {
		var record tls.RecordHeaderError
		switch p := problemOf(err); p.Kind {
		case tlscheck.NotTLS:
			if errors.As(err, &record) {
				a.Injected = fateInClear(string(record.RecordHeader[:3]))
			}
			c.withoutGlue(ctx, leaf, a)
		case tlscheck.Timeout, tlscheck.Other, tlscheck.Refused, tlscheck.Unreachable:
			a.InjectedDetail = p.Text
		default:
			a.InjectedDetail = p.Text
			if c.withoutGlue(ctx, leaf, a) {
				a.Injected, a.InjectedDetail = InjectedRefused, ""
			}
		}
		return
	}
	within(ctx, stepTimeout, inside, func() {
		// The replies come in order: if the first is not to our EHLO, the second is, and not
		// to our QUIT.
		w := newWire(inside)
		if _, err = inside.Write([]byte("EHLO " + c.helo(inside) + "\r\n")); err != nil {
			return
		}
		first, lines, e := w.reply()
		if err = e; err != nil {
			return
		}
		second, late, e := w.ask("QUIT")
		switch {
		case e != nil:
			// Some servers go without a word; then a glued command was not answered either,
			// unless it was the only thing that was.
			if len(lines) > 1 {
				a.Injected, a.Inside = InjectedDiscarded, readExtensions(lines)
			} else {
				err = e
			}
		case second.Code == 221 || second.Code >= 400 && len(lines) > 1:
			a.Injected = InjectedDiscarded
			if first.Code == 250 {
				a.Inside = readExtensions(lines)
			}
		case second.Code == 250 && first.Code != 220: // a greeting within TLS is odd, and no answer
			a.Injected, a.Inside = InjectedInTLS, readExtensions(late)
		default:
			err = &replyError{"answers out of turn", second}
		}
	})
	if err != nil {
		a.InjectedDetail = problemOf(err).Text
	}
}

// fateInClear tells by the code of the reply whether a glued NOOP was carried out in clear.
func fateInClear(code string) Injected {
	switch {
	case code == "250":
		return InjectedInClear
	case strings.HasPrefix(code, "5") || strings.HasPrefix(code, "4"):
		return InjectedRefused
	}
	return InjectedUnknown
}

// withoutGlue goes through STARTTLS as clients do, and reports whether that works.
func (c Config) withoutGlue(ctx context.Context, leaf *x509.Certificate, a *ClearAddress) bool {
	conn, _, err := c.throughStartTLS(ctx, a.Address, "")
	if err != nil {
		if a.StartTLS = refusal(err); a.StartTLS == nil {
			a.InjectedDetail = problemOf(err).Text
		}
		return false
	}
	defer func() { _ = conn.Close() }()
	if a.StartTLS != nil { // refused with the glue, granted without
		a.StartTLS, a.Injected = nil, InjectedRefused
	}
	inside, err := c.holdOn(ctx, conn, leaf)
	if err != nil {
		return false
	}
	within(ctx, stepTimeout, inside, func() {
		w := newWire(inside)
		if a.Inside, err = w.ehlo(c.helo(inside)); err == nil {
			_, _, _ = w.ask("QUIT")
		}
	})
	return true
}

// throughStartTLS opens a connection and takes it to the point where TLS begins, with glue in
// the segment of the STARTTLS command. rest is the code of a second reply that came at once.
func (c Config) throughStartTLS(ctx context.Context, at netip.AddrPort, glue string) (conn net.Conn, rest string, err error) {
	if conn, err = c.dial(ctx, at); err != nil {
		return nil, "", err
	}
	alive := within(ctx, greetTimeout, conn, func() {
		w := newWire(conn)
		if _, err = w.greet(); err != nil {
			return
		}
		if _, err = w.ehlo(c.helo(conn)); err != nil {
			return
		}
		var r *Reply
		if r, _, err = w.ask("STARTTLS" + glue); err == nil && r.Code != 220 {
			err = &replyError{refusesSTARTTLS, r}
		}
		behind, _ := w.r.Peek(min(3, w.r.Buffered()))
		rest = string(behind)
	})
	if err == nil && !alive {
		err = context.DeadlineExceeded
	}
	if err != nil {
		_ = conn.Close()
		return nil, "", err
	}
	return conn, rest, nil
}

// refusal is the reply behind an error, if that is what it is.
func refusal(err error) *Reply {
	var e *replyError
	if errors.As(err, &e) && e.what == refusesSTARTTLS {
		return e.reply
	}
	return nil
}

// chainAt is what tlscheck saw at an address; nil: nothing.
func chainAt(o *tlscheck.Observation, at netip.AddrPort) tlscheck.Certificates {
	if o == nil {
		return nil
	}
	for _, a := range o.Addresses {
		if a.Address == at && a.Chain != nil {
			return a.Chain.Certs
		}
	}
	return nil
}

// leafAt is the server's certificate there.
func leafAt(o *tlscheck.Observation, at netip.AddrPort) *x509.Certificate {
	if chain := chainAt(o, at); len(chain) > 0 {
		return chain[0]
	}
	return nil
}

// holdOn makes a handshake that accepts the certificate that was seen a moment ago, and no
// other, whatever is wrong with it: it alone is the trust anchor, at a time at which it was
// valid, under a name that it has. The question is what the server does, not who it is, and
// nothing secret is sent.
func (c Config) holdOn(ctx context.Context, conn net.Conn, leaf *x509.Certificate) (*tls.Conn, error) {
	name := ""
	switch {
	case leaf.VerifyHostname(c.Host) == nil:
		name = c.Host
	case len(leaf.DNSNames) > 0:
		name = strings.Replace(leaf.DNSNames[0], "*", "connsec", 1)
	case len(leaf.IPAddresses) > 0:
		name = leaf.IPAddresses[0].String()
	default:
		return nil, errors.New("the certificate has no name to hold it by")
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	cfg := &tls.Config{
		ServerName: name, RootCAs: pool, MinVersion: tls.VersionTLS10, CipherSuites: allSuites(),
		Time: func() time.Time { return leaf.NotBefore.Add(time.Second) },
	}
	step, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	tc := tls.Client(conn, cfg)
	return tc, tc.HandshakeContext(step)
}

// allSuites are all that crypto/tls has: a weak server is to be asked, too.
func allSuites() (ids []uint16) {
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		ids = append(ids, s.ID)
	}
	return ids
}

// within runs one conversation under its own time limit and reports whether the connection is
// still good.
func within(ctx context.Context, limit time.Duration, conn net.Conn, talk func()) bool {
	step, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	stop := govern(step, conn)
	talk()
	return stop()
}

// lookImplicit looks at the port with TLS from the first byte.
func (c Config) lookImplicit(ctx context.Context, l *ImplicitLook) {
	e := c.endpoint(l.Port, waySMTPS)
	o, err := e.Observe(ctx)
	if err != nil {
		l.TLS = tlscheck.Observation{Subject: l.Subject, Host: e.Host, At: c.now()}
		return
	}
	l.TLS = o
	for _, a := range o.Addresses {
		leaf := leafAt(&o, a.Address)
		if leaf == nil {
			continue
		}
		conn, err := c.dial(ctx, a.Address)
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		inside, err := c.holdOn(ctx, conn, leaf)
		if err != nil {
			return
		}
		within(ctx, greetTimeout, inside, func() {
			w := newWire(inside)
			greeting, err := w.greet()
			if err != nil {
				return
			}
			l.Greeting = setting.OneLine(greeting.Text)
			if l.Inside, err = w.ehlo(c.helo(inside)); err == nil {
				_, _, _ = w.ask("QUIT")
			}
		})
		return
	}
}
