package securl

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/connsec/connsec/internal/setting"
	"github.com/connsec/connsec/tlscheck"
)

// liveVisit is one Observe.
type liveVisit struct {
	Live
	site    *url.URL
	o       *LiveObservation
	clients map[string]*http.Client // by host and port

	api   *url.URL // of the XMPL server, nil if it is not to be asked
	token string   // the access token, which is public

	signedIn bool // the caller's password has been taken
}

func (v *liveVisit) close() {
	for _, c := range v.clients {
		c.CloseIdleConnections()
	}
}

func (v *liveVisit) run(ctx context.Context) error {
	random, err := v.random("connsec-")
	if err != nil {
		return err
	}
	rid := cmp.Or(v.RecipientID, random)
	if v.readConfig(ctx); v.o.Config.Unreached {
		return nil
	}
	v.visitLogin(ctx, rid)
	if v.api == nil {
		return nil
	}
	v.askData(ctx, rid)
	if !v.reached() {
		return nil
	}
	v.preflight(ctx)
	if v.Project.SecURL == Off {
		v.o.Guesses.Problem = "SecURL is off"
		v.o.Token.Problem = "SecURL is off"
		return nil
	}
	if !v.o.open() {
		v.askOther(ctx)
		if err := v.liveToken(ctx); err != nil {
			return err
		}
	}
	return v.guess(ctx, random)
}

// reached reports whether the XMPL server gave any answer.
func (v *liveVisit) reached() bool {
	return slices.ContainsFunc(v.o.Data, func(d DataAnswer) bool { return d.Status != 0 })
}

// random returns 128 random bits as hex.
func (v *liveVisit) random(prefix string) (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(v.Rand, b[:]); err != nil {
		return "", errors.New("securl: no randomness")
	}
	return prefix + hex.EncodeToString(b[:]), nil
}

// client returns an HTTP client that reaches the host of u over verified TLS, sends no cookies,
// and follows no redirect by itself.
func (v *liveVisit) client(u *url.URL) *http.Client {
	if c := v.clients[u.Host]; c != nil {
		return c
	}
	e := v.endpoint(u, v.site)
	e.ALPN = []string{"http/1.1"}
	c := &http.Client{
		Timeout:       requestTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return e.Dial(ctx, tlscheck.Intermediate) },
			DialContext: func(context.Context, string, string) (net.Conn, error) {
				return nil, errors.New("securl: not without TLS")
			},
			MaxResponseHeaderBytes: 64 << 10,
			MaxIdleConnsPerHost:    1,
		},
	}
	v.clients[u.Host] = c
	return c
}

// served is one answer, read to its end or to maxAnswer.
type served struct {
	status int
	header http.Header
	body   []byte
	took   time.Duration
}

// ask sends one request. Its errors name no address, for recipients stand in those.
func (v *liveVisit) ask(ctx context.Context, method string, u *url.URL, body any, header map[string]string, from string) (served, error) {
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return served{}, errors.New("securl: the request cannot be encoded")
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), in)
	if err != nil {
		return served{}, errors.New("the address cannot be asked")
	}
	req.Header.Set("User-Agent", userAgent)
	if body != nil {
		req.Header.Set("Content-Type", "application/json;charset=utf-8")
	}
	for k, value := range header {
		req.Header.Set(k, value)
	}
	began := time.Now()
	resp, err := v.client(u).Do(req)
	if err != nil {
		if e := (*url.Error)(nil); errors.As(err, &e) {
			err = e.Err
		}
		return served{}, err
	}
	defer resp.Body.Close()
	s := served{status: resp.StatusCode, header: resp.Header}
	s.body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	s.took = time.Since(began)
	v.cookies(from, resp)
	if err == nil && len(s.body) > maxAnswer {
		err = fmt.Errorf("the answer has more than %d bytes", maxAnswer)
	}
	return s, err
}

const maxCookies = 50

func (v *liveVisit) cookies(from string, resp *http.Response) {
	for _, c := range resp.Cookies() {
		if c.MaxAge < 0 || c.MaxAge == 0 && !c.Expires.IsZero() && c.Expires.Before(v.o.At) {
			continue // taken away
		}
		seen := CookieSeen{From: from, Name: setting.OneLine(c.Name), Secure: c.Secure, HTTPOnly: c.HttpOnly}
		switch c.SameSite {
		case http.SameSiteLaxMode:
			seen.SameSite = "lax"
		case http.SameSiteStrictMode:
			seen.SameSite = "strict"
		case http.SameSiteNoneMode:
			seen.SameSite = "none"
		}
		if len(v.o.Cookies) < maxCookies && !slices.Contains(v.o.Cookies, seen) {
			v.o.Cookies = append(v.o.Cookies, seen)
		}
	}
}

