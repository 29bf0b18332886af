package securl

import (
	"fmt"
	"strings"
)

// The statements that a migration sends. They run on SQL Server 2008 and later. Names are
// quoted, values are parameters; only numbers and collation names that the server itself gave
// are written into the text.

const stmtServer = `SELECT CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(128)), DB_NAME(),
 CAST(DATABASEPROPERTYEX(DB_NAME(), 'Collation') AS nvarchar(128)),
 CAST(DATABASEPROPERTYEX(DB_NAME(), 'Updateability') AS nvarchar(128))`

const stmtColumns = `SELECT c.name, TYPE_NAME(c.system_type_id), CAST(c.max_length AS int), c.is_nullable, c.is_computed, COALESCE(c.collation_name, N'')
 FROM sys.columns AS c JOIN sys.tables AS t ON t.object_id = c.object_id
 WHERE c.object_id = OBJECT_ID(@p1) AND c.name IN (@p2, @p3)`

// stmtUnique counts the unique indexes that consist of the key column alone.
const stmtUnique = `SELECT COUNT(*) FROM sys.indexes AS i
 WHERE i.object_id = OBJECT_ID(@p1) AND i.is_unique = 1 AND i.has_filter = 0 AND i.is_disabled = 0 AND i.is_hypothetical = 0
 AND EXISTS (SELECT 1 FROM sys.index_columns AS k JOIN sys.columns AS c ON c.object_id = k.object_id AND c.column_id = k.column_id
  WHERE k.object_id = i.object_id AND k.index_id = i.index_id AND k.key_ordinal = 1 AND c.name = @p2)
 AND NOT EXISTS (SELECT 1 FROM sys.index_columns AS k WHERE k.object_id = i.object_id AND k.index_id = i.index_id AND k.key_ordinal > 1)`

// stmtDependents lists what else is tied to the password column or sees it change.
const stmtDependents = `SELECT CASE WHEN i.is_unique = 1 THEN N'unique index' ELSE N'index' END, i.name
 FROM sys.indexes AS i JOIN sys.index_columns AS k ON k.object_id = i.object_id AND k.index_id = i.index_id
 JOIN sys.columns AS c ON c.object_id = k.object_id AND c.column_id = k.column_id
 WHERE i.object_id = OBJECT_ID(@p1) AND c.name = @p2
UNION ALL SELECT N'trigger', name FROM sys.triggers WHERE parent_id = OBJECT_ID(@p1) AND is_disabled = 0
UNION ALL SELECT N'foreign key', OBJECT_NAME(f.constraint_object_id) FROM sys.foreign_key_columns AS f
 JOIN sys.columns AS c ON (c.object_id = f.parent_object_id AND c.column_id = f.parent_column_id) OR (c.object_id = f.referenced_object_id AND c.column_id = f.referenced_column_id)
 WHERE c.object_id = OBJECT_ID(@p1) AND c.name = @p2
UNION ALL SELECT N'check constraint', k.name FROM sys.check_constraints AS k WHERE k.parent_object_id = OBJECT_ID(@p1) AND k.is_disabled = 0
UNION ALL SELECT N'replication', t.name FROM sys.tables AS t WHERE t.object_id = OBJECT_ID(@p1) AND t.is_replicated = 1
UNION ALL SELECT N'change data capture', t.name FROM sys.tables AS t WHERE t.object_id = OBJECT_ID(@p1) AND t.is_tracked_by_cdc = 1
UNION ALL SELECT N'history table', t.name FROM sys.tables AS t WHERE t.object_id = OBJECT_ID(@p1) AND OBJECTPROPERTY(t.object_id, 'TableTemporalType') = 2`

const stmtExists = `SELECT COUNT(*) FROM sys.tables WHERE object_id = OBJECT_ID(@p1)`

// statements are those that name the table.
type statements struct {
	table, copyTo, progress string // quoted, with schema
	column, key             string // quoted
	keys                    keyType
}

