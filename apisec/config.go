package apisec

import (
	"crypto/x509"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/setting"
	"github.com/connsec/connsec/internal/strength"
	"github.com/connsec/connsec/tlscheck"
)

// Style is how a token request carries the client's identifier and secret.
type Style uint8

const (
	// Basic: in an Authorization header (RFC 6749 §2.3.1), which every server has to support
	// and which stays out of logs of bodies.
	Basic Style = iota
	// Form: as client_id and client_secret in the form-encoded body, for servers that do not
	// take Basic. RFC 6749 §2.3.1 does not recommend it.
	Form
	// JSON: in a JSON body, as MyQ's API wants it.
	JSON
	// Query: in the URL, which every proxy and server logs. It can be judged, and is never used.
	Query
)

var styles = setting.Enum[Style]{Package: "apisec", Kind: "style", Names: []string{"basic", "form", "json", "query"}}

// String returns the name as it stands in JSON.
func (s Style) String() string { return styles.Name(s) }

// MarshalText writes the name.
func (s Style) MarshalText() ([]byte, error) { return styles.Encode(s) }

// UnmarshalText accepts the names.
func (s *Style) UnmarshalText(text []byte) error { return styles.Decode(text, s) }

// Grant is what a client shows for a token, beside its secret.
type Grant uint8

const (
	// ClientCredentials: nothing else (RFC 6749 §4.4).
	ClientCredentials Grant = iota
	// Password: a user's name and password (RFC 6749 §4.3, withdrawn by RFC 9700 §2.4).
	Password
	// LoginInfo: a user's PIN or card number, MyQ's login_info.
	LoginInfo
)

var grants = setting.Enum[Grant]{Package: "apisec", Kind: "grant", Names: []string{"client_credentials", "password", "login_info"}}

// String returns the name as it stands in token requests and in JSON.
func (g Grant) String() string { return grants.Name(g) }

// MarshalText writes the name.
func (g Grant) MarshalText() ([]byte, error) { return grants.Encode(g) }

// UnmarshalText accepts the names.
func (g *Grant) UnmarshalText(text []byte) error { return grants.Decode(text, g) }

// Storage is where the product keeps the secret.
type Storage uint8

const (
	// StorageUnknown: nobody said, so that nothing is held for well kept.
	StorageUnknown Storage = iota
	// Vault: a secret store of its own, or the operating system's (DPAPI, Key Vault); the
	// setting holds a reference.
	Vault
	// Environment: an environment variable that the service manager sets.
	Environment
	// SecretFile: a file that holds nothing but the secret.
	SecretFile
	// Literal: the secret itself stands in a configuration file or script, among other things.
	Literal
)

var storages = setting.Enum[Storage]{Package: "apisec", Kind: "storage", Names: []string{"unknown", "vault", "environment", "file", "literal"}}

// String returns the name as it stands in JSON.
func (s Storage) String() string { return storages.Name(s) }

// MarshalText writes the name.
func (s Storage) MarshalText() ([]byte, error) { return storages.Encode(s) }

// UnmarshalText accepts the names.
func (s *Storage) UnmarshalText(text []byte) error { return storages.Decode(text, s) }

// Policy is how old a secret may become. No standard gives a number; rotation within a time
// of one's own choice is what OWASP's Secrets Management Cheat Sheet asks for.
type Policy struct {
	// MediumDays is the age from which [RuleSecretOld] fails with Medium. 0: 90.
	MediumDays int `json:"medium_days,omitempty"`
	// HighDays is the age from which it fails with High. 0: 365, or MediumDays if that is more.
	HighDays int `json:"high_days,omitempty"`
}

const day = 24 * time.Hour

// Medium and High are the two ages.
func (p Policy) Medium() time.Duration { return ageOr(p.MediumDays, 90*day) }

// High is the age from which a secret is overdue.
func (p Policy) High() time.Duration { return max(ageOr(p.HighDays, 365*day), p.Medium()) }

