package securl

import (
	"bytes"
	"context"
	"errors"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/connsec/connsec"
)

// TestSessionHour holds sessions to exactly one hour, whatever the clock does.
func TestSessionHour(t *testing.T) {
	tests := []struct {
		name  string
		moves []time.Duration // of the clock, after the sign-in
		open  bool
	}{
		{"at once", nil, true},
		{"just before", []time.Duration{time.Hour - 1}, true},
		{"exactly", []time.Duration{time.Hour}, false},
		{"a little back", []time.Duration{-skew}, true},
		{"a day back, when the session is young", []time.Duration{-24 * time.Hour}, true}, // time stands until it moves again
		{"back, and an hour on", []time.Duration{-24 * time.Hour, time.Hour}, false},
		{"back and forth, an hour in all", []time.Duration{30 * time.Minute, -30 * time.Minute, 30 * time.Minute, -time.Minute, time.Minute}, false},
		{"expired, and back", []time.Duration{time.Hour, -time.Hour}, false},
		{"far ahead, and back", []time.Duration{1e6 * time.Hour, -1e6 * time.Hour}, false},
		{"before 1970", []time.Duration{time.Hour, -100 * 365 * 24 * time.Hour}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newClock()
			d := newDoor(t, Gate{Now: c.now, Sessions: &MemorySessions{Now: func() time.Time { return time.Unix(0, 0) }}})
			token, _, err := d.signIn(t.Context(), try("ann", pass))
			require.NoError(t, err)
			for _, by := range tt.moves {
				c.add(by)
				_, _ = d.session(t.Context(), token) // which sees the time
			}
			_, err = d.session(t.Context(), token)
			if tt.open {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, errNoSession)
			// Never again.
			for _, back := range []time.Duration{-time.Minute, -time.Hour, -24 * time.Hour} {
				c.add(back)
				_, err = d.session(t.Context(), token)
				require.ErrorIs(t, err, errNoSession)
			}
		})
	}
}

// TestClock moves a clock at random: what it tells never goes back, and passes at least as fast
// as the time that was seen to pass.
func TestClock(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newClock()
		c := clock{read: m.now}
		at, highest := c.now(), m.now()
		for range rapid.IntRange(1, 50).Draw(t, "n") {
			by := time.Duration(rapid.Int64Range(-int64(3*time.Hour), int64(3*time.Hour)).Draw(t, "by"))
			m.add(by)
			next := c.now()
			if m.now().After(highest) {
				highest = m.now()
			}
			if next.Sub(at) < max(0, by) || next.Before(highest) {
				t.Fatalf("the clock moved by %s and told %s more", by, next.Sub(at))
			}
			at = next
		}
	})
}

// TestClockOfMachine has both readings of time.Now, and moves them apart.
func TestClockOfMachine(t *testing.T) {
	const day = 24 * time.Hour
	start := time.Now()
	wall, mono := time.Duration(0), time.Duration(0)
	c := clock{read: func() time.Time {
		now := start.Add(wall) // which moves both
		// The second word of a time with a monotonic reading is that reading.
		(*[2]int64)(unsafe.Pointer(&now))[1] += int64(mono - wall)
		return now
	}}
	first := c.now()
	for _, step := range []struct{ wall, mono, want time.Duration }{
		{time.Minute, time.Minute, time.Minute},
		{-day, time.Minute, time.Minute},        // set back
		{time.Minute, time.Minute, time.Minute}, // and going on
		{day, 0, 0},                             // set right: it was told already
		{day, time.Minute, day - time.Minute},   // the machine slept
	} {
		wall, mono = wall+step.wall, mono+step.mono
		before := first
		first = c.now()
		assert.Equal(t, step.want, first.Sub(before), "%+v", step)
	}
}

