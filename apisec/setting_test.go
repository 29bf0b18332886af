package apisec_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/apisec"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestSettings(t *testing.T) {
	type rules = []*connsec.Rule
	secret := func(s string) func(*apisec.Client) {
		return func(c *apisec.Client) { c.Secret = connsec.NewSecret(s) }
	}
	url := func(s string) func(*apisec.Client) { return func(c *apisec.Client) { c.TokenURL = s } }
	const form = "https://" + host + "/token"
	tests := map[string]struct {
		change          func(*apisec.Client)
		failed          rules
		passed, unknown rules
		skipped         rules
	}{
		"sound": {func(*apisec.Client) {}, nil, rules{
			apisec.RuleTokenURL, apisec.RuleTokenURLCleartext, apisec.RuleTokenURLName, apisec.RuleSecretInURL, apisec.RuleSecretWeak, apisec.RuleSecretShared,
			apisec.RuleSecretLiteral, apisec.RuleSecretOld, apisec.RuleSecretExpired, apisec.RuleSecretExpiresSoon, apisec.RuleSecretNoExpiry,
			apisec.RuleSecretDates, apisec.RuleSecretNoOwner, apisec.RuleGrantPIN, apisec.RuleScopeWide,
		}, nil, nil},
		"endpoint alone": {func(c *apisec.Client) { *c = apisec.Client{TokenURL: form, AsOf: today} }, nil,
			rules{apisec.RuleTokenURL, apisec.RuleTokenURLCleartext, apisec.RuleTokenURLName, apisec.RuleSecretInURL, apisec.RuleGrantPIN}, nil, rules{
				apisec.RuleSecretWeak, apisec.RuleSecretShared, apisec.RuleSecretLiteral, apisec.RuleSecretOld, apisec.RuleSecretNoExpiry, apisec.RuleSecretNoOwner, apisec.RuleScopeWide,
			}},
		"nothing known": {func(c *apisec.Client) { *c = apisec.Client{ID: id, Secret: c.Secret, TokenURL: form, AsOf: today} },
			rules{apisec.RuleSecretNoExpiry, apisec.RuleSecretNoOwner}, rules{apisec.RuleSecretWeak},
			rules{apisec.RuleSecretShared, apisec.RuleSecretLiteral, apisec.RuleSecretOld, apisec.RuleScopeWide}, rules{apisec.RuleSecretExpired, apisec.RuleSecretExpiresSoon, apisec.RuleSecretDates}},
		"secret not given": {secret(""), nil, nil, rules{apisec.RuleSecretWeak, apisec.RuleSecretShared}, nil},

		"no URL":           {url(""), rules{apisec.RuleTokenURL}, nil, nil, rules{apisec.RuleTokenURLCleartext, apisec.RuleTokenURLName, apisec.RuleSecretInURL}},
		"no scheme":        {url(host + "/token"), rules{apisec.RuleTokenURL}, nil, nil, nil},
		"another scheme":   {url("ftp://" + host), rules{apisec.RuleTokenURL}, nil, nil, nil},
		"space":            {url(form + " "), rules{apisec.RuleTokenURL}, nil, nil, nil},
		"no host":          {url("https:///token"), rules{apisec.RuleTokenURL}, nil, nil, nil},
		"opaque":           {url("https:token"), rules{apisec.RuleTokenURL}, nil, nil, nil},
		"port 0":           {url("https://" + host + ":0/"), rules{apisec.RuleTokenURL}, nil, nil, nil},
		"port 65536":       {url("https://" + host + ":65536/"), rules{apisec.RuleTokenURL}, nil, nil, nil},
		"no port":          {url("https://" + host + ":/"), rules{apisec.RuleTokenURL}, nil, nil, nil},
		"too long":         {url(form + strings.Repeat("a", 4096)), rules{apisec.RuleTokenURL}, nil, nil, nil},
		"control":          {url(form + "\n"), rules{apisec.RuleTokenURL}, nil, nil, nil},
		"fragment":         {url(form + "#x"), rules{apisec.RuleTokenURL}, nil, nil, nil},
		"secret as URL":    {url(strong), rules{apisec.RuleTokenURL, apisec.RuleSecretInURL}, nil, nil, nil},
		"http":             {url("http://" + host + "/token"), rules{apisec.RuleTokenURLCleartext}, rules{apisec.RuleTokenURLName}, nil, nil},
		"address":          {url("https://192.0.2.1/token"), rules{apisec.RuleTokenURLName}, nil, nil, nil},
		"IPv6":             {url("https://[2001:db8::1]:8093/token"), rules{apisec.RuleTokenURLName}, nil, nil, nil},
		"short name":       {url("https://central/token"), rules{apisec.RuleTokenURLName}, nil, nil, nil},
		"another host":     {func(c *apisec.Client) { c.Hosts = []string{"central"} }, rules{apisec.RuleTokenURLName}, nil, nil, nil},
		"harmless query":   {url(form + "?api-version=2.0&tenant=7&shipping=1&monkey=2&author=x"), nil, rules{apisec.RuleSecretInURL}, nil, nil},
		"user":             {url("https://u@" + host + "/token"), rules{apisec.RuleSecretInURL}, nil, nil, nil},
		"user, password":   {url("https://u:p@" + host + "/token"), rules{apisec.RuleSecretInURL}, nil, nil, nil},
		"client_secret":    {url(form + "?client_secret=x"), rules{apisec.RuleSecretInURL}, nil, nil, nil},
		"API-Key":          {url(form + "?API-Key=x"), rules{apisec.RuleSecretInURL}, nil, nil, nil},
		"subscription-key": {url(form + "?subscription-key=x"), rules{apisec.RuleSecretInURL}, nil, nil, nil},
		"access_token":     {url(form + "?access_token=x"), rules{apisec.RuleSecretInURL}, nil, nil, nil},
		"secret in path":   {url("https://" + host + "/" + strong + "/token"), rules{apisec.RuleSecretInURL}, nil, nil, nil},
		"secret, encoded": {func(c *apisec.Client) {
			c.Secret, c.TokenURL = connsec.NewSecret("Kq7/dz+4mwb3xv6hnptjr5cy2sgf4ae7"), form+"?x=Kq7%2Fdz%2B4mwb3xv6hnptjr5cy2sgf4ae7"
		}, rules{apisec.RuleSecretInURL}, nil, nil, nil},
		"query style":   {func(c *apisec.Client) { c.Style = apisec.Query }, rules{apisec.RuleSecretInURL}, nil, nil, nil},
		"unknown style": {func(c *apisec.Client) { c.Style = 99 }, nil, nil, rules{apisec.RuleSecretInURL}, nil},

		"identifier":      {secret(strings.ToLower(id)), rules{apisec.RuleSecretWeak}, nil, nil, nil},
		"published":       {secret("89fbf537fe689fca26f67abae7a557106f4348d5"), rules{apisec.RuleSecretWeak}, nil, nil, nil},
		"default":         {secret("changeme"), rules{apisec.RuleSecretWeak}, nil, nil, nil},
		"words":           {secret("MyQ-Central-Reports-Production-2026"), rules{apisec.RuleSecretWeak}, nil, nil, nil},
		"host and owner":  {secret("Finance-" + id), rules{apisec.RuleSecretWeak}, nil, nil, nil},
		"repeated":        {secret(strings.Repeat("a1b2", 16)), rules{apisec.RuleSecretWeak}, nil, nil, nil},
		"random, 120 bit": {secret("4f1c6a08e5d97b32c0a84e6f193d57"), rules{apisec.RuleSecretWeak}, nil, nil, nil},
		"random, 128 bit": {secret("4f1c6a08e5d97b32c0a84e6f193d57b2"), nil, rules{apisec.RuleSecretWeak}, nil, nil},
		"GUID":            {secret("c0a84e6f-193d-47b2-8e5d-97b32f1c6a08"), rules{apisec.RuleSecretWeak}, nil, nil, nil},
		"base64url":       {secret("x3JmZ0-9wq_LrT7bVhYcUe2KdPgNs5Aa"), nil, rules{apisec.RuleSecretWeak}, nil, nil},
		"text as hex":     {secret("636f727265637420686f727365206261747465727920737461706c65"), rules{apisec.RuleSecretWeak}, nil, nil, nil},

		"reused": {func(c *apisec.Client) { c.Others = map[string]connsec.Secret{"RADIUS": c.Secret} }, rules{apisec.RuleSecretShared}, nil, nil, nil},

		"literal":         {func(c *apisec.Client) { c.Storage = apisec.Literal }, rules{apisec.RuleSecretLiteral}, nil, nil, nil},
		"environment":     {func(c *apisec.Client) { c.Storage = apisec.Environment }, nil, rules{apisec.RuleSecretLiteral}, nil, nil},
		"file":            {func(c *apisec.Client) { c.Storage = apisec.SecretFile }, nil, rules{apisec.RuleSecretLiteral}, nil, nil},
		"unknown storage": {func(c *apisec.Client) { c.Storage = 99 }, nil, nil, rules{apisec.RuleSecretLiteral}, nil},

		"89 days":    {func(c *apisec.Client) { c.Created = today.AddDate(0, 0, -89) }, nil, rules{apisec.RuleSecretOld}, nil, nil},
		"90 days":    {func(c *apisec.Client) { c.Created = today.AddDate(0, 0, -90) }, rules{apisec.RuleSecretOld}, nil, nil, nil},
		"own policy": {func(c *apisec.Client) { c.Policy.MediumDays = 30 }, rules{apisec.RuleSecretOld}, nil, nil, nil},
		"lenient policy": {func(c *apisec.Client) {
			c.Created, c.Expires, c.Policy.MediumDays = today.AddDate(-1, 0, -1), today.AddDate(0, 0, 20), 400
		}, nil, rules{apisec.RuleSecretOld, apisec.RuleSecretDates}, nil, nil},
		"expired":       {func(c *apisec.Client) { c.Expires = today }, rules{apisec.RuleSecretExpired}, rules{apisec.RuleSecretNoExpiry}, nil, rules{apisec.RuleSecretExpiresSoon}},
		"expires soon":  {func(c *apisec.Client) { c.Expires = today.AddDate(0, 0, 13) }, rules{apisec.RuleSecretExpiresSoon}, rules{apisec.RuleSecretExpired}, nil, nil},
		"in the future": {func(c *apisec.Client) { c.Created = today.AddDate(0, 0, 2) }, rules{apisec.RuleSecretDates}, nil, rules{apisec.RuleSecretOld}, nil},
		"ends before":   {func(c *apisec.Client) { c.Created, c.Expires = today.AddDate(0, 0, -3), today.AddDate(0, 0, -4) }, rules{apisec.RuleSecretDates, apisec.RuleSecretExpired}, nil, nil, nil},
		"two years":     {func(c *apisec.Client) { c.Expires = today.AddDate(2, 0, 0) }, rules{apisec.RuleSecretDates}, nil, nil, nil},
		"no owner":      {func(c *apisec.Client) { c.Owner = " " }, rules{apisec.RuleSecretNoOwner}, nil, nil, nil},

		"password":      {func(c *apisec.Client) { c.Grant = apisec.Password }, rules{apisec.RuleGrantPIN}, nil, nil, nil},
		"PIN":           {func(c *apisec.Client) { c.Grant = apisec.LoginInfo }, rules{apisec.RuleGrantPIN}, nil, nil, nil},
		"unknown grant": {func(c *apisec.Client) { c.Grant = 99 }, nil, nil, rules{apisec.RuleGrantPIN}, nil},

		"too many scopes": {func(c *apisec.Client) { c.Scopes = []string{"credit", "users", "reports"} }, rules{apisec.RuleScopeWide}, nil, nil, nil},
		"everything":      {func(c *apisec.Client) { c.Scopes, c.Needed = []string{"*"}, []string{"*"} }, rules{apisec.RuleScopeWide}, nil, nil, nil},
		"all":             {func(c *apisec.Client) { c.Scopes, c.Needed = []string{"All"}, nil }, rules{apisec.RuleScopeWide}, nil, nil, nil},
		"users.*":         {func(c *apisec.Client) { c.Scopes = []string{"users.*"} }, rules{apisec.RuleScopeWide}, nil, nil, nil},
		"needs none":      {func(c *apisec.Client) { c.Needed = []string{} }, rules{apisec.RuleScopeWide}, nil, nil, nil},
		"no scope":        {func(c *apisec.Client) { c.Scopes = nil }, nil, nil, rules{apisec.RuleScopeWide}, nil},
		"less than ever":  {func(c *apisec.Client) { c.Needed = []string{"reports", "users"} }, nil, rules{apisec.RuleScopeWide}, nil, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := with(client(), tt.change).Validate()
			ruletest.ExpectFailed(t, r, tt.failed...)
			for o, rules := range map[connsec.Outcome]rules{connsec.Pass: tt.passed, connsec.Inconclusive: tt.unknown, connsec.NotApplicable: tt.skipped} {
				if len(rules) > 0 {
					ruletest.Expect(t, r, o, rules...)
				}
			}
		})
	}
}

