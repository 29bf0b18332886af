package sqlsec

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/tdswire"
	"github.com/connsec/connsec/internal/tlswire"
	"github.com/connsec/connsec/tlscheck"
)

// Observation is what was seen of a server without credentials. It marshals to JSON and back.
// Set AsOf before judging to ask what will be on a given day.
type Observation struct {
	Subject  string        `json:"subject"`
	Host     string        `json:"host"`
	Instance string        `json:"instance,omitempty"`
	Port     uint16        `json:"port,omitempty"` // 0: Browser did not tell it
	At       time.Time     `json:"at"`
	AsOf     time.Time     `json:"as_of,omitzero"`
	Duration time.Duration `json:"duration"`

	Browser   BrowserObservation   `json:"browser"`
	Addresses []AddressObservation `json:"addresses"`
	// TLS is what tlscheck sees inside PRELOGIN packets, nil if no address offers encryption
	// there. StrictTLS is the same for TDS 8.0.
	TLS       *tlscheck.Observation `json:"tls,omitempty"`
	StrictTLS *tlscheck.Observation `json:"strict_tls,omitempty"`
}

// AddressObservation is what was seen at one address.
type AddressObservation struct {
	Address netip.AddrPort `json:"address"` // zero for those that were too many to look at
	// Unreachable says why there was no TCP connection. Empty: there was one.
	Unreachable tlscheck.Problem `json:"unreachable,omitzero"`
	// Off, On and NotSup are the answers to a PRELOGIN that says so, each on a connection of
	// its own (MS-TDS 2.2.6.5).
	Off    Answer `json:"off"`
	On     Answer `json:"on"`
	NotSup Answer `json:"not_sup"`
	// Strict is the answer to a ClientHello as the first thing, as in TDS 8.0.
	Strict StrictAnswer `json:"strict"`
}

// Answer is the server's answer to one PRELOGIN.
type Answer struct {
	// Encryption is "OFF", "ON", "NOT_SUP", "REQ", or a number that MS-TDS does not know;
	// empty if there was no answer, see Problem.
	Encryption string           `json:"encryption,omitempty"`
	Version    string           `json:"version,omitempty"` // as "16.0.4135"
	Problem    tlscheck.Problem `json:"problem,omitzero"`
}

// StrictAnswer is the server's answer to TLS at once.
type StrictAnswer struct {
	// TLS is true if the server answers with a ServerHello.
	TLS bool `json:"tls"`
	// Problem says why it did not.
	Problem tlscheck.Problem `json:"problem,omitzero"`
}

// BrowserObservation is the answer of SQL Server Browser. It comes unprotected over UDP: it
// may tell a port, and proves nothing.
type BrowserObservation struct {
	Instances []Instance       `json:"instances,omitempty"`
	Problem   tlscheck.Problem `json:"problem,omitzero"` // why there is none
}

// Instance is one instance of a machine, as SQL Server Browser tells it.
type Instance struct {
	Name    string `json:"name"`
	Server  string `json:"server,omitempty"` // the machine's NetBIOS name
	Version string `json:"version,omitempty"`
	Port    uint16 `json:"port,omitempty"` // TCP; 0: none
	Pipe    string `json:"pipe,omitempty"`
}

// Stage limits; the context's deadline comes first where it is nearer.
const (
	dialTimeout    = 10 * time.Second
	answerTimeout  = 10 * time.Second
	browserTimeout = time.Second // go-mssqldb and SqlClient wait as long
	browserResend  = 400 * time.Millisecond
)

const (
	maxAddresses = 16
	maxPrelogin  = 4096 // an answer has about 50 bytes
)

// alpnTDS8 is the protocol name of TDS 8.0.
const alpnTDS8 = "tds/8.0"

// preloginProbe is the message of a client that says e and nothing else of interest.
func preloginProbe(e tdswire.Encryption) []byte {
	m := tdswire.Prelogin{Version: &tdswire.Version{}, Encryption: &e}.Marshal()
	return tdswire.AppendMessage(nil, tdswire.PreLogin, m, 0)
}

