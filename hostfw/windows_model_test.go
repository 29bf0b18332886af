package hostfw

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The model is Windows' semantics written down a second time, as directly as the documentation
// says it and sharing nothing with the compiler: in one world everything that an export leaves
// open is settled, and what can happen is what happens in some world.

// certainty is whether a condition holds: in no world, in some, in all.
type certainty uint8

const (
	never certainty = iota
	sometimes
	always
)

func certainIf(b bool) certainty {
	if b {
		return always
	}
	return never
}

// modelPorts and modelSources are the values that the test draws from, with their meaning.
var modelPorts = map[string]func(Protocol, uint16) certainty{
	"Any":       func(Protocol, uint16) certainty { return always },
	"80":        func(_ Protocol, p uint16) certainty { return certainIf(p == 80) },
	"443":       func(_ Protocol, p uint16) certainty { return certainIf(p == 443) },
	"80-443":    func(_ Protocol, p uint16) certainty { return certainIf(p >= 80 && p <= 443) },
	"RPC":       func(_ Protocol, p uint16) certainty { return certainIf(p >= 49152) },
	"IPHTTPSIn": func(_ Protocol, p uint16) certainty { return min(sometimes, certainIf(p == 443)) },
	"Quantum":   func(Protocol, uint16) certainty { return sometimes },
}

var modelSources = map[string]func(netip.Addr) certainty{
	"Any":                  func(netip.Addr) certainty { return always },
	"10.0.0.0/8":           func(a netip.Addr) certainty { return certainIf(a.Is4() && a.As4()[0] == 10) },
	"10.1.0.0/255.255.0.0": func(a netip.Addr) certainty { return certainIf(a.Is4() && a.As4()[0] == 10 && a.As4()[1] == 1) },
	"192.0.2.1-192.0.2.9": func(a netip.Addr) certainty {
		return certainIf(strings.HasPrefix(a.String(), "192.0.2.") && a.As4()[3] >= 1 && a.As4()[3] <= 9)
	},
	"2001:db8::/32": func(a netip.Addr) certainty { return certainIf(strings.HasPrefix(a.String(), "2001:db8:")) },
	"LocalSubnet": func(a netip.Addr) certainty {
		return min(sometimes, certainIf(a.IsPrivate() || a.IsLinkLocalUnicast()))
	},
	"DNS": func(netip.Addr) certainty { return sometimes },
	"10.1.2.3,2001:db8:7::1": func(a netip.Addr) certainty {
		return certainIf(a.String() == "10.1.2.3" || a.String() == "2001:db8:7::1")
	},
}

type modelRule struct {
	enabled, inbound, block, secured bool
	profiles                         int
	protocol, port, source, program  string
	store                            string // "Local", "GroupPolicy", "" not in the export
}

// modelProfile holds "True", "False", and "" for what is not in the export.
type modelProfile struct{ enabled, allowDefault, inboundRules, localRules string }

// world settles doubts: each bit one, in the order in which they come up.
type world struct {
	bits  uint
	known map[string]bool
}

func (w *world) settle(c certainty, key string) bool {
	if c != sometimes {
		return c == always
	}
	value, ok := w.known[key]
	if !ok {
		value = w.bits>>len(w.known)&1 == 1
		w.known[key] = value
	}
	return value
}

func (w *world) is(s, key string) bool {
	if s == "" {
		return w.settle(sometimes, key)
	}
	return s == "True"
}

// lets is what happens in one world.
func (w *world) lets(rules []modelRule, profile modelProfile, bit int, p Packet) bool {
	if !w.is(profile.enabled, "enabled") {
		return true
	}
	if !w.is(profile.inboundRules, "inbound rules") {
		return false
	}
	applies := func(i int) bool {
		r := rules[i]
		key := fmt.Sprint("rule ", i)
		switch {
		case !r.enabled || !r.inbound || r.profiles>>bit&1 == 0:
			return false
		case r.protocol != "Any" && !strings.EqualFold(r.protocol, p.Protocol.String()):
			return false
		case profile.localRules == "False" && !w.settle(map[string]certainty{"Local": never, "GroupPolicy": always, "": sometimes}[r.store], key+" merged"):
			return false
		}
		return w.settle(modelPorts[r.port](p.Protocol, p.Port), key+" port") && w.settle(modelSources[r.source](p.Source), key+" source") &&
			(!r.secured || w.settle(sometimes, key+" secured"))
	}
	for i, r := range rules {
		if r.block && r.program == "Any" && applies(i) {
			return false
		}
	}
	for i, r := range rules {
		if r.block || !applies(i) {
			continue
		}
		stopped := false
		for j, b := range rules {
			if !b.block || b.program == "Any" || !applies(j) {
				continue
			}
			same := certainIf(b.program == r.program)
			if same == never && r.program != "Any" && b.program[len(b.program)-5:] == r.program[len(r.program)-5:] {
				same = sometimes
			}
			stopped = stopped || w.settle(same, fmt.Sprint("program ", i, j))
		}
		if !stopped {
			return true
		}
	}
	return w.is(profile.allowDefault, "default")
}

