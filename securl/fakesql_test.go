package securl_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"database/sql"
	"database/sql/driver"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf16"
)

// fakeServer is as much of SQL Server as a migration of dbo.Recipients (Id int, Password) needs:
// it understands exactly the statements that are sent, in memory, with transactions, and can be
// killed at every one of them. What it says about T-SQL is only what these statements say; a
// real server has to confirm the rest.
type fakeServer struct {
	mu        sync.Mutex
	committed tables

	columnType      string // varchar, nvarchar, …
	columnLength    int    // as sys.columns has it: bytes
	columnCollation string
	collation       string
	updateability   string
	keyType         string
	keyNullable     bool
	unique          int
	dependents      [][2]string
	noTable         bool

	ops     int
	killAt  int // the operation that fails, from 1; 0: none
	killHow killMode
	// before is called, without the lock, before each statement; it may be another session.
	before func(stmt string)
	// tamper changes what an UPDATE stores, as a trigger would.
	tamper func([]byte) []byte
	// sabotage makes the server compute other hashes than it should.
	sabotage bool
	writes   int // statements that change data
}

type killMode int

const (
	beforeEffect killMode = iota
	afterEffect
	whileReading
)

type tables struct {
	rows     map[int64]*string // bytes of the column; nil is NULL
	copy     map[int64]*string
	progress *progressRow
}

type progressRow struct {
	state        string
	batch, pass  int64
	last         *int64
	seen, hashed int64
	page         int64
	note, copyTo string
}

func (t tables) clone() tables {
	c := tables{rows: map[int64]*string{}}
	for k, v := range t.rows {
		c.rows[k] = v // values are replaced, never changed
	}
	if t.copy != nil {
		c.copy = map[int64]*string{}
		for k, v := range t.copy {
			c.copy[k] = v
		}
	}
	if t.progress != nil {
		p := *t.progress
		c.progress = &p
	}
	return c
}

func newFakeServer(columnType string, rows map[int64]*string) *fakeServer {
	s := &fakeServer{
		committed: tables{rows: rows}, columnType: columnType, columnLength: 100, columnCollation: "Latin1_General_CI_AS",
		collation: "SQL_Latin1_General_CP1_CI_AS", updateability: "READ_WRITE", keyType: "int", unique: 1,
	}
	return s
}

func (s *fakeServer) open(t testing.TB) *sql.DB {
	db := sql.OpenDB(s)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// set is another session that changes a row and commits.
func (s *fakeServer) set(id int64, v *string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.committed = s.committed.clone()
	s.committed.rows[id] = v
}

func (s *fakeServer) get() tables {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.committed
}

// encode is text as the column holds it.
func (s *fakeServer) encode(text string) *string {
	if strings.HasPrefix(s.columnType, "n") {
		var b []byte
		for _, u := range utf16.Encode([]rune(text)) {
			b = append(b, byte(u), byte(u>>8))
		}
		text = string(b)
	}
	return &text
}

func (s *fakeServer) Connect(context.Context) (driver.Conn, error) { return &fakeConn{s: s}, nil }
func (s *fakeServer) Driver() driver.Driver                        { return nil }

var errKilled = errors.New("connection reset by peer")

type fakeConn struct {
	s    *fakeServer
	dead bool
	tx   *tables
	mine map[int64]bool // rows that the transaction has written
	// progressMine: the transaction has written the progress row. There are no locks here, so
	// two sessions may both read it; the second to write must notice.
	progressMine bool
}

func (c *fakeConn) Prepare(string) (driver.Stmt, error) { return nil, errors.New("not prepared") }
func (c *fakeConn) Close() error                        { return nil }
func (c *fakeConn) Begin() (driver.Tx, error)           { return nil, errors.New("use BeginTx") }
func (c *fakeConn) IsValid() bool                       { return !c.dead }

// step counts an operation and says whether it is the one that is killed.
func (c *fakeConn) step() (killMode, bool) {
	c.s.ops++
	return c.s.killHow, c.s.ops == c.s.killAt
}

func (c *fakeConn) kill() error {
	c.dead = true
	c.tx, c.mine = nil, nil
	return errKilled
}

func (c *fakeConn) BeginTx(context.Context, driver.TxOptions) (driver.Tx, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if _, now := c.step(); now || c.dead {
		return nil, c.kill()
	}
	t := c.s.committed.clone()
	c.tx, c.mine, c.progressMine = &t, map[int64]bool{}, false
	return c, nil
}

func (c *fakeConn) Commit() error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	how, now := c.step()
	if c.dead || now && how == beforeEffect {
		return c.kill()
	}
	c.s.committed = *c.tx
	c.tx, c.mine = nil, nil
	if now {
		return c.kill()
	}
	return nil
}

