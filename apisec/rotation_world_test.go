package apisec_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/apisec"
	"github.com/stretchr/testify/require"
)

// world is a server with its clients, as a rotation sees it. It outlives the processes that
// the tests kill.
type world struct {
	now    time.Time
	store  apisec.MemoryStore
	live   map[string]apisec.Credential // by client and key
	made   int
	active apisec.Credential // what clients use
	staged *apisec.Credential
	every  []apisec.Credential // that ever were

	secretOnce bool // Lookup does not return secrets
	down       bool // the server says nothing
	slow       int  // so many more looks at a new credential are refused
	lingers    int  // so many more looks at a revoked one succeed
	lenient    bool // revoking does nothing
	unreadable bool // nobody can tell what clients use
	everybody  bool // every secret is accepted

	// point is called before and after each act, and may panic or return an error.
	point func(name string) error
	trace []string
}

var errServer = errors.New("the server answers 503")

func newWorld() *world {
	w := &world{now: today, live: map[string]apisec.Credential{}}
	w.active = apisec.Credential{ClientID: id, KeyID: "first", Secret: connsec.NewSecret(strong), Created: today.AddDate(0, 0, -80)}
	w.put(w.active)
	return w
}

func name(c apisec.Credential) string { return c.ClientID + "/" + c.KeyID }

func (w *world) put(c apisec.Credential) {
	w.live[name(c)] = c
	w.every = append(w.every, c)
}

func (w *world) works(c apisec.Credential) bool {
	at, there := w.live[name(c)]
	return there && at.Secret.Equal(c.Secret)
}

// existed reports whether a credential ever was one.
func (w *world) existed(c apisec.Credential) bool {
	return slices.ContainsFunc(w.every, func(e apisec.Credential) bool { return name(e) == name(c) })
}

// act does something between two points. What a point says instead comes back.
func (w *world) act(name string, do func() error) error {
	if err := w.at("before " + name); err != nil {
		return err
	}
	err := do()
	if err := w.at("after " + name); err != nil {
		return err
	}
	return err
}

func (w *world) at(name string) error {
	w.trace = append(w.trace, name)
	if w.point == nil {
		return nil
	}
	return w.point(name)
}

func (w *world) Create(_ context.Context, label string) (c apisec.Credential, err error) {
	err = w.act("create", func() error {
		if w.down {
			return errServer
		}
		w.made++
		c = apisec.Credential{
			ClientID: id, KeyID: fmt.Sprintf("key-%d", w.made), Label: label, Created: w.now,
			Secret: connsec.NewSecret(fmt.Sprintf("%x", sha256.Sum256([]byte{byte(w.made)}))),
		}
		w.put(c)
		return nil
	})
	if err != nil {
		c = apisec.Credential{}
	}
	return c, err
}

func (w *world) Lookup(_ context.Context, label string) (found []apisec.Credential, err error) {
	err = w.act("lookup", func() error {
		if w.down {
			return errServer
		}
		for _, c := range w.live {
			if c.Label == label {
				if w.secretOnce {
					c.Secret = connsec.Secret{}
				}
				found = append(found, c)
			}
		}
		return nil
	})
	return found, err
}

func (w *world) Revoke(_ context.Context, c apisec.Credential) error {
	return w.act("revoke", func() error {
		switch {
		case w.down:
			return errServer
		case !w.lenient:
			delete(w.live, name(c))
		}
		return nil
	})
}

func (w *world) Stage(_ context.Context, c apisec.Credential) error {
	return w.act("stage", func() error { w.staged = &c; return nil })
}

func (w *world) Activate(_ context.Context, c apisec.Credential) error {
	return w.act("activate", func() error { w.active, w.staged = c, nil; return nil })
}

func (w *world) Discard(context.Context, apisec.Credential) error {
	return w.act("discard", func() error { w.staged = nil; return nil })
}

