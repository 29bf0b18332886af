package circlehttps

import (
	"bytes"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/connsec/connsec"
)

// Page is what matters of one HTML page beside its links.
type Page struct {
	File string `json:"file"`
	// Fragment: the file has neither <html> nor <head> nor <body>, so it is probably
	// included in another page and does not tell what surrounds it.
	Fragment bool `json:"fragment,omitempty"`
	// Source is the place that shows that the page uses XMPL: a controller, a directive or
	// the library. Zero if it does not.
	Source connsec.Position `json:"source,omitzero"`
	// Angular: the markup is that of the library's third generation (ng-controller).
	Angular bool `json:"angular,omitempty"`
	// Scripts are those that matter here: the library, xmpcfg and xmpcustom, in order.
	Scripts []Script `json:"scripts,omitempty"`
	// CustomInComment: a script tag for xmpcustom.js stands in an HTML comment.
	CustomInComment bool      `json:"custom_in_comment,omitempty"`
	Forms           []Form    `json:"forms,omitempty"`
	SignOuts        []SignOut `json:"sign_outs,omitempty"`

	integrity []string // addresses that the page loads with an integrity hash
	hasBase   bool     // <base href> changes what relative addresses mean
}

// Script is one script of a page.
type Script struct {
	Source connsec.Position `json:"source"`
	// Src is the address as it stands, without query; empty for an inline script.
	Src string `json:"src,omitempty"`
	// Role is "xmpcfg", "xmpcustom" or "library".
	Role string `json:"role"`
	// Deferred scripts (defer, or type=module) run in order after the others. When an Async
	// one runs cannot be told.
	Deferred bool `json:"deferred,omitempty"`
	Async    bool `json:"async,omitempty"`
	// Missing: the address is relative to the page, and no such file is in the site.
	Missing bool `json:"missing,omitempty"`
	// Generation (3 or 5) and Version of a library, as far as its address tells.
	Generation int    `json:"generation,omitempty"`
	Version    string `json:"version,omitempty"`

	off int
}

// Form is a form with an XMPL directive.
type Form struct {
	Source connsec.Position `json:"source"`
	// Directive is "xmp-signin", "xmp-register" or "xmp-refer".
	Directive string `json:"directive"`
	// Personalized: the form stands inside a personalized controller.
	Personalized bool `json:"personalized,omitempty"`
	// Password: it has a field marked xmp-password. NewPassword: one writes to the content
	// object XMPie.Web.NewPassword.
	Password    bool `json:"password,omitempty"`
	NewPassword bool `json:"new_password,omitempty"`
	// AutoSignIn is the value of xmp-signin-auto; HasAutoSignIn tells whether it is there.
	AutoSignIn    string `json:"auto_sign_in,omitempty"`
	HasAutoSignIn bool   `json:"has_auto_sign_in,omitempty"`

	off int
}

// SignOut is an element with the directive xmp-signout.
type SignOut struct {
	Source     connsec.Position `json:"source"`
	SuccessURL bool             `json:"success_url,omitempty"`

	off int
}

// pageFacts are a Page in the making: places are offsets.
type pageFacts struct {
	pg           Page
	whole        bool // html, head or body was seen
	xmplOff      int
	xmpl         bool
	inlineHashes bool // the page's policy lists hashes of inline scripts
	keyPrefixes  []int
}

// Attribute names come with and without data-.
func directive(name string) []string { return []string{name, "data-" + name} }

var personalizedPage = regexp.MustCompile(`\bXMPPersonalizedPage\b`)

// pageTag notes what a tag says about XMPL. Its attributes are in r.attrs.
func (r *markupReader) pageTag(void bool) {
	switch r.tag {
	case "html", "head", "body":
		r.whole = true
	case "meta":
		if strings.EqualFold(r.get("http-equiv"), "content-security-policy") {
			policy := strings.ToLower(r.get("content"))
			r.upgrades = r.upgrades || strings.Contains(policy, "upgrade-insecure-requests")
			r.inlineHashes = r.inlineHashes || strings.Contains(policy, "'sha256-") || strings.Contains(policy, "'sha384-") || strings.Contains(policy, "'sha512-")
		}
	case "base":
		r.pg.hasBase = r.pg.hasBase || r.has("href")
	case "script":
		r.externalScript()
	case "link":
		if r.has("integrity") {
			r.pg.integrity = append(r.pg.integrity, r.get("href"))
		}
	}

	parent := element{}
	if n := len(r.open); n > 0 {
		parent = r.open[n-1]
	}
	here := element{r.tag, parent.personalized, parent.form}
	for i := range r.attrs {
		r.directive(&r.attrs[i], &here)
	}
	if void || voidElements[r.tag] || r.content != "" {
		return
	}
	if n := len(r.open); n > 0 && closesItself[r.tag] && r.open[n-1].tag == r.tag {
		r.open = r.open[:n-1]
	}
	if len(r.open) < maxElements {
		r.open = append(r.open, here)
	}
}

