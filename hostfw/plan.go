package hostfw

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/connsec/connsec/internal/setting"
)

// Target is the firewall that a plan is for.
type Target uint8

// The targets.
const (
	PowerShell Target = iota // Windows Firewall, by the NetSecurity cmdlets
	Netsh                    // Windows Firewall, by netsh advfirewall
	NFTables
	UFW
	Firewalld
)

var targets = setting.Enum[Target]{Package: "hostfw", Kind: "target", Names: []string{"powershell", "netsh", "nftables", "ufw", "firewalld"}}

// String returns the name as it stands in JSON.
func (t Target) String() string { return targets.Name(t) }

// MarshalText writes the name.
func (t Target) MarshalText() ([]byte, error) { return targets.Encode(t) }

// UnmarshalText accepts the names.
func (t *Target) UnmarshalText(text []byte) error { return targets.Decode(text, t) }

// Plan is text to be read, and run by an administrator on the host; nothing here executes it. To
// run it twice is harmless, and Undo brings back what was there before the first time.
type Plan struct {
	Target Target `json:"target"`
	// Assumes is what has to be true of the host, and what the plan leaves alone.
	Assumes []string `json:"assumes"`
	Apply   []Step   `json:"apply"`
	Undo    []Step   `json:"undo"`
	// Check changes nothing, and shows whether the plan is in force.
	Check []Step `json:"check"`
}

// Step is one thing to do, as a command of PowerShell, cmd, or a POSIX shell.
type Step struct {
	Comment string `json:"comment"`
	Command string `json:"command"` // may have several lines
}

// Text returns the whole plan as a script whose lines of "undo" and "check" are commented out.
func (p Plan) Text() string {
	var b strings.Builder
	mark := p.comment()
	if p.Target == NFTables || p.Target == UFW || p.Target == Firewalld {
		b.WriteString("#!/bin/sh\nset -eu\n")
	}
	fmt.Fprintf(&b, "%s Only HTTPS gets in. Read this first; run it as an administrator on the host.\n", mark)
	for _, a := range p.Assumes {
		for i, line := range wrap(a, 74) {
			bullet := " "
			if i == 0 {
				bullet = "-"
			}
			fmt.Fprintf(&b, "%s %s %s\n", mark, bullet, line)
		}
	}
	b.WriteString("\n")
	p.write(&b, "Apply", p.Apply, "")
	p.write(&b, "Check", p.Check, mark+" ")
	p.write(&b, "Undo", p.Undo, mark+" ")
	return strings.TrimSuffix(b.String(), "\n")
}

// comment begins a comment of the target's shell.
func (p Plan) comment() string {
	if p.Target == Netsh {
		return "::"
	}
	return "#"
}

func (p Plan) write(b *strings.Builder, title string, steps []Step, prefix string) {
	fmt.Fprintf(b, "%s == %s\n", p.comment(), title)
	for _, s := range steps {
		for _, line := range wrap(s.Comment, 76) {
			fmt.Fprintf(b, "%s %s\n", p.comment(), line)
		}
		for line := range strings.SplitSeq(s.Command, "\n") {
			fmt.Fprintln(b, strings.TrimRight(prefix+line, " "))
		}
	}
	b.WriteString("\n")
}

// wrap breaks a text into lines.
func wrap(s string, width int) []string {
	var lines []string
	for _, word := range strings.Fields(s) {
		if n := len(lines); n > 0 && len(lines[n-1])+1+len(word) <= width {
			lines[n-1] += " " + word
			continue
		}
		lines = append(lines, word)
	}
	return lines
}

