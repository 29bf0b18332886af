package trap_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec/internal/realsrv"
	"github.com/connsec/connsec/trap"
)

func startREST(t testing.TB, p trap.RESTPosture) *trap.REST {
	t.Helper()
	s, err := trap.NewREST(p)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	return s
}

// careless is a client of net/http that follows every redirect and takes what comes.
func careless(t testing.TB, s *trap.REST) *http.Client {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.Roots()}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 20 * time.Second}
}

func form() string {
	return url.Values{"grant_type": {"client_credentials"}, "client_id": {"reports"}, "client_secret": {secret}}.Encode()
}

// askToken sends a request for a token and returns what came.
func askToken(t testing.TB, client *http.Client, s *trap.REST) (status int, answer map[string]any, err error) {
	t.Helper()
	resp, err := client.Post(s.URL()+trap.TokenPath, "application/x-www-form-urlencoded", strings.NewReader(form()))
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	err = json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&answer)
	return resp.StatusCode, answer, err
}

// ended returns the records of connections when all of them are final.
func ended(t testing.TB, client *http.Client, s *trap.REST, n int) []trap.RESTConnection {
	t.Helper()
	client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	require.NoError(t, s.Await(ctx, n))
	return s.Observed()
}

func TestRESTHonest(t *testing.T) {
	s := startREST(t, trap.RESTHonest)
	client := careless(t, s)
	status, answer, err := askToken(t, client, s)
	require.NoError(t, err)
	assert.Equal(t, 200, status)
	assert.EqualValues(t, 1800, answer["expires_in"])
	for _, bearer := range []string{answer["access_token"].(string), "another"} {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL()+"/api/users", nil)
		req.Header.Set("Authorization", "Bearer "+bearer)
		resp, err := client.Do(req)
		require.NoError(t, err)
		_, _ = io.Copy(io.Discard, resp.Body) // so that the connection is used again
		_ = resp.Body.Close()
		assert.Equal(t, bearer == "another", resp.StatusCode == 401)
	}
	seen := ended(t, client, s, 1)
	require.Len(t, seen, 1)
	r := seen[0]
	assert.Equal(t, trap.Trusted, r.TLS.Trust)
	assert.Positive(t, r.Lasted)
	assert.True(t, r.ClosedByClient)
	r.TLS, r.Lasted, r.ClosedByClient = nil, 0, false
	assert.Equal(t, trap.RESTConnection{TokenRequests: 1, Calls: 2, Secret: true, SecretInBody: true, Token: true, Compression: true}, r)
}

// TestRESTWhereTheSecretIs sends the secret in every place.
func TestRESTWhereTheSecretIs(t *testing.T) {
	const query = "?client_id=reports&client_secret=" + secret
	for name, tt := range map[string]struct {
		change func(*http.Request)
		body   string
		clear  bool
		want   trap.RESTConnection
	}{
		"header":           {change: func(r *http.Request) { r.SetBasicAuth("reports", secret) }, want: trap.RESTConnection{SecretInHeader: true}},
		"form":             {body: form(), want: trap.RESTConnection{SecretInBody: true}},
		"JSON":             {body: `{"client_secret":"` + secret + `"}`, want: trap.RESTConnection{SecretInBody: true}},
		"query":            {change: func(r *http.Request) { r.URL.RawQuery = query[1:] }, want: trap.RESTConnection{SecretInURL: true}},
		"in clear":         {body: form(), clear: true, want: trap.RESTConnection{SecretInBody: true, Cleartext: true, SecretInClear: true}},
		"nowhere":          {body: "grant_type=client_credentials", want: trap.RESTConnection{}},
		"nowhere, in JSON": {body: `{"client_secret":""}`, want: trap.RESTConnection{}},
	} {
		t.Run(name, func(t *testing.T) {
			s := startREST(t, trap.RESTHonest)
			client := careless(t, s)
			address := s.URL()
			if tt.clear {
				address = "http://" + s.Addr()
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address+trap.TokenPath, strings.NewReader(tt.body))
			require.NoError(t, err)
			if tt.change != nil {
				tt.change(req)
			}
			resp, err := client.Do(req)
			require.NoError(t, err)
			_ = resp.Body.Close()
			assert.Equal(t, tt.clear, resp.StatusCode == 400)
			r := ended(t, client, s, 1)[0]
			r.TLS, r.Lasted, r.ClosedByClient, r.Compression = nil, 0, false, false
			tt.want.TokenRequests = 1
			tt.want.Secret = tt.want.SecretInHeader || tt.want.SecretInBody || tt.want.SecretInURL
			assert.Equal(t, tt.want, r)
		})
	}
}

