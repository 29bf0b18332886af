package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/audit"
	"github.com/connsec/connsec/report"
	"github.com/connsec/connsec/securl"
	"github.com/connsec/connsec/sqlsec"
)

func securlMigrate() command {
	return command{
		name: "securl migrate", args: "[DSN|-]", endless: true,
		about:  "hash a password column in SQL Server, in batches that survive a crash; --dry-run and --script write nothing",
		shares: flagConnect | flagCA | flagFormat | flagWaivers | flagVerbose | flagColor,
		setup: func(fs *flag.FlagSet, shared *common) func(context.Context, *call) error {
			var m securl.Migration
			var driver sqlsec.Driver
			fs.TextVar(&driver, "driver", driver, "`DRIVER` whose defaults apply: "+driverNames())
			dsnFile := fs.String("dsn-file", "", "read the connection string from `FILE`")
			fs.StringVar(&m.Schema, "schema", "", "`NAME` of the table's schema (default dbo)")
			fs.StringVar(&m.Table, "table", "", "`NAME` of the table")
			fs.StringVar(&m.Column, "column", "", "`NAME` of its password column")
			fs.StringVar(&m.Key, "key", "", "`NAME` of a unique column that is never NULL")
			fs.BoolVar(&m.DryRun, "dry-run", false, "read and hash every row, and write nothing")
			script := fs.Bool("script", false, "print T-SQL that does the same, and write nothing")
			fs.StringVar(&m.BackupTaken, "backup-taken", "", "`TEXT` that says which backup can bring the passwords back")
			fs.StringVar(&m.CopyTable, "copy-table", "", "copy keys and plain passwords to a new table `NAME` first")
			fs.StringVar(&m.ProgressTable, "progress-table", "", "`NAME` of the table that remembers what is done (default by table and column)")
			fs.IntVar(&m.BatchSize, "batch", 0, "commit `N` rows at a time (default 500)")
			fs.BoolVar(&m.ServerSide, "server-side", false, "let SQL Server hash, and compare a sample of each batch")
			fs.IntVar(&m.Sample, "sample", 0, "with --server-side: `ROWS` to compare in each batch (default 50)")
			collation := collationFlags(fs)
			return func(ctx context.Context, c *call) error {
				if err := c.textOrJSON(); err != nil {
					return err
				}
				switch {
				case m.Table == "" || m.Column == "" || m.Key == "":
					return usagef("give --table, --column and --key")
				case *script && m.DryRun:
					return usagef("give either --script or --dry-run; neither writes anything")
				case *script && shared.format != report.Text:
					return usagef("--script prints T-SQL, and nothing else")
				}
				var err error
				if m.Collation, err = collation(); err != nil {
					return err
				}
				cfg, err := sqlConfig(c, *dsnFile, driver)
				if err != nil {
					return err
				}
				if m.DB, err = c.open(ctx, cfg); err != nil {
					return err
				}
				defer m.DB.Close()
				if *script {
					return c.migrationScript(ctx, m)
				}
				return c.migrate(ctx, m)
			}
		},
	}
}

// open connects as the sql command's flags say, or refuses a setting that is not safe. A server
// that does not answer takes no longer than elsewhere, though the work after it may.
func (c *call) open(ctx context.Context, cfg sqlsec.Config) (*sql.DB, error) {
	var err error
	if cfg.Roots, cfg.Known, _, err = c.common.trust(ctx); err != nil {
		return nil, err
	}
	if c.common.waivers != "" {
		if cfg.Waivers, err = audit.LoadWaivers(c.common.waivers); err != nil {
			return nil, err
		}
	}
	cfg.Connect = c.common.connect
	ctx, cancel := context.WithTimeout(ctx, defaultTimeout)
	defer cancel()
	db, err := cfg.Open(ctx)
	if err == nil {
		return db, nil
	}
	var failed *connsec.FailedError
	if errors.As(err, &failed) {
		return nil, fmt.Errorf("%w; connsec sql --offline says all, --harden what to change", err)
	}
	return nil, unreached{err}
}

// planned is the plan. A database that fails is no mistake in the command line.
func planned(ctx context.Context, m securl.Migration) (securl.Plan, error) {
	p, err := m.Plan(ctx)
	if err != nil && !errors.As(err, new(*securl.SettingError)) {
		err = unreached{err}
	}
	return p, err
}

func (c *call) migrationScript(ctx context.Context, m securl.Migration) error {
	p, err := planned(ctx, m)
	if err != nil {
		return err
	}
	for _, why := range p.Refused {
		c.note("refused: %s", printable(why))
	}
	if p.Err() != nil {
		return outcome(exitFindings)
	}
	text, err := p.Script()
	switch {
	case errors.Is(err, securl.ErrNoBackup):
		return errNoBackup
	case err != nil:
		return err
	}
	for _, note := range p.Notes {
		c.note("%s", printable(note))
	}
	_, err = io.WriteString(c.out, text)
	return err
}

// errNoBackup is [securl.ErrNoBackup] in terms of flags.
var errNoBackup = usagef("hashing cannot be undone: say which backup was taken with --backup-taken, or name a table with --copy-table")

// migration is everything about a run in JSON.
type migration struct {
	Plan   securl.Plan             `json:"plan"`
	Report *connsec.Report         `json:"report"` // null if the column was not read
	Result *securl.MigrationResult `json:"result"` // null if it was refused
	Error  string                  `json:"error,omitempty"`
}

