package audit

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/hostfw"
)

// Firewall is an item of the section firewall: the exported rules of one host.
type Firewall struct {
	// Rules are the files, all of one host: one of nftables or Windows, or of iptables for IPv4
	// and for IPv6.
	Rules []string `yaml:"rules"`
	Host  string   `yaml:"host"` // what findings call it; default: the first file

	HTTPS    []uint16 `yaml:"https"`    // ports that everyone may reach; default 443
	HTTP     []uint16 `yaml:"http"`     // ports of pages without TLS; default those of hostfw.Policy
	Services []string `yaml:"services"` // "SSH=22@10.0.0.0/24", "SNMP=161/udp@10.1.2.3"

	Source connsec.Position `yaml:"-"` // where the item stands
}

func (f Firewall) check(d *Deployment, env *environment) (check, error) {
	if len(f.Rules) == 0 {
		return check{}, errors.New("give rules: the exported rules of a host; connsec firewall export says how")
	}
	policy := hostfw.Policy{HTTPS: f.HTTPS, HTTP: f.HTTP}
	for _, text := range f.Services {
		s, err := ParseService(text)
		if err != nil {
			return check{}, err
		}
		policy.Services = append(policy.Services, s)
	}
	paths := make([]string, len(f.Rules))
	for i, name := range f.Rules {
		paths[i] = d.path(name)
	}
	subject := f.Host
	if subject == "" {
		subject = filepath.Base(f.Rules[0])
	}
	return check{
		subject: subject, source: f.Source, root: hostfw.RuleDisabled, validate: policy.Validate,
		run: func(context.Context) (connsec.Report, error) {
			rules, err := ReadFirewall(paths...)
			if err != nil {
				return connsec.Report{}, err
			}
			rules.Target = subject
			report := policy.Check(rules)
			for _, finding := range policy.Validate().Findings {
				if finding.Outcome == connsec.Fail {
					finding.Subject = subject
					report.Findings = append(report.Findings, finding)
				}
			}
			return report, nil
		},
	}, nil
}

// ReadFirewall reads the exported rules of one host from one file or several.
func ReadFirewall(paths ...string) (hostfw.Ruleset, error) {
	const most = 64 << 20
	var parts []hostfw.Ruleset
	for _, path := range paths {
		data, err := readBounded(path, most)
		if err != nil {
			return hostfw.Ruleset{}, err
		}
		part, err := hostfw.Parse(path, data)
		if err != nil {
			return hostfw.Ruleset{}, err
		}
		parts = append(parts, part)
	}
	target := ""
	if len(paths) > 0 {
		target = filepath.Base(paths[0])
	}
	return hostfw.Combine(target, parts...)
}

// ParseService reads a service with its clients: "SSH=22@10.0.0.0/24,10.1.2.3", with "/udp" behind
// a port of UDP. A service without clients is refused; for everyone, write 0.0.0.0/0,::/0.
func ParseService(text string) (hostfw.Service, error) {
	wrong := fmt.Errorf("%q is no service; write NAME=PORT@SOURCE,… such as SSH=22@10.0.0.0/24", clip(text))
	name, rest, ok := strings.Cut(text, "=")
	port, sources, hasSources := strings.Cut(rest, "@")
	if !ok || !hasSources || name == "" {
		return hostfw.Service{}, wrong
	}
	s := hostfw.Service{Name: strings.TrimSpace(name)}
	port, protocol, hasProtocol := strings.Cut(port, "/")
	if hasProtocol && s.Protocol.UnmarshalText([]byte(protocol)) != nil {
		return hostfw.Service{}, wrong
	}
	var r hostfw.PortRange
	if r.UnmarshalText([]byte(port)) != nil || r.First != r.Last || r.First == 0 {
		return hostfw.Service{}, wrong
	}
	s.Port = r.First
	for _, source := range strings.Split(sources, ",") {
		source = strings.TrimSpace(source)
		prefix, err := netip.ParsePrefix(source)
		if err != nil {
			address, errAddress := netip.ParseAddr(source)
			if errAddress != nil || address.Zone() != "" {
				return hostfw.Service{}, wrong
			}
			prefix = netip.PrefixFrom(address, address.BitLen())
		}
		s.Sources = append(s.Sources, prefix.Masked())
	}
	return s, nil
}
