package ldapsec_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/ldapsec"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func sound() ldapsec.Config {
	return ldapsec.Config{
		Servers: []string{"dc1.corp.example", "dc2.corp.example"}, BaseDN: "dc=corp,dc=example",
		BindDN: "cn=svc-print,ou=Services,dc=corp,dc=example", Password: connsec.NewSecret("s3cret-value"),
	}
}

func TestASoundSettingPassesEveryRule(t *testing.T) {
	ruletest.Expect(t, sound().Validate(), connsec.Pass,
		ldapsec.RuleCleartext, ldapsec.RuleStartTLS, ldapsec.RulePortMismatch, ldapsec.RuleEmptyPassword, ldapsec.RuleAnonymousBind,
		ldapsec.RuleDNSyntax, ldapsec.RulePrivilegedAccount, ldapsec.RuleAutoDiscovery, ldapsec.RuleName)
	assert.Len(t, sound().Validate().Of(ldapsec.RuleName), 2, "one for each server")
}

func TestTheZeroSettingPassesNothingItShouldNot(t *testing.T) {
	r := ldapsec.Config{}.Validate()
	ruletest.ExpectFailed(t, r, ldapsec.RuleAnonymousBind)
	ruletest.Expect(t, r, connsec.Inconclusive, ldapsec.RuleAutoDiscovery)
}

func TestFlawedSettings(t *testing.T) {
	type rules = []*connsec.Rule
	for name, tc := range map[string]struct {
		change func(*ldapsec.Config)
		failed rules
	}{
		"plaintext":                 {func(c *ldapsec.Config) { c.Mode = ldapsec.Plaintext }, rules{ldapsec.RuleCleartext}},
		"START TLS":                 {func(c *ldapsec.Config) { c.Mode = ldapsec.StartTLS }, rules{ldapsec.RuleStartTLS}},
		"LDAPS on 389":              {func(c *ldapsec.Config) { c.Port = 389 }, rules{ldapsec.RulePortMismatch}},
		"LDAPS on 3268":             {func(c *ldapsec.Config) { c.Port = 3268 }, rules{ldapsec.RulePortMismatch}},
		"START TLS on 636":          {func(c *ldapsec.Config) { c.Mode, c.Port = ldapsec.StartTLS, 636 }, rules{ldapsec.RuleStartTLS, ldapsec.RulePortMismatch}},
		"plaintext on 3269":         {func(c *ldapsec.Config) { c.Mode, c.Port = ldapsec.Plaintext, 3269 }, rules{ldapsec.RuleCleartext, ldapsec.RulePortMismatch}},
		"LDAPS on 3269":             {func(c *ldapsec.Config) { c.Port = 3269 }, nil},
		"LDAPS on a port of choice": {func(c *ldapsec.Config) { c.Port = 10636 }, nil},
		"address":                   {func(c *ldapsec.Config) { c.Servers[1] = "10.0.0.5" }, rules{ldapsec.RuleName}},
		"short name":                {func(c *ldapsec.Config) { c.Servers[0] = "dc1" }, rules{ldapsec.RuleName}},
		"URL in the server field":   {func(c *ldapsec.Config) { c.Servers[0] = "ldaps://dc1.corp.example" }, rules{ldapsec.RuleName}},
		"domain is no name":         {func(c *ldapsec.Config) { c.Servers, c.Domain = nil, "CORP" }, rules{ldapsec.RuleName}},
		"no password":               {func(c *ldapsec.Config) { c.Password = connsec.Secret{} }, rules{ldapsec.RuleEmptyPassword}},
		"NTLM without password":     {func(c *ldapsec.Config) { c.Method, c.Password = ldapsec.NTLM, connsec.Secret{} }, rules{ldapsec.RuleEmptyPassword}},
		"nobody":                    {func(c *ldapsec.Config) { c.BindDN, c.Password = "", connsec.Secret{} }, rules{ldapsec.RuleAnonymousBind}},
		"password without account":  {func(c *ldapsec.Config) { c.BindDN = "" }, rules{ldapsec.RuleAnonymousBind}},
		"external":                  {func(c *ldapsec.Config) { c.Method, c.BindDN, c.Password = ldapsec.External, "", connsec.Secret{} }, nil},
		"kerberos":                  {func(c *ldapsec.Config) { c.Method, c.Password = ldapsec.Kerberos, connsec.Secret{} }, nil},
		"NUL in the account":        {func(c *ldapsec.Config) { c.BindDN = "cn=svc\x00,dc=corp" }, rules{ldapsec.RuleDNSyntax}},
		"newline in the account":    {func(c *ldapsec.Config) { c.BindDN = "svc\n@corp.example" }, rules{ldapsec.RuleDNSyntax}},
		"account of 1 MB":           {func(c *ldapsec.Config) { c.BindDN = "cn=" + strings.Repeat("a", 1<<20) }, rules{ldapsec.RuleDNSyntax}},
		"account of 1 MB, no DN":    {func(c *ldapsec.Config) { c.BindDN = strings.Repeat("a", 1<<20) }, rules{ldapsec.RuleDNSyntax}},
		"broken DN":                 {func(c *ldapsec.Config) { c.BindDN = "cn=svc,corp" }, rules{ldapsec.RuleDNSyntax}},
		"broken base DN":            {func(c *ldapsec.Config) { c.BaseDN = "corp.example" }, rules{ldapsec.RuleDNSyntax}},
		"base DN not UTF-8":         {func(c *ldapsec.Config) { c.BaseDN = "dc=\xff" }, rules{ldapsec.RuleDNSyntax}},
		"Administrator by DN":       {func(c *ldapsec.Config) { c.BindDN = "CN=Administrator,CN=Users,DC=corp,DC=example" }, rules{ldapsec.RulePrivilegedAccount}},
		"Administrator by UPN":      {func(c *ldapsec.Config) { c.BindDN = "administrator@corp.example" }, rules{ldapsec.RulePrivilegedAccount}},
		"Administrator by domain":   {func(c *ldapsec.Config) { c.BindDN = `CORP\Administrator` }, rules{ldapsec.RulePrivilegedAccount}},
		"root DN":                   {func(c *ldapsec.Config) { c.BindDN = "cn=admin,dc=corp,dc=example" }, rules{ldapsec.RulePrivilegedAccount}},
		"Directory Manager":         {func(c *ldapsec.Config) { c.BindDN = "cn=Directory Manager" }, rules{ldapsec.RulePrivilegedAccount}},
		"Domain Admins above":       {func(c *ldapsec.Config) { c.BindDN = "cn=bob,ou=Domain Admins,dc=corp,dc=example" }, rules{ldapsec.RulePrivilegedAccount}},
		"ou=Admin is a place":       {func(c *ldapsec.Config) { c.BindDN = "cn=svc,ou=Admin,dc=corp,dc=example" }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := sound()
			c.Servers = slices.Clone(c.Servers)
			tc.change(&c)
			r := c.Validate()
			ruletest.ExpectFailed(t, r, tc.failed...)
			for _, f := range r.Findings {
				assert.Less(t, len(f.Detail), 400, "what was typed is cut to a sane length")
				assert.Less(t, len(f.Subject), 400)
			}
		})
	}
}

