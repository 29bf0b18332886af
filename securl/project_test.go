package securl_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/securl"
)

// sound is a project of which only the hash method is weak, for Circle has no better one.
var sound = securl.Project{
	SecURL: securl.On, XMPL: "3.5", HTTPS: securl.On, Product: securl.Site, RecipientKey: securl.AutoKey,
	SiteURL: "https://www.example.com/spring/", LoginURL: "https://www.example.com/spring/login.html",
}

func TestProject(t *testing.T) {
	ruletest.ExpectFailed(t, sound.Validate(), securl.RuleMD5Weak)
	ruletest.Expect(t, sound.Validate(), connsec.Pass, securl.RuleHTTPSOff, securl.RuleXMPLTooOld, securl.RuleUnsupportedProduct,
		securl.RuleRecipientKeyGuessable, securl.RuleLoginURL, securl.RuleSessionTooLong, securl.RulePlaintext)

	ruletest.Expect(t, sound.Validate(), connsec.NotApplicable, securl.RuleDataOpen) // a setting proves nothing

	r := securl.Project{}.Validate()
	ruletest.Expect(t, r, connsec.Inconclusive, securl.RuleHTTPSOff, securl.RuleXMPLTooOld, securl.RuleUnsupportedProduct, securl.RuleRecipientKeyGuessable, securl.RuleLoginURL)

	for name, c := range map[string]struct {
		change func(*securl.Project)
		rule   *connsec.Rule
		want   connsec.Outcome
		detail string
	}{
		"SecURL off":          {func(p *securl.Project) { p.SecURL = securl.Off }, securl.RuleDataOpen, connsec.Fail, "SecURL is off"},
		"off, said once":      {func(p *securl.Project) { p.SecURL, p.HTTPS = securl.Off, securl.Off }, securl.RuleHTTPSOff, connsec.NotApplicable, "SecURL is off"},
		"HTTPS off":           {func(p *securl.Project) { p.HTTPS = securl.Off }, securl.RuleHTTPSOff, connsec.Fail, "does not use HTTPS"},
		"published over HTTP": {func(p *securl.Project) { p.SiteURL = "http://www.example.com/" }, securl.RuleHTTPSOff, connsec.Fail, "published over HTTP"},
		"XMPL 2.9":            {func(p *securl.Project) { p.XMPL = "2.9" }, securl.RuleXMPLTooOld, connsec.Fail, "it is 2.9, and SecURL needs 3.0"},
		"XMPL 3":              {func(p *securl.Project) { p.XMPL = "3" }, securl.RuleXMPLTooOld, connsec.Pass, "it is 3"},
		"XMPL 10.0":           {func(p *securl.Project) { p.XMPL = "V10.0" }, securl.RuleXMPLTooOld, connsec.Pass, "it is V10.0"},
		"XMPL 2.1, HTTPS only": {func(p *securl.Project) { p.XMPL, p.SecURL = "2.1", securl.Off },
			securl.RuleXMPLTooOld, connsec.Fail, "HTTPS needs 2.2"},
		"XMPL 2.2, HTTPS only": {func(p *securl.Project) { p.XMPL, p.SecURL = "2.2", securl.Off }, securl.RuleXMPLTooOld, connsec.Pass, "it is 2.2"},
		"XMPL newest":          {func(p *securl.Project) { p.XMPL = "newest" }, securl.RuleXMPLTooOld, connsec.Inconclusive, "no"},
		"template instance":    {func(p *securl.Project) { p.Product = securl.TemplateInstance }, securl.RuleUnsupportedProduct, connsec.Fail, "template instance"},
		"uStore":               {func(p *securl.Project) { p.Product = securl.UStore }, securl.RuleUnsupportedProduct, connsec.Fail, "uStore"},
		"login over HTTP":      {func(p *securl.Project) { p.LoginURL = "http://www.example.com/spring/login.html" }, securl.RuleLoginURL, connsec.Fail, "http://"},
		"login elsewhere":      {func(p *securl.Project) { p.LoginURL = "https://old.example.com/login.html" }, securl.RuleLoginURL, connsec.Fail, "old.example.com"},
		"login with query":     {func(p *securl.Project) { p.LoginURL += "?a=b" }, securl.RuleLoginURL, connsec.Fail, "query"},
		"login with fragment":  {func(p *securl.Project) { p.LoginURL += "#/login" }, securl.RuleLoginURL, connsec.Fail, "fragment"},
		"login with password":  {func(p *securl.Project) { p.LoginURL = "https://a:hunter2@www.example.com/" }, securl.RuleLoginURL, connsec.Fail, "it carries credentials"},
		"login is a script":    {func(p *securl.Project) { p.LoginURL = "javascript:alert(1)" }, securl.RuleLoginURL, connsec.Fail, "not the address of a page"},
		"login is no address":  {func(p *securl.Project) { p.LoginURL = "https://[" }, securl.RuleLoginURL, connsec.Fail, "not an address"},
		"login relative":       {func(p *securl.Project) { p.LoginURL = "login.html" }, securl.RuleLoginURL, connsec.Pass, "relative"},
		"login by host only":   {func(p *securl.Project) { p.LoginURL = "//evil.example/login.html" }, securl.RuleLoginURL, connsec.Fail, "evil.example"},
		"login, site unknown":  {func(p *securl.Project) { p.SiteURL = "" }, securl.RuleLoginURL, connsec.Inconclusive, "site_url"},
		"extensionless login":  {func(p *securl.Project) { p.LoginURL = "https://WWW.example.com/spring/Enroll" }, securl.RuleLoginURL, connsec.Pass, "plain https"},
		"one hour":             {func(p *securl.Project) { p.Lifetime = time.Hour }, securl.RuleSessionTooLong, connsec.Pass, "1h0m0s"},
		"over one hour":        {func(p *securl.Project) { p.Lifetime = time.Hour + time.Second }, securl.RuleSessionTooLong, connsec.Fail, "1h0m1s"},
		"no hashing":           {func(p *securl.Project) { p.Method = securl.None }, securl.RulePlaintext, connsec.Fail, "none"},
	} {
		t.Run(name, func(t *testing.T) {
			p := sound
			c.change(&p)
			r := p.Validate()
			ruletest.Expect(t, r, c.want, c.rule)
			assert.Contains(t, r.Of(c.rule)[0].Detail, c.detail)
			out, err := json.Marshal(r)
			require.NoError(t, err)
			assert.NotContains(t, string(out), "hunter2")
		})
	}
}

