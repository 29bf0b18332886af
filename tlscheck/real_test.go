package tlscheck_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/xml"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/realsrv"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/internal/testca"
	"github.com/connsec/connsec/tlscheck"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sClient asks OpenSSL whether a handshake with the given restrictions succeeds.
func sClient(t *testing.T, addr string, args ...string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, realsrv.Need(t, "openssl"), append([]string{"s_client", "-connect", addr, "-servername", host}, args...)...).CombinedOutput()
	require.NoError(t, ctx.Err())
	text := string(out)
	ok := err == nil && strings.Contains(text, "Cipher is ") && !strings.Contains(text, "Cipher is (NONE)")
	t.Logf("openssl s_client %s: %v", strings.Join(args, " "), ok)
	return ok
}

// TestKeysNotKnownHere: crypto/tls takes no certificate with an Ed448 or RSA-PSS key, and
// OpenSSL's client completes the handshake: so this server is not to blame.
func TestKeysNotKnownHere(t *testing.T) {
	openssl := realsrv.Need(t, "openssl")
	for _, c := range []struct {
		name    string
		posture realsrv.OpenSSLPosture
		key     []string
	}{
		{"Ed448", realsrv.OpenSSLModern, []string{"ed448"}},
		{"Ed448, TLS 1.2", realsrv.OpenSSLTLS12, []string{"ed448"}},
		{"RSA-PSS", realsrv.OpenSSLModern, []string{"rsa-pss", "-pkeyopt", "rsa_keygen_bits:2048"}},
		{"RSA-PSS, TLS 1.2", realsrv.OpenSSLTLS12, []string{"rsa-pss", "-pkeyopt", "rsa_keygen_bits:2048"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			m := realsrv.Material{Chain: filepath.Join(dir, "server.pem"), Key: filepath.Join(dir, "server.key")}
			args := slices.Concat([]string{"req", "-x509", "-nodes", "-subj", "/CN=" + host, "-out", m.Chain, "-keyout", m.Key, "-newkey"}, c.key)
			out, err := exec.CommandContext(t.Context(), openssl, args...).CombinedOutput()
			require.NoError(t, err, string(out))
			addr := realsrv.OpenSSL{TLS: m, Posture: c.posture}.Start(t).Addr
			require.True(t, sClient(t, addr))
			r, err := tlscheck.Endpoint{Host: host, Connect: addr}.Probe(t.Context())
			require.NoError(t, err)
			ruletest.Expect(t, r, connsec.Inconclusive, tlscheck.RuleHandshakeFailed)
		})
	}
}

// The suites of Mozilla's intermediate profile, in OpenSSL's words; everything else is weak.
const goodSuites = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"

// otherSuites are all suites but those, and without what tlscheck calls unusual and not weak.
func otherSuites() string {
	return "ALL:COMPLEMENTOFALL:!" + strings.ReplaceAll(goodSuites, ":", ":!") +
		":!ECDHE-ECDSA-AES128-CCM:!ECDHE-ECDSA-AES256-CCM:!ECDHE-ECDSA-ARIA128-GCM-SHA256:!ECDHE-ECDSA-ARIA256-GCM-SHA384:!ECDHE-ARIA128-GCM-SHA256:!ECDHE-ARIA256-GCM-SHA384:!PSK:!SRP:@SECLEVEL=0"
}

