package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/connsec/connsec"
)

// outline is the order in which the formats for people tell a story: failures by severity,
// worst first, and within one severity by rule, so that a fix that concerns ten hosts stands
// once; then what could not be determined, what was waived, and the rest.
type outline struct {
	reports       []connsec.Report
	failed        []section // worst first, none empty
	inconclusive  []group
	waived        []group
	passed        []group
	notApplicable []group
	tally         tally // over all reports
}

type section struct {
	severity connsec.Severity
	groups   []group
}

type group struct {
	rule  *connsec.Rule
	items []item
}

// title is the rule's title: a statement for what failed, a question for what is not known.
func (g group) title() string {
	title := clean(g.rule.Title)
	if g.items[0].Outcome == connsec.Inconclusive {
		return strings.TrimRight(title, ".?!") + "?"
	}
	return title
}

type item struct {
	target string
	connsec.Finding
}

// place is where a finding belongs, for a reader who sees several targets at once.
func (i item) place() string {
	subject, target := clean(i.Subject), clean(i.target)
	switch {
	case subject == "":
		return target
	case target == "" || strings.Contains(subject, target) || strings.Contains(target, subject):
		return subject
	default:
		return subject + " (" + target + ")"
	}
}

// position is the place of the setting in its file, or "".
func (i item) position() string {
	if i.Source == nil || i.Source.File == "" {
		return ""
	}
	return clean(i.Source.String())
}

// lapsed says why the waiver that was considered for a failure does not hold, or "".
func (i item) lapsed() string {
	w := i.Waiver
	switch {
	case w == nil || i.Outcome != connsec.Fail:
		return ""
	case strings.TrimSpace(w.Reason) == "":
		return "The waiver does not hold: it gives no reason."
	case w.Until.IsZero():
		return "The waiver does not hold: it has no end date."
	default:
		return "The waiver does not hold: it ended on " + day(w.Until) + "."
	}
}

// accepted is the text of the waiver that holds.
func (i item) accepted() string {
	if i.Waiver == nil {
		return ""
	}
	return "Until " + day(i.Waiver.Until) + ": " + clean(i.Waiver.Reason)
}

func day(t time.Time) string { return t.Format("2 January 2006") }

func outlineOf(reports []connsec.Report) outline {
	o := outline{reports: reports}
	bySeverity := map[connsec.Severity][]group{}
	for _, r := range reports {
		for _, f := range r.Findings {
			o.tally.add(f)
			i := item{r.Target, f}
			switch f.Outcome {
			case connsec.Fail:
				bySeverity[f.Severity] = add(bySeverity[f.Severity], i)
			case connsec.Inconclusive:
				o.inconclusive = add(o.inconclusive, i)
			case connsec.Waived:
				o.waived = add(o.waived, i)
			case connsec.Pass:
				o.passed = add(o.passed, i)
			case connsec.NotApplicable:
				o.notApplicable = add(o.notApplicable, i)
			}
		}
	}
	for s := connsec.Critical; s >= connsec.Info; s-- {
		if g := bySeverity[s]; len(g) > 0 {
			o.failed = append(o.failed, section{s, g})
		}
	}
	return o
}

// add puts the item to its rule's group, or opens one. There are some hundred rules at most.
func add(groups []group, i item) []group {
	for k := range groups {
		if groups[k].rule == i.Rule {
			groups[k].items = append(groups[k].items, i)
			return groups
		}
	}
	return append(groups, group{i.Rule, []item{i}})
}

func size(groups []group) int {
	n := 0
	for _, g := range groups {
		n += len(g.items)
	}
	return n
}

// tally counts findings.
type tally struct {
	outcome  [connsec.Waived + 1]int
	failedAt [connsec.Critical + 1]int
}

func (t *tally) add(f connsec.Finding) {
	t.outcome[f.Outcome]++
	if f.Outcome == connsec.Fail {
		t.failedAt[f.Severity]++
	}
}

func tallyOf(r connsec.Report) tally {
	var t tally
	for _, f := range r.Findings {
		t.add(f)
	}
	return t
}

// part is one count of a summary, with what it counts, so that each format can colour it.
type part struct {
	N        int
	Name     string
	Outcome  connsec.Outcome
	Severity connsec.Severity // of failures; zero otherwise
}

func (p part) String() string { return fmt.Sprintf("%d %s", p.N, p.Name) }

// parts are the counts that are not zero, worst first.
func (t tally) parts() []part {
	var out []part
	for s := connsec.Critical; s >= connsec.Info; s-- {
		if n := t.failedAt[s]; n > 0 {
			out = append(out, part{n, s.String(), connsec.Fail, s})
		}
	}
	for _, p := range []part{
		{0, "inconclusive", connsec.Inconclusive, 0},
		{0, "waived", connsec.Waived, 0},
		{0, "passed", connsec.Pass, 0},
		{0, "not applicable", connsec.NotApplicable, 0},
	} {
		if p.N = t.outcome[p.Outcome]; p.N > 0 {
			out = append(out, p)
		}
	}
	return out
}

// taken is when the facts were taken and how long that took, or "" if neither is known. For
// several reports it is the first start and the longest duration, since they run at once.
func taken(reports []connsec.Report) string {
	var at time.Time
	var took time.Duration
	for _, r := range reports {
		if !r.At.IsZero() && (at.IsZero() || r.At.Before(at)) {
			at = r.At
		}
		took = max(took, r.Duration)
	}
	var words []string
	if !at.IsZero() {
		words = append(words, at.UTC().Format("2 January 2006 15:04 UTC"))
	}
	if took > 0 {
		words = append(words, duration(took))
	}
	return strings.Join(words, " · ")
}

func duration(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", max(1, d.Milliseconds()))
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	default:
		return d.Round(time.Second).String()
	}
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// citations are the references of a rule on one line.
func citations(r *connsec.Rule) string {
	var out []string
	for _, c := range r.Refs {
		out = append(out, c.String())
	}
	return strings.Join(out, "; ")
}
