package apisec_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/apisec"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The state can be older than the truth: it was put back from a backup, a turn lay still for
// days, something else writes to where clients read, a second operator has a state of his own.

// A turn that died before it put the next one in use does not do it days later, when the next
// one has been removed meanwhile.
func TestActivatesNothingStale(t *testing.T) {
	w := newWorld()
	old := w.active
	_, err := w.rotation().Start(t.Context(), old)
	require.NoError(t, err)
	w.point = func(name string) error {
		if name == "before activate" {
			panic(killed{})
		}
		return nil
	}
	_, dead := w.process(func(r apisec.Rotation) error { _, err := r.Continue(t.Context()); return err })
	require.True(t, dead)
	o, err := w.rotation().Observe(t.Context())
	require.NoError(t, err)
	require.Equal(t, apisec.Activating, o.State.Step)
	delete(w.live, name(o.State.Next.Credential))
	w.now = w.now.Add(72 * time.Hour)
	w.point = func(point string) error {
		require.True(t, w.works(w.active), "no distributed credential works at %s", point)
		return nil
	}
	o = w.turn(t)
	w.settled(t, o)
	assert.Equal(t, name(old), name(w.active))
	require.NotNil(t, o.State.Failure)
	assert.Contains(t, o.State.Failure.Reason, "the server refuses")
}

// The same, killed between putting it in use and writing that down: what is dead by then is
// taken back.
func TestActivatedAndRemoved(t *testing.T) {
	w := newWorld()
	old := w.active
	_, err := w.rotation().Start(t.Context(), old)
	require.NoError(t, err)
	w.point = func(name string) error {
		if name == "after activate" {
			panic(killed{})
		}
		return nil
	}
	_, dead := w.process(func(r apisec.Rotation) error { _, err := r.Continue(t.Context()); return err })
	require.True(t, dead)
	delete(w.live, name(w.active))
	w.now, w.point = w.now.Add(72*time.Hour), nil
	o := w.turn(t)
	w.settled(t, o)
	assert.Equal(t, name(old), name(w.active))
}

// A tool that manages files puts the old secret back while it drains. It is not revoked.
func TestOldInUseAgain(t *testing.T) {
	for _, step := range []string{"draining", "asked to revoke by hand"} {
		t.Run(step, func(t *testing.T) {
			w := newWorld()
			old := w.active
			_, err := w.rotation().Start(t.Context(), old)
			require.NoError(t, err)
			_, err = w.rotation().Continue(t.Context())
			require.NoError(t, err)
			w.now = w.now.Add(25 * time.Hour)
			if step != "draining" {
				r := w.rotation()
				r.Issuer = apisec.HandIssuer{}
				o, err := r.Continue(t.Context())
				require.NoError(t, err)
				require.Equal(t, apisec.Revoking, o.State.Step)
			}
			w.active = old
			_, err = w.rotation().Continue(t.Context())
			require.ErrorIs(t, err, apisec.ErrNotInUse)
			require.True(t, w.works(old))

			// It drains anew, from when the next one came back into use.
			back := w.now
			o := w.turn(t)
			w.settled(t, o)
			assert.NotEqual(t, name(old), name(w.active))
			assert.GreaterOrEqual(t, w.now.Sub(back), 24*time.Hour)
		})
	}
}

// What clients read cannot be told, or is something else: nothing is revoked either.
func TestInUseUnknown(t *testing.T) {
	w := newWorld()
	old := w.active
	_, err := w.rotation().Start(t.Context(), old)
	require.NoError(t, err)
	_, err = w.rotation().Continue(t.Context())
	require.NoError(t, err)
	next := w.active
	w.now = w.now.Add(25 * time.Hour)
	w.unreadable = true
	_, err = w.rotation().Continue(t.Context())
	require.ErrorIs(t, err, errServer)
	require.True(t, w.works(old))

	w.unreadable = false
	w.active = apisec.Credential{ClientID: "another", Secret: connsec.NewSecret("0f9e8d7c6b5a49382716f5e4d3c2b1a0f9e8d7c6")}
	_, err = w.rotation().Continue(t.Context())
	require.ErrorIs(t, err, apisec.ErrNotInUse)
	assert.NotContains(t, err.Error(), "0f9e8d")
	require.True(t, w.works(old))

	w.active = next
	w.settled(t, w.turn(t))
}

// TestRestoredStates puts back every state that there ever was, at every later point of three
// turns (a whole one, one that is aborted, another one), and lets the turn go on with that: clients have a
// secret that works all the time.
func TestRestoredStates(t *testing.T) {
	t.Parallel()
	for _, secretOnce := range []bool{false, true} {
		var every [][]byte
		reach := func(until int) (w *world, reached bool) {
			w = newWorld()
			w.secretOnce = secretOnce
			saves := 0
			w.point = func(name string) error {
				if name != "after save" {
					return nil
				}
				if saves++; saves > len(every) {
					data, _ := w.store.Load(context.Background())
					every = append(every, data)
				}
				if saves == until {
					panic(killed{})
				}
				return nil
			}
			for n := range 3 {
				_, dead := w.process(func(r apisec.Rotation) error {
					if _, err := r.Start(t.Context(), w.active); err != nil {
						return err
					}
					for range 10 {
						o, err := r.Continue(t.Context())
						if err != nil || o.State.Step == apisec.Steady {
							return err
						}
						if _, from := o.Next(); from.After(w.now) {
							w.now = from
						}
						if n == 1 && o.State.Step == apisec.Draining && o.State.Failure == nil {
							w.now = w.now.Add(-time.Hour)
							if _, err := r.Abort(t.Context()); err != nil {
								return err
							}
						}
					}
					return nil
				})
				if dead {
					return w, true
				}
			}
			return w, false
		}
		_, _ = reach(0)
		all := len(every)
		require.Greater(t, all, 30)
		for until := 1; until <= all; until++ {
			for restored := range until {
				w, reached := reach(until)
				require.True(t, reached)
				at := fmt.Sprintf("state %d put back after %d, secrets shown once: %t", restored+1, until, secretOnce)
				w.point = nil
				data, err := w.store.Load(t.Context())
				require.NoError(t, err)
				require.NoError(t, w.store.Swap(t.Context(), data, every[restored]))
				require.True(t, w.works(w.active), at)
				w.point = func(name string) error {
					require.True(t, w.works(w.active), "no distributed credential works at %s: %s", name, at)
					return nil
				}
				revision, still := uint64(0), 0
				for n := 0; n < 8 && still < 3; n++ { // until it has ended, or a person is needed
					o, _ := w.rotation().Continue(t.Context())
					if still++; o.State.Revision != revision {
						revision, still = o.State.Revision, 0
					}
					w.now = w.now.Add(13 * time.Hour)
				}
			}
		}
	}
}

