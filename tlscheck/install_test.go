package tlscheck_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/internal/testca"
	"github.com/connsec/connsec/tlscheck"
)

// installSet names a set in a new directory.
func installSet(t *testing.T, ca *testca.CA) tlscheck.FileSet {
	dir := t.TempDir()
	return tlscheck.FileSet{
		PFX: filepath.Join(dir, "server.pfx"), CER: filepath.Join(dir, "server.cer"), KEY: filepath.Join(dir, "server.key"),
		Password: connsec.NewSecret(goodPassword), Name: serverName, Roots: ca.Pool(), Now: func() time.Time { return filesDay },
	}
}

func listing(t *testing.T, set tlscheck.FileSet) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(set.CER))
	require.NoError(t, err)
	out := map[string]string{}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(filepath.Dir(set.CER), e.Name()))
		require.NoError(t, err)
		out[e.Name()] = string(data)
	}
	return out
}

func TestInstall(t *testing.T) {
	ca := filesCA(t)
	set := installSet(t, ca)
	first := ca.MustIssue(t, testca.Leaf{Names: []string{serverName}})
	done, err := set.Install(t.Context(), first.Chain, first.Key)
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{set.PFX, set.CER, set.KEY}, done.Written)
	assert.Empty(t, done.Kept)
	r := probeSet(t, set)
	ruletest.ExpectFailed(t, r)
	ruletest.Expect(t, r, connsec.Pass, tlscheck.RulePFXWeakEncryption, tlscheck.RulePFXWeakPassword, tlscheck.RuleKeyExposed, tlscheck.RuleFilesChainMissing, tlscheck.RuleFilesKeyMismatch)
	before := listing(t, set)
	require.Len(t, before, 3)

	// A renewal keeps the old files, byte for byte; twice in a second, too.
	for i := range 2 {
		next := ca.MustIssue(t, testca.Leaf{Names: []string{serverName}, AppendRoot: true})
		done, err = set.Install(t.Context(), next.Chain, next.Key)
		require.NoError(t, err)
		require.Len(t, done.Kept, 3)
		after := listing(t, set)
		require.Len(t, after, 3+3*(i+1))
		for _, kept := range done.Kept {
			name := filepath.Base(kept)
			assert.Equal(t, before[name[:len("server.xxx")]], after[name], name)
			assert.Contains(t, name, ".old-20261201T120000Z")
		}
		set.Live = func(context.Context) (*x509.Certificate, error) { return next.Leaf, nil }
		ruletest.ExpectFailed(t, probeSet(t, set))
		before = after
	}
	certs, err := tlscheck.ParseCertificates([]byte(before["server.cer"]))
	require.NoError(t, err)
	assert.Len(t, certs, 2, "the root is not installed")

	if runtime.GOOS != "windows" {
		for path, want := range map[string]os.FileMode{set.KEY: 0o600, set.PFX: 0o600, set.CER: 0o644, done.Kept[0]: 0o600} {
			info, err := os.Stat(path)
			require.NoError(t, err)
			assert.Equal(t, want, info.Mode().Perm(), path)
		}
	}
}

