package ldapsec

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/ldapwire"
	"github.com/connsec/connsec/internal/setting"
	"github.com/connsec/connsec/tlscheck"
)

// discoveryChecks judge what DNS said, tlsChecks one way to TLS, serverChecks one server.
var (
	discoveryChecks = []connsec.Check[Discovery]{
		{Rule: RuleAutoDiscovery, Judge: judgeDiscovery},
	}
	tlsChecks = []connsec.Check[TLSLook]{
		{Rule: RuleTLSUnavailable, Judge: judgeTLSUnavailable},
	}
	serverChecks = []connsec.Check[Server]{
		{Rule: RuleCleartextBindAccepted, Judge: judgeCleartextBind},
		{Rule: RuleSigningNotRequired, Judge: judgeSigning},
		{Rule: RuleChannelBinding, Judge: judgeChannelBinding},
		{Rule: RuleStartTLSOffered, Judge: judgeStartTLSOffered},
		{Rule: RuleStartTLSStripped, Judge: judgeStartTLSStripped},
		{Rule: RuleStartTLSInjection, Judge: judgeStartTLSInjection},
		{Rule: RuleAnonymousSearch, Judge: judgeAnonymousSearch},
		{Rule: RuleNullBaseSearch, Judge: judgeNullBase},
		{Rule: RuleRootDSELeak, Judge: judgeRootDSE},
	}
)

// Judge applies the rules for servers, and for each port with TLS those of package tlscheck.
// It is pure: what it needs to know about the setting was observed with the server.
func (o Observation) Judge() connsec.Report {
	r := connsec.Report{Target: o.Target, At: o.At, Duration: o.Duration}
	if o.Discovery != nil {
		r.Findings = presentable(connsec.Run(setting.OneLine(hostOf(o.Discovery.Domain)), *o.Discovery, discoveryChecks))
		for _, name := range o.Discovery.Found {
			r.Findings = append(r.Findings, connsec.Run(setting.OneLine(name), name, nameChecks)...)
		}
	}
	for i := 0; i < len(o.Servers); {
		same := i + 1
		for same < len(o.Servers) && o.Servers[same].Name == o.Servers[i].Name && o.Servers[same].Address != o.Servers[i].Address {
			same++
		}
		for _, s := range o.Servers[i:same] {
			for _, t := range s.TLS {
				found := connsec.Run(subject(s.Name, t.Port, t.Way), t, tlsChecks)
				r.Findings = append(r.Findings, found...)
				if found[0].Outcome == connsec.Pass { // otherwise it is the one finding about this port
					r.Findings = append(r.Findings, t.Observation.Judge().Findings...)
				}
			}
		}
		r.Findings = append(r.Findings, presentable(tlscheck.JudgeAddresses(setting.OneLine(o.Servers[i].Name), o.Servers[i:same], Server.address, serverChecks))...)
		i = same
	}
	return r
}

// presentable makes sure of details in one line. Observe takes care of that itself, but facts
// may come from a file.
func presentable(findings []connsec.Finding) []connsec.Finding {
	for i, f := range findings {
		if strings.ContainsFunc(f.Detail, unicode.IsControl) {
			findings[i].Detail = setting.OneLine(f.Detail)
		}
	}
	return findings
}

