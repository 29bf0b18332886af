package securl

import (
	"errors"
	"net/url"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxRID is the length of the longest recipient key, in bytes.
const maxRID = 256

var (
	// errBadRID says that a key cannot be one: empty, too long, or with characters that belong
	// into no URL.
	errBadRID = errors.New("securl: the recipient key is damaged")
	// errManyRIDs says that a URL names two recipients.
	errManyRIDs = errors.New("securl: the URL names more than one recipient")
	// errBadPath says that a path can be read in more than one way.
	errBadPath = errors.New("securl: the path is ambiguous")
)

// validRID reports whether a string can be a recipient key. What is left out would be dangerous
// somewhere on its way through headers, logs and databases.
func validRID(s string) bool {
	if s == "" || len(s) > maxRID || !utf8.ValidString(s) {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029'
	})
}

// foldRID returns what attempts are counted under. Databases take keys for equal that differ in
// case, width, accents or trailing blanks; each spelling would be another set of guesses.
func foldRID(s string) string {
	plain := true
	for i := range len(s) {
		if c := s[i]; c >= utf8.RuneSelf || c <= ' ' || c >= 'A' && c <= 'Z' {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	var b strings.Builder
	for _, r := range norm.NFKD.String(s) {
		if unicode.IsLetter(r) || unicode.IsNumber(r) || r > ' ' && r < unicode.MaxASCII {
			b.WriteRune(unicode.ToLower(unicode.ToUpper(r)))
		}
	}
	return b.String()
}

// site says how URLs of the protected site are read.
type site struct {
	base   string // begins and ends with a slash
	public []string
	pages  []string
}

// plainPath returns the path of a URL if it can be read in one way only, by this program, by a
// proxy before it and by a server behind it. Refused are encoded slashes, backslashes and
// percent signs, empty and dot segments, also with what Windows and servlet containers cut off
// them, control characters, and what is not UTF-8.
func plainPath(u *url.URL) (string, error) {
	p := u.Path
	if !strings.HasPrefix(p, "/") || !utf8.ValidString(p) || u.Opaque != "" {
		return "", errBadPath
	}
	// u.Path is decoded: a slash in it may have been encoded. RawPath is set only where the
	// usual encoding would not give back what was sent.
	if raw := strings.ToLower(u.RawPath); strings.Contains(raw, "%2f") {
		return "", errBadPath
	}
	for _, r := range p {
		if r == '\\' || r == '%' || unicode.IsControl(r) {
			return "", errBadPath
		}
	}
	segments := strings.Split(p[1:], "/")
	for i, s := range segments {
		// Windows cuts dots and blanks off the end, in any order.
		name, _, _ := strings.Cut(s, ";")
		if strings.Trim(name, ". ") == "" && (s != "" || i < len(segments)-1) {
			return "", errBadPath
		}
	}
	return p, nil
}

// below returns what stands after the base, and whether the path is at or below it.
func (s *site) below(p string) (string, bool) { return strings.CutPrefix(p, s.base) }

// recipientKey returns the recipient key that a URL of the site names: in the parameter rid, or
// as the only segment below the base, with a slash behind it or without, unless that is a page. It
// is "" if there is none. Parameter names are compared without case.
func (s *site) recipientKey(u *url.URL) (string, error) {
	p, err := plainPath(u)
	if err != nil {
		return "", err
	}
	rid, err := parameter(u, "rid")
	if err != nil {
		return "", err
	}
	rest, ok := s.below(p)
	if !ok || slices.Contains(s.public, rest) {
		return rid, nil
	}
	if rest = strings.TrimSuffix(rest, "/"); !s.isKey(rest) { // servers and people add one
		return rid, nil
	}
	switch {
	case !validRID(rest):
		return "", errBadRID
	case rid != "" && rid != rest:
		return "", errManyRIDs
	}
	return rest, nil
}

// parameter returns the value of a query parameter that must not have two values. Its name is
// compared without case.
func parameter(u *url.URL, name string) (string, error) {
	if u.RawQuery == "" {
		return "", nil
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return "", errBadRID
	}
	value, found := "", false
	for k, values := range query {
		if !strings.EqualFold(k, name) {
			continue
		}
		for _, v := range values {
			switch {
			case v == "":
				continue
			case !validRID(v):
				return "", errBadRID
			case found && v != value:
				return "", errManyRIDs
			}
			value, found = v, true
		}
	}
	return value, nil
}

// isKey reports whether what stands below the base, without a slash at its end, is a recipient key.
func (s *site) isKey(rest string) bool {
	return rest != "" && !strings.Contains(rest, "/") && !fileName(rest) && !slices.Contains(s.pages, rest)
}

// fileName reports whether a name ends as files of web sites do. Keys have dots, too
// ("John.Smith"), so that not every ending counts.
func fileName(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".html", ".htm", ".xhtml", ".js", ".mjs", ".css", ".json", ".map", ".xml", ".txt", ".webmanifest", ".wasm",
		".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".avif", ".ico",
		".woff", ".woff2", ".ttf", ".otf", ".eot", ".pdf", ".mp3", ".mp4", ".webm",
		".php", ".asp", ".aspx", ".ashx", ".jsp":
		return true
	}
	return false
}

// purl returns the URL of the recipient's page, as a path on this host.
func (s *site) purl(rid, iid string) string {
	target := s.base + "index.html?rid=" + url.QueryEscape(rid)
	if iid != "" {
		target += "&iid=" + url.QueryEscape(iid)
	}
	return target
}
