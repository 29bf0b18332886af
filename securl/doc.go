// Package securl handles the passwords of SecURL, the sign-in of XMPie Circle web sites: it
// hashes them exactly as SQL Server does, judges a password column, and converts recipient
// lists and database columns from plain text to hashes without harm.
//
// # Threat
//
// SecURL keeps the passwords of a campaign's recipients in a column of the customer's database.
// Plain, anyone who reads a backup, a list or a query result has them all. Circle's remedy is a
// T-SQL function, dbo.XMPieHashMD5, that has to be applied to the column once. Done twice, or
// half, or from another encoding, it locks recipients out and cannot be undone. What it leaves
// is unsalted MD5, which keeps casual readers away and no attacker.
//
// # Entry points
//
//   - [Hasher] hashes and verifies one password; [ParseCollation] finds the code page that
//     decides about the bytes; [Diagnose] explains a hash that does not match.
//   - [Classify] reads a column and reports facts; [ColumnObservation.Judge] judges them.
//   - [Convert] and [ConvertFile] hash the password column of a CSV or TSV list.
//   - [Migration] hashes a column in SQL Server in batches that survive a crash.
//   - [Argon2id] is for systems that are free to choose a better method.
//
// # Traces
//
// [Migration.Plan] only reads. [Migration.Run] writes the password column, adds one table that
// holds its progress, and on request one that holds a copy. Nothing else here talks to a server.
//
// # Not checked
//
// How the XMPL server turns a typed password into bytes before it hashes is not published. For
// ASCII passwords every possibility gives the same hash. For others this package reproduces what
// the T-SQL function stores, and that a recipient can sign in with it has to be tried once.
// Whether the server compares case, or trims, is not known either.
//
// # Not confirmed by a real server
//
// The hashes agree with the published outputs of real servers, and the code page tables were
// recorded on Windows. The migration was tested, with go-mssqldb and without, against a model of
// SQL Server that understands exactly its statements, is killed at every one of them, and is
// changed by other sessions meanwhile. No SQL Server has run them yet. To be confirmed there: that each statement and the
// script parse on the oldest version in use, that a cut of an UTF-8 argument ends before a
// character, that a lone surrogate becomes "?", and that VARCHAR of another collation is converted
// through Unicode on its way into the function. A dry run and a run with a copy table show all
// but the last two on the data they are about.
//
// # References
//
// XMPie Circle help, "Circle website security"; Microsoft Transact-SQL reference, HASHBYTES,
// char and varchar, and collations; RFC 1321 (MD5), RFC 4648 (base64), RFC 9106 (Argon2),
// RFC 4180 (CSV).
package securl
