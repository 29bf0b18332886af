package connsec_test

import (
	"bytes"
	"context"
	"encoding/base32"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
)

// holder has a secret everywhere a struct can have one.
type holder struct {
	Exported   connsec.Secret
	unexported connsec.Secret
	Pointer    *connsec.Secret
	hidden     *connsec.Secret
	Slice      []connsec.Secret
	list       []connsec.Secret
	Array      [2]connsec.Secret
	Map        map[string]connsec.Secret
	table      map[string]*connsec.Secret
	Any        any
	inner      any
	Nested     struct{ S connsec.Secret }
	nested     struct{ s connsec.Secret }
}

// slot is where the secret under test lies, and channel exists once, so that addresses, which
// some renderings show, are the same for every value and texts can be compared whole.
var (
	slot    connsec.Secret
	channel = make(chan connsec.Secret)
)

// secret is not inlined, so that the closure in a Secret has one code address.
//
//go:noinline
func secret(value string) connsec.Secret { return connsec.NewSecret(value) }

func hold() holder {
	s := slot
	h := holder{
		Exported: s, unexported: s, Pointer: &slot, hidden: &slot, Slice: []connsec.Secret{s}, list: []connsec.Secret{s},
		Array: [2]connsec.Secret{s, s}, Map: map[string]connsec.Secret{"k": s}, table: map[string]*connsec.Secret{"k": &slot}, Any: s, inner: &slot,
	}
	h.Nested.S, h.nested.s = s, s
	return h
}

// record is a holder without what encoders cannot encode.
type record struct {
	XMLName  xml.Name                  `xml:"r" json:"-" yaml:"-"`
	Attr     connsec.Secret            `xml:"attr,attr"`
	Exported connsec.Secret            `xml:"e"`
	Pointer  *connsec.Secret           `xml:"p"`
	Slice    []connsec.Secret          `xml:"s"`
	Map      map[string]connsec.Secret `xml:"-"`
	Any      any                       `xml:"a"`
}

type embedding struct{ connsec.Secret }

type recorder struct{ text strings.Builder }

func (r *recorder) Errorf(format string, args ...any) { fmt.Fprintf(&r.text, format, args...) }

// renderings are all the ways in which a program shows a value without meaning to.
func renderings(value string) map[string]string {
	slot = secret(value)
	s, h := slot, hold()
	out := map[string]string{}
	values := map[string]any{
		"value": s, "pointer": &slot, "struct": h, "struct pointer": &h, "slice": []connsec.Secret{s}, "any slice": []any{s, &slot, h},
		"array": [1]connsec.Secret{s}, "map": map[string]connsec.Secret{"k": s}, "any map": map[any]any{"k": s}, "struct map": map[int]any{1: h}, "embedded": embedding{s},
		"method": s.String, "channel": channel,
	}
	for name, v := range values {
		for _, verb := range "vsqxXdboOcUeEfFgGtpTwz" {
			if verb == 'p' && name != "value" && name != "pointer" && name != "struct" {
				continue // the address of a fresh map or slice
			}
			for _, flags := range []string{"", "+", "#", "-", " ", "0", "+#", "# ", "12", ".3", "-12.3", "#012.3"} {
				out[fmt.Sprintf("fmt %s %%%s%c", name, flags, verb)] = fmt.Sprintf("%"+flags+string(verb), v)
			}
		}
		out["Sprint "+name] = fmt.Sprint(v)
		out["Sprintln "+name] = fmt.Sprintln(v, v)
		for _, wrong := range []string{"none", "%", "%!", "%[3]v", "%*d", "%v %v", "%-"} {
			out["fmt "+name+" "+wrong] = fmt.Sprintf(wrong, v, v)
		}
		out["Append "+name] = string(fmt.Append(nil, v))
		out["Errorf "+name] = fmt.Errorf("wrapped: %v", v).Error()

		var text, js bytes.Buffer
		for _, handler := range []slog.Handler{slog.NewTextHandler(&text, nil), slog.NewJSONHandler(&js, nil)} {
			l := slog.New(handler)
			l.LogAttrs(context.Background(), slog.LevelInfo, "m", slog.Any("a", v), slog.Group("g", slog.Any("b", v)))
			l.With("c", v).Info("m", "d", v)
		}
		out["slog text "+name] = untimed(text.String())
		out["slog JSON "+name] = untimed(js.String())
		out["slog value "+name] = slog.AnyValue(v).Resolve().String()

		encode(out, "JSON "+name, func() ([]byte, error) { return json.Marshal(v) })
		encode(out, "YAML "+name, func() ([]byte, error) { return yaml.Marshal(v) })
		encode(out, "XML "+name, func() ([]byte, error) { return xml.Marshal(v) })
		encode(out, "gob "+name, func() ([]byte, error) {
			var b bytes.Buffer
			err := gob.NewEncoder(&b).Encode(v)
			return b.Bytes(), err
		})
		var r recorder
		assert.Equal(&r, "something else", v)
		assert.Equal(&r, holder{}, v)
		assert.Empty(&r, v)
		assert.Len(&r, v, 99)
		assert.Contains(&r, v, "x")
		out["testify "+name] = unlocated(r.text.String())
	}
	rec := record{Attr: s, Exported: s, Pointer: &slot, Slice: []connsec.Secret{s}, Map: map[string]connsec.Secret{"k": s}, Any: s}
	encode(out, "JSON record", func() ([]byte, error) { return json.MarshalIndent(rec, "", " ") })
	encode(out, "YAML record", func() ([]byte, error) { return yaml.MarshalWithOptions(rec, yaml.Flow(true)) })
	rec.Any = nil
	encode(out, "XML record", func() ([]byte, error) { return xml.Marshal(rec) })
	text, _ := s.MarshalText()
	out["text"] = string(text)
	out["verdict"] = fmt.Sprint(connsec.Failed("%v %s", s, &s).With("k", s))
	out["joined"] = errors.Join(fmt.Errorf("a: %v", s), fmt.Errorf("b: %w", asError{s})).Error()
	out["errorf %w"] = fmt.Errorf("%w", asError{s}).Error()
	out["panic"] = func() (shown string) {
		defer func() { shown = fmt.Sprint(recover()) }()
		panic(s)
	}()
	return out
}

