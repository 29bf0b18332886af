package testca

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"

	"golang.org/x/crypto/ocsp"
)

// Options describe an authority. The zero value is a sound one.
type Options struct {
	// Name stands in the subjects of root and intermediate. Default "Test".
	Name string
	// Now is the clock. Default time.Now.
	Now func() time.Time

	// RootKey and IntermediateKey are the kinds of their keys. Default ECDSA P-256. A leaf
	// signed with an RSA algorithm needs an RSA intermediate.
	RootKey, IntermediateKey KeyKind
	// RootSignature and IntermediateSignature are what root and intermediate are signed
	// with, both by the root's key. Default: the usual one for that key. MD5 and SHA-1
	// with RSA are possible and need an RSA root.
	RootSignature, IntermediateSignature x509.SignatureAlgorithm
	// IntermediateNotBefore and IntermediateNotAfter bound the intermediate. Default, and
	// always for the root: 20 years before to 30 years after Now, so that leaves can be
	// dated freely.
	IntermediateNotBefore, IntermediateNotAfter time.Time
	// NoIntermediate lets the root issue leaves itself.
	NoIntermediate bool
}

// CA is a root with, usually, one intermediate that issues the leaves. It is safe for
// concurrent use.
type CA struct {
	Root         *x509.Certificate
	Intermediate *x509.Certificate // nil with Options.NoIntermediate

	now    func() time.Time
	ring   keyring
	issuer *x509.Certificate
	key    crypto.Signer // the issuer's
}

// TB is the part of testing.TB that the Must functions need, so that programs can use this
// package without linking package testing.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
}

// New makes an authority.
func New(o Options) (*CA, error) {
	if o.Name == "" {
		o.Name = "Test"
	}
	ca := &CA{now: o.Now}
	if ca.now == nil {
		ca.now = time.Now
	}
	rootKey, err := ca.ring.next(o.RootKey)
	if err != nil {
		return nil, err
	}
	root := authority(o.Name+" Root CA", ca.now())
	root.SignatureAlgorithm = o.RootSignature
	if ca.Root, err = sign(root, root, rootKey.Public(), rootKey); err != nil {
		return nil, fmt.Errorf("testca: root: %w", err)
	}
	ca.issuer, ca.key = ca.Root, rootKey
	if o.NoIntermediate {
		return ca, nil
	}
	if ca.key, err = ca.ring.next(o.IntermediateKey); err != nil {
		return nil, err
	}
	inter := authority(o.Name+" Intermediate CA", ca.now())
	inter.SignatureAlgorithm = o.IntermediateSignature
	inter.MaxPathLenZero = true
	if !o.IntermediateNotBefore.IsZero() {
		inter.NotBefore = o.IntermediateNotBefore
	}
	if !o.IntermediateNotAfter.IsZero() {
		inter.NotAfter = o.IntermediateNotAfter
	}
	if ca.Intermediate, err = sign(inter, ca.Root, ca.key.Public(), rootKey); err != nil {
		return nil, fmt.Errorf("testca: intermediate: %w", err)
	}
	ca.issuer = ca.Intermediate
	return ca, nil
}

// MustNew is New for tests; without options it makes the default authority.
func MustNew(tb TB, o ...Options) *CA {
	tb.Helper()
	var opt Options
	if len(o) > 0 {
		opt = o[0]
	}
	ca, err := New(opt)
	if err != nil {
		tb.Fatalf("%v", err)
	}
	return ca
}

func authority(name string, now time.Time) *x509.Certificate {
	return &x509.Certificate{
		Subject:               pkix.Name{Organization: []string{"connsec test authority"}, CommonName: name},
		NotBefore:             now.AddDate(-20, 0, 0),
		NotAfter:              now.AddDate(30, 0, 0),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
	}
}

// Pool returns a pool that trusts the root and nothing else.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.Root)
	return pool
}

// PEM returns the root, as a trust file has it.
func (ca *CA) PEM() []byte { return certificatePEM(ca.Root) }

// CRL returns a DER list, issued by the authority that issues the leaves, with the given
// serial numbers revoked an hour ago. It is good for seven days from now.
func (ca *CA) CRL(revoked ...*big.Int) ([]byte, error) {
	now := ca.now()
	return ca.CRLBetween(now.Add(-time.Hour), now.Add(7*24*time.Hour), revoked...)
}

// CRLBetween is CRL with its own thisUpdate and nextUpdate; the revocations are dated on
// thisUpdate.
func (ca *CA) CRLBetween(this, next time.Time, revoked ...*big.Int) ([]byte, error) {
	list := &x509.RevocationList{Number: big.NewInt(this.Unix()), ThisUpdate: this, NextUpdate: next}
	for _, serial := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: serial, RevocationTime: this})
	}
	der, err := x509.CreateRevocationList(nil, list, ca.issuer, ca.key)
	if err != nil {
		return nil, fmt.Errorf("testca: revocation list: %w", err)
	}
	return der, nil
}

// OCSP returns a DER response about a leaf, as a server staples it. The status is one of
// ocsp.Good, ocsp.Revoked and ocsp.Unknown. It is good for seven days from now.
func (ca *CA) OCSP(leaf *x509.Certificate, status int) ([]byte, error) {
	now := ca.now()
	answer := ocsp.Response{Status: status, SerialNumber: leaf.SerialNumber, ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(7 * 24 * time.Hour)}
	if status == ocsp.Revoked {
		answer.RevokedAt = answer.ThisUpdate
	}
	der, err := ocsp.CreateResponse(ca.issuer, ca.issuer, answer, ca.key)
	if err != nil {
		return nil, fmt.Errorf("testca: OCSP response: %w", err)
	}
	return der, nil
}

func certificatePEM(certs ...*x509.Certificate) []byte {
	var out []byte
	for _, c := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}