func TestAnAccountThatWasNotTold(t *testing.T) {
	c := sound()
	c.BindDN, c.Password, c.AccountUnknown = "", connsec.Secret{}, true
	ruletest.Expect(t, c.Validate(), connsec.Inconclusive, ldapsec.RuleAnonymousBind)
	c.BindDN = "cn=svc"
	ruletest.Expect(t, c.Validate(), connsec.Pass, ldapsec.RuleAnonymousBind)
}

func TestUnknownModesAreNotSafe(t *testing.T) {
	c := sound()
	c.Mode = 77
	ruletest.Expect(t, c.Validate(), connsec.Inconclusive, ldapsec.RuleCleartext, ldapsec.RuleStartTLS)
	_, err := json.Marshal(c)
	assert.Error(t, err)
}

func TestNoSecretComesOut(t *testing.T) {
	const secret = "s3cret-value"
	c := sound()
	for _, text := range []string{fmt.Sprintf("%v %+v %#v", c, c, c), fmt.Sprintf("%+v", c.Validate())} {
		assert.NotContains(t, text, secret)
	}
	data, err := json.Marshal(c)
	require.NoError(t, err)
	assert.NotContains(t, string(data), secret)

	c.Servers = []string{"user:" + secret + "@dc1.corp.example"}
	r := c.Validate()
	assert.NotContains(t, fmt.Sprintf("%+v", r), secret)
	_, err = c.Observe(deadline(t))
	require.ErrorContains(t, err, "before @")
	assert.NotContains(t, err.Error(), secret)
	_, err = c.Dial(deadline(t))
	require.Error(t, err)
	assert.NotContains(t, err.Error(), secret)
	c.Servers, c.Domain = nil, "user:"+secret+"@corp.example"
	assert.NotContains(t, fmt.Sprintf("%+v", c.Validate()), secret)
	o, err := c.Observe(deadline(t))
	require.Error(t, err)
	assert.NotContains(t, fmt.Sprintf("%+v %v", o, err), secret)
	for _, in := range []string{
		"ldaps://user:" + secret + "@dc1.corp.example", "ldaps://" + secret + "@:99999", "x://" + "dc1/" + secret,
		"ldaps://dc1.corp.example:" + secret, "ldaps://dc1.corp.example/%" + secret, "ldaps://dc1.corp.example/?" + secret,
	} {
		_, err := ldapsec.ParseURL(in)
		require.Error(t, err)
		assert.NotContains(t, err.Error(), secret)
	}
	_, err = ldapsec.ParseJSON([]byte(`{"password": "` + secret + `", "port": "` + secret + `"}`))
	require.Error(t, err)
	assert.NotContains(t, err.Error(), secret)
}

