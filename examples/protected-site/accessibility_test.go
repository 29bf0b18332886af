package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/connsec/connsec/internal/realsrv"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// axNode is what the browser tells a screen reader of an element.
type axNode struct {
	role, name, description string
	properties              map[string]string
}

// tree returns what the browser tells a screen reader of the page, without what it keeps back.
func (v *visitor) tree(t *testing.T) []axNode {
	t.Helper()
	got, err := chromedp.Call(v.Ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	require.NoError(t, err)
	text := func(v *accessibility.Value) string {
		if v == nil {
			return ""
		}
		var s string
		if json.Unmarshal([]byte(v.Value), &s) != nil {
			s = string(v.Value)
		}
		return s
	}
	var out []axNode
	for _, n := range got.Nodes {
		if n.Ignored {
			continue
		}
		a := axNode{role: text(n.Role), name: text(n.Name), description: text(n.Description), properties: map[string]string{}}
		for _, p := range n.Properties {
			a.properties[string(p.Name)] = text(p.Value)
		}
		out = append(out, a)
	}
	return out
}

func ofRole(nodes []axNode, role string) (out []axNode) {
	for _, n := range nodes {
		if n.role == role {
			out = append(out, n)
		}
	}
	return out
}

// contrast lists texts, and edges of fields, that stand out too little from what is behind them: by
// less than 4.5:1, or 3:1 where they are large or no text (WCAG 2.2, 1.4.3 and 1.4.11).
const contrast = `(() => {
	const parse = c => { const n = c.match(/[\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n; };
	const over = (a, b) => [0, 1, 2].map(i => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
	const behind = e => {
		let layers = [];
		for (; e; e = e.parentElement) layers.push(parse(getComputedStyle(e).backgroundColor));
		let c = matchMedia("(prefers-color-scheme: dark)").matches ? [18, 18, 18, 1] : [255, 255, 255, 1];
		for (const l of layers.reverse()) c = over(l, c);
		return c;
	};
	const bright = c => c.slice(0, 3).map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
		.reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
	const ratio = (a, b) => { const [x, y] = [bright(a), bright(b)]; return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05); };
	const out = [], seen = [];
	const check = (what, front, back, least) => {
		const r = ratio(over(front, back), back);
		seen.push(what);
		if (r < least) out.push(what + ": " + r.toFixed(2));
	};
	for (const e of document.body.querySelectorAll("*")) {
		if (!e.checkVisibility()) continue;
		const s = getComputedStyle(e), size = parseFloat(s.fontSize), large = size >= 24 || size >= 18.66 && s.fontWeight >= 700;
		if ([...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) || e.value)
			check(e.tagName + " " + (e.textContent || e.id).trim().slice(0, 30), parse(s.color), behind(e), large ? 3 : 4.5);
		if (e.tagName === "INPUT") check("edge of " + e.id, parse(s.borderTopColor), behind(e.parentElement), 3);
	}
	return JSON.stringify({seen: seen.length, out});
})()`

// small lists fields and buttons that are smaller than 24 by 24 (WCAG 2.2, 2.5.8).
const small = `JSON.stringify([...document.querySelectorAll("input, button")].filter(e => e.checkVisibility())
	.filter(e => e.offsetWidth < 24 || e.offsetHeight < 24).map(e => e.tagName + " " + e.offsetWidth + "x" + e.offsetHeight))`

// accessible checks what holds for every page, and returns the page as a screen reader has it.
func (v *visitor) accessible(t *testing.T, page, lang string) []axNode {
	t.Helper()
	heading := v.heading(t) // which waits for the page
	// The field that takes the focus by itself does so with the first frame that is drawn.
	ask(t, v, chromedp.Poll[bool](`(e => !e || document.activeElement === e)(document.querySelector("[autofocus]"))`))
	nodes := v.tree(t)
	root := ofRole(nodes, "RootWebArea")
	require.Len(t, root, 1, page)
	assert.NotEmpty(t, root[0].name, "%s: the title", page)
	assert.Equal(t, lang, ask(t, v, chromedp.Evaluate[string]("document.documentElement.lang")), page)
	assert.Len(t, ofRole(nodes, "main"), 1, page)
	headings := ofRole(nodes, "heading")
	if assert.Len(t, headings, 1, page) {
		assert.Equal(t, heading, headings[0].name, page)
		assert.Equal(t, "1", headings[0].properties["level"], page)
		assert.Contains(t, root[0].name, headings[0].name, "%s: the title says what the heading says", page)
	}
	for _, n := range nodes {
		switch n.role {
		case "textbox", "button", "link", "image":
			assert.NotEmpty(t, n.name, "%s: a %s without a name", page, n.role)
		}
	}
	for _, scheme := range []string{"light", "dark"} {
		_, err := chromedp.Call(v.Ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		require.NoError(t, err)
		var got struct {
			Seen int
			Out  []string
		}
		require.NoError(t, json.Unmarshal([]byte(ask(t, v, chromedp.Evaluate[string](contrast))), &got))
		assert.Greater(t, got.Seen, 1, page)
		assert.Empty(t, got.Out, "%s, %s: too little contrast", page, scheme)
	}
	assert.Equal(t, "[]", ask(t, v, chromedp.Evaluate[string](small)), "%s: too small to be hit", page)
	v.do(t, "size", chromedp.EmulateViewport(320, 640)) // WCAG 2.2, 1.4.10
	assert.LessOrEqual(t, ask(t, v, chromedp.Evaluate[int64]("document.documentElement.scrollWidth")), int64(320), "%s: sticks out to the side", page)
	v.do(t, "usual size", chromedp.ResetViewport())
	return nodes
}

// field is the one field of a sign-in page, and what is said of it.
func (v *visitor) field(t *testing.T, nodes []axNode, name string) axNode {
	t.Helper()
	fields := ofRole(nodes, "textbox")
	require.Len(t, fields, 1, "what is hidden is kept from a screen reader, too")
	assert.Equal(t, name, fields[0].name)
	assert.Equal(t, "true", fields[0].properties["required"])
	assert.Equal(t, "true", fields[0].properties["focused"], "where typing begins")
	assert.NotEqual(t, "none", ask(t, v, chromedp.Evaluate[string]("getComputedStyle(document.activeElement).outlineStyle")), "the focus is seen")
	return fields[0]
}

// TestAccessibility reads the pages as a screen reader is given them, in both languages.
func TestAccessibility(t *testing.T) {
	realsrv.Need(t, "chromium")
	for _, lang := range []struct {
		code, accept, password, wrong, failed, ended, button, out string
	}{
		{"en", "en", "Password", "not correct", "Error: ", "sign in again", "Sign in", "Sign out"},
		{"fr", "fr-FR,fr;q=0.9", "Mot de passe", "pas correctes", "Erreur\u00a0: ", "vous reconnecter", "Se connecter", "Se déconnecter"},
	} {
		t.Run(lang.code, func(t *testing.T) {
			c := &clock{}
			s, err := start(options{listen: "127.0.0.1:0", now: c.now})
			require.NoError(t, err)
			t.Cleanup(s.close)
			v := visit(t, s)
			// The one window of a browser that nobody looks at is not always the one with the focus.
			_, err = chromedp.Call(v.Ctx, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
			require.NoError(t, err)
			_, err = chromedp.Call(v.Ctx, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: network.Headers{"Accept-Language": lang.accept}})
			require.NoError(t, err)
			amelie := people[0]

			v.do(t, "open the link", chromedp.Navigate(s.url+amelie.key))
			nodes := v.accessible(t, "login", lang.code)
			field := v.field(t, nodes, lang.password)
			assert.NotEqual(t, "true", field.properties["invalid"])
			assert.Empty(t, ofRole(nodes, "alert"))
			buttons := ofRole(nodes, "button")
			require.Len(t, buttons, 1)
			assert.Equal(t, lang.button, buttons[0].name)

			// An error is in the title, which is read first, in an alert, and at the field.
			v.signIn(t, "tulip")
			nodes = v.accessible(t, "wrong password", lang.code)
			field = v.field(t, nodes, lang.password)
			assert.Equal(t, "true", field.properties["invalid"])
			assert.Contains(t, field.description, lang.wrong)
			require.Len(t, ofRole(nodes, "alert"), 1)
			assert.True(t, strings.HasPrefix(ofRole(nodes, "RootWebArea")[0].name, lang.failed))

			v.signIn(t, amelie.password)
			v.accessible(t, "home", "en") // the site's own pages are in one language
			v.press(t, "nav a")
			v.accessible(t, "offer", "en")

			c.pass(time.Hour)
			v.do(t, "an hour later", chromedp.Reload())
			nodes = v.accessible(t, "expired", lang.code)
			field = v.field(t, nodes, lang.password)
			assert.Contains(t, field.description, lang.ended)
			assert.Len(t, ofRole(nodes, "status"), 1, "no error")
			assert.Empty(t, ofRole(nodes, "alert"))

			v.signIn(t, amelie.password)
			v.do(t, "the page to sign out with", chromedp.Navigate(s.url+"signout"))
			nodes = v.accessible(t, "sign out", lang.code)
			buttons = ofRole(nodes, "button")
			require.Len(t, buttons, 1)
			assert.Equal(t, lang.out, buttons[0].name)
			v.press(t, "main button")
			v.accessible(t, "signed out", lang.code)
			v.do(t, "a damaged link", chromedp.Navigate(s.url+"index.html?rid=a%00b"))
			v.accessible(t, "damaged", lang.code)
		})
	}
}
