package radiussec

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/setting"
)

// Bounds on a configuration. FreeRADIUS has lines of 8 KiB and no bound on the rest.
const (
	maxConfLine   = 8 << 10
	maxConfFiles  = 4096
	maxConfDepth  = 16 // of includes
	maxConfNest   = 64 // of sections
	maxConfTotal  = 256 << 20
	maxProblems   = 100
	maxConfValues = 10_000 // top-level values that others may refer to
)

// ReadClientsFile reads a clients.conf of FreeRADIUS with everything it includes. A
// radiusd.conf or proxy.conf works too: clients are found wherever they stand.
func ReadClientsFile(file string) (Inventory, error) {
	dir, base := filepath.Split(filepath.Clean(file))
	if dir == "" {
		dir = "."
	}
	root := ""
	if abs, err := filepath.Abs(dir); err == nil {
		root = filepath.ToSlash(abs)
	}
	inv, err := readClients(os.DirFS(dir), base, root)
	for i := range inv.Clients {
		inv.Clients[i].Source.File = filepath.Join(dir, inv.Clients[i].Source.File)
	}
	for i := range inv.Problems {
		inv.Problems[i].Source.File = filepath.Join(dir, inv.Problems[i].Source.File)
	}
	inv.Target = file
	return inv, err
}

// ReadClients reads a clients.conf in the syntax of FreeRADIUS 3: sections "client" at the top
// level, inside "clients" and inside "server", and "home_server" of a proxy. $INCLUDE is
// followed inside fsys only; names outside of it, and the environment, become Problems or an
// entry's Unresolved.
//
// The reader does what FreeRADIUS does where that surprises: an unquoted secret ends at a comma
// or space but contains "#"; in quotes, only the quote itself can be escaped; of two equal
// items the first counts.
func ReadClients(fsys fs.FS, name string) (Inventory, error) { return readClients(fsys, name, "") }

// readClients is ReadClients for a file system that stands at the absolute path root, if that is
// known.
func readClients(fsys fs.FS, name, root string) (Inventory, error) {
	r := &confReader{fsys: fsys, root: root, values: map[string]string{}, inv: Inventory{Target: name}}
	r.stack = []section{{}}
	if err := r.file(path.Clean(filepath.ToSlash(name)), 0); err != nil {
		return Inventory{}, err
	}
	if len(r.stack) > 1 {
		open := r.stack[len(r.stack)-1]
		return Inventory{}, fmt.Errorf("radiussec: %s: section %q is not closed", open.source, setting.OneLine(open.kind))
	}
	r.finish()
	return r.inv, nil
}

// section is one that is open.
type section struct {
	kind, name string
	source     connsec.Position
	client     *confClient // what its items belong to; nil: of no interest
	opaque     bool        // inside something that is not read
}

// confClient is a client as it is read.
type confClient struct {
	ClientEntry
	items map[string]confValue
}

type confValue struct {
	text  string
	quote byte
	why   string // it is not known, because
}

type confReader struct {
	fsys   fs.FS
	root   string // where fsys stands; "": unknown
	inv    Inventory
	stack  []section
	values map[string]string // top-level items, for ${name}
	files  int
	total  int
	global map[string]string // items of "security"
	read   []*confClient
}

func (r *confReader) problem(at connsec.Position, format string, args ...any) {
	if len(r.inv.Problems) < maxProblems {
		r.inv.Problems = append(r.inv.Problems, Problem{Text: fmt.Sprintf(format, args...), Source: at})
	}
}

