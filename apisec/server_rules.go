package apisec

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/setting"
	"github.com/connsec/connsec/tlscheck"
)

// serverChecks judge what was observed. What package tlscheck saw is judged there.
var serverChecks = []connsec.Check[Observation]{
	{Rule: RuleUnknownClientAccepted, Judge: judgeStranger},
	{Rule: RuleEndpointCleartext, Judge: judgeInClear},
	{Rule: RuleURLSecretAccepted, Judge: judgeInQuery},
	{Rule: RuleSecretEchoed, Judge: judgeEcho},
	{Rule: RuleRefusalUnclear, Judge: judgeRefusal},
	{Rule: RuleSecretRefused, Judge: judgeRealSecret},
	{Rule: RuleTokenCacheable, Judge: judgeCacheable},
	{Rule: RuleTokenLongLived, Judge: judgeLife},
	{Rule: RuleScopeGranted, Judge: judgeGranted},
}

// fileChecks judge the file that holds the secret.
var fileChecks = []connsec.Check[*File]{{Rule: RuleSecretFileExposed, Judge: judgeFile}}

// Judge applies the rules about endpoint and file, and those of package tlscheck. It does no
// I/O.
func (o Observation) Judge() connsec.Report {
	r := connsec.Report{Target: o.Subject, At: o.At, Duration: o.Duration}
	if o.TLS != nil {
		r.Findings = append(r.Findings, o.TLS.Judge().Findings...)
	}
	if o.Plain != nil {
		r.Findings = append(r.Findings, o.Plain.Judge().Findings...)
	}
	subject := o.Subject
	if o.Endpoint != "" && o.Endpoint != subject {
		subject += " at " + o.Endpoint
	}
	r.Findings = append(r.Findings, connsec.Run(subject, o, serverChecks)...)
	r.Findings = append(r.Findings, connsec.Run(o.Subject, o.File, fileChecks)...)
	return r
}

// RuleUnknownClientAccepted: tokens for everybody.
var RuleUnknownClientAccepted = &connsec.Rule{
	ID: "api-unknown-client-accepted", Title: "A token is given to a client that does not exist",
	Why:      "The secret protects nothing: whoever reaches the endpoint gets a token, and with it the data.",
	Fix:      "Have the endpoint refuse clients that are not registered, and secrets that are wrong, with 401 and invalid_client. Look in the logs for who has used it.",
	Severity: connsec.Critical,
	Refs:     []connsec.Citation{rfc("6749", "3.2.1"), rfc("6749", "5.2"), refMyQToken}, Since: "0.1.0",
}

func judgeStranger(o Observation) connsec.Verdict {
	a := o.Stranger
	switch {
	case o.Problem != "":
		return connsec.Unknown("%s", o.Problem)
	case a.Problem != "":
		return connsec.Unknown("no answer over verified TLS: %s", a.Problem)
	case a.Token:
		return connsec.Failed("a client with a random name and a random secret was given a token")
	case a.refuses():
		return connsec.Passed("a client with a random name is refused").With("status", a.Status).With("error", orNone(a.Code))
	case a.Redirect != "":
		return connsec.Unknown("the endpoint answers with a redirect to %s; set the token URL to where tokens are issued", a.Redirect)
	case a.Status/100 == 5, a.Status == http.StatusTooManyRequests:
		return connsec.Unknown("the endpoint answers %d, which says nothing of the client; try again later", a.Status).With("status", a.Status)
	}
	return connsec.Unknown("a client with a random name is answered %d without a token; is this the token endpoint?", a.Status).With("status", a.Status)
}

// unasked reports whether the endpoint could not be asked at all, which is one finding and not
// one for each question.
func (o Observation) unasked() bool { return o.Problem != "" || o.Stranger.Problem != "" }

const unasked = "the endpoint could not be asked, see api-unknown-client-accepted"

