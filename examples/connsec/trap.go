package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/audit"
	"github.com/connsec/connsec/report"
	"github.com/connsec/connsec/trap"
)

// running is a trap of any protocol.
type running interface {
	Addr() string
	Await(context.Context, int) error
	Close() error
}

// snare starts the trap of one protocol; observed returns its records.
type snare struct {
	protocol string
	postures func() []string
	start    func(o options, posture string) (running, func() []any, error)
}

// options are those of all traps, and what RADIUS needs besides.
type options struct {
	trap.Options
	secret connsec.Secret
}

func snares() []snare {
	return []snare{
		snareOf("https", trap.HTTPSPostures, trap.ParseHTTPSPosture, func(o options, p trap.HTTPSPosture) (*trap.HTTPS, error) { return o.HTTPS(p) }),
		snareOf("ldap", trap.LDAPPostures, trap.ParseLDAPPosture, func(o options, p trap.LDAPPosture) (*trap.LDAP, error) { return o.LDAP(p) }),
		snareOf("sql", trap.SQLPostures, trap.ParseSQLPosture, func(o options, p trap.SQLPosture) (*trap.SQL, error) {
			return o.SQL(trap.SQLConfig{Posture: p})
		}),
		snareOf("smtp", trap.SMTPPostures, trap.ParseSMTPPosture, func(o options, p trap.SMTPPosture) (*trap.SMTP, error) { return o.SMTP(p) }),
		snareOf("radius", trap.RADIUSPostures, trap.ParseRADIUSPosture, func(o options, p trap.RADIUSPosture) (*trap.RADIUS, error) {
			if o.secret.IsEmpty() {
				return nil, usagef("a RADIUS trap shares a secret with its clients: give --secret-file")
			}
			return o.RADIUS(p, o.secret)
		}),
		snareOf("radsec", trap.RadSecPostures, trap.ParseRadSecPosture, func(o options, p trap.RadSecPosture) (*trap.RadSec, error) { return o.RadSec(p) }),
		snareOf("rest", trap.RESTPostures, trap.ParseRESTPosture, func(o options, p trap.RESTPosture) (*trap.REST, error) { return o.REST(p) }),
		snareOf("xmpl", trap.XMPLPostures, trap.ParseXMPLPosture, func(o options, p trap.XMPLPosture) (*trap.XMPL, error) { return o.XMPL(p) }),
		snareOf("smtps", trap.SMTPPostures, trap.ParseSMTPPosture, func(o options, p trap.SMTPPosture) (*trap.SMTP, error) { return o.SMTPS(p) }),
	}
}

// snareOf makes the snare of a trap with postures P and records R.
func snareOf[P fmt.Stringer, R any, S interface {
	running
	Observed() []R
}](protocol string, postures func() []P, parse func(string) (P, error), start func(options, P) (S, error)) snare {
	return snare{
		protocol: protocol,
		postures: func() []string {
			var out []string
			for _, p := range postures() {
				out = append(out, p.String())
			}
			return out
		},
		start: func(o options, posture string) (running, func() []any, error) {
			p, err := parse(posture)
			if err != nil {
				return nil, nil, err
			}
			s, err := start(o, p)
			if err != nil {
				return nil, nil, err
			}
			return s, func() []any {
				var out []any
				for _, r := range s.Observed() {
					out = append(out, r)
				}
				return out
			}, nil
		},
	}
}

func trapCommand() command {
	var protocols []string
	for _, s := range snares() {
		protocols = append(protocols, s.protocol)
	}
	return command{
		name: "trap", args: "PROTOCOL", endless: true,
		about:  "be a hostile server (" + strings.Join(protocols, ", ") + ") and say what the client did; --posture list names the postures",
		shares: flagFormat | flagVerbose,
		setup: func(fs *flag.FlagSet, shared *common) func(context.Context, *call) error {
			posture := fs.String("posture", "", "how to behave: `NAME`, or list")
			listen := fs.String("listen", "127.0.0.1:0", "listen on `ADDR:PORT`")
			count := fs.Int("count", 0, "end after `N` connections (default: when interrupted)")
			secretFile := fs.String("secret-file", "", "for radius: `FILE` with the secret that its clients share with it")
			caOut := fs.String("ca-out", "", "write the trap's own CA to `FILE`, for the client to trust")
			var hosts fileList
			fs.Var(&hosts, "name", "`HOST` that the certificate is for; repeatable")
			return func(ctx context.Context, c *call) error {
				if len(c.args) != 1 {
					return usagef("which protocol? one of %s", strings.Join(protocols, ", "))
				}
				i := slices.IndexFunc(snares(), func(s snare) bool { return s.protocol == c.args[0] })
				if i < 0 {
					return usagef("there is no trap for %q; there is %s", c.args[0], strings.Join(protocols, ", "))
				}
				s := snares()[i]
				if *posture == "list" {
					fmt.Fprintln(c.out, strings.Join(s.postures(), "\n"))
					return nil
				}
				if *posture == "" {
					return usagef("which --posture? one of %s", strings.Join(s.postures(), ", "))
				}
				o := options{Options: trap.Options{Listen: *listen, Names: hosts}}
				if *secretFile != "" {
					var err error
					if o.secret, err = audit.ReadSecret(*secretFile); err != nil {
						return err
					}
				}
				t, observed, err := s.start(o, *posture)
				if err != nil {
					return err
				}
				defer t.Close()
				if *caOut != "" {
					over, ok := t.(interface{ CA() []byte })
					if !ok {
						return usagef("a trap for %s has no certificate", s.protocol)
					}
					if err := os.WriteFile(*caOut, over.CA(), 0o644); err != nil { // #nosec G306 -- a public certificate
						return err
					}
				}
				fmt.Fprintf(c.err, "connsec trap: %s, %s, on %s\n", s.protocol, *posture, t.Addr())
				return c.watch(ctx, t, observed, *posture, *count)
			}
		},
	}
}

