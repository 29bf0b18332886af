package realsrv_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/connsec/connsec/internal/realsrv"
	"github.com/connsec/connsec/internal/testca"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const host = "server.corp.example"

var authority = sync.OnceValues(func() (*testca.CA, error) {
	return testca.New(testca.Options{RootKey: testca.RSA2048, IntermediateKey: testca.RSA2048})
})

func material(t *testing.T, leaf testca.Leaf) realsrv.Material {
	t.Helper()
	ca, err := authority()
	require.NoError(t, err)
	if leaf.Names == nil {
		leaf.Names = []string{host}
	}
	return realsrv.Material(ca.MustIssue(t, leaf).MustWriteFiles(t, t.TempDir(), "leaf"))
}

// client runs a program of the machine and returns what it wrote; stdin is empty.
func client(t *testing.T, program string, args ...string) (string, error) {
	t.Helper()
	return realsrv.Run(t, realsrv.Cmd{Path: realsrv.Need(t, program), Args: args, Timeout: 20 * time.Second})
}

// handshake is what openssl s_client makes of a server.
func handshake(t *testing.T, addr, ca string, extra ...string) (string, error) {
	t.Helper()
	args := []string{"s_client", "-connect", addr, "-servername", host, "-verify_hostname", host, "-verify_return_error"}
	if ca != "" {
		args = append(args, "-CAfile", ca)
	}
	return client(t, "openssl", append(args, extra...)...)
}

// oldTLS makes s_client accept what it otherwise refuses.
var clientLeaf = testca.Leaf{EKU: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}

// loopback is for clients that verify the address they dial.
var loopback = []netip.Addr{netip.MustParseAddr("127.0.0.1")}

var oldTLS = []string{"-cipher", "ALL:COMPLEMENTOFALL:@SECLEVEL=0"}

func TestNginx(t *testing.T) {
	realsrv.Need(t, "nginx")
	m := material(t, testca.Leaf{IPs: loopback})
	tests := []struct {
		name  string
		conf  realsrv.Nginx
		has10 bool
		http  int
	}{
		{"modern", realsrv.Nginx{}, false, 0},
		{"redirect", realsrv.Nginx{HTTP: realsrv.HTTPRedirect}, false, http.StatusMovedPermanently},
		{"weak", realsrv.Nginx{Posture: realsrv.NginxWeak, HTTP: realsrv.HTTPServe, Body: "plain"}, true, http.StatusOK},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.conf.TLS = m
			srv := tt.conf.Start(t)
			out, err := handshake(t, srv.HTTPS, m.CA)
			require.NoError(t, err, out)
			_, err = handshake(t, srv.HTTPS, m.CA, append(oldTLS, "-tls1")...)
			assert.Equal(t, tt.has10, err == nil, "TLS 1.0")
			_, err = handshake(t, srv.HTTPS, m.CA, "-tls1_2", "-cipher", "eNULL:@SECLEVEL=0")
			assert.Equal(t, tt.has10, err == nil, "NULL")

			if tt.http == 0 {
				assert.Empty(t, srv.HTTP)
				return
			}
			transport := &http.Transport{DisableKeepAlives: true}
			res, err := (&http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
				return http.ErrUseLastResponse
			}}).Get("http://" + srv.HTTP + "/")
			require.NoError(t, err)
			body, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			assert.Equal(t, tt.http, res.StatusCode)
			if tt.http == http.StatusOK {
				assert.Equal(t, tt.conf.Body, string(body))
			} else {
				_, port, _ := net.SplitHostPort(srv.HTTPS)
				assert.Equal(t, "https://127.0.0.1:"+port+"/", res.Header.Get("Location"))
			}
		})
	}
}

func TestNginxTrixie(t *testing.T) {
	root := realsrv.Trixie(t, "nginx")
	m := material(t, testca.Leaf{IPs: loopback})
	srv := realsrv.Nginx{TLS: m, Root: root}.Start(t)
	out, err := handshake(t, srv.HTTPS, m.CA)
	require.NoError(t, err, out)
}

