package disk

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

// CopyOwner does nothing: a new file inherits the access list of its directory, which is
// where the product's installer grants the service account its rights.
func CopyOwner(*os.File, string) error { return nil }

// Foreign is false: here access lists decide, and not owners.
func Foreign(fs.FileInfo, fs.FileInfo) bool { return false }

// SyncDir does nothing: NTFS journals renames, and directories cannot be flushed.
func SyncDir(string) error { return nil }

// Unlock gives the lock back before the file is closed, which does it at some time only.
func Unlock(f *os.File) error {
	return windows.UnlockFileEx(windows.Handle(f.Fd()), 0, 1, 0, new(windows.Overlapped))
}

// TryLock takes the exclusive lock of an open file, and reports false if somebody has it. The
// system gives it back when the file is closed or its process ends, however that ends.
func TryLock(f *os.File) (bool, error) {
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, new(windows.Overlapped))
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, windows.ERROR_LOCK_VIOLATION), errors.Is(err, windows.ERROR_IO_PENDING):
		return false, nil
	}
	return false, err
}
