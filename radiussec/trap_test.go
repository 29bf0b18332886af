package radiussec_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/internal/testca"
	"github.com/connsec/connsec/radiussec"
	"github.com/connsec/connsec/trap"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
)

// spring starts a trap and returns a setting that leads into it.
func spring(t testing.TB, p trap.RADIUSPosture) (*trap.RADIUS, radiussec.Config) {
	t.Helper()
	s, err := trap.NewRADIUS(p, connsec.NewSecret(strong))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	c := overUDP(s.Addr(), connsec.NewSecret(strong))
	c.Timing = radiussec.Timing{Initial: 60 * time.Millisecond, Total: 400 * time.Millisecond}
	return s, c
}

// inTrap is what came of one setting in one trap.
type inTrap[T any] struct {
	s   *trap.RADIUS
	c   radiussec.Config
	got T
	err error
}

// inEach does something in traps of all postures at once: most of the time passes waiting for
// answers that do not come.
func inEach[T any](t *testing.T, do func(radiussec.Config, context.Context) (T, error)) map[trap.RADIUSPosture]*inTrap[T] {
	t.Helper()
	out := map[trap.RADIUSPosture]*inTrap[T]{}
	var wg sync.WaitGroup
	ctx := deadline(t)
	for _, p := range trap.RADIUSPostures() {
		s, c := spring(t, p)
		in := &inTrap[T]{s: s, c: c}
		out[p] = in
		wg.Go(func() { in.got, in.err = do(c, ctx) })
	}
	wg.Wait()
	return out
}

func TestProbeInTraps(t *testing.T) {
	type rules = []*connsec.Rule
	udp := radiussec.RuleTransportUDP
	observed := inEach(t, radiussec.Config.Observe)
	for posture, want := range map[trap.RADIUSPosture]struct{ failed, passed, unknown rules }{
		trap.RADIUSHonest: {rules{udp}, rules{radiussec.RuleSecretWrong, radiussec.RuleMissingInReply, radiussec.RuleNotFirst},
			rules{radiussec.RuleNotRequired, radiussec.RuleProxyState}},
		trap.RADIUSLimiting:        {rules{udp, radiussec.RuleNotRequired}, rules{radiussec.RuleProxyState}, nil},
		trap.RADIUSOpen:            {rules{udp, radiussec.RuleNotRequired, radiussec.RuleProxyState}, nil, nil},
		trap.RADIUSExplaining:      {rules{udp}, rules{radiussec.RuleNotRequired, radiussec.RuleProxyState}, nil},
		trap.RADIUSLate:            {rules{udp, radiussec.RuleNotFirst}, nil, nil},
		trap.RADIUSUnsigned:        {rules{udp, radiussec.RuleMissingInReply, radiussec.RuleNotRequired, radiussec.RuleProxyState}, nil, nil},
		trap.RADIUSForged:          {rules{udp, radiussec.RuleSecretWrong}, nil, nil},
		trap.RADIUSEchoing:         {rules{udp, radiussec.RuleSecretWrong}, nil, nil},
		trap.RADIUSForgedSignature: {rules{udp, radiussec.RuleSecretWrong}, nil, nil},
		trap.RADIUSWrongIdentifier: {rules{udp}, nil, rules{radiussec.RuleSecretWrong}},
		trap.RADIUSOtherPort:       {rules{udp}, nil, rules{radiussec.RuleSecretWrong}},
		trap.RADIUSProxyState:      {rules{udp}, nil, rules{radiussec.RuleSecretWrong}},
		trap.RADIUSOversize:        {rules{udp}, nil, rules{radiussec.RuleSecretWrong}},
		trap.RADIUSRunt:            {rules{udp}, nil, rules{radiussec.RuleSecretWrong}},
		trap.RADIUSFlood:           {rules{udp, radiussec.RuleSecretWrong}, nil, nil},
		trap.RADIUSSilent:          {rules{udp}, nil, rules{radiussec.RuleSecretWrong}},
	} {
		t.Run(posture.String(), func(t *testing.T) {
			o, err := observed[posture].got, observed[posture].err
			c := observed[posture].c
			require.NoError(t, err)
			// What was recorded judges the same elsewhere.
			data, err := json.Marshal(o)
			require.NoError(t, err)
			assert.NotContains(t, string(data), strong)
			var again radiussec.Observation
			require.NoError(t, json.Unmarshal(data, &again))
			require.Equal(t, o.Judge().Findings, again.Judge().Findings)

			r := again.Judge()
			r.Findings = append(c.Validate().Findings, r.Findings...)
			ruletest.ExpectFailed(t, r, want.failed...)
			for outcome, rules := range map[connsec.Outcome]rules{connsec.Pass: want.passed, connsec.Inconclusive: want.unknown} {
				if rules != nil {
					ruletest.Expect(t, r, outcome, rules...)
				}
			}
		})
	}
}

