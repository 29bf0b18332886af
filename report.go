package connsec

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Position is a place in a text file, counted from 1. Column counts Unicode code points, as SARIF
// does, unless a field says otherwise; 0 means the line as a whole. Line 0 means the file as a whole.
type Position struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
}

// String returns "file:line:column", shortened where line or column is unknown.
func (p Position) String() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.Column == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	default:
		return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
	}
}

// Finding is the outcome of one rule on one subject.
type Finding struct {
	Rule     *Rule
	Severity Severity // the rule's, or the verdict's own
	Outcome  Outcome
	Subject  string    // what was judged: "central.corp.example:8093", "server.pfx"
	Detail   string    // one sentence: what was seen
	Evidence []Attr    // the facts behind it; keys are unique
	Source   *Position // where the setting stands, if it came from a file
	Waiver   *Waiver   // the waiver that was considered: valid if Outcome is Waived
}

// Report is everything that was found about one target.
type Report struct {
	Target   string
	At       time.Time     // when the facts were taken
	Duration time.Duration // how long that took
	Findings []Finding
}

// Failed returns the findings with outcome Fail and at least the given severity. A failure whose
// severity was forgotten is among them, whatever min is.
func (r Report) Failed(min Severity) []Finding {
	var out []Finding
	for _, f := range r.Findings {
		if f.Outcome == Fail && (f.Severity >= min || !f.Severity.Valid()) {
			out = append(out, f)
		}
	}
	return out
}

// Count returns how many findings have the outcome.
func (r Report) Count(o Outcome) int {
	n := 0
	for _, f := range r.Findings {
		if f.Outcome == o {
			n++
		}
	}
	return n
}

// Of returns the findings of one rule.
func (r Report) Of(rule *Rule) []Finding {
	var out []Finding
	for _, f := range r.Findings {
		if f.Rule == rule {
			out = append(out, f)
		}
	}
	return out
}

// Err returns nil if nothing failed at min or above, or a [*FailedError]. Waived and
// inconclusive findings are not failures; ask [Report.Count] for those.
func (r Report) Err(min Severity) error {
	failed := r.Failed(min)
	if len(failed) == 0 {
		return nil
	}
	return &FailedError{Target: r.Target, Findings: failed}
}

// FailedError says which rules failed. It unwraps to them:
//
//	errors.Is(err, tlscheck.RuleWildcard)
type FailedError struct {
	Target   string
	Findings []Finding // at least one, all failed
}

// Error is one line with the worst finding first.
func (e *FailedError) Error() string {
	worst := slices.MaxFunc(e.Findings, func(a, b Finding) int { return int(a.Severity) - int(b.Severity) })
	var b strings.Builder
	b.WriteString("connsec: ")
	if e.Target != "" {
		b.WriteString(e.Target + ": ")
	}
	b.WriteString(worst.Rule.ID + " (" + worst.Severity.String() + "): ")
	if worst.Detail != "" {
		b.WriteString(worst.Detail)
	} else {
		b.WriteString(worst.Rule.Title)
	}
	if n := len(e.Findings) - 1; n > 0 {
		fmt.Fprintf(&b, " (and %d more)", n)
	}
	return b.String()
}

// Unwrap returns the failed rules.
func (e *FailedError) Unwrap() []error {
	out := make([]error, len(e.Findings))
	for i, f := range e.Findings {
		out[i] = f.Rule
	}
	return out
}

var _ interface{ Unwrap() []error } = (*FailedError)(nil)

// Waiver accepts the failure of one rule until a date. A waiver without a reason, or past its
// date, accepts nothing: the finding stays Fail and says so.
type Waiver struct {
	Rule    string    `json:"rule" yaml:"rule"`                           // rule ID
	Subject string    `json:"subject,omitempty" yaml:"subject,omitempty"` // exact subject; empty: every subject of the report
	Reason  string    `json:"reason" yaml:"reason"`                       // why this is acceptable, for the next reader
	Until   time.Time `json:"until" yaml:"until"`                         // the last instant it holds; zero is long past
}

// Problem says why the waiver accepts nothing at the given time, or nil if it is valid.
func (w Waiver) Problem(now time.Time) error {
	switch {
	case w.Rule == "":
		return errors.New("connsec: waiver names no rule")
	case strings.TrimSpace(w.Reason) == "":
		return fmt.Errorf("connsec: waiver for %s gives no reason", clip(w.Rule))
	case w.Until.IsZero():
		return fmt.Errorf("connsec: waiver for %s has no end date", clip(w.Rule))
	case now.After(w.Until):
		return fmt.Errorf("connsec: waiver for %s ended on %s", clip(w.Rule), w.Until.Format(time.DateOnly))
	}
	return nil
}

func (w Waiver) covers(f Finding) bool {
	return f.Rule != nil && w.Rule == f.Rule.ID && (w.Subject == "" || w.Subject == f.Subject)
}

// Waive returns the report with each failed finding that a valid waiver covers turned to
// Waived, and the waivers that covered nothing (a sign that they can go, or name a rule
// wrongly). The receiver is not changed.
func (r Report) Waive(waivers []Waiver, now time.Time) (Report, []Waiver) {
	findings := slices.Clone(r.Findings)
	used := make([]bool, len(waivers))
	for i := range findings {
		f := &findings[i]
		if f.Outcome != Fail {
			continue
		}
		for j := range waivers {
			w := waivers[j]
			if !w.covers(*f) {
				continue
			}
			used[j] = true
			f.Waiver = &w
			if w.Problem(now) == nil {
				f.Outcome = Waived
				break
			}
		}
	}
	r.Findings = findings
	var unused []Waiver
	for j, w := range waivers {
		if !used[j] {
			unused = append(unused, w)
		}
	}
	return r, unused
}
