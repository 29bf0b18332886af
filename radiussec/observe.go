package radiussec

import (
	"bytes"
	"context"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/setting"
	"github.com/connsec/connsec/tlscheck"
	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc3576"
)

const (
	// silentTries is how often a question is sent before no answer means something.
	silentTries = 3
	// probeTries is how often the questions are sent that every sound server answers.
	probeTries = 3
	// leastWait and mostWait bound the wait for an answer. A reject may be held back on
	// purpose (FreeRADIUS reject_delay, 1 s by default and 10 s at most).
	leastWait = 1500 * time.Millisecond
	mostWait  = 11 * time.Second
	// maxServers are looked at, and of each so many addresses, so many at a time, as in tlscheck.
	maxServers         = 64
	maxAddresses       = 16
	addressesAtOneTime = 4
)

// Observe looks at every server of the setting. The error is for no facts at all: no server
// could be found.
//
// Every address of a server's name is asked, the first 16 at most: behind one name there may be
// servers with other settings.
//
// Over UDP it sends to each, from one socket each and in this order: Status-Server; an Access-Request
// with Message-Authenticator; then, at the same time, one without and one without but with a
// Proxy-State; and if one of these stayed unanswered, one with Message-Authenticator again. All
// are for a random user that does not exist, and each is sent up to three times. The order
// matters: a FreeRADIUS in mode auto takes the first packet of a client for what it does, and
// must not learn from a probe that it does not sign.
//
// Over TLS it looks at the endpoint as [tlscheck.Endpoint.Observe] does, and sends a
// Status-Server inside a verified connection.
func (c Config) Observe(ctx context.Context) (Observation, error) {
	started := c.now()
	o := Observation{Target: c.target(), Transport: c.Transport, At: started}
	if len(c.Servers) == 0 {
		return o, errors.New("radiussec: no server is given; there is nothing to look at")
	}
	servers := c.Servers[:min(len(c.Servers), maxServers)]
	o.Servers = make([]ServerObserved, len(servers))
	var wg sync.WaitGroup
	for i, s := range servers {
		wg.Go(func() {
			if c.Transport == UDP {
				o.Servers[i] = c.observeUDP(ctx, s)
			} else {
				o.Servers[i] = c.observeTLS(ctx, s)
			}
		})
	}
	wg.Wait()
	o.Duration = c.now().Sub(started)
	for _, s := range o.Servers {
		if s.Problem == "" {
			return o, nil
		}
	}
	return o, fmt.Errorf("radiussec: %s: %s", o.Servers[0].Subject, o.Servers[0].Problem)
}

// Probe observes and judges. The report contains the rules of the setting, too.
func (c Config) Probe(ctx context.Context) (connsec.Report, error) {
	o, err := c.Observe(ctx)
	if err != nil {
		return connsec.Report{}, err
	}
	r := o.Judge()
	r.Findings = append(c.Validate().Findings, r.Findings...)
	return r, nil
}

// probing is the work on one server over UDP.
type probing struct {
	Config
	server Server
	secret []byte
	wait   time.Duration // for one answer
}

func (c Config) observeUDP(ctx context.Context, s Server) ServerObserved {
	o := ServerObserved{Subject: c.subject(s)}
	if s.Secret.IsEmpty() {
		o.Problem = "no secret is set, and a server answers only with one"
		return o
	}
	c.eachAddress(ctx, s, &o, func(s Server, a *AddressObserved) { c.askUDP(ctx, s, a) })
	return o
}

// eachAddress looks the server up and calls ask for each of its addresses, with a setting that
// leads there and nowhere else.
func (c Config) eachAddress(ctx context.Context, s Server, o *ServerObserved, ask func(Server, *AddressObserved)) {
	addrs, err := c.endpoint(s).Addresses(ctx)
	if err != nil {
		o.Problem = setting.OneLine(strings.TrimPrefix(err.Error(), "tlscheck: "))
		return
	}
	most := min(len(addrs), maxAddresses)
	addrs, rest := addrs[:most], addrs[most:]
	o.Addresses = make([]AddressObserved, most, most+1)
	slots := make(chan struct{}, addressesAtOneTime)
	var wg sync.WaitGroup
	for i, addr := range addrs {
		a := &o.Addresses[i]
		a.Address = addr
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			there := s
			there.Connect = addr.String()
			ask(there, a)
		})
	}
	wg.Wait()
	if len(rest) > 0 { // what they answer is not known
		o.Addresses = append(o.Addresses, AddressObserved{
			Address: rest[0], Problem: fmt.Sprintf("the name has %d more addresses, which were not looked at", len(rest)),
		})
	}
}

func (c Config) askUDP(ctx context.Context, s Server, a *AddressObserved) {
	p := probing{Config: c, server: s, secret: []byte(s.Secret.Reveal()), wait: leastWait}
	if c.Timing.Initial > 0 {
		p.wait = c.Timing.Initial
	}
	a.Status = p.ask(ctx, radius.CodeStatusServer, true, false, probeTries)
	patient := p
	patient.wait = max(p.wait, min(mostWait, c.Timing.withDefaults().Total)/probeTries)
	a.Signed = patient.ask(ctx, radius.CodeAccessRequest, true, false, probeTries)
	if !a.Signed.answered() {
		return // without it, silence to the others says nothing
	}
	// A server that holds back rejects does so for all of them. A repeated request that
	// arrives while the first is held back is no new one, so the first try's answer may come
	// during any wait.
	p.wait = min(mostWait, max(p.wait, 2*a.Signed.Took*time.Duration(a.Signed.Tries)))
	var both sync.WaitGroup
	both.Go(func() { a.Unsigned = p.ask(ctx, radius.CodeAccessRequest, false, false, silentTries) })
	both.Go(func() { a.Proxied = p.ask(ctx, radius.CodeAccessRequest, false, true, silentTries) })
	both.Wait()
	if !a.Unsigned.answered() || !a.Proxied.answered() {
		a.After = p.ask(ctx, radius.CodeAccessRequest, true, false, probeTries)
	}
}

