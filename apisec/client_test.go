package apisec_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/connsec/connsec/apisec"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const api = "https://" + host + ":8093/api/reports"

// clock is one that tests set forward.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) forward(d time.Duration) { c.ahead.Add(int64(d)) }

// issuer is a server that gives out tokens "token-1", "token-2", …, and takes the last one.
type issuer struct {
	tokens, calls atomic.Int32
	asked         atomic.Int32 // for tokens, refusals included
	life          string       // what stands behind expires_in
	refuseTokens  atomic.Bool
	calling       func(w http.ResponseWriter, r *http.Request) bool // true: it has answered
	issuing       func()
}

func (s *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/auth/token") {
		s.asked.Add(1)
		if s.issuing != nil {
			s.issuing()
		}
		if s.refuseTokens.Load() {
			answer(w, 401, `{"error":"invalid_client"}`)
			return
		}
		answer(w, 200, fmt.Sprintf(`{"access_token":"token-%d","token_type":"Bearer","expires_in":%s}`, s.tokens.Add(1), s.life))
		return
	}
	s.calls.Add(1)
	if s.calling != nil && s.calling(w, r) {
		return
	}
	if r.Header.Get("Authorization") != fmt.Sprintf("Bearer token-%d", s.tokens.Load()) {
		answer(w, 401, `{}`)
		return
	}
	body, _ := io.ReadAll(r.Body)
	_, _ = w.Write(append([]byte("ok "), body...))
}

func started(t *testing.T, s *issuer, change func(*apisec.Client)) (*http.Client, *clock) {
	t.Helper()
	time := &clock{}
	if s.life == "" {
		s.life = "1800"
	}
	c := endpoint(t, s.ServeHTTP)
	c.Now = time.now
	if change != nil {
		change(&c)
	}
	client, err := c.HTTP(deadline(t))
	require.NoError(t, err)
	t.Cleanup(client.CloseIdleConnections)
	return client, time
}

func get(t *testing.T, client *http.Client, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(deadline(t), http.MethodGet, url, nil)
	require.NoError(t, err)
	return do(t, client, req)
}

func do(t *testing.T, client *http.Client, req *http.Request) (int, string) {
	t.Helper()
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(body)
}

func TestTokensAreReusedAndRenewed(t *testing.T) {
	s := &issuer{}
	client, clock := started(t, s, nil)
	for range 3 {
		status, body := get(t, client, api)
		assert.Equal(t, []any{200, "ok "}, []any{status, body})
	}
	assert.EqualValues(t, 1, s.tokens.Load())

	clock.forward(1800*time.Second - 70*time.Second)
	get(t, client, api)
	assert.EqualValues(t, 1, s.tokens.Load(), "there is time left")
	clock.forward(20 * time.Second)
	get(t, client, api)
	assert.EqualValues(t, 2, s.tokens.Load(), "renewed a minute before its end")
	assert.EqualValues(t, 5, s.calls.Load(), "and without a 401 in between")
}

func TestOneRenewalForAll(t *testing.T) {
	s := &issuer{}
	client, clock := started(t, s, nil)
	clock.forward(time.Hour)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, api, nil)
			resp, err := client.Do(req)
			if assert.NoError(t, err) {
				assert.Equal(t, 200, resp.StatusCode)
				resp.Body.Close()
			}
		})
	}
	wg.Wait()
	assert.EqualValues(t, 2, s.tokens.Load())
	assert.EqualValues(t, 50, s.calls.Load())
}

func TestARenewalThatFailsCostsNothingBeforeTheEnd(t *testing.T) {
	s := &issuer{}
	client, clock := started(t, s, nil)
	s.refuseTokens.Store(true)
	clock.forward(1800*time.Second - 30*time.Second)
	status, _ := get(t, client, api)
	assert.Equal(t, 200, status, "the old token still holds")
	clock.forward(time.Minute)
	req, _ := http.NewRequestWithContext(deadline(t), http.MethodGet, api, nil)
	_, err := client.Do(req)
	var refused *apisec.TokenError
	require.ErrorAs(t, err, &refused)
	assert.True(t, refused.Refused())
	assert.EqualValues(t, 1, s.calls.Load(), "nothing is sent without a token")
	asked := s.asked.Load()
	_, err = client.Do(req)
	require.ErrorAs(t, err, &refused)
	assert.Equal(t, asked, s.asked.Load(), "an endpoint that refuses is left alone for a while")
	s.refuseTokens.Store(false)
	clock.forward(10 * time.Second)
	status, _ = get(t, client, api)
	assert.Equal(t, 200, status)
}

