package smtpsec_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/realsrv"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/internal/testca"
	"github.com/connsec/connsec/smtpsec"
	"github.com/connsec/connsec/trap"
	"github.com/miekg/dns"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// zone is a DNS server on loopback that validates nothing and says whatever the test wants.
type zone struct {
	records []string // in zone file syntax
	// authentic are the owner names that the answers call authentic; "*" is all.
	authentic string
	rcode     int
	truncate  bool // over UDP
}

func (z zone) serve(t testing.TB) string {
	t.Helper()
	var rrs []dns.RR
	for _, r := range z.records {
		rr, err := dns.NewRR(r)
		require.NoError(t, err, r)
		rrs = append(rrs, rr)
	}
	answer := func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetRcode(q, z.rcode)
		m.AuthenticatedData = q.AuthenticatedData && (z.authentic == "*" || z.authentic == q.Question[0].Name)
		_, udp := w.RemoteAddr().(*net.UDPAddr)
		for _, rr := range rrs {
			if strings.EqualFold(rr.Header().Name, q.Question[0].Name) && rr.Header().Rrtype == q.Question[0].Qtype {
				m.Answer = append(m.Answer, rr)
			}
		}
		if len(m.Answer) == 0 && z.rcode == dns.RcodeSuccess {
			m.Rcode = dns.RcodeNameError
		}
		if m.Truncated = z.truncate && udp; m.Truncated {
			m.Answer = nil
		}
		_ = w.WriteMsg(m)
	}
	// TCP first: its port is then tried for UDP.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p, err := net.ListenPacket("udp", l.Addr().String())
	require.NoError(t, err)
	for _, s := range []*dns.Server{{Listener: l, Handler: dns.HandlerFunc(answer)}, {PacketConn: p, Handler: dns.HandlerFunc(answer)}} {
		ready, done := make(chan struct{}), make(chan struct{})
		s.NotifyStartedFunc = func() { close(ready) }
		go func() { defer close(done); _ = s.ActivateAndServe() }()
		<-ready
		t.Cleanup(func() { _ = s.Shutdown(); <-done })
	}
	return l.Addr().String()
}

// addresses are those of every name.
type addresses []netip.Addr

func (a addresses) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) { return a, nil }

const policyText = "version: STSv1\r\nmode: enforce\r\nmx: mail.corp.example\r\nmx: *.backup.corp.example\r\nmax_age: 604800\r\n"

// mx is a mail domain with everything in place; a test changes what it is about.
type mx struct {
	ca      *testca.CA
	cert    *testca.Certificate
	posture trap.SMTPPosture
	zone    zone
	policy  http.HandlerFunc
	names   []string // of the policy host's certificate
	config  func(*smtpsec.Config)
}

func newMX(t testing.TB) *mx {
	ca := testca.MustNew(t)
	m := &mx{ca: ca, cert: ca.MustIssue(t, testca.Leaf{Names: []string{host}}), posture: trap.SMTPRelaxed, names: []string{"mta-sts.corp.example"}}
	m.policy = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte(policyText))
	}
	m.zone = zone{authentic: "*", records: []string{
		"corp.example. 60 IN MX 10 mail.corp.example.",
		`_mta-sts.corp.example. 60 IN TXT "v=STSv1; id=" "20260101T000000;"`,
		`_mta-sts.corp.example. 60 IN TXT "something else"`,
		`_smtp._tls.corp.example. 60 IN TXT "v=TLSRPTv1; rua=mailto:tls@corp.example,https://reports.corp.example/v1"`,
		"_25._tcp.mail.corp.example. 60 IN TLSA 3 1 1 " + tlsa(t, 1, 1, m.cert.Chain[0]),
	}}
	return m
}

func tlsa(t testing.TB, selector, matching uint8, cert *x509.Certificate) string {
	data, err := dns.CertificateToDANE(selector, matching, cert)
	require.NoError(t, err)
	return data
}

