package securl

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// MigrationResult counts what a run did, or has done so far.
type MigrationResult struct {
	// Total rows at the beginning of the run, 0 if it continues an earlier one.
	Total int64 `json:"total"`
	// Rows read, Hashed rows written. Null rows stay NULL. Kept rows held a hash already,
	// made by Circle or by an earlier pass.
	Rows   int64 `json:"rows"`
	Hashed int64 `json:"hashed"`
	Null   int64 `json:"null"`
	Kept   int64 `json:"kept"`
	// Retried rows were changed by someone else between reading and writing.
	Retried int64 `json:"retried"`
	// Verified rows were read again at the end: they hold a hash or NULL. With a copy table,
	// each hash was computed anew from the copy.
	Verified int64 `json:"verified"`
	// Changed rows hold something else than the hash of what the copy holds: their password
	// was changed since, or, with ServerSide, SQL Server hashes it differently. Look at them
	// before the copy is dropped. ChangedKeys are the first ten.
	Changed     int64    `json:"changed"`
	ChangedKeys []string `json:"changed_keys,omitempty"`
	// Passes over the table. More than one means that plain passwords were still being written.
	Passes int `json:"passes"`
	// Resumed says that an earlier run was continued, DryRun that nothing was written.
	Resumed bool          `json:"resumed"`
	DryRun  bool          `json:"dry_run"`
	Elapsed time.Duration `json:"elapsed_ns"`
}

const (
	// mostPasses over the table, if plain passwords keep appearing behind the first.
	mostPasses = 3
	// mostRetries of one batch whose rows others keep changing.
	mostRetries = 5
)

// Run migrates the column, or continues where an earlier run was interrupted, and verifies
// every row at the end. progress, if not nil, is called after each batch.
//
// When ctx is cancelled the batch under way is rolled back, and everything before it stays. The
// same holds for any error, a lost connection and a crash of this process, the server or the
// machine: run it again. The result says how far it came, also with an error.
func (m Migration) Run(ctx context.Context, progress func(MigrationResult)) (MigrationResult, error) {
	m, err := m.withDefaults()
	if err != nil {
		return MigrationResult{}, err
	}
	begin := m.Now()
	r := &run{m: m, progress: progress, begin: begin}
	r.res.DryRun = m.DryRun
	err = r.run(ctx)
	r.res.Elapsed = m.Now().Sub(begin)
	return r.res, err
}

type run struct {
	m        Migration
	p        Plan
	s        statements
	hasher   Hasher
	res      MigrationResult
	progress func(MigrationResult)
	begin    time.Time
}

func (r *run) run(ctx context.Context) error {
	var err error
	if r.p, err = r.m.schema(ctx); err != nil {
		return err
	}
	if !r.p.found {
		return r.p.Err()
	}
	r.s = newStatements(r.m, r.p.keys)
	r.hasher = Hasher{Collation: r.p.Collation}
	if r.p.progress == nil {
		if !r.m.DryRun && r.m.BackupTaken == "" && r.m.CopyTable == "" {
			return ErrNoBackup
		}
		// Only a column that is plain from end to end may be begun.
		if err := r.m.classify(ctx, &r.p); err != nil {
			return err
		}
		r.p.judgeContent()
		r.res.Total = r.p.Facts.Rows
	}
	if err := r.p.Err(); err != nil {
		return err
	}
	if r.m.DryRun {
		return r.dry(ctx)
	}
	state, err := r.start(ctx)
	if err != nil {
		return err
	}
	if state.state == "done" {
		err := r.verify(ctx, state)
		switch {
		case err == nil:
			return ErrMigrated
		case !errors.Is(err, ErrStragglers):
			return err
		case r.m.BackupTaken == "":
			// New passwords are in no backup of before.
			return errors.Join(ErrMigrated, err, ErrNoBackup)
		}
		if err := r.advance(ctx, r.s.restart()); err != nil {
			return err
		}
	}
	for r.res.Passes = 1; ; r.res.Passes++ {
		for more := true; more; {
			for try := 0; ; try++ {
				if more, err = r.batch(ctx); !errors.Is(err, errConflict) || try == mostRetries {
					break
				}
			}
			if err != nil {
				return err
			}
		}
		err = r.verify(ctx, state)
		if !errors.Is(err, ErrStragglers) || r.res.Passes == mostPasses {
			break
		}
		if err := r.advance(ctx, r.s.restart()); err != nil {
			return err
		}
	}
	if err != nil {
		if errors.Is(err, ErrStragglers) {
			// So that the next run begins at the first row again.
			return errors.Join(err, r.advance(ctx, r.s.restart()))
		}
		return err
	}
	return r.advance(ctx, r.s.finish())
}

