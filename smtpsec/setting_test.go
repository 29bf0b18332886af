package smtpsec_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/smtpsec"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	host   = "mail.corp.example"
	secret = "s3cret-value"
)

func sound() smtpsec.Config {
	return smtpsec.Config{Host: host, User: "svc-print", Password: connsec.NewSecret(secret), Domain: "corp.example"}
}

func TestASoundSettingPassesEveryRule(t *testing.T) {
	ruletest.Expect(t, sound().Validate(), connsec.Pass,
		smtpsec.RuleCleartext, smtpsec.RuleStartTLSOptional, smtpsec.RuleStartTLS, smtpsec.RuleCertificateNotVerified,
		smtpsec.RulePortMismatch, smtpsec.RuleName, smtpsec.RuleAuthWeak, smtpsec.RuleAuthRetired)
}

func TestFlawedSettings(t *testing.T) {
	type rules = []*connsec.Rule
	for name, tc := range map[string]struct {
		change func(*smtpsec.Config)
		failed rules
	}{
		"nothing at all":       {func(c *smtpsec.Config) { *c = smtpsec.Config{} }, rules{smtpsec.RuleName}},
		"plaintext":            {func(c *smtpsec.Config) { c.Mode, c.User, c.Password = smtpsec.Plaintext, "", connsec.Secret{} }, rules{smtpsec.RuleCleartext}},
		"plaintext with login": {func(c *smtpsec.Config) { c.Mode, c.Port = smtpsec.Plaintext, 587 }, rules{smtpsec.RuleCleartext, smtpsec.RuleAuthWeak}},
		"login on port 25":     {func(c *smtpsec.Config) { c.Mode, c.Port = smtpsec.StartTLS, 25 }, rules{smtpsec.RuleStartTLS, smtpsec.RulePortMismatch}},
		"STARTTLS":             {func(c *smtpsec.Config) { c.Mode = smtpsec.StartTLS }, rules{smtpsec.RuleStartTLS}},
		"STARTTLS of an MX": {func(c *smtpsec.Config) {
			c.Mode, c.MX, c.User, c.Password = smtpsec.StartTLS, true, "", connsec.Secret{}
		}, nil},
		"if available":            {func(c *smtpsec.Config) { c.Mode, c.Port = smtpsec.Opportunistic, 587 }, rules{smtpsec.RuleStartTLSOptional, smtpsec.RuleStartTLS, smtpsec.RuleAuthWeak}},
		"any certificate":         {func(c *smtpsec.Config) { c.AnyCertificate = true }, rules{smtpsec.RuleCertificateNotVerified, smtpsec.RuleAuthWeak}},
		"SCRAM, any certificate":  {func(c *smtpsec.Config) { c.AnyCertificate, c.Method = true, smtpsec.SCRAMSHA256 }, rules{smtpsec.RuleCertificateNotVerified, smtpsec.RuleAuthWeak}},
		"CRAM-MD5":                {func(c *smtpsec.Config) { c.Method = smtpsec.CRAMMD5 }, rules{smtpsec.RuleAuthWeak}},
		"implicit on 587":         {func(c *smtpsec.Config) { c.Port = 587 }, rules{smtpsec.RulePortMismatch}},
		"implicit on 25":          {func(c *smtpsec.Config) { c.Port = 25 }, rules{smtpsec.RulePortMismatch}},
		"STARTTLS on 465":         {func(c *smtpsec.Config) { c.Mode, c.Port = smtpsec.StartTLS, 465 }, rules{smtpsec.RuleStartTLS, smtpsec.RulePortMismatch}},
		"a port of choice":        {func(c *smtpsec.Config) { c.Port = 10465 }, nil},
		"address":                 {func(c *smtpsec.Config) { c.Host = "10.0.0.5" }, rules{smtpsec.RuleName}},
		"short name":              {func(c *smtpsec.Config) { c.Host = "mail" }, rules{smtpsec.RuleName}},
		"URL as host":             {func(c *smtpsec.Config) { c.Host = "smtps://mail.corp.example" }, rules{smtpsec.RuleName}},
		"Exchange Online":         {func(c *smtpsec.Config) { c.Host, c.Mode = "SMTP.office365.com.", smtpsec.StartTLS }, rules{smtpsec.RuleStartTLS, smtpsec.RuleAuthRetired}},
		"Exchange Online, OAuth":  {func(c *smtpsec.Config) { c.Host, c.Method = "smtp.office365.com", smtpsec.XOAuth2 }, nil},
		"Exchange Online, nobody": {func(c *smtpsec.Config) { c.Host, c.User, c.Password = "smtp.office365.com", "", connsec.Secret{} }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := sound()
			tc.change(&c)
			r := c.Validate()
			ruletest.ExpectFailed(t, r, tc.failed...)
			assert.NotContains(t, fmt.Sprintf("%+v", r), secret)
		})
	}
}