func TestParseURL(t *testing.T) {
	for in, want := range map[string]ldapsec.Config{
		"ldaps://dc1.corp.example":                             {Servers: []string{"dc1.corp.example"}},
		"LDAPS://dc1.corp.example:3269/":                       {Servers: []string{"dc1.corp.example"}, Port: 3269},
		"ldap://dc1.corp.example":                              {Servers: []string{"dc1.corp.example"}, Mode: ldapsec.Plaintext},
		"ldaps://dc1.corp.example/dc=corp,dc=example":          {Servers: []string{"dc1.corp.example"}, BaseDN: "dc=corp,dc=example"},
		"ldaps://dc1.corp.example/ou=A%20B,dc=corp,dc=example": {Servers: []string{"dc1.corp.example"}, BaseDN: "ou=A B,dc=corp,dc=example"},
		"ldaps://dc1.corp.example/dc=corp???":                  {Servers: []string{"dc1.corp.example"}, BaseDN: "dc=corp"},
		"ldaps:///dc=corp,dc=example":                          {BaseDN: "dc=corp,dc=example"},
		"ldaps://[fe80::1%25eth0]":                             {Servers: []string{"fe80::1%eth0"}},
		"ldap://dc1.corp.example:3268":                         {Servers: []string{"dc1.corp.example"}, Port: 3268, Mode: ldapsec.Plaintext},
		"ldaps://dc1.corp.example:389":                         {Servers: []string{"dc1.corp.example"}, Port: 389}, // for ldap-port-mismatch
		"ldaps://[2001:db8::1]:636/":                           {Servers: []string{"2001:db8::1"}, Port: 636},
		" ldaps://a.corp.example  ldaps://b.corp.example ":     {Servers: []string{"a.corp.example", "b.corp.example"}},
	} {
		t.Run(in, func(t *testing.T) {
			got, err := ldapsec.ParseURL(in)
			require.NoError(t, err)
			assert.Equal(t, want, got)
		})
	}
	for in, says := range map[string]string{
		"":                                                 "no LDAP URL",
		"dc1.corp.example":                                 `"://" is missing`,
		"https://dc1.corp.example":                         "not LDAP",
		"ldapi://%2Frun%2Fslapd":                           "local socket",
		"ldaps://dc1.corp.example:0":                       "1 to 65535",
		"ldaps://dc1.corp.example:65536":                   "1 to 65535",
		"ldaps://dc1.corp.example:":                        "1 to 65535",
		"ldaps://2001:db8::1":                              "brackets",
		"ldaps://[2001:db8::1":                             "brackets",
		"ldaps://[::1]636":                                 "brackets",
		"ldaps://u:p@dc1.corp.example":                     "before @",
		"ldaps://dc1.corp.example/dc=x?cn":                 "only the base DN",
		"ldaps://dc1.corp.example/dc=x??sub?(a=b)":         "only the base DN",
		"ldaps://dc1.corp.example/????!1.2.3":              "only the base DN",
		"ldaps://dc1.corp.example?cn":                      "only the base DN",
		"ldaps://dc1.corp.example/#x":                      "fragment",
		"ldaps://dc1.corp.example/%zz":                     "broken %-escape",
		"ldaps://dc1%zz":                                   "broken %-escape",
		"ldaps://dc1%00.corp.example":                      "no host name has",
		"ldaps://dc1.corp.example/dc=%00":                  "NUL",
		"ldaps://dc1.corp.example/nonsense":                "is not a DN",
		"ldaps://a.corp.example ldap://b.corp.example":     "differ",
		"ldaps://a.corp.example ldaps://b.corp.example:99": "differ",
		"ldaps:/// ldaps://b.corp.example":                 "has no host",
		"ldaps://a.corp.example ldaps:///":                 "has no host",
		"ldaps://[dc1.corp.example]":                       "something else than an IPv6 address",
		"ldaps://" + strings.Repeat("a", 1<<20):            "at most",
		strings.Repeat("ldaps://a ", 65):                   "65 LDAP URLs",
	} {
		t.Run("refused "+in[:min(len(in), 60)], func(t *testing.T) {
			_, err := ldapsec.ParseURL(in)
			require.ErrorContains(t, err, says)
			assert.Less(t, len(err.Error()), 200)
		})
	}
}

