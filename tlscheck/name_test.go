package tlscheck_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/tlscheck"
)

// names are texts with the rules that fail, worst first, and the name that ParseFQDN makes of
// those it accepts.
var names = []struct {
	text  string
	fqdn  string
	fails []*connsec.Rule
}{
	{text: "central.corp.acme.com", fqdn: "central.corp.acme.com"},
	{text: "Central.Corp.ACME.com", fqdn: "central.corp.acme.com"},
	{text: "central.corp.acme.com.", fqdn: "central.corp.acme.com"},
	{text: "a.b", fqdn: "a.b"},
	{text: "1and1.acme.com", fqdn: "1and1.acme.com"},
	{text: "127.acme.com", fqdn: "127.acme.com"},
	{text: "dc1.intra.internal", fqdn: "dc1.intra.internal"},
	{text: "printer.home.arpa", fqdn: "printer.home.arpa"},
	{text: "xn--bcher-kva.acme.com", fqdn: "xn--bcher-kva.acme.com"},
	{text: "XN--BCHER-KVA.acme.com", fqdn: "xn--bcher-kva.acme.com"},
	{text: strings.Repeat("a", 63) + ".acme.com", fqdn: strings.Repeat("a", 63) + ".acme.com"},
	{text: name253, fqdn: name253},
	{text: name253 + ".", fqdn: name253},

	// name-ip-literal
	{text: "10.0.0.1", fails: rules(tlscheck.RuleIPLiteral)},
	{text: "255.255.255.255", fails: rules(tlscheck.RuleIPLiteral)},
	{text: "2001:db8::1", fails: rules(tlscheck.RuleIPLiteral)},
	{text: "::", fails: rules(tlscheck.RuleIPLiteral)},
	{text: "::ffff:10.0.0.1", fails: rules(tlscheck.RuleIPLiteral)},
	{text: "fe80::1%eth0", fails: rules(tlscheck.RuleIPLiteral)},
	{text: "[2001:db8::1]", fails: rules(tlscheck.RuleIPLiteral)},
	{text: "[fe80::1%eth0]:443", fails: rules(tlscheck.RuleIPLiteral, tlscheck.RuleExtraParts)},
	{text: "10.0.0.1:8093", fails: rules(tlscheck.RuleIPLiteral, tlscheck.RuleExtraParts)},
	{text: "10.0.0.0/8", fails: rules(tlscheck.RuleIPLiteral, tlscheck.RuleExtraParts)},
	{text: "10.0.0.1,1433", fails: rules(tlscheck.RuleIPLiteral, tlscheck.RuleExtraParts)},
	{text: "https://10.0.0.1:8093/", fails: rules(tlscheck.RuleIPLiteral, tlscheck.RuleExtraParts)},
	{text: "１０.0.0.1", fails: rules(tlscheck.RuleIPLiteral)},
	{text: "10。0。0。1", fails: rules(tlscheck.RuleIPLiteral)},

	// name-legacy-ipv4
	{text: "127.1", fails: rules(tlscheck.RuleLegacyIPv4)},
	{text: "0x7f.1", fails: rules(tlscheck.RuleLegacyIPv4)},
	{text: "0X7F.0x1", fails: rules(tlscheck.RuleLegacyIPv4)},
	{text: "2130706433", fails: rules(tlscheck.RuleLegacyIPv4)},
	{text: "010.0.0.1", fails: rules(tlscheck.RuleLegacyIPv4)},
	{text: "10.0.0.1.", fails: rules(tlscheck.RuleIPLiteral)},
	{text: "0", fails: rules(tlscheck.RuleLegacyIPv4)},
	{text: "１２７.１", fails: rules(tlscheck.RuleLegacyIPv4)},
	{text: "http://017700000001/", fails: rules(tlscheck.RuleLegacyIPv4, tlscheck.RuleExtraParts)},

	// name-single-label
	{text: "central", fails: rules(tlscheck.RuleSingleLabel)},
	{text: "central.", fails: rules(tlscheck.RuleSingleLabel)},
	{text: "localhost", fails: rules(tlscheck.RuleSingleLabel, tlscheck.RuleSpecialUse)},
	{text: `SQL01\MYQ`, fails: rules(tlscheck.RuleSingleLabel, tlscheck.RuleExtraParts)},
	{text: `tcp:SQL01\MYQ,1433`, fails: rules(tlscheck.RuleSingleLabel, tlscheck.RuleExtraParts)},
	{text: "bücher", fails: rules(tlscheck.RuleSingleLabel, tlscheck.RuleNotASCII)},
	{text: "(local)", fails: rules(tlscheck.RuleSingleLabel, tlscheck.RuleNameSyntax)},

	// name-syntax
	{text: "", fails: rules(tlscheck.RuleNameSyntax)},
	{text: ".", fails: rules(tlscheck.RuleNameSyntax)},
	{text: ".acme.com", fails: rules(tlscheck.RuleNameSyntax)},
	{text: "central..acme.com", fails: rules(tlscheck.RuleNameSyntax)},
	{text: "central.acme.com..", fails: rules(tlscheck.RuleNameSyntax)},
	{text: "central.acme.com。.", fails: rules(tlscheck.RuleNameSyntax, tlscheck.RuleNotASCII)},
	{text: "-central.acme.com", fails: rules(tlscheck.RuleNameSyntax)},
	{text: "central-.acme.com", fails: rules(tlscheck.RuleNameSyntax)},
	{text: "ce--ntral.acme.com", fails: rules(tlscheck.RuleNameSyntax)},
	{text: "my_server.acme.com", fails: rules(tlscheck.RuleNameSyntax)},
	{text: "central!.acme.com", fails: rules(tlscheck.RuleNameSyntax)},
	{text: "central%2eacme.com", fails: rules(tlscheck.RuleNameSyntax)},
	{text: "xn--a.acme.com", fails: rules(tlscheck.RuleNameSyntax)},
	{text: "xn--.acme.com", fails: rules(tlscheck.RuleNameSyntax)},
	{text: "xn--acme-.com", fails: rules(tlscheck.RuleNameSyntax)},                              // decodes to plain ASCII
	{text: "א1b.acme.com", fails: rules(tlscheck.RuleNameSyntax, tlscheck.RuleNotASCII)},        // RFC 5893 §2: right-to-left label with Latin letter
	{text: "\u200dacme.acme.com", fails: rules(tlscheck.RuleNameSyntax, tlscheck.RuleNotASCII)}, // RFC 5892 A.2: joiner without virama
	{text: "acme.com.17", fails: rules(tlscheck.RuleNameSyntax)},
	{text: "acme.com.0x1f", fails: rules(tlscheck.RuleNameSyntax)},
	{text: "256.256.256.256", fails: rules(tlscheck.RuleNameSyntax)},
	{text: "1.2.3.4.5", fails: rules(tlscheck.RuleNameSyntax)},
	{text: "[central.acme.com]", fails: rules(tlscheck.RuleNameSyntax)},
	{text: strings.Repeat("a", 64) + ".acme.com", fails: rules(tlscheck.RuleNameSyntax)},
	{text: strings.Repeat("ü", 60) + ".acme.com", fails: rules(tlscheck.RuleNameSyntax, tlscheck.RuleNotASCII)},
	{text: "b" + name253, fails: rules(tlscheck.RuleNameSyntax)},
	{text: strings.Repeat("a.", 5000) + "com", fails: rules(tlscheck.RuleNameSyntax)},
	{text: "acme\xff.com", fails: rules(tlscheck.RuleNameSyntax, tlscheck.RuleNotASCII)},

	// name-special-use
	{text: "central.local", fails: rules(tlscheck.RuleSpecialUse)},
	{text: "central.LOCAL.", fails: rules(tlscheck.RuleSpecialUse)},
	{text: "a.localhost", fails: rules(tlscheck.RuleSpecialUse)},
	{text: "a.invalid", fails: rules(tlscheck.RuleSpecialUse)},
	{text: "a.onion", fails: rules(tlscheck.RuleSpecialUse)},
	{text: "a.alt", fails: rules(tlscheck.RuleSpecialUse)},
	{text: "central.corp.example", fqdn: "central.corp.example", fails: rules(tlscheck.RuleSpecialUse)},
	{text: "central.lab.test", fqdn: "central.lab.test", fails: rules(tlscheck.RuleSpecialUse)},
	{text: "local.acme.com", fqdn: "local.acme.com"},

	// name-not-ascii
	{text: "bücher.acme.com", fqdn: "xn--bcher-kva.acme.com", fails: rules(tlscheck.RuleNotASCII)},
	{text: "BÜCHER.acme.com", fqdn: "xn--bcher-kva.acme.com", fails: rules(tlscheck.RuleNotASCII)},
	{text: "bu\u0308cher.acme.com", fqdn: "xn--bcher-kva.acme.com", fails: rules(tlscheck.RuleNotASCII)}, // decomposed
	{text: "straße.acme.com", fqdn: "xn--strae-oqa.acme.com", fails: rules(tlscheck.RuleNotASCII)},       // non-transitional
	{text: "例え.テスト", fqdn: "xn--r8jz45g.xn--zckzah", fails: rules(tlscheck.RuleNotASCII)},                // RFC 3492 style, IANA's test domain
	{text: "пример.испытание", fqdn: "xn--e1afmkfd.xn--80akhbyknj4f", fails: rules(tlscheck.RuleNotASCII)},
	{text: "central。acme。com", fqdn: "central.acme.com", fails: rules(tlscheck.RuleNotASCII)},
	{text: "ａcme.com", fqdn: "acme.com", fails: rules(tlscheck.RuleNotASCII)},

	// name-mixed-script
	{text: "pаypal.com", fails: rules(tlscheck.RuleMixedScript, tlscheck.RuleNotASCII)}, // the second letter is Cyrillic
	{text: "xn--pypal-4ve.com", fails: rules(tlscheck.RuleMixedScript)},                 // the same, converted
	{text: "αcme.com", fails: rules(tlscheck.RuleMixedScript, tlscheck.RuleNotASCII)},
	{text: "日本go語カナかな.acme.com", fqdn: "xn--go-173a6e9mgg1377a0ecn32k.acme.com", fails: rules(tlscheck.RuleNotASCII)},

	// name-extra-parts
	{text: "https://central.acme.com", fails: rules(tlscheck.RuleExtraParts)},
	{text: "ldaps://dc1.acme.com:636/dc=acme?x#y", fails: rules(tlscheck.RuleExtraParts)},
	{text: "//central.acme.com", fails: rules(tlscheck.RuleExtraParts)},
	{text: `\\files.acme.com\share`, fails: rules(tlscheck.RuleExtraParts)},
	{text: "central.acme.com:8093", fails: rules(tlscheck.RuleExtraParts)},
	{text: "central.acme.com:https", fails: rules(tlscheck.RuleExtraParts)},
	{text: "central.acme.com/", fails: rules(tlscheck.RuleExtraParts)},
	{text: "sql.acme.com,1433", fails: rules(tlscheck.RuleExtraParts)},
	{text: `sql.acme.com\MYQ`, fails: rules(tlscheck.RuleExtraParts)},
	{text: "np:sql.acme.com", fails: rules(tlscheck.RuleExtraParts)},
	{text: "a.acme.com;b.acme.com", fails: rules(tlscheck.RuleExtraParts)},
	{text: "admin@central.acme.com", fails: rules(tlscheck.RuleExtraParts)},
	{text: "*.acme.com", fails: rules(tlscheck.RuleExtraParts)},
	{text: "w*.acme.com", fails: rules(tlscheck.RuleExtraParts, tlscheck.RuleNameSyntax)},
	{text: " central.acme.com", fails: rules(tlscheck.RuleExtraParts)},
	{text: "central.acme.com\n", fails: rules(tlscheck.RuleExtraParts)},
	{text: "central.acme.com\u00a0", fails: rules(tlscheck.RuleExtraParts)},
	{text: "cen\u200btral.acme.com", fails: rules(tlscheck.RuleExtraParts)},
	{text: "\u202ecentral.acme.com", fails: rules(tlscheck.RuleExtraParts)},
	{text: "central.acme.com\x00", fails: rules(tlscheck.RuleExtraParts)},
	{text: "   ", fails: rules(tlscheck.RuleExtraParts, tlscheck.RuleNameSyntax)},
	{text: "https://", fails: rules(tlscheck.RuleExtraParts, tlscheck.RuleNameSyntax)},
}

