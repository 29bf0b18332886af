package tlscheck

import (
	"slices"
	"strings"
	"unicode"

	"github.com/connsec/connsec"
	"golang.org/x/net/idna"
)

func (n *nameText) report() connsec.Report {
	subject := n.shown
	if subject == "" {
		subject = "(empty)"
	}
	return connsec.Report{Target: subject, Findings: connsec.Run(subject, n, nameChecks)}
}

var nameChecks = []connsec.Check[*nameText]{
	{Rule: RuleIPLiteral, Judge: judgeIPLiteral},
	{Rule: RuleLegacyIPv4, Judge: judgeLegacyIPv4},
	{Rule: RuleExtraParts, Judge: judgeExtraParts},
	{Rule: RuleNameSyntax, Judge: judgeNameSyntax},
	{Rule: RuleSingleLabel, Judge: onName(judgeSingleLabel)},
	{Rule: RuleSpecialUse, Judge: onName(judgeSpecialUse)},
	{Rule: RuleNotASCII, Judge: onName(judgeNotASCII)},
	{Rule: RuleMixedScript, Judge: onName(judgeMixedScript)},
}

// onName keeps judges away from what is not a name at all. A name with a mistake in one label
// still has a last label and scripts that can be judged.
func onName(judge func(*nameText) connsec.Verdict) func(*nameText) connsec.Verdict {
	return func(n *nameText) connsec.Verdict {
		switch {
		case n.isAddress():
			return connsec.Skipped("this is an address, not a name")
		case strings.Trim(n.ascii, ".") == "":
			return connsec.Skipped("there is no name")
		}
		return judge(n)
	}
}

// RuleIPLiteral: an address proves nothing about who answers.
var RuleIPLiteral = &connsec.Rule{
	ID: "name-ip-literal", Title: "The host is given as an IP address",
	Why:      "Certificates are issued for DNS names, so a client that connects to an address has nothing to verify: it is refused, or its checks get switched off. Kerberos falls back to NTLM.",
	Fix:      "Enter the server's fully qualified DNS name, the one that its certificate lists.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{myqNames, rfc("9525", "6.4")}, Since: "0.1.0",
}

func judgeIPLiteral(n *nameText) connsec.Verdict {
	if !n.addr.IsValid() {
		return connsec.Passed("this is not an IP address")
	}
	kind := "IPv6"
	if n.addr.Is4() {
		kind = "IPv4"
	}
	v := connsec.Failed("this is the %s address %s", kind, n.addr)
	if zone := n.addr.Zone(); zone != "" {
		v.Detail = "this is the " + kind + " address " + n.addr.WithZone("").String() + " with zone " + clip(printable(zone))
	}
	return v
}

// RuleLegacyIPv4: addresses that do not look like addresses.
var RuleLegacyIPv4 = &connsec.Rule{
	ID: "name-legacy-ipv4", Title: "The host is an IPv4 address in a legacy spelling",
	Why:      "Resolvers and browsers read such texts as an address, some as octal and some as decimal, so a filter and the program behind it can disagree about where the connection goes; and an address has no name to verify.",
	Fix:      "Enter the server's fully qualified DNS name.",
	Severity: connsec.High,
	Refs: []connsec.Citation{
		{Doc: "WHATWG URL Standard", Section: "3.5 Host parsing", URL: "https://url.spec.whatwg.org/#host-parsing"},
		rfc("3986", "7.4"),
	}, Since: "0.1.0",
}

func judgeLegacyIPv4(n *nameText) connsec.Verdict {
	if n.legacy.IsValid() {
		return connsec.Failed("programs read this as the address %s", n.legacy).With("address", n.legacy)
	}
	return connsec.Passed("no program reads this as a shortened address")
}

// RuleExtraParts: a host field takes a host.
var RuleExtraParts = &connsec.Rule{
	ID: "name-extra-parts", Title: "More than a host name stands where only a host name belongs",
	Why:      "What surrounds the name – a scheme, a user name, a port, a path, a wildcard, white space – is read differently by different programs, or dropped silently, so the name that is verified may not be the one that was meant.",
	Fix:      "Enter the bare host name. Port, instance and path have fields of their own; a wildcard is not the name of a host.",
	Severity: connsec.Medium,
	Refs:     []connsec.Citation{rfc("1123", "2.1"), rfc("3986", "3.2.2")}, Since: "0.1.0",
}

