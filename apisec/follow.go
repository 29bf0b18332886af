package apisec

import (
	"bytes"
	"html"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// traits are the liberties that a text took with a needle.
type traits uint8

const (
	percents   traits = 1 << iota // %26, also %2526
	escapes                       // \u0026, \x26, \/, \046
	entities                      // &amp;, &#38;, &#x26;
	quoted                        // =26, of quoted-printable
	quotes                        // '' in SQL, '\'' in a shell, `$ in PowerShell
	broken                        // over lines, or put together from strings
	separators                    // 61:62:63
	cased                         // in the other case
)

// spot is a place in the text up to which a needle was followed.
type spot struct {
	at  int
	how traits
}

// scratch is memory that follow uses again.
type scratch struct{ spots, next, ways, back, one []spot }

const (
	// maxSpots bounds the ways that are followed side by side, where a text can be read in
	// several.
	maxSpots = 8
	// maxUnit is the longest way to write one unit, which is a character with its UTF-8 in
	// doubly encoded percents.
	maxUnit = 24
	// maxBreak is how long a line break with its continuation mark and indentation may be.
	maxBreak = 128
)

// follow compares the needle with a text in which its given unit may begin at the given place.
// It returns where the match begins and ends.
func (n *needle) follow(text []byte, at, unit int, m *scratch) (begin, end int, how traits, ok bool) {
	if at < 0 {
		return 0, 0, 0, false
	}
	spots, next, ways := append(m.spots[:0], spot{at: at}), m.next[:0], m.ways[:0]
	defer func() { m.spots, m.next, m.ways = spots, next, ways }()
	for i := unit; i < len(n.units); i++ {
		next = next[:0]
		for _, s := range spots {
			ways = n.ways(text, s.at, n.units[i], ways[:0])
			next = merge(next, s.how, ways)
			if i == unit || s.at >= len(text) || !beginsGap[text[s.at]] {
				continue
			}
			if b, h := n.gap(text, s.at); b > s.at {
				ways = n.ways(text, b, n.units[i], ways[:0])
				next = merge(next, s.how|h, ways)
			}
			if b := n.dumpLine(text, s.at); b > s.at {
				ways = n.ways(text, b, n.units[i], ways[:0])
				next = merge(next, s.how|broken, ways)
			}
		}
		if len(next) == 0 {
			return 0, 0, 0, false
		}
		spots, next = next, spots
	}
	end, how = spots[0].at, spots[0].how

	spots = append(spots[:0], spot{at: at})
	for i := unit - 1; i >= 0; i-- {
		next = next[:0]
		for _, s := range spots {
			next = merge(next, s.how, n.waysBack(text, s.at, n.units[i], m))
			if s.at == 0 || !endsGap(text[s.at-1], n.writing) {
				continue
			}
			for b := s.at - 1; b >= max(0, s.at-maxBreak); b-- {
				if !beginsGap[text[b]] {
					continue
				}
				if to, h := n.gap(text, b); to == s.at {
					next = merge(next, s.how|h, n.waysBack(text, b, n.units[i], m))
				}
				if n.dumpLine(text, b) == s.at {
					next = merge(next, s.how|broken, n.waysBack(text, b, n.units[i], m))
				}
			}
		}
		if len(next) == 0 {
			return 0, 0, 0, false
		}
		spots, next = next, spots
	}
	return spots[0].at, end, how | spots[0].how, true
}

// What ways and gap look for at their first byte.
var (
	beginsEscape = bytesOf("%=+\\&`^\r'\"")
	beginsGap    = bytesOf(" \t\r\n\\`^=%&'\",:-0")
)

func bytesOf(set string) (is [256]bool) {
	for i := range len(set) {
		is[set[i]] = true
	}
	return is
}

// merge adds ways to the spots, each place once.
func merge(spots []spot, how traits, ways []spot) []spot {
next:
	for _, w := range ways {
		for _, s := range spots {
			if s.at == w.at {
				continue next
			}
		}
		if len(spots) < maxSpots {
			spots = append(spots, spot{w.at, w.how | how})
		}
	}
	return spots
}

// waysBack returns where the unit may begin if it ends at a place.
func (n *needle) waysBack(text []byte, end int, u unit, m *scratch) []spot {
	m.back = m.back[:0]
	for at := end - 1; at >= max(0, end-maxUnit); at-- {
		if at != end-len(u.lit) && !beginsEscape[text[at]] {
			continue
		}
		m.one = n.ways(text, at, u, m.one[:0])
		for _, w := range m.one {
			if w.at == end {
				m.back = append(m.back, spot{at, w.how})
				break
			}
		}
	}
	return m.back
}

// ways returns where the unit ends if it begins at a place, for each way to write it.
func (n *needle) ways(text []byte, at int, u unit, out []spot) []spot {
	if at >= len(text) {
		return out
	}
	rest := text[at:]
	c := rest[0]
	if c == u.lit[0] && (len(u.lit) == 1 || bytes.HasPrefix(rest, []byte(u.lit))) || u.alt != 0 && c == u.alt {
		how := traits(0)
		if c != u.lit[0] && n.writing == asText {
			how = cased
		}
		out = append(out, spot{at + max(len(u.lit), 1), how})
	}
	if !beginsEscape[c] {
		return out
	}
	switch c {
	case '%':
		out = byteEscapes(rest, u, at, out, percents, func(p []byte) int {
			i := 1
			for i+3 < len(p) && p[i] == '2' && p[i+1] == '5' && u.lit != "%" {
				i += 2
			}
			return i
		}, '%')
		if v, ok := hexByte(rest, 1); ok && v == '+' && u.lit == " " { // a space as + and then encoded again
			out = append(out, spot{at + 3, percents})
		}
		if u.lit == "%" { // %2525
			for i := 3; i+1 < len(rest) && rest[1] == '2' && rest[2] == '5' && rest[i] == '2' && rest[i+1] == '5' && i < maxUnit-2; i += 2 {
				out = append(out, spot{at + i + 2, percents})
			}
		}
	case '=':
		out = byteEscapes(rest, u, at, out, quoted, func([]byte) int { return 1 }, '=')
	case '+':
		if u.lit == " " {
			out = append(out, spot{at + 1, percents})
		}
	case '\\':
		out = backslashes(rest, u, at, out)
	case '&':
		out = entity(rest, u, at, out)
	case '`', '^':
		if len(rest) > 1 && len(u.lit) == 1 && rest[1] == u.lit[0] && !alphanumeric(rest[1]) {
			out = append(out, spot{at + 2, quotes})
		}
	case '\r':
		if u.lit == "\n" && len(rest) > 1 && rest[1] == '\n' {
			out = append(out, spot{at + 2, 0})
		}
	}
	if len(rest) > 1 && c == rest[1] && c == u.lit[0] && (c == '\'' || c == '"' || c == '%') && len(u.lit) == 1 {
		out = append(out, spot{at + 2, quotes})
	}
	if u.lit == "'" && c == '\'' {
		for _, way := range []string{`'\''`, `'"'"'`} {
			if bytes.HasPrefix(rest, []byte(way)) {
				out = append(out, spot{at + len(way), quotes})
			}
		}
	}
	return out
}

// byteEscapes reads a unit of which each byte is written as a mark and two hexadecimal digits.
func byteEscapes(rest []byte, u unit, at int, out []spot, how traits, digits func([]byte) int, mark byte) []spot {
	i := 0
	for j := range len(u.lit) {
		if j > 0 && mark == '=' { // a soft line break between the bytes of a character
			if b := newline(rest[min(i+1, len(rest)):]); b > 0 {
				i += 1 + b
			}
		}
		if i >= len(rest) || rest[i] != mark {
			return out
		}
		d := i + digits(rest[i:])
		v, ok := hexByte(rest, d)
		if !ok || v != u.lit[j] && !(len(u.lit) == 1 && u.alt != 0 && v == u.alt) {
			return out
		}
		i = d + 2
	}
	return append(out, spot{at + i, how})
}

// backslashes reads the escapes of JSON (RFC 8259 §7), C, Python and shells, and JSON that was
// written into JSON, which doubles the backslashes.
func backslashes(rest []byte, u unit, at int, out []spot) []spot {
	i := 1
	for i < len(rest) && rest[i] == '\\' && i < 8 {
		i++
	}
	if u.lit == `\` {
		for j := 2; j <= i; j *= 2 {
			out = append(out, spot{at + j, escapes})
		}
	}
	if i >= len(rest) {
		return out
	}
	c := rest[i]
	same := func(v rune) bool { return v == u.r || u.alt != 0 && v == rune(u.alt) }
	switch c {
	case 'u':
		if v, ok := hexRune(rest, i+1, 4); ok {
			to := i + 5
			if utf16.IsSurrogate(v) && to+5 < len(rest) && rest[to] == '\\' {
				j := to + 1
				for j < len(rest) && rest[j] == '\\' && j-to < 8 {
					j++
				}
				if low, ok := hexRune(rest, j+1, 4); ok && rest[j] == 'u' {
					v, to = utf16.DecodeRune(v, low), j+5
				}
			}
			if same(v) {
				out = append(out, spot{at + to, escapes})
			}
		}
	case 'U':
		if v, ok := hexRune(rest, i+1, 8); ok && same(v) {
			out = append(out, spot{at + i + 9, escapes})
		}
	case 'x':
		j := i
		for k := range len(u.lit) {
			v, ok := hexByte(rest, j+1)
			if !ok || rest[j] != 'x' || v != u.lit[k] && !same(rune(v)) {
				break
			}
			j += 3
			if k == len(u.lit)-1 || same(rune(v)) && len(u.lit) > 1 {
				out = append(out, spot{at + j, escapes})
				break
			}
			for j < len(rest) && rest[j] == '\\' && j < maxUnit {
				j++
			}
			if j >= len(rest) {
				break
			}
		}
	case 'n', 't', 'r':
		if u.lit == map[byte]string{'n': "\n", 't': "\t", 'r': "\r"}[c] {
			out = append(out, spot{at + i + 1, escapes})
		}
		if c == 'r' && u.lit == "\n" && i+1 < len(rest) && rest[i+1] == '\\' {
			j := i + 2
			for j < len(rest) && rest[j] == '\\' && j < maxUnit {
				j++
			}
			if j < len(rest) && rest[j] == 'n' {
				out = append(out, spot{at + j + 1, escapes})
			}
		}
	case '0', '1', '2', '3':
		j := i
		for k := range len(u.lit) {
			if j+2 >= len(rest) || !octal(rest[j]) || !octal(rest[j+1]) || !octal(rest[j+2]) || u.lit[k] != (rest[j]-'0')<<6|(rest[j+1]-'0')<<3|(rest[j+2]-'0') {
				break
			}
			if j += 3; k == len(u.lit)-1 {
				out = append(out, spot{at + j, escapes})
				break
			}
			for j < len(rest) && rest[j] == '\\' && j < maxUnit {
				j++
			}
		}
	default:
		if len(u.lit) == 1 && c == u.lit[0] && !alphanumeric(c) {
			out = append(out, spot{at + i + 1, escapes})
		}
	}
	return out
}

// entity reads a character reference of XML 1.0 §4.1 or HTML, also one that was escaped again.
func entity(rest []byte, u unit, at int, out []spot) []spot {
	// What follows may be "amp;" of the secret, or of one more escaping.
	if u.lit == "&" && bytes.HasPrefix(rest, []byte("&amp;")) {
		out = append(out, spot{at + 5, entities})
		for end := 5; end < maxUnit && bytes.HasPrefix(rest[end:], []byte("amp;")); {
			end += 4
			out = append(out, spot{at + end, entities})
		}
	}
	end := bytes.IndexByte(rest[:min(len(rest), maxUnit)], ';')
	// &amp;#38; has two semicolons.
	if end > 0 {
		i := 1
		for bytes.HasPrefix(rest[i:end+1], []byte("amp;")) && end+1 < len(rest) {
			more := bytes.IndexByte(rest[end+1:min(len(rest), maxUnit)], ';')
			if more < 0 {
				break
			}
			i += 4
			end += more + 1
		}
		name := string(rest[i : end+1])
		v, numeric := reference(name)
		if text := html.UnescapeString("&" + name); numeric && (v == u.r || u.alt != 0 && v == rune(u.alt)) || !numeric && (text == u.lit || u.r > 0 && text == string(u.r)) {
			return append(out, spot{at + end + 1, entities})
		}
	}
	return out
}

// reference reads "#38;" and "#x26;". A browser makes other characters of some control
// characters, which are not what an encoder meant.
func reference(name string) (rune, bool) {
	digits, ok := strings.CutPrefix(strings.TrimSuffix(name, ";"), "#")
	if !ok || digits == "" {
		return 0, false
	}
	base := 10
	if digits[0]|0x20 == 'x' {
		digits, base = digits[1:], 16
	}
	v, err := strconv.ParseUint(digits, base, 21)
	return rune(v), err == nil
}

// gap returns the end of what may stand between two units and means nothing: a line break with
// its continuation mark and indentation, or the seam of a string that is put together. Without
// one it returns the place itself.
func (n *needle) gap(text []byte, at int) (int, traits) {
	rest := text[at:min(len(text), at+maxBreak)]
	if len(rest) == 0 {
		return at, 0
	}
	if n.writing == asHex {
		i, how := 0, traits(0)
		for i < len(rest) {
			if j := max(seam(rest[i:]), lineBreak(rest[i:])); j > 0 {
				i, how = i+j, how|broken
			} else if j := separator(rest[i:]); j > 0 {
				i, how = i+j, how|separators
			} else {
				break
			}
		}
		return at + i, how
	}
	if i := max(seam(rest), lineBreak(rest)); i > 0 {
		return at + i, broken
	}
	return at, 0
}

// dumpLine returns the end of what a dump has between two of its lines: the bytes as text, a line
// break, and the address of the next, as written by xxd, hexdump -C, od and Format-Hex. Without
// that it returns the place itself.
func (n *needle) dumpLine(text []byte, at int) int {
	if n.writing != asHex || at == 0 {
		return at
	}
	if _, ok := hexDigit(text[at-1]); !ok {
		return at
	}
	rest := text[at:min(len(text), at+maxBreak)]
	if len(rest) == 0 || strings.IndexByte(" \t\r\n", rest[0]) < 0 {
		return at
	}
	i := bytes.IndexByte(rest, '\n') + 1
	if i == 0 {
		return at
	}
	if bytes.HasPrefix(rest[i:], []byte("0x")) {
		i += 2
	}
	digits := i
	for i < len(rest) && i-digits <= 16 {
		if _, ok := hexDigit(rest[i]); !ok {
			break
		}
		i++
	}
	if i-digits < 4 || i-digits > 16 {
		return at
	}
	if i < len(rest) && rest[i] == ':' {
		i++
	}
	spaces := i
	for i < len(rest) && (rest[i] == ' ' || rest[i] == '\t') {
		i++
	}
	if i == spaces || i == len(rest) {
		return at
	}
	return at + i
}

// lineBreak reads marks that continue a line (\ in shells, YAML and C, ` in PowerShell, ^ in
// cmd, = in quoted-printable), one or more line breaks, and indentation.
func lineBreak(rest []byte) int {
	i := 0
	if newline(rest) == 0 && strings.IndexByte("\\`^=", rest[0]) >= 0 {
		i++
	}
	for i < len(rest) && (rest[i] == ' ' || rest[i] == '\t') {
		i++
	}
	lines := 0
	for {
		j := i + newline(rest[i:])
		if j == i {
			break
		}
		lines++
		for i = j; i < len(rest) && (rest[i] == ' ' || rest[i] == '\t'); i++ {
		}
	}
	if lines == 0 {
		return 0
	}
	return i
}

// newline reads one line break as it stands or as it is escaped, such as the \n between the
// lines of a PEM file in JSON.
func newline(rest []byte) int {
	if len(rest) == 0 {
		return 0
	}
	switch rest[0] {
	case '\n':
		return 1
	case '\r':
		if len(rest) > 1 && rest[1] == '\n' {
			return 2
		}
		return 1
	case '\\':
		i := 1
		for i < len(rest) && rest[i] == '\\' && i < 8 {
			i++
		}
		if i < len(rest) && (rest[i] == 'n' || rest[i] == 'r') {
			return i + 1
		}
	case '%':
		if v, ok := hexByte(rest, 1); ok && (v == '\n' || v == '\r') {
			return 3
		}
	case '&':
		for _, way := range []string{"&#10;", "&#13;", "&#xA;", "&#xD;", "&#xa;", "&#xd;"} {
			if bytes.HasPrefix(rest, []byte(way)) {
				return len(way)
			}
		}
	}
	return 0
}

// seam reads what stands between two parts of a string: a quote, perhaps an operator and line
// breaks, a quote. A backslash before the quotes is that of a string in a string.
func seam(rest []byte) int {
	quote := func(i int) int {
		for i < len(rest) && rest[i] == '\\' {
			i++
		}
		if i < len(rest) && (rest[i] == '"' || rest[i] == '\'') {
			return i + 1
		}
		return 0
	}
	space := func(i int) int {
		for i < len(rest) && strings.IndexByte(" \t\r\n\\_`", rest[i]) >= 0 {
			i++
		}
		return i
	}
	i := quote(0)
	if i == 0 {
		return 0
	}
	i = space(i)
	operator := i < len(rest) && strings.IndexByte("+.&,", rest[i]) >= 0
	if operator {
		i = space(i + 1)
	}
	return quote(i)
}

// separator reads what stands between the bytes of a dump.
func separator(rest []byte) int {
	i := 0
	if strings.IndexByte(",:- ", rest[0]) >= 0 {
		i++
	}
	if bytes.HasPrefix(rest[i:], []byte("0x")) || bytes.HasPrefix(rest[i:], []byte(`\x`)) {
		i += 2
	}
	return i
}

// endsGap reports whether a gap can end with this byte, so that one needs to be looked for.
func endsGap(c byte, w writing) bool {
	return strings.IndexByte(" \t\r\n\"'nr;AaDd", c) >= 0 ||
		w == asHex && strings.IndexByte(",:-x", c) >= 0
}

func alphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func octal(c byte) bool { return '0' <= c && c <= '7' }

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

func hexByte(text []byte, at int) (byte, bool) {
	if at+2 > len(text) {
		return 0, false
	}
	a, ok := hexDigit(text[at])
	b, ok2 := hexDigit(text[at+1])
	return a<<4 | b, ok && ok2
}

func hexRune(text []byte, at, digits int) (rune, bool) {
	if at+digits > len(text) {
		return 0, false
	}
	var v uint32
	for _, c := range text[at : at+digits] {
		d, ok := hexDigit(c)
		if !ok {
			return 0, false
		}
		v = v<<4 | uint32(d)
	}
	return rune(v), v <= utf8.MaxRune
}

// narrowed is a stretch of UTF-16 as UTF-8, and where each of its bytes came from.
func narrowed(text []byte, order width, into []byte, from []int32) ([]byte, []int32) {
	into, from = into[:0], from[:0]
	low, high := 0, 1
	if order == bigEndian {
		low, high = 1, 0
	}
	for i := 0; i+1 < len(text); i += 2 {
		r, size := rune(text[i+low])|rune(text[i+high])<<8, 2
		if utf16.IsSurrogate(r) && i+3 < len(text) {
			if both := utf16.DecodeRune(r, rune(text[i+2+low])|rune(text[i+2+high])<<8); both != utf8.RuneError {
				r, size = both, 4
			}
		}
		before := len(into)
		into = utf8.AppendRune(into, r)
		for range len(into) - before {
			from = append(from, int32(i))
		}
		i += size - 2
	}
	return into, append(from, int32(len(text)&^1))
}
