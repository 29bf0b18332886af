package hostfw_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec/hostfw"
	"github.com/connsec/connsec/internal/realsrv"
)

// TestRealUFWRules proves what an administrator may have typed into ufw, over years.
func TestRealUFWRules(t *testing.T) {
	t.Parallel()
	realsrv.Need(t, "ufw")
	nft, unshare := realsrv.Need(t, "nft"), realsrv.Need(t, "unshare")
	p := realsrv.NewPair(t)
	talkative(t, p)
	dir := realsrv.NewDir(t, "").Path()
	apply := "set -eu; cd " + dir + `; cp -a /etc/ufw ufw; cp -a /etc/default default; mkdir lib run
mount --bind ufw /etc/ufw; mount --bind default /etc/default; mount --bind lib /var/lib; mount --bind run /run
sed -i 's/^ENABLED=.*/ENABLED=no/' /etc/ufw/ufw.conf
ufw --force reset
ufw default deny incoming
ufw deny proto tcp from 198.51.100.0/24 to any port 80
ufw allow 80/tcp
ufw allow 443
ufw limit 22/tcp
ufw reject 25/tcp
ufw allow 5000:5440/udp
ufw allow in on eth0 to any port 8080
ufw allow in on wg0
ufw allow from 2001:db8:1::/48 to any port 5432 proto tcp
ufw allow from 192.0.2.1 to 192.0.2.10 port 3306,3389 proto tcp
ufw --force enable`
	out, err := realsrv.Run(t, realsrv.Cmd{Path: unshare, Args: []string{"--mount", "sh", "-c", apply}, Netns: p.Host, Timeout: 2 * time.Minute})
	require.NoError(t, err, out)
	r := export(t, p, nft, true)
	told := proveTold(t, p, r, realPorts, nil)
	assert.Equal(t, 8*len(realPorts), told, "ufw writes nothing that is not modelled")
	report := hostfw.Policy{}.Check(r)
	allow := report.Of(hostfw.RuleDefaultAllow)
	require.Len(t, allow, 1)
	assert.Contains(t, allow[0].Detail, "ports that no rule names are open through wg0, by ")
}

// TestRealFirewalld proves zones of firewalld: the default one, one by source, and one that drops.
func TestRealFirewalld(t *testing.T) {
	t.Parallel()
	realsrv.Need(t, "firewalld")
	realsrv.Need(t, "dbus-daemon")
	nft, sh := realsrv.Need(t, "nft"), realsrv.Need(t, "sh")
	p := realsrv.NewPair(t)
	talkative(t, p)
	dir := realsrv.NewDir(t, "").Path()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "bus.conf"), []byte(`<busconfig><type>system</type><listen>unix:path=`+dir+`/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/><allow send_type="signal"/><allow send_type="method_return"/><allow send_type="error"/><allow receive_type="method_call"/><allow receive_type="signal"/><allow receive_type="method_return"/><allow receive_type="error"/></policy></busconfig>`), 0o600))
	for name, zone := range map[string]string{
		"public": `<zone><service name="ssh"/><service name="dhcpv6-client"/><port port="443" protocol="tcp"/><port port="5000-5440" protocol="udp"/>
			<forward-port port="444" protocol="tcp" to-port="443"/>
			<rule family="ipv4"><source address="192.0.2.1"/><port port="8080" protocol="tcp"/><accept/></rule>
			<rule><port port="25" protocol="tcp"/><reject/></rule><rule><port port="5005" protocol="udp"/><drop/></rule></zone>`,
		"work": `<zone><source address="198.51.100.0/24"/><port port="3306" protocol="tcp"/></zone>`,
		"drop": `<zone target="DROP"><source address="2001:db8:1::/64"/></zone>`,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".xml"), []byte(zone), 0o600))
	}
	all := `cd ` + dir + ` && cp -r /etc/firewalld cfg && mkdir -p cfg/zones && mv *.xml cfg/zones/ || exit 1
sed -i 's/^CleanupOnExit=.*/CleanupOnExit=no/' cfg/firewalld.conf
export DBUS_SYSTEM_BUS_ADDRESS=unix:path=` + dir + `/bus
dbus-daemon --config-file=bus.conf --nofork &
until [ -S bus ]; do sleep 0.05; done
firewalld --nofork --nopid --system-config=` + dir + `/cfg --log-file=` + dir + `/log &
firewalld=$!
n=0; until firewall-cmd --state >/dev/null 2>&1; do sleep 0.1; n=$((n+1)); [ $n -lt 600 ] || exit 1; done
kill $firewalld
wait $firewalld || true
`
	out, err := realsrv.Run(t, realsrv.Cmd{Path: sh, Args: []string{"-c", all}, Netns: p.Host, Timeout: 2 * time.Minute})
	require.NoError(t, err, out)
	r := export(t, p, nft, false)
	for port, want := range map[uint16]hostfw.Action{22: hostfw.Accept, 443: hostfw.Accept, 8080: hostfw.Accept, 3306: hostfw.Reject} {
		assert.Equal(t, want, decide(r, "192.0.2.1", port).Action, port)
	}
	assert.Equal(t, hostfw.Accept, decide(r, "198.51.100.1", 3306).Action)
	assert.Equal(t, hostfw.Drop, decide(r, "2001:db8:1::1", 443).Action)
	told := proveTold(t, p, r, realPorts, nil)
	assert.Equal(t, 8*len(realPorts), told, "firewalld writes nothing that is not modelled")
	for _, f := range (hostfw.Policy{}).Check(r).Findings {
		assert.NotContains(t, f.Subject, "546/udp", "a client of DHCPv6 needs it, and only its link reaches it")
	}
}
