package circlehttps

import (
	"bytes"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/connsec/connsec"
)

// Kind says what a browser does with an address.
type Kind uint8

const (
	// Active content is what browsers block when the page came over HTTPS (W3C Mixed Content
	// 3.2): scripts, styles, frames, fetches, which can change the page; also images of a
	// srcset, and icons.
	Active Kind = iota + 1
	// Passive content is shown only: images, audio, video. Browsers ask for it over HTTPS
	// instead, or show it with a warning.
	Passive
	// FormTarget receives the fields of a form.
	FormTarget
	// Navigation is where a link, a refresh or a script takes the visitor.
	Navigation
	// Canonical addresses are read by search engines and previews, not fetched by the page.
	Canonical
	// WebSocket is a ws: address, which a page over HTTPS cannot open.
	WebSocket
	// UnknownUse is an address in a script or in data of which the use cannot be seen.
	UnknownUse
)

var kindNames = []string{"", "active", "passive", "form", "navigation", "canonical", "websocket", "unknown-use"}

// String returns the name, as it stands in JSON.
func (k Kind) String() string { return name(kindNames, int(k)) }

// MarshalText writes the name.
func (k Kind) MarshalText() ([]byte, error) { return marshalName(kindNames, int(k)) }

// UnmarshalText accepts the names that MarshalText writes.
func (k *Kind) UnmarshalText(text []byte) error {
	return unmarshalName(k, kindNames, "link kind", text)
}

// Link is one address in a site that begins with http: or ws:.
type Link struct {
	Source connsec.Position `json:"source"` // of the address
	Kind   Kind             `json:"kind"`
	Where  string           `json:"where"` // "script src", "css @import", "js fetch"
	// URL is the address as it is shown: without credentials, query and fragment, and
	// shortened.
	URL string `json:"url"`
	// Host is in lower case and without port. It is empty if part of it is computed when
	// the page runs.
	Host string `json:"host,omitempty"`
	Port string `json:"port,omitempty"`
	// Upgraded: the page has the content security policy upgrade-insecure-requests, so a
	// browser that knows it asks over HTTPS.
	Upgraded bool `json:"upgraded,omitempty"`

	off   int    // of the address in its file
	edits []edit // what turns it into HTTPS; nil if that is not possible in place
	guard bool   // an integrity hash covers this place
}

// collector gathers the facts of one file.
type collector struct {
	lines      *lines
	links      []Link
	unfinished string // why the rest of the file was not read, if so

	refs     *[]string // if set, receives relative addresses of pages, scripts and styles
	guarded  bool      // an integrity hash covers what is being read
	jsx      bool      // scripts may have JSX in them
	upgrades bool      // the page upgrades insecure requests

	overridden []int // places of assignments to parts of xmpcfg
	scriptFacts
	pageFacts
}

// scriptFacts are what scripts define.
type scriptFacts struct {
	configs                    []Definition
	customs                    []Custom
	commented                  []connsec.Position
	overrides, customOverrides []string
}

// maxLinks bounds the links that are kept of one file.
const maxLinks = 10000

// Forms of an address. Markup follows the browsers' URL parser, for which "http:/x" and
// "http:\\x" are "http://x" on a page over HTTPS; in strings only the full form is one.
const (
	asString = false
	asMarkup = true
)

// startsInsecure reports whether t begins with http: or ws:, and where the colon is.
func startsInsecure(t []byte, markup bool) (colon int, ok bool) {
	switch {
	case len(t) >= 5 && t[4] == ':' && bytes.EqualFold(t[:4], []byte("http")):
		colon = 4
	case len(t) >= 3 && t[2] == ':' && bytes.EqualFold(t[:2], []byte("ws")):
		colon = 2
	default:
		return 0, false
	}
	rest := t[colon+1:]
	return colon, markup || bytes.HasPrefix(rest, []byte("//")) || bytes.HasPrefix(rest, []byte(`\/\/`)) // as JSON has it
}

// mentionsInsecure reports whether an http or ws address can occur somewhere in t.
func mentionsInsecure(t []byte) bool {
	for {
		i := bytes.IndexByte(t, ':')
		if i < 0 {
			return false
		}
		if i >= 4 && t[i-1]|0x20 == 'p' && bytes.EqualFold(t[i-4:i], []byte("http")) {
			return true
		}
		if i >= 2 && t[i-1]|0x20 == 's' && t[i-2]|0x20 == 'w' && (i == 2 || !isAlnum(t[i-3])) {
			return true
		}
		t = t[i+1:]
	}
}

// add records m, which begins with an address, and reports whether it is one that matters.
// open tells that more text follows at run time.
func (c *collector) add(m mapped, kind Kind, where string, markup, open bool) bool {
	colon, ok := startsInsecure(m.text, markup)
	if !ok {
		return false
	}
	begin := colon + 1
	for begin < len(m.text) && (m.text[begin] == '/' || m.text[begin] == '\\') {
		begin++
	}
	end := len(m.text)
	if i := bytes.IndexAny(m.text[begin:], "/\\?#\"'<> \t\r\n|,;)"); i >= 0 {
		end = begin + i
	}
	authority := string(m.text[begin:end])
	if authority == "" && !(open && end == len(m.text)) {
		return false // "http://" alone is a prefix to compare with, not an address
	}
	l := Link{Kind: kind, Where: where, off: m.span.file(0), guard: c.guarded}
	computed := open && end == len(m.text) || strings.ContainsAny(authority, "{}$<>%[]*") && !strings.HasPrefix(authority, "[")
	if !computed {
		bare := authority[strings.LastIndexByte(authority, '@')+1:]
		if p, at := portOf(bare); at >= 0 {
			l.Port, bare = p, bare[:at-1]
		}
		l.Host = strings.TrimSuffix(strings.ToLower(bare), ".")
	}
	if isLoopback(l.Host) {
		return false
	}
	rest := string(m.text[end:min(end+512, len(m.text))])
	if k := kindByExtension(rest); k != 0 && !open && kind == UnknownUse {
		l.Kind = k
	}
	if (l.Kind == UnknownUse && !strings.HasSuffix(where, " src") || strings.Contains(where, "linked data") || strings.HasPrefix(where, "xml ")) && isIdentifier(l.Host, rest) {
		return false
	}
	if colon == 2 {
		l.Kind = WebSocket
	}
	if l.Host != "" {
		l.edits = upgradeEdits(m, colon, begin, authority, l.Port)
	}
	l.URL = shown(m.text)
	l.Upgraded = c.upgrades
	if len(c.links) == maxLinks {
		c.unfinished = "it has more links than are listed"
		return true
	}
	c.links = append(c.links, l)
	return true
}

