//go:build !windows

package disk_test

import (
	"io/fs"
	"os"
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

// owned is what is known of a file of that user.
type owned struct {
	fs.FileInfo
	uid uint32
}

func (o owned) Sys() any { return &syscall.Stat_t{Uid: o.uid} }

func TestForeign(t *testing.T) {
	me := uint32(os.Geteuid())
	other, service := me+1001, me+1002
	for _, tt := range []struct {
		file, dir uint32
		want      bool
	}{
		{me, me, false}, {me, 0, false}, {0, me, false}, {service, service, false},
		{other, me, true}, {other, 0, true}, {other, service, true},
	} {
		assert.Equal(t, tt.want, disk.Foreign(owned{uid: tt.file}, owned{uid: tt.dir}), "%+v", tt)
	}
}
