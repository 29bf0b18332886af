package circlehttps_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/circlehttps"
	"github.com/connsec/connsec/internal/ruletest"
)

func check(t *testing.T, p circlehttps.Project, files map[string]string) connsec.Report {
	t.Helper()
	r, err := circlehttps.Site{FS: mapFS(files)}.Check(context.Background(), p)
	require.NoError(t, err)
	return r
}

const (
	v3Page = `<html ng-app="xmp.app"><head>%s</head><body ng-controller="XMPPersonalizedPage">%s</body></html>`
	v5Page = `<html><head>%s</head><body xmp-personalized-controller>%s</body></html>`
	v3Lib  = `<script src="https://ajax.xmcircle.com/ajax/libs/xmpl/3.1.4/xmp/js/xmp.min.js"></script>`
	v5Lib  = `<script src="https://ajax.xmcircle.com/ajax/libs/XMPL-V5/5.0/xmpl.min.js"></script>`
	cfgTag = `<script src="xmpcfg.js"></script>`
)

// TestJudgements goes through what one rule says in each case.
func TestJudgements(t *testing.T) {
	page := func(format, head, body string) map[string]string {
		return map[string]string{"xmpcfg.js": secureConfig, "index.html": fmt.Sprintf(format, head, body)}
	}
	config := func(src string) map[string]string { return map[string]string{"xmpcfg.js": src} }
	api := func(url string) map[string]string {
		return config("var xmpcfg = {access: {accessToken: 'x', url: '" + url + "', circleProjectID: 'y'}};")
	}
	custom := func(src string) map[string]string {
		return map[string]string{"xmpcfg.js": secureConfig, "xmpcustom.js": src, "login.html": fmt.Sprintf(v5Page, "", `<form xmp-signin><input xmp-password></form>`), "plain.html": "<html></html>"}
	}
	login := func(url string) map[string]string { return custom("var xmpcustom = {loginUrl: '" + url + "'}") }
	here := circlehttps.Project{SiteURL: "https://www.example.com/spring"}
	secured := circlehttps.Project{SecURL: circlehttps.On}
	const pass, fail, unknown, skipped = connsec.Pass, connsec.Fail, connsec.Inconclusive, connsec.NotApplicable

	for _, tc := range []struct {
		name    string
		rule    *connsec.Rule
		project circlehttps.Project
		files   map[string]string
		want    connsec.Outcome
	}{
		{"library but no xmpcfg", circlehttps.RuleConfigMissing, here, page(v3Page, v3Lib, ""), fail},
		{"inline definition", circlehttps.RuleConfigMissing, here, map[string]string{"index.html": fmt.Sprintf(v5Page, "<script>"+secureConfig+"</script>"+v5Lib, "")}, pass},
		{"definition in a bundle", circlehttps.RuleConfigMissing, here, map[string]string{"app.js": secureConfig, "xmpcfg.js": secureConfig, "index.html": fmt.Sprintf(v5Page, v5Lib, "")}, unknown},
		{"no file at all", circlehttps.RuleConfigMissing, here, map[string]string{"a.css": "a{}"}, fail},
		{"unreadable xmpcfg.js", circlehttps.RuleConfigMissing, here, config("\xff\xfev\x00"), unknown},

		{"no token", circlehttps.RuleConfigUnreadable, here, config("var xmpcfg = {access: {url: 'https://a.example/'}};"), fail},
		{"no url", circlehttps.RuleConfigUnreadable, here, config("var xmpcfg = {access: {accessToken: 'x'}};"), fail},
		{"no access", circlehttps.RuleConfigUnreadable, here, config("var xmpcfg = {};"), fail},
		{"relative url", circlehttps.RuleConfigUnreadable, here, api("/XMPieXMPL_REST_API"), fail},
		{"computed url", circlehttps.RuleConfigUnreadable, here, config("var xmpcfg = {access: {accessToken: 'x', url: base}};"), unknown},
		{"comment only", circlehttps.RuleConfigUnreadable, here, config("// " + secureConfig), fail},

		{"http, project off", circlehttps.RuleConfigHTTP, circlehttps.Project{HTTPS: circlehttps.Off, SecURL: circlehttps.Off}, config(circleWrites), skipped},
		{"http, project off, SecURL on", circlehttps.RuleConfigHTTP, circlehttps.Project{HTTPS: circlehttps.Off, SecURL: circlehttps.On}, config(circleWrites), fail},
		{"computed", circlehttps.RuleConfigHTTP, here, config("var xmpcfg = {access: {accessToken: 'x', url: base}};"), skipped},
		{"another live one says http", circlehttps.RuleConfigHTTP, here, config("if (a) { " + circleWrites + " } else { " + secureConfig + " }"), unknown},
		{"assigned in another script", circlehttps.RuleConfigHTTP, here, map[string]string{"xmpcfg.js": secureConfig, "app.js": "xmpcfg.access.url = 'http://a.example/'"}, skipped},
		{"assigned in another script", circlehttps.RuleConfigUnreadable, here, map[string]string{"xmpcfg.js": secureConfig, "app.js": "xmpcfg.access.url = 'http://a.example/'"}, unknown},
		{"stale after the way back", circlehttps.RuleConfigSchemeMismatch, circlehttps.Project{HTTPS: circlehttps.Off}, config(secureConfig), fail},
		{"http and off agree", circlehttps.RuleConfigSchemeMismatch, circlehttps.Project{HTTPS: circlehttps.Off}, config(circleWrites), pass},

		{"odd token", circlehttps.RuleConfigTokenMismatch, here, api("https://a.example/"), unknown},
		{"no project", circlehttps.RuleConfigTokenMismatch, here, config("var xmpcfg = {access: {accessToken: 'x', url: 'https://a.example/'}};"), skipped},
		{"project in upper case", circlehttps.RuleConfigTokenMismatch, here, config(strings.ReplaceAll(secureConfig, "ProjectID:'"+testProject, "ProjectID:'"+strings.ToUpper(testProject))), pass},

		{"public IP", circlehttps.RuleConfigHost, here, api("https://192.0.2.7/"), fail},
		{"IPv6", circlehttps.RuleConfigHost, here, api("https://[2001:db8::1]/"), fail},
		{"single label", circlehttps.RuleConfigHost, here, api("https://marketing/"), fail},
		{"internal name", circlehttps.RuleConfigHost, here, api("https://marketing.corp/"), fail},
		{"name with port", circlehttps.RuleConfigHost, here, api("https://marketing.example.com:8443/"), pass},

		{"V5, deferred library", circlehttps.RuleConfigOrder, here, page(v5Page, strings.Replace(v5Lib, "src", "defer src", 1)+cfgTag, ""), pass},
		{"V5, deferred xmpcfg", circlehttps.RuleConfigOrder, here, page(v5Page, strings.Replace(cfgTag, "src", "defer src", 1)+v5Lib, ""), fail},
		{"V5, async", circlehttps.RuleConfigOrder, here, page(v5Page, strings.Replace(cfgTag, "src", "async src", 1)+v5Lib, ""), unknown},
		{"V3, after", circlehttps.RuleConfigOrder, here, page(v3Page, v3Lib+cfgTag, ""), pass},

		{"two files, one stale", circlehttps.RuleConfigSeveral, here, map[string]string{"xmpcfg.js": secureConfig, "old/xmpcfg.js": circleWrites}, fail},
		{"two files of two projects", circlehttps.RuleConfigSeveral, here, map[string]string{"xmpcfg.js": secureConfig, "b/xmpcfg.js": strings.ReplaceAll(secureConfig, "20000002", "30000003")}, pass},
		{"page with two", circlehttps.RuleConfigSeveral, here, page(v5Page, cfgTag+"<script>"+secureConfig+"</script>"+v5Lib, ""), fail},

		{"http links, project off", circlehttps.RuleLinkActive, circlehttps.Project{HTTPS: circlehttps.Off}, page(v5Page, `<script src="http://a.example/a.js"></script>`, ""), skipped},
		{"use not visible", circlehttps.RuleLinkActive, here, map[string]string{"a.js": "var a = 'http://a.example/'"}, unknown},

		{"no sign of SecURL", circlehttps.RuleCustomMissing, here, page(v5Page, cfgTag+v5Lib, ""), skipped},
		{"sign-in form, no xmpcustom", circlehttps.RuleCustomMissing, here, page(v5Page, cfgTag+v5Lib, `<form xmp-signin></form>`), fail},
		{"inline xmpcustom", circlehttps.RuleCustomNotLoaded, secured, page(v5Page, cfgTag+"<script>var xmpcustom={loginUrl:'login.html'}</script>"+v5Lib, ""), pass},
		{"missing file", circlehttps.RuleCustomNotLoaded, secured, page(v5Page, cfgTag+`<script src="js/xmpcustom.js"></script>`+v5Lib, ""), fail},
		{"library in a bundle", circlehttps.RuleCustomNotLoaded, secured, page(v5Page, cfgTag, ""), unknown},

		{"relative", circlehttps.RuleCustomLoginURL, here, login("login.html"), pass},
		{"absolute, in the site", circlehttps.RuleCustomLoginURL, here, login("https://www.example.com/spring/login.html"), pass},
		{"friendly path", circlehttps.RuleCustomLoginURL, here, login("https://www.example.com/spring/Enroll"), pass},
		{"with query", circlehttps.RuleCustomLoginURL, here, login("login.html?x=1"), fail},
		{"with fragment", circlehttps.RuleCustomLoginURL, here, login("login.html#x"), fail},
		{"no form there", circlehttps.RuleCustomLoginURL, here, login("plain.html"), fail},
		{"no such page", circlehttps.RuleCustomLoginURL, here, login("gone.html"), fail},
		{"empty", circlehttps.RuleCustomLoginURL, here, login(""), fail},
		{"a script", circlehttps.RuleCustomLoginURL, here, login("javascript:alert(1)"), fail},
		{"computed", circlehttps.RuleCustomLoginURL, here, custom("var xmpcustom = {loginUrl: base + 'login.html'}"), unknown},
		{"path outside", circlehttps.RuleCustomLoginURL, here, login("/other/Enroll"), unknown},
		{"broken file", circlehttps.RuleCustomLoginURL, here, custom("var xmpcustom = {loginUrl: 'x'"), fail},

		{"other path", circlehttps.RuleCustomOtherSite, here, login("https://www.example.com/autumn/Enroll"), fail},
		{"other path that begins alike", circlehttps.RuleCustomOtherSite, here, login("https://www.example.com/spring2/Enroll"), fail},
		{"own path", circlehttps.RuleCustomOtherSite, here, login("https://WWW.example.com/Spring/Enroll"), pass},
		{"own path from the root", circlehttps.RuleCustomOtherSite, here, login("/spring/Enroll"), pass},
		{"site not stated", circlehttps.RuleCustomOtherSite, circlehttps.Project{}, login("https://www.example.com/spring/Enroll"), unknown},

		{"2.1", circlehttps.RuleXMPLVersion, here, page(v3Page, cfgTag+strings.Replace(v3Lib, "3.1.4", "2.1", 1), ""), fail},
		{"2.2", circlehttps.RuleXMPLVersion, here, page(v3Page, cfgTag+strings.Replace(v3Lib, "3.1.4", "2.2", 1), ""), pass},
		{"2.10 is newer than 2.2", circlehttps.RuleXMPLVersion, here, page(v3Page, cfgTag+strings.Replace(v3Lib, "3.1.4", "2.10", 1), ""), pass},
		{"2.2 with SecURL", circlehttps.RuleXMPLVersion, secured, page(v3Page, cfgTag+strings.Replace(v3Lib, "3.1.4", "2.2", 1), ""), fail},
		{"bundled", circlehttps.RuleXMPLVersion, here, page(v5Page, cfgTag, ""), unknown},
		{"version in the code", circlehttps.RuleXMPLVersion, here, map[string]string{"xmp.min.js": `'use strict';var muCreateXMVersion = "1.9.1"; var muCreateXMBuild = 106;`}, fail},
		{"fifth generation, version not told", circlehttps.RuleXMPLVersion, secured, map[string]string{"xmpl.min.js": `x`}, pass},
		{"two copies, one loaded", circlehttps.RuleXMPLVersionsMixed, here, with(page(v3Page, cfgTag+v3Lib, ""), "deps/xmp.clean.js", "/* ==\n* xmp.clean.js 3.1.3, build 438\n*/"), fail},
		{"5 and 5.0", circlehttps.RuleXMPLVersionsMixed, here, with(page(v5Page, cfgTag+v5Lib, ""), "xmpl.min.js", "x"), pass},

		{"sign-in with data-", circlehttps.RuleSignInMissingPassword, here, page(v3Page, "", `<form data-xmp-signin><p><input data-xmp-password></p></form>`), pass},
		{"password after the form", circlehttps.RuleSignInMissingPassword, here, page(v3Page, "", `<form xmp-signin></form><input xmp-password>`), fail},
		{"anonymous inside personalized", circlehttps.RuleSignInOutsideController, here, page(v5Page, "", `<div xmp-anonymous-controller><form xmp-signin></form></div>`), fail},
		{"after the controller", circlehttps.RuleSignInOutsideController, here, map[string]string{"a.html": `<html><div xmp-personalized-controller><p></div><form xmp-signin></form></html>`}, fail},
		{"unclosed elements between", circlehttps.RuleSignInOutsideController, here, map[string]string{"a.html": `<html><div xmp-personalized-controller><ul><li><br><p><img><form xmp-signin></form></ul></div></html>`}, pass},
		{"a part of a page", circlehttps.RuleSignInOutsideController, here, map[string]string{"form.html": `<form xmp-signin></form>`}, unknown},
		{"in a comment", circlehttps.RuleSignInOutsideController, here, map[string]string{"a.html": `<html><!-- <form xmp-signin></form> --></html>`}, skipped},
		{"register, SecURL off", circlehttps.RuleRegisterWithoutPassword, circlehttps.Project{SecURL: circlehttps.Off}, page(v5Page, "", `<form xmp-register></form>`), skipped},
		{"existing password only", circlehttps.RuleRegisterWithoutPassword, secured, page(v5Page, "", `<form xmp-register><input xmp-write-ador="xmp.r['XMPie.Web.ExistingPassword']"></form>`), fail},
		{"auto without value", circlehttps.RuleAutoSignInFalse, here, page(v5Page, "", `<form xmp-register xmp-signin-auto></form>`), pass},
		{"auto FALSE", circlehttps.RuleAutoSignInFalse, here, page(v5Page, "", `<form xmp-register xmp-signin-auto=" FALSE "></form>`), fail},
		{"sign-out, V5", circlehttps.RuleSignOutWithoutTarget, here, page(v5Page, v5Lib, `<a xmp-signout>x</a>`), unknown},
		{"sign-out, V3", circlehttps.RuleSignOutWithoutTarget, here, page(v3Page, v3Lib, `<a xmp-signout>x</a>`), fail},
		{"sign-out, empty target", circlehttps.RuleSignOutWithoutTarget, here, page(v3Page, v3Lib, `<a xmp-signout xmp-success-url="">x</a>`), fail},
		{"sign-out, xmpcustom", circlehttps.RuleSignOutWithoutTarget, here, with(page(v3Page, v3Lib+`<script src="xmpcustom.js"></script>`, `<a xmp-signout>x</a>`), "xmpcustom.js", "var xmpcustom={loginUrl:'a'}"), pass},

		{"prefix over https", circlehttps.RuleFriendlyURLPrefix, here, page(v5Page, "", `<a href="https://{{XMPieRecipientKey}}.example.com/">x</a>`), fail},
		{"suffix", circlehttps.RuleFriendlyURLPrefix, circlehttps.Project{FriendlyURL: circlehttps.KeyAsSuffix}, page(v5Page, "", `<a href="https://www.example.com/{{XMPieRecipientKey}}.html">x</a>`), pass},
	} {
		t.Run(tc.rule.ID+", "+tc.name, func(t *testing.T) {
			r := check(t, tc.project, tc.files)
			var got []string
			for _, f := range r.Of(tc.rule) {
				got = append(got, f.Outcome.String()+" "+f.Subject+": "+f.Detail)
			}
			// Of several findings, the worst counts; a rule about several files passes some of them.
			worst := connsec.Outcome(0)
			for _, o := range []connsec.Outcome{fail, unknown, pass, skipped} {
				for _, f := range r.Of(tc.rule) {
					if f.Outcome == o && worst == 0 {
						worst = o
					}
				}
			}
			assert.Equal(t, tc.want, worst, "%s", strings.Join(got, "\n"))
		})
	}
}

