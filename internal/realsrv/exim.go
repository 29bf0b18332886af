package realsrv

import (
	"fmt"
	"os"
	"testing"

	"github.com/connsec/connsec"
)

// Exim is a mail server with TLS 1.2 and up and with AUTH after TLS only; mail passes in the
// clear. It accepts mail for anybody and throws it away. It needs root.
type Exim struct {
	TLS Material
}

// MailServer is a running Exim or OpenSMTPD.
type MailServer struct {
	*Process
	StartTLS string // AUTH appears after STARTTLS
	Implicit string // TLS from the first byte
	Strict   string // demands STARTTLS and a login; OpenSMTPD only
	NoTLS    string // neither STARTTLS nor AUTH; OpenSMTPD only

	Hostname string // in the greeting and in the reply to EHLO
	User     string
	Password connsec.Secret
}

func newMailServer(tb testing.TB) *MailServer {
	return &MailServer{StartTLS: at(FreePort(tb)), Implicit: at(FreePort(tb)), Hostname: "mail.corp.example", User: "alice", Password: newPassword()}
}

// Start runs Exim. Its package excludes Postfix's, so .ci/run unpacks it without installing it.
func (e Exim) Start(tb testing.TB) *MailServer {
	tb.Helper()
	Need(tb, "root")
	path := Need(tb, "exim4")
	dir := NewDir(tb, "")
	dir.mkdir(tb, 0o755, "spool", "log")
	// It gives up root for a user that only its package makes.
	const uid = 65001
	for _, name := range []string{"", "spool", "log"} {
		if err := os.Chown(dir.Path(name), uid, uid); err != nil {
			tb.Fatalf("realsrv: %v", err)
		}
	}
	passwd := dir.write(tb, "passwd", 0o644, fmt.Appendf(nil, "root:x:0:0::/:/bin/false\nDebian-exim:x:%d:%d::/:/bin/false\n", uid, uid))
	group := dir.write(tb, "group", 0o644, fmt.Appendf(nil, "root:x:0:\nmail:x:8:\nDebian-exim:x:%d:\n", uid))
	s := newMailServer(tb)
	m := e.TLS.install(tb, dir, "server")
	for _, name := range []string{"server.key", "server.pem"} {
		if err := os.Chown(dir.Path(name), uid, uid); err != nil {
			tb.Fatalf("realsrv: %v", err)
		}
	}
	conf := dir.write(tb, "exim.conf", 0o644, render(tb, eximConf, map[string]any{
		"Dir": dir.Inside(), "TLS": m, "S": s, "Ports": port(tb, s.StartTLS) + " : " + port(tb, s.Implicit),
		"Implicit": port(tb, s.Implicit), "Password": s.Password.Reveal(),
	}))
	s.Process = Start(tb, Cmd{
		Path:    path,
		Args:    []string{"-C", conf, "-bdf"},
		Env:     environment("LD_PRELOAD="+nssWrapper(tb), "NSS_WRAPPER_PASSWD="+passwd, "NSS_WRAPPER_GROUP="+group),
		TCP:     []string{s.StartTLS, s.Implicit},
		Secrets: []string{s.Password.Reveal()},

		ChangesUser: true,
	})
	return s
}

const eximConf = `primary_hostname = {{.S.Hostname}}
spool_directory = {{.Dir}}/spool
log_file_path = {{.Dir}}/log/%slog
pid_file_path = {{.Dir}}/exim.pid
exim_user = Debian-exim
exim_group = Debian-exim
never_users =
keep_environment =
local_interfaces = <; 127.0.0.1
daemon_smtp_ports = {{.Ports}}
tls_on_connect_ports = {{.Implicit}}
tls_advertise_hosts = *
tls_certificate = {{.TLS.Chain}}
tls_privatekey = {{.TLS.Key}}
tls_require_ciphers = NORMAL:-VERS-ALL:+VERS-TLS1.2:+VERS-TLS1.3
auth_advertise_hosts = ${if eq{$tls_in_cipher}{}{}{*}}
host_lookup =
rfc1413_query_timeout = 0s
smtp_accept_max = 200
acl_smtp_rcpt = acl_rcpt
begin acl
acl_rcpt:
  accept
begin routers
blackhole:
  driver = redirect
  data = :blackhole:
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${if and{{"{{"}}eq{$auth2}{ {{- .S.User -}} }}{eq{$auth3}{ {{- .Password -}} }}{{"}}"}}
  server_set_id = $auth2
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = ${if and{{"{{"}}eq{$auth1}{ {{- .S.User -}} }}{eq{$auth2}{ {{- .Password -}} }}{{"}}"}}
  server_set_id = $auth1
`
