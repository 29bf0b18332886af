package main

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/connsec/connsec/securl"
	"github.com/connsec/connsec/trap"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// campaign answers as much of what a migration asks as the scripts need, from a table in
// memory with three passwords and a NULL. The package securl has the model that is killed and
// disturbed; this one is about the command.
type campaign struct {
	mu              sync.Mutex
	rows, copied    map[int64]any // []byte or nil
	progress        []any         // State … CopyTable; nil: no table
	before          *campaign     // to roll back to
	backup          string
	disturb         func(text string) // another session, or a user, before each statement
	statementsWrite int
	serverHashed    int    // statements that let the server hash
	sabotage        bool   // it hashes as it should not
	dies            string // the statement at which it does
}

func newCampaign() *campaign {
	return &campaign{rows: map[int64]any{1: []byte("secret"), 2: []byte("tr\xe8s"), 3: nil, 4: []byte("hunter2")}}
}

func (c *campaign) answer(q trap.SQLQuery) (trap.SQLRows, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.disturb != nil {
		c.disturb(q.Text)
	}
	if c.dies != "" && q.Text == c.dies {
		return trap.SQLRows{}, &trap.SQLError{Number: 824, Message: "The disk is on fire."}
	}
	arg := func(i int) any { return q.Args[i-1].Value }
	table := func(rows ...[]any) (trap.SQLRows, error) {
		out := trap.SQLRows{Columns: make([]string, 9), Rows: rows}
		if len(rows) > 0 {
			out.Columns = make([]string, len(rows[0]))
		}
		return out, nil
	}
	has := func(parts ...string) bool {
		return !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(q.Text, p) })
	}
	switch {
	case q.Text == "select 1;": // the driver's ping
		return table([]any{int64(1)})
	case q.Text == "BEGIN TRANSACTION":
		c.rollback() // one that was left behind with its connection
		c.before = &campaign{rows: maps.Clone(c.rows), copied: maps.Clone(c.copied), progress: slices.Clone(c.progress)}
	case q.Text == "COMMIT TRANSACTION":
		c.before = nil
	case q.Text == "ROLLBACK TRANSACTION":
		c.rollback()
	case has("SERVERPROPERTY"):
		return table([]any{"15.0.2000.5", "Campaign", "Latin1_General_CI_AS", "READ_WRITE"})
	case has("FROM sys.columns AS c"):
		if arg(1) != "[dbo].[Recipients]" {
			return table()
		}
		return table([]any{"Password", "varchar", int64(50), true, false, "Latin1_General_CI_AS"}, []any{"Id", "int", int64(4), false, false, ""})
	case has("COUNT(*) FROM sys.indexes"):
		return table([]any{int64(1)})
	case has("N'unique index'"):
		return table([]any{"trigger", "On\x1bPassword"})
	case has("COUNT(*) FROM sys.tables"):
		there := arg(1) == "[dbo].[Recipients_Password_securl]" && c.progress != nil || arg(1) == "[dbo].[Spare]" && c.copied != nil
		return table([]any{map[bool]int64{true: 1}[there]})
	case has("SELECT State"):
		if c.progress == nil {
			return trap.SQLRows{}, &trap.SQLError{Number: 208, Message: "Invalid object name."}
		}
		return table(c.progress)
	case has("JOIN [dbo].[Recipients] AS t", "[Spare] AS c"):
		var out [][]any
		for _, id := range c.ids() {
			out = append(out, []any{id, c.copied[id], c.rows[id]})
		}
		return table(out...)
	case has("ROW_NUMBER()"): // the last row of the next batch
		after := int64(0)
		if len(q.Args) > 1 {
			after = arg(2).(int64)
		}
		ids := slices.DeleteFunc(c.ids(), func(id int64) bool { return id <= after })
		if ids = ids[:min(int64(len(ids)), arg(1).(int64))]; len(ids) == 0 {
			return table()
		}
		return table([]any{ids[len(ids)-1], int64(len(ids))})
	case has("FROM [dbo].[Recipients] AS t") && strings.HasPrefix(q.Text, "SELECT") && !has("INTO"):
		var most, after, upTo int64 = 1 << 60, 0, 1 << 60
		if has("TOP (@p1)") {
			most = arg(1).(int64)
		} else if has("<=") {
			upTo = arg(1).(int64)
		}
		if has("> CAST(@p2") {
			after = arg(2).(int64)
		}
		var out [][]any
		for _, id := range c.ids() {
			if id > after && id <= upTo && int64(len(out)) < most {
				out = append(out, []any{id, c.rows[id]})
			}
		}
		return table(out...)
	default:
		c.statementsWrite++
		return c.write(q.Text, arg, len(q.Args))
	}
	return trap.SQLRows{}, nil
}