// replace puts records in the place of those with the same owner.
func (m *mx) replace(owner string, records ...string) {
	kept := records
	for _, r := range m.zone.records {
		if !strings.HasPrefix(r, owner+" ") {
			kept = append(kept, r)
		}
	}
	m.zone.records = kept
}

// setting starts the servers of the domain and returns what leads to them.
func (m *mx) setting(t testing.TB) smtpsec.Config {
	t.Helper()
	s, err := trap.Options{Certificate: &trap.Certificate{Chain: m.cert.TLS(), Roots: m.ca.Pool()}}.SMTP(m.posture)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	web := httptest.NewUnstartedServer(m.policy)
	web.TLS = &tls.Config{Certificates: []tls.Certificate{m.ca.MustIssue(t, testca.Leaf{Names: m.names}).TLS()}}
	web.Config.ErrorLog = log.New(io.Discard, "", 0)
	web.StartTLS()
	t.Cleanup(web.Close)
	n := network{ports: map[string]string{"25": s.Addr(), "443": web.Listener.Addr().String()}}
	c := smtpsec.Config{
		Host: host, Mode: smtpsec.StartTLS, MX: true, Domain: "corp.example", Roots: m.ca.Pool(), Dialer: n, Resolver: n,
		DNS: smtpsec.DNS{Server: m.zone.serve(t), Trusted: true},
	}
	if m.config != nil {
		m.config(&c)
	}
	return c
}

func (m *mx) probe(t testing.TB) connsec.Report {
	t.Helper()
	r, err := m.setting(t).Probe(deadline(t))
	require.NoError(t, err)
	return r
}

func TestAMailDomainWithEverythingInPlace(t *testing.T) {
	r := newMX(t).probe(t)
	show(t, r)
	ruletest.ExpectFailed(t, r)
	ruletest.Expect(t, r, connsec.Pass, smtpsec.RuleMTASTS, smtpsec.RuleDANE, smtpsec.RuleTLSRPT, smtpsec.RuleTLSNotEnforced)
}

