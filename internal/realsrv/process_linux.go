package realsrv

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	poll           = 5 * time.Millisecond
	stopGrace      = 3 * time.Second // from SIGTERM to SIGKILL
	defaultTimeout = 30 * time.Second
)

// Start runs a daemon, waits until it listens on all of TCP and UDP, and stops it at the end of
// the test. If it does not come up, or if the test fails, its log goes into the test's.
func Start(tb testing.TB, c Cmd) *Process {
	tb.Helper()
	log, err := os.CreateTemp("", "connsec-log-")
	if err != nil {
		tb.Fatalf("realsrv: %v", err)
	}
	name := filepath.Base(c.Path)
	cmd := exec.Command(c.Path, c.Args...)
	cmd.Dir = c.Dir
	if cmd.Dir == "" {
		cmd.Dir = "/"
	}
	cmd.Env = c.Env
	if cmd.Env == nil {
		cmd.Env = environment()
	}
	// A file, not a pipe: no goroutine has to copy, and children may outlive their parent.
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Chroot: c.Root,
		Setsid: true, // and so leads a process group; Postfix's master insists on a session
		// Strictly, when the thread ends that started it; but Go's threads stay, unless a
		// goroutine locks one and ends without unlocking it.
		Pdeathsig: syscall.SIGTERM,
	}
	p := &Process{cmd: cmd, log: log, secrets: c.Secrets}
	doErr := c.Netns.do(func() { err = cmd.Start() })
	if err = errors.Join(doErr, err); err != nil {
		log.Close()
		os.Remove(log.Name())
		tb.Fatalf("realsrv: start %s: %v", name, err)
	}
	if c.ChangesUser {
		if p.watcher, err = watch(p.PID()); err != nil {
			tb.Errorf("realsrv: watch %s: %v", name, err)
		}
	}
	tb.Cleanup(func() {
		p.Stop()
		if tb.Failed() && !p.quiet {
			tb.Logf("realsrv: log of %s:\n%s", name, p.Log())
		}
		log.Close()
		os.Remove(log.Name())
	})

	if len(c.TCP) == 0 && len(c.UDP) == 0 {
		return p
	}
	timeout := c.Timeout
	if timeout == 0 {
		timeout = defaultTimeout
	}
	ctx, cancel := context.WithTimeout(tb.Context(), timeout)
	defer cancel()
	if err := p.await(ctx, c.TCP, c.UDP); err != nil {
		tb.Fatalf("realsrv: %s: %v", name, err)
	}
	return p
}

// await returns when the daemon listens on all addresses. It reads the kernel's tables, of the
// daemon's own namespace, and so costs the daemon no connection.
func (p *Process) await(ctx context.Context, tcp, udp []string) error {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		if p.exited() {
			return errors.New("it ended before it listened")
		}
		missing, err := p.missing(tcp, udp)
		if err != nil {
			return err
		}
		if missing == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it does not listen on %s: %w", missing, ctx.Err())
		case <-tick.C:
		}
	}
}

// missing returns the first address that nobody listens on, or "".
func (p *Process) missing(tcp, udp []string) (string, error) {
	const listening, unconnected = "0A", "07" // include/net/tcp_states.h; UDP reuses TCP_CLOSE
	for _, want := range []struct {
		table, state string
		addresses    []string
	}{{"tcp", listening, tcp}, {"udp", unconnected, udp}} {
		if len(want.addresses) == 0 {
			continue
		}
		// A daemon on all addresses may have one IPv6 socket for both families.
		var bound []netip.AddrPort
		for _, table := range []string{want.table, want.table + "6"} {
			data, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", p.PID(), table))
			if err != nil && !(table != want.table && errors.Is(err, os.ErrNotExist)) {
				return "", fmt.Errorf("read what it listens on: %w", err)
			}
			bound = append(bound, sockets(string(data), want.state)...)
		}
		for _, address := range want.addresses {
			ap, err := netip.ParseAddrPort(address)
			if err != nil {
				return "", err
			}
			if !slices.ContainsFunc(bound, func(b netip.AddrPort) bool {
				return b.Port() == ap.Port() && (b.Addr() == ap.Addr() || b.Addr().IsUnspecified())
			}) {
				return want.table + " " + address, nil
			}
		}
	}
	return "", nil
}