func TestSeverities(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*apisec.Client)
		rule   *connsec.Rule
		want   connsec.Severity
	}{
		"identifier":    {func(c *apisec.Client) { c.Secret = connsec.NewSecret(c.ID) }, apisec.RuleSecretWeak, connsec.Critical},
		"published":     {func(c *apisec.Client) { c.Secret = connsec.NewSecret("89fbf537fe689fca26f67abae7a557106f4348d5") }, apisec.RuleSecretWeak, connsec.Critical},
		"words":         {func(c *apisec.Client) { c.Secret = connsec.NewSecret("central-reports-2026") }, apisec.RuleSecretWeak, connsec.High},
		"GUID":          {func(c *apisec.Client) { c.Secret = connsec.NewSecret("c0a84e6f-193d-47b2-8e5d-97b32f1c6a08") }, apisec.RuleSecretWeak, connsec.Medium},
		"90 days":       {func(c *apisec.Client) { c.Created = today.AddDate(0, 0, -90) }, apisec.RuleSecretOld, connsec.Medium},
		"364 days":      {func(c *apisec.Client) { c.Created = today.AddDate(0, 0, -364) }, apisec.RuleSecretOld, connsec.Medium},
		"365 days":      {func(c *apisec.Client) { c.Created = today.AddDate(0, 0, -365) }, apisec.RuleSecretOld, connsec.High},
		"policy":        {func(c *apisec.Client) { c.Policy = apisec.Policy{MediumDays: 7, HighDays: 20} }, apisec.RuleSecretOld, connsec.High},
		"scope":         {func(c *apisec.Client) { c.Scopes = append(c.Scopes, "users") }, apisec.RuleScopeWide, connsec.Medium},
		"every scope":   {func(c *apisec.Client) { c.Scopes = []string{"all"} }, apisec.RuleScopeWide, connsec.High},
		"http":          {func(c *apisec.Client) { c.TokenURL = "http://" + host }, apisec.RuleTokenURLCleartext, connsec.Critical},
		"policy, huge ": {func(c *apisec.Client) { c.Policy.MediumDays, c.Created = 1<<40, today.AddDate(-101, 0, 0) }, apisec.RuleSecretOld, connsec.High},
	} {
		f := with(client(), tt.change).Validate().Of(tt.rule)[0]
		assert.Equal(t, connsec.Fail, f.Outcome, name)
		assert.Equal(t, tt.want, f.Severity, name)
	}
}

