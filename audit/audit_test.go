package audit_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/audit"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/internal/testca"
	"github.com/connsec/connsec/tlscheck"
	"github.com/connsec/connsec/trap"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const host = "central.corp.internal"

func TestMistakesInTheFile(t *testing.T) {
	for _, c := range []struct{ file, message string }{
		{"", "d.yaml: the file is empty; it needs at least one section, such as https:"},
		{"# nothing\n", "d.yaml: the file is empty; it needs at least one section, such as https:"},
		{"name: x\n", "d.yaml: nothing to check; add a section such as https:"},
		{"htps:\n  - host: a\n", `d.yaml:1:1: unknown key "htps"; did you mean "https"?`},
		{"https:\n  - hots: a\n", `d.yaml:2:5: https[0]: unknown key "hots"; did you mean "host"?`},
		{"https:\n  - host: a\n    zzzzzzzz: 1\n", `d.yaml:3:5: https[0]: unknown key "zzzzzzzz"; known are host, port, path, connect`},
		{"https: [{host: \"é😀\", zzzzzzzz: 1}]\n", `d.yaml:1:22: https[0]: unknown key "zzzzzzzz"`}, // columns are characters
		{"https:\n  - host: a\n    port: 70000\n", "d.yaml:3:11: https[0].port: 70000 is too large (at most 65535)"},
		{"https:\n  - host: a\n    port: many\n", "d.yaml:3:11: https[0].port: want a whole number"},
		{"https:\n  - host: a\n    port: -1\n", "d.yaml:3:11: https[0].port: want a number that is not negative"},
		{"https:\n  - host: [a]\n", "d.yaml:2:11: https[0].host: want a text"},
		{"https:\n  - host:\n", "d.yaml:2:11: https[0].host: the value is missing"},
		{"https: central\n", "d.yaml:1:8: https: want keys and values (host, port, path, connect)"},
		{"https:\n  - &x {host: a}\n  - *x\n", "d.yaml:2:5: https[0]: anchors, aliases and tags are not used in deployment files; write the value out"},
		{"https:\n\t- host: a\n", "d.yaml:2:1: not YAML: "},
		{"https: [\n", "d.yaml:1:8: not YAML: "},
		{"https:\n  - host: a\n---\nname: b\n", "d.yaml:3:1: a deployment file holds one YAML document, this is a second one"},
		{"https:\n  - host: a\n    host: b\n", "d.yaml:3:5: "},
		{"as_of: tomorrow\nhttps:\n  - host: a\n", `d.yaml:1:8: as_of: "tomorrow" is not a date; write it as 2027-01-31`},
		{"https:\n  - host: a\nwaivers:\n  - rule: cert-wildcart\n    reason: r\n    until: 2027-01-31\n", `d.yaml:4:5: waiver for the unknown rule "cert-wildcart"; did you mean "cert-wildcard"?`},
		{"https:\n  - host: a\nwaivers:\n  - rule: cert-wildcard\n    until: 2027-01-31\n", "d.yaml:4:5: the waiver for cert-wildcard gives no reason"},
		{"https:\n  - host: a\nwaivers:\n  - rule: cert-wildcard\n    reason: r\n", "d.yaml:4:5: the waiver for cert-wildcard has no end date; write until: 2027-01-31"},
	} {
		t.Run(c.message, func(t *testing.T) {
			_, err := audit.Parse("d.yaml", []byte(c.file))
			require.Error(t, err)
			assert.True(t, strings.HasPrefix(err.Error(), c.message), "got: %s", err)
			assert.NotContains(t, err.Error(), "\n")
		})
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	big := filepath.Join(dir, "big.yaml")
	require.NoError(t, os.WriteFile(big, nil, 0o600))
	require.NoError(t, os.Truncate(big, 100<<20))
	for path, message := range map[string]string{
		filepath.Join(dir, "none.yaml"): "no such file",
		dir:                             "is a directory; name a file",
		big:                             "104857600 bytes are too many",
	} {
		_, err := audit.Load(path)
		assert.ErrorContains(t, err, message)
	}
}

// TestDepthIsBounded: the parser would take minutes, or the whole stack.
func TestDepthIsBounded(t *testing.T) {
	for _, opener := range []string{"[", "{a: ", "- ", "[\n", "[]["} {
		_, err := audit.Parse("d.yaml", []byte("https:\n "+strings.Repeat(opener, 1<<18)))
		require.ErrorContains(t, err, "more than 1000 levels of nesting", opener)
	}
	for _, text := range []string{strings.Repeat("[]", 1<<16), strings.Repeat("]", 1<<16) + "[", "- " + strings.Repeat("x - ", 1<<10)} {
		d, err := audit.Parse("d.yaml", []byte("https:\n  - host: a\nwaivers:\n  - rule: cert-wildcard\n    until: 2027-01-31\n    reason: '"+text+"'\n"))
		require.NoError(t, err)
		assert.Len(t, d.HTTPS, 1)
	}
}

// TestFileAsWindowsWritesIt: with a byte order mark, and in UTF-16.
func TestFileAsWindowsWritesIt(t *testing.T) {
	d, err := audit.Parse("d.yaml", []byte("\xef\xbb\xbfhttps:\r\n  - host: a\r\n    port: 8093\r\n"))
	require.NoError(t, err)
	assert.Equal(t, uint16(8093), d.HTTPS[0].Port)
	_, err = audit.Parse("d.yaml", []byte("\xff\xfeh\x00t\x00"))
	require.EqualError(t, err, "d.yaml: the file is UTF-16; save it as UTF-8")
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("name: x\nca: [a.pem]\nhttps:\n  - {host: a, port: 1}\nhttp:\n  - host: b\nwaivers:\n  - {rule: cert-wildcard, reason: r, until: 2027-01-31}\n"))
	f.Add([]byte("https: [\n"))
	f.Add([]byte("find:\n  - {path: [., ..], patterns: true, exclude: '*.x'}\n"))
	f.Add([]byte("https:\n  - host: a\nwaivers:\n  {}\nldap:\n  - {}\ncertificates:\n  - dir: x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := audit.Parse("d.yaml", data)
		switch {
		case err != nil && strings.Contains(err.Error(), "\n"):
			t.Fatalf("more than one line: %q", err)
		case err != nil && !strings.HasPrefix(err.Error(), "d.yaml:"):
			t.Fatalf("no place: %q", err)
		case err == nil && len(d.HTTPS)+len(d.HTTP)+len(d.LDAP)+len(d.SQL)+len(d.SMTP)+len(d.RADIUS)+len(d.Certificates)+len(d.SecURL)+len(d.API)+len(d.Circle)+len(d.Firewall)+len(d.Find) == 0:
			t.Fatal("a deployment with nothing to check")
		}
	})
}

