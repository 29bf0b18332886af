package trap

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// XMPLPosture is how an XMPL trap behaves. The zero value is an honest server.
type XMPLPosture uint8

// The postures. Each but the impostors differs from the honest one in one thing.
const (
	// XMPLHonest: data for who is signed in, for one hour; a recipient is locked after three
	// wrong passwords; the site, its login page and the XMPL server are all here, over HTTPS.
	XMPLHonest XMPLPosture = iota
	// XMPLExpired: the certificate ended yesterday.
	XMPLExpired
	// XMPLWrongName: it is for another host.
	XMPLWrongName
	// XMPLUntrusted: it is from an authority that the client does not know.
	XMPLUntrusted
	// XMPLDataOpen: everybody is answered, as if SecURL were off.
	XMPLDataOpen
	// XMPLDirectOpen: the call that pages make first is closed, the later one with ?rid= is open.
	XMPLDirectOpen
	// XMPLEndlessToken: a token is good for ever.
	XMPLEndlessToken
	// XMPLStatedWeek: the answer to a sign-in says that the token lasts a week, and it does.
	XMPLStatedWeek
	// XMPLSignOutIgnored: signing out is answered, and the token stays good.
	XMPLSignOutIgnored
	// XMPLUnthrottled: passwords may be guessed without end.
	XMPLUnthrottled
	// XMPLUnsafeCookies: the login page sets a session cookie without Secure, HttpOnly and SameSite.
	XMPLUnsafeCookies
	// XMPLHTTPLogin: xmpcustom.js leads to a login page over http.
	XMPLHTTPLogin
	// XMPLHTTPServer: xmpcfg.js has an address of the XMPL server over http.
	XMPLHTTPServer
	// XMPLForeignLogin: xmpcustom.js leads to another host.
	XMPLForeignLogin
	// XMPLLoginQuery: the login address has a query of its own.
	XMPLLoginQuery
	// XMPLLoginMissing: there is no login page.
	XMPLLoginMissing
	// XMPLLoginNoForm: the login page has no form to sign in.
	XMPLLoginNoForm
	// XMPLLoginToHTTP: the login page redirects to http.
	XMPLLoginToHTTP
	// XMPLAnyOrigin: scripts of every site may ask, with a token.
	XMPLAnyOrigin
	// XMPLReflectedOrigin: whatever origin asks is allowed, with cookies.
	XMPLReflectedOrigin
	// XMPLWrongError: who is not signed in is answered 401 and plain text, which no XMPL client
	// understands.
	XMPLWrongError
	// XMPLNotJSON: the XMPL server answers 200 with a page, as a proxy's error page does.
	XMPLNotJSON
	// XMPLOversize: its answers have no end, up to 64 MiB.
	XMPLOversize
	// XMPLStalled: the XMPL server takes requests and never answers.
	XMPLStalled
	// XMPLDripping: it answers one byte at a time, so that no single read takes long.
	XMPLDripping
	// XMPLEarlyClose: it closes after the request.
	XMPLEarlyClose
	// XMPLRedirecting: it redirects to http.
	XMPLRedirecting
	// XMPLSlidingToken: every use of a token makes it good for another hour.
	XMPLSlidingToken
	// XMPLSilentLock: a locked recipient is answered as a wrong password is.
	XMPLSilentLock
	// XMPLLoginToForeign: the login page redirects to another host.
	XMPLLoginToForeign
	// XMPLAnyRecipient: the token of one recipient opens the data of all.
	XMPLAnyRecipient
	// XMPLTokenDecides: whichever recipient is asked for, a token gives the data of its own. That is
	// no harm.
	XMPLTokenDecides
)

var xmplPostures = posturesOf[XMPLPosture]("XMPL",
	"honest", "expired", "wrong-name", "untrusted", "data-open", "direct-open", "endless-token", "stated-week", "sign-out-ignored", "unthrottled",
	"unsafe-cookies", "http-login", "http-server", "foreign-login", "login-query", "login-missing", "login-no-form", "login-to-http",
	"any-origin", "reflected-origin", "wrong-error", "not-json", "oversize", "stalled", "dripping", "early-close", "redirecting",
	"sliding-token", "silent-lock", "login-to-foreign", "any-recipient", "token-decides",
)

// XMPLPostures returns all postures, the honest one first.
func XMPLPostures() []XMPLPosture { return xmplPostures.all() }