// retransmission is when RADIUS clients ask again (RFC 5080 §2.2.1 proposes 2 s).
const retransmission = 5 * time.Second

// watch reports each connection when it has ended, and fails if a client fell into the trap.
func (c *call) watch(ctx context.Context, t running, observed func() []any, posture string, count int) error {
	told, fell := map[int]bool{}, false
	for count == 0 || len(told) < count {
		if err := t.Await(ctx, len(told)+1); err != nil {
			if ctx.Err() != nil {
				break // interrupted, or its time is over: that is how it ends
			}
			return err
		}
		if _, datagrams := t.(*trap.RADIUS); datagrams {
			// A client that asks again has refused the answer; give it the time to.
			select {
			case <-time.After(retransmission):
			case <-ctx.Done():
			}
		}
		all := observed()
		for i, r := range all {
			if lasted := reflect.ValueOf(r).FieldByName("Lasted"); told[i] || lasted.IsValid() && lasted.IsZero() {
				continue
			}
			told[i] = true
			why := fellFor(r, posture)
			fell = fell || len(why) > 0
			if c.common.format == report.JSON {
				if err := json.NewEncoder(c.out).Encode(r); err != nil {
					return err
				}
				continue
			}
			c.describe(i+1, r, why)
		}
	}
	switch {
	case fell:
		return outcome(exitFindings)
	case len(told) == 0:
		return unreached{errors.New("no client came")}
	}
	return nil
}

// describe prints what one client did, in the words of the record.
func (c *call) describe(n int, r any, fell []string) {
	fmt.Fprintf(c.out, "connection %d\n", n)
	var show func(indent string, v reflect.Value)
	show = func(indent string, v reflect.Value) {
		for _, f := range reflect.VisibleFields(v.Type()) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			value := v.FieldByIndex(f.Index)
			if name == "" || value.IsZero() {
				continue
			}
			name = strings.ReplaceAll(strings.TrimSuffix(name, "_ns"), "_", " ")
			switch x := value.Interface().(type) {
			case time.Duration:
				fmt.Fprintf(c.out, "%s%s: %s\n", indent, name, x.Round(time.Millisecond))
			case *trap.Handshake:
				fmt.Fprintf(c.out, "%s%s:\n", indent, name)
				show(indent+"  ", value.Elem())
			case bool:
				fmt.Fprintf(c.out, "%s%s\n", indent, name)
			case []string:
				if len(x) > 8 && !c.common.verbose {
					fmt.Fprintf(c.out, "%s%s: %d, the first is %s\n", indent, name, len(x), printable(x[0]))
					continue
				}
				fmt.Fprintf(c.out, "%s%s: %s\n", indent, name, hang(len(indent)+len(name)+2, printable(strings.Join(x, " "))))
			default:
				fmt.Fprintf(c.out, "%s%s: %s\n", indent, name, printable(fmt.Sprint(x)))
			}
		}
	}
	show("  ", reflect.ValueOf(r))
	if len(fell) == 0 {
		fmt.Fprintln(c.out, "  → it gave nothing away")
	}
	for _, why := range fell {
		fmt.Fprintf(c.out, "  → FELL FOR IT: %s\n", why)
	}
}

// printable keeps a client's text from driving the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

// impostures are the postures whose certificate or protocol version a client must refuse.
var impostures = []string{
	"expired", "not-yet-valid", "wrong-name", "common-name-only", "self-signed", "untrusted", "no-intermediate", "client-only",
	"partial-wildcard", "sha1", "tls10-only", "rc4-only", "fallback", "fallback-certificate",
}

// fellFor lists what the client should not have done.
func fellFor(r any, posture string) []string {
	var out []string
	v := reflect.ValueOf(r)
	flag := func(name string) bool {
		f := v.FieldByName(name)
		return f.IsValid() && f.Kind() == reflect.Bool && f.Bool()
	}
	if f := v.FieldByName("TLS"); f.IsValid() && !f.IsNil() && slices.Contains(impostures, posture) && f.Interface().(*trap.Handshake).Trust == trap.Trusted {
		out = append(out, "it trusted the server ("+posture+") and sent data")
	}
	if f := v.FieldByName("Trust"); f.IsValid() && f.Interface() == trap.Trusted && posture != "honest" {
		out = append(out, "it believed the answer ("+posture+")")
	}
	if f := v.FieldByName("MessageAuthenticator"); f.IsValid() && !f.Bool() && v.FieldByName("Code").Int() == 1 {
		out = append(out, "its request carries no Message-Authenticator")
	}
	for _, f := range []struct{ field, text string }{
		{"PasswordInClear", "it sent a password in clear"},
		{"LoginInClear", "it logged in without TLS"},
		{"BindInClear", "it asked to be authenticated without TLS"},
		{"MessageInClear", "it sent mail in clear"},
		{"TookInjected", "it acted on what was said outside of TLS"},
		{"SecretInClear", "it sent its secret in clear"},
		{"TokenInClear", "it sent a token in clear"},
		{"SecretInURL", "it put its secret into the URL"},
		{"TokenInURL", "it put a token into the URL"},
		{"SecretElsewhere", "it followed a redirect with its secret"},
		{"TokenElsewhere", "it followed a redirect with a token"},
	} {
		if flag(f.field) {
			out = append(out, f.text)
		}
	}
	if flag("Cleartext") && (flag("Cookie") || flag("Authorization")) {
		out = append(out, "it sent a cookie or credentials in clear")
	}
	return out
}
