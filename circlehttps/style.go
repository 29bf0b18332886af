package circlehttps

import (
	"bytes"
	"strings"

	"github.com/tdewolff/parse/v2"
	"github.com/tdewolff/parse/v2/css"
)

// readStyle reads a style sheet, or the value of a style attribute. lineComments says that two
// slashes begin a comment, as in SCSS and Less.
func (c *collector) readStyle(m mapped, where string, lineComments bool) {
	if !mentionsInsecure(m.text) && bytes.IndexByte(m.text, '\\') < 0 {
		return
	}
	in := parse.NewInputBytes(m.text)
	lx := css.NewLexer(in)
	at := "" // the at-rule whose prelude or block is being read
	slash := false
	for {
		kind, data := lx.Next()
		off := in.Offset() - len(data)
		switch kind {
		case css.ErrorToken:
			return
		case css.AtKeywordToken:
			at = strings.ToLower(string(decodeCSS(mapped{text: data}).text))
		case css.FunctionToken:
			// The lexer knows url( as it is written usually; any letter of it may be escaped.
			if bytes.IndexByte(data, '\\') >= 0 && bytes.EqualFold(decodeCSS(mapped{text: data}).text, []byte("url(")) {
				n := bytes.IndexByte(m.text[off:], ')') + 1
				if n == 0 {
					n = len(m.text) - off
				}
				in.Move(n - len(data))
				in.Skip()
				c.styleURL(m, css.URLToken, m.text[off:off+n], off, at, where)
			}
		case css.SemicolonToken:
			if at != "@font-face" {
				at = ""
			}
		case css.RightBraceToken:
			at = ""
		case css.LeftBraceToken:
			if at != "@font-face" {
				at = ""
			}
		case css.StringToken, css.URLToken:
			c.styleURL(m, kind, data, off, at, where)
		case css.DelimToken:
			if lineComments && data[0] == '/' && slash {
				for in.Peek(0) != '\n' && in.Err() == nil {
					in.Move(1)
				}
				in.Skip()
				slash = false
				continue
			}
		}
		slash = kind == css.DelimToken && data[0] == '/'
	}
}

func (c *collector) styleURL(m mapped, kind css.TokenType, data []byte, off int, at, where string) {
	if at == "@namespace" || at == "@charset" || at == "@document" || at == "@-moz-document" {
		return
	}
	begin, end := 0, len(data)
	if kind == css.URLToken {
		begin = bytes.IndexByte(data, '(') + 1
		if data[end-1] == ')' {
			end--
		}
	}
	for begin < end && (data[begin] <= ' ') {
		begin++
	}
	for end > begin && data[end-1] <= ' ' {
		end--
	}
	if begin < end && (data[begin] == '"' || data[begin] == '\'') {
		q := data[begin]
		begin++
		if end > begin && data[end-1] == q {
			end--
		}
	}
	u := withoutBreaks(decodeCSS(m.cut(off+begin, off+end)))
	open := off+end == len(m.text) // a script goes on with it
	switch {
	case at == "@import":
		c.add(u, Active, where+" @import", asMarkup, open)
	case at == "@font-face" && kind == css.URLToken:
		c.add(u, Active, where+" @font-face", asMarkup, open)
	case kind == css.URLToken:
		c.add(u, Passive, where+" url()", asMarkup, open)
	case len(u.text) > 0:
		// Strings are addresses in image-set() and in little else; content: "http://…" is text.
		if at != "" {
			return
		}
		before := m.text[max(0, off-200):off]
		switch before = before[bytes.LastIndexAny(before, ";{}")+1:]; {
		case bytes.Contains(before, []byte("image-set(")):
			c.add(u, Passive, where+" image-set()", asMarkup, open)
		case bytes.HasPrefix(bytes.TrimSpace(before), []byte("--")): // a custom property, for other rules or a script
			c.add(u, UnknownUse, where+" custom property", asString, open)
		}
	}
}
