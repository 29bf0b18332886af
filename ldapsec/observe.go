package ldapsec

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/ldapwire"
	"github.com/connsec/connsec/internal/ntlm"
	"github.com/connsec/connsec/internal/setting"
	"github.com/connsec/connsec/tlscheck"
)

const (
	maxControllers = 64 // domain controllers looked at
	serversAtATime = 8  // of them, at once
	// Of one name, as tlscheck bounds them.
	maxAddresses     = 16
	addressesAtATime = 4
	stepTimeout      = 10 * time.Second // one question; the context's deadline comes first where it is nearer
	// bindBudget is how many binds of a random identity one address gets. Such binds are failed
	// logins in its log; null sessions name nobody and are not counted.
	bindBudget = 2
)

// Observe looks at every server of the setting, or at every controller of the domain, on the
// port with TLS and on the port without. A name with several addresses is as many servers, up
// to 16. The error is for no facts at all: no server could be found or reached.
//
// Per address it makes one connection to ask questions on each port, one for START TLS, and
// those that [tlscheck.Endpoint.Observe] makes. It sends no real account: anonymous searches,
// null sessions, and at most two binds of a random, non-existent identity. See the package
// documentation for what the server logs.
func (c Config) Observe(ctx context.Context) (Observation, error) {
	started := c.now()
	o := Observation{Target: c.target(), At: started}
	if err := c.usable(); err != nil {
		return o, err
	}
	names := c.Servers
	if c.discovers() {
		d := c.discover(ctx)
		names = d.Found[:min(len(d.Found), maxControllers)]
		d.LeftOut = len(d.Found) - len(names)
		o.Discovery = &d
		if len(names) == 0 && d.Problem != "" {
			return o, fmt.Errorf("ldapsec: the controllers of %s cannot be found: %s", setting.OneLine(hostOf(c.Domain)), d.Problem)
		}
	}
	found := make([][]Server, len(names))
	slots := make(chan struct{}, serversAtATime)
	var wg sync.WaitGroup
	for i, name := range names {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			found[i] = c.observeName(ctx, name)
		})
	}
	wg.Wait()
	o.Servers = slices.Concat(found...)
	if o.Discovery != nil && o.Discovery.LeftOut > 0 { // what they accept is not known
		o.Servers = append(o.Servers, Server{
			Name: o.Discovery.Domain, Plain: Port{Number: c.plainPort()},
			Problem: fmt.Sprintf("the domain has %d more controllers, which were not looked at", o.Discovery.LeftOut),
		})
	}
	o.Duration = c.now().Sub(started)
	if len(names) > 0 && !slices.ContainsFunc(o.Servers, Server.seen) {
		return o, fmt.Errorf("ldapsec: %s: no server could be looked at: %s", o.Target, o.Servers[0].unseen())
	}
	return o, nil
}

// Probe observes and judges. The report contains the rules of the setting too.
func (c Config) Probe(ctx context.Context) (connsec.Report, error) {
	o, err := c.Observe(ctx)
	if err != nil {
		return connsec.Report{}, err
	}
	r := o.Judge()
	typed := c.Validate()
	if c.discovers() { // what DNS said replaces what could not be told from the setting
		typed.Findings = slices.DeleteFunc(typed.Findings, func(f connsec.Finding) bool { return f.Rule == RuleAutoDiscovery })
	}
	r.Findings = append(typed.Findings, r.Findings...)
	return r, nil
}

// seen reports whether the server gave any fact: a connection, or that it refuses one.
func (s Server) seen() bool {
	if s.Problem != "" {
		return false
	}
	if s.Plain.Problem.Kind == "" || s.Plain.Problem.Kind == tlscheck.Refused {
		return true
	}
	return slices.ContainsFunc(s.TLS, func(l TLSLook) bool {
		return slices.ContainsFunc(l.Observation.Addresses, func(a tlscheck.AddressObservation) bool {
			return a.Unreachable.Kind == "" || a.Unreachable.Kind == tlscheck.Refused
		})
	})
}

func (s Server) unseen() string {
	if s.Problem != "" {
		return s.Problem
	}
	return s.Plain.Problem.Text
}

