package audit_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/audit"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/securl"
	"github.com/connsec/connsec/trap"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// auditFiles runs the deployment file over files beside it.
func auditFiles(t *testing.T, files map[string]string, deployment string) connsec.Report {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	d, err := audit.Parse(filepath.Join(dir, "deployment.yaml"), []byte(deployment))
	require.NoError(t, err)
	result, err := d.Run(t.Context(), audit.Options{})
	require.NoError(t, err)
	for _, f := range result.Report.Findings {
		require.NotNil(t, f.Source, f.Rule.ID)
		assert.NotContains(t, fmt.Sprint(f.Detail, f.Evidence), "kestrel", "no password in a finding")
	}
	return result.Report
}

func TestSecURLSetting(t *testing.T) {
	r := auditFiles(t, nil, "securl:\n  - method: none\n")
	ruletest.ExpectFailed(t, r, securl.RulePlaintext)
	r = auditFiles(t, nil, "securl:\n  - method: md5\n")
	ruletest.ExpectFailed(t, r, securl.RuleMD5Weak)
	ruletest.Expect(t, r, connsec.Pass, securl.RulePlaintext)
}

func TestSecURLList(t *testing.T) {
	const hashed = "WiQEUOw2PVeHmpvt7RuvlA==" // of another password
	files := map[string]string{
		"plain.csv":  "Id;Password\n1;kestrel-1\n2;kestr\xe9l\n3;NULL\n",
		"hashed.csv": "Id,Password\n1," + hashed + "\n",
		"mixed.tsv":  "Id\tPassword\n1\t" + hashed + "\n2\tkestrel\"2\n",
		"broken.csv": "Id,Password\n1,\"kestrel\n",
	}
	item := func(more ...string) string {
		return "securl:\n  - column: Password\n    " + strings.Join(more, "\n    ") + "\n"
	}
	r := auditFiles(t, files, item("list: plain.csv", `delimiter: ";"`, "encoding: CP1252", "collation: Latin1_General_CI_AS", `"null": "NULL"`, "id: Id", "width: 24"))
	ruletest.ExpectFailed(t, r, securl.RulePlaintext)
	ruletest.Expect(t, r, connsec.Pass, securl.RuleTooNarrow, securl.RuleLossy, securl.RuleTruncated, securl.RuleGuessable)
	assert.Equal(t, "2 of 2 values look like plain text", r.Of(securl.RulePlaintext)[0].Detail, "NULL is no password")

	r = auditFiles(t, files, item("list: hashed.csv", "width: 12", "user: Id"))
	ruletest.ExpectFailed(t, r, securl.RuleMD5Weak, securl.RuleTooNarrow)
	ruletest.Expect(t, r, connsec.Pass, securl.RulePlaintext)

	r = auditFiles(t, files, item("list: mixed.tsv", "delimiter: tab", "no_quotes: true"))
	ruletest.ExpectFailed(t, r, securl.RulePlaintext, securl.RuleMixed, securl.RuleMD5Weak)

	// What cannot be read proves nothing.
	for list, detail := range map[string]string{
		"broken.csv": "line 2, column 3: the quotation mark that begins here is never closed",
		"hashed.tsv": "hashed.tsv: no such file or directory",
		"mixed.tsv":  "line 1, column 1: there is no column",
		"plain.csv":  "is that the delimiter?",
	} {
		r = auditFiles(t, files, item("list: "+list))
		ruletest.Expect(t, r, connsec.Inconclusive, securl.RulePlaintext)
		require.Len(t, r.Findings, 1)
		assert.Contains(t, r.Findings[0].Detail, detail)
	}
}

func TestSecURLTable(t *testing.T) {
	var writes []string
	rows := [][]any{{int64(1), []byte("kestrel-1")}, {int64(2), []byte("kestrel-2")}, {int64(3), nil}}
	server, err := trap.Options{Names: []string{"sql01.corp.internal"}}.SQL(trap.SQLConfig{Posture: trap.SQLForced, Query: func(q trap.SQLQuery) (trap.SQLRows, error) {
		table := func(rows ...[]any) (trap.SQLRows, error) {
			width := 1
			if len(rows) > 0 {
				width = len(rows[0])
			}
			return trap.SQLRows{Columns: make([]string, width), Rows: rows}, nil
		}
		for part, rows := range map[string][][]any{
			"select 1":                 {{int64(1)}},
			"SERVERPROPERTY":           {{"15.0.2000.5", "Campaign", "Latin1_General_CI_AS", "READ_WRITE"}},
			"COUNT(*) FROM sys.tables": {{int64(0)}},
			"COUNT(*) FROM sys.indexes AS i\n WHERE i.object_id = OBJECT_ID(@p1) AND i.is_unique": {{int64(1)}},
			"FROM sys.columns AS c JOIN sys.tables": {
				{"Password", "varchar", int64(50), true, false, "Latin1_General_CI_AS"}, {"Id", "int", int64(4), false, false, ""}},
		} {
			if strings.Contains(q.Text, part) && !(len(q.Args) > 0 && q.Args[0].Value == "[dbo].[Nowhere]") {
				return table(rows...)
			}
		}
		switch {
		case strings.Contains(q.Text, "FROM [dbo].[Recipients] AS t") && strings.HasPrefix(q.Text, "SELECT") && !strings.Contains(q.Text, "INTO"):
			return table(rows...)
		case strings.HasPrefix(q.Text, "SELECT"):
			return table()
		}
		writes = append(writes, q.Text)
		return trap.SQLRows{}, nil
	}})
	require.NoError(t, err)
	defer server.Close()
	files := map[string]string{"ca.pem": string(server.CA()),
		"dsn": "sqlserver://app:kestrel@sql01.corp.internal?database=Campaign&encrypt=true", "weak": "sqlserver://app:kestrel@sql01.corp.internal?encrypt=disable"}
	item := func(table, dsn string) string {
		return fmt.Sprintf("ca: ca.pem\nsecurl:\n  - sql:\n      dsn_file: %s\n      connect: %s\n    table: %s\n    column: Password\n    key: Id\n", dsn, server.Addr(), table)
	}
	r := auditFiles(t, files, item("Recipients", "dsn"))
	ruletest.ExpectFailed(t, r, securl.RulePlaintext)
	assert.Equal(t, "2 of 2 values look like plain text", r.Of(securl.RulePlaintext)[0].Detail)
	ruletest.Expect(t, r, connsec.Pass, securl.RuleTooNarrow, securl.RuleLossy)
	assert.Empty(t, writes, "an audit writes nothing")

	for _, unread := range []string{item("Nowhere", "dsn"), item("Recipients", "weak")} {
		r = auditFiles(t, files, unread)
		ruletest.Expect(t, r, connsec.Inconclusive, securl.RulePlaintext)
	}
}

