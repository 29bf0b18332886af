package apisec_test

import (
	"encoding/base64"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/apisec"
	"github.com/connsec/connsec/internal/realsrv"
	"github.com/connsec/connsec/internal/ruletest"
)

// repository is a git repository that the real git makes.
type repository struct {
	t    *testing.T
	git  string
	dir  string
	date int
}

func newRepository(t *testing.T, dir string, args ...string) *repository {
	r := &repository{t: t, git: realsrv.Need(t, "git"), dir: dir}
	require.NoError(t, os.MkdirAll(dir, 0o700))
	r.run(append([]string{"init", "-q", "-b", "main"}, args...)...)
	return r
}

func (r *repository) run(args ...string) string {
	r.t.Helper()
	out, err := r.command(args...).CombinedOutput()
	require.NoError(r.t, err, "git %v: %s", args, out)
	return strings.TrimSpace(string(out))
}

func (r *repository) command(args ...string) *exec.Cmd {
	cmd := exec.Command(r.git, args...)
	cmd.Dir = r.dir
	r.date++
	date := fmt.Sprintf("2026-01-01T00:%02d:%02dZ", r.date/60, r.date%60)
	cmd.Env = []string{
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "HOME=" + r.dir, "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com",
		"GIT_AUTHOR_DATE=" + date, "GIT_COMMITTER_DATE=" + date, "PATH=" + os.Getenv("PATH"),
	}
	return cmd
}

func (r *repository) write(name, text string) {
	r.t.Helper()
	require.NoError(r.t, os.MkdirAll(filepath.Dir(filepath.Join(r.dir, name)), 0o700))
	require.NoError(r.t, os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600))
}

// commit writes a file, or removes it, and returns the commit.
func (r *repository) commit(name, text, message string) string {
	r.t.Helper()
	if text == "" {
		r.run("rm", "-q", name)
	} else {
		r.write(name, text)
		r.run("add", "--all")
	}
	r.run("commit", "-q", "-m", message)
	return r.run("rev-parse", "HEAD")
}

// inGit looks through a folder on disk.
func inGit(t *testing.T, dir string) apisec.Exposure {
	t.Helper()
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	defer root.Close()
	return find(t, apisec.Finder{FS: apisec.Folder(root), Dir: dir})
}

// wheres are the places of the hits.
func wheres(e apisec.Exposure) []string {
	var out []string
	for _, h := range e.Hits {
		out = append(out, fmt.Sprintf("%s: %s %d:%d", h.Where(), h.Form, h.Line, h.Column))
	}
	return out
}

func TestHistory(t *testing.T) {
	for _, layout := range []struct{ name, init string }{{"SHA-1", "sha1"}, {"SHA-256", "sha256"}} {
		t.Run(layout.name, func(t *testing.T) {
			dir := t.TempDir()
			r := newRepository(t, filepath.Join(dir, "product"), "--object-format="+layout.init)
			long := strings.Repeat("some setting = some value\n", 200)
			first := r.commit("etc/app.conf", long+"secret = "+planted+"\n", "Add the configuration")
			r.commit("etc/app.conf", long+"secret = ${SECRET}\n", "Take the secret out")
			r.commit("lib/old.zip", zipped(t, map[string]string{"in/app.conf": planted}), "Add a backup")
			backup := r.run("rev-parse", "HEAD")
			r.commit("lib/old.zip", "", "Remove the backup")
			message := r.commit("README", "hello", "Set it to "+base64.StdEncoding.EncodeToString([]byte("x:"+planted)))
			r.run("tag", "-a", "-m", "released with "+planted, "v1")
			tag := r.run("rev-parse", "v1")
			r.write("README", "stashed "+planted)
			r.run("stash", "-q")
			stash := r.run("rev-parse", "stash")
			r.write("dangling", "never committed "+planted)
			dangling := r.run("hash-object", "-w", "dangling")
			require.NoError(t, os.Remove(filepath.Join(r.dir, "dangling")))
			want := []string{
				"product/.git, README in commit " + stash[:12] + ": verbatim 1:9",
				"product/.git, blob " + dangling[:12] + " of no commit: verbatim 1:17",
				"product/.git, etc/app.conf in commit " + first[:12] + ": verbatim 201:10",
				"product/.git, lib/old.zip in commit " + backup[:12] + "!in/app.conf: verbatim 1:1",
				"product/.git, message of commit " + message[:12] + ": base64 6:14",
				"product/.git, message of tag " + tag[:12] + ": verbatim 6:15",
				// And the log of what branches were.
				"product/.git/logs/HEAD", "product/.git/COMMIT_EDITMSG",
			}
			check := func(e apisec.Exposure) {
				t.Helper()
				assert.Empty(t, e.Unread)
				got := wheres(e)
				for _, w := range want {
					assert.Condition(t, func() bool {
						for _, g := range got {
							if strings.HasPrefix(g, w) {
								return true
							}
						}
						return false
					}, "%s is missing in %q", w, got)
				}
				ruletest.ExpectFailed(t, e.Judge(), apisec.RuleExposed)
			}
			check(inGit(t, dir))
			// In a pack, as differences, with what nobody refers to.
			r.run("repack", "-q", "-a", "-d", "-f", "--keep-unreachable", "--depth=50", "--window=50")
			r.run("pack-refs", "--all")
			assert.NoDirExists(t, filepath.Join(r.dir, ".git/objects", first[:2]))
			check(inGit(t, dir))
			for _, f := range inGit(t, dir).Judge().Findings {
				if f.Subject == "central in product/.git, etc/app.conf in commit "+first[:12] {
					assert.Equal(t, &connsec.Position{File: "product/etc/app.conf"}, f.Source)
				}
			}
		})
	}
}

