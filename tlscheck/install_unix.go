//go:build !windows

package tlscheck

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// copyOwner gives f the owner and group of the file at path: a service that runs under an
// account of its own could not read a key that belongs to the administrator who renewed it.
func copyOwner(f *os.File, path string) error {
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

func (osDisk) syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