func TestProject(t *testing.T) {
	for name, tc := range map[string]struct {
		project           circlehttps.Project
		friendly, version connsec.Outcome
	}{
		"nothing stated":       {circlehttps.Project{}, connsec.Inconclusive, connsec.Inconclusive},
		"as it should be":      {circlehttps.Project{FriendlyURL: circlehttps.KeyAsSuffix, XMPL: "3.5", SecURL: circlehttps.On}, connsec.Pass, connsec.Pass},
		"none":                 {circlehttps.Project{FriendlyURL: circlehttps.NoFriendlyURL, XMPL: "2.2"}, connsec.Pass, connsec.Pass},
		"prefix, old":          {circlehttps.Project{FriendlyURL: circlehttps.KeyAsPrefix, XMPL: "2.1.9"}, connsec.Fail, connsec.Fail},
		"prefix without HTTPS": {circlehttps.Project{HTTPS: circlehttps.Off, FriendlyURL: circlehttps.KeyAsPrefix, XMPL: "2.1"}, connsec.NotApplicable, connsec.Pass},
	} {
		t.Run(name, func(t *testing.T) {
			r := tc.project.Validate()
			ruletest.Expect(t, r, tc.friendly, circlehttps.RuleFriendlyURLPrefix)
			ruletest.Expect(t, r, tc.version, circlehttps.RuleXMPLVersion)
		})
	}

	var p circlehttps.Project
	require.NoError(t, json.Unmarshal([]byte(`{"https":"on","securl":"off","friendly_url":"suffix","port_80":["email","pdf-on-demand","xmpie-rurl"]}`), &p))
	assert.Equal(t, []circlehttps.Exception{circlehttps.Email, circlehttps.PDFOnDemand, circlehttps.XMPieURL}, p.Port80)
	data, err := json.Marshal(p)
	require.NoError(t, err)
	assert.JSONEq(t, `{"https":"on","securl":"off","friendly_url":"suffix","port_80":["email","pdf-on-demand","xmpie-rurl"]}`, string(data))
	for _, bad := range []string{`{"https":"yes"}`, `{"friendly_url":"middle"}`, `{"port_80":["mail"]}`, `{"port_80":[""]}`} {
		require.Error(t, json.Unmarshal([]byte(bad), &p), bad)
	}
	for _, bad := range []circlehttps.Project{{SiteURL: "www.example.com"}, {SiteURL: "https://u:p@www.example.com/"}, {SiteURL: "ftp://a.example/"}, {XMPL: "three"}} {
		_, err := circlehttps.Site{FS: fstest.MapFS{}}.Check(context.Background(), bad)
		require.Error(t, err)
	}
}

