package securl_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/securl"
)

// cookieName is the session cookie of a site at /campaign/.
const cookieName = "__Host-securl-6c1f2621"

func (a reply) cookie(name string) string {
	for _, c := range a.Cookies() {
		if c.Name == name && c.MaxAge >= 0 {
			return c.Value
		}
	}
	return ""
}

// withCookie asks for a page with exactly these cookies.
func (b *browser) withCookie(target, cookies string) reply {
	b.t.Helper()
	jar := b.client.Jar
	b.client.Jar = nil
	defer func() { b.client.Jar = jar }()
	r := b.request("GET", target, nil)
	r.Header.Set("Cookie", cookies)
	return b.do(r)
}

func TestGateFixation(t *testing.T) {
	p := newProtectedSite(t, nil)
	attacker, victim := p.browser(t), p.browser(t)
	planted := attacker.signIn("/campaign/bob", bobPassword).cookie(cookieName)
	require.NotEmpty(t, planted)
	made := strings.Repeat("A", 43) + ".YW5u"

	for _, fixed := range []string{planted, made} {
		u, err := url.Parse(p.server.URL + "/")
		require.NoError(t, err)
		victim.client.Jar.SetCookies(u, []*http.Cookie{{Name: cookieName, Value: fixed, Path: "/", Secure: true}})
		good := victim.signIn("/campaign/ann", annPassword)
		fresh := good.cookie(cookieName)
		require.NotEmpty(t, fresh)
		assert.NotEqual(t, fixed, fresh)
		assert.NotEqual(t, http.StatusOK, attacker.withCookie("/campaign/ann", cookieName+"="+fixed).StatusCode)
		assert.Contains(t, victim.get("/campaign/ann").body, "who=ann")
	}
	// What the victim's sign-in replaced is gone, as it should be in one browser.
	assert.NotEqual(t, http.StatusOK, attacker.get("/campaign/bob").StatusCode)
}

func TestGateReplay(t *testing.T) {
	p := newProtectedSite(t, nil)
	one, two := p.browser(t), p.browser(t)
	stolen := one.signIn("/campaign/ann", annPassword).cookie(cookieName)
	two.signIn("/campaign/ann", annPassword)
	assert.Equal(t, http.StatusOK, one.withCookie("/campaign/ann", cookieName+"="+stolen).StatusCode)
	one.post("/campaign/signout", nil)
	assert.Equal(t, http.StatusSeeOther, one.withCookie("/campaign/ann", cookieName+"="+stolen).StatusCode)
	assert.Equal(t, http.StatusSeeOther, two.get("/campaign/ann").StatusCode, "on the other device, too")

	// A new sign-in does not revive the old token, nor does the old form sign in twice.
	one.signIn("/campaign/ann", annPassword)
	assert.Equal(t, http.StatusSeeOther, one.withCookie("/campaign/ann", cookieName+"="+stolen).StatusCode)
}

func TestGateCookieTricks(t *testing.T) {
	p := newProtectedSite(t, nil)
	b := p.browser(t)
	value := b.signIn("/campaign/ann", annPassword).cookie(cookieName)
	token, _, _ := strings.Cut(value, ".")
	tests := []struct {
		name, cookies string
		open          bool
	}{
		{"as set", cookieName + "=" + value, true},
		{"without the key", cookieName + "=" + token, true},
		{"another's key", cookieName + "=" + token + ".Ym9i", true}, // which the server does not believe
		{"with others", "a=b; " + cookieName + "=" + value + "; c=d", true},
		{"with another gate's", "a=b; " + cookieName + "=" + value + "; __Host-securl-00000000=" + token + "; __Host-securl=" + token, true},
		{"twice", cookieName + "=" + value + "; " + cookieName + "=" + value, false},
		{"tossed before", cookieName + "=x; " + cookieName + "=" + value, false},
		{"tossed after", cookieName + "=" + value + "; " + cookieName + "=x", false},
		{"without the prefix", strings.TrimPrefix(cookieName, "__Host-") + "=" + value, false},
		{"weaker prefix", "__Secure-" + strings.TrimPrefix(cookieName, "__Host-") + "=" + value, false},
		{"other case", strings.ToLower(cookieName) + "=" + value, false},
		{"the form's", cookieName + "-form=" + token, false},
		{"cut", cookieName + "=" + value[:42], false},
		{"longer", cookieName + "=" + token + "A." + "YW5u", false},
		{"last bit", cookieName + "=" + token[:42] + "_.YW5u", false},
		{"empty", cookieName + "=", false},
		{"SQL", cookieName + "=' OR '1'='1", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := b.withCookie("/campaign/ann", tt.cookies)
			if tt.open {
				assert.Equal(t, http.StatusOK, a.StatusCode)
				assert.Contains(t, a.body, "who=ann")
				assert.NotContains(t, a.body, token, "the site must not see the token")
				if tt.name == "with others" {
					assert.Contains(t, a.body, `cookies=["a=b; c=d"]`)
				}
			} else {
				assert.Equal(t, http.StatusSeeOther, a.StatusCode)
			}
		})
	}
	assert.Equal(t, http.StatusSeeOther, b.withCookie("/campaign/bob", cookieName+"="+token+".Ym9i").StatusCode, "the key in the cookie opens nothing")
}