func TestMailDomains(t *testing.T) {
	serve := func(kind, text string) func(*mx) {
		return func(m *mx) {
			m.policy = func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", kind)
				_, _ = w.Write([]byte(text))
			}
		}
	}
	change := func(from, to string) func(*mx) {
		return serve("text/plain", strings.Replace(policyText, from, to, 1))
	}
	sts := func(text string) func(*mx) {
		return func(m *mx) { m.replace("_mta-sts.corp.example.", "_mta-sts.corp.example. 60 IN TXT "+text) }
	}
	record := func(make func(m *mx) string) func(*mx) {
		return func(m *mx) {
			m.replace("_25._tcp.mail.corp.example.", "_25._tcp.mail.corp.example. 60 IN TLSA "+make(m))
		}
	}
	const (
		fail, pass, unknown = connsec.Fail, connsec.Pass, connsec.Inconclusive
	)
	for name, tc := range map[string]struct {
		change  func(*mx)
		rule    *connsec.Rule
		outcome connsec.Outcome
		detail  string
	}{
		"no STS record":    {func(m *mx) { m.replace("_mta-sts.corp.example.") }, smtpsec.RuleMTASTS, fail, "no TXT record"},
		"two STS records":  {sts("\"v=STSv1; id=1\"\n"), smtpsec.RuleMTASTS, pass, ""},
		"another version":  {sts(`"v=STSv12; id=1"`), smtpsec.RuleMTASTS, fail, "no TXT record"},
		"no id":            {sts(`"v=STSv1;"`), smtpsec.RuleMTASTS, fail, "id is not"},
		"testing":          {change("enforce", "testing"), smtpsec.RuleMTASTS, fail, "mode is testing"},
		"none":             {change("enforce", "none"), smtpsec.RuleMTASTS, fail, "mode is none"},
		"another host":     {change("mx: mail.", "mx: post."), smtpsec.RuleMTASTS, fail, "does not name mail.corp.example"},
		"by wildcard":      {change("mx: mail.", "mx: *."), smtpsec.RuleMTASTS, pass, ""},
		"an hour":          {change("604800", "3600"), smtpsec.RuleMTASTS, fail, "after 3600 seconds"},
		"no version":       {change("version", "versjon"), smtpsec.RuleMTASTS, fail, "no version"},
		"HTML":             {serve("text/html", policyText), smtpsec.RuleMTASTS, fail, "text/plain"},
		"too long":         {serve("text/plain", policyText+strings.Repeat("x: y\n", 20_000)), smtpsec.RuleMTASTS, fail, "more than"},
		"policy not there": {func(m *mx) { m.policy = http.NotFound }, smtpsec.RuleMTASTS, fail, "status 404"},
		"redirect": {func(m *mx) {
			m.policy = http.RedirectHandler("https://elsewhere.example/", http.StatusMovedPermanently).ServeHTTP
		}, smtpsec.RuleMTASTS, fail, "status 301"},
		"certificate of another": {func(m *mx) { m.names = []string{"www.corp.example"} }, smtpsec.RuleMTASTS, fail, "not accepted"},
		"policy host is down": {func(m *mx) {
			m.config = func(c *smtpsec.Config) { c.Dialer = network{map[string]string{"25": c.Dialer.(network).ports["25"]}} }
		}, smtpsec.RuleMTASTS, fail, "connection refused"},

		"no TLSA":              {func(m *mx) { m.replace("_25._tcp.mail.corp.example.") }, smtpsec.RuleDANE, fail, "no TLSA records"},
		"TLSA of another key":  {record(func(*mx) string { return "3 1 1 " + strings.Repeat("ab", 32) }), smtpsec.RuleDANE, fail, "matches none"},
		"PKIX usage":           {record(func(m *mx) string { return "1 1 1 " + tlsa(t, 1, 1, m.cert.Chain[0]) }), smtpsec.RuleDANE, fail, "usable"},
		"DANE-EE full":         {record(func(m *mx) string { return "3 0 0 " + tlsa(t, 0, 0, m.cert.Chain[0]) }), smtpsec.RuleDANE, pass, ""},
		"DANE-TA intermediate": {record(func(m *mx) string { return "2 0 1 " + tlsa(t, 0, 1, m.cert.Chain[1]) }), smtpsec.RuleDANE, pass, ""},
		"DANE-TA root, full":   {record(func(m *mx) string { return "2 0 0 " + tlsa(t, 0, 0, m.ca.Root) }), smtpsec.RuleDANE, pass, ""},
		"DANE-TA, wrong name": {func(m *mx) {
			m.cert = m.ca.MustIssue(t, testca.Leaf{Names: []string{"other.corp.example"}})
			record(func(m *mx) string { return "2 0 1 " + tlsa(t, 0, 1, m.cert.Chain[1]) })(m)
		}, smtpsec.RuleDANE, fail, "matches none"},
		"DANE-EE, wrong name": {func(m *mx) {
			m.cert = m.ca.MustIssue(t, testca.Leaf{Names: []string{"other.corp.example"}})
			record(func(m *mx) string { return "3 1 2 " + tlsa(t, 1, 2, m.cert.Chain[0]) })(m)
		}, smtpsec.RuleDANE, pass, ""},
		"TLSA not authentic": {func(m *mx) { m.zone.authentic = "corp.example." }, smtpsec.RuleDANE, fail, "not protected"},
		"MX not authentic":   {func(m *mx) { m.zone.authentic = "_25._tcp.mail.corp.example." }, smtpsec.RuleDANE, fail, "MX records of corp.example"},
		"resolver not trusted": {func(m *mx) {
			m.config = func(c *smtpsec.Config) { c.DNS.Trusted = false }
		}, smtpsec.RuleDANE, unknown, "authentic cannot be told"},
		"no STARTTLS to compare": {func(m *mx) { m.posture = trap.SMTPPlaintext }, smtpsec.RuleDANE, unknown, "no certificate"},
		"SERVFAIL":               {func(m *mx) { m.zone.rcode = dns.RcodeServerFailure }, smtpsec.RuleDANE, unknown, "SERVFAIL"},
		"SERVFAIL for STS":       {func(m *mx) { m.zone.rcode = dns.RcodeServerFailure }, smtpsec.RuleMTASTS, unknown, "SERVFAIL"},
		"SERVFAIL for reports":   {func(m *mx) { m.zone.rcode = dns.RcodeServerFailure }, smtpsec.RuleTLSRPT, unknown, "SERVFAIL"},
		"truncated":              {func(m *mx) { m.zone.truncate = true }, smtpsec.RuleDANE, pass, ""},
		"no domain":              {func(m *mx) { m.config = func(c *smtpsec.Config) { c.Domain = "" } }, smtpsec.RuleMTASTS, unknown, "no mail domain"},
		"DNS is down":            {func(m *mx) { m.config = func(c *smtpsec.Config) { c.DNS.Server = "127.0.0.1:1" } }, smtpsec.RuleDANE, unknown, "DNS gives no answer"},

		"another host's STS": {func(m *mx) { m.replace("corp.example.", "corp.example. 60 IN MX 10 Post.corp.example.") }, smtpsec.RuleMTASTS, unknown, "is not among the mail servers"},
		"another host's STS, without ours": {func(m *mx) {
			m.replace("corp.example.", "corp.example. 60 IN MX 10 post.corp.example.")
			change("mx: mail.", "mx: post.")(m)
		}, smtpsec.RuleMTASTS, unknown, "is not among the mail servers"},
		"another host's TLSA, without ours": {func(m *mx) {
			m.replace("corp.example.", "corp.example. 60 IN MX 10 post.corp.example.")
			m.replace("_25._tcp.mail.corp.example.")
		}, smtpsec.RuleDANE, unknown, "which are post.corp.example"},
		"another host's TLSA": {func(m *mx) { m.replace("corp.example.", "corp.example. 60 IN MX 10 post.corp.example.") }, smtpsec.RuleDANE, unknown, "which are post.corp.example"},
		"one of several hosts": {func(m *mx) {
			m.replace("corp.example.", "corp.example. 60 IN MX 10 post.corp.example.", "corp.example. 60 IN MX 20 mail.corp.example.")
		}, smtpsec.RuleDANE, pass, ""},
		"second address without a certificate": {func(m *mx) {
			plain := newTrap(t, trap.SMTPPlaintext, false).Addr()
			m.config = func(c *smtpsec.Config) {
				n := c.Dialer.(network)
				there := twins{netip.MustParseAddrPort("192.0.2.1:25"): n.ports["25"], netip.MustParseAddrPort("192.0.2.2:25"): plain, netip.MustParseAddrPort("192.0.2.1:443"): n.ports["443"]}
				c.Dialer, c.Resolver = there, addresses{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}
			}
		}, smtpsec.RuleDANE, unknown, "not seen at 192.0.2.2"},
		"second address closed": {func(m *mx) {
			m.config = func(c *smtpsec.Config) {
				n := c.Dialer.(network)
				there := twins{netip.MustParseAddrPort("192.0.2.1:25"): n.ports["25"], netip.MustParseAddrPort("192.0.2.1:443"): n.ports["443"]}
				c.Dialer, c.Resolver = there, addresses{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}
			}
		}, smtpsec.RuleDANE, pass, ""},

		"no reports": {func(m *mx) { m.replace("_smtp._tls.corp.example.") }, smtpsec.RuleTLSRPT, fail, "no TXT record"},
		"reports to nowhere": {func(m *mx) {
			m.replace("_smtp._tls.corp.example.", `_smtp._tls.corp.example. 60 IN TXT "v=TLSRPTv1; rua=ftp://x"`)
		}, smtpsec.RuleTLSRPT, fail, "neither a mailto: nor an https: address"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMX(t)
			tc.change(m)
			r := m.probe(t)
			ruletest.Expect(t, r, tc.outcome, tc.rule)
			assert.Contains(t, r.Of(tc.rule)[0].Detail, tc.detail)
		})
	}
}

