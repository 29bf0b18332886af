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

// kept is a secret that an item of the deployment keeps in a file.
type kept struct {
	kind   string // "LDAP password"
	owner  string // the item, for people
	file   string // as the deployment names it
	source connsec.Position
	read   func() (connsec.Secret, error)
}

// keptSecrets lists the secrets of all sections that have them in files. A new section with
// secrets adds its lines here.
func (d *Deployment) keptSecrets() []kept {
	var out []kept
	add := func(kind, owner, file string, source connsec.Position, read func() (connsec.Secret, error)) {
		if file != "" {
			out = append(out, kept{kind, owner, file, source, read})
		}
	}
	whole := func(kind, owner, file string, source connsec.Position) {
		add(kind, owner, file, source, func() (connsec.Secret, error) { return ReadSecret(d.path(file)) })
	}
	for _, a := range d.API {
		name := a.Name
		if name == "" {
			name = a.ID
		}
		whole("API secret", name, a.SecretFile, a.Source)
	}
	for _, l := range d.LDAP {
		whole("LDAP password", l.BindDN, l.PasswordFile, l.Source)
	}
	for _, s := range d.SMTP {
		whole("SMTP password", s.User, s.PasswordFile, s.Source)
	}
	for _, r := range d.RADIUS {
		whole("RADIUS secret", r.Host, r.SecretFile, r.Source)
	}
	for _, c := range d.Certificates {
		whole("certificate password", c.Name, c.PasswordFile, c.Source)
	}
	database := func(s SQL, source connsec.Position) {
		add("SQL password", "", s.DSNFile, source, func() (connsec.Secret, error) {
			c, err := s.config(d)
			return c.Password, err
		})
	}
	for _, s := range d.SQL {
		database(s, s.Source)
	}
	for _, s := range d.SecURL {
		whole("SecURL password", s.Recipient, s.PasswordFile, s.Source)
		if s.Other != nil {
			whole("SecURL password", s.Other.Recipient, s.Other.PasswordFile, s.Source)
		}
		if s.SQL != nil {
			database(*s.SQL, s.Source)
		}
	}
	return out
}

// Secrets reads the passwords and shared secrets that the deployment names by their files: those
// of REST API clients, LDAP and SMTP accounts, RADIUS, certificate files, connection strings, and
// test recipients of SecURL. One that stands for several items comes once. A file that cannot be read is an error, so that
// no secret is silently left out of a search.
func (d *Deployment) Secrets() ([]NamedSecret, error) {
	var out []NamedSecret
	seen := map[string]bool{}
	for _, k := range d.keptSecrets() {
		path := d.path(k.file)
		if seen[path] {
			continue
		}
		seen[path] = true
		secret, err := k.read()
		if err != nil {
			return nil, err
		}
		if !secret.IsEmpty() {
			out = append(out, NamedSecret{fmt.Sprintf("%s (%s)", k.kind, k.file), path, secret})
		}
	}
	return out, nil
}

// otherSecrets are those of the other items, by what they are for and where that stands. A file
// that cannot be read is left out: its own item says so.
func (env *environment) otherSecrets(d *Deployment, of connsec.Position) map[string]connsec.Secret {
	if env.secrets == nil {
		env.secrets = []itemSecret{}
		for _, k := range d.keptSecrets() {
			if s, err := k.read(); err == nil && !s.IsEmpty() {
				purpose := "the " + k.kind
				if k.owner != "" {
					purpose += " of " + k.owner
				}
				purpose += fmt.Sprintf(" (%d:%d)", k.source.Line, k.source.Column)
				env.secrets = append(env.secrets, itemSecret{purpose, s, k.source})
			}
		}
	}
	out := map[string]connsec.Secret{}
	for _, s := range env.secrets {
		if s.source != of {
			out[s.purpose] = s.secret
		}
	}
	return out
}

// itemSecret is a secret with the item that it belongs to.
type itemSecret struct {
	purpose string
	secret  connsec.Secret
	source  connsec.Position
}
