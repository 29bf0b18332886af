package securl_test

import (
	"crypto/sha256"
	"encoding/base64"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"github.com/connsec/connsec/securl"
)

// checkPage holds a page of the gate to what every one of them promises.
func checkPage(t *testing.T, a reply) *html.Node {
	t.Helper()
	h := a.Header
	assert.Equal(t, "text/html; charset=utf-8", h.Get("Content-Type"))
	assert.Equal(t, "no-store", h.Get("Cache-Control"))
	assert.Equal(t, "no-referrer", h.Get("Referrer-Policy"))
	assert.Equal(t, "DENY", h.Get("X-Frame-Options"))
	assert.Equal(t, "nosniff", h.Get("X-Content-Type-Options"))
	assert.Equal(t, "max-age=31536000", h.Get("Strict-Transport-Security"))
	assert.NotEmpty(t, h.Get("Permissions-Policy"))
	assert.Equal(t, "Accept-Language", h.Get("Vary"))

	balanced(t, a.body)
	doc, err := html.Parse(strings.NewReader(a.body))
	require.NoError(t, err)
	require.Equal(t, html.DoctypeNode, doc.FirstChild.Type)
	ids, count := map[string]bool{}, map[string]int{}
	var style, described []string
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		count[n.Data]++
		for _, at := range n.Attr {
			assert.False(t, strings.HasPrefix(at.Key, "on") || at.Key == "style" || at.Key == "src" && n.Data != "img", "%s %s", n.Data, at.Key)
			switch at.Key {
			case "id":
				assert.False(t, ids[at.Val], "two elements have the id %s", at.Val)
				ids[at.Val] = true
			case "aria-describedby", "for":
				described = append(described, at.Val)
			case "href":
				assert.Equal(t, "data:,", at.Val)
			case "action":
				assert.True(t, strings.HasPrefix(at.Val, "/campaign/"))
			}
		}
		switch n.Data {
		case "html":
			assert.Equal(t, h.Get("Content-Language"), attr(n, "lang"))
		case "img":
			assert.Equal(t, "/campaign/signout?left", attr(n, "src"))
		case "style":
			style = append(style, n.FirstChild.Data)
		case "title", "h1":
			assert.NotEmpty(t, n.FirstChild.Data)
		case "input":
			hidden := attr(n, "type") == "hidden" || slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == "hidden" })
			if !hidden {
				described = append(described, attr(n, "id"))
				assert.Contains(t, []string{"username", "current-password"}, attr(n, "autocomplete"))
				assert.Contains(t, a.body, `<label for="`+attr(n, "id")+`">`)
			}
			if attr(n, "type") == "password" {
				assert.Empty(t, attr(n, "value"))
			}
		}
	}
	for _, id := range described {
		assert.True(t, ids[id], "no element has the id %q", id)
	}
	for _, once := range []string{"html", "head", "body", "main", "h1", "title", "style"} {
		assert.Equal(t, 1, count[once], once)
	}
	for _, never := range []string{"script", "iframe", "object", "base"} {
		assert.Zero(t, count[never], never)
	}
	hash := sha256.Sum256([]byte(style[0]))
	assert.Equal(t, "default-src 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(hash[:])+
		"'; img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'", h.Get("Content-Security-Policy"))
	return doc
}

