package tlscheck_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/internal/testca"
	"github.com/connsec/connsec/internal/tlswire"
	"github.com/connsec/connsec/tlscheck"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ocsp"
)

// serve accepts connections on loopback until the test ends and gives each to handle, which
// need not close it.
func serve(tb testing.TB, handle func(net.Conn)) netip.AddrPort {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	stopped := make(chan struct{})
	conns := make(chan net.Conn, 1000)
	go func() {
		defer close(stopped)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns <- c
			go handle(c)
		}
	}()
	tb.Cleanup(func() {
		_ = l.Close()
		<-stopped
		close(conns)
		for c := range conns {
			_ = c.Close()
		}
	})
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func serveTLS(tb testing.TB, cfg *tls.Config) netip.AddrPort {
	return serve(tb, func(c net.Conn) {
		defer c.Close()
		tc := tls.Server(c, cfg)
		if tc.Handshake() == nil {
			_, _ = tc.Read(make([]byte, 1)) // until the client hangs up
		}
	})
}

func endpoint(ca *testca.CA, addr netip.AddrPort) tlscheck.Endpoint {
	return tlscheck.Endpoint{Host: host, Connect: addr.String(), Roots: ca.Pool()}
}

func TestEndpointOfAHardenedServer(t *testing.T) {
	ca := testca.MustNew(t)
	cfg, err := tlscheck.ServerConfig(tlscheck.Intermediate, ca.MustIssue(t, testca.Leaf{Names: []string{host}}).TLS())
	require.NoError(t, err)
	r, err := endpoint(ca, serveTLS(t, cfg)).Probe(t.Context())
	require.NoError(t, err)
	ruletest.ExpectFailed(t, r)
	ruletest.Expect(t, r, connsec.Pass, tlscheck.RuleHandshakeFailed, tlscheck.RuleVersionLegacy, tlscheck.RuleVersion13Missing,
		tlscheck.RuleCipherWeak, tlscheck.RuleGroupClassical, tlscheck.RuleUntrusted, tlscheck.RuleNameMismatch)
	assert.Equal(t, host+":443", r.Target, "the setting's port names the subject, not the one that was dialled")
}

func TestEndpointDefects(t *testing.T) {
	ca := testca.MustNew(t)
	good := ca.MustIssue(t, testca.Leaf{Names: []string{host}})
	rsa := testca.MustNew(t, testca.Options{RootKey: testca.RSA2048, IntermediateKey: testca.RSA2048})
	rsaLeaf := rsa.MustIssue(t, testca.Leaf{Names: []string{host}, Key: testca.RSA2048})
	for _, c := range []struct {
		name   string
		ca     *testca.CA
		cfg    *tls.Config
		failed []*connsec.Rule
	}{
		{"TLS 1.0 and 1.1 beside 1.3", ca, &tls.Config{MinVersion: tls.VersionTLS10, Certificates: []tls.Certificate{good.TLS()}},
			[]*connsec.Rule{tlscheck.RuleVersionLegacy, tlscheck.RuleCipherWeak}}, // crypto/tls has CBC suites on by default
		{"TLS 1.2 only", ca, &tls.Config{MaxVersion: tls.VersionTLS12, Certificates: []tls.Certificate{good.TLS()},
			CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}}, []*connsec.Rule{tlscheck.RuleVersion13Missing}},
		{"RSA key exchange and 3DES", rsa, &tls.Config{Certificates: []tls.Certificate{rsaLeaf.TLS()},
			CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA}}, []*connsec.Rule{tlscheck.RuleCipherWeak}},
		{"classical group", ca, &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{good.TLS()}, CurvePreferences: []tls.CurveID{tls.CurveP256}},
			[]*connsec.Rule{tlscheck.RuleGroupClassical}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := endpoint(c.ca, serveTLS(t, c.cfg)).Probe(t.Context())
			require.NoError(t, err)
			ruletest.ExpectFailed(t, r, c.failed...)
		})
	}
}

