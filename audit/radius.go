package audit

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/radiussec"
)

// RADIUS is an item of the section radius: a server that is asked, or a server's list of
// clients and their secrets.
type RADIUS struct {
	Host       string              `yaml:"host"`        // as in the server's certificate
	Port       uint16              `yaml:"port"`        // default 2083 over TLS, 1812 over UDP
	Transport  radiussec.Transport `yaml:"transport"`   // tls (default) or udp
	Method     radiussec.Method    `yaml:"method"`      // default pap
	SecretFile string              `yaml:"secret_file"` // the shared secret
	Context    []string            `yaml:"context"`     // words that an attacker would try first
	Connect    string              `yaml:"connect"`     // ADDR[:PORT]: send there, verify host

	Clients string `yaml:"clients"` // clients.conf of FreeRADIUS, or an export of NPS in XML

	Source connsec.Position `yaml:"-"` // where the item stands
}

func (r RADIUS) check(d *Deployment, env *environment) (check, error) {
	switch {
	case r.Clients != "" && r.Host != "":
		return check{}, errors.New("give either host or clients")
	case r.Clients != "":
		inventory, err := ReadRADIUSClients(d.path(r.Clients))
		if err != nil {
			return check{}, err
		}
		inventory.Context = append(inventory.Context, r.Context...)
		return check{
			subject: r.Clients, source: r.Source, root: radiussec.RuleSecretMissing,
			run: func(context.Context) (connsec.Report, error) { return inventory.Validate(), nil },
		}, nil
	case r.Host == "":
		return check{}, errors.New("give host, or clients")
	}
	server := radiussec.Server{Host: r.Host, Port: r.Port, Connect: r.Connect}
	if r.SecretFile != "" {
		var err error
		if server.Secret, err = ReadSecret(d.path(r.SecretFile)); err != nil {
			return check{}, err
		}
	}
	c := radiussec.Config{
		Servers: []radiussec.Server{server}, Transport: r.Transport, Method: r.Method, Context: r.Context,
		Roots: env.roots, Known: env.known, CRLs: env.crls, AsOf: env.asOf, Dialer: env.Dialer, Resolver: env.Resolver, Now: env.Now,
	}
	return check{subject: c.Validate().Target, source: r.Source, root: radiussec.RuleSecretWrong, validate: c.Validate, run: c.Probe}, nil
}

// ReadRADIUSClients reads a list of RADIUS clients: an export of NPS if the file is XML, else
// FreeRADIUS's clients.conf with what it includes.
func ReadRADIUSClients(path string) (radiussec.Inventory, error) {
	if !strings.EqualFold(filepath.Ext(path), ".xml") {
		return radiussec.ReadClientsFile(path)
	}
	f, err := os.Open(path)
	if err != nil {
		return radiussec.Inventory{}, fileError(path, err)
	}
	defer f.Close()
	inventory, err := radiussec.ReadNPS(f)
	inventory.Target = path
	return inventory, err
}
