package hostfw_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec/internal/realsrv"
)

// TestRealRandomFirewalls proves rule sets that nobody thought up. The seeds are fixed, so that a
// failure can be looked at again.
func TestRealRandomFirewalls(t *testing.T) {
	t.Parallel()
	nft := realsrv.Need(t, "nft")
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			rules := randomRules(rand.New(rand.NewPCG(seed, 7)), nil)
			t.Log(rules)
			p := realsrv.NewPair(t)
			talkative(t, p)
			load(t, p, nft, rules)
			proveReal(t, p, export(t, p, nft, false))
		})
	}
}

// doubtfulExpressions are conditions and statements, most of them not modelled, that go with any rule.
var doubtfulExpressions = []string{
	"meta mark 0", "meta mark 1", "ct mark != 0", "meta skuid 0", "iifgroup default", "meta iif 9999", "meta length < 1000", "meta mark set 1", "ct mark set 1", "meta mark set ct mark",
	"meta mark set meta l4proto map { tcp : 0x1 }", "ct mark set meta l4proto map { udp : 0x1 }", `counter name meta l4proto map { tcp : "one" }`, "ct status dnat", "ct status ! dnat", "ct direction original",
	"ct state { new, untracked }", "fib saddr . iif oif missing", "socket transparent 0", "limit rate 1000/second burst 1000 packets", "ct count over 1000", "ct packets < 1000",
}

// TestRealRandomDoubts is TestRealRandomFirewalls with rules that nobody can tell everything about.
func TestRealRandomDoubts(t *testing.T) {
	t.Parallel()
	nft := realsrv.Need(t, "nft")
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			rules := randomRules(rand.New(rand.NewPCG(seed, 9)), doubtfulExpressions)
			t.Log(rules)
			p := realsrv.NewPair(t)
			talkative(t, p)
			load(t, p, nft, rules)
			told := proveTold(t, p, export(t, p, nft, false), realPorts, nil)
			t.Logf("%d answers of %d", told, 8*len(realPorts))
		})
	}
}

// TestRealRandomNAT is TestRealRandomFirewalls with destinations that are rewritten: to other ports, and
// to the host's own address, of which an export does not say that it is.
func TestRealRandomNAT(t *testing.T) {
	t.Parallel()
	nft := realsrv.Need(t, "nft")
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			rules := randomNAT(rand.New(rand.NewPCG(seed, 10)))
			t.Log(rules)
			p := realsrv.NewPair(t)
			talkative(t, p)
			load(t, p, nft, rules)
			told := proveTold(t, p, export(t, p, nft, false), realPorts, nil)
			t.Logf("%d answers of %d", told, 8*len(realPorts))
		})
	}
}

// randomNAT is chains of type nat between filters that look at packets before and after.
func randomNAT(r *rand.Rand) string {
	var b strings.Builder
	port := func() uint16 { return pick(r, realPorts...) }
	on := func() string {
		a, z := port(), port()
		span := fmt.Sprintf("{ %d, %d-%d }", port(), min(a, z), min(a, z)+uint16(r.IntN(40)))
		return strings.TrimSpace(pick(r, "", "", "ip saddr 192.0.2.0/24", "ip6 saddr != 2001:db8:1::/64", "ip daddr 192.0.2.10", `iifname "eth0"`, "ct state new", "ct status dnat", "ct status ! dnat") +
			" " + pick(r, "tcp dport "+span, "udp dport "+span, "tcp dport != "+span, "meta l4proto { tcp, udp } th dport "+span, fmt.Sprintf("meta l4proto { tcp, udp } th dport %d", port())))
	}
	chain := func(name, base string, n int, verdict func() string) {
		fmt.Fprintf(&b, "\tchain %s {\n\t\t%s\n", name, base)
		for range n {
			match, then := on(), verdict()
			for strings.Contains(match, "ip6 ") && strings.Contains(then, "ip to") || strings.Contains(match, "ip ") && strings.Contains(then, "ip6 to") {
				then = verdict() // nft refuses one IP version behind the other
			}
			fmt.Fprintf(&b, "\t\t%s %s\n", match, then)
		}
		b.WriteString("\t}\n")
	}
	filter := func() string { return pick(r, "accept", "drop", "accept", "counter") }
	nat := func() string {
		return pick(r, "accept", "return", "redirect", fmt.Sprintf("redirect to :%d", port()), fmt.Sprintf("redirect to :%d", port()), "dnat ip to 192.0.2.10",
			fmt.Sprintf("dnat ip to 192.0.2.10:%d", port()), fmt.Sprintf("dnat ip6 to [2001:db8::10]:%d", port()), "dnat ip6 to 2001:db8::10")
	}
	b.WriteString("table inet drawn {\n")
	chain("raw", "type filter hook prerouting priority -300; policy accept;", 1, func() string { return pick(r, "accept", "counter", "notrack", "drop") })
	chain("mangle", "type filter hook prerouting priority -150; policy accept;", 2, filter)
	chain("nat1", "type nat hook prerouting priority -100; policy accept;", 5, nat)
	chain("nat2", "type nat hook prerouting priority 10; policy accept;", 3, nat)
	chain("between", "type filter hook prerouting priority 0; policy accept;", 2, filter)
	chain("input", "type filter hook input priority 0; policy drop;\n\t\tct state established accept\n\t\tmeta l4proto { icmp, ipv6-icmp } accept", 8, filter)
	chain("last", "type filter hook input priority 10; policy accept;", 2, filter)
	b.WriteString("}\n")
	return b.String()
}

