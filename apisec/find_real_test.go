package apisec_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/apisec"
	"github.com/connsec/connsec/internal/realsrv"
)

// TestPlanted has Python and other programs plant secrets in every encoding and container, and
// wants every one found, where it was planted, and nothing else.
func TestPlanted(t *testing.T) {
	python := realsrv.Need(t, "python3")
	realsrv.Need(t, "tar")
	realsrv.Need(t, "gzip")
	values := map[string]string{
		"hex":   "3f8a1c0d9be24576a1f0c3d2e5b49708fe6d1a2c",
		"short": "q7/Zk+2w",
		"signs": "aB3$x/Y+z=&\"'<>%\\~9k|{}`^;:,Q",
		"words": "correct horse battery staple",
		"euro":  "pässwörd€für😀Ümläute",
		"latin": "Grüße-aus-Köln-2024",
	}
	secrets := map[string]connsec.Secret{}
	for name, v := range values {
		secrets[name] = connsec.NewSecret(v)
	}
	input, err := json.Marshal(values)
	require.NoError(t, err)
	dir := t.TempDir()
	cmd := exec.Command(python, "testdata/plant.py", dir)
	cmd.Stdin, cmd.Stderr = strings.NewReader(string(input)), os.Stderr
	output, err := cmd.Output()
	require.NoError(t, err)
	var planted []struct {
		Path, Member, Secret, Encoding string
		Low, High                      int64
	}
	require.NoError(t, json.Unmarshal(output, &planted))
	require.Greater(t, len(planted), 4000)

	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	defer root.Close()
	e, err := apisec.Find(t.Context(), apisec.Folder(root), secrets)
	require.NoError(t, err)
	assert.Empty(t, e.Unread)

	type where struct{ path, member, secret string }
	hits := map[where][]apisec.Hit{}
	for _, h := range e.Hits {
		at := where{h.Path, h.Member, h.Secret}
		hits[at] = append(hits[at], h)
	}
	missed := map[string]int{}
	for _, p := range planted {
		at := where{p.Path, p.Member, p.Secret}
		if len(hits[at]) == 0 {
			missed[p.Secret+" "+p.Encoding]++
			continue
		}
		if assert.Len(t, hits[at], 1, "%v", at) {
			h := hits[at][0]
			if strings.HasSuffix(p.Encoding, "odd") {
				p.Low-- // ASCII in UTF-16 reads the same in both orders, a byte apart
			}
			assert.True(t, p.Low <= h.Offset && h.Offset < p.High, "%v %s: at %d of %d to %d", at, h.Form, h.Offset, p.Low, p.High)
		}
		delete(hits, at)
	}
	assert.Empty(t, missed, "missed, in how many containers")
	assert.Empty(t, hits, "found where nothing was planted")
}

// TestDumps has programs dump secrets, which begin anywhere in a line.
func TestDumps(t *testing.T) {
	xxd, hexdump, od := realsrv.Need(t, "xxd"), realsrv.Need(t, "hexdump"), realsrv.Need(t, "od")
	dumps := map[string][]string{
		"xxd": {xxd}, "xxd -u": {xxd, "-u"}, "xxd -g1": {xxd, "-g1"}, "xxd -c32": {xxd, "-c32"}, "xxd -i": {xxd, "-i"}, "xxd -p": {xxd, "-p"},
		"hexdump -C": {hexdump, "-C"}, "od -t x1": {od, "-t", "x1"}, "od -A x -t x1z": {od, "-A", "x", "-t", "x1z"},
	}
	values := map[string]string{"hex": planted, "short": "q7/Zk+2w", "signs": "aB3$x/Y+z=&\"'<>%\\~9k|{}`^;:,Q", "words": "correct horse battery staple", "long": strings.Repeat("Lorem-1psum;", 12)}
	secrets := map[string]connsec.Secret{}
	files := fstest.MapFS{}
	for name, value := range values {
		secrets[name] = connsec.NewSecret(value)
		for dump, argv := range dumps {
			for before := range 17 {
				cmd := exec.Command(argv[0], argv[1:]...)
				cmd.Stdin = strings.NewReader(strings.Repeat("x", before) + value + "\nand more text, as it may stand behind")
				out, err := cmd.Output()
				require.NoError(t, err, dump)
				files[fmt.Sprintf("%s %s %d", name, dump, before)] = &fstest.MapFile{Data: out}
			}
		}
	}
	e, err := apisec.Find(t.Context(), files, secrets)
	require.NoError(t, err)
	for _, h := range e.Hits {
		secret, _, _ := strings.Cut(h.Path, " ")
		assert.Equal(t, secret, h.Secret, h.Path)
		if strings.HasPrefix(h.Form, "hex") { // and not in the text beside, where a short one may stand as it is
			delete(files, h.Path)
		}
	}
	assert.Empty(t, slices.Sorted(maps.Keys(files)), "what was missed")
}