func TestSTSPolicyCovers(t *testing.T) {
	p := smtpsec.STSPolicy{MX: []string{"mail.corp.example", "*.backup.corp.example"}}
	for name, want := range map[string]bool{
		"mail.corp.example": true, "MAIL.corp.example.": true, "mx1.backup.corp.example": true,
		"backup.corp.example": false, "a.b.backup.corp.example": false, "xmail.corp.example": false, ".backup.corp.example": false, "": false,
	} {
		assert.Equal(t, want, p.Covers(name), name)
	}
}

func FuzzParseSTSPolicy(f *testing.F) {
	f.Add(policyText)
	f.Add("version: STSv1\nmode: none\nmax_age: 0\n")
	f.Add("version:STSv1\nmode:testing\nmx:.\nmax_age:99999999999")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := smtpsec.ParseSTSPolicy(s)
		if err != nil {
			assert.NotContains(t, err.Error(), "\n")
			assert.Empty(t, p)
			return
		}
		text := fmt.Sprintf("version: STSv1\nmode: %s\nmax_age: %d\n", p.Mode, p.MaxAge)
		for _, mx := range p.MX {
			text += "mx: " + mx + "\n"
		}
		again, err := smtpsec.ParseSTSPolicy(text)
		require.NoError(t, err)
		assert.Equal(t, p, again)
	})
}

