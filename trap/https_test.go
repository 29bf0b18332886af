package trap_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/connsec/connsec/internal/realsrv"
	"github.com/connsec/connsec/internal/testca"
	"github.com/connsec/connsec/trap"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	host   = "server.trap.test"
	secret = "c0ffee-secret"
)

func startHTTPS(t testing.TB, p trap.HTTPSPosture) *trap.HTTPS {
	t.Helper()
	s, err := trap.NewHTTPS(p)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	return s
}

// client is what Go makes of the trap's roots, dialling the trap whatever the name.
func client(t testing.TB, s *trap.HTTPS, change ...func(*tls.Config)) *http.Client {
	config := &tls.Config{RootCAs: s.Roots()}
	for _, c := range change {
		c(config)
	}
	transport := &http.Transport{
		TLSClientConfig:       config,
		TLSHandshakeTimeout:   20 * time.Second,
		ResponseHeaderTimeout: 20 * time.Second,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, s.Addr())
		},
	}
	if neverAnswers(s.Posture()) {
		transport.TLSHandshakeTimeout = 500 * time.Millisecond // sure to be used up
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func neverAnswers(p trap.HTTPSPosture) bool {
	return p == trap.HTTPSStalledHandshake || p == trap.HTTPSDrippingRecord
}

// atOnce does something in every posture at the same time, since most of it waits, and returns what
// came of each. Parallel subtests would run two at a time on two processors.
func atOnce[P comparable, V any](postures []P, do func(P) V) map[P]V {
	out := make([]V, len(postures))
	var wg sync.WaitGroup
	for i, p := range postures {
		wg.Go(func() { out[i] = do(p) })
	}
	wg.Wait()
	results := map[P]V{}
	for i, p := range postures {
		results[p] = out[i]
	}
	return results
}

func post(t testing.TB, c *http.Client) error {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+host+"/login", strings.NewReader(secret))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+secret)
	req.AddCookie(&http.Cookie{Name: "session", Value: secret})
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.ReadAll(resp.Body)
	return err
}

func await(t testing.TB, s *trap.HTTPS, n int) []trap.HTTPSConnection {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	require.NoError(t, s.Await(ctx, n))
	seen := s.Observed()
	require.Len(t, seen, n)
	return seen
}

func TestTheHonestTrapIsAccepted(t *testing.T) {
	s := startHTTPS(t, trap.HTTPSHonest)
	require.NoError(t, post(t, client(t, s)))
	c := await(t, s, 1)[0]
	require.NotNil(t, c.TLS)
	assert.True(t, c.TLS.Completed)
	assert.Equal(t, trap.Trusted, c.TLS.Trust)
	assert.Equal(t, host, c.TLS.ServerName)
	assert.Equal(t, "TLS 1.3", c.TLS.Version)
	assert.Equal(t, []string{"TLS 1.3", "TLS 1.2"}, c.TLS.Versions)
	assert.NotEmpty(t, c.TLS.Suite)
	assert.Empty(t, c.TLS.Alert)
	assert.True(t, c.Request && c.Cookie && c.Authorization && c.Body)
	assert.False(t, c.Cleartext)
	assert.Positive(t, c.Lasted)

	out, err := json.Marshal(s.Observed())
	require.NoError(t, err)
	assert.NotContains(t, string(out), "c0ffee", "yes or no, never the value")
	assert.NotContains(t, fmt.Sprintf("%+v", s.Observed()), "c0ffee")

	bare, err := client(t, s).Get("https://" + host + "/")
	require.NoError(t, err)
	bare.Body.Close()
	c = await(t, s, 2)[1]
	assert.True(t, c.Request)
	assert.False(t, c.Cookie || c.Authorization || c.Body)

	resp, err := client(t, s).Head("https://" + host + "/")
	require.NoError(t, err)
	resp.Body.Close()
}

