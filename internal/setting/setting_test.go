package setting_test

import (
	"encoding/json"
	"net/url"
	"strconv"
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

func TestSplitAuthority(t *testing.T) {
	for in, want := range map[string]struct {
		host string
		port uint16
	}{
		"": {}, "a.example": {"a.example", 0}, "a.example:1": {"a.example", 1}, ":65535": {"", 65535}, "a%2Eexample": {"a.example", 0},
		"[2001:db8::1]": {"2001:db8::1", 0}, "[::1]:636": {"::1", 636}, "[fe80::1%25eth0]": {"fe80::1%eth0", 0}, "192.0.2.1:25": {"192.0.2.1", 25},
	} {
		host, port, err := setting.SplitAuthority(in)
		require.NoError(t, err, in)
		assert.Equal(t, want.host, host, in)
		assert.Equal(t, want.port, port, in)
	}
	for in, want := range map[string]string{
		"a:0": "1 to 65535", "a:": "1 to 65535", "a:65536": "1 to 65535", "a:x": "1 to 65535", "a:+1": "1 to 65535", "::1": "without brackets",
		"[::1": "do not match", "[::1]1": "do not match", "a%zz": "broken %-escape", "a%00": "no host name has", "a%40b": "no host name has",
		"[a.example]:636": "something else than an IPv6 address", "[192.0.2.1]": "something else", "[]": "something else", "[::1%zz]": "broken",
	} {
		_, _, err := setting.SplitAuthority(in)
		require.ErrorContains(t, err, want, in)
	}
}

func FuzzSplitAuthority(f *testing.F) {
	f.Add("[fe80::1%25eth0]:636")
	f.Add("a%2Fb:1")
	f.Fuzz(func(t *testing.T, s string) {
		host, port, err := setting.SplitAuthority(s)
		if err != nil {
			return
		}
		assert.NotContains(t, host, "@")
		if strings.ContainsAny(host, "%[]") || port == 0 {
			return
		}
		// What is read is what net/url reads.
		u, err := url.Parse("x://" + s)
		if err == nil && u.Path == "" && u.RawQuery == "" && u.Fragment == "" {
			assert.Equal(t, u.Hostname(), host)
			n, err := strconv.Atoi(u.Port())
			require.NoError(t, err)
			assert.Equal(t, n, int(port))
		}
	})
}

func TestServerField(t *testing.T) {
	for _, tc := range []struct {
		in     string
		beside uint16
		host   string
		port   uint16
		says   string
	}{
		{" a.example ", 0, "a.example", 0, ""}, {"a.example", 25, "a.example", 25, ""}, {"a.example:25", 0, "a.example", 25, ""},
		{"a.example:25", 25, "a.example", 25, ""}, {"[::1]:25", 0, "::1", 25, ""}, {"::1", 0, "::1", 0, ""}, {"", 0, "", 0, ""},
		{"a.example:25", 26, "", 0, "port 25 behind"}, {"a.example:smtp", 0, "", 0, "1 to 65535"}, {"x://a", 0, "", 0, "URL"},
		{strings.Repeat("a", setting.MaxURL+1), 0, "", 0, "8193 bytes"},
	} {
		host, port, err := setting.ServerField(tc.in, tc.beside)
		if tc.says != "" {
			require.ErrorContains(t, err, tc.says)
			continue
		}
		require.NoError(t, err)
		assert.Equal(t, tc.host, host)
		assert.Equal(t, tc.port, port)
	}
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