// upgradeEdits returns what makes an address an HTTPS one: an s, and no port 80. Another
// explicit port is left alone, because nothing says that HTTPS answers there.
func upgradeEdits(m mapped, colon, begin int, authority, port string) []edit {
	s := "s"
	if m.text[colon-1] < 'a' {
		s = "S"
	}
	at := m.span.file(colon)
	edits := []edit{{at, at, s}}
	switch port {
	case "":
		return edits
	case "80":
		i := begin + len(authority) - len(":80")
		return append(edits, edit{m.span.file(i), m.span.file(i + len(":80")), ""})
	}
	return nil
}

// shown makes an address fit to be printed: no credentials, no query, no control characters,
// no long tokens.
func shown(t []byte) string {
	const most, mostSegment = 160, 60
	if colon, ok := startsInsecure(t, asMarkup); ok { // browsers take any number of either slash
		rest := bytes.TrimLeft(t[colon+1:min(len(t), 4*most)], "/\\")
		t = slices.Concat(t[:colon+1], []byte("//"), bytes.ReplaceAll(rest, []byte("\\"), []byte("/")))
	}
	end := "?#\"'<> \t\r\n\\`"
	if bytes.Contains(t[:min(len(t), most)], []byte("{{")) {
		end = "?#<>\r\n" // {{xmp.r['Name']}}
	}
	if i := bytes.IndexAny(t, end); i >= 0 {
		t = t[:i]
	}
	if len(t) > 4*most {
		t = t[:4*most]
	}
	s := strings.ToValidUTF8(string(t), "?")
	if scheme, rest, ok := strings.Cut(s, "://"); ok {
		authority, tail, _ := strings.Cut(rest, "/")
		if i := strings.LastIndexByte(authority, '@'); i >= 0 {
			authority = "…" + authority[i:]
		}
		segments := strings.Split(tail, "/")
		for i, seg := range segments {
			if len(seg) > mostSegment {
				segments[i] = "…"
			}
		}
		s = scheme + "://" + authority
		if strings.Contains(rest, "/") {
			s += "/" + strings.Join(segments, "/")
		}
	}
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// isLoopback: browsers trust these names without HTTPS (W3C Secure Contexts 3.1), and no
// visitor's request leaves the machine.
func isLoopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && addr.IsLoopback()
}

// Hosts whose http addresses name a vocabulary, and are compared but not fetched.
var identifierHosts = []string{
	"www.w3.org", "w3.org", "schema.org", "www.schema.org", "ogp.me", "opengraphprotocol.org", "purl.org", "purl.oclc.org", "xmlns.com",
	"ns.adobe.com", "www.sitemaps.org", "schemas.microsoft.com", "schemas.xmlsoap.org", "schemas.openxmlformats.org", "json-schema.org",
	"www.inkscape.org/namespaces", "sodipodi.sourceforge.net", "rdfs.org", "docs.oasis-open.org", "www.opengis.net", "vocab.org",
	"search.yahoo.com/mrss", "errors.angularjs.org", "data-vocabulary.org", "rdf.data-vocabulary.org", "web.resource.org",
	"www.itunes.com/dtds", "java.sun.com/xml", "xml.org/sax", "apache.org/xml",
}

func isIdentifier(host, rest string) bool {
	for _, id := range identifierHosts {
		h, p, _ := strings.Cut(id, "/")
		if host == h && (p == "" || strings.HasPrefix(strings.TrimPrefix(rest, "/"), p)) {
			return true
		}
	}
	return false
}

var (
	activeExtensions  = []string{".js", ".mjs", ".css", ".woff", ".woff2", ".ttf", ".otf", ".eot", ".swf"}
	passiveExtensions = []string{".png", ".jpg", ".jpeg", ".gif", ".webp", ".avif", ".ico", ".bmp", ".svg", ".mp4", ".webm", ".ogg", ".ogv", ".mp3", ".wav", ".m4a", ".m4v"}
)

// kindByExtension guesses from the file name, for want of anything better, or returns 0.
func kindByExtension(rest string) Kind {
	rest, _, _ = strings.Cut(rest, "?")
	rest, _, _ = strings.Cut(rest, "#")
	switch ext := strings.ToLower(path.Ext(rest)); {
	case slices.Contains(activeExtensions, ext):
		return Active
	case slices.Contains(passiveExtensions, ext):
		return Passive
	}
	return 0
}

// recipientKey matches the expression that stands for the recipient's key in Circle texts.
var recipientKey = regexp.MustCompile(`(?i)^https?:/+[\w.-]*(?:\{\{|\[\[|<)[^/]*(?:XMPieRecipientKey|recipientID|recipientKey)[^/]*(?:\}\}|\]\]|>)[\w-]*\.`)
