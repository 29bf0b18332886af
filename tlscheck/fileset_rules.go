package tlscheck

import "github.com/connsec/connsec"

func fileRules() []*connsec.Rule { return nil }
