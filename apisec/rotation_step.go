package apisec

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/setting"
)

// turn is one operator at work, under the lock.
type turn struct {
	r   Rotation
	s   RotationState
	raw []byte // s as it is stored; nil: nothing is
}

// saveTimeout bounds the storing of what was done.
const saveTimeout = 30 * time.Second

// store makes s the state. What was done has to be recorded even if ctx ended meanwhile.
func (t *turn) store(ctx context.Context, s RotationState) error {
	s.Revision++
	s.Clock = t.stamp()
	raw, err := encodeState(s)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	if err := t.r.Store.Swap(ctx, t.raw, raw); err != nil {
		return err
	}
	t.s, t.raw = s, raw
	return nil
}

// enter makes another step the state, with what changes together with it. The new step is at
// the same time the record that the one before it is done, and the intent to do the next.
func (t *turn) enter(ctx context.Context, step Step, change func(*RotationState)) error {
	s := t.s
	s.Step, s.Since, s.Tries, s.Todo = step, t.stamp(), Tries{}, ""
	change(&s)
	s.anchor()
	return t.store(ctx, s)
}

// anchor notes when a drain begins by the server's clock, which went on since it was last seen.
func (s *RotationState) anchor() {
	s.ServerSince = time.Time{}
	if c := s.Current; s.Step == Draining && !c.ServerTime.IsZero() {
		s.ServerSince = c.ServerTime.Add(s.Since.Sub(c.Looked))
	}
}

// stamp is the date of what happens now. It never goes back behind an earlier one.
func (t *turn) stamp() time.Time {
	if now := t.r.now(); now.After(t.s.Clock) {
		return now
	}
	return t.s.Clock
}

// clock refuses to work with one that is behind the state.
func (t *turn) clock() error {
	if behind := t.s.Clock.Sub(t.r.now()); behind > clockTolerance {
		return fmt.Errorf("%w, by %s (%s): nothing is done until it is right, or is accepted", ErrClock, behind.Round(time.Second), t.s.Clock.Format(time.RFC3339))
	}
	return nil
}

func (t *turn) acceptClock(ctx context.Context) error {
	if t.raw == nil {
		return ErrNoRotation
	}
	now := t.r.now()
	s := t.s
	s.Since, s.Tries, s.Clock = now, Tries{}, now
	held := []*Held{&s.Current}
	for _, h := range []**Held{&s.Next, &s.Old} {
		if *h != nil {
			c := **h
			*h = &c
			held = append(held, &c)
		}
	}
	for _, h := range held {
		for _, d := range []*time.Time{&h.Created, &h.Recorded, &h.Looked} {
			if d.After(now) {
				*d = now
			}
		}
	}
	s.Labels = slices.Clone(s.Labels)
	for i := range s.Labels {
		s.Labels[i].At = now // how long ago it really was, nobody knows
	}
	if s.Failure != nil && s.Failure.At.After(now) {
		f := *s.Failure
		f.At, s.Failure = now, &f
	}
	s.anchor()
	for _, h := range held { // by whatever clock that was, it is not a look of just now
		if stale := now.Add(-freshness - time.Second); h.Looked.After(stale) {
			h.Looked = stale
		}
	}
	t.s.Clock = now
	return t.store(ctx, s)
}

// look asks the server about a credential.
func (t *turn) look(ctx context.Context, h *Held) (Standing, error) {
	at, err := t.verify(ctx, h.Credential)
	standing := standing(err)
	if standing == Untold {
		return Untold, &untoldError{h.Credential.public(), err}
	}
	h.Looked, h.Standing, h.ServerTime = t.stamp(), standing, time.Time{}
	if dated(at) { // the server's text
		h.ServerTime = utc(at)
	}
	return standing, nil
}

// verify asks the server, and what time it has, where the verifier can tell.
func (t *turn) verify(ctx context.Context, c Credential) (at time.Time, err error) {
	if v, ok := t.r.Verifier.(TimedVerifier); ok {
		return v.VerifyAt(ctx, c)
	}
	return time.Time{}, t.r.Verifier.Verify(ctx, c)
}

// untoldError is [ErrCannotTell] with the reason.
type untoldError struct {
	about Credential
	why   error
}

func (e *untoldError) Error() string {
	return fmt.Sprintf("%s (%s): %s", ErrCannotTell, e.about, strings.TrimPrefix(e.why.Error(), "apisec: "))
}

func (e *untoldError) Unwrap() []error { return []error{ErrCannotTell, e.why} }

