package hostfw

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/setting"
)

var (
	nistFirewall = connsec.Citation{Doc: "NIST SP 800-41 Rev. 1", Section: "4", URL: "https://csrc.nist.gov/pubs/sp/800/41/r1/final"}
	// nistTCP has the sentence: policies of "deny by default" for TCP and UDP that come in.
	nistTCP    = connsec.Citation{Doc: nistFirewall.Doc, Section: "4.1.3", URL: nistFirewall.URL}
	cisServers = connsec.Citation{Doc: "CIS Controls v8", Section: "4.4", URL: "https://www.cisecurity.org/controls/secure-configuration-of-enterprise-assets-and-software"}
	nativeIPv6 = connsec.Citation{Doc: "RFC 7123", Section: "2", URL: "https://www.rfc-editor.org/rfc/rfc7123#section-2"}
	plainHTTP  = connsec.Citation{Doc: "RFC 6797", Section: "2.3.1", URL: "https://www.rfc-editor.org/rfc/rfc6797#section-2.3.1"}
)

// RuleDisabled fails if a host, or one profile of it, filters nothing.
var RuleDisabled = &connsec.Rule{
	ID:       "fw-disabled",
	Title:    "The firewall keeps nothing out",
	Why:      "Every service that listens, wanted or not, is reachable for everyone who can send packets to the host.",
	Fix:      "Switch the firewall on in every profile and load rules that let in what is needed: connsec firewall plan writes them.",
	Severity: connsec.Critical,
	Refs:     []connsec.Citation{cisServers, nistFirewall},
	Since:    "0.1.0",
}

// RuleDefaultAllow fails if what no rule names gets in.
var RuleDefaultAllow = &connsec.Rule{
	ID:       "fw-default-allow",
	Title:    "What no rule names gets in",
	Why:      "A list of what is forbidden is never complete: each new service is open from its first minute.",
	Fix:      "Let the default be to block (policy drop, DefaultInboundAction Block), and name what gets in; also by an interface that is trusted as a whole, such as a VPN's.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{nistTCP, cisServers},
	Since:    "0.1.0",
}

// RuleHTTPOpen fails if a port for pages without TLS is open.
var RuleHTTPOpen = &connsec.Rule{
	ID:       "fw-http-open",
	Title:    "A port for pages without TLS is open",
	Why:      "Passwords and sessions that go through it are read by anyone on the path, and a first request in the clear can be answered by somebody else.",
	Fix:      "Remove the rule that opens the port, and switch plain HTTP off in the product.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{plainHTTP},
	Since:    "0.1.0",
}

// RuleExtraPort fails if a port is open to somebody who is not meant to reach it.
var RuleExtraPort = &connsec.Rule{
	ID:       "fw-extra-port-open",
	Title:    "A port is open that the policy does not name",
	Why:      "Each open port is one more service to attack.",
	Fix:      "Remove the rule, restrict its sources, or name the service and its clients in the policy.",
	Severity: connsec.Medium,
	Refs:     []connsec.Citation{cisServers, nistFirewall},
	Since:    "0.1.0",
}

// RuleHTTPSBlocked fails if the port that is meant for everyone is not open to them.
var RuleHTTPSBlocked = &connsec.Rule{
	ID:       "fw-https-blocked",
	Title:    "The HTTPS port is not open to everyone",
	Why:      "Users cannot reach the server, and the way out that is found under pressure is to switch the firewall off.",
	Fix:      "Allow the port for TCP from everywhere, in every profile, and over IPv6, too, if the host is reached over it.",
	Severity: connsec.Medium,
	Refs:     []connsec.Citation{nistFirewall},
	Since:    "0.1.0",
}

// RuleManagementOpen fails if everyone may reach a port that administers the host.
var RuleManagementOpen = &connsec.Rule{
	ID:       "fw-any-source-management",
	Title:    "A port for administration is open to everyone",
	Why:      "Remote desktops, shells and databases are what password guessers and worms look for first.",
	Fix:      "Restrict the rule to the addresses of the administrators' network or jump host.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{cisServers, {Doc: "CISA StopRansomware Guide", Section: "Internet-Facing Vulnerabilities and Misconfigurations", URL: "https://www.cisa.gov/stopransomware/ransomware-guide"}},
	Since:    "0.1.0",
}