// discover asks DNS for the domain's controllers, in the order of RFC 2782.
func (c Config) discover(ctx context.Context) Discovery {
	d := Discovery{Domain: hostOf(c.Domain)}
	domain, err := tlscheck.ParseFQDN(c.Domain)
	if err != nil {
		d.Problem = "the domain is not a valid name"
		return d
	}
	_, records, err := c.resolver().LookupSRV(ctx, "ldap", "tcp", "dc._msdcs."+domain.String())
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		d.None = true
		return d
	}
	if err != nil && len(records) == 0 {
		d.Problem = setting.OneLine(problemOf(err))
		return d
	}
	for _, r := range records {
		if name := strings.TrimSuffix(r.Target, "."); name != "" && !slices.Contains(d.Found, name) {
			d.Found = append(d.Found, name)
		}
	}
	d.None = len(d.Found) == 0
	return d
}

// endpoint is one way to the server, for tlscheck.
func (c Config) endpoint(name string, port uint16, way string) tlscheck.Endpoint {
	e := tlscheck.Endpoint{
		Host: name, Port: port, Connect: c.connect(port), Subject: subject(name, port, way),
		ClientCertificates: c.ClientCertificates, Roots: c.Roots, Known: c.Known, CRLs: c.CRLs, AsOf: c.AsOf,
		Dialer: c.Dialer, Now: c.Now,
	}
	if c.Resolver != nil {
		e.Resolver = c.Resolver
	}
	if way == wayStartTLS {
		e.Open = openStartTLS
	}
	return e
}

// connect is Connect for one of the ports: a port in it stands for the setting's own only.
func (c Config) connect(port uint16) string {
	if c.Connect == "" || port == c.port() {
		return c.Connect
	}
	if h, _, err := net.SplitHostPort(c.Connect); err == nil {
		return net.JoinHostPort(h, strconv.Itoa(int(port)))
	}
	return c.Connect
}

const (
	wayLDAPS    = "ldaps"
	wayStartTLS = "starttls"
	wayPlain    = "ldap"
)

func subject(name string, port uint16, way string) string {
	return fmt.Sprintf("%s (%s)", net.JoinHostPort(strings.Trim(setting.OneLine(hostOf(name)), "[]"), strconv.Itoa(int(port))), way)
}

// openStartTLS is the tlscheck.Opener for LDAP: one extended request, one answer, not a byte
// more. What a server sends behind its answer would be taken for TLS, and fail.
func openStartTLS(ctx context.Context, conn net.Conn) (net.Conn, error) {
	stop := govern(ctx, conn)
	defer stop()
	res, err := newSession(conn).result(ldapwire.OpExtendedResponse, func(id int32) []byte {
		return ldapwire.Extended(id, ldapwire.OIDStartTLS)
	})
	if err != nil {
		return nil, err
	}
	if res.Code != ldapwire.ResultSuccess {
		return nil, fmt.Errorf("the server refuses START TLS: %s", describe(res))
	}
	return conn, nil
}

// look is the work on one address. Each goroutine writes fields of its own.
type look struct {
	c    Config
	name string
	at   netip.AddrPort // without TLS
	Server

	plain, secure *session // nil: not to be had
	plainRoot     rootAnswer
	secureRoot    rootAnswer
	binding       []byte // of the verified TLS connection
	binds         int    // binds of a random identity so far
}

// observeName looks at every address of a name. What stands behind one address says nothing
// about the others: each is asked all questions.
func (c Config) observeName(ctx context.Context, name string) []Server {
	way := wayPlain
	if c.Mode == Implicit {
		way = wayLDAPS
	}
	shown := setting.OneLine(hostOf(name))
	addrs, err := c.endpoint(name, c.port(), way).Addresses(ctx)
	if err != nil {
		return []Server{{
			Name: shown, Plain: Port{Number: c.plainPort()}, Problem: setting.OneLine(strings.TrimPrefix(err.Error(), "tlscheck: ")),
		}}
	}
	most := min(len(addrs), maxAddresses)
	servers := make([]Server, most, most+1)
	var looks []TLSLook
	var wg sync.WaitGroup
	wg.Go(func() { looks = c.observeTLS(ctx, name) })
	slots := make(chan struct{}, addressesAtATime)
	for i, addr := range addrs[:most] {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			one := c
			one.Connect = addr.String() // the other port goes with it, see connect
			servers[i] = one.observeAddress(ctx, name, addr.Addr())
		})
	}
	wg.Wait()
	servers[0].TLS = looks
	if left := len(addrs) - most; left > 0 { // what they accept is not known
		servers = append(servers, Server{
			Name: shown, Plain: Port{Number: c.plainPort()}, Problem: fmt.Sprintf("the name has %d more addresses, which were not looked at", left),
		})
	}
	return servers
}