// freshness is for how long a look is one of just now.
const freshness = time.Minute

// fresh reports whether the server has just said that a credential works: between the end of one
// step and the beginning of the next nobody has to be asked again.
func (t *turn) fresh(h Held) bool {
	age := t.r.now().Sub(h.Looked)
	return h.Standing == Works && age >= 0 && age <= freshness
}

// currentWorks is what has to hold before the old one may be revoked.
func (t *turn) currentWorks(ctx context.Context) error {
	if t.fresh(t.s.Current) {
		return nil
	}
	return t.lookAtCurrent(ctx)
}

// safe is what has to hold before anything is revoked: the current credential works, and clients
// have it, as far as that can be told. The state alone does not know: it may have been put back
// from a backup, there may be a second one, or something else may write to where clients read.
func (t *turn) safe(ctx context.Context) error {
	if err := t.currentWorks(ctx); err != nil {
		return err
	}
	used, known, err := t.inUse(ctx)
	if err == nil && known && !used.is(t.s.Current.Credential) {
		err = fmt.Errorf("%w (%s): find out what clients read, and what wrote it; nothing is revoked until it is that one again", ErrNotInUse, t.s.Current.Credential)
	}
	return err
}

// inUse is what clients read, if the distributor can tell.
func (t *turn) inUse(ctx context.Context) (used Credential, known bool, err error) {
	r, ok := t.r.Distributor.(Reader)
	if !ok {
		return Credential{}, false, nil
	}
	if used, err = r.Read(ctx); err != nil {
		err = fmt.Errorf("apisec: reading what clients use: %w", err)
	}
	return used, true, err
}

func (t *turn) lookAtCurrent(ctx context.Context) error {
	s := t.s
	standing, err := t.look(ctx, &s.Current)
	if err != nil {
		return err
	}
	if err := t.store(ctx, s); err != nil {
		return err
	}
	if standing == Refused {
		return fmt.Errorf("%w (%s)", ErrCurrentRefused, s.Current.Credential)
	}
	return nil
}

// admit checks a credential that came from outside.
func (t *turn) admit(c Credential) (Held, error) {
	c.Created, c.Expires = utc(c.Created), utc(c.Expires)
	h := Held{Credential: c, Recorded: t.stamp()}
	if err := h.check(true); err != nil {
		return h, fmt.Errorf("apisec: the credential cannot be used: %w", err)
	}
	if c.Created.After(t.stamp().Add(clockTolerance)) {
		return h, errors.New("apisec: the credential was made in the future: its date or the clock is wrong")
	}
	return h, nil
}

func utc(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC().Round(0)
}

func (t *turn) adopt(ctx context.Context, current Credential) error {
	stuck := t.s.Current.Standing == Refused && (t.s.Old != nil || t.s.Next == nil)
	if t.s.Step != Steady && !stuck {
		return ErrTurning
	}
	s, err := t.accept(ctx, current)
	switch {
	case err != nil:
		return err
	case t.s.Step == Steady:
		s.Current.Secret = connsec.Secret{}
		return t.store(ctx, s)
	case t.s.Old == nil: // the next one is not made yet, or gone
		return t.enter(ctx, t.s.Step, func(to *RotationState) { to.Current = s.Current })
	}
	old := *t.s.Old
	if s.Current.same(old.Credential) { // put back by hand
		old = t.s.Current
	}
	return t.enter(ctx, Draining, func(to *RotationState) { to.Current, to.Old = s.Current, &old })
}

// accept makes a credential the current one, if it works.
func (t *turn) accept(ctx context.Context, current Credential) (RotationState, error) {
	s := t.s
	if err := t.clock(); err != nil {
		return s, err
	}
	h, err := t.admit(current)
	if err != nil {
		return s, err
	}
	if standing, err := t.look(ctx, &h); err != nil {
		return s, err
	} else if standing == Refused {
		return s, fmt.Errorf("%w (%s): nothing was recorded; with a credential that works, adopt that one", ErrCurrentRefused, h.Credential)
	}
	if h.same(s.Current.Credential) { // it is known better here
		h.Recorded, h.Label = s.Current.Recorded, s.Current.Label
		if h.Created.IsZero() {
			h.Created = s.Current.Created
		}
		if h.Expires.IsZero() {
			h.Expires = s.Current.Expires
		}
	}
	s.Current, s.Step, s.Since = h, Steady, t.stamp()
	return s, nil
}

