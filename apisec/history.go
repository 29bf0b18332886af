package apisec

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// history searches every object of a repository: all versions of all files, commits and tags,
// reachable or not, such as what was amended, stashed or reset away.
//
// Git runs on a repository of our own that borrows the objects of the other (gitrepository-
// layout). So it reads no configuration, hook, filter or list of alternates of the repository,
// which may be anybody's.
func (w *worker) history(ctx context.Context, dir string) {
	at := place{path: dir}
	if w.Dir == "" {
		w.unread(at, NoHistory, "where the repository lies on disk is not known, so git cannot read it")
		return
	}
	stores, err := w.stores(dir)
	if err != nil {
		w.unread(at, NoHistory, err.Error())
		return
	}
	g, err := w.borrow(dir, stores)
	if err != nil {
		w.unread(at, NoHistory, err.Error())
		return
	}
	defer g.remove()
	if g.shallow {
		w.unread(at, Elsewhere, "it is a shallow clone, which has the latest commits only: look through a full one, or fetch the rest by git fetch --unshallow")
	}
	commits, hits, err := w.objects(ctx, g, at)
	if err != nil && ctx.Err() == nil {
		w.unread(at, NoHistory, err.Error())
	}
	if err == nil && w.partial(dir) {
		if missing, err := g.missing(ctx, commits); missing {
			w.unread(at, Elsewhere, "it is a partial clone, for which not all objects were fetched: look through a full one")
		} else if err != nil && ctx.Err() == nil {
			w.unread(at, NoHistory, "it is a partial clone, of which it is not known whether it has all objects: "+err.Error())
		}
	}
	if len(hits) > 0 {
		if err := g.place(ctx, commits, hits); err != nil && ctx.Err() == nil {
			w.unread(at, NoHistory, "the commits of what was found are not known: "+err.Error())
		}
	}
	for _, h := range hits {
		h.Git.Path = w.shown(h.Git.Path)
		w.hit(*h)
	}
	w.flush(0)
}

// gitReads reports whether a file among the objects of a repository is one that git reads as
// such, so that it need not be read as a file. A pack without its index is not, nor is what is
// called in other than the given number of hexadecimal digits.
func (h *hunt) gitReads(objects, name string, digits int) bool {
	dir, base := path.Split(name)
	if len(dir) == 3 && len(base) == digits-2 && strings.Trim(dir[:2]+base, "0123456789abcdef") == "" {
		return true
	}
	if dir != "pack/" {
		return false
	}
	stem := strings.TrimSuffix(base, path.Ext(base))
	switch path.Ext(base) {
	case ".pack":
		_, err := fs.Stat(h.FS, path.Join(objects, "pack", stem+".idx"))
		return err == nil
	case ".idx", ".rev", ".bitmap", ".mtimes":
		return strings.HasPrefix(base, "pack-") || strings.HasPrefix(base, "multi-pack-index")
	}
	return false
}

// digits is how many hexadecimal digits the names of a repository's objects have: 40 of SHA-1, 64
// of SHA-256. The names themselves tell it best, since git sees no object if it is told wrong;
// where there are none, the configuration does.
func (h *hunt) digits(objects string) int {
	dirs, _ := fs.ReadDir(h.FS, objects)
	for _, d := range dirs {
		if len(d.Name()) != 2 && d.Name() != "pack" {
			continue
		}
		files, _ := fs.ReadDir(h.FS, path.Join(objects, d.Name()))
		for _, f := range files {
			name := f.Name()
			if len(d.Name()) == 2 {
				name = d.Name() + name
			} else {
				name = strings.TrimPrefix(strings.TrimSuffix(name, path.Ext(name)), "pack-")
			}
			if (len(name) == 40 || len(name) == 64) && strings.Trim(name, "0123456789abcdef") == "" {
				return len(name)
			}
		}
	}
	if data, err := h.beginning(path.Join(path.Dir(objects), "config")); err == nil && usesSHA256(string(data)) {
		return 64
	}
	return 40
}

// partial reports whether a repository says that objects may be had from elsewhere
// (gitrepository-layout, partial-clone).
func (h *hunt) partial(dir string) bool {
	packs, _ := fs.ReadDir(h.FS, path.Join(dir, "objects", "pack"))
	return slices.ContainsFunc(packs, func(f fs.DirEntry) bool { return path.Ext(f.Name()) == ".promisor" })
}