// sockets reads a table of proc_net_tcp(5): the local addresses of sockets in a state.
func sockets(table, state string) []netip.AddrPort {
	var out []netip.AddrPort
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 4 || fields[3] != state {
			continue
		}
		host, port, ok := strings.Cut(fields[1], ":")
		raw, err := hex.DecodeString(host)
		if !ok || err != nil || len(raw)%4 != 0 {
			continue
		}
		// Each 32-bit word is printed as a number of this machine, and all that Go and this
		// project's tests run on with real daemons are little-endian.
		for i := 0; i < len(raw); i += 4 {
			slices.Reverse(raw[i : i+4])
		}
		addr, ok := netip.AddrFromSlice(raw)
		var number uint16
		if _, err := fmt.Sscanf(port, "%X", &number); !ok || err != nil {
			continue
		}
		out = append(out, netip.AddrPortFrom(addr.Unmap(), number))
	}
	return out
}

// exited reports whether the daemon ended. It does not reap it, so that its id, and with it
// the process group's, cannot pass to another process before Stop.
func (p *Process) exited() bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, p.PID(), &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	return err != nil || info.Signo != 0
}

// Stop ends the daemon and what it started, and returns when it is gone. Stopping twice is
// fine.
func (p *Process) Stop() {
	if p.stopped {
		return
	}
	p.stopped = true
	p.watcher.dismiss()
	pid := p.PID()
	// The daemon itself first: it knows best how to end its children.
	_ = unix.Kill(pid, unix.SIGTERM)
	deadline := time.Now().Add(stopGrace)
	for !p.exited() && time.Now().Before(deadline) {
		time.Sleep(poll)
	}
	_ = unix.Kill(-pid, unix.SIGKILL)
	_ = p.cmd.Wait() // how it ended is in its log
}

// watcher is a process that ends a daemon's group when the test process is gone.
type watcher struct {
	cmd   *exec.Cmd
	alive *os.File // the only writing end of its standard input
}

// watch starts a watcher. It reads from a pipe on which nothing is ever written, so that the
// read ends when this process does, however that happens.
func watch(pid int) (*watcher, error) {
	in, alive, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	cmd := exec.Command("/bin/sh", "-c", fmt.Sprintf("read nothing; kill -TERM -%d", pid))
	cmd.Stdin, cmd.Env = in, environment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		alive.Close()
		return nil, err
	}
	return &watcher{cmd, alive}, nil
}

// dismiss ends the watcher, and has to come before the daemon's end: the pipe's would make it
// act on a process id that may by then be another one's.
func (w *watcher) dismiss() {
	if w == nil {
		return
	}
	_ = w.cmd.Process.Kill()
	_ = w.cmd.Wait()
	w.alive.Close()
}

// Run runs a program to its end, as Start does a daemon, and returns what it wrote to standard
// output and error together, without Secrets. Its error is the exit status or the end of the
// Timeout; the fields TCP and UDP mean nothing here.
func Run(tb testing.TB, c Cmd) (string, error) {
	tb.Helper()
	c.TCP, c.UDP = nil, nil
	p := Start(tb, c)
	p.quiet = true // its caller has the output
	timeout := c.Timeout
	if timeout == 0 {
		timeout = defaultTimeout
	}
	deadline := time.Now().Add(timeout)
	for !p.exited() {
		if time.Now().After(deadline) {
			p.Stop()
			return p.Log(), fmt.Errorf("realsrv: %s did not end within %v", filepath.Base(c.Path), timeout)
		}
		time.Sleep(poll)
	}
	p.stopped = true
	_ = unix.Kill(-p.PID(), unix.SIGKILL) // what it left running
	err := p.cmd.Wait()
	return p.Log(), err
}
