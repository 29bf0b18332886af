package codepage

import (
	"crypto/sha256"
	_ "embed"
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
)

// digests.txt was computed from the recordings by digest.py, which shares no code with this
// package. Every unit of the BMP and every byte string of every page is in it.
//
//go:embed testdata/digests.txt
var digests string

func TestEveryMappingIsAsRecorded(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(digests), "\n")
	require.Len(t, lines, len(Numbers()))
	for _, line := range lines {
		var number int
		var wantEncode, wantDecode string
		_, err := fmt.Sscan(line, &number, &wantEncode, &wantDecode)
		require.NoError(t, err)
		t.Run(fmt.Sprint(number), func(t *testing.T) {
			p := Get(number)
			require.NotNil(t, p)
			assert.Equal(t, number, p.Number())

			encode := sha256.New()
			for u := range 0x10000 {
				code, fit := p.Unit(uint16(u))
				width := 2
				if code > 0xFF {
					width = 4
				}
				fmt.Fprintf(encode, "%04X %0*X %c\n", u, width, code, "NBE"[fit])
			}
			assert.Equal(t, wantEncode, fmt.Sprintf("%x", encode.Sum(nil)))

			decode := sha256.New()
			for b := range 0x100 {
				if out, bad := p.Decode(nil, []byte{byte(b)}); bad < 0 {
					fmt.Fprintf(decode, "%02X %04X\n", b, []rune(string(out))[0])
				}
			}
			for lead := range 0x100 {
				for trail := range 0x100 {
					out, bad := p.Decode(nil, []byte{byte(lead), byte(trail)})
					if bad < 0 && p.Lead(byte(lead)) {
						fmt.Fprintf(decode, "%02X%02X %04X\n", lead, trail, []rune(string(out))[0])
					}
				}
			}
			assert.Equal(t, wantDecode, fmt.Sprintf("%x", decode.Sum(nil)))
		})
	}
}

// x/text makes its tables from other sources. Where the two differ is known and counted; any
// other difference is a mistake in one of them.
func TestAgainstXText(t *testing.T) {
	for _, c := range []struct {
		page    int
		enc     encoding.Encoding
		missing int // exact here, nothing there: C1 controls, private use, newer repertoire
		differ  int // other bytes there
		extra   int // nothing or a best fit here, a character there
	}{
		{437, charmap.CodePage437, 0, 0, 0},
		{850, charmap.CodePage850, 0, 0, 0},
		{874, charmap.Windows874, 31, 0, 0},
		{1250, charmap.Windows1250, 5, 0, 0},
		{1251, charmap.Windows1251, 1, 0, 0},
		{1252, charmap.Windows1252, 5, 0, 0},
		{1253, charmap.Windows1253, 17, 0, 0},
		{1254, charmap.Windows1254, 7, 0, 0},
		{1255, charmap.Windows1255, 22, 0, 0},
		{1256, charmap.Windows1256, 0, 0, 0},
		{1257, charmap.Windows1257, 12, 0, 0},
		{1258, charmap.Windows1258, 9, 0, 0},
		{932, japanese.ShiftJIS, 1885, 373, 0},
		{936, simplifiedchinese.GBK, 2150, 0, 80},
		{949, korean.EUCKR, 190, 0, 0},
		{950, traditionalchinese.Big5, 6220, 23, 3285},
	} {
		t.Run(fmt.Sprint(c.page), func(t *testing.T) {
			p := Get(c.page)
			var missing, differ, extra int
			enc := c.enc.NewEncoder()
			for u := range 0x10000 {
				if utf16.IsSurrogate(rune(u)) {
					continue
				}
				theirs, err := enc.String(string(rune(u)))
				code, fit := p.Unit(uint16(u))
				ours := string([]byte{byte(code)})
				if code > 0xFF {
					ours = string([]byte{byte(code >> 8), byte(code)})
				}
				switch {
				case fit == Exact && err != nil:
					missing++
				case fit == Exact && ours != theirs:
					differ++
				case fit != Exact && err == nil:
					extra++
				}
			}
			assert.Equal(t, []int{c.missing, c.differ, c.extra}, []int{missing, differ, extra}, "missing, differ, extra")
		})
	}
}

