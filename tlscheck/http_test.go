package tlscheck_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/internal/testca"
	"github.com/connsec/connsec/tlscheck"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func serveHTTP(tb testing.TB, h http.HandlerFunc) netip.AddrPort {
	s := httptest.NewServer(h)
	tb.Cleanup(s.Close)
	return s.Listener.Addr().(*net.TCPAddr).AddrPort()
}

func TestPlainHTTP(t *testing.T) {
	served, redirect := tlscheck.RuleCleartextServed, tlscheck.RuleCleartextRedirect
	for _, c := range []struct {
		name     string
		answer   http.HandlerFunc
		failed   []*connsec.Rule
		severity connsec.Severity
	}{
		{"content", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }, []*connsec.Rule{served}, connsec.High},
		{"login page", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `<form><input TYPE="password" name=p>`) }, []*connsec.Rule{served}, connsec.Critical},
		{"Basic challenge", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		}, []*connsec.Rule{served}, connsec.Critical},
		{"Negotiate challenge", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", "Negotiate")
			w.WriteHeader(http.StatusUnauthorized)
		}, []*connsec.Rule{served}, connsec.High},
		{"cookie with a redirect to HTTPS", func(w http.ResponseWriter, r *http.Request) {
			http.SetCookie(w, &http.Cookie{Name: "s", Value: "secret-cookie"})
			http.Redirect(w, r, "https://central.corp.internal/", http.StatusFound)
		}, []*connsec.Rule{served}, connsec.High},
		{"redirect to HTTP", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) }, []*connsec.Rule{served}, connsec.High},
		{"redirect to HTTPS", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://central.corp.internal/?token=secret-token", http.StatusMovedPermanently)
		}, []*connsec.Rule{redirect}, connsec.Low},
		{"upgrade required", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Upgrade", "TLS/1.2, HTTP/1.1") // RFC 2817 §4.2
			w.WriteHeader(http.StatusUpgradeRequired)
		}, nil, 0},
		{"one page redirects to HTTPS, others are served", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/" {
				http.Redirect(w, r, "https://central.corp.internal/", http.StatusMovedPermanently)
			}
		}, []*connsec.Rule{served}, connsec.High},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, err := tlscheck.PlainHTTP{Host: host, Connect: serveHTTP(t, c.answer).String()}.Observe(t.Context())
			require.NoError(t, err)
			r := o.Judge()
			ruletest.ExpectFailed(t, r, c.failed...)
			if c.severity != 0 {
				assert.Equal(t, c.severity, r.Failed(connsec.Info)[0].Severity)
			}
			assert.NotContains(t, fmt.Sprintf("%+v", o), "secret")
		})
	}

	for name, answer := range map[string]http.HandlerFunc{
		"an error page proves nothing about other paths": http.NotFound,
		"nor does a redirect of one page": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/" {
				http.NotFound(w, r)
				return
			}
			http.Redirect(w, r, "https://central.corp.internal/", http.StatusMovedPermanently)
		},
		"nor does one, where the next connection is closed": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/" {
				panic(http.ErrAbortHandler)
			}
			http.Redirect(w, r, "https://central.corp.internal/", http.StatusMovedPermanently)
		},
		"a port for WebSocket is no demand for TLS": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Upgrade", "websocket")
			w.WriteHeader(http.StatusUpgradeRequired)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := tlscheck.PlainHTTP{Host: host, Connect: serveHTTP(t, answer).String()}.Probe(t.Context())
			require.NoError(t, err)
			ruletest.Expect(t, r, connsec.Inconclusive, served)
			ruletest.Expect(t, r, connsec.NotApplicable, redirect)
		})
	}
	t.Run("the path asked for", func(t *testing.T) {
		addr := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/login" || r.Host != host || r.Header.Get("Authorization") != "" {
				http.NotFound(w, r)
			}
		})
		r, err := tlscheck.PlainHTTP{Host: host, Path: "login", Connect: addr.String()}.Probe(t.Context())
		require.NoError(t, err)
		ruletest.Expect(t, r, connsec.Fail, served)
	})
}