func (r *confReader) file(name string, depth int) error {
	if depth > maxConfDepth {
		return fmt.Errorf("radiussec: %s: files include each other more than %d deep", setting.OneLine(name), maxConfDepth)
	}
	if r.files++; r.files > maxConfFiles {
		return fmt.Errorf("radiussec: %s: more than %d files are included", setting.OneLine(name), maxConfFiles)
	}
	f, err := r.fsys.Open(name)
	if err != nil {
		return fmt.Errorf("radiussec: %s: %w", setting.OneLine(name), reason(err))
	}
	data, err := io.ReadAll(io.LimitReader(f, int64(maxConfTotal-r.total)+1))
	_ = f.Close()
	if err != nil {
		return fmt.Errorf("radiussec: %s: %w", setting.OneLine(name), reason(err))
	}
	if r.total += len(data); r.total > maxConfTotal {
		return fmt.Errorf("radiussec: %s: more than %d MiB of configuration", setting.OneLine(name), maxConfTotal>>20)
	}
	if i := bytes.IndexByte(data, 0); i >= 0 {
		return fmt.Errorf("radiussec: %s: there is a NUL byte; this is no text file", setting.OneLine(name))
	}
	at := connsec.Position{File: name}
	var joined strings.Builder
	lines := 0
	for len(data) > 0 {
		var line []byte
		line, data, _ = bytes.Cut(data, []byte{'\n'})
		lines++
		if joined.Len() == 0 {
			at.Line = lines
		}
		line = bytes.TrimRight(line, "\r")
		if joined.Len()+len(line) > maxConfLine {
			return fmt.Errorf("radiussec: %s: the line has more than %d bytes", at, maxConfLine)
		}
		if bytes.HasSuffix(line, []byte{'\\'}) { // goes on in the next line
			joined.Write(line[:len(line)-1])
			continue
		}
		joined.Write(line)
		if err := r.line(joined.String(), at, depth); err != nil {
			return err
		}
		joined.Reset()
	}
	if joined.Len() > 0 {
		return r.line(joined.String(), at, depth)
	}
	return nil
}

