package hostfw

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/connsec/connsec/internal/setting"
)

// The form of the export is libnftables-json(5). It is read as a tree, because what an
// expression is called decides what it holds.

type object = map[string]any

// mostAlternatives bounds what one rule may be taken apart into, and mostCompiled all of them.
const (
	mostAlternatives = 1 << 16
	mostCompiled     = 1 << 19
)

// nftables compiles a rule set.
type nftables struct {
	sets   map[string]object // by family, table and name, with a space between
	chains map[string]*nftChain
	order  []*nftChain // base chains as they are listed
	// compat are the tables with expressions that only iptables can show.
	compat map[string]bool
	// changing are the sets that rules add to: what they hold depends on the traffic.
	changing map[string]bool
	// tracked4 and tracked6 say whether a rule needs connection tracking, without which the kernel
	// passes no packet to chains of type nat.
	tracked4, tracked6 bool
	compiled           int // rules of the program so far
}

// nftChain is a chain of the export.
type nftChain struct {
	*chain
	family, table string
	base          object // nil for one that is only called
	known         bool   // declared, not only called
	unsure        string // why it may not be in force, or ""
}

// parseNFT reads what "nft -j list ruleset" prints.
func parseNFT(data []byte) (*program, error) {
	list, err := nftObjects(data)
	if err != nil {
		return nil, err
	}
	n := &nftables{sets: map[string]object{}, chains: map[string]*nftChain{}, changing: map[string]bool{}, compat: map[string]bool{}}
	dormant := map[string]string{}
	for _, o := range list {
		switch {
		case is(o, "table"):
			t := child(o, "table")
			for _, f := range listOf(t["flags"]) {
				// Some versions of nft (1.0.6) print something else for the one flag of a table.
				if f != "owner" && f != "persist" && dormant[text(t["family"])+" "+text(t["name"])] != "dormant" {
					dormant[text(t["family"])+" "+text(t["name"])] = setting.OneLine(text(f))
				}
			}
		case is(o, "set"), is(o, "map"):
			s := child(o, "set")
			if s == nil {
				s = child(o, "map")
			}
			n.sets[name(s)] = s
		case is(o, "chain"):
			n.declare(child(o, "chain"), dormant)
		case is(o, "rule"):
			r := child(o, "rule")
			for _, e := range listOf(r["expr"]) {
				n.noteChanges(r, e)
			}
			if family := text(r["family"]); tracks(r["expr"]) {
				n.tracked4, n.tracked6 = n.tracked4 || family != "ip6", n.tracked6 || family != "ip"
			}
		}
	}
	for _, o := range list {
		if r := child(o, "rule"); r != nil {
			if n.rule(r); n.compiled > mostCompiled {
				return nil, fmt.Errorf("hostfw: the rules with their combinations of sets are more than %d", mostCompiled)
			}
		}
	}
	for key, c := range n.chains {
		if !c.known {
			return nil, fmt.Errorf("hostfw: a rule calls the chain %q, which is not in the export", setting.OneLine(key))
		}
	}
	return n.program(), nil
}

// nftObjects unpacks {"nftables": [ … ]}.
func nftObjects(data []byte) ([]object, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var top any
	if err := dec.Decode(&top); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return nil, fmt.Errorf("hostfw: the export of nftables is not JSON: mistake at byte %d", syntax.Offset)
		}
		return nil, errors.New("hostfw: the export of nftables is not complete JSON")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("hostfw: there is something behind the export of nftables")
	}
	all, ok := top.(object)
	items, isList := all["nftables"].([]any)
	if !ok || !isList {
		return nil, errors.New(`hostfw: this JSON is no export of nftables; make one with "nft -j list ruleset"`)
	}
	out := make([]object, 0, len(items))
	for i, item := range items {
		o, ok := item.(object)
		if !ok {
			return nil, fmt.Errorf("hostfw: item %d of the export of nftables is no object", i+1)
		}
		out = append(out, o)
	}
	return out, nil
}

