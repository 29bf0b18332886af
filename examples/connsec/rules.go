package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/catalog"
	"github.com/connsec/connsec/report"
)

func rulesCommand() command {
	return command{
		name: "rules", args: "[ID…]", about: "list all rules, or explain one",
		shares: flagFormat,
		setup: func(_ *flag.FlagSet, shared *common) func(context.Context, *call) error {
			return func(_ context.Context, c *call) error {
				all := catalog.All()
				picked := all
				if len(c.args) > 0 {
					picked = nil
					for _, id := range c.args {
						found := false
						for _, r := range all {
							if r.ID == id || strings.HasSuffix(id, "-") && strings.HasPrefix(r.ID, id) {
								picked, found = append(picked, r), true
							}
						}
						if !found {
							return usagef("there is no rule %q; connsec rules lists them, connsec rules tls- those that begin so", id)
						}
					}
				}
				switch shared.format {
				case report.JSON:
					return rulesJSON(c.out, picked)
				case report.Text:
				default:
					return usagef("rules are printed as text or json")
				}
				if len(c.args) > 0 {
					for i, r := range picked {
						if i > 0 {
							fmt.Fprintln(c.out)
						}
						explain(c.out, r)
					}
					return nil
				}
				if width, tty := terminal(c.out); tty && width < 140 { // where a line each would not fit
					for _, r := range picked {
						fmt.Fprintf(c.out, "%-9s %s\n          %s\n", r.Severity, r.ID, hang(10, r.Title))
					}
					return nil
				}
				tw := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
				for _, r := range picked {
					fmt.Fprintf(tw, "%s\t%s\t%s\n", r.ID, r.Severity, r.Title)
				}
				return tw.Flush()
			}
		},
	}
}

func explain(w io.Writer, r *connsec.Rule) {
	fmt.Fprintf(w, "%s (%s, since %s)\n%s\n\n", r.ID, r.Severity, r.Since, r.Title)
	fmt.Fprintf(w, "why   %s\n", hang(6, r.Why))
	fmt.Fprintf(w, "fix   %s\n", hang(6, r.Fix))
	for i, ref := range r.Refs {
		head := "refs "
		if i > 0 {
			head = "     "
		}
		fmt.Fprintf(w, "%s %s\n", head, ref)
		if ref.URL != "" {
			fmt.Fprintf(w, "      %s\n", ref.URL)
		}
	}
	if len(r.DependsOn) > 0 {
		var ids []string
		for _, d := range r.DependsOn {
			ids = append(ids, d.ID)
		}
		fmt.Fprintf(w, "needs %s\n", hang(6, strings.Join(ids, ", ")))
	}
}

// hang wraps text at 80 columns behind a label that is indent wide.
func hang(indent int, text string) string {
	var b strings.Builder
	column := indent
	for i, word := range strings.Fields(text) {
		switch n := len([]rune(word)); {
		case i == 0:
			column += n
		case column+1+n > 80:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			column = indent + n
		default:
			b.WriteByte(' ')
			column += 1 + n
		}
		b.WriteString(word)
	}
	return b.String()
}

func rulesJSON(w io.Writer, rules []*connsec.Rule) error {
	type rule struct {
		ID        string             `json:"id"`
		Title     string             `json:"title"`
		Severity  connsec.Severity   `json:"severity"`
		Why       string             `json:"why"`
		Fix       string             `json:"fix"`
		Refs      []connsec.Citation `json:"refs"`
		Since     string             `json:"since"`
		DependsOn []*connsec.Rule    `json:"depends_on,omitempty"`
	}
	out := make([]rule, len(rules))
	for i, r := range rules {
		out[i] = rule{r.ID, r.Title, r.Severity, r.Why, r.Fix, r.Refs, r.Since, r.DependsOn}
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}

// absolute are files named from here, in place of those that a deployment file names from where it
// stands. URLs stay as they are.
func absolute(paths []string) ([]string, error) {
	out := make([]string, len(paths))
	for i, p := range paths {
		if strings.Contains(p, "://") {
			out[i] = p
			continue
		}
		abs, err := filepath.Abs(p)
		if err != nil {
			return nil, err
		}
		out[i] = abs
	}
	return out, nil
}