// start creates the progress table, and the copy with it, unless they are there.
func (r *run) start(ctx context.Context) (progressState, error) {
	if r.p.progress != nil {
		r.res.Resumed = r.p.progress.state == "running"
		return *r.p.progress, nil
	}
	// One transaction: either there is a copy and a table that knows of it, or neither.
	err := r.transact(ctx, func(tx *sql.Tx) error {
		if r.s.copyTo != "" {
			if _, err := tx.ExecContext(ctx, r.s.copy()); err != nil {
				return fmt.Errorf("securl: copying the passwords to %s: %w", r.m.CopyTable, err)
			}
		}
		if _, err := tx.ExecContext(ctx, r.s.create()); err != nil {
			return fmt.Errorf("securl: creating the progress table %s: %w", r.m.ProgressTable, err)
		}
		if _, err := tx.ExecContext(ctx, r.s.insert(), r.p.Collation.page, r.m.BackupTaken, r.m.CopyTable); err != nil {
			return fmt.Errorf("securl: filling the progress table: %w", err)
		}
		return nil
	})
	return progressState{state: "running", copyTable: r.m.CopyTable}, err
}

// rollbackTime is what a server gets to roll a batch back after ctx has ended. Then the connection
// is given up, and the server rolls back when it notices.
const rollbackTime = 10 * time.Second

// outlast returns a context that ends some time after ctx does, or with end.
func outlast(ctx context.Context, after time.Duration) (outer context.Context, end context.CancelFunc) {
	outer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		t := time.NewTimer(after)
		defer t.Stop()
		select {
		case <-t.C:
			cancel()
		case <-outer.Done():
		}
	})
	return outer, func() {
		stop()
		cancel()
	}
}

// transact commits what f did, or rolls it back.
func (r *run) transact(ctx context.Context, f func(*sql.Tx) error) error {
	// The statements end with ctx, and then the transaction is rolled back here. Left to
	// database/sql, it would be rolled back beside a statement that is still ending, which
	// go-mssqldb 1.11 does not stand: both read into the same buffer.
	outer, end := outlast(ctx, rollbackTime)
	defer end()
	tx, err := r.m.DB.BeginTx(outer, nil)
	if err != nil {
		return fmt.Errorf("securl: beginning a transaction: %w", err)
	}
	if err := f(tx); err != nil {
		// The first error is the one that matters; the server rolls back a lost connection.
		_ = tx.Rollback()
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("securl: committing: %w (run again: the progress table knows whether it was)", err)
	}
	return nil
}

// errConflict says that a batch has to be done again from its beginning.
var errConflict = errors.New("securl: a row does not hold the hash that was written: does a trigger change it?")

// batch hashes the next rows and reports whether there were any.
func (r *run) batch(ctx context.Context) (more bool, err error) {
	before := r.res
	err = r.transact(ctx, func(tx *sql.Tx) error {
		state, err := readState(ctx, tx, r.s.state(true))
		if err != nil {
			return err
		}
		var last key
		var seen, hashed int64
		if r.m.ServerSide {
			last, seen, hashed, err = r.serverBatch(ctx, tx, state)
		} else {
			last, seen, hashed, err = r.clientBatch(ctx, tx, state)
		}
		if err != nil || last.v == nil {
			return err
		}
		more = true
		return r.exec1(ctx, tx, r.s.mark(), last.arg(), seen, hashed, state.batch)
	})
	if err != nil {
		r.res = before // nothing of it was committed, as far as is known
		return false, err
	}
	if more && r.progress != nil {
		r.res.Elapsed = r.m.Now().Sub(r.begin)
		r.progress(r.res)
	}
	return more, nil
}

