package circlehttps

import (
	"unicode"
	"unicode/utf8"

	"github.com/tdewolff/parse/v2"
	"github.com/tdewolff/parse/v2/js"
)

// token is one significant JavaScript token: no white space, no comment.
type token struct {
	kind js.TokenType
	data []byte
	off  int // in the text being read
}

func (t token) is(word string) bool { return string(t.data) == word }

// bracket is one open bracket and what stands before it.
type bracket struct {
	open    byte   // ( { [ or ` for a template's ${ or < for a JSX element
	callee  []byte // the word before a parenthesis: fetch, if, …
	object  []byte // the word before the callee's dot
	isNew   bool   // new Callee(
	arg     int    // commas so far
	last    []byte // the latest literal argument, as text
	regexOK bool   // a slash after the closing bracket starts a regular expression
}

// tokens reads JavaScript, TypeScript and JSX token by token. Where the text is not what the
// lexer expects – an apostrophe in JSX text, a slash that could be either – it steps over one
// byte and goes on, so that one odd line does not hide the rest of the file. Time is linear.
type tokens struct {
	in      *parse.Input
	lx      *js.Lexer
	ring    [8]token // the latest tokens; see before
	count   int
	open    []bracket
	deeper  int // brackets beyond maxDepth
	closed  bool
	pushed  bool // prev[0] is to be returned again
	comment func(off int, data []byte)

	// JSX: text between tags is skipped, and quotes in it mean nothing.
	jsx     bool
	inTag   bool // between < and > of a tag
	closing bool // of an end tag
	tagBase int  // open brackets where the tag began

	// Ends of the stretches in which a quote, backtick or slash is known to have no partner.
	lone       [256]int
	loneRegexp int
}

// maxDepth bounds the memory that nested brackets take.
const maxDepth = 4096

// newTokens reads text. Capacity beyond its length, if there is any, is written to.
func newTokens(text []byte) *tokens {
	in := parse.NewInputBytes(text)
	return &tokens{in: in, lx: js.NewLexer(in)}
}

// before returns the i-th latest token: 0 is the one that next returned last. There are seven.
func (r *tokens) before(i int) *token { return &r.ring[(r.count-i)&(len(r.ring)-1)] }

// back returns the latest token to the reader. It may be called once per next.
func (r *tokens) back() { r.pushed = true }

// top returns the innermost open bracket, or nil.
func (r *tokens) top() *bracket {
	if len(r.open) == 0 || r.deeper > 0 {
		return nil
	}
	return &r.open[len(r.open)-1]
}

// next returns the next token; ok is false at the end of the text.
func (r *tokens) next() (t token, ok bool) {
	if ok = r.advance(); ok {
		t = *r.before(0)
	}
	return t, ok
}

// advance reads the next token, which before(0) then returns, and reports whether there is one.
func (r *tokens) advance() bool {
	if r.pushed {
		r.pushed = false
		return true
	}
	for {
		if r.in.Offset() > r.in.Len() { // the lexer steps over the end after a lone # or \
			return false
		}
		if r.jsx && !r.inTag && r.inElement() {
			for c := r.in.Peek(0); c != '<' && c != '{' && r.in.Err() == nil; c = r.in.Peek(0) {
				r.in.Move(1)
			}
			r.in.Skip()
		}
		kind, data, handled := r.around()
		if !handled {
			kind, data = r.lx.Next()
		}
		off := r.in.Offset() - len(data)
		switch kind {
		case js.WhitespaceToken, js.LineTerminatorToken: // beyond ASCII
			continue
		case js.CommentToken, js.CommentLineTerminatorToken:
			if r.comment != nil {
				r.comment(off, data)
			}
			continue
		case js.ErrorToken:
			switch {
			case len(data) > 0 && (data[0] == '`' || data[0] == '}'): // a template without end
				r.lone['`'] = r.in.Len()
				r.in.Rewind(1 - len(data))
				r.in.Skip()
				r.lx = js.NewLexer(r.in) // forget the open template
			case len(data) == 0 && !handled:
				if r.in.Err() != nil {
					return false
				}
				r.in.Skip()
			}
			continue
		case js.DivToken, js.DivEqToken:
			if !r.inTag && r.regexAllowed() {
				if n := r.regexp(off); n > 0 {
					r.in.Rewind(n - len(data))
					kind, data = js.RegExpToken, r.in.Bytes()[off:off+n:off+n]
					r.in.Skip()
				}
			}
		}
		t := token{kind, data, off}
		switch kind {
		case js.IdentifierToken, js.DotToken, js.StringToken, js.DecimalToken, js.SemicolonToken:
		default:
			r.track(t)
		}
		r.count++
		r.ring[r.count&(len(r.ring)-1)] = t
		return true
	}
}

