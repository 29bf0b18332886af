package circlehttps

import (
	"net/url"
	"slices"
	"strings"

	"github.com/connsec/connsec"
)

// RuleCustomMissing: a site with SecURL says where its login page is.
var RuleCustomMissing = &connsec.Rule{
	ID: "circle-custom-missing", Title: "The site has SecURL but no xmpcustom.js",
	Why:      "The library learns from xmpcustom where to send a visitor who has not signed in. Without it he sees a page without data.",
	Fix:      "Put xmpcustom.js with the loginUrl of the site into its root folder.",
	Severity: connsec.Medium, Refs: []connsec.Citation{wikiSecURL, guide}, Since: "0.1.0",
}

// RuleCustomNotLoaded: every page of such a site loads xmpcustom.js.
var RuleCustomNotLoaded = &connsec.Rule{
	ID: "circle-custom-not-loaded", Title: "A page of a site with SecURL does not load xmpcustom.js",
	Why:      "The page cannot send a visitor to the login page. The file alone does nothing.",
	Fix:      `Add <script src="xmpcustom.js"></script> to the page.`,
	Severity: connsec.Medium, Refs: []connsec.Citation{wikiSecURL}, Since: "0.1.0",
}

// RuleCustomLoginURL: the login address works.
var RuleCustomLoginURL = &connsec.Rule{
	ID: "circle-custom-login-url", Title: "The login address does not lead to a login page over HTTPS",
	Why:      "The library appends ?rid=… to the address as it stands and goes there. Over http the password page can be replaced on the path; after a ? or # the recipient's key is lost; a page without a sign-in form sends the visitor round in a circle.",
	Fix:      "Set loginUrl to the plain https address, or the relative address, of the page with the sign-in form.",
	Severity: connsec.High, Refs: []connsec.Citation{wikiSecURL, clientSource}, Since: "0.1.0",
}

// RuleCustomOtherSite: the login address is that of this site.
var RuleCustomOtherSite = &connsec.Rule{
	ID: "circle-custom-other-site", Title: "The login address is that of another site",
	Why:      "xmpcustom.js was copied from another site: visitors type their password into a page of another project.",
	Fix:      "Set loginUrl to the login page of this site.",
	Severity: connsec.High, Refs: []connsec.Citation{wikiSecURL}, Since: "0.1.0",
}

// RuleXMPLVersion: the XMPL in use can do what the project asks for.
var RuleXMPLVersion = &connsec.Rule{
	ID: "circle-xmpl-version", Title: "XMPL is too old for HTTPS or SecURL",
	Why:      "HTTPS needs XMPL 2.2, SecURL needs server and client 3.0. An older client ignores the protection or breaks.",
	Fix:      "Update the XMPL server, and replace the library in the site by the one that comes with it.",
	Severity: connsec.Medium, Refs: []connsec.Citation{kba90, guide, wikiSecURL}, Since: "0.1.0",
}

// RuleXMPLVersionsMixed: one version of the library.
var RuleXMPLVersionsMixed = &connsec.Rule{
	ID: "circle-xmpl-versions-mixed", Title: "The site has several versions of the XMPL library",
	Why:      "Pages behave differently, and an update or a fix reaches some of them only.",
	Fix:      "Load one version in all pages and remove the other copies.",
	Severity: connsec.Low, Refs: []connsec.Citation{wikiLibrary}, Since: "0.1.0",
}

// RuleSignInMissingPassword: a sign-in form asks for the password.
var RuleSignInMissingPassword = &connsec.Rule{
	ID: "circle-signin-missing-password", Title: "A sign-in form has no password field",
	Why:      "The library sends the value of the field marked xmp-password. Without one nobody can sign in.",
	Fix:      `Mark the field: <input type="password" xmp-password>, inside the form with xmp-signin.`,
	Severity: connsec.Medium, Refs: []connsec.Citation{wikiSecURL}, Since: "0.1.0",
}

// RuleSignInOutsideController: a sign-in form stands in a personalized page.
var RuleSignInOutsideController = &connsec.Rule{
	ID: "circle-signin-outside-controller", Title: "A sign-in form stands outside a personalized page",
	Why:      "xmp-signin works in a personalized controller only: it needs the recipient.",
	Fix:      "Put the form inside the element with xmp-personalized-controller, or ng-controller=\"XMPPersonalizedPage\".",
	Severity: connsec.Medium, Refs: []connsec.Citation{wikiSecURL}, Since: "0.1.0",
}