func judgeDiscovery(d Discovery) connsec.Verdict {
	switch {
	case d.Problem != "":
		return connsec.Unknown("DNS gives no answer for the controllers of %s: %s", setting.OneLine(hostOf(d.Domain)), d.Problem)
	case d.None || len(d.Found) == 0:
		return connsec.Failed("DNS knows no controllers of %s (no SRV record _ldap._tcp.dc._msdcs)", setting.OneLine(hostOf(d.Domain)))
	}
	domain, err := tlscheck.ParseFQDN(d.Domain)
	if err != nil {
		return connsec.Unknown("the domain is not a valid name")
	}
	var outside []string
	for _, name := range d.Found {
		host, err := tlscheck.ParseFQDN(name)
		if err != nil || !strings.HasSuffix(host.String(), "."+domain.String()) {
			outside = append(outside, setting.OneLine(name))
		}
	}
	v := connsec.Passed("all %d controllers that DNS names are hosts of the domain", len(d.Found))
	if len(outside) > 0 {
		v = connsec.Failed("DNS names controllers outside of the domain: %s", strings.Join(outside[:min(len(outside), 3)], ", "))
	}
	if d.LeftOut > 0 {
		v = v.With("controllers not looked at", d.LeftOut)
	}
	return v.With("controllers", len(d.Found))
}

// RuleTLSUnavailable: a port for LDAPS that does not speak TLS.
var RuleTLSUnavailable = &connsec.Rule{
	ID: "ldap-tls-unavailable", Title: "The server does not offer LDAP over SSL",
	Why:      "Clients can only reach it in clear or by START TLS. On a domain controller, a port that accepts connections and drops every handshake means that it has no certificate.",
	Fix:      "Give the server a certificate: for a domain controller one with serverAuth and its FQDN, in the computer's personal store (enrol it from an enterprise CA, or import it); for others, configure the ldaps listener.",
	Severity: connsec.High,
	Refs: []connsec.Citation{refGuide, {
		Doc: "Windows Server documentation", Section: "Enable LDAP over SSL with a third-party certification authority",
		URL: "https://learn.microsoft.com/troubleshoot/windows-server/active-directory/enable-ldap-over-ssl-3rd-certification-authority",
	}}, Since: "0.1.0",
}

func judgeTLSUnavailable(t TLSLook) connsec.Verdict {
	var fail, unsure string
	spoken := 0
	for _, a := range t.Observation.Addresses {
		where := a.Address.String()
		switch p := a.HandshakeProblem; {
		case a.Unreachable.Kind == tlscheck.Refused:
			fail = where + " refuses connections"
		case a.Unreachable.Kind != "" && t.Way == wayStartTLS && a.Unreachable.Kind == tlscheck.Other:
			fail = where + ": " + a.Unreachable.Text
		case a.Unreachable.Kind != "":
			unsure = where + ": " + a.Unreachable.Text
		case a.Handshake != nil, p.Kind == tlscheck.Alert, len(a.LegacyVersions.Accepted)+len(a.WeakSuites.Accepted) > 0:
			// Windows drops what it has no suite for, without an alert.
			spoken++
		case p.Kind == tlscheck.Closed:
			fail = where + " accepts the connection and drops the TLS handshake: it has no certificate to show"
		case p.Kind == tlscheck.NotTLS:
			fail = where + ": " + p.Text
		default:
			unsure = where + ": " + p.Text
		}
	}
	switch {
	case fail != "":
		return connsec.Failed("%s", setting.OneLine(fail)).With("port", t.Port)
	case unsure != "" || spoken == 0:
		return connsec.Unknown("whether the server speaks TLS could not be seen: %s", cmp.Or(setting.OneLine(unsure), "no address was looked at")).With("port", t.Port)
	}
	return connsec.Passed("port %d speaks TLS", t.Port)
}

// RuleCleartextBindAccepted: the server takes passwords in clear.
var RuleCleartextBindAccepted = &connsec.Rule{
	ID: "ldap-cleartext-bind-accepted", Title: "The server processes simple binds without TLS",
	Why:      "One client with a wrong setting is enough to send a password in clear, and it works, so nobody notices. An attacker who answers on port 389 in the server's place collects them.",
	Fix:      "Active Directory: require signing (LDAPServerIntegrity = 2 by the policy \"LDAP server signing requirements\"). Samba: ldap server require strong auth = yes. OpenLDAP: security simple_bind=128. 389 Directory Server: nsslapd-require-secure-binds: on. Or close port 389.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{rfc("4513", "6.3.3"), refSigning, refSlapd, refSamba}, Since: "0.1.0",
}

