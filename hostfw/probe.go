package hostfw

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/setting"
	"github.com/connsec/connsec/tlscheck"
)

// State is what a port looks like from outside.
type State uint8

const (
	// Silent: no answer within the time allowed. A filter drops, or the host is not there.
	Silent State = iota
	// Open: a connection was made.
	Open
	// Refused: the host answered with a reset. Nothing listens there, or a filter rejects with
	// one; from outside the two are the same.
	Refused
	// Prohibited: somebody on the way answered that the packet may not pass (ICMP), or that there
	// is no way.
	Prohibited
	// Untold: the port could not be asked: this machine's own limits or filters, or a protocol
	// that does not answer.
	Untold
)

var states = setting.Enum[State]{Package: "hostfw", Kind: "state", Names: []string{"silent", "open", "refused", "prohibited", "untold"}}

// String returns the name as it stands in JSON.
func (s State) String() string { return states.Name(s) }

// MarshalText writes the name.
func (s State) MarshalText() ([]byte, error) { return states.Encode(s) }

// UnmarshalText accepts the names.
func (s *State) UnmarshalText(text []byte) error { return states.Decode(text, s) }

// Prober asks a host from outside which of its TCP ports are open. It makes a connection to each
// and closes it at once, without sending anything; whoever listens there sees and may log an
// empty connection from this machine's address, and a watching filter may take many for a scan.
// Ask hosts that you are responsible for.
type Prober struct {
	// Timeout is for one port. Default 3 s: two tries to connect on most systems.
	Timeout time.Duration
	// Parallel bounds how many ports are asked at once. Default 64.
	Parallel int
	// Dial connects; nil is that of a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Resolve looks a name up; nil is the standard resolver's.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	// Now is for tests; nil is time.Now.
	Now func() time.Time
}

// mostPorts bounds one probe: every port there is.
const mostPorts = 1 << 16

// Observation is what a host looked like from outside.
type Observation struct {
	Host     string        `json:"host"`
	Address  netip.Addr    `json:"address"` // that was asked
	Source   netip.Addr    `json:"source"`  // of this machine, as far as a connection told; else not valid
	At       time.Time     `json:"at"`
	Duration time.Duration `json:"duration"`
	Ports    []PortState   `json:"ports"`
}

// PortState is one port of an [Observation].
type PortState struct {
	Port  uint16 `json:"port"`
	State State  `json:"state"`
	// Reason says more where the state is Prohibited or Untold.
	Reason string `json:"reason,omitempty"`
}

// Probe asks the ports of one address of the host: the first that it resolves to. It asks no
// other host and no other port. The error is about the host as a whole: a name that does not
// resolve, an end of ctx before the first answer.
func (p Prober) Probe(ctx context.Context, host string, ports []uint16) (Observation, error) {
	now := p.Now
	if now == nil {
		now = time.Now
	}
	ports = slices.Compact(slices.Sorted(slices.Values(ports)))
	if len(ports) == 0 || len(ports) > mostPorts {
		return Observation{}, errors.New("hostfw: no ports to ask for")
	}
	address, err := p.address(ctx, host)
	if err != nil {
		return Observation{}, err
	}
	o := Observation{Host: host, Address: address, At: now(), Ports: make([]PortState, len(ports))}
	var (
		wg   sync.WaitGroup
		lock sync.Mutex
		next int
	)
	parallel := p.Parallel
	if parallel <= 0 {
		parallel = 64
	}
	for range min(parallel, len(ports)) {
		wg.Go(func() {
			for {
				lock.Lock()
				i := next
				next++
				lock.Unlock()
				if i >= len(ports) {
					return
				}
				state, source := p.ask(ctx, netip.AddrPortFrom(address, ports[i]))
				o.Ports[i] = state
				if source.IsValid() {
					lock.Lock()
					o.Source = source
					lock.Unlock()
				}
			}
		})
	}
	wg.Wait()
	o.Duration = now().Sub(o.At)
	if err := ctx.Err(); err != nil && !slices.ContainsFunc(o.Ports, func(s PortState) bool { return s.State != Untold }) {
		return Observation{}, fmt.Errorf("hostfw: %s: %w", setting.OneLine(host), err)
	}
	return o, nil
}

func (p Prober) address(ctx context.Context, host string) (netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return a, nil
	}
	resolve := p.Resolve
	if resolve == nil {
		resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	all, err := resolve(ctx, host)
	if err != nil || len(all) == 0 {
		return netip.Addr{}, fmt.Errorf("hostfw: the name %q does not resolve", setting.OneLine(host))
	}
	return all[0].Unmap(), nil
}

// ask connects to one port.
func (p Prober) ask(ctx context.Context, to netip.AddrPort) (PortState, netip.Addr) {
	out := PortState{Port: to.Port()}
	if ctx.Err() != nil {
		out.State, out.Reason = Untold, "there was no time left"
		return out, netip.Addr{}
	}
	timeout := p.Timeout
	if timeout <= 0 {
		timeout = 3 * time.Second
	}
	dial := p.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	one, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	c, err := dial(one, "tcp", to.String())
	if err == nil {
		out.State = Open
		var source netip.Addr
		if local, ok := c.LocalAddr().(*net.TCPAddr); ok {
			source = local.AddrPort().Addr().Unmap()
		}
		_ = c.Close()
		return out, source
	}
	out.State, out.Reason = p.state(ctx, err)
	return out, netip.Addr{}
}

