package hostfw_test

import (
	"encoding/json"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/hostfw"
	"github.com/connsec/connsec/internal/ruletest"
)

// nftTable is an export of nftables with one base chain for input and these rules, each a list of
// statements in JSON.
func nftTable(family, policy string, rules ...string) string {
	var b strings.Builder
	b.WriteString(`{"nftables": [{"metainfo": {"json_schema_version": 1}}, {"table": {"family": "` + family + `", "name": "filter"}},
		{"chain": {"family": "` + family + `", "table": "filter", "name": "input", "type": "filter", "hook": "input", "prio": 0, "policy": "` + policy + `"}}`)
	for _, r := range rules {
		b.WriteString(`, {"rule": {"family": "` + family + `", "table": "filter", "chain": "input", "handle": 7, "expr": [` + r + `]}}`)
	}
	b.WriteString("]}")
	return b.String()
}

// on is a match for ports of TCP, then a verdict.
func on(ports, verdict string) string {
	return `{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": ` + ports + `}}, {"` + verdict + `": null}`
}

// from is a match for a source, in front of others.
func from(prefix, rest string) string {
	p := netip.MustParsePrefix(prefix)
	family := "ip"
	if p.Addr().Is6() {
		family = "ip6"
	}
	text, _ := json.Marshal(map[string]any{"prefix": map[string]any{"addr": p.Addr(), "len": p.Bits()}})
	return `{"match": {"op": "==", "left": {"payload": {"protocol": "` + family + `", "field": "saddr"}}, "right": ` + string(text) + `}}, ` + rest
}

func parse(t *testing.T, name, export string) hostfw.Ruleset {
	t.Helper()
	r, err := hostfw.Parse(name, []byte(export))
	require.NoError(t, err)
	return r
}

var admins = hostfw.Service{Name: "SSH", Port: 22, Sources: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}}