// A credential without a name of its own is the client itself. With another secret of that
// client in use, no program removes it.
func TestRemovesNoClientInUse(t *testing.T) {
	w := newWorld()
	delete(w.live, name(w.active))
	w.active.KeyID = ""
	w.put(w.active)
	old := w.active
	_, err := w.rotation().Start(t.Context(), old)
	require.NoError(t, err)
	_, err = w.rotation().Continue(t.Context())
	require.NoError(t, err)
	require.Equal(t, old.ClientID, w.active.ClientID)
	w.now = w.now.Add(25 * time.Hour)
	o, err := w.rotation().Continue(t.Context())
	require.NoError(t, err)
	assert.Equal(t, apisec.Revoking, o.State.Step)
	assert.NotContains(t, acts(w), "revoke")
	assert.Contains(t, o.State.Todo, "leave "+w.active.ClientID+" ("+w.active.KeyID+")")
	delete(w.live, name(old)) // the person does it
	w.settled(t, w.turn(t))
}

// An orphan like that is left to a person, too.
func TestRemovesNoClientOfAnOrphan(t *testing.T) {
	w := newWorld()
	r := w.rotation()
	var label string
	i := &strangeIssuer{world: w, create: func() (apisec.Credential, error) { return apisec.Credential{}, context.DeadlineExceeded }}
	i.lookup = func(l string) ([]apisec.Credential, error) {
		label = l
		return []apisec.Credential{{ClientID: id, Label: l}}, nil
	}
	r.Issuer = i
	_, err := r.Start(t.Context(), w.active)
	require.NoError(t, err)
	o, err := r.Continue(t.Context())
	require.NoError(t, err)
	assert.Empty(t, i.gone)
	assert.Contains(t, o.State.Todo, label)
}

// With a client that is refused before there is a next one, a person puts another in use, and the
// turn goes on with that.
func TestAdoptBeforeTheNextOneIsMade(t *testing.T) {
	w := newWorld()
	w.secretOnce = true
	w.point = func(name string) error {
		if name == "after create" {
			return errServer
		}
		return nil
	}
	_, err := w.rotation().Start(t.Context(), w.active)
	require.NoError(t, err)
	_, err = w.rotation().Continue(t.Context())
	require.ErrorIs(t, err, errServer)
	w.point = nil
	delete(w.live, name(w.active))
	w.now = w.now.Add(time.Hour)
	_, err = w.rotation().Continue(t.Context())
	require.ErrorIs(t, err, apisec.ErrCurrentRefused, "before the orphan is revoked, which could be what clients have")
	require.Len(t, w.live, 1)

	byHand := apisec.Credential{ClientID: id, KeyID: "by hand", Secret: connsec.NewSecret("0f9e8d7c6b5a49382716f5e4d3c2b1a0f9e8d7c6")}
	w.put(byHand)
	w.active = byHand
	o, err := w.rotation().Adopt(t.Context(), byHand)
	require.NoError(t, err)
	assert.Equal(t, apisec.Creating, o.State.Step)
	w.settled(t, w.turn(t))
}

// What a person has to do is recorded however long it is.
func TestLongTodo(t *testing.T) {
	w := newWorld()
	r := w.rotation()
	todo := strings.Repeat("é", 400)
	r.Issuer = &strangeIssuer{world: w, create: func() (apisec.Credential, error) { return apisec.Credential{}, &apisec.ActionError{Todo: todo} }}
	_, err := r.Start(t.Context(), w.active)
	require.NoError(t, err)
	o, err := r.Continue(t.Context())
	require.NoError(t, err)
	assert.True(t, strings.HasPrefix(o.State.Todo, "éé"))
	assert.True(t, strings.HasSuffix(o.State.Todo, "é…"))

	// So is why a turn was given up, with the longest identifiers that there can be.
	w = newWorld()
	r = w.rotation()
	next := apisec.Credential{ClientID: strings.Repeat("c", 500), KeyID: strings.Repeat("k", 500), Secret: apisec.NewSecret()}
	r.Issuer = &strangeIssuer{world: w, create: func() (apisec.Credential, error) { return next, nil }}
	_, err = r.Start(t.Context(), w.active)
	require.NoError(t, err)
	for range 40 {
		o, err = r.Continue(t.Context())
		require.NoError(t, err)
		w.now = w.now.Add(time.Minute)
	}
	assert.Equal(t, apisec.Steady, o.State.Step)
	assert.Contains(t, o.State.Failure.Reason, "the server refuses ccc")
}