// balanced checks that every element is closed where it should be; a parser would repair it.
func balanced(t *testing.T, page string) {
	t.Helper()
	var open []string
	z := html.NewTokenizer(strings.NewReader(page))
	for {
		switch z.Next() {
		case html.ErrorToken:
			assert.Empty(t, open)
			return
		case html.StartTagToken:
			name, _ := z.TagName()
			switch string(name) {
			case "meta", "link", "input", "img":
			default:
				open = append(open, string(name))
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			require.NotEmpty(t, open)
			require.Equal(t, open[len(open)-1], string(name))
			open = open[:len(open)-1]
		}
	}
}

// focus returns the id of the element that has the focus at first.
func focus(t *testing.T, doc *html.Node) (id, describedBy string) {
	t.Helper()
	n := 0
	for e := range doc.Descendants() {
		for _, a := range e.Attr {
			if a.Key == "autofocus" {
				id, describedBy = attr(e, "id"), attr(e, "aria-describedby")
				n++
			}
		}
	}
	require.LessOrEqual(t, n, 1)
	return id, describedBy
}

func TestLoginPage(t *testing.T) {
	for _, lang := range []struct{ accept, lang, wrong, throttled, password, problem string }{
		{"en", "en", "not correct", "Too many attempts. Try again in 2 seconds.", "Password", "Error: Sign in"},
		{"fr-CA,fr;q=0.9,en;q=0.8", "fr", "pas correctes", "Trop de tentatives. Réessayez dans 2 secondes.", "Mot de passe", "Erreur\u00a0: Connexion"},
	} {
		for _, userName := range []bool{false, true} {
			t.Run(lang.lang+strconv.FormatBool(userName), func(t *testing.T) {
				p := newProtectedSite(t, func(g *securl.Gate) {
					g.Login = securl.LoginPage{UserName: userName, Brand: `<script>alert("Brand")</script>`, Help: "Lost it? Call <us>."}
				})
				b := p.browser(t)
				b.client.Transport = language{b.client.Transport, lang.accept}
				page := b.get("/campaign/login?rid=" + url.QueryEscape(`ann"><script>`))
				assert.Equal(t, http.StatusOK, page.StatusCode)
				doc := checkPage(t, page)
				assert.Equal(t, lang.lang, page.Header.Get("Content-Language"))
				assert.Contains(t, page.body, lang.password)
				assert.NotContains(t, page.body, lang.problem)
				assert.Contains(t, page.body, "&lt;script&gt;alert")
				assert.Contains(t, page.body, "Lost it? Call &lt;us&gt;.")
				assert.Equal(t, `ann"><script>`, page.fields(t).Get("rid"))
				id, by := focus(t, doc)
				assert.Equal(t, map[bool]string{false: "password", true: "user"}[userName], id)
				assert.Empty(t, by)

				fields := b.get("/campaign/login?rid=ann").fields(t)
				fields.Set("password", "wrong<secret>")
				fields.Set("user", `ann"@example.com`)
				for range 4 {
					page = b.post("/campaign/login", fields)
					assert.Equal(t, http.StatusForbidden, page.StatusCode)
				}
				doc = checkPage(t, page)
				assert.Contains(t, page.body, lang.wrong)
				assert.Contains(t, page.body, "<title>"+lang.problem, "the title is what a screen reader says first")
				assert.Contains(t, page.body, `role="alert"`)
				assert.Contains(t, page.body, `aria-invalid="true"`)
				assert.NotContains(t, page.body, "secret")
				id, by = focus(t, doc)
				assert.Equal(t, "password", id)
				assert.Equal(t, "note", by, "a screen reader must say what is wrong")
				if userName {
					assert.Equal(t, `ann"@example.com`, page.fields(t).Get("user"))
				}

				page = b.post("/campaign/login", fields)
				assert.Equal(t, http.StatusTooManyRequests, page.StatusCode)
				assert.Equal(t, "2", page.Header.Get("Retry-After"))
				checkPage(t, page)
				assert.Contains(t, page.body, lang.throttled)
				assert.NotContains(t, page.body, "aria-invalid")

				p.clock.add(2 * time.Second)
				fields.Set("password", annPassword)
				fields.Set("user", "ann@example.com")
				assert.Equal(t, http.StatusSeeOther, b.post("/campaign/login", fields).StatusCode)
			})
		}
	}
}

// language adds a header to every request.
type language struct {
	http.RoundTripper
	accept string
}

func (l language) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Accept-Language", l.accept)
	return l.RoundTripper.RoundTrip(r)
}