// refuses reports whether an answer turns the client down, and not the request alone: one that is
// malformed, or asks for an unknown scope or grant, may be turned down before anybody looks at who
// sent it, or after it passed.
func (a Answer) refuses() bool {
	if a.Problem != "" || a.Token {
		return false
	}
	switch a.Code {
	case "invalid_client", "unauthorized_client", "invalid_grant":
		return true
	}
	return a.Status == http.StatusUnauthorized
}

// decided reports whether an answer is one to this request: a server that is busy, limits how
// often it is asked, or sends elsewhere has not looked at it.
func (a Answer) decided() bool {
	return a.Problem == "" && (a.Token || a.Status/100 == 4 && a.Status != http.StatusRequestTimeout && a.Status != http.StatusTooManyRequests)
}

func orNone(code string) string {
	if code == "" {
		return "none of the standard's"
	}
	return code
}

// RuleEndpointCleartext: the endpoint without TLS.
var RuleEndpointCleartext = &connsec.Rule{
	ID: "api-endpoint-cleartext", Title: "The token endpoint works without TLS, too",
	Why:      "One client with http:// in its settings is enough: it works, nobody notices, and its secret and tokens can be read by everyone on the path.",
	Fix:      "Close the port, or answer there with 403 or 426. A redirect comes too late: the request with the secret has been sent by then.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{rfc("6749", "3.2"), rfc("6749", "2.3.1"), refGuide}, Since: "0.1.0",
}

func judgeInClear(o Observation) connsec.Verdict {
	a := o.InClear
	switch {
	case o.Problem != "":
		return connsec.Unknown("%s", o.Problem)
	case a.Closed:
		return connsec.Passed("nobody listens on the port without TLS")
	case a.Problem == noPlainPort:
		return connsec.Skipped("%s", a.Problem)
	case a.Problem != "" && o.plainPortClosed():
		return connsec.Passed("nothing answers on the port without TLS")
	case a.Problem != "":
		return connsec.Unknown("on the port without TLS: %s", a.Problem)
	case a.Token, a.Code != "", a.refuses() && o.Stranger.Code == "":
		// A 401 alone, where the endpoint has words for it, is somebody else's.
		return connsec.Failed("without TLS a token request is answered as with it").With("status", a.Status).With("error", orNone(a.Code))
	case strings.HasPrefix(a.Redirect, "https://"):
		return connsec.Failed("a token request without TLS is redirected to https, when the secret has been sent already").As(connsec.Low).With("status", a.Status)
	case a.same(o.Stranger):
		// As over TLS, where nobody knows whether it was the client or the way that was wrong.
		return connsec.Unknown("a token request without TLS is answered %d, as it is with TLS, which does not tell", a.Status).With("status", a.Status)
	case a.turnsDown():
		return connsec.Passed("a token request without TLS is turned down").With("status", a.Status)
	}
	return connsec.Unknown("a token request without TLS is answered %d, which does not tell", a.Status).With("status", a.Status)
}

// plainPortClosed reports whether package tlscheck holds the port for closed or filtered.
func (o Observation) plainPortClosed() bool {
	if o.Plain == nil { // it could not be looked at
		return false
	}
	for _, f := range o.Plain.Judge().Of(tlscheck.RuleCleartextServed) {
		if f.Outcome != connsec.Pass {
			return false
		}
	}
	return len(o.Plain.Addresses) > 0
}

// RuleURLSecretAccepted: the endpoint reads credentials from URLs.
var RuleURLSecretAccepted = &connsec.Rule{
	ID: "api-url-secret-accepted", Title: "The endpoint takes credentials from the URL",
	Why:      "A client that puts its secret there works, and from then on the secret stands in the logs of the server and of every proxy.",
	Fix:      "Have the endpoint read credentials from the Authorization header and the body only, and refuse requests that have them in the URL.",
	Severity: connsec.Medium,
	Refs:     []connsec.Citation{rfc("6749", "2.3.1"), rfc("6819", "4.6.7")}, Since: "0.1.0",
}

