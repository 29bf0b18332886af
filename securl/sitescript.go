package securl

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxScript bounds a served xmpcfg.js or xmpcustom.js; real ones have half a kilobyte.
const maxScript = 64 << 10

// scriptStrings reads the texts that an object literal gives to some keys: in
//
//	var xmpcfg = {access: {accessToken: '…', url: '…'}};
//
// with the variable xmpcfg, those of accessToken and url. It knows comments, quotes and escapes,
// and no expressions: a value that is put together is not returned. If the variable is set
// several times, the last one counts, as in a browser.
func scriptStrings(src, variable string, keys ...string) map[string]string {
	var found map[string]string
	s := scriptScanner{src: src[:min(len(src), maxScript)]}
	before := scriptToken{}
	for key, t := "", s.next(); t.kind != scriptEnd; t = s.next() {
		switch {
		case t.kind == '=' && before.kind == scriptWord && before.text == variable:
			found = map[string]string{}
		case t.kind == ':' && (before.kind == scriptWord || before.kind == scriptString):
			key = before.text
		case t.kind == scriptString && before.kind == ':' && found != nil:
			for _, k := range keys {
				if k == key {
					found[k] = t.text
				}
			}
		case before.kind == scriptString && t.kind == '+' && key != "":
			delete(found, key) // the beginning of an expression
		}
		before = t
	}
	return found
}

const (
	scriptEnd    = 0
	scriptWord   = 1
	scriptString = 2
)

// scriptToken is a word, a string, or a character of punctuation, which is its own kind.
type scriptToken struct {
	kind byte
	text string
}

type scriptScanner struct {
	src string
	at  int
}

func (s *scriptScanner) next() scriptToken {
	for s.at < len(s.src) {
		c := s.src[s.at]
		rest := s.src[s.at:]
		switch {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n' || strings.HasPrefix(rest, "\ufeff"):
			s.at++
			if c == 0xef {
				s.at += 2
			}
		case strings.HasPrefix(rest, "//"):
			if end := strings.IndexAny(rest, "\r\n"); end >= 0 {
				s.at += end
			} else {
				s.at = len(s.src)
			}
		case strings.HasPrefix(rest, "/*"):
			if end := strings.Index(rest[2:], "*/"); end >= 0 {
				s.at += end + 4
			} else {
				s.at = len(s.src)
			}
		case c == '\'' || c == '"' || c == '`':
			return s.quoted(c)
		case wordByte(c):
			begin := s.at
			for s.at < len(s.src) && wordByte(s.src[s.at]) {
				s.at++
			}
			return scriptToken{scriptWord, s.src[begin:s.at]}
		default:
			s.at++
			if c <= scriptString {
				c = '?'
			}
			return scriptToken{kind: c}
		}
	}
	return scriptToken{}
}

func wordByte(c byte) bool {
	return c == '_' || c == '$' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= utf8.RuneSelf
}

// quoted reads a string up to the same quote; without one, the rest is no string.
func (s *scriptScanner) quoted(quote byte) scriptToken {
	var out strings.Builder
	for s.at++; s.at < len(s.src); {
		switch c := s.src[s.at]; {
		case c == quote:
			s.at++
			return scriptToken{scriptString, out.String()}
		case quote != '`' && (c == '\n' || c == '\r'):
			return scriptToken{kind: '?'}
		case quote == '`' && strings.HasPrefix(s.src[s.at:], "${"):
			s.at = len(s.src) // computed
			return scriptToken{kind: '?'}
		case c == '\\':
			s.escape(&out)
		default:
			out.WriteByte(c)
			s.at++
		}
	}
	return scriptToken{kind: '?'}
}

// escape reads what begins with a backslash (ECMA-262 12.9.4).
func (s *scriptScanner) escape(out *strings.Builder) {
	s.at++
	if s.at >= len(s.src) {
		return
	}
	c := s.src[s.at]
	s.at++
	switch c {
	case 'n':
		out.WriteByte('\n')
	case 't':
		out.WriteByte('\t')
	case 'r':
		out.WriteByte('\r')
	case 'b':
		out.WriteByte('\b')
	case 'f':
		out.WriteByte('\f')
	case 'v':
		out.WriteByte('\v')
	case '0':
		out.WriteByte(0)
	case '\r':
		if s.at < len(s.src) && s.src[s.at] == '\n' {
			s.at++
		}
	case '\n':
	case 'x':
		if r, ok := s.hex(2); ok {
			out.WriteRune(r)
		}
	case 'u':
		r, ok := s.unicodeEscape()
		if utf16.IsSurrogate(r) && strings.HasPrefix(s.src[s.at:], `\u`) {
			back := s.at
			s.at += 2
			low, _ := s.unicodeEscape()
			if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
				s.at = back
			}
		}
		if ok {
			out.WriteRune(r)
		}
	default:
		out.WriteByte(c)
	}
}

func (s *scriptScanner) unicodeEscape() (rune, bool) {
	if rest := s.src[s.at:]; strings.HasPrefix(rest, "{") {
		end := strings.IndexByte(rest[:min(len(rest), 10)], '}')
		if end < 0 {
			return 0, false
		}
		n, err := strconv.ParseUint(rest[1:end], 16, 32)
		s.at += end + 1
		return rune(min(n, utf8.MaxRune+1)), err == nil && n <= utf8.MaxRune
	}
	return s.hex(4)
}

func (s *scriptScanner) hex(digits int) (rune, bool) {
	if s.at+digits > len(s.src) {
		return 0, false
	}
	n, err := strconv.ParseUint(s.src[s.at:s.at+digits], 16, 32)
	if err != nil {
		return 0, false
	}
	s.at += digits
	return rune(n), true
}
