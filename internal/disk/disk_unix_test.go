//go:build !windows

package disk_test

import (
	"path/filepath"
	"syscall"
	"testing"

	"github.com/connsec/connsec/internal/disk"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestUnlock: a process that is started while the lock is held has the file open until it runs
// its program, as a duplicate has. The lock is free all the same.
func TestUnlock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, second := open(t, path), open(t, path)
	got, err := disk.TryLock(first)
	require.NoError(t, err)
	require.True(t, got)
	duplicate, err := syscall.Dup(int(first.Fd()))
	require.NoError(t, err)
	defer func() { _ = syscall.Close(duplicate) }()
	require.NoError(t, disk.Unlock(first))
	require.NoError(t, first.Close())
	got, err = disk.TryLock(second)
	require.NoError(t, err)
	assert.True(t, got)
}
