package realsrv

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Cmd is a daemon to start. It has to stay in the foreground.
type Cmd struct {
	Path string   // from Need; inside Root if that is set
	Args []string // without the program's name
	// Dir is the working directory, inside Root if that is set. Default: the root directory.
	Dir string
	// Env replaces the environment, of which nothing is inherited. Default: PATH and LC_ALL.
	Env []string
	// Root is the directory to change root to, or "".
	Root string
	// Netns is the network namespace to run in. Default: the test's own.
	Netns *Netns

	// TCP and UDP are the addresses ("127.0.0.1:389") that it listens on once it is ready.
	TCP, UDP []string
	// Timeout bounds the wait for that. Default 30 s, which allows for a busy machine.
	Timeout time.Duration
	// ChangesUser is for daemons that give up root themselves: the kernel then forgets to end
	// them with the test process, and a watcher does it instead.
	ChangesUser bool
	// Secrets are taken out of the log before it is shown.
	Secrets []string
}

// Process is a running daemon.
type Process struct {
	cmd     *exec.Cmd
	log     *os.File
	secrets []string
	watcher *watcher // nil without Cmd.ChangesUser
	stopped bool
	quiet   bool // leave the log out of the test's
}

// PID returns the process id of the daemon, which leads its own process group.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Log returns what the daemon wrote to standard output and error, without Cmd.Secrets, and of
// a long log the last 64 KiB.
func (p *Process) Log() string {
	const most = 64 << 10
	data, err := os.ReadFile(p.log.Name())
	if err != nil {
		return ""
	}
	// The secrets go first: a cut could leave the tail of one.
	for _, s := range p.secrets {
		if s != "" {
			data = bytes.ReplaceAll(data, []byte(s), []byte("REDACTED"))
		}
	}
	return string(data[max(0, len(data)-most):])
}

// environment is what programs get: the machine's settings must not change a test.
func environment(extra ...string) []string {
	return append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "HOME=/nonexistent"}, extra...)
}

// Dir makes a directory for a daemon, removed at the end of the test. Its path is short, since
// the daemons' sockets may not have more than 107 bytes. Inside a root it is made there, and
// within returns a path as the daemon sees it.
type Dir struct{ outside, root string }

// NewDir makes the directory, below root's /connsec if root is not "". Daemons that give up
// root may pass through it.
func NewDir(tb testing.TB, root string) Dir {
	tb.Helper()
	parent := ""
	if root != "" {
		parent = filepath.Join(root, "connsec")
	}
	path, err := os.MkdirTemp(parent, "connsec-")
	if err != nil {
		tb.Fatalf("realsrv: %v", err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(path); err != nil {
			tb.Errorf("realsrv: %v", err)
		}
	})
	if err := os.Chmod(path, 0o755); err != nil {
		tb.Fatalf("realsrv: %v", err)
	}
	return Dir{path, root}
}

// Path returns where something in the directory is for the test.
func (d Dir) Path(elem ...string) string {
	return filepath.Join(append([]string{d.outside}, elem...)...)
}

// Inside returns where the same is for the daemon.
func (d Dir) Inside(elem ...string) string {
	return filepath.Join("/", strings.TrimPrefix(d.Path(elem...), d.root))
}

// mkdir makes directories.
func (d Dir) mkdir(tb testing.TB, mode os.FileMode, names ...string) {
	tb.Helper()
	for _, name := range names {
		err := os.MkdirAll(d.Path(name), 0o755)
		if err == nil {
			err = os.Chmod(d.Path(name), mode)
		}
		if err != nil {
			tb.Fatalf("realsrv: %v", err)
		}
	}
}

// write writes a file and returns its path for the daemon.
func (d Dir) write(tb testing.TB, name string, mode os.FileMode, data []byte) string {
	tb.Helper()
	path := d.Path(name)
	err := os.WriteFile(path, data, mode)
	if err == nil {
		err = os.Chmod(path, mode) // whatever the umask
	}
	if err != nil {
		tb.Fatalf("realsrv: %v", err)
	}
	return d.Inside(name)
}

// Material is what a daemon needs for TLS, as paths of PEM files: its chain with the leaf
// first, its key, and the authorities it trusts. testca.Files converts to it.
type Material struct{ Chain, Key, CA string }

// install copies the files into the daemon's directory, under a name of their own, and
// returns their paths there.
func (m Material) install(tb testing.TB, d Dir, name string) Material {
	tb.Helper()
	copied := func(from, suffix string, mode os.FileMode) string {
		if from == "" {
			return ""
		}
		data, err := os.ReadFile(from)
		if err != nil {
			tb.Fatalf("realsrv: TLS material: %v", err)
		}
		return d.write(tb, name+suffix, mode, data)
	}
	if m.Chain == "" || m.Key == "" {
		tb.Fatalf("realsrv: TLS material: a chain and a key are needed")
	}
	return Material{copied(m.Chain, ".pem", 0o644), copied(m.Key, ".key", 0o600), copied(m.CA, "-ca.pem", 0o644)}
}
