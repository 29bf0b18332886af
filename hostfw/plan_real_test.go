package hostfw

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/realsrv"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// meant says what a policy lets in. It is written for the tests, apart from what plans and
// evaluation use.
func meant(p Policy, packet Packet) bool {
	https := p.HTTPS
	if https == nil {
		https = []uint16{443}
	}
	if packet.Protocol == TCP && slices.Contains(https, packet.Port) {
		return true
	}
	for _, s := range p.Services {
		if s.Protocol == packet.Protocol && s.Port == packet.Port && slices.ContainsFunc(s.Sources, func(x netip.Prefix) bool { return x.Contains(packet.Source) }) {
			return true
		}
	}
	return false
}

// expectPolicy compares a rule set with the policy that it was made for, for many packets: every
// port that either names with its neighbours, and sources inside and just outside of every
// prefix. Subjects in except are of ports that trust a source port by themselves.
func expectPolicy(t *testing.T, p Policy, r Ruleset, profiles []string, except ...string) {
	t.Helper()
	ports := []uint16{1, 21, 22, 23, 53, 79, 80, 81, 135, 139, 161, 162, 389, 442, 443, 444, 445, 1433, 3388, 3389, 3390, 5985, 5986, 8080, 8092, 8093, 8094, 49152, 60000, 65535}
	sources := []netip.Addr{netip.MustParseAddr(stranger), netip.MustParseAddr(stranger6), netip.MustParseAddr("10.99.0.1"), netip.MustParseAddr("fd99::1")}
	for _, s := range p.Services {
		ports = append(ports, s.Port)
		for _, prefix := range s.Sources {
			whole := rangeOf(prefix)
			sources = append(sources, whole.First, whole.Last)
			for _, outside := range []netip.Addr{whole.First.Prev(), whole.Last.Next()} {
				if outside.IsValid() {
					sources = append(sources, outside)
				}
			}
		}
	}
	n := 0
	for _, profile := range profiles {
		for _, protocol := range []Protocol{TCP, UDP} {
			for _, port := range ports {
				for _, source := range sources {
					packet := Packet{Protocol: protocol, Source: source, SourcePort: 40001, Destination: netip.MustParseAddr("192.0.2.1"), Port: port, Interface: "eth0", Profile: profile}
					if source.Is6() {
						packet.Destination = netip.MustParseAddr("2001:db8::1")
					}
					got := r.Decide(packet)
					if !assert.NotEqual(t, Unknown, got.Action, "%+v: %+v", packet, got) ||
						!assert.Equal(t, meant(p, packet), got.Action == Accept, "%+v: %+v", packet, got) {
						return
					}
					n++
				}
			}
		}
	}
	assert.Greater(t, n, 200)
	for _, f := range p.Check(r).Findings {
		if f.Rule == RuleSourcePort && slices.Contains(except, f.Subject) {
			continue
		}
		assert.Contains(t, []connsec.Outcome{connsec.Pass, connsec.NotApplicable}, f.Outcome, "%s: %s: %s", f.Rule.ID, f.Subject, f.Detail)
	}
}

// dhcp is what DHCP clients need, of which a firewall's own rules take care: the subjects of what
// a check may say about it.
var dhcp = []string{"host 68/udp", "host 546/udp", "68/udp", "546/udp"}

// script is the plan as a file that a shell runs, with the paths below dir.
func script(t *testing.T, dir, name, text string, paths ...string) string {
	t.Helper()
	for _, path := range paths {
		text = strings.ReplaceAll(text, path, filepath.Join(dir, filepath.Base(path)))
	}
	file := filepath.Join(dir, name)
	require.NoError(t, os.WriteFile(file, []byte(text), 0o700))
	return file
}

// steps is some steps as a script.
func steps(from []Step) string {
	var b strings.Builder
	b.WriteString("set -eu\n")
	for _, s := range from {
		b.WriteString(s.Command + "\n")
	}
	return b.String()
}

// loaded is what nft says is loaded, without what changes by itself.
var volatile = regexp.MustCompile(`"(handle|packets|bytes)": \d+(, )?`)

