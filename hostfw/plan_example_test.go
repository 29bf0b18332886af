package hostfw_test

import (
	"fmt"
	"net/netip"

	"github.com/connsec/connsec/hostfw"
)

// A plan is text: print it, read it, run it on the host.
func ExamplePolicy_Plan() {
	policy := hostfw.Policy{
		HTTPS: []uint16{443, 8093},
		Services: []hostfw.Service{
			{Name: "ssh", Port: 22, Sources: []netip.Prefix{netip.MustParsePrefix("10.20.0.0/24")}},
		},
	}
	plan, err := policy.Plan(hostfw.UFW)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, step := range plan.Apply[4:] {
		fmt.Println("# " + step.Comment)
		fmt.Println(step.Command)
	}
	// Output:
	// # Open what the policy opens.
	// ufw allow 443/tcp comment 'connsec https 443'
	// ufw allow 8093/tcp comment 'connsec https 8093'
	// ufw allow proto tcp from 10.20.0.0/24 to any port 22 comment 'connsec ssh tcp 22'
	// # Switch it on.
	// ufw --force enable
}