func TestMistakesInSecURL(t *testing.T) {
	mistakes := map[string]string{
		"securl:\n  - column: P\n":                                               "d.yaml:2:5: give one of method, project or site, list, and sql",
		"securl:\n  - list: a.csv\n    method: none\n":                           "d.yaml:2:5: give one of method, project or site, list, and sql",
		"securl:\n  - list: a.csv\n":                                             "d.yaml:2:5: column is missing: name the one with the passwords",
		"securl:\n  - method: sha1\n":                                            "d.yaml:2:13: securl[0].method: ",
		"securl:\n  - list: a.csv\n    delimiter: both\n":                        `d.yaml:3:16: securl[0].delimiter: "both" is not a delimiter; write one character, or tab`,
		"securl:\n  - list: a.csv\n    collation: Latin1_Genral_CI_AS\n":         "d.yaml:3:16: securl[0].collation: ",
		"securl:\n  - column: P\n    sql: {host: a}\n":                           "d.yaml:2:5: give table and key",
		"securl:\n  - column: P\n    table: T\n    key: K\n    sql: {port: 1}\n": "d.yaml:2:5: the database: give one of dsn_file, dsn and host",
	}
	for _, file := range slices.Sorted(maps.Keys(mistakes)) {
		_, err := audit.Parse("d.yaml", []byte(file))
		if assert.Error(t, err, file) {
			assert.True(t, strings.HasPrefix(err.Error(), mistakes[file]), "got: %s", err)
			assert.NotContains(t, err.Error(), "\n")
		}
	}
}

func TestSecURLSite(t *testing.T) {
	r := auditFiles(t, nil, "securl:\n  - project: {name: Spring, securl: on, xmpl: \"2.4\", https: on, product: site, recipient_key: auto, login_url: login.html, lifetime: 1h}\n")
	ruletest.ExpectFailed(t, r, securl.RuleXMPLTooOld, securl.RuleMD5Weak)
	r = auditFiles(t, nil, "securl:\n  - project: {recipient_key: \"[[firstname]].[[lastname]]\", sample_keys: [Kestrel.One, Kestrel.Two]}\n")
	ruletest.Expect(t, r, connsec.Fail, securl.RuleRecipientKeyGuessable)

	s, err := trap.Options{Names: []string{"www.corp.example"}}.XMPL(trap.XMPLSignOutIgnored)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	files := map[string]string{"ca.pem": string(s.CA()), "password": trap.XMPLPassword + "\n"}
	r = auditFiles(t, files, "ca: [ca.pem]\nsecurl:\n  - site: https://www.corp.example"+s.Path()+"\n    connect: "+s.Addr()+"\n    recipient: "+trap.XMPLRecipient+
		"\n    password_file: password\n    project: {securl: on, xmpl: \"3.5\", https: on, product: site, recipient_key: auto}\n")
	ruletest.ExpectFailed(t, r, securl.RuleSignOutIgnored, securl.RuleMD5Weak)
	assert.NotContains(t, fmt.Sprint(r), trap.XMPLPassword)

	files["other"] = trap.XMPLOtherPassword
	r = auditFiles(t, files, "ca: [ca.pem]\nsecurl:\n  - site: https://www.corp.example"+s.Path()+"\n    connect: "+s.Addr()+"\n    recipient: "+trap.XMPLRecipient+
		"\n    password_file: password\n    other: {recipient: "+trap.XMPLOtherRecipient+", password_file: other}\n")
	ruletest.Expect(t, r, connsec.Pass, securl.RuleTokenOpensOthers)
	assert.NotContains(t, fmt.Sprint(r), trap.XMPLOtherPassword)

	r = auditFiles(t, nil, "securl:\n  - site: https://www.corp.example/\n    recipient: x\n    connect: 127.0.0.1:1\n    password_file: missing\n")
	assert.Contains(t, fmt.Sprint(r.Of(securl.RuleDataOpen)), "missing: no such file")

	for in, want := range map[string]string{
		"securl:\n  - project: {securl: on}\n    recipient: x\n":   "give its address as site",
		"securl:\n  - project: {securl: on}\n    method: md5\n":    "give one of method",
		"securl:\n  - project: {securl: maybe}\n":                  "one of on, off",
		"securl:\n  - site: https://x.example/\n    other: {}\n":   "other needs recipient and password_file",
		"securl:\n  - project: {}\n    other: {recipient: x}\n":    "give its address as site",
		"securl:\n  - project: {secure: on}\n":                     "unknown key",
		"securl:\n  - site: https://x.example/\n    guesses: -1\n": "not negative",
	} {
		_, err := audit.Parse("deployment.yaml", []byte(in))
		require.ErrorContains(t, err, want)
	}
}
