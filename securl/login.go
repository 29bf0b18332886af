package securl

import (
	"context"
	"crypto/hmac"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/connsec/connsec"
)

const (
	// mostForm is the size of the largest sign-in form, in bytes.
	mostForm = 8 << 10
	// defaultFormTime is how long a visitor may take to send it.
	defaultFormTime = 10 * time.Second
	// signOutTime is how long the store may take.
	signOutTime = 30 * time.Second
	// mostTarget is the length of the longest address to go back to. Beyond it a visitor goes to
	// the recipient's own page.
	mostTarget = 2 << 10
)

// loginURL returns the address of the sign-in page for a recipient, from where the visitor comes
// back to u. That is signed, so that nobody can make a link that leads elsewhere.
func (g *guard) loginURL(u *url.URL, rid string, ended bool) string {
	q := url.Values{"rid": {rid}}
	if iid, err := parameter(u, "iid"); err == nil && iid != "" {
		q.Set("IID", iid) // in the spelling that XMPL clients send
	}
	if target := u.EscapedPath() + query(u); g.validTarget(target, rid) {
		q.Set("to", target)
		q.Set("sig", g.signTarget(target, rid))
	}
	if ended {
		q.Set("ended", "1")
	}
	return g.site.base + loginName + "?" + q.Encode()
}

func (g *guard) signTarget(target, rid string) string {
	return base64.RawURLEncoding.EncodeToString(sign(g.door.key, "target", g.door.name, rid, target))
}

// validTarget reports whether an address is a page of this site, and of this recipient if it is
// one of a recipient.
func (g *guard) validTarget(target, rid string) bool {
	if len(target) > mostTarget || strings.ContainsFunc(target, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '\\' }) {
		return false
	}
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" || u.Fragment != "" {
		return false
	}
	p, err := plainPath(u)
	if err != nil {
		return false
	}
	rest, ok := g.site.below(p)
	if !ok || ownPage(rest) != "" {
		return false
	}
	key, err := g.site.recipientKey(u)
	return err == nil && (key == "" || key == rid)
}

// form is what the sign-in page holds besides what is typed.
type form struct {
	rid, iid, target string
	after            bool // the page follows a session; see guard.left
}

// token binds a form to the browser that it was shown in, by a cookie that no other host can set:
// nobody can make a visitor sign in as somebody else without knowing it.
func (f form) token(cookie string) string {
	return base64.RawURLEncoding.EncodeToString(sign([]byte(cookie), "form", f.rid, f.iid, f.target))
}

func (g *guard) login(w http.ResponseWriter, r *http.Request, v Visitor) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		g.showLogin(w, r)
	case http.MethodPost:
		g.signIn(w, r, v)
	default:
		g.notAllowed(w, r, "GET, HEAD, POST")
	}
}

func (g *guard) showLogin(w http.ResponseWriter, r *http.Request) {
	rid, err := parameter(r.URL, "rid")
	iid, err2 := parameter(r.URL, "iid")
	if err != nil || err2 != nil {
		g.pages.message(w, r, http.StatusBadRequest, msgDamaged)
		return
	}
	if rid == "" {
		g.pages.message(w, r, http.StatusBadRequest, msgNoRID)
		return
	}
	f := form{rid: rid, iid: iid}
	q := r.URL.Query()
	if to := q.Get("to"); g.validTarget(to, rid) && hmac.Equal([]byte(q.Get("sig")), []byte(g.signTarget(to, rid))) {
		f.target = to
	}
	token, _ := g.cookies.readSession(r)
	s, err := g.door.session(r.Context(), token)
	if err == nil && s.rid == rid {
		g.redirect(w, r, g.target(f), http.StatusSeeOther)
		return
	}
	// Somebody's session in this browser has ended, if not that of whom the link is for.
	f.after = token != "" && errors.Is(err, errNoSession)
	note := msgNone
	if q.Get("ended") != "" {
		note = msgEnded
	}
	g.form(w, r, http.StatusOK, f, note, "", 0)
}

// target is where a form leads after the sign-in.
func (g *guard) target(f form) string {
	if f.target != "" {
		return f.target
	}
	return g.site.purl(f.rid, f.iid)
}

// form shows the sign-in form.
func (g *guard) form(w http.ResponseWriter, r *http.Request, status int, f form, note message, user string, wait time.Duration) {
	cookie := cookieValue(r, g.cookies.form)
	if len(cookie) != tokenLength {
		random, err := g.door.draw()
		if err != nil {
			g.unavailable(w, r, err)
			return
		}
		cookie = base64.RawURLEncoding.EncodeToString(random)
		setCookie(w, g.cookies.form, cookie, 0)
	}
	g.pages.form(w, r, status, formData{
		RID: f.rid, IID: f.iid, Target: f.target, Token: f.token(cookie), User: user, note: note, wait: wait, after: f.after,
	})
}

// crossOrigin reports whether a form was sent by a page of another origin. Where there is no
// Sec-Fetch-Site, the opaque origin "null" is let through, because older browsers send it from
// pages with the referrer policy of ours; then the token decides.
func (g *guard) crossOrigin(r *http.Request) bool {
	if g.ownOrigin(r) {
		return false
	}
	return r.Header.Get("Sec-Fetch-Site") != "" || r.Header.Get("Origin") != "null"
}

