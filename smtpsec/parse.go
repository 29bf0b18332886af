package smtpsec

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/setting"
)

// ParseURL reads a setting given as a URL, as mail libraries and containers take it:
//
//	smtps://user:password@mail.corp.example         TLS from the first byte
//	smtp://mail.corp.example?starttls=required      STARTTLS or nothing
//	smtp://mail.corp.example                        STARTTLS if offered
//	smtp://mail.corp.example?starttls=off           no TLS
//
// What smtp:// means without a parameter differs between libraries, from no TLS (curl) to TLS
// if offered (Symfony Mailer, Nodemailer); none of them demands it, and Opportunistic says so.
// Understood are these parameters: starttls (required, optional, off), auth (a mechanism), and
// those of Symfony Mailer and Nodemailer that change what TLS is worth: require_tls, auto_tls,
// verify_peer, requireTLS, ignoreTLS, secure, tls.rejectUnauthorized; local_domain and name are
// the name in EHLO. Others are refused rather than ignored.
func ParseURL(s string) (Config, error) {
	if len(s) > setting.MaxURL {
		return Config{}, fmt.Errorf("smtpsec: an SMTP URL of %d bytes; at most %d are read", len(s), setting.MaxURL)
	}
	scheme, rest, ok := strings.Cut(strings.TrimSpace(s), "://")
	if !ok {
		return Config{}, errors.New(`smtpsec: not an SMTP URL: "://" is missing; write smtps://host.domain`)
	}
	var c Config
	switch strings.ToLower(scheme) {
	case "smtps":
	case "smtp":
		c.Mode = Opportunistic
	default:
		return Config{}, fmt.Errorf("smtpsec: scheme %q is not SMTP; write smtps://", setting.OneLine(scheme))
	}
	if strings.ContainsRune(rest, '#') {
		return Config{}, errors.New("smtpsec: the SMTP URL has a fragment (#…); write # in a password as %23")
	}
	rest, query, _ := strings.Cut(rest, "?")
	authority, path, _ := strings.Cut(rest, "/")
	if path != "" {
		return Config{}, errors.New("smtpsec: the SMTP URL has a path; write / in a password as %2F")
	}
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		user, password, _ := strings.Cut(authority[:i], ":")
		var err, err2 error
		c.User, err = url.PathUnescape(user)
		password, err2 = url.PathUnescape(password)
		if err != nil || err2 != nil {
			return Config{}, errors.New("smtpsec: user or password of the SMTP URL has a broken %-escape; write % as %25")
		}
		if !utf8.ValidString(c.User) || !utf8.ValidString(password) {
			return Config{}, errors.New("smtpsec: user or password of the SMTP URL is not UTF-8")
		}
		c.Password = connsec.NewSecret(password)
		authority = authority[i+1:]
	}
	host, port, err := setting.SplitAuthority(authority)
	if err != nil {
		return Config{}, fmt.Errorf("smtpsec: the SMTP URL %w", err)
	}
	if host == "" {
		return Config{}, errors.New("smtpsec: the SMTP URL has no host")
	}
	c.Host, c.Port = host, port
	if err := c.parameters(query); err != nil {
		return Config{}, err
	}
	return c, nil
}

