package hostfw

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// cellOf is the first port and the first address of the cell that a packet is in: where no rule
// has a border in between.
func cellOf(p *program, packet Packet) Packet {
	port, source := uint16(0), netip.IPv4Unspecified()
	if packet.Source.Is6() {
		source = netip.IPv6Unspecified()
	}
	border := func(r rule) {
		for _, x := range r.match.ports {
			for _, edge := range []int{int(x.First), int(x.Last) + 1} {
				if edge <= int(packet.Port) {
					port = max(port, uint16(edge))
				}
			}
		}
		for _, x := range r.match.sources {
			for _, edge := range []netip.Addr{x.First, x.Last.Next()} {
				if edge.IsValid() && edge.BitLen() == source.BitLen() && !packet.Source.Less(edge) && source.Less(edge) {
					source = edge
				}
			}
		}
	}
	for _, s := range p.stages {
		for _, r := range s.chain.rules {
			border(r)
			if r.target != nil {
				for _, inner := range r.target.rules {
					border(inner)
				}
			}
		}
	}
	packet.Port, packet.Source = port, source
	return packet
}

// checkProgram is what holds for everything that was accepted.
func checkProgram(t *testing.T, p *program, port uint16, address uint32) {
	t.Helper()
	v4 := netip.AddrFrom4([4]byte{byte(address >> 24), byte(address >> 16), byte(address >> 8), byte(address)})
	v6 := netip.AddrFrom16([16]byte{0xfd, 0, byte(address >> 24), byte(address >> 16), byte(address >> 8), 15: byte(address)})
	for _, profile := range profileNames {
		for _, protocol := range []Protocol{TCP, UDP} {
			for _, source := range []netip.Addr{v4, v6} {
				packet := Packet{Protocol: protocol, Source: source, SourcePort: 50000, Destination: netip.MustParseAddr("192.0.2.1"), Port: port, Profile: profile}
				if source.Is6() {
					packet.Destination = netip.MustParseAddr("2001:db8::1")
				}
				d := p.decide(packet)
				assert.Equal(t, d.Action == Unknown, d.Unmodelled != "", "%+v", d)
				assert.NotEqual(t, Reject, d.Action)
				for _, r := range d.By + d.Unmodelled {
					assert.True(t, unicode.IsPrint(r), "%+q", d)
				}
				first := cellOf(p, packet)
				assert.Equal(t, d.Action, p.decide(first).Action, "%+v and %+v share a cell", packet, first)
			}
		}
	}
}

func fixtures(f *testing.F, pattern string) [][]byte {
	names, err := filepath.Glob("testdata/windows/" + pattern)
	require.NoError(f, err)
	require.NotEmpty(f, names)
	var out [][]byte
	for _, name := range names {
		data, err := os.ReadFile(name)
		require.NoError(f, err)
		out = append(out, data)
	}
	return out
}

func FuzzParseWindowsJSON(f *testing.F) {
	for _, data := range fixtures(f, "*.json") {
		f.Add(data, uint16(443), uint32(0x0a000001))
	}
	f.Add([]byte(`[{"Direction":1,"Action":4,"Enabled":1,"Profile":"Any","LocalPort":{"value":["1-9"]},"RemoteAddress":"::/0"}]`), uint16(5), uint32(1))
	f.Fuzz(func(t *testing.T, data []byte, port uint16, address uint32) {
		p, err := parseWindowsJSON(data)
		if err != nil {
			assert.Nil(t, p)
			assert.True(t, strings.HasPrefix(err.Error(), "hostfw: "))
			assert.Equal(t, -1, strings.IndexFunc(err.Error(), unicode.IsControl), "%q", err)
			return
		}
		text, err := windowsText(data)
		require.NoError(t, err)
		// The letters of a key may be escaped, but then a backslash is there.
		assert.True(t, strings.Contains(strings.ToLower(text), "direction") || strings.Contains(text, `\u`) || strings.Contains(text, "ı") || strings.ContainsRune(text, 'ſ'), "no rule, and accepted: %q", text)
		checkProgram(t, p, port, address)
	})
}

func FuzzParseNetsh(f *testing.F) {
	for _, data := range fixtures(f, "*.txt") {
		f.Add(data, uint16(443), uint32(0x0a000001))
	}
	f.Add([]byte("\xff\xfeR\x00u\x00l\x00e\x00"), uint16(0), uint32(0))
	f.Add([]byte("Rule Name:\u00a0\n \n\tX\nEnabled: yes\nDirection: in\nProfiles: public\nAction: block"), uint16(0), uint32(0))
	f.Fuzz(func(t *testing.T, data []byte, port uint16, address uint32) {
		p, err := parseNetsh(data)
		if err != nil {
			assert.Nil(t, p)
			assert.True(t, strings.HasPrefix(err.Error(), "hostfw: "))
			assert.Equal(t, -1, strings.IndexFunc(err.Error(), unicode.IsControl), "%q", err)
			return
		}
		text, err := windowsText(data)
		require.NoError(t, err)
		assert.NotNil(t, languageOf(text))
		checkProgram(t, p, port, address)
	})
}
