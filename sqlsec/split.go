package sqlsec

import (
	"net"
	"net/url"
	"strings"
	"unicode"
)

// The ways in which drivers cut a connection string into keys and values. Each returns the
// tokens in the order of the text, with byte offsets.

// splitLoose is go-mssqldb's reading of the ADO form: a double quote anywhere protects
// semicolons until the next, a value is unquoted if it begins and ends with one, a single
// quote is a letter like another, and nothing is an error.
func splitLoose(text string) []token {
	var tokens []token
	quoted, start := false, 0
	for i := 0; i <= len(text); i++ {
		if i < len(text) {
			if text[i] == '"' {
				if quoted && i+1 < len(text) && text[i+1] == '"' {
					i++
				} else {
					quoted = !quoted
				}
				continue
			}
			if text[i] != ';' || quoted {
				continue
			}
		}
		key, value, has := strings.Cut(text[start:i], "=")
		if k := strings.TrimSpace(strings.ToLower(key)); k != "" {
			t := token{key: k}
			t.at, t.end = start+leading(key), i
			t.from, t.to = i, i
			if has {
				v := strings.TrimSpace(value)
				t.from = start + len(key) + 1 + leading(value)
				t.to = t.from + len(v)
				if len(v) >= 2 && v[0] == '"' && v[len(v)-1] == '"' {
					v = strings.ReplaceAll(v[1:len(v)-1], `""`, `"`)
				}
				t.value = v
			}
			tokens = append(tokens, t)
		}
		start = i + 1
	}
	return tokens
}

// leading counts the bytes of white space before the text; all of them if there is no text.
func leading(s string) int { return len(s) - len(strings.TrimLeftFunc(s, unicode.IsSpace)) }

// splitQuoted is the grammar of .NET and OLE DB: a value that begins with a single or double
// quote ends with the same, which is doubled inside; "==" is an equals sign in a key.
func splitQuoted(text string) ([]token, *SyntaxError) {
	var tokens []token
	fail := func(at int, problem string) ([]token, *SyntaxError) {
		return nil, &SyntaxError{position(text, at), problem}
	}
	for i := 0; i < len(text); {
		i += leading(text[i:])
		if i == len(text) {
			break
		}
		if text[i] == ';' {
			i++
			continue
		}
		t := token{}
		t.at = i
		var key strings.Builder
		for i < len(text) && text[i] != ';' {
			if text[i] == '=' {
				if i+1 < len(text) && text[i+1] == '=' {
					i++
				} else {
					break
				}
			}
			key.WriteByte(text[i])
			i++
		}
		if i == len(text) || text[i] == ';' {
			return fail(t.at, "a key has no value; the password may contain a semicolon and needs quotes")
		}
		if t.key = strings.ToLower(strings.TrimSpace(key.String())); t.key == "" {
			return fail(t.at, "a value has no key")
		}
		i++
		if n := leading(text[i:]); i+n < len(text) {
			i += n
		} else {
			i = len(text)
		}
		t.from = i
		if i < len(text) && (text[i] == '"' || text[i] == '\'') {
			quote, closed := text[i], false
			var value strings.Builder
			for i++; i < len(text); i++ {
				if text[i] == quote {
					if i+1 < len(text) && text[i+1] == quote {
						i++
					} else {
						closed = true
						i++
						break
					}
				}
				value.WriteByte(text[i])
			}
			if !closed {
				return fail(t.from, "a quote is not closed")
			}
			t.to, t.value = i, value.String()
			i += leading(text[i:])
			if i < len(text) && text[i] != ';' {
				return fail(t.to, "something stands after a closing quote; a quote inside a quoted value is doubled")
			}
		} else {
			end := strings.IndexByte(text[i:], ';')
			if end < 0 {
				end = len(text) - i
			}
			t.value = strings.TrimSpace(text[i : i+end])
			t.to = t.from + len(t.value)
			if n := len(t.value); n > 0 && (t.value[n-1] == '"' || t.value[n-1] == '\'') {
				return fail(t.from, "a value ends with a quote and does not begin with one")
			}
			i += end
		}
		t.end = i
		tokens = append(tokens, t)
	}
	return tokens, nil
}

// splitBraced is ODBC's grammar: a value in braces may hold anything, with "}}" for "}". Of keys
// without a value only go-mssqldb makes something. To ODBC the next pair belongs to such a key
// (MS-ODBCSTR, ODBCConnectionString: nothing but "=" ends a key), and JDBC refuses it.
func splitBraced(text string, from int, f form) ([]token, *SyntaxError) {
	var tokens []token
	fail := func(at int, problem string) ([]token, *SyntaxError) {
		return nil, &SyntaxError{position(text, at), problem}
	}
	for i := from; i < len(text); {
		i += leading(text[i:])
		if i == len(text) {
			break
		}
		if text[i] == ';' {
			i++
			continue
		}
		t := token{}
		t.at = i
		n := strings.IndexAny(text[i:], "=;")
		if n == 0 {
			return fail(i, "a value has no key")
		}
		if n < 0 {
			n = len(text) - i
		}
		t.key = strings.ToLower(strings.TrimRightFunc(text[i:i+n], unicode.IsSpace))
		i += n
		if i == len(text) || text[i] == ';' {
			if f != formGoODBC {
				return fail(t.at, "a key has no value; the password may contain a semicolon and needs braces")
			}
			t.from, t.to, t.end = i, i, i
			tokens = append(tokens, t)
			continue
		}
		i++
		i += leading(text[i:])
		t.from = i
		if i < len(text) && text[i] == '{' {
			value, after, ok := unbrace(text, i)
			if !ok {
				return fail(t.from, "a brace is not closed")
			}
			t.value, t.to, i = value, after, after
			i += leading(text[i:])
			if i < len(text) && text[i] != ';' {
				return fail(t.to, "something stands after a closing brace; a brace inside a value is doubled")
			}
		} else {
			end := strings.IndexByte(text[i:], ';')
			if end < 0 {
				end = len(text) - i
			}
			t.value = strings.TrimRightFunc(text[i:i+end], unicode.IsSpace)
			t.to = i + len(t.value)
			i += end
		}
		t.end = i
		tokens = append(tokens, t)
	}
	return tokens, nil
}