// TestGoodSecretsPass: what generators of other makes give out is not held for weak, as often
// as can be tried. 128 bits as hexadecimal digits, base64url and letters.
func TestGoodSecretsPass(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		own := apisec.NewSecret().Reveal()
		require.Regexp(rt, `^[0-9a-f]{40}$`, own)
		raw, err := hex.DecodeString(own)
		require.NoError(rt, err)
		for _, s := range []string{own, own[:32], strings.ToUpper(own), base64.RawURLEncoding.EncodeToString(raw), base64.StdEncoding.EncodeToString(raw)} {
			c := client()
			c.Secret = connsec.NewSecret(s)
			require.Equal(rt, connsec.Pass, c.Validate().Of(apisec.RuleSecretWeak)[0].Outcome, s)
		}
	})
	for _, s := range []string{"fee713e5ca995981ae765262aa14781b", "7210cf701eeea090600690e8953b35c1"} { // random ones that look worst
		assert.Equal(t, connsec.Pass, with(client(), func(c *apisec.Client) { c.Secret = connsec.NewSecret(s) }).Validate().Of(apisec.RuleSecretWeak)[0].Outcome, s)
	}
	assert.False(t, apisec.NewSecret().Equal(apisec.NewSecret()))
}

func TestInventory(t *testing.T) {
	named := func(name, secret string) apisec.Client {
		return with(client(), func(c *apisec.Client) { c.Name, c.Secret, c.Others = name, connsec.NewSecret(secret), nil })
	}
	fresh := apisec.NewSecret().Reveal
	inv := apisec.Inventory{Clients: []apisec.Client{
		named("a", strong), named("b", fresh()), named("c", strong), named("d", ""), named("e", ""), named("f", strong), named("g", strong), named("h", strong),
	}, Others: map[string]connsec.Secret{"SMTP": connsec.NewSecret(strong), "none": {}}}
	r := inv.Validate()
	assert.Equal(t, "REST API clients", r.Target)
	shared := map[string]string{}
	for _, f := range r.Of(apisec.RuleSecretShared) {
		if f.Outcome == connsec.Fail {
			shared[f.Subject] = f.Detail
		}
	}
	assert.Equal(t, map[string]string{
		"a": "the same secret as c, f, g and 2 more", "c": "the same secret as a, f, g and 2 more", "f": "the same secret as a, c, g and 2 more",
		"g": "the same secret as a, c, f and 2 more", "h": "the same secret as a, c, f and 2 more",
	}, shared)
	assert.Equal(t, connsec.Pass, r.Of(apisec.RuleSecretShared)[1].Outcome)
	assert.Equal(t, connsec.Inconclusive, r.Of(apisec.RuleSecretShared)[3].Outcome)

	alone := apisec.Inventory{Clients: []apisec.Client{named("a", strong)}}
	assert.Equal(t, connsec.Inconclusive, alone.Validate().Of(apisec.RuleSecretShared)[0].Outcome)
	two := apisec.Inventory{Clients: []apisec.Client{named("a", strong), named("b", fresh())}, AsOf: today}
	ruletest.ExpectFailed(t, two.Validate())
}

