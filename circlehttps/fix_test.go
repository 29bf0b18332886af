package circlehttps_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec/circlehttps"
	"github.com/connsec/connsec/internal/realsrv"
)

// fixable is a site in which some places may be rewritten and others may not.
var fixable = map[string]string{
	"xmpcfg.js": circleWrites,
	"index.html": "<!DOCTYPE html>\r\n<html><head>\r\n<!-- <script src=\"http://marketing.example.com/old.js\"></script> -->\r\n" +
		"<script src=\"http://marketing.example.com/a.js\"></script>\r\n<script src=\"http://other.example/b.js\"></script>\r\n" +
		"<script src=\"http://cdn.example/c.js\"></script>\r\n<script src=\"http://marketing.example.com:80/d.js\"></script>\r\n" +
		"<script src=\"http://marketing.example.com:8080/e.js\"></script>\r\n</head><body>\r\n<p>http://marketing.example.com/text</p>\r\n" +
		"<a href=\"http://{{xmp.r['Host']}}/x\">a</a><img src=\"HTTP://marketing.example.com/a.png\">\r\n" +
		"<p onclick=\"location=&#39;http://marketing.example.com/&#39;\">\r\n</body></html>\r\n",
	"js/a.js":        "fetch('http:\\/\\/marketing.example.com\\/x'); fetch('http:' + '//marketing.example.com/y'); new WebSocket('ws://marketing.example.com/s');\nfetch('http://' + h)",
	"css/a.css":      "a { background: url(http\\3a //marketing.example.com/a.png) }\n/* http://marketing.example.com/ */\n",
	"pinned.js":      "fetch('http://marketing.example.com/pinned')",
	"pinned.html":    `<html><script src="pinned.js" integrity="sha384-x"></script></html>`,
	"policy.html":    `<html><meta http-equiv="Content-Security-Policy" content="script-src 'sha256-x'"><script>fetch('http://marketing.example.com/z')</script></html>`,
	"xmpcustom.js":   "var xmpcustom = {\n\tloginUrl: 'http://marketing.example.com/spring/login.html'\n}",
	"untouched.html": `<html><a href="https://marketing.example.com/">x</a></html>`,
}

func writeSite(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o640))
	}
	return dir
}

func readSite(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	require.NoError(t, fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			text, _ := os.ReadFile(filepath.Join(dir, name))
			files[name] = string(text)
		}
		return err
	}))
	return files
}

