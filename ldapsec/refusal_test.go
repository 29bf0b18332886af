package ldapsec

import (
	"crypto/tls"
	"crypto/x509"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNegotiatorWantsAVerifiedServer(t *testing.T) {
	leaf := &x509.Certificate{Raw: []byte("leaf"), SignatureAlgorithm: x509.SHA256WithRSA}
	_, err := NewNegotiator(tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}})
	require.ErrorContains(t, err, "not verified")
	_, err = NewNegotiator(tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}, VerifiedChains: [][]*x509.Certificate{{leaf}}})
	require.NoError(t, err)
}

func TestNTLMIsNeverANullSession(t *testing.T) {
	for _, c := range []Config{{BindDN: "svc"}, {Password: secret("pw")}} {
		_, err := c.bindAsUser(nil, tls.ConnectionState{})
		assert.ErrorContains(t, err, "null session")
	}
}
