package tlscheck

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/connsec/connsec/internal/tlswire"
)

// Observation is what was seen of an [Endpoint], address by address. It marshals to JSON and
// back. Set AsOf before judging to ask what will break on a given day.
type Observation struct {
	Subject   string               `json:"subject"`        // what the findings are about
	Host      string               `json:"host"`           // as in the setting
	At        time.Time            `json:"at"`             // when it was begun
	AsOf      time.Time            `json:"as_of,omitzero"` // judge certificates as of this instant; zero: At
	Duration  time.Duration        `json:"duration"`       // of the whole look
	Addresses []AddressObservation `json:"addresses"`      // in the resolver's order
}

// AddressObservation is what was seen at one address.
type AddressObservation struct {
	Address netip.AddrPort `json:"address"`
	// Unreachable says why there was no TCP connection, or why the protocol before TLS
	// (STARTTLS and the like) did not get to the handshake. Empty: it did.
	Unreachable Problem `json:"unreachable,omitzero"`
	// Handshake is what one full handshake negotiated, nil if no certificate was seen.
	Handshake *Handshake `json:"handshake,omitempty"`
	// HandshakeProblem says why the handshake did not complete.
	HandshakeProblem Problem `json:"handshake_problem,omitzero"`
	// Widest is what the server chose, when it turned that handshake down, from an offer that
	// has what crypto/tls lacks, such as certificates with Ed448, RSA-PSS and Brainpool keys.
	Widest *Selection `json:"widest,omitempty"`
	// WidestKey is the kind of the certificate's key then, "" if the server does not show it
	// (it does up to TLS 1.2) or it is an ordinary one.
	WidestKey string `json:"widest_key,omitempty"`
	// Chain is the certificate chain with its paths to trusted roots.
	Chain *ChainObservation `json:"chain,omitempty"`
	// LegacyVersions is the answer to offers of TLS 1.1 and below, WeakSuites that to offers
	// of TLS 1.2 suites below Mozilla's intermediate profile.
	LegacyVersions Offers `json:"legacy_versions"`
	WeakSuites     Offers `json:"weak_suites"`
}

// Handshake is what one handshake negotiated. Versions, suites and groups are IANA numbers.
type Handshake struct {
	Version     uint16        `json:"version"`                            // such as 0x0304, TLS 1.3
	Suite       uint16        `json:"suite"`                              // cipher suite
	Group       uint16        `json:"group,omitempty"`                    // 0: no (EC)DHE group, or unknown
	ALPN        string        `json:"alpn,omitempty"`                     // the protocol chosen; "": none
	Staple      []byte        `json:"ocsp_staple,omitempty"`              // OCSP response in DER
	WantsClient bool          `json:"wants_client_certificate,omitempty"` // the server asked for one
	Connect     time.Duration `json:"connect"`                            // TCP connect
	Duration    time.Duration `json:"handshake"`                          // TLS handshake alone
}

// Offers records the server's answers to ClientHellos that a strict server refuses. The
// handshakes are never completed.
type Offers struct {
	Accepted []Selection `json:"accepted,omitempty"`
	// Problem is set when the last offer was neither accepted nor refused.
	Problem Problem `json:"problem,omitzero"`
	// Done is true when the server refused what was left to offer.
	Done bool `json:"done,omitempty"`

	closed bool // an offer was answered by closing the connection
}

// Selection is what the server chose from an offer.
type Selection struct {
	Version uint16 `json:"version"`
	Suite   uint16 `json:"suite"`
}

// ProblemKind sorts failures by what they prove.
type ProblemKind string

// The kinds of problem.
const (
	Refused     ProblemKind = "refused"     // the host answered that nothing listens
	Unreachable ProblemKind = "unreachable" // the network says there is no way to the host
	NoRoute     ProblemKind = "no-route"    // this machine has no way to the network; says nothing about the host
	Timeout     ProblemKind = "timeout"     // no answer in time; a filter looks like this
	Closed      ProblemKind = "closed"      // the peer closed or reset the connection
	NotTLS      ProblemKind = "not-tls"     // the peer answered in another protocol
	Alert       ProblemKind = "alert"       // the peer answered with a TLS alert
	Other       ProblemKind = "other"
)

