package apisec_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/apisec"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// observed is a rotation in which nothing is wrong: adopted 30 days ago, at that time new.
func observed(t *testing.T, change func(*apisec.RotationObservation)) apisec.RotationObservation {
	w := newWorld()
	w.active.Created = today
	o, err := w.rotation().Adopt(t.Context(), w.active)
	require.NoError(t, err)
	o.At = today.AddDate(0, 0, 30)
	change(&o)
	return o
}

// in puts the rotation into a step since a time before At.
func in(step apisec.Step, ago time.Duration) func(*apisec.RotationObservation) {
	return func(o *apisec.RotationObservation) {
		s := &o.State
		s.Step, s.Since = step, o.At.Add(-ago)
		s.Clock = s.Since
		other := apisec.Held{Credential: apisec.Credential{ClientID: id, KeyID: "2", Created: s.Since}, Recorded: s.Since}
		switch step {
		case apisec.Staging, apisec.Verifying, apisec.Activating:
			s.Next = &other
		case apisec.Draining, apisec.Revoking, apisec.Confirming:
			old := s.Current
			s.Current.KeyID, s.Current.Created, s.Current.Recorded = "2", s.Since, s.Since
			s.Old = &old
		}
	}
}

func TestRotationRules(t *testing.T) {
	type change = func(*apisec.RotationObservation)
	then := func(changes ...change) change {
		return func(o *apisec.RotationObservation) {
			for _, c := range changes {
				c(o)
			}
		}
	}
	after := func(days int) change { return func(o *apisec.RotationObservation) { o.At = today.AddDate(0, 0, days) } }
	tried := func(long time.Duration) change {
		return func(o *apisec.RotationObservation) {
			o.State.Tries = apisec.Tries{Count: 5, First: o.State.Since, Last: o.State.Since.Add(long)}
			o.State.Clock = o.State.Tries.Last
		}
	}
	for _, c := range []struct {
		name   string
		change change
		failed []*connsec.Rule
	}{
		{"new", after(1), nil},
		{"a day before the warning", after(75), nil},
		{"warning", after(76), []*connsec.Rule{apisec.RuleRotationDue}},
		{"a day before the end", after(89), []*connsec.Rule{apisec.RuleRotationDue}},
		{"overdue", after(90), []*connsec.Rule{apisec.RuleRotationOverdue}},
		{"expires first", func(o *apisec.RotationObservation) { o.State.Current.Expires = o.At.AddDate(0, 0, 3) }, []*connsec.Rule{apisec.RuleRotationDue}},
		{"expired", func(o *apisec.RotationObservation) { o.State.Current.Expires = o.At }, []*connsec.Rule{apisec.RuleRotationOverdue}},
		{"started in time", then(after(80), in(apisec.Creating, time.Hour)), nil},
		{"started, and overdue meanwhile", then(after(91), in(apisec.Staging, time.Hour)), []*connsec.Rule{apisec.RuleRotationOverdue}},
		{"creating for two days", in(apisec.Creating, 48*time.Hour), []*connsec.Rule{apisec.RuleRotationStalled}},
		{"draining for a day and a half", in(apisec.Draining, 36*time.Hour), nil},
		{"draining for two days and an hour", in(apisec.Draining, 49*time.Hour), []*connsec.Rule{apisec.RuleRotationStalled}},
		{"draining for four days", in(apisec.Draining, 96*time.Hour), []*connsec.Rule{apisec.RuleRotationStalled, apisec.RuleRotationOverlap}},
		{"draining for long by policy", then(func(o *apisec.RotationObservation) { o.State.Policy.Overlap = 96 * time.Hour }, in(apisec.Draining, time.Hour)), []*connsec.Rule{apisec.RuleRotationOverlap}},
		{"verifying, and nobody continues", then(in(apisec.Verifying, 25*time.Hour), tried(time.Minute)), []*connsec.Rule{apisec.RuleRotationStalled}},
		{"verifying", then(in(apisec.Verifying, 5*time.Minute), tried(4*time.Minute)), nil},
		{"lingering", then(in(apisec.Confirming, 40*time.Minute), tried(30*time.Minute)), nil},
		{"not revoked", then(in(apisec.Confirming, 2*time.Hour), tried(time.Hour)), []*connsec.Rule{apisec.RuleNotRevoked}},
		{"not revoked for days", then(in(apisec.Confirming, 30*time.Hour), tried(29*time.Hour)), []*connsec.Rule{apisec.RuleNotRevoked}},
		{"confirming, and nobody continues", in(apisec.Confirming, 25*time.Hour), []*connsec.Rule{apisec.RuleRotationStalled}},
		{"from the future", func(o *apisec.RotationObservation) { o.At = o.State.Clock.Add(-time.Hour) }, []*connsec.Rule{apisec.RuleRotationStalled}},
		{"failed", func(o *apisec.RotationObservation) {
			o.State.Failure = &apisec.Failure{At: today, Reason: "the server refuses 7B4C (2)"}
		}, []*connsec.Rule{apisec.RuleRotationFailed}},
		{"aborted", func(o *apisec.RotationObservation) {
			o.State.Failure = &apisec.Failure{At: today, Reason: "given up by an operator", Aborted: true}
		}, nil},
		{"refused", func(o *apisec.RotationObservation) { o.State.Current.Standing = apisec.Refused }, []*connsec.Rule{apisec.RuleCurrentRefused}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := observed(t, c.change)
			report := o.Judge()
			ruletest.ExpectFailed(t, report, c.failed...)
			assert.Equal(t, "reports", report.Target)
			what, _ := o.Next()
			assert.NotEmpty(t, what)
		})
	}

	fine := observed(t, func(o *apisec.RotationObservation) { o.State.Turns = 1 })
	ruletest.Expect(t, fine.Judge(), connsec.Pass, apisec.RuleRotationDue, apisec.RuleRotationOverdue, apisec.RuleRotationStalled,
		apisec.RuleRotationOverlap, apisec.RuleRotationFailed, apisec.RuleNotRevoked, apisec.RuleCurrentRefused)
	undated := observed(t, func(o *apisec.RotationObservation) { o.State.Current.Created = time.Time{} })
	ruletest.Expect(t, undated.Judge(), connsec.Inconclusive, apisec.RuleRotationDue, apisec.RuleRotationOverdue)
	what, _ := undated.Next()
	assert.Contains(t, what, "when the credential was made")
	ruletest.Expect(t, observed(t, in(apisec.Confirming, time.Minute)).Judge(), connsec.Inconclusive, apisec.RuleNotRevoked)
	ruletest.Expect(t, observed(t, in(apisec.Draining, time.Minute)).Judge(), connsec.NotApplicable, apisec.RuleNotRevoked)
	ruletest.Expect(t, observed(t, after(100)).Judge(), connsec.NotApplicable, apisec.RuleRotationDue)
}

