package ldapsec_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/ldapsec"
	"github.com/connsec/connsec/tlscheck"
	"github.com/connsec/connsec/trap"
	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// spring starts a trap and returns a setting that leads into it on both ports.
func spring(t testing.TB, p trap.LDAPPosture) (*trap.LDAP, ldapsec.Config) {
	t.Helper()
	s, err := trap.Options{Names: []string{host}}.LDAP(p)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	n := network{ports: map[string]string{"389": s.Addr(), "636": s.Addr()}}
	return s, ldapsec.Config{
		Servers: []string{host}, Roots: s.Roots(), Dialer: n, Resolver: n,
		BindDN: "cn=svc,dc=corp,dc=example", Password: connsec.NewSecret("s3cret-value"),
	}
}

// short is for peers that never answer.
func short(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

func TestProbeInTraps(t *testing.T) {
	type rules = []*connsec.Rule
	for posture, want := range map[trap.LDAPPosture]struct{ failed, passed, unknown rules }{
		trap.LDAPHonest: {
			failed: rules{ldapsec.RuleStartTLSOffered, ldapsec.RuleRootDSELeak},
			passed: rules{ldapsec.RuleTLSUnavailable, ldapsec.RuleCleartextBindAccepted, ldapsec.RuleStartTLSInjection, ldapsec.RuleAnonymousSearch, ldapsec.RuleNullBaseSearch},
		},
		trap.LDAPBuffering: {failed: rules{ldapsec.RuleStartTLSOffered, ldapsec.RuleStartTLSInjection, ldapsec.RuleRootDSELeak}},
		trap.LDAPPlaintext: {
			failed:  rules{ldapsec.RuleTLSUnavailable, ldapsec.RuleCleartextBindAccepted, ldapsec.RuleRootDSELeak},
			passed:  rules{ldapsec.RuleStartTLSOffered},
			unknown: rules{ldapsec.RuleChannelBinding},
		},
		trap.LDAPStripping: {failed: rules{ldapsec.RuleTLSUnavailable, ldapsec.RuleCleartextBindAccepted, ldapsec.RuleRootDSELeak}},
		trap.LDAPController: {
			failed: rules{ldapsec.RuleStartTLSOffered, ldapsec.RuleRootDSELeak},
			passed: rules{ldapsec.RuleCleartextBindAccepted, ldapsec.RuleSigningNotRequired, ldapsec.RuleChannelBinding},
		},
		trap.LDAPControllerLax: {failed: rules{
			ldapsec.RuleStartTLSOffered, ldapsec.RuleRootDSELeak, ldapsec.RuleCleartextBindAccepted, ldapsec.RuleSigningNotRequired, ldapsec.RuleChannelBinding,
		}},
		trap.LDAPControllerOpen: {failed: rules{
			ldapsec.RuleStartTLSOffered, ldapsec.RuleRootDSELeak, ldapsec.RuleCleartextBindAccepted, ldapsec.RuleSigningNotRequired, ldapsec.RuleChannelBinding,
		}},
		trap.LDAPControllerNoNTLM: {
			failed:  rules{ldapsec.RuleStartTLSOffered, ldapsec.RuleRootDSELeak},
			unknown: rules{ldapsec.RuleCleartextBindAccepted, ldapsec.RuleSigningNotRequired, ldapsec.RuleChannelBinding},
		},
		trap.LDAP389:     {failed: rules{ldapsec.RuleStartTLSOffered, ldapsec.RuleRootDSELeak}, passed: rules{ldapsec.RuleCleartextBindAccepted}},
		trap.LDAP389Open: {failed: rules{ldapsec.RuleStartTLSOffered, ldapsec.RuleRootDSELeak, ldapsec.RuleCleartextBindAccepted}},
		trap.LDAPUntrusted: {
			failed:  rules{ldapsec.RuleStartTLSOffered, ldapsec.RuleRootDSELeak},
			passed:  rules{ldapsec.RuleTLSUnavailable},
			unknown: rules{ldapsec.RuleStartTLSInjection, ldapsec.RuleChannelBinding},
		},
		trap.LDAPReferring: {failed: rules{ldapsec.RuleStartTLSOffered, ldapsec.RuleRootDSELeak, ldapsec.RuleCleartextBindAccepted}, unknown: rules{ldapsec.RuleAnonymousSearch}},
	} {
		t.Run(posture.String(), func(t *testing.T) {
			s, c := spring(t, posture)
			o, err := c.Observe(deadline(t))
			require.NoError(t, err)
			report := o.Judge()
			show(t, own(report))
			ruletest.ExpectFailed(t, own(report), want.failed...)
			if want.passed != nil {
				ruletest.Expect(t, report, connsec.Pass, want.passed...)
			}
			if want.unknown != nil {
				ruletest.Expect(t, report, connsec.Inconclusive, want.unknown...)
			}

			// Facts travel, and are judged alike elsewhere.
			data, err := json.Marshal(o)
			require.NoError(t, err)
			var back ldapsec.Observation
			require.NoError(t, json.Unmarshal(data, &back))
			assert.Equal(t, verdicts(report), verdicts(back.Judge()))
			_, err = json.Marshal(report)
			require.NoError(t, err)

			// The account of the setting was never sent, and no more than the budget of others.
			require.NoError(t, s.Close())
			logins := 0
			for _, r := range s.Observed() {
				logins += r.Logins
			}
			assert.LessOrEqual(t, logins, 2, "binds of somebody")
			assert.NotContains(t, string(data), "s3cret-value")
		})
	}
}

func verdicts(r connsec.Report) []string {
	var out []string
	for _, f := range r.Findings {
		out = append(out, fmt.Sprintf("%s %s %s %s %v", f.Rule.ID, f.Outcome, f.Subject, f.Detail, f.Severity))
	}
	return out
}

func TestTheSeverityOfMissingChannelBinding(t *testing.T) {
	for posture, want := range map[trap.LDAPPosture]connsec.Severity{
		trap.LDAPControllerOpen: connsec.High,
		trap.LDAPControllerLax:  connsec.Medium,
	} {
		_, c := spring(t, posture)
		o, err := c.Observe(deadline(t))
		require.NoError(t, err)
		assert.Equal(t, want, o.Judge().Of(ldapsec.RuleChannelBinding)[0].Severity, posture)
	}
}

// patience ends soon only where nothing would ever come: a busy machine takes its time for the rest.
func patience(t *testing.T, p trap.LDAPPosture) context.Context {
	if p == trap.LDAPStalled || p == trap.LDAPStalledHandshake {
		return short(t)
	}
	return deadline(t)
}

func TestProbeOfBrokenServersEndsAndProvesNothing(t *testing.T) {
	for posture, says := range map[trap.LDAPPosture]string{
		trap.LDAPStalled: "no answer in time", trap.LDAPEarlyClose: "closed the connection without an answer", trap.LDAPOversize: "4294967295 bytes announced",
		trap.LDAPEndless: "2147483647 bytes announced", trap.LDAPIndefinite: "indefinite length", trap.LDAPWrongID: "answers message 1001 where 1 was asked",
		trap.LDAPBanner: `it begins with "22"`,
	} {
		t.Run(posture.String(), func(t *testing.T) {
			t.Parallel()
			_, c := spring(t, posture)
			o, err := c.Observe(patience(t, posture))
			require.NoError(t, err, "TLS was seen, which is a fact")
			report := own(o.Judge())
			for _, f := range report.Findings {
				if f.Rule != ldapsec.RuleTLSUnavailable {
					assert.Contains(t, []connsec.Outcome{connsec.Inconclusive, connsec.NotApplicable}, f.Outcome, "%s: %s", f.Rule.ID, f.Detail)
				}
			}
			assert.Contains(t, o.Servers[0].Plain.Problem.Text, says)
		})
	}
}

func TestDialTrustsNobodyButTheServer(t *testing.T) {
	refuses := map[trap.LDAPPosture]string{
		trap.LDAPExpired: "expired", trap.LDAPWrongName: "not " + host, trap.LDAPSelfSigned: "unknown authority", trap.LDAPUntrusted: "add the issuing CA",
		trap.LDAPPlaintext: "TLS", trap.LDAPStripping: "certificate", trap.LDAPStalledHandshake: "deadline",
		trap.LDAPStalled: "deadline", trap.LDAPEarlyClose: "without an answer", trap.LDAPOversize: "bytes announced", trap.LDAPEndless: "bytes announced",
		trap.LDAPIndefinite: "indefinite", trap.LDAPWrongID: "message 1001", trap.LDAPBanner: "does not speak LDAP",
	}
	for posture, says := range refuses {
		t.Run(posture.String(), func(t *testing.T) {
			t.Parallel()
			s, c := spring(t, posture)
			conn, err := c.Dial(patience(t, posture))
			require.Nil(t, conn)
			require.ErrorContains(t, err, says)
			assert.NotContains(t, err.Error(), "s3cret-value")
			require.NoError(t, s.Close())
			for _, r := range s.Observed() {
				assert.False(t, r.Cleartext, "spoke LDAP in clear")
				if r.TLS != nil && r.TLS.Trust != trap.Trusted {
					assert.False(t, r.Password, "sent the password to a server that it did not trust")
				}
			}
		})
	}
	t.Run("honest", func(t *testing.T) {
		s, c := spring(t, trap.LDAPHonest)
		conn, err := c.Dial(deadline(t))
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		require.NoError(t, s.Await(deadline(t), 1))
		r := s.Observed()[0]
		assert.True(t, r.Password)
		assert.False(t, r.Cleartext)
		assert.Equal(t, trap.Trusted, r.TLS.Trust)
	})
}

func TestDialRefusesUnsafeSettings(t *testing.T) {
	s, c := spring(t, trap.LDAPHonest)
	for name, tc := range map[string]struct {
		change func(*ldapsec.Config)
		rule   *connsec.Rule
	}{
		"plaintext":      {func(c *ldapsec.Config) { c.Mode = ldapsec.Plaintext }, ldapsec.RuleCleartext},
		"START TLS":      {func(c *ldapsec.Config) { c.Mode = ldapsec.StartTLS }, ldapsec.RuleStartTLS},
		"empty password": {func(c *ldapsec.Config) { c.Password = connsec.Secret{} }, ldapsec.RuleEmptyPassword},
		"address":        {func(c *ldapsec.Config) { c.Servers = []string{"127.0.0.1"} }, ldapsec.RuleName},
		"broken account": {func(c *ldapsec.Config) { c.BindDN = "cn=a\x00" }, ldapsec.RuleDNSyntax},
		"waiver without reason": {func(c *ldapsec.Config) {
			c.Mode, c.Waivers = ldapsec.StartTLS, []connsec.Waiver{{Rule: "ldap-starttls", Until: waiveStartTLS.Until}}
		}, ldapsec.RuleStartTLS},
		"waiver that ended": {func(c *ldapsec.Config) {
			c.Mode, c.Waivers = ldapsec.StartTLS, []connsec.Waiver{{Rule: "ldap-starttls", Reason: "x", Until: time.Unix(0, 0)}}
		}, ldapsec.RuleStartTLS},
	} {
		t.Run(name, func(t *testing.T) {
			c := c
			tc.change(&c)
			_, err := c.Dial(deadline(t))
			assert.ErrorIs(t, err, tc.rule)
		})
	}
	t.Run("plaintext, waived", func(t *testing.T) {
		c := c
		c.Mode, c.Waivers = ldapsec.Plaintext, []connsec.Waiver{{Rule: "ldap-cleartext", Reason: "x", Until: waiveStartTLS.Until}}
		_, err := c.Dial(deadline(t))
		assert.ErrorContains(t, err, "never made")
	})
	t.Run("empty password, waived", func(t *testing.T) {
		c := c
		c.Password, c.Waivers = connsec.Secret{}, []connsec.Waiver{{Rule: "ldap-empty-password", Reason: "x", Until: waiveStartTLS.Until}}
		_, err := c.Dial(deadline(t))
		assert.ErrorContains(t, err, "authenticates nobody")
	})
	t.Run("password without an account", func(t *testing.T) {
		c := c
		c.BindDN = ""
		_, err := c.Dial(deadline(t))
		assert.ErrorContains(t, err, "authenticates nobody")
	})
	require.NoError(t, s.Close())
	for _, r := range s.Observed() {
		assert.False(t, r.Bind)
	}
}

func TestDialByStartTLSWithAWaiver(t *testing.T) {
	waived := func(p trap.LDAPPosture) (*trap.LDAP, ldapsec.Config) {
		s, c := spring(t, p)
		c.Mode, c.Waivers = ldapsec.StartTLS, []connsec.Waiver{waiveStartTLS}
		return s, c
	}
	t.Run("honest", func(t *testing.T) {
		s, c := waived(trap.LDAPHonest)
		conn, err := c.Dial(deadline(t))
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		require.NoError(t, s.Await(deadline(t), 1))
		r := s.Observed()[0]
		assert.True(t, r.StartTLS && r.Password)
		assert.False(t, r.BindInClear || r.PasswordInClear)
	})
	for posture, says := range map[trap.LDAPPosture]string{
		trap.LDAPStripping: "refuses START TLS", trap.LDAPPlaintext: "refuses START TLS",
		trap.LDAPInjecting: "bytes behind its START TLS answer", trap.LDAPExpired: "expired", trap.LDAPBanner: "does not speak LDAP",
	} {
		t.Run(posture.String(), func(t *testing.T) {
			s, c := waived(posture)
			_, err := c.Dial(deadline(t))
			require.ErrorContains(t, err, says)
			require.NoError(t, s.Close())
			for _, r := range s.Observed() {
				assert.False(t, r.Bind)
			}
		})
	}
}

func TestDialWithNTLMAlwaysCarriesTheBinding(t *testing.T) {
	for _, posture := range []trap.LDAPPosture{trap.LDAPController, trap.LDAPControllerLax, trap.LDAPControllerOpen} {
		s, c := spring(t, posture)
		c.Method, c.BindDN = ldapsec.NTLM, `CORP\svc`
		_, err := c.Dial(deadline(t))
		var refused *ldap.Error
		require.ErrorAs(t, err, &refused, "nobody's password is right here")
		assert.ErrorContains(t, err, "wrong account or password")
		require.NoError(t, s.Await(deadline(t), 1))
		assert.Equal(t, trap.BoundHere, s.Observed()[0].Binding, posture)
	}
}

func TestGoLDAPWithTheNegotiatorCarriesTheBinding(t *testing.T) {
	s, c := spring(t, trap.LDAPController)
	cfg, err := tlscheck.ClientConfig(tlscheck.Intermediate, host, c.Roots)
	require.NoError(t, err)
	for _, tc := range []struct {
		bound bool
		want  trap.Binding
		says  string
	}{{true, trap.BoundHere, "data 52e"}, {false, trap.NotBound, "80090346"}} {
		conn, err := ldap.DialURL(s.URL(), ldap.DialWithTLSConfig(cfg))
		require.NoError(t, err)
		req := &ldap.NTLMBindRequest{Domain: "CORP", Username: "svc", Password: "pw"}
		if tc.bound {
			state, ok := conn.TLSConnectionState()
			require.True(t, ok)
			req.Negotiator, err = ldapsec.NewNegotiator(state)
			require.NoError(t, err)
		}
		_, err = conn.NTLMChallengeBind(req)
		assert.ErrorContains(t, err, tc.says)
		require.NoError(t, conn.Close())
	}
	require.NoError(t, s.Await(deadline(t), 2))
	assert.Equal(t, trap.BoundHere, s.Observed()[0].Binding)
	assert.Equal(t, trap.NotBound, s.Observed()[1].Binding)
}

func TestNamesThatAreNotFullyQualifiedAreVerifiedAllTheSame(t *testing.T) {
	waiver := connsec.Waiver{Rule: "ldap-name", Reason: "the appliance is known by this name only", Until: waiveStartTLS.Until}
	for name, waivers := range map[string][]connsec.Waiver{
		"dc1.corp.local":  nil, // Medium: many domains have such names
		"DC1.corp.LOCAL.": nil,
		"dc1":             {waiver},
		"127.0.0.1":       {waiver},
	} {
		t.Run(name, func(t *testing.T) {
			good := newTrap(t, trap.LDAPHonest, strings.ToLower(strings.TrimSuffix(name, ".")))
			other := newTrap(t, trap.LDAPHonest, "other.corp.local")
			for s, says := range map[*trap.LDAP]string{good: "", other: "other.corp.local"} {
				n := network{ports: map[string]string{"636": s.Addr()}}
				c := ldapsec.Config{
					Servers: []string{name}, Roots: s.Roots(), Dialer: n, Resolver: n, Waivers: waivers,
					BindDN: "cn=svc", Password: connsec.NewSecret("pw"),
				}
				conn, err := c.Dial(deadline(t))
				if says == "" {
					require.NoError(t, err)
					require.NoError(t, conn.Close())
					continue
				}
				require.Error(t, err)
				assert.ErrorContains(t, err, "certificate")
			}
		})
	}
}

func TestAReferralIsNotFollowed(t *testing.T) {
	s, c := spring(t, trap.LDAPReferring)
	conn, err := c.Dial(deadline(t))
	require.NoError(t, err)
	_, err = conn.Search(ldap.NewSearchRequest("dc=corp,dc=example", ldap.ScopeWholeSubtree, 0, 0, 0, false, "(cn=*)", nil, nil))
	require.True(t, ldap.IsErrorWithCode(err, ldap.LDAPResultReferral), "%v", err)
	require.NoError(t, conn.Close())
	require.NoError(t, s.Await(deadline(t), 1))
	assert.Len(t, s.Observed(), 1)
}

func TestFailover(t *testing.T) {
	bad, good, refusing := newTrap(t, trap.LDAPExpired, "dc1.corp.example"), newTrap(t, trap.LDAPHonest, "dc2.corp.example"), newTrap(t, trap.LDAPController, "dc3.corp.example")
	where := map[string]string{"dc1.corp.example": bad.Addr(), "dc2.corp.example": good.Addr(), "dc3.corp.example": refusing.Addr()}
	roots := good.Roots()
	roots.AppendCertsFromPEM(bad.CA())
	roots.AppendCertsFromPEM(refusing.CA())
	c := ldapsec.Config{Roots: roots, Dialer: byName(where), BindDN: "cn=svc", Password: connsec.NewSecret("pw")}
	t.Run("past a bad certificate to a good one", func(t *testing.T) {
		c := c
		c.Resolver = names{}
		c.Servers = []string{"dc1.corp.example", "dc2.corp.example"}
		conn, err := c.Dial(deadline(t))
		require.NoError(t, err)
		require.NoError(t, conn.Close())
	})
	t.Run("not past a refused password", func(t *testing.T) {
		c := c
		c.Resolver = names{}
		c.Method, c.BindDN = ldapsec.NTLM, `CORP\svc`
		c.Servers = []string{"dc3.corp.example", "dc2.corp.example"}
		_, err := c.Dial(deadline(t))
		assert.True(t, ldap.IsErrorWithCode(err, ldap.LDAPResultInvalidCredentials), "%v", err)
		assert.Len(t, good.Observed(), 1, "the other server was not asked")
	})
	t.Run("none", func(t *testing.T) {
		c := c
		c.Resolver = names{}
		c.Servers = []string{"dc1.corp.example", "dc1.corp.example"}
		_, err := c.Dial(deadline(t))
		assert.ErrorContains(t, err, "none of 2 servers")
	})
	t.Run("by SRV records", func(t *testing.T) {
		c := c
		c.Domain = "corp.example"
		c.Resolver = names{srv: []*net.SRV{{Target: "dc1.corp.example."}, {Target: "dc2.corp.example."}}}
		conn, err := c.Dial(deadline(t))
		require.NoError(t, err)
		require.NoError(t, conn.Close())
	})
	t.Run("not to where DNS leads away", func(t *testing.T) {
		c := c
		c.Domain = "corp.example"
		c.Resolver = names{srv: []*net.SRV{{Target: "dc.evil.example."}}}
		_, err := c.Dial(deadline(t))
		assert.ErrorIs(t, err, ldapsec.RuleAutoDiscovery)
	})
}

func newTrap(t testing.TB, p trap.LDAPPosture, name string) *trap.LDAP {
	t.Helper()
	s, err := trap.Options{Names: []string{name}}.LDAP(p)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	return s
}

func TestDiscovery(t *testing.T) {
	s, c := spring(t, trap.LDAPController)
	c.Servers, c.Domain = nil, "corp.example"
	n := c.Resolver.(network)
	t.Run("two controllers", func(t *testing.T) {
		n.srv = []*net.SRV{{Target: host + "."}, {Target: host + "."}, {Target: "dc2.corp.example."}}
		c.Resolver = n
		report, err := c.Probe(deadline(t))
		require.NoError(t, err)
		ruletest.Expect(t, report, connsec.Pass, ldapsec.RuleAutoDiscovery)
		assert.Len(t, report.Of(ldapsec.RuleAutoDiscovery), 1)
		subjects := map[string]bool{}
		for _, f := range report.Of(ldapsec.RuleSigningNotRequired) {
			subjects[f.Subject] = true
		}
		assert.Equal(t, map[string]bool{host: true, "dc2.corp.example": true}, subjects)
		assert.Len(t, report.Of(tlscheck.RuleNameMismatch), 2)
	})
	t.Run("outside of the domain", func(t *testing.T) {
		n.srv = []*net.SRV{{Target: "dc1.evil.example."}}
		c.Resolver = n
		report, err := c.Probe(deadline(t))
		require.NoError(t, err)
		ruletest.Expect(t, report, connsec.Fail, ldapsec.RuleAutoDiscovery)
	})
	t.Run("none", func(t *testing.T) {
		n.srv = nil
		c.Resolver = n
		report, err := c.Probe(deadline(t))
		require.NoError(t, err)
		ruletest.Expect(t, report, connsec.Fail, ldapsec.RuleAutoDiscovery)
	})
	t.Run("no answer", func(t *testing.T) {
		n.err = errors.New("server misbehaving")
		c.Resolver = n
		_, err := c.Probe(deadline(t))
		assert.ErrorContains(t, err, "server misbehaving")
	})
	_ = s
}

func TestObserveWithoutAnyFactIsAnError(t *testing.T) {
	n := network{err: errors.New("no such host")}
	c := ldapsec.Config{Servers: []string{host}, Resolver: n, Dialer: n}
	_, err := c.Observe(deadline(t))
	assert.ErrorContains(t, err, "no server could be looked at")
	_, err = ldapsec.Config{}.Observe(deadline(t))
	assert.ErrorContains(t, err, "neither a server nor a domain")
}

func TestClosedPorts(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	closed := l.Addr().String()
	require.NoError(t, l.Close())
	n := network{ports: map[string]string{"389": closed, "636": closed}}
	o, err := ldapsec.Config{Servers: []string{host}, Resolver: n, Dialer: n}.Observe(deadline(t))
	require.NoError(t, err, "that nothing listens is a fact")
	report := o.Judge()
	ruletest.ExpectFailed(t, report, ldapsec.RuleTLSUnavailable)
	ruletest.Expect(t, report, connsec.Pass, ldapsec.RuleCleartextBindAccepted, ldapsec.RuleStartTLSOffered)
}

// names resolves everything to loopback and leaves the name to byName.
type names struct{ srv []*net.SRV }

func (n names) LookupSRV(context.Context, string, string, string) (string, []*net.SRV, error) {
	return "", n.srv, nil
}

// LookupNetIP gives each name an address of its own.
func (n names) LookupNetIP(_ context.Context, _, name string) ([]netip.Addr, error) {
	sum := byte(0)
	for _, c := range []byte(name) {
		sum = sum*31 + c
	}
	return []netip.Addr{netip.AddrFrom4([4]byte{127, 9, 9, sum})}, nil
}

// byName leads to the trap of the name that the address was made from.
type byName map[string]string

func (b byName) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	for name, to := range b {
		at, _ := names{}.LookupNetIP(ctx, "ip", name)
		if strings.HasPrefix(address, at[0].String()+":") {
			return (&net.Dialer{}).DialContext(ctx, network, to)
		}
	}
	return nil, errors.New("connection refused")
}

