package trap_test

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"strconv"
	"testing"
	"time"

	mssql "github.com/microsoft/go-mssqldb"
	"github.com/microsoft/go-mssqldb/msdsn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec/internal/testca"
	"github.com/connsec/connsec/trap"
)

func startSQL(t testing.TB, o trap.Options, c trap.SQLConfig) *trap.SQL {
	t.Helper()
	s, err := o.SQL(c)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	return s
}

func hostPort(t testing.TB, addr string) (string, uint64) {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	n, err := strconv.ParseUint(port, 10, 16)
	require.NoError(t, err)
	return host, n
}

// goClient is go-mssqldb as its own setting has it; with verify it trusts the trap's roots
// and checks the name localhost.
func goClient(t testing.TB, s *trap.SQL, params string, verify bool) *sql.DB {
	t.Helper()
	_, port := hostPort(t, s.Addr())
	cfg, err := msdsn.Parse(fmt.Sprintf("sqlserver://app:pa55word-%d@127.0.0.1:%d?hostnameincertificate=localhost&dial+timeout=5&connection+timeout=5%s", port, port, params))
	require.NoError(t, err)
	if verify && cfg.TLSConfig != nil { // nil with encrypt=disable
		cfg.TLSConfig.RootCAs = s.Roots()
	}
	cfg.DisableRetry = true
	db := sql.OpenDB(mssql.NewConnectorConfig(cfg))
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func ask(db *sql.DB) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var n int
	return db.QueryRowContext(ctx, "SELECT 1").Scan(&n)
}

func last(t testing.TB, s *trap.SQL) trap.SQLConnection {
	t.Helper()
	seen := s.Observed()
	require.NotEmpty(t, seen)
	return seen[len(seen)-1]
}

func TestSQLHonestServesGoMSSQLDB(t *testing.T) {
	for _, tt := range []struct {
		posture        trap.SQLPosture
		params         string
		strict, inTLS  bool
		asked, answerd string
		version        string
	}{
		{trap.SQLForced, "&encrypt=true", false, true, "ON", "ON", "7.4"},
		{trap.SQLForced, "&encrypt=false", false, true, "OFF", "REQ", "7.4"},
		{trap.SQLForced, "&encrypt=strict", true, true, "0x04", "NOT_SUP", "8.0"},
		{trap.SQLOptional, "&encrypt=true", false, true, "ON", "ON", "7.4"},
		{trap.SQLOptional, "&encrypt=false", false, false, "OFF", "OFF", "7.4"},
		{trap.SQLStrict, "&encrypt=strict", true, true, "0x04", "NOT_SUP", "8.0"},
	} {
		t.Run(tt.posture.String()+tt.params, func(t *testing.T) {
			s := startSQL(t, trap.Options{}, trap.SQLConfig{Posture: tt.posture})
			db := goClient(t, s, tt.params, true)
			require.NoError(t, ask(db))
			c := last(t, s)
			assert.True(t, c.Login)
			assert.False(t, c.LoginInClear)
			assert.False(t, c.PasswordInClear)
			assert.Equal(t, tt.strict, c.Strict)
			assert.Equal(t, []string{tt.asked, tt.answerd, tt.version}, []string{c.Asked, c.Answered, c.TDSVersion})
			assert.Equal(t, "go-mssqldb", c.Library)
			assert.Equal(t, 1, c.Queries)
			assert.Equal(t, tt.inTLS, c.QueriesInClear == 0)
			require.NotNil(t, c.TLS)
			assert.Equal(t, trap.Trusted, c.TLS.Trust)
			assert.True(t, c.TLS.Completed)
		})
	}
}

func TestSQLHonestRefuses(t *testing.T) {
	t.Run("clear clients where encryption is forced", func(t *testing.T) {
		s := startSQL(t, trap.Options{}, trap.SQLConfig{})
		c, err := net.Dial("tcp", s.Addr())
		require.NoError(t, err)
		defer c.Close()
		// PRELOGIN with NOT_SUP, byte by byte from MS-TDS 2.2.6.5: answered REQ, then closed.
		_, err = c.Write([]byte{
			0x12, 1, 0, 0x2f, 0, 0, 0, 0, 0, 0, 0x1a, 0, 6, 1, 0, 0x20, 0, 1, 2, 0, 0x21, 0, 1, 3, 0, 0x22, 0, 4, 4, 0, 0x26, 0, 1, 0xff,
			0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0,
		})
		require.NoError(t, err)
		require.NoError(t, c.SetReadDeadline(time.Now().Add(5*time.Second)))
		answer := make([]byte, 4096)
		n := 0
		for {
			m, err := c.Read(answer[n:])
			n += m
			if err != nil {
				break
			}
		}
		require.Greater(t, n, 8+1+5*4)
		assert.Equal(t, byte(4), answer[0])
		got := last(t, s)
		assert.Equal(t, "NOT_SUP", got.Asked)
		assert.Equal(t, "REQ", got.Answered)
	})
	t.Run("TDS 7 where strict is forced, and strict before 2022", func(t *testing.T) {
		s := startSQL(t, trap.Options{}, trap.SQLConfig{Posture: trap.SQLStrict})
		assert.Error(t, ask(goClient(t, s, "&encrypt=true", true)))
		assert.False(t, last(t, s).Login)
		s = startSQL(t, trap.Options{}, trap.SQLConfig{NoTDS8: true, Version: "15.0.4000"})
		assert.Error(t, ask(goClient(t, s, "&encrypt=strict", true)))
		assert.False(t, last(t, s).Login)
		assert.NoError(t, ask(goClient(t, s, "&encrypt=true", true)))
	})
}