// directive notes one attribute; here is the element that it stands on.
func (r *markupReader) directive(a *attr, here *element) {
	name := strings.TrimPrefix(a.name, "data-")
	switch {
	case strings.HasPrefix(name, "xmp-"):
		r.markXMPL()
	case name == "ng-app" && strings.HasPrefix(string(a.raw.text), "xmp."):
		r.markXMPL()
		r.pg.Angular = true
	case name == "ng-controller":
		if bytes.Contains(a.raw.text, []byte("XMPPersonalizedPage")) || bytes.Contains(a.raw.text, []byte("XMPAnonymousPage")) {
			r.markXMPL()
			r.pg.Angular = true
			here.personalized = personalizedPage.Match(a.raw.text)
		}
		return
	default:
		return
	}
	switch name {
	case "xmp-personalized-controller":
		here.personalized = true
	case "xmp-anonymous-controller":
		here.personalized = false
	case "xmp-signin", "xmp-register", "xmp-refer":
		f := Form{Directive: name, Personalized: here.personalized, off: r.m.span.file(r.tagOff)}
		f.AutoSignIn, f.HasAutoSignIn = r.lookup(directive("xmp-signin-auto")...)
		r.pg.Forms = append(r.pg.Forms, f)
		here.form = len(r.pg.Forms)
	case "xmp-password":
		if here.form > 0 {
			r.pg.Forms[here.form-1].Password = true
		}
	case "xmp-write-ador":
		if here.form > 0 && bytes.Contains(a.raw.text, []byte("XMPie.Web.NewPassword")) {
			r.pg.Forms[here.form-1].NewPassword = true
		}
	case "xmp-signout":
		url, _ := r.lookup(directive("xmp-success-url")...)
		r.pg.SignOuts = append(r.pg.SignOuts, SignOut{SuccessURL: url != "", off: r.m.span.file(r.tagOff)})
	}
}

func (r *markupReader) markXMPL() {
	if !r.xmpl {
		r.xmpl, r.xmplOff = true, r.m.span.file(r.tagOff)
	}
}

func (r *markupReader) externalScript() {
	src, ok := r.lookup("src")
	if !ok || src == "" {
		return
	}
	if r.has("integrity") {
		r.pg.integrity = append(r.pg.integrity, src)
	}
	s := r.script()
	s.Src, _, _ = strings.Cut(src, "?")
	s.Src, _, _ = strings.Cut(s.Src, "#")
	s.Src = clipAddress(s.Src)
	s.Deferred = s.Deferred || r.has("defer")
	s.Async = r.has("async")
	switch base := strings.ToLower(path.Base(s.Src)); {
	case base == "xmpcfg.js":
		s.Role = "xmpcfg"
	case base == "xmpcustom.js":
		s.Role = "xmpcustom"
	default:
		if s.Generation, s.Version = libraryAddress(s.Src); s.Generation == 0 {
			return
		}
		s.Role = "library"
		r.markXMPL()
	}
	r.pg.Scripts = append(r.pg.Scripts, s)
}

func (r *markupReader) script() Script {
	return Script{off: r.m.span.file(r.tagOff), Deferred: r.typ == "module"}
}

// inlineDefinitions notes that the inline script just read defines xmpcfg or xmpcustom.
func (r *markupReader) inlineDefinitions(config, custom bool) {
	for _, d := range []struct {
		is   bool
		role string
	}{{config, "xmpcfg"}, {custom, "xmpcustom"}} {
		if d.is {
			s := r.script()
			s.Role = d.role
			r.pg.Scripts = append(r.pg.Scripts, s)
		}
	}
}

var customTagInComment = regexp.MustCompile(`(?i)<script[^>]*xmpcustom\.js`)

func (r *markupReader) comment(data []byte) {
	if r.page && bytes.Contains(data, []byte("xmpcustom")) && customTagInComment.Match(data) {
		r.pg.CustomInComment = true
	}
}

// finish turns the offsets of the page into positions.
func (c *collector) finishPage(file string) Page {
	p := c.pg
	p.File = file
	p.Fragment = !c.whole
	if c.xmpl {
		p.Source = c.lines.position(c.xmplOff)
	}
	for i := range p.Scripts {
		p.Scripts[i].Source = c.lines.position(p.Scripts[i].off)
	}
	for i := range p.Forms {
		p.Forms[i].Source = c.lines.position(p.Forms[i].off)
	}
	for i := range p.SignOuts {
		p.SignOuts[i].Source = c.lines.position(p.SignOuts[i].off)
	}
	return p
}

