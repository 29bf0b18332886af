package smtpsec_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/smtpsec"
	"github.com/wneessen/go-mail"
)

func ExampleConfig_Client() {
	c := smtpsec.Config{Host: "mail.corp.example", User: "svc-print", Password: connsec.NewSecret("…")}
	client, err := c.Client()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(client.ServerAddr())

	c.Mode = smtpsec.Opportunistic
	_, err = c.Client()
	fmt.Println(errors.Is(err, smtpsec.RuleStartTLSOptional))
	// Output:
	// mail.corp.example:465
	// true
}

func ExampleConfig_Dial() {
	c, err := smtpsec.ParseURL("smtps://svc-print:secret@mail.corp.example")
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	conn, err := c.Dial(ctx) // verified and logged in
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	client, err := c.Client()
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = client.SendWithSMTPClient(conn, mail.NewMsg())
}

func ExampleConfig_Probe() {
	c := smtpsec.Config{Host: "mail.corp.example", MX: true, Domain: "corp.example", DNS: smtpsec.DNS{Server: "127.0.0.1", Trusted: true}}
	report, err := c.Probe(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range report.Failed(connsec.Low) {
		fmt.Println(f.Severity, f.Rule.ID, f.Detail)
	}
}
