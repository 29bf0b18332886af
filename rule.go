package connsec

import (
	"fmt"
	"strings"
	"time"
)

// Severity says how much a failed rule matters. The zero value is invalid, so that a
// forgotten severity is noticed and never reads as harmless.
type Severity uint8

// The severities, in rising order: a >= b compares them.
const (
	// Info is worth knowing; nothing needs to be done.
	Info Severity = iota + 1
	// Low weakens a defence that others back up.
	Low
	// Medium helps an attacker who already has a foothold.
	Medium
	// High lets an attacker on the path read or change the connection.
	High
	// Critical gives credentials or content away to anyone who looks.
	Critical
)

var severityNames = []string{"", "info", "low", "medium", "high", "critical"}

// Severities returns all valid severities in rising order.
func Severities() []Severity { return []Severity{Info, Low, Medium, High, Critical} }

// Valid reports whether s is one of the named severities.
func (s Severity) Valid() bool { return s >= Info && s <= Critical }

// String returns the lower-case name, as it stands in JSON.
func (s Severity) String() string {
	if !s.Valid() {
		return fmt.Sprintf("severity(%d)", uint8(s))
	}
	return severityNames[s]
}

// ParseSeverity is the inverse of [Severity.String]. Names are exact.
func ParseSeverity(name string) (Severity, error) {
	for _, s := range Severities() {
		if severityNames[s] == name {
			return s, nil
		}
	}
	return 0, fmt.Errorf("connsec: unknown severity %q (one of %s)", clip(name), strings.Join(severityNames[1:], ", "))
}

// MarshalText writes the name and refuses an invalid value.
func (s Severity) MarshalText() ([]byte, error) {
	if !s.Valid() {
		return nil, fmt.Errorf("connsec: cannot encode invalid %s", s)
	}
	return []byte(s.String()), nil
}

// UnmarshalText accepts exactly the names that MarshalText writes.
func (s *Severity) UnmarshalText(text []byte) error {
	v, err := ParseSeverity(string(text))
	if err == nil {
		*s = v
	}
	return err
}

// Outcome is the result of applying one rule to one subject. The zero value is invalid: a
// judge that forgets to answer has not passed anything.
type Outcome uint8

const (
	// Pass: the facts satisfy the rule.
	Pass Outcome = iota + 1
	// Fail: the facts violate the rule.
	Fail
	// NotApplicable: the rule's question does not arise here, or a rule that it depends
	// on did not pass.
	NotApplicable
	// Inconclusive: the facts do not tell. It proves nothing in either direction.
	Inconclusive
	// Waived: the rule failed and a valid [Waiver] accepts that for now.
	Waived
)

var outcomeNames = []string{"", "pass", "fail", "not-applicable", "inconclusive", "waived"}

// Outcomes returns all valid outcomes.
func Outcomes() []Outcome { return []Outcome{Pass, Fail, NotApplicable, Inconclusive, Waived} }

// Valid reports whether o is one of the named outcomes.
func (o Outcome) Valid() bool { return o >= Pass && o <= Waived }

// String returns the lower-case name, as it stands in JSON.
func (o Outcome) String() string {
	if !o.Valid() {
		return fmt.Sprintf("outcome(%d)", uint8(o))
	}
	return outcomeNames[o]
}

// ParseOutcome is the inverse of [Outcome.String]. Names are exact.
func ParseOutcome(name string) (Outcome, error) {
	for _, o := range Outcomes() {
		if outcomeNames[o] == name {
			return o, nil
		}
	}
	return 0, fmt.Errorf("connsec: unknown outcome %q (one of %s)", clip(name), strings.Join(outcomeNames[1:], ", "))
}

// MarshalText writes the name and refuses an invalid value.
func (o Outcome) MarshalText() ([]byte, error) {
	if !o.Valid() {
		return nil, fmt.Errorf("connsec: cannot encode invalid %s", o)
	}
	return []byte(o.String()), nil
}

// UnmarshalText accepts exactly the names that MarshalText writes.
func (o *Outcome) UnmarshalText(text []byte) error {
	v, err := ParseOutcome(string(text))
	if err == nil {
		*o = v
	}
	return err
}

// Citation names the text that a rule enforces.
type Citation struct {
	Doc     string `json:"doc"`               // "RFC 4513", "MyQ Central Server security guide"
	Section string `json:"section,omitempty"` // "5.1.2", or a heading
	URL     string `json:"url,omitempty"`     // where to read it; empty when it has no stable address
}

// String returns "Doc §Section", or "Doc, Section" where the section is a heading.
func (c Citation) String() string {
	switch {
	case c.Section == "":
		return c.Doc
	case c.Section[0] >= '0' && c.Section[0] <= '9':
		return c.Doc + " §" + c.Section
	}
	return c.Doc + ", " + c.Section
}

// Rule is one thing that must hold, stated once, beside the judge that decides it. Rules are
// compared by address: packages export each as a variable, and a *Rule is an [errors.Is]
// target (see [Report.Err]).
type Rule struct {
	// ID is a kebab-case slug such as "ldap-cleartext-bind-accepted". It is stable, never
	// reused for another meaning, and carries no severity.
	ID string
	// Title is one line in the present tense: what is wrong when the rule fails.
	Title string
	// Why says what an attacker gains, in a sentence or two.
	Why string
	// Fix says what to do, in the terms of the product that has to be changed.
	Fix string
	// Severity of a failure, unless the judge finds reason for another (see [Verdict]).
	Severity Severity
	// Refs are the guide clauses, RFC sections and vendor pages that the rule enforces.
	Refs []Citation
	// Since is the connsec version that introduced the rule.
	Since string
	// Effective, when set, is the instant from which the rule judges; things made before it
	// are not held against it. The judge compares; zero means always.
	Effective time.Time
	// DependsOn lists rules that must pass on the same subject before this one means
	// anything. If one of them did not, this rule is NotApplicable.
	DependsOn []*Rule
}

// Error makes a rule usable as the target of [errors.Is] on the error of [Report.Err].
func (r *Rule) Error() string { return r.ID + ": " + r.Title }

// MarshalText writes the ID.
func (r *Rule) MarshalText() ([]byte, error) {
	if r == nil || r.ID == "" {
		return nil, fmt.Errorf("connsec: cannot encode a rule without ID")
	}
	return []byte(r.ID), nil
}

// clip bounds foreign text that is echoed in an error.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
