package apisec

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html"
	"net/url"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	// MinSecret is the length of the shortest secret that [Finder] looks for, in bytes. Shorter
	// text stands everywhere by chance.
	MinSecret = 8
	// MaxSecret is the length of the longest.
	MaxSecret = 8 << 10
	// minDistinct is how many different bytes a secret has to have: "00000000" stands everywhere.
	minDistinct = 4
)

// writing is how the characters of a needle stand in for the secret.
type writing uint8

const (
	asText writing = iota
	asBase64
	asHex
)

// A needle is one text to look for, unit by unit: a character of the secret, of its base64 or
// of its hexadecimal. Between units, and in how a unit is written, a text has liberties (see
// follow); a needle says only which units come in which order.
type needle struct {
	secret  int
	writing writing
	// of says what was encoded, if it is not the secret as it is: "UTF-16LE", as for PowerShell's
	// -EncodedCommand and in registry exports, "base64", as in Kubernetes' pull secrets, or
	// "percent-encoded text", as RFC 6749 §2.3.1 has it in Authorization: Basic.
	of    string
	units []unit
	span  int // bytes that a match takes at most, in an 8-bit text
	forms []form
}

// unit is one character of a needle.
type unit struct {
	lit string // its bytes
	alt byte   // another byte for the same, or 0
	r   rune   // the code point, for escapes; -1 for a byte that is none
}

// form is a needle as a known encoder writes it. Forms are what the sieve is made from; a match
// that differs from all of them is still found if a few bytes in a row are as in one.
type form struct {
	text   string
	starts []int // where each unit begins in text
	// literal says that nothing is escaped in it, so that comparing bytes is enough.
	literal bool
	// dumped is how many characters one byte of the secret takes in a dump, whose lines and groups
	// of 8, 12, 16 or more bytes have other text between; 0: it is no dump.
	dumped float64
	// narrow says that it is not looked for in UTF-16.
	narrow bool
}

// needlesOf returns all that is to be looked for to find one secret.
func needlesOf(secret int, value string) []needle {
	texts := []string{value}
	if legacy, ok := singleByte(value); ok && len(legacy) >= MinSecret {
		texts = append(texts, legacy)
	}
	var out []needle
	for i, text := range texts {
		n := needle{secret: secret, writing: asText}
		if n.units = unitsOf(text, i > 0); len(n.units) > 0 {
			n.eitherCase(text)
			out = append(out, n.withTextForms())
		}
		out = append(out, base64Needles(secret, text, "")...)
		out = append(out, hexNeedle(secret, text, ""))
	}
	if utf8.ValidString(value) {
		wide := string(wideBytes(value, false))
		out = append(out, base64Needles(secret, wide, "UTF-16LE")...)
		out = append(out, hexNeedle(secret, wide, "UTF-16LE"))
	}
	for _, inner := range base64Texts(value) {
		out = append(out, base64Needles(secret, inner, "base64")...)
	}
	for _, escaped := range distinct(value, url.QueryEscape(value), url.PathEscape(value)) {
		out = append(out, base64Needles(secret, escaped, "percent-encoded text")...)
	}
	for _, escaped := range distinct(value, formOf(unitsOf(value, false), jsonEscaped("")).text, formOf(unitsOf(value, false), jsonEscaped("<>&")).text) {
		out = append(out, base64Needles(secret, escaped, "JSON")...)
	}
	for i := range out {
		n := &out[i]
		// Ten bytes hold the longest ways to write one unit, and the rest is for line breaks.
		n.span = 10*len(n.units) + 1024
		slices.SortStableFunc(n.forms, func(a, b form) int { return strings.Compare(a.text, b.text) })
		n.forms = slices.CompactFunc(n.forms, func(a, b form) bool { return a.text == b.text })
	}
	return out
}

