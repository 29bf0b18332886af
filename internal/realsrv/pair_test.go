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

// TestPairDatagrams tells an answer, a refusal and silence apart, which is what proofs rest on.
func TestPairDatagrams(t *testing.T) {
	p := realsrv.NewPair(t)
	for version, address := range p.Addresses {
		at := netip.AddrPortFrom(address, 443)
		server, err := p.Host.ListenPacket("udp", at.String())
		require.NoError(t, err)
		for _, source := range p.Sources[version] {
			c, err := p.Client.DialUDP(source, at)
			require.NoError(t, err)
			_, err = c.Write([]byte("ask"))
			require.NoError(t, err)
			data := make([]byte, 8)
			n, from, err := server.ReadFrom(data)
			require.NoError(t, err)
			assert.Equal(t, "ask", string(data[:n]))
			assert.Equal(t, source, from.(*net.UDPAddr).AddrPort().Addr().Unmap())
			require.NoError(t, c.Close())
		}
		require.NoError(t, server.Close())
		c, err := p.Client.DialUDP(p.Sources[version][0], at)
		require.NoError(t, err)
		_, err = c.Write([]byte("ask"))
		require.NoError(t, err)
		_, err = c.Read(make([]byte, 8))
		require.ErrorContains(t, err, "connection refused")
		require.NoError(t, c.Close())
	}
}
