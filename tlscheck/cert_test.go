package tlscheck_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/internal/testca"
	"github.com/connsec/connsec/tlscheck"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ocsp"
)

const (
	host = "central.corp.internal"
	day  = 24 * time.Hour
)

var today = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// chain asks about a certificate as a client of host would, at today.
func chain(ca *testca.CA, c *testca.Certificate) tlscheck.Chain {
	return tlscheck.Chain{Certs: c.Chain, Name: host, Roots: ca.Pool(), At: today}
}

func TestCertificateDefects(t *testing.T) {
	now := func() time.Time { return today }
	ca := testca.MustNew(t, testca.Options{Now: now})
	rsa := testca.MustNew(t, testca.Options{Now: now, RootKey: testca.RSA2048, IntermediateKey: testca.RSA2048})
	sha1 := testca.MustNew(t, testca.Options{Now: now, RootKey: testca.RSA2048, IntermediateSignature: x509.SHA1WithRSA})
	flat := testca.MustNew(t, testca.Options{Now: now, NoIntermediate: true})
	expiredCA := testca.MustNew(t, testca.Options{Now: now, IntermediateNotAfter: today.Add(-day)})
	public := []string{testca.PolicyDomainValidated}
	names := []string{host}

	for _, c := range []struct {
		name   string
		ca     *testca.CA
		leaf   testca.Leaf
		change func(*tlscheck.Chain)
		failed []*connsec.Rule
		passed []*connsec.Rule
	}{
		{name: "sound", leaf: testca.Leaf{Names: names}, passed: []*connsec.Rule{
			tlscheck.RuleNoSAN, tlscheck.RuleNameMismatch, tlscheck.RuleIPAsDNSName, tlscheck.RuleWildcard, tlscheck.RuleWildcardPartial,
			tlscheck.RuleSelfSigned, tlscheck.RuleChainIncomplete, tlscheck.RuleUntrusted, tlscheck.RuleExpired, tlscheck.RuleNotYetValid,
			tlscheck.RuleExpiresSoon, tlscheck.RuleLifetime, tlscheck.RuleWeakKey, tlscheck.RuleWeakSignature, tlscheck.RuleEKUServerAuth}},
		{name: "sound RSA", ca: rsa, leaf: testca.Leaf{Names: names, Key: testca.RSA2048}, passed: []*connsec.Rule{tlscheck.RuleWeakKey, tlscheck.RuleWeakSignature}},
		{name: "root sent along", leaf: testca.Leaf{Names: names, AppendRoot: true}, passed: []*connsec.Rule{tlscheck.RuleUntrusted}},
		{name: "common name only", leaf: testca.Leaf{Names: names, NoSAN: true}, failed: []*connsec.Rule{tlscheck.RuleNoSAN}},
		{name: "other name", leaf: testca.Leaf{Names: []string{"other.corp.internal"}}, failed: []*connsec.Rule{tlscheck.RuleNameMismatch}},
		{name: "trailing dot in the setting", leaf: testca.Leaf{Names: names},
			change: func(c *tlscheck.Chain) { c.Name = host + "." }, passed: []*connsec.Rule{tlscheck.RuleNameMismatch}},
		{name: "address as DNS name", leaf: testca.Leaf{Names: names, IPs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, IPAsDNSName: true},
			failed: []*connsec.Rule{tlscheck.RuleIPAsDNSName}},
		{name: "wildcard", leaf: testca.Leaf{Names: []string{"*.corp.internal"}}, failed: []*connsec.Rule{tlscheck.RuleWildcard},
			passed: []*connsec.Rule{tlscheck.RuleNameMismatch, tlscheck.RuleWildcardPartial}},
		{name: "wildcard does not cover two labels", leaf: testca.Leaf{Names: []string{"*.internal-corp.net"}},
			change: func(c *tlscheck.Chain) { c.Name = "a.b.internal-corp.net" }, failed: []*connsec.Rule{tlscheck.RuleWildcard, tlscheck.RuleNameMismatch}},
		{name: "partial wildcard", leaf: testca.Leaf{Names: []string{host, "w*.corp.internal"}}, failed: []*connsec.Rule{tlscheck.RuleWildcardPartial}},
		{name: "wildcard in the middle", leaf: testca.Leaf{Names: []string{host, "a.*.internal"}}, failed: []*connsec.Rule{tlscheck.RuleWildcardPartial}},
		{name: "wildcard over a public suffix", leaf: testca.Leaf{Names: []string{host, "*.co.uk"}},
			failed: []*connsec.Rule{tlscheck.RuleWildcard, tlscheck.RuleWildcardPartial}},
		{name: "unknown CA", leaf: testca.Leaf{Names: names}, change: func(c *tlscheck.Chain) { c.Roots = x509.NewCertPool() },
			failed: []*connsec.Rule{tlscheck.RuleUntrusted}},
		{name: "unknown CA that sends its root", leaf: testca.Leaf{Names: names, AppendRoot: true}, change: func(c *tlscheck.Chain) { c.Roots = x509.NewCertPool() },
			failed: []*connsec.Rule{tlscheck.RuleUntrusted}, passed: []*connsec.Rule{tlscheck.RuleChainIncomplete}},
		{name: "intermediate missing and known", leaf: testca.Leaf{Names: names, OmitIntermediate: true},
			change: func(c *tlscheck.Chain) { c.Known = []*x509.Certificate{ca.Intermediate} }, failed: []*connsec.Rule{tlscheck.RuleChainIncomplete}},
		{name: "intermediate missing under a public policy", leaf: testca.Leaf{Names: []string{"www.connsec-test.com"}, OmitIntermediate: true, Policies: public},
			change: func(c *tlscheck.Chain) { c.Name = "www.connsec-test.com" }, failed: []*connsec.Rule{tlscheck.RuleChainIncomplete}},
		{name: "issued by the root itself", ca: flat, leaf: testca.Leaf{Names: names}, passed: []*connsec.Rule{tlscheck.RuleChainIncomplete, tlscheck.RuleUntrusted}},
		{name: "expired", leaf: testca.Leaf{Names: names, NotAfter: today.Add(-time.Second)}, failed: []*connsec.Rule{tlscheck.RuleExpired},
			passed: []*connsec.Rule{tlscheck.RuleUntrusted}},
		{name: "last second", leaf: testca.Leaf{Names: names, NotAfter: today}, failed: []*connsec.Rule{tlscheck.RuleExpiresSoon}, passed: []*connsec.Rule{tlscheck.RuleExpired}},
		{name: "expired intermediate", ca: expiredCA, leaf: testca.Leaf{Names: names, NotBefore: today.Add(-10 * day)}, failed: []*connsec.Rule{tlscheck.RuleExpired},
			passed: []*connsec.Rule{tlscheck.RuleUntrusted}},
		{name: "not yet valid", leaf: testca.Leaf{Names: names, NotBefore: today.Add(time.Second)}, failed: []*connsec.Rule{tlscheck.RuleNotYetValid},
			passed: []*connsec.Rule{tlscheck.RuleUntrusted}},
		{name: "expires soon", leaf: testca.Leaf{Names: names, NotBefore: today.Add(-61 * day), NotAfter: today.Add(29 * day)}, failed: []*connsec.Rule{tlscheck.RuleExpiresSoon}},
		{name: "a third of a short life is left", leaf: testca.Leaf{Names: names, NotBefore: today.Add(-4 * day), NotAfter: today.Add(49 * time.Hour)}, passed: []*connsec.Rule{tlscheck.RuleExpiresSoon}},
		{name: "public, 200 days", leaf: testca.Leaf{Names: []string{"www.connsec-test.com"}, Policies: public, Lifetime: 200 * day},
			change: func(c *tlscheck.Chain) { c.Name = "www.connsec-test.com" }, passed: []*connsec.Rule{tlscheck.RuleLifetime, tlscheck.RuleInternalName}},
		{name: "public, a second more", leaf: testca.Leaf{Names: []string{"www.connsec-test.com"}, Policies: public, Lifetime: 200*day + time.Second},
			change: func(c *tlscheck.Chain) { c.Name = "www.connsec-test.com" }, failed: []*connsec.Rule{tlscheck.RuleLifetime}},
		{name: "private, 825 days", leaf: testca.Leaf{Names: names, Lifetime: 825 * day}, passed: []*connsec.Rule{tlscheck.RuleLifetime}},
		{name: "private, a second more", leaf: testca.Leaf{Names: names, Lifetime: 825*day + time.Second}, failed: []*connsec.Rule{tlscheck.RuleLifetime}},
		{name: "private, for ever", leaf: testca.Leaf{Names: names, NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)}, failed: []*connsec.Rule{tlscheck.RuleLifetime}},
		{name: "weak key", ca: rsa, leaf: testca.Leaf{Names: names, Key: testca.RSA1024}, failed: []*connsec.Rule{tlscheck.RuleWeakKey}},
		{name: "SHA-1 leaf", ca: rsa, leaf: testca.Leaf{Names: names, SignatureAlgorithm: x509.SHA1WithRSA},
			failed: []*connsec.Rule{tlscheck.RuleWeakSignature, tlscheck.RuleUntrusted}},
		{name: "SHA-1 intermediate", ca: sha1, leaf: testca.Leaf{Names: names}, failed: []*connsec.Rule{tlscheck.RuleWeakSignature, tlscheck.RuleUntrusted}},
		{name: "client certificate", leaf: testca.Leaf{Names: names, EKU: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, failed: []*connsec.Rule{tlscheck.RuleEKUServerAuth},
			passed: []*connsec.Rule{tlscheck.RuleUntrusted}},
		{name: "no key usage", leaf: testca.Leaf{Names: names, NoEKU: true}, failed: []*connsec.Rule{tlscheck.RuleEKUServerAuth}},
		{name: "public with an internal name", leaf: testca.Leaf{Names: []string{host, "central"}, Policies: public}, failed: []*connsec.Rule{tlscheck.RuleInternalName}},
		{name: "public with a name under an unknown TLD", leaf: testca.Leaf{Names: names, Policies: public}, failed: []*connsec.Rule{tlscheck.RuleInternalName}},
		{name: "public with a private address", leaf: testca.Leaf{Names: []string{"a.github.io"}, IPs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, Policies: public},
			change: func(c *tlscheck.Chain) { c.Name = "a.github.io" }, failed: []*connsec.Rule{tlscheck.RuleInternalName}},
		{name: "public with an address for documentation", leaf: testca.Leaf{Names: []string{"a.github.io"}, IPs: []netip.Addr{netip.MustParseAddr("2001:db8::1")}, Policies: public},
			change: func(c *tlscheck.Chain) { c.Name = "a.github.io" }, failed: []*connsec.Rule{tlscheck.RuleInternalName}},
		{name: "public with an address of class E", leaf: testca.Leaf{Names: []string{"a.github.io"}, IPs: []netip.Addr{netip.MustParseAddr("240.0.0.1")}, Policies: public},
			change: func(c *tlscheck.Chain) { c.Name = "a.github.io" }, failed: []*connsec.Rule{tlscheck.RuleInternalName}},
		{name: "public under a private suffix", leaf: testca.Leaf{Names: []string{"a.github.io"}, Policies: public},
			change: func(c *tlscheck.Chain) { c.Name = "a.github.io" }, passed: []*connsec.Rule{tlscheck.RuleInternalName}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.ca == nil {
				c.ca = ca
			}
			q := chain(c.ca, c.ca.MustIssue(t, c.leaf))
			if c.change != nil {
				c.change(&q)
			}
			r := q.Judge()
			ruletest.ExpectFailed(t, r, c.failed...)
			if len(c.passed) > 0 {
				ruletest.Expect(t, r, connsec.Pass, c.passed...)
			}
		})
	}
}

