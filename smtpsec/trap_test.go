package smtpsec_test

import (
	"context"
	"encoding/json"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/internal/testca"
	"github.com/connsec/connsec/smtpsec"
	"github.com/connsec/connsec/tlscheck"
	"github.com/connsec/connsec/trap"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// network stands in for DNS and for ports: names resolve to a loopback address, and standard
// ports lead to the free ones on which the test's servers listen. Other ports are closed.
type network struct{ ports map[string]string }

func (n network) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}

func (n network) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	to, ok := n.ports[port]
	if !ok {
		to = "127.0.0.1:1" // where nothing listens
	}
	return (&net.Dialer{}).DialContext(ctx, network, to)
}

// deadline: within a test, nothing takes longer than this.
func deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// short is for peers that never answer.
func short(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// newTrap starts a trap under the name of the setting.
func newTrap(t testing.TB, p trap.SMTPPosture, implicit bool) *trap.SMTP {
	t.Helper()
	o := trap.Options{Names: []string{host}}
	newOne := o.SMTP
	if implicit {
		newOne = o.SMTPS
	}
	s, err := newOne(p)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	return s
}

// spring starts a trap that begins in clear, and returns a setting that leads into it.
func spring(t testing.TB, p trap.SMTPPosture) (*trap.SMTP, smtpsec.Config) {
	s := newTrap(t, p, false)
	n := network{ports: map[string]string{"587": s.Addr()}}
	c := sound()
	c.Mode, c.Roots, c.Dialer, c.Resolver = smtpsec.StartTLS, s.Roots(), n, n
	return s, c
}

// springTLS is the same with TLS from the first byte.
func springTLS(t testing.TB, p trap.SMTPPosture) (*trap.SMTP, smtpsec.Config) {
	s := newTrap(t, p, true)
	n := network{ports: map[string]string{"465": s.Addr()}}
	c := sound()
	c.Roots, c.Dialer, c.Resolver = s.Roots(), n, n
	return s, c
}

// own cuts a report down to the rules of this package.
func own(r connsec.Report) connsec.Report {
	var out []connsec.Finding
	for _, f := range r.Findings {
		if strings.HasPrefix(f.Rule.ID, "smtp-") {
			out = append(out, f)
		}
	}
	r.Findings = out
	return r
}

func show(t testing.TB, r connsec.Report) {
	for _, f := range r.Findings {
		if f.Outcome != connsec.Pass && f.Outcome != connsec.NotApplicable {
			t.Logf("%-13s %-8s %s [%s] %s %v", f.Outcome, f.Severity, f.Rule.ID, f.Subject, f.Detail, f.Evidence)
		}
	}
}

func TestProbeInTraps(t *testing.T) {
	type rules = []*connsec.Rule
	implicit := smtpsec.RuleImplicitTLSMissing // these traps have no such port
	for posture, want := range map[trap.SMTPPosture]struct{ failed, passed, unknown rules }{
		trap.SMTPHonest: {
			failed: rules{implicit},
			passed: rules{smtpsec.RuleStartTLSMissing, smtpsec.RuleAuthBeforeTLS, smtpsec.RuleTLSNotEnforced, smtpsec.RuleStartTLSInjection, smtpsec.RuleCapabilitiesDiffer},
		},
		trap.SMTPStripping:  {failed: rules{implicit, smtpsec.RuleStartTLSMissing, smtpsec.RuleAuthBeforeTLS, smtpsec.RuleTLSNotEnforced}},
		trap.SMTPPlaintext:  {failed: rules{implicit, smtpsec.RuleStartTLSMissing, smtpsec.RuleTLSNotEnforced}, passed: rules{smtpsec.RuleAuthBeforeTLS}},
		trap.SMTPRefusing:   {failed: rules{implicit, smtpsec.RuleStartTLSMissing, smtpsec.RuleAuthBeforeTLS, smtpsec.RuleTLSNotEnforced}},
		trap.SMTPBuffering:  {failed: rules{implicit, smtpsec.RuleStartTLSInjection}, passed: rules{smtpsec.RuleCapabilitiesDiffer}},
		trap.SMTPEchoing:    {failed: rules{implicit, smtpsec.RuleStartTLSInjection}, passed: rules{smtpsec.RuleCapabilitiesDiffer}},
		trap.SMTPLure:       {failed: rules{implicit, smtpsec.RuleAuthBeforeTLS, smtpsec.RuleTLSNotEnforced}, passed: rules{smtpsec.RuleStartTLSInjection}},
		trap.SMTPSilentAuth: {failed: rules{implicit, smtpsec.RuleTLSNotEnforced}, passed: rules{smtpsec.RuleAuthBeforeTLS}},
		trap.SMTPRelaxed:    {failed: rules{implicit, smtpsec.RuleTLSNotEnforced}, passed: rules{smtpsec.RuleAuthBeforeTLS}},
		trap.SMTPShrinking:  {failed: rules{implicit, smtpsec.RuleAuthBeforeTLS, smtpsec.RuleTLSNotEnforced, smtpsec.RuleCapabilitiesDiffer}},
		// What the server does is seen whoever it is.
		trap.SMTPExpired:    {failed: rules{implicit}, passed: rules{smtpsec.RuleStartTLSInjection, smtpsec.RuleCapabilitiesDiffer}},
		trap.SMTPWrongName:  {failed: rules{implicit}, passed: rules{smtpsec.RuleStartTLSInjection}},
		trap.SMTPSelfSigned: {failed: rules{implicit}, passed: rules{smtpsec.RuleStartTLSInjection}},
		trap.SMTPUntrusted:  {failed: rules{implicit}, passed: rules{smtpsec.RuleStartTLSInjection}},
		trap.SMTPInjecting:  {failed: rules{implicit, smtpsec.RuleStartTLSInjection}, unknown: rules{smtpsec.RuleCapabilitiesDiffer}},
	} {
		t.Run(posture.String(), func(t *testing.T) {
			s, c := spring(t, posture)
			o, err := c.Observe(deadline(t))
			require.NoError(t, err)
			r := o.Judge()
			show(t, r)
			ruletest.ExpectFailed(t, own(r), want.failed...)
			if len(want.passed) > 0 {
				ruletest.Expect(t, r, connsec.Pass, want.passed...)
			}
			if len(want.unknown) > 0 {
				ruletest.Expect(t, r, connsec.Inconclusive, want.unknown...)
			}

			var again smtpsec.Observation
			require.NoError(t, json.Unmarshal(mustJSON(t, o), &again))
			assert.Equal(t, verdicts(r), verdicts(again.Judge()), "facts recorded in JSON give the same verdicts")

			for _, seen := range s.Observed() {
				assert.False(t, seen.Password, "nobody's password is sent")
				assert.False(t, seen.Message)
			}
			assert.LessOrEqual(t, len(s.Observed()), 14, "bounded work")
		})
	}
}

// twins stands in for a name with several addresses: each leads to a server of its own.
type twins map[netip.AddrPort]string

func (n twins) LookupNetIP(context.Context, string, string) (found []netip.Addr, _ error) {
	for _, at := range slices.SortedFunc(maps.Keys(n), netip.AddrPort.Compare) {
		found = append(found, at.Addr())
	}
	return found, nil
}

func (n twins) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	to, ok := n[netip.MustParseAddrPort(address)]
	if !ok {
		to = "127.0.0.1:1" // where nothing listens
	}
	return (&net.Dialer{}).DialContext(ctx, network, to)
}

