package hostfw

import (
	"bytes"
	"net/netip"
	"os"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding/charmap"
)

// read returns a fixture.
func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/windows/" + name)
	require.NoError(t, err)
	return data
}

// arrival is a packet and what should become of it.
type arrival struct {
	profile, from string
	protocol      Protocol
	port          uint16
	want          Action
	by            string // part of Decision.By, or of Unmodelled if want is Unknown
}

const stranger, stranger6 = "203.0.113.77", "2001:db8:77::1"

func checkArrivals(t *testing.T, p *program, arrivals []arrival) {
	t.Helper()
	for _, a := range arrivals {
		packet := Packet{Protocol: a.protocol, Source: netip.MustParseAddr(a.from), SourcePort: 50123, Destination: netip.MustParseAddr("192.0.2.1"), Port: a.port, Profile: a.profile}
		if packet.Source.Is6() {
			packet.Destination = netip.MustParseAddr("2001:db8::1")
		}
		got := p.decide(packet)
		assert.Equal(t, a.want, got.Action, "%+v: %+v", a, got)
		if a.want == Unknown {
			assert.Contains(t, got.Unmodelled, a.by, "%+v", a)
		} else {
			assert.Contains(t, got.By, a.by, "%+v", a)
		}
	}
}

func TestWindowsWeak(t *testing.T) {
	p, err := parseWindowsJSON(read(t, "weak.json"))
	require.NoError(t, err)
	checkArrivals(t, p, []arrival{
		{"Domain", stranger, TCP, 443, Accept, `rule "Web (HTTPS)" for program "System"`},
		{"Domain", stranger6, TCP, 443, Accept, `rule "Web (HTTPS)"`},
		{"Domain", stranger, TCP, 80, Accept, `rule "Web (HTTP)"`},
		{"Domain", stranger, TCP, 8085, Accept, `rule "Web (HTTP)"`},
		{"Domain", stranger, TCP, 8091, Drop, "default of profile Domain"},
		{"Domain", "10.1.2.3", TCP, 3389, Accept, `for service "TermService"`},
		{"Domain", "192.168.7.9", TCP, 3389, Accept, "Remote Desktop"},
		{"Domain", "192.168.7.10", TCP, 3389, Unknown, "LocalSubnet"},
		{"Domain", stranger, TCP, 3389, Drop, "default of profile Domain"},
		{"Domain", stranger, TCP, 9999, Drop, "default"},                 // its rule is disabled
		{"Domain", stranger, TCP, 445, Drop, "default"},                  // outbound rule
		{"Domain", stranger, UDP, 5000, Accept, `agent.exe`},             // bound, but a way in
		{"Private", stranger, TCP, 23, Accept, "profile Private is off"}, // even what is blocked
		{"Public", stranger, TCP, 80, Accept, "default of profile Public"},
		{"Public", stranger, TCP, 23, Drop, `rule "No Telnet"`},
		{"Public", stranger, UDP, 53, Accept, "default of profile Public"},
	})
}

func TestWindowsHardened(t *testing.T) {
	p, err := parseWindowsJSON(read(t, "hardened.json"))
	require.NoError(t, err)
	checkArrivals(t, p, []arrival{
		{"Domain", stranger, TCP, 443, Accept, "connsec HTTPS"},
		{"Public", stranger, TCP, 443, Accept, "connsec HTTPS"},
		{"Public", stranger, TCP, 80, Drop, "default"}, // a local rule, which the profile ignores
		{"Domain", stranger, TCP, 80, Drop, "default"},
		{"Domain", "10.20.0.77", TCP, 3389, Accept, "connsec RDP"},
		{"Domain", "fd00:20::9", TCP, 3389, Accept, "connsec RDP"},
		{"Domain", "10.20.1.77", TCP, 3389, Drop, "default"},
		{"Public", "10.20.0.77", TCP, 3389, Drop, "default"},
		{"Domain", "10.0.0.1", TCP, 445, Drop, `rule "No SMB"`},
		{"Public", "10.0.0.1", TCP, 445, Drop, "default"}, // neither of the two applies
	})
}

