package apisec

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/setting"
)

// Step is where a turn of a rotation is.
type Step uint8

const (
	// Steady: no turn is under way. One credential is live, and the state holds no secret.
	Steady Step = iota
	// Creating: the next credential may or may not be there, under the last of Labels.
	Creating
	// Staging: the next one is there, and is being put beside the one in use.
	Staging
	// Verifying: the next one has to be seen to work.
	Verifying
	// Activating: it worked, and is being put in use.
	Activating
	// Draining: it is in use, and the old one lives on for those who still have it.
	Draining
	// Revoking: the old one is being revoked.
	Revoking
	// Confirming: it was revoked, and has to be seen to be refused.
	Confirming
	// Discarding: the turn was given up, and the next one is being taken back.
	Discarding
)

var steps = setting.Enum[Step]{Package: "apisec", Kind: "step", Names: []string{
	"steady", "creating", "staging", "verifying", "activating", "draining", "revoking", "confirming", "discarding"}}

// String returns the name as it stands in JSON.
func (s Step) String() string { return steps.Name(s) }

// MarshalText writes the name.
func (s Step) MarshalText() ([]byte, error) { return steps.Encode(s) }

// UnmarshalText accepts the names.
func (s *Step) UnmarshalText(text []byte) error { return steps.Decode(text, s) }

var standings = setting.Enum[Standing]{Package: "apisec", Kind: "standing", Names: []string{"untold", "works", "refused"}}

// String returns the name as it stands in JSON.
func (s Standing) String() string { return standings.Name(s) }

// MarshalText writes the name.
func (s Standing) MarshalText() ([]byte, error) { return standings.Encode(s) }

// UnmarshalText accepts the names.
func (s *Standing) UnmarshalText(text []byte) error { return standings.Decode(text, s) }

// RotationState is what is remembered of a rotation. It marshals without secrets.
type RotationState struct {
	Name     string `json:"name,omitempty"`
	Revision uint64 `json:"revision"` // of the state, one more with each change
	Step     Step   `json:"step"`
	// Since is when the step began.
	Since time.Time `json:"since"`
	// ServerSince is when Draining began by the server's clock; zero: not known.
	ServerSince time.Time `json:"server_since,omitzero"`
	// Clock is the latest time at which the state was changed.
	Clock time.Time `json:"clock"`

	// Current is in use.
	Current Held `json:"current"`
	// Next is to come into use; nil before it was created and after it did.
	Next *Held `json:"next,omitempty"`
	// Old is to be revoked; nil outside of the steps that lead there.
	Old *Held `json:"old,omitempty"`
	// Labels are those under which the server may have a credential that is in no other field.
	Labels []Label `json:"labels,omitempty"`

	// Tries are the looks of this step that the server answered otherwise than hoped for.
	Tries Tries `json:"tries,omitzero"`
	// Todo is what a person has to do before the step can end.
	Todo string `json:"todo,omitempty"`

	// Failure is why the last turn, or the one under way, was given up.
	Failure *Failure `json:"failure,omitempty"`
	// Turns are those that ended with a new credential.
	Turns int `json:"turns"`
	// Policy is that of the turn.
	Policy RotationPolicy `json:"policy"`
}

// Held is a credential that the rotation answers for.
type Held struct {
	Credential
	// Recorded is when the rotation learnt of it.
	Recorded time.Time `json:"recorded"`
	// Used: clients had it, and went over to another one.
	Used bool `json:"used,omitempty"`
	// Looked is when the server last said what it thinks of it, and Standing what.
	Looked   time.Time `json:"looked,omitzero"`
	Standing Standing  `json:"standing"`
	// ServerTime is what the server's clock showed at that look; zero: it did not say.
	ServerTime time.Time `json:"server_time,omitzero"`
}

// Label is a name that was given to [Issuer.Create].
type Label struct {
	Name string    `json:"name"`
	At   time.Time `json:"at"`
}

