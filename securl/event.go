package securl

import (
	"fmt"
	"net/netip"
	"time"
)

// EventKind is what happened at a gate.
type EventKind uint8

// The kinds. The zero value is invalid.
const (
	SignedInKind EventKind = iota + 1 // a session was made
	SignInFailed                      // an attempt was wrong; Reason says how
	Throttled                         // an attempt was not looked at; RetryAfter says how long
	SignedOut                         // all sessions of the recipient were ended
	Expired                           // a session was used after its time
	Unavailable                       // a lookup, a store or a hasher failed; Err says how
)

var eventKinds = [...]string{SignedInKind: "signed in", SignInFailed: "sign-in failed", Throttled: "throttled", SignedOut: "signed out", Expired: "expired", Unavailable: "unavailable"}

// String returns words for a log.
func (k EventKind) String() string {
	if k == 0 || int(k) >= len(eventKinds) {
		return fmt.Sprintf("event(%d)", uint8(k))
	}
	return eventKinds[k]
}

// Reason is why an attempt failed. The visitor is never told.
type Reason uint8

// The reasons. Zero is for events that have none.
const (
	BadRID           Reason = iota + 1 // no key can look like this
	UnknownRecipient                   // no recipient has the key
	NoPassword                         // the recipient has no password stored
	WrongUserName                      // the password was right
	WrongPassword
	NotComparable // the stored value is no hash of this method, or the password cannot be hashed
)

var reasons = [...]string{"", "bad recipient key", "unknown recipient", "no password stored", "wrong user name", "wrong password", "password cannot be compared"}

// String returns words for a log.
func (r Reason) String() string {
	if int(r) >= len(reasons) {
		return fmt.Sprintf("reason(%d)", uint8(r))
	}
	return reasons[r]
}

// Event is something that an operator may want in a log. It holds no password and no token.
// RID and Addr are personal data: keep them as long as you need them to notice an attack.
type Event struct {
	Kind EventKind
	At   time.Time
	// RID is the recipient key: what the visitor sent, so possibly nobody's, but without
	// control characters and short. Empty if it was neither.
	RID        string
	Addr       netip.Addr // where the request came from; invalid for SignedOut and Expired
	Reason     Reason
	RetryAfter time.Duration
	Err        error // from Recipients, Sessions or Hasher
}
