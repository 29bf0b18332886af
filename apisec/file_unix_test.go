//go:build !windows

package apisec_test

import (
	"os"
	"path/filepath"
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
