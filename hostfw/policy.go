package hostfw

import (
	"net/netip"
	"slices"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/setting"
)

// Policy is what a host is meant to let in. The zero value is HTTPS on port 443 from everywhere,
// and nothing else.
type Policy struct {
	// HTTPS are the TCP ports that everyone may reach. Default 443. Products have their own: look at
	// the settings of a MyQ Central Server, where 8093 is common.
	HTTPS []uint16 `json:"https,omitempty"`
	// HTTP are the TCP ports of web pages without TLS, which nobody may reach. Default: 80, 8000,
	// 8008, 8080 (MyQ Print Server), 8081, 8083 (common for MyQ Central Server, whose public
	// documentation names none), 8088, 8888; those of HTTPS are none.
	HTTP []uint16 `json:"http,omitempty"`
	// Services are further ports, each with those who may reach it: management (RDP, SSH,
	// WinRM), monitoring, a database.
	Services []Service `json:"services,omitempty"`
	// Name is the prefix of the names of planned rules. Default "connsec".
	Name string `json:"name,omitempty"`
}

// Service is a port with its clients.
type Service struct {
	Name     string         `json:"name"`
	Protocol Protocol       `json:"protocol"`
	Port     uint16         `json:"port"`
	Sources  []netip.Prefix `json:"sources"`
}

// management are the TCP ports that administer a host, or give away what it holds.
var management = map[uint16]string{
	22: "SSH", 23: "Telnet", 135: "Windows RPC", 139: "NetBIOS", 445: "SMB", 1433: "SQL Server", 2375: "Docker", 3306: "MySQL", 3389: "RDP",
	5432: "PostgreSQL", 5900: "VNC", 5985: "WinRM", 5986: "WinRM", 6379: "Redis", 8172: "Web Deploy", 9389: "Active Directory Web Services",
	10000: "Webmin", 27017: "MongoDB",
}

func (p Policy) https() []uint16 {
	if len(p.HTTPS) == 0 {
		return []uint16{443}
	}
	return p.HTTPS
}

// http are the ports of pages without TLS that are not meant for something else.
func (p Policy) http() []uint16 {
	ports := p.HTTP
	if len(ports) == 0 {
		ports = []uint16{80, 8000, 8008, 8080, 8081, 8083, 8088, 8888}
	}
	return slices.DeleteFunc(slices.Clone(ports), func(port uint16) bool {
		return slices.Contains(p.https(), port) && len(p.HTTP) == 0
	})
}

// allowed is who may reach a port.
func (p Policy) allowed(protocol Protocol, port uint16, v4 bool) []span {
	if protocol == TCP && slices.Contains(p.https(), port) {
		return everything(v4)
	}
	var sources []netip.Prefix
	for _, s := range p.Services {
		if s.Protocol == protocol && s.Port == port {
			for _, source := range s.Sources {
				if source.IsValid() {
					sources = append(sources, plain(source))
				}
			}
		}
	}
	return addrSpans(addressesOf(sources...), v4)
}

// plain is a prefix as packets have it: IPv4 that is written as IPv6 (::ffff:10.0.0.0/104) is IPv4,
// and no interface belongs to it.
func plain(p netip.Prefix) netip.Prefix {
	a, bits := p.Addr(), p.Bits()
	if a.Is4In6() && bits >= 96 {
		a, bits = a.Unmap(), bits-96
	}
	return netip.PrefixFrom(a.WithZone(""), bits).Masked()
}

// Validate judges the policy itself, offline: a host can be no better than what it is meant to be.
func (p Policy) Validate() connsec.Report {
	const subject = "policy"
	out := connsec.Report{Target: subject}
	add := func(r *connsec.Rule, v connsec.Verdict) {
		out.Findings = append(out.Findings, finding(r, subject, v))
	}
	clear := true
	for _, s := range p.Services {
		what, isManagement := management[s.Port]
		var sources []netip.Prefix
		for _, source := range s.Sources {
			if source.IsValid() {
				sources = append(sources, plain(source))
			}
		}
		set := addressesOf(sources...)
		if isManagement && s.Protocol == TCP && (wide(addrSpans(set, true), true) || wide(addrSpans(set, false), false)) {
			clear = false
			add(RuleManagementOpen, connsec.Failed("the service %q means port %d (%s) to be open to everyone", setting.OneLine(s.Name), s.Port, what))
		}
	}
	if clear {
		add(RuleManagementOpen, connsec.Passed("no service for administration is meant for everyone"))
	}
	clear = true
	for _, port := range p.http() {
		meant := slices.Contains(p.https(), port)
		for _, s := range p.Services {
			meant = meant || s.Protocol == TCP && s.Port == port
		}
		if meant {
			clear = false
			add(RuleHTTPOpen, connsec.Failed("port %d, which serves pages without TLS, is meant to be open", port))
		}
	}
	if clear {
		add(RuleHTTPOpen, connsec.Passed("no port that serves pages without TLS is meant to be open"))
	}
	return out
}

func finding(r *connsec.Rule, subject string, v connsec.Verdict) connsec.Finding {
	f := connsec.Run(subject, struct{}{}, []connsec.Check[struct{}]{{Rule: r, Judge: func(struct{}) connsec.Verdict { return v }}})
	return f[0]
}
