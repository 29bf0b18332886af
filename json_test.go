package connsec_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
)

var rules = []*connsec.Rule{ruleA, ruleB, ruleC}

func complete() connsec.Report {
	r := sample()
	r.Duration = 1500 * time.Millisecond
	r.Findings[0].Evidence = []connsec.Attr{{Key: "z", Value: "<1>"}, {Key: "", Value: ""}, {Key: "a", Value: "2"}}
	r.Findings[0].Source = &connsec.Position{File: "deployment.yaml", Line: 3, Column: 5}
	r.Findings[1].Outcome = connsec.Waived
	r.Findings[1].Waiver = &connsec.Waiver{Rule: "rule-a", Reason: "why", Until: now}
	return r
}

func TestReportJSON(t *testing.T) {
	data, err := json.Marshal(complete())
	require.NoError(t, err)
	assert.True(t, strings.HasPrefix(string(data), `{"target":"dc1","at":"2026-11-23T18:00:00Z","duration_ms":1500,"findings":[`+
		`{"rule":"rule-b","severity":"low","outcome":"fail","subject":"dc1:389","detail":"b seen",`+
		`"evidence":{"z":"\u003c1\u003e","":"","a":"2"},"source":{"file":"deployment.yaml","line":3,"column":5}},`), string(data))
	got, err := connsec.DecodeReport(data, rules)
	require.NoError(t, err)
	assert.Equal(t, complete(), got)

	data, err = json.Marshal(connsec.Report{})
	require.NoError(t, err)
	assert.JSONEq(t, `{"target":"","at":"0001-01-01T00:00:00Z","duration_ms":0,"findings":[]}`, string(data))
}

func TestReportJSONRefusesToEncode(t *testing.T) {
	for name, f := range map[string]connsec.Finding{
		"no rule":     {Severity: connsec.Low, Outcome: connsec.Pass},
		"no rule ID":  {Rule: &connsec.Rule{}, Severity: connsec.Low, Outcome: connsec.Pass},
		"no severity": {Rule: ruleA, Outcome: connsec.Pass},
		"no outcome":  {Rule: ruleA, Severity: connsec.Low},
	} {
		_, err := json.Marshal(connsec.Report{Findings: []connsec.Finding{f}})
		assert.Error(t, err, name)
	}
}

func TestDecodeReportRefuses(t *testing.T) {
	const head = `{"target":"t","at":"2026-11-23T18:00:00Z","duration_ms":0,"findings":[`
	const good = `"rule":"rule-a","severity":"low","outcome":"pass","subject":"s","detail":"d","evidence":{}`
	_, err := connsec.DecodeReport([]byte(head+`{`+good+`}]}`), rules)
	require.NoError(t, err)
	for in, want := range map[string]string{
		``:                                 "connsec: report: EOF",
		`null`:                             "connsec: report: no findings",
		`{}`:                               "connsec: report: no findings",
		`[]`:                               "connsec: report: json: cannot unmarshal array",
		head + `]} x`:                      "connsec: report: unexpected data after the value",
		head + `],"extra":1}`:              `connsec: report: json: unknown field "extra"`,
		head + `null]}`:                    `finding 0: unknown rule ""`,
		head + `{` + good + `,"more":1}]}`: `finding 0: json: unknown field "more"`,
		head + `{` + strings.Replace(good, "rule-a", "rule-x", 1) + `}]}`:        `finding 0: unknown rule "rule-x"`,
		head + `{` + strings.Replace(good, "low", "LOW", 1) + `}]}`:              `unknown severity "LOW"`,
		head + `{` + strings.Replace(good, "pass", "ok", 1) + `}]}`:              `unknown outcome "ok"`,
		head + `{` + strings.Replace(good, `"low"`, "null", 1) + `}]}`:           "finding 0: no severity",
		head + `{` + strings.Replace(good, `"pass"`, "null", 1) + `}]}`:          "finding 0: no outcome",
		head + `{` + strings.Replace(good, "{}", "[]", 1) + `}]}`:                "evidence must be a JSON object",
		head + `{` + strings.Replace(good, "{}", `{"a":1}`, 1) + `}]}`:           `evidence "a" must be a string`,
		head + `{` + strings.Replace(good, "{}", `{"a":"1","a":"2"}`, 1) + `}]}`: `evidence "a" stands twice`,
		strings.Replace(head, ":0,", ":-1,", 1) + `]}`:                           "duration_ms -1 is out of range",
		strings.Replace(head, ":0,", ":9223372036855,", 1) + `]}`:                "duration_ms 9223372036855 is out of range",
	} {
		_, err := connsec.DecodeReport([]byte(in), rules)
		assert.ErrorContains(t, err, want, in)
	}
	var r connsec.Report
	assert.ErrorContains(t, json.Unmarshal([]byte(`{}`), &r), "DecodeReport")
	var f connsec.Finding
	assert.ErrorContains(t, json.Unmarshal([]byte(`{}`), &f), "DecodeReport")
}

