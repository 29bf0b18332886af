package ldapsec

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/connsec/connsec/internal/setting"
	"github.com/go-ldap/ldap/v3"
)

// Limits on what an administrator types. Real DNs have a few hundred bytes.
const (
	maxDN      = 4 << 10
	maxServers = 64
)

// ParseURL reads a setting given as LDAP URLs: "ldaps://dc1.corp.example/dc=corp,dc=example".
// Several, separated by spaces, are alternatives and may differ only in the host. ldap://
// means plaintext.
//
// Of RFC 4516 only scheme, host, port and base DN are taken. Attributes, scope, filter and
// extensions say what to search for, not where to connect, and are refused rather than
// ignored; so is a user or password, which an LDAP URL cannot have.
func ParseURL(s string) (Config, error) {
	if len(s) > setting.MaxURL {
		return Config{}, fmt.Errorf("ldapsec: an LDAP URL of %d bytes; at most %d are read", len(s), setting.MaxURL)
	}
	fields := strings.Fields(s)
	switch {
	case len(fields) == 0:
		return Config{}, errors.New("ldapsec: no LDAP URL is given; write ldaps://host.domain")
	case len(fields) > maxServers:
		return Config{}, fmt.Errorf("ldapsec: %d LDAP URLs; at most %d are read", len(fields), maxServers)
	}
	var c Config
	for i, f := range fields {
		one, err := parseOneURL(f)
		if err != nil {
			return Config{}, err
		}
		if len(fields) > 1 && len(one.Servers) == 0 {
			return Config{}, errors.New("ldapsec: one of several LDAP URLs has no host; servers are named or found by DNS, not both")
		}
		if i == 0 {
			c = one
			continue
		}
		if one.Mode != c.Mode || one.Port != c.Port || one.BaseDN != c.BaseDN {
			return Config{}, errors.New("ldapsec: the LDAP URLs differ in more than the host; give each its own setting")
		}
		c.Servers = append(c.Servers, one.Servers...)
	}
	return c, nil
}

// parseOneURL keeps the URL's text out of its errors: a misplaced password may stand in it.
func parseOneURL(s string) (Config, error) {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return Config{}, errors.New(`ldapsec: not an LDAP URL: "://" is missing; write ldaps://host.domain`)
	}
	var c Config
	switch strings.ToLower(scheme) {
	case "ldaps":
	case "ldap":
		c.Mode = Plaintext
	case "ldapi":
		return Config{}, errors.New("ldapsec: ldapi:// is a local socket; there is no connection to judge")
	default:
		return Config{}, fmt.Errorf("ldapsec: scheme %q is not LDAP; write ldaps://", setting.OneLine(scheme))
	}
	if strings.ContainsAny(rest, "#") {
		return Config{}, errors.New("ldapsec: the LDAP URL has a fragment (#…), which means nothing here")
	}
	authority, tail, _ := strings.Cut(rest, "/")
	if strings.ContainsRune(authority, '?') {
		return Config{}, errors.New("ldapsec: the LDAP URL has attributes, a scope, a filter or extensions; only the base DN is taken")
	}
	if strings.ContainsRune(authority, '@') {
		return Config{}, errors.New("ldapsec: the LDAP URL has a user or password before @; RFC 4516 has none, give them as bind DN and password")
	}
	if dn, extra, has := strings.Cut(tail, "?"); has {
		if strings.Trim(extra, "?") != "" {
			return Config{}, errors.New("ldapsec: the LDAP URL has attributes, a scope, a filter or extensions; only the base DN is taken")
		}
		tail = dn
	}
	base, err := url.PathUnescape(tail)
	if err != nil {
		return Config{}, errors.New("ldapsec: the base DN of the LDAP URL has a broken %-escape")
	}
	if problem := dnProblem(base); problem != "" {
		return Config{}, fmt.Errorf("ldapsec: the base DN of the LDAP URL %s", problem)
	}
	c.BaseDN = base
	host, port, err := setting.SplitAuthority(authority)
	if err != nil {
		return Config{}, fmt.Errorf("ldapsec: the LDAP URL %w", err)
	}
	c.Port = port
	if host != "" { // ldaps:/// leaves the server to discovery (RFC 4516, 2)
		c.Servers = []string{host}
	}
	return c, nil
}

// ParseForm reads a setting as settings pages have it: a server, which may be left blank for
// automatic discovery in the domain, and a security choice out of None, SSL, TLS and START
// TLS. SSL and TLS are the same thing under the names of different releases: TLS from the
// first byte. The port is 0 where the page leaves it to the default.
func ParseForm(server, security, domain string, port uint16) (Config, error) {
	c := Config{Domain: strings.TrimSpace(domain)}
	switch name := strings.ToLower(strings.NewReplacer(" ", "", "_", "", "-", "").Replace(security)); name {
	case "ssl", "tls", "ldaps":
	case "starttls":
		c.Mode = StartTLS
	case "none", "":
		c.Mode = Plaintext
	default:
		return Config{}, fmt.Errorf("ldapsec: security %q is none of None, SSL, TLS, START TLS", setting.OneLine(security))
	}
	server, port, err := setting.ServerField(server, port)
	if err != nil {
		return Config{}, fmt.Errorf("ldapsec: %w", err)
	}
	c.Port = port
	if server != "" {
		c.Servers = []string{server}
	}
	return c, nil
}

// dnProblem says what keeps a text from being a DN, or returns "".
func dnProblem(dn string) string {
	switch {
	case len(dn) > maxDN:
		return fmt.Sprintf("has %d bytes; at most %d are taken", len(dn), maxDN)
	case strings.ContainsRune(dn, 0):
		return "contains a NUL byte"
	case !utf8.ValidString(dn):
		return "is not UTF-8"
	case dn == "":
		return ""
	}
	if _, err := ldap.ParseDN(dn); err != nil {
		return "is not a DN (RFC 4514)"
	}
	return ""
}

// isDN tells a distinguished name from the other forms of an account: user@domain and
// DOMAIN\user have no type before an equals sign.
func isDN(account string) bool {
	i := strings.IndexByte(account, '=')
	return i > 0 && !strings.ContainsAny(account[:i], `\@`)
}

// accountProblem says what keeps a text from being an account, or returns "".
func accountProblem(account string) string {
	if isDN(account) {
		return dnProblem(account)
	}
	switch {
	case len(account) > maxDN:
		return fmt.Sprintf("has %d bytes; at most %d are taken", len(account), maxDN)
	case strings.ContainsFunc(account, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "contains a control character"
	case !utf8.ValidString(account):
		return "is not UTF-8"
	}
	return ""
}

// splitAccount takes DOMAIN\user or user@domain apart for NTLM. A user@domain name goes as it
// is, with an empty domain, because the domain of a user principal name need not be the
// account's own (MS-NLMP 3.3.2, "UserDom").
func splitAccount(account string) (domain, user string) {
	if d, u, ok := strings.Cut(account, `\`); ok {
		return d, u
	}
	return "", account
}