func TestActivation(t *testing.T) {
	states := func(steps []circlehttps.Step) map[string]string {
		m := map[string]string{}
		for _, s := range steps {
			m[s.Title] = s.State.String()
			assert.NotEmpty(t, s.Do)
			assert.NotEmpty(t, s.Check)
		}
		return m
	}
	site, p := corpus(t, "weak")
	weak, err := site.Check(context.Background(), p)
	require.NoError(t, err)
	got := states(circlehttps.Activation(p, p.Validate(), weak))
	assert.Equal(t, "open", got["xmpcfg.js"])
	assert.Equal(t, "open", got["Links in the pages"])
	assert.Equal(t, "open", got["XMPL is 2.2 or newer"])
	assert.Equal(t, "done", got["Use HTTPS"])
	assert.Equal(t, "unchecked", got["Port 80"])

	site, p = corpus(t, "strong")
	strong, err := site.Check(context.Background(), p)
	require.NoError(t, err)
	got = states(circlehttps.Activation(p, p.Validate(), strong))
	for _, title := range []string{"XMPL is 2.2 or newer", "External address of the XMPL server", "xmpcfg.js", "Links in the pages", "SecURL", "Friendly addresses with the key as suffix"} {
		assert.Equal(t, "done", got[title], title)
	}
	got = states(circlehttps.Activation(circlehttps.Project{SecURL: circlehttps.Off, FriendlyURL: circlehttps.NoFriendlyURL}))
	assert.Equal(t, "not-needed", got["SecURL"])
	assert.Equal(t, "unchecked", got["xmpcfg.js"])

	site, p = corpus(t, "stale")
	stale, err := site.Check(context.Background(), p)
	require.NoError(t, err)
	got = states(circlehttps.Activation(p, stale))
	assert.Equal(t, "open", got["xmpcfg.js"], "the way back")
	assert.Equal(t, "done", got["SecURL is off"])

	known := map[string]bool{}
	for _, r := range circlehttps.Rules() {
		known[r.ID] = true
	}
	for _, s := range circlehttps.Activation(circlehttps.Project{}) {
		for _, id := range s.Rules {
			assert.True(t, known[id], id)
		}
	}
	for _, row := range circlehttps.Coverage() {
		assert.NotEqual(t, "", row.Covered.String(), row.What)
		for _, id := range row.Rules {
			assert.True(t, known[id], id)
		}
	}
}

