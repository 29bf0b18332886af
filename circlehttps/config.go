package circlehttps

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tdewolff/parse/v2"
	"github.com/tdewolff/parse/v2/js"

	"github.com/connsec/connsec"
)

// Scheme is what the API address begins with.
type Scheme uint8

const (
	HTTPS Scheme = iota
	HTTP
)

// String returns "https" or "http".
func (s Scheme) String() string { return name([]string{"https", "http"}, int(s)) }

// Value is a text in a JavaScript object, with its place.
type Value struct {
	Text   string           `json:"text"`
	Source connsec.Position `json:"source,omitzero"` // of the opening quote
	m      mapped           // Text and where its bytes stand

	upgrade []edit // what makes it an https address
	problem string // why that is not possible
	guard   bool   // an integrity hash covers this place
}

// Stated reports whether the value stands in the file.
func (v Value) Stated() bool { return v.Source.Line > 0 }

// Definition is one live definition of xmpcfg: what a page that loads the file gets.
type Definition struct {
	Source connsec.Position `json:"source"` // of the word xmpcfg
	// AccessToken opens the project's API. Every visitor of the site can read it, but
	// reports need not repeat it.
	AccessToken connsec.Secret `json:"-"`
	// TokenKnown tells whether the token has the form that Circle writes, and TokenProject
	// which project it names then.
	TokenKnown   bool   `json:"token_known"`
	TokenProject string `json:"token_project,omitempty"`
	HasToken     bool   `json:"has_token"`
	// URL is the address of the XMPL API, ProjectID and ProjectName what Circle calls them.
	URL         Value `json:"url"`
	ProjectID   Value `json:"project_id"`
	ProjectName Value `json:"project_name"`
	// UpperURL: the address stands under the key URL, which the library reads only if there
	// is no url.
	UpperURL bool `json:"upper_url,omitempty"`
	// Computed names the keys whose value is not a plain string, so that only running the
	// code would tell. It is "xmpcfg" if the whole is not an object literal.
	Computed []string `json:"computed,omitempty"`

	tokenSource connsec.Position
}

// Scheme returns the scheme of the address; ok is false if there is none to be seen.
func (d Definition) Scheme() (s Scheme, ok bool) {
	switch scheme, _, _ := splitURL(d.URL.Text); scheme {
	case "https":
		return HTTPS, true
	case "http":
		return HTTP, true
	}
	return 0, false
}

// Host returns the host name of the address in lower case, without port, or "".
func (d Definition) Host() string { return hostOf(d.URL.Text) }

// ConfigFile is what xmpcfg.js, or a script with the same object, defines.
type ConfigFile struct {
	// Definitions are the live ones in order. If there are several, the last one holds.
	Definitions []Definition
	// Commented are the places of definitions inside comments.
	Commented []connsec.Position
}

// ParseError says why a file could not be read as xmpcfg.js or xmpcustom.js.
type ParseError struct {
	Source  connsec.Position
	Problem string
}

// Error is one line, with the place.
func (e *ParseError) Error() string { return "circlehttps: " + e.Source.String() + ": " + e.Problem }

// ParseConfig reads xmpcfg.js: the file as Circle writes it, a reformatted or minified one, one
// with earlier definitions commented out, or any script with the object in it. The text is
// never executed. The error is a [*ParseError] if there is no live definition, or if the file is
// called xmpcfg.js and is not valid JavaScript; a definition with something missing or computed
// is no error.
func ParseConfig(file string, src []byte) (ConfigFile, error) {
	c, err := parseScript(file, src, "xmpcfg")
	if err != nil {
		return ConfigFile{}, err
	}
	return ConfigFile{c.configs, c.commented}, nil
}

// Custom is one live definition of xmpcustom.
type Custom struct {
	Source   connsec.Position `json:"source"` // of the word xmpcustom
	LoginURL Value            `json:"login_url"`
	Computed []string         `json:"computed,omitempty"` // see [Definition.Computed]
}

// ParseCustom reads xmpcustom.js as [ParseConfig] reads xmpcfg.js. If there are several live
// definitions, the last one is returned.
func ParseCustom(file string, src []byte) (Custom, error) {
	c, err := parseScript(file, src, "xmpcustom")
	if err != nil {
		return Custom{}, err
	}
	return c.customs[len(c.customs)-1], nil
}

