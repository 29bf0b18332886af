package securl

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
)

func TestReadData(t *testing.T) {
	for _, c := range []struct {
		call, body   string
		values, code int
		xmpl         bool
	}{
		{"rid", `{"First":"Ann","Last":""}`, 1, 0, false},
		{"rid", `{"login":"her login name"}`, 1, 0, false},
		{callContext, `{"login":{"recipientID":"ann"},"result":{"First":"Ann","n":0}}`, 2, 0, true},
		{callContext, `{"login":{},"result":{}}`, 0, 0, true},
		{callContext, `{"login":{"serviceToken":"x"}}`, 0, 0, true},
		{callContext, `{"status":"maintenance"}`, 0, 0, false},
		{"rid", `{"a":null,"b":{},"c":[],"d":""}`, 0, 0, false},
		{"rid", `{"errorcode":9}`, 0, 9, true},
		{callContext, `{"ErrorCode":9,"login":{},"result":{"First":"Ann"}}`, 0, 9, true},
		{"rid", `{"ErrorCode":"nine"}`, 0, 0, false},
		{"rid", `[1]`, 0, 0, false},
		{"rid", ``, 0, 0, false},
	} {
		d := DataAnswer{Call: c.call}
		d.read(served{status: http.StatusOK, body: []byte(c.body)})
		d.Problem = ""
		assert.Equal(t, DataAnswer{Call: c.call, Values: c.values, ErrorCode: c.code, XMPL: c.xmpl}, d, c.body)
	}
	d := DataAnswer{Call: "rid"}
	d.read(served{status: http.StatusNotFound, body: []byte(`{"Message":"No HTTP resource was found"}`)})
	assert.Zero(t, d.Values, "the text of an error is no data")
}

// TestOtherJSON: a page of something else, in JSON, is no leak.
func TestOtherJSON(t *testing.T) {
	o := LiveObservation{KnownRecipient: true, Config: SiteConfig{API: "https://a.example/x"}, Data: []DataAnswer{
		{Call: callContext, Status: 200}, {Call: "rid", Status: 200, Values: 1},
	}}
	v := judgeData(o)
	assert.Equal(t, connsec.Inconclusive, v.Outcome)
	assert.Contains(t, v.Detail, "1 fields that may be something else")
	o.Data[0] = DataAnswer{Call: callContext, Status: 400, ErrorCode: 9, XMPL: true}
	assert.Equal(t, connsec.Fail, judgeData(o).Outcome)
}

func TestStatedLifetime(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	jwt := func(claims string) string {
		return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
	}
	for name, c := range map[string]struct {
		body, token, cookie string
		want                time.Duration
	}{
		"nothing said":       {`{"securityToken":"x"}`, "x", "", 0},
		"RFC 6749":           {`{"securityToken":"x","expires_in":3600}`, "x", "", time.Hour},
		"a century":          {`{"expires_in":1e300}`, "x", "", 100 * 365 * 24 * time.Hour},
		"no number":          {`{"expires_in":"soon"}`, "x", "", 0},
		"negative":           {`{"expires_in":-1}`, "x", "", 0},
		"cookie with an age": {`{}`, "x", "t=x; Max-Age=7200", 0},
		"a JWT":              {`{}`, jwt(`{"iat":1800000000,"exp":1800001800}`), "", 30 * time.Minute},
		"a JWT without iat":  {`{}`, jwt(`{"exp":1800003600}`), "", time.Hour},
		"a JWT that is over": {`{}`, jwt(`{"exp":1}`), "", 0},
		"no JWT":             {`{}`, "a.b.c", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := served{status: http.StatusOK, body: []byte(c.body), header: http.Header{}}
			if c.cookie != "" {
				s.header.Set("Set-Cookie", c.cookie)
			}
			assert.Equal(t, c.want, statedLifetime(s, connsec.NewSecret(c.token), now))
		})
	}
}

