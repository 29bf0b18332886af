package tlscheck

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/connsec/connsec"
	"golang.org/x/net/idna"
)

// Opener brings a fresh TCP connection to the point where the TLS handshake begins: it
// negotiates SMTP STARTTLS, LDAP StartTLS or a TDS PRELOGIN, and returns the connection to
// speak TLS on, usually conn itself. It is called once per look, each time with a connection
// of its own, and must return when ctx is done. On error the caller closes conn.
type Opener func(ctx context.Context, conn net.Conn) (net.Conn, error)

// Dialer opens TCP connections. *[net.Dialer] is one.
type Dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// Resolver finds the addresses of a name. *[net.Resolver] is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Endpoint is a TLS server, as its clients' settings name it.
type Endpoint struct {
	Host    string // DNS name that clients use: resolved, sent as SNI, verified
	Port    uint16 // 0: 443
	Connect string // "ADDR[:PORT]": dial there instead, and verify Host all the same
	Subject string // what the findings are about; empty: "host:port"

	Open               Opener            // nil: TLS begins at once
	ALPN               []string          // protocols to offer; nil: none
	ClientCertificates []tls.Certificate // shown if the server asks for one

	Roots *x509.CertPool         // trust anchors; nil: the system's
	Known []*x509.Certificate    // see [Chain.Known]
	CRLs  []*x509.RevocationList // see [LoadCRL]
	AsOf  time.Time              // judge certificates as of this instant; zero: the time of observation

	Dialer   Dialer           // nil: a net.Dialer
	Resolver Resolver         // nil: net.DefaultResolver
	Now      func() time.Time // nil: time.Now

	patient bool // wait for the server to end each connection before the next
}

// Caps on the stages of one look; the context's deadline comes first where it is nearer. A
// server that needs longer than this is down for its users.
const (
	dialTimeout      = 10 * time.Second
	handshakeTimeout = 10 * time.Second
)

const defaultHTTPSPort = 443

func (e Endpoint) port() uint16 {
	if e.Port == 0 {
		return defaultHTTPSPort
	}
	return e.Port
}

func (e Endpoint) subject() string {
	if e.Subject != "" {
		return e.Subject
	}
	return net.JoinHostPort(strings.Trim(e.Host, "[]"), strconv.Itoa(int(e.port())))
}

func (e Endpoint) now() time.Time {
	if e.Now != nil {
		return e.Now()
	}
	return time.Now()
}

// Validate judges the setting: is Host a fully qualified name? See [CheckName].
func (e Endpoint) Validate() connsec.Report { return CheckName(e.Host) }

// Probe observes and judges. The report contains the name rules too.
func (e Endpoint) Probe(ctx context.Context) (connsec.Report, error) {
	o, err := e.Observe(ctx)
	if err != nil {
		return connsec.Report{}, err
	}
	r := o.Judge()
	r.Findings = append(e.Validate().Findings, r.Findings...)
	return r, nil
}

// wireName is the name as it goes into SNI and DNS: A-labels, without the trailing dot. A
// name that is not fully qualified is still observed, because the finding about the name
// should not hide those about the server.
func wireName(host string) string {
	host = strings.Trim(strings.TrimSuffix(host, "."), "[]")
	if ascii, err := idna.Lookup.ToASCII(host); err == nil {
		return ascii
	}
	return host
}

// Addresses resolves the name, or parses Connect. There is at least one address if the error
// is nil; duplicates are dropped and the resolver's order kept.
func (e Endpoint) Addresses(ctx context.Context) ([]netip.AddrPort, error) {
	host, port := wireName(e.Host), e.port()
	if e.Connect != "" {
		h, p, err := splitConnect(e.Connect, port)
		if err != nil {
			return nil, err
		}
		host, port = h, p
	}
	if host == "" {
		return nil, errors.New("tlscheck: no host is given")
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.AddrPort{netip.AddrPortFrom(addr.Unmap(), port)}, nil
	}
	resolver := e.Resolver
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	found, err := resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("tlscheck: %s: %s", clip(host), dnsProblem(err))
	}
	var out []netip.AddrPort
	seen := map[netip.Addr]bool{}
	for _, a := range found {
		if a = a.Unmap(); !seen[a] {
			seen[a] = true
			out = append(out, netip.AddrPortFrom(a, port))
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("tlscheck: %s: the name has no address", clip(host))
	}
	return out, nil
}