func parseScript(file string, src []byte, word string) (c *collector, err error) {
	whole := connsec.Position{File: file}
	defer func() {
		if recover() != nil {
			c, err = nil, &ParseError{whole, "it could not be understood; please report this as a defect"}
		}
	}()
	if problem := unreadableText(src); problem != "" {
		return nil, &ParseError{whole, problem}
	}
	src = src[:len(src):len(src)] // the lexer writes behind the end
	c = &collector{lines: newLines(file, src)}
	s := scriptReader{collector: c, code: mapped{text: src}, only: true}
	s.read()
	found := word == "xmpcfg" && len(c.configs) > 0 || word == "xmpcustom" && len(c.customs) > 0
	if found && !strings.EqualFold(path.Base(file), word+".js") {
		return c, nil // a source that is compiled to something else before a browser sees it, perhaps
	}
	if err := syntax(src); err != nil {
		return nil, &ParseError{c.lines.position(err.off), "not valid JavaScript, so a browser runs none of it: " + err.what}
	}
	if found {
		return c, nil
	}
	if len(c.commented) > 0 {
		return nil, &ParseError{c.commented[0], word + " is defined in a comment only"}
	}
	return nil, &ParseError{whole, word + " is not defined"}
}

type syntaxError struct {
	off  int
	what string
}

// syntax returns what a JavaScript parser objects to. JSX and TypeScript are objected to as
// well, so this is asked only about what a browser is served as it is.
func syntax(src []byte) (problem *syntaxError) {
	in := parse.NewInputBytes(bytes.TrimPrefix(bytes.Clone(src), []byte("\xef\xbb\xbf")))
	bom := len(src) - in.Len()
	_, err := js.Parse(in, js.Options{})
	if err == nil {
		return nil
	}
	what := err.Error()
	var perr *parse.Error
	if errors.As(err, &perr) {
		what = perr.Message
	}
	return &syntaxError{min(in.Offset()+bom, len(src)), clip(what)}
}

// SetScheme changes the scheme of the API address in xmpcfg.js and nothing else. It changes
// every live definition, so they have to agree; a file that already has the scheme is returned
// as it is. Changing the scheme and changing it back gives the original bytes.
//
// The explicit default port of one scheme becomes that of the other. Any other port is
// refused: which port speaks the other scheme does not stand in the file.
func SetScheme(file string, src []byte, to Scheme) ([]byte, error) {
	c, err := ParseConfig(file, src)
	if err != nil {
		return nil, err
	}
	edits, err := schemeEdits(c.Definitions, to)
	if err != nil {
		return nil, err
	}
	return applyEdits(src, edits), nil
}

func schemeEdits(defs []Definition, to Scheme) ([]edit, error) {
	var edits []edit
	for _, d := range defs {
		from, ok := d.Scheme()
		first, _ := defs[0].Scheme()
		switch {
		case !ok:
			return nil, &ParseError{d.Source, "the url of this definition is not a plain http or https address; download the file from Circle again"}
		case from != first:
			return nil, &ParseError{d.Source, "this definition has another scheme than the one at " + defs[0].Source.String() + "; remove the one that does not hold"}
		}
		e, err := d.URL.schemeEdit(to)
		if err != nil {
			return nil, &ParseError{d.URL.Source, err.Error()}
		}
		edits = append(edits, e...)
	}
	return edits, nil
}

// edit replaces the bytes from off to end of a file.
type edit struct {
	off, end int
	text     string
}

// applyEdits returns src with the edits, which do not overlap; one that is given twice counts once.
func applyEdits(src []byte, edits []edit) []byte {
	edits = slices.Clone(edits)
	slices.SortStableFunc(edits, func(a, b edit) int { return a.off - b.off })
	edits = slices.Compact(edits)
	out := make([]byte, 0, len(src)+len(edits))
	at := 0
	for _, e := range edits {
		out = append(out, src[at:e.off]...)
		out = append(out, e.text...)
		at = e.end
	}
	return append(out, src[at:]...)
}

var errSchemeForm = errors.New("the scheme of the url is written with escapes or in mixed case; write it in lower case")