func judgeCleartextBind(s Server) connsec.Verdict {
	if v, ok := plainClosed(s); ok {
		return v
	}
	if s.Kind.controller() {
		// The setting that requires signing governs simple binds in clear as well.
		switch n := s.NullSession; {
		case n.is(ldapwire.ResultStrongerAuthRequired):
			return connsec.Passed("the server refuses binds in clear that are not signed, which simple binds never are").With("null session", n)
		case n.is(ldapwire.ResultSuccess):
			return connsec.Failed("the server accepts an unsigned bind in clear, so the requirement that also governs simple binds is off").With("null session", n)
		}
	}
	a := s.CleartextBind
	switch {
	case a == nil:
		return connsec.Unknown("no bind in clear could be tried")
	case a.Problem != "":
		return connsec.Unknown("the bind in clear had no result: %s", a.Problem)
	case a.is(ldapwire.ResultStrongerAuthRequired, ldapwire.ResultConfidentialityRequired):
		return connsec.Passed("the server refuses a simple bind in clear before it looks at the credentials").With("answer", a)
	case a.is(ldapwire.ResultSuccess):
		return connsec.Failed("the server accepted a bind of a name that does not exist, in clear").With("answer", a)
	case a.is(ldapwire.ResultInvalidCredentials) && s.Kind == OpenLDAP && s.RootDSE.base() == "":
		// The made-up name is below a naming context where one is known.
		return connsec.Unknown("the server refuses the made-up credentials, but does not tell its naming contexts, and it looks for TLS only at names below them").With("answer", a)
	case a.is(ldapwire.ResultInvalidCredentials) && (s.Kind == OpenLDAP || s.Kind == DirectoryServer):
		// slapd checks its "security" restrictions, ns-slapd nsslapd-require-secure-binds,
		// before the credentials: whoever gets to hear 49 was past them.
		return connsec.Failed("the server compared the credentials of a simple bind that came in clear").With("answer", a)
	case a.is(ldapwire.ResultInvalidCredentials):
		return connsec.Unknown("the server refuses the made-up credentials, which says nothing about good ones: it may look at them before it looks for TLS").With("answer", a)
	}
	return connsec.Unknown("the answer to a bind in clear decides nothing: %s", a)
}

// plainClosed is the verdict of rules that ask what happens in clear, where nothing can.
func plainClosed(s Server) (connsec.Verdict, bool) {
	switch p := s.Plain.Problem; {
	case s.Problem != "":
		return connsec.Unknown("the server could not be looked at: %s", s.Problem), true
	case p.Kind == "":
		return connsec.Verdict{}, false
	case p.Kind == tlscheck.Refused:
		return connsec.Passed("port %d refuses connections, so nothing is sent in clear", s.Plain.Number), true
	default:
		return connsec.Unknown("port %d could not be looked at: %s", s.Plain.Number, p.Text), true
	}
}

// RuleSigningNotRequired: unsigned binds can be relayed.
var RuleSigningNotRequired = &connsec.Rule{
	ID: "ldap-signing-not-required", Title: "The domain controller does not require LDAP signing",
	Why:      "An attacker to whom any machine or user of the domain can be made to authenticate passes that on to the controller and acts there in their name, without knowing a password.",
	Fix:      "Set the policy \"Domain controller: LDAP server signing requirements\" to \"Require signing\" (Windows Server 2025: \"… enforcement\" to enabled), after events 2887 and 2889 have shown who still binds unsigned. Samba: ldap server require strong auth = yes.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{refSigning, refAdvisory, refSamba}, Since: "0.1.0",
}

