package report_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/text/width"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/report"
)

var update = flag.Bool("update", false, "rewrite the files in testdata")

func render(t testing.TB, f report.Format, reports []connsec.Report, opts report.Options) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, report.Write(&b, f, reports, opts))
	return b.String()
}

// golden compares with a file that a person has looked at.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err, "run the tests with -update and look at what they wrote")
	assert.Equal(t, string(want), got)
}

func TestGolden(t *testing.T) {
	for _, f := range report.Formats() {
		t.Run(f.String(), func(t *testing.T) {
			golden(t, "weak."+f.String(), render(t, f, weak(), report.Options{Version: "0.1.0"}))
			golden(t, "hardened."+f.String(), render(t, f, hardened(), report.Options{Version: "0.1.0", Verbose: true}))
		})
	}
}

func TestTextOrder(t *testing.T) {
	out := render(t, report.Text, weak(), report.Options{})
	var at []int
	for _, heading := range []string{"\nCRITICAL ", "\nHIGH ", "\nLOW ", "\nINCONCLUSIVE ", "\nWAIVED ", "\n4 failed ("} {
		require.Contains(t, out, heading)
		at = append(at, strings.Index(out, heading))
	}
	assert.IsIncreasing(t, at)
	assert.NotContains(t, out, "PASSED")
	assert.Equal(t, 1, strings.Count(out, "On every domain controller"), "one fix for both hosts")
	assert.Contains(t, out, "dc1.corp.example:389  deployment.yaml:14:5")
	assert.Contains(t, out, "? The server negotiates TLS 1.0 or 1.1?", "what is not known is not stated")

	out = render(t, report.Text, weak(), report.Options{Verbose: true})
	for _, want := range []string{"PASSED", "NOT APPLICABLE", "result code: 49", "Why  Anyone on the path"} {
		assert.Contains(t, out, want)
	}
}

var sgr = regexp.MustCompile("\x1b\\[[0-9;]*m")

func TestTextColor(t *testing.T) {
	for _, reports := range [][]connsec.Report{weak(), hardened(), attacked(), nil} {
		plain := render(t, report.Text, reports, report.Options{Verbose: true})
		assert.NotContains(t, plain, "\x1b")
		coloured := render(t, report.Text, reports, report.Options{Verbose: true, Color: true})
		assert.Equal(t, plain, sgr.ReplaceAllString(coloured, ""), "colour changes nothing but colour")
		for line := range strings.Lines(coloured) {
			if codes := sgr.FindAllString(line, -1); len(codes) > 0 {
				assert.Equal(t, "\x1b[0m", codes[len(codes)-1], "a line that is cut off leaves no colour on: %q", line)
			}
		}
	}
}

// cells is an independent, slower count of terminal cells.
func cells(s string) int {
	n := 0
	for _, r := range s {
		switch {
		case unicode.Is(unicode.M, r) && !unicode.Is(unicode.Mc, r):
		case width.LookupRune(r).Kind() == width.EastAsianWide || width.LookupRune(r).Kind() == width.EastAsianFullwidth:
			n += 2
		default:
			n++
		}
	}
	return n
}

func TestTextWidth(t *testing.T) {
	long := weak()
	long[0].Target = strings.Repeat("a", 253)
	long[0].Findings[0].Subject = strings.Repeat("日本語", 60)
	long[0].Findings[0].Detail = strings.Repeat("e\u0301", 300) + " end"
	long[0].Findings[0].Evidence = []connsec.Attr{{Key: strings.Repeat("key ", 30), Value: strings.Repeat("v", 200)}}
	for _, reports := range [][]connsec.Report{weak(), hardened(), long} {
		for _, w := range []int{-1, 0, 1, 40, 72, 80, 132} {
			most := max(w, 40)
			if w == 0 {
				most = 80
			}
			for line := range strings.Lines(render(t, report.Text, reports, report.Options{Width: w, Verbose: true})) {
				line = strings.TrimSuffix(line, "\n")
				assert.LessOrEqual(t, cells(line), most, "%q", line)
				assert.Equal(t, strings.TrimRight(line, " "), line, "no trailing space")
			}
		}
	}
	out := render(t, report.Text, []connsec.Report{{Findings: []connsec.Finding{{Rule: ruleHSTS, Severity: connsec.Low, Outcome: connsec.Fail,
		Subject: "x", Detail: "See https://www.example.org/" + strings.Repeat("long/", 30) + " for it."}}}}, report.Options{Width: 40})
	assert.Contains(t, out, "https://www.example.org/"+strings.Repeat("long/", 30), "an address stays whole")
}

