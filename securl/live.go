package securl

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/setting"
	"github.com/connsec/connsec/tlscheck"
)

// Live is a protected site as it is served, and the XMPL server behind it. Everything is asked
// over verified TLS; what cannot be had that way is not asked.
type Live struct {
	// URL is the https address of the site, such as "https://www.example.com/spring/".
	URL string
	// Project is what Circle is set to.
	Project Project
	// RecipientID is the key of a recipient made for such tests. Without one, the data of a
	// random recipient is asked for, which tells that a site is closed, but not always that it
	// is open.
	RecipientID string
	// UserName and Password sign in as RecipientID. With them it is looked at how long a token
	// lasts and whether signing out ends it. Default: nobody signs in.
	UserName string
	Password connsec.Secret
	// Wait makes Observe wait [Lifetime] and a minute after signing in, and ask again. Without
	// it, only what the server says about the end of the token is known.
	Wait bool
	// Guesses is how many wrong passwords are tried, to see whether that is throttled. Default
	// and most without RecipientID: 5, for a random recipient. More are tried for RecipientID,
	// which may lock it; 101, the most, is one more than NIST SP 800-63B-4 allows. Negative:
	// none.
	Guesses int
	// API and AccessToken are those of xmpcfg.js. Default: read from the site.
	API         string
	AccessToken string
	// Endpoint carries what shall not be the standard one: Connect, Dialer, Resolver, Roots,
	// CRLs, Now. Its Host and Port are those of URL.
	Endpoint tlscheck.Endpoint

	Rand  io.Reader                                  // nil: crypto/rand
	Sleep func(context.Context, time.Duration) error // waits; nil: by the clock
}

const (
	defaultGuesses = 5
	// MostGuesses is one more than the 100 consecutive failures that NIST SP 800-63B-4 3.2.2
	// allows at most.
	MostGuesses = 101

	maxAnswer      = 1 << 20 // bytes of one answer
	requestTimeout = 20 * time.Second
	userAgent      = "connsec"
	probeOrigin    = "https://connsec.invalid" // RFC 6761 6.4: a name that nobody has
	tokenHeader    = "xmpSecurityToken"
	notSignedIn    = 9 // ErrorCode
)

// LiveObservation is what a [Live] site answered. It holds neither tokens nor data.
type LiveObservation struct {
	Site     string        `json:"site"`
	At       time.Time     `json:"at"`
	Duration time.Duration `json:"duration"`
	SecURL   Setting       `json:"securl,omitempty"` // as the project says
	// TLS is what was seen of the site's certificate, TLS and HSTS.
	TLS tlscheck.HTTPSObservation `json:"tls"`
	// KnownRecipient: data was asked for of a recipient that the caller named.
	KnownRecipient bool `json:"known_recipient,omitempty"`

	Config  SiteConfig      `json:"config"`
	Login   LoginObserved   `json:"login"`
	Data    []DataAnswer    `json:"data,omitempty"`
	CORS    CORSAnswer      `json:"cors"`
	Cookies []CookieSeen    `json:"cookies,omitempty"`
	Guesses GuessesObserved `json:"guesses"`
	Token   TokenObserved   `json:"token"`
}

// SiteConfig is what xmpcfg.js says, or the caller.
type SiteConfig struct {
	API     string `json:"api,omitempty"`     // address of the XMPL server
	Problem string `json:"problem,omitempty"` // why it is not known, or not asked
	// Unreached: the site itself could not be asked over verified TLS.
	Unreached bool `json:"unreached,omitempty"`
}

// LoginObserved is the login page.
type LoginObserved struct {
	URL      string `json:"url,omitempty"` // as written
	From     string `json:"from,omitempty"`
	Problem  string `json:"problem,omitempty"` // why there is no address, or no answer
	Status   int    `json:"status,omitempty"`
	Redirect string `json:"redirect,omitempty"` // a redirect that was not followed
	SignIn   bool   `json:"sign_in,omitempty"`  // the page has xmp-signin or a password field
	Scripts  bool   `json:"scripts,omitempty"`  // it has scripts, which may make one
}

