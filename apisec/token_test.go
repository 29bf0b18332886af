package apisec_test

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/apisec"
	"github.com/connsec/connsec/internal/testca"
	"github.com/connsec/connsec/tlscheck"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	host = "central.corp.internal"
	id   = "7B4CD3C2-F57E-4D52-A90A-23EED001CE81"
	// strong has the shape that MyQ gives its secrets: 40 lower-case hexadecimal digits.
	strong = "4f1c6a08e5d97b32c0a84e6f193d57b2e80c46fa"
)

var today = time.Date(2026, time.March, 15, 12, 0, 0, 0, time.UTC)

// client is a setting in which nothing is wrong.
func client() apisec.Client {
	return apisec.Client{
		Name: "reports", ID: id, Secret: connsec.NewSecret(strong), TokenURL: "https://" + host + ":8093/api/auth/token", Style: apisec.JSON,
		Scopes: []string{"reports"}, Needed: []string{"reports"}, Owner: "Finance", Created: today.AddDate(0, 0, -30), Expires: today.AddDate(0, 0, 60),
		Storage: apisec.Vault, Others: map[string]connsec.Secret{"RADIUS": connsec.NewSecret("another")}, AsOf: today,
	}
}

func with(c apisec.Client, change func(*apisec.Client)) apisec.Client {
	change(&c)
	return c
}

// endpoint is a server of tests with a certificate for host, and the setting of a client for it.
func endpoint(tb testing.TB, handler http.HandlerFunc, options ...func(*httptest.Server)) apisec.Client {
	tb.Helper()
	ca := testca.MustNew(tb)
	cfg, err := tlscheck.ServerConfig(tlscheck.Modern, ca.MustIssue(tb, testca.Leaf{Names: []string{host}}).TLS())
	require.NoError(tb, err)
	s := httptest.NewUnstartedServer(handler)
	s.TLS = cfg
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	for _, option := range options {
		option(s)
	}
	s.StartTLS()
	tb.Cleanup(s.Close)
	return with(client(), func(c *apisec.Client) {
		c.Connect, c.Roots = s.Listener.Addr().String(), ca.Pool()
	})
}

// http11 keeps a server from HTTP/2.
func http11(s *httptest.Server) { s.EnableHTTP2 = false }

func deadline(tb testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(tb.Context(), 10*time.Second)
	tb.Cleanup(cancel)
	return ctx
}