// declare takes a chain down.
func (n *nftables) declare(c object, dormant map[string]string) {
	d := n.chain(c)
	d.known = true
	flag := dormant[text(c["family"])+" "+text(c["table"])]
	if _, isBase := c["hook"]; isBase && flag != "dormant" {
		if flag != "" {
			d.unsure = "flag of the table " + setting.OneLine(text(c["family"])+" "+text(c["table"])) + ", which the export names " + flag
		}
		d.base = c
		n.order = append(n.order, d)
	}
}

func (n *nftables) chain(c object) *nftChain {
	key := name(c)
	d := n.chains[key]
	if d == nil {
		d = &nftChain{chain: &chain{name: setting.OneLine(key)}, family: text(c["family"]), table: text(c["table"])}
		n.chains[key] = d
	}
	return d
}

// name is what a chain or set is found by.
func name(o object) string {
	return text(o["family"]) + " " + text(o["table"]) + " " + text(o["name"])
}

// noteChanges finds the sets that a statement of a rule adds to or takes from.
func (n *nftables) noteChanges(r object, statement any) {
	s, _ := statement.(object)
	for _, kind := range []string{"set", "map"} {
		if change := child(s, kind); change != nil {
			n.changing[text(r["family"])+" "+text(r["table"])+" "+strings.TrimPrefix(text(change["set"])+text(change["map"]), "@")] = true
		}
	}
}

// tracks reports whether something in a rule makes the kernel track connections.
func tracks(v any) bool {
	switch v := v.(type) {
	case []any:
		return slices.ContainsFunc(v, tracks)
	case object:
		for key, inner := range v {
			switch key {
			case "xt":
				if x, _ := inner.(object); slices.Contains(trackingExtensions, text(x["name"])) {
					return true
				}
			case "ct", "dnat", "redirect", "snat", "masquerade", "ct count", "ct helper", "ct timeout", "ct expectation", "synproxy", "flow":
				return true
			}
			if tracks(inner) {
				return true
			}
		}
	}
	return false
}

// trackingExtensions are those of iptables that make the kernel track connections.
var trackingExtensions = []string{"conntrack", "state", "connmark", "connlimit", "connbytes", "connlabel", "helper", "DNAT", "REDIRECT", "SNAT", "MASQUERADE",
	"NETMAP", "CT", "CONNMARK"}

// program orders the base chains on a packet's way. Of two with the same priority, the kernel
// passes the one that came later first (nf_hook_entries_grow).
func (n *nftables) program() *program {
	p := &program{}
	for _, c := range slices.Backward(n.order) {
		s := stage{
			priority: integer(c.base["prio"]), only4: c.family == "ip", only6: c.family == "ip6",
			chain: c.chain, policy: verdictAccept, by: "policy of " + c.name, nat: text(c.base["type"]) == "nat", compat: n.compat[c.family+" "+c.table],
		}
		if text(c.base["policy"]) == "drop" {
			s.policy = verdictDrop
		}
		if s.nat {
			s.among, s.priority = s.priority, natPriority
		}
		switch hook := text(c.base["hook"]); {
		case c.family == "arp" && hook == "input", c.family == "bridge" && (hook == "prerouting" || hook == "input"):
			// Whether a packet, or the question for the host's address, comes this way is not in the
			// export.
			s.hook, s.priority = hookPrerouting, -1<<31
			s = s.guarded(match{unmodelled: "base chain " + c.name + ", which works below IP"})
		case hook == "ingress":
			s.hook, s.priority = hookPrerouting, -1<<31
			m := match{unmodelled: "base chain " + c.name + ", whose interface is not in the export"}
			if dev := listOf(c.base["dev"]); len(dev) > 0 {
				m = match{interfaces: &nameSet{}}
				for _, d := range dev {
					m.interfaces.names = append(m.interfaces.names, text(d))
				}
			}
			s = s.guarded(m)
		case hook == "prerouting":
			s.hook = hookPrerouting
		case hook == "input":
			s.hook = hookInput
		case hook == "forward" && c.family != "bridge":
			s.hook = hookForward
		default:
			continue // a packet that comes in does not pass it
		}
		if s.nat && !(n.tracked4 || s.only6) || s.nat && !(n.tracked6 || s.only4) {
			var versions addrSet
			for i, tracked := range []bool{n.tracked4, n.tracked6} {
				if !tracked {
					versions = append(versions, wholes[i])
				}
			}
			s = s.doubtful(match{sources: versions, unmodelled: "base chain " + c.name + ", which is passed only if connections are tracked"})
		}
		if c.unsure != "" {
			s = s.doubtful(match{unmodelled: c.unsure})
		}
		p.stages = append(p.stages, s)
	}
	orderStages(p.stages)
	return p
}

