package report_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/report"
)

func TestMarkdown(t *testing.T) {
	out := render(t, report.Markdown, weak(), report.Options{})
	for _, want := range []string{
		"| dc2.corp.example | **1** | **1** | 0 | 0 | 0 | 0 | 1 | 0 | 0 |\n",
		"| *all* | **2** | **1** | 0 | **1** | 0 | 1 | 1 | 2 | 1 |\n",
		"\n## Critical (2)\n", "\n`sample-cleartext-bind`\n", "- **dc1.corp.example:389** (deployment.yaml:14:5): A bind",
		"[RFC 4513 §5.1.2](<https://www.rfc-editor.org/rfc/rfc4513#section-5.1.2>); Security guide",
		"\n### The server negotiates TLS 1.0 or 1.1?\n", "*Until 31 March 2027:* The scanners", "*The waiver does not hold: it ended on 10 November 2026.*",
	} {
		assert.Contains(t, out, want)
	}
	assert.NotContains(t, out, "## Passed")
	assert.Contains(t, render(t, report.Markdown, weak(), report.Options{Verbose: true}), "\n## Passed (2)\n\n| rule | subject | seen |\n")
	assert.NotContains(t, render(t, report.Markdown, hardened(), report.Options{}), "*all*", "one target needs no sum")
}

// TestMarkdownDefusesForeignText writes one finding's detail and looks at what became of it.
func TestMarkdownDefusesForeignText(t *testing.T) {
	for in, want := range map[string]string{
		"<script>":              "&lt;script&gt;",
		"&lt;":                  "&amp;lt;",
		"[x](https://e.org)":    `\[x\](https:<!-- -->//e.org)`,
		"![x](y)":               `\!\[x\](y)`,
		"a|b":                   `a\|b`,
		"`code` $math$ ~~old~~": "\\`code\\` \\$math\\$ \\~\\~old\\~\\~",
		"*b* _i_ \\":            `\*b\* \_i\_ \\`,
		"@owner #12":            `@<!-- -->owner \#12`,
		"www.e.org":             "www<!-- -->.e.org",
		"two\nlines":            `two\\x0alines`,
	} {
		r := hardened()
		r[0].Findings[0].Outcome, r[0].Findings[0].Detail = connsec.Fail, in
		assert.Contains(t, render(t, report.Markdown, r, report.Options{}), ": "+want+"\n", in)
	}
	out := render(t, report.Markdown, attacked(), report.Options{Verbose: true})
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "| ") && !strings.HasPrefix(line, "|---") {
			cells := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|")
			assert.Contains(t, []int{4, 11}, cells, "a table row keeps its cells: %s", line)
		}
	}
}
