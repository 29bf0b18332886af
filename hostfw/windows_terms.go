package hostfw

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/connsec/connsec/internal/setting"
)

// windowsPorts is the value of LocalPort or RemotePort: the ports that it means for certain, and
// those that it may mean. Nil is any.
type windowsPorts struct {
	certain, possible portSet
	text              string // as it stands in the export
	unsure            bool   // they differ
}

// portWord is a special word: it stands for the sockets that a part of Windows marks as its own.
type portWord struct {
	// usual are the ports where they are by default.
	usual PortRange
	// certain: what listens there is always one of them.
	certain bool
}

// portWords are the documented words of -LocalPort and those that netsh has for the same. RPC is
// the range that Windows documents as its default dynamic one: a rule for it lets in whatever the
// RPC run time listens on there. On a host whose range was changed ("netsh int ipv4 show
// dynamicport tcp") it is another. For the others the number is no proof: IP over HTTPS shares
// 443 with web servers, which its rule does not let in.
var portWords = map[string]portWord{
	"rpc":             {PortRange{49152, 65535}, true},
	"rpcepmap":        {PortRange{135, 135}, true},
	"iphttpsin":       {PortRange{443, 443}, false},
	"iphttps":         {PortRange{443, 443}, false},
	"teredo":          {PortRange{3544, 3544}, false},
	"playtodiscovery": {PortRange{1900, 1900}, false},
	"ply2disc":        {PortRange{1900, 1900}, false},
	"mdns":            {PortRange{5353, 5353}, false},
}

// parsePorts reads the items of a port list. A word that is not known may be any port.
func parsePorts(items []string) windowsPorts {
	p := windowsPorts{text: listed(items)}
	var certain, possible []PortRange
	for _, item := range items {
		item = strings.TrimSpace(item)
		if isAny(item) {
			return windowsPorts{text: p.text}
		}
		var r PortRange
		if err := r.UnmarshalText([]byte(item)); err == nil {
			certain = append(certain, r)
			continue
		}
		word, known := portWords[strings.ToLower(strings.ReplaceAll(item, "-", ""))]
		switch {
		case !known:
			possible = append(possible, PortRange{0, 65535})
		case word.certain:
			certain = append(certain, word.usual)
		default:
			possible = append(possible, word.usual)
		}
	}
	p.certain = portsOf(certain...)
	p.possible = portsOf(append(possible, certain...)...)
	p.unsure = len(possible) > 0
	return p
}

// isAny knows the words for "no condition": of the cmdlets, and of netsh in its languages.
func isAny(s string) bool {
	switch strings.ToLower(s) {
	case "any", "*", "beliebig", "tout":
		return true
	}
	return false
}

// listed shows the items of a list.
func listed(items []string) string { return setting.OneLine(strings.Join(items, ",")) }

// windowsAddresses is the value of RemoteAddress or LocalAddress. Nil is any.
type windowsAddresses struct {
	certain, possible addrSet
	text              string
	unsure            bool // they differ
}

// nearby4 and nearby6 are the ranges that a local subnet is in as a rule. Whether a host there
// is on a subnet of this one, an export does not say. Others are taken for strangers: what goes
// unseen is the neighbours of a host with a public address.
var (
	nearby4 = nearbyRanges("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16")
	nearby6 = nearbyRanges("fc00::/7", "fe80::/10")
)

func nearbyRanges(texts ...string) []addrRange {
	out := make([]addrRange, len(texts))
	for i, s := range texts {
		out[i] = rangeOf(netip.MustParsePrefix(s))
	}
	return out
}

// parseAddresses reads the items of an address list: addresses, prefixes with a length or a mask,
// ranges, and words.
func parseAddresses(items []string) windowsAddresses {
	a := windowsAddresses{text: listed(items)}
	var certain, possible []addrRange
	for _, item := range items {
		item = strings.TrimSpace(item)
		if isAny(item) {
			return windowsAddresses{text: a.text}
		}
		if r, ok := parseAddressRange(item); ok {
			certain = append(certain, r)
			continue
		}
		switch strings.ToLower(item) {
		case "localsubnet":
			possible = append(append(possible, nearby4...), nearby6...)
		case "localsubnet4":
			possible = append(possible, nearby4...)
		case "localsubnet6":
			possible = append(possible, nearby6...)
		default: // DNS, DHCP, WINS, DefaultGateway, Internet, Intranet, …: anybody may be that
			possible = append(possible, wholes[:]...)
		}
	}
	a.certain = addressRanges(certain...)
	a.possible = addressRanges(append(possible, certain...)...)
	a.unsure = len(possible) > 0
	return a
}

func parseAddressRange(s string) (addrRange, bool) {
	if from, to, ok := strings.Cut(s, "-"); ok {
		first, err1 := netip.ParseAddr(strings.TrimSpace(from))
		last, err2 := netip.ParseAddr(strings.TrimSpace(to))
		if err1 != nil || err2 != nil {
			return addrRange{}, false
		}
		r := addrRange{first.WithZone("").Unmap(), last.WithZone("").Unmap()}
		return r, r.First.BitLen() == r.Last.BitLen() && !r.Last.Less(r.First)
	}
	host, mask, masked := strings.Cut(s, "/")
	a, err := netip.ParseAddr(host)
	if err != nil {
		return addrRange{}, false
	}
	a = a.WithZone("").Unmap()
	if !masked {
		return addrRange{a, a}, true
	}
	bits, err := strconv.Atoi(mask)
	if err != nil {
		var ok bool
		if bits, ok = maskBits(mask); !ok || !a.Is4() {
			return addrRange{}, false
		}
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return addrRange{}, false
	}
	return rangeOf(p), true
}

// maskBits turns 255.255.0.0 into 16. A mask with holes is refused.
func maskBits(s string) (int, bool) {
	m, err := netip.ParseAddr(s)
	if err != nil || !m.Is4() {
		return 0, false
	}
	bits := 0
	for bits < 32 && m.AsSlice()[bits/8]&(0x80>>(bits%8)) != 0 {
		bits++
	}
	// The rest has to be zeros: the mask's complement is the end of 0.0.0.0/bits.
	hosts := m.As4()
	for i := range hosts {
		hosts[i] = ^hosts[i]
	}
	return bits, rangeOf(netip.PrefixFrom(netip.IPv4Unspecified(), bits)).Last == netip.AddrFrom4(hosts)
}