// Problem is why something did not happen. The zero value means that nothing is wrong.
type Problem struct {
	Kind ProblemKind `json:"kind"`
	Text string      `json:"text"`
}

// proves reports whether the peer itself turned the request down.
func (p Problem) proves() bool { return p.Kind == Closed || p.Kind == NotTLS || p.Kind == Alert }

// ProblemOf classifies the error of a connection attempt or a handshake. It returns the zero
// Problem for nil.
func ProblemOf(err error) Problem {
	var (
		netErr net.Error
		record tls.RecordHeaderError
		notTLS *tlswire.NotTLSError
		alert  tls.AlertError
	)
	is := func(numbers ...syscall.Errno) bool {
		return slices.ContainsFunc(numbers, func(n syscall.Errno) bool { return errors.Is(err, n) })
	}
	switch {
	case err == nil:
		return Problem{}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.As(err, &netErr) && netErr.Timeout():
		return Problem{Timeout, "no answer in time"}
	case errors.As(err, &record):
		return Problem{NotTLS, "the server does not speak TLS here" + looksLike(record.RecordHeader[:])}
	case errors.As(err, &notTLS):
		return Problem{NotTLS, "the server does not speak TLS here" + looksLike(notTLS.Prefix)}
	case errors.As(err, &alert):
		return Problem{Alert, "the server answers with the alert: " + strings.TrimPrefix(alert.Error(), "tls: ")}
	case strings.Contains(err.Error(), "remote error: tls: "):
		_, text, _ := strings.Cut(err.Error(), "remote error: tls: ")
		return Problem{Alert, "the server answers with the alert: " + text}
	case is(syscall.ECONNREFUSED, wsaeConnRefused):
		return Problem{Refused, "connection refused"}
	case is(syscall.ENETUNREACH, wsaeNetUnreach):
		return Problem{NoRoute, "this machine has no route to the address"}
	case is(syscall.EHOSTUNREACH, wsaeHostUnreach):
		return Problem{Unreachable, "no route to the host"}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), is(syscall.ECONNRESET, syscall.EPIPE, wsaeConnReset, wsaeConnAborted):
		return Problem{Closed, "the server closes the connection"}
	}
	return Problem{Other, strings.TrimPrefix(err.Error(), "tls: ")}
}

// The numbers that Windows gives these errors (Winsock, “Windows Sockets Error Codes”). The names in
// package syscall are not theirs, and their texts are in the language of the system.
const (
	wsaeNetUnreach  = syscall.Errno(10051)
	wsaeConnAborted = syscall.Errno(10053)
	wsaeConnReset   = syscall.Errno(10054)
	wsaeConnRefused = syscall.Errno(10061)
	wsaeHostUnreach = syscall.Errno(10065)
)

func looksLike(header []byte) string {
	switch {
	case strings.HasPrefix(string(header), "HTTP"):
		return " but plain HTTP"
	case strings.HasPrefix(string(header), "220"):
		return " at once but something like SMTP or FTP"
	}
	return ""
}

// maxAddresses bounds how many addresses of one name are looked at, and how many at a time.
const (
	maxAddresses       = 16
	addressesAtOneTime = 4
)

// Observe looks at every address of the host, up to 16. The error is about the name or the
// context: an address that refuses the connection is a fact like another.
//
// Per address it makes one full handshake and, on connections of their own, ClientHellos that
// are never completed: five at a strict server, nine at the weakest. A server that closes the
// connection instead of answering gets the handshake once more, and the offers between others
// that it takes.
// Nothing is sent inside TLS. The server may log failed handshakes.
func (e Endpoint) Observe(ctx context.Context) (Observation, error) {
	started := e.now()
	addrs, err := e.Addresses(ctx)
	if err != nil {
		return Observation{}, err
	}
	addrs, rest := within(addrs)
	o := Observation{Subject: e.subject(), Host: e.Host, At: started, AsOf: e.AsOf, Addresses: make([]AddressObservation, len(addrs))}
	slots := make(chan struct{}, addressesAtOneTime)
	var wg sync.WaitGroup
	for i, addr := range addrs {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			o.Addresses[i] = e.observeAddress(ctx, addr)
		})
	}
	wg.Wait()
	if len(rest) > 0 {
		o.Addresses = append(o.Addresses, AddressObservation{Address: rest[0], Unreachable: notLookedAt(rest)})
	}
	o.Duration = e.now().Sub(started)
	return o, nil
}

