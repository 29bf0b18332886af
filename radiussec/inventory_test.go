package radiussec_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/realsrv"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/radiussec"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const clientsConf = `# comment
admin = admin@corp.example
security {
	require_message_authenticator = auto
	limit { max = 1 }   # of another kind
}
client office {
	ipaddr = 192.0.2.1
	secret = "` + strong + `"   # comment
	require_message_authenticator = yes
	limit {
		max_connections = 16
	}
}
client guest { ipv4addr = 192.0.2.0/24
	secret = testing123 # the default
	require_message_authenticator = no
}
client 10.0.0.0/8 {
	secret = testing123
	shortname = old
}
clients radsec {
	client tls {
		ipaddr = *
		proto = tls
		secret = radsec
	}
}
server default {
	client inner {
		ipaddr = 2001:db8::1
		secret = $ENV{SECRET}
		require_message_authenticator = no
		limit_proxy_state = yes
	}
	authorize {
		if (&User-Name =~ /^(.{3})}/) {   # braces of other kinds
			update reply { Reply-Message := "%{User-Name} }" }
		}
	}
}
home_server upstream {
	ipaddr = 198.51.100.1
	secret = ${shared}
}
shared = "never"
$INCLUDE sites/
$-INCLUDE missing.conf
$INCLUDE nowhere.conf
$INCLUDE ../../etc/shadow
`

func files() fstest.MapFS {
	return fstest.MapFS{
		"clients.conf":      {Data: []byte(clientsConf)},
		"sites/a.conf":      {Data: []byte("client a {\n\tipaddr = 203.0.113.1\n\tsecret = ${shared}\n}\n")},
		"sites/b.conf~":     {Data: []byte("nonsense {{{")},
		"sites/.hidden":     {Data: []byte("nonsense {{{")},
		"sites/c-dash.conf": {Data: []byte("nonsense {{{")},
	}
}

func TestReadClients(t *testing.T) {
	inv, err := radiussec.ReadClients(files(), "clients.conf")
	require.NoError(t, err)
	type c struct {
		name, addr, secret string
		transport          radiussec.Transport
		ma, state          radiussec.Demand
		unresolved         bool
		line               int
	}
	var got []c
	for _, e := range inv.Clients {
		got = append(got, c{e.Name, e.Address, e.Secret.Reveal(), e.Transport, e.MessageAuthenticator, e.ProxyState, e.Unresolved != "", e.Source.Line})
	}
	udp := radiussec.UDP
	assert.Equal(t, []c{
		{"office", "192.0.2.1", strong, udp, radiussec.Yes, "", false, 7},
		{"guest", "192.0.2.0/24", "testing123", udp, radiussec.No, "", false, 15},
		{"old", "10.0.0.0/8", "testing123", udp, radiussec.Auto, "", false, 19},
		{"tls", "*", "radsec", radiussec.TLS, radiussec.Auto, "", false, 24},
		{"inner", "2001:db8::1", "", udp, radiussec.No, radiussec.Yes, true, 31},
		{"upstream", "198.51.100.1", "", udp, radiussec.Auto, "", true, 43},
		{"a", "203.0.113.1", "never", udp, radiussec.Auto, "", false, 1},
	}, got)
	assert.Equal(t, radiussec.RoleServer, inv.Clients[5].Role)
	require.Len(t, inv.Problems, 2)
	assert.Contains(t, inv.Problems[0].Text, "nowhere.conf")
	assert.Contains(t, inv.Problems[1].Text, "outside")

	r := inv.Validate()
	ruletest.ExpectFailed(t, r, radiussec.RuleSecretShort, radiussec.RuleSecretWeak, radiussec.RuleSecretReused,
		radiussec.RuleClientRange, radiussec.RuleMessageAuthenticatorOff, radiussec.RuleTransportUDP)
	reused := r.Of(radiussec.RuleSecretReused)
	assert.Equal(t, "the same secret as old (10.0.0.0/8)", reused[0].Detail)
	assert.Equal(t, connsec.Position{File: "clients.conf", Line: 15}, *reused[0].Source)
	data, err := json.Marshal(r)
	require.NoError(t, err)
	for _, secret := range []string{"testing123", strong, "never"} {
		assert.NotContains(t, string(data)+fmt.Sprintf("%v %+v %#v", inv, inv, inv), secret)
	}
}

