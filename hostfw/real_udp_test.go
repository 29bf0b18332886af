package hostfw_test

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec/hostfw"
	"github.com/connsec/connsec/internal/realsrv"
)

// overUDP turns a rule set about ports of TCP into one about those of UDP.
var overUDP = strings.NewReplacer(" with tcp reset", "", " --reject-with tcp-reset", "", "tcp", "udp")

// TestRealUDP is TestRealFirewalls for datagrams: the rule sets whose words UDP has, too.
func TestRealUDP(t *testing.T) {
	t.Parallel()
	nft := realsrv.Need(t, "nft")
	for name, rules := range realRules {
		// Flags and states of a handshake are TCP's alone.
		if strings.Contains(rules, "flags syn") || strings.Contains(rules, "tcp flags") || strings.Contains(rules, "--syn") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rules := overUDP.Replace(rules)
			p := realsrv.NewPair(t)
			talkative(t, p)
			load(t, p, nft, rules)
			proveReal(t, p, export(t, p, nft, strings.Contains(rules, "iptables -")))
		})
	}
}

// echo answers every datagram to a port of the host until the test ends.
func echo(t *testing.T, p *realsrv.Pair, at netip.AddrPort) {
	t.Helper()
	c, err := p.Host.ListenPacket("udp", at.String())
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		data := make([]byte, 64)
		for {
			n, from, err := c.ReadFrom(data)
			if err != nil {
				return
			}
			_, _ = c.WriteTo(data[:n], from)
		}
	})
	t.Cleanup(func() {
		require.NoError(t, c.Close())
		wg.Wait()
	})
}

// datagrams is what becomes of a datagram to each port: an answer, an ICMP message that says no,
// or nothing. Each is sent again while nothing comes back, as a client would, and for longer where
// something is expected: a busy machine takes its time.
func datagrams(t *testing.T, p *realsrv.Pair, source, to netip.Addr, ports []uint16, expect func(port uint16) bool) map[uint16]hostfw.Action {
	t.Helper()
	out := make(map[uint16]hostfw.Action, len(ports))
	var lock sync.Mutex
	var wg sync.WaitGroup
	for _, port := range ports {
		wg.Go(func() {
			c, err := p.Client.DialUDP(source, netip.AddrPortFrom(to, port))
			if !assert.NoError(t, err) {
				return
			}
			defer c.Close()
			got, tries := hostfw.Drop, 3
			if expect(port) {
				tries = 20
			}
			for range tries {
				if got = datagram(t, c); got != hostfw.Drop {
					break
				}
			}
			lock.Lock()
			defer lock.Unlock()
			out[port] = got
		})
	}
	wg.Wait()
	return out
}

// datagram sends one and waits for what comes back.
func datagram(t *testing.T, c net.Conn) hostfw.Action {
	var timeout interface{ Timeout() bool }
	// A message about the one before may be waiting, which the write then tells.
	_, err := c.Write([]byte("echo"))
	if err == nil {
		assert.NoError(t, c.SetReadDeadline(time.Now().Add(500*time.Millisecond)))
		_, err = c.Read(make([]byte, 64))
	}
	switch {
	case err == nil:
		return hostfw.Accept
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EACCES), errors.Is(err, syscall.ENOPROTOOPT):
		return hostfw.Reject
	case errors.As(err, &timeout) && timeout.Timeout():
		return hostfw.Drop
	}
	assert.NoError(t, err, "what became of a datagram is not known")
	return hostfw.Unknown
}
