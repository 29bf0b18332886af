package circlehttps_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec/circlehttps"
)

// realistic returns the text of a page, style sheet or script of roughly n bytes, as campaign
// sites have them: mostly ordinary code, now and then an address, one in three over http.
func realistic(r *rand.Rand, kind string, n int) string {
	words := strings.Fields("header footer main offer price list item card image title summary button campaign spring recipient name value index count result event handler option state render update")
	word := func() string { return words[r.IntN(len(words))] }
	address := func() string {
		scheme := "https"
		if r.IntN(3) == 0 {
			scheme = "http"
		}
		return fmt.Sprintf("%s://www.example.com/%s/%s%d", scheme, word(), word(), r.IntN(1000))
	}
	var b strings.Builder
	if kind == "html" {
		b.WriteString("<!DOCTYPE html>\n<html><head><script src=\"xmpcfg.js\"></script></head><body xmp-personalized-controller>\n")
	}
	for b.Len() < n {
		rare := r.IntN(40) == 0
		switch {
		case kind == "html" && rare:
			fmt.Fprintf(&b, "\t<a class=\"%s\" href=\"%s\"><img src=\"%s.png\" alt=\"%s\"></a>\n", word(), address(), address(), word())
		case kind == "html":
			fmt.Fprintf(&b, "\t<div class=\"%s %s\" id=\"%s%d\"><p xmp-text=\"xmp.r['%s']\">%s %s %s %s</p></div>\n", word(), word(), word(), r.IntN(1e6), word(), word(), word(), word(), word())
		case kind == "css" && rare:
			fmt.Fprintf(&b, ".%s::before { background: url('%s.png') no-repeat }\n", word(), address())
		case kind == "css":
			fmt.Fprintf(&b, ".%s .%s > .%s:hover { margin: %dpx auto; color: #%06x; font: 1.%dem/1.5 sans-serif }\n", word(), word(), word(), r.IntN(40), r.IntN(1<<24), r.IntN(9))
		case rare:
			fmt.Fprintf(&b, "$.getJSON(\"%s\",function(%s){%s=%s});\n", address(), word(), word(), word())
		default:
			fmt.Fprintf(&b, "function %s(%s,%s){var %s=%s[%d]||\"%s-%s\";if(%s>%d&&!%s.%s){return %s.%s('%s',{%s:%d,%s:true})}/* %s */return /%s+/g.test(%s)}\n",
				word(), word(), word(), word(), word(), r.IntN(99), word(), word(), word(), r.IntN(99), word(), word(), word(), word(), word(), word(), r.IntN(99), word(), word(), word(), word())
		}
	}
	return b.String()
}

// writeRealistic fills a folder with about total bytes.
func writeRealistic(tb testing.TB, dir string, total int) {
	tb.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	for written, i := 0, 0; written < total; i++ {
		kind, size := "html", 8<<10+r.IntN(64<<10)
		switch i % 10 {
		case 0, 1, 2, 3:
			kind, size = "js", 16<<10+r.IntN(400<<10)
		case 4, 5:
			kind, size = "css", 8<<10+r.IntN(100<<10)
		}
		sub := filepath.Join(dir, fmt.Sprintf("%03d", i/200))
		require.NoError(tb, os.MkdirAll(sub, 0o755))
		text := realistic(r, kind, size)
		require.NoError(tb, os.WriteFile(filepath.Join(sub, fmt.Sprintf("%d.%s", i, kind)), []byte(text), 0o644))
		written += len(text)
	}
}

// BenchmarkSite reads a site of 64 MiB, or the folder that CONNSEC_BENCH_SITE names. If that is
// empty, it is filled with 1 GiB first, so that other programs can be measured on the same.
func BenchmarkSite(b *testing.B) {
	dir, size := os.Getenv("CONNSEC_BENCH_SITE"), 1<<30
	if dir == "" {
		dir, size = b.TempDir(), 64<<20
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) == 0 {
		writeRealistic(b, dir, size)
	}
	b.ReportAllocs()
	for b.Loop() {
		s, err := circlehttps.Site{FS: os.DirFS(dir)}.Scan(context.Background())
		require.NoError(b, err)
		b.SetBytes(s.Bytes)
	}
}

// BenchmarkFile reads one file of 1 MiB of each kind.
func BenchmarkFile(b *testing.B) {
	for _, kind := range []string{"html", "css", "js"} {
		b.Run(kind, func(b *testing.B) {
			fsys := mapFS(map[string]string{"a." + kind: realistic(rand.New(rand.NewPCG(1, 2)), kind, 1<<20)})
			b.SetBytes(1 << 20)
			b.ReportAllocs()
			for b.Loop() {
				_, err := circlehttps.Site{FS: fsys}.Scan(context.Background())
				require.NoError(b, err)
			}
		})
	}
}

// BenchmarkBundle reads a minified bundle in one line, without and with an address at its end.
func BenchmarkBundle(b *testing.B) {
	line := strings.ReplaceAll(realistic(rand.New(rand.NewPCG(1, 2)), "js", 16<<20), "\n", "")
	line = strings.ReplaceAll(line, "http:", "https:")
	for name, tail := range map[string]string{"clean": "", "address": ";fetch('http://a.example/')"} {
		b.Run(name, func(b *testing.B) {
			fsys := mapFS(map[string]string{"a.js": line + tail})
			b.SetBytes(int64(len(line)))
			b.ReportAllocs()
			for b.Loop() {
				_, err := circlehttps.Site{FS: fsys}.Scan(context.Background())
				require.NoError(b, err)
			}
		})
	}
}
