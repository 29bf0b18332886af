package hostfw

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// The fields of packets that nftables compares, each in the terms of match.

// field compares one field with values. It fails where the field or the way it is compared is
// not modelled.
func (k *nftRule) field(left any, op string, values []any) (match, bool) {
	m, ok := k.implied(left, match{})
	if !ok {
		return m, false
	}
	o, _ := left.(object)
	kind, body := only(o)
	inner, _ := body.(object)
	switch kind {
	case "payload":
		return k.payloadField(m, text(inner["protocol"]), text(inner["field"]), op, values)
	case "&":
		return k.masked(m, body, op, values)
	case "meta":
		return metaField(m, text(inner["key"]), op, values)
	case "ct":
		return ctField(m, text(inner["key"]), op, values)
	case "fib":
		return k.fibField(m, inner, op, values)
	case "exthdr":
		// A first packet need not carry a header that is looked for, but may.
		if len(values) == 1 && inner["field"] == nil && (values[0] == true || values[0] == false) && (op == "==" || op == "!=") {
			return k.usually(m, (values[0] == false) == (op == "=="), false, show(left)), true
		}
	}
	return m, false
}

// usually is a comparison that holds for the usual first packet or not, and for others the same
// way only if always is set.
func (k *nftRule) usually(m match, holds, always bool, what string) match {
	switch {
	case always:
		return truth(m, holds, "==")
	case holds:
		keep(&k.below, what)
	default:
		keep(&k.beyond, what)
	}
	return m
}

// implied is what has to hold for a packet to have a field at all.
func (k *nftRule) implied(left any, m match) (match, bool) {
	o, _ := left.(object)
	kind, body := only(o)
	switch kind {
	case "&":
		if ends, ok := body.([]any); ok && len(ends) == 2 {
			return k.implied(ends[0], m)
		}
	case "concat":
		for _, part := range listOf(body) {
			m, _ = k.implied(part, m)
		}
	case "exthdr":
		return m.and(match{sources: addrSet{wholes[1]}}), true // of IPv6, though nft does not say so
	case "payload":
		inner, _ := body.(object)
		if inner["tunnel"] != nil {
			return m, false // a packet inside of one
		}
		switch protocol := text(inner["protocol"]); protocol {
		case "tcp":
			return m.and(match{protocols: []Protocol{TCP}}), true
		case "udp":
			return m.and(match{protocols: []Protocol{UDP}}), true
		case "ip":
			return m.and(match{sources: addrSet{wholes[0]}}), true
		case "ip6":
			return m.and(match{sources: addrSet{wholes[1]}}), true
		case "th":
			return m, true
		case "icmp", "icmpv6", "igmp", "esp", "ah", "comp", "udplite", "dccp", "sctp", "arp":
			return match{nothing: true}, true // not a protocol that is judged
		default:
			return m, false
		}
	}
	return m, true
}

// truth is a comparison with something that is so for every packet that is judged.
func truth(m match, holds bool, op string) match {
	if op == "!=" {
		holds = !holds
	}
	m.nothing = m.nothing || !holds
	return m
}

func (k *nftRule) payloadField(m match, protocol, field, op string, values []any) (match, bool) {
	if m.nothing {
		return m, true
	}
	switch field {
	case "dport", "sport":
		set, ok := portValues(op, values)
		if field == "dport" {
			m.ports = set
		} else {
			m.sourcePorts = set
		}
		return m, ok
	case "saddr", "daddr":
		set, ok := addressValues(op, values)
		if field == "saddr" {
			return m.and(match{sources: set}), ok
		}
		m.destinations = set
		return m, ok
	case "flags":
		if protocol == "tcp" {
			return k.tcpFlags(m, allFlags, op, values)
		}
	case "nexthdr":
		// Another header may stand between this one and that of TCP or UDP.
		for _, v := range values {
			if _, _, isRange := rangeValue(v); isRange || slices.Contains(nextHeaders, strings.ToLower(text(v))) {
				return m, false
			}
		}
		narrowed, ok := protocolValues(m, op, values)
		if op != "!=" && !narrowed.never() {
			keep(&k.below, "ip6 nexthdr")
		}
		if op == "!=" && len(narrowed.protocols) < 2 {
			return m, false
		}
		return narrowed, ok
	case "protocol":
		return protocolValues(m, op, values)
	case "version":
		if n := map[string]string{"ip": "4", "ip6": "6"}[protocol]; n != "" && len(values) == 1 && (op == "==" || op == "!=") {
			return truth(m, text(values[0]) == n, op), true
		}
	}
	return m, false
}