func TestRules(t *testing.T) {
	https := on("443", "accept")
	for _, c := range []struct {
		name, export string
		policy       hostfw.Policy
		fail         []*connsec.Rule
		detail       string // of the first failure
	}{
		{"https only", nftTable("inet", "drop", https), hostfw.Policy{}, nil, ""},
		{"another port", nftTable("inet", "drop", on("8093", "accept")), hostfw.Policy{HTTPS: []uint16{8093}}, nil, ""},
		{"with management", nftTable("inet", "drop", https, from("10.0.0.0/24", on("22", "accept"))), hostfw.Policy{Services: []hostfw.Service{admins}}, nil, ""},
		{"no rules", `{"nftables": [{"metainfo": {"json_schema_version": 1}}]}`, hostfw.Policy{}, []*connsec.Rule{hostfw.RuleDisabled}, "every packet gets in: no rule and no policy keeps any out"},
		{"accept all", nftTable("inet", "drop", `{"accept": null}`), hostfw.Policy{}, []*connsec.Rule{hostfw.RuleDisabled}, ""},
		{"default accept", nftTable("inet", "accept", on("23", "drop")), hostfw.Policy{}, []*connsec.Rule{hostfw.RuleDefaultAllow},
			"ports that no rule names are open, by policy of inet filter input"},
		{"nearly all ports", nftTable("inet", "drop", on(`{"range": [1, 65000]}`, "accept")), hostfw.Policy{}, []*connsec.Rule{hostfw.RuleDefaultAllow},
			"ports that no rule names are open, by inet filter input handle 7"},
		{"HTTP", nftTable("inet", "drop", https, on("80", "accept")), hostfw.Policy{}, []*connsec.Rule{hostfw.RuleHTTPOpen},
			"open: tcp 80 from everyone, by inet filter input handle 7"},
		{"an HTTP port that is named", nftTable("inet", "drop", https, on("81", "accept")), hostfw.Policy{HTTP: []uint16{81}}, []*connsec.Rule{hostfw.RuleHTTPOpen}, ""},
		{"HTTP inside a range", nftTable("inet", "drop", https, on(`{"range": [8082, 8084]}`, "accept")), hostfw.Policy{}, []*connsec.Rule{hostfw.RuleHTTPOpen, hostfw.RuleExtraPort}, ""},
		{"an extra port", nftTable("inet", "drop", https, on("9100", "accept")), hostfw.Policy{}, []*connsec.Rule{hostfw.RuleExtraPort},
			"open: tcp 9100 from everyone, by inet filter input handle 7"},
		{"too many sources", nftTable("inet", "drop", https, from("10.0.0.0/16", on("22", "accept"))), hostfw.Policy{Services: []hostfw.Service{admins}}, []*connsec.Rule{hostfw.RuleExtraPort},
			"open: tcp 22 from 10.0.0.0/16, by inet filter input handle 7"},
		{"RDP", nftTable("inet", "drop", https, on("3389", "accept")), hostfw.Policy{}, []*connsec.Rule{hostfw.RuleManagementOpen},
			"open: tcp 3389 from everyone, by inet filter input handle 7 (RDP)"},
		{"closed", nftTable("inet", "drop"), hostfw.Policy{}, []*connsec.Rule{hostfw.RuleHTTPSBlocked}, "port 443 is closed"},
		{"open to some", nftTable("inet", "drop", from("10.0.0.0/8", https)), hostfw.Policy{}, []*connsec.Rule{hostfw.RuleHTTPSBlocked},
			"port 443 is not open to everyone, only: tcp 443 from 10.0.0.0/8, by inet filter input handle 7"},
		{"IPv6 unfiltered", nftTable("ip", "drop", https), hostfw.Policy{}, []*connsec.Rule{hostfw.RuleIPv6Gap}, "IPv4 is filtered, but over IPv6 ports that no rule names are open"},
		{"IPv6 wider", nftTable("inet", "drop", https, from("::/0", on("9100", "accept"))), hostfw.Policy{}, []*connsec.Rule{hostfw.RuleIPv6Gap, hostfw.RuleExtraPort},
			"open over IPv6 and not over IPv4: tcp 9100 from everyone (IPv6), by inet filter input handle 7"},
		{"source port", nftTable("inet", "drop", https, `{"match": {"op": "==", "left": {"payload": {"protocol": "udp", "field": "sport"}}, "right": 53}}, {"accept": null}`),
			hostfw.Policy{}, []*connsec.Rule{hostfw.RuleSourcePort}, ""},
		{"a DHCP client", nftTable("inet", "drop", https, `{"match": {"op": "==", "left": {"payload": {"protocol": "udp", "field": "sport"}}, "right": 67}},
			{"match": {"op": "==", "left": {"payload": {"protocol": "udp", "field": "dport"}}, "right": 68}}, {"accept": null}`), hostfw.Policy{}, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			report := c.policy.Check(parse(t, "web01", c.export))
			ruletest.ExpectFailed(t, report, c.fail...)
			if c.detail != "" {
				assert.Equal(t, c.detail, report.Failed(connsec.Info)[0].Detail)
			}
			if c.fail == nil {
				ruletest.Expect(t, report, connsec.Pass, hostfw.RuleDisabled, hostfw.RuleDefaultAllow, hostfw.RuleHTTPOpen, hostfw.RuleManagementOpen, hostfw.RuleSourcePort,
					hostfw.RuleExtraPort, hostfw.RuleHTTPSBlocked, hostfw.RuleIPv6Gap)
				ruletest.Expect(t, report, connsec.NotApplicable, hostfw.RuleProfileGap)
			}
			for _, r := range hostfw.Rules() {
				assert.NotEmpty(t, report.Of(r), "every rule says something")
			}
		})
	}
}

// TestUnmodelled is about what cannot be told: it is inconclusive where it matters, and names the
// expression.
func TestUnmodelled(t *testing.T) {
	mark := `{"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": 1}}, `
	for _, c := range []struct {
		name, export string
		rule         *connsec.Rule
		detail       string
	}{
		{"a port", nftTable("inet", "drop", on("443", "accept"), mark+on("9100", "accept")), hostfw.RuleExtraPort, `whether tcp 9100 is open depends on "meta mark == 1"`},
		{"HTTPS", nftTable("inet", "drop", mark+on("443", "accept")), hostfw.RuleHTTPSBlocked, `whether port 443 is open depends on "meta mark == 1"`},
		{"everything", nftTable("inet", "drop", mark+`{"accept": null}`), hostfw.RuleDefaultAllow, `whether ports that no rule names are open depends on "meta mark == 1"`},
		{"a queue", nftTable("inet", "drop", on("443", "accept"), `{"queue": {"num": 1}}`), hostfw.RuleDefaultAllow, `whether ports that no rule names are open depends on "queue num 1"`},
		{"one IP version", "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp --dport 443 -j ACCEPT\nCOMMIT\n", hostfw.RuleIPv6Gap,
			"nothing is known about IPv6: the export holds rules for IPv4 only (ip6tables-save shows those for IPv6)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			report := hostfw.Policy{}.Check(parse(t, "web01", c.export))
			ruletest.Expect(t, report, connsec.Inconclusive, c.rule)
			assert.Equal(t, c.detail, report.Of(c.rule)[0].Detail)
			assert.Empty(t, report.Failed(connsec.Info))
		})
	}
	t.Run("where it does not matter", func(t *testing.T) {
		report := hostfw.Policy{}.Check(parse(t, "web01", nftTable("inet", "drop", mark+on("443", "accept"), on("443", "accept"), mark+`{"drop": null}`, `{"queue": {"num": 1}}, {"accept": null}`)))
		ruletest.Expect(t, report, connsec.Pass, hostfw.RuleHTTPSBlocked)
	})
}