// planName is what may stand in the name of a policy or service: nothing that means something to
// any of the shells.
var planName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9 _-]{0,30}$`)

const planNameRule = "a letter, then at most 30 letters, digits, spaces, - and _"

// Plan writes down how to bring a host to the policy. HTTPS ports are open to everyone, the ports
// of services to their sources; everything else that begins a connection from outside is
// blocked, HTTP included, on every profile or interface. Answers, loopback, and the ICMP that IP
// needs (path MTU, neighbour discovery) keep working.
//
// The error says which name or port cannot stand in a plan.
func (p Policy) Plan(target Target) (Plan, error) {
	d, err := p.draft()
	if err != nil {
		return Plan{}, err
	}
	var plan Plan
	switch target {
	case PowerShell:
		plan, err = d.powerShell()
	case Netsh:
		plan, err = d.netsh()
	case NFTables:
		plan = d.nftables()
	case UFW:
		plan = d.ufw()
	case Firewalld:
		plan, err = d.firewalld()
	default:
		return Plan{}, fmt.Errorf("hostfw: cannot plan for %s", target)
	}
	if err != nil {
		return Plan{}, err
	}
	plan.Target = target
	plan.Assumes = append(d.warnings(), plan.Assumes...)
	return plan, nil
}

// draft is what all plans share.
type draft struct {
	name  string // with spaces
	id    string // without
	opens []opening
}

// opening is one port to open.
type opening struct {
	name     string // of a rule; unique
	protocol Protocol
	port     uint16
	v4, v6   []netip.Prefix // the sources: none overlaps another
	everyone bool
}

// all reports whether sources hold every address of the version.
func whole(sources []netip.Prefix) bool { return len(sources) == 1 && sources[0].Bits() == 0 }

// draft checks the policy as far as the text of a plan depends on it.
func (p Policy) draft() (draft, error) {
	d := draft{name: p.Name}
	if d.name == "" {
		d.name = "connsec"
	}
	if !planName.MatchString(d.name) || strings.HasSuffix(d.name, " ") {
		return draft{}, errors.New("hostfw: the policy's name cannot stand in a plan; it is " + planNameRule)
	}
	d.id = strings.ReplaceAll(d.name, " ", "-")
	for _, port := range slices.Compact(slices.Sorted(slices.Values(p.https()))) {
		if port == 0 {
			return draft{}, errors.New("hostfw: port 0 cannot be opened")
		}
		d.opens = append(d.opens, opening{name: fmt.Sprintf("%s https %d", d.name, port), protocol: TCP, port: port, everyone: true})
	}
	seen := map[string]bool{}
	for i, s := range p.Services {
		what := fmt.Sprintf("hostfw: service %d (%s)", i+1, quoted(s.Name))
		switch {
		case !planName.MatchString(s.Name) || strings.HasSuffix(s.Name, " "):
			return draft{}, fmt.Errorf("%s: the name cannot stand in a plan; it is %s", what, planNameRule)
		case s.Port == 0:
			return draft{}, fmt.Errorf("%s: port 0 cannot be opened", what)
		case int(s.Protocol) >= len(protocols.Names):
			return draft{}, fmt.Errorf("%s: the protocol is tcp or udp", what)
		case len(s.Sources) == 0:
			return draft{}, fmt.Errorf("%s: it has no sources, so that nobody could reach it; leave it out, or name them", what)
		}
		o := opening{name: fmt.Sprintf("%s %s %s %d", d.name, s.Name, s.Protocol, s.Port), protocol: s.Protocol, port: s.Port}
		for n := 2; seen[strings.ToLower(o.name)]; n++ {
			o.name = fmt.Sprintf("%s %s %s %d no %d", d.name, s.Name, s.Protocol, s.Port, n)
		}
		seen[strings.ToLower(o.name)] = true
		for _, source := range s.Sources {
			if !source.IsValid() {
				return draft{}, fmt.Errorf("%s: a source is no prefix, such as 192.0.2.0/24", what)
			}
		}
		o.v4, o.v6 = disjoint(s.Sources)
		d.opens = append(d.opens, o)
	}
	return d, nil
}

// disjoint sorts prefixes by version and leaves out what lies in another one: nftables refuses
// sets whose members overlap.
func disjoint(sources []netip.Prefix) (v4, v6 []netip.Prefix) {
	var all []netip.Prefix
	for _, s := range sources {
		all = append(all, plain(s))
	}
	slices.SortFunc(all, func(a, b netip.Prefix) int {
		if c := a.Bits() - b.Bits(); c != 0 {
			return c
		}
		return a.Addr().Compare(b.Addr())
	})
	for _, p := range all {
		into := &v6
		if p.Addr().Is4() {
			into = &v4
		}
		if !slices.ContainsFunc(*into, func(q netip.Prefix) bool { return q.Overlaps(p) }) {
			*into = append(*into, p)
		}
	}
	byAddress := func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) }
	slices.SortFunc(v4, byAddress)
	slices.SortFunc(v6, byAddress)
	return v4, v6
}

// waysIn are the ports that administrators usually come in by.
var waysIn = []uint16{22, 3389, 5985, 5986}

// warnings says what a reader has to know of every plan.
func (d draft) warnings() []string {
	var kept []string
	for _, o := range d.opens {
		if !o.everyone && o.protocol == TCP && slices.Contains(waysIn, o.port) {
			from := make([]string, 0, len(o.v4)+len(o.v6))
			for _, p := range slices.Concat(o.v4, o.v6) {
				from = append(from, p.String())
			}
			kept = append(kept, fmt.Sprintf("%d from %s", o.port, strings.Join(from, ", ")))
		}
	}
	if kept == nil {
		return []string{"THIS PLAN KEEPS NO WAY IN FOR ADMINISTRATORS: no SSH (22), Remote Desktop (3389) or WinRM " +
			"(5985, 5986) is among its services. Run it at the console, or add one to the policy first."}
	}
	return []string{"Administrators get in by port " + strings.Join(kept, "; port ") + ", and in no other way. " +
		"See that you are among these sources before you run it, and keep a session open while you try a second one."}
}

// list joins prefixes.
func list(sources []netip.Prefix, separator string) string {
	texts := make([]string, len(sources))
	for i, s := range sources {
		texts[i] = s.String()
	}
	return strings.Join(texts, separator)
}