// nftRule is a rule that is being compiled, statement by statement.
type nftRule struct {
	*nftables
	family, table string
	chain         *chain
	by            string
	// matches are the alternatives under which the next statement is reached.
	matches []match
	// below is what only the usual first packet fulfils, or "": a limit that it is below of.
	below string
	// beyond is what the usual first packet does not fulfil, though the matches say so, or "": a
	// limit that is used up, a flag or header that its sender need not set.
	beyond string
	// early: the chain is one of prerouting, where accepting is not the last word.
	early bool
}

// rule compiles a rule into those of the program: one for each alternative of its matches.
func (n *nftables) rule(r object) {
	family, table := text(r["family"]), text(r["table"])
	c := n.chain(object{"family": family, "table": table, "name": r["chain"]})
	by := fmt.Sprintf("%s handle %s", c.name, text(r["handle"]))
	if comment := text(r["comment"]); comment != "" {
		by += fmt.Sprintf(" (%s)", setting.OneLine(comment))
	}
	k := &nftRule{nftables: n, family: family, table: table, chain: c.chain, by: setting.OneLine(by), matches: []match{{}}}
	k.early = c.base != nil && text(c.base["hook"]) == "prerouting"
	for _, s := range listOf(r["expr"]) {
		if !k.statement(s) {
			return
		}
	}
}

// emit adds rules with a verdict for all alternatives.
func (k *nftRule) emit(v verdict, target *chain, to rewrite) {
	doubt, never := unusual(v, k.below, k.beyond, k.early)
	if never {
		return
	}
	beyond := ""
	if v == verdictJump {
		beyond, doubt = k.beyond, k.below
	}
	if doubt != "" {
		k.doubt(doubt)
	}
	for _, m := range k.matches {
		if !m.never() {
			if k.compiled++; k.compiled > mostCompiled {
				return
			}
			k.chain.rules = append(k.chain.rules, rule{match: m, verdict: v, target: target, to: to, by: k.by, beyond: beyond})
		}
	}
}

// perhaps adds rules that may do anything, and says why.
func (k *nftRule) perhaps(why string) {
	for _, m := range k.matches {
		if !m.never() {
			if k.compiled++; k.compiled > mostCompiled {
				return
			}
			k.chain.rules = append(k.chain.rules, rule{match: m, verdict: verdictMaybeAny, to: rewrite{unknown: true}, by: why})
		}
	}
}

// doubt makes the matches depend on an expression that is not modelled.
func (k *nftRule) doubt(expression string) {
	for i := range k.matches {
		k.matches[i].unmodelled = also(k.matches[i].unmodelled, expression)
	}
}

