package ldapsec

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"

	"github.com/connsec/connsec/tlscheck"
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

// fails is a dialer that fails in turn.
type fails []error

func (f *fails) DialContext(context.Context, string, string) (net.Conn, error) {
	err := (*f)[0]
	*f = (*f)[1:]
	return nil, err
}

func TestAPortIsClosedOnlyIfEveryAddressRefuses(t *testing.T) {
	refused := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	slow := &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}
	for _, tc := range []struct {
		errs []error
		want tlscheck.ProblemKind
	}{
		{[]error{refused, refused}, tlscheck.Refused},
		{[]error{refused, slow}, tlscheck.Timeout},
		{[]error{slow, refused}, tlscheck.Timeout},
		{[]error{refused, errors.New("no route")}, tlscheck.Other},
	} {
		f := fails(tc.errs)
		_, err := Config{Dialer: &f}.dialAny(t.Context(), make([]netip.AddrPort, len(tc.errs)))
		assert.Equal(t, tc.want, tlscheck.ProblemOf(err).Kind, "%v", tc.errs)
	}
}
