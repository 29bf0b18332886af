package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/apisec"
	"github.com/connsec/connsec/audit"
	"github.com/connsec/connsec/circlehttps"
	"github.com/connsec/connsec/hostfw"
	"github.com/connsec/connsec/internal/testca"
	"github.com/connsec/connsec/ldapsec"
	"github.com/connsec/connsec/radiussec"
	"github.com/connsec/connsec/report"
	"github.com/connsec/connsec/smtpsec"
	"github.com/connsec/connsec/sqlsec"
	"github.com/connsec/connsec/tlscheck"
	"github.com/connsec/connsec/trap"
)

func demoCommand() command {
	return command{
		name: "demo", args: "", about: "start a weak and a hardened deployment on loopback, audit both, show the difference",
		shares: flagFormat | flagVerbose | flagColor,
		setup: func(fs *flag.FlagSet, _ *common) func(context.Context, *call) error {
			keep := fs.String("keep", "", "leave the deployment files and certificates in `DIR`")
			return func(ctx context.Context, c *call) error {
				if len(c.args) > 0 {
					return usagef("demo takes no arguments")
				}
				return demo(ctx, c, *keep)
			}
		},
	}
}

// demo writes two deployment files, starts the servers that they name, and audits the files
// the way the audit command does. Nothing leaves the machine.
func demo(ctx context.Context, c *call, keep string) error {
	dir := keep
	if dir == "" {
		temporary, err := os.MkdirTemp("", "connsec-demo-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(temporary)
		dir = temporary
	}
	var (
		reports []connsec.Report
		stop    []func()
	)
	defer func() {
		for _, f := range slices.Backward(stop) {
			f()
		}
	}()
	p := c.progress()
	for _, posture := range []struct {
		name  string
		start func(*stage) error
	}{{"weak", weakDeployment}, {"hardened", hardenedDeployment}} {
		s, err := newStage(filepath.Join(dir, posture.name))
		if err != nil {
			return err
		}
		stop = append(stop, s.close)
		if err := posture.start(s); err != nil {
			return fmt.Errorf("the %s deployment did not start: %w", posture.name, err)
		}
		file, err := s.write(posture.name)
		if err != nil {
			return err
		}
		d, err := audit.Load(file)
		if err != nil {
			return err
		}
		result, err := d.Run(ctx, audit.Options{Progress: p.step})
		if err != nil {
			return err
		}
		reports = append(reports, result.Report)
	}
	p.clear()
	if c.common.format == report.Text {
		compare(c.out, reports[0], reports[1], c.options())
		fmt.Fprint(c.out, "\nThe secret of a REST client turns once; each step survives a crash.\n\n")
		if err := demoRotation(ctx, c.out); err != nil {
			return err
		}
		if keep != "" {
			fmt.Fprintf(c.out, "\nThe files are in %s.\n", keep)
		}
	}
	if c.common.format != report.Text || c.common.verbose {
		if err := report.Write(c.out, c.common.format, reports, c.options()); err != nil {
			return err
		}
	}
	return asExpected(reports[0], reports[1])
}

// asExpected is the demo's own check: the weak deployment must fail everything it was built to
// fail, and the hardened one nothing.
func asExpected(weak, hardened connsec.Report) error {
	for _, rule := range demoFailures {
		if !slices.ContainsFunc(weak.Of(rule), func(f connsec.Finding) bool { return f.Outcome == connsec.Fail }) {
			return fmt.Errorf("the weak deployment does not fail %s as it should; please report this as a defect", rule.ID)
		}
	}
	for _, f := range hardened.Findings {
		if f.Severity > connsec.Info && (f.Outcome == connsec.Fail || f.Outcome == connsec.Inconclusive) {
			return fmt.Errorf("the hardened deployment has the %s finding %s (%s); please report this as a defect", f.Outcome, f.Rule.ID, f.Detail)
		}
	}
	return nil
}

// demoFailures are the rules that the weak deployment is built to fail.
var demoFailures = []*connsec.Rule{
	tlscheck.RuleSingleLabel, tlscheck.RuleSelfSigned, tlscheck.RuleVersionLegacy, tlscheck.RuleCipherWeak, tlscheck.RuleVersion13Missing,
	tlscheck.RuleLifetime, tlscheck.RuleCleartextServed,
	ldapsec.RuleCleartext, ldapsec.RuleCleartextBindAccepted, ldapsec.RuleSigningNotRequired, ldapsec.RuleChannelBinding, ldapsec.RulePrivilegedAccount,
	smtpsec.RuleCleartext, smtpsec.RuleTLSNotEnforced, radiussec.RuleSecretWeak, radiussec.RuleSecretReused, radiussec.RuleTransportUDP,
	apisec.RuleSecretWeak, apisec.RuleSecretShared, apisec.RuleSecretOld, apisec.RuleUnknownClientAccepted, apisec.RuleEndpointCleartext, apisec.RuleGrantPIN,
	circlehttps.RuleConfigSchemeMismatch, circlehttps.RuleLinkActive, circlehttps.RuleLinkPassive,
	hostfw.RuleDefaultAllow, hostfw.RuleIPv6Gap, hostfw.RuleManagementOpen, hostfw.RuleHTTPOpen,
	sqlsec.RuleEncryptionUnset, sqlsec.RuleEncryptionNotForced, sqlsec.RuleLoginSA,
}

// stage is where one deployment's servers and files live.
type stage struct {
	dir     string
	ca      *testca.CA
	file    strings.Builder // the deployment file
	closers []func()
}

func newStage(dir string) (*stage, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	ca, err := testca.New(testca.Options{Name: "Demo"})
	if err != nil {
		return nil, err
	}
	return &stage{dir: dir, ca: ca}, nil
}

func (s *stage) close() {
	for _, f := range slices.Backward(s.closers) {
		f()
	}
}

// add appends to the deployment file.
func (s *stage) add(format string, args ...any) { fmt.Fprintf(&s.file, format, args...) }

// keep stores a secret in a file of its own.
func (s *stage) keep(name, secret string) error {
	return os.WriteFile(filepath.Join(s.dir, name), []byte(secret+"\n"), 0o600)
}

// write stores the CA and the deployment file.
func (s *stage) write(name string) (string, error) {
	if err := os.WriteFile(filepath.Join(s.dir, "root.pem"), s.ca.PEM(), 0o600); err != nil {
		return "", err
	}
	file := filepath.Join(s.dir, "deployment.yaml")
	return file, os.WriteFile(file, []byte("name: "+name+"\nca: root.pem\n"+s.file.String()), 0o600)
}

// web serves pages on a free port of loopback until the demo ends; with a configuration, over
// TLS.
func (s *stage) web(cfg *tls.Config, handler http.HandlerFunc) (addr string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	addr = l.Addr().String()
	if cfg != nil {
		l = tls.NewListener(l, cfg)
	}
	server := &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	s.closers = append(s.closers, func() {
		_ = server.Close()
		<-done
	})
	return addr, nil
}

// closedPort returns an address of loopback where nothing listens.
func closedPort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

const loginPage = `<!doctype html><title>Sign in</title><form method="post"><input name="user"><input name="password" type="password"><button>Sign in</button></form>`

// weakDeployment is what an installation looks like that nobody has touched: a certificate
// that the server made for itself, old protocol versions, and HTTP beside HTTPS.
func weakDeployment(s *stage) error {
	const host = "central"
	self, err := s.ca.SelfSigned(testca.Leaf{Names: []string{host}, Key: testca.RSA2048, Lifetime: 3650 * 24 * time.Hour})
	if err != nil {
		return err
	}
	page := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, loginPage) }
	secure, err := s.web(&tls.Config{
		Certificates: []tls.Certificate{self.TLS()}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS12, // #nosec G402 -- weak on purpose
		CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA},
	}, page)
	if err != nil {
		return err
	}
	plain, err := s.web(nil, page)
	if err != nil {
		return err
	}
	s.add("https:\n  - host: %s\n    port: 8093\n    connect: %s\n", host, secure)
	s.add("http:\n  - host: %s\n    port: 8083\n    connect: %s\n", host, plain)

	identity, err := s.identity("dc1")
	if err != nil {
		return err
	}
	directory, err := trap.Options{Certificate: identity}.LDAP(trap.LDAPControllerOpen)
	if err != nil {
		return err
	}
	s.closers = append(s.closers, func() { _ = directory.Close() })
	if err := s.keep("password", "demo"); err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(directory.Addr())
	s.add("ldap:\n  - server: dc1\n    security: None\n    bind_dn: CORP\\Administrator\n    password_file: password\n    connect: %s\n    other_port: %s\n", directory.Addr(), port)

	if identity, err = s.identity("sql01"); err != nil {
		return err
	}
	database, err := trap.Options{Certificate: identity}.SQL(trap.SQLConfig{Posture: trap.SQLOptional})
	if err != nil {
		return err
	}
	s.closers = append(s.closers, func() { _ = database.Close() })
	if err := s.keep("dsn", "sqlserver://sa:demo@sql01?database=central"); err != nil {
		return err
	}
	s.add("sql:\n  - dsn_file: dsn\n    connect: %s\n", database.Addr())

	if identity, err = s.identity("mail"); err != nil {
		return err
	}
	mail, err := trap.Options{Certificate: identity}.SMTP(trap.SMTPRelaxed)
	if err != nil {
		return err
	}
	s.closers = append(s.closers, func() { _ = mail.Close() })
	unused, err := closedPort() // so that the look at the other port stays within the demo
	if err != nil {
		return err
	}
	_, port, _ = net.SplitHostPort(unused)
	s.add("smtp:\n  - server: mail\n    security: None\n    port: 25\n    user: central\n    password_file: password\n    connect: %s\n    other_port: %s\n", mail.Addr(), port)
	if err := s.radiusClients("udp", "testing123"); err != nil {
		return err
	}
	if err := s.firewall(weakFirewall); err != nil {
		return err
	}
	if err := s.weakAPI(); err != nil {
		return err
	}
	return s.site("http")
}

