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
	EventSignedIn    EventKind = iota + 1 // a session was made
	EventFailed                           // an attempt was wrong; Reason says how
	EventThrottled                        // an attempt was not looked at; RetryAfter says how long
	EventSignedOut                        // all sessions of the recipient were ended
	EventExpired                          // a session was used after its time
	EventUnavailable                      // a lookup, a store or a hasher failed; Err says how
)

var eventKinds = [...]string{EventSignedIn: "signed in", EventFailed: "sign-in failed", EventThrottled: "throttled", EventSignedOut: "signed out", EventExpired: "expired", EventUnavailable: "unavailable"}

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
	ReasonBadRID           Reason = iota + 1 // no key can look like this
	ReasonUnknownRecipient                   // no recipient has the key
	ReasonNoPassword                         // the recipient has no password stored
	ReasonWrongUserName                      // the password was right
	ReasonWrongPassword
	ReasonNotComparable // the stored value is no hash of this method, or the password cannot be hashed
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
	Addr       netip.Addr // where the request came from; invalid for EventSignedOut and EventExpired
	Reason     Reason
	RetryAfter time.Duration
	Err        error // from Recipients, Sessions or Hasher
}