// missing reports whether the commits lead to an object that is not there.
func (g borrowed) missing(ctx context.Context, commits []string) (missing bool, err error) {
	cmd := g.command(ctx, "rev-list", "--objects", "--missing=print", "--stdin")
	cmd.Stdin = strings.NewReader(strings.Join(commits, "\n") + "\n")
	var problem bytes.Buffer
	cmd.Stderr = &limited{&problem, 4 << 10}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return false, err
	}
	if err := cmd.Start(); err != nil {
		return false, err
	}
	in := bufio.NewReaderSize(out, 64<<10)
	for begins := true; ; {
		part, err := in.ReadSlice('\n')
		if begins && len(part) > 0 && part[0] == '?' {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			return true, nil
		}
		if begins = err == nil; err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			break
		}
	}
	if err := cmd.Wait(); err != nil {
		line, _, _ := strings.Cut(problem.String(), "\n")
		return false, fmt.Errorf("git failed: %s", line)
	}
	return false, nil
}

// borrowed is a repository of our own over the objects of another.
type borrowed struct {
	program string
	dir     string
	objects string
	shallow bool
}

func (w *worker) borrow(dir string, stores []store) (borrowed, error) {
	program, err := exec.LookPath(w.Git)
	if err != nil {
		return borrowed{}, fmt.Errorf("git is not there: %w", errors.Unwrap(err))
	}
	tmp, err := os.MkdirTemp("", "connsec-git-")
	if err != nil {
		return borrowed{}, bareError(err)
	}
	g := borrowed{program: program, dir: tmp}
	config := ownConfig
	if w.digits(path.Join(dir, "objects")) == 64 {
		config = strings.Replace(config, "version = 0", "version = 1", 1) + "[extensions]\n\tobjectformat = sha256\n"
	}
	if err = os.Mkdir(filepath.Join(tmp, "refs"), 0o700); err == nil {
		g.objects, err = assemble(tmp, stores)
	}
	// Git has to know where a shallow history ends.
	var ends strings.Builder
	if data, err := w.beginning(path.Join(dir, "shallow")); err == nil {
		for _, id := range strings.Fields(string(data)) {
			if (len(id) == 40 || len(id) == 64) && strings.Trim(id, "0123456789abcdef") == "" {
				ends.WriteString(id + "\n")
			}
		}
		g.shallow = ends.Len() > 0
	}
	for name, text := range map[string]string{"HEAD": "ref: refs/heads/none\n", "config": config, "shallow": ends.String()} {
		if err == nil && text != "" {
			err = os.WriteFile(filepath.Join(tmp, name), []byte(text), 0o600)
		}
	}
	if err != nil {
		g.remove()
		return borrowed{}, bareError(err)
	}
	return g, nil
}

// ownConfig is the configuration of our repository. What tells git where to find objects and
// commits quickly is not used: whoever wrote it may have left some out.
const ownConfig = "[core]\n\trepositoryformatversion = 0\n\tbare = true\n\tcommitGraph = false\n\tmultiPackIndex = false\n"

func usesSHA256(config string) bool {
	key, value, _ := strings.Cut(strings.ToLower(config), "objectformat")
	value = strings.TrimLeft(value, " \t=")
	return key != "" && strings.HasPrefix(value, "sha256")
}

func (g borrowed) remove() { _ = os.RemoveAll(g.dir) }

// command runs git with an environment of ours only.
func (g borrowed) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, g.program, args...)
	cmd.Dir = g.dir
	cmd.WaitDelay = time.Second // to whatever else holds its output once it was killed
	cmd.Env = []string{
		"GIT_DIR=" + g.dir, "GIT_OBJECT_DIRECTORY=" + g.objects,
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull, "HOME=" + g.dir, "XDG_CONFIG_HOME=" + g.dir,
		"GIT_ALLOW_PROTOCOL=none", "GIT_NO_LAZY_FETCH=1", // a partial clone asks nobody for the rest
		"GIT_NO_REPLACE_OBJECTS=1", "GIT_OPTIONAL_LOCKS=0", "GIT_TERMINAL_PROMPT=0", "LC_ALL=C",
	}
	return cmd
}