// TestGateNoOpenRedirect puts addresses elsewhere into everything that a visitor can send.
func TestGateNoOpenRedirect(t *testing.T) {
	p := newProtectedSite(t, nil)
	evil := []string{
		"//evil.example", "///evil.example", `/\evil.example`, `\\evil.example`, "/%2f%2fevil.example", "%2f%2fevil.example", "/%09/evil.example",
		"https://evil.example/campaign/", "https:evil.example", "http:/evil.example", "javascript:alert(1)", "JaVaScRiPt:alert(1)//campaign/", "data:text/html,x",
		"/campaign/@evil.example", "/campaign/..//evil.example", "/campaign/../../evil.example", "@evil.example", "/campaign\t//evil.example",
		"/campaign/\r\nLocation: //evil.example", ".evil.example", "/campaignevil", "/campaign/login?rid=ann", "/campaign/signout", "/campaign/bob", "/campaign/x.html?rid=bob", "/\u2028/evil.example", "/campaign/%5cevil.example",
	}
	// ours says whether a Location stays below the base, by the rules that browsers follow.
	ours := func(t *testing.T, location string) {
		t.Helper()
		require.True(t, strings.HasPrefix(location, "/campaign/"), location)
		assert.NotContains(t, location[:strings.IndexAny(location+"?", "?")], "//", location)
		assert.NotContains(t, location, "\\", location)
		base, err := url.Parse("https://www.example.com/campaign/login")
		require.NoError(t, err)
		to, err := base.Parse(location)
		require.NoError(t, err)
		assert.Equal(t, "www.example.com", to.Host, location)
		assert.Equal(t, "https", to.Scheme, location)
		assert.True(t, strings.HasPrefix(to.Path, "/campaign/"), location)
	}
	// A page of the site is no page to go back to unless the gate itself said so.
	b := p.browser(t)
	assert.Empty(t, b.get("/campaign/login?rid=ann&to=%2Fcampaign%2Funsubscribe.html").fields(t).Get("to"))
	signed, err := url.Parse(b.get("/campaign/unsubscribe.html?rid=ann").Header.Get("Location"))
	require.NoError(t, err)
	assert.Equal(t, "/campaign/unsubscribe.html?rid=ann", b.get(signed.String()).fields(t).Get("to"))
	q := signed.Query()
	q.Set("to", "/campaign/other.html?rid=ann")
	assert.Empty(t, b.get("/campaign/login?"+q.Encode()).fields(t).Get("to"))

	for _, target := range evil {
		p.clock.add(2 * time.Hour) // nobody may sign in so often at once
		// Signed by somebody else, or by nobody.
		for _, sig := range []string{"", "AAAA"} {
			b := p.browser(t)
			page := b.get("/campaign/login?" + url.Values{"rid": {"ann"}, "to": {target}, "sig": {sig}}.Encode())
			require.Equal(t, http.StatusOK, page.StatusCode)
			fields := page.fields(t)
			assert.Empty(t, fields.Get("to"), target)
			fields.Set("password", annPassword)
			good := b.post("/campaign/login", fields)
			require.Equal(t, http.StatusSeeOther, good.StatusCode)
			assert.Equal(t, "/campaign/index.html?rid=ann", good.Header.Get("Location"))
		}
		// Put into the form, whose token is then wrong.
		for _, field := range []string{"to", "iid", "rid", "next", "return", "url"} {
			b := p.browser(t)
			fields := b.get("/campaign/login?rid=ann").fields(t)
			fields.Set("password", annPassword)
			fields.Set(field, target)
			a := b.post("/campaign/login", fields)
			if location := a.Header.Get("Location"); location != "" {
				assert.NotContains(t, []string{"to", "iid", "rid"}, field, target)
				ours(t, location)
			}
		}
		// As a recipient key or instance, and as anything else in a PURL.
		for _, name := range []string{"rid", "iid", "next", "xmpsrc"} {
			b := p.browser(t)
			q := url.Values{name: {target}}
			if name != "rid" {
				q.Set("rid", "ann")
			}
			if location := b.get("/campaign/index.html?" + q.Encode()).Header.Get("Location"); location != "" {
				ours(t, location)
			}
		}
		// As the path itself, and in headers that name hosts.
		b := p.browser(t)
		for _, path := range []string{target, "/campaign" + target} {
			u, err := url.Parse(p.server.URL)
			require.NoError(t, err)
			raw := strings.Map(func(r rune) rune {
				if r <= ' ' {
					return -1
				}
				return r
			}, path)
			if location := rawRequest(t, p, u.Host, "GET "+raw+" HTTP/1.1\r\nHost: "+gateHost+"\r\nConnection: close\r\n\r\n").Header.Get("Location"); location != "" {
				ours(t, location)
			}
		}
		r := b.request("GET", "/campaign/ann", nil)
		r.Host = "evil.example"
		for _, h := range []string{"X-Forwarded-Host", "X-Original-URL", "X-Rewrite-URL", "Forwarded", "Referer", "X-Forwarded-Prefix"} {
			r.Header.Set(h, "https://evil.example/")
		}
		ours(t, b.do(r).Header.Get("Location"))
	}
}

