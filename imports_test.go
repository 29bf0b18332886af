package connsec_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const module = "github.com/connsec/connsec"

// domains are the packages that look at one kind of connection. Each can be imported alone.
var domains = []string{"ldapsec", "sqlsec", "smtpsec", "radiussec", "apisec", "hostfw", "securl", "circlehttps"}

// scaffolding is what only tests may import.
var scaffolding = []string{"internal/realsrv", "internal/ruletest", "internal/catalog"}

// on top: these may import everything, and nothing imports them.
var top = []string{"audit", "examples", "internal/catalog", "bench"}

// owned names the modules that have a place, and why everybody else stays clear of them. A
// package is named by its directory; those below it are included.
var owned = []struct {
	module string
	by     []string
	why    string
}{
	{"github.com/microsoft/go-mssqldb", []string{"sqlsec"}, "someone who imports ldapsec must not compile go-mssqldb"},
	{"github.com/go-ldap/ldap", []string{"ldapsec"}, "someone who imports sqlsec must not compile an LDAP client"},
	{"github.com/jcmturner/gokrb5", []string{"ldapsec"}, "Kerberos is heavy, and only directory checks need it"},
	{"github.com/wneessen/go-mail", []string{"smtpsec"}, "only the mail configurator returns its type"},
	{"github.com/emersion/go-smtp", nil, "an SMTP server belongs in tests"},
	{"github.com/miekg/dns", []string{"smtpsec"}, "only DANE and MTA-STS need more than the standard resolver"},
	{"layeh.com/radius", []string{"radiussec"}, "only the RADIUS configurator returns its type"},
	{"github.com/alexedwards/scs", []string{"securl"}, "only the protected site has sessions"},
	{"github.com/gomodule/redigo", []string{"examples"}, "which store keeps the sessions is the caller's business"},
	{"github.com/go-asn1-ber/asn1-ber", []string{"ldapsec"}, "it comes with the LDAP client"},
	{"github.com/tdewolff/parse", []string{"circlehttps"}, "only the site scanner reads HTML and JavaScript"},
	{"software.sslmate.com/src/go-pkcs12", []string{"tlscheck"}, "certificate files are tlscheck's"},
	{"github.com/ccojocar/zxcvbn-go", []string{"apisec", "radiussec", "securl", "audit", "internal/strength"}, "its word lists weigh, and only judges of passwords need them"},
	{"github.com/goccy/go-yaml", []string{"audit"}, "libraries take Go values; only the deployment file is YAML"},
	{"github.com/chromedp", []string{"internal/realsrv/page"}, "a browser belongs in tests"},
	{"golang.org/x/oauth2", nil, "apisec is compared with it, and does not need it"},
	{"github.com/stretchr/testify", nil, "an assertion library belongs in tests"},
	{"go.uber.org/goleak", nil, "a leak detector belongs in tests"},
	{"pgregory.net/rapid", nil, "a property tester belongs in tests"},
	{"github.com/rogpeppe/go-internal", nil, "a script runner belongs in tests"},
	{"github.com/santhosh-tekuri/jsonschema", nil, "a schema validator belongs in tests"},
	// Standard library, but test-only: it registers flags in every program that links it.
	{"testing", []string{"internal/ruletest", "internal/realsrv"}, "its flags would appear in products"},
}

// edges maps each package's import path to its direct imports.
type edges map[string][]string

// reach returns all packages that pkg is built from, itself excluded, with one way to each.
func (e edges) reach(pkg string) map[string]string {
	way := map[string]string{}
	queue := []string{pkg}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for _, next := range e[at] {
			if _, seen := way[next]; !seen && next != pkg {
				way[next] = at
				queue = append(queue, next)
			}
		}
	}
	return way
}

// ours is the directory of one of the module's packages ("." for the root), or "".
func ours(path string) string {
	if path == module {
		return "."
	}
	rel, ok := strings.CutPrefix(path, module+"/")
	if !ok {
		return ""
	}
	return rel
}

func within(dir string, parents ...string) bool {
	return slices.ContainsFunc(parents, func(p string) bool { return dir == p || strings.HasPrefix(dir, p+"/") })
}

func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

// violations says which imports are not allowed and why, one line each.
func violations(e edges) []string {
	var out []string
	for pkg := range e {
		dir := ours(pkg)
		if dir == "" {
			continue
		}
		for dep, via := range e.reach(pkg) {
			if why := forbidden(dir, dep); why != "" {
				line := fmt.Sprintf("%s must not import %s: %s", dir, dep, why)
				if via != pkg {
					line += " (it comes with " + via + ")"
				}
				out = append(out, line)
			}
		}
	}
	slices.Sort(out)
	return out
}

func forbidden(dir, dep string) string {
	to := ours(dep)
	if to == "" {
		return foreign(dir, dep)
	}
	switch {
	case dir == ".":
		return "the vocabulary imports only the standard library"
	case within(dir, top...) || within(dir, scaffolding...):
		return ""
	case within(to, scaffolding...):
		return "it is for tests"
	case within(to, top...):
		return "it sits on top of all packages"
	case within(dir, domains...):
		owner := domains[slices.IndexFunc(domains, func(d string) bool { return within(dir, d) })]
		if to != "." && !within(to, owner, "tlscheck", "internal") {
			return "a domain package imports connsec and tlscheck only"
		}
	case within(dir, "tlscheck"):
		if to != "." && !within(to, "tlscheck", "internal") {
			return "tlscheck is below the domain packages"
		}
	case within(dir, "trap") && within(to, append(domains, "tlscheck")...):
		return "a peer that shares code with the check could share its mistakes"
	case within(dir, "report") && to != "." && !within(to, "report"):
		return "renderers know the vocabulary and nothing else"
	case within(dir, "internal") && to != "." && !within(to, "internal"):
		return "engines are below the packages that use them"
	}
	return ""
}

