package catalog

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
)

const root = "../.."

var (
	wellFormed = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)+$`)
	version    = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+$`)
	// A severity may change; an ID may not. So none stands in an ID.
	severityWords = regexp.MustCompile(`(^|-)(info|informational|notice|low|minor|medium|moderate|high|major|severe|critical|fatal|warn|warning|error)(-|$)`)
)

// complaints says what is wrong with the rules, one line each.
func complaints(rules []*connsec.Rule, retired map[string]string) []string {
	var out []string
	seen := map[string]bool{}
	for i, r := range rules {
		if r == nil {
			out = append(out, fmt.Sprintf("rule %d is nil", i))
			continue
		}
		say := func(format string, args ...any) {
			out = append(out, r.ID+": "+fmt.Sprintf(format, args...))
		}
		switch {
		case !wellFormed.MatchString(r.ID) || len(r.ID) > 64:
			say("the ID is not a kebab-case slug of two words or more")
		case severityWords.MatchString(r.ID):
			say("the ID carries a severity")
		case retired[r.ID] != "":
			say("the ID was retired in %s and must not be used again", retired[r.ID])
		case seen[r.ID]:
			say("the ID stands twice")
		}
		seen[r.ID] = true
		for _, field := range []struct{ name, text string }{{"Title", r.Title}, {"Why", r.Why}, {"Fix", r.Fix}} {
			if strings.TrimSpace(field.text) == "" {
				say("%s is missing", field.name)
			} else if strings.TrimSpace(field.text) != field.text {
				say("%s begins or ends with white space", field.name)
			}
		}
		if strings.Contains(r.Title, "\n") || strings.HasSuffix(r.Title, ".") {
			say("Title is one line without a full stop")
		}
		if !r.Severity.Valid() {
			say("Severity is missing")
		}
		if !version.MatchString(r.Since) {
			say("Since is %q, want a version such as 0.1.0", r.Since)
		}
		if len(r.Refs) == 0 {
			say("Refs is empty: which text does it enforce?")
		}
		for _, c := range r.Refs {
			if c.Doc == "" || c.Section == "" && c.URL == "" {
				say("reference %q needs a document, and a section or an address", c)
			}
			if c.URL != "" && !strings.HasPrefix(c.URL, "https://") {
				say("reference %q: the address is not https", c.URL)
			}
		}
		for _, d := range r.DependsOn {
			if !slices.Contains(rules, d) {
				say("depends on a rule outside the catalogue")
			}
		}
		if cyclic(r, nil) {
			say("depends on itself")
		}
	}
	return out
}

func cyclic(r *connsec.Rule, above []*connsec.Rule) bool {
	if slices.Contains(above, r) {
		return true
	}
	for _, d := range r.DependsOn {
		if d != nil && cyclic(d, append(slices.Clip(above), r)) {
			return true
		}
	}
	return false
}

func TestRulesAreComplete(t *testing.T) {
	for _, c := range complaints(All(), Retired) {
		t.Error(c)
	}
}

// mismatches says where the catalogue and the sources do not agree.
func mismatches(packages []Package, found []source) []string {
	var out []string
	listed := map[string]Package{}
	for _, p := range packages {
		listed[p.Name] = p
		if !slices.ContainsFunc(found, func(s source) bool { return s.dir == p.Name && s.rules }) {
			out = append(out, p.Name+": listed in the catalogue, but has no func Rules()")
		}
	}
	for _, s := range found {
		p, ok := listed[s.dir]
		if s.rules && !ok {
			out = append(out, s.dir+": has func Rules(), but no line in catalog.Packages")
			continue
		}
		if s.rules && !s.tracked {
			out = append(out, s.dir+": no test calls ruletest.Track, so rules may lack a test that fails or passes them")
		}
		for _, l := range s.literals {
			at := fmt.Sprintf("%s:%d", filepath.Base(l.place.Filename), l.place.Line)
			switch {
			case l.id == "":
				out = append(out, s.dir+"/"+at+": the rule's ID is not a string literal")
			case !strings.HasPrefix(l.name, "Rule"):
				out = append(out, s.dir+"/"+at+": "+l.id+" is not a package variable named Rule…")
			case !slices.ContainsFunc(p.Rules, func(r *connsec.Rule) bool { return r.ID == l.id }):
				out = append(out, s.dir+"/"+at+": "+l.id+" is not in Rules()")
			}
		}
	}
	return out
}

func TestCatalogueIsComplete(t *testing.T) {
	found, err := sources(root)
	require.NoError(t, err)
	for _, m := range mismatches(Packages(), found) {
		t.Error(m)
	}
}

func TestDocumentIsCurrent(t *testing.T) {
	got, err := os.ReadFile(filepath.Join(root, "docs", "rules.md"))
	require.NoError(t, err)
	assert.Equal(t, string(Document()), strings.ReplaceAll(string(got), "\r\n", "\n"), "run go generate ./internal/catalog")
}

// The rest proves that the tests above would notice.

func sound() *connsec.Rule {
	return &connsec.Rule{ID: "sample-rule", Title: "Something is wrong", Why: "Because.", Fix: "Mend it.",
		Severity: connsec.Low, Since: "0.1.0", Refs: []connsec.Citation{{Doc: "RFC 1", Section: "1"}}}
}

