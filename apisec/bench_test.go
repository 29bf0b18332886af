package apisec_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/apisec"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// BenchmarkValidate is a keystroke in a settings page: a secret as the server made it, and one
// that somebody made up, which takes the estimator proper.
func BenchmarkValidate(b *testing.B) {
	for name, secret := range map[string]string{"generated": strong, "made-up": "MyQ-Central-Reports-Production-2026"} {
		b.Run(name, func(b *testing.B) {
			c := with(client(), func(c *apisec.Client) { c.Secret = connsec.NewSecret(secret) })
			b.ReportAllocs()
			for b.Loop() {
				c.Validate()
			}
		})
	}
}

func BenchmarkInventory(b *testing.B) {
	inv := apisec.Inventory{AsOf: today}
	for i := range 1000 {
		inv.Clients = append(inv.Clients, with(client(), func(c *apisec.Client) { c.Name, c.Secret = fmt.Sprint("client ", i), apisec.NewSecret() }))
	}
	b.ReportAllocs()
	for b.Loop() {
		inv.Validate()
	}
}

// BenchmarkCall is one call of an API over a connection that is there, in the same run against
// the same server: without any token, with ours, and with that of golang.org/x/oauth2.
func BenchmarkCall(b *testing.B) {
	s := &issuer{life: "1800", calling: func(w http.ResponseWriter, _ *http.Request) bool {
		_, _ = io.WriteString(w, "{}")
		return true
	}}
	c := endpoint(b, s.ServeHTTP)
	plain := &http.Client{Transport: &http.Transport{
		DialContext: toServer{all: c.Connect}.DialContext, TLSClientConfig: &tls.Config{RootCAs: c.Roots}, ForceAttemptHTTP2: true, DisableCompression: true,
	}}
	defer plain.CloseIdleConnections()
	ours, err := c.HTTP(b.Context())
	require.NoError(b, err)
	defer ours.CloseIdleConnections()
	config := clientcredentials.Config{ClientID: c.ID, ClientSecret: c.Secret.Reveal(), TokenURL: c.TokenURL, AuthStyle: oauth2.AuthStyleInHeader}
	peer := config.Client(context.WithValue(b.Context(), oauth2.HTTPClient, plain))
	for _, client := range []struct {
		name string
		*http.Client
	}{{"net-http", plain}, {"apisec", ours}, {"oauth2", peer}} {
		b.Run(client.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				req, _ := http.NewRequestWithContext(b.Context(), http.MethodGet, api, nil)
				resp, err := client.Do(req)
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
		})
	}
}

// BenchmarkToken is one token with a connection of its own.
func BenchmarkToken(b *testing.B) {
	s := &issuer{life: "1800"}
	c := endpoint(b, s.ServeHTTP)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Token(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
