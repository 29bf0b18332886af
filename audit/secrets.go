package audit

import (
	"fmt"

	"github.com/connsec/connsec"
)

// NamedSecret is a password or shared secret of a deployment.
type NamedSecret struct {
	Name   string // "LDAP password (dc1.password)", as a report may show it
	File   string // that it is kept in
	Secret connsec.Secret
}

// Secrets reads the passwords and shared secrets that the deployment names by their files: those
// of REST API clients, LDAP and SMTP accounts, RADIUS, certificate files, and connection strings.
// One that stands for several items comes once. A file that cannot be read is an error, so that
// no secret is silently left out of a search.
func (d *Deployment) Secrets() ([]NamedSecret, error) {
	var out []NamedSecret
	files := map[string]bool{}
	add := func(what, file string, read func() (connsec.Secret, error)) error {
		if file == "" || files[d.path(file)] {
			return nil
		}
		files[d.path(file)] = true
		secret, err := read()
		if err == nil && !secret.IsEmpty() {
			out = append(out, NamedSecret{fmt.Sprintf("%s (%s)", what, file), d.path(file), secret})
		}
		return err
	}
	whole := func(what, file string) error {
		return add(what, file, func() (connsec.Secret, error) { return ReadSecret(d.path(file)) })
	}
	for _, a := range d.API {
		if err := whole("API secret", a.SecretFile); err != nil {
			return nil, err
		}
	}
	for _, l := range d.LDAP {
		if err := whole("LDAP password", l.PasswordFile); err != nil {
			return nil, err
		}
	}
	for _, s := range d.SMTP {
		if err := whole("SMTP password", s.PasswordFile); err != nil {
			return nil, err
		}
	}
	for _, r := range d.RADIUS {
		if err := whole("RADIUS secret", r.SecretFile); err != nil {
			return nil, err
		}
	}
	for _, c := range d.Certificates {
		if err := whole("certificate password", c.PasswordFile); err != nil {
			return nil, err
		}
	}
	for _, s := range d.SQL {
		if err := add("SQL password", s.DSNFile, func() (connsec.Secret, error) {
			c, err := s.config(d)
			return c.Password, err
		}); err != nil {
			return nil, err
		}
	}
	return out, nil
}
