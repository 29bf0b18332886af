package ldapsec_test

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/ldapsec"
	"github.com/connsec/connsec/tlscheck"
	"github.com/stretchr/testify/assert"
)

func answer(code int, diagnostic string) *ldapsec.Answer {
	return &ldapsec.Answer{Code: code, Diagnostic: diagnostic}
}

func noRoot(code int, way string) *ldapsec.SearchAnswer {
	return &ldapsec.SearchAnswer{Answer: *answer(code, ""), Way: way}
}

// OIDs of extensions that a root DSE may list.
const (
	startTLS = "1.3.6.1.4.1.1466.20037"
	whoAmI   = "1.3.6.1.4.1.4203.1.11.3"
)

func lists(way string, oids ...string) *ldapsec.RootDSE {
	return &ldapsec.RootDSE{Way: way, Extensions: oids}
}

func refusal(code int) *ldapsec.StartTLSLook {
	return &ldapsec.StartTLSLook{Answer: *answer(code, "")}
}

func server(change func(*ldapsec.Server)) ldapsec.Observation {
	s := ldapsec.Server{
		Name: host, Kind: ldapsec.ActiveDirectory, RootDSE: &ldapsec.RootDSE{}, Plain: ldapsec.Port{Number: 389},
		NullSession: answer(8, "00002028: LdapErr"), NoBinding: answer(49, "80090346: LdapErr"),
		StartTLS: &ldapsec.StartTLSLook{Answer: *answer(2, "")}, AnonymousSearch: &ldapsec.SearchAnswer{Answer: *answer(1, ""), Way: "ldaps"},
		NullBaseSearch: &ldapsec.SearchAnswer{Answer: *answer(32, ""), Way: "ldaps"},
	}
	change(&s)
	return ldapsec.Observation{Servers: []ldapsec.Server{s}}
}

