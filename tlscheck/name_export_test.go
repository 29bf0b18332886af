package tlscheck

// NameRules lets external tests go through the name rules alone.
var NameRules = nameRules
