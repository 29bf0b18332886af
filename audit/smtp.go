package audit

import (
	"errors"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/smtpsec"
	"github.com/connsec/connsec/tlscheck"
)

// SMTP is an item of the section smtp: a mail server, given as url or the way a settings page
// has it.
type SMTP struct {
	URL          string `yaml:"url"`           // smtps://mail.corp.example
	Server       string `yaml:"server"`        // host name
	Security     string `yaml:"security"`      // None, SSL, TLS, STARTTLS, "STARTTLS if available"
	Port         uint16 `yaml:"port"`          // with server
	NoValidation bool   `yaml:"no_validation"` // the box for validating the certificate is not ticked
	User         string `yaml:"user"`          // judged, never used
	PasswordFile string `yaml:"password_file"` // judged, never used
	Sender       string `yaml:"sender"`        // the address that mail comes from
	OtherPort    uint16 `yaml:"other_port"`    // the port of the other kind, 587 or 465
	MX           bool   `yaml:"mx"`            // it receives mail from the Internet for domain
	Domain       string `yaml:"domain"`        // the mail domain; default: that of sender
	DNS          string `yaml:"dns"`           // with mx: ADDR[:PORT] of the resolver that is asked; default: the system's first
	DNSTrusted   bool   `yaml:"dns_trusted"`   // with mx: it validates DNSSEC, and the way to it is safe; without, DANE is inconclusive
	Connect      string `yaml:"connect"`       // ADDR[:PORT]: dial there, verify the name

	Source connsec.Position `yaml:"-"` // where the item stands
}

func (s SMTP) check(d *Deployment, env *environment) (check, error) {
	var password connsec.Secret
	var err error
	if s.PasswordFile != "" {
		if password, err = ReadSecret(d.path(s.PasswordFile)); err != nil {
			return check{}, err
		}
	}
	if !s.MX && (s.DNS != "" || s.DNSTrusted) {
		return check{}, errors.New("dns and dns_trusted are for mx: true, whose domain's records are looked up")
	}
	var c smtpsec.Config
	switch {
	case s.URL != "" && s.Server != "":
		return check{}, errors.New("give either url or server")
	case s.URL != "":
		if c, err = smtpsec.ParseURL(s.URL); err == nil {
			c.AnyCertificate = c.AnyCertificate || s.NoValidation
			if s.User != "" {
				c.User = s.User
			}
			if s.PasswordFile != "" {
				c.Password = password
			}
		}
	case s.Server != "":
		c, err = smtpsec.ParseForm(smtpsec.Form{Server: s.Server, Port: s.Port, Security: s.Security, NoValidation: s.NoValidation, User: s.User, Password: password, Sender: s.Sender})
	default:
		return check{}, errors.New("give url, or server and security")
	}
	if err != nil {
		return check{}, err
	}
	c.OtherPort, c.MX, c.Connect = s.OtherPort, s.MX, s.Connect
	c.DNS = smtpsec.DNS{Server: s.DNS, Trusted: s.DNSTrusted}
	if s.Domain != "" {
		c.Domain = s.Domain
	}
	c.Roots, c.Known, c.CRLs, c.AsOf, c.Dialer, c.Resolver, c.Now = env.roots, env.known, env.crls, env.asOf, env.Dialer, env.Resolver, env.Now
	return check{subject: c.Validate().Target, source: s.Source, root: tlscheck.RuleHandshakeFailed, validate: c.Validate, run: c.Probe}, nil
}