func TestTheLoginOfExchangeOnlineWeighsMoreWhenItIsOff(t *testing.T) {
	c := sound()
	c.Host = "smtp.office365.com"
	for day, want := range map[string]connsec.Severity{"2026-12-31": connsec.Medium, "2027-01-01": connsec.High} {
		var err error
		c.AsOf, err = time.Parse(time.DateOnly, day)
		require.NoError(t, err)
		assert.Equal(t, want, c.Validate().Of(smtpsec.RuleAuthRetired)[0].Severity, day)
	}
}

func TestUnknownEnumsProveNothing(t *testing.T) {
	c := sound()
	c.Mode, c.Method = 77, 77
	r := c.Validate()
	for _, rule := range []*connsec.Rule{smtpsec.RuleCleartext, smtpsec.RuleStartTLSOptional, smtpsec.RuleStartTLS, smtpsec.RuleAuthWeak} {
		assert.Equal(t, connsec.Inconclusive, r.Of(rule)[0].Outcome, rule.ID)
	}
	_, err := json.Marshal(c)
	assert.Error(t, err)
	_, err = c.Client()
	assert.Error(t, err)
}

func TestParseURL(t *testing.T) {
	type cfg = smtpsec.Config
	for in, want := range map[string]cfg{
		"smtps://mail.corp.example":                                            {Host: host},
		"SMTPS://mail.corp.example:10465/":                                     {Host: host, Port: 10465},
		"smtp://mail.corp.example":                                             {Host: host, Mode: smtpsec.Opportunistic},
		"smtp://mail.corp.example:587?starttls=required":                       {Host: host, Port: 587, Mode: smtpsec.StartTLS},
		"smtp://mail.corp.example?starttls=OFF":                                {Host: host, Mode: smtpsec.Plaintext},
		"smtp://mail.corp.example?require_tls=true&auto_tls=false":             {Host: host, Mode: smtpsec.StartTLS},
		"smtp://mail.corp.example?auto_tls=false":                              {Host: host, Mode: smtpsec.Plaintext},
		"smtp://mail.corp.example?ignoreTLS=1":                                 {Host: host, Mode: smtpsec.Plaintext},
		"smtp://mail.corp.example?requireTLS=true&auth=login":                  {Host: host, Mode: smtpsec.StartTLS, Method: smtpsec.Login},
		"smtp://mail.corp.example?secure=true":                                 {Host: host},
		"smtps://mail.corp.example?verify_peer=0":                              {Host: host, AnyCertificate: true},
		"smtps://mail.corp.example?tls.rejectUnauthorized=false&verify_peer=1": {Host: host, AnyCertificate: true},
		"smtps://mail.corp.example?local_domain=print.corp.example":            {Host: host, HELO: "print.corp.example"},
		"smtp://[2001:db8::1]:25":                                              {Host: "2001:db8::1", Port: 25, Mode: smtpsec.Opportunistic},
		"smtps://svc%40corp.example@mail.corp.example":                         {Host: host, User: "svc@corp.example"},
	} {
		got, err := smtpsec.ParseURL(in)
		require.NoError(t, err, in)
		assert.True(t, got.Password.IsEmpty())
		got.Password = connsec.Secret{}
		assert.Equal(t, want, got, in)
	}
	c, err := smtpsec.ParseURL("smtps://svc:s3cret%2Fv%40lue@mail.corp.example")
	require.NoError(t, err)
	assert.Equal(t, "s3cret/v@lue", c.Password.Reveal())
	// Everything up to the last @ belongs to the login, whatever it is made of.
	c, err = smtpsec.ParseURL("smtps://svc:p@ss@mail.corp.example")
	require.NoError(t, err)
	assert.Equal(t, "p@ss", c.Password.Reveal())
}

func TestParseURLRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"":                                       `"://" is missing`,
		"mail.corp.example":                      `"://" is missing`,
		"ldap://mail.corp.example":               `scheme "ldap" is not SMTP`,
		"smtps://":                               "no host",
		"smtps://u:s3cret-value@":                "no host",
		"smtps://u:s3cret-value@h/x":             "has a path",
		"smtps://u:s3cret-value@h#x":             "fragment",
		"smtps://u:s3cret-value%zz@h":            "broken %-escape",
		"smtps://u:s3cret-value%ff@h":            "not UTF-8",
		"smtps://h:s3cret-value":                 "port that is not a number",
		"smtps://h:70000":                        "port that is not a number",
		"smtps://1:2:3":                          "without brackets",
		"smtps://[::1":                           "do not match",
		"smtps://a b":                            "characters that no host name has",
		"smtp://h?starttls=s3cret-value":         "none of required, optional, off",
		"smtps://h?starttls=off":                 "contradicts",
		"smtp://h?auth=s3cret-value":             "none of auto",
		"smtp://h?verify_peer=s3cret-value":      "neither true nor false",
		"smtp://h?verify_peer=0&verify_peer=1":   "more than once",
		"smtp://h?nonsense=s3cret-value":         `parameter "nonsense"`,
		"smtp://h?local_domain=a%0d%0aMAIL":      "not a host name",
		"smtps://" + strings.Repeat("a", 10_000): "10008 bytes",
	} {
		_, err := smtpsec.ParseURL(in)
		require.Error(t, err, in)
		assert.ErrorContains(t, err, want, in)
		assert.NotContains(t, err.Error(), secret)
		assert.NotContains(t, err.Error(), "\n")
	}
}

