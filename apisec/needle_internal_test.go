package apisec

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func drawSecret(t *rapid.T) string {
	return rapid.OneOf(
		rapid.StringMatching(`[0-9a-f]{40}`),
		rapid.StringMatching(`[A-Za-z0-9]{8,64}`),
		rapid.StringMatching(`[ -~]{8,64}`),
		rapid.StringMatching(`[A-Za-z0-9+/=&<>"'\\%é€😀]{8,40}`),
		rapid.StringMatching(`[ab12\\'"%&=+ ]{8,24}`), // which can be read in many ways
		rapid.StringMatching(`(abc1|%25|\\n|&amp;|'')+abcd1234`),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 8, 80), func(b []byte) string { return string(b) }),
	).Filter(func(value string) bool { return problem("x", value) == nil }).Draw(t, "secret")
}

func searchAll(t require.TestingT, w *searcher, in io.Reader) []match {
	head, err := w.head(in)
	var found []match
	_, err = w.search(context.Background(), head, err, in, func(m match) { found = append(found, m) })
	require.NoError(t, err)
	return found
}

// TestForms puts a random secret, in each form of each of its needles and each width, behind
// random bytes, and wants it at that place.
func TestForms(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := drawSecret(t)
		s := newSieve([]string{value})
		w := newSearcher(s, 1, false)
		before := rapid.StringMatching(`[a-z \n]{0,70}`).Draw(t, "before")
		after := rapid.StringMatching(`[a-z \n]{0,70}`).Draw(t, "after")
		for i := range s.needles {
			n := &s.needles[i]
			for j := range n.forms {
				forms := []form{n.forms[j]}
				for _, order := range []bool{false, true} {
					if f, ok := n.forms[j].widened(order); ok && !n.forms[j].narrow {
						forms = append(forms, f)
					}
				}
				for k, f := range forms {
					found := searchAll(t, w, strings.NewReader(before+" "+f.text+" "+after))
					if !assert.NotEmpty(t, found, "needle %d, form %d %q, width %d, of %q", i, j, f.text, k, value) {
						continue
					}
					// A form may begin like another, and several characters of it may be an
					// escape that stands for itself.
					assert.LessOrEqual(t, found[0].begin, int64(len(before)+1+len(f.text)/2))
				}
			}
		}
	})
}

// TestBroken breaks each form at each place.
func TestBroken(t *testing.T) {
	for _, value := range []string{"0123456789abcdef0123456789abcdef01234567", "s3cr&t/Pw", "Pa55word+With/All=the&\"'<>%\\signs"} {
		s := newSieve([]string{value})
		w := newSearcher(s, 1, false)
		for _, with := range []string{"\n", "\r\n", "\\\n", "`\r\n", "^\r\n", "=\r\n", "\\\n      ", `\n`, "\" +\n\t\"", "' . '", "\" \"", "\n\n    "} {
			for i := range s.needles {
				n := &s.needles[i]
				for j := range n.forms {
					f := n.forms[j]
					for k := 1; k < len(f.starts); k++ {
						at := f.starts[k]
						// Where the break is the end of an escape, it is none.
						if strings.HasSuffix(f.text[:at], `\`) || strings.HasSuffix(f.text[:at], "=") {
							continue
						}
						text := "key: " + f.text[:at] + with + f.text[at:] + "."
						require.Len(t, searchAll(t, w, strings.NewReader(text)), 1, "needle %d, form %d at %d: %q", i, j, at, text)
					}
				}
			}
		}
	}
}

// TestChunks puts a secret across each border between two reads.
func TestChunks(t *testing.T) {
	const value = "kd93jf02mfk30sk2mf9s"
	s := newSieve([]string{value})
	w := newSearcher(s, 1, false)
	for _, text := range []string{value, "a2Q5M2pmMDJtZmszMHNrMm1mOXM=", strings.Join(strings.Split(value, ""), "\x00") + "\x00"} {
		size := chunk + 2*s.span
		for _, around := range []int{chunk, size - s.span, size, 2*chunk + s.span, 2*size - 2*s.span, 2 * size} {
			for at := around - len(text) - 3; at < around+3; at += 1 + at%3 {
				data := strings.Repeat("line\n", (at-1)/5) + strings.Repeat(".", 1+(at-1)%5) + text + strings.Repeat("\n-", size)
				found := searchAll(t, w, iotest.OneByteReader(strings.NewReader(data[:at+len(text)+1])))
				require.Len(t, found, 1, "at %d", at)
				found = searchAll(t, w, strings.NewReader(data))
				require.Len(t, found, 1, "at %d", at)
				assert.EqualValues(t, at, found[0].begin)
				assert.Equal(t, (at-1)/5+1, found[0].line)
				assert.Equal(t, 2+(at-1)%5, found[0].column)
			}
		}
	}
}

// TestRandom finds nothing in what holds nothing.
func TestRandom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newSearcher(newSieve([]string{drawSecret(t)}), 1, false)
		data := rapid.SliceOfN(rapid.Byte(), 0, 4000).Draw(t, "data")
		assert.Empty(t, searchAll(t, w, strings.NewReader(string(data))))
	})
}
