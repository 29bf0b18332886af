package securl

import (
	"net/url"
	"strings"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/setting"
)

var (
	wikiSecURL = connsec.Citation{Doc: "XMPL wiki", Section: "User Authentication (SecURL)",
		URL: "https://github.com/XMPieLab/XMPL-SDK/wiki/User-Authentication-(SecURL)"}
	wikiKeys = connsec.Citation{Doc: "XMPL-V5 wiki", Section: "Getting Started",
		URL: "https://github.com/XMPieLab/XMPL-V5/wiki/Getting-Started"}
	kba90 = connsec.Citation{Doc: "XMPie knowledge base", Section: "0090, Circle HTTPS configuration prerequisites",
		URL: "https://help.xmpie.com/KBA/0090/0090_Circle_HTTPS_Configuration_Prerequisites.htm"}
	nistThrottle = connsec.Citation{Doc: "NIST SP 800-63B-4", Section: "3.2.2", URL: "https://pages.nist.gov/800-63-4/sp800-63b.html"}
	owaspSession = connsec.Citation{Doc: "OWASP Session Management Cheat Sheet",
		URL: "https://cheatsheetseries.owasp.org/cheatsheets/Session_Management_Cheat_Sheet.html"}
)

var projectChecks = []connsec.Check[Project]{
	{Rule: RuleDataOpen, Judge: judgeSwitch},
	{Rule: RuleHTTPSOff, Judge: ifProtected(judgeHTTPS)},
	{Rule: RuleUnsupportedProduct, Judge: ifProtected(judgeProduct)},
	{Rule: RuleXMPLTooOld, Judge: judgeXMPL},
	{Rule: RuleRecipientKeyGuessable, Judge: judgeRecipientKey},
	{Rule: RuleLoginURL, Judge: ifProtected(judgeLoginSetting)},
	{Rule: RuleSessionTooLong, Judge: ifProtected(judgeLifetime)},
	{Rule: RulePlaintext, Judge: ifProtected(ofMethod(0))},
	{Rule: RuleMD5Weak, Judge: ifProtected(ofMethod(1))},
}

// ofMethod judges the method by the rules for methods.
func ofMethod(i int) func(Project) connsec.Verdict {
	return func(p Project) connsec.Verdict { return methodChecks[i].Judge(Hasher{Method: p.Method}) }
}

// ifProtected answers for a project whose SecURL is off: that is said once, by RuleDataOpen.
func ifProtected(judge func(Project) connsec.Verdict) func(Project) connsec.Verdict {
	return func(p Project) connsec.Verdict {
		if !p.protected() {
			return connsec.Skipped("SecURL is off")
		}
		return judge(p)
	}
}

// RuleDataOpen: without SecURL, or where it does not hold, the recipient key is all it takes.
var RuleDataOpen = &connsec.Rule{
	ID: "securl-data-open", Title: "Recipients' data can be read without signing in",
	Why:      "The access token in xmpcfg.js is public. Whoever knows or guesses a recipient key asks the XMPL server for that recipient's name, address and everything else that the project holds.",
	Fix:      "Switch SecURL on for the project in Circle, with a password field, and publish the site anew.",
	Severity: connsec.Critical,
	Refs:     []connsec.Citation{circleGuide, wikiSecURL}, Since: "0.1.0",
}

func judgeSwitch(p Project) connsec.Verdict {
	switch p.SecURL {
	case Off:
		return connsec.Failed("SecURL is off")
	case On, Unstated:
		return connsec.Skipped("SecURL is on; whether the server keeps the data back, only asking it tells")
	}
	return connsec.Unknown("%s is no setting", p.SecURL)
}

// RuleHTTPSOff: SecURL's password is sent as it is typed.
var RuleHTTPSOff = &connsec.Rule{
	ID: "securl-https-off", Title: "Passwords and data travel over HTTP",
	Why:      "The XMPL library sends the password as it was typed, and the server hashes it afterwards. Over HTTP anyone on the path reads it, and the token that is as good as the password for an hour.",
	Fix:      "Switch on the project's Use HTTPS in Circle, download xmpcfg.js again and publish it.",
	Severity: connsec.Critical,
	Refs:     []connsec.Citation{circleGuide, kba90}, Since: "0.1.0",
}

func judgeHTTPS(p Project) connsec.Verdict {
	switch {
	case p.HTTPS == Off:
		return connsec.Failed("the project does not use HTTPS")
	case p.site() != nil && p.site().Scheme == "http":
		return connsec.Failed("the site is published over HTTP")
	case p.HTTPS == On:
		return connsec.Passed("the project uses HTTPS")
	}
	return connsec.Unknown("whether the project uses HTTPS is not stated")
}

