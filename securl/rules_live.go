package securl

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/setting"
)

// Judge applies the rules to what was seen: certificate, TLS and HSTS of the site with the rules
// of tlscheck, then those of a protected site.
func (o LiveObservation) Judge() connsec.Report {
	r := o.TLS.Judge()
	r.Target, r.At, r.Duration = o.Site, o.At, o.Duration
	r.Findings = append(r.Findings, connsec.Run(o.Site, o, liveChecks)...)
	return r
}

var liveChecks = []connsec.Check[LiveObservation]{
	{Rule: RuleDataOpen, Judge: judgeData},
	{Rule: RuleTokenOpensOthers, Judge: whereProtected(judgeOther)},
	{Rule: RuleHTTPSOff, Judge: judgeAddressed},
	{Rule: RuleLoginURL, Judge: whereProtected(judgeLoginPage)},
	{Rule: RuleSessionTooLong, Judge: whereProtected(judgeToken)},
	{Rule: RuleSignOutIgnored, Judge: whereProtected(judgeSignOut)},
	{Rule: RuleUnthrottled, Judge: whereProtected(judgeGuesses)},
	{Rule: RuleCookieUnsafe, Judge: judgeCookies},
	{Rule: RuleAnyOrigin, Judge: judgeOrigin},
}

// whereProtected answers for a site whose project says that SecURL is off.
func whereProtected(judge func(LiveObservation) connsec.Verdict) func(LiveObservation) connsec.Verdict {
	return func(o LiveObservation) connsec.Verdict {
		if o.SecURL == Off {
			return connsec.Skipped("SecURL is off")
		}
		return judge(o)
	}
}

// silent says why the XMPL server told nothing, or "".
func (o LiveObservation) silent() string {
	switch {
	case o.Config.Problem != "":
		return o.Config.Problem
	case len(o.Data) == 0:
		return "the XMPL server was not asked"
	case !slices.ContainsFunc(o.Data, func(d DataAnswer) bool { return d.Status != 0 }):
		return "the XMPL server could not be asked over verified TLS: " + o.Data[0].Problem
	}
	return ""
}

func judgeData(o LiveObservation) connsec.Verdict {
	if o.Guesses.Accepted {
		return connsec.Failed("a made-up password was taken")
	}
	if why := o.silent(); why != "" {
		return connsec.Unknown("%s", why)
	}
	closed := 0
	var other, missing []string
	for _, d := range o.Data {
		switch {
		case d.Values > 0 && o.speaksXMPL():
			return connsec.Failed("the XMPL server gave %d values without a token (call %s)", d.Values, d.Call).With("values", d.Values)
		case d.Status == http.StatusBadRequest && d.ErrorCode == notSignedIn:
			closed++
		case d.Status == http.StatusNotFound || d.Status == http.StatusMethodNotAllowed:
			missing = append(missing, d.Call+": no such call")
		default:
			other = append(other, fmt.Sprintf("%s: %s", d.Call, d.describe()))
		}
	}
	if closed == 0 {
		other = append(other, missing...)
	}
	switch {
	case len(other) == 0:
		return connsec.Passed("asked in %d ways, the XMPL server wants a sign-in first (ErrorCode 9)", closed)
	case !o.KnownRecipient:
		return connsec.Unknown("for a random recipient, the answers do not tell: %s; name a recipient made for the test", strings.Join(other, "; "))
	}
	return connsec.Unknown("the answers do not tell: %s", strings.Join(other, "; "))
}

func (d DataAnswer) describe() string {
	s := fmt.Sprintf("status %d", d.Status)
	switch {
	case d.Status == 0:
		return cmp.Or(d.Problem, "no answer")
	case d.ErrorCode != 0:
		s += fmt.Sprintf(", ErrorCode %d", d.ErrorCode)
	case d.Problem != "":
		s += ", " + d.Problem
	case d.Values > 0:
		s += fmt.Sprintf(" with %d fields that may be something else", d.Values)
	case d.Status == http.StatusOK:
		s += " without values"
	}
	return s
}

// unreached answers for a site that could not be asked: that is said once, by RuleDataOpen.
func unreached() connsec.Verdict {
	return connsec.Skipped("the site could not be asked over verified TLS")
}

func judgeAddressed(o LiveObservation) connsec.Verdict {
	switch {
	case o.Config.Unreached:
		return unreached()
	case o.Config.API == "":
		return connsec.Unknown("the address of the XMPL server is not known: %s", cmp.Or(o.Config.Problem, "it was not looked for"))
	case !strings.HasPrefix(o.Config.API, "https://"):
		return connsec.Failed("the XMPL server is addressed as %s", o.Config.API)
	}
	return connsec.Passed("the site is served over HTTPS, and %s is addressed over it", o.Config.API)
}

