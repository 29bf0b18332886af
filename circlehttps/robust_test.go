//go:build unix

package circlehttps_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/circlehttps"
)

// TestBadFiles: each bad file costs one line, and the rest of the site is still read.
func TestBadFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
	write("good.html", []byte(`<img src="http://a.example/a.png">`))
	write("binary.html", []byte("\x7fELF\x02\x01\x01\x00\x00"))
	write("utf16le.html", []byte("\xff\xfe<\x00a\x00"))
	write("utf16be.js", []byte("\x00v\x00a\x00r\x00 \x00a\x00=\x001"))
	write("latin1.html", []byte("<p>\xe9\xe8</p><img src=\"http://a.example/\xe9.png\">"))
	write("large.js", bytes.Repeat([]byte("x"), 5000))
	write("empty.html", nil)
	write("app.js.gz", []byte("\x1f\x8b"))
	write("picture.gz", []byte("\x1f\x8b"))
	write("app.css.zst", []byte("\x28\xb5"))
	write("logo.SVGZ", []byte("\x1f\x8b"))
	write("base64.html", []byte(`<iframe src="data:text/html;base64,`+base64.StdEncoding.EncodeToString([]byte(`<script src="http://a.example/a.js"></script>`))+`">`))
	write("base64-https.html", []byte(`<iframe src="data:text/html;base64,`+base64.StdEncoding.EncodeToString([]byte(`<script src="https://a.example/a.js"></script>`))+`"><img src="data:image/png;base64,AAAA">`))
	write("base64-percent.html", []byte(`<script src="data:text/javascript;base64,YWxlcnQoMSk%3D"></script>`))
	write("base64-broken.html", []byte(`<script src="data:text/javascript;base64,!!!">`))
	write("program", []byte("\x7fELF\x02\x01\x01\x00\x00"))
	require.NoError(t, os.Symlink("loop.html", filepath.Join(dir, "loop.html")))
	require.NoError(t, os.Symlink("gone.html", filepath.Join(dir, "broken.html")))
	require.NoError(t, os.Symlink(".", filepath.Join(dir, "here")))
	require.NoError(t, os.Symlink("good.html", filepath.Join(dir, "linked.html")))
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "pipe.html"), 0o600))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "node_modules"), 0o700))
	write("node_modules/a.js", []byte("fetch('http://a.example/')"))

	s, err := circlehttps.Site{FS: os.DirFS(dir), MaxFile: 4096}.Scan(context.Background())
	require.NoError(t, err)
	got := map[string]string{}
	for _, u := range s.Unread {
		got[u.File] = u.Problem
		assert.NotContains(t, u.Problem, "\n")
		assert.NotContains(t, u.Problem, dir)
	}
	assert.Equal(t, map[string]string{
		"binary.html":        "it looks like a binary file",
		"app.css.zst":        "it is a compressed copy, which is not read; make it anew from the file that was checked",
		"logo.SVGZ":          "it is a compressed copy, which is not read; make it anew from the file that was checked",
		"base64.html":        "it was not read to its end: a data: address in base64 has an HTTP address in it, or cannot be decoded",
		"base64-broken.html": "it was not read to its end: a data: address in base64 has an HTTP address in it, or cannot be decoded",
		"app.js.gz":          "it is a compressed copy, which is not read; make it anew from the file that was checked",
		"utf16le.html":       "it is UTF-16; save it as UTF-8 to have it read",
		"utf16be.js":         "it looks like UTF-16; save it as UTF-8 to have it read",
		"large.js":           "it is larger than the limit for one file: 5000 of at most 4096 bytes",
		"loop.html":          "it is a link that leads nowhere",
		"broken.html":        "it is a link that leads nowhere",
		"here":               "it is a link to a folder, which is not followed",
		"pipe.html":          "it is not a regular file",
	}, got)
	assert.Equal(t, []string{"good.html:1:11 passive", "latin1.html:1:20 passive", "linked.html:1:11 passive"}, linkLines(s))

	// What was not read is not passed.
	r := s.Judge(circlehttps.Project{})
	for _, f := range r.Findings {
		if f.Outcome == connsec.Pass {
			t.Errorf("%s passed: %s", f.Rule.ID, f.Detail)
		}
	}
	assert.Len(t, r.Of(circlehttps.RuleLinkActive), len(got))
}

// denying is a file system in which one file cannot be opened and one fails halfway.
type denying struct{ fstest.MapFS }

