package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/connsec/connsec"
)

// Format is one way to write reports. The zero value is invalid.
type Format uint8

const (
	// Text is for a person at a terminal: worst first, with the fix under each failure.
	Text Format = iota + 1
	// JSON is complete and stable: {"schema":1,"reports":[…]}. Decode reads it.
	JSON
	// SARIF is the Static Analysis Results Interchange Format 2.1.0, for code hosts.
	SARIF
	// JUnit is the XML that CI servers show as test results.
	JUnit
	// HTML is one self-contained page without scripts, for people who were not there.
	HTML
	// Markdown is GitHub-flavoured, for issues, wikis and job summaries.
	Markdown
	// OpenMetrics is the OpenMetrics 1.0 text format, for a textfile collector.
	OpenMetrics
)

var formats = []struct {
	name  string
	write func(*bufio.Writer, []connsec.Report, Options) error
}{
	Text:        {"text", writeText},
	JSON:        {"json", writeJSON},
	SARIF:       {"sarif", writeSARIF},
	JUnit:       {"junit", writeJUnit},
	HTML:        {"html", writeHTML},
	Markdown:    {"markdown", writeMarkdown},
	OpenMetrics: {"openmetrics", writeOpenMetrics},
}

// Formats returns all valid formats.
func Formats() []Format {
	return []Format{Text, JSON, SARIF, JUnit, HTML, Markdown, OpenMetrics}
}

// Valid reports whether f is one of the named formats.
func (f Format) Valid() bool { return f >= Text && f <= OpenMetrics }

// String returns the lower-case name.
func (f Format) String() string {
	if !f.Valid() {
		return fmt.Sprintf("format(%d)", uint8(f))
	}
	return formats[f].name
}

// ParseFormat is the inverse of [Format.String]. Names are exact.
func ParseFormat(name string) (Format, error) {
	var names []string
	for _, f := range Formats() {
		if f.String() == name {
			return f, nil
		}
		names = append(names, f.String())
	}
	return 0, fmt.Errorf("report: unknown format %q (one of %s)", clip(name, 64), strings.Join(names, ", "))
}

// MarshalText writes the name and refuses an invalid value.
func (f Format) MarshalText() ([]byte, error) {
	if !f.Valid() {
		return nil, fmt.Errorf("report: cannot encode invalid %s", f)
	}
	return []byte(f.String()), nil
}

// UnmarshalText accepts exactly the names that MarshalText writes, so that a Format works with
// [flag.TextVar] and in configuration files.
func (f *Format) UnmarshalText(text []byte) error {
	v, err := ParseFormat(string(text))
	if err == nil {
		*f = v
	}
	return err
}

// Options adjusts the rendering. The zero value is fit for a pipe.
type Options struct {
	// Width is the number of columns of Text; 0 means 80, and less than 40 means 40.
	Width int
	// Color lets Text use ANSI colours. Leave it off unless the output is a terminal.
	Color bool
	// Verbose adds what passed and what did not apply to Text, Markdown, SARIF and
	// OpenMetrics, and the evidence to Text and Markdown. JSON, JUnit and HTML always have
	// every finding.
	Verbose bool
	// FailOn is the lowest severity that counts as a failure or, inconclusive, as an error of
	// JUnit; the other formats show every severity alike. Zero: every severity counts. Give it
	// the severity that decides on the exit status, so that the two do not disagree.
	FailOn connsec.Severity
	// Version is the version of the program that reports, for SARIF and HTML. Empty: none is
	// named.
	Version string
}

// Write renders the reports to w. It refuses an unknown format and findings that lack a rule,
// a severity or an outcome, before it writes anything; other errors are those of w.
func Write(w io.Writer, format Format, reports []connsec.Report, opts Options) error {
	if !format.Valid() {
		return fmt.Errorf("report: cannot write %s", format)
	}
	for _, r := range reports {
		for i, f := range r.Findings {
			if f.Rule == nil || f.Rule.ID == "" || !f.Severity.Valid() || !f.Outcome.Valid() {
				return fmt.Errorf("report: finding %d on %q lacks its rule, severity or outcome", i, clip(r.Target, 64))
			}
		}
	}
	b := bufio.NewWriterSize(w, 16<<10)
	if err := formats[format].write(b, reports, opts); err != nil {
		return fmt.Errorf("report: %s: %w", format, err)
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("report: %s: %w", format, err)
	}
	return nil
}