// distinct returns the texts that differ from the first, each once.
func distinct(first string, texts ...string) []string {
	var out []string
	for _, text := range texts {
		if text != first && !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return out
}

// eitherCase lets a secret of hexadecimal digits, such as a GUID, stand in the other case: whoever
// reads it knows how to write it. Of other secrets that would be another one.
func (n *needle) eitherCase(text string) {
	const least = 16
	lower, upper := strings.ToLower(text), strings.ToUpper(text)
	if len(text) < least || strings.Trim(lower, "0123456789abcdef-") != "" || text != lower && text != upper {
		return
	}
	for i := range n.units {
		switch c := text[i]; c {
		case lower[i]:
			n.units[i].alt = upper[i]
		default:
			n.units[i].alt = lower[i]
		}
		if n.units[i].alt == text[i] {
			n.units[i].alt = 0
		}
	}
}

// singleByte is the text in Windows-1252's part that is Latin-1, if it differs from UTF-8.
func singleByte(s string) (string, bool) {
	if !utf8.ValidString(s) {
		return "", false
	}
	b := make([]byte, 0, len(s))
	for _, r := range s {
		if r > 0xff {
			return "", false
		}
		b = append(b, byte(r))
	}
	return string(b), len(b) != len(s)
}

// unitsOf takes a text apart into characters. Line breaks are one unit, however they are written.
func unitsOf(s string, latin1 bool) []unit {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	var out []unit
	for i := 0; i < len(s); {
		if latin1 {
			out = append(out, unit{lit: s[i : i+1], r: rune(s[i])})
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			r = -1
		}
		out = append(out, unit{lit: s[i : i+size], r: r})
		i += size
	}
	return out
}

// wideBytes is UTF-16 without a byte order mark.
func wideBytes(s string, bigEndian bool) []byte {
	var out []byte
	for _, c := range utf16.Encode([]rune(s)) {
		if bigEndian {
			out = append(out, byte(c>>8), byte(c))
		} else {
			out = append(out, byte(c), byte(c>>8))
		}
	}
	return out
}

// withTextForms adds what encoders make of the text.
func (n needle) withTextForms() needle {
	each := func(write func(unit) string) {
		n.forms = append(n.forms, formOf(n.units, write))
	}
	literal := func(u unit) string { return u.lit }
	bytewise := func(format string) func(unit) string {
		return func(u unit) string {
			var b strings.Builder
			for i := range len(u.lit) {
				fmt.Fprintf(&b, format, u.lit[i])
			}
			return b.String()
		}
	}
	// some escapes only what the condition names.
	some := func(cond func(unit) bool, write func(unit) string) func(unit) string {
		return func(u unit) string {
			if cond(u) {
				return write(u)
			}
			return u.lit
		}
	}
	special := func(u unit) bool { return len(u.lit) > 1 || !unreserved(u.lit[0]) }
	foreign := func(u unit) bool { return len(u.lit) > 1 || u.lit[0] >= utf8.RuneSelf || u.lit[0] == '=' }

	each(literal)
	each(func(u unit) string {
		if u.alt != 0 {
			return string(rune(u.alt))
		}
		return u.lit
	})
	each(some(special, bytewise("%%%02X")))
	each(some(special, bytewise("%%%02x")))
	each(some(func(unit) bool { return true }, func(u unit) string { return url.QueryEscape(u.lit) }))
	each(func(u unit) string { return url.PathEscape(u.lit) })
	each(bytewise("%%%02X"))
	each(bytewise("%%%02x"))
	each(bytewise(`\x%02x`))
	each(bytewise(`\x%02X`))
	each(bytewise("=%02X"))
	each(some(foreign, bytewise("=%02X")))
	each(jsonEscaped(""))
	each(jsonEscaped("/"))
	each(jsonEscaped("<>&"))
	each(jsonEscaped("<>&'+"))
	each(some(special, bytewise("%%25%02X")))
	each(some(special, bytewise("%%25%02x")))
	each(func(u unit) string { return url.QueryEscape(url.QueryEscape(u.lit)) })
	each(func(u unit) string {
		return strings.ReplaceAll(strings.ReplaceAll(jsonEscaped("")(u), `\`, `\\`), `"`, `\"`)
	})
	each(some(special, bytewise(`\%03o`)))
	each(pythonEscaped)
	each(func(u unit) string { return html.EscapeString(u.lit) })
	each(xmlEscaped)
	each(some(func(u unit) bool { return len(u.lit) == 1 && u.lit[0] < utf8.RuneSelf && !unreserved(u.lit[0]) }, func(u unit) string { return `\` + u.lit }))
	if !slices.ContainsFunc(n.units, func(u unit) bool { return u.r < 0 }) {
		for _, f := range []string{`\u%04x`, `\u%04X`} {
			each(func(u unit) string {
				var b strings.Builder
				for _, c := range utf16.Encode([]rune{u.r}) {
					fmt.Fprintf(&b, f, c)
				}
				return b.String()
			})
		}
		for _, f := range []string{"&#%d;", "&#x%x;", "&#x%X;"} {
			each(func(u unit) string { return fmt.Sprintf(f, u.r) })
			each(some(special, func(u unit) string { return fmt.Sprintf(f, u.r) }))
		}
	}
	return n
}

func formOf(units []unit, write func(unit) string) form {
	var f form
	var b strings.Builder
	for _, u := range units {
		f.starts = append(f.starts, b.Len())
		b.WriteString(write(u))
	}
	f.text = b.String()
	return f
}

// unreserved are the characters that RFC 3986 §2.3 never has encoded.
func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// jsonEscaped writes as RFC 8259 §7 wants it: more is what an encoder escapes beyond that.
func jsonEscaped(more string) func(unit) string {
	return func(u unit) string {
		switch {
		case u.lit == `"` || u.lit == `\`:
			return `\` + u.lit
		case u.lit == "/" && more == "/":
			return `\/`
		case u.lit == "\n":
			return `\n`
		case u.lit == "\t":
			return `\t`
		case u.r >= 0 && (u.r < 0x20 || u.r >= 0x7f || strings.ContainsRune(more, u.r) && more != "/"):
			var b strings.Builder
			for _, c := range utf16.Encode([]rune{u.r}) {
				fmt.Fprintf(&b, `\u%04x`, c)
			}
			return b.String()
		}
		return u.lit
	}
}

// pythonEscaped writes as ascii() of Python does, and C# and JavaScript may.
func pythonEscaped(u unit) string {
	switch {
	case u.r < 0x80 || u.lit == "":
		return u.lit
	case u.r < 0x100:
		return fmt.Sprintf(`\x%02x`, u.r)
	case u.r < 0x10000:
		return fmt.Sprintf(`\u%04x`, u.r)
	}
	return fmt.Sprintf(`\U%08x`, u.r)
}

var xmlEntities = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&apos;")

func xmlEscaped(u unit) string { return xmlEntities.Replace(u.lit) }

// base64Texts are what base64 (RFC 4648 §4 and §5) makes of data at each of its three alignments.
// What comes before and behind is not known, so the characters that also hold bits of that are
// left off.
func base64Texts(data string) []string {
	var out []string
	for ahead := range 3 {
		text := base64.StdEncoding.EncodeToString(slices.Concat(make([]byte, ahead), []byte(data), make([]byte, 3)))
		text = text[(8*ahead+5)/6 : 8*(ahead+len(data))/6]
		out = append(out, text)
		if forURLs := strings.NewReplacer("+", "-", "/", "_").Replace(text); forURLs != text {
			out = append(out, forURLs)
		}
	}
	return out
}

// base64Needles are the data in base64, in both alphabets.
func base64Needles(secret int, data, of string) []needle {
	var out []needle
	for _, text := range base64Texts(data) {
		if strings.ContainsAny(text, "-_") { // which the needle of the other alphabet finds
			continue
		}
		n := needle{secret: secret, writing: asBase64, of: of}
		for i := range len(text) {
			u := unit{lit: text[i : i+1], r: rune(text[i])}
			switch text[i] {
			case '+':
				u.alt = '-'
			case '/':
				u.alt = '_'
			}
			n.units = append(n.units, u)
		}
		for _, with := range [][2]string{{"+", "/"}, {"-", "_"}, {"%2B", "%2F"}, {"%2b", "%2f"}, {"+", `\/`}, {`\u002b`, "/"}, {`\u002B`, "/"}, {`\u002b`, `\/`}, {"&#43;", "/"}} {
			n.forms = append(n.forms, formOf(n.units, func(u unit) string {
				switch u.lit {
				case "+":
					return with[0]
				case "/":
					return with[1]
				}
				return u.lit
			}))
			n.forms[len(n.forms)-1].narrow = of == "base64"
		}
		out = append(out, n)
	}
	return out
}

// hexNeedle is the data in hexadecimal, in one piece, with separators, and as programs dump it.
func hexNeedle(secret int, data, of string) needle {
	n := needle{secret: secret, writing: asHex, of: of}
	lower := hex.EncodeToString([]byte(data))
	for i := range len(lower) {
		u := unit{lit: lower[i : i+1], r: rune(lower[i])}
		if lower[i] >= 'a' {
			u.alt = lower[i] - 'a' + 'A'
		}
		n.units = append(n.units, u)
	}
	n.forms = append(n.forms, formOf(n.units, func(u unit) string { return u.lit }), formOf(n.units, func(u unit) string { return strings.ToUpper(u.lit) }))
	for _, digits := range []func(string) string{strings.ToLower, strings.ToUpper} {
		// between is what stands behind a byte, by its number.
		each := func(between func(int) string) form {
			i := 0
			return formOf(n.units, func(u unit) string {
				if i++; i%2 != 0 {
					return digits(u.lit)
				}
				return digits(u.lit) + between(i/2)
			})
		}
		for _, between := range []string{":", " ", ",", "-", ", 0x", `\x`} {
			f := each(func(int) string { return between })
			if between == " " || between == ", 0x" { // hexdump -C, od -t x1; xxd -i
				f.dumped = float64(2 + len(between))
			}
			n.forms = append(n.forms, f)
		}
		for odd := range 2 { // xxd, by whether the first byte is the second of a pair
			f := each(func(i int) string { return strings.Repeat(" ", (i+odd+1)%2) })
			f.dumped, f.narrow = 2.5, true
			n.forms = append(n.forms, f)
		}
	}
	return n
}

// widened is the form in UTF-16, of which it takes two bytes for each character. Characters
// beyond ASCII are right only where each unit is one character, which is so for text.
func (f form) widened(bigEndian bool) (form, bool) {
	if !utf8.ValidString(f.text) {
		return form{}, false
	}
	var out form
	var b bytes.Buffer
	for i, at := range f.starts {
		end := len(f.text)
		if i+1 < len(f.starts) {
			end = f.starts[i+1]
		}
		out.starts = append(out.starts, b.Len())
		b.Write(wideBytes(f.text[at:end], bigEndian))
	}
	out.text = b.String()
	return out, true
}