var name253 = strings.Repeat(strings.Repeat("a", 49)+".", 5) + "com"

func rules(r ...*connsec.Rule) []*connsec.Rule { return r }

func TestNames(t *testing.T) {
	require.Len(t, name253, 253)
	for _, tt := range names {
		t.Run(clip(tt.text), func(t *testing.T) {
			r := tlscheck.CheckName(tt.text)
			ruletest.ExpectFailed(t, r, tt.fails...)
			for _, rule := range tlscheck.NameRules {
				assert.Len(t, r.Of(rule), 1, rule.ID)
			}
			fqdn, err := tlscheck.ParseFQDN(tt.text)
			assert.Equal(t, tt.fqdn, fqdn.String())
			assert.Equal(t, tt.fqdn == "", err != nil, "%v", err)
			for _, rule := range tt.fails {
				if rule.Severity >= connsec.Medium && r.Of(rule)[0].Severity >= connsec.Medium {
					assert.ErrorIs(t, err, rule)
				}
			}
			if err != nil {
				assert.NotContains(t, err.Error(), "\n")
			}
		})
	}
}

func clip(s string) string {
	if len(s) > 60 {
		return s[:60]
	}
	return s
}

func TestASoundNamePassesEveryNameRule(t *testing.T) {
	ruletest.Expect(t, tlscheck.CheckName("central.corp.acme.com"), connsec.Pass, tlscheck.NameRules...)
	ruletest.Expect(t, tlscheck.CheckName("xn--bcher-kva.acme.com."), connsec.Pass, tlscheck.NameRules...)
}

