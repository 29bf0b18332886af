//go:build matrix

package trap_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/apisec"
	"github.com/connsec/connsec/internal/realsrv"
	"github.com/connsec/connsec/trap"
)

const (
	restHost   = "central.corp.internal"
	restID     = "reports"
	restSecret = "4f1c6a08e5d97b32c0a84e6f193d57b2e80c46fa"
)

var restMatrix = []trap.RESTPosture{
	trap.RESTHonest, trap.RESTWrongName, trap.RESTUntrusted, trap.RESTToken307, trap.RESTToken302, trap.RESTTokenHTTP307, trap.RESTCallElsewhere,
	trap.RESTCallHTTP, trap.RESTAlways401, trap.RESTWrongType, trap.RESTEndless, trap.RESTBomb, trap.RESTEcho,
}

// restClient gets a token and calls the API with it. What it printed or returned as an error
// comes back, and whether the call was answered.
type restClient func(t testing.TB, s *trap.REST) (output string, ok bool)

// TestRESTMatrix sends every client into every posture and prints what it did. It needs curl and
// Python with requests.
//
//	go test -tags matrix ./trap -run RESTMatrix -update
func TestRESTMatrix(t *testing.T) {
	clients := []struct {
		name string
		run  restClient
	}{
		{"curl", curlREST()},
		{"curl -L", curlREST("-L")},
		{"curl -L --location-trusted --compressed", curlREST("-L", "--location-trusted", "--compressed")},
		{"curl -k", curlREST("-k")},
		{"Python urllib", pythonREST(pythonURLLib)},
		{"Python requests", pythonREST(pythonRequests)},
		{"golang.org/x/oauth2", oauth2REST},
		{"apisec", apisecREST},
	}
	var table bytes.Buffer
	fmt.Fprint(&table, "| client |")
	for _, p := range restMatrix {
		fmt.Fprintf(&table, " %s |", p)
	}
	fmt.Fprint(&table, "\n|---|", strings.Repeat("---|", len(restMatrix)), "\n")
	for _, client := range clients {
		fmt.Fprintf(&table, "| %s |", client.name)
		for _, p := range restMatrix {
			s, err := trap.Options{Names: []string{restHost, "localhost", "127.0.0.1"}, Timeout: 20 * time.Second}.REST(p)
			require.NoError(t, err)
			output, ok := client.run(t, s)
			require.NoError(t, s.Close())
			fmt.Fprintf(&table, " %s |", restOutcome(p, s.Observed(), output, ok))
		}
		fmt.Fprint(&table, "\n")
	}
	t.Log("\n" + table.String())
	if *update {
		const file, begin, end = "../docs/traps.md", "<!-- rest matrix -->\n", "<!-- /rest matrix -->"
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		before, rest, found := strings.Cut(string(text), begin)
		require.True(t, found)
		_, after, found := strings.Cut(rest, end)
		require.True(t, found)
		require.NoError(t, os.WriteFile(file, []byte(before+begin+table.String()+end+after), 0o644))
	}
}

// restOutcome is the worst that happened on any connection.
func restOutcome(p trap.RESTPosture, seen []trap.RESTConnection, output string, ok bool) string {
	rank, worst := 0, "refused"
	note := func(r int, s string) {
		if r > rank {
			rank, worst = r, s
		}
	}
	tokens, calls := 0, 0
	for _, c := range seen {
		tokens, calls = tokens+c.TokenRequests, calls+c.Calls
		switch {
		case c.SecretInClear:
			note(9, "**secret in clear**")
		case c.TokenInClear:
			note(8, "**token in clear**")
		case c.SecretElsewhere:
			note(7, "**secret elsewhere**")
		case c.TokenElsewhere:
			note(6, "**token elsewhere**")
		case c.Secret && (p == trap.RESTWrongName || p == trap.RESTUntrusted):
			note(5, "**fooled**")
		case c.Followed:
			note(3, "followed without it")
		}
	}
	if strings.Contains(output, restSecret) {
		note(4, "**shows the secret**")
	}
	switch {
	case p == trap.RESTAlways401:
		note(1, fmt.Sprintf("asks %d×, calls %d×", tokens, calls))
	case ok && p != trap.RESTHonest && calls > 0 && !slices.Contains([]trap.RESTPosture{trap.RESTCallElsewhere, trap.RESTCallHTTP}, p):
		note(2, "takes it")
	case ok:
		note(1, "works")
	}
	return worst
}

