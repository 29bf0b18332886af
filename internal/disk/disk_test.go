package disk_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
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

// TestReplace: the old file or the new one is there, with nothing beside it.
func TestReplace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "list")
	broken := errors.New("broken")
	fill := func(text string, fails error) (string, error) {
		f, err := disk.Beside(path)
		require.NoError(t, err)
		return f.Name(), disk.Fill(f, path, 0o640, func(w io.Writer) error {
			_, err := io.WriteString(w, text)
			return errors.Join(err, fails)
		})
	}
	names := func() (out []string) {
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		for _, e := range entries {
			out = append(out, e.Name())
		}
		return out
	}
	for _, text := range []string{"one", "two"} {
		name, err := fill(text, nil)
		require.NoError(t, err)
		require.NoError(t, disk.Replace(name, path))
		_, err = fill("three", broken)
		require.ErrorIs(t, err, broken)
		got, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.Equal(t, text, string(got))
		assert.Equal(t, []string{"list"}, names())
		if runtime.GOOS != "windows" {
			info, err := os.Stat(path)
			require.NoError(t, err)
			assert.Equal(t, os.FileMode(0o640), info.Mode().Perm())
		}
	}
	name, err := fill("four", nil)
	require.NoError(t, err)
	require.Error(t, disk.Replace(name, filepath.Join(dir, "none", "list")))
	assert.Equal(t, []string{"list"}, names())
}
