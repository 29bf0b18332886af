package securl

import (
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Migration hashes a password column in SQL Server, as the T-SQL script of the Circle security
// guide does, but so that it can be interrupted at any instant, and run again at any time,
// without losing a password or hashing one twice.
//
// Rows are worked on in the order of their key, in batches. The hashes of a batch and the last
// key of it are committed in one transaction, so what is behind that key is hashed and what is
// ahead of it is not. As a second line of defence, a value that has the form of a hash is never
// hashed.
type Migration struct {
	// DB is a connection to the database that holds the table, through a driver with
	// parameters @p1, @p2, … (go-mssqldb under its name "sqlserver"). The user needs SELECT
	// and UPDATE on the table, and CREATE TABLE in its schema.
	DB *sql.DB
	// Schema of the table. Default dbo.
	Schema string
	// Table, Column and Key name the table, its password column, and a column that is unique
	// and never NULL, of an integer, character or uniqueidentifier type.
	Table, Column, Key string
	// Collation decides about the bytes that are hashed. Default: that of the database, which
	// is what the guide's function uses.
	Collation Collation
	// BackupTaken says which backup can bring the column back: "full backup of 2 March,
	// verified". Either this or CopyTable is required before anything is written.
	BackupTaken string
	// CopyTable, if set, is created in the same schema with the key and the password of every
	// row before the first is hashed. It holds all passwords in plain text: drop it as soon as
	// sign-in has been tried.
	CopyTable string
	// ProgressTable is created in the same schema and remembers what is done. It is also what
	// refuses a second run, so leave it there. Default: table, column and "securl", joined by
	// underscores.
	ProgressTable string
	// BatchSize is how many rows are committed at a time. Default 500; at most 650 unless
	// ServerSide, because a statement takes 2100 parameters.
	BatchSize int
	// ServerSide lets SQL Server compute the hashes, which saves sending each row back.
	// The first Sample rows of every batch are hashed here as well, and a difference ends the
	// run before anything of the batch is committed. Default: hashes are computed here, and
	// every row is read back before it is committed.
	ServerSide bool
	// Sample is how many rows of each batch are compared if ServerSide. Default 50.
	Sample int
	// DryRun reads and hashes every row and writes nothing.
	DryRun bool
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

var (
	// ErrMigrated says that the progress table records a finished migration. Nothing was
	// written. If plain passwords have turned up since, the error is also [ErrStragglers], and
	// a run with a new BackupTaken hashes those.
	ErrMigrated = errors.New("securl: the column was migrated before")
	// ErrNoBackup says that there is neither a backup nor a copy to return to.
	ErrNoBackup = errors.New("securl: hashing cannot be undone: say which backup was taken (BackupTaken), or name a table for a copy (CopyTable)")
	// ErrServerDiffers says that SQL Server made other hashes than this package. The batch was
	// rolled back.
	ErrServerDiffers = errors.New("securl: SQL Server made other hashes than expected; nothing of this batch was committed")
	// ErrStragglers says that plain passwords turned up again behind the migration.
	ErrStragglers = errors.New("securl: something still writes plain passwords: set the password hashing of the Circle project to MD5, stop other writers, and run the migration again")
)

// RefusedError lists why a column is not migrated.
type RefusedError struct{ Reasons []string }

func (e *RefusedError) Error() string {
	return "securl: not migrated: " + strings.Join(e.Reasons, "; ")
}

// SettingError says what is impossible about the fields of a [Migration]. It comes before anything
// is asked of the database; an error of any other kind is the database's, or the column's.
type SettingError struct{ Reason string }

func (e *SettingError) Error() string { return "securl: " + e.Reason }

const (
	defaultBatch  = 500
	mostBatch     = 650 // three parameters a row, and SQL Server takes 2100 in all
	defaultSample = 50
	mostIdent     = 128 // characters; sysname is nvarchar(128)
)

// withDefaults fills in the defaults and checks what can be checked offline. The error is a
// [*SettingError].
func (m Migration) withDefaults() (Migration, error) {
	m, err := m.defaults()
	if err != nil {
		return m, &SettingError{strings.TrimPrefix(err.Error(), "securl: ")}
	}
	return m, nil
}

func (m Migration) defaults() (Migration, error) {
	if m.Schema == "" {
		m.Schema = "dbo"
	}
	for _, v := range []struct{ what, name string }{
		{"schema", m.Schema}, {"table", m.Table}, {"password column", m.Column}, {"key column", m.Key},
	} {
		if err := checkIdent(v.what, v.name); err != nil {
			return m, err
		}
	}
	if m.ProgressTable == "" {
		m.ProgressTable = m.Table + "_" + m.Column + "_securl"
	}
	if err := checkIdent("progress table", m.ProgressTable); err != nil {
		return m, err
	}
	if m.CopyTable != "" {
		if err := checkIdent("copy table", m.CopyTable); err != nil {
			return m, err
		}
	}
	// Names compare without case under nearly every collation.
	names := []string{m.Table, m.ProgressTable, m.CopyTable}
	for i, a := range names {
		for _, b := range names[i+1:] {
			if strings.EqualFold(a, b) {
				return m, fmt.Errorf("securl: table, progress table and copy table need different names, not %q twice", a)
			}
		}
	}
	if strings.EqualFold(m.Column, m.Key) {
		return m, errors.New("securl: the password column cannot be the key: hashing would change the order it is done in")
	}
	most := mostBatch
	if m.ServerSide {
		most = 100_000
	}
	switch {
	case m.BatchSize == 0:
		m.BatchSize = defaultBatch
	case m.BatchSize < 0 || m.BatchSize > most:
		return m, fmt.Errorf("securl: a batch of %d rows is not possible: use 1 to %d", m.BatchSize, most)
	}
	switch {
	case m.Sample == 0:
		m.Sample = defaultSample
	case m.Sample < 0:
		return m, errors.New("securl: the sample cannot be negative")
	}
	m.Sample = min(m.Sample, m.BatchSize)
	if utf8.RuneCountInString(m.BackupTaken) > 400 || !utf8.ValidString(m.BackupTaken) || strings.ContainsFunc(m.BackupTaken, unicode.IsControl) {
		return m, errors.New("securl: the note on the backup must be one line of at most 400 characters")
	}
	if m.Now == nil {
		m.Now = time.Now
	}
	return m, nil
}

// checkIdent allows what SQL Server allows within brackets, except what only an attack or an
// accident would hold.
func checkIdent(what, name string) error {
	switch {
	case name == "":
		return fmt.Errorf("securl: the %s has no name", what)
	case !utf8.ValidString(name), strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("securl: the name of the %s has control characters", what)
	case utf8.RuneCountInString(name) > mostIdent:
		return fmt.Errorf("securl: the name of the %s is longer than %d characters", what, mostIdent)
	case strings.HasPrefix(name, "#"):
		return fmt.Errorf("securl: the %s cannot be a temporary table", what)
	}
	return nil
}

// quoteIdent is QUOTENAME: in brackets, a closing one doubled.
func quoteIdent(name string) string { return "[" + strings.ReplaceAll(name, "]", "]]") + "]" }

// quoteText is a Unicode string literal.
func quoteText(s string) string { return "N'" + strings.ReplaceAll(s, "'", "''") + "'" }

// keyType is the type of the key column and how keys travel.
type keyType struct {
	Type      string `json:"type"` // of sys.types
	Length    int    `json:"length,omitempty"`
	Collation string `json:"collation,omitempty"`
}

var collationName = regexp.MustCompile(`^[A-Za-z0-9_]+$`)

func (k keyType) supported() bool {
	switch k.Type {
	case "tinyint", "smallint", "int", "bigint", "uniqueidentifier":
		return true
	case "char", "varchar", "nchar", "nvarchar":
		// Not (max), which cannot be unique. The collation goes into statements as it is.
		return k.Length > 0 && collationName.MatchString(k.Collation)
	}
	return false
}

// declaration is the type as it stands in a CREATE TABLE.
func (k keyType) declaration() string {
	switch k.Type {
	case "char", "varchar", "nchar", "nvarchar":
		return k.Type + "(" + strconv.Itoa(k.Length) + ") COLLATE " + k.Collation
	}
	return k.Type
}

// read is the expression that brings a key to the client. VARCHAR comes as NVARCHAR and
// uniqueidentifier as its bytes, so that no driver's conversion comes between.
func (k keyType) read(expr string) string {
	switch k.Type {
	case "uniqueidentifier":
		return "CAST(" + expr + " AS binary(16))"
	case "char", "varchar":
		return "CAST(" + expr + " AS nvarchar(4000))"
	case "nchar", "nvarchar":
		return expr
	}
	return "CAST(" + expr + " AS bigint)"
}

// write is the expression that turns a parameter into a key. The collation has to be on the
// parameter and not on the result: it decides the code page of the conversion.
func (k keyType) write(expr string) string {
	switch k.Type {
	case "char", "varchar", "nchar", "nvarchar":
		return "CAST(" + expr + " COLLATE " + k.Collation + " AS " + k.Type + "(" + strconv.Itoa(k.Length) + "))"
	}
	return "CAST(" + expr + " AS " + k.Type + ")"
}

// key is a key value as it travels: int64, string or 16 bytes.
type key struct{ v any }

// Scan takes what the driver gives.
func (k *key) Scan(v any) error {
	switch v := v.(type) {
	case int64, string:
		k.v = v
	case []byte:
		k.v = string(v)
		if len(v) == 16 {
			k.v = [16]byte(v)
		}
	case nil:
		k.v = nil
	default:
		return fmt.Errorf("securl: a key came as %T", v)
	}
	return nil
}

// arg is the key as a parameter.
func (k key) arg() any {
	if b, ok := k.v.([16]byte); ok {
		return b[:]
	}
	return k.v
}

// String shows a key in a message.
func (k key) String() string {
	switch v := k.v.(type) {
	case [16]byte:
		// uniqueidentifier keeps its first three groups little endian.
		return strings.ToUpper(hex.EncodeToString([]byte{v[3], v[2], v[1], v[0]}) + "-" + hex.EncodeToString([]byte{v[5], v[4]}) + "-" +
			hex.EncodeToString([]byte{v[7], v[6]}) + "-" + hex.EncodeToString(v[8:10]) + "-" + hex.EncodeToString(v[10:]))
	case string:
		return strconv.Quote(clip(v))
	}
	return fmt.Sprint(k.v)
}