// String returns the name, such as "data-open".
func (p XMPLPosture) String() string { return xmplPostures.Name(p) }

// ParseXMPLPosture is the inverse of [XMPLPosture.String].
func ParseXMPLPosture(name string) (XMPLPosture, error) { return xmplPostures.parse(name) }

// The recipients of an XMPL trap, and what its site is called.
const (
	XMPLRecipient = "Kai.Trap"
	XMPLUserName  = "kai"
	XMPLPassword  = "trap-Password-1"

	XMPLOtherRecipient = "Lee.Trap"
	XMPLOtherPassword  = "trap-Password-2"

	// XMPLAccessToken is in the served xmpcfg.js: two GUIDs and 32 digits, as Circle has them.
	XMPLAccessToken = "0a0a0a0a-0000-4000-8000-000000000001_0b0b0b0b-0000-4000-8000-000000000002_0123456789abcdef0123456789abcdef"

	xmplSite = "/spring/"
	xmplAPI  = "/XMPieXMPL_REST_API"
)

// XMPLConnection is what one client did.
type XMPLConnection struct {
	// TLS is nil if the client did not send a ClientHello.
	TLS *Handshake `json:"tls,omitempty"`
	// Cleartext: it spoke HTTP without TLS.
	Cleartext bool `json:"cleartext"`
	// Requests counts all, SignIns those to sign in.
	Requests int `json:"requests"`
	SignIns  int `json:"sign_ins"`
	// Password: a sign-in that carried one. It is not kept.
	Password        bool `json:"password"`
	PasswordInClear bool `json:"password_in_clear"`
	// RealPassword: it was that of one of the trap's recipients, and not a guess.
	RealPassword bool `json:"real_password"`
	// Token: a request carried a security token. InURL: in its address, where logs keep it.
	Token        bool `json:"token"`
	TokenInClear bool `json:"token_in_clear"`
	TokenInURL   bool `json:"token_in_url"`
	// Lasted is how long the connection was open; zero while it still is.
	Lasted time.Duration `json:"lasted_ns"`
	// ClosedByClient: the client ended it, and not the trap.
	ClosedByClient bool `json:"closed_by_client"`
}

// XMPL is a fake site with SecURL and the XMPL server behind it. See [Server] for its other
// methods.
type XMPL struct {
	*Server[XMPLConnection]
	posture XMPLPosture
	config  *tls.Config
	now     func() time.Time

	mu     sync.Mutex
	tokens map[string]xmplGrant // by security token
	wrong  map[string]int       // wrong passwords by recipient
}

// xmplGrant is whom a token was given, and when.
type xmplGrant struct {
	rid string
	at  time.Time
}

// NewXMPL starts one with the default options.
func NewXMPL(p XMPLPosture) (*XMPL, error) { return Options{}.XMPL(p) }