func TestComplaints(t *testing.T) {
	assert.Empty(t, complaints([]*connsec.Rule{sound()}, nil))
	for want, spoil := range map[string]func(*connsec.Rule){
		"kebab-case":              func(r *connsec.Rule) { r.ID = "Sample_Rule" },
		"two words":               func(r *connsec.Rule) { r.ID = "sample" },
		"carries a severity":      func(r *connsec.Rule) { r.ID = "sample-high-risk" },
		"retired in 0.2.0":        func(r *connsec.Rule) { r.ID = "old-rule" },
		"Title is missing":        func(r *connsec.Rule) { r.Title = " " },
		"Why is missing":          func(r *connsec.Rule) { r.Why = "" },
		"Fix is missing":          func(r *connsec.Rule) { r.Fix = "" },
		"Fix begins or ends":      func(r *connsec.Rule) { r.Fix = "x\n" },
		"without a full stop":     func(r *connsec.Rule) { r.Title = "Wrong." },
		"Severity is missing":     func(r *connsec.Rule) { r.Severity = 0 },
		"Since is \"next\"":       func(r *connsec.Rule) { r.Since = "next" },
		"Refs is empty":           func(r *connsec.Rule) { r.Refs = nil },
		"needs a document":        func(r *connsec.Rule) { r.Refs[0].Doc = "" },
		"a section or an address": func(r *connsec.Rule) { r.Refs[0].Section = "" },
		"is not https":            func(r *connsec.Rule) { r.Refs[0].URL = "http://example.org" },
		"outside the catalogue":   func(r *connsec.Rule) { r.DependsOn = []*connsec.Rule{sound()} },
		"depends on itself":       func(r *connsec.Rule) { r.DependsOn = []*connsec.Rule{r} },
	} {
		t.Run(want, func(t *testing.T) {
			r := sound()
			spoil(r)
			got := complaints([]*connsec.Rule{r}, map[string]string{"old-rule": "0.2.0"})
			require.Len(t, got, 1)
			assert.Contains(t, got[0], want)
		})
	}
	assert.Equal(t, []string{"sample-rule: the ID stands twice"}, complaints([]*connsec.Rule{sound(), sound()}, nil))
	assert.Equal(t, []string{"rule 0 is nil"}, complaints([]*connsec.Rule{nil}, nil))
}

func TestMismatches(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	const head = "\nimport \"github.com/connsec/connsec\"\n"
	write("good/rules.go", "package good"+head+"var RuleA = &connsec.Rule{ID: \"sample-rule\"}\nfunc Rules() []*connsec.Rule { return nil }\n")
	write("good/a_test.go", "package good\nfunc f() { ruletest.Track(nil, Rules()) }\n")
	write("unlisted/rules.go", "package unlisted"+head+"func Rules() []*connsec.Rule { return nil }\n")
	write("bad/rules.go", "package bad"+head+"var RuleA = &connsec.Rule{ID: \"a-left-out\"}\nvar other = &connsec.Rule{ID: \"b-unnamed\"}\nvar RuleC = &connsec.Rule{ID: \"c-\" + x}\nfunc Rules() []*connsec.Rule { return nil }\n")
	write("bad/a_test.go", "package bad\nvar RuleT = &connsec.Rule{ID: \"only-in-tests\"}\n")
	write("nested/go.mod", "module nested\n")
	write("nested/rules.go", "package nested\nfunc Rules() []*connsec.Rule { return nil }\n")
	write("testdata/rules.go", "package testdata\nfunc Rules() []*connsec.Rule { return nil }\n")
	found, err := sources(dir)
	require.NoError(t, err)
	got := mismatches([]Package{{Name: "good", Rules: []*connsec.Rule{sound()}}, {Name: "bad"}, {Name: "gone"}}, found)
	assert.ElementsMatch(t, []string{
		"gone: listed in the catalogue, but has no func Rules()",
		"unlisted: has func Rules(), but no line in catalog.Packages",
		"bad: no test calls ruletest.Track, so rules may lack a test that fails or passes them",
		"bad/rules.go:3: a-left-out is not in Rules()",
		"bad/rules.go:4: b-unnamed is not a package variable named Rule…",
		"bad/rules.go:5: the rule's ID is not a string literal",
	}, got)
}

func TestDocument(t *testing.T) {
	r := sound()
	r.Title, r.Refs[0].URL = "A *starred* <tag> | pipe", "https://example.org/a_b"
	r.Effective = time.Date(2026, 3, 15, 0, 0, 0, 0, time.UTC)
	r.DependsOn = []*connsec.Rule{{ID: "other-rule"}}
	got := string(document([]Package{{"sample", "samples", []*connsec.Rule{r}}}))
	for _, want := range []string{
		"Rules: 1.", "## sample: samples\n", "| [sample-rule](#sample-rule) | low | A \\*starred\\* &lt;tag&gt; \\| pipe |\n",
		"### sample-rule\n", "from 2026-03-15 on", "Because.", "*Fix:* Mend it.", "[other-rule](#other-rule)", "- [RFC 1 §1](<https://example.org/a_b>)",
	} {
		assert.Contains(t, got, want)
	}
}