// reason drops the path from a file error: the caller names the file.
func reason(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

const confSpace = " \t\r\v\f"

// line takes one logical line apart. Several items may stand on it.
func (r *confReader) line(s string, at connsec.Position, depth int) error {
	for {
		s = strings.TrimLeft(s, confSpace+",")
		if s == "" || s[0] == '#' {
			return nil
		}
		if s[0] == '}' {
			if len(r.stack) == 1 {
				return fmt.Errorf("radiussec: %s: a closing brace too many", at)
			}
			r.stack = r.stack[:len(r.stack)-1]
			s = s[1:]
			continue
		}
		top := &r.stack[len(r.stack)-1]
		if strings.HasPrefix(s, "$INCLUDE") || strings.HasPrefix(s, "$-INCLUDE") {
			return r.include(s, at, depth)
		}
		if top.opaque {
			return r.skip(s, at)
		}
		rest, err := r.item(s, at)
		if err != nil {
			return fmt.Errorf("radiussec: %s: %w", at, err)
		}
		s = rest
	}
}

// skip passes over a line of a section that is not read. Only braces count there, and only
// those that stand alone or at the end: others belong to expansions and regular expressions.
func (r *confReader) skip(s string, at connsec.Position) error {
	for s = strings.TrimLeft(s, confSpace); s != "" && s[0] != '#'; s = strings.TrimLeft(s, confSpace) {
		end, quote := 0, byte(0)
		for ; end < len(s) && (quote != 0 || strings.IndexByte(confSpace, s[end]) < 0); end++ {
			switch {
			case s[end] == '\\':
				end++
			case s[end] == quote:
				quote = 0
			case quote == 0 && (s[end] == '"' || s[end] == '\'' || s[end] == '`'):
				quote = s[end]
			}
		}
		token, rest := s[:min(end, len(s))], strings.TrimLeft(s[min(end, len(s)):], confSpace)
		switch {
		case token == "{", strings.HasSuffix(token, "{") && (rest == "" || rest[0] == '#'):
			if err := r.open(section{kind: "block", source: at, opaque: true}); err != nil {
				return err
			}
		case token == "}":
			if r.stack = r.stack[:len(r.stack)-1]; !r.stack[len(r.stack)-1].opaque {
				return r.line(rest, at, maxConfDepth)
			}
		}
		s = rest
	}
	return nil
}

func (r *confReader) open(s section) error {
	if len(r.stack) > maxConfNest {
		return fmt.Errorf("radiussec: %s: sections are nested more than %d deep", s.source, maxConfNest)
	}
	r.stack = append(r.stack, s)
	return nil
}

// operators of an item, the longer ones first.
var operators = []string{"+=", "-=", ":=", "==", "!=", ">=", "<=", "=~", "!~", "=*", "!*", "=", "<", ">"}

// item reads one item or the head of one section, and returns what comes behind it.
func (r *confReader) item(s string, at connsec.Position) (string, error) {
	key, s, err := word(s, true)
	if err != nil {
		return "", err
	}
	s = strings.TrimLeft(s, confSpace)
	if strings.HasPrefix(s, "{") {
		return s[1:], r.begin(key.text, "", at)
	}
	for _, op := range operators {
		if !strings.HasPrefix(s, op) {
			continue
		}
		s = strings.TrimLeft(s[len(op):], confSpace)
		var value confValue
		if s != "" && s[0] != '#' && s[0] != ',' {
			if value, s, err = word(s, false); err != nil {
				return "", err
			}
		} else {
			s = ""
		}
		r.set(key.text, value, at)
		s = strings.TrimLeft(s, confSpace)
		if s == "" || strings.IndexByte(",#}", s[0]) >= 0 {
			return s, nil
		}
		return "", fmt.Errorf("something stands behind the value of %q; put the value in quotes if it contains spaces", setting.OneLine(key.text))
	}
	if s == "" || s[0] == '#' || s[0] == ',' || s[0] == '}' { // a word alone
		return s, nil
	}
	// A section with a name, or unlang with a condition: only braces matter in the latter.
	second, rest, err := word(s, true)
	if err != nil {
		return "", err
	}
	rest = strings.TrimLeft(rest, confSpace)
	if strings.HasPrefix(rest, "{") {
		return rest[1:], r.begin(key.text, second.text, at)
	}
	if i := strings.LastIndexByte(rest, '{'); i >= 0 && !r.inClient() {
		return "", r.open(section{kind: key.text, source: at, opaque: true})
	}
	return "", fmt.Errorf("%q is neither an item nor a section", setting.OneLine(key.text))
}

func (r *confReader) inClient() bool { return r.stack[len(r.stack)-1].client != nil }

// word reads a quoted or a bare word. Keys and section names end at operators and braces,
// values do not.
func word(s string, key bool) (confValue, string, error) {
	if s == "" {
		return confValue{}, "", nil
	}
	if q := s[0]; q == '"' || q == '\'' || q == '`' {
		var b strings.Builder
		escape := false
		for i := 1; i < len(s); i++ {
			switch {
			case s[i] == q && escape: // 3.2.1 keeps the backslash, 3.2.7 does not
				return confValue{quote: q, why: "its backslash means different things to different releases of FreeRADIUS"}, s[i+1:], nil
			case s[i] == q:
				return confValue{text: b.String(), quote: q}, s[i+1:], nil
			case s[i] == '\\' && i+1 < len(s):
				i++
				if s[i] != q {
					b.WriteByte('\\')
					escape = escape || q != '\''
				}
				b.WriteByte(s[i])
			default:
				b.WriteByte(s[i])
			}
		}
		return confValue{}, "", errors.New("the quotes are not closed")
	}
	end := 0
	for end < len(s) && strings.IndexByte(confSpace+",", s[end]) < 0 {
		if key && (strings.IndexByte("{}=<>", s[end]) >= 0 || end+1 < len(s) && strings.IndexByte(":+-!", s[end]) >= 0 && s[end+1] == '=') {
			break
		}
		if s[end] >= utf8.RuneSelf && !key {
			return confValue{}, "", errors.New("a value has letters beyond ASCII outside of quotes, which FreeRADIUS refuses")
		}
		end++
	}
	if end == 0 {
		return confValue{}, "", fmt.Errorf("unexpected %q", s[0])
	}
	return confValue{text: s[:end]}, s[end:], nil
}

// begin opens a section.
func (r *confReader) begin(kind, name string, at connsec.Position) error {
	next := section{kind: kind, name: name, source: at}
	parent := r.stack[len(r.stack)-1]
	switch {
	case parent.client != nil:
		next.opaque = true // limit, tls, ping: nothing of a client's; FreeRADIUS ignores a client in a client
	case kind == "client" || kind == "home_server":
		next.client = &confClient{ClientEntry: ClientEntry{Name: name, Source: at, Transport: UDP}, items: map[string]confValue{}}
		if kind == "home_server" {
			next.client.Role = RoleServer
		}
		r.read = append(r.read, next.client)
	case kind == "clients" && len(r.stack) == 1, kind == "server" && len(r.stack) == 1, kind == "security" && len(r.stack) == 1:
	default:
		next.opaque = true
	}
	return r.open(next)
}

// set takes an item. The first of two equal ones counts.
func (r *confReader) set(key string, v confValue, at connsec.Position) {
	if v.quote != '\'' && v.why == "" {
		v = r.expand(v)
	}
	top := r.stack[len(r.stack)-1]
	switch {
	case top.client != nil:
		if _, twice := top.client.items[key]; twice {
			if key == "secret" {
				r.problem(at, "client %s has a second secret, which FreeRADIUS ignores", setting.OneLine(top.client.Name))
			}
			return
		}
		top.client.items[key] = v
	case len(r.stack) == 1 && len(r.values) < maxConfValues:
		if _, twice := r.values[key]; !twice && v.why == "" {
			r.values[key] = v.text
		}
	case top.kind == "security":
		if r.global == nil {
			r.global = map[string]string{}
		}
		if _, twice := r.global[key]; !twice {
			r.global[key] = v.text
		}
	}
}

// expand replaces ${name} by the value of a top-level item that came before. Everything else
// that can stand there is beyond one file.
func (r *confReader) expand(v confValue) confValue {
	var b strings.Builder
	s := v.text
	for {
		i := strings.IndexByte(s, '$')
		if i < 0 || i+1 == len(s) {
			b.WriteString(s)
			v.text = b.String()
			return v
		}
		b.WriteString(s[:i])
		s = s[i:]
		switch {
		case strings.HasPrefix(s, "$ENV{"):
			return confValue{quote: v.quote, why: "it is taken from the environment"}
		case strings.HasPrefix(s, "${"):
			name, rest, closed := strings.Cut(s[2:], "}")
			value, ok := r.values[strings.TrimLeft(name, ".")]
			if !closed || !ok {
				return confValue{quote: v.quote, why: "it refers to " + setting.OneLine("${"+name+"}") + ", which is not in the files that were read"}
			}
			b.WriteString(value)
			s = rest
		default:
			b.WriteByte('$')
			s = s[1:]
		}
		if b.Len() > maxConfLine {
			return confValue{quote: v.quote, why: "it is longer than a line can be"}
		}
	}
}

// include follows $INCLUDE: a file, or every file of a directory. "$-INCLUDE" may be missing.
func (r *confReader) include(s string, at connsec.Position, depth int) error {
	verb, rest, _ := strings.Cut(strings.ReplaceAll(s, "\t", " "), " ")
	optional := strings.HasPrefix(verb, "$-")
	value, _, err := word(strings.TrimLeft(rest, confSpace), false)
	if err != nil || value.text == "" {
		return fmt.Errorf("radiussec: %s: $INCLUDE without a file name", at)
	}
	if r.stack[len(r.stack)-1].opaque {
		return nil
	}
	if value = r.expand(value); value.why != "" {
		r.problem(at, "an include is not followed: %s", value.why)
		return nil
	}
	target := filepath.ToSlash(value.text)
	whole := strings.HasSuffix(target, "/")
	if path.IsAbs(target) {
		// Below the directory that is read, or out of reach.
		below, ok := "", false
		for _, root := range []string{r.root, path.Clean(r.values["confdir"])} { // they differ where the server is confined
			if path.IsAbs(root) && !ok {
				below, ok = strings.CutPrefix(target, strings.TrimSuffix(root, "/")+"/")
			}
		}
		if !ok {
			r.problem(at, "the included file is outside of the directory that is read: %s", setting.OneLine(value.text))
			return nil
		}
		target = below
	} else {
		target = path.Join(path.Dir(at.File), target)
	}
	target = path.Clean(target)
	if !fs.ValidPath(target) {
		r.problem(at, "the included file is outside of the directory that is read: %s", setting.OneLine(value.text))
		return nil
	}
	if info, err := fs.Stat(r.fsys, target); err == nil && info.IsDir() || whole {
		names, err := fs.ReadDir(r.fsys, target)
		if err != nil && !optional {
			r.problem(at, "the included directory cannot be read: %s", setting.OneLine(value.text))
		}
		for _, n := range names {
			if !n.IsDir() && confFile(n.Name()) {
				if err := r.file(path.Join(target, n.Name()), depth+1); err != nil {
					return err
				}
			}
		}
		return nil
	}
	err = r.file(target, depth+1)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		if !optional {
			r.problem(at, "the included file cannot be read: %s", setting.OneLine(value.text))
		}
		return nil
	}
	return err
}

