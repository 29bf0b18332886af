package disk_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/connsec/connsec/internal/disk"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func open(t *testing.T, path string) *os.File {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, second := open(t, path), open(t, path)
	got, err := disk.TryLock(first)
	require.NoError(t, err)
	assert.True(t, got)
	got, err = disk.TryLock(second)
	require.NoError(t, err)
	assert.False(t, got, "the same process through another handle has to wait, too")
	require.NoError(t, first.Close())
	got, err = disk.TryLock(second)
	require.NoError(t, err)
	assert.True(t, got)
}

func TestSyncDir(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, disk.SyncDir(dir))
}

func TestCopyOwnerOfNothing(t *testing.T) {
	dir := t.TempDir()
	f := open(t, filepath.Join(dir, "new"))
	require.NoError(t, disk.CopyOwner(f, filepath.Join(dir, "none")))
	require.NoError(t, disk.CopyOwner(f, f.Name()))
}