func judgeLoginPage(o LiveObservation) connsec.Verdict {
	l := o.Login
	if o.Config.Unreached {
		return unreached()
	}
	if l.URL == "" {
		return connsec.Unknown("%s", cmp.Or(l.Problem, "the login address is not known"))
	}
	site, _ := url.Parse(o.Site)
	v := judgeLoginAddress(l.URL, site)
	switch {
	case v.Outcome != connsec.Pass:
	case strings.HasPrefix(l.Redirect, "http://"):
		return connsec.Failed("the login page redirects to %s", l.Redirect)
	case l.Problem != "":
		return connsec.Unknown("%s", l.Problem)
	case l.Redirect != "":
		if to, err := url.Parse(l.Redirect); err == nil && to.Hostname() != "" && site != nil && !sameHost(to, site) {
			return connsec.Failed("the login page redirects to %s, and the site is on %s", l.Redirect, setting.OneLine(site.Hostname()))
		}
		return connsec.Unknown("the login page redirects too often, or to %s", l.Redirect)
	case l.Status == http.StatusNotFound || l.Status == http.StatusGone:
		return connsec.Failed("there is no page at the login address (%d)", l.Status).As(connsec.Medium)
	case l.Status != http.StatusOK:
		return connsec.Unknown("the login page is answered with %d", l.Status)
	case l.SignIn:
		return connsec.Passed("%s, and the page has a form to sign in", v.Detail)
	case l.Scripts:
		return connsec.Unknown("the page has no form to sign in before its scripts run")
	default:
		return connsec.Failed("the page at the login address has no form to sign in").As(connsec.Medium)
	}
	return v
}

// speaksXMPL reports whether any answer shows that this is an XMPL server: a proxy's page may be
// JSON, too.
func (o LiveObservation) speaksXMPL() bool {
	return slices.ContainsFunc(o.Data, func(d DataAnswer) bool { return d.XMPL })
}

// open reports whether data was had without a token, so that none is needed to have it.
func (o LiveObservation) open() bool {
	return o.speaksXMPL() && slices.ContainsFunc(o.Data, func(d DataAnswer) bool { return d.Values > 0 })
}

func judgeToken(o LiveObservation) connsec.Verdict {
	t := o.Token
	switch {
	case o.open():
		return connsec.Skipped("data is there without a token")
	case t.Waited > Lifetime && t.GoodAfter:
		return connsec.Failed("the token was still good %s after the sign-in", t.Waited)
	case t.Waited > Lifetime:
		return connsec.Passed("the token had ended %s after the sign-in", t.Waited)
	case t.Stated > Lifetime:
		return connsec.Failed("the server says that the token lasts %s", t.Stated)
	case t.Stated > 0:
		return connsec.Passed("the server says that the token lasts %s; whether it does, only waiting tells", t.Stated)
	case o.silent() != "":
		return connsec.Skipped("the XMPL server was not reached")
	case t.Problem != "":
		return connsec.Unknown("%s", t.Problem)
	}
	return connsec.Unknown("the server does not say when the token ends; wait for it to know")
}

// RuleTokenOpensOthers: a token is its own recipient's.
var RuleTokenOpensOthers = &connsec.Rule{
	ID: "securl-token-opens-others", Title: "A token opens the data of other recipients",
	Why:      "Whoever has signed in as one recipient, or has guessed one password, reads the data of every other whose key is known or guessed.",
	Fix:      "Let the server give data to the recipient of the token only, and answer every other key as if nobody had signed in.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{owaspObject, wikiSecURL}, Since: "0.1.0",
}

var owaspObject = connsec.Citation{Doc: "OWASP API Security Top 10, 2023", Section: "API1, Broken Object Level Authorization",
	URL: "https://owasp.org/API-Security/editions/2023/en/0xa1-broken-object-level-authorization/"}

func judgeOther(o LiveObservation) connsec.Verdict {
	t := o.Other
	switch {
	case o.open():
		return connsec.Skipped("data is there without a token")
	case o.silent() != "":
		return connsec.Skipped("the XMPL server was not reached")
	case !t.Asked:
		return connsec.Skipped("no second recipient was given to try a token on")
	case t.Problem != "" || len(t.Answers) == 0:
		return connsec.Unknown("%s", cmp.Or(t.Problem, "nothing was answered"))
	}
	told := 0
	var other, missing []string
	for _, a := range t.Answers {
		closed := a.Status == http.StatusBadRequest && a.ErrorCode == notSignedIn
		switch {
		case a.Other > 0 && a.Own == 0:
			return connsec.Failed("the token of one recipient gave %d values of another (call %s)", a.Other, a.Call).With("values", a.Other)
		case closed && a.Problem == "":
			told++
		case closed: // even to those whose it is
			missing = append(missing, a.Call+": "+a.Problem)
		case a.Problem != "":
			other = append(other, a.Call+": "+a.Problem)
		case a.Other > 0:
			other = append(other, fmt.Sprintf("%s: %d values of the one and %d of the other", a.Call, a.Own, a.Other))
		case a.Own == 0 && a.Values > 0:
			other = append(other, a.Call+": values that do not tell the two recipients apart")
		case a.Own == 0:
			other = append(other, a.Call+": "+a.describe())
		default:
			told++
		}
	}
	if told == 0 {
		other = append(other, missing...)
	}
	if len(other) > 0 {
		return connsec.Unknown("the answers do not tell: %s", strings.Join(other, "; "))
	}
	return connsec.Passed("asked in %d ways for the data of another recipient, a token gave none of it", told)
}

