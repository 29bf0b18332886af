package securl

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
)

// people are recipients by key, with passwords as their hashes.
type people map[string]Recipient

func (p people) Recipient(_ context.Context, rid string) (Recipient, error) {
	if r, ok := p[rid]; ok {
		return r, nil
	}
	return Recipient{}, ErrNoRecipient
}

func hashed(t testing.TB, password string) string {
	t.Helper()
	h, err := Hasher{}.Hash(password)
	require.NoError(t, err)
	return h
}

const pass = "correct horse"

func crowd(t testing.TB) people {
	return people{
		"ann":   {ID: "ann", UserName: "Ann@example.com", Password: hashed(t, pass)},
		"bob":   {ID: "bob", UserName: "bob", Password: hashed(t, "battery staple")},
		"empty": {ID: "empty", UserName: "empty"},
		"plain": {ID: "plain", UserName: "plain", Password: pass}, // never hashed
		"blank": {ID: "blank", UserName: "blank", Password: hashed(t, "")},
	}
}

// manualClock is a clock that a test moves.
type manualClock struct{ ns atomic.Int64 }

func newClock() *manualClock {
	c := &manualClock{}
	c.ns.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *manualClock) now() time.Time      { return time.Unix(0, c.ns.Load()).UTC() }
func (c *manualClock) add(d time.Duration) { c.ns.Add(int64(d)) }

// log collects events.
type eventLog struct {
	mu     sync.Mutex
	events []Event
}

func (l *eventLog) observe(_ context.Context, e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
}

func (l *eventLog) take() []Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.events
	l.events = nil
	return e
}

func newDoor(t testing.TB, g Gate) *door {
	t.Helper()
	if g.Recipients == nil {
		g.Recipients = crowd(t)
	}
	if g.Sessions != nil && g.Base == "" && g.Name == "" {
		g.Name = "test"
	}
	d, err := g.door()
	require.NoError(t, err)
	return d
}

var home = netip.MustParseAddr("192.0.2.7")

func try(rid, password string) attempt {
	return attempt{rid: rid, password: connsec.NewSecret(password), addr: home}
}

func TestSignInAndOut(t *testing.T) {
	ctx, c, log := t.Context(), newClock(), &eventLog{}
	d := newDoor(t, Gate{Now: c.now, Observe: log.observe})

	token, s, err := d.signIn(ctx, try("ann", pass))
	require.NoError(t, err)
	assert.Equal(t, "ann", s.rid)
	assert.Len(t, token, tokenLength)
	assert.Equal(t, c.now().Add(time.Hour), s.expires)

	got, err := d.session(ctx, token)
	require.NoError(t, err)
	assert.Equal(t, "ann", got.rid)
	assert.Equal(t, "Ann@example.com", got.userName)

	other, _, err := d.signIn(ctx, try("ann", pass))
	require.NoError(t, err)
	assert.NotEqual(t, token, other)
	bobs, _, err := d.signIn(ctx, try("bob", "battery staple"))
	require.NoError(t, err)

	require.NoError(t, d.signOut(ctx, got))
	for _, dead := range []string{token, other} {
		_, err = d.session(ctx, dead)
		require.ErrorIs(t, err, errNoSession)
	}
	_, err = d.session(ctx, bobs)
	require.NoError(t, err, "another recipient's")

	// At the very same instant, and with a clock that stands, the next session is a new one.
	again, s2, err := d.signIn(ctx, try("ann", pass))
	require.NoError(t, err)
	_, err = d.session(ctx, again)
	require.NoError(t, err)
	require.NoError(t, d.signOut(ctx, s2))
	_, err = d.session(ctx, again)
	require.ErrorIs(t, err, errNoSession)

	var kinds []EventKind
	for _, e := range log.take() {
		kinds = append(kinds, e.Kind)
	}
	assert.Equal(t, []EventKind{EventSignedIn, EventSignedIn, EventSignedIn, EventSignedOut, EventSignedIn, EventSignedOut}, kinds)
}

func TestSignInRefuses(t *testing.T) {
	tests := []struct {
		name   string
		a      attempt
		reason Reason
	}{
		{"unknown", try("nobody", pass), ReasonUnknownRecipient},
		{"wrong password", try("ann", "wrong"), ReasonWrongPassword},
		{"another's password", try("ann", "battery staple"), ReasonWrongPassword},
		{"empty password", try("ann", ""), ReasonWrongPassword},
		{"the hash itself", try("ann", hashed(t, pass)), ReasonWrongPassword},
		{"no stored password", try("empty", ""), ReasonNoPassword},
		{"stored in the clear", try("plain", pass), ReasonNotComparable},
		{"hash of nothing", try("blank", ""), ReasonWrongPassword},
		{"cannot be hashed", try("ann", "Łódź"), ReasonNotComparable},
		{"no UTF-8", try("ann", "\xff"), ReasonNotComparable},
		{"no key", try("", pass), ReasonBadRID},
		{"control character", try("ann\r\nSet-Cookie: a=b", pass), ReasonBadRID},
		{"NUL", try("ann\x00", pass), ReasonBadRID},
		{"key that is no UTF-8", try("ann\xff", pass), ReasonBadRID},
		{"case", try("ANN", pass), ReasonUnknownRecipient},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			log := &eventLog{}
			d := newDoor(t, Gate{Now: newClock().now, Observe: log.observe})
			token, _, err := d.signIn(t.Context(), tt.a)
			assert.Equal(t, errRefused, err)
			assert.Empty(t, token)
			events := log.take()
			require.Len(t, events, 1)
			assert.Equal(t, EventFailed, events[0].Kind)
			assert.Equal(t, tt.reason, events[0].Reason)
		})
	}
}
