package securl_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/securl"
)

func text(s string) *string { return &s }

// people are recipients with every kind of value that a plain column can hold.
func people(n int) map[int64]*string {
	rows := map[int64]*string{}
	for i := range n {
		id := int64(i)*3 - 4 // with gaps, and negative
		switch {
		case i%7 == 3:
			rows[id] = nil
		case i%7 == 5:
			rows[id] = text("")
		default:
			rows[id] = text(fmt.Sprintf("pass-%d word ", i))
		}
	}
	return rows
}

// encodeAll puts rows into the server's column.
func serve(columnType string, rows map[int64]*string) *fakeServer {
	s := newFakeServer(columnType, nil)
	s.committed.rows = map[int64]*string{}
	for id, v := range rows {
		if v != nil {
			v = s.encode(*v)
		}
		s.committed.rows[id] = v
	}
	return s
}

// hashedOnce fails the test unless each row holds the hash of what it held, exactly once.
func hashedOnce(t *testing.T, s *fakeServer, plain map[int64]*string) {
	t.Helper()
	now := s.get().rows
	require.Len(t, now, len(plain))
	for id, was := range plain {
		if was == nil {
			require.Nil(t, now[id], "row %d: NULL stays NULL", id)
			continue
		}
		require.NotNil(t, now[id], "row %d", id)
		require.Equal(t, b64(*was), s.decode(*now[id]), "row %d", id)
	}
}

func migration(t testing.TB, s *fakeServer) securl.Migration {
	return securl.Migration{DB: s.open(t), Table: "Recipients", Column: "Password", Key: "Id", BackupTaken: "full backup, verified", BatchSize: 4}
}

func TestMigrate(t *testing.T) {
	for _, columnType := range []string{"varchar", "nvarchar"} {
		for _, serverSide := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s server-side %v", columnType, serverSide), func(t *testing.T) {
				plain := people(30)
				s := serve(columnType, plain)
				m := migration(t, s)
				m.ServerSide, m.CopyTable = serverSide, "Backup"
				m.DB.SetMaxOpenConns(1) // it never needs a second connection
				var seen []int64
				res, err := m.Run(t.Context(), func(r securl.MigrationResult) { seen = append(seen, r.Rows) })
				require.NoError(t, err)
				hashedOnce(t, s, plain)
				assert.Equal(t, []int64{4, 8, 12, 16, 20, 24, 28, 30}, seen)
				assert.Equal(t, int64(30), res.Total)
				assert.Equal(t, int64(26), res.Hashed)
				assert.Equal(t, int64(30), res.Verified)
				assert.Zero(t, res.Changed)
				assert.Equal(t, 1, res.Passes)
				assert.False(t, res.Resumed)
				assert.Equal(t, "done", s.get().progress.state)
				assert.Equal(t, int64(1252), s.get().progress.page)
				assert.Equal(t, "full backup, verified", s.get().progress.note)
				assert.Len(t, s.get().copy, 30)

				// The guide's script would hash the hashes now.
				writes := s.writes
				_, err = m.Run(t.Context(), nil)
				require.ErrorIs(t, err, securl.ErrMigrated)
				assert.Equal(t, writes, s.writes, "nothing is written")
				hashedOnce(t, s, plain)
			})
		}
	}
}

// The heart of it: whatever dies when, nothing is lost and nothing is hashed twice.
func TestMigrateKilledAtEveryPoint(t *testing.T) {
	for _, columnType := range []string{"varchar", "nvarchar"} {
		for _, serverSide := range []bool{false, true} {
			for how, name := range map[killMode]string{beforeEffect: "before", afterEffect: "after", whileReading: "while reading"} {
				t.Run(fmt.Sprintf("%s server-side %v %s", columnType, serverSide, name), func(t *testing.T) {
					plain := people(11)
					points := 0
					for killAt := 1; ; killAt++ {
						s := serve(columnType, plain)
						m := migration(t, s)
						m.ServerSide, m.CopyTable = serverSide, "Backup"
						s.killAt, s.killHow = killAt, how
						_, err := m.Run(t.Context(), nil)
						killed := s.ops >= killAt
						if err == nil && !killed {
							break // beyond the last operation
						}
						points++
						if err != nil {
							require.ErrorIs(t, err, errKilled, "at %d", killAt)
						}
						// Between the two runs, each row is either as it was or hashed once.
						for id, v := range s.get().rows {
							if v != nil && s.decode(*v) != *plain[id] {
								require.Equal(t, b64(*plain[id]), s.decode(*v), "row %d, killed at %d", id, killAt)
							}
						}
						res, err := m.Run(t.Context(), nil)
						if errors.Is(err, securl.ErrMigrated) { // it died after the last commit
							require.Equal(t, "done", s.get().progress.state)
						} else {
							require.NoError(t, err, "at %d", killAt)
						}
						require.Equal(t, int64(len(plain)), res.Verified)
						require.Zero(t, res.Changed)
						hashedOnce(t, s, plain)
						require.Equal(t, int64(9), s.get().progress.hashed, "killed at %d", killAt)
					}
					assert.Greater(t, points, 25)
				})
			}
		}
	}
}