// TestHostileText looks for anything a terminal would obey in every format.
func TestHostileText(t *testing.T) {
	for _, f := range report.Formats() {
		t.Run(f.String(), func(t *testing.T) {
			out := render(t, f, attacked(), report.Options{Verbose: true})
			assert.NotContains(t, out, "\x1b")
			for _, r := range out {
				if r != '\n' && !unicode.IsGraphic(r) {
					t.Fatalf("%U reached the output", r)
				}
			}
			assert.NotEmpty(t, out)
		})
	}
}

func TestHugeTextIsCut(t *testing.T) {
	r := hardened()
	r[0].Findings[0].Detail = strings.Repeat("x", 1<<20)
	for _, f := range []report.Format{report.Text, report.HTML, report.Markdown, report.JUnit, report.OpenMetrics} {
		out := render(t, f, r, report.Options{Verbose: true})
		assert.Less(t, len(out), 20_000, f.String())
	}
	assert.Greater(t, len(render(t, report.JSON, r, report.Options{})), 1<<20, "JSON is complete")
}

func TestTextOddReports(t *testing.T) {
	assert.Contains(t, render(t, report.Text, nil, report.Options{}), "nothing checked")
	assert.NotContains(t, render(t, report.Text, nil, report.Options{}), "0 failed", "nothing checked is no success")
	assert.NotContains(t, render(t, report.HTML, []connsec.Report{{Target: "a"}}, report.Options{}), "Nothing failed")
	assert.Contains(t, render(t, report.HTML, hardened(), report.Options{}), "Nothing failed")
	assert.Contains(t, render(t, report.Text, []connsec.Report{{Target: "a"}, {Target: "b", Duration: 90 * time.Second}}, report.Options{}), "nothing checked")
	bare := []connsec.Report{{Findings: []connsec.Finding{
		{Rule: ruleHSTS, Severity: connsec.Low, Outcome: connsec.Waived},
		{Rule: &connsec.Rule{ID: "bare"}, Severity: connsec.Low, Outcome: connsec.Fail},
	}}}
	for _, f := range report.Formats() {
		assert.NotEmpty(t, render(t, f, bare, report.Options{Verbose: true}), f.String())
	}
	assert.NotContains(t, render(t, report.Text, bare, report.Options{}), "\n\n\n")
	assert.Contains(t, render(t, report.Markdown, bare, report.Options{}), "- **(no subject)**\n")
	for reason, w := range map[string]connsec.Waiver{
		"gives no reason": {Until: sampleTime}, "has no end date": {Reason: "x"}, "ended on 23 November 2026": {Reason: "x", Until: sampleTime},
	} {
		r := hardened()
		r[0].Findings[0].Outcome, r[0].Findings[0].Waiver = connsec.Fail, &w
		assert.Contains(t, render(t, report.Text, r, report.Options{}), "The waiver does not hold: it "+reason)
	}
}

func TestWriteRefuses(t *testing.T) {
	var b bytes.Buffer
	assert.EqualError(t, report.Write(&b, 0, nil, report.Options{}), "report: cannot write format(0)")
	for _, f := range []connsec.Finding{
		{Severity: connsec.Low, Outcome: connsec.Pass},
		{Rule: ruleHSTS, Outcome: connsec.Pass},
		{Rule: ruleHSTS, Severity: connsec.Low},
	} {
		for _, format := range report.Formats() {
			err := report.Write(&b, format, []connsec.Report{{Target: "t", Findings: []connsec.Finding{f}}}, report.Options{})
			assert.EqualError(t, err, `report: finding 0 on "t" lacks its rule, severity or outcome`)
		}
	}
	assert.Zero(t, b.Len())
}

type full struct{}

var errFull = errors.New("disk full")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestWriteReportsTheWritersError(t *testing.T) {
	for _, format := range report.Formats() {
		assert.ErrorIs(t, report.Write(full{}, format, weak(), report.Options{}), errFull, format.String())
	}
}

func TestFormatNames(t *testing.T) {
	for _, f := range report.Formats() {
		text, err := f.MarshalText()
		require.NoError(t, err)
		var back report.Format
		require.NoError(t, back.UnmarshalText(text))
		assert.Equal(t, f, back)
	}
	_, err := report.ParseFormat("TEXT")
	assert.ErrorContains(t, err, `report: unknown format "TEXT" (one of text, json`)
	_, err = report.Format(99).MarshalText()
	assert.Error(t, err)
	f := report.Text
	assert.Error(t, f.UnmarshalText([]byte("pdf")))
	assert.Equal(t, report.Text, f)
}