func TestAnAddressIsNotJudgedAsAName(t *testing.T) {
	for _, text := range []string{"10.0.0.1", "127.1", "[::1]"} {
		ruletest.Expect(t, tlscheck.CheckName(text), connsec.NotApplicable,
			tlscheck.RuleNameSyntax, tlscheck.RuleSingleLabel, tlscheck.RuleSpecialUse, tlscheck.RuleNotASCII, tlscheck.RuleMixedScript)
	}
}

// A user name or password that was pasted with the host appears nowhere.
func TestNamesShowNoCredentials(t *testing.T) {
	for _, text := range []string{
		"https://admin:hunter2@central.acme.com/?token=hunter2#hunter2",
		"hunter2@central.acme.com",
		"P@ss@hunter2!",
		"admin:hunter2/x@central.acme.com",
		"https://hunter2?x@central.acme.com",
		"user:hunter2@[::1]",
		"hunter2:@10.0.0.1",
		"central.acme.com/hunter2",
		`central.acme.com\hunter2`,
		"central.acme.com;Password=hunter2",
		"central.acme.com hunter2",
	} {
		t.Run(text, func(t *testing.T) {
			r := tlscheck.CheckName(text)
			out, err := json.Marshal(r)
			require.NoError(t, err)
			_, err = tlscheck.ParseFQDN(text)
			require.Error(t, err)
			assert.NotContains(t, string(out)+err.Error(), "hunter2")
		})
	}
}