func TestOpenSSL(t *testing.T) {
	realsrv.Need(t, "openssl")
	m := material(t, testca.Leaf{Key: testca.RSA2048})
	tests := []struct {
		posture realsrv.OpenSSLPosture
		client  []string // what it must accept
		want    string   // in what the client says
		refused []string // and what not
	}{
		{realsrv.OpenSSLModern, nil, "New, TLSv1.3", []string{"-tls1_1", "-cipher", "ALL:@SECLEVEL=0"}},
		{realsrv.OpenSSLTLS10, append(oldTLS, "-tls1"), "Protocol  : TLSv1\n", []string{"-tls1_2"}},
		{realsrv.OpenSSLTLS11, append(oldTLS, "-tls1_1"), "Protocol  : TLSv1.1\n", []string{"-tls1_2"}},
		{realsrv.OpenSSLTLS10And11, oldTLS, "Protocol  : TLSv1.1\n", []string{"-tls1_2"}},
		{realsrv.OpenSSLTLS12, nil, "Protocol  : TLSv1.2\n", []string{"-tls1_3"}},
		{realsrv.OpenSSLTLS13, nil, "New, TLSv1.3", []string{"-tls1_2"}},
		{realsrv.OpenSSLNull, []string{"-tls1_2", "-cipher", "eNULL:@SECLEVEL=0"}, "NULL-", []string{"-tls1_2"}},
		{realsrv.OpenSSLAnonymous, []string{"-tls1_2", "-cipher", "aNULL:@SECLEVEL=0"}, "Cipher is A", []string{"-tls1_2"}},
		{realsrv.OpenSSLStaticRSA, nil, "Cipher is AES256-GCM-SHA384", []string{"-tls1_2", "-cipher", "ECDHE"}},
		{realsrv.OpenSSLDHE, nil, "Cipher is DHE-", []string{"-tls1_2", "-cipher", "ECDHE"}},
		{realsrv.OpenSSLCBC, nil, "Cipher is AES", []string{"-tls1_2", "-cipher", "AESGCM"}},
		{realsrv.OpenSSLClientRenegotiation, nil, "Protocol  : TLSv1.2\n", []string{"-tls1_3"}},
		{realsrv.OpenSSLMutual, []string{"-tls1_2"}, "Acceptable client certificate CA names", []string{"-tls1_1", "-cipher", "ALL:@SECLEVEL=0"}},
	}
	for _, tt := range tests {
		t.Run(tt.posture.String(), func(t *testing.T) {
			srv := realsrv.OpenSSL{TLS: m, Posture: tt.posture}.Start(t)
			trust := m.CA
			if tt.posture == realsrv.OpenSSLAnonymous {
				trust = ""
			}
			out, err := client(t, "openssl", append([]string{"s_client", "-connect", srv.Addr, "-CAfile", m.CA}, tt.client...)...)
			require.NoError(t, err, out)
			assert.Contains(t, out, tt.want)
			out, err = handshake(t, srv.Addr, trust, tt.refused...)
			assert.Error(t, err, out)
		})
	}

	t.Run("mutual, mandatory", func(t *testing.T) {
		srv := realsrv.OpenSSL{TLS: m, Posture: realsrv.OpenSSLMutualMust}.Start(t)
		out, err := handshake(t, srv.Addr, m.CA, "-tls1_2")
		assert.Error(t, err, out)
		out, err = handshake(t, srv.Addr, m.CA, "-tls1_2", "-cert", m.Chain, "-cert_chain", m.Chain, "-key", m.Key)
		assert.Error(t, err, "a certificate for servers only: %s", out)
		c := material(t, clientLeaf)
		out, err = handshake(t, srv.Addr, m.CA, "-tls1_2", "-cert", c.Chain, "-cert_chain", c.Chain, "-key", c.Key)
		assert.NoError(t, err, out)
	})
	t.Run("small key", func(t *testing.T) {
		m := material(t, testca.Leaf{Key: testca.RSA1024})
		srv := realsrv.OpenSSL{TLS: m, Posture: realsrv.OpenSSLSmallKey}.Start(t)
		out, err := handshake(t, srv.Addr, m.CA, "-cipher", "ALL:@SECLEVEL=0")
		require.NoError(t, err, out)
		assert.Contains(t, out, "Server public key is 1024 bit")
		_, err = handshake(t, srv.Addr, m.CA)
		assert.Error(t, err, "an ordinary client refuses it")
	})
	t.Run("hybrid", func(t *testing.T) {
		root := realsrv.Trixie(t, "openssl")
		srv := realsrv.OpenSSL{TLS: m, Posture: realsrv.OpenSSLHybrid, Root: root}.Start(t)
		out, err := realsrv.Run(t, realsrv.Cmd{Path: "/usr/bin/openssl", Root: root, Args: []string{"s_client", "-connect", srv.Addr}})
		require.NoError(t, err, out)
		assert.Contains(t, out, "Negotiated TLS1.3 group: X25519MLKEM768")
	})
}

