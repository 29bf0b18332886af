package audit

import (
	"context"
	"errors"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/sqlsec"
)

// SQL is an item of the section sql: a SQL Server, given as a connection string in a file of
// its own (it often holds a password), in the deployment file, or as host.
type SQL struct {
	DSNFile  string         `yaml:"dsn_file"` // with a connection string
	DSN      connsec.Secret `yaml:"dsn"`      // a connection string without a password
	Driver   sqlsec.Driver  `yaml:"driver"`   // whose defaults apply; found from the form if empty
	Host     string         `yaml:"host"`     // in place of a connection string
	Instance string         `yaml:"instance"` // with host; default: none
	Port     uint16         `yaml:"port"`     // with host; default 1433, or the instance's
	Connect  string         `yaml:"connect"`  // ADDR[:PORT]: dial there, verify the name

	Source connsec.Position `yaml:"-"` // where the item stands
}

func (s SQL) config(d *Deployment) (sqlsec.Config, error) {
	given := 0
	for _, is := range []bool{s.DSNFile != "", !s.DSN.IsEmpty(), s.Host != ""} {
		if is {
			given++
		}
	}
	if given != 1 {
		return sqlsec.Config{}, errors.New("give one of dsn_file, dsn and host")
	}
	switch {
	case s.Host != "":
		return sqlsec.Config{Host: s.Host, Instance: s.Instance, Port: s.Port, ServerOnly: true}, nil
	case s.DSNFile != "":
		secret, err := ReadSecret(d.path(s.DSNFile))
		if err != nil {
			return sqlsec.Config{}, err
		}
		c, err := sqlsec.ParseDSN(secret.Reveal(), s.Driver)
		c.Source.File = d.path(s.DSNFile)
		return c, err
	}
	return sqlsec.ParseDSN(s.DSN.Reveal(), s.Driver)
}

// client is the setting in the environment of the run.
func (s SQL) client(d *Deployment, env *environment) (sqlsec.Config, error) {
	c, err := s.config(d)
	c.Connect = s.Connect
	c.Roots, c.Known, c.CRLs, c.AsOf, c.Dialer, c.Resolver, c.Now = env.roots, env.known, env.crls, env.asOf, env.Dialer, env.Resolver, env.Now
	return c, err
}

func (s SQL) check(d *Deployment, env *environment) (check, error) {
	c, err := s.client(d, env)
	if err != nil {
		return check{}, err
	}
	return check{
		subject: c.Subject(), source: s.Source, root: sqlsec.RuleEncryptionNotForced, validate: c.Validate,
		run: func(ctx context.Context) (connsec.Report, error) { return c.Probe(ctx) },
	}, nil
}
