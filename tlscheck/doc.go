// Package tlscheck checks TLS from its four ends: the name in the setting, the certificate,
// the files it is installed from, and the server that presents it – and configures clients
// and servers so that they pass.
//
// The threat is someone on the path between a client and its server. TLS keeps them out only
// if the client knows the server's full name, the certificate carries that name and leads to
// a root the client trusts, the protocol version and suite have no known attack, and nothing
// can be had without TLS at all.
//
// # Names
//
// [CheckName] judges a host name as typed into a setting; [ParseFQDN] accepts only a fully
// qualified one.
//
// # Certificates
//
// [Chain] asks about one certificate chain, from wherever it comes: does it carry the name,
// lead to a root, hold today and on a given day (At), and is it what the CA/Browser Forum and
// the vendor's guide demand? [FileSet] asks whether server.pfx, server.cer and server.key
// belong together and are kept safely, installs a new set, and makes certificate requests.
//
// # Servers
//
// [Endpoint] looks at a TLS server on every address of its name: one complete handshake, and
// offers of what a strict server refuses (TLS 1.1 and older, weak suites). Protocols that
// begin TLS in their own way plug in as an [Opener]. [HTTPS] adds what a web server says
// (HSTS, HTTP on the TLS port), [PlainHTTP] looks at a port that should be closed.
//
// # Clients and servers of one's own
//
// [ClientConfig] and [ServerConfig] return a *tls.Config on Mozilla's modern or intermediate
// profile. [Endpoint.Dial] returns a verified connection.
//
// # Traces
//
// A look makes six TCP connections to each address of a strict server and ten to the weakest
// (HTTPS: two more; PlainHTTP: one). A server that answers offers by closing the connection gets
// each once more, one at a time, and a last one that it takes; one that turns down the complete
// handshake gets a wider offer, and another for TLS 1.2. All but one or two end after the first
// answer, so servers may log failed handshakes. One GET is sent in clear to the HTTP port or HTTPS
// port, one over verified TLS. Where the HTTP port redirects to HTTPS, a second GET asks for
// /connsec-no-such-page; where it turns the GET down as ports for TLS do, it is offered TLS. An
// HTTPS port that closes on the GET in clear gets another, and an offer of TLS. All say User-Agent
// "connsec", carry no credentials, and follow no redirect.
//
// Of a name with more than 16 addresses, 16 are looked at, and the report says so.
//
// # What is not checked
//
// Not every suite and group is enumerated: the offers tell whether something weak is accepted
// and how bad the worst is. Implementation bugs (Heartbleed, ROBOT and the like),
// renegotiation, compression, session tickets and Certificate Transparency are not looked at.
// Revocation is judged from a CRL that is given, or a stapled OCSP response; nothing is
// fetched unasked. Group preference is what the server chose from one offer.
//
// References: RFC 5280, 6066, 6797, 8446, 8996, 9325, 9525; CA/Browser Forum TLS Baseline
// Requirements; Mozilla server-side TLS guidelines; MyQ Central Server security guide.
package tlscheck
