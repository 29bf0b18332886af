//go:build !windows

package tlscheck

import (
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec/internal/realsrv"
)

// The service account goes on owning the key that it has to read.
func TestInstallKeepsTheOwner(t *testing.T) {
	realsrv.Need(t, "root") // to give files away
	_, files := oldSet(t, 7)
	require.NoError(t, os.Chown(files[0].path, 4711, 4712))
	_, err := replaceAll(osDisk{}, files, installTime)
	require.NoError(t, err)
	for i, want := range [][2]uint32{{4711, 4712}, {uint32(os.Getuid()), uint32(os.Getgid())}} {
		info, err := os.Stat(files[i].path)
		require.NoError(t, err)
		stat := info.Sys().(*syscall.Stat_t)
		assert.Equal(t, want, [2]uint32{stat.Uid, stat.Gid})
		assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	}
}
