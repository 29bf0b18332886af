package securl

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

const (
	// newPassword and existingPassword stand for the password's ADOR: the only ways to it.
	newPassword      = "XMPie.Web.NewPassword"
	existingPassword = "XMPie.Web.ExistingPassword"

	maxNames    = 500
	maxName     = 200 // bytes
	maxValue    = 32 << 10
	maxXMPLBody = 128 << 10
)

// foldName returns what names of ADORs are compared under. The store may ignore case, accents,
// width and blanks, take ß for ss and æ for ae as SQL Server does, or cut quotes and brackets off;
// somebody who reads a log may take a Cyrillic letter for a Latin one. Two names that might be
// the same are the same here: a name too many is kept back, never one too few.
func foldName(s string) string {
	plain := true
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	var b strings.Builder
	for _, r := range norm.NFKD.String(s) {
		r = unicode.ToLower(unicode.ToUpper(r))
		if to, ok := lookAlike[r]; ok {
			b.WriteString(to)
			continue
		}
		if unicode.IsLetter(r) || unicode.IsNumber(r) {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// lookAlike are letters that databases or people take for Latin ones, in lower case.
var lookAlike = map[rune]string{
	'ß': "ss", 'ẞ': "ss", 'æ': "ae", 'œ': "oe", 'þ': "th", 'ð': "d", 'đ': "d", 'ø': "o", 'ł': "l", 'ħ': "h", 'ŧ': "t", 'ı': "i", 'ĸ': "k", 'ŋ': "n", 'ɑ': "a", 'ɡ': "g",
	'а': "a", 'в': "b", 'с': "c", 'ԁ': "d", 'е': "e", 'һ': "h", 'н': "h", 'і': "i", 'ј': "j", 'к': "k", 'ӏ': "l", 'м': "m", 'п': "n", 'о': "o", 'р': "p", 'ԛ': "q", 'г': "r", 'ѕ': "s", 'т': "t", 'ц': "u", 'ѵ': "v", 'ԝ': "w", 'х': "x", 'у': "y", 'ү': "y",
	'α': "a", 'β': "b", 'ε': "e", 'η': "n", 'ι': "i", 'κ': "k", 'ν': "v", 'ο': "o", 'ρ': "p", 'σ': "s", 'ς': "s", 'τ': "t", 'υ': "u", 'χ': "x", 'ω': "w", 'ζ': "z", 'μ': "m",
	'ո': "n", 'օ': "o", 'ս': "u", 'հ': "h", 'զ': "q",
}

// validName reports whether a name can be one.
func validName(s string) bool {
	return s != "" && len(s) <= maxName && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) || r == utf8.RuneError
	}) && foldName(s) != ""
}

var foldedNew, foldedExisting = foldName(newPassword), foldName(existingPassword)

// fixedPassword reports whether a name is one of the two, or might be taken for it.
func fixedPassword(name string) bool {
	f := foldName(name)
	return f == foldedNew || f == foldedExisting
}

// hidden reports whether an ADOR is never read.
func (x *xmplAPI) hidden(name string) bool {
	f := foldName(name)
	return f == x.foldedPassword || f == foldedNew || f == foldedExisting
}

// writable reports whether pages may write an ADOR.
func (x *xmplAPI) writable(name string) bool {
	f := foldName(name)
	return f != x.foldedPassword && !strings.HasPrefix(f, "xmpie") && !slices.Contains(x.foldedReadOnly, f)
}

// names returns those names of a request that may be read.
func (x *xmplAPI) readable(lists ...[]string) (names []string, ok bool) {
	seen := map[string]bool{}
	for _, list := range lists {
		for _, n := range list {
			switch {
			case seen[n] || n == "":
				continue
			case len(seen) >= maxNames || !validName(n):
				return nil, false
			}
			seen[n] = true
			if !x.hidden(n) {
				names = append(names, n)
			}
		}
	}
	return names, true
}
