package apisec_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/connsec/connsec/apisec"
	"github.com/connsec/connsec/tlscheck"
	"github.com/connsec/connsec/trap"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func snare(tb testing.TB, p trap.RESTPosture) *trap.REST {
	tb.Helper()
	s, err := trap.Options{Names: []string{host}}.REST(p)
	require.NoError(tb, err)
	tb.Cleanup(func() { assert.NoError(tb, s.Close()) })
	return s
}

// prey is a setting for a trap. Every name leads there, so that a redirect would work.
func prey(s *trap.REST) apisec.Client {
	return with(client(), func(c *apisec.Client) {
		c.Roots, c.Dialer, c.Resolver = s.Roots(), toServer{all: s.Addr()}, anywhere{}
	})
}

type anywhere struct{ tlscheck.Resolver }

func (anywhere) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}

// TestInTraps: the client works with the honest server, sends the secret to no impostor, to
// nobody else than the token endpoint and never in clear, and shows none of it.
func TestInTraps(t *testing.T) {
	for p, want := range map[trap.RESTPosture]struct {
		err    string // of HTTP; empty: none
		status int    // of a call
	}{
		trap.RESTHonest:         {"", 200},
		trap.RESTExpired:        {"expired", 0},
		trap.RESTNotYetValid:    {"not yet valid", 0},
		trap.RESTWrongName:      {"not " + host, 0},
		trap.RESTCommonNameOnly: {"legacy Common Name", 0},
		trap.RESTSelfSigned:     {"unknown authority", 0},
		trap.RESTUntrusted:      {"unknown authority", 0},
		trap.RESTToken307:       {"answers 307: a redirect, which is not followed", 0},
		trap.RESTToken302:       {"answers 302: a redirect, which is not followed", 0},
		trap.RESTTokenHTTP307:   {"answers 307: a redirect, which is not followed", 0},
		trap.RESTTokenHTTP302:   {"answers 302: a redirect, which is not followed", 0},
		trap.RESTCallElsewhere:  {"", 307},
		trap.RESTCallHTTP:       {"", 307},
		trap.RESTAlways401:      {"", 401},
		trap.RESTNegativeLife:   {"expired already", 0},
		trap.RESTHugeLife:       {"", 200},
		trap.RESTWrongType:      {"not of type Bearer", 0},
		trap.RESTNumber:         {"not a text", 0},
		trap.RESTLineBreak:      {"no header can carry", 0},
		trap.RESTOversize:       {"larger than 1 MiB", 0},
		trap.RESTEndless:        {"larger than 1 MiB", 0},
		trap.RESTBomb:           {"compressed", 0},
		trap.RESTEcho:           {"answers 400", 0},
		trap.RESTDrip:           {"deadline", 0},
		trap.RESTStalled:        {"deadline", 0},
		trap.RESTEarlyClose:     {"the server closes the connection", 0},
		trap.RESTBusy:           {"answers 429; it asks to be left alone for 1m0s", 0},
	} {
		for _, style := range []apisec.Style{apisec.Basic, apisec.JSON} {
			t.Run(p.String()+", "+style.String(), func(t *testing.T) {
				t.Parallel()
				s := snare(t, p)
				c := with(prey(s), func(c *apisec.Client) { c.Style = style })
				ctx := deadline(t)
				if p == trap.RESTDrip || p == trap.RESTStalled {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, 300*time.Millisecond)
					defer cancel()
				}
				client, err := c.HTTP(ctx)
				if want.err != "" {
					require.ErrorContains(t, err, want.err)
					assert.NotContains(t, fmt.Sprintf("%v %+v", err, err), strong)
				} else {
					require.NoError(t, err)
					status, _ := get(t, client, api)
					assert.Equal(t, want.status, status)
					client.CloseIdleConnections()
				}
				require.NoError(t, s.Await(deadline(t), 1))
				requests, calls := 0, 0
				for _, r := range s.Observed() {
					assert.False(t, r.Cleartext || r.SecretInClear || r.TokenInClear || r.SecretInURL || r.TokenInURL, "%+v", r)
					assert.False(t, r.Followed || r.SecretElsewhere || r.TokenElsewhere, "%+v", r)
					assert.False(t, r.Compression)
					requests, calls = requests+r.TokenRequests, calls+r.Calls
					if p >= trap.RESTExpired && p <= trap.RESTUntrusted {
						assert.Equal(t, trap.Refused, r.TLS.Trust)
						assert.False(t, r.Secret)
					}
				}
				switch {
				case p == trap.RESTAlways401:
					assert.Equal(t, []int{2, 2}, []int{requests, calls})
				case p >= trap.RESTExpired && p <= trap.RESTUntrusted:
					assert.Equal(t, []int{0, 0}, []int{requests, calls})
				case want.status != 0:
					assert.Equal(t, []int{1, 1}, []int{requests, calls})
				default:
					assert.Equal(t, []int{1, 0}, []int{requests, calls}, "asked once")
				}
			})
		}
	}
}

// TestTheTrapIsNoSieve: a client that does what ours does not is found out. Without this the
// test above could not fail.
func TestTheTrapIsNoSieve(t *testing.T) {
	s := snare(t, trap.RESTToken307)
	transport := &http.Transport{DialContext: toServer{all: s.Addr()}.DialContext}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	req, _ := http.NewRequestWithContext(deadline(t), http.MethodPost, "http://"+host+trap.TokenPath+"?client_secret="+strong, nil)
	resp, err := client.Do(req)
	if err == nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	transport.CloseIdleConnections()
	require.NoError(t, s.Await(deadline(t), 1))
	assert.True(t, s.Observed()[0].SecretInClear)
	assert.True(t, s.Observed()[0].SecretInURL)
}
