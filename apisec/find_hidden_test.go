package apisec_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"hash/crc32"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/apisec"
)

// rawZip has one member whose packed bytes and sizes are given as they are.
func rawZip(t testing.TB, h *zip.FileHeader, packed string) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.CreateRaw(h)
	require.NoError(t, err)
	_, err = w.Write([]byte(packed))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	return strings.ReplaceAll(b.String(), "x|", "x/") // which the writer refuses
}

func deflated(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	require.NoError(t, err)
	_, err = w.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.String()
}

// TestHidden has secrets where archives are not what they claim to be, or hold more than they
// list. They are found, or the archive is not called read.
func TestHidden(t *testing.T) {
	inside := zipped(t, map[string]string{"x": strings.Repeat("compressible ", 100) + planted})
	contiguous := tarred(t, map[string]string{"x": planted})
	other := func(flag byte) string {
		b := []byte(contiguous)
		b[156] = flag
		copy(b[148:156], "        ")
		sum := 0
		for _, c := range b[:512] {
			sum += int(c)
		}
		copy(b[148:156], []byte{byte('0' + sum>>15&7), byte('0' + sum>>12&7), byte('0' + sum>>9&7), byte('0' + sum>>6&7), byte('0' + sum>>3&7), byte('0' + sum&7), 0, ' '})
		return string(b)
	}
	nothing := "nothing"
	crc := crc32.ChecksumIEEE([]byte(nothing))
	slack := deflated(t, nothing) + planted
	dir := deflated(t, "some text "+planted)
	comment := func(s string) string {
		b := []byte(s)
		binary.LittleEndian.PutUint16(b[len(b)-2:], 7)
		return string(b) + "comment"
	}
	stub := "MZ" + strings.Repeat("a program \x00", 40_000)
	tests := []struct {
		name, data string
		unread     apisec.Reason // empty: it is found
	}{
		{"setup.exe", stub + inside, ""},
		{"setup with a comment.exe", stub + comment(inside), ""},
		{"small.exe", "MZ" + inside, ""},
		{"boot.jar", "#!/bin/sh\nexec java -jar \"$0\"\n" + inside, ""},
		{"polyglot.gif", "GIF89a" + strings.Repeat("\x01", 300_000) + inside, ""},
		{"in.tar", tarred(t, map[string]string{"setup.exe": stub + inside}), apisec.Unopened},
		{"small in.tar", tarred(t, map[string]string{"setup.exe": "MZ" + inside}), ""},
		{"two.tar", tarred(t, map[string]string{"x": "nothing"}) + tarred(t, map[string]string{"y.gz": gzipped(t, planted)}), apisec.Unopened},
		{"contiguous.tar", other('7'), ""},
		{"odd type.tar", other('Q'), ""},
		{"slack.zip", rawZip(t, &zip.FileHeader{Name: "x", Method: zip.Deflate, CRC32: crc, CompressedSize64: uint64(len(slack)), UncompressedSize64: uint64(len(nothing))}, slack), apisec.Damaged},
		{"folder.zip", rawZip(t, &zip.FileHeader{Name: "x|", Method: zip.Store, CRC32: crc32.ChecksumIEEE([]byte(planted)), CompressedSize64: 40, UncompressedSize64: 40}, planted), apisec.Damaged},
		{"packed folder.zip", rawZip(t, &zip.FileHeader{Name: "x|", Method: zip.Deflate, CRC32: crc32.ChecksumIEEE([]byte("some text " + planted)), CompressedSize64: uint64(len(dir)), UncompressedSize64: 50}, dir), apisec.Damaged},
		{"two.zip", zipped(t, map[string]string{"y": "compressible compressible compressible"}) + zipped(t, map[string]string{"z": "nothing"}), apisec.Damaged},
		{"taken out.zip", func() string {
			one, two := zipped(t, map[string]string{"x": strings.Repeat("compressible ", 100) + planted}), zipped(t, map[string]string{"z": "nothing"})
			return one[:strings.Index(one, "PK\x01\x02")] + two
		}(), apisec.Damaged},
		{"two of a name.zip", func() string {
			var b bytes.Buffer
			z := zip.NewWriter(&b)
			for _, text := range []string{"nothing", strings.Repeat("compressible ", 100) + planted} {
				w, err := z.Create("x")
				require.NoError(t, err)
				_, err = w.Write([]byte(text))
				require.NoError(t, err)
			}
			require.NoError(t, z.Close())
			return b.String()
		}(), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := find(t, apisec.Finder{FS: fstest.MapFS{tt.name: file(tt.data)}})
			if tt.unread == "" {
				require.Len(t, e.Hits, 1)
				assert.Equal(t, "x", e.Hits[0].Member[strings.LastIndexByte(e.Hits[0].Member, '!')+1:])
				assert.Empty(t, e.Unread)
			} else {
				require.Len(t, e.Unread, 1)
				assert.Equal(t, tt.unread, e.Unread[0].Reason)
			}
		})
	}
}

