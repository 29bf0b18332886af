package connsec_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
)

var now = time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC)

func found(r *connsec.Rule, o connsec.Outcome, subject, detail string) connsec.Finding {
	return connsec.Finding{Rule: r, Severity: r.Severity, Outcome: o, Subject: subject, Detail: detail}
}

func sample() connsec.Report {
	return connsec.Report{Target: "dc1", At: now, Findings: []connsec.Finding{
		found(ruleB, connsec.Fail, "dc1:389", "b seen"),
		found(ruleA, connsec.Fail, "dc1:389", "a seen"),
		found(ruleA, connsec.Fail, "dc1:636", ""),
		found(ruleC, connsec.Inconclusive, "dc1:636", "c unknown"),
		found(ruleC, connsec.Pass, "dc1:389", "c fine"),
	}}
}

func TestReportAsks(t *testing.T) {
	r := sample()
	assert.Len(t, r.Failed(connsec.Info), 3)
	assert.Len(t, r.Failed(connsec.High), 2)
	assert.Empty(t, r.Failed(connsec.Critical), "an inconclusive critical rule did not fail")
	assert.Equal(t, 3, r.Count(connsec.Fail))
	assert.Equal(t, 1, r.Count(connsec.Inconclusive))
	assert.Equal(t, 0, r.Count(connsec.Waived))
	assert.Len(t, r.Of(ruleC), 2)
	assert.Empty(t, r.Of(&connsec.Rule{ID: ruleC.ID}))
	assert.Empty(t, connsec.Report{}.Failed(connsec.Info))
}

func TestForgottenSeverityIsNotHarmless(t *testing.T) {
	f := found(ruleA, connsec.Fail, "dc1:389", "a seen")
	f.Severity = 0
	r := connsec.Report{Target: "dc1", Findings: []connsec.Finding{f}}
	assert.Len(t, r.Failed(connsec.Critical), 1)
	assert.EqualError(t, r.Err(connsec.Critical), "connsec: dc1: rule-a (severity(0)): a seen")
}

func TestReportErr(t *testing.T) {
	err := sample().Err(connsec.Info)
	require.Error(t, err)
	assert.EqualError(t, err, "connsec: dc1: rule-a (high): a seen (and 2 more)")
	assert.ErrorIs(t, err, ruleA)
	assert.ErrorIs(t, fmt.Errorf("starting: %w", err), ruleB)
	assert.NotErrorIs(t, err, ruleC)
	var failed *connsec.FailedError
	require.ErrorAs(t, err, &failed)
	assert.Len(t, failed.Findings, 3)

	assert.NotErrorIs(t, sample().Err(connsec.High), ruleB)
	assert.NoError(t, sample().Err(connsec.Critical))
	assert.NoError(t, connsec.Report{}.Err(connsec.Info), "a nil error, not a typed nil")

	untitled := connsec.Report{Findings: []connsec.Finding{found(ruleA, connsec.Fail, "", "")}}
	assert.EqualError(t, untitled.Err(connsec.Info), "connsec: rule-a (high): A is wrong")
	for _, o := range []connsec.Outcome{connsec.Pass, connsec.NotApplicable, connsec.Inconclusive, connsec.Waived} {
		assert.NoError(t, connsec.Report{Findings: []connsec.Finding{found(ruleA, o, "", "")}}.Err(connsec.Info), o.String())
	}
}

func TestWaiverProblem(t *testing.T) {
	valid := connsec.Waiver{Rule: "rule-a", Reason: "replaced in spring", Until: now}
	assert.NoError(t, valid.Problem(now), "the last instant still counts")
	for want, spoil := range map[string]func(*connsec.Waiver){
		"connsec: waiver names no rule":                  func(w *connsec.Waiver) { w.Rule = "" },
		"connsec: waiver for rule-a gives no reason":     func(w *connsec.Waiver) { w.Reason = " \n" },
		"connsec: waiver for rule-a has no end date":     func(w *connsec.Waiver) { w.Until = time.Time{} },
		"connsec: waiver for rule-a ended on 2026-11-23": func(w *connsec.Waiver) { w.Until = now.Add(-1) },
	} {
		w := valid
		spoil(&w)
		assert.EqualError(t, w.Problem(now), want)
	}
}

