package securl_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/securl"
)

const (
	projectToken = "30000001-0000-4000-8000-abc000000001_30000002-0000-4000-8000-abc000000002_0123456789abcdef0123456789abcdef"
	xmplPrefix   = "/XMPieXMPL_REST_API/v1/projects/"
)

// database is a campaign's table as Recipients and ADORs, for two hands at a time. Names of
// columns are compared as SQL Server does in a collation without case.
type database struct {
	mu   sync.Mutex
	rows map[string]map[string]string
	fail error
}

func newDatabase(t testing.TB) *database {
	d := &database{rows: map[string]map[string]string{}}
	for id, r := range campaign(t) {
		d.rows[id] = map[string]string{"Password": r.Password, "User": r.UserName, "First": "First of " + id, "City": "Oslo"}
	}
	return d
}

func (d *database) Recipient(_ context.Context, rid string) (securl.Recipient, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	row, ok := d.rows[rid]
	if !ok {
		return securl.Recipient{}, securl.ErrNoRecipient
	}
	return securl.Recipient{ID: rid, UserName: row["User"], Password: row["Password"]}, nil
}

func (d *database) Values(_ context.Context, rid string, names []string) (map[string]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil {
		return nil, d.fail
	}
	out := map[string]string{}
	for column, v := range d.rows[rid] {
		if len(names) == 0 {
			out[column] = v
		}
		for _, n := range names {
			if strings.EqualFold(strings.TrimRight(n, " "), column) {
				out[n] = v
			}
		}
	}
	return out, nil
}

func (d *database) SetValues(_ context.Context, rid string, values map[string]string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil {
		return d.fail
	}
	maps.Copy(d.rows[rid], values)
	return nil
}

func (d *database) column(rid, name string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rows[rid][name]
}

// open is a database that takes registrations.
type open struct{ *database }

func (d open) Register(_ context.Context, values map[string]string) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	rid := "new." + values["First"]
	if _, taken := d.rows[rid]; taken {
		return "", securl.ErrNotAccepted
	}
	d.rows[rid] = maps.Clone(values)
	return rid, nil
}

func withXMPL(d *database, change func(*securl.XMPL)) func(*securl.Gate) {
	return func(g *securl.Gate) {
		g.Recipients = d
		g.XMPL = &securl.XMPL{ADORs: d, AccessToken: projectToken, PasswordADOR: "Password", ReadOnly: []string{"User"}, ProjectName: "Spring"}
		if change != nil {
			change(g.XMPL)
		}
	}
}

// pageScript is a script in a page that talks to the interface, as the XMPL library does: with a token
// in a header, and nothing by cookie unless it has a jar.
type pageScript struct {
	t      testing.TB
	client *http.Client
	url    string
	token  string
	header map[string]string
}

func (p *protectedSite) page(t testing.TB) *pageScript {
	b := p.browser(t)
	b.client.Jar = nil
	return &pageScript{t: t, client: b.client, url: p.server.URL}
}

type xmplReply struct {
	status         int
	header         http.Header
	text           string
	ErrorCode      int
	DisplayMessage string
	RecipientID    string
	Login          struct{ RecipientID, ServiceToken string }
	Result         map[string]string
	SecurityToken  string
	Values         map[string]string
}

func (p *pageScript) call(method, path string, body any) xmplReply {
	p.t.Helper()
	var in io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		in = strings.NewReader(b)
	default:
		raw, err := json.Marshal(b)
		require.NoError(p.t, err)
		in = strings.NewReader(string(raw))
	}
	req, err := http.NewRequest(method, p.url+path, in)
	require.NoError(p.t, err)
	if body != nil {
		req.Header.Set("Content-Type", "application/json;charset=utf-8") // as AngularJS sends it
	}
	if p.token != "" {
		req.Header.Set("xmpSecurityToken", p.token)
	}
	for k, v := range p.header {
		req.Header.Set(k, v)
	}
	resp, err := p.client.Do(req)
	require.NoError(p.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(p.t, err)
	r := xmplReply{status: resp.StatusCode, header: resp.Header, text: string(text)}
	_ = json.Unmarshal(text, &r)
	return r
}

func (p *pageScript) signIn(rid, password string) xmplReply {
	p.t.Helper()
	r := p.call("POST", xmplPrefix+"auth/signIn", map[string]any{"RecipientID": rid, "AccessToken": projectToken + "_gate", "Password": password, "SiteURL": p.url + "/campaign/login?rid=" + url.QueryEscape(rid)})
	if r.status == http.StatusOK {
		p.token = r.SecurityToken
	}
	return r
}

// open is the first call of a page at a path of the site.
func (p *pageScript) open(path string, adors ...string) xmplReply {
	p.t.Helper()
	q := url.Values{"login": {"true"}, "siteURL": {p.url + path}, "adors": adors, "ieNoCache": {"1700000000000"}}
	return p.call("GET", xmplPrefix+projectToken+"/adorValues/context?"+q.Encode(), nil)
}

func (p *pageScript) get(query url.Values) xmplReply {
	p.t.Helper()
	return p.call("GET", xmplPrefix+projectToken+"_gate/adorValues?"+query.Encode(), nil)
}

func (p *pageScript) put(rid string, values any, adors ...string) xmplReply {
	p.t.Helper()
	return p.call("PUT", xmplPrefix+projectToken+"_gate/adorValues?"+url.Values{"rid": {rid}, "adors": adors}.Encode(), values)
}