func TestEndpointThatDoesNotSpeakTLS(t *testing.T) {
	for name, c := range map[string]struct {
		handle func(net.Conn)
		detail string
	}{
		"closes at once": {func(c net.Conn) { _ = c.Close() }, "closes the connection"},
		"speaks HTTP": {func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1024))
			fmt.Fprint(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
			_ = c.Close()
		}, "plain HTTP"},
		"speaks SMTP": {func(c net.Conn) { fmt.Fprint(c, "220 mail.corp.internal ESMTP\r\n") }, "SMTP"},
		"alert": {func(c net.Conn) {
			_, _ = c.Read(make([]byte, 4096))
			_, _ = c.Write([]byte{21, 3, 3, 0, 2, 2, 40})
			_ = c.Close()
		}, "handshake failure"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := endpoint(testca.MustNew(t), serve(t, c.handle)).Probe(t.Context())
			require.NoError(t, err)
			ruletest.ExpectFailed(t, r, tlscheck.RuleHandshakeFailed)
			assert.Contains(t, r.Of(tlscheck.RuleHandshakeFailed)[0].Detail, c.detail)
			ruletest.Expect(t, r, connsec.NotApplicable, tlscheck.RuleUntrusted, tlscheck.RuleVersionLegacy, tlscheck.RuleCipherWeak, tlscheck.RuleGroupClassical)
		})
	}
}

// TestServerThatLimitsConnections: being turned away is no answer to an offer.
func TestServerThatLimitsConnections(t *testing.T) {
	ca := testca.MustNew(t)
	cert := ca.MustIssue(t, testca.Leaf{Names: []string{host}}).TLS()
	weak := &tls.Config{MinVersion: tls.VersionTLS10, Certificates: []tls.Certificate{cert}}
	strict := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}}
	handshake := func(c net.Conn, cfg *tls.Config) {
		tc := tls.Server(c, cfg)
		if tc.Handshake() == nil {
			_, _ = tc.Read(make([]byte, 1))
		}
	}
	t.Run("to one at a time", func(t *testing.T) {
		busy := make(chan struct{}, 1)
		r, err := endpoint(ca, serve(t, func(c net.Conn) {
			defer c.Close()
			select {
			case busy <- struct{}{}:
				handshake(c, weak)
				<-busy
			default:
			}
		})).Probe(t.Context())
		require.NoError(t, err)
		for _, rule := range []*connsec.Rule{tlscheck.RuleVersionLegacy, tlscheck.RuleCipherWeak} {
			assert.NotEqual(t, connsec.Pass, r.Of(rule)[0].Outcome, rule.ID)
		}
	})
	t.Run("to a few a minute", func(t *testing.T) {
		e := endpoint(ca, netip.MustParseAddrPort("192.0.2.1:443"))
		e.Dialer = &firstDialer{first: serveTLS(t, weak), later: serve(t, func(c net.Conn) { _ = c.Close() })}
		r, err := e.Probe(t.Context())
		require.NoError(t, err)
		ruletest.Expect(t, r, connsec.Inconclusive, tlscheck.RuleVersionLegacy, tlscheck.RuleCipherWeak)
	})
	t.Run("not at all, but refuses without an alert", func(t *testing.T) {
		r, err := endpoint(ca, serve(t, func(c net.Conn) {
			defer c.Close()
			handshake(silent{c}, strict)
		})).Probe(t.Context())
		require.NoError(t, err)
		ruletest.Expect(t, r, connsec.Pass, tlscheck.RuleVersionLegacy, tlscheck.RuleCipherWeak)
	})
}

// firstDialer leads the first connection, which is that of the complete handshake, to one
// server and the later ones to another.
type firstDialer struct {
	first, later netip.AddrPort
	dialled      atomic.Bool
}

func (d *firstDialer) DialContext(ctx context.Context, network, _ string) (net.Conn, error) {
	to := d.first
	if d.dialled.Swap(true) {
		to = d.later
	}
	return (&net.Dialer{}).DialContext(ctx, network, to.String())
}

