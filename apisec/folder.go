package apisec

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
)

// Folder is a folder on disk as [Finder.FS] wants it: no symbolic link leads out of it, and
// opening a file waits for nobody. Between listing and opening, somebody may put a pipe, a socket
// or a device where a file was, and opening a pipe as usual waits until it is written to. Such
// things are opened without waiting, looked at, and refused unread.
//
// The root stays the caller's to close.
func Folder(root *os.Root) fs.FS { return files{root} }

type files struct{ root *os.Root }

// errNoFile is the error of what is neither a file nor a folder.
var errNoFile = errors.New("it is a pipe, a socket or a device")

// Open opens a regular file or a folder.
func (f files) Open(name string) (fs.File, error) { return f.open(name) }

func (f files) open(name string) (*os.File, error) {
	if !fs.ValidPath(name) || runtime.GOOS == "windows" && strings.Contains(name, `\`) { // which would be a path of Windows
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	in, err := f.root.OpenFile(name, os.O_RDONLY|withoutWaiting, 0)
	if err != nil {
		return nil, err
	}
	info, err := in.Stat()
	if err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		err = &fs.PathError{Op: "open", Path: name, Err: errNoFile}
	}
	if err != nil {
		in.Close()
		return nil, err
	}
	return in, nil
}

// ReadDir lists a folder in the order of names.
func (f files) ReadDir(name string) ([]fs.DirEntry, error) {
	in, err := f.open(name)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	list, err := in.ReadDir(-1)
	slices.SortFunc(list, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	return list, err
}

// Stat, Lstat and ReadLink open nothing.

func (f files) Stat(name string) (fs.FileInfo, error) { return fs.Stat(f.root.FS(), name) }

func (f files) Lstat(name string) (fs.FileInfo, error) { return fs.Lstat(f.root.FS(), name) }

func (f files) ReadLink(name string) (string, error) { return fs.ReadLink(f.root.FS(), name) }
