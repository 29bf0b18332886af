package smtpsec

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/connsec/connsec"
)

// policyChecks judge what a mail domain publishes.
var policyChecks = []connsec.Check[Policy]{
	{Rule: RuleMTASTS, Judge: judgeMTASTS},
	{Rule: RuleDANE, Judge: judgeDANE},
	{Rule: RuleTLSRPT, Judge: judgeTLSRPT},
}

// RuleMTASTS: senders are not told to insist on TLS.
var RuleMTASTS = &connsec.Rule{
	ID: "smtp-mta-sts", Title: "The mail domain does not tell senders to insist on TLS (MTA-STS)",
	Why:      "Without a policy, other servers send mail to this domain in clear, or to anybody's certificate, as soon as somebody on the path interferes.",
	Fix:      "Serve the policy at https://mta-sts.DOMAIN/.well-known/mta-sts.txt with mode: enforce, every MX and a max_age of some weeks, and publish the TXT record _mta-sts.DOMAIN with v=STSv1; id=…; begin with mode: testing.",
	Severity: connsec.Low,
	Refs:     []connsec.Citation{rfc("8461", "3"), rfc("8461", "4.1")}, Since: "0.1.0",
}

// shortAge is far below the "weeks or greater" of RFC 8461, 3.2: within it, an attacker who
// blocks the policy for a day is rid of it.
const shortAge = 24 * time.Hour

func judgeMTASTS(p Policy) connsec.Verdict {
	if p.Problem != "" {
		return connsec.Unknown("%s", p.Problem)
	}
	if p.STS.Problem != "" {
		return connsec.Unknown("%s: %s", p.STS.Name, p.STS.Problem)
	}
	id, err := stsID(p.STS.Records)
	switch {
	case err != nil:
		return connsec.Failed("%s: %s", p.STS.Name, err)
	case id == "":
		return connsec.Failed("there is no TXT record with v=STSv1 at %s", p.STS.Name)
	case p.STSUnseen != "":
		return connsec.Unknown("the policy could not be fetched: %s", p.STSUnseen)
	case p.STSFailed != "":
		return connsec.Failed("a policy is announced, but senders cannot take it: %s", p.STSFailed)
	}
	policy, err := ParseSTSPolicy(p.STSText)
	if err != nil {
		return connsec.Failed("%s", err)
	}
	note := func(v connsec.Verdict) connsec.Verdict {
		return v.With("id", id).With("mode", policy.Mode).With("max_age", policy.MaxAge).With("mx", strings.Join(policy.MX, " "))
	}
	switch {
	case policy.Mode != "enforce":
		return note(connsec.Failed("the policy's mode is %s: senders deliver all the same", policy.Mode))
	case !policy.Covers(p.Host) && p.strayHost() == "":
		return note(connsec.Failed("the policy does not name %s: senders that heed it do not deliver there", p.Host).As(connsec.Medium))
	case time.Duration(policy.MaxAge)*time.Second < shortAge:
		return note(connsec.Failed("senders forget the policy after %d seconds", policy.MaxAge))
	case p.strayHost() != "":
		return note(connsec.Unknown("%s", p.strayHost()))
	}
	return note(connsec.Passed("senders are told to insist on TLS with %s", p.Host))
}

// RuleDANE: no certificate is pinned in DNS.
var RuleDANE = &connsec.Rule{
	ID: "smtp-dane", Title: "Senders cannot verify the mail server by DNSSEC (DANE)",
	Why:      "Without it, senders have no proof of which server and which certificate belong to the domain. With records that do not match the certificate, senders that verify them do not deliver at all.",
	Fix:      "Sign the zones of the domain and of the host with DNSSEC and publish TLSA 3 1 1 records of the current and the next key at _25._tcp.HOST. Change the record before the certificate.",
	Severity: connsec.Low,
	Refs:     []connsec.Citation{rfc("7672", "2.2, 3.1"), rfc("6698", "2.1")}, Since: "0.1.0",
}

