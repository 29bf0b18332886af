package realsrv

import (
	"fmt"
	"strconv"
	"testing"
)

// GnuTLSPosture is what gnutls-serv offers: what Debian's OpenSSL cannot.
type GnuTLSPosture uint8

// The postures. The zero value has TLS 1.2 and 1.3.
const (
	GnuTLSModern GnuTLSPosture = iota
	GnuTLS3DES                 // 3DES-CBC with SHA-1, TLS 1.0 and 1.2
	GnuTLSRC4                  // RC4-128, TLS 1.0 and 1.2
)

var gnutlsPriorities = []string{
	GnuTLSModern: "NORMAL:-VERS-ALL:+VERS-TLS1.2:+VERS-TLS1.3",
	GnuTLS3DES:   "NORMAL:-VERS-ALL:+VERS-TLS1.2:+VERS-TLS1.0:-CIPHER-ALL:+3DES-CBC:+SHA1:%COMPAT",
	GnuTLSRC4:    "NORMAL:-VERS-ALL:+VERS-TLS1.2:+VERS-TLS1.0:-CIPHER-ALL:+ARCFOUR-128:+SHA1:+MD5:%COMPAT",
}

// GnuTLS is a gnutls-serv. It listens on all addresses and so runs in a network namespace;
// what a client dials is a forwarder on 127.0.0.1, which a connection reset does not pass.
type GnuTLS struct {
	TLS     Material
	Posture GnuTLSPosture
}

// Start runs gnutls-serv.
func (g GnuTLS) Start(tb testing.TB) *TLSServer {
	tb.Helper()
	path := Need(tb, "gnutls-serv")
	ns := NewNetns(tb)
	dir := NewDir(tb, "")
	m := g.TLS.install(tb, dir, "server")
	const port = 443
	inside := fmt.Sprintf("%s:%d", Loopback, port)
	p := Start(tb, Cmd{
		Path: path,
		Args: []string{"--http", "--port", strconv.Itoa(port), "--x509certfile", m.Chain, "--x509keyfile", m.Key,
			"--priority", gnutlsPriorities[g.Posture]},
		Netns: ns,
		TCP:   []string{inside},
	})
	return &TLSServer{Process: p, Addr: ns.Forward(tb, inside)}
}
