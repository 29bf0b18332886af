// Package ruletest makes sure that every rule of a package is proved in both directions: by a
// test case that it fails and by one that it passes.
//
// A rule that no test ever saw fail may be a rule that cannot fail, and one that no test saw
// pass may be a rule that nobody can satisfy. So tests state what they expect through this
// package, which checks the expectation, remembers it, and fails the test binary at its end
// if a rule was left out:
//
//	func TestMain(m *testing.M) { os.Exit(ruletest.Track(m, ldapsec.Rules()).Run()) }
//
//	ruletest.Expect(t, report, connsec.Fail, ldapsec.RuleCleartext)
//	ruletest.ExpectFailed(t, report, ldapsec.RuleCleartext, ldapsec.RuleName)
//
// What Track returns also fits goleak.VerifyTestMain. Only expectations count, and only those
// that held: a finding that merely occurred in some test proves nothing.
package ruletest

import (
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/connsec/connsec"
)

// Runner is what [testing.M] is to TestMain.
type Runner interface{ Run() int }

// Track wraps m. Its Run runs the tests and then returns 1, with one line on standard error
// for each omission, if a rule was not expected to pass and expected to fail by a test that
// ran. It judges complete and successful runs only: with -run, -skip, -short, -fuzz or -list,
// too few tests run to tell.
//
// A package whose Rules() is not empty has to call it; a test in internal/catalog looks.
func Track(m Runner, rules []*connsec.Rule) Runner {
	return &tracked{m, rules, &seen, partialRun, os.Stderr}
}

// Expect fails the test unless each of the rules has a finding in the report and all its
// findings have the outcome. To look at one subject of several, cut the report down first.
func Expect(tb testing.TB, report connsec.Report, want connsec.Outcome, rules ...*connsec.Rule) {
	tb.Helper()
	seen.expect(tb, report, want, rules)
}

// ExpectFailed fails the test unless exactly these rules failed in the report: each at least
// once, and no other at all. It does not count as an expectation that the others pass, since
// they may have been inconclusive.
func ExpectFailed(tb testing.TB, report connsec.Report, rules ...*connsec.Rule) {
	tb.Helper()
	seen.expectFailed(tb, report, rules)
}

// seen is what the tests of this binary expected. A test binary holds one package's tests,
// internal and external, and this is the one place that both can reach.
var seen ledger

type entry struct {
	rule    *connsec.Rule
	outcome connsec.Outcome
}

type ledger struct {
	mu      sync.Mutex
	entries map[entry]bool
}

func (l *ledger) add(rule *connsec.Rule, o connsec.Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.entries == nil {
		l.entries = map[entry]bool{}
	}
	l.entries[entry{rule, o}] = true
}

func (l *ledger) has(rule *connsec.Rule, o connsec.Outcome) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.entries[entry{rule, o}]
}

func (l *ledger) expect(tb testing.TB, report connsec.Report, want connsec.Outcome, rules []*connsec.Rule) {
	tb.Helper()
	sound(tb, report)
	if len(rules) == 0 {
		tb.Errorf("expected no rule to be %s: name the rules, or use ExpectFailed for none failed", want)
	}
	for _, rule := range rules {
		findings := report.Of(rule)
		ok := len(findings) > 0
		if !ok {
			tb.Errorf("%s: want %s, but the report has no finding of this rule", rule.ID, want)
		}
		for _, f := range findings {
			if f.Outcome != want {
				ok = false
				tb.Errorf("%s: want %s, got %s", rule.ID, want, line(f))
			}
		}
		if ok {
			l.add(rule, want)
		}
	}
}

func (l *ledger) expectFailed(tb testing.TB, report connsec.Report, rules []*connsec.Rule) {
	tb.Helper()
	sound(tb, report)
	for _, f := range report.Findings {
		if f.Outcome == connsec.Fail && !slices.Contains(rules, f.Rule) {
			tb.Errorf("%s: not expected to fail: %s", f.Rule.ID, line(f))
		}
	}
	for _, rule := range rules {
		findings := report.Of(rule)
		if slices.ContainsFunc(findings, func(f connsec.Finding) bool { return f.Outcome == connsec.Fail }) {
			l.add(rule, connsec.Fail)
			continue
		}
		tb.Errorf("%s: want a failure, got %s", rule.ID, lines(findings))
	}
}

// sound holds what must be true of every report, whatever is expected of it.
func sound(tb testing.TB, report connsec.Report) {
	tb.Helper()
	for _, f := range report.Findings {
		switch {
		case f.Rule == nil:
			tb.Errorf("a finding has no rule: %s", f.Detail)
		case !f.Outcome.Valid(), !f.Severity.Valid():
			tb.Errorf("%s: outcome or severity is missing: %s", f.Rule.ID, line(f))
		case strings.TrimSpace(f.Detail) == "":
			tb.Errorf("%s: the finding does not say what was seen", f.Rule.ID)
		case strings.ContainsAny(f.Detail, "\r\n"):
			tb.Errorf("%s: the detail is not one line: %q", f.Rule.ID, f.Detail)
		}
	}
}

func line(f connsec.Finding) string {
	return fmt.Sprintf("%s on %q: %s", f.Outcome, f.Subject, f.Detail)
}

func lines(findings []connsec.Finding) string {
	if len(findings) == 0 {
		return "no finding"
	}
	var out []string
	for _, f := range findings {
		out = append(out, line(f))
	}
	return strings.Join(out, "; ")
}

type tracked struct {
	m       Runner
	rules   []*connsec.Rule
	seen    *ledger
	partial func() bool
	stderr  io.Writer
}

func (t *tracked) Run() int {
	code := t.m.Run()
	if code != 0 || t.partial() {
		return code
	}
	for _, rule := range t.rules {
		for _, o := range []connsec.Outcome{connsec.Fail, connsec.Pass} {
			if !t.seen.has(rule, o) {
				fmt.Fprintf(t.stderr, "ruletest: %s: no test expects the outcome %s\n", rule.ID, o)
				code = 1
			}
		}
	}
	return code
}

func partialRun() bool {
	for _, name := range []string{"run", "skip", "list", "fuzz"} {
		if f := flag.Lookup("test." + name); f != nil && f.Value.String() != "" {
			return true
		}
	}
	return testing.Short()
}
