package report_test

import (
	"encoding/xml"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec/report"
)

type junit struct {
	Tests    int `xml:"tests,attr"`
	Failures int `xml:"failures,attr"`
	Skipped  int `xml:"skipped,attr"`
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
	assert.Equal(t, [3]int{9, 4, 3}, [3]int{got.Tests, got.Failures, got.Skipped}, "passes, inconclusive, waived and not applicable are told apart")
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
	assert.Contains(t, got.Suites[0].Cases[2].Skipped.Message, "inconclusive: The connection was closed")
	assert.Contains(t, got.Suites[1].Cases[1].Failure.Text, "The waiver does not hold: it ended on 10 November 2026.")
	assert.Contains(t, got.Suites[1].Cases[2].Skipped.Message, "waived until 2027-03-31: The scanners")
	assert.Contains(t, got.Suites[2].Cases[2].Skipped.Message, "not-applicable: ")

	require.NoError(t, xml.Unmarshal([]byte(render(t, report.JUnit, attacked(), report.Options{})), &got))
	require.NoError(t, xml.Unmarshal([]byte(render(t, report.JUnit, nil, report.Options{})), &got))
}