// schemeEdit returns what turns the scheme of the address in v. It refuses what could not be
// turned back to the same bytes.
func (v Value) schemeEdit(to Scheme) ([]edit, error) {
	scheme, authority, ok := splitURL(v.Text)
	if !ok {
		return nil, errors.New("the url is not an absolute address")
	}
	switch scheme {
	case to.String():
		return nil, nil
	case "http", "https":
	default:
		return nil, errors.New("the url is of another scheme than http and https")
	}
	begin := strings.Index(v.Text, ":") - len(scheme)
	// Each letter has to be one byte of the file, and an s has to have the case of the p.
	for i := range scheme {
		if v.m.span.file(begin+i+1) != v.m.span.file(begin+i)+1 {
			return nil, errSchemeForm
		}
	}
	p := v.Text[begin+3]
	s := "s"
	if p == 'P' {
		s = "S"
	}
	colon := begin + len(scheme)
	var edits []edit
	if to == HTTPS {
		at := v.m.span.file(colon)
		edits = append(edits, edit{at, at, s})
	} else {
		if v.Text[colon-1] != s[0] {
			return nil, errSchemeForm
		}
		edits = append(edits, edit{v.m.span.file(colon - 1), v.m.span.file(colon), ""})
	}
	port, at := portOf(authority)
	if at < 0 {
		return edits, nil
	}
	was, becomes := "80", "443"
	if to == HTTP {
		was, becomes = becomes, was
	}
	if port != was {
		return nil, fmt.Errorf("the url names port %s, and which port speaks %s is not known; edit it by hand or download the file from Circle again", clip(port), to)
	}
	i := strings.Index(v.Text, "://") + 3 + at
	for k := range port {
		if v.m.span.file(i+k+1) != v.m.span.file(i+k)+1 {
			return nil, errSchemeForm
		}
	}
	return append(edits, edit{v.m.span.file(i), v.m.span.file(i + len(port)), becomes}), nil
}

// splitURL takes "http://host:80/path" apart. The scheme comes in lower case.
func splitURL(s string) (scheme, authority string, ok bool) {
	scheme, rest, ok := strings.Cut(strings.TrimLeft(s, " "), "://")
	if !ok || scheme == "" || len(scheme) > 8 || strings.ContainsFunc(scheme, func(r rune) bool { return r == ':' || r >= utf8.RuneSelf }) {
		return "", "", false // letters beyond ASCII would change their length in lower case, too
	}
	if i := strings.IndexAny(rest, "/?#\\"); i >= 0 {
		rest = rest[:i]
	}
	return strings.ToLower(scheme), rest, true
}

// portOf returns the explicit port of an authority and where it begins, or -1.
func portOf(authority string) (string, int) {
	i := strings.LastIndexByte(authority, ':')
	if i < 0 || strings.IndexByte(authority[i:], ']') >= 0 {
		return "", -1
	}
	return authority[i+1:], i + 1
}

// hostOf returns the host of an absolute address in lower case, without user, port and
// trailing dot.
func hostOf(s string) string {
	_, authority, ok := splitURL(s)
	if !ok {
		return ""
	}
	authority = authority[strings.LastIndexByte(authority, '@')+1:]
	if _, at := portOf(authority); at >= 0 {
		authority = authority[:at-1]
	}
	return strings.TrimSuffix(strings.ToLower(authority), ".")
}

// A token is <GUID>_<project's GUID>_<32 hex digits>.
var tokenForm = regexp.MustCompile(`(?i)^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}_([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})_[0-9a-f]{32}$`)

// object is a JavaScript object literal as far as it is made of literals.
type object struct {
	fields []field
}

type field struct {
	key   string
	value *mapped // a plain string, nil otherwise
	at    int     // offset of the value
	inner *object // an object, nil otherwise
	plain bool    // some other literal: a number, true, null

	shorthand bool // a name or method without a value
}

// get returns the field that holds: the last one with the key.
func (o *object) get(key string) *field {
	for i := len(o.fields) - 1; i >= 0; i-- {
		if o.fields[i].key == key {
			return &o.fields[i]
		}
	}
	return nil
}

const (
	maxObjectDepth = 32
	maxDefinitions = 100 // of one file
)