// deployment starts a hardened and a weak server and names them in a file.
func deployment(tb testing.TB, extra string) *audit.Deployment {
	tb.Helper()
	dir := tb.TempDir()
	ca := testca.MustNew(tb)
	require.NoError(tb, os.WriteFile(filepath.Join(dir, "root.pem"), ca.PEM(), 0o600))
	cfg, err := tlscheck.ServerConfig(tlscheck.Modern, ca.MustIssue(tb, testca.Leaf{Names: []string{host}}).TLS())
	require.NoError(tb, err)
	good := serveHTTPS(tb, cfg)
	weak := serveHTTPS(tb, &tls.Config{Certificates: []tls.Certificate{ca.MustSelfSigned(tb, testca.Leaf{Names: []string{"weak.corp.internal"}}).TLS()}})
	text := fmt.Sprintf("name: test\nca: root.pem\nhttps:\n  - host: %s\n    connect: %s\n  - connect: %s\n    host: weak.corp.internal\n%s", host, good, weak, extra)
	d, err := audit.Parse(filepath.Join(dir, "deployment.yaml"), []byte(text))
	require.NoError(tb, err)
	return d
}

func serveHTTPS(tb testing.TB, cfg *tls.Config) string {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Strict-Transport-Security", "max-age=63072000")
	}))
	s.TLS = cfg
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // the probe's refused offers are no news
	s.StartTLS()
	tb.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func TestRunReportsEverythingWithItsPlace(t *testing.T) {
	var steps atomic.Int32
	result, err := deployment(t, "").Run(t.Context(), audit.Options{Progress: func(done, total int, _ string) {
		assert.Equal(t, 2, total)
		steps.Add(1)
	}})
	require.NoError(t, err)
	assert.EqualValues(t, 2, steps.Load())
	r := result.Report
	assert.Equal(t, "test", r.Target)
	ruletest.ExpectFailed(t, r, tlscheck.RuleSelfSigned, tlscheck.RuleCipherWeak)
	for _, f := range r.Findings {
		require.NotNil(t, f.Source, f.Rule.ID)
		assert.Equal(t, "deployment.yaml", filepath.Base(f.Source.File))
		switch {
		case strings.HasPrefix(f.Subject, "central"):
			assert.Equal(t, 4, f.Source.Line)
		case strings.HasPrefix(f.Subject, "weak"):
			assert.Equal(t, 6, f.Source.Line)
		default:
			t.Errorf("%s has the subject %q", f.Rule.ID, f.Subject)
		}
		assert.Equal(t, 5, f.Source.Column)
	}
	assert.ErrorIs(t, r.Err(connsec.High), tlscheck.RuleSelfSigned)
}

