package smtpsec_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/smtpsec"
	"github.com/connsec/connsec/tlscheck"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// clear is what an honest server lets be seen.
func clear() smtpsec.ClearLook {
	return smtpsec.ClearLook{
		Port: 587, Subject: "mail.corp.example:587 (starttls)",
		Before: &smtpsec.Extensions{Keywords: []string{"SIZE", "STARTTLS"}}, Inside: &smtpsec.Extensions{Keywords: []string{"SIZE", "AUTH"}, Auth: []string{"PLAIN"}},
		Mechanism: "PLAIN", Auth: &smtpsec.Reply{Code: 530}, Mail: &smtpsec.Reply{Code: 530}, Injected: smtpsec.InjectedDiscarded,
	}
}

// TestRecordedAnswers goes through answers that no server of the other tests gives.
func TestRecordedAnswers(t *testing.T) {
	const (
		pass, fail, unknown, skip = connsec.Pass, connsec.Fail, connsec.Inconclusive, connsec.NotApplicable
	)
	for name, tc := range map[string]struct {
		change  func(*smtpsec.ClearLook)
		rule    *connsec.Rule
		outcome connsec.Outcome
	}{
		"AUTH wants an initial response": {func(l *smtpsec.ClearLook) { l.Auth.Code = 501 }, smtpsec.RuleTLSNotEnforced, unknown},
		"AUTH fails at once":             {func(l *smtpsec.ClearLook) { l.Auth.Code = 535 }, smtpsec.RuleTLSNotEnforced, unknown},
		"AUTH at another time":           {func(l *smtpsec.ClearLook) { l.Auth.Code = 454 }, smtpsec.RuleTLSNotEnforced, unknown},
		"AUTH is too weak":               {func(l *smtpsec.ClearLook) { l.Auth.Code = 538 }, smtpsec.RuleTLSNotEnforced, pass},
		"AUTH ends the conversation":     {func(l *smtpsec.ClearLook) { l.Auth, l.Mail = nil, nil }, smtpsec.RuleTLSNotEnforced, unknown},
		"MAIL refused for the sender":    {func(l *smtpsec.ClearLook) { l.Mail.Code = 550 }, smtpsec.RuleTLSNotEnforced, unknown},
		"MAIL at another time":           {func(l *smtpsec.ClearLook) { l.Mail.Code = 451 }, smtpsec.RuleTLSNotEnforced, unknown},
		"logged in without a word":       {func(l *smtpsec.ClearLook) { l.Auth.Code = 235 }, smtpsec.RuleTLSNotEnforced, fail},
		"EXTERNAL carries no password": {func(l *smtpsec.ClearLook) {
			l.Before.Auth, l.Mechanism, l.Auth.Code = []string{"EXTERNAL"}, "EXTERNAL", 334
		}, smtpsec.RuleAuthBeforeTLS, pass},
		"CRAM-MD5 in clear":            {func(l *smtpsec.ClearLook) { l.Before.Auth = []string{"CRAM-MD5"} }, smtpsec.RuleAuthBeforeTLS, fail},
		"a token in clear":             {func(l *smtpsec.ClearLook) { l.Before.Auth = []string{"XOAUTH2"} }, smtpsec.RuleAuthBeforeTLS, fail},
		"STARTTLS not now":             {func(l *smtpsec.ClearLook) { l.StartTLS = &smtpsec.Reply{Code: 421} }, smtpsec.RuleStartTLSMissing, unknown},
		"STARTTLS refused":             {func(l *smtpsec.ClearLook) { l.StartTLS = &smtpsec.Reply{Code: 502} }, smtpsec.RuleStartTLSMissing, fail},
		"STARTTLS refused, no session": {func(l *smtpsec.ClearLook) { l.StartTLS = &smtpsec.Reply{Code: 502} }, smtpsec.RuleStartTLSInjection, skip},
		"glue refused":                 {func(l *smtpsec.ClearLook) { l.Injected = smtpsec.InjectedRefused }, smtpsec.RuleStartTLSInjection, pass},
		"glue not seen":                {func(l *smtpsec.ClearLook) { l.Injected = "" }, smtpsec.RuleStartTLSInjection, unknown},
		"a fate of the future":         {func(l *smtpsec.ClearLook) { l.Injected = "eaten" }, smtpsec.RuleStartTLSInjection, unknown},
		"STARTTLS within TLS":          {func(l *smtpsec.ClearLook) { l.Inside.Keywords = []string{"STARTTLS"} }, smtpsec.RuleCapabilitiesDiffer, fail},
		"an extension gone":            {func(l *smtpsec.ClearLook) { l.Inside.Keywords = nil }, smtpsec.RuleCapabilitiesDiffer, pass},
		"a filter":                     {func(l *smtpsec.ClearLook) { l.Problem.Kind = tlscheck.Timeout }, smtpsec.RuleAuthBeforeTLS, unknown},
		"a closed port":                {func(l *smtpsec.ClearLook) { l.Problem.Kind = tlscheck.Refused }, smtpsec.RuleStartTLSMissing, skip},
	} {
		t.Run(name, func(t *testing.T) {
			l := clear()
			tc.change(&l)
			r := smtpsec.Observation{Clear: l}.Judge()
			ruletest.Expect(t, r, tc.outcome, tc.rule)
		})
	}
	ruletest.ExpectFailed(t, smtpsec.Observation{Clear: clear()}.Judge())
}

// FuzzJudge: recorded facts come from anywhere; judging them never panics and always answers.
func FuzzJudge(f *testing.F) {
	data, err := json.Marshal(smtpsec.Observation{Clear: clear(), Implicit: &smtpsec.ImplicitLook{}, Policy: &smtpsec.Policy{}})
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
		Before:    &smtpsec.Extensions{Keywords: []string{"SIZE", "AUTH"}, Auth: []string{"LOGIN"}},
		Mechanism: "LOGIN", Auth: &smtpsec.Reply{Code: 334}, Mail: &smtpsec.Reply{Code: 250},
	}}
	for _, f := range o.Judge().Failed(connsec.High) {
		fmt.Println(f.Rule.ID, "-", f.Detail)
	}
	// Output:
	// smtp-starttls-missing - port 25 does not offer STARTTLS
	// smtp-auth-before-tls - port 25 offers LOGIN in clear
	// smtp-tls-not-enforced - port 25 asks for the credentials of a login (LOGIN) in clear
}
