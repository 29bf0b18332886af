//go:build unix

package apisec_test

import (
	"context"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/apisec"
	"github.com/connsec/connsec/internal/ruletest"
)

// onDisk looks through a folder, and fails rather than to hang where something is waited for.
func onDisk(t *testing.T, f apisec.Finder, dir string, around func(fs.FS) fs.FS) apisec.Exposure {
	t.Helper()
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	t.Cleanup(func() { root.Close() })
	f.FS, f.Dir, f.Secrets = apisec.Folder(root), dir, central
	if around != nil {
		f.FS = around(f.FS)
	}
	type result struct {
		e   apisec.Exposure
		err error
	}
	done := make(chan result, 1)
	go func() {
		e, err := f.Find(t.Context())
		done <- result{e, err}
	}()
	select {
	case r := <-done:
		require.NoError(t, r.err)
		return r.e
	case <-time.After(time.Minute):
		t.Fatal("it waits for something")
		return apisec.Exposure{}
	}
}

func pipe(t *testing.T, path ...string) {
	t.Helper()
	name := filepath.Join(path...)
	require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o700))
	require.NoError(t, syscall.Mkfifo(name, 0o600))
}

// TestPipesAmongFiles has pipes and a socket among the files, and where a repository has small files.
func TestPipesAmongFiles(t *testing.T) {
	dir := t.TempDir()
	pipe(t, dir, "pipe")
	socket, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "socket")})
	require.NoError(t, err)
	defer socket.Close()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), []byte(planted), 0o600))
	e := onDisk(t, apisec.Finder{}, dir, nil)
	assert.Len(t, e.Hits, 1)
	assert.Empty(t, e.Unread)
	assert.Equal(t, 2, e.Special)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), []byte("x"), 0o600))
	r := onDisk(t, apisec.Finder{}, dir, nil).Judge()
	ruletest.Expect(t, r, connsec.Pass, apisec.RuleExposed)
	assert.Contains(t, r.Findings[0].Detail, "2 pipes, sockets and devices were not read")

	for _, name := range []string{".git", "a.git/config", "a.git/shallow", "a.git/HEAD"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, sub := range []string{"refs", "objects/pack", "objects/info"} {
				require.NoError(t, os.MkdirAll(filepath.Join(dir, "a.git", sub), 0o700))
			}
			if name != "a.git/HEAD" {
				require.NoError(t, os.WriteFile(filepath.Join(dir, "a.git/HEAD"), []byte("ref: refs/heads/main\n"), 0o600))
			}
			pipe(t, dir, name)
			e := onDisk(t, apisec.Finder{}, dir, nil)
			assert.NotZero(t, e.Special)
		})
	}
}

// swapping does something to a file just before it is opened.
type swapping struct {
	fs.FS
	name string
	swap func()
}

func (s swapping) Open(name string) (fs.File, error) {
	if name == s.name {
		s.swap()
	}
	return s.FS.Open(name)
}

// TestSwapped has something else put in place of a file between listing and opening.
func TestSwapped(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	require.NoError(t, os.WriteFile(outside, []byte(planted), 0o600))
	for name, put := range map[string]func(t *testing.T, path string){
		"pipe": func(t *testing.T, path string) { pipe(t, path) },
		"socket": func(t *testing.T, path string) {
			socket, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
			require.NoError(t, err)
			t.Cleanup(func() { socket.Close() })
		},
		"folder":  func(t *testing.T, path string) { require.NoError(t, os.Mkdir(path, 0o700)) },
		"link":    func(t *testing.T, path string) { require.NoError(t, os.Symlink(outside, path)) },
		"nothing": func(*testing.T, string) {},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			victim := filepath.Join(dir, "victim")
			require.NoError(t, os.WriteFile(victim, []byte("x"), 0o600))
			e := onDisk(t, apisec.Finder{}, dir, func(files fs.FS) fs.FS {
				return swapping{files, "victim", func() {
					require.NoError(t, os.Remove(victim))
					put(t, victim)
				}}
			})
			assert.Empty(t, e.Hits)
			require.Len(t, e.Unread, 1)
			assert.Equal(t, apisec.Unreadable, e.Unread[0].Reason)
			ruletest.Expect(t, e.Judge(), connsec.Inconclusive, apisec.RuleExposed)
		})
	}
}

// waiting is a regular file that has nothing to say for as long as its pipe is open.
type waiting struct {
	*os.File
	begun func()
}

func (w waiting) Stat() (fs.FileInfo, error) {
	return fs.Stat(fstest.MapFS{"waits": {Data: []byte("x")}}, "waits")
}

func (w waiting) Read(p []byte) (int, error) {
	w.begun()
	return w.File.Read(p)
}

type withWaiting struct {
	fstest.MapFS
	file waiting
}

func (w withWaiting) Open(name string) (fs.File, error) {
	if name == "waits" {
		return w.file, nil
	}
	return w.MapFS.Open(name)
}

// TestFileThatWaits is called regular and waits, as some do that Linux makes up in /proc.
func TestFileThatWaits(t *testing.T) {
	out, in, err := os.Pipe()
	require.NoError(t, err)
	defer in.Close()
	ctx, cancel := context.WithCancel(t.Context())
	files := withWaiting{fstest.MapFS{"waits": file("x")}, waiting{out, cancel}}
	_, err = apisec.Finder{FS: files, Secrets: central}.Find(ctx)
	require.ErrorIs(t, err, context.Canceled)
}