// rawRequest sends bytes as they are.
func rawRequest(t testing.TB, p *protectedSite, addr, request string) reply {
	t.Helper()
	conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: p.ca.Pool(), ServerName: gateHost})
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, request)
	require.NoError(t, err)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err, request)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return reply{res, string(body)}
}

// TestGatePaths sends paths that a gate and a site could read differently.
func TestGatePaths(t *testing.T) {
	p := newProtectedSite(t, nil)
	addr := p.server.Listener.Addr().String()
	tests := []struct {
		path   string
		status int
	}{
		{"/campaign/css/site.css", 200},
		{"/campaign/css/sub/x%20y.css", 200},
		{"/campaign/favicon.ico", 200},
		{"/campaign/favicon.ico?rid=bob", 200}, // a file, whatever follows
		{"/campaign/favicon.ico/", 403},
		{"/campaign/favicon.ico/secret.html", 403},
		{"/campaign/css", 303},             // a recipient key, as far as the gate knows
		{"/campaign/CSS/site.css", 403},    // case
		{"/campaign/cssx/site.css", 403},   // beside
		{"/campaign/Favicon.ico", 403},     //
		{"/campaign/secret.html", 403},     // closed, and no key
		{"/campaign/deep/secret.css", 403}, //
		{"/campaign/css/../secret.html", 400},
		{"/campaign/css/..", 400},
		{"/campaign/css/./../secret.html", 400},
		{"/campaign/css/%2e%2e/secret.html", 400},
		{"/campaign/css/%2E./secret.html", 400},
		{"/campaign/css/%252e%252e/secret.html", 400},
		{"/campaign/css/..%2fsecret.html", 400},
		{"/campaign/css/..%252fsecret.html", 400},
		{"/campaign/css%2fsite.css", 400},
		{"/campaign/css/..%5csecret.html", 400},
		{`/campaign/css/..\secret.html`, 400},
		{`/campaign/css\..\secret.html`, 400},
		{"/campaign/css/..;/secret.html", 400},
		{"/campaign/css/.;x/secret.html", 400},
		{"/campaign/css/;/secret.html", 400},
		{"/campaign/css/...%20/secret.html", 400},
		{"/campaign/css/..%20/secret.html", 400},
		{"/campaign/css//secret.html", 400},
		{"/campaign//css/site.css", 400},
		{"//campaign/css/site.css", 400},
		{"/campaign/css/x.css%00.html", 400},
		{"/campaign/css/x.css%0a", 400},
		{"/campaign/css/x.css;secret.html", 403}, // open only with plain names
		{"/campaign/css/x.css::$DATA", 403},
		{"/campaign/css/SECRET~1.HTM", 403},
		// What Windows makes of names: dots and blanks at the end are cut off, and characters that a
		// code page lacks become their nearest.
		{"/campaign/css/..%20./secret.html", 400},
		{"/campaign/css/.%20./secret.html", 400},
		{"/campaign/css/%EF%BC%8E%EF%BC%8E%EF%BC%8Fsecret.html", 403}, // wide dots and slash
		{"/campaign/css/%E2%80%A5/secret.html", 403},                  // two dot leader
		{"/campaign/css/..%E2%88%95secret.html", 403},                 // division slash
		{"/campaign/css/..%C2%A5secret.html", 403},                    // yen sign
		{"/campaign/css/%C3%A9t%C3%A9%E2%80%93e%CC%81.css", 200},      // letters, a dash and an accent are as good as ASCII
		{"/campaign/css/x%3fy", 403},
		{"/campaign/css/x%23y", 403},
		{"/campaign/css/%ff", 400},
		{"/campaign/css/%c0%ae%c0%ae/secret.html", 400}, // overlong dots
		{"/css/site.css", 404},
		{"/CAMPAIGN/css/site.css", 404},
		{"/", 404},
		{"*", 400},
		{"https://evil.example/campaign/secret.html", 403},
		{"https://evil.example/campaign/css/site.css", 200},
	}
	for _, tt := range tests {
		t.Run(strings.ReplaceAll(tt.path, "/", "_"), func(t *testing.T) {
			before := p.seen.Load()
			a := rawRequest(t, p, addr, "GET "+tt.path+" HTTP/1.1\r\nHost: "+gateHost+"\r\nConnection: close\r\n\r\n")
			assert.Equal(t, tt.status, a.StatusCode, "%s\n%s", tt.path, a.body)
			assert.Equal(t, tt.status == 200, p.seen.Load() > before, "whether the site was asked")
		})
	}
}

