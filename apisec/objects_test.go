//go:build unix

package apisec_test

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/apisec"
	"github.com/connsec/connsec/internal/realsrv"
	"github.com/connsec/connsec/internal/ruletest"
)

// TestPipeAmongObjects does not let git near a pipe, at which it would wait, nor near links.
func TestPipeAmongObjects(t *testing.T) {
	for _, tt := range []struct {
		name  string
		plant func(t *testing.T, objects, blob string)
	}{
		{"pipe", func(t *testing.T, objects, blob string) {
			require.NoError(t, os.Remove(filepath.Join(objects, blob)))
			pipe(t, objects, blob)
		}},
		{"pipe in place of a folder", func(t *testing.T, objects, _ string) { pipe(t, objects, "01") }},
		{"pipe as index", func(t *testing.T, objects, _ string) { pipe(t, objects, "pack/pack-1.idx") }},
		{"link", func(t *testing.T, objects, blob string) {
			require.NoError(t, os.Rename(filepath.Join(objects, blob), filepath.Join(objects, "elsewhere")))
			require.NoError(t, os.Symlink("../elsewhere", filepath.Join(objects, blob)))
		}},
		{"linked folder", func(t *testing.T, objects, blob string) {
			two := filepath.Dir(filepath.Join(objects, blob))
			require.NoError(t, os.Rename(two, filepath.Join(objects, "elsewhere")))
			require.NoError(t, os.Symlink("elsewhere", two))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			r := newRepository(t, filepath.Join(dir, "a"))
			r.commit("x", "nothing", "one")
			blob := r.run("rev-parse", "HEAD:x")
			tt.plant(t, filepath.Join(r.dir, ".git/objects"), blob[:2]+"/"+blob[2:])
			e := onDisk(t, apisec.Finder{}, dir, nil)
			require.NotEmpty(t, e.Unread)
			assert.Equal(t, apisec.NoHistory, e.Unread[0].Reason)
			assert.Contains(t, e.Unread[0].Detail, "git is not let near it")
			ruletest.Expect(t, e.Judge(), connsec.Inconclusive, apisec.RuleExposed)
		})
	}
}

// TestAlternates follows what a repository borrows from only where that is among the files.
func TestAlternates(t *testing.T) {
	elsewhere := newRepository(t, filepath.Join(t.TempDir(), "private"))
	elsewhere.commit("x", "private "+planted, "one")
	private := filepath.Join(elsewhere.dir, ".git/objects")
	for _, tt := range []struct {
		name string
		text func(dir string) string
		hits int
		why  string // why it is not all there
	}{
		{"none", func(string) string { return "" }, 1, ""},
		{"outside", func(string) string { return private + "\n" }, 1, private},
		{"outside, relative", func(dir string) string {
			rel, err := filepath.Rel(filepath.Join(dir, "a/.git/objects"), private)
			require.NoError(t, err)
			return rel
		}, 1, "private"},
		{"outside, quoted", func(string) string { return `"` + private + `"` }, 1, private},
		{"outside, by a link", func(dir string) string {
			require.NoError(t, os.Symlink(private, filepath.Join(dir, "link")))
			return "../../../link\n"
		}, 1, "../../../link"},
		{"inside", func(dir string) string { return "# a comment\n\n" + filepath.Join(dir, "b/.git/objects") + "\n" }, 2, ""},
		{"inside, relative", func(string) string { return "../../../b/.git/objects" }, 2, ""},
		{"itself", func(string) string { return "." }, 1, ""},
		{"inside, which goes on outside", func(dir string) string {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "b/.git/objects/info/alternates"), []byte(private), 0o600))
			return "../../../b/.git/objects"
		}, 2, private},
		{"gone", func(string) string { return "/does/not/exist" }, 1, "/does/not/exist"},
		{"a pipe", func(dir string) string {
			pipe(t, dir, "a/.git/objects/info/alternates")
			return ""
		}, 1, "cannot be read"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			a, b := newRepository(t, filepath.Join(dir, "a")), newRepository(t, filepath.Join(dir, "b"))
			a.commit("x", "a "+planted, "one")
			b.commit("x", "b "+planted, "one")
			for _, r := range []*repository{a, b} {
				require.NoError(t, os.Remove(filepath.Join(r.dir, "x")))
			}
			if text := tt.text(dir); text != "" {
				require.NoError(t, os.WriteFile(filepath.Join(a.dir, ".git/objects/info/alternates"), []byte(text), 0o600))
			}
			e := onDisk(t, apisec.Finder{}, dir, nil)
			hits := 0
			for _, h := range e.Hits {
				assert.EqualValues(t, 2, h.Offset, "what is private begins otherwise")
				if h.Path == "a/.git" {
					hits++
				}
			}
			assert.Equal(t, tt.hits, hits)
			if tt.why == "" {
				assert.Empty(t, e.Unread)
				return
			}
			require.NotEmpty(t, e.Unread)
			for _, u := range e.Unread {
				assert.Equal(t, apisec.Elsewhere, u.Reason)
				assert.Contains(t, u.Detail, tt.why)
			}
		})
	}
}