func judgeInQuery(o Observation) connsec.Verdict {
	switch {
	case o.unasked():
		return connsec.Skipped(unasked)
	case o.InQuery.Problem != "":
		return connsec.Unknown("no answer to compare: %s", o.InQuery.Problem)
	case o.Nobody.Problem != "":
		return connsec.Unknown("there is nothing to compare with")
	case o.InQuery.Token && !o.Nobody.Token:
		return connsec.Failed("a client in the URL was given a token").As(connsec.Critical)
	case !o.Stranger.decided(), !o.Nobody.decided(), !o.InQuery.decided():
		return connsec.Unknown("the endpoint answers %d, %d and %d to a client, to none and to one in the URL, which does not tell", o.Stranger.Status, o.Nobody.Status, o.InQuery.Status)
	case o.Stranger.same(o.Nobody):
		// Both are refused alike, so the third answer cannot show which of them it takes it for.
		return connsec.Unknown("an unknown client and none at all are answered alike, so that it cannot be seen")
	case o.InQuery.same(o.Stranger):
		return connsec.Failed("a client in the URL is answered as one in its place, and not as none")
	case o.InQuery.same(o.Nobody):
		return connsec.Passed("a client in the URL is answered as none")
	case o.InQuery.refuses() && o.InQuery.Code != o.Nobody.Code && (o.InQuery.Code != "" || !o.Nobody.refuses()):
		// RFC 6749 §5.2: the status may differ with the place in which the client is named.
		return connsec.Failed("a client in the URL is turned down as a client that is not known, and none at all is not").With("error", orNone(o.InQuery.Code))
	}
	return connsec.Passed("a request with a client in the URL is turned down").With("status", o.InQuery.Status)
}

// RuleSecretEchoed: the secret comes back.
var RuleSecretEchoed = &connsec.Rule{
	ID: "api-secret-echoed", Title: "The endpoint repeats the secret in its answer",
	Why:      "Clients write error answers into their logs, and support asks for those logs.",
	Fix:      "Have the endpoint answer with the standard's words only: error, and a description that is the same for all.",
	Severity: connsec.Medium,
	Refs:     []connsec.Citation{rfc("6749", "5.2"), owaspREST("Error handling"), {Doc: "CWE-209", URL: "https://cwe.mitre.org/data/definitions/209.html"}}, Since: "0.1.0",
}

func judgeEcho(o Observation) connsec.Verdict {
	switch {
	case o.unasked():
		return connsec.Skipped(unasked)
	case o.Stranger.Echoes, o.Token != nil && o.Token.Echoes:
		return connsec.Failed("the secret that was sent stands in the answer")
	case o.Stranger.Unread != "":
		return connsec.Unknown("%s, and was not read", o.Stranger.Unread)
	case o.Token != nil && o.Token.Unread != "":
		return connsec.Unknown("%s, and was not read", o.Token.Unread)
	case !o.Stranger.decided() && (o.Token == nil || !o.Token.decided()):
		return connsec.Unknown("the endpoint answers %d, which is not its answer to a client", o.Stranger.Status).With("status", o.Stranger.Status)
	}
	return connsec.Passed("the secret that was sent is not in the answer")
}

// RuleRefusalUnclear: a refusal that clients cannot tell from an outage.
var RuleRefusalUnclear = &connsec.Rule{
	ID: "api-refusal-unclear", Title: "A refused client is not told in the standard's words",
	Why:      "Programs cannot tell a wrong or revoked secret from an outage: they try again for ever, and nobody can check that an old secret has stopped working.",
	Fix:      "Answer 401, with WWW-Authenticate and JSON: {\"error\": \"invalid_client\"}.",
	Severity: connsec.Low,
	Refs:     []connsec.Citation{rfc("6749", "5.2"), rfc("9110", "15.5.2")}, Since: "0.1.0",
	DependsOn: []*connsec.Rule{RuleUnknownClientAccepted},
}

