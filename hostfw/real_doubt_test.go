package hostfw_test

import (
	"fmt"
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

	"github.com/connsec/connsec/hostfw"
	"github.com/connsec/connsec/internal/realsrv"
)

// doubtfulRules is a rule set with ports of which nobody can tell from its export whether they are
// open.
type doubtfulRules struct {
	rules string
	// unknown are the ports whose answer has to be Unknown, over IPv4 at least.
	unknown []uint16
	// ecn lets clients ask for ECN, which sets two more flags in their first packet.
	ecn bool
}

// doubtful are rule sets that keep the first packet that one thinks of out or let it in, and do the
// other with one that a sender may choose or with the next.
var doubtful = map[string]doubtfulRules{
	"limits and flags": {ecn: true, unknown: []uint16{22, 23, 24, 80, 81, 83, 84}, rules: `
		table inet filter {
			chain in { accept; }
			chain out { counter; drop; }
			chain input {
				type filter hook input priority 0; policy drop;
				ct state established accept
				meta l4proto { icmp, ipv6-icmp } accept
				tcp dport 22 limit rate 1/day burst 1 packets return
				tcp dport 22 accept
				tcp dport 23 limit rate over 1/day burst 1 packets accept
				tcp dport 24 limit rate over 1/day burst 1 packets jump in
				tcp dport 25 limit rate over 1000/second burst 1000 packets jump out
				tcp dport 25 accept
				tcp dport 80 tcp flags == syn drop
				tcp dport 80 accept
				tcp dport 81 tcp flags != syn accept
				tcp dport 82 tcp flags & (fin | syn | rst | ack) == syn accept
				tcp dport 83 ip frag-off & 0x4000 == 0 drop
				tcp dport 83 accept
				tcp dport 84 ip saddr & 255.255.255.0 == 192.0.2.1 drop
				tcp dport 84 accept
				tcp dport 110 exthdr frag missing drop
				tcp dport 110 accept
				tcp dport 111 exthdr dst exists accept
				tcp dport 143 exthdr rt exists drop
				tcp dport 143 accept
			}
		}`},
	"rewriting that is not modelled": {unknown: []uint16{21, 444, 445, 8080, 8081}, rules: `
		table inet nat {
			chain early { type filter hook prerouting priority -250; tcp dport 21 @th,16,16 set 443; }
			chain pre {
				type nat hook prerouting priority dstnat;
				tcp dport 444 redirect to :443-444
				meta l4proto tcp tcp dport 445 redirect to : tcp dport map { 445 : 443 }
				tcp dport 8080 redirect to :443
				tcp dport 8081 redirect to :81
			}
		}
		table inet filter {
			chain input {
				type filter hook input priority 0; policy drop;
				ct state established accept
				meta l4proto { icmp, ipv6-icmp } accept
				ct status == dnat drop
				tcp dport 443 accept
				tcp dport 81 ct status != dnat accept
			}
		}`},
	"nat without connection tracking": {unknown: []uint16{22}, rules: `
		table inet nat { chain pre { type nat hook prerouting priority dstnat; policy accept; tcp dport 22 drop; }
		}
		table ip6 filter { chain input { type filter hook input priority 0; policy accept; ct state established accept; }
		}`},
	// nft 1.0.6 names the flag wrongly, so that nobody can tell.
	"dormant table": {rules: `
		table inet asleep {
			flags dormant;
			chain input { type filter hook input priority 0; policy drop; tcp dport 443 accept; }
		}
		table inet awake { chain input { type filter hook input priority 0; policy accept; tcp dport 22 drop; }
		}`},
	// What Docker writes for a container that publishes port 8080, beside a filter that closes it.
	"containers": {unknown: []uint16{8080}, rules: `
		iptables -P INPUT DROP
		iptables -P FORWARD DROP
		iptables -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
		iptables -A INPUT -p icmp -j ACCEPT
		iptables -A INPUT -m multiport -p tcp --dports 443,81 -j ACCEPT
		iptables -t nat -N DOCKER
		iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
		iptables -t nat -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
		iptables -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
		iptables -t nat -A DOCKER -i docker0 -j RETURN
		iptables -t nat -A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
		iptables -t nat -A DOCKER ! -i docker0 -p tcp -m tcp --dport 8081 -j DNAT --to-destination 192.0.2.10:81
		iptables -N DOCKER
		iptables -N DOCKER-ISOLATION-STAGE-1
		iptables -N DOCKER-ISOLATION-STAGE-2
		iptables -N DOCKER-USER
		iptables -A DOCKER-USER -j RETURN
		iptables -A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
		iptables -A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
		iptables -A FORWARD -j DOCKER-USER
		iptables -A FORWARD -j DOCKER-ISOLATION-STAGE-1
		iptables -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
		iptables -A FORWARD -o docker0 -j DOCKER
		iptables -A FORWARD -i docker0 ! -o docker0 -j ACCEPT
		iptables -A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
		ip6tables -P INPUT DROP
		ip6tables -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
		ip6tables -A INPUT -p ipv6-icmp -j ACCEPT`},
	"iptables with histories": {unknown: []uint16{23, 80, 81, 82, 444}, rules: `
		iptables -P INPUT DROP
		iptables -A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT
		iptables -A INPUT -p icmp -j ACCEPT
		iptables -A INPUT -p tcp --dport 22 -m recent --set --name ssh
		iptables -A INPUT -p tcp --dport 22 -m recent ! --rcheck --seconds 60 --hitcount 19 --name ssh -j ACCEPT
		iptables -A INPUT -p tcp --dport 23 -m recent ! --rcheck --name knock -j ACCEPT
		iptables -A INPUT -p tcp --dport 80 -m connlimit --connlimit-above 0 -j ACCEPT
		iptables -A INPUT -p tcp --dport 81 -m limit --limit 1/day --limit-burst 1 -j RETURN
		iptables -A INPUT -p tcp --dport 81 -j ACCEPT
		iptables -A INPUT -p tcp --dport 82 --tcp-flags ALL SYN -j DROP
		iptables -A INPUT -p tcp --dport 82 -j ACCEPT
		iptables -A INPUT -p tcp --dport 443 -j ACCEPT
		iptables -t nat -A PREROUTING -p tcp --dport 444 -j REDIRECT --to-ports 443-445
		ip6tables -A INPUT -m frag -j DROP
		ip6tables -A INPUT -m hbh -j DROP
		ip6tables -A INPUT -m rt --rt-type 0 -j DROP
		ip6tables -A INPUT -p tcp --dport 22 -j DROP`},
}

