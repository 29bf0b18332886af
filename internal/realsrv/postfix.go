package realsrv

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/connsec/connsec"
)

// Postfix is a mail server in all postures at once, each on a port of its own. It accepts mail
// for anybody and throws it away. Its account logs in with PLAIN or LOGIN. It needs root.
type Postfix struct {
	TLS    Material
	Extra  string // further lines of main.cf
	Master string // further services, lines of master.cf
}

// PostfixServer is a running one. Only Strict, Implicit and TLSOnly are sound.
type PostfixServer struct {
	*Process
	// Strict demands STARTTLS before anything else and offers TLS 1.2 and up.
	Strict string
	// Implicit is TLS from the first byte (RFC 8314), TLS 1.2 and up.
	Implicit string
	// AuthAfterTLS offers STARTTLS and hides AUTH before it; mail passes in the clear.
	AuthAfterTLS string
	// Opportunistic offers STARTTLS, takes passwords in the clear, and as usual with that
	// takes TLS 1.0, too.
	Opportunistic string
	// NoTLS offers no STARTTLS and takes passwords in the clear.
	NoTLS string
	// OldTLS demands STARTTLS with TLS 1.0 or 1.1.
	OldTLS string

	Hostname string // in the greeting and in the reply to EHLO
	User     string
	Password connsec.Secret
}

// Start runs Postfix.
func (p Postfix) Start(tb testing.TB) *PostfixServer {
	tb.Helper()
	Need(tb, "root")
	Need(tb, "postfix")
	saslpasswd := Need(tb, "saslpasswd2")
	dir := NewDir(tb, "")
	dir.mkdir(tb, 0o755, "etc/sasl", "queue/pid")
	// What "postfix check" makes, in a fraction of its time: postfix-files has the list.
	dir.mkdir(tb, 0o700, "data", "queue/private", "queue/active", "queue/bounce", "queue/corrupt", "queue/defer", "queue/deferred",
		"queue/flush", "queue/hold", "queue/incoming", "queue/saved", "queue/trace")
	dir.mkdir(tb, 0o710, "queue/public")
	dir.mkdir(tb, 0o730, "queue/maildrop")
	made, err := filepath.Glob(dir.Path("queue", "*"))
	if err != nil {
		tb.Fatalf("realsrv: %v", err)
	}
	for _, path := range append(made, dir.Path("data")) {
		switch filepath.Base(path) {
		case "pid":
		case "public", "maildrop":
			chown(tb, path, "postfix", "postdrop")
		default:
			chown(tb, path, "postfix", "")
		}
	}
	s := &PostfixServer{
		Strict: at(FreePort(tb)), Implicit: at(FreePort(tb)), AuthAfterTLS: at(FreePort(tb)),
		Opportunistic: at(FreePort(tb)), NoTLS: at(FreePort(tb)), OldTLS: at(FreePort(tb)),
		Hostname: "mail.corp.example", User: "alice@corp.example", Password: newPassword(),
	}
	values := map[string]any{"Dir": dir.Inside(), "TLS": p.TLS.install(tb, dir, "server"), "S": s, "Extra": p.Extra, "Master": p.Master}
	dir.write(tb, "etc/main.cf", 0o644, render(tb, postfixMain, values))
	dir.write(tb, "etc/master.cf", 0o644, render(tb, postfixMaster, values))
	// Debian's Postfix looks for this file here only, whatever cyrus_sasl_config_path says.
	dir.write(tb, "etc/sasl/smtpd.conf", 0o644, render(tb, postfixSASL, values))

	name, realm, _ := strings.Cut(s.User, "@")
	accounts := exec.Command(saslpasswd, "-p", "-c", "-f", dir.Path("sasldb2"), "-u", realm, name)
	accounts.Stdin, accounts.Env = strings.NewReader(s.Password.Reveal()), environment()
	if out, err := accounts.CombinedOutput(); err != nil {
		tb.Fatalf("realsrv: saslpasswd2: %v\n%s", err, out)
	}
	chown(tb, dir.Path("sasldb2"), "postfix", "") // smtpd reads it after giving up root

	s.Process = Start(tb, Cmd{
		// Not by way of "postfix start-fg", which leaves the master in a session of its own, out
		// of reach. -d keeps it in the foreground and -s its log on standard output.
		Path:    postfixDaemons + "/master",
		Args:    []string{"-c", dir.Path("etc"), "-d", "-s"},
		TCP:     []string{s.Strict, s.Implicit, s.AuthAfterTLS, s.Opportunistic, s.NoTLS, s.OldTLS},
		Secrets: []string{s.Password.Reveal()},

		ChangesUser: true,
	})
	return s
}