// TestRepositories has a bare repository, one that borrows from another, a submodule and a work
// tree.
func TestRepositories(t *testing.T) {
	dir := t.TempDir()
	r := newRepository(t, filepath.Join(dir, "a"))
	r.commit("x", planted, "one")
	r.commit("x", "y", "two")
	r.run("clone", "-q", "--bare", ".", "../bare.git")
	r.run("clone", "-q", "--shared", ".", "../shared")
	r.run("worktree", "add", "-q", "../tree")
	e := inGit(t, dir)
	assert.Empty(t, e.Unread)
	var repositories []string
	for _, h := range e.Hits {
		require.NotNil(t, h.Git, h.Where())
		assert.Equal(t, "x", h.Git.Path)
		repositories = append(repositories, h.Path)
	}
	assert.Equal(t, []string{"a/.git", "bare.git", "shared/.git"}, repositories)
	// Alone, the work tree does not say what its repository holds.
	e = inGit(t, filepath.Join(dir, "tree"))
	require.Len(t, e.Unread, 1)
	assert.Equal(t, apisec.Elsewhere, e.Unread[0].Reason)
}

// TestRepositoryInArchive reads loose objects, and does not pass over packs.
func TestRepositoryInArchive(t *testing.T) {
	dir := t.TempDir()
	r := newRepository(t, filepath.Join(dir, "a"))
	r.commit("x", planted, "one")
	r.commit("x", "y", "two")
	archive := filepath.Join(dir, "out", "a.tar")
	require.NoError(t, os.Mkdir(filepath.Dir(archive), 0o700))
	tar := func() {
		out, err := exec.Command(realsrv.Need(t, "tar"), "-C", dir, "-cf", archive, "a").CombinedOutput()
		require.NoError(t, err, string(out))
	}
	tar()
	e := inGit(t, filepath.Dir(archive))
	assert.Empty(t, e.Unread)
	require.Len(t, e.Hits, 1)
	assert.Contains(t, e.Hits[0].Member, "a/.git/objects/")
	r.run("gc", "-q")
	tar()
	e = inGit(t, filepath.Dir(archive))
	assert.Empty(t, e.Hits)
	require.Len(t, e.Unread, 1)
	assert.Equal(t, apisec.Unopened, e.Unread[0].Reason)
}