// XMPL starts a fake site with its XMPL server. Close it.
func (o Options) XMPL(p XMPLPosture) (*XMPL, error) {
	id, err := xmplPostures.identity(o, p)
	if err != nil {
		return nil, err
	}
	s := &XMPL{posture: p, now: o.withDefaults().Now, tokens: map[string]xmplGrant{}, wrong: map[string]int{}, config: &tls.Config{
		Certificates: []tls.Certificate{id.certificate},
		MinVersion:   tls.VersionTLS12,
		CipherSuites: soundSuites,
	}}
	s.Server, err = start(o, id, s.serve)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Posture returns how the trap behaves.
func (s *XMPL) Posture() XMPLPosture { return s.posture }

// Path is the path of the site.
func (s *XMPL) Path() string { return xmplSite }

// URL returns the address of the site. The XMPL server is named in its xmpcfg.js.
func (s *XMPL) URL() string { return "https://" + s.Addr() + xmplSite }

func (s *XMPL) serve(ctx context.Context, c *conn, note func(func(*XMPLConnection))) {
	began := time.Now()
	gone := s.connection(ctx, c, note)
	note(func(r *XMPLConnection) { r.ClosedByClient, r.Lasted = gone, time.Since(began) })
}

func (s *XMPL) connection(ctx context.Context, c *conn, note func(func(*XMPLConnection))) (gone bool) {
	first, err := c.peek(1)
	if err != nil {
		return wentAway(err)
	}
	if first[0] != 22 { // not a handshake record
		return s.requests(ctx, c, false, note)
	}
	secure, err := acceptTLS(c, s.config, false, func(change func(*Handshake)) {
		note(func(r *XMPLConnection) {
			next := Handshake{} // a snapshot may hold the old one
			if r.TLS != nil {
				next = *r.TLS
			}
			change(&next)
			r.TLS = &next
		})
	})
	if err != nil {
		return byClient(err)
	}
	gone = s.requests(ctx, secure, true, note)
	_ = secure.Close()
	return gone
}

// maxXMPLRequest bounds header and body of one request.
const maxXMPLRequest = 256 << 10

// requests serves one request after the other.
func (s *XMPL) requests(ctx context.Context, rw io.ReadWriter, encrypted bool, note func(func(*XMPLConnection))) (gone bool) {
	limited := &io.LimitedReader{R: rw}
	in := bufio.NewReader(limited)
	for {
		limited.N = maxXMPLRequest
		req, err := http.ReadRequest(in)
		if err != nil {
			return byClient(err) && limited.N > 0
		}
		if strings.EqualFold(req.Header.Get("Expect"), "100-continue") {
			_, _ = io.WriteString(rw, "HTTP/1.1 100 Continue\r\n\r\n")
		}
		body, err := io.ReadAll(req.Body)
		s.record(req, body, encrypted, note)
		if err != nil {
			return wentAway(err)
		}
		a := s.answer(req, body)
		if !encrypted && s.posture != XMPLHTTPServer {
			a = xmplText(http.StatusBadRequest, "text/plain", "This port speaks HTTPS only.\n")
		}
		switch {
		case a.stall:
			return drainAll(rw)
		case a.cut:
			return false
		case a.drip:
			return byClient(drip(ctx, rw))
		case a.endless:
			return flood(rw)
		}
		if err := a.write(rw, req.Method); err != nil {
			return wentAway(err)
		}
		if req.Close {
			return false
		}
	}
}

// drainAll reads until the client goes away or the time is up.
func drainAll(r io.Reader) bool {
	_, err := io.Copy(io.Discard, r)
	return err == nil || byClient(err)
}

// flood answers with a body that does not end.
func flood(w io.Writer) bool {
	const head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{\"result\":{\"x\":\""
	if _, err := io.WriteString(w, head); err != nil {
		return wentAway(err)
	}
	piece := bytes.Repeat([]byte("x"), 64<<10)
	for range (64 << 20) / len(piece) {
		if _, err := w.Write(piece); err != nil {
			return wentAway(err)
		}
	}
	return false
}

// record notes what a request shows of its sender.
func (s *XMPL) record(req *http.Request, body []byte, encrypted bool, note func(func(*XMPLConnection))) {
	var in struct{ Password string }
	signIn := strings.HasSuffix(strings.ToLower(strings.TrimSuffix(req.URL.Path, "/")), "/auth/signin")
	if signIn {
		_ = json.Unmarshal(body, &in)
	}
	_, header := req.Header["Xmpsecuritytoken"]
	inURL := strings.Contains(strings.ToLower(req.URL.RawQuery), "securitytoken=")
	note(func(r *XMPLConnection) {
		r.Requests++
		if signIn {
			r.SignIns++
		}
		r.Cleartext = r.Cleartext || !encrypted
		r.Password = r.Password || in.Password != ""
		r.RealPassword = r.RealPassword || in.Password == XMPLPassword || in.Password == XMPLOtherPassword
		r.PasswordInClear = r.PasswordInClear || in.Password != "" && !encrypted
		r.Token = r.Token || header || inURL
		r.TokenInClear = r.TokenInClear || (header || inURL) && !encrypted
		r.TokenInURL = r.TokenInURL || inURL
	})
}

// xmplAnswer is one answer.
type xmplAnswer struct {
	status int
	header http.Header
	body   string
	// Instead of an answer:
	stall, cut, drip, endless bool
}

func xmplText(status int, media, body string) xmplAnswer {
	return xmplAnswer{status: status, header: http.Header{"Content-Type": {media}}, body: body}
}

func xmplJSON(status int, v any) xmplAnswer {
	body, _ := json.Marshal(v)
	return xmplText(status, "application/json; charset=utf-8", string(body))
}

func (a xmplAnswer) write(w io.Writer, method string) error {
	a.header.Set("Content-Length", strconv.Itoa(len(a.body)))
	a.header.Set("Strict-Transport-Security", "max-age=63072000")
	var out bytes.Buffer
	fmt.Fprintf(&out, "HTTP/1.1 %d %s\r\n", a.status, http.StatusText(a.status))
	_ = a.header.Write(&out)
	out.WriteString("\r\n")
	if method != http.MethodHead {
		out.WriteString(a.body)
	}
	_, err := w.Write(out.Bytes())
	return err
}

// answer is what the request gets.
func (s *XMPL) answer(req *http.Request, body []byte) xmplAnswer {
	path, ok := strings.CutPrefix(req.URL.Path, xmplAPI)
	if !ok {
		return s.page(req)
	}
	switch s.posture {
	case XMPLStalled:
		return xmplAnswer{stall: true}
	case XMPLEarlyClose:
		return xmplAnswer{cut: true}
	case XMPLDripping:
		return xmplAnswer{drip: true}
	case XMPLOversize:
		return xmplAnswer{endless: true}
	case XMPLNotJSON:
		return xmplText(http.StatusOK, "text/html", "<html><body>Please try again later.</body></html>")
	case XMPLRedirecting:
		a := xmplText(http.StatusFound, "text/plain", "")
		a.header.Set("Location", "http://"+s.Addr()+req.URL.RequestURI())
		return a
	}
	a := s.api(req, path, body)
	switch origin := req.Header.Get("Origin"); {
	case s.posture == XMPLAnyOrigin:
		a.header.Set("Access-Control-Allow-Origin", "*")
		a.header.Set("Access-Control-Allow-Headers", "content-type, xmpSecurityToken")
	case s.posture == XMPLReflectedOrigin && origin != "":
		a.header.Set("Access-Control-Allow-Origin", origin)
		a.header.Set("Access-Control-Allow-Credentials", "true")
		a.header.Set("Access-Control-Allow-Headers", "content-type, xmpSecurityToken")
	}
	return a
}

// page serves the files of the site.
func (s *XMPL) page(req *http.Request) xmplAnswer {
	name, ok := strings.CutPrefix(req.URL.Path, xmplSite)
	if !ok {
		return xmplText(http.StatusNotFound, "text/plain", "Not found.\n")
	}
	switch name {
	case "xmpcfg.js":
		scheme := "https"
		if s.posture == XMPLHTTPServer {
			scheme = "http"
		}
		return xmplText(http.StatusOK, "text/javascript", fmt.Sprintf("var xmpcfg = {access: { accessToken: '%s', url: '%s://%s%s', circleProjectID:'%s', circleProjectName: 'Spring' }};",
			XMPLAccessToken, scheme, s.host(req), xmplAPI, XMPLAccessToken[37:73]))
	case "xmpcustom.js":
		login := "https://" + s.host(req) + xmplSite + "login.html"
		switch s.posture {
		case XMPLHTTPLogin:
			login = strings.Replace(login, "https", "http", 1)
		case XMPLForeignLogin:
			login = "https://other.trap.test" + xmplSite + "login.html"
		case XMPLLoginQuery:
			login += "?lang=en"
		}
		return xmplText(http.StatusOK, "text/javascript", "var xmpcustom = {\n\tloginUrl: '"+login+"'\n}")
	case "login.html":
		return s.login(req)
	case "", "index.html":
		return xmplText(http.StatusOK, "text/html", `<!DOCTYPE html><html><body ng-controller="XMPPersonalizedPage">{{xmp.r['First']}}</body></html>`)
	}
	return xmplText(http.StatusNotFound, "text/plain", "Not found.\n")
}

// host is what the client calls the trap.
func (s *XMPL) host(req *http.Request) string {
	if req.Host != "" && !strings.ContainsAny(req.Host, `'\<>`) {
		return req.Host
	}
	return s.Addr()
}

func (s *XMPL) login(req *http.Request) xmplAnswer {
	switch s.posture {
	case XMPLLoginMissing:
		return xmplText(http.StatusNotFound, "text/html", "<html><body>404</body></html>")
	case XMPLLoginToHTTP:
		a := xmplText(http.StatusFound, "text/plain", "")
		a.header.Set("Location", "http://"+s.host(req)+xmplSite+"login2.html")
		return a
	case XMPLLoginToForeign:
		a := xmplText(http.StatusFound, "text/plain", "")
		a.header.Set("Location", "https://other.trap.test"+xmplSite+"login.html")
		return a
	case XMPLLoginNoForm:
		return xmplText(http.StatusOK, "text/html", "<!DOCTYPE html><html><body>Welcome.</body></html>")
	}
	a := xmplText(http.StatusOK, "text/html", `<!DOCTYPE html><html><body ng-controller="XMPPersonalizedPage"><form xmp-signin xmp-success-url="index.html"><input type="password" xmp-password></form></body></html>`)
	cookie := "__Host-session=0; Path=/; Secure; HttpOnly; SameSite=Lax"
	if s.posture == XMPLUnsafeCookies {
		cookie = "session=0; Path=/"
	}
	a.header.Set("Set-Cookie", cookie)
	return a
}

// notSignedIn is how the protocol says so: 400, not 401, and ErrorCode 9.
func (s *XMPL) notSignedIn(rid string) xmplAnswer {
	if s.posture == XMPLWrongError {
		return xmplText(http.StatusUnauthorized, "text/plain", "Unauthorized\n")
	}
	return xmplJSON(http.StatusBadRequest, map[string]any{"ErrorCode": 9, "DisplayMessage": "Unauthorized", "RecipientID": rid, "ServiceToken": ""})
}

// api answers what comes below the prefix of the XMPL server.
func (s *XMPL) api(req *http.Request, path string, body []byte) xmplAnswer {
	if req.Method == http.MethodOptions {
		return xmplText(http.StatusOK, "text/plain", "")
	}
	path, ok := strings.CutPrefix(strings.TrimSuffix(path, "/"), "/v1/projects/")
	if !ok {
		return xmplText(http.StatusNotFound, "text/plain", "")
	}
	// In whatever letters: version 4 of the library asks for "adorvalues/".
	switch strings.ToLower(path) {
	case "auth/signin":
		return s.signIn(body)
	case "auth/signout":
		if s.posture != XMPLSignOutIgnored {
			s.mu.Lock()
			delete(s.tokens, req.Header.Get("xmpSecurityToken"))
			s.mu.Unlock()
		}
		return xmplJSON(http.StatusOK, map[string]any{})
	case "context":
		var in struct {
			AccessToken, SiteURL string
			Cached               struct{ RecipientID string }
		}
		_ = json.Unmarshal(body, &in)
		if !strings.HasPrefix(in.AccessToken, XMPLAccessToken) {
			return xmplJSON(http.StatusBadRequest, map[string]any{"ErrorCode": 1, "DisplayMessage": "no such project"})
		}
		rid := xmplRecipientOf(in.SiteURL)
		if rid != "" && !s.open(req, rid, s.posture == XMPLDataOpen) {
			return s.notSignedIn(rid)
		}
		return xmplJSON(http.StatusOK, map[string]any{"serviceToken": XMPLAccessToken, "recipientID": rid})
	}
	token, rest, _ := strings.Cut(path, "/")
	if !strings.HasPrefix(token, XMPLAccessToken) {
		return xmplJSON(http.StatusBadRequest, map[string]any{"ErrorCode": 1, "DisplayMessage": "no such project"})
	}
	q := req.URL.Query()
	switch {
	case strings.EqualFold(rest, "adorValues/context") && req.Method == http.MethodGet:
		rid := cmp.Or(xmplRecipientOf(q.Get("siteURL")), q.Get("rid"))
		if !s.open(req, rid, s.posture == XMPLDataOpen) {
			return s.notSignedIn(rid)
		}
		rid = s.shown(req, rid)
		values := xmplValues(rid)
		if values == nil {
			return xmplJSON(http.StatusBadRequest, map[string]any{"ErrorCode": 3, "DisplayMessage": "no such recipient"})
		}
		return xmplJSON(http.StatusOK, map[string]any{"login": map[string]any{"serviceToken": XMPLAccessToken, "recipientID": rid}, "result": values})
	case strings.EqualFold(rest, "adorValues") && req.Method == http.MethodGet:
		rid := q.Get("rid")
		if !s.open(req, rid, s.posture == XMPLDataOpen || s.posture == XMPLDirectOpen) {
			return s.notSignedIn(rid)
		}
		values := xmplValues(s.shown(req, rid))
		if values == nil {
			return xmplJSON(http.StatusBadRequest, map[string]any{"ErrorCode": 3, "DisplayMessage": "no such recipient"})
		}
		return xmplJSON(http.StatusOK, values)
	case !s.open(req, s.grantedTo(req), s.posture == XMPLDataOpen):
		return s.notSignedIn("")
	}
	return xmplJSON(http.StatusOK, map[string]any{})
}

// xmplValues is what the trap knows of a recipient, nil if nothing.
func xmplValues(rid string) map[string]string {
	if rid != XMPLRecipient && rid != XMPLOtherRecipient {
		return nil
	}
	first, last, _ := strings.Cut(rid, ".")
	return map[string]string{"First": first, "Last": last, "XMPieRecipientKey": rid}
}

// shown is the recipient whose data a request gets that may see that of rid.
func (s *XMPL) shown(req *http.Request, rid string) string {
	if own := s.grantedTo(req); own != "" && s.posture == XMPLTokenDecides {
		return own
	}
	return rid
}

// grantedTo is the recipient whose token a request carries, or "".
func (s *XMPL) grantedTo(req *http.Request) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens[req.Header.Get("xmpSecurityToken")].rid
}

// xmplRecipientOf reads the recipient from the address of a page.
func xmplRecipientOf(site string) string {
	u, err := url.Parse(site)
	if err != nil {
		return ""
	}
	if rid := u.Query().Get("rid"); rid != "" {
		return rid
	}
	name, ok := strings.CutPrefix(u.Path, xmplSite)
	if !ok || strings.ContainsAny(name, "/") || strings.HasSuffix(name, ".html") {
		return ""
	}
	return name
}

// open reports whether the request may see the data of a recipient.
func (s *XMPL) open(req *http.Request, rid string, anyway bool) bool {
	if anyway {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	token := req.Header.Get("xmpSecurityToken")
	g, ok := s.tokens[token]
	everybody := s.posture == XMPLAnyRecipient || s.posture == XMPLTokenDecides
	if !ok || rid != g.rid && !everybody {
		return false
	}
	now := s.now()
	age := now.Sub(g.at)
	switch s.posture {
	case XMPLEndlessToken:
		return true
	case XMPLStatedWeek:
		return age < 7*24*time.Hour
	case XMPLSlidingToken:
		if age < time.Hour {
			s.tokens[token] = xmplGrant{g.rid, now}
		}
	}
	return age < time.Hour
}

// These bound what the trap remembers.
const (
	maxXMPLTokens = 1000
	maxXMPLWrong  = 1000
	maxXMPLKey    = 1000 // bytes
)

// xmplWrong is said of a wrong password.
var xmplWrong = map[string]any{"ErrorCode": 9, "DisplayMessage": "Unauthorized", "RecipientID": "", "ServiceToken": ""}

func (s *XMPL) signIn(body []byte) xmplAnswer {
	var in struct{ RecipientID, AccessToken, Password, UserName string }
	if err := json.Unmarshal(body, &in); err != nil || !strings.HasPrefix(in.AccessToken, XMPLAccessToken) {
		return xmplJSON(http.StatusBadRequest, map[string]any{"ErrorCode": 1, "DisplayMessage": "no such project"})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.posture != XMPLUnthrottled && s.wrong[in.RecipientID] >= 3 {
		if s.posture == XMPLSilentLock {
			return xmplJSON(http.StatusBadRequest, xmplWrong)
		}
		a := xmplJSON(http.StatusTooManyRequests, map[string]any{"ErrorCode": 9, "DisplayMessage": "try again later"})
		a.header.Set("Retry-After", "60")
		return a
	}
	kai := in.RecipientID == XMPLRecipient && in.Password == XMPLPassword
	if !kai && (in.RecipientID != XMPLOtherRecipient || in.Password != XMPLOtherPassword) {
		if len(s.wrong) < maxXMPLWrong && len(in.RecipientID) <= maxXMPLKey {
			s.wrong[in.RecipientID]++
		}
		return xmplJSON(http.StatusBadRequest, xmplWrong)
	}
	token, err := xmplToken()
	if err != nil || len(s.tokens) >= maxXMPLTokens {
		return xmplText(http.StatusServiceUnavailable, "text/plain", "")
	}
	s.tokens[token] = xmplGrant{in.RecipientID, s.now()}
	answer := map[string]any{"securityToken": token}
	if s.posture == XMPLStatedWeek {
		answer["expires_in"] = 7 * 24 * 60 * 60
	}
	return xmplJSON(http.StatusOK, answer)
}

func xmplToken() (string, error) {
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		return "", errors.New("trap: no randomness")
	}
	return hex.EncodeToString(b), nil
}
