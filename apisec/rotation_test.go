package apisec_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/apisec"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTurn is one whole turn, act by act.
func TestTurn(t *testing.T) {
	w := newWorld()
	old := w.active
	o := w.turn(t)
	w.settled(t, o)
	assert.Equal(t, 1, o.State.Turns)
	assert.False(t, w.works(old))
	assert.Equal(t, []string{
		"verify", "verify", "save", // start: the one in use, and one that does not exist
		"lookup", "create", "save", "stage", "save", "verify", "save", "activate", "save",
		"verify", "save", "save", "revoke", "save", "verify", "verify", "save", "lookup", "save",
	}, acts(w))
	assert.Less(t, w.now.Sub(today), 24*time.Hour+time.Minute)
	assert.GreaterOrEqual(t, w.now.Sub(today), 24*time.Hour)
}

func acts(w *world) (out []string) {
	for _, p := range w.trace {
		if after, ok := cutAfter(p); ok {
			out = append(out, after)
		}
	}
	return out
}

func cutAfter(p string) (string, bool) {
	if len(p) > 6 && p[:6] == "after " {
		return p[6:], true
	}
	return "", false
}

var errInjected = errors.New("injected")

// TestKilledAtEveryPoint kills the process, or makes the act fail, before and after each act
// and each save of a turn, and lets new processes go on: the end is the same.
func TestKilledAtEveryPoint(t *testing.T) {
	t.Parallel()
	for _, secretOnce := range []bool{false, true} {
		for _, mode := range []string{"killed", "error"} {
			plain := newWorld()
			plain.turn(t)
			points := len(plain.trace)
			require.Greater(t, points, 35)
			for fire := 1; fire <= points; fire++ {
				w := newWorld()
				w.secretOnce = secretOnce
				old := w.active
				w.failAt(t, mode, fire)
				o := w.turn(t)
				where := fmt.Sprintf("%s %s, secrets shown once: %t", mode, w.trace[fire-1], secretOnce)
				w.settled(t, o)
				require.Equal(t, 1, o.State.Turns, where)
				require.Nil(t, o.State.Failure, where)
				require.False(t, w.works(old), where)
				require.NotEqual(t, name(old), name(w.active), where)
				if !secretOnce {
					require.Equal(t, 1, w.made, "what was made is found again: "+where)
				}
			}
		}
	}
}

// TestKilledTwice does it again for pairs of points.
func TestKilledTwice(t *testing.T) {
	t.Parallel()
	plain := newWorld()
	plain.turn(t)
	points := len(plain.trace)
	for first := 1; first <= points; first++ {
		for second := first + 1; second <= points+8; second += 4 + first%3 {
			w := newWorld()
			w.secretOnce = second%2 == 0
			old := w.active
			w.failAt(t, "killed", first, second)
			o := w.turn(t)
			w.settled(t, o)
			require.Equal(t, 1, o.State.Turns)
			require.False(t, w.works(old))
		}
	}
}

// failAt makes points fail, and watches at each one that clients have a secret that works.
func (w *world) failAt(tb testing.TB, mode string, at ...int) {
	n := 0
	w.point = func(name string) error {
		n++
		require.True(tb, w.works(w.active), "no distributed credential works at %s", name)
		require.LessOrEqual(tb, len(w.live), 3)
		if !slices.Contains(at, n) {
			return nil
		}
		if mode == "killed" {
			panic(killed{})
		}
		return errInjected
	}
}

// A server that says nothing is neither trusted nor doubted: the rotation stays where it is.
func TestCannotTell(t *testing.T) {
	for _, step := range []apisec.Step{apisec.Creating, apisec.Verifying, apisec.Draining, apisec.Revoking, apisec.Confirming} {
		t.Run(step.String(), func(t *testing.T) {
			w := newWorld()
			w.point = func(string) error {
				if o, err := w.rotation().Observe(t.Context()); err == nil && o.State.Step == step {
					w.down = true
				}
				return nil
			}
			_, err := w.rotation().Start(t.Context(), w.active)
			require.NoError(t, err)
			for range 3 {
				w.now = w.now.Add(25 * time.Hour)
				was := w.down
				var o apisec.RotationObservation
				o, err = w.rotation().Continue(t.Context())
				if was {
					assert.Error(t, err)
					assert.Equal(t, step, o.State.Step)
				}
			}
			require.True(t, w.down)
			if step != apisec.Creating && step != apisec.Revoking {
				require.ErrorIs(t, err, apisec.ErrCannotTell)
				assert.ErrorContains(t, err, "503")
			}
			w.point, w.down = nil, false
			w.settled(t, w.turn(t))
		})
	}
	t.Run("start", func(t *testing.T) {
		w := newWorld()
		w.down = true
		_, err := w.rotation().Start(t.Context(), w.active)
		require.ErrorIs(t, err, apisec.ErrCannotTell)
		_, err = w.rotation().Observe(t.Context())
		require.ErrorIs(t, err, apisec.ErrNoRotation)
	})
}