func judgeExtraParts(n *nameText) connsec.Verdict {
	if len(n.extras) == 0 {
		return connsec.Passed("there is nothing but the host")
	}
	return connsec.Failed("besides the host there is %s", strings.Join(n.extras, ", "))
}

// RuleNameSyntax: letters, digits, hyphens, in labels of bounded length.
var RuleNameSyntax = &connsec.Rule{
	ID: "name-syntax", Title: "The host name is not valid",
	Why:      "No certificate can be issued for such a name, and programs differ in what they make of it.",
	Fix:      "Use labels of 1 to 63 letters, digits and hyphens, joined by single dots, 253 bytes in all, the last one not a number; rename a host that has an underscore.",
	Severity: connsec.Medium,
	Refs:     []connsec.Citation{rfc("1123", "2.1"), rfc("1035", "2.3.4"), rfc("5890", "2.3"), rfc("5891", "5"), rfc("5893", "2")}, Since: "0.1.0",
}

func judgeNameSyntax(n *nameText) connsec.Verdict {
	switch {
	case n.isAddress():
		return connsec.Skipped("this is an address, not a name")
	case n.problem != "":
		return connsec.Failed("%s", n.problem)
	}
	return connsec.Passed("all labels are well formed")
}

// RuleSingleLabel: a name without a dot depends on who completes it.
var RuleSingleLabel = &connsec.Rule{
	ID: "name-single-label", Title: "The host name is not fully qualified",
	Why:      "The client completes a single label from a search list, or by broadcast (LLMNR, NetBIOS), which anyone on the network can answer. No public CA certifies it, and two sites may both have a host of that name.",
	Fix:      "Enter the fully qualified name, such as server.corp.your-company.com.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{myqNames, rfc("9499", "2"), rfc("9525", "2"), rfc("4795", "5")}, Since: "0.1.0",
}

func judgeSingleLabel(n *nameText) connsec.Verdict {
	if strings.Contains(n.ascii, ".") {
		return connsec.Passed("the name has %d labels", strings.Count(n.ascii, ".")+1)
	}
	return connsec.Failed("the name is a single label, without a domain")
}

// RuleSpecialUse: top-level domains that DNS does not answer for.
var RuleSpecialUse = &connsec.Rule{
	ID: "name-special-use", Title: "The host name is under a domain that is reserved for a special use",
	Why:      "Names under .local are asked for by multicast, which anyone on the network segment can answer; .localhost is the client itself; the others do not exist in DNS. No CA certifies any of them.",
	Fix:      "Move the host under a domain that you own. For a purely internal network, .internal is reserved (home.arpa in homes).",
	Severity: connsec.Medium,
	Refs:     []connsec.Citation{rfc("6761", "6"), rfc("6762", "3"), rfc("2606", "2"), rfc("7686", "2"), rfc("9476", "2"), rfc("8375", "3")}, Since: "0.1.0",
}

// specialUse says what is wrong with each reserved top-level domain. Names for tests and
// documentation weigh little: nobody can register or impersonate them, so all they show is a
// laboratory, or a placeholder that was never filled in.
var specialUse = map[string]struct {
	why      string
	severity connsec.Severity
}{
	"local":     {"is asked for by multicast DNS, which anyone on the segment can answer", connsec.Medium},
	"localhost": {"always means the client's own machine", connsec.Medium},
	"invalid":   {"never exists", connsec.Medium},
	"onion":     {"exists in Tor only and never in DNS", connsec.Medium},
	"alt":       {"is outside of DNS", connsec.Medium},
	"test":      {"is for tests and never exists in public DNS", connsec.Low},
	"example":   {"is for documentation and never exists in public DNS", connsec.Low},
}

func judgeSpecialUse(n *nameText) connsec.Verdict {
	labels := n.labels()
	top := labels[len(labels)-1]
	if special, ok := specialUse[top]; ok {
		return connsec.Failed(".%s %s", top, special.why).As(special.severity)
	}
	return connsec.Passed("the domain has no special use that excludes it")
}