// TestNothingRuns has a repository that wants programs to run and servers to be asked, which git
// does when it is let. Our git starts no program, and nobody calls.
func TestNothingRuns(t *testing.T) {
	git := realsrv.Need(t, "git")
	server, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer server.Close()
	called := make(chan struct{}, 100)
	go func() {
		for {
			c, err := server.Accept()
			if err != nil {
				close(called)
				return
			}
			c.Close()
			called <- struct{}{}
		}
	}()
	dir := t.TempDir()
	r := newRepository(t, filepath.Join(dir, "a"))
	r.commit("x", planted, "one")
	r.commit("y", "y", "two")
	gone := r.run("rev-parse", "HEAD:y")
	require.NoError(t, os.Remove(filepath.Join(r.dir, ".git/objects", gone[:2], gone[2:])))
	r.write(".git/objects/pack/pack-"+planted+".promisor", "")
	ran := filepath.Join(t.TempDir(), "ran")
	evil := filepath.Join(dir, "evil.sh")
	require.NoError(t, os.WriteFile(evil, []byte("#!/bin/sh\n: >"+ran+"\n"), 0o700))
	r.write(".gitattributes", "* diff=evil filter=evil\n")
	r.write(".git/config", `[core]
	repositoryformatversion = 1
	fsmonitor = `+evil+`
	hooksPath = `+dir+`
	alternateRefsCommand = `+evil+`
	gitProxy = `+evil+`
[extensions]
	partialClone = origin
[diff "evil"]
	textconv = `+evil+`
	command = `+evil+`
[filter "evil"]
	clean = `+evil+`
[credential]
	helper = `+evil+`
[remote "origin"]
	promisor = true
	url = http://`+server.Addr().String()+`/a.git
	uploadpack = `+evil+`
`)
	// It is as dangerous as it looks.
	cmd := r.command("status")
	_ = cmd.Run()
	assert.FileExists(t, ran)
	_ = os.Remove(ran)
	cmd = r.command("cat-file", "-p", gone)
	require.Error(t, cmd.Run())
	if _, err := os.Stat(filepath.Join(filepath.Dir(git), "../lib/git-core/git-remote-http")); err == nil {
		<-called
	}
	for len(called) > 0 {
		<-called
	}
	_ = os.Remove(ran)

	trace := filepath.Join(t.TempDir(), "trace")
	wrapped := filepath.Join(t.TempDir(), "git")
	require.NoError(t, os.WriteFile(wrapped, []byte("#!/bin/sh\nGIT_TRACE2_EVENT="+trace+" exec "+git+` "$@"`+"\n"), 0o700))
	e := onDisk(t, apisec.Finder{Git: wrapped}, dir, nil)
	assert.NotEmpty(t, e.Hits)
	require.NotEmpty(t, e.Unread, "an object is not there")
	log, err := os.ReadFile(trace)
	require.NoError(t, err)
	assert.Contains(t, string(log), `"event":"start"`)
	assert.Contains(t, string(log), `rev-list`)
	assert.NotContains(t, string(log), `"event":"child_start"`)
	assert.NotContains(t, string(log), `"event":"exec"`)
	assert.NoFileExists(t, ran)
	require.NoError(t, server.Close())
	for range called {
		t.Error("a server was asked")
	}
}
