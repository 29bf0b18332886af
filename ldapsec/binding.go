package ldapsec

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
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
	leaf := state.PeerCertificates[0]
	hash, err := bindingHash(leaf.SignatureAlgorithm)
	if err != nil {
		return nil, err
	}
	h := hash.New()
	_, _ = h.Write(leaf.Raw)
	return h.Sum([]byte("tls-server-end-point:")), nil
}

// bindingHash is the signature's hash function, SHA-256 in place of MD5 and SHA-1.
func bindingHash(a x509.SignatureAlgorithm) (crypto.Hash, error) {
	switch a {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1,
		x509.SHA256WithRSA, x509.SHA256WithRSAPSS, x509.DSAWithSHA256, x509.ECDSAWithSHA256:
		return crypto.SHA256, nil
	case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
		return crypto.SHA384, nil
	case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512:
		return crypto.SHA512, nil
	}
	return 0, fmt.Errorf("ldapsec: no channel binding is defined for a certificate signed with %s", a)
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
