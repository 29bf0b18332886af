package smtpsec

import (
	"slices"

	"github.com/connsec/connsec"
)

// Rules returns the rules of this package, those of the setting first. The tls-*, cert-* and
// name-* findings of a report belong to [tlscheck.Rules].
func Rules() []*connsec.Rule {
	return slices.Concat(connsec.RulesOf(settingChecks), connsec.RulesOf(implicitChecks), connsec.RulesOf(clearChecks), connsec.RulesOf(policyChecks))
}

// The documents that the rules cite.

func rfc(number, section string) connsec.Citation {
	return connsec.Citation{Doc: "RFC " + number, Section: section, URL: "https://www.rfc-editor.org/rfc/rfc" + number}
}

var (
	refGuide = connsec.Citation{
		Doc: "MyQ Central Server security guide", Section: "Connection security",
		URL: "https://docs.myq-solution.com/en/security/1.0/connection-security",
	}
	refNoStartTLS = connsec.Citation{Doc: "NO STARTTLS", URL: "https://nostarttls.secvuln.info/"}
	refPostfix    = connsec.Citation{
		Doc: "Postfix TLS Support", Section: "Server-side TLS activation", URL: "https://www.postfix.org/TLS_README.html",
	}
)
