package circlehttps

import (
	"bytes"
	"slices"
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
		if slices.Contains([]string{"$schema", "$id", "$ref", "@context", "@type", "@id", "@vocab", "xmlns", "description", "homepage", "license", "bugs", "repository"}, key) {
			continue
		}
		v := s.literal(t)
		if _, ok := startsInsecure(v.text, asString); !ok {
			if i := bytes.IndexByte(v.text, '<'); i >= 0 && i+1 < len(v.text) && isAlnum(v.text[i+1]) {
				c.readFragment(v, where+" string", 1)
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