// curlREST is what a script does: one curl for the token, one for the call.
func curlREST(flags ...string) restClient {
	return func(t testing.TB, s *trap.REST) (string, bool) {
		curl := realsrv.Need(t, "curl")
		ca := filepath.Join(t.TempDir(), "ca.pem")
		require.NoError(t, os.WriteFile(ca, s.CA(), 0o600))
		run := func(args ...string) (string, error) {
			all := slices.Concat([]string{"-q", "-sS", "--noproxy", "*", "--max-time", "8", "--cacert", ca}, flags, args)
			out, err := exec.CommandContext(t.Context(), curl, all...).CombinedOutput()
			return string(out), err
		}
		out, err := run("-u", restID+":"+restSecret, "-d", "grant_type=client_credentials&client_secret="+restSecret, s.URL()+trap.TokenPath)
		var answer struct {
			Token any `json:"access_token"`
		}
		if err != nil || json.Unmarshal([]byte(out), &answer) != nil || answer.Token == nil {
			return out[:min(len(out), 4096)], false
		}
		called, err := run("-H", fmt.Sprintf("Authorization: Bearer %v", answer.Token), s.URL()+"/api/users")
		return called, err == nil && strings.Contains(called, "trap")
	}
}

const pythonURLLib = `
import base64, json, ssl, sys, urllib.request
url, ca, cid, secret = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
basic = base64.b64encode((cid + ":" + secret).encode()).decode()
r = urllib.request.Request(url + "/api/auth/token", data=b"grant_type=client_credentials&client_secret=" + secret.encode(), headers={"Authorization": "Basic " + basic})
token = json.load(opener.open(r, timeout=8))["access_token"]
r = urllib.request.Request(url + "/api/users", headers={"Authorization": "Bearer " + str(token)})
print("called", opener.open(r, timeout=8).read(100).decode())
`

const pythonRequests = `
import sys, requests
url, ca, cid, secret = sys.argv[1:]
s = requests.Session(); s.trust_env = False; s.verify = ca
r = s.post(url + "/api/auth/token", auth=(cid, secret), data={"grant_type": "client_credentials", "client_secret": secret}, timeout=8)
if not r.ok: print(r.text)
token = r.json()["access_token"]
r = s.get(url + "/api/users", headers={"Authorization": "Bearer " + str(token)}, timeout=8)
r.raise_for_status()
print("called", r.text[:100])
`

func pythonREST(script string) restClient {
	return func(t testing.TB, s *trap.REST) (string, bool) {
		python := realsrv.Need(t, "python3")
		ca := filepath.Join(t.TempDir(), "ca.pem")
		require.NoError(t, os.WriteFile(ca, s.CA(), 0o600))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		out, err := exec.CommandContext(ctx, python, "-c", script, s.URL(), ca, restID, restSecret).CombinedOutput()
		require.NotContains(t, string(out), "No module named")
		return string(out), err == nil && strings.Contains(string(out), "called")
	}
}

func oauth2REST(t testing.TB, s *trap.REST) (string, bool) {
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
	defer cancel()
	base := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.Roots()}}}
	defer base.CloseIdleConnections()
	config := clientcredentials.Config{
		ClientID: restID, ClientSecret: restSecret, TokenURL: s.URL() + trap.TokenPath, AuthStyle: oauth2.AuthStyleInParams,
	}
	return callREST(ctx, config.Client(context.WithValue(ctx, oauth2.HTTPClient, base)), s.URL())
}

func apisecREST(t testing.TB, s *trap.REST) (string, bool) {
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
	defer cancel()
	c := apisec.Client{
		ID: restID, Secret: connsec.NewSecret(restSecret), TokenURL: "https://" + restHost + trap.TokenPath, Style: apisec.Form,
		Roots: s.Roots(), Dialer: toTrap(s.Addr()), Resolver: somewhere{},
	}
	client, err := c.HTTP(ctx)
	if err != nil {
		return err.Error(), false
	}
	defer client.CloseIdleConnections()
	return callREST(ctx, client, "https://"+restHost)
}

func callREST(ctx context.Context, client *http.Client, url string) (string, bool) {
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, url+"/api/users", nil)
	resp, err := client.Do(req)
	if err != nil {
		return err.Error(), false
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	return string(body), err == nil && resp.StatusCode == 200
}