// observeTLS is what tlscheck sees of every way to TLS, at all addresses of the name.
func (c Config) observeTLS(ctx context.Context, name string) []TLSLook {
	ways := []TLSLook{{Way: wayLDAPS, Port: c.tlsPort()}}
	if c.GlobalCatalog && c.tlsPort() != portGCS {
		ways = append(ways, TLSLook{Way: wayLDAPS, Port: portGCS})
	}
	if c.Mode == StartTLS {
		ways = append(ways, TLSLook{Way: wayStartTLS, Port: c.plainPort()})
	}
	var wg sync.WaitGroup
	for i := range ways {
		wg.Go(func() {
			// Without an answer from DNS nothing was seen, and that is what the look says.
			ways[i].Observation, _ = c.endpoint(name, ways[i].Port, ways[i].Way).Observe(ctx)
		})
	}
	wg.Wait()
	return ways
}

// observeAddress asks one address, to which c.Connect leads.
func (c Config) observeAddress(ctx context.Context, name string, addr netip.Addr) Server {
	l := &look{c: c, name: name, Server: Server{Name: setting.OneLine(hostOf(name)), Address: addr, Plain: Port{Number: c.plainPort()}}}
	addrs, err := c.endpoint(name, c.plainPort(), wayPlain).Addresses(ctx)
	if err != nil {
		l.Problem = setting.OneLine(strings.TrimPrefix(err.Error(), "tlscheck: "))
		return l.Server
	}
	l.at = addrs[0] // the only one: c.Connect is an address
	var opening sync.WaitGroup
	opening.Go(func() { l.openPlain(ctx) })
	opening.Go(func() { l.openSecure(ctx) })
	opening.Wait()
	root := l.secureRoot
	if root.dse == nil && (l.plainRoot.dse != nil || l.secure == nil) {
		root = l.plainRoot
	}
	l.RootDSE, l.NoRootDSE = root.dse, root.none
	if l.secureRoot.dse != nil {
		l.PlainRootDSE = l.plainRoot.dse
	}
	l.Kind = l.RootDSE.kind()

	// Now the questions whose meaning depends on the kind of server.
	var asking, beside sync.WaitGroup
	if l.plain != nil {
		beside.Go(func() { l.askStartTLS(ctx) })
		asking.Go(func() { l.askPlain(ctx) })
	}
	if l.secure != nil {
		asking.Go(func() { l.askSecure(ctx) })
	}
	asking.Wait()
	if l.secure != nil {
		l.askWrongBinding(ctx)
		l.secure.close()
	} else if l.plain != nil {
		l.askSearches(ctx, l.plain, wayPlain)
	}
	if l.plain != nil {
		l.plain.close()
	}
	beside.Wait()
	return l.Server
}

// dial connects to one address, within the time of one question.
func (c Config) dial(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	dialer := c.Dialer
	if dialer == nil {
		dialer = &net.Dialer{}
	}
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	return dialer.DialContext(ctx, "tcp", addr.String())
}

// within runs one question under its own time limit and reports whether the connection is
// still good for the next.
func within(ctx context.Context, s *session, ask func()) bool {
	step, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	stop := govern(step, s.conn)
	ask()
	return stop()
}

func (l *look) openPlain(ctx context.Context) {
	conn, err := l.c.dial(ctx, l.at)
	if err != nil {
		l.Plain.Problem = tlscheck.ProblemOf(err)
		return
	}
	l.plain = newSession(conn)
	l.plainRoot = l.askRootDSE(ctx, &l.plain, wayPlain)
}

func (l *look) openSecure(ctx context.Context) {
	conn, err := l.c.dialTLS(ctx, l.name, l.c.tlsPort(), wayLDAPS)
	if err != nil {
		l.Unverified = setting.OneLine(unverified(err))
		return
	}
	if l.binding, err = EndPointBinding(conn.ConnectionState()); err != nil {
		l.Unverified = setting.OneLine(err.Error())
	}
	l.secure = newSession(conn)
	if len(l.c.ClientCertificates) > 0 {
		// Active Directory takes a client certificate for a bind (MS-ADTS 5.1.1.2). The
		// questions are those of nobody; a refused bind makes nobody too (RFC 4511, 4.2.1).
		within(ctx, l.secure, func() {
			_, _ = l.secure.bind(func(id int32) []byte { return ldapwire.Bind(id, "", ldapwire.AuthSimple, nil) })
		})
	}
	l.secureRoot = l.askRootDSE(ctx, &l.secure, wayLDAPS)
}

// rootAnswer is a root DSE, or how the search for it ended without one.
type rootAnswer struct {
	dse  *RootDSE
	none *SearchAnswer
}