func TestSelfSignedIsJudgedByTheSignature(t *testing.T) {
	ca := testca.MustNew(t)
	self := ca.MustSelfSigned(t, testca.Leaf{Names: []string{host}})
	r := tlscheck.Chain{Certs: self.Chain, Name: host, Roots: ca.Pool()}.Judge()
	ruletest.ExpectFailed(t, r, tlscheck.RuleSelfSigned)
	ruletest.Expect(t, r, connsec.NotApplicable, tlscheck.RuleUntrusted, tlscheck.RuleChainIncomplete)

	t.Run("in the trust store", func(t *testing.T) {
		pool := x509.NewCertPool()
		pool.AddCert(self.Leaf)
		r := tlscheck.Chain{Certs: self.Chain, Name: host, Roots: pool}.Judge()
		ruletest.ExpectFailed(t, r, tlscheck.RuleSelfSigned)
		assert.Equal(t, connsec.Medium, r.Of(tlscheck.RuleSelfSigned)[0].Severity)
	})
	t.Run("SHA-1, which crypto/x509 will not check", func(t *testing.T) {
		old := ca.MustSelfSigned(t, testca.Leaf{Names: []string{host}, Key: testca.RSA2048, SignatureAlgorithm: x509.SHA1WithRSA})
		r := tlscheck.Chain{Certs: old.Chain, Name: host, Roots: ca.Pool()}.Judge()
		ruletest.ExpectFailed(t, r, tlscheck.RuleSelfSigned, tlscheck.RuleWeakSignature)
	})
	t.Run("under the name of somebody else", func(t *testing.T) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(t, err)
		template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
			NotBefore: today.Add(-day), NotAfter: today.Add(30 * day), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
		issuer := &x509.Certificate{Subject: pkix.Name{CommonName: "A Respectable CA"}, PublicKey: key.Public()}
		der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), key)
		require.NoError(t, err)
		c, err := x509.ParseCertificate(der)
		require.NoError(t, err)
		r := tlscheck.Chain{Certs: []*x509.Certificate{c}, Name: host, Roots: ca.Pool(), At: today}.Judge()
		ruletest.Expect(t, r, connsec.Fail, tlscheck.RuleSelfSigned)
	})
	t.Run("issuer and subject alike, signed by a CA", func(t *testing.T) {
		flat := testca.MustNew(t, testca.Options{NoIntermediate: true})
		c := flat.MustIssue(t, testca.Leaf{Names: []string{host}, Subject: flat.Root.Subject})
		r := tlscheck.Chain{Certs: c.Chain, Name: host, Roots: flat.Pool()}.Judge()
		ruletest.ExpectFailed(t, r)
		ruletest.Expect(t, r, connsec.Pass, tlscheck.RuleSelfSigned, tlscheck.RuleUntrusted)
	})
}

