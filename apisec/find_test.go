package apisec_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/apisec"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/report"
)

const planted = "3f8a1c0d9be24576a1f0c3d2e5b49708fe6d1a2c"

var central = map[string]connsec.Secret{"central": connsec.NewSecret(planted)}

func at(year int) func() time.Time {
	return func() time.Time { return time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC) }
}

func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }

func zipped(t testing.TB, members map[string]string, change ...func(*zip.FileHeader)) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, text := range members {
		h := &zip.FileHeader{Name: name, Method: zip.Deflate}
		for _, c := range change {
			c(h)
		}
		w, err := z.CreateHeader(h)
		require.NoError(t, err)
		_, err = w.Write([]byte(text))
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	return b.String()
}

func gzipped(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	return b.String()
}

func tarred(t testing.TB, members map[string]string) string {
	t.Helper()
	var b bytes.Buffer
	z := tar.NewWriter(&b)
	for name, text := range members {
		require.NoError(t, z.WriteHeader(&tar.Header{Name: name, Size: int64(len(text)), Mode: 0o600}))
		_, err := z.Write([]byte(text))
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	return b.String()
}

func find(t testing.TB, f apisec.Finder) apisec.Exposure {
	t.Helper()
	if f.Secrets == nil && !f.Patterns {
		f.Secrets = central
	}
	e, err := f.Find(t.Context())
	require.NoError(t, err)
	data, err := json.Marshal(e)
	require.NoError(t, err)
	for _, s := range f.Secrets {
		assert.NotContains(t, string(data), s.Reveal())
	}
	var back apisec.Exposure
	require.NoError(t, json.Unmarshal(data, &back))
	assert.Equal(t, e.Judge().Findings, back.Judge().Findings, "facts do not survive JSON")
	return e
}

func TestFind(t *testing.T) {
	basic := base64.StdEncoding.EncodeToString([]byte("id:" + planted))
	tests := []struct {
		name string
		fs   fstest.MapFS
		want []apisec.Hit // without fingerprint
	}{
		{"configuration", fstest.MapFS{"etc/app.ini": file("[api]\nid = 1\nclient_secret = " + planted + "\n")}, []apisec.Hit{{Path: "etc/app.ini", Form: "verbatim", Line: 3, Column: 17, Offset: 29}}},
		{"twice in a line", fstest.MapFS{"log": file(planted + " " + planted)}, []apisec.Hit{{Path: "log", Form: "verbatim", Line: 1, Column: 1}, {Path: "log", Form: "verbatim", Line: 1, Column: 42, Offset: 41}}},
		{"shell history", fstest.MapFS{".bash_history": file("ls\ncurl -H 'Authorization: Basic " + basic + "' https://central.corp.example\n")}, []apisec.Hit{{Path: ".bash_history", Form: "base64", Line: 2, Column: 35, Offset: 37}}},
		{"tar.gz", fstest.MapFS{"b.tar.gz": file(gzipped(t, tarred(t, map[string]string{"etc/x": "\n  " + planted})))}, []apisec.Hit{{Path: "b.tar.gz", Member: "etc/x", Form: "verbatim", Line: 2, Column: 3, Offset: 3}}},
		{"zip", fstest.MapFS{"b.zip": file(zipped(t, map[string]string{"x": planted}))}, []apisec.Hit{{Path: "b.zip", Member: "x", Form: "verbatim", Line: 1, Column: 1}}},
		{"binary", fstest.MapFS{"a.exe": file("MZ\x00\x00\n\n" + planted + "\x00")}, []apisec.Hit{{Path: "a.exe", Form: "verbatim", Offset: 6}}},
		{"UTF-16", fstest.MapFS{"a.txt": file("\xff\xfea\x00\n\x00" + strings.Join(strings.Split(planted, ""), "\x00") + "\x00")}, []apisec.Hit{{Path: "a.txt", Form: "UTF-16LE", Line: 2, Column: 1, Offset: 6}}},
		{"behind other letters", fstest.MapFS{"a": file("\ufeff# Größe\nnaïve 😀=" + planted)}, []apisec.Hit{{Path: "a", Form: "verbatim", Line: 2, Column: 9, Offset: 25}}},
		{"UTF-16 in a program", fstest.MapFS{"a.exe": file("MZ\n\x00" + strings.Join(strings.Split(planted, ""), "\x00") + "\x00")}, []apisec.Hit{{Path: "a.exe", Form: "UTF-16LE", Offset: 4}}},
		{"other case", fstest.MapFS{"a": file(strings.ToUpper(planted))}, []apisec.Hit{{Path: "a", Form: "verbatim, in the other case", Line: 1, Column: 1}}},
		{"all but the last", fstest.MapFS{"a": file(planted[:39])}, nil},
		{"nothing", fstest.MapFS{"a": file("nothing")}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := find(t, apisec.Finder{FS: tt.fs, Now: at(2026)})
			assert.Empty(t, e.Unread)
			var got []apisec.Hit
			for _, h := range e.Hits {
				assert.Len(t, h.Fingerprint, 16)
				assert.Equal(t, "central", h.Secret)
				h.Fingerprint, h.Secret = "", ""
				got = append(got, h)
			}
			assert.Equal(t, tt.want, got)
			if len(tt.want) > 0 {
				ruletest.ExpectFailed(t, e.Judge(), apisec.RuleExposed)
			} else {
				ruletest.Expect(t, e.Judge(), connsec.Pass, apisec.RuleExposed)
			}
		})
	}
}

