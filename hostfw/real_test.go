package hostfw_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/hostfw"
	"github.com/connsec/connsec/internal/realsrv"
)

// realRules are rule sets that a kernel enforces while the proof connects through them. The host
// is 192.0.2.10 and 2001:db8::10; clients are 192.0.2.1, 198.51.100.1, 2001:db8::1 and
// 2001:db8:1::1. Lines that begin with "iptables" or "ip6tables" are commands, all else is for
// nft.
var realRules = map[string]string{
	"no rules": ``,
	"https only": `
		table inet filter {
			chain input {
				type filter hook input priority filter; policy drop;
				ct state vmap { established : accept, related : accept, invalid : drop }
				iif lo accept
				meta l4proto { icmp, ipv6-icmp } accept
				tcp dport 443 accept
			}
		}`,
	"default accept with drops": `
		table inet filter {
			chain input {
				type filter hook input priority filter; policy accept;
				tcp dport { 21-23, 3306, 8000-8010 } drop
				tcp dport 25 reject
				ip saddr 198.51.100.0/24 tcp dport 80 drop
				ip6 saddr 2001:db8:1::/48 tcp dport != { 443, 8443 } drop
			}
		}`,
	"several base chains": `
		table inet late {
			chain input { type filter hook input priority 10; policy accept; tcp dport 8080 drop; tcp dport 81 accept; }
		}
		table inet early {
			chain pre { type filter hook prerouting priority -300; tcp dport 82 drop; }
			chain input { type filter hook input priority -10; policy drop; meta l4proto { icmp, ipv6-icmp } accept; ct state established accept; tcp dport { 80, 81, 82, 443, 8080 } accept; }
		}
		table ip four {
			chain input { type filter hook input priority 20; policy accept; tcp dport 443 ip saddr 198.51.100.1 reject with tcp reset; }
		}`,
	"jump, goto and return": `
		table inet filter {
			chain web { tcp dport 8081 return; tcp dport 8000-8100 accept; }
			chain admin { ip saddr != 192.0.2.0/24 return; tcp dport { 22, 3389 } accept; }
			chain last { tcp dport 25 drop; tcp dport 110 accept; }
			chain input {
				type filter hook input priority 0; policy drop;
				ct state established,related accept
				meta l4proto { icmp, ipv6-icmp } accept
				jump web
				tcp dport 8081 accept
				jump admin
				tcp dport { 25, 110, 143 } goto last
				tcp dport 143 accept
				tcp dport 993 accept
			}
		}`,
	"verdict maps": `
		table inet filter {
			map ports { type inet_service : verdict; flags interval; elements = { 80 : drop, 443 : accept, 8000-8005 : jump web, 8006 : goto web } }
			map clients { type ipv4_addr : verdict; flags interval; elements = { 192.0.2.0/24 : jump lan, 198.51.100.0/25 : continue } }
			chain web { tcp dport { 8001, 8006 } accept; tcp dport 8002 drop; }
			chain lan { tcp dport { 22, 5985 } accept; }
			chain input {
				type filter hook input priority 0; policy drop;
				ct state vmap { established : accept, related : accept }
				meta l4proto vmap { icmp : accept, ipv6-icmp : accept }
				tcp dport vmap @ports
				ip saddr vmap @clients
				ip saddr . tcp dport vmap { 198.51.100.1 . 23 : accept, 192.0.2.1 . 24 : accept }
				meta nfproto vmap { ipv4 : continue, ipv6 : jump lan }
				tcp dport { 8003, 3306 } accept
			}
		}`,
	"named sets and concatenations": `
		table inet filter {
			set admins { type ipv4_addr; flags interval; elements = { 198.51.100.0/24, 203.0.113.1-203.0.113.9 } }
			set admins6 { type ipv6_addr; flags interval; elements = { 2001:db8:1::/64 } }
			set pairs { type ipv4_addr . inet_service; flags interval; elements = { 192.0.2.1 . 3306, 198.51.100.0/24 . 5432-5440 } }
			set open { typeof meta l4proto . th dport; elements = { tcp . 443, tcp . 80, udp . 53 } }
			chain input {
				type filter hook input priority 0; policy drop;
				ct state established accept
				meta l4proto { icmp, ipv6-icmp } accept
				meta l4proto . th dport @open accept
				ip saddr @admins tcp dport { 22, 3389 } accept
				ip6 saddr @admins6 tcp dport { 22, 3389 } accept
				ip saddr . tcp dport @pairs accept
				ip saddr & 255.255.255.0 == 192.0.2.0 tcp dport 8080 accept
				ip6 saddr . tcp dport != { 2001:db8::1 . 8443 } tcp dport 8440-8450 accept
			}
		}`,
	"sources, reject and IPv6": `
		table ip6 filter {
			chain input { type filter hook input priority 0; policy accept; meta l4proto ipv6-icmp accept; tcp dport { 22, 80 } drop; ip6 saddr 2001:db8:1::1 reject with icmpv6 admin-prohibited; }
		}
		table ip filter {
			chain input { type filter hook input priority 0; policy drop; ct state established accept; ip saddr 192.0.2.0/24 tcp dport 1-1023 accept; tcp dport 443 accept; tcp dport 5000-6000 reject with icmp port-unreachable; ip daddr 192.0.2.10 tcp dport 8443 accept; ip daddr 192.0.2.11 tcp dport 8444 accept; }
		}`,
	"redirect": `
		table inet nat {
			chain pre {
				type nat hook prerouting priority dstnat; policy accept;
				tcp dport 444 redirect to :443
				ip saddr 198.51.100.1 tcp dport 80 redirect to :8080
				tcp dport 81 redirect to :22
				tcp dport 8000-8003 redirect
			}
		}
		table inet filter {
			chain input { type filter hook input priority 0; policy drop; ct state established accept; meta l4proto { icmp, ipv6-icmp } accept; ct status dnat tcp dport 8080 drop; tcp dport { 443, 8080, 8001, 8002 } accept; }
		}`,
	"flags, states and no tracking": `
		table inet raw {
			chain pre { type filter hook prerouting priority raw; tcp dport 8080 notrack; ct state new drop; tcp flags & (fin|syn|rst|psh|ack|urg) == 0x0 drop; tcp flags != syn tcp dport 81 drop; }
		}
		table inet filter {
			chain input {
				type filter hook input priority 0; policy drop;
				ct state established,related accept
				ct state invalid drop
				meta l4proto { icmp, ipv6-icmp } accept
				ct state untracked tcp dport { 8080, 8081 } accept
				tcp flags syn / fin,syn,rst,ack tcp dport { 80, 81 } ct state new accept
				tcp flags & (syn | ack) == ack tcp dport 82 accept
				fib daddr type local tcp dport 443 accept
				fib daddr type broadcast tcp dport 444 accept
				fib saddr . iif oif missing drop
				meta pkttype host ct direction original tcp dport 445 accept
			}
		}`,
	"interfaces": `
		table inet filter {
			set inside { type ifname; flags interval; elements = { "eth*", "lo" } }
			chain input {
				type filter hook input priority 0; policy drop;
				ct state established accept
				iifname != "eth0" tcp dport 80 accept
				iifname "eth0" tcp dport 9000 accept
				iifname "eth*" tcp dport 443 accept
				iifname { "eth0", "eth1" } tcp dport 22 accept
				iif lo accept
				iifname @inside tcp dport 8080 accept
				iifname vmap { "eth1" : accept, "eth0" : jump own }
				meta l4proto { icmp, ipv6-icmp } accept
			}
			chain own { tcp dport >= 8440 tcp dport < 8444 accept; tcp sport < 1024 tcp dport 23 accept; tcp sport > 1023 tcp dport 24 accept; }
		}`,
	"limits": `
		table inet filter {
			chain input {
				type filter hook input priority 0; policy drop;
				ct state established accept
				meta l4proto { icmp, ipv6-icmp } accept
				tcp dport 443 limit rate over 1000/second burst 1000 packets drop
				tcp dport { 80, 443 } accept
				tcp dport 22 limit rate 1000/second burst 1000 packets counter log prefix "ssh" accept
				ip saddr 192.0.2.1 tcp dport 8443 ct count over 100 reject
				tcp dport 8443 accept
			}
		}`,
	"ingress": `
		table netdev early {
			chain in { type filter hook ingress device eth0 priority 0; policy accept; ip saddr 198.51.100.1 tcp dport 80 drop; }
		}
		table inet filter {
			chain input { type filter hook input priority 0; policy drop; meta l4proto { icmp, ipv6-icmp } accept; ct state established accept; tcp dport { 443 } accept; }
		}`,
	"statements that go on, and rejections of one version": `
		table inet filter {
			map later { type inet_service : verdict; elements = { 80 : continue, 443 : accept, 993 : drop, * comment "all others" : goto last } }
			set seen { type ipv4_addr; flags dynamic, timeout; timeout 1m; }
			chain last { tcp dport 9000-9443 drop; fib saddr type local drop; fib saddr type != unicast drop; fib daddr oif exists drop; }
			chain input {
				type filter hook input priority 0; policy accept;
				ct state established accept
				meta l4proto { icmp, ipv6-icmp } accept
				tcp dport vmap { 21 : continue, 22 : accept } drop
				tcp dport 23 continue drop
				tcp dport 24 reject with icmp port-unreachable
				tcp dport 25 reject with icmpv6 port-unreachable
				tcp dport 81 add @seen { ip saddr } drop
				tcp dport 82 tcp flags & (syn | ack) == (syn | ack) drop
				tcp dport 83 tcp flags & (fin | syn | rst | ack) == syn drop
				tcp dport 84 ct state vmap { new | untracked : drop, invalid : drop }
				tcp dport vmap @later
			}
		}`,
	// The kernel passes nat chains at one place, and of two chains with one priority the later
	// first.
	"order of base chains": `
		table inet first {
			chain nat { type nat hook prerouting priority -50; tcp dport 444 redirect to :443; tcp dport 445 redirect to :22; }
			chain same { type nat hook prerouting priority -40; tcp dport 80 redirect to :443; tcp dport 81 redirect to :22; }
			chain raw { type filter hook prerouting priority -300; tcp dport { 8080, 8081 } notrack; ct state untracked tcp dport 8443 drop; }
		}
		table inet second {
			chain between { type filter hook prerouting priority -75; policy accept; tcp dport 444 drop; tcp dport 22 drop; }
			chain same { type nat hook prerouting priority -40; tcp dport 80 redirect to :22; tcp dport 81 redirect to :443; }
			chain raw { type filter hook prerouting priority -300; ct state untracked tcp dport 8080 drop; tcp dport 8443 notrack; }
		}`,
	"iptables": `
		iptables -P INPUT DROP
		iptables -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -m comment --comment "answers -j DROP" -j ACCEPT
		iptables -A INPUT -i lo -j ACCEPT
		iptables -A INPUT -p icmp -j ACCEPT
		iptables -A INPUT -p tcp -m multiport --dports 80,443,8000:8005 -j ACCEPT
		iptables -N admin
		iptables -A admin ! -s 198.51.100.0/24 -j RETURN
		iptables -A admin -p tcp --dport 22 -j ACCEPT
		iptables -A admin -p tcp --dport 23 -j REJECT --reject-with tcp-reset
		iptables -A INPUT -j admin
		iptables -A INPUT -p tcp ! --dport 1:9000 -i eth+ -j ACCEPT
		iptables -t nat -A PREROUTING -p tcp --dport 8443 -j REDIRECT --to-ports 443
		iptables -t nat -A PREROUTING -p tcp --dport 3306 -s 192.0.2.1 -j REDIRECT --to-ports 110
		iptables -t mangle -A PREROUTING -p tcp --dport 8001 -j DROP
		iptables -t raw -A PREROUTING -p tcp --dport 8002 -s 192.0.2.0/25 -j DROP
		ip6tables -P INPUT ACCEPT
		ip6tables -A INPUT -p tcp --dport 22 -j DROP
		ip6tables -A INPUT -p tcp -s 2001:db8:1::/64 -m multiport ! --dports 443,80 -j REJECT`,
	"iptables, more": `
		iptables -N web
		iptables -N deny
		iptables -A deny -m limit --limit 5/min -j LOG --log-prefix "-j ACCEPT "
		iptables -A deny -p tcp -j REJECT --reject-with icmp-admin-prohibited
		iptables -A deny -j DROP
		iptables -A web -p tcp --syn --dport 80 -j ACCEPT
		iptables -A web -p tcp --dport 81 -g deny
		iptables -A web -p tcp --dport 82 -j RETURN
		iptables -A web -p tcp --dport 83 -m iprange --src-range 198.51.100.1-198.51.100.20 -j ACCEPT
		iptables -A INPUT -p tcp --dport 80:90 -g web
		iptables -A INPUT -p tcp -m state --state NEW -m tcp --dport 22 -m addrtype --dst-type LOCAL -j ACCEPT
		iptables -A INPUT -p tcp ! --syn -m conntrack --ctstate NEW -j DROP
		iptables -A INPUT -p tcp --dport 443 -m hashlimit --hashlimit-above 1000/sec --hashlimit-name https --hashlimit-mode srcip -j DROP
		iptables -A INPUT -m conntrack ! --ctstate NEW,INVALID -j ACCEPT
		iptables -A INPUT -p tcp -m multiport --dports 443,8443 -j ACCEPT
		iptables -A INPUT -p tcp --sport 1:1023 --dport 5432 -j ACCEPT
		iptables -A INPUT -p tcp -d 192.0.2.10 --dport 5433 -j ACCEPT
		iptables -A INPUT ! -i lo -j deny
		ip6tables -P INPUT DROP
		ip6tables -A INPUT -p ipv6-icmp -j ACCEPT
		ip6tables -A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT
		ip6tables -A INPUT -p tcp --dport 443 -j ACCEPT`,
}

