package main

import (
	"context"
	"flag"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/audit"
)

func auditCommand() command {
	return command{
		name: "audit", args: "FILE…", about: "look at everything that a deployment file names",
		shares: reportFlags | flagCA | flagCRL | flagAsOf,
		setup: func(fs *flag.FlagSet, shared *common) func(context.Context, *call) error {
			parallel := fs.Int("parallel", 0, "look at `N` endpoints at a time (default 128)")
			return func(ctx context.Context, c *call) error {
				if len(c.args) == 0 {
					return usagef("which deployment file?")
				}
				var reports []connsec.Report
				for _, file := range c.args {
					d, err := audit.Load(file)
					if err != nil {
						return err
					}
					if len(shared.ca) > 0 {
						if d.CA, err = absolute(shared.ca); err != nil {
							return err
						}
					}
					if len(shared.crl) > 0 {
						if d.CRL, err = absolute(shared.crl); err != nil {
							return err
						}
					}
					p := c.progress()
					result, err := d.Run(ctx, audit.Options{Parallel: *parallel, AsOf: shared.asOf.Time, Progress: p.step})
					p.clear()
					if err != nil {
						return err
					}
					for _, w := range result.UnusedWaivers {
						c.note("%s: the waiver for %s covers nothing", file, w.Rule)
					}
					reports = append(reports, result.Report)
				}
				return c.finish(reports)
			}
		},
	}
}
