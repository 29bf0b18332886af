package audit

import (
	"errors"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/apisec"
	"github.com/connsec/connsec/tlscheck"
)

// API is an item of the section api: a client of a REST API, and the endpoint where it gets its
// tokens.
type API struct {
	Name       string         `yaml:"name"`        // default: the id
	ID         string         `yaml:"id"`          // the client ID
	SecretFile string         `yaml:"secret_file"` // the client secret, to be judged
	TokenURL   string         `yaml:"token_url"`   // where it gets its tokens
	Style      apisec.Style   `yaml:"style"`       // basic (default), form, json, query
	Grant      apisec.Grant   `yaml:"grant"`       // default client_credentials
	Scopes     []string       `yaml:"scopes"`      // that are asked for
	Needed     []string       `yaml:"needed"`      // that the work takes
	Owner      string         `yaml:"owner"`       // who answers for it
	Created    Date           `yaml:"created"`     // of the secret
	Expires    Date           `yaml:"expires"`     // of the secret; default: never
	Storage    apisec.Storage `yaml:"storage"`     // where the product keeps it; default file, if there is a secret_file
	Path       string         `yaml:"path"`        // the file, for file and literal; default the secret_file
	MediumDays int            `yaml:"medium_days"` // how old the secret may become; default 90
	HighDays   int            `yaml:"high_days"`   // from when on it is overdue; default 365
	Context    []string       `yaml:"context"`     // words that an attacker would try first
	PlainPort  uint16         `yaml:"plain_port"`  // where the endpoint may be without TLS; default 80
	TryToken   bool           `yaml:"try_token"`   // ask for one token with the real secret
	Connect    string         `yaml:"connect"`     // ADDR[:PORT]: dial there, verify the name

	Source connsec.Position `yaml:"-"` // where the item stands
}

func (a API) check(d *Deployment, env *environment) (check, error) {
	if a.TokenURL == "" {
		return check{}, errors.New("token_url is missing")
	}
	c := apisec.Client{
		Name: a.Name, ID: a.ID, TokenURL: a.TokenURL, Style: a.Style, Grant: a.Grant, Scopes: a.Scopes, Needed: a.Needed, Owner: a.Owner,
		Created: a.Created.Time, Expires: a.Expires.Time, Storage: a.Storage, Path: d.path(a.Path),
		Policy: apisec.Policy{MediumDays: a.MediumDays, HighDays: a.HighDays}, Context: a.Context, PlainPort: a.PlainPort, TryToken: a.TryToken, Connect: a.Connect,
		Roots: env.roots, Known: env.known, CRLs: env.crls, AsOf: env.asOf, Dialer: env.Dialer, Resolver: env.Resolver, Now: env.Now,
	}
	if a.SecretFile != "" {
		var err error
		if c.Secret, err = ReadSecret(d.path(a.SecretFile)); err != nil {
			return check{}, err
		}
		if c.Storage == apisec.StorageUnknown {
			c.Storage = apisec.SecretFile
		}
		if c.Storage == apisec.SecretFile && c.Path == "" {
			c.Path = d.path(a.SecretFile)
		}
	}
	c.Others = env.otherSecrets(d, a.Source)
	return check{subject: c.Validate().Target, source: a.Source, root: tlscheck.RuleHandshakeFailed, validate: c.Validate, run: c.Probe}, nil
}
