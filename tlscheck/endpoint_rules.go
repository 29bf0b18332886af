package tlscheck

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/tlswire"
)

// Judge applies all tls-* and cert-* rules to each address. Addresses with the same findings
// are reported once, under the observation's subject; where they differ, the subject names the
// addresses.
func (o Observation) Judge() connsec.Report {
	addresses := slices.Clone(o.Addresses)
	for i, a := range addresses {
		if a.Chain != nil && !o.AsOf.IsZero() {
			chain := *a.Chain
			chain.At = o.AsOf
			addresses[i].Chain = &chain
		}
	}
	return connsec.Report{Target: o.Subject, At: o.At, Duration: o.Duration, Findings: JudgeAddresses(o.Subject, addresses, AddressObservation.address, endpointChecks)}
}

func (a AddressObservation) address() netip.Addr { return a.Address.Addr() }

// JudgeAddresses runs checks on what was seen at each address of one name; at says which address
// that is. Addresses that come out the same are reported once, under the subject, so that a name
// with an IPv4 and an IPv6 address on one machine does not fill two pages; where they differ, the
// subjects name the addresses. An invalid address stands for those that were too many to look at.
// Other protocols use it for their own observations.
func JudgeAddresses[T any](subject string, seen []T, at func(T) netip.Addr, checks []connsec.Check[T]) []connsec.Finding {
	type group struct {
		addresses []string
		findings  []connsec.Finding
	}
	var groups []*group
	for _, a := range seen {
		findings := connsec.Run(subject, a, checks)
		i := slices.IndexFunc(groups, func(g *group) bool { return sameFindings(g.findings, findings) })
		if i < 0 {
			i = len(groups)
			groups = append(groups, &group{findings: findings})
		}
		where := "others"
		if addr := at(a); addr.IsValid() {
			where = addr.String()
		}
		groups[i].addresses = append(groups[i].addresses, where)
	}
	var out []connsec.Finding
	for _, g := range groups {
		if len(groups) > 1 {
			for i := range g.findings {
				g.findings[i].Subject = fmt.Sprintf("%s [%s]", subject, strings.Join(g.addresses, ", "))
			}
		}
		out = append(out, g.findings...)
	}
	return out
}

func sameFindings(a, b []connsec.Finding) bool {
	return slices.EqualFunc(a, b, func(x, y connsec.Finding) bool {
		return x.Rule == y.Rule && x.Outcome == y.Outcome && x.Severity == y.Severity && x.Detail == y.Detail && slices.Equal(x.Evidence, y.Evidence)
	})
}

// endpointChecks are the TLS checks followed by the certificate checks on the address's chain.
var endpointChecks = append([]connsec.Check[AddressObservation]{
	{Rule: RuleHandshakeFailed, Judge: judgeHandshake},
	{Rule: RuleVersionLegacy, Judge: judgeVersionLegacy},
	{Rule: RuleVersion13Missing, Judge: judgeVersion13},
	{Rule: RuleCipherWeak, Judge: judgeCipherWeak},
	{Rule: RuleGroupClassical, Judge: judgeGroup},
}, onChain(certChecks)...)

func onChain(checks []connsec.Check[ChainObservation]) []connsec.Check[AddressObservation] {
	out := make([]connsec.Check[AddressObservation], len(checks))
	for i, c := range checks {
		out[i] = connsec.Check[AddressObservation]{Rule: c.Rule, Judge: func(a AddressObservation) connsec.Verdict {
			if a.Chain == nil {
				return connsec.Skipped("no certificate was seen, see %s", RuleHandshakeFailed.ID)
			}
			return c.Judge(*a.Chain)
		}}
	}
	return out
}

// RuleHandshakeFailed: everything else about TLS needs a handshake.
var RuleHandshakeFailed = &connsec.Rule{
	ID: "tls-handshake-failed", Title: "The server does not complete a TLS handshake",
	Why:      "Clients that insist on TLS cannot connect; those that do not insist talk in clear.",
	Fix:      "Give the server a certificate with its private key, enable TLS on this port, and check that something listens there.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{myqCertificate, rfc("8446", "4")}, Since: "0.1.0",
}