// A second kill, at every point of the resumed run too.
func TestMigrateKilledTwice(t *testing.T) {
	plain := people(6)
	for first := 8; first < 30; first += 3 {
		for second := 1; second < 30; second++ {
			s := serve("varchar", plain)
			m := migration(t, s)
			m.BatchSize = 2
			s.killAt, s.killHow = first, afterEffect
			_, _ = m.Run(t.Context(), nil)
			s.killAt = s.ops + second
			_, _ = m.Run(t.Context(), nil)
			s.killAt = 0
			_, err := m.Run(t.Context(), nil)
			if !errors.Is(err, securl.ErrMigrated) {
				require.NoError(t, err, "%d, %d", first, second)
			}
			hashedOnce(t, s, plain)
		}
	}
}

func TestMigrateCancelled(t *testing.T) {
	plain := people(30)
	s := serve("varchar", plain)
	m := migration(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	res, err := m.Run(ctx, func(r securl.MigrationResult) {
		if r.Rows == 12 {
			cancel()
		}
	})
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, int64(12), res.Rows)
	res, err = m.Run(t.Context(), nil)
	require.NoError(t, err)
	assert.True(t, res.Resumed)
	assert.Equal(t, int64(18), res.Rows)
	hashedOnce(t, s, plain)
}

func TestMigrateNeedsABackup(t *testing.T) {
	s := serve("varchar", people(3))
	m := migration(t, s)
	m.BackupTaken = ""
	_, err := m.Run(t.Context(), nil)
	require.ErrorIs(t, err, securl.ErrNoBackup)
	assert.Zero(t, s.writes)
	p, err := m.Plan(t.Context())
	require.NoError(t, err)
	_, err = p.Script()
	require.ErrorIs(t, err, securl.ErrNoBackup)
}

func TestMigrateDryRun(t *testing.T) {
	plain := people(30)
	s := serve("varchar", plain)
	m := migration(t, s)
	m.DryRun, m.BackupTaken = true, ""
	res, err := m.Run(t.Context(), nil)
	require.NoError(t, err)
	assert.Equal(t, int64(30), res.Rows)
	assert.Equal(t, int64(26), res.Hashed)
	assert.True(t, res.DryRun)
	assert.Zero(t, s.writes)
	assert.Equal(t, serve("varchar", plain).committed, s.get())

	s.killAt, s.killHow = s.ops+9, afterEffect
	_, err = m.Run(t.Context(), nil)
	require.ErrorIs(t, err, errKilled)
}