func TestPlainHTTPPortThatIsShut(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	closed := l.Addr().String()
	require.NoError(t, l.Close())
	ca := testca.MustNew(t)
	cfg := &tls.Config{Certificates: []tls.Certificate{ca.MustIssue(t, testca.Leaf{Names: []string{host}}).TLS()}}
	// tlsOnly answers those who begin with TLS, and the others as it is told.
	tlsOnly := func(others string) string {
		return serve(t, func(c net.Conn) {
			defer c.Close()
			first := make([]byte, 1)
			if _, err := c.Read(first); err != nil {
				return
			}
			if first[0] != 22 {
				_, _ = c.Read(make([]byte, 4096))
				fmt.Fprint(c, others)
				return
			}
			_ = tls.Server(&prefixed{Conn: c, prefix: first}, cfg).Handshake()
		}).String()
	}
	for _, c := range []struct {
		name, connect, detail string
		dialer                tlscheck.Dialer
		outcome               connsec.Outcome
	}{
		{"closed", closed, "the port is closed: connection refused", nil, connsec.Pass},
		{"open, closes without answer", serve(t, func(c net.Conn) { _ = c.Close() }).String(), "the port is open, and closes connections without an answer", nil, connsec.Inconclusive},
		{"open for TLS, closes otherwise", tlsOnly(""), "the port speaks TLS, and closes", nil, connsec.Pass},
		{"open for TLS, with an alert otherwise", tlsOnly("\x15\x03\x03\x00\x02\x02\x0a"), "the port answers in TLS", nil, connsec.Pass},
		{"open for TLS, with an error otherwise", serveHTTPS(t, ca, func(http.ResponseWriter, *http.Request) {}).String(), "the port speaks TLS, and answers HTTP with the error 400", nil, connsec.Pass},
		{"open for HTTP, with an error that mentions TLS", serveHTTP(t, func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "use HTTPS", http.StatusBadRequest)
		}).String(), "answers 400 here", nil, connsec.Inconclusive},
		{"another protocol", serve(t, func(c net.Conn) { fmt.Fprint(c, "220 mail ESMTP\r\n") }).String(), "something else than HTTP", nil, connsec.NotApplicable},
		{"gave up too early to tell", "192.0.2.1", "no answer within", silentDialer{}, connsec.Inconclusive},
		{"this machine has no route", "2001:db8::1", "no route", failingDialer{syscall.ENETUNREACH}, connsec.Inconclusive},
		{"a firewall says no", "192.0.2.1", "filtered", failingDialer{syscall.EHOSTUNREACH}, connsec.Pass},
		{"open and silent", serve(t, func(net.Conn) {}).String(), "does not answer in time", nil, connsec.Inconclusive},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			o, err := tlscheck.PlainHTTP{Host: host, Connect: c.connect, Dialer: c.dialer}.Observe(ctx)
			require.NoError(t, err)
			r := o.Judge()
			ruletest.Expect(t, r, c.outcome, tlscheck.RuleCleartextServed)
			assert.Contains(t, r.Of(tlscheck.RuleCleartextServed)[0].Detail, c.detail)
			redirect := connsec.NotApplicable // one silence, one finding
			if c.outcome == connsec.Pass {
				redirect = connsec.Pass
			}
			ruletest.Expect(t, r, redirect, tlscheck.RuleCleartextRedirect)
		})
	}
	t.Run("off", func(t *testing.T) {
		o := tlscheck.PlainObservation{Addresses: []tlscheck.PlainAddress{{Problem: tlscheck.Problem{Kind: tlscheck.Unreachable, Text: "no route to the host"}, Waited: 3 * time.Second}}}
		ruletest.Expect(t, o.Judge(), connsec.Inconclusive, tlscheck.RuleCleartextServed)
	})
	t.Run("filtered", func(t *testing.T) {
		o := tlscheck.PlainObservation{Addresses: []tlscheck.PlainAddress{{Problem: tlscheck.Problem{Kind: tlscheck.Timeout}, Waited: 5 * time.Second}}}
		r := o.Judge()
		ruletest.Expect(t, r, connsec.Pass, tlscheck.RuleCleartextServed)
		assert.Contains(t, r.Of(tlscheck.RuleCleartextServed)[0].Detail, "filtered")
	})
}

// silentDialer is a network that drops every packet.
type silentDialer struct{}

