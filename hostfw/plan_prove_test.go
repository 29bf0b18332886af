package hostfw_test

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/connsec/connsec/hostfw"
	"github.com/connsec/connsec/internal/realsrv"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestPlanProvedByPackets runs the nftables plan on a host of its own, connects to it from
// outside, and has both sides look for each other's link addresses anew: a plan that cut
// neighbour discovery would cut the host off.
func TestPlanProvedByPackets(t *testing.T) {
	t.Parallel()
	nft, ip := realsrv.Need(t, "nft"), realsrv.Need(t, "ip")
	for name, policy := range map[string]hostfw.Policy{
		"https only": {},
		"services": {HTTPS: []uint16{443, 8443}, Services: []hostfw.Service{
			{Name: "ssh", Port: 22, Sources: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8:1::/64")}},
			{Name: "rdp", Port: 3389, Sources: []netip.Prefix{netip.MustParsePrefix("198.51.100.1/32")}},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := realsrv.NewPair(t)
			talkative(t, p)
			plan, err := policy.Plan(hostfw.NFTables)
			require.NoError(t, err)
			dir := t.TempDir()
			file := filepath.Join(dir, "apply")
			text := strings.ReplaceAll(plan.Text(), "/etc/connsec-inbound.nft", filepath.Join(dir, "inbound.nft"))
			require.NoError(t, os.WriteFile(file, []byte(text), 0o700))
			run := func(ns *realsrv.Netns, path string, args ...string) {
				t.Helper()
				out, err := realsrv.Run(t, realsrv.Cmd{Path: path, Args: args, Netns: ns})
				require.NoError(t, err, out)
			}
			run(p.Host, "/bin/sh", file)
			r := export(t, p, nft, false)
			for _, f := range policy.Check(r).Findings {
				assert.NotContains(t, []string{"fail", "inconclusive"}, f.Outcome.String(), "%s: %s", f.Rule.ID, f.Detail)
			}
			proveReal(t, p, r)

			for _, ns := range []*realsrv.Netns{p.Host, p.Client} {
				run(ns, ip, "neighbour", "flush", "dev", "eth0", "nud", "permanent")
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			for version, address := range p.Addresses {
				c, err := p.Client.From(p.Sources[version][0])(ctx, "tcp", netip.AddrPortFrom(address, 443).String())
				if assert.NoError(t, err, address) {
					assert.NoError(t, c.Close())
				}
			}
		})
	}
}