// RuleProfileGap fails if one profile lets in what another keeps out.
var RuleProfileGap = &connsec.Rule{
	ID:       "fw-profile-gap",
	Title:    "One profile lets in what another keeps out",
	Why:      "A server changes its profile when it cannot find its domain at boot, or is given another network: then other ports are open than anyone tested.",
	Fix:      "Give rules that are needed to all profiles, and remove the others from all.",
	Severity: connsec.Medium,
	Refs:     []connsec.Citation{{Doc: "Microsoft Learn, Windows Firewall overview", Section: "Firewall profiles", URL: "https://learn.microsoft.com/windows/security/operating-system-security/network-security/windows-firewall/"}},
	Since:    "0.1.0",
}

// RuleIPv6Gap fails if IPv6 lets in what IPv4 keeps out.
var RuleIPv6Gap = &connsec.Rule{
	ID:       "fw-ipv6-gap",
	Title:    "IPv6 lets in what IPv4 keeps out",
	Why:      "Hosts speak IPv6 without being asked to. A service that is closed over IPv4 is reachable all the same.",
	Fix:      "Write rules for both versions (table inet, ip6tables beside iptables), or switch IPv6 off on the host.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{nativeIPv6},
	Since:    "0.1.0",
}

// RuleSourcePort fails if packets get in because of the port that they come from.
var RuleSourcePort = &connsec.Rule{
	ID:       "fw-source-port-trusted",
	Title:    "Packets get in for the port that they come from",
	Why:      "A sender chooses its source port. Rules for answers of name servers (source port 53) or of FTP (20) open what they name to everyone who knows that.",
	Fix:      "Let connection tracking recognise answers (ct state established,related), and remove the rule.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{{Doc: "CVE-2003-1491", URL: "https://www.cve.org/CVERecord?id=CVE-2003-1491"}, {Doc: "Nmap Reference Guide", Section: "Firewall/IDS Evasion: --source-port", URL: "https://nmap.org/book/man-bypass-firewalls-ids.html"}},
	Since:    "0.1.0",
}

// Rules returns the rules of this package.
func Rules() []*connsec.Rule {
	return []*connsec.Rule{
		RuleDisabled, RuleDefaultAllow, RuleIPv6Gap, RuleProfileGap, RuleHTTPOpen, RuleManagementOpen, RuleSourcePort, RuleExtraPort, RuleHTTPSBlocked,
	}
}

// mostFindings bounds the findings of one rule about one host.
const mostFindings = 40

// Check judges a rule set by the policy.
func (p Policy) Check(r Ruleset) connsec.Report { return p.Judge(r.Evaluate()) }

// Judge judges what may come in by the policy.
func (p Policy) Judge(e Evaluation) connsec.Report {
	j := &judge{policy: p, e: e, findings: map[*connsec.Rule]*about{}, report: connsec.Report{Target: e.Target}}
	j.slices()
	j.disabled()
	j.versions()
	j.profiles()
	j.exposures()
	j.https()
	for _, rule := range Rules() {
		if a := j.findings[rule]; a != nil {
			j.report.Findings = append(j.report.Findings, a.list...)
			for _, o := range []connsec.Outcome{connsec.Fail, connsec.Inconclusive, connsec.Pass} {
				if n := a.left[o]; n > 0 {
					v := connsec.Failed("%d more of the same kind are not listed", n)
					v.Outcome = o
					j.report.Findings = append(j.report.Findings, finding(rule, e.Target, v))
				}
			}
		}
	}
	return j.report
}

// judge collects findings by rule.
type judge struct {
	policy   Policy
	e        Evaluation
	filtered []slice // in which something is kept out, and not everything let in by default
	// loose holds the protocols that a slice lets in by default.
	loose  map[slice][2]bool
	byKind map[slice]posture
	// classes are interfaces that have the same exposures.
	classes  []names
	opens    map[openQuestion][]span
	findings map[*connsec.Rule]*about
	report   connsec.Report
}

