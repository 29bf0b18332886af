package tlscheck

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	encoding_asn1 "encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/connsec/connsec"
)

// KeyAlgorithm is what a new key is made with.
type KeyAlgorithm uint8

const (
	// ECDSAP256 is understood by everything that speaks TLS 1.2, and fast.
	ECDSAP256 KeyAlgorithm = iota
	// RSA3072 is for software that knows no elliptic curves, such as old printers; as strong as
	// P-256 (NIST SP 800-57 part 1, table 2).
	RSA3072
)

// Request is a new key with a certificate signing request (PKCS #10) for it. It prints
// without the key.
type Request struct {
	// Names are the DNS names asked for, in order, as they stand in the request.
	Names []FQDN
	// DER is the request itself.
	DER []byte

	key func() crypto.Signer // a closure, so that printers find no key; see connsec.Secret
}

// NewRequest makes a key, and the request that a CA turns into a server certificate for the
// names. All names go into subjectAltName, where clients look; the first is the common name
// too, if it fits, because some CAs refuse an empty subject. serverAuth is asked for.
//
// Each name must pass [ParseFQDN]: no address, no wildcard, no single label. Duplicates are
// dropped.
func NewRequest(algorithm KeyAlgorithm, names ...string) (*Request, error) {
	if len(names) == 0 {
		return nil, errors.New("tlscheck: a certificate request needs at least one DNS name")
	}
	r := &Request{}
	seen := map[FQDN]bool{}
	template := &x509.CertificateRequest{ExtraExtensions: []pkix.Extension{serverAuthExtension()}}
	for _, name := range names {
		fqdn, err := ParseFQDN(name)
		if err != nil {
			return nil, err
		}
		if !seen[fqdn] {
			seen[fqdn] = true
			r.Names = append(r.Names, fqdn)
			template.DNSNames = append(template.DNSNames, fqdn.String())
		}
	}
	const maxCommonName = 64 // ub-common-name, RFC 5280 appendix A.1
	if cn := template.DNSNames[0]; len(cn) <= maxCommonName {
		template.Subject.CommonName = cn
	}
	key, err := newKey(algorithm)
	if err != nil {
		return nil, err
	}
	if r.DER, err = x509.CreateCertificateRequest(rand.Reader, template, key); err != nil {
		return nil, fmt.Errorf("tlscheck: certificate request: %w", err)
	}
	r.key = func() crypto.Signer { return key }
	return r, nil
}

func newKey(algorithm KeyAlgorithm) (crypto.Signer, error) {
	switch algorithm {
	case ECDSAP256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case RSA3072:
		return rsa.GenerateKey(rand.Reader, 3072)
	}
	return nil, fmt.Errorf("tlscheck: no such key algorithm: %d", uint8(algorithm))
}

// serverAuthExtension asks for the extended key usage, RFC 5280 §4.2.1.12.
func serverAuthExtension() pkix.Extension {
	der, err := encoding_asn1.Marshal([]encoding_asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 1}})
	if err != nil {
		panic(err) // a constant
	}
	return pkix.Extension{Id: encoding_asn1.ObjectIdentifier{2, 5, 29, 37}, Value: der}
}

// Key returns the private key, for [FileSet.Install] once the CA has answered.
func (r *Request) Key() crypto.Signer { return r.key() }

// PEM returns the request as CAs take it.
func (r *Request) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: r.DER})
}

// KeyPEM returns the private key as unencrypted PKCS #8, to be kept until the CA answers.
func (r *Request) KeyPEM() (connsec.Secret, error) {
	text, err := keyPEM(r.key())
	return connsec.NewSecret(string(text)), err
}

func keyPEM(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, errors.New("tlscheck: this kind of private key cannot be written")
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
