package securl

import (
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/connsec/connsec/circlehttps"
)

func testAPI() *xmplAPI {
	return &xmplAPI{XMPL: XMPL{PasswordADOR: "Password", AccessToken: "t"}, foldedPassword: "password", site: &site{base: "/campaign/", public: []string{"pub/"}, pages: []string{"enroll"}}}
}

func TestSiteRecipient(t *testing.T) {
	for address, want := range map[string]string{
		"":                                       "",
		"https://a.example/campaign/Ann.Lee":     "Ann.Lee",
		"https://a.example/campaign/Ann.Lee?x=1": "Ann.Lee",
		"https://a.example/campaign/Ann.Lee/":    "Ann.Lee",
		"https://a.example/campaign/pub/":        "", // a public folder
		"https://a.example/campaign/enroll/":     "",
		"https://a.example/campaign/index.html?rid=Ann.Lee&iid=7":   "Ann.Lee",
		"https://a.example/campaign/index.html?IID=7&RID=Ann.Lee":   "Ann.Lee",
		"https://a.example/campaign/Zo%C3%A9%20%C3%98rsted":         "Zoé Ørsted",
		"https://a.example/campaign/index.html?rid=Zo%C3%A9+%C3%98": "Zoé Ø",
		"https://a.example/campaign/index.html?rid=a%2541":          "a%41", // decoded once
		"https://a.example/campaign/index.html?rid=a%2Fb":           "a/b",  // in a parameter, it is no path
		"https://a.example/campaign/Ann#/?rid=bob":                  "Ann",
		"https://a.example/campaign/":                               "",
		"https://a.example/campaign/enroll":                         "",
		"https://a.example/campaign/offers.html":                    "",
		"https://a.example/campaign/a/b":                            "",
		"https://a.example/elsewhere/Ann":                           "",
		"https://a.example":                                         "",
		"/campaign/Ann":                                             "Ann",
	} {
		got, err := testAPI().siteRecipient(address)
		require.NoError(t, err, address)
		assert.Equal(t, want, got, address)
	}
	for _, address := range []string{
		"https://a.example/campaign/a%0ab", "https://a.example/campaign/index.html?rid=a%00b", "https://a.example/campaign/a%2fb", "https://a.example/campaign/..%2fx",
		"https://a.example/campaign/a%25b", "https://a.example/campaign/Ann?rid=bob", "https://a.example/campaign/index.html?rid=a&rid=b", "https://a.example/campaign/%ff",
		"https://a.example/campaign/index.html?rid=%zz", "javascript:alert(1)", "https://a.example/campaign/" + strings.Repeat("a", 300), "https://" + strings.Repeat("a", 9<<10),
		"https://a.example/campaign/%E2%80%AEann",
	} {
		got, err := testAPI().siteRecipient(address)
		require.Error(t, err, address)
		assert.Empty(t, got)
	}
}

// TestSiteRecipientRoundTrip: what pages are addressed with comes back, in both forms.
func TestSiteRecipientRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rid := rapid.StringOfN(rapid.RuneFrom(nil, unicode.Letter, unicode.Digit, unicode.Pd, unicode.Sm), 1, 30, maxRID).Draw(t, "rid")
		if !validRID(rid) || fileName(rid) || rid == "enroll" {
			return
		}
		u := url.URL{Scheme: "https", Host: "a.example", Path: "/campaign/" + rid}
		for _, address := range []string{u.String(), "https://a.example/campaign/index.html?rid=" + url.QueryEscape(rid)} {
			got, err := testAPI().siteRecipient(address)
			if err != nil || got != rid {
				t.Fatalf("%q: %q, %v", address, got, err)
			}
		}
	})
}

func FuzzSiteRecipient(f *testing.F) {
	f.Add("https://a.example/campaign/Ann.Lee?x=%41")
	f.Add("https://a.example/campaign/index.html?rid=a%2541&iid=7")
	f.Add("https://a.example/campaign/%2e%2e%2fx#?rid=b")
	f.Fuzz(func(t *testing.T, address string) {
		rid, err := testAPI().siteRecipient(address)
		if err != nil || rid == "" {
			assert.Empty(t, rid)
			return
		}
		assert.LessOrEqual(t, len(rid), maxRID)
		assert.True(t, utf8.ValidString(rid))
		assert.False(t, strings.ContainsFunc(rid, unicode.IsControl), "%q", rid)
		// Decoded once: the address that the key makes gives the key again, and no other.
		again, err := testAPI().siteRecipient("https://a.example/campaign/index.html?rid=" + url.QueryEscape(rid))
		require.NoError(t, err)
		assert.Equal(t, rid, again)
	})
}

