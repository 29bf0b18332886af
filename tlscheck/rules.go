package tlscheck

import (
	"slices"

	"github.com/connsec/connsec"
)

// Rules returns every rule of this package, in the order in which they are judged.
func Rules() []*connsec.Rule {
	return slices.Concat(
		connsec.RulesOf(nameChecks), connsec.RulesOf(endpointChecks), connsec.RulesOf(plainChecks), connsec.RulesOf(httpsChecks), connsec.RulesOf(fileChecks),
	)
}
