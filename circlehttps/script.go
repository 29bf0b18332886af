package circlehttps

import (
	"bytes"
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/tdewolff/parse/v2/js"
)

// scriptReader reads JavaScript: it puts string literals together, looks at what is done with
// them, and records addresses and definitions in its collector.
type scriptReader struct {
	*collector
	code  mapped
	toks  *tokens
	depth int    // of markup in scripts in markup
	where string // "js", or the attribute that holds the code
	kind  Kind   // what an address is used for, if the place of the code tells; or 0
	only  bool   // look for definitions, not for addresses

	// A literal waits here until it is known what follows it.
	waiting mapped
	hasWait bool
	plus    bool   // a plus sign followed it
	use     usage  // what was seen before it
	tag     string // the JSX element whose attributes are being read
}

// usage is what the tokens before a literal say about it.
type usage struct {
	kind   Kind
	where  string
	ignore bool // it is compared or shown, not used
}

// maxNesting bounds markup in scripts in markup.
const maxNesting = 4

const tooDeep = "markup in scripts in markup goes deeper than is read"

// readScript reads one script.
func (c *collector) readScript(m mapped, where string, kind Kind, depth int) {
	mayDefine := bytes.Contains(m.text, []byte("xmpcfg")) || bytes.Contains(m.text, []byte("xmpcustom"))
	if !mayDefine && !mayHoldAddress(m.text) {
		return
	}
	s := scriptReader{collector: c, code: m, where: where, kind: kind, depth: depth}
	s.read()
}

// mayHoldAddress is a quick look before a script is read: an address needs "http" or "ws"
// before a colon, a quote, a plus sign (as part of a concatenation) or an escape.
func mayHoldAddress(t []byte) bool {
	if mentionsInsecure(t) {
		return true
	}
	for _, tail := range []string{`tp"`, `tp'`, "tp`", `ws"`, `ws'`, "ws`", `TP"`, `TP'`, `WS"`, `WS'`} {
		if bytes.Contains(t, []byte(tail)) {
			return true
		}
	}
	for {
		i := bytes.IndexByte(t, '\\')
		if i < 0 || i+1 >= len(t) {
			return false
		}
		if c := t[i+1]; c == 'x' || c == 'u' || c >= '0' && c <= '7' { // h may be \x68, the colon \u003a
			return true
		}
		t = t[i+2:]
	}
}

func (s *scriptReader) read() {
	s.toks = newTokens(s.code.text)
	s.toks.jsx = s.jsx && s.depth == 0
	s.toks.comment = func(off int, data []byte) {
		if bytes.Contains(data, []byte("xmpcfg")) {
			if i := definitionInComment.FindIndex(data); i != nil {
				s.commented = append(s.commented, s.lines.position(s.code.span.file(off+bytes.Index(data[i[0]:], []byte("xmpcfg"))+i[0])))
			}
		}
	}
	configs, customs := len(s.configs), len(s.customs)
	for s.toks.advance() {
		t := s.toks.before(0)
		switch {
		case t.kind == js.IdentifierToken && (t.is("xmpcfg") || t.is("xmpcustom")):
			s.flush(0, false)
			s.readDefinition(*t)
		case !s.only:
			s.step(t)
		}
	}
	s.flush(0, false)
	// An assignment to a property makes the literal's value moot.
	for _, key := range s.overrides {
		for i := configs; i < len(s.configs); i++ {
			s.configs[i].Computed = append(s.configs[i].Computed, key)
		}
	}
	for _, key := range s.customOverrides {
		for i := customs; i < len(s.customs); i++ {
			s.customs[i].Computed = append(s.customs[i].Computed, key)
		}
	}
	s.overrides, s.customOverrides = nil, nil
}