// TestASecondServerBehindTheName: what the first address does right says nothing about the others.
func TestASecondServerBehindTheName(t *testing.T) {
	ca := testca.MustNew(t)
	identity := &trap.Certificate{Chain: ca.MustIssue(t, testca.Leaf{Names: []string{host}}).TLS(), Roots: ca.Pool()}
	at := func(p trap.SMTPPosture) string {
		s, err := trap.Options{Certificate: identity}.SMTP(p)
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, s.Close()) })
		return s.Addr()
	}
	honest := at(trap.SMTPHonest)
	first, second, third := netip.MustParseAddrPort("192.0.2.1:587"), netip.MustParseAddrPort("192.0.2.2:587"), netip.MustParseAddrPort("[2001:db8::1]:587")
	probe := func(n twins) connsec.Report {
		c := sound()
		c.Mode, c.Roots, c.Dialer, c.Resolver = smtpsec.StartTLS, ca.Pool(), n, n
		o, err := c.Observe(deadline(t))
		require.NoError(t, err)
		r := o.Judge()
		show(t, r)
		r.Findings = slices.DeleteFunc(r.Findings, func(f connsec.Finding) bool { return f.Rule == smtpsec.RuleImplicitTLSMissing })
		return r
	}

	r := probe(twins{first: honest, second: honest, third: honest})
	ruletest.ExpectFailed(t, r)
	ruletest.Expect(t, r, connsec.Pass, smtpsec.RuleStartTLSMissing, smtpsec.RuleStartTLSInjection, tlscheck.RuleUntrusted)
	assert.Len(t, r.Of(smtpsec.RuleStartTLSInjection), 1)

	r = probe(twins{first: honest, second: at(trap.SMTPBuffering), third: at(trap.SMTPPlaintext)})
	subjects := map[string][]string{}
	for _, f := range r.Failed(connsec.Info) {
		subjects[f.Rule.ID] = append(subjects[f.Rule.ID], f.Subject)
	}
	assert.Equal(t, map[string][]string{
		smtpsec.RuleStartTLSInjection.ID: {"mail.corp.example:587 (starttls) [192.0.2.2]"},
		smtpsec.RuleStartTLSMissing.ID:   {"mail.corp.example:587 (starttls) [2001:db8::1]"},
		smtpsec.RuleTLSNotEnforced.ID:    {"mail.corp.example:587 (starttls) [2001:db8::1]"},
	}, subjects)
	ruletest.Expect(t, r, connsec.Pass, tlscheck.RuleHandshakeFailed)

	many := twins{}
	for i := range byte(18) {
		many[netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, i}), 587)] = "127.0.0.1:1"
	}
	r = probe(many)
	enforced := r.Of(smtpsec.RuleTLSNotEnforced)
	require.Len(t, enforced, 2)
	assert.Equal(t, connsec.Inconclusive, enforced[1].Outcome)
	assert.Contains(t, enforced[1].Detail, "2 more addresses, which were not looked at")

	r = probe(twins{first: honest, second: "127.0.0.1:1"})
	ruletest.ExpectFailed(t, r)
	assert.Len(t, r.Of(smtpsec.RuleTLSNotEnforced), 2)
	ruletest.Expect(t, r, connsec.Pass, tlscheck.RuleHandshakeFailed) // a closed port has no TLS to be judged
}

