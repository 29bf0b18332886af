package circlehttps

import (
	"fmt"

	"github.com/connsec/connsec"
)

// The texts that the rules enforce.
var (
	guide = connsec.Citation{Doc: "XMPie Circle help", Section: "Circle Security",
		URL: "https://help.xmpie.com/Circle/Help/en/Build/Security/Circle_Security.htm"}
	kba90 = connsec.Citation{Doc: "XMPie knowledge base 0090", Section: "Circle HTTPS configuration prerequisites",
		URL: "https://help.xmpie.com/KBA/0090/0090_Circle_HTTPS_Configuration_Prerequisites.htm"}
	wikiSecURL = connsec.Citation{Doc: "XMPL wiki", Section: "User Authentication (SecURL)",
		URL: "https://github.com/XMPieLab/XMPL-SDK/wiki/User-Authentication-(SecURL)"}
	wikiLibrary = connsec.Citation{Doc: "XMPL V5 wiki", Section: "XMPL Library Infrastructure",
		URL: "https://github.com/XMPieLab/XMPL-V5/wiki/XMPL-Library-Infrastructure"}
	wikiCheatSheet = connsec.Citation{Doc: "XMPL V5 wiki", Section: "Cheat Sheet for Web",
		URL: "https://github.com/XMPieLab/XMPL-V5/wiki/Cheat-Sheet-for-Web"}
	clientSource = connsec.Citation{Doc: "XMPL client library 3.1.3", Section: "xmp.clean.js",
		URL: "https://github.com/XMPieLab/XMPL-SDK"}
	mixedBlocked  = connsec.Citation{Doc: "W3C Mixed Content", Section: "4.4", URL: "https://www.w3.org/TR/mixed-content/#should-block-fetch"}
	mixedUpgraded = connsec.Citation{Doc: "W3C Mixed Content", Section: "4.1", URL: "https://www.w3.org/TR/mixed-content/#upgrade-algorithm"}
	mixedForms    = connsec.Citation{Doc: "W3C Mixed Content", Section: "5", URL: "https://www.w3.org/TR/mixed-content/"}
	rfc6797       = connsec.Citation{Doc: "RFC 6797", Section: "6.1", URL: "https://www.rfc-editor.org/rfc/rfc6797#section-6.1"}
)

// Rules returns every rule of this package.
func Rules() []*connsec.Rule {
	return []*connsec.Rule{
		RuleConfigMissing, RuleConfigUnreadable, RuleConfigHTTP, RuleConfigSchemeMismatch, RuleConfigTokenMismatch, RuleConfigHost,
		RuleConfigUppercaseURL, RuleConfigOrder, RuleConfigSeveral,
		RuleLinkActive, RuleLinkPassive, RuleLinkForm, RuleLinkNavigation, RuleLinkCanonical, RuleLinkWebSocket,
		RuleCustomMissing, RuleCustomNotLoaded, RuleCustomLoginURL, RuleCustomOtherSite,
		RuleXMPLVersion, RuleXMPLVersionsMixed,
		RuleSignInMissingPassword, RuleSignInOutsideController, RuleRegisterWithoutPassword, RuleAutoSignInFalse, RuleSignOutWithoutTarget,
		RuleFriendlyURLPrefix,
		RulePort80, RuleNoRedirect, RuleHSTS, RuleConfigServed, RuleAPIHTTPS,
	}
}

// judgement gathers findings about one scan and project.
type judgement struct {
	Scan
	project  Project
	findings []connsec.Finding
}

// say adds a finding. The judge runs here, so that a panic in it becomes an inconclusive
// finding like any other.
func (j *judgement) say(rule *connsec.Rule, subject string, at connsec.Position, v connsec.Verdict) {
	f := connsec.Run(subject, v, []connsec.Check[connsec.Verdict]{{Rule: rule, Judge: func(v connsec.Verdict) connsec.Verdict { return v }}})[0]
	if at.File != "" {
		f.Source = &at
	}
	j.findings = append(j.findings, f)
}

// site adds a finding about the site as a whole.
func (j *judgement) site(rule *connsec.Rule, v connsec.Verdict) {
	j.say(rule, j.Scan.Site, connsec.Position{}, v)
}

// none adds that a search found nothing, which is a pass only if every file was searched.
func (j *judgement) none(rule *connsec.Rule, format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	switch {
	case len(j.Unread) > 0:
		j.site(rule, connsec.Unknown("%s in what was read, but %s", what, count(len(j.Unread), "file could not be read", "files could not be read")))
	case j.Files == 0:
		j.site(rule, connsec.Unknown("the folder has no file that could be read"))
	default:
		j.site(rule, connsec.Passed("%s in %s", what, count(j.Files, "file", "files")))
	}
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// Judge applies all rules that a folder can tell. Findings come in the order of Rules, and for
// one rule in the order of files and places.
func (s Scan) Judge(p Project) connsec.Report {
	j := judgement{Scan: s, project: p}
	j.configs()
	j.links()
	j.custom()
	j.versions()
	j.directives()
	j.friendlyURL()
	return connsec.Report{Target: s.Site, At: s.At, Duration: s.Duration, Findings: j.findings}
}

// secURL reports whether the project protects the site by password, and why it is thought so.
func (j *judgement) secURL() (on bool, why string) {
	switch j.project.SecURL {
	case On:
		return true, "the project has SecURL"
	case Off:
		return false, "the project has no SecURL"
	}
	if len(j.Customs) > 0 {
		return true, "the site has " + j.Customs[0].File
	}
	for _, p := range j.Pages {
		for _, f := range p.Forms {
			if f.Directive == "xmp-signin" {
				return true, p.File + " has a sign-in form"
			}
		}
	}
	return false, "the site shows no sign of SecURL"
}
