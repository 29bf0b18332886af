package securl

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"crypto/md5" //nolint:gosec // see hash.go
)

// Diagnosis says how a stored value may have been made from a password.
type Diagnosis struct {
	// Matches are all the ways that give exactly the stored value, the simplest first. None
	// means that the password is wrong, or the value was made in a way not tried.
	Matches []Match `json:"matches"`
}

// Match is one way to make the stored value.
type Match struct {
	// Encoding of the password: "ascii", where all agree; "code page"; "utf-8"; "utf-16le",
	// what HASHBYTES does with NVARCHAR. Empty if the value is the password itself.
	Encoding string `json:"encoding,omitempty"`
	// CodePages are the code pages that give these bytes, if Encoding is "code page" or
	// "utf-8". A database in any other gives another hash.
	CodePages []int `json:"code_pages,omitempty"`
	// Input is what was done to the password first: "as typed", "trimmed", "upper case" or
	// "lower case", with ", not cut at 250 bytes" if all of a longer one was hashed.
	Input string `json:"input"`
	// Form of the stored value: "base64", "hex", "base64 over hex" (a hex hash was hashed to
	// base64), or "plain" if it was not hashed.
	Form string `json:"form"`
	// Rounds is how often it was hashed: 2 means that a hash was hashed again.
	Rounds int `json:"rounds"`
}

// Correct reports whether this is how a database with the collation hashes the password.
func (m Match) Correct(database Collation) bool {
	return m.Form == "base64" && m.Rounds == 1 && m.Input == "as typed" &&
		(m.Encoding == "ascii" || m.Encoding == "utf-8" && database.page == UTF8 || slices.Contains(m.CodePages, database.page))
}

// String is one line.
func (m Match) String() string {
	if m.Form == "plain" {
		return "not hashed (" + m.Input + ")"
	}
	s := "md5 in " + m.Form + " of the password " + m.Input
	switch m.Encoding {
	case "ascii":
		s += ", which is ASCII"
	case "code page":
		s += " in code page " + numberList(m.CodePages)
	default:
		s += " in " + m.Encoding
	}
	if m.Rounds > 1 {
		s += ", and the hash was hashed again"
	}
	return s
}

// String lists the matches, or says that there are none.
func (d Diagnosis) String() string {
	if len(d.Matches) == 0 {
		return "no known way leads from this password to this value"
	}
	lines := make([]string, len(d.Matches))
	for i, m := range d.Matches {
		lines[i] = m.String()
	}
	return strings.Join(lines, "; ")
}

// Diagnose finds out why a password that a person types does not match the value that the
// column holds for it: which code page it was hashed in, or which of the known mistakes was
// made. It tries all code pages, UTF-8 and UTF-16, hex, changed case, trimming, and hashing
// twice. The comparison is not in constant time: use it on values of your own.
func Diagnose(password, stored string) Diagnosis {
	var d Diagnosis
	stored = strings.TrimRight(stored, " ")
	inputs := []struct{ name, text string }{{"as typed", password}}
	for _, v := range []struct{ name, text string }{
		{"trimmed", strings.TrimSpace(password)},
		{"upper case", strings.ToUpper(password)},
		{"lower case", strings.ToLower(password)},
	} {
		if v.text != password {
			inputs = append(inputs, v)
		}
	}
	for _, in := range inputs {
		if stored != "" && stored == strings.TrimRight(in.text, " ") {
			d.Matches = append(d.Matches, Match{Input: in.name, Form: "plain"})
		}
	}
	if !utf8.ValidString(password) {
		return d
	}
	for _, in := range inputs {
		for _, e := range encodings(in.text) {
			for _, m := range hashedAs(e.bytes, stored) {
				m.Encoding, m.CodePages, m.Input = e.name, e.pages, in.name
				if e.whole {
					m.Input += ", not cut at 250 bytes"
				}
				d.Matches = append(d.Matches, m)
			}
		}
	}
	slices.SortStableFunc(d.Matches, func(a, b Match) int { return a.Rounds - b.Rounds })
	return d
}

type encoded struct {
	name  string
	pages []int
	bytes []byte
	whole bool // longer than SQL Server would have taken
}

// encodings returns the distinct byte strings that a text can become.
func encodings(s string) []encoded {
	var out []encoded
	add := func(name string, page int, b []byte, whole bool) {
		for i := range out {
			if out[i].name == name && out[i].whole == whole && string(out[i].bytes) == string(b) {
				out[i].pages = append(out[i].pages, page)
				return
			}
		}
		e := encoded{name: name, bytes: b, whole: whole}
		if page != 0 {
			e.pages = []int{page}
		}
		out = append(out, e)
	}
	limits := []int{MaxBytes}
	if len(s) > MaxBytes {
		limits = append(limits, 4*len(s))
	}
	for _, limit := range limits {
		whole := limit != MaxBytes
		if isASCII([]byte(s)) {
			add("ascii", 0, []byte(s[:min(len(s), limit)]), whole)
		} else {
			for _, page := range CodePages() {
				// The error is impossible: the text is valid and the page known.
				b, _, _, _ := newEncoder(Collation{page: page}).append(nil, s, limit)
				if page == UTF8 {
					add("utf-8", UTF8, b, whole)
				} else {
					add("code page", page, b, whole)
				}
			}
		}
		var wide []byte
		for _, u := range utf16.Encode([]rune(s)) {
			wide = binary.LittleEndian.AppendUint16(wide, u)
		}
		add("utf-16le", 0, wide[:min(len(wide), 2*(limit/2))], whole)
	}
	return out
}

// hashedAs returns the forms and rounds in which the bytes give the stored value.
func hashedAs(b []byte, stored string) []Match {
	var out []Match
	sum := md5.Sum(b) //nolint:gosec // see hash.go
	once := base64.StdEncoding.EncodeToString(sum[:])
	lower := hex.EncodeToString(sum[:])
	switch {
	case stored == once:
		out = append(out, Match{Form: "base64", Rounds: 1})
	case strings.EqualFold(stored, lower):
		out = append(out, Match{Form: "hex", Rounds: 1})
	case stored == string(appendHash(nil, []byte(once))):
		out = append(out, Match{Form: "base64", Rounds: 2})
	}
	for _, again := range []string{lower, strings.ToUpper(lower)} {
		twice := md5.Sum([]byte(again)) //nolint:gosec // see hash.go
		if strings.EqualFold(stored, hex.EncodeToString(twice[:])) || stored == base64.StdEncoding.EncodeToString(twice[:]) {
			form := "hex"
			if len(stored) == HashLength {
				form = "base64 over hex"
			}
			out = append(out, Match{Form: form, Rounds: 2})
		}
	}
	return out
}
