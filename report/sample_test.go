package report_test

import (
	"time"

	"github.com/connsec/connsec"
)

// The rules and reports that the tests render. They are made up, but as long and as awkward as
// real ones.

var (
	ruleBind = &connsec.Rule{
		ID: "sample-cleartext-bind", Title: "The directory accepts a simple bind in clear text",
		Why:      "Anyone on the path reads the password of every user who signs in.",
		Fix:      "On every domain controller set “Domain controller: LDAP server signing requirements” to “Require signing”, then let clients use ldaps:// on port 636.",
		Severity: connsec.Critical, Since: "0.1.0",
		Refs: []connsec.Citation{
			{Doc: "RFC 4513", Section: "5.1.2", URL: "https://www.rfc-editor.org/rfc/rfc4513#section-5.1.2"},
			{Doc: "Security guide", Section: "LDAP"},
		},
	}
	ruleExpired = &connsec.Rule{
		ID: "sample-expired", Title: "The certificate has expired",
		Why: "Clients refuse it, or have been taught to ignore the warning.", Fix: "Request a new certificate and install it with its chain.",
		Severity: connsec.High, Since: "0.1.0",
		Refs: []connsec.Citation{{Doc: "RFC 5280", Section: "4.1.2.5", URL: "https://www.rfc-editor.org/rfc/rfc5280#section-4.1.2.5"}},
	}
	ruleHSTS = &connsec.Rule{
		ID: "sample-hsts-missing", Title: "The site does not tell browsers to stay on HTTPS (no Strict-Transport-Security header)",
		Why: "The first request of a session can be taken over.", Fix: "Send Strict-Transport-Security: max-age=31536000.",
		Severity: connsec.Low, Since: "0.1.0",
		Refs: []connsec.Citation{{Doc: "RFC 6797", Section: "7.1", URL: "https://www.rfc-editor.org/rfc/rfc6797#section-7.1"}},
	}
	ruleLegacy = &connsec.Rule{
		ID: "sample-version-legacy", Title: "The server negotiates TLS 1.0 or 1.1",
		Why: "Both are broken by design.", Fix: "Allow TLS 1.2 and 1.3 only.",
		Severity: connsec.Medium, Since: "0.1.0",
		Refs: []connsec.Citation{{Doc: "RFC 8996", URL: "https://www.rfc-editor.org/rfc/rfc8996"}},
	}
	ruleGroup = &connsec.Rule{
		ID: "sample-group-classical", Title: "No post-quantum key exchange",
		Why: "Recorded traffic can be decrypted later.", Fix: "Offer X25519MLKEM768.",
		Severity: connsec.Info, Since: "0.1.0",
		Refs: []connsec.Citation{{Doc: "Mozilla Server Side TLS 6.0", URL: "https://wiki.mozilla.org/Security/Server_Side_TLS"}},
	}
	sampleRules = []*connsec.Rule{ruleBind, ruleExpired, ruleHSTS, ruleLegacy, ruleGroup}
)

var sampleTime = time.Date(2026, 11, 23, 18, 51, 0, 0, time.UTC)

