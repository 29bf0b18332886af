package apisec

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestWithoutLinks has git read a folder itself where no link to it can be made, unless it would
// follow alternates from there.
func TestWithoutLinks(t *testing.T) {
	objects := t.TempDir()
	broken := store{full: objects, dirs: []string{"pack"}} // which is not there
	got, err := assemble(t.TempDir(), []store{broken})
	require.NoError(t, err)
	assert.Equal(t, objects, got)
	_, err = assemble(t.TempDir(), []store{broken, broken})
	require.ErrorContains(t, err, "alternates")
	require.NoError(t, os.Mkdir(filepath.Join(objects, "info"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(objects, "info/alternates"), nil, 0o600))
	_, err = assemble(t.TempDir(), []store{broken})
	require.ErrorContains(t, err, "alternates")
}