func FuzzParseXMPL(f *testing.F) {
	f.Add([]byte(`{"City":"Rome","XMPie.Web.NewPassword":"x","n":1.50,"b":true,"z":null}`))
	f.Add([]byte(`{"Pa\u00dfword":"x"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var in map[string]json.RawMessage
		if parseXMPL(body, &in) != nil {
			return
		}
		x := testAPI()
		c, err := x.parseChange(in)
		if err != nil {
			assert.Empty(t, c.values)
			return
		}
		for name, value := range c.values {
			assert.True(t, x.writable(name), "%q", name)
			assert.NotEqual(t, "password", strings.ToLower(strings.TrimSpace(name)))
			assert.LessOrEqual(t, len(value), maxValue)
			assert.True(t, utf8.ValidString(value))
			assert.NotContains(t, value, "\x00")
		}
	})
}

func TestFoldName(t *testing.T) {
	for _, same := range []string{"Password", "PASSWORD", "pass word", "[Password]", "Ｐａｓｓｗｏｒｄ", "paßword", "PAẞWORD", "Рassωord", "ρassword", "pàsswörd", "paſſword", "pass\u200dword"} {
		assert.Equal(t, "password", foldName(same), "%q", same)
	}
	for _, other := range []string{"Passport", "Pass", "Password2", "MyPassword"} {
		assert.NotEqual(t, "password", foldName(other))
	}
}

func TestCustomScript(t *testing.T) {
	src, err := CustomScript("https://Domain/Site/login.html")
	require.NoError(t, err)
	assert.Equal(t, "var xmpcustom = {\n\tloginUrl: 'https://Domain/Site/login.html'\n}", string(src))
	for _, bad := range []string{"", " ", "http://a.example/login", "login.html?a", "login.html#a", "https://u:p@a.example/", "javascript:alert(1)", "https://["} {
		_, err := CustomScript(bad)
		require.Error(t, err, bad)
	}
}

// TestScriptsRoundTrip reads what is served with the parser of the site scanner, which is built
// on another lexer.
func TestScriptsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringOf(rapid.SampledFrom([]rune("'\"\\`<>/&\u2028\u2029\r\n\x00é😀a*")))).Draw(t, "text")
		text = strings.ToValidUTF8(text, "")
		c, err := circlehttps.ParseCustom("xmpcustom.js", []byte("var xmpcustom = {\n\tloginUrl: "+jsString(text)+"\n}"))
		if err != nil || c.LoginURL.Text != text {
			t.Fatalf("%q came back as %q, %v", text, c.LoginURL.Text, err)
		}
	})
	const token = "30000001-0000-4000-8000-abc000000001_30000002-0000-4000-8000-abc000000002_0123456789abcdef0123456789abcdef"
	f, err := circlehttps.ParseConfig("xmpcfg.js", configScript(token, DefaultPrefix, `Fran's "Spring"</script>`))
	require.NoError(t, err)
	require.Len(t, f.Definitions, 1)
	d := f.Definitions[0]
	assert.Equal(t, token, d.AccessToken.Reveal())
	assert.Equal(t, "30000002-0000-4000-8000-abc000000002", d.ProjectID.Text)
	assert.Equal(t, DefaultPrefix, d.URL.Text)
	assert.Equal(t, `var xmpcfg = {access: { accessToken: 'a_b_c', url: '/x', circleProjectID:'b', circleProjectName: 'Spring' }};`, string(configScript("a_b_c", "/x", "Spring")),
		"the line that Circle writes")
}

func FuzzJSString(f *testing.F) {
	f.Add("it's </script>\\\u2028")
	f.Fuzz(func(t *testing.T, text string) {
		quoted := jsString(text)
		for i := range len(quoted) {
			assert.True(t, quoted[i] >= ' ' && quoted[i] < 0x7f && !strings.ContainsRune("<>&\"`", rune(quoted[i])))
		}
		if utf8.ValidString(text) {
			assert.Equal(t, text, scriptStrings("xmpcustom={loginUrl:"+quoted+"}", "xmpcustom", "loginUrl")["loginUrl"])
		}
	})
}

// TestEndOthers: a change of password leaves the session that made it, and undoes no sign-out.
func TestEndOthers(t *testing.T) {
	ctx := t.Context()
	d, err := Gate{Recipients: endlessPeople{}}.door()
	require.NoError(t, err)
	enter := func() (string, session) {
		epoch, err := d.epoch(ctx, "k1")
		require.NoError(t, err)
		now := d.clock.now()
		s := session{rid: "k1", created: now, expires: now.Add(d.lifetime), epoch: max(now.UnixNano(), epoch+1)}
		token, err := d.commit(ctx, &s)
		require.NoError(t, err)
		return token, s
	}
	alive := func(token string) bool {
		_, err := d.session(ctx, token)
		return err == nil
	}
	mine, s := enter()
	other, _ := enter()
	end := func() {
		_, err := d.endOthers(ctx, s)
		require.NoError(t, err)
	}
	end()
	assert.True(t, alive(mine))
	assert.False(t, alive(other))

	// Signed out while it still thinks of the session as it was.
	require.NoError(t, d.signOut(ctx, s))
	assert.False(t, alive(mine))
	later, _ := enter()
	end()
	assert.False(t, alive(mine), "what was signed out stays so")
	assert.False(t, alive(later), "and the others end all the same")
}

// strictStore does nothing for a request that is over, as stores that talk to a server do.
type strictStore struct{ *MemorySessions }

