package audit

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/connsec/connsec"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// SyntaxError is a mistake in a deployment file, at a place.
type SyntaxError struct {
	Position connsec.Position // in the file
	Message  string           // what is wrong, and what to write
}

// Error returns "file:line:column: message", one line.
func (e *SyntaxError) Error() string { return e.Position.String() + ": " + e.Message }

// decoder fills Go values from a YAML tree. It is stricter than a general decoder: unknown
// keys, wrong types, anchors and aliases are errors with their place, and every struct that
// has a field Source of type connsec.Position learns where it stood.
type decoder struct{ file string }

func (d decoder) at(t *token.Token) connsec.Position {
	if t == nil || t.Position == nil {
		return connsec.Position{File: d.file}
	}
	return connsec.Position{File: d.file, Line: t.Position.Line, Column: t.Position.Column}
}

func (d decoder) errorf(n ast.Node, format string, args ...any) error {
	return &SyntaxError{d.at(n.GetToken()), fmt.Sprintf(format, args...)}
}

// decode parses one YAML document into a struct pointer.
func decode(file string, data []byte, into any) error {
	d := decoder{file}
	data = bytes.TrimPrefix(data, utf8BOM)
	if bytes.HasPrefix(data, utf16LE) || bytes.HasPrefix(data, utf16BE) {
		return &SyntaxError{connsec.Position{File: file}, "the file is UTF-16; save it as UTF-8"}
	}
	if line := tooDeep(data); line > 0 {
		return &SyntaxError{connsec.Position{File: file, Line: line}, fmt.Sprintf("more than %d levels of nesting; a deployment file takes three", mostNested)}
	}
	tree, err := parser.ParseBytes(data, 0)
	if err != nil {
		return d.syntaxError(err)
	}
	var body ast.Node
	for _, doc := range tree.Docs {
		if doc.Body == nil {
			continue
		}
		if body != nil {
			return &SyntaxError{d.at(doc.Start), "a deployment file holds one YAML document, this is a second one"}
		}
		body = doc.Body
	}
	if body == nil {
		return &SyntaxError{connsec.Position{File: file}, "the file is empty; it needs at least one section, such as https:"}
	}
	return d.value(body, reflect.ValueOf(into).Elem(), "")
}

// What editors on Windows put in front of text.
var utf8BOM, utf16LE, utf16BE = []byte("\xef\xbb\xbf"), []byte("\xff\xfe"), []byte("\xfe\xff")

// mostNested bounds what the parser gets to see: it recurses, and takes time that grows with the
// square of the depth.
const mostNested = 1000

// tooDeep returns the line on which brackets, or dashes on one line, are nested too deeply, or 0.
// Brackets within texts count, too; nobody leaves a thousand of them open.
func tooDeep(data []byte) int {
	n, open := 0, 0
	for line := range bytes.Lines(data) {
		n++
		dashes := 0
		for rest := bytes.TrimLeft(line, " "); bytes.HasPrefix(rest, []byte("- ")); rest = bytes.TrimLeft(rest[1:], " ") {
			dashes++
		}
		for _, c := range line {
			switch c {
			case '[', '{':
				open++
			case ']', '}':
				open = max(open-1, 0)
			}
		}
		if dashes > mostNested || open > mostNested {
			return n
		}
	}
	return 0
}

// syntaxError reduces the parser's multi-line message to place and cause.
func (d decoder) syntaxError(err error) error {
	var placed interface {
		GetToken() *token.Token
		GetMessage() string
	}
	if errors.As(err, &placed) {
		msg, _, _ := strings.Cut(placed.GetMessage(), "\n")
		return &SyntaxError{d.at(placed.GetToken()), "not YAML: " + msg}
	}
	msg, _, _ := strings.Cut(err.Error(), "\n")
	return &SyntaxError{connsec.Position{File: d.file}, "not YAML: " + msg}
}

