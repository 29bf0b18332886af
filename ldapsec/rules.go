package ldapsec

import (
	"slices"

	"github.com/connsec/connsec"
)

// Rules returns the rules of this package, those of the setting first. The tls-*, cert-* and
// name-* findings of a report belong to [tlscheck.Rules].
func Rules() []*connsec.Rule {
	return slices.Concat(connsec.RulesOf(settingChecks), connsec.RulesOf(nameChecks), connsec.RulesOf(tlsChecks), connsec.RulesOf(serverChecks))
}

// The documents that the rules cite.

func rfc(number, section string) connsec.Citation {
	return connsec.Citation{Doc: "RFC " + number, Section: section, URL: "https://www.rfc-editor.org/rfc/rfc" + number + ".html"}
}

var (
	refGuide = connsec.Citation{
		Doc: "MyQ Central Server security guide", Section: "Connection security",
		URL: "https://docs.myq-solution.com/en/security/1.0/connection-security",
	}
	refAdvisory = connsec.Citation{
		Doc: "Microsoft ADV190023", Section: "LDAP channel binding and LDAP signing",
		URL: "https://msrc.microsoft.com/update-guide/vulnerability/ADV190023",
	}
	refSigning = connsec.Citation{
		Doc: "Windows Server documentation", Section: "Configure LDAP signing for Active Directory Domain Services",
		URL: "https://learn.microsoft.com/windows-server/identity/ad-ds/configure-ldap-signing",
	}
	refSamba = connsec.Citation{
		Doc: "smb.conf(5)", Section: "ldap server require strong auth",
		URL: "https://www.samba.org/samba/docs/current/man-html/smb.conf.5.html",
	}
	refSlapd = connsec.Citation{
		Doc: "slapd.conf(5)", Section: "security, disallow, require",
		URL: "https://www.openldap.org/doc/admin26/security.html",
	}
)