// about is the findings of one rule, and how many are not listed.
type about struct {
	list []connsec.Finding
	left map[connsec.Outcome]int
}

func (j *judge) add(r *connsec.Rule, subject string, v connsec.Verdict) {
	a := j.findings[r]
	if a == nil {
		a = &about{left: map[connsec.Outcome]int{}}
		j.findings[r] = a
	}
	if len(a.list) >= mostFindings {
		a.left[v.Outcome]++
		return
	}
	f := finding(r, j.e.Target, v)
	if subject != "" {
		f.Subject = j.e.Target + " " + subject
	}
	a.list = append(a.list, f)
}

// disabled judges what is let in without a rule. That only IPv6 is more open is for versions.
func (j *judge) disabled() {
	off, allowing, unsure := j.worse(open), j.worse(allows), j.worse(untold)
	// Where one interface keeps something out, the firewall is on.
	doubtful := slices.DeleteFunc(slices.Clone(unsure), func(s slice) bool {
		on := false
		for class := range j.classes {
			p := j.byKind[slice{s.side, class}]
			on = on || p == blocks || p == allows
		}
		return on
	})
	switch {
	case len(off) > 0:
		j.add(RuleDisabled, "", connsec.Failed("every packet gets in%s: no rule and no policy keeps any out%s", j.where(off), j.asFarAs()))
	case len(doubtful) > 0:
		j.add(RuleDisabled, "", connsec.Unknown("whether anything is kept out%s depends on %q", j.where(doubtful), j.unmodelled()))
	default:
		j.add(RuleDisabled, "", connsec.Passed("something is kept out"))
	}
	switch {
	case len(allowing) > 0:
		v := connsec.Failed("ports that no rule names are open%s, by %s%s", j.where(allowing), j.defaultRule(allowing[0]), j.asFarAs())
		if j.trusted(allowing) {
			v = v.As(connsec.Medium)
		}
		j.add(RuleDefaultAllow, "", v)
	case len(unsure) > 0:
		j.add(RuleDefaultAllow, "", connsec.Unknown("whether ports that no rule names are open%s depends on %q", j.where(unsure), j.unmodelled()))
	case len(j.of(blocks)) == 0:
		j.add(RuleDefaultAllow, "", connsec.Skipped("nothing is filtered"))
	case len(j.of(notCovered)) > 0:
		j.add(RuleDefaultAllow, "", j.half(j.of(notCovered)[0]))
	case len(j.of(open))+len(j.of(allows))+len(j.of(untold)) > 0:
		elsewhere := slices.Concat(j.of(open), j.of(allows), j.of(untold))
		j.add(RuleDefaultAllow, "", connsec.Skipped("not known to be closed%s; see %s and %s", j.where(elsewhere), RuleDisabled.ID, RuleIPv6Gap.ID))
	default:
		j.add(RuleDefaultAllow, "", connsec.Passed("ports that no rule names are closed"))
	}
}

// asFarAs says what an export may leave out that keeps more out.
func (j *judge) asFarAs() string {
	if j.e.Kind != KindIPTables {
		return ""
	}
	return " (of what iptables has; firewalld and others have tables that only nft -j list ruleset shows)"
}

// trusted reports whether slices are interfaces that are trusted as a whole, such as a VPN's, beside
// others that filter and are in use, too: they let something in. A host that lets nothing in but
// through these has no other network than the trusted one.
func (j *judge) trusted(allowing []slice) bool {
	for _, a := range allowing {
		beside := false
		for class := range j.classes {
			s := slice{a.side, class}
			beside = beside || j.byKind[s] == blocks && (len(j.openPorts(s, TCP, false)) > 0 || len(j.openPorts(s, UDP, false)) > 0)
		}
		if !beside {
			return false
		}
	}
	return true
}

// isTrusted reports whether a slice is such an interface.
func (j *judge) isTrusted(s slice) bool { return j.byKind[s] == allows && j.trusted([]slice{s}) }

