package disk

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Beside makes a new file in the directory of path, mode 0600, which is to take its place.
func Beside(path string) (*os.File, error) {
	return os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".new-*")
}

// Fill lets write fill the new file f, gives it the owner of the file at like, if there is one, and
// the mode, and returns when it is on the disk and closed. After an error it is closed and removed.
func Fill(f *os.File, like string, mode fs.FileMode, write func(io.Writer) error) error {
	err := CopyOwner(f, like)
	if err == nil {
		err = write(f)
	}
	if err == nil {
		err = f.Chmod(mode) // whatever the umask says
	}
	if err == nil {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err != nil {
		_ = os.Remove(f.Name()) // nothing to add if this fails: the first error is the reason
	}
	return err
}

// Replace lets a file that is on the disk take the place of path, and makes that last. If it cannot,
// the file is removed.
func Replace(beside, path string) error {
	if err := os.Rename(beside, path); err != nil {
		_ = os.Remove(beside)
		return err
	}
	return SyncDir(filepath.Dir(path))
}