func TestClientRange(t *testing.T) {
	for addr, want := range map[string]connsec.Outcome{
		"192.0.2.1": connsec.Pass, "192.0.2.1/32": connsec.Pass, "2001:db8::1": connsec.Pass, "2001:db8::1/128": connsec.Pass, "nas.corp.example": connsec.Pass,
		"192.0.2.0/31": connsec.Fail, "2001:db8::/64": connsec.Fail, "*": connsec.Fail, "0.0.0.0": connsec.Fail, "::": connsec.Fail, "0.0.0.0/0": connsec.Fail,
		"": connsec.Inconclusive, "192.0.2.0/255.255.255.0": connsec.Inconclusive, "192.0.2.0/33": connsec.Inconclusive,
	} {
		inv := radiussec.Inventory{Target: "x", Clients: []radiussec.ClientEntry{{Name: "n", Address: addr, Transport: radiussec.UDP, Secret: connsec.NewSecret(strong)}}}
		ruletest.Expect(t, inv.Validate(), want, radiussec.RuleClientRange)
	}
}

// TestSecretsAsFreeRADIUSReadsThem compares the reader with FreeRADIUS's own parser.
func TestSecretsAsFreeRADIUSReadsThem(t *testing.T) {
	realsrv.Need(t, "freeradius")
	t.Parallel() // it starts FreeRADIUS a hundred times
	values := []string{
		`abc#def`, `a #c`, `a, b`, `a,b`, `a,`, `a=b`, `a{b`, `a}b`, `a(b)c`, `a;b`, `a"b`, `a'b`, `a b`, `a\b`, `a\"b`, `a!b`, `a<b`, `a|b`, `a+b=c`, `q==`, `abc;`,
		`"a\"b\\c\n#x"`, `'a\'b\\c\n#x'`, `"a\\"`, `"a\\\"b"`, `"a;b"`, `"a" #c`, `"a",`, `"abc`, `"a" "b"`, `"abc";`, `""`, `#`, "`ab`", "`${foo}`", `'${foo}'`, `"${foo}"`,
		`${foo}x$y`, `x${foo}${foo}`, `"a${nope}"`, `${}`, `$`, `$$foo`, `"$x"`, `a%b`, `"%{User}"`, `über`, `"über"`, `0x6162`, `"a	b"`, `:=x`, `"x" }`, `x }`,
		"a\\\nb", "a\\\n b", `{a`, `}a`, `=a`, `a:=b`, `'`, `''x`,
	}
	for _, trixie := range []bool{false, true} {
		t.Run(fmt.Sprintf("trixie=%t", trixie), func(t *testing.T) {
			t.Parallel()
			root := ""
			if trixie {
				root = realsrv.Trixie(t, "freeradius")
			}
			dir := realsrv.NewDir(t, root)
			conf := fmt.Sprintf("prefix = /usr\nconfdir = %s\nlibdir = /usr/lib/freeradius\nlogdir = %[1]s\nrun_dir = %[1]s\nfoo = bar\n$INCLUDE %[1]s/clients.conf\n", dir.Inside())
			require.NoError(t, os.WriteFile(dir.Path("radiusd.conf"), []byte(conf), 0o600))
			shown := regexp.MustCompile(`(?m)Debug:\s+secret = "(.*)"$`)
			// write makes a client of each value.
			write := func(values ...string) {
				var text strings.Builder
				for i, v := range values {
					fmt.Fprintf(&text, "client x%d {\n ipaddr = 192.0.2.%d\n secret = %s\n", i, i+1, v)
					if !strings.HasSuffix(v, " }") {
						text.WriteString("}\n")
					}
				}
				require.NoError(t, os.WriteFile(dir.Path("clients.conf"), []byte(text.String()), 0o600))
			}
			theirs := func() (secrets []string, out string) {
				out, _ = realsrv.Run(t, realsrv.Cmd{Path: "/usr/sbin/freeradius", Args: []string{"-XxxC", "-d", dir.Inside()}, Root: root})
				require.Contains(t, out, "including configuration file")
				for _, m := range shown.FindAllStringSubmatch(out, -1) {
					secrets = append(secrets, m[1])
				}
				return secrets, out
			}
			ours := func() (secrets []string, err error) {
				inv, err := radiussec.ReadClientsFile(dir.Path("radiusd.conf"))
				for _, c := range inv.Clients {
					if secrets = append(secrets, c.Secret.Reveal()); c.Unresolved != "" {
						secrets[len(secrets)-1] = "unresolved"
					}
				}
				return secrets, err
			}
			// What is read alone is read together, since starting FreeRADIUS takes its time.
			var together []string
			for _, v := range values {
				write(v)
				got, err := ours()
				if err == nil && len(got) == 1 && got[0] != "unresolved" && got[0] != "" {
					together = append(together, v)
					continue
				}
				secrets, out := theirs()
				switch {
				case len(secrets) > 0 && err == nil && len(got) == 1 && got[0] == "unresolved" && strings.Contains(v, `\`): // releases disagree
				case len(secrets) > 0:
					assert.Equal(t, secrets, got, "%s %v", v, err)
				case err == nil && len(got) == 1: // a variable or an empty secret, that FreeRADIUS refuses later
				default:
					assert.Error(t, err, "%s\n%s", v, out)
				}
			}
			require.Greater(t, len(together), 20)
			write(together...)
			got, err := ours()
			require.NoError(t, err)
			want, out := theirs()
			assert.Equal(t, want, got, "of %q\n%s", together, out)
		})
	}
}

// TestDebiansOwnConfiguration: the whole of it, with modules and policies, as it is installed.
func TestDebiansOwnConfiguration(t *testing.T) {
	realsrv.Need(t, "freeradius")
	for name, root := range map[string]string{"3.2.1": "", "3.2.7": realsrv.Trixie(t, "freeradius")} {
		inv, err := radiussec.ReadClientsFile(filepath.Join("/", root, "etc/freeradius/3.0/radiusd.conf"))
		require.NoError(t, err, name)
		assert.Empty(t, inv.Problems, name)
		require.Len(t, inv.Clients, 3, name)
		for _, c := range inv.Clients {
			assert.Equal(t, "testing123", c.Secret.Reveal(), name)
		}
		ruletest.Expect(t, inv.Validate(), connsec.Fail, radiussec.RuleSecretShort, radiussec.RuleSecretWeak, radiussec.RuleSecretReused)
	}
}

func TestBadClientFiles(t *testing.T) {
	for name, text := range map[string]string{
		"open section":    "client x {\n",
		"brace too many":  "}\n",
		"no section":      "client x\n{\n}\n",
		"open quotes":     "client x {\n secret = \"s3cret\n}\n",
		"two words":       "client x {\n secret = s3cret s3cret\n}\n",
		"NUL":             "client x {\n secret = s3cret\x00\n}\n",
		"long line":       "client x {\n secret = " + strings.Repeat("s3cret", 2000) + "\n}\n",
		"itself":          "$INCLUDE clients.conf\n",
		"no name":         "$INCLUDE\n",
		"nested too deep": strings.Repeat("a {\n", 100),
	} {
		_, err := radiussec.ReadClients(fstest.MapFS{"clients.conf": {Data: []byte(text)}}, "clients.conf")
		if assert.Error(t, err, name) {
			assert.NotContains(t, err.Error(), "s3cret")
			assert.NotContains(t, err.Error(), "\n")
			assert.Contains(t, err.Error(), "clients.conf")
		}
	}
	_, err := radiussec.ReadClientsFile(filepath.Join(t.TempDir(), "none.conf"))
	assert.ErrorIs(t, err, fs.ErrNotExist)
}

func FuzzReadClients(f *testing.F) {
	f.Add(clientsConf)
	f.Add("client x {\n secret = \"a\\\"b\" }\n")
	f.Add("a = ${a}\nb = ${a}${a}\n$INCLUDE x\\\ny\n")
	f.Fuzz(func(t *testing.T, text string) {
		inv, err := radiussec.ReadClients(fstest.MapFS{"clients.conf": {Data: []byte(text)}}, "clients.conf")
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("an error of several lines: %q", err)
			}
			return
		}
		lines := strings.Count(text, "\n") + 1
		for _, c := range inv.Clients {
			if c.Source.Line < 1 || c.Source.Line > lines {
				t.Errorf("line %d of %d", c.Source.Line, lines)
			}
			if c.Unresolved != "" && !c.Secret.IsEmpty() {
				t.Error("a secret that is not known")
			}
			if s := c.Secret.Reveal(); !strings.Contains(text, "$") && !strings.Contains(text, "\\") && !strings.Contains(text, s) {
				t.Error("a secret that is not in the text")
			}
		}
		r := inv.Validate()
		for _, f := range r.Findings {
			if !f.Outcome.Valid() || f.Detail == "" || strings.ContainsAny(f.Detail, "\n\r") {
				t.Errorf("%s: %q", f.Rule.ID, f.Detail)
			}
		}
	})
}

const npsExport = `<?xml version="1.0"?>
<Root xmlns:dt="urn:schemas-microsoft-com:datatypes"><Children>
<Version dt:dt="int" name="Version">257</Version>
<Microsoft_Internet_Authentication_Service name="Microsoft_Internet_Authentication_Service"><Properties><Description>NPS</Description></Properties><Children>
<Protocols name="Protocols"><Children><Microsoft_Radius_Protocol name="Microsoft Radius Protocol"><Children>
<Clients name="Clients"><Children>
 <Office_AP name="Office AP"><Properties>
  <IP_Address xmlns:dt="urn:schemas-microsoft-com:datatypes" dt:dt="string">192.0.2.1</IP_Address>
  <Radius_Client_Enabled dt:dt="boolean">1</Radius_Client_Enabled>
  <Require_Signature dt:dt="boolean">1</Require_Signature>
  <Shared_Secret dt:dt="string">` + strong + `</Shared_Secret>
 </Properties></Office_AP>
 <VPN name="VPN"><Properties>
  <IP_Address dt:dt="string">192.0.2.0/24</IP_Address>
  <Radius_Client_Enabled dt:dt="boolean">1</Radius_Client_Enabled>
  <Require_Signature dt:dt="boolean">0</Require_Signature>
  <Shared_Secret dt:dt="string">a&lt;b&amp;c</Shared_Secret>
 </Properties></VPN>
 <Old name="Old"><Properties>
  <IP_Address dt:dt="string">192.0.2.9</IP_Address>
  <Radius_Client_Enabled dt:dt="boolean">0</Radius_Client_Enabled>
  <Require_Signature dt:dt="boolean">0</Require_Signature>
 </Properties></Old>
 <NoPSK name="No PSK"><Properties><IP_Address dt:dt="string">nas.corp.example</IP_Address><Require_Signature dt:dt="boolean">1</Require_Signature></Properties></NoPSK>
</Children></Clients></Children></Microsoft_Radius_Protocol></Children></Protocols>
</Children></Microsoft_Internet_Authentication_Service></Children></Root>
`

// TestNPSColumns counts characters, in an export that is one line.
func TestNPSColumns(t *testing.T) {
	const text = `<Root><Microsoft_Internet_Authentication_Service><Clients><Children><A name="Büro 😀"><Properties><IP_Address>192.0.2.1</IP_Address></Properties></A>` +
		`<B name="Küche"><Properties><IP_Address>192.0.2.2</IP_Address></Properties></B></Children></Clients></Microsoft_Internet_Authentication_Service></Root>`
	for _, first := range []string{"", "\n\n", "<!-- é -->\n"} {
		inv, err := radiussec.ReadNPS(strings.NewReader(first + text))
		require.NoError(t, err)
		require.Len(t, inv.Clients, 2)
		for i, tag := range []string{`"Büro 😀">`, `"Küche">`} {
			before, _, _ := strings.Cut(text, tag)
			assert.Equal(t, connsec.Position{Line: 1 + strings.Count(first, "\n"), Column: utf8.RuneCountInString(before+tag) + 1}, inv.Clients[i].Source)
		}
	}
}

func TestReadNPS(t *testing.T) {
	utf16le := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune(strings.Replace(npsExport, `version="1.0"`, `version="1.0" encoding="UTF-16"`, 1))) {
		utf16le = append(utf16le, byte(u), byte(u>>8))
	}
	for name, text := range map[string]string{"UTF-8": npsExport, "UTF-16": string(utf16le), "BOM": "\ufeff" + npsExport} {
		t.Run(name, func(t *testing.T) {
			inv, err := radiussec.ReadNPS(strings.NewReader(text))
			require.NoError(t, err)
			require.Len(t, inv.Clients, 4)
			ap, vpn, old, no := inv.Clients[0], inv.Clients[1], inv.Clients[2], inv.Clients[3]
			assert.Equal(t, []any{"Office AP", "192.0.2.1", strong, radiussec.Yes, false}, []any{ap.Name, ap.Address, ap.Secret.Reveal(), ap.MessageAuthenticator, ap.Disabled})
			assert.Equal(t, []any{"VPN", "192.0.2.0/24", "a<b&c", radiussec.No, false}, []any{vpn.Name, vpn.Address, vpn.Secret.Reveal(), vpn.MessageAuthenticator, vpn.Disabled})
			assert.True(t, old.Disabled)
			assert.NotEmpty(t, no.Unresolved)
			ruletest.ExpectFailed(t, inv.Validate(), radiussec.RuleSecretShort, radiussec.RuleSecretWeak, radiussec.RuleSecretCharset,
				radiussec.RuleClientRange, radiussec.RuleMessageAuthenticatorOff, radiussec.RuleTransportUDP)
		})
	}
	for _, bad := range []string{"", "<a", "<a/>", "<a>", "\xff\xfe<", strings.Repeat("<a>", 100), `<!DOCTYPE a [<!ENTITY e "s3cret">]><a>&e;</a>`} {
		_, err := radiussec.ReadNPS(strings.NewReader(bad))
		assert.Error(t, err, bad)
	}
}

func FuzzReadNPS(f *testing.F) {
	f.Add(npsExport)
	f.Add("\xff\xfe<\x00")
	f.Fuzz(func(t *testing.T, text string) {
		inv, err := radiussec.ReadNPS(strings.NewReader(text))
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("an error of several lines: %q", err)
			}
			return
		}
		for _, c := range inv.Clients {
			if c.Secret.IsEmpty() != (c.Unresolved != "") && c.Unresolved != "" {
				t.Error("a secret that is not known")
			}
		}
		for _, f := range inv.Validate().Findings {
			if f.Detail == "" || strings.ContainsAny(f.Detail, "\n\r") {
				t.Errorf("%s: %q", f.Rule.ID, f.Detail)
			}
		}
	})
}

func TestManyFailuresAreCounted(t *testing.T) {
	inv := radiussec.Inventory{Target: "many"}
	for i := range 1500 {
		inv.Clients = append(inv.Clients, radiussec.ClientEntry{
			Name: fmt.Sprint(i), Address: fmt.Sprintf("10.0.%d.%d", i/256, i%256), Transport: radiussec.UDP, Secret: connsec.NewSecret("testing123"), MessageAuthenticator: radiussec.Yes,
		})
	}
	weak := inv.Validate().Of(radiussec.RuleSecretWeak)
	require.Len(t, weak, 1001)
	assert.Equal(t, "500 more entries, not listed one by one", weak[1000].Detail)
	assert.Equal(t, connsec.Critical, weak[1000].Severity)
	assert.Equal(t, "the same secret as 1 (10.0.0.1), 2 (10.0.0.2), 3 (10.0.0.3) and 1496 more", inv.Validate().Of(radiussec.RuleSecretReused)[0].Detail)
	assert.Equal(t, "1500 of 1500 entries", inv.Validate().Of(radiussec.RuleClientRange)[0].Detail)
}

func TestInventoryAgainstOtherSecrets(t *testing.T) {
	inv := radiussec.Inventory{Target: "x", Clients: []radiussec.ClientEntry{
		{Name: "a", Address: "192.0.2.1", Transport: radiussec.UDP, Secret: connsec.NewSecret(strong)},
		{Name: "tls", Address: "192.0.2.1", Transport: radiussec.TLS, Secret: connsec.NewSecret("radsec")},
		{Name: "tls2", Address: "192.0.2.2", Transport: radiussec.TLS, Secret: connsec.NewSecret(strong)},
		{Name: "auto", Address: "192.0.2.3", Transport: radiussec.UDP, MessageAuthenticator: radiussec.Auto, Unresolved: "x"},
	}}
	ruletest.ExpectFailed(t, inv.Validate(), radiussec.RuleTransportUDP, radiussec.RuleMessageAuthenticatorOff, radiussec.RuleTLSSecret)
	assert.Equal(t, "tls2 (192.0.2.2)", inv.Validate().Of(radiussec.RuleTLSSecret)[0].Subject)
	inv.Others = map[string]connsec.Secret{"the REST API": connsec.NewSecret(strong)}
	reused := inv.Validate().Of(radiussec.RuleSecretReused)
	assert.Equal(t, "the same secret as the REST API", reused[0].Detail)
	report, err := inv.Probe(deadline(t))
	require.NoError(t, err)
	assert.Equal(t, len(inv.Validate().Findings), len(report.Findings))
}

// many is a clients.conf of n clients, each with a generated secret but every hundredth with
// one that is shared, and every thousandth with a word.
func many(n int) fstest.MapFS {
	var b strings.Builder
	for i := range n {
		secret := radiussec.NewSecret().Reveal()
		if i%100 == 0 {
			secret = strong
		}
		if i%1000 == 1 {
			secret = fmt.Sprintf("OfficePrinter-%d-Secret", i)
		}
		fmt.Fprintf(&b, "client nas%d {\n\tipaddr = 10.%d.%d.%d\n\tsecret = \"%s\"\n\trequire_message_authenticator = yes\n}\n", i, i>>16, i>>8&255, i&255, secret)
	}
	return fstest.MapFS{"clients.conf": {Data: []byte(b.String())}}
}

func BenchmarkInventory100000(b *testing.B) {
	fsys := many(100_000)
	b.SetBytes(int64(len(fsys["clients.conf"].Data)))
	b.ReportAllocs()
	for b.Loop() {
		inv, err := radiussec.ReadClients(fsys, "clients.conf")
		if err != nil || len(inv.Clients) != 100_000 {
			b.Fatal(err)
		}
		if n := len(inv.Validate().Of(radiussec.RuleSecretReused)); n != 1001 {
			b.Fatal(n)
		}
	}
}

func BenchmarkReadClients(b *testing.B) {
	fsys := many(10_000)
	b.SetBytes(int64(len(fsys["clients.conf"].Data)))
	for b.Loop() {
		if _, err := radiussec.ReadClients(fsys, "clients.conf"); err != nil {
			b.Fatal(err)
		}
	}
}
