package sqlsec

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/realsrv"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/internal/testca"
	"github.com/connsec/connsec/trap"
)

func inspect(t *testing.T, c trap.SQLConfig) Inspection {
	t.Helper()
	s := startTrap(t, c)
	db, err := login(s).Open(testContext(t))
	require.NoError(t, err)
	defer db.Close()
	o, err := Inspect(testContext(t), db)
	require.NoError(t, err)
	return o
}

func TestInspect(t *testing.T) {
	// sessions answers the three statements of Inspect.
	sessions := func(own, all [][]any, registry []any) trap.SQLConfig {
		return trap.SQLConfig{Query: func(q trap.SQLQuery) (trap.SQLRows, error) {
			switch {
			case strings.Contains(q.Text, "@@SERVERNAME"):
				return trap.SQLRows{Columns: []string{""}, Rows: [][]any{{"SQL1\nx"}}}, nil
			case strings.Contains(q.Text, "@@SPID"):
				return trap.SQLRows{Columns: []string{"a", "b", "c"}, Rows: own}, nil
			case strings.Contains(q.Text, "COUNT_BIG"):
				return trap.SQLRows{Columns: []string{"a", "b", "c", "d"}, Rows: all}, nil
			case strings.Contains(q.Text, "regread"):
				return trap.SQLRows{Columns: []string{"a", "b", "c"}, Rows: [][]any{registry}}, nil
			}
			return trap.SQLRows{}, nil
		}}
	}
	t.Run("hardened", func(t *testing.T) {
		o := inspect(t, sessions([][]any{{"TRUE", "TCP", "SQL"}}, [][]any{{"FALSE", "Shared memory", "NTLM", 3}, {"TRUE", "TCP", "SQL", 2}}, []any{1, nil, "ABCDEF"}))
		ruletest.ExpectFailed(t, o.Judge())
		ruletest.Expect(t, o.Judge(), connsec.Pass, RuleSessionUnencrypted, RuleSessionsUnencrypted, RuleForceEncryptionUnset)
		assert.Equal(t, "abcdef", *o.Certificate)
		assert.Equal(t, "SQL1�x", o.Subject)

		data, err := json.Marshal(o)
		require.NoError(t, err)
		var back Inspection
		require.NoError(t, json.Unmarshal(data, &back))
		assert.Equal(t, o.Judge().Findings, back.Judge().Findings)
	})
	t.Run("weak", func(t *testing.T) {
		o := inspect(t, sessions([][]any{{"FALSE", "TCP", "NTLM"}}, [][]any{{"FALSE", "TCP", "NTLM", 4}, {"TRUE", "TCP", "SQL", 2}}, []any{0, 0, ""}))
		ruletest.ExpectFailed(t, o.Judge(), RuleSessionUnencrypted, RuleSessionsUnencrypted, RuleForceEncryptionUnset)
		assert.Contains(t, o.Judge().Of(RuleSessionsUnencrypted)[0].Detail, "4 of 6")
	})
	t.Run("strict", func(t *testing.T) {
		o := inspect(t, sessions([][]any{{"TRUE", "TCP", "SQL"}}, nil, []any{0, 1, nil}))
		ruletest.Expect(t, o.Judge(), connsec.Pass, RuleForceEncryptionUnset)
		ruletest.Expect(t, o.Judge(), connsec.Inconclusive, RuleSessionsUnencrypted)
	})
	t.Run("without permission", func(t *testing.T) {
		o := inspect(t, trap.SQLConfig{Query: func(q trap.SQLQuery) (trap.SQLRows, error) {
			switch {
			case strings.Contains(q.Text, "dm_exec"):
				return trap.SQLRows{}, &trap.SQLError{Number: 300, Class: 14, Message: "VIEW SERVER STATE permission was denied on object 'server', database 'master'."}
			case strings.Contains(q.Text, "regread"):
				return trap.SQLRows{}, &trap.SQLError{Number: 229, Class: 14, Message: "The EXECUTE permission was denied on the object 'xp_instance_regread'."}
			}
			return trap.SQLRows{Columns: []string{"n"}, Rows: [][]any{{nil}}}, nil
		}})
		r := o.Judge()
		ruletest.ExpectFailed(t, r)
		ruletest.Expect(t, r, connsec.Inconclusive, RuleSessionUnencrypted, RuleSessionsUnencrypted, RuleForceEncryptionUnset)
		assert.Contains(t, r.Of(RuleSessionUnencrypted)[0].Detail, "GRANT VIEW SERVER STATE")
		assert.Contains(t, r.Of(RuleForceEncryptionUnset)[0].Detail, "GRANT EXECUTE")
	})
	t.Run("only itself in sight", func(t *testing.T) {
		o := inspect(t, sessions([][]any{{"TRUE", "TCP", "SQL"}}, [][]any{{"TRUE", "TCP", "SQL", 1}}, []any{1, nil, nil}))
		ruletest.Expect(t, o.Judge(), connsec.Inconclusive, RuleSessionsUnencrypted)
	})
	t.Run("server that cannot be asked", func(t *testing.T) {
		s := startTrap(t, trap.SQLConfig{Query: func(q trap.SQLQuery) (trap.SQLRows, error) {
			if strings.Contains(q.Text, "SERVERNAME") {
				return trap.SQLRows{}, errors.New("no")
			}
			return trap.SQLRows{Columns: []string{"n"}, Rows: [][]any{{1}}}, nil
		}})
		db, err := login(s).Open(testContext(t))
		require.NoError(t, err)
		defer db.Close()
		_, err = Inspect(testContext(t), db)
		assert.Error(t, err)
	})
	t.Run("the trap's own answers", func(t *testing.T) {
		ruletest.ExpectFailed(t, inspect(t, trap.SQLConfig{Posture: trap.SQLOptional}).Judge(), RuleForceEncryptionUnset)
		ruletest.ExpectFailed(t, inspect(t, trap.SQLConfig{}).Judge())
	})
}