// Tries count looks at the server.
type Tries struct {
	Count int       `json:"count"`
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
}

// Failure is why a turn was given up.
type Failure struct {
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
	// Aborted: by an operator.
	Aborted bool `json:"aborted"`
}

// What a state file begins with: what it is, the format, and a checksum of the rest.
const (
	stateMagic  = "connsec-rotation"
	stateFormat = 1
	maxState    = 1 << 18
	maxText     = 500 // bytes of one name or sentence
	maxSecret   = 4096
	maxLabels   = 64
)

// stored is the state as it is kept: the secrets stand beside what may be shown.
type stored struct {
	State   RotationState `json:"state"`
	Secrets struct {
		Current string `json:"current,omitempty"`
		Next    string `json:"next,omitempty"`
		Old     string `json:"old,omitempty"`
	} `json:"secrets"`
}

// encodeState writes a state with its secrets.
func encodeState(s RotationState) ([]byte, error) {
	out := stored{State: s}
	out.Secrets.Current = s.Current.Secret.Reveal()
	if s.Next != nil {
		out.Secrets.Next = s.Next.Secret.Reveal()
	}
	if s.Old != nil {
		out.Secrets.Old = s.Old.Secret.Reveal()
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	body, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("apisec: the state of the rotation cannot be written: %s", setting.OneLine(err.Error()))
	}
	body = append(body, '\n')
	sum := sha256.Sum256(body)
	return append(fmt.Appendf(nil, "%s %d %x\n", stateMagic, stateFormat, sum), body...), nil
}

// decodeState reads what encodeState wrote, and nothing else.
func decodeState(data []byte) (RotationState, error) {
	const damaged = "apisec: the state of the rotation is damaged (%s): put it back from a backup, or look at the server which secrets live, and adopt the one in use anew"
	head, body, found := bytes.Cut(data, []byte("\n"))
	fields := strings.Split(string(head[:min(len(head), 200)]), " ")
	if fields[0] != stateMagic {
		if strings.HasPrefix(stateMagic, string(head)) {
			return RotationState{}, fmt.Errorf(damaged, "it ends in the first line")
		}
		return RotationState{}, errors.New("apisec: this is not the state of a rotation")
	}
	if len(fields) < 2 || !found {
		return RotationState{}, fmt.Errorf(damaged, "it ends in the first line")
	}
	switch format, err := strconv.ParseUint(fields[1], 10, 31); {
	case err != nil || format == 0:
		return RotationState{}, fmt.Errorf(damaged, "the format is no number")
	case format > stateFormat:
		return RotationState{}, fmt.Errorf("apisec: the state of the rotation has format %d, and this version knows %d: use the version that wrote it, or a later one", format, stateFormat)
	}
	if sum := sha256.Sum256(body); len(fields) != 3 || fields[2] != hex.EncodeToString(sum[:]) {
		return RotationState{}, fmt.Errorf(damaged, "it is not as it was written")
	}
	in, err := setting.ParseJSON[stored]("apisec", body)
	if err != nil {
		return RotationState{}, fmt.Errorf(damaged, strings.TrimPrefix(setting.OneLine(err.Error()), "apisec: "))
	}
	s := in.State
	for _, held := range []struct {
		in     *Held
		secret string
	}{{&s.Current, in.Secrets.Current}, {s.Next, in.Secrets.Next}, {s.Old, in.Secrets.Old}} {
		switch {
		case held.in != nil:
			held.in.Secret = connsec.NewSecret(held.secret)
		case held.secret != "":
			return RotationState{}, fmt.Errorf(damaged, "it has a secret that belongs to nothing")
		}
	}
	if err := s.check(); err != nil {
		return RotationState{}, fmt.Errorf(damaged, strings.TrimPrefix(err.Error(), "apisec: "))
	}
	return s, nil
}

