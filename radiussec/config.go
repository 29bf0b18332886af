package radiussec

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/connsec/connsec"
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

var transportNames = []string{"tls", "udp"}

// String returns the name as it stands in JSON.
func (t Transport) String() string { return name("transport", transportNames, int(t)) }

// MarshalText writes the name.
func (t Transport) MarshalText() ([]byte, error) {
	return encode("transport", transportNames, int(t))
}

// UnmarshalText accepts the names.
func (t *Transport) UnmarshalText(text []byte) error {
	return decode("transport", transportNames, text, t)
}

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

var methodNames = []string{"pap", "chap", "ms-chap", "ms-chap-v2", "eap"}

// String returns the name as it stands in JSON.
func (m Method) String() string { return name("method", methodNames, int(m)) }

// MarshalText writes the name.
func (m Method) MarshalText() ([]byte, error) { return encode("method", methodNames, int(m)) }

// UnmarshalText accepts the names.
func (m *Method) UnmarshalText(text []byte) error { return decode("method", methodNames, text, m) }

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

var signingNames = []string{"required", "optional", "off"}

// String returns the name as it stands in JSON.
func (s Signing) String() string { return name("signing", signingNames, int(s)) }

// MarshalText writes the name.
func (s Signing) MarshalText() ([]byte, error) { return encode("signing", signingNames, int(s)) }

// UnmarshalText accepts the names.
func (s *Signing) UnmarshalText(text []byte) error { return decode("signing", signingNames, text, s) }

// Identity is what of a certificate names its owner.
type Identity uint8

const (
	// SubjectAltName: DNS names and addresses.
	SubjectAltName Identity = iota
	// CommonName: the subject's CN, as old products compare. It can be judged, and is never
	// used.
	CommonName
)

var identityNames = []string{"san", "cn"}

// String returns the name as it stands in JSON.
func (i Identity) String() string { return name("identity", identityNames, int(i)) }

// MarshalText writes the name.
func (i Identity) MarshalText() ([]byte, error) { return encode("identity", identityNames, int(i)) }

// UnmarshalText accepts the names.
func (i *Identity) UnmarshalText(text []byte) error {
	return decode("identity", identityNames, text, i)
}

func name(kind string, names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return fmt.Sprintf("%s(%d)", kind, i)
}

func encode(kind string, names []string, i int) ([]byte, error) {
	if i >= len(names) {
		return nil, fmt.Errorf("radiussec: cannot encode invalid %s(%d)", kind, i)
	}
	return []byte(names[i]), nil
}

func decode[E ~uint8](kind string, names []string, text []byte, into *E) error {
	i := slices.Index(names, string(text))
	if i < 0 {
		return fmt.Errorf("radiussec: unknown %s %q (one of %s)", kind, oneLine(string(text)), strings.Join(names, ", "))
	}
	*into = E(i)
	return nil
}

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
	// ClientCertificates identify this client over TLS, where servers demand one.
	ClientCertificates []tls.Certificate `json:"-"`
	// TLSProfile defaults to Modern, TLS 1.3 only.
	TLSProfile tlscheck.Profile `json:"tls_profile"`

	// Timing of retransmission.
	Timing Timing `json:"timing,omitzero"`

	Dialer   tlscheck.Dialer   `json:"-"` // nil: a net.Dialer; dials "udp" and "tcp"
	Resolver tlscheck.Resolver `json:"-"` // nil: net.DefaultResolver
	Now      func() time.Time  `json:"-"` // nil: time.Now
	Rand     io.Reader         `json:"-"` // nil: crypto/rand
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
	return fmt.Sprintf("%s (%s)", net.JoinHostPort(strings.Trim(oneLine(s.Host), "[]"), strconv.Itoa(int(c.port(s)))), c.Transport)
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
	words := contextWords(c.context())
	for i, s := range c.Servers {
		one := setServer{Config: c, Server: s, index: i}
		one.strength = sync.OnceValue(func() strength { return estimate(s.Secret.Reveal(), words) })
		findings = append(findings, connsec.Run(c.subject(s), one, serverSettingChecks)...)
	}
	return connsec.Report{Target: target, Findings: findings}
}

// maxConfig bounds a JSON setting.
const maxConfig = 1 << 20

// ParseJSON reads a setting in JSON. Unknown fields are refused, so that a mistyped name does
// not silently leave a default in place.
func ParseJSON(data []byte) (Config, error) {
	var c Config
	if len(data) > maxConfig {
		return c, fmt.Errorf("radiussec: a setting of %d bytes; at most %d are read", len(data), maxConfig)
	}
	dec := json.NewDecoder(strings.NewReader(string(data)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		return Config{}, fmt.Errorf("radiussec: %w", jsonProblem(err))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Config{}, errors.New("radiussec: unexpected data after the setting")
	}
	return c, nil
}

// jsonProblem says what is wrong without quoting values: one of them is a secret.
func jsonProblem(err error) error {
	var syntax *json.SyntaxError
	var typ *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("the setting is not JSON: mistake at byte %d", syntax.Offset)
	case errors.As(err, &typ):
		return fmt.Errorf("the setting's field %q has the wrong type; it must be a %s", oneLine(typ.Field), typ.Type)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the setting is not complete JSON")
	}
	return errors.New(oneLine(err.Error()))
}

// oneLine makes foreign text fit for a finding or an error.
func oneLine(s string) string {
	const most = 200
	if len(s) > 8*most {
		s = s[:8*most]
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsPrint(r):
			return r
		}
		return -1
	}, strings.ToValidUTF8(s, "?"))
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
