package smtpsec

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/setting"
	"github.com/connsec/connsec/tlscheck"
)

// implicitChecks judge the port with TLS from the first byte, clearChecks the one that begins
// in clear.
var (
	implicitChecks = []connsec.Check[implicitAt]{
		{Rule: RuleImplicitTLSMissing, Judge: judgeImplicit},
	}
	clearChecks = []connsec.Check[clearAt]{
		{Rule: RuleStartTLSMissing, Judge: judgeStartTLSMissing},
		{Rule: RuleAuthBeforeTLS, Judge: judgeAuthBeforeTLS},
		{Rule: RuleTLSNotEnforced, Judge: judgeTLSNotEnforced},
		{Rule: RuleStartTLSInjection, Judge: judgeInjection},
		{Rule: RuleCapabilitiesDiffer, Judge: judgeCapabilities},
	}
)

// Judge applies the rules for servers, and for each port with TLS those of package tlscheck.
// It is pure.
func (o Observation) Judge() connsec.Report {
	r := connsec.Report{Target: o.Target, At: o.At, Duration: o.Duration}
	if o.Implicit != nil {
		r.Findings = append(r.Findings, o.Implicit.judge()...)
	}
	r.Findings = append(r.Findings, o.Clear.judge()...)
	if o.Policy != nil {
		r.Findings = append(r.Findings, connsec.Run(o.Policy.Subject, *o.Policy, policyChecks)...)
	}
	for i, f := range r.Findings { // recorded facts may come from anywhere
		if strings.ContainsAny(f.Detail, "\r\n") {
			r.Findings[i].Detail = setting.OneLine(f.Detail)
		}
	}
	return r
}

// clearAt is what the judges of one address look at.
type clearAt struct {
	port uint16
	mx   bool
	ClearAddress
}

func (l ClearLook) judge() []connsec.Finding {
	addresses := l.Addresses
	if len(addresses) == 0 { // facts from elsewhere: one address of which nothing is known
		addresses = []ClearAddress{{}}
	}
	seen := make([]clearAt, len(addresses))
	for i, a := range addresses {
		seen[i] = clearAt{l.Port, l.MX, a}
	}
	findings := tlscheck.JudgeAddresses(l.Subject, seen, func(a clearAt) netip.Addr { return a.Address.Addr() }, clearChecks)
	if l.TLS == nil {
		return findings
	}
	// Where there is no STARTTLS to be had, that is the one finding about the address.
	behind := *l.TLS
	behind.Addresses = slices.DeleteFunc(slices.Clone(behind.Addresses), func(t tlscheck.AddressObservation) bool {
		return slices.ContainsFunc(l.Addresses, func(a ClearAddress) bool { return a.Address == t.Address && a.withoutTLS() })
	})
	return append(findings, behind.Judge().Findings...)
}

// withoutTLS reports whether it was seen that there is no TLS at an address.
func (a ClearAddress) withoutTLS() bool {
	return a.Problem.Kind == tlscheck.Refused || a.StartTLS != nil || a.Before != nil && !a.Before.Has("STARTTLS")
}

// RuleImplicitTLSMissing: no submissions port.
var RuleImplicitTLSMissing = &connsec.Rule{
	ID: "smtp-implicit-tls-missing", Title: "The server does not offer TLS from the first byte",
	Why:      "Clients can only reach it by STARTTLS, whose dialogue in clear is open to whoever is on the path, or without TLS.",
	Fix:      "Postfix: enable the service submissions (smtpd_tls_wrappermode=yes) in master.cf. Exim: tls_on_connect_ports = 465. Exchange: it has no such port for clients; require STARTTLS there.",
	Severity: connsec.Medium,
	Refs:     []connsec.Citation{rfc("8314", "3.3, 7.3"), refGuide}, Since: "0.1.0",
}

// implicitAt is what the judge of one address looks at.
type implicitAt struct {
	port   uint16
	wanted bool
	tlscheck.AddressObservation
}

