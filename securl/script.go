package securl

import (
	"errors"
	"fmt"
	"strings"
)

// Script returns T-SQL that does what Run does with ServerSide, for those who let nothing but a
// reviewed script near a database. It runs in sqlcmd or Management Studio on SQL Server 2008
// and later, as one batch. It keeps the same progress table, so either can continue what the
// other began, and it refuses to hash a column twice.
//
// The plan must have no reason against it.
func (p Plan) Script() (string, error) {
	if err := p.Err(); err != nil {
		return "", err
	}
	m := p.migration
	if m.BackupTaken == "" && m.CopyTable == "" && p.State == "" {
		return "", ErrNoBackup
	}
	if p.Collation.page != p.DatabaseCollation.page {
		return "", fmt.Errorf("securl: SQL Server can only hash in the collation of the database (%s), not in %s", p.DatabaseCollation, p.Collation)
	}
	s := newStatements(m, p.keys)
	for _, name := range []string{s.table, s.copyTo, s.progress, s.column, s.key, m.BackupTaken} {
		if strings.Contains(name, "$(") {
			return "", errors.New("securl: a name or the note on the backup holds \"$(\", which sqlcmd would replace: use Run instead")
		}
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }

	line("-- Hashes the SecURL passwords in %s, column %s, as Circle's method MD5 stores them.", comment(s.table), comment(s.column))
	line("-- Database %s, collation %s (code page %d). %d rows when this was written.", comment(p.Database), p.DatabaseCollation, p.DatabaseCollation.page, p.Facts.Rows)
	line("--")
	line("-- This cannot be undone. It can be interrupted at any time and run again: each batch and the")
	line("-- record of it in %s are committed together, and a value that has the form", comment(s.progress))
	line("-- of a hash is never hashed. The last query shows what does not have that form: 0 is right.")
	if m.BackupTaken != "" {
		line("-- Backup: %s", comment(m.BackupTaken))
	}
	for _, n := range p.Notes {
		line("-- Note: %s.", comment(n))
	}
	line("SET NOCOUNT ON;")
	line("SET XACT_ABORT ON;")
	line("SET ANSI_NULLS, ANSI_PADDING, ANSI_WARNINGS, ARITHABORT, CONCAT_NULL_YIELDS_NULL, QUOTED_IDENTIFIER ON;")
	line("SET NUMERIC_ROUNDABORT OFF;")
	line("DECLARE @rows int, @last %s, @upto %s, @state varchar(10), @hashed bigint;", s.keys.variable(p.DatabaseCollation), s.keys.variable(p.DatabaseCollation))
	line("")
	line("IF CAST(DATABASEPROPERTYEX(DB_NAME(), 'Collation') AS nvarchar(128)) <> %s", quoteText(p.DatabaseCollation.Name()))
	line("BEGIN RAISERROR(N'This script was written for a database with another collation.', 16, 1); RETURN; END;")
	line("")
	line("IF OBJECT_ID(%s) IS NULL", quoteText(s.progress))
	line("BEGIN")
	line("  IF EXISTS (SELECT 1 FROM %s AS t WHERE %s)", s.table, s.hashed())
	line("  BEGIN RAISERROR(N'The column holds hashes already: nothing was changed.', 16, 1); RETURN; END;")
	line("  BEGIN TRANSACTION;")
	if s.copyTo != "" {
		line("  -- The copy holds every password in plain text. Drop it as soon as sign-in has been tried.")
		line("  %s;", s.copy())
	}
	line("  %s;", s.create())
	insert := strings.NewReplacer("@p1", fmt.Sprint(p.Collation.page), "@p2", quoteText(m.BackupTaken), "@p3", quoteText(m.CopyTable)).Replace(s.insert())
	line("  %s;", insert)
	line("  COMMIT TRANSACTION;")
	line("END;")
	line("")
	line("WHILE 1 = 1")
	line("BEGIN")
	line("  BEGIN TRANSACTION;")
	line("  SELECT @state = State, @last = LastKey FROM %s WITH (UPDLOCK, HOLDLOCK);", s.progress)
	line("  IF @state = 'done'")
	line("  BEGIN ROLLBACK TRANSACTION; RAISERROR(N'The column was migrated before: nothing was changed.', 16, 1); BREAK; END;")
	line("  SELECT @upto = NULL, @rows = 0;")
	line("  SELECT TOP (1) @upto = x.k, @rows = x.n FROM (SELECT TOP (%d) t.%s AS k, ROW_NUMBER() OVER (ORDER BY t.%s) AS n", m.BatchSize, s.key, s.key)
	line("    FROM %s AS t WHERE @last IS NULL OR t.%s > @last ORDER BY t.%s) AS x ORDER BY x.n DESC", s.table, s.key, s.key)
	// With the values known, the server seeks to the key instead of reading from the beginning.
	line("    OPTION (RECOMPILE);")
	line("  IF @upto IS NULL")
	line("  BEGIN")
	line("    UPDATE %s SET State = 'done', Batch = Batch + 1, Changed = GETUTCDATE();", s.progress)
	line("    COMMIT TRANSACTION; BREAK;")
	line("  END;")
	line("  UPDATE t SET %s = CAST(N'' AS xml).value('xs:base64Binary(xs:hexBinary(sql:column(\"d.h\")))', 'varchar(%d)')", s.column, HashLength)
	line("    FROM %s AS t CROSS APPLY (SELECT HASHBYTES('MD5', CAST(t.%s COLLATE DATABASE_DEFAULT AS varchar(%d))) AS h) AS d", s.table, s.column, MaxBytes)
	line("    WHERE (@last IS NULL OR t.%s > @last) AND t.%s <= @upto AND t.%s IS NOT NULL", s.key, s.key, s.column)
	line("    AND NOT (%s)", s.hashed())
	line("    OPTION (RECOMPILE);")
	line("  SET @hashed = @@ROWCOUNT;")
	line("  UPDATE %s SET LastKey = @upto, RowsSeen = RowsSeen + @rows, RowsHashed = RowsHashed + @hashed,", s.progress)
	line("    Batch = Batch + 1, Changed = GETUTCDATE();")
	line("  COMMIT TRANSACTION;")
	line("END;")
	line("")
	line("-- Verification: rows that hold neither NULL nor a hash.")
	line("SELECT COUNT(*) AS NotHashed FROM %s AS t WHERE t.%s IS NOT NULL AND NOT (%s);", s.table, s.column, s.hashed())
	return b.String(), nil
}

// variable is the type as it stands in a DECLARE. Variables have the collation of the database,
// so a VARCHAR key of another code page goes into a Unicode variable.
func (k keyType) variable(database Collation) string {
	d, _, _ := strings.Cut(k.declaration(), " COLLATE ")
	if k.Type == "char" || k.Type == "varchar" {
		if c, err := ParseCollation(k.Collation); err != nil || c.page != database.page {
			d = fmt.Sprintf("nvarchar(%d)", min(k.Length, 4000))
		}
	}
	return d
}

// comment makes text fit into a line comment.
func comment(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7F || r == 0x85 || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, s)
}