func newStatements(m Migration, keys keyType) statements {
	schema := quoteIdent(m.Schema) + "."
	s := statements{
		table: schema + quoteIdent(m.Table), progress: schema + quoteIdent(m.ProgressTable),
		column: quoteIdent(m.Column), key: quoteIdent(m.Key), keys: keys,
	}
	if m.CopyTable != "" {
		s.copyTo = schema + quoteIdent(m.CopyTable)
	}
	return s
}

// bytes is the password as the column holds it. NULL stays NULL.
func (s statements) bytes(alias string) string {
	return "CAST(" + alias + "." + s.column + " AS varbinary(max))"
}

// scan reads the column from one end to the other, in no order.
func (s statements) scan() string {
	return fmt.Sprintf("SELECT %s, %s FROM %s AS t", s.keys.read("t."+s.key), s.bytes("t"), s.table)
}

// The progress table has one row.
func (s statements) create() string {
	return fmt.Sprintf(`CREATE TABLE %s (
 Id tinyint NOT NULL PRIMARY KEY CHECK (Id = 1),
 State varchar(10) NOT NULL,
 Batch bigint NOT NULL,
 Pass int NOT NULL,
 LastKey %s NULL,
 RowsSeen bigint NOT NULL,
 RowsHashed bigint NOT NULL,
 CodePage int NOT NULL,
 BackupNote nvarchar(400) NOT NULL,
 CopyTable nvarchar(128) NOT NULL,
 Started datetime NOT NULL,
 Changed datetime NOT NULL)`, s.progress, s.keys.declaration())
}

func (s statements) insert() string {
	return fmt.Sprintf(`INSERT INTO %s (Id, State, Batch, Pass, LastKey, RowsSeen, RowsHashed, CodePage, BackupNote, CopyTable, Started, Changed)
 VALUES (1, 'running', 0, 1, NULL, 0, 0, @p1, @p2, @p3, GETUTCDATE(), GETUTCDATE())`, s.progress)
}

// copy needs no lock of its own: it runs in the transaction that creates the progress table,
// before anything is hashed.
func (s statements) copy() string {
	return fmt.Sprintf("SELECT t.%s, t.%s INTO %s FROM %s AS t", s.key, s.column, s.copyTo, s.table)
}

const stateColumns = "State, Batch, Pass, %s, RowsSeen, RowsHashed, CodePage, CopyTable"

// state reads the progress; locked holds the row until the transaction ends, so that two runs
// at the same time take turns.
func (s statements) state(locked bool) string {
	hint := ""
	if locked {
		hint = " WITH (UPDLOCK, HOLDLOCK)"
	}
	return fmt.Sprintf("SELECT "+stateColumns+" FROM %s%s", s.keys.read("LastKey"), s.progress, hint)
}

// after is the condition on keys beyond the last one, which is parameter n; no condition at the
// beginning.
func (s statements) after(first bool, n int) string {
	if first {
		return ""
	}
	return fmt.Sprintf("t.%s > %s", s.key, s.keys.write(fmt.Sprintf("@p%d", n)))
}

func where(conditions ...string) string {
	var kept []string
	for _, c := range conditions {
		if c != "" {
			kept = append(kept, c)
		}
	}
	if len(kept) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(kept, " AND ")
}

// read gets the next rows: @p1 how many, @p2 the last key. lock keeps others from changing them
// until the transaction ends.
func (s statements) read(first, lock bool) string {
	hint := ""
	if lock {
		hint = " WITH (UPDLOCK)"
	}
	return fmt.Sprintf("SELECT TOP (@p1) %s, %s FROM %s AS t%s%s ORDER BY t.%s",
		s.keys.read("t."+s.key), s.bytes("t"), s.table, hint, where(s.after(first, 2)), s.key)
}

// reread gets the rows of a batch again: @p1 the key of its last row, @p2 the key before it.
func (s statements) reread(first bool) string {
	return fmt.Sprintf("SELECT %s, %s FROM %s AS t%s ORDER BY t.%s",
		s.keys.read("t."+s.key), s.bytes("t"), s.table, where(s.upTo(), s.after(first, 2)), s.key)
}

