package main

import (
	"context"
	"flag"
	"strings"

	"github.com/connsec/connsec/smtpsec"
	"github.com/connsec/connsec/tlscheck"
)

func smtpCommand() command {
	return command{
		name: "smtp", args: "HOST[:PORT]|URL…", about: "look at a mail server: smtps://mail.corp.example, or a host with --starttls",
		shares: serverFlags | reportFlags,
		setup: func(fs *flag.FlagSet, shared *common) func(context.Context, *call) error {
			starttls := fs.Bool("starttls", false, "the product uses STARTTLS, port 587")
			mx := fs.String("mx", "", "it receives mail from the Internet for `DOMAIN`: look at MTA-STS, DANE, TLS-RPT")
			dns := fs.String("dns", "", "with --mx: ask the resolver at `ADDR[:PORT]`")
			trusted := fs.Bool("dns-trusted", false, "that resolver validates DNSSEC, and the way to it is safe")
			var other uint16
			fs.Var(port{&other}, "other-port", "`PORT` of the other kind (default 587, or 465)")
			return func(ctx context.Context, c *call) error {
				switch {
				case len(c.args) == 0:
					return usagef("which server?")
				case *mx == "" && (*dns != "" || *trusted):
					return usagef("--dns and --dns-trusted are for --mx DOMAIN, whose records are looked up")
				}
				roots, known, crls, err := shared.trust(ctx)
				if err != nil {
					return err
				}
				var targets []target
				for _, arg := range c.args {
					var cfg smtpsec.Config
					if strings.Contains(arg, "://") {
						if cfg, err = smtpsec.ParseURL(arg); err != nil {
							return err
						}
					} else if cfg.Host, cfg.Port, err = hostPort(arg); err != nil {
						return err
					}
					if *starttls {
						cfg.Mode = smtpsec.StartTLS
					}
					cfg.MX, cfg.OtherPort = *mx != "", other
					if cfg.MX {
						cfg.Domain, cfg.DNS = *mx, smtpsec.DNS{Server: *dns, Trusted: *trusted}
					}
					cfg.Roots, cfg.Known, cfg.CRLs, cfg.AsOf, cfg.Connect = roots, known, crls, shared.asOf.Time, shared.connect
					targets = append(targets, target{cfg.Validate().Target, tlscheck.RuleHandshakeFailed, cfg.Validate, cfg.Probe})
				}
				return c.probe(ctx, targets)
			}
		},
	}
}