func (c *call) migrate(ctx context.Context, m securl.Migration) error {
	plan, err := planned(ctx, m)
	if err != nil {
		return err
	}
	all := migration{Plan: plan}
	if wasRead(plan) {
		r := plan.Report()
		all.Report = &r
	}
	text := c.common.format == report.Text
	if text {
		if err := c.writePlan(plan); err != nil {
			return err
		}
	}
	refused := plan.Err()
	if refused == nil {
		p := c.progress()
		result, ran := m.Run(ctx, func(r securl.MigrationResult) {
			p.show(fmt.Sprintf("%d of %d rows, pass %d  %s.%s", r.Rows, max(plan.Facts.Rows, r.Rows), max(r.Passes, 1), m.Table, m.Column))
		})
		p.clear()
		all.Result, err = &result, ran
		if err != nil {
			all.Error = oneLine(err)
		}
		if text {
			c.writeMigrated(m, result, err)
		}
	}
	if !text {
		if err := writeJSON(c.out, all); err != nil {
			return err
		}
	}
	switch {
	case refused != nil:
		return outcome(exitFindings)
	case err == nil && all.Result.Changed > 0:
		return outcome(exitFindings)
	case err == nil || isDone(err):
		return nil
	case errors.Is(err, securl.ErrNoBackup):
		return errNoBackup
	case errors.As(err, new(*securl.RefusedError)): // what has changed since the plan
		c.note("%s", oneLine(err))
		return outcome(exitFindings)
	}
	return unreached{err}
}

// isDone reports that an earlier run finished the column and it still is as that left it. With
// another error beside it, something has written to it since.
func isDone(err error) bool {
	return errors.Is(err, securl.ErrMigrated) && !errors.Is(err, securl.ErrStragglers)
}

// wasRead reports whether there are facts about the column: there are none if it does not exist.
func wasRead(p securl.Plan) bool { return !p.Facts.At.IsZero() }

// writePlan says what is there, what would be done, and why not.
func (c *call) writePlan(p securl.Plan) error {
	fmt.Fprintf(c.out, "%s.%s.%s in %s, SQL Server %s\n", p.Schema, p.Table, p.ColumnName, printable(p.Database), printable(p.ServerVersion))
	if !wasRead(p) {
		c.writeRefused(p.Refused)
		return nil
	}
	fmt.Fprintf(c.out, "  column     %s, collation %s\n", p.Column, p.Collation)
	fmt.Fprintf(c.out, "  rows       %s\n", hang(13, fmt.Sprintf("%d: %s", p.Facts.Rows, counted(
		count{p.Facts.Plain, "plain"}, count{p.Facts.Empty, "empty"}, count{p.Facts.Null, "NULL"}, count{p.Facts.MD5, "in Circle's form"},
		count{p.Facts.Rows - p.Facts.Plain - p.Facts.Empty - p.Facts.Null - p.Facts.MD5, "hashed otherwise"}))))
	if p.Batches > 0 {
		fmt.Fprintf(c.out, "  batches    %s\n", hang(13, fmt.Sprintf("%d of up to %d rows; reading and hashing one took %s, writing it takes longer",
			p.Batches, p.BatchSize, max(p.BatchRead.Round(time.Millisecond), time.Millisecond))))
	}
	for _, note := range p.Notes {
		fmt.Fprintf(c.out, "  note       %s\n", hang(13, printable(note)))
	}
	c.writeRefused(p.Refused)
	fmt.Fprintln(c.out)
	return report.Write(c.out, report.Text, []connsec.Report{p.Report()}, c.options())
}

func (c *call) writeRefused(reasons []string) {
	for _, why := range reasons {
		fmt.Fprintf(c.out, "  REFUSED    %s\n", hang(13, printable(why)))
	}
}

func (c *call) writeMigrated(m securl.Migration, r securl.MigrationResult, err error) {
	fmt.Fprintln(c.out)
	switch {
	case isDone(err):
		fmt.Fprintln(c.out, "nothing to do: the column was migrated before")
		return
	case err != nil && r.Rows == 0:
		return
	case err == nil && r.DryRun:
		fmt.Fprintf(c.out, "dry run: %d rows read, %s would be written; nothing was\n", r.Rows, counted(count{r.Hashed, "hashes"}))
		return
	}
	state := "migrated"
	switch {
	case err != nil:
		state = "stopped; everything up to here stays, and the same command continues"
	case r.Resumed:
		state = "continued an earlier run, and migrated"
	}
	fmt.Fprintf(c.out, "%s: %d rows, %s, in %s\n", state, r.Rows, counted(
		count{r.Hashed, "hashed"}, count{r.Null, "NULL"}, count{r.Kept, "hashed before"}, count{r.Retried, "changed meanwhile and read again"},
		count{r.Verified, "verified"}), r.Elapsed.Round(time.Millisecond))
	if r.Changed > 0 {
		fmt.Fprintf(c.out, "%s\n", hang(0, fmt.Sprintf("%d rows hold something else than the hash of their copy: look at them before the copy is dropped", r.Changed)))
		for _, key := range r.ChangedKeys {
			fmt.Fprintf(c.out, "  %s\n", printable(key))
		}
	}
	if err == nil && m.CopyTable != "" {
		fmt.Fprintf(c.out, "%s\n", hang(0, fmt.Sprintf("table %s holds every password in plain text: drop it as soon as sign-in has been tried", m.CopyTable)))
	}
}