// step handles one token that is not part of a definition.
func (s *scriptReader) step(t *token) {
	switch t.kind {
	case js.StringToken, js.TemplateToken:
		s.take(s.literal(*t))
		return
	case js.TemplateStartToken, js.TemplateMiddleToken, js.TemplateEndToken:
		begin, end := t.off+1, t.off+len(t.data)
		if t.kind == js.TemplateEndToken {
			end--
		} else {
			end -= len("${")
		}
		m := decodeJS(s.code.cut(begin, max(begin, end)))
		if t.kind == js.TemplateStartToken {
			s.take(m)
			s.flush(t.kind, true)
			return
		}
		s.flush(0, false)
		s.judge(m, usage{where: s.where + " template"}, t.kind == js.TemplateMiddleToken)
		return
	case js.AddToken:
		if s.hasWait && !s.plus {
			s.plus = true
			return
		}
	}
	if s.hasWait {
		s.flush(t.kind, s.plus)
	}
	if s.toks.jsx {
		s.trackTag(t)
	}
}

// take puts a literal behind the waiting one, or lets it wait.
func (s *scriptReader) take(m mapped) {
	if s.hasWait && s.plus {
		s.waiting, s.plus = join(s.waiting, m), false
		return
	}
	s.flush(0, false)
	s.waiting, s.hasWait, s.plus = m, true, false
	if interesting(m.text) {
		s.use = s.usage()
	} else {
		s.use = usage{}
	}
	if b := s.toks.top(); b != nil && b.open == '(' && len(m.text) < 32 {
		b.last = m.text
	}
}

// interesting reports whether a literal can be or begin an address or hold one.
func interesting(t []byte) bool {
	return len(t) >= 2 && (t[0]|0x20 == 'h' || t[0]|0x20 == 'w' || t[0] <= ' ' || mentionsInsecure(t))
}

// flush judges the waiting literal. after is the kind of the token that follows, or 0, and open tells that text
// is added to the literal at run time.
func (s *scriptReader) flush(after js.TokenType, open bool) {
	if !s.hasWait {
		return
	}
	m, u := s.waiting, s.use
	s.hasWait, s.plus, s.waiting = false, false, mapped{}
	switch after {
	case js.EqEqToken, js.EqEqEqToken, js.NotEqToken, js.NotEqEqToken:
		u.ignore = true
	}
	s.judge(m, u, open)
}

func (s *scriptReader) judge(m mapped, u usage, open bool) {
	if s.only || !mentionsInsecure(m.text) {
		return
	}
	for len(m.text) > 0 && m.text[0] <= ' ' {
		m = m.cut(1, len(m.text))
	}
	if colon, ok := startsInsecure(m.text, asString); ok {
		if u.ignore {
			return
		}
		kind := u.kind
		if s.kind != 0 {
			kind = s.kind
		}
		if kind == 0 {
			kind = UnknownUse
		}
		// "http://" alone is a prefix to compare with, unless it is kept to be glued to something.
		if len(bytes.Trim(m.text[colon+1:], "/\\")) == 0 {
			open = open || u.where != "" || u.kind != 0
		}
		if u.where == "" {
			u.where = s.where + " string"
		}
		s.add(m, kind, u.where, asString, open)
		return
	}
	// "http:" is glued to the rest at run time, or makes the page leave HTTPS.
	if colon, ok := startsInsecure(m.text, asMarkup); ok && colon == len(m.text)-1 && !u.ignore {
		if u.where == s.where+" protocol" {
			s.add(m, Navigation, u.where, asMarkup, true)
		} else if open || u.where != "" {
			s.add(m, cmp.Or(s.kind, u.kind, UnknownUse), cmp.Or(u.where, s.where+" string"), asMarkup, true)
		}
		return
	}
	if s.depth >= maxNesting {
		s.unfinished = tooDeep
		return
	}
	s.innards(m)
}

// attributeInString is an attribute of a tag that began in another string.
var attributeInString = regexp.MustCompile(`(?i)(?:^|["'\s])(src|href|srcset|action|formaction|poster|data|background|content|xlink:href|data-[\w-]+)\s*=\s*["']?\s*((?:https?|wss?):[\\/]{2}[^"'\s>]*)`)

// headerInString is an HTTP header that server code sends.
var headerInString = regexp.MustCompile(`(?i)^(location|refresh)\s*:\s*(?:\d+\s*[;,]\s*(?:url\s*=\s*)?)?(https?:[\\/]{2}[^"'\s>]*)`)

