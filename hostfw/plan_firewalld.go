package hostfw

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// zoneEnd keeps a policy from the names of zones that are there: "public", "work".
const zoneEnd = "-in"

// mostZone is how long firewalld lets the name of a zone be.
const mostZone = 17 - len(zoneEnd)

// firewalld is a zone of the policy's own that becomes the default one.
func (d draft) firewalld() (Plan, error) {
	if len(d.id) > mostZone {
		return Plan{}, fmt.Errorf("hostfw: the policy's name has more than %d characters, which is too long for a zone of firewalld", mostZone)
	}
	d.id += zoneEnd
	before := "/var/lib/" + d.id + "-zone-before"
	zone := "firewall-cmd --permanent --zone=" + d.id + " "
	commands := []string{
		"firewall-cmd --permanent --delete-zone=" + d.id + " >/dev/null 2>&1 || true",
		"firewall-cmd --permanent --new-zone=" + d.id,
	}
	for _, o := range d.opens {
		port := strconv.Itoa(int(o.port))
		if o.everyone {
			commands = append(commands, zone+"--add-port="+port+"/"+o.protocol.String())
			continue
		}
		for _, source := range slices.Concat(o.v4, o.v6) {
			family := "ipv6"
			if source.Addr().Is4() {
				family = "ipv4"
			}
			commands = append(commands, fmt.Sprintf(`%s--add-rich-rule='rule family="%s" source address="%s" port port="%s" protocol="%s" accept'`, zone, family, source, port, o.protocol))
		}
	}
	return Plan{
		Assumes: []string{
			"The host's interfaces have no zone of their own and no source is bound to one, so that the default zone is theirs: see \"firewall-cmd --get-active-zones\". Nothing is in lockdown, and no policy or direct rule opens ports.",
			"firewalld lets ICMP through, and refuses everything else with an ICMP answer. A host that gets its address by DHCPv6 needs --add-service=dhcpv6-client in the zone too.",
			"The comments of rules have no place in firewalld: the zone's name, " + d.id + ", marks them.",
		},
		Apply: []Step{
			{"Keep the name of the default zone, once.", "[ -s " + before + " ] || firewall-cmd --get-default-zone > " + before},
			{"Describe the zone; nothing is in force yet.", strings.Join(commands, "\n")},
			{"Let firewalld check its configuration.", "firewall-cmd --check-config"},
			{"If you are not at the console, let the host go back after ten minutes. Once a new session has worked: systemctl stop " + d.id + "-zone-undo.timer",
				"# systemd-run --unit=" + d.id + "-zone-undo --on-active=10min firewall-cmd --set-default-zone=\"$(cat " + before + ")\""},
			{"Put it in force.", "firewall-cmd --reload\nfirewall-cmd --set-default-zone=" + d.id},
		},
		Undo: []Step{
			{"Back to the zone before. Without its name there is nothing to undo.",
				"if [ -s " + before + " ]; then\n\tfirewall-cmd --set-default-zone=\"$(cat " + before + ")\"\n" +
					"\tfirewall-cmd --permanent --delete-zone=" + d.id + "\n\tfirewall-cmd --reload\n\trm " + before + "\nfi"},
		},
		Check: []Step{
			{"What is in force, and for which interfaces.", "firewall-cmd --zone=" + d.id + " --list-all\nfirewall-cmd --get-active-zones"},
			{"The whole rule set, for connsec firewall check.", "nft -j list ruleset > ruleset.json"},
		},
	}, nil
}