// RuleUnsupportedProduct: the switch does nothing there.
var RuleUnsupportedProduct = &connsec.Rule{
	ID: "securl-unsupported-product", Title: "SecURL does not protect this kind of site",
	Why:      "Template instances and Campaign-on-Demand campaigns in uStore do not support SecURL, so their pages are open whatever the project says.",
	Fix:      "Publish the site as a web site of the Circle project, or keep personal data out of it.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{circleGuide, wikiSecURL}, Since: "0.1.0",
}

func judgeProduct(p Project) connsec.Verdict {
	switch p.Product {
	case Site:
		return connsec.Passed("it is a web site of a Circle project")
	case TemplateInstance:
		return connsec.Failed("it is a template instance")
	case UStore:
		return connsec.Failed("it is a Campaign-on-Demand campaign in uStore")
	}
	return connsec.Unknown("what publishes the site is not stated")
}

// RuleXMPLTooOld: SecURL came with XMPL 3.0, HTTPS with 2.2.
var RuleXMPLTooOld = &connsec.Rule{
	ID: "securl-xmpl-too-old", Title: "The XMPL server is too old for SecURL or HTTPS",
	Why:      "SecURL needs XMPL 3.0 and HTTPS needs 2.2. An older server does not know of the protection and answers everyone.",
	Fix:      "Update the XMPL server, and replace the library in the site by the one that comes with it.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{circleGuide, wikiSecURL, kba90}, Since: "0.1.0",
}

// Versions that XMPL has to have.
var (
	xmplForHTTPS  = version{2, 2}
	xmplForSecURL = version{3, 0}
)

func judgeXMPL(p Project) connsec.Verdict {
	v, ok := parseVersion(p.XMPL)
	shown := setting.OneLine(p.XMPL)
	switch {
	case p.XMPL == "":
		return connsec.Unknown("the version of the XMPL server is not stated")
	case !ok:
		return connsec.Unknown("%q is not a version such as 3.5", shown)
	case p.protected() && v.less(xmplForSecURL):
		return connsec.Failed("it is %s, and SecURL needs 3.0", shown)
	case p.HTTPS == On && v.less(xmplForHTTPS):
		return connsec.Failed("it is %s, and HTTPS needs 2.2", shown)
	}
	return connsec.Passed("it is %s", shown)
}

// RuleRecipientKeyGuessable: the key is half of a sign-in, and all of it elsewhere.
var RuleRecipientKeyGuessable = &connsec.Rule{
	ID: "securl-recipient-key-guessable", Title: "Recipient keys can be guessed",
	Why: "The key stands in the address of a recipient's page. Made of a name, an e-mail address or a number, everybody can write down the keys of all recipients: " +
		"only the password is left to guess, many accounts can be tried at a time, and where SecURL does not reach (e-mail, other sites of the project) nothing is.",
	Fix:      "Let Circle generate the recipient key (auto-generate a secure ID). Links that were sent keep their old keys, so decide before the campaign.",
	Severity: connsec.Medium,
	Refs:     []connsec.Citation{wikiKeys, circleGuide}, Since: "0.1.0",
}

func judgeRecipientKey(p Project) connsec.Verdict {
	v := judgeKeys(p)
	if v.Outcome == connsec.Fail {
		switch {
		case !p.protected():
			v = v.As(connsec.High)
			v.Detail += "; without SecURL, a key is all it takes"
		case p.UserName == Off:
			v.Detail += "; no user-name field is selected, so the password alone is left"
		}
	}
	return v
}