// RuleRegisterWithoutPassword: whoever registers sets a password.
var RuleRegisterWithoutPassword = &connsec.Rule{
	ID: "circle-register-without-password", Title: "A registration or referral form sets no password",
	Why:      "With SecURL on, the new recipient gets a page that asks for a password he was never given.",
	Fix:      "Add a password field with xmp-write-ador=\"xmp.r['XMPie.Web.NewPassword']\" to the form.",
	Severity: connsec.Medium, Refs: []connsec.Citation{wikiSecURL}, Since: "0.1.0",
}

// RuleAutoSignInFalse: nobody believes that xmp-signin-auto="false" switches it off.
var RuleAutoSignInFalse = &connsec.Rule{
	ID: "circle-auto-signin-false", Title: "xmp-signin-auto=\"false\" switches automatic sign-in on",
	Why:      "The library looks whether the attribute has a value, not which one. The visitor stays signed in on that computer, with a cookie that lasts 9999 days.",
	Fix:      "Remove the attribute.",
	Severity: connsec.Medium, Refs: []connsec.Citation{clientSource, wikiSecURL}, Since: "0.1.0",
}

// RuleSignOutWithoutTarget: signing out leads somewhere.
var RuleSignOutWithoutTarget = &connsec.Rule{
	ID: "circle-signout-without-target", Title: "Signing out has no page to go to",
	Why:      "Without xmp-success-url the library asks xmpcustom, and stops with a script error if the page does not load it: the visitor believes that he is signed out.",
	Fix:      "Give the element xmp-success-url, or load xmpcustom.js in the page.",
	Severity: connsec.Medium, Refs: []connsec.Citation{clientSource, wikiSecURL}, Since: "0.1.0",
}

// RuleFriendlyURLPrefix: the recipient key is not part of the host name.
var RuleFriendlyURLPrefix = &connsec.Rule{
	ID: "circle-friendly-url-prefix", Title: "Personalized addresses carry the recipient key before the domain",
	Why:      "Circle supports HTTPS for friendly addresses only if the key comes after the domain. Before it, each recipient is a host name of his own, which DNS shows to everyone on the path.",
	Fix:      "Set the project's friendly URL to the form with the recipient key as suffix.",
	Severity: connsec.Medium, Refs: []connsec.Citation{guide, kba90}, Since: "0.1.0",
}

func (j *judgement) custom() {
	on, why := j.secURL()
	if !on {
		for _, r := range []*connsec.Rule{RuleCustomMissing, RuleCustomNotLoaded, RuleCustomLoginURL, RuleCustomOtherSite} {
			j.site(r, connsec.Skipped("%s", why))
		}
		return
	}
	if len(j.Customs) > 0 {
		j.site(RuleCustomMissing, connsec.Passed("xmpcustom stands in %s", j.Customs[0].File))
	} else if len(j.Unread) > 0 {
		j.site(RuleCustomMissing, connsec.Unknown("xmpcustom is not in what was read, but %s", count(len(j.Unread), "file could not be read", "files could not be read")))
	} else {
		j.site(RuleCustomMissing, connsec.Failed("%s, and no file defines xmpcustom", why))
	}
	j.customLoaded()
	if len(j.Customs) == 0 {
		j.site(RuleCustomLoginURL, connsec.Skipped("the site has no xmpcustom.js"))
		j.site(RuleCustomOtherSite, connsec.Skipped("the site has no xmpcustom.js"))
	}
	for _, c := range j.Customs {
		at := connsec.Position{File: c.File}
		if len(c.Customs) == 0 {
			if c.Source.File != "" {
				at = c.Source
			}
			j.say(RuleCustomLoginURL, c.File, at, connsec.Failed("%s", c.Problem))
			j.say(RuleCustomOtherSite, c.File, at, connsec.Skipped("the file has no login address"))
			continue
		}
		last := c.Customs[len(c.Customs)-1]
		at = last.Source
		if last.LoginURL.Stated() {
			at = last.LoginURL.Source
		}
		j.say(RuleCustomLoginURL, c.File, at, j.judgeLoginURL(c, last))
		j.say(RuleCustomOtherSite, c.File, at, j.judgeLoginSite(last))
	}
}

