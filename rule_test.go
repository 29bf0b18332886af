package connsec_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
)

func TestSeverityNames(t *testing.T) {
	want := []string{"info", "low", "medium", "high", "critical"}
	require.Len(t, connsec.Severities(), len(want))
	for i, s := range connsec.Severities() {
		assert.Equal(t, want[i], s.String())
		assert.True(t, s.Valid())
		if i > 0 {
			assert.Greater(t, s, connsec.Severities()[i-1], "rising order")
		}
		got, err := connsec.ParseSeverity(want[i])
		require.NoError(t, err)
		assert.Equal(t, s, got)
		text, err := json.Marshal(s)
		require.NoError(t, err)
		assert.Equal(t, `"`+want[i]+`"`, string(text))
		var back connsec.Severity
		require.NoError(t, json.Unmarshal(text, &back))
		assert.Equal(t, s, back)
	}
}

func TestOutcomeNames(t *testing.T) {
	want := []string{"pass", "fail", "not-applicable", "inconclusive", "waived"}
	require.Len(t, connsec.Outcomes(), len(want))
	for i, o := range connsec.Outcomes() {
		assert.Equal(t, want[i], o.String())
		assert.True(t, o.Valid())
		got, err := connsec.ParseOutcome(want[i])
		require.NoError(t, err)
		assert.Equal(t, o, got)
		text, err := json.Marshal(o)
		require.NoError(t, err)
		var back connsec.Outcome
		require.NoError(t, json.Unmarshal(text, &back))
		assert.Equal(t, o, back)
	}
}

func TestInvalidNames(t *testing.T) {
	assert.False(t, connsec.Severity(0).Valid())
	assert.False(t, connsec.Severity(6).Valid())
	assert.False(t, connsec.Outcome(0).Valid())
	assert.False(t, connsec.Outcome(6).Valid())
	assert.Equal(t, "severity(0)", connsec.Severity(0).String())
	assert.Equal(t, "outcome(99)", connsec.Outcome(99).String())

	_, err := json.Marshal(connsec.Severity(0))
	assert.ErrorContains(t, err, "connsec: cannot encode invalid severity(0)")
	_, err = json.Marshal(connsec.Outcome(9))
	assert.ErrorContains(t, err, "connsec: cannot encode invalid outcome(9)")

	for _, name := range []string{"", "High", " high", "hi", "severity(0)", "5"} {
		_, err := connsec.ParseSeverity(name)
		assert.ErrorContains(t, err, "connsec: unknown severity", name)
		_, err = connsec.ParseOutcome(name)
		assert.ErrorContains(t, err, "connsec: unknown outcome", name)
	}
	s, o := connsec.High, connsec.Pass
	assert.Error(t, s.UnmarshalText([]byte("x")))
	assert.Error(t, o.UnmarshalText([]byte("x")))
	assert.Equal(t, connsec.High, s, "unchanged after an error")
	assert.Equal(t, connsec.Pass, o)

	_, err = connsec.ParseSeverity(strings.Repeat("日", 1000))
	assert.Less(t, len(err.Error()), 200, "foreign text is bounded")
}

func TestCitation(t *testing.T) {
	assert.Equal(t, "RFC 4513 §5.1.2", connsec.Citation{Doc: "RFC 4513", Section: "5.1.2"}.String())
	assert.Equal(t, "Security guide, LDAP", connsec.Citation{Doc: "Security guide", Section: "LDAP"}.String())
	assert.Equal(t, "RFC 8996", connsec.Citation{Doc: "RFC 8996", URL: "https://example.org"}.String())
}

func TestRuleIsAnErrorTarget(t *testing.T) {
	var err error = ruleA
	assert.EqualError(t, err, "rule-a: A is wrong")
	assert.NotErrorIs(t, errors.Join(ruleB), &connsec.Rule{ID: "rule-b", Title: "B is wrong"}, "rules are compared by address")

	text, err := json.Marshal(ruleA)
	require.NoError(t, err)
	assert.Equal(t, `"rule-a"`, string(text))
	_, err = (&connsec.Rule{}).MarshalText()
	assert.Error(t, err)
	_, err = (*connsec.Rule)(nil).MarshalText()
	assert.Error(t, err)
}

func TestPosition(t *testing.T) {
	for want, p := range map[string]connsec.Position{
		"f.yaml:3:7": {File: "f.yaml", Line: 3, Column: 7},
		"f.yaml:3":   {File: "f.yaml", Line: 3},
		"f.yaml":     {File: "f.yaml", Column: 7},
		"":           {},
	} {
		assert.Equal(t, want, p.String())
	}
}
