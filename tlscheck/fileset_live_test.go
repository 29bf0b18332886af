package tlscheck_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/internal/testca"
	"github.com/connsec/connsec/tlscheck"
)

// servePlainly presents the certificate on a loopback address until the test ends.
func servePlainly(t *testing.T, c *testca.Certificate) netip.AddrPort {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{c.TLS()}})
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.(*tls.Conn).HandshakeContext(context.Background())
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().(*net.TCPAddr).AddrPort()
}

type fixedResolver []netip.Addr

func (r fixedResolver) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return r, nil
}

func TestServedLeaf(t *testing.T) {
	ca := filesCA(t)
	good := ca.MustIssue(t, testca.Leaf{Names: []string{serverName}})
	other := ca.MustIssue(t, testca.Leaf{Names: []string{serverName}})
	addr := servePlainly(t, good)
	e := tlscheck.Endpoint{Host: serverName, Port: addr.Port(), Roots: x509.NewCertPool(), Resolver: fixedResolver{addr.Addr()}}

	leaf, err := e.Leaf(t.Context())
	require.NoError(t, err)
	assert.True(t, leaf.Equal(good.Leaf))

	set := writeSet(t, ca, good)
	set.Live = e.Leaf
	ruletest.Expect(t, probeSet(t, set), connsec.Pass, tlscheck.RuleFilesNotServed)
	set = writeSet(t, ca, other)
	set.Live = e.Leaf
	ruletest.Expect(t, probeSet(t, set), connsec.Fail, tlscheck.RuleFilesNotServed)

	// Nobody there.
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	e.Port, e.Resolver = closed.Addr().(*net.TCPAddr).AddrPort().Port(), fixedResolver{addr.Addr()}
	require.NoError(t, closed.Close())
	_, err = e.Leaf(t.Context())
	require.ErrorContains(t, err, "connection refused")
	set.Live = e.Leaf
	ruletest.Expect(t, probeSet(t, set), connsec.Inconclusive, tlscheck.RuleFilesNotServed)

	// Nothing said before the deadline.
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	e.Port = silent.Addr().(*net.TCPAddr).AddrPort().Port()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = e.Leaf(ctx)
	require.ErrorContains(t, err, "no answer in time")
}
