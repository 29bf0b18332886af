package ruletest

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/connsec/connsec"
)

var (
	ruleA = &connsec.Rule{ID: "rule-a", Title: "a", Severity: connsec.High}
	ruleB = &connsec.Rule{ID: "rule-b", Title: "b", Severity: connsec.Low}
)

// witness takes the place of a test that may fail.
type witness struct {
	testing.TB
	errors []string
}

func (w *witness) Helper()                   {}
func (w *witness) Errorf(f string, a ...any) { w.errors = append(w.errors, fmt.Sprintf(f, a...)) }

func finding(r *connsec.Rule, o connsec.Outcome) connsec.Finding {
	return connsec.Finding{Rule: r, Severity: connsec.High, Outcome: o, Subject: "s", Detail: "seen"}
}

func report(f ...connsec.Finding) connsec.Report { return connsec.Report{Findings: f} }

func TestExpect(t *testing.T) {
	for _, c := range []struct {
		name    string
		report  connsec.Report
		want    connsec.Outcome
		rules   []*connsec.Rule
		errors  []string
		counted bool
	}{
		{"as wanted", report(finding(ruleA, connsec.Pass)), connsec.Pass, []*connsec.Rule{ruleA}, nil, true},
		{"other outcome", report(finding(ruleA, connsec.Fail)), connsec.Pass, []*connsec.Rule{ruleA},
			[]string{`rule-a: want pass, got fail on "s": seen`}, false},
		{"both outcomes", report(finding(ruleA, connsec.Pass), finding(ruleA, connsec.Fail)), connsec.Pass, []*connsec.Rule{ruleA},
			[]string{`rule-a: want pass, got fail on "s": seen`}, false},
		{"absent", report(finding(ruleB, connsec.Pass)), connsec.Pass, []*connsec.Rule{ruleA},
			[]string{"rule-a: want pass, but the report has no finding of this rule"}, false},
		{"nothing expected", report(), connsec.Pass, nil,
			[]string{"expected no rule to be pass: name the rules, or use ExpectFailed for none failed"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var l ledger
			var w witness
			l.expect(&w, c.report, c.want, c.rules)
			assert.Equal(t, c.errors, w.errors)
			assert.Equal(t, c.counted, l.has(ruleA, c.want))
		})
	}
}

func TestExpectFailed(t *testing.T) {
	failA, passB, failB := finding(ruleA, connsec.Fail), finding(ruleB, connsec.Pass), finding(ruleB, connsec.Fail)
	for _, c := range []struct {
		name   string
		report connsec.Report
		rules  []*connsec.Rule
		errors []string
	}{
		{"exactly these", report(failA, passB), []*connsec.Rule{ruleA}, nil},
		{"none", report(passB), nil, nil},
		{"one too many", report(failA, failB), []*connsec.Rule{ruleA}, []string{`rule-b: not expected to fail: fail on "s": seen`}},
		{"one too few", report(failA, passB), []*connsec.Rule{ruleA, ruleB}, []string{`rule-b: want a failure, got pass on "s": seen`}},
		{"absent", report(), []*connsec.Rule{ruleA}, []string{`rule-a: want a failure, got no finding`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var l ledger
			var w witness
			l.expectFailed(&w, c.report, c.rules)
			assert.Equal(t, c.errors, w.errors)
			assert.False(t, l.has(ruleB, connsec.Pass), "that nothing else failed is no proof of a pass")
		})
	}
}

func TestEveryFindingSaysWhatWasSeen(t *testing.T) {
	for name, f := range map[string]connsec.Finding{
		"no detail":  {Rule: ruleA, Severity: connsec.Low, Outcome: connsec.Pass},
		"two lines":  {Rule: ruleA, Severity: connsec.Low, Outcome: connsec.Pass, Detail: "a\nb"},
		"no outcome": {Rule: ruleA, Severity: connsec.Low, Detail: "a"},
		"no rule":    {Severity: connsec.Low, Outcome: connsec.Pass, Detail: "a"},
	} {
		t.Run(name, func(t *testing.T) {
			var l ledger
			var w witness
			l.expectFailed(&w, report(f), nil)
			assert.Len(t, w.errors, 1)
		})
	}
}

type exitCode int

func (c exitCode) Run() int { return int(c) }

func TestTrack(t *testing.T) {
	full := func() bool { return false }
	var complete ledger
	for _, o := range []connsec.Outcome{connsec.Pass, connsec.Fail} {
		complete.add(ruleA, o)
	}
	for _, c := range []struct {
		name    string
		seen    *ledger
		tests   exitCode
		partial bool
		want    int
		stderr  string
	}{
		{"both seen", &complete, 0, false, 0, ""},
		{"none seen", &ledger{}, 0, false, 1, "ruletest: rule-a: no test expects the outcome fail\nruletest: rule-a: no test expects the outcome pass\n"},
		{"tests failed already", &ledger{}, 2, false, 2, ""},
		{"some tests only", &ledger{}, 0, true, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var stderr bytes.Buffer
			partial := full
			if c.partial {
				partial = func() bool { return true }
			}
			got := (&tracked{c.tests, []*connsec.Rule{ruleA}, c.seen, partial, &stderr}).Run()
			assert.Equal(t, c.want, got)
			assert.Equal(t, c.stderr, stderr.String())
		})
	}
}
