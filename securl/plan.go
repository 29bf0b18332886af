package securl

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/connsec/connsec"
)

// Plan is what a migration would do, and why it would not. It marshals to JSON.
type Plan struct {
	Database      string `json:"database"`
	ServerVersion string `json:"server_version"` // "15.0.2000.5"
	Schema        string `json:"schema"`
	Table         string `json:"table"`
	ColumnName    string `json:"column_name"`
	KeyName       string `json:"key_name"`
	// Column is the declaration of the password column.
	Column   Column `json:"column"`
	Nullable bool   `json:"nullable"`
	// Collation decides about the hashes: the database's, or the one asked for.
	Collation         Collation `json:"collation"`
	DatabaseCollation Collation `json:"database_collation"`
	// Dependents are indexes, triggers and the like, as "kind name".
	Dependents []string `json:"dependents"`

	// Facts about what the column holds now.
	Facts ColumnObservation `json:"facts"`
	// Batches that the rows make, and how long reading and hashing one took here. Writing it
	// takes longer, and was not tried.
	Batches   int64         `json:"batches"`
	BatchSize int           `json:"batch_size"`
	BatchRead time.Duration `json:"batch_read_ns"`

	// State of an earlier run: "", "running" or "done".
	State string `json:"state"`
	// Refused lists why the migration would not start. Empty: it would.
	Refused []string `json:"refused"`
	// Notes say what cannot be undone, what stays behind, and what else will notice.
	Notes []string `json:"notes"`

	migration Migration
	keys      keyType
	found     bool // the table and both columns, of types that can be read
	progress  *progressState
}

// Report judges what the column holds.
func (p Plan) Report() connsec.Report { return p.Facts.Judge() }

// Err is nil if the migration would start, otherwise a [*RefusedError].
func (p Plan) Err() error {
	if len(p.Refused) == 0 {
		return nil
	}
	return &RefusedError{p.Refused}
}

// progressState is the row of the progress table.
type progressState struct {
	state        string
	batch        int64
	pass         int
	last         key
	seen, hashed int64
	codePage     int
	copyTable    string
}

func (s progressState) first() bool { return s.last.v == nil }

// querier is what [sql.DB] and [sql.Tx] share.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Plan reads the schema and the whole column, and says what Run would do. It writes nothing.
// The error is a [*SettingError] for a setting that is impossible, and another for a database that
// does not answer; a column that must not be migrated is in Plan.Refused.
func (m Migration) Plan(ctx context.Context) (Plan, error) {
	m, err := m.withDefaults()
	if err != nil {
		return Plan{}, err
	}
	p, err := m.schema(ctx)
	if err != nil || !p.found {
		return p, err
	}
	if err := m.classify(ctx, &p); err != nil {
		return p, err
	}
	p.judgeContent()
	p.note()
	return p, nil
}

// schema reads everything but the rows.
func (m Migration) schema(ctx context.Context) (Plan, error) {
	p := Plan{Schema: m.Schema, Table: m.Table, ColumnName: m.Column, KeyName: m.Key, BatchSize: m.BatchSize, migration: m}
	if m.DB == nil {
		return p, &SettingError{"the migration has no database"}
	}
	var database, updateability sql.NullString
	if err := m.DB.QueryRowContext(ctx, stmtServer).Scan(&p.ServerVersion, &p.Database, &database, &updateability); err != nil {
		return p, fmt.Errorf("securl: reading the database's properties: %w", err)
	}
	refuse := func(format string, args ...any) { p.Refused = append(p.Refused, fmt.Sprintf(format, args...)) }
	var err error
	if p.DatabaseCollation, err = ParseCollation(database.String); err != nil {
		refuse("the collation of the database: %s", strings.TrimPrefix(err.Error(), "securl: "))
	}
	p.Collation = p.DatabaseCollation
	if !m.Collation.IsZero() {
		p.Collation = m.Collation
		if m.ServerSide && m.Collation.page != p.DatabaseCollation.page {
			refuse("SQL Server can only hash in the collation of the database (%s), not in %s", p.DatabaseCollation, m.Collation)
		}
	}
	if updateability.String != "READ_WRITE" {
		refuse("the database is %s", strings.ToLower(updateability.String))
	}
	if err := m.columns(ctx, &p, refuse); err != nil || !p.found {
		return p, err
	}

	table := quoteIdent(m.Schema) + "." + quoteIdent(m.Table)
	var unique int
	if err := m.DB.QueryRowContext(ctx, stmtUnique, table, m.Key).Scan(&unique); err != nil {
		return p, fmt.Errorf("securl: reading the indexes: %w", err)
	}
	if unique == 0 {
		refuse("column %s is not unique by itself: a key is needed to tell rows apart", m.Key)
	}
	if err := m.dependents(ctx, &p, table, refuse); err != nil {
		return p, err
	}
	if err := m.earlier(ctx, &p, refuse); err != nil {
		return p, err
	}
	if m.CopyTable != "" && p.progress == nil {
		var there int
		if err := m.DB.QueryRowContext(ctx, stmtExists, quoteIdent(m.Schema)+"."+quoteIdent(m.CopyTable)).Scan(&there); err != nil {
			return p, fmt.Errorf("securl: looking for the copy table: %w", err)
		}
		if there > 0 {
			refuse("table %s exists already, so the copy cannot be put there", m.CopyTable)
		}
	}
	return p, nil
}

