package audit

import (
	"errors"
	"net"
	"strconv"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/tlscheck"
)

// HTTPS is an item of the section https: a web server that must speak TLS and nothing else.
type HTTPS struct {
	Host    string `yaml:"host"`    // as in clients' settings
	Port    uint16 `yaml:"port"`    // default 443
	Path    string `yaml:"path"`    // what to ask for; default /
	Connect string `yaml:"connect"` // ADDR[:PORT]: dial there, verify host

	Source connsec.Position `yaml:"-"` // where the item stands
}

func (h HTTPS) check(_ *Deployment, env *environment) (check, error) {
	if h.Host == "" {
		return check{}, errNoHost
	}
	probe := tlscheck.HTTPS{Path: h.Path, Endpoint: tlscheck.Endpoint{
		Host: h.Host, Port: h.Port, Connect: h.Connect,
		Roots: env.roots, Known: env.known, CRLs: env.crls, AsOf: env.asOf, Dialer: env.Dialer, Resolver: env.Resolver, Now: env.Now,
	}}
	return check{subject: hostPort(h.Host, h.Port, 443), source: h.Source, root: tlscheck.RuleHandshakeFailed, validate: probe.Validate, run: probe.Probe}, nil
}

// HTTP is an item of the section http: a port that should not answer without TLS.
type HTTP struct {
	Host    string `yaml:"host"`    // as in clients' settings
	Port    uint16 `yaml:"port"`    // default 80
	Path    string `yaml:"path"`    // default /
	Connect string `yaml:"connect"` // ADDR[:PORT]: dial there, ask for host

	Source connsec.Position `yaml:"-"` // where the item stands
}

func (h HTTP) check(_ *Deployment, env *environment) (check, error) {
	if h.Host == "" {
		return check{}, errNoHost
	}
	probe := tlscheck.PlainHTTP{Host: h.Host, Port: h.Port, Path: h.Path, Connect: h.Connect, Dialer: env.Dialer, Resolver: env.Resolver, Now: env.Now}
	return check{subject: "http://" + hostPort(h.Host, h.Port, 80), source: h.Source, root: tlscheck.RuleCleartextServed, validate: probe.Validate, run: probe.Probe}, nil
}

var errNoHost = errors.New("host is missing")

func hostPort(host string, port, standard uint16) string {
	if port == 0 {
		port = standard
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}