func judgeSigning(s Server) connsec.Verdict {
	if s.Kind != UnknownKind && !s.Kind.controller() {
		return connsec.Skipped("signing is a matter of domain controllers; this is %s", s.Kind)
	}
	if v, ok := plainClosed(s); ok {
		return v
	}
	if s.Kind == UnknownKind {
		return connsec.Unknown("the server does not say whether it is a domain controller")
	}
	n := s.NullSession
	switch {
	case n == nil:
		return connsec.Unknown("no null session could be tried")
	case n.is(ldapwire.ResultStrongerAuthRequired):
		return connsec.Passed("an unsigned bind in clear is refused").With("null session", n)
	case n.is(ldapwire.ResultSuccess):
		return connsec.Failed("an unsigned bind in clear is accepted").With("null session", n)
	}
	return connsec.Unknown("the null session was refused for another reason, as with NTLM switched off: %s", n)
}

// RuleChannelBinding: NTLM inside TLS can be relayed too.
var RuleChannelBinding = &connsec.Rule{
	ID: "ldap-channel-binding", Title: "The domain controller does not always require channel binding",
	Why:      "Signing cannot be required inside TLS. Without channel binding, an attacker opens the TLS connection to the controller himself and relays somebody else's authentication into it.",
	Fix:      "Set the policy \"Domain controller: LDAP server channel binding token requirements\" to \"Always\" (LdapEnforceChannelBinding = 2), after events 3039 and 3074 have shown no clients without. Samba from 4.21: ldap server require strong auth = yes.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{refAdvisory, rfc("5929", "4"), refSamba}, Since: "0.1.0",
}

func judgeChannelBinding(s Server) connsec.Verdict {
	switch {
	case s.Problem != "":
		return connsec.Unknown("the server could not be looked at: %s", s.Problem)
	case s.Kind == UnknownKind && s.Unverified != "":
		return connsec.Unknown("there is no verified TLS connection to ask on: %s", s.Unverified)
	case s.Kind == UnknownKind:
		return connsec.Unknown("the server does not say whether it is a domain controller")
	case !s.Kind.controller():
		return connsec.Skipped("channel binding of NTLM is a matter of domain controllers; this is %s", s.Kind)
	case s.Unverified != "":
		return connsec.Unknown("there is no verified TLS connection to ask on: %s", s.Unverified)
	}
	n := s.NoBinding
	switch {
	case n == nil:
		return connsec.Unknown("no bind inside TLS could be tried")
	case n.badBindings():
		return connsec.Passed("a bind without channel binding is refused").With("policy", "always").With("without", n)
	case s.NullInTLS.is(ldapwire.ResultStrongerAuthRequired):
		return connsec.Passed("the server refuses NTLM inside TLS altogether, so there is nothing to relay there").With("null session in TLS", s.NullInTLS)
	case n.is(ldapwire.ResultSuccess):
		return connsec.Failed("the server accepted a bind of a user that does not exist, without channel binding").With("without", n)
	case !n.comparedCredentials():
		return connsec.Unknown("the bind without channel binding was refused for another reason, as with NTLM switched off: %s", n)
	}
	w := s.WrongBinding
	switch {
	case w.badBindings():
		return connsec.Failed("a wrong channel binding is refused, but a bind without any is not").As(connsec.Medium).
			With("policy", "when supported").With("without", n).With("wrong", w)
	case w.comparedCredentials():
		return connsec.Failed("channel binding is not looked at: a wrong one is as good as none").With("policy", "never").With("without", n).With("wrong", w)
	}
	return connsec.Failed("a bind without channel binding is not refused for that").With("policy", "never or when supported").With("without", n)
}

// RuleStartTLSOffered: information, because settings are made by what servers offer.
var RuleStartTLSOffered = &connsec.Rule{
	ID: "ldap-starttls-offered", Title: "The server offers START TLS",
	Why:      "It invites settings with START TLS, which begin in clear. Servers that offer LDAP over SSL as well lose nothing by not offering it.",
	Fix:      "Nothing needs to be done as long as every client uses port 636. Where all do, close port 389.",
	Severity: connsec.Info,
	Refs:     []connsec.Citation{refGuide, rfc("4511", "4.14")}, Since: "0.1.0",
}

