package main

import (
	"bufio"
	"context"
	"flag"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/tlscheck"
)

func nameCommand() command {
	return command{
		name: "name", args: "HOST…", about: "judge host names as they stand in settings (- reads them from standard input)",
		setup: func(*flag.FlagSet, *common) func(context.Context, *call) error {
			return func(_ context.Context, c *call) error {
				if len(c.args) == 0 {
					return usagef("which name?")
				}
				var reports []connsec.Report
				for _, arg := range c.args {
					if arg != "-" {
						reports = append(reports, tlscheck.CheckName(arg))
						continue
					}
					lines := bufio.NewScanner(c.in)
					for lines.Scan() {
						if lines.Text() != "" {
							reports = append(reports, tlscheck.CheckName(lines.Text()))
						}
					}
					if err := lines.Err(); err != nil {
						return err
					}
				}
				if len(reports) == 0 {
					return usagef("no name was read from standard input")
				}
				for i := range reports { // judging a name is instant and offline, so it carries no time of its own
					reports[i].At = time.Now()
				}
				return c.finish(reports)
			}
		},
	}
}