func TestWindowsCorners(t *testing.T) {
	p, err := parseWindowsJSON(read(t, "corners.json"))
	require.NoError(t, err)
	checkArrivals(t, p, []arrival{
		{"Domain", stranger, TCP, 3389, Unknown, "only what IPsec secures (Required)"},
		{"Domain", stranger, TCP, 5985, Unknown, "authenticated bypass"},
		{"Domain", stranger, TCP, 49152, Accept, `for service "EventLog"`},
		{"Domain", stranger, TCP, 49151, Drop, "default"},
		{"Domain", stranger, UDP, 49152, Unknown, "QuantumPort"},
		{"Domain", stranger, TCP, 135, Accept, "RPC mapper"},
		{"Domain", stranger, TCP, 443, Unknown, "IPHTTPSIn"},
		{"Domain", stranger, UDP, 1, Unknown, "QuantumPort"},
		{"Domain", stranger, TCP, 8003, Unknown, "remote address DNS"},
		{"Domain", stranger, TCP, 8004, Drop, "default"},
		{"Domain", "192.168.1.1", TCP, 8004, Unknown, "LocalSubnet"},
		{"Domain", "fe80::1", TCP, 8004, Unknown, "LocalSubnet"},
		{"Domain", stranger, TCP, 8005, Drop, "default"},
		{"Domain", stranger, TCP, 8006, Drop, "default"},
		{"Domain", stranger, TCP, 8007, Accept, "Port 8007"}, // a block that the sender avoids
		{"Domain", stranger, TCP, 8008, Accept, `a.exe`},     // the block is another program's
		{"Domain", stranger, TCP, 8009, Drop, "default"},     // the block is its own
		{"Domain", stranger, TCP, 8010, Unknown, "same program"},
		{"Domain", "2001:db8::ff", TCP, 8011, Accept, "IPv6 range"},
		{"Domain", "2001:db8::100", TCP, 8011, Drop, "default"},
		{"Domain", "198.51.100.7", UDP, 5, Accept, "Any protocol"},
		{"Domain", "198.51.100.7", TCP, 5985, Unknown, "bypass"},
		{"Domain", stranger, TCP, 8012, Accept, "Port 8012"},
		{"Domain", "10.9.9.9", TCP, 8012, Unknown, "LocalSubnet"},
		{"Public", stranger, TCP, 8007, Drop, "blocks all inbound connections"},
		{"Public", "198.51.100.7", TCP, 1, Drop, "blocks all inbound connections"},
	})
	at := func(port uint16, iface, to string) Decision {
		return p.decide(Packet{Source: netip.MustParseAddr(stranger), SourcePort: 50000, Destination: netip.MustParseAddr(to), Port: port, Interface: iface, Profile: "Domain"})
	}
	assert.Equal(t, Accept, at(8001, "Wireless", "192.0.2.1").Action)
	assert.Equal(t, Drop, at(8001, "Wired", "192.0.2.1").Action)
	assert.Equal(t, Drop, at(8001, "", "192.0.2.1").Action)
	assert.Equal(t, Unknown, at(8001, "Ethernet", "192.0.2.1").Action, "an alias says nothing about the type")
	assert.Equal(t, Accept, at(8002, "Ethernet", "192.0.2.1").Action)
	assert.Equal(t, Unknown, at(8002, "Wireless", "192.0.2.1").Action, "nor a type about the alias")
	assert.Equal(t, Accept, at(8005, "", "192.0.2.10").Action)
	from53 := Packet{Source: netip.MustParseAddr(stranger), SourcePort: 53, Destination: netip.MustParseAddr("192.0.2.1"), Port: 8006, Profile: "Domain"}
	assert.Equal(t, Accept, p.decide(from53).Action)
}