// half is the verdict on a host of which the export shows one IP version: nothing of that one is
// wrong, and that says nothing about the other.
func (j *judge) half(missing slice) connsec.Verdict {
	version := "IPv6"
	if missing.v4 {
		version = "IPv4"
	}
	return connsec.Unknown("nothing is known about %s: %s", version, j.reason(missing.v4))
}

// unmodelled is the expression that most packets hang on.
func (j *judge) unmodelled() string {
	most, out := 0, ""
	for i := range j.e.Exposures {
		if x := &j.e.Exposures[i]; x.Action == Unknown {
			if n := int(x.Ports.Last) - int(x.Ports.First) + 1; n > most {
				most, out = n, x.Unmodelled
			}
		}
	}
	return out
}

// defaultRule is what lets the ports in that no rule names.
func (j *judge) defaultRule(s slice) string {
	most, out := 0, "a rule"
	for i := range j.e.Exposures {
		x := &j.e.Exposures[i]
		if n := int(x.Ports.Last) - int(x.Ports.First) + 1; n > most && x.Action == Accept && j.in(x, s) {
			most, out = n, x.By
		}
	}
	return out
}

// versions judges IPv6 beside IPv4.
func (j *judge) versions() {
	if missing := j.of(notCovered); len(missing) > 0 {
		j.add(RuleIPv6Gap, "", j.half(missing[0]))
		return
	}
	judged, wider := false, false
	j.all(func(six slice) {
		if six.v4 {
			return
		}
		four := slice{side{true, six.profile}, six.through}
		switch a, b := j.byKind[four], j.byKind[six]; {
		case a == open || a == untold:
		case b == untold:
			judged, wider = true, true
			j.add(RuleIPv6Gap, "", connsec.Unknown("what gets in over IPv6%s depends on %q", j.throughText([]int{six.through}), j.unmodelled()))
		case j.isLoose(six, TCP) && !j.isLoose(four, TCP), j.isLoose(six, UDP) && !j.isLoose(four, UDP):
			judged, wider = true, true
			j.add(RuleIPv6Gap, "", connsec.Failed("IPv4 is filtered%s%s, but over IPv6 ports that no rule names are open", profileList([]string{six.profile}), j.throughText([]int{six.through})))
		case a == allows:
		default:
			judged = true
			for _, gap := range j.gaps(six, four, true) {
				wider = true
				j.add(RuleIPv6Gap, gap.subject(), connsec.Failed("open over IPv6 and not over IPv4: %s", gap))
			}
			if x := j.doubtfulGap6(six, four); x != nil && !wider {
				wider = true
				j.add(RuleIPv6Gap, x.subject(), connsec.Unknown("whether %s %s is open over one IP version alone depends on %q", x.Protocol, x.Ports, x.Unmodelled))
			}
		}
	})
	switch {
	case !judged:
		j.add(RuleIPv6Gap, "", connsec.Skipped("IPv4 is not known to keep out what no rule names"))
	case !wider:
		j.add(RuleIPv6Gap, "", connsec.Passed("IPv6 lets in nothing that IPv4 keeps out"))
	}
}

func (j *judge) reason(v4 bool) string {
	for i := range j.e.Exposures {
		if x := &j.e.Exposures[i]; x.Action == Unknown && x.sources(v4) != nil {
			return x.Unmodelled
		}
	}
	return "the export does not show it"
}

// gaps are the exposures of one slice whose ports are not open in the other, or that are open to
// everyone there and only to some in the other. With everyone, no others count.
func (j *judge) gaps(in, notIn slice, everyone bool) []Exposure {
	var out []Exposure
	for i := range j.e.Exposures {
		x := j.e.Exposures[i]
		if x.Action != Accept || !j.in(&x, in) || j.loose[in][x.Protocol] || j.loose[notIn][x.Protocol] || everyone && (x.SourcePorts != nil || answersDHCP(x)) {
			continue
		}
		ports := portSpans(portSet{x.Ports})
		var toAll []span
		if x.SourcePorts == nil {
			toAll = intersect(ports, j.openPorts(in, x.Protocol, false))
		}
		rest := subtract(toAll, j.openPorts(notIn, x.Protocol, true))
		if !everyone {
			toSome := subtract(ports, toAll)
			for k := range j.e.Exposures {
				if y := &j.e.Exposures[k]; len(toSome) > 0 && y.Protocol == x.Protocol && j.in(y, notIn) {
					toSome = subtract(toSome, portSpans(portSet{y.Ports}))
				}
			}
			rest = union(rest, toSome)
		}
		for _, r := range portRanges(rest) {
			x.Ports = r
			out = append(out, x)
		}
	}
	return out
}

