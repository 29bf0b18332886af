package tlscheck

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/connsec/connsec"
)

var myqHTTP = connsec.Citation{Doc: docMyQ, Section: "Unsecured communication", URL: urlMyQ}

// Judge applies http-cleartext-served and http-cleartext-redirect to each address.
func (o PlainObservation) Judge() connsec.Report {
	return connsec.Report{Target: o.Subject, At: o.At, Duration: o.Duration, Findings: JudgeAddresses(o.Subject, o.Addresses, PlainAddress.address, plainChecks)}
}

// Judge applies all tls-*, cert-* and http-* rules of an HTTPS server.
func (o HTTPSObservation) Judge() connsec.Report {
	r := o.Observation.Judge()
	r.Findings = append(r.Findings, JudgeAddresses(o.Subject, o.HTTP, HTTPSAddress.address, httpsChecks)...)
	return r
}

func (a PlainAddress) address() netip.Addr { return a.Address.Addr() }
func (a HTTPSAddress) address() netip.Addr { return a.Address.Addr() }

var plainChecks = []connsec.Check[PlainAddress]{
	{Rule: RuleCleartextServed, Judge: judgeCleartextServed},
	{Rule: RuleCleartextRedirect, Judge: judgeCleartextRedirect},
}

var httpsChecks = []connsec.Check[HTTPSAddress]{
	{Rule: RuleCleartextOnTLSPort, Judge: judgeCleartextOnTLSPort},
	{Rule: RuleHSTSMissing, Judge: judgeHSTSMissing},
	{Rule: RuleHSTSShort, Judge: judgeHSTSShort},
}

// filteredAfter is how long silence has to last before a port counts as filtered: TCP has
// repeated its SYN after 1 and after 3 seconds by then (RFC 6298 §2).
const filteredAfter = 3500 * time.Millisecond

// answersWithin parts a firewall that says that there is no way, at once, from a neighbour that
// has been asked for three times, a second apart (RFC 4861 §10, and Linux for IPv4), in vain.
const answersWithin = 2 * time.Second

// RuleCleartextServed: nothing but a redirect may be had without TLS.
var RuleCleartextServed = &connsec.Rule{
	ID: "http-cleartext-served", Title: "The server answers HTTP without TLS",
	Why:      "Everyone on the path reads and changes pages, passwords and session cookies that travel this way.",
	Fix:      "Switch unsecured communication off, and let the firewall admit only the HTTPS port.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{myqHTTP, rfc("6797", "2.3.1")}, Since: "0.1.0",
}

func judgeCleartextServed(a PlainAddress) connsec.Verdict {
	switch a.Problem.Kind {
	case "":
	case Refused:
		return connsec.Passed("the port is closed: connection refused").With("port", "closed")
	case Timeout:
		if a.Waited < filteredAfter {
			return connsec.Unknown("no answer within %s; allow at least %s to tell a filtered port from a slow one", a.Waited.Round(time.Millisecond), filteredAfter)
		}
		return connsec.Passed("the port is filtered: no answer within %s", a.Waited.Round(time.Second)).With("port", "filtered")
	case Unreachable:
		if a.Waited > answersWithin {
			return connsec.Unknown("no route to the host after %s: it seems to be off", a.Waited.Round(time.Second))
		}
		return connsec.Passed("the port is filtered: no route to the host").With("port", "filtered")
	case Alert:
		return connsec.Passed("the port answers in TLS").With("port", "tls")
	case Closed:
		if a.SpeaksTLS {
			return connsec.Passed("the port speaks TLS, and closes a connection that begins with HTTP").With("port", "tls")
		}
		return connsec.Unknown("the port is open, and closes connections without an answer: so does a proxy whose server is down, or one that serves other clients; close the port to be sure").
			With("port", "open")
	case NotTLS:
		return connsec.Skipped("something else than HTTP answers on this port")
	default:
		return connsec.Unknown("%s", a.Problem.Text)
	}
	if a.SpeaksTLS && a.Answer.asksForTLS() && len(a.Answer.Challenges) == 0 && !a.Answer.SetsCookie && !a.Answer.PasswordForm {
		return connsec.Passed("the port speaks TLS, and answers HTTP with the error %d", a.Answer.Status).With("port", "tls")
	}
	v := judgeClearAnswer(a.Answer)
	if v.Outcome != connsec.Pass || !a.Answer.redirectsToHTTPS() {
		return v
	}
	// The redirect may stand before one page only.
	switch there := a.Elsewhere; {
	case a.ElsewhereProblem != (Problem{}):
		return connsec.Unknown("a redirect to %s is all that was seen, but of one page: %s", clip(a.Answer.Redirect), a.ElsewhereProblem.Text)
	case there == nil: // facts of a time when it was not asked
		return v
	case judgeClearAnswer(there).Outcome == connsec.Fail:
		v = judgeClearAnswer(there)
		v.Detail += ", on a page other than the one that is redirected to HTTPS"
		return v
	case !there.redirectsToHTTPS():
		return connsec.Unknown("the page asked for is redirected to HTTPS, but not every page: one that does not exist is answered with %d in clear", there.Status).With("status", there.Status)
	}
	return v
}

