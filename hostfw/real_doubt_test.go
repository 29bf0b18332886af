package hostfw_test

import (
	"net/netip"
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
	"limits and flags": {ecn: true, unknown: []uint16{22, 23, 24, 80, 81, 83, 84, 110, 111}, rules: `
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
			for _, address := range p.Addresses {
				for _, port := range realPorts {
					listen(t, p, netip.AddrPortFrom(address, port))
				}
			}
			evaluated := r.Evaluate()
			var wg sync.WaitGroup
			for version, address := range p.Addresses {
				for _, source := range p.Sources[version] {
					wg.Go(func() {
						prober := hostfw.Prober{Timeout: 1500 * time.Millisecond, Parallel: len(realPorts), Dial: p.Client.From(source)}
						o, err := prober.Probe(t.Context(), address.String(), realPorts)
						if !assert.NoError(t, err) {
							return
						}
						for _, s := range o.Ports {
							packet := hostfw.Packet{Protocol: hostfw.TCP, Source: source, SourcePort: 50000, Destination: address, Port: s.Port, Interface: "eth0"}
							d := r.Decide(packet)
							if d.Action == hostfw.Unknown {
								assert.NotEmpty(t, d.Unmodelled)
								assert.False(t, exposed(evaluated, packet), "%+v", packet)
								continue
							}
							assert.Equal(t, d.Action == hostfw.Accept, s.State == hostfw.Open, "%s to %s:%d: %s, predicted %s by %q", source, address, s.Port, s.State, d.Action, d.By)
							assert.Equal(t, d.Action == hostfw.Accept, exposed(evaluated, packet), "%+v", packet)
							assert.False(t, address.Is4() && source == p.Sources[0][0] && slices.Contains(c.unknown, s.Port), "port %d: %s by %q", s.Port, d.Action, d.By)
						}
					})
				}
			}
			wg.Wait()
		})
	}
}
