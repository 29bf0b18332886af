// Package smtpsec checks, hardens and proves the connection to a mail server: does mail, and
// the password that comes with it, ever travel where somebody can read it?
//
// # The threat
//
// SMTP begins in clear. STARTTLS asks for encryption in a dialogue that anyone on the path can
// change: the offer is taken out of the server's reply, and a client set to "TLS if available"
// goes on without, password included. Bytes glued to the dialogue end up on the wrong side of
// the encryption, in clients and in servers. A client that encrypts and does not verify the
// certificate talks to whoever answers. RFC 8314 therefore prefers TLS from the first byte, on
// port 465, and calls everything else obsolete.
//
// # Entry points
//
// [Config] is a setting as administrators have it; [ParseURL], [ParseForm] and [ParseJSON] read
// one. [Config.Validate] judges it offline. [Config.Client] returns a *mail.Client of go-mail
// that cannot fall back to less than verified TLS, [Config.Dial] one connection, logged in,
// step by step. [Config.Observe] looks at the server, [Config.Probe] looks and judges; with
// [Config.MX] the policies that a domain publishes for its incoming mail are looked at, too:
// MTA-STS, DANE and TLS-RPT.
//
// # Traces on the server
//
// At each address of the host, up to 16, Observe makes up to four conversations and those
// connections of package tlscheck, see [tlscheck.Endpoint.Observe], on two ports. No mail is
// sent: there is no RCPT and no DATA. No account is named: what the server does with a login in
// clear is seen from its answer to AUTH without credentials, and a server that asks for them
// gets a cancellation. Expect in the log: connections that end after EHLO or QUIT, failed TLS
// handshakes, an AUTH that was aborted, a MAIL FROM:<> that was reset, and a NOOP in the same
// packet as STARTTLS, which some servers log as an attack: it is the harmless form of one.
//
// # What is not checked
//
// Whether the server relays for strangers, SPF, DKIM and DMARC, and what happens to a message
// behind the server. Addresses of a name beyond the first 16 are not looked at, and the report
// says so.
//
// # References
//
// RFC 3207 (STARTTLS), RFC 4954 (AUTH), RFC 8314 (implicit TLS), RFC 8461 (MTA-STS), RFC 7672
// (DANE), RFC 8460 (TLS-RPT); "NO STARTTLS" (https://nostarttls.secvuln.info/) on injections.
package smtpsec