// TestJudgesWithoutServers holds the rules to what real servers answered: FreeRADIUS 3.2.1 and
// 3.2.7, as real_test.go sees them.
func TestJudgesWithoutServers(t *testing.T) {
	yes := func(p radiussec.Place) *radiussec.Answer {
		return &radiussec.Answer{Code: 3, MessageAuthenticator: p, Tries: 1}
	}
	silent := &radiussec.Answer{Tries: 3}
	lost := &radiussec.Answer{Tries: 1}
	judge := func(seen ...radiussec.AddressObserved) connsec.Report {
		for i := range seen {
			seen[i].Address = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), 1812)
		}
		return radiussec.Observation{Transport: radiussec.UDP, Servers: []radiussec.ServerObserved{{Subject: "radius", Addresses: seen}}}.Judge()
	}
	r := judge(radiussec.AddressObserved{Signed: yes(radiussec.Absent), Unsigned: silent, Proxied: silent, After: yes(radiussec.Absent)})
	ruletest.ExpectFailed(t, r, radiussec.RuleMissingInReply) // 3.2.1 with require_message_authenticator = yes
	ruletest.Expect(t, r, connsec.Pass, radiussec.RuleNotRequired, radiussec.RuleProxyState)

	for name, s := range map[string]radiussec.AddressObserved{
		"died after the first":   {Signed: yes(radiussec.Absent), Unsigned: silent, Proxied: silent, After: silent},
		"interrupted":            {Signed: yes(radiussec.Absent), Unsigned: lost, Proxied: lost, After: yes(radiussec.Absent)},
		"not asked":              {Signed: yes(radiussec.Absent)},
		"forged in between":      {Signed: yes(radiussec.Absent), Unsigned: &radiussec.Answer{Tries: 3, Bad: 1, Why: "x"}, Proxied: &radiussec.Answer{Tries: 3, Bad: 1, Why: "x"}, After: yes(radiussec.Absent)},
		"strict, or mode auto":   {Signed: yes(radiussec.First), Unsigned: silent, Proxied: silent, After: yes(radiussec.First)},
		"port closed in between": {Signed: yes(radiussec.Absent), Unsigned: &radiussec.Answer{Tries: 3, Refused: true}, Proxied: &radiussec.Answer{Tries: 3, Refused: true}, After: yes(radiussec.Absent)},
		"no socket in between":   {Signed: yes(radiussec.Absent), Unsigned: &radiussec.Answer{Problem: "x"}, Proxied: &radiussec.Answer{Problem: "x"}, After: yes(radiussec.Absent)},
	} {
		r := judge(s)
		ruletest.Expect(t, r, connsec.Inconclusive, radiussec.RuleNotRequired, radiussec.RuleProxyState)
		assert.Zero(t, len(r.Of(radiussec.RuleSecretWrong))-1, name)
	}
	for name, s := range map[string]radiussec.AddressObserved{
		"silent": {Signed: silent, Status: silent}, "nothing": {},
		"closed": {Signed: &radiussec.Answer{Refused: true}}, "failed": {Signed: &radiussec.Answer{Problem: "x"}}, "status only": {Status: yes(radiussec.First), Signed: silent},
	} {
		r := judge(s)
		ruletest.Expect(t, r, connsec.Inconclusive, radiussec.RuleSecretWrong)
		ruletest.Expect(t, r, connsec.NotApplicable, radiussec.RuleNotRequired, radiussec.RuleProxyState, radiussec.RuleMissingInReply, radiussec.RuleNotFirst)
		assert.NotNil(t, r, name)
	}
	r = radiussec.Observation{Transport: radiussec.UDP, Servers: []radiussec.ServerObserved{{Problem: "the name does not exist in DNS"}}}.Judge()
	ruletest.Expect(t, r, connsec.Inconclusive, radiussec.RuleSecretWrong)
	assert.Equal(t, "the name does not exist in DNS", r.Of(radiussec.RuleSecretWrong)[0].Detail)
	r = radiussec.Observation{Servers: []radiussec.ServerObserved{{Problem: "the name does not exist in DNS"}}}.Judge()
	ruletest.Expect(t, r, connsec.Inconclusive, radiussec.RuleTLSSilent, radiussec.RuleTLSClientUnasked, radiussec.RuleTLSALPN)

	// Two addresses: the same from both is one finding, a weak one is named.
	strict := radiussec.AddressObserved{Signed: yes(radiussec.Absent), Unsigned: silent, Proxied: silent, After: yes(radiussec.Absent)}
	open := strict
	open.Unsigned, open.Proxied = yes(radiussec.Absent), yes(radiussec.Absent)
	assert.Len(t, judge(strict, strict).Of(radiussec.RuleNotRequired), 1)
	findings := judge(strict, open).Of(radiussec.RuleNotRequired)
	require.Len(t, findings, 2)
	assert.Equal(t, "radius [192.0.2.1] pass, radius [192.0.2.2] fail",
		fmt.Sprintf("%s %s, %s %s", findings[0].Subject, findings[0].Outcome, findings[1].Subject, findings[1].Outcome))
}

