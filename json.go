package connsec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// The JSON forms. They are part of the API: fields are added, never renamed or reused.

type reportJSON struct {
	Target     string    `json:"target"`
	At         time.Time `json:"at"`
	DurationMS int64     `json:"duration_ms"`
	Findings   []Finding `json:"findings"`
}

type findingJSON struct {
	Rule     string    `json:"rule"`
	Severity Severity  `json:"severity"`
	Outcome  Outcome   `json:"outcome"`
	Subject  string    `json:"subject"`
	Detail   string    `json:"detail"`
	Evidence evidence  `json:"evidence"`
	Source   *Position `json:"source,omitempty"`
	Waiver   *Waiver   `json:"waiver,omitempty"`
}

// evidence is a JSON object that keeps its order.
type evidence []Attr

func (e evidence) MarshalJSON() ([]byte, error) {
	// JSON has no invalid UTF-8. Keys that differ only there must not become equal ones, so
	// they are replaced before equal keys are dropped.
	attrs := slices.Clone(e)
	for i := range attrs {
		attrs[i].Key = string([]rune(attrs[i].Key))
	}
	var b bytes.Buffer
	b.WriteByte('{')
	for i, a := range lastOfEach(attrs) {
		if i > 0 {
			b.WriteByte(',')
		}
		k, err := json.Marshal(a.Key)
		if err != nil {
			return nil, err
		}
		v, err := json.Marshal(a.Value)
		if err != nil {
			return nil, err
		}
		b.Write(k)
		b.WriteByte(':')
		b.Write(v)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

func (e *evidence) UnmarshalJSON(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return errors.New("connsec: evidence must be a JSON object")
	}
	seen := map[string]bool{}
	var out []Attr
	for dec.More() {
		k, err := dec.Token()
		if err != nil {
			return err
		}
		v, err := dec.Token()
		if err != nil {
			return err
		}
		key, _ := k.(string)
		value, ok := v.(string)
		if !ok {
			return fmt.Errorf("connsec: evidence %q must be a string", clip(key))
		}
		if seen[key] {
			return fmt.Errorf("connsec: evidence %q stands twice", clip(key))
		}
		seen[key] = true
		out = append(out, Attr{key, value})
	}
	*e = out
	return nil
}

// MarshalJSON writes the finding with its rule by ID.
func (f Finding) MarshalJSON() ([]byte, error) {
	if f.Rule == nil || f.Rule.ID == "" {
		return nil, errors.New("connsec: cannot encode a finding without rule")
	}
	return json.Marshal(findingJSON{f.Rule.ID, f.Severity, f.Outcome, f.Subject, f.Detail, f.Evidence, f.Source, f.Waiver})
}

var errNeedsRules = errors.New("connsec: findings name their rules by ID; decode them with DecodeReport and the rules you know")

// UnmarshalJSON always fails: an ID means nothing without the rules. Use [DecodeReport].
func (f *Finding) UnmarshalJSON([]byte) error { return errNeedsRules }

// MarshalJSON writes {"target","at","duration_ms","findings"}. The duration is in whole
// milliseconds.
func (r Report) MarshalJSON() ([]byte, error) {
	findings := r.Findings
	if findings == nil {
		findings = []Finding{}
	}
	return json.Marshal(reportJSON{r.Target, r.At, r.Duration.Milliseconds(), findings})
}

// UnmarshalJSON always fails: see [DecodeReport].
func (r *Report) UnmarshalJSON([]byte) error { return errNeedsRules }

// maxDurationMS bounds what fits into a [time.Duration].
const maxDurationMS = int64(1<<63-1) / int64(time.Millisecond)

// DecodeReport reads one report as [Report.MarshalJSON] writes it. The rules are those that
// the caller knows, usually the Rules() of the packages that made the report. Unknown rules,
// severities, outcomes and fields are refused: a report that is half understood is not
// understood.
func DecodeReport(data []byte, rules []*Rule) (Report, error) {
	var raw struct {
		Target     string            `json:"target"`
		At         time.Time         `json:"at"`
		DurationMS int64             `json:"duration_ms"`
		Findings   []json.RawMessage `json:"findings"`
	}
	if err := strict(data, &raw); err != nil {
		return Report{}, fmt.Errorf("connsec: report: %w", err)
	}
	if raw.Findings == nil {
		return Report{}, errors.New("connsec: report: no findings (an empty list says that there are none)")
	}
	if raw.DurationMS < 0 || raw.DurationMS > maxDurationMS {
		return Report{}, fmt.Errorf("connsec: report: duration_ms %d is out of range", raw.DurationMS)
	}
	byID := make(map[string]*Rule, len(rules))
	for _, r := range rules {
		byID[r.ID] = r
	}
	rep := Report{Target: raw.Target, At: raw.At, Duration: time.Duration(raw.DurationMS) * time.Millisecond}
	for i, msg := range raw.Findings {
		var f findingJSON
		if err := strict(msg, &f); err != nil {
			return Report{}, fmt.Errorf("connsec: report: finding %d: %w", i, err)
		}
		rule := byID[f.Rule]
		if rule == nil {
			return Report{}, fmt.Errorf("connsec: report: finding %d: unknown rule %q", i, clip(f.Rule))
		}
		if !f.Severity.Valid() {
			return Report{}, fmt.Errorf("connsec: report: finding %d: no severity", i)
		}
		if !f.Outcome.Valid() {
			return Report{}, fmt.Errorf("connsec: report: finding %d: no outcome", i)
		}
		rep.Findings = append(rep.Findings, Finding{rule, f.Severity, f.Outcome, f.Subject, f.Detail, f.Evidence, f.Source, f.Waiver})
	}
	return rep, nil
}

// strict decodes exactly one JSON value and refuses unknown fields and trailing data.
func strict(data []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("unexpected data after the value")
	}
	return nil
}