// exec1 runs a statement that must change exactly one row.
func (r *run) exec1(ctx context.Context, tx *sql.Tx, stmt string, args ...any) error {
	res, err := tx.ExecContext(ctx, stmt, args...)
	if err != nil {
		return fmt.Errorf("securl: recording the progress: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return errors.New("securl: the progress table was changed by someone else")
	}
	return nil
}

// advance changes the state between batches.
func (r *run) advance(ctx context.Context, stmt string) error {
	return r.transact(ctx, func(tx *sql.Tx) error {
		state, err := readState(ctx, tx, r.s.state(true))
		if err != nil {
			return err
		}
		return r.exec1(ctx, tx, stmt, state.batch)
	})
}

// arguments of a statement with the condition statements.after.
func keysAfter(state progressState, first any) []any {
	if state.first() {
		return []any{first}
	}
	return []any{first, state.last.arg()}
}

func (r *run) query(ctx context.Context, tx querier, stmt string, args ...any) ([]storedRow, error) {
	rows, err := tx.QueryContext(ctx, stmt, args...)
	if err != nil {
		return nil, fmt.Errorf("securl: reading rows: %w", err)
	}
	var out []storedRow
	if err := scanRows(rows, func(row storedRow) error { out = append(out, row); return nil }); err != nil {
		return nil, fmt.Errorf("securl: reading rows: %w", err)
	}
	return out, nil
}

// isStoredHash reports whether the bytes of a column value have the form of a hash.
func (r *run) isStoredHash(raw []byte) bool {
	if r.p.Column.unicode() {
		if len(raw) < 2*HashLength {
			return false
		}
		narrow := make([]byte, 0, len(raw)/2)
		for i := 0; i+1 < len(raw); i += 2 {
			if raw[i+1] != 0 {
				return false
			}
			narrow = append(narrow, raw[i])
		}
		raw = narrow
	}
	return isHash(bytes.TrimRight(raw, " "))
}

// wide is a hash as the column holds it.
func (r *run) wide(hash []byte) []byte {
	if !r.p.Column.unicode() {
		return hash
	}
	out := make([]byte, 0, 2*len(hash))
	for _, c := range hash {
		out = append(out, c, 0)
	}
	return out
}

// clientBatch reads rows, hashes them here, writes the hashes, and reads all again until each
// row holds what it should.
func (r *run) clientBatch(ctx context.Context, tx *sql.Tx, state progressState) (last key, seen, hashed int64, err error) {
	rows, err := r.query(ctx, tx, r.s.read(state.first(), false), keysAfter(state, r.m.BatchSize)...)
	if err != nil || len(rows) == 0 {
		return key{}, 0, 0, err
	}
	last = rows[len(rows)-1].key
	ours := make(map[any][]byte, len(rows)) // the hash that we wrote, as the column holds it
	for attempt := 0; ; attempt++ {
		var todo []storedRow
		var null, kept int64
		for _, row := range rows {
			switch {
			case !row.raw.Valid:
				null++
			case r.isStoredHash(row.raw.V):
				want, tried := ours[row.key.v]
				if tried && !bytes.Equal(want, row.raw.V) {
					// Someone else stored a hash between our reading and writing, or a trigger
					// hashed ours again. Only from the beginning can that be told.
					return last, 0, 0, fmt.Errorf("%w (row with key %s)", errConflict, row.key)
				}
				if !tried {
					kept++
				}
			default:
				todo = append(todo, row)
			}
		}
		if len(todo) == 0 {
			seen = int64(len(rows))
			hashed = seen - null - kept
			r.res.Rows += seen
			r.res.Null += null
			r.res.Kept += kept
			r.res.Hashed += hashed
			return last, seen, hashed, nil
		}
		if attempt == mostRetries {
			return last, 0, 0, fmt.Errorf("securl: the row with key %s was changed %d times while it was to be hashed, or the database does not store what it is given", todo[0].key, mostRetries)
		}
		if attempt > 0 {
			r.res.Retried += int64(len(todo))
		}
		if err := r.write(ctx, tx, todo, ours); err != nil {
			return last, 0, 0, err
		}
		if rows, err = r.query(ctx, tx, r.s.reread(state.first()), keysAfter(state, last.arg())...); err != nil {
			return last, 0, 0, err
		}
	}
}

// write sends the hashes of rows, in statements of at most a batch.
func (r *run) write(ctx context.Context, tx *sql.Tx, rows []storedRow, ours map[any][]byte) error {
	for len(rows) > 0 {
		part := rows[:min(len(rows), r.m.BatchSize)]
		rows = rows[len(part):]
		args := make([]any, 0, 3*len(part))
		for _, row := range part {
			hash, _, err := r.hasher.hashRaw(r.p.Column, row.raw.V)
			if err != nil {
				return fmt.Errorf("%w (row with key %s)", err, row.key)
			}
			ours[row.key.v] = r.wide(hash)
			// An empty value that came as a nil slice would go back as NULL.
			args = append(args, row.key.arg(), append([]byte{}, row.raw.V...), string(hash))
		}
		if _, err := tx.ExecContext(ctx, r.s.update(len(part)), args...); err != nil {
			return fmt.Errorf("securl: writing hashes: %w", err)
		}
	}
	return nil
}

// serverBatch lets SQL Server hash, and compares the first rows with our own hashes.
func (r *run) serverBatch(ctx context.Context, tx *sql.Tx, state progressState) (last key, seen, hashed int64, err error) {
	first := state.first()
	err = tx.QueryRowContext(ctx, r.s.upto(first), keysAfter(state, r.m.BatchSize)...).Scan(&last, &seen)
	if errors.Is(err, sql.ErrNoRows) {
		return key{}, 0, 0, nil
	}
	if err != nil {
		return last, 0, 0, fmt.Errorf("securl: finding the next batch: %w", err)
	}
	before, err := r.query(ctx, tx, r.s.read(first, true), keysAfter(state, r.m.Sample)...)
	if err != nil {
		return last, 0, 0, err
	}
	res, err := tx.ExecContext(ctx, r.s.serverHash(first), keysAfter(state, last.arg())...)
	if err != nil {
		return last, 0, 0, fmt.Errorf("securl: hashing in SQL Server: %w", err)
	}
	if hashed, err = res.RowsAffected(); err != nil {
		return last, 0, 0, fmt.Errorf("securl: hashing in SQL Server: %w", err)
	}
	if len(before) > 0 {
		after, err := r.query(ctx, tx, r.s.reread(first), keysAfter(state, before[len(before)-1].key.arg())...)
		if err != nil {
			return last, 0, 0, err
		}
		if err := r.sameHashes(before, after); err != nil {
			return last, 0, 0, err
		}
	}
	r.res.Rows += seen
	r.res.Hashed += hashed
	return last, seen, hashed, nil
}

// sameHashes compares what SQL Server made of a sample with what we make of it.
func (r *run) sameHashes(before, after []storedRow) error {
	now := make(map[any]sql.Null[[]byte], len(after))
	for _, row := range after {
		now[row.key.v] = row.raw
	}
	for _, row := range before {
		got, there := now[row.key.v]
		switch {
		case !there || got.Valid != row.raw.Valid:
			return fmt.Errorf("%w (row with key %s)", ErrServerDiffers, row.key)
		case !row.raw.Valid || r.isStoredHash(row.raw.V):
			continue // NULL, or a hash that was left alone
		}
		want, _, err := r.hasher.hashRaw(r.p.Column, row.raw.V)
		if err != nil {
			return fmt.Errorf("%w (row with key %s)", err, row.key)
		}
		if !bytes.Equal(got.V, r.wide(want)) {
			return fmt.Errorf("%w (row with key %s)", ErrServerDiffers, row.key)
		}
	}
	return nil
}

// verify reads every row at the end.
func (r *run) verify(ctx context.Context, state progressState) error {
	r.res.Verified, r.res.Changed, r.res.ChangedKeys = 0, 0, nil
	var plain int64
	rows, err := r.m.DB.QueryContext(ctx, r.s.scan())
	if err != nil {
		return fmt.Errorf("securl: verifying: %w", err)
	}
	if err := scanRows(rows, func(row storedRow) error {
		if row.raw.Valid && !r.isStoredHash(row.raw.V) {
			plain++
		} else {
			r.res.Verified++
		}
		return nil
	}); err != nil {
		return fmt.Errorf("securl: verifying: %w", err)
	}
	if plain > 0 {
		return fmt.Errorf("%w (%d of them)", ErrStragglers, plain)
	}
	if state.copyTable == "" {
		return nil
	}
	s := r.s
	if s.copyTo == "" { // a later run, which need not name it
		s.copyTo = quoteIdent(r.m.Schema) + "." + quoteIdent(state.copyTable)
	}
	// The copy may have been dropped by now, as it should be.
	var there int
	if err := r.m.DB.QueryRowContext(ctx, stmtExists, s.copyTo).Scan(&there); err != nil {
		return fmt.Errorf("securl: looking for the copy table: %w", err)
	}
	if there == 0 {
		return nil
	}
	return r.compare(ctx, s)
}

// compare hashes each row of the copy again.
func (r *run) compare(ctx context.Context, s statements) error {
	rows, err := r.m.DB.QueryContext(ctx, s.compare())
	if err != nil {
		return fmt.Errorf("securl: comparing with the copy: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var k key
		var old, now sql.Null[[]byte]
		if err := rows.Scan(&k, &old, &now); err != nil {
			return fmt.Errorf("securl: comparing with the copy: %w", err)
		}
		same := !old.Valid && !now.Valid
		if old.Valid && now.Valid {
			want, _, err := r.hasher.hashRaw(r.p.Column, old.V)
			if err != nil {
				return fmt.Errorf("%w (row with key %s)", err, k)
			}
			same = bytes.Equal(r.wide(want), now.V)
		}
		if !same {
			if r.res.Changed++; r.res.Changed <= 10 {
				r.res.ChangedKeys = append(r.res.ChangedKeys, k.String())
			}
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("securl: comparing with the copy: %w", err)
	}
	return nil
}

// dry walks over the table as a run would, and hashes without writing.
func (r *run) dry(ctx context.Context) error {
	state := progressState{}
	if r.p.progress != nil {
		state = *r.p.progress
		r.res.Resumed = state.state == "running"
		if state.state == "done" {
			return r.verify(ctx, state)
		}
	}
	r.res.Passes = 1
	for {
		rows, err := r.query(ctx, r.m.DB, r.s.read(state.first(), false), keysAfter(state, r.m.BatchSize)...)
		if err != nil || len(rows) == 0 {
			return err
		}
		for _, row := range rows {
			r.res.Rows++
			switch {
			case !row.raw.Valid:
				r.res.Null++
			case r.isStoredHash(row.raw.V):
				r.res.Kept++
			default:
				if _, _, err := r.hasher.hashRaw(r.p.Column, row.raw.V); err != nil {
					return fmt.Errorf("%w (row with key %s)", err, row.key)
				}
				r.res.Hashed++
			}
		}
		state.last = rows[len(rows)-1].key
		if r.progress != nil {
			r.res.Elapsed = r.m.Now().Sub(r.begin)
			r.progress(r.res)
		}
	}
}