func TestMigrateConcurrentEdits(t *testing.T) {
	run := func(t *testing.T, serverSide bool, when string, edit func(*fakeServer)) (*fakeServer, securl.MigrationResult, error) {
		s := serve("varchar", map[int64]*string{1: text("one"), 2: text("two"), 3: text("three"), 4: text("four"), 5: text("five"), 6: text("six")})
		m := migration(t, s)
		m.ServerSide = serverSide
		done := false
		s.before = func(stmt string) {
			if !done && strings.HasPrefix(stmt, when) {
				done = true
				edit(s)
			}
		}
		res, err := m.Run(t.Context(), nil)
		require.True(t, done)
		return s, res, err
	}
	const write = "UPDATE t SET"

	t.Run("a password changed between reading and writing", func(t *testing.T) {
		s, res, err := run(t, false, write, func(s *fakeServer) { s.set(2, text("new two")) })
		require.NoError(t, err)
		assert.Equal(t, int64(1), res.Retried)
		hashedOnce(t, s, map[int64]*string{1: text("one"), 2: text("new two"), 3: text("three"), 4: text("four"), 5: text("five"), 6: text("six")})
	})
	t.Run("set to NULL, added and removed meanwhile", func(t *testing.T) {
		s, _, err := run(t, false, write, func(s *fakeServer) {
			s.set(1, nil)
			s.set(0, text("zero"))
			s.mu.Lock()
			delete(s.committed.rows, 3)
			s.mu.Unlock()
		})
		require.NoError(t, err)
		hashedOnce(t, s, map[int64]*string{0: text("zero"), 1: nil, 2: text("two"), 4: text("four"), 5: text("five"), 6: text("six")})
	})
	t.Run("all rows of a batch removed", func(t *testing.T) {
		s, res, err := run(t, false, write, func(s *fakeServer) {
			s.mu.Lock()
			defer s.mu.Unlock()
			maps.DeleteFunc(s.committed.rows, func(id int64, _ *string) bool { return id <= 4 })
		})
		require.NoError(t, err)
		assert.Equal(t, 1, res.Passes, "an empty batch is not the end of the table")
		hashedOnce(t, s, map[int64]*string{5: text("five"), 6: text("six")})
	})
	t.Run("Circle registers someone with a hash", func(t *testing.T) {
		s, res, err := run(t, false, write, func(s *fakeServer) { s.set(5, text(b64("circle"))) })
		require.NoError(t, err)
		assert.Equal(t, int64(1), res.Kept)
		hashedOnce(t, s, map[int64]*string{1: text("one"), 2: text("two"), 3: text("three"), 4: text("four"), 5: text("circle"), 6: text("six")})
	})
	t.Run("Circle replaces a password of the batch by a hash", func(t *testing.T) {
		s, res, err := run(t, false, write, func(s *fakeServer) { s.set(2, text(b64("circle"))) })
		require.NoError(t, err)
		assert.Equal(t, int64(1), res.Kept)
		hashedOnce(t, s, map[int64]*string{1: text("one"), 2: text("circle"), 3: text("three"), 4: text("four"), 5: text("five"), 6: text("six")})
	})
	for _, serverSide := range []bool{false, true} {
		t.Run(fmt.Sprintf("a plain password behind the watermark, server-side %v", serverSide), func(t *testing.T) {
			n := 0
			s := serve("varchar", map[int64]*string{1: text("one"), 2: text("two"), 3: text("three"), 4: text("four"), 5: text("five")})
			m := migration(t, s)
			m.ServerSide = serverSide
			s.before = func(stmt string) {
				if strings.HasPrefix(stmt, write) {
					if n++; n == 2 { // the second batch: row 1 is done
						s.set(1, text("one again"))
					}
				}
			}
			res, err := m.Run(t.Context(), nil)
			require.NoError(t, err)
			assert.Equal(t, 2, res.Passes)
			hashedOnce(t, s, map[int64]*string{1: text("one again"), 2: text("two"), 3: text("three"), 4: text("four"), 5: text("five")})
		})
	}
	t.Run("someone never stops", func(t *testing.T) {
		s := serve("varchar", map[int64]*string{1: text("one"), 2: text("two")})
		m := migration(t, s)
		s.before = func(stmt string) {
			if strings.HasPrefix(stmt, fakeSelect) && !strings.Contains(stmt, "WHERE") {
				s.set(1, text("plain again"))
			}
		}
		_, err := m.Run(t.Context(), nil)
		require.ErrorIs(t, err, securl.ErrStragglers)
		s.before = nil
		_, err = m.Run(t.Context(), nil)
		require.NoError(t, err, "when they have stopped, it goes on")
		hashedOnce(t, s, map[int64]*string{1: text("plain again"), 2: text("two")})

		// And later still, Circle is set back to no hashing for a while.
		s.set(2, text("plain once more"))
		m.BackupTaken = ""
		_, err = m.Run(t.Context(), nil)
		require.ErrorIs(t, err, securl.ErrMigrated)
		require.ErrorIs(t, err, securl.ErrStragglers)
		require.ErrorIs(t, err, securl.ErrNoBackup)
		m.BackupTaken = "another one"
		_, err = m.Run(t.Context(), nil)
		require.NoError(t, err)
		hashedOnce(t, s, map[int64]*string{1: text("plain again"), 2: text("plain once more")})
	})
	t.Run("two runs at a time", func(t *testing.T) {
		s := serve("varchar", people(9))
		m := migration(t, s)
		other := false
		s.before = func(stmt string) {
			if !other && strings.HasPrefix(stmt, write) {
				other = true
				s.before = nil
				_, err := m.Run(t.Context(), nil) // from beginning to end
				assert.NoError(t, err)
			}
		}
		_, err := m.Run(t.Context(), nil)
		require.ErrorContains(t, err, "the progress table was changed by someone else")
		hashedOnce(t, s, people(9))
	})
}

