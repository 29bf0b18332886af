package apisec

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/connsec/connsec"
)

// Rotation replaces the secret of a client without a moment at which none works, and without
// one that lives on unnoticed. A turn is: create the next credential, put it beside the one in
// use, see that it works, put it in use, let the old one drain, revoke it, see that it is
// refused.
//
//	r := apisec.Rotation{Store: …, Issuer: …, Distributor: …, Verifier: apisec.TokenVerifier{Client: c}}
//	_, err := r.Start(ctx, current) // begins a turn
//	o, err := r.Continue(ctx)       // from time to time: goes on as far as it may
//	o.Judge()                       // what is due, late or wrong
//
// What is about to be done is stored before it is done, and again when it was. So a turn may be
// killed at any instant, and Continue goes on from there to the same end. Nothing is put in use
// that has not just been seen to work, and nothing is revoked unless the one in use has, too, and
// is what clients read, where the distributor can tell (see [Reader]). If the server does not say, the rotation stays where it is: a timeout or an error 500
// is neither.
//
// From the start of a turn until its end the state holds the current, the next and the old
// secret in clear: the next one has to survive a crash before clients have it, and only with
// the old one can be seen that it is refused. When the turn ends they are removed. Whoever can
// read the store during a turn has what he would have by reading the clients' own files; a store
// that seals what it is given is a few lines around another.
//
// Each look at the server is one token request, which the server logs. A turn takes six of
// them, two of which are refused, and more if the server takes its time. The first refusal is of
// a secret that does not exist, before anything is made: where that is accepted, no look would
// prove anything.
type Rotation struct {
	// Name says what rotates. It is the subject of findings, and a state with another name is
	// refused. Empty: the state's own.
	Name string
	// Store keeps the state.
	Store Store
	// Issuer makes and revokes credentials.
	Issuer Issuer
	// Distributor brings them to the clients.
	Distributor Distributor
	// Verifier asks the server.
	Verifier Verifier
	// Policy holds the times. What is zero is as in the state, which begins with the defaults.
	Policy RotationPolicy
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// RotationPolicy holds the times of a rotation.
type RotationPolicy struct {
	// MaxAge is how old a secret may become. Default 90 days.
	MaxAge time.Duration `json:"max_age_ns"`
	// Warn is how long before that the rotation says that it is due. Default 14 days.
	Warn time.Duration `json:"warn_ns"`
	// Overlap is how long the old secret lives on after the next one came into use, for clients
	// that have not read it yet, by the clock here and, with a [TimedVerifier], by the server's.
	// Default 24 hours; more than 72 fails RuleRotationOverlap.
	// Negative: not at all, for a secret that has leaked; that holds for one turn.
	Overlap time.Duration `json:"overlap_ns"`
	// Settle is for how long a server may refuse the next secret, because it has not spread to
	// all its nodes yet, before the turn is given up. Default 15 minutes.
	Settle time.Duration `json:"settle_ns"`
	// Linger is for how long a server may go on accepting a revoked secret, because it keeps
	// answers, before that fails RuleNotRevoked. Default 1 hour.
	Linger time.Duration `json:"linger_ns"`
	// Retry is how long to wait between two looks. Default 1 minute.
	Retry time.Duration `json:"retry_ns"`
	// Stall is for how long a step may stand open that could be done. Default 24 hours.
	Stall time.Duration `json:"stall_ns"`
}

// mostOverlap is for how long two secrets may live at most.
const mostOverlap = 72 * time.Hour

var defaultPolicy = RotationPolicy{
	MaxAge: 90 * day, Warn: 14 * day, Overlap: 24 * time.Hour, Settle: 15 * time.Minute, Linger: time.Hour, Retry: time.Minute, Stall: 24 * time.Hour,
}

// Validate judges the policy alone.
func (p RotationPolicy) Validate() connsec.Report {
	const subject = "rotation policy"
	return connsec.Report{Target: subject, Findings: connsec.Run(subject, p.over(defaultPolicy), policyChecks)}
}

// over returns p with what is zero taken from base.
func (p RotationPolicy) over(base RotationPolicy) RotationPolicy {
	for _, f := range []struct {
		to   *time.Duration
		from time.Duration
	}{{&p.MaxAge, base.MaxAge}, {&p.Warn, base.Warn}, {&p.Overlap, base.Overlap}, {&p.Settle, base.Settle}, {&p.Linger, base.Linger}, {&p.Retry, base.Retry}, {&p.Stall, base.Stall}} {
		if *f.to == 0 {
			*f.to = f.from
		}
	}
	return p
}

// check refuses what cannot be meant.
func (p RotationPolicy) check() error {
	const most = 100 * 365 * day
	for _, f := range []struct {
		name string
		d    time.Duration
	}{{"maximal age", p.MaxAge}, {"warning", p.Warn}, {"settling time", p.Settle}, {"lingering time", p.Linger}, {"time between looks", p.Retry}, {"stalling time", p.Stall}} {
		if f.d <= 0 || f.d > most {
			return fmt.Errorf("apisec: the policy's %s of %s is not possible", f.name, f.d)
		}
	}
	switch {
	case p.Overlap == 0 || p.Overlap > most:
		return fmt.Errorf("apisec: the policy's overlap of %s is not possible", p.Overlap)
	case p.Warn >= p.MaxAge:
		return fmt.Errorf("apisec: a warning %s before the end of a life of %s would never be silent", p.Warn, p.MaxAge)
	case p.Retry > p.Linger || p.Retry > p.Settle:
		return fmt.Errorf("apisec: a look every %s does not fit into the settling time of %s or the lingering time of %s", p.Retry, p.Settle, p.Linger)
	}
	return nil
}

// overlap is how long to drain.
func (p RotationPolicy) overlap() time.Duration { return max(p.Overlap, 0) }

var (
	// ErrNoRotation says that the store is empty.
	ErrNoRotation = errors.New("apisec: no rotation is recorded here: adopt the credential in use, or start a turn with it")
	// ErrTurning says that a turn is under way.
	ErrTurning = errors.New("apisec: a turn is under way: continue or abort it first")
	// ErrNotTurning says that none is.
	ErrNotTurning = errors.New("apisec: no turn is under way")
	// ErrTooLate says that a turn can only go forward from here.
	ErrTooLate = errors.New("apisec: it is too late to abort")
	// ErrCannotTell says that the server's answer proves nothing. The rotation stays where it is.
	ErrCannotTell = errors.New("apisec: the server does not say whether the credential works")
	// ErrAcceptsAnything says that a secret that does not exist was accepted: by a server that lets
	// everybody in, or a [Verifier] that does not look. Nothing is begun.
	ErrAcceptsAnything = errors.New("apisec: the server, or the verifier, accepts a secret that does not exist, so that nothing it accepts proves anything")
	// ErrCurrentRefused says that the server refuses the credential in use. Nothing is revoked.
	ErrCurrentRefused = errors.New("apisec: the server refuses the credential that is in use")
	// ErrNotInUse says that clients read another credential than the state takes for the one in
	// use. Nothing is revoked.
	ErrNotInUse = errors.New("apisec: clients do not read the credential that is recorded as the one in use")
	// ErrClock says that the clock is behind the state. Nothing is done, since a date of the
	// state or the clock is wrong, and the old secret could be revoked too early. If the clock
	// is right now, [Rotation.AcceptClock] lets every wait begin anew.
	ErrClock = errors.New("apisec: the clock is behind the last change of the state")
)

// clockTolerance is how far a clock may go back without any doubt in it.
const clockTolerance = time.Minute

func (r Rotation) now() time.Time {
	if r.Now == nil {
		return time.Now().UTC().Round(0)
	}
	return r.Now().UTC().Round(0)
}

// Adopt records the credential in use, so that its dates are watched. The server has to accept
// it. Its secret is not stored.
//
// While a turn is under way it is [ErrTurning], except where the turn cannot go on because the
// server refuses the credential in use, before the next one is made or when it is the next one
// itself: a person has put another one in use, or the old one back, and the turn goes on with
// that, and drains anew.
func (r Rotation) Adopt(ctx context.Context, current Credential) (RotationObservation, error) {
	return r.locked(ctx, func(t *turn) error { return t.adopt(ctx, current) })
}

// Start begins a turn: it records what is to come, and nothing else. The credential in use is
// given with its secret, and the server has to accept it, and to refuse the same identifier with
// a random secret, which it is asked about once. If a rotation is recorded, it must be the one
// recorded; if none is, it is adopted.
func (r Rotation) Start(ctx context.Context, current Credential) (RotationObservation, error) {
	return r.locked(ctx, func(t *turn) error { return t.start(ctx, current) })
}

// Continue goes on as far as it may: until the turn ends, a time has to pass, a person has to
// act, or an error. What it waits for is in the observation. After an error call it again.
// Without a turn under way it does nothing.
func (r Rotation) Continue(ctx context.Context) (RotationObservation, error) {
	return r.locked(ctx, func(t *turn) error {
		if t.raw == nil {
			return ErrNoRotation
		}
		return t.advance(ctx)
	})
}

// Abort gives the turn up. Before the next credential came into use, it is taken back; while
// the old one drains (or a person has been asked to revoke it, and has not), the old one is put
// in use again in a turn of its own. After that, and if the turn was given up already, it is
// [ErrTooLate]. It records the decision; Continue carries it out.
func (r Rotation) Abort(ctx context.Context) (RotationObservation, error) {
	return r.locked(ctx, func(t *turn) error { return t.abort(ctx) })
}

// AcceptClock says that the clock is right now, and the dates in the state that lie ahead of it
// are not. Every wait begins anew.
func (r Rotation) AcceptClock(ctx context.Context) (RotationObservation, error) {
	return r.locked(ctx, func(t *turn) error { return t.acceptClock(ctx) })
}

// Observe reads the state, and asks nobody. It takes no lock.
func (r Rotation) Observe(ctx context.Context) (RotationObservation, error) {
	t, err := r.load(ctx)
	if err != nil {
		return RotationObservation{}, err
	}
	if t.raw == nil {
		return RotationObservation{}, ErrNoRotation
	}
	return t.observe(), nil
}

// Probe is Observe and Judge.
func (r Rotation) Probe(ctx context.Context) (connsec.Report, error) {
	o, err := r.Observe(ctx)
	if err != nil {
		return connsec.Report{}, err
	}
	return o.Judge(), nil
}

// load reads the state as it is.
func (r Rotation) load(ctx context.Context) (*turn, error) {
	if r.Store == nil {
		return nil, errors.New("apisec: a rotation needs a store")
	}
	raw, err := r.Store.Load(ctx)
	if err != nil {
		return nil, err
	}
	t := &turn{r: r, raw: raw}
	if raw == nil {
		t.s.Name, t.s.Policy = r.Name, defaultPolicy
	} else if t.s, err = decodeState(raw); err != nil {
		return nil, err
	}
	if r.Name != "" && r.Name != t.s.Name {
		return nil, fmt.Errorf("apisec: the state is that of %q, not of %q", t.s.Name, r.Name)
	}
	t.s.Policy = r.Policy.over(t.s.Policy)
	return t, t.s.Policy.check()
}

// locked does something as the only operator.
func (r Rotation) locked(ctx context.Context, do func(*turn) error) (RotationObservation, error) {
	if r.Store == nil || r.Issuer == nil || r.Distributor == nil || r.Verifier == nil {
		return RotationObservation{}, errors.New("apisec: a rotation needs a store, an issuer, a distributor and a verifier")
	}
	unlock, err := r.Store.Lock(ctx)
	if err != nil {
		return RotationObservation{}, err
	}
	defer unlock()
	t, err := r.load(ctx)
	if err != nil {
		return RotationObservation{}, err
	}
	err = do(t)
	if t.raw == nil { // nothing was ever stored
		return RotationObservation{}, err
	}
	return t.observe(), err
}