func (j *judgement) customLoaded() {
	judged := false
	for _, p := range j.Pages {
		if p.Source.Line == 0 || p.Fragment {
			continue
		}
		judged = true
		scripts := p.role("xmpcustom")
		signIn := slices.ContainsFunc(p.Forms, func(f Form) bool { return f.Directive == "xmp-signin" })
		v := connsec.Passed("the page loads xmpcustom")
		switch {
		case len(scripts) > 0 && scripts[0].Missing:
			v = connsec.Failed("the page loads %s, and there is no such file", scripts[0].Src)
		case len(scripts) > 0:
		case signIn:
			v = connsec.Passed("the page has the sign-in form itself")
		case len(p.role("library")) == 0:
			v = connsec.Unknown("the page uses XMPL directives but loads the library in a way that is not seen, perhaps with xmpcustom")
		case p.CustomInComment:
			v = connsec.Failed("the script tag of xmpcustom.js is commented out")
		default:
			v = connsec.Failed("the page does not load xmpcustom.js")
		}
		at := p.Source
		if len(scripts) > 0 {
			at = scripts[0].Source
		}
		j.say(RuleCustomNotLoaded, p.File, at, v)
	}
	if !judged {
		j.site(RuleCustomNotLoaded, connsec.Skipped("no page uses XMPL"))
	}
}

func (j *judgement) judgeLoginURL(c CustomFact, last Custom) connsec.Verdict {
	login := last.LoginURL.Text
	u, err := url.Parse(strings.TrimSpace(login))
	switch {
	case len(last.Computed) > 0:
		return connsec.Unknown("%s is computed when the page runs", last.Computed[0])
	case strings.TrimSpace(login) == "":
		return connsec.Failed("xmpcustom has no loginUrl")
	case err != nil:
		return connsec.Failed("loginUrl is not an address")
	case u.Scheme != "" && u.Scheme != "https" && u.Scheme != "http":
		return connsec.Failed("loginUrl is not an address of a page")
	case strings.Contains(login, "?"):
		return connsec.Failed("loginUrl has a query of its own, after which ?rid=… is not understood").As(connsec.Medium)
	case strings.Contains(login, "#"):
		return connsec.Failed("loginUrl has a fragment, which swallows ?rid=…").As(connsec.Medium)
	case u.Scheme == "http" && !isLoopback(hostOf(login)):
		return connsec.Failed("the password page is addressed over HTTP: %s", shown([]byte(login)))
	case c.Target != "" && !c.TargetSignIn && readerOf(c.Target) == asHTML:
		return connsec.Failed("%s has no sign-in form", c.Target).As(connsec.Medium)
	case c.Target != "":
		return connsec.Passed("loginUrl leads to %s, which has a sign-in form", c.Target)
	case u.Scheme == "" && u.Host == "" && strings.HasSuffix(strings.ToLower(u.Path), ".html") && !strings.HasPrefix(u.Path, "/"):
		return connsec.Failed("the site has no page %s", clip(u.Path)).As(connsec.Medium)
	case u.Scheme == "https":
		return connsec.Passed("loginUrl is a plain https address; whether its page has a sign-in form is not visible here").With("login", shown([]byte(login)))
	}
	return connsec.Unknown("the page that loginUrl names is not in the site")
}

func (j *judgement) judgeLoginSite(last Custom) connsec.Verdict {
	login := strings.TrimSpace(last.LoginURL.Text)
	if len(last.Computed) > 0 || login == "" {
		return connsec.Skipped("the file has no plain login address")
	}
	u, err := url.Parse(login)
	if err != nil {
		return connsec.Skipped("loginUrl is not an address")
	}
	if u.Host == "" && !strings.HasPrefix(u.Path, "/") {
		return connsec.Passed("loginUrl is relative, so it stays in the site")
	}
	site := j.project.site()
	if site == nil {
		return connsec.Unknown("whether %s belongs to this site is not known; state the project's site_url", shown([]byte(login)))
	}
	if u.Host != "" && hostOf(login) != hostOf(j.project.SiteURL) && strings.TrimSuffix(strings.ToLower(u.Hostname()), ".") != hostOf(j.project.SiteURL) {
		return connsec.Failed("loginUrl is on %s, and the site on %s", clip(u.Hostname()), clip(site.Hostname()))
	}
	folder := strings.TrimSuffix(site.Path, "/") + "/"
	if !strings.HasPrefix(strings.ToLower(u.Path), strings.ToLower(folder)) {
		return connsec.Failed("loginUrl leads to %s, and the site stands at %s", clip(u.Path), clip(folder))
	}
	return connsec.Passed("loginUrl is on the site's own host and path")
}

// Versions that XMPL needs to have: for HTTPS by knowledge base 0090, for SecURL by the guide.
var (
	xmplForHTTPS  = []int{2, 2}
	xmplForSecURL = []int{3, 0}
)

