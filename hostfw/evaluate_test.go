package hostfw

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The numbers that random programs and packets are made of are few, so that they meet.
var (
	somePorts     = []uint16{0, 1, 21, 22, 23, 80, 443, 8080, 65534, 65535}
	someAddresses = []string{"0.0.0.0", "10.0.0.0", "10.0.0.7", "10.0.0.255", "10.0.1.0", "192.0.2.1", "255.255.255.255",
		"::", "2001:db8::1", "2001:db8::2", "2001:db8:1::", "fe80::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}
	somePrefixes = []string{"0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/24", "10.0.0.7/32", "10.0.0.128/25", "::/0", "2001:db8::/32", "2001:db8::1/128", "fe80::/10"}
)

func drawPorts(t *rapid.T, label string) portSet {
	if rapid.Bool().Draw(t, label+" any") {
		return nil
	}
	var ranges []PortRange
	for range rapid.IntRange(1, 3).Draw(t, label+" count") {
		a, b := rapid.SampledFrom(somePorts).Draw(t, label), rapid.SampledFrom(somePorts).Draw(t, label)
		ranges = append(ranges, PortRange{min(a, b), max(a, b)})
	}
	set := portsOf(ranges...)
	if rapid.IntRange(0, 3).Draw(t, label+" not") == 0 {
		return set.complement()
	}
	return set
}

func drawAddresses(t *rapid.T, label string) addrSet {
	if rapid.Bool().Draw(t, label+" any") {
		return nil
	}
	var all []netip.Prefix
	for range rapid.IntRange(1, 3).Draw(t, label+" count") {
		all = append(all, netip.MustParsePrefix(rapid.SampledFrom(somePrefixes).Draw(t, label)))
	}
	set := addressesOf(all...)
	if rapid.IntRange(0, 3).Draw(t, label+" not") == 0 {
		return set.complement()
	}
	return set
}

func drawNames(t *rapid.T) *nameSet {
	if rapid.Bool().Draw(t, "interfaces any") {
		return nil
	}
	return &nameSet{names: []string{rapid.SampledFrom([]string{"eth0", "eth*", "e*", "lo"}).Draw(t, "interface")}, not: rapid.Bool().Draw(t, "not")}
}

func drawMatch(t *rapid.T) match {
	m := match{sources: drawAddresses(t, "source"), ports: drawPorts(t, "port")}
	few := func(label string) bool { return rapid.IntRange(0, 4).Draw(t, label) == 0 }
	if few("protocol?") {
		m.protocols = []Protocol{rapid.SampledFrom([]Protocol{TCP, UDP}).Draw(t, "protocol")}
	}
	if few("source port?") {
		m.sourcePorts = drawPorts(t, "source port")
	}
	if few("destination?") {
		m.destinations = drawAddresses(t, "destination")
	}
	if few("interface?") {
		m.interfaces = drawNames(t).and(drawNames(t))
	}
	if few("profile?") {
		m.profiles = []string{rapid.SampledFrom([]string{"Public", "Domain"}).Draw(t, "profile")}
	}
	if few("tracking?") {
		m.tracking = []tracking{rapid.SampledFrom([]tracking{trackNew, trackUntracked, trackNone}).Draw(t, "tracking")}
	}
	if few("translated?") {
		m.translated = rapid.SampledFrom([]condition{must, mustNot}).Draw(t, "translated")
	}
	if few("unmodelled?") {
		m.unmodelled = "meta mark 1"
	}
	return m
}

// drawProgram makes base chains and chains that they call; a chain calls only later ones, except
// when it may call itself.
func drawProgram(t *rapid.T) *program {
	chains := make([]*chain, rapid.IntRange(1, 4).Draw(t, "chains"))
	for i := range chains {
		chains[i] = &chain{name: fmt.Sprint("chain", i)}
	}
	verdicts := []verdict{verdictAccept, verdictAccept, verdictDrop, verdictDrop, verdictReject, verdictJump, verdictJump, verdictGoto,
		verdictReturn, verdictContinue, verdictUntrack, verdictRewrite, verdictMaybeAny}
	for i, c := range chains {
		for n := range rapid.IntRange(0, 5).Draw(t, "rules") {
			r := rule{match: drawMatch(t), verdict: rapid.SampledFrom(verdicts).Draw(t, "verdict"), by: fmt.Sprintf("%s rule %d", c.name, n+1)}
			switch r.verdict {
			case verdictJump, verdictGoto:
				if i+1 == len(chains) {
					r.verdict = verdictReturn
					break
				}
				r.target = chains[rapid.IntRange(i+1, len(chains)-1).Draw(t, "target")]
			case verdictRewrite:
				r.to = rapid.SampledFrom([]rewrite{{local: true, port: 443}, {address: netip.MustParseAddr("10.0.0.7"), port: 22}, {local: true}}).Draw(t, "to")
				if r.to.port == 0 {
					r.match.ports = portsOf(PortRange{22, 23}, PortRange{443, 443}) // each port goes its own way: keep the test quick
				}
			}
			if r.verdict == verdictMaybeAny {
				r.to.unknown = rapid.Bool().Draw(t, "unknown")
			}
			c.rules = append(c.rules, r)
		}
	}
	if rapid.IntRange(0, 2).Draw(t, "reject the rest") == 0 { // or hardly any packet gets to a rule that rejects
		chains[0].rules = append(chains[0].rules, rule{verdict: verdictReject, by: "chain0 rest"})
	}
	p := &program{}
	for i := range rapid.IntRange(1, 3).Draw(t, "stages") {
		p.stages = append(p.stages, stage{
			hook:   rapid.SampledFrom([]hook{hookPrerouting, hookInput, hookInput, hookForward}).Draw(t, "hook"),
			chain:  chains[min(i, len(chains)-1)],
			policy: rapid.SampledFrom([]verdict{verdictAccept, verdictDrop}).Draw(t, "policy"),
			by:     fmt.Sprint("policy ", i), nat: rapid.IntRange(0, 3).Draw(t, "nat") == 0,
			priority: rapid.SampledFrom([]int{-300, 0}).Draw(t, "priority"), only4: rapid.IntRange(0, 5).Draw(t, "only4") == 0,
		})
	}
	return p
}

func drawPacket(t *rapid.T, v4 bool) Packet {
	same := slices.DeleteFunc(slices.Clone(someAddresses), func(a string) bool { return netip.MustParseAddr(a).Is4() != v4 })
	addr := func(label string) netip.Addr {
		a := netip.MustParseAddr(rapid.SampledFrom(same).Draw(t, label))
		switch rapid.IntRange(0, 2).Draw(t, "beside") {
		case 1:
			if a.Next().IsValid() {
				return a.Next()
			}
		case 2:
			if a.Prev().IsValid() {
				return a.Prev()
			}
		}
		return a
	}
	port := func(label string) uint16 {
		return rapid.SampledFrom(somePorts).Draw(t, label) + uint16(rapid.IntRange(-1, 1).Draw(t, "beside"))
	}
	return Packet{
		Protocol: rapid.SampledFrom([]Protocol{TCP, UDP}).Draw(t, "protocol"),
		Source:   addr("source"), Destination: addr("destination"), SourcePort: port("source port"), Port: port("port"),
		Interface: rapid.SampledFrom([]string{"eth0", "eth1", "ens1", "wlan0", ""}).Draw(t, "interface"),
		Profile:   rapid.SampledFrom([]string{"Public", "Domain"}).Draw(t, "profile"),
	}
}

// String shows a drawn program when a test fails.
func (p *program) String() string {
	var b strings.Builder
	for _, s := range p.stages {
		fmt.Fprintf(&b, "hook %d nat %t policy %d %q\n", s.hook, s.nat, s.policy, s.by)
		for _, r := range s.chain.rules {
			fmt.Fprintf(&b, "  %s: %+v verdict %d to %+v", r.by, r.match, r.verdict, r.to)
			if r.target != nil {
				fmt.Fprintf(&b, " target %s", r.target.name)
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// holds reports whether a packet is in a box.
func (e *evaluation) holds(b *box, p Packet) bool {
	in := func(s []span, n u128) bool { return contains(s, []span{{n, n}}) }
	named := func(all []string, set names, name, otherwise string) bool {
		i := slices.Index(all, name)
		if i < 0 {
			i = slices.Index(all, otherwise)
		}
		return set.has(i)
	}
	other := otherInterface
	for _, wild := range []string{"e*", "eth*"} { // the longer one last
		if (&nameSet{names: []string{wild}}).has(p.Interface) && slices.Contains(e.interfaces, wild) {
			other = wild
		}
	}
	profile := ""
	if len(e.profiles) > 0 {
		profile = e.profiles[0]
	}
	if !slices.Contains(e.profiles, p.Profile) && profile != "" {
		return false // the evaluation has no such profile
	}
	return b.protocols&(1<<p.Protocol) != 0 && in(b.ports, u128{0, uint64(p.Port)}) && in(b.origin, u128{0, uint64(p.SourcePort)}) &&
		in(b.src, number(p.Source)) && in(b.dst, number(p.Destination)) &&
		named(e.interfaces, b.interfaces, p.Interface, other) && named(e.profiles, b.profiles, p.Profile, "")
}

// TestCellsAgreeWithPackets draws programs, and packets about the borders of what they compare
// with: each packet must be in exactly one box, and share its fate.
func TestCellsAgreeWithPackets(t *testing.T) {
	seen := map[Action]int{}
	rapid.Check(t, func(t *rapid.T) {
		p := drawProgram(t)
		v4 := rapid.Bool().Draw(t, "v4")
		cells, e := p.cells(v4)
		for range 30 {
			packet := drawPacket(t, v4)
			if !contains(subtract(everything(v4), addrSpans(notOutside, v4)), []span{{number(packet.Source), number(packet.Source)}}) ||
				!contains(subtract(everything(v4), addrSpans(notUnicast, v4)), []span{{number(packet.Destination), number(packet.Destination)}}) {
				continue
			}
			if len(e.profiles) == 1 {
				packet.Profile = e.profiles[0]
			}
			want := p.decide(packet)
			seen[want.Action]++
			var got []Decision
			for i := range cells {
				if e.holds(&cells[i].box, packet) {
					got = append(got, cells[i].fate.decision())
				}
			}
			require.Len(t, got, 1, "%+v", packet)
			require.Equal(t, want, got[0], "%+v\n%s", packet, p)
		}
	})
	for a := range Reject + 1 {
		assert.NotZero(t, seen[a], "no packet met %s", a)
	}
}
