package securl_test

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"github.com/connsec/connsec/internal/testca"
	"github.com/connsec/connsec/securl"
)

const (
	gateHost    = "www.example.com"
	annPassword = "correct horse"
	bobPassword = "battery staple"
)

// recipients are the people of a campaign.
type recipients map[string]securl.Recipient

func (p recipients) Recipient(_ context.Context, rid string) (securl.Recipient, error) {
	if r, ok := p[rid]; ok {
		return r, nil
	}
	return securl.Recipient{}, securl.ErrNoRecipient
}

func campaign(t testing.TB) recipients {
	t.Helper()
	p := recipients{}
	for _, r := range []securl.Recipient{
		{ID: "ann", UserName: "ann@example.com", Password: annPassword},
		{ID: "bob", UserName: "bob@example.com", Password: bobPassword},
		{ID: "Zoé Ørsted", UserName: "zoe", Password: "snow"},
		{ID: "login", UserName: "l", Password: "awkward"},
	} {
		var err error
		r.Password, err = securl.Hasher{}.Hash(r.Password)
		require.NoError(t, err)
		p[r.ID] = r
	}
	p["none"] = securl.Recipient{ID: "none"}
	return p
}

// gateClock is a clock that a test moves.
type gateClock struct{ ns atomic.Int64 }

func newGateClock() *gateClock {
	c := &gateClock{}
	c.ns.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *gateClock) now() time.Time      { return time.Unix(0, c.ns.Load()).UTC() }
func (c *gateClock) add(d time.Duration) { c.ns.Add(int64(d)) }

// events collects what a gate tells.
type events struct {
	mu  sync.Mutex
	all []securl.Event
}

func (e *events) observe(_ context.Context, ev securl.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, ev)
}

func (e *events) kinds() (kinds []securl.EventKind) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ev := range e.all {
		kinds = append(kinds, ev.Kind)
	}
	return kinds
}

// protectedSite is a gate on a TLS server of its own.
type protectedSite struct {
	gate   securl.Gate
	clock  *gateClock
	events *events
	server *httptest.Server
	ca     *testca.CA
	seen   atomic.Int64 // requests that reached the site
}

// newProtectedSite starts one with a campaign. Each page shows whose it is.
func newProtectedSite(t testing.TB, change func(*securl.Gate)) *protectedSite {
	t.Helper()
	p := &protectedSite{clock: newGateClock(), events: &events{}, ca: testca.MustNew(t)}
	p.gate = securl.Gate{
		Recipients: campaign(t), Base: "/campaign/", Public: []string{"css/", "favicon.ico"}, Pages: []string{"enroll"},
		Now: p.clock.now, Observe: p.events.observe,
	}
	if change != nil {
		change(&p.gate)
	}
	h, err := p.gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.seen.Add(1)
		who, ok := securl.SignedIn(r.Context())
		fmt.Fprintf(w, "site path=%s who=%s user=%s password=%q signed=%t cookies=%q", r.URL.Path, who.ID, who.UserName, who.Password, ok, r.Header["Cookie"])
	}))
	require.NoError(t, err)
	p.server = httptest.NewUnstartedServer(h)
	p.server.Config.ErrorLog = log.New(io.Discard, "", 0) // unfinished handshakes of a probe
	p.server.TLS = &tls.Config{Certificates: []tls.Certificate{p.ca.MustIssue(t, testca.Leaf{Names: []string{gateHost}}).TLS()}}
	p.server.EnableHTTP2 = true
	p.server.StartTLS()
	t.Cleanup(p.server.Close)
	return p
}

// browser is a visitor with cookies, who does not follow redirects unless asked.
type browser struct {
	t      testing.TB
	client *http.Client
	origin string
}

func (p *protectedSite) browser(t testing.TB) *browser {
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: p.ca.Pool(), ServerName: gateHost}}
	t.Cleanup(transport.CloseIdleConnections)
	return &browser{t, &http.Client{
		Transport: transport, Jar: jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, p.server.URL}
}

