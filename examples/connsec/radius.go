package main

import (
	"context"
	"flag"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/audit"
	"github.com/connsec/connsec/radiussec"
)

func radiusCommand() command {
	return command{
		name: "radius", args: "[HOST[:PORT]]", about: "look at a RADIUS server with a shared secret, or at a server's list of clients with --clients",
		shares: serverFlags | reportFlags,
		setup: func(fs *flag.FlagSet, shared *common) func(context.Context, *call) error {
			transport, method := radiussec.TLS, radiussec.PAP
			fs.TextVar(&transport, "transport", transport, "`HOW` the product reaches it: tls (default) or udp")
			fs.TextVar(&method, "method", method, "`METHOD`: pap (default), chap, ms-chap, ms-chap-v2, eap")
			secretFile := fs.String("secret-file", "", "`FILE` with the shared secret")
			clients := fs.String("clients", "", "clients.conf of FreeRADIUS, or an export of NPS, as `FILE`")
			words := wordsFlag(fs)
			return func(ctx context.Context, c *call) error {
				if *clients != "" {
					if len(c.args) > 0 {
						return usagef("give either a server or --clients")
					}
					inventory, err := audit.ReadRADIUSClients(*clients)
					if err != nil {
						return err
					}
					inventory.Context = append(inventory.Context, *words...)
					return c.finish([]connsec.Report{inventory.Validate()})
				}
				if len(c.args) != 1 {
					return usagef("which server?")
				}
				host, port, err := hostPort(c.args[0])
				if err != nil {
					return err
				}
				server := radiussec.Server{Host: host, Port: port, Connect: shared.connect}
				if *secretFile != "" {
					if server.Secret, err = audit.ReadSecret(*secretFile); err != nil {
						return err
					}
				}
				cfg := radiussec.Config{Servers: []radiussec.Server{server}, Transport: transport, Method: method, Context: *words, AsOf: shared.asOf.Time}
				if cfg.Roots, cfg.Known, cfg.CRLs, err = shared.trust(ctx); err != nil {
					return err
				}
				return c.probe(ctx, []target{{cfg.Validate().Target, radiussec.RuleSecretWrong, cfg.Validate, cfg.Probe}})
			}
		},
	}
}
