package circlehttps_test

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/circlehttps"
)

// Tokens and projects of our own making, in the form that Circle writes.
const (
	testProject = "20000002-0000-4000-8000-abc000000002"
	testToken   = "20000001-0000-4000-8000-abc000000001_" + testProject + "_0123456789abcdef0123456789abcdef"
)

// circleWrites is xmpcfg.js exactly as Circle writes it.
const circleWrites = "var xmpcfg = {access: { accessToken: '" + testToken + "', url: 'http://marketing.example.com/XMPieXMPL_REST_API', circleProjectID:'" +
	testProject + "', circleProjectName: 'Spring 2026' }};"

const configURL = "http://marketing.example.com/XMPieXMPL_REST_API"

// configShapes are the shapes in which xmpcfg is met. The mark ¦ stands before the quote of the
// address that holds.
var configShapes = map[string]struct {
	file string
	src  string
	defs int // live definitions
}{
	"as Circle writes it": {"xmpcfg.js", strings.Replace(circleWrites, "'http:", "¦'http:", 1), 1},
	"formatted, trailing commas, no semicolon": {"xmpcfg.js", "var xmpcfg = {\n\taccess: {\n\t\taccessToken:\n\t\t\t'" + testToken + "',\n\t\turl: ¦'" + configURL +
		"',\n\t\tcircleProjectID: '" + testProject + "',\n\t},\n}\n", 1},
	"CRLF":            {"xmpcfg.js", "var xmpcfg = {access: {\r\naccessToken: 'x',\r\nurl: ¦'" + configURL + "'\r\n}};\r\n", 1},
	"byte order mark": {"xmpcfg.js", "\xef\xbb\xbfvar xmpcfg={access:{accessToken:'x',url:¦'" + configURL + "'}}", 1},
	"earlier one in a line comment": {"xmpcfg.js", "//var xmpcfg = {access: { accessToken: 'old', url: 'http://old.example/XMPieXMPL_REST_API' }};\n" +
		"var xmpcfg = {access: { accessToken: 'x', url: ¦'" + configURL + "' }};", 1},
	"earlier one in a block comment":    {"xmpcfg.js", "/* var xmpcfg = {access:{url:'http://a.example/'}} */\nvar xmpcfg={access:{accessToken:'x',url:¦'" + configURL + "'}}", 1},
	"comment inside":                    {"xmpcfg.js", "var xmpcfg = {access: { /* url: 'http://no.example/' */ accessToken: 'x', // url: 'http://no.example/'\nurl: ¦'" + configURL + "'}};", 1},
	"URL in upper case":                 {"xmpcfg.js", "var xmpcfg = {access: {accessToken: 'x', URL: ¦'" + configURL + "'}};", 1},
	"url and URL":                       {"xmpcfg.js", "var xmpcfg = {access: {accessToken: 'x', URL: 'http://no.example/', url: ¦'" + configURL + "'}};", 1},
	"quoted keys and double quotes":     {"xmpcfg.js", `var xmpcfg = {"access": {"accessToken": "x", "url": ¦"` + configURL + `"}};`, 1},
	"template literal":                  {"xmpcfg.js", "const xmpcfg = {access: {accessToken: `x`, url: ¦`" + configURL + "`}}", 1},
	"window property":                   {"xmpcfg.js", "window.xmpcfg={access:{accessToken:'x',url:¦'" + configURL + "'}};", 1},
	"escaped slashes":                   {"xmpcfg.js", `var xmpcfg={access:{accessToken:'x',url:¦'http:\/\/marketing.example.com\/XMPieXMPL_REST_API'}};`, 1},
	"twice, the last holds":             {"xmpcfg.js", "var xmpcfg={access:{accessToken:'x',url:'http://a.example/'}};\nvar xmpcfg={access:{accessToken:'x',url:¦'" + configURL + "'}};", 2},
	"the same key twice":                {"xmpcfg.js", "var xmpcfg={access:{accessToken:'x',url:'http://a.example/',url:¦'" + configURL + "'}};", 1},
	"in a React source":                 {"index.tsx", "import {XmplProvider} from 'xmpl-react';\nconst xmpcfg = {access: {accessToken: 'x', url: ¦'" + configURL + "'}};\nroot.render(<XmplProvider xmpcfg={xmpcfg}><App/></XmplProvider>);", 1},
	"as a React attribute":              {"index.tsx", "const a = <XmplProvider xmpcfg={{access: {accessToken: 'x', url: ¦'" + configURL + "'}}}><p>Don't</p></XmplProvider>", 1},
	"with a TypeScript type":            {"index.tsx", "export const xmpcfg: XmplConfig = {access: {accessToken: 'x', url: ¦'" + configURL + "'}};", 1},
	"minified among other code":         {"xmpcfg.js", `var b="",a=/["'{]/.test(b)?1:2/3;if(!b)/'/.test(b);var xmpcfg={access:{accessToken:"x",url:¦"` + configURL + `"}},c=1;`, 1},
	"an apostrophe in the project name": {"xmpcfg.js", `var xmpcfg = {access: { accessToken: 'x', circleProjectName: 'Anna\'s "spring"', url: ¦'` + configURL + `' }};`, 1},
}