func ageOr(days int, otherwise time.Duration) time.Duration {
	const most = 100 * 365 // more would not fit a Duration three times
	if days <= 0 {
		return otherwise
	}
	return time.Duration(min(days, most)) * day
}

// Client is the setting of one client of a REST API that authenticates with a secret.
//
// The zero value of every enumeration is the strictest choice. Fields without a JSON name are
// for programs: they stand in for the network and the clock, and nil means the standard ones.
type Client struct {
	// Name is what reports call this client. Empty: the ID.
	Name string `json:"name,omitempty"`
	// ID is the client identifier ("client_id"). It is no secret.
	ID string `json:"id"`
	// Secret is the client secret.
	Secret connsec.Secret `json:"secret,omitzero"`
	// TokenURL is where tokens are issued: https, with a fully qualified name, and neither
	// credentials nor a fragment.
	TokenURL string `json:"token_url"`
	// Style defaults to Basic.
	Style Style `json:"style"`
	// Grant defaults to ClientCredentials, the only one that [Client.Token] uses.
	Grant Grant `json:"grant"`
	// Scopes are asked for; Needed are those that the client's work takes, nil if not known.
	Scopes []string `json:"scopes,omitempty"`
	Needed []string `json:"needed,omitempty"`
	// Hosts get the token, too, beside the host and port of TokenURL: "api.corp.example" or
	// "api.corp.example:8090". Without a port it is 443.
	Hosts []string `json:"hosts,omitempty"`

	// Owner is who answers for the secret: a person or a team.
	Owner string `json:"owner,omitempty"`
	// Created is when the secret was made, Expires when the server stops to take it. Zero:
	// not known, and never.
	Created time.Time `json:"created,omitzero"`
	Expires time.Time `json:"expires,omitzero"`
	// Storage is where the product keeps the secret, and Path the file, for SecretFile and
	// Literal: Observe looks who else may read it.
	Storage Storage `json:"storage"`
	Path    string  `json:"path,omitempty"`
	// Policy is how old the secret may become.
	Policy Policy `json:"policy,omitzero"`

	// Context are words that an attacker would try first: product, company. ID, Owner and the
	// host of TokenURL are added.
	Context []string `json:"context,omitempty"`
	// Others are secrets configured elsewhere, by what they are for, to find one that serves
	// two services. See also [Inventory].
	Others map[string]connsec.Secret `json:"-"`

	// PlainPort is where Observe looks for the same endpoint without TLS. 0: 80.
	PlainPort uint16 `json:"plain_port,omitempty"`
	// TryToken lets Observe ask for one token with the real secret, over verified TLS, and
	// look at the answer. The token is thrown away.
	TryToken bool `json:"try_token,omitempty"`

	// Waivers accept failures of Validate's rules for Token and HTTP, by rule ID and subject.
	Waivers []connsec.Waiver `json:"waivers,omitempty"`

	// Connect is "ADDR[:PORT]": dial there instead of looking the host of TokenURL up; the
	// name is verified all the same.
	Connect string `json:"connect,omitempty"`

	// Roots are the trust anchors; nil: the system's.
	Roots *x509.CertPool `json:"-"`
	// Known are CA certificates that may complete a chain, see [tlscheck.Chain].
	Known []*x509.Certificate `json:"-"`
	// CRLs are revocation lists, see [tlscheck.LoadCRL] and [tlscheck.Endpoint.Dial].
	CRLs []*x509.RevocationList `json:"-"`

	Dialer   tlscheck.Dialer   `json:"-"` // nil: a net.Dialer
	Resolver tlscheck.Resolver `json:"-"` // nil: net.DefaultResolver
	Now      func() time.Time  `json:"-"` // nil: time.Now
	AsOf     time.Time         `json:"-"` // judge ages and certificates as of this instant; zero: now
}

const portHTTPS = 443

func (c Client) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}

