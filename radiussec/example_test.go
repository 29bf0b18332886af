package radiussec_test

import (
	"fmt"
	"testing/fstest"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/radiussec"
)

// A settings page judges what was typed, before anything is sent.
func ExampleConfig_Validate() {
	c := radiussec.Config{
		Transport: radiussec.UDP,
		Servers:   []radiussec.Server{{Host: "radius.corp.example", Secret: connsec.NewSecret("MyQRadius2024!")}},
	}
	for _, f := range c.Validate().Failed(connsec.High) {
		fmt.Println(f.Rule.ID+":", f.Detail)
	}
	// Output:
	// radius-secret-short: 13 to 15 octets: less than RFC 2865 asked for in 2000
	// radius-secret-weak: its estimated strength is below 64 bits
	// radius-method-weak: PAP over UDP with a weak secret: 13 to 15 octets: less than RFC 2865 asked for in 2000
}

// An inventory shows what no single entry does: that secrets are shared.
func ExampleReadClients() {
	fsys := fstest.MapFS{"clients.conf": {Data: []byte(`
client printer {
	ipaddr = 192.0.2.10
	secret = testing123
}
client vpn {
	ipaddr = 192.0.2.20
	secret = testing123
}
`)}}
	inv, err := radiussec.ReadClients(fsys, "clients.conf")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range inv.Validate().Of(radiussec.RuleSecretReused) {
		fmt.Println(f.Source, f.Subject, f.Detail)
	}
	// Output:
	// clients.conf:2 printer (192.0.2.10) the same secret as vpn (192.0.2.20)
	// clients.conf:6 vpn (192.0.2.20) the same secret as printer (192.0.2.10)
}