// A client that demands encryption and verifies must not log in to any hostile posture.
func TestSQLHostilePosturesAreRefusedByAStrictClient(t *testing.T) {
	for _, p := range trap.SQLPostures() {
		switch p {
		case trap.SQLForced, trap.SQLOptional, trap.SQLStrict, trap.SQLAnswerOn, trap.SQLAnswerRequired, trap.SQLStalledLogin:
			continue // honest, or honest as seen by a client that encrypts
		}
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			s := startSQL(t, trap.Options{Timeout: 300 * time.Millisecond}, trap.SQLConfig{Posture: p})
			assert.Error(t, ask(goClient(t, s, "&encrypt=true", true)))
			for _, c := range s.Observed() {
				assert.False(t, c.Login, "%+v", c)
			}
		})
	}
}

func TestSQLSeesWhatACarelessClientDoes(t *testing.T) {
	for _, tt := range []struct {
		posture trap.SQLPosture
		params  string
		clear   bool // the password came in clear
		trusted bool // an impostor's certificate was accepted
	}{
		{trap.SQLNotSupported, "", true, false},
		{trap.SQLNotSupported, "&encrypt=false", true, false},
		{trap.SQLNotSupported, "&encrypt=disable", true, false},
		{trap.SQLFallbackCertificate, "", false, true},
		{trap.SQLExpired, "&encrypt=true&trustservercertificate=true", false, true},
		{trap.SQLWrongName, "", false, true},
		{trap.SQLUntrusted, "", false, true},
	} {
		t.Run(tt.posture.String()+tt.params, func(t *testing.T) {
			s := startSQL(t, trap.Options{}, trap.SQLConfig{Posture: tt.posture})
			_ = ask(goClient(t, s, tt.params, false))
			c := last(t, s)
			assert.Equal(t, tt.clear, c.LoginInClear)
			assert.Equal(t, tt.clear, c.PasswordInClear)
			if tt.trusted {
				require.NotNil(t, c.TLS)
				assert.Equal(t, trap.Trusted, c.TLS.Trust)
			}
		})
	}
}

func TestSQLRefusedCertificateIsRecorded(t *testing.T) {
	s := startSQL(t, trap.Options{}, trap.SQLConfig{Posture: trap.SQLUntrusted})
	assert.Error(t, ask(goClient(t, s, "&encrypt=true", true)))
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	require.NoError(t, s.Await(ctx, 1))
	c := last(t, s)
	require.NotNil(t, c.TLS)
	assert.Equal(t, trap.Refused, c.TLS.Trust)
	// The driver gathers handshake messages until it reads, so its alert is never sent.
	assert.Empty(t, c.TLS.Alert)
	assert.True(t, c.ClosedByClient)
}