// confFile reports whether FreeRADIUS reads a file of a directory: letters, digits, "." and
// "_", no editor's leftovers.
func confFile(name string) bool {
	return name != "" && name[0] != '.' && !strings.HasSuffix(name, "~") && !strings.ContainsFunc(name, func(ch rune) bool {
		return (ch < 'a' || ch > 'z') && (ch < 'A' || ch > 'Z') && (ch < '0' || ch > '9') && ch != '.' && ch != '_'
	})
}

// finish turns what was read into the inventory.
func (r *confReader) finish() {
	r.inv.Clients = make([]ClientEntry, 0, len(r.read))
	for _, c := range r.read {
		for _, key := range []string{"ipv6addr", "ipv4addr", "ipaddr"} { // the order in which FreeRADIUS looks
			if v, ok := c.items[key]; ok {
				c.Address = v.text
				break
			}
		}
		if c.Address == "" && c.Role == RoleClient {
			c.Address = c.Name // the old form
		}
		if mask, ok := c.items["netmask"]; ok && !strings.Contains(c.Address, "/") {
			c.Address += "/" + mask.text
		}
		if v, ok := c.items["shortname"]; ok && v.text != "" && c.Name == c.Address {
			c.Name = v.text
		}
		if v := strings.ToLower(c.items["proto"].text); v == "tls" {
			c.Transport = TLS
		}
		secret := c.items["secret"]
		c.Secret, c.Unresolved, c.Quoted = connsec.NewSecret(secret.text), secret.why, secret.quote != 0
		c.MessageAuthenticator = r.demand(c, "require_message_authenticator")
		c.ProxyState = r.demand(c, "limit_proxy_state")
		c.items = nil
		r.inv.Clients = append(r.inv.Clients, c.ClientEntry)
	}
	r.read = nil
}

// demand is a client's own setting, or that of the section security.
func (r *confReader) demand(c *confClient, key string) Demand {
	text, ok := c.items[key]
	if !ok {
		text.text = r.global[key]
	}
	switch v := strings.ToLower(text.text); {
	case slices.Contains([]string{"yes", "true", "1", "on"}, v):
		return Yes
	case slices.Contains([]string{"no", "false", "0", "off"}, v):
		return No
	case v == "auto":
		return Auto
	}
	return Unset
}
