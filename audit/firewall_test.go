package audit_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/audit"
	"github.com/connsec/connsec/hostfw"
	"github.com/connsec/connsec/internal/ruletest"
)

func TestFirewall(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	const rules = "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp --dport 8093 -j ACCEPT\n-A INPUT -s 10.0.5.0/24 -p tcp --dport 3389 -j ACCEPT\nCOMMIT\n"
	write("rules.v4", rules)
	write("rules.v6", "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp --dport 8093 -j ACCEPT\nCOMMIT\n")
	run := func(item string) connsec.Report {
		t.Helper()
		d, err := audit.Parse(filepath.Join(dir, "deployment.yaml"), []byte("firewall:\n  - host: central\n"+item))
		require.NoError(t, err)
		result, err := d.Run(t.Context(), audit.Options{})
		require.NoError(t, err)
		for _, f := range result.Report.Findings {
			assert.Equal(t, 2, f.Source.Line)
		}
		return result.Report
	}
	ruletest.ExpectFailed(t, run("    rules: [rules.v4, rules.v6]\n    https: 8093\n    services: RDP=3389@10.0.5.0/24\n"))
	ruletest.ExpectFailed(t, run("    rules: [rules.v4, rules.v6]\n    https: 8093\n"), hostfw.RuleExtraPort)
	ruletest.ExpectFailed(t, run("    rules: [rules.v4, rules.v6]\n"), hostfw.RuleHTTPSBlocked, hostfw.RuleExtraPort)
	ruletest.ExpectFailed(t, run("    rules: [rules.v4, rules.v6]\n    https: 8093\n    services: [\"RDP=3389@0.0.0.0/0,::/0\"]\n"), hostfw.RuleManagementOpen)
	report := run("    rules: gone.json\n")
	ruletest.Expect(t, report, connsec.Inconclusive, hostfw.RuleDisabled)
	assert.Contains(t, report.Of(hostfw.RuleDisabled)[0].Detail, "no such file")

	_, err := audit.Parse("d.yaml", []byte("firewall:\n  - host: a\n"))
	require.EqualError(t, err, "d.yaml:2:5: give rules: the exported rules of a host; connsec firewall export says how")
	_, err = audit.Parse("d.yaml", []byte("firewall:\n  - rules: a\n    services: RDP\n"))
	require.EqualError(t, err, `d.yaml:2:5: "RDP" is no service; write NAME=PORT@SOURCE,… such as SSH=22@10.0.0.0/24`)
}

func TestParseService(t *testing.T) {
	s, err := audit.ParseService("SNMP=161/udp@10.0.6.7,fd00::/8")
	require.NoError(t, err)
	assert.Equal(t, hostfw.UDP, s.Protocol)
	assert.EqualValues(t, 161, s.Port)
	assert.Equal(t, "[10.0.6.7/32 fd00::/8]", fmt.Sprint(s.Sources))
	for _, text := range []string{"", "=22@10.0.0.1", "SSH=22", "SSH=0@10.0.0.1", "SSH=22-23@10.0.0.1", "SSH=22/icmp@10.0.0.1", "SSH=22@", "SSH=22@fe80::1%eth0", "SSH=22@host"} {
		_, err := audit.ParseService(text)
		require.Error(t, err, text)
	}
}