func TestParseConfig(t *testing.T) {
	for name, tc := range configShapes {
		t.Run(name, func(t *testing.T) {
			before, after, _ := strings.Cut(tc.src, "¦")
			c, err := circlehttps.ParseConfig(tc.file, []byte(before+after))
			require.NoError(t, err)
			require.Len(t, c.Definitions, tc.defs)
			d := c.Definitions[tc.defs-1]
			assert.Equal(t, configURL, d.URL.Text)
			assert.Equal(t, "marketing.example.com", d.Host())
			assert.Equal(t, connsec.Position{File: tc.file, Line: strings.Count(before, "\n") + 1, Column: 1 + utf8.RuneCountInString(strings.TrimPrefix(before[strings.LastIndexByte(before, '\n')+1:], "\ufeff"))}, d.URL.Source)
			assert.Empty(t, d.Computed)
		})
	}
}

func TestParseConfigFields(t *testing.T) {
	c, err := circlehttps.ParseConfig("xmpcfg.js", []byte(circleWrites))
	require.NoError(t, err)
	d := c.Definitions[0]
	assert.Equal(t, testToken, d.AccessToken.Reveal())
	assert.True(t, d.TokenKnown)
	assert.Equal(t, testProject, d.TokenProject)
	assert.Equal(t, testProject, d.ProjectID.Text)
	assert.Equal(t, "Spring 2026", d.ProjectName.Text)
	scheme, ok := d.Scheme()
	assert.True(t, ok)
	assert.Equal(t, circlehttps.HTTP, scheme)
	assert.False(t, d.UpperURL)
}

func TestParseConfigProblems(t *testing.T) {
	for name, tc := range map[string]struct{ src, want string }{
		"empty":         {"", "xmpcfg.js: xmpcfg is not defined"},
		"other code":    {"var a = 1;", "xmpcfg.js: xmpcfg is not defined"},
		"comment only":  {"// var xmpcfg = {access: {url: 'http://a.example'}};", "xmpcfg.js:1:8: xmpcfg is defined in a comment only"},
		"never closed":  {"var xmpcfg = {access: {url: 'http://a.example'};", "not valid JavaScript"},
		"open quote":    {"var xmpcfg = {access: {url: 'http://a.example};\n}};", "not valid JavaScript"},
		"a use only":    {"if (xmpcfg.access.url == 'http://a.example') alert(1)", "xmpcfg is not defined"},
		"UTF-16":        {"\xff\xfev\x00a\x00r\x00", "it is UTF-16"},
		"a binary file": {"\x7fELF\x00\x01\x02", "it looks like a binary file"},
		"HTML":          {"<!DOCTYPE html><html><body>Not found</body></html>", "not valid JavaScript"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := circlehttps.ParseConfig("xmpcfg.js", []byte(tc.src))
			require.ErrorContains(t, err, tc.want)
			assert.NotContains(t, err.Error(), "\n")
		})
	}
}