// within divides the addresses of a name into those that are looked at and the rest.
func within(addrs []netip.AddrPort) (some, rest []netip.AddrPort) {
	n := min(len(addrs), maxAddresses)
	return addrs[:n], addrs[n:]
}

// notLookedAt keeps a report from passing what is behind addresses beyond the bound.
func notLookedAt(rest []netip.AddrPort) Problem {
	return Problem{Other, fmt.Sprintf("the name has %d more addresses, which were not looked at", len(rest))}
}

// observeAddress makes the full handshake; once the port is known to be open, the other looks
// run beside it.
func (e Endpoint) observeAddress(ctx context.Context, addr netip.AddrPort) AddressObservation {
	a := AddressObservation{Address: addr}
	begin := time.Now()
	conn, err := e.dial(ctx, addr)
	connect := time.Since(begin)
	if err != nil {
		a.Unreachable = ProblemOf(err)
		return a
	}
	var wg sync.WaitGroup
	wg.Go(func() { a.LegacyVersions = e.offerLegacyVersions(ctx, addr, sideBySide) })
	wg.Go(func() { a.WeakSuites = e.offerWeakSuites(ctx, addr, sideBySide) })
	e.handshake(ctx, conn, &a)
	wg.Wait()
	if a.Handshake == nil && a.HandshakeProblem.Kind == Closed {
		// Perhaps because of the looks beside it: once more, alone.
		if pause(ctx, settling) {
			if conn, err := e.dial(ctx, addr); err == nil {
				a.HandshakeProblem = Problem{}
				e.handshake(ctx, conn, &a)
			}
		}
	}
	if a.Handshake != nil {
		a.Handshake.Connect = connect
		e.confirm(ctx, addr, &a, tlswire.Hello{MaxVersion: a.Handshake.Version, Suites: []uint16{a.Handshake.Suite}})
	} else if a.HandshakeProblem.proves() {
		widest := tlswire.Hello{MaxVersion: tls.VersionTLS13, MinVersion: tls.VersionTLS12, KeyShares: []uint16{uint16(tls.X25519)}}
		flight, p := e.hello(ctx, addr, widest)
		// A request to try again comes before the server has looked for a certificate.
		if p == (Problem{}) && !flight.Retry {
			a.Widest = &Selection{flight.Version, flight.Suite}
			if len(flight.Certificates) == 0 {
				flight, _ = e.hello(ctx, addr, tlswire.Hello{MaxVersion: tls.VersionTLS12})
			}
			if len(flight.Certificates) > 0 {
				a.WidestKey = unreadKey(flight.Certificates[0])
			}
			e.confirm(ctx, addr, &a, widest)
		}
	}
	return a
}

// settling is what a server gets to be done with connections that have ended.
const settling = 50 * time.Millisecond

// confirm repeats, one at a time, the offers that the server answered by closing the
// connection. Some servers refuse an offer so, Windows among them; but one that limits
// connections turns the look away before it has read any offer. So the refusal counts only if
// the server afterwards still takes an offer that it took before.
func (e Endpoint) confirm(ctx context.Context, addr netip.AddrPort, a *AddressObservation, taken tlswire.Hello) {
	if !a.LegacyVersions.closed && !a.WeakSuites.closed {
		return
	}
	// The server takes connections again only when it is done with those before.
	e.patient = true
	for range 3 {
		if _, p := e.hello(ctx, addr, taken); p == (Problem{}) || !pause(ctx, settling) {
			break
		}
	}
	if a.LegacyVersions.closed {
		a.LegacyVersions = e.offerLegacyVersions(ctx, addr, oneAtATime)
	}
	if a.WeakSuites.closed {
		a.WeakSuites = e.offerWeakSuites(ctx, addr, oneAtATime)
	}
	if !a.LegacyVersions.closed && !a.WeakSuites.closed {
		return
	}
	if _, p := e.hello(ctx, addr, taken); p != (Problem{}) {
		doubt := Problem{Other, "the server closes the connection, but also on an offer that it took before: it may limit connections"}
		for _, o := range []*Offers{&a.LegacyVersions, &a.WeakSuites} {
			if o.closed {
				o.Done, o.Problem = false, doubt
			}
		}
	}
}

