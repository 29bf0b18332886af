package hostfw

import (
	"fmt"
	"net/netip"
	"strings"
)

// nftables is a table of the policy's own, loaded in one transaction. What other tables drop
// stays dropped, and what they accept does not get past this one.
func (d draft) nftables() Plan {
	table, file := d.id+"-inbound", "/etc/"+d.id+"-inbound.nft"
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# The first two lines make it harmless to load this twice.")
	line("table inet %s", table)
	line("delete table inet %s", table)
	line("table inet %s {", table)
	line("\tchain input {")
	line("\t\ttype filter hook input priority 0; policy drop;")
	line("\t\tct state established,related accept")
	line("\t\tct state invalid drop")
	line("\t\tiifname \"lo\" accept")
	line("\t\t# Path MTU and errors, neighbour discovery (RFC 4890, section 4.4), and ping.")
	line("\t\ticmp type { destination-unreachable, time-exceeded, parameter-problem, echo-request } accept")
	line("\t\ticmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem, echo-request, mld-listener-query, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } accept")
	line("\t\t# A host that gets its address by DHCPv6 needs this too:")
	line("\t\t# ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept")
	for _, o := range d.opens {
		rule := fmt.Sprintf("%s dport %d accept comment \"%s\"", o.protocol, o.port, o.name)
		if o.everyone {
			line("\t\t%s", rule)
			continue
		}
		for _, version := range []struct {
			sources []netip.Prefix
			match   string
			all     string
		}{{o.v4, "ip saddr", "meta nfproto ipv4"}, {o.v6, "ip6 saddr", "meta nfproto ipv6"}} {
			switch {
			case len(version.sources) == 0:
			case whole(version.sources):
				line("\t\t%s %s", version.all, rule)
			default:
				line("\t\t%s { %s } %s", version.match, list(version.sources, ", "), rule)
			}
		}
	}
	line("\t}")
	b.WriteString("}")
	return Plan{
		Assumes: []string{
			"Other tables stay as they are: what one of them drops stays dropped, HTTPS too. Forwarded packets (containers, routing) are not touched.",
			"The address is static or comes by DHCPv4, whose clients do not depend on the filter; for DHCPv6 take out the comment mark.",
		},
		Apply: []Step{
			{"Write the rule set.", "cat > " + file + " <<'END'\n" + b.String() + "\nEND"},
			{"Let nft check it; nothing is changed yet.", "nft -c -f " + file},
			{"If you are not at the console, let the host undo this by itself after ten minutes. Once a new session has worked: systemctl stop " + table + "-undo.timer",
				"# systemd-run --unit=" + table + "-undo --on-active=10min nft delete table inet " + table},
			{"Load it, all or nothing.", "nft -f " + file},
			{"To have it after a restart, let the configuration of the nftables service include the file, which this plan does not do, since it may be managed by something else.",
				"# echo 'include \"" + file + "\"' >> /etc/nftables.conf && systemctl enable nftables"},
		},
		Undo: []Step{
			{"Remove the table, if it is there, and the file. If you had /etc/nftables.conf include it, take that line out.",
				"nft 'add table inet " + table + "; delete table inet " + table + "'\nrm -f " + file},
		},
		Check: []Step{
			{"What is loaded.", "nft list table inet " + table},
			{"The whole rule set, for connsec firewall check.", "nft -j list ruleset > ruleset.json"},
		},
	}
}
