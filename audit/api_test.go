package audit_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/apisec"
	"github.com/connsec/connsec/audit"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/trap"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestAPI audits three clients, of which two have the same secret, and one the password of
// another service.
func TestAPI(t *testing.T) {
	server, err := trap.Options{Names: []string{host}}.REST(trap.RESTHonest)
	require.NoError(t, err)
	defer server.Close()
	dir := t.TempDir()
	const database = "57b2e80c46fa4f1c6a08e5d97b32c0a84e6f193d"
	const shared, own, reused = "4f1c6a08e5d97b32c0a84e6f193d57b2e80c46fa", "93d57b2e80c46fa4f1c6a08e5d97b32c0a84e6f1", "b2e80c46fa4f1c6a08e5d97b32c0a84e6f193d57"
	for name, secret := range map[string]string{"a": shared, "b": shared, "c": own, "d": reused, "e": database, "radius": reused, "dsn": "Server=db.corp.internal;User ID=reports;Password=" + database} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(secret+"\n"), 0o600))
	}
	require.NoError(t, os.Chmod(filepath.Join(dir, "c"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "root.pem"), server.CA(), 0o600))
	text := "ca: root.pem\nas_of: 2026-03-01\napi:\n"
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		text += fmt.Sprintf("  - name: client %s\n    id: %s-7B4CD3C2\n    secret_file: %s\n    token_url: https://%s:8093/api/auth/token\n    style: json\n"+
			"    created: 2026-02-01\n    connect: %s\n    plain_port: %s\n", name, name, name, host, server.Addr(), strings.TrimPrefix(server.Addr(), "127.0.0.1:"))
	}
	text += "radius:\n  - host: radius.corp.internal\n    connect: 127.0.0.1:1\n    secret_file: radius\nsql:\n  - dsn_file: dsn\n    connect: 127.0.0.1:1\n"
	d, err := audit.Parse(filepath.Join(dir, "d.yaml"), []byte(text))
	require.NoError(t, err)
	result, err := d.Run(t.Context(), audit.Options{})
	require.NoError(t, err)
	details := map[string]string{}
	for _, f := range result.Report.Of(apisec.RuleSecretShared) {
		details[f.Subject] = f.Outcome.String() + ": " + f.Detail
		require.NotNil(t, f.Source)
	}
	assert.Equal(t, map[string]string{
		"client a": "fail: the same secret as the API secret of client b (12:5)", "client b": "fail: the same secret as the API secret of client a (4:5)",
		"client c": "pass: different from 6 other configured secrets", "client d": "fail: the same secret as the RADIUS secret of radius.corp.internal (45:5)",
		"client e": "fail: the same secret as the SQL password (49:5)",
	}, details)
	for _, f := range result.Report.Findings {
		assert.NotContains(t, f.Detail, shared)
	}
	ruletest.Expect(t, result.Report, connsec.Fail, apisec.RuleUnknownClientAccepted, apisec.RuleSecretNoOwner)
	ruletest.Expect(t, result.Report, connsec.Pass, apisec.RuleSecretOld, apisec.RuleSecretWeak, apisec.RuleSecretLiteral)
	if runtime.GOOS == "windows" { // whose files have lists instead of modes
		return
	}
	exposed := result.Report.Of(apisec.RuleSecretFileExposed)
	require.Len(t, exposed, 5)
	for i, want := range []connsec.Outcome{connsec.Pass, connsec.Pass, connsec.Fail, connsec.Pass, connsec.Pass} {
		assert.Equal(t, want, exposed[i].Outcome, exposed[i].Detail)
	}
}