func answer(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// TestStyles looks at what is sent with another reader than the one that wrote it: net/http's
// server, net/url and encoding/json.
func TestStyles(t *testing.T) {
	const odd = "a:b c/é+%&=\"" // all of them have a meaning somewhere on the way
	for _, style := range []apisec.Style{apisec.Basic, apisec.Form, apisec.JSON} {
		t.Run(style.String(), func(t *testing.T) {
			var seen atomic.Int32
			c := endpoint(t, func(w http.ResponseWriter, r *http.Request) {
				seen.Add(1)
				assert.Equal(t, "POST /api/auth/token", r.Method+" "+r.URL.RequestURI())
				assert.Equal(t, "HTTP/2.0", r.Proto)
				body, _ := io.ReadAll(r.Body)
				got := map[string]string{}
				if style == apisec.JSON {
					assert.Equal(t, "application/json", r.Header.Get("Content-Type"))
					assert.NoError(t, json.Unmarshal(body, &got))
				} else {
					form, err := url.ParseQuery(string(body))
					assert.NoError(t, err)
					for k, v := range form {
						assert.Len(t, v, 1)
						got[k] = v[0]
					}
				}
				if style == apisec.Basic {
					user, password, ok := r.BasicAuth()
					assert.True(t, ok)
					got["client_id"], _ = url.QueryUnescape(user)
					got["client_secret"], _ = url.QueryUnescape(password)
				} else {
					assert.Empty(t, r.Header.Get("Authorization"))
				}
				assert.Equal(t, map[string]string{"grant_type": "client_credentials", "scope": "credit reports", "client_id": odd, "client_secret": strong + odd}, got)
				answer(w, 200, `{"access_token":"t0ken","token_type":"Bearer","expires_in":1800,"scope":"reports","refresh_token":"x"}`)
			})
			c.Style, c.ID, c.Secret = style, odd, connsec.NewSecret(strong+odd)
			c.Scopes = []string{"credit", "reports"}
			token, err := c.Token(deadline(t))
			require.NoError(t, err)
			assert.EqualValues(t, 1, seen.Load())
			assert.Equal(t, "t0ken", token.Value.Reveal())
			assert.Equal(t, []string{"reports"}, token.Scopes)
			assert.WithinDuration(t, time.Now().Add(1800*time.Second), token.Expires, time.Minute)
		})
	}
}

func TestAnswersThatAreNoToken(t *testing.T) {
	for name, tt := range map[string]struct {
		status  int
		body    string
		message string
		refused bool
	}{
		"invalid_client":         {401, `{"error":"invalid_client","error_description":"` + strong + `"}`, "answers 401 invalid_client", true},
		"invalid_client as 400":  {400, `{"error":"invalid_client"}`, "answers 400 invalid_client", true},
		"unauthorized, no word":  {401, `<html>` + strong, "answers 401", true},
		"401 for another reason": {401, `{"error":"invalid_scope"}`, "answers 401 invalid_scope", false},
		"invalid_scope":          {400, `{"error":"invalid_scope"}`, "answers 400 invalid_scope", false},
		"word of its own":        {400, `{"error":"` + strong + `"}`, "answers 400", false},
		"broken":                 {500, strong, "answers 500", false},
		"redirect":               {307, "", "answers 307: a redirect, which is not followed", false},
		"no JSON":                {200, strong, "answers 200: the answer is not a JSON object", false},
		"two documents":          {200, `{"access_token":"a","token_type":"Bearer"} {}`, "answers 200: the answer is not a JSON object", false},
		"a list":                 {200, `[]`, "answers 200: the answer is not a JSON object", false},
		"nothing":                {200, `{}`, "answers 200: the answer has no access token", false},
		"other case":             {200, `{"Access_Token":"a","token_type":"Bearer"}`, "answers 200: the answer has no access token", false},
		"number":                 {200, `{"access_token":7,"token_type":"Bearer"}`, "answers 200: the access token is not a text", false},
		"line break":             {200, `{"access_token":"a\r\nX: y","token_type":"Bearer"}`, "answers 200: the access token has characters that no header can carry", false},
		"too long":               {200, `{"access_token":"` + strings.Repeat("a", 20000) + `","token_type":"Bearer"}`, "answers 200: the access token is longer than 16 KiB", false},
		"type":                   {200, `{"access_token":"a","token_type":"mac"}`, "answers 200: the token is not of type Bearer (RFC 6750)", false},
		"no type":                {200, `{"access_token":"a"}`, "answers 200: the token is not of type Bearer (RFC 6750)", false},
		"life":                   {200, `{"access_token":"a","token_type":"Bearer","expires_in":-1}`, "answers 200: by its expires_in the token has expired already", false},
		"no life":                {200, `{"access_token":"a","token_type":"Bearer","expires_in":0}`, "answers 200: by its expires_in the token has expired already", false},
		"life in words":          {200, `{"access_token":"a","token_type":"Bearer","expires_in":"soon"}`, "answers 200: expires_in is not a number of seconds", false},
		"oversize":               {200, `{"access_token":"a","token_type":"Bearer","x":"` + strings.Repeat("a", 1<<20) + `"}`, "answers 200: the answer is larger than 1 MiB", false},
	} {
		t.Run(name, func(t *testing.T) {
			c := endpoint(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "https://elsewhere.corp.internal/"+strong)
				answer(w, tt.status, tt.body)
			})
			_, err := c.Token(deadline(t))
			var wrong *apisec.TokenError
			require.ErrorAs(t, err, &wrong)
			assert.EqualError(t, err, "apisec: "+host+":8093 "+tt.message)
			assert.Equal(t, tt.refused, wrong.Refused())
			assert.NotContains(t, err.Error(), strong)
		})
	}
}

func TestLivesOfTokens(t *testing.T) {
	for given, want := range map[string]time.Duration{
		`,"expires_in":1800`: 1800 * time.Second, `,"expires_in":"1800"`: 1800 * time.Second, `,"expires_in":1.8e3`: 1800 * time.Second,
		`,"expires_in":1e400`: 87600 * time.Hour, `,"expires_in":9223372036854775807`: 87600 * time.Hour, `,"expires_in":null`: 0, ``: 0,
	} {
		c := endpoint(t, func(w http.ResponseWriter, _ *http.Request) {
			answer(w, 200, `{"access_token":"a","token_type":"bearer"`+given+`}`)
		})
		began := time.Now()
		token, err := c.Token(deadline(t))
		require.NoError(t, err, given)
		if want == 0 {
			assert.Zero(t, token.Expires, given)
			continue
		}
		assert.WithinRange(t, token.Expires, began.Add(want), time.Now().Add(want), given)
	}
}