// innards looks for addresses in the middle of a string: in markup, styles and JSON.
func (s *scriptReader) innards(m mapped) {
	where := s.where + " string"
	tag := -1 // where markup begins
	for i := 0; tag < 0 && i < len(m.text); {
		j := bytes.IndexByte(m.text[i:], '<')
		if j < 0 {
			break
		}
		if i += j + 1; i < len(m.text) && isAlnum(m.text[i]) {
			tag = i - 1
		}
	}
	switch c := m.text[0]; {
	case tag >= 0:
		s.readFragment(m.cut(tag, len(m.text)), where, s.depth+1)
	case bytes.Contains(m.text, []byte("url(")), bytes.Contains(m.text, []byte("@import")):
		s.readStyle(m, where, false)
	case c == '{', c == '[':
		s.readScript(m, where, 0, s.depth+1)
	}
	if at := headerInString.FindSubmatchIndex(m.text); at != nil && s.where == inServerCode {
		s.add(m.cut(at[4], at[5]), UnknownUse, where+" "+strings.ToLower(string(m.text[at[2]:at[3]])), asString, at[5] == len(m.text))
	}
	// What stands before the first tag may be the rest of one.
	if tag < 0 {
		tag = len(m.text)
	}
	for _, at := range attributeInString.FindAllSubmatchIndex(m.text[:tag], maxLinks) {
		s.add(m.cut(at[4], at[5]), UnknownUse, where+" "+strings.ToLower(string(m.text[at[2]:at[3]])), asString, at[5] == len(m.text))
	}
}

// trackTag follows JSX tags, so that src in <img src="…"> is known as an image's.
func (s *scriptReader) trackTag(t *token) {
	p := s.toks
	switch {
	case t.kind == js.GtToken:
		s.tag = ""
	case p.before(1).kind == js.LtToken && js.IsIdentifierName(t.kind) && p.before(1).off+1 == t.off:
		s.tag = string(t.data)
	case t.kind == js.SemicolonToken:
		s.tag = ""
	}
}

var (
	callsActive = []string{"fetch", "ajax", "getJSON", "getScript", "importScripts", "import", "sendBeacon", "axios", "$http", "load", "register", "loadScript", "importScript", "Request"}
	newActive   = []string{"Worker", "SharedWorker", "EventSource", "XDomainRequest", "Request"}
	callsText   = []string{
		"indexOf", "lastIndexOf", "startsWith", "endsWith", "includes", "match", "split", "RegExp", "Error", "TypeError", "RangeError", "alert", "createElementNS", "setAttributeNS", "getAttributeNS", "hasAttributeNS", "removeAttributeNS",
		"getElementsByTagNameNS", "createAttributeNS", "createDocument", "createDocumentType", "lookupPrefix", "hasFeature", "isDefaultNamespace",
	}
	verbs   = []string{"get", "post", "put", "patch", "delete", "head", "jsonp", "request"}
	clients = []string{"$", "jQuery", "axios", "$http", "http", "superagent"}
)

// usage looks at the tokens before the literal that has just been read (prev[0]).
func (s *scriptReader) usage() usage {
	p := s.toks
	switch before := p.before(1); before.kind {
	case js.EqEqToken, js.EqEqEqToken, js.NotEqToken, js.NotEqEqToken, js.CaseToken:
		return usage{ignore: true}
	case js.AddToken, js.QuestionToken, js.OrToken, js.AndToken, js.NullishToken:
		return usage{}
	case js.ColonToken:
		if name := p.before(2); js.IsIdentifierName(name.kind) || name.kind == js.StringToken {
			if b := s.toks.top(); b == nil || b.open != '{' {
				return usage{} // the colon of a conditional
			}
			return s.property(clip(string(bytes.Trim(name.data, `"'`))), s.caller())
		}
		return usage{}
	case js.EqToken:
		name := p.before(2)
		if s.tag != "" && js.IsIdentifierName(name.kind) {
			if k, _ := attributeKind(s.tag, string(bytes.ToLower(name.data)), func(string) string { return "" }); k != 0 {
				return usage{kind: k, where: "jsx " + s.tag + " " + string(name.data)}
			}
			return usage{}
		}
		if p.before(3).kind == js.DotToken {
			return s.assigned(string(name.data), string(p.before(4).data))
		}
		if name.is("location") {
			return usage{kind: Navigation, where: s.where + " location"}
		}
		return usage{where: s.where + " " + clip(string(name.data))}
	case js.FromToken, js.ImportToken:
		return usage{kind: Active, where: s.where + " import"}
	case js.OpenParenToken, js.CommaToken:
		b := s.toks.top()
		if n := len(s.toks.open); p.before(0).kind == js.TemplateStartToken && n > 1 && s.toks.deeper == 0 {
			b = &s.toks.open[n-2] // the template itself is a bracket
		}
		if b != nil && b.open == '(' {
			return s.argument(b)
		}
	}
	return usage{}
}

