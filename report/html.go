package report

import (
	"bufio"
	"crypto/sha256"
	_ "embed" // the page's template and style
	"encoding/base64"
	"html/template"
	"sync"

	"github.com/connsec/connsec"
)

//go:embed page.html
var pageText string

//go:embed page.css
var pageStyle string

// page is parsed on first use: a program that prints text must not pay for it.
var page = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("page").Funcs(template.FuncMap{
		"clean": clean,
		"size":  size,
		"count": func(n int) string { return plural(n, "finding", "findings") },
		"parts": func(r connsec.Report) []part { return tallyOf(r).parts() },
	}).Parse(pageText))
})

// The fields and methods that page.html uses.

type pageData struct {
	Style   template.CSS
	Policy  string
	Version string
	When    string
	Reports []connsec.Report
	Parts   []part
	Failed  []pageSection
	Others  []pageSection
	Quiet   []pageSection // folded away
	Clear   bool          // something passed; nothing failed, was waived or is open
}

type pageSection struct {
	ID, Name string
	N        int
	Groups   []pageGroup
}

type pageGroup struct {
	Rule  *connsec.Rule
	Title string
	Class string // of the colour: a severity or an outcome
	// Failed rules come with reason and remedy. For one that was not decided, a remedy would
	// read as a verdict.
	Failed bool
	Items  []item
}

// Class is the CSS class that colours a count.
func (p part) Class() string {
	if p.Severity.Valid() {
		return p.Severity.String()
	}
	return p.Outcome.String()
}

func (i item) Place() string    { return i.place() }
func (i item) Position() string { return i.position() }
func (i item) Lapsed() string   { return i.lapsed() }
func (i item) Accepted() string {
	if i.Outcome != connsec.Waived {
		return ""
	}
	return i.accepted()
}

func writeHTML(w *bufio.Writer, reports []connsec.Report, opts Options) error {
	o := outlineOf(reports)
	// The page runs no script and loads nothing, and says so to the browser. Only this very
	// style is allowed.
	sum := sha256.Sum256([]byte(pageStyle))
	data := pageData{
		Style:   template.CSS(pageStyle),
		Policy:  "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'",
		Version: opts.Version, When: taken(reports), Reports: reports, Parts: o.tally.parts(),
		Clear: len(o.failed)+len(o.inconclusive)+len(o.waived) == 0 && len(o.passed) > 0,
	}
	for _, s := range o.failed {
		name := s.severity.String()
		data.Failed = append(data.Failed, pageSection{name, name, size(s.groups), pageGroups(s.groups, name)})
	}
	for _, p := range []struct {
		outcome connsec.Outcome
		name    string
		groups  []group
		to      *[]pageSection
	}{
		{connsec.Inconclusive, "inconclusive", o.inconclusive, &data.Others},
		{connsec.Waived, "waived", o.waived, &data.Others},
		{connsec.Pass, "passed", o.passed, &data.Quiet},
		{connsec.NotApplicable, "not applicable", o.notApplicable, &data.Quiet},
	} {
		if len(p.groups) > 0 {
			*p.to = append(*p.to, pageSection{p.outcome.String(), p.name, size(p.groups), pageGroups(p.groups, p.outcome.String())})
		}
	}
	return page().Execute(w, data)
}

func pageGroups(groups []group, class string) []pageGroup {
	out := make([]pageGroup, len(groups))
	for i, g := range groups {
		out[i] = pageGroup{g.rule, g.title(), class, g.items[0].Outcome == connsec.Fail, g.items}
	}
	return out
}
