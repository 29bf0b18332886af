package report_test

import (
	"encoding/json"
	"encoding/xml"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/report"
)

// FuzzForeignText puts any text wherever a peer or a file could put it. No format lets a
// character through that is not graphic, and each stays what it is.
func FuzzForeignText(f *testing.F) {
	for _, seed := range []string{"", hostile, "\x9b31m", "a\tb", "]]>", "\"} 1\n# EOF\n", "](", "{0}", strings.Repeat("日", 1200), "|\n|", "://\xff", "\u00ad\u200b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		reports := attacked()
		r := &reports[0]
		r.Target = text
		for i := range r.Findings {
			r.Findings[i].Subject, r.Findings[i].Detail = text, text
			r.Findings[i].Evidence = []connsec.Attr{{Key: text, Value: text}}
			r.Findings[i].Source = &connsec.Position{File: text, Line: 1}
			r.Findings[i].Waiver = &connsec.Waiver{Rule: "x", Reason: text, Until: sampleTime}
		}
		out := map[report.Format]string{}
		for _, format := range report.Formats() {
			out[format] = render(t, format, reports, report.Options{Verbose: true})
			for _, c := range out[format] {
				if c != '\n' && !unicode.IsGraphic(c) {
					t.Fatalf("%s lets %U through", format, c)
				}
			}
		}

		if !strings.Contains(text, "://") {
			for line := range strings.Lines(out[report.Text]) {
				if cells(strings.TrimSuffix(line, "\n")) > 80 {
					t.Fatalf("too long: %q", line)
				}
			}
		}
		back, err := report.Decode(strings.NewReader(out[report.JSON]), sampleRules)
		require.NoError(t, err)
		require.Equal(t, string([]rune(text)), back[0].Findings[0].Detail)
		require.True(t, json.Valid([]byte(out[report.SARIF])))
		var suites junit
		require.NoError(t, xml.Unmarshal([]byte(out[report.JUnit]), &suites))
		require.Equal(t, 4, suites.Tests)
		require.Len(t, openMetrics(t, out[report.OpenMetrics]), 25+4+1+1)

		var want, got []string
		for _, n := range elements(t, render(t, report.HTML, attacked(), report.Options{})) {
			want = append(want, n.Data)
		}
		for _, n := range elements(t, out[report.HTML]) {
			got = append(got, n.Data)
		}
		if text != "" {
			// More may be there, since all findings have evidence here; nothing of another kind.
			slices.Sort(want)
			want = slices.Compact(want)
			for _, name := range got {
				if !slices.Contains(want, name) {
					t.Fatalf("the text became an element: %s", name)
				}
			}
		}
	})
}

// FuzzDecode: what decodes also encodes, and comes back the same.
func FuzzDecode(f *testing.F) {
	f.Add(render(f, report.JSON, weak(), report.Options{}))
	f.Add(`{"schema":1,"reports":[]}`)
	f.Fuzz(func(t *testing.T, text string) {
		first, err := report.Decode(strings.NewReader(text), sampleRules)
		if err != nil {
			return
		}
		once := render(t, report.JSON, first, report.Options{})
		second, err := report.Decode(strings.NewReader(once), sampleRules)
		require.NoError(t, err)
		require.Equal(t, once, render(t, report.JSON, second, report.Options{}))
	})
}
