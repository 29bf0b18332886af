package circlehttps

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/tlscheck"
)

// Judge applies the rules to what was seen. Certificate and TLS come first, with the rules of
// tlscheck; then what the visited pages hold, then the rules that only a server can answer.
func (o Observation) Judge() connsec.Report {
	r := o.TLS.Judge()
	r.Target, r.At, r.Duration = o.Site, o.At, o.Duration
	j := judgement{Scan: o.Pages, project: o.Project}
	j.links()
	j.configs()
	j.versions()
	j.findings = append(j.findings, connsec.Run(o.Site, o, liveChecks)...)
	r.Findings = append(r.Findings, j.findings...)
	return r
}

var liveChecks = []connsec.Check[Observation]{
	{Rule: RulePort80, Judge: judgePort80},
	{Rule: RuleNoRedirect, Judge: judgeNoRedirect},
	{Rule: RuleHSTS, Judge: judgeHSTS},
	{Rule: RuleConfigServed, Judge: judgeServed},
	{Rule: RuleAPIHTTPS, Judge: judgeAPI},
}

// portState is what port 80 does.
type portState uint8

const (
	portUnknown portState = iota
	portClosed
	portRedirects
	portServes
	portAnswers // with an error
)

// filteredAfter is how long silence has to last to mean a filter: by then TCP has asked three
// times (RFC 6298 2).
const filteredAfter = 3500 * time.Millisecond

func stateOf(a tlscheck.PlainAddress) portState {
	switch a.Problem.Kind {
	case "":
	case tlscheck.Refused, tlscheck.Unreachable:
		return portClosed
	case tlscheck.Timeout:
		if a.Waited >= filteredAfter {
			return portClosed
		}
		return portUnknown
	default:
		return portUnknown
	}
	switch s := a.Answer.Status / 100; {
	case s == 3 && strings.HasPrefix(a.Answer.Redirect, "https://"):
		return portRedirects
	case s == 2 || s == 3:
		return portServes
	}
	return portAnswers
}