// twins stands in for a name with several addresses: each leads to a server of its own.
type twins map[netip.AddrPort]string

func (n twins) LookupNetIP(context.Context, string, string) (found []netip.Addr, _ error) {
	for _, at := range slices.SortedFunc(maps.Keys(n), netip.AddrPort.Compare) {
		found = append(found, at.Addr())
	}
	return found, nil
}

func (n twins) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, network, n[netip.MustParseAddrPort(address)])
}

// TestASecondServerBehindTheName: what the first address does right says nothing about the others.
func TestASecondServerBehindTheName(t *testing.T) {
	t.Parallel()
	explaining, c := spring(t, trap.RADIUSExplaining)
	open, _ := spring(t, trap.RADIUSOpen)
	n := twins{netip.MustParseAddrPort("192.0.2.1:1812"): explaining.Addr(), netip.MustParseAddrPort("192.0.2.2:1812"): open.Addr()}
	c.Servers[0].Connect, c.Servers[0].Port, c.Dialer, c.Resolver = "", 0, n, n
	o, err := c.Observe(deadline(t))
	require.NoError(t, err)
	r := o.Judge()
	show(t, r)
	for _, rule := range []*connsec.Rule{radiussec.RuleNotRequired, radiussec.RuleProxyState} {
		findings := r.Of(rule)
		require.Len(t, findings, 2)
		assert.Equal(t, connsec.Pass, findings[0].Outcome)
		assert.Equal(t, connsec.Fail, findings[1].Outcome)
		assert.Contains(t, findings[1].Subject, "[192.0.2.2]")
	}
	for _, s := range []*trap.RADIUS{explaining, open} {
		assert.LessOrEqual(t, len(s.Observed()), 5, "bounded work at each address")
	}

	many := twins{}
	for i := range byte(18) {
		many[netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, i}), 1812)] = explaining.Addr()
	}
	c.Dialer, c.Resolver = many, many
	o, err = c.Observe(deadline(t))
	require.NoError(t, err)
	findings := o.Judge().Of(radiussec.RuleSecretWrong)
	require.Len(t, findings, 2)
	assert.Equal(t, connsec.Inconclusive, findings[1].Outcome)
	assert.Contains(t, findings[1].Detail, "2 more addresses, which were not looked at")

	// Over TLS RADIUS is spoken at every address, too.
	ca := testca.MustNew(t)
	identity := &trap.Certificate{Chain: ca.MustIssue(t, testca.Leaf{Names: []string{host}}).TLS(), Roots: ca.Pool()}
	at := func(p trap.RadSecPosture) string {
		s, err := trap.Options{Certificate: identity}.RadSec(p)
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, s.Close()) })
		return s.Addr()
	}
	n = twins{netip.MustParseAddrPort("192.0.2.1:2083"): at(trap.RadSecHonest), netip.MustParseAddrPort("192.0.2.2:2083"): at(trap.RadSecHistoric),
		netip.MustParseAddrPort("192.0.2.3:2083"): at(trap.RadSecAnonymous)}
	_, c = springTLS(t, trap.RadSecHonest)
	c.Servers[0].Connect, c.Roots, c.Dialer, c.Resolver = "", ca.Pool(), n, n
	o, err = c.Observe(deadline(t))
	require.NoError(t, err)
	r = o.Judge()
	ruletest.Expect(t, r, connsec.Pass, radiussec.RuleTLSSilent)
	for rule, at := range map[*connsec.Rule]string{radiussec.RuleTLSALPN: "[192.0.2.2]", radiussec.RuleTLSClientUnasked: "[192.0.2.3]"} {
		findings := r.Of(rule)
		require.Len(t, findings, 2)
		assert.Equal(t, connsec.Pass, findings[0].Outcome)
		assert.Equal(t, connsec.Fail, findings[1].Outcome)
		assert.Contains(t, findings[1].Subject, at)
	}
}

