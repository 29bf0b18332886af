package realsrv

import "testing"

// RadSecProxy passes RADIUS on to a server over TLS, and takes it over UDP and over TLS itself.
type RadSecProxy struct {
	// TLS is both what it presents to clients and, as a client, to Upstream; so the leaf is for
	// servers and clients alike.
	TLS Material
	// Upstream is where it passes requests on to over TLS, such as RADIUSServer.TLS.
	Upstream string
}

// Start runs radsecproxy.
func (r RadSecProxy) Start(tb testing.TB) *RADIUSServer {
	tb.Helper()
	path := Need(tb, "radsecproxy")
	dir := NewDir(tb, "")
	s := &RADIUSServer{Auth: at(FreePort(tb)), TLS: at(FreePort(tb)), Secret: newPassword()}
	conf := dir.write(tb, "radsecproxy.conf", 0o600, render(tb, radsecproxyConf, map[string]any{
		"S": s, "TLS": r.TLS.install(tb, dir, "proxy"), "Secret": s.Secret.Reveal(), "UpstreamPort": port(tb, r.Upstream),
	}))
	s.Process = Start(tb, Cmd{
		Path:    path,
		Args:    []string{"-f", "-c", conf},
		TCP:     []string{s.TLS},
		UDP:     []string{s.Auth},
		Secrets: []string{s.Secret.Reveal()},
	})
	return s
}

const radsecproxyConf = `ListenUDP {{.S.Auth}}
ListenTLS {{.S.TLS}}
LogLevel 3
tls default {
  CACertificateFile {{.TLS.CA}}
  CertificateFile {{.TLS.Chain}}
  CertificateKeyFile {{.TLS.Key}}
}
client udp {
  host 127.0.0.0/8
  type udp
  secret {{.Secret}}
}
client tls {
  host 127.0.0.0/8
  type tls
  secret radsec
  certificateNameCheck off
}
server upstream {
  host 127.0.0.1
  port {{.UpstreamPort}}
  type tls
  secret radsec
  certificateNameCheck off
}
realm * {
  server upstream
}
`
