package radiussec

import (
	"slices"

	"github.com/connsec/connsec"
)

// Rules returns the rules of this package, those of the setting first. The tls-*, cert-* and
// name-* findings of a report belong to [tlscheck.Rules].
func Rules() []*connsec.Rule {
	var out []*connsec.Rule
	for _, r := range slices.Concat(connsec.RulesOf(settingChecks), connsec.RulesOf(serverSettingChecks), connsec.RulesOf(clientChecks), connsec.RulesOf(udpChecks),
		connsec.RulesOf(tlsChecks), connsec.RulesOf(inTLSChecks)) {
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

func deprecating(section string) connsec.Citation {
	return connsec.Citation{
		Doc: "draft-ietf-radext-deprecating-radius", Section: section,
		URL: "https://datatracker.ietf.org/doc/draft-ietf-radext-deprecating-radius/",
	}
}

func radsecBis(section string) connsec.Citation {
	return connsec.Citation{
		Doc: "draft-ietf-radext-radiusdtls-bis", Section: section,
		URL: "https://datatracker.ietf.org/doc/draft-ietf-radext-radiusdtls-bis/",
	}
}

var (
	refGuide = connsec.Citation{
		Doc: "MyQ Central Server security guide", Section: "Connection security",
		URL: "https://docs.myq-solution.com/en/security/1.0/connection-security",
	}
	refBlast = connsec.Citation{
		Doc: "CVE-2024-3596", Section: "RADIUS/UDP considered harmful", URL: "https://www.blastradius.fail/",
	}
	refNPS = connsec.Citation{
		Doc: "Microsoft KB5040268", Section: "How to manage the Access-Request packets attack vulnerability associated with CVE-2024-3596",
		URL: "https://support.microsoft.com/help/5040268",
	}
	refClientsConf = connsec.Citation{
		Doc: "FreeRADIUS clients.conf", Section: "secret, require_message_authenticator, limit_proxy_state",
		URL: "https://github.com/FreeRADIUS/freeradius-server/blob/v3.2.x/raddb/clients.conf",
	}
)