// TestRealDoubts proves that an answer about a rule set is right wherever there is one, and that
// there is none where there cannot be.
func TestRealDoubts(t *testing.T) {
	t.Parallel()
	nft := realsrv.Need(t, "nft")
	for name, c := range doubtful {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := realsrv.NewPair(t)
			talkative(t, p)
			if c.ecn {
				out, err := realsrv.Run(t, realsrv.Cmd{Path: "/bin/sh", Args: []string{"-c", "echo 1 > /proc/sys/net/ipv4/tcp_ecn"}, Netns: p.Client})
				require.NoError(t, err, out)
			}
			load(t, p, nft, c.rules)
			r := export(t, p, nft, strings.Contains(c.rules, "iptables -"))
			proveTold(t, p, r, realPorts, c.unknown)
		})
	}
}

// proveTold connects to ports, sends datagrams to them, and compares, wherever there is an answer.
// There must be none about the unknown ones, over TCP and IPv4 from the first source. It returns how
// many there were.
func proveTold(t *testing.T, p *realsrv.Pair, r hostfw.Ruleset, ports, unknown []uint16) (told int) {
	t.Helper()
	for _, address := range p.Addresses {
		for _, port := range ports {
			listen(t, p, netip.AddrPortFrom(address, port))
			echo(t, p, netip.AddrPortFrom(address, port))
		}
	}
	evaluated := r.Evaluate()
	var wg sync.WaitGroup
	var lock sync.Mutex
	compare := func(packet hostfw.Packet, in bool) {
		d := r.Decide(packet)
		if d.Action == hostfw.Unknown {
			assert.NotEmpty(t, d.Unmodelled)
			assert.False(t, exposed(evaluated, packet), "%+v", packet)
			return
		}
		lock.Lock()
		told++
		lock.Unlock()
		assert.Equal(t, d.Action == hostfw.Accept, in, "%+v: predicted %s by %q", packet, d.Action, d.By)
		assert.Equal(t, d.Action == hostfw.Accept, exposed(evaluated, packet), "%+v", packet)
		assert.False(t, packet.Protocol == hostfw.TCP && packet.Source == p.Sources[0][0] && slices.Contains(unknown, packet.Port), "port %d: %s by %q", packet.Port, d.Action, d.By)
	}
	for version, address := range p.Addresses {
		for _, source := range p.Sources[version] {
			packet := hostfw.Packet{Source: source, SourcePort: 50000, Destination: address, Interface: "eth0"}
			wg.Go(func() {
				prober := hostfw.Prober{Timeout: 1500 * time.Millisecond, Parallel: len(ports), Dial: p.Client.From(source)}
				o, err := prober.Probe(t.Context(), address.String(), ports)
				if !assert.NoError(t, err) {
					return
				}
				packet := packet
				for _, s := range o.Ports {
					packet.Port = s.Port
					compare(packet, s.State == hostfw.Open)
				}
			})
			wg.Go(func() {
				packet := packet
				packet.Protocol = hostfw.UDP
				answered := func(port uint16) bool {
					packet := packet
					packet.Port = port
					return r.Decide(packet).Action == hostfw.Accept
				}
				for port, got := range datagrams(t, p, source, address, ports, answered) {
					packet.Port = port
					compare(packet, got == hostfw.Accept)
				}
			})
		}
	}
	wg.Wait()
	return told
}