// Every posture against a client that is as strict as crypto/tls, with TLS 1.3 and with 1.2.
func TestGoRefuses(t *testing.T) {
	type want struct {
		trust trap.Trust
		alert string
	}
	badCert := want{trust: trap.Refused, alert: "bad_certificate"}
	unknownCA := want{trust: trap.Refused, alert: "bad_certificate"}
	for p, w := range map[trap.HTTPSPosture]want{
		trap.HTTPSExpired: badCert, trap.HTTPSNotYetValid: badCert, trap.HTTPSWrongName: badCert, trap.HTTPSCommonNameOnly: badCert,
		trap.HTTPSClientOnly: badCert, trap.HTTPSPartialWildcard: badCert, trap.HTTPSSHA1: badCert,
		trap.HTTPSSelfSigned: unknownCA, trap.HTTPSUntrusted: unknownCA, trap.HTTPSNoIntermediate: unknownCA,
		trap.HTTPSTLS10Only: {trust: trap.Refused}, trap.HTTPSRC4Only: {trust: trap.Refused},
		trap.HTTPSStalledHandshake: {}, trap.HTTPSEndlessRecord: {}, trap.HTTPSDrippingRecord: {}, trap.HTTPSEarlyClose: {}, trap.HTTPSPlainHTTP: {},
	} {
		for _, version := range []uint16{tls.VersionTLS13, tls.VersionTLS12} {
			t.Run(p.String()+" "+tls.VersionName(version), func(t *testing.T) {
				t.Parallel()
				s := startHTTPS(t, p)
				require.Error(t, post(t, client(t, s, func(c *tls.Config) { c.MaxVersion = version })))
				c := await(t, s, 1)[0]
				require.NotNil(t, c.TLS)
				assert.Equal(t, w.trust, c.TLS.Trust)
				assert.False(t, c.TLS.Completed)
				if w.alert != "" {
					assert.Equal(t, w.alert, c.TLS.Alert)
				}
				assert.False(t, c.Request || c.Cookie || c.Authorization || c.Body || c.Cleartext)
				if neverAnswers(p) || p == trap.HTTPSEndlessRecord {
					assert.True(t, c.ClosedByClient, "the client has a timeout or a bound of its own")
				}
			})
		}
	}
}

// The traps must be able to catch: each hostile posture with the one client that falls for it.
func TestACarelessClientIsCaught(t *testing.T) {
	day := 24 * time.Hour
	others := func(s *trap.HTTPS, then time.Time) func(*tls.Config) {
		return func(c *tls.Config) { c.Time = func() time.Time { return then } }
	}
	now := time.Now()
	for p, careless := range map[trap.HTTPSPosture]func(*trap.HTTPS) func(*tls.Config){
		trap.HTTPSExpired:     func(s *trap.HTTPS) func(*tls.Config) { return others(s, now.Add(-2*day)) },
		trap.HTTPSNotYetValid: func(s *trap.HTTPS) func(*tls.Config) { return others(s, now.Add(2*day)) },
		trap.HTTPSWrongName: func(*trap.HTTPS) func(*tls.Config) {
			return func(c *tls.Config) { c.ServerName = "other.trap.test" }
		},
		trap.HTTPSWildcard: func(*trap.HTTPS) func(*tls.Config) { return func(*tls.Config) {} },
		trap.HTTPSTLS10Only: func(*trap.HTTPS) func(*tls.Config) {
			return func(c *tls.Config) { c.MinVersion = tls.VersionTLS10 }
		},
		trap.HTTPSRC4Only: func(*trap.HTTPS) func(*tls.Config) {
			return func(c *tls.Config) {
				c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_RSA_WITH_RC4_128_SHA}
			}
		},
	} {
		t.Run(p.String(), func(t *testing.T) {
			s := startHTTPS(t, p)
			require.NoError(t, post(t, client(t, s, careless(s))))
			c := await(t, s, 1)[0]
			assert.Equal(t, trap.Trusted, c.TLS.Trust)
			assert.True(t, c.TLS.Completed && c.Request && c.Cookie && c.Authorization && c.Body)
		})
	}
}

func TestAClientThatSpeaksInTheClearIsCaught(t *testing.T) {
	s := startHTTPS(t, trap.HTTPSHonest)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.Addr()+"/", nil)
	require.NoError(t, err)
	req.SetBasicAuth("u", secret)
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	require.NoError(t, err)
	resp.Body.Close()
	c := await(t, s, 1)[0]
	assert.Nil(t, c.TLS)
	assert.True(t, c.Cleartext && c.Request && c.Authorization)
	assert.False(t, c.Cookie)
}