func TestAfter401(t *testing.T) {
	post := func(t *testing.T, body io.Reader) *http.Request {
		req, err := http.NewRequestWithContext(deadline(t), http.MethodPost, api, body)
		require.NoError(t, err)
		return req
	}
	t.Run("once more, with the body", func(t *testing.T) {
		s := &issuer{}
		client, _ := started(t, s, nil)
		s.tokens.Add(1) // as if the token had been revoked
		status, body := do(t, client, post(t, strings.NewReader("report")))
		assert.Equal(t, []any{200, "ok report"}, []any{status, body})
		assert.EqualValues(t, 2, s.calls.Load())
	})
	t.Run("a body that is gone", func(t *testing.T) {
		s := &issuer{}
		client, _ := started(t, s, nil)
		s.tokens.Add(1)
		status, _ := do(t, client, post(t, io.MultiReader(strings.NewReader("report"))))
		assert.Equal(t, 401, status)
		assert.EqualValues(t, 1, s.calls.Load())
		status, _ = do(t, client, post(t, io.MultiReader(strings.NewReader("report"))))
		assert.Equal(t, 200, status, "the next one has a new token")
		assert.EqualValues(t, 3, s.tokens.Load())
	})
	t.Run("for ever", func(t *testing.T) {
		s := &issuer{calling: func(w http.ResponseWriter, _ *http.Request) bool { answer(w, 401, `{}`); return true }}
		client, _ := started(t, s, nil)
		status, _ := get(t, client, api)
		assert.Equal(t, 401, status)
		assert.EqualValues(t, 2, s.calls.Load(), "twice and no more")
		assert.EqualValues(t, 2, s.tokens.Load())
	})
	t.Run("and no new token", func(t *testing.T) {
		s := &issuer{}
		client, _ := started(t, s, nil)
		s.tokens.Add(1)
		s.refuseTokens.Store(true)
		_, err := client.Do(post(t, strings.NewReader("report")))
		var refused *apisec.TokenError
		require.ErrorAs(t, err, &refused)
		assert.EqualValues(t, 1, s.calls.Load())
	})
	t.Run("many at once", func(t *testing.T) {
		var gate sync.WaitGroup
		gate.Add(20)
		s := &issuer{}
		s.calling = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("Authorization") != "Bearer token-1" {
				return false
			}
			gate.Done()
			gate.Wait() // all of them have sent the old token
			answer(w, 401, `{}`)
			return true
		}
		client, _ := started(t, s, nil)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, api, nil)
				resp, err := client.Do(req)
				if assert.NoError(t, err) {
					assert.Equal(t, 200, resp.StatusCode)
					resp.Body.Close()
				}
			})
		}
		wg.Wait()
		assert.EqualValues(t, 2, s.tokens.Load(), "one renewal for all")
	})
}

// TestAnApiThatRefusesEveryToken: it costs a token request once in a while, and not with each call.
func TestAnApiThatRefusesEveryToken(t *testing.T) {
	s := &issuer{calling: func(w http.ResponseWriter, _ *http.Request) bool { answer(w, 401, `{"hint":"no rights"}`); return true }}
	client, clock := started(t, s, nil)
	for range 20 {
		status, body := get(t, client, api)
		assert.Equal(t, []any{401, `{"hint":"no rights"}`}, []any{status, body}, "the answer as the API gave it")
	}
	assert.EqualValues(t, 2, s.asked.Load(), "the first one, and one in its place")
	assert.EqualValues(t, 21, s.calls.Load(), "one more for that")

	clock.forward(10 * time.Second)
	for range 20 {
		req, err := http.NewRequestWithContext(deadline(t), http.MethodPost, api, io.MultiReader(strings.NewReader("gone")))
		require.NoError(t, err)
		status, _ := do(t, client, req)
		assert.Equal(t, 401, status)
	}
	assert.EqualValues(t, 3, s.asked.Load(), "once again, by the call after the one with the body that is gone")

	// What works again is used again, at once.
	s.calling = nil
	status, _ := get(t, client, api)
	assert.Equal(t, 200, status)
	assert.EqualValues(t, 3, s.asked.Load())

	// A clock that goes back keeps nobody from a new token.
	clock.forward(-time.Hour)
	s.tokens.Add(1)
	status, _ = get(t, client, api)
	assert.Equal(t, 200, status)
}