// ask sends one question, for a user that does not exist, with a password that is nobody's.
func (p probing) ask(ctx context.Context, code radius.Code, signed, proxied bool, tries int) *Answer {
	packet, err := p.question(code, p.secret)
	if err != nil {
		return &Answer{Problem: setting.OneLine(err.Error())}
	}
	if proxied {
		mark := make([]byte, 8)
		_, _ = io.ReadFull(p.rand(), mark)
		packet.Add(rfc2865.ProxyState_Type, mark)
	}
	wire, err := encodeRequest(packet, p.secret, signed)
	if err != nil {
		return &Answer{Problem: setting.OneLine(err.Error())}
	}
	ctx, cancel := context.WithTimeout(ctx, p.wait*time.Duration(tries))
	defer cancel()
	conn, err := p.dialUDP(ctx, p.server)
	if err != nil {
		return &Answer{Problem: tlscheck.ProblemOf(err).Text}
	}
	defer func() { _ = conn.Close() }()
	// The same wait every time: what is measured is whether an answer comes at all.
	got := exchange(ctx, conn, wire, p.secret, Timing{Initial: p.wait * 10 / 11, Most: p.wait * 10 / 11}, false)
	return got.answer(ctx)
}

// question makes a request for a random user.
func (c Config) question(code radius.Code, secret []byte) (*radius.Packet, error) {
	if code == radius.CodeStatusServer {
		packet, err := newPacket(c, code, secret)
		if err == nil {
			err = rfc2865.NASIdentifier_SetString(packet, c.nasIdentifier())
		}
		return packet, err
	}
	random := make([]byte, 10)
	if _, err := io.ReadFull(c.rand(), random); err != nil {
		return nil, fmt.Errorf("no randomness: %w", err)
	}
	text := strings.ToLower(base32.StdEncoding.EncodeToString(random))
	return accessRequest(c, secret, "connsec-probe-"+text[:8], text[8:])
}

// fail records an error: that an answer was no good, or that there was none.
func (a *Answer) fail(err error) {
	for _, bad := range []error{ErrMalformed, ErrResponseAuthenticator, ErrMessageAuthenticator, ErrProxyState, ErrUnexpected} {
		if errors.Is(err, bad) {
			a.Bad++
			a.Why = bad.Error()
			a.Forged = bad == ErrResponseAuthenticator || bad == ErrMessageAuthenticator
			return
		}
	}
	a.Problem = setting.OneLine(tlscheck.ProblemOf(err).Text)
}

func (o outcome) answer(ctx context.Context) *Answer {
	a := &Answer{Tries: o.tries, Bad: o.bad, Refused: o.refused}
	if o.why != nil {
		a.Why = o.why.Error()
		a.Forged = errors.Is(o.why, ErrResponseAuthenticator) || errors.Is(o.why, ErrMessageAuthenticator)
	}
	if o.err != nil {
		if ctx.Err() == nil || errors.Is(ctx.Err(), context.Canceled) {
			a.Problem = setting.OneLine(o.err.Error())
		}
		return a
	}
	a.read(o.reply)
	a.Took = o.took
	return a
}

func (a *Answer) read(r reply) {
	a.Code = int(r.packet.Code)
	switch {
	case r.ma == 0:
		a.MessageAuthenticator = Absent
	case r.ma == headerSize:
		a.MessageAuthenticator = First
	default:
		a.MessageAuthenticator = Later
	}
	if v, ok := r.packet.Lookup(rfc3576.ErrorCause_Type); ok && len(v) == 4 {
		a.ErrorCause = binary.BigEndian.Uint32(bytes.Clone(v))
	}
}

func (c Config) observeTLS(ctx context.Context, s Server) ServerObserved {
	o := ServerObserved{Subject: c.subject(s)}
	var looking sync.WaitGroup
	looking.Go(func() {
		if seen, err := c.endpoint(s).Observe(ctx); err == nil { // otherwise the name has no address
			o.TLS = &seen
		}
	})
	c.eachAddress(ctx, s, &o, func(s Server, a *AddressObserved) { c.askTLS(ctx, s, a) })
	looking.Wait()
	return o
}

// askTLS asks inside a verified connection, or not at all.
func (c Config) askTLS(ctx context.Context, s Server, seen *AddressObserved) {
	a := &Answer{Tries: 1}
	seen.InTLS = a
	l := newLink(c, s)
	defer l.close()
	if err := l.connect(ctx); err != nil {
		a.Problem = setting.OneLine(tlscheck.ProblemOf(err).Text)
		return
	}
	seen.ALPN = l.conn.ConnectionState().NegotiatedProtocol
	packet, err := c.question(radius.CodeStatusServer, []byte(fixedSecret))
	if err != nil {
		a.Problem = setting.OneLine(err.Error())
		return
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timing.withDefaults().Total)
	defer cancel()
	began := time.Now()
	answer, err := l.ask(ctx, packet)
	if err != nil {
		a.fail(err)
		return
	}
	a.Code, a.Took = int(answer.Code), time.Since(began)
}