// TestRealRandomIPTables is the same for iptables.
func TestRealRandomIPTables(t *testing.T) {
	t.Parallel()
	nft := realsrv.Need(t, "nft")
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 8))
			p := realsrv.NewPair(t)
			talkative(t, p)
			for _, version := range []string{"", "6"} {
				rules := randomIPTables(r, version)
				t.Log(rules)
				file := filepath.Join(t.TempDir(), "rules")
				require.NoError(t, os.WriteFile(file, []byte(rules), 0o600))
				out, err := realsrv.Run(t, realsrv.Cmd{Path: realsrv.Need(t, "ip"+version+"tables-nft-restore"), Args: []string{file}, Netns: p.Host})
				require.NoError(t, err, out)
			}
			proveReal(t, p, export(t, p, nft, true))
		})
	}
}

// randomIPTables is what iptables-restore reads.
func randomIPTables(r *rand.Rand, version string) string {
	const chains = 4
	port := func() uint16 { return pick(r, realPorts...) }
	span := func() string {
		a, b := port(), port()
		return fmt.Sprintf("%d:%d", min(a, b), max(a, b)+1)
	}
	sources := []string{"-s 192.0.2.0/24", "! -s 198.51.100.1", "-s 192.0.2.1", "-m iprange --src-range 192.0.2.0-198.51.100.0", "-d 192.0.2.10"}
	if version == "6" {
		sources = []string{"-s 2001:db8::/64", "! -s 2001:db8:1::/48", "-s 2001:db8:1::1", "! -d 2001:db8::10", "-m iprange --src-range 2001:db8::-2001:db8::ff"}
	}
	var b strings.Builder
	rules := func(table, chain string, from, n int) {
		for range n {
			fmt.Fprintf(&b, "-A %s", chain)
			if r.IntN(3) == 0 {
				b.WriteString(" " + pick(r, sources...))
			}
			if r.IntN(5) == 0 {
				b.WriteString(" " + pick(r, "-i eth+", "! -i eth0", "! -i lo", "-i eth0", "-i wg+"))
			}
			b.WriteString(" " + pick(r, fmt.Sprintf("-p tcp --dport %d", port()), fmt.Sprintf("-p tcp ! --dport %s", span()), fmt.Sprintf("-p tcp -m multiport --dports %d,%s", port(), span()),
				fmt.Sprintf("-p tcp --syn --dport %s", span()), fmt.Sprintf("-p tcp -m conntrack --ctstate NEW -m multiport ! --dports %s,%d", span(), port()), "-p udp",
				fmt.Sprintf("-p tcp --dport %d -m addrtype --dst-type LOCAL -m comment --comment \"-j DROP it\"", port()), fmt.Sprintf("-p tcp ! --syn --dport %d", port())))
			targets := []string{"ACCEPT", "DROP", "RETURN", "LOG"}
			if table == "filter" {
				targets = append(targets, "REJECT")
			}
			target := "-j " + pick(r, targets...)
			if from < chains && r.IntN(2) == 0 {
				target = fmt.Sprintf("%s c%d", pick(r, "-j", "-j", "-g"), from+r.IntN(chains-from))
			}
			b.WriteString(" " + target + "\n")
		}
	}
	for _, table := range []string{"raw", "mangle", "filter"} {
		fmt.Fprintf(&b, "*%s\n", table)
		if table == "filter" {
			b.WriteString(":INPUT " + pick(r, "ACCEPT", "DROP") + " [0:0]\n")
			for i := range chains {
				fmt.Fprintf(&b, ":c%d - [0:0]\n", i)
			}
			// What rejects later packets of a connection would end it just after it was made.
			b.WriteString("-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n")
			rules(table, "INPUT", 0, 10)
			for i := range chains {
				rules(table, fmt.Sprint("c", i), i+1, 5)
			}
		} else {
			b.WriteString(":PREROUTING ACCEPT [0:0]\n")
			rules(table, "PREROUTING", chains, 2)
		}
		b.WriteString("COMMIT\n")
	}
	return b.String()
}

