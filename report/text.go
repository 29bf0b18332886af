package report

import (
	"bufio"
	"strings"

	"github.com/connsec/connsec"
)

// ANSI attributes (ECMA-48 SGR). Only the sixteen basic colours, which every terminal lets its
// user adjust for contrast.
const (
	bold = "1"
	dim  = "2"
)

var severityStyle = [...]string{
	connsec.Info: "1;34", connsec.Low: "1;36", connsec.Medium: "1;33", connsec.High: "1;31", connsec.Critical: "1;97;41",
}

var outcomeStyle = [...]string{
	connsec.Pass: "32", connsec.Fail: "31", connsec.NotApplicable: dim, connsec.Inconclusive: "35", connsec.Waived: "33",
}

type textWriter struct {
	*bufio.Writer
	width int
	color bool
}

func writeText(b *bufio.Writer, reports []connsec.Report, opts Options) error {
	t := &textWriter{b, opts.Width, opts.Color}
	if t.width == 0 {
		t.width = 80
	}
	t.width = max(t.width, 40)
	o := outlineOf(reports)

	t.header(o)
	for _, s := range o.failed {
		t.heading(strings.ToUpper(s.severity.String()), severityStyle[s.severity], size(s.groups))
		for _, g := range s.groups {
			t.failure(g, severityStyle[s.severity], opts.Verbose)
		}
	}
	if len(o.inconclusive) > 0 {
		t.heading("INCONCLUSIVE", outcomeStyle[connsec.Inconclusive], size(o.inconclusive))
		for _, g := range o.inconclusive {
			t.group("?", outcomeStyle[connsec.Inconclusive], g, opts.Verbose, item.detail)
		}
	}
	if len(o.waived) > 0 {
		t.heading("WAIVED", outcomeStyle[connsec.Waived], size(o.waived))
		for _, g := range o.waived {
			t.group("~", outcomeStyle[connsec.Waived], g, opts.Verbose, func(i item) string {
				return strings.TrimSpace(i.detail() + "\n" + i.accepted())
			})
		}
	}
	if opts.Verbose {
		t.list("PASSED", "✓", connsec.Pass, o.passed)
		t.list("NOT APPLICABLE", "-", connsec.NotApplicable, o.notApplicable)
	}
	t.summary(o)
	return nil
}

func (i item) detail() string { return clean(i.Detail) }

// paint applies a style. Styles wrap single lines only, so that a cut line leaves no colour on.
func (t *textWriter) paint(style, s string) string {
	if !t.color || s == "" {
		return s
	}
	return "\x1b[" + style + "m" + s + "\x1b[0m"
}

func (t *textWriter) line(s string) {
	_, _ = t.WriteString(s)
	_ = t.WriteByte('\n')
}

// paragraph writes wrapped text: the lead before its first line, as many spaces before the others.
// A lead that takes more than half of the line gets a line of its own.
func (t *textWriter) paragraph(lead, leadStyle, text, style string) {
	n := columns(lead)
	if n > t.width/2 {
		for _, l := range wrap(lead, t.width) {
			t.line(t.paint(leadStyle, l))
		}
		lead, n = strings.Repeat(" ", 8), 8
	}
	indent := strings.Repeat(" ", n)
	for i, l := range wrap(text, t.width-n) {
		before := indent
		if i == 0 {
			before = t.paint(leadStyle, lead)
		}
		t.line(strings.TrimRight(before+t.paint(style, l), " "))
	}
}

func (t *textWriter) header(o outline) {
	when := taken(o.reports)
	if len(o.reports) == 1 {
		target := clean(o.reports[0].Target)
		if target != "" {
			t.paragraph("", "", target, bold)
		}
		if when != "" {
			t.paragraph("", "", when, dim)
		}
		return
	}
	head := plural(len(o.reports), "target", "targets")
	if when != "" {
		head += " · " + when
	}
	t.paragraph("", "", head, bold)
	t.line("")
	// Two columns if the targets leave half of the width to the counts.
	longest := 0
	for _, r := range o.reports {
		longest = max(longest, columns(clean(r.Target)))
	}
	for _, r := range o.reports {
		target, counts := clean(r.Target), tallyOf(r).parts()
		if longest > t.width/2 {
			t.paragraph("  ", "", target, "")
			t.counts("    ", counts)
			continue
		}
		t.counts("  "+target+strings.Repeat(" ", longest-columns(target)+3), counts)
	}
}