// Where a secret is accepted that does not exist, nothing is begun: every look would be a success.
func TestAcceptsAnything(t *testing.T) {
	w := newWorld()
	w.everybody = true
	_, err := w.rotation().Start(t.Context(), w.active)
	require.ErrorIs(t, err, apisec.ErrAcceptsAnything)
	assert.ErrorContains(t, err, id)
	_, err = w.rotation().Observe(t.Context())
	require.ErrorIs(t, err, apisec.ErrNoRotation)
	assert.Equal(t, []string{"verify", "verify"}, acts(w), "one look at each, and nothing else")

	// A recorded rotation stays as it was.
	w.everybody = false
	before, err := w.rotation().Adopt(t.Context(), w.active)
	require.NoError(t, err)
	w.everybody = true
	after, err := w.rotation().Start(t.Context(), w.active)
	require.ErrorIs(t, err, apisec.ErrAcceptsAnything)
	assert.Equal(t, before.State, after.State)

	// Nor is anything begun where the server does not say that it refuses it.
	w.everybody = false
	asked := 0
	w.point = func(name string) error {
		if name == "before verify" {
			asked++
			w.down = asked > 1
		}
		return nil
	}
	after, err = w.rotation().Start(t.Context(), w.active)
	require.ErrorIs(t, err, apisec.ErrCannotTell)
	assert.ErrorContains(t, err, "a secret that does not exist")
	assert.Equal(t, before.State, after.State)

	w.point, w.down = nil, false
	_, err = w.rotation().Start(t.Context(), w.active)
	require.NoError(t, err)
	w.settled(t, w.turn(t))
}

// The next credential never works: it is taken back, and the current one stays.
func TestNextRefused(t *testing.T) {
	w := newWorld()
	old := w.active
	w.slow = 1000
	o := w.turn(t)
	w.settled(t, o)
	assert.True(t, w.works(old))
	assert.Equal(t, 0, o.State.Turns)
	require.NotNil(t, o.State.Failure)
	assert.Contains(t, o.State.Failure.Reason, "the server refuses "+id+" (key-1): 16 looks in 15m")
	assert.NotContains(t, w.trace, "before activate")
	assert.GreaterOrEqual(t, w.now.Sub(today), 15*time.Minute)

	// The next turn forgets the failure.
	w.slow = 0
	_, err := w.rotation().Start(t.Context(), w.active)
	require.NoError(t, err)
	o = w.turn(t)
	w.settled(t, o)
	assert.Equal(t, 1, o.State.Turns)
	assert.Nil(t, o.State.Failure)
	assert.False(t, w.works(old))
}

// It takes the server a while to know the next one: the turn waits for that.
func TestNextSettles(t *testing.T) {
	w := newWorld()
	w.slow = 5
	o := w.turn(t)
	w.settled(t, o)
	assert.Equal(t, 1, o.State.Turns)
}

// The server goes on accepting the old one for a while, or for ever.
func TestOldLingers(t *testing.T) {
	w := newWorld()
	w.lingers = 10
	o := w.turn(t)
	w.settled(t, o)
	assert.Equal(t, 1, o.State.Turns)

	w = newWorld()
	w.lenient = true
	_, err := w.rotation().Start(t.Context(), w.active)
	require.NoError(t, err)
	for range 100 {
		o, err = w.rotation().Continue(t.Context())
		require.NoError(t, err)
		if _, from := o.Next(); from.After(w.now) {
			w.now = from
		}
	}
	assert.Equal(t, apisec.Confirming, o.State.Step)
	assert.Greater(t, o.State.Tries.Count, 60)
	w.lenient = false
	w.now = w.now.Add(2 * time.Minute)
	w.settled(t, w.turn(t))
}

// If the current one is refused, for whatever reason, the old one is not touched.
func TestCurrentRefusedBeforeRevoking(t *testing.T) {
	w := newWorld()
	old := w.active
	_, err := w.rotation().Start(t.Context(), old)
	require.NoError(t, err)
	_, err = w.rotation().Continue(t.Context())
	require.NoError(t, err)
	delete(w.live, name(w.active)) // somebody removes the new one
	w.now = w.now.Add(25 * time.Hour)
	o, err := w.rotation().Continue(t.Context())
	require.ErrorIs(t, err, apisec.ErrCurrentRefused)
	assert.Equal(t, apisec.Draining, o.State.Step)
	assert.True(t, w.works(old))

	// The way back: the old one comes into use again.
	_, err = w.rotation().Abort(t.Context())
	require.NoError(t, err)
	o = w.turn(t)
	w.settled(t, o)
	assert.Equal(t, name(old), name(w.active))
	assert.True(t, o.State.Failure.Aborted)
}

