package circlehttps

import (
	"bytes"
	"regexp"
	"slices"
	"strings"

	"github.com/tdewolff/parse/v2"
	"github.com/tdewolff/parse/v2/html"
	"github.com/tdewolff/parse/v2/xml"
)

// dialect is the kind of markup.
type dialect uint8

const (
	htmlMarkup dialect = iota
	svgMarkup
	xmlMarkup
)

// markupLexer is what the HTML and the XML lexer have in common, with one set of token kinds.
type markupLexer interface {
	next() (html.TokenType, []byte)
	Text() []byte
	AttrVal() []byte
}

type htmlLexer struct{ *html.Lexer }

func (l htmlLexer) next() (html.TokenType, []byte) { return l.Next() }

type xmlLexer struct{ *xml.Lexer }

var xmlKinds = map[xml.TokenType]html.TokenType{
	xml.ErrorToken: html.ErrorToken, xml.CommentToken: html.CommentToken, xml.DOCTYPEToken: html.DoctypeToken, xml.CDATAToken: html.TextToken,
	xml.StartTagToken: html.StartTagToken, xml.StartTagCloseToken: html.StartTagCloseToken, xml.StartTagCloseVoidToken: html.StartTagVoidToken,
	// A processing instruction reads like an empty element.
	xml.StartTagPIToken: html.StartTagToken, xml.StartTagClosePIToken: html.StartTagVoidToken,
	xml.EndTagToken: html.EndTagToken, xml.AttributeToken: html.AttributeToken, xml.TextToken: html.TextToken,
}

func (l xmlLexer) next() (html.TokenType, []byte) {
	kind, data := l.Next()
	return xmlKinds[kind], data
}

// attr is one attribute of the tag being read.
type attr struct {
	name string
	raw  mapped // the value without quotes, character references unresolved
}

// element is one open element.
type element struct {
	tag          string
	personalized bool // it or an ancestor is a personalized controller
	form         int  // index into pageFacts.forms plus one, 0 outside
}

// maxElements bounds the stack of open elements. Elements nested deeper are read, but their
// controllers and forms are not told apart.
const maxElements = 512

type markupReader struct {
	*collector
	m       mapped
	in      *parse.Input
	lx      markupLexer
	dialect dialect
	where   string // a prefix for Link.Where: "" or "js string "
	depth   int
	page    bool // this is the page itself, not a fragment in a script

	open    []element
	svg     int // open svg elements
	tag     string
	tagOff  int
	attrs   []attr
	content string // the raw text element whose content comes next
	typ     string // its type attribute
}

// readMarkup reads a page, an SVG image or an XML document.
func (c *collector) readMarkup(m mapped, d dialect) {
	r := markupReader{collector: c, m: m, dialect: d, page: d == htmlMarkup}
	r.read()
}

// serverCode is what a web server runs before it serves a page: PHP, and ASP, JSP and templates.
// Comments and directives, which name libraries, are not of interest.
var serverCode = regexp.MustCompile(`(?s)<\?(?:php\b|=)?(.*?)(?:\?>|\z)|<%[^@\-](.*?)%>`)

const inServerCode = "server code"

// readServerCode reads the code in a page for strings that are addresses; what it does with them
// is not followed.
func (c *collector) readServerCode(m mapped) {
	for _, at := range serverCode.FindAllSubmatchIndex(m.text, -1) {
		begin, end := at[2], at[3]
		if begin < 0 {
			begin, end = at[4], at[5]
		}
		c.readScript(m.cut(begin, end), inServerCode, UnknownUse, maxNesting-1)
	}
}

// readFragment reads markup in a string, which may begin or end in the middle of a tag.
func (c *collector) readFragment(m mapped, where string, depth int) {
	if !mentionsInsecure(m.text) {
		return
	}
	r := markupReader{collector: c, m: m, where: where + " ", depth: depth}
	r.read()
}