func judgeStartTLSOffered(s Server) connsec.Verdict {
	if v, ok := plainClosed(s); ok {
		return v
	}
	switch l := s.StartTLS; {
	case l == nil:
		return connsec.Unknown("START TLS could not be tried")
	case l.Problem != "":
		return connsec.Unknown("the request for START TLS had no result: %s", l.Problem)
	case l.Offered():
		return connsec.Failed("START TLS is offered on port %d", s.Plain.Number)
	case s.RootDSE.listsStartTLS():
		return connsec.Unknown("the server lists START TLS in its root DSE and refuses it now").With("answer", l.Answer)
	case l.is(ldapwire.ResultProtocolError):
		// RFC 4511, 4.14.1: the one code for a server without TLS, by design or configuration.
		return connsec.Passed("the server has no START TLS").With("answer", l.Answer)
	default:
		return connsec.Unknown("START TLS is refused now, and may be offered at another time: %s", l.Answer)
	}
}

// RuleStartTLSStripped: what the server says inside TLS, and what arrives in clear.
var RuleStartTLSStripped = &connsec.Rule{
	ID: "ldap-starttls-stripped", Title: "START TLS is missing from what the server says in clear",
	Why:      "Inside verified TLS the server says that it has START TLS, and in clear it does not. Somebody on the path who takes it out makes every client that would have used it, if it was there, go on without TLS and send its password in clear.",
	Fix:      "Read supportedExtension of the root DSE (ldapsearch -x -s base -b \"\" supportedExtension) on the server itself and from here. If they differ, find what changes LDAP on the way. If not, see to it that both ports lead to the same server, and that START TLS works there or is not listed. Clients on port 636 have nothing that could be taken out.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{rfc("4513", "6.2"), rfc("4511", "4.14.1"), rfc("4512", "5.1")}, Since: "0.1.0",
}

func judgeStartTLSStripped(s Server) connsec.Verdict {
	l, in, clear := s.StartTLS, s.RootDSE, s.PlainRootDSE
	switch {
	case s.Problem != "":
		return connsec.Unknown("the server could not be looked at: %s", s.Problem)
	case s.Plain.Problem.Kind == tlscheck.Refused:
		return connsec.Skipped("port %d refuses connections, so nobody asks for START TLS", s.Plain.Number)
	case s.Plain.Problem.Kind != "":
		return connsec.Unknown("port %d could not be looked at: %s", s.Plain.Number, s.Plain.Problem.Text)
	case in.listsStartTLS() && in.Way == wayLDAPS && clear.lacksStartTLS():
		return connsec.Failed("the root DSE lists START TLS inside TLS, and lists other extensions without it in clear")
	case l != nil && l.Offered():
		return connsec.Passed("START TLS is there in clear")
	case in == nil || in.Way != wayLDAPS:
		return connsec.Unknown("what the server says inside TLS could not be seen, so there is nothing to compare with")
	case !in.listsStartTLS():
		return connsec.Skipped("inside TLS the server does not say that it has START TLS")
	case l == nil || l.Problem != "":
		return connsec.Unknown("START TLS could not be tried")
	case clear != nil && len(clear.Extensions) == 0:
		return connsec.Failed("the root DSE lists START TLS inside TLS, and in clear neither lists extensions nor takes the request for this one").With("answer", l.Answer)
	case l.is(ldapwire.ResultProtocolError):
		return connsec.Failed("the root DSE lists START TLS inside TLS, and in clear the request for it is answered as one that the server does not have").With("answer", l.Answer)
	}
	return connsec.Unknown("the server lists START TLS and refuses it now: %s", l.Answer)
}