// objects searches all objects and returns the commits among them.
func (w *worker) objects(ctx context.Context, g borrowed, at place) (commits []string, hits []*Hit, err error) {
	cmd := g.command(ctx, "cat-file", "--batch-all-objects", "--unordered", "--buffer", "--batch")
	var problem bytes.Buffer
	cmd.Stderr = &limited{&problem, 4 << 10}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, fmt.Errorf("git does not start: %w", bareError(err))
	}
	defer func() {
		// What is left of its output goes, so that it ends.
		if err != nil {
			_ = cmd.Process.Kill()
		}
		// It goes on behind some errors, such as an index that it cannot read, and ends well.
		if werr := cmd.Wait(); err == nil && (werr != nil || problem.Len() > 0) {
			line, _, _ := strings.Cut(problem.String(), "\n")
			err = fmt.Errorf("git did not read everything: %s", line)
		}
	}()
	in := bufio.NewReaderSize(out, 256<<10)
	for n := 0; ; n++ {
		line, err := in.ReadString('\n')
		if errors.Is(err, io.EOF) && line == "" {
			return commits, hits, nil
		}
		if err != nil {
			return commits, hits, err
		}
		id, kind, size, err := header(line)
		if err != nil {
			return commits, hits, err
		}
		if kind == "commit" {
			commits = append(commits, id)
		}
		object := place{path: at.path, git: &GitObject{ID: id, Type: kind}}
		w.expanded = orDefault(w.MaxExpanded, defaultMaxExpanded)
		left := size
		body := io.LimitReader(in, size)
		w.collect = func(h Hit) bool {
			if len(hits) >= orDefault(w.MaxHits, defaultMaxHits) {
				return false
			}
			hits = append(hits, &h)
			return true
		}
		w.content(ctx, &bounded{body, ctx, &left}, nil, size, object, 0)
		w.collect = nil
		// Whatever was left, and the line break behind it.
		if _, err := io.Copy(io.Discard, body); err != nil {
			return commits, hits, err
		}
		if _, err := in.Discard(1); err != nil {
			return commits, hits, fmt.Errorf("git's output ends early: %w", err)
		}
		w.count(func(e *Exposure) { e.Objects++ })
		if n%256 == 255 {
			w.flush(0)
		}
		if ctx.Err() != nil {
			return commits, hits, context.Cause(ctx)
		}
	}
}

// header reads "ID TYPE SIZE".
func header(line string) (id, kind string, size int64, err error) {
	parts := strings.Fields(line)
	if len(parts) != 3 {
		return "", "", 0, errors.New("git's output is not understood")
	}
	size, err = strconv.ParseInt(parts[2], 10, 64)
	if err != nil || size < 0 {
		return "", "", 0, errors.New("git's output is not understood")
	}
	return parts[0], parts[1], size, nil
}

// place finds a commit and the path in it for each object with a hit.
func (g borrowed) place(ctx context.Context, commits []string, hits []*Hit) error {
	wanted := map[string][]*GitObject{}
	for _, h := range hits {
		wanted[h.Git.ID] = append(wanted[h.Git.ID], h.Git)
	}
	for _, id := range commits {
		for _, o := range wanted[id] {
			o.Commit = id
		}
	}
	if len(commits) == 0 {
		return nil
	}
	// Objects come behind the first commit that has them, and the oldest commit comes first.
	cmd := g.command(ctx, "rev-list", "--objects", "--in-commit-order", "--reverse", "--topo-order", "--missing=allow-any", "--stdin")
	cmd.Stdin = strings.NewReader(strings.Join(commits, "\n") + "\n")
	var problem bytes.Buffer
	cmd.Stderr = &limited{&problem, 4 << 10}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	isCommit := make(map[string]bool, len(commits))
	for _, id := range commits {
		isCommit[id] = true
	}
	commit := ""
	in := bufio.NewReaderSize(out, 64<<10)
	for {
		line, rerr := in.ReadString('\n')
		id, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if isCommit[id] {
			commit = id
		} else {
			for _, o := range wanted[id] {
				o.Commit, o.Path = commit, name
			}
		}
		if rerr != nil {
			break
		}
	}
	if err := cmd.Wait(); err != nil {
		line, _, _ := strings.Cut(problem.String(), "\n")
		return fmt.Errorf("git failed: %s", line)
	}
	return nil
}

// limited is a writer that forgets what is beyond a limit.
type limited struct {
	b    *bytes.Buffer
	most int
}

func (l *limited) Write(p []byte) (int, error) {
	if room := l.most - l.b.Len(); room > 0 {
		l.b.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
