// Package ldapsec checks and hardens connections to LDAP directories, Active Directory above
// all: is the setting safe, does every server enforce what the setting asks for, and may this
// program log in there?
//
// A product that looks users up in a directory holds a password that opens the directory, and
// hands over the password of everyone who logs in. An attacker on the path gets at them when
// the connection starts in clear, when the certificate is not checked, or when a server accepts
// an authentication that was meant for another. The measures against that are TLS from the
// first byte with a verified name, signing, and channel binding.
//
//	c, err := ldapsec.ParseURL("ldaps://dc1.corp.example ldaps://dc2.corp.example")
//	c.Method, c.BindDN, c.Password = ldapsec.NTLM, `CORP\svc-print`, password
//	report := c.Validate()        // the setting: offline, for every keystroke
//	report, err = c.Probe(ctx)    // the servers: every one, each question asked
//	conn, err := c.Dial(ctx)      // *ldap.Conn of go-ldap, verified, authenticated, or an error
//
// [Config.Dial] binds with channel binding in portable Go: NTLMv2 within GSS-SPNEGO, with the
// tls-server-end-point binding of RFC 5929 under an integrity code, as Active Directory demands
// it with LdapEnforceChannelBinding = 2 and Samba with "ldap server require strong auth = yes".
// Programs that have a connection of go-ldap's already use [NewNegotiator]. Kerberos with the
// same binding comes from a [GSSClient].
//
// # What a probe leaves behind
//
// Probes send no real account, and nothing at all inside TLS that was not verified. A server,
// which is each of up to 16 addresses of a name, sees for each port one connection with
// anonymous searches (root DSE, one entry below the base, one below the empty name), one
// connection that begins START TLS, and the handshakes that package tlscheck makes. Its log has
//
//   - at most two failed logins of a made-up account connsec-probe-… (16 random hexadecimal
//     digits), which can lock nobody out: event 4625 on a domain controller, and 3039 where
//     channel binding is looked at;
//   - null sessions, which name nobody: event 2889 where binds without signing are logged.
//
// # What is not checked
//
// Windows answers questions about channel binding and signing only in NTLM. Where that is
// switched off, the verdict is inconclusive. The verdicts for Samba and OpenLDAP are held
// against the real servers in the tests; those for 389 Directory Server follow what release
// 2.3.1 answers, those for Windows what Microsoft and others have published. Behind an
// address, a load balancer may have servers that a probe never meets; enter the controllers by
// their own names. That START TLS is taken out of answers in clear is seen only from a place
// where it happens, and only against a verified answer on the other port. What accounts may read
// or write, password policies, Kerberos delegation and certificates of users are not looked at.
// A connection that Dial returns does not follow referrals, and go-ldap takes answers of up to
// 2 GB from the server that was verified.
//
// # References
//
// RFC 4511 (protocol), RFC 4513 (authentication), RFC 4516 (URLs), RFC 5929 (channel
// bindings), MS-ADTS 5.1 (Active Directory), MS-NLMP (NTLM), Microsoft ADV190023 (signing and
// channel binding).
package ldapsec