// DataAnswer is the answer to a request for data without a token.
type DataAnswer struct {
	Call      string `json:"call"` // "context", as pages ask first, or "rid"
	Status    int    `json:"status,omitempty"`
	ErrorCode int    `json:"error_code,omitempty"`
	Values    int    `json:"values,omitempty"` // that are not empty
	Problem   string `json:"problem,omitempty"`
}

// CORSAnswer says which sites' scripts may talk to the XMPL server.
type CORSAnswer struct {
	Asked bool `json:"asked,omitempty"`
	// Any: every origin. Reflected: an origin that does not exist was allowed by name.
	Any         bool `json:"any,omitempty"`
	Reflected   bool `json:"reflected,omitempty"`
	Credentials bool `json:"credentials,omitempty"`
}

// CookieSeen is a Set-Cookie header without its value.
type CookieSeen struct {
	From     string `json:"from"` // "site", "login page" or "XMPL server"
	Name     string `json:"name"`
	Secure   bool   `json:"secure,omitempty"`
	HTTPOnly bool   `json:"http_only,omitempty"`
	SameSite string `json:"same_site,omitempty"`
}

// GuessesObserved is what wrong passwords led to.
type GuessesObserved struct {
	Known   bool          `json:"known,omitempty"` // for a recipient that exists
	Answers []GuessAnswer `json:"answers,omitempty"`
	Problem string        `json:"problem,omitempty"` // why there are none, or no more
	// Accepted: one was taken.
	Accepted bool `json:"accepted,omitempty"`
}

// GuessAnswer is the answer to one wrong password.
type GuessAnswer struct {
	Status     int           `json:"status,omitempty"`
	ErrorCode  int           `json:"error_code,omitempty"`
	RetryAfter bool          `json:"retry_after,omitempty"`
	Changed    bool          `json:"changed,omitempty"` // it says something else than the first one
	Took       time.Duration `json:"took"`
}

// TokenObserved is the life of a security token.
type TokenObserved struct {
	Asked   bool   `json:"asked,omitempty"`   // with the caller's credentials
	Problem string `json:"problem,omitempty"` // why nothing is known
	// Stated is how long it lasts by the server's own statement; zero: it says nothing.
	Stated time.Duration `json:"stated,omitempty"`
	// Waited after signing in; GoodAfter says whether the token still opened data then.
	Waited    time.Duration `json:"waited,omitempty"`
	GoodAfter bool          `json:"good_after,omitempty"`
	// SignedOut: signing out was answered; GoodAfterSignOut: the token opened data all the same.
	SignedOut        bool `json:"signed_out,omitempty"`
	GoodAfterSignOut bool `json:"good_after_sign_out,omitempty"`
}

// base returns the parsed address of the site's folder.
func (l Live) base() (*url.URL, error) {
	u, err := url.Parse(l.URL)
	switch {
	case err != nil || u.Hostname() == "":
		return nil, errors.New(`securl: the address of the site must be absolute, such as "https://www.example.com/spring/"`)
	case u.Scheme != "https":
		return nil, errors.New("securl: the address of the site must begin with https://; nothing is asked without TLS")
	case u.User != nil:
		return nil, errors.New("securl: the address of the site must not contain credentials")
	}
	u.RawQuery, u.Fragment, u.RawPath = "", "", ""
	u.Path = u.Path[:strings.LastIndexByte(u.Path, '/')+1]
	if u.Path == "" {
		u.Path = "/"
	}
	return u, nil
}

// problem says what is wrong with the fields, or nil.
func (l Live) problem() error {
	switch {
	case l.Guesses > MostGuesses:
		return fmt.Errorf("securl: at most %d wrong passwords are tried", MostGuesses)
	case l.Guesses > defaultGuesses && l.RecipientID == "":
		return fmt.Errorf("securl: more than %d wrong passwords need a recipient made for the test", defaultGuesses)
	case !l.Password.IsEmpty() && l.RecipientID == "":
		return errors.New("securl: a password needs the recipient that it is of")
	case l.Wait && l.Password.IsEmpty():
		return errors.New("securl: to wait for the end of a token takes a recipient and password to sign in with")
	case (l.API == "") != (l.AccessToken == ""):
		return errors.New("securl: give both the address of the XMPL server and the access token, or neither")
	}
	return l.Project.problem()
}