// TestNames has secrets in what things are called, which no report may repeat.
func TestNames(t *testing.T) {
	e := find(t, apisec.Finder{FS: fstest.MapFS{
		"a-" + planted + "/b.txt": file("nothing"),
		"c.tgz":                   file(gzipped(t, tarred(t, map[string]string{"x/" + planted + ".log": planted}))),
		"d":                       {Data: []byte("x/" + planted), Mode: fs.ModeSymlink},
	}})
	var got []string
	for _, h := range e.Hits {
		got = append(got, fmt.Sprint(h.Path, " ", h.Member, " ", h.InName))
	}
	assert.Equal(t, []string{
		"a-REDACTED  true", "c.tgz x/REDACTED.log true", "c.tgz x/REDACTED.log false", "d  true",
	}, got)
}

// TestReports looks for the secret in everything that is written about it.
func TestReports(t *testing.T) {
	e := find(t, apisec.Finder{Name: "/srv/" + "tree", Patterns: true, Secrets: central, FS: fstest.MapFS{
		planted: file("client_secret=" + planted), "b.zip": file(zipped(t, map[string]string{planted: planted})),
		"c.txt": file(base64.StdEncoding.EncodeToString([]byte(planted))), "pattern": file("client_secret: 91cf03aa7d5e28b4910cfd3ea7628b5ec41f09d2"),
	}})
	for _, format := range report.Formats() {
		var b bytes.Buffer
		require.NoError(t, report.Write(&b, format, []connsec.Report{e.Judge()}, report.Options{Verbose: true}))
		for _, text := range []string{planted, base64.StdEncoding.EncodeToString([]byte(planted)), "91cf03aa7d5e28b4910cfd3ea7628b5ec41f09d2"} {
			assert.NotContains(t, b.String(), text, "%v", format)
		}
	}
}