func (s strictStore) FindCtx(ctx context.Context, key string) ([]byte, bool, error) {
	if ctx.Err() != nil {
		return nil, false, ctx.Err()
	}
	return s.Find(key)
}

func (s strictStore) CommitCtx(ctx context.Context, key string, value []byte, expiry time.Time) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return s.Commit(key, value, expiry)
}

func (s strictStore) DeleteCtx(ctx context.Context, key string) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return s.Delete(key)
}

// leaving are ADORs whose visitor goes away as soon as a value is written.
type leaving struct{ leave func() }

func (leaving) Values(context.Context, string, []string) (map[string]string, error) { return nil, nil }

func (l leaving) SetValues(context.Context, string, map[string]string) error {
	l.leave()
	return nil
}

// TestLeaveAfterPasswordChange: who changes a password and closes the page has ended the other
// sessions all the same.
func TestLeaveAfterPasswordChange(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	g := Gate{Recipients: crowd(t), Name: "test", Sessions: strictStore{new(MemorySessions)},
		XMPL: &XMPL{ADORs: leaving{cancel}, AccessToken: "project", PasswordADOR: "Password"}}
	h, err := g.Handler(nopHandler{})
	require.NoError(t, err)
	d := h.(*guard).door
	mine, _, err := d.signIn(t.Context(), try("ann", pass))
	require.NoError(t, err)
	other, _, err := d.signIn(t.Context(), try("ann", pass))
	require.NoError(t, err)
	r := httptest.NewRequestWithContext(ctx, "PUT", "https://example.com"+DefaultPrefix+"/v1/projects/project/adorValues",
		strings.NewReader(`{"XMPie.Web.NewPassword":"quite another horse","XMPie.Web.ExistingPassword":"`+pass+`"}`))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(tokenHeader, mine)
	h.ServeHTTP(httptest.NewRecorder(), r)
	require.Error(t, ctx.Err(), "the value was written")
	_, err = d.session(t.Context(), other)
	require.ErrorIs(t, err, errNoSession)
	_, err = d.session(t.Context(), mine)
	require.NoError(t, err)
}

// TestCrashInPasswordChange takes the program away at each of its steps: from the moment on in which
// the new password is stored, no session of the old one is left but that of who changed it.
func TestCrashInPasswordChange(t *testing.T) {
	crash := errors.New("crash")
	for step := range 6 {
		store := &crashingStore{MemorySessions: new(MemorySessions), at: -1}
		log := &eventLog{}
		d := newDoor(t, Gate{Sessions: store, Observe: log.observe})
		mine, s, err := d.signIn(t.Context(), try("ann", pass))
		require.NoError(t, err)
		other, _, err := d.signIn(t.Context(), try("ann", pass))
		require.NoError(t, err)
		alive := func(token string) bool {
			_, err := d.session(t.Context(), token)
			return err == nil
		}
		log.take()
		stored := false
		store.at = step
		err = d.endingOthers(t.Context(), s, func() error {
			if store.crashed() {
				return crash
			}
			stored = true
			return nil
		})
		store.at = -1
		if step == 5 {
			require.NoError(t, err, "there are five")
			assert.True(t, alive(mine))
			assert.Len(t, log.take(), 1)
		} else {
			require.Error(t, err)
		}
		assert.False(t, stored && alive(other), "step %d", step)
		assert.Equal(t, step >= 3, stored, "step %d", step)
	}
	// A password that is not stored has ended them all the same, and the log says so.
	log := &eventLog{}
	d := newDoor(t, Gate{Observe: log.observe})
	_, s, err := d.signIn(t.Context(), try("ann", pass))
	require.NoError(t, err)
	other, _, err := d.signIn(t.Context(), try("ann", pass))
	require.NoError(t, err)
	log.take()
	require.ErrorIs(t, d.endingOthers(t.Context(), s, func() error { return crash }), crash)
	_, err = d.session(t.Context(), other)
	require.ErrorIs(t, err, errNoSession)
	events := log.take()
	require.Len(t, events, 1)
	assert.Equal(t, EventSignedOut, events[0].Kind)

	// What the old password does between the two is undone, too.
	d = newDoor(t, Gate{})
	mine, s, err := d.signIn(t.Context(), try("ann", pass))
	require.NoError(t, err)
	var between string
	require.NoError(t, d.endingOthers(t.Context(), s, func() (err error) {
		between, _, err = d.signIn(t.Context(), try("ann", pass))
		return err
	}))
	_, err = d.session(t.Context(), between)
	require.ErrorIs(t, err, errNoSession)
	_, err = d.session(t.Context(), mine)
	require.NoError(t, err)
}

// crashingStore ends with the program at one of the writes that come; -1: it does not.
type crashingStore struct {
	*MemorySessions
	at int
}

func (s *crashingStore) crashed() bool {
	if s.at < 0 {
		return false
	}
	if s.at == 0 {
		return true // and nothing that comes later happens
	}
	s.at--
	return false
}

func (s *crashingStore) Commit(key string, value []byte, expiry time.Time) error {
	if s.crashed() {
		return errors.New("crash")
	}
	return s.MemorySessions.Commit(key, value, expiry)
}
