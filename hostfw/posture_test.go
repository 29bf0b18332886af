package hostfw_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/hostfw"
	"github.com/connsec/connsec/internal/ruletest"
)

// by is a match for an interface, in front of others.
func by(name, rest string) string {
	text, _ := json.Marshal(name)
	return `{"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": ` + string(text) + `}}, ` + rest
}

// numbered is an export like nftTable's with a policy of drop, whose rules have handles of their own.
func numbered(rules ...string) string {
	export := nftTable("inet", "drop", rules...)
	for i := range rules {
		export = strings.Replace(export, `"handle": 7`, fmt.Sprintf(`"handle": %d`, 100+i), 1)
	}
	return export
}

// TestTrustedInterface is about a network that is trusted as a whole: it is named, and what the other
// interfaces let in is judged all the same.
func TestTrustedInterface(t *testing.T) {
	all, https, ssh := `{"accept": null}`, on("443", "accept"), on("22", "accept")
	for name, c := range map[string]struct {
		rules    []string
		severity connsec.Severity
		detail   string
		also     []*connsec.Rule
	}{
		"a VPN":                        {[]string{by("wg0", all), https}, connsec.Medium, "ports that no rule names are open through wg0, by inet filter input handle 7", nil},
		"and SSH from elsewhere":       {[]string{by("wg0", all), https, ssh}, connsec.Medium, "ports that no rule names are open through wg0, by inet filter input handle 7", []*connsec.Rule{hostfw.RuleManagementOpen}},
		"one that lets all but SSH in": {[]string{by("wg0", on("22", "drop")), by("wg0", all), by("eth0", https)}, connsec.Medium, "ports that no rule names are open through wg0, by inet filter input handle 7", nil},
		"the only one":                 {[]string{by("eth0", all)}, connsec.High, "ports that no rule names are open through eth0, by inet filter input handle 7", nil},
		"two of a kind":                {[]string{by("wg*", all), by("tun0", all), https}, connsec.Medium, "ports that no rule names are open through tun0, wg*, by inet filter input handle 7", nil},
		"all but one":                  {[]string{by("eth0", on("22", "drop")), by("eth0", https), by("eth0", `{"drop": null}`), all}, connsec.Medium, "ports that no rule names are open through * except eth0, by inet filter input handle 7", nil},
	} {
		t.Run(name, func(t *testing.T) {
			report := hostfw.Policy{}.Check(parse(t, "web01", nftTable("inet", "drop", c.rules...)))
			ruletest.ExpectFailed(t, report, append(c.also, hostfw.RuleDefaultAllow)...)
			got := report.Of(hostfw.RuleDefaultAllow)
			require.Len(t, got, 1)
			assert.Equal(t, c.detail, got[0].Detail)
			assert.Equal(t, c.severity, got[0].Severity)
			ruletest.Expect(t, report, connsec.Pass, hostfw.RuleDisabled, hostfw.RuleHTTPSBlocked)
			for _, r := range []*connsec.Rule{hostfw.RuleHTTPOpen, hostfw.RuleExtraPort} {
				for _, f := range report.Of(r) {
					assert.NotEqual(t, connsec.Pass, f.Outcome, "the trusted interface lets it in")
				}
			}
		})
	}
	t.Run("what is not known of one", func(t *testing.T) {
		mark := `{"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": 1}}, `
		report := hostfw.Policy{}.Check(parse(t, "web01", nftTable("inet", "drop", by("wg0", mark+all), https)))
		ruletest.Expect(t, report, connsec.Pass, hostfw.RuleDisabled)
		ruletest.Expect(t, report, connsec.Inconclusive, hostfw.RuleDefaultAllow)
		assert.Equal(t, `whether ports that no rule names are open through wg0 depends on "meta mark == 1"`, report.Of(hostfw.RuleDefaultAllow)[0].Detail)
	})
	t.Run("twenty thousand ports by each of two", func(t *testing.T) {
		some := on(`{"range": [30000, 50000]}`, "accept")
		report := hostfw.Policy{}.Check(parse(t, "web01", nftTable("inet", "drop", by("eth0", some), by("eth1", some), https)))
		ruletest.ExpectFailed(t, report, hostfw.RuleExtraPort)
	})
	t.Run("HTTPS by one", func(t *testing.T) {
		report := hostfw.Policy{}.Check(parse(t, "web01", nftTable("inet", "drop", by("eth0", https), by("wg0", `{"drop": null}`))))
		ruletest.Expect(t, report, connsec.Pass, hostfw.RuleHTTPSBlocked)
		assert.Equal(t, "port 443 is open to everyone through eth0", report.Of(hostfw.RuleHTTPSBlocked)[0].Detail)
	})
	t.Run("HTTPS by the trusted one alone", func(t *testing.T) {
		report := hostfw.Policy{}.Check(parse(t, "web01", nftTable("inet", "drop", by("wg0", all), on("25", "accept"))))
		ruletest.Expect(t, report, connsec.Fail, hostfw.RuleHTTPSBlocked)
		assert.Equal(t, "port 443 is open only through wg0, where ports are open by default, and not where others come in", report.Of(hostfw.RuleHTTPSBlocked)[0].Detail)
		report = hostfw.Policy{}.Check(parse(t, "web01", nftTable("inet", "drop", by("wg0", all), from("0.0.0.0/0", https), on("25", "accept"))))
		assert.Equal(t, "port 443 is open to everyone over IPv4 through * except wg0, but not over IPv6, where tcp 25 is", report.Of(hostfw.RuleHTTPSBlocked)[0].Detail)
	})
	t.Run("IPv6 by one", func(t *testing.T) {
		report := hostfw.Policy{}.Check(parse(t, "web01", nftTable("inet", "drop", https, by("eth0", from("::/0", all)))))
		ruletest.ExpectFailed(t, report, hostfw.RuleIPv6Gap)
		assert.Equal(t, "IPv4 is filtered through eth0, but over IPv6 ports that no rule names are open", report.Of(hostfw.RuleIPv6Gap)[0].Detail)
	})
}