// modelDecide is what happens in all worlds.
func modelDecide(rules []modelRule, profile modelProfile, bit int, p Packet) Action {
	var in, out bool
	for bits, n := uint(0), 0; bits < 1<<n || bits == 0; bits++ {
		w := &world{bits: bits, known: map[string]bool{}}
		if w.lets(rules, profile, bit, p) {
			in = true
		} else {
			out = true
		}
		n = max(n, len(w.known))
		if in && out {
			return Unknown
		}
	}
	if in {
		return Accept
	}
	return Drop
}

func drawRules(t *rapid.T) []modelRule {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) modelRule {
		return modelRule{
			enabled: rapid.IntRange(0, 4).Draw(t, "enabled") > 0, inbound: rapid.IntRange(0, 4).Draw(t, "inbound") > 0,
			block: rapid.Bool().Draw(t, "block"), secured: rapid.IntRange(0, 5).Draw(t, "secured") == 0,
			profiles: rapid.IntRange(1, 7).Draw(t, "profiles"),
			protocol: rapid.SampledFrom([]string{"TCP", "UDP", "Any", "ICMPv4"}).Draw(t, "protocol"),
			port:     rapid.SampledFrom(sortedKeys(modelPorts)).Draw(t, "port"),
			source:   rapid.SampledFrom(sortedKeys(modelSources)).Draw(t, "source"),
			program:  rapid.SampledFrom([]string{"Any", "Any", `C:\a.exe`, `C:\b.exe`, `D:\a.exe`}).Draw(t, "program"),
			store:    rapid.SampledFrom([]string{"Local", "GroupPolicy", ""}).Draw(t, "store"),
		}
	}), 0, 5).Draw(t, "rules")
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// modelJSON writes rules as WindowsExport does, or joined; with names or with numbers.
func modelJSON(t *rapid.T, rules []modelRule, profiles [3]modelProfile) []byte {
	numbers, joined := rapid.Bool().Draw(t, "numbers"), rapid.Bool().Draw(t, "joined")
	pick := func(b bool, name string, number int, otherName string, otherNumber int) any {
		if !b {
			name, number = otherName, otherNumber
		}
		if numbers {
			return number
		}
		return name
	}
	export := map[string][]map[string]any{}
	put := func(list string, object map[string]any) { export[list] = append(export[list], object) }
	for i, r := range rules {
		rule := map[string]any{
			"InstanceID": fmt.Sprint("r", i), "DisplayName": fmt.Sprint("r", i), "Enabled": pick(r.enabled, "True", 1, "False", 2),
			"Direction": pick(r.inbound, "Inbound", 1, "Outbound", 2), "Action": pick(r.block, "Block", 4, "Allow", 2), "Profile": r.profiles,
		}
		if r.store != "" {
			rule["PolicyStoreSourceType"] = pick(r.store == "Local", "Local", 1, "GroupPolicy", 2)
		}
		for list, filter := range map[string]map[string]any{
			"PortFilters":          {"Protocol": r.protocol, "LocalPort": r.port, "RemotePort": "Any"},
			"AddressFilters":       {"LocalAddress": "Any", "RemoteAddress": strings.Split(r.source, ",")},
			"ApplicationFilters":   {"Program": r.program, "Package": nil},
			"ServiceFilters":       {"Service": "Any"},
			"InterfaceFilters":     {"InterfaceAlias": "Any"},
			"InterfaceTypeFilters": {"InterfaceType": pick(true, "Any", 0, "", 0)},
			"SecurityFilters":      {"Authentication": pick(r.secured, "Required", 1, "NotRequired", 0), "Encryption": pick(true, "NotRequired", 0, "", 0), "OverrideBlockRules": false},
		} {
			if joined {
				for k, v := range filter {
					rule[k] = v
				}
				continue
			}
			filter["InstanceID"] = fmt.Sprint("r", i)
			put(list, filter)
		}
		put("Rules", rule)
	}
	// A rule set needs a rule to be one.
	put("Rules", map[string]any{"DisplayName": "out", "Enabled": 1, "Direction": 2, "Action": 2, "Profile": 0})
	for i, p := range profiles {
		object := map[string]any{"Name": profileNames[i]}
		for k, v := range map[string]string{"Enabled": p.enabled, "AllowInboundRules": p.inboundRules, "AllowLocalFirewallRules": p.localRules} {
			if v != "" {
				object[k] = pick(v == "True", "True", 1, "False", 0)
			}
		}
		if p.allowDefault != "" {
			object["DefaultInboundAction"] = pick(p.allowDefault == "True", "Allow", 2, "Block", 4)
		}
		put("Profiles", object)
	}
	data, err := json.Marshal(export)
	require.NoError(t, err)
	return data
}