func judgeKeys(p Project) connsec.Verdict {
	l := looksOf(p.SampleKeys)
	pattern := strings.TrimSpace(p.RecipientKey)
	k := parseKeyPattern(pattern)
	fields := len(k.personal) + len(k.random) + len(k.other)
	// What the keys look like weighs more than what the pattern promises.
	if l.n > 0 && 2*l.guessable() > l.n {
		v := connsec.Failed("of %d sample keys, %d are easy to guess", l.n, l.guessable())
		for _, e := range []struct {
			key string
			n   int
		}{{"email", l.email}, {"names", l.names}, {"numbers", l.sequence}, {"short", l.small}} {
			if e.n > 0 {
				v = v.With(e.key, e.n)
			}
		}
		return v
	}
	switch {
	case k.broken:
		return connsec.Unknown("the pattern is not written as [[field]]")
	case pattern != AutoKey && pattern != "" && fields == 0:
		return connsec.Failed("the pattern has no field, so it is the same text for all")
	case len(k.personal) > 0 && fields == len(k.personal):
		return connsec.Failed("the pattern is made of what others know or can count: %s", setting.OneLine(strings.Join(k.personal, ", ")))
	case l.guessable() > 0:
		return connsec.Unknown("of %d sample keys, %d look easy to guess, which may be chance", l.n, l.guessable())
	case pattern == AutoKey:
		return connsec.Passed("Circle generates the keys")
	case len(k.random) > 0:
		return connsec.Passed("the pattern has a field of random content: %s", setting.OneLine(strings.Join(k.random, ", ")))
	case l.n >= 3:
		return connsec.Passed("%d sample keys look random, %.0f bits at least", l.n, l.least).With("bits", int(l.least))
	case fields > 0:
		return connsec.Unknown("what the field %s holds is not known; give three sample keys or more", setting.OneLine(k.other[0]))
	}
	return connsec.Unknown("neither the pattern of the recipient keys nor three samples are given")
}

// RuleLoginURL: the page where the password is typed.
var RuleLoginURL = &connsec.Rule{
	ID: "securl-login-url", Title: "The login address does not lead to a login page over HTTPS",
	Why: "The XMPL library appends ?rid=… to the address as it stands and goes there. Over http the page can be replaced on the path; on another host the password goes to somebody else; " +
		"after a ? or # the recipient is lost; where there is no page, nobody can sign in.",
	Fix:      "Set loginUrl in xmpcustom.js to the plain https address of the site's page with the sign-in form.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{wikiSecURL, circleGuide}, Since: "0.1.0",
}

func judgeLoginSetting(p Project) connsec.Verdict {
	if strings.TrimSpace(p.LoginURL) == "" {
		return connsec.Unknown("the login address is not stated")
	}
	return judgeLoginAddress(p.LoginURL, p.site())
}

// judgeLoginAddress judges the text; site may be nil.
func judgeLoginAddress(login string, site *url.URL) connsec.Verdict {
	u, err := url.Parse(strings.TrimSpace(login))
	switch {
	case err != nil:
		return connsec.Failed("it is not an address")
	case u.Scheme != "" && u.Scheme != "https" && u.Scheme != "http", u.Scheme != "" && u.Hostname() == "":
		return connsec.Failed("it is not the address of a page")
	case strings.Contains(login, "\\"):
		return connsec.Failed("it has a backslash, which browsers take for a slash")
	case u.User != nil:
		return connsec.Failed("it carries credentials")
	case u.Scheme == "http":
		return connsec.Failed("it begins with http://, so the password page can be replaced on the path")
	case strings.Contains(login, "#"):
		return connsec.Failed("it has a fragment (#), which swallows the ?rid=… that is appended").As(connsec.Medium)
	case strings.Contains(login, "?"):
		return connsec.Failed("it has a query (?) of its own, after which the ?rid=… that is appended is not understood").As(connsec.Medium)
	case u.Host == "":
		return connsec.Passed("it is relative, so it stays in the site")
	case site == nil:
		return connsec.Unknown("it is on %s; whether that is the site's host is not known without site_url", setting.OneLine(u.Hostname()))
	case !sameHost(u, site):
		return connsec.Failed("it is on %s, and the site on %s", setting.OneLine(u.Hostname()), setting.OneLine(site.Hostname()))
	}
	return connsec.Passed("it is a plain https address on the site's host")
}

func sameHost(a, b *url.URL) bool {
	plain := func(u *url.URL) string { return strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")) }
	return plain(a) == plain(b)
}

// RuleSessionTooLong: the guide's hour.
var RuleSessionTooLong = &connsec.Rule{
	ID: "securl-session-too-long", Title: "A sign-in lasts longer than an hour",
	Why:      "SecURL's sign-in ends after an hour. One that goes on leaves the page of a recipient open on shared computers, and a stolen token good for as long.",
	Fix:      "Let the session end one hour after the sign-in, on the server. The age of a cookie in the browser does not end it.",
	Severity: connsec.Medium,
	Refs:     []connsec.Citation{circleGuide, owaspSession}, Since: "0.1.0",
}

func judgeLifetime(p Project) connsec.Verdict {
	switch {
	case p.Lifetime < 0:
		return connsec.Unknown("a negative lifetime says nothing")
	case p.Lifetime == 0:
		return connsec.Passed("it lasts an hour, as SecURL has it")
	case p.Lifetime > Lifetime:
		return connsec.Failed("it lasts %s", p.Lifetime)
	}
	return connsec.Passed("it lasts %s", p.Lifetime)
}