// A leaf alone whose issuer is unknown may lack an intermediate or come from an unknown CA:
// only the second is certain to matter to clients.
func TestLoneLeafOfAnUnknownIssuer(t *testing.T) {
	ca := testca.MustNew(t)
	c := ca.MustIssue(t, testca.Leaf{Names: []string{host}, OmitIntermediate: true})
	r := tlscheck.Chain{Certs: c.Chain, Name: host, Roots: ca.Pool()}.Judge()
	ruletest.ExpectFailed(t, r, tlscheck.RuleUntrusted)
	ruletest.Expect(t, r, connsec.Inconclusive, tlscheck.RuleChainIncomplete)
}

func TestLifetimeFollowsTheSchedule(t *testing.T) {
	ca := testca.MustNew(t, testca.Options{Now: func() time.Time { return today }})
	for _, c := range []struct {
		issued time.Time
		days   int
	}{
		{time.Date(2026, 3, 14, 23, 59, 59, 0, time.UTC), 398},
		{time.Date(2026, 3, 15, 0, 0, 0, 0, time.UTC), 200},
		{time.Date(2027, 3, 14, 23, 59, 59, 0, time.UTC), 200},
		{time.Date(2027, 3, 15, 0, 0, 0, 0, time.UTC), 100},
		{time.Date(2029, 3, 14, 23, 59, 59, 0, time.UTC), 100},
		{time.Date(2029, 3, 15, 0, 0, 0, 0, time.UTC), 47},
	} {
		t.Run(c.issued.Format(time.RFC3339), func(t *testing.T) {
			for extra, want := range map[time.Duration]connsec.Outcome{0: connsec.Pass, time.Second: connsec.Fail} {
				leaf := testca.Leaf{Names: []string{"www.connsec-test.com"}, NotBefore: c.issued, Lifetime: time.Duration(c.days)*day + extra, Policies: []string{testca.PolicyDomainValidated}}
				r := tlscheck.Chain{Certs: ca.MustIssue(t, leaf).Chain, Roots: ca.Pool(), At: c.issued.Add(time.Hour)}.Judge()
				ruletest.Expect(t, r, want, tlscheck.RuleLifetime)
			}
		})
	}
}