// caller returns the call in whose object argument the reader stands: the parenthesis around
// the innermost brace.
func (s *scriptReader) caller() *bracket {
	if s.toks.deeper > 0 {
		return nil
	}
	for i := len(s.toks.open) - 1; i >= 0; i-- {
		if b := &s.toks.open[i]; b.open == '(' {
			return b
		} else if b.open != '{' {
			return nil
		}
	}
	return nil
}

// assigned tells the use of a value by the property of an object that it is assigned to.
func (s *scriptReader) assigned(name, object string) usage {
	u := usage{where: s.where + " " + clip(name)}
	object = strings.ToLower(object)
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(object, w) })
	}
	switch name {
	case "location":
		u.kind = Navigation
	case "href":
		if object == "location" || has("anchor") || object == "a" {
			u.kind = Navigation
		}
	case "action", "formAction":
		u.kind = FormTarget
	case "src":
		// An element is usually called what it is. If it is not, the file name has to tell.
		switch {
		case has("script", "frame"):
			u.kind = Active
		case has("img", "image", "video", "audio"):
			u.kind = Passive
		}
	}
	return u
}

// property tells the use of a value by its key in an object literal.
func (s *scriptReader) property(name string, call *bracket) usage {
	u := usage{where: s.where + " " + name}
	switch name {
	case "templateUrl", "baseURL":
		u.kind = Active
	case "url", "URL", "uri":
		if call != nil {
			if a := s.argument(call); a.kind == Active {
				u.kind, u.where = Active, a.where+" "+name
			}
		}
	case "namespaceURI", "xmlns", "message", "title", "description", "text", "alt":
		u.ignore = true
	}
	return u
}

// argument tells the use of a literal by the function that it is given to.
func (s *scriptReader) argument(b *bracket) usage {
	callee, object := string(b.callee), string(b.object)
	where := s.where + " " + callee
	switch {
	case callee == "WebSocket":
		return usage{kind: WebSocket, where: where}
	case callee == "Audio" && b.isNew:
		return usage{kind: Passive, where: where}
	case b.isNew && slices.Contains(newActive, callee):
		return usage{kind: Active, where: where}
	case callee == "open" && (object == "" || object == "window" || object == "self" || object == "parent" || object == "top"):
		if b.arg == 0 {
			return usage{kind: Navigation, where: s.where + " window.open"}
		}
	case callee == "open" && b.arg == 1:
		return usage{kind: Active, where: s.where + " XMLHttpRequest.open"}
	case (callee == "assign" || callee == "replace") && object == "location":
		return usage{kind: Navigation, where: s.where + " location." + callee}
	case callee == "replace" || callee == "replaceAll":
		return usage{ignore: true}
	case object == "console", slices.Contains(callsText, callee):
		return usage{ignore: true}
	case slices.Contains(verbs, callee) && slices.Contains(clients, object) && b.arg == 0:
		return usage{kind: Active, where: s.where + " " + object + "." + callee}
	case slices.Contains(callsActive, callee) && (b.arg == 0 || callee == "import"):
		return usage{kind: Active, where: where}
	case (callee == "setAttribute" || callee == "attr" || callee == "prop") && b.arg == 1:
		switch string(b.last) {
		case "href":
			return usage{where: where + " href"}
		case "action", "formaction":
			return usage{kind: FormTarget, where: where + " action"}
		default:
			return usage{where: where}
		}
	}
	return usage{}
}