// Observe looks at the server, without credentials. The error is about the setting, the name
// or the context: a server that does not answer is a fact like another.
//
// It makes four connections to each address, and those of [tlscheck.Endpoint.Observe] through
// TDS; where TDS 8.0 is served, once more those. None sends anything inside TLS.
func (c Config) Observe(ctx context.Context) (Observation, error) {
	if c.Protocol != TCP {
		return Observation{}, fmt.Errorf("sqlsec: %s: only TCP can be observed, and the setting says %s", c.Subject(), c.Protocol)
	}
	if c.Host == "" {
		return Observation{}, errors.New("sqlsec: the setting names no server")
	}
	started := c.now()
	o := Observation{
		Subject: c.Subject(), Host: c.Host, Instance: c.Instance, Port: c.Port, At: started, AsOf: c.AsOf,
		Addresses: []AddressObservation{},
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	needsPort := c.Instance != "" && c.Port == 0
	if needsPort {
		o.Browser = c.browse(ctx)
		if o.Port = o.Browser.portOf(c.Instance); o.Port == 0 {
			if err := ctx.Err(); err != nil {
				return Observation{}, fmt.Errorf("sqlsec: %s: %w", c.Subject(), err)
			}
			o.Duration = c.now().Sub(started)
			return o, nil
		}
	} else {
		o.Port = c.port()
		wg.Go(func() { o.Browser = c.browse(ctx) })
	}
	e := c.endpoint(o.Port)
	addrs, err := e.Addresses(ctx)
	if err != nil {
		return Observation{}, fmt.Errorf("sqlsec: %w", err)
	}
	left := len(addrs) - min(len(addrs), maxAddresses)
	addrs = addrs[:len(addrs)-left]
	o.Addresses = make([]AddressObservation, len(addrs))
	eachAddress := func(look func(a *AddressObservation)) {
		var group sync.WaitGroup
		for i := range o.Addresses {
			group.Go(func() { look(&o.Addresses[i]) })
		}
		group.Wait()
	}
	for i, addr := range addrs {
		o.Addresses[i].Address = addr
	}
	eachAddress(func(a *AddressObservation) { a.Off, a.Unreachable = c.prelogin(ctx, a.Address, tdswire.EncryptOff) })

	var deeper sync.WaitGroup
	if offersTLS(o.Addresses) {
		deeper.Go(func() {
			through := e
			through.Open = Opener
			if seen, err := through.Observe(ctx); err == nil {
				o.TLS = &seen
			}
		})
	}
	eachAddress(func(a *AddressObservation) {
		if a.Unreachable != (tlscheck.Problem{}) {
			return
		}
		var group sync.WaitGroup
		group.Go(func() { a.On, _ = c.prelogin(ctx, a.Address, tdswire.EncryptOn) })
		group.Go(func() { a.NotSup, _ = c.prelogin(ctx, a.Address, tdswire.EncryptNotSup) })
		group.Go(func() { a.Strict = c.strictHello(ctx, a.Address) })
		group.Wait()
	})
	if speaksTLSFirst(o.Addresses) {
		strict := e
		strict.ALPN = []string{alpnTDS8}
		strict.Subject += " (TDS 8.0)"
		if seen, err := strict.Observe(ctx); err == nil {
			o.StrictTLS = &seen
		}
	}
	deeper.Wait()
	wg.Wait()
	if left > 0 { // what they accept is not known
		o.Addresses = append(o.Addresses, AddressObservation{
			Unreachable: tlscheck.Problem{Kind: tlscheck.Other, Text: fmt.Sprintf("the name has %d more addresses, which were not looked at", left)},
		})
	}
	o.Duration = c.now().Sub(started)
	return o, nil
}

// offersTLS reports whether any address does encryption after PRELOGIN.
func offersTLS(addresses []AddressObservation) bool {
	for _, a := range addresses {
		if a.Off.Encryption != "" && a.Off.Encryption != tdswire.EncryptNotSup.String() {
			return true
		}
	}
	return false
}

func speaksTLSFirst(addresses []AddressObservation) bool {
	for _, a := range addresses {
		if a.Strict.TLS {
			return true
		}
	}
	return false
}

// Probe observes and judges the server, and validates the setting.
func (c Config) Probe(ctx context.Context) (connsec.Report, error) {
	o, err := c.Observe(ctx)
	if err != nil {
		return connsec.Report{}, err
	}
	r := o.Judge()
	r.Findings = append(c.Validate().Findings, r.Findings...)
	return r, nil
}

// endpoint is the server for tlscheck: the name to verify, and where to find it.
func (c Config) endpoint(port uint16) tlscheck.Endpoint {
	e := tlscheck.Endpoint{
		Host: c.host(), Port: port, Connect: c.Connect, Subject: c.Subject(),
		Roots: c.Roots, Known: c.Known, CRLs: c.CRLs, AsOf: c.AsOf, Dialer: c.Dialer, Resolver: c.Resolver, Now: c.Now,
	}
	if name := c.serverName(); name != e.Host {
		if e.Connect == "" {
			e.Connect = net.JoinHostPort(e.Host, strconv.Itoa(int(port)))
		}
		e.Host = name
	}
	return e
}

func (c Config) dialer() tlscheck.Dialer {
	if c.Dialer != nil {
		return c.Dialer
	}
	return &net.Dialer{}
}

// within makes blocked reads and writes of conn end with ctx, and closes it afterwards.
func within(ctx context.Context, conn net.Conn, use func() error) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // long past
	defer func() {
		stop()
		_ = conn.Close()
	}()
	err := use()
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// prelogin asks once. unreachable is set if there was no connection to ask on.
func (c Config) prelogin(ctx context.Context, addr netip.AddrPort, e tdswire.Encryption) (a Answer, unreachable tlscheck.Problem) {
	conn, err := c.dial(ctx, addr)
	if err != nil {
		return Answer{}, tlscheck.ProblemOf(err)
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	err = within(ctx, conn, func() error {
		answer, err := exchangePrelogin(conn, e)
		if err != nil {
			return err
		}
		if answer.Encryption == nil {
			return errors.New("the answer to PRELOGIN says nothing about encryption")
		}
		a.Encryption = answer.Encryption.String()
		if answer.Version != nil {
			a.Version = answer.Version.String()
		}
		return nil
	})
	a.Problem = problemOf(err)
	return a, tlscheck.Problem{}
}

func (c Config) dial(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	return c.dialer().DialContext(ctx, "tcp", addr.String())
}

// problemOf knows what tlscheck cannot: a peer that speaks something else than TDS.
func problemOf(err error) tlscheck.Problem {
	switch {
	case errors.Is(err, tdswire.ErrNotTDS):
		return tlscheck.Problem{Kind: NotTDS, Text: "the server does not speak TDS here"}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return tlscheck.Problem{Kind: tlscheck.Closed, Text: "the server closes the connection in the middle of its answer"}
	}
	p := tlscheck.ProblemOf(err)
	p.Text = strings.TrimPrefix(p.Text, "tdswire: ")
	return p
}

// NotTDS is the kind of problem of a peer that answers in another protocol.
const NotTDS tlscheck.ProblemKind = "not-tds"

// exchangePrelogin sends PRELOGIN and reads the answer.
func exchangePrelogin(conn net.Conn, e tdswire.Encryption) (tdswire.Prelogin, error) {
	if _, err := conn.Write(preloginProbe(e)); err != nil {
		return tdswire.Prelogin{}, err
	}
	t, message, err := tdswire.ReadMessage(conn, maxPrelogin)
	if err != nil {
		return tdswire.Prelogin{}, err
	}
	if t != tdswire.Reply && t != tdswire.PreLogin {
		return tdswire.Prelogin{}, fmt.Errorf("%w: it answers PRELOGIN with a packet of type %#02x", tdswire.ErrNotTDS, byte(t))
	}
	return tdswire.ParsePrelogin(message)
}

// Opener is the [tlscheck.Opener] of SQL Server up to TDS 7.4: it negotiates encryption with a
// PRELOGIN that wants it, and returns a connection on which the TLS handshake goes inside
// PRELOGIN packets, as MS-TDS 3.2.5.2 has it.
func Opener(_ context.Context, conn net.Conn) (net.Conn, error) {
	answer, err := exchangePrelogin(conn, tdswire.EncryptOn)
	if err != nil {
		return nil, err
	}
	if answer.Encryption == nil {
		return nil, errors.New("sqlsec: the answer to PRELOGIN says nothing about encryption")
	}
	switch *answer.Encryption {
	case tdswire.EncryptOn, tdswire.EncryptReq:
		return tdswire.NewHandshakeConn(conn), nil
	}
	return nil, fmt.Errorf("sqlsec: the server answers %s to a client that wants encryption", answer.Encryption)
}

var _ tlscheck.Opener = Opener

// strictHello begins with a ClientHello and does not complete the handshake.
func (c Config) strictHello(ctx context.Context, addr netip.AddrPort) StrictAnswer {
	conn, err := c.dial(ctx, addr)
	if err != nil {
		p := tlscheck.ProblemOf(err)
		p.Kind = tlscheck.Other // the port was open a moment ago: this says nothing about TDS 8.0
		return StrictAnswer{Problem: p}
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	hello := tlswire.Hello{
		MaxVersion: tls.VersionTLS13, MinVersion: tls.VersionTLS12, ALPN: []string{alpnTDS8},
		ServerName: strings.TrimSuffix(c.serverName(), "."),
	}
	flight, err := tlswire.Probe(ctx, conn, hello)
	switch {
	case flight.Alert != nil:
		return StrictAnswer{Problem: tlscheck.Problem{Kind: tlscheck.Alert, Text: "the server answers with the alert: " + flight.Alert.String()}}
	case flight.Version != 0:
		return StrictAnswer{TLS: true}
	}
	var not *tlswire.NotTLSError
	if errors.As(err, &not) {
		return StrictAnswer{Problem: tlscheck.Problem{Kind: tlscheck.NotTLS, Text: "the server does not begin with TLS"}}
	}
	return StrictAnswer{Problem: problemOf(err)}
}

// browse asks SQL Server Browser: for the instance whose port is needed, or for all.
func (c Config) browse(ctx context.Context) BrowserObservation {
	ask := c.Instance
	if c.Port != 0 {
		ask = ""
	}
	ctx, cancel := context.WithTimeout(ctx, browserTimeout)
	defer cancel()
	host := c.host()
	if c.Connect != "" { // where the server is reached, its Browser is too
		host = c.Connect
		if h, _, err := net.SplitHostPort(c.Connect); err == nil {
			host = h
		}
		host = strings.Trim(host, "[]")
	}
	if c.Resolver != nil {
		if _, err := netip.ParseAddr(host); err != nil {
			found, err := c.Resolver.LookupNetIP(ctx, "ip", host)
			if err != nil || len(found) == 0 {
				return BrowserObservation{Problem: tlscheck.Problem{Kind: tlscheck.Other, Text: "the name does not resolve"}}
			}
			host = found[0].Unmap().String()
		}
	}
	conn, err := c.dialer().DialContext(ctx, "udp", net.JoinHostPort(host, strconv.Itoa(browserPort)))
	if err != nil {
		return BrowserObservation{Problem: tlscheck.ProblemOf(err)}
	}
	var o BrowserObservation
	request, answer := tdswire.BrowserRequest(ask), make([]byte, tdswire.MaxBrowserAnswer)
	err = within(ctx, conn, func() error {
		for {
			if _, err := conn.Write(request); err != nil {
				return err
			}
			_ = conn.SetReadDeadline(time.Now().Add(browserResend))
			n, err := conn.Read(answer)
			if isTimeout(err) && ctx.Err() == nil { // UDP loses datagrams
				continue
			}
			if err != nil {
				return err
			}
			fields, err := tdswire.ParseBrowserAnswer(answer[:n])
			if err != nil {
				return err
			}
			for _, f := range fields {
				o.Instances = append(o.Instances, newInstance(f))
			}
			return nil
		}
	})
	o.Problem = problemOf(err)
	return o
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

func newInstance(fields map[string]string) Instance {
	port, err := strconv.ParseUint(fields["tcp"], 10, 16)
	if err != nil {
		port = 0
	}
	return Instance{
		Name: printable(fields["instancename"]), Server: printable(fields["servername"]), Version: printable(fields["version"]),
		Port: uint16(port), Pipe: printable(fields["np"]),
	}
}

// portOf returns the TCP port of an instance, 0 if it is not told.
func (b BrowserObservation) portOf(instance string) uint16 {
	for _, i := range b.Instances {
		if strings.EqualFold(i.Name, instance) {
			return i.Port
		}
	}
	return 0
}
