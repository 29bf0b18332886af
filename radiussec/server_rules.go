package radiussec

import (
	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/setting"
	"github.com/connsec/connsec/tlscheck"
)

// udpChecks judge the answers from one address over UDP; over TLS tlsChecks judge the endpoint and
// inTLSChecks the answers.
var (
	udpChecks = []connsec.Check[AddressObserved]{
		{Rule: RuleSecretWrong, Judge: judgeSecretWrong},
		{Rule: RuleMissingInReply, Judge: judgeMissingInReply},
		{Rule: RuleNotFirst, Judge: judgeNotFirst},
		{Rule: RuleNotRequired, Judge: judgeNotRequired},
		{Rule: RuleProxyState, Judge: judgeProxyState},
	}
	tlsChecks = []connsec.Check[endpointAt]{
		{Rule: RuleTLSClientUnasked, Judge: judgeClientUnasked},
	}
	inTLSChecks = []connsec.Check[AddressObserved]{
		{Rule: RuleTLSSilent, Judge: judgeTLSSilent},
		{Rule: RuleTLSALPN, Judge: judgeALPN},
	}
)

// RuleSecretWrong: no answer that the secret makes credible.
var RuleSecretWrong = &connsec.Rule{
	ID: "radius-secret-wrong-or-silent", Title: "The server does not answer with this secret",
	Why:      "Logins do not work; or the answers that come are not the server's.",
	Fix:      "Compare the secret and this machine's address with the client entry on the server, and look into its log for \"unknown client\" and \"invalid Message-Authenticator\". If the secret is right, find out who else answers.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{rfc("2865", "3"), rfc("5997", "4.2")}, Since: "0.1.0",
}

func judgeSecretWrong(s AddressObserved) connsec.Verdict {
	switch {
	case s.Signed.answered():
		return connsec.Passed("the answers are made with this secret")
	case s.Status.answered():
		return connsec.Unknown("it answers Status-Server with this secret, but no login")
	}
	for _, a := range []*Answer{s.Signed, s.Status} {
		if a != nil && a.Forged {
			return connsec.Failed("answers come that are not made with this secret: %s", a.Why)
		}
	}
	switch {
	case s.Problem != "":
		return connsec.Unknown("%s", s.Problem)
	case s.Signed == nil:
		return connsec.Unknown("it was not asked")
	case s.Signed.Refused:
		return connsec.Unknown("the host reports that nothing listens on the port")
	case s.Signed.Problem != "":
		return connsec.Unknown("%s", s.Signed.Problem)
	case s.Signed.Why != "":
		return connsec.Unknown("its answers cannot be used: %s", s.Signed.Why)
	}
	return connsec.Unknown("it is silent: the secret is wrong, this client is unknown to it, or packets are lost")
}

// RuleMissingInReply: unsigned answers.
var RuleMissingInReply = &connsec.Rule{
	ID: "radius-message-authenticator-missing-in-reply", Title: "The server's answers have no Message-Authenticator",
	Why:      "Clients that want to be safe from Blast-RADIUS have to refuse such answers; those that do not can be shown a forged accept.",
	Fix:      "Update the server: FreeRADIUS 3.2.5 or later, Windows Server with the updates of July 2024, radsecproxy 1.11 or later.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{refBlast, deprecating("Server Responses to Access-Request"), refNPS}, Since: "0.1.0",
	DependsOn: []*connsec.Rule{RuleSecretWrong},
}

func judgeMissingInReply(s AddressObserved) connsec.Verdict {
	if s.Signed.MessageAuthenticator == Absent {
		return connsec.Failed("the answer to a signed Access-Request has none")
	}
	return connsec.Passed("the answer to a signed Access-Request has one, and it is right")
}

// RuleNotFirst: the Message-Authenticator comes too late.
var RuleNotFirst = &connsec.Rule{
	ID: "radius-message-authenticator-not-first", Title: "The Message-Authenticator is not the first attribute of answers",
	Why:      "At the beginning it breaks the MD5 collision that Blast-RADIUS needs, also for clients that do not check it. Further back, only checking helps.",
	Fix:      "Update the server; the position is not configurable.",
	Severity: connsec.Low,
	Refs:     []connsec.Citation{deprecating("Server Responses to Access-Request"), refBlast}, Since: "0.1.0",
	DependsOn: []*connsec.Rule{RuleMissingInReply},
}