func drawModelPacket(t *rapid.T) (Packet, int) {
	bit := rapid.IntRange(0, 2).Draw(t, "profile")
	p := Packet{
		Protocol: rapid.SampledFrom([]Protocol{TCP, UDP}).Draw(t, "protocol"), SourcePort: 50000, Profile: profileNames[bit],
		Port: rapid.SampledFrom([]uint16{79, 80, 81, 442, 443, 444, 3544, 49151, 49152, 65535}).Draw(t, "port"),
		Source: netip.MustParseAddr(rapid.SampledFrom([]string{
			"10.0.0.0", "10.1.2.3", "10.2.0.1", "11.0.0.1", "192.0.2.1", "192.0.2.10", "203.0.113.5", "192.168.1.1", "2001:db8::1", "2001:db8:7::1", "2001:db9::1", "fe80::1",
		}).Draw(t, "source")),
		Destination: netip.MustParseAddr("198.51.100.1"),
	}
	if p.Source.Is6() {
		p.Destination = netip.MustParseAddr("2001:db8:ffff::1")
	}
	return p, bit
}

// many checks ten times as often as rapid does by itself: some doubts come up in one rule set of
// a hundred.
func many(t *testing.T, check func(*rapid.T)) {
	for range 10 {
		rapid.Check(t, check)
	}
}

func TestWindowsAgreesWithModel(t *testing.T) {
	many(t, func(t *rapid.T) {
		rules := drawRules(t)
		var profiles [3]modelProfile
		tri := rapid.SampledFrom([]string{"True", "True", "False", ""})
		for i := range profiles {
			profiles[i] = modelProfile{tri.Draw(t, "enabled"), rapid.SampledFrom([]string{"True", "False", "False", ""}).Draw(t, "default"), tri.Draw(t, "inbound"), tri.Draw(t, "local")}
		}
		data := modelJSON(t, rules, profiles)
		p, err := parseWindowsJSON(data)
		require.NoError(t, err)
		for range 8 {
			packet, bit := drawModelPacket(t)
			want := modelDecide(rules, profiles[bit], bit, packet)
			if got := p.decide(packet); got.Action != want {
				t.Fatalf("%+v: %+v, but the model says %s\n%s", packet, got, want, data)
			}
		}
	})
}

// The same through netsh, which always says what the profiles are set to.
func TestNetshAgreesWithModel(t *testing.T) {
	many(t, func(t *rapid.T) {
		rules := drawRules(t)
		var profiles [3]modelProfile
		var b strings.Builder
		for i := range profiles {
			p := modelProfile{enabled: "True", inboundRules: "True", allowDefault: "False"}
			state, policy := "ON", "BlockInbound"
			if rapid.IntRange(0, 5).Draw(t, "off") == 0 {
				p.enabled, state = "False", "OFF"
			}
			switch rapid.IntRange(0, 4).Draw(t, "policy") {
			case 0:
				p.inboundRules, policy = "False", "BlockInboundAlways"
			case 1:
				p.allowDefault, policy = "True", "AllowInbound"
			}
			profiles[i] = p
			fmt.Fprintf(&b, "%s Profile Settings: \r\n---\r\nState                                 %s\r\nFirewall Policy                       %s,AllowOutbound\r\n\r\n", profileNames[i], state, policy)
		}
		word := func(b bool, yes, no string) string {
			if b {
				return yes
			}
			return no
		}
		for i, r := range rules {
			var in []string
			for bit, name := range profileNames {
				if r.profiles>>bit&1 == 1 {
					in = append(in, name)
				}
			}
			fmt.Fprintf(&b, "Rule Name:         r%d\r\n------\r\nEnabled:     %s\r\nDirection:    %s\r\nProfiles:   %s\r\nGrouping:   \r\nLocalIP:    Any\r\nRemoteIP:    %s\r\nProtocol:   %s\r\n",
				i, word(r.enabled, "Yes", "No"), word(r.inbound, "In", "Out"), strings.Join(in, ","), r.source, r.protocol)
			if r.protocol == "TCP" || r.protocol == "UDP" || r.port != "Any" {
				fmt.Fprintf(&b, "LocalPort:     %s\r\nRemotePort:    Any\r\n", r.port)
			}
			if r.program != "Any" {
				fmt.Fprintf(&b, "Program:    %s\r\n", r.program)
			}
			fmt.Fprintf(&b, "InterfaceTypes:   Any\r\nSecurity:   %s\r\nAction:   %s\r\n\r\n", word(r.secured, "Authenticate", "NotRequired"), word(r.block, "Block", "Allow"))
		}
		p, err := parseNetsh([]byte(b.String()))
		require.NoError(t, err)
		for range 8 {
			packet, bit := drawModelPacket(t)
			want := modelDecide(rules, profiles[bit], bit, packet)
			if got := p.decide(packet); got.Action != want {
				t.Fatalf("%+v: %+v, but the model says %s\n%s", packet, got, want, b.String())
			}
		}
	})
}