// role returns the page's scripts with a role.
func (p Page) role(role string) []Script {
	var out []Script
	for _, s := range p.Scripts {
		if s.Role == role {
			out = append(out, s)
		}
	}
	return out
}

// generation returns the library generation that the page shows: 3, 5, or 0 if it does not.
func (p Page) generation() int {
	g := 0
	for _, s := range p.role("library") {
		if g != 0 && g != s.Generation {
			return 0
		}
		g = s.Generation
	}
	if g == 0 && p.Angular {
		g = 3
	}
	return g
}

func set(names string) map[string]bool {
	m := map[string]bool{}
	for _, n := range strings.Fields(names) {
		m[n] = true
	}
	return m
}

var (
	voidElements = set("area base br col embed hr img input link meta param source track wbr image bgsound frame")
	// Elements whose end tag is often left out and which do not nest in themselves.
	closesItself = set("li p tr td th dt dd option tbody thead")
)

// Library is one copy of the XMPL library: in the site, or loaded from elsewhere.
type Library struct {
	Source connsec.Position `json:"source"` // the file, or the script tag
	// Generation is 3 (AngularJS) or 5.
	Generation int `json:"generation"`
	// Version is such as "3.1.4"; empty if neither address nor file tells.
	Version string `json:"version,omitempty"`
	// Loaded: a page loads it.
	Loaded bool `json:"loaded,omitempty"`
}

var (
	libraryName3 = regexp.MustCompile(`(?i)^xmp(?:\.clean)?(?:\.min)?\.js$`)
	libraryName5 = regexp.MustCompile(`(?i)^xmpl(?:\.min)?\.js$`)
	libraryPath3 = regexp.MustCompile(`(?i)/libs/xmpl/(\d+(?:\.\d+)*)/`)
	libraryPath5 = regexp.MustCompile(`(?i)/libs/XMPL-V5/(\d+(?:\.\d+)*)/`)
	// The first lines of the library say "* xmp.min.js 3.0, build 379"; its code has a variable.
	libraryBanner   = regexp.MustCompile(`(?m)^\s*\*\s*xmpl?(?:\.clean)?(?:\.min)?\.js (\d+(?:\.\d+)*), build \d+`)
	libraryVariable = regexp.MustCompile(`muCreateXMVersion\s*=\s*["'](\d+(?:\.\d+)*)["']`)
)

// libraryAddress tells the library by its address. Generation is 0 if it is not the library.
func libraryAddress(src string) (generation int, version string) {
	base := path.Base(src)
	switch {
	case libraryName3.MatchString(base):
		if m := libraryPath3.FindStringSubmatch(src); m != nil {
			version = m[1]
		}
		return 3, version
	case libraryName5.MatchString(base):
		if m := libraryPath5.FindStringSubmatch(src); m != nil {
			version = m[1]
		}
		return 5, version
	}
	return 0, ""
}

// libraryVersion looks for the version in the library's text.
func libraryVersion(src []byte) string {
	if m := libraryBanner.FindSubmatch(src[:min(len(src), 4096)]); m != nil {
		return string(m[1])
	}
	if i := bytes.Index(src, []byte("muCreateXMVersion")); i >= 0 {
		if m := libraryVariable.FindSubmatch(src[i:min(len(src), i+100)]); m != nil {
			return string(m[1])
		}
	}
	return ""
}

// parseVersion returns the numbers of "3.1.4", or nil.
func parseVersion(s string) []int {
	var v []int
	for _, part := range strings.Split(strings.TrimSpace(s), ".") {
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 {
			return nil
		}
		v = append(v, n)
	}
	return v
}

// versionLess compares number by number; a missing number is zero.
func versionLess(a, b []int) bool {
	for i := range max(len(a), len(b)) {
		x, y := 0, 0
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			return x < y
		}
	}
	return false
}

func clipAddress(s string) string {
	const most = 300
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// resolve finds the file of the site that an address on a page means. An address from the
// root of the server may begin with the site's own folder, so leading folders are tried away.
func resolve(page, src string, exists func(string) bool) (string, bool) {
	src, _, _ = strings.Cut(src, "?")
	src, _, _ = strings.Cut(src, "#")
	if _, _, ok := splitURL(src); ok || strings.HasPrefix(src, "//") || src == "" {
		return "", false
	}
	rooted := strings.HasPrefix(src, "/")
	if !rooted {
		src = path.Join(path.Dir(page), src)
	} else {
		src = path.Clean(src[1:])
	}
	if exists(src) {
		return src, true
	}
	for rooted {
		var ok bool
		if _, src, ok = strings.Cut(src, "/"); !ok {
			break
		}
		if exists(src) {
			return src, true
		}
	}
	return "", false
}

func sortedUnique(in []string) []string {
	slices.Sort(in)
	return slices.Compact(in)
}