// TestHostileRepository has a repository whose configuration wants programs to run.
func TestHostileRepository(t *testing.T) {
	dir := t.TempDir()
	r := newRepository(t, filepath.Join(dir, "a"))
	r.commit("x", planted, "one")
	r.write(".gitattributes", "* diff=evil filter=evil\n")
	r.commit("y", "y", "two")
	ran := filepath.Join(t.TempDir(), "ran")
	evil := filepath.Join(dir, "evil.sh")
	require.NoError(t, os.WriteFile(evil, []byte("#!/bin/sh\ntouch "+ran+"\n"), 0o700))
	config := fmt.Sprintf(`
[core]
	fsmonitor = %[1]s
	sshCommand = %[1]s
	pager = %[1]s
	editor = %[1]s
	hooksPath = %[2]s
	alternateRefsCommand = %[1]s
[diff "evil"]
	textconv = %[1]s
	command = %[1]s
[filter "evil"]
	clean = %[1]s
	smudge = %[1]s
[extensions]
	partialClone = origin
[remote "origin"]
	url = ext::%[1]s
	promisor = true
[uploadpack]
	packObjectsHook = %[1]s
this is no configuration
`, evil, dir)
	file, err := os.OpenFile(filepath.Join(r.dir, ".git/config"), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = file.WriteString(config)
	require.NoError(t, err)
	require.NoError(t, file.Close())
	e := inGit(t, dir)
	assert.NoFileExists(t, ran)
	assert.Empty(t, e.Unread)
	assert.Len(t, e.Hits, 2, "the file, and the object")
}

// TestHistoryUnread has repositories that cannot be read to their end.
func TestHistoryUnread(t *testing.T) {
	dir := t.TempDir()
	r := newRepository(t, filepath.Join(dir, "a"))
	r.commit("x", "nothing", "one")
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	defer root.Close()
	for name, f := range map[string]apisec.Finder{
		"git is not there": {FS: root.FS(), Dir: dir, Git: "no-such-program"},
		"not known":        {FS: root.FS()},
		"not where":        {FS: root.FS(), Dir: t.TempDir()},
	} {
		e := find(t, f)
		require.Len(t, e.Unread, 1, name)
		assert.Equal(t, apisec.NoHistory, e.Unread[0].Reason)
		assert.Contains(t, e.Unread[0].Detail, name)
	}
	ruletest.Expect(t, inGit(t, dir).Judge(), connsec.Pass, apisec.RuleExposed)
	// Other files among the objects are files, and git does not see a pack without its index.
	r.write(".git/objects/note.txt", planted)
	r.write(".git/objects/ab/note.txt", planted)
	r.write(".git/objects/pack/pack-1.pack", "PACK\x00\x00\x00\x02")
	e := inGit(t, dir)
	assert.Len(t, e.Hits, 2)
	require.Len(t, e.Unread, 1)
	assert.Equal(t, apisec.Unread{Path: "a/.git/objects/pack/pack-1.pack", Reason: apisec.Unopened, Detail: "it is a git pack that belongs to no repository, which is not opened"}, e.Unread[0])
	require.NoError(t, os.Remove(filepath.Join(r.dir, ".git/objects/note.txt")))
	require.NoError(t, os.Remove(filepath.Join(r.dir, ".git/objects/ab/note.txt")))
	// An object that is damaged.
	blob := r.run("rev-parse", "HEAD:x")
	object := filepath.Join(r.dir, ".git/objects", blob[:2], blob[2:])
	require.NoError(t, os.Chmod(object, 0o600))
	require.NoError(t, os.WriteFile(object, []byte("x"), 0o600))
	e = inGit(t, dir)
	require.NotEmpty(t, e.Unread)
	assert.Equal(t, apisec.NoHistory, e.Unread[0].Reason)
	ruletest.Expect(t, e.Judge(), connsec.Inconclusive, apisec.RuleExposed)

	// A pack with an index that cannot be read, which git passes over.
	dir = t.TempDir()
	r = newRepository(t, filepath.Join(dir, "a"))
	r.commit("x", planted, "one")
	r.commit("x", "y", "two")
	r.run("gc", "-q")
	index, err := filepath.Glob(filepath.Join(r.dir, ".git/objects/pack/*.idx"))
	require.NoError(t, err)
	require.Len(t, index, 1)
	require.NoError(t, os.Chmod(index[0], 0o600))
	require.NoError(t, os.WriteFile(index[0], []byte("garbage"), 0o600))
	e = inGit(t, dir)
	assert.Empty(t, e.Hits)
	ruletest.Expect(t, e.Judge(), connsec.Inconclusive, apisec.RuleExposed)
}

// TestNotAllHere has clones that have a part of the history only, and repositories that links
// lead to. What is here is searched; that nothing is found is no pass.
func TestNotAllHere(t *testing.T) {
	outside := t.TempDir()
	r := newRepository(t, filepath.Join(outside, "a"))
	r.run("config", "uploadpack.allowFilter", "true")
	r.commit("x", "secret="+planted, "one")
	r.commit("x", "y", "two")
	last := r.commit("z", "z="+planted, "three")
	url := "file://" + r.dir
	for _, tt := range []struct {
		name   string
		plant  func(dir string)
		hits   []string
		path   string
		detail string
	}{
		{"shallow", func(dir string) { r.run("clone", "-q", "--depth=1", url, dir+"/b") }, []string{"b/.git, z in commit " + last[:12] + ": verbatim 1:3", "b/z: verbatim 1:3"}, "b/.git", "a shallow clone"},
		{"shallow, packed", func(dir string) { r.run("clone", "-q", "--bare", "--depth=1", url, dir+"/b.git") }, []string{"b.git, z in commit " + last[:12] + ": verbatim 1:3"}, "b.git", "a shallow clone"},
		{"partial", func(dir string) { r.run("clone", "-q", "--filter=blob:none", "--no-checkout", url, dir+"/b") }, nil, "b/.git", "a partial clone"},
		{"partial, shallow", func(dir string) {
			r.run("clone", "-q", "--filter=blob:none", "--depth=1", "--no-checkout", url, dir+"/b")
		}, nil, "b/.git", "a partial clone"},
		{"linked", func(dir string) {
			require.NoError(t, os.Mkdir(dir+"/b", 0o700))
			require.NoError(t, os.Symlink(filepath.Join(r.dir, ".git"), dir+"/b/.git"))
		}, nil, "b/.git", "its repository is not known to be among these files"},
		{"linked objects", func(dir string) {
			require.NoError(t, os.Mkdir(dir+"/b.git", 0o700))
			require.NoError(t, os.WriteFile(dir+"/b.git/HEAD", []byte("ref: refs/heads/main\n"), 0o600))
			for _, name := range []string{"objects", "refs"} {
				require.NoError(t, os.Symlink(filepath.Join(r.dir, ".git", name), dir+"/b.git/"+name))
			}
		}, nil, "b.git/objects", "are where a link leads"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			tt.plant(dir)
			e := inGit(t, dir)
			assert.Equal(t, tt.hits, wheres(e))
			require.NotEmpty(t, e.Unread)
			found := false
			for _, u := range e.Unread {
				assert.Equal(t, tt.path, u.Path)
				assert.Equal(t, apisec.Elsewhere, u.Reason, u.Detail)
				found = found || strings.Contains(u.Detail, tt.detail)
			}
			assert.True(t, found, "%+v", e.Unread)
			outcome := connsec.Inconclusive
			if len(tt.hits) > 0 {
				outcome = connsec.Fail
			}
			assert.Equal(t, outcome, e.Judge().Findings[0].Outcome)
		})
	}
	// A partial clone that has fetched all there is.
	dir := t.TempDir()
	r.run("clone", "-q", "--filter=blob:none", url, dir+"/b")
	b := &repository{t: t, git: r.git, dir: dir + "/b"}
	b.run("log", "-p")
	e := inGit(t, dir)
	assert.Empty(t, e.Unread)
	assert.Len(t, e.Hits, 3)
}

