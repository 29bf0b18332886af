package report_test

import (
	"encoding/xml"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/report"
)

type junit struct {
	Tests    int `xml:"tests,attr"`
	Failures int `xml:"failures,attr"`
	Skipped  int `xml:"skipped,attr"`
	Errors   int `xml:"errors,attr"`
	Suites   []struct {
		Name      string `xml:"name,attr"`
		Tests     int    `xml:"tests,attr"`
		Time      string `xml:"time,attr"`
		Timestamp string `xml:"timestamp,attr"`
		Cases     []struct {
			Class   string `xml:"classname,attr"`
			Name    string `xml:"name,attr"`
			File    string `xml:"file,attr"`
			Line    int    `xml:"line,attr"`
			Failure *struct {
				Message string `xml:"message,attr"`
				Type    string `xml:"type,attr"`
				Text    string `xml:",chardata"`
			} `xml:"failure"`
			Error *struct {
				Message string `xml:"message,attr"`
				Type    string `xml:"type,attr"`
				Text    string `xml:",chardata"`
			} `xml:"error"`
			Skipped *struct {
				Message string `xml:"message,attr"`
			} `xml:"skipped"`
			Out string `xml:"system-out"`
		} `xml:"testcase"`
	} `xml:"testsuite"`
}

func TestJUnit(t *testing.T) {
	var got junit
	require.NoError(t, xml.Unmarshal([]byte(render(t, report.JUnit, weak(), report.Options{})), &got))
	assert.Equal(t, [4]int{9, 4, 1, 2}, [4]int{got.Tests, got.Failures, got.Errors, got.Skipped}, "passes, inconclusive, waived and not applicable are told apart")
	require.Len(t, got.Suites, 3)
	assert.Equal(t, "0.084", got.Suites[0].Time)
	assert.Equal(t, "2026-11-23T18:51:00", got.Suites[0].Timestamp)

	failed := got.Suites[0].Cases[0]
	assert.Equal(t, "sample-cleartext-bind", failed.Class)
	assert.Equal(t, "deployment.yaml", failed.File)
	assert.Equal(t, 14, failed.Line)
	assert.Equal(t, "critical", failed.Failure.Type)
	assert.Contains(t, failed.Failure.Message, "invalidCredentials")
	assert.Contains(t, failed.Failure.Text, "\nFix: On every domain controller")
	assert.Contains(t, failed.Failure.Text, "\nresult code: 49\n")

	passed := got.Suites[0].Cases[1]
	assert.Nil(t, passed.Failure)
	assert.Nil(t, passed.Skipped)
	assert.Equal(t, "Valid until 3 May 2027, 161 days from now.", passed.Out)
	unknown := got.Suites[0].Cases[2]
	assert.Contains(t, unknown.Error.Message, "inconclusive: The connection was closed")
	assert.Equal(t, "medium", unknown.Error.Type)
	assert.Contains(t, unknown.Error.Text, "The server negotiates TLS 1.0 or 1.1?")
	assert.NotContains(t, unknown.Error.Text, "Fix: ", "no remedy for what was not decided")
	assert.Contains(t, got.Suites[1].Cases[1].Failure.Text, "The waiver does not hold: it ended on 10 November 2026.")
	assert.Contains(t, got.Suites[1].Cases[2].Skipped.Message, "waived until 2027-03-31: The scanners")
	assert.Contains(t, got.Suites[2].Cases[2].Skipped.Message, "not-applicable: ")

	require.NoError(t, xml.Unmarshal([]byte(render(t, report.JUnit, attacked(), report.Options{})), &got))
	require.NoError(t, xml.Unmarshal([]byte(render(t, report.JUnit, nil, report.Options{})), &got))
}

// TestJUnitAgreesWithTheExitStatus: with FailOn there are failures exactly if something failed at or
// above it, and errors exactly if something that severe could not be told.
func TestJUnitAgreesWithTheExitStatus(t *testing.T) {
	for _, reports := range [][]connsec.Report{weak(), hardened(), attacked()} {
		for _, failOn := range append(connsec.Severities(), 0) {
			var got junit
			require.NoError(t, xml.Unmarshal([]byte(render(t, report.JUnit, reports, report.Options{FailOn: failOn})), &got))
			failed, unknown, all := 0, 0, 0
			for _, r := range reports {
				failed += len(r.Failed(failOn))
				for _, f := range r.Findings {
					all++
					if f.Outcome == connsec.Inconclusive && f.Severity >= failOn {
						unknown++
					}
				}
			}
			assert.Equal(t, [3]int{all, failed, unknown}, [3]int{got.Tests, got.Failures, got.Errors}, "%s", failOn)
		}
	}
	var got junit
	require.NoError(t, xml.Unmarshal([]byte(render(t, report.JUnit, weak(), report.Options{FailOn: connsec.High})), &got))
	low := got.Suites[2].Cases[1]
	assert.Nil(t, low.Failure)
	assert.Equal(t, "failed, low: The response has no such header.", low.Skipped.Message)
	assert.Contains(t, low.Out, "Fix: Send Strict-Transport-Security", "it is told all the same")
	assert.Contains(t, got.Suites[0].Cases[2].Skipped.Message, "inconclusive, medium: The connection was closed")
}