// readObject reads an object literal whose opening brace has just been read, to its closing
// brace. What is not a literal becomes a field without value. ok is false at a premature end.
func (s *scriptReader) readObject(depth int) (o *object, ok bool) {
	o = &object{}
	for {
		t, more := s.toks.next()
		if !more {
			return o, false
		}
		var f field
		switch {
		case t.kind == js.CloseBraceToken:
			return o, true
		case t.kind == js.CommaToken:
			continue
		case t.kind == js.StringToken:
			f.key = string(s.literal(t).text)
		case js.IsIdentifierName(t.kind), js.IsNumeric(t.kind):
			f.key = string(t.data)
		case t.kind == js.CloseParenToken, t.kind == js.CloseBracketToken:
			return o, false
		default: // a spread, a computed key
			s.toks.back()
			if !s.skipValue() {
				return o, false
			}
			o.fields = append(o.fields, field{key: "..."})
			continue
		}
		if t, more = s.toks.next(); !more {
			return o, false
		}
		if t.kind != js.ColonToken { // shorthand or method
			s.toks.back()
			if !s.skipValue() {
				return o, false
			}
			f.shorthand = true
			o.fields = append(o.fields, f)
			continue
		}
		if !s.readValue(&f, depth) {
			return o, false
		}
		o.fields = append(o.fields, f)
	}
}

// readValue reads a value up to the comma or brace that ends it, which it leaves.
func (s *scriptReader) readValue(f *field, depth int) bool {
	t, more := s.toks.next()
	if !more {
		return false
	}
	f.at = t.off
	switch {
	case t.kind == js.StringToken || t.kind == js.TemplateToken:
		m := s.literal(t)
		f.value = &m
	case t.kind == js.OpenBraceToken && depth < maxObjectDepth:
		inner, ok := s.readObject(depth + 1)
		if !ok {
			return false
		}
		f.inner = inner
	case js.IsNumeric(t.kind), t.kind == js.TrueToken, t.kind == js.FalseToken, t.kind == js.NullToken:
		f.plain = true
	default:
		s.toks.back()
		return s.skipValue()
	}
	if t, more = s.toks.next(); !more {
		return false
	}
	s.toks.back()
	if t.kind != js.CommaToken && t.kind != js.CloseBraceToken { // an operator: not the value after all
		f.value, f.inner, f.plain = nil, nil, false
		return s.skipValue()
	}
	return true
}

// skipValue reads up to the comma or closing brace that ends an expression, and leaves it.
func (s *scriptReader) skipValue() bool {
	depth := 0
	for {
		t, more := s.toks.next()
		if !more {
			return false
		}
		switch t.kind {
		case js.OpenBraceToken, js.OpenParenToken, js.OpenBracketToken, js.TemplateStartToken:
			depth++
		case js.CloseBraceToken, js.CloseParenToken, js.CloseBracketToken, js.TemplateEndToken:
			if depth == 0 {
				s.toks.back()
				return true
			}
			depth--
		case js.CommaToken:
			if depth == 0 {
				s.toks.back()
				return true
			}
		}
	}
}

// literal returns what a string or template token stands for.
func (s *scriptReader) literal(t token) mapped {
	end := len(t.data)
	if end > 1 {
		end--
	}
	return decodeJS(s.code.cut(t.off+1, t.off+end))
}

// readDefinition looks whether the word that has just been read begins a definition, and
// reads it if so.
func (s *scriptReader) readDefinition(word token) {
	p := s.toks
	if k := p.before(1).kind; k == js.DotToken || k == js.OptChainToken {
		switch string(p.before(2).data) {
		case "window", "self", "globalThis", "top", "parent", "this":
		default:
			return // somebody else's property
		}
	}
	custom := word.is("xmpcustom")
	t, more := s.toks.next()
	if !more {
		return
	}
	needsAccess := false
	switch t.kind {
	case js.EqToken:
	case js.ColonToken:
		// "{ xmpcfg: {…} }" in a module, or the type in "const xmpcfg: Config = {…}".
		if t, more = s.toks.next(); !more {
			return
		}
		if t.kind == js.OpenBraceToken {
			needsAccess = true
			s.toks.back()
			break
		}
		for range 8 {
			if !js.IsIdentifierName(t.kind) && t.kind != js.DotToken {
				break
			}
			if t, more = s.toks.next(); !more {
				return
			}
		}
		if t.kind != js.EqToken {
			s.toks.back()
			return
		}
	case js.DotToken:
		s.readOverride(custom)
		return
	default:
		s.toks.back()
		return
	}
	at := s.code.span.file(word.off)
	if t, more = s.toks.next(); !more {
		return
	}
	if t.kind != js.OpenBraceToken {
		s.toks.back()
		if t.kind == js.IdentifierToken && t.is("window") || t.is(string(word.data)) {
			return // "window.xmpcfg = window.xmpcfg || {}" defines nothing by itself
		}
		s.define(custom, at, nil)
		return
	}
	if t, more = s.toks.next(); !more {
		return
	}
	jsx := t.kind == js.OpenBraceToken // <XmplProvider xmpcfg={{access: {…}}}>
	if !jsx {
		s.toks.back()
	}
	o, ok := s.readObject(0)
	if !ok || needsAccess && o.get("access") == nil && (!custom || o.get("loginUrl") == nil) {
		return
	}
	if len(o.fields) == 1 && o.fields[0].shorthand {
		return // <XmplProvider xmpcfg={config}>
	}
	s.define(custom, at, o)
}