func metaField(m match, key, op string, values []any) (match, bool) {
	if op == "in" {
		op = "=="
	}
	if op != "==" && op != "!=" {
		return m, false
	}
	switch key {
	case "l4proto":
		return protocolValues(m, op, values)
	case "nfproto", "protocol":
		var versions addrSet
		for _, v := range values {
			switch strings.ToLower(text(v)) {
			case "ipv4", "ip", "2", "2048", "0x0800":
				versions = append(versions, wholes[0])
			case "ipv6", "ip6", "10", "34525", "0x86dd":
				versions = append(versions, wholes[1])
			}
		}
		versions = addressRanges(versions...)
		if op == "!=" {
			versions = versions.complement()
		}
		return m.and(match{sources: versions}), true
	case "iifname", "iif":
		set := &nameSet{not: op == "!="}
		for _, v := range values {
			n := text(v)
			if _, isString := v.(string); !isString || n == "" {
				return m, false // an index says nothing without the machine
			}
			set.names = append(set.names, n)
		}
		m.interfaces = set
		return m, true
	case "pkttype":
		return truth(m, slices.ContainsFunc(values, func(v any) bool { return text(v) == "host" || text(v) == "unicast" }), op), true
	}
	return m, false
}

// ctField compares what connection tracking knows of a first packet. What it has not seen is
// "invalid" (nft_ct_get_eval).
func ctField(m match, key, op string, values []any) (match, bool) {
	var words []string
	for _, v := range values {
		words = append(words, text(v))
	}
	switch key {
	case "state":
		var in []tracking
		for t, word := range map[tracking]string{trackNew: "new", trackUntracked: "untracked", trackNone: "invalid"} {
			if slices.Contains(words, word) != (op == "!=" || op == "!") {
				in = append(in, t)
			}
		}
		slices.Sort(in)
		m.tracking = in
		if in == nil {
			m.nothing = true
		}
		return m, op == "==" || op == "in" || op == "!=" || op == "!"
	case "direction":
		m.tracking = []tracking{trackNew} // what is not tracked has none
		return truth(m, slices.Contains(words, "original"), op), op == "==" || op == "!="
	case "status":
		if len(words) != 1 || words[0] != "dnat" {
			return m, false
		}
		m.tracking = []tracking{trackNew}
		switch op {
		case "in":
			m.translated = must
		case "!":
			m.translated = mustNot
		default: // all of the status, in which other bits are set as well
			return m, false
		}
		return m, true
	}
	return m, false
}

// fibField compares with what the routing table says. The destination of a packet that is judged
// is an address of this host, most often of the interface where it came in, and its answer goes out
// there.
func (k *nftRule) fibField(m match, fib object, op string, values []any) (match, bool) {
	if op != "==" && op != "!=" && op != "in" {
		return m, false
	}
	var source, anywhere bool
	anywhere = true
	for _, f := range listOf(fib["flags"]) {
		switch text(f) {
		case "saddr":
			source = true
		case "iif", "oif":
			anywhere = false
		}
	}
	switch text(fib["result"]) {
	case "type":
		what := "local"
		if source {
			what = "unicast"
		}
		holds := slices.ContainsFunc(values, func(v any) bool { return text(v) == what })
		// With an interface, addresses of others are unicast.
		always := source || anywhere || slices.ContainsFunc(values, func(v any) bool { return text(v) == "unicast" }) == holds
		return k.usually(m, holds != (op == "!="), always, "fib type at another interface"), true
	case "oif", "oifname":
		// There is no way out to an address of the host itself.
		if len(values) == 1 && (values[0] == false || values[0] == true) {
			return truth(m, values[0] == source, op), true
		}
	}
	return m, false
}

