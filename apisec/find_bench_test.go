package apisec

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

// BenchmarkSearch looks through text in memory that holds none of the secrets.
func BenchmarkSearch(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	words := make([]string, 3000)
	for i := range words {
		w := make([]byte, 2+r.IntN(9))
		for j := range w {
			w[j] = "etaoinshrdlucmfwypvbgkqjxz_"[min(r.IntN(27), r.IntN(27))]
		}
		words[i] = string(w)
	}
	var text bytes.Buffer
	for text.Len() < 16<<20 {
		fmt.Fprintf(&text, "%s %s=%q, (%d) %s;\n", words[r.IntN(3000)], words[r.IntN(3000)], words[r.IntN(3000)], r.IntN(1e6), words[r.IntN(3000)])
	}
	hex := func(n int) string {
		s := make([]byte, n)
		for i := range s {
			s[i] = "0123456789abcdef"[r.IntN(16)]
		}
		return string(s)
	}
	many := make([]string, 100)
	for i := range many {
		many[i] = hex(40)
	}
	for _, bb := range []struct {
		name     string
		secrets  []string
		patterns bool
	}{
		{"one of 40", many[:1], false}, {"ten of 40", many[:10], false}, {"hundred of 40", many, false},
		{"one of 20", []string{hex(20)}, false}, {"one of 12", []string{"Xk3&jd92+Lq1"}, false}, {"one of 8", []string{"Xk3&jd9+"}, false},
		{"word", []string{"information"}, false},
		{"patterns", nil, true},
	} {
		b.Run(bb.name, func(b *testing.B) {
			s := newSearcher(newSieve(bb.secrets), len(bb.secrets), bb.patterns)
			b.SetBytes(int64(text.Len()))
			b.ReportMetric(float64(len(s.sieve.four)+len(s.sieve.eight)), "grams")
			found := 0
			for b.Loop() {
				in := bytes.NewReader(text.Bytes())
				head, err := s.head(in)
				if _, err := s.search(context.Background(), head, err, io.Reader(in), func(match) { found++ }); err != nil {
					b.Fatal(err)
				}
			}
			if found > 0 {
				b.Fatal("found ", found)
			}
		})
	}
}

// BenchmarkNear looks through what passes the sieve and is no secret, or many secrets, as
// somebody may write to a log who knows a part of one, or what patterns look for.
func BenchmarkNear(b *testing.B) {
	const hex40 = "3f8a1c0d9be24576a1f0c3d2e5b49708fe6d1a2c"
	wide := func(s string) string { return string(wideBytes(s, false)) }
	signs := "aB3$x/Y+z=&\"'<>%\\~9k|{}`^;:,Q"
	for _, bb := range []struct {
		name, secret, text string
		patterns           bool
	}{
		{"all but the last", hex40, hex40[:39] + "\n", false},
		{"all but the first", hex40, hex40[1:] + "\n", false},
		{"eight", hex40, hex40[:8], false},
		{"middle eight", hex40, hex40[16:24] + "\n", false},
		{"UTF-16", hex40, wide(hex40[:39] + "\n"), false},
		{"UTF-16 eight", hex40, wide(hex40[:8]), false},
		{"signs", signs, signs[:len(signs)-1] + "\n", false},
		{"signs UTF-16", signs, wide(signs[:len(signs)-1] + "\n"), false},
		{"short", "q7/Zk+2w", "q7/Zk+2x", false},
		{"short UTF-16", "q7/Zk+2w", wide("q7/Zk+2x"), false},
		{"gaps", hex40, strings.Join(strings.Split(hex40[1:], ""), strings.Repeat("\n", 20)), false},
		{"long gap", hex40, strings.Repeat("\n", 120) + hex40[8:24], false},
		{"base64", hex40, "M2Y4YTFjMGQ5YmUyNDU3NmExZjBjM2QyZTViNDk3MDhmZTZkMWEyYw"[:40] + "\n", false},
		{"dump", hex40, "6263 3064 3962 6532  1c0d9be2\n00000000: ", false},
		{"dump lines", hex40, "31 63 30 64 39 62 65 32\n0000 \n0000 \n0000 \n0000 ", false},
		{"hits", hex40, hex40, false},
		{"pwd", hex40, "pwd=abcd;", true},
		{"url", hex40, "x://a:bcde@", true},
		{"secret", hex40, "client_secret=abcdef0123456789 ", true},
		{"key", hex40, "-----BEGIN PRIVATE KEY-----abcdefghijklmnopqrstuvwxyz0123456789\n", true},
		{"key letters", hex40, "-----BEGIN PRIVATE KEY-----\n" + strings.Repeat("a", 100), true},
		{"Q~", hex40, "1Q~", true},
		{"secret secret", hex40, "apisecret", true},
	} {
		text := bytes.Repeat([]byte(bb.text), (1<<20)/len(bb.text))
		b.Run(bb.name, func(b *testing.B) {
			s := newSearcher(newSieve([]string{bb.secret}), 1, bb.patterns)
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				in := bytes.NewReader(text)
				head, err := s.head(in)
				if _, err := s.search(context.Background(), head, err, in, func(match) {}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkCompile is what a run costs before it reads anything.
func BenchmarkCompile(b *testing.B) {
	for b.Loop() {
		newSieve([]string{"0123456789abcdef0123456789abcdef01234567"})
	}
}
