package ldapsec

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/setting"
	"github.com/connsec/connsec/tlscheck"
)

// Mode is how TLS comes about on a connection.
type Mode uint8

const (
	// Implicit is LDAP over TLS from the first byte ("LDAPS", "SSL"), port 636. The only mode
	// that [Config.Dial] uses without a waiver.
	Implicit Mode = iota
	// StartTLS begins in clear on port 389 and asks for TLS then.
	StartTLS
	// Plaintext is LDAP without TLS. It can be judged, never dialled.
	Plaintext
)

var modes = setting.Enum[Mode]{Package: "ldapsec", Kind: "mode", Names: []string{"ldaps", "starttls", "plaintext"}}

// String returns the name as it stands in JSON.
func (m Mode) String() string { return modes.Name(m) }

// ParseMode is the inverse of [Mode.String].
func ParseMode(name string) (m Mode, err error) {
	err = modes.Decode([]byte(name), &m)
	return m, err
}

// MarshalText writes the name.
func (m Mode) MarshalText() ([]byte, error) { return modes.Encode(m) }

// UnmarshalText accepts the names.
func (m *Mode) UnmarshalText(text []byte) error { return modes.Decode(text, m) }

// Method is how the client authenticates. Every method runs inside verified TLS only.
type Method uint8

const (
	// Simple sends bind DN and password to the server (RFC 4513, 5.1.3), or binds nobody if
	// both are empty. A server that an attacker controls learns the password, so this method
	// rests on the certificate alone.
	Simple Method = iota
	// NTLM proves knowledge of the password with NTLMv2, bound to the TLS channel: what the
	// server learns cannot be relayed to another server.
	NTLM
	// Kerberos shows a service ticket, bound to the TLS channel. See [Config.Kerberos].
	Kerberos
	// External lets the server take the identity from the client certificate (RFC 4422,
	// appendix A).
	External
)

var methods = setting.Enum[Method]{Package: "ldapsec", Kind: "bind method", Names: []string{"simple", "ntlm", "kerberos", "external"}}

// String returns the name as it stands in JSON.
func (m Method) String() string { return methods.Name(m) }

// MarshalText writes the name.
func (m Method) MarshalText() ([]byte, error) { return methods.Encode(m) }

// UnmarshalText accepts the names.
func (m *Method) UnmarshalText(text []byte) error { return methods.Decode(text, m) }

// Resolver finds addresses and domain controllers. *[net.Resolver] is one.
type Resolver interface {
	tlscheck.Resolver
	LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
}

// GSSClient makes the tokens of a Kerberos bind. It is how package ldapsec stays free of a
// Kerberos implementation; package ldapsec/kerberos has one.
type GSSClient interface {
	// Init returns the first token for the service (a name such as "ldap/dc1.corp.example"),
	// bound to the TLS channel by binding, the value of [EndPointBinding].
	Init(ctx context.Context, service string, binding []byte) (token []byte, err error)
	// Next answers a token of the server's; done means that no further answer is expected
	// from the client.
	Next(token []byte) (answer []byte, done bool, err error)
	// Close forgets the keys.
	Close() error
}

// Config is the setting of one directory connection, as an administrator typed it.
//
// The zero value of every enumeration is the strictest choice. Fields without a JSON name are
// for programs: they stand in for the network, the clock and randomness, and nil means the
// standard ones.
type Config struct {
	// Servers are host names, tried in this order. Empty: see Domain.
	Servers []string `json:"servers,omitempty"`
	// Domain is the DNS name of an Active Directory domain whose controllers are found by
	// SRV records, _ldap._tcp.dc._msdcs.Domain. Used only without Servers.
	Domain string `json:"domain,omitempty"`
	// Mode defaults to implicit TLS.
	Mode Mode `json:"mode"`
	// Port is the port that Mode uses. 0: 636 for Implicit, 389 otherwise.
	Port uint16 `json:"port,omitempty"`
	// OtherPort is the port of the other kind, which the product does not use but Observe
	// looks at. 0: 389 for Implicit, 636 otherwise.
	OtherPort uint16 `json:"other_port,omitempty"`
	// GlobalCatalog makes Observe look at the TLS port of the global catalog, 3269, too.
	GlobalCatalog bool `json:"global_catalog,omitempty"`
	// BaseDN is where searches begin. Observe reads the naming contexts if it is empty.
	BaseDN string `json:"base_dn,omitempty"`

	// Method defaults to a simple bind.
	Method Method `json:"method"`
	// BindDN is the account: a DN, or for Active Directory user@domain or DOMAIN\user.
	BindDN string `json:"bind_dn,omitempty"`
	// Password of the account. It is never sent before TLS is verified.
	Password connsec.Secret `json:"password,omitzero"`
	// AccountUnknown says that an empty BindDN is one that was not told, and not a setting that
	// asks anonymously.
	AccountUnknown bool `json:"account_unknown,omitempty"`

	// Waivers accept failures of Validate's rules for Dial, by rule ID and subject.
	Waivers []connsec.Waiver `json:"waivers,omitempty"`

	// Connect is "ADDR[:PORT]": dial there instead of looking the server up, and verify its
	// name all the same. For one server only.
	Connect string `json:"connect,omitempty"`

	// Roots are the trust anchors; nil: the system's.
	Roots *x509.CertPool `json:"-"`
	// Known are CA certificates that may complete a chain, see [tlscheck.Chain].
	Known []*x509.Certificate `json:"-"`
	// CRLs are revocation lists for Observe, see [tlscheck.LoadCRL].
	CRLs []*x509.RevocationList `json:"-"`
	// ClientCertificates are shown to servers that ask; method External needs one.
	ClientCertificates []tls.Certificate `json:"-"`
	// Kerberos makes the tokens for method Kerberos.
	Kerberos GSSClient `json:"-"`

	Dialer   tlscheck.Dialer  `json:"-"` // nil: a net.Dialer
	Resolver Resolver         `json:"-"` // nil: net.DefaultResolver
	Now      func() time.Time `json:"-"` // nil: time.Now
	Rand     io.Reader        `json:"-"` // nil: crypto/rand
	AsOf     time.Time        `json:"-"` // judge certificates as of this instant; zero: the time of observation
}