func TestFindingsShowNoControlCharacters(t *testing.T) {
	for _, text := range []string{"\x1b[31mred.acme.com", "a\u202eb.acme.com", "a\u200d.com", "\u0085x_", "fe80::1%\x1b[1m"} {
		for _, f := range tlscheck.CheckName(text).Findings {
			assert.NotRegexp(t, "[[:cntrl:]\u202e\u200d\u0085]", f.Subject+f.Detail, "%q", text)
		}
	}
}

func TestParseFQDNSaysWhatIsWrong(t *testing.T) {
	_, err := tlscheck.ParseFQDN("https://10.0.0.1:8093/")
	require.EqualError(t, err, "connsec: https://10.0.0.1:8093/…: name-ip-literal (high): this is the IPv4 address 10.0.0.1 (and 1 more)")
	require.ErrorIs(t, err, tlscheck.RuleIPLiteral)
	require.ErrorIs(t, err, tlscheck.RuleExtraParts)
	require.NotErrorIs(t, err, tlscheck.RuleSingleLabel)
}

func TestFQDNText(t *testing.T) {
	type setting struct {
		Host tlscheck.FQDN `json:"host,omitzero"`
	}
	var s setting
	require.NoError(t, json.Unmarshal([]byte(`{"host":"BÜCHER.acme.com."}`), &s))
	assert.Equal(t, "xn--bcher-kva.acme.com", s.Host.String())
	assert.Equal(t, "bücher.acme.com", s.Host.Unicode())
	out, err := json.Marshal(s)
	require.NoError(t, err)
	assert.JSONEq(t, `{"host":"xn--bcher-kva.acme.com"}`, string(out))

	err = json.Unmarshal([]byte(`{"host":"central"}`), &s)
	require.ErrorIs(t, err, tlscheck.RuleSingleLabel)
	assert.Equal(t, "xn--bcher-kva.acme.com", s.Host.String(), "a refused name changes nothing")

	require.NoError(t, json.Unmarshal([]byte(`{"host":""}`), &s))
	assert.True(t, s.Host.IsZero())
	out, err = json.Marshal(s)
	require.NoError(t, err)
	assert.JSONEq(t, `{}`, string(out))
}