// byAddress gives one name several addresses, and leads each port of each to a trap.
type byAddress struct {
	addrs []netip.Addr
	to    map[string]string // "192.0.2.1:389" → "127.0.0.1:41389"
}

func (b byAddress) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return b.addrs, nil
}

func (b byAddress) LookupSRV(context.Context, string, string, string) (string, []*net.SRV, error) {
	return "", nil, errors.New("not asked for")
}

func (b byAddress) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if to, ok := b.to[address]; ok {
		return (&net.Dialer{}).DialContext(ctx, network, to)
	}
	return nil, &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
}

func outcomes(r connsec.Report, rule *connsec.Rule) map[string]connsec.Outcome {
	out := map[string]connsec.Outcome{}
	for _, f := range r.Of(rule) {
		out[f.Subject] = f.Outcome
	}
	return out
}

// The name of a domain has an address for each controller.
func TestEveryAddressOfANameIsAsked(t *testing.T) {
	strict, open := newTrap(t, trap.LDAPController, host), newTrap(t, trap.LDAPControllerOpen, host)
	roots := strict.Roots()
	roots.AppendCertsFromPEM(open.CA())
	n := byAddress{
		addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::2"), netip.MustParseAddr("192.0.2.3")},
		to: map[string]string{
			"192.0.2.1:389": strict.Addr(), "192.0.2.1:636": strict.Addr(),
			"[2001:db8::2]:389": open.Addr(), "[2001:db8::2]:636": open.Addr(), // 192.0.2.3 is down
		},
	}
	c := ldapsec.Config{Servers: []string{host}, Roots: roots, Dialer: n, Resolver: n}
	r, err := c.Probe(deadline(t))
	require.NoError(t, err)
	assert.Equal(t, map[string]connsec.Outcome{
		host + " [192.0.2.1]": connsec.Pass, host + " [2001:db8::2]": connsec.Fail, host + " [192.0.2.3]": connsec.Pass,
	}, outcomes(r, ldapsec.RuleCleartextBindAccepted))
	assert.Equal(t, map[string]connsec.Outcome{
		host + " [192.0.2.1]": connsec.Pass, host + " [2001:db8::2]": connsec.Fail, host + " [192.0.2.3]": connsec.Inconclusive,
	}, outcomes(r, ldapsec.RuleChannelBinding))
	for _, s := range []*trap.LDAP{strict, open} {
		require.NoError(t, s.Close())
		logins := 0
		for _, l := range s.Observed() {
			logins += l.Logins
		}
		assert.LessOrEqual(t, logins, 2, "binds of somebody, for each address")
	}
}

