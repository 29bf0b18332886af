package smtpsec

import (
	"slices"
	"strings"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/tlscheck"
)

// settingChecks judge the setting.
var settingChecks = []connsec.Check[Config]{
	{Rule: RuleCleartext, Judge: judgeCleartext},
	{Rule: RuleStartTLSOptional, Judge: judgeStartTLSOptional},
	{Rule: RuleStartTLS, Judge: judgeStartTLS},
	{Rule: RuleCertificateNotVerified, Judge: judgeCertificateNotVerified},
	{Rule: RulePortMismatch, Judge: judgePortMismatch},
	{Rule: RuleName, Judge: judgeName},
	{Rule: RuleAuthWeak, Judge: judgeAuthWeak},
	{Rule: RuleAuthRetired, Judge: judgeAuthRetired},
}

// RuleCleartext: no TLS at all.
var RuleCleartext = &connsec.Rule{
	ID: "smtp-cleartext", Title: "Mail is sent without TLS",
	Why:      "Scanned documents, notifications and the account's password go over the network in clear: anyone on the path reads and changes them.",
	Fix:      "Select SSL/TLS with port 465.",
	Severity: connsec.Critical,
	Refs:     []connsec.Citation{refGuide, rfc("8314", "3, 4.1")}, Since: "0.1.0",
}

func judgeCleartext(c Config) connsec.Verdict {
	switch c.Mode {
	case Plaintext:
		return connsec.Failed("SMTP without TLS on port %d", c.port())
	case Implicit, StartTLS, Opportunistic:
		return connsec.Passed("TLS is asked for (%s)", c.Mode)
	}
	return connsec.Unknown("%s is no known mode", c.Mode)
}

// RuleStartTLSOptional: TLS that an attacker can talk the client out of.
var RuleStartTLSOptional = &connsec.Rule{
	ID: "smtp-starttls-optional", Title: "Mail is sent without TLS if the server does not offer it",
	Why:      "Whoever is on the path takes the offer out of the server's reply, and the client sends mail and password in clear without telling anybody.",
	Fix:      "Select SSL/TLS with port 465, or, if the server has only STARTTLS, the setting that requires it.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{refGuide, rfc("3207", "6"), rfc("8314", "5.2"), refNoStartTLS}, Since: "0.1.0",
}

func judgeStartTLSOptional(c Config) connsec.Verdict {
	switch c.Mode {
	case Opportunistic:
		return connsec.Failed("TLS is used only if the server offers it")
	case Implicit, StartTLS:
		return connsec.Passed("without TLS nothing is sent")
	case Plaintext:
		return connsec.Skipped("TLS is not asked for at all")
	}
	return connsec.Unknown("%s is no known mode", c.Mode)
}

// RuleStartTLS: implicit TLS is preferred.
var RuleStartTLS = &connsec.Rule{
	ID: "smtp-starttls", Title: "STARTTLS is used where TLS could begin with the first byte",
	Why:      "The dialogue before STARTTLS is in clear and open to change. Time and again clients and servers have mixed up what belongs on which side of it; without that dialogue there is nothing to mix up.",
	Fix:      "Select SSL/TLS with port 465 if the server has it.",
	Severity: connsec.Medium,
	Refs:     []connsec.Citation{rfc("8314", "3, 3.3"), refNoStartTLS}, Since: "0.1.0",
}

func judgeStartTLS(c Config) connsec.Verdict {
	switch {
	case c.MX:
		return connsec.Skipped("between mail servers, on port 25, STARTTLS is the only way to TLS")
	case c.Mode == StartTLS, c.Mode == Opportunistic:
		return connsec.Failed("STARTTLS on port %d", c.port())
	case c.Mode == Implicit:
		return connsec.Passed("TLS begins with the first byte")
	case c.Mode == Plaintext:
		return connsec.Skipped("TLS is not asked for at all")
	}
	return connsec.Unknown("%s is no known mode", c.Mode)
}

// RuleCertificateNotVerified: TLS with whoever answers.
var RuleCertificateNotVerified = &connsec.Rule{
	ID: "smtp-certificate-not-verified", Title: "The mail server's certificate is not verified",
	Why:      "TLS without verification keeps out those who only listen. Whoever can answer in the server's place shows any certificate and gets mail and password.",
	Fix:      "Switch the validation of the certificate on. If the server's certificate is from your own authority, add that authority's certificate to those that the product trusts.",
	Severity: connsec.Critical,
	Refs:     []connsec.Citation{refGuide, rfc("8314", "5.3"), rfc("7817", "3")}, Since: "0.1.0",
}

func judgeCertificateNotVerified(c Config) connsec.Verdict {
	switch {
	case c.Mode == Plaintext:
		return connsec.Skipped("TLS is not asked for at all")
	case c.AnyCertificate:
		return connsec.Failed("any certificate is accepted")
	}
	return connsec.Passed("the certificate is verified")
}

// RulePortMismatch: a port of another kind.
var RulePortMismatch = &connsec.Rule{
	ID: "smtp-port-mismatch", Title: "The port is not the one of the chosen security",
	Why:      "The connection cannot work as set, or works by accident. Whoever then looks for a setting that works tends to end at the one without TLS. Port 25 is for mail between servers; many take no login there.",
	Fix:      "Use port 465 with SSL/TLS, port 587 with STARTTLS, and no login on port 25.",
	Severity: connsec.Medium,
	Refs: []connsec.Citation{refGuide, rfc("8314", "7.3"), rfc("6409", "3.1"), {
		Doc: "IANA service names", Section: "smtp, submission, submissions", URL: "https://www.iana.org/assignments/service-names-port-numbers",
	}}, Since: "0.1.0",
}