// TestRetryAfter: an endpoint that asks to be left alone is, for as long as it says and not for
// ever, and the error tells.
func TestRetryAfter(t *testing.T) {
	const date = "Sun, 15 Mar 2026 12:00:00 GMT" // of a server whose clock is wrong
	for name, tt := range map[string]struct {
		status      int
		after, date string
		says        time.Duration
		pause       time.Duration
	}{
		"seconds":                {429, "90", "", 90 * time.Second, 90 * time.Second},
		"seconds, 503":           {503, " 7 ", "", 7 * time.Second, 7 * time.Second},
		"none":                   {429, "", "", 0, 10 * time.Second},
		"none, 503":              {503, "", "", 0, 0},
		"at once":                {503, "0", "", 0, 0},
		"another status":         {500, "90", "", 0, 0},
		"of the server's clock":  {503, "Sun, 15 Mar 2026 12:01:30 GMT", date, 90 * time.Second, 90 * time.Second},
		"RFC 850":                {503, "Sunday, 15-Mar-26 12:01:30 GMT", date, 90 * time.Second, 90 * time.Second},
		"asctime":                {503, "Sun Mar 15 12:01:30 2026", date, 90 * time.Second, 90 * time.Second},
		"past":                   {503, "Sun, 15 Mar 2026 11:00:00 GMT", date, 0, 0},
		"a day":                  {503, "86400", "", 10 * time.Minute, 10 * time.Minute},
		"a day, as a date":       {429, "Mon, 16 Mar 2026 12:00:00 GMT", date, 10 * time.Minute, 10 * time.Minute},
		"more than fits":         {429, strings.Repeat("9", 40), "", 10 * time.Minute, 10 * time.Minute},
		"negative":               {503, "-5", "", 0, 0},
		"a fraction":             {429, "1.5", "", 0, 10 * time.Second},
		"what repeats a secret":  {503, strong, "", 0, 0},
		"refused, and a comment": {401, "90", "", 0, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &issuer{life: "1800"}
			var busy atomic.Bool
			clock := &clock{}
			c := endpoint(t, func(w http.ResponseWriter, r *http.Request) {
				if !busy.Load() || !strings.HasSuffix(r.URL.Path, "/auth/token") {
					s.ServeHTTP(w, r)
					return
				}
				s.asked.Add(1)
				w.Header().Set("Retry-After", tt.after)
				if tt.date != "" {
					w.Header().Set("Date", tt.date)
				}
				answer(w, tt.status, strong)
			})
			c.Now = clock.now
			client, err := c.HTTP(deadline(t))
			require.NoError(t, err)
			defer client.CloseIdleConnections()
			busy.Store(true)
			clock.forward(time.Hour) // the token has ended
			ask := func() *apisec.TokenError {
				req, _ := http.NewRequestWithContext(deadline(t), http.MethodGet, api, nil)
				_, err := client.Do(req)
				var said *apisec.TokenError
				require.ErrorAs(t, err, &said)
				assert.NotContains(t, err.Error(), strong)
				if tt.says > 0 {
					assert.ErrorContains(t, err, fmt.Sprintf("answers %d; it asks to be left alone for %s", tt.status, tt.says))
				}
				return said
			}
			before := s.asked.Load()
			assert.Equal(t, tt.says, ask().RetryAfter)
			assert.Equal(t, before+1, s.asked.Load())
			ask()
			if tt.pause == 0 {
				assert.Equal(t, before+2, s.asked.Load(), "nothing keeps it from asking again")
				return
			}
			clock.forward(tt.pause - 2*time.Second)
			ask()
			assert.Equal(t, before+1, s.asked.Load(), "it is left alone")
			clock.forward(2 * time.Second)
			busy.Store(false)
			status, _ := get(t, client, api)
			assert.Equal(t, 200, status)
			assert.Equal(t, before+2, s.asked.Load())
		})
	}
}

