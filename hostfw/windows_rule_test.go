package hostfw

import (
	"encoding/json"
	"maps"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// property changes one rule that allows TCP 80 to everyone, with the firewall on.
func property(t *testing.T, change map[string]any, more ...map[string]any) *program {
	t.Helper()
	rule := map[string]any{
		"InstanceID": "r", "DisplayName": "R", "Enabled": 1, "Direction": 1, "Action": 2, "Profile": 0, "PolicyStoreSourceType": 1,
		"Protocol": "TCP", "LocalPort": "80", "RemotePort": "Any", "LocalAddress": "Any", "RemoteAddress": "Any", "Program": "Any",
		"Service": "Any", "InterfaceType": 0, "InterfaceAlias": "Any", "Authentication": 0, "Encryption": 0,
	}
	maps.Copy(rule, change)
	export := map[string]any{"Rules": append([]map[string]any{rule}, more...), "Profiles": []map[string]any{
		{"Name": "Domain", "Enabled": 1, "DefaultInboundAction": 4, "AllowInboundRules": 1},
		{"Name": "Private", "Enabled": 1, "DefaultInboundAction": 4, "AllowInboundRules": 1},
		{"Name": "Public", "Enabled": 1, "DefaultInboundAction": 4, "AllowInboundRules": 1},
	}}
	data, err := json.Marshal(export)
	require.NoError(t, err)
	p, err := parseWindowsJSON(data)
	require.NoError(t, err)
	return p
}

// TestWindowsNarrowBlocks leaves something out of a block rule that could make it smaller than it
// looks: then nobody can tell whether it keeps the packet out.
func TestWindowsNarrowBlocks(t *testing.T) {
	block := map[string]any{
		"InstanceID": "b", "DisplayName": "B", "Enabled": 1, "Direction": 1, "Action": 4, "Profile": 0, "PolicyStoreSourceType": 1,
		"Protocol": "TCP", "LocalPort": "80", "RemotePort": "Any", "LocalAddress": "Any", "RemoteAddress": "Any", "Program": "Any",
		"Service": "Any", "InterfaceType": 0, "InterfaceAlias": "Any", "Authentication": 0,
	}
	packet := Packet{Source: netip.MustParseAddr("203.0.113.1"), SourcePort: 50000, Destination: netip.MustParseAddr("192.0.2.1"), Port: 80, Profile: "Public"}
	assert.Equal(t, Drop, property(t, nil, block).decide(packet).Action)
	for _, missing := range []string{"Protocol", "LocalPort", "RemotePort", "LocalAddress", "RemoteAddress", "Program", "Service", "InterfaceType", "InterfaceAlias", "Authentication"} {
		without := maps.Clone(block)
		delete(without, missing)
		d := property(t, nil, without).decide(packet)
		assert.Equal(t, Unknown, d.Action, missing)
		assert.Contains(t, d.Unmodelled, missing)
	}
	empty := maps.Clone(block)
	empty["RemoteAddress"] = nil
	assert.Equal(t, Unknown, property(t, nil, empty).decide(packet).Action)
}

func TestWindowsRuleProperties(t *testing.T) {
	for name, c := range map[string]struct {
		change map[string]any
		want   Action
		by     string
	}{
		"plain":                     {nil, Accept, `rule "R"`},
		"enabled, who knows":        {map[string]any{"Enabled": nil}, Unknown, `Enabled ""`},
		"bypass":                    {map[string]any{"Action": "AllowBypass"}, Unknown, "authenticated bypass"},
		"encrypted":                 {map[string]any{"Encryption": "Dynamic"}, Unknown, "IPsec"},
		"for machines":              {map[string]any{"RemoteMachine": "D:(A;;CC;;;S-1-5-11)"}, Unknown, "authorised peers"},
		"for users":                 {map[string]any{"RemoteUsers": "D:(A;;CC;;;S-1-5-11)"}, Unknown, "authorised peers"},
		"of a local user":           {map[string]any{"LocalUser": "D:(A;;CC;;;S-1-5-11)"}, Accept, "for user"},
		"of an owner":               {map[string]any{"Owner": "S-1-5-21-1"}, Accept, `for user "S-1-5-21-1"`},
		"of a package":              {map[string]any{"Package": "S-1-15-2-1"}, Accept, `for package "S-1-15-2-1"`},
		"of services":               {map[string]any{"Service": "*"}, Accept, `for service "*"`},
		"on wired interfaces":       {map[string]any{"InterfaceType": 1}, Drop, "default"},
		"on an alias":               {map[string]any{"InterfaceAlias": []string{"Ethernet"}}, Drop, "default"},
		"dynamic target":            {map[string]any{"DynamicTarget": "ProximityApps"}, Unknown, "DynamicTarget"},
		"dynamic addresses":         {map[string]any{"RemoteDynamicKeywordAddresses": []string{"{1}"}}, Unknown, "RemoteDynamicKeywordAddresses"},
		"no dynamic addresses":      {map[string]any{"RemoteDynamicKeywordAddresses": []string{}}, Accept, "R"},
		"local subnet of IPv4":      {map[string]any{"RemoteAddress": "LocalSubnet4"}, Unknown, "LocalSubnet4"},
		"local subnet of IPv6":      {map[string]any{"RemoteAddress": "LocalSubnet6"}, Drop, "default"},
		"list in a list":            {map[string]any{"LocalPort": [][]string{{"79"}, {"80"}}}, Accept, "R"},
		"list in one text":          {map[string]any{"LocalPort": "79, 80"}, Accept, "R"},
		"two protocols":             {map[string]any{"Protocol": []string{"UDP", "TCP"}}, Accept, "R"},
		"a protocol nobody knows":   {map[string]any{"Protocol": "TCPX"}, Unknown, "TCPX"},
		"a protocol without ports":  {map[string]any{"Protocol": "112"}, Drop, "default"},
		"boxed":                     {map[string]any{"LocalPort": map[string]any{"value": "80", "Count": 1}}, Accept, "R"},
		"port as a number":          {map[string]any{"LocalPort": 80}, Accept, "R"},
		"no port at all":            {map[string]any{"LocalPort": nil}, Accept, "R"},
		"a port that is none":       {map[string]any{"LocalPort": "80-70"}, Unknown, "80-70"},
		"an address that is none":   {map[string]any{"RemoteAddress": "10.0.0.0/99"}, Unknown, "10.0.0.0/99"},
		"all profiles, in registry": {map[string]any{"Profile": 2147483647}, Accept, "R"},
		"one profile":               {map[string]any{"Profile": "Private"}, Drop, "default of profile Domain"},
		"other protocol":            {map[string]any{"Protocol": "41"}, Drop, "default"},
		"protocol by number":        {map[string]any{"Protocol": 6}, Accept, "R"},
	} {
		t.Run(name, func(t *testing.T) {
			checkArrivals(t, property(t, c.change), []arrival{{"Domain", "192.168.3.4", TCP, 80, c.want, c.by}})
		})
	}
}

func TestWindowsInterfaceTypes(t *testing.T) {
	for value, in := range map[any][]string{1: {"Wired"}, 6: {"Wireless", "RemoteAccess"}, "Wired, Wireless": {"Wired", "Wireless"}, "LAN": {"Wired"}, "RAS": {"RemoteAccess"}} {
		p := property(t, map[string]any{"InterfaceType": value})
		for _, name := range interfaceTypes {
			want := Drop
			for _, i := range in {
				if i == name {
					want = Accept
				}
			}
			got := p.decide(Packet{Source: netip.MustParseAddr(stranger), Destination: netip.MustParseAddr("192.0.2.1"), Port: 80, Profile: "Public", Interface: name})
			assert.Equal(t, want, got.Action, "%v on %s", value, name)
		}
	}
	_, err := parseWindowsJSON([]byte(`[{"DisplayName":"R","Direction":1,"Action":2,"Enabled":1,"Profile":0,"InterfaceType":"Carrier pigeon"}]`))
	require.EqualError(t, err, `hostfw: rule 1 ("R"): unknown InterfaceType "Carrier pigeon"`)
}

// Two stores may hold a rule of one name: which filter belongs to which, nobody can tell.
func TestWindowsAmbiguousFilters(t *testing.T) {
	with := func(ports string) *program {
		p, err := parseWindowsJSON([]byte(`{"Profiles":[{"Name":"Domain","Enabled":1,"DefaultInboundAction":4,"AllowInboundRules":1}],
			"Rules":[{"InstanceID":"A","Direction":1,"Action":2,"Enabled":1,"Profile":1,"RemoteAddress":"Any","Program":"Any","Authentication":0},
			         {"InstanceID":"a","Direction":1,"Action":2,"Enabled":2,"Profile":1}],
			"PortFilters":[{"InstanceID":"A","Protocol":"TCP","LocalPort":"80"},{"InstanceID":"A","Protocol":"TCP","LocalPort":` + ports + `}]}`))
		require.NoError(t, err)
		return p
	}
	checkArrivals(t, with(`"80"`), []arrival{{"Domain", stranger, TCP, 80, Accept, `rule "A"`}})
	checkArrivals(t, with(`"81"`), []arrival{{"Domain", stranger, TCP, 80, Unknown, "two port filters"}, {"Domain", stranger, TCP, 82, Drop, "default"}})
}

func TestWindowsTextMistakes(t *testing.T) {
	for _, half := range []string{"\xff\xfea", "\xfe\xffa", "a\x00b\x00c"} {
		_, err := parseNetsh([]byte(half))
		require.EqualError(t, err, "hostfw: the export ends in half a UTF-16 character")
	}
	_, err := parseWindowsJSON(make([]byte, mostExport+1))
	require.EqualError(t, err, "hostfw: the export has more than 64 MiB")
}

func TestNetshDetails(t *testing.T) {
	rule := "Rule Name: R\nEnabled: Yes\nDirection: In\nProfiles: Domain\nLocalIP: Any\nRemoteIP: 10.0.0.0/8\n             192.168.0.0/16\nProtocol: TCP\nLocalPort: 80\nRemotePort: Any\nSecurity: NotRequired\nRule source: Local Setting\nAction: Allow\n"
	on := "Domain Profile Settings:\nState     ON\nFirewall Policy    BlockInbound,AllowOutbound\n"
	with := func(text string) *program {
		p, err := parseNetsh([]byte(text))
		require.NoError(t, err)
		return p
	}
	checkArrivals(t, with(on+rule), []arrival{
		{"Domain", "192.168.1.1", TCP, 80, Accept, "R"}, // an indented line goes on
		{"Domain", stranger, TCP, 80, Drop, "default"},
	})
	checkArrivals(t, with(on+strings.Replace(rule, "Allow", "Bypass", 1)), []arrival{{"Domain", "10.0.0.1", TCP, 80, Unknown, "bypass"}})
	checkArrivals(t, with(on+rule+"Remote User Group: D:(A;;CC;;;S-1-5-11)\n"), []arrival{{"Domain", "10.0.0.1", TCP, 80, Unknown, "authorised peers"}})
	checkArrivals(t, with(on+strings.Replace(rule, "RemotePort", "InterfaceTypes: Tunnel\nRemotePort", 1)), []arrival{{"Domain", "10.0.0.1", TCP, 80, Unknown, "Tunnel"}})
	// Where local rules are not merged in, the source decides.
	unmerged := on + "LocalFirewallRules      Disable\n"
	checkArrivals(t, with(unmerged+rule), []arrival{{"Domain", "10.0.0.1", TCP, 80, Drop, "default"}})
	checkArrivals(t, with(unmerged+strings.Replace(rule, "Local Setting", "Group Policy Setting", 1)), []arrival{{"Domain", "10.0.0.1", TCP, 80, Accept, "R"}})
	checkArrivals(t, with(unmerged+strings.Replace(rule, "Rule source: Local Setting\n", "", 1)), []arrival{{"Domain", "10.0.0.1", TCP, 80, Unknown, "local rule"}})
	// A state in unknown words is not guessed.
	checkArrivals(t, with(strings.Replace(on, "ON", "PERHAPS", 1)+rule), []arrival{{"Domain", stranger, TCP, 81, Unknown, "State PERHAPS"}})
	// Profiles alone are an export, too.
	checkArrivals(t, with(on), []arrival{{"Domain", stranger, TCP, 80, Drop, "default"}})
}