// RuleNotASCII: Unicode in a setting works, but not everywhere.
var RuleNotASCII = &connsec.Rule{
	ID: "name-not-ascii", Title: "The host name is given in Unicode",
	Why:      "DNS and certificates hold the converted form. Programs that do not convert, or convert by the rules of 2003, look for another host or refuse the certificate.",
	Fix:      "Enter the converted form (the one with xn--), which means the same everywhere.",
	Severity: connsec.Low,
	Refs:     []connsec.Citation{rfc("5891", "5"), rfc("9525", "6.3"), {Doc: "UTS #46", Section: "4", URL: "https://www.unicode.org/reports/tr46/"}}, Since: "0.1.0",
}

func judgeNotASCII(n *nameText) connsec.Verdict {
	switch {
	case isASCII(n.host):
		return connsec.Passed("the name is plain ASCII")
	case n.problem != "":
		return connsec.Failed("the name has characters outside of ASCII")
	}
	return connsec.Failed("the name stands for %s", n.ascii).With("converted", n.ascii)
}

// RuleMixedScript: letters of several scripts in one label are the mark of a look-alike.
var RuleMixedScript = &connsec.Rule{
	ID: "name-mixed-script", Title: "A label of the host name mixes scripts",
	Why:      "A Cyrillic or Greek letter between Latin ones looks the same and leads to another host, which can have a valid certificate for its own name.",
	Fix:      "Type the name anew instead of pasting it, and compare the converted form with what DNS has.",
	Severity: connsec.Medium,
	Refs:     []connsec.Citation{{Doc: "UTS #39", Section: "5.2", URL: "https://www.unicode.org/reports/tr39/#Restriction_Level_Detection"}, rfc("5890", "4.4")}, Since: "0.1.0",
}

func judgeMixedScript(n *nameText) connsec.Verdict {
	if n.problem != "" {
		if isASCII(n.host) && !strings.Contains(n.ascii, "xn--") {
			return connsec.Passed("all letters are Latin")
		}
		return connsec.Skipped("the name is not valid, so its letters cannot be told")
	}
	for _, label := range n.labels() {
		if !strings.HasPrefix(label, "xn--") {
			continue
		}
		u, err := idna.Display.ToUnicode(label)
		if err != nil {
			return connsec.Skipped("the name is not valid, so its letters cannot be told")
		}
		if found := scriptsOf(u); !mayMix(found) {
			return connsec.Failed("label %q mixes %s", printable(u), strings.Join(found, " and ")).With("converted", n.ascii)
		}
	}
	return connsec.Passed("no label mixes scripts")
}

// scriptsOf returns the scripts of the letters, sorted. Digits, hyphens and combining marks
// belong to all scripts.
func scriptsOf(label string) []string {
	var found []string
	for _, r := range label {
		if unicode.In(r, unicode.Common, unicode.Inherited) {
			continue
		}
		if slices.ContainsFunc(found, func(name string) bool { return unicode.Is(unicode.Scripts[name], r) }) {
			continue
		}
		for name, table := range unicode.Scripts {
			if unicode.Is(table, r) {
				found = append(found, name)
				break
			}
		}
	}
	slices.Sort(found)
	return found
}

// scriptMixes are how Japanese, Chinese and Korean are written: the highly restrictive level
// of UTS #39 §5.2.
var scriptMixes = [][]string{
	{"Latin", "Han", "Hiragana", "Katakana"},
	{"Latin", "Han", "Bopomofo"},
	{"Latin", "Han", "Hangul"},
}

func mayMix(scripts []string) bool {
	if len(scripts) < 2 {
		return true
	}
	for _, mix := range scriptMixes {
		if !slices.ContainsFunc(scripts, func(s string) bool { return !slices.Contains(mix, s) }) {
			return true
		}
	}
	return false
}

// myqNames is the guide's demand for fully qualified names in every host field.
var myqNames = connsec.Citation{Doc: docMyQ, Section: "fully qualified domain names", URL: urlMyQ}
