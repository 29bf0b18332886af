package apisec_test

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/apisec"
	"github.com/connsec/connsec/internal/realsrv"
	"github.com/connsec/connsec/internal/testca"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// clientIssuer makes a second client, for a server where each has one secret.
type clientIssuer struct{ serverIssuer }

func (i clientIssuer) Create(ctx context.Context, label string) (apisec.Credential, error) {
	var s secretJSON
	err := i.call(ctx, http.MethodPost, "/clients?label="+url.QueryEscape(label), &s)
	return apisec.Credential{ClientID: s.ID, Label: s.Label, Secret: connsec.NewSecret(s.Secret)}, err
}

func (i clientIssuer) Lookup(ctx context.Context, label string) ([]apisec.Credential, error) {
	var all []secretJSON
	err := i.call(ctx, http.MethodGet, "/clients?label="+url.QueryEscape(label), &all)
	var out []apisec.Credential
	for _, s := range all {
		out = append(out, apisec.Credential{ClientID: s.ID, Label: s.Label})
	}
	return out, err
}

func (i clientIssuer) Revoke(ctx context.Context, c apisec.Credential) error {
	return i.call(ctx, http.MethodDelete, "/clients/"+url.PathEscape(c.ClientID), nil)
}

// TestIndependentServer turns once in each style against a token endpoint that has nothing in
// common with this module.
func TestIndependentServer(t *testing.T) {
	t.Parallel()
	python := realsrv.Need(t, "python3")
	script, err := filepath.Abs("testdata/client_registry.py")
	require.NoError(t, err)
	ca := testca.MustNew(t)
	dir := t.TempDir()
	files := ca.MustIssue(t, testca.Leaf{Names: []string{host}}).MustWriteFiles(t, dir, "server")
	secret := filepath.Join(dir, "secret")
	require.NoError(t, os.WriteFile(secret, []byte(strong+"\n"), 0o600))
	port := strconv.Itoa(realsrv.FreePort(t))
	addr := "127.0.0.1:" + port
	realsrv.Start(t, realsrv.Cmd{Path: python, Args: []string{script, port, files.Chain, files.Key, id, secret}, TCP: []string{addr}})
	admin := over(ca.Pool(), addr)
	defer admin.CloseIdleConnections()
	issuer := clientIssuer{serverIssuer{admin}}
	place := apisec.FileDistributor{Path: filepath.Join(dir, "client.json")}
	first := apisec.Credential{ClientID: id, Secret: connsec.NewSecret(strong), Created: today}
	require.NoError(t, place.Activate(t.Context(), first))
	now := today
	setting := apisec.Client{TokenURL: "https://" + host + ":8093/connect/token", Connect: addr, Roots: ca.Pool()}
	r := apisec.Rotation{Store: apisec.FileStore{Path: filepath.Join(dir, "state")}, Issuer: issuer, Distributor: place, Now: func() time.Time { return now }}
	seen := []apisec.Credential{first}
	for turn, style := range []apisec.Style{apisec.Basic, apisec.Form, apisec.JSON} {
		setting.Style = style
		// As a function, since the clock of this test is not the server's.
		r.Verifier = apisec.VerifierFunc(apisec.TokenVerifier{Client: setting}.Verify)
		current, err := place.Read(t.Context())
		require.NoError(t, err)
		o, err := r.Start(t.Context(), current)
		require.NoError(t, err)
		waits := 0
		for o.State.Step != apisec.Steady {
			o, err = r.Continue(t.Context())
			require.NoError(t, err)
			if _, from := o.Next(); o.State.Step != apisec.Steady && from.After(now) {
				now = from
				waits++
			}
		}
		assert.Equal(t, turn+1, o.State.Turns)
		// Two looks too early, one drain, and two looks at an answer that was kept.
		assert.Equal(t, 5, waits)
		used, err := place.Read(t.Context())
		require.NoError(t, err)
		seen = append(seen, used)
	}
	for i, c := range seen {
		err := r.Verifier.Verify(t.Context(), c)
		if i == len(seen)-1 {
			assert.NoError(t, err)
			continue
		}
		var refused *apisec.TokenError
		require.ErrorAs(t, err, &refused)
		assert.Equal(t, "invalid_client", refused.Code)
	}
	var all []secretJSON
	require.NoError(t, issuer.call(t.Context(), http.MethodGet, "/clients", &all))
	require.Len(t, all, 1, "the server says itself that one client is left")
	assert.Equal(t, seen[3].ClientID, all[0].ID)
}
