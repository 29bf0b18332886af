package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/audit"
	"github.com/connsec/connsec/sqlsec"
)

func sqlCommand() command {
	return command{
		name: "sql", args: "HOST|DSN|-", about: "look at a SQL Server, and at the connection string that clients use (- reads it from standard input); sql plan writes how to force encryption",
		shares: serverFlags | reportFlags,
		sub:    []command{sqlPlan()},
		setup: func(fs *flag.FlagSet, shared *common) func(context.Context, *call) error {
			var driver sqlsec.Driver
			fs.TextVar(&driver, "driver", driver, "`DRIVER` whose defaults apply: "+driverNames())
			file := fs.String("dsn-file", "", "read the connection string from `FILE`")
			harden := fs.Bool("harden", false, "show the smallest change of the string that makes it safe")
			offline := fs.Bool("offline", false, "judge the string only")
			inspect := fs.Bool("inspect", false, "log in, over verified encryption, and ask the server how its clients are connected and what its settings say")
			return func(ctx context.Context, c *call) error {
				cfg, err := sqlConfig(c, *file, driver)
				if err != nil {
					return err
				}
				if *inspect && (*offline || *harden) {
					return usagef("--inspect asks the server, which --offline and --harden do not")
				}
				if *inspect && cfg.User == "" {
					return usagef("--inspect needs a connection string with a SQL Server login")
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
				cfg.Roots, cfg.Known, cfg.CRLs, err = shared.trust(ctx)
				if err != nil {
					return err
				}
				cfg.Connect, cfg.AsOf = shared.connect, shared.asOf.Time
				if *offline {
					return c.finish([]connsec.Report{cfg.Validate()})
				}
				probe := cfg.Probe
				if *inspect {
					probe = func(ctx context.Context) (connsec.Report, error) { return inspectSQL(ctx, cfg) }
				}
				return c.probe(ctx, []target{{cfg.Subject(), sqlsec.RuleEncryptionNotForced, cfg.Validate, probe}})
			}
		},
	}
}

// inspectSQL looks from outside, and then asks the server itself. What it says is not worth less
// for the login having failed: that is one finding more.
func inspectSQL(ctx context.Context, cfg sqlsec.Config) (connsec.Report, error) {
	r, err := cfg.Probe(ctx)
	if err != nil {
		return connsec.Report{}, err
	}
	inside, err := askSQL(ctx, cfg)
	if err != nil {
		root := sqlsec.RuleSessionUnencrypted
		inside.Findings = []connsec.Finding{{
			Rule: root, Severity: root.Severity, Outcome: connsec.Inconclusive, Subject: cfg.Subject(), Detail: "the server could not be asked: " + oneLine(err),
		}}
	}
	r.Findings = append(r.Findings, inside.Findings...)
	return r, nil
}

func askSQL(ctx context.Context, cfg sqlsec.Config) (connsec.Report, error) {
	db, err := cfg.Open(ctx)
	if err != nil {
		return connsec.Report{}, err
	}
	defer func() { _ = db.Close() }()
	o, err := sqlsec.Inspect(ctx, db)
	if err != nil {
		return connsec.Report{}, err
	}
	return o.Judge(), nil
}

func sqlPlan() command {
	return command{
		name: "sql plan", args: "HOST", about: "write the script that forces encryption on the SQL Server of that DNS name, with check, apply and undo; nothing is run",
		setup: func(fs *flag.FlagSet, _ *common) func(context.Context, *call) error {
			var p sqlsec.ForceEncryptionPlan
			system := fs.String("for", "windows", "`SYSTEM` that the server runs on: windows (default; a PowerShell script) or linux (a shell script)")
			fs.StringVar(&p.Thumbprint, "thumbprint", "", "windows: SHA-1 thumbprint of the certificate in LocalMachine\\My, as `HEX`")
			fs.StringVar(&p.Instance, "instance", "", "windows: `NAME` of the instance (default MSSQLSERVER)")
			fs.BoolVar(&p.Strict, "strict", false, "windows: force TDS 8.0, which locks out every client that does not ask for it (SQL Server 2022 and later)")
			fs.StringVar(&p.CertificateFile, "certificate", "", "linux: PEM `FILE` on the server with the certificate and its chain")
			fs.StringVar(&p.KeyFile, "key", "", "linux: PEM `FILE` on the server with the private key")
			return func(_ context.Context, c *call) error {
				if len(c.args) != 1 {
					return usagef("which server? give the DNS name that clients use")
				}
				p.Host = c.args[0]
				switch *system {
				case "windows":
					if p.CertificateFile != "" || p.KeyFile != "" {
						return usagef("--certificate and --key are for linux; windows takes --thumbprint")
					}
				case "linux":
					p.Platform = sqlsec.Linux
					if p.Thumbprint != "" || p.Instance != "" {
						return usagef("--thumbprint and --instance are for windows; linux takes --certificate and --key")
					}
				default:
					return usagef("--for is windows or linux")
				}
				script, err := p.Script()
				if err != nil {
					return usagef("%s", oneLine(err))
				}
				_, err = io.WriteString(c.out, script)
				return err
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
		text, err := audit.ReadSecret(file)
		if err != nil {
			return sqlsec.Config{}, err
		}
		cfg, err := sqlsec.ParseDSN(text.Reveal(), driver)
		if err != nil {
			return cfg, fmt.Errorf("%s: %w", file, unprefixed{err})
		}
		cfg.Source.File = file
		return cfg, nil
	case file != "" || len(c.args) != 1:
		return sqlsec.Config{}, usagef("give one host, one connection string, - or --dsn-file")
	}
	arg := c.args[0]
	if arg == "-" {
		text, err := typedIn(c.in)
		if err != nil {
			return sqlsec.Config{}, err
		}
		return sqlsec.ParseDSN(text.Reveal(), driver)
	}
	if strings.Contains(arg, "=") || strings.Contains(arg, "://") {
		return sqlsec.ParseDSN(arg, driver)
	}
	host, instance, _ := strings.Cut(arg, `\`)
	name, port, err := hostPort(host)
	return sqlsec.Config{Host: name, Instance: instance, Port: port, ServerOnly: true}, err
}