func (t *turn) start(ctx context.Context, current Credential) error {
	switch {
	case t.s.Step != Steady:
		return ErrTurning
	case t.raw != nil && !current.same(t.s.Current.Credential):
		return fmt.Errorf("apisec: the credential in use is recorded as %s, not %s; adopt it if that is right", t.s.Current.Credential, current)
	}
	s, err := t.accept(ctx, current)
	if err != nil {
		return err
	}
	if err := t.discerns(ctx, current.ClientID); err != nil {
		return err
	}
	if t.r.Policy.Overlap == 0 && s.Policy.Overlap < 0 { // that was for the turn of a leak
		s.Policy.Overlap = defaultPolicy.Overlap
	}
	labels := append(slices.Clone(s.Labels), t.label())
	return t.enter(ctx, Creating, func(to *RotationState) {
		to.Current, to.Labels, to.Failure, to.Policy = s.Current, labels, nil, s.Policy
	})
}

// discerns asks the server once about a secret that does not exist. Found out only when the old
// one should be refused, a server that accepts everything would have had anything put in use.
func (t *turn) discerns(ctx context.Context, clientID string) error {
	invented := Held{Credential: Credential{ClientID: clientID, Secret: NewSecret()}}
	standing, err := t.look(ctx, &invented)
	switch {
	case err != nil:
		return fmt.Errorf("apisec: asked about a secret that does not exist: %w", err)
	case standing == Works:
		return fmt.Errorf("%w (%s): nothing was begun", ErrAcceptsAnything, clientID)
	}
	return nil
}

// label makes a name that nothing at the server has: 80 bits suffice for that.
func (t *turn) label() Label {
	return Label{Name: "connsec-" + strings.ToLower(rand.Text()[:16]), At: t.stamp()}
}

func (t *turn) abort(ctx context.Context) error {
	switch {
	case t.raw == nil:
		return ErrNoRotation
	case t.s.Step == Steady:
		return ErrNotTurning
	case t.s.Failure != nil: // asked twice, it must not turn round again
		return fmt.Errorf("%w: the turn was given up already; continue", ErrTooLate)
	}
	if err := t.clock(); err != nil {
		return err
	}
	failure := &Failure{At: t.stamp(), Reason: fmt.Sprintf("given up by an operator in step %s", t.s.Step), Aborted: true}
	switch t.s.Step {
	case Creating, Staging, Verifying:
		return t.enter(ctx, Discarding, func(s *RotationState) { s.Failure = failure })
	case Revoking:
		if t.s.Todo == "" { // the server may have been asked
			break
		}
		fallthrough
	case Draining:
		// A turn in the other direction, in which the old one has to be seen to work first.
		return t.enter(ctx, Staging, func(s *RotationState) { s.Next, s.Old, s.Failure = s.Old, nil, failure })
	}
	return fmt.Errorf("%w: step %s has to be carried through first; continue", ErrTooLate, t.s.Step)
}

// advance does step after step until one has to wait.
func (t *turn) advance(ctx context.Context) error {
	for {
		if err := t.clock(); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("apisec: the rotation stopped in step %s: %w", t.s.Step, err)
		}
		more, err := t.do(ctx)
		var act *ActionError
		if errors.As(err, &act) {
			return t.ask(ctx, act.Todo)
		}
		if err != nil || !more {
			return err
		}
	}
}

// ask records what a person has to do.
func (t *turn) ask(ctx context.Context, todo string) error {
	todo = setting.OneLine(todo)
	if todo == t.s.Todo {
		return nil
	}
	s := t.s
	s.Todo = todo
	return t.store(ctx, s)
}

// do works on the present step and reports whether the next one can be looked at.
func (t *turn) do(ctx context.Context) (more bool, err error) {
	if until := t.s.earliest(); t.r.now().Before(until) {
		return false, nil
	}
	switch t.s.Step {
	case Creating:
		return true, t.create(ctx)
	case Staging:
		if err := t.r.Distributor.Stage(ctx, t.s.Next.Credential); err != nil {
			return false, failed("putting %s beside the one in use", t.s.Next.Credential, err)
		}
		return true, t.enter(ctx, Verifying, func(*RotationState) {})
	case Verifying:
		return t.verifyNext(ctx)
	case Activating:
		return t.activate(ctx)
	case Draining:
		return t.drain(ctx)
	case Revoking:
		return true, t.revoke(ctx)
	case Confirming:
		return t.confirm(ctx)
	case Discarding:
		return t.discard(ctx)
	}
	return false, nil // steady
}