// The same when the turn died just before it revoked, and goes on days later. Then a person puts
// the old one back by hand, or one made by hand, and the turn goes on with that.
func TestCurrentRefusedAfterResuming(t *testing.T) {
	for _, back := range []apisec.Credential{
		{ClientID: id, KeyID: "first", Secret: connsec.NewSecret(strong)},
		{ClientID: "by hand", Secret: connsec.NewSecret("0f9e8d7c6b5a49382716f5e4d3c2b1a0f9e8d7c6")},
	} {
		w := newWorld()
		old := w.active
		_, err := w.rotation().Start(t.Context(), old)
		require.NoError(t, err)
		_, err = w.rotation().Continue(t.Context())
		require.NoError(t, err)
		w.point = func(name string) error {
			if name == "before revoke" {
				panic(killed{})
			}
			return nil
		}
		w.now = w.now.Add(25 * time.Hour)
		_, dead := w.process(func(r apisec.Rotation) error { _, err := r.Continue(t.Context()); return err })
		require.True(t, dead)
		w.point = nil
		_, err = w.rotation().Adopt(t.Context(), old)
		require.ErrorIs(t, err, apisec.ErrTurning)
		delete(w.live, name(w.active))
		w.now = w.now.Add(25 * time.Hour)
		o, err := w.rotation().Continue(t.Context())
		require.ErrorIs(t, err, apisec.ErrCurrentRefused)
		assert.Equal(t, apisec.Revoking, o.State.Step)
		assert.True(t, w.works(old))

		w.put(back)
		w.active = back
		o, err = w.rotation().Adopt(t.Context(), back)
		require.NoError(t, err)
		assert.Equal(t, apisec.Draining, o.State.Step)
		o = w.turn(t)
		w.settled(t, o)
		assert.Equal(t, back.ClientID, o.State.Current.ClientID)
	}
}

// A revocation that hits all secrets of the client is noticed.
func TestRevokingHitsBoth(t *testing.T) {
	w := newWorld()
	_, err := w.rotation().Start(t.Context(), w.active)
	require.NoError(t, err)
	_, err = w.rotation().Continue(t.Context())
	require.NoError(t, err)
	w.point = func(name string) error {
		if name == "after revoke" {
			clear(w.live)
		}
		return nil
	}
	w.now = w.now.Add(25 * time.Hour)
	o, err := w.rotation().Continue(t.Context())
	require.ErrorIs(t, err, apisec.ErrCurrentRefused)
	assert.Equal(t, apisec.Confirming, o.State.Step)
	assert.Equal(t, apisec.Refused, o.State.Current.Standing)
}

// TestAbort gives up in every step, with and without a crash on the way back.
func TestAbort(t *testing.T) {
	t.Parallel()
	for _, step := range []apisec.Step{apisec.Creating, apisec.Staging, apisec.Verifying, apisec.Activating, apisec.Draining, apisec.Revoking, apisec.Confirming} {
		for kill := range 30 {
			w := newWorld()
			old := w.active
			w.point = func(string) error {
				if o, err := w.rotation().Observe(t.Context()); err == nil && o.State.Step == step {
					panic(killed{})
				}
				return nil
			}
			_, _ = w.process(func(r apisec.Rotation) error { _, err := r.Start(t.Context(), old); return err })
			_, _ = w.process(func(r apisec.Rotation) error { _, err := r.Continue(t.Context()); return err })
			if o, err := w.rotation().Observe(t.Context()); err == nil && o.State.Step == apisec.Draining && step > apisec.Draining {
				w.now = w.now.Add(25 * time.Hour)
				_, _ = w.process(func(r apisec.Rotation) error { _, err := r.Continue(t.Context()); return err })
			}
			w.point = nil
			o, err := w.rotation().Abort(t.Context())
			if step == apisec.Activating || step > apisec.Draining {
				require.ErrorIs(t, err, apisec.ErrTooLate)
				require.Equal(t, step, o.State.Step)
				w.settled(t, w.turn(t))
				assert.False(t, w.works(old))
				break
			}
			require.NoError(t, err)
			if kill > 0 {
				w.failAt(t, "killed", kill)
			}
			o = w.turn(t)
			w.settled(t, o)
			require.Equal(t, name(old), name(w.active), "step %s", step)
			require.True(t, o.State.Failure.Aborted)
			require.Equal(t, 0, o.State.Turns)
		}
	}
	w := newWorld()
	_, err := w.rotation().Abort(t.Context())
	require.ErrorIs(t, err, apisec.ErrNoRotation)
	_, err = w.rotation().Adopt(t.Context(), w.active)
	require.NoError(t, err)
	_, err = w.rotation().Abort(t.Context())
	require.ErrorIs(t, err, apisec.ErrNotTurning)
	o, err := w.rotation().Continue(t.Context())
	require.NoError(t, err)
	assert.Equal(t, apisec.Steady, o.State.Step)
}

// Asked twice to go back, the turn does not go forth again. If the old one does not work any
// more, the new one stays, and what clients had still drains.
func TestBackToWhatIsRefused(t *testing.T) {
	w := newWorld()
	old := w.active
	_, err := w.rotation().Start(t.Context(), old)
	require.NoError(t, err)
	_, err = w.rotation().Continue(t.Context())
	require.NoError(t, err)
	_, err = w.rotation().Abort(t.Context())
	require.NoError(t, err)
	o, err := w.rotation().Abort(t.Context())
	require.ErrorIs(t, err, apisec.ErrTooLate)
	assert.Equal(t, apisec.Staging, o.State.Step)
	delete(w.live, name(old))
	for range 16 {
		o, err = w.rotation().Continue(t.Context())
		require.NoError(t, err)
		w.now = w.now.Add(time.Minute)
	}
	assert.Equal(t, apisec.Draining, o.State.Step)
	assert.Equal(t, "key-1", o.State.Current.KeyID)
	w.settled(t, w.turn(t))
	assert.False(t, w.works(old))
	assert.GreaterOrEqual(t, w.now.Sub(today), 24*time.Hour)
}