// TestSessionRecords gives sessions that the store should not hold.
func TestSessionRecords(t *testing.T) {
	c := newClock()
	store := &MemorySessions{Now: c.now}
	d := newDoor(t, Gate{Now: c.now, Sessions: store})
	now := c.now()
	good := session{rid: "ann", created: now, expires: now.Add(time.Hour), epoch: now.UnixNano()}
	change := func(f func(*session)) []byte {
		s := good
		f(&s)
		return s.encode()
	}
	tests := []struct {
		name  string
		value []byte
		open  bool
	}{
		{"sound", good.encode(), true},
		{"another node's clock is ahead", change(func(s *session) { s.created, s.expires = now.Add(skew), now.Add(skew+time.Hour) }), true},
		{"from the future", change(func(s *session) { s.created, s.expires = now.Add(skew+1), now.Add(skew+1+time.Hour) }), false},
		{"longer than an hour", change(func(s *session) { s.expires = now.Add(time.Hour + 1) }), false},
		{"shorter", change(func(s *session) { s.expires = now.Add(1) }), true},
		{"over", change(func(s *session) { s.created, s.expires = now.Add(-time.Hour), now }), false},
		{"ends before it begins", change(func(s *session) { s.expires = now.Add(-1) }), false},
		{"before every sign-out", change(func(s *session) { s.epoch = 0 }), false},
		{"no recipient", change(func(s *session) { s.rid = "" }), false},
		{"key with a line break", change(func(s *session) { s.rid = "a\nb" }), false},
		{"empty", nil, false},
		{"cut", good.encode()[:20], false},
		{"cut in the key", good.encode()[:28], false},
		{"other version", append([]byte{2}, good.encode()[1:]...), false},
		{"text", []byte("{\"rid\":\"ann\"}"), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			token := strings.Repeat("A", tokenLength)
			require.NoError(t, store.Commit(d.recordKey("session", token), tt.value, now.Add(2*time.Hour)))
			_, err := d.session(t.Context(), token)
			if tt.open {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, errNoSession)
			}
		})
	}
	// A sign-out that cannot be read must not be taken for none.
	require.NoError(t, store.Commit(d.recordKey("sign-out", "ann"), []byte("?"), now.Add(time.Hour)))
	require.NoError(t, store.Commit(d.recordKey("session", strings.Repeat("A", tokenLength)), good.encode(), now.Add(time.Hour)))
	_, err := d.session(t.Context(), strings.Repeat("A", tokenLength))
	require.ErrorContains(t, err, "damaged")
	require.NotErrorIs(t, err, errNoSession)
}

func FuzzSession(f *testing.F) {
	s := session{rid: "ann", userName: "x", created: time.Unix(1, 2), expires: time.Unix(3, 4), epoch: 5}
	f.Add(s.encode())
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeSession(b)
		if err != nil {
			return
		}
		if !validRID(s.rid) {
			t.Fatalf("a session of %q", s.rid)
		}
		if !bytes.Equal(s.encode(), b) {
			t.Fatal("what was read is not what would be written")
		}
	})
}

// TestSitesShareAStore: sessions and sign-outs of one site are nothing to another.
func TestSitesShareAStore(t *testing.T) {
	c, store := newClock(), &MemorySessions{}
	store.Now = c.now
	one := newDoor(t, Gate{Now: c.now, Sessions: store, Base: "/one/"})
	two := newDoor(t, Gate{Now: c.now, Sessions: store, Base: "/two/"})
	// At the root of their hosts they could not be told apart, and recipients may have the same keys.
	_, err := Gate{Recipients: crowd(t), Sessions: store}.Handler(nopHandler{})
	require.ErrorContains(t, err, "Name")
	require.ErrorContains(t, Gate{Sessions: store, Base: "/"}.SignOut(t.Context(), "ann"), "Name")
	token, s, err := one.signIn(t.Context(), try("ann", pass))
	require.NoError(t, err)
	_, err = two.session(t.Context(), token)
	require.ErrorIs(t, err, errNoSession)
	require.NoError(t, two.signOutRecipient(t.Context(), "ann"))
	_, err = one.session(t.Context(), token)
	require.NoError(t, err)
	require.NoError(t, one.signOut(t.Context(), s))
}

