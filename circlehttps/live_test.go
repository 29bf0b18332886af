package circlehttps_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/circlehttps"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/internal/testca"
	"github.com/connsec/connsec/tlscheck"
)

// hosts maps "name:port" to listeners on loopback, so that ports 80 and 443 of any name can be
// played without owning them.
type hosts struct {
	mu    sync.Mutex
	names map[string]netip.Addr
	ports map[string]string // "ADDR:PORT" to the listener; missing is refused
}

func (h *hosts) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if a, ok := h.names[strings.TrimSuffix(host, ".")]; ok {
		return []netip.Addr{a}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func (h *hosts) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	h.mu.Lock()
	to, ok := h.ports[address]
	h.mu.Unlock()
	if !ok {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}
	var d net.Dialer
	return d.DialContext(ctx, network, to)
}

// serve puts handlers behind ports 443 and 80 of a name; nil means that nothing listens.
func (h *hosts) serve(t testing.TB, ca *testca.CA, name string, https, plain http.Handler) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.names == nil {
		h.names, h.ports = map[string]netip.Addr{}, map[string]string{}
	}
	addr := netip.AddrFrom4([4]byte{192, 0, 2, byte(len(h.names) + 1)})
	h.names[name] = addr
	if https != nil {
		s := httptest.NewUnstartedServer(https)
		s.TLS = &tls.Config{Certificates: []tls.Certificate{ca.MustIssue(t, testca.Leaf{Names: []string{name}}).TLS()}}
		s.Config.ErrorLog = log.New(io.Discard, "", 0) // the probe's unfinished handshakes
		s.StartTLS()
		t.Cleanup(s.Close)
		h.ports[netip.AddrPortFrom(addr, 443).String()] = s.Listener.Addr().String()
	}
	if plain != nil {
		s := httptest.NewServer(plain)
		t.Cleanup(s.Close)
		h.ports[netip.AddrPortFrom(addr, 80).String()] = s.Listener.Addr().String()
	}
}

// folder serves files under /spring/, with a header.
func folder(files map[string]string, header string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name, value, ok := strings.Cut(header, ": "); ok {
			w.Header().Set(name, value)
		}
		name := strings.TrimPrefix(r.URL.Path, "/spring/")
		if name == "" {
			name = "index.html"
		}
		text, ok := files[name]
		if !ok {
			http.NotFound(w, r)
			return
		}
		if strings.HasSuffix(name, ".js") {
			w.Header().Set("Content-Type", "text/javascript")
		} else if strings.HasSuffix(name, ".css") {
			w.Header().Set("Content-Type", "text/css")
		} else {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
		}
		_, _ = w.Write([]byte(text))
	})
}

func status(code int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
}

var toHTTPS = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, "https://"+r.Host+r.URL.Path, http.StatusMovedPermanently)
})

const hsts = "Strict-Transport-Security: max-age=63072000"

var secureConfig = strings.Replace(circleWrites, "http:", "https:", 1)

// secureSite is a site that is as it should be.
var secureSite = map[string]string{
	"xmpcfg.js": secureConfig,
	"index.html": `<html><head><script src="xmpcfg.js"></script><script src="https://ajax.xmcircle.com/ajax/libs/XMPL-V5/5.0/xmpl.min.js"></script></head>` +
		`<body xmp-personalized-controller><a href="more.html">m</a><a href="/other/x.html">o</a><a href="signout.html">s</a><a href="more.html?rid=1">m</a></body></html>`,
	"more.html": `<html><link rel="stylesheet" href="a.css"><img src="a.png"></html>`,
	"a.css":     `body { color: red }`,
}

func with(files map[string]string, name, text string) map[string]string {
	out := map[string]string{name: text}
	for n, t := range files {
		if n != name {
			out[n] = t
		}
	}
	return out
}

type liveSite struct {
	hosts
	live circlehttps.Live
}

// newLive starts a site at www.example.com and an XMPL server at marketing.example.com.
func newLive(t *testing.T, site, plain, api http.Handler) *liveSite {
	t.Helper()
	ca := testca.MustNew(t)
	l := &liveSite{}
	l.serve(t, ca, "www.example.com", site, plain)
	l.serve(t, ca, "marketing.example.com", api, nil)
	l.live = circlehttps.Live{
		URL:      "https://www.example.com/spring/",
		Endpoint: tlscheck.Endpoint{Dialer: &l.hosts, Resolver: &l.hosts, Roots: ca.Pool()},
	}
	return l
}

