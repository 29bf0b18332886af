package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/connsec/connsec/internal/realsrv"
	"github.com/connsec/connsec/internal/realsrv/page"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var screenshots = flag.String("screenshots", "", "keep pictures of the pages in this directory")

// visitor is a browser at the site.
type visitor struct{ *page.Page }

// visit starts Chromium with a profile that trusts the site's authority and nobody else.
func visit(t *testing.T, s *server) *visitor {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, s.ca.PEM(), 0o600))
	return &visitor{page.Open(t, realsrv.Chromium{CA: ca})}
}

func (v *visitor) do(t *testing.T, what string, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	require.NoError(t, chromedp.Do(v.Ctx, steps...), what)
}

func ask[T any](t *testing.T, v *visitor, a chromedp.Action[T]) T {
	t.Helper()
	got, err := chromedp.Run(v.Ctx, a)
	require.NoError(t, err)
	return got
}

// heading is what the page is about, and where is its path.
func (v *visitor) heading(t *testing.T) string {
	t.Helper()
	return ask(t, v, chromedp.Text(chromedp.CSS("h1")))
}

func (v *visitor) where(t *testing.T) string {
	t.Helper()
	return ask(t, v, chromedp.Evaluate[string]("location.pathname"))
}

// signIn fills in the form of the page and sends it with the Enter key.
func (v *visitor) signIn(t *testing.T, password string) {
	t.Helper()
	v.do(t, "type the password", chromedp.WaitVisible(chromedp.CSS("#password")))
	assert.Equal(t, "password", ask(t, v, chromedp.Evaluate[string]("document.activeElement.id")), "the field has the focus")
	_, err := chromedp.RunResponse(v.Ctx, chromedp.SendKeys(chromedp.CSS("#password"), password+"\r"))
	require.NoError(t, err)
}

// press presses a link or button with the keyboard.
func (v *visitor) press(t *testing.T, selector string) {
	t.Helper()
	_, err := chromedp.RunResponse(v.Ctx, chromedp.Focus(chromedp.CSS(selector)), chromedp.KeyEvent("\r"))
	require.NoError(t, err, selector)
}

// complained returns and forgets the complaints, without those about the statuses that a refusal
// and a wait have, which Chromium logs as failures to load.
func (v *visitor) complained() []string {
	return slices.DeleteFunc(v.Complaints(), func(c string) bool {
		return strings.Contains(c, "the server responded with a status of 4")
	})
}

