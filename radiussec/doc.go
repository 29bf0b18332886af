// Package radiussec keeps RADIUS from being forged: it judges shared secrets and the settings
// around them, asks servers what they enforce, and makes clients that believe nothing unsigned.
//
// The threat is someone on the path between a client (a product that checks logins, an access
// point) and its RADIUS server. Over UDP everything rests on the shared secret and MD5: a weak
// secret is guessed from one captured packet, and without a Message-Authenticator a reject is
// turned into an accept in minutes, whatever the secret (Blast-RADIUS, CVE-2024-3596).
//
// # Setting
//
// [Config] is a client's setting; [Config.Validate] judges it offline. [Inventory] is a
// server's list of clients, read from FreeRADIUS ([ReadClientsFile]) or Windows NPS ([ReadNPS]);
// its Validate also sees secrets that are shared. [NewSecret] makes a secret that passes, and
// [RolloverPlan] says how to bring it in.
//
// # Client
//
// [Config.Client] returns a client that refuses a bad setting, sends a Message-Authenticator
// first in every request and demands one in every answer, or speaks RADIUS over TLS 1.3 with
// the server's name and certificate verified, as radius/1.1 (RFC 9765) where the server can.
// Requests and answers are layeh.com/radius packets.
//
// # Server
//
// [Config.Observe] asks a server and records facts, [Observation.Judge] judges them, and
// [Config.Probe] does both. Over UDP the shared secret is needed: without it a server is silent.
//
// # Traces
//
// A probe over UDP sends to each address of the name, up to 16, one Status-Server and three or
// four Access-Requests for users named "connsec-probe-" and eight random characters, with random
// passwords, each up to three times. Servers log them as failed logins of unknown users; NPS writes events 6273 or 4418, and
// FreeRADIUS may warn about Blast-RADIUS. No real user or password is sent. Over TLS a probe
// makes the connections of [github.com/connsec/connsec/tlscheck] and one to each address with a
// Status-Server inside.
//
// A FreeRADIUS in mode auto takes the first packet of a client for what that client does. The
// probe signs its first packet, so it never makes such a server demand less. It may make it
// demand more: a client at the same address that does not sign is refused afterwards, until the
// server restarts. Probe from an address of its own where such clients exist.
//
// # What is not checked
//
// Whether a server that drops unsigned requests does so by its configuration, or in mode auto
// since our own first packet, cannot be seen from outside; the findings then are inconclusive
// and say so. RADIUS over DTLS, accounting, CoA, and the EAP methods that pass through RADIUS
// are not looked at, nor are the addresses of a name beyond the first 16, which the report says.
// Over UDP a client asks the first address only. The strength of a secret is an estimate: one
// that looks random but is published somewhere passes.
//
// References: RFC 2865, 3579, 5080, 5997, 6614, 9765; draft-ietf-radext-deprecating-radius and
// draft-ietf-radext-radiusdtls-bis; Microsoft KB5040268; FreeRADIUS clients.conf.
package radiussec
