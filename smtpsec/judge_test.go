package smtpsec_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"testing"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/smtpsec"
	"github.com/connsec/connsec/tlscheck"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// clear is what an honest server lets be seen.
func clear() smtpsec.ClearAddress {
	return smtpsec.ClearAddress{
		Before: &smtpsec.Extensions{Keywords: []string{"SIZE", "STARTTLS"}}, Inside: &smtpsec.Extensions{Keywords: []string{"SIZE", "AUTH"}, Auth: []string{"PLAIN"}},
		Mechanism: "PLAIN", Auth: &smtpsec.Reply{Code: 530}, Mail: &smtpsec.Reply{Code: 530}, Injected: smtpsec.InjectedDiscarded,
	}
}

// observed is that of servers at addresses of their own.
func observed(seen ...smtpsec.ClearAddress) smtpsec.Observation {
	for i := range seen {
		seen[i].Address = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), 587)
	}
	return smtpsec.Observation{Clear: smtpsec.ClearLook{Port: 587, Subject: "mail.corp.example:587 (starttls)", Addresses: seen}}
}

// TestRecordedAnswers goes through answers that no server of the other tests gives.
func TestRecordedAnswers(t *testing.T) {
	const (
		pass, fail, unknown, skip = connsec.Pass, connsec.Fail, connsec.Inconclusive, connsec.NotApplicable
	)
	for name, tc := range map[string]struct {
		change  func(*smtpsec.ClearAddress)
		rule    *connsec.Rule
		outcome connsec.Outcome
	}{
		"AUTH wants an initial response": {func(l *smtpsec.ClearAddress) { l.Auth.Code = 501 }, smtpsec.RuleTLSNotEnforced, unknown},
		"AUTH fails at once":             {func(l *smtpsec.ClearAddress) { l.Auth.Code = 535 }, smtpsec.RuleTLSNotEnforced, unknown},
		"AUTH at another time":           {func(l *smtpsec.ClearAddress) { l.Auth.Code = 454 }, smtpsec.RuleTLSNotEnforced, unknown},
		"AUTH is too weak":               {func(l *smtpsec.ClearAddress) { l.Auth.Code = 538 }, smtpsec.RuleTLSNotEnforced, pass},
		"AUTH ends the conversation":     {func(l *smtpsec.ClearAddress) { l.Auth, l.Mail = nil, nil }, smtpsec.RuleTLSNotEnforced, unknown},
		"MAIL refused for the sender":    {func(l *smtpsec.ClearAddress) { l.Mail.Code = 550 }, smtpsec.RuleTLSNotEnforced, unknown},
		"MAIL at another time":           {func(l *smtpsec.ClearAddress) { l.Mail.Code = 451 }, smtpsec.RuleTLSNotEnforced, unknown},
		"logged in without a word":       {func(l *smtpsec.ClearAddress) { l.Auth.Code = 235 }, smtpsec.RuleTLSNotEnforced, fail},
		"EXTERNAL carries no password": {func(l *smtpsec.ClearAddress) {
			l.Before.Auth, l.Mechanism, l.Auth.Code = []string{"EXTERNAL"}, "EXTERNAL", 334
		}, smtpsec.RuleAuthBeforeTLS, pass},
		"CRAM-MD5 in clear":            {func(l *smtpsec.ClearAddress) { l.Before.Auth = []string{"CRAM-MD5"} }, smtpsec.RuleAuthBeforeTLS, fail},
		"a token in clear":             {func(l *smtpsec.ClearAddress) { l.Before.Auth = []string{"XOAUTH2"} }, smtpsec.RuleAuthBeforeTLS, fail},
		"STARTTLS not now":             {func(l *smtpsec.ClearAddress) { l.StartTLS = &smtpsec.Reply{Code: 421} }, smtpsec.RuleStartTLSMissing, unknown},
		"STARTTLS refused":             {func(l *smtpsec.ClearAddress) { l.StartTLS = &smtpsec.Reply{Code: 502} }, smtpsec.RuleStartTLSMissing, fail},
		"STARTTLS refused, no session": {func(l *smtpsec.ClearAddress) { l.StartTLS = &smtpsec.Reply{Code: 502} }, smtpsec.RuleStartTLSInjection, skip},
		"glue refused":                 {func(l *smtpsec.ClearAddress) { l.Injected = smtpsec.InjectedRefused }, smtpsec.RuleStartTLSInjection, pass},
		"glue not seen":                {func(l *smtpsec.ClearAddress) { l.Injected = "" }, smtpsec.RuleStartTLSInjection, unknown},
		"a fate of the future":         {func(l *smtpsec.ClearAddress) { l.Injected = "eaten" }, smtpsec.RuleStartTLSInjection, unknown},
		"STARTTLS within TLS":          {func(l *smtpsec.ClearAddress) { l.Inside.Keywords = []string{"STARTTLS"} }, smtpsec.RuleCapabilitiesDiffer, fail},
		"an extension gone":            {func(l *smtpsec.ClearAddress) { l.Inside.Keywords = nil }, smtpsec.RuleCapabilitiesDiffer, pass},
		"a filter":                     {func(l *smtpsec.ClearAddress) { l.Problem.Kind = tlscheck.Timeout }, smtpsec.RuleAuthBeforeTLS, unknown},
		"a closed port":                {func(l *smtpsec.ClearAddress) { l.Problem.Kind = tlscheck.Refused }, smtpsec.RuleStartTLSMissing, skip},
	} {
		t.Run(name, func(t *testing.T) {
			l := clear()
			tc.change(&l)
			r := observed(l).Judge()
			ruletest.Expect(t, r, tc.outcome, tc.rule)
		})
	}
	ruletest.ExpectFailed(t, observed(clear()).Judge())
	none := smtpsec.Observation{Clear: smtpsec.ClearLook{Port: 587}}.Judge()
	ruletest.Expect(t, none, unknown, smtpsec.RuleStartTLSMissing, smtpsec.RuleAuthBeforeTLS, smtpsec.RuleTLSNotEnforced, smtpsec.RuleStartTLSInjection)
}