func TestInstallRefuses(t *testing.T) {
	ca := filesCA(t)
	good := ca.MustIssue(t, testca.Leaf{Names: []string{serverName}})
	for name, tt := range map[string]struct {
		leaf   testca.Leaf
		spoil  func(*tlscheck.FileSet, *testca.Certificate)
		rule   *connsec.Rule
		reason string
	}{
		"another name":    {leaf: testca.Leaf{Names: []string{"www.acme.com"}}, rule: tlscheck.RuleNameMismatch},
		"expired":         {leaf: testca.Leaf{Names: []string{serverName}, NotAfter: filesDay.Add(-time.Hour)}, rule: tlscheck.RuleExpired},
		"no SAN":          {leaf: testca.Leaf{Names: []string{serverName}, NoSAN: true}, rule: tlscheck.RuleNoSAN},
		"no intermediate": {leaf: testca.Leaf{Names: []string{serverName}, OmitIntermediate: true}, rule: tlscheck.RuleFilesChainMissing, spoil: func(s *tlscheck.FileSet, _ *testca.Certificate) { s.Known = []*x509.Certificate{ca.Intermediate} }},
		"key of another":  {leaf: testca.Leaf{Names: []string{serverName}}, spoil: func(_ *tlscheck.FileSet, c *testca.Certificate) { c.Key = good.Key }, rule: tlscheck.RuleFilesKeyMismatch},
		"empty password":  {leaf: testca.Leaf{Names: []string{serverName}}, spoil: func(s *tlscheck.FileSet, _ *testca.Certificate) { s.Password = connsec.Secret{} }, rule: tlscheck.RulePFXWeakPassword},
		"common password": {leaf: testca.Leaf{Names: []string{serverName}}, spoil: func(s *tlscheck.FileSet, _ *testca.Certificate) { s.Password = connsec.NewSecret("P@ssw0rd") }, rule: tlscheck.RulePFXWeakPassword},
		"wrong order":     {leaf: testca.Leaf{Names: []string{serverName}}, spoil: func(_ *tlscheck.FileSet, c *testca.Certificate) { c.Chain[0], c.Chain[1] = c.Chain[1], c.Chain[0] }, reason: "tlscheck: certificate 2 of the chain is not the issuer of the one before; the order is leaf, intermediates"},
		"no chain":        {leaf: testca.Leaf{Names: []string{serverName}}, spoil: func(_ *tlscheck.FileSet, c *testca.Certificate) { c.Chain = nil }, reason: "tlscheck: installing takes a certificate chain and its private key"},
		"no key":          {leaf: testca.Leaf{Names: []string{serverName}}, spoil: func(_ *tlscheck.FileSet, c *testca.Certificate) { c.Key = nil }, reason: "tlscheck: installing takes a certificate chain and its private key"},
		"same path":       {leaf: testca.Leaf{Names: []string{serverName}}, spoil: func(s *tlscheck.FileSet, _ *testca.Certificate) { s.CER = s.KEY }, reason: "tlscheck: two files of the set have the same path"},
		"no paths":        {leaf: testca.Leaf{Names: []string{serverName}}, spoil: func(s *tlscheck.FileSet, _ *testca.Certificate) { s.CER, s.KEY = "", "" }, reason: "tlscheck: the set names no file to install"},
		"impossible password": {leaf: testca.Leaf{Names: []string{serverName}}, spoil: func(s *tlscheck.FileSet, _ *testca.Certificate) {
			s.Password = connsec.NewSecret(goodPassword + "😀")
		}, reason: "tlscheck: the PFX cannot be made: the kind of key, or a character of the password, does not fit into one"},
	} {
		t.Run(name, func(t *testing.T) {
			set := installSet(t, ca)
			if !strings.Contains(name, "password") {
				set.PFX = "" // its key derivation takes longest
			}
			c := ca.MustIssue(t, tt.leaf)
			if tt.spoil != nil {
				tt.spoil(&set, c)
			}
			_, err := set.Install(t.Context(), c.Chain, c.Key)
			if tt.rule != nil {
				require.ErrorIs(t, err, tt.rule)
			} else {
				require.EqualError(t, err, tt.reason)
			}
			if set.CER != "" {
				assert.Empty(t, listing(t, set), "nothing is written")
			}
		})
	}
}

// A waiver lets a known weakness through, and only that.
func TestInstallWithWaiver(t *testing.T) {
	ca := filesCA(t)
	set := installSet(t, ca)
	c := ca.MustIssue(t, testca.Leaf{Names: []string{serverName}})
	set.Password = connsec.Secret{}
	set.Waivers = []connsec.Waiver{{Rule: tlscheck.RulePFXWeakPassword.ID, Reason: "the product opens the PFX without a password", Until: filesDay.AddDate(0, 6, 0)}}
	done, err := set.Install(t.Context(), c.Chain, c.Key)
	require.NoError(t, err)
	ruletest.Expect(t, done.Report, connsec.Waived, tlscheck.RulePFXWeakPassword)
	set.Waivers[0].Until = filesDay.AddDate(0, 0, -1)
	_, err = set.Install(t.Context(), c.Chain, c.Key)
	require.ErrorIs(t, err, tlscheck.RulePFXWeakPassword)
}

// Nobody needs to trust the company's root on the server itself.
func TestInstallDoesNotAskForTheRoot(t *testing.T) {
	ca := filesCA(t)
	set := installSet(t, ca)
	set.PFX = ""
	set.Roots = x509.NewCertPool()
	c := ca.MustIssue(t, testca.Leaf{Names: []string{serverName}})
	_, err := set.Install(t.Context(), c.Chain, c.Key)
	require.NoError(t, err)
}

