// Package apisec keeps the secrets of REST API clients from exposure: it judges secrets and the
// settings around them, gets tokens without giving either away, and asks token endpoints what
// they enforce.
//
// The threat is whoever gets hold of a client secret or a token: by guessing it, from a file, a
// log or a URL, on the path of a request in clear, or because the client hands it to the wrong
// server. A secret works for everybody who has it, from anywhere, until it is changed.
//
// # Setting
//
// [Client] is a client's setting: identifier, secret, where tokens are issued, what is asked
// for, and who keeps the secret where and since when. [Client.Validate] judges it offline.
// [Inventory] is a list of clients; its Validate also sees secrets that two of them share.
// [NewSecret] makes a secret that passes.
//
// # Client
//
// [Client.HTTP] returns an *http.Client that fetches a token, renews it in time, and sends it
// to the configured hosts only, over verified TLS. [Client.Token] asks for one token. Requests
// are those of RFC 6749 (Basic, form) and MyQ's (JSON).
//
// # Server
//
// [Client.Observe] asks a token endpoint and records facts, [Observation.Judge] judges them, and
// [Client.Probe] does both, and looks who else may read the file that holds the secret.
//
// # Rotation
//
// [Rotation] replaces a secret step by step, so that clients have one that works at every moment
// and the old one ends, however often that is interrupted. [RotationObservation.Judge] says what
// is due, late or wrong.
//
// # Exposure
//
// [Find] looks for known secrets, in whatever encoding, in files, archives and the history of
// git repositories, and [Exposure.Judge] says where they stand and what was not read. [Finder]
// says which forms it finds, which it does not, and what traces that leaves.
//
// # Traces
//
// A probe makes the connections of [tlscheck.HTTPS] and [tlscheck.PlainHTTP], with a GET of the
// token URL's path each. It sends three token requests over verified TLS (one, if that is
// answered with 429 or 503) and one in clear to the port without TLS of each address, eight at
// most: for a client named "connsec-probe-" and eight random characters with a random secret,
// for none, and for that client in the URL. Servers log them as refused clients. The real secret
// is sent only with TryToken: once, over verified TLS, in the style of the setting. The token is
// thrown away and ends by itself. A turn of a rotation makes at least five token requests with
// real secrets, the last but one of which is refused, and one for the client with a random
// secret, which has to be refused, too.
//
// # What is not checked
//
// Whether a token opens more than it should is a question to the API, not to its endpoint; so
// are its limits on tries. Client authentication without a shared secret (private_key_jwt,
// mutual TLS: RFC 7523, 8705), which is better where a server has it, is not spoken. Of the
// file's directory no rights are judged. Where the server tells no time (Date), a clock that is
// set forward while a secret drains cuts that short by as much, unnoticed. The strength of a secret is an estimate: one that looks
// random but is published somewhere passes.
//
// References: RFC 6749, 6750, 6819, 7591, 9700; MyQ REST API documentation; OWASP Secrets
// Management Cheat Sheet.
package apisec