func judgeDANE(p Policy) connsec.Verdict {
	for _, l := range []Lookup{{Problem: p.Problem}, p.TLSA, p.MX} {
		if l.Problem != "" {
			return connsec.Unknown("%s", strings.TrimPrefix(l.Name+": "+l.Problem, ": "))
		}
	}
	if !p.Trusted {
		return connsec.Unknown("whether the answers are authentic cannot be told: use a validating resolver that can be trusted, and say so").
			With("tlsa", strings.Join(p.TLSA.Records, ", "))
	}
	var usable []TLSA
	for _, t := range p.TLSARecords {
		if t.usable() {
			usable = append(usable, t)
		}
	}
	note := func(v connsec.Verdict) connsec.Verdict {
		return v.With("tlsa", strings.Join(p.TLSA.Records, ", ")).With("authentic", p.TLSA.Authentic)
	}
	switch {
	case len(p.TLSARecords) == 0 && p.strayHost() != "": // it needs none
		return note(connsec.Unknown("%s", p.strayHost()))
	case len(p.TLSARecords) == 0:
		return note(connsec.Failed("there are no TLSA records at %s", p.TLSA.Name))
	case !p.TLSA.Authentic:
		return note(connsec.Failed("the TLSA records at %s are not protected by DNSSEC, so senders ignore them", p.TLSA.Name))
	case len(usable) == 0:
		return note(connsec.Failed("none of the TLSA records at %s is usable for mail (usage 2 or 3)", p.TLSA.Name).As(connsec.Medium))
	case len(p.Chains) == 0:
		return note(connsec.Unknown("no certificate was seen to compare the TLSA records with"))
	}
	for _, chain := range p.Chains {
		if !slices.ContainsFunc(usable, func(t TLSA) bool { return t.matches(chain, p.Host, p.At) }) {
			return note(connsec.Failed("the certificate of %s matches none of the TLSA records: senders that verify them do not deliver", p.Host).As(connsec.High))
		}
	}
	switch {
	case p.strayHost() != "":
		return note(connsec.Unknown("%s", p.strayHost()))
	case len(p.Unseen) > 0:
		return note(connsec.Unknown("the certificate of %s was not seen at %s", p.Host, join(p.Unseen)))
	case !p.MX.Authentic:
		return note(connsec.Failed("the TLSA records match, but the MX records of %s are not protected by DNSSEC", p.Domain))
	}
	return note(connsec.Passed("the certificate matches the TLSA records, and DNSSEC protects them"))
}

func join(addrs []netip.Addr) string {
	texts := make([]string, len(addrs))
	for i, a := range addrs {
		texts[i] = a.String()
	}
	return strings.Join(texts, ", ")
}

// RuleTLSRPT: nobody hears of failures.
var RuleTLSRPT = &connsec.Rule{
	ID: "smtp-tls-rpt", Title: "The mail domain does not ask for reports about TLS (TLS-RPT)",
	Why:      "Senders that could not deliver, or only without TLS, have nobody to tell: attacks and expired certificates go unnoticed.",
	Fix:      "Publish the TXT record _smtp._tls.DOMAIN with v=TLSRPTv1; rua=mailto:tls-reports@DOMAIN.",
	Severity: connsec.Info,
	Refs:     []connsec.Citation{rfc("8460", "3")}, Since: "0.1.0",
}

func judgeTLSRPT(p Policy) connsec.Verdict {
	if p.Problem != "" {
		return connsec.Unknown("%s", p.Problem)
	}
	if p.Report.Problem != "" {
		return connsec.Unknown("%s: %s", p.Report.Name, p.Report.Problem)
	}
	to, err := reportTo(p.Report.Records)
	switch {
	case err != nil:
		return connsec.Failed("%s: %s", p.Report.Name, err)
	case len(to) == 0:
		return connsec.Failed("there is no TXT record with v=TLSRPTv1 at %s", p.Report.Name)
	}
	return connsec.Passed("reports go to %s", strings.Join(to, ", "))
}