// TestOneVersion judges hosts that let in more over one IP version: nothing may pass that was looked
// at over the other one only.
func TestOneVersion(t *testing.T) {
	https, telnet := on("443", "accept"), on("23", "drop")
	six := func(policy string, rules ...string) string { return nftTable("ip6", policy, rules...) }
	both := func(a, b string) string {
		return strings.TrimSuffix(a, "]}") + "," + strings.TrimPrefix(b, `{"nftables": [`)
	}
	perPort := []*connsec.Rule{hostfw.RuleExtraPort, hostfw.RuleHTTPOpen, hostfw.RuleManagementOpen, hostfw.RuleSourcePort}
	for name, c := range map[string]struct {
		rules  string
		failed []*connsec.Rule
		detail string
		// unknown are the rules that nobody can judge.
		unknown []*connsec.Rule
	}{
		"IPv4 unfiltered": {six("drop", https), []*connsec.Rule{hostfw.RuleDisabled}, "every packet gets in over IPv4: no rule and no policy keeps any out", nil},
		"IPv4 allows":     {both(nftTable("ip", "accept", telnet), six("drop", https)), []*connsec.Rule{hostfw.RuleDefaultAllow}, "ports that no rule names are open over IPv4, by policy of ip filter input", nil},
		"IPv4 untold": {both(nftTable("ip", "drop", `{"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": 1}}, {"accept": null}`), six("drop", https)), nil, "",
			[]*connsec.Rule{hostfw.RuleDisabled, hostfw.RuleDefaultAllow, hostfw.RuleExtraPort, hostfw.RuleHTTPOpen, hostfw.RuleManagementOpen}},
		"one port of IPv6 untold": {both(nftTable("ip", "drop", https), six("drop", https, `{"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": 1}}, `+on("9100", "accept"))), nil, "",
			[]*connsec.Rule{hostfw.RuleIPv6Gap, hostfw.RuleExtraPort}},
		"IPv4 allows and IPv6 unfiltered": {nftTable("ip", "accept", telnet), []*connsec.Rule{hostfw.RuleDisabled, hostfw.RuleDefaultAllow}, "every packet gets in over IPv6: no rule and no policy keeps any out", nil},
	} {
		t.Run(name, func(t *testing.T) {
			report := hostfw.Policy{}.Check(parse(t, "host", c.rules))
			ruletest.ExpectFailed(t, report, c.failed...)
			if c.detail != "" {
				assert.Equal(t, c.detail, report.Of(c.failed[0])[0].Detail)
			}
			for _, f := range report.Findings {
				if slices.Contains(c.unknown, f.Rule) {
					assert.Equal(t, connsec.Inconclusive, f.Outcome, "%s: %s", f.Rule.ID, f.Detail)
				}
				if c.failed != nil && slices.Contains(perPort, f.Rule) {
					assert.NotEqual(t, connsec.Pass, f.Outcome, "%s: %s", f.Rule.ID, f.Detail)
				}
			}
		})
	}
}

func TestProfileGap(t *testing.T) {
	data, err := os.ReadFile("testdata/windows/hardened.json")
	require.NoError(t, err)
	hardened := string(data)
	// As it is, Remote Desktop is open to administrators in two profiles.
	report := hostfw.Policy{}.Check(parse(t, "web01", hardened))
	ruletest.ExpectFailed(t, report, hostfw.RuleProfileGap, hostfw.RuleExtraPort)
	assert.Contains(t, report.Of(hostfw.RuleProfileGap)[0].Detail, "open in profile Domain and not in Public: tcp 3389, by rule \"connsec RDP 3389\"")
	// Without it, all profiles are alike.
	same := strings.Replace(hardened, `"DisplayName": "connsec RDP 3389", "Enabled": "True"`, `"DisplayName": "connsec RDP 3389", "Enabled": "False"`, 1)
	if same == hardened {
		same = strings.Replace(hardened, `"LocalPort": "3389"`, `"LocalPort": "443"`, 1)
	}
	require.NotEqual(t, hardened, same)
	report = hostfw.Policy{}.Check(parse(t, "web01", same))
	ruletest.ExpectFailed(t, report)
	ruletest.Expect(t, report, connsec.Pass, hostfw.RuleProfileGap, hostfw.RuleDisabled, hostfw.RuleHTTPSBlocked)

	data, err = os.ReadFile("testdata/windows/weak.json")
	require.NoError(t, err)
	report = hostfw.Policy{}.Check(parse(t, "web01", string(data)))
	// Private is off, Public lets everything in by default, Domain opens HTTP.
	ruletest.ExpectFailed(t, report, hostfw.RuleDisabled, hostfw.RuleDefaultAllow, hostfw.RuleProfileGap, hostfw.RuleHTTPOpen, hostfw.RuleExtraPort)
	assert.Equal(t, "every packet gets in (profile Private): no rule and no policy keeps any out", report.Of(hostfw.RuleDisabled)[0].Detail)
}