func TestGateMethods(t *testing.T) {
	p := newProtectedSite(t, nil)
	b := p.browser(t)
	tests := []struct {
		method, path string
		status       int
		allow        string
	}{
		{"HEAD", "/campaign/css/a.css", 200, ""},
		{"POST", "/campaign/css/a.css", 405, "GET, HEAD"},
		{"OPTIONS", "/campaign/css/a.css", 405, "GET, HEAD"},
		{"PROPFIND", "/campaign/css/a.css", 405, "GET, HEAD"},
		{"get", "/campaign/css/a.css", 405, "GET, HEAD"},
		{"HEAD", "/campaign/ann", 303, ""},
		{"POST", "/campaign/ann", 403, ""},
		{"PUT", "/campaign/ann", 403, ""},
		{"DELETE", "/campaign/offers.html", 403, ""},
		{"OPTIONS", "/campaign/offers.html", 403, ""},
		{"get", "/campaign/ann", 403, ""},
		{"TRACE", "/campaign/ann", 405, "GET, HEAD, POST"},
		{"PUT", "/campaign/login?rid=ann", 405, "GET, HEAD, POST"},
		{"DELETE", "/campaign/signout", 405, "GET, HEAD, POST"},
	}
	for _, tt := range tests {
		r := b.request(tt.method, tt.path, nil)
		r.Header.Set("X-HTTP-Method-Override", "GET")
		a := b.do(r)
		assert.Equal(t, tt.status, a.StatusCode, "%s %s", tt.method, tt.path)
		assert.Equal(t, tt.allow, a.Header.Get("Allow"), "%s %s", tt.method, tt.path)
	}
	b.signIn("/campaign/ann", annPassword)
	r := b.request("POST", "/campaign/ann", strings.NewReader("x"))
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	assert.Equal(t, http.StatusOK, b.do(r).StatusCode, "the site may take what its recipient sends")
	r = b.request("POST", "/campaign/ann", strings.NewReader("x"))
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	assert.Equal(t, http.StatusForbidden, b.do(r).StatusCode)
	r = b.request("POST", "/campaign/ann", strings.NewReader("x"))
	r.Header.Set("Origin", "https://evil.example")
	assert.Equal(t, http.StatusForbidden, b.do(r).StatusCode)
}

// TestGateWebSocket: the handshake is a GET, which browsers send for pages of other hosts of the
// same domain with the cookie, and then let them read and write.
func TestGateWebSocket(t *testing.T) {
	p := newProtectedSite(t, nil)
	b := p.browser(t)
	b.signIn("/campaign/ann", annPassword)
	for _, tt := range []struct {
		key, value string
		status     int
	}{
		{"Sec-Fetch-Site", "same-origin", 200},
		{"Sec-Fetch-Site", "same-site", 403},
		{"Origin", "https://" + p.server.Listener.Addr().String(), 200},
		{"Origin", "https://other.example.com", 403},
		{"Origin", "http://" + p.server.Listener.Addr().String(), 403},
		{"Origin", "null", 403},
	} {
		r := b.request("GET", "/campaign/feed.json", nil)
		r.Header.Set("Connection", "keep-alive, Upgrade")
		r.Header.Set("Upgrade", "websocket")
		r.Header.Set(tt.key, tt.value)
		before := p.seen.Load()
		assert.Equal(t, tt.status, b.do(r).StatusCode, "%s: %s", tt.key, tt.value)
		assert.Equal(t, tt.status == 200, p.seen.Load() > before)
	}
	r := b.request("GET", "/campaign/feed.json", nil)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	assert.Equal(t, http.StatusOK, b.do(r).StatusCode, "a link from elsewhere leads to a page")
}

