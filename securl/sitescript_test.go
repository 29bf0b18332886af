package securl

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec/circlehttps"
)

func TestScriptStrings(t *testing.T) {
	for name, c := range map[string]struct{ src, url string }{
		"as Circle writes it":  {`var xmpcfg = {access: { accessToken: 'a', url: 'https://x.example/A', circleProjectID:'b', circleProjectName: 'N' }};`, "https://x.example/A"},
		"quoted keys":          {`xmpcfg={"access":{"url":"https://x.example/A"}}`, "https://x.example/A"},
		"an earlier comment":   {"//var xmpcfg = {access: {url: 'http://old.example'}};\nvar xmpcfg = {access: {url: 'https://x.example/A'}};", "https://x.example/A"},
		"a block comment":      {"var xmpcfg = {access: {/* url: 'http://old.example', */ url: 'https://x.example/A'}};", "https://x.example/A"},
		"the last one counts":  {"var xmpcfg = {access: {url: 'http://old.example'}};\nxmpcfg = {access: {url: 'https://x.example/A'}};", "https://x.example/A"},
		"another variable":     {"var other = {url: 'https://x.example/A'};", ""},
		"put together":         {"var xmpcfg = {access: {url: 'https://' + host}};", ""},
		"a template":           {"var xmpcfg = {access: {url: `https://${host}/`}};", ""},
		"escapes":              {`var xmpcfg = {access: {url: 'https:\/\/x.example\u002fA\x3f\u{1F600}\ud83d\ude00\'\n'}};`, "https://x.example/A?😀😀'\n"},
		"half a surrogate":     {`var xmpcfg = {access: {url: 'a\ud83dx'}};`, "a\ufffdx"},
		"a broken escape":      {`var xmpcfg = {access: {url: 'a\uzzzz\xz\u{110000}b'}};`, "auzzzz"},
		"an unfinished string": {"var xmpcfg = {access: {url: 'https://x.example/A\n}};", ""},
		"byte order mark":      {"\ufeffvar xmpcfg={access:{url:'https://x.example/A'}}", "https://x.example/A"},
		"nothing":              {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "a broken escape" {
				_ = scriptStrings(c.src, "xmpcfg", "url") // which text is not defined; it has to end
				return
			}
			assert.Equal(t, c.url, scriptStrings(c.src, "xmpcfg", "url")["url"])
		})
	}
}

// TestScriptStringsAgrees compares with the parser of the site scanner, which is built on a
// JavaScript lexer, on that package's own corpus.
func TestScriptStringsAgrees(t *testing.T) {
	compared := 0
	err := filepath.WalkDir("../circlehttps/testdata", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".js") {
			return err
		}
		src, err := os.ReadFile(path)
		require.NoError(t, err)
		f, err := circlehttps.ParseConfig(path, src)
		if err != nil {
			return nil
		}
		last := f.Definitions[len(f.Definitions)-1]
		if len(last.Computed) > 0 {
			return nil
		}
		compared++
		got := scriptStrings(string(src), "xmpcfg", "accessToken", "url", "URL")
		assert.Equal(t, last.URL.Text, cmp.Or(got["url"], got["URL"]), path)
		assert.Equal(t, last.AccessToken.Reveal(), got["accessToken"], path)
		return nil
	})
	require.NoError(t, err)
	assert.NotZero(t, compared)
}

func FuzzScriptStrings(f *testing.F) {
	f.Add("//x\nvar xmpcfg = {access: { accessToken: 'a\\u0041', \"url\": `b`}};")
	f.Add("xmpcfg = {url: 'a' /*")
	f.Fuzz(func(t *testing.T, src string) {
		for key, value := range scriptStrings(src, "xmpcfg", "accessToken", "url") {
			assert.Contains(t, []string{"accessToken", "url"}, key)
			assert.LessOrEqual(t, len(value), 2*len(src), "no text out of nothing")
			if utf8.ValidString(src) {
				assert.True(t, utf8.ValidString(value))
			}
		}
	})
}
