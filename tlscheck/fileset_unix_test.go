//go:build !windows

package tlscheck_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"software.sslmate.com/src/go-pkcs12"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/internal/testca"
	"github.com/connsec/connsec/tlscheck"
)

func TestKeyPermissions(t *testing.T) {
	ca := filesCA(t)
	good := ca.MustIssue(t, testca.Leaf{Names: []string{serverName}})
	for _, tt := range []struct {
		pfx, key os.FileMode
		outcome  connsec.Outcome
		severity connsec.Severity
		detail   string
	}{
		{0o600, 0o600, connsec.Pass, connsec.High, "nobody at large has rights on server.pfx and server.key"},
		{0o400, 0o400, connsec.Pass, connsec.High, "nobody at large has rights on server.pfx and server.key"},
		{0o600, 0o644, connsec.Fail, connsec.High, "server.key has rights for everybody on this machine and the file's group"},
		{0o600, 0o640, connsec.Fail, connsec.Medium, "server.key has rights for the file's group"},
		{0o600, 0o604, connsec.Fail, connsec.High, "server.key has rights for everybody on this machine"},
		{0o600, 0o602, connsec.Fail, connsec.High, "server.key has rights for everybody on this machine"},                        // to replace the key is as bad
		{0o644, 0o600, connsec.Fail, connsec.Medium, "server.pfx has rights for everybody on this machine and the file's group"}, // encrypted
		{0o640, 0o666, connsec.Fail, connsec.High, "server.pfx has rights for the file's group; server.key has rights for everybody on this machine and the file's group"},
	} {
		set := writeSet(t, ca, good)
		require.NoError(t, os.Chmod(set.PFX, tt.pfx))
		require.NoError(t, os.Chmod(set.KEY, tt.key))
		r := probeSet(t, set)
		ruletest.Expect(t, r, tt.outcome, tlscheck.RuleKeyExposed)
		f := r.Of(tlscheck.RuleKeyExposed)[0]
		assert.Equal(t, tt.severity, f.Severity, "%o %o", tt.pfx, tt.key)
		assert.Equal(t, tt.detail, f.Detail)
	}
}

// A password that everybody tries first protects nothing.
func TestAnExposedPFXWithAGuessedPassword(t *testing.T) {
	ca := filesCA(t)
	good := ca.MustIssue(t, testca.Leaf{Names: []string{serverName}})
	set := writeSet(t, ca, good)
	writePFX(t, set.PFX, pkcs12.Modern2023, good, "1234")
	require.NoError(t, os.Chmod(set.PFX, 0o644))
	assert.Equal(t, connsec.High, probeSet(t, set).Of(tlscheck.RuleKeyExposed)[0].Severity)
}

// A certificate file is public, unless a key is in it.
func TestACertificateFileMayBeRead(t *testing.T) {
	ca := filesCA(t)
	good := ca.MustIssue(t, testca.Leaf{Names: []string{serverName}})
	set := writeSet(t, ca, good)
	require.NoError(t, os.Chmod(set.CER, 0o644))
	ruletest.Expect(t, probeSet(t, set), connsec.Pass, tlscheck.RuleKeyExposed)

	key, err := good.KeyPEM()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(set.CER, append(good.PEM(), key...), 0o644))
	f := probeSet(t, set).Of(tlscheck.RuleKeyExposed)[0]
	assert.Equal(t, connsec.Fail, f.Outcome)
	assert.Equal(t, "server.cer has rights for everybody on this machine and the file's group", f.Detail)
}

// A pipe would block whoever opens it.
func TestAPipeIsNotOpened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "server.key")
	require.NoError(t, syscall.Mkfifo(path, 0o600))
	r := probeSet(t, tlscheck.FileSet{KEY: path})
	assert.Equal(t, "server.key: it is not a regular file", r.Of(tlscheck.RuleFilesUnreadable)[0].Detail)
	r = probeSet(t, tlscheck.FileSet{KEY: os.DevNull})
	assert.Equal(t, "null: it is not a regular file", r.Of(tlscheck.RuleFilesUnreadable)[0].Detail)
}

// What this process may not read says nothing about the file. The facts are made up, because
// root may read everything.
func TestAnUnreadableFileIsInconclusive(t *testing.T) {
	o := tlscheck.FilesObservation{KEY: &tlscheck.File{Path: "server.key", Problem: tlscheck.FileProblem{Kind: tlscheck.FileDenied, Text: "this process may not read it"}}}
	ruletest.Expect(t, o.Judge(), connsec.Inconclusive,
		tlscheck.RuleFilesMissing, tlscheck.RuleFilesUnreadable, tlscheck.RuleFilesKeyMismatch, tlscheck.RuleKeyExposed)
}