func TestForceEncryptionPlanWindows(t *testing.T) {
	p := ForceEncryptionPlan{Host: "SQL.corp.example.", Instance: "PROD", Thumbprint: "\u200eA9 4A 8F E5 CC B1 9B A6 1C 4C 08 73 D3 91 E9 87 98 2F BB D3"}
	text, err := p.Script()
	require.NoError(t, err)
	for _, want := range []string{
		"$thumbprint = 'a94a8fe5ccb19ba61c4c0873d391e987982fbbd3'", "$hostName   = 'sql.corp.example'", "$instance   = 'PROD'",
		"ForceEncryption = @{ Type = 'DWord';  Value = 1 }", "SuperSocketNetLib", "icacls", "Restart-Service", "'undo'", "'check'",
	} {
		assert.Contains(t, text, want)
	}
	assert.NotContains(t, text, "ForceStrict")
	p.Strict = true
	text, err = p.Script()
	require.NoError(t, err)
	assert.Contains(t, text, "ForceStrict")
}

func TestForceEncryptionPlanRefuses(t *testing.T) {
	const good = "a94a8fe5ccb19ba61c4c0873d391e987982fbbd3"
	for _, p := range []ForceEncryptionPlan{
		{Host: "sql1", Thumbprint: good},
		{Host: "sql.corp.example", Thumbprint: "x"},
		{Host: "sql.corp.example", Thumbprint: good, Instance: "A'; Remove-Item C:\\"},
		{Host: "sql.corp.example", Platform: Linux, CertificateFile: "/etc/ssl/a.pem", KeyFile: "/etc/$(id)"},
		{Host: "sql.corp.example", Platform: Linux, CertificateFile: "relative.pem", KeyFile: "/etc/a.key"},
		{Host: "sql.corp.example", Platform: Linux, CertificateFile: "/etc/../a.pem", KeyFile: "/etc/a.key"},
		{Host: "sql.corp.example", Platform: Linux, CertificateFile: "/a.pem", KeyFile: "/a.key", Strict: true},
		{Host: "sql.corp.example", Platform: 9},
	} {
		_, err := p.Script()
		assert.Error(t, err, "%+v", p)
	}
}

// The check of the Linux plan really runs: it takes the right pair and refuses a wrong one.
func TestForceEncryptionPlanLinuxChecks(t *testing.T) {
	realsrv.Need(t, "openssl")
	sh := realsrv.Need(t, "sh")
	ca := testca.MustNew(t)
	dir := t.TempDir()
	write := func(name string, c *testca.Certificate) (cert, key string) {
		cert, key = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
		require.NoError(t, os.WriteFile(cert, c.PEM(), 0o600))
		data, err := c.KeyPEM()
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(key, data, 0o600))
		return cert, key
	}
	cert, key := write("a", ca.MustIssue(t, testca.Leaf{Names: []string{"sql.corp.example"}}))
	_, other := write("b", ca.MustIssue(t, testca.Leaf{Names: []string{"sql.corp.example"}}))
	check := func(host, key string) (string, error) {
		text, err := ForceEncryptionPlan{Platform: Linux, Host: host, CertificateFile: cert, KeyFile: key}.Script()
		require.NoError(t, err)
		cmd := exec.Command(sh, "-s", "check")
		cmd.Stdin = strings.NewReader(text)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := check("sql.corp.example", key)
	assert.NoError(t, err, out)
	assert.Contains(t, out, "does match certificate")
	out, err = check("sql.corp.example", other)
	assert.Error(t, err)
	assert.Contains(t, out, "does not belong")
	out, err = check("db.corp.example", key)
	assert.Error(t, err)
	assert.Contains(t, out, "is not for db.corp.example")
}