// A new mapping table would not fail TestEveryMappingIsAsRecorded if it changed the script's
// input as well. These are known from elsewhere: the MSDN tables and cp1252.txt.
func TestKnownMappings(t *testing.T) {
	for _, c := range []struct {
		page int
		in   string
		want string
		fit  Fit
	}{
		{1252, "Passé", "Pass\xe9", Exact},
		{1252, "€", "\x80", Exact},
		{1252, "Łódź", "L\xf3dz", Best},
		{1250, "Łódź", "\xa3\xf3d\x9f", Exact},
		{1255, "Łódź", "??d?", None},
		{1252, "\u2593", "\xa6", Best},
		{1252, "∞", "8", Best},
		{1252, "ＰＡＳＳ", "PASS", Best},
		{932, "ＰＡＳＳ", "\x82\x6f\x82\x60\x82\x72\x82\x72", Exact},
		{932, "ⅰ", "\xfa\x40", Exact},
		{932, "ﾊﾟｽ", "\xca\xdf\xbd", Exact},
		{1252, "e\u0301", "e\xb4", Best},
		{1258, "e\u0301", "e\xec", Exact},
		{1252, "😀", "??", None},
		{1252, "\u0081", "\x81", Exact},
		{949, "ł", "\xa9\xa9", Exact},
	} {
		got, fit, n := Get(c.page).Append(nil, c.in, 250)
		assert.Equal(t, c.want, string(got), "%d %q", c.page, c.in)
		assert.Equal(t, c.fit, fit, "%d %q", c.page, c.in)
		assert.Equal(t, len(c.in), n)
	}
}

func TestAppendStopsAtACharacter(t *testing.T) {
	out, _, n := Get(932).Append([]byte("xx"), "aああ", 4)
	assert.Equal(t, "xxa\x82\xa0", string(out))
	assert.Equal(t, len("aあ"), n)

	out, fit, n := Get(1252).Append(nil, "ab😀", 3)
	assert.Equal(t, "ab?", string(out), "each half of the pair is a character of its own")
	assert.Equal(t, None, fit)
	assert.Equal(t, 2, n, "the emoji was not taken whole")

	out, _, n = Get(1252).Append(nil, "abc", 0)
	assert.Empty(t, out)
	assert.Zero(t, n)
}

func TestCut(t *testing.T) {
	assert.Equal(t, "a\x82\xa0", string(Get(932).Cut([]byte("a\x82\xa0\x82\xa0"), 4)))
	assert.Equal(t, "\x82\xa0\x82\xa0", string(Get(932).Cut([]byte("\x82\xa0\x82\xa0a"), 4)))
	assert.Equal(t, "abcd", string(Get(1252).Cut([]byte("abcde"), 4)))
	assert.Equal(t, "a", string(Get(932).Cut([]byte("a\x85\x40"), 2)), "an unassigned pair is not split either")
}

func TestDecodeRefusesBytesWithoutMeaning(t *testing.T) {
	for _, c := range []struct {
		page int
		in   string
		bad  int
	}{
		{932, "a\x82", 1},      // lead byte at the end
		{932, "\x82\x20", 0},   // not a trail byte
		{932, "ab\x85\x40", 2}, // unassigned row
	} {
		_, bad := Get(c.page).Decode(nil, []byte(c.in))
		assert.Equal(t, c.bad, bad, "%d % x", c.page, c.in)
	}
}

func TestGetUnknown(t *testing.T) {
	assert.Nil(t, Get(1259))
	assert.Nil(t, Get(65001))
}

// Each page holds, for any text: the length bound, whole characters, the same answer twice, a
// prefix of the unbounded conversion, and, if all was exact, the text itself on the way back.
func FuzzAppend(f *testing.F) {
	for i := range Numbers() {
		f.Add(uint8(i), "Łódź Ａあ😀 שלום e\u0301\x00", uint16(7))
	}
	f.Fuzz(func(t *testing.T, index uint8, s string, most uint16) {
		if !utf8.ValidString(s) {
			return
		}
		numbers := Numbers()
		p := Get(numbers[int(index)%len(numbers)])
		limit := int(most % 300)
		out, fit, n := p.Append(nil, s, limit)
		again, _, _ := p.Append(nil, s, limit)
		full, fullFit, all := p.Append(nil, s, 4*len(s))
		require.Equal(t, out, again)
		require.LessOrEqual(t, len(out), limit)
		require.LessOrEqual(t, len(out), len(full))
		require.Equal(t, string(full[:len(out)]), string(out))
		require.Equal(t, len(s), all)
		require.True(t, utf8.ValidString(s[:n]))
		require.GreaterOrEqual(t, fit, fullFit)
		require.Equal(t, string(out), string(p.Cut(full, len(out))), "ends within a character")
		if fit == Exact {
			back, bad := p.Decode(nil, out)
			require.Equal(t, -1, bad)
			require.Equal(t, s[:n], string(back))
		}
	})
}

func BenchmarkLoad(b *testing.B) {
	for _, s := range sections {
		b.Run(fmt.Sprint(s.number), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.load()
			}
		})
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct {
		page int
		in   string
	}{{1252, "correct horse é"}, {932, "パスワード12345"}} {
		b.Run(fmt.Sprint(c.page), func(b *testing.B) {
			p, buf := Get(c.page), make([]byte, 0, 250)
			b.ReportAllocs()
			for b.Loop() {
				p.Append(buf, c.in, 250)
			}
		})
	}
}