// What glibc's inet_aton accepted (Debian 12, glibc 2.36; asked through Python's
// socket.inet_aton), and which address it read.
var inetAton = map[string]string{
	"127.1": "127.0.0.1", "127.0.1": "127.0.0.1", "0x7f.1": "127.0.0.1", "0x7f000001": "127.0.0.1", "2130706433": "127.0.0.1",
	"010.0.0.1": "8.0.0.1", "017700000001": "127.0.0.1", "1.2.3.04": "1.2.3.4", "1.2.0x304": "1.2.3.4", "0": "0.0.0.0", "00": "0.0.0.0",
	"4294967295": "255.255.255.255", "1.16777215": "1.255.255.255", "1.2.65535": "1.2.255.255", "0X7F.1": "127.0.0.1", "0xa.0xb.0xc.0xd": "10.11.12.13",
	"4294967296": "", "1.16777216": "", "1.2.65536": "", "256.1": "", "08.1": "", "09": "", "0x": "", "0xg": "", "1.2.3.4.5": "", "1..2": "",
	".1": "", "1.": "", "127.1.": "", "+1": "", "-1": "", "1e1": "", "1_0": "", "0o17": "", "0b1": "", "0x1_0": "", "1.2.3.256": "", "١.٢": "",
}

func TestLegacyIPv4AgreesWithInetAton(t *testing.T) {
	// The URL standard (WHATWG) reads a trailing dot and a bare 0x, which glibc does not.
	browsersOnly := map[string]string{"1.": "0.0.0.1", "127.1.": "127.0.0.1", "0x": "0.0.0.0"}
	for text, want := range inetAton {
		if want == "" {
			want = browsersOnly[text]
		}
		r := tlscheck.CheckName(text)
		f := r.Of(tlscheck.RuleLegacyIPv4)[0]
		if want == "" {
			assert.Equal(t, connsec.Pass, f.Outcome, "%q: %s", text, f.Detail)
			assert.Error(t, r.Err(connsec.Medium), "%q", text)
			continue
		}
		if assert.Equal(t, connsec.Fail, f.Outcome, "%q", text) {
			assert.Equal(t, []connsec.Attr{{Key: "address", Value: want}}, f.Evidence, text)
		}
	}
}