// TestNoSecretLeaks looks for a secret, and for parts of it, in everything that comes out.
func TestNoSecretLeaks(t *testing.T) {
	for _, secret := range []string{"hunter2", "correct horse, battery", "P@ssw0rd-of-Kwyjibo", strong, "central.corp.internal"} {
		for _, c := range []apisec.Client{
			{ID: id, Secret: connsec.NewSecret(secret), TokenURL: "https://" + host + "/" + secret},
			{ID: secret, Secret: connsec.NewSecret(secret), TokenURL: "https://u:" + secret + "@" + host + "/?x=" + secret},
			{Name: "my " + secret, ID: id, Secret: connsec.NewSecret(secret), TokenURL: secret},
			{ID: secret, Secret: connsec.NewSecret(secret), TokenURL: "http://x/#" + secret, Style: apisec.Query, Others: map[string]connsec.Secret{"x": connsec.NewSecret(secret)}},
		} {
			report, err := json.Marshal(c.Validate())
			require.NoError(t, err)
			_, errToken := c.Token(deadline(t))
			require.Error(t, errToken)
			all := string(report) + errToken.Error()
			assert.NotContains(t, all, secret)
			if secret != host {
				assert.NotContains(t, all, secret[:5])
			}
			onlySecret := apisec.Client{ID: id, Secret: c.Secret}
			setting, err := json.Marshal(onlySecret)
			require.NoError(t, err)
			assert.NotContains(t, string(setting)+fmt.Sprintf("%v %+v %#v", onlySecret, onlySecret, onlySecret), secret)
		}
	}
}

