package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/audit"
	"github.com/connsec/connsec/hostfw"
)

func firewallCommand() command {
	return command{
		name: "firewall", about: "host firewalls that let only HTTPS in: plan rules, export and check those of a host, look from outside",
		sub: []command{firewallPlan(), firewallExport(), firewallCheck(), firewallProbe()},
	}
}

// policyFlags declares what a host is meant to let in.
func policyFlags(fs *flag.FlagSet) *hostfw.Policy {
	var p hostfw.Policy
	fs.Var(portList{&p.HTTPS}, "https", "`PORT` of HTTPS, which everyone may reach (default 443); repeatable, or a list with commas")
	fs.Var(portList{&p.HTTP}, "http", "`PORT` of pages without TLS, which nobody may reach (default 80, 8080, 8083 and others); repeatable")
	fs.Func("service", "further port with its clients, as `NAME=…`: NAME=PORT@SOURCE,… or NAME=PORT/udp@SOURCE,… such as SSH=22@10.0.0.0/24; repeatable", func(s string) error {
		service, err := audit.ParseService(s)
		if err == nil {
			p.Services = append(p.Services, service)
		}
		return err
	})
	return &p
}

// portList is a flag with ports.
type portList struct{ to *[]uint16 }

func (l portList) String() string { return "" }

func (l portList) Set(s string) error {
	for _, part := range strings.Split(s, ",") {
		var r hostfw.PortRange
		if err := r.UnmarshalText([]byte(strings.TrimSpace(part))); err != nil {
			return fmt.Errorf("want ports such as 443 or 8000-8099")
		}
		for p := int(r.First); p <= int(r.Last); p++ {
			*l.to = append(*l.to, uint16(p))
		}
	}
	return nil
}

func firewallPlan() command {
	return command{
		name: "firewall plan", args: "", about: "write the rules for a host that lets only HTTPS and the given services in, and the way back; nothing is run",
		setup: func(fs *flag.FlagSet, _ *common) func(context.Context, *call) error {
			policy := policyFlags(fs)
			fs.StringVar(&policy.Name, "name", "", "`NAME` in front of the names of rules (default connsec)")
			target := hostfw.PowerShell
			fs.TextVar(&target, "for", target, "firewall that the plan is for: `KIND` powershell (default), netsh, nftables, ufw, firewalld")
			return func(_ context.Context, c *call) error {
				if len(c.args) > 0 {
					return usagef("firewall plan takes no arguments")
				}
				for _, f := range policy.Validate().Failed(connsec.Info) {
					c.note("%s (%s): %s", f.Rule.ID, f.Severity, f.Detail)
				}
				plan, err := policy.Plan(target)
				if err != nil {
					return err
				}
				fmt.Fprintln(c.out, plan.Text())
				return nil
			}
		},
	}
}

// exports are the commands that write what firewall check reads.
var exports = map[string]string{
	"windows":  hostfw.WindowsExport,
	"netsh":    "(netsh advfirewall show allprofiles & netsh advfirewall firewall show rule name=all verbose) > firewall.txt",
	"nftables": "nft -j list ruleset > firewall.json",
	"iptables": "iptables-save > firewall.v4; ip6tables-save > firewall.v6\n" +
		"# Give both files to firewall check, and more of them if there are: where iptables-save warns of\n" +
		"# legacy tables, iptables-legacy-save > legacy.v4; ip6tables-legacy-save > legacy.v6; and where nft\n" +
		"# has tables of its own, nft -j list ruleset > firewall.json",
}

func firewallExport() command {
	return command{
		name: "firewall export", args: "KIND", about: "the command that exports a host's rules for firewall check; KIND is windows, netsh, nftables or iptables",
		setup: func(*flag.FlagSet, *common) func(context.Context, *call) error {
			return func(_ context.Context, c *call) error {
				if len(c.args) != 1 || exports[c.args[0]] == "" {
					return usagef("which kind? one of windows, netsh, nftables, iptables")
				}
				fmt.Fprintln(c.out, exports[c.args[0]])
				return nil
			}
		},
	}
}

