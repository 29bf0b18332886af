package setting

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxURL bounds a URL or a server field that an administrator types, in bytes.
const MaxURL = 8 << 10

var errPort = errors.New("that is not a number from 1 to 65535")

func port(digits string) (uint16, error) {
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || n == 0 {
		return 0, errPort
	}
	return uint16(n), nil
}

// SplitAuthority takes the host and the port of a URL apart (RFC 3986, 3.2.2 and 3.2.3). The
// brackets of an IPv6 address come off, escapes are undone, and without a port it is 0. The
// error goes on after "the URL".
func SplitAuthority(s string) (host string, number uint16, err error) {
	digits, hasPort, literal := "", false, strings.HasPrefix(s, "[")
	if literal {
		var closed bool
		if host, digits, closed = strings.Cut(s[1:], "]"); !closed || digits != "" && digits[0] != ':' {
			return "", 0, errors.New("has brackets around the host that do not match")
		}
		digits, hasPort = strings.CutPrefix(digits, ":")
	} else {
		if strings.Count(s, ":") > 1 {
			return "", 0, errors.New("has an IPv6 address without brackets")
		}
		host, digits, hasPort = strings.Cut(s, ":")
	}
	if hasPort {
		if number, err = port(digits); err != nil {
			return "", 0, fmt.Errorf("has a port %w", err)
		}
	}
	if host, err = url.PathUnescape(host); err != nil {
		return "", 0, errors.New("has a host with a broken %-escape")
	}
	if !utf8.ValidString(host) || strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '/' || r == '?' || r == '@' }) {
		return "", 0, errors.New("has a host with characters that no host name has")
	}
	if addr, err := netip.ParseAddr(host); literal && (err != nil || !addr.Is6()) {
		return "", 0, errors.New("has brackets around something else than an IPv6 address")
	}
	return host, number, nil
}

// ServerField reads the server field of a settings page, "HOST" or "HOST:PORT", beside a port
// field, 0 where that is left empty. The error says what is wrong with the setting.
func ServerField(server string, beside uint16) (host string, number uint16, err error) {
	server = strings.TrimSpace(server)
	switch {
	case len(server) > MaxURL:
		return "", 0, fmt.Errorf("a server name of %d bytes", len(server))
	case strings.Contains(server, "://"):
		return "", 0, errors.New("the server is given as a URL; give the host name alone")
	}
	host, digits, err := net.SplitHostPort(server)
	if err != nil { // without a port
		return server, beside, nil
	}
	if number, err = port(digits); err != nil {
		return "", 0, fmt.Errorf("a port behind the server name %w", err)
	}
	if beside != 0 && number != beside {
		return "", 0, fmt.Errorf("port %d behind the server name, but port %d in its own field", number, beside)
	}
	return host, number, nil
}