// Go keeps the Authorization header when a server redirects it from https to http on the same
// host, and a cookie that is not Secure. That is what this posture is for.
func TestRedirectToTheClear(t *testing.T) {
	s := startHTTPS(t, trap.HTTPSRedirectHTTP)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.Roots()}, DisableKeepAlives: true}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL(), nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+secret)
	resp, err := (&http.Client{Transport: transport}).Do(req)
	require.NoError(t, err)
	resp.Body.Close()
	seen := await(t, s, 2)
	assert.False(t, seen[0].Cleartext)
	assert.True(t, seen[1].Cleartext && seen[1].Authorization)

	careful := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err = careful.Get(s.URL())
	require.NoError(t, err)
	resp.Body.Close()
	assert.False(t, await(t, s, 3)[2].Cleartext)
}

// Clients differ in when they check the certificate. TLS 1.3 servers see it only from what
// comes after their own flight.
func TestWhoCompletesAndWhoTrusts(t *testing.T) {
	dial := func(t *testing.T, s *trap.HTTPS, config *tls.Config, then func(*tls.Conn)) {
		config.ServerName = host
		if config.RootCAs == nil {
			config.RootCAs = s.Roots()
		}
		conn, err := tls.Dial("tcp", s.Addr(), config)
		if err != nil {
			return
		}
		then(conn)
	}
	for what, tc := range map[string]struct {
		config    *tls.Config
		then      func(*tls.Conn)
		completed bool
		trust     trap.Trust
		alert     string
	}{
		"it sends data":                      {config: &tls.Config{}, then: func(c *tls.Conn) { io.WriteString(c, "x"); c.Close() }, completed: true, trust: trap.Trusted},
		"it closes politely without a word":  {config: &tls.Config{}, then: func(c *tls.Conn) { c.Close() }, completed: true, trust: trap.Undecided},
		"it drops the connection":            {config: &tls.Config{}, then: func(c *tls.Conn) { c.NetConn().Close() }, completed: true, trust: trap.Undecided},
		"it checks in the handshake":         {config: &tls.Config{RootCAs: x509.NewCertPool()}, trust: trap.Refused, alert: "bad_certificate"},
		"it checks in a callback of its own": {config: &tls.Config{VerifyConnection: func(tls.ConnectionState) error { return io.ErrNoProgress }}, trust: trap.Refused, alert: "bad_certificate"},
	} {
		for _, version := range []uint16{tls.VersionTLS13, tls.VersionTLS12} {
			t.Run(what+" "+tls.VersionName(version), func(t *testing.T) {
				s := startHTTPS(t, trap.HTTPSHonest)
				config := tc.config.Clone()
				config.MaxVersion = version
				dial(t, s, config, tc.then)
				c := await(t, s, 1)[0]
				assert.Equal(t, tc.completed, c.TLS.Completed)
				assert.Equal(t, tc.trust.String(), c.TLS.Trust.String())
				assert.Equal(t, tc.alert, c.TLS.Alert)
				if tc.trust != trap.Trusted { // the trap hangs up on what is no HTTP
					assert.True(t, c.ClosedByClient)
				}
				assert.False(t, c.Request)
			})
		}
	}
	t.Run("it sends nothing at all", func(t *testing.T) {
		s := startHTTPS(t, trap.HTTPSHonest)
		conn, err := net.Dial("tcp", s.Addr())
		require.NoError(t, err)
		conn.Close()
		c := await(t, s, 1)[0]
		assert.Equal(t, trap.HTTPSConnection{ClosedByClient: true, Lasted: c.Lasted}, c)
	})
	t.Run("its hello is no hello", func(t *testing.T) {
		s := startHTTPS(t, trap.HTTPSHonest)
		conn, err := net.Dial("tcp", s.Addr())
		require.NoError(t, err)
		_, err = conn.Write([]byte{22, 3, 1, 0, 4, 1, 0, 0, 0})
		require.NoError(t, err)
		_, _ = io.ReadAll(conn)
		conn.Close()
		c := await(t, s, 1)[0]
		assert.Nil(t, c.TLS)
		assert.False(t, c.Request)
	})
}