// TestClientInTraps: of all that traps answer, the client believes only what is the server's.
func TestClientInTraps(t *testing.T) {
	believed := inEach(t, func(c radiussec.Config, ctx context.Context) (*radius.Packet, error) {
		cl, err := c.Client(ctx)
		if err != nil {
			return nil, err
		}
		return cl.Authenticate(ctx, "trap", connsec.NewSecret("trap"))
	})
	for _, posture := range trap.RADIUSPostures() {
		t.Run(posture.String(), func(t *testing.T) {
			s, answer, err := believed[posture].s, believed[posture].got, believed[posture].err
			want := map[trap.RADIUSPosture]error{
				trap.RADIUSUnsigned: radiussec.ErrUnsigned, trap.RADIUSForgedSignature: radiussec.ErrMessageAuthenticator,
				trap.RADIUSForged: radiussec.ErrResponseAuthenticator, trap.RADIUSEchoing: radiussec.ErrResponseAuthenticator,
				trap.RADIUSWrongIdentifier: radiussec.ErrUnexpected, trap.RADIUSProxyState: radiussec.ErrProxyState,
				trap.RADIUSOversize: radiussec.ErrMalformed, trap.RADIUSRunt: radiussec.ErrMalformed,
				trap.RADIUSFlood:     radiussec.ErrResponseAuthenticator,
				trap.RADIUSOtherPort: context.DeadlineExceeded, trap.RADIUSSilent: context.DeadlineExceeded,
			}[posture]
			seen := s.Observed()
			require.Len(t, seen, 1)
			assert.True(t, seen[0].MessageAuthenticator && seen[0].First && seen[0].Verified && seen[0].Password && !seen[0].ProxyState)
			if want == nil {
				require.NoError(t, err)
				assert.Equal(t, radius.CodeAccessAccept, answer.Code)
				assert.Equal(t, 1, seen[0].Sent)
				cl, err := believed[posture].c.Client(deadline(t))
				require.NoError(t, err)
				answer, err = cl.Authenticate(deadline(t), "trap", connsec.NewSecret("tram"))
				require.NoError(t, err)
				assert.Equal(t, radius.CodeAccessReject, answer.Code)
				return
			}
			require.ErrorIs(t, err, want)
			assert.NotContains(t, err.Error(), "trap"+"trap")
			if posture.Hostile() && posture != trap.RADIUSFlood {
				assert.Equal(t, trap.Refused, seen[0].Trust)
				assert.Greater(t, seen[0].Sent, 1)
			}
		})
	}
}

// late passes packets on, and holds back the answers.
func late(t *testing.T, upstream string, by time.Duration) string {
	t.Helper()
	in, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	t.Cleanup(func() { _ = in.Close() })
	wg.Go(func() {
		buf := make([]byte, 4096)
		for {
			n, from, err := in.ReadFrom(buf)
			if err != nil {
				return
			}
			request := bytes.Clone(buf[:n])
			wg.Go(func() {
				out, err := net.Dial("udp", upstream)
				if err != nil {
					return
				}
				defer out.Close()
				_, _ = out.Write(request)
				_ = out.SetReadDeadline(time.Now().Add(by))
				answer := make([]byte, 4096)
				if n, err := out.Read(answer); err == nil {
					time.Sleep(by)
					_, _ = in.WriteTo(answer[:n], from)
				}
			})
		}
	})
	return in.LocalAddr().String()
}