// TestGateCrossSite sends the forms from elsewhere, and without what only our page gives.
func TestGateCrossSite(t *testing.T) {
	p := newProtectedSite(t, nil)
	headers := []struct {
		name, key, value string
		status           int
	}{
		{"same origin", "Sec-Fetch-Site", "same-origin", 303},
		{"typed", "Sec-Fetch-Site", "none", 303},
		{"cross site", "Sec-Fetch-Site", "cross-site", 403},
		{"same site", "Sec-Fetch-Site", "same-site", 403},
		{"own Origin", "Origin", "https://" + gateHost, 303},
		{"other Origin", "Origin", "https://evil.example", 403},
		{"own host in clear", "Origin", "http://" + gateHost, 403},
		{"Origin that begins like ours", "Origin", "https://" + gateHost + ".evil.example", 403},
		{"opaque Origin of an older browser", "Origin", "null", 303},
		{"no browser", "X", "y", 303},
	}
	for _, tt := range headers {
		t.Run(tt.name, func(t *testing.T) {
			tt.value = strings.Replace(tt.value, gateHost, p.server.Listener.Addr().String(), 1)
			b := p.browser(t)
			fields := b.get("/campaign/login?rid=ann").fields(t)
			fields.Set("password", annPassword)
			send := func(target string, fields url.Values) reply {
				r := b.request("POST", target, strings.NewReader(fields.Encode()))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				r.Header.Set(tt.key, tt.value)
				return b.do(r)
			}
			assert.Equal(t, tt.status, send("/campaign/login", fields).StatusCode)
			b = p.browser(t)
			b.signIn("/campaign/ann", annPassword)
			assert.Equal(t, tt.status, send("/campaign/signout", nil).StatusCode)
			assert.Equal(t, tt.status == 303, b.get("/campaign/offers.html").StatusCode == 403)
		})
	}
	t.Run("login CSRF", func(t *testing.T) {
		attacker, victim := p.browser(t), p.browser(t)
		fields := attacker.get("/campaign/login?rid=bob").fields(t)
		fields.Set("password", bobPassword)
		victim.get("/campaign/login?rid=ann")
		for _, token := range []string{fields.Get("token"), "", strings.Repeat("A", 43)} {
			fields.Set("token", token)
			a := victim.post("/campaign/login", fields)
			assert.Equal(t, http.StatusForbidden, a.StatusCode)
			assert.Contains(t, a.body, "open for too long")
			assert.Empty(t, a.cookie(cookieName))
		}
		// The token is for one recipient.
		own := victim.get("/campaign/login?rid=ann").fields(t)
		own.Set("rid", "bob")
		own.Set("password", bobPassword)
		assert.Equal(t, http.StatusForbidden, victim.post("/campaign/login", own).StatusCode)
		// The page that comes back works.
		a := victim.post("/campaign/login", url.Values{"rid": {"ann"}})
		again := a.fields(t)
		again.Set("password", annPassword)
		assert.Equal(t, http.StatusSeeOther, victim.post("/campaign/login", again).StatusCode)
	})
}

func TestGateBodies(t *testing.T) {
	p := newProtectedSite(t, nil)
	b := p.browser(t)
	fields := b.get("/campaign/login?rid=ann").fields(t)
	fields.Set("password", annPassword)
	form := "application/x-www-form-urlencoded"
	tests := []struct {
		name, kind string
		body       io.Reader
		status     int
	}{
		{"with a charset", form + "; charset=UTF-8", strings.NewReader(fields.Encode()), 303},
		{"JSON", "application/json", strings.NewReader(`{"rid":"ann"}`), 415},
		{"plain text, which needs no preflight", "text/plain", strings.NewReader(fields.Encode()), 415},
		{"multipart", "multipart/form-data; boundary=x", strings.NewReader("--x--"), 415},
		{"no type", "", strings.NewReader(fields.Encode()), 415},
		{"too large", form, strings.NewReader(fields.Encode() + "&x=" + strings.Repeat("x", 9000)), 413},
		{"too large, and does not say so", form, io.MultiReader(strings.NewReader(fields.Encode()+"&x="), strings.NewReader(strings.Repeat("x", 9000))), 413},
		{"endless", form, io.LimitReader(endless{}, 1<<30), 413},
		{"not a form", form, strings.NewReader("%zz"), 400},
		{"semicolons", form, strings.NewReader(fields.Encode() + "&a;b"), 400},
		{"a field twice", form, strings.NewReader(fields.Encode() + "&rid=bob"), 400},
		{"empty", form, strings.NewReader(""), 400},
		{"key with a line break", form, strings.NewReader("rid=ann%0d%0aX:%20y"), 400},
		{"key with NUL", form, strings.NewReader("rid=ann%00"), 400},
		{"key that is no UTF-8", form, strings.NewReader("rid=%ff"), 400},
		{"password that is no UTF-8", form, strings.NewReader(strings.Replace(fields.Encode(), "password=", "password=%ff", 1)), 403},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			own := b
			if tt.status == 303 {
				own = p.browser(t)
				own.client.Jar = b.client.Jar
			}
			r := own.request("POST", "/campaign/login", tt.body)
			if tt.kind != "" {
				r.Header.Set("Content-Type", tt.kind)
			}
			res, err := own.client.Do(r)
			if err != nil && tt.status == 413 {
				return // the server closed before all was sent
			}
			require.NoError(t, err)
			defer res.Body.Close()
			assert.Equal(t, tt.status, res.StatusCode)
			if tt.status == 303 {
				// The form's cookie has gone with the sign-in.
				fields = own.get("/campaign/login?rid=bob").fields(t)
				fields.Set("password", annPassword)
			}
		})
	}
}

