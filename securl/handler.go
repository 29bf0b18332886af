package securl

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// mount is a handler beside the site: for one path, or for all below it if it ends in a slash.
// It need not be below the base, and no session is asked for.
type mount struct {
	path    string
	handler http.Handler
}

type visitorKey struct{}

// visitorOf returns who sent a request that a mount serves.
func visitorOf(ctx context.Context) Visitor {
	v, _ := ctx.Value(visitorKey{}).(Visitor)
	return v
}

// The gate's own pages, below the base. Recipients with such keys have PURLs with a parameter.
const (
	loginName   = "login"
	signOutName = "signout"
)

// ownPage returns the name of the gate's page that stands below the base, or "".
func ownPage(rest string) string {
	switch name := strings.TrimSuffix(rest, "/"); name {
	case loginName, signOutName:
		return name
	}
	return ""
}

// guard is the handler that a gate makes.
type guard struct {
	door    *door
	site    site
	next    http.Handler
	visitor func(*http.Request) (Visitor, error)
	mounts  []mount
	cookies cookies
	origin  *http.CrossOriginProtection
	pages   *pages
}

// Handler returns the gate before a site. It fails if the gate's setting is not sound.
//
// Below Base the gate has two pages of its own, "login" and "signout"; a site signs its visitor
// out with a form that posts to the latter. Other paths are the site's. It is called for public
// files, and for requests with a session, whose context says whose ([SignedIn]) and ends with the
// session. Such answers are not cached unless the site says otherwise. Paths are those that the
// visitor sees: do not put the gate behind http.StripPrefix.
func (g Gate) Handler(site http.Handler) (http.Handler, error) {
	if site == nil {
		return nil, errors.New("securl: a gate needs a site to stand before")
	}
	d, err := g.door()
	if err != nil {
		return nil, err
	}
	h := &guard{door: d, next: site, visitor: g.Visitor, origin: http.NewCrossOriginProtection()}
	if h.visitor == nil {
		h.visitor = direct
	}
	if h.site.base, err = g.base(); err != nil {
		return nil, err
	}
	h.cookies = cookieNames(h.site.base)
	if h.site.public, err = names("Public", g.Public); err != nil {
		return nil, err
	}
	if h.site.pages, err = names("Pages", g.Pages); err != nil {
		return nil, err
	}
	if h.pages, err = newPages(g.Login, h.site.base); err != nil {
		return nil, err
	}
	if g.XMPL != nil {
		if h.mounts, err = g.XMPL.mounts(d, &h.site); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// names checks the paths of a setting.
func names(field string, list []string) ([]string, error) {
	for _, name := range list {
		_, err := plainPath(&url.URL{Path: "/" + name})
		switch {
		case name == "" || err != nil || !plainFile(name):
			return nil, fmt.Errorf("securl: %s has %q: it must be a path below Base, such as \"css/\" or \"favicon.ico\"", field, clip(name))
		case name == loginName || name == signOutName || strings.HasPrefix(name, loginName+"/") || strings.HasPrefix(name, signOutName+"/"):
			return nil, fmt.Errorf("securl: %s has %q, which is the gate's own page", field, name)
		case field == "Public" && strings.EqualFold(name, "index.html"):
			return nil, fmt.Errorf("securl: %s has %q, which is every recipient's page", field, name)
		}
	}
	list = slices.Clone(list)
	if field == "Pages" {
		for i := range list {
			list[i] = strings.TrimSuffix(list[i], "/")
		}
	}
	return list, nil
}

// plainFile reports whether a decoded path has only characters that no server takes for more
// than part of a name. Others would be safe here, and not in every server behind: on Windows, wide
// dots and slashes, and many signs, become the ASCII ones that look most like them.
func plainFile(name string) bool {
	return !strings.ContainsAny(name, ";:*?\"<>|#%\\~$") && !strings.ContainsFunc(name, func(r rune) bool {
		return r >= utf8.RuneSelf && !unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.Pd)
	})
}

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v, err := g.visitor(r)
	switch {
	case err != nil:
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	case !v.HTTPS:
		// Not a redirect: what came in the clear has been read already, and a link that works
		// would be used again.
		http.Error(w, "This site is served over HTTPS only.", http.StatusForbidden)
		return
	}
	head := w.Header()
	head.Set("Strict-Transport-Security", "max-age=31536000")
	head.Set("X-Content-Type-Options", "nosniff")
	if r.Method == http.MethodTrace || r.Method == http.MethodConnect {
		g.notAllowed(w, r, "GET, HEAD, POST")
		return
	}
	p, err := plainPath(r.URL)
	if err != nil {
		g.pages.message(w, r, http.StatusBadRequest, msgDamaged)
		return
	}
	for _, m := range g.mounts {
		if p == m.path || strings.HasSuffix(m.path, "/") && strings.HasPrefix(p, m.path) {
			m.handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), visitorKey{}, v)))
			return
		}
	}
	rest, ok := g.site.below(p)
	switch {
	case !ok && p+"/" == g.site.base && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		g.redirect(w, r, g.site.base+query(r.URL), http.StatusPermanentRedirect)
	case !ok:
		g.pages.message(w, r, http.StatusNotFound, msgNotFound)
	case ownPage(rest) == loginName:
		g.login(w, r, v)
	case ownPage(rest) == signOutName:
		g.signOut(w, r)
	case g.isPublic(rest):
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			g.notAllowed(w, r, "GET, HEAD")
			return
		}
		own := r.WithContext(r.Context())
		own.Header = stripCookies(r.Header)
		g.next.ServeHTTP(w, own)
	default:
		g.protected(w, r)
	}
}