// TestSourcesInParts: everyone is everyone, also by four rules for a quarter each.
func TestSourcesInParts(t *testing.T) {
	quarters := func(rest string) []string {
		var out []string
		for _, p := range []string{"0.0.0.0/2", "64.0.0.0/2", "128.0.0.0/2", "192.0.0.0/2"} {
			out = append(out, from(p, rest))
		}
		return out
	}
	report := hostfw.Policy{}.Check(parse(t, "web01", numbered(append(quarters(on("22", "accept")), on("443", "accept"))...)))
	ruletest.ExpectFailed(t, report, hostfw.RuleManagementOpen)
	assert.Equal(t, "open: tcp 22 from 0.0.0.0/2, by inet filter input handle 100 (SSH), and by other rules to everyone else", report.Of(hostfw.RuleManagementOpen)[0].Detail)
	report = hostfw.Policy{}.Check(parse(t, "web01", numbered(append(quarters(on(`{"range": [1, 65000]}`, "accept")), on("443", "accept"))...)))
	ruletest.ExpectFailed(t, report, hostfw.RuleDefaultAllow)
	report = hostfw.Policy{}.Check(parse(t, "web01", numbered(quarters(on("443", "accept"))...)))
	ruletest.Expect(t, report, connsec.Pass, hostfw.RuleHTTPSBlocked)
}

// TestIPv6ToMore: a port that IPv4 opens to administrators and IPv6 to everyone is a gap.
func TestIPv6ToMore(t *testing.T) {
	report := hostfw.Policy{Services: []hostfw.Service{admins}}.Check(parse(t, "web01", numbered(on("443", "accept"),
		from("10.0.0.0/24", on("22", "accept")), from("::/0", on("22", "accept")))))
	ruletest.ExpectFailed(t, report, hostfw.RuleIPv6Gap, hostfw.RuleManagementOpen)
	assert.Equal(t, "open over IPv6 and not over IPv4: tcp 22 from everyone (IPv6), by inet filter input handle 102", report.Of(hostfw.RuleIPv6Gap)[0].Detail)
}