// states returns what the addresses of the host do on port 80, without repetition.
func (o Observation) states() []portState {
	var out []portState
	for _, a := range o.Plain.Addresses {
		out = append(out, stateOf(a))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// RulePort80: port 80 is open exactly if the project still needs it.
var RulePort80 = &connsec.Rule{
	ID: "circle-port-80", Title: "Port 80 is not as the project's exceptions say",
	Why:      "Circle neither closes port 80 nor redirects it. Open without need, pages, recipient keys and passwords can still be had over HTTP; closed with need, e-mail, PDF on demand and XMPieRURL addresses stop working.",
	Fix:      "Close port 80 or let it redirect to HTTPS if nothing needs it; otherwise state in the project what does.",
	Severity: connsec.Medium, Refs: []connsec.Citation{guide}, Since: "0.1.0",
}

func judgePort80(o Observation) connsec.Verdict {
	states := o.states()
	has := func(s portState) bool { return slices.Contains(states, s) }
	needed := len(o.Project.Port80) > 0
	switch {
	case len(states) == 0 || has(portUnknown):
		return connsec.Unknown("whether port 80 is open could not be told")
	case needed && has(portClosed):
		return connsec.Failed("port 80 is closed, and the project still needs it for %s", exceptions(o.Project))
	case needed && has(portRedirects):
		return connsec.Unknown("port 80 redirects to HTTPS; whether %s works with a redirect has to be tried", exceptions(o.Project))
	case needed:
		return connsec.Passed("port 80 is open for %s", exceptions(o.Project))
	case has(portServes):
		return connsec.Failed("port 80 serves the site, and the project states nothing that needs it")
	case has(portAnswers):
		return connsec.Failed("port 80 is open and answers in HTTP, and the project states nothing that needs it")
	case has(portRedirects):
		return connsec.Passed("port 80 only redirects to HTTPS")
	}
	return connsec.Passed("port 80 is closed")
}

// RuleNoRedirect: who asks over HTTP is sent to HTTPS.
var RuleNoRedirect = &connsec.Rule{
	ID: "circle-no-redirect", Title: "The site is served over HTTP without a redirect to HTTPS",
	Why:      "Circle does not redirect: a typed address or an old link stays on HTTP, with the recipient key in it.",
	Fix:      "Add the HTTP Redirect module of IIS to the site, with the https address as its target.",
	Severity: connsec.Medium, Refs: []connsec.Citation{guide}, Since: "0.1.0",
}

func judgeNoRedirect(o Observation) connsec.Verdict {
	states := o.states()
	has := func(s portState) bool { return slices.Contains(states, s) }
	switch {
	case has(portServes):
		return connsec.Failed("the site's address is served over HTTP")
	case len(states) == 0 || has(portUnknown):
		return connsec.Unknown("what port 80 does could not be told")
	case has(portAnswers):
		return connsec.Unknown("port 80 answers the site's address with an error; other pages may be served")
	case has(portRedirects):
		return connsec.Passed("the site's address redirects to HTTPS")
	}
	return connsec.Skipped("port 80 is closed")
}

// RuleHSTS: browsers are told to stay on HTTPS.
var RuleHSTS = &connsec.Rule{
	ID: "circle-hsts", Title: "The site does not tell browsers to stay on HTTPS",
	Why:      "Without Strict-Transport-Security each visit that begins with http:// can be kept on HTTP by anyone on the path.",
	Fix:      "Add the header Strict-Transport-Security: max-age=31536000 to the site's HTTPS answers.",
	Severity: connsec.Low, Refs: []connsec.Citation{rfc6797}, Since: "0.1.0",
}

const oneYear = 365 * 24 * 60 * 60

func judgeHSTS(o Observation) connsec.Verdict {
	switch {
	case o.Problem != "":
		return connsec.Unknown("the site's address could not be had over HTTPS: %s", o.Problem)
	case len(o.HSTS) == 0:
		return connsec.Failed("the answer has no Strict-Transport-Security")
	}
	for _, d := range strings.Split(o.HSTS[0], ";") { // RFC 6797 8.1: only the first header counts
		key, value, _ := strings.Cut(strings.TrimSpace(d), "=")
		if !strings.EqualFold(strings.TrimSpace(key), "max-age") {
			continue
		}
		age, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 62)
		switch {
		case err != nil:
			return connsec.Failed("max-age is not a number, so browsers ignore the header")
		case age < oneYear:
			return connsec.Failed("max-age is %d seconds, less than a year", age)
		}
		return connsec.Passed("max-age is %d seconds", age)
	}
	return connsec.Failed("the header has no max-age, so browsers ignore it")
}

// RuleConfigServed: the server has the xmpcfg.js of the folder.
var RuleConfigServed = &connsec.Rule{
	ID: "circle-config-served", Title: "The served xmpcfg.js is not the one in the folder",
	Why:      "What was checked and mended in the folder has not been published, or somebody changed the published file.",
	Fix:      "Publish xmpcfg.js, and look for caches that still hold the old one.",
	Severity: connsec.Medium, Refs: []connsec.Citation{guide}, Since: "0.1.0",
}

func judgeServed(o Observation) connsec.Verdict {
	c := o.Config
	switch {
	case !c.Folder:
		return connsec.Skipped("there is no folder to compare with")
	case c.FolderProblem != "":
		return connsec.Unknown("%s", c.FolderProblem)
	case c.Status != 0 && c.Status != http.StatusOK:
		return connsec.Failed("the server answers %d for xmpcfg.js, which is in the folder", c.Status)
	case c.SameBytes:
		return connsec.Passed("the served xmpcfg.js is that of the folder, byte for byte")
	case c.Status == http.StatusOK && c.Problem != "":
		return connsec.Failed("what is served as xmpcfg.js cannot be used: %s", c.Problem)
	case c.Problem != "":
		return connsec.Unknown("xmpcfg.js could not be had: %s", c.Problem)
	case c.SameMeaning:
		return connsec.Passed("the served xmpcfg.js says the same as that of the folder, in other bytes")
	}
	return connsec.Failed("they differ in %s", strings.Join(c.Differs, ", "))
}

// RuleAPIHTTPS: the XMPL server answers over HTTPS.
var RuleAPIHTTPS = &connsec.Rule{
	ID: "circle-api-https", Title: "The XMPL server does not answer over HTTPS",
	Why:      "Pages over HTTPS can talk to it over HTTPS only. The certificate has to be installed on the default IIS site of the XMPL server, with its domain name.",
	Fix:      "Install the certificate on the default IIS site and bind port 443 to it; see the prerequisites.",
	Severity: connsec.High, Refs: []connsec.Citation{kba90, mixedBlocked}, Since: "0.1.0",
}

func judgeAPI(o Observation) connsec.Verdict {
	a := o.API
	switch s := a.Status; {
	case a.URL == "":
		return connsec.Skipped("no address of the XMPL server could be read from the served xmpcfg.js")
	case a.Unresolved, a.Problem.Kind == tlscheck.Timeout, a.Problem.Kind == tlscheck.Unreachable, a.Problem.Kind == tlscheck.NoRoute:
		return connsec.Unknown("%s could not be reached from here: %s", a.URL, a.Problem.Text)
	case a.Problem.Kind != "":
		return connsec.Failed("%s: %s", a.URL, a.Problem.Text)
	case a.Redirect == "http":
		return connsec.Failed("%s leads back to HTTP", a.URL).With("status", s)
	case s == http.StatusNotFound || s >= 500 || s/100 == 3:
		return connsec.Unknown("%s answers %d over HTTPS, so XMPL may or may not be there", a.URL, s).With("status", s)
	default:
		return connsec.Passed("%s answers over HTTPS", a.URL).With("status", s)
	}
}