// reply is a response that was read.
type reply struct {
	*http.Response
	body string
}

func (b *browser) do(r *http.Request) reply {
	b.t.Helper()
	res, err := b.client.Do(r)
	require.NoError(b.t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(b.t, err)
	return reply{res, string(body)}
}

func (b *browser) request(method, target string, body io.Reader) *http.Request {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.origin+target, body)
	require.NoError(b.t, err)
	return r
}

func (b *browser) get(target string) reply {
	b.t.Helper()
	return b.do(b.request("GET", target, nil))
}

func (b *browser) post(target string, fields url.Values) reply {
	b.t.Helper()
	r := b.request("POST", target, strings.NewReader(fields.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.do(r)
}

// fields returns what the form of a page would send.
func (a reply) fields(t testing.TB) url.Values {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(a.body))
	require.NoError(t, err)
	fields := url.Values{}
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode && n.Data == "input" {
			fields.Set(attr(n, "name"), attr(n, "value"))
		}
	}
	return fields
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// signIn opens a PURL, follows it to the form, and sends it.
func (b *browser) signIn(purl, password string) reply {
	b.t.Helper()
	at := b.get(purl)
	require.Equal(b.t, http.StatusSeeOther, at.StatusCode, at.body)
	page := b.get(at.Header.Get("Location"))
	require.Equal(b.t, http.StatusOK, page.StatusCode, page.body)
	fields := page.fields(b.t)
	fields.Set("password", password)
	return b.post("/campaign/login", fields)
}

func TestGateFlow(t *testing.T) {
	p := newProtectedSite(t, nil)
	b := p.browser(t)
	purl := "/campaign/ann?xmpmedia=Web&x=%2F%2Fevil.example"

	at := b.get(purl)
	assert.Equal(t, http.StatusSeeOther, at.StatusCode)
	login, err := url.Parse(at.Header.Get("Location"))
	require.NoError(t, err)
	assert.Equal(t, "/campaign/login", login.Path)
	assert.Empty(t, login.Host)
	assert.Equal(t, "ann", login.Query().Get("rid"))
	assert.Zero(t, p.seen.Load(), "the site must not be asked")

	bad := b.signIn(purl, "wrong")
	assert.Equal(t, http.StatusForbidden, bad.StatusCode)
	assert.Contains(t, bad.body, "not correct")
	assert.NotContains(t, bad.body, "wrong", "what was typed must not come back")

	good := b.signIn(purl, annPassword)
	require.Equal(t, http.StatusSeeOther, good.StatusCode, good.body)
	assert.Equal(t, purl, good.Header.Get("Location"))
	own := b.get(purl)
	assert.Equal(t, http.StatusOK, own.StatusCode)
	assert.Equal(t, `site path=/campaign/ann who=ann user=ann@example.com password="" signed=true cookies=[]`, own.body)
	assert.Equal(t, "private, no-store", own.Header.Get("Cache-Control"))
	assert.Equal(t, "same-origin", own.Header.Get("Referrer-Policy"))

	for _, page := range []string{"/campaign/", "/campaign/offers.html", "/campaign/enroll", "/campaign/deep/er", "/campaign/index.html?RID=ann", "/campaign/index.html?rid=ann&Rid=ann&IID=7"} {
		a := b.get(page)
		assert.Equal(t, http.StatusOK, a.StatusCode, page)
		assert.Contains(t, a.body, "who=ann", page)
	}

	a := b.get("/campaign/css/site.css")
	assert.Contains(t, a.body, "signed=false", "a public file is nobody's")
	assert.Empty(t, a.Header.Get("Cache-Control"))

	// Another recipient's PURL leads to that one's sign-in, and shows nothing.
	for _, page := range []string{"/campaign/bob", "/campaign/index.html?rid=bob", "/campaign/offers.html?RiD=bob", "/campaign/unknown"} {
		before := p.seen.Load()
		a := b.get(page)
		assert.Equal(t, http.StatusSeeOther, a.StatusCode, page)
		assert.Contains(t, a.Header.Get("Location"), "/campaign/login?", page)
		assert.Equal(t, before, p.seen.Load(), page)
	}
	a = b.post("/campaign/index.html?rid=bob", nil)
	assert.Equal(t, http.StatusForbidden, a.StatusCode)

	// One nanosecond before the hour is over, and when it is.
	p.clock.add(time.Hour - 1)
	assert.Equal(t, http.StatusOK, b.get(purl).StatusCode)
	p.clock.add(1)
	over := b.get("/campaign/offers.html")
	assert.Equal(t, http.StatusSeeOther, over.StatusCode)
	page := b.get(over.Header.Get("Location"))
	assert.Contains(t, page.body, "sign in again")
	assert.Contains(t, page.body, leftPicture)
	fields := page.fields(t)
	assert.Equal(t, "ann", fields.Get("rid"))
	fields.Set("password", annPassword)
	good = b.post("/campaign/login", fields)
	assert.Equal(t, "/campaign/offers.html", good.Header.Get("Location"))
	assert.Equal(t, http.StatusOK, b.get("/campaign/offers.html").StatusCode)

	// Whoever is signed in need not see the form.
	assert.Equal(t, http.StatusSeeOther, b.get("/campaign/login?rid=ann").StatusCode)

	out := b.get("/campaign/signout")
	assert.Contains(t, out.body, `action="/campaign/signout"`)
	out = b.post("/campaign/signout", nil)
	assert.Equal(t, http.StatusSeeOther, out.StatusCode)
	out = b.get(out.Header.Get("Location"))
	assert.Contains(t, out.body, "signed out")
	assert.Contains(t, out.body, leftPicture)
	assert.Equal(t, http.StatusSeeOther, b.get(purl).StatusCode)
	assert.Equal(t, http.StatusForbidden, b.get("/campaign/offers.html").StatusCode)

	assert.Equal(t, []securl.EventKind{securl.EventFailed, securl.EventSignedIn, securl.EventExpired, securl.EventSignedIn, securl.EventSignedOut}, p.events.kinds())
}

// leftPicture is what lets browsers forget the pages that a back button would show.
const leftPicture = `<img src="/campaign/signout?left"`

// TestGateLetsBrowsersForget: each time, a cookie changes that scripts cannot read, and nothing
// else. What that does is for a browser to show, see examples/protected-site.
func TestGateLetsBrowsersForget(t *testing.T) {
	p := newProtectedSite(t, nil)
	b := p.browser(t)
	b.signIn("/campaign/ann", annPassword)
	assert.NotContains(t, b.get(b.get("/campaign/bob").Header.Get("Location")).body, "<img", "nothing has ended")
	var values []string
	for range 2 {
		a := b.get("/campaign/signout?left")
		assert.Equal(t, http.StatusNoContent, a.StatusCode)
		require.Len(t, a.Cookies(), 1)
		c := a.Cookies()[0]
		assert.True(t, c.Secure && c.HttpOnly)
		assert.Contains(t, c.Name, "__Host-")
		values = append(values, c.Value)
	}
	assert.NotEqual(t, values[0], values[1])
	assert.Equal(t, http.StatusOK, b.get("/campaign/ann").StatusCode, "still signed in")
	p.clock.add(securl.Lifetime)
	for _, link := range []string{"/campaign/ann", "/campaign/bob"} {
		assert.Contains(t, b.get(b.get(link).Header.Get("Location")).body, `<img src="/campaign/signout?left"`, "whoever comes next")
	}
	late := b.post("/campaign/index.html?rid=ann", nil)
	assert.Equal(t, http.StatusForbidden, late.StatusCode)
	assert.Contains(t, late.body, leftPicture, "a form that comes too late")
	assert.NotContains(t, p.browser(t).get("/campaign/login?rid=ann").body, "<img", "there was no session")
	assert.NotContains(t, p.browser(t).post("/campaign/ann", nil).body, "<img", "nor here")
}

// TestGateSlashAtTheEnd: a PURL is the same with a slash behind it, and so is every other name.
func TestGateSlashAtTheEnd(t *testing.T) {
	p := newProtectedSite(t, func(g *securl.Gate) { g.Pages = []string{"enroll", "more/"} })
	b := p.browser(t)
	good := b.signIn("/campaign/ann/?x=1", annPassword)
	require.Equal(t, http.StatusSeeOther, good.StatusCode, good.body)
	assert.Equal(t, "/campaign/ann/?x=1", good.Header.Get("Location"))
	assert.Contains(t, b.get("/campaign/ann/?x=1").body, "path=/campaign/ann/ who=ann")
	assert.Contains(t, b.get("/campaign/ann").body, "who=ann")
	for _, page := range []string{"enroll", "enroll/", "more", "more/", "deep/er/"} {
		assert.Contains(t, b.get("/campaign/"+page).body, "who=ann", page)
	}
	seen := p.seen.Load()
	assert.Equal(t, http.StatusSeeOther, b.get("/campaign/bob/").StatusCode)
	assert.Equal(t, http.StatusBadRequest, b.get("/campaign/bob/?rid=ann").StatusCode)
	assert.Equal(t, seen, p.seen.Load())
	assert.Contains(t, b.get("/campaign/css/").body, "signed=false", "a public folder is nobody's")
	assert.Equal(t, http.StatusSeeOther, b.get("/campaign/login/?rid=ann").StatusCode, "the sign-in page, as without a slash")
	assert.Contains(t, b.get("/campaign/signout/").body, "Sign out")
	over := p.browser(t).get("/campaign/ann/")
	u, err := url.Parse(over.Header.Get("Location"))
	require.NoError(t, err)
	assert.Equal(t, "ann", u.Query().Get("rid"))
}

func TestGateKeysWithTricks(t *testing.T) {
	p := newProtectedSite(t, nil)
	t.Run("beyond ASCII", func(t *testing.T) {
		b := p.browser(t)
		purl := "/campaign/" + url.PathEscape("Zoé Ørsted")
		good := b.signIn(purl, "snow")
		require.Equal(t, http.StatusSeeOther, good.StatusCode)
		assert.Equal(t, purl, good.Header.Get("Location"))
		assert.Contains(t, b.get(purl).body, "who=Zoé Ørsted")
	})
	t.Run("named like the gate's page", func(t *testing.T) {
		b := p.browser(t)
		good := b.signIn("/campaign/index.html?rid=login", "awkward")
		assert.Contains(t, b.get(good.Header.Get("Location")).body, "who=login")
	})
	t.Run("instance", func(t *testing.T) {
		b := p.browser(t)
		// What XMPL clients append to the address of a sign-in page.
		page := b.get("/campaign/login?rid=ann&IID=i%201")
		fields := page.fields(t)
		fields.Set("password", annPassword)
		good := b.post("/campaign/login", fields)
		assert.Equal(t, "/campaign/index.html?rid=ann&iid=i+1", good.Header.Get("Location"))
		at := p.browser(t).get("/campaign/index.html?iid=i%201&Rid=ann")
		u, err := url.Parse(at.Header.Get("Location"))
		require.NoError(t, err)
		assert.Equal(t, "i 1", u.Query().Get("IID"))
	})
	for _, target := range []string{
		"/campaign/login?rid=ann%0d%0aSet-Cookie:%20a=b", "/campaign/index.html?rid=a%00b", "/campaign/index.html?rid=%ff",
		"/campaign/a%0d%0ab", "/campaign/index.html?rid=" + strings.Repeat("x", 257), "/campaign/" + strings.Repeat("x", 257),
		"/campaign/index.html?rid=ann&RID=bob", "/campaign/ann?rid=bob", "/campaign/index.html?rid=ann;rid=bob", "/campaign/index.html?rid=%e2%80%ae",
		"/campaign/login?rid=ann&rid=bob", "/campaign/login",
	} {
		b := p.browser(t)
		a := b.get(target)
		assert.Equal(t, http.StatusBadRequest, a.StatusCode, target)
		assert.Empty(t, a.Header.Get("Location"), target)
		assert.NotContains(t, a.body, "Set-Cookie", target)
		for _, c := range a.Cookies() {
			assert.NotEqual(t, "a", c.Name)
		}
	}
	assert.Zero(t, len(p.browser(t).get("/campaign/").Header.Values("Location")))
	assert.Equal(t, http.StatusForbidden, p.browser(t).get("/campaign/").StatusCode)
	assert.Equal(t, http.StatusNotFound, p.browser(t).get("/elsewhere").StatusCode)
	assert.Equal(t, "/campaign/?xmpsrc=E1", p.browser(t).get("/campaign?xmpsrc=E1").Header.Get("Location"))
}

func TestGateCookies(t *testing.T) {
	p := newProtectedSite(t, nil)
	b := p.browser(t)
	at := b.get("/campaign/ann")
	page := b.get(at.Header.Get("Location"))
	fields := page.fields(t)
	fields.Set("password", annPassword)
	good := b.post("/campaign/login", fields)
	lines := append(page.Header.Values("Set-Cookie"), good.Header.Values("Set-Cookie")...)
	require.Len(t, lines, 4) // the form's, the device's, the form's end, the session's
	for _, line := range lines {
		assert.True(t, strings.HasPrefix(line, "__Host-securl-"), line)
		for _, want := range []string{"; Path=/;", "; HttpOnly", "; Secure", "; SameSite=Lax"} {
			assert.Contains(t, line+";", want)
		}
		assert.NotContains(t, strings.ToLower(line), "domain=")
		assert.NotContains(t, line, annPassword)
	}
	session := good.Cookies()[2]
	assert.Zero(t, session.MaxAge)
	token, _, _ := strings.Cut(session.Value, ".")
	raw, err := base64.RawURLEncoding.DecodeString(token)
	require.NoError(t, err)
	assert.Len(t, raw, 32)
}

// TestGateStoresHashes looks at what a store is given: nothing in it may open a session.
func TestGateStoresHashes(t *testing.T) {
	store := &spyStore{Sessions: new(securl.MemorySessions)}
	p := newProtectedSite(t, func(g *securl.Gate) { g.Sessions = store; store.Sessions.(*securl.MemorySessions).Now = g.Now })
	b := p.browser(t)
	good := b.signIn("/campaign/ann", annPassword)
	var cookie string
	for _, c := range good.Cookies() {
		if c.Name == cookieName {
			cookie = c.Value
		}
	}
	token, _, _ := strings.Cut(cookie, ".")
	require.Len(t, token, 43)
	require.NotEmpty(t, store.committed)
	for key, value := range store.committed {
		assert.Len(t, key, 43)
		assert.NotContains(t, key+value, token)
		assert.NotContains(t, value, annPassword)
		assert.NotContains(t, value, p.gate.Recipients.(recipients)["ann"].Password)
		// Neither a key nor a value opens anything.
		for _, try := range []string{key, value} {
			thief := p.browser(t)
			r := thief.request("GET", "/campaign/offers.html", nil)
			r.Header.Set("Cookie", cookieName+"="+url.QueryEscape(try))
			assert.NotEqual(t, http.StatusOK, thief.do(r).StatusCode)
		}
	}
}

type spyStore struct {
	securl.Sessions
	mu        sync.Mutex
	committed map[string]string
}

func (s *spyStore) Commit(key string, value []byte, expiry time.Time) error {
	s.mu.Lock()
	if s.committed == nil {
		s.committed = map[string]string{}
	}
	s.committed[key] = string(value)
	s.mu.Unlock()
	return s.Sessions.Commit(key, value, expiry)
}

// anyCase is a lookup as databases do it.
type anyCase struct{ recipients }

func (c anyCase) Recipient(ctx context.Context, rid string) (securl.Recipient, error) {
	return c.recipients.Recipient(ctx, strings.ToLower(rid))
}

// TestGateOtherSpelling opens a PURL that was typed by hand, where the database ignores case.
func TestGateOtherSpelling(t *testing.T) {
	p := newProtectedSite(t, func(g *securl.Gate) { g.Recipients = anyCase{campaign(t)} })
	b := p.browser(t)
	good := b.signIn("/campaign/ANN", annPassword)
	assert.Equal(t, "/campaign/ANN", good.Header.Get("Location"))
	for _, purl := range []string{"/campaign/ANN", "/campaign/ann", "/campaign/index.html?rid=Ann"} {
		assert.Contains(t, b.get(purl).body, "who=ann", purl)
	}
	for _, purl := range []string{"/campaign/BOB", "/campaign/%C3%A4nn"} {
		assert.Equal(t, http.StatusSeeOther, b.get(purl).StatusCode, purl)
	}
}

// TestGateContextEnds: what a site streams must not outlast the session.
func TestGateContextEnds(t *testing.T) {
	clock := newGateClock()
	var left time.Duration
	gate := securl.Gate{Recipients: campaign(t), Base: "/campaign/", Now: clock.now, Lifetime: 10 * time.Minute}
	h, err := gate.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		end, ok := r.Context().Deadline()
		require.True(t, ok)
		left = time.Until(end)
	}))
	require.NoError(t, err)
	server := httptest.NewTLSServer(h)
	defer server.Close()
	ca := testca.MustNew(t)
	p := &protectedSite{ca: ca, server: server}
	b := p.browser(t)
	b.client.Transport = server.Client().Transport
	b.signIn("/campaign/ann", annPassword)
	clock.add(9 * time.Minute)
	assert.Equal(t, http.StatusOK, b.get("/campaign/ann").StatusCode)
	assert.Positive(t, left)
	assert.LessOrEqual(t, left, time.Minute)
}