// TestServersBehindOneName: addresses that come out the same are one finding, and one that comes
// out worse is named.
func TestServersBehindOneName(t *testing.T) {
	same := observed(clear(), clear()).Judge()
	ruletest.ExpectFailed(t, same)
	assert.Len(t, same.Of(smtpsec.RuleAuthBeforeTLS), 1)

	weak := clear()
	weak.Before.Auth = []string{"LOGIN"}
	r := observed(clear(), weak, clear()).Judge()
	failed := r.Failed(connsec.Info)
	require.Len(t, failed, 2) // LOGIN is offered in clear, and gone within TLS
	for _, f := range failed {
		assert.Equal(t, "mail.corp.example:587 (starttls) [192.0.2.2]", f.Subject)
	}
	var passed []string
	for _, f := range r.Of(smtpsec.RuleAuthBeforeTLS) {
		if f.Outcome == connsec.Pass {
			passed = append(passed, f.Subject)
		}
	}
	assert.Equal(t, []string{"mail.corp.example:587 (starttls) [192.0.2.1, 192.0.2.3]"}, passed)

	lost := clear()
	lost.Before, lost.Problem = nil, tlscheck.Problem{Kind: tlscheck.Timeout, Text: "no answer in time"}
	var outcomes []connsec.Outcome
	for _, f := range observed(clear(), lost).Judge().Of(smtpsec.RuleTLSNotEnforced) {
		outcomes = append(outcomes, f.Outcome)
	}
	assert.Equal(t, []connsec.Outcome{connsec.Pass, connsec.Inconclusive}, outcomes, "an address that was not seen is not passed")
}

// FuzzJudge: recorded facts come from anywhere; judging them never panics and always answers.
func FuzzJudge(f *testing.F) {
	o := observed(clear(), clear())
	o.Implicit, o.Policy = &smtpsec.ImplicitLook{}, &smtpsec.Policy{}
	data, err := json.Marshal(o)
	require.NoError(f, err)
	f.Add(data)
	f.Add([]byte(`{"clear":{},"implicit":{"tls":{"addresses":[{}]}},"policy":{"tlsa":[{"usage":2}],"chains":[[]],"resolver_trusted":true}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var o smtpsec.Observation
		if json.Unmarshal(data, &o) != nil {
			return
		}
		for _, found := range o.Judge().Findings {
			assert.True(t, found.Outcome.Valid() && found.Severity.Valid())
			assert.NotContains(t, found.Detail, "\n")
			assert.NotContains(t, found.Detail, "report this as a defect", "no judge panics")
		}
	})
}

func ExampleObservation_Judge() {
	o := smtpsec.Observation{Clear: smtpsec.ClearLook{
		Port: 25, Subject: "mail.corp.example:25 (starttls)",
		Addresses: []smtpsec.ClearAddress{{
			Before:    &smtpsec.Extensions{Keywords: []string{"SIZE", "AUTH"}, Auth: []string{"LOGIN"}},
			Mechanism: "LOGIN", Auth: &smtpsec.Reply{Code: 334}, Mail: &smtpsec.Reply{Code: 250},
		}},
	}}
	for _, f := range o.Judge().Failed(connsec.High) {
		fmt.Println(f.Rule.ID, "-", f.Detail)
	}
	// Output:
	// smtp-starttls-missing - port 25 does not offer STARTTLS
	// smtp-auth-before-tls - port 25 offers LOGIN in clear
	// smtp-tls-not-enforced - port 25 asks for the credentials of a login (LOGIN) in clear
}