// Validate judges the project's settings and the site's host name, without asking anybody.
func (l Live) Validate() connsec.Report {
	r := l.Project.Validate()
	r.Target = l.URL
	if u, err := l.base(); err == nil {
		r.Findings = append(r.Findings, tlscheck.CheckName(u.Hostname()).Findings...)
	}
	return r
}

// Probe judges the settings, observes the site and judges what was seen. Where both say something
// about one rule, a failure counts first, and then what was seen: a setting is no proof that the
// server does as it says.
func (l Live) Probe(ctx context.Context) (connsec.Report, error) {
	o, err := l.Observe(ctx)
	if err != nil {
		return connsec.Report{}, err
	}
	r := o.Judge()
	failed := func(f connsec.Finding) bool { return f.Outcome == connsec.Fail }
	var settings []connsec.Finding
	for _, f := range l.Project.Validate().Findings {
		seen := r.Of(f.Rule)
		if len(seen) > 0 && (!failed(f) || slices.ContainsFunc(seen, failed)) {
			continue
		}
		r.Findings = slices.DeleteFunc(r.Findings, func(g connsec.Finding) bool { return g.Rule == f.Rule })
		settings = append(settings, f)
	}
	r.Findings = append(settings, r.Findings...)
	return r, nil
}

func (l Live) endpoint(u *url.URL, site *url.URL) tlscheck.Endpoint {
	e := l.Endpoint
	e.Host, e.Port, e.Subject = u.Hostname(), 0, ""
	if p, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
		e.Port = uint16(p)
	}
	if !sameHost(u, site) {
		e.Connect = "" // that is where the site is
	}
	return e
}

// Observe asks the site and its XMPL server. Unless more is asked for, it sends at most nine
// GETs, one OPTIONS and five sign-ins besides what [tlscheck.HTTPS] does. The error is about the
// setting or the context.
func (l Live) Observe(ctx context.Context) (LiveObservation, error) {
	u, err := l.base()
	if err != nil {
		return LiveObservation{}, err
	}
	if err := l.problem(); err != nil {
		return LiveObservation{}, err
	}
	if l.Rand == nil {
		l.Rand = rand.Reader
	}
	if l.Sleep == nil {
		l.Sleep = sleep
	}
	now := l.Endpoint.Now
	if now == nil {
		now = time.Now
	}
	o := LiveObservation{Site: u.String(), At: now(), SecURL: l.Project.SecURL, KnownRecipient: l.RecipientID != ""}
	if o.TLS, err = (tlscheck.HTTPS{Endpoint: l.endpoint(u, u), Path: u.Path}).Observe(ctx); err != nil {
		return LiveObservation{}, err
	}
	v := &liveVisit{Live: l, site: u, o: &o, clients: map[string]*http.Client{}}
	defer v.close()
	if err := v.run(ctx); err != nil {
		return LiveObservation{}, err
	}
	o.Duration = now().Sub(o.At)
	return o, context.Cause(ctx)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// liveVisit is one Observe.
type liveVisit struct {
	Live
	site    *url.URL
	o       *LiveObservation
	clients map[string]*http.Client // by host and port

	api   *url.URL // of the XMPL server, nil if it is not to be asked
	token string   // the access token, which is public
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
			page := strings.ToLower(string(s.body))
			l.SignIn = strings.Contains(page, "xmp-signin") || passwordField(page)
			l.Scripts = strings.Contains(page, "<script")
			return
		}
		l.Redirect = setting.OneLine(next.Scheme + "://" + next.Host)
		to = next
	}
}

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

