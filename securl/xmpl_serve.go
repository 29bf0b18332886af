package securl

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/connsec/connsec"
)

// xmplAPI serves the interface.
type xmplAPI struct {
	XMPL
	door    *door
	site    *site
	cookies cookies
	origin  *http.CrossOriginProtection
	// The names of the setting as they are compared.
	foldedPassword string
	foldedReadOnly []string
	// bodyTime is how long a request's content may take.
	bodyTime time.Duration
}

// xmplError is how the interface says that something did not happen. Clients know the code 9: it
// leads to the login page.
type xmplError struct {
	ErrorCode      int
	DisplayMessage string
	RecipientID    string
	ServiceToken   string
}

// Codes. Only the first is known to clients.
const (
	codeNotSignedIn = 9
	codeRefused     = 1
)

// failure is an answer that is no success.
type failure struct {
	status int
	xmplError
	retry time.Duration
}

func (f *failure) Error() string { return "securl: " + f.DisplayMessage }

func signInFirst(rid string) *failure {
	return &failure{status: http.StatusBadRequest, xmplError: xmplError{ErrorCode: codeNotSignedIn, DisplayMessage: "Unauthorized", RecipientID: rid}}
}

func refused(message string) *failure { return refusedAs(http.StatusBadRequest, message) }

func refusedAs(status int, message string) *failure {
	return &failure{status: status, xmplError: xmplError{ErrorCode: codeRefused, DisplayMessage: message}}
}

// errUnavailable is the answer when a store does not work. What happened is for the operator.
var errUnavailable = refusedAs(http.StatusServiceUnavailable, "not available at the moment")

func (x *xmplAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("Cache-Control", "no-store")
	head.Set("Referrer-Policy", "no-referrer")
	head.Set("Cross-Origin-Resource-Policy", "same-origin")
	x.allowOrigin(w, r)
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	answer, err := any(nil), error(nil)
	if r.Method != http.MethodGet && x.origin.Check(r) != nil {
		err = refusedAs(http.StatusForbidden, "this request came from another site")
	} else {
		c := &xmplCall{xmplAPI: x, w: w, r: r, cookie: sameOrigin(r)}
		answer, err = c.route()
	}
	status := http.StatusOK
	var f *failure
	switch {
	case errors.As(err, &f):
		status, answer = f.status, f.xmplError
		if f.retry > 0 {
			head.Set("Retry-After", seconds(f.retry))
		}
		limitBody(w, r, x.bodyTime)
	case err != nil:
		x.door.observe(r.Context(), Event{Kind: EventUnavailable, At: x.door.clock.now(), Err: err})
		status, answer = errUnavailable.status, errUnavailable.xmplError
	}
	body, err := json.Marshal(answer)
	if err != nil {
		status, body = http.StatusServiceUnavailable, []byte("{}")
	}
	head.Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// allowOrigin answers for the origins of the setting.
func (x *xmplAPI) allowOrigin(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	if len(x.Origins) > 0 {
		head.Add("Vary", "Origin")
	}
	origin := r.Header.Get("Origin")
	if !slices.Contains(x.Origins, origin) {
		return
	}
	head.Set("Access-Control-Allow-Origin", origin)
	head.Set("Cross-Origin-Resource-Policy", "cross-origin")
	if r.Method == http.MethodOptions {
		head.Set("Access-Control-Allow-Methods", "GET, POST, PUT")
		// Version 4 of the library sends its own switches along: those after accessToken.
		head.Set("Access-Control-Allow-Headers", "Content-Type, xmpSecurityToken, accessToken, auth, json, static, isLogin, updateStore")
		head.Set("Access-Control-Max-Age", "600")
	}
}

// sameOrigin reports whether a request is from a page of this host, or from no page at all.
// Then, and only then, the gate's cookie speaks for it.
func sameOrigin(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return true
	case "":
		origin := r.Header.Get("Origin")
		u, err := url.Parse(origin)
		return origin == "" || err == nil && u.Scheme == "https" && strings.EqualFold(u.Host, r.Host)
	}
	return false
}

// xmplCall is one request.
type xmplCall struct {
	*xmplAPI
	w      http.ResponseWriter
	r      *http.Request
	cookie bool // the gate's cookie counts
}

// verb is a method of a call.
type verb struct {
	method string
	call   func(*xmplCall) (any, error)
}

