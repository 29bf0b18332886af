package apisec

import (
	"bytes"
	"math"
	"regexp"
	"strings"
)

// patternSpan is how far the text around the mark of a pattern is looked at, in bytes.
const patternSpan = 4 << 10

// A pattern is what a kind of secret looks like. It is precise rather than complete: a mark that
// is quickly found, and a test of what stands around it.
type pattern struct {
	name string
	// sure says that the shape alone leaves hardly a doubt.
	sure  bool
	marks []string
	// match is given the text and the place of a mark. It returns where the secret begins.
	match func(text []byte, at int) (begin int, value string, ok bool)
}

var patterns = []pattern{
	{"private key", true, []string{"PRIVATE KEY-----"}, privateKey},
	{"client secret", false, []string{"ecret", "ECRET"}, clientSecret},
	{"Azure client secret", true, []string{"Q~"}, azureSecret},
	{"password in a connection string", false, []string{"assword", "ASSWORD", "wd=", "WD="}, connectionString},
	{"password in a URL", false, []string{"://"}, urlPassword},
}

// scanPatterns looks for the marks in what was not seen yet, up to a limit.
func (s *searcher) scanPatterns(text []byte, limit int, base int64, lines *lineCounter, report func(match)) {
	from := int(max(s.seen, base) - base)
	for _, p := range patterns {
		for _, mark := range p.marks {
			for at := from; at < limit; at += len(mark) {
				i := bytes.Index(text[at:min(len(text), limit+len(mark)-1)], []byte(mark))
				if i < 0 {
					break
				}
				at += i
				begin, value, ok := p.match(text, at)
				if !ok {
					continue
				}
				m := match{secret: -1, pattern: p.name, value: value, begin: base + int64(begin), form: "verbatim"}
				m.line, m.column = lines.at(text, base, begin, narrow)
				report(m)
			}
		}
	}
	s.seen = max(s.seen, base+int64(limit))
}

var keyBegin = regexp.MustCompile(`-----BEGIN (RSA |EC |DSA |OPENSSH )?$`)

// privateKey knows PEM (RFC 7468 §10, PKCS #1, SEC 1, OpenSSH) with a body that is not encrypted.
func privateKey(text []byte, at int) (int, string, bool) {
	before := text[max(0, at-len("-----BEGIN OPENSSH ")):at]
	m := keyBegin.FindIndex(before)
	if m == nil {
		return 0, "", false
	}
	begin := at - len(before) + m[0]
	body := text[at+len("PRIVATE KEY-----") : min(len(text), at+patternSpan)]
	if end := bytes.Index(body, []byte("-----END")); end >= 0 {
		body = body[:end]
	}
	if bytes.Contains(body, []byte("ENCRYPTED")) {
		return 0, "", false
	}
	// The body, whatever it is broken and quoted by.
	var b strings.Builder
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case alphanumeric(c) || c == '+' || c == '/' || c == '=':
			b.WriteByte(c)
		case c == '\\' && i+1 < len(body) && (body[i+1] == 'n' || body[i+1] == 'r'):
			i++
		case c == '%' && len(body) > i+2 && body[i+1] == '0':
			i += 2
		case strings.IndexByte(" \t\r\n\\\"'+,;`#*>", c) < 0:
			i = len(body)
		}
	}
	value := b.String()
	if len(value) < 64 || entropy(value) < 4 {
		return 0, "", false
	}
	const none = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU" // "openssh-key-v1", cipher "none"
	if strings.HasPrefix(value, "b3BlbnNzaC1rZXktdjE") && !strings.HasPrefix(value, none) {
		return 0, "", false
	}
	return begin, value, true
}

var (
	clientKey = regexp.MustCompile(`(?i)(?:client|app|application|api|consumer|oauth)[_\-. ]?s$`)
	// A variable of a program: cfg.Secret2.
	dottedName = regexp.MustCompile(`^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$`)
	// From the last letters of the key to the value: an assignment, a member of JSON or a
	// dictionary, an option of a command, an element or attribute of XML, a form.
	secretValue = regexp.MustCompile(`^(?i:ecret)(?:\\?["'\]]{0,2}[ \t]{0,8}(?::=|=>|[:=,])[ \t]{0,8}\\?[@"'` + "`" + `]{0,3}|[ \t]{1,4}["']?|["']?[ \t]{1,8}value[ \t]?=[ \t]?["']|>)([A-Za-z0-9_~.+/=-]{16,128})`)
)

