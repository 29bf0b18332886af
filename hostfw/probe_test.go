package hostfw_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/hostfw"
	"github.com/connsec/connsec/internal/ruletest"
)

func TestProbeLoopback(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	open := l.Addr().(*net.TCPAddr).AddrPort().Port()
	o, err := hostfw.Prober{}.Probe(t.Context(), "127.0.0.1", []uint16{open, open})
	require.NoError(t, err)
	assert.Equal(t, []hostfw.PortState{{Port: open, State: hostfw.Open}}, o.Ports, "each port is asked once")
	assert.Equal(t, netip.MustParseAddr("127.0.0.1"), o.Source)
	require.NoError(t, l.Close())
	o, err = hostfw.Prober{}.Probe(t.Context(), "127.0.0.1", []uint16{open})
	require.NoError(t, err)
	assert.Equal(t, []hostfw.PortState{{Port: open, State: hostfw.Refused}}, o.Ports)
}

// answers are what a dialer says about each port.
func answers(byPort map[string]error) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, address string) (net.Conn, error) {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		err, ok := byPort[port]
		switch {
		case !ok:
			<-ctx.Done()
			return nil, ctx.Err()
		case err != nil:
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", err)}
		}
		a, b := net.Pipe()
		_ = b.Close()
		return a, nil
	}
}

func TestProbeStates(t *testing.T) {
	p := hostfw.Prober{Timeout: 50 * time.Millisecond, Dial: answers(map[string]error{
		"1": nil, "2": syscall.ECONNREFUSED, "3": syscall.EHOSTUNREACH, "4": syscall.EACCES, "5": syscall.ENETUNREACH, "6": syscall.EMFILE, "8": syscall.ETIMEDOUT,
		"9": syscall.Errno(10061), "10": syscall.Errno(10065), // of Windows
	})}
	o, err := p.Probe(t.Context(), "192.0.2.1", []uint16{10, 9, 8, 7, 6, 5, 4, 3, 2, 1})
	require.NoError(t, err)
	got := map[uint16]hostfw.State{}
	for _, s := range o.Ports {
		got[s.Port] = s.State
	}
	assert.Equal(t, map[uint16]hostfw.State{1: hostfw.Open, 2: hostfw.Refused, 3: hostfw.Prohibited, 4: hostfw.Prohibited, 5: hostfw.Prohibited,
		6: hostfw.Untold, 7: hostfw.Silent, 8: hostfw.Silent, 9: hostfw.Refused, 10: hostfw.Prohibited}, got)
	text, err := json.Marshal(o)
	require.NoError(t, err)
	var back hostfw.Observation
	require.NoError(t, json.Unmarshal(text, &back))
	assert.Equal(t, o.Ports, back.Ports)

	report := o.Report(hostfw.Policy{HTTPS: []uint16{7}, HTTP: []uint16{1}}, netip.Addr{})
	ruletest.ExpectFailed(t, report, hostfw.RuleHTTPSBlocked, hostfw.RuleHTTPOpen)
	report = o.Report(hostfw.Policy{HTTPS: []uint16{1}}, netip.Addr{})
	ruletest.ExpectFailed(t, report)
	report = o.Report(hostfw.Policy{HTTPS: []uint16{2}}, netip.Addr{})
	ruletest.ExpectFailed(t, report, hostfw.RuleExtraPort)
	ruletest.Expect(t, report, connsec.Inconclusive, hostfw.RuleHTTPSBlocked)
}

func TestProbeBounds(t *testing.T) {
	var now, most atomic.Int32
	p := hostfw.Prober{Parallel: 3, Dial: func(context.Context, string, string) (net.Conn, error) {
		most.Store(max(most.Load(), now.Add(1)))
		defer now.Add(-1)
		return nil, syscall.ECONNREFUSED
	}}
	var ports []uint16
	for i := range 200 {
		ports = append(ports, uint16(i+1))
	}
	o, err := p.Probe(t.Context(), "192.0.2.1", ports)
	require.NoError(t, err)
	assert.Len(t, o.Ports, 200)
	assert.LessOrEqual(t, most.Load(), int32(3))

	_, err = p.Probe(t.Context(), "192.0.2.1", nil)
	require.EqualError(t, err, "hostfw: no ports to ask for")
	p.Resolve = func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("no such host") }
	_, err = p.Probe(t.Context(), "nobody.example", ports)
	require.EqualError(t, err, `hostfw: the name "nobody.example" does not resolve`)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = p.Probe(over, "192.0.2.1", ports)
	require.ErrorIs(t, err, context.Canceled)
}