// TestHeldBackRejects: FreeRADIUS holds rejects back (reject_delay). A probe that is less patient
// than that would take every server for one that drops what is unsigned.
func TestHeldBackRejects(t *testing.T) {
	s, c := spring(t, trap.RADIUSOpen)
	c.Servers[0].Connect = late(t, s.Addr(), 400*time.Millisecond)
	c.Timing = radiussec.Timing{Initial: 50 * time.Millisecond, Total: 3 * time.Second}
	r, err := c.Probe(deadline(t))
	require.NoError(t, err)
	ruletest.ExpectFailed(t, r, radiussec.RuleTransportUDP, radiussec.RuleNotRequired, radiussec.RuleProxyState)
}

func TestFailover(t *testing.T) {
	_, silent := spring(t, trap.RADIUSSilent)
	up, c := spring(t, trap.RADIUSHonest)
	c.Servers = append(silent.Servers, c.Servers...)
	c.Servers[0].Host = "radius1.corp.example"
	c.Servers[0].Secret = connsec.NewSecret("ae7ulgf4cy2stjr5v6hnpb3xz4mwkq7d")
	c.Timing.Total = 150 * time.Millisecond
	cl, err := c.Client(deadline(t))
	require.NoError(t, err)
	answer, err := cl.Authenticate(deadline(t), "trap", connsec.NewSecret("trap"))
	require.NoError(t, err)
	assert.Equal(t, radius.CodeAccessAccept, answer.Code)
	assert.Len(t, up.Observed(), 1)

	// A reject is an answer, not a reason to ask elsewhere; and an end is an end.
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = cl.Authenticate(ctx, "trap", connsec.NewSecret("trap"))
	assert.ErrorIs(t, err, context.Canceled)
	assert.Len(t, up.Observed(), 1)

	c.Servers = append(c.Servers[:1:1], radiussec.Server{Host: "radius3.corp.example", Connect: c.Servers[0].Connect, Secret: connsec.NewSecret(strong)})
	cl, err = c.Client(deadline(t))
	require.NoError(t, err)
	_, err = cl.Authenticate(deadline(t), "trap", connsec.NewSecret("trap"))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.Contains(t, err.Error(), "radius1.corp.example")
	assert.Contains(t, err.Error(), "radius3.corp.example")
	assert.NotContains(t, err.Error(), "\n")
}

// TestRetransmission: the same packet again (RFC 5080, 2.2.1), not a new one.
func TestRetransmission(t *testing.T) {
	s, c := spring(t, trap.RADIUSSilent)
	c.Timing = radiussec.Timing{Initial: 20 * time.Millisecond, Total: 200 * time.Millisecond}
	cl, err := c.Client(deadline(t))
	require.NoError(t, err)
	_, err = cl.Authenticate(deadline(t), "trap", connsec.NewSecret("trap"))
	require.Error(t, err)
	seen := s.Observed()
	require.Len(t, seen, 1)
	assert.GreaterOrEqual(t, seen[0].Sent, 2)
	assert.LessOrEqual(t, seen[0].Sent, 6)
}

// blast stands between client and server and does what Blast-RADIUS does: it adds a
// Proxy-State to the request, takes the Message-Authenticator off, and turns the server's
// reject into an accept. The chosen-prefix collision, which takes minutes and no secret, is
// stood in for by knowing the secret: the Response Authenticator of the accept is right.
type blast struct {
	client, server net.PacketConn
	upstream       net.Addr
	secret         []byte
	keep           bool // leave the reject's Message-Authenticator in the accept
	wait           sync.WaitGroup
	rejects        int
}

func startBlast(t *testing.T, upstream, secret string, keep bool) *blast {
	t.Helper()
	b := &blast{secret: []byte(secret), keep: keep}
	var err error
	b.client, err = net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	b.server, err = net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	b.upstream, err = net.ResolveUDPAddr("udp", upstream)
	require.NoError(t, err)
	b.wait.Go(b.run)
	t.Cleanup(func() {
		_, _ = b.client.Close(), b.server.Close()
		b.wait.Wait()
	})
	return b
}

