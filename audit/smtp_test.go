package audit_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/audit"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/internal/testca"
	"github.com/connsec/connsec/smtpsec"
	"github.com/connsec/connsec/trap"
	"github.com/miekg/dns"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// resolver answers from a zone, and says of everything that it is authentic.
func resolver(t *testing.T, zone ...string) string {
	t.Helper()
	var records []dns.RR
	for _, z := range zone {
		rr, err := dns.NewRR(z)
		require.NoError(t, err)
		records = append(records, rr)
	}
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	ready, done := make(chan struct{}), make(chan struct{})
	s := &dns.Server{PacketConn: socket, NotifyStartedFunc: func() { close(ready) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		m.AuthenticatedData = true
		for _, rr := range records {
			if rr.Header().Name == q.Question[0].Name && rr.Header().Rrtype == q.Question[0].Qtype {
				m.Answer = append(m.Answer, rr)
			}
		}
		_ = w.WriteMsg(m)
	})}
	go func() { defer close(done); _ = s.ActivateAndServe() }()
	<-ready
	t.Cleanup(func() { _ = s.Shutdown(); <-done })
	return socket.LocalAddr().String()
}

// TestMXAsksTheResolverOfTheFile: the resolver is the file's, and DANE is believed only if the
// file says that it can be.
func TestMXAsksTheResolverOfTheFile(t *testing.T) {
	const mail = "mail.corp.example"
	ca := testca.MustNew(t)
	cert := ca.MustIssue(t, testca.Leaf{Names: []string{mail}})
	pin, err := dns.CertificateToDANE(1, 1, cert.Chain[0])
	require.NoError(t, err)
	server, err := trap.Options{Certificate: &trap.Certificate{Chain: cert.TLS(), Roots: ca.Pool()}}.SMTP(trap.SMTPRelaxed)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, server.Close()) })
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "root.pem"), ca.PEM(), 0o600))
	addr := resolver(t,
		"corp.example. 60 IN MX 10 "+mail+".",
		"_25._tcp."+mail+". 60 IN TLSA 3 1 1 "+pin,
		`_smtp._tls.corp.example. 60 IN TXT "v=TLSRPTv1; rua=mailto:tls@corp.example"`,
	)
	for trusted, dane := range map[bool]connsec.Outcome{true: connsec.Pass, false: connsec.Inconclusive} {
		file := fmt.Sprintf("ca: root.pem\nsmtp:\n  - server: %s\n    security: STARTTLS\n    mx: true\n    domain: corp.example\n    connect: %s\n    dns: %s\n    dns_trusted: %t\n",
			mail, server.Addr(), addr, trusted)
		d, err := audit.Parse(filepath.Join(dir, "deployment.yaml"), []byte(file))
		require.NoError(t, err)
		result, err := d.Run(t.Context(), audit.Options{})
		require.NoError(t, err)
		ruletest.Expect(t, result.Report, dane, smtpsec.RuleDANE)
		ruletest.Expect(t, result.Report, connsec.Pass, smtpsec.RuleTLSRPT)
		ruletest.ExpectFailed(t, result.Report, smtpsec.RuleMTASTS) // the zone has none
	}
}
