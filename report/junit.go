package report

import (
	"bufio"
	"encoding/xml"
	"fmt"
	"strings"
	"time"

	"github.com/connsec/connsec"
)

// JUnit has no specification; this is what Jenkins, GitLab and GitHub actions read alike. A
// report is a suite, a finding a case. A failure is a failure at every severity, since JUnit
// knows none: its type tells. What is inconclusive, waived or not applicable is skipped with
// a message that says which of these, because it is neither a success nor a failure.

type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Name     string       `xml:"name,attr"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Skipped  int          `xml:"skipped,attr"`
	Errors   int          `xml:"errors,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name      string      `xml:"name,attr"`
	Tests     int         `xml:"tests,attr"`
	Failures  int         `xml:"failures,attr"`
	Skipped   int         `xml:"skipped,attr"`
	Errors    int         `xml:"errors,attr"`
	Time      string      `xml:"time,attr"`
	Timestamp string      `xml:"timestamp,attr,omitempty"`
	Cases     []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Time    string        `xml:"time,attr"`
	File    string        `xml:"file,attr,omitempty"`
	Line    int           `xml:"line,attr,omitempty"`
	Failure *junitFailure `xml:"failure"`
	Skipped *junitSkipped `xml:"skipped"`
	Out     string        `xml:"system-out,omitempty"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

type junitSkipped struct {
	Message string `xml:"message,attr"`
}

func writeJUnit(w *bufio.Writer, reports []connsec.Report, _ Options) error {
	all := junitSuites{Name: "connsec"}
	for _, r := range reports {
		s := junitSuite{Name: clean(r.Target), Time: fmt.Sprintf("%.3f", r.Duration.Seconds())}
		if !r.At.IsZero() {
			s.Timestamp = r.At.UTC().Format("2006-01-02T15:04:05")
		}
		for _, f := range r.Findings {
			c := junitCaseOf(item{r.Target, f})
			s.Tests++
			if c.Failure != nil {
				s.Failures++
			}
			if c.Skipped != nil {
				s.Skipped++
			}
			s.Cases = append(s.Cases, c)
		}
		all.Tests += s.Tests
		all.Failures += s.Failures
		all.Skipped += s.Skipped
		all.Suites = append(all.Suites, s)
	}
	_, _ = w.WriteString(xml.Header)
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(all); err != nil {
		return err
	}
	return w.WriteByte('\n')
}

func junitCaseOf(i item) junitCase {
	c := junitCase{Class: i.Rule.ID, Name: strings.TrimSpace(i.Rule.ID + " " + clean(i.Subject)), Time: "0"}
	if i.Source != nil {
		c.File, c.Line = clean(i.Source.File), max(i.Source.Line, 0)
	}
	detail := i.detail()
	switch i.Outcome {
	case connsec.Pass:
		c.Out = detail
	case connsec.Fail:
		message := detail
		if message == "" {
			message = clean(i.Rule.Title)
		}
		c.Failure = &junitFailure{message, i.Severity.String(), junitText(i)}
	case connsec.Waived:
		message := "waived: " + detail
		if w := i.Waiver; w != nil {
			message = "waived until " + w.Until.Format(time.DateOnly) + ": " + clean(w.Reason)
			c.Out = detail
		}
		c.Skipped = &junitSkipped{message}
	default:
		c.Skipped = &junitSkipped{i.Outcome.String() + ": " + detail}
	}
	return c
}

// junitText is what a CI server shows below a failure.
func junitText(i item) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s)\n%s\n", clean(i.Rule.Title), i.Severity, i.place())
	for _, s := range []string{i.position(), i.detail(), i.lapsed()} {
		if s != "" {
			b.WriteString(s + "\n")
		}
	}
	for _, a := range i.Evidence {
		fmt.Fprintf(&b, "%s: %s\n", clean(a.Key), clean(a.Value))
	}
	if i.Rule.Fix != "" {
		fmt.Fprintf(&b, "Fix: %s\n", i.Rule.Fix)
	}
	if refs := citations(i.Rule); refs != "" {
		fmt.Fprintf(&b, "See: %s\n", refs)
	}
	return b.String()
}
