//go:build !windows

package disk

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// CopyOwner gives f the owner and group of the file at path, if there is one: a service that
// runs under an account of its own could not read a key that belongs to the administrator who
// renewed it.
func CopyOwner(f *os.File, path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	to, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	if mine, err := f.Stat(); err == nil {
		if from, ok := mine.Sys().(*syscall.Stat_t); ok && from.Uid == to.Uid && from.Gid == to.Gid {
			return nil
		}
	}
	return f.Chown(int(to.Uid), int(to.Gid))
}

// Foreign reports whether a file belongs to somebody who has no business there: neither the
// user of this process, nor root, nor the owner of its directory. Who may only write to the
// directory, by its group, could otherwise put a file there that is taken for ours, or that a new
// one takes its owner from.
func Foreign(file, dir fs.FileInfo) bool {
	f, ok := file.Sys().(*syscall.Stat_t)
	d, known := dir.Sys().(*syscall.Stat_t)
	return ok && known && f.Uid != uint32(os.Geteuid()) && f.Uid != 0 && f.Uid != d.Uid
}

// SyncDir makes what was renamed in a directory last, where the file system can.
func SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	err = f.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) { // fsync(2): not for directories there
		return nil
	}
	return err
}

// Unlock gives the lock back before the file is closed. Closing alone does not do it at once: a
// child process that is being started meanwhile has the file open, too, until it runs its program.
func Unlock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }

// TryLock takes the exclusive lock of an open file, and reports false if somebody has it. The
// system gives it back when the file is closed or its process ends, however that ends.
func TryLock(f *os.File) (bool, error) {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, syscall.EWOULDBLOCK):
			return false, nil
		case !errors.Is(err, syscall.EINTR):
			return false, err
		}
	}
}
