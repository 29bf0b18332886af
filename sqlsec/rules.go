package sqlsec

import (
	"slices"

	"github.com/connsec/connsec"
)

// Rules returns the rules of this package, those on the setting first.
func Rules() []*connsec.Rule {
	return slices.Concat(connsec.RulesOf(settingChecks), connsec.RulesOf(serverChecks), connsec.RulesOf(browserChecks), connsec.RulesOf(inspectionChecks))
}