func (x Exposure) subject() string { return fmt.Sprintf("%s/%s", x.Ports, x.Protocol) }

// profiles judges the profiles beside each other.
func (j *judge) profiles() {
	if len(j.e.profiles) < 2 {
		j.add(RuleProfileGap, "", connsec.Skipped("this firewall has no profiles"))
		return
	}
	seen := map[string]bool{}
	for _, a := range j.filtered {
		for _, b := range j.filtered {
			if a.v4 != b.v4 || a.profile == b.profile || a.through != b.through {
				continue
			}
			for _, gap := range j.gaps(a, b, false) {
				to := ""
				if gap.SourcePorts == nil && overlap(portSpans(portSet{gap.Ports}), j.openPorts(a, gap.Protocol, false)) {
					to = " to everyone"
				}
				text := fmt.Sprintf("open%s in profile %s and not in %s: %s %s, by %s", to, a.profile, b.profile, gap.Protocol, gap.Ports, gap.By)
				if !seen[text] {
					seen[text] = true
					j.add(RuleProfileGap, gap.subject(), connsec.Failed("%s", text))
				}
			}
		}
	}
	unsure, differ := false, false
	j.all(func(s slice) {
		a := j.byKind[s]
		unsure = unsure || a == untold
		for _, profile := range j.e.profiles {
			b := j.byKind[slice{side{s.v4, profile}, s.through}]
			differ = differ || a == open && (b == blocks || b == allows) || a == allows && b == blocks
		}
	})
	switch {
	case len(seen) > 0:
	case unsure:
		j.add(RuleProfileGap, "", connsec.Unknown("what gets in depends on %q", j.unmodelled()))
	case differ:
		j.add(RuleProfileGap, "", connsec.Failed("some profiles block what no rule names, and others let it in"))
	case j.doubtfulGap() != nil:
		x := j.doubtfulGap()
		j.add(RuleProfileGap, x.subject(), connsec.Unknown("whether %s %s is open in the profile %s alone depends on %q", x.Protocol, x.Ports, strings.Join(x.Profiles, ", "), x.Unmodelled))
	case len(j.filtered) == 0:
		j.add(RuleProfileGap, "", connsec.Skipped("no profile filters"))
	default:
		j.add(RuleProfileGap, "", connsec.Passed("all profiles let in the same ports"))
	}
}

// doubtfulGap is an exposure of some profiles of which nobody can tell whether it is one.
func (j *judge) doubtfulGap() *Exposure {
	for i := range j.e.Exposures {
		x := &j.e.Exposures[i]
		if x.Action == Unknown && x.Profiles != nil && slices.ContainsFunc(j.filtered, func(s slice) bool { return j.in(x, s) }) {
			return x
		}
	}
	return nil
}

// doubtfulGap6 is an exposure of which nobody can tell whether it makes IPv6 more open to everyone
// than IPv4. What hangs on one expression over both does not, unless IPv6 is open without it.
func (j *judge) doubtfulGap6(six, four slice) *Exposure {
	for i := range j.e.Exposures {
		x := &j.e.Exposures[i]
		in6, in4 := j.in(x, six), j.in(x, four)
		if x.Action != Unknown || !in6 && !in4 || answersDHCP(*x) {
			continue
		}
		wider := subtract(j.openPorts(six, x.Protocol, in6 && !in4), j.openPorts(four, x.Protocol, false))
		if overlap(wider, portSpans(portSet{x.Ports})) {
			return x
		}
	}
	return nil
}