// TestBusyEndpointCostsNothingBeforeTheEnd: a token that holds is used until then.
func TestBusyEndpointCostsNothingBeforeTheEnd(t *testing.T) {
	s := &issuer{life: "1800"}
	var busy atomic.Int32
	client, clock := func() (*http.Client, *clock) {
		clock := &clock{}
		c := endpoint(t, func(w http.ResponseWriter, r *http.Request) {
			if s.asked.Load() > 0 && strings.HasSuffix(r.URL.Path, "/auth/token") {
				busy.Add(1)
				w.Header().Set("Retry-After", "20")
				answer(w, 503, "")
				return
			}
			s.ServeHTTP(w, r)
		})
		c.Now = clock.now
		client, err := c.HTTP(deadline(t))
		require.NoError(t, err)
		t.Cleanup(client.CloseIdleConnections)
		return client, clock
	}()
	clock.forward(1800*time.Second - 50*time.Second) // time to renew
	for range 5 {
		status, _ := get(t, client, api)
		assert.Equal(t, 200, status)
	}
	assert.EqualValues(t, 1, busy.Load())
	clock.forward(20 * time.Second)
	status, _ := get(t, client, api)
	assert.Equal(t, 200, status)
	assert.EqualValues(t, 2, busy.Load())
}

func TestTheTokenGoesNowhereElse(t *testing.T) {
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	for name, url := range map[string]string{
		"http":         "http://" + host + ":8093/api",
		"another host": "https://api.corp.internal/api",
		"another port": "https://" + host + "/api",
		"an address":   other.URL,
		"below":        "https://a." + host + ":8093/api",
		"dots":         "https://" + host + "..:8093/api",
		"as a user":    "https://" + host + ":8093@api.corp.internal/api",
		"as a path":    "https://api.corp.internal/" + host + ":8093",
		"back slash":   "https://api.corp.internal\\@" + host + ":8093/api",
		"port 0":       "https://" + host + ":0/api",
		"a long port":  "https://" + host + ":73629/api", // 8093 in 16 bits
		"IPv6":         "https://[::1]:8093/api",
		"mapped IPv4":  "https://[::ffff:127.0.0.1]:8093/api",
		"zone":         "https://[fe80::1%25" + host + "]:8093/api",
		"punycode":     "https://xn--" + host + ":8093/api",
		"homograph":    "https://cеntral.corp.internal:8093/api", // a Cyrillic letter
		"no scheme":    "//api.corp.internal:8093/api",
		"ftp":          "ftp://" + host + ":8093/api",
	} {
		for way, through := range map[string]func(*issuer) string{
			"asked": func(*issuer) string { return url },
			"redirected": func(s *issuer) string {
				s.calling = func(w http.ResponseWriter, _ *http.Request) bool {
					w.Header().Set("Location", url+"?"+strong+"&token-1")
					w.WriteHeader(http.StatusTemporaryRedirect)
					return true
				}
				return api
			},
		} {
			t.Run(name+", "+way, func(t *testing.T) {
				network := &counting{}
				s := &issuer{}
				client, _ := started(t, s, func(c *apisec.Client) { c.Dialer = network })
				before := network.n.Load()
				req, err := http.NewRequestWithContext(deadline(t), http.MethodGet, through(s), nil)
				if err != nil {
					require.Equal(t, "asked", way)
					return // no URL at all
				}
				resp, err := client.Do(req)
				if err == nil {
					require.Equal(t, "redirected", way)
					assert.Equal(t, 307, resp.StatusCode)
					resp.Body.Close()
				}
				assert.Equal(t, before, network.n.Load(), "no connection")
			})
		}
	}
	assert.Zero(t, elsewhere.Load())
}