func (s statements) upTo() string { return fmt.Sprintf("t.%s <= %s", s.key, s.keys.write("@p1")) }

// update writes the hashes of n rows: key, bytes as read, hash for each. A row that was changed
// since it was read is not touched. DATALENGTH is compared too, because SQL Server ignores
// trailing zero bytes when it compares VARBINARY.
func (s statements) update(n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "UPDATE t SET %s = v.h FROM %s AS t JOIN (VALUES ", s.column, s.table)
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "(@p%d, @p%d, @p%d)", 3*i+1, 3*i+2, 3*i+3)
	}
	fmt.Fprintf(&b, ") AS v(k, o, h) ON t.%s = %s WHERE %s = v.o AND DATALENGTH(t.%s) = DATALENGTH(v.o)",
		s.key, s.keys.write("v.k"), s.bytes("t"), s.column)
	return b.String()
}

// upto finds the key of the last row of the next batch: @p1 rows, @p2 the last key.
func (s statements) upto(first bool) string {
	return fmt.Sprintf("SELECT TOP (1) %s, x.n FROM (SELECT TOP (@p1) t.%s AS k, ROW_NUMBER() OVER (ORDER BY t.%s) AS n FROM %s AS t%s ORDER BY t.%s) AS x ORDER BY x.n DESC",
		s.keys.read("x.k"), s.key, s.key, s.table, where(s.after(first, 2)), s.key)
}

// hashed is the condition that a value has the form of a hash. It compares code points, as
// Unicode, so that no collation makes other characters equal to these.
func (s statements) hashed() string {
	return "RTRIM(CAST(t." + s.column + " AS nvarchar(max))) COLLATE Latin1_General_BIN2 LIKE N'" + strings.Repeat("[A-Za-z0-9+/]", 21) + "[AQgw]=='"
}

// serverHash lets SQL Server hash a batch: @p1 its last key, @p2 the key before it.
func (s statements) serverHash(first bool) string {
	return fmt.Sprintf(`UPDATE t SET %s = CAST(N'' AS xml).value('xs:base64Binary(xs:hexBinary(sql:column("d.h")))', 'varchar(24)')
 FROM %s AS t CROSS APPLY (SELECT HASHBYTES('MD5', CAST(t.%s COLLATE DATABASE_DEFAULT AS varchar(%d))) AS h) AS d%s`,
		s.column, s.table, s.column, MaxBytes, where(s.upTo(), s.after(first, 2), "t."+s.column+" IS NOT NULL", "NOT ("+s.hashed()+")"))
}

// mark moves the watermark: @p1 the last key, @p2 rows seen, @p3 hashed, @p4 the batch before.
func (s statements) mark() string {
	return fmt.Sprintf("UPDATE %s SET LastKey = %s, RowsSeen = RowsSeen + @p2, RowsHashed = RowsHashed + @p3, Batch = Batch + 1, Changed = GETUTCDATE() WHERE Batch = @p4",
		s.progress, s.keys.write("@p1"))
}

// restart begins another pass: @p1 the batch before.
func (s statements) restart() string {
	return fmt.Sprintf("UPDATE %s SET State = 'running', LastKey = NULL, RowsSeen = 0, Pass = Pass + 1, Batch = Batch + 1, Changed = GETUTCDATE() WHERE Batch = @p1", s.progress)
}

// finish records the end: @p1 the batch before.
func (s statements) finish() string {
	return fmt.Sprintf("UPDATE %s SET State = 'done', Batch = Batch + 1, Changed = GETUTCDATE() WHERE Batch = @p1", s.progress)
}

// compare reads each row with its copy.
func (s statements) compare() string {
	return fmt.Sprintf("SELECT %s, %s, %s FROM %s AS c JOIN %s AS t ON t.%s = c.%s",
		s.keys.read("t."+s.key), s.bytes("c"), s.bytes("t"), s.copyTo, s.table, s.key, s.key)
}