// Whatever number spelling is drawn, an accepted name is never an address in disguise.
func TestNoAddressIsAcceptedAsAName(t *testing.T) {
	number := rapid.Custom(func(t *rapid.T) string {
		n := rapid.Uint64Range(0, 1<<33).Draw(t, "n")
		return fmt.Sprintf(rapid.SampledFrom([]string{"%d", "0%o", "0x%x", "0X%X", "00%o", "0x0%x"}).Draw(t, "format"), n)
	})
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(number, 1, 4).Draw(t, "parts"), ".")
		_, err := tlscheck.ParseFQDN(text)
		if err == nil {
			t.Fatalf("%q was accepted", text)
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		ip := netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "addr")))
		addr := fmt.Sprintf(rapid.SampledFrom([]string{"%s", "[%s]", "[%s]:443", "https://[%s]/"}).Draw(t, "form"), ip)
		r := tlscheck.CheckName(addr)
		if r.Of(tlscheck.RuleIPLiteral)[0].Outcome != connsec.Fail {
			t.Fatalf("%q was not recognised", addr)
		}
	})
}

func FuzzCheckName(f *testing.F) {
	for _, tt := range names {
		f.Add(tt.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r := tlscheck.CheckName(text)
		require.Len(t, r.Findings, len(tlscheck.NameRules))
		for _, finding := range r.Findings {
			require.NotEqual(t, connsec.Inconclusive, finding.Outcome, "%q: %s", text, finding.Detail) // a judge panicked
			require.NotEmpty(t, finding.Detail)
			require.LessOrEqual(t, len(finding.Subject), 2048)
		}
		fqdn, err := tlscheck.ParseFQDN(text)
		require.Equal(t, r.Err(connsec.Medium) != nil, err != nil)
		if err != nil {
			require.True(t, fqdn.IsZero())
			return
		}
		again, err := tlscheck.ParseFQDN(fqdn.String())
		require.NoError(t, err, "%q", text)
		require.Equal(t, fqdn, again)
		require.Regexp(t, `^[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})+$`, fqdn.String())
		require.LessOrEqual(t, len(fqdn.String()), 253)
		fromUnicode, err := tlscheck.ParseFQDN(fqdn.Unicode())
		require.NoError(t, err, "%q", fqdn.Unicode())
		require.Equal(t, fqdn, fromUnicode)
	})
}

func BenchmarkCheckName(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		tlscheck.CheckName("central.corp.acme.com")
	}
}

func ExampleParseFQDN() {
	name, err := tlscheck.ParseFQDN("Bücher.Acme.com.")
	fmt.Println(name, err)
	_, err = tlscheck.ParseFQDN("127.1")
	fmt.Println(err)
	// Output:
	// xn--bcher-kva.acme.com <nil>
	// connsec: 127.1: name-legacy-ipv4 (high): programs read this as the address 127.0.0.1
}

func ExampleCheckName() {
	for _, f := range tlscheck.CheckName("sql01.corp.local:1433").Failed(connsec.Info) {
		fmt.Printf("%s %s: %s\n", f.Severity, f.Rule.ID, f.Detail)
	}
	// Output:
	// medium name-extra-parts: besides the host there is port 1433
	// medium name-special-use: .local is asked for by multicast DNS, which anyone on the segment can answer
}

func TestJudgeName(t *testing.T) {
	v := tlscheck.JudgeName("central.corp.acme.com")
	assert.Equal(t, connsec.Pass, v.Outcome)
	v = tlscheck.JudgeName("central")
	assert.Equal(t, connsec.Fail, v.Outcome)
	assert.Equal(t, connsec.High, v.Severity)
	assert.Equal(t, []connsec.Attr{{Key: "rules", Value: tlscheck.RuleSingleLabel.ID}}, v.Evidence)
}
