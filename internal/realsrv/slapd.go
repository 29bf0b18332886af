package realsrv

import (
	"testing"

	"github.com/connsec/connsec"
)

// SlapdPosture is what OpenLDAP's slapd demands of a client (slapd.conf(5), "security" and
// "disallow").
type SlapdPosture uint8

const (
	// SlapdTLS refuses every operation without TLS: security tls=128.
	SlapdTLS SlapdPosture = iota
	// SlapdSSF answers operations without protection with confidentialityRequired, though an
	// anonymous bind succeeds: security ssf=128.
	SlapdSSF
	// SlapdSimpleBind refuses simple binds without TLS and lets anonymous reading pass:
	// security simple_bind=128.
	SlapdSimpleBind
	// SlapdOpen takes passwords in the clear, lets anybody read, and leaves the TLS versions as
	// Debian ships them: from 1.0 in Debian 12, from 1.2 in Debian 13.
	SlapdOpen
	// SlapdNoAnonymous is SlapdOpen without anonymous binds.
	SlapdNoAnonymous
	// SlapdWeakTLS is SlapdOpen with TLS 1.0 and 1.1 only; in Debian 13, whose slapd has no
	// setting for the highest version, with TLS 1.0 and up.
	SlapdWeakTLS
)

var slapdSecurity = []string{
	SlapdTLS:         "security tls=128",
	SlapdSSF:         "security ssf=128",
	SlapdSimpleBind:  "security simple_bind=128",
	SlapdOpen:        "",
	SlapdNoAnonymous: "disallow bind_anon\nrequire authc",
	SlapdWeakTLS:     "",
}

// slapdProtocols are the lines for TLS 1.2 and up, or for TLS 1.0. Debian 12 builds
// slapd with GnuTLS, which takes a priority string and ignores TLSProtocolMin; Debian 13 builds
// it with OpenSSL.
func slapdProtocols(weak, gnutls bool) string {
	switch {
	case gnutls && weak:
		return "TLSCipherSuite NORMAL:-VERS-ALL:+VERS-TLS1.0:+VERS-TLS1.1:%COMPAT"
	case gnutls:
		return "TLSCipherSuite NORMAL:-VERS-ALL:+VERS-TLS1.2:+VERS-TLS1.3"
	case weak:
		return "TLSCipherSuite ALL:@SECLEVEL=0\nTLSProtocolMin 3.1"
	}
	return "TLSProtocolMin 3.3"
}

// Slapd is an OpenLDAP server with one base entry and one account.
type Slapd struct {
	TLS     Material
	Posture SlapdPosture
	Extra   string // further global lines of slapd.conf
	LDIF    string // further entries, below SlapdServer.BaseDN
	Root    string // from Trixie(t, "slapd"): OpenLDAP 2.6
}

// SlapdServer is a running one.
type SlapdServer struct {
	*Process
	LDAP, LDAPS      string // addresses; StartTLS is on the first
	BaseDN           string
	BindDN           string // an account
	Password         connsec.Secret
	RootDN           string // the administrator
	RootPassword     connsec.Secret
	PlainURL, TLSURL string // LDAP and LDAPS as URLs
}

// Start runs slapd.
func (s Slapd) Start(tb testing.TB) *SlapdServer {
	tb.Helper()
	path, slapadd := locate(tb, s.Root, "slapd"), locate(tb, s.Root, "slapadd")
	dir := NewDir(tb, s.Root)
	dir.mkdir(tb, 0o700, "db")
	srv := &SlapdServer{
		LDAP: at(FreePort(tb)), LDAPS: at(FreePort(tb)),
		BaseDN: "dc=corp,dc=example", BindDN: "cn=svc,dc=corp,dc=example", Password: newPassword(),
		RootDN: "cn=admin,dc=corp,dc=example", RootPassword: newPassword(),
	}
	srv.PlainURL, srv.TLSURL = "ldap://"+srv.LDAP, "ldaps://"+srv.LDAPS
	secrets := []string{srv.Password.Reveal(), srv.RootPassword.Reveal()}
	lines := slapdSecurity[s.Posture]
	if s.Posture != SlapdOpen && s.Posture != SlapdNoAnonymous {
		lines += "\n" + slapdProtocols(s.Posture == SlapdWeakTLS, s.Root == "")
	}
	conf := dir.write(tb, "slapd.conf", 0o600, render(tb, slapdConf, map[string]any{
		"Dir": dir.Inside(), "TLS": s.TLS.install(tb, dir, "server"), "RootPassword": secrets[1],
		"Lines": lines + "\n" + s.Extra,
	}))
	ldif := dir.write(tb, "base.ldif", 0o600, render(tb, slapdLDIF, map[string]any{"Password": secrets[0], "More": s.LDIF}))
	if out, err := Run(tb, Cmd{Path: slapadd, Args: []string{"-f", conf, "-l", ldif}, Root: s.Root, Secrets: secrets}); err != nil {
		tb.Fatalf("realsrv: slapadd: %v\n%s", err, out)
	}
	srv.Process = Start(tb, Cmd{
		Path:    path,
		Args:    []string{"-f", conf, "-h", srv.PlainURL + " " + srv.TLSURL, "-d", "none"}, // in the foreground, with errors only
		Root:    s.Root,
		TCP:     []string{srv.LDAP, srv.LDAPS},
		Secrets: secrets,
	})
	return srv
}

const slapdConf = `include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
pidfile {{.Dir}}/slapd.pid
argsfile {{.Dir}}/slapd.args
modulepath /usr/lib/ldap
moduleload back_mdb
TLSCertificateFile {{.TLS.Chain}}
TLSCertificateKeyFile {{.TLS.Key}}
{{- with .TLS.CA}}
TLSCACertificateFile {{.}}
{{- end}}
{{.Lines}}
database mdb
suffix "dc=corp,dc=example"
rootdn "cn=admin,dc=corp,dc=example"
rootpw {{.RootPassword}}
directory {{.Dir}}/db
maxsize 10485760
access to attrs=userPassword by anonymous auth by * none
access to * by * read
`

const slapdLDIF = `dn: dc=corp,dc=example
objectClass: dcObject
objectClass: organization
dc: corp
o: Corp

dn: cn=svc,dc=corp,dc=example
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: svc
userPassword: {{.Password}}

{{.More}}
`
