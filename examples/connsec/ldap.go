package main

import (
	"context"
	"flag"

	"github.com/connsec/connsec/ldapsec"
	"github.com/connsec/connsec/tlscheck"
)

func ldapCommand() command {
	return command{
		name: "ldap", args: "[URL…]", about: "look at a directory: ldaps://dc1.corp.example, or --domain corp.example for every domain controller",
		shares: serverFlags | reportFlags,
		setup: func(fs *flag.FlagSet, shared *common) func(context.Context, *call) error {
			domain := fs.String("domain", "", "look at every domain controller of `DOMAIN`, found by DNS")
			server := fs.String("server", "", "the server as `HOST`, with --security as a settings page has it")
			security := fs.String("security", "SSL", "`MODE` of --server: None, SSL (default), TLS or START TLS")
			catalog := fs.Bool("global-catalog", false, "look at port 3269, too")
			var other uint16
			fs.Var(port{&other}, "other-port", "`PORT` of the other kind (default 389, or 636)")
			return func(ctx context.Context, c *call) error {
				var configs []ldapsec.Config
				for _, arg := range c.args {
					cfg, err := ldapsec.ParseURL(arg)
					if err != nil {
						return err
					}
					configs = append(configs, cfg)
				}
				if *server != "" {
					cfg, err := ldapsec.ParseForm(*server, *security, "", 0)
					if err != nil {
						return err
					}
					configs = append(configs, cfg)
				}
				if *domain != "" {
					configs = append(configs, ldapsec.Config{Domain: *domain})
				}
				if len(configs) == 0 {
					return usagef("which server? give ldaps://HOST, --server or --domain")
				}
				roots, known, crls, err := shared.trust(ctx)
				if err != nil {
					return err
				}
				var targets []target
				for _, cfg := range configs {
					cfg.Roots, cfg.Known, cfg.CRLs, cfg.AsOf, cfg.Connect = roots, known, crls, shared.asOf.Time, shared.connect
					cfg.AccountUnknown = true
					cfg.GlobalCatalog, cfg.OtherPort = *catalog, other
					targets = append(targets, target{cfg.Validate().Target, tlscheck.RuleHandshakeFailed, cfg.Validate, cfg.Probe})
				}
				return c.probe(ctx, targets)
			}
		},
	}
}
