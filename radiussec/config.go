package radiussec

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/setting"
	"github.com/connsec/connsec/internal/strength"
	"github.com/connsec/connsec/tlscheck"
)

// Transport is how RADIUS packets travel.
type Transport uint8

const (
	// TLS is RADIUS over TLS, known as RadSec (RFC 6614), port 2083.
	TLS Transport = iota
	// UDP is RADIUS over UDP (RFC 2865), port 1812: everything but passwords is in clear, and
	// MD5 is all that keeps answers from being forged.
	UDP
)

var transports = setting.Enum[Transport]{Package: "radiussec", Kind: "transport", Names: []string{"tls", "udp"}}

// String returns the name as it stands in JSON.
func (t Transport) String() string { return transports.Name(t) }

// MarshalText writes the name.
func (t Transport) MarshalText() ([]byte, error) { return transports.Encode(t) }

// UnmarshalText accepts the names.
func (t *Transport) UnmarshalText(text []byte) error { return transports.Decode(text, t) }

// Method is how the product hands the user's password on.
type Method uint8

const (
	// PAP sends the password, hidden by the shared secret or by TLS. It is the first choice
	// here because the server can then keep passwords as salted hashes, and because nothing
	// weaker than the transport protects them; over UDP it is as good as the secret.
	PAP Method = iota
	// CHAP sends an MD5 response. The server has to know the password in clear.
	CHAP
	// MSCHAP and MSCHAPv2 send DES responses that are recovered in hours.
	MSCHAP
	MSCHAPv2
	// EAP carries a method of its own, such as EAP-TLS, end to end.
	EAP
)

var methods = setting.Enum[Method]{Package: "radiussec", Kind: "method", Names: []string{"pap", "chap", "ms-chap", "ms-chap-v2", "eap"}}

// String returns the name as it stands in JSON.
func (m Method) String() string { return methods.Name(m) }

// MarshalText writes the name.
func (m Method) MarshalText() ([]byte, error) { return methods.Encode(m) }

// UnmarshalText accepts the names.
func (m *Method) UnmarshalText(text []byte) error { return methods.Decode(text, m) }

// Signing is the use of the Message-Authenticator attribute (RFC 3579, 3.2).
type Signing uint8

const (
	// SigningRequired: sent in every request, demanded of every answer over UDP.
	SigningRequired Signing = iota
	// SigningOptional: sent, and verified where an answer has one.
	SigningOptional
	// SigningOff: neither. It can be judged, and is never used.
	SigningOff
)

var signings = setting.Enum[Signing]{Package: "radiussec", Kind: "signing", Names: []string{"required", "optional", "off"}}

// String returns the name as it stands in JSON.
func (s Signing) String() string { return signings.Name(s) }

// MarshalText writes the name.
func (s Signing) MarshalText() ([]byte, error) { return signings.Encode(s) }

// UnmarshalText accepts the names.
func (s *Signing) UnmarshalText(text []byte) error { return signings.Decode(text, s) }

// Identity is what of a certificate names its owner.
type Identity uint8

const (
	// SubjectAltName: DNS names and addresses.
	SubjectAltName Identity = iota
	// CommonName: the subject's CN, as old products compare. It can be judged, and is never
	// used.
	CommonName
)

var identities = setting.Enum[Identity]{Package: "radiussec", Kind: "identity", Names: []string{"san", "cn"}}

// String returns the name as it stands in JSON.
func (i Identity) String() string { return identities.Name(i) }

// MarshalText writes the name.
func (i Identity) MarshalText() ([]byte, error) { return identities.Encode(i) }

// UnmarshalText accepts the names.
func (i *Identity) UnmarshalText(text []byte) error { return identities.Decode(text, i) }

// Server is one RADIUS server with the secret that it shares with this client, and with
// nobody else.
type Server struct {
	// Host is the fully qualified name.
	Host string `json:"host"`
	// Port is 2083 by default over TLS, 1812 over UDP.
	Port uint16 `json:"port,omitempty"`
	// Secret is the shared secret. Over TLS it is empty, or the fixed "radsec".
	Secret connsec.Secret `json:"secret,omitzero"`
	// Connect is "ADDR[:PORT]": send there instead of looking Host up. Over TLS, Host is
	// verified all the same.
	Connect string `json:"connect,omitempty"`
}

