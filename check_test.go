package connsec_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/connsec/connsec"
)

var (
	ruleA = &connsec.Rule{ID: "rule-a", Title: "A is wrong", Severity: connsec.High}
	ruleB = &connsec.Rule{ID: "rule-b", Title: "B is wrong", Severity: connsec.Low, DependsOn: []*connsec.Rule{ruleA}}
	ruleC = &connsec.Rule{ID: "rule-c", Title: "C is wrong", Severity: connsec.Critical, DependsOn: []*connsec.Rule{ruleB}}
)

func TestVerdicts(t *testing.T) {
	for o, v := range map[connsec.Outcome]connsec.Verdict{
		connsec.Pass:          connsec.Passed("%d of %d", 1, 2),
		connsec.Fail:          connsec.Failed("%d of %d", 1, 2),
		connsec.NotApplicable: connsec.Skipped("%d of %d", 1, 2),
		connsec.Inconclusive:  connsec.Unknown("%d of %d", 1, 2),
	} {
		assert.Equal(t, connsec.Verdict{Outcome: o, Detail: "1 of 2"}, v)
	}
	assert.Equal(t, "100 %d", connsec.Passed("100 %d").Detail, "without arguments the text is no format")
	assert.Equal(t, "REDACTED", connsec.Failed("%v", connsec.NewSecret("hunter2")).Detail)
}

func TestVerdictWithIsACopy(t *testing.T) {
	base := connsec.Failed("x").With("a", 1)
	one, two := base.With("b", true), base.With("c", connsec.NewSecret("hunter2"))
	assert.Equal(t, []connsec.Attr{{Key: "a", Value: "1"}}, base.Evidence)
	assert.Equal(t, []connsec.Attr{{Key: "a", Value: "1"}, {Key: "b", Value: "true"}}, one.Evidence)
	assert.Equal(t, []connsec.Attr{{Key: "a", Value: "1"}, {Key: "c", Value: "REDACTED"}}, two.Evidence)
	assert.Equal(t, connsec.Info, base.As(connsec.Info).Severity)
	assert.Zero(t, base.Severity)
}

func answer(v connsec.Verdict) func(int) connsec.Verdict {
	return func(int) connsec.Verdict { return v }
}

func TestRun(t *testing.T) {
	pass, fail := connsec.Passed("good"), connsec.Failed("bad")
	type check = connsec.Check[int]
	for _, c := range []struct {
		name   string
		checks []check
		want   []string
	}{
		{"none", nil, []string{}},
		{"pass and fail", []check{{ruleA, answer(pass)}, {ruleB, answer(fail)}},
			[]string{"rule-a high pass good", "rule-b low fail bad"}},
		{"a failure stops those that depend on it", []check{{ruleA, answer(fail)}, {ruleB, answer(pass)}, {ruleC, answer(pass)}},
			[]string{"rule-a high fail bad", "rule-b low not-applicable not judged, because rule-a did not pass",
				"rule-c critical not-applicable not judged, because rule-b did not pass"}},
		{"so does what is unknown", []check{{ruleA, answer(connsec.Unknown("?"))}, {ruleB, answer(pass)}},
			[]string{"rule-a high inconclusive ?", "rule-b low not-applicable not judged, because rule-a did not pass"}},
		{"the order does not matter", []check{{ruleC, answer(pass)}, {ruleB, answer(pass)}, {ruleA, answer(fail)}},
			[]string{"rule-c critical not-applicable not judged, because rule-b did not pass",
				"rule-b low not-applicable not judged, because rule-a did not pass", "rule-a high fail bad"}},
		{"an absent prerequisite does not count", []check{{ruleB, answer(pass)}}, []string{"rule-b low pass good"}},
		{"a severity of its own", []check{{ruleA, answer(fail.As(connsec.Info))}}, []string{"rule-a info fail bad"}},
		{"an invalid severity keeps the rule's", []check{{ruleA, answer(fail.As(77))}}, []string{"rule-a high fail bad"}},
		{"a panic is no answer", []check{{ruleA, func(int) connsec.Verdict { panic("hunter2") }}, {ruleB, answer(pass)}},
			[]string{"rule-a high inconclusive the check itself failed on these facts; please report this as a defect",
				"rule-b low not-applicable not judged, because rule-a did not pass"}},
		{"nor is nil", []check{{ruleA, nil}},
			[]string{"rule-a high inconclusive the check itself failed on these facts; please report this as a defect"}},
		{"no outcome", []check{{ruleA, answer(connsec.Verdict{})}},
			[]string{"rule-a high inconclusive the check gave no answer; please report this as a defect"}},
		{"an outcome that does not exist", []check{{ruleA, answer(connsec.Verdict{Outcome: 9})}},
			[]string{"rule-a high inconclusive the check gave no answer; please report this as a defect"}},
		{"a judge cannot waive", []check{{ruleA, answer(connsec.Verdict{Outcome: connsec.Waived})}},
			[]string{"rule-a high inconclusive the check gave no answer; please report this as a defect"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := []string{}
			for _, f := range connsec.Run("subject", 0, c.checks) {
				assert.Equal(t, "subject", f.Subject)
				got = append(got, fmt.Sprint(f.Rule.ID, " ", f.Severity, " ", f.Outcome, " ", f.Detail))
			}
			assert.Equal(t, c.want, got)
		})
	}
}

