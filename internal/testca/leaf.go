package testca

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Leaf describes an end-entity certificate. The zero value, given Names or IPs, is a sound
// TLS server certificate.
type Leaf struct {
	// Names become dNSName entries as they stand: wildcards ("*.corp.example"), partial
	// wildcards ("w*.corp.example") and internal names ("central.local") included.
	Names []string
	// IPs become iPAddress entries.
	IPs []netip.Addr
	// IPAsDNSName writes IPs as dNSName entries instead, a common mistake.
	IPAsDNSName bool
	// NoSAN leaves the subjectAltName extension out. The first of Names still is the
	// common name, so this is also the certificate that has a common name only.
	NoSAN bool
	// Subject replaces the default, whose common name is the first of Names or IPs.
	Subject pkix.Name

	// Key is the kind of a key made for this leaf. Default ECDSA P-256.
	Key KeyKind
	// Signer, when set, is used instead of a fresh key, as a renewal does.
	Signer crypto.Signer
	// SignatureAlgorithm is what the issuer signs with. Default: the usual one for its
	// key. MD5 and SHA-1 with RSA are possible, and need an RSA issuer
	// (Options.IntermediateKey).
	SignatureAlgorithm x509.SignatureAlgorithm

	// NotBefore defaults to an hour before the authority's Now.
	NotBefore time.Time
	// NotAfter is the last second of validity. Default: from NotBefore and Lifetime.
	NotAfter time.Time
	// Lifetime is the validity period when NotAfter is zero, counted with both ends as
	// RFC 5280 §4.1.2.5 does: 398 days means exactly 398*86400 seconds, and one second
	// more is already longer. Default 90 days. With a NotAfter in the past and no
	// NotBefore it counts backwards from there.
	Lifetime time.Duration

	// EKU defaults to serverAuth.
	EKU []x509.ExtKeyUsage
	// NoEKU leaves the extension out, which means any purpose.
	NoEKU bool
	// IsCA marks the certificate as an authority, which no server should present.
	IsCA bool
	// Policies are dotted OIDs, such as 2.23.140.1.2.1 for a domain-validated certificate
	// of the CA/Browser Forum.
	Policies []string
	// CRLURLs, OCSPURLs and IssuerURLs go into cRLDistributionPoints and
	// authorityInfoAccess.
	CRLURLs, OCSPURLs, IssuerURLs []string
	// ExtraExtensions are added as they are.
	ExtraExtensions []pkix.Extension

	// OmitIntermediate leaves the intermediate out of the chain that the server presents.
	OmitIntermediate bool
	// AppendRoot adds the root to the chain, which is useless and often done.
	AppendRoot bool
}

// PolicyDomainValidated is the CA/Browser Forum's OID for a domain-validated certificate
// (Baseline Requirements §7.1.2.7.9): publicly trusted leaves carry it or one of its kin.
const PolicyDomainValidated = "2.23.140.1.2.1"

// Certificate is an issued leaf with its key and the chain that a server presents. Chain may
// be changed to present another one.
type Certificate struct {
	Leaf  *x509.Certificate
	Chain []*x509.Certificate // leaf first
	Key   crypto.Signer

	root *x509.Certificate
}

// Issue makes a leaf as described.
func (ca *CA) Issue(l Leaf) (*Certificate, error) {
	c, err := ca.issue(l, false)
	if err != nil {
		return nil, fmt.Errorf("testca: leaf: %w", err)
	}
	return c, nil
}

// SelfSigned makes a leaf as described that is signed with its own key. Its chain is the leaf
// alone, and no pool of the authority trusts it.
func (ca *CA) SelfSigned(l Leaf) (*Certificate, error) {
	c, err := ca.issue(l, true)
	if err != nil {
		return nil, fmt.Errorf("testca: self-signed leaf: %w", err)
	}
	return c, nil
}

// MustIssue is Issue for tests.
func (ca *CA) MustIssue(tb TB, l Leaf) *Certificate {
	tb.Helper()
	c, err := ca.Issue(l)
	if err != nil {
		tb.Fatalf("%v", err)
	}
	return c
}

// MustSelfSigned is SelfSigned for tests.
func (ca *CA) MustSelfSigned(tb TB, l Leaf) *Certificate {
	tb.Helper()
	c, err := ca.SelfSigned(l)
	if err != nil {
		tb.Fatalf("%v", err)
	}
	return c
}

func (ca *CA) issue(l Leaf, self bool) (*Certificate, error) {
	template, err := l.template(ca.now())
	if err != nil {
		return nil, err
	}
	key := l.Signer
	if key == nil {
		if key, err = ca.ring.next(l.Key); err != nil {
			return nil, err
		}
	}
	template.KeyUsage |= x509.KeyUsageDigitalSignature
	if isRSA(key) {
		template.KeyUsage |= x509.KeyUsageKeyEncipherment // static RSA key exchange asks for it
	}
	issuer, issuerKey := ca.issuer, ca.key
	if self {
		issuer, issuerKey = template, key
	}
	leaf, err := sign(template, issuer, key.Public(), issuerKey)
	if err != nil {
		return nil, err
	}
	c := &Certificate{Leaf: leaf, Chain: []*x509.Certificate{leaf}, Key: key, root: ca.Root}
	if self {
		c.root = leaf
		return c, nil
	}
	if ca.Intermediate != nil && !l.OmitIntermediate {
		c.Chain = append(c.Chain, ca.Intermediate)
	}
	if l.AppendRoot {
		c.Chain = append(c.Chain, ca.Root)
	}
	return c, nil
}