// clientSecret knows random values beside a name like client_secret.
func clientSecret(text []byte, at int) (int, string, bool) {
	if !clientKey.Match(text[max(0, at-16):at]) {
		return 0, "", false
	}
	rest := text[at:min(len(text), at+192)]
	m := secretValue.FindSubmatchIndex(rest)
	if m == nil {
		return 0, "", false
	}
	value := string(rest[m[2]:m[3]])
	if m[3] < len(rest) && strings.IndexByte("(:[{$%", rest[m[3]]) >= 0 { // a call, or a template
		return 0, "", false
	}
	if quoted := strings.IndexByte("\"'`>", rest[m[2]-1]) >= 0; !quoted && dottedName.MatchString(value) {
		return 0, "", false
	}
	// 5 % of random values of 40 hexadecimal digits are below 3.5, so it is 3 for those.
	least := 3.5
	if strings.Trim(value, "0123456789abcdefABCDEF") == "" {
		least = 3
	}
	if entropy(value) < least || !strings.ContainsAny(value, "0123456789") || placeholder(value) {
		return 0, "", false
	}
	return at + m[2], value, true
}

func azureChar(c byte) bool { return alphanumeric(c) || strings.IndexByte("_~.-", c) >= 0 }

// azureSecret knows the shape that Entra ID has given its client secrets since 2021.
func azureSecret(text []byte, at int) (int, string, bool) {
	begin := at - 4
	if begin < 0 || text[at-1] < '0' || text[at-1] > '9' || begin > 0 && azureChar(text[begin-1]) {
		return 0, "", false
	}
	end := at + 2
	for end < len(text) && azureChar(text[end]) && end-at < 40 {
		end++
	}
	value := string(text[begin:end])
	for i := range 3 {
		if !azureChar(value[i]) {
			return 0, "", false
		}
	}
	if tail := end - at - 2; tail < 31 || tail > 34 || entropy(value) < 3.5 {
		return 0, "", false
	}
	return begin, value, true
}

var (
	// The value may be quoted as ADO.NET wants it, or stand in an attribute of XML.
	passwordValue = regexp.MustCompile(`^(?i:assword|wd)[ \t]?=[ \t]?(?:'([^'\r\n]{4,128})'|([^;"'\s<>&\\` + "`" + `]{4,128}))`)
)

// serverKeys are what stands beside a password in a connection string, by their last letter.
var serverKeys = [256][]string{
	'r': {"server", "addr"}, 'e': {"data source", "database"}, 's': {"address", "network address"}, 't': {"host"}, 'g': {"initial catalog"}, 'd': {"user id", "uid"},
}

// namesServer reports whether one of them stands in the text with a value. An expression takes a
// hundred times as long, which a log full of "pwd=x;" would make felt.
func namesServer(text []byte) bool {
	for from := 0; ; {
		i := bytes.IndexByte(text[from:], '=')
		if i < 0 {
			return false
		}
		key, value := text[:from+i], text[from+i+1:]
		from += i + 1
		if len(value) > 0 && (value[0] == ' ' || value[0] == '\t') {
			value = value[1:]
		}
		if n := len(key); n > 0 && (key[n-1] == ' ' || key[n-1] == '\t') {
			key = key[:n-1]
		}
		if len(key) == 0 || len(value) == 0 || strings.IndexByte("; \t\r\n\f\"'", value[0]) >= 0 {
			continue
		}
		for _, k := range serverKeys[key[len(key)-1]|0x20] {
			at := len(key) - len(k)
			if at >= 0 && bytes.EqualFold(key[at:], []byte(k)) && (at == 0 || strings.IndexByte("; \t\r\n\f\"',(>", key[at-1]) >= 0) {
				return true
			}
		}
	}
}

// connectionString knows Password=…; beside Server=…; (ADO.NET, ODBC, OLE DB).
func connectionString(text []byte, at int) (int, string, bool) {
	if at == 0 || text[at-1]|0x20 != 'p' {
		return 0, "", false
	}
	if at > 1 && strings.IndexByte("; \t\"'(,>\n\r", text[at-2]) < 0 {
		return 0, "", false
	}
	rest := text[at:min(len(text), at+192)]
	m := passwordValue.FindSubmatchIndex(rest)
	if m == nil {
		return 0, "", false
	}
	from, to := m[2], m[3]
	if from < 0 {
		from, to = m[4], m[5]
	}
	// The string around it, on the same line.
	before := text[max(0, at-300) : at-1]
	if i := bytes.LastIndexByte(before, '\n'); i >= 0 {
		before = before[i+1:]
	}
	after := text[at+m[1] : min(len(text), at+m[1]+300)]
	if i := bytes.IndexByte(after, '\n'); i >= 0 {
		after = after[:i]
	}
	joined := bytes.HasSuffix(bytes.TrimRight(before, " \t"), []byte(";")) || bytes.HasPrefix(after, []byte(";")) && len(after) > 2
	if !joined || !namesServer(before) && !namesServer(after) {
		return 0, "", false
	}
	value := string(rest[from:to])
	if placeholder(value) {
		return 0, "", false
	}
	return at + from, value, true
}