// failed says what did not succeed. An [*ActionError] in it is found by advance.
func failed(what string, c Credential, err error) error {
	return fmt.Errorf("apisec: "+what+": %w", c, err)
}

// create makes the next credential, or finds it where an interrupted run made it.
func (t *turn) create(ctx context.Context) error {
	label := t.s.Labels[len(t.s.Labels)-1]
	found, err := t.lookup(ctx, label.Name)
	if err != nil {
		return err
	}
	if len(found) == 1 {
		if h, err := t.next(found[0]); err == nil {
			return t.enter(ctx, Staging, func(s *RotationState) { s.Next = &h })
		}
	}
	if len(found) > 0 {
		// Made, and its secret lost with the run that asked for it. The label goes, too: an
		// answer that is still under way could bring one more.
		if err := t.remove(ctx, found); err != nil {
			return err
		}
		labels, err := t.sweep(ctx, t.s.Labels[:len(t.s.Labels)-1])
		if err != nil {
			return err
		}
		labels = append(labels, label, t.label())
		if len(labels) > maxLabels {
			return errors.New("apisec: the issuer keeps making credentials without returning them; abort the turn, and look at the server")
		}
		return t.enter(ctx, Creating, func(s *RotationState) { s.Labels = labels })
	}
	c, err := t.r.Issuer.Create(ctx, label.Name)
	if err != nil {
		return fmt.Errorf("apisec: creating the next credential: %w", err)
	}
	c.Label = label.Name
	h, err := t.next(c)
	if err != nil {
		return err
	}
	return t.enter(ctx, Staging, func(s *RotationState) { s.Next = &h })
}

// next checks what is to become the next credential.
func (t *turn) next(c Credential) (Held, error) {
	if c.Created.IsZero() {
		c.Created = t.stamp()
	}
	h, err := t.admit(c)
	switch {
	case err != nil:
		return h, err
	case h.same(t.s.Current.Credential), t.client(h.Credential):
		return h, fmt.Errorf("apisec: the next credential is the one in use (%s): a second secret needs a key of its own, or a second client", c)
	case h.Secret.Equal(t.s.Current.Secret):
		return h, fmt.Errorf("apisec: the secret of %s is the one in use", c)
	case !h.Expires.IsZero() && h.Expires.Before(t.stamp().Add(t.s.Policy.overlap())):
		return h, fmt.Errorf("apisec: %s expires on %s, before the old one would be gone", c, h.Expires.Format(time.RFC3339))
	}
	// A GUID fails with Medium, and is what some servers make.
	if v := judgeWeak(newJudged(Client{ID: c.ClientID, Secret: c.Secret})); v.Outcome == connsec.Fail && (v.Severity == 0 || v.Severity >= connsec.High) {
		return h, fmt.Errorf("apisec: the secret of %s is not put in use: %s (%s)", c, v.Detail, RuleSecretWeak.ID)
	}
	return h, nil
}

// lookup returns what the server has under a label, without the current one. An issuer that
// does not look at the label would have others' credentials revoked, so its answer must carry it.
func (t *turn) lookup(ctx context.Context, label string) ([]Credential, error) {
	found, err := t.r.Issuer.Lookup(ctx, label)
	if err != nil {
		return nil, fmt.Errorf("apisec: looking for credentials with the label %s: %w", label, err)
	}
	for _, c := range found {
		if c.Label != label {
			return nil, fmt.Errorf("apisec: asked for the label %s, the issuer returned %s with the label %q: nothing is revoked", label, setting.OneLine(c.String()), setting.OneLine(c.Label))
		}
	}
	return slices.DeleteFunc(slices.Clone(found), func(c Credential) bool { return c.same(t.s.Current.Credential) }), nil
}

// remove revokes credentials that no client ever got.
func (t *turn) remove(ctx context.Context, orphans []Credential) error {
	if len(orphans) == 0 {
		return nil
	}
	if err := t.safe(ctx); err != nil {
		return err
	}
	for _, c := range orphans {
		if err := t.revokeAtServer(ctx, c); err != nil {
			return fmt.Errorf("apisec: revoking %s, which was made and never used: %w", setting.OneLine(c.String()), err)
		}
	}
	return nil
}

// labelRest is how long after a request for a credential one may still turn up.
const labelRest = time.Hour

