package catalog

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/connsec/connsec"
)

// Document renders docs/rules.md: an overview of each package's rules, then every rule in full
// under its ID as anchor.
func Document() []byte { return document(Packages()) }

func document(packages []Package) []byte {
	n := 0
	for _, p := range packages {
		n += len(p.Rules)
	}
	var b bytes.Buffer
	b.WriteString("# Rules\n\n<!-- Generated from the rules themselves by go generate ./internal/catalog; do not edit. -->\n\n")
	fmt.Fprintf(&b, "Rules: %d. IDs are stable and never reused. The severity is that of a failure unless the\nfinding says otherwise. A rule that could not be decided is inconclusive, never passed.\n", n)
	for _, p := range packages {
		fmt.Fprintf(&b, "\n## %s: %s\n\n| rule | severity | what is wrong when it fails |\n|---|---|---|\n", p.Name, text(p.About))
		for _, r := range p.Rules {
			fmt.Fprintf(&b, "| [%s](#%s) | %s | %s |\n", r.ID, r.ID, r.Severity, text(r.Title))
		}
		for _, r := range p.Rules {
			describe(&b, r)
		}
	}
	return b.Bytes()
}

func describe(b *bytes.Buffer, r *connsec.Rule) {
	fmt.Fprintf(b, "\n### %s\n\n**%s.** Severity %s, since %s", r.ID, text(r.Title), r.Severity, r.Since)
	if !r.Effective.IsZero() {
		fmt.Fprintf(b, ", for what was made from %s on", r.Effective.Format("2006-01-02"))
	}
	fmt.Fprintf(b, ".\n\n%s\n\n*Fix:* %s\n", text(r.Why), text(r.Fix))
	if len(r.DependsOn) > 0 {
		var deps []string
		for _, d := range r.DependsOn {
			deps = append(deps, fmt.Sprintf("[%s](#%s)", d.ID, d.ID))
		}
		fmt.Fprintf(b, "\n*Judged only if these pass:* %s\n", strings.Join(deps, ", "))
	}
	b.WriteString("\n")
	for _, c := range r.Refs {
		if c.URL == "" {
			fmt.Fprintf(b, "- %s\n", text(c.String()))
		} else {
			fmt.Fprintf(b, "- [%s](<%s>)\n", text(c.String()), c.URL)
		}
	}
}

// text escapes what Markdown would interpret in a rule's text, which is plain.
func text(s string) string {
	return strings.NewReplacer(
		`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "|", `\|`, "<", "&lt;", ">", "&gt;", "\n", " ",
	).Replace(s)
}