// splitConnect parses "ADDR[:PORT]"; an IPv6 address with a port needs brackets.
func splitConnect(s string, port uint16) (string, uint16, error) {
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return a.String(), port, nil
	}
	host, p, err := net.SplitHostPort(s)
	if err != nil {
		if strings.Contains(s, ":") {
			return "", 0, fmt.Errorf("tlscheck: %q is not ADDR[:PORT]; put an IPv6 address in brackets", clip(s))
		}
		return s, port, nil
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil || n == 0 || host == "" {
		return "", 0, fmt.Errorf("tlscheck: %q is not ADDR[:PORT]", clip(s))
	}
	return host, uint16(n), nil
}

// dnsProblem drops the resolver's own address from the message: it is noise to the reader
// and differs between machines.
func dnsProblem(err error) string {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return "the name does not exist in DNS"
	case errors.As(err, &dns) && dns.IsTimeout, errors.Is(err, context.DeadlineExceeded):
		return "DNS did not answer in time"
	case errors.As(err, &dns):
		return "DNS: " + dns.Err
	}
	return err.Error()
}

func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// Dial opens a verified TLS connection: name and chain are checked against Roots, the profile
// bounds versions and suites, and a server whose certificate CRLs or an OCSP response in the
// handshake call revoked is refused with [RuleRevoked]. Where they say nothing that holds, that is
// no refusal. Every address is tried in turn; the error is that of the last.
// A setting whose name fails a rule of Medium or above is refused.
func (e Endpoint) Dial(ctx context.Context, p Profile) (*tls.Conn, error) {
	cfg, err := ClientConfig(p, e.Host, e.Roots)
	if err != nil {
		return nil, err
	}
	cfg.NextProtos = e.ALPN
	cfg.Certificates = e.ClientCertificates
	cfg.Time = e.Now
	cfg.VerifyConnection = e.refuseRevoked
	addrs, err := e.Addresses(ctx)
	if err != nil {
		return nil, err
	}
	for _, addr := range addrs {
		var conn net.Conn
		if conn, err = e.open(ctx, addr); err != nil {
			continue
		}
		tc := tls.Client(conn, cfg)
		hctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
		err = tc.HandshakeContext(hctx)
		cancel()
		if err == nil {
			return tc, nil
		}
		_ = conn.Close()
	}
	return nil, fmt.Errorf("tlscheck: %s: %w", e.subject(), err)
}

// refuseRevoked is for connections that are verified otherwise.
func (e Endpoint) refuseRevoked(s tls.ConnectionState) error {
	if len(e.CRLs) == 0 && len(s.OCSPResponse) == 0 {
		return nil
	}
	o := Chain{Certs: s.PeerCertificates, Name: e.Host, Roots: e.Roots, Known: e.Known, CRLs: e.CRLs, Staple: s.OCSPResponse, At: e.now()}.Observe()
	if v := judgeRevoked(o, o.leaf()); v.Outcome == connsec.Fail {
		return fmt.Errorf("%w: %s", RuleRevoked, v.Detail)
	}
	return nil
}

// dial connects to one address.
func (e Endpoint) dial(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if e.Dialer != nil {
		return e.Dialer.DialContext(ctx, "tcp", addr.String())
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", addr.String())
}

// open connects and runs the Opener.
func (e Endpoint) open(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	conn, err := e.dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	return e.prepare(ctx, conn)
}

// prepare runs the Opener on a connection, within the handshake's time.
func (e Endpoint) prepare(ctx context.Context, conn net.Conn) (net.Conn, error) {
	if e.Open == nil {
		return conn, nil
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	stop := closeWhenDone(ctx, conn)
	ready, err := e.Open(ctx, conn)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return ready, nil
}

// closeWhenDone interrupts blocked reads and writes when ctx ends. The returned function stops
// that; it reports whether the connection is still untouched.
func closeWhenDone(ctx context.Context, conn net.Conn) func() bool {
	return context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
}