// fixed is what has to come out, with cdn.example verified.
func fixed() map[string]string {
	want := map[string]string{}
	for name, text := range fixable {
		want[name] = text
	}
	replace := func(name string, pairs ...string) { want[name] = strings.NewReplacer(pairs...).Replace(want[name]) }
	replace("xmpcfg.js", "'http:", "'https:")
	replace("index.html", `src="http://marketing.example.com/a.js`, `src="https://marketing.example.com/a.js`, "http://cdn", "https://cdn",
		"http://marketing.example.com:80/", "https://marketing.example.com/", "HTTP:", "HTTPS:", "&#39;http:", "&#39;https:")
	replace("js/a.js", `'http:\`, `'https:\`, `'http:'`, `'https:'`, "ws:", "wss:")
	replace("css/a.css", `http\3a`, `https\3a`)
	replace("xmpcustom.js", "http:", "https:")
	return want
}

func verifyCDN(_ context.Context, host string) error {
	if host == "cdn.example" {
		return nil
	}
	return errors.New("connection refused")
}

func TestFix(t *testing.T) {
	ctx := context.Background()
	dir, keep := writeSite(t, fixable), filepath.Join(t.TempDir(), "a", "originals")
	site := circlehttps.Site{FS: os.DirFS(dir)}
	changes, err := site.Fix(ctx, circlehttps.Project{}, circlehttps.FixOptions{Verify: verifyCDN})
	require.NoError(t, err)

	var left []string
	for _, l := range changes.Left {
		left = append(left, l.Source.String()+" "+l.Reason)
	}
	assert.Equal(t, []string{
		"index.html:5:14 the host was not reached over HTTPS: connection refused",
		"index.html:8:14 the address names port 8080, and which port speaks HTTPS is not known",
		"index.html:11:10 the host is computed when the page runs",
		"js/a.js:2:8 the host is computed when the page runs",
		"pinned.js:1:8 a page loads this file with an integrity hash, which the change would break",
		"policy.html:1:97 the page lists a hash of this script or style, which the change would break",
	}, left)

	var diff bytes.Buffer
	require.NoError(t, changes.Diff(&diff))
	assert.Equal(t, fixable, readSite(t, dir), "a diff changes nothing")

	require.NoError(t, changes.Apply(dir, keep))
	assert.Equal(t, fixed(), readSite(t, dir))
	info, err := os.Stat(filepath.Join(dir, "index.html"))
	require.NoError(t, err)
	assert.Equal(t, fs.FileMode(0o640), info.Mode().Perm(), "the mode is kept")

	kept := readSite(t, keep)
	assert.Len(t, kept, len(changes.Files))
	for name, text := range kept {
		assert.Equal(t, fixable[name], text, name)
	}

	t.Run("a second run changes nothing", func(t *testing.T) {
		again, err := site.Fix(ctx, circlehttps.Project{}, circlehttps.FixOptions{Verify: verifyCDN})
		require.NoError(t, err)
		assert.Empty(t, again.Files)
		assert.Len(t, again.Left, len(changes.Left))
		require.NoError(t, again.Apply(dir, keep))
		assert.Equal(t, fixed(), readSite(t, dir))
	})
	t.Run("patch makes the same of the diff", func(t *testing.T) {
		program := realsrv.Need(t, "patch")
		other := writeSite(t, fixable)
		cmd := exec.Command(program, "-p1", "--binary", "-d", other)
		cmd.Stdin = &diff
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		assert.Equal(t, fixed(), readSite(t, other))
	})
}

func TestFixWithoutProof(t *testing.T) {
	changes, err := circlehttps.Site{FS: mapFS(map[string]string{
		"a.html":    `<html><script src="http://a.example/a.js"></script><script src="http://b.example/b.js"></script></html>`,
		"xmpcfg.js": "var xmpcfg = {access: {accessToken: 'x', url: 'http://10.1.1.92/XMPieXMPL_REST_API'}};",
	})}.Fix(context.Background(), circlehttps.Project{}, circlehttps.FixOptions{Hosts: []string{"B.example."}})
	require.NoError(t, err)
	require.Len(t, changes.Files, 1)
	assert.Equal(t, "a.html", changes.Files[0].File)
	assert.Equal(t, 65, changes.Files[0].Places[0].Column)
	require.Len(t, changes.Left, 2)
	assert.Equal(t, "it is not known that the host offers the same over HTTPS", changes.Left[0].Reason)
	assert.Contains(t, changes.Left[1].Reason, "private IP address")
}

func TestFixRefuses(t *testing.T) {
	ctx := context.Background()
	dir := writeSite(t, fixable)
	site := circlehttps.Site{FS: os.DirFS(dir)}

	_, err := site.Fix(ctx, circlehttps.Project{HTTPS: circlehttps.Off}, circlehttps.FixOptions{})
	require.ErrorContains(t, err, "does not use HTTPS")
	_, err = site.Fix(ctx, circlehttps.Project{}, circlehttps.FixOptions{Hosts: []string{"http://a.example/"}})
	require.ErrorContains(t, err, "not a host name")

	changes, err := site.Fix(ctx, circlehttps.Project{}, circlehttps.FixOptions{})
	require.NoError(t, err)
	for _, keep := range []string{dir, filepath.Join(dir, "originals"), filepath.Join(dir, "js", "..", "x", "y")} {
		require.ErrorContains(t, changes.Apply(dir, keep), "lies in the site")
	}
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(dir, link))
	require.ErrorContains(t, changes.Apply(dir, filepath.Join(link, "originals")), "lies in the site")
	assert.Equal(t, fixable, readSite(t, dir))

	// A file that changed in between is left alone.
	require.NoError(t, os.WriteFile(filepath.Join(dir, "css", "a.css"), []byte("/* new */"), 0o600))
	require.ErrorContains(t, changes.Apply(dir, t.TempDir()), "css/a.css: the file was changed since it was read")
	require.ErrorContains(t, changes.Diff(&bytes.Buffer{}), "changed since it was read")

	// Originals are never overwritten.
	dir, keep := writeSite(t, fixable), t.TempDir()
	site = circlehttps.Site{FS: os.DirFS(dir)}
	changes, err = site.Fix(ctx, circlehttps.Project{}, circlehttps.FixOptions{})
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Join(keep, "css"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(keep, "css", "a.css"), []byte("older"), 0o600))
	require.ErrorContains(t, changes.Apply(dir, keep), "the original could not be kept")
	assert.Equal(t, fixable, readSite(t, dir))
}

// TestFixIntegrity: an absolute address with an integrity hash guards the file, too.
func TestFixIntegrity(t *testing.T) {
	changes, err := circlehttps.Site{FS: mapFS(map[string]string{
		"xmpcfg.js": secureConfig, "js/a.js": "fetch('http://marketing.example.com/')",
		"a.html": `<html><script src="https://www.example.com/spring/js/a.js?v=1" integrity="sha384-x"></script></html>`,
	})}.Fix(context.Background(), circlehttps.Project{}, circlehttps.FixOptions{})
	require.NoError(t, err)
	assert.Empty(t, changes.Files)
	require.Len(t, changes.Left, 1)
	assert.Contains(t, changes.Left[0].Reason, "integrity hash")
}

func TestFixLeavesLinkedFiles(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "shared.js")
	require.NoError(t, os.WriteFile(outside, []byte("fetch('http://a.example/')"), 0o600))
	dir := t.TempDir()
	require.NoError(t, os.Symlink(outside, filepath.Join(dir, "shared.js")))
	changes, err := circlehttps.Site{FS: os.DirFS(dir)}.Fix(context.Background(), circlehttps.Project{}, circlehttps.FixOptions{Hosts: []string{"a.example"}})
	require.NoError(t, err)
	require.ErrorContains(t, changes.Apply(dir, t.TempDir()), "it is a link")
	text, err := os.ReadFile(outside)
	require.NoError(t, err)
	assert.Equal(t, "fetch('http://a.example/')", string(text))
}

