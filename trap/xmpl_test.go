package trap_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec/trap"
)

// xmplClient asks as the published XMPL client does, with net/http.
type xmplClient struct {
	t    *testing.T
	trap *trap.XMPL
	http *http.Client
	host string
}

func newXMPL(t *testing.T, p trap.XMPLPosture, now func() time.Time) *xmplClient {
	t.Helper()
	s, err := trap.Options{Timeout: 5 * time.Second, Now: now}.XMPL(p)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	transport := &http.Transport{
		TLSClientConfig:       &tls.Config{RootCAs: s.Roots(), MinVersion: tls.VersionTLS12},
		ResponseHeaderTimeout: time.Second,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, s.Addr())
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &xmplClient{t, s, &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, host}
}

func (c *xmplClient) ask(method, path string, body any, token string) (int, http.Header, string, error) {
	c.t.Helper()
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		require.NoError(c.t, err)
		in = strings.NewReader(string(b))
	}
	req, err := http.NewRequestWithContext(c.t.Context(), method, "https://"+c.host+path, in)
	require.NoError(c.t, err)
	req.Header.Set("Content-Type", "application/json;charset=utf-8")
	req.Header.Set("Origin", "https://other.example")
	if token != "" {
		req.Header.Set("xmpSecurityToken", token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, "", err
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(io.LimitReader(resp.Body, 2<<20))
	return resp.StatusCode, resp.Header, string(out), err
}

const xmplAPI = "/XMPieXMPL_REST_API/v1/projects/"

func (c *xmplClient) signIn(rid, password string) (status int, token string) {
	c.t.Helper()
	status, _, body, err := c.ask("POST", xmplAPI+"auth/signIn", map[string]string{"RecipientID": rid, "AccessToken": trap.XMPLAccessToken, "Password": password,
		"SiteURL": "https://" + c.host + "/spring/login.html"}, "")
	require.NoError(c.t, err)
	var out struct {
		SecurityToken string `json:"securityToken"`
	}
	_ = json.Unmarshal([]byte(body), &out)
	return status, out.SecurityToken
}

func (c *xmplClient) data(rid, token string) (int, string) {
	c.t.Helper()
	q := url.Values{"login": {"true"}, "siteURL": {"https://" + c.host + "/spring/" + rid}, "adors": {"First"}}
	status, _, body, err := c.ask("GET", xmplAPI+trap.XMPLAccessToken+"/adorValues/context?"+q.Encode(), nil, token)
	require.NoError(c.t, err)
	return status, body
}

func TestXMPLHonest(t *testing.T) {
	var later atomic.Int64
	c := newXMPL(t, trap.XMPLHonest, func() time.Time { return time.Now().Add(time.Duration(later.Load())) })
	status, body := c.data(trap.XMPLRecipient, "")
	assert.Equal(t, http.StatusBadRequest, status)
	assert.JSONEq(t, `{"ErrorCode":9,"DisplayMessage":"Unauthorized","RecipientID":"Kai.Trap","ServiceToken":""}`, body)

	status, token := c.signIn(trap.XMPLRecipient, trap.XMPLPassword)
	require.Equal(t, http.StatusOK, status)
	status, body = c.data(trap.XMPLRecipient, token)
	assert.Equal(t, http.StatusOK, status)
	assert.Contains(t, body, `"result":{"First":"Kai"`)
	for _, other := range []string{"Somebody.Else", trap.XMPLOtherRecipient} {
		status, _ = c.data(other, token)
		assert.Equal(t, http.StatusBadRequest, status, "a token opens its own recipient's data")
	}
	status, _, body, err := c.ask("GET", xmplAPI+trap.XMPLAccessToken+"_0/adorValues?rid="+trap.XMPLRecipient, nil, token)
	require.NoError(t, err)
	assert.Equal(t, http.StatusOK, status)
	assert.Contains(t, body, `"First":"Kai"`)

	// As version 4 of the library asks.
	for _, path := range []string{"/adorvalues/?rid=" + trap.XMPLRecipient, "/adorvalues/context?login=true&rid=" + trap.XMPLRecipient} {
		status, _, body, err = c.ask("GET", xmplAPI+trap.XMPLAccessToken+path, nil, token)
		require.NoError(t, err)
		assert.Equal(t, http.StatusOK, status, path)
		assert.Contains(t, body, `"First":"Kai"`, path)
	}

	later.Store(int64(time.Hour))
	status, _ = c.data(trap.XMPLRecipient, token)
	assert.Equal(t, http.StatusBadRequest, status, "after an hour it is over")
	_, token = c.signIn(trap.XMPLRecipient, trap.XMPLPassword)
	status, _, _, err = c.ask("POST", xmplAPI+"auth/signOut", map[string]string{"RecipientID": trap.XMPLRecipient}, token)
	require.NoError(t, err)
	assert.Equal(t, http.StatusOK, status)
	status, _ = c.data(trap.XMPLRecipient, token)
	assert.Equal(t, http.StatusBadRequest, status)

	for want := range 4 {
		status, _ = c.signIn("Nobody", "wrong")
		if want < 3 {
			assert.Equal(t, http.StatusBadRequest, status)
		}
	}
	assert.Equal(t, http.StatusTooManyRequests, status)
	status, _ = c.signIn(trap.XMPLRecipient, trap.XMPLPassword)
	assert.Equal(t, http.StatusOK, status, "others are not locked")

	c.http.CloseIdleConnections()
	require.NoError(t, c.trap.Await(t.Context(), 1))
	seen := c.trap.Observed()[0]
	assert.Equal(t, trap.Trusted, seen.TLS.Trust)
	assert.True(t, seen.Password && seen.RealPassword && seen.Token && seen.ClosedByClient)
	assert.False(t, seen.Cleartext || seen.PasswordInClear || seen.TokenInURL)
	assert.Equal(t, 7, seen.SignIns)
	out, err := json.Marshal(seen)
	require.NoError(t, err)
	assert.NotContains(t, string(out), trap.XMPLPassword)
	assert.NotContains(t, string(out), token)
}

func TestXMPLPostures(t *testing.T) {
	for _, p := range trap.XMPLPostures() {
		back, err := trap.ParseXMPLPosture(p.String())
		require.NoError(t, err)
		assert.Equal(t, p, back)
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			c := newXMPL(t, p, nil)
			get := func(path string) (int, http.Header, string, error) { return c.ask("GET", path, nil, "") }
			direct := xmplAPI + trap.XMPLAccessToken + "/adorValues?rid=" + trap.XMPLRecipient
			switch p {
			case trap.XMPLExpired, trap.XMPLWrongName, trap.XMPLUntrusted:
				_, _, _, err := get(direct)
				require.ErrorContains(t, err, "certificate")
			case trap.XMPLDataOpen, trap.XMPLDirectOpen:
				status, _, body, err := get(direct)
				require.NoError(t, err)
				assert.Equal(t, http.StatusOK, status)
				assert.Contains(t, body, "Kai")
				status, _ = c.data(trap.XMPLRecipient, "")
				assert.Equal(t, p == trap.XMPLDataOpen, status == http.StatusOK)
			case trap.XMPLUnthrottled:
				for range 10 {
					status, _ := c.signIn(trap.XMPLRecipient, "wrong")
					assert.Equal(t, http.StatusBadRequest, status)
				}
			case trap.XMPLSilentLock:
				for range 3 {
					c.signIn(trap.XMPLRecipient, "wrong")
				}
				status, token := c.signIn(trap.XMPLRecipient, trap.XMPLPassword)
				assert.Equal(t, http.StatusBadRequest, status, "not 429")
				assert.Empty(t, token)
			case trap.XMPLAnyRecipient, trap.XMPLTokenDecides:
				_, token := c.signIn(trap.XMPLRecipient, trap.XMPLPassword)
				status, body := c.data(trap.XMPLOtherRecipient, token)
				assert.Equal(t, http.StatusOK, status)
				assert.Equal(t, p == trap.XMPLAnyRecipient, strings.Contains(body, `"First":"Lee"`), body)
				status, _ = c.data(trap.XMPLOtherRecipient, "")
				assert.Equal(t, http.StatusBadRequest, status)
			case trap.XMPLSlidingToken:
				var ahead atomic.Int64
				c := newXMPL(t, p, func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) })
				_, token := c.signIn(trap.XMPLRecipient, trap.XMPLPassword)
				for range 3 {
					ahead.Add(int64(40 * time.Minute))
					status, _ := c.data(trap.XMPLRecipient, token)
					assert.Equal(t, http.StatusOK, status)
				}
				ahead.Add(int64(time.Hour))
				status, _ := c.data(trap.XMPLRecipient, token)
				assert.Equal(t, http.StatusBadRequest, status)
			case trap.XMPLLoginToForeign:
				_, header, _, err := get(c.trap.Path() + "login.html")
				require.NoError(t, err)
				assert.Equal(t, "https://other.trap.test/spring/login.html", header.Get("Location"))
			case trap.XMPLSignOutIgnored:
				_, token := c.signIn(trap.XMPLRecipient, trap.XMPLPassword)
				_, _, _, err := c.ask("POST", xmplAPI+"auth/signOut", map[string]string{}, token)
				require.NoError(t, err)
				status, _ := c.data(trap.XMPLRecipient, token)
				assert.Equal(t, http.StatusOK, status)
			case trap.XMPLStatedWeek:
				_, _, body, err := c.ask("POST", xmplAPI+"auth/signIn", map[string]string{"RecipientID": trap.XMPLRecipient, "AccessToken": trap.XMPLAccessToken, "Password": trap.XMPLPassword}, "")
				require.NoError(t, err)
				assert.Contains(t, body, `"expires_in":604800`)
			case trap.XMPLHTTPServer:
				_, _, body, err := get(c.trap.Path() + "xmpcfg.js")
				require.NoError(t, err)
				assert.Contains(t, body, "url: 'http://"+host+xmplAPI[:len("/XMPieXMPL_REST_API")]+"'")
			case trap.XMPLHTTPLogin, trap.XMPLForeignLogin, trap.XMPLLoginQuery:
				_, _, body, err := get(c.trap.Path() + "xmpcustom.js")
				require.NoError(t, err)
				assert.NotContains(t, body, "loginUrl: 'https://"+host+"/spring/login.html'")
			case trap.XMPLLoginMissing, trap.XMPLLoginNoForm, trap.XMPLLoginToHTTP, trap.XMPLUnsafeCookies:
				status, header, body, err := get(c.trap.Path() + "login.html")
				require.NoError(t, err)
				assert.Equal(t, p == trap.XMPLUnsafeCookies, strings.Contains(body, "xmp-signin"))
				assert.Equal(t, p == trap.XMPLLoginToHTTP, strings.HasPrefix(header.Get("Location"), "http://"))
				assert.Equal(t, p == trap.XMPLLoginMissing, status == http.StatusNotFound)
				assert.NotContains(t, header.Get("Set-Cookie"), "Secure")
			case trap.XMPLAnyOrigin, trap.XMPLReflectedOrigin:
				_, header, _, err := get(direct)
				require.NoError(t, err)
				assert.Contains(t, []string{"*", "https://other.example"}, header.Get("Access-Control-Allow-Origin"))
			case trap.XMPLWrongError:
				status, _, _, err := get(direct)
				require.NoError(t, err)
				assert.Equal(t, http.StatusUnauthorized, status)
			case trap.XMPLNotJSON, trap.XMPLRedirecting:
				_, _, body, err := get(direct)
				require.NoError(t, err)
				assert.NotContains(t, body, "{")
			case trap.XMPLOversize:
				_, _, body, err := get(direct)
				require.NoError(t, err)
				assert.Len(t, body, 2<<20, "more than anybody reads")
			case trap.XMPLDripping:
				c.http.Timeout = 300 * time.Millisecond // sure to be used up
				_, _, body, err := get(direct)
				require.Error(t, err)
				assert.Empty(t, strings.TrimSpace(body))
			case trap.XMPLStalled, trap.XMPLEarlyClose:
				_, _, _, err := get(direct)
				require.Error(t, err)
			default: // honest, and a token that has to be waited for
				status, header, _, err := get(direct)
				require.NoError(t, err)
				assert.Equal(t, http.StatusBadRequest, status)
				assert.Empty(t, header.Get("Access-Control-Allow-Origin"))
			}
		})
	}
	_, err := trap.ParseXMPLPosture("rude")
	require.ErrorContains(t, err, `unknown XMPL posture "rude"`)
	_, err = trap.NewXMPL(200)
	require.Error(t, err)
}

// TestXMPLCleartext: a client that follows an address in xmpcfg.js to http is noticed.
func TestXMPLCleartext(t *testing.T) {
	s, err := trap.NewXMPL(trap.XMPLHTTPServer)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	body := `{"RecipientID":"Kai.Trap","Password":"guess"}`
	resp, err := http.Post("http://"+s.Addr()+xmplAPI+"auth/signIn?xmpSecurityToken=x", "application/json", strings.NewReader(body))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	http.DefaultClient.CloseIdleConnections()
	require.NoError(t, s.Await(t.Context(), 1))
	seen := s.Observed()[0]
	assert.True(t, seen.Cleartext && seen.PasswordInClear && seen.TokenInURL && seen.TokenInClear)
	assert.False(t, seen.RealPassword)
	assert.Nil(t, seen.TLS)
}
