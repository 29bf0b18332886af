// Package sqlsec checks, hardens and proves the connection to a Microsoft SQL Server: is
// encryption demanded by the client, forced by the server, and there on the wire?
//
// # The threat
//
// TDS, the protocol of SQL Server, negotiates encryption in clear, in a PRELOGIN message that
// anyone on the path can change. A client that takes "not supported" for an answer sends
// LOGIN7 without TLS, and the password in it is merely obfuscated: each byte has its nibbles
// swapped and is XORed with 0xA5 (MS-TDS 2.2.6.4). Many drivers do so by default, and many
// servers let them, because "Force Encryption" is off after installation. A client that
// encrypts and does not verify the certificate gives the password to whoever answers.
//
// # Entry points
//
// [ParseDSN] reads a connection string as any of the common drivers does, with the defaults of
// that driver; [Config.Validate] judges it, offline; [Config.Harden] says what to change in
// the text. [Config.Observe] looks at the server without credentials, [Config.Probe] looks and
// judges. [Config.Open] returns a *sql.DB that refuses anything less than verified encryption.
// [Inspect] asks the server itself, over such a connection. [ForceEncryptionPlan] writes the
// steps that force encryption on the server; this package never executes them.
//
// # Traces on the server
//
// Observe opens three connections that end after PRELOGIN, one TLS ClientHello, and those of
// tlscheck through TDS (see [tlscheck.Endpoint.Observe]); twice these where TDS 8.0 is served.
// No login is attempted, so no failed login is logged; SQL Server's error log may show
// error 17830 or 17836 (connection closed during the handshake) for each. One UDP datagram
// goes to SQL Server Browser. No credential is ever sent by Observe.
//
// # What is not checked
//
// Named pipes and shared memory, Windows authentication and its channel binding, the failover
// partner of a mirrored database beyond its name, permissions inside the database, and
// encryption at rest. That a server answers PRELOGIN as one that
// forces encryption is what is observed; a proxy in front of it answers for itself.
//
// # References
//
// [MS-TDS] 2.2.6.4 LOGIN7, 2.2.6.5 PRELOGIN, 3.2.5.2 and 3.3.5.1 on the negotiation of
// encryption; [MC-SQLR] on SQL Server Browser; Microsoft's "Connect to SQL Server with strict
// encryption" on TDS 8.0.
//
// [MS-TDS]: https://learn.microsoft.com/openspecs/windows_protocols/ms-tds/
// [MC-SQLR]: https://learn.microsoft.com/openspecs/windows_protocols/mc-sqlr/
package sqlsec
