package tlscheck

// NameRules and FileRules let external tests go through these rules alone.
var (
	NameRules = nameRules
	FileRules = fileRules
)