// route finds what is asked for. XMPL servers mind neither case nor a slash at the end, and
// version 4 of the library asks for "adorvalues/".
func (c *xmplCall) route() (any, error) {
	path, ok := strings.CutPrefix(c.r.URL.Path, c.Prefix+"/v1/projects/")
	if !ok {
		return nil, refusedAs(http.StatusNotFound, "there is no such call")
	}
	path = strings.TrimSuffix(path, "/")
	var verbs []verb
	switch strings.ToLower(path) {
	case "context":
		verbs = []verb{{http.MethodPost, (*xmplCall).context}}
	case "auth/signin":
		verbs = []verb{{http.MethodPost, (*xmplCall).signIn}}
	case "auth/signout":
		verbs = []verb{{http.MethodPost, (*xmplCall).signOut}}
	default:
		token, rest, _ := strings.Cut(path, "/")
		if !c.project(token) {
			return nil, refused("there is no such project")
		}
		switch strings.ToLower(rest) {
		case "adorvalues/context":
			verbs = []verb{{http.MethodGet, (*xmplCall).contextValues}}
		case "adorvalues":
			verbs = []verb{{http.MethodGet, (*xmplCall).values}, {http.MethodPost, (*xmplCall).register}, {http.MethodPut, (*xmplCall).update}}
		case "events":
			verbs = []verb{{http.MethodPost, (*xmplCall).event}}
		case "touchpoints/trigger":
			verbs = []verb{{http.MethodPost, (*xmplCall).trigger}}
		case "touchpoints/trigger/unsubscribe":
			verbs = []verb{{http.MethodPut, (*xmplCall).unsubscribe}}
		default:
			// What there is, is no business of those who have not signed in.
			if _, err := c.session(""); err != nil {
				return nil, err
			}
			return nil, refusedAs(http.StatusNotFound, "there is no such call")
		}
	}
	var allow []string
	for _, v := range verbs {
		if v.method == c.r.Method {
			return v.call(c)
		}
		allow = append(allow, v.method)
	}
	c.w.Header().Set("Allow", strings.Join(allow, ", "))
	return nil, refusedAs(http.StatusMethodNotAllowed, "this call takes another method")
}

// project reports whether a token is the access token, alone or with a service token behind.
func (c *xmplCall) project(token string) bool {
	rest, ok := strings.CutPrefix(token, c.AccessToken)
	return ok && len(rest) <= maxToken && (rest == "" || rest[0] == '_' && plainToken(rest))
}

// session returns the session that the request carries. If it is not that of the recipient that
// the request names, if any, the answer is to sign in as that one.
func (c *xmplCall) session(rid string) (session, error) {
	ctx := c.r.Context()
	tokens := []string{c.r.Header.Get("xmpSecurityToken")}
	hint := ""
	if c.cookie {
		var token string
		token, hint = c.cookies.readSession(c.r)
		tokens = append(tokens, token)
	}
	for _, t := range tokens {
		s, err := c.door.session(ctx, t)
		switch {
		case errors.Is(err, errNoSession):
		case err != nil:
			return session{}, err
		case rid == "" || c.door.same(ctx, rid, s):
			return s, nil
		}
	}
	if rid == "" {
		rid = hint
	}
	return session{}, signInFirst(rid)
}

// siteRecipient returns the recipient that the address of a page names, or "".
func (x *xmplAPI) siteRecipient(address string) (string, error) {
	if address == "" {
		return "", nil
	}
	if len(address) > 8<<10 {
		return "", errBadRID
	}
	u, err := url.Parse(address)
	if err != nil || u.Opaque != "" {
		return "", errBadRID
	}
	u.Fragment, u.RawFragment = "", ""
	if u.Path == "" {
		u.Path = "/"
	}
	return x.site.recipientKey(u)
}

// named is the recipient that the first call of a page is about: by the page's address, or else
// as the parameter rid says, or as cached by the browser.
func (c *xmplCall) named(address, cached string) (string, error) {
	rid, err := c.addressed(address)
	if rid != "" || err != nil {
		return rid, err
	}
	if rid, err = c.parameter(); rid != "" || err != nil {
		return rid, err
	}
	if cached = stated(cached); address == "" || cached == "" {
		return "", nil
	}
	if !validRID(cached) {
		return "", refused("the recipient is damaged")
	}
	return cached, nil
}

func (c *xmplCall) addressed(address string) (string, error) {
	rid, err := c.siteRecipient(address)
	if err != nil {
		return "", refused("the address of the page is damaged")
	}
	return rid, nil
}

// parameter is the recipient in the parameter rid, or "". Version 4 of the library does not encode
// the address of the page, so that rid may have been part of that.
func (c *xmplCall) parameter() (string, error) {
	rid, err := parameter(c.r.URL, "rid")
	if err != nil {
		return "", refused("the recipient is damaged")
	}
	return stated(rid), nil
}

// stated returns a key unless it is what scripts make of one that they do not have.
func stated(rid string) string {
	if rid == "null" || rid == "undefined" {
		return ""
	}
	return rid
}

