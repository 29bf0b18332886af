package securl

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Every statement for every kind of key stands in testdata, where it can be read and tried.
// To accept a change, delete the file, run the test, and read the new one.
func TestStatements(t *testing.T) {
	var b strings.Builder
	for _, k := range []keyType{
		{Type: "int"},
		{Type: "uniqueidentifier"},
		{Type: "nvarchar", Length: 50, Collation: "Latin1_General_CI_AS"},
		{Type: "varchar", Length: 40, Collation: "Polish_CI_AS"},
	} {
		s := newStatements(Migration{Schema: "dbo", Table: "My ]Recipients", Column: "Password", Key: "R'ID", CopyTable: "Backup", ProgressTable: "P"}, k)
		b.WriteString("-- key " + k.declaration() + "\n")
		for _, stmt := range []string{s.scan(), s.create(), s.insert(), s.copy(), s.state(false), s.state(true), s.read(true, false), s.read(false, true),
			s.reread(true), s.reread(false), s.update(1), s.update(2), s.upto(true), s.upto(false), s.serverHash(true), s.serverHash(false),
			s.mark(), s.restart(), s.finish(), s.compare()} {
			b.WriteString(stmt + ";\n")
		}
	}
	for _, stmt := range []string{stmtServer, stmtColumns, stmtUnique, stmtDependents, stmtExists} {
		b.WriteString(stmt + ";\n")
	}
	golden(t, "testdata/statements.sql", b.String())
}

func TestScript(t *testing.T) {
	p := Plan{
		Database: "Campaign", Schema: "dbo", Table: "Recipients", ColumnName: "Password", KeyName: "Id",
		Collation: Collation{"SQL_Latin1_General_CP1_CI_AS", 1252}, DatabaseCollation: Collation{"SQL_Latin1_General_CP1_CI_AS", 1252},
		Facts: ColumnObservation{Rows: 12345}, Notes: []string{"line one\nDROP TABLE x"},
		keys: keyType{Type: "varchar", Length: 40, Collation: "Polish_CI_AS"},
	}
	m, err := Migration{Table: "Recipients", Column: "Password", Key: "Id", BackupTaken: "2 March; it's @p3", CopyTable: "Backup"}.withDefaults()
	require.NoError(t, err)
	p.migration = m
	script, err := p.Script()
	require.NoError(t, err)
	for _, line := range strings.Split(script, "\n") {
		assert.False(t, strings.HasPrefix(strings.TrimSpace(line), "DROP"), line)
	}
	golden(t, "testdata/script.sql", script)

	p.migration.BackupTaken = "$(PATH)"
	_, err = p.Script()
	require.ErrorContains(t, err, "sqlcmd would replace")

	p.Collation = Collation{page: 1250}
	_, err = p.Script()
	require.ErrorContains(t, err, "can only hash in the collation of the database")
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	want, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
		t.Fatalf("%s was missing and has been written: read it, and run again", file)
	}
	require.NoError(t, err)
	assert.Equal(t, string(want), got)
}

func TestKeys(t *testing.T) {
	var k key
	require.NoError(t, k.Scan([]byte{0xC5, 0x58, 0xA1, 0x6F, 0x40, 0xB2, 0x1E, 0x4D, 0x8C, 1, 2, 3, 4, 5, 6, 7}))
	assert.Equal(t, "6FA158C5-B240-4D1E-8C01-020304050607", k.String())
	assert.Len(t, k.arg(), 16)
	require.NoError(t, k.Scan("a\nb"))
	assert.Equal(t, `"a\nb"`, k.String())
	require.NoError(t, k.Scan(int64(-7)))
	assert.Equal(t, "-7", k.String())
	require.Error(t, k.Scan(1.5))

	latin1 := Collation{page: 1252}
	assert.Equal(t, "varchar(40)", keyType{"varchar", 40, "Latin1_General_CI_AS"}.variable(latin1))
	assert.Equal(t, "nvarchar(40)", keyType{"varchar", 40, "Polish_CI_AS"}.variable(latin1))
	assert.Equal(t, "int", keyType{Type: "int"}.variable(latin1))
}
