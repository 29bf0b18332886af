package realsrv

import (
	"path/filepath"
	"strings"
	"testing"
)

// OpenSMTPD is a mail server with TLS 1.2 and up. It accepts mail for anybody and throws it
// away. It needs root, and Root: Debian 12's fails every TLS handshake.
//
// Where its queue and its control socket are cannot be changed, so one runs at a time on a
// machine: Start waits until another one has stopped.
type OpenSMTPD struct {
	TLS  Material
	Root string // from Trixie(t, "smtpd")
}

// Start runs smtpd.
func (o OpenSMTPD) Start(tb testing.TB) *MailServer {
	tb.Helper()
	Need(tb, "root")
	path := locate(tb, o.Root, "smtpd")
	unlock, err := lockFile(filepath.Join(o.Root, "connsec/smtpd.lock"))
	if err != nil {
		tb.Fatalf("realsrv: %v", err)
	}
	tb.Cleanup(unlock)
	dir := NewDir(tb, o.Root)
	s := newMailServer(tb)
	s.Strict, s.NoTLS = at(FreePort(tb)), at(FreePort(tb))
	hash, err := Run(tb, Cmd{
		Path: locate(tb, o.Root, "openssl"), Args: []string{"passwd", "-6", s.Password.Reveal()}, Root: o.Root,
	})
	if err != nil {
		tb.Fatalf("realsrv: hash a password: %v", err)
	}
	dir.write(tb, "accounts", 0o644, []byte(s.User+" "+strings.TrimSpace(hash)+"\n"))
	conf := dir.write(tb, "smtpd.conf", 0o600, render(tb, opensmtpdConf, map[string]any{
		"Dir": dir.Inside(), "TLS": o.TLS.install(tb, dir, "server"), "S": s,
		"StartTLS": port(tb, s.StartTLS), "Implicit": port(tb, s.Implicit), "Strict": port(tb, s.Strict), "NoTLS": port(tb, s.NoTLS),
	}))
	s.Process = Start(tb, Cmd{
		Path:    path,
		Args:    []string{"-d", "-f", conf},
		Root:    o.Root,
		TCP:     []string{s.StartTLS, s.Implicit, s.Strict, s.NoTLS},
		Secrets: []string{s.Password.Reveal()},
	})
	return s
}

const opensmtpdConf = `pki mail cert "{{.TLS.Chain}}"
pki mail key "{{.TLS.Key}}"
table accounts file:{{.Dir}}/accounts
listen on 127.0.0.1 port {{.StartTLS}} tls pki mail auth-optional <accounts> hostname {{.S.Hostname}}
listen on 127.0.0.1 port {{.Strict}} tls-require pki mail auth <accounts> hostname {{.S.Hostname}}
listen on 127.0.0.1 port {{.Implicit}} smtps pki mail auth-optional <accounts> hostname {{.S.Hostname}}
listen on 127.0.0.1 port {{.NoTLS}} hostname {{.S.Hostname}}
table everybody { "@" = nobody }
action "discard" mda "/bin/true" virtual <everybody>
match from any for any action "discard"
`