func problemText(err error) string { return setting.OneLine(tlscheck.ProblemOf(err).Text) }

// readConfig finds the XMPL server and the access token.
func (v *liveVisit) readConfig(ctx context.Context) {
	api, token := v.API, v.AccessToken
	c := &v.o.Config
	if api == "" {
		u, _ := v.site.Parse("xmpcfg.js")
		s, err := v.ask(ctx, http.MethodGet, u, nil, nil, "site")
		if err != nil {
			c.Problem = "xmpcfg.js could not be had: " + problemText(err)
			// One that answers too much, or half, was reached.
			c.Unreached = s.status == 0
			return
		}
		if s.status != http.StatusOK {
			c.Problem = fmt.Sprintf("the site answers %d for xmpcfg.js", s.status)
			return
		}
		found := scriptStrings(string(s.body), "xmpcfg", "accessToken", "url", "URL")
		api, token = cmp.Or(found["url"], found["URL"]), found["accessToken"]
	}
	u, err := v.site.Parse(strings.TrimSpace(api)) // which may be relative, as a browser takes it
	switch {
	case api == "" || token == "":
		c.Problem = "xmpcfg.js gives no address and access token that can be read"
		return
	case err != nil || u.Hostname() == "":
		c.Problem = "the address of the XMPL server cannot be read"
		return
	}
	u.User, u.RawQuery, u.Fragment, u.RawPath = nil, "", "", ""
	u.Path = strings.TrimRight(u.Path, "/")
	c.API = setting.OneLine(u.String())
	if u.Scheme != "https" {
		c.Problem = "the XMPL server is addressed without HTTPS, so it was not asked"
		return
	}
	v.api, v.token = u, token
}

const maxLoginRedirects = 3

// visitLogin asks for the login page, as the XMPL library leads to it.
func (v *liveVisit) visitLogin(ctx context.Context, rid string) {
	l := &v.o.Login
	if l.URL, l.From = v.Project.LoginURL, "setting"; l.URL == "" {
		l.From = "xmpcustom.js"
		u, _ := v.site.Parse("xmpcustom.js")
		s, err := v.ask(ctx, http.MethodGet, u, nil, nil, "site")
		switch {
		case err != nil:
			l.Problem = "xmpcustom.js could not be had: " + problemText(err)
		case s.status != http.StatusOK:
			l.Problem = fmt.Sprintf("the site answers %d for xmpcustom.js", s.status)
		default:
			if l.URL = scriptStrings(string(s.body), "xmpcustom", "loginUrl")["loginUrl"]; l.URL == "" {
				l.Problem = "xmpcustom.js gives no loginUrl that can be read"
			}
		}
		if l.Problem != "" {
			return
		}
	}
	to, err := v.site.Parse(strings.TrimSpace(l.URL))
	l.URL = setting.OneLine(l.URL)
	if err != nil {
		return // judged by its text
	}
	if to.RawQuery == "" {
		to.RawQuery = url.Values{"rid": {rid}}.Encode()
	}
	for range maxLoginRedirects + 1 {
		if to.Scheme != "https" || to.User != nil || to.Hostname() == "" {
			l.Redirect = setting.OneLine(to.Scheme + "://" + to.Host)
			return
		}
		to.Fragment = ""
		s, err := v.ask(ctx, http.MethodGet, to, nil, nil, "login page")
		if err != nil {
			l.Problem = "the login page could not be had: " + problemText(err)
			return
		}
		l.Status, l.Redirect = s.status, ""
		next, err := to.Parse(s.header.Get("Location"))
		if s.status/100 != 3 || s.header.Get("Location") == "" || err != nil {
			page := withoutComments(strings.ToLower(string(s.body)))
			l.SignIn = signInForm(page)
			l.Scripts = strings.Contains(page, "<script")
			return
		}
		l.Redirect = setting.OneLine(next.Scheme + "://" + next.Host)
		if !sameHost(next, to) {
			return // the page is somebody else's, whatever it looks like
		}
		to = next
	}
}

// withoutComments returns a page without HTML comments, in which old forms are kept.
func withoutComments(page string) string {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(page, "<!--")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		_, page, _ = strings.Cut(rest, "-->")
	}
}