// statement compiles one statement and reports whether there can be a next one.
func (k *nftRule) statement(s any) bool {
	o, _ := s.(object)
	kind, body := only(o)
	if slices.Contains(readingStatements, kind) {
		k.reads(body)
	}
	switch kind {
	case "match":
		k.and(k.match(body))
	case "accept":
		k.emit(verdictAccept, nil, rewrite{})
	case "drop":
		k.emit(verdictDrop, nil, rewrite{})
	case "reject":
		// What kind of answer it is says which packets can get it, and nft leaves out the match.
		switch o, _ := body.(object); text(o["type"]) {
		case "icmp":
			k.and([]match{{sources: addrSet{wholes[0]}}})
		case "icmpv6":
			k.and([]match{{sources: addrSet{wholes[1]}}})
		case "tcp reset":
			k.and([]match{{protocols: []Protocol{TCP}}})
		}
		k.emit(verdictReject, nil, rewrite{})
	case "return":
		k.emit(verdictReturn, nil, rewrite{})
	case "continue":
		return true
	case "jump", "goto":
		k.call(kind, text(child(o, kind)["target"]))
	case "vmap":
		return k.verdictMap(body)
	case "redirect", "dnat":
		k.translate(kind, body)
	case "notrack":
		k.emit(verdictUntrack, nil, rewrite{})
		return true
	case "counter", "log", "comment", "last", "ct helper", "ct timeout", "ct expectation", "secmark", "flow", "masquerade", "snat", "reset":
		return true // does nothing to a packet that comes in
	case "limit", "quota", "ct count", "meter":
		return k.limited(kind, body)
	case "set", "map":
		// Adding an element always succeeds if the packet has what is added; a limit beside it is
		// what counts.
		elem := child(o, kind)["elem"]
		if e := child(object{"": elem}, ""); e["elem"] != nil {
			elem = child(e, "elem")["val"]
		}
		m, known := k.implied(elem, match{})
		if !known {
			m.unmodelled = show(elem)
		}
		k.and([]match{m})
		for _, inner := range listOf(child(o, kind)["stmt"]) {
			if !k.statement(inner) {
				return false
			}
		}
		return true
	case "mangle":
		key := child(child(o, kind), "key")
		payload, meta := child(key, "payload"), child(key, "meta")
		if payload != nil && !slices.Contains(harmlessFields, text(payload["field"])) || meta != nil && !slices.Contains(harmlessKeys, text(meta["key"])) {
			k.perhaps(show(s))
			return false
		}
		return true
	case "xt":
		return k.xtables(child(o, kind))
	default: // queue, tproxy, synproxy, dup, fwd, and what a later nft has
		k.perhaps(show(s))
		return true
	}
	return kind == "match" && len(k.matches) > 0
}

// harmlessFields are those whose change does not change where a packet gets to, and harmlessKeys
// what is kept beside a packet and does not either, as long as questions about it are not modelled.
var (
	harmlessFields = []string{"dscp", "ecn", "ttl", "hoplimit", "flowlabel", "id", "checksum"}
	harmlessKeys   = []string{"mark", "priority", "nftrace", "secmark"}
)

// readingStatements are those that read something before they act. Where it is not there, the rule
// ends and the next one follows.
var readingStatements = []string{"mangle", "counter", "limit", "quota", "ct helper", "ct timeout", "ct expectation", "secmark"}

// reads narrows the rule to packets that have what a statement reads: a field, or an element of a
// map.
func (k *nftRule) reads(v any) {
	switch v := v.(type) {
	case []any:
		for _, inner := range v {
			k.reads(inner)
		}
	case object:
		for _, kind := range slices.Sorted(maps.Keys(v)) {
			switch kind {
			case "key":
				if child(child(v, kind), "ct") == nil { // to set it always succeeds
					k.reads(v[kind])
				}
			case "map":
				lookup := child(v, kind)
				k.and(k.compare(lookup["key"], "==", lookup["data"]))
			case "payload":
				m, known := k.implied(v, match{})
				if !known {
					m.unmodelled = show(v)
				}
				k.and([]match{m})
			case "ct":
				if text(child(v, kind)["key"]) == "mark" {
					k.and([]match{{tracking: []tracking{trackNew}}}) // what is not tracked has none
				} else {
					k.doubt(show(v))
				}
			case "exthdr", "tcp option", "ip option", "sctp chunk", "socket", "osf", "rt", "ipsec", "tunnel":
				k.doubt(show(v))
			default:
				k.reads(v[kind])
			}
		}
	}
}