func firewallCheck() command {
	return command{
		name: "firewall check", args: "FILE…", about: "evaluate the exported rules of one host and judge what gets in; two files of iptables (IPv4 and IPv6) belong together",
		shares: reportFlags,
		setup: func(fs *flag.FlagSet, _ *common) func(context.Context, *call) error {
			policy := policyFlags(fs)
			facts := fs.Bool("facts", false, "write what gets in, as JSON, and judge nothing")
			return func(_ context.Context, c *call) error {
				if len(c.args) == 0 {
					return usagef("which file? connsec firewall export KIND says how to make one")
				}
				rules, err := audit.ReadFirewall(c.args...)
				if err != nil {
					return err
				}
				evaluation := rules.Evaluate()
				if *facts {
					enc := json.NewEncoder(c.out)
					enc.SetIndent("", "  ")
					enc.SetEscapeHTML(false)
					return enc.Encode(evaluation)
				}
				report := policy.Judge(evaluation)
				report.At = time.Now()
				return c.finish([]connsec.Report{report})
			}
		},
	}
}

func firewallProbe() command {
	return command{
		name: "firewall probe", args: "HOST", about: "connect to a host's TCP ports from here, and compare with its exported rules if they are given",
		shares: flagConnect | reportFlags,
		setup: func(fs *flag.FlagSet, shared *common) func(context.Context, *call) error {
			policy := policyFlags(fs)
			var ports []uint16
			fs.Var(portList{&ports}, "ports", "`PORTS` to ask, with commas and ranges (default: those of the policy and common services)")
			var rules fileList
			fs.Var(&rules, "rules", "exported rules of the host, as `FILE`; repeatable")
			var from addressFlag
			fs.TextVar(&from, "from", from, "`ADDRESS` that the host sees connections come from, if it is not this machine's own")
			profile := fs.String("profile", "", "`NAME` of the profile of Windows that is in force there (default Domain)")
			iface := fs.String("interface", "", "`NAME` of the host's interface that connections come in by")
			var per time.Duration
			fs.Var(span{&per}, "per-port", "`TIME` for one port (default 3s)")
			return func(ctx context.Context, c *call) error {
				if len(c.args) != 1 {
					return usagef("which host?")
				}
				if len(ports) == 0 {
					ports = commonPorts(*policy)
				}
				prober := hostfw.Prober{Timeout: per}
				if shared.connect != "" {
					address, err := netip.ParseAddr(strings.Trim(shared.connect, "[]"))
					if err != nil {
						return usagef("--connect takes an address alone here: the ports are those that are asked")
					}
					prober.Resolve = func(context.Context, string) ([]netip.Addr, error) { return []netip.Addr{address}, nil }
				}
				seen := hostfw.Packet{Source: from.Addr, Profile: *profile, Interface: *iface}
				var set hostfw.Ruleset
				if len(rules) > 0 {
					var err error
					if set, err = audit.ReadFirewall(rules...); err != nil {
						return err
					}
					if strings.HasPrefix(set.Kind, "windows") && seen.Profile == "" {
						seen.Profile = "Domain"
					}
				}
				o, err := prober.Probe(ctx, c.args[0], ports)
				if err != nil {
					return unreached{err}
				}
				if len(rules) > 0 {
					differences, err := set.Compare(o, seen)
					if err != nil {
						return usagef("%s; give --from", oneLine(err))
					}
					for _, d := range differences {
						word := "differs"
						if d.Contradicts {
							word = "contradicts the rules"
						}
						c.note("port %d %s: predicted %s, seen %s. %s", d.Port, word, d.Predicted, d.Seen, d.Explanation)
					}
					if len(differences) == 0 {
						c.note("all %d ports are as the rules say", len(o.Ports))
					}
				}
				return c.finish([]connsec.Report{o.Report(*policy, from.Addr)})
			}
		},
	}
}

// addressFlag is a flag with an address.
type addressFlag struct{ netip.Addr }

// commonPorts are asked if none are named: those of the policy, and those that attackers ask first.
func commonPorts(p hostfw.Policy) []uint16 {
	ports := []uint16{21, 22, 23, 25, 80, 110, 111, 135, 139, 143, 389, 443, 445, 465, 587, 636, 993, 1433, 1521, 2375, 3306, 3389, 5432, 5900, 5985, 5986,
		6379, 8000, 8008, 8080, 8081, 8083, 8088, 8090, 8093, 8443, 8888, 9100, 9200, 10000, 27017}
	ports = slices.Concat(ports, p.HTTPS, p.HTTP)
	for _, s := range p.Services {
		if s.Protocol == hostfw.TCP {
			ports = append(ports, s.Port)
		}
	}
	return ports
}