// Standard ports: RFC 4511, 5.2 and the LDAP service names at IANA; 3268 and 3269 are the
// global catalog of Active Directory (MS-ADTS 3.1.1.3.2).
const (
	portLDAP  = 389
	portLDAPS = 636
	portGC    = 3268
	portGCS   = 3269
)

func (c Config) port() uint16 {
	switch {
	case c.Port != 0:
		return c.Port
	case c.Mode == Implicit:
		return portLDAPS
	}
	return portLDAP
}

// tlsPort and plainPort are the two ports that Observe looks at.
func (c Config) tlsPort() uint16 {
	switch {
	case c.Mode == Implicit:
		return c.port()
	case c.OtherPort != 0:
		return c.OtherPort
	}
	return portLDAPS
}

func (c Config) plainPort() uint16 {
	switch {
	case c.Mode != Implicit:
		return c.port()
	case c.OtherPort != 0:
		return c.OtherPort
	}
	return portLDAP
}

func (c Config) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}

func (c Config) rand() io.Reader {
	if c.Rand != nil {
		return c.Rand
	}
	return rand.Reader
}

func (c Config) resolver() Resolver {
	if c.Resolver != nil {
		return c.Resolver
	}
	return net.DefaultResolver
}

// usable says what makes it impossible to connect by the setting at all.
func (c Config) usable() error {
	switch {
	case c.discovers() && c.Domain == "":
		return errors.New("ldapsec: neither a server nor a domain is given; there is nothing to connect to")
	case len(c.Servers) > maxServers:
		return fmt.Errorf("ldapsec: %d servers; at most %d are taken", len(c.Servers), maxServers)
	case slices.ContainsFunc(c.Servers, func(s string) bool { return strings.ContainsRune(s, '@') }):
		// What stands there may be a password, and names get into errors and DNS questions.
		return errors.New("ldapsec: a server name has a user or password before @; give the host name alone")
	case c.Connect != "" && len(c.Servers) != 1:
		return errors.New("ldapsec: an address to connect to is given, but not exactly one server that it could belong to")
	}
	return nil
}

// discovers reports whether the servers are found by DNS.
func (c Config) discovers() bool { return len(c.Servers) == 0 }

// target is what a report is about.
func (c Config) target() string {
	scheme := "ldap"
	if c.Mode == Implicit {
		scheme = "ldaps"
	}
	switch {
	case len(c.Servers) > 0:
		s := scheme + "://" + setting.OneLine(hostOf(c.Servers[0]))
		if c.port() != portLDAPS || c.Mode != Implicit {
			s += ":" + strconv.Itoa(int(c.port()))
		}
		if n := len(c.Servers) - 1; n > 0 {
			s += fmt.Sprintf(" (and %d more)", n)
		}
		return s
	case c.Domain != "":
		return "domain " + setting.OneLine(hostOf(c.Domain))
	}
	return "LDAP with automatic discovery"
}

// hostOf drops what stands before an @, because that could be a password.
func hostOf(s string) string {
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		return s[i+1:]
	}
	return s
}

// Validate judges the setting alone: no network, no clock.
func (c Config) Validate() connsec.Report {
	target := c.target()
	findings := connsec.Run(target, c, settingChecks)
	for _, s := range c.Servers {
		findings = append(findings, connsec.Run(setting.OneLine(hostOf(s)), s, nameChecks)...)
	}
	if c.discovers() && c.Domain != "" {
		findings = append(findings, connsec.Run(setting.OneLine(hostOf(c.Domain)), c.Domain, nameChecks)...)
	}
	return connsec.Report{Target: target, Findings: findings}
}

// ParseJSON reads a setting in JSON. Unknown fields are refused, so that a mistyped name does
// not silently leave a default in place.
func ParseJSON(data []byte) (Config, error) { return setting.ParseJSON[Config]("ldapsec", data) }
