package tlscheck

import "github.com/connsec/connsec"

// Rules returns every rule of this package, in the order in which they are judged.
func Rules() []*connsec.Rule {
	rules := nameRules()
	for _, c := range endpointChecks { // tls-* and cert-*
		rules = append(rules, c.Rule)
	}
	for _, c := range plainChecks {
		rules = append(rules, c.Rule)
	}
	for _, c := range httpsChecks {
		rules = append(rules, c.Rule)
	}
	return append(rules, fileRules()...)
}