// TestVerdicts holds what each answer proves, and above all what it does not.
func TestVerdicts(t *testing.T) {
	const (
		loginDenied = "8009030C: LdapErr: DSID-0C0904DC, comment: AcceptSecurityContext error, data 52e, v1db1"
		badBindings = "80090346: LdapErr: DSID-0C090711, comment: AcceptSecurityContext error, data 35b, v1db1"
	)
	noAnswer := &ldapsec.Answer{Problem: "no answer in time"}
	refused, filtered := tlscheck.Problem{Kind: tlscheck.Refused, Text: "connection refused"}, tlscheck.Problem{Kind: tlscheck.Timeout, Text: "no answer in time"}
	for _, tc := range []struct {
		name   string
		change func(*ldapsec.Server)
		rule   *connsec.Rule
		want   connsec.Outcome
	}{
		{"clear: a controller that wants signing", func(*ldapsec.Server) {}, ldapsec.RuleCleartextBindAccepted, connsec.Pass},
		{"clear: 49 of a controller", func(s *ldapsec.Server) { s.NullSession, s.CleartextBind = noAnswer, answer(49, loginDenied) }, ldapsec.RuleCleartextBindAccepted, connsec.Inconclusive},
		{"clear: 8 of a controller", func(s *ldapsec.Server) { s.NullSession, s.CleartextBind = noAnswer, answer(8, "") }, ldapsec.RuleCleartextBindAccepted, connsec.Pass},
		{"clear: 13 of anyone", func(s *ldapsec.Server) { s.Kind, s.CleartextBind = "", answer(13, "") }, ldapsec.RuleCleartextBindAccepted, connsec.Pass},
		{"clear: 49 of OpenLDAP", func(s *ldapsec.Server) {
			s.Kind, s.CleartextBind, s.RootDSE.NamingContexts = ldapsec.OpenLDAP, answer(49, ""), []string{"dc=corp,dc=example"}
		}, ldapsec.RuleCleartextBindAccepted, connsec.Fail},
		{"clear: 49 of OpenLDAP without a context", func(s *ldapsec.Server) { s.Kind, s.CleartextBind = ldapsec.OpenLDAP, answer(49, "") }, ldapsec.RuleCleartextBindAccepted, connsec.Inconclusive},
		{"clear: 49 of 389-ds", func(s *ldapsec.Server) { s.Kind, s.CleartextBind = ldapsec.DirectoryServer, answer(49, "") }, ldapsec.RuleCleartextBindAccepted, connsec.Fail},
		{"clear: 49 of anyone else", func(s *ldapsec.Server) { s.Kind, s.CleartextBind = "", answer(49, "") }, ldapsec.RuleCleartextBindAccepted, connsec.Inconclusive},
		{"clear: 53 of OpenLDAP", func(s *ldapsec.Server) { s.Kind, s.CleartextBind = ldapsec.OpenLDAP, answer(53, "") }, ldapsec.RuleCleartextBindAccepted, connsec.Inconclusive},
		{"clear: success of a made-up name", func(s *ldapsec.Server) { s.Kind, s.CleartextBind = "", answer(0, "") }, ldapsec.RuleCleartextBindAccepted, connsec.Fail},
		{"clear: no answer", func(s *ldapsec.Server) { s.Kind, s.CleartextBind = ldapsec.OpenLDAP, noAnswer }, ldapsec.RuleCleartextBindAccepted, connsec.Inconclusive},
		{"clear: not asked", func(s *ldapsec.Server) { s.Kind = ldapsec.OpenLDAP }, ldapsec.RuleCleartextBindAccepted, connsec.Inconclusive},
		{"clear: port closed", func(s *ldapsec.Server) { s.Plain.Problem = refused }, ldapsec.RuleCleartextBindAccepted, connsec.Pass},
		{"clear: port filtered", func(s *ldapsec.Server) { s.Plain.Problem = filtered }, ldapsec.RuleCleartextBindAccepted, connsec.Inconclusive},
		{"clear: unknown host", func(s *ldapsec.Server) { s.Problem = "no such host" }, ldapsec.RuleCleartextBindAccepted, connsec.Inconclusive},

		{"signing: 8", func(*ldapsec.Server) {}, ldapsec.RuleSigningNotRequired, connsec.Pass},
		{"signing: success", func(s *ldapsec.Server) { s.NullSession = answer(0, "") }, ldapsec.RuleSigningNotRequired, connsec.Fail},
		{"signing: NTLM off", func(s *ldapsec.Server) { s.NullSession = answer(49, "80090302: LdapErr, data 1") }, ldapsec.RuleSigningNotRequired, connsec.Inconclusive},
		{"signing: no answer", func(s *ldapsec.Server) { s.NullSession = noAnswer }, ldapsec.RuleSigningNotRequired, connsec.Inconclusive},
		{"signing: not asked", func(s *ldapsec.Server) { s.NullSession = nil }, ldapsec.RuleSigningNotRequired, connsec.Inconclusive},
		{"signing: not a controller", func(s *ldapsec.Server) { s.Kind = ldapsec.OpenLDAP }, ldapsec.RuleSigningNotRequired, connsec.NotApplicable},
		{"signing: kind unknown", func(s *ldapsec.Server) { s.Kind = "" }, ldapsec.RuleSigningNotRequired, connsec.Inconclusive},

		{"binding: always", func(*ldapsec.Server) {}, ldapsec.RuleChannelBinding, connsec.Pass},
		{"binding: when supported", func(s *ldapsec.Server) {
			s.NoBinding, s.WrongBinding = answer(49, loginDenied), answer(49, badBindings)
		}, ldapsec.RuleChannelBinding, connsec.Fail},
		{"binding: never", func(s *ldapsec.Server) {
			s.NoBinding, s.WrongBinding = answer(49, loginDenied), answer(49, loginDenied)
		}, ldapsec.RuleChannelBinding, connsec.Fail},
		{"binding: not always", func(s *ldapsec.Server) { s.NoBinding = answer(49, loginDenied) }, ldapsec.RuleChannelBinding, connsec.Fail},
		{"binding: NTLM off", func(s *ldapsec.Server) { s.NoBinding = answer(49, "80090302: LdapErr, data 1") }, ldapsec.RuleChannelBinding, connsec.Inconclusive},
		{"binding: not supported", func(s *ldapsec.Server) { s.NoBinding = answer(7, "") }, ldapsec.RuleChannelBinding, connsec.Inconclusive},
		{"binding: no answer", func(s *ldapsec.Server) { s.NoBinding = noAnswer }, ldapsec.RuleChannelBinding, connsec.Inconclusive},
		{"binding: the number elsewhere", func(s *ldapsec.Server) { s.NoBinding = answer(53, badBindings) }, ldapsec.RuleChannelBinding, connsec.Inconclusive},
		{"binding: no NTLM inside TLS", func(s *ldapsec.Server) {
			s.NoBinding, s.NullInTLS = answer(49, loginDenied), answer(8, "SASL:[GSS-SPNEGO]: not allowed if TLS is used.")
		}, ldapsec.RuleChannelBinding, connsec.Pass},
		{"binding: certificate not accepted", func(s *ldapsec.Server) { s.NoBinding, s.Unverified = nil, "expired" }, ldapsec.RuleChannelBinding, connsec.Inconclusive},
		{"binding: not a controller", func(s *ldapsec.Server) { s.Kind = ldapsec.OpenLDAP }, ldapsec.RuleChannelBinding, connsec.NotApplicable},

		{"offered", func(s *ldapsec.Server) { s.StartTLS = &ldapsec.StartTLSLook{} }, ldapsec.RuleStartTLSOffered, connsec.Fail},
		{"not offered", func(*ldapsec.Server) {}, ldapsec.RuleStartTLSOffered, connsec.Pass},
		{"not tried", func(s *ldapsec.Server) { s.StartTLS = nil }, ldapsec.RuleStartTLSOffered, connsec.Inconclusive},
		{"offered: not at the moment", func(s *ldapsec.Server) { s.StartTLS = refusal(52) }, ldapsec.RuleStartTLSOffered, connsec.Inconclusive},
		{"offered: out of order", func(s *ldapsec.Server) { s.StartTLS = refusal(1) }, ldapsec.RuleStartTLSOffered, connsec.Inconclusive},
		{"offered: listed and unknown", func(s *ldapsec.Server) { s.RootDSE = lists("ldaps", startTLS) }, ldapsec.RuleStartTLSOffered, connsec.Inconclusive},

		{"stripped: no", func(s *ldapsec.Server) {
			s.RootDSE, s.PlainRootDSE, s.StartTLS = lists("ldaps", startTLS), lists("ldap", startTLS), &ldapsec.StartTLSLook{}
		}, ldapsec.RuleStartTLSStripped, connsec.Pass},
		{"stripped: the list is not shown in clear", func(s *ldapsec.Server) {
			s.RootDSE, s.PlainRootDSE, s.StartTLS = lists("ldaps", startTLS), lists("ldap"), &ldapsec.StartTLSLook{}
		}, ldapsec.RuleStartTLSStripped, connsec.Pass},
		{"stripped: nothing is shown in clear", func(s *ldapsec.Server) {
			s.RootDSE, s.StartTLS = lists("ldaps", startTLS), &ldapsec.StartTLSLook{}
		}, ldapsec.RuleStartTLSStripped, connsec.Pass},
		{"stripped: offered, whatever is shown inside", func(s *ldapsec.Server) { s.RootDSE, s.StartTLS = nil, &ldapsec.StartTLSLook{} }, ldapsec.RuleStartTLSStripped, connsec.Pass},
		{"stripped: out of the list", func(s *ldapsec.Server) {
			s.RootDSE, s.PlainRootDSE, s.StartTLS = lists("ldaps", whoAmI, startTLS), lists("ldap", whoAmI), &ldapsec.StartTLSLook{}
		}, ldapsec.RuleStartTLSStripped, connsec.Fail},
		{"stripped: list and answer", func(s *ldapsec.Server) {
			s.RootDSE, s.PlainRootDSE, s.StartTLS = lists("ldaps", startTLS), lists("ldap"), refusal(52)
		}, ldapsec.RuleStartTLSStripped, connsec.Fail},
		{"stripped: the answer alone", func(s *ldapsec.Server) { s.RootDSE = lists("ldaps", startTLS) }, ldapsec.RuleStartTLSStripped, connsec.Fail},
		{"stripped: not at the moment", func(s *ldapsec.Server) {
			s.RootDSE, s.PlainRootDSE, s.StartTLS = lists("ldaps", startTLS), lists("ldap", startTLS), refusal(52)
		}, ldapsec.RuleStartTLSStripped, connsec.Inconclusive},
		{"stripped: a list that was cut", func(s *ldapsec.Server) {
			s.RootDSE, s.PlainRootDSE, s.StartTLS = lists("ldaps", startTLS), lists("ldap", make([]string, 64)...), &ldapsec.StartTLSLook{}
		}, ldapsec.RuleStartTLSStripped, connsec.Pass},
		{"stripped: no answer", func(s *ldapsec.Server) {
			s.RootDSE, s.StartTLS = lists("ldaps", startTLS), &ldapsec.StartTLSLook{Answer: *noAnswer}
		}, ldapsec.RuleStartTLSStripped, connsec.Inconclusive},
		{"stripped: nothing to compare with", func(s *ldapsec.Server) { s.RootDSE = lists("ldap", startTLS) }, ldapsec.RuleStartTLSStripped, connsec.Inconclusive},
		{"stripped: not listed", func(s *ldapsec.Server) { s.RootDSE.Way = "ldaps" }, ldapsec.RuleStartTLSStripped, connsec.NotApplicable},
		{"stripped: port closed", func(s *ldapsec.Server) { s.Plain.Problem = refused }, ldapsec.RuleStartTLSStripped, connsec.NotApplicable},
		{"stripped: port filtered", func(s *ldapsec.Server) { s.Plain.Problem = filtered }, ldapsec.RuleStartTLSStripped, connsec.Inconclusive},
		{"injection: not offered", func(*ldapsec.Server) {}, ldapsec.RuleStartTLSInjection, connsec.NotApplicable},
		{"injection: discarded", func(s *ldapsec.Server) { s.StartTLS = &ldapsec.StartTLSLook{Glued: ldapsec.GluedDiscarded} }, ldapsec.RuleStartTLSInjection, connsec.Pass},
		{"injection: refused", func(s *ldapsec.Server) { s.StartTLS = &ldapsec.StartTLSLook{Glued: ldapsec.GluedRefused} }, ldapsec.RuleStartTLSInjection, connsec.Pass},
		{"injection: before", func(s *ldapsec.Server) { s.StartTLS = &ldapsec.StartTLSLook{Glued: ldapsec.GluedBefore} }, ldapsec.RuleStartTLSInjection, connsec.Pass},
		{"injection: inside", func(s *ldapsec.Server) { s.StartTLS = &ldapsec.StartTLSLook{Glued: ldapsec.GluedInTLS} }, ldapsec.RuleStartTLSInjection, connsec.Fail},
		{"injection: in clear", func(s *ldapsec.Server) { s.StartTLS = &ldapsec.StartTLSLook{Glued: ldapsec.GluedInClear} }, ldapsec.RuleStartTLSInjection, connsec.Inconclusive},
		{"injection: unknown", func(s *ldapsec.Server) { s.StartTLS = &ldapsec.StartTLSLook{} }, ldapsec.RuleStartTLSInjection, connsec.Inconclusive},

		{"search: refused", func(*ldapsec.Server) {}, ldapsec.RuleAnonymousSearch, connsec.Pass},
		{"search: an entry", func(s *ldapsec.Server) { s.AnonymousSearch.Entry = true }, ldapsec.RuleAnonymousSearch, connsec.Fail},
		{"search: an entry, then no end", func(s *ldapsec.Server) { s.AnonymousSearch = &ldapsec.SearchAnswer{Answer: *noAnswer, Entry: true} }, ldapsec.RuleAnonymousSearch, connsec.Fail},
		{"search: nothing", func(s *ldapsec.Server) { s.AnonymousSearch.Code = 0 }, ldapsec.RuleAnonymousSearch, connsec.Pass},
		{"search: no such base", func(s *ldapsec.Server) { s.AnonymousSearch.Code, s.AnonymousSearch.Base = 32, "dc=corp" }, ldapsec.RuleAnonymousSearch, connsec.Inconclusive},
		{"search: the base is not shown", func(s *ldapsec.Server) {
			s.AnonymousSearch.Code, s.AnonymousSearch.Base, s.RootDSE.NamingContexts = 32, "ou=People,DC=Corp", []string{"dc=corp"}
		}, ldapsec.RuleAnonymousSearch, connsec.Pass},
		{"search: referral", func(s *ldapsec.Server) { s.AnonymousSearch.Code = 10 }, ldapsec.RuleAnonymousSearch, connsec.Inconclusive},
		{"search: no answer", func(s *ldapsec.Server) { s.AnonymousSearch.Answer = *noAnswer }, ldapsec.RuleAnonymousSearch, connsec.Inconclusive},
		{"search: only the lack of TLS refused", func(s *ldapsec.Server) { s.AnonymousSearch.Code, s.AnonymousSearch.Way = 13, "ldap" }, ldapsec.RuleAnonymousSearch, connsec.Inconclusive},
		{"search: no base known", func(s *ldapsec.Server) { s.AnonymousSearch = nil }, ldapsec.RuleAnonymousSearch, connsec.Inconclusive},
		{"null base: nothing", func(*ldapsec.Server) {}, ldapsec.RuleNullBaseSearch, connsec.Pass},
		{"null base: an entry", func(s *ldapsec.Server) { s.NullBaseSearch.Entry = true }, ldapsec.RuleNullBaseSearch, connsec.Fail},
		{"null base: not tried", func(s *ldapsec.Server) { s.NullBaseSearch = nil }, ldapsec.RuleNullBaseSearch, connsec.Inconclusive},

		{"root DSE: empty", func(*ldapsec.Server) {}, ldapsec.RuleRootDSELeak, connsec.Pass},
		{"root DSE: not shown", func(s *ldapsec.Server) { s.RootDSE, s.NoRootDSE = nil, noRoot(8, "ldaps") }, ldapsec.RuleRootDSELeak, connsec.Pass},
		{"root DSE: empty answer", func(s *ldapsec.Server) { s.RootDSE, s.NoRootDSE = nil, noRoot(0, "ldap") }, ldapsec.RuleRootDSELeak, connsec.Pass},
		{"root DSE: not shown in clear", func(s *ldapsec.Server) {
			s.RootDSE, s.NoRootDSE, s.Unverified = nil, noRoot(13, "ldap"), "unknown CA"
		}, ldapsec.RuleRootDSELeak, connsec.Inconclusive},
		{"root DSE: busy", func(s *ldapsec.Server) { s.RootDSE, s.NoRootDSE = nil, noRoot(51, "ldaps") }, ldapsec.RuleRootDSELeak, connsec.Inconclusive},
		{"root DSE: not asked", func(s *ldapsec.Server) { s.RootDSE = nil }, ldapsec.RuleRootDSELeak, connsec.Inconclusive},
		{"null base: nothing is shown in clear", func(s *ldapsec.Server) {
			s.RootDSE, s.NoRootDSE, s.NullBaseSearch.Way = nil, noRoot(13, "ldap"), "ldap"
		}, ldapsec.RuleNullBaseSearch, connsec.Inconclusive},
		{"null base: nothing in clear but the root DSE", func(s *ldapsec.Server) { s.NullBaseSearch.Way = "ldap" }, ldapsec.RuleNullBaseSearch, connsec.Pass},
		{"root DSE: host name", func(s *ldapsec.Server) { s.RootDSE.DNSHostName = host }, ldapsec.RuleRootDSELeak, connsec.Fail},
		{"root DSE: no way to ask", func(s *ldapsec.Server) { s.RootDSE, s.Unverified, s.Plain.Problem = nil, "expired", filtered }, ldapsec.RuleRootDSELeak, connsec.Inconclusive},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ruletest.Expect(t, server(tc.change).Judge(), tc.want, tc.rule)
		})
	}
}