// TestNodesWithOtherClocks signs in on one node and out on another, whose clocks differ.
func TestNodesWithOtherClocks(t *testing.T) {
	for _, by := range []time.Duration{0, time.Second, -time.Second, skew, -skew} {
		a, b := newClock(), newClock()
		b.add(by)
		store := &MemorySessions{Now: a.now}
		one := newDoor(t, Gate{Now: a.now, Sessions: store})
		two := newDoor(t, Gate{Now: b.now, Sessions: store})
		token, s, err := one.signIn(t.Context(), try("ann", pass))
		require.NoError(t, err)
		_, err = two.session(t.Context(), token)
		require.NoError(t, err, by)
		require.NoError(t, two.signOut(t.Context(), s))
		for _, d := range []*door{one, two} {
			_, err = d.session(t.Context(), token)
			require.ErrorIs(t, err, errNoSession, by)
		}
		// And in again, on either.
		for _, d := range []*door{one, two} {
			token, _, err = d.signIn(t.Context(), try("ann", pass))
			require.NoError(t, err)
			for _, d := range []*door{one, two} {
				_, err = d.session(t.Context(), token)
				require.NoError(t, err, by)
			}
		}
	}
}

// TestNodesProperty signs in and out on nodes whose clocks differ by up to the skew, at random:
// after a sign-out nothing opens that began before, and everything does that began later, for
// its hour.
func TestNodesProperty(t *testing.T) {
	crowd := crowd(t)
	rapid.Check(t, func(t *rapid.T) {
		base := newClock()
		store := &MemorySessions{Now: base.now}
		var nodes []*door
		for range 3 {
			// Two clocks then differ by the skew at most.
			ahead := time.Duration(rapid.Int64Range(0, int64(skew)).Draw(t, "ahead"))
			d, err := (Gate{Recipients: crowd, Sessions: store, Name: "test", Now: func() time.Time { return base.now().Add(ahead) }}).door()
			require.NoError(t, err)
			nodes = append(nodes, d)
		}
		node := func() *door { return nodes[rapid.IntRange(0, 2).Draw(t, "node")] }
		type made struct {
			token string
			s     session
			at    time.Time
			dead  bool
		}
		var all []*made
		for range rapid.IntRange(1, 25).Draw(t, "n") {
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0, 1:
				token, s, err := node().signIn(context.Background(), try("ann", pass))
				require.NoError(t, err)
				all = append(all, &made{token, s, base.now(), false})
			case 2:
				if len(all) > 0 && rapid.Bool().Draw(t, "own") {
					require.NoError(t, node().signOut(context.Background(), all[len(all)-1].s))
				} else {
					require.NoError(t, node().signOutRecipient(context.Background(), "ann"))
				}
				for _, m := range all {
					m.dead = true
				}
			case 3:
				base.add(time.Duration(rapid.Int64Range(0, int64(20*time.Minute)).Draw(t, "by")))
			}
			for _, m := range all {
				_, err := node().session(context.Background(), m.token)
				age := base.now().Sub(m.at)
				switch {
				case m.dead && err == nil:
					t.Fatal("a session outlived a sign-out")
				case !m.dead && age < Lifetime-skew && err != nil:
					t.Fatalf("a session of %s ended: %v", age, err)
				case age >= Lifetime+skew && err == nil:
					t.Fatalf("a session lived for %s", age)
				}
			}
		}
	})
}

// hookPeople do something else while a recipient is looked up.
type hookPeople struct {
	people
	hook func()
}

func (h *hookPeople) Recipient(ctx context.Context, rid string) (Recipient, error) {
	r, err := h.people.Recipient(ctx, rid)
	if h.hook != nil {
		h.hook()
	}
	return r, err
}

// TestPasswordChangeDuringSignIn: the old password opens nothing that outlives the change.
func TestPasswordChangeDuringSignIn(t *testing.T) {
	c, h := newClock(), &hookPeople{people: crowd(t)}
	store := &MemorySessions{Now: c.now}
	g := Gate{Recipients: h, Now: c.now, Sessions: store, Name: "test"}
	d := newDoor(t, g)
	h.hook = func() {
		require.NoError(t, g.SignOut(t.Context(), "ann"))
		c.add(time.Minute) // the rest takes long
	}
	token, _, err := d.signIn(t.Context(), try("ann", pass))
	require.NoError(t, err)
	_, err = d.session(t.Context(), token)
	require.ErrorIs(t, err, errNoSession)

	// Nor in another spelling of the key, for which no sign-out is stored.
	h.hook = func() {
		h.hook = nil
		h.people["ann"] = Recipient{ID: "ann", Password: hashed(t, "quite another horse")}
		require.NoError(t, g.SignOut(t.Context(), "ann"))
		c.add(time.Minute)
	}
	d.recipients = caseless{h}
	_, _, err = d.signIn(t.Context(), try("ANN", pass))
	require.ErrorIs(t, err, errRefused)
	_, s, err := d.signIn(t.Context(), try("ANN", "quite another horse"))
	require.NoError(t, err)
	assert.Equal(t, "ann", s.rid)
}