type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'x'
	}
	return len(b), nil
}

// deadlineRecorder is a connection whose body never ends, and which notes the deadline it is
// given instead of waiting for it.
type deadlineRecorder struct {
	*httptest.ResponseRecorder
	deadlines []time.Time
}

func (d *deadlineRecorder) SetReadDeadline(t time.Time) error {
	d.deadlines = append(d.deadlines, t)
	return nil
}

// slowBody gives a few bytes and then waits for the deadline, as a connection does.
type slowBody struct{ rest *bytes.Reader }

func (s slowBody) Read(b []byte) (int, error) {
	if n, err := s.rest.Read(b); err == nil {
		return n, nil
	}
	return 0, fmt.Errorf("read tcp: %w", os.ErrDeadlineExceeded)
}
func (slowBody) Close() error { return nil }

func TestGateSlowBody(t *testing.T) {
	gate := securl.Gate{Recipients: campaign(t)}
	h, err := gate.Handler(http.NotFoundHandler())
	require.NoError(t, err)
	for _, path := range []string{"/login", "/signout", "/ann", "/x.html"} {
		r := httptest.NewRequest("POST", "https://"+gateHost+path, slowBody{bytes.NewReader([]byte("rid=ann&pass"))})
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := &deadlineRecorder{ResponseRecorder: httptest.NewRecorder()}
		before := time.Now()
		h.ServeHTTP(w, r)
		require.NotEmpty(t, w.deadlines, path)
		assert.WithinRange(t, w.deadlines[0], before, time.Now().Add(10*time.Second), path)
		if path == "/login" {
			assert.Equal(t, http.StatusRequestTimeout, w.Code)
			assert.Equal(t, "close", w.Header().Get("Connection"))
		}
	}
}

// TestGateSlowBodyOverTLS is the same with real connections, and a deadline that has passed.
func TestGateSlowBodyOverTLS(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) {
			p := newProtectedSite(t, nil)
			securl.SetFormTime(p.server.Config.Handler, time.Millisecond)
			b := p.browser(t)
			if proto == "HTTP/2.0" {
				b.client.Transport.(*http.Transport).ForceAttemptHTTP2 = true
			}
			body, write := io.Pipe()
			defer write.Close()
			r := b.request("POST", "/campaign/login", body)
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			a := b.do(r)
			assert.Equal(t, proto, a.Proto)
			assert.Equal(t, http.StatusRequestTimeout, a.StatusCode)
		})
	}
}

func TestGatePlainHTTP(t *testing.T) {
	gate := securl.Gate{Recipients: campaign(t), Base: "/campaign/", Public: []string{"css/"}}
	proxied := gate
	proxied.Visitor = securl.BehindProxies(netip.MustParsePrefix("10.0.0.0/8"))
	tests := []struct {
		name   string
		gate   securl.Gate
		remote string
		header http.Header
		open   bool
	}{
		{"direct", gate, "192.0.2.1:1", nil, false},
		{"direct, says HTTPS", gate, "192.0.2.1:1", http.Header{"X-Forwarded-Proto": {"https"}}, false},
		{"proxy", proxied, "10.0.0.1:1", http.Header{"X-Forwarded-Proto": {"https"}}, true},
		{"proxy, in the clear", proxied, "10.0.0.1:1", http.Header{"X-Forwarded-Proto": {"http"}}, false},
		{"proxy, visitor says HTTPS", proxied, "10.0.0.1:1", http.Header{"X-Forwarded-Proto": {"https", "http"}}, false},
		{"proxy, says nothing", proxied, "10.0.0.1:1", nil, false},
		{"no proxy of ours", proxied, "192.0.2.1:1", http.Header{"X-Forwarded-Proto": {"https"}}, false},
		{"no address", proxied, "@", http.Header{"X-Forwarded-Proto": {"https"}}, false},
		{"proxy, address is none", proxied, "10.0.0.1:1", http.Header{"X-Forwarded-Proto": {"https"}, "X-Forwarded-For": {"unknown"}}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, err := tt.gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "site") }))
			require.NoError(t, err)
			for _, target := range []string{"/campaign/css/a.css", "/campaign/ann", "/campaign/login?rid=ann"} {
				r := httptest.NewRequest("GET", "http://"+gateHost+target, nil)
				r.RemoteAddr, r.Header = tt.remote, tt.header.Clone()
				if r.Header == nil {
					r.Header = http.Header{}
				}
				r.Header.Set("Cookie", "__Host-securl=x")
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				if tt.open {
					assert.Less(t, w.Code, 400)
					continue
				}
				assert.Contains(t, []int{400, 403}, w.Code)
				assert.Empty(t, w.Header().Get("Location"))
				assert.Empty(t, w.Header().Get("Set-Cookie"))
				assert.NotContains(t, w.Body.String(), "ann")
			}
		})
	}
}