// TestLoginAddressTricks: browsers take these for other hosts.
func TestLoginAddressTricks(t *testing.T) {
	site, err := url.Parse("https://www.corp.example/spring/")
	require.NoError(t, err)
	for _, address := range []string{`/\evil.example/login`, `\\evil.example\login`, "https:///evil.example/login", "https:/evil.example/login", "https:evil.example/login", "//evil.example/login"} {
		assert.Equal(t, connsec.Fail, judgeLoginAddress(address, site).Outcome, address)
	}
	for _, address := range []string{`/\evil.example/login`, "https:///evil.example/login"} {
		_, err := CustomScript(address)
		assert.Error(t, err, address)
	}
}

// TestDroppedCookie: one that is taken away holds nothing.
func TestDroppedCookie(t *testing.T) {
	v := &liveVisit{o: &LiveObservation{At: time.Now()}}
	v.cookies("site", &http.Response{Header: http.Header{"Set-Cookie": {
		"session=; Max-Age=0", "token=; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "sid=deleted; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "auth=1",
	}}})
	require.Len(t, v.o.Cookies, 1)
	assert.Equal(t, "auth", v.o.Cookies[0].Name)
}

// TestCommentedForm: what stands in a comment is not there.
func TestCommentedForm(t *testing.T) {
	for page, want := range map[string]bool{
		`<form xmp-signin>`: true,
		`<!-- <form xmp-signin><input type=password> -->`: false,
		`<!-- a --><input type=password><!-- b -->`:       true,
		`<!-- <input type=password>`:                      false,
		`<!--a--><!--<script src=x>--><p>`:                false,
	} {
		assert.Equal(t, want, signInForm(withoutComments(page)), page)
	}
}

func TestPasswordField(t *testing.T) {
	for page, want := range map[string]bool{
		`<input type="password">`:                      true,
		"<input name=a>\n<input\n\ttype = 'password'>": true,
		`<input type=password`:                         true,
		`<input type="text">`:                          false,
		`type="password"`:                              false,
		`<inputtype=text><input type="text" x>`:        false,
	} {
		assert.Equal(t, want, passwordField(page), page)
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add([]byte(`{"login":{},"result":{"First":"Ann"},"expires_in":3600}`), "a.eyJleHAiOjF9.b")
	f.Add([]byte(`{"ErrorCode":9}`), "")
	f.Fuzz(func(t *testing.T, body []byte, token string) {
		for _, call := range []string{callContext, "rid"} {
			a := DataAnswer{Call: call}
			a.read(served{status: http.StatusOK, body: body})
			assert.False(t, a.Values > 0 && (a.ErrorCode != 0 || a.Problem != ""), "an error is no data")
			assert.LessOrEqual(t, a.Values, len(body))
		}
		d := statedLifetime(served{body: body, header: http.Header{"Set-Cookie": {"a=" + token + "; Max-Age=5"}}}, connsec.NewSecret(token), time.Unix(1, 0))
		assert.GreaterOrEqual(t, d, time.Duration(0))
		passwordField(strings.ToLower(string(body)))
	})
}

func FuzzRecipientKeys(f *testing.F) {
	f.Add("[[firstname]].[[lastname]]", "Ann.Lee\n00017\nf3b2c9e0d1a84c77")
	f.Add("[[[[x]]", "\x00")
	f.Fuzz(func(t *testing.T, pattern, keys string) {
		p := Project{RecipientKey: pattern, SampleKeys: strings.Split(keys, "\n")}
		l := looksOf(p.SampleKeys)
		assert.LessOrEqual(t, l.guessable(), l.n)
		v := judgeKeys(p)
		assert.True(t, v.Outcome.Valid())
		assert.NotContains(t, v.Detail, "\n")
		if k := parseKeyPattern(pattern); len(k.random) > 0 && l.n == 0 && !k.broken {
			assert.Equal(t, connsec.Pass, v.Outcome)
		}
	})
}