// exposures judges each open port of what is filtered: what is open by default has been reported.
func (j *judge) exposures() {
	reported := map[*connsec.Rule]bool{}
	report := func(r *connsec.Rule, x Exposure, v connsec.Verdict) {
		reported[r] = true
		j.add(r, x.subject(), v.With("exposure", x))
	}
	for i := range j.e.Exposures {
		x := j.e.Exposures[i]
		if !slices.ContainsFunc(j.filtered, func(s slice) bool { return j.in(&x, s) && !j.loose[s][x.Protocol] }) {
			continue
		}
		for _, part := range j.split(x) {
			x, port := part.Exposure, part.Ports.First
			rule, what := RuleExtraPort, ""
			switch {
			case part.unwanted && answersDHCP(x):
				continue
			case x.SourcePorts != nil && part.unwanted:
				rule = RuleSourcePort
			case part.special && x.Protocol == TCP && slices.Contains(j.policy.http(), port):
				rule = RuleHTTPOpen
				if !part.unwanted {
					continue
				}
			case part.special && x.Protocol == TCP && (x.everyone() || part.unwanted && j.toEveryone(&x, port)):
				rule, what = RuleManagementOpen, " ("+management[port]+")"
				if !x.everyone() {
					what += ", and by other rules to everyone else"
				}
			case !part.unwanted:
				continue
			}
			switch {
			case x.Action == Unknown:
				report(rule, x, connsec.Unknown("whether %s %s is open depends on %q", x.Protocol, x.Ports, x.Unmodelled))
			case rule == RuleSourcePort:
				report(rule, x, connsec.Failed("open to whoever sends from the port %s: %s", fmtList(x.SourcePorts), x))
			default:
				report(rule, x, connsec.Failed("open: %s%s", x, what))
			}
		}
	}
	for _, r := range []struct {
		rule *connsec.Rule
		good string
		udp  bool // it is about UDP, too
	}{
		{RuleHTTPOpen, "no port for pages without TLS is open", false}, {RuleManagementOpen, "no port for administration is open to everyone", false},
		{RuleSourcePort, "no packet gets in for the port that it comes from", true}, {RuleExtraPort, "no port is open that the policy does not name", true},
	} {
		unsure := j.of(untold)
		unknown := j.of(notCovered)
		loose := slices.DeleteFunc(slices.Concat(j.of(open), j.of(allows)), func(s slice) bool { return !j.isLoose(s, TCP) && !(r.udp && j.isLoose(s, UDP)) })
		switch {
		case reported[r.rule]:
		case len(unsure) > 0:
			j.add(r.rule, "", connsec.Unknown("what gets in over %s depends on %q", j.name(unsure[0]), j.unmodelled()))
		case len(j.filtered) == 0:
			j.add(r.rule, "", connsec.Skipped("everything is open by default"))
		case len(loose) > 0:
			j.add(r.rule, "", connsec.Skipped("ports are open by default%s", j.where(loose)))
		case len(unknown) > 0:
			j.add(r.rule, "", j.half(unknown[0]))
		default:
			j.add(r.rule, "", connsec.Passed("%s", r.good))
		}
	}
}

// answersDHCP reports whether an exposure is what a client of DHCP needs: its server answers from a
// fixed port, and perhaps before there is an address (RFC 2131 §4.1, RFC 8415 §7.2). Over IPv6 it
// answers to the client's link-local address, which nobody beyond the link can send to.
func answersDHCP(x Exposure) bool {
	only := func(ports PortRange, port uint16) bool { return ports == PortRange{port, port} }
	if x.Protocol != UDP || len(x.SourcePorts) > 1 {
		return false
	}
	if x.SourcePorts == nil {
		return only(x.Ports, 546) && x.Destinations != nil && !slices.ContainsFunc(x.Destinations, func(p netip.Prefix) bool {
			return !p.Addr().IsLinkLocalUnicast() || p.Addr().Is4() || p.Bits() < 10
		})
	}
	return only(x.Ports, 68) && only(x.SourcePorts[0], 67) || only(x.Ports, 546) && only(x.SourcePorts[0], 547)
}

// exposurePart is ports of an exposure that one rule is about.
type exposurePart struct {
	Exposure
	special  bool // one port of pages without TLS or for administration
	unwanted bool // open to somebody whom the policy does not name
}

