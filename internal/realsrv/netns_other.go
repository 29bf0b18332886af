//go:build !linux

package realsrv

import (
	"context"
	"errors"
	"net"
	"testing"
)

var errLinux = errors.New("realsrv: real daemons run on Linux only")

// Netns is a network namespace, which only Linux has.
type Netns struct{}

// NewNetns skips: it needs "netns".
func NewNetns(tb testing.TB) *Netns {
	tb.Helper()
	Need(tb, "netns")
	return nil
}

// DialContext always fails.
func (ns *Netns) DialContext(context.Context, string, string) (net.Conn, error) {
	return nil, errLinux
}

// Forward skips.
func (ns *Netns) Forward(tb testing.TB, _ string) string {
	tb.Helper()
	settle(tb, "netns", errLinux)
	return ""
}

func probeNetns() error { return errLinux }