func judgeHandshake(a AddressObservation) connsec.Verdict {
	p := a.HandshakeProblem
	switch {
	case a.Unreachable.Kind == Closed || a.Unreachable.Kind == NotTLS || a.Unreachable.Kind == Alert:
		return connsec.Failed("before TLS: %s", a.Unreachable.Text)
	case a.Unreachable != (Problem{}):
		return connsec.Unknown("could not connect: %s", a.Unreachable.Text).With("problem", a.Unreachable.Kind)
	case a.Handshake != nil && p == (Problem{}):
		return connsec.Passed("%s with %s", tls.VersionName(a.Handshake.Version), tlswire.SuiteName(a.Handshake.Suite))
	case a.Handshake != nil && a.Handshake.WantsClient:
		return connsec.Passed("the server asks for a client certificate and refuses to go on without")
	case strings.Contains(p.Text, "failed to parse certificate"), strings.Contains(p.Text, "RSA key larger than"):
		// crypto/tls knows neither every curve nor every mistake that other clients pardon, and
		// takes RSA keys of up to 8192 bits only.
		return connsec.Unknown("the server presents a certificate that cannot be read here: %s", p.Text).With("problem", p.Kind)
	case p.Kind == Timeout:
		return connsec.Unknown("the port is open, but the server does not answer the handshake in time").With("problem", p.Kind)
	case a.Widest != nil && a.Widest.Version >= tls.VersionTLS12 && gradeOf(a.Widest.Suite) == 0:
		v := connsec.Unknown("%s; but it takes an offer with %s and kinds of certificate that are not known here, as some clients make it", p.Text, tlswire.SuiteName(a.Widest.Suite)).
			With("problem", p.Kind)
		if a.WidestKey != "" {
			v.Detail += "; its certificate has a key of the kind " + a.WidestKey + ", which most clients do not take"
		}
		return v
	case p.proves():
		v := connsec.Failed("%s", p.Text).With("problem", p.Kind)
		if accepted := append(slices.Clone(a.WeakSuites.Accepted), a.LegacyVersions.Accepted...); len(accepted) > 0 {
			v.Detail = "the server accepts only what no current client offers, such as " + tlswire.SuiteName(accepted[0].Suite)
		}
		return v
	}
	return connsec.Failed("%s", p.Text).With("problem", p.Kind)
}

// speaksTLS reports whether the server took any offer: only then does its refusal of another
// say something about that offer.
func (a AddressObservation) speaksTLS() bool {
	return a.Handshake != nil || len(a.WeakSuites.Accepted)+len(a.LegacyVersions.Accepted) > 0
}

// RuleVersionLegacy: SSL 3.0, TLS 1.0 and TLS 1.1 are refused.
var RuleVersionLegacy = &connsec.Rule{
	ID: "tls-version-legacy", Title: "The server accepts TLS 1.1 or older",
	Why:      "These versions rest on MD5 and SHA-1 and allow known attacks; an attacker on the path can try to steer old clients to them.",
	Fix:      "Set the server's minimum version to TLS 1.2, better 1.3.",
	Severity: connsec.Critical,
	Refs:     []connsec.Citation{rfc("8996", "4"), {Doc: "NIST SP 800-52r2", Section: "3.1", URL: "https://doi.org/10.6028/NIST.SP.800-52r2"}, mozilla}, Since: "0.1.0",
}

func judgeVersionLegacy(a AddressObservation) connsec.Verdict {
	var versions []string
	if a.Handshake != nil && a.Handshake.Version < tls.VersionTLS12 {
		versions = append(versions, tlswire.VersionName(a.Handshake.Version))
	}
	for _, s := range a.LegacyVersions.Accepted {
		if name := tlswire.VersionName(s.Version); s.Version < tls.VersionTLS12 && !slices.Contains(versions, name) {
			versions = append(versions, name)
		}
	}
	switch {
	case len(versions) > 0:
		return connsec.Failed("the server accepts %s", strings.Join(versions, " and ")).With("versions", strings.Join(versions, ", "))
	case !a.speaksTLS():
		return connsec.Skipped("no handshake, see %s", RuleHandshakeFailed.ID)
	case !a.LegacyVersions.Done:
		return connsec.Unknown("the offer of TLS 1.1 was neither accepted nor refused: %s", a.LegacyVersions.Problem.Text)
	}
	return connsec.Passed("TLS 1.1 and older are refused")
}