func TestParseForm(t *testing.T) {
	for name, tc := range map[string]struct {
		server, security, domain string
		port                     uint16
		want                     ldapsec.Config
	}{
		"SSL":             {"dc1.corp.example", "SSL", "", 636, ldapsec.Config{Servers: []string{"dc1.corp.example"}, Port: 636}},
		"TLS is the same": {"dc1.corp.example", "TLS", "", 0, ldapsec.Config{Servers: []string{"dc1.corp.example"}}},
		"START TLS":       {"dc1.corp.example", "START TLS", "", 389, ldapsec.Config{Servers: []string{"dc1.corp.example"}, Mode: ldapsec.StartTLS, Port: 389}},
		"None":            {"dc1.corp.example", "None", "", 0, ldapsec.Config{Servers: []string{"dc1.corp.example"}, Mode: ldapsec.Plaintext}},
		"auto-discover":   {" ", "SSL", "corp.example", 0, ldapsec.Config{Domain: "corp.example"}},
		"port behind it":  {"dc1.corp.example:3269", "SSL", "", 0, ldapsec.Config{Servers: []string{"dc1.corp.example"}, Port: 3269}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ldapsec.ParseForm(tc.server, tc.security, tc.domain, tc.port)
			require.NoError(t, err)
			assert.Equal(t, tc.want, got)
		})
	}
	for name, tc := range map[string]struct {
		server, security string
		port             uint16
		says             string
	}{
		"unknown security": {"dc1.corp.example", "maybe", 0, `security "maybe"`},
		"URL":              {"ldaps://dc1.corp.example", "SSL", 0, "URL"},
		"two ports":        {"dc1.corp.example:636", "SSL", 389, "port 636 behind"},
		"port is no port":  {"dc1.corp.example:ldaps", "SSL", 0, "1 to 65535"},
		"1 MB":             {strings.Repeat("a", 1<<20), "SSL", 0, "1048576 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ldapsec.ParseForm(tc.server, tc.security, "", tc.port)
			assert.ErrorContains(t, err, tc.says)
		})
	}
}

func TestParseJSON(t *testing.T) {
	c, err := ldapsec.ParseJSON([]byte(`{"servers": ["dc1.corp.example"], "mode": "starttls", "method": "ntlm", "bind_dn": "CORP\\svc",
		"password": "pw", "waivers": [{"rule": "ldap-starttls", "reason": "until the move", "until": "2026-12-31T00:00:00Z"}]}`))
	require.NoError(t, err)
	assert.Equal(t, ldapsec.StartTLS, c.Mode)
	assert.Equal(t, ldapsec.NTLM, c.Method)
	assert.Equal(t, "pw", c.Password.Reveal())
	assert.Len(t, c.Waivers, 1)

	for name, tc := range map[string]struct{ in, says string }{
		"empty":           {"", "not complete"},
		"not JSON":        {"{mode}", "mistake at byte 2"},
		"cut off":         {`{"mode": "ldaps"`, "not complete"},
		"unknown field":   {`{"sever": "x"}`, "sever"},
		"unknown mode":    {`{"mode": "tls"}`, `unknown mode "tls"`},
		"unknown method":  {`{"method": "digest"}`, `unknown bind method "digest"`},
		"wrong type":      {`{"port": "636"}`, "port"},
		"trailing":        {`{} {}`, "after the setting"},
		"redacted secret": {`{"password": "REDACTED"}`, "redacted"},
		"1 MB":            {strings.Repeat(" ", 1<<20+1), "at most"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ldapsec.ParseJSON([]byte(tc.in))
			require.ErrorContains(t, err, tc.says)
			assert.NotContains(t, err.Error(), "\n")
		})
	}
}