// RuleSignOutIgnored: signing out ends the token, and not only the page's memory of it.
var RuleSignOutIgnored = &connsec.Rule{
	ID: "securl-sign-out-ignored", Title: "The token is still good after signing out",
	Why:      "Signing out removes the token from the browser. If the server keeps it, whoever copied it goes on reading.",
	Fix:      "Let signing out delete the session on the server.",
	Severity: connsec.Medium,
	Refs:     []connsec.Citation{wikiSecURL, owaspSession}, Since: "0.1.0",
}

func judgeSignOut(o LiveObservation) connsec.Verdict {
	t := o.Token
	switch {
	case o.open():
		return connsec.Skipped("data is there without a token")
	case t.SignedOut && t.GoodAfterSignOut:
		return connsec.Failed("the token opened data after signing out")
	case t.SignedOut:
		return connsec.Passed("the token opens nothing after signing out")
	case o.silent() != "":
		return connsec.Skipped("the XMPL server was not reached")
	case t.Problem != "":
		return connsec.Unknown("%s", t.Problem)
	}
	return connsec.Unknown("signing out, or the request after it, was not answered in a way that tells")
}

// RuleUnthrottled: passwords of people do not withstand unlimited guessing.
var RuleUnthrottled = &connsec.Rule{
	ID: "securl-sign-in-unthrottled", Title: "Passwords can be guessed without limit",
	Why:      "The sign-in is open to everyone who has read xmpcfg.js. Without a limit a program tries thousands of passwords a minute, and common ones for all recipients.",
	Fix:      "Limit failed sign-ins per recipient and per address in front of the XMPL server: a gate, a web application firewall, IIS dynamic IP restrictions.",
	Severity: connsec.Medium,
	Refs:     []connsec.Citation{nistThrottle}, Since: "0.1.0",
}

// nistFailures is how many consecutive failures NIST SP 800-63B-4 3.2.2 allows.
const nistFailures = 100

func judgeGuesses(o LiveObservation) connsec.Verdict {
	g := o.Guesses
	n := len(g.Answers)
	switch {
	case o.silent() != "":
		return connsec.Skipped("the XMPL server was not reached")
	case g.Accepted:
		return connsec.Skipped("it takes no guessing")
	case n > 0 && g.Answers[n-1].refusal():
		return connsec.Passed("attempt %d was answered with %d", n, g.Answers[n-1].Status).With("attempts", n)
	case n > 2 && slowed(g.Answers[0].Took, min(g.Answers[n-2].Took, g.Answers[n-1].Took)):
		return connsec.Passed("attempt %d took %s, the first %s", n, g.Answers[n-1].Took.Round(time.Millisecond), g.Answers[0].Took.Round(time.Millisecond)).With("attempts", n)
	case slices.ContainsFunc(g.Answers, func(a GuessAnswer) bool { return a.Changed }):
		return connsec.Unknown("the answer changed within %d attempts, and does not say that there were too many", n)
	case slices.ContainsFunc(g.Answers, func(a GuessAnswer) bool { return !a.judged() }):
		return connsec.Unknown("the sign-in was answered with status %d, which says nothing about the password", g.Answers[0].Status)
	case n > nistFailures && g.RightTaken:
		return connsec.Failed("%d wrong passwords for one recipient were all answered alike, and then the right one was taken", n).With("attempts", n)
	case n > nistFailures && g.RightTried:
		return connsec.Passed("after %d wrong passwords for one recipient, the right one was refused, too", n).With("attempts", n)
	case n > nistFailures && g.Known:
		return connsec.Unknown("%d wrong passwords for one recipient were all answered alike; give its password to see whether that locked it", n)
	case g.Problem != "":
		return connsec.Unknown("after %d attempts: %s", n, g.Problem)
	}
	return connsec.Unknown("%d attempts were not throttled, which says little; trying %d takes a recipient made for the test", n, MostGuesses)
}

// slowed reports whether the server makes an attacker wait: by a second at least, and several
// times as long as at first, for the last two times, because once may be the network's doing.
func slowed(first, last time.Duration) bool { return last-first >= time.Second && last >= 4*first }