// counting is a network that counts connections.
type counting struct{ n atomic.Int32 }

func (c *counting) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c.n.Add(1)
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

// TestBadSettingsSendNothing: not even a connection is made.
func TestBadSettingsSendNothing(t *testing.T) {
	until := time.Now().AddDate(0, 1, 0)
	waive := func(rule *connsec.Rule) connsec.Waiver {
		return connsec.Waiver{Rule: rule.ID, Reason: "a test", Until: until}
	}
	for name, change := range map[string]func(*apisec.Client){
		"http": func(c *apisec.Client) { c.TokenURL = "http://" + host + "/token" },
		"http, waived": func(c *apisec.Client) {
			c.TokenURL, c.Waivers = "http://"+host+"/token", []connsec.Waiver{waive(apisec.RuleTokenURLCleartext)}
		},
		"address": func(c *apisec.Client) { c.TokenURL = "https://127.0.0.1/token" },
		"address, waived": func(c *apisec.Client) {
			c.TokenURL, c.Waivers = "https://127.0.0.1/token", []connsec.Waiver{waive(apisec.RuleTokenURLName)}
		},
		"user":  func(c *apisec.Client) { c.TokenURL = "https://u:p@" + host + "/token" },
		"query": func(c *apisec.Client) { c.TokenURL += "?api_key=1" },
		"query, key waived": func(c *apisec.Client) {
			c.TokenURL, c.Waivers = c.TokenURL+"?api_key=1", []connsec.Waiver{waive(apisec.RuleSecretInURL)}
		},
		"fragment":    func(c *apisec.Client) { c.TokenURL += "#" },
		"no URL":      func(c *apisec.Client) { c.TokenURL = "" },
		"query style": func(c *apisec.Client) { c.Style = apisec.Query },
		"query, waived": func(c *apisec.Client) {
			c.Style, c.Waivers = apisec.Query, []connsec.Waiver{waive(apisec.RuleSecretInURL)}
		},
		"style": func(c *apisec.Client) { c.Style = 99 },
		"PIN":   func(c *apisec.Client) { c.Grant = apisec.LoginInfo },
		"PIN, waived": func(c *apisec.Client) {
			c.Grant, c.Waivers = apisec.LoginInfo, []connsec.Waiver{waive(apisec.RuleGrantPIN)}
		},
		"weak":          func(c *apisec.Client) { c.Secret = connsec.NewSecret("hunter2") },
		"no secret":     func(c *apisec.Client) { c.Secret = connsec.Secret{} },
		"no identifier": func(c *apisec.Client) { c.ID = "" },
		"scope":         func(c *apisec.Client) { c.Scopes = []string{"reports users"} },
		"host":          func(c *apisec.Client) { c.Hosts = []string{"10.0.0.1"} },
		"port of host":  func(c *apisec.Client) { c.Hosts = []string{host + ":0"} },
	} {
		t.Run(name, func(t *testing.T) {
			network := &counting{}
			c := with(client(), func(c *apisec.Client) { c.Dialer, c.Connect = network, "127.0.0.1:1" })
			change(&c)
			_, err := c.Token(deadline(t))
			require.Error(t, err)
			assert.Zero(t, network.n.Load())
			assert.NotContains(t, err.Error(), strong)
		})
	}
}

// TestOldSecretsAreStillUsed: a client that stops on a day of its own is an outage.
func TestOldSecretsAreStillUsed(t *testing.T) {
	c := endpoint(t, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, `{"access_token":"a","token_type":"Bearer"}`)
	})
	c.Created, c.Expires = today.AddDate(-3, 0, 0), today.AddDate(0, 0, -1)
	assert.ErrorIs(t, c.Validate().Err(connsec.High), apisec.RuleSecretOld)
	assert.ErrorIs(t, c.Validate().Err(connsec.High), apisec.RuleSecretExpired)
	_, err := c.Token(deadline(t))
	require.NoError(t, err)
}