func TestMigrateRefusesATamperingTrigger(t *testing.T) {
	s := serve("varchar", map[int64]*string{1: text("one")})
	s.tamper = func(b []byte) []byte { return []byte(b64(string(b))) } // hashes what it is given
	_, err := migration(t, s).Run(t.Context(), nil)
	require.EqualError(t, err, "securl: a row does not hold the hash that was written: does a trigger change it? (row with key 1)")
	assert.Equal(t, "one", *s.get().rows[1], "nothing was committed")

	s.tamper = func([]byte) []byte { return []byte("cut") }
	_, err = migration(t, s).Run(t.Context(), nil)
	require.ErrorContains(t, err, "the row with key 1 was changed 5 times")
	assert.Equal(t, "one", *s.get().rows[1])
}

func TestMigrateServerSideDifference(t *testing.T) {
	s := serve("varchar", people(5))
	s.sabotage = true
	m := migration(t, s)
	m.ServerSide = true
	_, err := m.Run(t.Context(), nil)
	require.ErrorIs(t, err, securl.ErrServerDiffers)
	assert.Equal(t, serve("varchar", people(5)).committed.rows, s.get().rows)
}

func TestPlanRefuses(t *testing.T) {
	plain := map[int64]*string{1: text("jk34hj5k")}
	for _, c := range []struct {
		name string
		set  func(*fakeServer, *securl.Migration)
		want string
	}{
		{"no table", func(s *fakeServer, m *securl.Migration) { s.noTable = true }, "there is no table dbo.Recipients with columns Password and Id, or no permission to see it"},
		{"text column", func(s *fakeServer, m *securl.Migration) { s.columnType = "text" }, "password column Password has type text: it must be char, varchar, nchar or nvarchar"},
		{"char column", func(s *fakeServer, m *securl.Migration) { s.columnType = "char" }, "password column Password is char(100), which fills passwords up with blanks: these would be hashed, and nobody types them. Change the type to n/varchar and remove trailing blanks first"},
		{"narrow", func(s *fakeServer, m *securl.Migration) { s.columnLength = 20 }, "password column Password is varchar(20), and a hash has 24 characters: widen it first"},
		{"narrow in bytes of nvarchar", func(s *fakeServer, m *securl.Migration) { s.columnType, s.columnLength = "nvarchar", 40 }, "password column Password is nvarchar(20), and a hash has 24 characters: widen it first"},
		{"no key", func(s *fakeServer, m *securl.Migration) { s.unique = 0 }, "column Id is not unique by itself: a key is needed to tell rows apart"},
		{"nullable key", func(s *fakeServer, m *securl.Migration) { s.keyNullable = true }, "key column Id can be NULL"},
		{"key type", func(s *fakeServer, m *securl.Migration) { s.keyType = "float" }, "key column Id has type float: use an integer, character or uniqueidentifier column"},
		{"read-only", func(s *fakeServer, m *securl.Migration) { s.updateability = "READ_ONLY" }, "the database is read_only"},
		{"unicode-only database", func(s *fakeServer, m *securl.Migration) { s.collation = "Maltese_100_CI_AS" }, "the collation of the database: collation Maltese_100_CI_AS has no code page and cannot hold VARCHAR data: the database must use another, or its _UTF8 variant"},
		{"unique index", func(s *fakeServer, m *securl.Migration) { s.dependents = [][2]string{{"unique index", "UX"}} }, "password column Password is part of unique index UX"},
		{"hashed already", func(s *fakeServer, m *securl.Migration) { s.set(1, text(b64("x"))) }, "the column is hashed already: all 1 values have the form of Circle's hash"},
		{"mixed", func(s *fakeServer, m *securl.Migration) { s.set(2, text(b64("x"))) }, "the column is mixed: md5-base64 (1), plain (1)"},
		{"foreign hashes", func(s *fakeServer, m *securl.Migration) { s.set(1, text(hexOf("x"))) }, "the column is mixed: md5-hex (1)"},
		{"no values", func(s *fakeServer, m *securl.Migration) { s.set(1, nil) }, "the column holds no passwords"},
		{"bytes without meaning", func(s *fakeServer, m *securl.Migration) {
			s.columnCollation = "Japanese_CI_AS"
			s.set(1, text("ab\x85\x40"))
		}, "1 passwords cannot be converted to SQL_Latin1_General_CP1_CI_AS, or hold bytes without meaning"},
		{"copy exists", func(s *fakeServer, m *securl.Migration) {
			s.committed.copy = map[int64]*string{}
			m.CopyTable = "Backup"
		}, "table Backup exists already, so the copy cannot be put there"},
		{"server-side in another page", func(s *fakeServer, m *securl.Migration) {
			m.ServerSide, m.Collation = true, mustPage(1250)
		}, "SQL Server can only hash in the collation of the database (SQL_Latin1_General_CP1_CI_AS), not in CP1250"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve("varchar", plain)
			m := migration(t, s)
			c.set(s, &m)
			p, err := m.Plan(t.Context())
			require.NoError(t, err)
			assert.Equal(t, []string{c.want}, p.Refused)
			var refused *securl.RefusedError
			require.ErrorAs(t, p.Err(), &refused)
			_, err = p.Script()
			require.ErrorAs(t, err, &refused)
			before := s.get()
			_, err = m.Run(t.Context(), nil)
			require.ErrorAs(t, err, &refused)
			assert.Equal(t, []string{c.want}, refused.Reasons)
			assert.Equal(t, before, s.get())
			assert.Zero(t, s.writes)
		})
	}
}

