package apisec

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
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

// BenchmarkCompile is what a run costs before it reads anything.
func BenchmarkCompile(b *testing.B) {
	for b.Loop() {
		newSieve([]string{"0123456789abcdef0123456789abcdef01234567"})
	}
}