func TestPlanNFTablesForReal(t *testing.T) {
	t.Parallel()
	nft, sh := realsrv.Need(t, "nft"), realsrv.Need(t, "sh")
	realsrv.Need(t, "root")
	for name, policy := range map[string]Policy{"https only": {}, "office": office(), "a name with spaces, everyone": {
		Name: "my site 2", Services: []Service{{Name: "metrics", Port: 9100, Sources: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::/0")}}},
	}} {
		t.Run(name, func(t *testing.T) {
			netns, dir := realsrv.NewNetns(t), t.TempDir()
			run := func(path string, args ...string) string {
				t.Helper()
				out, err := realsrv.Run(t, realsrv.Cmd{Path: path, Args: args, Netns: netns})
				require.NoError(t, err, out)
				return out
			}
			loaded := func() string { return volatile.ReplaceAllString(run(nft, "-j", "list", "ruleset"), "") }
			run(nft, "add table inet before; add chain inet before input { type filter hook input priority 10; policy accept; }; add rule inet before input tcp dport 8080 accept")
			before := loaded()

			plan, err := policy.Plan(NFTables)
			require.NoError(t, err)
			file := "/etc/" + strings.ReplaceAll(strings.TrimSpace("connsec"), " ", "-") + "-inbound.nft"
			if policy.Name != "" {
				file = "/etc/my-site-2-inbound.nft"
			}
			apply := script(t, dir, "apply", plan.Text(), file)
			run(sh, apply)
			once := loaded()
			ruleset, err := Parse("host", []byte(run(nft, "-j", "list", "ruleset")))
			require.NoError(t, err)
			assert.Equal(t, KindNFTables, ruleset.Kind)
			expectPolicy(t, policy, ruleset, []string{""})
			run(sh, apply)
			assert.Equal(t, once, loaded(), "twice is harmless")
			run(sh, script(t, dir, "check", steps(plan.Check[:1]), file))

			undo := script(t, dir, "undo", steps(plan.Undo), file)
			run(sh, undo)
			assert.Equal(t, before, loaded())
			run(sh, undo)
			assert.Equal(t, before, loaded())
			assert.NoFileExists(t, filepath.Join(dir, filepath.Base(file)))
		})
	}
}

// smallOffice is for the firewalls each of whose commands starts an interpreter.
func smallOffice() Policy {
	return Policy{Services: []Service{{Name: "ssh", Port: 22, Sources: []netip.Prefix{netip.MustParsePrefix("10.20.0.0/24"), netip.MustParsePrefix("fd00:20::/64")}}}}
}

// ufw gets a copy of its configuration, mounted over the host's in a mount namespace.
func TestPlanUFWForReal(t *testing.T) {
	t.Parallel()
	realsrv.Need(t, "ufw")
	realsrv.Need(t, "root")
	unshare := realsrv.Need(t, "unshare")
	netns, dir := realsrv.NewNetns(t), realsrv.NewDir(t, "").Path()
	policy := smallOffice()
	plan, err := policy.Plan(UFW)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(dir+"/apply", []byte(plan.Text()), 0o700))
	require.NoError(t, os.WriteFile(dir+"/undo", []byte(steps(plan.Undo)), 0o700))
	all := `set -eu
cd ` + dir + `
cp -a /etc/ufw ufw && cp -a /etc/default default && mkdir lib run out
mount --bind ufw /etc/ufw && mount --bind default /etc/default && mount --bind lib /var/lib && mount --bind run /run
sed -i 's/^ENABLED=.*/ENABLED=no/' /etc/ufw/ufw.conf
ufw allow 8080/tcp >/dev/null
kept() { cat /etc/ufw/user.rules /etc/ufw/user6.rules /etc/ufw/before.rules /etc/ufw/ufw.conf /etc/default/ufw; }
kept > out/before
sh ./apply
iptables-save > out/first4; ip6tables-save > out/first6; kept > out/first
sh ./apply
iptables-save > out/rules.v4; ip6tables-save > out/rules.v6; kept > out/second
sh ./undo
kept > out/after
ufw status > out/status
sh ./undo
sed -i 's/^IPV6=.*/IPV6=no/' /etc/default/ufw
kept > out/before6
if sh ./apply > out/refused 2>&1; then exit 1; fi
kept > out/after6
`
	out, err := realsrv.Run(t, realsrv.Cmd{Path: unshare, Args: []string{"--mount", "sh", "-c", all}, Netns: netns, Timeout: 2 * time.Minute})
	require.NoError(t, err, out)
	get := func(name string) string {
		data, err := os.ReadFile(dir + "/out/" + name)
		require.NoError(t, err)
		return string(data)
	}
	assert.Equal(t, get("before"), get("after"), "undo")
	assert.Contains(t, get("status"), "inactive")
	assert.Equal(t, get("before6"), get("after6"), "what ufw refuses is refused before anything is changed")
	assert.Contains(t, get("refused"), "IPv6")
	assert.Equal(t, get("first"), get("second"), "twice is harmless")
	assert.Contains(t, get("first"), "ENABLED=yes")
	var parts []Ruleset
	for _, name := range []string{"rules.v4", "rules.v6"} {
		part, err := Parse(name, []byte(get(name)))
		require.NoError(t, err)
		parts = append(parts, part)
	}
	ruleset, err := Combine("host", parts...)
	require.NoError(t, err)
	expectPolicy(t, policy, ruleset, []string{""}, dhcp...)
}

// firewalld runs with a configuration and a message bus of its own.
func TestPlanFirewalldForReal(t *testing.T) {
	t.Parallel()
	realsrv.Need(t, "firewalld")
	realsrv.Need(t, "dbus-daemon")
	realsrv.Need(t, "nft")
	realsrv.Need(t, "root")
	sh := realsrv.Need(t, "sh")
	netns, dir := realsrv.NewNetns(t), realsrv.NewDir(t, "").Path()
	policy := smallOffice()
	plan, err := policy.Plan(Firewalld)
	require.NoError(t, err)
	const kept = "/var/lib/connsec-in-zone-before"
	script(t, dir, "apply", plan.Text(), kept)
	script(t, dir, "undo", steps(plan.Undo), kept)
	require.NoError(t, os.WriteFile(dir+"/bus.conf", []byte(`<busconfig><type>system</type><listen>unix:path=`+dir+`/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/><allow send_type="signal"/><allow send_type="method_return"/><allow send_type="error"/><allow receive_type="method_call"/><allow receive_type="signal"/><allow receive_type="method_return"/><allow receive_type="error"/></policy></busconfig>`), 0o600))
	all := `cd ` + dir + ` && cp -r /etc/firewalld cfg && mkdir out || exit 1
export DBUS_SYSTEM_BUS_ADDRESS=unix:path=` + dir + `/bus
dbus-daemon --config-file=bus.conf --nofork &
until [ -S bus ]; do sleep 0.05; done
firewalld --nofork --nopid --system-config=` + dir + `/cfg --log-file=` + dir + `/log &
n=0; until firewall-cmd --state >/dev/null 2>&1; do sleep 0.1; n=$((n+1)); [ $n -lt 150 ] || exit 1; done
set -e
firewall-cmd --get-default-zone > out/before
sh ./apply
nft -j list ruleset > out/first
sh ./apply
nft -j list ruleset > out/second
firewall-cmd --zone=connsec-in --list-all > out/zone
sh ./undo
firewall-cmd --get-default-zone > out/after
firewall-cmd --permanent --get-zones > out/zones
`
	out, err := realsrv.Run(t, realsrv.Cmd{Path: sh, Args: []string{"-c", all}, Netns: netns, Timeout: 2 * time.Minute})
	require.NoError(t, err, out)
	get := func(name string) string {
		data, err := os.ReadFile(dir + "/out/" + name)
		require.NoError(t, err)
		return string(data)
	}
	assert.Equal(t, get("before"), get("after"), "undo")
	assert.NotContains(t, get("zones"), "connsec")
	for _, name := range []string{"first", "second"} {
		ruleset, err := Parse("host", []byte(get(name)))
		require.NoError(t, err)
		expectPolicy(t, policy, ruleset, []string{""})
	}
}

var newRule = regexp.MustCompile(`^New-NetFirewallRule -Name '([^']+)' -DisplayName '([^']+)' -Group '([^']+)' -Direction (\w+) -Action (\w+) -Enabled (\w+) -Profile (\w+) -Protocol (\w+) -LocalPort (\d+) -RemoteAddress (.+) \| Out-Null$`)

// The PowerShell plan's rules, written down as WindowsExport would show them, let in what the
// policy says. What the cmdlets make of them is for a real Windows to confirm.
func TestPlanPowerShellRules(t *testing.T) {
	policy := office()
	plan, err := policy.Plan(PowerShell)
	require.NoError(t, err)
	var rules []map[string]any
	for _, s := range plan.Apply {
		for line := range strings.SplitSeq(s.Command, "\n") {
			if m := newRule.FindStringSubmatch(line); m != nil {
				var remote []string
				for a := range strings.SplitSeq(m[10], ", ") {
					remote = append(remote, strings.Trim(a, "'"))
				}
				rules = append(rules, map[string]any{
					"InstanceID": m[1], "DisplayName": m[2], "Group": m[3], "Direction": m[4], "Action": m[5], "Enabled": m[6], "Profile": m[7],
					"PolicyStoreSourceType": "Local", "Protocol": m[8], "LocalPort": m[9], "RemoteAddress": remote, "Program": "Any", "Authentication": "NotRequired",
				})
			}
		}
	}
	assert.Len(t, rules, 5)
	set := regexp.MustCompile(`Set-NetFirewallProfile -Profile Domain, Private, Public -Enabled (\w+) -DefaultInboundAction (\w+) -AllowInboundRules (\w+)`).FindStringSubmatch(steps(plan.Apply))
	require.NotNil(t, set)
	var profiles []map[string]any
	for _, name := range profileNames {
		profiles = append(profiles, map[string]any{"Name": name, "Enabled": set[1], "DefaultInboundAction": set[2], "AllowInboundRules": set[3]})
	}
	data, err := json.Marshal(map[string]any{"Rules": rules, "Profiles": profiles})
	require.NoError(t, err)
	ruleset, err := Parse("host", data)
	require.NoError(t, err)
	assert.Equal(t, KindWindows, ruleset.Kind)
	expectPolicy(t, policy, ruleset, profileNames)
}

var addRule = regexp.MustCompile(`^netsh advfirewall firewall add rule name="([^"]+)" dir=(\w+) action=(\w+) profile=any protocol=(\S+)(?: localport=(\d+))?(?: remoteport=(\d+))?(?: remoteip=(\S+))?(?: program=(\S+))?(?: service=(\S+))?$`)

// The same for netsh's plan, as "show rule verbose" would show it.
func TestPlanNetshRules(t *testing.T) {
	policy := office()
	plan, err := policy.Plan(Netsh)
	require.NoError(t, err)
	var text strings.Builder
	for _, name := range profileNames {
		text.WriteString(name + " Profile Settings: \nState                                 ON\nFirewall Policy                       BlockInbound,AllowOutbound\n\n")
	}
	rules := 0
	rehearsal, apply, ok := strings.Cut(steps(plan.Apply), "netsh advfirewall firewall delete rule name=all dir=in\n")
	require.True(t, ok)
	assert.Equal(t, 5, strings.Count(rehearsal, " || exit /b 1\n"))
	for line := range strings.SplitSeq(apply, "\n") {
		m := addRule.FindStringSubmatch(line)
		if m == nil {
			assert.NotContains(t, line, "add rule")
			continue
		}
		rules++
		or := func(s, other string) string {
			if s == "" {
				return other
			}
			return s
		}
		protocol, _, _ := strings.Cut(strings.ToUpper(m[4]), ":")
		text.WriteString("Rule Name:   " + m[1] + "\n-----\nEnabled:   Yes\nDirection:   In\nProfiles:   Domain,Private,Public\nLocalIP:   Any\nRemoteIP:   " + or(m[7], "Any") +
			"\nProtocol:   " + protocol + "\nLocalPort:   " + or(m[5], "Any") + "\nRemotePort:   " + or(m[6], "Any") + "\nProgram:   " + or(m[8], "Any") +
			"\nService:   " + or(m[9], "Any") + "\nInterfaceTypes:   Any\nSecurity:   NotRequired\nRule source:   Local Setting\nAction:   Allow\n\n")
		assert.Equal(t, "in", m[2])
		assert.Equal(t, "allow", m[3])
	}
	assert.Equal(t, 5+len(coreRules), rules)
	ruleset, err := Parse("host", []byte(text.String()))
	require.NoError(t, err)
	assert.Equal(t, KindNetsh, ruleset.Kind)
	expectPolicy(t, policy, ruleset, profileNames, dhcp...)
}