func (c *campaign) rollback() {
	if c.before != nil {
		c.rows, c.copied, c.progress, c.before = c.before.rows, c.before.copied, c.before.progress, nil
	}
}

// committed ends what was left open, changes what disturbs, and returns the rows.
func (c *campaign) committed(disturb func(string)) map[int64]any {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rollback()
	c.disturb = disturb
	return maps.Clone(c.rows)
}

func (c *campaign) ids() []int64 { return slices.Sorted(maps.Keys(c.rows)) }

func (c *campaign) write(text string, arg func(int) any, args int) (trap.SQLRows, error) {
	switch {
	case strings.HasPrefix(text, "CREATE TABLE [dbo].[Recipients_Password_securl]"):
		c.progress = []any{}
	case strings.Contains(text, "INTO [dbo].[Spare]"):
		c.copied = maps.Clone(c.rows)
	case strings.HasPrefix(text, "INSERT INTO [dbo].[Recipients_Password_securl]"):
		c.backup = arg(2).(string)
		c.progress = []any{"running", int64(0), int64(1), nil, int64(0), int64(0), arg(1), arg(3)}
	case strings.HasPrefix(text, "UPDATE t SET [Password] = v.h"):
		for i := 1; i < args; i += 3 {
			id := arg(i).(int64)
			if old, _ := c.rows[id].([]byte); string(old) != string(arg(i+1).([]byte)) {
				return trap.SQLRows{}, fmt.Errorf("row %d holds\x1b[2J something else", id)
			}
			c.rows[id] = []byte(arg(i + 2).(string))
		}
		return trap.SQLRows{Affected: int64(args / 3)}, nil
	case strings.Contains(text, "HASHBYTES"):
		c.serverHashed++
		after, hashed := int64(0), int64(0)
		if args > 1 {
			after = arg(2).(int64)
		}
		for _, id := range c.ids() {
			old, plain := c.rows[id].([]byte)
			if !plain || id <= after || id > arg(1).(int64) {
				continue
			}
			if c.sabotage {
				old = append([]byte("x"), old...)
			}
			sum := md5.Sum(old)
			c.rows[id] = []byte(base64.StdEncoding.EncodeToString(sum[:]))
			hashed++
		}
		return trap.SQLRows{Affected: hashed}, nil
	case strings.Contains(text, "SET LastKey = CAST"):
		c.progress[1], c.progress[3] = c.progress[1].(int64)+1, arg(1)
		c.progress[4], c.progress[5] = c.progress[4].(int64)+arg(2).(int64), c.progress[5].(int64)+arg(3).(int64)
	case strings.Contains(text, "SET State = 'done'"):
		c.progress[0], c.progress[1] = "done", c.progress[1].(int64)+1
	default:
		return trap.SQLRows{}, fmt.Errorf("not understood: %s", text)
	}
	return trap.SQLRows{Affected: 1}, nil
}

// startCampaign serves one to the scripts, under the name sql01.corp.internal.
func startCampaign() (*trap.SQL, *campaign, error) {
	c := newCampaign()
	s, err := trap.Options{Names: []string{"sql01.corp.internal"}}.SQL(trap.SQLConfig{Posture: trap.SQLForced, Query: c.answer})
	return s, c, err
}

func TestParseRows(t *testing.T) {
	for _, bad := range []string{"", "0", "-", "3-2", "a", "1,,2", "-5", "1-2-3"} {
		_, err := parseRows(bad)
		assert.ErrorAs(t, err, new(usageError), bad)
	}
	in, err := parseRows("1-3, 5,9-")
	require.NoError(t, err)
	var got []int64
	for row := range int64(12) {
		if in(row) {
			got = append(got, row)
		}
	}
	assert.Equal(t, []int64{1, 2, 3, 5, 9, 10, 11}, got)
}