// pace says how looks that do not depend on each other are made.
type pace func(looks ...func())

func sideBySide(looks ...func()) {
	var wg sync.WaitGroup
	for _, look := range looks {
		wg.Go(look)
	}
	wg.Wait()
}

func oneAtATime(looks ...func()) {
	for _, look := range looks {
		look()
	}
}

// handshake makes one full handshake with the widest offer that crypto/tls can make, and
// keeps what was negotiated even if the server ends it afterwards for want of a client
// certificate.
//
// This is the one place in the library that does not let crypto/tls verify the chain: a
// checker has to see bad certificates. Verification is done by [Chain.Observe] on what was
// seen; nothing is sent to the server after the handshake, so nothing relies on it.
func (e Endpoint) handshake(ctx context.Context, conn net.Conn, a *AddressObservation) {
	defer conn.Close()
	ready, err := e.prepare(ctx, conn)
	if err != nil {
		a.Unreachable = ProblemOf(err)
		return
	}
	seen := &Handshake{}
	var chain []*x509.Certificate
	cfg := &tls.Config{
		ServerName:         sni(e.Host),
		InsecureSkipVerify: true, // #nosec G402 -- see above
		MinVersion:         tls.VersionTLS10,
		CipherSuites:       everySuite(),
		NextProtos:         e.ALPN,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			seen.WantsClient = true
			if len(e.ClientCertificates) > 0 {
				return &e.ClientCertificates[0], nil
			}
			return &tls.Certificate{}, nil
		},
		VerifyConnection: func(s tls.ConnectionState) error {
			chain = s.PeerCertificates
			seen.Version, seen.Suite, seen.Group = s.Version, s.CipherSuite, uint16(s.CurveID)
			seen.ALPN, seen.Staple = s.NegotiatedProtocol, s.OCSPResponse
			return nil
		},
	}
	hctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	begin := time.Now()
	tc := tls.Client(ready, cfg)
	err = tc.HandshakeContext(hctx)
	seen.Duration = time.Since(begin)
	a.HandshakeProblem = ProblemOf(err)
	if chain == nil {
		return
	}
	a.Handshake = seen
	c := Chain{
		Certs: chain, Name: e.Host, Subject: e.subject(), Roots: e.Roots, Known: e.Known, CRLs: e.CRLs, Staple: seen.Staple, At: e.AsOf,
	}
	if c.At.IsZero() {
		c.At = e.now()
	}
	co := c.Observe()
	a.Chain = &co
}

// Leaf returns the certificate that the server presents, from the first address that presents
// one, whatever it is worth: for [FileSet.Live]. It makes one connection per address.
func (e Endpoint) Leaf(ctx context.Context) (*x509.Certificate, error) {
	addrs, err := e.Addresses(ctx)
	if err != nil {
		return nil, err
	}
	var last Problem
	for _, addr := range addrs {
		conn, err := e.dial(ctx, addr)
		if err != nil {
			last = ProblemOf(err)
			continue
		}
		var a AddressObservation
		e.handshake(ctx, conn, &a)
		if a.Chain != nil {
			return a.Chain.Certs[0], nil
		}
		last = cmp.Or(a.Unreachable, a.HandshakeProblem)
	}
	return nil, fmt.Errorf("tlscheck: %s: %s", e.subject(), last.Text)
}

// sni is empty for an address: RFC 6066 §3 allows only DNS names.
func sni(host string) string {
	name := wireName(host)
	if _, err := netip.ParseAddr(name); err == nil {
		return ""
	}
	return name
}

func everySuite() []uint16 {
	var ids []uint16
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		ids = append(ids, s.ID)
	}
	return ids
}