func TestAsOfShowsWhatWillBreak(t *testing.T) {
	ca := testca.MustNew(t, testca.Options{Now: func() time.Time { return today }})
	o := chain(ca, ca.MustIssue(t, testca.Leaf{Names: []string{host}, NotBefore: today, Lifetime: 90 * day})).Observe()
	ruletest.ExpectFailed(t, o.Judge())
	o.At = today.Add(65 * day)
	ruletest.ExpectFailed(t, o.Judge(), tlscheck.RuleExpiresSoon)
	o.At = today.Add(90 * day)
	ruletest.ExpectFailed(t, o.Judge(), tlscheck.RuleExpired)
	o.At = today.Add(-day)
	ruletest.ExpectFailed(t, o.Judge(), tlscheck.RuleNotYetValid)
}

func TestRevocation(t *testing.T) {
	ca := testca.MustNew(t, testca.Options{Now: func() time.Time { return today }})
	c := ca.MustIssue(t, testca.Leaf{Names: []string{host}})
	crl := func(t *testing.T, revoked ...*big.Int) []*x509.RevocationList {
		der, err := ca.CRLBetween(today.Add(-day), today.Add(day), revoked...)
		require.NoError(t, err)
		list, err := x509.ParseRevocationList(der)
		require.NoError(t, err)
		return []*x509.RevocationList{list}
	}
	staple := func(t *testing.T, status int) []byte {
		der, err := ca.OCSP(c.Leaf, status)
		require.NoError(t, err)
		return der
	}
	q := chain(ca, c)
	t.Run("nothing given", func(t *testing.T) { ruletest.Expect(t, q.Judge(), connsec.NotApplicable, tlscheck.RuleRevoked) })
	t.Run("on the list", func(t *testing.T) {
		q := q
		q.CRLs = crl(t, c.Leaf.SerialNumber)
		ruletest.ExpectFailed(t, q.Judge(), tlscheck.RuleRevoked)
	})
	t.Run("another on the list", func(t *testing.T) {
		q := q
		q.CRLs = crl(t, big.NewInt(4711))
		ruletest.Expect(t, q.Judge(), connsec.Pass, tlscheck.RuleRevoked)
	})
	t.Run("no trusted root", func(t *testing.T) {
		q := q
		q.Roots = x509.NewCertPool()
		q.CRLs = crl(t, c.Leaf.SerialNumber)
		ruletest.Expect(t, q.Judge(), connsec.Fail, tlscheck.RuleRevoked)
		q.CRLs = crl(t)
		ruletest.Expect(t, q.Judge(), connsec.Inconclusive, tlscheck.RuleRevoked)
		q.CRLs, q.Staple = nil, staple(t, ocsp.Good)
		ruletest.Expect(t, q.Judge(), connsec.Inconclusive, tlscheck.RuleRevoked)
	})
	t.Run("list out of date", func(t *testing.T) {
		q := q
		q.CRLs = crl(t)
		q.At = today.Add(2 * day)
		ruletest.Expect(t, q.Judge(), connsec.Inconclusive, tlscheck.RuleRevoked)
	})
	t.Run("list of another CA with the same name", func(t *testing.T) {
		other := testca.MustNew(t, testca.Options{Now: func() time.Time { return today }})
		der, err := other.CRLBetween(today.Add(-day), today.Add(day), c.Leaf.SerialNumber)
		require.NoError(t, err)
		list, err := x509.ParseRevocationList(der)
		require.NoError(t, err)
		q := q
		q.CRLs = []*x509.RevocationList{list}
		ruletest.Expect(t, q.Judge(), connsec.Inconclusive, tlscheck.RuleRevoked)
	})
	t.Run("staple says good", func(t *testing.T) {
		q := q
		q.Staple = staple(t, ocsp.Good)
		ruletest.Expect(t, q.Judge(), connsec.Pass, tlscheck.RuleRevoked)
	})
	t.Run("staple says revoked", func(t *testing.T) {
		q := q
		q.Staple = staple(t, ocsp.Revoked)
		ruletest.ExpectFailed(t, q.Judge(), tlscheck.RuleRevoked)
	})
	t.Run("staple is junk", func(t *testing.T) {
		q := q
		q.Staple = []byte("junk")
		ruletest.Expect(t, q.Judge(), connsec.Inconclusive, tlscheck.RuleRevoked)
	})
	t.Run("staple signed with the server's own key", func(t *testing.T) {
		answer := ocsp.Response{Status: ocsp.Good, SerialNumber: c.Leaf.SerialNumber, ThisUpdate: today, NextUpdate: today.Add(day), Certificate: c.Leaf}
		der, err := ocsp.CreateResponse(ca.Intermediate, c.Leaf, answer, c.Key)
		require.NoError(t, err)
		q := q
		q.Staple = der
		ruletest.Expect(t, q.Judge(), connsec.Inconclusive, tlscheck.RuleRevoked)
	})
	t.Run("staple signed by a delegate", func(t *testing.T) {
		delegate := ca.MustIssue(t, testca.Leaf{Names: []string{"ocsp.corp.internal"}, EKU: []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}})
		q := q
		for _, a := range []struct {
			answer  ocsp.Response
			outcome connsec.Outcome
		}{
			{ocsp.Response{ThisUpdate: today, NextUpdate: today.Add(day)}, connsec.Pass},
			{ocsp.Response{ThisUpdate: today.Add(-9 * day)}, connsec.Pass},
			{ocsp.Response{ThisUpdate: today.Add(-11 * day)}, connsec.Inconclusive}, // no end: may be replayed
		} {
			a.answer.SerialNumber, a.answer.Certificate = c.Leaf.SerialNumber, delegate.Leaf
			der, err := ocsp.CreateResponse(ca.Intermediate, delegate.Leaf, a.answer, delegate.Key)
			require.NoError(t, err)
			q.Staple = der
			ruletest.Expect(t, q.Judge(), a.outcome, tlscheck.RuleRevoked)
		}
	})
	t.Run("loaded from a file", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "ca.crl")
		require.NoError(t, os.WriteFile(file, crl(t, c.Leaf.SerialNumber)[0].Raw, 0o600))
		list, err := tlscheck.LoadCRL(t.Context(), file, nil)
		require.NoError(t, err)
		assert.Len(t, list.RevokedCertificateEntries, 1)
		_, err = tlscheck.LoadCRL(t.Context(), file+"x", nil)
		assert.ErrorContains(t, err, "no such file")
		_, err = tlscheck.LoadCRL(t.Context(), filepath.Dir(file), nil)
		assert.ErrorContains(t, err, "it is not a regular file")
		_, err = tlscheck.LoadCRL(t.Context(), os.DevNull, nil) // a pipe would even block
		assert.ErrorContains(t, err, "it is not a regular file")
	})
}