func TestBehindProxies(t *testing.T) {
	visitor := securl.BehindProxies(netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8"))
	tests := []struct {
		name, remote string
		forwarded    []string
		want         string
	}{
		{"direct", "192.0.2.1:1", nil, "192.0.2.1"},
		{"direct, with a lie", "192.0.2.1:1", []string{"1.1.1.1"}, "192.0.2.1"},
		{"one proxy", "10.0.0.1:1", []string{"192.0.2.1"}, "192.0.2.1"},
		{"one proxy, and what the visitor sent", "10.0.0.1:1", []string{"1.1.1.1, 10.0.0.9, 192.0.2.1"}, "192.0.2.1"},
		{"in lines of their own", "10.0.0.1:1", []string{"1.1.1.1", "192.0.2.1"}, "192.0.2.1"},
		{"two proxies", "10.0.0.1:1", []string{"1.1.1.1, 192.0.2.1, 10.2.3.4"}, "192.0.2.1"},
		{"IPv6", "[fd00::1]:1", []string{"2001:db8::7"}, "2001:db8::7"},
		{"mapped", "[::ffff:10.0.0.1]:1", []string{"::ffff:192.0.2.1"}, "192.0.2.1"},
		{"with ports", "10.0.0.1:1", []string{"192.0.2.1:4711"}, "192.0.2.1"},
		{"IPv6 with a port", "10.0.0.1:1", []string{"[2001:db8::7]:4711"}, "2001:db8::7"},
		{"the proxy's own", "10.0.0.1:1", nil, "10.0.0.1"},
		{"only proxies", "10.0.0.1:1", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"no address", "10.0.0.1:1", []string{"evil, 1.2.3"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr, r.Header["X-Forwarded-For"] = tt.remote, tt.forwarded
			v, err := visitor(r)
			if tt.want == "" {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tt.want, v.Addr.String())
			assert.False(t, v.HTTPS)
		})
	}
}

// TestGateRace signs in and out at once. Afterwards nothing that was signed out may be open.
func TestGateRace(t *testing.T) {
	p := newProtectedSite(t, nil)
	const workers = 8
	cookies := make([]string, workers)
	var wg sync.WaitGroup
	for i := range workers {
		b := p.browser(t)
		wg.Go(func() {
			for range 5 {
				good := b.signIn("/campaign/ann", annPassword)
				cookies[i] = good.cookie(cookieName)
				b.get("/campaign/ann")
				if a := b.post("/campaign/signout", nil); a.StatusCode != http.StatusSeeOther {
					b.t.Errorf("sign-out: %d", a.StatusCode)
				}
			}
		})
	}
	wg.Wait()
	for _, c := range cookies {
		require.NotEmpty(t, c)
		assert.Equal(t, http.StatusSeeOther, p.browser(t).withCookie("/campaign/ann", cookieName+"="+c).StatusCode)
	}
}

// brokenStore fails on request.
type brokenStore struct {
	securl.Sessions
	find, commit, del bool
}

var errStore = errors.New("store is down")

func (s *brokenStore) Find(key string) ([]byte, bool, error) {
	if s.find {
		return nil, false, errStore
	}
	return s.Sessions.Find(key)
}

func (s *brokenStore) Commit(key string, value []byte, expiry time.Time) error {
	if s.commit {
		return errStore
	}
	return s.Sessions.Commit(key, value, expiry)
}

func (s *brokenStore) Delete(key string) error {
	if s.del {
		return errStore
	}
	return s.Sessions.Delete(key)
}

type brokenRecipients struct{}

func (brokenRecipients) Recipient(context.Context, string) (securl.Recipient, error) {
	return securl.Recipient{}, errors.New("dial tcp: password=hunter2")
}

// TestGateUnavailable takes away what the gate depends on: it closes.
func TestGateUnavailable(t *testing.T) {
	store := &brokenStore{}
	p := newProtectedSite(t, func(g *securl.Gate) {
		store.Sessions = &securl.MemorySessions{Now: g.Now}
		g.Sessions = store
	})
	b := p.browser(t)
	b.signIn("/campaign/ann", annPassword)
	seen := p.seen.Load()
	unavailable := func(a reply) {
		t.Helper()
		assert.Equal(t, http.StatusServiceUnavailable, a.StatusCode)
		assert.Equal(t, "60", a.Header.Get("Retry-After"))
		assert.NotContains(t, a.body, "store is down")
	}
	store.find = true
	unavailable(b.get("/campaign/ann"))
	unavailable(b.post("/campaign/signout", nil))
	store.find = false
	for range 10 { // which is no failure of the visitor's, and is not counted
		store.commit = true
		other := p.browser(t)
		unavailable(other.signIn("/campaign/bob", bobPassword))
	}
	unavailable(b.post("/campaign/signout", nil))
	assert.Equal(t, seen, p.seen.Load())
	store.commit = false
	assert.Equal(t, http.StatusSeeOther, p.browser(t).signIn("/campaign/bob", bobPassword).StatusCode)

	p = newProtectedSite(t, func(g *securl.Gate) { g.Recipients = brokenRecipients{} })
	unavailable(p.browser(t).signIn("/campaign/ann", annPassword))
	last := p.events.all[len(p.events.all)-1]
	assert.Equal(t, securl.EventUnavailable, last.Kind)
	require.Error(t, last.Err)
	assert.Contains(t, last.Err.Error(), "hunter2", "what the caller's lookup says is the caller's, for the operator")
}

func TestGateSettings(t *testing.T) {
	good := securl.Gate{Recipients: campaign(t)}
	tests := []struct {
		name   string
		change func(*securl.Gate)
		want   string
	}{
		{"no recipients", func(g *securl.Gate) { g.Recipients = nil }, "needs Recipients"},
		{"longer than an hour", func(g *securl.Gate) { g.Lifetime = time.Hour + 1 }, "at most 1h0m0s"},
		{"negative", func(g *securl.Gate) { g.Lifetime = -1 }, "more than nothing"},
		{"base without a slash", func(g *securl.Gate) { g.Base = "/campaign" }, "slash at both ends"},
		{"base that climbs", func(g *securl.Gate) { g.Base = "/a/../" }, "slash at both ends"},
		{"base with a host", func(g *securl.Gate) { g.Base = "https://example.com/" }, "slash at both ends"},
		{"everything public", func(g *securl.Gate) { g.Public = []string{""} }, `Public has ""`},
		{"root public", func(g *securl.Gate) { g.Public = []string{"/"} }, `Public has "/"`},
		{"public that climbs", func(g *securl.Gate) { g.Public = []string{"css/../"} }, "must be a path below Base"},
		{"pattern", func(g *securl.Gate) { g.Public = []string{"*.css"} }, "must be a path below Base"},
		{"PURL page public", func(g *securl.Gate) { g.Public = []string{"index.html"} }, "every recipient's page"},
		{"PURL page public, in other letters", func(g *securl.Gate) { g.Public = []string{"Index.HTML"} }, "every recipient's page"},
		{"login page public", func(g *securl.Gate) { g.Public = []string{"login"} }, "own page"},
		{"page", func(g *securl.Gate) { g.Pages = []string{"signout"} }, "own page"},
		{"short key", func(g *securl.Gate) { g.Key = connsec.NewSecret("too short") }, "9 characters"},
		{"many failures", func(g *securl.Gate) { g.Throttle.Failures = 11 }, "from 1 to 10"},
		{"short wait", func(g *securl.Gate) { g.Throttle.Wait = time.Second }, "one minute"},
		{"long lock-out", func(g *securl.Gate) { g.Throttle.RecipientWait = time.Hour }, "10 seconds to 5 minutes"},
		{"hasher that cannot", func(g *securl.Gate) { g.Hasher = securl.Argon2id{Memory: 1} }, "cannot hash"},
		{"no randomness", func(g *securl.Gate) { g.Rand = strings.NewReader("") }, "random"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := good
			tt.change(&g)
			h, err := g.Handler(http.NotFoundHandler())
			require.ErrorContains(t, err, tt.want)
			assert.Nil(t, h)
			assert.NotContains(t, err.Error(), "\n")
			assert.NotContains(t, err.Error(), "too short")
		})
	}
	_, err := good.Handler(nil)
	require.Error(t, err)
	_, err = good.Handler(http.NotFoundHandler())
	require.NoError(t, err)
	require.ErrorContains(t, good.SignOut(t.Context(), "ann"), "set Sessions")
}
