package ldapsec

import (
	"slices"
	"strings"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/setting"
	"github.com/connsec/connsec/tlscheck"
	"github.com/go-ldap/ldap/v3"
)

// settingChecks judge the setting as a whole, nameChecks one server name or domain of it.
var (
	settingChecks = []connsec.Check[Config]{
		{Rule: RuleCleartext, Judge: judgeCleartext},
		{Rule: RuleStartTLS, Judge: judgeStartTLS},
		{Rule: RulePortMismatch, Judge: judgePortMismatch},
		{Rule: RuleEmptyPassword, Judge: judgeEmptyPassword},
		{Rule: RuleAnonymousBind, Judge: judgeAnonymousBind},
		{Rule: RuleDNSyntax, Judge: judgeDNSyntax},
		{Rule: RulePrivilegedAccount, Judge: judgePrivilegedAccount},
		{Rule: RuleAutoDiscovery, Judge: judgeAutoDiscovery},
	}
	nameChecks = []connsec.Check[string]{
		{Rule: RuleName, Judge: judgeName},
	}
)

// RuleCleartext: no TLS at all.
var RuleCleartext = &connsec.Rule{
	ID: "ldap-cleartext", Title: "The directory is asked without TLS",
	Why:      "A simple bind sends the account and its password in clear, and so do the logins that the product checks against the directory: anyone on the path reads them, and can answer in the directory's place.",
	Fix:      "Select SSL (in newer releases: TLS) with port 636.",
	Severity: connsec.Critical,
	Refs:     []connsec.Citation{refGuide, rfc("4513", "6.3.3")}, Since: "0.1.0",
}

func judgeCleartext(c Config) connsec.Verdict {
	switch c.Mode {
	case Plaintext:
		return connsec.Failed("LDAP without TLS on port %d", c.port())
	case Implicit, StartTLS:
		return connsec.Passed("TLS is asked for (%s)", c.Mode)
	}
	return connsec.Unknown("%s is no known mode", c.Mode)
}

// RuleStartTLS: TLS that begins in clear.
var RuleStartTLS = &connsec.Rule{
	ID: "ldap-starttls", Title: "The directory is asked with START TLS instead of LDAP over SSL",
	Why:      "START TLS begins in clear: an attacker on the path can refuse the upgrade, or put bytes of its own around it, and clients that go on all the same send the password in clear.",
	Fix:      "Select SSL (in newer releases: TLS) with port 636 instead of START TLS with port 389.",
	Severity: connsec.High,
	Refs: []connsec.Citation{refGuide, rfc("4513", "6.2"), {
		Doc: "NO STARTTLS", Section: "Why TLS is better without STARTTLS", URL: "https://nostarttls.secvuln.info/",
	}}, Since: "0.1.0",
}

func judgeStartTLS(c Config) connsec.Verdict {
	switch c.Mode {
	case StartTLS:
		return connsec.Failed("START TLS on port %d", c.port())
	case Implicit:
		return connsec.Passed("TLS begins with the first byte")
	case Plaintext:
		return connsec.Skipped("TLS is not asked for at all")
	}
	return connsec.Unknown("%s is no known mode", c.Mode)
}

// RulePortMismatch: a port of the other kind.
var RulePortMismatch = &connsec.Rule{
	ID: "ldap-port-mismatch", Title: "The port is not the one of the chosen security",
	Why:      "The connection cannot work as set. Whoever then looks for a setting that works tends to end at the one without TLS.",
	Fix:      "Use port 636 (global catalog: 3269) with SSL. Ports 389 and 3268 speak LDAP in clear first.",
	Severity: connsec.Medium,
	Refs: []connsec.Citation{refGuide, {
		Doc: "IANA service names", Section: "ldap, ldaps, msft-gc, msft-gc-ssl", URL: "https://www.iana.org/assignments/service-names-port-numbers",
	}}, Since: "0.1.0",
}