// readOverride notes assignments such as xmpcfg.access.url = …, after which the literal no
// longer tells what holds.
func (s *scriptReader) readOverride(custom bool) {
	at := s.code.span.file(s.toks.before(1).off)
	path := ""
	for range 4 {
		t, more := s.toks.next()
		if !more {
			return
		}
		switch {
		case js.IsIdentifierName(t.kind):
			path = string(t.data)
		case t.kind == js.DotToken:
		case t.kind == js.EqToken:
			list := &s.overrides
			if custom {
				list = &s.customOverrides
			} else if len(s.overridden) < maxDefinitions && slices.Contains([]string{"access", "url", "URL"}, path) {
				s.overridden = append(s.overridden, at)
			}
			if slices.Contains([]string{"xmpcfg", "access", "url", "URL", "accessToken", "circleProjectID", "loginUrl"}, path) && !slices.Contains(*list, path) {
				*list = append(*list, path)
			}
			return
		default:
			s.toks.back()
			return
		}
	}
}

func (s *scriptReader) define(custom bool, at int, o *object) {
	if len(s.configs)+len(s.customs) == maxDefinitions {
		s.unfinished = "it has more definitions than are listed"
		return
	}
	pos := s.lines.position(at)
	value := func(f *field) (Value, bool) {
		if f == nil || f.value == nil {
			return Value{}, f != nil
		}
		v := Value{Text: string(f.value.text), Source: s.lines.position(s.code.span.file(f.at)), m: *f.value, guard: s.guarded}
		edits, err := v.schemeEdit(HTTPS)
		if v.upgrade = edits; err != nil {
			v.problem = err.Error()
		}
		return v, false
	}
	if custom {
		c := Custom{Source: pos}
		if o == nil {
			c.Computed = []string{"xmpcustom"}
		} else {
			var computed bool
			if c.LoginURL, computed = value(o.get("loginUrl")); computed {
				c.Computed = append(c.Computed, "loginUrl")
			}
			if !c.LoginURL.Stated() && o.get("...") != nil {
				c.Computed = append(c.Computed, "xmpcustom")
			}
		}
		s.customs = append(s.customs, c)
		return
	}
	d := Definition{Source: pos}
	defer func() { s.configs = append(s.configs, d) }()
	if o == nil {
		d.Computed = []string{"xmpcfg"}
		return
	}
	access := o.get("access")
	if access == nil || access.inner == nil {
		if access != nil || o.get("...") != nil {
			d.Computed = []string{"access"}
		}
		return
	}
	take := func(key string) Value {
		v, computed := value(access.inner.get(key))
		if computed {
			d.Computed = append(d.Computed, key)
		}
		return v
	}
	token := take("accessToken")
	d.AccessToken, d.HasToken, d.tokenSource = connsec.NewSecret(token.Text), token.Text != "", token.Source
	if m := tokenForm.FindStringSubmatch(token.Text); m != nil {
		d.TokenKnown, d.TokenProject = true, strings.ToLower(m[1])
	}
	// The library reads url and falls back to URL if that is missing or empty.
	if d.URL = take("url"); d.URL.Text == "" && !slices.Contains(d.Computed, "url") {
		if upper := take("URL"); upper.Stated() {
			d.URL, d.UpperURL = upper, true
		}
	}
	d.ProjectID, d.ProjectName = take("circleProjectID"), take("circleProjectName")
	if access.inner.get("...") != nil {
		d.Computed = append(d.Computed, "access")
	}
}

// definitionInComment finds a definition that is switched off.
var definitionInComment = regexp.MustCompile(`(?:^|[^.\w$])xmpcfg\s*=\s*\{`)