// split takes an exposure apart: ports that the policy or a rule names stand for themselves.
func (j *judge) split(x Exposure) []exposurePart {
	alone := map[uint16]bool{}
	inside := func(p uint16) bool { return x.Ports.First <= p && p <= x.Ports.Last }
	if x.Protocol == TCP {
		for p := range management {
			alone[p] = inside(p)
		}
		for _, p := range slices.Concat(j.policy.http(), j.policy.https()) {
			alone[p] = inside(p)
		}
	}
	for _, s := range j.policy.Services {
		if s.Protocol == x.Protocol {
			alone[s.Port] = inside(s.Port)
		}
	}
	var named []PortRange
	for p, in := range alone {
		if in {
			named = append(named, PortRange{p, p})
		}
	}
	var out []exposurePart
	rest := portSpans(portSet{x.Ports})
	for _, r := range named {
		one := x
		one.Ports = r
		rest = subtract(rest, portSpans(portSet{r}))
		_, isManagement := management[r.First]
		part := exposurePart{Exposure: one, special: x.Protocol == TCP && (isManagement || slices.Contains(j.policy.http(), r.First))}
		for _, v4 := range []bool{true, false} {
			part.unwanted = part.unwanted || !contains(j.policy.allowed(x.Protocol, r.First, v4), x.sources(v4))
		}
		if x.Protocol == TCP && slices.Contains(j.policy.https(), r.First) {
			part.special = false
		}
		out = append(out, part)
	}
	for _, r := range portRanges(rest) {
		one := x
		one.Ports = r
		out = append(out, exposurePart{Exposure: one, unwanted: true})
	}
	slices.SortFunc(out, func(a, b exposurePart) int { return int(a.Ports.First) - int(b.Ports.First) })
	return out
}

// https judges whether everyone reaches what is meant for everyone. One IP version will do, unless the
// other one lets everyone in elsewhere: then the host is reached over both, and half of its users
// stand at a closed door. An interface that is trusted as a whole is not where everyone comes from, as
// long as others are in use.
func (j *judge) https() {
	for _, port := range j.policy.https() {
		for _, profile := range j.e.profiles {
			if v, told := j.httpsIn(port, profile); told {
				j.add(RuleHTTPSBlocked, fmt.Sprintf("%d/tcp", port), v)
			}
		}
	}
}

// httpsIn judges one port in one profile, if the export says anything about it.
func (j *judge) httpsIn(port uint16, profile string) (v connsec.Verdict, told bool) {
	where := profileList([]string{profile})
	var open [2][]slice // by IP version
	var trusted []slice
	var unknown [2]bool
	var partial, unmodelled string
	for version, v4 := range []bool{true, false} {
		told = told || j.e.covered[v4]
		for class := range j.classes {
			switch s := (slice{side{v4, profile}, class}); {
			case !contains(j.openPorts(s, TCP, false), one(port)):
			case j.isTrusted(s):
				trusted = append(trusted, s)
			default:
				open[version] = append(open[version], s)
			}
		}
		for i := range j.e.Exposures {
			x := &j.e.Exposures[i]
			switch {
			case !x.in(side{v4, profile}) || x.Protocol != TCP || port < x.Ports.First || port > x.Ports.Last || x.SourcePorts != nil:
			case x.Action == Unknown:
				unknown[version], unmodelled = true, x.Unmodelled
			default:
				partial = x.String()
			}
		}
	}
	have, lacks := 0, 1
	if open[0] == nil {
		have, lacks = 1, 0
	}
	names := [2]string{"IPv4", "IPv6"}
	elsewhere := j.otherPort(side{lacks == 0, profile})
	switch {
	case open[0] != nil && open[1] != nil:
		return connsec.Passed("port %d is open to everyone%s", port, j.where(slices.Concat(open[0], open[1]))), true
	case open[have] == nil && (unknown[0] || unknown[1]):
		return connsec.Unknown("whether port %d is open%s depends on %q", port, where, unmodelled), true
	case open[have] == nil && trusted != nil:
		return connsec.Failed("port %d is open only%s, where ports are open by default, and not where others come in", port, j.where(trusted)), true
	case open[have] == nil && partial != "":
		return connsec.Failed("port %d is not open to everyone%s, only: %s", port, where, partial), true
	case open[have] == nil:
		return connsec.Failed("port %d is closed%s", port, where), told
	}
	at := j.where(open[have])
	switch {
	case !j.e.covered[lacks == 0]:
		return connsec.Passed("port %d is open to everyone over %s%s; nothing is known about %s", port, names[have], at, names[lacks]), true
	case elsewhere == "":
		return connsec.Passed("port %d is open to everyone%s, and over %s no port is", port, at, names[lacks]), true
	case unknown[lacks]:
		return connsec.Unknown("port %d is open to everyone%s; whether over %s, where %s is open, depends on %q", port, at, names[lacks], elsewhere, unmodelled), true
	}
	v = connsec.Failed("port %d is open to everyone%s, but not over %s, where %s is", port, at, names[lacks], elsewhere)
	if lacks == 1 {
		// Clients that have both go back to IPv4 (RFC 8305).
		v = v.As(connsec.Low)
	}
	return v, true
}