// realPorts are asked of every rule set: 50 of them.
var realPorts = []uint16{21, 22, 23, 24, 25, 80, 81, 82, 83, 84, 110, 111, 143, 443, 444, 445, 993, 1023, 1024, 3306, 3389, 5000, 5432, 5433, 5440,
	5441, 5985, 5986, 6000, 6001, 8000, 8001, 8002, 8003, 8004, 8005, 8006, 8010, 8011, 8080, 8081, 8100, 8101, 8439, 8440, 8443, 8444, 8450, 9000, 9443}

// TestRealFirewalls loads each rule set in a network namespace, evaluates its export, and
// connects to every port from outside: what happens has to be what the evaluation says, for two
// sources and both IP versions.
func TestRealFirewalls(t *testing.T) {
	t.Parallel()
	require.Len(t, realPorts, 50)
	nft := realsrv.Need(t, "nft")
	for name, rules := range realRules {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := realsrv.NewPair(t)
			talkative(t, p)
			load(t, p, nft, rules)
			proveReal(t, p, export(t, p, nft, strings.Contains(rules, "iptables -")))
		})
	}
}

// TestRealPlanUFW applies a plan for ufw, and proves that what it lets in is what the policy says.
func TestRealPlanUFW(t *testing.T) {
	t.Parallel()
	realsrv.Need(t, "ufw")
	nft, unshare := realsrv.Need(t, "nft"), realsrv.Need(t, "unshare")
	policy := hostfw.Policy{HTTPS: []uint16{443, 8443}, Services: []hostfw.Service{
		{Name: "ssh", Port: 22, Sources: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8:1::/64")}},
		{Name: "database", Port: 5432, Sources: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}},
	}}
	meant := func(source netip.Addr, port uint16) bool {
		switch port {
		case 443, 8443:
			return true
		case 22:
			return source == netip.MustParseAddr("198.51.100.1") || source == netip.MustParseAddr("2001:db8:1::1")
		case 5432:
			return source == netip.MustParseAddr("192.0.2.1")
		}
		return false
	}
	p := realsrv.NewPair(t)
	talkative(t, p)
	plan, err := policy.Plan(hostfw.UFW)
	require.NoError(t, err)
	dir := realsrv.NewDir(t, "").Path()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "apply"), []byte(plan.Text()), 0o600))
	// It gets a copy of its configuration, mounted over the machine's for itself alone.
	apply := "set -eu; cd " + dir + `; cp -a /etc/ufw ufw; cp -a /etc/default default; mkdir lib run
mount --bind ufw /etc/ufw; mount --bind default /etc/default; mount --bind lib /var/lib; mount --bind run /run
sed -i 's/^ENABLED=.*/ENABLED=no/' /etc/ufw/ufw.conf; sh ./apply`
	out, err := realsrv.Run(t, realsrv.Cmd{Path: unshare, Args: []string{"--mount", "sh", "-c", apply}, Netns: p.Host, Timeout: 2 * time.Minute})
	require.NoError(t, err, out)
	r := export(t, p, nft, true)
	proveReal(t, p, r)
	for version, address := range p.Addresses {
		for _, source := range p.Sources[version] {
			for _, port := range realPorts {
				d := r.Decide(hostfw.Packet{Source: source, SourcePort: 50000, Destination: address, Port: port, Interface: "eth0"})
				assert.Equal(t, meant(source, port), d.Action == hostfw.Accept, "%s to port %d: %s", source, port, d.By)
			}
		}
	}
	assert.Empty(t, policy.Check(r).Failed(connsec.Info))
}