// offerLegacyVersions offers TLS 1.1, TLS 1.0 and SSL 3.0, each as the highest version of an
// offer of its own: a server that has only the lower one may refuse the higher.
func (e Endpoint) offerLegacyVersions(ctx context.Context, addr netip.AddrPort, at pace) Offers {
	versions := []uint16{tls.VersionTLS11, tls.VersionTLS10, tlswire.VersionSSL30}
	flights, problems := make([]tlswire.Flight, len(versions)), make([]Problem, len(versions))
	looks := make([]func(), len(versions))
	for i, v := range versions {
		looks[i] = func() { flights[i], problems[i] = e.hello(ctx, addr, tlswire.Hello{MaxVersion: v}) }
	}
	at(looks...)
	var o Offers
	settled := 0
	for i, v := range versions {
		o.closed = o.closed || problems[i].Kind == Closed
		switch p, s := problems[i], (Selection{flights[i].Version, flights[i].Suite}); {
		case p.proves():
			settled++
		case p != (Problem{}):
			o.Problem = p
		default:
			settled++
			// A version above the offer is a mistake that a client answers by aborting.
			if s.Version <= v && !slices.ContainsFunc(o.Accepted, func(a Selection) bool { return a.Version == s.Version }) {
				o.Accepted = append(o.Accepted, s)
			}
		}
	}
	o.Done = settled == len(versions)
	return o
}

// offerWeakSuites offers all TLS 1.2 suites below the intermediate profile, in portions side
// by side. When the server takes one, only the worse ones of its portion are offered again:
// what it accepts besides does not change the verdict.
func (e Endpoint) offerWeakSuites(ctx context.Context, addr netip.AddrPort, at pace) Offers {
	portions := slices.Collect(slices.Chunk(weakSuites(), suitesAtOneTime))
	parts := make([]Offers, len(portions))
	looks := make([]func(), len(portions))
	for i, portion := range portions {
		looks[i] = func() { parts[i] = e.offerSuites(ctx, addr, portion) }
	}
	at(looks...)
	all := Offers{Done: true}
	for _, part := range parts {
		all.Accepted = append(all.Accepted, part.Accepted...)
		all.Done, all.closed = all.Done && part.Done, all.closed || part.closed
		all.Problem = cmp.Or(all.Problem, part.Problem)
	}
	return all
}

// offerSuites offers the suites until the server refuses what is left.
func (e Endpoint) offerSuites(ctx context.Context, addr netip.AddrPort, suites []uint16) Offers {
	var o Offers
	for len(suites) > 0 {
		flight, problem := e.hello(ctx, addr, tlswire.Hello{MaxVersion: tls.VersionTLS12, Suites: suites})
		if problem != (Problem{}) {
			o.settle(problem)
			return o
		}
		if !slices.Contains(suites, flight.Suite) { // it chose what was not offered; a client would abort
			break
		}
		o.Accepted = append(o.Accepted, Selection{flight.Version, flight.Suite})
		grade := gradeOf(flight.Suite)
		suites = slices.DeleteFunc(slices.Clone(suites), func(id uint16) bool { return gradeOf(id) <= grade })
	}
	o.Done = true
	return o
}

// settle ends an offer that was not accepted: refused by the peer, or unknown.
func (o *Offers) settle(p Problem) {
	if p.proves() {
		o.Done, o.closed = true, o.closed || p.Kind == Closed
	} else {
		o.Problem = p
	}
}

// hello sends one ClientHello on a connection of its own and reads the answer.
func (e Endpoint) hello(ctx context.Context, addr netip.AddrPort, h tlswire.Hello) (tlswire.Flight, Problem) {
	conn, err := e.open(ctx, addr)
	if err != nil {
		// The port was open a moment ago, so even a reset says nothing about TLS.
		p := ProblemOf(err)
		p.Kind = Other
		return tlswire.Flight{}, p
	}
	defer conn.Close()
	h.ServerName, h.ALPN = sni(e.Host), e.ALPN
	hctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	flight, err := tlswire.Probe(hctx, conn, h)
	if e.patient {
		awaitClose(conn)
	}
	switch {
	case flight.Version != 0: // it chose, whatever happened afterwards
		return flight, Problem{}
	case flight.Alert != nil:
		return flight, Problem{Alert, "the server answers with the alert: " + flight.Alert.String()}
	case err == nil:
		return flight, Problem{Other, "the server gave no answer"}
	}
	return flight, ProblemOf(err)
}

// awaitClose ends a connection from this side and waits, for a moment, until the server has ended
// it too.
func awaitClose(conn net.Conn) {
	if c, ok := conn.(interface{ CloseWrite() error }); ok && c.CloseWrite() == nil {
		const patience, most = time.Second, 64 << 10
		_ = conn.SetDeadline(time.Now().Add(patience))
		_, _ = io.Copy(io.Discard, io.LimitReader(conn, most))
	}
}

// pause reports whether the time passed before the context ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