// askRootDSE reads the root DSE anonymously. The session is closed and set to nil if the
// server does not answer as LDAP does.
func (l *look) askRootDSE(ctx context.Context, s **session, way string) (root rootAnswer) {
	var err error
	good := within(ctx, *s, func() {
		var e *entry
		var res ldapwire.Result
		if e, res, err = (*s).search("", ldapwire.ScopeBase, rootAttributes...); e != nil {
			root.dse = readRootDSE(way, e.attrs)
		} else {
			root.none = &SearchAnswer{Answer: *answerOf(res, err), Way: way}
		}
	})
	if err == nil && good {
		return root
	}
	_ = (*s).conn.Close()
	*s = nil
	problem := tlscheck.Problem{Kind: tlscheck.Timeout, Text: "no answer in time"}
	if err != nil && !silent(err) {
		problem = tlscheck.Problem{Kind: tlscheck.Other, Text: setting.OneLine(problemOf(err))}
	}
	if way == wayPlain {
		l.Plain.Problem = problem
	} else {
		l.Unverified = problem.Text
	}
	return root
}

// probeName makes a name that no directory has, and says where it comes from.
func (l *look) probeName() (string, error) {
	b := make([]byte, 8)
	if _, err := io.ReadFull(l.c.rand(), b); err != nil {
		return "", fmt.Errorf("no randomness: %w", err)
	}
	return "connsec-probe-" + hex.EncodeToString(b), nil
}

// askPlain asks how the server takes binds in clear. For a controller a null session tells,
// without naming anybody; only if it does not, and for all others, a random DN is bound.
func (l *look) askPlain(ctx context.Context) {
	if l.Kind.controller() {
		within(ctx, l.plain, func() { l.NullSession = answerOf(l.ntlmBind(l.plain, ntlm.Client{})) })
		if l.NullSession.is(ldapwire.ResultSuccess, ldapwire.ResultStrongerAuthRequired) {
			return
		}
	}
	within(ctx, l.plain, func() {
		name, err := l.probeName()
		if err != nil {
			return
		}
		dn := "cn=" + name
		// Below a naming context of the server's: slapd refuses any other name for unknown
		// credentials before it looks at its restrictions.
		base := l.base()
		if !l.RootDSE.holds(base) && l.RootDSE.base() != "" {
			base = l.RootDSE.base()
		}
		if base != "" {
			dn += "," + base
		}
		l.binds++
		l.CleartextBind = answerOf(l.plain.bind(func(id int32) []byte {
			return ldapwire.Bind(id, dn, ldapwire.AuthSimple, []byte(name))
		}))
	})
}

func (l *look) base() string {
	if l.c.BaseDN != "" {
		return l.c.BaseDN
	}
	return l.RootDSE.base()
}

// askSecure asks, inside verified TLS, what anonymous readers see and, of a controller, how
// it takes NTLM without channel binding.
func (l *look) askSecure(ctx context.Context) {
	l.askSearches(ctx, l.secure, wayLDAPS)
	if !l.Kind.controller() || l.binding == nil {
		return
	}
	l.NoBinding = l.askNTLM(ctx, nil)
	if l.NoBinding != nil && !l.NoBinding.badBindings() {
		within(ctx, l.secure, func() { l.NullInTLS = answerOf(l.ntlmBind(l.secure, ntlm.Client{})) })
	}
}

// askWrongBinding tells "never" from "when supported", if that is still open and the budget
// allows it.
func (l *look) askWrongBinding(ctx context.Context) {
	if l.NoBinding == nil || l.NoBinding.badBindings() || l.NoBinding.Problem != "" ||
		l.NullInTLS.is(ldapwire.ResultStrongerAuthRequired) || l.binds+1 >= bindBudget {
		return
	}
	wrong := slices.Clone(l.binding)
	wrong[len(wrong)-1] ^= 0xff // before the MIC is computed, so that the message itself is sound
	l.WrongBinding = l.askNTLM(ctx, wrong)
}

// askNTLM binds a random user inside TLS.
func (l *look) askNTLM(ctx context.Context, binding []byte) (a *Answer) {
	within(ctx, l.secure, func() {
		name, err := l.probeName()
		if err != nil {
			return
		}
		user := ntlm.Client{User: name, Hash: ntlm.Hash(name), Rand: l.c.rand(), Now: l.c.now}
		if binding != nil {
			user.Binding = ntlm.BindingHash(binding)
		}
		a = answerOf(l.ntlmBind(l.secure, user))
	})
	return a
}