func (r *markupReader) read() {
	if r.dialect == htmlMarkup {
		text := r.m.text
		if cap(text) == len(text) { // not a whole file: the lexer and we write into it
			text = bytes.Clone(text)
		}
		separateForeign(text)
		r.in = parse.NewInputBytes(text)
		r.lx = htmlLexer{html.NewLexer(r.in)}
	} else {
		r.in = parse.NewInputBytes(bytes.Clone(r.m.text)) // the lexer turns line ends in attributes into blanks
		r.lx = xmlLexer{xml.NewLexer(r.in)}
	}
	inTag := false
	for {
		kind, data := r.lx.next()
		off := r.in.Offset() - len(data)
		switch kind {
		case html.ErrorToken:
			if inTag { // a fragment that is continued elsewhere
				r.startTag(false)
			}
			if r.in.Err() == nil {
				r.unfinished = "a NUL byte ends what an XML reader reads"
			}
			return
		case html.StartTagToken:
			r.tag, r.tagOff, r.attrs, inTag = r.tagName(r.lx.Text()), off, r.attrs[:0], true
		case html.AttributeToken:
			if len(r.attrs) == maxAttributes {
				r.unfinished = "a tag has more attributes than are read"
				continue
			}
			r.attribute()
		case html.StartTagCloseToken, html.StartTagVoidToken:
			inTag = false
			r.startTag(kind == html.StartTagVoidToken)
		case html.TextToken:
			r.text(off, data)
		case html.EndTagToken:
			r.endTag(r.tagName(bytes.TrimSpace(r.lx.Text())))
		case html.CommentToken:
			// These are empty to browsers (HTML 13.2.5.43 and 44); the lexer reads on to the next -->.
			for _, empty := range []string{"<!-->", "<!--->"} {
				if r.dialect == htmlMarkup && bytes.HasPrefix(data, []byte(empty)) {
					r.in.Rewind(len(empty) - len(data))
					r.in.Skip()
					data = data[:len(empty)]
				}
			}
			r.comment(data)
		}
	}
}

// maxAttributes bounds the attributes of one tag, so that looking one up stays cheap.
const maxAttributes = 256

// separateForeign renames <svg>, <math> and <xml> tags for the HTML lexer, which would give
// back everything up to their end as one token, and more than that after an odd quote. Under
// another name their content is read tag by tag, as browsers read it.
func separateForeign(b []byte) {
	for at := 0; ; {
		i := bytes.IndexByte(b[at:], '<')
		if i < 0 {
			return
		}
		at += i + 1
		for _, n := range []string{"svg", "math", "xml"} {
			end := at + len(n)
			if end < len(b) && bytes.EqualFold(b[at:end], []byte(n)) && !isAlnum(b[end]) {
				b[end-1] = foreignMark
			}
		}
	}
}

const foreignMark = '~'

var tagNames = func() map[string]string {
	m := map[string]string{"sv~": "svg", "mat~": "math", "xm~": "xml"}
	for _, n := range strings.Fields(`a area audio base body button div embed form frame head html iframe image img input li link meta
		object option p param script section source span style table td template th title tr track ul use video`) {
		m[n] = n
	}
	return m
}()

func (r *markupReader) tagName(b []byte) string {
	if n, ok := tagNames[string(b)]; ok {
		return n
	}
	return strings.ToLower(string(b[:min(len(b), 64)]))
}

func (r *markupReader) attribute() {
	val := r.lx.AttrVal()
	begin, end := r.in.Offset()-len(val), r.in.Offset()
	if n := len(val); n > 0 && (val[0] == '"' || val[0] == '\'') {
		begin++
		if n > 1 && val[n-1] == val[0] {
			end--
		}
	}
	name := r.lx.Text()
	r.attrs = append(r.attrs, attr{strings.ToLower(string(name[:min(len(name), 128)])), r.m.cut(begin, max(begin, end))})
}

// get returns the resolved value of an attribute; of two with one name, the first holds.
func (r *markupReader) get(name string) string {
	v, _ := r.lookup(name)
	return v
}

func (r *markupReader) lookup(names ...string) (string, bool) {
	for i := range r.attrs {
		if slices.Contains(names, r.attrs[i].name) {
			return strings.TrimSpace(string(decodeEntities(r.attrs[i].raw).text)), true
		}
	}
	return "", false
}

func (r *markupReader) has(names ...string) bool {
	_, ok := r.lookup(names...)
	return ok
}

