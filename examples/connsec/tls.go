package main

import (
	"context"
	"flag"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/connsec/connsec/tlscheck"
)

func tlsCommand() command {
	return command{
		name: "tls", args: "HOST[:PORT]…", about: "look at a TLS server: version, suites, group, certificate",
		shares: serverFlags | reportFlags,
		setup: func(_ *flag.FlagSet, shared *common) func(context.Context, *call) error {
			return func(ctx context.Context, c *call) error {
				if len(c.args) == 0 {
					return usagef("which host?")
				}
				roots, known, crls, err := shared.trust(ctx)
				if err != nil {
					return err
				}
				var targets []target
				for _, arg := range c.args {
					host, port, err := hostPort(arg)
					if err != nil {
						return err
					}
					e := tlscheck.Endpoint{Host: host, Port: port, Connect: shared.connect, Roots: roots, Known: known, CRLs: crls, AsOf: shared.asOf.Time}
					targets = append(targets, target{arg, tlscheck.RuleHandshakeFailed, e.Validate, e.Probe})
				}
				return c.probe(ctx, targets)
			}
		},
	}
}

func httpCommand() command {
	return command{
		name: "http", args: "URL…", about: "look at a web server: an http port that should be closed, an https port",
		shares: serverFlags | reportFlags,
		setup: func(_ *flag.FlagSet, shared *common) func(context.Context, *call) error {
			return func(ctx context.Context, c *call) error {
				if len(c.args) == 0 {
					return usagef("which URL?")
				}
				roots, known, crls, err := shared.trust(ctx)
				if err != nil {
					return err
				}
				var targets []target
				for _, arg := range c.args {
					u, err := url.Parse(arg)
					if err != nil || u.Host == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
						return usagef("want a URL such as http://central.corp.example:8083/, without user and password")
					}
					host, port, err := hostPort(u.Host)
					if err != nil {
						return err
					}
					if u.Scheme == "http" {
						p := tlscheck.PlainHTTP{Host: host, Port: port, Path: u.Path, Connect: shared.connect}
						targets = append(targets, target{"http://" + u.Host, tlscheck.RuleCleartextServed, p.Validate, p.Probe})
						continue
					}
					h := tlscheck.HTTPS{Path: u.Path, Endpoint: tlscheck.Endpoint{
						Host: host, Port: port, Connect: shared.connect, Roots: roots, Known: known, CRLs: crls, AsOf: shared.asOf.Time}}
					targets = append(targets, target{u.Host, tlscheck.RuleHandshakeFailed, h.Validate, h.Probe})
				}
				return c.probe(ctx, targets)
			}
		},
	}
}

// hostPort splits HOST[:PORT]; the port is 0 if none is given.
func hostPort(s string) (string, uint16, error) {
	if strings.Contains(s, "://") {
		return "", 0, usagef("%q is a URL; give HOST[:PORT], or use connsec http", s)
	}
	if _, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil || !strings.Contains(s, ":") {
		return strings.Trim(s, "[]"), 0, nil
	}
	host, p, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, usagef("%q is not HOST[:PORT]", s)
	}
	port, err := strconv.ParseUint(p, 10, 16)
	if err != nil || port == 0 {
		return "", 0, usagef("%q has no port between 1 and 65535", s)
	}
	return host, uint16(port), nil
}