// Without the profiles nothing is certain: off lets all in, "block all" lets nothing in.
func TestWindowsWithoutProfiles(t *testing.T) {
	p, err := parseWindowsJSON(read(t, "joined.json"))
	require.NoError(t, err)
	checkArrivals(t, p, []arrival{
		{"Domain", stranger, TCP, 8443, Unknown, "state of profile Domain (not in the export)"},
		{"Domain", stranger, TCP, 22, Unknown, "state of profile Domain (not in the export)"},
	})
	profiles := `"Profiles": [{"Name":"Domain","Enabled":true,"DefaultInboundAction":"NotConfigured","AllowInboundRules":"True"},{"Name":"Private","Enabled":2}]`
	p, err = parseWindowsJSON([]byte(`{"Rules": ` + string(read(t, "joined.json")) + `,` + profiles + `}`))
	require.NoError(t, err)
	checkArrivals(t, p, []arrival{
		{"Domain", stranger, TCP, 8443, Accept, "HTTPS"},
		{"Domain", stranger, TCP, 22, Unknown, "default inbound action of profile Domain (NotConfigured"},
		{"Private", stranger, UDP, 22, Unknown, "state of profile Private (NotConfigured"},
	})
}

func TestWindowsAbsentFilters(t *testing.T) {
	p, err := parseWindowsJSON([]byte(`{"Profiles":[{"Name":"Domain","Enabled":1,"DefaultInboundAction":4,"AllowInboundRules":1}],
		"Rules":[{"DisplayName":"R","Direction":1,"Action":2,"Enabled":1,"Profile":1,"Protocol":"TCP","LocalPort":80}]}`))
	require.NoError(t, err)
	checkArrivals(t, p, []arrival{
		{"Domain", stranger, TCP, 80, Unknown, "RemoteAddress is not in the export"},
		{"Domain", stranger, TCP, 81, Drop, "default"},
	})
}

func TestNetshEnglish(t *testing.T) {
	p, err := parseNetsh(read(t, "netsh-en.txt"))
	require.NoError(t, err)
	checkArrivals(t, p, []arrival{
		{"Domain", stranger, TCP, 443, Accept, `rule "Web server (HTTPS)" for program "System"`},
		{"Domain", stranger, TCP, 8444, Accept, "Web server"},
		{"Domain", stranger, TCP, 8445, Drop, "default of profile Domain"},
		{"Domain", "10.20.0.1", TCP, 3389, Accept, "Remote Desktop from the office"},
		{"Domain", "198.51.100.4", TCP, 3389, Accept, "Remote Desktop from the office"},
		{"Domain", "198.51.100.5", TCP, 3389, Drop, "default"},
		{"Domain", "198.51.100.9", UDP, 999, Accept, "Everything"},
		{"Domain", "198.51.100.9", TCP, 23, Drop, "No Telnet"},
		{"Domain", stranger, TCP, 80, Drop, "default"},
		{"Domain", stranger, TCP, 5985, Unknown, "only what IPsec secures (Authenticate)"},
		{"Private", stranger, TCP, 23, Accept, "firewall of profile Private is off"},
		{"Public", stranger, TCP, 443, Drop, "blocks all inbound"},
	})
}