func TestRecipientKey(t *testing.T) {
	secure := []string{"f3b2c9e0d1a84c77a1be", "0c77de19ab3f4d21b6c8", "9e1f00b4ad6c4f3e8d27"}
	for name, c := range map[string]struct {
		pattern string
		keys    []string
		want    connsec.Outcome
		detail  string
	}{
		"guide's example":     {"[[firstname]].[[lastname]]", nil, connsec.Fail, "firstname, lastname"},
		"other spelling":      {"[[First Name]]-[[LAST_NAME]]", nil, connsec.Fail, ""},
		"French":              {"[[Prenom]].[[Nom]]", nil, connsec.Fail, ""},
		"e-mail":              {"[[eMailAddress]]", nil, connsec.Fail, ""},
		"number":              {"R[[CustomerNo]]", nil, connsec.Fail, ""},
		"generated":           {securl.AutoKey, nil, connsec.Pass, "generates"},
		"random field":        {"[[lastname]]-[[guid]]", nil, connsec.Pass, "guid"},
		"unknown field":       {"[[Field7]]", nil, connsec.Inconclusive, "Field7"},
		"unknown beside name": {"[[lastname]][[Field7]]", nil, connsec.Inconclusive, "Field7"},
		"constant":            {"abc", nil, connsec.Fail, "no field"},
		"broken":              {"[[firstname", nil, connsec.Inconclusive, "[[field]]"},
		"broken, behind":      {"firstname]]", nil, connsec.Inconclusive, "[[field]]"},
		"nothing known":       {"", nil, connsec.Inconclusive, "samples"},
		"too few samples":     {"", secure[:2], connsec.Inconclusive, "samples"},
		"random samples":      {"", secure, connsec.Pass, "80 bits"},
		"GUIDs":               {"", []string{"5f2b7a3e-1111-4a6b-8f10-93ad00c1d2e3", "02cd7a3e-2222-4a6b-8f10-93ad00c1d2e3", "fe2b7a3e-1111-4a6b-8f10-93ad00c1d2e3"}, connsec.Pass, ""},
		"names":               {"", []string{"Ann.Lee", "jsmith2", "McLeod_Duncan", "Zoë.Müller"}, connsec.Fail, "of 4 sample keys, 4"},
		"e-mails":             {"", []string{"ann@example.com", "bob@example.com"}, connsec.Fail, ""},
		"numbers":             {"", []string{"100234", "883211", "554"}, connsec.Fail, ""},
		"counted":             {"", []string{"SPRING-00017", "SPRING-00018", "SPRING-00390"}, connsec.Fail, ""},
		"short":               {"", []string{"x7Qp2", "k9Zt4", "b3Lm8"}, connsec.Fail, ""},
		"one odd name":        {"", append([]string{"Banana"}, secure...), connsec.Inconclusive, "chance"},
		"auto, but names":     {securl.AutoKey, []string{"Ann.Lee", "Bob.Ray", "Cy.Young"}, connsec.Fail, ""},
		"names, but random":   {"[[lastname]]", secure, connsec.Fail, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := sound
			p.RecipientKey, p.SampleKeys = c.pattern, c.keys
			r := p.Validate()
			ruletest.Expect(t, r, c.want, securl.RuleRecipientKeyGuessable)
			f := r.Of(securl.RuleRecipientKeyGuessable)[0]
			assert.Contains(t, f.Detail, c.detail)
			out, err := json.Marshal(r)
			require.NoError(t, err)
			for _, k := range c.keys {
				assert.NotContains(t, string(out), k, "samples are personal data")
			}
		})
	}
	open := sound
	open.SecURL, open.RecipientKey = securl.Off, "[[firstname]]"
	f := open.Validate().Of(securl.RuleRecipientKeyGuessable)[0]
	assert.Equal(t, connsec.High, f.Severity, "without SecURL the key is all there is")
}

func TestParseProject(t *testing.T) {
	p, err := securl.ParseProject([]byte(`{"name":"Spring","securl":"on","method":"none","user_name":"off","xmpl":"3.5","https":"on","product":"ustore",
		"recipient_key":"[[firstname]]","sample_keys":["Ann.Lee"],"site_url":"https://www.example.com/","login_url":"login.html","lifetime":3600000000000}`))
	require.NoError(t, err)
	assert.Equal(t, securl.UStore, p.Product)
	assert.Equal(t, []string{"Ann.Lee"}, p.SampleKeys)
	assert.Equal(t, time.Hour, p.Lifetime)
	out, err := json.Marshal(p)
	require.NoError(t, err)
	assert.NotContains(t, string(out), "Ann.Lee")
	for in, want := range map[string]string{
		`{"secur1":"on"}`:    "unknown field",
		`{"securl":"maybe"}`: `unknown setting "maybe" (one of on, off)`,
		`{"product":"shop"}`: `unknown product "shop"`,
		`{`:                  "not complete",
	} {
		_, err := securl.ParseProject([]byte(in))
		require.ErrorContains(t, err, want)
		assert.False(t, strings.Contains(err.Error(), "\n"))
	}
}