// judgeClearAnswer judges one answer.
func judgeClearAnswer(ans *HTTPAnswer) connsec.Verdict {
	var v connsec.Verdict
	switch {
	case ans.PasswordForm:
		v = connsec.Failed("a page that asks for a password is served in clear").As(connsec.Critical)
	case slices.ContainsFunc(ans.Challenges, func(s string) bool { return strings.EqualFold(s, "Basic") }):
		v = connsec.Failed("the server asks for a password by HTTP Basic in clear").As(connsec.Critical)
	case len(ans.Challenges) > 0:
		v = connsec.Failed("the server asks for authentication (%s) in clear", strings.Join(ans.Challenges, ", "))
	case ans.SetsCookie:
		v = connsec.Failed("a cookie is set in clear")
	case ans.redirectsToHTTPS():
		return connsec.Passed("what was asked for is answered with a redirect to %s only", clip(ans.Redirect))
	case ans.Status/100 == 3 && ans.Redirect != "":
		v = connsec.Failed("a redirect that stays in clear is served, to %s", clip(ans.Redirect))
	case ans.Status/100 == 2:
		v = connsec.Failed("content is served in clear")
	case ans.demandsTLS():
		return connsec.Passed("the server demands TLS (HTTP 426)")
	default:
		v = connsec.Unknown("the server speaks HTTP in clear and answers %d here; other paths may be served", ans.Status)
	}
	return v.With("status", ans.Status)
}

// RuleCleartextRedirect: a redirect needs an open port and can be replaced by an attacker.
var RuleCleartextRedirect = &connsec.Rule{
	ID: "http-cleartext-redirect", Title: "The HTTP port is open for a redirect to HTTPS",
	Why:      "The first request still travels in clear, and whoever is on the path answers it instead; HSTS helps only clients that were here before.",
	Fix:      "Close the HTTP port if no client needs it; otherwise keep the redirect and set HSTS on the HTTPS side.",
	Severity: connsec.Low,
	Refs:     []connsec.Citation{myqHTTP, rfc("6797", "7.2")}, Since: "0.1.0",
	DependsOn: []*connsec.Rule{RuleCleartextServed},
}

func judgeCleartextRedirect(a PlainAddress) connsec.Verdict {
	switch {
	case a.Answer == nil:
		return connsec.Passed("nothing is served")
	case a.Answer.redirectsToHTTPS():
		return connsec.Failed("HTTP %d to %s", a.Answer.Status, clip(a.Answer.Redirect))
	}
	return connsec.Passed("the answer is no redirect")
}

// RuleCleartextOnTLSPort: the HTTPS port must not understand HTTP in clear.
var RuleCleartextOnTLSPort = &connsec.Rule{
	ID: "http-cleartext-on-tls-port", Title: "The HTTPS port also answers HTTP in clear",
	Why:      "A client with http:// and the HTTPS port in its settings works, in clear, and nobody notices; a firewall that looks at ports lets it pass.",
	Fix:      "Let the server answer plain HTTP on this port with an error, as nginx, Apache, IIS and Go do by default.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{myqHTTP, rfc("9110", "4.2.2")}, Since: "0.1.0",
}