func TestGnuTLS(t *testing.T) {
	realsrv.Need(t, "gnutls-serv")
	cli := realsrv.Need(t, "gnutls-cli")
	m := material(t, testca.Leaf{Key: testca.RSA2048})
	tests := []struct {
		name     string
		posture  realsrv.GnuTLSPosture
		priority string
		want     string
	}{
		{"3DES", realsrv.GnuTLS3DES, "NORMAL:-CIPHER-ALL:+3DES-CBC:+SHA1:%COMPAT", "(3DES-CBC)"},
		{"RC4", realsrv.GnuTLSRC4, "NORMAL:-CIPHER-ALL:+ARCFOUR-128:+SHA1:+MD5:%COMPAT", "(ARCFOUR-128)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv := realsrv.GnuTLS{TLS: m, Posture: tt.posture}.Start(t)
			_, port, err := net.SplitHostPort(srv.Addr)
			require.NoError(t, err)
			connect := func(priority string) (string, error) {
				return realsrv.Run(t, realsrv.Cmd{Path: cli, Args: []string{"--x509cafile", m.CA, "--verify-hostname", host,
					"--sni-hostname", host, "--priority", priority, "-p", port, "127.0.0.1"}})
			}
			out, err := connect(tt.priority)
			require.NoError(t, err, out)
			assert.Contains(t, out, tt.want)
			_, err = connect("NORMAL")
			assert.Error(t, err, "an ordinary client has no suite in common")
		})
	}
}

func TestGnuTLSModern(t *testing.T) {
	m := material(t, testca.Leaf{})
	srv := realsrv.GnuTLS{TLS: m}.Start(t)
	out, err := handshake(t, srv.Addr, m.CA)
	require.NoError(t, err, out)
	_, err = handshake(t, srv.Addr, m.CA, append(oldTLS, "-tls1_1")...)
	assert.Error(t, err)
}

func TestSlapd(t *testing.T) {
	realsrv.Need(t, "slapd")
	m := material(t, testca.Leaf{IPs: loopback})
	const invalid, confidential, inappropriate = 49, 13, 48
	tests := []struct {
		name              string
		posture           realsrv.SlapdPosture
		read, bind, wrong int // ldapsearch's exit status in the clear: anonymous, with the password, with another
	}{
		{"tls", realsrv.SlapdTLS, confidential, confidential, confidential},
		{"ssf", realsrv.SlapdSSF, confidential, confidential, confidential},
		{"simple bind", realsrv.SlapdSimpleBind, 0, confidential, confidential},
		{"open", realsrv.SlapdOpen, 0, 0, invalid},
		{"no anonymous", realsrv.SlapdNoAnonymous, inappropriate, 0, invalid},
		{"weak TLS", realsrv.SlapdWeakTLS, 0, 0, invalid},
	}
	for _, trixie := range []bool{false, true} {
		for _, tt := range tests {
			t.Run(fmt.Sprintf("%s/trixie=%t", tt.name, trixie), func(t *testing.T) {
				root := ""
				if trixie {
					root = realsrv.Trixie(t, "slapd")
				}
				srv := realsrv.Slapd{TLS: m, Posture: tt.posture, Root: root}.Start(t)
				assert.Equal(t, tt.read, ldapsearch(t, m, srv.PlainURL, srv.BaseDN), "read")
				auth := []string{"-D", srv.BindDN, "-w", srv.Password.Reveal()}
				assert.Equal(t, tt.bind, ldapsearch(t, m, srv.PlainURL, srv.BaseDN, auth...), "bind")
				assert.Equal(t, tt.wrong, ldapsearch(t, m, srv.PlainURL, srv.BaseDN, "-D", srv.BindDN, "-w", "wrong"), "wrong password")

				out, err := handshake(t, srv.LDAPS, m.CA)
				assert.Equal(t, trixie || tt.posture != realsrv.SlapdWeakTLS, err == nil, out)
				out, err = handshake(t, srv.LDAPS, m.CA, append(oldTLS, "-tls1_1")...)
				old := tt.posture == realsrv.SlapdWeakTLS || root == "" && (tt.posture == realsrv.SlapdOpen || tt.posture == realsrv.SlapdNoAnonymous)
				assert.Equal(t, old, err == nil, out)
				if tt.posture != realsrv.SlapdWeakTLS {
					assert.Zero(t, ldapsearch(t, m, srv.TLSURL, srv.BaseDN, auth...), "ldaps")
					assert.Zero(t, ldapsearch(t, m, srv.PlainURL, srv.BaseDN, append(auth, "-ZZ")...), "StartTLS")
				}
			})
		}
	}
}

