package trap

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"time"

	"github.com/connsec/connsec/internal/setting"
	"github.com/connsec/connsec/internal/testca"
	"github.com/connsec/connsec/internal/tlswire"
)

// Trust says whether a client took the server for the one it meant.
type Trust uint8

const (
	// Undecided: the client did nothing that tells. It may have finished the handshake and
	// closed without sending anything, which some clients do that check the certificate
	// afterwards, or it was not shown a certificate at all.
	Undecided Trust = iota
	// Refused: the client broke off, or sent an alert, after it saw the certificate; or it
	// offers nothing of what the posture insists on.
	Refused
	// Trusted: the client finished the handshake and sent data over it.
	Trusted
)

var trusts = setting.Enum[Trust]{Package: "trap", Kind: "trust", Names: []string{"undecided", "refused", "trusted"}}

// String returns the lower-case name.
func (t Trust) String() string { return trusts.Name(t) }

// MarshalText writes the name.
func (t Trust) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// Handshake is what a client did while it set up TLS.
type Handshake struct {
	// What the client offers; ServerName is empty without SNI.
	ServerName string   `json:"server_name"`
	Versions   []string `json:"versions"`
	Suites     []string `json:"suites"`
	ALPN       []string `json:"alpn,omitempty"`

	// What was negotiated; empty if it did not come to that.
	Version string `json:"version,omitempty"`
	Suite   string `json:"suite,omitempty"`

	// Completed: the client's Finished message came and was right. Up to then a client has
	// committed to nothing. A client that checks the certificate afterwards completes the
	// handshake with an impostor too; whether it trusted it is what Trust says.
	Completed bool `json:"completed"`
	// Trust changes until the connection has ended.
	Trust Trust `json:"trust"`
	// Alert is the last one that the client sent, by name: "unknown_ca". Closing is none.
	Alert string `json:"alert,omitempty"`
}

// secureConn is a connection after a handshake. It keeps the record of the handshake true
// while the protocol above reads from it.
type secureConn struct {
	*tls.Conn
	note func(func(*Handshake))
}