// silent keeps alerts in clear back.
type silent struct{ net.Conn }

func (s silent) Write(b []byte) (int, error) {
	if len(b) > 0 && b[0] == 21 {
		return len(b), nil
	}
	return s.Conn.Write(b)
}

// TestWeakSuiteInALegacyVersionOnly: a server may keep TLS 1.2 clean and still take CBC below.
func TestWeakSuiteInALegacyVersionOnly(t *testing.T) {
	ca := testca.MustNew(t)
	cert := ca.MustIssue(t, testca.Leaf{Names: []string{host}}).TLS()
	legacy := &tls.Config{MinVersion: tls.VersionTLS10, Certificates: []tls.Certificate{cert}}
	legacy.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		if slices.Contains(h.SupportedVersions, tls.VersionTLS12) {
			return &tls.Config{Certificates: legacy.Certificates, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}}, nil
		}
		return nil, nil
	}
	r, err := endpoint(ca, serveTLS(t, legacy)).Probe(t.Context())
	require.NoError(t, err)
	ruletest.ExpectFailed(t, r, tlscheck.RuleVersionLegacy, tlscheck.RuleCipherWeak)
}

// TestCertificateThatCannotBeRead: other clients may well complete this handshake.
func TestCertificateThatCannotBeRead(t *testing.T) {
	cert := testca.MustNew(t).MustIssue(t, testca.Leaf{Names: []string{host}}).TLS()
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	require.NoError(t, err)
	der := bytes.Clone(cert.Certificate[0])
	serial := leaf.SerialNumber.Bytes()
	der[bytes.Index(der, serial)] |= 0x80 // negative, as some private CAs make them; crypto/x509 refuses it
	cert.Certificate[0], cert.Leaf = der, nil
	_, err = x509.ParseCertificate(der)
	require.Error(t, err)
	r, err := endpoint(testca.MustNew(t), serveTLS(t, &tls.Config{Certificates: []tls.Certificate{cert}})).Probe(t.Context())
	require.NoError(t, err)
	ruletest.Expect(t, r, connsec.Inconclusive, tlscheck.RuleHandshakeFailed)
}

func TestWhatCouldNotBeSeenIsInconclusive(t *testing.T) {
	ca := testca.MustNew(t)
	t.Run("stalled handshake", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		r, err := endpoint(ca, serve(t, func(net.Conn) {})).Probe(ctx)
		require.NoError(t, err)
		ruletest.Expect(t, r, connsec.Inconclusive, tlscheck.RuleHandshakeFailed)
		ruletest.ExpectFailed(t, r)
	})
	t.Run("refused", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		addr := l.Addr().(*net.TCPAddr).AddrPort()
		require.NoError(t, l.Close())
		r, err := endpoint(ca, addr).Probe(t.Context())
		require.NoError(t, err)
		ruletest.Expect(t, r, connsec.Inconclusive, tlscheck.RuleHandshakeFailed)
		assert.Contains(t, r.Of(tlscheck.RuleHandshakeFailed)[0].Detail, "refused")
		ruletest.ExpectFailed(t, r)
	})
	t.Run("legacy offer not answered", func(t *testing.T) {
		cfg := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{ca.MustIssue(t, testca.Leaf{Names: []string{host}}).TLS()}}
		e := endpoint(ca, netip.MustParseAddrPort("192.0.2.1:443"))
		e.Dialer = &firstDialer{first: serveTLS(t, cfg), later: serve(t, func(net.Conn) {})}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r, err := e.Probe(ctx)
		require.NoError(t, err)
		ruletest.Expect(t, r, connsec.Inconclusive, tlscheck.RuleVersionLegacy, tlscheck.RuleCipherWeak)
	})
	t.Run("no such name", func(t *testing.T) {
		e := tlscheck.Endpoint{Host: host, Resolver: resolver(nil)}
		_, err := e.Probe(t.Context())
		assert.EqualError(t, err, "tlscheck: central.corp.internal: the name does not exist in DNS")
	})
}

// resolver answers every name with the same addresses; nil stands for NXDOMAIN.
type resolver []netip.Addr

