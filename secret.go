package connsec

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
)

// redacted is what every rendering of a secret shows. It says nothing about length or
// presence, so that an empty secret looks like any other.
const redacted = "REDACTED"

// Secret holds a value that must not be shown. It prints as REDACTED through every verb of
// fmt, log/slog, encoding/json, encoding/xml, YAML and text marshalling, also inside structs,
// pointers, maps and slices. In an unexported field, where printers cannot ask it, they show a
// code address instead, or nil for the empty secret. [Secret.Reveal] is the only way out.
//
// The zero value is the empty secret. Two secrets do not compare with ==, which would leak
// timing; use [Secret.Equal]. A Secret decodes from a plain JSON or text string, so it can
// stand in configuration types; it never encodes back to one.
type Secret struct {
	// A closure and not a string: printers that reach unexported fields by reflection
	// (fmt inside a struct, spew, testify's diffs) find a code pointer and no text.
	reveal func() string
}

// NewSecret wraps a value.
func NewSecret(value string) Secret {
	if value == "" {
		return Secret{}
	}
	return Secret{reveal: func() string { return value }}
}

// Reveal returns the value. Call it where the value goes on the wire, and nowhere else.
func (s Secret) Reveal() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}

// IsEmpty reports whether the secret is the empty string.
func (s Secret) IsEmpty() bool { return s.reveal == nil }

// Equal compares in constant time, also for values of different length.
func (s Secret) Equal(other Secret) bool {
	a, b := sha256.Sum256([]byte(s.Reveal())), sha256.Sum256([]byte(other.Reveal()))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// Format prints REDACTED for every verb and flag.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// String returns "REDACTED".
func (Secret) String() string { return redacted }

// GoString returns "REDACTED".
func (Secret) GoString() string { return redacted }

// LogValue makes log/slog print REDACTED.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns "REDACTED"; encoding/json, encoding/xml and YAML encoders use it.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// UnmarshalText takes the value. It refuses the word REDACTED: that is the trace of an
// earlier encoding and never the secret itself.
func (s *Secret) UnmarshalText(text []byte) error {
	if string(text) == redacted {
		return errors.New("connsec: the secret was redacted when this was written; put the value, or a reference to it, in its place")
	}
	*s = NewSecret(string(text))
	return nil
}