// startTag handles a tag whose attributes have been read.
func (r *markupReader) startTag(void bool) {
	for i := range r.attrs {
		r.address(&r.attrs[i])
	}
	if r.refs != nil && r.page {
		r.reference()
	}
	switch r.tag {
	case "svg", "math":
		if !void {
			r.svg++
		}
	case "script", "style":
		r.content, r.typ = r.tag, strings.ToLower(r.get("type"))
	}
	if void && (r.dialect != htmlMarkup || r.svg > 0) {
		// Foreign elements can be empty. The HTML lexer does not know that it is in one, and
		// would read on to the end tag of a script that has none.
		if r.content != "" || r.tag == "title" || r.tag == "textarea" {
			if r.dialect == htmlMarkup {
				r.lx = htmlLexer{html.NewLexer(r.in)}
			}
			r.content = ""
		}
	}
	if r.page {
		r.pageTag(void)
	}
}

// reference notes what else of the site the page leads to.
func (r *markupReader) reference() {
	ref := ""
	switch r.tag {
	case "a", "area":
		ref = r.get("href")
	case "script", "iframe", "frame":
		ref = r.get("src")
	case "link":
		if strings.EqualFold(r.get("rel"), "stylesheet") || strings.EqualFold(r.get("rel"), "manifest") {
			ref = r.get("href")
		}
	}
	if ref != "" && len(*r.refs) < maxLinks {
		*r.refs = append(*r.refs, ref)
	}
}

func (r *markupReader) endTag(tag string) {
	r.content = ""
	if (tag == "svg" || tag == "math") && r.svg > 0 {
		r.svg--
	}
	for i := len(r.open) - 1; i >= 0; i-- {
		if r.open[i].tag == tag {
			r.open = r.open[:i]
			return
		}
	}
}

func (r *markupReader) text(off int, data []byte) {
	content := r.content
	r.content = ""
	verbatim := r.dialect == htmlMarkup
	if bytes.HasPrefix(data, []byte("<![CDATA[")) {
		off += len("<![CDATA[")
		data = bytes.TrimSuffix(data[len("<![CDATA["):], []byte("]]>"))
		verbatim = true
	}
	m := r.m.cut(off, off+len(data))
	if !verbatim && content != "" { // in XML, references count in scripts and styles, too
		m = decodeEntities(m)
	}
	switch {
	case content == "script":
		r.inlineScript(m)
	case content == "style":
		r.guardInline(func() { r.readStyle(m, r.where+"css", false) })
	case r.dialect == xmlMarkup && mentionsInsecure(data):
		m = withoutBreaks(decodeEntities(m))
		kind := UnknownUse
		if slices.Contains([]string{"loc", "link", "url", "guid", "id", "image:loc"}, r.tag) {
			kind = Canonical
		}
		r.add(m, kind, "xml "+clip(r.tag), asString, false)
	}
}

// guardInline marks what read finds as covered by the page's hashes, if it has any.
func (r *markupReader) guardInline(read func()) {
	was := r.guarded
	r.guarded = was || r.inlineHashes
	read()
	r.guarded = was
}

func (r *markupReader) inlineScript(m mapped) {
	switch t, _, _ := strings.Cut(r.typ, ";"); strings.TrimSpace(t) {
	case "", "module", "text/javascript", "application/javascript", "text/ecmascript", "application/ecmascript", "application/x-javascript",
		"text/babel", "text/jsx", "text/typescript", "text/x-javascript":
		configs, customs := len(r.configs), len(r.customs)
		r.guardInline(func() { r.readScript(m, r.where+"js", 0, r.depth) })
		if r.page {
			r.inlineDefinitions(len(r.configs) > configs, len(r.customs) > customs)
		}
	case "importmap":
		r.readJSON(m, Active, r.where+"import map")
	case "application/ld+json":
		r.readJSON(m, Canonical, r.where+"linked data")
	case "speculationrules":
		r.readJSON(m, Navigation, r.where+"speculation rules")
	case "application/json", "text/json":
		r.readJSON(m, UnknownUse, r.where+"json")
	case "text/template", "text/html", "text/ng-template", "text/x-template", "text/x-handlebars", "text/x-handlebars-template",
		"x-tmpl-mustache", "text/x-mustache", "text/x-jquery-tmpl", "text/x-kendo-template", "text/x-underscore":
		r.deeper(m, r.where+"template")
	default: // a data block whose use is not known
		r.readScript(m, r.where+"data block", UnknownUse, r.depth)
	}
}