// The same export in every encoding that Windows' ways into a file produce.
func TestNetshLanguages(t *testing.T) {
	arrivals := map[string][]arrival{
		"netsh-de.txt": {
			{"Domain", stranger, TCP, 443, Accept, "Webserver (HTTPS)"},
			{"Domain", stranger, TCP, 80, Drop, "default"}, // "Aus" is out
			{"Private", stranger, TCP, 80, Accept, "off"},
			{"Public", stranger, TCP, 80, Accept, "default of profile Public"},
			{"Public", stranger, TCP, 23, Drop, "Kein Telnet"},
		},
		"netsh-fr.txt": {
			{"Domain", stranger, TCP, 443, Accept, "Serveur web (HTTPS)"},
			{"Domain", stranger, TCP, 4444, Drop, "default"},
			{"Domain", "10.1.1.1", TCP, 3389, Unknown, "verbose"},
			{"Public", stranger, TCP, 443, Unknown, "state of profile Public (not in the export)"},
		},
	}
	for name, expected := range arrivals {
		utf8 := read(t, name)
		units := utf16.Encode([]rune(string(utf8)))
		var le bytes.Buffer
		for _, u := range units {
			le.Write([]byte{byte(u), byte(u >> 8)})
		}
		var be bytes.Buffer
		for _, u := range units {
			be.Write([]byte{byte(u >> 8), byte(u)})
		}
		nbsp := bytes.ReplaceAll(utf8, []byte(" :"), []byte("\u00a0:"))
		forms := map[string][]byte{
			"UTF-8":          utf8,
			"UTF-8 with BOM": append([]byte("\xef\xbb\xbf"), utf8...),
			"UTF-16LE":       append([]byte("\xff\xfe"), le.Bytes()...),
			"UTF-16BE":       append([]byte("\xfe\xff"), be.Bytes()...),
			"CRLF":           bytes.ReplaceAll(utf8, []byte("\n"), []byte("\r\n")),
			"no-break space": nbsp,
		}
		for page, m := range map[string]*charmap.Charmap{"850": charmap.CodePage850, "437": charmap.CodePage437, "1252": charmap.Windows1252} {
			for form, data := range map[string][]byte{"": utf8, " with no-break spaces": nbsp} {
				encoded, err := m.NewEncoder().Bytes(data)
				require.NoError(t, err)
				forms["code page "+page+form] = encoded
			}
		}
		for form, data := range forms {
			t.Run(name+"/"+form, func(t *testing.T) {
				p, err := parseNetsh(data)
				require.NoError(t, err)
				checkArrivals(t, p, expected)
			})
		}
	}
}

func TestNetshMistakes(t *testing.T) {
	rule := "Rule Name: R\nEnabled: Yes\nDirection: In\nProfiles: Domain\nLocalIP: Any\nRemoteIP: Any\nProtocol: TCP\nLocalPort: 80\nRemotePort: Any\nSecurity: NotRequired\nAction: Allow\n"
	for in, want := range map[string]string{
		"":                                     errNoNetsh.Error(),
		"Nombre de regla: X\nHabilitada: Sí\n": errNoNetsh.Error(),
		strings.Replace(rule, "In", "Sideways", 1):                                                        `hostfw: line 1: rule "R": unknown direction "Sideways" in English; export with dir=in, or as JSON`,
		strings.Replace(rule, "Yes", "Perhaps", 1):                                                        `hostfw: line 1: rule "R": unknown value of Enabled "Perhaps" in English; use the JSON export, which has no language`,
		strings.Replace(rule, "Allow", "Zulassen", 1):                                                     `hostfw: line 1: rule "R": unknown action "Zulassen" in English; use the JSON export, which has no language`,
		strings.Replace(rule, "Domain", "Home", 1):                                                        `hostfw: line 1: rule "R": unknown profile "Home" in English; use the JSON export, which has no language`,
		rule + "Regelname: S\n":                                                                           "hostfw: line 12: a rule in German after others in English: one file of one language",
		"Domain Profile Settings:\nFirewall Policy      Whatever,AllowOutbound\n":                         `hostfw: line 2: unknown firewall policy "Whatever,AllowOutbound" of profile Domain`,
		"Rule Name: " + strings.Repeat("x", mostNetshLine):                                                "hostfw: line 1 is longer than 1048576 bytes",
		"Nom de la règle : R\nActivé : Oui\nDirection : Inactif\nProfiles : Public\nAction : Autoriser\n": `hostfw: line 1: rule "R": unknown direction "Inactif" in French; export with dir=in, or as JSON`,
	} {
		_, err := parseNetsh([]byte(in))
		require.EqualError(t, err, want)
	}
	on := "Domain Profile Settings:\nState     ON\nFirewall Policy    BlockInbound,AllowOutbound\n"
	for change, why := range map[string]string{
		"Frequency: 5 GHz\n":   "Frequency: 5 GHz", // a label that is not known narrows, who knows how
		"Action: Block\n":      "a label stands twice",
		"LocalIP: 192.0.2.1\n": "a label stands twice",
	} {
		p, err := parseNetsh([]byte(on + rule + change))
		require.NoError(t, err)
		checkArrivals(t, p, []arrival{{"Domain", stranger, TCP, 80, Unknown, why}, {"Domain", stranger, TCP, 81, Drop, "default"}})
	}
}