var (
	urlScheme   = regexp.MustCompile(`(?i)[a-z][a-z0-9+.-]{1,20}$`)
	urlUserInfo = regexp.MustCompile("^://[^\\s/:@?#\"'<>`{}$\\\\]{1,64}:([^\\s/:@?#\"'<>`{}()\\[\\]$\\\\]{4,128})@([A-Za-z0-9.-]{1,253})")
)

// urlPassword knows scheme://user:password@host (RFC 3986 §3.2.1).
func urlPassword(text []byte, at int) (int, string, bool) {
	rest := text[at:min(len(text), at+512)]
	// Most URLs have no user; looking for the sign is quicker than the expression.
	end := bytes.IndexAny(rest[3:], "/?#\"' \n\r\t<>")
	if end < 0 {
		end = len(rest) - 3
	}
	if bytes.IndexByte(rest[3:3+end], '@') < 0 || !urlScheme.Match(text[max(0, at-22):at]) {
		return 0, "", false
	}
	m := urlUserInfo.FindSubmatchIndex(rest)
	if m == nil {
		return 0, "", false
	}
	value, host := string(rest[m[2]:m[3]]), strings.ToLower(string(rest[m[4]:m[5]]))
	if placeholder(value) || reserved(host) {
		return 0, "", false
	}
	return at + m[2], value, true
}

// reserved reports whether a host is one of those kept for examples (RFC 2606).
func reserved(host string) bool {
	for _, name := range []string{"example.com", "example.org", "example.net", "example", "test", "invalid", "host", "hostname", "localhost"} {
		if host == name || strings.HasSuffix(host, "."+name) {
			return true
		}
	}
	return false
}

// Nothing with one of these in it is a secret, and nothing is that is made of the words alone
// and hardly a digit, such as "your-password" and "somepass1".
var (
	neverIn = []string{"example", "placeholder", "changeme", "change_me", "change-me", "xxx", "***", "...", "redacted", "123456789", "%s", "%v", "%d", "${", "$(", "{{"}
	words   = strings.Fields("a an and api app bar bas baz change client db dummy env fake foo for from get here hidden host insert is key me my mysql none not null of pass " +
		"passwd password private pw pwd redis remove removed replace root sample secret some sql super test the this to todo token true undefined user username value var very with your")
)

// placeholder reports whether a value is a variable, a template, or a word that stands for one.
func placeholder(value string) bool {
	if strings.IndexByte("$%@{[<*#&", value[0]) >= 0 {
		return true
	}
	low := strings.ToLower(value)
	for _, part := range neverIn {
		if strings.Contains(low, part) {
			return true
		}
	}
	distinct, digits, signs := map[byte]bool{}, 0, 0
	var letters []byte
	for i := range len(low) {
		distinct[low[i]] = true
		switch c := low[i]; {
		case 'a' <= c && c <= 'z':
			letters = append(letters, c)
		case '0' <= c && c <= '9':
			digits++
		case c != '-' && c != '_':
			signs++
		}
	}
	return len(distinct) < 4 || digits <= 3 && signs == 0 && ofWords(string(letters))
}

// ofWords reports whether a text is made of words that stand for a secret.
func ofWords(text string) bool {
	reached := make([]bool, len(text)+1)
	reached[0] = true
	for i := range text {
		for _, w := range words {
			if reached[i] && strings.HasPrefix(text[i:], w) {
				reached[i+len(w)] = true
			}
		}
	}
	return reached[len(text)]
}

// entropy is Shannon's, in bits per byte, of the bytes as they occur.
func entropy(s string) float64 {
	var n [256]int
	for i := range len(s) {
		n[s[i]]++
	}
	bits := 0.0
	for _, c := range n {
		if c > 0 {
			p := float64(c) / float64(len(s))
			bits -= p * math.Log2(p)
		}
	}
	return bits
}