// Read tells what clients use, without the server's name for it. It is no point: it changes nothing.
func (w *world) Read(context.Context) (apisec.Credential, error) {
	if w.unreadable {
		return apisec.Credential{}, errServer
	}
	return apisec.Credential{ClientID: w.active.ClientID, Secret: w.active.Secret}, nil
}

func (w *world) Verify(_ context.Context, c apisec.Credential) error {
	return w.act("verify", func() error {
		works := w.works(c)
		switch {
		case w.down:
			return &apisec.TokenError{Endpoint: "central", Status: 503}
		case works && w.slow > 0 && c.Label != "":
			w.slow--
			works = false
		case w.everybody:
			works = true
		case !works && w.lingers > 0 && w.existed(c):
			w.lingers--
			works = true
		}
		if !works {
			return &apisec.TokenError{Endpoint: "central", Status: 401, Code: "invalid_client"}
		}
		return nil
	})
}

// faultyStore is the world's store with points around each change.
type faultyStore struct{ w *world }

func (s faultyStore) Lock(ctx context.Context) (func(), error) { return s.w.store.Lock(ctx) }
func (s faultyStore) Load(ctx context.Context) ([]byte, error) { return s.w.store.Load(ctx) }
func (s faultyStore) Swap(ctx context.Context, old, new []byte) error {
	return s.w.act("save", func() error { return s.w.store.Swap(ctx, old, new) })
}

func (w *world) rotation() apisec.Rotation {
	return apisec.Rotation{Name: "reports", Store: faultyStore{w}, Issuer: w, Distributor: w, Verifier: w, Now: func() time.Time { return w.now }}
}

// killed is the panic that stands for the end of a process.
type killed struct{}

// process runs what one process does. The lock of a dead one is free.
func (w *world) process(do func(apisec.Rotation) error) (err error, dead bool) {
	defer func() {
		if p := recover(); p != nil {
			if _, ok := p.(killed); !ok {
				panic(p)
			}
			dead = true
		}
	}()
	return do(w.rotation()), false
}

// turn is an operator who wants one turn, in a new process for each call, until it has ended.
// When there is nothing to do before a certain time, it is that time.
func (w *world) turn(tb testing.TB) apisec.RotationObservation {
	tb.Helper()
	ctx := context.Background()
	first := w.active
	var last error
	for range 200 {
		before, err := w.rotation().Observe(ctx)
		s := before.State
		started := err == nil && (s.Step != apisec.Steady || s.Turns > 0 || s.Failure != nil)
		if started && s.Step == apisec.Steady {
			return before
		}
		last, _ = w.process(func(r apisec.Rotation) error {
			if !started {
				_, err := r.Start(ctx, first)
				return err
			}
			_, err := r.Continue(ctx)
			return err
		})
		if o, err := w.rotation().Observe(ctx); err == nil && o.State.Revision == s.Revision {
			if _, from := o.Next(); from.After(w.now) {
				w.now = from
			}
		}
		w.now = w.now.Add(time.Second)
	}
	require.FailNow(tb, "the turn never ended", "%v\n%s", last, strings.Join(w.trace, "\n"))
	return apisec.RotationObservation{}
}

// settled holds what is true when a turn has ended well, however it went.
func (w *world) settled(tb testing.TB, o apisec.RotationObservation) {
	tb.Helper()
	s := o.State
	require.Equal(tb, apisec.Steady, s.Step)
	require.Len(tb, w.live, 1, "exactly one live credential")
	require.True(tb, w.works(w.active), "clients use the one that works")
	require.Equal(tb, name(w.active), s.Current.ClientID+"/"+s.Current.KeyID, "and it is the one on record")
	require.Nil(tb, w.staged)
	data, err := w.store.Load(context.Background())
	require.NoError(tb, err)
	for _, c := range w.every {
		require.NotContains(tb, string(data), c.Secret.Reveal(), "no secret is kept")
	}
}
