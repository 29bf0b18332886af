package realsrv

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// Netns is a network namespace of its own with nothing but a loopback interface: what runs in
// it reaches nobody, may bind any address and any port, and clashes with nobody. It has no
// name and vanishes with the test or with the process.
type Netns struct{ own *os.File }

// NewNetns makes a namespace for the duration of a test. It needs "netns".
func NewNetns(tb testing.TB) *Netns {
	tb.Helper()
	Need(tb, "netns")
	ns, err := makeNetns()
	if err != nil {
		tb.Fatalf("realsrv: network namespace: %v", err)
	}
	tb.Cleanup(func() { ns.own.Close() })
	return ns
}

// DialContext connects from inside the namespace, and fits the Dial fields of this project and
// of net/http. The address has to be numeric: a resolver would run outside.
func (ns *Netns) DialContext(ctx context.Context, network, address string) (conn net.Conn, err error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if net.ParseIP(host) == nil {
		return nil, fmt.Errorf("realsrv: cannot resolve %q inside a network namespace", host)
	}
	// A socket belongs to the namespace of the thread that made it, ever after.
	doErr := ns.do(func() { conn, err = new(net.Dialer).DialContext(ctx, network, address) })
	if doErr != nil {
		return nil, doErr
	}
	return conn, err
}

// Forward listens on a port of 127.0.0.1 and passes connections on to an address inside the
// namespace, so that programs outside can reach a daemon that insists on all addresses. It
// returns the address outside, and stops with the test.
func (ns *Netns) Forward(tb testing.TB, inside string) string {
	tb.Helper()
	l, err := net.Listen("tcp4", Loopback+":0")
	if err != nil {
		tb.Fatalf("realsrv: forward: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		for {
			outer, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { ns.pass(ctx, outer, inside) })
		}
	})
	tb.Cleanup(func() { cancel(); l.Close(); running.Wait() })
	return l.Addr().String()
}

// pass copies in both directions until both have ended or ctx has. A half-closed connection
// stays half-closed: some protocols end that way.
func (ns *Netns) pass(ctx context.Context, outer net.Conn, inside string) {
	defer outer.Close()
	inner, err := ns.DialContext(ctx, "tcp4", inside)
	if err != nil {
		return
	}
	defer inner.Close()
	stop := context.AfterFunc(ctx, func() { outer.Close(); inner.Close() })
	defer stop()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{outer, inner}, {inner, outer}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			_ = way[0].(*net.TCPConn).CloseWrite()
		})
	}
	both.Wait()
}

// do runs f on a thread inside the namespace. A process started there stays there. A nil
// namespace is the one of the process.
func (ns *Netns) do(f func()) error {
	if ns == nil {
		f()
		return nil
	}
	runtime.LockOSThread()
	home, err := threadNetns()
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer home.Close()
	if err := unix.Setns(int(ns.own.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter: %w", err)
	}
	f()
	if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
		// The thread stays locked, so that no other goroutine ends up in there.
		return fmt.Errorf("leave: %w", err)
	}
	runtime.UnlockOSThread()
	return nil
}

func threadNetns() (*os.File, error) {
	return os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
}

// makeNetns makes a namespace and sets its loopback interface up.
func makeNetns() (*Netns, error) {
	runtime.LockOSThread()
	home, err := threadNetns()
	if err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	defer home.Close()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	own, err := threadNetns()
	if err == nil {
		err = loopbackUp()
	}
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		return nil, back // with the thread locked, as in do
	}
	runtime.UnlockOSThread()
	if err != nil {
		if own != nil {
			own.Close()
		}
		return nil, err
	}
	return &Netns{own}, nil
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
}

// probeNetns tries once whether the machine lets this process make namespaces.
var probeNetns = sync.OnceValue(func() error {
	ns, err := makeNetns()
	if err != nil {
		return fmt.Errorf("network namespaces cannot be made: %w", err)
	}
	return ns.own.Close()
})
