package tlscheck

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// maxNameText bounds what is looked at, in bytes: the longest URL around a 253 byte name that
// anybody would paste by mistake.
const maxNameText = 2048

// nameText is a text that should be a host name, taken apart.
type nameText struct {
	shown    string     // for display: without control characters and secrets
	extras   []string   // what else stands there: "a scheme", "port 443"
	host     string     // what is left, as typed, without trailing dot
	absolute bool       // the trailing dot was there
	ascii    string     // host as lower-case A-labels; only good if problem is empty
	addr     netip.Addr // host is an address literal
	legacy   netip.Addr // host is an address in a spelling from the 1980s
	problem  string     // what is wrong with the syntax; not set for addresses
}

func (n *nameText) isAddress() bool { return n.addr.IsValid() || n.legacy.IsValid() }

// labels returns the labels of the converted name.
func (n *nameText) labels() []string { return strings.Split(n.ascii, ".") }

// readName takes the text apart. What does not belong to a host is noted and put aside, so
// that the rest can be judged as well: "https://10.0.0.1/" has two things wrong with it.
func readName(s string) *nameText {
	n := &nameText{}
	cut := len(s) > maxNameText
	if cut {
		s = strings.ToValidUTF8(s[:maxNameText], "")
	}
	n.host = n.putAside(s)
	if !n.addr.IsValid() {
		n.convert()
	}
	switch {
	case n.isAddress():
	case cut:
		n.problem = fmt.Sprintf("the text is longer than %d bytes", maxNameText)
	default:
		n.problem = n.syntaxProblem()
	}
	return n
}