// asOf is the day of judgement.
func (c Client) asOf() time.Time {
	if !c.AsOf.IsZero() {
		return c.AsOf
	}
	return c.now()
}

// subject is what findings are about. Neither a name that is, or holds, the secret is shown,
// nor of a token URL more than scheme and host: anything can stand in the rest by mistake.
func (c Client) subject() string {
	secret := strings.ToLower(c.Secret.Reveal())
	shown := func(s string) bool {
		return s != "" && (secret == "" || !strings.Contains(strings.ToLower(s), secret))
	}
	switch {
	case shown(c.Name):
		return setting.OneLine(c.Name)
	case shown(c.ID):
		return "client " + setting.OneLine(c.ID)
	}
	u, problem := parseTokenURL(c.TokenURL)
	if problem != "" || !shown(u.show()) {
		return "REST API client"
	}
	return u.show()
}

// tokenURL is a token URL taken apart.
type tokenURL struct {
	url  *url.URL
	host string // without brackets and port
	port uint16
}

// show is the URL as far as it can be shown.
func (u tokenURL) show() string {
	return setting.OneLine((&url.URL{Scheme: u.url.Scheme, Host: u.url.Host}).String())
}

// address is host and port, as keys of hosts are.
func (u tokenURL) address() string { return hostPort(u.host, u.port) }

// hostPort is host and port in one spelling: lower case, without the dot at the end, names
// beyond ASCII as they stand in DNS.
func hostPort(host string, port uint16) string {
	if strings.ContainsFunc(host, func(r rune) bool { return r > '~' }) {
		if name, err := tlscheck.ParseFQDN(host); err == nil {
			host = name.String()
		}
	}
	return net.JoinHostPort(strings.ToLower(strings.TrimSuffix(host, ".")), strconv.Itoa(int(port)))
}

// parseTokenURL takes a token URL apart. What it says when it cannot quotes nothing, since
// anything can stand in the field by mistake.
func parseTokenURL(s string) (u tokenURL, problem string) {
	const most = 2048
	switch {
	case s == "":
		return u, "no token URL is given"
	case len(s) > most:
		return u, "the token URL is too long"
	case s != strings.TrimSpace(s):
		return u, "the token URL begins or ends with a space"
	}
	parsed, err := url.Parse(s)
	switch {
	case err != nil:
		return u, "the token URL is not a URL"
	case parsed.Scheme != "https" && parsed.Scheme != "http":
		return u, "the token URL does not begin with https://"
	case parsed.Opaque != "" || parsed.Hostname() == "":
		return u, "the token URL has no host"
	}
	u = tokenURL{url: parsed, host: parsed.Hostname(), port: portHTTPS}
	if parsed.Scheme == "http" {
		u.port = portHTTP
	}
	if p := parsed.Port(); p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return tokenURL{}, "the port of the token URL is not one"
		}
		u.port = uint16(n)
	} else if strings.HasSuffix(parsed.Host, ":") {
		return tokenURL{}, "the port of the token URL is missing"
	}
	return u, ""
}

const portHTTP = 80

// words are what an attacker knows about the setting.
func (c Client) words() []string {
	known := append(append([]string{}, c.Context...), c.ID, c.Name, c.Owner)
	if u, problem := parseTokenURL(c.TokenURL); problem == "" {
		known = append(known, u.host)
	}
	return strength.Words(known)
}

// Validate judges the setting alone. It uses no network and no file, and the clock only for
// ages, unless AsOf is set.
func (c Client) Validate() connsec.Report {
	return connsec.Report{Target: c.subject(), Findings: connsec.Run(c.subject(), newJudged(c), settingChecks)}
}

// ParseJSON reads a setting in JSON. Unknown fields are refused, so that a mistyped name does
// not silently leave a default in place. Dates are written as RFC 3339 has them,
// "2026-01-31T00:00:00Z".
func ParseJSON(data []byte) (Client, error) { return setting.ParseJSON[Client]("apisec", data) }