func (b *blast) run() {
	buf := make([]byte, 4096)
	for {
		n, from, err := b.client.ReadFrom(buf)
		if err != nil {
			return
		}
		request, err := radius.Parse(bytes.Clone(buf[:n]), b.secret)
		if err != nil {
			continue
		}
		request.Del(80)
		request.Add(rfc2865.ProxyState_Type, bytes.Repeat([]byte{0x5a}, 64))
		wire, _ := request.MarshalBinary()
		if _, err = b.server.WriteTo(wire, b.upstream); err != nil {
			return
		}
		n, _, err = b.server.ReadFrom(buf)
		if err != nil {
			return
		}
		reject, err := radius.Parse(bytes.Clone(buf[:n]), b.secret)
		if err != nil || reject.Code != radius.CodeAccessReject {
			continue
		}
		b.rejects++
		accept := radius.Packet{Code: radius.CodeAccessAccept, Identifier: reject.Identifier, Authenticator: request.Authenticator, Secret: b.secret}
		if ma := reject.Get(80); b.keep && ma != nil {
			accept.Add(80, ma)
		}
		accept.Add(rfc2865.ProxyState_Type, bytes.Repeat([]byte{0xc3}, 64)) // the collision block comes back
		out, _ := accept.Encode()
		_, _ = b.client.WriteTo(out, from)
	}
}

func TestBlastRADIUS(t *testing.T) {
	for name, tt := range map[string]struct {
		keep    bool
		signing radiussec.Signing
		want    error
	}{
		"signature stripped":            {false, radiussec.SigningRequired, radiussec.ErrProxyState},
		"signature of the reject":       {true, radiussec.SigningRequired, radiussec.ErrMessageAuthenticator},
		"signing optional and stripped": {false, radiussec.SigningOptional, radiussec.ErrProxyState},
	} {
		t.Run(name, func(t *testing.T) {
			s, c := spring(t, trap.RADIUSOpen)
			man := startBlast(t, s.Addr(), strong, tt.keep)

			// The attack works: the library's own client takes the reject for an accept.
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			p := radius.New(radius.CodeAccessRequest, []byte(strong))
			require.NoError(t, rfc2865.UserName_SetString(p, "mallory"))
			require.NoError(t, rfc2865.UserPassword_SetString(p, "wrong"))
			answer, err := radius.Exchange(ctx, p, man.client.LocalAddr().String())
			require.NoError(t, err)
			require.Equal(t, radius.CodeAccessAccept, answer.Code)

			c.Servers[0].Connect = man.client.LocalAddr().String()
			c.MessageAuthenticator = tt.signing
			c.Waivers = []connsec.Waiver{{Rule: radiussec.RuleMessageAuthenticatorOff.ID, Reason: "to see what remains", Until: time.Now().Add(time.Hour)}}
			cl, err := c.Client(ctx)
			require.NoError(t, err)
			_, err = cl.Authenticate(ctx, "mallory", connsec.NewSecret("wrong"))
			require.ErrorIs(t, err, tt.want)
			require.NoError(t, s.Close())
			_, _ = man.client.Close(), man.server.Close()
			man.wait.Wait()
			assert.GreaterOrEqual(t, man.rejects, 2, "the server rejected, and the client did not hear of it")
		})
	}
}