// TestPartialRevocationLists: a list that leaves certificates out by design acquits none.
func TestPartialRevocationLists(t *testing.T) {
	const here, elsewhere = "http://crl.corp.internal/1.crl", "http://crl.corp.internal/2.crl"
	key := testca.MustNew(t, testca.Options{Now: func() time.Time { return today }}).MustIssue(t, testca.Leaf{Names: []string{"ca.corp.internal"}}).Key
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "List Test"}, NotBefore: today.Add(-day), NotAfter: today.Add(365 * day),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	sign := func(t *testing.T, c, parent *x509.Certificate) *x509.Certificate {
		der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), key)
		require.NoError(t, err)
		out, err := x509.ParseCertificate(der)
		require.NoError(t, err)
		return out
	}
	root := sign(t, template, template)
	leaf := sign(t, &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: []string{host}, NotBefore: today.Add(-day), NotAfter: today.Add(90 * day),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, CRLDistributionPoints: []string{here}}, root)
	point := func(uri string) []byte { // distributionPoint [0] { fullName [0] { uniformResourceIdentifier [6] } }
		out := append([]byte{0x86, byte(len(uri))}, uri...)
		for range 2 {
			out = append([]byte{0xa0, byte(len(out))}, out...)
		}
		return out
	}
	idp := func(parts ...[]byte) pkix.Extension {
		content := slices.Concat(parts...)
		return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: append([]byte{0x30, byte(len(content))}, content...)}
	}
	flag := func(tag byte) []byte { return []byte{0x80 | tag, 1, 0xff} }
	for _, c := range []struct {
		name            string
		ext             pkix.Extension
		reason          int
		absent, present connsec.Outcome
	}{
		{"user certificates of this point", idp(point(here), flag(1)), 0, connsec.Pass, connsec.Fail},
		{"another point", idp(point(elsewhere)), 0, connsec.Inconclusive, connsec.Fail},
		{"CA certificates", idp(flag(2)), 0, connsec.Inconclusive, connsec.Fail},
		{"some reasons", idp([]byte{0x83, 2, 0, 0x40}), 0, connsec.Inconclusive, connsec.Fail},
		{"indirect", idp(flag(4)), 0, connsec.Inconclusive, connsec.Inconclusive},
		{"attribute certificates", idp(flag(5)), 0, connsec.Inconclusive, connsec.Fail},
		{"unreadable", pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: []byte{0x30, 9}}, 0, connsec.Inconclusive, connsec.Inconclusive},
		{"delta", pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}}, 0, connsec.Inconclusive, connsec.Fail},
		{"delta that takes it off", pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}}, 8, connsec.Inconclusive, connsec.Inconclusive},
		{"unknown and critical", pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}}, 0, connsec.Inconclusive, connsec.Inconclusive},
		{"unknown", pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Value: []byte{5, 0}}, 0, connsec.Pass, connsec.Fail},
	} {
		t.Run(c.name, func(t *testing.T) {
			for serial, want := range map[int64]connsec.Outcome{3: c.absent, 2: c.present} {
				der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: today, NextUpdate: today.Add(day),
					RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: big.NewInt(serial), RevocationTime: today, ReasonCode: c.reason}},
					ExtraExtensions:           []pkix.Extension{c.ext}}, root, key)
				require.NoError(t, err)
				list, err := x509.ParseRevocationList(der)
				require.NoError(t, err)
				roots := x509.NewCertPool()
				roots.AddCert(root)
				r := tlscheck.Chain{Certs: []*x509.Certificate{leaf}, Name: host, Roots: roots, CRLs: []*x509.RevocationList{list}, At: today}.Judge()
				ruletest.Expect(t, r, want, tlscheck.RuleRevoked)
			}
		})
	}
}