func verdicts(r connsec.Report) (out []string) {
	for _, f := range r.Findings {
		out = append(out, f.Rule.ID+" "+f.Subject+" "+f.Outcome.String()+" "+f.Severity.String()+" "+f.Detail)
	}
	return out
}

func TestProbeOfTLSFromTheFirstByte(t *testing.T) {
	_, c := springTLS(t, trap.SMTPHonest)
	r, err := c.Probe(deadline(t))
	require.NoError(t, err)
	ruletest.ExpectFailed(t, r)
	ruletest.Expect(t, r, connsec.Pass, smtpsec.RuleImplicitTLSMissing, tlscheck.RuleUntrusted, tlscheck.RuleHandshakeFailed, smtpsec.RuleCleartext)
	ruletest.Expect(t, r, connsec.NotApplicable, smtpsec.RuleStartTLSMissing, smtpsec.RuleTLSNotEnforced)

	_, c = springTLS(t, trap.SMTPPlaintext)
	r, err = c.Probe(deadline(t))
	require.NoError(t, err)
	ruletest.ExpectFailed(t, r, smtpsec.RuleImplicitTLSMissing)
	assert.Equal(t, connsec.High, r.Of(smtpsec.RuleImplicitTLSMissing)[0].Severity, "the setting needs it")
}

