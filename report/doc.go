// Package report renders connsec reports: as text for a terminal, JSON, SARIF 2.1.0, JUnit XML,
// a single HTML page, Markdown and OpenMetrics.
//
//	err := report.Write(os.Stdout, report.Text, reports, report.Options{Color: isTerminal})
//
// [Decode] reads the JSON form back, so that facts judged on one machine can be rendered on
// another.
//
// # Foreign text
//
// Subjects, details and evidence may carry text that came from the peer under test, which may
// be hostile: a banner with terminal escapes, a certificate subject with markup, a name with
// right-to-left overrides. Every character that is not graphic is written as an escape such as
// \x1b or \u202e, and each format quotes what it would otherwise interpret. Very long texts
// are cut in the formats for people, never in JSON and SARIF.
//
// # What this package does not do
//
// It opens no files, looks at no terminal and reads no clock: the caller decides on width and
// colour, and times are those of the reports.
package report