// check holds what is true of every state that a rotation writes.
func (s RotationState) check() error {
	problem := func(format string, args ...any) error {
		return fmt.Errorf("apisec: step %s: "+format, append([]any{s.Step}, args...)...)
	}
	if int(s.Step) >= len(steps.Names) {
		return problem("there is no such step")
	}
	for _, t := range []string{s.Name, s.Todo} {
		if !plain(t) {
			return problem("a text is too long, or has control characters")
		}
	}
	if s.Failure != nil && (!plain(s.Failure.Reason) || !dated(s.Failure.At)) {
		return problem("the failure is not readable")
	}
	if len(s.Labels) > maxLabels {
		return problem("there are more than %d labels", maxLabels)
	}
	for _, l := range s.Labels {
		if l.Name == "" || !plain(l.Name) || !dated(l.At) {
			return problem("a label is not readable")
		}
	}
	if !dated(s.Since) || !dated(s.Clock) || s.Clock.Before(s.Since) || s.Turns < 0 || s.Tries.Count < 0 ||
		!s.ServerSince.IsZero() && !dated(s.ServerSince) || s.Tries.Count > 0 && (!dated(s.Tries.First) || !dated(s.Tries.Last)) {
		return problem("a date is missing or impossible")
	}
	if err := s.Policy.check(); err != nil {
		return err
	}
	turning := s.Step != Steady
	if err := s.Current.check(turning); err != nil {
		return problem("the current one: %w", err)
	}
	var next, old bool // those that must be there
	switch s.Step {
	case Staging, Verifying, Activating:
		next = true
	case Draining, Revoking, Confirming:
		old = true
	case Discarding:
		next = s.Next != nil // an aborted turn may have had none
	case Creating:
		if len(s.Labels) == 0 {
			return problem("there is no label")
		}
	}
	for _, h := range []struct {
		name string
		held *Held
		want bool
	}{{"next", s.Next, next}, {"old", s.Old, old}} {
		if h.want != (h.held != nil) {
			return problem("the %s one is missing, or should not be there", h.name)
		}
		if h.held == nil {
			continue
		}
		if err := h.held.check(true); err != nil {
			return problem("the %s one: %w", h.name, err)
		}
		if h.held.same(s.Current.Credential) {
			return problem("the %s one is the current one", h.name)
		}
	}
	if !turning && !s.Current.Secret.IsEmpty() {
		return problem("there is a secret, and should be none")
	}
	return nil
}

// check holds what is true of every credential; during a turn each has its secret.
func (h Held) check(secret bool) error {
	switch {
	case h.ClientID == "":
		return errors.New("it has no client identifier")
	case !plain(h.ClientID), !plain(h.KeyID), !plain(h.Label):
		return errors.New("an identifier is too long, or has control characters")
	case secret && h.Secret.IsEmpty():
		return errors.New("it has no secret")
	case len(h.Secret.Reveal()) > maxSecret:
		return fmt.Errorf("its secret is longer than %d bytes", maxSecret)
	case !utf8.ValidString(h.Secret.Reveal()):
		return errors.New("its secret is not UTF-8")
	case !dated(h.Recorded), !h.Created.IsZero() && !dated(h.Created), !h.Expires.IsZero() && !dated(h.Expires), !h.Looked.IsZero() && !dated(h.Looked), !h.ServerTime.IsZero() && !dated(h.ServerTime):
		return errors.New("a date is missing or impossible")
	case int(h.Standing) >= len(standings.Names):
		return errors.New("its standing is unknown")
	}
	return nil
}

func plain(s string) bool {
	return len(s) <= maxText && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// dated reports whether a time can be written as RFC 3339 and read again.
func dated(t time.Time) bool { return !t.IsZero() && t.Year() >= 1970 && t.Year() < 9999 }

// public is the state without its secrets.
func (s RotationState) public() RotationState {
	s.Current.Credential = s.Current.public()
	for _, held := range []**Held{&s.Next, &s.Old} {
		if *held != nil {
			h := **held
			h.Credential = h.public()
			*held = &h
		}
	}
	return s
}