// TestUnread has what cannot be looked into. None of it is a pass.
func TestUnread(t *testing.T) {
	bomb := gzipped(t, strings.Repeat("\x00", 4<<20))
	deep := "nothing"
	for range 8 {
		deep = zipped(t, map[string]string{"a.zip": deep})
	}
	gz := gzipped(t, strings.Repeat("some text ", 1000))
	tests := []struct {
		name   string
		finder apisec.Finder
		data   string
		want   apisec.Reason
		member string
	}{
		{name: "a.zip", data: zipped(t, map[string]string{"x": "y"}, func(h *zip.FileHeader) { h.Flags |= 1 }), want: apisec.Encrypted, member: "x"},
		{name: "a.7z", data: "7z\xbc\xaf\x27\x1c....", want: apisec.Unopened},
		{name: "a.xz", data: "\xfd7zXZ\x00....", want: apisec.Unopened},
		{name: "a.docx", data: "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + strings.Repeat("\x00", 1000) + strings.Join(strings.Split("EncryptedPackage", ""), "\x00") + "\x00", want: apisec.Encrypted},
		{name: "a.yml", data: "$ANSIBLE_VAULT;1.1;AES256\n3131", want: apisec.Encrypted},
		{name: "a.age", data: "age-encryption.org/v1\n....", want: apisec.Encrypted},
		{name: "a.pdf", data: "%PDF-1.7", want: apisec.Unopened},
		{name: "a.deb", data: "!<arch>\ndebian-binary   1", want: apisec.Unopened},
		{name: "a.txt", data: "\xff\xfe\x00\x003\x00\x00\x00f\x00\x00\x00", want: apisec.Unopened},
		{name: "b.txt", data: "\x00\x00\xfe\xff\x00\x00\x003\x00\x00\x00f", want: apisec.Unopened},
		{name: "app.js.br", data: "x", want: apisec.Unopened},
		{name: "a.gz", data: gz[:len(gz)-20], want: apisec.Damaged, member: "a"},
		{name: "b.gz", data: "\x1f\x8b\x08garbage........", want: apisec.Damaged},
		{name: "c.gz", data: gz + "garbage", want: apisec.Damaged, member: "c"},
		{name: "a.zip", data: zipped(t, map[string]string{"x": "y"})[:30], want: apisec.Damaged},
		{name: "a.tar", data: tarred(t, map[string]string{"x": "yyyy"})[:514], want: apisec.Damaged, member: "x"},
		{name: "deep.zip", data: deep, want: apisec.TooDeep, member: strings.Repeat("a.zip!", 5) + "a.zip"},
		{name: "bomb.gz", finder: apisec.Finder{MaxExpanded: 1 << 20}, data: bomb, want: apisec.TooLarge, member: "bomb"},
		{name: "bomb.zip", finder: apisec.Finder{MaxExpanded: 1 << 20}, data: zipped(t, map[string]string{"x": strings.Repeat("x", 2<<20)}), want: apisec.TooLarge, member: "x"},
		{name: "large", finder: apisec.Finder{MaxFile: 1 << 20}, data: strings.Repeat("x", 1<<20+1), want: apisec.TooLarge},
		{name: "a.zip.gz", finder: apisec.Finder{MaxNested: 1000}, data: gzipped(t, zipped(t, map[string]string{"x": strings.Repeat("x", 2000)}, func(h *zip.FileHeader) { h.Method = zip.Store })), want: apisec.TooLarge, member: "a.zip"},
		{name: ".git", data: "gitdir: /elsewhere/.git/worktrees/x\n", want: apisec.Elsewhere},
		{name: "repository/objects/ab/x", data: "", want: apisec.NoHistory},
	}
	for _, tt := range tests {
		t.Run(tt.name+" "+string(tt.want), func(t *testing.T) {
			f := tt.finder
			f.FS = fstest.MapFS{tt.name: file(tt.data), "repository/HEAD": file("ref: refs/heads/main\n"), "repository/refs/heads/main": file("")}
			e := find(t, f)
			require.NotEmpty(t, e.Unread)
			var got []apisec.Unread
			for _, u := range e.Unread {
				assert.NotEmpty(t, u.Detail)
				got = append(got, apisec.Unread{Member: u.Member, Reason: u.Reason})
			}
			assert.Contains(t, got, apisec.Unread{Member: tt.member, Reason: tt.want})
			ruletest.Expect(t, e.Judge(), connsec.Inconclusive, apisec.RuleExposed)
		})
	}
}

// TestDamagedStillSearched finds what comes before the damage, and what stands there as it is.
func TestDamagedStillSearched(t *testing.T) {
	text := planted + "\n" + strings.Repeat("some text ", 1000)
	gz := gzipped(t, text)
	other := gzipped(t, "nothing")
	whole := tarred(t, map[string]string{"x": "y"})
	header := whole[:512]
	// The format of Version 7 of Unix leaves the second half of its header free.
	old := []byte(header[:257] + strings.Repeat("\x00", 100) + planted)
	old = append(old, make([]byte, 512-len(old))...)
	copy(old[148:156], "        ")
	sum := 0
	for _, c := range old {
		sum += int(c)
	}
	copy(old[148:], fmt.Sprintf("%06o\x00 ", sum))
	v7 := string(old) + whole[512:]
	var extra bytes.Buffer
	z := gzip.NewWriter(&extra)
	z.Extra = []byte(planted)
	require.NoError(t, z.Close())
	e := find(t, apisec.Finder{FS: fstest.MapFS{
		"a.gz": file(gz[:len(gz)-20]), "b.tar": file(tarred(t, map[string]string{"x": text})[:2000]), "c.zip": file(zipped(t, map[string]string{planted: "y"})[:90]),
		"d.tar": file(whole + planted), "e.tar": file(header[:100] + "no mode" + header[107:500] + planted), "f.tar": file(v7),
		"g.gz": file(other + planted), "h.gz": file("\x1f\x8b\x08no gzip" + planted), "i.bz2": file("BZh91AY&SY" + planted), "j.gz": file(extra.String()),
		"k.tar": file(whole[:600] + planted + whole[600+len(planted):]),
	}})
	paths, offsets := []string{}, map[string]int64{}
	for _, h := range e.Hits {
		paths = append(paths, h.Path)
		offsets[h.Path] = h.Offset
	}
	assert.Equal(t, []string{"a.gz", "b.tar", "c.zip", "d.tar", "e.tar", "f.tar", "g.gz", "h.gz", "i.bz2", "j.gz", "k.tar"}, paths)
	assert.EqualValues(t, len(whole), offsets["d.tar"])
	assert.EqualValues(t, 500, offsets["e.tar"])
	assert.EqualValues(t, len(other), offsets["g.gz"])
}

// TestPaddingOfTar finds what stands in the padding, wherever the archive is, and the rest once.
func TestPaddingOfTar(t *testing.T) {
	pack := func(members ...string) string { // one with each text, in this order
		var b strings.Builder
		for i, text := range members {
			one := tarred(t, map[string]string{fmt.Sprintf("m%d", i): text})
			b.WriteString(one[:len(one)-1024])
		}
		return b.String() + strings.Repeat("\x00", 1024)
	}
	at := func(e apisec.Exposure) (out []string) {
		for _, h := range e.Hits {
			out = append(out, fmt.Sprintf("%s %s %d", h.Path, h.Member, h.Offset))
		}
		return out
	}
	clean := pack("x"+planted, "y")
	dirty := clean[:600] + planted + clean[600+len(planted):]
	e := find(t, apisec.Finder{FS: fstest.MapFS{"a.tar": file(dirty), "b.tgz": file(gzipped(t, dirty))}})
	assert.Equal(t, []string{"a.tar  600", "a.tar m0 1", "b.tgz b.tar 600", "b.tgz m0 1"}, at(e))
	assert.Empty(t, e.Unread)

	// It may begin in the data.
	begins := pack("x"+planted[:10], "y")
	e = find(t, apisec.Finder{FS: fstest.MapFS{"a.tar": file(begins[:523] + planted[10:] + begins[513+len(planted):])}})
	assert.Equal(t, []string{"a.tar  513"}, at(e))

	// What is left of a member that cannot be unpacked is no padding.
	e = find(t, apisec.Finder{FS: fstest.MapFS{"a.tar": file(pack("\x1f\x8b\x08\xe0"+strings.Repeat("no gzip ", 1<<18), planted))}})
	assert.Equal(t, []string{"a.tar m1 0"}, at(e))
	require.Len(t, e.Unread, 1)
	assert.Equal(t, "m0!content", e.Unread[0].Member)
}

// TestTree has what a file system may hold beside files.
func TestTree(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(t.TempDir(), "outside")
	require.NoError(t, os.WriteFile(outside, []byte(planted), 0o600))
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "sub/deeper"), 0o700))
	require.NoError(t, os.Symlink(outside, filepath.Join(dir, "out")))
	require.NoError(t, os.Symlink("../..", filepath.Join(dir, "sub/deeper/loop")))
	require.NoError(t, os.Symlink("nowhere", filepath.Join(dir, "dangling")))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "sub/file"), []byte("x"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "sub/left.log"), []byte(planted), 0o600))
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	defer root.Close()
	e := find(t, apisec.Finder{FS: root.FS(), Exclude: []string{"*.log"}})
	assert.Empty(t, e.Hits)
	assert.Equal(t, []int{1, 3, 1}, []int{e.Files, e.Links, e.Excluded})
	findings := e.Judge().Of(apisec.RuleExposed)
	require.Len(t, findings, 1)
	assert.Equal(t, "it stands nowhere among 1 file, 1 bytes; 3 symbolic links were not followed; 1 left out on request", findings[0].Detail)
	assert.Equal(t, connsec.Pass, findings[0].Outcome)
	e = find(t, apisec.Finder{FS: root.FS(), Exclude: []string{"sub"}})
	assert.Equal(t, connsec.Inconclusive, e.Judge().Findings[0].Outcome, "no file was read")
}