type asError struct{ connsec.Secret }

func (e asError) Error() string { return fmt.Sprint(e.Secret) }

func encode(out map[string]string, name string, marshal func() ([]byte, error)) {
	data, err := marshal()
	out[name] = string(data)
	if err != nil {
		out[name+" error"] = err.Error()
	}
}

var (
	clock = regexp.MustCompile(`("time":"[^"]*"|time=\S+)`)
	trace = regexp.MustCompile(`(?m)^\s*Error Trace:.*(\n\s+\t.*\.(go|s):\d+)*`)
)

func untimed(s string) string   { return clock.ReplaceAllString(s, "") }
func unlocated(s string) string { return trace.ReplaceAllString(s, "") }

// forms are the value as other code may have written it down.
func forms(value string) []string {
	quoted := strconv.Quote(value)
	ascii := strconv.QuoteToASCII(value)
	js, _ := json.Marshal(value)
	return []string{
		value, quoted[1 : len(quoted)-1], ascii[1 : len(ascii)-1], string(js[1 : len(js)-1]), url.QueryEscape(value), url.PathEscape(value),
		hex.EncodeToString([]byte(value)), strings.ToUpper(hex.EncodeToString([]byte(value))), fmt.Sprintf("% x", value), fmt.Sprintf("%d", []byte(value)),
		base64.StdEncoding.EncodeToString([]byte(value)), base64.RawURLEncoding.EncodeToString([]byte(value)), base32.StdEncoding.EncodeToString([]byte(value)),
		strings.ToUpper(value), strings.ToLower(value),
	}
}

// plain is what the renderings of some other secret show.
var plain = sync.OnceValue(func() map[string]string { return renderings("a-quite-different-one") })

// requireHidden compares every rendering with that of another secret – what is the same for
// every value tells nothing about any – and searches it for the value.
func requireHidden(t *testing.T, value string) {
	base, got := plain(), renderings(value)
	require.Len(t, got, len(base))
	written := forms(value)
	for where, text := range got {
		if text != base[where] {
			require.Equal(t, base[where], text, "%s depends on the value", where)
		}
		for _, form := range written {
			if len(form) >= 12 && !strings.Contains("REDACTED connsec", form) && strings.Contains(text, form) {
				t.Fatalf("%s shows the value as %q: %s", where, form, text)
			}
		}
	}
}

func TestSecretIsHidden(t *testing.T) {
	for _, value := range []string{"hunter2hunter2", "REDACTED!", "päß wörd 日本", "\x00\x1b[31m\"'\\", "<a>&amp;", strings.Repeat("x", 300), "short", "1", "%s%d%!"} {
		requireHidden(t, value)
	}
}