// someExpressions are conditions and statements of nft, modelled or not. What they say is proved with
// each of them in front of a verdict.
var someExpressions = []string{
	// Marks, owners, interfaces, time.
	"meta mark 0", "meta mark != 0", "meta mark & 0x1 == 0", "ct mark 0", "ct mark != 0", "meta skuid 0", "meta skuid != 0", "meta skgid 0", "meta iif 9999",
	"meta iif != 9999", "iif eth0", "iif != eth0", "iifgroup default", "iifgroup != 0", "iiftype ether", `iifname "eth*"`, `iifname != "lo"`, "meta length < 100", "meta length > 1000",
	"meta cpu < 64", `meta day "Monday"`, `meta hour "00:00"-"23:59"`, `meta time > "2020-01-01"`, "meta cgroup 0", "meta pkttype host", "meta pkttype != host",
	"meta protocol ip", "meta nfproto ipv6", "meta l4proto tcp", "meta l4proto != udp", "meta ipsec missing", "meta ipsec exists",
	// Fields.
	"ip ttl 64", "ip ttl 1", "ip dscp 0", "ip dscp cs1", "ip hdrlength 5", "ip length < 1000", "ip id 0", "ip frag-off 0x4000", "ip frag-off & 0x1fff == 0", "ip ecn 0", "ip version 4", "ip protocol tcp",
	"ip protocol != tcp", "ip saddr != 198.51.100.1", "ip daddr 192.0.2.10", "ip6 hoplimit 64", "ip6 dscp 0", "ip6 flowlabel 0", "ip6 length < 1000", "ip6 nexthdr tcp", "ip6 nexthdr != udp", "ip6 saddr 2001:db8::/64",
	"tcp option maxseg exists", "tcp option maxseg size 1460", "tcp option sack-perm missing", "tcp window > 0", "tcp doff 10", "tcp ackseq 0", "tcp urgptr 0", "tcp sequence != 0", "tcp flags syn",
	"tcp flags & (syn | ack) == syn", "tcp flags != syn", "tcp flags ! rst", "tcp sport > 1023", "udp length 12", "udp checksum != 0", "udp sport > 1023", "th sport < 1024", "@nh,0,4 4",
	"ether saddr 02:00:00:00:00:01", "ether saddr 02:00:00:00:00:02", "ether type ip", "vlan id 1", "exthdr hbh exists", "exthdr frag missing", "ip option lsrr exists",
	// Connection tracking.
	"ct state new", "ct state != related", "ct state { new, established }", "ct state untracked", "ct state invalid", "ct state ! invalid", "ct state & (new | established) != 0", "ct zone 0", "ct id 0", "ct bytes > 0",
	"ct packets < 100", "ct expiration < 1h", "ct original proto-dst 80", "ct original ip saddr 192.0.2.1", "ct reply ip daddr 192.0.2.1", "ct direction original", "ct direction reply", "ct status snat",
	"ct status dnat", "ct status ! dnat", "ct status confirmed", "ct status ! seen-reply", "ct protocol tcp", "ct l3proto ipv4", `ct helper "ftp"`, "ct label 1",
	// Routes, sockets, numbers.
	"fib saddr type unicast", "fib saddr type local", "fib daddr type local", "fib daddr . iif type local", "fib daddr . iif type != local", "fib daddr . iif type unicast", "fib saddr . iif oif exists", "fib saddr . iif oif missing",
	`fib saddr . iif oifname "eth0"`, "fib daddr . mark type local", "fib daddr oif exists", "socket transparent 1", "socket wildcard 0", "socket mark 0", `osf name "Linux"`, "numgen inc mod 1 0", "numgen inc mod 1 1",
	"jhash ip saddr mod 1 0", "symhash mod 1 0", "rt classid 0",
	// Concatenations and sets.
	`iifname . ip saddr { "eth0" . 192.0.2.1 }`, `iifname . ip saddr != { "eth0" . 192.0.2.1 }`, "meta l4proto . ip saddr { tcp . 192.0.2.0/24 }", "meta l4proto . ip saddr != { tcp . 192.0.2.0/24 }", "meta mark . ip saddr { 0x0 . 192.0.2.1 }",
	"ip saddr . meta mark != { 192.0.2.1 . 0x0 }", "ether saddr . ip saddr { 02:00:00:00:00:01 . 192.0.2.1 }", "ip saddr . ip daddr . meta l4proto { 192.0.2.1 . 192.0.2.10 . tcp }", "ct state . meta l4proto { new . tcp }",
	"ip6 saddr . meta l4proto { 2001:db8::/64 . udp }", "ip saddr @hosts", "ip saddr != @hosts", "ip saddr @seen", "ip saddr != @seen", "ip6 saddr @hosts6", "ip6 saddr != @hosts6",
	// Limits.
	"limit rate 1000/second burst 1000 packets", "limit rate over 1000/second burst 1000 packets", "quota 1000 mbytes", "quota over 1000 mbytes", "ct count 1000", "ct count over 1000", `limit name "slow"`, `quota name "lots"`,
	"limit name meta l4proto map @limits", `limit name th dport map { 1 : "slow" }`,
	// Statements.
	"counter", `log prefix "x"`, "meta mark set 1", "ct mark set 1", "meta mark set ct mark", "meta mark set th dport map { 1 : 0x1 }", "meta mark set meta l4proto map { tcp : 0x1 }", "ct mark set meta l4proto map { udp : 0x1 }",
	"ct mark set ip saddr map { 192.0.2.1 : 0x1 }", "meta priority set 1:1", "meta nftrace set 1", "ip dscp set cs1", "ip6 dscp set cs1", "ip ttl set 60", "ip6 hoplimit set 60",
	"tcp option maxseg size set 1000", `counter name "one"`, `counter name meta l4proto map { tcp : "one" }`, `counter name th dport map { 1 : "one" }`, "add @seen { ip saddr }", "update @counted { ip saddr limit rate over 1000/second }",
	"add @seen6 { ip6 saddr }", "ip saddr 192.0.2.1 add @seen { ip saddr }", "ip saddr vmap { 192.0.2.1 : continue }", "meta l4proto vmap { tcp : continue, udp : return }",
	"ip protocol . th dport vmap { tcp . 1 : drop }",
}

