package securl_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec/internal/realsrv"
	"github.com/connsec/connsec/securl"
)

// call is a function for pages: it asks the interface in the way that the XMPL library does, and
// gives "status text", or "blocked" if the browser does not let it.
const call = `function call(method, path, body, token, origin) {
	var h = {};
	if (body) h['Content-Type'] = 'application/json;charset=utf-8';
	if (token) h['xmpSecurityToken'] = token;
	return fetch((origin || '') + '%s' + path, {method: method, headers: h, body: body && JSON.stringify(body), credentials: 'include'})
		.then(function (r) { return r.text().then(function (t) { return r.status + ' ' + t; }); }, function () { return 'blocked'; });
}`

// TestChromiumXMPL: a real browser runs the generated scripts, signs in through the interface,
// is shown the protected page after it, and keeps other sites out.
func TestChromiumXMPL(t *testing.T) {
	program := realsrv.Need(t, "chromium")
	s := newProtectedSite(t, func(g *securl.Gate) {
		withXMPL(newDatabase(t), nil)(g)
		g.Public = []string{"pub/"}
	})
	inner := s.server.Config.Handler
	s.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/pub/page.html") || r.Host == "evil.example" {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprintf(w, `<!doctype html><title>p</title><script src="/campaign/xmpcfg.js"></script><script src="/campaign/xmpcustom.js"></script><script>%s</script>`, fmt.Sprintf(call, xmplPrefix))
			return
		}
		inner.ServeHTTP(w, r)
	})
	key := sha256.Sum256(s.server.Certificate().RawSubjectPublicKeyInfo)
	opts := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.Flag("disable-gpu", true), chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("no-first-run", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		// Only this one key is accepted without a known authority.
		chromedp.Flag("ignore-certificate-errors-spki-list", base64.StdEncoding.EncodeToString(key[:])),
		chromedp.Flag("host-resolver-rules", fmt.Sprintf("MAP %s:443 %s, MAP evil.example:443 %[2]s, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", gateHost, s.server.Listener.Addr())),
	)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, opts...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx, chromedp.WithErrorf(func(string, ...any) {}))
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx)
		cancel()
	})
	visit := func(url string) {
		t.Helper()
		require.NoError(t, chromedp.Do(ctx, chromedp.Navigate(url)))
	}
	ask := func(js string) string {
		t.Helper()
		out, err := chromedp.Run(ctx, chromedp.Evaluate[string](js, chromedp.EvalAwaitPromise))
		require.NoError(t, err, js)
		return out
	}
	const home = "https://" + gateHost
	open := `call('GET', xmpcfg.access.accessToken + '/adorValues/context?login=true&adors=First&siteURL=' + encodeURIComponent(location.origin + '/campaign/ann'), null, %s)`

	visit(home + "/campaign/pub/page.html")
	assert.Equal(t, "/XMPieXMPL_REST_API 30000002-0000-4000-8000-abc000000002 Spring /campaign/login",
		ask(`[xmpcfg.access.url, xmpcfg.access.circleProjectID, xmpcfg.access.circleProjectName, xmpcustom.loginUrl].join(' ')`))
	assert.Contains(t, ask(fmt.Sprintf(open, "null")), `400 {"ErrorCode":9,`)
	signIn := `call('POST', 'auth/signIn', {RecipientID: 'ann', AccessToken: xmpcfg.access.accessToken, Password: %q, SiteURL: location.href})`
	assert.Contains(t, ask(fmt.Sprintf(signIn, "wrong")), `400 {"ErrorCode":9,`)
	answer := ask(fmt.Sprintf(signIn, annPassword))
	require.True(t, strings.HasPrefix(answer, `200 {"securityToken":"`), answer)
	token := answer[len(`200 {"securityToken":"`) : len(answer)-2]
	assert.Contains(t, ask(fmt.Sprintf(open, "'"+token+"'")), `"result":{"First":"First of ann"}`)
	assert.Contains(t, ask(fmt.Sprintf(open, "null")), `"result":{"First":"First of ann"}`, "by the gate's cookie")
	assert.NotContains(t, ask(`document.cookie + ''`), "securl", "which no script sees")
	assert.Contains(t, ask(`call('PUT', xmpcfg.access.accessToken + '/adorValues?rid=bob', {City: 'Rome'}, '`+token+`')`), `400 {"ErrorCode":9,`)

	visit(home + "/campaign/index.html?rid=ann")
	assert.Contains(t, ask(`document.body.innerText`), "who=ann")

	// Another site's page, in the browser that has signed in, even with the token.
	visit("https://evil.example/campaign/pub/page.html")
	across := strings.TrimSuffix(open, ")") + ", '" + home + "')"
	across = strings.Replace(across, "location.origin", "'"+home+"'", 1)
	across = strings.Replace(across, "xmpcfg.access.accessToken", "'"+projectToken+"'", 1)
	assert.Equal(t, "blocked", ask(fmt.Sprintf(across, "null")))
	assert.Equal(t, "blocked", ask(fmt.Sprintf(across, "'"+token+"'")))
	assert.Equal(t, "blocked", ask(`call('POST', 'auth/signOut', {}, null, '`+home+`')`))

	visit(home + "/campaign/pub/page.html")
	assert.Contains(t, ask(fmt.Sprintf(open, "null")), "First of ann", "still signed in")
	assert.Equal(t, "200 {}", ask(`call('POST', 'auth/signOut', {RecipientID: 'ann'}, '`+token+`')`))
	assert.Contains(t, ask(fmt.Sprintf(open, "'"+token+"'")), `400 {"ErrorCode":9,`)
	visit(home + "/campaign/index.html?rid=ann")
	assert.Contains(t, ask(`location.pathname + location.search`), "/campaign/login?rid=ann")
}
