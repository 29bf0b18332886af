package apisec

import (
	"slices"

	"github.com/connsec/connsec"
)

// Rules returns the rules of this package. The tls-*, cert-*, http-* and name-* findings of a
// report belong to [tlscheck.Rules].
func Rules() []*connsec.Rule {
	var out []*connsec.Rule
	for _, r := range slices.Concat(
		connsec.RulesOf(settingChecks),
		connsec.RulesOf(serverChecks),
		connsec.RulesOf(rotationChecks),
		connsec.RulesOf(fileChecks),
		exposureRules(),
	) {
		if !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	return out
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
	refMyQToken = connsec.Citation{
		Doc: "MyQ REST API", Section: "Client Credentials Grant",
		URL: "https://docs.myq-solution.com/en/rad/v5/client-credentials-grant",
	}
	refMyQGrants = connsec.Citation{
		Doc: "MyQ REST API", Section: "Authentication methods",
		URL: "https://docs.myq-solution.com/rad/v4/authentication-methods",
	}
)

func owaspREST(section string) connsec.Citation {
	return connsec.Citation{
		Doc: "OWASP REST Security Cheat Sheet", Section: section,
		URL: "https://cheatsheetseries.owasp.org/cheatsheets/REST_Security_Cheat_Sheet.html",
	}
}

func owasp(section string) connsec.Citation {
	return connsec.Citation{
		Doc: "OWASP Secrets Management Cheat Sheet", Section: section,
		URL: "https://cheatsheetseries.owasp.org/cheatsheets/Secrets_Management_Cheat_Sheet.html",
	}
}
