package realsrv

import (
	"crypto/sha256"
	"encoding/hex"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/connsec/connsec"
)

// SambaStrongAuth is how much protection a domain controller demands of binds: smb.conf(5),
// "ldap server require strong auth".
type SambaStrongAuth uint8

const (
	// SambaStrongAuthYes demands TLS for simple binds, and signing, sealing or (from Samba 4.22)
	// TLS with channel bindings for SASL ones.
	SambaStrongAuthYes SambaStrongAuth = iota
	// SambaStrongAuthNoBindings also takes SASL binds over TLS without channel bindings. Samba
	// 4.22 only.
	SambaStrongAuthNoBindings
	// SambaStrongAuthSASLOverTLS is the older name and behaviour of the same.
	SambaStrongAuthSASLOverTLS
	// SambaStrongAuthNo takes passwords in the clear and unsigned SASL.
	SambaStrongAuthNo
)

var sambaStrongAuth = []string{
	SambaStrongAuthYes:         "yes",
	SambaStrongAuthNoBindings:  "allow_sasl_without_tls_channel_bindings",
	SambaStrongAuthSASLOverTLS: "allow_sasl_over_tls",
	SambaStrongAuthNo:          "no",
}

// Samba is an Active Directory domain controller, with LDAP and Kerberos and nothing else. Its
// ports are fixed, so each one has an address of 127.0.0.0/8 for itself; it needs root.
//
// Provisioning a domain takes seconds. It is done once for each version and kept on the
// machine, in /var/lib/connsec or in the root; each Start works on a copy.
type Samba struct {
	TLS        Material // for Host, such as dc1.corp.example
	StrongAuth SambaStrongAuth
	Extra      string // further lines of the [global] section
	Root       string // from Trixie(t, "samba"): Samba 4.22, which knows channel bindings
}

// The domain of every [Samba].
const (
	SambaHost   = "dc1.corp.example"
	SambaRealm  = "CORP.EXAMPLE"
	SambaDomain = "CORP" // the NetBIOS name, for NTLM: CORP\administrator
	SambaBaseDN = "DC=corp,DC=example"
)

// SambaServer is a running one.
type SambaServer struct {
	*Process
	IP          string // its own loopback address
	LDAP, LDAPS string // addresses; StartTLS is on the first
	KDC         string // address, for both TCP and UDP
	User        string // of the administrator, without realm or domain
	Password    connsec.Secret
	KRB5Config  string // path of a krb5.conf that knows the realm
	Hosts       string // path of a hosts file that knows SambaHost, for NSS_WRAPPER_HOSTS
}

// Env returns the environment in which the machine's Kerberos and LDAP clients find the domain:
// they have to resolve SambaHost, which libnss_wrapper does for them. The credential cache is
// the server's own.
func (s *SambaServer) Env(tb testing.TB) []string {
	tb.Helper()
	return environment(
		"KRB5_CONFIG="+s.KRB5Config,
		"KRB5CCNAME=FILE:"+filepath.Join(filepath.Dir(s.KRB5Config), "ccache"),
		"LD_PRELOAD="+nssWrapper(tb),
		"NSS_WRAPPER_HOSTS="+s.Hosts,
	)
}

// Start runs samba.
func (s Samba) Start(tb testing.TB) *SambaServer {
	tb.Helper()
	Need(tb, "root")
	samba := locate(tb, s.Root, "samba")
	domain, password := provisionSamba(tb, s.Root)

	dir := NewDir(tb, s.Root)
	dir.mkdir(tb, 0o755, "run", "dc/cache")
	if err := os.CopyFS(dir.Path("dc"), os.DirFS(domain)); err != nil {
		tb.Fatalf("realsrv: copy the domain: %v", err)
	}
	dir.mkdir(tb, 0o700, "dc/private")
	srv := &SambaServer{IP: freeAddress(tb), User: "administrator", Password: password}
	srv.LDAP, srv.LDAPS, srv.KDC = net.JoinHostPort(srv.IP, "389"), net.JoinHostPort(srv.IP, "636"), net.JoinHostPort(srv.IP, "88")
	values := map[string]any{
		"Dir": dir.Inside(), "IP": srv.IP, "Host": SambaHost, "Realm": SambaRealm, "Domain": SambaDomain,
		"TLS": s.TLS.install(tb, dir, "dc"), "StrongAuth": sambaStrongAuth[s.StrongAuth], "Extra": s.Extra,
	}
	conf := dir.write(tb, "smb.conf", 0o600, render(tb, sambaConf, values))
	dir.write(tb, "krb5.conf", 0o644, render(tb, krb5Conf, values))
	dir.write(tb, "hosts", 0o644, render(tb, "{{.IP}} {{.Host}} dc1\n", values))
	srv.KRB5Config, srv.Hosts = dir.Path("krb5.conf"), dir.Path("hosts")
	srv.Process = Start(tb, Cmd{
		Path:    samba,
		Args:    []string{"-F", "-M", "single", "--no-process-group", "--debug-stdout", "-s", conf},
		Env:     environment("KRB5_CONFIG=" + dir.Inside("krb5.conf")),
		Root:    s.Root,
		TCP:     []string{srv.LDAP, srv.LDAPS, srv.KDC},
		Secrets: []string{password.Reveal()},
	})
	return srv
}