// TestAnchorThatIsNoRoot: a trust store that holds the intermediate hides that it is not sent.
func TestAnchorThatIsNoRoot(t *testing.T) {
	ca := testca.MustNew(t, testca.Options{Now: func() time.Time { return today }})
	c := ca.MustIssue(t, testca.Leaf{Names: []string{host}, OmitIntermediate: true})
	q := chain(ca, c)
	q.Roots = pool(ca.Root, ca.Intermediate)
	r := q.Judge()
	ruletest.Expect(t, r, connsec.Pass, tlscheck.RuleUntrusted)
	ruletest.Expect(t, r, connsec.Inconclusive, tlscheck.RuleChainIncomplete)
	q.Certs = append(q.Certs, ca.Intermediate)
	ruletest.Expect(t, q.Judge(), connsec.Pass, tlscheck.RuleChainIncomplete)
}

// TestCAForOtherPurposes: every path to the root leads through a CA that clients accept for
// client certificates only.
func TestCAForOtherPurposes(t *testing.T) {
	key := testca.MustNew(t).MustIssue(t, testca.Leaf{Names: []string{"ca.corp.internal"}}).Key
	leafKey := testca.MustNew(t).MustIssue(t, testca.Leaf{Names: []string{host}}).Key
	sign := func(c, parent *x509.Certificate) *x509.Certificate {
		c.NotBefore, c.NotAfter = today.Add(-day), today.Add(90*day)
		public := key.Public()
		if !c.IsCA {
			public = leafKey.Public()
		}
		der, err := x509.CreateCertificate(rand.Reader, c, parent, public, key)
		require.NoError(t, err)
		out, err := x509.ParseCertificate(der)
		require.NoError(t, err)
		return out
	}
	authority := func(serial int64, name string, eku ...x509.ExtKeyUsage) *x509.Certificate {
		return &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageCertSign, ExtKeyUsage: eku}
	}
	template := authority(1, "Purpose Root")
	root := sign(template, template)
	roots := x509.NewCertPool()
	roots.AddCert(root)
	users := sign(authority(2, "Issuing", x509.ExtKeyUsageClientAuth), root)
	servers := sign(authority(3, "Issuing", x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth), root)
	leaf := sign(&x509.Certificate{SerialNumber: big.NewInt(4), DNSNames: []string{host}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, users)

	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: pool(users), CurrentTime: today})
	require.Error(t, err, "clients refuse it")
	q := tlscheck.Chain{Certs: []*x509.Certificate{leaf, users}, Name: host, Roots: roots, At: today}
	r := q.Judge()
	ruletest.ExpectFailed(t, r, tlscheck.RuleEKUServerAuth)
	assert.Contains(t, r.Of(tlscheck.RuleEKUServerAuth)[0].Detail, `"Issuing"`)

	q.Certs = append(q.Certs, servers)
	ruletest.Expect(t, q.Judge(), connsec.Pass, tlscheck.RuleEKUServerAuth)
}