// RuleStartTLSInjection: bytes from before TLS become part of the TLS session.
var RuleStartTLSInjection = &connsec.Rule{
	ID: "ldap-starttls-injection", Title: "The server takes bytes sent before TLS for part of the TLS session",
	Why:      "An attacker on the path puts requests of his own behind the client's StartTLS request; the server carries them out inside the client's session.",
	Fix:      "Update the server, and use port 636, where there is no such moment.",
	Severity: connsec.High,
	Refs: []connsec.Citation{rfc("4511", "4.14.1"), {
		Doc: "NO STARTTLS", Section: "Command injection", URL: "https://nostarttls.secvuln.info/",
	}}, Since: "0.1.0",
}

func judgeStartTLSInjection(s Server) connsec.Verdict {
	if v, ok := plainClosed(s); ok {
		return v
	}
	l := s.StartTLS
	switch {
	case l == nil:
		return connsec.Unknown("START TLS could not be tried")
	case l.Problem != "":
		return connsec.Unknown("the request for START TLS had no result: %s", l.Problem)
	case !l.Offered():
		return connsec.Skipped("START TLS is refused")
	}
	switch l.Glued {
	case GluedDiscarded:
		return connsec.Passed("a request sent together with the StartTLS request was discarded")
	case GluedRefused:
		return connsec.Passed("the server refuses to begin TLS when another request comes together with the StartTLS request")
	case GluedBefore:
		return connsec.Passed("a request sent together with the StartTLS request was answered before TLS began, and not inside")
	case GluedInTLS:
		return connsec.Failed("a request sent in clear together with the StartTLS request was answered inside TLS")
	case GluedInClear:
		return connsec.Unknown("a request sent together with the StartTLS request was answered in clear where the TLS handshake belongs; what the server would do with another one cannot be told")
	}
	return connsec.Unknown("the TLS session after START TLS could not be looked into: %s", setting.OneLine(l.Detail))
}

// RuleAnonymousSearch: the directory is readable by everybody.
var RuleAnonymousSearch = &connsec.Rule{
	ID: "ldap-anonymous-search", Title: "The server shows directory entries to anonymous clients",
	Why:      "Everyone on the network gets the list of users and groups, to try passwords on and to write convincing mail to.",
	Fix:      "OpenLDAP: give anonymous access to userPassword for authentication only (\"by anonymous auth\") and to nothing else. 389 Directory Server: nsslapd-allow-anonymous-access: rootdse. Active Directory: clear the seventh character of dSHeuristics.",
	Severity: connsec.Medium,
	Refs:     []connsec.Citation{rfc("4513", "6.1"), refSlapd}, Since: "0.1.0",
}

func judgeAnonymousSearch(s Server) connsec.Verdict {
	if s.Problem != "" {
		return connsec.Unknown("the server could not be looked at: %s", s.Problem)
	}
	if s.AnonymousSearch == nil {
		return connsec.Unknown("no search could be tried: the server does not tell its naming contexts, and the setting has no base DN")
	}
	if a := s.AnonymousSearch; !a.Entry && a.is(ldapwire.ResultNoSuchObject) && !s.RootDSE.holds(a.Base) {
		return connsec.Unknown("there is no %q on this server, as far as it tells; an anonymous search below the right base DN may return entries", a.Base)
	}
	return judgeSearch(s, *s.AnonymousSearch)
}

// refusesAnonymous reports whether the server will not answer a search without a login.
// Active Directory says operationsError where a bind is missing.
func (a *Answer) refusesAnonymous() bool {
	return a.is(ldapwire.ResultOperationsError, ldapwire.ResultStrongerAuthRequired, ldapwire.ResultConfidentialityRequired,
		ldapwire.ResultInappropriateAuth, ldapwire.ResultInvalidCredentials, ldapwire.ResultInsufficientAccess, ldapwire.ResultUnwilling)
}

