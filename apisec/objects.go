package apisec

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// store is a folder of git objects.
type store struct {
	name string   // in FS
	full string   // on disk
	dirs []string // those of its folders that git reads: "pack", and "00" to "ff"
}

// maxStores bounds how many repositories one borrows objects from.
const maxStores = 100

// stores returns the folder of a repository's objects and those that it borrows from (gitrepository-
// layout, objects/info/alternates). Alternates are followed only within the files that are looked
// through: elsewhere there may be another user's repository or, on Windows, a server that a name in
// UNC makes this one sign in to. Those are reported.
func (w *worker) stores(dir string) ([]store, error) {
	out := []store{}
	queue := []string{path.Join(dir, "objects")}
	for i := 0; i < len(queue); i++ {
		name := queue[i]
		s, err := w.store(name)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
		alternates, err := w.beginning(path.Join(name, "info/alternates"))
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				w.unread(place{path: dir}, Elsewhere, "what it borrows objects from cannot be read: "+bareError(err).Error())
			}
			continue
		}
		for line := range strings.Lines(string(alternates)) {
			line = strings.TrimRight(line, "\n")
			if line == "" || line[0] == '#' {
				continue
			}
			if line[0] == '"' { // in quotes as in C, which are nearly those of Go
				if text, err := strconv.Unquote(line); err == nil {
					line = text
				}
			}
			other, inside := w.inside(name, line)
			switch {
			case slices.Contains(queue, other):
			case !inside || !w.isFolder(other) || len(queue) == maxStores:
				w.unread(place{path: dir}, Elsewhere, "it borrows objects from "+line+", which is not known to be among these files: look through that as well")
			default:
				queue = append(queue, other)
			}
		}
	}
	return out, nil
}

// store looks at what git would open. A pipe among the objects would make it wait, and a link may
// lead to the objects of somebody else.
func (w *worker) store(name string) (store, error) {
	full, err := filepath.Abs(filepath.Join(w.Dir, filepath.FromSlash(name)))
	if err != nil {
		return store{}, err
	}
	// A folder that leads elsewhere by a link is not the one that was looked at.
	if d, err := os.Lstat(full); err != nil || !d.IsDir() {
		return store{}, errors.New("its objects are not where the files are")
	}
	s := store{name: name, full: full}
	list, err := fs.ReadDir(w.FS, name)
	if err != nil {
		return store{}, fmt.Errorf("its objects cannot be listed: %w", bareError(err))
	}
	for _, d := range list {
		if d.Name() != "pack" && (len(d.Name()) != 2 || strings.Trim(d.Name(), "0123456789abcdef") != "") {
			continue
		}
		if !d.IsDir() {
			return store{}, fmt.Errorf("git is not let near it, for %s among its objects is no folder", d.Name())
		}
		files, err := fs.ReadDir(w.FS, path.Join(name, d.Name()))
		if err != nil {
			return store{}, fmt.Errorf("its objects cannot be listed: %w", bareError(err))
		}
		for _, f := range files {
			if !f.Type().IsRegular() && !f.IsDir() {
				return store{}, fmt.Errorf("git is not let near it, for %s/%s among its objects is no file", d.Name(), f.Name())
			}
		}
		s.dirs = append(s.dirs, d.Name())
	}
	return s, nil
}

// assemble makes the folder of objects of a repository of our own, in which links lead to those of
// others. Where links cannot be made, as on Windows without a privilege, git reads a folder itself,
// and with it the list of alternates, so that only one without alternates will do.
func assemble(dir string, stores []store) (objects string, err error) {
	objects = filepath.Join(dir, "objects")
	var alternates strings.Builder
	for i, s := range stores {
		into := objects
		if i > 0 {
			into = filepath.Join(dir, "objects-"+strconv.Itoa(i))
			alternates.WriteString("../" + filepath.Base(into) + "\n")
		}
		if err := os.Mkdir(into, 0o700); err != nil {
			return "", err
		}
		for _, name := range s.dirs {
			if err := link(filepath.Join(s.full, name), filepath.Join(into, name)); err != nil {
				_, lerr := os.Lstat(filepath.Join(stores[0].full, "info", "alternates"))
				if len(stores) == 1 && errors.Is(lerr, fs.ErrNotExist) {
					return stores[0].full, nil
				}
				return "", errors.New("links cannot be made here, without which git would follow its list of alternates")
			}
		}
	}
	if alternates.Len() == 0 {
		return objects, nil
	}
	if err := os.Mkdir(filepath.Join(objects, "info"), 0o700); err != nil {
		return "", err
	}
	return objects, os.WriteFile(filepath.Join(objects, "info", "alternates"), []byte(alternates.String()), 0o600)
}

// link makes a link to a folder that works: where none are followed, git would find no objects, and
// say nothing.
func link(folder, name string) error {
	if err := os.Symlink(folder, name); err != nil {
		return err
	}
	want, err := os.Stat(folder)
	if err != nil {
		return err
	}
	got, err := os.Stat(name)
	if err == nil && !os.SameFile(got, want) {
		err = errors.New("it leads elsewhere")
	}
	return err
}

// inside is a path of the system's, or one that is relative to a folder in FS, as a path in FS.
func (w *worker) inside(dir, target string) (name string, ok bool) {
	if !filepath.IsAbs(target) {
		name = path.Join(dir, filepath.ToSlash(target))
		return name, fs.ValidPath(name)
	}
	if w.Dir == "" {
		return "", false
	}
	root, err := filepath.Abs(w.Dir)
	if err != nil {
		return "", false
	}
	roots := []string{root}
	if real, err := filepath.EvalSymlinks(root); err == nil { // which is how git writes paths
		roots = append(roots, real)
	}
	for _, root := range roots {
		if rel, err := filepath.Rel(root, target); err == nil && fs.ValidPath(filepath.ToSlash(rel)) {
			return filepath.ToSlash(rel), true
		}
	}
	return "", false
}

// isFolder reports whether a path in FS is a folder that no link is on the way to.
func (w *worker) isFolder(name string) bool {
	for at := name; at != "."; at = path.Dir(at) {
		if info, err := fs.Lstat(w.FS, at); err != nil || !info.IsDir() {
			return false
		}
	}
	return true
}