// springTLS starts a trap for RADIUS over TLS.
func springTLS(t testing.TB, p trap.RadSecPosture) (*trap.RadSec, radiussec.Config) {
	t.Helper()
	s, err := trap.Options{Names: []string{host}}.RadSec(p)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	ca := testca.MustNew(t)
	client := ca.MustIssue(t, testca.Leaf{Names: []string{"client.corp.example"}, EKU: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return s, radiussec.Config{
		Servers: []radiussec.Server{{Host: host, Connect: s.Addr()}}, Roots: s.Roots(), ClientCertificates: []tls.Certificate{client.TLS()},
		Timing: radiussec.Timing{Total: 500 * time.Millisecond},
	}
}

func TestRadSecClientInTraps(t *testing.T) {
	good := []trap.RadSecPosture{trap.RadSecHonest, trap.RadSecHistoric, trap.RadSecAnonymous, trap.RadSecClosing}
	for _, posture := range trap.RadSecPostures() {
		t.Run(posture.String(), func(t *testing.T) {
			s, c := springTLS(t, posture)
			cl, err := c.Client(deadline(t))
			if err == nil {
				defer func() { assert.NoError(t, cl.Close()) }()
				for _, password := range []string{"trap", "tram", "trap"} {
					var answer *radius.Packet
					answer, err = cl.Authenticate(deadline(t), "trap", connsec.NewSecret(password))
					if !slices.Contains(good, posture) {
						break
					}
					require.NoError(t, err)
					assert.Equal(t, password == "trap", answer.Code == radius.CodeAccessAccept)
				}
			}
			if slices.Contains(good, posture) {
				require.NoError(t, err)
				seen := s.Observed()
				if posture != trap.RadSecClosing {
					require.Len(t, seen, 1, "one connection for all")
				}
				assert.Equal(t, map[bool]string{true: "", false: "radius/1.1"}[posture == trap.RadSecHistoric], seen[0].ALPN)
				assert.Equal(t, posture != trap.RadSecAnonymous, seen[0].ClientCertificate)
				return
			}
			require.Error(t, err)
			require.NoError(t, s.Close())
			for _, seen := range s.Observed() {
				assert.False(t, seen.Cleartext)
				if posture != trap.RadSecForged && posture != trap.RadSecOversize && posture != trap.RadSecSilent {
					assert.Zero(t, seen.Requests, "nothing is sent to an impostor")
				}
			}
		})
	}
}

// TestOneConnectionForMany: requests wait for each other no longer than their contexts allow,
// and Close breaks the one that is under way.
func TestOneConnectionForMany(t *testing.T) {
	_, c := springTLS(t, trap.RadSecHonest)
	c.Timing = radiussec.Timing{}
	cl, err := c.Client(deadline(t))
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				answer, err := cl.Authenticate(deadline(t), "trap", connsec.NewSecret("trap"))
				assert.NoError(t, err)
				assert.Equal(t, radius.CodeAccessAccept, answer.Code)
			}
		})
	}
	wg.Wait()
	require.NoError(t, cl.Close())
	_, err = cl.Authenticate(deadline(t), "trap", connsec.NewSecret("trap"))
	assert.ErrorIs(t, err, net.ErrClosed)

	s, c := springTLS(t, trap.RadSecSilent)
	c.Timing = radiussec.Timing{}
	cl, err = c.Client(deadline(t))
	require.NoError(t, err)
	wg.Go(func() {
		_, err := cl.Authenticate(deadline(t), "trap", connsec.NewSecret("trap"))
		assert.Error(t, err)
	})
	require.Eventually(t, func() bool { return len(s.Observed()) > 0 && s.Observed()[0].Requests > 0 }, 5*time.Second, time.Millisecond)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	_, err = cl.Authenticate(ctx, "trap", connsec.NewSecret("trap"))
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, cl.Close())
	wg.Wait()
}

func TestRadSecProbeInTraps(t *testing.T) {
	type rules = []*connsec.Rule
	for posture, want := range map[trap.RadSecPosture]struct{ failed, passed, unknown rules }{
		trap.RadSecHonest:    {nil, rules{radiussec.RuleTLSClientUnasked, radiussec.RuleTLSSilent, radiussec.RuleTLSALPN}, nil},
		trap.RadSecHistoric:  {rules{radiussec.RuleTLSALPN}, rules{radiussec.RuleTLSSilent}, nil},
		trap.RadSecAnonymous: {rules{radiussec.RuleTLSClientUnasked}, nil, nil},
		trap.RadSecOversize:  {rules{radiussec.RuleTLSSilent}, rules{radiussec.RuleTLSALPN}, nil},
		trap.RadSecSilent:    {nil, nil, rules{radiussec.RuleTLSSilent}},
		trap.RadSecUntrusted: {nil, nil, rules{radiussec.RuleTLSSilent, radiussec.RuleTLSALPN}},
	} {
		t.Run(posture.String(), func(t *testing.T) {
			_, c := springTLS(t, posture)
			r, err := c.Probe(deadline(t))
			require.NoError(t, err)
			show(t, r)
			ruletest.ExpectFailed(t, own(r), want.failed...)
			for outcome, rules := range map[connsec.Outcome]rules{connsec.Pass: want.passed, connsec.Inconclusive: want.unknown} {
				if rules != nil {
					ruletest.Expect(t, r, outcome, rules...)
				}
			}
		})
	}
	_, err := radiussec.Config{}.Probe(deadline(t))
	assert.Error(t, err)
}