// state tells from an error what became of a connection.
func (p Prober) state(ctx context.Context, err error) (State, string) {
	switch kind := tlscheck.ProblemOf(err).Kind; {
	case kind == tlscheck.Refused:
		return Refused, ""
	case kind == tlscheck.Unreachable, kind == tlscheck.NoRoute, errors.Is(err, syscall.EACCES):
		return Prohibited, cause(err)
	case ctx.Err() != nil:
		return Untold, "there was no time left"
	case kind == tlscheck.Timeout:
		return Silent, ""
	}
	return Untold, cause(err)
}

// cause is the innermost error, which holds no addresses.
func cause(err error) string {
	var number syscall.Errno
	if errors.As(err, &number) {
		return number.Error()
	}
	return setting.OneLine(err.Error())
}

// Difference is a port whose state from outside is not what the rule set says.
type Difference struct {
	Port uint16 `json:"port"`
	// Predicted is what the rule set does with the packet, and By which rule.
	Predicted Action `json:"predicted"`
	By        string `json:"by"`
	Seen      State  `json:"seen"`
	// Explanation says what this may mean.
	Explanation string `json:"explanation"`
	// Contradicts is set if the two cannot both be true. If not, they only say different things:
	// a port that is let through, where nothing listens.
	Contradicts bool `json:"contradicts"`
}

// Compare predicts each port of an observation with a rule set and returns where the two differ.
// The packet says how the host saw the probe: Source is its address, which behind NAT is not this
// machine's own, and by default the one that the observation tells; Interface and Profile are
// where it came in. Without an Interface it may have been any, and what is so for one of them is no
// difference.
func (r Ruleset) Compare(o Observation, seen Packet) ([]Difference, error) {
	if !seen.Source.IsValid() {
		seen.Source = o.Source
	}
	if !seen.Source.IsValid() || seen.Source.Is4() != o.Address.Is4() {
		return nil, errors.New("hostfw: which address did the probe come from? No connection told, since no port was open")
	}
	seen.Protocol, seen.Destination = TCP, o.Address
	if seen.SourcePort == 0 {
		seen.SourcePort = ephemeral
	}
	interfaces := []string{seen.Interface}
	if seen.Interface == "" {
		e := evaluation{program: r.program}
		e.tellApart()
		interfaces = append(interfaces, slices.DeleteFunc(e.interfaces, func(name string) bool { return name == "lo" || name == otherInterface })...)
	}
	var out []Difference
	for _, s := range o.Ports {
		seen.Port = s.Port
		var first Difference
		differs := true
		for i := 0; differs && i < len(interfaces); i++ {
			seen.Interface = interfaces[i]
			d := r.Decide(seen)
			diff := Difference{Port: s.Port, Predicted: d.Action, By: d.By, Seen: s.State}
			differs = diff.explain(d)
			if i == 0 || first.Contradicts && !diff.Contradicts {
				first = diff
			}
		}
		if differs {
			out = append(out, first)
		}
	}
	return out, nil
}

// ephemeral is a source port as clients use them.
const ephemeral = 50000

// explain reports whether there is a difference, and what it may mean.
func (d *Difference) explain(decision Decision) bool {
	switch {
	case d.Seen == Untold:
		d.Explanation = "The port could not be asked."
	case d.Predicted == Unknown:
		d.Explanation = "The rule set does not tell, because of: " + decision.Unmodelled + "."
	case d.Predicted == Accept && d.Seen == Open, d.Predicted != Accept && (d.Seen == Silent || d.Seen == Prohibited):
		return false
	case d.Predicted == Reject && d.Seen == Refused:
		return false
	case d.Predicted == Accept && d.Seen == Refused:
		d.Explanation = "Let through, but nothing listens: the rule is not needed, or the service is not running."
	case d.Predicted == Accept:
		d.Contradicts = true
		d.Explanation = "Let through by the rule set, but it does not arrive: another filter stands on the way, or this export is not what is in force."
	case d.Seen == Open:
		d.Contradicts = true
		d.Explanation = "Open although the rule set keeps it closed: this export is not what is in force, the address is another host's, or something in front answers."
	default: // dropped, and yet refused
		d.Contradicts = true
		d.Explanation = "Answered although the rule set drops it silently: something in front answers, or this export is not what is in force."
	}
	return true
}

// Report says what a probe found in the terms of a policy: what must be open is, what is not
// wanted is not. It knows nothing about other sources than this machine.
func (o Observation) Report(p Policy, from netip.Addr) connsec.Report {
	return connsec.Report{Target: o.Host, At: o.At, Duration: o.Duration, Findings: p.judgeOutside(o, from)}
}
