package apisec_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/apisec"
)

// A settings page judges what was typed, at every keystroke.
func ExampleClient_Validate() {
	c := apisec.Client{
		ID: "reports", Secret: connsec.NewSecret("Reports2026"), TokenURL: "http://central/api/auth/token",
		Style: apisec.JSON, Scopes: []string{"credit", "reports"}, Needed: []string{"reports"}, Owner: "Finance",
		Storage: apisec.Vault, Created: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), AsOf: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	for _, f := range c.Validate().Failed(connsec.Medium) {
		fmt.Printf("%s (%s): %s\n", f.Rule.ID, f.Severity, f.Detail)
	}
	// Output:
	// api-token-url-cleartext (critical): the token URL begins with http://
	// api-token-url-name (high): the name is a single label, without a domain
	// api-secret-weak (high): its estimated strength is below 64 bits
	// api-secret-old (high): the secret is 731 days old; from 365 days on it is overdue
	// api-secret-no-expiry (medium): no end is set
	// api-scope-wide (medium): asked for and not needed: credit
}

// The client fetches a token, renews it in time, and gives it to nobody else.
func ExampleClient_HTTP() {
	ctx := context.Background()
	c := apisec.Client{
		ID: "7B4CD3C2-F57E-4D52-A90A-23EED001CE82", Secret: connsec.NewSecret("…"), Style: apisec.JSON,
		TokenURL: "https://central.corp.example:8093/api/auth/token", Scopes: []string{"reports"},
	}
	client, err := c.HTTP(ctx)
	var refused *apisec.TokenError
	switch {
	case errors.As(err, &refused) && refused.Refused():
		log.Fatal("identifier or secret are wrong")
	case err != nil:
		log.Fatal(err)
	}
	defer client.CloseIdleConnections()
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "https://central.corp.example:8093/api/reports", nil)
	resp, err := client.Do(req)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
}
