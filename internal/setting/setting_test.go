package setting_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/connsec/connsec/internal/setting"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOneLine(t *testing.T) {
	for in, want := range map[string]string{
		"":                       "",
		"plain":                  "plain",
		" a\r\n\tb ":             "a b",
		"\x1b[31mred\x1b[0m":     "[31mred[0m",
		"a\xffb":                 "a?b",
		"\u202eabc":              "abc", // would turn the line around
		strings.Repeat("x", 300): strings.Repeat("x", 200) + "…",
	} {
		assert.Equal(t, want, setting.OneLine(in), "%q", in)
	}
}

func FuzzOneLine(f *testing.F) {
	f.Add("a\r\nb\x00\u2028é")
	f.Fuzz(func(t *testing.T, s string) {
		out := setting.OneLine(s)
		assert.LessOrEqual(t, len(out), 203)
		assert.Equal(t, out, setting.OneLine(out)[:len(setting.OneLine(out))])
		for _, r := range out {
			assert.True(t, unicode.IsPrint(r))
		}
	})
}

type sample struct {
	Name     string `json:"name"`
	Password string `json:"password"`
	Port     uint16 `json:"port"`

	Since time.Time `json:"since"`
}

func TestParseJSON(t *testing.T) {
	got, err := setting.ParseJSON[sample]("samplesec", []byte(`{"name":"a","port":7}`))
	require.NoError(t, err)
	assert.Equal(t, sample{Name: "a", Port: 7}, got)
	for in, want := range map[string]string{
		``:                         "samplesec: the setting is not complete JSON",
		`{"name":`:                 "samplesec: the setting is not complete JSON",
		`{"name":"a"} {}`:          "samplesec: unexpected data after the setting",
		`{"naem":"a"}`:             `samplesec: json: unknown field "naem"`,
		`{"port":"hunter2"}`:       `samplesec: the setting's field "port" has the wrong type; it must be a uint16`,
		`{"since":"hunter2"}`:      "samplesec: a date of the setting is not one; write it as 2026-01-31T00:00:00Z",
		`{"password":hunter2}`:     "samplesec: the setting is not JSON: mistake at byte 13",
		strings.Repeat(" ", 1<<21): "samplesec: a setting of 2097152 bytes; at most 1048576 are read",
	} {
		got, err := setting.ParseJSON[sample]("samplesec", []byte(in))
		require.EqualError(t, err, want)
		assert.Zero(t, got)
		assert.NotContains(t, err.Error(), "hunter2")
	}
}

type colour uint8

var colours = setting.Enum[colour]{Package: "samplesec", Kind: "colour", Names: []string{"red", "green"}}

func (c colour) MarshalText() ([]byte, error)     { return colours.Encode(c) }
func (c *colour) UnmarshalText(text []byte) error { return colours.Decode(text, c) }

func TestEnum(t *testing.T) {
	assert.Equal(t, "green", colours.Name(1))
	assert.Equal(t, "colour(2)", colours.Name(2))
	text, err := json.Marshal([]colour{0, 1})
	require.NoError(t, err)
	assert.JSONEq(t, `["red","green"]`, string(text))
	_, err = colour(2).MarshalText()
	require.EqualError(t, err, "samplesec: cannot encode invalid colour(2)")
	var c colour
	require.NoError(t, c.UnmarshalText([]byte("green")))
	assert.Equal(t, colour(1), c)
	require.EqualError(t, c.UnmarshalText([]byte("GREEN")), `samplesec: unknown colour "GREEN" (one of red, green)`)
	assert.Equal(t, colour(1), c, "a mistake changes nothing")
}