func judgeNotFirst(s AddressObserved) connsec.Verdict {
	if s.Signed.MessageAuthenticator == First {
		return connsec.Passed("it is the first")
	}
	return connsec.Failed("it stands behind other attributes")
}

// missingMA is the Error-Cause "Missing Message-Authenticator" (draft-ietf-radext-deprecating-radius).
const missingMA = 510

// hidden is what the order of questions hides: after our signed request, a server in mode auto
// behaves as a strict one does. Servers that do not sign their answers have no such mode.
func (s AddressObserved) hidden() bool { return s.Signed.MessageAuthenticator != Absent }

const hiddenDetail = "the server drops requests without it from this client now; FreeRADIUS in mode auto does so, too, but only since the signed request that came first. Its clients.conf tells: look for require_message_authenticator = yes, or let connsec radius --clients do so"

// RuleNotRequired: unsigned requests are answered.
var RuleNotRequired = &connsec.Rule{
	ID: "radius-message-authenticator-not-required", Title: "The server answers requests without Message-Authenticator",
	Why:      "An attacker on the path strips or replaces attributes of a request and finds a collision that turns the reject into an accept (Blast-RADIUS).",
	Fix:      "FreeRADIUS: require_message_authenticator = yes for every client that can sign. NPS: netsh nps set requiremsgauth all = \"enable\".",
	Severity: connsec.High,
	Refs:     []connsec.Citation{refBlast, deprecating("Servers and Access-Request"), refNPS, refClientsConf}, Since: "0.1.0",
	DependsOn: []*connsec.Rule{RuleSecretWrong},
}

func judgeNotRequired(s AddressObserved) connsec.Verdict {
	u := s.Unsigned
	switch {
	case u == nil:
		return connsec.Unknown("it was not asked")
	case u.answered() && u.ErrorCause == missingMA:
		return connsec.Passed("the server says that the Message-Authenticator is missing")
	case u.answered() && s.Proxied.silent() && s.After.answered():
		return connsec.Failed("a request without it is answered, but not with Proxy-State").As(connsec.Medium)
	case u.answered():
		return connsec.Failed("a request without it is answered")
	case !u.silent():
		return connsec.Unknown("the request without it went wrong: %s", u.trouble())
	case !s.After.answered():
		return connsec.Unknown("the server stopped answering signed requests, too")
	case s.hidden():
		return connsec.Unknown(hiddenDetail)
	}
	return connsec.Passed("requests without it get no answer, while signed ones do")
}

// RuleProxyState: unsigned requests with Proxy-State are answered.
var RuleProxyState = &connsec.Rule{
	ID: "radius-proxy-state-unlimited", Title: "The server answers requests that have a Proxy-State and no Message-Authenticator",
	Why:      "Proxy-State is what carries the collision blocks of Blast-RADIUS into the answer. A server that drops such requests from clients that are no proxies is safe from the published attack.",
	Fix:      "FreeRADIUS: limit_proxy_state = yes for clients that are no proxies. NPS: netsh nps set limitproxystate all = \"enable\". Better: require the Message-Authenticator.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{refBlast, deprecating("Updated Servers and Legacy Clients"), refNPS, refClientsConf}, Since: "0.1.0",
	DependsOn: []*connsec.Rule{RuleSecretWrong},
}

func judgeProxyState(s AddressObserved) connsec.Verdict {
	p := s.Proxied
	switch {
	case p == nil:
		return connsec.Unknown("it was not asked")
	case p.answered() && p.ErrorCause == missingMA:
		return connsec.Passed("the server says that the Message-Authenticator is missing")
	case p.answered():
		return connsec.Failed("such a request is answered")
	case !p.silent():
		return connsec.Unknown("the request went wrong: %s", p.trouble())
	case !s.After.answered():
		return connsec.Unknown("the server stopped answering signed requests, too")
	case s.Unsigned.answered():
		return connsec.Passed("such requests get no answer, while others without Message-Authenticator do")
	case s.hidden():
		return connsec.Unknown(hiddenDetail)
	}
	return connsec.Passed("such requests get no answer, while signed ones do")
}