func TestAddressesBeyondTheLimitAreNotPassed(t *testing.T) {
	s := newTrap(t, trap.LDAPController, host)
	n := byAddress{to: map[string]string{}}
	for i := range 20 {
		addr := netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})
		n.addrs = append(n.addrs, addr)
		n.to[addr.String()+":389"], n.to[addr.String()+":636"] = s.Addr(), s.Addr()
	}
	o, err := ldapsec.Config{Servers: []string{host}, Roots: s.Roots(), Dialer: n, Resolver: n}.Observe(deadline(t))
	require.NoError(t, err)
	require.Len(t, o.Servers, 17)
	got := o.Judge().Of(ldapsec.RuleCleartextBindAccepted)
	require.Len(t, got, 2)
	assert.Equal(t, connsec.Pass, got[0].Outcome)
	assert.Equal(t, connsec.Inconclusive, got[1].Outcome)
	assert.Contains(t, got[1].Detail, "4 more addresses")
}

func TestControllersBeyondTheLimitAreNotPassed(t *testing.T) {
	n := network{ports: map[string]string{"389": "127.0.0.1:1", "636": "127.0.0.1:1"}} // where nothing listens
	for i := range 70 {
		n.srv = append(n.srv, &net.SRV{Target: fmt.Sprintf("dc%d.corp.example.", i)})
	}
	o, err := ldapsec.Config{Domain: "corp.example", Dialer: n, Resolver: n}.Observe(deadline(t))
	require.NoError(t, err)
	require.Len(t, o.Servers, 65)
	last := o.Judge().Of(ldapsec.RuleCleartextBindAccepted)[64]
	assert.Equal(t, connsec.Inconclusive, last.Outcome)
	assert.Equal(t, "corp.example", last.Subject)
	assert.Contains(t, last.Detail, "6 more controllers")
}