// TestRESTRedirects: Go's client repeats a body on 307, and drops it on 302; to another host it
// takes no Authorization along.
func TestRESTRedirects(t *testing.T) {
	for p, want := range map[trap.RESTPosture]trap.RESTConnection{
		trap.RESTToken307:     {Followed: true, Secret: true, SecretInBody: true, SecretElsewhere: true},
		trap.RESTToken302:     {Followed: true},
		trap.RESTTokenHTTP307: {Followed: true, Secret: true, SecretInBody: true, SecretElsewhere: true, SecretInClear: true, Cleartext: true},
		trap.RESTTokenHTTP302: {Followed: true, Cleartext: true},
	} {
		t.Run(p.String(), func(t *testing.T) {
			s := startREST(t, p)
			client := careless(t, s)
			_, answer, err := askToken(t, client, s)
			require.NoError(t, err)
			assert.NotEmpty(t, answer["access_token"])
			seen := ended(t, client, s, 2)
			require.Len(t, seen, 2)
			r := seen[1]
			want.TokenRequests = 1
			r.TLS, r.Lasted, r.ClosedByClient, r.Compression = nil, 0, false, false
			assert.Equal(t, want, r)
		})
	}
	for p, want := range map[trap.RESTPosture]trap.RESTConnection{
		trap.RESTCallElsewhere: {Followed: true, Calls: 1},
		trap.RESTCallHTTP:      {Followed: true, Calls: 1, Cleartext: true, Token: true, TokenInClear: true, TokenElsewhere: true},
	} {
		t.Run(p.String(), func(t *testing.T) {
			s := startREST(t, p)
			client := careless(t, s)
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL()+"/api/users", nil)
			req.Header.Set("Authorization", "Bearer x")
			resp, err := client.Do(req)
			require.NoError(t, err)
			_ = resp.Body.Close()
			r := ended(t, client, s, 2)[1]
			r.TLS, r.Lasted, r.ClosedByClient, r.Compression = nil, 0, false, false
			assert.Equal(t, want, r)
		})
	}
}

// TestRESTAnswers: each posture does what it says, seen by an ordinary client.
func TestRESTAnswers(t *testing.T) {
	for p, look := range map[trap.RESTPosture]func(*testing.T, int, map[string]any, error){
		trap.RESTNegativeLife: func(t *testing.T, _ int, a map[string]any, err error) { assert.EqualValues(t, -1800, a["expires_in"]) },
		trap.RESTHugeLife: func(t *testing.T, _ int, _ map[string]any, err error) {
			assert.ErrorContains(t, err, "1e400")
		},
		trap.RESTWrongType: func(t *testing.T, _ int, a map[string]any, _ error) { assert.Equal(t, "mac", a["token_type"]) },
		trap.RESTNumber:    func(t *testing.T, _ int, a map[string]any, _ error) { assert.EqualValues(t, 4711, a["access_token"]) },
		trap.RESTLineBreak: func(t *testing.T, _ int, a map[string]any, _ error) {
			assert.Contains(t, a["access_token"], "\r\nX-Trap: yes")
		},
		trap.RESTOversize: func(t *testing.T, _ int, _ map[string]any, err error) {
			assert.ErrorIs(t, err, io.EOF, "nothing but space in the first MiB")
		},
		trap.RESTEndless: func(t *testing.T, _ int, _ map[string]any, err error) {
			assert.ErrorIs(t, err, io.EOF, "nothing but space in the first MiB")
		},
		trap.RESTBomb: func(t *testing.T, _ int, _ map[string]any, err error) {
			assert.ErrorIs(t, err, io.EOF, "nothing but space in the first MiB")
		},
		trap.RESTEcho: func(t *testing.T, status int, a map[string]any, _ error) {
			assert.Equal(t, 400, status)
			assert.Contains(t, a["error_description"], secret)
		},
		trap.RESTBusy: func(t *testing.T, status int, a map[string]any, _ error) {
			assert.Equal(t, 429, status)
			assert.Empty(t, a["access_token"])
		},
		trap.RESTEarlyClose: func(t *testing.T, _ int, _ map[string]any, err error) { assert.ErrorIs(t, err, io.EOF) },
	} {
		t.Run(p.String(), func(t *testing.T) {
			s := startREST(t, p)
			status, answer, err := askToken(t, careless(t, s), s)
			look(t, status, answer, err)
		})
	}
	for _, p := range []trap.RESTPosture{trap.RESTDrip, trap.RESTStalled} {
		t.Run(p.String(), func(t *testing.T) {
			s := startREST(t, p)
			client := careless(t, s)
			client.Timeout = 200 * time.Millisecond
			_, _, err := askToken(t, client, s)
			var timeout net.Error
			require.ErrorAs(t, err, &timeout)
			assert.True(t, timeout.Timeout())
			assert.True(t, ended(t, client, s, 1)[0].ClosedByClient)
		})
	}
}

