package main

import (
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/connsec/connsec/internal/realsrv"
	"github.com/connsec/connsec/internal/realsrv/page"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var screenshots = flag.String("screenshots", "", "keep pictures of the pages in this directory")

// browser is Chromium at the page.
type browser struct{ *page.Page }

func open(t *testing.T) *browser {
	t.Helper()
	v := &browser{page.Open(t, realsrv.Chromium{})}
	server := httptest.NewServer(handler(t.TempDir()))
	t.Cleanup(server.Close)
	v.do(t, chromedp.Navigate(server.URL))
	return v
}

func (v *browser) do(t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	require.NoError(t, chromedp.Do(v.Ctx, steps...))
}

func ask[T any](t *testing.T, v *browser, a chromedp.Action[T]) T {
	t.Helper()
	got, err := chromedp.Run(v.Ctx, a)
	require.NoError(t, err)
	return got
}

// until waits until an expression is true in the page.
func (v *browser) until(t *testing.T, expression string) {
	t.Helper()
	assert.True(t, ask(t, v, chromedp.Evaluate[bool](fmt.Sprintf(
		`new Promise(done => { const look = () => (%s) ? done(true) : setTimeout(look, 20); look(); setTimeout(() => done(false), 20000); })`, expression),
		chromedp.EvalAwaitPromise)), expression)
}

// look takes pictures of the page, and checks that nothing sticks out to the side.
func (v *browser) look(t *testing.T, name string) {
	t.Helper()
	for _, scheme := range []string{"light", "dark"} {
		_, err := chromedp.Call(v.Ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		require.NoError(t, err)
		for _, width := range []int64{1280, 375} {
			v.do(t, chromedp.EmulateViewport(width, 800))
			assert.LessOrEqual(t, ask(t, v, chromedp.Evaluate[int64]("document.documentElement.scrollWidth")), width, name)
			if *screenshots != "" {
				picture := ask(t, v, chromedp.FullScreenshot(100))
				require.NoError(t, os.WriteFile(filepath.Join(*screenshots, fmt.Sprintf("%s-%d-%s.png", name, width, scheme)), picture, 0o600))
			}
		}
	}
	v.do(t, chromedp.ResetViewport())
}

// TestWalk types settings as an administrator does.
func TestWalk(t *testing.T) {
	realsrv.Need(t, "chromium")
	v := open(t)
	result := func(section string) string {
		return ask(t, v, chromedp.Text(chromedp.CSS("#"+section+" .result")))
	}
	v.look(t, "empty")

	// A name that is not fully qualified is found while it is typed, and good once it is complete.
	v.do(t, chromedp.SendKeys(chromedp.CSS("#https-name"), "central"))
	v.until(t, `document.querySelector("#https .fail.high")`)
	assert.Contains(t, result("https"), "not fully qualified")
	assert.Equal(t, rulesURL+"name-single-label", ask(t, v, chromedp.Evaluate[string](`document.querySelector("#https .result a").href`)))
	v.do(t, chromedp.SendKeys(chromedp.CSS("#https-name"), ".corp.acme.com"))
	v.until(t, `document.querySelector("#https .summary.pass")`)
	assert.Contains(t, result("https"), "Good")
	assert.Equal(t, "Not set.", result("ldap"), "the other sections are left alone")

	// A choice counts as a change; secrets go to the server and nowhere else.
	v.do(t, chromedp.SendKeys(chromedp.CSS("#ldap-server"), "dc1.corp.acme.com"), chromedp.SendKeys(chromedp.CSS("#ldap-user"), "reader@corp.acme.com"),
		chromedp.SendKeys(chromedp.CSS("#ldap-password"), "hunter2-hunter2"))
	v.until(t, `document.querySelector("#ldap .summary").textContent.includes("passed")`)
	before := result("ldap")
	v.do(t, chromedp.SendKeys(chromedp.CSS("#ldap-security"), "None"))
	v.until(t, `document.querySelector("#ldap .fail.critical")`)
	assert.NotEqual(t, before, result("ldap"))
	v.do(t, chromedp.SendKeys(chromedp.CSS("#sql-string"), "Server=sql1;User Id=sa;Password=hunter2-hunter2"))
	v.until(t, `document.querySelector("#sql .fail")`)
	assert.NotContains(t, ask(t, v, chromedp.Evaluate[string]("document.documentElement.outerHTML")), "hunter2")
	v.look(t, "typed")

	// The button sends everything: the same page, without the secrets.
	_, err := chromedp.RunResponse(v.Ctx, chromedp.Focus(chromedp.CSS("button")), chromedp.KeyEvent("\r"))
	require.NoError(t, err)
	assert.Equal(t, "central.corp.acme.com", ask(t, v, chromedp.Evaluate[string](`document.querySelector("#https-name").value`)))
	assert.Empty(t, ask(t, v, chromedp.Evaluate[string](`document.querySelector("#ldap-password").value`)))
	assert.Empty(t, ask(t, v, chromedp.Evaluate[string](`document.querySelector("#sql-string").value`)))
	assert.Contains(t, result("ldap"), "to put right")

	// Every control has a name that is read out, and no ID stands twice.
	assert.Empty(t, ask(t, v, chromedp.Evaluate[[]string](`[...document.querySelectorAll("input, select")].filter(f => f.labels.length !== 1).map(f => f.id)`)))
	assert.Empty(t, ask(t, v, chromedp.Evaluate[[]string](`[...document.querySelectorAll("[id]")].map(e => e.id).filter((id, i, all) => all.indexOf(id) !== i)`)))
	assert.Empty(t, v.Complaints())
}
