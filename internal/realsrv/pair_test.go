package realsrv_test

import (
	"context"
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec/internal/realsrv"
)

func TestPair(t *testing.T) {
	p := realsrv.NewPair(t)
	for version, address := range p.Addresses {
		l, err := p.Host.Listen("tcp", netip.AddrPortFrom(address, 443).String())
		require.NoError(t, err)
		for _, source := range p.Sources[version] {
			accepted := make(chan net.Conn, 1)
			go func() {
				c, _ := l.Accept()
				accepted <- c
			}()
			c, err := p.Client.From(source)(t.Context(), "tcp", l.Addr().String())
			require.NoError(t, err, source)
			server := <-accepted
			from := server.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
			assert.Equal(t, source, from)
			require.NoError(t, c.Close())
			require.NoError(t, server.Close())
		}
		require.NoError(t, l.Close())
		_, err = p.Client.From(p.Sources[version][0])(t.Context(), "tcp", netip.AddrPortFrom(address, 444).String())
		require.ErrorContains(t, err, "connection refused")
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := p.Client.From(p.Sources[0][0])(cancelled, "tcp", "192.0.2.99:1") // nobody has this address
	require.ErrorIs(t, err, context.Canceled)
}