func judgeRefusal(o Observation) connsec.Verdict {
	a := o.Stranger
	switch {
	case a.Code != "invalid_client" && a.Status != http.StatusUnauthorized:
		return connsec.Failed("an unknown client is answered %d with the error %s", a.Status, orNone(a.Code))
	case a.Code != "invalid_client":
		return connsec.Failed("an unknown client is answered 401 with the error %s", orNone(a.Code)).As(connsec.Info)
	case a.Status == http.StatusUnauthorized && len(a.Challenges) == 0 && o.Style == Basic:
		return connsec.Failed("401 to a client in the Authorization header comes without WWW-Authenticate").As(connsec.Info)
	}
	return connsec.Passed("an unknown client is answered %d and invalid_client", a.Status)
}

const notTried = "no token was asked for with the real secret (see TryToken)"

// RuleSecretRefused: the setting does not work.
var RuleSecretRefused = &connsec.Rule{
	ID: "api-secret-refused", Title: "The endpoint does not take the client's secret",
	Why:      "The connection does not work. Whoever has to get it going tries what is less secure next.",
	Fix:      "Compare identifier, secret and style with what the server has registered; look at whether the secret was changed or has expired.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{rfc("6749", "5.2"), refMyQToken}, Since: "0.1.0",
}

func judgeRealSecret(o Observation) connsec.Verdict {
	t := o.Token
	switch {
	case t == nil:
		return connsec.Skipped(notTried)
	case t.Problem != "":
		return connsec.Unknown("%s", t.Problem)
	case t.Token:
		return connsec.Passed("a token was issued")
	case t.Code == "invalid_client", t.Code == "" && t.Status == http.StatusUnauthorized:
		return connsec.Failed("the client is refused").With("status", t.Status).With("error", orNone(t.Code))
	case t.Code != "":
		return connsec.Failed("the request is refused: %s", t.Code).With("status", t.Status)
	case t.Wrong != "":
		return connsec.Unknown("the answer is no token: %s", t.Wrong)
	}
	return connsec.Unknown("the endpoint answers %d, which does not tell", t.Status)
}

// RuleTokenCacheable: answers that may be kept.
var RuleTokenCacheable = &connsec.Rule{
	ID: "api-token-cacheable", Title: "Token answers do not forbid to be stored",
	Why:      "Proxies that break TLS open, and libraries with a cache, keep the token on a disk.",
	Fix:      "Send Cache-Control: no-store with every answer of the token endpoint.",
	Severity: connsec.Low,
	Refs:     []connsec.Citation{rfc("6749", "5.1"), rfc("9111", "5.2.2.5"), owaspREST("Security Headers")}, Since: "0.1.0",
}

func judgeCacheable(o Observation) connsec.Verdict {
	switch {
	case o.Token != nil && o.Token.Token && o.Token.NoStore, o.Stranger.Token && o.Stranger.NoStore:
		return connsec.Passed("a token came with Cache-Control: no-store")
	case o.Token != nil && o.Token.Token, o.Stranger.Token:
		return connsec.Failed("a token came without Cache-Control: no-store")
	case o.unasked():
		return connsec.Skipped(unasked)
	case !o.Stranger.decided():
		return connsec.Unknown("the endpoint answers %d, which is not its answer to a client", o.Stranger.Status).With("status", o.Stranger.Status)
	case o.Stranger.NoStore:
		return connsec.Passed("a refusal came with Cache-Control: no-store")
	}
	return connsec.Unknown("a refusal came without Cache-Control: no-store, and no token was seen")
}

// RuleTokenLongLived: a stolen token works for long.
var RuleTokenLongLived = &connsec.Rule{
	ID: "api-token-long-lived", Title: "Tokens live longer than an hour",
	Why:      "A token is a password that cannot be changed: whoever finds it in a log or a memory dump can use it until it ends.",
	Fix:      "Have tokens end after an hour or less (MyQ: 30 minutes); clients renew them by themselves.",
	Severity: connsec.Low,
	Refs:     []connsec.Citation{rfc("6750", "5.3")}, Since: "0.1.0",
}