func TestSQLQueryResponder(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 34, 56, 789012300, time.UTC)
	long := string(make([]rune, 9000)) + "ü€𝄞"
	var asked []trap.SQLQuery
	s := startSQL(t, trap.Options{}, trap.SQLConfig{Query: func(q trap.SQLQuery) (trap.SQLRows, error) {
		asked = append(asked, q)
		switch q.Text {
		case "SELECT types":
			return trap.SQLRows{Columns: []string{"b", "i", "f", "s", "l", "x", "t", "n"}, Rows: [][]any{
				{true, int64(-5), 1.5, "ü€", long, []byte{1, 2}, now, nil},
				{nil, nil, nil, nil, nil, nil, nil, nil},
				{false, int64(1) << 62, -0.25, "", "", []byte{}, now, nil},
			}}, nil
		case "SELECT fails":
			return trap.SQLRows{}, &trap.SQLError{Number: 300, Class: 14, Message: "VIEW SERVER STATE permission was denied"}
		}
		return trap.SQLRows{Affected: 7}, nil
	}})
	db := goClient(t, s, "&encrypt=true&database=circle", true)
	ctx := context.Background()

	rows, err := db.QueryContext(ctx, "SELECT types")
	require.NoError(t, err)
	type row struct {
		b sql.NullBool
		i sql.NullInt64
		f sql.NullFloat64
		s sql.NullString
		l sql.NullString
		x []byte
		t sql.NullTime
		n sql.NullString
	}
	var got []row
	for rows.Next() {
		var r row
		require.NoError(t, rows.Scan(&r.b, &r.i, &r.f, &r.s, &r.l, &r.x, &r.t, &r.n))
		got = append(got, r)
	}
	require.NoError(t, rows.Err())
	require.Len(t, got, 3)
	assert.Equal(t, sql.NullString{String: long, Valid: true}, got[0].l)
	assert.Equal(t, sql.NullInt64{Int64: -5, Valid: true}, got[0].i)
	assert.Equal(t, []byte{1, 2}, got[0].x)
	assert.True(t, got[0].t.Time.Equal(now), got[0].t.Time)
	assert.Equal(t, row{}, got[1])
	assert.Equal(t, sql.NullInt64{Int64: 1 << 62, Valid: true}, got[2].i)
	assert.Equal(t, sql.NullString{Valid: true}, got[2].l)

	_, err = db.QueryContext(ctx, "SELECT fails")
	var e mssql.Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, int32(300), e.Number)

	tx, err := db.BeginTx(ctx, nil)
	require.NoError(t, err)
	res, err := tx.ExecContext(ctx, "UPDATE t SET p=@p1 WHERE id=@p2 AND x=@p3 AND d=@p4 AND l=@p5 AND n=@p6 AND b=@p7 AND f=@p8 AND vc=@p9",
		"ü", int64(42), []byte{9}, now, long, nil, true, 2.5, mssql.VarChar("abc"))
	require.NoError(t, err)
	n, err := res.RowsAffected()
	require.NoError(t, err)
	assert.Equal(t, int64(7), n)
	require.NoError(t, tx.Commit())
	tx, err = db.BeginTx(ctx, nil)
	require.NoError(t, err)
	require.NoError(t, tx.Rollback())

	var texts []string
	for _, q := range asked {
		texts = append(texts, q.Text)
		assert.True(t, q.Encrypted)
		assert.Equal(t, "circle", q.Database)
	}
	require.Len(t, texts, 7)
	assert.Equal(t, []string{"SELECT types", "SELECT fails", "BEGIN TRANSACTION"}, texts[:3])
	assert.Equal(t, []string{"COMMIT TRANSACTION", "BEGIN TRANSACTION", "ROLLBACK TRANSACTION"}, texts[4:])
	var values []any
	for _, a := range asked[3].Args {
		values = append(values, a.Value)
	}
	require.Len(t, values, 9)
	assert.True(t, values[3].(time.Time).Equal(now), values[3])
	values[3] = nil
	assert.Equal(t, []any{"ü", int64(42), []byte{9}, nil, long, nil, true, 2.5, "abc"}, values)
	assert.Equal(t, "@p1", asked[3].Args[0].Name)
}

func TestSQLGivenCertificate(t *testing.T) {
	ca := testca.MustNew(t)
	cert := ca.MustIssue(t, testca.Leaf{Names: []string{"localhost"}})
	s := startSQL(t, trap.Options{Certificate: &trap.Certificate{Chain: cert.TLS(), Roots: ca.Pool()}}, trap.SQLConfig{})
	assert.NoError(t, ask(goClient(t, s, "&encrypt=true", true)))
	assert.Empty(t, s.CA())
}

func TestSQLPostureNames(t *testing.T) {
	for _, p := range trap.SQLPostures() {
		got, err := trap.ParseSQLPosture(p.String())
		require.NoError(t, err)
		assert.Equal(t, p, got)
	}
	_, err := trap.ParseSQLPosture("no such")
	assert.Error(t, err)
	_, err = trap.NewSQL(200)
	assert.Error(t, err)
	_, err = trap.Options{}.SQL(trap.SQLConfig{Version: "x"})
	assert.Error(t, err)
}

// An error of a statement with parameters reaches whoever only executes it.
func TestSQLErrorOfACall(t *testing.T) {
	s := startSQL(t, trap.Options{}, trap.SQLConfig{Posture: trap.SQLForced, Query: func(q trap.SQLQuery) (trap.SQLRows, error) {
		if len(q.Args) > 0 {
			return trap.SQLRows{}, &trap.SQLError{Number: 2627, Message: "there already"}
		}
		return trap.SQLRows{Affected: 1}, nil
	}})
	db := goClient(t, s, "&encrypt=true", true)
	_, err := db.ExecContext(t.Context(), "UPDATE t SET a = @p1", 1)
	assert.ErrorContains(t, err, "there already")
	_, err = db.QueryContext(t.Context(), "SELECT @p1", 1)
	assert.ErrorContains(t, err, "there already")
	_, err = db.ExecContext(t.Context(), "UPDATE t SET a = 1")
	assert.NoError(t, err, "the connection goes on")
}
