package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/sqlsec"
)

func sqlCommand() command {
	return command{
		name: "sql", args: "HOST|DSN|-", about: "look at a SQL Server, and at the connection string that clients use (- reads it from standard input)",
		setup: func(fs *flag.FlagSet, shared *common) func(context.Context, *call) error {
			var driver sqlsec.Driver
			fs.TextVar(&driver, "driver", driver, "`DRIVER` whose defaults apply: "+driverNames())
			file := fs.String("dsn-file", "", "read the connection string from `FILE`")
			harden := fs.Bool("harden", false, "show the smallest change of the string that makes it safe")
			offline := fs.Bool("offline", false, "judge the string only")
			return func(ctx context.Context, c *call) error {
				cfg, err := sqlConfig(c, *file, driver)
				if err != nil {
					return err
				}
				if *harden {
					h, err := cfg.Harden()
					if err != nil {
						return err
					}
					if !h.Changed() {
						fmt.Fprintln(c.out, "nothing to change")
						return nil
					}
					fmt.Fprint(c.out, h.Diff())
					return nil
				}
				cfg.Roots, cfg.Known, _, err = shared.trust(ctx)
				if err != nil {
					return err
				}
				cfg.Connect, cfg.AsOf = shared.connect, shared.asOf.Time
				if *offline {
					return c.finish([]connsec.Report{cfg.Validate()})
				}
				return c.probe(ctx, []target{{cfg.Subject(), sqlsec.RuleEncryptionNotForced, cfg.Validate, cfg.Probe}})
			}
		},
	}
}

func driverNames() string {
	var names []string
	for _, d := range sqlsec.Drivers() {
		names = append(names, d.String())
	}
	return strings.Join(names, ", ")
}

// sqlConfig takes the setting from the argument, a file or standard input. A password in an
// argument is visible to every user of the machine, so there are the other two.
func sqlConfig(c *call, file string, driver sqlsec.Driver) (sqlsec.Config, error) {
	switch {
	case file != "" && len(c.args) == 0:
		data, err := os.ReadFile(file)
		if err != nil {
			return sqlsec.Config{}, err
		}
		cfg, err := sqlsec.ParseDSN(strings.TrimRight(string(data), "\r\n"), driver)
		cfg.Source.File = file
		return cfg, err
	case file != "" || len(c.args) != 1:
		return sqlsec.Config{}, usagef("give one host, one connection string, - or --dsn-file")
	}
	arg := c.args[0]
	if arg == "-" {
		const most = 64 << 10
		data, err := io.ReadAll(io.LimitReader(c.in, most))
		if err != nil {
			return sqlsec.Config{}, err
		}
		return sqlsec.ParseDSN(strings.TrimRight(string(data), "\r\n"), driver)
	}
	if strings.Contains(arg, "=") || strings.Contains(arg, "://") {
		return sqlsec.ParseDSN(arg, driver)
	}
	host, instance, _ := strings.Cut(arg, `\`)
	name, port, err := hostPort(host)
	return sqlsec.Config{Host: name, Instance: instance, Port: port}, err
}
