package report_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/report"
)

func TestJSONShape(t *testing.T) {
	rep := connsec.Report{Target: "dc1", At: sampleTime, Duration: 84*time.Millisecond + 900*time.Microsecond, Findings: []connsec.Finding{{
		Rule: ruleHSTS, Severity: connsec.Low, Outcome: connsec.Fail, Subject: "dc1:443", Detail: "a < b",
		Evidence: []connsec.Attr{{Key: "z", Value: "1"}, {Key: "a", Value: "2"}}, Source: &connsec.Position{File: "f", Line: 1, Column: 2},
	}}}
	var compact bytes.Buffer
	require.NoError(t, json.Compact(&compact, []byte(render(t, report.JSON, []connsec.Report{rep}, report.Options{}))))
	assert.Equal(t, `{"schema":1,"reports":[{"target":"dc1","at":"2026-11-23T18:51:00Z","duration_ms":84,"findings":[`+
		`{"rule":"sample-hsts-missing","severity":"low","outcome":"fail","subject":"dc1:443","detail":"a \u003c b",`+
		`"evidence":{"z":"1","a":"2"},"source":{"file":"f","line":1,"column":2}}]}]}`, compact.String())

	for _, none := range [][]connsec.Report{nil, {}} {
		assert.JSONEq(t, `{"schema":1,"reports":[]}`, render(t, report.JSON, none, report.Options{}))
	}
}

func TestJSONRoundTrip(t *testing.T) {
	for name, reports := range map[string][]connsec.Report{"weak": weak(), "hardened": hardened()} {
		t.Run(name, func(t *testing.T) {
			got, err := report.Decode(strings.NewReader(render(t, report.JSON, reports, report.Options{})), sampleRules)
			require.NoError(t, err)
			assert.Equal(t, reports, got)
		})
	}
	// Characters that are not graphic are escaped, which must not change them.
	text := "\x00\x1b\u007f\u0085\u202e\U000e0041\U0001f600日 \"\\"
	reports := []connsec.Report{{Target: text, At: sampleTime}}
	out := render(t, report.JSON, reports, report.Options{})
	assert.Contains(t, out, `\u202e\udb40\udc41`)
	got, err := report.Decode(strings.NewReader(out), nil)
	require.NoError(t, err)
	assert.Equal(t, text, got[0].Target)
}

func TestDecodeRefuses(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"nothing":       {``, "report: not a JSON report: EOF"},
		"not JSON":      {`schema: 1`, "report: not a JSON report: invalid character"},
		"no schema":     {`{"reports":[]}`, "report: JSON schema 0 is not known (this version reads 1)"},
		"later schema":  {`{"schema":2,"reports":[]}`, "report: JSON schema 2 is not known (this version reads 1)"},
		"unknown field": {`{"schema":1,"report":[]}`, `unknown field "report"`},
		"trailing":      {`{"schema":1,"reports":[]} {}`, "report: unexpected data after the JSON report"},
		"unknown rule":  {`{"schema":1,"reports":[{"target":"","at":"2026-01-01T00:00:00Z","duration_ms":0,"findings":[{"rule":"x"}]}]}`, `report 0: connsec: report: finding 0: unknown rule "x"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := report.Decode(strings.NewReader(c.in), sampleRules)
			assert.ErrorContains(t, err, c.want)
		})
	}
	_, err := report.Decode(io.LimitReader(endless{}, 65<<20), nil)
	assert.EqualError(t, err, "report: more than 64 MiB of JSON")
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func ExampleWrite() {
	rule := &connsec.Rule{ID: "cert-expired", Title: "The certificate has expired", Severity: connsec.High,
		Fix: "Request a new certificate.", Refs: []connsec.Citation{{Doc: "RFC 5280", Section: "4.1.2.5"}}}
	rep := connsec.Report{Target: "central.corp.example:8093", Findings: connsec.Run("central.corp.example:8093", struct{}{}, []connsec.Check[struct{}]{
		{Rule: rule, Judge: func(struct{}) connsec.Verdict { return connsec.Failed("Expired on 1 November 2026.") }},
	})}
	if err := report.Write(os.Stdout, report.Text, []connsec.Report{rep}, report.Options{Width: 60}); err != nil {
		fmt.Println(err)
	}
	// Output:
	// central.corp.example:8093
	//
	// HIGH ───────────────────────────────────────────── 1 finding
	//
	// ✗ The certificate has expired                   cert-expired
	//   central.corp.example:8093
	//     Expired on 1 November 2026.
	//   Fix  Request a new certificate.
	//   See  RFC 5280 §4.1.2.5
	//
	// ────────────────────────────────────────────────────────────
	// 1 failed (1 high)
}

func BenchmarkWrite(b *testing.B) {
	reports := make([]connsec.Report, 100)
	for i := range reports {
		reports[i] = weak()[i%3]
		reports[i].Target = fmt.Sprintf("host%d.corp.example", i)
	}
	for _, f := range report.Formats() {
		b.Run(f.String(), func(b *testing.B) {
			for b.Loop() {
				_ = report.Write(io.Discard, f, reports, report.Options{})
			}
		})
	}
}