func pool(certs ...*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range certs {
		p.AddCert(c)
	}
	return p
}

func TestChainObservationSurvivesJSON(t *testing.T) {
	ca := testca.MustNew(t)
	o := chain(ca, ca.MustIssue(t, testca.Leaf{Names: []string{host}})).Observe()
	data, err := json.Marshal(o)
	require.NoError(t, err)
	var back tlscheck.ChainObservation
	require.NoError(t, json.Unmarshal(data, &back))
	assert.Equal(t, o.Judge().Findings, back.Judge().Findings)
}

func TestParseCertificates(t *testing.T) {
	ca := testca.MustNew(t)
	c := ca.MustIssue(t, testca.Leaf{Names: []string{host}})
	for name, data := range map[string][]byte{"PEM": c.PEM(), "DER": c.Leaf.Raw, "PEM behind text": append([]byte("a note\n"), c.PEM()...)} {
		certs, err := tlscheck.ParseCertificates(data)
		require.NoError(t, err, name)
		assert.True(t, certs[0].Equal(c.Leaf), name)
	}
	key, err := c.KeyPEM()
	require.NoError(t, err)
	for message, data := range map[string][]byte{
		"is empty":             nil,
		"neither PEM nor":      []byte("\x00\x01\x02junk"),
		"holds no certificate": key,
		"something else":       make([]byte, 2<<20),
	} {
		_, err := tlscheck.ParseCertificates(data)
		assert.ErrorContains(t, err, message)
	}
}