// An address to connect to goes with the other port, too.
func TestConnectLeadsBothPorts(t *testing.T) {
	s := newTrap(t, trap.LDAPController, host)
	n := byAddress{to: map[string]string{"[2001:db8::1]:10636": s.Addr(), "[2001:db8::1]:389": s.Addr()}}
	c := ldapsec.Config{Servers: []string{host}, Connect: "[2001:db8::1]:10636", Roots: s.Roots(), Dialer: n, Resolver: n}
	o, err := c.Observe(deadline(t))
	require.NoError(t, err)
	ruletest.Expect(t, o.Judge(), connsec.Pass, ldapsec.RuleTLSUnavailable, ldapsec.RuleChannelBinding, ldapsec.RuleSigningNotRequired)
}

// Somebody on the path of the port without TLS takes START TLS out. The other port tells.
func TestStrippedStartTLSIsSeenAgainstTheOtherPort(t *testing.T) {
	honest := newTrap(t, trap.LDAPHonest, host)
	for posture, want := range map[trap.LDAPPosture]connsec.Outcome{
		trap.LDAPHonest: connsec.Pass, trap.LDAPStripping: connsec.Fail, trap.LDAPPlaintext: connsec.Fail, trap.LDAPEarlyClose: connsec.Inconclusive,
	} {
		t.Run(posture.String(), func(t *testing.T) {
			between := newTrap(t, posture, host)
			n := network{ports: map[string]string{"389": between.Addr(), "636": honest.Addr()}}
			o, err := ldapsec.Config{Servers: []string{host}, Roots: honest.Roots(), Dialer: n, Resolver: n}.Observe(deadline(t))
			require.NoError(t, err)
			ruletest.Expect(t, o.Judge(), want, ldapsec.RuleStartTLSStripped)
			if want == connsec.Fail {
				ruletest.Expect(t, o.Judge(), connsec.Inconclusive, ldapsec.RuleStartTLSOffered)
			}
		})
	}
}

