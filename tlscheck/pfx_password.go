package tlscheck

import (
	"context"
	"errors"
	"slices"
	"strings"
	"unicode"

	"github.com/connsec/connsec"
)

// PasswordStrength is a class of passwords. The empty value means that there was none to judge.
type PasswordStrength string

// The classes.
const (
	PasswordWeak    PasswordStrength = "weak"    // guessed offline in days
	PasswordUnclear PasswordStrength = "unclear" // neither plainly weak nor plainly random
	PasswordStrong  PasswordStrength = "strong"  // not guessed
)

// wellKnownPasswords are tried on every PFX, besides none at all and those derived from names.
var wellKnownPasswords = []string{
	"1234", "password", "changeit", "changeme", "123456", "12345678", "123456789", "12345", "secret", "admin", "test",
	"pass", "Password1", "P@ssw0rd", "password123", "cert", "certificate", "pfx", "ssl", "server", "welcome", "Welcome1",
	"qwerty", "letmein", "default", "export", "0000", "masterkey", "root", "111111", "abc123", "P@ssword1",
}

// productWords are names that installers and administrators build passwords of.
var productWords = []string{"myq", "MyQ", "central", "xmpie", "circle", "localhost"}

// maxGuessWork bounds the iterations spent on guessing: about a second.
const maxGuessWork = 2_000_000

// unlock opens the PFX with the given password, and finds out whether a guess does, too.
func (s FileSet) unlock(ctx context.Context, p *pfxFile, facts *PasswordFacts) (pfxContents, error) {
	var contents pfxContents
	var err error
	if !p.needsPassword() {
		contents, err = p.open("")
		facts.Opened, facts.Guess = err == nil, "empty"
		return contents, err
	}
	if !s.Password.IsEmpty() {
		if contents, err = p.open(s.Password.Reveal()); err == nil {
			facts.Opened = true
			facts.Strength = s.strengthOf(s.Password)
		} else if !errors.Is(err, errWrongPassword) {
			return contents, err
		}
		facts.GivenWrong = err != nil
	}
	for _, g := range s.guesses() {
		if facts.Opened && !s.Password.Equal(connsec.NewSecret(g.password)) {
			facts.Tried++ // the right password is known, so this one is wrong
			continue
		}
		cost := p.workToTry
		if !p.macKnown {
			cost = p.work
		}
		if int64(facts.Tried)*cost > maxGuessWork || ctx.Err() != nil {
			facts.Untested = "one attempt takes too long"
			break
		}
		facts.Tried++
		opened, openErr := p.open(g.password)
		if openErr == nil {
			facts.Opened, facts.Guess = true, g.kind
			return opened, nil
		}
		if !errors.Is(openErr, errWrongPassword) {
			if p.macKnown && !errors.Is(openErr, errTooMuchWork) { // the MAC accepted it
				facts.Guess = g.kind
			}
			return pfxContents{}, openErr
		}
		err = openErr
	}
	if facts.Opened {
		return contents, nil
	}
	return pfxContents{}, err
}

// needsPassword is false if there is neither a MAC nor encryption.
func (p *pfxFile) needsPassword() bool {
	return p.facts.MAC != "" || slices.ContainsFunc(p.facts.Parts, func(part PFXPart) bool { return part.Algorithm != "" })
}

type guess struct{ password, kind string }

// guesses is short, because each costs thousands of hashes.
func (s FileSet) guesses() []guess {
	out := []guess{{"", "empty"}}
	for _, p := range wellKnownPasswords {
		out = append(out, guess{p, "well-known"})
	}
	words := slices.Clone(productWords)
	if fqdn, err := ParseFQDN(s.Name); err == nil {
		labels := strings.Split(fqdn.String(), ".")
		words = append(words, fqdn.String(), strings.Join(labels[1:], "."))
		words = append(words, labels[:len(labels)-1]...)
	}
	for _, w := range words {
		for _, end := range []string{"", "1", "123", "1234"} {
			out = append(out, guess{w + end, "derived"})
		}
	}
	return out
}

// strongBits is what a password has to resist: at the 2048 iterations that every tool uses by
// default, a graphics card tries some 2^22 per second, which for 60 bits takes millennia.
const strongBits = 60

// maxEstimated bounds what estimators get to see: their time grows with the square of the
// length, and whoever types 64 characters has done enough.
const maxEstimated = 64

func (s FileSet) strengthOf(password connsec.Secret) PasswordStrength {
	text := password.Reveal()
	plain := plainStrength(text, s.guesses())
	if s.Strength == nil || plain == PasswordWeak {
		return plain
	}
	if len(text) > maxEstimated {
		text = strings.ToValidUTF8(text[:maxEstimated], "")
	}
	if s.Strength(text) < strongBits {
		return PasswordWeak
	}
	return PasswordStrong
}

// plainStrength judges without a dictionary. Characters that well-known words, repetitions and
// sequences cover do not count. With fewer than 12 left a password is weak. With 15 and
// frequent changes between letters, digits and symbols it looks random, with 32 it is long
// enough for words as well; between these, it cannot be told whether words stand there.
func plainStrength(password string, words []guess) PasswordStrength {
	text := []rune(password)
	folded := foldLeet(text)
	covered := make([]bool, len(text))
	for _, w := range words {
		word := foldLeet([]rune(w.password))
		for i := 0; len(word) > 2 && i+len(word) <= len(folded); i++ {
			if slices.Equal(folded[i:i+len(word)], word) {
				for j := range word {
					covered[i+j] = true
				}
			}
		}
	}
	count, changes := 0, 0
	seen := map[rune]int{}
	last := rune(-1)
	for i, r := range text {
		step := r - last
		if !covered[i] && (step < -1 || step > 1) && seen[r] < 3 {
			seen[r]++
			count++
			if from, to := charClass(last), charClass(r); i > 0 && from != to && !(from == upper && to == lower) {
				changes++ // a capital at the beginning of a word is none
			}
		}
		last = r
	}
	switch {
	case count < 12:
		return PasswordWeak
	case count >= 32, count >= 15 && changes*3 >= count:
		return PasswordStrong
	}
	return PasswordUnclear
}

const (
	digit = iota
	upper
	lower
	symbol
)

func charClass(r rune) int {
	switch {
	case unicode.IsDigit(r):
		return digit
	case unicode.IsUpper(r):
		return upper
	case unicode.IsLetter(r):
		return lower
	}
	return symbol
}

// foldLeet undoes the usual substitutions, so that P@ssw0rd is password.
func foldLeet(text []rune) []rune {
	out := make([]rune, len(text))
	for i, r := range text {
		out[i] = unicode.ToLower(r)
		if j := strings.IndexRune("0134578@$!", r); j >= 0 {
			out[i] = rune("oieastbasi"[j])
		}
	}
	return out
}