func TestNothingListens(t *testing.T) {
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.LocalAddr().String()
	require.NoError(t, l.Close())
	c := overUDP(addr, connsec.NewSecret(strong))
	c.Timing = radiussec.Timing{Initial: 30 * time.Millisecond, Total: 200 * time.Millisecond}
	r, err := c.Probe(deadline(t))
	require.NoError(t, err)
	ruletest.Expect(t, r, connsec.Inconclusive, radiussec.RuleSecretWrong)
	cl, err := c.Client(deadline(t))
	require.NoError(t, err)
	_, err = cl.Authenticate(deadline(t), "trap", connsec.NewSecret("trap"))
	assert.ErrorContains(t, err, "nothing listens")
}

// TestMessageAuthenticatorVector verifies a request against an implementation of its own, by
// the formula of RFC 3579, 3.2.
func TestMessageAuthenticatorVector(t *testing.T) {
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	c := overUDP(l.LocalAddr().String(), connsec.NewSecret(strong))
	c.Timing = radiussec.Timing{Initial: 20 * time.Millisecond, Total: 50 * time.Millisecond}
	cl, err := c.Client(deadline(t))
	require.NoError(t, err)
	_, err = cl.Authenticate(deadline(t), "u", connsec.NewSecret("p"))
	require.Error(t, err)
	buf := make([]byte, 4096)
	n, _, err := l.ReadFrom(buf)
	require.NoError(t, err)
	wire := buf[:n]
	require.Equal(t, []byte{1, 80, 18}, []byte{wire[0], wire[20], wire[21]})
	require.Equal(t, n, int(binary.BigEndian.Uint16(wire[2:])))
	got := bytes.Clone(wire[22:38])
	clear(wire[22:38])
	mac := hmac.New(md5.New, []byte(strong))
	mac.Write(wire)
	assert.Equal(t, mac.Sum(nil), got)
}

func TestOtherPacketsAreNotSent(t *testing.T) {
	_, c := spring(t, trap.RADIUSHonest)
	cl, err := c.Client(deadline(t))
	require.NoError(t, err)
	_, err = cl.Exchange(deadline(t), radius.New(radius.CodeDisconnectRequest, nil))
	assert.ErrorContains(t, err, "is not sent")
	_, err = cl.Authenticate(deadline(t), "u", connsec.Secret{})
	assert.Error(t, err)
	_, err = cl.Authenticate(deadline(t), string(make([]byte, 300)), connsec.NewSecret("p"))
	assert.Error(t, err)
	p := radius.New(radius.CodeAccessRequest, []byte("any"))
	p.Add(1, make([]byte, 254))
	_, err = cl.Exchange(deadline(t), p)
	assert.ErrorContains(t, err, "attribute 1 cannot be sent")
	answer, err := cl.Exchange(deadline(t), radius.New(radius.CodeStatusServer, nil))
	require.NoError(t, err)
	assert.Equal(t, radius.CodeAccessAccept, answer.Code)
	var none *net.OpError
	assert.False(t, errors.As(err, &none))
}

func BenchmarkAuthenticateUDP(b *testing.B) {
	_, c := spring(b, trap.RADIUSHonest)
	cl, err := c.Client(context.Background())
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := cl.Authenticate(context.Background(), "trap", connsec.NewSecret("trap")); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAuthenticateTLS(b *testing.B) {
	_, c := springTLS(b, trap.RadSecHonest)
	cl, err := c.Client(context.Background())
	require.NoError(b, err)
	defer cl.Close()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := cl.Authenticate(context.Background(), "trap", connsec.NewSecret("trap")); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkProbeUDP(b *testing.B) {
	_, c := spring(b, trap.RADIUSOpen)
	for b.Loop() {
		if _, err := c.Probe(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkValidate(b *testing.B) {
	c := udp(strong)
	for b.Loop() {
		c.Validate()
	}
}
