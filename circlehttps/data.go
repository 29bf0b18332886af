package circlehttps

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strings"
)

// readJSON reads JSON, also with comments and trailing commas: strings that are addresses, by
// their key where the key tells the use.
func (c *collector) readJSON(m mapped, kind Kind, where string) {
	if !mentionsInsecure(m.text) && bytes.IndexByte(m.text, '\\') < 0 {
		return
	}
	s := scriptReader{collector: c, code: m, where: where}
	s.toks = newTokens(m.text)
	for {
		t, ok := s.toks.next()
		if !ok {
			return
		}
		if len(t.data) < 5 || t.data[0] != '"' && t.data[0] != '\'' {
			continue
		}
		key := ""
		if p := s.toks; p.before(1).is(":") {
			key = string(bytes.Trim(p.before(2).data, `"'`))
		}
		if slices.Contains([]string{"$schema", "$id", "$ref", "@context", "@type", "@id", "@vocab", "xmlns", "description"}, key) {
			continue
		}
		v := withoutBreaks(s.literal(t))
		if _, ok := startsInsecure(v.text, asString); !ok {
			if i := bytes.IndexByte(v.text, '<'); i >= 0 && i+1 < len(v.text) && isAlnum(v.text[i+1]) {
				c.readFragment(v, where+" string", 1)
			} else if bytes.Contains(v.text, []byte("url(")) {
				c.readStyle(v, where+" string", false)
			}
			continue
		}
		c.add(v, kind, where+" "+clip(key), asString, false)
	}
}

// readManifest reads a web application manifest (W3C Web App Manifest 1).
func (c *collector) readManifest(m mapped) {
	c.readJSON(m, UnknownUse, "manifest")
	for i := range c.links {
		if l := &c.links[i]; l.Kind == UnknownUse {
			switch l.Where {
			case "manifest start_url", "manifest scope", "manifest url":
				l.Kind = Navigation
			case "manifest src":
				l.Kind = Passive
			}
		}
	}
}

// readData reads the document inside a data: address (RFC 2397) that a browser runs: a page in a
// frame, a style sheet, a script.
func (r *markupReader) readData(u mapped, where string) {
	comma := bytes.IndexByte(u.text, ',')
	if comma < 0 {
		return
	}
	media := strings.ToLower(strings.TrimSpace(string(u.text[len("data:"):comma])))
	kind, _, _ := strings.Cut(media, ";")
	body := decodePercent(u.cut(comma+1, len(u.text)))
	var read func(*collector, mapped)
	switch strings.TrimSpace(kind) {
	case "text/html", "application/xhtml+xml", "image/svg+xml", "text/xml", "application/xml":
		read = func(c *collector, m mapped) { c.readFragment(m, where, r.depth+1) }
	case "text/css":
		read = func(c *collector, m mapped) { c.readStyle(m, where, false) }
	case "text/javascript", "application/javascript", "application/x-javascript", "text/ecmascript":
		read = func(c *collector, m mapped) { c.readScript(m, where, 0, r.depth+1) }
	default: // images and fonts, which load nothing
		return
	}
	if r.depth >= maxNesting {
		r.unfinished = tooDeep
		return
	}
	if !strings.HasSuffix(media, "base64") {
		read(r.collector, body)
		return
	}
	// No place in the file is that of an address in it, so all that can be said is that there is one.
	text := bytes.TrimRight(bytes.ReplaceAll(body.text, []byte(" "), nil), "=")
	plain := make([]byte, base64.RawStdEncoding.DecodedLen(len(text)))
	n, err := base64.RawStdEncoding.Decode(plain, text)
	inside := &collector{lines: newLines("", plain)}
	if err == nil {
		read(inside, mapped{text: plain[:n:n]})
	}
	if err != nil || len(inside.links) > 0 || inside.unfinished != "" {
		r.unfinished = "a data: address in base64 has an HTTP address in it, or cannot be decoded"
	}
}

// readLines reads a text of "key: address" lines, such as robots.txt.
func (c *collector) readLines(m mapped, where string) {
	for off := 0; off < len(m.text); {
		end := len(m.text)
		if i := bytes.IndexByte(m.text[off:], '\n'); i >= 0 {
			end = off + i
		}
		line := m.text[off:end]
		if i := bytes.IndexByte(line, '#'); i >= 0 {
			line = line[:i]
		}
		if i := bytes.IndexByte(line, ':'); i >= 0 && bytes.EqualFold(bytes.TrimSpace(line[:i]), []byte("sitemap")) {
			begin := off + i + 1
			for begin < end && m.text[begin] == ' ' {
				begin++
			}
			c.add(m.cut(begin, off+len(bytes.TrimRight(line, " \r"))), Canonical, where, asString, false)
		}
		off = end + 1
	}
}