// acceptTLS reads the ClientHello from raw and does the server's side of the handshake. Every
// fact goes to note as soon as it is known. insists says that the configuration leaves the
// client only what no client should take, so that having nothing in common is a refusal.
//
// The connection is nil, and the error not, if no handshake came about: a *tlswire.NotTLSError
// if the client does not speak TLS, in which case what it sent can be read from raw again.
func acceptTLS(raw *conn, config *tls.Config, insists bool, note func(func(*Handshake))) (*secureConn, error) {
	hello, err := readHello(raw)
	if err != nil {
		return nil, err
	}
	note(func(h *Handshake) { h.offer(hello) })

	shown := false // a certificate was chosen, which is when it is sent
	config = config.Clone()
	certificates := config.Certificates
	config.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		shown = true
		return &certificates[0], nil
	}
	config.Certificates = nil
	// A resumed session would skip the certificate.
	config.SessionTicketsDisabled = true

	tap := &alertTap{Conn: raw}
	c := &secureConn{Conn: tls.Server(tap, config), note: note}
	err = c.Handshake()
	tap.done = true
	if err != nil && tap.alert != nil {
		err = &alertError{*tap.alert}
	}
	state := c.ConnectionState()
	note(func(h *Handshake) {
		if state.Version != 0 {
			h.Version = tlswire.VersionName(state.Version)
		}
		if state.CipherSuite != 0 {
			h.Suite = tlswire.SuiteName(state.CipherSuite)
		}
		if err == nil {
			h.Completed = true
			return
		}
		alert, byClient := clientAlert(err)
		h.Alert = alert
		switch {
		case shown && (byClient || wentAway(err)):
			h.Trust = Refused
		case insists && !byClient && !wentAway(err) && !isTimeout(err):
			h.Trust = Refused
		}
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// alertTap looks for alerts in the clear while a handshake runs. crypto/tls reports those it
// expects, but in TLS 1.3 it expects ciphertext after its own flight, and a client that dislikes
// the certificate may not have keys to send with yet: OpenSSL's alert then is in the clear, and
// for crypto/tls a record that does not decrypt.
type alertTap struct {
	net.Conn
	done   bool
	record []byte // header and body of the current record, of which seven bytes are enough
	skip   int    // bytes of it still to come that are not kept
	alert  *tlswire.Alert
}

func (t *alertTap) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	if !t.done {
		t.look(p[:n])
	}
	return n, err
}

func (t *alertTap) look(p []byte) {
	for len(p) > 0 {
		if t.skip > 0 {
			n := min(t.skip, len(p))
			t.skip, p = t.skip-n, p[n:]
			continue
		}
		t.record, p = append(t.record, p[0]), p[1:]
		if len(t.record) < 5 {
			continue
		}
		size := int(t.record[3])<<8 | int(t.record[4])
		isAlert := t.record[0] == 21 && size == 2 // longer ones are encrypted
		switch {
		case isAlert && len(t.record) < 7:
			continue
		case isAlert:
			t.alert = &tlswire.Alert{Level: t.record[5], Description: t.record[6]}
		default:
			t.skip = size
		}
		t.record = t.record[:0]
	}
}

// alertError is an alert that came in the clear.
type alertError struct{ alert tlswire.Alert }

func (e *alertError) Error() string { return "trap: the client sent the alert " + e.alert.String() }

// readHello reads a ClientHello and puts its bytes back.
func readHello(raw *conn) (tlswire.ClientHello, error) {
	hello, err := tlswire.ReadClientHello(raw)
	raw.unread(hello.Raw)
	return hello, err
}

// maxOffer bounds what is kept of each list in a hello, which can be long and repeat itself.
const maxOffer = 512

func (h *Handshake) offer(hello tlswire.ClientHello) {
	h.ServerName = strings.ToValidUTF8(hello.ServerName[:min(len(hello.ServerName), 255)], "?")
	for _, v := range hello.Versions {
		if v >= tlswire.VersionSSL30 && v <= tls.VersionTLS13 && len(h.Versions) < maxOffer { // leaves out GREASE
			h.Versions = append(h.Versions, tlswire.VersionName(v))
		}
	}
	for _, id := range hello.Suites {
		if _, known := tlswire.LookupSuite(id); known && len(h.Suites) < maxOffer {
			h.Suites = append(h.Suites, tlswire.SuiteName(id))
		}
	}
	for _, protocol := range hello.ALPN[:min(len(hello.ALPN), maxOffer)] {
		h.ALPN = append(h.ALPN, strings.ToValidUTF8(protocol, "?"))
	}
}

// Read notes what the client's data, or its absence, says about its trust.
func (c *secureConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	alert, byClient := clientAlert(err)
	if n > 0 || byClient {
		c.note(func(h *Handshake) {
			if byClient {
				h.Alert = alert
			}
			switch {
			case n > 0:
				h.Trust = Trusted
			case h.Trust == Undecided: // checked after the handshake, and refused
				h.Trust = Refused
			}
		})
	}
	return n, err
}

// clientAlert returns the alert that the client sent, if that is what err is about. crypto/tls
// gives it as an OpError around a number of an unexported type.
func clientAlert(err error) (name string, ok bool) {
	var clear *alertError
	if errors.As(err, &clear) {
		return clear.alert.String(), true
	}
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" {
		return "", false
	}
	if v := reflect.ValueOf(op.Err); v.Kind() == reflect.Uint8 {
		return tlswire.Alert{Level: 2, Description: uint8(v.Uint())}.String(), true
	}
	return strings.TrimPrefix(op.Err.Error(), "tls: "), true
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// Certificate is one that a trap is given.
type Certificate struct {
	Chain tls.Certificate
	// Roots is what Server.Roots returns.
	Roots *x509.CertPool
}

// flaw is what is wrong with a certificate.
type flaw uint8

const (
	flawNone flaw = iota
	flawExpired
	flawNotYetValid
	flawWrongName
	flawCommonNameOnly
	flawSelfSigned
	flawUntrusted // sound, but from an authority that nobody knows
	flawNoIntermediate
	flawClientOnly // extended key usage clientAuth
	flawWildcard
	flawPartialWildcard
	flawSHA1
	flawRSA // not a flaw: sound, with an RSA key, for suites that need one
)

// identity is the certificate of a trap with the trust that belongs to it.
type identity struct {
	certificate tls.Certificate
	rootPEM     []byte
	roots       *x509.CertPool // given; nil: made from rootPEM
}

func (id identity) pool() *x509.CertPool {
	if id.roots != nil || id.rootPEM == nil {
		return id.roots
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(id.rootPEM)
	return pool
}

// newIdentity makes the certificate. The trust is always that of an honest trap.
func newIdentity(o Options, f flaw) (identity, error) {
	o = o.withDefaults()
	if o.Certificate != nil && (f == flawNone || f == flawRSA) {
		return identity{certificate: o.Certificate.Chain, roots: o.Certificate.Roots}, nil
	}
	options := testca.Options{Name: "connsec trap", Now: o.Now}
	if f == flawSHA1 {
		options.IntermediateKey = testca.RSA2048
	}
	ca, err := testca.New(options)
	if err != nil {
		return identity{}, fmt.Errorf("trap: %w", err)
	}
	leaf := testca.Leaf{}
	for _, name := range o.Names {
		if ip, err := netip.ParseAddr(name); err == nil {
			leaf.IPs = append(leaf.IPs, ip)
		} else {
			leaf.Names = append(leaf.Names, name)
		}
	}
	issuer, issue := ca, (*testca.CA).Issue
	switch f {
	case flawExpired:
		leaf.NotAfter = o.Now().Add(-24 * time.Hour)
	case flawNotYetValid:
		leaf.NotBefore = o.Now().Add(24 * time.Hour)
	case flawWrongName:
		leaf.Names, leaf.IPs = []string{"other.trap.test"}, nil
	case flawCommonNameOnly:
		leaf.NoSAN = true
	case flawSelfSigned:
		issue = (*testca.CA).SelfSigned
	case flawUntrusted:
		if issuer, err = testca.New(testca.Options{Name: "unknown", Now: o.Now}); err != nil {
			return identity{}, fmt.Errorf("trap: %w", err)
		}
	case flawNoIntermediate:
		leaf.OmitIntermediate = true
	case flawClientOnly:
		leaf.EKU = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	case flawWildcard:
		leaf.Names = wildcards(leaf.Names, "*")
	case flawPartialWildcard:
		leaf.Names, leaf.IPs = wildcards(leaf.Names, "s*"), nil
	case flawSHA1:
		leaf.SignatureAlgorithm = x509.SHA1WithRSA
	case flawRSA:
		leaf.Key = testca.RSA2048
	}
	cert, err := issue(issuer, leaf)
	if err != nil {
		return identity{}, fmt.Errorf("trap: %w", err)
	}
	id := identity{certificate: cert.TLS(), rootPEM: ca.PEM()}
	if o.Certificate != nil {
		id.rootPEM, id.roots = nil, o.Certificate.Roots
	}
	return id, nil
}

// wildcards replaces the first label of names that have at least three.
func wildcards(names []string, label string) []string {
	var out []string
	for _, name := range names {
		if _, parent, ok := strings.Cut(name, "."); ok && strings.Contains(parent, ".") {
			name = label + "." + parent
		}
		out = append(out, name)
	}
	return out
}

// soundSuites are the TLS 1.2 suites of an honest trap: forward secret and authenticated, so
// that a scanner finds nothing wrong with it. (crypto/tls has CBC suites on by default.)
var soundSuites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}