// ldapsearch reads the base entry with OpenLDAP's client and returns its exit status, which is
// the result code.
func ldapsearch(t *testing.T, m realsrv.Material, url, base string, extra ...string) int {
	t.Helper()
	args := append([]string{"-x", "-H", url, "-b", base, "-s", "base", "-LLL"}, extra...)
	out, err := realsrv.Run(t, realsrv.Cmd{
		Path: realsrv.Need(t, "ldapsearch"), Args: args,
		Env: []string{"LDAPTLS_CACERT=" + m.CA, "LDAPTLS_REQCERT=demand"},
	})
	return status(t, out, err)
}

func status(t *testing.T, out string, err error) int {
	t.Helper()
	if err == nil {
		return 0
	}
	var exit interface{ ExitCode() int }
	require.ErrorAs(t, err, &exit, out)
	return exit.ExitCode()
}

func TestProcess(t *testing.T) {
	realsrv.Need(t, "sh")

	t.Run("ends before it listens", func(t *testing.T) {
		rec := record(t)
		rec.run(func() {
			realsrv.Start(rec, realsrv.Cmd{Path: "/bin/sh", Args: []string{"-c", "echo the password is hunter2"},
				TCP: []string{fmt.Sprintf("127.0.0.1:%d", realsrv.FreePort(t))}, Secrets: []string{"hunter2"}})
		})
		assert.Contains(t, rec.fatal, "ended before it listened")
		assert.Contains(t, rec.log, "the password is REDACTED")
		assert.NotContains(t, rec.log+rec.fatal, "hunter2")
	})
	t.Run("never listens", func(t *testing.T) {
		rec := record(t)
		addr := fmt.Sprintf("127.0.0.1:%d", realsrv.FreePort(t))
		rec.run(func() {
			realsrv.Start(rec, realsrv.Cmd{Path: "/bin/sleep", Args: []string{"60"}, TCP: []string{addr}, Timeout: 50 * time.Millisecond})
		})
		assert.Contains(t, rec.fatal, "does not listen on tcp "+addr)
	})
	t.Run("stop takes the children along", func(t *testing.T) {
		dir := realsrv.NewDir(t, "")
		p := realsrv.Start(t, realsrv.Cmd{Path: "/bin/sh", Args: []string{"-c", "trap '' TERM; sleep 61 & echo $! > " + dir.Path("pid") + "; exec sleep 62"}})
		var child string
		require.Eventually(t, func() bool {
			data, _ := os.ReadFile(dir.Path("pid"))
			child = strings.TrimSpace(string(data))
			return child != ""
		}, 10*time.Second, 5*time.Millisecond)
		p.Stop()
		p.Stop()
		assert.Eventually(t, func() bool { return ended(child) }, 10*time.Second, 5*time.Millisecond)
	})
	t.Run("exit status", func(t *testing.T) {
		out, err := realsrv.Run(t, realsrv.Cmd{Path: "/bin/sh", Args: []string{"-c", "echo out; echo err >&2; exit 3"}})
		assert.Equal(t, 3, status(t, out, err))
		assert.Equal(t, "out\nerr\n", out)
	})
	t.Run("nothing is inherited", func(t *testing.T) {
		t.Setenv("CONNSEC_TEST_MARK", "seen")
		out, err := realsrv.Run(t, realsrv.Cmd{Path: "/usr/bin/env"})
		require.NoError(t, err)
		assert.NotContains(t, out, "CONNSEC_TEST_MARK")
	})
	t.Run("endless", func(t *testing.T) {
		_, err := realsrv.Run(t, realsrv.Cmd{Path: "/bin/sleep", Args: []string{"60"}, Timeout: 50 * time.Millisecond})
		assert.ErrorContains(t, err, "did not end within")
	})
}