// counts writes the counts after the lead, wrapped between counts.
func (t *textWriter) counts(lead string, parts []part) {
	if len(parts) == 0 {
		t.line(lead + t.paint(dim, "nothing checked"))
		return
	}
	line, used := lead, columns(lead)
	for i, p := range parts {
		n := columns(p.String())
		switch {
		case i > 0 && used+3+n > t.width:
			t.line(line)
			used = columns(lead)
			line = strings.Repeat(" ", used)
		case i > 0:
			line += t.paint(dim, " · ")
			used += 3
		}
		line += t.paint(p.style(), p.String())
		used += n
	}
	t.line(line)
}

func (p part) style() string {
	if p.Severity.Valid() {
		return severityStyle[p.Severity]
	}
	return outcomeStyle[p.Outcome]
}

func (t *textWriter) heading(name, style string, n int) {
	count := plural(n, "finding", "findings")
	fill := max(t.width-columns(name)-columns(count)-2, 2)
	t.line("")
	t.line(t.paint(style, name) + " " + t.paint(dim, strings.Repeat("─", fill)+" "+count))
}

// title writes a rule's title, and its ID at the right edge or, if there is no room, below.
func (t *textWriter) title(mark, style, title string, r *connsec.Rule) {
	t.line("")
	free := t.width - columns(mark) - 1 - columns(title) - columns(r.ID)
	if free >= 2 {
		t.line(t.paint(style, mark) + " " + t.paint(bold, title) + strings.Repeat(" ", free) + t.paint(dim, r.ID))
		return
	}
	t.paragraph(mark+" ", style, title, bold)
	t.paragraph("  ", "", r.ID, dim)
}

func (t *textWriter) group(mark, style string, g group, verbose bool, text func(item) string) {
	t.title(mark, style, g.title(), g.rule)
	for _, i := range g.items {
		t.where(i.place(), i.position())
		if s := text(i); s != "" {
			t.paragraph("    ", "", s, "")
		}
		if verbose {
			for _, a := range i.Evidence {
				t.paragraph("      "+clean(a.Key)+": ", dim, clean(a.Value), dim)
			}
		}
	}
}

// where writes the subject and, on the same line if there is room, where the setting stands.
func (t *textWriter) where(place, position string) {
	if place != "" && position != "" && columns(place)+columns(position)+4 <= t.width {
		t.line("  " + t.paint("36", place) + "  " + t.paint(dim, position))
		return
	}
	if place != "" {
		t.paragraph("  ", "", place, "36")
	}
	if position != "" {
		t.paragraph("  ", "", position, dim)
	}
}

func (t *textWriter) failure(g group, style string, verbose bool) {
	t.group("✗", style, g, verbose, func(i item) string {
		return strings.TrimSpace(i.detail() + "\n" + i.lapsed())
	})
	if verbose && g.rule.Why != "" {
		t.paragraph("  Why  ", bold, g.rule.Why, "")
	}
	if g.rule.Fix != "" {
		t.paragraph("  Fix  ", bold, g.rule.Fix, "")
	}
	if refs := citations(g.rule); refs != "" {
		t.paragraph("  See  ", dim, refs, dim)
	}
}

// list writes one line or two for each finding.
func (t *textWriter) list(name, mark string, o connsec.Outcome, groups []group) {
	if len(groups) == 0 {
		return
	}
	t.heading(name, outcomeStyle[o], size(groups))
	for _, g := range groups {
		for _, i := range g.items {
			text := g.rule.ID
			if place := i.place(); place != "" {
				text += "  " + place
			}
			t.paragraph(mark+" ", outcomeStyle[o], text, "")
			if s := i.detail(); s != "" {
				t.paragraph("    ", "", s, dim)
			}
		}
	}
}

// summary is the last line: all failures as one count, then what the others came to.
func (t *textWriter) summary(o outline) {
	var failures []string
	var counts []part
	for _, p := range o.tally.parts() {
		if p.Outcome == connsec.Fail {
			failures = append(failures, p.String())
		} else {
			counts = append(counts, p)
		}
	}
	first := part{0, "failed", connsec.NotApplicable, 0}
	if n := o.tally.outcome[connsec.Fail]; n > 0 {
		first = part{n, "failed (" + strings.Join(failures, ", ") + ")", connsec.Fail, 0}
	}
	t.line("")
	t.line(t.paint(dim, strings.Repeat("─", t.width)))
	if len(o.tally.parts()) == 0 {
		t.counts("", nil)
		return
	}
	t.counts("", append([]part{first}, counts...))
}