func judgeVersion(version, what string, https, securl bool) connsec.Verdict {
	v := parseVersion(version)
	switch {
	case v == nil:
		return connsec.Unknown("the version of %s is not known", what)
	case securl && versionLess(v, xmplForSecURL):
		return connsec.Failed("%s is %s, and SecURL needs 3.0", what, clip(version))
	case https && versionLess(v, xmplForHTTPS):
		return connsec.Failed("%s is %s, and HTTPS needs 2.2", what, clip(version))
	}
	return connsec.Passed("%s is %s", what, clip(version))
}

func judgeServerVersion(p Project) connsec.Verdict {
	if p.XMPL == "" {
		return connsec.Unknown("the version of the XMPL server is not stated")
	}
	return judgeVersion(p.XMPL, "the XMPL server", p.https(), p.SecURL == On)
}

func (j *judgement) versions() {
	on, _ := j.secURL()
	loaded := slices.ContainsFunc(j.Libraries, func(l Library) bool { return l.Loaded })
	type copyOf struct {
		version string
		loaded  bool
	}
	seen := map[copyOf]connsec.Position{}
	var versions, loadedVersions []string
	for _, l := range j.Libraries {
		if l.Loaded || !loaded {
			v := judgeVersion(l.Version, "the XMPL library", j.project.https(), on)
			if l.Version == "" && l.Generation >= 5 {
				v = connsec.Passed("the XMPL library is of the fifth generation")
			}
			j.say(RuleXMPLVersion, l.Source.File, l.Source, v)
		}
		name := l.Version
		if name == "" {
			if l.Generation < 5 {
				continue
			}
			name = "5"
		}
		if _, ok := seen[copyOf{name, l.Loaded}]; !ok {
			seen[copyOf{name, l.Loaded}] = l.Source
		}
		versions = append(versions, name)
		if l.Loaded {
			loadedVersions = append(loadedVersions, name)
		}
	}
	uses := slices.ContainsFunc(j.Pages, func(p Page) bool { return p.Source.Line > 0 })
	switch {
	case len(j.Libraries) > 0:
	case uses:
		j.site(RuleXMPLVersion, connsec.Unknown("pages use XMPL, but the library is loaded in a way that is not seen"))
	default:
		j.site(RuleXMPLVersion, connsec.Skipped("the site has no XMPL library"))
	}
	versions, loadedVersions = sameMajor(sortedUnique(versions)), sameMajor(sortedUnique(loadedVersions))
	switch {
	case len(loadedVersions) > 1:
		j.site(RuleXMPLVersionsMixed, connsec.Failed("pages load the versions %s", strings.Join(loadedVersions, ", ")).As(connsec.Medium))
	case len(versions) > 1:
		j.site(RuleXMPLVersionsMixed, connsec.Failed("the site has the versions %s; pages load %s", strings.Join(versions, ", "), orNone(loadedVersions)))
	case len(j.Libraries) == 0:
		j.site(RuleXMPLVersionsMixed, connsec.Skipped("the site has no XMPL library"))
	case slices.ContainsFunc(j.Libraries, func(l Library) bool { return l.Version == "" && l.Generation < 5 }) && len(j.Libraries) > 1:
		j.site(RuleXMPLVersionsMixed, connsec.Unknown("the version of one copy of the library is not known"))
	default:
		j.none(RuleXMPLVersionsMixed, "no second version of the library")
	}
}

// sameMajor drops "5", which stands for an unknown version of the fifth generation, beside one
// that is known.
func sameMajor(versions []string) []string {
	if len(versions) > 1 && slices.ContainsFunc(versions, func(v string) bool { return strings.HasPrefix(v, "5.") }) {
		return slices.DeleteFunc(versions, func(v string) bool { return v == "5" })
	}
	return versions
}

func orNone(versions []string) string {
	if len(versions) == 0 {
		return "none of them"
	}
	return strings.Join(versions, ", ")
}

