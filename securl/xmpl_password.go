package securl

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/connsec/connsec"
)

// minPassword is the length of the shortest new password, in characters: the least that NIST SP
// 800-63B-4 3.1.1.2 knows. Where a password is the only factor, as here, it asks for 15, which
// [XMPL.AcceptPassword] can.
const minPassword = 8

// changePassword checks the existing password, as often as a sign-in may be tried, and puts the
// hash of the new one among the values.
func (c *xmplCall) changePassword(s session, ch *change) error {
	ctx := c.r.Context()
	switch err := c.door.confirm(ctx, c.attempt(s.rid, s.userName, ch.existing)); {
	case errors.Is(err, errRefused):
		// Not "sign in first": the visitor has, and would lose the form.
		return refused("the existing password is not correct")
	case err != nil:
		return c.notEntered(s.rid, err)
	}
	if err := c.accept(Recipient{ID: s.rid, UserName: s.userName}, ch.password); err != nil {
		return err
	}
	hash, err := c.door.hash(ctx, ch.password)
	if err != nil {
		return hashError(err)
	}
	ch.values[c.PasswordADOR] = hash
	return nil
}

// hashError is the answer to a password that cannot be stored.
func hashError(err error) error {
	switch {
	case errors.Is(err, ErrCollationUnknown), errors.Is(err, ErrNotUTF8):
		return refused("the new password has characters that cannot be stored")
	case errors.Is(err, errBusy):
		return errUnavailable
	}
	return fmt.Errorf("securl: a new password cannot be hashed: %w", err)
}

// accept judges a new password.
func (c *xmplCall) accept(r Recipient, password connsec.Secret) error {
	f := c.AcceptPassword
	if f == nil {
		f = acceptPassword
	}
	err := f(c.r.Context(), r, password)
	if errors.Is(err, ErrNotAccepted) {
		return refused("the new password is too short, too long or too common")
	}
	return err
}

func acceptPassword(_ context.Context, r Recipient, password connsec.Secret) error {
	p := password.Reveal()
	plain := strings.ToLower(strings.TrimSpace(p))
	if utf8.RuneCountInString(p) < minPassword || len(p) > MaxBytes || slices.Contains(commonPasswords, plain) ||
		r.ID != "" && foldRID(p) == foldRID(r.ID) || r.UserName != "" && foldRID(p) == foldRID(r.UserName) {
		return ErrNotAccepted
	}
	return nil
}

// confirm checks and counts an attempt as signIn does, and makes no session.
func (d *door) confirm(ctx context.Context, a attempt) error {
	now := d.clock.now()
	folded := foldRID(a.rid)
	taken, after := d.throttle.begin(now, folded, a.addr, d.deviceID(now, a.device, folded))
	if after > 0 {
		d.observe(ctx, Event{Kind: EventThrottled, At: now, RID: a.rid, Addr: a.addr, RetryAfter: after})
		return &throttledError{after}
	}
	_, err := d.authenticate(ctx, a, folded)
	var wrong reasonError
	switch {
	case errors.As(err, &wrong):
		d.observe(ctx, Event{Kind: EventFailed, At: now, RID: a.rid, Addr: a.addr, Reason: Reason(wrong)})
		return errRefused
	case err != nil:
		d.throttle.undo(taken)
		d.observe(ctx, Event{Kind: EventUnavailable, At: now, RID: a.rid, Addr: a.addr, Err: err})
		return err
	}
	d.throttle.succeed(now, taken)
	return nil
}

// endingOthers ends all sessions of a recipient but one, around the change of a password: before it,
// so that a crash behind it leaves none that the old password made, and after it, for those that it
// has made meanwhile. They have ended even if the change fails.
func (d *door) endingOthers(ctx context.Context, s session, change func() error) error {
	s, err := d.endOthers(ctx, s)
	if err != nil {
		return err
	}
	d.observe(ctx, Event{Kind: EventSignedOut, At: d.clock.now(), RID: s.rid})
	if err := change(); err != nil {
		return err
	}
	// A visitor who leaves at once has ended them all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), signOutTime)
	defer cancel()
	_, err = d.endOthers(ctx, s)
	return err
}

// endOthers ends all sessions of a recipient but one, which goes on until its own end – unless a
// sign-out has come before, which must not be undone. It returns the session as it goes on.
func (d *door) endOthers(ctx context.Context, s session) (session, error) {
	last, epoch, err := d.revokeAfter(ctx, s.rid, s.epoch)
	if err != nil || s.epoch <= last {
		return s, err
	}
	// The next epoch, and not one that is read now: a sign-out that comes in between is later.
	s.epoch = epoch + 1
	if err := d.store.CommitCtx(ctx, s.key, s.encode(), s.expires.Add(grace)); err != nil {
		return s, fmt.Errorf("securl: cannot store a session: %w", err)
	}
	return s, nil
}

// register counts a registration from an address, and returns how long it has to wait.
func (t *throttle) register(now time.Time, addr netip.Addr) time.Duration {
	hash := t.hash(throttleKey{addr: network(addr), device: "register"})
	at := now.UnixNano()
	t.mu.Lock()
	defer t.mu.Unlock()
	if wait := t.addr.wait(hash, at); wait > 0 {
		return wait
	}
	t.addr.add(hash, at)
	return 0
}

// seconds is a duration as Retry-After has it, rounded up.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64(math.Ceil(d.Seconds())), 10)
}
