package hostfw

import (
	"fmt"
	"strings"
)

// coreRules are the rules that netsh's plan adds for what IP needs, by the protocol as netsh
// writes it: those of Windows' own group "Core Networking" (RFC 4890, section 4.4).
var coreRules = []struct{ name, match string }{
	{"path MTU v4", "protocol=icmpv4:3,4"},
	{"unreachable v6", "protocol=icmpv6:1,any"},
	{"packet too big v6", "protocol=icmpv6:2,any"},
	{"time exceeded v6", "protocol=icmpv6:3,any"},
	{"parameter problem v6", "protocol=icmpv6:4,any"},
	{"listener query v6", "protocol=icmpv6:130,any"},
	{"router advertisement v6", "protocol=icmpv6:134,any"},
	{"neighbor solicitation v6", "protocol=icmpv6:135,any"},
	{"neighbor advertisement v6", "protocol=icmpv6:136,any"},
	{"DHCP", "protocol=udp localport=68 remoteport=67 program=%SystemRoot%\\system32\\svchost.exe service=dhcp"},
	{"DHCPv6", "protocol=udp localport=546 remoteport=547 program=%SystemRoot%\\system32\\svchost.exe service=dhcp"},
}

// netsh removes all inbound rules, since it can neither choose rules by their action nor switch
// all of them off. Syntax:
// https://learn.microsoft.com/en-us/windows-server/administration/windows-commands/netsh-advfirewall
func (d draft) netsh() (Plan, error) {
	backup := "\"%SystemRoot%\\" + d.id + "-firewall-before.wfw\""
	add := "netsh advfirewall firewall add rule name=\"%s\" dir=in action=allow profile=any %s"
	var rules []string
	for _, o := range d.opens {
		sources, err := o.windowsSources()
		if err != nil {
			return Plan{}, err
		}
		rules = append(rules, fmt.Sprintf(add, o.name, fmt.Sprintf("protocol=%s localport=%d remoteip=%s", o.protocol, o.port, strings.ToLower(strings.Join(sources, ",")))))
	}
	// A mistake must come to light before the old rules are gone.
	rehearsal := strings.Join(rules, " || exit /b 1\n") + " || exit /b 1"
	for _, c := range coreRules {
		rules = append(rules, fmt.Sprintf(add, d.name+" core "+c.name, c.match))
	}
	return Plan{
		Assumes: append([]string{
			"It is run as a file, NAME.cmd, at a command prompt with administrator rights.",
			"All other inbound rules are removed, those that block included. Outbound connections are allowed by default afterwards, which is Windows' own default; their rules stay.",
			"Between removing and adding, for a moment nobody gets in.",
		}, windowsAssumes...),
		Apply: []Step{
			{"Keep what is there, once, and go no further without.", "if not exist " + backup + " netsh advfirewall export " + backup + "\nif not exist " + backup + " exit /b 1"},
			{"If you are not at the console, let the host undo this by itself (set the time). Once a new session has worked: schtasks /delete /tn " + d.id + "-undo /f",
				":: schtasks /create /tn " + d.id + "-undo /ru SYSTEM /sc once /st 23:59 /tr \"netsh advfirewall import %SystemRoot%\\" + d.id + "-firewall-before.wfw\""},
			{"See that netsh takes the policy's rules, while the old ones are still there.", rehearsal},
			{"Remove the inbound rules, and add the policy's and those that IP needs.", "netsh advfirewall firewall delete rule name=all dir=in\n" + strings.Join(rules, "\n")},
			{"Block by default, with the firewall on, on every profile.", "netsh advfirewall set allprofiles firewallpolicy blockinbound,allowoutbound\nnetsh advfirewall set allprofiles state on"},
		},
		Undo: []Step{
			{"Import what was there. Without the file there is nothing to undo.", "if exist " + backup + " netsh advfirewall import " + backup + " && del " + backup},
		},
		Check: []Step{
			{"What is in force, also for connsec firewall check.", "netsh advfirewall show allprofiles > firewall.txt\nnetsh advfirewall firewall show rule name=all dir=in verbose >> firewall.txt"},
		},
	}, nil
}