// TestVerdictsAgreeWithOpenSSL compares each tls-* verdict with what OpenSSL's client can
// negotiate with the same server.
func TestVerdictsAgreeWithOpenSSL(t *testing.T) {
	realsrv.Need(t, "openssl")
	ca := testca.MustNew(t)
	material := realsrv.Material(ca.MustIssue(t, testca.Leaf{Names: []string{host}, Key: testca.RSA2048}).MustWriteFiles(t, t.TempDir(), "server"))
	for _, posture := range []realsrv.OpenSSLPosture{
		realsrv.OpenSSLModern, realsrv.OpenSSLTLS10, realsrv.OpenSSLTLS11, realsrv.OpenSSLTLS10And11, realsrv.OpenSSLTLS12, realsrv.OpenSSLTLS13,
		realsrv.OpenSSLNull, realsrv.OpenSSLAnonymous, realsrv.OpenSSLStaticRSA, realsrv.OpenSSLDHE, realsrv.OpenSSLCBC, realsrv.OpenSSLMutual,
	} {
		t.Run(posture.String(), func(t *testing.T) {
			t.Parallel()
			addr := realsrv.OpenSSL{TLS: material, Posture: posture}.Start(t).Addr
			r, err := tlscheck.Endpoint{Host: host, Connect: addr, Roots: ca.Pool()}.Probe(t.Context())
			require.NoError(t, err)
			outcome := func(accepted bool) connsec.Outcome {
				if accepted {
					return connsec.Fail
				}
				return connsec.Pass
			}
			legacy := sClient(t, addr, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0") || sClient(t, addr, "-tls1", "-cipher", "ALL:@SECLEVEL=0")
			ruletest.Expect(t, r, outcome(legacy), tlscheck.RuleVersionLegacy)
			weak := sClient(t, addr, "-tls1_2", "-cipher", otherSuites()) || legacy
			ruletest.Expect(t, r, outcome(weak), tlscheck.RuleCipherWeak)
			if r.Of(tlscheck.RuleHandshakeFailed)[0].Outcome == connsec.Pass {
				ruletest.Expect(t, r, outcome(!sClient(t, addr, "-tls1_3")), tlscheck.RuleVersion13Missing)
			} else {
				assert.Contains(t, []realsrv.OpenSSLPosture{realsrv.OpenSSLNull, realsrv.OpenSSLAnonymous, realsrv.OpenSSLDHE}, posture, "crypto/tls has suites in common with every other posture")
			}
		})
	}
}

// TestVerdictsAgreeWithSSLScan does the same with sslscan's list of what a server accepts,
// for servers that OpenSSL cannot play.
func TestVerdictsAgreeWithSSLScan(t *testing.T) {
	scan := realsrv.Need(t, "sslscan")
	ca := testca.MustNew(t)
	material := realsrv.Material(ca.MustIssue(t, testca.Leaf{Names: []string{host}, Key: testca.RSA2048}).MustWriteFiles(t, t.TempDir(), "server"))
	for name, start := range map[string]func(*testing.T) string{
		"nginx modern": func(t *testing.T) string {
			return realsrv.Nginx{TLS: material, Posture: realsrv.NginxModern}.Start(t).HTTPS
		},
		"nginx weak": func(t *testing.T) string {
			return realsrv.Nginx{TLS: material, Posture: realsrv.NginxWeak}.Start(t).HTTPS
		},
		"GnuTLS": func(t *testing.T) string {
			return realsrv.GnuTLS{TLS: material, Posture: realsrv.GnuTLSModern}.Start(t).Addr
		},
	} {
		t.Run(name, func(t *testing.T) {
			addr := start(t)
			out, err := exec.CommandContext(t.Context(), scan, "--xml=-", "--no-colour", "--no-heartbleed", "--no-compression", "--no-renegotiation", addr).Output()
			require.NoError(t, err)
			var seen struct {
				Protocols []struct {
					Type    string `xml:"type,attr"`
					Version string `xml:"version,attr"`
					Enabled int    `xml:"enabled,attr"`
				} `xml:"ssltest>protocol"`
				Ciphers []struct {
					Name string `xml:"cipher,attr"`
				} `xml:"ssltest>cipher"`
			}
			require.NoError(t, xml.Unmarshal(out, &seen))
			require.NotEmpty(t, seen.Ciphers)
			r, err := tlscheck.Endpoint{Host: host, Connect: addr, Roots: ca.Pool()}.Probe(t.Context())
			require.NoError(t, err)

			legacy := connsec.Pass
			for _, p := range seen.Protocols {
				if p.Enabled == 1 && (p.Type == "ssl" || p.Version == "1.0" || p.Version == "1.1") {
					legacy = connsec.Fail
					assert.Contains(t, r.Of(tlscheck.RuleVersionLegacy)[0].Detail, "TLS "+p.Version)
				}
			}
			ruletest.Expect(t, r, legacy, tlscheck.RuleVersionLegacy)
			weak := connsec.Pass
			for _, c := range seen.Ciphers {
				if !strings.HasPrefix(c.Name, "TLS_") && !slices.Contains(strings.Split(goodSuites, ":"), c.Name) && !strings.Contains(c.Name, "CCM") {
					t.Logf("weak by sslscan: %s", c.Name)
					weak = connsec.Fail
				}
			}
			ruletest.Expect(t, r, weak, tlscheck.RuleCipherWeak)
		})
	}
}

func TestSuitesThatOpenSSLHasForgotten(t *testing.T) {
	realsrv.Need(t, "gnutls-serv")
	ca := testca.MustNew(t)
	material := realsrv.Material(ca.MustIssue(t, testca.Leaf{Names: []string{host}, Key: testca.RSA2048}).MustWriteFiles(t, t.TempDir(), "server"))
	for posture, word := range map[realsrv.GnuTLSPosture]string{realsrv.GnuTLS3DES: "3DES", realsrv.GnuTLSRC4: "RC4"} {
		t.Run(word, func(t *testing.T) {
			addr := realsrv.GnuTLS{TLS: material, Posture: posture}.Start(t).Addr
			r, err := tlscheck.Endpoint{Host: host, Connect: addr, Roots: ca.Pool()}.Probe(t.Context())
			require.NoError(t, err)
			ruletest.Expect(t, r, connsec.Fail, tlscheck.RuleCipherWeak, tlscheck.RuleVersionLegacy, tlscheck.RuleVersion13Missing)
			assert.Contains(t, r.Of(tlscheck.RuleCipherWeak)[0].Detail, word)
		})
	}
}

func TestPostQuantumGroupOfOpenSSL35(t *testing.T) {
	root := realsrv.Trixie(t, "openssl")
	ca := testca.MustNew(t)
	material := realsrv.Material(ca.MustIssue(t, testca.Leaf{Names: []string{host}}).MustWriteFiles(t, t.TempDir(), "server"))
	probe := func(s realsrv.OpenSSL) connsec.Report {
		s.TLS = material
		r, err := tlscheck.Endpoint{Host: host, Connect: s.Start(t).Addr, Roots: ca.Pool()}.Probe(t.Context())
		require.NoError(t, err)
		return r
	}
	hybrid := probe(realsrv.OpenSSL{Posture: realsrv.OpenSSLHybrid, Root: root})
	ruletest.ExpectFailed(t, hybrid)
	ruletest.Expect(t, hybrid, connsec.Pass, tlscheck.RuleGroupClassical)
	assert.Equal(t, "X25519MLKEM768", hybrid.Of(tlscheck.RuleGroupClassical)[0].Detail)
	classical := probe(realsrv.OpenSSL{Posture: realsrv.OpenSSLTLS13})
	ruletest.ExpectFailed(t, classical, tlscheck.RuleGroupClassical)
}

// TestNginxHardened: a real web server, set up as the guides ask, comes back clean; untouched
// it fails exactly these.
func TestNginxHardenedAndWeak(t *testing.T) {
	realsrv.Need(t, "nginx")
	ca := testca.MustNew(t)
	leaf := func(l testca.Leaf) realsrv.Material {
		l.Names = []string{host}
		return realsrv.Material(ca.MustIssue(t, l).MustWriteFiles(t, t.TempDir(), "server"))
	}
	probe := func(n realsrv.Nginx) (https, plain connsec.Report) {
		s := n.Start(t)
		https, err := tlscheck.HTTPS{Endpoint: tlscheck.Endpoint{Host: host, Connect: s.HTTPS, Roots: ca.Pool()}}.Probe(t.Context())
		require.NoError(t, err)
		if s.HTTP != "" {
			plain, err = tlscheck.PlainHTTP{Host: host, Connect: s.HTTP}.Probe(t.Context())
			require.NoError(t, err)
		}
		return https, plain
	}
	t.Run("hardened", func(t *testing.T) {
		https, _ := probe(realsrv.Nginx{Root: realsrv.Trixie(t, "nginx"), TLS: leaf(testca.Leaf{}), Posture: realsrv.NginxModern})
		ruletest.ExpectFailed(t, https)
		for _, f := range https.Findings {
			assert.NotEqual(t, connsec.Inconclusive, f.Outcome, f.Rule.ID)
		}
	})
	t.Run("weak", func(t *testing.T) {
		https, plain := probe(realsrv.Nginx{TLS: leaf(testca.Leaf{Key: testca.RSA2048}), Posture: realsrv.NginxWeak, HTTP: realsrv.HTTPServe})
		ruletest.ExpectFailed(t, https, tlscheck.RuleVersionLegacy, tlscheck.RuleVersion13Missing, tlscheck.RuleCipherWeak, tlscheck.RuleHSTSMissing)
		assert.Equal(t, connsec.Critical, https.Of(tlscheck.RuleCipherWeak)[0].Severity, "NULL and anonymous suites")
		ruletest.ExpectFailed(t, plain, tlscheck.RuleCleartextServed)
	})
	t.Run("redirect", func(t *testing.T) {
		_, plain := probe(realsrv.Nginx{TLS: leaf(testca.Leaf{}), HTTP: realsrv.HTTPRedirect})
		ruletest.ExpectFailed(t, plain, tlscheck.RuleCleartextRedirect)
	})
}

// TestChainsAgreeWithOpenSSLVerify compares acceptance of each flawed chain with openssl
// verify: we fail one of the rules that clients enforce exactly when OpenSSL refuses.
func TestChainsAgreeWithOpenSSLVerify(t *testing.T) {
	openssl := realsrv.Need(t, "openssl")
	now := time.Now()
	ca, other := testca.MustNew(t), testca.MustNew(t)
	expiredCA := testca.MustNew(t, testca.Options{IntermediateNotAfter: now.Add(-day)})
	enforced := []*connsec.Rule{tlscheck.RuleNameMismatch, tlscheck.RuleSelfSigned, tlscheck.RuleChainIncomplete, tlscheck.RuleUntrusted,
		tlscheck.RuleExpired, tlscheck.RuleNotYetValid}
	names := []string{host}
	for name, c := range map[string]struct {
		ca   *testca.CA
		leaf testca.Leaf
		self bool
		root *testca.CA
	}{
		"sound":                {leaf: testca.Leaf{Names: names}},
		"root sent along":      {leaf: testca.Leaf{Names: names, AppendRoot: true}},
		"other name":           {leaf: testca.Leaf{Names: []string{"other.corp.internal"}}},
		"wildcard":             {leaf: testca.Leaf{Names: []string{"*.corp.internal"}}},
		"wildcard one up":      {leaf: testca.Leaf{Names: []string{"*.internal"}}},
		"expired":              {leaf: testca.Leaf{Names: names, NotAfter: now.Add(-time.Hour)}},
		"not yet valid":        {leaf: testca.Leaf{Names: names, NotBefore: now.Add(time.Hour)}},
		"unknown CA":           {leaf: testca.Leaf{Names: names}, root: other},
		"no intermediate":      {leaf: testca.Leaf{Names: names, OmitIntermediate: true}},
		"self-signed":          {leaf: testca.Leaf{Names: names}, self: true},
		"expired intermediate": {ca: expiredCA, leaf: testca.Leaf{Names: names}},
		"RSA leaf":             {leaf: testca.Leaf{Names: names, Key: testca.RSA2048}},
		"Ed25519 leaf":         {leaf: testca.Leaf{Names: names, Key: testca.Ed25519}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.ca == nil {
				c.ca = ca
			}
			if c.root == nil {
				c.root = c.ca
			}
			var cert *testca.Certificate
			if c.self {
				cert = c.ca.MustSelfSigned(t, c.leaf)
			} else {
				cert = c.ca.MustIssue(t, c.leaf)
			}
			dir := t.TempDir()
			root, chainFile := filepath.Join(dir, "root.pem"), filepath.Join(dir, "chain.pem")
			require.NoError(t, os.WriteFile(root, c.root.PEM(), 0o600))
			require.NoError(t, os.WriteFile(chainFile, cert.PEM(), 0o600))
			out, err := exec.CommandContext(t.Context(), openssl, "verify", "-no-CApath", "-no-CAstore", "-CAfile", root, "-untrusted", chainFile, "-verify_hostname", host, "-purpose", "sslserver", chainFile).CombinedOutput()
			r := tlscheck.Chain{Certs: cert.Chain, Name: host, Roots: c.root.Pool()}.Judge()
			failed := slices.ContainsFunc(r.Findings, func(f connsec.Finding) bool { return f.Outcome == connsec.Fail && slices.Contains(enforced, f.Rule) })
			assert.Equal(t, err != nil, failed, "openssl: %s", out)
		})
	}
}

// TestGoAgrees: what Endpoint.Probe calls sound, crypto/tls accepts, and the reverse.
func TestGoAgrees(t *testing.T) {
	ca := testca.MustNew(t)
	for name, leaf := range map[string]testca.Leaf{
		"sound": {Names: []string{host}}, "common name only": {Names: []string{host}, NoSAN: true}, "client only": {Names: []string{host}, EKU: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}},
		"other name": {Names: []string{"b.corp.internal"}}, "partial wildcard": {Names: []string{"c*.corp.internal"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := ca.MustIssue(t, leaf)
			addr := serveTLS(t, &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{c.TLS()}})
			e := endpoint(ca, addr)
			r, err := e.Probe(t.Context())
			require.NoError(t, err)
			conn, err := e.Dial(t.Context(), tlscheck.Modern)
			if err == nil {
				_ = conn.Close()
			}
			assert.Equal(t, err != nil, r.Err(connsec.High) != nil, fmt.Sprint(err))
		})
	}
}