// and narrows the alternatives.
func (k *nftRule) and(more []match) {
	if len(more)*len(k.matches) > mostAlternatives {
		k.doubt("a combination of sets with too many elements")
		return
	}
	out := make([]match, 0, len(more)*len(k.matches))
	for _, a := range k.matches {
		for _, b := range more {
			if c := a.and(b); !c.never() {
				out = append(out, c)
			}
		}
	}
	k.matches = out
}

func (k *nftRule) call(kind, target string) {
	v := verdictJump
	if kind == "goto" {
		v = verdictGoto
	}
	k.emit(v, k.nftables.chain(object{"family": k.family, "table": k.table, "name": target}).chain, rewrite{})
}

// limited compiles rates and quotas as they are for the first packet after a quiet while: below
// the limit. What is dropped below a limit would get in above it, so that is left open.
func (k *nftRule) limited(kind string, body any) bool {
	o, _ := body.(object)
	if kind == "meter" {
		m, known := k.implied(o["key"], match{})
		if !known {
			m.unmodelled = show(o["key"])
		}
		k.and([]match{m})
		return k.statement(o["stmt"])
	}
	if named, isName := body.(string); isName {
		k.doubt(kind + " " + setting.OneLine(named))
		return true
	}
	if o["inv"] == true {
		keep(&k.beyond, kind+" used up")
	} else {
		keep(&k.below, kind)
	}
	return true
}

// xtables compiles the expressions that iptables-nft leaves and nft cannot show.
func (k *nftRule) xtables(o object) bool {
	k.nftables.compat[k.family+" "+k.table] = true
	what := strings.TrimSpace("xt " + text(o["type"]) + " " + text(o["name"]))
	switch what {
	case "xt match comment", "xt target LOG", "xt target NFLOG", "xt target TCPMSS", "xt target CT":
		return true
	case "xt target REJECT":
		k.emit(verdictReject, nil, rewrite{})
		return false
	}
	if text(o["type"]) == "match" {
		k.doubt(setting.OneLine(what))
		return true
	}
	k.perhaps(setting.OneLine(what))
	return true
}

// verdictMap compiles a vmap statement: its elements exclude each other, so that they can stand
// one after the other. Those that continue go on to the next statement of the same rule.
func (k *nftRule) verdictMap(body any) bool {
	o, _ := body.(object)
	elements, ok := k.elements(o["data"])
	if !ok {
		k.perhaps(show(object{"vmap": body}))
		return true
	}
	before, below, beyond := k.matches, k.below, k.beyond
	var on []match
	for _, e := range elements {
		pair, _ := e.([]any)
		if len(pair) != 2 {
			continue
		}
		k.matches, k.below, k.beyond = before, below, beyond
		if bare(pair[0]) == "*" { // everything that no other element holds
			var keys []any
			for _, other := range elements {
				if p, _ := other.([]any); len(p) == 2 && bare(p[0]) != "*" {
					keys = append(keys, p[0])
				}
			}
			k.and(k.compare(o["key"], "!=", object{"set": keys}))
		} else {
			k.and(k.compare(o["key"], "==", object{"set": []any{pair[0]}}))
		}
		if verdict, _ := pair[1].(object); len(verdict) == 1 {
			if _, goesOn := verdict["continue"]; goesOn {
				if doubt := together(k.below, k.beyond); doubt != together(below, beyond) {
					k.doubt(doubt)
				}
				on = append(on, k.matches...)
				continue
			}
		}
		k.statement(pair[1])
	}
	k.matches, k.below, k.beyond = on, below, beyond
	return len(on) > 0
}

