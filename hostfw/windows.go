package hostfw

import (
	"path"
	"slices"
	"strings"

	"github.com/connsec/connsec/internal/setting"
)

// Windows' own semantics, from "Windows Firewall rules" and the references of the NetSecurity
// cmdlets and of MSFT_NetFirewallRule on learn.microsoft.com:
//
//   - rules have no order;
//   - an explicit block wins over every allow, and an allow over the default of the profile;
//   - the documented sentence that more specific rules win over less specific ones ends with
//     "except if there are explicit block rules": between allow rules it changes nothing about
//     whether a packet gets in, so that it needs no code;
//   - only authenticated bypass (AllowBypass, OverrideBlockRules) wins over a block. Who can
//     authenticate is decided by rules that are not in an export: the answer is unknown;
//   - the same goes for "allow the connection if it is secure" (Authentication, Encryption);
//   - a rule for a program, service, package or user is about that one's sockets only. An allow
//     lets packets in while it listens, which is a way in; a block takes nothing from others.

// profileNames are Windows' three profiles, by the bits of NET_FW_PROFILE_TYPE2.
var profileNames = []string{"Domain", "Private", "Public"}

// allProfiles is every bit of profileNames.
const allProfiles = 1<<3 - 1

// toggle is a switch of which an export may not speak.
type toggle uint8

const (
	unstated toggle = iota
	off
	on
)

// windowsProfile is the state of one profile.
type windowsProfile struct {
	enabled      toggle
	allowDefault toggle // the default inbound action: off blocks
	inboundRules toggle // off: "block all connections", whatever rules say
	localRules   toggle // off: local rules are not merged in; unstated: they are, Windows' default
	// why says what the export has instead of an unstated field.
	why string
}

// ruleStore is where a rule comes from.
type ruleStore uint8

const (
	storeUnstated ruleStore = iota
	storeLocal
	storeOther // Group Policy, or what Windows makes itself
)

// windowsRule is an enabled inbound rule.
type windowsRule struct {
	name     string
	block    bool
	profiles uint8
	store    ruleStore

	protocols   []Protocol // nil is both
	ports       windowsPorts
	remotePorts windowsPorts
	sources     windowsAddresses
	locals      windowsAddresses
	interfaces  []string // types and aliases; nil is any

	// bound says for whose sockets the rule is, by kind: "program", "service", "package",
	// "user". Nil is all.
	bound map[string]string
	// secured is the condition that only authenticated peers fulfil, or "".
	secured string
	// bypass: it wins over block rules, for authenticated peers.
	bypass bool
	// unmodelled are conditions that narrow the rule in a way that is not modelled.
	unmodelled []string
}

// windowsProgram brings profiles and rules into the order in which the first one decides: the
// states of the profiles, bypass, blocks, allows, and the default of each profile.
func windowsProgram(profiles [3]windowsProfile, rules []*windowsRule) *program {
	c := windowsCompiler{profiles: profiles}
	for _, r := range rules {
		for _, i := range r.interfaces {
			if slices.Contains(interfaceTypes, i) {
				c.types = append(c.types, i)
			} else {
				c.aliases = append(c.aliases, i)
			}
		}
	}
	var out []rule
	for i, p := range profiles {
		out = append(out, p.states(profileNames[i])...)
	}
	for _, r := range rules {
		if r.bypass {
			out = append(out, c.rules(r, verdictAccept, nil)...)
		}
	}
	var bound []*windowsRule
	for _, r := range rules {
		switch {
		case !r.block:
		case r.bound != nil:
			bound = append(bound, r)
		default:
			out = append(out, c.rules(r, verdictDrop, nil)...)
		}
	}
	// What is certain comes first, so that it is what a decision names.
	var uncertain []rule
	for _, r := range rules {
		if r.block || r.bypass {
			continue
		}
		for _, compiled := range c.allow(r, bound) {
			if compiled.match.unmodelled == "" {
				out = append(out, compiled)
			} else {
				uncertain = append(uncertain, compiled)
			}
		}
	}
	out = append(out, uncertain...)
	for i, p := range profiles {
		out = append(out, p.byDefault(profileNames[i]))
	}
	return &program{stages: []stage{{
		hook: hookInput, chain: &chain{name: "inbound rules", rules: out}, policy: verdictDrop, by: "default of a profile",
	}}}
}

