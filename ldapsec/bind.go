package ldapsec

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/connsec/connsec/internal/ldapwire"
	"github.com/connsec/connsec/internal/ntlm"
	"github.com/connsec/connsec/internal/setting"
	"github.com/go-ldap/ldap/v3"
)

// carrier is a way to send NTLM messages in bind requests.
type carrier struct {
	first, next func(id int32, token []byte) []byte
	unwrap      func(ldapwire.Result) ([]byte, error)
}

var (
	// sicily is Active Directory's own (MS-ADTS 5.1.1.1.3).
	sicily = carrier{
		first: func(id int32, token []byte) []byte {
			return ldapwire.Bind(id, "", ldapwire.AuthSicilyNegotiate, token)
		},
		next: func(id int32, token []byte) []byte {
			return ldapwire.Bind(id, "", ldapwire.AuthSicilyResponse, token)
		},
		unwrap: func(r ldapwire.Result) ([]byte, error) { return r.Challenge(), nil },
	}
	// spnego is SASL GSS-SPNEGO (MS-ADTS 5.1.1.1.2), which both Active Directory and Samba take.
	spnego = carrier{
		first: func(id int32, token []byte) []byte {
			return ldapwire.BindSASL(id, "GSS-SPNEGO", ntlm.WrapInit(token))
		},
		next: func(id int32, token []byte) []byte {
			return ldapwire.BindSASL(id, "GSS-SPNEGO", ntlm.WrapNext(token))
		},
		unwrap: func(r ldapwire.Result) ([]byte, error) { return ntlm.Unwrap(r.Creds) },
	}
)

// bindNTLM makes the two round trips of an NTLM bind and returns the result that ends it.
func bindNTLM(s *session, by carrier, user ntlm.Client) (ldapwire.Result, error) {
	negotiate := ntlm.Negotiate()
	res, err := s.bind(func(id int32) []byte { return by.first(id, negotiate) })
	if err != nil {
		return res, err
	}
	// Sicily answers with success and the challenge, SASL with "in progress".
	if res.Code != ldapwire.ResultSASLInProgress && (res.Code != ldapwire.ResultSuccess || len(res.Challenge()) == 0) {
		if res.Code == ldapwire.ResultSuccess {
			return res, errors.New("the server accepts an NTLM bind before it was authenticated")
		}
		return res, nil
	}
	challenge, err := by.unwrap(res)
	if err != nil {
		return res, err
	}
	token, err := user.Authenticate(negotiate, challenge)
	if err != nil {
		return res, err
	}
	res, err = s.bind(func(id int32) []byte { return by.next(id, token) })
	if err == nil && res.Code == ldapwire.ResultSASLInProgress {
		return res, errors.New("the server asks for a third NTLM message, which does not exist")
	}
	return res, err
}

// bindGSS makes a SASL GSSAPI bind (RFC 4752): tokens to and fro until the server is content.
// The last exchange agrees on no security layer, because TLS is one.
func bindGSS(ctx context.Context, s *session, g GSSClient, service string, binding []byte) (ldapwire.Result, error) {
	defer func() { _ = g.Close() }()
	token, err := g.Init(ctx, service, binding)
	if err != nil {
		return ldapwire.Result{}, err
	}
	const maxRounds = 6 // AP exchange, layer negotiation, and room for a mechanism with one more
	for done, round := false, 0; round < maxRounds; round++ {
		res, err := s.bind(func(id int32) []byte { return ldapwire.BindSASL(id, "GSSAPI", token) })
		if err != nil || res.Code != ldapwire.ResultSASLInProgress {
			if err == nil && res.Code == ldapwire.ResultSuccess && !done {
				// Mutual authentication: a server that cannot show the key of its service must
				// not be taken for it, however it answers.
				return res, errors.New("the server ends the Kerberos bind before it has authenticated itself")
			}
			return res, err
		}
		if done {
			break
		}
		if token, done, err = g.Next(res.Creds); err != nil {
			return res, err
		}
	}
	return ldapwire.Result{}, errors.New("the server does not come to an end with the Kerberos bind")
}