func TestTheGlobalCatalogIsLookedAtWhenAsked(t *testing.T) {
	s, c := spring(t, trap.LDAPController)
	c.Dialer = network{ports: map[string]string{"389": s.Addr(), "636": s.Addr(), "3269": s.Addr()}}
	c.GlobalCatalog = true
	o, err := c.Observe(deadline(t))
	require.NoError(t, err)
	var subjects []string
	for _, f := range o.Judge().Of(ldapsec.RuleTLSUnavailable) {
		subjects = append(subjects, f.Subject)
	}
	slices.Sort(subjects)
	assert.Equal(t, []string{host + ":3269 (ldaps)", host + ":636 (ldaps)"}, subjects)
}

func TestStartTLSIsLookedIntoByTLSCheck(t *testing.T) {
	_, c := spring(t, trap.LDAPExpired)
	c.Mode = ldapsec.StartTLS
	o, err := c.Observe(deadline(t))
	require.NoError(t, err)
	r := o.Judge()
	expired := map[string]connsec.Outcome{}
	for _, f := range r.Of(tlscheck.RuleExpired) {
		expired[f.Subject] = f.Outcome
	}
	assert.Equal(t, map[string]connsec.Outcome{host + ":389 (starttls)": connsec.Fail, host + ":636 (ldaps)": connsec.Fail}, expired)
}