// OpenSSL and curl, which verify by other code and at other times than Go.
func TestOpenSSLAgrees(t *testing.T) {
	openssl := realsrv.Need(t, "openssl")
	for _, version := range []string{"-tls1_3", "-tls1_2"} {
		for p, want := range map[trap.HTTPSPosture]trap.Trust{
			trap.HTTPSHonest: trap.Trusted, trap.HTTPSWildcard: trap.Trusted,
			trap.HTTPSExpired: trap.Refused, trap.HTTPSNotYetValid: trap.Refused, trap.HTTPSWrongName: trap.Refused,
			trap.HTTPSSelfSigned: trap.Refused, trap.HTTPSUntrusted: trap.Refused, trap.HTTPSNoIntermediate: trap.Refused,
			trap.HTTPSClientOnly: trap.Refused, trap.HTTPSSHA1: trap.Refused, trap.HTTPSTLS10Only: trap.Refused, trap.HTTPSRC4Only: trap.Refused,
		} {
			t.Run(p.String()+version, func(t *testing.T) {
				s := startHTTPS(t, p)
				cmd := exec.CommandContext(t.Context(), openssl, "s_client", "-connect", s.Addr(), "-CAfile", caFile(t, s), "-no-CApath", "-no-CAstore",
					"-servername", host, "-verify_hostname", host, "-verify_return_error", "-quiet", "-no_ign_eof", version)
				cmd.Stdin = strings.NewReader("GET / HTTP/1.1\r\nHost: " + host + "\r\nCookie: a=b\r\n\r\n")
				out, err := cmd.CombinedOutput()
				c := await(t, s, 1)[0]
				assert.Equal(t, want, c.TLS.Trust, "%s", out)
				assert.Equal(t, want == trap.Trusted, c.TLS.Completed)
				assert.Equal(t, want == trap.Trusted, c.Request && c.Cookie)
				if want == trap.Refused {
					assert.Error(t, err)
				}
			})
		}
	}
	// Without -verify_return_error s_client goes on whatever the certificate is.
	s := startHTTPS(t, trap.HTTPSUntrusted)
	cmd := exec.CommandContext(t.Context(), openssl, "s_client", "-connect", s.Addr(), "-quiet", "-no_ign_eof")
	cmd.Stdin = strings.NewReader("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	_, _ = cmd.CombinedOutput()
	c := await(t, s, 1)[0]
	assert.Equal(t, trap.Trusted, c.TLS.Trust)
	assert.True(t, c.Request)
}

func TestCurlAgrees(t *testing.T) {
	curl := realsrv.Need(t, "curl")
	hostile := []trap.HTTPSPosture{}
	for _, p := range trap.HTTPSPostures() {
		switch p {
		case trap.HTTPSHonest, trap.HTTPSWildcard, trap.HTTPSCommonNameOnly, trap.HTTPSRedirectHTTP:
		default:
			hostile = append(hostile, p)
		}
	}
	run := func(t *testing.T, s *trap.HTTPS, more ...string) error {
		_, port, err := net.SplitHostPort(s.Addr())
		require.NoError(t, err)
		patience := "20"
		if neverAnswers(s.Posture()) {
			patience = "1"
		}
		args := append([]string{"-q", "-sS", "--noproxy", "*", "--cacert", caFile(t, s), "--connect-to", host + ":443:127.0.0.1:" + port, "--max-time", patience,
			"-H", "Authorization: Bearer " + secret, "-b", "s=" + secret, "-d", secret}, more...)
		out, err := exec.CommandContext(t.Context(), curl, append(args, "https://"+host+"/")...).CombinedOutput()
		t.Logf("%s", bytes.TrimSpace(out))
		return err
	}
	// curl with OpenSSL falls back to the common name where there is no SAN: the trap finds that.
	for _, p := range []trap.HTTPSPosture{trap.HTTPSHonest, trap.HTTPSWildcard, trap.HTTPSCommonNameOnly} {
		s := startHTTPS(t, p)
		require.NoError(t, run(t, s))
		c := await(t, s, 1)[0]
		assert.True(t, c.TLS.Completed && c.Request && c.Cookie && c.Authorization && c.Body)
	}
	for _, p := range hostile {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			s := startHTTPS(t, p)
			require.Error(t, run(t, s))
			c := await(t, s, 1)[0]
			assert.NotEqual(t, trap.Trusted, c.TLS.Trust)
			assert.False(t, c.Request || c.Cookie || c.Authorization || c.Body)
			if p.String() == "wrong-name" {
				// curl compares the name itself, after OpenSSL has finished the handshake.
				assert.True(t, c.TLS.Completed)
			}
		})
	}
	s := startHTTPS(t, trap.HTTPSUntrusted)
	require.NoError(t, run(t, s, "--insecure"))
	assert.True(t, await(t, s, 1)[0].Authorization)
}