func TestNetns(t *testing.T) {
	ns := realsrv.NewNetns(t)
	out, err := realsrv.Run(t, realsrv.Cmd{Path: realsrv.Need(t, "cat"), Args: []string{"/proc/self/net/dev"}, Netns: ns})
	require.NoError(t, err)
	assert.Equal(t, 3, strings.Count(out, "\n"), "two lines of title and the loopback interface: %s", out)
	assert.Contains(t, out, "lo:")

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err = ns.DialContext(ctx, "tcp", "127.0.0.1:9")
	assert.ErrorContains(t, err, "refused", "loopback is up and nobody listens")
	_, err = ns.DialContext(ctx, "tcp", "192.0.2.1:9")
	assert.ErrorContains(t, err, "unreachable")
	_, err = ns.DialContext(ctx, "tcp", "localhost:9")
	assert.ErrorContains(t, err, "cannot resolve")
}

func TestFreePort(t *testing.T) {
	seen := map[int]bool{}
	for range 50 {
		port := realsrv.FreePort(t)
		assert.False(t, seen[port])
		seen[port] = true
	}
}

// recorder stands in for a test that is to fail.
type recorder struct {
	testing.TB
	fatal, log string
	skipped    bool
	cleanups   []func()
}

func record(t *testing.T) *recorder { return &recorder{TB: t} }

func (r *recorder) Helper()          {}
func (r *recorder) Failed() bool     { return r.fatal != "" }
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Logf(format string, args ...any) {
	r.log += fmt.Sprintf(format, args...)
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.fatal += fmt.Sprintf(format, args...)
	panic(r)
}

func (r *recorder) Skipf(format string, args ...any) {
	r.skipped = true
	r.log += fmt.Sprintf(format, args...)
	panic(r)
}

// run runs f up to where it gives up, and then its cleanups.
func (r *recorder) run(f func()) {
	func() {
		defer func() {
			if v := recover(); v != nil && v != any(r) {
				panic(v)
			}
		}()
		f()
	}()
	for i := len(r.cleanups) - 1; i >= 0; i-- {
		r.cleanups[i]()
	}
}

func TestNeed(t *testing.T) {
	tests := []struct {
		name, require string
		fatal         bool
	}{
		{"nothing required", "", false},
		{"another one", "slapd", false},
		{"part of the name", "no-such-program-2", false},
		{"named", "no-such-program", true},
		{"in a list", "slapd, no-such-program", true},
		{"with spaces", "slapd no-such-program", true},
		{"all", "all", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("CONNSEC_REQUIRE", tt.require)
			rec := record(t)
			rec.run(func() { realsrv.Need(rec, "no-such-program") })
			assert.Equal(t, tt.fatal, rec.fatal != "")
			assert.Equal(t, !tt.fatal, rec.skipped)
			assert.Contains(t, rec.log+rec.fatal, "no-such-program")
			assert.Contains(t, rec.log+rec.fatal, ".ci/packages")
		})
	}
	t.Run("present", func(t *testing.T) {
		rec := record(t)
		rec.run(func() { assert.NotEmpty(t, realsrv.Need(rec, "go")) })
		assert.Empty(t, rec.fatal)
	})
	t.Run("trixie elsewhere", func(t *testing.T) {
		t.Setenv("CONNSEC_REQUIRE", "trixie")
		t.Setenv("CONNSEC_TRIXIE", t.TempDir())
		rec := record(t)
		rec.run(func() { realsrv.Need(rec, "trixie") })
		assert.Contains(t, rec.fatal, "no finished Debian 13 root")
	})
}
