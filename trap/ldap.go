package trap

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/connsec/connsec/internal/ldapwire"
	"github.com/connsec/connsec/internal/ntlm"
)

// LDAPPosture is how an LDAP trap behaves. The zero value is an honest server.
//
// A trap has one port for everything: a client that begins with a TLS handshake gets LDAPS,
// one that begins with an LDAP message gets LDAP without TLS, where it may ask for START TLS.
type LDAPPosture uint8

// The postures.
const (
	// LDAPHonest: a sound certificate, START TLS by the book, and no binds in clear.
	LDAPHonest LDAPPosture = iota
	// LDAPExpired: the certificate ended yesterday.
	LDAPExpired
	// LDAPWrongName: it is for another host.
	LDAPWrongName
	// LDAPSelfSigned: it is signed with its own key.
	LDAPSelfSigned
	// LDAPUntrusted: it is from an authority that the client does not know.
	LDAPUntrusted
	// LDAPStripping: START TLS is refused, and binds in clear succeed, as an attacker on the
	// path would have it. A TLS handshake is dropped.
	LDAPStripping
	// LDAPInjecting: behind the answer to START TLS, in the same segment, comes the success of
	// a bind that the client has yet to send; inside TLS, every bind is refused. A client that
	// keeps what it read before TLS goes on to search.
	LDAPInjecting
	// LDAPBuffering: the server itself has that flaw: what the client sends together with its
	// StartTLS request is carried out inside TLS.
	LDAPBuffering
	// LDAPPlaintext: no TLS at all. START TLS is an unknown operation, a TLS handshake is
	// answered in LDAP.
	LDAPPlaintext
	// LDAPReferring: honest TLS, but every search is referred to ldap:// on the same port,
	// where the trap sees whether the client follows and binds in clear.
	LDAPReferring
	// LDAPController: answers of an Active Directory domain controller that requires signing
	// and channel binding.
	LDAPController
	// LDAPControllerLax: of one that requires neither but looks at a channel binding if there
	// is one.
	LDAPControllerLax
	// LDAPControllerOpen: of one that never looks at it.
	LDAPControllerOpen
	// LDAPControllerNoNTLM: of one on which NTLM is switched off, so that nothing can be told.
	LDAPControllerNoNTLM
	// LDAP389: answers of a 389 Directory Server that refuses binds in clear.
	LDAP389
	// LDAP389Open: of one that does not.
	LDAP389Open
	// LDAPStalledHandshake: it takes the ClientHello and never answers. Without TLS, honest.
	LDAPStalledHandshake
	// LDAPStalled: it takes the first request and never answers.
	LDAPStalled
	// LDAPEarlyClose: it closes after the first request.
	LDAPEarlyClose
	// LDAPOversize: it announces a message of 4 GB.
	LDAPOversize
	// LDAPEndless: it announces a message of 2 GB and sends it as fast as it can, up to 256 MiB.
	LDAPEndless
	// LDAPIndefinite: it answers with the indefinite length that RFC 4511 forbids.
	LDAPIndefinite
	// LDAPWrongID: it answers another message than the one that was asked.
	LDAPWrongID
	// LDAPBanner: it answers in another protocol.
	LDAPBanner
)

var ldapPostures = posturesOf[LDAPPosture]("LDAP",
	"honest", "expired", "wrong-name", "self-signed", "untrusted", "stripping", "injecting", "buffering", "plaintext", "referring",
	"controller", "controller-lax", "controller-open", "controller-no-ntlm", "389", "389-open",
	"stalled-handshake", "stalled", "early-close", "oversize", "endless", "indefinite", "wrong-id", "banner",
)

// LDAPPostures returns all postures, the honest one first.
func LDAPPostures() []LDAPPosture { return ldapPostures.all() }

// String returns the name, such as "stripping".
func (p LDAPPosture) String() string { return ldapPostures.Name(p) }