func judgeLife(o Observation) connsec.Verdict {
	t := o.Token
	switch {
	case t == nil || !t.Token:
		return connsec.Skipped(notTried)
	case t.Life == 0:
		return connsec.Unknown("the answer has no expires_in")
	case t.Life > time.Hour:
		return connsec.Failed("tokens live for %s", t.Life)
	}
	return connsec.Passed("tokens live for %s", t.Life)
}

// RuleScopeGranted: the server gives more than was asked for, or than is needed.
var RuleScopeGranted = &connsec.Rule{
	ID: "api-scope-granted", Title: "The endpoint grants more than the client's work takes",
	Why:      "What a client asks for binds nobody who has stolen its secret: what the server would grant is what can be had.",
	Fix:      "Take the scopes that are not needed from the client's registration at the server.",
	Severity: connsec.Medium,
	Refs:     []connsec.Citation{rfc("6749", "3.3"), rfc("9700", "2.3")}, Since: "0.1.0",
}

func judgeGranted(o Observation) connsec.Verdict {
	t := o.Token
	allowed := o.Needed
	if allowed == nil {
		allowed = o.Scopes
	}
	switch {
	case t == nil || !t.Token:
		return connsec.Skipped(notTried)
	case !t.Assigned && len(o.Scopes) > 0:
		// RFC 6749 §5.1: without scope in the answer, what was asked for is granted.
		t = &TokenAnswer{Granted: o.Scopes}
	case !t.Assigned:
		return connsec.Unknown("the answer does not say which scopes are granted")
	}
	if len(allowed) == 0 {
		return connsec.Unknown("which scopes the client's work takes is not said; list them as needed").With("granted", strings.Join(t.Granted, " "))
	}
	var extra []string
	for _, s := range t.Granted {
		if !slices.Contains(allowed, s) {
			extra = append(extra, setting.OneLine(s))
		}
	}
	if len(extra) > 0 {
		return connsec.Failed("granted and not needed: %s", someOf(extra))
	}
	return connsec.Passed("no scope is granted that is not needed")
}

// RuleSecretFileExposed: others can read the file.
var RuleSecretFileExposed = &connsec.Rule{
	ID: "api-secret-file-exposed", Title: "Others than its owner may read the file with the secret",
	Why:      "Every account on the machine, and every program that is broken into, can read the secret and be the client from anywhere.",
	Fix:      "Leave rights to the service's own account only: chmod 600, or on Windows icacls FILE /inheritance:r /grant:r \"NT SERVICE\\NAME:R\" \"BUILTIN\\Administrators:F\". Then change the secret.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{rfc("6819", "5.3.3"), {Doc: "CWE-732", URL: "https://cwe.mitre.org/data/definitions/732.html"}}, Since: "0.1.0",
}

func judgeFile(f *File) connsec.Verdict {
	switch {
	case f == nil:
		return connsec.Skipped("no file is named that holds the secret")
	case f.Missing:
		return connsec.Unknown("the file is not there: %s", setting.OneLine(f.Path))
	case !f.Exposure.Known:
		return connsec.Unknown("who may read %s could not be found out", setting.OneLine(f.Path))
	case len(f.Exposure.To) == 0:
		return connsec.Passed("only its owner may read it").With("file", setting.OneLine(f.Path)).With("mode", f.Exposure.Mode)
	}
	v := connsec.Failed("%s may be read by %s", setting.OneLine(f.Path), strings.Join(f.Exposure.To, " and ")).With("mode", f.Exposure.Mode)
	if !f.Exposure.Wide {
		v = v.As(connsec.Medium) // a group that somebody chose
	}
	return v
}