func (c *fakeConn) Rollback() error {
	c.tx, c.mine = nil, nil
	return nil
}

// view is what the connection sees: its own changes over what others have committed since.
func (c *fakeConn) view() *tables {
	if c.tx == nil {
		return &c.s.committed
	}
	if !c.progressMine {
		c.tx.progress = c.s.committed.clone().progress
	}
	for id, v := range c.s.committed.rows {
		if !c.mine[id] {
			c.tx.rows[id] = v
		}
	}
	for id := range c.tx.rows {
		if _, there := c.s.committed.rows[id]; !there && !c.mine[id] {
			delete(c.tx.rows, id)
		}
	}
	return c.tx
}

func (c *fakeConn) QueryContext(_ context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if c.s.before != nil {
		c.s.before(query)
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	how, now := c.step()
	if c.dead || now && how == beforeEffect {
		return nil, c.kill()
	}
	rows, err := c.query(query, values(args))
	if err != nil {
		return nil, err
	}
	r := &fakeRows{rows: rows, failAt: -1}
	if now {
		_ = c.kill()
		r.failAt = len(rows) / 2
		if how == afterEffect {
			r.failAt = 0
		}
	}
	return r, nil
}

func (c *fakeConn) ExecContext(_ context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if c.s.before != nil {
		c.s.before(query)
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	how, now := c.step()
	if c.dead || now && how == beforeEffect {
		return nil, c.kill()
	}
	n, err := c.exec(query, values(args))
	if now {
		return nil, c.kill()
	}
	return driver.RowsAffected(n), err
}

func values(args []driver.NamedValue) []any {
	out := make([]any, len(args))
	for i, a := range args {
		out[i] = a.Value
	}
	return out
}

type fakeRows struct {
	rows   [][]driver.Value
	failAt int
	next   int
}

func (r *fakeRows) Columns() []string {
	if len(r.rows) == 0 {
		return make([]string, 9)
	}
	return make([]string, len(r.rows[0]))
}
func (r *fakeRows) Close() error { return nil }
func (r *fakeRows) Next(dest []driver.Value) error {
	switch {
	case r.next == r.failAt:
		return errKilled
	case r.next == len(r.rows):
		return io.EOF
	}
	copy(dest, r.rows[r.next])
	r.next++
	return nil
}

func raw(v *string) driver.Value {
	if v == nil {
		return nil
	}
	return []byte(*v)
}

func ordered(m map[int64]*string) []int64 {
	keys := make([]int64, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

const (
	fakeSelect = "SELECT CAST(t.[Id] AS bigint), CAST(t.[Password] AS varbinary(max)) FROM [dbo].[Recipients] AS t"
	fakeTop    = "SELECT TOP (@p1) CAST(t.[Id] AS bigint), CAST(t.[Password] AS varbinary(max)) FROM [dbo].[Recipients] AS t"
	fakeState  = "SELECT State, Batch, Pass, CAST(LastKey AS bigint), RowsSeen, RowsHashed, CodePage, CopyTable FROM [dbo].[Recipients_Password_securl]"
	fakeLike   = "RTRIM(CAST(t.[Password] AS nvarchar(max))) COLLATE Latin1_General_BIN2 LIKE N'"
)

func (c *fakeConn) query(q string, args []any) ([][]driver.Value, error) {
	s, t := c.s, c.view()
	var out [][]driver.Value
	add := func(v ...driver.Value) { out = append(out, v) }
	between := func(after, upTo any, most int64) {
		for _, id := range ordered(t.rows) {
			if after != nil && id <= after.(int64) || upTo != nil && id > upTo.(int64) {
				continue
			}
			if int64(len(out)) == most {
				break
			}
			add(id, raw(t.rows[id]))
		}
	}
	const all = 1 << 60
	switch q {
	case "SELECT CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(128)), DB_NAME(),\n CAST(DATABASEPROPERTYEX(DB_NAME(), 'Collation') AS nvarchar(128)),\n CAST(DATABASEPROPERTYEX(DB_NAME(), 'Updateability') AS nvarchar(128))":
		add("15.0.2000.5", "Campaign", s.collation, s.updateability)
	case fakeSelect:
		between(nil, nil, all)
	case fakeTop + " ORDER BY t.[Id]", fakeTop + " WITH (UPDLOCK) ORDER BY t.[Id]":
		between(nil, nil, args[0].(int64))
	case fakeTop + " WHERE t.[Id] > CAST(@p2 AS int) ORDER BY t.[Id]", fakeTop + " WITH (UPDLOCK) WHERE t.[Id] > CAST(@p2 AS int) ORDER BY t.[Id]":
		between(args[1], nil, args[0].(int64))
	case fakeSelect + " WHERE t.[Id] <= CAST(@p1 AS int) ORDER BY t.[Id]":
		between(nil, args[0], all)
	case fakeSelect + " WHERE t.[Id] <= CAST(@p1 AS int) AND t.[Id] > CAST(@p2 AS int) ORDER BY t.[Id]":
		between(args[1], args[0], all)
	case fakeState, fakeState + " WITH (UPDLOCK, HOLDLOCK)":
		if t.progress == nil {
			return nil, errors.New("Invalid object name 'dbo.Recipients_Password_securl'.")
		}
		var last driver.Value
		if t.progress.last != nil {
			last = *t.progress.last
		}
		p := t.progress
		add(p.state, p.batch, p.pass, last, p.seen, p.hashed, p.page, p.copyTo)
	case "SELECT TOP (1) CAST(x.k AS bigint), x.n FROM (SELECT TOP (@p1) t.[Id] AS k, ROW_NUMBER() OVER (ORDER BY t.[Id]) AS n FROM [dbo].[Recipients] AS t ORDER BY t.[Id]) AS x ORDER BY x.n DESC",
		"SELECT TOP (1) CAST(x.k AS bigint), x.n FROM (SELECT TOP (@p1) t.[Id] AS k, ROW_NUMBER() OVER (ORDER BY t.[Id]) AS n FROM [dbo].[Recipients] AS t WHERE t.[Id] > CAST(@p2 AS int) ORDER BY t.[Id]) AS x ORDER BY x.n DESC":
		var after any
		if strings.Contains(q, "@p2") {
			after = args[1]
		}
		between(after, nil, args[0].(int64))
		if n := len(out); n > 0 {
			out = [][]driver.Value{{out[n-1][0], int64(n)}}
		}
	case "SELECT CAST(t.[Id] AS bigint), CAST(c.[Password] AS varbinary(max)), CAST(t.[Password] AS varbinary(max)) FROM [dbo].[Backup] AS c JOIN [dbo].[Recipients] AS t ON t.[Id] = c.[Id]":
		for _, id := range ordered(t.copy) {
			if now, there := t.rows[id]; there {
				add(id, raw(t.copy[id]), raw(now))
			}
		}
	default:
		switch {
		case strings.HasPrefix(q, "SELECT c.name, TYPE_NAME(c.system_type_id)"):
			if !s.noTable {
				add("Password", s.columnType, int64(s.columnLength), true, false, s.columnCollation)
				add("Id", s.keyType, int64(4), s.keyNullable, false, "")
			}
		case strings.HasPrefix(q, "SELECT COUNT(*) FROM sys.indexes AS i"):
			add(int64(s.unique))
		case strings.HasPrefix(q, "SELECT CASE WHEN i.is_unique = 1"):
			for _, d := range s.dependents {
				add(d[0], d[1])
			}
		case q == "SELECT COUNT(*) FROM sys.tables WHERE object_id = OBJECT_ID(@p1)":
			there := args[0] == "[dbo].[Recipients_Password_securl]" && t.progress != nil || args[0] == "[dbo].[Backup]" && t.copy != nil
			n := int64(0)
			if there {
				n = 1
			}
			add(n)
		default:
			return nil, fmt.Errorf("not understood: %s", q)
		}
	}
	return out, nil
}

var fakeUpdate = regexp.MustCompile(`^UPDATE t SET \[Password\] = v\.h FROM \[dbo\]\.\[Recipients\] AS t JOIN \(VALUES (\(@p\d+, @p\d+, @p\d+\)(?:, \(@p\d+, @p\d+, @p\d+\))*)\) AS v\(k, o, h\) ON t\.\[Id\] = CAST\(v\.k AS int\) WHERE CAST\(t\.\[Password\] AS varbinary\(max\)\) = v\.o AND DATALENGTH\(t\.\[Password\]\) = DATALENGTH\(v\.o\)$`)

func (c *fakeConn) exec(q string, args []any) (int64, error) {
	s, t := c.s, c.view()
	if c.tx == nil {
		return 0, errors.New("a write outside of a transaction")
	}
	s.writes++
	if !strings.HasPrefix(q, "UPDATE t ") {
		c.progressMine = true
	}
	marked := func(batch any) bool { return t.progress.batch == batch.(int64) }
	switch {
	case fakeUpdate.MatchString(q):
		var n int64
		for i := 0; i < len(args); i += 3 {
			id, old, hash := args[i].(int64), args[i+1].([]byte), args[i+2].(string)
			now, there := t.rows[id]
			if !there || now == nil || *now != string(old) {
				continue
			}
			t.rows[id] = s.store(s.encode(hash))
			c.mine[id] = true
			n++
		}
		if want := strings.Count(q, "), (") + 1; want != len(args)/3 {
			return 0, fmt.Errorf("%d rows of parameters for %d", len(args)/3, want)
		}
		return n, nil
	case strings.HasPrefix(q, "UPDATE t SET [Password] = CAST(N'' AS xml).value('xs:base64Binary(xs:hexBinary(sql:column(\"d.h\")))', 'varchar(24)')\n"+
		" FROM [dbo].[Recipients] AS t CROSS APPLY (SELECT HASHBYTES('MD5', CAST(t.[Password] COLLATE DATABASE_DEFAULT AS varchar(250))) AS h) AS d WHERE t.[Id] <= CAST(@p1 AS int) AND "):
		if !strings.Contains(q, "t.[Password] IS NOT NULL AND NOT ("+fakeLike) {
			return 0, fmt.Errorf("not understood: %s", q)
		}
		var n int64
		for id, v := range t.rows {
			if id > args[0].(int64) || strings.Contains(q, "@p2") && id <= args[1].(int64) || v == nil || looksHashed(s.decode(*v)) {
				continue
			}
			in := s.decode(*v)
			if s.sabotage {
				in += " "
			}
			t.rows[id] = s.store(s.encode(latin1Hash(in)))
			c.mine[id] = true
			n++
		}
		return n, nil
	case q == "SELECT t.[Id], t.[Password] INTO [dbo].[Backup] FROM [dbo].[Recipients] AS t":
		if t.copy != nil {
			return 0, errors.New("There is already an object named 'Backup' in the database.")
		}
		t.copy = t.clone().rows
		return int64(len(t.copy)), nil
	case strings.HasPrefix(q, "CREATE TABLE [dbo].[Recipients_Password_securl] (") && strings.Contains(q, "LastKey int NULL"):
		if t.progress != nil {
			return 0, errors.New("There is already an object named 'Recipients_Password_securl' in the database.")
		}
		t.progress = &progressRow{}
		return 0, nil
	case strings.HasPrefix(q, "INSERT INTO [dbo].[Recipients_Password_securl] (Id, State, Batch, Pass, LastKey, RowsSeen, RowsHashed, CodePage, BackupNote, CopyTable, Started, Changed)\n VALUES (1, 'running', 0, 1, NULL, 0, 0, @p1, @p2, @p3, "):
		*t.progress = progressRow{state: "running", pass: 1, page: args[0].(int64), note: args[1].(string), copyTo: args[2].(string)}
		return 1, nil
	case q == "UPDATE [dbo].[Recipients_Password_securl] SET LastKey = CAST(@p1 AS int), RowsSeen = RowsSeen + @p2, RowsHashed = RowsHashed + @p3, Batch = Batch + 1, Changed = GETUTCDATE() WHERE Batch = @p4":
		if !marked(args[3]) {
			return 0, nil
		}
		last := args[0].(int64)
		t.progress.last = &last
		t.progress.seen += args[1].(int64)
		t.progress.hashed += args[2].(int64)
		t.progress.batch++
		return 1, nil
	case q == "UPDATE [dbo].[Recipients_Password_securl] SET State = 'running', LastKey = NULL, RowsSeen = 0, Pass = Pass + 1, Batch = Batch + 1, Changed = GETUTCDATE() WHERE Batch = @p1":
		if !marked(args[0]) {
			return 0, nil
		}
		t.progress.state, t.progress.last, t.progress.seen = "running", nil, 0
		t.progress.pass++
		t.progress.batch++
		return 1, nil
	case q == "UPDATE [dbo].[Recipients_Password_securl] SET State = 'done', Batch = Batch + 1, Changed = GETUTCDATE() WHERE Batch = @p1":
		if !marked(args[0]) {
			return 0, nil
		}
		t.progress.state = "done"
		t.progress.batch++
		return 1, nil
	}
	return 0, fmt.Errorf("not understood: %s", q)
}

func (s *fakeServer) store(v *string) *string {
	if s.tamper == nil {
		return v
	}
	out := string(s.tamper([]byte(*v)))
	return &out
}

// decode is the reverse of encode.
func (s *fakeServer) decode(v string) string {
	if !strings.HasPrefix(s.columnType, "n") {
		return v
	}
	var units []uint16
	for i := 0; i+1 < len(v); i += 2 {
		units = append(units, uint16(v[i])|uint16(v[i+1])<<8)
	}
	return string(utf16.Decode(units))
}

// The server's own hash and pattern, written without the package under test.
func latin1Hash(s string) string {
	var b bytes.Buffer
	for _, r := range s {
		if r > 0xFF {
			r = '?'
		}
		b.WriteByte(byte(r))
	}
	sum := md5.Sum(b.Bytes()[:min(250, b.Len())])
	return base64.StdEncoding.EncodeToString(sum[:])
}

var hashPattern = regexp.MustCompile(`^[A-Za-z0-9+/]{21}[AQgw]== *$`)

func looksHashed(s string) bool { return hashPattern.MatchString(s) }