// A clock that goes back, and a state from the future, stop everything until a person says.
func TestClock(t *testing.T) {
	w := newWorld()
	w.now = today.AddDate(10, 0, 0) // wrong
	_, err := w.rotation().Start(t.Context(), w.active)
	require.NoError(t, err)
	_, err = w.rotation().Continue(t.Context())
	require.NoError(t, err)
	w.now = today.Add(time.Hour) // right
	o, err := w.rotation().Continue(t.Context())
	require.ErrorIs(t, err, apisec.ErrClock)
	assert.Equal(t, apisec.Draining, o.State.Step)
	what, _ := o.Next()
	assert.Contains(t, what, "clock")
	_, err = w.rotation().Abort(t.Context())
	require.ErrorIs(t, err, apisec.ErrClock)

	o, err = w.rotation().AcceptClock(t.Context())
	require.NoError(t, err)
	assert.Equal(t, w.now, o.State.Since)
	_, from := o.Next()
	assert.Equal(t, w.now.Add(24*time.Hour), from, "the drain begins anew")
	w.now = w.now.Add(23 * time.Hour)
	o, err = w.rotation().Continue(t.Context())
	require.NoError(t, err)
	assert.Equal(t, apisec.Draining, o.State.Step)
	w.settled(t, w.turn(t))

	// A little back is what a time server does.
	w = newWorld()
	_, err = w.rotation().Start(t.Context(), w.active)
	require.NoError(t, err)
	w.now = w.now.Add(-30 * time.Second)
	o, err = w.rotation().Continue(t.Context())
	require.NoError(t, err)
	assert.Equal(t, apisec.Draining, o.State.Step)
	assert.Equal(t, today, o.State.Since, "dates never go back")
}

// That a clock is accepted makes no old look a fresh one: nothing is put in use, and nothing
// revoked, that was not asked about since.
func TestAcceptedClockIsNoLook(t *testing.T) {
	for _, point := range []string{"before activate", "before revoke"} {
		t.Run(point, func(t *testing.T) {
			w := newWorld()
			old := w.active
			w.now = today.AddDate(10, 0, 0) // wrong
			_, err := w.rotation().Start(t.Context(), old)
			require.NoError(t, err)
			w.point = func(name string) error {
				if name == point {
					panic(killed{})
				}
				return nil
			}
			for range 2 {
				_, _ = w.process(func(r apisec.Rotation) error { _, err := r.Continue(t.Context()); return err })
				w.now = w.now.Add(24 * time.Hour)
			}
			o, err := w.rotation().Observe(t.Context())
			require.NoError(t, err)
			made := o.State.Current
			if o.State.Next != nil {
				made = *o.State.Next
			}
			require.NotEqual(t, name(old), name(made.Credential))
			delete(w.live, name(made.Credential)) // while nobody looked
			w.now, w.point = today.AddDate(0, 0, 5), func(point string) error {
				require.True(t, w.works(old), point)
				require.True(t, point != "before activate" && point != "before revoke", "on the word of an old look")
				return nil
			}
			_, err = w.rotation().AcceptClock(t.Context())
			require.NoError(t, err)
			_, _ = w.rotation().Continue(t.Context())
			assert.True(t, w.works(old))
		})
	}
}

// timed is a world whose server has a clock of its own.
type timed struct {
	*world
	server time.Time
}

func (v *timed) VerifyAt(ctx context.Context, c apisec.Credential) (time.Time, error) {
	return v.server, v.Verify(ctx, c)
}