func TestWaive(t *testing.T) {
	until := now.Add(time.Hour)
	waiver := func(rule, subject, reason string, until time.Time) connsec.Waiver {
		return connsec.Waiver{Rule: rule, Subject: subject, Reason: reason, Until: until}
	}
	for _, c := range []struct {
		name    string
		waivers []connsec.Waiver
		want    []connsec.Outcome // of the five findings of sample
		unused  int
	}{
		{"none", nil, []connsec.Outcome{connsec.Fail, connsec.Fail, connsec.Fail, connsec.Inconclusive, connsec.Pass}, 0},
		{"every subject", []connsec.Waiver{waiver("rule-a", "", "x", until)},
			[]connsec.Outcome{connsec.Fail, connsec.Waived, connsec.Waived, connsec.Inconclusive, connsec.Pass}, 0},
		{"one subject", []connsec.Waiver{waiver("rule-a", "dc1:636", "x", until)},
			[]connsec.Outcome{connsec.Fail, connsec.Fail, connsec.Waived, connsec.Inconclusive, connsec.Pass}, 0},
		{"subjects are exact", []connsec.Waiver{waiver("rule-a", "dc1", "x", until)},
			[]connsec.Outcome{connsec.Fail, connsec.Fail, connsec.Fail, connsec.Inconclusive, connsec.Pass}, 1},
		{"only failures", []connsec.Waiver{waiver("rule-c", "", "x", until)},
			[]connsec.Outcome{connsec.Fail, connsec.Fail, connsec.Fail, connsec.Inconclusive, connsec.Pass}, 1},
		{"ended", []connsec.Waiver{waiver("rule-a", "", "x", now.Add(-1))},
			[]connsec.Outcome{connsec.Fail, connsec.Fail, connsec.Fail, connsec.Inconclusive, connsec.Pass}, 0},
		{"no reason", []connsec.Waiver{waiver("rule-a", "", "", until)},
			[]connsec.Outcome{connsec.Fail, connsec.Fail, connsec.Fail, connsec.Inconclusive, connsec.Pass}, 0},
		{"zero", []connsec.Waiver{{}},
			[]connsec.Outcome{connsec.Fail, connsec.Fail, connsec.Fail, connsec.Inconclusive, connsec.Pass}, 1},
		{"a valid one after one that ended", []connsec.Waiver{waiver("rule-b", "", "old", now.Add(-1)), waiver("rule-b", "", "new", until)},
			[]connsec.Outcome{connsec.Waived, connsec.Fail, connsec.Fail, connsec.Inconclusive, connsec.Pass}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := sample()
			after, unused := before.Waive(c.waivers, now)
			assert.Equal(t, sample(), before, "the receiver is not changed")
			assert.Len(t, unused, c.unused)
			for i, f := range after.Findings {
				assert.Equal(t, c.want[i], f.Outcome, "finding %d", i)
				if f.Outcome == connsec.Waived {
					require.NotNil(t, f.Waiver)
					assert.NoError(t, f.Waiver.Problem(now), "what is accepted is accepted by a valid waiver")
				}
			}
		})
	}
	after, _ := sample().Waive([]connsec.Waiver{waiver("rule-a", "", "x", now.Add(-1))}, now)
	require.NotNil(t, after.Findings[1].Waiver, "a failure says which waiver does not hold")
	assert.Error(t, after.Err(connsec.High))
	after, _ = sample().Waive([]connsec.Waiver{waiver("rule-a", "", "x", until)}, now)
	assert.NoError(t, after.Err(connsec.High))
	assert.False(t, errors.Is(after.Err(connsec.Info), ruleA))
}