// TestSignOutOutlivesSessions: the record of a sign-out is there as long as a session that it
// ended could be.
func TestSignOutOutlivesSessions(t *testing.T) {
	c := newClock()
	d := newDoor(t, Gate{Now: c.now, Sessions: &MemorySessions{Now: c.now}})
	other, _, err := d.signIn(t.Context(), try("ann", pass))
	require.NoError(t, err)
	_, s, err := d.signIn(t.Context(), try("ann", pass))
	require.NoError(t, err)
	require.NoError(t, d.signOut(t.Context(), s))
	for range 100 {
		c.add(time.Minute)
		_, err = d.session(t.Context(), other)
		require.ErrorIs(t, err, errNoSession)
	}
	// A session made afterwards has its whole hour, although the record ends meanwhile.
	require.NoError(t, d.signOutRecipient(t.Context(), "ann"))
	c.add(40 * time.Minute)
	token, _, err := d.signIn(t.Context(), try("ann", pass))
	require.NoError(t, err)
	c.add(time.Hour - 1)
	_, err = d.session(t.Context(), token)
	require.NoError(t, err)
}

func TestDevice(t *testing.T) {
	c := newClock()
	key := connsec.NewSecret(strings.Repeat("k", 32))
	d := newDoor(t, Gate{Now: c.now, Key: key})
	cookie, err := d.newDevice("Ann")
	require.NoError(t, err)
	id := d.deviceID(c.now(), cookie, "ann")
	assert.Len(t, id, 22)
	assert.Equal(t, id, newDoor(t, Gate{Now: c.now, Key: key}).deviceID(c.now(), cookie, "ann"), "another node with the key")
	assert.Empty(t, newDoor(t, Gate{Now: c.now}).deviceID(c.now(), cookie, "ann"), "one without")
	assert.Empty(t, newDoor(t, Gate{Now: c.now, Key: key, Name: "other"}).deviceID(c.now(), cookie, "ann"), "another site")
	assert.Empty(t, d.deviceID(c.now(), cookie, "bob"))
	assert.Empty(t, d.deviceID(c.now().Add(deviceLifetime), cookie, "ann"))
	parts := strings.Split(cookie, ".")
	for _, forged := range []string{
		"", ".", "..", "...", cookie + ".", cookie + "A", "A" + cookie, parts[0] + "." + parts[1] + ".",
		parts[0] + ".9" + parts[1] + "." + parts[2], "A." + parts[1] + "." + parts[2], parts[0] + "\x00." + parts[1] + "." + parts[2],
	} {
		assert.Empty(t, d.deviceID(c.now(), forged, "ann"), forged)
	}
	// Its own failures count.
	a := try("ann", "x")
	a.device = cookie
	var g guesses
	for range 100 {
		g.add(t, d, a)
	}
	assert.Equal(t, guesses{4, 96}, g)
}

func TestMemorySessions(t *testing.T) {
	c := newClock()
	m := &MemorySessions{Now: c.now, Most: 100}
	soon := c.now().Add(time.Minute)
	require.NoError(t, m.Commit("a", []byte("1"), soon))
	require.NoError(t, m.Commit("a", []byte("2"), soon))
	v, found, err := m.Find("a")
	require.NoError(t, err)
	assert.True(t, found)
	assert.Equal(t, "2", string(v))
	v[0] = 'x'
	v, _, _ = m.Find("a")
	assert.Equal(t, "2", string(v), "what it returns is the caller's")
	_, found, _ = m.Find("b")
	assert.False(t, found)
	require.NoError(t, m.Delete("b"))
	require.NoError(t, m.Delete("a"))
	_, found, _ = m.Find("a")
	assert.False(t, found)
	assert.Zero(t, m.count.Load())

	for i := range 100 {
		require.NoError(t, m.Commit(strconv.Itoa(i), nil, soon))
	}
	assert.ErrorIs(t, m.Commit("more", nil, soon), ErrSessionsFull)
	require.NoError(t, m.Commit("7", []byte("x"), soon), "one that is there may change")
	for i := range 100 {
		_, found, _ = m.Find(strconv.Itoa(i))
		require.True(t, found, "a live one was dropped")
	}
	c.add(time.Minute)
	_, found, _ = m.Find("7")
	assert.False(t, found, "at the very end")
	c.add(-time.Hour)
	_, found, _ = m.Find("7")
	assert.False(t, found, "and not again")
}