// sweep revokes everything under the labels that is not current, and returns the labels that
// have to be looked at again. Nothing else of a turn may be live when it is called.
func (t *turn) sweep(ctx context.Context, labels []Label) ([]Label, error) {
	var left []Label
	for _, l := range labels {
		found, err := t.lookup(ctx, l.Name)
		if err != nil {
			return nil, err
		}
		if err := t.remove(ctx, found); err != nil {
			return nil, err
		}
		if t.stamp().Sub(l.At) < labelRest {
			left = append(left, l)
		}
	}
	return left, nil
}

// verifyNext looks at the next credential. A server may take a while to know it everywhere.
func (t *turn) verifyNext(ctx context.Context) (more bool, err error) {
	s := t.s
	next := *s.Next
	s.Next = &next
	standing, err := t.look(ctx, &next)
	switch {
	case err != nil:
		return false, err
	case standing == Works:
		return true, t.enter(ctx, Activating, func(to *RotationState) { to.Next = &next })
	}
	failure, err := t.refused(ctx, s)
	if failure == nil {
		return false, err
	}
	return true, t.enter(ctx, Discarding, func(to *RotationState) { to.Next, to.Failure = &next, failure })
}

// refused counts a look at the next credential that it did not stand, and says so when it had
// its time. s has the outcome.
func (t *turn) refused(ctx context.Context, s RotationState) (*Failure, error) {
	t.tried(&s)
	if s.Tries.Last.Sub(s.Tries.First) < s.Policy.Settle {
		return nil, t.store(ctx, s)
	}
	return &Failure{At: t.stamp(), Reason: fmt.Sprintf("the server refuses %s: %d looks in %s", setting.OneLine(s.Next.String()), s.Tries.Count, s.Tries.Last.Sub(s.Tries.First).Round(time.Second))}, nil
}

// activate puts the next credential in use. It worked when the step began, which may be days ago:
// a person was waited for, or the process died.
func (t *turn) activate(ctx context.Context) (more bool, err error) {
	next := *t.s.Next
	if !t.fresh(next) {
		s := t.s
		s.Next = &next
		standing, err := t.look(ctx, &next)
		if err != nil {
			return false, err
		}
		if standing == Refused {
			failure, err := t.refused(ctx, s)
			if failure == nil {
				return false, err
			}
			// Clients may have it already, so the way back is a turn in the other direction.
			return true, t.enter(ctx, Staging, func(to *RotationState) {
				back := to.Current
				back.Used = true
				to.Current, to.Next, to.Failure = next, &back, failure
			})
		}
	}
	if err := t.r.Distributor.Activate(ctx, next.Credential); err != nil {
		return false, failed("putting %s in use", next.Credential, err)
	}
	return true, t.enter(ctx, Draining, func(s *RotationState) {
		old := s.Current
		old.Used = true
		s.Current, s.Next, s.Old = next, nil, &old
	})
}

// drain ends the time of the old one, unless by the server's clock it is not over: then the one
// here was set forward meanwhile, and the rest is waited for.
func (t *turn) drain(ctx context.Context) (more bool, err error) {
	if err := t.currentWorks(ctx); err != nil {
		return false, err
	}
	begun, now, overlap := t.s.ServerSince, t.s.Current.ServerTime, t.s.Policy.overlap()
	if !begun.IsZero() && !now.IsZero() {
		s, passed := t.s, now.Sub(begun)
		if passed < 0 { // that one was set back, so that nobody knows
			s.ServerSince, passed = now, 0
		}
		if passed+clockTolerance < overlap {
			s.Since = t.stamp().Add(-passed)
			return false, t.store(ctx, s)
		}
	}
	return true, t.enter(ctx, Revoking, func(*RotationState) {})
}

// tried counts a look with the wrong answer.
func (t *turn) tried(s *RotationState) {
	now := t.stamp()
	if s.Tries.Count == 0 {
		s.Tries.First = now
	}
	s.Tries.Count++
	s.Tries.Last = now
}

// revoke asks the issuer, or finds that the person who was asked has done it.
func (t *turn) revoke(ctx context.Context) error {
	// The intent may be days old.
	if err := t.safe(ctx); err != nil {
		return t.usedAgain(ctx, err)
	}
	if t.s.Old.same(t.s.Current.Credential) { // which check excludes; nothing weighs more
		return errors.New("apisec: the credential in use is not revoked; please report this as a defect")
	}
	err := t.revokeAtServer(ctx, t.s.Old.Credential)
	var act *ActionError
	if err != nil && !errors.As(err, &act) {
		return failed("revoking %s", t.s.Old.Credential, err)
	}
	if act != nil {
		old := *t.s.Old
		standing, untold := t.look(ctx, &old)
		switch standing {
		case Works:
			return act
		case Untold:
			return errors.Join(t.ask(ctx, act.Todo), untold)
		}
	}
	return t.enter(ctx, Confirming, func(*RotationState) {})
}

