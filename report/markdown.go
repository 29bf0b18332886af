package report

import (
	"bufio"
	"fmt"
	"strings"

	"github.com/connsec/connsec"
)

func writeMarkdown(w *bufio.Writer, reports []connsec.Report, opts Options) error {
	o := outlineOf(reports)
	m := &markdown{w, opts.Verbose}
	m.head(o)
	for _, s := range o.failed {
		name := s.severity.String()
		fmt.Fprintf(w, "\n## %s (%d)\n", strings.ToUpper(name[:1])+name[1:], size(s.groups))
		for _, g := range s.groups {
			m.group(g)
			if g.rule.Why != "" {
				fmt.Fprintf(w, "\n%s\n", md(g.rule.Why))
			}
			if g.rule.Fix != "" {
				fmt.Fprintf(w, "\n**Fix:** %s\n", md(g.rule.Fix))
			}
			if refs := mdRefs(g.rule); refs != "" {
				fmt.Fprintf(w, "\n**See:** %s\n", refs)
			}
		}
	}
	for _, p := range []struct {
		name   string
		groups []group
		shown  bool
	}{
		{"Inconclusive", o.inconclusive, true},
		{"Waived", o.waived, true},
	} {
		if len(p.groups) > 0 {
			fmt.Fprintf(w, "\n## %s (%d)\n", p.name, size(p.groups))
			for _, g := range p.groups {
				m.group(g)
			}
		}
	}
	if opts.Verbose {
		m.table("Passed", o.passed)
		m.table("Not applicable", o.notApplicable)
	}
	return nil
}

type markdown struct {
	*bufio.Writer
	verbose bool
}

func (m *markdown) head(o outline) {
	_, _ = m.WriteString("# Connection report\n")
	if when := taken(o.reports); when != "" {
		fmt.Fprintf(m, "\n%s\n", md(when))
	}
	_, _ = m.WriteString("\n| target | critical | high | medium | low | info | inconclusive | waived | passed | not applicable |\n" +
		"|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	row := func(name string, t tally) {
		fmt.Fprintf(m, "| %s |", name)
		for s := connsec.Critical; s >= connsec.Info; s-- {
			count := fmt.Sprint(t.failedAt[s])
			if t.failedAt[s] > 0 {
				count = "**" + count + "**"
			}
			fmt.Fprintf(m, " %s |", count)
		}
		fmt.Fprintf(m, " %d | %d | %d | %d |\n", t.outcome[connsec.Inconclusive], t.outcome[connsec.Waived], t.outcome[connsec.Pass], t.outcome[connsec.NotApplicable])
	}
	for _, r := range o.reports {
		row(md(r.Target), tallyOf(r))
	}
	if len(o.reports) != 1 {
		row("*all*", o.tally)
	}
}

func (m *markdown) group(g group) {
	fmt.Fprintf(m, "\n### %s\n\n`%s`\n\n", md(g.title()), g.rule.ID)
	for _, i := range g.items {
		place := md(i.place())
		if place == "" {
			place = "(no subject)"
		}
		fmt.Fprintf(m, "- **%s**", place)
		if p := i.position(); p != "" {
			fmt.Fprintf(m, " (%s)", md(p))
		}
		if i.Detail != "" {
			fmt.Fprintf(m, ": %s", md(i.Detail))
		}
		if s := i.lapsed(); s != "" {
			fmt.Fprintf(m, " *%s*", md(s))
		}
		if i.Outcome == connsec.Waived && i.Waiver != nil {
			fmt.Fprintf(m, " *Until %s:* %s", day(i.Waiver.Until), md(i.Waiver.Reason))
		}
		_ = m.WriteByte('\n')
		if m.verbose {
			for _, a := range i.Evidence {
				fmt.Fprintf(m, "  - %s: %s\n", md(a.Key), md(a.Value))
			}
		}
	}
}

func (m *markdown) table(name string, groups []group) {
	if len(groups) == 0 {
		return
	}
	fmt.Fprintf(m, "\n## %s (%d)\n\n| rule | subject | seen |\n|---|---|---|\n", name, size(groups))
	for _, g := range groups {
		for _, i := range g.items {
			fmt.Fprintf(m, "| %s | %s | %s |\n", i.Rule.ID, md(i.place()), md(i.Detail))
		}
	}
}

func mdRefs(r *connsec.Rule) string {
	var out []string
	for _, c := range r.Refs {
		if strings.HasPrefix(c.URL, "https://") && !strings.ContainsAny(c.URL, "<> \n") {
			out = append(out, "["+md(c.String())+"](<"+c.URL+">)")
		} else {
			out = append(out, md(c.String()))
		}
	}
	return strings.Join(out, "; ")
}

// md shows text in Markdown as it is: all that CommonMark and GitHub's extensions (tables,
// strikethrough, links made of bare addresses, mentions) would interpret is defused. The text
// is always within a line, so line-start markers such as "#", "-" and "1." mean nothing.
func md(s string) string { return markdownEscaper.Replace(clean(s)) }

var markdownEscaper = strings.NewReplacer(
	`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "|", `\|`, "~", `\~`, "$", `\$`,
	"&", "&amp;", "<", "&lt;", ">", "&gt;", "#", `\#`, "!", `\!`,
	// An empty comment splits what GitHub would turn into a link or a notification.
	"@", "@<!-- -->", "://", ":<!-- -->//", "www.", "www<!-- -->.",
)
