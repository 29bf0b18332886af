package connsec_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/connsec/connsec"
)

// A rule stands beside the function that judges it.
var RuleCleartextLogin = &connsec.Rule{
	ID:       "demo-cleartext-login",
	Title:    "The server takes passwords over an unencrypted connection",
	Why:      "Anyone on the path reads them.",
	Fix:      "Switch the plain port off.",
	Severity: connsec.Critical,
	Refs:     []connsec.Citation{{Doc: "RFC 4513", Section: "5.1.2"}},
	Since:    "0.1.0",
}

// Facts are what was observed, without opinions.
type facts struct {
	PlainPortOpen bool
	LoginOffered  *bool // nil: could not be determined
}

func judgeCleartextLogin(f facts) connsec.Verdict {
	switch {
	case !f.PlainPortOpen:
		return connsec.Passed("The plain port is closed.")
	case f.LoginOffered == nil:
		return connsec.Unknown("The plain port is open, but the server closed the connection before its greeting.")
	case *f.LoginOffered:
		return connsec.Failed("The plain port offers LOGIN.").With("port", 143)
	}
	return connsec.Passed("The plain port is open and offers no login.")
}

func judge(f facts) connsec.Report {
	return connsec.Report{Target: "mail.corp.example", Findings: connsec.Run("mail.corp.example:143", f, []connsec.Check[facts]{
		{Rule: RuleCleartextLogin, Judge: judgeCleartextLogin},
	})}
}

func Example() {
	yes := true
	for _, f := range []facts{{}, {PlainPortOpen: true}, {PlainPortOpen: true, LoginOffered: &yes}} {
		for _, finding := range judge(f).Findings {
			fmt.Println(finding.Outcome, "–", finding.Detail)
		}
	}
	// Output:
	// pass – The plain port is closed.
	// inconclusive – The plain port is open, but the server closed the connection before its greeting.
	// fail – The plain port offers LOGIN.
}

func ExampleReport_Err() {
	yes := true
	err := judge(facts{PlainPortOpen: true, LoginOffered: &yes}).Err(connsec.High)
	fmt.Println(err)
	fmt.Println(errors.Is(err, RuleCleartextLogin))
	// Output:
	// connsec: mail.corp.example: demo-cleartext-login (critical): The plain port offers LOGIN.
	// true
}

func ExampleReport_Waive() {
	yes := true
	report := judge(facts{PlainPortOpen: true, LoginOffered: &yes})
	waiver := connsec.Waiver{
		Rule:   "demo-cleartext-login",
		Reason: "the scanners on floor 2 are replaced in spring",
		Until:  time.Date(2027, 3, 31, 0, 0, 0, 0, time.UTC),
	}
	for _, now := range []time.Time{waiver.Until, waiver.Until.Add(time.Second)} {
		waived, _ := report.Waive([]connsec.Waiver{waiver}, now)
		fmt.Println(waived.Findings[0].Outcome, waived.Err(connsec.High) == nil)
	}
	// Output:
	// waived true
	// fail false
}

func ExampleDecodeReport() {
	data, err := json.Marshal(judge(facts{}))
	if err != nil {
		fmt.Println(err)
		return
	}
	report, err := connsec.DecodeReport(data, []*connsec.Rule{RuleCleartextLogin})
	fmt.Println(report.Count(connsec.Pass), err)
	_, err = connsec.DecodeReport(data, nil)
	fmt.Println(err)
	// Output:
	// 1 <nil>
	// connsec: report: finding 0: unknown rule "demo-cleartext-login"
}

func ExampleSecret() {
	config := struct {
		User     string
		Password connsec.Secret
	}{"svc-print", connsec.NewSecret("correct horse")}
	data, _ := json.Marshal(config)
	fmt.Printf("%+v\n%s\n%d\n", config, data, len(config.Password.Reveal()))
	// Output:
	// {User:svc-print Password:REDACTED}
	// {"User":"svc-print","Password":"REDACTED"}
	// 13
}
