package sqlsec

import "github.com/connsec/connsec"

// Rules returns the rules of this package, those on the setting first.
func Rules() []*connsec.Rule {
	var rules []*connsec.Rule
	for _, c := range settingChecks {
		rules = append(rules, c.Rule)
	}
	for _, c := range serverChecks {
		rules = append(rules, c.Rule)
	}
	for _, c := range browserChecks {
		rules = append(rules, c.Rule)
	}
	for _, c := range inspectionChecks {
		rules = append(rules, c.Rule)
	}
	return rules
}
