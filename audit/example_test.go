package audit_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/audit"
	"github.com/connsec/connsec/report"
	"github.com/connsec/connsec/tlscheck"
	"github.com/connsec/connsec/trap"
)

// A product audits the deployment that it is part of: a file says what to look at and what is
// accepted for now, one call looks at all of it, and the report decides whether to go on.
func Example() {
	server, err := trap.Options{Names: []string{"central.corp.internal"}}.HTTPS(trap.HTTPSWrongName)
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	dir, err := os.MkdirTemp("", "audit-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "corp-root.pem"), server.CA(), 0o600); err != nil {
		log.Fatal(err)
	}

	deployment, err := audit.Parse(filepath.Join(dir, "deployment.yaml"), []byte(`
name: Central Server, production
ca: corp-root.pem                      # relative to this file
https:
  - host: central.corp.internal
    connect: `+server.Addr()+`         # dial there, verify the name
waivers:
  - rule: tls-group-classical
    reason: the load balancer's next release has it (ticket 4711)
    until: 2027-06-30
`))
	if err != nil {
		log.Fatal(err) // one line, with file, line and column
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	result, err := deployment.Run(ctx, audit.Options{})
	if err != nil {
		log.Fatal(err) // a file that the deployment names cannot be read
	}

	// The decision: no failure of High or above that nobody has accepted.
	err = result.Report.Err(connsec.High)
	fmt.Println("another server's certificate:", errors.Is(err, tlscheck.RuleNameMismatch))
	for _, f := range result.Report.Failed(connsec.High) {
		fmt.Printf("line %d: %s: %s\n", f.Source.Line, f.Rule.ID, f.Rule.Fix)
	}
	// The same report, for the people who have to act on it.
	page, err := os.Create(filepath.Join(dir, "report.html"))
	if err != nil {
		log.Fatal(err)
	}
	defer page.Close()
	if err := report.Write(page, report.HTML, []connsec.Report{result.Report}, report.Options{}); err != nil {
		log.Fatal(err)
	}
	// Output:
	// another server's certificate: true
	// line 5: cert-name-mismatch: Request a certificate that lists the server's DNS name, or use the listed name in the clients' settings.
	// line 5: http-cleartext-on-tls-port: Let the server answer plain HTTP on this port with an error, as nginx, Apache, IIS and Go do by default.
}