// elements are those of a set or map: a literal, or a named one.
func (k *nftRule) elements(data any) ([]any, bool) {
	if o, ok := data.(object); ok {
		list, ok := o["set"].([]any)
		return list, ok
	}
	named, ok := strings.CutPrefix(text(data), "@")
	if !ok {
		return nil, false
	}
	key := k.family + " " + k.table + " " + named
	s, ok := k.sets[key]
	if !ok || k.changing[key] {
		return nil, false
	}
	return listOf(s["elem"]), true
}

// translate compiles a destination NAT.
func (k *nftRule) translate(kind string, body any) {
	o, _ := body.(object)
	var to rewrite
	clear := true
	if kind == "redirect" {
		to.local = true
	} else if o["addr"] != nil {
		a, err := netip.ParseAddr(text(o["addr"]))
		clear = err == nil
		to.address = a
	}
	if o["port"] != nil {
		port, ok := portOf(o["port"])
		clear = clear && ok
		to.port = port
	}
	if !clear || o == nil && body != nil || !to.local && !to.address.IsValid() {
		k.perhaps(show(object{kind: body}))
		return
	}
	// Only what has ports can be told where to go by this model.
	k.emit(verdictRewrite, nil, to)
}

// match compiles a match statement.
func (k *nftRule) match(body any) []match {
	o, _ := body.(object)
	return k.compare(o["left"], text(o["op"]), o["right"])
}

// compare compiles a comparison into alternatives.
func (k *nftRule) compare(left any, op string, right any) []match {
	unknown := func() []match {
		m := match{unmodelled: show(left) + " " + op + " " + show(right)}
		m, _ = k.implied(left, m)
		return []match{m}
	}
	var values []any
	if list, isList := right.([]any); isList && flagsOf(left) && (op == "==" || op == "!=") {
		right = object{"|": list} // bits of one value
	}
	switch r := right.(type) {
	case string:
		values = []any{r}
		if strings.HasPrefix(r, "@") {
			list, ok := k.elements(right)
			if !ok {
				return unknown()
			}
			values = list
		}
	case object:
		if list, ok := r["set"].([]any); ok {
			values = list
		} else {
			values = []any{r}
		}
	case []any:
		values = r
	default:
		values = []any{right}
	}
	plain := make([]any, 0, len(values))
	for _, v := range values {
		plain = append(plain, bare(v))
	}
	if parts, ok := array(left, "concat"); ok {
		if out, ok := k.concatenated(parts, op, plain); ok {
			return out
		}
		return unknown()
	}
	m, ok := k.field(left, op, plain)
	if !ok {
		return unknown()
	}
	return []match{m}
}

// bare is an element of a set without what is kept beside it, or the key of an element of a map.
func bare(v any) any {
	if pair, ok := v.([]any); ok && len(pair) == 2 {
		v = pair[0]
	}
	if o, ok := v.(object); ok {
		if e, ok := o["elem"].(object); ok {
			return e["val"]
		}
	}
	return v
}

// concatenated compares several fields at once.
func (k *nftRule) concatenated(parts []any, op string, values []any) ([]match, bool) {
	var in []match
	below, beyond := k.below, k.beyond
	for _, v := range values {
		list, ok := array(v, "concat")
		if !ok || len(list) != len(parts) {
			return nil, false
		}
		m := match{}
		for i, part := range parts {
			one, ok := k.field(part, "==", []any{list[i]})
			if !ok || k.below != below || k.beyond != beyond {
				k.below, k.beyond = below, beyond
				return nil, false
			}
			m = m.and(one)
		}
		in = append(in, m)
	}
	if op == "==" || op == "in" {
		return in, true
	}
	if op != "!=" {
		return nil, false
	}
	// Every field has to be there all the same.
	out := match{}
	for _, part := range parts {
		var ok bool
		if out, ok = k.implied(part, out); !ok {
			return nil, false
		}
	}
	left := []match{out}
	for _, m := range in {
		if left = minus(left, m); left == nil || len(left) > 4096 {
			return nil, false
		}
	}
	return left, true
}

