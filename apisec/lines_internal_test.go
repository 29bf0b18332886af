package apisec

import (
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestLines counts lines and characters in texts of every encoding, and compares with what is
// counted in the characters that they were made from.
func TestLines(t *testing.T) {
	const value = "kd93jf02mfk30sk2mf9s"
	units := func(order binary.AppendByteOrder) func(string) []byte {
		return func(text string) []byte {
			var out []byte
			for _, u := range utf16.Encode([]rune("\ufeff" + text)) {
				out = order.AppendUint16(out, u)
			}
			return out
		}
	}
	for _, tt := range []struct {
		name     string
		alphabet string
		encode   func(string) []byte
	}{
		{"UTF-8", "aé€😀ઊ\n ", func(s string) []byte { return []byte(s) }},
		{"UTF-8 with a mark", "aé€😀\n ", func(s string) []byte { return []byte("\ufeff" + s) }},
		{"UTF-16LE", "aé€😀ઊĊ\n ", units(binary.LittleEndian)}, // of which two have the byte of a line break
		{"UTF-16BE", "aé€😀ઊĊ\n ", units(binary.BigEndian)},
		{"Latin-1", "aéüß\n ", func(s string) []byte {
			var out []byte
			for _, r := range s {
				out = append(out, byte(r))
			}
			return out
		}},
		{"one line", "aé😀", func(s string) []byte { return []byte(s) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			alphabet := []rune(tt.alphabet)
			s := newSieve([]string{value})
			w := newSearcher(s, 1, false)
			var text strings.Builder
			type place struct{ line, column int }
			var want []place
			line, column := 1, 1
			for range 30 {
				for range r.IntN(30_000) {
					c := alphabet[r.IntN(len(alphabet))]
					text.WriteRune(c)
					if column++; c == '\n' {
						line, column = line+1, 1
					}
				}
				want = append(want, place{line, column})
				text.WriteString(value)
				column += len(value)
			}
			var got []place
			for _, m := range searchAll(t, w, strings.NewReader(string(tt.encode(text.String())))) {
				got = append(got, place{m.line, m.column})
			}
			assert.Equal(t, want, got)
		})
	}
	// In what is no text, or does not say in which order it is, there are no lines.
	for _, text := range []string{"\x00\n" + value, "a\x00\n\x00" + strings.Join(strings.Split(value, ""), "\x00") + "\x00"} {
		found := searchAll(t, newSearcher(newSieve([]string{value}), 1, false), strings.NewReader(text))
		require.Len(t, found, 1)
		assert.Zero(t, found[0].line)
		assert.Zero(t, found[0].column)
	}
}

// TestLinesInAnyOrder asks for places as patterns do, which look for one mark after the other.
func TestLinesInAnyOrder(t *testing.T) {
	text := []byte("é\nüb\n😀c\nd")
	l := newLineCounter(text)
	want := map[int][2]int{0: {1, 1}, 3: {2, 1}, 5: {2, 2}, 7: {3, 1}, 11: {3, 2}, 13: {4, 1}}
	for _, order := range [][]int{{0, 3, 5, 7, 11, 13}, {13, 11, 7, 5, 3, 0}, {7, 3, 13, 0, 11, 5}} {
		for _, at := range order {
			line, column := l.at(text, 0, at, narrow)
			assert.Equal(t, want[at], [2]int{line, column}, at)
		}
	}
	// And when the buffer has moved on, into the middle of a character.
	l.drop(text, 0, 9)
	line, column := l.at(text[9:], 9, 11-9, narrow)
	assert.Equal(t, [2]int{3, 2}, [2]int{line, column})
}