func (d denying) Open(name string) (fs.File, error) {
	switch name {
	case "denied.html":
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	case "broken.html":
		return brokenFile{}, nil
	}
	return d.MapFS.Open(name)
}

type brokenFile struct{ fs.File }

func (brokenFile) Read([]byte) (int, error) { return 0, errors.New("input/output error") }
func (brokenFile) Close() error             { return nil }

func TestUnreadableFiles(t *testing.T) {
	s, err := circlehttps.Site{FS: denying{mapFS(map[string]string{"denied.html": "x", "broken.html": "x", "good.html": "x"})}}.Scan(context.Background())
	require.NoError(t, err)
	require.Len(t, s.Unread, 2)
	assert.Equal(t, circlehttps.Unread{File: "broken.html", Problem: "it cannot be read: input/output error"}, s.Unread[0])
	assert.Equal(t, circlehttps.Unread{File: "denied.html", Problem: "it cannot be opened: permission denied"}, s.Unread[1])

	_, err = circlehttps.Site{}.Scan(context.Background())
	require.ErrorContains(t, err, "set FS")
	_, err = circlehttps.Site{FS: os.DirFS(filepath.Join(t.TempDir(), "gone"))}.Scan(context.Background())
	require.ErrorIs(t, err, fs.ErrNotExist)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = circlehttps.Site{FS: mapFS(map[string]string{"a.html": "x"})}.Scan(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

// TestOrder: the findings do not depend on how many workers read.
func TestOrder(t *testing.T) {
	site, p := corpus(t, "weak")
	site.Now = func() time.Time { return time.Time{} }
	var want []byte
	for workers := 1; workers <= 8; workers++ {
		site.Workers = workers
		r, err := site.Check(context.Background(), p)
		require.NoError(t, err)
		got, err := json.Marshal(r)
		require.NoError(t, err)
		if want == nil {
			want = got
		}
		assert.Equal(t, string(want), string(got))
	}
}

func TestProgress(t *testing.T) {
	site, _ := corpus(t, "strong")
	var files int
	var size int64
	site.Progress = func(n int, b int64) {
		assert.Equal(t, files+1, n)
		assert.GreaterOrEqual(t, b, size)
		files, size = n, b
	}
	s, err := site.Scan(context.Background())
	require.NoError(t, err)
	assert.Equal(t, s.Files, files)
	assert.Equal(t, s.Bytes, size)
}

// TestScanTravels: facts written on one machine are judged alike on another.
func TestScanTravels(t *testing.T) {
	for _, name := range []string{"weak", "strong", "react", "stale"} {
		site, p := corpus(t, name)
		s, err := site.Scan(context.Background())
		require.NoError(t, err)
		data, err := json.Marshal(s)
		require.NoError(t, err)
		assert.NotContains(t, string(data), "0123456789abcdef", "the access token stays out")
		var back circlehttps.Scan
		require.NoError(t, json.Unmarshal(data, &back))
		want, err := json.Marshal(s.Judge(p))
		require.NoError(t, err)
		got, err := json.Marshal(back.Judge(p))
		require.NoError(t, err)
		assert.JSONEq(t, string(want), string(got))
	}
}

// hostile are texts on which a careless reader takes quadratic time or memory. Each is built
// for a length.
var hostile = map[string]func(n int) (file, text string){
	"one long line":            func(n int) (string, string) { return "a.js", strings.Repeat("var a=1;", n/8) + "//http:" },
	"open quotes":              func(n int) (string, string) { return "a.js", "'http:" + strings.Repeat(`\'`, n/2) },
	"open quotes of two kinds": func(n int) (string, string) { return "a.js", "//http:\n" + strings.Repeat(`'\"`, n/3) },
	"open templates":           func(n int) (string, string) { return "a.js", "//http:\n" + strings.Repeat("`${", n/3) },
	"open template":            func(n int) (string, string) { return "a.js", "//http:\n" + strings.Repeat("\\`", n/2) + "`" },
	"regular expressions":      func(n int) (string, string) { return "a.js", "//http:\n" + strings.Repeat("(/[", n/3) },
	"brackets":                 func(n int) (string, string) { return "a.js", "//http:\n" + strings.Repeat("([{", n/3) },
	"comments":                 func(n int) (string, string) { return "a.js", "//http:\n" + strings.Repeat("/*", n/2) },
	"concatenations":           func(n int) (string, string) { return "a.js", "x='http://a'" + strings.Repeat("+'b'", n/4) },
	"definitions":              func(n int) (string, string) { return "a.js", strings.Repeat("xmpcfg={access:{url:'http:x'}};", n/31) },
	"nested objects":           func(n int) (string, string) { return "xmpcfg.js", "xmpcfg=" + strings.Repeat("{a:", n/3) },
	"assignments":              func(n int) (string, string) { return "a.js", strings.Repeat("xmpcfg={};xmpcfg.a='http:x';", n/28) },
	"markup in scripts":        func(n int) (string, string) { return "a.js", strings.Repeat(`x="<a href='http:";`, n/19) },
	"JSX":                      func(n int) (string, string) { return "a.jsx", "//http:\n" + strings.Repeat("<a>{", n/4) },
	"tags":                     func(n int) (string, string) { return "a.html", strings.Repeat("<a><b>", n/6) + "</c>" },
	"end tags": func(n int) (string, string) {
		return "a.html", strings.Repeat("<div>", 600) + strings.Repeat("</a>", n/4)
	},
	"attributes": func(n int) (string, string) { return "a.html", "<a " + strings.Repeat("href=http:x ", n/12) },
	"attributes of many tags": func(n int) (string, string) {
		return "a.html", strings.Repeat("<link "+strings.Repeat("b=http:x ", 250)+">", n/2250)
	},
	"less-than signs": func(n int) (string, string) { return "a.html", strings.Repeat("<", n) },
	"open comment":    func(n int) (string, string) { return "a.html", "<!--" + strings.Repeat("<!--", n/4) },
	"script comments": func(n int) (string, string) { return "a.html", "<script>" + strings.Repeat("<!--<script>", n/12) },
	"foreign":         func(n int) (string, string) { return "a.html", strings.Repeat("<svg><title/>", n/13) },
	"references":      func(n int) (string, string) { return "a.html", `<a href="http:` + strings.Repeat("&amp", n/4) + `">` },
	"srcset": func(n int) (string, string) {
		return "a.html", `<img srcset="` + strings.Repeat("http:x (,", n/9) + `">`
	},
	"expressions":     func(n int) (string, string) { return "a.html", `<a href="http:x {{` + strings.Repeat("{{", n/2) + `">` },
	"srcdoc":          func(n int) (string, string) { return "a.html", strings.Repeat(`<iframe srcdoc="<a href=http:x>`, n/31) },
	"style":           func(n int) (string, string) { return "a.css", strings.Repeat(`url("http:x`, n/11) },
	"style brackets":  func(n int) (string, string) { return "a.css", strings.Repeat("@font-face{src:url(http:x", n/25) },
	"style strings":   func(n int) (string, string) { return "a.css", strings.Repeat(`"http:x" `, n/9) },
	"rest of tags":    func(n int) (string, string) { return "a.js", strings.Repeat(`x='" src="http://a';`, n/19) },
	"rest of a tag":   func(n int) (string, string) { return "a.js", "x='" + strings.Repeat(` src="http://a`, n/14) + "'" },
	"JSON in strings": func(n int) (string, string) { return "a.js", strings.Repeat(`x='{"a":"{http:';`, n/17) },
	"server code":     func(n int) (string, string) { return "a.php", "http:" + strings.Repeat("<%", n/2) },
	"server code 2": func(n int) (string, string) {
		return "a.php", strings.Repeat("<?'http:"+strings.Repeat("x", 90)+"'?>", n/101)
	},
	"data addresses": func(n int) (string, string) {
		return "a.html", strings.Repeat(`<iframe src="data:text/html,<a href=http:x">`, n/44)
	},
	"empty comments": func(n int) (string, string) { return "a.html", strings.Repeat(`<!-->`, n/5) },
	"JSON":           func(n int) (string, string) { return "a.json", strings.Repeat(`["http://a.example/",`, n/21) },
	"XML":            func(n int) (string, string) { return "a.xml", strings.Repeat(`<a b="http://a.example/">`, n/25) },
}

// TestHostile: a megabyte of each is read in memory that grows with the text. In quadratic
// time a megabyte would take minutes, and the test would run into its time limit.
func TestHostile(t *testing.T) {
	for name, build := range hostile {
		t.Run(name, func(t *testing.T) {
			cost := func(n int) uint64 {
				file, text := build(n)
				fsys := mapFS(map[string]string{file: text})
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				s, err := circlehttps.Site{FS: fsys}.Scan(context.Background())
				runtime.ReadMemStats(&after)
				require.NoError(t, err)
				for _, u := range s.Unread {
					require.NotContains(t, u.Problem, "defect")
				}
				return after.TotalAlloc - before.TotalAlloc
			}
			small, large := cost(1<<18), cost(1<<20)
			assert.Less(t, large, 8*small+1<<20)
		})
	}
}

var fuzzFiles = []string{"a.html", "a.js", "a.css", "a.jsx", "a.json", "a.xml", "a.svg", "a.scss", "robots.txt", "a.webmanifest", "xmpcfg.js", "xmpcustom.js", "a.php"}

func fileKind(name string) uint8 { return uint8(max(slices.Index(fuzzFiles, name), 0)) }

// FuzzFix: fixing leaves every text one in which nothing is left to fix, and adds or removes
// nothing but schemes and ports.
func FuzzFix(f *testing.F) {
	for name, text := range fixable {
		f.Add(fileKind("a"+filepath.Ext(name)), []byte(text))
	}
	f.Add(fileKind("a.php"), []byte(`<?php $x->y(); echo "<img src=' http://a.example:80/a.png' srcset='http://a.example/b.png 1x'>"; ?>`))
	f.Fuzz(func(t *testing.T, kind uint8, text []byte) {
		name := fuzzFiles[int(kind)%len(fuzzFiles)]
		files := map[string]string{name: string(text)}
		all := circlehttps.FixOptions{Verify: func(context.Context, string) error { return nil }}
		changes, err := circlehttps.Site{FS: mapFS(files)}.Fix(context.Background(), circlehttps.Project{}, all)
		require.NoError(t, err)
		var diff bytes.Buffer
		require.NoError(t, changes.Diff(&diff))
		if len(changes.Files) == 0 {
			require.Zero(t, diff.Len())
			return
		}
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
		require.NoError(t, changes.Apply(dir, t.TempDir()))
		fixed, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.NotEqual(t, text, fixed)
		require.Equal(t, bare(text), bare(fixed))
		again, err := circlehttps.Site{FS: os.DirFS(dir)}.Fix(context.Background(), circlehttps.Project{}, all)
		require.NoError(t, err)
		require.Empty(t, again.Files, "%q became %q", text, fixed)
	})
}

// bare drops what Fix may add or remove.
func bare(text []byte) string {
	return strings.NewReplacer("s", "", "S", "", "443", "", "80", "", ":", "").Replace(string(text))
}

// FuzzScan: whatever the text, no lexer fails, and every place lies in the file at an address.
func FuzzScan(f *testing.F) {
	for _, build := range hostile {
		file, text := build(200)
		f.Add(fileKind(file), []byte(text))
	}
	f.Add(fileKind("a.html"), []byte(`<img src="&#104;ttp&colon;//a.example/a.png"><svg><style/><p style='background:url(http://x)'>`))
	f.Add(fileKind("a.css"), []byte(`@import "http\3a//a"; a{b:url( 'http://a.example/' )}`))
	f.Fuzz(func(t *testing.T, kind uint8, text []byte) {
		name := fuzzFiles[int(kind)%len(fuzzFiles)]
		s, err := circlehttps.Site{FS: mapFS(map[string]string{name: string(text)})}.Scan(context.Background())
		require.NoError(t, err)
		for _, u := range s.Unread {
			require.NotContains(t, u.Problem, "defect")
		}
		lines := bytes.Split(text, []byte("\n"))
		for _, l := range s.Links {
			require.True(t, l.Source.Line >= 1 && l.Source.Line <= len(lines), l.Source)
			line := lines[l.Source.Line-1]
			if l.Source.Line == 1 {
				line = bytes.TrimPrefix(line, []byte("\ufeff"))
			}
			// Columns are characters, of UTF-8 or of a code page.
			characters := make([]rune, len(line))
			for i, c := range line {
				characters[i] = rune(c)
			}
			if utf8.Valid(text) {
				characters = []rune(string(line))
			}
			require.True(t, l.Source.Column >= 1 && l.Source.Column <= len(characters)+1, l.Source)
			// Written plainly, the address begins where the place says.
			if rest := characters[l.Source.Column-1:]; len(rest) > 0 && !strings.ContainsRune(`&\%`, rest[0]) {
				require.Contains(t, "hHwW", string(rest[:1]), "%s %q", l.Source, string(rest))
			}
		}
		for _, finding := range s.Judge(circlehttps.Project{}).Findings {
			require.NotContains(t, finding.Detail, "\n")
		}
	})
}