// FuzzDecodeReport: what decodes also encodes, and comes back the same.
func FuzzDecodeReport(f *testing.F) {
	data, _ := json.Marshal(complete())
	f.Add(data)
	f.Add([]byte(`{"target":"","at":"0001-01-01T00:00:00Z","duration_ms":0,"findings":[]}`))
	f.Add([]byte(`{"target":"\ud800","at":"2026-11-23T18:00:00.123456789+14:00","duration_ms":1,"findings":[{"rule":"rule-a","severity":"high","outcome":"waived","evidence":{"\u0000":"\u2028"},"waiver":{"rule":"x"}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		first, err := connsec.DecodeReport(data, rules)
		if err != nil {
			return
		}
		once, err := json.Marshal(first)
		require.NoError(t, err)
		second, err := connsec.DecodeReport(once, rules)
		require.NoError(t, err, "%s", once)
		twice, err := json.Marshal(second)
		require.NoError(t, err)
		require.Equal(t, string(once), string(twice))
		require.Len(t, second.Findings, len(first.Findings))
	})
}

// FuzzReportJSON: a report of any text comes back the same, and never under unknown names.
func FuzzReportJSON(f *testing.F) {
	f.Add("t", "s", "d", "k1", "v1", "k2", "v2", "file", 3, 4, int64(1500), uint8(1), uint8(1), uint8(0))
	f.Add("\xff", "\u2028", "<&>", "\xff", "\x00", "\xfe", "\U0010ffff", "", -1, 0, int64(0), uint8(5), uint8(5), uint8(2))
	f.Fuzz(func(t *testing.T, target, subject, detail, k1, v1, k2, v2, file string, line, column int, ms int64, severity, outcome, rule uint8) {
		in := connsec.Report{Target: target, At: now, Duration: time.Duration(ms%1e9) * time.Millisecond, Findings: []connsec.Finding{{
			Rule: rules[int(rule)%len(rules)], Severity: connsec.Severity(severity), Outcome: connsec.Outcome(outcome), Subject: subject, Detail: detail,
			Evidence: []connsec.Attr{{Key: k1, Value: v1}, {Key: k2, Value: v2}},
			Source:   &connsec.Position{File: file, Line: line, Column: column},
			Waiver:   &connsec.Waiver{Rule: k1, Subject: subject, Reason: v1, Until: now},
		}}}
		data, err := json.Marshal(in)
		if !in.Findings[0].Severity.Valid() || !in.Findings[0].Outcome.Valid() {
			require.Error(t, err)
			return
		}
		require.NoError(t, err)
		out, err := connsec.DecodeReport(data, rules)
		if in.Duration < 0 {
			require.Error(t, err)
			return
		}
		require.NoError(t, err, "%s", data)

		// JSON has no invalid UTF-8 and no equal keys; all the rest must survive.
		for _, s := range []*string{&in.Target, &in.Findings[0].Subject, &in.Findings[0].Detail, &in.Findings[0].Source.File,
			&in.Findings[0].Waiver.Rule, &in.Findings[0].Waiver.Subject, &in.Findings[0].Waiver.Reason, &k1, &v1, &k2, &v2} {
			*s = string([]rune(*s)) // one U+FFFD for each invalid byte
		}
		in.Findings[0].Evidence = []connsec.Attr{{Key: k1, Value: v1}, {Key: k2, Value: v2}}
		if k1 == k2 {
			in.Findings[0].Evidence = in.Findings[0].Evidence[1:]
		}
		require.Equal(t, in, out)

		_, err = connsec.DecodeReport(data, nil)
		require.Error(t, err, "unknown rules are refused")
		_, err = connsec.DecodeReport(bytes.Replace(data, []byte(`"severity":"`), []byte(`"severity":"x`), 1), rules)
		require.Error(t, err)
	})
}

func BenchmarkReportJSON(b *testing.B) {
	r := complete()
	for len(r.Findings) < 200 {
		r.Findings = append(r.Findings, r.Findings...)
	}
	data, _ := json.Marshal(r)
	b.Run("encode", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			_, _ = json.Marshal(r)
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			_, _ = connsec.DecodeReport(data, rules)
		}
	})
}