// TestLongNames has a secret across the place at which a long name is cut.
func TestLongNames(t *testing.T) {
	for _, before := range []int{1024 - 39, 1024 - 20, 1024 - 1} {
		name := strings.Repeat("x", before) + planted
		var b bytes.Buffer
		z := tar.NewWriter(&b)
		require.NoError(t, z.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: 40, Format: tar.FormatPAX}))
		_, err := z.Write([]byte(planted))
		require.NoError(t, err)
		require.NoError(t, z.Close())
		e := find(t, apisec.Finder{FS: fstest.MapFS{"a.tar": file(b.String()), "b.zip": file(zipped(t, map[string]string{name: planted}))}})
		require.NotEmpty(t, e.Hits)
		for _, h := range e.Hits {
			assert.False(t, strings.Contains(h.Member, "x"+planted[:1]), "part of the secret")
		}
	}
}

// TestNameOverFolders has a secret with a slash, which makes two names of it.
func TestNameOverFolders(t *testing.T) {
	const value = "q7Zk+2w/9sLp0vRt"
	secrets := map[string]connsec.Secret{"s": connsec.NewSecret(value)}
	e := find(t, apisec.Finder{Secrets: secrets, FS: fstest.MapFS{"a/" + value + "/x": file("y")}})
	require.Len(t, e.Hits, 1)
	assert.True(t, e.Hits[0].InName)
	assert.NotContains(t, e.Hits[0].Path, "q7Zk")
}

func TestIrregular(t *testing.T) {
	e := find(t, apisec.Finder{FS: fstest.MapFS{"a": {Data: []byte(planted), Mode: fs.ModeIrregular}, "b": file("x")}})
	require.Len(t, e.Unread, 1)
	assert.Equal(t, apisec.Unreadable, e.Unread[0].Reason)
}

// TestTarget does not repeat a secret that stands in the name of the whole.
func TestTarget(t *testing.T) {
	e := find(t, apisec.Finder{Name: "/srv/" + planted, FS: fstest.MapFS{"a": file("x")}})
	assert.Equal(t, "/srv/REDACTED", e.Target)
}

// TestManyBackslashes has a secret that can be read in more ways than are followed.
func TestManyBackslashes(t *testing.T) {
	for _, value := range []string{strings.Repeat(`\`, 16) + "abcd1234", strings.Repeat(`'`, 20) + "abcd1234", `\\\\\\abc` + strings.Repeat(`\`, 12), strings.Repeat(`%`, 20) + "abcd1234", "a&amp;b&lt;c12345", "&amp;amp;amp;1"} {
		for _, text := range []string{value, strings.ReplaceAll(value, `\`, `\\`), strings.ReplaceAll(value, `\`, `\\\\`), strings.ReplaceAll(value, `'`, `''`), strings.ReplaceAll(value, `'`, `'\''`), strings.ReplaceAll(value, "%", "%25"), strings.ReplaceAll(value, "%", "%2525"), strings.ReplaceAll(value, "%", "%%"), strings.ReplaceAll(value, "&", "&amp;"), strings.ReplaceAll(value, "&", "&amp;amp;")} {
			e := find(t, apisec.Finder{Secrets: map[string]connsec.Secret{"s": connsec.NewSecret(value)}, FS: fstest.MapFS{"a": file("x = '" + text + "'\n")}})
			assert.NotEmpty(t, e.Hits, "%s as %s", value, text)
		}
	}
}

// TestOneInAnother has secrets that hold, touch and overlap each other.
func TestOneInAnother(t *testing.T) {
	secrets := map[string]connsec.Secret{
		"outer": connsec.NewSecret("abcdefgh12345678ijklmnop"), "inner": connsec.NewSecret("gh12345678ij"), "tail": connsec.NewSecret("ijklmnopqrst"),
		"periodic": connsec.NewSecret("xyz0xyz0xyz0"),
	}
	e := find(t, apisec.Finder{Secrets: secrets, FS: fstest.MapFS{"a": file("abcdefgh12345678ijklmnopqrst" + "xyz0xyz0xyz0xyz0xyz0xyz0")}})
	var got []string
	for _, h := range e.Hits {
		got = append(got, h.Secret)
		assert.Equal(t, 1, h.Line)
	}
	assert.Equal(t, []string{"outer", "inner", "tail", "periodic"}, got[:4])
	for _, n := range []int{1, 2, 3, 4, 5} {
		e := find(t, apisec.Finder{FS: fstest.MapFS{"a": file(strings.Repeat(planted, n))}})
		assert.Len(t, e.Hits, n)
	}
}

// TestEndless has small files of repositories that do not end.
func TestEndless(t *testing.T) {
	files := fstest.MapFS{".git": file("gitdir: x"), "b/HEAD": file("x"), "b/config": file("x"), "b/shallow": file("x"), "b/refs/x": file("x"), "b/objects/x": file("x")}
	for _, name := range []string{".git", "b/config", "b/shallow"} {
		e := find(t, apisec.Finder{FS: endless{files, name}, Dir: t.TempDir(), MaxFile: 1 << 20})
		require.NotEmpty(t, e.Unread)
	}
}

type endless struct {
	fs.FS
	name string
}

func (e endless) Open(name string) (fs.File, error) {
	f, err := e.FS.Open(name)
	if name == e.name {
		return endlessFile{f}, err
	}
	return f, err
}

type endlessFile struct{ fs.File }

func (endlessFile) Read(p []byte) (int, error) { return len(p), nil }