// deeper reads markup within markup.
func (r *markupReader) deeper(m mapped, where string) {
	switch {
	case r.depth < maxNesting:
		r.readFragment(m, where, r.depth+1)
	case mentionsInsecure(m.text):
		r.unfinished = tooDeep
	}
}

// address looks for addresses in one attribute.
func (r *markupReader) address(a *attr) {
	if len(a.raw.text) < 3 || bytes.IndexByte(a.raw.text, ':') < 0 && bytes.IndexByte(a.raw.text, '&') < 0 {
		return
	}
	m := decodeEntities(a.raw)
	if bytes.Contains(m.text, []byte("}}.")) && recipientKey.Match(m.text) && r.page {
		r.keyPrefixes = append(r.keyPrefixes, m.span.file(0))
	}
	name, code := plainName(a.name)
	where := r.where + r.tag + " " + clip(a.name)
	if r.dialect == xmlMarkup {
		if name != "xmlns" && !strings.HasPrefix(name, "xmlns:") && !strings.Contains(name, "schemalocation") && r.tag != "xml" {
			kind := UnknownUse
			if r.tag == "xml-stylesheet" && name == "href" {
				kind = Active
			}
			r.add(withoutBreaks(m), kind, "xml "+where, asString, false)
		}
		return
	}
	if name == "style" && !code {
		r.readStyle(m, where, false)
		return
	}
	if name == "srcdoc" {
		r.deeper(m, where)
		return
	}
	isData := len(m.text) > 5 && bytes.EqualFold(m.text[:5], []byte("data:"))
	if !mentionsInsecure(m.text) && !isData && !bytes.ContainsAny(m.text, "\t\r\n\\") {
		return
	}
	if r.tag == "link" && strings.Contains(strings.ToLower(r.get("rel")), "icon") {
		where = r.where + "link icon"
	}
	if i := slices.IndexFunc(r.attrs, func(b attr) bool { return b.name == a.name }); a != &r.attrs[i] {
		return // of two attributes with one name, browsers take the first
	}
	kind, list := attributeKind(r.tag, name, r.get)
	if code {
		r.readScript(m, where, kind, r.depth)
		return
	}
	if isData {
		if kind == Active { // other uses show it as an image, which loads nothing
			r.readData(m, where)
		}
		return
	}
	// The value begins a fragment that a script continues.
	open := r.depth > 0 && a.raw.span.file(len(a.raw.text)) == r.m.span.file(len(r.m.text))
	if kind == 0 {
		kind = UnknownUse
		if isTextAttribute(r.tag, a.name, name, r.get) {
			return
		}
		if bytes.Contains(m.text, []byte("url(")) { // fill, filter, mask and others of SVG
			r.readStyle(m, where, false)
			return
		}
		if t := bytes.TrimSpace(m.text); len(t) > 0 && (t[0] == '{' || t[0] == '[') {
			r.readScript(m, where, 0, r.depth)
			return
		}
	}
	u := withoutBreaks(m)
	switch {
	case list == candidates:
		r.srcset(m, kind, where)
	case list == refresh:
		r.add(refreshURL(u), kind, where, asMarkup, open)
	case list == words:
		for i := 0; i < len(m.text); {
			for i < len(m.text) && m.text[i] <= ' ' {
				i++
			}
			j := i
			for j < len(m.text) && m.text[j] > ' ' {
				j++
			}
			r.add(m.cut(i, j), kind, where, asMarkup, false)
			i = j
		}
	case len(u.text) > 11 && bytes.EqualFold(u.text[:11], []byte("javascript:")):
		r.readScript(u.cut(11, len(u.text)), where, 0, r.depth)
	case r.add(u, kind, where, kind != UnknownUse, open):
	default:
		r.expressions(u, kind, where)
	}
}