// authenticate binds as the setting says.
func (c Config) authenticate(ctx context.Context, s *session, name string, state tls.ConnectionState) error {
	var res ldapwire.Result
	var err error
	s.secret = c.Password
	switch c.Method {
	case Simple:
		if c.BindDN == "" && c.Password.IsEmpty() {
			return nil
		}
		if c.Password.IsEmpty() { // whatever was waived: success would mean nothing
			return errors.New("a bind without a password authenticates nobody")
		}
		if c.BindDN == "" { // Active Directory takes it for an anonymous bind and calls it success
			return errors.New("a bind without an account authenticates nobody, whatever the password")
		}
		res, err = s.bind(func(id int32) []byte {
			return ldapwire.Bind(id, c.BindDN, ldapwire.AuthSimple, []byte(c.Password.Reveal()))
		})
	case NTLM:
		res, err = c.bindAsUser(s, state)
	case Kerberos:
		if c.Kerberos == nil {
			return errors.New("method kerberos needs Config.Kerberos; package ldapsec/kerberos makes one")
		}
		var binding []byte
		if binding, err = EndPointBinding(state); err == nil {
			res, err = bindGSS(ctx, s, c.Kerberos, "ldap/"+name, binding)
		}
	case External:
		if len(c.ClientCertificates) == 0 {
			return errors.New("method external needs a client certificate")
		}
		res, err = s.bind(func(id int32) []byte { return ldapwire.BindSASL(id, "EXTERNAL", []byte{}) })
	default:
		return fmt.Errorf("%s is no known bind method", c.Method)
	}
	if err != nil {
		return err
	}
	if res.Code != ldapwire.ResultSuccess {
		return ldap.NewError(uint16(res.Code), errors.New(c.reason(res)))
	}
	return nil
}

func (c Config) bindAsUser(s *session, state tls.ConnectionState) (ldapwire.Result, error) {
	if c.Password.IsEmpty() || c.BindDN == "" {
		return ldapwire.Result{}, errors.New("an NTLM bind without account and password is a null session")
	}
	binding, err := EndPointBinding(state)
	if err != nil {
		return ldapwire.Result{}, err
	}
	domain, user := splitAccount(c.BindDN)
	client := ntlm.Client{
		User: user, Domain: domain, Hash: ntlm.Hash(c.Password.Reveal()),
		Binding: ntlm.BindingHash(binding), Rand: c.rand(), Now: c.now,
	}
	res, err := bindNTLM(s, spnego, client)
	if err == nil && res.Code == ldapwire.ResultAuthMethodNotSupported {
		res, err = bindNTLM(s, sicily, client)
	}
	return res, err
}

// reason explains a refused bind in the server's words and, where they are a code of Active
// Directory, in plain ones. A server that echoes the password does not get it into an error.
func (c Config) reason(res ldapwire.Result) string {
	diag := without(res.Diagnostic, c.Password)
	text := setting.OneLine(diag)
	if text == "" {
		text = "no reason given"
	}
	if hint := bindHint(diag); hint != "" {
		text += " (" + hint + ")"
	}
	return text
}

// bindHint translates the Win32 error that Active Directory hides in "data …" of its
// diagnostic.
func bindHint(diagnostic string) string {
	if strings.Contains(diagnostic, badBindings) {
		return "the server refuses the channel binding"
	}
	_, data, ok := strings.Cut(diagnostic, "data ")
	if !ok {
		return ""
	}
	data, _, _ = strings.Cut(data, ",")
	switch strings.ToLower(strings.TrimSpace(data)) {
	case "525", "52e":
		return "wrong account or password"
	case "530":
		return "the account may not log on at this time"
	case "531":
		return "the account may not log on from this machine"
	case "532":
		return "the password has expired"
	case "533":
		return "the account is disabled"
	case "701":
		return "the account has expired"
	case "773":
		return "the password must be changed first"
	case "775":
		return "the account is locked"
	}
	return ""
}

func ntHash(s string) ([]byte, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 16 {
		return nil, errors.New("ldapsec: an NT hash has 32 hexadecimal digits") // without the text: it is as good as a password
	}
	return b, nil
}