func TestSecretRenderings(t *testing.T) {
	r := renderings("hunter2")
	for _, where := range []string{"fmt value %v", "fmt value %+v", "fmt value %#v", "fmt value %s", "fmt value %q", "fmt value %x", "fmt value %d",
		"fmt value %#012.3X", "Sprint value", "Sprint pointer", "text", "panic", "errorf %w"} {
		assert.Equal(t, "REDACTED", r[where], where)
	}
	assert.Equal(t, `"REDACTED"`, r["JSON value"])
	assert.Equal(t, "REDACTED\n", r["YAML value"])
	assert.Equal(t, `[REDACTED]`, r["fmt slice %v"])
	assert.Equal(t, `<r attr="REDACTED"><e>REDACTED</e><p>REDACTED</p><s>REDACTED</s></r>`, r["XML record"])
	assert.Contains(t, r["gob value error"], "no exported fields")

	// An empty secret looks like any other wherever a method is asked.
	empty := renderings("")
	for _, where := range []string{"fmt value %v", "fmt pointer %+v", "fmt slice %#v", "fmt map %v", "JSON record", "YAML record", "XML record", "slog text value", "slog JSON map"} {
		assert.Equal(t, r[where], empty[where], where)
	}
}

func FuzzSecret(f *testing.F) {
	for _, seed := range []string{"", "a", "hunter2hunter2", "REDACTED", "\xff\xfe\x00\x1b", "日本語のパスワード", "0x1234abcd", "@@@@"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		s := connsec.NewSecret(value)
		require.Equal(t, value, s.Reveal())
		require.Equal(t, value == "", s.IsEmpty())
		require.True(t, s.Equal(connsec.NewSecret(value)))
		require.False(t, s.Equal(connsec.NewSecret(value+"x")))
		var back connsec.Secret
		if err := back.UnmarshalText([]byte(value)); value == "REDACTED" {
			require.Error(t, err)
		} else {
			require.NoError(t, err)
			require.Equal(t, value, back.Reveal())
		}
		if value != "" { // see TestSecretRenderings for the empty one
			requireHidden(t, value)
		}
	})
}

func TestSecretDecodes(t *testing.T) {
	type config struct {
		Password connsec.Secret `json:"password" yaml:"password" xml:"password"`
	}
	var c config
	require.NoError(t, json.Unmarshal([]byte(`{"password":"hunter2"}`), &c))
	assert.Equal(t, "hunter2", c.Password.Reveal())
	c = config{}
	require.NoError(t, yaml.Unmarshal([]byte("password: hunter2\n"), &c))
	assert.Equal(t, "hunter2", c.Password.Reveal())
	c = config{}
	require.NoError(t, xml.Unmarshal([]byte("<config><password>hunter2</password></config>"), &c))
	assert.Equal(t, "hunter2", c.Password.Reveal())

	// What was once encoded is not mistaken for the value.
	data, err := json.Marshal(c)
	require.NoError(t, err)
	err = json.Unmarshal(data, &c)
	assert.ErrorContains(t, err, "the secret was redacted when this was written")
	assert.Equal(t, "hunter2", c.Password.Reveal(), "unchanged after an error")

	// A value of the wrong kind is not shown in the error.
	err = json.Unmarshal([]byte(`{"password":8765432109}`), &c)
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "8765432109")
}

func TestSecretEqual(t *testing.T) {
	a := connsec.NewSecret("a")
	assert.True(t, a.Equal(connsec.NewSecret("a")))
	assert.False(t, a.Equal(connsec.NewSecret("b")))
	assert.False(t, a.Equal(connsec.NewSecret("aa")))
	assert.False(t, a.Equal(connsec.Secret{}))
	assert.True(t, connsec.Secret{}.Equal(connsec.NewSecret("")))
	assert.True(t, connsec.Secret{}.IsEmpty())
}

// crash names the shape in which the child process of TestSecretInACrash panics.
var crash = flag.String("connsec.crash", "", "panic with a secret in this shape")

func TestSecretInACrash(t *testing.T) {
	const value = "hunter2hunter2"
	slot = secret(value)
	s := slot
	shapes := map[string]any{"value": s, "pointer": &slot, "struct": hold(), "error": asError{s}, "wrapped": fmt.Errorf("x: %w", asError{s}), "slice": []connsec.Secret{s}}
	if v, ok := shapes[*crash]; ok {
		panic(v)
	}
	for shape := range shapes {
		out, err := exec.Command(os.Args[0], "-test.run=^TestSecretInACrash$", "-connsec.crash="+shape).CombinedOutput()
		require.Error(t, err, "the child must crash")
		require.Contains(t, string(out), "panic: ", shape)
		for _, form := range forms(value) {
			assert.NotContains(t, string(out), form, shape)
		}
	}
}

func BenchmarkSecretEqual(b *testing.B) {
	s, other := connsec.NewSecret("hunter2"), connsec.NewSecret("hunter3")
	b.ReportAllocs()
	for b.Loop() {
		s.Equal(other)
	}
}