// TestProbeAsksOneHost is about the promise that nobody else gets a packet.
func TestProbeAsksOneHost(t *testing.T) {
	p := hostfw.Prober{
		Resolve: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}, nil
		},
		Dial: func(_ context.Context, network, address string) (net.Conn, error) {
			assert.Equal(t, "tcp 192.0.2.1:443", network+" "+address)
			return nil, syscall.ECONNREFUSED
		},
	}
	_, err := p.Probe(t.Context(), "web01.example", []uint16{443})
	require.NoError(t, err)
}

func TestCompare(t *testing.T) {
	r := parse(t, "web01", nftTable("inet", "drop", on(`{"set": [443, 80]}`, "accept"), on("25", "reject"), `{"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": 1}}, `+on("9", "accept")))
	o := hostfw.Observation{Host: "web01", Address: netip.MustParseAddr("192.0.2.1"), Ports: []hostfw.PortState{
		{Port: 443, State: hostfw.Open}, {Port: 80, State: hostfw.Refused}, {Port: 22, State: hostfw.Silent}, {Port: 25, State: hostfw.Refused}, // as predicted, but for 80
		{Port: 9, State: hostfw.Open}, {Port: 23, State: hostfw.Open}, {Port: 24, State: hostfw.Refused}, {Port: 26, State: hostfw.Untold},
	}}
	_, err := r.Compare(o, hostfw.Packet{})
	require.ErrorContains(t, err, "which address did the probe come from")
	differences, err := r.Compare(o, hostfw.Packet{Source: netip.MustParseAddr("198.51.100.1")})
	require.NoError(t, err)
	var got []string
	for _, d := range differences {
		got = append(got, fmt.Sprint(d.Port, " ", d.Predicted, " ", d.Seen, " ", d.Contradicts))
		assert.NotEmpty(t, d.Explanation)
	}
	assert.Equal(t, []string{"80 accept refused false", "9 unknown open false", "23 drop open true", "24 drop refused true", "26 drop untold false"}, got)
	o.Ports = []hostfw.PortState{{Port: 443, State: hostfw.Silent}}
	differences, err = r.Compare(o, hostfw.Packet{Source: netip.MustParseAddr("198.51.100.1")})
	require.NoError(t, err)
	assert.True(t, differences[0].Contradicts)
}

// TestCompareInterfaces leaves open which interface a probe came in by.
func TestCompareInterfaces(t *testing.T) {
	by := func(name, rest string) string {
		return `{"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "` + name + `"}}, ` + rest
	}
	r := parse(t, "web01", nftTable("inet", "drop", by("eth*", on("443", "accept")), by("lo", on("80", "accept")), by("wg0", on("22", "reject"))))
	o := hostfw.Observation{Address: netip.MustParseAddr("192.0.2.1"), Source: netip.MustParseAddr("198.51.100.1"), Ports: []hostfw.PortState{
		{Port: 443, State: hostfw.Open}, {Port: 80, State: hostfw.Open}, {Port: 22, State: hostfw.Refused}, {Port: 23, State: hostfw.Silent},
	}}
	differences, err := r.Compare(o, hostfw.Packet{})
	require.NoError(t, err)
	require.Len(t, differences, 1)
	assert.EqualValues(t, 80, differences[0].Port)
	differences, err = r.Compare(o, hostfw.Packet{Interface: "eth0"})
	require.NoError(t, err)
	assert.Len(t, differences, 2, "port 22 is refused at wg0 only")
}