// columns finds the password column and the key, and judges their types.
func (m Migration) columns(ctx context.Context, p *Plan, refuse func(string, ...any)) error {
	rows, err := m.DB.QueryContext(ctx, stmtColumns, quoteIdent(m.Schema)+"."+quoteIdent(m.Table), m.Column, m.Key)
	if err != nil {
		return fmt.Errorf("securl: reading the columns: %w", err)
	}
	defer rows.Close()
	var password, keyFound bool
	for rows.Next() {
		var name, typ, collation string
		var length int
		var nullable, computed bool
		if err := rows.Scan(&name, &typ, &length, &nullable, &computed, &collation); err != nil {
			return fmt.Errorf("securl: reading the columns: %w", err)
		}
		units := length // of sys.columns: bytes, -1 for (max)
		if length > 0 && (typ == "nchar" || typ == "nvarchar") {
			units = length / 2
		}
		// The database may compare names without case, so the names that came back count.
		if strings.EqualFold(name, m.Column) && !password {
			password = true
			p.Column, p.Nullable = Column{Type: typ, Length: units}, nullable
			m.judgeColumn(p, collation, computed, refuse)
			continue
		}
		keyFound = true
		p.keys = keyType{Type: typ, Length: units, Collation: collation}
		switch {
		case !p.keys.supported():
			refuse("key column %s has type %s: use an integer, character or uniqueidentifier column", m.Key, typ)
		case nullable:
			refuse("key column %s can be NULL", m.Key)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("securl: reading the columns: %w", err)
	}
	switch {
	case !password && !keyFound:
		refuse("there is no table %s.%s with columns %s and %s, or no permission to see it", m.Schema, m.Table, m.Column, m.Key)
	case !password:
		refuse("table %s.%s has no column %s", m.Schema, m.Table, m.Column)
	case !keyFound:
		refuse("table %s.%s has no column %s", m.Schema, m.Table, m.Key)
	}
	p.found = password && keyFound && p.keys.supported() && p.Column.check() == nil && (p.Column.unicode() || !p.Column.Collation.IsZero())
	return nil
}

func (m Migration) judgeColumn(p *Plan, collation string, computed bool, refuse func(string, ...any)) {
	c := p.Column
	if err := c.check(); err != nil {
		refuse("password column %s has type %s: it must be char, varchar, nchar or nvarchar", m.Column, c.Type)
		return
	}
	var err error
	if p.Column.Collation, err = ParseCollation(collation); err != nil && !c.unicode() {
		refuse("the collation of the password column: %s", strings.TrimPrefix(err.Error(), "securl: "))
	}
	if c.unicode() {
		p.Column.Collation = Collation{} // it sorts, but stores UTF-16
	}
	switch {
	case computed:
		refuse("password column %s is computed", m.Column)
	case c.Length > 0 && c.Length < HashLength:
		refuse("password column %s is %s, and a hash has %d characters: widen it first", m.Column, c, HashLength)
	case c.padded():
		// The guide's script hashes the blanks and so locks everybody out.
		refuse("password column %s is %s, which fills passwords up with blanks: these would be hashed, and nobody types them. "+
			"Change the type to n/varchar and remove trailing blanks first", m.Column, c)
	}
}

func (m Migration) dependents(ctx context.Context, p *Plan, table string, refuse func(string, ...any)) error {
	rows, err := m.DB.QueryContext(ctx, stmtDependents, table, m.Column)
	if err != nil {
		return fmt.Errorf("securl: reading what depends on the column: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var kind string
		var name sql.NullString
		if err := rows.Scan(&kind, &name); err != nil {
			return fmt.Errorf("securl: reading what depends on the column: %w", err)
		}
		p.Dependents = append(p.Dependents, kind+" "+name.String)
		if kind == "unique index" || kind == "foreign key" {
			refuse("password column %s is part of %s %s", m.Column, kind, name.String)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("securl: reading what depends on the column: %w", err)
	}
	slices.Sort(p.Dependents)
	p.Dependents = slices.Compact(p.Dependents)
	return nil
}

// earlier looks for the traces of a run before this one.
func (m Migration) earlier(ctx context.Context, p *Plan, refuse func(string, ...any)) error {
	s := newStatements(m, p.keys)
	var there int
	if err := m.DB.QueryRowContext(ctx, stmtExists, s.progress).Scan(&there); err != nil {
		return fmt.Errorf("securl: looking for the progress table: %w", err)
	}
	if there == 0 {
		return nil
	}
	state, err := readState(ctx, m.DB, s.state(false))
	if err != nil {
		return fmt.Errorf("%w (table %s exists, but is it a progress table?)", err, m.ProgressTable)
	}
	p.progress, p.State = &state, state.state
	if state.codePage != p.Collation.page {
		refuse("the migration was begun in code page %d, not in %d", state.codePage, p.Collation.page)
	}
	if m.CopyTable != "" && !strings.EqualFold(state.copyTable, m.CopyTable) {
		refuse("the migration was begun with copy table %q", state.copyTable)
	}
	return nil
}

func readState(ctx context.Context, q querier, stmt string) (progressState, error) {
	var s progressState
	err := q.QueryRowContext(ctx, stmt).Scan(&s.state, &s.batch, &s.pass, &s.last, &s.seen, &s.hashed, &s.codePage, &s.copyTable)
	if err != nil {
		return s, fmt.Errorf("securl: reading the progress: %w", err)
	}
	return s, nil
}

// storedRow is one row as it is read: its key and the bytes of the password.
type storedRow struct {
	key key
	raw sql.Null[[]byte]
}

func scanRows(rows *sql.Rows, each func(storedRow) error) error {
	defer rows.Close()
	for rows.Next() {
		var r storedRow
		if err := rows.Scan(&r.key, &r.raw); err != nil {
			return err
		}
		if err := each(r); err != nil {
			return err
		}
	}
	return rows.Err()
}

// classify reads the whole column.
func (m Migration) classify(ctx context.Context, p *Plan) error {
	s := newStatements(m, p.keys)
	width := p.Column.Length
	subject := p.Schema + "." + p.Table + "." + p.ColumnName
	begin := m.Now()
	var failed error
	values := func(yield func(Value, error) bool) {
		rows, err := m.DB.QueryContext(ctx, s.scan())
		if err != nil {
			yield(Value{}, err)
			return
		}
		stop := errors.New("stopped")
		err = scanRows(rows, func(r storedRow) error {
			// The key may or may not be the recipient ID, so it is not compared with.
			var v Value
			if r.raw.Valid {
				v.Password = sql.NullString{String: p.text(r.raw.V), Valid: true}
			}
			if !yield(v, nil) {
				return stop
			}
			return nil
		})
		if err != nil && !errors.Is(err, stop) {
			yield(Value{}, err)
		}
	}
	p.Facts, failed = Classify(ctx, iter.Seq2[Value, error](values), ClassifyOptions{Subject: subject, Collation: p.Collation, Width: width, Now: m.Now})
	if failed != nil {
		return fmt.Errorf("securl: reading the column: %w", failed)
	}
	p.Batches = (p.Facts.Rows + int64(m.BatchSize) - 1) / int64(m.BatchSize)
	if p.Batches > 0 {
		p.BatchRead = m.Now().Sub(begin) / time.Duration(p.Batches)
	}
	return nil
}

// text is what the column holds, for classification. What cannot be decoded comes out as text
// that cannot be encoded, and is counted as such.
func (p Plan) text(raw []byte) string {
	s, _, err := p.Column.decode(p.Column.within(p.DatabaseCollation), raw)
	if err != nil {
		return "\xff"
	}
	return s
}

// judgeContent refuses columns that are not all plain text, unless an earlier run made them so.
func (p *Plan) judgeContent() {
	refuse := func(format string, args ...any) { p.Refused = append(p.Refused, fmt.Sprintf(format, args...)) }
	f := p.Facts
	if p.progress != nil {
		return // half is hashed, as it should be; shape and key decide for each row
	}
	foreign := f.HexMD5 + f.otherCount()
	switch {
	case f.values() == 0 && f.Empty == 0:
		refuse("the column holds no passwords")
	case f.Plain == 0 && f.MD5 > 0 && foreign == 0:
		refuse("the column is hashed already: all %d values have the form of Circle's hash", f.MD5)
	case f.MD5+foreign > 0:
		refuse("the column is mixed: %s", strings.Join(f.formats(), ", "))
	}
	if f.Unconverted > 0 {
		refuse("%d passwords cannot be converted to %s, or hold bytes without meaning", f.Unconverted, p.Collation)
	}
}

func (p *Plan) note() {
	note := func(format string, args ...any) { p.Notes = append(p.Notes, fmt.Sprintf(format, args...)) }
	f := p.Facts
	note("hashing cannot be undone; only a backup or a copy brings the passwords back")
	note("the plain passwords stay in older backups, in the transaction log until it is reused, and in free pages of the data file")
	if p.migration.CopyTable != "" {
		note("table %s.%s will hold every password in plain text, readable for whoever may read the schema: drop it when sign-in has been tried", p.Schema, p.migration.CopyTable)
	}
	if f.Empty > 0 {
		note("%d empty passwords become the hash of nothing, as in the guide's script: whoever types nothing may get in", f.Empty)
	}
	if f.NonASCII > 0 {
		note("%d passwords are beyond ASCII: how the XMPL server encodes what is typed is not published, so try to sign in with one of them", f.NonASCII)
	}
	if f.Lossy > 0 {
		note("%d passwords lose characters in %s; %d become equal to another one", f.Lossy, p.Collation, f.Colliding)
	}
	if f.TooLong > 0 {
		note("%d passwords are longer than %d bytes, and only that much of them is hashed", f.TooLong, MaxBytes)
	}
	if p.Collation.page != p.DatabaseCollation.page {
		note("hashes are made in %s, while the guide's function would use the database's collation %s", p.Collation, p.DatabaseCollation)
	}
	for _, d := range p.Dependents {
		switch kind, name, _ := cutLast(d); kind {
		case "index":
			note("index %s is maintained row by row: the run is slower with it", name)
		case "trigger":
			note("trigger %s runs for every batch: see what it does with changed passwords", name)
		case "check constraint":
			note("check constraint %s may refuse hashes", name)
		case "replication", "change data capture", "history table":
			note("%s copies each change, and keeps the plain password of before", kind)
		}
	}
	if p.State == "running" {
		note("an earlier run was interrupted after %d rows and will be continued", p.progress.seen)
	}
	if p.State == "done" {
		note("the migration is finished; another run only verifies it")
	}
}

// cutLast splits "kind name", where the kind may have blanks and is one of a known few.
func cutLast(s string) (kind, name string, ok bool) {
	for _, k := range []string{"unique index", "index", "trigger", "foreign key", "check constraint", "replication", "change data capture", "history table"} {
		if rest, found := strings.CutPrefix(s, k+" "); found {
			return k, rest, true
		}
	}
	return "", s, false
}
