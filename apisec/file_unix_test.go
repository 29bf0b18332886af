//go:build !windows

package apisec_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/apisec"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFilesWithSecrets(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "secret")
	require.NoError(t, os.WriteFile(path, []byte(strong), 0o600))
	for mode, want := range map[os.FileMode]struct {
		outcome  connsec.Outcome
		severity connsec.Severity
	}{0o600: {connsec.Pass, connsec.High}, 0o400: {connsec.Pass, connsec.High}, 0o640: {connsec.Fail, connsec.Medium}, 0o604: {connsec.Fail, connsec.High}, 0o666: {connsec.Fail, connsec.High}} {
		require.NoError(t, os.Chmod(path, mode))
		c := apisec.Client{ID: id, Storage: apisec.SecretFile, Path: path} // without an endpoint: the file alone
		r, err := c.Probe(deadline(t))
		require.NoError(t, err)
		f := r.Of(apisec.RuleSecretFileExposed)[0]
		assert.Equal(t, want.outcome, f.Outcome, "%v: %s", mode, f.Detail)
		assert.Equal(t, want.severity, f.Severity)
		if want.outcome == connsec.Pass {
			ruletest.Expect(t, r, connsec.Pass, apisec.RuleSecretFileExposed)
		} else {
			ruletest.Expect(t, r, connsec.Fail, apisec.RuleSecretFileExposed)
		}
	}
	c := apisec.Client{ID: id, Storage: apisec.Literal, Path: path + "none"}
	r, err := c.Probe(deadline(t))
	require.NoError(t, err)
	ruletest.Expect(t, r, connsec.Inconclusive, apisec.RuleSecretFileExposed)
	_, err = apisec.Client{ID: id, Storage: apisec.Vault, Path: path}.Probe(deadline(t))
	assert.EqualError(t, err, "apisec: no token URL is given")
}

// TestForeignOwners: who may write to the directory by its group must not have the state, or a
// secret, written into a file of his own.
func TestForeignOwners(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("takes root, to give files away")
	}
	const stranger = 54321
	dir := t.TempDir()
	state := apisec.FileStore{Path: filepath.Join(dir, "state")}
	place := apisec.FileDistributor{Path: filepath.Join(dir, "client.json")}
	c := apisec.Credential{ClientID: "a", Secret: connsec.NewSecret(strong)}
	require.NoError(t, state.Swap(t.Context(), nil, []byte("x")))
	require.NoError(t, place.Activate(t.Context(), c))
	c.ClientID = "b"
	for _, path := range []string{state.Path, place.Path} {
		require.NoError(t, os.Chown(path, stranger, stranger))
	}
	_, err := state.Load(t.Context())
	require.ErrorContains(t, err, state.Path+" belongs to somebody else")
	require.ErrorContains(t, state.Swap(t.Context(), []byte("x"), []byte("y")), "belongs to somebody else")
	_, err = place.Read(t.Context())
	require.ErrorContains(t, err, place.Path+" belongs to somebody else")
	require.ErrorContains(t, place.Activate(t.Context(), c), "belongs to somebody else")
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 2, "nothing half-written is left")

	// In a directory of his own they are his, and stay so.
	require.NoError(t, os.Chown(dir, stranger, stranger))
	require.NoError(t, state.Swap(t.Context(), []byte("x"), []byte("y")))
	require.NoError(t, place.Activate(t.Context(), c))
	for _, path := range []string{state.Path, place.Path} {
		info, err := os.Stat(path)
		require.NoError(t, err)
		assert.EqualValues(t, stranger, info.Sys().(*syscall.Stat_t).Uid)
	}
}

// TestPipes: to open one would wait for ever.
func TestPipes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	require.NoError(t, syscall.Mkfifo(path, 0o600))
	_, err := apisec.FileStore{Path: path}.Load(t.Context())
	require.ErrorContains(t, err, "not a regular file")
	_, err = apisec.FileDistributor{Path: path}.Read(t.Context())
	require.ErrorContains(t, err, "not a regular file")
}
