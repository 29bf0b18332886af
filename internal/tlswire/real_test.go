package tlswire

import (
	"crypto/tls"
	"net"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec/internal/realsrv"
	"github.com/connsec/connsec/internal/testca"
)

const host = "central.corp.example"

// The servers that offer what crypto/tls does not have.
func TestProbeAgainstOpenSSL(t *testing.T) {
	openssl := realsrv.Need(t, "openssl")
	ca := testca.MustNew(t)
	dir := t.TempDir()
	rsa := ca.MustIssue(t, testca.Leaf{Names: []string{host}, Key: testca.RSA2048})
	files := rsa.MustWriteFiles(t, dir, "rsa")
	with := []string{"-cert", files.Chain, "-cert_chain", files.Chain, "-key", files.Key}
	old := Hello{MaxVersion: tls.VersionTLS10}
	all12 := Hello{MaxVersion: tls.VersionTLS12, Suites: Suites(tls.VersionTLS12), ServerName: host}

	for _, tc := range []struct {
		what  string
		args  []string
		hello Hello
		alert string
		suite string
		see   func(*testing.T, Flight)
	}{
		{what: "TLS 1.0", args: []string{"-tls1", "-cipher", "ALL:@SECLEVEL=0"}, hello: old, suite: "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", see: func(t *testing.T, f Flight) {
			assert.Equal(t, "TLS 1.0", VersionName(f.Version))
			assert.Zero(t, f.SignatureScheme)
		}},
		{what: "TLS 1.1 offered, TLS 1.0 answered", args: []string{"-tls1", "-cipher", "ALL:@SECLEVEL=0"}, hello: Hello{MaxVersion: tls.VersionTLS11}, suite: "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", see: func(t *testing.T, f Flight) {
			assert.Equal(t, "TLS 1.0", VersionName(f.Version))
		}},
		{what: "TLS 1.0 refused", args: []string{"-tls1_2"}, hello: old, alert: "protocol_version"},
		{what: "SSL 3.0 refused", args: []string{"-cipher", "ALL:@SECLEVEL=0"}, hello: Hello{MaxVersion: VersionSSL30}, alert: "handshake_failure"},
		{what: "no suite in common", args: []string{"-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"}, hello: Hello{MaxVersion: tls.VersionTLS12, Suites: WeakSuites(Broken)}, alert: "handshake_failure"},
		{what: "no encryption", args: []string{"-tls1_2", "-cipher", "NULL-SHA256:@SECLEVEL=0"}, hello: all12, suite: "TLS_RSA_WITH_NULL_SHA256"},
		{what: "anonymous ECDH", args: []string{"-tls1_2", "-cipher", "AECDH-AES256-SHA:@SECLEVEL=0"}, hello: all12, suite: "TLS_ECDH_anon_WITH_AES_256_CBC_SHA", see: func(t *testing.T, f Flight) {
			assert.Nil(t, f.Certificates)
			assert.NotZero(t, f.Group)
			assert.Zero(t, f.SignatureScheme)
		}},
		{what: "anonymous DH", args: []string{"-tls1_2", "-cipher", "ADH-AES128-GCM-SHA256:@SECLEVEL=0"}, hello: all12, suite: "TLS_DH_anon_WITH_AES_128_GCM_SHA256", see: func(t *testing.T, f Flight) {
			assert.Equal(t, 1024, f.DHBits) // what OpenSSL still picks at security level 0
		}},
		{what: "DHE", args: []string{"-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256"}, hello: all12, suite: "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", see: func(t *testing.T, f Flight) {
			assert.GreaterOrEqual(t, f.DHBits, 2048)
			assert.Equal(t, uint16(tls.PSSWithSHA256), f.SignatureScheme)
			assert.Zero(t, f.Group)
		}},
		{what: "static RSA", args: []string{"-tls1_2", "-cipher", "AES128-SHA"}, hello: all12, suite: "TLS_RSA_WITH_AES_128_CBC_SHA"},
		{what: "CCM_8", args: []string{"-tls1_2", "-cipher", "AES128-CCM8:@SECLEVEL=0"}, hello: all12, suite: "TLS_RSA_WITH_AES_128_CCM_8"},
		{what: "brainpool", args: []string{"-tls1_2", "-groups", "brainpoolP256r1"}, hello: Hello{MaxVersion: tls.VersionTLS12, Groups: []uint16{26}}, suite: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", see: func(t *testing.T, f Flight) {
			assert.Equal(t, "brainpoolP256r1", GroupName(f.Group))
		}},
		{what: "TLS 1.3, asked without a share", args: []string{"-tls1_3", "-groups", "P-384"}, hello: Hello{MaxVersion: tls.VersionTLS13}, suite: "TLS_AES_128_GCM_SHA256", see: func(t *testing.T, f Flight) {
			assert.True(t, f.Retry)
			assert.Equal(t, GroupSecp384r1, f.Group)
		}},
		{what: "TLS 1.3, asked with a share", args: []string{"-tls1_3"}, hello: Hello{MaxVersion: tls.VersionTLS13, Groups: []uint16{GroupSecp521r1}, KeyShares: []uint16{GroupSecp521r1}, Suites: []uint16{tls.TLS_CHACHA20_POLY1305_SHA256}}, suite: "TLS_CHACHA20_POLY1305_SHA256", see: func(t *testing.T, f Flight) {
			assert.False(t, f.Retry)
			assert.Equal(t, GroupSecp521r1, f.Group)
		}},
		{what: "ffdhe in TLS 1.3", args: []string{"-tls1_3", "-groups", "ffdhe3072"}, hello: Hello{MaxVersion: tls.VersionTLS13}, suite: "TLS_AES_128_GCM_SHA256", see: func(t *testing.T, f Flight) {
			assert.Equal(t, GroupFFDHE3072, f.Group)
		}},
		{what: "fallback refused", args: nil, hello: Hello{MaxVersion: tls.VersionTLS12, Suites: []uint16{0xc02f, SCSVFallback}}, alert: "inappropriate_fallback"},
		{what: "ALPN and a client certificate", args: []string{"-tls1_2", "-alpn", "tds/8.0", "-Verify", "1"}, hello: Hello{MaxVersion: tls.VersionTLS12, ALPN: []string{"tds/8.0"}}, suite: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", see: func(t *testing.T, f Flight) {
			assert.Equal(t, "tds/8.0", f.ALPN)
			assert.True(t, f.ClientCertificate)
		}},
		{what: "an unknown name, warned about", args: []string{"-tls1_2", "-servername", "other.corp.example", "-cert2", files.Chain, "-key2", files.Key}, hello: Hello{MaxVersion: tls.VersionTLS12, ServerName: host}, suite: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", see: func(t *testing.T, f Flight) {
			require.Len(t, f.Warnings, 1)
			assert.Equal(t, "unrecognized_name", f.Warnings[0].String())
		}},
	} {
		t.Run(tc.what, func(t *testing.T) {
			port := realsrv.FreePort(t)
			addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
			realsrv.Start(t, realsrv.Cmd{Path: openssl, Args: append(append([]string{"s_server", "-accept", addr, "-quiet"}, with...), tc.args...), TCP: []string{addr}})
			conn, err := net.Dial("tcp", addr)
			require.NoError(t, err)
			f := probe(t, conn, tc.hello)
			if tc.alert != "" {
				require.NotNil(t, f.Alert)
				assert.Equal(t, tc.alert, f.Alert.String())
				return
			}
			require.Nil(t, f.Alert, "%v", f.Alert)
			assert.Equal(t, tc.suite, SuiteName(f.Suite))
			assert.True(t, f.Done)
			if s, _ := LookupSuite(f.Suite); f.Version < tls.VersionTLS13 && s.Authentication != "anon" {
				require.NotEmpty(t, f.Certificates)
				assert.Equal(t, rsa.Leaf.Raw, f.Certificates[0])
			}
			if tc.see != nil {
				tc.see(t, f)
			}
		})
	}
}