// TestTLSAAsOpenSSLSeesIt compares verdicts on TLSA records with those of OpenSSL. What was seen of
// each server is judged again under every record.
func TestTLSAAsOpenSSLSeesIt(t *testing.T) {
	openssl := realsrv.Need(t, "openssl")
	t.Parallel()
	ca, stranger := testca.MustNew(t), testca.MustNew(t)
	for _, name := range []string{host, "other.corp.example"} {
		leaf := ca.MustIssue(t, testca.Leaf{Names: []string{name}})
		m := newMX(t)
		m.ca, m.cert = ca, leaf
		seen, err := m.setting(t).Observe(deadline(t))
		require.NoError(t, err)
		require.NotEmpty(t, seen.Policy.Chains)
		s, err := trap.Options{Certificate: &trap.Certificate{Chain: leaf.TLS(), Roots: ca.Pool()}}.SMTP(trap.SMTPHonest)
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, s.Close()) })
		for usage := uint8(2); usage <= 3; usage++ {
			for selector := range uint8(2) {
				for matching := range uint8(3) {
					for of, cert := range map[string]*x509.Certificate{"leaf": leaf.Chain[0], "intermediate": leaf.Chain[1], "stranger": stranger.Root} {
						record := smtpsec.TLSA{Usage: usage, Selector: selector, Matching: matching, Data: tlsa(t, selector, matching, cert)}
						t.Run(fmt.Sprintf("%s %d %d %d %s", name, usage, selector, matching, of), func(t *testing.T) {
							t.Parallel()
							o, policy := seen, *seen.Policy
							policy.TLSARecords = []smtpsec.TLSA{record}
							o.Policy = &policy
							ours := o.Judge().Of(smtpsec.RuleDANE)[0].Outcome

							_, err := realsrv.Run(t, realsrv.Cmd{Path: openssl, Args: []string{
								"s_client", "-starttls", "smtp", "-connect", s.Addr(), "-dane_tlsa_domain", host,
								"-dane_tlsa_rrdata", fmt.Sprintf("%d %d %d %s", usage, selector, matching, record.Data),
								"-dane_ee_no_namechecks", "-verify_return_error", "-brief",
							}})
							assert.Equal(t, err == nil, ours == connsec.Pass, "OpenSSL: %v, here: %s", err, ours)
						})
					}
				}
			}
		}
	}
}