// directives judges the forms and sign-out elements.
func (j *judgement) directives() {
	on, why := j.secURL()
	var signIn, outside, register, auto, signOut int
	for _, p := range j.Pages {
		for _, f := range p.Forms {
			if f.Directive == "xmp-signin" {
				signIn++
				v := connsec.Passed("the form has a field marked xmp-password")
				if !f.Password {
					v = connsec.Failed("the form has no field marked xmp-password")
				}
				j.say(RuleSignInMissingPassword, p.File, f.Source, v)
			}
		}
	}
	j.noForm(RuleSignInMissingPassword, signIn, "no page has a sign-in form")
	for _, p := range j.Pages {
		for _, f := range p.Forms {
			if f.Directive == "xmp-signin" {
				outside++
				v := connsec.Passed("the form stands in a personalized controller")
				switch {
				case f.Personalized:
				case p.Fragment:
					v = connsec.Unknown("the form stands in a part of a page; what surrounds it is not seen")
				default:
					v = connsec.Failed("no element around the form is a personalized controller")
				}
				j.say(RuleSignInOutsideController, p.File, f.Source, v)
			}
		}
	}
	j.noForm(RuleSignInOutsideController, outside, "no page has a sign-in form")
	for _, p := range j.Pages {
		for _, f := range p.Forms {
			if f.Directive != "xmp-signin" && on {
				register++
				v := connsec.Passed("the form with %s sets XMPie.Web.NewPassword", f.Directive)
				if !f.NewPassword {
					v = connsec.Failed("the form with %s sets no XMPie.Web.NewPassword", f.Directive)
				}
				j.say(RuleRegisterWithoutPassword, p.File, f.Source, v)
			}
		}
	}
	if !on {
		j.site(RuleRegisterWithoutPassword, connsec.Skipped("%s", why))
	} else {
		j.noForm(RuleRegisterWithoutPassword, register, "no page has a registration or referral form")
	}
	for _, p := range j.Pages {
		for _, f := range p.Forms {
			if !f.HasAutoSignIn {
				continue
			}
			auto++
			v := connsec.Passed("automatic sign-in is on, and says so")
			switch value := strings.ToLower(strings.TrimSpace(f.AutoSignIn)); value {
			case "":
				v = connsec.Passed("without a value, automatic sign-in stays off")
			case "false", "0", "no", "off":
				v = connsec.Failed("xmp-signin-auto=%q means yes", value)
			}
			j.say(RuleAutoSignInFalse, p.File, f.Source, v)
		}
	}
	j.noForm(RuleAutoSignInFalse, auto, "no form has xmp-signin-auto")
	for _, p := range j.Pages {
		for _, s := range p.SignOuts {
			signOut++
			j.say(RuleSignOutWithoutTarget, p.File, s.Source, judgeSignOut(p, s))
		}
	}
	j.noForm(RuleSignOutWithoutTarget, signOut, "no page has xmp-signout")
}

// noForm adds that a rule had nothing to judge.
func (j *judgement) noForm(rule *connsec.Rule, found int, what string) {
	for _, at := range j.Unjudged {
		j.say(rule, at.File, at, connsec.Unknown("XMPL forms in JSX are not analysed"))
	}
	switch {
	case found > 0 || len(j.Unjudged) > 0:
	case len(j.Unread) > 0:
		j.none(rule, "%s", what)
	default:
		j.site(rule, connsec.Skipped("%s", what))
	}
}

func judgeSignOut(p Page, s SignOut) connsec.Verdict {
	custom := p.role("xmpcustom")
	switch {
	case s.SuccessURL:
		return connsec.Passed("the element has xmp-success-url")
	case len(custom) > 0 && !custom[0].Missing:
		return connsec.Passed("the page loads xmpcustom, whose loginUrl is the target")
	case p.generation() == 3:
		return connsec.Failed("the element has no xmp-success-url, and the page does not load xmpcustom")
	}
	return connsec.Unknown("the element has no xmp-success-url and the page no xmpcustom; what this version of the library does then is not known")
}

func judgeFriendlyURL(p Project) connsec.Verdict {
	if !p.https() {
		return connsec.Skipped("the project does not use HTTPS")
	}
	switch p.FriendlyURL {
	case NoFriendlyURL:
		return connsec.Passed("the project has no friendly addresses")
	case KeyAsSuffix:
		return connsec.Passed("the recipient key comes after the domain")
	case KeyAsPrefix:
		return connsec.Failed("the recipient key comes before the domain")
	}
	return connsec.Unknown("the form of the project's friendly addresses is not stated")
}

func (j *judgement) friendlyURL() {
	if !j.project.https() {
		j.site(RuleFriendlyURLPrefix, connsec.Skipped("the project does not use HTTPS"))
		return
	}
	for _, at := range j.KeyPrefixes {
		j.say(RuleFriendlyURLPrefix, at.File, at, connsec.Failed("this address carries the recipient key before the domain"))
	}
	if len(j.KeyPrefixes) == 0 {
		v := judgeFriendlyURL(j.project)
		if v.Outcome == connsec.Inconclusive {
			v = connsec.Unknown("no address in the pages carries the recipient key before the domain; the form that the project uses elsewhere is not stated")
		}
		j.site(RuleFriendlyURLPrefix, v)
	}
}
