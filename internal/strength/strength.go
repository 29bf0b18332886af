// Package strength estimates what it costs to guess a secret, knowing what an attacker knows:
// published defaults, words of the surroundings, encodings that hide words.
package strength

import (
	"encoding/base64"
	"encoding/hex"
	"math"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/ccojocar/zxcvbn-go"
	"github.com/ccojocar/zxcvbn-go/frequency"
	"github.com/connsec/connsec/internal/setting"
)

// maxEstimated is how much of a secret is estimated. zxcvbn takes 0.1 s for 256 characters, and
// 64 good ones are enough.
const maxEstimated = 64

// Thresholds in bits, as estimated. Who asks for 128 bits of entropy (RFC 6749 §10.10,
// draft-ietf-radext-deprecating-radius) asks for what no estimate can show: random strings contain
// words by chance, and of 2000 with 128 bits as hex, base32 and base64 the lowest were estimated
// at 81, 91 and 98. So 80 it is; that there is room for 128 is for a rule about length to ask.
const (
	Crackable = 64 // below: within reach of a rented machine with GPUs that try 64·10⁹ a second
	Adequate  = 80
)

// defaultList are secrets that products ship with, vendors print in examples, or everybody
// types. They are compared without case, hyphens, underscores and spaces.
const defaultList = `testing123 testing1234 testing testing12 test test123 secret secret1 secret123 mysecret mysecretkey
radius radius1 radius123 radiussecret radiuskey radsec radpass password passw0rd p@ssw0rd cisco cisco123 ciscosecret
sharedsecret shared shared_secret sharedkey key admin admin123 changeme changeit whatever secretkey example default
aruba aruba123 mikrotik ubnt fortinet ruckus meraki juniper radius/dtls supersecret verysecret topsecret letmein
12345678 123456789 1234567890 0123456789 123456 qwerty abc123 nps npssecret freeradius myq myqradius radiusmyq`

var isDefault = sync.OnceValue(func() map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(defaultList) {
		m[plain(w)] = true
	}
	return m
})

func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r == ' ' {
			return -1
		}
		return unicode.ToLower(r)
	}, s)
}

// Words cuts what is known about a setting (host names, the company, the product) into the words
// that a guesser would try.
func Words(known []string) []string {
	var words []string
	for _, k := range known {
		k = strings.ToLower(setting.OneLine(k))
		for _, w := range append([]string{k}, strings.FieldsFunc(k, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })...) {
			if len(w) >= 3 && !slices.Contains(words, w) && len(words) < 64 {
				words = append(words, w)
			}
		}
	}
	return words
}

// Estimate is what guessing a secret costs.
type Estimate struct {
	// Known: it is a default, or an example that is published.
	Known bool
	// Bits is an estimate of the entropy; a bound, where one settles the question.
	Bits float64
}

// Of says how strong a secret is, given words of its surroundings. Bounds that settle the
// verdict are enough: the estimator proper takes milliseconds, and inventories have thousands
// of secrets.
func Of(secret string, words []string) Estimate {
	if isDefault()[plain(secret)] {
		return Estimate{Known: true}
	}
	if text, ok := encoded(secret); ok { // a word in base64 is no stronger than the word
		return Of(text, words)
	}
	if unit := period(secret); len(unit) < len(secret) { // "a1b2a1b2a1b2" is no stronger than its unit
		e := Of(unit, words)
		e.Bits += math.Log2(float64(len(secret) / len(unit)))
		return e
	}
	if len(secret) > maxEstimated {
		secret = strings.ToValidUTF8(secret[:maxEstimated], "")
	}
	most := float64(utf8.RuneCountInString(secret)) * math.Log2(alphabet(secret))
	if most < Crackable {
		// An upper bound that fails already. The estimate is finer but decides nothing.
		return Estimate{Bits: most}
	}
	if least := unexplained(secret, words); least >= Adequate {
		return Estimate{Bits: least}
	}
	return Estimate{Bits: zxcvbn.PasswordStrength(secret, words).Entropy}
}

// period returns the shortest text of which s is a repetition, perhaps s itself. The last
// repetition may be cut off.
func period(s string) string {
	const longest = 32 // a longer unit is judged as it stands
	for n := 1; n <= min(longest, len(s)/2); n++ {
		if s[n:] == s[:len(s)-n] {
			return s[:n]
		}
	}
	return s
}

// encoded returns what a secret is the hex or base64 form of, if that is text of people. Eight
// random bytes are all printable once in 2700 times, sixteen once in seven million.
func encoded(secret string) (string, bool) {
	raw, err := hex.DecodeString(secret)
	if err != nil {
		raw, err = base64.StdEncoding.DecodeString(secret)
	}
	if err != nil || len(raw) < 8 || len(raw) >= len(secret) {
		return "", false
	}
	for _, b := range raw {
		if b < ' ' || b > '~' {
			return "", false
		}
	}
	return string(raw), true
}