// Every collation and code page that the flags take hashes as the package does.
func TestHashFollowsTheCodePage(t *testing.T) {
	for _, page := range securl.CodePages() {
		col, err := securl.NewCollation(page)
		require.NoError(t, err)
		want, err := securl.Hasher{Collation: col}.Hash("pässwörd €")
		require.NoError(t, err)
		var out, errOut strings.Builder
		code := Run(t.Context(), []string{"securl", "hash", "--code-page", fmt.Sprint(page)}, strings.NewReader("pässwörd €\n"), &out, &errOut)
		assert.Equal(t, exitClean, code, errOut.String())
		assert.Equal(t, want+"\n", out.String())
	}
}

// migrateIn returns the command for the table of a campaign.
func migrateIn(t *testing.T) (*campaign, func(ctx context.Context, more ...string) (int, string, string)) {
	t.Helper()
	server, table, err := startCampaign()
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Close() })
	dir := t.TempDir()
	dsn, ca := filepath.Join(dir, "dsn"), filepath.Join(dir, "ca.pem")
	require.NoError(t, writeNew(dsn, []byte("sqlserver://app:pw@sql01.corp.internal?database=Campaign&encrypt=true"), 0o600))
	require.NoError(t, writeNew(ca, server.CA(), 0o600))
	return table, func(ctx context.Context, more ...string) (int, string, string) {
		var out, err strings.Builder
		code := Run(ctx, append([]string{"securl", "migrate", "--dsn-file", dsn, "--ca", ca, "--connect", server.Addr(),
			"--table", "Recipients", "--column", "Password", "--key", "Id"}, more...), strings.NewReader(""), &out, &err)
		for _, secret := range []string{"secret\n", "hunter2", "tr\xe8s", "très"} {
			assert.NotContains(t, out.String()+err.String(), secret)
		}
		return code, out.String(), err.String()
	}
}

// hashedCampaign is the table afterwards. Computed with openssl: printf secret | openssl md5
// -binary | base64
var hashedCampaign = map[int64]any{1: []byte("Xr4ilOzQ4PCOq3aQ0qbuaQ=="), 2: []byte("OeWvWYTjNpe2AjUMz3mwag=="), 3: nil, 4: []byte("KrljkMfb40Od500MmwsXZw==")}

// What a run leaves in the table, and that a dry run and a script leave nothing.
func TestMigrateCommand(t *testing.T) {
	table, migrate := migrateIn(t)
	untouched := newCampaign().rows
	for _, flags := range [][]string{{"--dry-run"}, {"--script", "--copy-table", "Spare"}, {"--script"}, {}} {
		code, _, errOut := migrate(t.Context(), flags...)
		if len(flags) == 0 || len(flags) == 1 && flags[0] == "--script" {
			assert.Equal(t, exitUsage, code)
			assert.Contains(t, errOut, "--backup-taken")
		} else {
			assert.Equal(t, exitClean, code, errOut)
		}
		assert.Equal(t, untouched, table.committed(nil))
		assert.Zero(t, table.statementsWrite)
	}
	code, out, errOut := migrate(t.Context(), "--copy-table", "Spare", "--batch", "2", "--backup-taken", "full backup of 2 March")
	require.Equal(t, exitClean, code, out+errOut)
	assert.Equal(t, "full backup of 2 March", table.backup)
	assert.Equal(t, untouched, table.copied)
	assert.Equal(t, hashedCampaign, table.committed(nil))
	for line := range strings.Lines(out) {
		assert.LessOrEqual(t, len([]rune(strings.TrimRight(line, "\n"))), 80, line)
	}
}

// Interrupted, the command says how far it came, and the same command continues.
func TestMigrateInterrupted(t *testing.T) {
	table, migrate := migrateIn(t)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	table.committed(func(text string) {
		if strings.HasPrefix(text, "UPDATE t SET") && table.progress[1].(int64) > 0 { // in the second batch
			interrupt()
		}
	})
	code, out, errOut := migrate(ctx, "--batch", "1", "--backup-taken", "full backup of 2 March")
	assert.Equal(t, exitUnknown, code, out)
	assert.Equal(t, "connsec securl migrate: interrupted\n", errOut)
	assert.Contains(t, out, "stopped; everything up to here stays, and the same command continues: 1 rows")
	rows := table.committed(nil)
	assert.Equal(t, hashedCampaign[1], rows[1])
	assert.Equal(t, newCampaign().rows[4], rows[4])

	code, out, errOut = migrate(t.Context(), "--batch", "1", "--backup-taken", "full backup of 2 March")
	assert.Equal(t, exitClean, code, errOut)
	assert.Contains(t, out, "an earlier run was interrupted after 1 rows and will be continued")
	assert.Contains(t, out, "continued an earlier run, and migrated: 3 rows, 2 hashed, 1 NULL")
	assert.Equal(t, hashedCampaign, table.committed(nil))
}