func TestPlan(t *testing.T) {
	s := serve("nvarchar", map[int64]*string{1: text("Łódź"), 2: text(""), 3: text(strings.Repeat("x", 45)), 4: nil})
	s.dependents = [][2]string{{"trigger", "AfterUpdate"}, {"index", "IX"}, {"index", "IX"}, {"check constraint", "CK"}, {"history table", "Recipients"}}
	m := migration(t, s)
	m.CopyTable = "Backup"
	tick := noon
	m.Now = func() time.Time { tick = tick.Add(time.Second); return tick }
	p, err := m.Plan(t.Context())
	require.NoError(t, err)
	require.NoError(t, p.Err())
	assert.Equal(t, "Campaign", p.Database)
	assert.Equal(t, "nvarchar(50)", p.Column.String())
	assert.Equal(t, 1252, p.Collation.CodePage())
	assert.Equal(t, []string{"check constraint CK", "history table Recipients", "index IX", "trigger AfterUpdate"}, p.Dependents)
	assert.Equal(t, int64(1), p.Batches)
	assert.Positive(t, p.BatchRead)
	notes := strings.Join(p.Notes, "\n")
	for _, want := range []string{"cannot be undone", "transaction log", "dbo.Backup will hold every password in plain text", "1 empty passwords", "1 passwords are beyond ASCII",
		"1 passwords lose characters", "trigger AfterUpdate", "index IX", "check constraint CK", "history table copies each change"} {
		assert.Contains(t, notes, want)
	}
	r := p.Report()
	ruletest.ExpectFailed(t, r, securl.RulePlaintext, securl.RuleLossy)
	ruletest.Expect(t, r, connsec.Pass, securl.RuleTooNarrow)
	assert.Zero(t, s.writes)
}

func TestMigrateConfigErrors(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(*securl.Migration)
		want string
	}{
		{"no table", func(m *securl.Migration) { m.Table = "" }, "securl: the table has no name"},
		{"password is the key", func(m *securl.Migration) { m.Key = "PASSWORD" }, "securl: the password column cannot be the key: hashing would change the order it is done in"},
		{"control character", func(m *securl.Migration) { m.Column = "a\nb" }, "securl: the name of the password column has control characters"},
		{"long name", func(m *securl.Migration) { m.Schema = strings.Repeat("s", 129) }, "securl: the name of the schema is longer than 128 characters"},
		{"temporary", func(m *securl.Migration) { m.Table = "#t" }, "securl: the table cannot be a temporary table"},
		{"same names", func(m *securl.Migration) { m.CopyTable = "recipients" }, `securl: table, progress table and copy table need different names, not "Recipients" twice`},
		{"large batch", func(m *securl.Migration) { m.BatchSize = 651 }, "securl: a batch of 651 rows is not possible: use 1 to 650"},
		{"note of two lines", func(m *securl.Migration) { m.BackupTaken = "x\nGO" }, "securl: the note on the backup must be one line of at most 400 characters"},
		{"negative sample", func(m *securl.Migration) { m.Sample = -1 }, "securl: the sample cannot be negative"},
		{"no database", func(m *securl.Migration) { m.DB = nil }, "securl: the migration has no database"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := migration(t, serve("varchar", people(1)))
			c.set(&m)
			_, err := m.Run(t.Context(), nil)
			require.EqualError(t, err, c.want)
			require.ErrorAs(t, err, new(*securl.SettingError))
			_, err = m.Plan(t.Context())
			require.EqualError(t, err, c.want)
			require.ErrorAs(t, err, new(*securl.SettingError))
		})
	}
}

