package testca_test

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ocsp"

	"github.com/connsec/connsec/internal/testca"
)

const name = "central.corp.example"

var now = time.Date(2026, 3, 1, 12, 0, 0, 500, time.UTC)

func at(t time.Time) testca.Options {
	return testca.Options{Now: func() time.Time { return t }}
}

// verify asks crypto/x509, with the chain as the server would present it.
func verify(ca *testca.CA, c *testca.Certificate, host string, when time.Time) error {
	inter := x509.NewCertPool()
	for _, more := range c.Chain[1:] {
		inter.AddCert(more)
	}
	_, err := c.Leaf.Verify(x509.VerifyOptions{Roots: ca.Pool(), Intermediates: inter, CurrentTime: when, DNSName: host})
	return err
}

func TestASoundLeafIsTheZeroValueWithAName(t *testing.T) {
	for _, noInter := range []bool{false, true} {
		o := at(now)
		o.NoIntermediate = noInter
		ca := testca.MustNew(t, o)
		c := ca.MustIssue(t, testca.Leaf{Names: []string{name}, IPs: []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")}})
		require.NoError(t, verify(ca, c, name, now))
		require.NoError(t, verify(ca, c, "127.0.0.1", now))
		require.NoError(t, verify(ca, c, "::1", now))
		assert.Equal(t, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, c.Leaf.ExtKeyUsage)
		assert.Equal(t, 90*24*time.Hour, c.Leaf.NotAfter.Sub(c.Leaf.NotBefore)+time.Second)
		assert.Equal(t, name, c.Leaf.Subject.CommonName)
		assert.Len(t, c.Chain, map[bool]int{false: 2, true: 1}[noInter])
	}
}

func TestEveryDefectIsThereAndAlone(t *testing.T) {
	hour := time.Hour
	names := []string{name}
	tests := []struct {
		what string
		ca   testca.Options
		leaf testca.Leaf
		host string // default name
		err  string // what crypto/x509 says; empty: it accepts
		see  func(*testing.T, *testca.Certificate)
	}{
		{what: "expired", leaf: testca.Leaf{Names: names, NotAfter: now.Add(-hour)}, err: "expired"},
		{what: "expires this second", leaf: testca.Leaf{Names: names, NotAfter: now.Add(time.Second)}},
		{what: "not yet valid", leaf: testca.Leaf{Names: names, NotBefore: now.Add(hour)}, err: "is before"},
		{what: "wrong name", leaf: testca.Leaf{Names: []string{"other.corp.example"}}, err: "not " + name},
		{what: "common name only", leaf: testca.Leaf{Names: names, NoSAN: true}, err: "legacy Common Name", see: func(t *testing.T, c *testca.Certificate) {
			assert.Equal(t, name, c.Leaf.Subject.CommonName)
			assert.NotContains(t, extensions(c.Leaf), "2.5.29.17")
		}},
		{what: "IP as dNSName", leaf: testca.Leaf{IPs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, IPAsDNSName: true}, host: "10.0.0.1", err: "doesn't contain any IP SANs", see: func(t *testing.T, c *testca.Certificate) {
			assert.Equal(t, []string{"10.0.0.1"}, c.Leaf.DNSNames)
		}},
		{what: "wildcard", leaf: testca.Leaf{Names: []string{"*.corp.example"}}},
		{what: "partial wildcard", leaf: testca.Leaf{Names: []string{"c*.corp.example"}}, err: "not " + name},
		{what: "internal name", leaf: testca.Leaf{Names: []string{"central.local", "central"}}, host: "central"},
		{what: "no intermediate", leaf: testca.Leaf{Names: names, OmitIntermediate: true}, err: "unknown authority", see: func(t *testing.T, c *testca.Certificate) {
			assert.Len(t, c.Chain, 1)
		}},
		{what: "root appended", leaf: testca.Leaf{Names: names, AppendRoot: true}, see: func(t *testing.T, c *testca.Certificate) {
			assert.Len(t, c.Chain, 3)
		}},
		{what: "expired intermediate", ca: testca.Options{IntermediateNotAfter: now.Add(-hour)}, leaf: testca.Leaf{Names: names}, err: "expired"},
		{what: "SHA-1 leaf", ca: testca.Options{IntermediateKey: testca.RSA2048}, leaf: testca.Leaf{Names: names, SignatureAlgorithm: x509.SHA1WithRSA}, err: "insecure algorithm", see: func(t *testing.T, c *testca.Certificate) {
			assert.Equal(t, x509.SHA1WithRSA, c.Leaf.SignatureAlgorithm)
			assert.NotEqual(t, x509.SHA1WithRSA, c.Chain[1].SignatureAlgorithm)
		}},
		{what: "ECDSA SHA-1 leaf", leaf: testca.Leaf{Names: names, SignatureAlgorithm: x509.ECDSAWithSHA1}, err: "insecure algorithm"},
		{what: "SHA-1 intermediate", ca: testca.Options{RootKey: testca.RSA2048, IntermediateSignature: x509.SHA1WithRSA}, leaf: testca.Leaf{Names: names}, err: "insecure algorithm", see: func(t *testing.T, c *testca.Certificate) {
			assert.Equal(t, x509.SHA1WithRSA, c.Chain[1].SignatureAlgorithm)
			assert.NotEqual(t, x509.SHA1WithRSA, c.Leaf.SignatureAlgorithm)
		}},
		{what: "MD5 leaf", ca: testca.Options{IntermediateKey: testca.RSA2048}, leaf: testca.Leaf{Names: names, SignatureAlgorithm: x509.MD5WithRSA}, err: "insecure algorithm", see: func(t *testing.T, c *testca.Certificate) {
			assert.Equal(t, x509.MD5WithRSA, c.Leaf.SignatureAlgorithm)
		}},
		{what: "RSA 1024", leaf: testca.Leaf{Names: names, Key: testca.RSA1024}},
		{what: "no EKU", leaf: testca.Leaf{Names: names, NoEKU: true}, see: func(t *testing.T, c *testca.Certificate) {
			assert.NotContains(t, extensions(c.Leaf), "2.5.29.37")
		}},
		{what: "clientAuth only", leaf: testca.Leaf{Names: names, EKU: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, err: "incompatible key usage"},
		{what: "a CA as leaf", leaf: testca.Leaf{Names: names, IsCA: true}, see: func(t *testing.T, c *testca.Certificate) {
			assert.True(t, c.Leaf.IsCA)
		}},
		{what: "398 days to the second", leaf: testca.Leaf{Names: names, Lifetime: 398 * 24 * hour}, see: func(t *testing.T, c *testca.Certificate) {
			assert.Equal(t, 398*24*hour, c.Leaf.NotAfter.Sub(c.Leaf.NotBefore)+time.Second)
		}},
		{what: "public policy and URLs", leaf: testca.Leaf{Names: names, Policies: []string{testca.PolicyDomainValidated}, CRLURLs: []string{"http://crl.example/1"}, OCSPURLs: []string{"http://ocsp.example"}, IssuerURLs: []string{"http://ca.example/1"}}, see: func(t *testing.T, c *testca.Certificate) {
			require.Len(t, c.Leaf.Policies, 1)
			assert.Equal(t, testca.PolicyDomainValidated, c.Leaf.Policies[0].String())
			assert.Equal(t, []string{"http://crl.example/1"}, c.Leaf.CRLDistributionPoints)
			assert.Equal(t, []string{"http://ocsp.example"}, c.Leaf.OCSPServer)
			assert.Equal(t, []string{"http://ca.example/1"}, c.Leaf.IssuingCertificateURL)
		}},
		{what: "own subject", leaf: testca.Leaf{Names: names, Subject: pkix.Name{CommonName: "Someone"}}, see: func(t *testing.T, c *testca.Certificate) {
			assert.Equal(t, "CN=Someone", c.Leaf.Subject.String())
		}},
	}
	for _, tc := range tests {
		t.Run(tc.what, func(t *testing.T) {
			tc.ca.Now = func() time.Time { return now }
			ca := testca.MustNew(t, tc.ca)
			c := ca.MustIssue(t, tc.leaf)
			host := tc.host
			if host == "" {
				host = name
			}
			err := verify(ca, c, host, now)
			if tc.err == "" {
				assert.NoError(t, err)
			} else {
				assert.ErrorContains(t, err, tc.err)
			}
			if tc.see != nil {
				tc.see(t, c)
			}
		})
	}
}

func extensions(c *x509.Certificate) []string {
	var ids []string
	for _, e := range c.Extensions {
		ids = append(ids, e.Id.String())
	}
	return ids
}

func TestSelfSigned(t *testing.T) {
	ca := testca.MustNew(t, at(now))
	c := ca.MustSelfSigned(t, testca.Leaf{Names: []string{name}})
	require.ErrorContains(t, verify(ca, c, name, now), "unknown authority")
	assert.NoError(t, c.Leaf.CheckSignature(c.Leaf.SignatureAlgorithm, c.Leaf.RawTBSCertificate, c.Leaf.Signature))
	assert.Equal(t, c.Leaf.RawSubject, c.Leaf.RawIssuer)
	assert.Len(t, c.Chain, 1)
}

func TestKeys(t *testing.T) {
	ca := testca.MustNew(t)
	want := map[testca.KeyKind]string{
		testca.ECDSA224: "*ecdsa.PublicKey 224", testca.ECDSA256: "*ecdsa.PublicKey 256", testca.ECDSA384: "*ecdsa.PublicKey 384",
		testca.ECDSA521: "*ecdsa.PublicKey 521", testca.Ed25519: "ed25519.PublicKey", testca.RSA1024: "*rsa.PublicKey 1024", testca.RSA2048: "*rsa.PublicKey 2048",
	}
	for kind, is := range want {
		c := ca.MustIssue(t, testca.Leaf{Names: []string{name}, Key: kind})
		assert.Equal(t, is, describe(c.Leaf.PublicKey), kind.String())
		pemKey, err := c.KeyPEM()
		require.NoError(t, err)
		_, err = tls.X509KeyPair(c.PEM(), pemKey)
		assert.NoError(t, err, kind.String())
	}
	a, b := ca.MustIssue(t, testca.Leaf{Key: testca.RSA1024}), ca.MustIssue(t, testca.Leaf{Key: testca.RSA1024})
	assert.NotEqual(t, a.Leaf.PublicKey, b.Leaf.PublicKey, "within one authority every leaf has its own key")
	renewed := ca.MustIssue(t, testca.Leaf{Signer: a.Key})
	assert.Equal(t, a.Leaf.PublicKey, renewed.Leaf.PublicKey)
}

func describe(pub any) string {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("%T %d", k, k.N.BitLen())
	case *ecdsa.PublicKey:
		return fmt.Sprintf("%T %d", k, k.Curve.Params().BitSize)
	}
	return fmt.Sprintf("%T", pub)
}

func TestMistakesInOptionsAreErrors(t *testing.T) {
	_, err := testca.New(testca.Options{RootSignature: x509.SHA1WithRSA})
	require.ErrorContains(t, err, "root")
	_, err = testca.New(testca.Options{RootKey: 200})
	require.ErrorContains(t, err, "unknown")
	ca := testca.MustNew(t)
	_, err = ca.Issue(testca.Leaf{SignatureAlgorithm: x509.MD5WithRSA})
	require.Error(t, err)
	_, err = ca.Issue(testca.Leaf{Policies: []string{"none"}})
	require.ErrorContains(t, err, "policy")
}

func TestRevocation(t *testing.T) {
	ca := testca.MustNew(t, at(now))
	good, bad := ca.MustIssue(t, testca.Leaf{Names: []string{name}}), ca.MustIssue(t, testca.Leaf{Names: []string{name}})
	der, err := ca.CRL(bad.Leaf.SerialNumber)
	require.NoError(t, err)
	list, err := x509.ParseRevocationList(der)
	require.NoError(t, err)
	require.NoError(t, list.CheckSignatureFrom(ca.Intermediate))
	var revoked []*big.Int
	for _, e := range list.RevokedCertificateEntries {
		revoked = append(revoked, e.SerialNumber)
	}
	assert.Equal(t, []*big.Int{bad.Leaf.SerialNumber}, revoked)
	assert.True(t, list.NextUpdate.After(now))

	for status, leaf := range map[int]*x509.Certificate{ocsp.Good: good.Leaf, ocsp.Revoked: bad.Leaf} {
		der, err := ca.OCSP(leaf, status)
		require.NoError(t, err)
		answer, err := ocsp.ParseResponseForCert(der, leaf, ca.Intermediate)
		require.NoError(t, err)
		assert.Equal(t, status, answer.Status)
	}
}

func TestFiles(t *testing.T) {
	ca := testca.MustNew(t)
	c := ca.MustIssue(t, testca.Leaf{Names: []string{name}})
	f := c.MustWriteFiles(t, t.TempDir(), "server")
	_, err := tls.LoadX509KeyPair(f.Chain, f.Key)
	require.NoError(t, err)
	info, err := os.Stat(f.Key)
	require.NoError(t, err)
	if runtime.GOOS != "windows" { // which has no such modes
		assert.Zero(t, info.Mode().Perm()&0o077)
	}
	root, err := os.ReadFile(f.CA)
	require.NoError(t, err)
	block, rest := pem.Decode(root)
	assert.Equal(t, ca.Root.Raw, block.Bytes)
	assert.Empty(t, rest)
	assert.Equal(t, ca.PEM(), root)
	_, err = c.WriteFiles("/does/not/exist", "x")
	assert.Error(t, err)
}

func BenchmarkIssue(b *testing.B) {
	ca := testca.MustNew(b)
	for b.Loop() {
		ca.MustIssue(b, testca.Leaf{Names: []string{name}})
	}
}

func ExampleNew() {
	ca, err := testca.New(testca.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	expired, err := ca.Issue(testca.Leaf{Names: []string{"central.corp.example"}, NotAfter: time.Now().Add(-time.Hour)})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(expired.Leaf.DNSNames, len(expired.Chain))
	// Output: [central.corp.example] 2
}