// parameters applies the query. Values are not quoted in errors: they may be misplaced secrets.
func (c *Config) parameters(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("smtpsec: the parameters of the SMTP URL cannot be read: broken %-escape or semicolon")
	}
	for key, given := range values {
		if len(given) > 1 {
			return fmt.Errorf("smtpsec: parameter %q stands more than once in the SMTP URL", setting.OneLine(key))
		}
	}
	take := func(key string) (string, bool) {
		v, ok := values[key]
		delete(values, key)
		if !ok {
			return "", false
		}
		return v[0], true
	}
	var wrong error
	flag := func(key string, effect func(on bool)) {
		v, ok := take(key)
		if !ok || wrong != nil {
			return
		}
		on, err := strconv.ParseBool(v)
		if err != nil {
			wrong = fmt.Errorf("smtpsec: parameter %q of the SMTP URL is neither true nor false", key)
			return
		}
		effect(on)
	}
	if v, ok := take("starttls"); ok {
		modes := map[string]Mode{"required": StartTLS, "optional": Opportunistic, "off": Plaintext}
		mode, known := modes[strings.ToLower(v)]
		if !known {
			return errors.New(`smtpsec: parameter "starttls" of the SMTP URL is none of required, optional, off`)
		}
		if c.Mode == Implicit {
			return errors.New(`smtpsec: parameter "starttls" contradicts smtps://, which is TLS from the first byte`)
		}
		c.Mode = mode
	}
	if v, ok := take("auth"); ok {
		if c.Method, err = ParseMethod(v); err != nil {
			return fmt.Errorf("smtpsec: parameter \"auth\" of the SMTP URL is none of %s", strings.Join(methods.Names, ", "))
		}
	}
	// What demands TLS is applied after what permits its absence.
	flag("auto_tls", func(on bool) {
		if !on && c.Mode == Opportunistic {
			c.Mode = Plaintext
		}
	})
	flag("ignoreTLS", func(on bool) {
		if on && c.Mode == Opportunistic {
			c.Mode = Plaintext
		}
	})
	require := func(on bool) {
		if on && c.Mode != Implicit {
			c.Mode = StartTLS
		}
	}
	flag("require_tls", require)
	flag("requireTLS", require)
	flag("secure", func(on bool) {
		if on {
			c.Mode = Implicit
		}
	})
	verify := func(on bool) { c.AnyCertificate = c.AnyCertificate || !on }
	flag("verify_peer", verify)
	flag("tls.rejectUnauthorized", verify)
	for _, key := range []string{"local_domain", "name"} {
		if v, ok := take(key); ok {
			if strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
				return fmt.Errorf("smtpsec: parameter %q of the SMTP URL is not a host name", key)
			}
			c.HELO = v
		}
	}
	for key := range values {
		return fmt.Errorf("smtpsec: parameter %q of the SMTP URL is not known", setting.OneLine(key))
	}
	return wrong
}

// Form is a setting as settings pages have it.
type Form struct {
	Server   string // host, or host:port
	Port     uint16 // 0: left to the default
	Security string // None, SSL, TLS, STARTTLS; or "STARTTLS if available", "Auto"
	// NoValidation: the page's box for validating the certificate is not ticked.
	NoValidation bool
	User         string
	Password     connsec.Secret
	Sender       string // the address that mail comes from
}

// ParseForm reads the fields of a settings page. SSL and TLS are the same thing under the
// names of different releases: TLS from the first byte.
func ParseForm(f Form) (Config, error) {
	c := Config{AnyCertificate: f.NoValidation, User: strings.TrimSpace(f.User), Password: f.Password}
	name := strings.ToLower(strings.NewReplacer(" ", "", "_", "", "-", "", "/", "").Replace(f.Security))
	switch name {
	case "ssl", "tls", "ssltls", "smtps", "implicit":
	case "starttls", "starttlsrequired":
		c.Mode = StartTLS
	case "starttlsifavailable", "auto", "opportunistic", "tlsifavailable":
		c.Mode = Opportunistic
	case "none", "":
		c.Mode = Plaintext
	default:
		return Config{}, fmt.Errorf("smtpsec: security %q is none of None, SSL, TLS, STARTTLS", setting.OneLine(f.Security))
	}
	host, port, err := setting.ServerField(f.Server, f.Port)
	switch {
	case err != nil:
		return Config{}, fmt.Errorf("smtpsec: %w", err)
	case host == "":
		return Config{}, errors.New("smtpsec: no server is given")
	}
	c.Host, c.Port = host, port
	if sender := strings.TrimSpace(f.Sender); sender != "" {
		i := strings.LastIndexByte(sender, '@')
		if i <= 0 || i == len(sender)-1 {
			return Config{}, errors.New("smtpsec: the sender is not an address; write name@domain")
		}
		c.Domain = strings.TrimSuffix(sender[i+1:], ">")
	}
	return c, nil
}