// body reads the JSON object of a request.
func (c *xmplCall) body(into any) error {
	if kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return refusedAs(http.StatusUnsupportedMediaType, "the content must be JSON")
	}
	if c.r.ContentLength > maxXMPLBody {
		return refusedAs(http.StatusRequestEntityTooLarge, "the content is too large")
	}
	if limitBody(c.w, c.r, c.bodyTime) {
		defer func() { _ = http.NewResponseController(c.w).SetReadDeadline(time.Time{}) }()
	}
	b, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxXMPLBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return refusedAs(http.StatusRequestEntityTooLarge, "the content is too large")
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.w.Header().Set("Connection", "close")
		return refusedAs(http.StatusRequestTimeout, "the content came too slowly")
	case err != nil:
		return refused("the content is not complete")
	}
	return parseXMPL(b, into)
}

// parseXMPL reads one JSON object. Fields that are not known are ignored, because clients send
// more than there is a use for.
func parseXMPL(b []byte, into any) error {
	if !utf8.Valid(b) || json.Unmarshal(b, into) != nil {
		return refused("the content is not the JSON that was expected")
	}
	return nil
}

// context is the first call of pages that need no data, and of those without a recipient. The
// service token stands for an instance of the project, of which there is one here: it is the access
// token, because version 3 of the library puts the two together only where they differ, and version
// 4 sends the service token instead of it.
func (c *xmplCall) context() (any, error) {
	var in struct {
		AccessToken, SiteURL string
		Cached               struct{ RecipientID string }
	}
	if err := c.body(&in); err != nil {
		return nil, err
	}
	if !c.project(in.AccessToken) {
		return nil, refused("there is no such project")
	}
	rid, err := c.named(in.SiteURL, in.Cached.RecipientID)
	if err != nil {
		return nil, err
	}
	if rid == "" { // an anonymous page
		return map[string]any{"serviceToken": c.AccessToken, "recipientID": nil}, nil
	}
	s, err := c.session(rid)
	if err != nil {
		return nil, err
	}
	return map[string]any{"serviceToken": c.AccessToken, "recipientID": s.rid}, nil
}

func (c *xmplCall) signIn() (any, error) {
	var in struct{ RecipientID, AccessToken, UserName, SiteURL, Password string }
	if err := c.body(&in); err != nil {
		return nil, err
	}
	if !c.project(in.AccessToken) {
		return nil, refused("there is no such project")
	}
	rid := in.RecipientID
	if rid == "" {
		var err error
		if rid, err = c.named(in.SiteURL, ""); err != nil {
			return nil, err
		}
	}
	_, token, err := c.enter(rid, in.UserName, connsec.NewSecret(in.Password))
	if err != nil {
		return nil, err
	}
	return map[string]string{"securityToken": token}, nil
}

// enter signs a recipient in, in the browser, too.
func (c *xmplCall) enter(rid, user string, password connsec.Secret) (session, string, error) {
	a := c.attempt(rid, user, password)
	token, s, err := c.door.signIn(c.r.Context(), a)
	if err != nil {
		return session{}, "", c.notEntered(rid, err)
	}
	if c.cookie {
		if old, _ := c.cookies.readSession(c.r); old != "" {
			if was, err := c.door.session(c.r.Context(), old); err == nil {
				c.door.forget(c.r.Context(), was)
			}
		}
		if device, err := c.door.newDevice(s.rid); err == nil {
			setCookie(c.w, c.cookies.device, device, deviceLifetime)
		}
		c.cookies.setSession(c.w, token, s.rid)
	}
	return s, token, nil
}

func (c *xmplCall) attempt(rid, user string, password connsec.Secret) attempt {
	a := attempt{rid: rid, user: user, password: password, addr: visitorOf(c.r.Context()).Addr}
	if c.cookie {
		a.device = cookieValue(c.r, c.cookies.device)
	}
	return a
}

// notEntered is the answer to an attempt, which the door has reported.
func (c *xmplCall) notEntered(rid string, err error) error {
	var throttled *throttledError
	switch {
	case errors.As(err, &throttled):
		return tooMany(throttled.after)
	case errors.Is(err, errRefused):
		if !validRID(rid) {
			rid = ""
		}
		return signInFirst(rid)
	}
	return errUnavailable
}

func tooMany(after time.Duration) *failure {
	f := refusedAs(http.StatusTooManyRequests, "too many attempts")
	f.retry = after
	return f
}

// signOut ends all sessions of the recipient who has signed in, whoever the content names.
func (c *xmplCall) signOut() (any, error) {
	s, err := c.session("")
	var f *failure
	switch {
	case errors.As(err, &f): // there is nothing to end
	case err != nil:
		return nil, err
	default:
		// A visitor who leaves at once is signed out all the same.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(c.r.Context()), signOutTime)
		defer cancel()
		if err := c.door.signOut(ctx, s); err != nil {
			return nil, err
		}
	}
	if c.cookie {
		dropCookie(c.w, c.cookies.session)
	}
	return map[string]any{}, nil
}