func judgePortMismatch(c Config) connsec.Verdict {
	p := c.port()
	switch {
	case c.MX && p == portSMTP && c.User == "":
		return connsec.Passed("port 25 is the standard one between mail servers")
	case c.Mode == Implicit && (p == portSubmission || p == portSMTP):
		return connsec.Failed("TLS from the first byte on port %d, where servers speak SMTP in clear first", p)
	case c.Mode != Implicit && p == portSubmissions:
		return connsec.Failed("%s on port 465, where servers expect TLS from the first byte", c.Mode)
	case p == portSMTP && c.User != "":
		return connsec.Failed("a login on port 25, which is for mail between servers")
	case p == portSMTP || p == portSubmission || p == portSubmissions:
		return connsec.Passed("port %d is the standard one for %s", p, c.Mode)
	}
	return connsec.Passed("port %d is not a standard port of another kind", p)
}

// RuleName: the name rules.
var RuleName = &connsec.Rule{
	ID: "smtp-name", Title: "The mail server is not given by its fully qualified name",
	Why:      "The certificate proves a name. An address, a short name or a name under somebody else's control leaves nothing to compare it with.",
	Fix:      "Enter the name that stands in the server's certificate, with its domain: mail.corp.example.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{refGuide, rfc("7817", "3"), rfc("9525", "6.1")}, Since: "0.1.0",
}

func judgeName(c Config) connsec.Verdict {
	return tlscheck.JudgeName(c.Host)
}

// RuleAuthWeak: a login that gives the password away.
var RuleAuthWeak = &connsec.Rule{
	ID: "smtp-auth-weak", Title: "The login gives the password away, or nearly",
	Why:      "PLAIN, LOGIN and XOAUTH2 hand the password or token to the other end: outside of verified TLS that is anybody. CRAM-MD5 lets whoever hears it try passwords offline, and makes the server keep them in a form that can be used.",
	Fix:      "Require TLS and the verification of the certificate; then PLAIN is sound. Prefer SCRAM-SHA-256 where the server has it, and do not use CRAM-MD5.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{rfc("4954", "4, 9"), rfc("4616", "4"), rfc("8314", "4.1")}, Since: "0.1.0",
}

func judgeAuthWeak(c Config) connsec.Verdict {
	verified := (c.Mode == Implicit || c.Mode == StartTLS) && !c.AnyCertificate
	switch {
	case c.User == "" && c.Password.IsEmpty():
		return connsec.Skipped("no login is set")
	case int(c.Method) >= len(methods.Names):
		return connsec.Unknown("%s is no known method", c.Method)
	case c.Method == CRAMMD5 && verified:
		return connsec.Failed("CRAM-MD5, within verified TLS").As(connsec.Medium)
	case c.Method == CRAMMD5:
		return connsec.Failed("CRAM-MD5 without verified TLS")
	case !verified && c.Method.sendsPassword():
		return connsec.Failed("method %s sends the password, and TLS is not certain (mode %s%s)", c.Method, c.Mode, unverifiedNote(c))
	case !verified:
		return connsec.Failed("method %s without verified TLS lets an attacker try passwords offline (mode %s%s)", c.Method, c.Mode, unverifiedNote(c)).As(connsec.Medium)
	}
	return connsec.Passed("method %s within verified TLS", c.Method)
}

func unverifiedNote(c Config) string {
	if c.AnyCertificate && c.Mode != Plaintext {
		return ", certificate not verified"
	}
	return ""
}

// exchangeOnline are the names under which Exchange Online takes mail from clients.
var exchangeOnline = []string{"smtp.office365.com", "smtp-legacy.office365.com", "outlook.office365.com"}

// basicAuthOff is when Exchange Online switches basic authentication for client submission off
// for existing tenants (announcement of 27 January 2026: end of December 2026).
var basicAuthOff = time.Date(2027, time.January, 1, 0, 0, 0, 0, time.UTC)

// RuleAuthRetired: a login that its provider is about to refuse.
var RuleAuthRetired = &connsec.Rule{
	ID: "smtp-auth-retired", Title: "The provider is retiring the login with user name and password",
	Why:      "Exchange Online switches basic authentication for client submission off by default at the end of December 2026; administrators can switch it on again until a final date that Microsoft will announce in the second half of 2027. New tenants do not have it. From then on mail is refused with 550 5.7.30, and until then a stolen password is all that an attacker needs.",
	Fix:      "Use OAuth 2.0 (XOAUTH2) if the product can, or send through a connector, High Volume Email or another relay.",
	Severity: connsec.Medium,
	Refs: []connsec.Citation{{
		Doc: "Microsoft 365", Section: "Exchange Online to retire Basic auth for Client Submission (SMTP AUTH)",
		URL: "https://techcommunity.microsoft.com/blog/exchange/exchange-online-to-retire-basic-auth-for-client-submission-smtp-auth/4114750",
	}}, Since: "0.1.0",
}

func judgeAuthRetired(c Config) connsec.Verdict {
	host := strings.ToLower(strings.TrimSuffix(hostOf(c.Host), "."))
	switch {
	case !slices.Contains(exchangeOnline, host):
		return connsec.Passed("no provider is known to retire the login of this server")
	case c.User == "" && c.Password.IsEmpty():
		return connsec.Skipped("no login is set")
	case c.Method == XOAuth2:
		return connsec.Passed("OAuth 2.0 is used")
	case !c.AsOf.IsZero() && !c.AsOf.Before(basicAuthOff):
		return connsec.Failed("Exchange Online with user name and password: off by default since the end of December 2026").As(connsec.High)
	}
	return connsec.Failed("Exchange Online with user name and password: off by default from the end of December 2026")
}