func ExampleSite_Check() {
	site := circlehttps.Site{Name: "spring", FS: fstest.MapFS{
		"xmpcfg.js":  {Data: []byte("var xmpcfg = {access: { accessToken: 'x', url: 'http://marketing.example.com/XMPieXMPL_REST_API' }};")},
		"index.html": {Data: []byte("<html>\n<script src=\"http://cdn.example/a.js\"></script>\n</html>")},
	}}
	report, err := site.Check(context.Background(), circlehttps.Project{HTTPS: circlehttps.On})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range report.Failed(connsec.High) {
		fmt.Printf("%s: %s: %s\n", f.Source, f.Rule.ID, f.Detail)
	}
	// Output:
	// xmpcfg.js:1:48: circle-config-http: the XMPL server is addressed over HTTP
	// index.html:2:14: circle-link-active: script src: http://cdn.example/a.js
}

func ExampleSetScheme() {
	src := []byte("//var xmpcfg = {access: { url: 'http://old.example.com/XMPieXMPL_REST_API' }};\nvar xmpcfg = {access: { url: 'http://marketing.example.com/XMPieXMPL_REST_API' }};\n")
	out, err := circlehttps.SetScheme("xmpcfg.js", src, circlehttps.HTTPS)
	fmt.Printf("%s%v\n", out, err)
	// Output:
	// //var xmpcfg = {access: { url: 'http://old.example.com/XMPieXMPL_REST_API' }};
	// var xmpcfg = {access: { url: 'https://marketing.example.com/XMPieXMPL_REST_API' }};
	// <nil>
}

func ExampleSite_Fix() {
	site := circlehttps.Site{FS: fstest.MapFS{
		"xmpcfg.js":  {Data: []byte("var xmpcfg = {access: { accessToken: '…', url: 'https://www.example.com/XMPieXMPL_REST_API' }};\n")},
		"index.html": {Data: []byte("<img src=\"http://www.example.com/a.png\">\n<img src=\"http://other.example/b.png\">\n")},
	}}
	changes, err := site.Fix(context.Background(), circlehttps.Project{}, circlehttps.FixOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	var diff bytes.Buffer
	_ = changes.Diff(&diff)
	_, _ = diff.WriteTo(os.Stdout)
	for _, l := range changes.Left {
		fmt.Printf("%s: %s\n", l.Source, l.Reason)
	}
	// Output:
	// --- a/index.html
	// +++ b/index.html
	// @@ -1,2 +1,2 @@
	// -<img src="http://www.example.com/a.png">
	// +<img src="https://www.example.com/a.png">
	//  <img src="http://other.example/b.png">
	// index.html:2:11: it is not known that the host offers the same over HTTPS
}