func TestRunKeepsTheLastOfEachAttribute(t *testing.T) {
	v := connsec.Passed("x").With("a", 1).With("b", 2).With("a", 3)
	got := connsec.Run("s", 0, []connsec.Check[int]{{Rule: ruleA, Judge: answer(v)}})
	assert.Equal(t, []connsec.Attr{{Key: "b", Value: "2"}, {Key: "a", Value: "3"}}, got[0].Evidence)
}

// TestRunProperties draws rules with any dependencies, cycles included, and any answers.
func TestRunProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "rules")
		rules := make([]*connsec.Rule, n)
		for i := range rules {
			rules[i] = &connsec.Rule{ID: fmt.Sprintf("rule-%d", i), Severity: connsec.Low}
		}
		acyclic := rapid.Bool().Draw(t, "acyclic")
		checks := make([]connsec.Check[int], n)
		judged := make([]int, n)
		for i, r := range rules {
			for j := range rules {
				if (!acyclic || j < i) && rapid.IntRange(0, 3).Draw(t, "edge") == 0 {
					r.DependsOn = append(r.DependsOn, rules[j])
				}
			}
			outcome := connsec.Outcome(rapid.IntRange(0, 6).Draw(t, "outcome"))
			checks[i] = connsec.Check[int]{Rule: r, Judge: func(int) connsec.Verdict {
				judged[i]++
				if outcome == 6 {
					panic("x")
				}
				return connsec.Verdict{Outcome: outcome, Detail: "x"}
			}}
		}
		order := rapid.Permutation(checks).Draw(t, "order")
		outcomes := map[*connsec.Rule]connsec.Outcome{}
		for k, f := range connsec.Run("s", 0, order) {
			require.Same(t, order[k].Rule, f.Rule, "in the order of the checks")
			require.True(t, f.Outcome.Valid())
			require.NotEqual(t, connsec.Waived, f.Outcome)
			require.NotEmpty(t, f.Detail)
			outcomes[f.Rule] = f.Outcome
		}
		for i, r := range rules {
			require.LessOrEqual(t, judged[i], 1, "judged once at most")
			if !acyclic {
				continue
			}
			blocked := false
			for _, d := range r.DependsOn {
				blocked = blocked || outcomes[d] != connsec.Pass
			}
			require.Equal(t, blocked, judged[i] == 0)
			if blocked {
				require.Equal(t, connsec.NotApplicable, outcomes[r])
			}
		}
	})
}

func BenchmarkRun(b *testing.B) {
	checks := make([]connsec.Check[int], 40)
	for i := range checks {
		checks[i] = connsec.Check[int]{Rule: &connsec.Rule{ID: fmt.Sprint("rule-", i), Severity: connsec.Low}, Judge: answer(connsec.Passed("ok"))}
		if i > 0 {
			checks[i].Rule.DependsOn = []*connsec.Rule{checks[i-1].Rule}
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		connsec.Run("subject", 0, checks)
	}
}

func TestRulesOf(t *testing.T) {
	a, b := &connsec.Rule{ID: "a"}, &connsec.Rule{ID: "b"}
	assert.Equal(t, []*connsec.Rule{b, a}, connsec.RulesOf([]connsec.Check[int]{{Rule: b}, {Rule: a}}))
	assert.Empty(t, connsec.RulesOf[int](nil))
}