func TestOtherPages(t *testing.T) {
	p := newProtectedSite(t, nil)
	b := p.browser(t)
	for _, tt := range []struct {
		method, target string
		status         int
		english        string
	}{
		{"GET", "/campaign/", 403, "Your personal link is needed"},
		{"GET", "/campaign/login", 400, "Your personal link is needed"},
		{"GET", "/campaign/login?rid=%00", 400, "This link is damaged"},
		{"POST", "/campaign/ann", 403, "You are not signed in"},
		{"GET", "/elsewhere", 404, "Not found"},
		{"PUT", "/campaign/login", 405, "Not possible"},
		{"POST", "/campaign/login", 415, "Something went wrong"},
		{"GET", "/campaign/signout", 200, "You are signed out"},
	} {
		var bodies []string
		for _, accept := range []string{"en-GB", "fr"} {
			r := b.request(tt.method, tt.target, nil)
			r.Header.Set("Accept-Language", accept)
			a := b.do(r)
			assert.Equal(t, tt.status, a.StatusCode, tt.target)
			checkPage(t, a)
			bodies = append(bodies, a.body)
		}
		assert.Contains(t, bodies[0], tt.english)
		assert.NotContains(t, bodies[1], tt.english)
	}
	head := b.do(b.request("HEAD", "/campaign/login?rid=ann", nil))
	assert.Equal(t, http.StatusOK, head.StatusCode)
	assert.Empty(t, head.body)
}

func TestPageLanguage(t *testing.T) {
	h, err := securl.Gate{Recipients: campaign(t)}.Handler(http.NotFoundHandler())
	require.NoError(t, err)
	for accept, want := range map[string]string{
		"": "en", "en": "en", "fr": "fr", "fr-CH": "fr", "FR": "fr", "de": "en", "de,fr;q=0.5": "fr", "fr;q=0.1,en;q=0.9": "en", "en;q=0.1,fr;q=0.9": "fr",
		"fr;q=0": "en", "*": "en", ";;;": "en", "fr\xff": "en", strings.Repeat("fr,", 1000): "en",
	} {
		r := httptest.NewRequest("GET", "https://example.com/login?rid=ann", nil)
		r.Header.Set("Accept-Language", accept)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		assert.Equal(t, want, w.Header().Get("Content-Language"), "%.20q", accept)
	}
}

// TestPageContrast computes the contrast of each pair of colours as WCAG 2.2 defines it.
func TestPageContrast(t *testing.T) {
	p := newProtectedSite(t, nil)
	page := p.browser(t).get("/campaign/login?rid=ann").body
	schemes := regexp.MustCompile(`:root\{([^}]*)\}`).FindAllStringSubmatch(page, -1)
	require.Len(t, schemes, 2, "light and dark")
	assert.Contains(t, page, "prefers-color-scheme:dark")
	for i, scheme := range schemes {
		colour := map[string]float64{}
		for _, m := range regexp.MustCompile(`--(\w+):#([0-9a-f]{6})`).FindAllStringSubmatch(scheme[1], -1) {
			rgb, err := strconv.ParseUint(m[2], 16, 32)
			require.NoError(t, err)
			colour[m[1]] = luminance(uint32(rgb))
		}
		for _, pair := range []struct {
			a, b  string
			least float64
		}{{"fg", "bg", 4.5}, {"soft", "bg", 4.5}, {"bad", "bg", 4.5}, {"on", "act", 4.5}, {"edge", "bg", 3}, {"act", "bg", 3}} {
			require.Contains(t, colour, pair.a)
			hi, lo := max(colour[pair.a], colour[pair.b]), min(colour[pair.a], colour[pair.b])
			assert.GreaterOrEqual(t, (hi+0.05)/(lo+0.05), pair.least, "scheme %d: %s on %s", i, pair.a, pair.b)
		}
	}
	// Nothing has a colour that was not looked at.
	rest := regexp.MustCompile(`:root\{[^}]*\}`).ReplaceAllString(page, "")
	assert.NotRegexp(t, `(color|background|border)[^;:]*:[^;]*#[0-9a-f]{3}`, rest)
}

// luminance is the relative luminance of a colour, as WCAG 2.2 defines it.
func luminance(rgb uint32) float64 {
	channel := func(shift int) float64 {
		c := float64(rgb>>shift&0xff) / 255
		if c <= 0.04045 {
			return c / 12.92
		}
		return math.Pow((c+0.055)/1.055, 2.4)
	}
	return 0.2126*channel(16) + 0.7152*channel(8) + 0.0722*channel(0)
}