// around reads what the lexer is not to see. Strings, numbers and stray bytes, because an error
// of the lexer costs a pass over the whole text, so that a text full of errors would take
// quadratic time; words and blanks, because they are most of a text and need less here.
// handled is false if the lexer is to read on; an ErrorToken stands for something to skip.
func (r *tokens) around() (kind js.TokenType, data []byte, handled bool) {
	c := r.in.Peek(0)
	switch {
	case c == '\'' || c == '"':
		if r.in.Offset() >= r.lone[c] {
			if n := r.quoted(c); n > 0 {
				r.in.Move(n)
				return js.StringToken, r.in.Shift(), true
			}
		}
	case c == '`':
		if r.in.Offset() >= r.lone[c] {
			return 0, nil, false
		}
	case isDigit(c), c == '.' && isDigit(r.in.Peek(1)):
		r.in.Move(1)
		for c = r.in.Peek(0); isAlnum(c) || c == '.' || c == '_'; c = r.in.Peek(0) {
			r.in.Move(1)
		}
		return js.DecimalToken, r.in.Shift(), true
	case c == ' ', c >= '\t' && c <= '\r':
		for r.in.Move(1); ; r.in.Move(1) {
			if c = r.in.Peek(0); c != ' ' && (c < '\t' || c > '\r') {
				break
			}
		}
		r.in.Skip()
		return js.ErrorToken, nil, true
	case c|0x20 >= 'a' && c|0x20 <= 'z', c == '_', c == '$':
		for r.in.Move(1); wordBytes[r.in.Peek(0)]; {
			r.in.Move(1)
		}
		data = r.in.Shift()
		return wordKind(data), data, true
	case c == '#':
		if c = r.in.Peek(1); isAlnum(c) && !isDigit(c) || c == '_' || c == '$' {
			return 0, nil, false
		}
	case c == '\\', c == '@', c == 0x7f, c < ' ' && (c < '\t' || c > '\r') && r.in.Err() == nil, c >= 0x80 && c < 0xc0:
	case c >= 0xc0:
		b, at := r.in.Bytes(), r.in.Offset()
		ch, n := utf8.DecodeRune(b[at:min(at+utf8.UTFMax, len(b))])
		if ch != utf8.RuneError && (unicode.IsLetter(ch) || unicode.IsSpace(ch) || ch == 0xfeff || ch == 0x2028 || ch == 0x2029) {
			return 0, nil, false
		}
		r.in.Move(n)
		r.in.Skip()
		return js.ErrorToken, nil, true
	default:
		return 0, nil, false
	}
	r.in.Move(1)
	r.in.Skip()
	return js.ErrorToken, nil, true
}

// wordBytes are those of which identifiers consist. What is not ASCII counts as letters.
var wordBytes = func() (b [256]bool) {
	for c := range b {
		b[c] = isAlnum(byte(c)) || c == '_' || c == '$' || c >= 0x80
	}
	return b
}()