// TestMemorySessionsSweeps: without a goroutine, what has expired goes as new ones come.
func TestMemorySessionsSweeps(t *testing.T) {
	c := newClock()
	m := &MemorySessions{Now: c.now}
	var most int64
	for i := range 200_000 {
		c.add(36 * time.Millisecond) // 100,000 in an hour
		require.NoError(t, m.Commit(strconv.Itoa(i), nil, c.now().Add(time.Hour)))
		most = max(most, m.count.Load())
	}
	t.Logf("%d records for 100,000 live ones", most)
	assert.Less(t, most, int64(140_000))
}

func TestMemorySessionsRace(t *testing.T) {
	m := &MemorySessions{Most: 50}
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 500 {
				key := strconv.Itoa((i * (w + 1)) % 100)
				_ = m.Commit(key, []byte(key), time.Now().Add(time.Hour))
				if v, found, _ := m.Find(key); found && string(v) != key {
					t.Errorf("%q under %q", v, key)
				}
				_ = m.Delete(key)
			}
		})
	}
	wg.Wait()
	n := 0
	for i := range m.shards {
		n += len(m.shards[i].records)
	}
	assert.EqualValues(t, n, m.count.Load())
}

// ctxStore has both kinds of methods, and notes which are called.
type ctxStore struct {
	*MemorySessions
	ctx []any
}

type ctxMark struct{}

func (s *ctxStore) FindCtx(ctx context.Context, key string) ([]byte, bool, error) {
	s.ctx = append(s.ctx, ctx.Value(ctxMark{}))
	return s.Find(key)
}

func (s *ctxStore) CommitCtx(ctx context.Context, key string, value []byte, expiry time.Time) error {
	s.ctx = append(s.ctx, ctx.Value(ctxMark{}))
	return s.Commit(key, value, expiry)
}

func (s *ctxStore) DeleteCtx(ctx context.Context, key string) error {
	s.ctx = append(s.ctx, ctx.Value(ctxMark{}))
	return s.Delete(key)
}

func TestStoreWithContext(t *testing.T) {
	store := &ctxStore{MemorySessions: new(MemorySessions)}
	d := newDoor(t, Gate{Sessions: store})
	ctx := context.WithValue(t.Context(), ctxMark{}, "mine")
	_, s, err := d.signIn(ctx, try("ann", pass))
	require.NoError(t, err)
	require.NoError(t, d.signOut(ctx, s))
	require.Len(t, store.ctx, 5) // find, commit; find, commit, delete
	for _, v := range store.ctx {
		assert.Equal(t, "mine", v)
	}
}

// halfStore fails to commit, or to delete.
type halfStore struct {
	Sessions
	commit, del error
}

func (h *halfStore) Commit(key string, value []byte, expiry time.Time) error {
	if h.commit != nil {
		return h.commit
	}
	return h.Sessions.Commit(key, value, expiry)
}

func (h *halfStore) Delete(key string) error {
	if h.del != nil {
		return h.del
	}
	return h.Sessions.Delete(key)
}

// TestHalfASignOut: if one of its two writes fails, the other is made, and it is said.
func TestHalfASignOut(t *testing.T) {
	down := errors.New("down")
	for _, fail := range []string{"commit", "delete"} {
		h := &halfStore{Sessions: new(MemorySessions)}
		d := newDoor(t, Gate{Sessions: h})
		token, s, err := d.signIn(t.Context(), try("ann", pass))
		require.NoError(t, err)
		if fail == "commit" {
			h.commit = down
		} else {
			h.del = down
		}
		if err := d.signOut(t.Context(), s); fail == "commit" {
			require.ErrorIs(t, err, down)
		} else {
			require.NoError(t, err, "every session has ended, and the record goes with its time")
		}
		_, err = d.session(t.Context(), token)
		require.ErrorIs(t, err, errNoSession)
	}
}