// alphabet is the number of characters that a guesser of random strings of this kind tries per
// place.
func alphabet(s string) float64 {
	var lower, upper, digit, other, wide bool
	for _, r := range s {
		switch {
		case r >= 'a' && r <= 'z':
			lower = true
		case r >= 'A' && r <= 'Z':
			upper = true
		case r >= '0' && r <= '9':
			digit = true
		case r < utf8.RuneSelf:
			other = true
		default:
			wide = true
		}
	}
	n := 0.0
	for _, class := range []struct {
		used bool
		size float64
	}{{lower, 26}, {upper, 26}, {digit, 10}, {other, 33}, {wide, 100}} {
		if class.used {
			n += class.size
		}
	}
	return max(n, 1)
}

// listed are the words of all frequency lists from four letters on.
var listed = sync.OnceValue(func() map[string]struct{} {
	m := map[string]struct{}{}
	for _, list := range frequency.Lists {
		for _, w := range list.List {
			if len(w) >= 4 && len(w) <= longestListed {
				m[w] = struct{}{}
			}
		}
	}
	return m
})

const longestListed = 12

// unexplained is a lower bound of the strength: the bits of those characters that are in no
// word, run, repetition or date. Characters count by the number of different ones in the
// secret, which is less than any alphabet they could be from.
func unexplained(secret string, words []string) float64 {
	s := []byte(strings.ToLower(secret))
	deleeted := []byte(leet.Replace(string(s)))
	explained := make([]bool, len(s))
	mark := func(from, to int) {
		for i := from; i < to; i++ {
			explained[i] = true
		}
	}
	reversed := slices.Clone(deleeted)
	slices.Reverse(reversed)
	for _, form := range []struct {
		text []byte
		back bool
	}{{s, false}, {deleeted, false}, {reversed, true}} {
		for i := range form.text {
			for n := 4; n <= longestListed && i+n <= len(form.text); n++ {
				if _, ok := listed()[string(form.text[i:i+n])]; ok {
					if form.back {
						mark(len(s)-i-n, len(s)-i)
					} else {
						mark(i, i+n)
					}
				}
			}
		}
	}
	for _, w := range words {
		for _, text := range [][]byte{s, deleeted} {
			for from := 0; ; {
				i := strings.Index(string(text[from:]), w)
				if i < 0 {
					break
				}
				mark(from+i, from+i+len(w))
				from += i + 1
			}
		}
	}
	for i := 0; i+2 < len(s); i++ {
		step := int(s[i+1]) - int(s[i])
		if step >= -1 && step <= 1 && int(s[i+2])-int(s[i+1]) == step { // abc, 321, aaa
			mark(i, i+3)
		}
		for _, row := range keyboard {
			if strings.Contains(row, string(s[i:i+3])) {
				mark(i, i+3)
			}
		}
	}
	// What was there before adds nothing: "xk3xk3xk3".
	for i := 0; i+4 <= len(s); i++ {
		for j := i + 1; j+4 <= len(s); j++ {
			if string(s[i:i+4]) == string(s[j:j+4]) {
				mark(j, j+4)
			}
		}
	}
	for i := 0; i+4 <= len(s); i++ { // a year
		if y := string(s[i : i+4]); (strings.HasPrefix(y, "19") || strings.HasPrefix(y, "20")) && isDigit(y[2]) && isDigit(y[3]) {
			mark(i, i+4)
		}
	}
	distinct := map[byte]bool{}
	left := 0
	for i, e := range explained {
		distinct[s[i]] = true
		if !e {
			left++
		}
	}
	return float64(left) * math.Log2(float64(max(1, len(distinct))))
}

func isDigit(b byte) bool { return b >= '0' && b <= '9' }

var (
	leet     = strings.NewReplacer("4", "a", "@", "a", "8", "b", "3", "e", "6", "g", "1", "l", "!", "i", "0", "o", "5", "s", "$", "s", "7", "t", "+", "t", "2", "z")
	keyboard = []string{"qwertzuiop", "qwertyuiop", "asdfghjkl", "yxcvbnm", "zxcvbnm", "azertyuiop", "poiuytrewq", "poiuztrewq", "lkjhgfdsa", "mnbvcxz", "1qaz", "2wsx", "3edc", "4rfv", "5tgb", "6yhn", "7ujm", "1234567890", "0987654321", "!@#$%^&*()"}
)