// A clock that is set forward does not cut the drain short, where the server tells the time.
func TestClockSetForward(t *testing.T) {
	for name, offset := range map[string]time.Duration{"the same time": 0, "a server an hour ahead": time.Hour, "a server years behind": -20000 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			old := w.active
			v := &timed{w, w.now.Add(offset)}
			r := w.rotation()
			r.Verifier = v
			pass := func(d time.Duration) { w.now, v.server = w.now.Add(d), v.server.Add(d) }
			next := func(want apisec.Step) apisec.RotationObservation {
				t.Helper()
				o, err := r.Continue(t.Context())
				require.NoError(t, err)
				require.Equal(t, want, o.State.Step)
				require.Equal(t, want == apisec.Draining, w.works(old))
				return o
			}
			_, err := r.Start(t.Context(), w.active)
			require.NoError(t, err)
			began := v.server
			next(apisec.Draining)
			pass(5 * time.Hour)
			w.now = w.now.Add(1000 * time.Hour) // set forward
			o := next(apisec.Draining)
			_, from := o.Next()
			assert.Equal(t, w.now.Add(19*time.Hour), from, "what is left by the server's clock")
			pass(18 * time.Hour)
			next(apisec.Draining)
			pass(time.Hour)
			next(apisec.Steady)
			assert.Equal(t, 24*time.Hour, v.server.Sub(began))
		})
	}

	// Of a leaked secret nothing is waited for, whatever the clocks say; and the wait is not over
	// earlier than the clock here says, either.
	w := newWorld()
	v := &timed{w, w.now}
	r := w.rotation()
	r.Verifier = v
	_, err := r.Start(t.Context(), w.active)
	require.NoError(t, err)
	_, err = r.Continue(t.Context())
	require.NoError(t, err)
	v.server = v.server.AddDate(1, 0, 0)
	w.now = w.now.Add(23 * time.Hour)
	o, err := r.Continue(t.Context())
	require.NoError(t, err)
	assert.Equal(t, apisec.Draining, o.State.Step)
	v.server = v.server.AddDate(-2, 0, 0)
	leaked := r
	leaked.Store, leaked.Policy.Overlap = &apisec.MemoryStore{}, -1
	data, err := w.store.Load(t.Context())
	require.NoError(t, err)
	require.NoError(t, leaked.Store.Swap(t.Context(), nil, data))
	live := maps.Clone(w.live)
	o, err = leaked.Continue(t.Context())
	require.NoError(t, err)
	assert.Equal(t, apisec.Steady, o.State.Step)

	// Where it is the server's clock that was set back, the drain begins anew, and ends.
	w.live = live
	for _, want := range []apisec.Step{apisec.Draining, apisec.Draining, apisec.Steady} {
		w.now, v.server = w.now.Add(23*time.Hour), v.server.Add(23*time.Hour)
		o, err = r.Continue(t.Context())
		require.NoError(t, err)
		assert.Equal(t, want, o.State.Step)
	}

	// Accepted, a clock is measured anew by the server's, too.
	w = newWorld()
	v = &timed{w, w.now}
	r = w.rotation()
	r.Verifier = v
	w.now = w.now.AddDate(1, 0, 0) // wrong
	_, err = r.Start(t.Context(), w.active)
	require.NoError(t, err)
	_, err = r.Continue(t.Context())
	require.NoError(t, err)
	w.now = today.Add(time.Hour) // right
	v.server = w.now
	_, err = r.AcceptClock(t.Context())
	require.NoError(t, err)
	w.now = w.now.Add(48 * time.Hour) // wrong again
	v.server = v.server.Add(10 * time.Hour)
	o, err = r.Continue(t.Context())
	require.NoError(t, err)
	assert.Equal(t, apisec.Draining, o.State.Step)
	_, from := o.Next()
	assert.Equal(t, w.now.Add(13*time.Hour), from, "since the look before it was accepted, at the latest")
	w.now, v.server = w.now.Add(9*time.Hour), v.server.Add(9*time.Hour)
	_, err = r.AcceptClock(t.Context()) // again
	require.NoError(t, err)
	w.now, v.server = w.now.Add(48*time.Hour), v.server.Add(10*time.Hour)
	o, err = r.Continue(t.Context())
	require.NoError(t, err)
	_, from = o.Next()
	assert.Equal(t, w.now.Add(14*time.Hour), from)
	w.now, v.server = w.now.Add(14*time.Hour), v.server.Add(14*time.Hour)
	o, err = r.Continue(t.Context())
	require.NoError(t, err)
	assert.Equal(t, apisec.Steady, o.State.Step)
}

// The server's time is that of its Date, if it says one.
func TestServersClock(t *testing.T) {
	for said, want := range map[string]time.Time{"Sun, 15 Mar 2026 12:00:00 GMT": today, "": {}, "noon": {}} {
		c := endpoint(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Date"] = nil // not the one of net/http
			if said != "" {
				w.Header().Set("Date", said)
			}
			answer(w, 200, `{"access_token":"t0ken","token_type":"Bearer"}`)
		})
		at, err := apisec.TokenVerifier{Client: c}.VerifyAt(deadline(t), apisec.Credential{ClientID: id, Secret: connsec.NewSecret(strong)})
		require.NoError(t, err)
		assert.True(t, want.Equal(at), "%q: %s", said, at)
	}
}

// One operator at a time, and one who works with an old state does nothing.
func TestOneOperator(t *testing.T) {
	w := newWorld()
	w.point = func(name string) error {
		if name == "before create" {
			_, err := w.rotation().Continue(t.Context())
			assert.ErrorIs(t, err, apisec.ErrLocked)
			_, err = w.rotation().Observe(t.Context())
			assert.NoError(t, err, "looking is free")
		}
		return nil
	}
	w.settled(t, w.turn(t))
	assert.Equal(t, 1, w.made)

	m := &apisec.MemoryStore{}
	require.NoError(t, m.Swap(t.Context(), nil, []byte("a")))
	require.ErrorIs(t, m.Swap(t.Context(), nil, []byte("b")), apisec.ErrConflict)
	require.ErrorIs(t, m.Swap(t.Context(), []byte("b"), []byte("c")), apisec.ErrConflict)
	require.NoError(t, m.Swap(t.Context(), []byte("a"), []byte("b")))
}

// strangeIssuer lets tests answer for a server.
type strangeIssuer struct {
	*world
	create func() (apisec.Credential, error)
	lookup func(label string) ([]apisec.Credential, error)
	gone   []string
}

func (i *strangeIssuer) Create(ctx context.Context, label string) (apisec.Credential, error) {
	if i.create != nil {
		return i.create()
	}
	return i.world.Create(ctx, label)
}