func foreign(dir, dep string) string {
	if dir == "." && !standard(dep) {
		return "the vocabulary imports only the standard library"
	}
	for _, o := range owned {
		if !within(dep, o.module) {
			continue
		}
		if within(dir, o.by...) {
			return ""
		}
		// What tlscheck needs comes with it into every package above; what only tests and
		// their scaffolding need comes into none.
		if within("tlscheck", o.by...) && within(dir, domains...) || len(o.by) > 0 && o.module != "testing" && within(dir, top...) {
			return ""
		}
		return o.why
	}
	return ""
}

func TestImportEdges(t *testing.T) {
	for _, goos := range []string{"linux", "windows"} {
		t.Run(goos, func(t *testing.T) {
			cmd := exec.Command("go", "list", "-e", "-deps", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...")
			cmd.Env = append(os.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			require.NoError(t, err, stderr.String())
			e := edges{}
			for line := range strings.Lines(string(out)) {
				fields := strings.Fields(line)
				e[fields[0]] = fields[1:]
			}
			require.Contains(t, e, module)
			require.Contains(t, e, module+"/report")
			for _, v := range violations(e) {
				t.Error(v)
			}
		})
	}
}

// TestViolations proves that the test above would notice.
func TestViolations(t *testing.T) {
	our := func(dir string) string { return module + "/" + dir }
	for _, c := range []struct {
		name string
		e    edges
		want []string
	}{
		{"allowed", edges{
			module:             {"fmt", "log/slog"},
			our("ldapsec"):     {module, our("tlscheck"), our("internal/ldapwire"), "github.com/go-ldap/ldap/v3"},
			our("tlscheck"):    {module, "software.sslmate.com/src/go-pkcs12"},
			our("sqlsec"):      {module, "github.com/microsoft/go-mssqldb/msdsn"},
			our("audit"):       {our("ldapsec"), our("sqlsec"), "github.com/goccy/go-yaml"},
			our("trap"):        {module, our("internal/testca"), our("internal/setting")},
			our("report"):      {module, "golang.org/x/text/width"},
			our("examples/a"):  {our("audit"), our("report")},
			our("securl/site"): {our("securl"), "github.com/alexedwards/scs/v2"},
		}, nil},
		{"root", edges{module: {"golang.org/x/text/width"}},
			[]string{". must not import golang.org/x/text/width: the vocabulary imports only the standard library"}},
		{"domain to domain", edges{our("ldapsec"): {our("sqlsec")}},
			[]string{"ldapsec must not import " + our("sqlsec") + ": a domain package imports connsec and tlscheck only"}},
		{"by a detour", edges{our("ldapsec"): {our("internal/x")}, our("internal/x"): {"github.com/microsoft/go-mssqldb"}}, []string{
			"internal/x must not import github.com/microsoft/go-mssqldb: someone who imports ldapsec must not compile go-mssqldb",
			"ldapsec must not import github.com/microsoft/go-mssqldb: someone who imports ldapsec must not compile go-mssqldb (it comes with " + our("internal/x") + ")"}},
		{"trap", edges{our("trap"): {our("tlscheck")}},
			[]string{"trap must not import " + our("tlscheck") + ": a peer that shares code with the check could share its mistakes"}},
		{"upwards", edges{our("tlscheck"): {our("ldapsec")}},
			[]string{"tlscheck must not import " + our("ldapsec") + ": tlscheck is below the domain packages"}},
		{"to the top", edges{our("ldapsec"): {our("audit")}},
			[]string{"ldapsec must not import " + our("audit") + ": it sits on top of all packages"}},
		{"test code", edges{our("hostfw"): {our("internal/realsrv"), "testing"}}, []string{
			"hostfw must not import " + our("internal/realsrv") + ": it is for tests",
			"hostfw must not import testing: its flags would appear in products"}},
		{"test library on top", edges{our("audit"): {"github.com/stretchr/testify/assert"}},
			[]string{"audit must not import github.com/stretchr/testify/assert: an assertion library belongs in tests"}},
		{"renderer", edges{our("report"): {our("tlscheck")}},
			[]string{"report must not import " + our("tlscheck") + ": renderers know the vocabulary and nothing else"}},
		{"YAML", edges{our("sqlsec"): {"github.com/goccy/go-yaml/ast"}},
			[]string{"sqlsec must not import github.com/goccy/go-yaml/ast: libraries take Go values; only the deployment file is YAML"}},
	} {
		t.Run(c.name, func(t *testing.T) { assert.Equal(t, c.want, violations(c.e)) })
	}
}

// TestEveryDependencyHasItsReason compares the direct dependencies with the tables of
// docs/architecture.md: each has one line, and there is no line of one that has gone.
func TestEveryDependencyHasItsReason(t *testing.T) {
	mod, err := os.ReadFile("go.mod")
	require.NoError(t, err)
	var needed []string
	for line := range strings.Lines(string(mod)) {
		if f := strings.Fields(line); strings.HasPrefix(line, "\t") && !strings.HasSuffix(strings.TrimSpace(line), "// indirect") {
			needed = append(needed, f[0])
		}
	}
	doc, err := os.ReadFile("docs/architecture.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(doc), "\n## Direct dependencies\n")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n## ")
	var explained []string
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		if len(cells) != 4 || !strings.Contains(cells[1], ".") {
			continue
		}
		explained = append(explained, strings.TrimSpace(cells[1]))
		assert.NotEmpty(t, strings.TrimSpace(cells[2]), line)
	}
	require.NotEmpty(t, needed)
	assert.ElementsMatch(t, needed, explained)
}