func judgePortMismatch(c Config) connsec.Verdict {
	clear, secure := c.port() == portLDAP || c.port() == portGC, c.port() == portLDAPS || c.port() == portGCS
	switch {
	case c.Mode == Implicit && clear:
		return connsec.Failed("LDAP over SSL on port %d, where servers speak LDAP in clear first", c.port())
	case c.Mode != Implicit && secure:
		return connsec.Failed("%s on port %d, where servers expect TLS from the first byte", c.Mode, c.port())
	case clear || secure:
		return connsec.Passed("port %d is the standard one for %s", c.port(), c.Mode)
	}
	return connsec.Passed("port %d is not a standard port of another kind", c.port())
}

// RuleEmptyPassword: the unauthenticated bind.
var RuleEmptyPassword = &connsec.Rule{
	ID: "ldap-empty-password", Title: "A bind account is given without a password",
	Why:      "A bind with a name and no password succeeds on many servers without authenticating anybody. A product that takes success for a correct login lets everyone in with an empty password.",
	Fix:      "Enter the account's password, and refuse empty passwords in every login that is checked by a bind.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{rfc("4513", "5.1.2"), rfc("4513", "6.3.1")}, Since: "0.1.0",
}

func judgeEmptyPassword(c Config) connsec.Verdict {
	switch {
	case c.Method == External || c.Method == Kerberos:
		return connsec.Skipped("method %s does not use a password", c.Method)
	case c.Method == NTLM && c.Password.IsEmpty():
		return connsec.Failed("NTLM without a password would be a null session")
	case c.BindDN == "" && c.Password.IsEmpty():
		return connsec.Skipped("no account is set")
	case c.Password.IsEmpty():
		return connsec.Failed("the account has no password: servers take such a bind for an anonymous one and call it success")
	}
	return connsec.Passed("a password is set")
}

// RuleAnonymousBind: nobody is authenticated.
var RuleAnonymousBind = &connsec.Rule{
	ID: "ldap-anonymous-bind", Title: "The directory is asked anonymously",
	Why:      "It works only if the directory shows its entries to everybody on the network, who then has the list of accounts to try passwords on.",
	Fix:      "Create an account that may read what the product needs and nothing else, and enter it.",
	Severity: connsec.Medium,
	Refs:     []connsec.Citation{rfc("4513", "5.1.1"), rfc("4513", "6.1")}, Since: "0.1.0",
}

func judgeAnonymousBind(c Config) connsec.Verdict {
	switch {
	case c.Method == External || c.Method == Kerberos:
		return connsec.Passed("method %s authenticates the client", c.Method)
	case c.BindDN == "" && c.AccountUnknown:
		return connsec.Unknown("the account that the product uses was not given")
	case c.BindDN == "":
		return connsec.Failed("no account is set")
	}
	return connsec.Passed("an account is set")
}

// RuleDNSyntax: bind DN and base DN are what they should be.
var RuleDNSyntax = &connsec.Rule{
	ID: "ldap-dn-syntax", Title: "The bind account or the base DN is not valid",
	Why:      "Servers disagree on what a broken name means: some refuse it, some cut it at a NUL byte and take the rest for another account or another part of the directory.",
	Fix:      "Enter a DN such as cn=svc-print,ou=Services,dc=corp,dc=example; for Active Directory, user@domain or DOMAIN\\user will do for the account.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{rfc("4514", "2, 3"), rfc("4511", "4.1.3")}, Since: "0.1.0",
}

func judgeDNSyntax(c Config) connsec.Verdict {
	if p := accountProblem(c.BindDN); p != "" {
		return connsec.Failed("the bind account %s", p)
	}
	if p := dnProblem(c.BaseDN); p != "" {
		return connsec.Failed("the base DN %s", p)
	}
	if c.BindDN == "" && c.BaseDN == "" {
		return connsec.Skipped("neither a bind account nor a base DN is set")
	}
	return connsec.Passed("bind account and base DN are well-formed")
}

