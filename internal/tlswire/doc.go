// Package tlswire writes a ClientHello and reads the first flight of the answer, and the
// reverse for servers that want to see what a client offers. It never completes a handshake.
//
// crypto/tls cannot ask whether a server still accepts SSL 3.0, an anonymous or an export
// suite: it does not speak them. It need not: a server reveals version, suite, group and (up
// to TLS 1.2) its certificates in the first flight, before anything is encrypted or proven.
// That makes a question cost one round trip and no public-key operation on this side.
//
//   - [Hello] describes what to offer; [Hello.Marshal] encodes it.
//   - [Probe] sends a Hello and reads the [Flight] that answers it.
//   - [ReadClientHello] reads what a client offers.
//   - [LookupSuite], [SuiteName] and [WeakSuites] know the cipher suites and their weaknesses.
//
// # What a flight proves
//
// Nothing about identity: the peer has not proven that it holds the certificate's key, and
// anybody on the path can answer in its place. Facts from here say what a peer offers. They
// must never decide whether it is trusted, and nothing secret may follow on the connection.
//
// # Bounds
//
// A flight ends after 256 KiB, 256 records or 64 certificates, whichever comes first; one
// handshake message has at most 128 KiB. Time is bounded by the context of [Probe].
//
// A server that is probed logs a handshake that the client broke off.
package tlswire
