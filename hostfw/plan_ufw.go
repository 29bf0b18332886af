package hostfw

import (
	"fmt"
	"slices"
	"strings"
)

// ufw begins with an empty rule set, since rules that are there may open anything. What was
// there is kept in a directory.
func (d draft) ufw() Plan {
	backup := "/var/lib/" + d.id + "-ufw-before"
	var rules []string
	for _, o := range d.opens {
		if o.everyone {
			rules = append(rules, fmt.Sprintf("allow %d/%s comment '%s'", o.port, o.protocol, o.name))
			continue
		}
		for _, source := range slices.Concat(o.v4, o.v6) {
			rules = append(rules, fmt.Sprintf("allow proto %s from %s to any port %d comment '%s'", o.protocol, source, o.port, o.name))
		}
	}
	files := "/etc/ufw/user.rules /etc/ufw/user6.rules /etc/ufw/before.rules /etc/ufw/before6.rules /etc/ufw/after.rules /etc/ufw/after6.rules /etc/ufw/ufw.conf /etc/default/ufw"
	return Plan{
		Assumes: []string{
			"All other rules of ufw go away, changes to before.rules and after.rules included. They are kept in " + backup + ", for undo.",
			"ufw itself lets in ping and what ICMP needs, DHCP answers, and multicast DNS and UPnP discovery to 224.0.0.251, ff02::fb and 239.255.255.250 (/etc/ufw/before.rules).",
			"IPV6=yes in /etc/default/ufw, its default. Nothing else (Docker, for one) writes rules past ufw.",
			"While it is reset the firewall is off for a moment.",
		},
		Apply: []Step{
			{"Keep what is there, once.", "if [ ! -d " + backup + " ]; then\n\trm -rf " + backup + ".new\n\tmkdir -m 700 " + backup + ".new\n\tcp -p " + files + " " + backup + ".new/\n\tmv " + backup + ".new " + backup + "\nfi"},
			{"Let ufw check the rules; nothing is changed yet.", "ufw --dry-run " + strings.Join(rules, " >/dev/null\nufw --dry-run ") + " >/dev/null"},
			{"If you are not at the console, let the host switch the filter off after ten minutes. Once a new session has worked: systemctl stop " + d.id + "-ufw-undo.timer",
				"# systemd-run --unit=" + d.id + "-ufw-undo --on-active=10min ufw disable"},
			{"Begin with nothing, and block by default.", "ufw --force reset\nufw default deny incoming"},
			{"Open what the policy opens.", "ufw " + strings.Join(rules, "\nufw ")},
			{"Switch it on.", "ufw --force enable"},
		},
		Undo: []Step{
			{"Put the kept files back, and the state that they say. Without them there is nothing to undo. The copies that ufw itself made at the reset, /etc/ufw/*.rules.*, stay.",
				"if [ -d " + backup + " ]; then\n\tufw disable\n" +
					"\tcp -p " + backup + "/*.rules " + backup + "/ufw.conf /etc/ufw/\n\tcp -p " + backup + "/ufw /etc/default/ufw\n" +
					"\tif grep -q '^ENABLED=yes' /etc/ufw/ufw.conf; then ufw --force enable; fi\n\trm -r " + backup + "\nfi"},
		},
		Check: []Step{
			{"What is loaded.", "ufw status verbose"},
			{"The whole rule set, for connsec firewall check.", "iptables-save > rules4.txt\nip6tables-save > rules6.txt"},
		},
	}
}