// ParseLDAPPosture is the inverse of [LDAPPosture.String].
func ParseLDAPPosture(name string) (LDAPPosture, error) { return ldapPostures.parse(name) }

// Binding is what channel binding a client's NTLM bind carried.
type Binding string

// The kinds of channel binding.
const (
	NotBound   Binding = "none"
	BoundHere  Binding = "right" // to the certificate that the trap showed on this connection
	BoundWrong Binding = "wrong"
)

// LDAPConnection is what one client did.
type LDAPConnection struct {
	// TLS is nil if the client did not send a ClientHello.
	TLS *Handshake `json:"tls,omitempty"`
	// Cleartext: it sent an LDAP message without TLS.
	Cleartext bool `json:"cleartext"`
	// StartTLS: it asked for TLS that way.
	StartTLS bool `json:"start_tls"`
	// Bind: it asked to be authenticated, by name or as nobody; Method says how: "simple",
	// "sicily", or a SASL mechanism. InClear: outside of TLS.
	Bind        bool   `json:"bind"`
	BindInClear bool   `json:"bind_in_clear"`
	Method      string `json:"method,omitempty"`
	// Password: a simple bind with a password that is not empty. It is not kept.
	Password        bool `json:"password"`
	PasswordInClear bool `json:"password_in_clear"`
	// Logins counts the binds of somebody: simple ones with a password, and NTLM answers.
	Logins int `json:"logins"`
	// Binding is set if the client made an NTLM bind of somebody.
	Binding Binding `json:"channel_binding,omitempty"`
	// Searches counts the search requests; InClear those outside of TLS.
	Searches        int `json:"searches"`
	SearchesInClear int `json:"searches_in_clear"`
	// Messages counts all LDAP requests.
	Messages int `json:"messages"`
	// Lasted is how long the connection was open; zero while it still is.
	Lasted time.Duration `json:"lasted_ns"`
	// ClosedByClient: the client ended it, and not the trap.
	ClosedByClient bool `json:"closed_by_client"`
}

// LDAP is a fake LDAP server. See [Server] for its other methods.
type LDAP struct {
	*Server[LDAPConnection]
	posture LDAPPosture
	config  *tls.Config
	binding [16]byte // that a client's NTLM bind has to carry
}

// NewLDAP starts one with the default options.
func NewLDAP(p LDAPPosture) (*LDAP, error) { return Options{}.LDAP(p) }