// usedAgain goes back to where the next one is put in use, if clients have the old one again: it
// drains anew after that. The error that says so is not lost, since somebody has to find out why.
func (t *turn) usedAgain(ctx context.Context, problem error) error {
	if !errors.Is(problem, ErrNotInUse) {
		return problem
	}
	used, _, err := t.inUse(ctx)
	if err != nil {
		return err
	}
	if !used.is(t.s.Old.Credential) {
		return problem
	}
	problem = fmt.Errorf("%w (%s), but the old one again (%s): find out what put it back; nothing is revoked, and the next call puts the right one in use and lets the old one drain anew", ErrNotInUse, t.s.Current.Credential, t.s.Old.Credential)
	return errors.Join(t.enter(ctx, Activating, func(s *RotationState) {
		next := s.Current
		s.Current, s.Next, s.Old = *s.Old, &next, nil
	}), problem)
}

// client reports whether revoking a credential would mean to remove the client that is in use:
// it has no name of its own at the server.
func (t *turn) client(c Credential) bool {
	return c.KeyID == "" && c.ClientID == t.s.Current.ClientID
}

// revokeAtServer has a credential revoked, by a person where a program could hit another one.
func (t *turn) revokeAtServer(ctx context.Context, c Credential) error {
	if !t.client(c) {
		return t.r.Issuer.Revoke(ctx, c.public())
	}
	name := "the old secret"
	if c.Label != "" {
		name = "the secret with the label " + setting.OneLine(c.Label)
	}
	return &ActionError{fmt.Sprintf("at the server, remove %s of client %s, and leave %s, which is in use", name, c.ClientID, t.s.Current.Credential)}
}

// confirm looks whether the revoked credential is refused, and the current one is not: a server
// that refuses everybody proves nothing, and a revocation may have hit more than it should.
func (t *turn) confirm(ctx context.Context) (more bool, err error) {
	s := t.s
	old := *s.Old
	s.Old = &old
	standing, err := t.look(ctx, &old)
	if err != nil {
		return false, err
	}
	if standing == Works {
		t.tried(&s)
		if err := t.store(ctx, s); err != nil || !s.overstays() {
			return false, err
		}
		// Once more: the server may have lost it, or a person put it back.
		return false, t.again(ctx)
	}
	if err := t.lookAtCurrent(ctx); err != nil {
		return false, err
	}
	return false, t.finish(ctx)
}

// again revokes what should be revoked already.
func (t *turn) again(ctx context.Context) error {
	err := t.revokeAtServer(ctx, t.s.Old.Credential)
	if err != nil && !errors.As(err, new(*ActionError)) {
		return failed("revoking %s again", t.s.Old.Credential, err)
	}
	return err
}

// discard takes back a next credential that will not be used.
func (t *turn) discard(ctx context.Context) (more bool, err error) {
	if t.s.Next == nil {
		return false, t.finish(ctx)
	}
	if err := t.r.Distributor.Discard(ctx, t.s.Next.public()); err != nil {
		return false, failed("taking %s back", t.s.Next.Credential, err)
	}
	step := Revoking
	if t.s.Next.Used { // on the way back, and some clients may not have left it
		step = Draining
	}
	return true, t.enter(ctx, step, func(s *RotationState) { s.Next, s.Old = nil, s.Next })
}

// finish ends the turn: what else its labels brought is revoked, and the secrets go.
func (t *turn) finish(ctx context.Context) error {
	labels, err := t.sweep(ctx, t.s.Labels)
	if err != nil {
		return err
	}
	return t.enter(ctx, Steady, func(s *RotationState) {
		s.Labels, s.Next, s.Old = labels, nil, nil
		s.Current.Secret = connsec.Secret{}
		if s.Failure == nil {
			s.Turns++
		}
	})
}

// earliest is when the step can go on; zero: at once.
func (s RotationState) earliest() time.Time {
	switch {
	case s.Step == Draining:
		return s.Since.Add(s.Policy.overlap())
	case s.Tries.Count > 0:
		return s.Tries.Last.Add(s.Policy.Retry)
	}
	return time.Time{}
}

// overstays reports whether a revoked credential works for longer than a server may need.
func (s RotationState) overstays() bool {
	return s.Step == Confirming && s.Tries.Count > 0 && s.Tries.Last.Sub(s.Since) >= s.Policy.Linger
}