// states are the rules that come before all others in a profile.
func (p windowsProfile) states(name string) []rule {
	var out []rule
	m := match{profiles: []string{name}}
	if p.enabled != on {
		r := rule{match: m, verdict: verdictAccept, by: "firewall of profile " + name + " is off"}
		if p.enabled == unstated {
			r.match.unmodelled = "state of profile " + name + p.orWhy()
		}
		out = append(out, r)
	}
	if p.inboundRules != on {
		r := rule{match: m, verdict: verdictDrop, by: "profile " + name + " blocks all inbound connections"}
		if p.inboundRules == unstated {
			r.match.unmodelled = "whether profile " + name + " lets rules allow anything" + p.orWhy()
		}
		out = append(out, r)
	}
	return out
}

// byDefault is the rule at a profile's end.
func (p windowsProfile) byDefault(name string) rule {
	r := rule{match: match{profiles: []string{name}}, verdict: verdictAccept, by: "default of profile " + name}
	switch p.allowDefault {
	case off:
		r.verdict = verdictDrop
	case unstated:
		r.match.unmodelled = "default inbound action of profile " + name + p.orWhy()
	}
	return r
}

func (p windowsProfile) orWhy() string {
	if p.why == "" {
		return " (not in the export)"
	}
	return " (" + p.why + ")"
}

// windowsCompiler knows what rules share.
type windowsCompiler struct {
	profiles       [3]windowsProfile
	types, aliases []string // of interfaces, that rules name
}

// allow compiles an allow rule. Block rules for the same sockets, as far as they match, take
// away from it alone.
func (c *windowsCompiler) allow(r *windowsRule, blocks []*windowsRule) []rule {
	var exceptions []rule
	for _, block := range blocks {
		takes, why := block.takesFrom(r)
		if !takes {
			continue
		}
		back := c.rules(block, verdictReturn, nil)
		for i := range back {
			back[i].match.unmodelled = together(back[i].match.unmodelled, why)
		}
		exceptions = append(exceptions, back...)
	}
	if exceptions == nil {
		return c.rules(r, verdictAccept, nil)
	}
	inner := &chain{name: ruleBy(r), rules: append(exceptions, rule{verdict: verdictAccept, by: ruleBy(r)})}
	return c.rules(r, verdictJump, inner)
}

// rules compiles one rule to at most four: what it matches for certain, and what it may, in the
// profiles where it applies for certain and where it may.
func (c *windowsCompiler) rules(r *windowsRule, v verdict, target *chain) []rule {
	var certain, doubtful []string // profiles
	for i, name := range profileNames {
		switch {
		case r.profiles&(1<<i) == 0, c.profiles[i].localRules == off && r.store == storeLocal:
		case c.profiles[i].localRules == off && r.store == storeUnstated:
			doubtful = append(doubtful, name)
		default:
			certain = append(certain, name)
		}
	}
	surely, maybe := c.boxes(r)
	var out []rule
	emit := func(m *match, profiles []string, doubt string) {
		if m == nil || profiles == nil {
			return
		}
		box := *m
		box.profiles, box.unmodelled = profiles, together(m.unmodelled, doubt)
		if box.unmodelled != "" {
			box.unmodelled = ruleBy(r) + ": " + box.unmodelled
		}
		if !box.never() {
			out = append(out, rule{match: box, verdict: v, target: target, by: ruleBy(r)})
		}
	}
	const unmerged = "whether it is a local rule, which this profile ignores"
	emit(surely, certain, "")
	emit(maybe, certain, "")
	emit(surely, doubtful, unmerged)
	emit(maybe, doubtful, unmerged)
	return out
}