// provisionSamba returns the directory of a provisioned domain and its administrator's
// password. The first call on a machine makes it; others wait for that.
func provisionSamba(tb testing.TB, root string) (string, connsec.Secret) {
	tb.Helper()
	tool := locate(tb, root, "samba-tool")
	version, err := Run(tb, Cmd{Path: locate(tb, root, "samba"), Args: []string{"--version"}, Root: root})
	if err != nil {
		tb.Fatalf("realsrv: samba --version: %v\n%s", err, version)
	}
	recipe := sha256.Sum256([]byte(version + strings.Join(sambaProvision, "\n")))
	cache := filepath.Join(root, "/var/lib/connsec/samba-"+hex.EncodeToString(recipe[:8]))
	if err := os.MkdirAll(filepath.Dir(cache), 0o755); err != nil {
		tb.Fatalf("realsrv: %v", err)
	}
	unlock, err := lockFile(cache + ".lock")
	if err != nil {
		tb.Fatalf("realsrv: %v", err)
	}
	defer unlock()
	domain, secret := filepath.Join(cache, "dc"), filepath.Join(cache, "password")
	if data, err := os.ReadFile(secret); err == nil { // written last
		return domain, connsec.NewSecret(string(data))
	}

	if err := os.RemoveAll(cache); err != nil { // of an interrupted attempt
		tb.Fatalf("realsrv: %v", err)
	}
	if err := os.MkdirAll(cache, 0o700); err != nil {
		tb.Fatalf("realsrv: %v", err)
	}
	inside := strings.TrimPrefix(domain, root)
	password := newPassword()
	run := func(args ...string) {
		tb.Helper()
		out, err := Run(tb, Cmd{Path: tool, Args: args, Root: root, Timeout: 3 * time.Minute, Secrets: []string{password.Reveal()}})
		if err != nil {
			tb.Fatalf("realsrv: samba-tool: %v\n%s", err, out)
		}
	}
	run(append([]string{"domain", "provision", "--targetdir=" + inside, "--adminpass=" + password.Reveal()}, sambaProvision...)...)
	// A running controller registers this name itself, but only with services left out here.
	run("spn", "add", "ldap/"+SambaHost, "DC1$", "-s", inside+"/etc/smb.conf")
	// The machine's own resolver stands in there as the forwarder.
	if err := os.RemoveAll(filepath.Join(domain, "etc")); err != nil {
		tb.Fatalf("realsrv: %v", err)
	}
	if err := os.WriteFile(secret, []byte(password.Reveal()), 0o600); err != nil {
		tb.Fatalf("realsrv: %v", err)
	}
	return domain, password
}

var sambaProvision = []string{
	"--realm=" + SambaRealm, "--domain=" + SambaDomain, "--server-role=dc", "--dns-backend=NONE",
	"--host-name=dc1", "--host-ip=127.0.0.1", "--option=interfaces=lo", "--option=bind interfaces only=yes",
}

const sambaConf = `[global]
  netbios name = DC1
  realm = {{.Realm}}
  workgroup = {{.Domain}}
  server role = active directory domain controller
  interfaces = {{.IP}}/8
  bind interfaces only = yes
  private dir = {{.Dir}}/dc/private
  state directory = {{.Dir}}/dc/state
  cache directory = {{.Dir}}/dc/cache
  lock directory = {{.Dir}}/dc
  binddns dir = {{.Dir}}/dc/bind-dns
  pid directory = {{.Dir}}/run
  ncalrpc dir = {{.Dir}}/run/ncalrpc
  winbindd socket directory = {{.Dir}}/run/winbindd
  ntp signd socket directory = {{.Dir}}/run/ntp
  usershare path =
  log level = 1
  # No DNS, replication, NetBIOS, file or print service.
  server services = ldap, kdc
  dcerpc endpoint servers =
  disable netbios = yes
  load printers = no
  tls enabled = yes
  tls keyfile = {{.TLS.Key}}
  tls certfile = {{.TLS.Chain}}
  tls cafile = {{.TLS.CA}}
  ldap server require strong auth = {{.StrongAuth}}
  idmap_ldb:use rfc2307 = yes
  {{.Extra}}
`

const krb5Conf = `[libdefaults]
 default_realm = {{.Realm}}
 dns_lookup_realm = false
 dns_lookup_kdc = false
 dns_canonicalize_hostname = false
 rdns = false
[realms]
 {{.Realm}} = {
  kdc = {{.IP}}:88
 }
[domain_realm]
 .corp.example = {{.Realm}}
`