func TestParseForm(t *testing.T) {
	for security, want := range map[string]smtpsec.Mode{
		"SSL": smtpsec.Implicit, "TLS": smtpsec.Implicit, "SSL/TLS": smtpsec.Implicit, "STARTTLS": smtpsec.StartTLS, "Start TLS": smtpsec.StartTLS,
		"STARTTLS if available": smtpsec.Opportunistic, "None": smtpsec.Plaintext, "": smtpsec.Plaintext,
	} {
		c, err := smtpsec.ParseForm(smtpsec.Form{Server: " mail.corp.example:2525 ", Security: security, Sender: "Print <print@corp.example>"})
		require.NoError(t, err, security)
		assert.Equal(t, smtpsec.Config{Host: host, Port: 2525, Mode: want, Domain: "corp.example"}, c, security)
	}
	c, err := smtpsec.ParseForm(smtpsec.Form{Server: host, Security: "SSL", NoValidation: true, User: "u", Password: connsec.NewSecret(secret)})
	require.NoError(t, err)
	ruletest.ExpectFailed(t, c.Validate(), smtpsec.RuleCertificateNotVerified, smtpsec.RuleAuthWeak)
	for want, f := range map[string]smtpsec.Form{
		"no server is given":           {},
		"none of None":                 {Server: host, Security: "maybe"},
		"as a URL":                     {Server: "smtp://mail", Security: "SSL"},
		"in its own field":             {Server: "mail:25", Port: 26},
		"not a number":                 {Server: "mail:x"},
		"the sender is not an address": {Server: "mail", Sender: "print"},
		"bytes":                        {Server: strings.Repeat("m", 1<<20)},
	} {
		_, err := smtpsec.ParseForm(f)
		assert.ErrorContains(t, err, want)
	}
}

func TestParseJSON(t *testing.T) {
	c, err := smtpsec.ParseJSON([]byte(`{"host":"mail.corp.example","mode":"starttls","method":"plain","user":"u","password":"s3cret-value","mx":false}`))
	require.NoError(t, err)
	assert.Equal(t, smtpsec.StartTLS, c.Mode)
	assert.Equal(t, smtpsec.Plain, c.Method)
	assert.Equal(t, secret, c.Password.Reveal())
	out, err := json.Marshal(c)
	require.NoError(t, err)
	assert.NotContains(t, string(out), secret)
	for in, want := range map[string]string{
		``:                                     "not complete",
		`{"host":`:                             "not complete",
		`{"hots":"x"}`:                         "hots",
		`{"port":"s3cret-value"}`:              `field "port"`,
		`{"mode":"ssl"}`:                       "unknown mode",
		`{"method":"digest"}`:                  "unknown authentication method",
		`{} {}`:                                "unexpected data",
		`{]`:                                   "byte 2",
		`"` + strings.Repeat("x", 2<<20) + `"`: "bytes; at most",
	} {
		_, err := smtpsec.ParseJSON([]byte(in))
		require.ErrorContains(t, err, want)
		assert.NotContains(t, err.Error(), secret)
	}
}

func FuzzParseURL(f *testing.F) {
	for _, s := range []string{"smtps://u:p@mail.corp.example:465", "smtp://mail?starttls=required&auth=plain", "smtp://[::1]:25?secure=1", "smtps://%41"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := smtpsec.ParseURL(s)
		if err != nil {
			assert.NotContains(t, err.Error(), "\n")
			assert.Equal(t, smtpsec.Config{}, c)
			return
		}
		assert.NotEmpty(t, c.Host)
		assert.NotContains(t, c.Host, "@", "no part of a login ends up in the host")
		again, err := smtpsec.ParseJSON(mustJSON(t, c))
		if c.Password.IsEmpty() {
			require.NoError(t, err)
			c.Password = again.Password
			assert.Equal(t, c, again)
		}
		r := c.Validate()
		if password := c.Password.Reveal(); len(password) > 8 && !strings.Contains(c.Host+c.User, password) {
			assert.NotContains(t, r.Target, password)
		}
		for _, found := range r.Findings {
			assert.True(t, found.Outcome.Valid())
			assert.NotContains(t, found.Detail, "\n")
		}
	})
}

func mustJSON(t testing.TB, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	require.NoError(t, err)
	return data
}

func ExampleConfig_Validate() {
	c, err := smtpsec.ParseURL("smtp://mail.corp.example:587?verify_peer=0")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range c.Validate().Failed(connsec.High) {
		fmt.Println(f.Severity, f.Rule.ID, "-", f.Detail)
	}
	// Output:
	// high smtp-starttls-optional - TLS is used only if the server offers it
	// critical smtp-certificate-not-verified - any certificate is accepted
}

func BenchmarkValidate(b *testing.B) {
	c := sound()
	b.ReportAllocs()
	for b.Loop() {
		c.Validate()
	}
}