func (r resolver) LookupNetIP(_ context.Context, _, name string) ([]netip.Addr, error) {
	if r == nil {
		return nil, &net.DNSError{Err: "no such host", Name: name, Server: "192.0.2.53:53", IsNotFound: true}
	}
	return r, nil
}

// dialer sends each address of the documentation range to a server of the test.
type dialer map[string]netip.AddrPort

func (d dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	to, ok := d[address]
	if !ok {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}
	return (&net.Dialer{}).DialContext(ctx, network, to.String())
}

func TestEveryAddressIsLookedAt(t *testing.T) {
	ca := testca.MustNew(t)
	server := func(l testca.Leaf) netip.AddrPort {
		cfg, err := tlscheck.ServerConfig(tlscheck.Modern, ca.MustIssue(t, l).TLS())
		require.NoError(t, err)
		return serveTLS(t, cfg)
	}
	good, other := server(testca.Leaf{Names: []string{host}}), server(testca.Leaf{Names: []string{"other.corp.internal"}})
	e := tlscheck.Endpoint{
		Host: host, Roots: ca.Pool(),
		Resolver: resolver{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("192.0.2.1")},
		Dialer:   dialer{"192.0.2.1:443": good, "[2001:db8::1]:443": good},
	}
	o, err := e.Observe(t.Context())
	require.NoError(t, err)
	require.Len(t, o.Addresses, 2)
	r := o.Judge()
	ruletest.ExpectFailed(t, r)
	assert.Len(t, r.Of(tlscheck.RuleUntrusted), 1, "two addresses alike are reported once")

	e.Dialer = dialer{"192.0.2.1:443": good, "[2001:db8::1]:443": other}
	r, err = e.Probe(t.Context())
	require.NoError(t, err)
	ruletest.ExpectFailed(t, r, tlscheck.RuleNameMismatch)
	failed := r.Failed(connsec.Info)
	require.Len(t, failed, 1)
	assert.Equal(t, "central.corp.internal:443 [2001:db8::1]", failed[0].Subject)

	e.Dialer = dialer{"192.0.2.1:443": good}
	r, err = e.Probe(t.Context())
	require.NoError(t, err)
	ruletest.ExpectFailed(t, r)
	assert.Equal(t, 1, len(r.Of(tlscheck.RuleHandshakeFailed))-1, "the dead address has a finding of its own")
}

func TestClientCertificateWanted(t *testing.T) {
	ca := testca.MustNew(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			cfg := &tls.Config{MinVersion: version, MaxVersion: version, Certificates: []tls.Certificate{ca.MustIssue(t, testca.Leaf{Names: []string{host}}).TLS()},
				ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.Pool(), CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}}
			o, err := endpoint(ca, serveTLS(t, cfg)).Observe(t.Context())
			require.NoError(t, err)
			require.NotNil(t, o.Addresses[0].Handshake)
			assert.True(t, o.Addresses[0].Handshake.WantsClient)
			ruletest.Expect(t, o.Judge(), connsec.Pass, tlscheck.RuleHandshakeFailed, tlscheck.RuleUntrusted)
		})
	}
}