func (l Leaf) template(now time.Time) (*x509.Certificate, error) {
	t := &x509.Certificate{
		Subject:               l.Subject,
		NotBefore:             l.NotBefore,
		NotAfter:              l.NotAfter,
		BasicConstraintsValid: true,
		IsCA:                  l.IsCA,
		ExtKeyUsage:           l.EKU,
		CRLDistributionPoints: l.CRLURLs,
		OCSPServer:            l.OCSPURLs,
		IssuingCertificateURL: l.IssuerURLs,
		ExtraExtensions:       l.ExtraExtensions,
	}
	switch {
	case l.NoEKU:
		t.ExtKeyUsage = nil
	case l.EKU == nil:
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	if l.IsCA {
		t.KeyUsage = x509.KeyUsageCertSign
	}
	for _, p := range l.Policies {
		oid, err := x509.ParseOID(p)
		if err != nil {
			return nil, fmt.Errorf("policy %q: %w", p, err)
		}
		t.Policies = append(t.Policies, oid)
	}
	if t.Subject.CommonName == "" && t.Subject.Organization == nil {
		switch {
		case len(l.Names) > 0:
			t.Subject.CommonName = l.Names[0]
		case len(l.IPs) > 0:
			t.Subject.CommonName = l.IPs[0].String()
		}
	}
	if !l.NoSAN {
		t.DNSNames = slices.Clone(l.Names)
		for _, ip := range l.IPs {
			if l.IPAsDNSName {
				t.DNSNames = append(t.DNSNames, ip.String())
			} else {
				t.IPAddresses = append(t.IPAddresses, net.IP(ip.AsSlice()))
			}
		}
	}
	lifetime := l.Lifetime
	if lifetime == 0 {
		lifetime = 90 * 24 * time.Hour
	}
	switch {
	case t.NotBefore.IsZero() && t.NotAfter.IsZero(), t.NotBefore.IsZero() && t.NotAfter.After(now.Add(-time.Hour)):
		t.NotBefore = now.Add(-time.Hour)
	case t.NotBefore.IsZero(): // already expired: it was valid before that
		t.NotBefore = t.NotAfter.Add(time.Second - lifetime)
	}
	// The encoding has whole seconds; rounding both ends down keeps the length exact.
	t.NotBefore = t.NotBefore.UTC().Truncate(time.Second)
	if t.NotAfter.IsZero() {
		t.NotAfter = t.NotBefore.Add(lifetime - time.Second)
	}
	t.SignatureAlgorithm = l.SignatureAlgorithm
	return t, nil
}

// TLS returns the chain and key for a tls.Config.
func (c *Certificate) TLS() tls.Certificate {
	out := tls.Certificate{PrivateKey: c.Key, Leaf: c.Leaf}
	for _, cert := range c.Chain {
		out.Certificate = append(out.Certificate, cert.Raw)
	}
	return out
}

// PEM returns the chain, leaf first.
func (c *Certificate) PEM() []byte { return certificatePEM(c.Chain...) }

// KeyPEM returns the key as unencrypted PKCS#8.
func (c *Certificate) KeyPEM() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(c.Key)
	if err != nil {
		return nil, fmt.Errorf("testca: encode the key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// Files are the paths of a certificate as daemons are configured with it, all PEM.
type Files struct {
	Chain string // leaf first
	Key   string // PKCS#8, mode 0600
	CA    string // the root; the leaf itself if it is self-signed
}

// WriteFiles writes name.pem, name.key and name-ca.pem into an existing directory and
// returns the paths.
func (c *Certificate) WriteFiles(dir, name string) (Files, error) {
	f := Files{
		Chain: filepath.Join(dir, name+".pem"),
		Key:   filepath.Join(dir, name+".key"),
		CA:    filepath.Join(dir, name+"-ca.pem"),
	}
	key, err := c.KeyPEM()
	if err != nil {
		return Files{}, err
	}
	for _, w := range []struct {
		path string
		data []byte
		mode os.FileMode
	}{{f.Chain, c.PEM(), 0o644}, {f.Key, key, 0o600}, {f.CA, certificatePEM(c.root), 0o644}} {
		if err := os.WriteFile(w.path, w.data, w.mode); err != nil {
			return Files{}, fmt.Errorf("testca: %w", err)
		}
	}
	return f, nil
}

// MustWriteFiles is WriteFiles for tests.
func (c *Certificate) MustWriteFiles(tb TB, dir, name string) Files {
	tb.Helper()
	f, err := c.WriteFiles(dir, name)
	if err != nil {
		tb.Fatalf("%v", err)
	}
	return f
}
