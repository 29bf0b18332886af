package securl_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	mssql "github.com/microsoft/go-mssqldb"
	"github.com/microsoft/go-mssqldb/msdsn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec/securl"
	"github.com/connsec/connsec/trap"
)

// overTDS puts the model of SQL Server behind a TDS listener, so that the driver that a real
// migration uses is between: its transactions, its parameter types, what it makes of NULL and of
// empty values.
func overTDS(t testing.TB, s *fakeServer) *sql.DB {
	t.Helper()
	var mu sync.Mutex
	sessions := map[int]*fakeConn{}
	server, err := trap.Options{}.SQL(trap.SQLConfig{Posture: trap.SQLForced, Query: func(q trap.SQLQuery) (trap.SQLRows, error) {
		mu.Lock()
		c := sessions[q.Session]
		if c == nil {
			c = &fakeConn{s: s}
			sessions[q.Session] = c
		}
		mu.Unlock()
		return answer(c, q)
	}})
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Close() })

	_, port, _ := strings.Cut(server.Addr(), ":")
	cfg, err := msdsn.Parse(fmt.Sprintf("sqlserver://app:pw@127.0.0.1:%s?encrypt=true&hostnameincertificate=localhost", port))
	require.NoError(t, err)
	cfg.TLSConfig.RootCAs = server.Roots()
	db := sql.OpenDB(mssql.NewConnectorConfig(cfg))
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func answer(c *fakeConn, q trap.SQLQuery) (trap.SQLRows, error) {
	args := make([]driver.NamedValue, len(q.Args))
	for i, a := range q.Args {
		args[i] = driver.NamedValue{Name: strings.TrimPrefix(a.Name, "@"), Ordinal: i + 1, Value: a.Value}
	}
	ctx := context.Background()
	switch {
	case q.Text == "BEGIN TRANSACTION":
		_, err := c.BeginTx(ctx, driver.TxOptions{})
		return trap.SQLRows{}, err
	case q.Text == "COMMIT TRANSACTION":
		return trap.SQLRows{}, c.Commit()
	case q.Text == "ROLLBACK TRANSACTION":
		return trap.SQLRows{}, c.Rollback()
	case strings.HasPrefix(q.Text, "SELECT") && !strings.Contains(q.Text, " INTO "):
		rows, err := c.QueryContext(ctx, q.Text, args)
		if err != nil {
			return trap.SQLRows{}, err
		}
		found := rows.(*fakeRows)
		if found.failAt >= 0 {
			return trap.SQLRows{}, errKilled
		}
		out := trap.SQLRows{Columns: make([]string, len(found.Columns()))}
		for _, r := range found.rows {
			row := make([]any, len(r))
			for i, v := range r {
				row[i] = v
			}
			out.Rows = append(out.Rows, row)
		}
		return out, nil
	}
	res, err := c.ExecContext(ctx, q.Text, args)
	if err != nil {
		return trap.SQLRows{}, err
	}
	n, err := res.RowsAffected()
	return trap.SQLRows{Affected: n}, err
}

func TestMigrateThroughTheDriver(t *testing.T) {
	for _, columnType := range []string{"varchar", "nvarchar"} {
		for _, serverSide := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s server-side %v", columnType, serverSide), func(t *testing.T) {
				plain := people(20)
				s := serve(columnType, plain)
				m := migration(t, s)
				m.DB, m.ServerSide, m.CopyTable = overTDS(t, s), serverSide, "Backup"
				p, err := m.Plan(t.Context())
				require.NoError(t, err)
				require.NoError(t, p.Err())
				assert.Equal(t, int64(20), p.Facts.Rows)
				assert.Positive(t, p.Facts.Null)
				assert.Positive(t, p.Facts.Empty)
				res, err := m.Run(t.Context(), nil)
				require.NoError(t, err)
				assert.Equal(t, int64(20), res.Verified)
				assert.Zero(t, res.Changed)
				hashedOnce(t, s, plain)
				_, err = m.Run(t.Context(), nil)
				require.ErrorIs(t, err, securl.ErrMigrated)
			})
		}
	}
}

// As TestMigrateKilledAtEveryPoint, with the driver between.
func TestMigrateThroughTheDriverKilledAtEveryPoint(t *testing.T) {
	plain := people(6)
	for _, how := range []killMode{beforeEffect, afterEffect} {
		for killAt := 1; ; killAt++ {
			s := serve("nvarchar", plain)
			m := migration(t, s)
			m.BatchSize = 3
			s.killAt, s.killHow = killAt, how
			m.DB = overTDS(t, s)
			_, err := m.Run(t.Context(), nil)
			if err == nil && s.ops < killAt {
				assert.Greater(t, killAt, 25)
				break
			}
			m.DB = overTDS(t, s) // a new process
			_, err = m.Run(t.Context(), nil)
			if !errors.Is(err, securl.ErrMigrated) {
				require.NoError(t, err, "killed at %d", killAt)
			}
			hashedOnce(t, s, plain)
		}
	}
}