func TestSettingsInJSON(t *testing.T) {
	c, err := apisec.ParseJSON([]byte(`{"id":"a","secret":"s3cret-value","token_url":"https://x","style":"json","grant":"login_info","storage":"file",
		"created":"2026-01-31T00:00:00Z","policy":{"medium_days":30},"needed":[],"hosts":["api.corp.internal:8090"]}`))
	require.NoError(t, err)
	assert.Equal(t, "s3cret-value", c.Secret.Reveal())
	assert.Equal(t, []any{apisec.JSON, apisec.LoginInfo, apisec.SecretFile}, []any{c.Style, c.Grant, c.Storage})
	assert.Equal(t, 30*24*time.Hour, c.Policy.Medium())
	assert.NotNil(t, c.Needed)
	for _, bad := range []string{"", "{", `{"secret":1}`, `{"secret":"s3cret-value","style":"s3cret-value2"} x`, `{"scopes":"s3cret-value"}`, `{"storage":"drawer"}`, `{"created":"s3cret-value"}`, "{} {}"} {
		_, err := apisec.ParseJSON([]byte(bad))
		require.Error(t, err, bad)
		assert.NotContains(t, err.Error(), "s3cret-value\"", bad)
		assert.NotContains(t, err.Error(), "\n")
		assert.True(t, strings.HasPrefix(err.Error(), "apisec: "), err)
	}
}