func TestPolicyAlone(t *testing.T) {
	ruletest.Expect(t, apisec.RotationPolicy{}.Validate(), connsec.Pass, apisec.RuleRotationOverlap)
	ruletest.Expect(t, apisec.RotationPolicy{Overlap: -1}.Validate(), connsec.Pass, apisec.RuleRotationOverlap)
	ruletest.Expect(t, apisec.RotationPolicy{Overlap: 72 * time.Hour}.Validate(), connsec.Pass, apisec.RuleRotationOverlap)
	ruletest.Expect(t, apisec.RotationPolicy{Overlap: 72*time.Hour + 1}.Validate(), connsec.Fail, apisec.RuleRotationOverlap)
}

// Facts travel: they marshal without secrets, and are judged elsewhere as here.
func TestObservationTravels(t *testing.T) {
	w := newWorld()
	_, err := w.rotation().Start(t.Context(), w.active)
	require.NoError(t, err)
	o, err := w.rotation().Continue(t.Context())
	require.NoError(t, err)
	require.Equal(t, apisec.Draining, o.State.Step)
	text, err := json.Marshal(o)
	require.NoError(t, err)
	for _, c := range w.every {
		assert.NotContains(t, string(text), c.Secret.Reveal())
	}
	var back apisec.RotationObservation
	require.NoError(t, json.Unmarshal(text, &back))
	assert.Equal(t, o.Judge(), back.Judge())
	assert.True(t, o.State.Current.Secret.IsEmpty(), "an observation holds no secret at all")
	assert.True(t, o.State.Old.Secret.IsEmpty())

	report, err := w.rotation().Probe(t.Context())
	require.NoError(t, err)
	assert.Equal(t, o.Judge(), report)
}