// LDAP starts a fake LDAP server. Close it.
func (o Options) LDAP(p LDAPPosture) (*LDAP, error) {
	id, err := ldapPostures.identity(o, p)
	if err != nil {
		return nil, err
	}
	s := &LDAP{posture: p, config: &tls.Config{
		Certificates: []tls.Certificate{id.certificate},
		MinVersion:   tls.VersionTLS12,
		CipherSuites: soundSuites,
	}}
	leaf, err := x509.ParseCertificate(id.certificate.Certificate[0])
	if err != nil {
		return nil, fmt.Errorf("trap: %w", err)
	}
	if b, err := ntlm.EndPoint(leaf); err == nil {
		s.binding = ntlm.BindingHash(b)
	}
	s.Server, err = start(o, id, s.serve)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// URL returns "ldaps://" and the address.
func (s *LDAP) URL() string { return "ldaps://" + s.Addr() }

func (s *LDAP) serve(ctx context.Context, c *conn, note func(func(*LDAPConnection))) {
	began := time.Now()
	l := &ldapSession{LDAP: s, ctx: ctx, raw: c, note: note, rw: c}
	gone := l.run()
	note(func(r *LDAPConnection) { r.ClosedByClient, r.Lasted = gone, time.Since(began) })
}

// ldapSession is one connection.
type ldapSession struct {
	*LDAP
	ctx    context.Context
	raw    *conn
	note   func(func(*LDAPConnection))
	rw     io.ReadWriter // raw, or what is inside TLS
	secure *secureConn   // nil outside of TLS
	glued  []byte        // LDAPBuffering: what came in clear behind the StartTLS request
}

// noteTLS changes a copy of the handshake's record, because a snapshot may hold the old one.
func (l *ldapSession) noteTLS(change func(*Handshake)) {
	l.note(func(r *LDAPConnection) {
		next := Handshake{}
		if r.TLS != nil {
			next = *r.TLS
		}
		change(&next)
		r.TLS = &next
	})
}

// run serves the connection and tells whether it was the client that ended it.
func (l *ldapSession) run() (gone bool) {
	first, err := l.raw.peek(1)
	if err != nil {
		return wentAway(err)
	}
	if first[0] == 22 { // a handshake record
		switch l.posture {
		case LDAPStripping, LDAPPlaintext, LDAPStalledHandshake:
			hello, err := readHello(l.raw)
			if err != nil {
				return wentAway(err)
			}
			l.noteTLS(func(h *Handshake) { h.offer(hello) })
			if l.posture == LDAPPlaintext {
				_, _ = l.raw.Write(ldapwire.Answer(0, ldapwire.OpExtendedResponse, ldapwire.Result{
					Code: ldapwire.ResultProtocolError, Name: ldapwire.OIDNoticeOfDisconn,
				}))
			}
			return l.posture == LDAPStalledHandshake && l.raw.drain()
		}
		if gone, ok := l.beginTLS(); !ok {
			return gone
		}
	}
	gone = l.messages()
	if l.secure != nil {
		_ = l.secure.Close() // with close_notify
	}
	return gone
}

// beginTLS makes the handshake and goes on inside. If ok is false it did not come about.
func (l *ldapSession) beginTLS() (gone, ok bool) {
	secure, err := acceptTLS(l.raw, l.config, false, l.noteTLS)
	if err != nil {
		_, byClient := clientAlert(err)
		return byClient || wentAway(err), false
	}
	l.secure = secure
	l.rw = struct {
		io.Reader
		io.Writer
	}{io.MultiReader(strings.NewReader(string(l.glued)), secure), secure}
	return false, true
}

// messages answers requests until one side has had enough.
func (l *ldapSession) messages() (gone bool) {
	for {
		m, err := ldapwire.Read(l.rw, ldapwire.MaxMessage)
		if err != nil {
			_, byClient := clientAlert(err)
			return byClient || wentAway(err)
		}
		clear := l.secure == nil
		l.note(func(r *LDAPConnection) {
			r.Messages++
			r.Cleartext = r.Cleartext || clear
		})
		if gone, done := l.misbehave(m); done {
			return gone
		}
		switch m.Op {
		case ldapwire.OpBindRequest:
			err = l.bind(m)
		case ldapwire.OpSearchRequest:
			err = l.search(m)
		case ldapwire.OpExtendedRequest:
			if gone, done := l.extended(m); done {
				return gone
			}
		case ldapwire.OpUnbindRequest:
			return true
		default:
			_, err = l.rw.Write(ldapwire.Answer(0, ldapwire.OpExtendedResponse, ldapwire.Result{
				Code: ldapwire.ResultProtocolError, Diagnostic: "a trap knows bind, search and START TLS only", Name: ldapwire.OIDNoticeOfDisconn,
			}))
			if err == nil {
				return false
			}
		}
		if err != nil {
			return wentAway(err)
		}
	}
}

// misbehave is what the broken postures do in place of an answer.
func (l *ldapSession) misbehave(m ldapwire.Message) (gone, done bool) {
	var answer []byte
	switch l.posture {
	case LDAPStalled:
	case LDAPEarlyClose:
		return false, true
	case LDAPOversize:
		answer = []byte{ldapwire.TagSequence, 0x84, 0xff, 0xff, 0xff, 0xff}
	case LDAPIndefinite:
		answer = []byte{ldapwire.TagSequence, 0x80, ldapwire.TagInteger, 1, byte(m.ID)}
	case LDAPWrongID:
		answer = ldapwire.Answer(m.ID+1000, ldapwire.OpBindResponse, ldapwire.Result{})
	case LDAPBanner:
		answer = []byte("220 mail.trap.test ESMTP\r\n")
	case LDAPEndless:
		chunk := slices.Concat([]byte{ldapwire.TagSequence, 0x84, 0x7f, 0xff, 0xff, 0xff}, make([]byte, 1<<14))
		for range (256 << 20) / len(chunk) {
			if _, err := l.rw.Write(chunk); err != nil {
				return wentAway(err), true
			}
		}
	default:
		return false, false
	}
	if _, err := l.rw.Write(answer); err != nil {
		return wentAway(err), true
	}
	_, err := io.Copy(io.Discard, struct{ io.Reader }{l.rw})
	return err == nil || wentAway(err), true
}

func (l *ldapSession) answer(m ldapwire.Message, op byte, r ldapwire.Result) error {
	_, err := l.rw.Write(ldapwire.Answer(m.ID, op, r))
	return err
}

// Diagnostics in the words of the servers that a posture stands for. What stands before the
// comma is what clients go by.
var (
	adSigning = ldapwire.Result{
		Code:       ldapwire.ResultStrongerAuthRequired,
		Diagnostic: `00002028: LdapErr: DSID-0C090259, comment: The server requires binds to turn on integrity checking if SSL\TLS are not already active on the connection, data 0, v4f7c`,
	}
	adBadBindings = ldapwire.Result{
		Code:       ldapwire.ResultInvalidCredentials,
		Diagnostic: "80090346: LdapErr: DSID-0C090569, comment: AcceptSecurityContext error, data 80090346, v4f7c",
	}
	adBadCredentials = ldapwire.Result{
		Code:       ldapwire.ResultInvalidCredentials,
		Diagnostic: "8009030C: LdapErr: DSID-0C090569, comment: AcceptSecurityContext error, data 52e, v4f7c",
	}
	adNoNTLM = ldapwire.Result{
		Code:       ldapwire.ResultInvalidCredentials,
		Diagnostic: "80090302: LdapErr: DSID-0C090569, comment: AcceptSecurityContext error, data 1, v4f7c",
	}
)

func (p LDAPPosture) controller() bool { return p >= LDAPController && p <= LDAPControllerNoNTLM }

// bind answers a bind request. Inside TLS every trap that is no domain controller accepts
// what is not empty: what counts is that the client got so far.
func (l *ldapSession) bind(m ldapwire.Message) error {
	b, err := m.BindRequest()
	if err != nil {
		return err
	}
	clear := l.secure == nil
	method := map[byte]string{
		ldapwire.AuthSimple: "simple", ldapwire.AuthSASL: b.Mechanism,
		ldapwire.AuthSicilyNegotiate: "sicily", ldapwire.AuthSicilyResponse: "sicily",
	}[b.Auth]
	password := b.Auth == ldapwire.AuthSimple && len(b.Creds) > 0
	l.note(func(r *LDAPConnection) {
		r.Bind, r.Method = true, method
		r.BindInClear = r.BindInClear || clear
		r.Password = r.Password || password
		if password {
			r.Logins++
		}
		r.PasswordInClear = r.PasswordInClear || password && clear
	})
	if token := ntlm.Find(b.Creds); b.Auth != ldapwire.AuthSimple && len(token) > 11 {
		return l.bindNTLM(m, b.Auth, token)
	}
	res := ldapwire.Result{}
	switch {
	case b.Auth == ldapwire.AuthSimple && len(b.Creds) == 0: // nobody, or an unauthenticated bind
		res.Code = ldapwire.ResultUnwilling
		if b.Name == "" {
			res.Code = ldapwire.ResultSuccess
		}
	case b.Auth != ldapwire.AuthSimple && (b.Auth != ldapwire.AuthSASL || b.Mechanism != "EXTERNAL"):
		res.Code = ldapwire.ResultAuthMethodNotSupported
	case !clear && l.posture == LDAPInjecting:
		res.Code = ldapwire.ResultInvalidCredentials
	case !clear && l.posture.controller() && strings.Contains(b.Name, "connsec-probe"):
		res = adBadCredentials
	case !clear, l.posture == LDAPStripping, l.posture == LDAPPlaintext, l.posture == LDAPReferring:
	case l.posture == LDAPController:
		res = adSigning
	case l.posture.controller():
		res = adBadCredentials
	case l.posture == LDAP389Open:
		res.Code = ldapwire.ResultInvalidCredentials
	default:
		res = ldapwire.Result{Code: ldapwire.ResultConfidentialityRequired, Diagnostic: "Operation requires a secure connection"}
	}
	return l.answer(m, ldapwire.OpBindResponse, res)
}

// bindNTLM answers an NTLM message as a domain controller of the posture does. Only the
// channel binding is looked at; nobody's credentials are good.
func (l *ldapSession) bindNTLM(m ldapwire.Message, auth byte, token []byte) error {
	if !l.posture.controller() {
		return l.answer(m, ldapwire.OpBindResponse, ldapwire.Result{Code: ldapwire.ResultAuthMethodNotSupported})
	}
	if l.posture == LDAPControllerNoNTLM {
		return l.answer(m, ldapwire.OpBindResponse, adNoNTLM)
	}
	if token[8] == 1 { // NEGOTIATE
		challenge := ntlm.NewChallenge([8]byte{1, 2, 3, 4, 5, 6, 7, 8})
		if auth == ldapwire.AuthSASL {
			return l.answer(m, ldapwire.OpBindResponse, ldapwire.Result{Code: ldapwire.ResultSASLInProgress, Creds: ntlm.WrapNext(challenge)})
		}
		return l.answer(m, ldapwire.OpBindResponse, ldapwire.Result{MatchedDN: string(challenge)})
	}
	a, err := ntlm.ParseAnswer(token)
	if err != nil {
		return err
	}
	binding := NotBound
	if a.Bound {
		if binding = BoundWrong; a.Binding == l.binding && l.secure != nil {
			binding = BoundHere
		}
	}
	if !a.Anonymous {
		l.note(func(r *LDAPConnection) {
			r.Binding = binding
			r.Logins++
		})
	}
	res := adBadCredentials
	switch {
	case l.secure == nil && l.posture == LDAPController && !a.Signs:
		res = adSigning
	case l.secure != nil && l.posture == LDAPController && binding != BoundHere,
		l.secure != nil && l.posture == LDAPControllerLax && binding == BoundWrong:
		res = adBadBindings
	case a.Anonymous:
		res = ldapwire.Result{}
	}
	return l.answer(m, ldapwire.OpBindResponse, res)
}

// search answers with the root DSE, a referral, or nothing.
func (l *ldapSession) search(m ldapwire.Message) error {
	req, err := m.SearchRequest()
	if err != nil {
		return err
	}
	clear := l.secure == nil
	l.note(func(r *LDAPConnection) {
		r.Searches++
		if clear {
			r.SearchesInClear++
		}
	})
	done := ldapwire.Result{}
	switch {
	case req.BaseDN == "" && req.Scope == ldapwire.ScopeBase:
		if _, err := l.rw.Write(ldapwire.Entry(m.ID, "", l.rootDSE())); err != nil {
			return err
		}
	case l.posture == LDAPReferring && !clear:
		done = ldapwire.Result{Code: ldapwire.ResultReferral, Referrals: []string{"ldap://" + l.Addr() + "/" + req.BaseDN}}
	case l.posture.controller():
		done = ldapwire.Result{
			Code:       ldapwire.ResultOperationsError,
			Diagnostic: "000004DC: LdapErr: DSID-0C090A5C, comment: In order to perform this operation a successful bind must be completed on the connection., data 0, v4f7c",
		}
	}
	return l.answer(m, ldapwire.OpSearchDone, done)
}

// rootDSE is what a server of the posture's kind tells.
func (l *ldapSession) rootDSE() []ldapwire.Attribute {
	one := func(name string, values ...string) ldapwire.Attribute {
		return ldapwire.Attribute{Name: name, Values: values}
	}
	attrs := []ldapwire.Attribute{one("supportedLDAPVersion", "3"), one("namingContexts", "dc=corp,dc=example")}
	if l.posture != LDAPPlaintext && l.posture != LDAPStripping {
		attrs = append(attrs, one("supportedExtension", ldapwire.OIDStartTLS))
	}
	switch {
	case l.posture.controller():
		attrs = append(attrs, one("supportedCapabilities", ldapwire.OIDActiveDirectory, "1.2.840.113556.1.4.1791"),
			one("supportedSASLMechanisms", "GSSAPI", "GSS-SPNEGO", "EXTERNAL", "DIGEST-MD5"),
			one("defaultNamingContext", "DC=corp,DC=example"), one("dnsHostName", "dc1.corp.example"),
			one("domainFunctionality", "7"), one("forestFunctionality", "7"), one("domainControllerFunctionality", "7"))
	case l.posture == LDAP389 || l.posture == LDAP389Open:
		attrs = append(attrs, one("vendorName", "389 Project"), one("vendorVersion", "389-Directory/2.3.1"))
	}
	return attrs
}

// extended answers a StartTLS request; done means that the connection is over.
func (l *ldapSession) extended(m ldapwire.Message) (gone, done bool) {
	oid, err := m.ExtendedOID()
	if err != nil {
		return false, true
	}
	res := ldapwire.Result{Code: ldapwire.ResultProtocolError, Diagnostic: "unsupported extended operation"}
	if oid != ldapwire.OIDStartTLS {
		err = l.answer(m, ldapwire.OpExtendedResponse, res)
		return err != nil && wentAway(err), err != nil
	}
	l.note(func(r *LDAPConnection) { r.StartTLS = true })
	switch {
	case l.secure != nil: // RFC 4511, 4.14.2: TLS is there already
		res.Code = ldapwire.ResultOperationsError
	case l.posture == LDAPStripping:
		res = ldapwire.Result{Code: ldapwire.ResultUnavailable, Diagnostic: "TLS is not available at the moment", Name: oid}
	case l.posture != LDAPPlaintext:
		res = ldapwire.Result{Name: oid}
	}
	answer := ldapwire.Answer(m.ID, ldapwire.OpExtendedResponse, res)
	if res.Code != ldapwire.ResultSuccess {
		_, err = l.rw.Write(answer)
		return err != nil && wentAway(err), err != nil
	}
	if l.posture == LDAPInjecting {
		answer = append(answer, ldapwire.Answer(m.ID+1, ldapwire.OpBindResponse, ldapwire.Result{})...)
	}
	if l.posture == LDAPBuffering {
		l.glued = l.buffered()
	}
	if _, err = l.rw.Write(answer); err != nil {
		return wentAway(err), true
	}
	gone, ok := l.beginTLS()
	return gone, !ok
}

// buffered takes the LDAP message, if any, that came together with the StartTLS request. A
// client that waits for the answer before it goes on sends nothing more now, so one short look
// is enough.
func (l *ldapSession) buffered() []byte {
	_ = l.raw.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	defer func() {
		_ = l.raw.SetReadDeadline(time.Time{})
		if l.ctx.Err() != nil { // which had set a deadline of its own
			_ = l.raw.SetDeadline(time.Unix(1, 0))
		}
	}()
	first, err := l.raw.peek(2)
	if err != nil || first[0] != ldapwire.TagSequence || first[1] >= 0x80 {
		return nil
	}
	whole, _ := l.raw.peek(2 + int(first[1]))
	glued := slices.Clone(whole)
	l.raw.ahead = l.raw.ahead[len(whole):]
	return glued
}