func (i *strangeIssuer) Lookup(ctx context.Context, label string) ([]apisec.Credential, error) {
	if i.lookup != nil {
		return i.lookup(label)
	}
	return i.world.Lookup(ctx, label)
}

func (i *strangeIssuer) Revoke(ctx context.Context, c apisec.Credential) error {
	i.gone = append(i.gone, name(c))
	if !c.Secret.IsEmpty() {
		return errors.New("an issuer is not told secrets")
	}
	return i.world.Revoke(ctx, c)
}

// What an issuer returns is not believed blindly.
func TestImpossibleNext(t *testing.T) {
	other := connsec.NewSecret("0f9e8d7c6b5a49382716f5e4d3c2b1a0f9e8d7c6")
	for _, c := range []struct {
		name string
		next apisec.Credential
		want string
	}{
		{"the same", apisec.Credential{ClientID: id, Secret: other}, "the one in use"},
		{"the same secret", apisec.Credential{ClientID: id, KeyID: "2", Secret: connsec.NewSecret(strong)}, "the secret of " + id + " (2) is the one in use"},
		{"no secret", apisec.Credential{ClientID: id, KeyID: "2"}, "it has no secret"},
		{"no identifier", apisec.Credential{Secret: other}, "it has no client identifier"},
		{"weak", apisec.Credential{ClientID: id, KeyID: "2", Secret: connsec.NewSecret("hunter2hunter2")}, "api-secret-weak"},
		{"expired", apisec.Credential{ClientID: id, KeyID: "2", Secret: other, Expires: today.Add(time.Hour)}, "before the old one would be gone"},
		{"from the future", apisec.Credential{ClientID: id, KeyID: "2", Secret: other, Created: today.AddDate(1, 0, 0)}, "made in the future"},
		{"with a line break", apisec.Credential{ClientID: "a\nb", Secret: other}, "control characters"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld()
			r := w.rotation()
			i := &strangeIssuer{world: w, create: func() (apisec.Credential, error) { return c.next, nil }}
			r.Issuer = i
			_, err := r.Start(t.Context(), w.active)
			require.NoError(t, err)
			o, err := r.Continue(t.Context())
			require.ErrorContains(t, err, c.want)
			assert.NotContains(t, err.Error(), "hunter2")
			assert.NotContains(t, err.Error(), strong)
			assert.Equal(t, apisec.Creating, o.State.Step)
			assert.Empty(t, i.gone)
			assert.True(t, w.works(w.active))
		})
	}
}

// An issuer that does not look at the label must not cost anybody a credential.
func TestForeignCredentialsAreNotRevoked(t *testing.T) {
	w := newWorld()
	r := w.rotation()
	i := &strangeIssuer{world: w}
	i.lookup = func(string) ([]apisec.Credential, error) {
		return []apisec.Credential{w.active, {ClientID: "another", Label: "theirs"}}, nil
	}
	r.Issuer = i
	_, err := r.Start(t.Context(), w.active)
	require.NoError(t, err)
	_, err = r.Continue(t.Context())
	require.ErrorContains(t, err, "nothing is revoked")
	assert.Empty(t, i.gone)

	// Not even if it repeats the label: the one in use is never revoked.
	i.lookup = func(label string) ([]apisec.Credential, error) {
		c := w.active
		c.Label = label
		return []apisec.Credential{c}, nil
	}
	_, err = r.Continue(t.Context())
	require.NoError(t, err)
	assert.Empty(t, i.gone)
}

// An answer that arrives after the turn gave up on it leaves nothing behind, either.
func TestLateCreation(t *testing.T) {
	w := newWorld()
	r := w.rotation()
	var label string
	i := &strangeIssuer{world: w, create: func() (apisec.Credential, error) { return apisec.Credential{}, context.DeadlineExceeded }}
	i.lookup = func(l string) ([]apisec.Credential, error) {
		if label == "" {
			label = l
		}
		return w.Lookup(t.Context(), l)
	}
	r.Issuer = i
	_, err := r.Start(t.Context(), w.active)
	require.NoError(t, err)
	_, err = r.Continue(t.Context())
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = r.Abort(t.Context())
	require.NoError(t, err)
	o, err := r.Continue(t.Context())
	require.NoError(t, err)
	require.Equal(t, apisec.Steady, o.State.Step)
	require.Len(t, o.State.Labels, 1, "it may still come")
	late, err := w.Create(t.Context(), label)
	require.NoError(t, err)

	i.create = nil
	w.now = w.now.Add(2 * time.Hour)
	_, err = r.Start(t.Context(), w.active)
	require.NoError(t, err)
	o = w.turn(t)
	w.settled(t, o)
	assert.False(t, w.works(late))
	assert.Empty(t, o.State.Labels)
}