// TestAdministratorsAreNotEveryone: what the policy allows is no finding because of another rule that
// opens the same port to everyone.
func TestAdministratorsAreNotEveryone(t *testing.T) {
	report := hostfw.Policy{Services: []hostfw.Service{admins}}.Check(parse(t, "web01", numbered(from("10.0.0.0/24", on("22", "accept")), on("22", "accept"), on("443", "accept"))))
	ruletest.ExpectFailed(t, report, hostfw.RuleManagementOpen)
	got := report.Of(hostfw.RuleManagementOpen)
	require.Len(t, got, 1)
	assert.Contains(t, got[0].Detail, "by inet filter input handle 101")
}

// TestIPv6OpenAndIPv4Doubtful: half of IPv6 is certainly let in, the other half and IPv4 perhaps.
func TestIPv6OpenAndIPv4Doubtful(t *testing.T) {
	mark := `{"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": 1}}, `
	report := hostfw.Policy{}.Check(parse(t, "web01", numbered(from("::/1", on("22", "accept")), mark+on("22", "accept"), on("443", "accept"))))
	ruletest.Expect(t, report, connsec.Inconclusive, hostfw.RuleIPv6Gap)
	report = hostfw.Policy{}.Check(parse(t, "web01", numbered(mark+on("22", "accept"), on("443", "accept"))))
	ruletest.Expect(t, report, connsec.Pass, hostfw.RuleIPv6Gap)
}

// TestHTTPSOverOneVersion: a port that is closed over one IP version keeps those out who come that
// way, if anybody does.
func TestHTTPSOverOneVersion(t *testing.T) {
	https, mail := on("443", "accept"), on("25", "accept")
	both := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	policy := hostfw.Policy{Services: []hostfw.Service{{Name: "mail", Port: 25, Sources: both}}}
	for name, c := range map[string]struct {
		rules    []string
		outcome  connsec.Outcome
		severity connsec.Severity
		detail   string
	}{
		"both":                   {[]string{https, mail}, connsec.Pass, connsec.Medium, "port 443 is open to everyone"},
		"IPv4 alone":             {[]string{from("0.0.0.0/0", https), from("0.0.0.0/0", mail)}, connsec.Pass, connsec.Medium, "port 443 is open to everyone over IPv4, and over IPv6 no port is"},
		"IPv6 alone":             {[]string{from("::/0", https), from("::/0", mail)}, connsec.Pass, connsec.Medium, "port 443 is open to everyone over IPv6, and over IPv4 no port is"},
		"mail over IPv6, too":    {[]string{from("0.0.0.0/0", https), mail}, connsec.Fail, connsec.Low, "port 443 is open to everyone over IPv4, but not over IPv6, where tcp 25 is"},
		"mail over IPv4, too":    {[]string{from("::/0", https), mail}, connsec.Fail, connsec.Medium, "port 443 is open to everyone over IPv6, but not over IPv4, where tcp 25 is"},
		"to some over IPv6":      {[]string{from("0.0.0.0/0", https), from("2001:db8::/32", https), mail}, connsec.Fail, connsec.Low, "port 443 is open to everyone over IPv4, but not over IPv6, where tcp 25 is"},
		"perhaps over IPv6":      {[]string{from("0.0.0.0/0", https), `{"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": 1}}, ` + https, mail}, connsec.Inconclusive, connsec.Medium, `port 443 is open to everyone over IPv4; whether over IPv6, where tcp 25 is open, depends on "meta mark == 1"`},
		"administrators by IPv6": {[]string{from("0.0.0.0/0", https), from("2001:db8::/32", on("22", "accept"))}, connsec.Pass, connsec.Medium, "port 443 is open to everyone over IPv4, and over IPv6 no port is"},
	} {
		t.Run(name, func(t *testing.T) {
			report := policy.Check(parse(t, "web01", nftTable("inet", "drop", c.rules...)))
			ruletest.Expect(t, report, c.outcome, hostfw.RuleHTTPSBlocked)
			got := report.Of(hostfw.RuleHTTPSBlocked)
			assert.Equal(t, c.detail, got[0].Detail)
			assert.Equal(t, c.severity, got[0].Severity)
		})
	}
	report := hostfw.Policy{}.Check(parse(t, "rules.v4", "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp --dport 443 -j ACCEPT\nCOMMIT\n"))
	assert.Equal(t, "port 443 is open to everyone over IPv4; nothing is known about IPv6", report.Of(hostfw.RuleHTTPSBlocked)[0].Detail)
}