// A row that does not hold the hash of its copy is a finding, with its key.
func TestMigrateShowsChangedRows(t *testing.T) {
	table, migrate := migrateIn(t)
	table.committed(func(text string) {
		if strings.Contains(text, "[Spare] AS c") {
			table.rows[4] = []byte("Xr4ilOzQ4PCOq3aQ0qbuaQ==")
		}
	})
	code, out, errOut := migrate(t.Context(), "--copy-table", "Spare")
	assert.Equal(t, exitFindings, code, errOut)
	assert.Contains(t, out, "1 rows hold something else than the hash of their copy: look at them before the\ncopy is dropped\n  4\n")
}

// A server that fails in the middle is no mistake in the command line.
func TestMigrateSaysThatTheServerFailed(t *testing.T) {
	table, migrate := migrateIn(t)
	table.committed(func(text string) {
		if strings.HasPrefix(text, "UPDATE t SET") {
			table.rows[1] = []byte("changed") // the model answers this with an error
		}
	})
	code, out, errOut := migrate(t.Context(), "--backup-taken", "full backup of 2 March")
	assert.Equal(t, exitUnknown, code, out)
	assert.Contains(t, errOut, "connsec securl migrate: writing hashes: ")
	assert.Equal(t, 1, strings.Count(errOut, "\n"))
	assert.NotContains(t, out+errOut, "\x1b", "the server does not drive the terminal")
}

// A server that dies at any of the statements that only read is none either: with every statement of
// the plan.
func TestMigrateSaysThatTheServerFailedBefore(t *testing.T) {
	table, migrate := migrateIn(t)
	var reads []string // the statements of a plan
	table.committed(func(text string) { reads = append(reads, text) })
	code, _, errOut := migrate(t.Context(), "--dry-run")
	require.Equal(t, exitClean, code, errOut)
	reads = slices.DeleteFunc(reads, func(text string) bool { return text == "select 1;" })
	slices.Sort(reads)
	reads = slices.Compact(reads)
	require.Greater(t, len(reads), 5)
	for _, dies := range reads {
		for _, flags := range [][]string{{"--dry-run"}, {"--script", "--backup-taken", "x"}} {
			table.mu.Lock()
			table.disturb, table.dies = nil, dies
			table.mu.Unlock()
			code, out, errOut := migrate(t.Context(), flags...)
			if code == exitClean && flags[0] == "--script" {
				continue // a statement that a script does without
			}
			assert.Equal(t, exitUnknown, code, dies+out)
			assert.Regexp(t, "^connsec securl migrate: .*The disk is on fire.*\n$", errOut, dies)
		}
	}
	table.mu.Lock()
	table.dies = ""
	table.mu.Unlock()
	code, _, errOut = migrate(t.Context(), "--batch", "100000", "--dry-run")
	assert.Equal(t, exitUsage, code, "this is one")
	assert.Contains(t, errOut, "a batch of 100000 rows is not possible: use 1 to 650")
}

// SQL Server hashes, and is believed only if it makes the same hashes.
func TestMigrateServerSide(t *testing.T) {
	table, migrate := migrateIn(t)
	table.mu.Lock()
	table.sabotage = true
	table.mu.Unlock()
	code, out, errOut := migrate(t.Context(), "--server-side", "--backup-taken", "full backup of 2 March", "--batch", "3")
	assert.Equal(t, exitUnknown, code, out)
	assert.Contains(t, errOut, "SQL Server made other hashes than expected; nothing of this batch was committed (row with key 1)")
	assert.Equal(t, newCampaign().rows, table.committed(nil))

	table.mu.Lock()
	table.sabotage = false
	table.mu.Unlock()
	code, out, errOut = migrate(t.Context(), "--server-side", "--sample", "1", "--backup-taken", "full backup of 2 March", "--batch", "3")
	require.Equal(t, exitClean, code, out+errOut)
	assert.Contains(t, out, "migrated: 4 rows, 3 hashed")
	assert.Equal(t, hashedCampaign, table.committed(nil))
	assert.Equal(t, 3, table.serverHashed, "statements: one that was rolled back, and one for each batch")

	code, _, errOut = migrate(t.Context(), "--server-side", "--sample", "-1", "--backup-taken", "x")
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, errOut, "the sample cannot be negative")
}
