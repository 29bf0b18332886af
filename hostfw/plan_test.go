package hostfw

import (
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite the plans in testdata")

var allTargets = []Target{PowerShell, Netsh, NFTables, UFW, Firewalld}

// office is the policy that the plans in testdata are for.
func office() Policy {
	prefixes := func(texts ...string) []netip.Prefix {
		var out []netip.Prefix
		for _, s := range texts {
			out = append(out, netip.MustParsePrefix(s))
		}
		return out
	}
	return Policy{
		HTTPS: []uint16{8093, 443},
		Services: []Service{
			{Name: "Remote Desktop", Protocol: TCP, Port: 3389, Sources: prefixes("10.20.0.0/24", "10.20.0.7/32", "fd00:20::/64")},
			{Name: "ssh", Protocol: TCP, Port: 22, Sources: prefixes("192.0.2.10/32", "10.20.0.0/24")},
			{Name: "snmp", Protocol: UDP, Port: 161, Sources: prefixes("10.30.1.5/32", "10.30.1.6/32")},
		},
	}
}

func TestPlanGolden(t *testing.T) {
	for name, policy := range map[string]Policy{"office": office(), "https-only": {Name: "my site"}} {
		for _, target := range allTargets {
			t.Run(name+"/"+target.String(), func(t *testing.T) {
				plan, err := policy.Plan(target)
				require.NoError(t, err)
				assert.Equal(t, target, plan.Target)
				file := "testdata/plans/" + name + "." + target.String() + ".txt"
				if *update {
					require.NoError(t, os.MkdirAll("testdata/plans", 0o755))
					require.NoError(t, os.WriteFile(file, []byte(plan.Text()), 0o644))
				}
				want, err := os.ReadFile(file)
				require.NoError(t, err, "run the tests with -update and look at what they wrote")
				assert.Equal(t, string(want), plan.Text())

				var back Plan
				data, err := json.Marshal(plan)
				require.NoError(t, err)
				require.NoError(t, json.Unmarshal(data, &back))
				assert.Equal(t, plan, back)
			})
		}
	}
}

func TestPlanSaysWhoGetsIn(t *testing.T) {
	for _, target := range allTargets {
		plan, err := Policy{}.Plan(target)
		require.NoError(t, err)
		assert.Contains(t, plan.Assumes[0], "NO WAY IN FOR ADMINISTRATORS")
		plan, err = office().Plan(target)
		require.NoError(t, err)
		assert.Contains(t, plan.Assumes[0], "port 3389 from 10.20.0.0/24, fd00:20::/64; port 22 from 10.20.0.0/24, 192.0.2.10/32")
	}
}

// TestPlanKeepsWhatIsThere: what undo brings back lies where no ordinary user could have put something
// else before.
func TestPlanKeepsWhatIsThere(t *testing.T) {
	for _, target := range allTargets {
		plan, err := office().Plan(target)
		require.NoError(t, err)
		for _, open := range []string{"ProgramData", "TEMP", "TMP", "/tmp", "Public"} {
			for _, step := range append(plan.Apply, plan.Undo...) {
				assert.NotContains(t, strings.ReplaceAll(step.Command, "-Profile Domain, Private, Public", ""), open, "%s", target)
			}
		}
	}
}

func TestPlanRefuses(t *testing.T) {
	one := func(s Service) Policy { return Policy{Services: []Service{s}} }
	here := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	const rule = "a letter, then at most 30 letters, digits, spaces, - and _"
	for want, p := range map[string]Policy{
		"hostfw: the policy's name cannot stand in a plan; it is " + rule:                                         {Name: "x; rm -rf /"},
		"hostfw: service 1 (\"a' b\"): the name cannot stand in a plan; it is " + rule:                            one(Service{Name: "a' b", Port: 1, Sources: here}),
		"hostfw: service 1 (\"\"): the name cannot stand in a plan; it is " + rule:                                one(Service{Port: 1, Sources: here}),
		"hostfw: port 0 cannot be opened":                                                                         {HTTPS: []uint16{0}},
		"hostfw: service 1 (\"a\"): port 0 cannot be opened":                                                      one(Service{Name: "a", Sources: here}),
		"hostfw: service 1 (\"a\"): the protocol is tcp or udp":                                                   one(Service{Name: "a", Protocol: 7, Port: 1, Sources: here}),
		"hostfw: service 1 (\"a\"): a source is no prefix, such as 192.0.2.0/24":                                  one(Service{Name: "a", Port: 1, Sources: make([]netip.Prefix, 1)}),
		"hostfw: service 1 (\"a\"): it has no sources, so that nobody could reach it; leave it out, or name them": one(Service{Name: "a", Port: 1}),
	} {
		for _, target := range allTargets {
			plan, err := p.Plan(target)
			require.EqualError(t, err, want)
			assert.Zero(t, plan)
		}
	}
	_, err := Policy{}.Plan(Target(9))
	require.EqualError(t, err, "hostfw: cannot plan for target(9)")
	_, err = Policy{Name: "fifteen letters"}.Plan(Firewalld)
	require.EqualError(t, err, "hostfw: the policy's name has more than 14 characters, which is too long for a zone of firewalld")
	half := one(Service{Name: "a", Port: 1, Sources: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}})
	for _, target := range []Target{PowerShell, Netsh} {
		_, err = half.Plan(target)
		require.ErrorContains(t, err, "name 0.0.0.0/0 and ::/0, or neither")
	}
}

