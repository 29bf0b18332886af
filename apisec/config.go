package apisec

import (
	"crypto/x509"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/setting"
	"github.com/connsec/connsec/tlscheck"
)

// Style is how a token request carries the client's identifier and secret.
type Style uint8

const (
	// Basic: in an Authorization header (RFC 6749 §2.3.1), which every server has to support
	// and which stays out of logs of bodies.
	Basic Style = iota
	// Form: as client_id and client_secret in the form-encoded body (RFC 6749 §2.3.1), for
	// servers that cannot do Basic.
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
	// Vault: a secret store of its own, or the operating system's (DPAPI, Key Vault); the
	// setting holds a reference.
	Vault Storage = iota
	// Environment: an environment variable that the service manager sets.
	Environment
	// SecretFile: a file that holds nothing but the secret.
	SecretFile
	// Literal: the secret itself stands in a configuration file or script, among other things.
	Literal
)

var storages = setting.Enum[Storage]{Package: "apisec", Kind: "storage", Names: []string{"vault", "environment", "file", "literal"}}

// String returns the name as it stands in JSON.
func (s Storage) String() string { return storages.Name(s) }

// MarshalText writes the name.
func (s Storage) MarshalText() ([]byte, error) { return storages.Encode(s) }

// UnmarshalText accepts the names.
func (s *Storage) UnmarshalText(text []byte) error { return storages.Decode(text, s) }

// Client is the setting of one client of a REST API that authenticates with a secret.
type Client struct {
	// ID is the client identifier ("client_id").
	ID string `json:"id"`
	// Secret is the client secret.
	Secret connsec.Secret `json:"secret,omitzero"`
	// TokenURL is where tokens are issued: https, with a fully qualified name.
	TokenURL string `json:"token_url"`
	// Style defaults to Basic.
	Style Style `json:"style"`
	// Grant defaults to ClientCredentials, the only one that [Client.Token] uses.
	Grant Grant `json:"grant"`
	// Scopes are asked for; Needed are those that the client's work takes, nil if not known.
	Scopes []string `json:"scopes,omitempty"`
	Needed []string `json:"needed,omitempty"`

	// Connect is "ADDR[:PORT]": dial there instead of looking the host up; the name is verified
	// all the same.
	Connect string `json:"connect,omitempty"`

	Roots    *x509.CertPool    `json:"-"` // nil: the system's
	Dialer   tlscheck.Dialer   `json:"-"` // nil: a net.Dialer
	Resolver tlscheck.Resolver `json:"-"` // nil: net.DefaultResolver
	Now      func() time.Time  `json:"-"` // nil: time.Now
}