func TestRESTImpostors(t *testing.T) {
	for _, p := range []trap.RESTPosture{
		trap.RESTExpired, trap.RESTNotYetValid, trap.RESTWrongName, trap.RESTCommonNameOnly, trap.RESTSelfSigned, trap.RESTUntrusted,
	} {
		t.Run(p.String(), func(t *testing.T) {
			s := startREST(t, p)
			client := careless(t, s)
			_, _, err := askToken(t, client, s)
			var wrong *tls.CertificateVerificationError
			require.ErrorAs(t, err, &wrong)
			r := ended(t, client, s, 1)[0]
			assert.Equal(t, trap.Refused, r.TLS.Trust)
			assert.False(t, r.Secret)
		})
	}
}

// TestRESTByCurl: another client's idea of HTTP, JSON and redirects.
func TestRESTByCurl(t *testing.T) {
	curl := realsrv.Need(t, "curl")
	run := func(t *testing.T, s *trap.REST, args ...string) string {
		ca := filepath.Join(t.TempDir(), "ca.pem")
		require.NoError(t, os.WriteFile(ca, s.CA(), 0o600))
		cmd := exec.CommandContext(t.Context(), curl, append([]string{"-q", "-sS", "--noproxy", "*", "--max-time", "60", "--cacert", ca}, args...)...)
		out, _ := cmd.CombinedOutput()
		return string(out)
	}
	t.Run("honest", func(t *testing.T) {
		s := startREST(t, trap.RESTHonest)
		out := run(t, s, "-d", form(), s.URL()+trap.TokenPath)
		var token struct {
			Value string `json:"access_token"`
		}
		require.NoError(t, json.Unmarshal([]byte(out), &token), out)
		assert.JSONEq(t, `{"trap":true}`, run(t, s, "-H", "Authorization: Bearer "+token.Value, s.URL()+"/api/users"))
		assert.Contains(t, run(t, s, "-u", "reports:"+secret, "-d", "grant_type=client_credentials", s.URL()+trap.TokenPath), token.Value)
		seen := s.Observed()
		require.Len(t, seen, 3)
		assert.True(t, seen[0].SecretInBody && !seen[0].SecretInHeader && seen[2].SecretInHeader && !seen[2].SecretInBody)
		assert.True(t, seen[1].Token && !seen[1].Secret)
	})
	t.Run("busy", func(t *testing.T) {
		s := startREST(t, trap.RESTBusy)
		out := run(t, s, "-i", "-d", form(), s.URL()+trap.TokenPath)
		assert.Contains(t, out, " 429 ")
		assert.Contains(t, out, "\r\nRetry-After: 60\r\n")
		require.NoError(t, s.Await(t.Context(), 1))
		assert.Equal(t, 1, s.Observed()[0].TokenRequests)
	})
	t.Run("307", func(t *testing.T) {
		s := startREST(t, trap.RESTToken307)
		assert.Contains(t, run(t, s, "-L", "-d", form(), s.URL()+trap.TokenPath), "access_token")
		assert.True(t, s.Observed()[1].SecretElsewhere, "curl repeats the body")
	})
	t.Run("wrong name", func(t *testing.T) {
		s := startREST(t, trap.RESTWrongName)
		assert.Contains(t, run(t, s, "-d", form(), s.URL()+trap.TokenPath), "curl: (60)")
		require.NoError(t, s.Await(t.Context(), 1))
		assert.False(t, s.Observed()[0].Secret)
	})
	t.Run("bomb", func(t *testing.T) {
		s := startREST(t, trap.RESTBomb)
		size := run(t, s, "--compressed", "-o", os.DevNull, "-w", "%{size_download}", "-d", form(), s.URL()+trap.TokenPath)
		assert.NotEmpty(t, size)
		packed := run(t, s, "-d", form(), s.URL()+trap.TokenPath)
		assert.Less(t, len(packed), 1<<20)
	})
}

func TestRESTPostures(t *testing.T) {
	for _, p := range trap.RESTPostures() {
		back, err := trap.ParseRESTPosture(p.String())
		require.NoError(t, err)
		assert.Equal(t, p, back)
	}
	_, err := trap.ParseRESTPosture("x")
	assert.ErrorContains(t, err, "unknown REST posture")
	_, err = trap.NewREST(trap.RESTPosture(200))
	assert.Error(t, err)
	assert.Equal(t, "REST posture(200)", fmt.Sprint(trap.RESTPosture(200)))
}