func TestParseConfigComputed(t *testing.T) {
	for name, tc := range map[string]struct {
		src  string
		want []string
	}{
		"a variable":          {"var xmpcfg = {access: {accessToken: 'x', url: base}};", []string{"url"}},
		"glued":               {"var xmpcfg = {access: {accessToken: 'x', url: 'http://' + host}};", []string{"url"}},
		"a template":          {"var xmpcfg = {access: {accessToken: 'x', url: `http://${host}/`}};", []string{"url"}},
		"the whole":           {"var xmpcfg = load();", []string{"xmpcfg"}},
		"a spread":            {"var xmpcfg = {access: {...common, accessToken: 'x', url: 'http://a.example/'}};", []string{"access"}},
		"assigned afterwards": {"var xmpcfg = {access: {accessToken: 'x', url: 'http://a.example/'}};\nxmpcfg.access.url = location.protocol + '//a.example/';", []string{"url"}},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := circlehttps.ParseConfig("xmpcfg.js", []byte(tc.src))
			require.NoError(t, err)
			assert.Equal(t, tc.want, c.Definitions[0].Computed)
		})
	}
}

func TestParseCustom(t *testing.T) {
	c, err := circlehttps.ParseCustom("xmpcustom.js", []byte("var xmpcustom = {\n\tloginUrl: 'https://www.example.com/spring/login.html'\n}"))
	require.NoError(t, err)
	assert.Equal(t, "https://www.example.com/spring/login.html", c.LoginURL.Text)
	assert.Equal(t, 2, c.LoginURL.Source.Line)
	assert.Equal(t, 12, c.LoginURL.Source.Column)

	_, err = circlehttps.ParseCustom("xmpcustom.js", []byte("var xmpcfg = {}"))
	require.ErrorContains(t, err, "xmpcustom is not defined")
}

func TestSetScheme(t *testing.T) {
	for name, tc := range map[string]struct {
		src  string
		to   circlehttps.Scheme
		want string // empty: an error
	}{
		"to HTTPS":          {circleWrites, circlehttps.HTTPS, strings.Replace(circleWrites, "'http:", "'https:", 1)},
		"already":           {circleWrites, circlehttps.HTTP, circleWrites},
		"upper case":        {"var xmpcfg={access:{url:'HTTP://A.example/'}}", circlehttps.HTTPS, "var xmpcfg={access:{url:'HTTPS://A.example/'}}"},
		"default port":      {"var xmpcfg={access:{url:'http://a.example:80/x'}}", circlehttps.HTTPS, "var xmpcfg={access:{url:'https://a.example:443/x'}}"},
		"back with port":    {"var xmpcfg={access:{url:'https://a.example:443/x'}}", circlehttps.HTTP, "var xmpcfg={access:{url:'http://a.example:80/x'}}"},
		"other port":        {"var xmpcfg={access:{url:'http://a.example:8080/x'}}", circlehttps.HTTPS, ""},
		"wrong port":        {"var xmpcfg={access:{url:'http://a.example:443/x'}}", circlehttps.HTTPS, ""},
		"mixed case":        {"var xmpcfg={access:{url:'httpS://a.example/x'}}", circlehttps.HTTP, ""},
		"other scheme":      {"var xmpcfg={access:{url:'ftp://a.example/x'}}", circlehttps.HTTPS, ""},
		"scheme of schemes": {"var xmpcfg={access:{url:'h:http://a.example/x'}}", circlehttps.HTTPS, ""},
		"IPv6":              {"var xmpcfg={access:{url:'http://[2001:db8::1]/x'}}", circlehttps.HTTPS, "var xmpcfg={access:{url:'https://[2001:db8::1]/x'}}"},
		"escaped scheme":    {`var xmpcfg={access:{url:'\x68ttp://a.example/x'}}`, circlehttps.HTTPS, ""},
		"two that agree":    {"var xmpcfg={access:{url:'http://a.example'}};var xmpcfg={access:{url:'http://b.example'}}", circlehttps.HTTPS, "var xmpcfg={access:{url:'https://a.example'}};var xmpcfg={access:{url:'https://b.example'}}"},
		"two that do not":   {"var xmpcfg={access:{url:'http://a.example'}};var xmpcfg={access:{url:'https://b.example'}}", circlehttps.HTTPS, ""},
		"computed":          {"var xmpcfg={access:{url:base}}", circlehttps.HTTPS, ""},
		"commented earlier": {"//var xmpcfg={access:{url:'http://a.example'}}\r\nvar xmpcfg={access:{url:'http://b.example'}}\r\n", circlehttps.HTTPS, "//var xmpcfg={access:{url:'http://a.example'}}\r\nvar xmpcfg={access:{url:'https://b.example'}}\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			src := []byte(tc.src)
			got, err := circlehttps.SetScheme("xmpcfg.js", src, tc.to)
			assert.Equal(t, tc.src, string(src), "the input is left alone")
			if tc.want == "" {
				require.Error(t, err)
				assert.NotContains(t, err.Error(), testToken)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tc.want, string(got))
		})
	}
}