func (g *guard) signIn(w http.ResponseWriter, r *http.Request, v Visitor) {
	if g.crossOrigin(r) {
		g.pages.message(w, r, http.StatusForbidden, msgCrossOrigin)
		return
	}
	fields, status := g.readForm(w, r)
	if status != 0 {
		if status == http.StatusRequestTimeout {
			w.Header().Set("Connection", "close")
		}
		g.pages.message(w, r, status, msgBadForm)
		return
	}
	f := form{rid: fields.Get("rid"), iid: fields.Get("iid"), target: fields.Get("to")}
	if !validRID(f.rid) || f.iid != "" && !validRID(f.iid) || f.target != "" && !g.validTarget(f.target, f.rid) {
		g.pages.message(w, r, http.StatusBadRequest, msgDamaged)
		return
	}
	cookie := cookieValue(r, g.cookies.form)
	if len(cookie) != tokenLength || !hmac.Equal([]byte(fields.Get("token")), []byte(f.token(cookie))) {
		g.form(w, r, http.StatusForbidden, form{rid: f.rid, iid: f.iid}, msgStale, "", 0)
		return
	}
	ctx := r.Context()
	token, s, err := g.door.signIn(ctx, attempt{
		rid: f.rid, user: fields.Get("user"), password: connsec.NewSecret(fields.Get("password")),
		addr: v.Addr, device: cookieValue(r, g.cookies.device),
	})
	var throttled *throttledError
	switch {
	case errors.As(err, &throttled):
		g.form(w, r, http.StatusTooManyRequests, f, msgThrottled, fields.Get("user"), throttled.after)
		return
	case errors.Is(err, errRefused):
		// Not 401, which must come with a challenge (RFC 9110, section 15.5.2), and there is none
		// for forms. 403 is for credentials that are considered insufficient (section 15.5.4).
		g.form(w, r, http.StatusForbidden, f, msgWrong, fields.Get("user"), 0)
		return
	case err != nil: // which the door has reported
		g.pages.message(w, r, http.StatusServiceUnavailable, msgUnavailable)
		return
	}
	if old, _ := g.cookies.readSession(r); old != "" {
		if was, err := g.door.session(ctx, old); err == nil {
			g.door.forget(ctx, was)
		}
	}
	if device, err := g.door.newDevice(s.rid); err == nil {
		setCookie(w, g.cookies.device, device, deviceLifetime)
	}
	dropCookie(w, g.cookies.form)
	g.cookies.setSession(w, token, s.rid)
	g.redirect(w, r, g.target(f), http.StatusSeeOther)
}

// readForm reads a form that is small, complete and in time, with no field twice. Otherwise it
// returns the status to answer with.
func (g *guard) readForm(w http.ResponseWriter, r *http.Request) (url.Values, int) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, http.StatusUnsupportedMediaType
	}
	if r.ContentLength > mostForm {
		return nil, http.StatusRequestEntityTooLarge
	}
	if g.pages.limitBody(w, r) {
		defer func() { _ = http.NewResponseController(w).SetReadDeadline(time.Time{}) }()
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostForm))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, http.StatusRequestEntityTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, http.StatusRequestTimeout
	case err != nil:
		return nil, http.StatusBadRequest
	}
	fields, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, http.StatusBadRequest
	}
	for _, values := range fields {
		if len(values) != 1 {
			return nil, http.StatusBadRequest
		}
	}
	return fields, 0
}

// limitBody bounds the time that the rest of a body may take, which the server reads even if
// nobody else does. A writer that cannot do this has been wrapped; the server's own ReadTimeout
// is then what there is.
func limitBody(w http.ResponseWriter, r *http.Request, within time.Duration) bool {
	if r.Body == nil || r.Body == http.NoBody {
		return false
	}
	return http.NewResponseController(w).SetReadDeadline(time.Now().Add(within)) == nil
}

func (p *pages) limitBody(w http.ResponseWriter, r *http.Request) bool {
	return limitBody(w, r, p.formTime)
}

// signOut is the page to sign out with.
func (g *guard) signOut(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodPost {
		g.notAllowed(w, r, "GET, HEAD, POST")
		return
	}
	if r.Method == http.MethodPost && g.crossOrigin(r) {
		g.pages.message(w, r, http.StatusForbidden, msgCrossOrigin)
		return
	}
	if r.Method != http.MethodPost && r.URL.RawQuery == leftQuery {
		g.left(w)
		return
	}
	// A visitor who leaves at once is signed out all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), signOutTime)
	defer cancel()
	token, _ := g.cookies.readSession(r)
	s, err := g.door.session(ctx, token)
	switch {
	case err != nil && !errors.Is(err, errNoSession):
		g.unavailable(w, r, err)
		return
	case r.Method != http.MethodPost && err == nil:
		g.pages.message(w, r, http.StatusOK, msgSignOut)
		return
	case r.Method != http.MethodPost:
		g.pages.message(w, r, http.StatusOK, msgSignedOut)
		return
	}
	if err == nil {
		if err := g.door.signOut(ctx, s); err != nil {
			// Sessions on other devices may go on. The cookie stays: if the store could not even
			// delete this one, the visitor can try again.
			g.unavailable(w, r, err)
			return
		}
	}
	dropCookie(w, g.cookies.session)
	w.Header().Set("Clear-Site-Data", `"cache"`)
	g.redirect(w, r, g.site.base+signOutName, http.StatusSeeOther)
}

// leftQuery asks for the empty picture on pages that are shown after a session has ended.
const leftQuery = "left"

// left answers for that picture. Browsers keep pages for the back button, and Chromium also keeps
// those that must not be stored, for three minutes or until a cookie changes that scripts cannot
// read. A change that comes with the page itself is too early: the page before it is kept only
// then. So one more cookie changes when the page is there.
func (g *guard) left(w http.ResponseWriter) {
	if random, err := g.door.draw(); err == nil {
		setCookie(w, g.cookies.left, base64.RawURLEncoding.EncodeToString(random[:8]), time.Minute)
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
}