// hardenedDeployment is the same installation after the guide: a full name, a certificate from
// the company's CA, TLS 1.3 only, no HTTP.
func hardenedDeployment(s *stage) error {
	const host = "central.corp.internal"
	leaf, err := s.ca.Issue(testca.Leaf{Names: []string{host}})
	if err != nil {
		return err
	}
	cfg, err := tlscheck.ServerConfig(tlscheck.Modern, leaf.TLS())
	if err != nil {
		return err
	}
	secure, err := s.web(cfg, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Strict-Transport-Security", "max-age=63072000")
		_, _ = io.WriteString(w, loginPage)
	})
	if err != nil {
		return err
	}
	shut, err := closedPort()
	if err != nil {
		return err
	}
	s.add("https:\n  - host: %s\n    port: 8093\n    connect: %s\n", host, secure)
	s.add("http:\n  - host: %s\n    port: 8083\n    connect: %s\n", host, shut)

	const dc = "dc1.corp.internal"
	identity, err := s.identity(dc)
	if err != nil {
		return err
	}
	directory, err := trap.Options{Certificate: identity}.LDAP(trap.LDAPController)
	if err != nil {
		return err
	}
	s.closers = append(s.closers, func() { _ = directory.Close() })
	if err := s.keep("password", "demo"); err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(directory.Addr())
	s.add("ldap:\n  - url: ldaps://%s\n    bind_dn: svc-central@corp.internal\n    password_file: password\n    connect: %s\n    other_port: %s\n", dc, directory.Addr(), port)

	const sql = "sql01.corp.internal"
	if identity, err = s.identity(sql); err != nil {
		return err
	}
	database, err := trap.Options{Certificate: identity}.SQL(trap.SQLConfig{Posture: trap.SQLForced})
	if err != nil {
		return err
	}
	s.closers = append(s.closers, func() { _ = database.Close() })
	s.add("sql:\n  - dsn: sqlserver://%s?database=central&encrypt=strict&TrustServerCertificate=false&tlsmin=1.2\n    connect: %s\n", sql, database.Addr())

	const smtp = "mail.corp.internal"
	if identity, err = s.identity(smtp); err != nil {
		return err
	}
	mail, err := trap.Options{Certificate: identity}.SMTPS(trap.SMTPHonest)
	if err != nil {
		return err
	}
	s.closers = append(s.closers, func() { _ = mail.Close() })
	if _, port, err = net.SplitHostPort(shut); err != nil {
		return err
	}
	s.add("smtp:\n  - url: smtps://%s\n    user: central\n    password_file: password\n    connect: %s\n    other_port: %s\n", smtp, mail.Addr(), port)
	if err := s.radiusClients("tls", "radsec"); err != nil {
		return err
	}
	if err := s.firewall(hardenedFirewall); err != nil {
		return err
	}
	if err := s.hardenedAPI(cfg, host); err != nil {
		return err
	}
	return s.site("https")
}