// RulePrivilegedAccount: the product does not need an administrator to read.
var RulePrivilegedAccount = &connsec.Rule{
	ID: "ldap-privileged-account", Title: "The bind account is a built-in administrator",
	Why:      "The password is stored in the product and sent to the directory every few minutes. Whoever gets it from the product owns the whole domain instead of a list of users.",
	Fix:      "Create an account of its own for the product, without group memberships, that may read the users it needs.",
	Severity: connsec.Low,
	Refs: []connsec.Citation{{
		Doc: "Windows Server documentation", Section: "Implementing least-privilege administrative models",
		URL: "https://learn.microsoft.com/windows-server/identity/ad-ds/plan/security-best-practices/implementing-least-privilege-administrative-models",
	}}, Since: "0.1.0",
}

// privilegedAccounts and privilegedGroups own a directory as delivered. Localised Windows has
// names of its own for the first of them.
var (
	privilegedAccounts = []string{
		"administrator", "administrateur", "administrador", "amministratore", "krbtgt",
		"admin", "root", "manager", "directory manager", // OpenLDAP's and 389 Directory Server's customary root DNs
	}
	privilegedGroups = []string{"domain admins", "enterprise admins", "schema admins", "administrators"}
)

func judgePrivilegedAccount(c Config) connsec.Verdict {
	if c.BindDN == "" {
		return connsec.Skipped("no account is set")
	}
	if name := privilegedName(c.BindDN); name != "" {
		return connsec.Failed("%q is an administrator by its name", name)
	}
	return connsec.Passed("the account has none of the names of built-in administrators; what groups it is in was not looked at")
}

// privilegedName returns the part of an account's name that gives it away: the account's own
// name, or a group in its DN.
func privilegedName(account string) string {
	is := func(list []string, s string) bool {
		return slices.Contains(list, strings.ToLower(strings.TrimSpace(s)))
	}
	if !isDN(account) {
		_, user := splitAccount(account)
		if user, _, _ = strings.Cut(user, "@"); is(privilegedAccounts, user) {
			return user
		}
		return ""
	}
	if len(account) > maxDN {
		return ""
	}
	dn, err := ldap.ParseDN(account)
	if err != nil {
		return ""
	}
	for i, rdn := range dn.RDNs {
		for _, a := range rdn.Attributes {
			if i == 0 && is(privilegedAccounts, a.Value) || is(privilegedGroups, a.Value) {
				return a.Value
			}
		}
	}
	return ""
}

// RuleAutoDiscovery: which servers are asked is DNS's decision.
var RuleAutoDiscovery = &connsec.Rule{
	ID: "ldap-auto-discovery", Title: "The servers are found by DNS, and the answer is not sound",
	Why:      "Whoever can answer DNS chooses the server. Where a certificate for any name that DNS returned is accepted, that is enough to stand in for the directory.",
	Fix:      "Name the domain controllers in the setting. Otherwise see to it that every SRV target is a host of the domain, with that name in its certificate.",
	Severity: connsec.Medium,
	Refs: []connsec.Citation{rfc("2782", "Security Considerations"), rfc("9525", "6.2"), {
		Doc: "MyQ Print Server guide", Section: "Authentication servers", URL: "https://docs.myq-solution.com/en/print-server/10.2/authentication-servers-settings",
	}}, Since: "0.1.0",
}

func judgeAutoDiscovery(c Config) connsec.Verdict {
	switch {
	case !c.discovers():
		return connsec.Passed("the servers are named in the setting")
	case c.Domain == "":
		return connsec.Unknown("the server is left to automatic discovery, so which servers are asked, and under which name their certificate is checked, cannot be told from the setting")
	}
	return connsec.Unknown("the servers are whatever DNS returns for %s; probing the domain tells", setting.OneLine(hostOf(c.Domain)))
}

// RuleName: the name rules, for each server.
var RuleName = &connsec.Rule{
	ID: "ldap-name", Title: "The server is not given by its fully qualified name",
	Why:      "The certificate proves a name. An address, a short name or a name under somebody else's control leaves nothing to compare it with.",
	Fix:      "Enter the name that stands in the server's certificate, with its domain: dc1.corp.example.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{refGuide, rfc("4513", "3.1.3"), rfc("9525", "6.1")}, Since: "0.1.0",
}

func judgeName(name string) connsec.Verdict {
	return tlscheck.JudgeName(name)
}