func TestProbe(t *testing.T) {
	l := newLive(t, folder(secureSite, hsts), toHTTPS, status(403))
	l.live.Site = &circlehttps.Site{FS: mapFS(secureSite)}
	o, err := l.live.Observe(context.Background())
	require.NoError(t, err)
	assert.Equal(t, 4, o.Pages.Files, "two pages, one style sheet and xmpcfg.js")
	assert.Empty(t, o.Pages.Unread)
	r := o.Judge()
	ruletest.Expect(t, r, connsec.Pass, circlehttps.RulePort80, circlehttps.RuleNoRedirect, circlehttps.RuleHSTS, circlehttps.RuleConfigServed,
		circlehttps.RuleAPIHTTPS, circlehttps.RuleConfigHTTP, circlehttps.RuleLinkActive)

	t.Run("facts travel as JSON", func(t *testing.T) {
		data, err := json.Marshal(o)
		require.NoError(t, err)
		assert.NotContains(t, string(data), testToken)
		var back circlehttps.Observation
		require.NoError(t, json.Unmarshal(data, &back))
		want, err := json.Marshal(r)
		require.NoError(t, err)
		got, err := json.Marshal(back.Judge())
		require.NoError(t, err)
		assert.JSONEq(t, string(want), string(got))
	})
}

func TestProbeWeak(t *testing.T) {
	weak := with(with(secureSite, "xmpcfg.js", circleWrites), "more.html", `<html><script src="http://cdn.example/a.js"></script></html>`)
	l := newLive(t, folder(weak, "Strict-Transport-Security: max-age=300"), folder(weak, ""), nil)
	l.live.Site = &circlehttps.Site{FS: mapFS(secureSite)}
	r, err := l.live.Probe(context.Background())
	require.NoError(t, err)
	ruletest.Expect(t, r, connsec.Fail, circlehttps.RulePort80, circlehttps.RuleNoRedirect, circlehttps.RuleHSTS, circlehttps.RuleConfigServed,
		circlehttps.RuleAPIHTTPS, circlehttps.RuleConfigHTTP, circlehttps.RuleLinkActive)
	active := r.Of(circlehttps.RuleLinkActive)
	require.Len(t, active, 1)
	assert.Equal(t, "https://www.example.com/spring/more.html:1:20", active[0].Source.String())
	assert.Contains(t, r.Of(circlehttps.RuleConfigServed)[0].Detail, "https://marketing.example.com/XMPieXMPL_REST_API in the folder, http://marketing.example.com/XMPieXMPL_REST_API served")
}

func TestProbePort80(t *testing.T) {
	for name, tc := range map[string]struct {
		plain           http.Handler
		exceptions      []circlehttps.Exception
		port, redirects connsec.Outcome
	}{
		"closed":                          {nil, nil, connsec.Pass, connsec.NotApplicable},
		"closed, needed":                  {nil, []circlehttps.Exception{circlehttps.Email}, connsec.Fail, connsec.NotApplicable},
		"open":                            {status(200), nil, connsec.Fail, connsec.Fail},
		"open, needed":                    {status(200), []circlehttps.Exception{circlehttps.PDFOnDemand}, connsec.Pass, connsec.Fail},
		"redirect":                        {toHTTPS, nil, connsec.Pass, connsec.Pass},
		"redirect, needed":                {toHTTPS, []circlehttps.Exception{circlehttps.XMPieURL}, connsec.Inconclusive, connsec.Pass},
		"redirect that stays with HTTP":   {http.RedirectHandler("http://www.example.com/x", http.StatusFound), nil, connsec.Fail, connsec.Fail},
		"nothing at the site's own place": {status(404), nil, connsec.Fail, connsec.Inconclusive},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLive(t, folder(secureSite, hsts), tc.plain, status(403))
			l.live.Project.Port80 = tc.exceptions
			r, err := l.live.Probe(context.Background())
			require.NoError(t, err)
			ruletest.Expect(t, r, tc.port, circlehttps.RulePort80)
			ruletest.Expect(t, r, tc.redirects, circlehttps.RuleNoRedirect)
			ruletest.Expect(t, r, connsec.NotApplicable, circlehttps.RuleConfigServed)
		})
	}
}