func judgeCleartextOnTLSPort(a HTTPSAddress) connsec.Verdict {
	p := a.ClearProblem
	switch {
	case a.Unreachable != (Problem{}):
		return connsec.Skipped("no connection, see %s", RuleHandshakeFailed.ID)
	case p.Kind == Closed, p.Kind == Alert:
		return connsec.Passed("plain HTTP is refused: %s", p.Text)
	case p != (Problem{}):
		return connsec.Unknown("%s", p.Text)
	}
	switch s := a.Clear.Status; {
	case a.Clear.demandsTLS(), s == 497, // 497 is nginx's own
		a.Clear.asksForTLS():
		return connsec.Passed("plain HTTP is answered with the error %d", s)
	case a.Clear.redirectsToHTTPS():
		return connsec.Failed("plain HTTP is answered with a redirect to HTTPS").As(connsec.Low).With("status", s)
	case s/100 == 2 || s/100 == 3 || s == http.StatusUnauthorized || a.Clear.SetsCookie:
		return connsec.Failed("plain HTTP is served").With("status", s)
	default: // 400 is also what servers of plain HTTP say to a Host header that they do not like
		return connsec.Unknown("plain HTTP is answered with %d; other paths may be served", s).With("status", s)
	}
}

// RuleHSTSMissing: without HSTS a browser asks in clear first, every time.
var RuleHSTSMissing = &connsec.Rule{
	ID: "http-hsts-missing", Title: "The server does not tell browsers to stay on HTTPS",
	Why:      "A browser that is given the bare name asks in clear first, and whoever is on the path can answer and keep it there.",
	Fix:      "Send Strict-Transport-Security: max-age=63072000 with every HTTPS response.",
	Severity: connsec.Low,
	Refs: []connsec.Citation{rfc("6797", "7.1"), mozilla, {
		// It asks for the header in every API response, so that endpoints without pages are judged, too.
		Doc: "OWASP REST Security Cheat Sheet", Section: "Security Headers",
		URL: "https://cheatsheetseries.owasp.org/cheatsheets/REST_Security_Cheat_Sheet.html",
	}}, Since: "0.1.0",
}

// hstsApplies says why HSTS cannot be judged, if so.
func hstsApplies(a HTTPSAddress) (connsec.Verdict, bool) {
	if _, err := ParseFQDN(a.Name); err != nil {
		return connsec.Skipped("browsers apply HSTS to DNS names only"), false
	}
	if a.Unreachable != (Problem{}) {
		return connsec.Skipped("no connection, see %s", RuleHandshakeFailed.ID), false
	}
	if a.Answer == nil {
		return connsec.Unknown("browsers ignore HSTS unless the connection verifies; %s", a.AnswerProblem.Text), false
	}
	return connsec.Verdict{}, true
}

func judgeHSTSMissing(a HTTPSAddress) connsec.Verdict {
	if v, ok := hstsApplies(a); !ok {
		return v
	}
	if len(a.Answer.HSTS) == 0 {
		return connsec.Failed("the response has no Strict-Transport-Security").With("status", a.Answer.Status)
	}
	age, err := parseHSTS(a.Answer.HSTS[0]) // RFC 6797 §8.1: only the first header counts
	switch {
	case err != nil:
		return connsec.Failed("browsers ignore the header: %v", err)
	case age == 0:
		return connsec.Failed("max-age=0 tells browsers to forget HSTS")
	}
	return connsec.Passed("max-age is %s", spell(time.Duration(min(age, int64(maxHSTS/time.Second)))*time.Second))
}

// maxHSTS keeps absurd values within a time.Duration.
const maxHSTS = 100 * 365 * day

// RuleHSTSShort: Mozilla asks for two years.
var RuleHSTSShort = &connsec.Rule{
	ID: "http-hsts-short", Title: "Browsers forget to stay on HTTPS too soon",
	Why:      "A browser that comes back after that time asks in clear first again.",
	Fix:      fmt.Sprintf("Raise max-age to %d, two years.", profiles[Intermediate].hstsMinAge),
	Severity: connsec.Low,
	Refs:     []connsec.Citation{mozilla, rfc("6797", "6.1.1")}, Since: "0.1.0",
	DependsOn: []*connsec.Rule{RuleHSTSMissing},
}

func judgeHSTSShort(a HTTPSAddress) connsec.Verdict {
	age, err := parseHSTS(a.Answer.HSTS[0])
	if err != nil {
		return connsec.Unknown("%v", err)
	}
	if want := int64(profiles[Intermediate].hstsMinAge); age < want {
		return connsec.Failed("max-age is %d seconds; %d are recommended", age, want).With("max_age", age)
	}
	return connsec.Passed("max-age is %d seconds", age).With("max_age", age)
}
