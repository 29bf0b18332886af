package circlehttps_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec/circlehttps"
	"github.com/connsec/connsec/internal/realsrv"
	"github.com/connsec/connsec/internal/testca"
)

// browser starts Chromium for the test. All names below .example lead to the two servers, for
// ports 443 and 80; nothing else leaves the machine.
//
// asked tells whether a path was asked for over HTTPS.
func browser(t *testing.T, site string) (ctx context.Context, asked func(path string) bool) {
	t.Helper()
	program := realsrv.Need(t, "chromium")
	leaf := testca.MustNew(t).MustIssue(t, testca.Leaf{Names: []string{"site.example", "www.site.example"}})
	files := http.FileServerFS(os.DirFS(site))
	var mu sync.Mutex
	paths := map[string]bool{}
	secure := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		paths[r.URL.Path] = true
		mu.Unlock()
		files.ServeHTTP(w, r)
	}))
	secure.TLS = &tls.Config{Certificates: []tls.Certificate{leaf.TLS()}}
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	plain := httptest.NewServer(files)
	t.Cleanup(plain.Close)
	port := func(s *httptest.Server) string {
		_, p, err := net.SplitHostPort(s.Listener.Addr().String())
		require.NoError(t, err)
		return p
	}
	cert, err := x509.ParseCertificate(leaf.TLS().Certificate[0])
	require.NoError(t, err)
	key := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	opts := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.Flag("disable-gpu", true), chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("no-first-run", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.Flag("autoplay-policy", "no-user-gesture-required"),
		// Only this one key is accepted without a known authority.
		chromedp.Flag("ignore-certificate-errors-spki-list", base64.StdEncoding.EncodeToString(key[:])),
		chromedp.Flag("host-resolver-rules", fmt.Sprintf("MAP *.example:443 127.0.0.1:%s, MAP *.example:80 127.0.0.1:%s, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", port(secure), port(plain))),
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
	return ctx, func(path string) bool {
		mu.Lock()
		defer mu.Unlock()
		return paths[path]
	}
}

// mixedContent opens the site and returns what Chromium says of each address: blocked,
// upgraded or warned of. It waits until the page is idle and enough(found) holds.
func mixedContent(t *testing.T, ctx context.Context, enough func(map[string]string) bool) map[string]string {
	t.Helper()
	var mu sync.Mutex
	found := map[string]string{}
	news := make(chan struct{}, 1)
	idle := false
	tell := func() {
		select {
		case news <- struct{}{}:
		default:
		}
	}
	require.NoError(t, chromedp.Listen(ctx, func(ev any) {
		mu.Lock()
		defer mu.Unlock()
		switch ev := ev.(type) {
		case *audits.EventIssueAdded:
			if d := ev.Issue.Details.MixedContentIssueDetails; d != nil {
				u, _, _ := strings.Cut(d.InsecureURL, "?")
				found[u] = string(d.ResolutionStatus)
			}
			tell()
		case *page.EventLifecycleEvent:
			if ev.Name == "networkIdle" {
				idle = true
				tell()
			}
		}
	}))
	_, err := chromedp.Call(ctx, audits.Enable, cdp.Empty{})
	require.NoError(t, err)
	_, err = chromedp.Call(ctx, page.SetLifecycleEventsEnabled, page.SetLifecycleEventsEnabledParams{Enabled: true})
	require.NoError(t, err)
	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate("https://www.site.example/index.html")))
	deadline, again := time.NewTimer(20*time.Second), time.NewTicker(50*time.Millisecond)
	defer deadline.Stop()
	defer again.Stop()
	for {
		mu.Lock()
		done := idle && enough(found)
		got := maps.Clone(found)
		mu.Unlock()
		if done {
			return got
		}
		select {
		case <-news:
		case <-again.C: // what the server was asked for comes without news
		case <-deadline.C:
			return got
		}
	}
}

// resolution is what Chromium does with a link of each kind on a page over HTTPS.
var resolution = map[circlehttps.Kind]string{
	circlehttps.Active:     "MixedContentBlocked",
	circlehttps.WebSocket:  "MixedContentBlocked",
	circlehttps.Passive:    "MixedContentAutomaticallyUpgraded",
	circlehttps.FormTarget: "MixedContentWarning",
}

// TestChromiumMixedContent: what Chromium says about a page full of mixed content is exactly
// what a scan of its files says, address by address and in kind. After Fix, Chromium has
// nothing to say.
func TestChromiumMixedContent(t *testing.T) {
	realsrv.Need(t, "chromium")
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "mixed"))))
	site := circlehttps.Site{FS: os.DirFS(dir)}
	s, err := site.Scan(context.Background())
	require.NoError(t, err)
	require.Empty(t, s.Unread)
	want := map[string]string{}
	for _, l := range s.Links {
		if r, ok := resolution[l.Kind]; ok {
			want[strings.ToLower(l.URL)] = r
		}
		assert.NotEqual(t, circlehttps.UnknownUse, l.Kind, "%s %s", l.Source, l.URL)
	}
	ctx, _ := browser(t, dir)
	got := mixedContent(t, ctx, func(m map[string]string) bool { return len(m) >= len(want) })
	assert.Equal(t, want, got)
	assert.Greater(t, len(got), 45, "the page is full of mixed content")

	changes, err := site.Fix(context.Background(), circlehttps.Project{}, circlehttps.FixOptions{Hosts: []string{"site.example"}})
	require.NoError(t, err)
	assert.Empty(t, changes.Left)
	require.NoError(t, changes.Apply(dir, t.TempDir()))
	ctx, asked := browser(t, dir)
	got = mixedContent(t, ctx, func(map[string]string) bool {
		for u, r := range want {
			u, isHTTP := strings.CutPrefix(u, "http://site.example/")
			if r == "MixedContentBlocked" && isHTTP && u != "object.html" && u != "embed.html" && !asked("/"+u) {
				return false
			}
		}
		return true
	})
	assert.Empty(t, got)
	assert.True(t, asked("/script.js"), "the fixed page loads over HTTPS what was blocked")
	assert.True(t, asked("/fetch"))
}

// TestChromiumConfig: what ParseConfig reads is what a browser gets by running the file.
func TestChromiumConfig(t *testing.T) {
	ctx, _ := browser(t, t.TempDir())
	for name, shape := range configShapes {
		if shape.file != "xmpcfg.js" {
			continue // is compiled before a browser sees it
		}
		t.Run(name, func(t *testing.T) {
			src := strings.ReplaceAll(shape.src, "¦", "")
			c, err := circlehttps.ParseConfig(shape.file, []byte(src))
			require.NoError(t, err)
			d := c.Definitions[len(c.Definitions)-1]
			code, err := json.Marshal(strings.TrimPrefix(src, "\xef\xbb\xbf"))
			require.NoError(t, err)
			got, err := chromedp.Run(ctx, chromedp.Evaluate[[]string](fmt.Sprintf(
				"(function () { var a = new Function(%s + '\\nreturn xmpcfg')().access; return [a.url || a.URL, a.accessToken, a.circleProjectName || '']; })()", code)))
			require.NoError(t, err)
			assert.Equal(t, got, []string{d.URL.Text, d.AccessToken.Reveal(), d.ProjectName.Text})
		})
	}
}