var (
	positionType = reflect.TypeFor[connsec.Position]()
	durationType = reflect.TypeFor[time.Duration]()
	textType     = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// value decodes n into v; path names the value in messages.
func (d decoder) value(n ast.Node, v reflect.Value, path string) error {
	switch n := n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode, *ast.TagNode:
		return d.errorf(n, "%sanchors, aliases and tags are not used in deployment files; write the value out", label(path))
	case *ast.NullNode:
		return d.errorf(n, "%sthe value is missing", label(path))
	}
	if v.CanAddr() && v.Addr().Type().Implements(textType) {
		text, err := d.text(n, path)
		if err != nil {
			return err
		}
		if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text)); err != nil {
			return d.errorf(n, "%s%s", label(path), strings.TrimPrefix(err.Error(), "connsec: "))
		}
		return nil
	}
	switch {
	case v.Type() == durationType:
		text, err := d.text(n, path)
		if err != nil {
			return err
		}
		dur, err := time.ParseDuration(text)
		if err != nil || dur < 0 {
			return d.errorf(n, "%swant a duration such as 30s or 5m", label(path))
		}
		v.SetInt(int64(dur))
		return nil
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return d.value(n, v.Elem(), path)
	case v.Kind() == reflect.Struct:
		return d.mapping(n, v, path)
	case v.Kind() == reflect.Slice:
		return d.sequence(n, v, path)
	case v.Kind() == reflect.String:
		text, err := d.text(n, path)
		if err != nil {
			return err
		}
		v.SetString(text)
		return nil
	case v.Kind() == reflect.Bool:
		b, ok := n.(*ast.BoolNode)
		if !ok {
			return d.errorf(n, "%swant true or false", label(path))
		}
		v.SetBool(b.Value)
		return nil
	case v.CanUint(), v.CanInt():
		i, ok := n.(*ast.IntegerNode)
		if !ok {
			return d.errorf(n, "%swant a whole number", label(path))
		}
		return d.integer(i, v, path)
	}
	return d.errorf(n, "%scannot be set here", label(path))
}

func (d decoder) integer(n *ast.IntegerNode, v reflect.Value, path string) error {
	var u uint64
	switch i := n.Value.(type) {
	case uint64:
		u = i
	case int64:
		if i < 0 {
			return d.errorf(n, "%swant a number that is not negative", label(path))
		}
		u = uint64(i)
	}
	if v.CanUint() {
		if v.OverflowUint(u) {
			return d.errorf(n, "%s%d is too large (at most %d)", label(path), u, uint64(1)<<v.Type().Bits()-1)
		}
		v.SetUint(u)
		return nil
	}
	if u > 1<<62 || v.OverflowInt(int64(u)) {
		return d.errorf(n, "%s%d is too large", label(path), u)
	}
	v.SetInt(int64(u))
	return nil
}

// text accepts strings, and numbers where a text is wanted (a password of digits).
func (d decoder) text(n ast.Node, path string) (string, error) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, nil
	case *ast.LiteralNode:
		return n.Value.Value, nil
	case *ast.IntegerNode, *ast.FloatNode:
		return n.GetToken().Value, nil
	}
	return "", d.errorf(n, "%swant a text", label(path))
}

func (d decoder) sequence(n ast.Node, v reflect.Value, path string) error {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		// A single item may stand without its dash: "ca: root.pem".
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		return d.value(n, v.Index(0), path)
	}
	v.Set(reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values)))
	for i, item := range seq.Values {
		if err := d.value(item, v.Index(i), fmt.Sprintf("%s[%d]", path, i)); err != nil {
			return err
		}
	}
	return nil
}

func (d decoder) mapping(n ast.Node, v reflect.Value, path string) error {
	var pairs []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		pairs = n.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{n}
	default:
		return d.errorf(n, "%swant keys and values (%s)", label(path), strings.Join(keysOf(v.Type()), ", "))
	}
	fields := fieldsOf(v.Type())
	seen := map[string]bool{}
	for _, pair := range pairs {
		key := pair.Key.GetToken().Value
		index, known := fields[key]
		switch {
		case !known:
			return d.errorf(pair.Key, "%sunknown key %q%s", label(path), clip(key), nearest(key, keysOf(v.Type())))
		case seen[key]:
			return d.errorf(pair.Key, "%sthe key %s stands twice", label(path), key)
		}
		seen[key] = true
		sub := key
		if path != "" {
			sub = path + "." + key
		}
		if err := d.value(pair.Value, v.FieldByIndex(index), sub); err != nil {
			return err
		}
	}
	if f := v.FieldByName("Source"); f.IsValid() && f.Type() == positionType {
		start := n.GetToken()
		if len(pairs) > 0 {
			start = pairs[0].Key.GetToken()
		}
		f.Set(reflect.ValueOf(d.at(start)))
	}
	return nil
}

func label(path string) string {
	if path == "" {
		return ""
	}
	return path + ": "
}

// fieldsOf maps the YAML keys of a struct to its fields. A key is the yaml tag; fields without
// one are not settable.
func fieldsOf(t reflect.Type) map[string][]int {
	out := map[string][]int{}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if name != "" && name != "-" {
			out[name] = f.Index
		}
	}
	return out
}

func keysOf(t reflect.Type) []string {
	var out []string
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if name != "" && name != "-" {
			out = append(out, name)
		}
	}
	return out
}

// nearest suggests the known word that takes the fewest edits, if it takes few.
func nearest(word string, known []string) string {
	best, most := "", len(word)/2+1
	for _, k := range known {
		if n := edits(word, k); n < most || n == most && best == "" {
			best, most = k, n
		}
	}
	if best == "" {
		return "; known are " + strings.Join(known, ", ")
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// edits is the Levenshtein distance of two short words.
func edits(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}

func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