func (silentDialer) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// failingDialer is a network that answers every attempt with the same error.
type failingDialer struct{ syscall.Errno }

func (d failingDialer) DialContext(_ context.Context, network, _ string) (net.Conn, error) {
	return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", d.Errno)}
}

func serveHTTPS(tb testing.TB, ca *testca.CA, h http.HandlerFunc) netip.AddrPort {
	s := httptest.NewUnstartedServer(h)
	cfg, err := tlscheck.ServerConfig(tlscheck.Modern, ca.MustIssue(tb, testca.Leaf{Names: []string{host}}).TLS())
	require.NoError(tb, err)
	s.TLS = cfg
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // the refused offers of the probe are no news
	s.StartTLS()
	tb.Cleanup(s.Close)
	return s.Listener.Addr().(*net.TCPAddr).AddrPort()
}

func TestHSTS(t *testing.T) {
	ca := testca.MustNew(t)
	for value, want := range map[string][2]connsec.Outcome{ // missing, short
		"":                                 {connsec.Fail, connsec.NotApplicable},
		"max-age=63072000":                 {connsec.Pass, connsec.Pass},
		`Max-Age="63072000"; preload`:      {connsec.Pass, connsec.Pass},
		"includeSubDomains; max-age=31536": {connsec.Pass, connsec.Fail},
		"max-age=0":                        {connsec.Fail, connsec.NotApplicable},
		"includeSubDomains":                {connsec.Fail, connsec.NotApplicable},
		"max-age=x":                        {connsec.Fail, connsec.NotApplicable},
		"max-age=+63072000":                {connsec.Fail, connsec.NotApplicable},
		"max-age=99999999999999999999":     {connsec.Pass, connsec.Pass},
		"max-age=1; max-age=63072000":      {connsec.Fail, connsec.NotApplicable},
	} {
		t.Run(value, func(t *testing.T) {
			addr := serveHTTPS(t, ca, func(w http.ResponseWriter, _ *http.Request) {
				if value != "" {
					w.Header().Set("Strict-Transport-Security", value)
				}
			})
			r, err := tlscheck.HTTPS{Endpoint: endpoint(ca, addr)}.Probe(t.Context())
			require.NoError(t, err)
			ruletest.Expect(t, r, want[0], tlscheck.RuleHSTSMissing)
			ruletest.Expect(t, r, want[1], tlscheck.RuleHSTSShort)
			ruletest.Expect(t, r, connsec.Pass, tlscheck.RuleCleartextOnTLSPort) // Go answers plain HTTP with 400
		})
	}
	t.Run("unverified answers do not count", func(t *testing.T) {
		addr := serveHTTPS(t, ca, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Strict-Transport-Security", "max-age=63072000")
		})
		r, err := tlscheck.HTTPS{Endpoint: endpoint(testca.MustNew(t), addr)}.Probe(t.Context())
		require.NoError(t, err)
		ruletest.ExpectFailed(t, r, tlscheck.RuleUntrusted)
		ruletest.Expect(t, r, connsec.Inconclusive, tlscheck.RuleHSTSMissing)
	})
}

