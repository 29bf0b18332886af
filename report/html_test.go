package report_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/report"
)

// elements parses the page as a browser does and returns its elements in order.
func elements(t *testing.T, page string) []*html.Node {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	require.NoError(t, err)
	var out []*html.Node
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode {
			out = append(out, n)
		}
	}
	return out
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func content(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return b.String()
}

func TestHTMLIsInert(t *testing.T) {
	allowed := strings.Fields("html head meta title style body a header h1 h2 h3 p ul li b strong main section table thead tbody tr th td span small article code details summary dl div dt dd footer")
	for name, reports := range map[string][]connsec.Report{"weak": weak(), "hardened": hardened(), "attacked": attacked(), "none": nil} {
		t.Run(name, func(t *testing.T) {
			page := render(t, report.HTML, reports, report.Options{Version: "0.1.0"})
			ids := map[string]bool{}
			for _, n := range elements(t, page) {
				require.Contains(t, allowed, n.Data)
				for _, a := range n.Attr {
					require.False(t, strings.HasPrefix(a.Key, "on") || a.Key == "src" || a.Key == "style", "%s %s", n.Data, a.Key)
				}
				if href := attr(n, "href"); href != "" {
					require.True(t, strings.HasPrefix(href, "#") || strings.HasPrefix(href, "https://"), href)
				}
				if id := attr(n, "id"); id != "" {
					require.False(t, ids[id], "the ID %s stands twice", id)
					ids[id] = true
				}
			}
			for _, n := range elements(t, page) {
				if label := attr(n, "aria-labelledby"); label != "" {
					assert.True(t, ids[label], label)
				}
				if href := attr(n, "href"); strings.HasPrefix(href, "#") {
					assert.True(t, ids[href[1:]], href)
				}
			}
		})
	}
}

func TestHTMLPolicyAllowsItsStyleOnly(t *testing.T) {
	var policy, style string
	for _, n := range elements(t, render(t, report.HTML, weak(), report.Options{})) {
		switch {
		case n.Data == "meta" && attr(n, "http-equiv") == "Content-Security-Policy":
			policy = attr(n, "content")
		case n.Data == "style":
			style = content(n)
		}
	}
	sum := sha256.Sum256([]byte(style))
	assert.Equal(t, "default-src 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'; base-uri 'none'; form-action 'none'", policy)
}

func TestHTMLTellsTheStory(t *testing.T) {
	var headings []string
	for _, n := range elements(t, render(t, report.HTML, weak(), report.Options{})) {
		if n.Data == "h1" || n.Data == "h2" || n.Data == "h3" {
			headings = append(headings, n.Data+" "+content(n))
		}
	}
	assert.Equal(t, []string{
		"h1 Connection report", "h2 Targets",
		"h2 critical 2 findings", "h3 The directory accepts a simple bind in clear text",
		"h2 high 1 finding", "h3 The certificate has expired",
		"h2 low 1 finding", "h3 The site does not tell browsers to stay on HTTPS (no Strict-Transport-Security header)",
		"h2 inconclusive 1 finding", "h3 The server negotiates TLS 1.0 or 1.1?",
		"h2 waived 1 finding", "h3 The server negotiates TLS 1.0 or 1.1",
		"h2 passed 2 findings", "h2 not applicable 1 finding",
	}, headings)
	page := render(t, report.HTML, weak(), report.Options{})
	assert.NotContains(t, page, "Nothing failed")
	assert.NotContains(t, page, "Allow TLS 1.2", "no remedy for what was not decided")
}

func TestHTMLShowsHostileTextAsText(t *testing.T) {
	r := hardened()
	r[0].Findings[0].Outcome = connsec.Fail
	r[0].Findings[0].Detail = `</style><script>alert(1)</script><img src=x onerror=alert(1)> javascript:alert(1)`
	shown := false
	for _, n := range elements(t, render(t, report.HTML, r, report.Options{})) {
		assert.NotContains(t, []string{"script", "img"}, n.Data)
		shown = shown || n.Data == "p" && content(n) == r[0].Findings[0].Detail
	}
	assert.True(t, shown)
}

var (
	variable = regexp.MustCompile(`--([a-z-]+): #([0-9a-f]{3,6})`)
	toned    = []string{"ink", "soft", "link", "critical", "high", "medium", "low", "info", "inconclusive", "waived", "pass", "not-applicable"}
)

// TestHTMLContrast computes what WCAG 2.2 asks of text (1.4.3: 4.5 to 1) in both schemes.
func TestHTMLContrast(t *testing.T) {
	css, err := os.ReadFile("page.css")
	require.NoError(t, err)
	light, dark, found := strings.Cut(string(css), "@media screen and (prefers-color-scheme: dark)")
	require.True(t, found)
	for scheme, text := range map[string]string{"light": light, "dark": dark} {
		colour := map[string]float64{}
		for _, m := range variable.FindAllStringSubmatch(text, -1) {
			colour[m[1]] = luminance(t, m[2])
		}
		for _, name := range toned {
			require.Contains(t, colour, name, scheme)
			for _, ground := range []string{"page", "card"} {
				require.Contains(t, colour, ground, scheme)
				a, b := max(colour[name], colour[ground]), min(colour[name], colour[ground])
				assert.GreaterOrEqual(t, (a+0.05)/(b+0.05), 4.5, "%s: %s on %s", scheme, name, ground)
			}
		}
	}
}

// luminance is the relative luminance of an sRGB colour.
func luminance(t *testing.T, hex string) float64 {
	if len(hex) == 3 {
		hex = fmt.Sprintf("%c%c%c%c%c%c", hex[0], hex[0], hex[1], hex[1], hex[2], hex[2])
	}
	n, err := strconv.ParseUint(hex, 16, 32)
	require.NoError(t, err)
	linear := func(c uint64) float64 {
		v := float64(c&0xff) / 255
		if v <= 0.04045 {
			return v / 12.92
		}
		return math.Pow((v+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(n>>16) + 0.7152*linear(n>>8) + 0.0722*linear(n)
}
