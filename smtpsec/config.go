package smtpsec

import (
	"crypto/x509"
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
	// Implicit is TLS from the first byte ("SSL", "SMTPS", submissions), port 465: what
	// RFC 8314 prefers.
	Implicit Mode = iota
	// StartTLS begins in clear on port 587 and goes on only with TLS.
	StartTLS
	// Opportunistic takes TLS if the server offers it and goes on without if not. It can be
	// judged, never dialled.
	Opportunistic
	// Plaintext is SMTP without TLS. It can be judged, never dialled.
	Plaintext
)

var modes = setting.Enum[Mode]{Package: "smtpsec", Kind: "mode", Names: []string{"smtps", "starttls", "opportunistic", "plaintext"}}

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

// Method is the SASL mechanism with which the client authenticates. Every method runs inside
// verified TLS only.
type Method uint8

const (
	// Auto takes the best of SCRAM-SHA-256, PLAIN and LOGIN that the server offers inside TLS.
	Auto Method = iota
	// SCRAMSHA256Plus proves knowledge of the password without sending it, bound to the TLS
	// channel (RFC 7677).
	SCRAMSHA256Plus
	// SCRAMSHA256 is the same without the binding.
	SCRAMSHA256
	// Plain sends user and password (RFC 4616).
	Plain
	// Login sends them in two steps; never standardised, for servers that have nothing else.
	Login
	// XOAuth2 sends an OAuth 2.0 access token, which takes the place of the password.
	XOAuth2
	// CRAMMD5 answers a challenge with an HMAC-MD5 (RFC 2195). Auto never takes it.
	CRAMMD5
)

var methods = setting.Enum[Method]{
	Package: "smtpsec", Kind: "authentication method",
	Names: []string{"auto", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN", "XOAUTH2", "CRAM-MD5"},
}

// String returns the mechanism's registered name, or "auto".
func (m Method) String() string { return methods.Name(m) }

// ParseMethod reads the name of a mechanism; upper and lower case are the same.
func ParseMethod(name string) (m Method, err error) {
	if i := slices.IndexFunc(methods.Names, func(n string) bool { return strings.EqualFold(n, name) }); i >= 0 {
		return Method(i), nil
	}
	return 0, methods.Decode([]byte(name), &m)
}

// MarshalText writes the name.
func (m Method) MarshalText() ([]byte, error) { return methods.Encode(m) }

// UnmarshalText accepts what ParseMethod does.
func (m *Method) UnmarshalText(text []byte) error {
	v, err := ParseMethod(string(text))
	if err == nil {
		*m = v
	}
	return err
}

// sendsPassword reports whether whoever holds the other end learns the password or token.
func (m Method) sendsPassword() bool {
	return m == Auto || m == Plain || m == Login || m == XOAuth2
}

// Config is the setting of one mail server, as an administrator typed it.
//
// The zero value of every enumeration is the strictest choice. Fields without a JSON name are
// for programs: they stand in for the network, the clock and DNS, and nil means the standard
// ones.
type Config struct {
	// Host is the server's name, as it stands in its certificate.
	Host string `json:"host"`
	// Port is the port that Mode uses. 0: 465 for Implicit, 587 for StartTLS, otherwise, and
	// with MX, 25.
	Port uint16 `json:"port,omitempty"`
	// OtherPort is the port of the other kind, which the product does not use but Observe looks
	// at. 0: 587 for Implicit, otherwise 465.
	OtherPort uint16 `json:"other_port,omitempty"`
	// Mode defaults to implicit TLS.
	Mode Mode `json:"mode"`
	// AnyCertificate records that the product is set not to verify the server's certificate. It
	// can be judged, never dialled.
	AnyCertificate bool `json:"any_certificate,omitempty"`

	// User is the account; empty: mail is sent without logging in.
	User string `json:"user,omitempty"`
	// Password of the account, or access token. It is never sent before TLS is verified.
	Password connsec.Secret `json:"password,omitzero"`
	// Method defaults to the best that the server offers.
	Method Method `json:"method"`

	// MX says that the host receives mail from the Internet for Domain, so that Observe looks
	// at port 25, whatever the mode, and at what Domain publishes. Senders it does not know
	// cannot be forced into TLS (RFC 3207, 4), so that is not held against it.
	MX bool `json:"mx,omitempty"`
	// Domain is the mail domain, the part behind the @: of the sender, or of the recipients
	// if MX is set.
	Domain string `json:"domain,omitempty"`
	// HELO is what the client calls itself. Empty: Observe gives its address, Client the name
	// of the machine.
	HELO string `json:"helo,omitempty"`

	// Waivers accept failures of Validate's rules for Client and Dial, by rule ID and subject.
	Waivers []connsec.Waiver `json:"waivers,omitempty"`

	// Connect is "ADDR[:PORT]": dial there instead of looking the host up, and verify its name
	// all the same. The port stands for the setting's own only.
	Connect string `json:"connect,omitempty"`

	// Roots are the trust anchors; nil: the system's.
	Roots *x509.CertPool `json:"-"`
	// Known are CA certificates that may complete a chain, see [tlscheck.Chain].
	Known []*x509.Certificate `json:"-"`
	// CRLs are revocation lists, see [tlscheck.LoadCRL] and [tlscheck.Endpoint.Dial].
	CRLs []*x509.RevocationList `json:"-"`

	DNS      DNS               `json:"-"` // for MX
	Dialer   tlscheck.Dialer   `json:"-"` // nil: a net.Dialer
	Resolver tlscheck.Resolver `json:"-"` // nil: net.DefaultResolver
	Now      func() time.Time  `json:"-"` // nil: time.Now
	AsOf     time.Time         `json:"-"` // judge certificates as of this instant; zero: the time of observation
}

// Standard ports: IANA service names smtp, submission and submissions.
const (
	portSMTP        = 25
	portSubmission  = 587
	portSubmissions = 465
)

func (c Config) port() uint16 {
	switch {
	case c.Port != 0:
		return c.Port
	case c.MX:
		return portSMTP
	case c.Mode == Implicit:
		return portSubmissions
	case c.Mode == StartTLS:
		return portSubmission
	}
	return portSMTP
}

// clearPort and tlsPort are the two ports that Observe looks at.
func (c Config) clearPort() uint16 {
	switch {
	case c.Mode != Implicit || c.MX:
		return c.port()
	case c.OtherPort != 0:
		return c.OtherPort
	}
	return portSubmission
}

func (c Config) tlsPort() uint16 {
	switch {
	case c.Mode == Implicit:
		return c.port()
	case c.OtherPort != 0:
		return c.OtherPort
	}
	return portSubmissions
}

func (c Config) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}

// target is what a report is about.
func (c Config) target() string {
	scheme := "smtp"
	if c.Mode == Implicit && !c.MX {
		scheme = "smtps"
	}
	if c.Host == "" {
		return "SMTP without a host"
	}
	return scheme + "://" + net.JoinHostPort(strings.Trim(setting.OneLine(hostOf(c.Host)), "[]"), strconv.Itoa(int(c.port())))
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
	return connsec.Report{Target: target, Findings: connsec.Run(target, c, settingChecks)}
}

// ParseJSON reads a setting in JSON. Unknown fields are refused, so that a mistyped name does
// not silently leave a default in place.
func ParseJSON(data []byte) (Config, error) { return setting.ParseJSON[Config]("smtpsec", data) }