// radiusClients writes the client list of a RADIUS server and names it in the deployment file.
// Over TLS the secret is a fixed word, since the certificates do the work (RFC 6614 §2.3).
func (s *stage) radiusClients(proto, secret string) error {
	var list strings.Builder
	for i, client := range []string{"central", "gateway"} {
		fmt.Fprintf(&list, "client %s {\n\tipaddr = 192.0.2.%d\n\tproto = %s\n\tsecret = %s\n\trequire_message_authenticator = yes\n\tlimit_proxy_state = yes\n}\n",
			client, i+1, proto, secret)
	}
	s.add("radius:\n  - clients: clients.conf\n")
	return s.keep("clients.conf", list.String())
}

// tokenEndpoint gives tokens out, to the client with this secret or, without one, to everybody.
func tokenEndpoint(secret string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Strict-Transport-Security", "max-age=63072000")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Type", "application/json")
		var client struct {
			Secret string `json:"client_secret"`
		}
		_ = json.NewDecoder(io.LimitReader(r.Body, 1<<16)).Decode(&client)
		status, answer := http.StatusOK, `{"access_token":"demo","token_type":"Bearer","expires_in":1800,"scope":"reports"}`
		switch {
		case secret == "" || client.Secret == secret:
		case client.Secret == "":
			status, answer = http.StatusBadRequest, `{"error":"invalid_request"}`
		default:
			status, answer = http.StatusUnauthorized, `{"error":"invalid_client"}`
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}
}

