package securl

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// minKeyBits is what a recipient key has to offer to a guesser: with a million recipients and a
// hundred guesses a second, 48 bits last a month until the first hit.
const minKeyBits = 48

// keyPattern is what stands in a recipient key pattern.
type keyPattern struct {
	personal []string // names of fields that are known about a person, or counted
	random   []string
	other    []string // fields whose name tells nothing
	broken   bool
}

// Words in names of fields. Personal ones are known to, or found out about, others; sequences
// are found by counting.
var (
	personalWords = []string{"first", "last", "sur", "given", "family", "middle", "full", "nick", "name", "initial", "mail", "email", "phone", "mobile", "fax",
		"birth", "birthday", "birthdate", "dob", "age", "zip", "postal", "postcode", "plz", "city", "town", "street", "address", "country", "state", "region",
		"company", "firm", "employer", "title", "gender", "prenom", "nom", "vorname", "nachname", "user", "login"}
	sequenceWords = []string{"id", "no", "nr", "num", "number", "seq", "sequence", "counter", "count", "index", "idx", "row", "record", "serial",
		"customer", "client", "member", "account", "employee", "contact", "recipient"}
	randomWords = []string{"random", "rand", "guid", "uuid", "secret", "secure", "token", "nonce", "hash", "unguessable"}
)

// parseKeyPattern reads the fields of "[[firstname]].[[lastname]]".
func parseKeyPattern(s string) keyPattern {
	var p keyPattern
	for {
		before, rest, found := strings.Cut(s, "[[")
		if strings.Contains(before, "]]") {
			p.broken = true
		}
		if !found {
			return p
		}
		field, after, closed := strings.Cut(rest, "]]")
		if !closed || strings.TrimSpace(field) == "" || strings.Contains(field, "[[") {
			p.broken = true
			return p
		}
		switch words := fieldWords(field); {
		case anyWord(words, randomWords):
			p.random = append(p.random, field)
		case anyWord(words, personalWords), anyWord(words, sequenceWords):
			p.personal = append(p.personal, field)
		default:
			p.other = append(p.other, field)
		}
		s = after
	}
}

// fieldWords cuts "FirstName", "first_name" and "firstname" into words; of the last, the whole
// and the words of the lists that it begins or ends with.
func fieldWords(field string) []string {
	var words []string
	var word []rune
	flush := func() {
		if len(word) > 0 {
			words = append(words, strings.ToLower(string(word)))
			word = nil
		}
	}
	lower := false
	for _, r := range field {
		switch {
		case !unicode.IsLetter(r):
			flush()
			lower = false
			continue
		case unicode.IsUpper(r) && lower:
			flush()
		}
		lower = unicode.IsLower(r)
		word = append(word, r)
	}
	flush()
	for _, w := range words {
		for _, known := range slices.Concat(personalWords, sequenceWords, randomWords) {
			if len(known) >= 4 && w != known && (strings.HasPrefix(w, known) || strings.HasSuffix(w, known)) {
				words = append(words, known)
			}
		}
	}
	return words
}

func anyWord(words, of []string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return slices.Contains(of, w) })
}

// keyLooks is what sample keys look like.
type keyLooks struct {
	n, email, names, sequence, small int
	least                            float64 // bits of the weakest of the others
}

func (l keyLooks) guessable() int { return l.email + l.names + l.sequence + l.small }

// looksOf estimates what guessing the keys costs.
func looksOf(keys []string) keyLooks {
	l := keyLooks{least: math.Inf(1)}
	counted := sequential(keys)
	for _, k := range keys {
		k = strings.TrimSpace(k)
		if k == "" {
			continue
		}
		l.n++
		switch {
		case counted:
			l.sequence++
		case strings.Contains(k, "@"):
			l.email++
		case digits(k) && len(k) <= 14: // 14 digits are 46 bits, if they were random
			l.sequence++
		case nameLike(k):
			l.names++
		default:
			bits := float64(utf8.RuneCountInString(k)) * math.Log2(keyAlphabet(k))
			if bits < minKeyBits {
				l.small++
			}
			l.least = min(l.least, bits)
		}
	}
	return l
}

func digits(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' }) < 0
}

// sequential reports whether the keys are one text with numbers behind it that are near each
// other: at most a thousand apart on average.
func sequential(keys []string) bool {
	if len(keys) < 2 {
		return false
	}
	var numbers []uint64
	prefix := strings.TrimRight(keys[0], "0123456789")
	for _, k := range keys {
		rest, ok := strings.CutPrefix(k, prefix)
		n, err := strconv.ParseUint(rest, 10, 64)
		if !ok || err != nil {
			return false
		}
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	return (numbers[len(numbers)-1]-numbers[0])/uint64(len(numbers)) <= 1000
}

// nameLike reports whether a key consists of one to four words as names are, with at most four
// digits behind. Random letters in the midst of which digits or capitals stand are none, and
// neither are those with hardly a vowel.
func nameLike(k string) bool {
	k = strings.TrimRight(k, "0123456789")
	words := strings.FieldsFunc(k, func(r rune) bool { return strings.ContainsRune(".-_' +", r) })
	if len(words) == 0 || len(words) > 4 {
		return false
	}
	letters, vowels := 0, 0
	for _, w := range words {
		capitals := 0
		for _, r := range w {
			if !unicode.IsLetter(r) {
				return false
			}
			letters++
			if unicode.IsUpper(r) {
				capitals++
			}
			if r >= utf8.RuneSelf || strings.ContainsRune("aeiouyAEIOUY", r) {
				vowels++
			}
		}
		// "Ann", "ANN", "McLeod" and "JSmith"; not "qXzTbW".
		if n := utf8.RuneCountInString(w); capitals > 2 && capitals < n {
			return false
		}
	}
	return letters >= 2 && letters <= 40 && vowels*5 >= letters
}

// keyAlphabet is how many characters the key could be made of.
func keyAlphabet(k string) float64 {
	hex := strings.IndexFunc(k, func(r rune) bool { return !strings.ContainsRune("0123456789abcdefABCDEF-", r) }) < 0
	if hex {
		return 16
	}
	n := 0.0
	for _, class := range []struct {
		is   func(rune) bool
		size float64
	}{
		{func(r rune) bool { return r >= 'a' && r <= 'z' }, 26},
		{func(r rune) bool { return r >= 'A' && r <= 'Z' }, 26},
		{func(r rune) bool { return r >= '0' && r <= '9' }, 10},
	} {
		if strings.IndexFunc(k, class.is) >= 0 {
			n += class.size
		}
	}
	return max(n, 2) // separators add nothing
}