// TestSignOutCutShort: a process that ends in the middle of a sign-out has not ended one session
// and left the others, which nobody could end any more.
func TestSignOutCutShort(t *testing.T) {
	store := &cutStore{Sessions: new(MemorySessions), writes: 100}
	d := newDoor(t, Gate{Sessions: store})
	_, here, err := d.signIn(t.Context(), try("ann", pass))
	require.NoError(t, err)
	elsewhere, _, err := d.signIn(t.Context(), try("ann", pass))
	require.NoError(t, err)
	store.writes = 1
	_ = d.signOut(t.Context(), here)
	_, err = d.session(t.Context(), elsewhere)
	require.ErrorIs(t, err, errNoSession)
}

// cutStore does what it is told a number of times, and then nothing.
type cutStore struct {
	Sessions
	writes int
}

func (s *cutStore) Commit(key string, value []byte, expiry time.Time) error {
	if s.writes--; s.writes == -1 {
		return errors.New("the process has ended")
	}
	return s.Sessions.Commit(key, value, expiry)
}

func (s *cutStore) Delete(key string) error {
	if s.writes--; s.writes == -1 {
		return errors.New("the process has ended")
	}
	return s.Sessions.Delete(key)
}

// TestRandomness: a source that fails or repeats itself does not make a session that opens.
func TestRandomness(t *testing.T) {
	d := newDoor(t, Gate{})
	d.rand = strings.NewReader("")
	_, _, err := d.signIn(t.Context(), try("ann", pass))
	require.ErrorContains(t, err, "random")
	seen := map[string]bool{}
	d = newDoor(t, Gate{})
	for range 1000 {
		s := session{rid: "ann", created: time.Now(), expires: time.Now(), epoch: math.MaxInt64}
		token, err := d.commit(t.Context(), &s)
		require.NoError(t, err)
		require.False(t, seen[token] || seen[s.key] || token == s.key)
		seen[token], seen[s.key] = true, true
	}
}

func FuzzRID(f *testing.F) {
	for _, s := range []string{"/campaign/ann", "/campaign/index.html?rid=ann&RID=bob", "/campaign/%2e%2e/x", "//x", "/campaign/a%2fb?rid=%0a", "/campaign/login?rid=a;b"} {
		f.Add(s)
	}
	h, err := (Gate{Recipients: people{}, Base: "/campaign/"}).Handler(nopHandler{})
	require.NoError(f, err)
	g := h.(*guard)
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := parseRequestURI(raw)
		if err != nil {
			return
		}
		rid, err := g.site.recipientKey(u)
		if err != nil && rid != "" {
			t.Fatal("a key and an error")
		}
		if rid == "" {
			return
		}
		if !validRID(rid) || strings.ContainsAny(rid, "\r\n\x00") {
			t.Fatalf("key %q", rid)
		}
		// The PURL of a key leads back to it, and so does the sign-in page.
		for _, target := range []string{g.site.purl(rid, ""), g.loginURL(u, rid, false)} {
			back, err := parseRequestURI(target)
			if err != nil || !strings.HasPrefix(target, "/campaign/") || strings.ContainsAny(target, "\r\n\\ ") {
				t.Fatalf("%q: %v", target, err)
			}
			got, err := parameter(back, "rid")
			if err != nil || got != rid {
				t.Fatalf("%q leads to %q (%v), not to %q", target, got, err, rid)
			}
		}
		if !g.validTarget(g.site.purl(rid, ""), rid) {
			t.Fatal("the own PURL is no page to go back to")
		}
	})
}

type nopHandler struct{}

func (nopHandler) ServeHTTP(http.ResponseWriter, *http.Request) {}

// parseRequestURI parses as the server does.
func parseRequestURI(raw string) (*url.URL, error) { return url.ParseRequestURI(raw) }
