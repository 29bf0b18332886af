package sqlsec

import (
	"crypto/x509"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/tlscheck"
)

// Config is a client's setting for one SQL Server. [ParseDSN] makes it from a connection
// string; written as a literal, everything in it counts as said, and the zero value of each
// field is the strictest choice.
type Config struct {
	// Driver is the client that will use the setting. It decides on defaults only; literals
	// may leave it out.
	Driver Driver

	// Host is the server as it stands in the setting: a DNS name is right; an address, an
	// alias, "." and "(local)" are what the name rule is for.
	Host string
	// Instance is the named instance. With Port 0, SQL Server Browser is asked for its port.
	Instance string
	// Port is the TCP port. 0: 1433, or the instance's.
	Port uint16
	// FailoverPartner is the other server of a mirrored database, as it stands in the setting.
	// Clients go there when Host does not answer. Validate judges its name; Observe does not
	// look at it, and Open does not go there.
	FailoverPartner string
	// Protocol is TCP unless the setting says otherwise. Only TCP is observed and opened.
	Protocol Protocol

	Database string
	User     string // empty with Integrated
	Password connsec.Secret
	// Integrated is Windows authentication. Open does not do it.
	Integrated bool

	// Encryption is what the client demands.
	Encryption Encryption
	// TrustServerCertificate says that the setting accepts every certificate. Validate fails
	// it; Open verifies all the same.
	TrustServerCertificate bool
	// HostNameInCertificate is verified instead of Host. It makes a setting with an address
	// or an alias verifiable.
	HostNameInCertificate string
	// Certificate is a PEM or DER file with the authorities that sign the server's
	// certificate. Open takes it for Roots if Roots is nil.
	Certificate string
	// ServerCertificate is a file whose bytes the server's certificate must equal. Drivers
	// that know it check neither name nor chain nor expiry then; Open takes it as the one
	// authority and checks all three.
	ServerCertificate string
	// TLSMinimum is the lowest TLS version as crypto/tls numbers it. 0: TLS 1.2. Open never
	// goes below 1.2.
	TLSMinimum uint16

	// DataSource is the name of an ODBC data source that holds the rest of the setting, and
	// that is not read here.
	DataSource string

	// ServerOnly says that the rest is no client's setting: only the server is known, and what
	// clients say is not. Validate then judges nothing but the name.
	ServerOnly bool

	// Source is where the connection string stands: findings point into that file. Line and
	// Column are those of its first byte; zero means 1.
	Source connsec.Position

	// Connect is "ADDR[:PORT]": dial there instead, and verify the name all the same.
	Connect string
	// Roots are the authorities to trust. nil: Certificate, or the system's.
	Roots *x509.CertPool
	// Known, CRLs and AsOf are handed to tlscheck when the server's certificate is judged.
	Known []*x509.Certificate
	CRLs  []*x509.RevocationList
	AsOf  time.Time
	// Waivers accept failed rules for Open, each with a reason and an end date. They let a
	// setting pass; they do not weaken the connection that Open makes.
	Waivers []connsec.Waiver

	Dialer   tlscheck.Dialer   // nil: a net.Dialer
	Resolver tlscheck.Resolver // nil: net.DefaultResolver
	Now      func() time.Time  // nil: time.Now

	dsn *dsn // nil for a literal
}

const (
	defaultPort = 1433
	browserPort = 1434
)

func (c Config) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}

func (c Config) port() uint16 {
	if c.Port == 0 {
		return defaultPort
	}
	return c.Port
}

// host is the name to resolve.
func (c Config) host() string {
	if isLocal(c.Host) {
		return "localhost"
	}
	return c.Host
}

// serverName is the name that the certificate has to carry.
func (c Config) serverName() string {
	if c.HostNameInCertificate != "" {
		return c.HostNameInCertificate
	}
	return c.host()
}

// isLocal knows the ways to say "this machine".
func isLocal(host string) bool {
	switch strings.ToLower(host) {
	case ".", "(local)", "localhost":
		return true
	}
	return hasPrefixFold(host, "(localdb)")
}

// Subject is what findings about this setting are about: `host`, `host\instance` or
// `host:port`.
func (c Config) Subject() string {
	host := printable(c.Host)
	switch {
	case host == "" && c.DataSource != "":
		return "DSN " + printable(c.DataSource)
	case host == "":
		return "(no server)"
	case c.Protocol == NamedPipe && strings.HasPrefix(c.Host, `\\`):
		return host
	case c.Port != 0 && strings.Contains(host, ":"):
		return "[" + host + "]:" + strconv.Itoa(int(c.Port))
	case c.Port != 0:
		return host + ":" + strconv.Itoa(int(c.Port))
	case c.Instance != "":
		return host + `\` + printable(c.Instance)
	}
	return host
}

// Validate judges the setting, offline. Findings of a parsed connection string point at the
// key that is to blame, or at the start of the text if the key is what is missing.
func (c Config) Validate() connsec.Report {
	subject := c.Subject()
	checks := settingChecks
	if c.ServerOnly {
		checks = nameChecks
	}
	r := connsec.Report{Target: subject, Findings: connsec.Run(subject, &c, checks)}
	if c.dsn == nil {
		return r
	}
	for i := range r.Findings {
		f := &r.Findings[i]
		at, names := 0, keysBehind[f.Rule]
		if slices.Contains(f.Evidence, aboutPartner) {
			names = []string{"partner"}
		}
		for _, name := range names {
			if p, ok := c.dsn.pairs[name]; ok {
				at = p.at
				break
			}
		}
		p := c.position(at)
		f.Source = &p
	}
	return r
}

// position places an offset in the text into the file that the text stands in.
func (c Config) position(at int) connsec.Position {
	p := position(c.dsn.text.Reveal(), at)
	base := c.Source
	p.File = base.File
	if p.Line == 1 && base.Column > 1 {
		p.Column += base.Column - 1
	}
	if base.Line > 1 {
		p.Line += base.Line - 1
	}
	return p
}

// printable bounds and cleans foreign text that is shown.
func printable(s string) string {
	return clip(strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return '�'
		}
		return r
	}, s))
}

func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