// Config is the setting of a RADIUS client, as an administrator typed it.
//
// The zero value of every enumeration is the strictest choice. Fields without a JSON name are
// for programs: they stand in for the network, the clock and randomness, and nil means the
// standard ones.
type Config struct {
	// Servers are tried in this order. The next one is asked when one does not answer, never
	// because it rejects.
	Servers []Server `json:"servers"`
	// Transport defaults to TLS.
	Transport Transport `json:"transport"`
	// Method defaults to PAP. See there.
	Method Method `json:"method"`
	// MessageAuthenticator defaults to required.
	MessageAuthenticator Signing `json:"message_authenticator"`
	// NASIdentifier names this client to the server. Default "connsec".
	NASIdentifier string `json:"nas_identifier,omitempty"`

	// Identity says what of the server's certificate the product compares with Host.
	Identity Identity `json:"identity"`
	// SystemRoots is set if the product trusts, over TLS, every authority that the operating
	// system trusts. Roots nil means the same.
	SystemRoots bool `json:"system_roots,omitempty"`

	// Context are words that an attacker would try first: product, company, host names.
	// Hosts of Servers and NASIdentifier are added.
	Context []string `json:"context,omitempty"`
	// Others are secrets configured elsewhere, by what they are for, to find reuse.
	Others map[string]connsec.Secret `json:"-"`

	// Waivers accept failures of Validate's rules for Client, by rule ID and subject.
	Waivers []connsec.Waiver `json:"waivers,omitempty"`

	// Roots are the trust anchors over TLS; nil: the system's, which [RuleTLSSystemRoots]
	// fails.
	Roots *x509.CertPool `json:"-"`
	// Known are CA certificates that may complete a chain, see [tlscheck.Chain].
	Known []*x509.Certificate `json:"-"`
	// CRLs are revocation lists, see [tlscheck.LoadCRL] and [tlscheck.Endpoint.Dial].
	CRLs []*x509.RevocationList `json:"-"`
	// ClientCertificates identify this client over TLS, where servers demand one.
	ClientCertificates []tls.Certificate `json:"-"`
	// TLSProfile defaults to Modern, TLS 1.3 only.
	TLSProfile tlscheck.Profile `json:"tls_profile"`

	// Timing of retransmission.
	Timing Timing `json:"timing,omitzero"`

	Dialer   tlscheck.Dialer   `json:"-"` // nil: a net.Dialer; dials "udp" and "tcp"
	Resolver tlscheck.Resolver `json:"-"` // nil: net.DefaultResolver
	Now      func() time.Time  `json:"-"` // nil: time.Now
	Rand     io.Reader         `json:"-"` // nil: crypto/rand; used by several goroutines at once
	AsOf     time.Time         `json:"-"` // judge certificates as of this instant; zero: the time of observation
}

// Ports: RFC 2865, 3 and RFC 6614, 2.1.
const (
	portUDP  = 1812
	portAcct = 1813
	portTLS  = 2083
)

// fixedSecret is the shared secret of RADIUS over TLS (RFC 6614, 2.3). It protects nothing; TLS
// does.
const fixedSecret = "radsec"

func (c Config) port(s Server) uint16 {
	switch {
	case s.Port != 0:
		return s.Port
	case c.Transport == UDP:
		return portUDP
	}
	return portTLS
}

func (c Config) subject(s Server) string {
	return fmt.Sprintf("%s (%s)", net.JoinHostPort(strings.Trim(setting.OneLine(s.Host), "[]"), strconv.Itoa(int(c.port(s)))), c.Transport)
}

func (c Config) target() string {
	if len(c.Servers) == 0 {
		return "RADIUS without a server"
	}
	t := "radius " + c.subject(c.Servers[0])
	if n := len(c.Servers) - 1; n > 0 {
		t += fmt.Sprintf(" and %d more", n)
	}
	return t
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

func (c Config) nasIdentifier() string {
	if c.NASIdentifier != "" {
		return c.NASIdentifier
	}
	return "connsec"
}

// context is what an attacker knows about the setting.
func (c Config) context() []string {
	words := slices.Clone(c.Context)
	for _, s := range c.Servers {
		words = append(words, s.Host)
	}
	return append(words, c.NASIdentifier)
}

// Validate judges the setting alone: no network, no clock.
func (c Config) Validate() connsec.Report {
	target := c.target()
	findings := connsec.Run(target, c, settingChecks)
	words := strength.Words(c.context())
	for i, s := range c.Servers {
		one := setServer{Config: c, Server: s, index: i}
		one.strength = sync.OnceValue(func() strength.Estimate { return strength.Of(s.Secret.Reveal(), words) })
		findings = append(findings, connsec.Run(c.subject(s), one, serverSettingChecks)...)
	}
	return connsec.Report{Target: target, Findings: findings}
}

// ParseJSON reads a setting in JSON. Unknown fields are refused, so that a mistyped name does
// not silently leave a default in place.
func ParseJSON(data []byte) (Config, error) { return setting.ParseJSON[Config]("radiussec", data) }