func TestFindingsAreBounded(t *testing.T) {
	var rules []string
	for port := 20000; port < 20200; port += 2 {
		text, _ := json.Marshal(port)
		rules = append(rules, on(string(text), "accept"))
	}
	report := hostfw.Policy{}.Check(parse(t, "web01", nftTable("inet", "drop", rules...)))
	extra := report.Of(hostfw.RuleExtraPort)
	assert.Len(t, extra, 41)
	assert.Equal(t, "60 more of the same kind are not listed", extra[40].Detail)
}

func TestValidate(t *testing.T) {
	ruletest.ExpectFailed(t, hostfw.Policy{}.Validate())
	everyone := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}
	ruletest.ExpectFailed(t, hostfw.Policy{Services: []hostfw.Service{{Name: "RDP", Port: 3389, Sources: everyone}}}.Validate(), hostfw.RuleManagementOpen)
	ruletest.ExpectFailed(t, hostfw.Policy{Services: []hostfw.Service{{Name: "Web", Port: 80, Sources: everyone}}}.Validate(), hostfw.RuleHTTPOpen)
	ruletest.ExpectFailed(t, hostfw.Policy{Services: []hostfw.Service{admins}}.Validate())
}

// TestMappedSources: IPv4 written as IPv6 means the same to a check as to a plan.
func TestMappedSources(t *testing.T) {
	mapped := func(prefix string) hostfw.Policy {
		return hostfw.Policy{Services: []hostfw.Service{{Name: "SSH", Port: 22, Sources: []netip.Prefix{netip.MustParsePrefix(prefix)}}}}
	}
	report := mapped("::ffff:10.0.0.0/104").Check(parse(t, "web01", nftTable("inet", "drop", on("443", "accept"), from("10.0.0.0/8", on("22", "accept")))))
	ruletest.ExpectFailed(t, report)
	ruletest.ExpectFailed(t, mapped("::ffff:0.0.0.0/96").Validate(), hostfw.RuleManagementOpen)
}

func TestEvaluationJSON(t *testing.T) {
	e := parse(t, "web01", nftTable("inet", "drop", from("192.0.2.0/24", `{"drop": null}`), on(`{"set": [443, {"range": [8000, 8010]}]}`, "accept"))).Evaluate()
	got, err := json.Marshal(e)
	require.NoError(t, err)
	assert.JSONEq(t, `{"target": "web01", "kind": "nftables", "exposures": [
		{"action": "accept", "protocol": "tcp", "ports": "443", "sources": ["0.0.0.0/0", "::/0"], "except": ["192.0.2.0/24"], "by": "inet filter input handle 7"},
		{"action": "accept", "protocol": "tcp", "ports": "8000-8010", "sources": ["0.0.0.0/0", "::/0"], "except": ["192.0.2.0/24"], "by": "inet filter input handle 7"}]}`, string(got))
	empty, err := json.Marshal(parse(t, "web01", nftTable("inet", "drop")).Evaluate())
	require.NoError(t, err)
	assert.JSONEq(t, `{"target": "web01", "kind": "nftables", "exposures": []}`, string(empty))
}

// TestHalfOfAHost: the export shows one IP version, or the other is open. What is closed over the
// one is no pass for the host.
func TestHalfOfAHost(t *testing.T) {
	const closed = "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp --dport 443 -j ACCEPT\nCOMMIT\n"
	rules := []*connsec.Rule{
		hostfw.RuleDefaultAllow, hostfw.RuleExtraPort, hostfw.RuleHTTPOpen, hostfw.RuleManagementOpen, hostfw.RuleSourcePort, hostfw.RuleIPv6Gap,
	}
	for _, name := range []string{"rules.v4", "rules.v6"} {
		ruletest.Expect(t, hostfw.Policy{}.Check(parse(t, name, closed)), connsec.Inconclusive, rules...)
	}
	report := hostfw.Policy{}.Check(parse(t, "host", nftTable("ip", "drop", on("443", "accept"))))
	ruletest.ExpectFailed(t, report, hostfw.RuleIPv6Gap)
	ruletest.Expect(t, report, connsec.NotApplicable, hostfw.RuleDefaultAllow)
}