func TestWaiversAreApplied(t *testing.T) {
	const waivers = `waivers:
  - {rule: cert-self-signed, subject: "weak.corp.internal:443", reason: replaced in March, until: 2026-12-31}
  - {rule: cert-wildcard, reason: never needed, until: 2026-12-31}
`
	at := func(day string) audit.Options {
		t0, err := time.Parse(time.DateTime, day)
		require.NoError(t, err)
		return audit.Options{Now: func() time.Time { return t0 }, AsOf: time.Now()}
	}
	d := deployment(t, waivers)
	result, err := d.Run(t.Context(), at("2026-12-31 23:59:59"))
	require.NoError(t, err)
	ruletest.Expect(t, connsec.Report{Findings: result.Report.Of(tlscheck.RuleSelfSigned)[1:]}, connsec.Waived, tlscheck.RuleSelfSigned)
	require.Len(t, result.UnusedWaivers, 1)
	assert.Equal(t, "cert-wildcard", result.UnusedWaivers[0].Rule)

	result, err = d.Run(t.Context(), at("2027-01-01 00:00:00"))
	require.NoError(t, err)
	assert.Equal(t, connsec.Fail, result.Report.Of(tlscheck.RuleSelfSigned)[1].Outcome, "the waiver has ended")
}

// A host that drops packets costs the run its deadline at most, and delays nobody else.
func TestDeadHostDelaysNothing(t *testing.T) {
	d := deployment(t, "http:\n  - host: dead.corp.internal\n    connect: 192.0.2.1\n")
	d.HTTPS = append(d.HTTPS, audit.HTTPS{Host: "dead.corp.internal", Connect: "192.0.2.1"}, audit.HTTPS{Host: "gone.corp.internal"})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	order := make(chan string, 8)
	result, err := d.Run(ctx, audit.Options{Dialer: blackHole{}, Resolver: nowhere{}, Progress: func(_, _ int, s string) { order <- s }})
	require.NoError(t, err)
	close(order)
	var last string
	for s := range order {
		last = s
	}
	assert.Contains(t, last, "dead", "the others were done before")
	var inconclusive []string
	for _, f := range result.Report.Findings {
		if f.Outcome == connsec.Inconclusive && !strings.HasPrefix(f.Subject, "weak.") { // whose HSTS cannot be known
			inconclusive = append(inconclusive, f.Subject)
		}
	}
	assert.Equal(t, []string{"dead.corp.internal:443", "gone.corp.internal:443", "http://dead.corp.internal:80"}, inconclusive)
}

// blackHole swallows packets to the documentation range.
type blackHole struct{}

func (blackHole) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if strings.HasPrefix(address, "192.0.2.") {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

type nowhere struct{ tlscheck.Resolver }

func (nowhere) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return nil, &net.DNSError{IsNotFound: true}
}

func TestRevocationListsAreRead(t *testing.T) {
	ca := testca.MustNew(t)
	leaf := ca.MustIssue(t, testca.Leaf{Names: []string{host}})
	cfg, err := tlscheck.ServerConfig(tlscheck.Modern, leaf.TLS())
	require.NoError(t, err)
	dir := t.TempDir()
	crl, err := ca.CRL(leaf.Leaf.SerialNumber)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ca.crl"), crl, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "root.pem"), ca.PEM(), 0o600))
	d, err := audit.Parse(filepath.Join(dir, "d.yaml"), []byte("ca: root.pem\ncrl: ca.crl\nhttps:\n  - host: "+host+"\n    connect: "+serveHTTPS(t, cfg)+"\n"))
	require.NoError(t, err)
	result, err := d.Run(t.Context(), audit.Options{})
	require.NoError(t, err)
	ruletest.ExpectFailed(t, result.Report, tlscheck.RuleRevoked)
	d.CRL = []string{"root.pem"}
	_, err = d.Run(t.Context(), audit.Options{})
	assert.ErrorContains(t, err, "not a certificate revocation list")
}

// server is a trap of any protocol.
type server interface {
	Addr() string
	Close() error
}