// look takes pictures of the page, light and dark, on a desktop and on a phone, and checks in each
// that nothing sticks out to the side.
func (v *visitor) look(t *testing.T, name string) {
	t.Helper()
	for _, scheme := range []string{"light", "dark"} {
		_, err := chromedp.Call(v.Ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		require.NoError(t, err)
		for _, screen := range []struct {
			name          string
			width, height int64
		}{{"desktop", 1280, 800}, {"phone", 360, 740}} {
			v.do(t, "size", chromedp.EmulateViewport(screen.width, screen.height))
			wide := ask(t, v, chromedp.Evaluate[int64]("document.documentElement.scrollWidth"))
			assert.LessOrEqual(t, wide, screen.width, "%s on a %s", name, screen.name)
			if *screenshots != "" {
				picture := ask(t, v, chromedp.CaptureScreenshot())
				file := filepath.Join(*screenshots, fmt.Sprintf("%s-%s-%s.png", name, screen.name, scheme))
				require.NoError(t, os.WriteFile(file, picture, 0o600))
			}
		}
	}
	v.do(t, "usual size", chromedp.ResetViewport())
}

// TestWalk is one visit with a real browser, from the mail to the sign-out.
func TestWalk(t *testing.T) {
	realsrv.Need(t, "chromium")
	c := &clock{}
	s, err := start(options{listen: "127.0.0.1:0", now: c.now})
	require.NoError(t, err)
	t.Cleanup(s.close)
	v := visit(t, s)
	amelie, bruno := people[0], people[1]

	// The link of the mail leads to the sign-in page.
	v.do(t, "open the link", chromedp.Navigate(s.url+amelie.key))
	assert.Equal(t, base+"login", v.where(t))
	assert.Equal(t, "Sign in", v.heading(t))
	assert.Empty(t, v.complained())
	v.look(t, "login")

	// A wrong password is refused, and said so where a screen reader hears it.
	v.signIn(t, "tulip")
	assert.Equal(t, base+"login", v.where(t))
	assert.Contains(t, ask(t, v, chromedp.Text(chromedp.CSS("[role=alert]"))), "not correct")
	assert.Empty(t, v.complained())
	v.look(t, "wrong")

	// The right one opens the recipient's own page.
	v.signIn(t, amelie.password)
	assert.Equal(t, "Hello Amelie Laurent", v.heading(t))
	assert.Contains(t, v.text(t), "1804")
	assert.Empty(t, v.complained())
	v.look(t, "home")
	v.press(t, "nav a")
	assert.Equal(t, "Your offer", v.heading(t))
	assert.Contains(t, v.text(t), amelie.offer)
	v.look(t, "offer")
	v.cookiesAreSafe(t)
	assert.Empty(t, ask(t, v, chromedp.Evaluate[string]("document.cookie")), "scripts see no cookie")

	// Another recipient's link shows the sign-in page, not the data; a stranger's password and
	// a key that nobody has get the same words.
	v.do(t, "open another's link", chromedp.Navigate(s.url+bruno.key))
	assert.Equal(t, base+"login", v.where(t))
	assert.NotContains(t, v.text(t), bruno.name)
	v.signIn(t, amelie.password)
	refused := v.text(t)
	v.do(t, "open nobody's link", chromedp.Navigate(s.url+"zzzz9999zzzz9999"))
	v.signIn(t, amelie.password)
	assert.Equal(t, refused, v.text(t))
	assert.Empty(t, v.complained())

	// The own page is still open, until an hour has passed.
	v.do(t, "back to the own page", chromedp.Navigate(s.url+amelie.key))
	assert.Equal(t, "Hello Amelie Laurent", v.heading(t))
	c.pass(time.Hour - time.Minute)
	v.do(t, "a minute before", chromedp.Reload())
	assert.Equal(t, "Hello Amelie Laurent", v.heading(t))
	c.pass(time.Minute)
	v.press(t, "nav a")
	assert.Equal(t, base+"login", v.where(t))
	assert.Contains(t, v.text(t), "sign in again")
	v.look(t, "expired")
	// Browsers keep pages for this button, also those that must not be stored.
	v.do(t, "back button", chromedp.NavigateBack())
	assert.Equal(t, base+"login", v.where(t))
	assert.NotContains(t, v.text(t), amelie.name)

	// Signing in again, and out.
	v.do(t, "open the link again", chromedp.Navigate(s.url+amelie.key))
	v.signIn(t, amelie.password)
	assert.Equal(t, "Hello Amelie Laurent", v.heading(t))
	v.press(t, "header button")
	assert.Equal(t, "You are signed out", v.heading(t))
	v.look(t, "signed-out")
	v.do(t, "back button", chromedp.NavigateBack())
	assert.Equal(t, base+"login", v.where(t))
	v.do(t, "open the link after that", chromedp.Navigate(s.url+amelie.key))
	assert.Equal(t, base+"login", v.where(t))
	assert.Empty(t, v.complained())
}

// TestBackFromAnotherLink: whoever opens a link of their own in a browser in which somebody's hour
// is over does not find that one's pages behind it.
func TestBackFromAnotherLink(t *testing.T) {
	realsrv.Need(t, "chromium")
	c := &clock{}
	s, err := start(options{listen: "127.0.0.1:0", now: c.now})
	require.NoError(t, err)
	t.Cleanup(s.close)
	v := visit(t, s)
	amelie, bruno := people[0], people[1]
	v.do(t, "open the link", chromedp.Navigate(s.url+amelie.key))
	v.signIn(t, amelie.password)
	assert.Equal(t, "Hello Amelie Laurent", v.heading(t))
	c.pass(time.Hour)
	v.do(t, "open another's link", chromedp.Navigate(s.url+bruno.key))
	assert.Equal(t, base+"login", v.where(t))
	v.do(t, "back button", chromedp.NavigateBack())
	assert.Equal(t, base+"login", v.where(t))
	assert.NotContains(t, v.text(t), amelie.name)
}

// TestBackFromLateForm: a form that comes when the hour is over is refused, and the page that it was
// on is not behind it.
func TestBackFromLateForm(t *testing.T) {
	realsrv.Need(t, "chromium")
	c := &clock{}
	s, err := start(options{listen: "127.0.0.1:0", now: c.now})
	require.NoError(t, err)
	t.Cleanup(s.close)
	v := visit(t, s)
	amelie := people[0]
	v.do(t, "open the link", chromedp.Navigate(s.url+amelie.key))
	v.signIn(t, amelie.password)
	assert.Equal(t, "Hello Amelie Laurent", v.heading(t))
	c.pass(time.Hour)
	// The form of the page, as one of the site's own would be: it posts to a page of the recipient.
	_ = ask(t, v, chromedp.Evaluate[string](`document.querySelector("header form").action = location.href`))
	v.press(t, "header button")
	assert.Equal(t, "You are not signed in", v.heading(t))
	v.do(t, "back button", chromedp.NavigateBack())
	assert.Equal(t, base+"login", v.where(t))
	assert.NotContains(t, v.text(t), amelie.name)
}

// call asks the XMPL interface as a script of a page does, and returns "status body".
const call = `(async () => {
	const answer = await fetch("/XMPieXMPL_REST_API/v1/projects/" + %q, {method: %q, headers: %s, body: %s});
	return answer.status + " " + await answer.text();
})()`

func (v *visitor) call(t *testing.T, method, path, headers, body string) string {
	t.Helper()
	return ask(t, v, chromedp.Evaluate[string](fmt.Sprintf(call, path, method, headers, body), chromedp.EvalAwaitPromise))
}

// TestScripts is a page whose scripts use the XMPL interface, as the pages of Circle sites do.
func TestScripts(t *testing.T) {
	realsrv.Need(t, "chromium")
	c := &clock{}
	s, err := start(options{listen: "127.0.0.1:0", now: c.now})
	require.NoError(t, err)
	t.Cleanup(s.close)
	v := visit(t, s)
	amelie, bruno := people[0], people[1]
	// A page without a policy of its own that forbids scripts to connect: the style sheet.
	v.do(t, "open a public file", chromedp.Navigate(s.url+"css/site.css"))
	config := ask(t, v, chromedp.Evaluate[string](`fetch("/campaign/xmpcfg.js").then(r => r.text()).then(text => new Function(text + "; return xmpcfg.access.accessToken")())`, chromedp.EvalAwaitPromise))
	custom := ask(t, v, chromedp.Evaluate[string](`fetch("/campaign/xmpcustom.js").then(r => r.text()).then(text => new Function(text + "; return xmpcustom.loginUrl")())`, chromedp.EvalAwaitPromise))
	assert.Equal(t, base+"login", custom)

	adors := func(key string) string {
		return config + "/adorValues/context?login=true&siteURL=" + url.QueryEscape(s.url+key) + "&adors=Name,Points,Password"
	}
	// Before the sign-in: the answer that leads XMPL clients to the login page.
	answer := v.call(t, "GET", adors(amelie.key), "{}", "undefined")
	assert.True(t, strings.HasPrefix(answer, "400 "), answer)
	assert.Contains(t, answer, `"ErrorCode":9`)
	assert.NotContains(t, answer, amelie.name)

	signIn := func(key, password string) string {
		return v.call(t, "POST", "auth/signIn", `{"Content-Type": "application/json"}`,
			fmt.Sprintf("JSON.stringify({RecipientID: %q, AccessToken: %q, Password: %q, UserName: '', SiteURL: %q})", key, config, password, s.url+key))
	}
	assert.True(t, strings.HasPrefix(signIn(amelie.key, "tulip"), "400 "))
	answer = signIn(amelie.key, amelie.password)
	require.True(t, strings.HasPrefix(answer, "200 "), answer)
	var signed struct {
		SecurityToken string `json:"securityToken"`
	}
	require.NoError(t, json.Unmarshal([]byte(answer[4:]), &signed))
	token := fmt.Sprintf("{xmpSecurityToken: %q}", signed.SecurityToken)

	answer = v.call(t, "GET", adors(amelie.key), token, "undefined")
	assert.Contains(t, answer, amelie.name)
	assert.NotContains(t, answer, amelie.password)
	assert.NotContains(t, answer, "==", "the password's hash is kept back")
	answer = v.call(t, "GET", adors(bruno.key), token, "undefined")
	assert.NotContains(t, answer, bruno.name, "a token opens its own recipient's data only")

	c.pass(time.Hour)
	answer = v.call(t, "GET", adors(amelie.key), token, "undefined")
	assert.Contains(t, answer, `"ErrorCode":9`)
	assert.Empty(t, v.complained())
}

// TestFrench is the same page for a French visitor.
func TestFrench(t *testing.T) {
	realsrv.Need(t, "chromium")
	s, err := start(options{listen: "127.0.0.1:0", now: time.Now})
	require.NoError(t, err)
	t.Cleanup(s.close)
	v := visit(t, s)
	_, err = chromedp.Call(v.Ctx, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: network.Headers{"Accept-Language": "fr-CA,fr;q=0.9,en;q=0.5"}})
	require.NoError(t, err)
	v.do(t, "open the link", chromedp.Navigate(s.url+people[2].key))
	assert.Equal(t, "Connexion", v.heading(t))
	assert.Equal(t, "fr", ask(t, v, chromedp.Evaluate[string]("document.documentElement.lang")))
	v.signIn(t, "faux")
	assert.Contains(t, ask(t, v, chromedp.Text(chromedp.CSS("[role=alert]"))), "pas correctes")
	v.look(t, "french")
	assert.Empty(t, v.complained())
}

func (v *visitor) text(t *testing.T) string {
	t.Helper()
	return ask(t, v, chromedp.Text(chromedp.CSS("body")))
}

func (v *visitor) cookiesAreSafe(t *testing.T) {
	t.Helper()
	got, err := chromedp.Call(v.Ctx, network.GetCookies, network.GetCookiesParams{})
	require.NoError(t, err)
	require.NotEmpty(t, got.Cookies)
	for _, c := range got.Cookies {
		assert.True(t, strings.HasPrefix(c.Name, "__Host-"), c.Name)
		assert.True(t, c.Secure && c.HTTPOnly, c.Name)
		assert.NotEmpty(t, c.SameSite, c.Name)
		assert.Equal(t, "/", c.Path, c.Name)
	}
}
