package ldapsec

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/ldapwire"
	"github.com/connsec/connsec/internal/setting"
	"github.com/connsec/connsec/tlscheck"
	"github.com/go-ldap/ldap/v3"
)

// Dial connects to the first server of the setting that answers, verifies its certificate and
// name, authenticates as the setting says, and hands over the connection.
//
// It refuses a setting of which a rule of High or above fails, unless a waiver covers it, and
// plaintext always. Nothing weakens when a server fails: the next one is held to the same. A
// server's refusal of the credentials is final, so that a wrong password is not tried against
// every controller until the account locks.
//
// ctx governs everything up to the return. A refused bind is an *[ldap.Error]; what Validate
// fails is an error for [errors.Is] on the rules.
func (c Config) Dial(ctx context.Context) (*ldap.Conn, error) {
	report, _ := c.Validate().Waive(c.Waivers, c.now())
	if err := report.Err(connsec.High); err != nil {
		return nil, err
	}
	if c.Mode == Plaintext {
		return nil, fmt.Errorf("ldapsec: %s: a connection without TLS is never made, whatever is waived", c.target())
	}
	names, err := c.controllers(ctx)
	if err != nil {
		return nil, err
	}
	var failed []error
	for _, name := range names {
		conn, err := c.dialServer(ctx, name)
		if err == nil {
			return conn, nil
		}
		failed = append(failed, err)
		if final(err) || ctx.Err() != nil {
			break
		}
	}
	if len(failed) == 1 {
		return nil, failed[0]
	}
	return nil, fmt.Errorf("ldapsec: none of %d servers could be used: %w", len(failed), errors.Join(failed...))
}

// controllers returns the servers to try. Those that DNS names must be hosts of the domain:
// only then does a certificate for their name say that they belong to it.
func (c Config) controllers(ctx context.Context) ([]string, error) {
	if err := c.usable(); err != nil || !c.discovers() {
		return c.Servers, err
	}
	d := c.discover(ctx)
	switch {
	case d.Problem != "":
		return nil, fmt.Errorf("ldapsec: the controllers of %s cannot be found: %s", setting.OneLine(hostOf(c.Domain)), d.Problem)
	case d.None:
		return nil, fmt.Errorf("ldapsec: DNS knows no controllers of %s", setting.OneLine(hostOf(c.Domain)))
	}
	report := connsec.Report{Target: c.target(), Findings: connsec.Run(c.target(), d, discoveryChecks)}
	report, _ = report.Waive(c.Waivers, c.now())
	if err := report.Err(connsec.Medium); err != nil {
		return nil, err
	}
	return d.Found, nil
}

func (c Config) dialServer(ctx context.Context, name string) (*ldap.Conn, error) {
	way := wayLDAPS
	if c.Mode == StartTLS {
		way = wayStartTLS
	}
	where := subject(name, c.port(), way)
	conn, err := c.dialTLS(ctx, name, c.port(), way)
	if err != nil {
		return nil, fmt.Errorf("ldapsec: %s: %w", where, explain(err, way))
	}
	state := conn.ConnectionState()
	stop := govern(ctx, conn)
	err = c.authenticate(ctx, newSession(conn), referenceName(name), state)
	if !stop() {
		err = errors.Join(context.Cause(ctx), err)
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("ldapsec: %s: bind: %w", where, err)
	}
	l := ldap.NewConn(conn, true)
	l.Start()
	return l, nil
}

// final reports whether a server's answer would be the same at the next one.
func final(err error) bool {
	var refused *ldap.Error
	if !errors.As(err, &refused) {
		return false
	}
	return refused.ResultCode != ldapwire.ResultBusy && refused.ResultCode != ldapwire.ResultUnavailable
}

// explain adds to a failed connection what can be done about it.
func explain(err error, way string) error {
	var (
		record  tls.RecordHeaderError
		unknown x509.UnknownAuthorityError
	)
	switch {
	case errors.As(err, &record) && way == wayStartTLS:
		return fmt.Errorf("the server sends bytes behind its START TLS answer; somebody may have put them there: %w", err)
	case errors.As(err, &unknown):
		return fmt.Errorf("%w (add the issuing CA's certificate to the roots)", err)
	case tlscheck.ProblemOf(err).Kind == tlscheck.Closed && way == wayLDAPS:
		return fmt.Errorf("%w (a domain controller without a certificate does this)", err)
	}
	return err
}

// unverified says why there is no verified TLS connection.
func unverified(err error) string {
	var certificate *tls.CertificateVerificationError
	if errors.As(err, &certificate) {
		return "the certificate is not accepted: " + strings.TrimPrefix(certificate.Err.Error(), "x509: ")
	}
	return problemOf(err)
}

// problemOf is the text of an error for people, without the stack of addresses around it.
func problemOf(err error) string {
	if p := tlscheck.ProblemOf(err); p.Kind != tlscheck.Other {
		return p.Text
	}
	return err.Error()
}