// randomRules is a table with three base chains, and chains that call only later ones.
func randomRules(r *rand.Rand, extra []string) string {
	const chains = 5
	var b strings.Builder
	b.WriteString("table inet drawn {\n\tcounter one { }\n")
	for i := range chains { // the last first: nft wants to know a chain before it is called
		i = chains - 1 - i
		fmt.Fprintf(&b, "\tchain c%d {\n", i)
		for range 4 + r.IntN(6) {
			fmt.Fprintf(&b, "\t\t%s\n", randomRule(r, i+1, chains, extra))
		}
		b.WriteString("\t}\n")
	}
	for i, base := range []string{"hook prerouting priority -150", "hook input priority 0", "hook input priority 10"} {
		policy := "accept"
		if i == 1 {
			policy = "drop"
		}
		fmt.Fprintf(&b, "\tchain base%d {\n\t\ttype filter %s; policy %s;\n", i, base, policy)
		for range 3 + r.IntN(9*(i%2)+1) {
			fmt.Fprintf(&b, "\t\t%s\n", randomRule(r, i, chains, extra))
		}
		b.WriteString("\t}\n")
	}
	b.WriteString("}\n")
	return b.String()
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// randomRule calls chains from the given one on. One in four has something extra, if there is any.
func randomRule(r *rand.Rand, from, chains int, extra []string) string {
	port := func() uint16 { return pick(r, realPorts...) }
	span := func() string {
		a, b := port(), port()
		return fmt.Sprintf("%d-%d", min(a, b), max(a, b)+1)
	}
	var parts []string
	switch r.IntN(6) {
	case 0:
		parts = append(parts, pick(r, "ip saddr 192.0.2.0/24", "ip saddr != 198.51.100.1", "ip saddr { 192.0.2.1, 203.0.113.0/24 }", "ip saddr 192.0.2.0-198.51.100.0"))
	case 1:
		parts = append(parts, pick(r, "ip6 saddr 2001:db8::/64", "ip6 saddr != 2001:db8:1::/48", "ip6 saddr { 2001:db8:1::1 }"))
	case 2:
		parts = append(parts, pick(r, "meta nfproto ipv4", "meta protocol ip6", `iifname "eth*"`, `iifname != { "eth0", "lo" }`, "meta l4proto != udp", "ip daddr 192.0.2.10", "ct state new", "ct state != new"))
	case 3:
		parts = append(parts, fmt.Sprintf("ip saddr . tcp dport %s { 192.0.2.1 . %s, 198.51.100.0/24 . %d }", pick(r, "", "!="), span(), port()))
	}
	if extra != nil && r.IntN(4) == 0 {
		parts = append(parts, pick(r, extra...))
	}
	switch r.IntN(6) {
	case 0, 1:
		parts = append(parts, fmt.Sprintf("tcp dport { %d, %s }", 1+r.IntN(20), span()))
	case 2:
		parts = append(parts, fmt.Sprintf("tcp dport %s %d", pick(r, "", "!=", ">", "<="), port()))
	case 3:
		parts = append(parts, fmt.Sprintf("tcp dport != %s", span()))
	case 4:
		return strings.Join(append(parts, fmt.Sprintf("tcp dport vmap { %d : accept, 11-20 : drop, %s : %s }", 1+r.IntN(10), fmt.Sprintf("%d-%d", 1000, 1000+r.IntN(8000)), randomVerdict(r, from, chains))), " ")
	case 5:
		// Three ports at most, so that not everything is decided at once.
		parts = append(parts, fmt.Sprintf("tcp dport { %d }", port()), "counter")
	}
	return strings.Join(append(parts, randomVerdict(r, from, chains)), " ")
}

func randomVerdict(r *rand.Rand, from, chains int) string {
	verdicts := []string{"accept", "drop", "return", "continue"}
	for i := from; i < chains; i++ {
		verdicts = append(verdicts, fmt.Sprint("jump c", i), fmt.Sprint(pick(r, "jump", "goto"), " c", i))
	}
	return pick(r, verdicts...)
}