// signInForm reports whether a page, in lower case, has a form to sign in.
func signInForm(page string) bool { return strings.Contains(page, "xmp-signin") || passwordField(page) }

// passwordField reports whether a page, in lower case, has an input of type password.
func passwordField(page string) bool {
	for rest := page; ; {
		_, tag, found := strings.Cut(rest, "<input")
		if !found {
			return false
		}
		tag, rest, _ = strings.Cut(tag, ">")
		tag = strings.NewReplacer(`"`, "", "'", "", " ", "", "\t", "", "\n", "", "\r", "").Replace(tag)
		if strings.Contains(tag, "type=password") {
			return true
		}
	}
}

// call returns the address of an XMPL call.
func (v *liveVisit) call(path string, query url.Values) *url.URL {
	u := *v.api
	u.Path += "/v1/projects/" + path
	u.RawQuery = query.Encode()
	return &u
}

// page is the address of a recipient's page, in the form that needs no rewriting.
func (v *liveVisit) page(rid string) string {
	u := *v.site
	u.Path += "index.html"
	u.RawQuery = url.Values{"rid": {rid}}.Encode()
	return u.String()
}

// callContext is the first call of a personalized page.
const callContext = "context"

// dataCall is a way to ask for a recipient's data.
type dataCall struct {
	name string // of a [DataAnswer]
	url  *url.URL
}

// dataCalls are the two ways in which pages do.
func (v *liveVisit) dataCalls(rid string) []dataCall {
	return []dataCall{
		{callContext, v.call(v.token+"/adorValues/context", url.Values{"login": {"true"}, "siteURL": {v.page(rid)}})},
		{"rid", v.call(v.token+"/adorValues", url.Values{"rid": {rid}})},
	}
}

// askData asks for data without a security token.
func (v *liveVisit) askData(ctx context.Context, rid string) {
	for _, c := range v.dataCalls(rid) {
		s, err := v.ask(ctx, http.MethodGet, c.url, nil, map[string]string{"Origin": probeOrigin}, "XMPL server")
		d := DataAnswer{Call: c.name, Status: s.status}
		if err != nil {
			d.Status, d.Problem = 0, problemText(err)
		} else {
			d.read(s)
			v.origin(s.header)
		}
		v.o.Data = append(v.o.Data, d)
		if d.Status == 0 {
			return // the same would happen again
		}
	}
}

// read counts the values in an answer, and returns them. Those of the call "context" stand beside the
// login; those of "rid" are the whole answer, which may also be something else.
func (d *DataAnswer) read(s served) map[string]string {
	var in map[string]json.RawMessage
	if err := json.Unmarshal(s.body, &in); err != nil {
		d.Problem = "the answer is no JSON object"
		return nil
	}
	for key, raw := range in {
		if strings.EqualFold(key, "ErrorCode") {
			d.XMPL = json.Unmarshal(raw, &d.ErrorCode) == nil
			return nil
		}
	}
	if s.status != http.StatusOK {
		return nil
	}
	if d.Call == callContext {
		result := in["result"]
		if _, d.XMPL = in["login"]; !d.XMPL {
			d.Problem = "the answer is not that of an XMPL server"
			return nil
		}
		in = nil
		_ = json.Unmarshal(result, &in)
	}
	values := map[string]string{}
	for name, raw := range in {
		if t := string(bytes.TrimSpace(raw)); t != "null" && t != `""` && t != "{}" && t != "[]" {
			values[name] = t
		}
	}
	d.Values = len(values)
	return values
}

// origin reads which origins an answer allows.
func (v *liveVisit) origin(h http.Header) {
	c := &v.o.CORS
	c.Asked = true
	switch strings.TrimSpace(h.Get("Access-Control-Allow-Origin")) {
	case "*":
		c.Any = true
	case probeOrigin:
		c.Reflected = true
		c.Credentials = c.Credentials || strings.EqualFold(strings.TrimSpace(h.Get("Access-Control-Allow-Credentials")), "true")
	}
}

// preflight asks what a browser asks before a script of another site sends a token.
func (v *liveVisit) preflight(ctx context.Context) {
	s, err := v.ask(ctx, http.MethodOptions, v.call(v.token+"/adorValues/context", nil), nil, map[string]string{
		"Origin":                         probeOrigin,
		"Access-Control-Request-Method":  http.MethodGet,
		"Access-Control-Request-Headers": "xmpsecuritytoken",
	}, "XMPL server")
	if err == nil {
		v.origin(s.header)
	}
}
