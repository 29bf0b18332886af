package smtpsec_test

import (
	"context"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/realsrv"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/internal/testca"
	"github.com/connsec/connsec/smtpsec"
	"github.com/connsec/connsec/tlscheck"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// authority makes the certificate of the server under test.
func authority(t testing.TB) (*testca.CA, realsrv.Material) {
	t.Helper()
	ca := testca.MustNew(t)
	return ca, realsrv.Material(ca.MustIssue(t, testca.Leaf{Names: []string{host}}).MustWriteFiles(t, t.TempDir(), "leaf"))
}

// server is a setting for a server with the two ports; "" is a closed one.
func server(ca *testca.CA, begins, implicit string, user string, password connsec.Secret) smtpsec.Config {
	n := network{ports: map[string]string{}}
	if begins != "" {
		n.ports["587"] = begins
	}
	if implicit != "" {
		n.ports["465"] = implicit
	}
	return smtpsec.Config{Host: host, Roots: ca.Pool(), Dialer: n, Resolver: n, User: user, Password: password}
}

// exactly holds the report to the rules of this package and of TLS that must fail, and no other.
func exactly(t testing.TB, c smtpsec.Config, failed ...*connsec.Rule) connsec.Report {
	t.Helper()
	o, err := c.Observe(deadline(t))
	require.NoError(t, err)
	r := o.Judge()
	show(t, r)
	// What a Debian 12 server cannot have: post-quantum key exchange.
	kept := r.Findings[:0:0]
	for _, f := range r.Findings {
		if f.Rule != tlscheck.RuleGroupClassical {
			kept = append(kept, f)
		}
	}
	r.Findings = kept
	ruletest.ExpectFailed(t, r, failed...)
	return r
}

// sends holds a client to sending over a port with the right password and not with a wrong one.
func sends(t *testing.T, c smtpsec.Config, ways ...smtpsec.Mode) {
	for _, mode := range ways {
		for _, method := range []smtpsec.Method{smtpsec.Auto, smtpsec.Plain, smtpsec.Login} {
			t.Run("send "+mode.String()+" "+method.String(), func(t *testing.T) {
				c := c
				c.Mode, c.Method = mode, method
				require.NoError(t, send(deadline(t), t, c))
				conn, err := c.Dial(deadline(t))
				require.NoError(t, err)
				require.NoError(t, conn.Noop())
				require.NoError(t, conn.Quit())
				c.Password = connsec.NewSecret("wrong-" + secret)
				err = send(deadline(t), t, c)
				require.ErrorContains(t, err, "535")
				assert.NotContains(t, err.Error(), secret)
				c.Roots = testca.MustNew(t).Pool()
				require.ErrorContains(t, send(deadline(t), t, c), "unknown authority")
			})
		}
	}
}

func TestPostfix(t *testing.T) {
	realsrv.Need(t, "postfix")
	t.Parallel() // the servers make clients wait
	ca, m := authority(t)
	s := realsrv.Postfix{TLS: m}.Start(t)
	type rules = []*connsec.Rule
	for name, tc := range map[string]struct {
		begins, implicit string
		failed           rules
		passed           rules
	}{
		"hardened": {s.Strict, s.Implicit, rules{tlscheck.RuleCipherWeak}, rules{
			smtpsec.RuleImplicitTLSMissing, smtpsec.RuleStartTLSMissing, smtpsec.RuleAuthBeforeTLS, smtpsec.RuleTLSNotEnforced,
			smtpsec.RuleStartTLSInjection, smtpsec.RuleCapabilitiesDiffer, tlscheck.RuleVersionLegacy, tlscheck.RuleUntrusted,
		}},
		"AUTH after TLS": {s.AuthAfterTLS, s.Implicit, rules{smtpsec.RuleTLSNotEnforced, tlscheck.RuleCipherWeak}, rules{smtpsec.RuleAuthBeforeTLS, smtpsec.RuleStartTLSInjection}},
		"opportunistic": {s.Opportunistic, "", rules{
			smtpsec.RuleImplicitTLSMissing, smtpsec.RuleAuthBeforeTLS, smtpsec.RuleTLSNotEnforced, tlscheck.RuleVersionLegacy, tlscheck.RuleCipherWeak,
		}, rules{smtpsec.RuleStartTLSInjection}},
		"no TLS": {s.NoTLS, "", rules{smtpsec.RuleImplicitTLSMissing, smtpsec.RuleStartTLSMissing, smtpsec.RuleAuthBeforeTLS, smtpsec.RuleTLSNotEnforced}, nil},
		"old TLS": {s.OldTLS, "", rules{
			smtpsec.RuleImplicitTLSMissing, tlscheck.RuleVersionLegacy, tlscheck.RuleVersion13Missing, tlscheck.RuleCipherWeak,
		}, rules{smtpsec.RuleStartTLSInjection, smtpsec.RuleTLSNotEnforced}},
		"wrapper mode where STARTTLS belongs": {"", s.Strict, rules{smtpsec.RuleImplicitTLSMissing}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := exactly(t, server(ca, tc.begins, tc.implicit, s.User, s.Password), tc.failed...)
			if len(tc.passed) > 0 {
				ruletest.Expect(t, r, connsec.Pass, tc.passed...)
			}
		})
	}
	sends(t, server(ca, s.Strict, s.Implicit, s.User, s.Password), smtpsec.Implicit, smtpsec.StartTLS)
	assert.NotContains(t, s.Log(), s.Password.Reveal())
	assert.Contains(t, s.Log(), "status=sent")
}