func TestProbeOfAnMXDoesNotDemandWhatAnMXCannotDo(t *testing.T) {
	s, c := spring(t, trap.SMTPRelaxed)
	c = smtpsec.Config{Host: host, MX: true, Roots: c.Roots, Resolver: c.Resolver, Dialer: network{ports: map[string]string{"25": s.Addr()}}}
	r, err := c.Probe(deadline(t))
	require.NoError(t, err)
	assert.Equal(t, "smtp://mail.corp.example:25", r.Target)
	ruletest.ExpectFailed(t, r)
	ruletest.Expect(t, r, connsec.Pass, smtpsec.RuleTLSNotEnforced)
	ruletest.Expect(t, r, connsec.Inconclusive, smtpsec.RuleMTASTS, smtpsec.RuleDANE, smtpsec.RuleTLSRPT)
	assert.Empty(t, r.Of(smtpsec.RuleImplicitTLSMissing))
}

func TestBrokenServersProveNothing(t *testing.T) {
	for _, posture := range []trap.SMTPPosture{
		trap.SMTPStalled, trap.SMTPStalledHandshake, trap.SMTPEarlyClose, trap.SMTPEndlessGreeting, trap.SMTPEndlessReply, trap.SMTPOversize, trap.SMTPNotSMTP,
	} {
		t.Run(posture.String(), func(t *testing.T) {
			t.Parallel()
			_, c := spring(t, posture)
			c.Dialer = network{ports: map[string]string{"587": c.Dialer.(network).ports["587"], "465": c.Dialer.(network).ports["587"]}}
			ctx := deadline(t)
			if posture == trap.SMTPStalled || posture == trap.SMTPStalledHandshake {
				ctx = short(t)
			}
			o, err := c.Observe(ctx)
			if err != nil {
				assert.NotContains(t, err.Error(), "\n")
				return
			}
			for _, rule := range []*connsec.Rule{smtpsec.RuleAuthBeforeTLS, smtpsec.RuleTLSNotEnforced, smtpsec.RuleStartTLSMissing} {
				if posture != trap.SMTPStalledHandshake { // whose SMTP in clear is honest
					assert.Equal(t, connsec.Inconclusive, o.Judge().Of(rule)[0].Outcome, rule.ID)
				}
			}
			assert.Equal(t, connsec.Inconclusive, o.Judge().Of(smtpsec.RuleStartTLSInjection)[0].Outcome)
		})
	}
}

func TestNothingListens(t *testing.T) {
	c := sound()
	c.Dialer, c.Resolver = network{}, network{}
	r, err := c.Probe(deadline(t))
	require.NoError(t, err, "a closed port is a fact")
	ruletest.ExpectFailed(t, r, smtpsec.RuleImplicitTLSMissing)
	c.HELO = "a\r\nMAIL FROM:<x@y>"
	_, err = c.Observe(deadline(t))
	require.ErrorContains(t, err, "EHLO")
	_, err = smtpsec.Config{}.Observe(deadline(t))
	require.ErrorContains(t, err, "no host")
}

// TestWhatStandsBeforeAnAtSignIsNotShown: it could be the password, typed into the wrong field.
func TestWhatStandsBeforeAnAtSignIsNotShown(t *testing.T) {
	c, err := smtpsec.ParseForm(smtpsec.Form{Server: secret + "@mail.corp.example", Security: "SSL"})
	require.NoError(t, err)
	c.Dialer, c.Resolver = network{}, network{}
	o, err := c.Observe(deadline(t))
	require.NoError(t, err)
	assert.NotContains(t, string(mustJSON(t, o)), secret)
	assert.NotContains(t, string(mustJSON(t, o.Judge())), secret)
	assert.NotContains(t, string(mustJSON(t, c.Validate())), secret)
	ruletest.Expect(t, c.Validate(), connsec.Fail, smtpsec.RuleName)
	c.Resolver = twins{} // no address
	_, err = c.Observe(deadline(t))
	require.Error(t, err)
	assert.NotContains(t, err.Error(), secret)
	_, err = c.Client()
	require.Error(t, err)
	assert.NotContains(t, err.Error(), secret)
}

func BenchmarkProbe(b *testing.B) {
	s := newTrap(b, trap.SMTPHonest, false)
	n := network{ports: map[string]string{"587": s.Addr(), "465": newTrap(b, trap.SMTPHonest, true).Addr()}}
	c := sound()
	c.Roots, c.Dialer, c.Resolver = s.Roots(), n, n
	for b.Loop() {
		if _, err := c.Probe(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}