// talkative lifts the limits on ICMP, so that each rejection is answered.
func talkative(t *testing.T, p *realsrv.Pair) {
	t.Helper()
	const limits = "cd /proc/sys/net; echo 0 > ipv4/icmp_ratelimit; echo 0 > ipv6/icmp/ratelimit; echo 10000 > ipv4/icmp_msgs_burst; echo 10000 > ipv4/icmp_msgs_per_sec"
	out, err := realsrv.Run(t, realsrv.Cmd{Path: "/bin/sh", Args: []string{"-c", limits}, Netns: p.Host})
	require.NoError(t, err, out)
}

// load brings rules into force.
func load(t *testing.T, p *realsrv.Pair, nft, rules string) {
	t.Helper()
	run := func(path string, args ...string) {
		t.Helper()
		out, err := realsrv.Run(t, realsrv.Cmd{Path: path, Args: args, Netns: p.Host})
		require.NoError(t, err, "%s: %s", args, out)
	}
	if !strings.Contains(rules, "iptables -") {
		file := filepath.Join(t.TempDir(), "rules.nft")
		require.NoError(t, os.WriteFile(file, []byte(rules), 0o600))
		run(nft, "-f", file)
		return
	}
	for line := range strings.Lines(rules) {
		if line = strings.TrimSpace(line); line != "" {
			program, _, _ := strings.Cut(line, " ")
			run("/bin/sh", "-c", realsrv.Need(t, program)+"-nft"+strings.TrimPrefix(line, program))
		}
	}
}