// weakAPI is a token endpoint that asks for no secret, within TLS and without, and two clients
// with the same old one.
func (s *stage) weakAPI() error {
	const host = "central.corp.internal"
	leaf, err := s.ca.Issue(testca.Leaf{Names: []string{host}})
	if err != nil {
		return err
	}
	secure, err := s.web(&tls.Config{Certificates: []tls.Certificate{leaf.TLS()}, MinVersion: tls.VersionTLS12}, tokenEndpoint(""))
	if err != nil {
		return err
	}
	plain, err := s.web(nil, tokenEndpoint(""))
	if err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(plain)
	if err := s.keep("api-secret", "changeme"); err != nil {
		return err
	}
	s.add("api:\n")
	for _, client := range []string{"reports", "door"} {
		s.add("  - {name: %s, id: %s, secret_file: api-secret, token_url: \"https://%s:8094/api/auth/token\", style: json, grant: login_info, "+
			"created: %s, plain_port: %s, connect: \"%s\"}\n", client, client, host, time.Now().AddDate(-2, 0, 0).Format(time.DateOnly), port, secure)
	}
	return nil
}

// hardenedAPI is one that asks, and two clients with secrets of their own.
func (s *stage) hardenedAPI(cfg *tls.Config, host string) error {
	shut, err := closedPort()
	if err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(shut)
	s.add("api:\n")
	for _, client := range []string{"reports", "door"} {
		secret := apisec.NewSecret().Reveal()
		if err := s.keep("api-secret-"+client, secret); err != nil {
			return err
		}
		secure, err := s.web(cfg, tokenEndpoint(secret))
		if err != nil {
			return err
		}
		s.add("  - {name: %s, id: %s, secret_file: api-secret-%s, token_url: \"https://%s:8094/api/auth/token\", style: json, scopes: [reports], needed: [reports], "+
			"owner: finance, created: %s, expires: %s, plain_port: %s, try_token: true, connect: \"%s\"}\n", client, client, client, host,
			time.Now().AddDate(0, 0, -10).Format(time.DateOnly), time.Now().AddDate(0, 0, 60).Format(time.DateOnly), port, secure)
	}
	return nil
}