// Its cipher list is the last thing that Postfix leaves to its administrator.
func TestPostfixWithoutOldSuitesIsClean(t *testing.T) {
	realsrv.Need(t, "postfix")
	t.Parallel() // the servers make clients wait
	ca, m := authority(t)
	s := realsrv.Postfix{TLS: m, Extra: strings.Join([]string{
		"smtpd_tls_mandatory_ciphers = high",
		"tls_high_cipherlist = ECDHE+AESGCM:ECDHE+CHACHA20",
		"tls_medium_cipherlist = ECDHE+AESGCM:ECDHE+CHACHA20",
		"tls_preempt_cipherlist = yes",
	}, "\n")}.Start(t)
	r := exactly(t, server(ca, s.Strict, s.Implicit, "", connsec.Secret{}))
	for _, f := range r.Findings {
		assert.NotEqual(t, connsec.Inconclusive, f.Outcome, f.Rule.ID)
	}
}

func TestExim(t *testing.T) {
	realsrv.Need(t, "exim4")
	t.Parallel()
	ca, m := authority(t)
	s := realsrv.Exim{TLS: m}.Start(t)
	c := server(ca, s.StartTLS, s.Implicit, s.User, s.Password)
	r := exactly(t, c, smtpsec.RuleTLSNotEnforced, tlscheck.RuleCipherWeak)
	ruletest.Expect(t, r, connsec.Pass, smtpsec.RuleStartTLSInjection, smtpsec.RuleAuthBeforeTLS, smtpsec.RuleImplicitTLSMissing, smtpsec.RuleStartTLSMissing)
	assert.Equal(t, connsec.Medium, r.Of(smtpsec.RuleTLSNotEnforced)[0].Severity, "mail only: no login in clear")
	sends(t, c, smtpsec.Implicit, smtpsec.StartTLS)
}

func TestOpenSMTPD(t *testing.T) {
	root := realsrv.Trixie(t, "smtpd")
	t.Parallel()
	ca, m := authority(t)
	s := realsrv.OpenSMTPD{TLS: m, Root: root}.Start(t)
	t.Run("hardened", func(t *testing.T) {
		r := exactly(t, server(ca, s.Strict, s.Implicit, "", connsec.Secret{}), tlscheck.RuleCipherWeak)
		ruletest.Expect(t, r, connsec.Pass, smtpsec.RuleStartTLSInjection, smtpsec.RuleTLSNotEnforced, smtpsec.RuleAuthBeforeTLS)
	})
	t.Run("optional", func(t *testing.T) {
		exactly(t, server(ca, s.StartTLS, s.Implicit, "", connsec.Secret{}), smtpsec.RuleTLSNotEnforced, tlscheck.RuleCipherWeak)
	})
	t.Run("no TLS", func(t *testing.T) {
		exactly(t, server(ca, s.NoTLS, "", "", connsec.Secret{}), smtpsec.RuleImplicitTLSMissing, smtpsec.RuleStartTLSMissing, smtpsec.RuleTLSNotEnforced)
	})
	sends(t, server(ca, s.Strict, s.Implicit, s.User, s.Password), smtpsec.Implicit, smtpsec.StartTLS)
}

// TestACarelessServerIsCaught: the flaw in a server that has nothing in common with the traps.
func TestACarelessServerIsCaught(t *testing.T) {
	python := realsrv.Need(t, "python3")
	ca, m := authority(t)
	script, err := filepath.Abs("testdata/careless.py")
	require.NoError(t, err)
	port := strconv.Itoa(realsrv.FreePort(t))
	realsrv.Start(t, realsrv.Cmd{Path: python, Args: []string{script, port, m.Chain, m.Key}, TCP: []string{"127.0.0.1:" + port}})
	c := server(ca, "127.0.0.1:"+port, "", "", connsec.Secret{})
	r := exactly(t, c, smtpsec.RuleImplicitTLSMissing, smtpsec.RuleStartTLSInjection)
	ruletest.Expect(t, r, connsec.Pass, smtpsec.RuleTLSNotEnforced, smtpsec.RuleAuthBeforeTLS, smtpsec.RuleCapabilitiesDiffer)
}

// BenchmarkPostfix measures a whole probe of a Postfix on this machine, beside what swaks and
// nmap take to answer a part of it: swaks goes through STARTTLS once, nmap lists capabilities,
// suites and the certificate of both ports. They are processes of their own.
func BenchmarkPostfix(b *testing.B) {
	realsrv.Need(b, "postfix")
	ca, m := authority(b)
	s := realsrv.Postfix{TLS: m}.Start(b)
	c := server(ca, s.Strict, s.Implicit, s.User, s.Password)
	b.Run("connsec", func(b *testing.B) {
		count := &counting{Dialer: c.Dialer}
		c := c
		c.Dialer = count
		for b.Loop() {
			if _, err := c.Probe(context.Background()); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(count.n.Load())/float64(b.N), "connections/op")
	})
	_, begins, _ := net.SplitHostPort(s.Strict)
	_, implicit, _ := net.SplitHostPort(s.Implicit)
	peer := func(name string, args ...string) {
		b.Run(name, func(b *testing.B) {
			path := realsrv.Need(b, name)
			for b.Loop() {
				if out, err := exec.Command(path, args...).CombinedOutput(); err != nil {
					b.Fatalf("%v\n%s", err, out)
				}
			}
		})
	}
	peer("swaks", "--server", "127.0.0.1", "--port", begins, "--tls", "--quit-after", "EHLO", "--helo", "client.corp.example")
	peer("nmap", "-Pn", "-n", "-p", begins+","+implicit, "--script", "smtp-commands,+ssl-enum-ciphers,+ssl-cert", "127.0.0.1")
}

type counting struct {
	tlscheck.Dialer
	n atomic.Int64
}

func (c *counting) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c.n.Add(1)
	return c.Dialer.DialContext(ctx, network, address)
}