// wordKind tells apart the keywords that matter here.
func wordKind(word []byte) js.TokenType {
	if len(word) < 2 || len(word) > 10 {
		return js.IdentifierToken
	}
	switch string(word) {
	case "if":
		return js.IfToken
	case "while":
		return js.WhileToken
	case "for":
		return js.ForToken
	case "with":
		return js.WithToken
	case "return":
		return js.ReturnToken
	case "typeof":
		return js.TypeofToken
	case "case":
		return js.CaseToken
	case "in":
		return js.InToken
	case "of":
		return js.OfToken
	case "delete":
		return js.DeleteToken
	case "void":
		return js.VoidToken
	case "throw":
		return js.ThrowToken
	case "new":
		return js.NewToken
	case "else":
		return js.ElseToken
	case "do":
		return js.DoToken
	case "instanceof":
		return js.InstanceofToken
	case "await":
		return js.AwaitToken
	case "yield":
		return js.YieldToken
	case "from":
		return js.FromToken
	case "import":
		return js.ImportToken
	case "true":
		return js.TrueToken
	case "false":
		return js.FalseToken
	case "null":
		return js.NullToken
	}
	return js.IdentifierToken
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// quoted returns the length of the string literal that begins here, or 0 if the line ends
// first, which it notes.
func (r *tokens) quoted(q byte) int {
	b, at := r.in.Bytes(), r.in.Offset()
	for i := at + 1; i < len(b); i++ {
		switch b[i] {
		case q:
			return i + 1 - at
		case '\\':
			if i++; i+1 < len(b) && b[i] == '\r' && b[i+1] == '\n' {
				i++
			}
		case '\n', '\r':
			r.lone[q] = i
			return 0
		}
	}
	r.lone[q] = len(b)
	return 0
}

// regexp returns the length of the regular expression that begins at off, or 0 if the line
// ends first, which it notes.
func (r *tokens) regexp(off int) int {
	if off < r.loneRegexp {
		return 0
	}
	b, class := r.in.Bytes(), false
	for i := off + 1; i < len(b); i++ {
		switch b[i] {
		case '/':
			if !class {
				for i++; i < len(b) && isAlnum(b[i]); i++ { // flags
				}
				return i - off
			}
		case '[':
			class = true
		case ']':
			class = false
		case '\\':
			i++
		case '\n', '\r':
			r.loneRegexp = i
			return 0
		}
	}
	r.loneRegexp = len(b)
	return 0
}

// track keeps the stack of open brackets. It runs before t becomes prev[0].
func (r *tokens) track(t token) {
	switch t.kind {
	case js.OpenParenToken:
		b := bracket{open: '('}
		if js.IsIdentifierName(r.before(0).kind) {
			b.callee = r.before(0).data
			switch {
			case (r.before(1).kind == js.DotToken || r.before(1).kind == js.OptChainToken) && js.IsIdentifierName(r.before(2).kind):
				b.object = r.before(2).data
			case r.before(1).kind == js.NewToken:
				b.isNew = true
			}
			switch r.before(0).kind {
			case js.IfToken, js.WhileToken, js.ForToken, js.WithToken:
				b.regexOK = true
			}
		}
		r.push(b)
	case js.OpenBraceToken:
		// After an object literal a slash divides, after a block it starts an expression.
		object := js.IsOperator(r.before(0).kind) || r.before(0).kind == js.OpenParenToken || r.before(0).kind == js.OpenBracketToken ||
			r.before(0).kind == js.CommaToken || r.before(0).kind == js.ColonToken || r.before(0).kind == js.QuestionToken || r.before(0).kind == js.ReturnToken
		r.push(bracket{open: '{', regexOK: !object})
	case js.OpenBracketToken:
		r.push(bracket{open: '['})
	case js.TemplateStartToken:
		r.push(bracket{open: '`'})
	case js.CloseParenToken, js.CloseBraceToken, js.CloseBracketToken, js.TemplateEndToken:
		r.closed = r.pop()
	case js.CommaToken:
		if b := r.top(); b != nil {
			b.arg++
		}
	case js.LtToken, js.GtToken:
		if r.jsx {
			r.trackElement(t)
		}
	}
}

// inElement reports whether the innermost bracket is a JSX element.
func (r *tokens) inElement() bool {
	b := r.top()
	return b != nil && b.open == '<'
}

// trackElement follows the tags of JSX. A less-than sign begins one where an expression may
// begin, or inside another element.
func (r *tokens) trackElement(t token) {
	within := r.inElement()
	switch {
	case t.kind == js.LtToken && !r.inTag && (within || r.regexAllowed()):
		if c := r.in.Peek(0); c == '/' || c == '>' || c == '_' || c == '$' || isAlnum(c) {
			r.inTag, r.closing, r.tagBase = true, c == '/', len(r.open)
		}
	case t.kind == js.GtToken && r.inTag && len(r.open) == r.tagBase:
		r.inTag = false
		switch {
		case r.closing:
			if within {
				r.pop()
			}
		case r.before(0).kind != js.DivToken: // not />
			r.push(bracket{open: '<'})
		}
	}
}

func (r *tokens) push(b bracket) {
	if len(r.open) == maxDepth {
		r.deeper++
		return
	}
	r.open = append(r.open, b)
}

func (r *tokens) pop() (regexOK bool) {
	if r.deeper > 0 {
		r.deeper--
		return false
	}
	if len(r.open) == 0 {
		return true
	}
	regexOK = r.open[len(r.open)-1].regexOK
	r.open = r.open[:len(r.open)-1]
	return regexOK
}

// regexAllowed reports whether a slash after prev[0] starts a regular expression. JavaScript
// decides that by grammar; these are the cases that a lexer can see.
func (r *tokens) regexAllowed() bool {
	switch k := r.before(0).kind; {
	case k == js.ErrorToken: // nothing before
		return true
	case k == js.CloseParenToken, k == js.CloseBraceToken:
		return r.closed
	case k == js.CloseBracketToken, k == js.IncrToken, k == js.DecrToken:
		return false
	case js.IsPunctuator(k), js.IsOperator(k):
		return true
	case k == js.ReturnToken, k == js.TypeofToken, k == js.CaseToken, k == js.InToken, k == js.OfToken, k == js.DeleteToken,
		k == js.VoidToken, k == js.ThrowToken, k == js.NewToken, k == js.ElseToken, k == js.DoToken, k == js.InstanceofToken,
		k == js.AwaitToken, k == js.YieldToken, k == js.TemplateStartToken, k == js.TemplateMiddleToken:
		return true
	}
	return false
}