// flagsOf reports whether the flags of TCP are compared, or some of them.
func flagsOf(left any) bool {
	o, _ := left.(object)
	if ends, ok := o["&"].([]any); ok && len(ends) == 2 {
		return flagsOf(ends[0])
	}
	p := child(o, "payload")
	return text(p["protocol"]) == "tcp" && text(p["field"]) == "flags"
}

// portOf reads a port.
func portOf(v any) (uint16, bool) {
	n, err := strconv.ParseUint(text(v), 10, 16)
	return uint16(n), err == nil
}

// text is a string, or a number as it stands.
func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	}
	return ""
}

func integer(v any) int {
	n, _ := strconv.Atoi(text(v))
	return n
}

func is(o object, kind string) bool {
	_, ok := o[kind].(object)
	return ok
}

func child(o object, key string) object {
	c, _ := o[key].(object)
	return c
}

func array(v any, key string) ([]any, bool) {
	o, _ := v.(object)
	list, ok := o[key].([]any)
	return list, ok
}

// listOf is a list, or one thing as a list.
func listOf(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return v
	}
	return []any{v}
}

// only is the key of an object that has one, and what it holds.
func only(o object) (string, any) {
	if len(o) == 1 {
		for k, v := range o {
			return k, v
		}
	}
	return "", nil
}

// show writes an expression about as nft does, for findings.
func show(v any) string { return setting.OneLine(showNFT(v, 0)) }

func showNFT(v any, depth int) string {
	if depth > 8 {
		return "…"
	}
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		return map[bool]string{true: "exists", false: "missing"}[v]
	case json.Number:
		return v.String()
	case []any:
		parts := make([]string, 0, min(len(v), 8))
		for _, e := range v[:min(len(v), 8)] {
			parts = append(parts, showNFT(e, depth+1))
		}
		if len(v) > 8 {
			parts = append(parts, "…")
		}
		return strings.Join(parts, ",")
	case object:
		kind, body := only(v)
		inner, _ := body.(object)
		switch kind {
		case "meta", "ct", "socket", "rt":
			return kind + " " + text(inner["key"])
		case "payload":
			if f := text(inner["field"]); f != "" {
				return text(inner["protocol"]) + " " + f
			}
			return fmt.Sprintf("@%s,%s,%s", text(inner["base"]), text(inner["offset"]), text(inner["len"]))
		case "exthdr", "tcp option":
			return strings.TrimSpace(kind + " " + text(inner["name"]) + " " + text(inner["field"]))
		case "fib":
			return "fib " + showNFT(inner["flags"], depth+1) + " " + text(inner["result"])
		case "prefix":
			return text(inner["addr"]) + "/" + text(inner["len"])
		case "range":
			if ends, ok := body.([]any); ok && len(ends) == 2 {
				return showNFT(ends[0], depth+1) + "-" + showNFT(ends[1], depth+1)
			}
		case "set":
			return "{ " + showNFT(body, depth+1) + " }"
		case "&", "|", "^", "<<", ">>":
			if ends, ok := body.([]any); ok && len(ends) == 2 {
				return showNFT(ends[0], depth+1) + " " + kind + " " + showNFT(ends[1], depth+1)
			}
		case "match":
			return showNFT(inner["left"], depth+1) + " " + text(inner["op"]) + " " + showNFT(inner["right"], depth+1)
		case "":
		default:
			if inner == nil {
				return strings.TrimSpace(kind + " " + showNFT(body, depth+1))
			}
		}
		var parts []string
		for _, key := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, strings.TrimSpace(key+" "+showNFT(v[key], depth+1)))
		}
		return strings.Join(parts, " ")
	}
	return "?"
}