// TestFixLeavesNames: that a host can be reached over HTTPS does not make a name an address.
func TestFixLeavesNames(t *testing.T) {
	files := map[string]string{
		"xmpcfg.js":    circleWrites,
		"ns.js":        `/*! licence: http://opensource.example/mit */ var ns = "http://vocab.example/ns#", o = {type: 'http://vocab.example/t'}; document.createElementNS("http://vocab.example/svg", "svg"); fetch('http://vocab.example/api')`,
		"schema.xml":   `<grammar xmlns="http://relaxng.org/ns/structure/1.0" ns="http://vocab.example/ns" datatypeLibrary="http://www.w3.org/2001/XMLSchema-datatypes"><license>http://opensource.example/mit</license></grammar>`,
		"feed.xml":     `<feed xmlns="http://www.w3.org/2005/Atom"><id>http://marketing.example.com/1</id><entry><guid>http://vocab.example/2</guid><link href="http://vocab.example/3"/></entry></feed>`,
		"a.svg":        `<svg xmlns="http://www.w3.org/2000/svg" xmlns:cc="http://creativecommons.org/ns#"><metadata><cc:license rdf:resource="http://creativecommons.org/licenses/by/4.0/"/></metadata></svg>`,
		"package.json": `{"license": "http://opensource.example/mit", "bugs": {"url": "http://vocab.example/bugs"}}`,
		"data.json":    `{"@context": "http://vocab.example/", "id": "http://vocab.example/4", "$schema": "http://vocab.example/schema"}`,
		"a.html":       `<html xmlns:og="http://vocab.example/og#"><meta name="api" content="http://vocab.example/api"><div data-id="http://vocab.example/5" itemtype="http://vocab.example/Person"></div><img src="http://vocab.example/a.png"></html>`,
	}
	everyHost := func(context.Context, string) error { return nil }
	rewritten := func(o circlehttps.FixOptions) map[string]string {
		dir := writeSite(t, files)
		changes, err := circlehttps.Site{FS: os.DirFS(dir)}.Fix(context.Background(), circlehttps.Project{}, o)
		require.NoError(t, err)
		require.NoError(t, changes.Apply(dir, t.TempDir()))
		return readSite(t, dir)
	}
	want := maps.Clone(files)
	replace := func(name, from string) {
		want[name] = strings.Replace(want[name], from, strings.Replace(from, "http", "https", 1), 1)
	}
	replace("xmpcfg.js", "'http:")
	replace("ns.js", "http://vocab.example/api")
	replace("a.html", "http://vocab.example/a.png")
	assert.Equal(t, want, rewritten(circlehttps.FixOptions{Verify: everyHost}))

	// Whoever lists a host answers for it; what is compared, and what identifies, stays even then.
	replace("ns.js", "http://vocab.example/ns#")
	replace("ns.js", "http://vocab.example/t")
	replace("schema.xml", "http://vocab.example/ns")
	replace("feed.xml", "http://vocab.example/3")
	replace("data.json", "http://vocab.example/4")
	replace("a.html", "http://vocab.example/api")
	replace("a.html", "http://vocab.example/5")
	assert.Equal(t, want, rewritten(circlehttps.FixOptions{Hosts: []string{"vocab.example"}}))
}

// TestFixServerCode: a browser's parser leaves PHP at its first ">", so that a string in it is read
// as code and again as markup. It is one address all the same, and gets one s.
func TestFixServerCode(t *testing.T) {
	ctx := context.Background()
	before := map[string]string{
		"a.php": `<?php $x->y(); echo "<img src='http://cdn.example:80/a.png'>"; ?>` + "\n",
		// What a variable follows is not the whole host, whatever it looks like as markup.
		"b.php": `<?php $x->y(); echo '<img src="http://cdn.example' . $more . '/b.png">'; ?>` + "\n",
	}
	dir := writeSite(t, before)
	site := circlehttps.Site{FS: os.DirFS(dir)}
	scan, err := site.Scan(ctx)
	require.NoError(t, err)
	var found []string
	for _, l := range scan.Links {
		found = append(found, l.Source.String()+" "+l.Kind.String()+" "+l.Host)
	}
	assert.Equal(t, []string{"a.php:1:32 passive cdn.example", "b.php:1:32 passive "}, found)

	changes, err := site.Fix(ctx, circlehttps.Project{}, circlehttps.FixOptions{Hosts: []string{"cdn.example"}})
	require.NoError(t, err)
	require.NoError(t, changes.Apply(dir, filepath.Join(t.TempDir(), "originals")))
	after := readSite(t, dir)
	assert.Equal(t, strings.Replace(before["a.php"], "http://cdn.example:80/", "https://cdn.example/", 1), after["a.php"])
	assert.Equal(t, before["b.php"], after["b.php"])
}