// RuleCookieUnsafe: session cookies are out of reach of scripts, clear text and other sites.
var RuleCookieUnsafe = &connsec.Rule{
	ID: "securl-cookie-unsafe", Title: "A session cookie is not protected",
	Why: "Without Secure a cookie is sent over HTTP, too, where anyone on the path reads it; without HttpOnly every script in the page can; " +
		"without SameSite other sites make the browser send it.",
	Fix:      "Set cookies that stand for a sign-in with Secure, HttpOnly and SameSite=Lax or Strict, best under a name that begins with __Host-.",
	Severity: connsec.Medium,
	Refs:     []connsec.Citation{owaspSession}, Since: "0.1.0",
}

// sessionWords in the name of a cookie tell that it stands for somebody.
var sessionWords = []string{"sess", "token", "auth", "login", "xmp", "recipient", "jwt"}

func (c CookieSeen) session() bool {
	name := strings.ToLower(c.Name)
	return name == "sid" || strings.HasSuffix(name, "sid") || strings.HasPrefix(name, "sid.") || strings.HasPrefix(name, "sid_") ||
		slices.ContainsFunc(sessionWords, func(w string) bool { return strings.Contains(name, w) })
}

// forForms reports whether the cookie is one that scripts copy into forms and headers, against
// requests of other sites: they have to read it.
func (c CookieSeen) forForms() bool {
	name := strings.ToLower(c.Name)
	return strings.Contains(name, "csrf") || strings.Contains(name, "xsrf")
}

// lacks lists what the cookie should have.
func (c CookieSeen) lacks() []string {
	var out []string
	if !c.Secure {
		out = append(out, "Secure")
	}
	if !c.session() {
		return out // analytics may be read by scripts
	}
	if !c.HTTPOnly && !c.forForms() {
		out = append(out, "HttpOnly")
	}
	if c.SameSite != "lax" && c.SameSite != "strict" {
		out = append(out, "SameSite")
	}
	return out
}

func judgeCookies(o LiveObservation) connsec.Verdict {
	if len(o.Cookies) == 0 {
		if o.Config.Unreached {
			return unreached()
		}
		if o.Login.Status == 0 && o.silent() != "" {
			return connsec.Unknown("neither the login page nor the XMPL server was reached")
		}
		return connsec.Skipped("no answer set a cookie; those that the XMPL library sets by script are not seen here")
	}
	var weak []string
	severity := connsec.Low
	for _, c := range o.Cookies {
		lacks := c.lacks()
		if len(lacks) == 0 {
			continue
		}
		weak = append(weak, fmt.Sprintf("%s (%s) lacks %s", c.Name, c.From, strings.Join(lacks, ", ")))
		if c.session() && !(len(lacks) == 1 && lacks[0] == "SameSite") {
			severity = connsec.Medium
		}
	}
	if len(weak) > 0 {
		return connsec.Failed("%s", strings.Join(weak, "; ")).As(severity)
	}
	return connsec.Passed("%d cookies have what they need", len(o.Cookies))
}

// RuleAnyOrigin: only the site's own scripts talk to the XMPL server.
var RuleAnyOrigin = &connsec.Rule{
	ID: "securl-any-origin", Title: "Scripts of every web site may use the XMPL server",
	Why: "Any page on the Internet can make its visitors' browsers try passwords, each from another address, and use a token that it got hold of. " +
		"Where credentials are allowed, too, it acts with the cookies of a visitor who is signed in.",
	Fix:      "Let Access-Control-Allow-Origin name the site's own origin, or serve the XMPL server under the site's host and leave the header away.",
	Severity: connsec.Low,
	Refs:     []connsec.Citation{fetchCORS}, Since: "0.1.0",
}

var fetchCORS = connsec.Citation{Doc: "Fetch Standard", Section: "3.3, CORS protocol", URL: "https://fetch.spec.whatwg.org/#http-cors-protocol"}

func judgeOrigin(o LiveObservation) connsec.Verdict {
	c := o.CORS
	switch {
	case o.silent() != "":
		return connsec.Skipped("the XMPL server was not reached")
	case !c.Asked:
		return connsec.Unknown("no answer could be read")
	case !c.Reflected && !c.Any && !o.speaksXMPL():
		return connsec.Unknown("an unknown origin is not allowed, by something that does not answer as an XMPL server")
	case c.Reflected && c.Credentials:
		return connsec.Failed("it allows whatever origin asks, with cookies").As(connsec.Medium)
	case c.Reflected:
		return connsec.Failed("it allows whatever origin asks")
	case c.Any:
		return connsec.Failed("it allows every origin (*)")
	}
	return connsec.Passed("an unknown origin is not allowed")
}