// weak is a deployment with something of everything.
func weak() []connsec.Report {
	at := func(line, col int) *connsec.Position {
		return &connsec.Position{File: "deployment.yaml", Line: line, Column: col}
	}
	return []connsec.Report{
		{Target: "dc1.corp.example", At: sampleTime, Duration: 84 * time.Millisecond, Findings: []connsec.Finding{
			{Rule: ruleBind, Severity: connsec.Critical, Outcome: connsec.Fail, Subject: "dc1.corp.example:389",
				Detail:   "A bind with a random name was answered with invalidCredentials (49), not with confidentialityRequired (13) or strongerAuthRequired (8).",
				Evidence: []connsec.Attr{{Key: "result code", Value: "49"}, {Key: "port", Value: "389"}}, Source: at(14, 5)},
			{Rule: ruleExpired, Severity: connsec.High, Outcome: connsec.Pass, Subject: "dc1.corp.example:636", Detail: "Valid until 3 May 2027, 161 days from now.", Source: at(14, 5)},
			{Rule: ruleLegacy, Severity: connsec.Medium, Outcome: connsec.Inconclusive, Subject: "dc1.corp.example:636",
				Detail: "The connection was closed without an alert after the ClientHello for TLS 1.1; a firewall may have done that. Repeat the check from the server's own network.", Source: at(14, 5)},
		}},
		{Target: "dc2.corp.example", At: sampleTime, Duration: 91 * time.Millisecond, Findings: []connsec.Finding{
			{Rule: ruleBind, Severity: connsec.Critical, Outcome: connsec.Fail, Subject: "dc2.corp.example:389",
				Detail: "A bind with a random name was answered with invalidCredentials (49).", Source: at(15, 5)},
			{Rule: ruleExpired, Severity: connsec.High, Outcome: connsec.Fail, Subject: "dc2.corp.example:636",
				Detail: "Expired on 1 November 2026, 22 days ago.", Evidence: []connsec.Attr{{Key: "notAfter", Value: "2026-11-01T12:00:00Z"}}, Source: at(15, 5),
				Waiver: &connsec.Waiver{Rule: "sample-expired", Reason: "Renewal is ordered.", Until: time.Date(2026, 11, 10, 0, 0, 0, 0, time.UTC)}},
			{Rule: ruleLegacy, Severity: connsec.Medium, Outcome: connsec.Waived, Subject: "dc2.corp.example:636", Detail: "TLS 1.0 and 1.1 were negotiated.",
				Source: at(15, 5), Waiver: &connsec.Waiver{Rule: "sample-version-legacy", Reason: "The scanners on floor 2 speak nothing newer; they are replaced in spring.", Until: time.Date(2027, 3, 31, 0, 0, 0, 0, time.UTC)}},
		}},
		{Target: "https://central.corp.example:8093", At: sampleTime, Duration: 1210 * time.Millisecond, Findings: []connsec.Finding{
			{Rule: ruleExpired, Severity: connsec.High, Outcome: connsec.Pass, Subject: "central.corp.example:8093", Detail: "Valid until 9 January 2027, 47 days from now."},
			{Rule: ruleHSTS, Severity: connsec.Low, Outcome: connsec.Fail, Subject: "central.corp.example:8093", Detail: "The response has no such header.", Source: at(7, 3)},
			{Rule: ruleGroup, Severity: connsec.Info, Outcome: connsec.NotApplicable, Subject: "central.corp.example:8093", Detail: "TLS 1.2 was negotiated, where it does not arise."},
		}},
	}
}

// clean is a deployment without failures.
func hardened() []connsec.Report {
	return []connsec.Report{{Target: "dc1.corp.example:636", At: sampleTime, Duration: 84 * time.Millisecond, Findings: []connsec.Finding{
		{Rule: ruleExpired, Severity: connsec.High, Outcome: connsec.Pass, Subject: "dc1.corp.example:636", Detail: "Valid until 3 May 2027."},
		{Rule: ruleLegacy, Severity: connsec.Medium, Outcome: connsec.Pass, Subject: "dc1.corp.example:636", Detail: "TLS 1.3 was negotiated; 1.0 and 1.1 are refused."},
	}}}
}

// hostile is what a peer could send to the reader's terminal, browser or parser.
const hostile = "a\x1b[31mred\x1b]0;title\x07 \u202egnp.exe\u202c <script>alert(1)</script> & \"q\" 'q' `tick` |pipe| [x](https://evil.example) ![i](x) **b** @all https://evil.example/ www.evil.example \xff\xfe \u0085\u2028 日本語 e\u0301 \\ \r\n# h]]>"

func attacked() []connsec.Report {
	return []connsec.Report{{Target: hostile, At: sampleTime, Findings: []connsec.Finding{
		{Rule: ruleExpired, Severity: connsec.High, Outcome: connsec.Fail, Subject: hostile, Detail: hostile,
			Evidence: []connsec.Attr{{Key: hostile, Value: hostile}}, Source: &connsec.Position{File: hostile, Line: 3, Column: 1}},
		{Rule: ruleBind, Severity: connsec.High, Outcome: connsec.Inconclusive, Subject: hostile, Detail: hostile},
		{Rule: ruleLegacy, Severity: connsec.High, Outcome: connsec.Waived, Subject: hostile, Detail: hostile, Waiver: &connsec.Waiver{Rule: "sample-version-legacy", Reason: hostile, Until: sampleTime}},
		{Rule: ruleGroup, Severity: connsec.High, Outcome: connsec.Pass, Subject: hostile, Detail: hostile},
	}}}
}