// otherPort is a port that a side lets everyone reach, or "".
func (j *judge) otherPort(s side) string {
	for class := range j.classes {
		if j.isTrusted(slice{s, class}) {
			continue
		}
		for _, p := range []Protocol{TCP, UDP} {
			if open := portRanges(j.openPorts(slice{s, class}, p, false)); len(open) > 0 {
				return fmt.Sprintf("%s %s", p, open[0])
			}
		}
	}
	return ""
}

// judgeOutside judges what a probe saw.
func (p Policy) judgeOutside(o Observation, from netip.Addr) []connsec.Finding {
	if !from.IsValid() {
		from = o.Source
	}
	var out []connsec.Finding
	add := func(r *connsec.Rule, port uint16, v connsec.Verdict) {
		out = append(out, finding(r, fmt.Sprintf("%s %d/tcp", setting.OneLine(o.Host), port), v))
	}
	allowed := func(port uint16) bool {
		if slices.Contains(p.https(), port) {
			return true
		}
		return from.IsValid() && contains(p.allowed(TCP, port, from.Is4()), []span{{number(from), number(from)}})
	}
	for _, s := range o.Ports {
		isHTTPS := slices.Contains(p.https(), s.Port)
		rule := RuleExtraPort
		switch _, isManagement := management[s.Port]; {
		case isHTTPS:
			rule = RuleHTTPSBlocked
		case slices.Contains(p.http(), s.Port):
			rule = RuleHTTPOpen
		case isManagement && !from.IsPrivate() && from.IsValid():
			rule = RuleManagementOpen
		}
		switch {
		case s.State == Untold:
			add(rule, s.Port, connsec.Unknown("port %d could not be asked: %s", s.Port, s.Reason))
		case isHTTPS && s.State == Open:
			add(rule, s.Port, connsec.Passed("port %d is open", s.Port))
		case isHTTPS && s.State == Refused:
			add(rule, s.Port, connsec.Unknown("port %d refuses connections: nothing listens, or a filter rejects", s.Port))
		case isHTTPS:
			add(rule, s.Port, connsec.Failed("port %d is filtered on the way from here: %s", s.Port, s.State))
		case s.State != Open:
			add(rule, s.Port, connsec.Passed("port %d is not open: %s", s.Port, s.State))
		case allowed(s.Port):
			add(rule, s.Port, connsec.Passed("port %d is open to this address, as the policy says", s.Port))
		default:
			add(rule, s.Port, connsec.Failed("port %d is open to this address, and the policy does not say so", s.Port))
		}
	}
	for _, service := range p.Services {
		if service.Protocol == UDP {
			out = append(out, finding(RuleExtraPort, fmt.Sprintf("%s %d/udp", setting.OneLine(o.Host), service.Port),
				connsec.Unknown("port %d of UDP cannot be asked from outside: no answer says nothing", service.Port)))
		}
	}
	return out
}