// TestRealExpressions puts each expression in front of an accept and of a drop, before connection
// tracking and behind it: the evaluation is right, or says that it does not know.
func TestRealExpressions(t *testing.T) {
	t.Parallel()
	nft := realsrv.Need(t, "nft")
	const base = `
		table inet proof {
			set hosts { type ipv4_addr; flags interval; elements = { 192.0.2.0/28, 203.0.113.1 } }
			set hosts6 { type ipv6_addr; elements = { 2001:db8:1::1 } }
			set seen { type ipv4_addr; flags dynamic, timeout; timeout 1h; }
			set counted { type ipv4_addr; flags dynamic, timeout; timeout 1h; }
			set seen6 { type ipv6_addr; flags dynamic, timeout; timeout 1h; }
			limit slow { rate 1000/second burst 1000 packets }
			quota lots { over 1000 mbytes }
			counter one { }
			map limits { type inet_proto : limit; elements = { tcp : "slow" } }
			chain before { type filter hook prerouting priority -300; policy accept; }
			chain input { type filter hook input priority 0; policy drop; ct state established accept; meta l4proto { icmp, ipv6-icmp } accept; }
		}`
	for part, expressions := range slices.Collect(slices.Chunk(someExpressions, 50)) {
		t.Run(fmt.Sprint("part ", part), func(t *testing.T) {
			t.Parallel()
			p := realsrv.NewPair(t)
			talkative(t, p)
			load(t, p, nft, base)
			var ports []uint16
			var rules []string
			loaded := 0
			add := func(chain, rule string) bool {
				out, err := realsrv.Run(t, realsrv.Cmd{Path: nft, Args: []string{"add rule inet proof " + chain + " " + rule}, Netns: p.Host})
				if err != nil {
					t.Logf("%s: %s", rule, out)
					return false
				}
				rules = append(rules, chain+" "+rule)
				return true
			}
			for i, e := range expressions {
				port := uint16(2000 + 10*i)
				on := func(n uint16) string {
					for _, protocol := range []string{"tcp", "udp"} {
						if strings.HasPrefix(e, protocol+" ") {
							return fmt.Sprintf("%s dport %d ", protocol, port+n) // nft refuses one behind the other
						}
					}
					return fmt.Sprintf("meta l4proto { tcp, udp } th dport %d ", port+n)
				}
				if !add("input", on(0)+e+" accept") {
					continue // this kernel or nft does not have it
				}
				loaded++
				require.True(t, add("input", on(1)+e+" drop"))
				require.True(t, add("input", on(1)+"accept"))
				ports = append(ports, port, port+1)
				if add("before", on(2)+e+" drop") {
					require.True(t, add("input", on(2)+"accept"))
					ports = append(ports, port+2)
				}
			}
			assert.Greater(t, loaded, len(expressions)*3/4)
			r := export(t, p, nft, false)
			told := proveTold(t, p, r, ports, nil)
			t.Logf("%d of %d expressions; %d answers of %d", loaded, len(expressions), told, 8*len(ports))
			if t.Failed() {
				t.Log(strings.Join(rules, "\n"))
			}
		})
	}
}