// refreshURL finds the address in the content of a refresh: a time, a separator, and the address
// with or without "url=" and quotes (HTML 4.2.5.3, shared declarative refresh steps).
func refreshURL(m mapped) mapped {
	t := m.text
	skip := func(i int, of string) int {
		for i < len(t) && strings.IndexByte(of, t[i]) >= 0 {
			i++
		}
		return i
	}
	const blank = " \t\r\n\f"
	i := skip(skip(0, blank), "0123456789.")
	i = skip(i, blank)
	if i < len(t) && (t[i] == ';' || t[i] == ',') {
		i = skip(i+1, blank)
	}
	if i+3 <= len(t) && bytes.EqualFold(t[i:i+3], []byte("url")) {
		if j := skip(i+3, blank); j < len(t) && t[j] == '=' {
			i = skip(j+1, blank)
		}
	}
	end := len(t)
	if i < end && (t[i] == '"' || t[i] == '\'') {
		if j := bytes.IndexByte(t[i+1:], t[i]); j >= 0 {
			end = i + 1 + j
		}
		i++
	}
	return m.cut(i, end)
}

// expressions looks into {{…}}.
func (r *markupReader) expressions(m mapped, kind Kind, where string) {
	for {
		i := bytes.Index(m.text, []byte("{{"))
		if i < 0 {
			return
		}
		j := bytes.Index(m.text[i:], []byte("}}"))
		if j < 0 {
			return
		}
		r.readScript(m.cut(i+2, i+j), where, kind, r.depth)
		m = m.cut(i+j+2, len(m.text))
	}
}

// srcset reads "URL descriptor, URL descriptor" (HTML 4.8.4.2.1).
func (r *markupReader) srcset(m mapped, kind Kind, where string) {
	t := m.text
	for i := 0; i < len(t); {
		for i < len(t) && (t[i] <= ' ' || t[i] == ',') {
			i++
		}
		j := i
		for j < len(t) && t[j] > ' ' {
			j++
		}
		ended := j > i && t[j-1] == ','
		r.add(m.cut(i, j), kind, where, asMarkup, false)
		if !ended {
			depth := 0
			for j < len(t) && (t[j] != ',' || depth > 0) {
				switch t[j] {
				case '(':
					depth++
				case ')':
					depth--
				}
				j++
			}
		}
		i = j
	}
}

// plainName strips what frameworks and lazy loaders put before an attribute's name. code tells
// that the value is a script or an expression.
func plainName(name string) (plain string, code bool) {
	switch {
	case strings.HasPrefix(name, "on"):
		return name, true
	case strings.HasPrefix(name, "v-bind:"), strings.HasPrefix(name, "x-bind:"):
		return name[len("v-bind:"):], true
	case strings.HasPrefix(name, ":"):
		return name[1:], true
	case strings.HasPrefix(name, "["):
		return strings.TrimPrefix(strings.Trim(name, "[]"), "attr."), true
	case strings.HasPrefix(name, "@"), strings.HasPrefix(name, "("), strings.HasPrefix(name, "v-"), strings.HasPrefix(name, "*"), strings.HasPrefix(name, "x-on:"):
		return name, true
	}
	name = strings.TrimPrefix(name, "data-")
	name = strings.TrimPrefix(name, "lazy-")
	switch {
	case strings.HasPrefix(name, "ng-"), strings.HasPrefix(name, "xmp-"):
		_, plain, _ = strings.Cut(name, "-")
		switch plain {
		case "src", "href", "srcset", "action", "poster":
			return plain, false
		case "success-url", "failure-url":
			return name, false
		}
		return name, true
	}
	switch name {
	case "lazy", "original", "lazyload", "image", "img":
		return "src", false
	case "bg", "background-image", "bg-image":
		return "background", false
	}
	return name, false
}

// form tells how an attribute holds addresses.
type form uint8

const (
	single form = iota
	candidates
	words
	refresh
)