// TestAddressesThatDiffer holds that one address does not speak for another.
func TestAddressesThatDiffer(t *testing.T) {
	strict, open := server(func(*ldapsec.Server) {}).Servers[0], server(func(s *ldapsec.Server) { s.NullSession = answer(0, "") }).Servers[0]
	strict.Address, open.Address = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	same := strict
	same.Address = netip.MustParseAddr("192.0.2.3")
	left := ldapsec.Server{Name: host, Problem: "the name has 4 more addresses, which were not looked at"}

	r := ldapsec.Observation{Servers: []ldapsec.Server{strict, open, same, left}}.Judge()
	got := map[string]connsec.Outcome{}
	for _, f := range r.Of(ldapsec.RuleSigningNotRequired) {
		got[f.Subject] = f.Outcome
	}
	assert.Equal(t, map[string]connsec.Outcome{
		host + " [192.0.2.1, 192.0.2.3]": connsec.Pass, host + " [192.0.2.2]": connsec.Fail, host + " [others]": connsec.Inconclusive,
	}, got)

	r = ldapsec.Observation{Servers: []ldapsec.Server{strict, same}}.Judge()
	assert.Len(t, r.Findings, len(server(func(*ldapsec.Server) {}).Judge().Findings), "what holds everywhere is said once")
	for _, f := range r.Findings {
		assert.Equal(t, host, f.Subject)
	}
	// A name that stands twice in a setting is two servers, and so is one in facts of old.
	assert.Len(t, ldapsec.Observation{Servers: []ldapsec.Server{strict, strict}}.Judge().Of(ldapsec.RuleSigningNotRequired), 2)
}

