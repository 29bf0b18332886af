package smtpsec

import (
	"net/netip"
	"time"

	"github.com/connsec/connsec/tlscheck"
)

// Observation is what was seen of a mail server. It marshals to JSON and back.
type Observation struct {
	Target   string        `json:"target"`
	Host     string        `json:"host"`
	At       time.Time     `json:"at"`
	Duration time.Duration `json:"duration"`
	Mode     Mode          `json:"mode"` // of the setting that led here
	MX       bool          `json:"mx,omitempty"`
	// Clear is the port on which the server speaks SMTP in clear first.
	Clear ClearLook `json:"clear"`
	// Implicit is the port with TLS from the first byte; nil if it was not looked at, as
	// between mail servers, where there is none.
	Implicit *ImplicitLook `json:"implicit,omitempty"`
	// Policy is what the mail domain publishes; nil if it was not asked for.
	Policy *Policy `json:"policy,omitempty"`
}

// ClearLook is what was seen on a port that begins in clear.
type ClearLook struct {
	Port    uint16 `json:"port"`
	Subject string `json:"subject"`
	MX      bool   `json:"mx,omitempty"`
	// Addresses are those of the host, each with conversations of its own: behind one name there
	// may be servers with other settings.
	Addresses []ClearAddress `json:"addresses"`
	// TLS is what package tlscheck saw behind STARTTLS, at all addresses; nil if none offers it.
	TLS *tlscheck.Observation `json:"tls,omitempty"`
}

// ClearAddress is what was seen at one address of a port that begins in clear.
type ClearAddress struct {
	Address netip.AddrPort `json:"address"`
	// Problem says why there was no conversation. Refused means that the port is closed.
	Problem  tlscheck.Problem `json:"problem,omitzero"`
	Greeting string           `json:"greeting,omitempty"`
	// Before is the reply to EHLO in clear, Inside that within TLS (nil: not seen).
	Before *Extensions `json:"before,omitempty"`
	Inside *Extensions `json:"inside,omitempty"`
	// Auth is the answer to AUTH without credentials, in clear, for Mechanism; Mail that to
	// MAIL FROM:<>, in clear. nil: not seen.
	Mechanism string `json:"mechanism,omitempty"`
	Auth      *Reply `json:"auth,omitempty"`
	Mail      *Reply `json:"mail,omitempty"`
	// StartTLS is the refusal of STARTTLS although it was offered.
	StartTLS *Reply `json:"starttls_refused,omitempty"`
	// Injected is what became of the NOOP glued behind STARTTLS; Detail says why it is unknown.
	Injected       Injected `json:"injected"`
	InjectedDetail string   `json:"injected_detail,omitempty"`
}

// ImplicitLook is what was seen on the port with TLS from the first byte.
type ImplicitLook struct {
	Port    uint16               `json:"port"`
	Subject string               `json:"subject"`
	Wanted  bool                 `json:"wanted"` // the setting uses this port
	TLS     tlscheck.Observation `json:"tls"`
	// Greeting and Inside are what the server says within TLS, if the certificate could be
	// held on to for a second connection.
	Greeting string      `json:"greeting,omitempty"`
	Inside   *Extensions `json:"inside,omitempty"`
}

// Injected is the fate of a command that was sent in clear together with STARTTLS.
type Injected string

// The fates.
const (
	InjectedUnknown   Injected = ""
	InjectedDiscarded Injected = "discarded"         // TLS began and it was not answered inside
	InjectedRefused   Injected = "refused"           // STARTTLS, or the handshake, failed because of it
	InjectedInTLS     Injected = "answered-in-tls"   // the server took it for part of the TLS session
	InjectedInClear   Injected = "answered-in-clear" // it was answered in clear where the handshake belongs
	InjectedUnasked   Injected = "unasked"           // without any glued command, more than the reply to STARTTLS came
)
