package realsrv

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// Loopback is the address that daemons listen on unless their ports are fixed.
const Loopback = "127.0.0.1"

// FreePort returns a port of 127.0.0.1 on which nobody listens, neither with TCP nor with UDP,
// and keeps it from other users of this package on the machine until the test ends. It lies
// below the range that outgoing connections take theirs from.
func FreePort(tb testing.TB) int {
	tb.Helper()
	for range 1000 {
		port := 10000 + rand.IntN(20000)
		if !reserve(tb, "port-"+strconv.Itoa(port)) {
			continue
		}
		if portFree(port) {
			return port
		}
	}
	tb.Fatalf("realsrv: no free port on %s", Loopback)
	return 0
}

// freeAddress returns an address of 127.0.0.0/8 for daemons whose ports are fixed, reserved
// like a port.
func freeAddress(tb testing.TB) string {
	tb.Helper()
	for range 1000 {
		address := fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(250), rand.IntN(256), 1+rand.IntN(254))
		if reserve(tb, "address-"+address) {
			return address
		}
	}
	tb.Fatalf("realsrv: no free loopback address")
	return ""
}

// reserve takes a name on this machine. The name is an abstract Unix socket: it needs no file,
// and the kernel gives it back when the process ends, however it ends.
func reserve(tb testing.TB, name string) bool {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: "@connsec-realsrv-" + name, Net: "unix"})
	if err != nil {
		return false
	}
	tb.Cleanup(func() { l.Close() })
	return true
}

func portFree(port int) bool {
	address := net.JoinHostPort(Loopback, strconv.Itoa(port))
	l, err := net.Listen("tcp4", address)
	if err != nil {
		return false
	}
	l.Close()
	c, err := net.ListenPacket("udp4", address)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// at joins 127.0.0.1 and a port.
func at(port int) string { return net.JoinHostPort(Loopback, strconv.Itoa(port)) }

// port returns the port of an address that this package made.
func port(tb testing.TB, address string) string {
	tb.Helper()
	_, p, err := net.SplitHostPort(address)
	if err != nil {
		tb.Fatalf("realsrv: %v", err)
	}
	return p
}
