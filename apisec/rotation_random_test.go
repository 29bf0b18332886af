package apisec_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/connsec/connsec/apisec"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestRandomTurns lets operators start, continue and abort at random, while processes die,
// acts fail, the server is away, slow or lenient, and the clock jumps, forward only where the
// server tells the time. At every point clients have a secret that works, nobody else can act, and
// nothing is revoked before it has drained; and when the trouble ends, so does the turn.
func TestRandomTurns(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		ctx := t.Context()
		w := newWorld()
		truth := w.now
		timed := timed{world: w}
		tells := rapid.Bool().Draw(t, "tells the time")
		clock := func() time.Time { // by which it has to drain
			if tells {
				return truth
			}
			return w.now
		}
		skews := []int{0, 0, 0, -1, -40, -300, -90000}
		if tells {
			skews = append(skews, 50, 300, 90000, 40000000)
		}
		replaced := map[string]time.Time{} // when a credential that clients had was replaced
		quiet := false                     // no trouble any more
		w.point = func(point string) error {
			require.True(t, w.works(w.active), "no distributed credential works at %s", point)
			_, err := w.rotation().Continue(ctx)
			require.ErrorIs(t, err, apisec.ErrLocked)
			if quiet {
				return nil
			}
			switch rapid.IntRange(0, 30).Draw(t, point) {
			case 0:
				panic(killed{})
			case 1:
				return errInjected
			case 2:
				w.down = !w.down
			}
			return nil
		}
		watched := watched{w, func(c apisec.Credential) {
			for old := range replaced {
				require.NotEqual(t, old, name(w.active))
			}
			if at, was := replaced[name(c)]; was {
				least := 24 * time.Hour
				if tells { // a clock may be a little wrong unnoticed, when the drain begins and when it ends
					least -= 2 * time.Minute
				}
				require.GreaterOrEqual(t, clock().Sub(at), least, "revoked before it drained")
			}
		}, replaced, clock}
		first := w.active
		step := func(do func(apisec.Rotation) error) {
			_, _ = w.process(func(r apisec.Rotation) error {
				r.Issuer, r.Distributor = watched, watched
				if timed.server = truth; tells {
					r.Verifier = &timed
				}
				return do(r)
			})
		}
		for range rapid.IntRange(1, 40).Draw(t, "acts") {
			truth = truth.Add(time.Duration(rapid.SampledFrom([]int{1, 30, 70, 900, 3600, 86400}).Draw(t, "seconds")) * time.Second)
			skew := time.Duration(rapid.SampledFrom(skews).Draw(t, "skew")) * time.Second
			w.now = truth.Add(skew)
			switch rapid.IntRange(0, 10).Draw(t, "act") {
			case 0:
				step(func(r apisec.Rotation) error { _, err := r.Abort(ctx); return err })
			case 1, 2:
				step(func(r apisec.Rotation) error { _, err := r.Start(ctx, w.active); return err })
			case 3:
				w.slow = rapid.IntRange(0, 30).Draw(t, "slow")
			case 4:
				w.lingers = rapid.IntRange(0, 30).Draw(t, "lingers")
			case 5:
				w.secretOnce = !w.secretOnce
			case 10:
				if skew == 0 || tells { // a wrong one that is held for right is set forward afterwards
					step(func(r apisec.Rotation) error { _, err := r.AcceptClock(ctx); return err })
				}
			default:
				step(func(r apisec.Rotation) error { _, err := r.Continue(ctx); return err })
			}
		}
		quiet, w.down, w.now = true, false, truth
		for range 500 {
			truth = w.now
			step(func(r apisec.Rotation) error {
				_, err := r.Continue(ctx)
				if errors.Is(err, apisec.ErrClock) {
					_, err = r.AcceptClock(ctx)
				}
				return err
			})
			o, err := w.rotation().Observe(ctx)
			if err != nil || o.State.Step == apisec.Steady {
				break
			}
			w.now = w.now.Add(time.Minute)
			if _, from := o.Next(); from.After(w.now) {
				w.now = from
			}
		}
		o, err := w.rotation().Observe(ctx)
		if err != nil { // never started
			require.ErrorIs(t, err, apisec.ErrNoRotation)
			require.True(t, w.works(first))
			return
		}
		w.lingers = 0
		if len(o.State.Labels) > 0 { // of a turn that was just given up: the next one sees to them
			w.now = w.now.Add(2 * time.Hour)
			_, err := w.rotation().Start(ctx, w.active) // without the server's time
			require.NoError(t, err)
			for range 100 {
				if o, err = w.rotation().Continue(ctx); err == nil && o.State.Step == apisec.Steady {
					break
				}
				w.now = w.now.Add(time.Hour)
			}
		}
		require.Equal(t, apisec.Steady, o.State.Step)
		require.Len(t, w.live, 1)
		require.True(t, w.works(w.active))
		require.Equal(t, name(w.active), o.State.Current.ClientID+"/"+o.State.Current.KeyID)
		require.Nil(t, w.staged)
	})
}

// watched is the world with an eye on when which credential is replaced and revoked.
type watched struct {
	*world
	revoking func(apisec.Credential)
	replaced map[string]time.Time
	clock    func() time.Time
}

func (v watched) Revoke(ctx context.Context, c apisec.Credential) error {
	v.revoking(c)
	return v.world.Revoke(ctx, c)
}

func (v watched) Activate(ctx context.Context, c apisec.Credential) error {
	before := v.active
	defer func() {
		delete(v.replaced, name(v.active))
		if name(before) != name(v.active) {
			v.replaced[name(before)] = v.clock()
		}
	}()
	return v.world.Activate(ctx, c)
}
