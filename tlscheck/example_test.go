package tlscheck_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/tlscheck"
	"github.com/connsec/connsec/trap"
)

// Look at a server, ask for one rule in particular, and connect to it only if it verifies.
func ExampleEndpoint() {
	server, err := trap.Options{Names: []string{"central.corp.internal"}}.HTTPS(trap.HTTPSWrongName)
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	ctx := context.Background()

	e := tlscheck.Endpoint{Host: "central.corp.internal", Connect: server.Addr(), Roots: server.Roots()}
	report, err := e.Probe(ctx)
	if err != nil {
		log.Fatal(err) // the name does not resolve
	}
	err = report.Err(connsec.High)
	fmt.Println("wrong name:", errors.Is(err, tlscheck.RuleNameMismatch))
	fmt.Println("untrusted:", errors.Is(err, tlscheck.RuleUntrusted))

	_, err = e.Dial(ctx, tlscheck.Intermediate)
	fmt.Println("refused:", err != nil)
	// Output:
	// wrong name: true
	// untrusted: false
	// refused: true
}