// isPublic reports whether what stands below the base needs no sign-in.
func (g *guard) isPublic(rest string) bool {
	if !plainFile(rest) {
		return false
	}
	return slices.ContainsFunc(g.site.public, func(p string) bool {
		return rest == p || strings.HasSuffix(p, "/") && strings.HasPrefix(rest, p)
	})
}

// protected serves the site to the recipient whose it is, and leads everybody else to the
// sign-in page.
func (g *guard) protected(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	rid, err := g.site.recipientKey(r.URL)
	if err != nil {
		g.pages.message(w, r, http.StatusBadRequest, msgDamaged)
		return
	}
	token, hint := g.cookies.readSession(r)
	s, err := g.door.session(ctx, token)
	switch {
	case err == nil && (rid == "" || g.door.same(ctx, rid, s)):
		g.serve(w, r, s)
		return
	case err != nil && !errors.Is(err, errNoSession):
		g.unavailable(w, r, err)
		return
	}
	after := err != nil && token != "" // somebody's session in this browser has ended
	ended := after && (rid == "" || rid == hint)
	if rid == "" {
		rid = hint
	}
	safe := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch {
	case rid == "":
		g.pages.messageAfter(w, r, http.StatusForbidden, msgNoRID, after)
	case !safe:
		// A form's content cannot be kept until after the sign-in.
		g.pages.messageAfter(w, r, http.StatusForbidden, msgSignInFirst, after)
	default:
		g.redirect(w, r, g.loginURL(r.URL, rid, ended), http.StatusSeeOther)
	}
}

// foreign reports whether a request is from a page of another origin and does more than open a
// page. A WebSocket begins with a GET, and has no same-origin policy (RFC 6455, section 10.2).
func (g *guard) foreign(r *http.Request) bool {
	if r.Header.Get("Upgrade") != "" {
		r = r.Clone(r.Context())
		r.Method = http.MethodPost // as which it is checked
	}
	return !g.ownOrigin(r)
}

// ownOrigin reports whether a request may change something, as far as its origin says. Where there is
// no Sec-Fetch-Site, CrossOriginProtection compares hosts alone; a page of this host over HTTP may
// have been written by somebody on the path.
func (g *guard) ownOrigin(r *http.Request) bool {
	safe := r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions
	inClear := r.Header.Get("Sec-Fetch-Site") == "" && strings.HasPrefix(r.Header.Get("Origin"), "http:")
	return g.origin.Check(r) == nil && (safe || !inClear)
}

// serve calls the site.
func (g *guard) serve(w http.ResponseWriter, r *http.Request, s session) {
	if g.foreign(r) {
		g.pages.message(w, r, http.StatusForbidden, msgCrossOrigin)
		return
	}
	ctx := context.WithValue(r.Context(), signedInKey{}, Recipient{ID: s.rid, UserName: s.userName})
	ctx, cancel := context.WithTimeout(ctx, s.expires.Sub(g.door.clock.now()))
	defer cancel()
	own := r.WithContext(ctx)
	own.Header = stripCookies(r.Header)
	head := w.Header()
	head.Set("Cache-Control", "private, no-store")
	head.Set("Referrer-Policy", "same-origin") // PURLs hold the key
	g.next.ServeHTTP(w, own)
}

func (g *guard) redirect(w http.ResponseWriter, r *http.Request, to string, status int) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	g.pages.limitBody(w, r)
	http.Redirect(w, r, to, status)
}

func (g *guard) notAllowed(w http.ResponseWriter, r *http.Request, allow string) {
	w.Header().Set("Allow", allow)
	g.pages.message(w, r, http.StatusMethodNotAllowed, msgNotAllowed)
}

// unavailable answers when it cannot be told who somebody is. Nothing is served then.
func (g *guard) unavailable(w http.ResponseWriter, r *http.Request, err error) {
	g.door.observe(r.Context(), Event{Kind: EventUnavailable, At: g.door.clock.now(), Err: err})
	g.pages.message(w, r, http.StatusServiceUnavailable, msgUnavailable)
}

func query(u *url.URL) string {
	if u.RawQuery == "" {
		return ""
	}
	return "?" + u.RawQuery
}