func TestOpenerGoesFirst(t *testing.T) {
	ca := testca.MustNew(t)
	cfg := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{ca.MustIssue(t, testca.Leaf{Names: []string{host}}).TLS()}}
	addr := serve(t, func(c net.Conn) {
		defer c.Close()
		word := make([]byte, 4)
		if _, err := c.Read(word); err != nil || string(word) != "TLS?" {
			return
		}
		_, _ = c.Write([]byte("TLS!"))
		tc := tls.Server(c, cfg)
		if tc.Handshake() == nil {
			_, _ = tc.Read(word)
		}
	})
	e := endpoint(ca, addr)
	e.Open = func(_ context.Context, c net.Conn) (net.Conn, error) {
		word := make([]byte, 4)
		if _, err := c.Write([]byte("TLS?")); err != nil {
			return nil, err
		}
		_, err := c.Read(word)
		return c, err
	}
	r, err := e.Probe(t.Context())
	require.NoError(t, err)
	ruletest.ExpectFailed(t, r)

	t.Run("fails", func(t *testing.T) {
		e.Open = func(context.Context, net.Conn) (net.Conn, error) {
			return nil, errors.New("the server offers no STARTTLS")
		}
		r, err := e.Probe(t.Context())
		require.NoError(t, err)
		ruletest.Expect(t, r, connsec.Inconclusive, tlscheck.RuleHandshakeFailed)
		assert.Contains(t, r.Of(tlscheck.RuleHandshakeFailed)[0].Detail, "offers no STARTTLS")
	})
	t.Run("stalls until the deadline", func(t *testing.T) {
		silent := endpoint(ca, serve(t, func(net.Conn) {}))
		silent.Open = func(_ context.Context, c net.Conn) (net.Conn, error) {
			_, err := c.Read(make([]byte, 1))
			return c, err
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		r, err := silent.Probe(ctx)
		require.NoError(t, err)
		ruletest.Expect(t, r, connsec.Inconclusive, tlscheck.RuleHandshakeFailed)
	})
}

// A server that only knows what crypto/tls does not is still recognised as one.
func TestServerWithNothingButAnonymousSuites(t *testing.T) {
	addr := serve(t, func(c net.Conn) {
		defer c.Close()
		hello, err := tlswire.ReadClientHello(c)
		if err != nil {
			return
		}
		const anon = 0x0034 // TLS_DH_anon_WITH_AES_128_CBC_SHA
		for _, s := range hello.Suites {
			if s == anon {
				body := append([]byte{3, 3}, make([]byte, 32)...)
				body = append(body, 0, anon>>8, anon&0xff, 0)
				record := append([]byte{22, 3, 3, 0, byte(len(body) + 4), 2, 0, 0, byte(len(body))}, body...)
				_, _ = c.Write(record)
				return
			}
		}
		_, _ = c.Write([]byte{21, 3, 3, 0, 2, 2, 40})
	})
	r, err := endpoint(testca.MustNew(t), addr).Probe(t.Context())
	require.NoError(t, err)
	ruletest.ExpectFailed(t, r, tlscheck.RuleHandshakeFailed, tlscheck.RuleCipherWeak)
	assert.Equal(t, connsec.Critical, r.Of(tlscheck.RuleCipherWeak)[0].Severity)
	assert.Contains(t, r.Of(tlscheck.RuleHandshakeFailed)[0].Detail, "DH_anon")
}

func TestObservationSurvivesJSONAndTime(t *testing.T) {
	ca := testca.MustNew(t)
	cfg, err := tlscheck.ServerConfig(tlscheck.Modern, ca.MustIssue(t, testca.Leaf{Names: []string{host}}).TLS())
	require.NoError(t, err)
	o, err := endpoint(ca, serveTLS(t, cfg)).Observe(t.Context())
	require.NoError(t, err)
	data, err := json.Marshal(o)
	require.NoError(t, err)
	var back tlscheck.Observation
	require.NoError(t, json.Unmarshal(data, &back))
	assert.Equal(t, o.Judge().Findings, back.Judge().Findings)
	back.AsOf = time.Now().Add(100 * day)
	ruletest.ExpectFailed(t, back.Judge(), tlscheck.RuleExpired)
}

func TestProblemOfKeepsAServersWordsApart(t *testing.T) {
	assert.Equal(t, tlscheck.Refused, tlscheck.ProblemOf(fmt.Errorf("connect: %w", syscall.ECONNREFUSED)).Kind)
	assert.Equal(t, tlscheck.Other, tlscheck.ProblemOf(errors.New("554 connection refused by policy")).Kind)
	assert.Zero(t, tlscheck.ProblemOf(nil))
	// What Windows says, in whatever language.
	for number, kind := range map[syscall.Errno]tlscheck.ProblemKind{
		10051: tlscheck.NoRoute, 10053: tlscheck.Closed, 10054: tlscheck.Closed, 10061: tlscheck.Refused, 10065: tlscheck.Unreachable, 10045: tlscheck.Other,
	} {
		err := &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connectex", number)}
		assert.Equal(t, kind, tlscheck.ProblemOf(err).Kind, "%d", number)
	}
}

