package apisec

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/connsec/connsec"
	"github.com/stretchr/testify/assert"
)

var problems = []string{
	"", "a redirect, which is not followed", "the answer is not JSON", "the answer is not a JSON object", "the access token is not a text",
	"the answer has no access token", "the access token is longer than 16 KiB", "the access token has characters that no header can carry",
	"the token is not of type Bearer (RFC 6750)", "expires_in is not a number of seconds", "by its expires_in the token has expired already",
}

// FuzzAnswer: a token that fits a header and ends in the future, or an error in our own words.
func FuzzAnswer(f *testing.F) {
	for _, body := range []string{
		`{"access_token":"t0ken","token_type":"Bearer","expires_in":1800,"scope":"a b"}`, `{"error":"invalid_client","error_description":"x"}`,
		`{"access_token":"a","token_type":"BEARER","expires_in":"1e3"}`, `{"access_token":"a","token_type":"Bearer","expires_in":1e999}`,
		`{"access_token":"a","token_type":"Bearer","expires_in":"NaN"}`, `{"access_token":"a","token_type":"Bearer","expires_in":"-Inf"}`, `{"access_token":"a\u0000","token_type":"Bearer"}`, `[]`, ``, `{"a":{}} x`,
		`{"access_token":"a","token_type":"Bearer","expires_in":"0x1p-2"}`, `{"access_token":"a","token_type":"Bearer","expires_in":0.4e-12}`,
	} {
		f.Add(200, []byte(body))
		f.Add(401, []byte(body))
	}
	asked := time.Date(2026, 3, 15, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		token, wrong := parseAnswer(status, body, "", asked)
		if wrong != nil {
			assert.Zero(t, token)
			assert.Contains(t, problems, wrong.Problem)
			assert.True(t, wrong.Code == "" || slices.Contains(registered, wrong.Code))
			return
		}
		value := token.Value.Reveal()
		assert.True(t, status == 200 || status == 201)
		assert.True(t, value != "" && len(value) <= maxToken)
		req := http.Request{Header: http.Header{}}
		req.Header.Set("Authorization", "Bearer "+value)
		assert.False(t, strings.ContainsFunc(req.Header.Get("Authorization")[7:], func(r rune) bool { return r <= ' ' || r >= 0x7f }))
		assert.True(t, token.Expires.IsZero() || token.Expires.After(asked) && !token.Expires.After(asked.Add(maxLife)), token.Expires)
		h := hold(token, asked)
		assert.True(t, h.ends.After(asked) && !h.renew.After(h.ends) && !h.ends.After(asked.Add(mostReuse)))
		for _, s := range token.Scopes {
			assert.True(t, isScopeToken(s))
		}
	})
}

// FuzzTokenURL: whatever is typed, nothing of it is shown but scheme and host, and a request
// goes to the host that was judged, over https, or there is none.
func FuzzTokenURL(f *testing.F) {
	for _, s := range []string{
		"https://central.corp.internal:8093/api/auth/token", "https://u:hunter2@a.corp.internal/", "https://a.corp.internal\\@b.corp.internal/", "https://a.corp.internal#@b/",
		"https://a.corp.internal?x@b/", "HTTPS://A.Corp.Internal./", "https://[::1]/", "https://a.corp.internal:443/", "http://a.b.internal", "https://a.corp.internal:0443/", "https://ä.corp.internal/", "https://a.corp.internal/%2e%2e/?client_secret=x",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c := Client{ID: "fuzz", Secret: connsec.NewSecret("4f1c6a08e5d97b32c0a84e6f193d57b2e80c46fa"), TokenURL: s}
		u, problem := parseTokenURL(s)
		if problem != "" {
			_, err := c.source()
			assert.Error(t, err)
			return
		}
		assert.NotEmpty(t, u.host)
		assert.NotZero(t, u.port)
		if password, ok := u.url.User.Password(); ok && len(password) > 8 {
			assert.NotContains(t, u.show(), password)
		}
		source, err := c.source()
		if err != nil {
			return
		}
		defer source.transport.CloseIdleConnections()
		req, err := tokenRequest(t.Context(), source.url.url, c)
		if err != nil {
			return
		}
		assert.NoError(t, source.allow(req), "the host of the request is the one that was judged")
		assert.Equal(t, "https", req.URL.Scheme)
		assert.Nil(t, req.URL.User)
		again, err := url.Parse(req.URL.String())
		assert.NoError(t, err)
		assert.Equal(t, req.URL.Host, again.Host)
		_, err = c.endpoint(source.url, source.hosts, source.url.address())
		assert.NoError(t, err)
	})
}

// FuzzRetryAfter: whatever a server says, the wait is none, or within bounds.
func FuzzRetryAfter(f *testing.F) {
	for _, value := range []string{"", "0", "120", "99999999999999999999", "-1", "1e9", "Sun, 15 Mar 2026 12:01:30 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "Sunday, 15-Mar-26 12:01:30 GMT"} {
		f.Add(429, value, "Sun, 15 Mar 2026 12:00:00 GMT")
		f.Add(503, value, "")
	}
	f.Fuzz(func(t *testing.T, status int, value, date string) {
		resp := &http.Response{StatusCode: status, Header: http.Header{"Retry-After": {value}, "Date": {date}}}
		wait := retryAfter(resp, time.Date(2026, 3, 15, 0, 0, 0, 0, time.UTC))
		assert.True(t, wait >= 0 && wait <= maxWait, wait)
		assert.True(t, wait == 0 || status == 429 || status == 503)
	})
}