// What OpenSSL has no more, GnuTLS still has.
func TestProbeAgainstGnuTLS(t *testing.T) {
	server := realsrv.Need(t, "gnutls-serv")
	ns := realsrv.NewNetns(t) // it listens on every address of where it is
	files := testca.MustNew(t).MustIssue(t, testca.Leaf{Names: []string{host}, Key: testca.RSA2048}).MustWriteFiles(t, t.TempDir(), "rsa")
	weak := Hello{MaxVersion: tls.VersionTLS12, Suites: WeakSuites(RC4 | SmallBlock), ServerName: host}
	for _, tc := range []struct {
		what, priority string
		hello          Hello
		suite, group   string
	}{
		{"3DES", "NORMAL:-VERS-ALL:+VERS-TLS1.2:+VERS-TLS1.0:-CIPHER-ALL:+3DES-CBC:+SHA1:%COMPAT", weak, "TLS_RSA_WITH_3DES_EDE_CBC_SHA", "0x0000"},
		{"RC4", "NORMAL:-VERS-ALL:+VERS-TLS1.2:+VERS-TLS1.0:-CIPHER-ALL:+ARCFOUR-128:+SHA1:+MD5:%COMPAT", weak, "TLS_RSA_WITH_RC4_128_MD5", "0x0000"},
		{"TLS 1.3 without a share", "NORMAL:-GROUP-ALL:+GROUP-SECP384R1", Hello{MaxVersion: tls.VersionTLS13}, "TLS_AES_128_GCM_SHA256", "secp384r1"},
		{"TLS 1.3 with a share", "NORMAL", Hello{MaxVersion: tls.VersionTLS13, KeyShares: []uint16{GroupX25519}}, "TLS_AES_128_GCM_SHA256", "x25519"},
	} {
		t.Run(tc.what, func(t *testing.T) {
			port := strconv.Itoa(realsrv.FreePort(t))
			addr := net.JoinHostPort("127.0.0.1", port)
			realsrv.Start(t, realsrv.Cmd{Path: server, Netns: ns, Args: []string{"--echo", "-p", port, "--x509certfile", files.Chain, "--x509keyfile", files.Key, "--priority", tc.priority}, TCP: []string{addr}})
			conn, err := ns.DialContext(t.Context(), "tcp", addr)
			require.NoError(t, err)
			f := probe(t, conn, tc.hello)
			require.Nil(t, f.Alert, "%v", f.Alert)
			assert.Equal(t, tc.suite, SuiteName(f.Suite))
			assert.Equal(t, tc.group, GroupName(f.Group))
		})
	}
}

func probe(t *testing.T, conn net.Conn, hello Hello) Flight {
	t.Helper()
	defer conn.Close()
	f, err := Probe(t.Context(), conn, hello)
	require.NoError(t, err)
	return f
}
