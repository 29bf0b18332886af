package realsrv

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Pair is two network namespaces with a cable between them: a host, and a client that reaches it
// from outside. Both ends of the cable are called eth0. The client has two addresses of each IP
// version, in networks of their own, so that a rule can tell them apart.
type Pair struct {
	Host, Client *Netns
	// Addresses are the host's, IPv4 first.
	Addresses []netip.Addr
	// Sources are the client's, by the IP version as the host's.
	Sources [][]netip.Addr
}

// NewPair makes the namespaces for the duration of a test. It needs "netns", "root" and "ip".
func NewPair(tb testing.TB) *Pair {
	tb.Helper()
	Need(tb, "root")
	ip := Need(tb, "ip")
	p := &Pair{
		Host: NewNetns(tb), Client: NewNetns(tb),
		Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("2001:db8::10")},
		Sources: [][]netip.Addr{
			{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.1")},
			{netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8:1::1")},
		},
	}
	run := func(ns *Netns, args ...string) {
		tb.Helper()
		if out, err := Run(tb, Cmd{Path: ip, Args: args, Netns: ns}); err != nil {
			tb.Fatalf("realsrv: ip %v: %v\n%s", args, err, out)
		}
	}
	client := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), p.Client.own.Fd())
	const hostLink, clientLink = "02:00:00:00:00:0a", "02:00:00:00:00:01"
	run(p.Host, "link", "add", "eth0", "address", hostLink, "type", "veth", "peer", "name", "eth0", "address", clientLink, "netns", client)
	for version, bits := range []int{24, 64} {
		at := func(ns *Netns, a netip.Addr) {
			args := []string{"address", "add", a.String() + "/" + strconv.Itoa(bits), "dev", "eth0"}
			if a.Is6() {
				args = append(args, "nodad") // no wait until the address may be used
			}
			run(ns, args...)
		}
		at(p.Host, p.Addresses[version])
		for _, a := range p.Sources[version] {
			at(p.Client, a)
		}
	}
	run(p.Host, "link", "set", "eth0", "up")
	run(p.Client, "link", "set", "eth0", "up")
	for version := range p.Addresses {
		far := p.Sources[version][1]
		run(p.Host, "route", "add", netip.PrefixFrom(far, far.BitLen()).String(), "dev", "eth0")
		// Nobody has to ask for a link address, so that no first packet waits, nor needs a rule.
		run(p.Client, "neighbour", "add", p.Addresses[version].String(), "lladdr", hostLink, "dev", "eth0", "nud", "permanent")
		for _, a := range p.Sources[version] {
			run(p.Host, "neighbour", "add", a.String(), "lladdr", clientLink, "dev", "eth0", "nud", "permanent")
		}
	}
	p.meet(tb)
	return p
}

// meet makes sure that the two reach each other before rules can be to blame.
func (p *Pair) meet(tb testing.TB) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var all sync.WaitGroup
	for version, to := range p.Addresses {
		for _, from := range p.Sources[version] {
			all.Go(func() {
				if _, err := p.Client.From(from)(ctx, "tcp", netip.AddrPortFrom(to, 1).String()); !errors.Is(err, unix.ECONNREFUSED) {
					tb.Errorf("realsrv: %s does not reach %s: %v", from, to, err)
				}
			})
		}
	}
	all.Wait()
}

// Listen listens inside the namespace, on a numeric address.
func (ns *Netns) Listen(network, address string) (l net.Listener, err error) {
	if doErr := ns.do(func() { l, err = net.Listen(network, address) }); doErr != nil {
		return nil, doErr
	}
	return l, err
}

// ListenPacket listens for datagrams inside the namespace, on a numeric address.
func (ns *Netns) ListenPacket(network, address string) (c net.PacketConn, err error) {
	if doErr := ns.do(func() { c, err = net.ListenPacket(network, address) }); doErr != nil {
		return nil, doErr
	}
	return c, err
}

// DialUDP is a UDP socket from one of the namespace's addresses to another's. A read from it
// fails with whatever ICMP says about what it sent, which a plain socket hears only in part.
func (ns *Netns) DialUDP(from netip.Addr, to netip.AddrPort) (*net.UDPConn, error) {
	var c *net.UDPConn
	var err error
	doErr := ns.do(func() {
		c, err = net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), net.UDPAddrFromAddrPort(to))
	})
	if err = errors.Join(doErr, err); err != nil {
		return nil, err
	}
	level, option := unix.IPPROTO_IP, unix.IP_RECVERR
	if to.Addr().Is6() {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_RECVERR
	}
	raw, err := c.SyscallConn()
	if err == nil {
		var optionErr error
		err = errors.Join(raw.Control(func(fd uintptr) { optionErr = unix.SetsockoptInt(int(fd), level, option, 1) }), optionErr)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// From returns a function like DialContext that connects over TCP from one of the namespace's
// addresses. Unlike DialContext it keeps no thread while it waits, so that many can wait at once.
func (ns *Netns) From(source netip.Addr) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, _, address string) (net.Conn, error) {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return nil, err
		}
		fd, family := -1, unix.AF_INET
		if to.Addr().Is6() {
			family = unix.AF_INET6
		}
		doErr := ns.do(func() {
			fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		})
		switch {
		case doErr != nil:
			return nil, doErr
		case err != nil:
			return nil, err
		}
		f := os.NewFile(uintptr(fd), "socket")
		defer f.Close()
		if err := connect(ctx, f, fd, netip.AddrPortFrom(source, 0), to); err != nil {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: err}
		}
		return net.FileConn(f)
	}
}

// connect connects a socket and waits for the answer, or for the end of ctx.
func connect(ctx context.Context, f *os.File, fd int, from, to netip.AddrPort) error {
	if err := unix.Bind(fd, sockaddr(from)); err != nil {
		return os.NewSyscallError("bind", err)
	}
	// A deadline in the past ends the wait.
	defer context.AfterFunc(ctx, func() { _ = f.SetWriteDeadline(time.Unix(1, 0)) })()
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	begun := false
	answered := func(fd uintptr) bool {
		if !begun {
			// In here, so that an answer that comes at once is not missed.
			begun = true
			failed = os.NewSyscallError("connect", unix.Connect(int(fd), sockaddr(to)))
			return !errors.Is(failed, unix.EINPROGRESS)
		}
		failed = nil
		code, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && code != 0 {
			err = unix.Errno(code)
		}
		if err != nil {
			failed = os.NewSyscallError("connect", err)
			return true
		}
		_, err = unix.Getpeername(int(fd))
		return err == nil
	}
	if err = raw.Write(answered); err == nil {
		return failed
	}
	// On a busy machine the answer may have come in time, and nobody looked.
	late := false
	if controlErr := raw.Control(func(fd uintptr) { late = begun && answered(fd) }); controlErr == nil && late {
		return failed
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}