// FuzzSetScheme: switching and switching back gives the original bytes, and changes nothing
// but the scheme and the port of the addresses.
func FuzzSetScheme(f *testing.F) {
	f.Add([]byte(circleWrites))
	f.Add([]byte("\xef\xbb\xbf//var xmpcfg = {access: {URL: 'http://a.example'}}\r\nvar xmpcfg = {\r\n\taccess: {\r\n\t\tURL: `https://a.example:443/`,\r\n\t},\r\n}\r\n"))
	f.Add([]byte(`<App xmpcfg={{access:{url:"http:\/\/a.example:80"}}}/>`))
	f.Fuzz(func(t *testing.T, src []byte) {
		c, err := circlehttps.ParseConfig("f", src)
		if err != nil {
			require.NotContains(t, err.Error(), "defect")
			return
		}
		from, ok := c.Definitions[0].Scheme()
		if !ok {
			return
		}
		to := circlehttps.HTTPS
		if from == to {
			to = circlehttps.HTTP
		}
		there, err := circlehttps.SetScheme("f", src, to)
		if err != nil {
			return
		}
		d, err := circlehttps.ParseConfig("f", there)
		require.NoError(t, err)
		require.Len(t, d.Definitions, len(c.Definitions))
		for i := range d.Definitions {
			got, _ := d.Definitions[i].Scheme()
			require.Equal(t, to, got)
			require.Equal(t, c.Definitions[i].Host(), d.Definitions[i].Host())
			require.Equal(t, c.Definitions[i].AccessToken.Reveal(), d.Definitions[i].AccessToken.Reveal())
		}
		back, err := circlehttps.SetScheme("f", there, from)
		require.NoError(t, err)
		require.True(t, bytes.Equal(src, back), "%q came back as %q", src, back)
	})
}

func BenchmarkParseConfig(b *testing.B) {
	src := []byte(circleWrites)
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := circlehttps.ParseConfig("xmpcfg.js", src); err != nil {
			b.Fatal(err)
		}
	}
}

func TestSurrogatePairs(t *testing.T) {
	c, err := circlehttps.ParseCustom("xmpcustom.js", []byte(`var xmpcustom = { loginUrl: '\ud83d\ude00/\ud83dx' }`))
	require.NoError(t, err)
	assert.Equal(t, "😀/\ufffdx", c.LoginURL.Text)
}