// optionsOf are matches of iptables for one IP version.
var optionsOf = [2][]string{{
	"-s 192.0.2.1", "! -s 192.0.2.0/24", "-s 192.0.2.1/255.255.0.255", "! -s 192.0.2.1/255.255.0.255", "-m iprange --src-range 192.0.2.0-192.0.2.255", "-m iprange ! --dst-range 192.0.2.0-192.0.2.255", "-d 192.0.2.10", "! -d 192.0.2.11", "-f", "! -f", "-m ttl --ttl-eq 64", "-m ttl --ttl-lt 64", "-m ecn --ecn-ip-ect 0", "-m realm --realm 0", "-m osf --genre Linux",
}, {
	"-s 2001:db8::1", "! -s 2001:db8::/64", "-s 2001:db8::1/ffff:ffff::ffff", "-m iprange --src-range 2001:db8::-2001:db8::ff", "-m hl --hl-eq 64", "-m frag --fragfirst", "-m frag", "-m rt --rt-type 0", "-m rt ! --rt-type 0", "-m hbh", "-m dst", "-m ah", "-m ah ! --ahspi 5", "-m mh", "-m ipv6header --header hop --soft", "-m ipv6header ! --header hop --soft", "-m ipv6header --header none", "-m srh",
}}

// someOptions are matches of iptables for both IP versions, modelled or not.
var someOptions = []string{
	"-m mark --mark 0", "-m mark ! --mark 0", "-m mark --mark 1/1", "-m connmark --mark 0", "-m connmark ! --mark 0", "-m mac --mac-source 02:00:00:00:00:01", "-m mac ! --mac-source 02:00:00:00:00:01",
	"-m length --length 0:100", "-m length ! --length 0:100", "-m statistic --mode nth --every 1 --packet 0", "-m statistic --mode random --probability 1", "-m string --string xyz --algo bm", "-m string ! --string xyz --algo bm",
	"-m time --timestart 00:00 --timestop 23:59", "-m u32 --u32 \"0&0=0\"", "-m bpf --bytecode \"1,6 0 0 65535\"", "-m dscp --dscp 0", "-m dscp ! --dscp 0", "-m cpu --cpu 99", "-m cpu ! --cpu 99", "-m devgroup --src-group 0", "-m devgroup ! --src-group 0",
	"-m policy --dir in --pol none", "-m policy --dir in --pol ipsec", "-m socket", "-m socket --transparent", "-m rpfilter", "-m rpfilter --invert", "-m rpfilter --loose", "-m cluster --cluster-total-nodes 2 --cluster-local-node 1 --cluster-hash-seed 1",
	"-m conntrack --ctstate NEW", "-m conntrack ! --ctstate NEW", "-m conntrack --ctstate NEW,UNTRACKED", "-m conntrack --ctstate UNTRACKED", "-m conntrack --ctstate INVALID", "-m conntrack --ctstate DNAT", "-m conntrack ! --ctstate DNAT", "-m conntrack --ctstate SNAT",
	"-m conntrack ! --ctstate SNAT", "-m conntrack --ctstate NEW,SNAT", "-m conntrack --ctdir ORIGINAL", "-m conntrack --ctdir REPLY", "-m conntrack --ctstatus NONE", "-m conntrack --ctstatus CONFIRMED", "-m conntrack --ctproto tcp", "-m conntrack --ctorigdstport 80", "-m conntrack ! --ctorigdstport 80",
	"-m state --state NEW", "-m state ! --state ESTABLISHED,RELATED", "-m connbytes --connbytes 0:1000 --connbytes-dir both --connbytes-mode packets", "-m connlimit --connlimit-above 1000", "-m connlimit ! --connlimit-above 1000", "-m connlimit --connlimit-upto 1000",
	"-m limit --limit 1000/sec --limit-burst 1000", "-m hashlimit --hashlimit-upto 1000/sec --hashlimit-burst 1000 --hashlimit-name a --hashlimit-mode srcip", "-m hashlimit --hashlimit-above 1000/sec --hashlimit-burst 1000 --hashlimit-name b --hashlimit-mode srcip", "-m quota --quota 100000000",
	"-m recent --set --name r1", "-m recent ! --set --name r1", "-m recent --rcheck --name r2", "-m recent ! --rcheck --name r2", "-m recent --update --seconds 60 --hitcount 19 --name r3", "-m recent ! --update --seconds 60 --hitcount 19 --name r3",
	"-m addrtype --dst-type LOCAL", "-m addrtype ! --dst-type LOCAL", "-m addrtype --dst-type UNICAST", "-m addrtype --src-type LOCAL", "-m addrtype --src-type UNICAST", "-m addrtype ! --src-type LOCAL", "-m addrtype --dst-type LOCAL --limit-iface-in", "-m addrtype --dst-type BROADCAST,MULTICAST", "-m addrtype --dst-type UNICAST,LOCAL", "-m addrtype --dst-type MULTICAST,LOCAL", "-m addrtype ! --dst-type UNICAST", "-m addrtype --dst-type ANYCAST",
	"-m pkttype --pkt-type unicast", "-m pkttype ! --pkt-type unicast", "-m pkttype --pkt-type broadcast", "-m pkttype ! --pkt-type multicast", "-i eth0", "! -i eth0", "-i eth+", "! -i eth+", "-i +", "-i lo",
	"-m tcp --sport 1024:65535", "-m tcp ! --sport 1024:65535", "-m tcp --syn", "-m tcp ! --syn", "-m tcp --tcp-flags ALL SYN", "-m tcp ! --tcp-flags ALL SYN", "-m tcp --tcp-flags SYN,ACK SYN", "-m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN", "-m tcp --tcp-flags ALL NONE", "-m tcp ! --tcp-flags ALL NONE", "-m tcp --tcp-option 2", "-m tcp ! --tcp-option 2", "-m tcpmss --mss 1000:1500", "-m multiport --sports 1024:65535", "-m multiport ! --sports 80,443", "-m multiport --ports 1:65535",
	"-m comment --comment \"-j DROP\"", "-m comment --comment x -m mark --mark 0 -m conntrack --ctstate NEW",
}