// TestSpellingsOfItsHost: one host has several spellings, and gets the token at the one port, on
// connections to itself alone.
func TestSpellingsOfItsHost(t *testing.T) {
	s := &issuer{}
	var seen []string
	s.calling = func(_ http.ResponseWriter, r *http.Request) bool { seen = append(seen, r.Host); return false }
	client, _ := started(t, s, nil)
	for _, url := range []string{
		"https://" + host + ".:8093/api/reports", "https://" + strings.ToUpper(host) + ":8093/api/reports", "https://" + host + ":08093/api/reports",
		"https://user:password@" + host + ":8093/api/reports",
	} {
		req, err := http.NewRequestWithContext(deadline(t), http.MethodGet, url, nil)
		require.NoError(t, err)
		req.Host = "api.corp.internal" // another one behind the same certificate
		req.Header.Set("Host", "api.corp.internal")
		status, _ := do(t, client, req)
		assert.Equal(t, 200, status, url)
	}
	require.Len(t, seen, 4)
	for _, h := range seen {
		assert.Contains(t, strings.ToLower(h), host)
	}
}

func TestRedirectsAmongItsHosts(t *testing.T) {
	s := &issuer{}
	s.calling = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/api/reports" {
			http.Redirect(w, r, "/api/new", http.StatusFound)
			return true
		}
		return false
	}
	client, _ := started(t, s, nil)
	status, _ := get(t, client, api)
	assert.Equal(t, 200, status)

	s.calling = func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, api, http.StatusFound)
		return true
	}
	req, _ := http.NewRequestWithContext(deadline(t), http.MethodGet, api, nil)
	_, err := client.Do(req)
	assert.ErrorContains(t, err, "10 redirects")
}

// TestRedirectsThatRepeatTheToken: http.Client's errors show where redirects lead.
func TestRedirectsThatRepeatTheToken(t *testing.T) {
	for _, location := range []string{
		"/api/again?token=token-1", "/api/again?token=" + strong, "//x:y/token-1", "https://token-1.corp.internal/", "https://" + host + ":8093/%zz" + strong,
	} {
		s := &issuer{calling: func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Location", location)
			w.WriteHeader(http.StatusFound)
			return true
		}}
		client, _ := started(t, s, nil)
		req, _ := http.NewRequestWithContext(deadline(t), http.MethodGet, api, nil)
		resp, err := client.Do(req)
		if err == nil {
			assert.Equal(t, 302, resp.StatusCode)
			resp.Body.Close()
			continue
		}
		assert.NotContains(t, err.Error(), strong)
		assert.NotContains(t, err.Error(), "token-1")
	}
}

func TestFurtherHosts(t *testing.T) {
	s := &issuer{}
	server := endpoint(t, s.ServeHTTP)
	client, _ := started(t, s, func(c *apisec.Client) {
		// The certificate is for the other name only, so the host that is allowed gets the
		// token only if it proves to be itself.
		c.Hosts = []string{"API.corp.internal.:8090"}
		c.Resolver, c.Dialer = nil, toServer{server.Connect, c.Connect}
	})
	req, _ := http.NewRequestWithContext(deadline(t), http.MethodGet, "https://api.corp.internal:8090/", nil)
	_, err := client.Do(req)
	require.Error(t, err)
	assert.Zero(t, s.calls.Load())
}

// toServer dials one address for all but another.
type toServer struct{ all, but string }

func (d toServer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if address != d.but {
		address = d.all
	}
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

func TestNothingIsDecompressed(t *testing.T) {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, _ = z.Write(make([]byte, 16<<20))
	require.NoError(t, z.Close())
	s := &issuer{calling: func(w http.ResponseWriter, r *http.Request) bool {
		assert.Empty(t, r.Header.Get("Accept-Encoding"))
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(bomb.Bytes())
		return true
	}}
	client, _ := started(t, s, nil)
	_, body := get(t, client, api)
	assert.Equal(t, bomb.Len(), len(body))

	c := endpoint(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(bomb.Bytes())
	})
	_, err := c.Token(deadline(t))
	assert.ErrorContains(t, err, "compressed")
}

