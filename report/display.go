package report

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// longest is how many runes of one foreign text the formats for people show. A detail is one
// sentence; more than this comes from a peer that wants to fill screens.
const longest = 1000

// clean makes text from outside safe to show: legible, and cut if it is very long.
func clean(s string) string { return legible(s, longest) }

// legible writes whatever is not graphic – controls, escape sequences, bidirectional overrides,
// invisible characters, invalid UTF-8 – as an escape that can be read. It leaves backslashes
// alone, so it is for eyes, not for decoding. What comes after most runes is counted only.
func legible(s string, most int) string {
	ok := true
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c > '~' {
			ok = false
			break
		}
	}
	if ok && len(s) <= most {
		return s
	}
	var b strings.Builder
	b.Grow(min(len(s), most) + 16)
	shown := 0
	for i := 0; i < len(s); shown++ {
		if shown == most {
			fmt.Fprintf(&b, "… (%d bytes more)", len(s)-i)
			break
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unicode.IsGraphic(r):
			b.WriteRune(r)
		case r < utf8.RuneSelf:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
		i += n
	}
	return b.String()
}

// clip bounds text that is echoed in an error.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// columns is how many cells of a terminal the text takes: none for combining marks, two for
// East Asian wide characters (UAX #11), one for the rest.
func columns(s string) int {
	n := 0
	for _, r := range s {
		n += cells(r)
	}
	return n
}

func cells(r rune) int {
	if r < 0x300 {
		return 1
	}
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// wrap breaks text into lines of at most the given columns. A line break in the text stays
// one. A word that is too long is cut, except a web address, which must stay whole to be
// followed.
func wrap(text string, most int) []string {
	var lines []string
	for paragraph := range strings.SplitSeq(text, "\n") {
		var line strings.Builder
		used := 0
		for _, word := range strings.Fields(paragraph) {
			w := columns(word)
			if used > 0 {
				if used+1+w <= most {
					line.WriteByte(' ')
					line.WriteString(word)
					used += 1 + w
					continue
				}
				lines = append(lines, line.String())
				line.Reset()
			}
			if w > most && !strings.Contains(word, "://") {
				var cut []string
				cut, word = split(word, most)
				lines = append(lines, cut...)
				w = columns(word)
			}
			line.WriteString(word)
			used = w
		}
		lines = append(lines, line.String())
	}
	return lines
}

// split cuts a long word into full lines and a rest. A combining mark stays with its base.
func split(word string, most int) (full []string, rest string) {
	used, start := 0, 0
	for i, r := range word {
		if c := cells(r); used+c > most {
			full = append(full, word[start:i])
			used, start = c, i
		} else {
			used += c
		}
	}
	return full, word[start:]
}