// What was changed after the copy is not taken for a mistake, but shown.
func TestMigrateShowsWhatDiffersFromTheCopy(t *testing.T) {
	s := serve("varchar", map[int64]*string{1: text("one"), 2: text("two")})
	m := migration(t, s)
	m.CopyTable = "Backup"
	s.before = func(stmt string) {
		if strings.HasPrefix(stmt, "UPDATE t SET") {
			s.set(2, text("new two"))
		}
	}
	res, err := m.Run(t.Context(), nil)
	require.NoError(t, err)
	assert.Equal(t, int64(1), res.Changed)
	assert.Equal(t, []string{"2"}, res.ChangedKeys)
	hashedOnce(t, s, map[int64]*string{1: text("one"), 2: text("new two")})

	// The copy is dropped, as it should be; a later run does without.
	s.mu.Lock()
	s.committed.copy = nil
	s.mu.Unlock()
	res, err = m.Run(t.Context(), nil)
	require.ErrorIs(t, err, securl.ErrMigrated)
	assert.Zero(t, res.Changed)
	assert.Equal(t, int64(2), res.Verified)
}

func TestMigrateResumeMismatch(t *testing.T) {
	s := serve("varchar", people(9))
	m := migration(t, s)
	m.CopyTable = "Backup"
	s.killAt, s.killHow = 16, afterEffect
	_, err := m.Run(t.Context(), nil)
	require.ErrorIs(t, err, errKilled)
	require.NotNil(t, s.get().progress)

	other := m
	other.Collation = mustPage(1250)
	_, err = other.Run(t.Context(), nil)
	require.ErrorContains(t, err, "the migration was begun in code page 1252, not in 1250")
	other = m
	other.CopyTable = "Elsewhere"
	_, err = other.Run(t.Context(), nil)
	require.ErrorContains(t, err, `the migration was begun with copy table "Backup"`)

	p, err := m.Plan(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "running", p.State)
	require.NoError(t, p.Err(), "a half converted column is what a resumed run finds")

	// Neither backup nor copy need to be named again.
	m.CopyTable, m.BackupTaken = "", ""
	_, err = m.Run(t.Context(), nil)
	require.NoError(t, err)
	hashedOnce(t, s, people(9))
}

// Errors name rows by key, and no password.
func TestMigrateErrorsShowNoPassword(t *testing.T) {
	s := serve("varchar", map[int64]*string{1: text("s3cr3t"), 2: text("s3cr3t")})
	m := migration(t, s)
	for killAt := 1; killAt < 30; killAt++ {
		s.ops, s.killAt = 0, killAt
		_, err := m.Run(t.Context(), nil)
		if err != nil {
			assert.NotContains(t, err.Error(), "s3cr3t")
		}
	}
}

func ExampleMigration_Run() {
	// In earnest: db, err := sql.Open("sqlserver", dsn)
	server := newFakeServer("varchar", map[int64]*string{1: text("jk34-hj5k"), 2: nil})
	db := sql.OpenDB(server)
	defer db.Close()

	m := securl.Migration{DB: db, Table: "Recipients", Column: "Password", Key: "Id", BackupTaken: "full backup of 2 March, restored on TEST2"}
	plan, err := m.Plan(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(plan.Facts.Plain, "plain,", plan.Facts.Null, "NULL,", plan.Collation, plan.Refused)
	res, err := m.Run(context.Background(), nil)
	fmt.Println(res.Hashed, "hashed,", res.Verified, "verified,", err)
	_, err = m.Run(context.Background(), nil)
	fmt.Println(err)
	// Output:
	// 1 plain, 1 NULL, SQL_Latin1_General_CP1_CI_AS []
	// 1 hashed, 2 verified, <nil>
	// securl: the column was migrated before
}

func BenchmarkMigrate(b *testing.B) {
	const n = 10_000
	for b.Loop() {
		b.StopTimer()
		s := serve("varchar", people(n))
		m := migration(b, s)
		m.BatchSize = 500
		b.StartTimer()
		_, err := m.Run(b.Context(), nil)
		require.NoError(b, err)
	}
	b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