// masked compares some bits of a field.
func (k *nftRule) masked(m match, body any, op string, values []any) (match, bool) {
	ends, _ := body.([]any)
	if len(ends) != 2 || m.nothing {
		return m, m.nothing
	}
	o, _ := ends[0].(object)
	payload := child(o, "payload")
	field := text(payload["field"])
	switch {
	case text(payload["protocol"]) == "tcp" && field == "flags":
		mask, ok := flagBits(ends[1])
		if !ok {
			return m, false
		}
		return k.tcpFlags(m, mask, op, values)
	case (field == "saddr" || field == "daddr") && len(values) == 1:
		address, err := netip.ParseAddr(text(values[0]))
		mask, maskErr := netip.ParseAddr(text(ends[1]))
		if err != nil || maskErr != nil || address.BitLen() != mask.BitLen() {
			return m, false
		}
		bits, ok := maskLength(mask)
		if !ok || netip.PrefixFrom(address, bits).Masked().Addr() != address {
			return m, false
		}
		prefix := object{"prefix": object{"addr": address.String(), "len": json.Number(strconv.Itoa(bits))}}
		return k.payloadField(m, text(payload["protocol"]), field, op, []any{prefix})
	case field == "frag-off" && len(values) == 1 && text(values[0]) == "0" && (op == "==" || op == "!="):
		// A first packet need not be a fragment, but may. What is left of the field is a flag that
		// its sender chooses.
		if mask, ok := portOf(ends[1]); ok && mask&^fragmentBits == 0 {
			return k.usually(m, op == "==", false, "fragments"), true
		}
	}
	return m, false
}

// maskLength is the length of a mask that is a prefix.
func maskLength(mask netip.Addr) (int, bool) {
	bits := 0
	for _, b := range mask.AsSlice() {
		for i := 7; i >= 0; i-- {
			if b&(1<<i) == 0 {
				return bits, netip.PrefixFrom(mask, bits).Masked().Addr() == mask
			}
			bits++
		}
	}
	return bits, true
}

// Bits of the TCP header's flags (RFC 9293 §3.1).
var flagNames = map[string]uint8{"fin": 1, "syn": 2, "rst": 4, "psh": 8, "ack": 16, "urg": 32, "ecn": 64, "cwr": 128}

const (
	allFlags = 0xff
	// firstFlag: the first packet of a connection has SYN, and no FIN, RST or ACK.
	firstFlag = 2
	// freeFlags are those that it may have: ECN asks for two of them (RFC 3168 §6.1.1), and Linux
	// looks at none.
	freeFlags = 8 | 32 | 64 | 128
	// fragmentBits are those of IPv4's fragment offset and "more fragments" (RFC 791 §3.1).
	fragmentBits = 0x3fff
)

// nextHeaders are what may stand behind the header of IPv6, in front of TCP or UDP, as nft writes
// their numbers.
var nextHeaders = []string{"0", "ip", "hopopt", "43", "ipv6-route", "44", "ipv6-frag", "51", "ah", "60", "ipv6-opts", "135", "mobility-header", "139", "hip", "140", "shim6"}

// flagBits reads one flag, several, or a number.
func flagBits(v any) (uint8, bool) {
	switch v := v.(type) {
	case []any:
		var all uint8
		for _, e := range v {
			bits, ok := flagBits(e)
			if !ok {
				return 0, false
			}
			all |= bits
		}
		return all, true
	case object:
		if ends, ok := v["|"].([]any); ok {
			return flagBits(ends)
		}
		return 0, false
	case string:
		bits, ok := flagNames[v]
		return bits, ok
	}
	n, ok := portOf(v)
	return uint8(n), ok && n <= allFlags
}

// tcpFlags compares flags with those of the first packet of a connection. A list without a mask
// asks whether one of its flags is set.
func (k *nftRule) tcpFlags(m match, mask uint8, op string, values []any) (match, bool) {
	m = m.and(match{protocols: []Protocol{TCP}})
	var sets []uint8
	for _, v := range values {
		bits, ok := flagBits(v)
		if !ok {
			return m, false
		}
		sets = append(sets, bits)
	}
	var any uint8
	for _, s := range sets {
		any |= s
	}
	if !slices.Contains([]string{"in", "!", "==", "!="}, op) {
		return m, false
	}
	holds, always := firstFlags(func(flags uint8) bool {
		switch op {
		case "in":
			return flags&any != 0
		case "!":
			return flags&any == 0
		}
		return slices.Contains(sets, flags&mask) == (op == "==")
	})
	return k.usually(m, holds, always, "tcp flags"), true
}