func TestConnectNeedsAnAddress(t *testing.T) {
	for connect, want := range map[string]string{
		"127.0.0.1":      "127.0.0.1:443",
		"127.0.0.1:8443": "127.0.0.1:8443",
		"::1":            "[::1]:443",
		"[::1]:8443":     "[::1]:8443",
	} {
		got, err := tlscheck.Endpoint{Host: host, Connect: connect}.Addresses(t.Context())
		require.NoError(t, err, connect)
		assert.Equal(t, want, got[0].String())
	}
	for _, connect := range []string{":8443", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:99999", "a:b:c"} {
		_, err := tlscheck.Endpoint{Host: host, Connect: connect}.Addresses(t.Context())
		assert.ErrorContains(t, err, "is not ADDR[:PORT]", connect)
	}
}

func TestLeafIsWhateverIsServed(t *testing.T) {
	ca := testca.MustNew(t)
	self := ca.MustSelfSigned(t, testca.Leaf{Names: []string{host}})
	e := endpoint(ca, serveTLS(t, &tls.Config{Certificates: []tls.Certificate{self.TLS()}}))
	leaf, err := e.Leaf(t.Context())
	require.NoError(t, err)
	assert.True(t, leaf.Equal(self.Leaf))
	_, err = endpoint(ca, serve(t, func(c net.Conn) { _ = c.Close() })).Leaf(t.Context())
	assert.EqualError(t, err, "tlscheck: central.corp.internal:443: the server closes the connection")
}

func TestDialRefusesWhatIsNotVerified(t *testing.T) {
	ca := testca.MustNew(t)
	dial := func(c *testca.Certificate, p tlscheck.Profile, change func(*tls.Config)) error {
		cfg := &tls.Config{Certificates: []tls.Certificate{c.TLS()}}
		if change != nil {
			change(cfg)
		}
		conn, err := endpoint(ca, serveTLS(t, cfg)).Dial(t.Context(), p)
		if err == nil {
			_ = conn.Close()
		}
		return err
	}
	good := ca.MustIssue(t, testca.Leaf{Names: []string{host}})
	require.NoError(t, dial(good, tlscheck.Modern, nil))
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	assert.ErrorAs(t, dial(ca.MustSelfSigned(t, testca.Leaf{Names: []string{host}}), tlscheck.Intermediate, nil), &unknown)
	assert.ErrorAs(t, dial(ca.MustIssue(t, testca.Leaf{Names: []string{"other.corp.internal"}}), tlscheck.Intermediate, nil), &name)
	assert.ErrorContains(t, dial(good, tlscheck.Modern, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }), "protocol version")
	assert.ErrorContains(t, dial(good, tlscheck.Intermediate, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }), "protocol version")

	_, err := tlscheck.Endpoint{Host: "10.0.0.1"}.Dial(t.Context(), tlscheck.Modern)
	assert.ErrorIs(t, err, tlscheck.RuleIPLiteral)
}

