package radiussec

import (
	"net/netip"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/tlscheck"
)

// Observation is what was seen of the servers of a setting. It marshals to JSON and back, so
// that it can be judged elsewhere, later, by newer rules. It holds no secret.
type Observation struct {
	Target    string           `json:"target"`
	Transport Transport        `json:"transport"`
	At        time.Time        `json:"at"`
	Duration  time.Duration    `json:"duration"`
	Servers   []ServerObserved `json:"servers"`
}

// ServerObserved is what was seen of one server of the setting.
type ServerObserved struct {
	Subject string `json:"subject"`
	// Problem says why nothing could be asked: an unknown name, no secret.
	Problem string `json:"problem,omitempty"`
	// Addresses are those of its name, each asked by itself: behind one name there may be servers
	// with other settings.
	Addresses []AddressObserved `json:"addresses,omitempty"`
	// TLS is what was seen of the TLS endpoint, at all addresses.
	TLS *tlscheck.Observation `json:"tls,omitempty"`
}

// AddressObserved is what a server answered at one address.
type AddressObserved struct {
	Address netip.AddrPort `json:"address"`
	// Problem says why nothing was asked here.
	Problem string `json:"problem,omitempty"`

	// The answers over UDP, in the order of asking; nil: not asked. All requests but Status
	// are Access-Requests for a random user.
	Status   *Answer `json:"status,omitempty"`   // Status-Server, signed
	Signed   *Answer `json:"signed,omitempty"`   // with Message-Authenticator
	Unsigned *Answer `json:"unsigned,omitempty"` // without
	Proxied  *Answer `json:"proxied,omitempty"`  // without, and with Proxy-State
	After    *Answer `json:"after,omitempty"`    // with, again: does the server still answer?

	// InTLS is the answer to a signed Status-Server inside a verified TLS connection.
	InTLS *Answer `json:"in_tls,omitempty"`
	// ALPN is the protocol of the connection that InTLS came over; empty: none was chosen.
	ALPN string `json:"alpn,omitempty"`
}

// Answer is what came back to one question.
type Answer struct {
	// Code is that of the answer that can be believed but for its Message-Authenticator; 0:
	// there was none.
	Code int `json:"code,omitempty"`
	// MessageAuthenticator says whether the answer has one and where.
	MessageAuthenticator Place `json:"message_authenticator,omitempty"`
	// ErrorCause is the attribute 101 of the answer, such as 510, Missing
	// Message-Authenticator; 0: none.
	ErrorCause uint32 `json:"error_cause,omitempty"`
	// Tries is how often the question was sent; Took the time from the last one to the answer.
	Tries int           `json:"tries"`
	Took  time.Duration `json:"took,omitempty"`
	// Bad counts answers that could not be believed, Why says of the last what was wrong.
	Bad int    `json:"bad,omitempty"`
	Why string `json:"why,omitempty"`
	// Forged is set if the last of those had a wrong Response Authenticator or
	// Message-Authenticator.
	Forged bool `json:"forged,omitempty"`
	// Refused: the system reported that nothing listens on the port.
	Refused bool `json:"refused,omitempty"`
	// Problem says why there is no answer, where it is not for silence.
	Problem string `json:"problem,omitempty"`
}

// Place is where an attribute stands.
type Place string

// The places of a Message-Authenticator.
const (
	Absent Place = "absent"
	First  Place = "first"
	Later  Place = "later"
)

// answered reports whether an answer came that can be believed.
func (a *Answer) answered() bool { return a != nil && a.Code != 0 }

// silent reports whether every try went without any answer at all. Only this, from a server
// that otherwise answers, says that it drops such requests.
func (a *Answer) silent() bool {
	return a != nil && a.Code == 0 && a.Bad == 0 && a.Problem == "" && !a.Refused && a.Tries >= silentTries
}

// Judge applies the rules of the server side to what was seen.
func (o Observation) Judge() connsec.Report {
	r := connsec.Report{Target: o.Target, At: o.At, Duration: o.Duration}
	for _, s := range o.Servers {
		if o.Transport == UDP {
			r.Findings = append(r.Findings, s.judgeAddresses(udpChecks)...)
			continue
		}
		if s.TLS != nil {
			r.Findings = append(r.Findings, s.TLS.Judge().Findings...)
		}
		r.Findings = append(r.Findings, s.judgeEndpoint()...)
		r.Findings = append(r.Findings, s.judgeAddresses(inTLSChecks)...)
	}
	return r
}

func (s ServerObserved) judgeEndpoint() []connsec.Finding {
	seen := []endpointAt{}
	if s.TLS != nil {
		for _, a := range s.TLS.Addresses {
			seen = append(seen, endpointAt{AddressObservation: a})
		}
	}
	if len(seen) == 0 {
		seen = append(seen, endpointAt{problem: orElse(s.Problem, "the TLS endpoint was not seen")})
	}
	return tlscheck.JudgeAddresses(s.Subject, seen, func(e endpointAt) netip.Addr { return e.Address.Addr() }, tlsChecks)
}

func (s ServerObserved) judgeAddresses(checks []connsec.Check[AddressObserved]) []connsec.Finding {
	addresses := s.Addresses
	if len(addresses) == 0 { // nothing could be asked: one address of which nothing is known
		addresses = []AddressObserved{{Problem: s.Problem}}
	}
	return tlscheck.JudgeAddresses(s.Subject, addresses, func(a AddressObserved) netip.Addr { return a.Address.Addr() }, checks)
}
