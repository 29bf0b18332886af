package securl

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"
	"time"
)

// cookies are the gate's cookies. All have the prefix __Host- (RFC 6265bis, section 4.1.3.2), so
// that no other host of the domain can set or toss one, and none is readable by scripts.
//
// They are SameSite=Lax, not Strict: a recipient comes from a link in an e-mail, and would
// otherwise have to sign in again for every one of them. What Lax leaves open is that another
// site can lead a visitor to a page, with GET, which changes nothing here. Requests of other
// methods carry no cookie from elsewhere, and are checked besides.
type cookies struct {
	session string // token, and the recipient key to sign in with again
	form    string // what the sign-in form is bound to before there is a session
	device  string // see newDevice
	left    string // see guard.left
}

// cookieStem is what the names of all gates' cookies begin with.
const cookieStem = "__Host-securl"

// cookieNames returns the names for a site. Two sites of one host have different ones, because
// __Host- cookies cannot be told apart by their path.
func cookieNames(base string) cookies {
	name := cookieStem
	if base != "/" {
		sum := sha256.Sum256([]byte(base))
		name += "-" + hex.EncodeToString(sum[:4])
	}
	return cookies{session: name, form: name + "-form", device: name + "-device", left: name + "-left"}
}

// value returns the value of a cookie. A name that comes twice is a trick or a broken browser,
// and counts as none.
func cookieValue(r *http.Request, name string) string {
	if c := r.CookiesNamed(name); len(c) == 1 {
		return c[0].Value
	}
	return ""
}

// setCookie sets a cookie for as long as the browser runs, or for a time.
func setCookie(w http.ResponseWriter, name, value string, life time.Duration) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: int(life / time.Second),
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

func dropCookie(w http.ResponseWriter, name string) { setCookie(w, name, "", -time.Second) }

// setSession sets the session cookie. It has no age: a browser that is closed forgets it, and
// the hour is kept here.
func (c cookies) setSession(w http.ResponseWriter, token, rid string) {
	setCookie(w, c.session, token+"."+base64.RawURLEncoding.EncodeToString([]byte(rid)), 0)
}

// readSession returns the token, and the recipient key that the visitor last signed in with. The
// key is only as true as the visitor; it chooses the sign-in page to go to once the session is
// over.
func (c cookies) readSession(r *http.Request) (token, rid string) {
	token, encoded, _ := strings.Cut(cookieValue(r, c.session), ".")
	b, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil || !validRID(string(b)) {
		return token, ""
	}
	return token, string(b)
}

// stripCookies returns the header without the cookies of this gate and of others on the host: what
// the site does not have it cannot log, pass on or echo.
func stripCookies(h http.Header) http.Header {
	lines := h["Cookie"]
	if len(lines) == 0 {
		return h
	}
	h = h.Clone()
	delete(h, "Cookie")
	var keep []string
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ";") {
			part = strings.Trim(part, " \t")
			name, _, _ := strings.Cut(part, "=")
			name = strings.Trim(name, " \t")
			if name != "" && name != cookieStem && !strings.HasPrefix(name, cookieStem+"-") {
				keep = append(keep, part)
			}
		}
	}
	if len(keep) > 0 {
		h["Cookie"] = []string{strings.Join(keep, "; ")}
	}
	return h
}