func FuzzParseCertificates(f *testing.F) {
	ca := testca.MustNew(f)
	c := ca.MustIssue(f, testca.Leaf{Names: []string{host}})
	f.Add(c.PEM())
	f.Add(c.Leaf.Raw)
	f.Fuzz(func(t *testing.T, data []byte) {
		certs, err := tlscheck.ParseCertificates(data)
		if (err == nil) != (len(certs) > 0) {
			t.Fatalf("%d certificates with error %v", len(certs), err)
		}
		if err != nil {
			return
		}
		// Judging must be total, whatever the certificate says.
		r := tlscheck.Chain{Certs: certs, Name: host, Roots: ca.Pool(), At: today}.Judge()
		for _, finding := range r.Findings {
			if !finding.Outcome.Valid() || finding.Detail == "" {
				t.Fatalf("%s gave no verdict", finding.Rule.ID)
			}
		}
	})
}

func BenchmarkChain(b *testing.B) {
	ca := testca.MustNew(b)
	q := tlscheck.Chain{Certs: ca.MustIssue(b, testca.Leaf{Names: []string{host}}).Chain, Name: host, Roots: ca.Pool()}
	b.ReportAllocs()
	for b.Loop() {
		if n := len(q.Judge().Findings); n == 0 {
			b.Fatal("nothing judged")
		}
	}
}

// TestLoadCRLKeepsThePassword: of a URL that cannot be parsed, too.
func TestLoadCRLKeepsThePassword(t *testing.T) {
	for _, location := range []string{"http://user:hunter2@127.0.0.1:1/ca.crl", "http://user:hunter2%zz@127.0.0.1:1/ca.crl", "https://user:hunter2@[::1/ca.crl"} {
		_, err := tlscheck.LoadCRL(t.Context(), location, nil)
		require.Error(t, err)
		assert.NotContains(t, err.Error(), "hunter2")
	}
}