func TestProbeHSTS(t *testing.T) {
	for header, want := range map[string]connsec.Outcome{
		"": connsec.Fail, hsts: connsec.Pass,
		"Strict-Transport-Security: includeSubDomains; Max-Age=\"31536000\"": connsec.Pass,
		"Strict-Transport-Security: max-age=31535999":                        connsec.Fail,
		"Strict-Transport-Security: max-age=0":                               connsec.Fail,
		"Strict-Transport-Security: max-age=x":                               connsec.Fail,
		"Strict-Transport-Security: includeSubDomains":                       connsec.Fail,
	} {
		t.Run(header, func(t *testing.T) {
			l := newLive(t, folder(secureSite, header), nil, status(403))
			r, err := l.live.Probe(context.Background())
			require.NoError(t, err)
			ruletest.Expect(t, r, want, circlehttps.RuleHSTS)
		})
	}
}

func TestProbeAPI(t *testing.T) {
	t.Run("no certificate for the name", func(t *testing.T) {
		l := newLive(t, folder(secureSite, hsts), nil, nil)
		other := testca.MustNew(t)
		l.serve(t, other, "marketing.example.com", status(200), nil)
		r, err := l.live.Probe(context.Background())
		require.NoError(t, err)
		ruletest.Expect(t, r, connsec.Fail, circlehttps.RuleAPIHTTPS)
	})
	t.Run("not found", func(t *testing.T) {
		l := newLive(t, folder(secureSite, hsts), nil, status(404))
		r, err := l.live.Probe(context.Background())
		require.NoError(t, err)
		ruletest.Expect(t, r, connsec.Inconclusive, circlehttps.RuleAPIHTTPS)
	})
	t.Run("name not found", func(t *testing.T) {
		l := newLive(t, folder(with(secureSite, "xmpcfg.js", strings.Replace(secureConfig, "marketing.", "gone.", 1)), hsts), nil, nil)
		r, err := l.live.Probe(context.Background())
		require.NoError(t, err)
		ruletest.Expect(t, r, connsec.Inconclusive, circlehttps.RuleAPIHTTPS)
	})
}

// TestProbeBackToHTTP: a server that leads from HTTPS back to HTTP, or has no page, passes nothing.
func TestProbeBackToHTTP(t *testing.T) {
	back := http.RedirectHandler("http://www.example.com/spring/", http.StatusFound)
	l := newLive(t, back, nil, http.RedirectHandler("http://marketing.example.com/", http.StatusFound))
	r, err := l.live.Probe(context.Background())
	require.NoError(t, err)
	ruletest.Expect(t, r, connsec.Fail, circlehttps.RuleLinkNavigation)
	assert.Equal(t, connsec.High, r.Of(circlehttps.RuleLinkNavigation)[0].Severity)

	l = newLive(t, folder(secureSite, hsts), nil, http.RedirectHandler("http://marketing.example.com/", http.StatusFound))
	r, err = l.live.Probe(context.Background())
	require.NoError(t, err)
	ruletest.Expect(t, r, connsec.Fail, circlehttps.RuleAPIHTTPS)

	l = newLive(t, status(http.StatusInternalServerError), nil, nil)
	r, err = l.live.Probe(context.Background())
	require.NoError(t, err)
	ruletest.Expect(t, r, connsec.Inconclusive, circlehttps.RuleLinkActive, circlehttps.RuleLinkPassive, circlehttps.RuleLinkForm)
}

// TestProbeHeaders: what a server says beside the page counts as what stands in it.
func TestProbeHeaders(t *testing.T) {
	for header, want := range map[string]*connsec.Rule{
		"Refresh: 5; url=http://www.example.com/x": circlehttps.RuleLinkNavigation,
		"Refresh: 0;http://url.example/":           circlehttps.RuleLinkNavigation,
		`Link: <https://a.example/a.css>; rel=preload, <http://a.example/a.js>; rel="preload"; as=script`: circlehttps.RuleLinkActive,
		`Link: <http://a.example/a.png>; as="image"; rel=preload`:                                         circlehttps.RuleLinkPassive,
		"Link: <http://a.example/>; rel=canonical":                                                        circlehttps.RuleLinkCanonical,
		"Refresh: 5": nil, "Refresh: 5; url=/spring/": nil, "Link: <https://a.example/?to=http://b.example/>; rel=preload": nil, "Link: http://a.example/": nil,
	} {
		t.Run(header, func(t *testing.T) {
			l := newLive(t, folder(secureSite, header), nil, status(403))
			r, err := l.live.Probe(context.Background())
			require.NoError(t, err)
			for _, rule := range []*connsec.Rule{circlehttps.RuleLinkActive, circlehttps.RuleLinkPassive, circlehttps.RuleLinkNavigation, circlehttps.RuleLinkCanonical} {
				ruletest.Expect(t, r, map[bool]connsec.Outcome{true: connsec.Fail, false: connsec.Pass}[rule == want], rule)
			}
		})
	}
}