func (a *Answer) trouble() string {
	switch {
	case a.Problem != "":
		return a.Problem
	case a.Why != "":
		return a.Why
	case a.Refused:
		return "the host reports that nothing listens on the port"
	}
	return "it was not sent often enough"
}

// RuleTLSClientUnasked: everybody may ask.
var RuleTLSClientUnasked = &connsec.Rule{
	ID: "radius-tls-client-certificate-not-required", Title: "The server does not ask for a client certificate",
	Why:      "Everyone who reaches the port can try passwords against it, without knowing a secret.",
	Fix:      "Demand certificates of an authority of your own. FreeRADIUS: require_client_cert = yes with ca_file in the tls section.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{rfc("6614", "2.3"), radsecBis("4.2")}, Since: "0.1.0",
}

// endpointAt is what was seen of TLS at one address.
type endpointAt struct {
	tlscheck.AddressObservation
	problem string // why nothing was
}

func judgeClientUnasked(e endpointAt) connsec.Verdict {
	switch {
	case e.Handshake == nil:
		return connsec.Unknown("%s", orElse(e.problem, orElse(setting.OneLine(e.Unreachable.Text), "no handshake got so far")))
	case !e.Handshake.WantsClient:
		return connsec.Failed("no certificate is asked for")
	}
	return connsec.Passed("a certificate is asked for")
}

// RuleTLSSilent: TLS works, RADIUS does not.
var RuleTLSSilent = &connsec.Rule{
	ID: "radius-tls-silent", Title: "The server does not speak RADIUS inside a verified TLS connection",
	Why:      "Logins do not work this way. What then gets tried instead is usually UDP.",
	Fix:      "Check this client's certificate (authority, extended key usage clientAuth) against what the server demands, and that the port is the one for RADIUS over TLS. FreeRADIUS: status_server = yes.",
	Severity: connsec.Medium,
	Refs:     []connsec.Citation{radsecBis("3.3"), rfc("5997", "2")}, Since: "0.1.0",
}

func judgeTLSSilent(s AddressObserved) connsec.Verdict {
	switch {
	case s.InTLS.answered():
		return connsec.Passed("Status-Server is answered inside TLS")
	case s.InTLS == nil:
		return connsec.Unknown("%s", orElse(s.Problem, "it was not asked"))
	case s.InTLS.Forged || s.InTLS.Code == 0 && s.InTLS.Why != "":
		return connsec.Failed("the answer inside TLS is no good: %s", s.InTLS.Why)
	}
	return connsec.Unknown("no answer: %s", orElse(s.InTLS.Problem, "it is silent"))
}

// RuleTLSALPN: which RADIUS is it.
var RuleTLSALPN = &connsec.Rule{
	ID: "radius-tls-alpn", Title: "The server does not say which version of RADIUS it speaks",
	Why:      "Without the choice of a protocol (ALPN) the packets still depend on MD5, which systems without it (FIPS) refuse, and a TLS service of another kind on the port is noticed late.",
	Fix:      "Use a server that negotiates radius/1.0 or radius/1.1.",
	Severity: connsec.Info,
	Refs:     []connsec.Citation{rfc("9765", "3")}, Since: "0.1.0",
}

func judgeALPN(s AddressObserved) connsec.Verdict {
	switch {
	case s.ALPN == alpn10 || s.ALPN == alpn11:
		return connsec.Passed("it chooses %s", s.ALPN)
	case s.ALPN != "":
		return connsec.Failed("it chooses %q", setting.OneLine(s.ALPN))
	case s.InTLS.answered():
		return connsec.Failed("it chooses no protocol, as servers before RFC 9765 do")
	}
	return connsec.Unknown("there was no connection to tell")
}

func orElse(s, instead string) string {
	if s != "" {
		return s
	}
	return instead
}