// TestGateKeepsSecrets looks for what must not be told in everything that is: events, pages,
// headers and errors.
func TestGateKeepsSecrets(t *testing.T) {
	p := newProtectedSite(t, nil)
	stored := p.gate.Recipients.(recipients)["ann"].Password
	var told strings.Builder
	note := func(a reply) reply {
		fmt.Fprintf(&told, "%v %s", a.Header, a.body)
		return a
	}
	b := p.browser(t)
	b.signIn("/campaign/ann", "planted-wrong-password")
	fields := b.get("/campaign/login?rid=ann").fields(t)
	for i := range 8 {
		fields.Set("password", fmt.Sprint("planted-wrong-password", i))
		note(b.post("/campaign/login", fields))
	}
	p.clock.add(time.Hour)
	fields.Set("password", annPassword)
	good := b.post("/campaign/login", fields)
	value := good.cookie(cookieName)
	require.NotEmpty(t, value)
	note(b.get("/campaign/ann"))
	note(b.get("/campaign/bob"))
	note(b.get("/campaign/signout"))
	note(b.post("/campaign/signout", nil))
	fmt.Fprintf(&told, "%+v", p.events.all)
	require.NotEmpty(t, p.events.all)
	for _, secret := range []string{"planted-wrong-password", annPassword, stored, value[:43]} {
		assert.NotContains(t, told.String(), secret)
	}
	for _, e := range p.events.all {
		assert.NotContains(t, e.Kind.String(), "(")
		assert.NotContains(t, e.Reason.String(), "(")
	}
	assert.Equal(t, "event(0)", securl.EventKind(0).String())
	assert.Equal(t, "reason(99)", securl.Reason(99).String())
}