func FuzzParseURL(f *testing.F) {
	for _, s := range []string{
		"ldaps://dc1.corp.example:636/dc=corp,dc=example", "ldap://[::1]:389/", "ldaps:///??sub?(x=y)", "ldaps://a b://c", "ldaps://u:p@h/%00",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ldapsec.ParseURL(s)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\r\n") {
				t.Fatalf("an error of several lines: %q", err)
			}
			return
		}
		// What is read is safe to show and judge, and plaintext never becomes anything else.
		if strings.HasPrefix(strings.ToLower(strings.TrimSpace(s)), "ldap:") != (c.Mode == ldapsec.Plaintext) {
			t.Fatalf("mode %s from %q", c.Mode, s)
		}
		r := c.Validate()
		if (c.Mode == ldapsec.Plaintext) != (r.Of(ldapsec.RuleCleartext)[0].Outcome == connsec.Fail) {
			t.Fatalf("plaintext is judged wrongly for %q", s)
		}
		for _, finding := range r.Findings {
			if strings.ContainsAny(finding.Subject+finding.Detail, "\r\n") {
				t.Fatalf("a finding of several lines: %+v", finding)
			}
		}
	})
}

func FuzzParseJSON(f *testing.F) {
	f.Add([]byte(`{"servers": ["dc1.corp.example"], "mode": "starttls", "password": "pw-4711", "bind_dn": "cn=a"}`))
	f.Add([]byte(`{"waivers": [{"rule": "x", "until": "2026-01-01T00:00:00Z"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ldapsec.ParseJSON(data)
		if err != nil {
			return
		}
		out, err := json.Marshal(c)
		if err != nil {
			t.Fatalf("%v", err)
		}
		if pw := c.Password.Reveal(); len(pw) > 12 && strings.Contains(string(out), pw) && !strings.Contains(c.BindDN+c.BaseDN+c.Domain+strings.Join(c.Servers, " ")+fmt.Sprint(c.Waivers)+c.Connect, pw) {
			t.Fatalf("the password comes out")
		}
		c.Validate()
	})
}

func BenchmarkValidate(b *testing.B) {
	c := sound()
	b.ReportAllocs()
	for b.Loop() {
		c.Validate()
	}
}

func BenchmarkParseURL(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ldapsec.ParseURL("ldaps://dc1.corp.example/dc=corp,dc=example"); err != nil {
			b.Fatal(err)
		}
	}
}

func ExampleConfig_Validate() {
	c, err := ldapsec.ParseForm("dc1", "START TLS", "", 389)
	if err != nil {
		fmt.Println(err)
		return
	}
	c.BindDN, c.Password = `CORP\svc-print`, connsec.NewSecret("…")
	for _, f := range c.Validate().Failed(connsec.Info) {
		fmt.Printf("%s (%s): %s\n", f.Rule.ID, f.Severity, f.Detail)
	}
	// Output:
	// ldap-starttls (high): START TLS on port 389
	// ldap-name (high): the name is a single label, without a domain
}

func ExampleParseURL() {
	c, err := ldapsec.ParseURL("ldaps://dc1.corp.example ldaps://dc2.corp.example")
	fmt.Println(c.Servers, c.Mode, err)
	_, err = ldapsec.ParseURL("ldap://dc1.corp.example/dc=corp?mail?sub")
	fmt.Println(err)
	// Output:
	// [dc1.corp.example dc2.corp.example] ldaps <nil>
	// ldapsec: the LDAP URL has attributes, a scope, a filter or extensions; only the base DN is taken
}

var waiveStartTLS = connsec.Waiver{
	Rule: "ldap-starttls", Reason: "the appliance has no LDAPS until the replacement in spring", Until: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC),
}