// RuleVersion13Missing: TLS 1.3 is what current guidelines start from.
var RuleVersion13Missing = &connsec.Rule{
	ID: "tls-version-13-missing", Title: "The server does not offer TLS 1.3",
	Why:      "TLS 1.3 hides the certificate from onlookers, always has forward secrecy, and is the only version with post-quantum key exchange.",
	Fix:      "Enable TLS 1.3; for Windows that takes Server 2022 or later.",
	Severity: connsec.Medium,
	Refs:     []connsec.Citation{mozilla, rfc("9325", "3.1.1"), {Doc: "NIST SP 800-52r2", Section: "3.1", URL: "https://doi.org/10.6028/NIST.SP.800-52r2"}}, Since: "0.1.0",
	DependsOn: []*connsec.Rule{RuleHandshakeFailed},
}

func judgeVersion13(a AddressObservation) connsec.Verdict {
	if a.Handshake.Version < tls.VersionTLS13 {
		return connsec.Failed("offered TLS 1.3, the server chose %s", tlswire.VersionName(a.Handshake.Version))
	}
	return connsec.Passed("TLS 1.3 was negotiated")
}

// RuleCipherWeak: below Mozilla's intermediate profile.
var RuleCipherWeak = &connsec.Rule{
	ID: "tls-cipher-weak", Title: "The server accepts a weak cipher suite",
	Why:      "Without forward secrecy a recorded connection can be read when the key leaks; CBC, RC4 and 3DES have practical attacks; NULL and anonymous suites protect nothing.",
	Fix:      "Allow only ECDHE suites with AES-GCM or ChaCha20-Poly1305 (Mozilla's intermediate profile).",
	Severity: connsec.High,
	Refs:     []connsec.Citation{mozilla, rfc("9325", "4.1"), rfc("7465", "2")}, Since: "0.1.0",
}

func judgeCipherWeak(a AddressObservation) connsec.Verdict {
	accepted := slices.Concat(a.WeakSuites.Accepted, a.LegacyVersions.Accepted)
	if a.Handshake != nil && a.Handshake.Version <= tls.VersionTLS12 {
		accepted = append(accepted, Selection{a.Handshake.Version, a.Handshake.Suite})
	}
	worst, names := 0, []string(nil)
	var text string
	for _, s := range accepted {
		grade := gradeOf(s.Suite)
		if name := tlswire.SuiteName(s.Suite); grade > 0 && !slices.Contains(names, name) {
			names = append(names, name)
		}
		if grade > worst {
			worst = grade
			text = fmt.Sprintf("the server accepts %s (%s)", tlswire.SuiteName(s.Suite), weakness(s.Suite))
		}
	}
	switch {
	case worst > 0:
		return connsec.Failed("%s", text).As(suiteSeverity[worst]).With("suites", strings.Join(names, ", "))
	case !a.speaksTLS():
		return connsec.Skipped("no handshake, see %s", RuleHandshakeFailed.ID)
	case !a.WeakSuites.Done:
		return connsec.Unknown("the offer of weak suites was neither accepted nor refused: %s", a.WeakSuites.Problem.Text)
	}
	return connsec.Passed("every suite below Mozilla's intermediate profile is refused")
}

// RuleGroupClassical: recorded traffic can be read once a quantum computer exists.
var RuleGroupClassical = &connsec.Rule{
	ID: "tls-group-classical", Title: "Key exchange is not post-quantum",
	Why:      "Traffic that is recorded today can be read the day a large quantum computer exists.",
	Fix:      "Update the TLS library to one with X25519MLKEM768 (OpenSSL 3.5, Go 1.24, current browsers have it) and put that group first.",
	Severity: connsec.Low,
	Refs:     []connsec.Citation{mozilla, {Doc: "draft-ietf-tls-ecdhe-mlkem", URL: "https://datatracker.ietf.org/doc/draft-ietf-tls-ecdhe-mlkem/"}}, Since: "0.1.0",
	DependsOn: []*connsec.Rule{RuleHandshakeFailed, RuleVersion13Missing},
}

func judgeGroup(a AddressObservation) connsec.Verdict {
	group := tls.CurveID(a.Handshake.Group)
	switch group {
	case 0:
		return connsec.Unknown("the group was not reported")
	case tls.X25519MLKEM768, tls.SecP256r1MLKEM768, tls.SecP384r1MLKEM1024:
		return connsec.Passed("%s", tlswire.GroupName(uint16(group))).With("group", tlswire.GroupName(uint16(group)))
	}
	return connsec.Failed("offered X25519MLKEM768 first, the server chose %s", tlswire.GroupName(uint16(group))).With("group", tlswire.GroupName(uint16(group)))
}