// putAside removes and notes everything around the host, from the outside to the inside, in
// the order of RFC 3986 §3.
func (n *nameText) putAside(s string) string {
	var scheme, userinfo, port, rest string
	s = n.dropBlanks(s)
	if i := strings.Index(s, "://"); i > 0 && isScheme(s[:i]) {
		n.extra("a scheme")
		scheme, s = s[:i+3], s[i+3:]
	}
	if t := strings.TrimLeft(s, `/\`); t != s {
		n.extra("leading slashes")
		s = t
	}
	if i := strings.IndexAny(s, "/?#"); i >= 0 {
		n.extra("a path or query")
		if strings.Contains(s[i:], "@") {
			// Either the path holds an @, or a password holds a slash. Programs
			// disagree on it, and what stands in front must not be shown.
			n.extra("a user name")
			n.shown = scheme + "REDACTED@…"
			return ""
		}
		s, rest = s[:i], "/…"
	}
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		n.extra("a user name")
		s, userinfo = s[i+1:], "REDACTED@"
	}
	if i := strings.IndexByte(s, '\\'); i >= 0 { // SQL Server's HOST\INSTANCE
		n.extra("an instance name")
		s, rest = s[:i], `\…`
	}
	if i := strings.IndexAny(s, ",;"); i >= 0 {
		if isDigits(s[i+1:]) { // SQL Server's host,1433
			port = s[i+1:]
		} else {
			n.extra("a list")
			rest = ",…"
		}
		s = s[:i]
	}
	host, colon := n.splitColon(s)
	if isDigits(colon) {
		port = colon
	}
	if port != "" {
		n.extra("port " + clip(port))
		port = ":" + clip(port)
	}
	for strings.HasPrefix(host, "*.") {
		n.extra("a wildcard")
		host = host[2:]
	}
	if strings.Contains(host, "*") {
		n.extra("a wildcard")
	}
	if t := strings.TrimSuffix(host, "."); t != "" && t != host {
		host, n.absolute = t, true
	}
	if userinfo != "" && !isLDH(host) {
		n.shown = scheme + userinfo + "…" // a password with an @ in it: what follows is no host
		return ""
	}
	n.shown = scheme + userinfo + printable(host) + port + rest
	return host
}

func (n *nameText) extra(what string) {
	if !slices.Contains(n.extras, what) {
		n.extras = append(n.extras, what)
	}
}

// dropBlanks keeps the first word, without invisible characters. The two joiners stay: some
// scripts need them, and the conversion checks their context (RFC 5892 appendix A.1, A.2).
func (n *nameText) dropBlanks(s string) string {
	if fields := strings.Fields(s); len(fields) != 1 || fields[0] != s {
		if s == "" {
			return s
		}
		n.extra("white space")
		if len(fields) == 0 {
			return ""
		}
		s = fields[0]
	}
	const nonJoiner, joiner = '\u200c', '\u200d'
	return strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Cc, unicode.Cf) && r != nonJoiner && r != joiner {
			n.extra("invisible characters")
			return -1
		}
		return r
	}, s)
}

// splitColon recognises addresses, which may contain colons themselves, and returns what
// precedes and follows the colon of a port. SQL Server's protocol prefix is put aside here.
func (n *nameText) splitColon(s string) (host, port string) {
	if inner, ok := strings.CutPrefix(s, "["); ok {
		if i := strings.IndexByte(inner, ']'); i >= 0 {
			if a, err := netip.ParseAddr(inner[:i]); err == nil {
				n.addr = a
			}
			after := inner[i+1:]
			switch p := strings.TrimPrefix(after, ":"); {
			case after == "":
			case isDigits(p) && p != after:
				port = p
			default:
				n.extra("text behind the bracket")
			}
			if n.addr.IsValid() {
				return inner[:i], port
			}
			return s[:i+2], port
		}
		return s, ""
	}
	if a, err := netip.ParseAddr(s); err == nil {
		n.addr = a
		return s, ""
	}
	host, port, found := strings.Cut(s, ":")
	if found {
		switch strings.ToLower(host) {
		case "tcp", "np", "lpc", "admin":
			n.extra("a protocol prefix")
			return n.splitColon(port)
		}
		if !isDigits(port) {
			n.extra("text behind a colon")
		}
	}
	if a, err := netip.ParseAddr(host); err == nil {
		n.addr = a
	}
	return host, port
}

// convert brings the host to A-labels and recognises addresses that only appear so.
func (n *nameText) convert() {
	ascii, err := idna.Lookup.ToASCII(n.host)
	if !n.absolute && !strings.HasSuffix(n.host, ".") {
		ascii = strings.TrimSuffix(ascii, ".") // typed as another full stop, such as U+3002
	}
	n.ascii = ascii
	if a, err := netip.ParseAddr(ascii); err == nil && a.Is4() {
		n.addr = a // full-width digits or dots
		return
	}
	if a, ok := parseLegacyIPv4(ascii); ok {
		n.legacy = a
		return
	}
	if err != nil {
		n.problem = "it is not a valid internationalised name (RFC 5891)"
	}
}

// syntaxProblem returns one sentence on the first problem, from the concrete to the general.
func (n *nameText) syntaxProblem() string {
	if n.host == "" {
		return "there is no name"
	}
	if !utf8.ValidString(n.host) {
		return "the text is not valid UTF-8"
	}
	for _, label := range strings.Split(strings.ToLower(n.host), ".") {
		if p := labelProblem(label); p != "" {
			return p
		}
	}
	if n.problem != "" {
		return n.problem
	}
	labels := n.labels()
	for _, label := range labels {
		if p := labelProblem(label); p != "" {
			return p
		}
		if len(label) > 63 {
			return fmt.Sprintf("label %q is longer than 63 bytes when converted", clip(label))
		}
	}
	if len(n.ascii) > 253 {
		return fmt.Sprintf("the name has %d bytes; 253 is the most that fits into DNS", len(n.ascii))
	}
	if isNumber(labels[len(labels)-1]) {
		return "the last label is a number, so programs take the name for an address"
	}
	return ""
}

// labelProblem judges the ASCII part of a label, RFC 1123 §2.1 and RFC 5890 §2.3.1.
func labelProblem(label string) string {
	shown := clip(printable(label))
	if label == "" {
		return "a label is empty: there is a dot too many"
	}
	for _, r := range label {
		switch {
		case r == '_':
			return fmt.Sprintf("label %q contains an underscore, which host names must not have", shown)
		case r < utf8.RuneSelf && r != '-' && !isAlnum(r):
			return fmt.Sprintf("label %q contains %q, which host names must not have", shown, r)
		}
	}
	switch {
	case label[0] == '-', label[len(label)-1] == '-':
		return fmt.Sprintf("label %q begins or ends with a hyphen", shown)
	case len(label) >= 4 && label[2:4] == "--" && label[:2] != "xn":
		return fmt.Sprintf("label %q has hyphens in third and fourth place, which are reserved", shown)
	case isASCII(label) && len(label) > 63:
		return fmt.Sprintf("label %q has %d bytes; 63 is the most", shown, len(label))
	}
	return ""
}

// parseLegacyIPv4 reads the spellings that inet_aton and the URL standard take for an IPv4
// address and [netip.ParseAddr] does not: fewer than four parts, the last filling the rest,
// parts in octal (0…) or hexadecimal (0x…), and a trailing dot.
func parseLegacyIPv4(s string) (netip.Addr, bool) {
	parts := strings.Split(strings.TrimSuffix(s, "."), ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var addr uint64
	for i, part := range parts {
		v, ok := parseLegacyNumber(part)
		most := uint64(0xff)
		if i == len(parts)-1 {
			most = 1<<(8*(5-len(parts))) - 1
		}
		if !ok || v > most {
			return netip.Addr{}, false
		}
		if i == len(parts)-1 {
			addr |= v
		} else {
			addr |= v << (24 - 8*i)
		}
	}
	return netip.AddrFrom4([4]byte{byte(addr >> 24), byte(addr >> 16), byte(addr >> 8), byte(addr)}), true
}

func parseLegacyNumber(s string) (uint64, bool) {
	base := 10
	switch {
	case s == "":
		return 0, false
	case strings.HasPrefix(s, "0x"), strings.HasPrefix(s, "0X"):
		s, base = s[2:], 16
		if s == "" {
			return 0, true // the URL standard reads a bare 0x as 0
		}
	case len(s) > 1 && s[0] == '0':
		s, base = s[1:], 8
	}
	if s[0] == '+' || s[0] == '-' || strings.Contains(s, "_") {
		return 0, false
	}
	v, err := strconv.ParseUint(s, base, 64)
	return v, err == nil
}

// isNumber tells whether a last label makes the URL standard read the host as an IPv4
// address, or refuse it.
func isNumber(label string) bool {
	if isDigits(label) {
		return true
	}
	hex, ok := strings.CutPrefix(label, "0x")
	return ok && strings.Trim(hex, "0123456789abcdef") == ""
}

func isScheme(s string) bool {
	for i, r := range s {
		if !isAlnum(r) && (i == 0 || !strings.ContainsRune("+-.", r)) {
			return false
		}
	}
	return s != ""
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

func isAlnum(r rune) bool {
	return '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
}

func isLDH(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return !isAlnum(r) && r != '-' && r != '.' }) < 0
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}

// printable makes foreign text safe to show on a terminal: what is neither a letter nor
// another visible character is escaped. The length is bounded by that of a DNS name.
func printable(s string) string {
	const most = 260
	plain := len(s) <= most
	for i := 0; plain && i < len(s); i++ {
		plain = ' ' < s[i] && s[i] < 0x7f
	}
	if plain {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if b.Len() >= most {
			b.WriteString("…")
			break
		}
		if unicode.IsGraphic(r) && r != utf8.RuneError {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "\\u%04x", r)
		}
	}
	return b.String()
}