// planLines are the lines that a plan's commands may consist of, with names, ports and addresses
// taken out.
func planLines(t testing.TB, p Policy, target Target) map[string]bool {
	plan, err := p.Plan(target)
	if err != nil {
		return nil
	}
	lines := map[string]bool{}
	for _, steps := range [][]Step{plan.Apply, plan.Undo, plan.Check} {
		for _, s := range steps {
			for line := range strings.SplitSeq(s.Command, "\n") {
				lines[line] = true
			}
		}
	}
	return lines
}

// FuzzPlan feeds names from anywhere. Whatever gets into a plan leaves its lines as they are for
// a harmless name.
func FuzzPlan(f *testing.F) {
	f.Add("connsec", "ssh", uint16(22), "10.0.0.0/8", uint8(0))
	f.Add("a'; rm -rf / #", "x\nufw disable", uint16(1), "::/0", uint8(1))
	f.Add("$(reboot)", "`id`", uint16(1), "fe80::1%eth0/64", uint8(2))
	f.Add("%PATH%", "\" & calc & \"", uint16(65535), "10.0.0.0/8", uint8(3))
	f.Add("é", "ＡＢＣ", uint16(80), "::ffff:10.0.0.0/104", uint8(4))
	f.Add("all", "all", uint16(80), "0.0.0.0/0", uint8(4))
	f.Fuzz(func(t *testing.T, name, service string, port uint16, source string, target uint8) {
		prefix, err := netip.ParsePrefix(source)
		if err != nil {
			prefix = netip.MustParsePrefix("10.0.0.0/8")
		}
		policy := func(name, service string) Policy {
			return Policy{Name: name, Services: []Service{{Name: service, Port: port, Sources: []netip.Prefix{prefix}}}}
		}
		to := Target(target % uint8(len(allTargets)))
		got := planLines(t, policy(name, service), to)
		if got == nil {
			return
		}
		for line := range got {
			for _, r := range line {
				if r != '\t' && (r < ' ' || r > '~') {
					t.Fatalf("%q in %q", r, line)
				}
			}
		}
		if name == "" {
			name = "connsec"
		}
		mark := regexp.MustCompile(`ZZNAME|ZZSVC`)
		want := map[string]bool{}
		for line := range planLines(t, policy("ZZNAME", "ZZSVC"), to) {
			want[mark.ReplaceAllStringFunc(line, func(s string) string {
				if s == "ZZSVC" {
					return service
				}
				return name
			})] = true
		}
		dashed := strings.ReplaceAll(name, " ", "-")
		for line := range got {
			found := want[line]
			for w := range want {
				found = found || strings.ReplaceAll(w, name, dashed) == strings.ReplaceAll(line, name, dashed)
			}
			assert.True(t, found, "%q", line)
		}
	})
}