func TestInstallOfAPart(t *testing.T) {
	ca := filesCA(t)
	set := installSet(t, ca)
	set.PFX, set.Password = "", connsec.Secret{}
	c := ca.MustIssue(t, testca.Leaf{Names: []string{serverName}})
	_, err := set.Install(t.Context(), c.Chain, c.Key)
	require.NoError(t, err)
	assert.Len(t, listing(t, set), 2)
}

func TestInstallReplacesNoSymlink(t *testing.T) {
	ca := filesCA(t)
	set := installSet(t, ca)
	set.PFX = ""
	target := filepath.Join(t.TempDir(), "elsewhere")
	require.NoError(t, os.WriteFile(target, []byte("x"), 0o600))
	require.NoError(t, os.Symlink(target, set.KEY))
	c := ca.MustIssue(t, testca.Leaf{Names: []string{serverName}})
	_, err := set.Install(t.Context(), c.Chain, c.Key)
	require.ErrorContains(t, err, "is not a regular file, and is not replaced")
	entries, err := os.ReadDir(filepath.Dir(set.KEY))
	require.NoError(t, err)
	assert.Len(t, entries, 1)
}

func TestInstallEndsWithItsContext(t *testing.T) {
	ca := filesCA(t)
	set := installSet(t, ca)
	set.PFX = ""
	c := ca.MustIssue(t, testca.Leaf{Names: []string{serverName}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := set.Install(ctx, c.Chain, c.Key)
	require.ErrorIs(t, err, context.Canceled)
	assert.Empty(t, listing(t, set))
}

func TestNewRequest(t *testing.T) {
	r, err := tlscheck.NewRequest(tlscheck.ECDSAP256, "Central.corp.acme.com.", serverName, "bücher.acme.com")
	require.NoError(t, err)
	csr, err := x509.ParseCertificateRequest(r.DER)
	require.NoError(t, err)
	require.NoError(t, csr.CheckSignature())
	assert.Equal(t, []string{serverName, "xn--bcher-kva.acme.com"}, csr.DNSNames)
	assert.Equal(t, serverName, csr.Subject.CommonName)
	assert.Equal(t, tlscheck.FileRequest, tlscheck.Classify(r.PEM()))

	// The key signs the request, and no printer shows it.
	assert.Equal(t, csr.PublicKey, r.Key().Public())
	secret, err := r.KeyPEM()
	require.NoError(t, err)
	assert.Equal(t, tlscheck.FileKey, tlscheck.Classify([]byte(secret.Reveal())))
	other, err := tlscheck.NewRequest(tlscheck.ECDSAP256, serverName)
	require.NoError(t, err)
	assert.NotEqual(t, r.Key(), other.Key())
	d := fmt.Sprint(r.Key())
	for _, format := range []string{"%v", "%+v", "%#v"} {
		assert.NotContains(t, fmt.Sprintf(format, r), d[len(d)-20:])
	}

	for name, rule := range map[string]*connsec.Rule{"10.0.0.1": tlscheck.RuleIPLiteral, "*.acme.com": tlscheck.RuleExtraParts, "central": tlscheck.RuleSingleLabel} {
		_, err := tlscheck.NewRequest(tlscheck.ECDSAP256, serverName, name)
		require.ErrorIs(t, err, rule)
	}
	_, err = tlscheck.NewRequest(tlscheck.ECDSAP256)
	require.EqualError(t, err, "tlscheck: a certificate request needs at least one DNS name")
	_, err = tlscheck.NewRequest(9, serverName)
	require.EqualError(t, err, "tlscheck: no such key algorithm: 9")

	// A name of more than 64 characters does not fit into a common name.
	long := "a-name-of-more-than-sixty-four-characters.in-some-department.acme.com"
	r, err = tlscheck.NewRequest(tlscheck.ECDSAP256, long)
	require.NoError(t, err)
	csr, err = x509.ParseCertificateRequest(r.DER)
	require.NoError(t, err)
	assert.Empty(t, csr.Subject.String())
	assert.Equal(t, []string{long}, csr.DNSNames)
}

func ExampleNewRequest() {
	request, err := tlscheck.NewRequest(tlscheck.ECDSAP256, "central.corp.acme.com")
	if err != nil {
		fmt.Println(err)
		return
	}
	csr, err := x509.ParseCertificateRequest(request.DER)
	fmt.Println(csr.DNSNames, err)
	// Output: [central.corp.acme.com] <nil>
}
