//go:build !linux

package realsrv

import (
	"context"
	"net"
	"net/netip"
	"testing"
)

// Pair is two network namespaces with a cable between them, which only Linux has.
type Pair struct {
	Host, Client *Netns
	Addresses    []netip.Addr
	Sources      [][]netip.Addr
}

// NewPair skips: it needs "netns".
func NewPair(tb testing.TB) *Pair {
	tb.Helper()
	Need(tb, "netns")
	return nil
}

// Listen always fails.
func (ns *Netns) Listen(string, string) (net.Listener, error) { return nil, errLinux }

// ListenPacket always fails.
func (ns *Netns) ListenPacket(string, string) (net.PacketConn, error) { return nil, errLinux }

// DialUDP always fails.
func (ns *Netns) DialUDP(netip.Addr, netip.AddrPort) (*net.UDPConn, error) { return nil, errLinux }

// From returns a function that always fails.
func (ns *Netns) From(netip.Addr) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) { return nil, errLinux }
}
