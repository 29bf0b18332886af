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
// report is a suite, a finding a case. What failed at or above Options.FailOn is a failure, whose
// type is the severity, and what is inconclusive at or above it is an error, JUnit's word for a
// test that could not be carried out: so there are failures or errors exactly if a program that
// judges by the same severity does not succeed. The rest that did not pass – failed or inconclusive
// below it, waived, not applicable – is skipped, with a message that says which of these.

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
	Error   *junitFailure `xml:"error"`
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

func writeJUnit(w *bufio.Writer, reports []connsec.Report, opts Options) error {
	all := junitSuites{Name: "connsec"}
	for _, r := range reports {
		s := junitSuite{Name: clean(r.Target), Time: fmt.Sprintf("%.3f", r.Duration.Seconds())}
		if !r.At.IsZero() {
			s.Timestamp = r.At.UTC().Format("2006-01-02T15:04:05")
		}
		for _, f := range r.Findings {
			c := junitCaseOf(item{r.Target, f}, f.Severity >= opts.FailOn)
			s.Tests++
			switch {
			case c.Failure != nil:
				s.Failures++
			case c.Error != nil:
				s.Errors++
			case c.Skipped != nil:
				s.Skipped++
			}
			s.Cases = append(s.Cases, c)
		}
		all.Tests += s.Tests
		all.Failures += s.Failures
		all.Errors += s.Errors
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

// junitCaseOf: counts says that the severity is one that matters.
func junitCaseOf(i item, counts bool) junitCase {
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
		if !counts {
			c.Skipped = &junitSkipped{"failed, " + i.Severity.String() + ": " + message}
			c.Out = junitText(i)
			break
		}
		c.Failure = &junitFailure{message, i.Severity.String(), junitText(i)}
	case connsec.Inconclusive:
		if !counts {
			c.Skipped = &junitSkipped{i.Outcome.String() + ", " + i.Severity.String() + ": " + detail}
			break
		}
		c.Error = &junitFailure{i.Outcome.String() + ": " + detail, i.Severity.String(), junitText(i)}
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

// junitText is what a CI server shows below a failure or an error.
func junitText(i item) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s)\n%s\n", group{i.Rule, []item{i}}.title(), i.Severity, i.place())
	for _, s := range []string{i.position(), i.detail(), i.lapsed()} {
		if s != "" {
			b.WriteString(s + "\n")
		}
	}
	for _, a := range i.Evidence {
		fmt.Fprintf(&b, "%s: %s\n", clean(a.Key), clean(a.Value))
	}
	if i.Rule.Fix != "" && i.Outcome == connsec.Fail {
		fmt.Fprintf(&b, "Fix: %s\n", i.Rule.Fix)
	}
	if refs := citations(i.Rule); refs != "" {
		fmt.Fprintf(&b, "See: %s\n", refs)
	}
	return b.String()
}