// TestRealOptions is TestRealExpressions for the matches of iptables.
func TestRealOptions(t *testing.T) {
	t.Parallel()
	nft := realsrv.Need(t, "nft")
	p, scratch := realsrv.NewPair(t), realsrv.NewNetns(t)
	talkative(t, p)
	file := filepath.Join(t.TempDir(), "rules")
	allOptions := slices.Concat(someOptions, optionsOf[0], optionsOf[1])
	type block struct{ option, raw, filter string } // lines of the two tables
	loaded := map[string]bool{}
	for version, program := range []string{"iptables", "ip6tables"} {
		restore := realsrv.Need(t, program+"-nft-restore")
		load := func(ns *realsrv.Netns, blocks []block) (string, error) {
			var raw, filter strings.Builder
			for _, b := range blocks {
				raw.WriteString(b.raw)
				filter.WriteString(b.filter)
			}
			ruleset := "*raw\n:PREROUTING ACCEPT [0:0]\n" + raw.String() + "COMMIT\n*filter\n:INPUT DROP [0:0]\n" +
				"-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n-A INPUT -p " + []string{"icmp", "ipv6-icmp"}[version] + " -j ACCEPT\n" + filter.String() + "COMMIT\n"
			require.NoError(t, os.WriteFile(file, []byte(ruleset), 0o600))
			return realsrv.Run(t, realsrv.Cmd{Path: restore, Args: []string{file}, Netns: ns})
		}
		// What this kernel or this IP version does not have is found out by halves, apart.
		var known func([]block) []block
		known = func(blocks []block) []block {
			if _, err := load(scratch, blocks); err == nil {
				return blocks
			}
			if len(blocks) == 1 {
				return nil
			}
			half := len(blocks) / 2
			return append(known(blocks[:half:half]), known(blocks[half:])...)
		}
		var all []block
		for i, option := range allOptions {
			if slices.Contains(optionsOf[1-version], option) {
				continue
			}
			protocols := []string{"tcp", "udp"}
			if strings.Contains(option, "-m tcp") || strings.Contains(option, "-m osf") {
				protocols = protocols[:1]
			}
			for _, protocol := range protocols {
				on := func(n int) string { return fmt.Sprintf("-p %s --dport %d ", protocol, optionPort(i)+uint16(n)) }
				all = append(all, block{option, "", "-A INPUT " + on(0) + option + " -j ACCEPT\n-A INPUT " + on(1) + option + " -j DROP\n-A INPUT " + on(1) + "-j ACCEPT\n"},
					block{option, "-A PREROUTING " + on(2) + option + " -j DROP\n", "-A INPUT " + on(2) + "-j ACCEPT\n"})
			}
		}
		all = known(all)
		for _, b := range all {
			loaded[b.option] = true
		}
		out, err := load(p.Host, all)
		require.NoError(t, err, out)
	}
	var ports []uint16
	for i, option := range allOptions {
		if loaded[option] {
			ports = append(ports, optionPort(i), optionPort(i)+1, optionPort(i)+2)
		} else {
			t.Log("not known here:", option)
		}
	}
	assert.Greater(t, len(ports), 3*len(allOptions)*3/4)
	told := proveTold(t, p, export(t, p, nft, true), ports, nil)
	t.Logf("%d of %d options; %d answers of %d", len(ports)/3, len(allOptions), told, 8*len(ports))
}

// optionPort is the first of three ports for one of the options.
func optionPort(i int) uint16 { return uint16(2000 + 10*i) }