// ntlmBind binds in the way that the kind of server is known to take: Active Directory by
// Sicily, which every release of it has; Samba, which has no Sicily, by GSS-SPNEGO.
func (l *look) ntlmBind(s *session, user ntlm.Client) (ldapwire.Result, error) {
	if l.Kind == ActiveDirectory {
		return bindNTLM(s, sicily, user)
	}
	return bindNTLM(s, spnego, user)
}

// askSearches asks for one entry below the base, and for one below the empty name.
func (l *look) askSearches(ctx context.Context, s *session, way string) {
	ask := func(base string) (a *SearchAnswer) {
		within(ctx, s, func() {
			e, res, err := s.search(base, ldapwire.ScopeSub)
			a = &SearchAnswer{Answer: *answerOf(res, err), Base: setting.OneLine(base), Way: way, Entry: e != nil}
			if e != nil {
				a.Sample = setting.OneLine(e.dn)
			}
		})
		return a
	}
	if base := l.base(); base != "" {
		l.AnonymousSearch = ask(base)
		if l.AnonymousSearch.Problem != "" { // the session is not good for another
			return
		}
	}
	l.NullBaseSearch = ask("")
}

// askStartTLS sends a StartTLS request and, glued behind it in one segment, a search. A server
// must begin TLS after the first (RFC 4511, 4.14.1): bytes that it has read beyond belong to
// nobody and must not become part of the TLS session.
func (l *look) askStartTLS(ctx context.Context) {
	look := &StartTLSLook{}
	l.StartTLS = look
	conn, res, before, err := l.startTLS(ctx, true)
	look.Answer = *answerOf(res, err)
	if !look.Offered() {
		// Servers refuse START TLS while another request is under way (RFC 4511, 4.14.1): it
		// takes one without to know whether they offer it at all.
		again, alone, _, errAlone := l.startTLS(ctx, false)
		look.Answer = *answerOf(alone, errAlone)
		if look.Offered() {
			_ = again.Close()
			if look.Glued = GluedRefused; silent(err) {
				look.Glued, look.Detail = GluedUnknown, "the server does not answer two requests at once"
			}
		}
		return
	}
	defer func() { _ = conn.Close() }()
	step, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	cfg, err := l.c.tlsConfig(l.name)
	if err != nil {
		look.Detail = setting.OneLine(err.Error())
		return
	}
	inside, err := handshake(step, conn, cfg)
	if err != nil {
		l.gluedRefused(ctx, cfg, err)
		return
	}
	stop := govern(step, conn)
	defer stop()
	// Two questions of our own, each answered in turn: whatever the server made of the glued
	// one, it comes before the second of these.
	for _, own := range []int32{3, 4} {
		if _, err := inside.Write(ldapwire.Search(own, "", ldapwire.ScopeBase, 1, 10)); err != nil {
			look.Detail = setting.OneLine(problemOf(err))
			return
		}
		for answered, n := false, 0; !answered; n++ {
			m, err := ldapwire.Read(inside, ldapwire.MaxMessage)
			if err != nil || n > maxStray {
				look.Detail = "the TLS session ended early"
				return
			}
			if m.ID == gluedID {
				look.Glued = GluedInTLS
				return
			}
			answered = m.ID == own && m.Op == ldapwire.OpSearchDone
		}
	}
	if look.Glued = GluedDiscarded; before {
		look.Glued = GluedBefore
	}
}

// gluedID is the message ID of the request glued behind a StartTLS request.
const gluedID = 2

// gluedRefused decides what a failed handshake says, by one without the glue: if that one
// works, the glue was to blame, and a server that chokes on it does not process it.
func (l *look) gluedRefused(ctx context.Context, cfg *tls.Config, failed error) {
	problem := tlscheck.ProblemOf(failed)
	if problem.Kind == tlscheck.NotTLS {
		l.StartTLS.Glued = GluedInClear
		return
	}
	conn, res, _, err := l.startTLS(ctx, false)
	if err == nil && res.Code == ldapwire.ResultSuccess {
		defer func() { _ = conn.Close() }()
		step, cancel := context.WithTimeout(ctx, stepTimeout)
		defer cancel()
		if _, err = handshake(step, conn, cfg); err == nil {
			if problem.Kind == tlscheck.Timeout {
				l.StartTLS.Detail = "the server does not answer the handshake in time"
				return
			}
			l.StartTLS.Glued = GluedRefused
			return
		}
	}
	l.StartTLS.Detail = setting.OneLine(unverified(failed))
}