// One more that turns up under a label that was given up goes when the turn ends.
func TestLateSecond(t *testing.T) {
	w := newWorld()
	w.secretOnce = true
	var label string
	lost := true
	w.point = func(name string) error {
		if name == "after create" && lost {
			lost = false
			return errServer
		}
		return nil
	}
	_, err := w.rotation().Start(t.Context(), w.active)
	require.NoError(t, err)
	o, err := w.rotation().Continue(t.Context())
	require.ErrorIs(t, err, errServer)
	label = o.State.Labels[0].Name
	o, err = w.rotation().Continue(t.Context())
	require.NoError(t, err)
	require.Equal(t, apisec.Draining, o.State.Step)
	require.Len(t, o.State.Labels, 2)
	late, err := w.Create(t.Context(), label)
	require.NoError(t, err)
	w.settled(t, w.turn(t))
	assert.False(t, w.works(late))
}

// A server without an interface: a person does what the state says.
func TestByHand(t *testing.T) {
	w := newWorld()
	old := w.active
	r := w.rotation()
	r.Issuer, r.Distributor = apisec.HandIssuer{}, apisec.HandDistributor{}
	_, err := r.Start(t.Context(), old)
	require.NoError(t, err)
	o, err := r.Continue(t.Context())
	require.NoError(t, err)
	assert.Equal(t, apisec.Creating, o.State.Step)
	require.Len(t, o.State.Labels, 1)
	assert.Contains(t, o.State.Todo, "make a second secret at the server")
	assert.Contains(t, o.State.Todo, o.State.Labels[0].Name)

	second := apisec.Credential{ClientID: "0B1C", Secret: connsec.NewSecret("0f9e8d7c6b5a49382716f5e4d3c2b1a0f9e8d7c6")}
	r.Issuer = apisec.HandIssuer{Next: &second}
	o, err = r.Continue(t.Context()) // typed, but not made at the server
	require.NoError(t, err)
	assert.Equal(t, apisec.Verifying, o.State.Step)
	assert.Equal(t, 1, o.State.Tries.Count)
	next := o.State.Next.Credential
	next.Secret = second.Secret
	w.put(next)
	w.now = w.now.Add(time.Minute)
	o, err = r.Continue(t.Context())
	require.NoError(t, err)
	assert.Equal(t, apisec.Activating, o.State.Step)
	assert.Contains(t, o.State.Todo, "let every client use 0B1C")

	w.active = next
	r.Distributor = apisec.HandDistributor{Done: true}
	o, err = r.Continue(t.Context())
	require.NoError(t, err)
	assert.Equal(t, apisec.Draining, o.State.Step)
	assert.Empty(t, o.State.Todo)
	w.now = w.now.Add(24 * time.Hour)
	o, err = r.Continue(t.Context())
	require.NoError(t, err)
	assert.Equal(t, apisec.Revoking, o.State.Step)
	assert.Contains(t, o.State.Todo, "remove the secret of client "+id)
	assert.True(t, w.works(old))

	delete(w.live, name(old)) // the person does it
	o, err = r.Continue(t.Context())
	require.NoError(t, err)
	w.settled(t, o)
	assert.Equal(t, "0B1C", o.State.Current.ClientID)
}

// Asked to revoke by hand, an operator may still go back.
func TestBackFromRevokingByHand(t *testing.T) {
	w := newWorld()
	old := w.active
	r := w.rotation()
	_, err := r.Start(t.Context(), old)
	require.NoError(t, err)
	_, err = r.Continue(t.Context())
	require.NoError(t, err)
	r.Issuer = apisec.HandIssuer{}
	w.now = w.now.Add(24 * time.Hour)
	o, err := r.Continue(t.Context())
	require.NoError(t, err)
	require.Equal(t, apisec.Revoking, o.State.Step)
	_, err = r.Abort(t.Context())
	require.NoError(t, err)
	o = w.turn(t)
	w.settled(t, o)
	assert.Equal(t, name(old), name(w.active))
}

// A secret that a person has to take back again, and never was in use, does not come into use
// because somebody gives up twice.
func TestGiveUpTwiceByHand(t *testing.T) {
	w := newWorld()
	r := w.rotation()
	second := apisec.Credential{ClientID: "0B1C", Secret: connsec.NewSecret("0f9e8d7c6b5a49382716f5e4d3c2b1a0f9e8d7c6")}
	r.Issuer = apisec.HandIssuer{Next: &second}
	_, err := r.Start(t.Context(), w.active)
	require.NoError(t, err)
	o, err := r.Continue(t.Context())
	require.NoError(t, err)
	require.Equal(t, apisec.Verifying, o.State.Step)
	made := o.State.Next.Credential
	made.Secret = second.Secret
	w.put(made)
	_, err = r.Abort(t.Context())
	require.NoError(t, err)
	o, err = r.Continue(t.Context())
	require.NoError(t, err)
	require.Equal(t, apisec.Revoking, o.State.Step)
	o, err = r.Abort(t.Context())
	require.ErrorIs(t, err, apisec.ErrTooLate)
	assert.Equal(t, apisec.Revoking, o.State.Step)
	delete(w.live, name(made))
	o, err = r.Continue(t.Context())
	require.NoError(t, err)
	w.settled(t, o)
	assert.Equal(t, id, o.State.Current.ClientID)
}

