package ntlm

import (
	"crypto"
	_ "crypto/sha256" // link the hashes that EndPoint may need
	_ "crypto/sha512"
	"crypto/x509"
	"fmt"
)

// EndPoint returns the tls-server-end-point channel binding of a server certificate, which is
// what [BindingHash] is made of. The hash is the one of the certificate's signature, or
// SHA-256 in place of MD5 and SHA-1; the error is for signatures for which none is defined
// (RFC 5929, 4.1), such as Ed25519.
func EndPoint(leaf *x509.Certificate) ([]byte, error) {
	var hash crypto.Hash
	switch leaf.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1,
		x509.SHA256WithRSA, x509.SHA256WithRSAPSS, x509.DSAWithSHA256, x509.ECDSAWithSHA256:
		hash = crypto.SHA256
	case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
		hash = crypto.SHA384
	case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512:
		hash = crypto.SHA512
	default:
		return nil, fmt.Errorf("no channel binding is defined for a certificate signed with %s", leaf.SignatureAlgorithm)
	}
	h := hash.New()
	_, _ = h.Write(leaf.Raw)
	return h.Sum([]byte("tls-server-end-point:")), nil
}
