//go:build !windows

package circlehttps_test

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec/circlehttps"
	"github.com/connsec/connsec/internal/realsrv"
)

// TestFixKeepsTheOwner: the web server's account goes on being able to read what root has changed.
func TestFixKeepsTheOwner(t *testing.T) {
	realsrv.Need(t, "root")
	dir := writeSite(t, fixable)
	page := filepath.Join(dir, "index.html")
	require.NoError(t, os.Chmod(page, 0o640))
	require.NoError(t, os.Chown(page, 4321, 1234))
	changes, err := circlehttps.Site{FS: os.DirFS(dir)}.Fix(context.Background(), circlehttps.Project{}, circlehttps.FixOptions{})
	require.NoError(t, err)
	require.NoError(t, changes.Apply(dir, t.TempDir()))
	assert.NotEqual(t, fixable["index.html"], readSite(t, dir)["index.html"])
	info, err := os.Stat(page)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o640), info.Mode().Perm())
	owner := info.Sys().(*syscall.Stat_t)
	assert.Equal(t, []uint32{4321, 1234}, []uint32{owner.Uid, owner.Gid})
}