func TestVerdictsOnTLSPorts(t *testing.T) {
	at := func(a tlscheck.AddressObservation) ldapsec.Observation {
		return ldapsec.Observation{Servers: []ldapsec.Server{{Name: host, TLS: []ldapsec.TLSLook{{
			Way: "ldaps", Port: 636, Observation: tlscheck.Observation{Subject: host, Addresses: []tlscheck.AddressObservation{a}},
		}}}}}
	}
	for name, tc := range map[string]struct {
		seen tlscheck.AddressObservation
		want connsec.Outcome
	}{
		"handshake": {tlscheck.AddressObservation{Handshake: &tlscheck.Handshake{}}, connsec.Pass},
		"alert":     {tlscheck.AddressObservation{HandshakeProblem: tlscheck.Problem{Kind: tlscheck.Alert, Text: "x"}}, connsec.Pass},
		"dropped":   {tlscheck.AddressObservation{HandshakeProblem: tlscheck.Problem{Kind: tlscheck.Closed, Text: "x"}}, connsec.Fail},
		"only what nobody offers": {tlscheck.AddressObservation{
			HandshakeProblem: tlscheck.Problem{Kind: tlscheck.Closed, Text: "x"}, WeakSuites: tlscheck.Offers{Accepted: []tlscheck.Selection{{Version: 0x0303, Suite: 0x0039}}},
		}, connsec.Pass},
		"plain LDAP":   {tlscheck.AddressObservation{HandshakeProblem: tlscheck.Problem{Kind: tlscheck.NotTLS, Text: "x"}}, connsec.Fail},
		"closed":       {tlscheck.AddressObservation{Unreachable: tlscheck.Problem{Kind: tlscheck.Refused}}, connsec.Fail},
		"filtered":     {tlscheck.AddressObservation{Unreachable: tlscheck.Problem{Kind: tlscheck.Timeout, Text: "x"}}, connsec.Inconclusive},
		"stalled":      {tlscheck.AddressObservation{HandshakeProblem: tlscheck.Problem{Kind: tlscheck.Timeout, Text: "x"}}, connsec.Inconclusive},
		"no statement": {tlscheck.AddressObservation{}, connsec.Inconclusive},
	} {
		t.Run(name, func(t *testing.T) {
			ruletest.Expect(t, at(tc.seen).Judge(), tc.want, ldapsec.RuleTLSUnavailable)
		})
	}
	t.Run("no address", func(t *testing.T) {
		o := ldapsec.Observation{Servers: []ldapsec.Server{{Name: host, TLS: []ldapsec.TLSLook{{Way: "ldaps", Port: 636}}}}}
		ruletest.Expect(t, o.Judge(), connsec.Inconclusive, ldapsec.RuleTLSUnavailable)
	})
	t.Run("one finding for a closed port", func(t *testing.T) {
		r := at(tlscheck.AddressObservation{Unreachable: tlscheck.Problem{Kind: tlscheck.Refused}}).Judge()
		assert.Empty(t, r.Of(tlscheck.RuleHandshakeFailed))
		assert.Len(t, r.Failed(connsec.Info), 1)
	})
}

func TestNoObservationMakesAJudgePanic(t *testing.T) {
	for _, o := range []ldapsec.Observation{{}, {Servers: make([]ldapsec.Server, 1)}, {Discovery: &ldapsec.Discovery{}}} {
		for _, f := range o.Judge().Findings {
			assert.NotContains(t, f.Detail, "defect", "%s", f.Rule.ID)
		}
	}
}

func FuzzJudge(f *testing.F) {
	f.Add([]byte(`{"servers": [{"name": "dc1", "kind": "active-directory", "plain": {"number": 389}, "no_binding": {"code": 49, "diagnostic": "80090346"}}]}`))
	f.Add([]byte(`{"discovery": {"domain": "corp", "found": ["a\nb"]}, "servers": [{"problem": "x\ny"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var o ldapsec.Observation
		if json.Unmarshal(data, &o) != nil {
			return
		}
		for _, finding := range own(o.Judge()).Findings {
			if !finding.Outcome.Valid() || strings.Contains(finding.Detail, "defect") || strings.ContainsAny(finding.Detail, "\r\n") {
				t.Fatalf("%s: %s: %q", finding.Rule.ID, finding.Outcome, finding.Detail)
			}
		}
	})
}