func TestAdoptAndStart(t *testing.T) {
	w := newWorld()
	r := w.rotation()
	_, err := r.Continue(t.Context())
	require.ErrorIs(t, err, apisec.ErrNoRotation)
	_, err = r.Adopt(t.Context(), apisec.Credential{ClientID: id, Secret: connsec.NewSecret("wrong")})
	require.ErrorIs(t, err, apisec.ErrCurrentRefused)
	o, err := r.Adopt(t.Context(), w.active)
	require.NoError(t, err)
	w.settled(t, o)
	due, known := o.Due()
	assert.True(t, known)
	assert.Equal(t, w.active.Created.AddDate(0, 0, 90), due)

	other := w.active
	other.ClientID = "another"
	w.put(other)
	_, err = r.Start(t.Context(), other)
	require.ErrorContains(t, err, "is recorded as "+id+" (first), not another")
	_, err = r.Adopt(t.Context(), other)
	require.NoError(t, err)
	r.Name = "something else"
	_, err = r.Observe(t.Context())
	require.ErrorContains(t, err, `that of "reports"`)
	r.Name = ""
	_, err = r.Start(t.Context(), other)
	require.NoError(t, err)
	_, err = r.Start(t.Context(), other)
	require.ErrorIs(t, err, apisec.ErrTurning)
	_, err = r.Adopt(t.Context(), other)
	require.ErrorIs(t, err, apisec.ErrTurning)
	_, err = apisec.Rotation{}.Observe(t.Context())
	require.ErrorContains(t, err, "needs a store")
	_, err = apisec.Rotation{Store: r.Store}.Continue(t.Context())
	require.ErrorContains(t, err, "needs a store, an issuer")
}

// politeStore does nothing for a context that has ended, as a database would.
type politeStore struct{ apisec.Store }

func (s politeStore) Swap(ctx context.Context, old, new []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.Store.Swap(ctx, old, new)
}

// A context that ends stops the turn between two steps, and what was done is recorded.
func TestContextEnds(t *testing.T) {
	w := newWorld()
	ctx, cancel := context.WithCancel(t.Context())
	w.point = func(name string) error {
		if name == "after create" {
			cancel()
		}
		return nil
	}
	r := w.rotation()
	r.Store = politeStore{r.Store}
	_, err := r.Start(ctx, w.active)
	require.NoError(t, err)
	o, err := r.Continue(ctx)
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, apisec.Staging, o.State.Step)
	w.settled(t, w.turn(t))
	assert.Equal(t, 1, w.made)
}

// A leaked secret does not drain.
func TestLeaked(t *testing.T) {
	w := newWorld()
	r := w.rotation()
	_, err := r.Start(t.Context(), w.active)
	require.NoError(t, err)
	r.Policy.Overlap = -1
	o, err := r.Continue(t.Context())
	require.NoError(t, err)
	w.settled(t, o)
	assert.Equal(t, 1, o.State.Turns)
	assert.Equal(t, today, w.now)

	// The turn after that drains as ever.
	w.now = w.now.AddDate(0, 0, 80)
	o, err = w.rotation().Start(t.Context(), w.active)
	require.NoError(t, err)
	assert.Equal(t, 24*time.Hour, o.State.Policy.Overlap)
}

// A secret that should never have been is asked about all the same, so that it can go; but not
// where somebody could listen.
func TestWeakSecretCanBeReplaced(t *testing.T) {
	asked := 0
	c := endpoint(t, func(w http.ResponseWriter, r *http.Request) {
		asked++
		body, _ := io.ReadAll(r.Body)
		assert.Contains(t, string(body), "hunter2")
		answer(w, 200, `{"access_token":"t0ken","token_type":"Bearer","expires_in":1800}`)
	})
	weak := apisec.Credential{ClientID: id, Secret: connsec.NewSecret("hunter2")}
	c.ID, c.Secret = "", connsec.Secret{}
	require.NoError(t, apisec.TokenVerifier{Client: c}.Verify(t.Context(), weak))
	for _, spoil := range []func(*apisec.Client){
		func(c *apisec.Client) { c.TokenURL = "http://" + host + ":8093/api/auth/token" },
		func(c *apisec.Client) { c.TokenURL = "https://192.0.2.1/api/auth/token" },
		func(c *apisec.Client) { c.Style = apisec.Query },
		func(c *apisec.Client) { c.Roots = x509.NewCertPool() },
	} {
		bad := with(c, spoil)
		err := apisec.TokenVerifier{Client: bad}.Verify(t.Context(), weak)
		require.Error(t, err)
		assert.NotContains(t, err.Error(), "hunter2")
		var answered *apisec.TokenError
		assert.NotErrorAs(t, err, &answered)
	}
	assert.Equal(t, 1, asked)
}

func TestImpossiblePolicies(t *testing.T) {
	for want, p := range map[string]apisec.RotationPolicy{
		"maximal age":              {MaxAge: -1},
		"would never be silent":    {MaxAge: time.Hour},
		"does not fit":             {Retry: time.Hour},
		"overlap of 1000000h0m0s":  {Overlap: 1000000 * time.Hour},
		"stalling time of -1ns":    {Stall: -1},
		"settling time of 1000000": {Settle: 1000000 * time.Hour},
	} {
		w := newWorld()
		r := w.rotation()
		r.Policy = p
		_, err := r.Start(t.Context(), w.active)
		require.ErrorContains(t, err, want)
		assert.Empty(t, w.trace)
	}
}