// boxes are what a rule matches for certain and what it may match; nil if there is nothing of
// the kind. The second box holds the first one.
func (c *windowsCompiler) boxes(r *windowsRule) (surely, maybe *match) {
	yes := match{protocols: r.protocols}
	yes.ports, yes.sourcePorts = r.ports.certain, r.remotePorts.certain
	yes.sources, yes.destinations = r.sources.certain, r.locals.certain
	all := match{protocols: r.protocols}
	var doubts []string
	doubt := func(is bool, what string) {
		if is {
			doubts = append(doubts, what)
		}
	}
	all.ports = r.ports.possible
	doubt(r.ports.unsure, "local port "+r.ports.text)
	all.sources = r.sources.possible
	doubt(r.sources.unsure, "remote address "+r.sources.text)
	all.destinations = r.locals.possible
	doubt(r.locals.unsure, "local address "+r.locals.text)
	all.sourcePorts = r.remotePorts.possible // which the sender picks; that is judged elsewhere
	doubt(r.remotePorts.unsure, "remote port "+r.remotePorts.text)
	if r.interfaces != nil {
		yes.interfaces = &nameSet{names: r.interfaces}
		all.interfaces = yes.interfaces
		if other := c.otherNames(r.interfaces); other != nil {
			all.interfaces = &nameSet{names: append(other, r.interfaces...)}
			doubt(true, "interface "+setting.OneLine(strings.Join(r.interfaces, ",")))
		}
	}
	always := r.unmodelled
	if r.secured != "" {
		always = append(slices.Clip(always), r.secured)
	}
	if r.bypass {
		always = append(slices.Clip(always), "authenticated bypass")
	}
	if len(always) > 0 {
		all.unmodelled = strings.Join(append(always, doubts...), "; ")
		return nil, &all
	}
	if doubts == nil {
		return &yes, nil
	}
	all.unmodelled = strings.Join(doubts, "; ")
	return &yes, &all
}

// interfaceTypes are the types that a rule may name. They stand for interfaces of that type,
// since an export does not say which interface is of which.
var interfaceTypes = []string{"Wired", "Wireless", "RemoteAccess"}

// otherNames are the names of interfaces that may be those that a rule names in the other way:
// aliases for types, types for aliases.
func (c *windowsCompiler) otherNames(of []string) []string {
	var out []string
	for _, i := range of {
		if slices.Contains(interfaceTypes, i) {
			out = append(out, c.aliases...)
		} else {
			out = append(out, c.types...)
		}
	}
	return out
}

// takesFrom reports whether a block rule for some sockets covers all of an allow rule's. If two
// programs may be one under two spellings, it says why that is not certain.
func (r *windowsRule) takesFrom(allow *windowsRule) (takes bool, unsure string) {
	for kind, of := range r.bound {
		to, ok := allow.bound[kind]
		switch {
		case ok && strings.EqualFold(to, of):
		case ok && kind == "program" && strings.EqualFold(programFile(to), programFile(of)):
			unsure = "whether it is for the same program as " + ruleBy(allow)
		default:
			return false, ""
		}
	}
	return true, unsure
}

// programFile is the file name at the end of a path of Windows.
func programFile(s string) string { return path.Base(strings.ReplaceAll(s, `\`, "/")) }

// ruleBy names a rule and whose sockets it is for.
func ruleBy(r *windowsRule) string {
	s := "rule " + quoted(r.name)
	for _, kind := range []string{"program", "service", "package", "user"} {
		if to, ok := r.bound[kind]; ok {
			s += " for " + kind + " " + quoted(to)
		}
	}
	return s
}

// quoted shows foreign text: on one line, in quotes.
func quoted(s string) string { return `"` + setting.OneLine(s) + `"` }

// together is two unmodelled expressions, either of which may be empty.
func together(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}
