package ldapsec

import (
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/connsec/connsec/internal/ntlm"
	"github.com/go-ldap/ldap/v3"
)

// EndPointBinding returns the tls-server-end-point channel binding of a TLS connection
// (RFC 5929, 4): the prefix and the hash of the server's certificate. It is the same for
// TLS 1.2 and 1.3. The error is for certificates for which the RFC defines no hash, such as
// those signed with Ed25519.
func EndPointBinding(state tls.ConnectionState) ([]byte, error) {
	if len(state.PeerCertificates) == 0 {
		return nil, errors.New("ldapsec: the connection has no server certificate to bind to")
	}
	b, err := ntlm.EndPoint(state.PeerCertificates[0])
	if err != nil {
		return nil, fmt.Errorf("ldapsec: %w", err)
	}
	return b, nil
}

// Negotiator lets go-ldap's NTLM bind carry the channel binding, for programs that have a
// connection of their own:
//
//	state, _ := conn.TLSConnectionState()
//	negotiator, err := ldapsec.NewNegotiator(state)
//	conn.NTLMChallengeBind(&ldap.NTLMBindRequest{Domain: …, Username: …, Password: …, Negotiator: negotiator})
//
// That is Active Directory's own form of the bind; Samba takes only the one of
// [Config.Dial]. A negotiator serves one bind.
type Negotiator struct {
	c         Config
	binding   [16]byte
	domain    string
	negotiate []byte
}

var _ ldap.NTLMNegotiator = (*Negotiator)(nil)

// NewNegotiator binds to the TLS connection. It refuses one whose certificate was not
// verified, because a binding to an impostor's certificate protects nothing.
func NewNegotiator(state tls.ConnectionState) (*Negotiator, error) {
	if len(state.VerifiedChains) == 0 {
		return nil, errors.New("ldapsec: the server's certificate was not verified")
	}
	b, err := EndPointBinding(state)
	if err != nil {
		return nil, err
	}
	return &Negotiator{binding: ntlm.BindingHash(b)}, nil
}

// Negotiate returns the first NTLM message. The workstation is not sent.
func (n *Negotiator) Negotiate(domain, _ string) ([]byte, error) {
	n.domain, n.negotiate = domain, ntlm.Negotiate()
	return n.negotiate, nil
}

// ChallengeResponse answers the challenge. The hash is the NT hash in hexadecimal, as go-ldap
// computes it.
func (n *Negotiator) ChallengeResponse(challenge []byte, username, hash string) ([]byte, error) {
	if n.negotiate == nil {
		return nil, errors.New("ldapsec: there was no negotiate message to go with the challenge")
	}
	key, err := ntHash(hash)
	if err != nil {
		return nil, err
	}
	user := ntlm.Client{Domain: n.domain, User: username, Hash: key, Binding: n.binding, Rand: n.c.rand(), Now: n.c.now}
	return user.Authenticate(n.negotiate, challenge)
}