// closed checks the answer that leads to the login page.
func closed(t testing.TB, r xmplReply, rid string) {
	t.Helper()
	assert.Equal(t, http.StatusBadRequest, r.status, r.text)
	assert.JSONEq(t, `{"ErrorCode":9,"DisplayMessage":"Unauthorized","RecipientID":`+string(must(json.Marshal(rid)))+`,"ServiceToken":""}`, r.text)
	assert.Equal(t, "application/json; charset=utf-8", r.header.Get("Content-Type"))
	assert.Equal(t, "no-store", r.header.Get("Cache-Control"))
	assert.Empty(t, r.header.Get("Access-Control-Allow-Origin"))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestXMPLStory(t *testing.T) {
	d := newDatabase(t)
	s := newProtectedSite(t, withXMPL(d, nil))
	p := s.page(t)

	// Whichever way the page is addressed, the key comes back to be signed in with.
	for _, path := range []string{"/campaign/ann", "/campaign/index.html?rid=ann", "/campaign/index.html?xmpmedia=Web&RID=ann&IID=7", "/campaign/ann?xmpsrc=Facebook#/top"} {
		closed(t, p.open(path, "First"), "ann")
	}
	closed(t, p.open("/campaign/nobody"), "nobody") // as if there were one
	closed(t, p.open("/campaign/index.html"), "")
	closed(t, p.get(url.Values{"rid": {"ann"}}), "ann")

	r := p.signIn("ann", annPassword)
	require.Equal(t, http.StatusOK, r.status, r.text)
	assert.Regexp(t, `^\{"securityToken":"[A-Za-z0-9_-]{43}"\}$`, r.text)

	r = p.open("/campaign/ann", "First", "City")
	require.Equal(t, http.StatusOK, r.status, r.text)
	assert.JSONEq(t, `{"login":{"recipientID":"ann","serviceToken":"`+projectToken+`"},"result":{"First":"First of ann","City":"Oslo"}}`, r.text)
	assert.JSONEq(t, `{"First":"First of ann"}`, p.get(url.Values{"rid": {"ann"}, "resolved": {"First"}}).text)
	assert.JSONEq(t, `{"First":"First of ann","City":"Oslo","User":"ann@example.com"}`, p.get(nil).text, "without names, all but the password")

	// Writing, and reading what changed.
	r = p.put("ann", map[string]any{"City": "Bergen", "Age": 44, "News": true, "Note": nil}, "City", "Age", "News")
	assert.JSONEq(t, `{"City":"Bergen","Age":"44","News":"true"}`, r.text)
	assert.JSONEq(t, `{}`, p.put("ann", map[string]any{"City": "Oslo"}).text)

	// Events, in the way that jQuery sends them on leaving a page.
	assert.Equal(t, http.StatusOK, p.call("POST", xmplPrefix+projectToken+"_gate/events", map[string]any{"type": "Page Visit", "recipientID": "ann"}).status)

	// The hour.
	s.clock.add(securl.Lifetime - time.Second)
	assert.Equal(t, http.StatusOK, p.open("/campaign/ann").status)
	s.clock.add(time.Second)
	closed(t, p.open("/campaign/ann"), "ann")

	// Signing out ends it everywhere, whoever the content names.
	require.Equal(t, http.StatusOK, p.signIn("ann", annPassword).status)
	other := s.page(t)
	require.Equal(t, http.StatusOK, other.signIn("ann", annPassword).status)
	require.Equal(t, http.StatusOK, p.call("POST", xmplPrefix+"auth/signOut", map[string]string{"RecipientID": "bob"}).status)
	closed(t, p.open("/campaign/ann"), "ann")
	closed(t, other.open("/campaign/ann"), "ann")
	assert.Equal(t, http.StatusOK, p.call("POST", xmplPrefix+"auth/signOut", map[string]string{}).status, "there is nothing to end")
}

func TestXMPLContext(t *testing.T) {
	s := newProtectedSite(t, withXMPL(newDatabase(t), nil))
	p := s.page(t)
	ask := func(site any, cached map[string]any) xmplReply {
		return p.call("POST", xmplPrefix+"context", map[string]any{"accessToken": projectToken, "siteURL": site, "cached": cached})
	}
	r := ask(nil, map[string]any{"serviceToken": nil, "recipientID": "ann"})
	assert.JSONEq(t, `{"serviceToken":"`+projectToken+`","recipientID":null}`, r.text, "an anonymous page, which asks for nobody")
	closed(t, ask(p.url+"/campaign/ann", nil), "ann")
	closed(t, ask(p.url+"/campaign/index.html", map[string]any{"recipientID": "ann"}), "ann")
	p.signIn("ann", annPassword)
	assert.JSONEq(t, `{"serviceToken":"`+projectToken+`","recipientID":"ann"}`, ask(p.url+"/campaign/ann", nil).text)
	closed(t, ask(p.url+"/campaign/bob", nil), "bob")
}

// TestXMPLOwnDataOnly: whatever a request says, a token opens the data of its own recipient.
func TestXMPLOwnDataOnly(t *testing.T) {
	d := newDatabase(t)
	s := newProtectedSite(t, withXMPL(d, func(x *securl.XMPL) {
		x.Trigger = func(_ context.Context, rid, _ string, _ json.RawMessage) error {
			assert.Equal(t, "ann", rid)
			return nil
		}
		x.Track = func(_ context.Context, rid string, _ map[string]any) error {
			assert.Equal(t, "ann", rid)
			return nil
		}
		x.Unsubscribe = func(_ context.Context, rid string, _ bool) error {
			assert.Equal(t, "ann", rid)
			return nil
		}
	}))
	p := s.page(t)
	require.Equal(t, http.StatusOK, p.signIn("ann", annPassword).status)
	for name, r := range map[string]xmplReply{
		"purl":        p.open("/campaign/bob", "First"),
		"parameter":   p.open("/campaign/index.html?rid=bob", "First"),
		"rid":         p.get(url.Values{"rid": {"bob"}}),
		"write":       p.put("bob", map[string]any{"City": "Rome"}),
		"event":       p.call("POST", xmplPrefix+projectToken+"/events", map[string]any{"recipientID": "bob"}),
		"trigger":     p.call("POST", xmplPrefix+projectToken+"/touchpoints/trigger", map[string]any{"touchPointID": "t", "recipientID": "bob"}),
		"unsubscribe": p.call("PUT", xmplPrefix+projectToken+"/touchpoints/trigger/unsubscribe", map[string]any{"status": true, "recipientID": "bob"}),
	} {
		t.Run(name, func(t *testing.T) { closed(t, r, "bob") })
	}
	assert.Equal(t, "Oslo", d.column("bob", "City"))
	for _, q := range []url.Values{{"rid": {"ann", "bob"}}, {"rid": {"ann"}, "RID": {"bob"}}, {"rid": {"a\nb"}}} {
		r := p.get(q)
		assert.Equal(t, http.StatusBadRequest, r.status)
		assert.NotContains(t, r.text, "First of")
	}
	for _, path := range []string{"/campaign/ann?rid=bob", "/campaign/a%00b", "/campaign/%zz", "/campaign/a%2fb"} {
		r := p.open(path)
		assert.Equal(t, http.StatusBadRequest, r.status, path)
		assert.NotContains(t, r.text, "First of")
	}
	assert.Equal(t, http.StatusOK, p.call("POST", xmplPrefix+projectToken+"/touchpoints/trigger", map[string]any{"touchPointID": "t", "recipientID": "ann"}).status)
	assert.Equal(t, http.StatusOK, p.call("PUT", xmplPrefix+projectToken+"/touchpoints/trigger/unsubscribe", map[string]any{"status": true, "recipientID": "ann"}).status)
	assert.Equal(t, http.StatusOK, p.call("POST", xmplPrefix+projectToken+"/events", map[string]any{"recipientID": "ann"}).status)

	// However the recipient is written, the caller's functions see no other.
	for _, body := range []string{`{"RecipientID":"bob"}`, `{"recipientid":"bob"}`, `{"recipientID":"ann","recipientId":"bob"}`} {
		closed(t, p.call("POST", xmplPrefix+projectToken+"/events", body), "bob")
	}
	for _, body := range []string{`{"recipientID":7}`, `{"recipientID":["bob"]}`, `{"recipientID":{"a":"bob"}}`, `{"recipientID":true}`} {
		assert.Equal(t, http.StatusBadRequest, p.call("POST", xmplPrefix+projectToken+"/events", body).status, body)
	}
	assert.Equal(t, http.StatusOK, p.call("POST", xmplPrefix+projectToken+"/events", `{"recipientID":null}`).status)

	// Without a session nothing of it is there, not even what does not exist.
	p.token = "A" + strings.Repeat("b", 42)
	for _, c := range [][2]string{{"POST", "events"}, {"POST", "touchpoints/trigger"}, {"PUT", "touchpoints/trigger/unsubscribe"}, {"GET", "asyncquery/1"}, {"GET", "assets"}, {"GET", "nothing"}} {
		var body any
		if c[0] != "GET" {
			body = map[string]any{}
		}
		closed(t, p.call(c[0], xmplPrefix+projectToken+"/"+c[1], body), "")
	}
}

// TestXMPLPasswordHidden: no spelling of the password's name reads or writes it.
func TestXMPLPasswordHidden(t *testing.T) {
	d := newDatabase(t)
	hash := d.column("ann", "Password")
	s := newProtectedSite(t, withXMPL(d, nil))
	p := s.page(t)
	require.Equal(t, http.StatusOK, p.signIn("ann", annPassword).status)
	for _, name := range []string{"Password", "PASSWORD", "password ", " Password", "Pass\u200bword", "Pa\u00dfword", "Ｐassword", "Раssword", "p\u0430ssword", "Pássword",
		"[Password]", `"Password"`, "Password\u0301", "paſſword", "Pass\u00adword", "PasswοrԀ", "Passwοrd", "XMPie.Web.NewPassword", "xmpie.web.existingpassword", "XMPie Web New Password"} {
		r := p.open("/campaign/ann", name)
		assert.Equal(t, http.StatusOK, r.status, name)
		assert.Empty(t, r.Result, name)
		assert.NotContains(t, p.get(url.Values{"adors": {name, "First"}}).text, hash, name)
		assert.NotContains(t, p.get(url.Values{"resolved": {name}}).text, hash, name)
		if name == "XMPie.Web.NewPassword" {
			continue // which is the way to change it
		}
		r = p.put("ann", map[string]any{name: "x", "City": "Rome"})
		assert.Equal(t, http.StatusForbidden, r.status, name)
	}
	assert.NotContains(t, p.get(nil).text, hash)
	assert.Equal(t, hash, d.column("ann", "Password"))
	assert.Equal(t, "Oslo", d.column("ann", "City"), "all or nothing")
	for _, name := range []string{"User", "uSER ", "XMPieRecipientKey", "xmpie anything"} {
		assert.Equal(t, http.StatusForbidden, p.put("ann", map[string]any{name: "x"}).status, name)
	}
	for _, body := range []string{`{"a\u0000b":"x"}`, `{"":"x"}`, `{"City":{"a":1}}`, `{"City":["a"]}`, `{"City":"a","city":"b"}`, `{"City":"\u0000"}`, `[]`, `{"City":"a"} {}`, `{"City":`, `null x`, "{\"City\":\"\xff\"}",
		`{"City":"` + strings.Repeat("x", 40<<10) + `"}`} {
		assert.Equal(t, http.StatusBadRequest, p.put("ann", body).status, "%.40s", body)
	}
	assert.Equal(t, "Oslo", d.column("ann", "City"))
}

func TestXMPLChangePassword(t *testing.T) {
	d := newDatabase(t)
	s := newProtectedSite(t, withXMPL(d, nil))
	p, elsewhere := s.page(t), s.page(t)
	require.Equal(t, http.StatusOK, p.signIn("ann", annPassword).status)
	require.Equal(t, http.StatusOK, elsewhere.signIn("ann", annPassword).status)
	old := d.column("ann", "Password")
	set := func(fields ...string) xmplReply {
		in := map[string]any{}
		for i := 0; i < len(fields); i += 2 {
			in[fields[i]] = fields[i+1]
		}
		return p.put("ann", in, "City")
	}
	const fresh = "quite another horse"
	for name, r := range map[string]xmplReply{
		"without the existing one": set("XMPie.Web.NewPassword", fresh),
		"wrong existing one":       set("XMPie.Web.NewPassword", fresh, "XMPie.Web.ExistingPassword", "wrong", "City", "Rome"),
	} {
		assert.Equal(t, http.StatusBadRequest, r.status, name)
		assert.Equal(t, 1, r.ErrorCode, "%s: not 9, which leads away from the form", name)
	}
	for _, weak := range []string{"", "short", "password", "12345678", strings.Repeat("x", 251)} {
		assert.Equal(t, http.StatusBadRequest, set("XMPie.Web.NewPassword", weak, "XMPie.Web.ExistingPassword", annPassword).status, "%.10s", weak)
	}
	assert.Equal(t, http.StatusBadRequest, set("XMPie.Web.NewPassword", "Ann@Example.com", "XMPie.Web.ExistingPassword", annPassword).status, "the user name")
	assert.Equal(t, http.StatusBadRequest, set("XMPie.Web.NewPassword", "pässword-of-ann", "XMPie.Web.ExistingPassword", annPassword).status, "which the method cannot hash")
	assert.Equal(t, old, d.column("ann", "Password"))
	assert.Equal(t, "Oslo", d.column("ann", "City"))

	r := set("XMPie.Web.NewPassword", fresh, "XMPie.Web.ExistingPassword", annPassword, "City", "Rome")
	require.Equal(t, http.StatusOK, r.status, r.text)
	assert.JSONEq(t, `{"City":"Rome"}`, r.text)
	want, err := securl.Hasher{}.Hash(fresh)
	require.NoError(t, err)
	assert.Equal(t, want, d.column("ann", "Password"), "hashed by the gate's method")

	assert.Equal(t, http.StatusOK, p.open("/campaign/ann").status, "who changed it stays")
	closed(t, elsewhere.open("/campaign/ann"), "ann")
	closed(t, elsewhere.signIn("ann", annPassword), "ann")
	require.Equal(t, http.StatusOK, elsewhere.signIn("ann", fresh).status)

	// The page that stayed does so until its own hour is over, and no longer.
	s.clock.add(securl.Lifetime)
	closed(t, p.open("/campaign/ann"), "ann")
}

func TestXMPLChangePasswordThrottled(t *testing.T) {
	s := newProtectedSite(t, withXMPL(newDatabase(t), nil))
	p := s.page(t)
	p.header = map[string]string{"Origin": s.server.URL}
	require.Equal(t, http.StatusOK, p.signIn("ann", annPassword).status)
	change := func(existing string) xmplReply {
		return p.put("ann", map[string]any{"XMPie.Web.NewPassword": "quite another horse", "XMPie.Web.ExistingPassword": existing})
	}
	for range 4 {
		assert.Equal(t, http.StatusBadRequest, change("guess").status)
	}
	r := change(annPassword)
	assert.Equal(t, http.StatusTooManyRequests, r.status, "a stolen session must not be a way to guess")
	assert.NotEmpty(t, r.header.Get("Retry-After"))
	assert.Equal(t, http.StatusTooManyRequests, p.signIn("ann", annPassword).status, "it is counted together with sign-ins")
}

func TestXMPLSignInThrottled(t *testing.T) {
	d := newDatabase(t)
	s := newProtectedSite(t, withXMPL(d, nil))
	p := s.page(t)
	unknown, wrong := p.signIn("nobody", "x"), p.signIn("bob", "x")
	closed(t, unknown, "nobody")
	closed(t, wrong, "bob")
	closed(t, p.signIn("none", "x"), "none")
	closed(t, p.signIn("a\nb", "x"), "")
	for range 3 {
		closed(t, p.signIn("bob", "x"), "bob")
	}
	r := p.signIn("bob", bobPassword)
	assert.Equal(t, http.StatusTooManyRequests, r.status)
	assert.Regexp(t, `^[1-9]\d*$`, r.header.Get("Retry-After"))
	assert.Contains(t, s.events.kinds(), securl.EventThrottled)

	// The same counts as on the gate's page.
	closed(t, p.call("POST", xmplPrefix+"auth/signIn", map[string]any{"AccessToken": projectToken, "Password": "x", "SiteURL": p.url + "/campaign/ann"}), "ann")
	assert.Equal(t, http.StatusBadRequest, p.call("POST", xmplPrefix+"auth/signIn", map[string]any{"RecipientID": "ann", "AccessToken": "other", "Password": annPassword}).status)
}

func TestXMPLRegister(t *testing.T) {
	d := newDatabase(t)
	s := newProtectedSite(t, withXMPL(d, func(x *securl.XMPL) { x.ADORs = open{d} }))
	p := s.page(t)
	register := func(values map[string]any) xmplReply {
		return p.call("POST", xmplPrefix+projectToken+"_gate/adorValues", map[string]any{"newRecipientValues": values, "newRecipientRetrieveADORs": []string{"First", "City", "Password"}, "newRecipientResolvedADORs": nil})
	}
	const password = "a horse of her own"
	for name, in := range map[string]map[string]any{
		"no password":       {"First": "Eva"},
		"empty password":    {"First": "Eva", "XMPie.Web.NewPassword": ""},
		"password by name":  {"First": "Eva", "Password": password},
		"an existing one":   {"First": "Eva", "XMPie.Web.NewPassword": password, "XMPie.Web.ExistingPassword": "x"},
		"a key of her wish": {"First": "Eva", "XMPie.Web.NewPassword": password, "XMPieRecipientKey": "ann"},
	} {
		r := register(in)
		assert.Contains(t, []int{http.StatusBadRequest, http.StatusForbidden}, r.status, name)
	}
	assert.Empty(t, d.column("new.Eva", "First"))

	r := register(map[string]any{"First": "Eva", "XMPie.Web.NewPassword": password})
	require.Equal(t, http.StatusOK, r.status, r.text)
	assert.Equal(t, "new.Eva", r.RecipientID)
	assert.Equal(t, map[string]string{"First": "Eva"}, r.Values)
	require.NotEmpty(t, r.SecurityToken, "the new recipient is signed in")
	want, err := securl.Hasher{}.Hash(password)
	require.NoError(t, err)
	assert.Equal(t, want, d.column("new.Eva", "Password"))
	p.token = r.SecurityToken
	assert.Equal(t, "Eva", p.open("/campaign/new.Eva", "First").Result["First"])

	// Somebody who is signed in makes a recipient for a friend, whom he must not become.
	r = register(map[string]any{"First": "Max", "XMPie.Web.NewPassword": password})
	require.Equal(t, http.StatusOK, r.status, r.text)
	assert.Equal(t, "new.Max", r.RecipientID)
	assert.Empty(t, r.SecurityToken)
	assert.NotContains(t, r.header.Get("Set-Cookie"), "securl")

	p.token = ""
	assert.Equal(t, http.StatusBadRequest, register(map[string]any{"First": "Max", "XMPie.Web.NewPassword": password}).status, "taken")
	status := 0
	for range 40 {
		status = register(map[string]any{"First": "Max", "XMPie.Web.NewPassword": password}).status
	}
	assert.Equal(t, http.StatusTooManyRequests, status, "one address cannot fill the table")

	closedDoor := newProtectedSite(t, withXMPL(d, nil)).page(t)
	assert.Equal(t, http.StatusForbidden, closedDoor.call("POST", xmplPrefix+projectToken+"/adorValues", map[string]any{}).status, "a store that cannot")
}

// TestXMPLBesideTheGate: a sign-in is one, whichever way.
func TestXMPLBesideTheGate(t *testing.T) {
	s := newProtectedSite(t, withXMPL(newDatabase(t), nil))
	b := s.browser(t)
	p := &pageScript{t: t, client: b.client, url: s.server.URL, header: map[string]string{"Sec-Fetch-Site": "same-origin"}}
	require.Equal(t, http.StatusOK, p.signIn("ann", annPassword).status)
	resp, err := b.client.Get(s.server.URL + "/campaign/ann")
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Contains(t, string(body), "who=ann", "the gate's cookie is set, too")

	p.token = ""
	assert.Equal(t, "First of ann", p.open("/campaign/ann", "First").Result["First"], "pages of the site are served by cookie")
	p.token = "C" + strings.Repeat("b", 42)
	assert.Equal(t, http.StatusOK, p.open("/campaign/ann", "First").status, "a token that the library kept too long does no harm")

	// Other sites are not, whatever the browser sends along.
	p.token = ""
	for _, from := range []map[string]string{
		{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
		{"Sec-Fetch-Site": "same-site", "Origin": "https://blog.example.com"},
		{"Origin": "https://evil.example"},
		{"Origin": "null"},
	} {
		p.header = from
		closed(t, p.open("/campaign/ann", "First"), "ann")
		assert.Equal(t, http.StatusForbidden, p.put("ann", map[string]any{"City": "Rome"}).status)
		assert.Equal(t, http.StatusForbidden, p.call("POST", xmplPrefix+"auth/signOut", map[string]any{}).status)
	}
	p.header = map[string]string{"Sec-Fetch-Site": "same-origin"}
	assert.Equal(t, http.StatusOK, p.open("/campaign/ann", "First").status)
	require.Equal(t, http.StatusOK, p.call("POST", xmplPrefix+"auth/signOut", map[string]any{}).status)
	resp, err = b.client.Get(s.server.URL + "/campaign/ann")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, http.StatusSeeOther, resp.StatusCode)
}

func TestXMPLOrigins(t *testing.T) {
	const home = "https://www.customer.example"
	s := newProtectedSite(t, withXMPL(newDatabase(t), func(x *securl.XMPL) { x.Origins = []string{home} }))
	b := s.browser(t)
	p := &pageScript{t: t, client: b.client, url: s.server.URL, header: map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": home}}
	r := p.call("OPTIONS", xmplPrefix+projectToken+"/adorValues", nil)
	assert.Equal(t, home, r.header.Get("Access-Control-Allow-Origin"))
	allowed := strings.Split(strings.ToLower(r.header.Get("Access-Control-Allow-Headers")), ", ")
	for _, name := range []string{"content-type", "xmpsecuritytoken", "accesstoken", "auth", "json", "static", "islogin", "updatestore"} {
		assert.Contains(t, allowed, name, "what versions 3 and 4 of the library send")
	}
	assert.Empty(t, r.header.Get("Access-Control-Allow-Credentials"))
	assert.Equal(t, "Origin", r.header.Get("Vary"))
	require.Equal(t, http.StatusOK, p.signIn("ann", annPassword).status)
	assert.Equal(t, home, p.open("/campaign/ann").header.Get("Access-Control-Allow-Origin"))
	assert.Equal(t, http.StatusOK, p.put("ann", map[string]any{"City": "Rome"}).status)
	p.token = ""
	r = p.open("/campaign/ann")
	assert.Equal(t, 9, r.ErrorCode, "not by cookie")
	p.header["Origin"] = "https://www.customer.example.evil.example"
	r = p.call("OPTIONS", xmplPrefix+projectToken+"/adorValues", nil)
	assert.Empty(t, r.header.Get("Access-Control-Allow-Origin"))
}

// TestXMPLLibrary4 asks as versions 4.0 and 4.1 of the published library do: in other letters, with a
// slash at the end, with the address of the page as it stands, and with the service token alone.
func TestXMPLLibrary4(t *testing.T) {
	d := newDatabase(t)
	s := newProtectedSite(t, withXMPL(d, func(x *securl.XMPL) {
		x.Trigger = func(context.Context, string, string, json.RawMessage) error { return nil }
	}))
	p := s.page(t)
	p.header = map[string]string{"auth": "true", "json": "true", "static": "false", "updateStore": "true", "Content-Type": "application/json", "xmpSecurityToken": "null"}
	first := func(query, page string) xmplReply {
		return p.call("GET", xmplPrefix+projectToken+"/adorvalues/context?ieNoCache=1&adors=First&adors=City&login=true"+query+"&siteURL="+p.url+page, nil)
	}
	const own = "/campaign/index.html?xmpmedia=Web&rid=ann"
	closed(t, first("", own), "ann")
	closed(t, first("&cachedRecipientID=null&cachedServiceToken=null", "/campaign/ann"), "ann")
	closed(t, first("&rid=null", "/campaign/offers.html"), "")
	closed(t, first("&rid=bob", "/campaign/ann"), "ann") // a key that the browser remembers from another page

	p.header["isLogin"] = "true"
	r := p.call("POST", xmplPrefix+"auth/signIn", map[string]string{"RecipientID": "ann", "AccessToken": projectToken, "Password": annPassword, "SiteURL": p.url + own})
	require.Equal(t, http.StatusOK, r.status, r.text)
	p.header["xmpSecurityToken"] = r.SecurityToken
	delete(p.header, "isLogin")

	r = first("", own)
	require.Equal(t, http.StatusOK, r.status, r.text)
	assert.Equal(t, "ann", r.Login.RecipientID)
	assert.Equal(t, map[string]string{"First": "First of ann", "City": "Oslo"}, r.Result)
	path := xmplPrefix + r.Login.ServiceToken // which stands for all
	assert.Equal(t, projectToken, r.Login.ServiceToken)
	assert.JSONEq(t, `{"City":"Oslo"}`, p.call("GET", path+"/adorvalues/?ieNoCache=1&adors=City&rid=ann&siteURL="+p.url+own, nil).text)
	assert.JSONEq(t, `{"City":"Oslo"}`, p.call("GET", path+"/adorvalues/?ieNoCache=1&adors=City&siteURL="+p.url+"/campaign/ann", nil).text)
	assert.JSONEq(t, `{"City":"Bergen"}`, p.call("PUT", path+"/adorValues?adors=City&rid=ann", map[string]string{"City": "Bergen"}).text)
	assert.Equal(t, http.StatusOK, p.call("POST", path+"/touchpoints/trigger", map[string]string{"recipientID": "ann", "touchPointID": "t"}).status)
	assert.Equal(t, http.StatusOK, p.call("POST", path+"/events", map[string]any{"recipientID": "null", "type": "Page Visit"}).status)

	// What other clients of XMPL servers ask.
	assert.Equal(t, "First of ann", p.call("GET", path+"/adorvalues/context?rid=ann&adors=First", nil).Result["First"])
	closed(t, p.call("GET", path+"/adorvalues/context?rid=bob&adors=First", nil), "bob")
	// A referred recipient on a page of one's own, or one whose address differs from the page.
	r = p.call("GET", path+"/adorvalues/?adors=First&rid=bob&siteURL="+p.url+own, nil)
	assert.Equal(t, http.StatusBadRequest, r.status, "two of them, as it seems")
	assert.NotContains(t, r.text, "First of")
	closed(t, p.call("GET", path+"/adorvalues/?adors=First&rid=bob&siteURL="+p.url+"/campaign/ann", nil), "bob")
	closed(t, p.call("GET", path+"/adorvalues/?adors=First&siteURL="+p.url+"/campaign/bob", nil), "bob")
	assert.Equal(t, http.StatusBadRequest, p.call("GET", path+"/adorvalues/?siteURL="+p.url+"/campaign/a%252fb", nil).status)

	r = p.call("POST", xmplPrefix+"context/", map[string]any{"accessToken": projectToken, "cached": map[string]any{"recipientID": "null"}})
	assert.JSONEq(t, `{"serviceToken":"`+projectToken+`","recipientID":null}`, r.text)
	assert.Equal(t, http.StatusOK, p.call("POST", xmplPrefix+"AUTH/SIGNOUT/", map[string]string{"RecipientID": "ann"}).status)
	closed(t, first("", own), "ann")
}

// TestXMPLOwnOriginListed: a site that is listed among the others is still itself.
func TestXMPLOwnOriginListed(t *testing.T) {
	x := &securl.XMPL{ADORs: newDatabase(t), AccessToken: projectToken, PasswordADOR: "Password", Origins: []string{"https://" + gateHost}}
	h, err := securl.Gate{Recipients: campaign(t), Base: "/campaign/", XMPL: x}.Handler(http.NotFoundHandler())
	require.NoError(t, err)
	for _, fetchSite := range []string{"same-origin", ""} {
		body := `{"RecipientID":"ann","AccessToken":"` + projectToken + `","Password":"` + annPassword + `"}`
		r := httptest.NewRequest("POST", "https://"+gateHost+xmplPrefix+"auth/signIn", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Origin", "https://"+gateHost)
		if fetchSite != "" {
			r.Header.Set("Sec-Fetch-Site", fetchSite)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.Equal(t, http.StatusOK, w.Code, w.Body)
		cookies := w.Result().Cookies()
		require.NotEmpty(t, cookies, "the gate's cookie is set")

		// The same page over HTTP is another one, which somebody on the path may have written.
		for origin, status := range map[string]int{"https://" + gateHost: http.StatusOK, "http://" + gateHost: http.StatusBadRequest} {
			r = httptest.NewRequest("GET", "https://"+gateHost+xmplPrefix+projectToken+"/adorValues?rid=ann", nil)
			r.Header.Set("Origin", origin)
			for _, c := range cookies {
				r.AddCookie(c)
			}
			w = httptest.NewRecorder()
			h.ServeHTTP(w, r)
			assert.Equal(t, status, w.Code, origin)
		}
	}
}

func TestXMPLRequests(t *testing.T) {
	d := newDatabase(t)
	s := newProtectedSite(t, withXMPL(d, nil))
	p := s.page(t)
	require.Equal(t, http.StatusOK, p.signIn("ann", annPassword).status)
	for name, c := range map[string]struct {
		method, path string
		body         any
		header       map[string]string
		want         int
	}{
		"another project":   {"GET", xmplPrefix + "other/adorValues", nil, nil, 400},
		"a longer token":    {"GET", xmplPrefix + projectToken + "x/adorValues", nil, nil, 400},
		"a service token":   {"GET", xmplPrefix + projectToken + "_7-a_b/adorValues", nil, nil, 200},
		"no call":           {"GET", xmplPrefix + projectToken + "/nothing", nil, nil, 404},
		"no API":            {"GET", "/XMPieXMPL_REST_API/v2/x", nil, nil, 404},
		"another method":    {"DELETE", xmplPrefix + projectToken + "/adorValues", nil, nil, 405},
		"a form":            {"PUT", xmplPrefix + projectToken + "/adorValues", "City=Rome", map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, 415},
		"plain text":        {"PUT", xmplPrefix + projectToken + "/adorValues", `{}`, map[string]string{"Content-Type": "text/plain"}, 415},
		"too large":         {"PUT", xmplPrefix + projectToken + "/adorValues", strings.Repeat(" ", 129<<10) + "{}", nil, 413},
		"too many names":    {"GET", xmplPrefix + projectToken + "/adorValues?adors=" + strings.Repeat("a,", 3) + manyNames(), nil, nil, 400},
		"too long a query":  {"GET", xmplPrefix + projectToken + "/adorValues?x=" + strings.Repeat("a", 65<<10), nil, nil, 414},
		"a name too long":   {"GET", xmplPrefix + projectToken + "/adorValues?adors=" + strings.Repeat("a", 201), nil, nil, 400},
		"no touchpoint":     {"POST", xmplPrefix + projectToken + "/touchpoints/trigger", map[string]any{"touchPointID": "x"}, nil, 400},
		"unknown fields":    {"POST", xmplPrefix + projectToken + "/events", `{"type":"x","more":{"deep":[1,2]}}`, nil, 200},
		"names with commas": {"GET", xmplPrefix + projectToken + "/adorValues?adors=First,City", nil, nil, 200},
	} {
		t.Run(name, func(t *testing.T) {
			p := *p
			p.t, p.header = t, c.header
			r := p.call(c.method, c.path, c.body)
			assert.Equal(t, c.want, r.status, r.text)
			assert.True(t, json.Valid([]byte(r.text)), r.text)
			assert.Equal(t, "no-store", r.header.Get("Cache-Control"))
		})
	}
	// The token counts in the header only.
	token := p.token
	p.token = ""
	r := p.call("GET", xmplPrefix+projectToken+"/adorValues?xmpSecurityToken="+token, nil)
	closed(t, r, "")

	// A store that does not work says so to the operator alone.
	p.token = token
	d.fail = errors.New("the table of hunter2 is gone")
	r = p.open("/campaign/ann")
	assert.Equal(t, http.StatusServiceUnavailable, r.status)
	assert.NotContains(t, r.text, "hunter2")
	assert.Contains(t, s.events.kinds(), securl.EventUnavailable)
}

func manyNames() string {
	var b strings.Builder
	for i := range 600 {
		b.WriteString("n")
		b.WriteString(strings.Repeat("x", i%7))
		b.WriteString(string(rune('a' + i%26)))
		b.WriteString(string(rune('a' + i/26)))
		b.WriteByte(',')
	}
	return b.String()
}

// TestXMPLNothingSecretIsTold greps everything that came out.
func TestXMPLNothingSecretIsTold(t *testing.T) {
	d := newDatabase(t)
	s := newProtectedSite(t, withXMPL(d, nil))
	p := s.page(t)
	var out strings.Builder
	for _, r := range []xmplReply{
		p.signIn("ann", "hunter2-wrong"), p.open("/campaign/ann"), p.put("ann", map[string]any{"Password": "hunter2-set"}),
		p.call("POST", xmplPrefix+"auth/signIn", `{"Password":"hunter2-broken`), p.get(url.Values{"adors": {"hunter2"}}),
	} {
		out.WriteString(r.text)
		for k, v := range r.header {
			out.WriteString(k + strings.Join(v, " "))
		}
	}
	s.events.mu.Lock()
	raw, err := json.Marshal(s.events.all)
	s.events.mu.Unlock()
	require.NoError(t, err)
	out.Write(raw)
	assert.NotContains(t, out.String(), "hunter2")
	assert.NotContains(t, out.String(), d.column("ann", "Password"))
}

func TestXMPLSettings(t *testing.T) {
	d := newDatabase(t)
	for want, change := range map[string]func(*securl.XMPL){
		"needs ADORs":                func(x *securl.XMPL) { x.ADORs = nil },
		"AccessToken must be":        func(x *securl.XMPL) { x.AccessToken = "a/b" },
		"name of the password":       func(x *securl.XMPL) { x.PasswordADOR = " " },
		"one of the two names":       func(x *securl.XMPL) { x.PasswordADOR = "XMPie.Web.NewPassword" },
		"Prefix is \"/x/\"":          func(x *securl.XMPL) { x.Prefix = "/x/" },
		"Prefix is \"/a/../b\"":      func(x *securl.XMPL) { x.Prefix = "/a/../b" },
		"below it":                   func(x *securl.XMPL) { x.Prefix = "/site" },
		"Origins has \"http://a.b\"": func(x *securl.XMPL) { x.Origins = []string{"http://a.b"} },
		"Origins has \"*\"":          func(x *securl.XMPL) { x.Origins = []string{"*"} },
		"it has a query":             func(x *securl.XMPL) { x.LoginURL = "login.html?a" },
		"it begins with http://":     func(x *securl.XMPL) { x.LoginURL = "http://www.example.com/login.html" },
	} {
		g := securl.Gate{Recipients: d, Base: "/site/campaign/"}
		withXMPL(d, change)(&g)
		_, err := g.Handler(http.NotFoundHandler())
		require.ErrorContains(t, err, want)
	}
}

func TestXMPLConcurrently(t *testing.T) {
	d := newDatabase(t)
	s := newProtectedSite(t, withXMPL(d, nil))
	var wg sync.WaitGroup
	for _, who := range [][2]string{{"ann", annPassword}, {"bob", bobPassword}, {"ann", annPassword}, {"bob", bobPassword}} {
		wg.Go(func() {
			p := s.page(t)
			for range 5 {
				if p.signIn(who[0], who[1]).status != http.StatusOK {
					continue
				}
				if r := p.open("/campaign/"+who[0], "First"); r.status == http.StatusOK { // or signed out by the other
					assert.Equal(t, "First of "+who[0], r.Result["First"])
				}
				p.put(who[0], map[string]any{"City": who[0]})
				p.call("POST", xmplPrefix+"auth/signOut", map[string]any{})
			}
		})
	}
	wg.Wait()
	for _, rid := range []string{"ann", "bob"} {
		assert.Contains(t, []string{rid, "Oslo"}, d.column(rid, "City"))
	}
	assert.False(t, slices.Contains(s.events.kinds(), securl.EventUnavailable))
}

// TestXMPLOwnRule: a password rule of the caller's.
func TestXMPLOwnRule(t *testing.T) {
	d := newDatabase(t)
	s := newProtectedSite(t, withXMPL(d, func(x *securl.XMPL) {
		x.AcceptPassword = func(_ context.Context, r securl.Recipient, p connsec.Secret) error {
			if r.ID == "ann" && p.Reveal() != "1234" {
				return securl.ErrNotAccepted
			}
			return nil
		}
	}))
	p := s.page(t)
	require.Equal(t, http.StatusOK, p.signIn("ann", annPassword).status)
	assert.Equal(t, http.StatusBadRequest, p.put("ann", map[string]any{"XMPie.Web.NewPassword": "long enough for anybody", "XMPie.Web.ExistingPassword": annPassword}).status)
	assert.Equal(t, http.StatusOK, p.put("ann", map[string]any{"XMPie.Web.NewPassword": "1234", "XMPie.Web.ExistingPassword": annPassword}).status)
}

// TestXMPLSlowBody: content that does not come is not waited for.
func TestXMPLSlowBody(t *testing.T) {
	s := newProtectedSite(t, withXMPL(newDatabase(t), nil))
	securl.SetFormTime(s.server.Config.Handler, time.Millisecond)
	b := s.browser(t)
	body, write := io.Pipe()
	defer write.Close()
	r := b.request("POST", xmplPrefix+"auth/signIn", body)
	r.Header.Set("Content-Type", "application/json")
	a := b.do(r)
	assert.Equal(t, http.StatusRequestTimeout, a.StatusCode)
	assert.True(t, a.Close)
}

// TestXMPLUserName: where the gate asks for user names, the interface does, too.
func TestXMPLUserName(t *testing.T) {
	d := newDatabase(t)
	s := newProtectedSite(t, func(g *securl.Gate) {
		withXMPL(d, nil)(g)
		g.Login.UserName = true
	})
	p := s.page(t)
	signIn := func(user string) xmplReply {
		r := p.call("POST", xmplPrefix+"auth/signIn", map[string]any{"RecipientID": "ann", "AccessToken": projectToken, "UserName": user, "Password": annPassword})
		p.token = r.SecurityToken
		return r
	}
	closed(t, signIn(""), "ann")
	closed(t, signIn("bob@example.com"), "ann")
	require.Equal(t, http.StatusOK, signIn("ann@example.com").status)
	r := p.put("ann", map[string]any{"XMPie.Web.NewPassword": "quite another horse", "XMPie.Web.ExistingPassword": annPassword})
	assert.Equal(t, http.StatusOK, r.status, r.text)
	closed(t, signIn("ann@example.com"), "ann")
}