// TestProbeConfigServed: differences in form are none, and what is missing is told.
func TestProbeConfigServed(t *testing.T) {
	for name, tc := range map[string]struct {
		served, folder map[string]string
		want           connsec.Outcome
	}{
		"other form":                 {with(secureSite, "xmpcfg.js", "// published\n"+secureConfig), secureSite, connsec.Pass},
		"not served":                 {map[string]string{"index.html": "<html></html>"}, secureSite, connsec.Fail},
		"an error page in its place": {with(secureSite, "xmpcfg.js", "<html>Sorry</html>"), secureSite, connsec.Fail},
		"none in the folder":         {secureSite, map[string]string{}, connsec.Inconclusive},
		"another project":            {with(secureSite, "xmpcfg.js", strings.ReplaceAll(secureConfig, "20000002", "30000003")), secureSite, connsec.Fail},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLive(t, folder(tc.served, hsts), nil, status(403))
			l.live.Site = &circlehttps.Site{FS: mapFS(tc.folder)}
			r, err := l.live.Probe(context.Background())
			require.NoError(t, err)
			ruletest.Expect(t, r, tc.want, circlehttps.RuleConfigServed)
			data, err := json.Marshal(r)
			require.NoError(t, err)
			assert.NotContains(t, string(data), testToken)
		})
	}
}

// TestProbeIsBounded: an endless site is left after MaxRequests, and the report does not pass
// what it did not see. Paths that sign out are never asked for.
func TestProbeIsBounded(t *testing.T) {
	var mu sync.Mutex
	asked := map[string]int{}
	endless := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked[r.URL.Path]++
		n := len(asked)
		mu.Unlock()
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<html><a href="%d.html">x</a><a href="%d-b.html?rid=1">x</a><a href="SignOut.html">x</a><a href="../elsewhere/">x</a></html>`, n, n)
	})
	l := newLive(t, endless, nil, nil)
	l.live.MaxRequests = 7
	r, err := l.live.Probe(context.Background())
	require.NoError(t, err)
	assert.Len(t, asked, 7)
	assert.NotContains(t, asked, "/spring/SignOut.html")
	assert.NotContains(t, asked, "/elsewhere/")
	for _, f := range r.Of(circlehttps.RuleLinkPassive) {
		assert.Equal(t, connsec.Inconclusive, f.Outcome)
	}
}

func TestProbeStalled(t *testing.T) {
	l := newLive(t, nil, nil, nil)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	l.ports["192.0.2.1:443"] = ln.Addr().String() // accepts and says nothing
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	_, err = l.live.Probe(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestLiveRefuses(t *testing.T) {
	for _, address := range []string{"", "www.example.com", "http://www.example.com/", "https://user:hunter2@www.example.com/", "https://%zz/"} {
		_, err := circlehttps.Live{URL: address}.Probe(context.Background())
		require.Error(t, err)
		assert.NotContains(t, err.Error(), "hunter2")
	}
	_, err := circlehttps.Live{URL: "https://www.example.com/", Project: circlehttps.Project{XMPL: "new"}}.Probe(context.Background())
	require.ErrorContains(t, err, "is not a version")
}

func TestVerifyHTTPS(t *testing.T) {
	l := newLive(t, status(200), nil, nil)
	verify := circlehttps.VerifyHTTPS(l.live.Endpoint)
	require.NoError(t, verify(context.Background(), "www.example.com"))
	require.Error(t, verify(context.Background(), "marketing.example.com"), "nothing listens there")
	other := testca.MustNew(t)
	l.serve(t, other, "cdn.example.com", status(200), nil)
	require.Error(t, verify(context.Background(), "cdn.example.com"), "an unknown authority")
}
