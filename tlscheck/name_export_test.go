package tlscheck

import "github.com/connsec/connsec"

// NameRules and FileRules let external tests go through these rules alone.
var (
	NameRules = connsec.RulesOf(nameChecks)
	FileRules = connsec.RulesOf(fileChecks)
)