// chown gives a file to a user and, unless it is "", a group of the machine.
func chown(tb testing.TB, path, owner, group string) {
	tb.Helper()
	uid, gid := -1, -1
	u, err := user.Lookup(owner)
	if err == nil {
		uid, err = strconv.Atoi(u.Uid)
	}
	if err == nil && group != "" {
		var g *user.Group
		if g, err = user.LookupGroup(group); err == nil {
			gid, err = strconv.Atoi(g.Gid)
		}
	}
	if err == nil {
		err = os.Chown(path, uid, gid)
	}
	if err != nil {
		tb.Fatalf("realsrv: %v", err)
	}
}

const postfixDaemons = "/usr/lib/postfix/sbin"

const postfixMain = `compatibility_level = 3.6
queue_directory = {{.Dir}}/queue
data_directory = {{.Dir}}/data
command_directory = /usr/sbin
daemon_directory = ` + postfixDaemons + `
mail_owner = postfix
setgid_group = postdrop
myhostname = {{.S.Hostname}}
mydestination = corp.example
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
local_recipient_maps =
# Nothing leaves: every way out ends here.
local_transport = discard:
default_transport = discard:
relay_transport = discard:
virtual_transport = discard:
maillog_file = /dev/stdout
smtpd_peername_lookup = no
smtpd_tls_security_level = may
smtpd_tls_chain_files = {{.TLS.Key}}, {{.TLS.Chain}}
smtpd_tls_session_cache_database =
smtpd_tls_mandatory_protocols = >=TLSv1.2
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = cyrus
smtpd_sasl_path = smtpd
smtpd_sasl_local_domain = corp.example
smtpd_sasl_security_options = noanonymous
smtpd_client_connection_rate_limit = 0
smtpd_client_connection_count_limit = 0
# Refused passwords are answered without the usual pause.
smtpd_error_sleep_time = 0
{{.Extra}}
`

const postfixMaster = `{{.S.Strict}} inet n - n - - smtpd -o smtpd_tls_security_level=encrypt -o smtpd_tls_auth_only=yes
{{.S.Implicit}} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes -o smtpd_tls_security_level=encrypt
{{.S.AuthAfterTLS}} inet n - n - - smtpd -o smtpd_tls_auth_only=yes -o smtpd_tls_protocols=>=TLSv1.2
{{.S.Opportunistic}} inet n - n - - smtpd -o smtpd_tls_protocols=>=TLSv1
{{.S.NoTLS}} inet n - n - - smtpd -o smtpd_tls_security_level=none
{{.S.OldTLS}} inet n - n - - smtpd -o smtpd_tls_security_level=encrypt -o smtpd_tls_mandatory_protocols=>=TLSv1,<=TLSv1.1 -o tls_medium_cipherlist=ALL:@SECLEVEL=0 -o tls_high_cipherlist=ALL:@SECLEVEL=0
postlog unix-dgram n - n - 1 postlogd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
{{.Master}}
`

const postfixSASL = `pwcheck_method: auxprop
auxprop_plugin: sasldb
sasldb_path: {{.Dir}}/sasldb2
mech_list: PLAIN LOGIN
`