// attributeKind says what a browser does with the address in an attribute, or 0 if the
// attribute holds none that HTML knows of. get returns the tag's other attributes.
func attributeKind(tag, name string, get func(string) string) (Kind, form) {
	switch name {
	case "href", "xlink:href":
		switch tag {
		case "a", "area":
			return Navigation, single
		case "link":
			return linkKind(get), single
		case "base", "script", "use", "xml-stylesheet":
			return Active, single
		case "image", "feimage":
			return Passive, single
		}
		return Navigation, single
	case "src":
		switch tag {
		case "script", "iframe", "frame", "embed", "track", "portal":
			return Active, single
		case "img", "image", "input", "source", "audio", "video", "bgsound", "amp-img":
			return Passive, single
		}
		return UnknownUse, single
	case "srcset", "imagesrcset":
		return Active, candidates // blocked, not upgraded (W3C Mixed Content 3.1)
	case "poster", "background", "dynsrc", "lowsrc":
		return Passive, single
	case "action":
		if tag == "form" {
			return FormTarget, single
		}
	case "formaction":
		return FormTarget, single
	case "ping":
		return Active, words
	case "data", "classid":
		if tag == "object" {
			return Active, single
		}
	case "code", "codebase", "archive":
		if tag == "applet" || tag == "object" {
			return Active, single
		}
	case "manifest":
		if tag == "html" {
			return Active, single
		}
	case "value":
		if tag == "param" && slices.Contains([]string{"src", "movie", "url", "filename", "data"}, strings.ToLower(get("name"))) {
			return Active, single
		}
	case "cite", "longdesc":
		return Canonical, single
	case "xmp-success-url", "xmp-failure-url":
		return Navigation, single
	case "content":
		if tag != "meta" {
			return 0, single
		}
		property := strings.ToLower(get("property") + get("itemprop"))
		switch meta := strings.ToLower(get("name")); {
		case strings.EqualFold(get("http-equiv"), "refresh"):
			return Navigation, refresh
		case property != "", strings.HasPrefix(meta, "twitter:"), strings.HasPrefix(meta, "og:"), strings.HasPrefix(meta, "msapplication-"), meta == "thumbnail":
			return Canonical, single
		}
	}
	return 0, single
}

func linkKind(get func(string) string) Kind {
	rel := strings.Fields(strings.ToLower(get("rel")))
	has := func(words ...string) bool {
		return slices.ContainsFunc(rel, func(w string) bool { return slices.Contains(words, w) })
	}
	switch {
	case has("preload") && strings.EqualFold(get("as"), "image"):
		return Passive
	case has("stylesheet", "preload", "modulepreload", "prefetch", "prerender", "manifest", "import"):
		return Active
	case has("icon", "shortcut", "apple-touch-icon", "apple-touch-icon-precomposed", "apple-touch-startup-image", "mask-icon", "image_src"):
		return Active // Chromium blocks it
	}
	return Canonical
}

// shownMeta are names of meta elements whose content is for people.
var shownMeta = []string{"description", "keywords", "title", "author", "generator", "copyright", "rights", "application-name", "apple-mobile-web-app-title"}

// isTextAttribute tells attributes that are shown, compared or name a vocabulary. full is the name
// as it stands, with what plainName strips: a script can do anything with data-name.
func isTextAttribute(tag, full, name string, get func(string) string) bool {
	if name == "content" && tag == "meta" && get("name") != "" {
		return slices.Contains(shownMeta, strings.ToLower(get("name")))
	}
	if strings.HasPrefix(full, "data-") {
		return slices.Contains([]string{"alt", "title", "placeholder", "label", "summary", "content", "text", "description", "caption", "tooltip", "original-title"}, name)
	}
	switch name {
	case "alt", "title", "placeholder", "label", "summary", "content", "class", "id", "name", "rel", "rev", "for", "pattern", "integrity", "nonce",
		"xmlns", "itemtype", "itemid", "itemscope", "itemprop", "vocab", "prefix", "profile", "typeof", "about", "property", "datatype", "resource",
		"xml:base", "version", "scheme", "accept", "type", "media", "text", "description", "caption", "tooltip", "original-title":
		return true
	case "value":
		// What a visitor can type over is text; a hidden field or an option is used by a script or a server.
		return !(tag == "option" || tag == "input" && strings.EqualFold(get("type"), "hidden") || tag == "param")
	}
	return strings.HasPrefix(name, "xmlns:") || strings.HasPrefix(name, "aria-") || strings.HasPrefix(name, "xsi:") || strings.HasPrefix(name, "rdf:") ||
		strings.HasPrefix(name, "sodipodi:") || strings.HasPrefix(name, "inkscape:")
}