// unbrace reads a value whose opening brace is at i.
func unbrace(text string, i int) (value string, after int, ok bool) {
	var b strings.Builder
	for i++; i < len(text); i++ {
		if text[i] == '}' {
			if i+1 == len(text) || text[i+1] != '}' {
				return b.String(), i + 1, true
			}
			i++
		}
		b.WriteByte(text[i])
	}
	return "", 0, false
}

// splitJDBC reads "jdbc:sqlserver://host\instance:port;key=value;key={value}".
func splitJDBC(text string) ([]token, *SyntaxError) {
	const scheme = "jdbc:sqlserver://"
	if !hasPrefixFold(text, scheme) {
		return nil, &SyntaxError{position(text, 0), "a JDBC address of SQL Server begins with jdbc:sqlserver://"}
	}
	end := strings.IndexByte(text, ';')
	if end < 0 {
		end = len(text)
	}
	tokens, bad := splitBraced(text, end, formJDBC)
	if bad != nil {
		return nil, bad
	}
	if host := text[len(scheme):end]; host != "" {
		t := token{key: "server", value: strings.TrimSpace(host)}
		t.at, t.from, t.to, t.end = len(scheme), len(scheme), end, end
		tokens = append([]token{t}, tokens...)
	}
	return tokens, nil
}

// splitURL reads go-mssqldb's URL as net/url does, and finds the places beside it. Pairs of
// the query that net/url drops, those with a semicolon or a broken escape, are dropped here
// too: the driver does not see them.
func splitURL(text string) ([]token, *SyntaxError) {
	fail := func(at int, problem string) ([]token, *SyntaxError) {
		return nil, &SyntaxError{position(text, at), problem}
	}
	u, err := url.Parse(text)
	if err != nil { // the error quotes the text
		return fail(0, "it is no valid URL; a password with special characters needs percent escapes")
	}
	const scheme = len("sqlserver://")
	whole, _, _ := strings.Cut(text, "#")
	query := len(whole)
	if i := strings.IndexByte(whole, '?'); i >= 0 {
		query = i
	}
	authority := scheme + len(whole[scheme:query])
	if i := strings.IndexByte(whole[scheme:query], '/'); i >= 0 {
		authority = scheme + i
	}
	// A raw "/", "?" or "#" in a password moves what follows it, and the "@", behind the host.
	// The driver would connect to a piece of the password; here it would be shown.
	before, _, _ := strings.Cut(text[authority:], "=")
	_, fragment, _ := strings.Cut(text, "#")
	if strings.Contains(u.Path, "@") || u.User == nil && strings.Contains(before, "@") || strings.Contains(fragment, "@") {
		return fail(scheme, "an @ stands behind the host; a password with / ? # or @ needs percent escapes")
	}
	var tokens []token
	host := scheme
	if u.User != nil {
		at := scheme + strings.LastIndexByte(whole[scheme:authority], '@')
		host = at + 1
		t := token{key: "user id", value: u.User.Username()}
		t.at, t.from, t.to, t.end = scheme, scheme, at, at
		if password, has := u.User.Password(); has {
			t.to = scheme + strings.IndexByte(whole[scheme:at], ':')
			t.end = t.to
			p := token{key: "password", value: password}
			p.at, p.from, p.to, p.end = t.to+1, t.to+1, at, at
			tokens = append(tokens, p)
		}
		tokens = append(tokens, t)
	}
	name, port, err := net.SplitHostPort(u.Host)
	if err != nil {
		name, port = u.Host, ""
	}
	t := token{key: "server", value: name}
	if len(u.Path) > 0 {
		t.value += `\` + u.Path[1:]
	}
	t.at, t.from, t.to, t.end = host, host, query, query
	tokens = append(tokens, t)
	if port != "" {
		t := token{key: "port", value: port}
		t.at = strings.LastIndexByte(whole[:authority], ':') + 1
		t.from, t.to, t.end = t.at, authority, authority
		tokens = append(tokens, t)
	}
	for i := query + 1; i < len(whole); {
		end := strings.IndexByte(whole[i:], '&')
		if end < 0 {
			end = len(whole) - i
		}
		part := whole[i : i+end]
		key, value, _ := strings.Cut(part, "=")
		k, kerr := url.QueryUnescape(key)
		v, verr := url.QueryUnescape(value)
		if part != "" && !strings.Contains(part, ";") && kerr == nil && verr == nil {
			t := token{key: strings.ToLower(k), value: v}
			t.at, t.from, t.to, t.end = i, min(i+len(key)+1, i+end), i+end, i+end
			tokens = append(tokens, t)
		}
		i += end + 1
	}
	return tokens, nil
}