// TestRevocationListsAreForEverySection: a list that is given is looked at wherever there is TLS.
func TestRevocationListsAreForEverySection(t *testing.T) {
	const name = "server.corp.internal"
	ca := testca.MustNew(t)
	for _, c := range []struct {
		section string // with the address behind
		start   func(trap.Options) (server, error)
	}{
		{"ldap:\n  - url: ldaps://" + name + "\n    other_port: 1\n    connect: ", func(o trap.Options) (server, error) {
			return o.LDAP(trap.LDAPController)
		}},
		{"sql:\n  - dsn: sqlserver://" + name + "?encrypt=strict&tlsmin=1.2\n    connect: ", func(o trap.Options) (server, error) {
			return o.SQL(trap.SQLConfig{Posture: trap.SQLForced})
		}},
		{"smtp:\n  - url: smtps://" + name + "\n    other_port: 1\n    connect: ", func(o trap.Options) (server, error) {
			return o.SMTPS(trap.SMTPHonest)
		}},
		{"radius:\n  - host: " + name + "\n    transport: tls\n    connect: ", func(o trap.Options) (server, error) {
			return o.RadSec(trap.RadSecHonest)
		}},
	} {
		section, _, _ := strings.Cut(c.section, ":")
		t.Run(section, func(t *testing.T) {
			dir := t.TempDir()
			leaf, other := ca.MustIssue(t, testca.Leaf{Names: []string{name}}), ca.MustIssue(t, testca.Leaf{Names: []string{name}})
			server, err := c.start(trap.Options{Certificate: &trap.Certificate{Chain: leaf.TLS(), Roots: ca.Pool()}})
			require.NoError(t, err)
			t.Cleanup(func() { _ = server.Close() })
			require.NoError(t, os.WriteFile(filepath.Join(dir, "root.pem"), ca.PEM(), 0o600))
			for outcome, serial := range map[connsec.Outcome]*big.Int{connsec.Fail: leaf.Leaf.SerialNumber, connsec.Pass: other.Leaf.SerialNumber} {
				crl, err := ca.CRL(serial)
				require.NoError(t, err)
				require.NoError(t, os.WriteFile(filepath.Join(dir, "ca.crl"), crl, 0o600))
				d, err := audit.Parse(filepath.Join(dir, "d.yaml"), []byte("ca: root.pem\ncrl: ca.crl\n"+c.section+server.Addr()+"\n"))
				require.NoError(t, err)
				result, err := d.Run(t.Context(), audit.Options{})
				require.NoError(t, err)
				ruletest.Expect(t, result.Report, outcome, tlscheck.RuleRevoked)
			}
		})
	}
}

// TestRevocationListThatIsElsewhere: one that cannot be had is said, and stops nothing.
func TestRevocationListThatIsElsewhere(t *testing.T) {
	d := deployment(t, "")
	lists := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(lists.Close)
	d.CRL = []string{strings.Replace(lists.URL, "//", "//reader:hunter2@", 1) + "/ca.crl"}
	result, err := d.Run(t.Context(), audit.Options{Dialer: &net.Dialer{}})
	require.NoError(t, err)
	first := result.Report.Findings[0]
	assert.Equal(t, tlscheck.RuleRevoked, first.Rule)
	assert.Equal(t, connsec.Inconclusive, first.Outcome)
	assert.Equal(t, strings.Replace(lists.URL, "//", "//reader:xxxxx@", 1)+"/ca.crl", first.Subject)
	assert.Contains(t, first.Detail, "the server answers 404")
	assert.NotContains(t, first.Subject+first.Detail, "hunter2")
	ruletest.ExpectFailed(t, result.Report, tlscheck.RuleSelfSigned, tlscheck.RuleCipherWeak)
}

// TestRevocationListWithoutAUsableURL: a mistake in the file, which no later run mends.
func TestRevocationListWithoutAUsableURL(t *testing.T) {
	d := deployment(t, "")
	d.CRL = []string{"http://reader:hunter2%zz@lists.corp.example/ca.crl"}
	_, err := d.Run(t.Context(), audit.Options{})
	require.EqualError(t, err, "tlscheck: CRL …@lists.corp.example/ca.crl: not a usable URL")
}

func TestCAFileThatIsNone(t *testing.T) {
	d := deployment(t, "")
	d.CA = []string{"deployment.yaml"}
	_, err := d.Run(t.Context(), audit.Options{})
	assert.ErrorContains(t, err, "ca: ")
}