func judgeSearch(s Server, a SearchAnswer) connsec.Verdict {
	where := fmt.Sprintf("below %q", a.Base)
	switch {
	case a.Entry:
		return connsec.Failed("an anonymous search %s returns entries", where).With("entry", a.Sample).With("over", a.Way)
	case a.Problem != "":
		return connsec.Unknown("the anonymous search %s had no result: %s", where, a.Problem)
	case a.Way == wayPlain && a.is(ldapwire.ResultStrongerAuthRequired, ldapwire.ResultConfidentialityRequired):
		return connsec.Unknown("the anonymous search was refused for coming in clear; what is answered inside TLS could not be seen")
	case a.is(ldapwire.ResultSuccess, ldapwire.ResultNoSuchObject) && a.Way == wayPlain && s.NoRootDSE != nil:
		return connsec.Unknown("in clear the server shows nothing, not even its root DSE; what is answered inside TLS could not be seen")
	case a.is(ldapwire.ResultSuccess, ldapwire.ResultNoSuchObject):
		return connsec.Passed("an anonymous search %s returns nothing", where).With("over", a.Way)
	case a.refusesAnonymous():
		return connsec.Passed("an anonymous search %s is refused", where).With("answer", a.Answer).With("over", a.Way)
	}
	return connsec.Unknown("the answer to an anonymous search decides nothing: %s", a.Answer)
}

// RuleNullBaseSearch: the whole server, without knowing a name in it.
var RuleNullBaseSearch = &connsec.Rule{
	ID: "ldap-null-base-search", Title: "The server answers anonymous searches below the empty name",
	Why:      "A client that knows nothing about the directory gets entries out of it, from every part at once.",
	Fix:      "OpenLDAP: remove defaultsearchbase, or restrict anonymous access. Others: restrict anonymous access to the root DSE itself.",
	Severity: connsec.Low,
	Refs:     []connsec.Citation{rfc("4512", "5.1"), rfc("4513", "6.1")}, Since: "0.1.0",
}

func judgeNullBase(s Server) connsec.Verdict {
	if s.Problem != "" {
		return connsec.Unknown("the server could not be looked at: %s", s.Problem)
	}
	if s.NullBaseSearch == nil {
		return connsec.Unknown("no search could be tried")
	}
	return judgeSearch(s, *s.NullBaseSearch)
}

// RuleRootDSELeak: information, because clients are meant to read some of it.
var RuleRootDSELeak = &connsec.Rule{
	ID: "ldap-rootdse-leak", Title: "The server describes itself to anonymous clients",
	Why:      "Host name, domain, product version and functional level tell an attacker what to try.",
	Fix:      "OpenLDAP: restrict access to dn.base=\"\" (clients that discover naming contexts then need them in their setting). Active Directory always answers.",
	Severity: connsec.Info,
	Refs:     []connsec.Citation{rfc("4512", "5.1"), rfc("4513", "6.1")}, Since: "0.1.0",
}

func judgeRootDSE(s Server) connsec.Verdict {
	switch {
	case s.Problem != "":
		return connsec.Unknown("the server could not be looked at: %s", s.Problem)
	case s.RootDSE == nil:
		switch n := s.NoRootDSE; {
		case n == nil:
			return connsec.Unknown("the root DSE could not be asked for")
		case n.Way == wayPlain && s.Unverified != "":
			return connsec.Unknown("the root DSE is not shown in clear; what is answered inside TLS could not be seen").With("answer", n.Answer)
		case n.is(ldapwire.ResultSuccess, ldapwire.ResultNoSuchObject), n.refusesAnonymous():
			return connsec.Passed("the root DSE is not shown to anonymous clients").With("answer", n.Answer)
		default:
			return connsec.Unknown("the answer to a search for the root DSE decides nothing: %s", n.Answer)
		}
	}
	if told := s.RootDSE.tells(); len(told) > 0 {
		return connsec.Failed("the root DSE tells %s", strings.Join(slices.Clip(told), ", "))
	}
	return connsec.Passed("the root DSE tells nothing that identifies server or domain")
}