// export is what an administrator would export.
func export(t *testing.T, p *realsrv.Pair, nft string, iptables bool) hostfw.Ruleset {
	t.Helper()
	parse := func(name string, path string, args ...string) hostfw.Ruleset {
		t.Helper()
		file := filepath.Join(t.TempDir(), name) // what a command prints is kept in part only
		out, err := realsrv.Run(t, realsrv.Cmd{Path: "/bin/sh", Args: slices.Concat([]string{"-c", `exec "$@" > "$0"`, file, path}, args), Netns: p.Host})
		require.NoError(t, err, out)
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		r, err := hostfw.Parse(name, data)
		require.NoError(t, err)
		return r
	}
	if !iptables {
		return parse("host.json", nft, "-j", "list", "ruleset")
	}
	// nft's own export is combined with them, as it would be for a host that has both.
	r, err := hostfw.Combine("host", parse("v4", realsrv.Need(t, "iptables-save")), parse("v6", realsrv.Need(t, "ip6tables-save")), parse("nft", nft, "-j", "list", "ruleset"))
	require.NoError(t, err)
	return r
}

// proveReal connects to every port, sends a datagram to it, and compares.
func proveReal(t *testing.T, p *realsrv.Pair, r hostfw.Ruleset) {
	t.Helper()
	for _, address := range p.Addresses {
		for _, port := range realPorts {
			listen(t, p, netip.AddrPortFrom(address, port))
			echo(t, p, netip.AddrPortFrom(address, port))
		}
	}
	evaluated := r.Evaluate()
	var wg sync.WaitGroup
	var lock sync.Mutex
	asked := 0
	for version, address := range p.Addresses {
		for _, source := range p.Sources[version] {
			wg.Go(func() {
				to := func(port uint16) hostfw.Packet {
					return hostfw.Packet{Protocol: hostfw.UDP, Source: source, SourcePort: 50000, Destination: address, Port: port, Interface: "eth0"}
				}
				answered := func(port uint16) bool { return r.Decide(to(port)).Action != hostfw.Drop }
				for port, got := range datagrams(t, p, source, address, realPorts, answered) {
					packet := to(port)
					d := r.Decide(packet)
					assert.Equal(t, d.Action, got, "a datagram from %s to %s:%d: predicted by %q %q", source, address, port, d.By, d.Unmodelled)
					assert.Equal(t, got == hostfw.Accept, exposed(evaluated, packet), "a datagram from %s to %s:%d", source, address, port)
					lock.Lock()
					asked++
					lock.Unlock()
				}
			})
			wg.Go(func() {
				prober := hostfw.Prober{Timeout: 1500 * time.Millisecond, Parallel: len(realPorts), Dial: p.Client.From(source)}
				o, err := prober.Probe(t.Context(), address.String(), realPorts)
				if !assert.NoError(t, err) {
					return
				}
				for _, s := range o.Ports {
					packet := hostfw.Packet{Protocol: hostfw.TCP, Source: source, SourcePort: 50000, Destination: address, Port: s.Port, Interface: "eth0"}
					d := r.Decide(packet)
					got := map[hostfw.State]hostfw.Action{hostfw.Open: hostfw.Accept, hostfw.Silent: hostfw.Drop, hostfw.Refused: hostfw.Reject, hostfw.Prohibited: hostfw.Reject}[s.State]
					assert.Equal(t, d.Action, got, "%s to %s:%d: %s %s, predicted by %q %q", source, address, s.Port, s.State, s.Reason, d.By, d.Unmodelled)
					assert.Equal(t, got == hostfw.Accept, exposed(evaluated, packet), "%s to %s:%d", source, address, s.Port)
				}
				differences, err := r.Compare(o, hostfw.Packet{Source: source, Interface: "eth0"})
				assert.NoError(t, err)
				assert.Empty(t, differences)
				lock.Lock()
				defer lock.Unlock()
				asked += len(o.Ports)
			})
		}
	}
	wg.Wait()
	assert.Equal(t, 400, asked)
}