// refusing is a file system that refuses some of it.
type refusing struct{ fstest.MapFS }

func (r refusing) Open(name string) (fs.File, error) {
	if strings.HasSuffix(name, "closed") {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return r.MapFS.Open(name)
}

func (r refusing) ReadDir(name string) ([]fs.DirEntry, error) {
	if strings.HasSuffix(name, "closed") {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return r.MapFS.ReadDir(name)
}

func TestRefused(t *testing.T) {
	e := find(t, apisec.Finder{FS: refusing{fstest.MapFS{"file-closed": file(planted), "dir-closed/x": file(planted), "open": file("x")}}})
	assert.Equal(t, []apisec.Unread{
		{Path: "dir-closed", Reason: apisec.Unreadable, Detail: "the folder cannot be read: permission denied"},
		{Path: "file-closed", Reason: apisec.Unreadable, Detail: "it cannot be opened: permission denied"},
	}, e.Unread)
	ruletest.Expect(t, e.Judge(), connsec.Inconclusive, apisec.RuleExposed)
}

func TestDeclared(t *testing.T) {
	files := fstest.MapFS{"etc/secret": file(planted + "\n"), "etc/secret.bak": file("x")}
	f := apisec.Finder{FS: files, Declared: map[string][]string{"central": {"etc/secret"}}}
	e := find(t, f)
	ruletest.Expect(t, e.Judge(), connsec.Pass, apisec.RuleExposed)
	assert.Contains(t, e.Judge().Findings[0].Detail, "only where it is declared to, in etc/secret")
	files["etc/secret.bak"] = file(planted)
	files["etc/secret.gz"] = file(gzipped(t, planted))
	r := find(t, f).Judge()
	ruletest.ExpectFailed(t, r, apisec.RuleExposed)
	assert.Len(t, r.Findings, 2)
	assert.Equal(t, "central in etc/secret.bak", r.Findings[0].Subject)
	assert.Equal(t, &connsec.Position{File: "etc/secret.bak", Line: 1, Column: 1}, r.Findings[0].Source)
	assert.Equal(t, &connsec.Position{File: "etc/secret.gz"}, r.Findings[1].Source)
}

func TestMany(t *testing.T) {
	files := fstest.MapFS{"a": file(strings.Repeat(planted+"\n", 250)), "b": file(strings.Repeat(planted+"\n", 250))}
	e := find(t, apisec.Finder{FS: files})
	assert.Len(t, e.Hits, 500)
	r := e.Judge()
	require.Len(t, r.Findings, 101)
	assert.Equal(t, "and 400 more places in a, b", r.Findings[100].Detail)
	e = find(t, apisec.Finder{FS: files, MaxHits: 10})
	assert.Equal(t, []int{10, 490}, []int{len(e.Hits), e.MoreHits})
	// A second secret, of which nothing may be said when hits were left out.
	e = find(t, apisec.Finder{FS: files, MaxHits: 10, Secrets: map[string]connsec.Secret{"central": central["central"], "other": connsec.NewSecret("d9w8s7a6f5g4h3j2")}})
	assert.Equal(t, connsec.Inconclusive, e.Judge().Findings[len(e.Judge().Findings)-1].Outcome)
}

func TestFingerprint(t *testing.T) {
	files := fstest.MapFS{"a": file(planted + " " + base64.StdEncoding.EncodeToString([]byte(planted)))}
	key := connsec.NewSecret("a key for comparing")
	one, two := find(t, apisec.Finder{FS: files, Key: key}), find(t, apisec.Finder{FS: files, Key: key})
	assert.Equal(t, one.Hits, two.Hits)
	assert.Equal(t, one.Hits[0].Fingerprint, one.Hits[1].Fingerprint)
	assert.Equal(t, one.Hits[0].Fingerprint, one.Secrets[0].Fingerprint)
	// openssl: printf %s 3f8a… | openssl dgst -sha256 -hmac 'a key for comparing'
	assert.Equal(t, "0fe796740d0d6d73", one.Hits[0].Fingerprint)
	random := find(t, apisec.Finder{FS: files})
	assert.NotEqual(t, one.Hits[0].Fingerprint, random.Hits[0].Fingerprint)
}

func TestRefusedSettings(t *testing.T) {
	files := fstest.MapFS{"a": file("x")}
	secret := func(v string) map[string]connsec.Secret {
		return map[string]connsec.Secret{"s": connsec.NewSecret(v)}
	}
	tests := []struct {
		name   string
		finder apisec.Finder
		want   string
	}{
		{"no files", apisec.Finder{Secrets: central}, "set FS"},
		{"nothing", apisec.Finder{FS: files}, "nothing to look for"},
		{"empty", apisec.Finder{FS: files, Secrets: secret("")}, "s is empty"},
		{"short", apisec.Finder{FS: files, Secrets: secret("sh0rt!x")}, "fewer than 8 bytes"},
		{"dull", apisec.Finder{FS: files, Secrets: secret("0000000000011111")}, "different characters"},
		{"long", apisec.Finder{FS: files, Secrets: secret(strings.Repeat("abcdefgh", 1025))}, "more than 8192 bytes"},
		{"key", apisec.Finder{FS: files, Secrets: central, Key: connsec.NewSecret("sh0rt")}, "fewer than 16 bytes"},
		{"declared", apisec.Finder{FS: files, Secrets: central, Declared: map[string][]string{"centrl": nil}}, "not among the secrets"},
		{"exclude", apisec.Finder{FS: files, Secrets: central, Exclude: []string{"["}}, "not a pattern"},
		{"no folder", apisec.Finder{FS: os.DirFS("/does/not/exist"), Secrets: central}, "cannot read the folder"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.finder.Find(t.Context())
			require.ErrorContains(t, err, tt.want)
			assert.NotContains(t, err.Error(), "sh0rt")
		})
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := apisec.Finder{FS: fstest.MapFS{"a": file("x"), "b": file(strings.Repeat("x", 1<<20))}, Secrets: central, Progress: func(int, int64) { cancel() }}
	_, err := f.Find(ctx)
	require.ErrorIs(t, err, context.Canceled)

	// A deadline keeps what was found, whatever its cause is called.
	for _, cause := range []error{nil, errors.New("enough")} {
		late, stop := context.WithDeadlineCause(t.Context(), time.Unix(0, 0), cause)
		defer stop()
		e, err := apisec.Finder{FS: fstest.MapFS{"a": file("x")}, Secrets: central}.Find(late)
		require.NoError(t, err)
		require.Len(t, e.Unread, 1)
		assert.Equal(t, apisec.OutOfTime, e.Unread[0].Reason)
		ruletest.Expect(t, e.Judge(), connsec.Inconclusive, apisec.RuleExposed)
	}
}

// TestProgress tells of one long file while it is read, and counts each byte once.
func TestProgress(t *testing.T) {
	var steps []int64
	size := 150 << 20
	e := find(t, apisec.Finder{FS: fstest.MapFS{"a": {Data: make([]byte, size)}, "b": file("xyz")}, Progress: func(_ int, bytes int64) { steps = append(steps, bytes) }})
	assert.GreaterOrEqual(t, len(steps), 4)
	assert.IsNonDecreasing(t, steps)
	assert.EqualValues(t, size+3, e.Bytes)
}

func TestPatternFindings(t *testing.T) {
	e := find(t, apisec.Finder{FS: fstest.MapFS{"a.json": file("{\n \"client_secret\": \"91cf03aa7d5e28b4910cfd3ea7628b5ec41f09d2\"}")}, Patterns: true})
	ruletest.ExpectFailed(t, e.Judge(), apisec.RulePattern)
	assert.Equal(t, &connsec.Position{File: "a.json", Line: 2, Column: 20}, e.Judge().Findings[0].Source)
	e = find(t, apisec.Finder{FS: fstest.MapFS{"a.json": file(`{"client_secret": "${SECRET}"}`)}, Patterns: true})
	ruletest.Expect(t, e.Judge(), connsec.Pass, apisec.RulePattern)
	// What is known is not reported as a guess, too.
	e = find(t, apisec.Finder{FS: fstest.MapFS{"a.json": file(`{"client_secret": "` + planted + `"}`)}, Patterns: true, Secrets: central})
	ruletest.ExpectFailed(t, e.Judge(), apisec.RuleExposed)
}
