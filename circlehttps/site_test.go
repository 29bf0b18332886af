package circlehttps_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/circlehttps"
	"github.com/connsec/connsec/internal/ruletest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// corpus returns a site of testdata/sites and its project.
func corpus(t testing.TB, name string) (circlehttps.Site, circlehttps.Project) {
	t.Helper()
	dir := filepath.Join("testdata", "sites")
	data, err := os.ReadFile(filepath.Join(dir, name+".json"))
	require.NoError(t, err)
	var p circlehttps.Project
	require.NoError(t, json.Unmarshal(data, &p))
	return circlehttps.Site{FS: os.DirFS(filepath.Join(dir, name)), Name: name}, p
}

// TestCorpus compares the findings on whole sites with the golden files, line by line.
func TestCorpus(t *testing.T) {
	for _, name := range []string{"weak", "strong", "react", "stale"} {
		t.Run(name, func(t *testing.T) {
			site, p := corpus(t, name)
			r, err := site.Check(context.Background(), p)
			require.NoError(t, err)
			var b strings.Builder
			for _, f := range append(p.Validate().Findings, r.Findings...) {
				place := f.Subject
				if f.Source != nil {
					place = f.Source.String()
				}
				fmt.Fprintf(&b, "%s %s %s %s: %s\n", f.Outcome, f.Severity, f.Rule.ID, place, f.Detail)
			}
			golden := filepath.Join("testdata", "golden", name+".txt")
			if *update {
				require.NoError(t, os.MkdirAll(filepath.Dir(golden), 0o755))
				require.NoError(t, os.WriteFile(golden, []byte(b.String()), 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			assert.Equal(t, string(want), b.String())
		})
	}
}

// TestRules proves each rule in both directions.
func TestRules(t *testing.T) {
	weakSite, weakProject := corpus(t, "weak")
	weak, err := weakSite.Check(context.Background(), weakProject)
	require.NoError(t, err)
	strongSite, strongProject := corpus(t, "strong")
	strong, err := strongSite.Check(context.Background(), strongProject)
	require.NoError(t, err)
	live := []*connsec.Rule{circlehttps.RulePort80, circlehttps.RuleNoRedirect, circlehttps.RuleHSTS, circlehttps.RuleConfigServed, circlehttps.RuleAPIHTTPS}
	for _, rule := range circlehttps.Rules() {
		if len(weak.Of(rule))+len(strong.Of(rule)) == 0 {
			assert.Contains(t, live, rule, "%s says nothing about a folder", rule.ID)
			continue
		}
		ruletest.Expect(t, strong, connsec.Pass, rule)
	}
	var offline []*connsec.Rule
	for _, rule := range circlehttps.Rules() {
		if len(strong.Of(rule)) > 0 && rule != circlehttps.RuleCustomMissing {
			offline = append(offline, rule)
		}
	}
	ruletest.ExpectFailed(t, strong)
	ruletest.ExpectFailed(t, weak, offline...)
	bare, err := circlehttps.Site{FS: mapFS(map[string]string{"xmpcfg.js": secureConfig})}.Check(context.Background(), circlehttps.Project{SecURL: circlehttps.On})
	require.NoError(t, err)
	ruletest.ExpectFailed(t, bare, circlehttps.RuleCustomMissing)
}
