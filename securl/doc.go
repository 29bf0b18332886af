// Package securl handles SecURL, the sign-in of XMPie Circle web sites: it hashes passwords
// exactly as SQL Server does, judges a password column, converts recipient lists and database
// columns from plain text to hashes without harm, checks protected sites, and stands before a
// personalized site as its gate.
//
// # Threat
//
// SecURL keeps the passwords of a campaign's recipients in a column of the customer's database.
// Plain, anyone who reads a backup, a list or a query result has them all. Circle's remedy is a
// T-SQL function, dbo.XMPieHashMD5, that has to be applied to the column once. Done twice, or
// half, or from another encoding, it locks recipients out and cannot be undone. What it leaves
// is unsalted MD5, which keeps casual readers away and no attacker.
//
// A personalized site shows to whoever has its link what it knows about a recipient, and links
// can be guessed. A [Gate] shows it to the recipient only. It expects guesses from one address and
// from many, links that lead elsewhere after the sign-in, sessions that are planted, stolen or
// sent again, forms that other sites send, and paths that a gate and a site read differently.
//
// # Entry points
//
//   - [Hasher] hashes and verifies one password; [ParseCollation] finds the code page that
//     decides about the bytes; [Diagnose] explains a hash that does not match.
//   - [Classify] reads a column and reports facts; [ColumnObservation.Judge] judges them.
//   - [Convert] and [ConvertFile] hash the password column of a CSV or TSV list.
//   - [Migration] hashes a column in SQL Server in batches that survive a crash.
//   - [Gate.Handler] protects a site, which asks [SignedIn] whose page to show; [Gate.SignOut]
//     ends a recipient's sessions after a change of password. [MemorySessions] keeps sessions for
//     one process, and every store of github.com/alexedwards/scs for several. [BehindProxies] is
//     for proxies that end TLS.
//   - [XMPL] in a Gate is the interface that the XMPL library in the pages talks to: it signs in,
//     and reads and writes the ADORs of the recipient who has. [CustomScript] is xmpcustom.js.
//   - [Project.Validate] judges how SecURL is set in Circle; [Live.Probe] judges a site as it is
//     served, and its XMPL server, from outside.
//   - [Argon2id] is for systems that are free to choose a better method.
//
// # Traces
//
// [Migration.Plan] only reads. [Migration.Run] writes the password column, adds one table that
// holds its progress, and on request one that holds a copy. A [Gate] leaves a record for each
// session and each sign-out in its store, for an hour and some minutes, and up to four cookies in the
// browser: one holds the recipient key beside the token, one marks the device for half a year.
// Recipient keys and addresses are in the events that it tells.
//
// [Live.Probe] looks at TLS as [tlscheck.HTTPS] does, asks for xmpcfg.js, xmpcustom.js and the
// login page, asks the XMPL server twice for data and once for a preflight, and tries to sign in up
// to five times with a random password as a recipient "connsec-" and 32 random digits, who does
// not exist. All of it goes over verified TLS, says User-Agent "connsec" and carries no credential,
// unless the caller gives those of a recipient made for the test: then there are up to two
// sign-ins and sign-outs of that one, and on request up to 101 wrong ones, which may lock it, and a
// third right one. With a second such recipient there is one more of the first, one of the second,
// and six requests for their data. Signing out may end other sessions of them.
//
// # Not checked
//
// How the XMPL server turns a typed password into bytes before it hashes is not published. For
// ASCII passwords every possibility gives the same hash. For others this package reproduces what
// the T-SQL function stores, and that a recipient can sign in with it has to be tried once.
// Whether the server compares case, or trims, is not known either.
//
// That a probe was answered with ErrorCode 9 proves that two calls are closed; others, and other
// projects on the same server, were not asked. With the token of one recipient the data of another
// is read, or not; whether it can be written is not tried. Five wrong passwords that are answered alike prove
// nothing, and neither does the age of a cookie that the XMPL library sets by script. What an XMPL
// server answers beyond that code is known from its published client only.
//
// [XMPL] cannot keep the token from scripts in the page, for the library keeps it in a cookie of
// its own. It offers no uImage, asynchronous queries, assets, or e-mail to referred recipients.
//
// A gate cannot see whether the site keeps to [SignedIn]: one that reads the key from its URL may
// show more. The same time for all wrong sign-ins does not cover how long the caller's lookup
// takes, nor stored hashes that were made with other parameters than the Hasher's. Attempts are
// counted by each node for itself. While an attack lasts, a recipient on a new device has to wait for
// half of the time, five minutes at most, and is then looked at – unless the attackers have fresh
// addresses: each, or each /48 of IPv6, can keep that recipient out for a quarter of an hour a day,
// and 96 of them all day (go test -v -run FewAddresses ./securl). One behind the same address can do
// so for fifteen minutes at a time. A device on which the recipient has signed in before is not kept
// out by others. What a site began to send before a sign-out is not stopped.
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
// RFC 4180 (CSV). RFC 9110 (HTTP), RFC 6265bis (cookies), RFC 6797 (HSTS), Content Security Policy
// Level 3, WCAG 2.2; OWASP cheat sheets on authentication, session management and cross-site
// request forgery; NIST SP 800-63B-4, sections 3.2.2 and 5.
package securl