// firstFlags asks about the flags of a first packet: whether it holds for SYN alone, and whether
// others that a sender may add change nothing about that.
func firstFlags(ask func(flags uint8) bool) (holds, always bool) {
	holds, always = ask(firstFlag), true
	for free := range uint8(freeFlags) {
		if free&^freeFlags == 0 {
			always = always && ask(firstFlag|free) == holds
		}
	}
	return holds, always && ask(firstFlag|freeFlags) == holds
}

// protocolValues compares the protocol above IP.
func protocolValues(m match, op string, values []any) (match, bool) {
	if op == "in" {
		op = "=="
	}
	in := []Protocol{}
	for p, names := range [][]string{TCP: {"tcp", "6"}, UDP: {"udp", "17"}} {
		listed := slices.ContainsFunc(values, func(v any) bool {
			first, last, isRange := rangeValue(v)
			n := map[Protocol]string{TCP: "6", UDP: "17"}[Protocol(p)]
			if isRange {
				a, okA := portOf(first)
				b, okB := portOf(last)
				number, _ := portOf(n)
				return okA && okB && a <= number && number <= b
			}
			return slices.Contains(names, strings.ToLower(text(v)))
		})
		if listed != (op == "!=") {
			in = append(in, Protocol(p))
		}
	}
	return m.and(match{protocols: in}), op == "==" || op == "!="
}

// rangeValue takes {"range": [a, b]} apart.
func rangeValue(v any) (first, last any, is bool) {
	ends, ok := array(v, "range")
	if !ok || len(ends) != 2 {
		return nil, nil, false
	}
	return ends[0], ends[1], true
}

func portValues(op string, values []any) (portSet, bool) {
	var ranges []PortRange
	for _, v := range values {
		if v == "*" {
			ranges = append(ranges, PortRange{0, 65535})
			continue
		}
		first, last, isRange := rangeValue(v)
		if !isRange {
			first, last = v, v
		}
		a, okA := portOf(first)
		b, okB := portOf(last)
		if !okA || !okB {
			return nil, false
		}
		ranges = append(ranges, PortRange{a, b})
	}
	set := portsOf(ranges...)
	if len(ranges) == 1 {
		switch r := ranges[0]; op {
		case "<":
			return portsOf(PortRange{0, r.First}).and(portsOf(r).complement()), true
		case "<=":
			return portsOf(PortRange{0, r.First}), true
		case ">":
			return portsOf(PortRange{r.First, 65535}).and(portsOf(r).complement()), true
		case ">=":
			return portsOf(PortRange{r.First, 65535}), true
		}
	}
	switch op {
	case "==", "in":
		return set, true
	case "!=":
		return set.complement(), true
	}
	return nil, false
}

func addressValues(op string, values []any) (addrSet, bool) {
	var ranges []addrRange
	for _, v := range values {
		r, ok := addressValue(v)
		if !ok {
			return nil, false
		}
		ranges = append(ranges, r...)
	}
	set := addressRanges(ranges...)
	switch op {
	case "==", "in":
		return set, true
	case "!=":
		return set.complement(), true
	}
	return nil, false
}

func addressValue(v any) ([]addrRange, bool) {
	if v == "*" {
		return wholes[:], true
	}
	if first, last, is := rangeValue(v); is {
		a, err := netip.ParseAddr(text(first))
		b, err2 := netip.ParseAddr(text(last))
		return []addrRange{{a, b}}, err == nil && err2 == nil && a.BitLen() == b.BitLen() && a.Zone() == "" && b.Zone() == ""
	}
	if o, ok := v.(object); ok {
		p := child(o, "prefix")
		a, err := netip.ParseAddr(text(p["addr"]))
		if err != nil || a.Zone() != "" {
			return nil, false
		}
		prefix := netip.PrefixFrom(a, integer(p["len"]))
		if !prefix.IsValid() || text(p["len"]) == "" || prefix.Masked() != prefix {
			return nil, false // bits behind the prefix are a comparison that never holds
		}
		return []addrRange{rangeOf(prefix)}, true
	}
	a, err := netip.ParseAddr(text(v))
	return []addrRange{{a, a}}, err == nil && a.Zone() == ""
}