// TestWhatGitPassesOver has files among the objects that git says nothing about.
func TestWhatGitPassesOver(t *testing.T) {
	dir := t.TempDir()
	r := newRepository(t, filepath.Join(dir, "a"))
	r.commit("x", "nothing", "one")
	// The name of an object of the other hash.
	r.write(".git/objects/ab/"+strings.Repeat("0", 62), planted)
	r.write(".git/objects/ab/"+strings.Repeat("0", 40), planted)
	assert.Len(t, inGit(t, dir).Hits, 2)

	// A configuration that does not say which hash it is.
	other := newRepository(t, filepath.Join(dir, "b"), "--object-format=sha256")
	other.commit("x", planted, "one")
	other.commit("x", "y", "two")
	for range 2 {
		other.write(".git/config", "# objectformat\n")
		assert.Len(t, inGit(t, other.dir).Hits, 1)
		other.write(".git/config", "[core]\n\trepositoryformatversion = 1\n[extensions]\n\tobjectformat = sha256\n")
		other.run("gc", "-q")
	}

	// An index that may not be read.
	root, err := os.OpenRoot(other.dir)
	require.NoError(t, err)
	defer root.Close()
	e := find(t, apisec.Finder{FS: closed{root.FS(), ".idx"}, Dir: other.dir})
	require.NotEmpty(t, e.Unread)
	assert.Equal(t, apisec.Unreadable, e.Unread[0].Reason)
	assert.Equal(t, ".idx", filepath.Ext(e.Unread[0].Path))
}

// closed refuses files by how their names end.
type closed struct {
	fs.FS
	end string
}

func (c closed) Open(name string) (fs.File, error) {
	if strings.HasSuffix(name, c.end) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return c.FS.Open(name)
}
