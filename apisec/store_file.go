package apisec

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/connsec/connsec/internal/disk"
	"github.com/connsec/connsec/tlscheck"
)

// FileStore keeps the state in a file of its own, mode 0600, in a directory that not everybody
// can write to. The state is written beside it (with ".new" behind the name), synced, and
// renamed over it; a file with ".lock" behind the name, which stays and is always empty, keeps
// a second operator out. A file that others may read or change is refused, and one of another
// user than this process's, root or the owner of its directory, as sshd does with keys.
//
// On Windows the file has the access list of its directory, which must not let everybody in.
type FileStore struct {
	Path string

	at func(point string) error // for tests: before and between the writes
}

// Lock implements [Store].
func (s FileStore) Lock(context.Context) (func(), error) {
	if err := checkDirectory(s.Path); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(s.Path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fileError(s.Path+".lock", err)
	}
	got, err := disk.TryLock(f)
	if err == nil && got {
		return func() {
			_ = disk.Unlock(f)
			_ = f.Close()
		}, nil
	}
	_ = f.Close()
	if err != nil {
		return nil, fileError(s.Path+".lock", err)
	}
	return nil, ErrLocked
}

// Load implements [Store].
func (s FileStore) Load(context.Context) ([]byte, error) {
	data, err := readPrivate(s.Path, maxState)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// Swap implements [Store].
func (s FileStore) Swap(ctx context.Context, old, new []byte) error {
	stored, err := s.Load(ctx)
	if err != nil {
		return err
	}
	if !bytes.Equal(stored, old) {
		return ErrConflict
	}
	return writePrivate(s.Path, new, s.at)
}

// readPrivate reads a file that holds secrets.
func readPrivate(path string, most int64) ([]byte, error) {
	// Before it is opened: to open a pipe would wait for somebody to write.
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("apisec: %s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fileError(path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, fileError(path, err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("apisec: %s is not a regular file", path)
	}
	if err := checkExposure(path); err != nil {
		return nil, err
	}
	if err := checkOwner(f, path); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	switch {
	case err != nil:
		return nil, fileError(path, err)
	case int64(len(data)) > most:
		return nil, fmt.Errorf("apisec: %s is larger than %d bytes, and cannot be what it should be", path, most)
	}
	return data, nil
}

// writePrivate replaces the file in one step. Its owner stays, so that a service goes on
// being able to read it. at, if not nil, is called at each point where a crash would differ.
func writePrivate(path string, data []byte, at func(string) error) (err error) {
	if err := checkDirectory(path); err != nil {
		return err
	}
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("apisec: %s is not a regular file, and is not replaced", path)
	}
	if at == nil {
		at = func(string) error { return nil }
	}
	beside := path + ".new"
	// A crash may have left one, with a secret in it.
	if err := os.Remove(beside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fileError(beside, err)
	}
	if err := at("create"); err != nil {
		return err
	}
	f, err := os.OpenFile(beside, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fileError(beside, err)
	}
	renamed := false
	defer func() {
		if !renamed {
			_ = os.Remove(beside)
		}
	}()
	// On Windows the directory decides who may read: look before there is something to read.
	if err := checkExposure(beside); err != nil {
		_ = f.Close()
		return err
	}
	var ours error // of a test, or said already
	err = disk.Fill(f, path, 0o600, func(w io.Writer) error {
		// Of the new one, since the old one may have been swapped meanwhile.
		if ours = checkOwner(f, path); ours != nil {
			return ours
		}
		if ours = at("write"); ours != nil {
			return ours
		}
		if _, err := w.Write(data); err != nil {
			return err
		}
		ours = at("sync")
		return ours
	})
	switch {
	case ours != nil:
		return ours
	case err != nil:
		return fileError(beside, err)
	}
	if err := at("rename"); err != nil {
		return err
	}
	if err := os.Rename(beside, path); err != nil {
		return fileError(path, err)
	}
	renamed = true
	if err := at("sync directory"); err != nil {
		return err
	}
	if err := disk.SyncDir(filepath.Dir(path)); err != nil {
		return fileError(filepath.Dir(path), err)
	}
	return nil
}

// checkExposure refuses a file that others may read.
func checkExposure(path string) error {
	e := tlscheck.ExposureOf(path)
	switch {
	case !e.Known:
		return fmt.Errorf("apisec: it cannot be told who may read %s", path)
	case len(e.To) > 0:
		way := "let only its owner in (chmod 600)"
		if runtime.GOOS == "windows" {
			way = "take that right from its folder, whose files inherit it (icacls FOLDER /inheritance:d, then /remove)"
		}
		return fmt.Errorf("apisec: %s may be read or changed by %s; %s, and take what is in it for known", path, e.To[0], way)
	}
	return nil
}

// checkOwner refuses a file that is at path, or will be, and belongs to a stranger.
func checkOwner(f *os.File, path string) error {
	info, err := f.Stat()
	if err != nil {
		return fileError(f.Name(), err)
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	dir, err := os.Stat(filepath.Dir(path))
	switch {
	case err != nil:
		return fileError(filepath.Dir(path), err)
	case disk.Foreign(info, dir):
		return fmt.Errorf("apisec: %s belongs to somebody else than this user, root and the owner of its directory: find out who put it there", path)
	}
	return nil
}

// checkDirectory refuses a directory in which everybody can put files, such as /tmp.
func checkDirectory(path string) error {
	dir := filepath.Dir(path)
	info, err := os.Stat(dir)
	switch {
	case path == "":
		return errors.New("apisec: the file has no name")
	case err != nil:
		return fileError(dir, err)
	case !info.IsDir():
		return fmt.Errorf("apisec: %s is not a directory", dir)
	case info.Mode().Perm()&0o002 != 0 && runtime.GOOS != "windows": // where every directory shows as 0777
		return fmt.Errorf("apisec: everybody can put files into %s; use a directory that is the service's own", dir)
	}
	return nil
}

// fileError says the path once: *fs.PathError has the system call in front.
func fileError(path string, err error) error {
	var pe *fs.PathError
	var le *os.LinkError
	switch {
	case errors.As(err, &pe):
		err = pe.Err
	case errors.As(err, &le):
		err = le.Err
	}
	return fmt.Errorf("apisec: %s: %w", path, err)
}