func (l ImplicitLook) judge() []connsec.Finding {
	addresses := l.TLS.Addresses
	if len(addresses) == 0 { // the name was not found again
		addresses = []tlscheck.AddressObservation{{}}
	}
	seen := make([]implicitAt, len(addresses))
	for i, a := range addresses {
		seen[i] = implicitAt{l.Port, l.Wanted, a}
	}
	findings := tlscheck.JudgeAddresses(l.Subject, seen, func(a implicitAt) netip.Addr { return a.Address.Addr() }, implicitChecks)
	// Where TLS did not come about, that is the one finding about the address.
	spoken := l.TLS
	spoken.Addresses = nil
	for _, a := range seen {
		if a.speaks() {
			spoken.Addresses = append(spoken.Addresses, a.AddressObservation)
		}
	}
	return append(findings, spoken.Judge().Findings...)
}

func (l implicitAt) speaks() bool {
	return l.Unreachable.Kind == "" && (l.Handshake != nil || l.HandshakeProblem.Kind == tlscheck.Alert)
}

func judgeImplicit(l implicitAt) connsec.Verdict {
	failed := func(format string, args ...any) connsec.Verdict {
		v := connsec.Failed(format, args...).With("port", l.port)
		if l.wanted { // the setting cannot work
			v = v.As(connsec.High)
		}
		return v
	}
	p := l.HandshakeProblem
	switch {
	case l.Unreachable.Kind == tlscheck.Refused:
		return failed("port %d refuses connections", l.port)
	case l.Unreachable.Kind != "":
		p = l.Unreachable
	case l.speaks():
		return connsec.Passed("port %d speaks TLS", l.port)
	case p.Kind == tlscheck.NotTLS:
		return failed("port %d: %s", l.port, setting.OneLine(p.Text))
	case p.Kind == tlscheck.Closed:
		return failed("port %d accepts the connection and drops the TLS handshake", l.port)
	}
	return connsec.Unknown("whether the server speaks TLS could not be seen: %s", orElse(setting.OneLine(p.Text), "no address could be looked at")).With("port", l.port)
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// notSpoken is the verdict where there was no conversation in clear.
func (l clearAt) notSpoken() (connsec.Verdict, bool) {
	switch {
	case l.Problem.Kind == tlscheck.Refused:
		return connsec.Skipped("port %d is closed", l.port), true
	case l.Problem.Kind != "":
		return connsec.Unknown("no conversation on port %d: %s", l.port, setting.OneLine(l.Problem.Text)), true
	case l.Before == nil:
		return connsec.Unknown("the server's reply to EHLO on port %d was not seen", l.port), true
	}
	return connsec.Verdict{}, false
}

// RuleStartTLSMissing: a port on which there is no TLS to be had.
var RuleStartTLSMissing = &connsec.Rule{
	ID: "smtp-starttls-missing", Title: "A port that begins in clear does not offer STARTTLS",
	Why:      "All mail that goes there, and every login, is in clear. If the server is known to offer STARTTLS, somebody on the path has taken the offer away.",
	Fix:      "Give the server a certificate and switch STARTTLS on (Postfix: smtpd_tls_security_level, smtpd_tls_chain_files), or close the port. If it is on, look for a firewall that rewrites SMTP.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{rfc("3207", "4, 6"), rfc("8314", "4"), refPostfix, refNoStartTLS}, Since: "0.1.0",
}

func judgeStartTLSMissing(l clearAt) connsec.Verdict {
	if v, ok := l.notSpoken(); ok {
		return v
	}
	switch {
	case !l.Before.Has("STARTTLS"):
		return connsec.Failed("port %d does not offer STARTTLS", l.port).With("offered", strings.Join(l.Before.Keywords, " "))
	case l.StartTLS.refuses(), l.StartTLS.is(454):
		return connsec.Failed("port %d offers STARTTLS and refuses it: %s", l.port, l.StartTLS)
	case l.StartTLS != nil:
		return connsec.Unknown("port %d offers STARTTLS, and answers it at the moment with %s", l.port, l.StartTLS)
	}
	return connsec.Passed("port %d offers STARTTLS", l.port)
}

// Mechanisms by what somebody who listens learns.
var (
	givesAway = []string{"PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"}
	harmless  = []string{"EXTERNAL", "ANONYMOUS"} // nothing that could be read or tried
)

// RuleAuthBeforeTLS: an invitation to log in without TLS.
var RuleAuthBeforeTLS = &connsec.Rule{
	ID: "smtp-auth-before-tls", Title: "The server offers logins before TLS",
	Why:      "Clients that do not insist on TLS take the offer and send the password in clear, or an answer with which passwords can be tried offline. It works, so nobody notices.",
	Fix:      "Offer AUTH within TLS only. Postfix: smtpd_tls_auth_only = yes. Exim: auth_advertise_hosts = ${if eq{$tls_in_cipher}{}{}{*}}. Exchange: on the receive connector, offer basic authentication only after starting TLS.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{rfc("4954", "4"), rfc("8314", "4.1"), refPostfix}, Since: "0.1.0",
}

func judgeAuthBeforeTLS(l clearAt) connsec.Verdict {
	if v, ok := l.notSpoken(); ok {
		return v
	}
	var open, other []string
	for _, m := range l.Before.Auth {
		switch {
		case slices.Contains(givesAway, m):
			open = append(open, m)
		case !slices.Contains(harmless, m):
			other = append(other, m)
		}
	}
	switch {
	case len(open) > 0:
		return connsec.Failed("port %d offers %s in clear", l.port, strings.Join(open, " ")).With("offered", strings.Join(l.Before.Auth, " "))
	case len(other) > 0:
		return connsec.Failed("port %d offers %s in clear, which do not show the password but let it be tried offline, or the login be relayed", l.port, strings.Join(other, " ")).
			As(connsec.Medium).With("offered", strings.Join(l.Before.Auth, " "))
	case len(l.Before.Auth) > 0:
		return connsec.Passed("port %d offers in clear only %s, which carry no password", l.port, strings.Join(l.Before.Auth, " "))
	}
	return connsec.Passed("port %d offers no login in clear", l.port)
}

// RuleTLSNotEnforced: the server does what should wait for TLS.
var RuleTLSNotEnforced = &connsec.Rule{
	ID: "smtp-tls-not-enforced", Title: "The server takes logins or mail without TLS",
	Why:      "One client with a wrong setting is enough to send a password or a document in clear, and it works. A client whose offer of STARTTLS an attacker has taken away ends here, too.",
	Fix:      "Refuse everything but EHLO, STARTTLS, NOOP and QUIT before TLS. Postfix, on the submission port: smtpd_tls_security_level = encrypt. Exim: in the MAIL and AUTH ACLs, deny unless encrypted = *. OpenSMTPD: listen … tls-require.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{rfc("3207", "4"), rfc("4954", "4"), rfc("8314", "4.1"), refPostfix}, Since: "0.1.0",
}

func judgeTLSNotEnforced(l clearAt) connsec.Verdict {
	if v, ok := l.notSpoken(); ok {
		return v
	}
	note := func(v connsec.Verdict) connsec.Verdict {
		return v.With("AUTH "+l.Mechanism, l.Auth).With("MAIL FROM", l.Mail)
	}
	secret := !slices.Contains(harmless, l.Mechanism)
	switch {
	case l.Auth.is(334, 235) && secret:
		return note(connsec.Failed("port %d asks for the credentials of a login (%s) in clear", l.port, l.Mechanism))
	case l.Mail.is(250) && !l.mx:
		return note(connsec.Failed("port %d takes MAIL FROM in clear", l.port).As(connsec.Medium))
	case l.Auth == nil || l.Mail == nil:
		return note(connsec.Unknown("port %d did not answer both AUTH and MAIL FROM in clear", l.port))
	case !l.Auth.is(500, 502, 503, 523, 530, 534, 538):
		// Other refusals, such as 501 or 535, may be about the lack of an initial response, and one
		// takes credentials to give.
		return note(connsec.Unknown("port %d answers AUTH %s in clear with %s, which does not tell", l.port, l.Mechanism, l.Auth))
	case l.mx:
		return note(connsec.Passed("port %d takes no login in clear; mail from strangers has to be taken", l.port))
	case l.Mail.is(530, 538, 523):
		return note(connsec.Passed("port %d refuses AUTH and MAIL FROM in clear", l.port))
	}
	return note(connsec.Unknown("port %d answers MAIL FROM in clear with %s, which does not tell", l.port, l.Mail))
}

// RuleStartTLSInjection: what came in clear is carried out within TLS.
var RuleStartTLSInjection = &connsec.Rule{
	ID: "smtp-starttls-injection", Title: "What is sent in clear around STARTTLS gets into the encrypted session",
	Why:      "An attacker on the path puts commands of its own before the client's: the server takes them for part of the encrypted session, and the client's login or mail goes where the attacker wants it (CVE-2011-0411).",
	Fix:      "Update the mail server, or the proxy in front of it, and report it to its maker. Until then offer TLS from the first byte only.",
	Severity: connsec.High,
	Refs: []connsec.Citation{rfc("3207", "4.2"), refNoStartTLS, {
		Doc: "CVE-2011-0411", URL: "https://www.postfix.org/CVE-2011-0411.html",
	}}, Since: "0.1.0",
}

func judgeInjection(l clearAt) connsec.Verdict {
	if v, ok := l.notSpoken(); ok {
		return v
	}
	switch {
	case !l.Before.Has("STARTTLS"), l.StartTLS != nil:
		return connsec.Skipped("port %d does not go through with STARTTLS", l.port)
	case l.Injected == InjectedInTLS:
		return connsec.Failed("a NOOP sent in clear behind STARTTLS was answered within TLS")
	case l.Injected == InjectedUnasked:
		return connsec.Failed("behind the answer to STARTTLS comes more in clear that nobody asked for: somebody on the path, or the server, hopes that the client takes it for a reply within TLS")
	case l.Injected == InjectedInClear:
		return connsec.Failed("a NOOP sent behind STARTTLS was answered in clear where TLS belongs: it did not get into the session, but broke it").As(connsec.Low)
	case l.Injected == InjectedDiscarded:
		return connsec.Passed("a NOOP sent in clear behind STARTTLS was not answered within TLS")
	case l.Injected == InjectedRefused:
		return connsec.Passed("the server refuses to begin TLS with a command behind STARTTLS")
	}
	return connsec.Unknown("what becomes of a command behind STARTTLS could not be seen: %s", orElse(setting.OneLine(l.InjectedDetail), "no answer"))
}

// RuleCapabilitiesDiffer: the offers before and within TLS do not fit together.
var RuleCapabilitiesDiffer = &connsec.Rule{
	ID: "smtp-capabilities-differ", Title: "What the server offers before and within TLS does not fit together",
	Why:      "Logins that are offered in clear and gone within TLS, or STARTTLS offered again within TLS, are what a tampering middlebox or two servers behind one address look like.",
	Fix:      "Find out who answers on this port: compare with a connection from the server's own network, and look for firewalls that inspect SMTP.",
	Severity: connsec.Low,
	Refs:     []connsec.Citation{rfc("3207", "4.2"), refNoStartTLS}, Since: "0.1.0",
}

func judgeCapabilities(l clearAt) connsec.Verdict {
	if v, ok := l.notSpoken(); ok {
		return v
	}
	switch {
	case !l.Before.Has("STARTTLS"), l.StartTLS != nil:
		return connsec.Skipped("port %d does not go through with STARTTLS", l.port)
	case l.Inside == nil:
		return connsec.Unknown("what the server offers within TLS could not be seen")
	}
	var gone []string
	for _, m := range l.Before.Auth {
		if !l.Inside.HasAuth(m) {
			gone = append(gone, m)
		}
	}
	switch {
	case len(gone) > 0:
		return connsec.Failed("offered in clear and gone within TLS: logins by %s", strings.Join(gone, " "))
	case l.Inside.Has("STARTTLS"):
		return connsec.Failed("STARTTLS is offered again within TLS")
	}
	// Other extensions may come and go: some make sense only in clear, or only within TLS.
	return connsec.Passed("every login offered in clear is there within TLS, and STARTTLS is gone").
		With("in clear", strings.Join(l.Before.Keywords, " ")).With("within TLS", strings.Join(l.Inside.Keywords, " "))
}