// TestWaitingEnds: who goes away does not take the others' token along.
func TestWaitingEnds(t *testing.T) {
	entered, release := make(chan struct{}, 8), make(chan struct{})
	s := &issuer{}
	client, clock := started(t, s, nil)
	s.issuing = func() {
		entered <- struct{}{}
		<-release
	}
	clock.forward(time.Hour)
	impatient, leave := context.WithCancel(t.Context())
	results := make(chan error, 2)
	ask := func(ctx context.Context) {
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, api, nil)
		resp, err := client.Do(req)
		if err == nil {
			resp.Body.Close()
		}
		results <- err
	}
	go ask(impatient)
	<-entered
	go ask(t.Context())
	leave()
	require.ErrorIs(t, <-results, context.Canceled)
	close(release)
	require.NoError(t, <-results)
	assert.LessOrEqual(t, s.tokens.Load(), int32(3))
}

func TestNothingIsLeftBehindWhenAllGoAway(t *testing.T) {
	entered, gone := make(chan struct{}), make(chan struct{})
	c := endpoint(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		close(entered)
		<-r.Context().Done() // the request was called off
		close(gone)
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-entered
		cancel()
	}()
	_, err := c.HTTP(ctx)
	require.ErrorIs(t, err, context.Canceled)
	select {
	case <-gone:
	case <-deadline(t).Done():
		t.Fatal("the request goes on though nobody waits for it")
	}
}

// TestNothingIsShown prints everything that a careless program could.
func TestNothingIsShown(t *testing.T) {
	s := &issuer{}
	var setting apisec.Client
	client, _ := started(t, s, func(c *apisec.Client) { setting = *c })
	get(t, client, api)
	token, err := setting.Token(deadline(t))
	require.NoError(t, err)
	req, _ := http.NewRequestWithContext(deadline(t), http.MethodGet, api, nil)
	resp, err := client.Do(req)
	require.NoError(t, err)
	resp.Body.Close()
	all := ""
	for _, v := range []any{setting, &setting, token, &token, client, client.Transport, resp, resp.Request, req, req.Header} {
		all += fmt.Sprintf("%v %+v %#v\n", v, v, v)
	}
	assert.NotContains(t, all, strong)
	assert.NotContains(t, all, "token-")
	assert.Empty(t, req.Header.Get("Authorization"))
	assert.Empty(t, resp.Request.Header.Get("Authorization"))
}

// TestEarlyEnds: the network's own errors, in words of this package.
func TestEarlyEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		answer  string
		message string
	}{
		"nothing":        {"", "the server closes the connection"},
		"no HTTP":        {strong + "\r\n\r\n", "the answer is not well-formed HTTP"},
		"malformed":      {"HTTP/1.1 " + strong + "\r\n\r\n", "the answer is not well-formed HTTP"},
		"endless header": {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("a", 1<<20), "the answer is not well-formed HTTP"},
		"cut off":        {"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{", "answers 200: the answer ends early"},
	} {
		t.Run(name, func(t *testing.T) {
			c := endpoint(t, func(w http.ResponseWriter, _ *http.Request) {
				conn, buf, err := http.NewResponseController(w).Hijack()
				if assert.NoError(t, err) {
					_, _ = buf.WriteString(tt.answer)
					_ = buf.Flush()
					_ = conn.Close()
				}
			}, http11)
			_, err := c.Token(deadline(t))
			require.ErrorContains(t, err, tt.message)
			assert.NotContains(t, err.Error(), strong)
		})
	}
}

// hole is a network that swallows packets.
type hole struct{ left chan struct{} }

func (h hole) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	<-ctx.Done()
	close(h.left)
	return nil, ctx.Err()
}

// TestAHostThatIsOff: the attempt ends with the request, and not some time later.
func TestAHostThatIsOff(t *testing.T) {
	t.Parallel()
	h := hole{make(chan struct{})}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := with(client(), func(c *apisec.Client) { c.Dialer, c.Connect = h, "192.0.2.1" }).Token(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	select {
	case <-h.left:
	case <-deadline(t).Done():
		t.Fatal("the connection is still tried")
	}
}

func TestDeadline(t *testing.T) {
	t.Parallel()
	c := endpoint(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := c.Token(ctx)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = with(client(), func(c *apisec.Client) { c.Connect = "127.0.0.1:1" }).Token(deadline(t))
	assert.ErrorContains(t, err, "connection refused")
	assert.False(t, errors.As(err, new(*apisec.TokenError)))
}