// GnuTLS still has RC4, so that posture too has a client of other make that falls for it.
func TestGnuTLSAgrees(t *testing.T) {
	cli := realsrv.Need(t, "gnutls-cli")
	const rc4 = "NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+ARCFOUR-128:+SHA1:%COMPAT"
	for _, tc := range []struct {
		posture  trap.HTTPSPosture
		priority string
		want     trap.Trust
	}{
		{trap.HTTPSHonest, "NORMAL", trap.Trusted},
		{trap.HTTPSHonest, "NORMAL:-VERS-TLS1.3", trap.Trusted},
		{trap.HTTPSExpired, "NORMAL", trap.Refused},
		{trap.HTTPSExpired, "NORMAL:-VERS-TLS1.3", trap.Refused},
		{trap.HTTPSWrongName, "NORMAL", trap.Refused},
		{trap.HTTPSUntrusted, "NORMAL", trap.Refused},
		{trap.HTTPSRC4Only, "NORMAL", trap.Refused},
		{trap.HTTPSRC4Only, rc4, trap.Trusted},
		{trap.HTTPSTLS10Only, "NORMAL:-VERS-ALL:+VERS-TLS1.2", trap.Refused},
		{trap.HTTPSTLS10Only, "LEGACY:+VERS-TLS1.0", trap.Trusted},
	} {
		t.Run(tc.posture.String()+" "+tc.priority, func(t *testing.T) {
			s := startHTTPS(t, tc.posture)
			_, port, err := net.SplitHostPort(s.Addr())
			require.NoError(t, err)
			cmd := exec.CommandContext(t.Context(), cli, "--x509cafile", caFile(t, s), "--sni-hostname", host, "--verify-hostname", host, "--priority", tc.priority, "-p", port, "127.0.0.1")
			cmd.Stdin = strings.NewReader("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
			out, _ := cmd.CombinedOutput()
			c := await(t, s, 1)[0]
			assert.Equal(t, tc.want.String(), c.TLS.Trust.String(), "%s", out)
			assert.Equal(t, tc.want == trap.Trusted, c.Request)
		})
	}
}

// Wget looks at the certificate after the handshake, and leaves without a word if it dislikes
// it. That no trap can tell from a client that was content and had nothing to say.
func TestAClientThatVerifiesLate(t *testing.T) {
	wget := realsrv.Need(t, "wget")
	for p, want := range map[trap.HTTPSPosture]trap.Trust{
		trap.HTTPSHonest: trap.Trusted, trap.HTTPSWrongName: trap.Undecided, trap.HTTPSUntrusted: trap.Undecided, trap.HTTPSExpired: trap.Undecided,
	} {
		t.Run(p.String(), func(t *testing.T) {
			s := startHTTPS(t, p)
			out, err := exec.CommandContext(t.Context(), wget, "--no-config", "-q", "-O-", "--no-proxy", "--no-hsts", "--tries=1", "--ca-certificate="+caFile(t, s), s.URL()).CombinedOutput()
			assert.Equal(t, want == trap.Trusted, err == nil, "%s", out)
			c := await(t, s, 1)[0]
			assert.True(t, c.TLS.Completed)
			assert.Equal(t, want.String(), c.TLS.Trust.String())
			assert.Equal(t, want == trap.Trusted, c.Request)
		})
	}
}

func caFile(t testing.TB, s *trap.HTTPS) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(path, s.CA(), 0o600))
	return path
}