func TestDialRefusesWhatIsRevoked(t *testing.T) {
	ca := testca.MustNew(t)
	c, other := ca.MustIssue(t, testca.Leaf{Names: []string{host}}), testca.MustNew(t)
	list := func(ca *testca.CA, from time.Time, revoked ...*big.Int) []*x509.RevocationList {
		der, err := ca.CRLBetween(from, from.Add(2*day), revoked...)
		require.NoError(t, err)
		crl, err := x509.ParseRevocationList(der)
		require.NoError(t, err)
		return []*x509.RevocationList{crl}
	}
	dial := func(crls []*x509.RevocationList, staple []byte) error {
		cert := c.TLS()
		cert.OCSPStaple = staple
		e := endpoint(ca, serveTLS(t, &tls.Config{Certificates: []tls.Certificate{cert}}))
		e.CRLs = crls
		conn, err := e.Dial(t.Context(), tlscheck.Modern)
		if err == nil {
			_ = conn.Close()
		}
		return err
	}
	yesterday := time.Now().Add(-day)
	assert.ErrorIs(t, dial(list(ca, yesterday, c.Leaf.SerialNumber), nil), tlscheck.RuleRevoked)
	assert.NoError(t, dial(list(ca, yesterday, big.NewInt(4711)), nil))
	assert.NoError(t, dial(list(other, yesterday, c.Leaf.SerialNumber), nil), "of another issuer")
	for status, refused := range map[int]bool{ocsp.Revoked: true, ocsp.Good: false} {
		staple, err := ca.OCSP(c.Leaf, status)
		require.NoError(t, err)
		assert.Equal(t, refused, errors.Is(dial(nil, staple), tlscheck.RuleRevoked))
	}
}

func TestServerConfigRefusesBadCertificates(t *testing.T) {
	rsa := testca.MustNew(t, testca.Options{RootKey: testca.RSA2048, IntermediateKey: testca.RSA2048})
	for rule, leaf := range map[*connsec.Rule]testca.Leaf{
		tlscheck.RuleNoSAN:         {Names: []string{host}, NoSAN: true},
		tlscheck.RuleWeakKey:       {Names: []string{host}, Key: testca.RSA1024},
		tlscheck.RuleWeakSignature: {Names: []string{host}, SignatureAlgorithm: x509.SHA1WithRSA},
		tlscheck.RuleEKUServerAuth: {Names: []string{host}, EKU: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}},
	} {
		_, err := tlscheck.ServerConfig(tlscheck.Intermediate, rsa.MustIssue(t, leaf).TLS())
		assert.ErrorIs(t, err, rule)
	}
	_, err := tlscheck.ServerConfig(tlscheck.Modern)
	assert.ErrorContains(t, err, "at least one certificate")
	_, err = tlscheck.ServerConfig(tlscheck.Profile(9), rsa.MustIssue(t, testca.Leaf{Names: []string{host}}).TLS())
	assert.ErrorContains(t, err, "no such profile")
}

func BenchmarkEndpoint(b *testing.B) {
	ca := testca.MustNew(b)
	cfg, err := tlscheck.ServerConfig(tlscheck.Modern, ca.MustIssue(b, testca.Leaf{Names: []string{host}}).TLS())
	require.NoError(b, err)
	e := endpoint(ca, serveTLS(b, cfg))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Probe(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// TestMoreAddressesThanAreLookedAt: what is behind the rest is not passed.
func TestMoreAddressesThanAreLookedAt(t *testing.T) {
	var many fixedResolver
	for i := range byte(19) {
		many = append(many, netip.AddrFrom4([4]byte{192, 0, 2, i}))
	}
	e := tlscheck.Endpoint{Host: "server.corp.example", Resolver: many, Dialer: refusing{}}
	o, err := e.Observe(t.Context())
	require.NoError(t, err)
	require.Len(t, o.Addresses, 17)
	assert.Equal(t, "the name has 3 more addresses, which were not looked at", o.Addresses[16].Unreachable.Text)
	ruletest.Expect(t, o.Judge(), connsec.Inconclusive, tlscheck.RuleHandshakeFailed)
	p, err := tlscheck.PlainHTTP{Host: e.Host, Resolver: many, Dialer: refusing{}}.Observe(t.Context())
	require.NoError(t, err)
	require.Len(t, p.Addresses, 17)
	var outcomes []connsec.Outcome
	for _, f := range p.Judge().Of(tlscheck.RuleCleartextServed) {
		outcomes = append(outcomes, f.Outcome)
	}
	assert.Equal(t, []connsec.Outcome{connsec.Pass, connsec.Inconclusive}, outcomes)
}

// refusing is a network in which nothing listens.
type refusing struct{}

func (refusing) DialContext(context.Context, string, string) (net.Conn, error) {
	return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
}