// covers reports whether an interface is meant by what is printed: "eth0", "eth*", "* except lo".
func covers(pattern, name string) bool {
	pattern, except, _ := strings.Cut(pattern, " except ")
	for not := range strings.SplitSeq(except, ", ") {
		if not != "" && covers(not, name) {
			return false
		}
	}
	prefix, wild := strings.CutSuffix(pattern, "*")
	return pattern == name || wild && strings.HasPrefix(name, prefix)
}

// exposed reports whether an evaluation has a packet among what gets in. It reads what is printed.
func exposed(e hostfw.Evaluation, p hostfw.Packet) bool {
	for _, x := range e.Exposures {
		in := func(list []netip.Prefix, a netip.Addr) bool {
			for _, prefix := range list {
				if prefix.Contains(a) {
					return true
				}
			}
			return false
		}
		if x.Action != hostfw.Accept || x.Protocol != p.Protocol || p.Port < x.Ports.First || p.Port > x.Ports.Last ||
			!in(x.Sources, p.Source) || in(x.Except, p.Source) || x.Destinations != nil && !in(x.Destinations, p.Destination) {
			continue
		}
		named := x.Interfaces == nil
		for _, i := range x.Interfaces {
			named = named || covers(i, p.Interface)
		}
		from := x.SourcePorts == nil
		for _, s := range x.SourcePorts {
			from = from || s.First <= p.SourcePort && p.SourcePort <= s.Last
		}
		if named && from {
			return true
		}
	}
	return false
}

// listen accepts connections to a port of the host until the test ends.
func listen(t *testing.T, p *realsrv.Pair, at netip.AddrPort) {
	t.Helper()
	l, err := p.Host.Listen("tcp", at.String())
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	})
	t.Cleanup(func() {
		require.NoError(t, l.Close())
		wg.Wait()
	})
}
