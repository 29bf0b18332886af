package ntlm

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// RFC 5929, 4.1: the hash of the signature, and SHA-256 for the broken ones.
func TestEndPointHash(t *testing.T) {
	raw := []byte("certificate")
	h256, h384, h512 := sha256.Sum256(raw), sha512.Sum384(raw), sha512.Sum512(raw)
	for algorithm, want := range map[x509.SignatureAlgorithm][]byte{
		x509.MD5WithRSA: h256[:], x509.SHA1WithRSA: h256[:], x509.ECDSAWithSHA1: h256[:],
		x509.SHA256WithRSA: h256[:], x509.SHA256WithRSAPSS: h256[:], x509.ECDSAWithSHA256: h256[:],
		x509.SHA384WithRSA: h384[:], x509.SHA384WithRSAPSS: h384[:], x509.ECDSAWithSHA384: h384[:],
		x509.SHA512WithRSA: h512[:], x509.SHA512WithRSAPSS: h512[:], x509.ECDSAWithSHA512: h512[:],
	} {
		got, err := EndPoint(&x509.Certificate{Raw: raw, SignatureAlgorithm: algorithm})
		require.NoError(t, err)
		assert.Equal(t, append([]byte("tls-server-end-point:"), want...), got, algorithm)
	}
	_, err := EndPoint(&x509.Certificate{Raw: raw, SignatureAlgorithm: x509.PureEd25519})
	assert.Error(t, err)
}
