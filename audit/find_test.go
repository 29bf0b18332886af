package audit_test

import (
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/apisec"
	"github.com/connsec/connsec/audit"
	"github.com/connsec/connsec/internal/ruletest"
)

// findings are those of the rules about exposure, as "outcome subject".
func findings(r connsec.Report, rules ...*connsec.Rule) (out []string) {
	for _, f := range r.Findings {
		for _, rule := range rules {
			if f.Rule == rule {
				out = append(out, f.Outcome.String()+" "+f.Subject)
			}
		}
	}
	return out
}

func TestFindSection(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	const ldap, own = "Kd83,xkw/9+f&2", "91cf03aa7d5e28b4910cfd3ea7628b5ec41f09d2"
	write("keys/ldap", ldap+"\n")
	write("keys/own", own)
	write("keys/short", "sh0rt!x")
	write("product/etc/app.conf", "host = ü\nbind = é "+base64.StdEncoding.EncodeToString([]byte("id:"+ldap)))
	write("product/notes.log", "client_secret="+own)
	write("logs/one.log", own)
	write("logs/two.log", "nothing")
	const section = "ldap:\n  - {url: 'ldaps://l.corp.example', connect: '127.0.0.1:1', bind_dn: 'CN=a', password_file: keys/ldap}\nfind:\n"
	run := func(ctx context.Context, item string) connsec.Report {
		t.Helper()
		d, err := audit.Parse(filepath.Join(dir, "d.yaml"), []byte(section+item))
		require.NoError(t, err)
		result, err := d.Run(ctx, audit.Options{})
		require.NoError(t, err)
		for _, f := range result.Report.Findings {
			require.NotNil(t, f.Source)
			for _, secret := range []string{ldap, own, "sh0rt!x"} {
				assert.NotContains(t, f.Detail+f.Subject, secret)
			}
		}
		return result.Report
	}

	r := run(t.Context(), "  - {path: [product, logs/one.log], secret_files: [keys/own, keys/ldap]}\n")
	assert.Equal(t, []string{
		"fail LDAP password (keys/ldap) in product/etc/app.conf", "fail secret (keys/own) in product/notes.log",
		"pass LDAP password (keys/ldap) in logs/one.log", "fail secret (keys/own) in logs/one.log",
	}, findings(r, apisec.RuleExposed))
	exposed := r.Of(apisec.RuleExposed)
	assert.Equal(t, &connsec.Position{File: "product/etc/app.conf", Line: 2, Column: 14}, exposed[0].Source)
	assert.Equal(t, &connsec.Position{File: "logs/one.log", Line: 1, Column: 1}, exposed[3].Source)
	assert.Equal(t, 4, exposed[2].Source.Line, "of the deployment file")
	ruletest.ExpectFailed(t, connsec.Report{Findings: exposed}, apisec.RuleExposed)

	// Where it is kept, it may stand; what is left out is said, and what looks like one is told.
	r = run(t.Context(), "  - path: .\n    exclude: [etc, 'd.yaml']\n    patterns: true\n")
	assert.Equal(t, []string{"pass LDAP password (keys/ldap) in .", "fail product/notes.log"}, findings(r, apisec.RuleExposed, apisec.RulePattern))
	assert.Contains(t, r.Of(apisec.RuleExposed)[0].Detail, "only where it is declared to, in keys/ldap")
	assert.Contains(t, r.Of(apisec.RuleExposed)[0].Detail, "left out on request")

	// One secret that cannot be looked for keeps nobody from looking for the others.
	r = run(t.Context(), "  - {path: product, secret_files: keys/short}\n")
	assert.Equal(t, []string{"inconclusive secret (keys/short)", "fail LDAP password (keys/ldap) in product/etc/app.conf"}, findings(r, apisec.RuleExposed))
	assert.Contains(t, r.Of(apisec.RuleExposed)[0].Detail, "fewer than 8 bytes")

	// A deadline leaves the rest unread, which is no pass.
	late, cancel := context.WithDeadline(t.Context(), time.Unix(1, 0))
	defer cancel()
	r = run(late, "  - path: logs\n")
	assert.Equal(t, []string{"inconclusive LDAP password (keys/ldap) in logs", "inconclusive logs"}, findings(r, apisec.RuleExposed))

	// What cannot be looked through keeps nothing from what was found before.
	if runtime.GOOS != "windows" {
		r = run(t.Context(), "  - path: [product, "+os.DevNull+", logs]\n")
		assert.Equal(t, []string{"fail LDAP password (keys/ldap) in product/etc/app.conf", "inconclusive " + os.DevNull, "pass LDAP password (keys/ldap) in logs"}, findings(r, apisec.RuleExposed))
	}

	// What is gone since the file was read is said with its place.
	write("gone/x", "x")
	d, err := audit.Parse(filepath.Join(dir, "d.yaml"), []byte(section+"  - path: [gone, logs]\n"))
	require.NoError(t, err)
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "gone")))
	_, err = d.Run(t.Context(), audit.Options{})
	require.ErrorContains(t, err, "d.yaml:4:5: gone: ")

	for item, want := range map[string]string{
		"find:\n  - patterns: true\n":                          "d.yaml:2:5: give path: the folders or files to look through",
		"find:\n  - path: none\n    patterns: true\n":          "d.yaml:2:5: none: no such file or directory",
		"find:\n  - {path: ., patterns: true, exclude: '['}\n": `d.yaml:2:6: exclude: "[" is no pattern`,
		"find:\n  - path: .\n":                                 "d.yaml:2:5: nothing to look for: no section names a file with a secret; give secret_files, or patterns: true",
		"find:\n  - {path: ., secret_files: none}\n":           "no such file",
		"find:\n  - {path: ., secrets: none}\n":                `unknown key "secrets"; known are path, secret_files, patterns, exclude, key_file`,
		"find:\n  - {path: ., patterns: yes please}\n":         "want true or false",
		"find:\n  - {path: ., patterns: true, key: none}\n":    `unknown key "key"`,
		"find:\n  - {path: ., patterns: true, key_file: x}\n":  "no such file",
	} {
		_, err := audit.Parse("d.yaml", []byte(item))
		require.ErrorContains(t, err, want)
	}
}