// identity is a certificate of the stage's CA for a fake server.
func (s *stage) identity(name string) (*trap.Certificate, error) {
	c, err := s.ca.Issue(testca.Leaf{Names: []string{name}})
	if err != nil {
		return nil, err
	}
	return &trap.Certificate{Chain: c.TLS(), Roots: s.ca.Pool()}, nil
}

// compare shows which rules tell the two deployments apart, worst first.
func compare(w io.Writer, weak, hardened connsec.Report, o report.Options) {
	style := func(code, text string) string {
		if !o.Color {
			return text
		}
		return "\x1b[" + code + "m" + text + "\x1b[0m"
	}
	marks := map[connsec.Outcome]string{
		connsec.Pass: style("32", "✓ pass"), connsec.NotApplicable: style("2", "· n/a"), connsec.Inconclusive: style("33", "? unknown"), 0: style("2", "· –"),
	}
	fmt.Fprint(w, "Two deployments of the same server on loopback, audited side by side.\n\n")
	fmt.Fprintf(w, "%-56s %-11s %s\n", "", "weak", "hardened")
	failed := weak.Failed(connsec.Info)
	slices.SortStableFunc(failed, func(a, b connsec.Finding) int { return int(b.Severity) - int(a.Severity) })
	seen := map[*connsec.Rule]bool{}
	for _, f := range failed {
		if seen[f.Rule] {
			continue
		}
		seen[f.Rule] = true
		after := marks[worst(hardened.Of(f.Rule))]
		if after == "" {
			after = style("31", "✗ "+f.Severity.String())
		}
		fmt.Fprintf(w, "%-56s %s %s\n", fit(f.Rule.Title, 56), style("31", fmt.Sprintf("✗ %-9s", f.Severity)), after)
		fmt.Fprintln(w, style("2", fit("  "+f.Rule.ID+": "+f.Detail, 80)))
	}
	fmt.Fprintf(w, "\nweak      %s\nhardened  %s\n", tally(weak), tally(hardened))
	fmt.Fprint(w, "\nconnsec demo --verbose shows both in full; connsec rules ID explains a rule.\n")
}

// worst is the outcome that says the least good of a rule.
func worst(findings []connsec.Finding) connsec.Outcome {
	var out connsec.Outcome
	rank := map[connsec.Outcome]int{connsec.Pass: 2, connsec.NotApplicable: 1, connsec.Inconclusive: 3, connsec.Waived: 4, connsec.Fail: 5}
	for _, f := range findings {
		if rank[f.Outcome] > rank[out] {
			out = f.Outcome
		}
	}
	return out
}

func fit(s string, width int) string {
	if r := []rune(s); len(r) > width {
		return string(r[:width-1]) + "…"
	}
	return s
}

func tally(r connsec.Report) string {
	out := fmt.Sprintf("%d failed, %d passed", r.Count(connsec.Fail), r.Count(connsec.Pass))
	if n := r.Count(connsec.Inconclusive); n > 0 {
		out += fmt.Sprintf(", %d could not be told", n)
	}
	return out + fmt.Sprintf(", in %d ms", r.Duration.Milliseconds())
}
