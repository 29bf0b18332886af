package connsec

import "fmt"

// Verdict is what a judge says about the facts. Build one with [Passed], [Failed], [Skipped]
// or [Unknown], so that none is without a reason.
type Verdict struct {
	Outcome Outcome
	// Severity replaces the rule's own for this verdict, where the same violation weighs
	// differently by context. Zero keeps the rule's.
	Severity Severity
	// Detail is one sentence about this subject: what was seen. Never a secret.
	Detail string
	// Evidence holds the facts the verdict rests on. Keys are unique; of two attributes
	// with one key, the last is kept.
	Evidence []Attr
}

// Attr is one named fact. Values are shown as they are: never put a secret into one.
type Attr struct{ Key, Value string }

// Passed is the verdict that the facts satisfy the rule.
func Passed(format string, args ...any) Verdict { return verdict(Pass, format, args) }

// Failed is the verdict that the facts violate the rule.
func Failed(format string, args ...any) Verdict { return verdict(Fail, format, args) }

// Skipped is the verdict that the rule's question does not arise.
func Skipped(format string, args ...any) Verdict { return verdict(NotApplicable, format, args) }

// Unknown is the verdict that the facts do not tell. The detail says why, and what would.
func Unknown(format string, args ...any) Verdict { return verdict(Inconclusive, format, args) }

func verdict(o Outcome, format string, args []any) Verdict {
	if len(args) == 0 {
		return Verdict{Outcome: o, Detail: format}
	}
	return Verdict{Outcome: o, Detail: fmt.Sprintf(format, args...)}
}

// With returns v with one more piece of evidence.
func (v Verdict) With(key string, value any) Verdict {
	v.Evidence = append(v.Evidence[:len(v.Evidence):len(v.Evidence)], Attr{key, fmt.Sprint(value)})
	return v
}

// As returns v with a severity of its own instead of the rule's.
func (v Verdict) As(s Severity) Verdict {
	v.Severity = s
	return v
}

// Check pairs a rule with the function that judges it. Judge must be pure and total: same
// facts, same verdict, no I/O, an answer for every input.
type Check[T any] struct {
	Rule  *Rule
	Judge func(T) Verdict
}

// Run judges in with each check and returns one finding per check, in the order of checks.
//
// A check whose rule depends on another that is among checks and did not pass (or was itself
// not applicable) is not judged: it is NotApplicable. The order of checks does not matter for
// that. A judge that panics or answers without a valid outcome gives Inconclusive; the panic's
// value is not shown, because it could carry what was judged.
func Run[T any](subject string, in T, checks []Check[T]) []Finding {
	findings := make([]Finding, len(checks))
	index := make(map[*Rule]int, len(checks))
	for i, c := range checks {
		index[c.Rule] = i
	}
	const (
		fresh = iota
		running
		done
	)
	state := make([]uint8, len(checks))
	var judge func(i int)
	judge = func(i int) {
		state[i] = running
		c := checks[i]
		var v Verdict
		for _, dep := range c.Rule.DependsOn {
			j, here := index[dep]
			if !here || state[j] == running { // a cycle is a mistake in the rules; the catalogue test finds it
				continue
			}
			if state[j] == fresh {
				judge(j)
			}
			if findings[j].Outcome != Pass {
				v = Skipped("not judged, because %s did not pass", dep.ID)
				break
			}
		}
		if v.Outcome == 0 {
			v = c.judge(in)
		}
		findings[i] = newFinding(c.Rule, subject, v)
		state[i] = done
	}
	for i := range checks {
		if state[i] == fresh {
			judge(i)
		}
	}
	return findings
}

func (c Check[T]) judge(in T) (v Verdict) {
	defer func() {
		if recover() != nil {
			v = Unknown("the check itself failed on these facts; please report this as a defect")
		}
	}()
	v = c.Judge(in)
	if !v.Outcome.Valid() || v.Outcome == Waived {
		v = Unknown("the check gave no answer; please report this as a defect")
	}
	return v
}

func newFinding(r *Rule, subject string, v Verdict) Finding {
	f := Finding{Rule: r, Severity: r.Severity, Outcome: v.Outcome, Subject: subject, Detail: v.Detail, Evidence: lastOfEach(v.Evidence)}
	if v.Severity.Valid() {
		f.Severity = v.Severity
	}
	return f
}

// lastOfEach drops attributes whose key comes again later. Lists are short.
func lastOfEach(attrs []Attr) []Attr {
	var kept []Attr
next:
	for i, a := range attrs {
		for _, later := range attrs[i+1:] {
			if later.Key == a.Key {
				continue next
			}
		}
		kept = append(kept, a)
	}
	return kept
}

// RulesOf returns the rules of checks, in their order.
func RulesOf[T any](checks []Check[T]) []*Rule {
	rules := make([]*Rule, len(checks))
	for i, c := range checks {
		rules[i] = c.Rule
	}
	return rules
}