func TestWindowsJSONMistakes(t *testing.T) {
	const how = `export it with the command that "connsec firewall export windows" prints`
	for in, want := range map[string]string{
		``:              "hostfw: line 1, column 1: this is not JSON: unexpected end of JSON input",
		"{\n \"a\": x}": "hostfw: line 2, column 7: this is not JSON: invalid character 'x' looking for beginning of value",
		`{}`:            "hostfw: this JSON has no rules of Windows Firewall; " + how,
		`[]`:            "hostfw: this JSON has no rules of Windows Firewall; " + how,
		`[{"a":1}]`:     "hostfw: rule 1 has no Direction and Action: this is no export of Windows Firewall's rules; " + how,
		`{"Rules":[{"DisplayName":"R","Direction":7,"Action":2}]}`:                                         `hostfw: rule 1 ("R"): unknown Direction "7"`,
		`{"Rules":[{"DisplayName":"R","Direction":1,"Action":9}]}`:                                         `hostfw: rule 1 ("R"): unknown Action "9"`,
		`{"Rules":[{"DisplayName":"R","Direction":1,"Action":2,"Enabled":1,"Profile":9}]}`:                 `hostfw: rule 1 ("R"): unknown Profile "9"`,
		`{"Rules":[{"Direction":1,"Action":2}],"Profiles":[{"Name":"Home"}]}`:                              `hostfw: unknown profile "Home"`,
		`{"Rules":[{"Direction":1,"Action":2}],"Profiles":[{"Name":"Public","DefaultInboundAction":"x"}]}`: `hostfw: profile Public: unknown value "x" of DefaultInboundAction`,
		`{"PolicyStore":"PersistentStore","Rules":[{"Direction":1,"Action":2}]}`:                           `hostfw: this is the policy store "PersistentStore", not what applies on the host; ` + how,
		`{"Rules":[{"Direction":{"a":1},"Action":2}]}`:                                                     "hostfw: this is no export of Windows Firewall's rules (a property is an object without a value); " + how,
	} {
		_, err := parseWindowsJSON([]byte(in))
		require.EqualError(t, err, want, in)
	}
}

func TestWindowsTerms(t *testing.T) {
	for in, want := range map[string]string{
		"10.0.0.0/255.0.0.0":        "10.0.0.0-10.255.255.255",
		"10.1.2.3/8":                "10.0.0.0-10.255.255.255",
		"192.0.2.1":                 "192.0.2.1-192.0.2.1",
		"192.0.2.1-192.0.2.200":     "192.0.2.1-192.0.2.200",
		"192.0.2.1/255.255.255.255": "192.0.2.1-192.0.2.1",
		"0.0.0.0/0.0.0.0":           "0.0.0.0-255.255.255.255",
		"2001:db8::/127":            "2001:db8::-2001:db8::1",
		"::ffff:192.0.2.1":          "192.0.2.1-192.0.2.1",
		"10.0.0.0/255.0.255.0":      "",
		"192.0.2.9-192.0.2.1":       "",
		"192.0.2.1-2001:db8::1":     "",
		"10.0.0.0/33":               "",
		"LocalSubnet":               "",
	} {
		r, ok := parseAddressRange(in)
		assert.Equal(t, want != "", ok, in)
		if ok {
			assert.Equal(t, want, r.First.String()+"-"+r.Last.String(), in)
		}
	}
}