func TestOptions(t *testing.T) {
	ca := testca.MustNew(t)
	own := ca.MustIssue(t, testca.Leaf{Names: []string{"own.example"}})
	o := trap.Options{Certificate: &trap.Certificate{Chain: own.TLS(), Roots: ca.Pool()}}
	s, err := o.HTTPS(trap.HTTPSHonest)
	require.NoError(t, err)
	defer s.Close()
	conn, err := tls.Dial("tcp", s.Addr(), &tls.Config{RootCAs: s.Roots(), ServerName: "own.example"})
	require.NoError(t, err)
	assert.Equal(t, own.Leaf.Raw, conn.ConnectionState().PeerCertificates[0].Raw)
	conn.Close()
	assert.Empty(t, s.CA())

	_, err = trap.Options{Listen: s.Addr()}.HTTPS(trap.HTTPSHonest)
	require.ErrorContains(t, err, "trap: ")
	_, err = trap.NewHTTPS(200)
	require.ErrorContains(t, err, "unknown HTTPS posture(200)")

	named, err := trap.Options{Names: []string{"a.corp.example", "192.0.2.1"}}.HTTPS(trap.HTTPSWildcard)
	require.NoError(t, err)
	defer named.Close()
	conn, err = tls.Dial("tcp", named.Addr(), &tls.Config{RootCAs: named.Roots(), ServerName: "b.corp.example"})
	require.NoError(t, err)
	conn.Close()
}

func TestTheTrapEndsConnectionsInTime(t *testing.T) {
	s, err := trap.Options{Timeout: 50 * time.Millisecond}.HTTPS(trap.HTTPSStalledHandshake)
	require.NoError(t, err)
	defer s.Close()
	conn, err := net.Dial("tcp", s.Addr())
	require.NoError(t, err)
	defer conn.Close()
	c := await(t, s, 1)[0]
	assert.False(t, c.ClosedByClient)
}

func TestCloseBreaksWhatIsOpen(t *testing.T) {
	for _, p := range []trap.HTTPSPosture{trap.HTTPSHonest, trap.HTTPSStalledHandshake, trap.HTTPSDrippingRecord, trap.HTTPSEndlessRecord} {
		s, err := trap.NewHTTPS(p)
		require.NoError(t, err)
		conn, err := net.Dial("tcp", s.Addr())
		require.NoError(t, err)
		// The client says hello and reads nothing more than it wants.
		go func() { _ = tls.Client(conn, &tls.Config{ServerName: host}).Handshake() }()
		require.Eventually(t, func() bool { return len(s.Observed()) == 1 }, 10*time.Second, time.Millisecond)
		require.NoError(t, s.Close())
		require.NoError(t, s.Close(), "twice is once")
		conn.Close()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		assert.ErrorIs(t, s.Await(ctx, 2), context.Canceled)
	}
}

func TestPostureNames(t *testing.T) {
	var zero trap.HTTPSPosture
	assert.Equal(t, "honest", zero.String())
	for _, p := range trap.HTTPSPostures() {
		got, err := trap.ParseHTTPSPosture(p.String())
		require.NoError(t, err)
		assert.Equal(t, p, got)
	}
	_, err := trap.ParseHTTPSPosture("nice")
	assert.ErrorContains(t, err, "one of honest, expired")
	assert.Equal(t, "undecided", trap.Undecided.String())
}

func ExampleNewHTTPS() {
	s, err := trap.NewHTTPS(trap.HTTPSWrongName)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.Roots()}}}
	_, err = client.Get(s.URL())
	fmt.Println("client failed:", err != nil)
	_ = s.Await(context.Background(), 1)
	seen := s.Observed()[0]
	fmt.Println("certificate:", seen.TLS.Trust, "request sent:", seen.Request)
	// Output:
	// client failed: true
	// certificate: refused request sent: false
}

func BenchmarkHTTPS(b *testing.B) {
	s := startHTTPS(b, trap.HTTPSHonest)
	c := client(b, s)
	for b.Loop() {
		require.NoError(b, post(b, c))
	}
}
