package circlehttps_test

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/circlehttps"
	"github.com/connsec/connsec/internal/ruletest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(ruletest.Track(m, circlehttps.Rules()), goleak.Cleanup(os.Exit))
}

var mark = regexp.MustCompile(`«([a-z-]+)»`)

// marked strips the marks «kind» from a source and returns what a scan has to find there.
func marked(file, src string) (clean string, want []string) {
	for {
		m := mark.FindStringSubmatchIndex(src)
		if m == nil {
			return clean + src, want
		}
		clean += src[:m[0]]
		want = append(want, fmt.Sprintf("%s:%d:%d %s", file, strings.Count(clean, "\n")+1, len(clean)-strings.LastIndex(clean, "\n"), src[m[2]:m[3]]))
		src = src[m[1]:]
	}
}

func scan(t testing.TB, files map[string]string) circlehttps.Scan {
	t.Helper()
	s, err := circlehttps.Site{FS: mapFS(files)}.Scan(context.Background())
	require.NoError(t, err)
	return s
}

func mapFS(files map[string]string) fstest.MapFS {
	m := fstest.MapFS{}
	for name, text := range files {
		m[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return m
}

func linkLines(s circlehttps.Scan) []string {
	var got []string
	for _, l := range s.Links {
		got = append(got, fmt.Sprintf("%s %s", l.Source, l.Kind))
	}
	return got
}

// TestLinks: each mark says that the address behind it is found, exactly there and as that
// kind, and that nothing else is.
func TestLinks(t *testing.T) {
	for _, tc := range []struct{ name, file, src string }{
		// HTML elements and attributes.
		{"script", "a.html", `<script src="«active»http://cdn.example/a.js"></script>`},
		{"script, second line, tab", "a.html", "<html>\n\t<script\n\tsrc='«active»http://cdn.example/a.js'></script>"},
		{"unquoted", "a.html", `<script src=«active»http://cdn.example/a.js></script>`},
		{"upper case", "a.html", `<SCRIPT SRC="«active»HTTP://CDN.example/a.js"></SCRIPT>`},
		{"style sheet", "a.html", `<link rel="stylesheet" href="«active»http://cdn.example/a.css">`},
		{"rel after href", "a.html", `<link href="«active»http://cdn.example/a.css" rel=StyleSheet>`},
		{"icon", "a.html", `<link rel="shortcut icon" href="«active»http://cdn.example/a.ico">`},
		{"canonical and alternate", "a.html", `<link rel=canonical href="«canonical»http://a.example/"><link rel=alternate href='«canonical»http://a.example/de'>`},
		{"preload", "a.html", `<link rel=preload as=script href="«active»http://a.example/x"><link rel=preload as=image href="«passive»http://a.example/y">`},
		{"frames", "a.html", `<iframe src="«active»http://a.example/"></iframe><object data="«active»http://a.example/b.swf"><param name=movie value="«active»http://a.example/b.swf"><embed src="«active»http://a.example/b.swf"></object>`},
		{"images", "a.html", `<img src="«passive»http://a.example/a.png" alt="http://a.example/"><input type=image src="«passive»http://a.example/b.png"><body background="«passive»http://a.example/c.png">`},
		{"media", "a.html", `<video src="«passive»http://a.example/a.mp4" poster="«passive»http://a.example/a.jpg"><source src="«passive»http://a.example/b.mp4"><track src="«active»http://a.example/t.vtt"></video><audio src='«passive»http://a.example/a.mp3'></audio>`},
		{"srcset", "a.html", `<img srcset="a.png 1x, «active»http://a.example/b.png 2x,«active»http://a.example/c.png 3x">`},
		{"srcset, comma in the address", "a.html", `<source srcset="«active»http://a.example/w_1,h_2/b.png 2x , d.png">`},
		{"form", "a.html", `<form action="«form»http://a.example/send"><button formaction="«form»http://a.example/other">x</button></form>`},
		{"navigation", "a.html", `<a href="«navigation»http://a.example/x?rid=1#y">http://a.example/</a><map><area href='«navigation»http://a.example/'></map>`},
		{"ping", "a.html", `<a href="/" ping="/x «active»http://a.example/p">x</a>`},
		{"base", "a.html", `<base href="«active»http://a.example/">`},
		{"meta refresh", "a.html", `<meta http-equiv="Refresh" content="0; URL='«navigation»http://a.example/'">`},
		{"meta property", "a.html", `<meta property="og:image" content="«canonical»http://a.example/a.png"><meta name="twitter:url" content="«canonical»http://a.example/"><meta name=description content="http://a.example/">`},
		{"inline style", "a.html", `<p style="background: url('«passive»http://a.example/a.png')">`},
		{"style element", "a.html", "<style>\n@import \"«active»http://a.example/a.css\";\nbody { background: url(«passive»http://a.example/a.png) }\n</style>"},
		{"handler", "a.html", `<p onclick="location.href='«navigation»http://a.example/'">`},
		{"handler with references", "a.html", `<p onclick="location.href=&#39;«navigation»http://a.example/&#39;">`},
		{"references in the scheme", "a.html", `<script src="«active»&#104;ttp&colon;//a.example/a.js"></script>`},
		{"javascript address", "a.html", `<a href="javascript:window.open('«navigation»http://a.example/')">`},
		{"blank and line break", "a.html", "<img src=\" \n«passive»ht\ntp://a.example/a.png\">"},
		{"one slash and backslashes", "a.html", `<script src="«active»http:/a.example/a.js"></script><script src="«active»http:\\a.example\a.js"></script>`},
		{"no slash at all", "a.html", `<script src="«active»http:a.example/a.js"></script>`},
		{"two of one name", "a.html", `<img src="a.png" src="http://a.example/">`},
		{"srcdoc", "a.html", `<iframe srcdoc="&lt;img src='«passive»http://a.example/a.png'&gt;"></iframe>`},
		{"noscript", "a.html", `<noscript><img src="«passive»http://a.example/p.gif"></noscript>`},
		{"template", "a.html", `<template><script src="«active»http://a.example/a.js"></script></template>`},
		{"text template", "a.html", `<script type="text/ng-template"><img src="«passive»http://a.example/a.png"></script>`},
		{"data block", "a.html", `<script type="text/x-own">var a = "«unknown-use»http://a.example/x"</script>`},
		{"linked data", "a.html", `<script type="application/ld+json">{"@context": "http://schema.org", "url": "«canonical»http://a.example/"}</script>`},
		{"import map", "a.html", `<script type="importmap">{"imports": {"a": "«active»http://a.example/a.js"}}</script>`},
		{"lazy image", "a.html", `<img data-src="«passive»http://a.example/a.png" data-srcset="«active»http://a.example/a.png 2x"><div data-background="«passive»http://a.example/b.png">`},
		{"data attribute", "a.html", `<div data-endpoint="«unknown-use»http://a.example/api" data-config='{"url":"«unknown-use»http://a.example/x"}' data-title="see http://a.example/">`},
		{"hidden field", "a.html", `<input type=hidden name=next value="«unknown-use»http://a.example/"><input type=text value="http://a.example/">`},
		{"XMPL", "a.html", `<a xmp-href="«navigation»http://a.example/{{xmp.r['X']}}"><form xmp-register xmp-success-url="«navigation»http://a.example/ok.html"><img xmp-src="«passive»http://a.example/a.png"></form>`},
		{"expressions", "a.html", `<a href="{{xmp.r['XMPieRURL']}}"><img ng-src="{{'«passive»http://a.example/' + name}}"><img :src="'«passive»http://a.example/a.png'"><a [href]="'«navigation»http://a.example/'">`},
		{"expression as host", "a.html", `<a href="«navigation»http://{{xmp.r['Host']}}/x">`},
		{"inline SVG", "a.html", `<svg xmlns="http://www.w3.org/2000/svg"><image xlink:href="«passive»http://a.example/a.png"/><use href='«active»http://a.example/b.svg#x'/><text>5" wide</text></svg><script src="«active»http://a.example/a.js"></script>`},
		{"empty foreign elements", "a.html", `<svg><style/><title/><script/></svg><img src="«passive»http://a.example/a.png">`},
		{"MathML", "a.html", `<math><mi>"</mi></math><img src="«passive»http://a.example/a.png">`},
		{"script in a script's comment", "a.html", "<script><!--\nvar a = fetch('«active»http://a.example/');\n//--></script><img src=\"«passive»http://a.example/a.png\">"},
		{"web socket", "a.html", `<script>new WebSocket("«websocket»ws://a.example/s")</script>`},

		// What is not a finding.
		{"comment", "a.html", `<!-- <script src="http://a.example/a.js"></script> --><!--[if IE]><script src="http://a.example/a.js"></script><![endif]-->`},
		{"doctype and namespaces", "a.html", `<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd"><html xmlns="http://www.w3.org/1999/xhtml" prefix="og: http://ogp.me/ns#"><div itemscope itemtype="http://schema.org/Person">`},
		{"and a link there", "a.html", `<link rel=help href="«canonical»http://www.w3.org/TR/html5/"><a href="«navigation»http://www.w3.org/">x</a>`},
		{"but a script from there", "a.html", `<script src="«active»http://www.w3.org/a.js"></script>`},
		{"loopback", "a.html", `<script src="http://localhost:8080/a.js"></script><img src="http://127.0.0.1/a.png"><img src="http://[::1]/a.png"><img src="http://app.localhost/a.png">`},
		{"text", "a.html", `<p>http://a.example/</p><textarea><img src="http://a.example/a.png"></textarea><title>http://a.example/</title>`},
		{"https and relative", "a.html", `<script src="https://a.example/a.js"></script><script src="//a.example/a.js"></script><img src="a.png"><a href="#http://a.example/">`},
		{"in a query", "a.html", `<a href="https://a.example/?to=http://b.example/">`},

		// CSS.
		{"url()", "a.css", `a { background: URL( "«passive»http://a.example/a.png" ) } b { cursor: url(«passive»http://a.example/b.cur) }`},
		{"@import", "a.css", "@import '«active»http://a.example/a.css' screen;\n@import url(«active»http://a.example/b.css);"},
		{"@font-face", "a.css", "@font-face { font-family: a; src: url(«active»http://a.example/a.woff2) format('woff2'); }\nb { background: url(«passive»http://a.example/b.png) }"},
		{"escapes", "a.css", `a { background: url(«passive»\68ttp\3a //a.example/a.png) }`},
		{"image-set()", "a.css", `a { background: image-set("«passive»http://a.example/a.png" 1x) } b::after { content: "http://a.example/" }`},
		{"comments", "a.css", `/* url(http://a.example/a.png) */ @namespace svg url(http://www.w3.org/2000/svg);`},
		{"data address", "a.css", `a { background: url("data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg'/>") }`},
		{"SCSS line comment", "a.scss", "// url(http://a.example/a.png)\na { b { background: url(«passive»http://a.example/b.png) } }"},
		{"custom property", "a.css", `:root { --bg: url(«passive»http://a.example/a.png); }`},

		// JavaScript.
		{"fetch", "a.js", `fetch("«active»http://a.example/api")`},
		{"fetch of a template", "a.js", "fetch(`«active»http://a.example/api/${id}`)"},
		{"requests", "a.js", `$.ajax({type: "GET", url: "«active»http://a.example/a"}); $.getJSON('«active»http://a.example/b'); axios.post("«active»http://a.example/c", d); x.open("GET", "«active»http://a.example/d"); $http({url:"«active»http://a.example/e"})`},
		{"workers and imports", "a.js", "import x from '«active»http://a.example/a.js';\nimport('«active»http://a.example/b.js'); new Worker('«active»http://a.example/c.js'); importScripts('x.js','«unknown-use»http://a.example/d');"},
		{"web sockets", "a.js", `new WebSocket('«websocket»ws://a.example/s'); var rows = "rows:1"`},
		{"navigation by script", "a.js", `location = '«navigation»http://a.example/'; window.location.href = "«navigation»http://a.example/"; location.replace("«navigation»http://a.example/"); window.open('«navigation»http://a.example/')`},
		{"elements", "a.js", `img.src = "«passive»http://a.example/x"; script.src = '«active»http://a.example/y'; f.action = "«form»http://a.example/z"; e.src = '«active»http://a.example/a.js'; e.src = "«unknown-use»http://a.example/q"`},
		{"setAttribute", "a.js", `e.setAttribute("action", "«form»http://a.example/z"); e.setAttribute('src', '«passive»http://a.example/a.png')`},
		{"use not visible", "a.js", `var base = "«unknown-use»http://a.example/api", o = {endpoint: '«unknown-use»http://a.example/'}; f("«unknown-use»http://a.example/")`},
		{"glued literals", "a.js", `fetch("«active»http:" + "//a.example" + '/api'); var b = '«unknown-use»ht' + 'tp://x.example'; fetch("«active»http" + "://b.example/")`},
		{"scheme alone", "a.js", `fetch('«active»http:' + path); location.protocol = '«navigation»http:'; if (location.protocol === 'http:') x = ssl ? 'https:' : 'http:'`},
		{"vocabulary host as image", "a.js", `e.src = "«passive»http://www.w3.org/Icons/a.png"; e.src = '«unknown-use»http://www.w3.org/Icons/a'`},
		{"glued with a variable", "a.js", `fetch("«active»http://" + host + "/api"); var u = '«unknown-use»http://' + host;`},
		{"escapes in strings", "a.js", `fetch("«active»http:\/\/a.example\/x"); fetch('«active»\x68ttp://a.example/'); fetch("«active»http\u003a//a.example/")`},
		{"line continuation", "a.js", "fetch('«active»http:/\\\n/a.example/')"},
		{"markup in strings", "a.js", `document.write('<script src="«active»http://a.example/a.js"><\/script>'); e.innerHTML = "<img src='«passive»http://a.example/a.png'>"`},
		{"markup cut in two", "a.js", `e.innerHTML = '<img src="«passive»http://a.example/' + id + '.png">'`},
		{"style in strings", "a.js", "e.style.backgroundImage = \"url('«passive»http://a.example/a.png')\"; s.textContent = \"@import '«active»http://a.example/a.css'\"; var c = `background: url(«passive»http://a.example/b.png)`"},
		{"comments in scripts", "a.js", "// fetch('http://a.example/')\n/* fetch('http://a.example/') */ var a = 1 // 'http://a.example/'"},
		{"comparisons", "a.js", `if (u.indexOf('http://') === 0 || u.startsWith("http://a.example/") || u == 'http://a.example/') u = u.replace('http://', 'https://'); switch (u) { case "http://a.example/": }`},
		{"identifiers", "a.js", `document.createElementNS("http://www.w3.org/2000/svg", "svg"); var ns = {svg: "http://www.w3.org/2000/svg"}`},
		{"text in strings", "a.js", `console.log("http://a.example/"); throw new Error('http://a.example/'); var t = "see http://a.example/ for more"`},
		{"regular expressions", "a.js", `var r = /http:\/\/a.example\/'/; if (/["']/.test(s)) fetch("«active»http://a.example/"); var x = a / b / fetch('«active»http://a.example/')`},
		{"regular expression after a bracket", "a.js", `if (x) /'/.test(y); fetch('«active»http://a.example/')`},
		{"division after a bracket", "a.js", `var a = (b) / 2; fetch('«active»http://a.example/') / 3`},
		{"nested templates", "a.js", "var a = `x ${ fetch(`«active»http://a.example/`) + '}' } y`; fetch('«active»http://b.example/')"},
		{"protocol-relative", "a.js", `fetch(location.protocol + '//a.example/'); fetch((ssl ? 'https' : 'http') + '://a.example/')`},
		{"JSX", "a.jsx", "const a = <p>Don't <img src=\"«passive»http://a.example/a.png\"/><a href='«navigation»http://a.example/'>it's</a></p>;\nfetch('«active»http://a.example/')"},
		{"JSX with expressions", "a.tsx", "const f = (a: number) => a < 3 && a > 1 ? <ul>{l.map(x => <li key={x}>it's {x > 1 ? 'a' : <b>\"</b>} <a href=\"«navigation»http://a.example/\">a</a></li>)}</ul> : <></>;\nfetch('«active»http://a.example/')"},
		{"React in .js", "a.js", "import React from 'react';\nexport default () => <div>Don't<img src=\"«passive»http://a.example/a.png\" /><br/>can't</div>;\nfetch('«active»http://a.example/')"},
		{"TypeScript generics", "a.ts", "const m = new Map<string, Array<number>>(); f<A>(b); fetch('«active»http://a.example/')"},
		{"a lone quote does not hide the rest", "a.js", "var a = don't\nfetch('«active»http://a.example/')"},
		{"loopback in scripts", "a.js", `fetch("http://localhost:3000/"); fetch('http://127.0.0.1/')`},
		{"number before a word", "a.js", `var a = 3px; fetch('«active»http://a.example/')`},

		// Data.
		{"JSON", "a.json", `{"a": "«unknown-use»http://a.example/", "$schema": "http://json-schema.org/draft-07/schema#", "img": ["«passive»http://a.example/a.png"], "t": "see http://a.example/"}`},
		{"escaped JSON", "a.json", `{"a": "«unknown-use»http:\/\/a.example\/", "html": "<img src=\"«passive»http://a.example/a.png\">"}`},
		{"manifest", "a.webmanifest", `{"start_url": "«navigation»http://a.example/", "icons": [{"src": "«passive»http://a.example/x"}]}`},
		{"SVG file", "a.svg", "<?xml version=\"1.0\"?>\n<!DOCTYPE svg PUBLIC \"-//W3C//DTD SVG 1.1//EN\" \"http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd\">\n<svg xmlns='http://www.w3.org/2000/svg' xmlns:xlink='http://www.w3.org/1999/xlink'><style>a{fill:url(«passive»http://a.example/p)}</style><image xlink:href='«passive»http://a.example/a.png'/><script><![CDATA[fetch('«active»http://a.example/')]]></script></svg>"},
		{"sitemap", "sitemap.xml", `<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="http://www.sitemaps.org/schemas/sitemap/0.9 http://www.sitemaps.org/x.xsd"><url><loc>«canonical»http://a.example/</loc></url><!-- http://a.example/ --></urlset>`},
		{"IIS configuration", "web.config", `<configuration><rule><action type="Redirect" url="«unknown-use»http://a.example/{R:1}"/></rule></configuration>`},
		{"page without extension", "Enroll", "\n<html><script src=\"«active»http://a.example/a.js\"></script></html>"},
		{"text without extension", "LICENSE", `see <script src="http://a.example/a.js">`},
		{"robots.txt", "robots.txt", "User-agent: *\nSitemap: «canonical»http://a.example/sitemap.xml\n# Sitemap: http://a.example/\n"},

		// Forms that are easily overlooked.
		{"refresh without url=", "a.html", `<meta http-equiv=refresh content="0; «navigation»http://a.example/">`},
		{"refresh to a host with url in its name", "a.html", `<meta http-equiv=refresh content="0; «navigation»http://curl.example/">`},
		{"refresh url = spaced", "a.html", `<meta http-equiv=refresh content="0;URL = &quot;«navigation»http://a.example/&quot;">`},
		{"paint server", "a.html", `<svg><rect fill="url(«passive»http://a.example/p.svg#x)"/><g filter='url("«passive»http://a.example/f.svg#x")'/></svg>`},
		{"empty comment", "a.html", `<!--><script src="«active»http://a.example/a.js"></script><!-- x -->`},
		{"empty comment 2", "a.html", `<!---><script src="«active»http://a.example/a.js"></script><!-- x -->`},
		{"comment ended by --!>", "a.html", `<!-- x --!><script src="«active»http://a.example/a.js"></script><!-- x -->`},
		{"revealed", "a.html", `<!--[if !IE]><!--><script src="«active»http://a.example/a.js"></script><!--<![endif]--><![if !IE]><img src="«passive»http://a.example/b.png"><![endif]>`},
		{"data page", "a.html", `<iframe src="data:text/html,<script src='«active»http://a.example/a.js'></script>"></iframe>`},
		{"data page escaped", "a.html", `<iframe src="data:text/html;charset=utf-8,%3Cimg%20src=%22«passive»http%3A%2F%2Fa.example%2Fa.png%22%3E"></iframe>`},
		{"data style", "a.html", `<link rel=stylesheet href="data:text/css,@import url(«active»http://a.example/a.css)">`},
		{"data script", "a.html", `<script src="data:text/javascript,fetch('«active»http://a.example/')"></script>`},
		{"data image", "a.html", `<img src="data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg'/>">`},
		{"meta for a script", "a.html", `<meta name="api-base" content="«unknown-use»http://a.example/api"><meta name=description content="http://a.example/">`},
		{"data attributes with plain names", "a.html", `<a data-media="«passive»http://a.example/a.jpg" data-name="«unknown-use»http://a.example/" data-title="http://a.example/">`},
		{"SVG script entity", "a.svg", `<svg xmlns="http://www.w3.org/2000/svg"><script>fetch("«active»&#104;ttp://a.example/")</script></svg>`},
		{"animated href", "a.svg", `<svg xmlns="http://www.w3.org/2000/svg"><set attributeName="href" to="«unknown-use»http://a.example/x"/></svg>`},
		{"css escaped function", "a.css", `a { background: \75rl("«passive»http://a.example/a.png") }`},
		{"css escaped function unquoted", "a.css", `a { background: \75rl(«passive»http://a.example/a.png) }`},
		{"css custom property string", "a.css", `:root { --api: "«unknown-use»http://a.example/" } a::before { content: "http://a.example/" }`},
		{"css import string escape", "a.css", `@import "«active»ht\tp://x"; @\69mport "«active»http://a.example/b.css";`},
		{"scheme in a variable", "a.js", `var s = '«unknown-use»http://'; fetch(s + 'a.example/'); var o = {base: '«unknown-use»http://'}; var p = '«unknown-use»http:';`},
		{"scheme by the page's", "a.js", `var s = ('https:' == location.protocol) ? 'https://' : 'http://'; if (u.substr(0, 7) == 'http://') {}`},
		{"markup with a computed host", "a.js", "e.innerHTML = '<img src=\"«passive»http://' + host + '/a.png\">'; e.innerHTML = `<script src=\"«active»http://${host}/a.js\"></script>`"},
		{"style with a computed host", "a.js", "e.style.background = 'url(«passive»http://' + host + ')'; s = `background: url(\"«passive»http://${host}/a.png\")`"},
		{"markup after a variable", "a.js", `e.innerHTML = '<img class="' + c + '" src="«passive»http://a.example/a.png">'; e.innerHTML = '<a id="' + c + '" href=\'«unknown-use»http://a.example/\'><b>x</b></a>'`},
		{"markup between two variables", "a.js", "e.innerHTML = `<a id=\"${c}\" href=\"«unknown-use»http://${h}/\">x</a>`"},
		{"JSON in a string", "a.js", `var o = JSON.parse('{"u":"«unknown-use»http:\\/\\/a.example\\/","v":["«unknown-use»http://b.example/"]}')`},
		{"JSON blank", "a.json", `{"a": " «unknown-use»http://a.example/", "css": "a{background:url(«passive»http://a.example/a.png)}", "homepage": "«unknown-use»http://a.example/"}`},
		{"package.json", "package.json", `{"homepage": "http://a.example/", "bugs": {"url": "http://a.example/"}, "license": "http://a.example/"}`},
		{"escaped slashes in an attribute", "a.html", `<div data-url="«unknown-use»http:\/\/a.example\/">`},
		{"geojson", "a.geojson", `{"a": "«unknown-use»http://a.example/"}`},
		{"import map scopes", "a.html", `<script type="importmap">{"scopes": {"«active»http://a.example/": {"b": "«active»http:\/\/a.example\/b.js"}}}</script>`},
		{"service worker", "a.js", `navigator.serviceWorker.register('«active»http://a.example/sw.js'); self.importScripts("«active»http://a.example/x"); caches.open('v').then(c => c.addAll(['/', '«active»http://a.example/a.js']))`},
		{"linked data", "a.html", `<script type="application/ld+json">{"@context":"http:\/\/schema.org","logo":"«canonical»http:\/\/a.example\/l.png"}</script>`},
		{"imagesrcset", "a.html", `<link rel=preload as=image imagesrcset="a.png 1x, «active»http://a.example/b.png 2x">`},
		{"object codebase etc", "a.html", `<object classid="«active»http://a.example/x" codebase="«active»http://a.example/y"></object><a attributionsrc="«unknown-use»http://a.example/">x</a>`},
		{"href with tab entity", "a.html", `<a href="&Tab;«navigation»ht&#10;tp://a.example/">`},
		{"javascript with breaks", "a.html", `<a href="java&#10;script:window.open('«navigation»http://a.example/')">`},
		{"noembed iframe text", "a.html", `<iframe><img src="http://a.example/"></iframe><script src="«active»http://a.example/a.js"></script>`},
		{"xlink in SVG a", "a.html", `<svg><a xlink:href="«navigation»http://a.example/"><image href="«passive»http://a.example/a.png"/></a><script xlink:href="«active»http://a.example/a.js"></script></svg>`},
		{"stylesheet of XML", "a.xml", `<?xml version="1.0"?><?xml-stylesheet type="text/xsl" href="«active»http://a.example/a.xsl"?><a/>`},
		{"stylesheet of SVG", "a.svg", `<?xml-stylesheet href="«active»http://a.example/a.css"?><svg xmlns="http://www.w3.org/2000/svg"/>`},
		{"PHP", "a.php", "<?php header('Location: x'); header('Location: «unknown-use»http://d.example/'); header(\"Refresh: 0; url=«unknown-use»http://\" . $h); $u = '«unknown-use»http://a.example/'; // http://a.example/\n?><a href=\"<?= '«unknown-use»http://b.example/' . $x ?>\">don't</a><img src=\"«passive»http://c.example/<?= $x ?>.png\">"},
		{"JSP and ASP", "a.jsp", `<%@ taglib uri="http://java.sun.com/jsp/jstl/core" %><%-- "http://a.example/" --%><% response.sendRedirect("«unknown-use»http://a.example/"); %><script src="«active»http://b.example/<%= x %>.js"></script>`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			src, want := marked(tc.file, tc.src)
			s := scan(t, map[string]string{tc.file: src})
			assert.Equal(t, want, linkLines(s))
			assert.Empty(t, s.Unread)

			// A byte order mark, CRLF and Latin-1 text before it move the columns and nothing else.
			s = scan(t, map[string]string{tc.file: "\xef\xbb\xbf" + src})
			assert.Len(t, s.Links, len(want))
		})
	}
}

// TestLinkShown: what is printed carries no credentials, query or token.
func TestLinkShown(t *testing.T) {
	s := scan(t, map[string]string{"a.html": `<a href="http://user:hunter2@a.example:8080/x/` + testToken + `/y?key=hunter2#hunter2">`})
	require.Len(t, s.Links, 1)
	l := s.Links[0]
	assert.Equal(t, "http://…@a.example:8080/x/…/y", l.URL)
	assert.Equal(t, "a.example", l.Host)
	assert.Equal(t, "8080", l.Port)
}

// TestColumns counts characters in UTF-8, wherever they stand, and bytes in a code page.
func TestColumns(t *testing.T) {
	pad := strings.Repeat("é€😀", 400)
	for name, before := range map[string]string{
		"ASCII": "<p>", "letters": "<p>Größe 😀", "further down": "<p>ü\n<!-- " + pad + " -->\n<b>été</b>", "long line": "<p>" + pad, "mark": "\ufeff<p>é",
		"code page": "<p>Gr\xf6\xdfe\xab", "ends with one": "<p>é",
	} {
		t.Run(name, func(t *testing.T) {
			s, err := circlehttps.Site{FS: mapFS(map[string]string{"a.html": before + `<img src="http://a.example/a.png"> <img src="http://a.example/é.png">`})}.Scan(t.Context())
			require.NoError(t, err)
			require.Len(t, s.Links, 2)
			last := before[strings.LastIndexByte(before, '\n')+1:]
			column := 1 + utf8.RuneCountInString(strings.TrimPrefix(last, "\ufeff")) + len(`<img src="`)
			line := 1 + strings.Count(before, "\n")
			assert.Equal(t, connsec.Position{File: "a.html", Line: line, Column: column}, s.Links[0].Source)
			assert.Equal(t, connsec.Position{File: "a.html", Line: line, Column: column + len(`http://a.example/a.png"> <img src="`)}, s.Links[1].Source)
		})
	}
}
