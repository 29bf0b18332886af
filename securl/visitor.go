package securl

import (
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Visitor is who sent a request, as far as a connection tells.
type Visitor struct {
	// Addr is where attempts are counted. If it is not valid, all such visitors are counted
	// together.
	Addr netip.Addr
	// HTTPS says that the visitor's own connection is encrypted. If not, the request is refused.
	HTTPS bool
}

// direct is the visitor at the other end of the connection.
func direct(r *http.Request) (Visitor, error) {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return Visitor{}, errors.New("securl: the request does not say where it came from")
	}
	return Visitor{Addr: ap.Addr().Unmap(), HTTPS: r.TLS != nil}, nil
}

// BehindProxies returns a function for [Gate.Visitor] that believes the proxies at the given
// addresses, and nobody else, about visitors: the address is the last in X-Forwarded-For that is
// no proxy's, and the last X-Forwarded-Proto must be "https". Each proxy has to append to the
// first, or replace it, and to replace the second. A request that comes from elsewhere is taken
// as it is.
func BehindProxies(proxies ...netip.Prefix) func(*http.Request) (Visitor, error) {
	proxies = slices.Clone(proxies)
	trusted := func(a netip.Addr) bool {
		return slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	return func(r *http.Request) (Visitor, error) {
		v, err := direct(r)
		if err != nil || !trusted(v.Addr) {
			return v, err
		}
		v.HTTPS = strings.EqualFold(last(r.Header.Values("X-Forwarded-Proto")), "https")
		hops := r.Header.Values("X-Forwarded-For")
		for trusted(v.Addr) {
			hop := last(hops)
			if hop == "" {
				return v, nil // a proxy's own request
			}
			addr, err := netip.ParseAddr(hop)
			if err != nil {
				// Some proxies add the port.
				var ap netip.AddrPort
				ap, err = netip.ParseAddrPort(hop)
				addr = ap.Addr()
			}
			if err != nil {
				return Visitor{}, errors.New("securl: a trusted proxy sent an X-Forwarded-For that is no address")
			}
			v.Addr = addr.Unmap().WithZone("")
			hops = without(hops)
		}
		return v, nil
	}
}

// last returns the last element of a header that is a list, over all its lines.
func last(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	line := lines[len(lines)-1]
	return strings.TrimSpace(line[strings.LastIndexByte(line, ',')+1:])
}

// without returns the lines without the last element.
func without(lines []string) []string {
	n := len(lines) - 1
	if at := strings.LastIndexByte(lines[n], ','); at >= 0 {
		return append(slices.Clone(lines[:n]), lines[n][:at])
	}
	return lines[:n]
}