func TestCleartextOnTLSPort(t *testing.T) {
	ca := testca.MustNew(t)
	cert := ca.MustIssue(t, testca.Leaf{Names: []string{host}})
	cfg := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert.TLS()}}
	// both serves TLS to those who begin with it and answer to the others.
	both := func(answer string) netip.AddrPort {
		return serve(t, func(c net.Conn) {
			defer c.Close()
			first := make([]byte, 1)
			if _, err := c.Read(first); err != nil {
				return
			}
			if first[0] != 22 {
				_, _ = c.Read(make([]byte, 4096))
				fmt.Fprint(c, answer)
				return
			}
			tc := tls.Server(&prefixed{Conn: c, prefix: first}, cfg)
			if tc.Handshake() == nil {
				_, _ = tc.Read(make([]byte, 4096))
				fmt.Fprint(tc, "HTTP/1.1 200 OK\r\nStrict-Transport-Security: max-age=63072000\r\nContent-Length: 0\r\n\r\n")
			}
		})
	}
	for name, c := range map[string]struct {
		answer   string
		outcome  connsec.Outcome
		severity connsec.Severity
	}{
		"content":  {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", connsec.Fail, connsec.High},
		"redirect": {"HTTP/1.1 301 Moved\r\nLocation: https://central.corp.internal/\r\nContent-Length: 0\r\n\r\n", connsec.Fail, connsec.Low},
		"error":    {"HTTP/1.1 400 Bad Request\r\nContent-Length: 9\r\n\r\nUse HTTPS", connsec.Pass, 0},
		// What IIS and others say in clear to a Host header without a site.
		"bad host": {"HTTP/1.1 400 Bad Request\r\nContent-Length: 16\r\n\r\nInvalid Hostname", connsec.Inconclusive, 0},
		"closed":   {"", connsec.Pass, 0},
		"other":    {"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", connsec.Inconclusive, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := tlscheck.HTTPS{Endpoint: endpoint(ca, both(c.answer))}.Probe(t.Context())
			require.NoError(t, err)
			ruletest.Expect(t, r, c.outcome, tlscheck.RuleCleartextOnTLSPort)
			if c.severity != 0 {
				assert.Equal(t, c.severity, r.Of(tlscheck.RuleCleartextOnTLSPort)[0].Severity)
			}
		})
	}
}

// TestCleartextOnTLSPortThatLimitsConnections: a connection that is closed for another reason is no
// refusal of HTTP.
func TestCleartextOnTLSPortThatLimitsConnections(t *testing.T) {
	ca := testca.MustNew(t)
	cfg := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{ca.MustIssue(t, testca.Leaf{Names: []string{host}}).TLS()}}
	for _, c := range []struct {
		name    string
		busy    int  // requests in clear that are closed before one is served
		gone    bool // from then on nothing is taken
		outcome connsec.Outcome
	}{
		{"busy at first", 1, false, connsec.Fail},
		{"always", 1 << 20, false, connsec.Pass},
		{"gone", 1 << 20, true, connsec.Inconclusive},
	} {
		t.Run(c.name, func(t *testing.T) {
			var clear atomic.Int32
			addr := serve(t, func(conn net.Conn) {
				defer conn.Close()
				first := make([]byte, 1)
				if _, err := conn.Read(first); err != nil {
					return
				}
				switch {
				case first[0] != 22:
					_, _ = conn.Read(make([]byte, 4096))
					if int(clear.Add(1)) > c.busy {
						fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
					}
				case c.gone && clear.Load() > 1:
				default:
					tc := tls.Server(&prefixed{Conn: conn, prefix: first}, cfg)
					if tc.Handshake() == nil {
						_, _ = tc.Read(make([]byte, 4096))
						fmt.Fprint(tc, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
					}
				}
			})
			r, err := tlscheck.HTTPS{Endpoint: endpoint(ca, addr)}.Probe(t.Context())
			require.NoError(t, err)
			ruletest.Expect(t, r, c.outcome, tlscheck.RuleCleartextOnTLSPort)
		})
	}
}

type prefixed struct {
	net.Conn
	prefix []byte
}

func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.prefix) > 0 {
		n := copy(b, p.prefix)
		p.prefix = p.prefix[n:]
		return n, nil
	}
	return p.Conn.Read(b)
}

// TestClosedInClearWithoutTimeToAsk: a connection that is closed once proves nothing.
func TestClosedInClearWithoutTimeToAsk(t *testing.T) {
	ca := testca.MustNew(t)
	cfg := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{ca.MustIssue(t, testca.Leaf{Names: []string{host}}).TLS()}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	addr := serve(t, func(c net.Conn) {
		first := make([]byte, 1)
		if _, err := c.Read(first); err != nil {
			_ = c.Close()
			return
		}
		if first[0] != 22 {
			_, _ = c.Read(make([]byte, 4096))
			_ = c.Close()
			cancel()
			return
		}
		defer c.Close()
		_ = tls.Server(&prefixed{Conn: c, prefix: first}, cfg).Handshake()
	})
	o, err := tlscheck.HTTPS{Endpoint: endpoint(ca, addr)}.Observe(ctx)
	require.NoError(t, err)
	ruletest.Expect(t, o.Judge(), connsec.Inconclusive, tlscheck.RuleCleartextOnTLSPort)
}