// TestDHCPv6ByDestination is what firewalld's own service for DHCPv6 opens.
func TestDHCPv6ByDestination(t *testing.T) {
	dhcpv6 := func(to string) string {
		return `{"match": {"op": "==", "left": {"payload": {"protocol": "ip6", "field": "daddr"}}, "right": ` + to + `}},
			{"match": {"op": "==", "left": {"payload": {"protocol": "udp", "field": "dport"}}, "right": 546}}, {"accept": null}`
	}
	report := hostfw.Policy{}.Check(parse(t, "web01", nftTable("inet", "drop", on("443", "accept"), dhcpv6(`{"prefix": {"addr": "fe80::", "len": 64}}`))))
	ruletest.ExpectFailed(t, report)
	report = hostfw.Policy{}.Check(parse(t, "web01", nftTable("inet", "drop", from("0.0.0.0/0", on("443", "accept")), dhcpv6(`{"prefix": {"addr": "fe80::", "len": 64}}`))))
	ruletest.ExpectFailed(t, report) // HTTPS over IPv4 alone: over IPv6 nobody is let in
	report = hostfw.Policy{}.Check(parse(t, "web01", nftTable("inet", "drop", on("443", "accept"), dhcpv6(`{"prefix": {"addr": "2001:db8::", "len": 64}}`))))
	ruletest.ExpectFailed(t, report, hostfw.RuleExtraPort, hostfw.RuleIPv6Gap)
}

// TestUnknownsAreBounded: more doubts than are listed are doubts, not failures.
func TestUnknownsAreBounded(t *testing.T) {
	var rules []string
	for port := 20000; port < 20200; port += 2 {
		rules = append(rules, fmt.Sprintf(`{"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": %d}}, %s`, port, on(fmt.Sprint(port), "accept")))
	}
	report := hostfw.Policy{}.Check(parse(t, "web01", nftTable("inet", "drop", rules...)))
	ruletest.Expect(t, report, connsec.Inconclusive, hostfw.RuleExtraPort)
	extra := report.Of(hostfw.RuleExtraPort)
	assert.Equal(t, "60 more of the same kind are not listed", extra[len(extra)-1].Detail)
}

// TestTooManyCombinations: a rule set that multiplies itself is refused, in bounded memory.
func TestTooManyCombinations(t *testing.T) {
	var pairs []string
	for port := range 250 {
		pairs = append(pairs, fmt.Sprintf(`{"concat": ["10.0.0.%d", %d]}`, port, port))
	}
	twice := `{"match": {"op": "==", "left": {"concat": [{"payload": {"protocol": "ip", "field": "saddr"}}, {"payload": {"protocol": "tcp", "field": "dport"}}]}, "right": {"set": [` + strings.Join(pairs, ",") + `]}}}`
	other := strings.NewReplacer("saddr", "daddr", "dport", "sport").Replace(twice)
	var rules []string
	for range 40 {
		rules = append(rules, twice+", "+other+`, {"accept": null}`)
	}
	_, err := hostfw.Parse("web01", []byte(nftTable("inet", "drop", rules...)))
	require.ErrorContains(t, err, "web01: the rules with their combinations of sets are more than 524288")
}

// TestNothingCovered: an export without a table says nothing about anything, which every rule says.
func TestNothingCovered(t *testing.T) {
	report := hostfw.Policy{}.Check(parse(t, "rules.v4", "# Generated by iptables-save v1.8.9 (nf_tables)\n# Completed\n"))
	for _, r := range hostfw.Rules() {
		require.NotEmpty(t, report.Of(r), r.ID)
		for _, f := range report.Of(r) {
			assert.NotEqual(t, connsec.Fail, f.Outcome, "%s: %s", r.ID, f.Detail)
		}
	}
	ruletest.Expect(t, report, connsec.Inconclusive, hostfw.RuleHTTPSBlocked, hostfw.RuleIPv6Gap)
}