// BenchmarkRun shows that an audit takes as long as its slowest endpoint: each of them answers
// after the same 50 ms, and 100 take no longer than what the processor needs for them.
func BenchmarkRun(b *testing.B) {
	ca := testca.MustNew(b)
	cfg, err := tlscheck.ServerConfig(tlscheck.Modern, ca.MustIssue(b, testca.Leaf{Names: []string{host}}).TLS())
	require.NoError(b, err)
	addr := serveHTTPS(b, cfg)
	root := filepath.Join(b.TempDir(), "root.pem")
	require.NoError(b, os.WriteFile(root, ca.PEM(), 0o600))
	for _, n := range []int{1, 10, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			d := &audit.Deployment{CA: []string{root}}
			for range n {
				d.HTTPS = append(d.HTTPS, audit.HTTPS{Host: host, Connect: addr})
			}
			for b.Loop() {
				result, err := d.Run(b.Context(), audit.Options{Dialer: slow{}})
				if err != nil || result.Report.Err(connsec.Low) != nil {
					b.Fatal(err, result.Report.Err(connsec.Low))
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "endpoints/s")
		})
	}
}

// slow is a network where connecting takes 50 ms.
type slow struct{}

func (slow) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	select {
	case <-time.After(50 * time.Millisecond):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

func TestMistakesInSections(t *testing.T) {
	for file, message := range map[string]string{
		"https:\n  - port: 1\n":                                           "d.yaml:2:5: host is missing",
		"ldap:\n  - bind_dn: cn=a\n":                                      "d.yaml:2:5: give url, or server and security, or domain",
		"ldap:\n  - url: ldaps://a.corp.internal\n    server: b\n":        "d.yaml:2:5: give either url or server and security",
		"ldap:\n  - url: http://a.corp.internal\n":                        "d.yaml:2:5: ",
		"smtp:\n  - user: a\n":                                            "d.yaml:2:5: give url, or server and security",
		"smtp:\n  - server: a\n    dns: 192.0.2.1\n":                      "d.yaml:2:5: dns and dns_trusted are for mx: true",
		"smtp:\n  - url: smtps://a\n    dns_trusted: true\n":              "d.yaml:2:5: dns and dns_trusted are for mx: true",
		"smtp:\n  - server: a\n    mx: true\n    dns: [a]\n":              "d.yaml:4:10: smtp[0].dns: want a text",
		"radius:\n  - {}\n":                                               "d.yaml:2:5: give host, or clients",
		"radius:\n  - host: a\n    transport: carrier\n":                  "d.yaml:3:16: radius[0].transport: ",
		"api:\n  - id: a\n":                                               "d.yaml:2:5: token_url is missing",
		"api:\n  - token_url: https://a\n    style: carrier\n":            "d.yaml:3:12: api[0].style: ",
		"api:\n  - token_url: https://a\n    secret_file: none\n":         "d.yaml:2:5: none: no such file",
		"api:\n  - token_url: https://a\n    created: soon\n":             "d.yaml:3:14: api[0].created: ",
		"circle:\n  - {}\n":                                               "d.yaml:2:5: give dir, url, or both",
		"circle:\n  - dir: none\n":                                        "d.yaml:2:5: none: no such file",
		"certificates:\n  - {}\n":                                         "d.yaml:2:5: give dir, or pfx, cer and key",
		"sql:\n  - host: a\n    dsn: server=b\n":                          "d.yaml:2:5: give one of dsn_file, dsn and host",
		"sql:\n  - dsn_file: none.txt\n":                                  "d.yaml:2:5: none.txt: no such file",
		"sql:\n  - dsn: \"sqlserver://u:hunter2@[::1\"\n":                 "d.yaml:2:5: ",
		"sql:\n  - dsn: server=a;password=hunter2\n    driver: carrier\n": "d.yaml:3:13: sql[0].driver: ",
		"sql:\n  - dsn: {password: hunter2}\n":                            "d.yaml:2:10: sql[0].dsn: want a text",
		"sql:\n  - dsn: [hunter2\n":                                       "d.yaml:",
	} {
		_, err := audit.Parse("d.yaml", []byte(file))
		require.Error(t, err, file)
		assert.True(t, strings.HasPrefix(err.Error(), message), "got: %s", err)
		assert.NotContains(t, err.Error(), "hunter2", "no secret in an error")
		assert.NotContains(t, err.Error(), "\n")
	}
}

// The documented file has to be one that is read.
func TestDocumentedFile(t *testing.T) {
	d, err := audit.Load(filepath.Join("..", "docs", "deployment.yaml"))
	require.NoError(t, err)
	for section, n := range map[string]int{
		"https": len(d.HTTPS), "http": len(d.HTTP), "ldap": len(d.LDAP), "sql": len(d.SQL), "smtp": len(d.SMTP),
		"radius": len(d.RADIUS), "api": len(d.API), "securl": len(d.SecURL), "circle": len(d.Circle), "waivers": len(d.Waivers),
	} {
		assert.NotZero(t, n, section)
	}
}
