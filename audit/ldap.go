package audit

import (
	"context"
	"errors"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/ldapsec"
	"github.com/connsec/connsec/tlscheck"
)

// LDAP is an item of the section ldap: a directory, given in one of three ways – as url, as
// server and security the way a settings page has them, or as the domain whose controllers DNS
// lists.
type LDAP struct {
	URL      string `yaml:"url"`      // ldaps://dc1.corp.example
	Server   string `yaml:"server"`   // host name; empty with security: automatic discovery
	Security string `yaml:"security"` // None, SSL, TLS or START TLS
	Port     uint16 `yaml:"port"`     // with server; default by security
	Domain   string `yaml:"domain"`   // look at every domain controller

	BindDN        string `yaml:"bind_dn"`        // judged, never used
	PasswordFile  string `yaml:"password_file"`  // of the account; judged, never used
	BaseDN        string `yaml:"base_dn"`        // where searches begin; default: what the server names
	OtherPort     uint16 `yaml:"other_port"`     // the port of the other kind, 389 or 636
	GlobalCatalog bool   `yaml:"global_catalog"` // look at 3269 too
	Connect       string `yaml:"connect"`        // ADDR[:PORT]: dial there, verify the name

	Source connsec.Position `yaml:"-"` // where the item stands
}

func (l LDAP) config() (ldapsec.Config, error) {
	switch {
	case l.URL != "" && (l.Server != "" || l.Security != "" || l.Port != 0):
		return ldapsec.Config{}, errors.New("give either url or server and security")
	case l.URL != "":
		return ldapsec.ParseURL(l.URL)
	case l.Server != "" || l.Security != "":
		return ldapsec.ParseForm(l.Server, l.Security, l.Domain, l.Port)
	case l.Domain != "":
		return ldapsec.Config{Domain: l.Domain}, nil
	}
	return ldapsec.Config{}, errors.New("give url, or server and security, or domain")
}

func (l LDAP) check(d *Deployment, env *environment) (check, error) {
	c, err := l.config()
	if err != nil {
		return check{}, err
	}
	if l.PasswordFile != "" {
		if c.Password, err = ReadSecret(d.path(l.PasswordFile)); err != nil {
			return check{}, err
		}
	}
	c.BindDN, c.AccountUnknown, c.GlobalCatalog, c.Connect = l.BindDN, true, l.GlobalCatalog, l.Connect
	if l.BaseDN != "" {
		c.BaseDN = l.BaseDN
	}
	if l.OtherPort != 0 {
		c.OtherPort = l.OtherPort
	}
	c.Roots, c.Known, c.CRLs, c.AsOf, c.Dialer, c.Now = env.roots, env.known, env.crls, env.asOf, env.Dialer, env.Now
	if r, ok := env.Resolver.(ldapsec.Resolver); ok {
		c.Resolver = r
	}
	// An account without password_file says nothing about the password that the product has.
	unknown := func(r connsec.Report) connsec.Report {
		for i, f := range r.Findings {
			if l.PasswordFile == "" && l.BindDN != "" && f.Rule == ldapsec.RuleEmptyPassword {
				r.Findings[i].Outcome, r.Findings[i].Detail = connsec.Inconclusive, "the password was not given; name a password_file to have it judged"
			}
		}
		return r
	}
	return check{
		subject: c.Validate().Target, source: l.Source, root: tlscheck.RuleHandshakeFailed,
		validate: func() connsec.Report { return unknown(c.Validate()) },
		run: func(ctx context.Context) (connsec.Report, error) {
			r, err := c.Probe(ctx)
			return unknown(r), err
		},
	}, nil
}
