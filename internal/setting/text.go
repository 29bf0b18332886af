package setting

import (
	"strings"
	"unicode"
)

// most is how much of foreign text is shown, in bytes.
const most = 200

// OneLine makes foreign text fit for a finding or an error: printable, one line, at most 200
// bytes.
func OneLine(s string) string {
	if len(s) > 16*most {
		s = s[:16*most]
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsPrint(r):
			return r
		case unicode.IsSpace(r):
			return ' '
		}
		return -1
	}, strings.ToValidUTF8(s, "?"))
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