// askData asks for data without a security token, in the two ways that pages do.
func (v *liveVisit) askData(ctx context.Context, rid string) {
	for _, c := range []struct {
		name, path string
		query      url.Values
	}{
		{"context", "adorValues/context", url.Values{"login": {"true"}, "siteURL": {v.page(rid)}}},
		{"rid", "adorValues", url.Values{"rid": {rid}}},
	} {
		s, err := v.ask(ctx, http.MethodGet, v.call(v.token+"/"+c.path, c.query), nil, map[string]string{"Origin": probeOrigin}, "XMPL server")
		d := DataAnswer{Call: c.name, Status: s.status}
		if err != nil {
			d.Status, d.Problem = 0, problemText(err)
		} else {
			d.Values, d.ErrorCode, d.Problem = readData(s)
			v.origin(s.header)
		}
		v.o.Data = append(v.o.Data, d)
		if d.Status == 0 {
			return // the same would happen again
		}
	}
}

// readData counts the values in an answer.
func readData(s served) (values, code int, problem string) {
	var in map[string]json.RawMessage
	if err := json.Unmarshal(s.body, &in); err != nil {
		return 0, 0, "the answer is no JSON object"
	}
	for key, raw := range in {
		if strings.EqualFold(key, "ErrorCode") {
			_ = json.Unmarshal(raw, &code)
			return 0, code, ""
		}
	}
	if s.status != http.StatusOK {
		return 0, 0, ""
	}
	if _, ok := in["login"]; ok {
		result := in["result"]
		in = nil
		_ = json.Unmarshal(result, &in)
	}
	for _, raw := range in {
		if t := string(bytes.TrimSpace(raw)); t != "null" && t != `""` && t != "{}" && t != "[]" {
			values++
		}
	}
	return values, 0, ""
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

// signIn tries one password, and returns the security token if it was taken.
func (v *liveVisit) signIn(ctx context.Context, rid, user, password string) (served, connsec.Secret, error) {
	s, err := v.ask(ctx, http.MethodPost, v.call("auth/signIn", nil), map[string]string{
		"RecipientID": rid, "AccessToken": v.token, "Password": password, "UserName": user, "SiteURL": v.page(rid),
	}, nil, "XMPL server")
	if err != nil {
		return s, connsec.Secret{}, err
	}
	var in struct {
		SecurityToken string `json:"securityToken"`
	}
	if s.status == http.StatusOK {
		_ = json.Unmarshal(s.body, &in)
	}
	return s, connsec.NewSecret(in.SecurityToken), nil
}

func (v *liveVisit) signOut(ctx context.Context, rid string, token connsec.Secret) bool {
	s, err := v.ask(ctx, http.MethodPost, v.call("auth/signOut", nil), map[string]string{"RecipientID": rid},
		map[string]string{tokenHeader: token.Reveal(), "accessToken": v.token}, "XMPL server")
	return err == nil && s.status == http.StatusOK
}

// good reports whether a token opens data; known is false if that could not be told.
func (v *liveVisit) good(ctx context.Context, rid string, token connsec.Secret) (good, known bool) {
	s, err := v.ask(ctx, http.MethodGet, v.call(v.token+"/adorValues/context", url.Values{"login": {"true"}, "siteURL": {v.page(rid)}}), nil,
		map[string]string{tokenHeader: token.Reveal()}, "XMPL server")
	if err != nil {
		return false, false
	}
	values, code, _ := readData(s)
	return values > 0, values > 0 || code == notSignedIn
}

// liveToken signs in with the caller's credentials and follows the token to its end.
func (v *liveVisit) liveToken(ctx context.Context) error {
	t := &v.o.Token
	if v.Password.IsEmpty() {
		t.Problem = "no recipient and password to sign in with were given"
		return nil
	}
	t.Asked = true
	s, token, err := v.signIn(ctx, v.RecipientID, v.UserName, v.Password.Reveal())
	switch {
	case err != nil:
		t.Problem = "signing in failed: " + problemText(err)
		return nil
	case token.IsEmpty():
		t.Problem = fmt.Sprintf("the sign-in was answered with %d and no token", s.status)
		return nil
	}
	t.Stated = statedLifetime(s, token, v.o.At)
	if good, _ := v.good(ctx, v.RecipientID, token); !good {
		t.Problem = "the token opens no data even at once"
		v.signOut(ctx, v.RecipientID, token)
		return nil
	}
	if v.Wait {
		const wait = Lifetime + time.Minute
		if err := v.Sleep(ctx, wait); err != nil {
			return err
		}
		good, known := v.good(ctx, v.RecipientID, token)
		if !known {
			t.Problem = "an hour later, the XMPL server gave no answer that tells"
			return nil
		}
		t.Waited, t.GoodAfter = wait, good
		if !good {
			// The old one is gone; whether signing out works takes another.
			if _, token, err = v.signIn(ctx, v.RecipientID, v.UserName, v.Password.Reveal()); err != nil || token.IsEmpty() {
				return nil
			}
		}
	}
	if !v.signOut(ctx, v.RecipientID, token) {
		return nil
	}
	good, known := v.good(ctx, v.RecipientID, token)
	t.SignedOut, t.GoodAfterSignOut = known, good
	return nil
}

// statedLifetime is what the answer to a sign-in says about the end of the token: fields of
// RFC 6749, a cookie that holds the token, or the claims of a JWT.
func statedLifetime(s served, token connsec.Secret, now time.Time) time.Duration {
	var in map[string]json.RawMessage
	_ = json.Unmarshal(s.body, &in)
	const most = 100 * 365 * 24 * time.Hour
	seconds := func(n float64) time.Duration {
		if n <= 0 || n > most.Seconds() {
			return most
		}
		return time.Duration(n * float64(time.Second))
	}
	for _, key := range []string{"expires_in", "expiresIn", "ExpiresIn"} {
		var n float64
		if raw, ok := in[key]; ok && json.Unmarshal(raw, &n) == nil && n > 0 {
			return seconds(n)
		}
	}
	for _, c := range (&http.Response{Header: s.header}).Cookies() {
		if c.Value != token.Reveal() {
			continue
		}
		switch {
		case c.MaxAge > 0:
			return seconds(float64(c.MaxAge))
		case c.Expires.After(now):
			return seconds(c.Expires.Sub(now).Seconds())
		}
	}
	if claims, ok := jwtClaims(token.Reveal()); ok && claims.Expires > 0 {
		issued := cmp.Or(claims.Issued, float64(now.Unix()))
		if claims.Expires > issued {
			return seconds(claims.Expires - issued)
		}
	}
	return 0
}

// guess tries wrong passwords.
func (v *liveVisit) guess(ctx context.Context, random string) error {
	g := &v.o.Guesses
	n, rid := v.Guesses, random
	switch {
	case n < 0:
		g.Problem = "no passwords were to be tried"
		return nil
	case n == 0:
		n = defaultGuesses
	case n > defaultGuesses:
		rid, g.Known = v.RecipientID, true
	}
	first := ""
	for i := range n {
		password, err := v.random("")
		if err != nil {
			return err
		}
		s, token, err := v.signIn(ctx, rid, v.UserName, password)
		if err != nil {
			g.Problem = problemText(err)
			return nil
		}
		if !token.IsEmpty() {
			g.Accepted = true
			v.signOut(ctx, rid, token)
			return nil
		}
		var in struct {
			ErrorCode      int
			DisplayMessage string
		}
		_ = json.Unmarshal(s.body, &in)
		if i == 0 {
			first = in.DisplayMessage
		}
		a := GuessAnswer{Status: s.status, ErrorCode: in.ErrorCode, RetryAfter: s.header.Get("Retry-After") != "", Took: s.took}
		a.Changed = i > 0 && (in.DisplayMessage != first || a.Status != g.Answers[0].Status || a.ErrorCode != g.Answers[0].ErrorCode)
		g.Answers = append(g.Answers, a)
		if a.refusal() {
			return nil // it says so, and more would only add to it
		}
	}
	return nil
}

// refusal reports whether an answer says that there were too many attempts.
func (a GuessAnswer) refusal() bool {
	return a.Status == http.StatusTooManyRequests || a.Status == http.StatusLocked || a.RetryAfter
}
