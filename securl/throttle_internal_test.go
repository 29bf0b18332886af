package securl

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/connsec/connsec"
)

// guesses tries to sign in n times, with the wait that it is told before each, or without.
type guesses struct{ looked, throttled int }

func (g *guesses) add(t testing.TB, d *door, a attempt) time.Duration {
	_, _, err := d.signIn(context.Background(), a)
	var throttled *throttledError
	switch {
	case errors.As(err, &throttled):
		g.throttled++
		return throttled.after
	case errors.Is(err, errRefused):
		g.looked++
	default:
		t.Fatalf("a guess: %v", err)
	}
	return 0
}

func addrOf(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{100, byte(n >> 16), byte(n >> 8), byte(n)})
}

// TestManyGuessesFromOneAddress guesses 10,000 times, as fast as possible and as fast as allowed.
func TestManyGuessesFromOneAddress(t *testing.T) {
	c := newClock()
	d := newDoor(t, Gate{Now: c.now})
	var fast guesses
	for i := range 10000 {
		fast.add(t, d, try("ann", strconv.Itoa(i)))
	}
	// Three are free, and the fourth is what begins the first wait.
	assert.Equal(t, guesses{4, 9996}, fast)

	// The recipient is elsewhere, and does not notice.
	a := try("ann", pass)
	a.addr = netip.MustParseAddr("198.51.100.1")
	_, _, err := d.signIn(t.Context(), a)
	require.NoError(t, err)

	var patient guesses
	start := c.now()
	for i := range 100 {
		if wait := patient.add(t, d, try("ann", strconv.Itoa(i))); wait > 0 {
			assert.LessOrEqual(t, wait, 15*time.Minute)
			c.add(wait)
		}
	}
	assert.Equal(t, patient.looked, patient.throttled)
	perDay := float64(patient.looked) * float64(24*time.Hour) / float64(c.now().Sub(start))
	assert.Less(t, perDay, 120.0, "guesses a day")

	// Other recipients are tried from the same address, a few times each.
	var spray guesses
	for i := range 10000 {
		spray.add(t, d, try("r"+strconv.Itoa(i), "password"))
	}
	assert.LessOrEqual(t, spray.looked, 31)
}

// TestManyGuessesFromManyAddresses is the same with an address for each guess.
func TestManyGuessesFromManyAddresses(t *testing.T) {
	c := newClock()
	d := newDoor(t, Gate{Now: c.now})
	// The victim has signed in on one device before.
	_, s, err := d.signIn(t.Context(), try("ann", pass))
	require.NoError(t, err)
	device, err := d.newDevice(s.rid)
	require.NoError(t, err)

	guess := func(i int) attempt {
		a := try("ann", strconv.Itoa(i))
		a.addr = addrOf(i)
		return a
	}
	var fast guesses
	for i := range 10000 {
		fast.add(t, d, guess(i))
	}
	assert.Equal(t, guesses{22, 9978}, fast)

	// An hour of it, at ten guesses a second.
	start := fast.looked
	for i := range 36000 {
		c.add(100 * time.Millisecond)
		fast.add(t, d, guess(10000+i))
	}
	assert.LessOrEqual(t, fast.looked-start, 20, "guesses in an hour")

	// On the known device the victim gets in at once, in the middle of it.
	victim := try("ann", pass)
	victim.device = device
	_, _, err = d.signIn(t.Context(), victim)
	require.NoError(t, err)
	// Not with somebody else's device.
	other := try("bob", "battery staple")
	other.device = device
	assert.Empty(t, d.deviceID(c.now(), device, "bob"))
	_, _, err = d.signIn(t.Context(), other)
	require.NoError(t, err)

	// On a new device, within the promised five minutes after it stops.
	victim.device = ""
	victim.addr = netip.MustParseAddr("2001:db8::1")
	var throttled *throttledError
	_, _, err = d.signIn(t.Context(), victim)
	require.ErrorAs(t, err, &throttled)
	assert.LessOrEqual(t, throttled.after, 5*time.Minute)
	c.add(throttled.after)
	_, _, err = d.signIn(t.Context(), victim)
	require.NoError(t, err)
	// Which does not give the attacker 21 more.
	var after guesses
	for i := range 1000 {
		after.add(t, d, guess(50000+i))
	}
	assert.LessOrEqual(t, after.looked, 1)
}

// lockOut lets attackers try as often as they may for two days, each from an address of its own or
// from a fresh one whenever an old one would have to wait, and returns for how much of the second day
// a newcomer would have to wait, and how many were kept out. Each address is what at gives for its
// number. The newcomer comes at every tenth moment, comes back when told, and gives up after five
// times.
func lockOut(t *testing.T, attackers, fresh int, at func(int) netip.Addr) (locked float64, kept int) {
	c := newClock()
	d := newDoor(t, Gate{Now: c.now})
	const step = 5 * time.Second
	day := func() int64 { return c.now().Unix() / (24 * 60 * 60) }
	begin, addresses, next := c.now(), make([]netip.Addr, attackers), make([]time.Time, attackers)
	used, today, last := 0, 0, day()
	for i := range addresses {
		addresses[i] = at(i)
	}
	attack := func() {
		if day() != last {
			last, today = day(), 0
		}
		for i := range addresses {
			for !c.now().Before(next[i]) {
				a := try("ann", "wrong")
				a.addr = addresses[i]
				var g guesses
				wait := g.add(t, d, a)
				if wait > 5*time.Minute && today < fresh { // not for everybody: this address is used up
					used, today = used+1, today+1
					addresses[i] = at(1000 + used)
					continue
				}
				if next[i] = c.now().Add(wait); wait > 0 {
					break
				}
			}
		}
	}
	looks, waits := 0, 0
	waiting := func() time.Duration { // of an address that has not failed
		d.throttle.mu.Lock()
		defer d.throttle.mu.Unlock()
		return d.throttle.rid.wait(d.throttle.hash(throttleKey{rid: "ann"}), c.now().UnixNano())
	}
	for c.now().Sub(begin) < 24*time.Hour {
		attack()
		c.add(step)
	}
	newcomer, tries, back := 0, 0, time.Time{}
	for c.now().Sub(begin) < 48*time.Hour {
		attack() // always first
		wait := waiting()
		if looks++; wait > 0 {
			waits++
		}
		switch {
		case tries == 0 && looks%10 == 0:
			newcomer, tries, back = newcomer+1, 1, c.now().Add(wait)
		case tries > 0 && !c.now().Before(back):
			if wait == 0 {
				tries = 0 // and in
			} else if tries++; tries > 5 {
				kept, tries = kept+1, 0
			} else {
				back = c.now().Add(wait)
			}
		}
		c.add(step)
	}
	require.Greater(t, newcomer, 50)
	return float64(waits) / float64(looks), kept
}

// inOneSite are addresses in many networks of one subscriber.
func inOneSite(n int) netip.Addr {
	return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, 1, byte(n >> 8), byte(n), 15: 1})
}

// TestFewAddressesLockOut measures what doc.go says: for how much of the time patient attackers make
// a recipient wait who comes from a new device, and whether they keep that one out.
func TestFewAddressesLockOut(t *testing.T) {
	for _, tt := range []struct {
		attackers, fresh int // fresh addresses a day
		at               func(int) netip.Addr
		locked           float64
		out              bool
	}{
		{1, 0, addrOf, 1. / 3, false},
		{2, 0, addrOf, 1. / 2, false},
		{3, 0, addrOf, 1. / 2, false},
		{1, 96, addrOf, 1, true},
		{1, 96, inOneSite, 1. / 3, false},
	} {
		locked, kept := lockOut(t, tt.attackers, tt.fresh, tt.at)
		t.Logf("%d attackers, %d fresh addresses a day: locked %.0f %% of the time, kept %d out", tt.attackers, tt.fresh, 100*locked, kept)
		assert.InDelta(t, tt.locked, locked, 0.03, "%d addresses, %d fresh ones a day", tt.attackers, tt.fresh)
		assert.Equal(t, tt.out, kept > 0, "%d addresses, %d fresh ones a day", tt.attackers, tt.fresh)
	}
}

// TestKnownDeviceAlwaysGetsIn: in the middle of all that, at any moment.
func TestKnownDeviceAlwaysGetsIn(t *testing.T) {
	c := newClock()
	d := newDoor(t, Gate{Now: c.now})
	device, err := d.newDevice("ann")
	require.NoError(t, err)
	victim := try("ann", pass)
	victim.device = device
	for i := range 500 {
		a := try("ann", "wrong")
		a.addr = addrOf(i)
		var g guesses
		g.add(t, d, a)
		if i%20 == 19 {
			_, _, err := d.signIn(t.Context(), victim)
			require.NoError(t, err)
		}
		c.add(time.Minute)
	}
}

// TestGuessesAtOnce sends all guesses before the first is answered.
func TestGuessesAtOnce(t *testing.T) {
	d := newDoor(t, Gate{Now: newClock().now})
	var wg sync.WaitGroup
	var mu sync.Mutex
	var all guesses
	for i := range 200 {
		wg.Go(func() {
			var g guesses
			g.add(t, d, try("ann", strconv.Itoa(i)))
			mu.Lock()
			defer mu.Unlock()
			all.looked += g.looked
			all.throttled += g.throttled
		})
	}
	wg.Wait()
	assert.Equal(t, guesses{4, 196}, all)
}

// TestSpellingsAreCountedTogether tries one recipient under many spellings, which a database may
// take for the same.
func TestSpellingsAreCountedTogether(t *testing.T) {
	d := newDoor(t, Gate{Now: newClock().now})
	var g guesses
	for _, rid := range []string{"ann", "ANN", "Ann", "aNN", "ann ", "ANN  ", "Ａｎｎ", "ånn", "Ánn", "aⁿn"} {
		g.add(t, d, try(rid, "x"))
	}
	assert.Equal(t, 4, g.looked)
}

// caseless is a lookup as databases do it.
type caseless struct{ Recipients }

func (c caseless) Recipient(ctx context.Context, rid string) (Recipient, error) {
	return c.Recipients.Recipient(ctx, foldRID(rid))
}

func TestOtherSpelling(t *testing.T) {
	d := newDoor(t, Gate{Recipients: caseless{crowd(t)}, Now: newClock().now})
	_, s, err := d.signIn(t.Context(), try("ANN", pass))
	require.NoError(t, err)
	assert.Equal(t, "ann", s.rid, "a session is of the recipient as stored")

	// One that returns somebody else is not believed.
	d.recipients = liar{crowd(t)["ann"]}
	_, _, err = d.signIn(t.Context(), try("bob", pass))
	require.ErrorIs(t, err, errRefused)
}

type liar struct{ r Recipient }

func (l liar) Recipient(context.Context, string) (Recipient, error) { return l.r, nil }

func TestSignInsAreCounted(t *testing.T) {
	c := newClock()
	d := newDoor(t, Gate{Now: c.now})
	n := 0
	var throttled *throttledError
	for ; n < 1000; n++ {
		if _, _, err := d.signIn(t.Context(), try("ann", pass)); err != nil {
			require.ErrorAs(t, err, &throttled)
			break
		}
	}
	assert.Equal(t, freeSignIns+1, n)
	c.add(throttled.after)
	_, _, err := d.signIn(t.Context(), try("ann", pass))
	require.NoError(t, err)
}

// TestAttemptsOvertake counts attempts in another order than that of their times.
func TestAttemptsOvertake(t *testing.T) {
	th, err := newThrottle(Throttle{})
	require.NoError(t, err)
	now := newClock().now()
	for i := range time.Duration(3) {
		_, wait := th.begin(now.Add(-i), "ann", home, "")
		require.Zero(t, wait)
	}
}

// TestUndoneLate takes an attempt back after another one has failed: its wait stays.
func TestUndoneLate(t *testing.T) {
	th, err := newThrottle(Throttle{Failures: 1})
	require.NoError(t, err)
	now := newClock().now()
	for i := range 7 { // which are free
		_, wait := th.begin(now, "ann", addrOf(i), "")
		require.Zero(t, wait)
	}
	slow, wait := th.begin(now, "ann", addrOf(100), "")
	require.Zero(t, wait)
	now = now.Add(2 * time.Second)
	_, wait = th.begin(now, "ann", addrOf(101), "")
	require.Zero(t, wait)
	_, wait = th.begin(now, "ann", addrOf(102), "")
	require.Equal(t, 2*time.Second, wait)
	th.undo(slow)
	_, wait = th.begin(now, "ann", addrOf(102), "")
	require.Equal(t, 2*time.Second, wait)
}

// TestOwnSignInClearsNothingOfOthers: an attacker who is a recipient, too, must not be able to
// guess on because of that.
func TestOwnSignInClearsNothingOfOthers(t *testing.T) {
	c := newClock()
	d := newDoor(t, Gate{Now: c.now})
	var g guesses
	for i := range 60 {
		g.add(t, d, try("r"+strconv.Itoa(i), "x"))
		_, _, _ = d.signIn(t.Context(), try("bob", "battery staple"))
	}
	assert.Equal(t, 31, g.looked)
}

func TestNetwork(t *testing.T) {
	same := func(a, b string) bool { return network(netip.MustParseAddr(a)) == network(netip.MustParseAddr(b)) }
	assert.True(t, same("192.0.2.1", "::ffff:192.0.2.1"))
	assert.False(t, same("192.0.2.1", "192.0.2.2"))
	assert.True(t, same("2001:db8:1:2::1", "2001:db8:1:2:ffff::9"))
	assert.False(t, same("2001:db8:1:2::1", "2001:db8:1:3::1"))
	assert.True(t, same("fe80::1%eth0", "fe80::2%eth1"))
	assert.Equal(t, netip.Prefix{}, network(netip.Addr{}))
	assert.Equal(t, netip.Prefix{}, wider(netip.Prefix{}))
	assert.Equal(t, "2001:db8:1::/48", wider(network(netip.MustParseAddr("2001:db8:1:2::1"))).String())
	assert.Equal(t, "192.0.2.1/32", wider(network(netip.MustParseAddr("192.0.2.1"))).String())
	// Behind a translator all of IPv4 is in one /64: one visitor would make everybody wait.
	assert.False(t, same("64:ff9b::192.0.2.1", "64:ff9b::192.0.2.2"))
	assert.True(t, same("64:ff9b::192.0.2.1", "192.0.2.1"))
	assert.True(t, same("64:ff9b:1::192.0.2.1", "64:ff9b:1::192.0.2.2"), "somebody's own translator, whose form is not known")
	// And 6to4 gives 65536 of them to each IPv4 address.
	assert.True(t, same("2002:c000:201:1::1", "2002:c000:201:2::1"))
	assert.False(t, same("2002:c000:201:1::1", "2002:c000:202:1::1"))
}

// TestThrottleMemory counts a million recipients and addresses. The memory is what it was at the
// start, and an attacker is not among what was forgotten.
func TestThrottleMemory(t *testing.T) {
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	th, err := newThrottle(Throttle{})
	require.NoError(t, err)
	empty := heap() - before
	now := newClock().now()

	// A persistent attacker of one recipient, from one address: as often as is looked at.
	attacker := netip.MustParseAddr("203.0.113.66")
	at := now
	for range 30 {
		if _, wait := th.begin(at, "ann", attacker, ""); wait > 0 {
			at = at.Add(wait)
		}
	}
	_, wait := th.begin(at, "ann", attacker, "")
	require.Positive(t, wait)
	for i := range 1_000_000 {
		th.begin(at, "r"+strconv.Itoa(i), addrOf(i), "")
	}
	_, after := th.begin(at, "ann", attacker, "")
	assert.Equal(t, wait, after, "the attacker was forgotten")
	_, everybody := th.begin(at, "someone new", netip.MustParseAddr("198.51.100.7"), "")
	assert.Zero(t, everybody, "others must not wait for it")
	full := heap() - before
	t.Logf("%d KiB empty, %d KiB after a million", empty>>10, full>>10)
	assert.Less(t, full, empty+64<<10)
	runtime.KeepAlive(th)
}

// TestThrottleProperties: whatever is tried, waits are bounded, what is undone leaves no trace,
// and no more is looked at than the bound allows.
func TestThrottleProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		th, err := newThrottle(Throttle{Failures: rapid.IntRange(1, 10).Draw(t, "free")})
		require.NoError(t, err)
		now := newClock().now()
		type key struct{ rid, addr int }
		failures := map[key]int{}
		for range rapid.IntRange(1, 60).Draw(t, "n") {
			k := key{rapid.IntRange(0, 2).Draw(t, "rid"), rapid.IntRange(0, 2).Draw(t, "addr")}
			taken, wait := th.begin(now, fmt.Sprint(k.rid), addrOf(k.addr), "")
			if wait > 0 {
				if wait > 15*time.Minute {
					t.Fatalf("a wait of %s", wait)
				}
				if again, w := th.begin(now, fmt.Sprint(k.rid), addrOf(k.addr), ""); w != wait || again.n != 0 {
					t.Fatalf("an attempt that came too early was counted")
				}
				if rapid.Bool().Draw(t, "patient") {
					now = now.Add(wait)
				}
				continue
			}
			switch rapid.IntRange(0, 9).Draw(t, "end") {
			case 0:
				th.succeed(now, taken)
				failures[k] = 0
			case 1:
				th.undo(taken)
			default:
				failures[k]++
				if over := failures[k] - int(th.pair.free); over > 0 {
					if w := th.pair.wait(th.hash(throttleKey{rid: fmt.Sprint(k.rid), addr: network(addrOf(k.addr))}), now.UnixNano()); w < time.Second<<min(over, 9) {
						t.Fatalf("%d failures over, and a wait of %s", over, w)
					}
				}
			}
		}
	})
}

// countingHasher counts calls, as far as they hash.
type countingHasher struct {
	Hasher
	mu       sync.Mutex
	verified int
}

func (h *countingHasher) Verify(password, stored string) (bool, error) {
	ok, err := h.Hasher.Verify(password, stored)
	if isHash(stored) { // it does no work for anything else
		h.mu.Lock()
		h.verified++
		h.mu.Unlock()
	}
	return ok, err
}

// TestSameWork holds every wrong sign-in to the same answer for the same work: one lookup, one
// hash, one look into the store.
func TestSameWork(t *testing.T) {
	for _, userName := range []bool{false, true} {
		for _, a := range []attempt{
			try("nobody", "x"), try("ann", "x"), try("ann", ""), try("empty", "x"), try("empty", ""), try("plain", "x"), try("plain", pass), try("blank", ""),
			{rid: "ann", user: "nobody", password: connsec.NewSecret(pass + "!")}, {rid: "empty", user: "", password: connsec.NewSecret("x")},
		} {
			h := &countingHasher{}
			store := &countingStore{Sessions: &MemorySessions{}}
			r := &countingPeople{people: crowd(t)}
			d := newDoor(t, Gate{Recipients: r, Hasher: h, Sessions: store, Login: LoginPage{UserName: userName}, Now: newClock().now})
			_, _, err := d.signIn(t.Context(), a)
			assert.Equal(t, errRefused, err)
			assert.Equal(t, 1, h.verified, "%s: hashes", a.rid)
			assert.Equal(t, 1, r.n, "%s: lookups", a.rid)
			assert.Equal(t, [3]int{1, 0, 0}, store.n, "%s: store", a.rid)
		}
	}
	// With user names the same, and the right password does not show.
	log := &eventLog{}
	h := &countingHasher{}
	d := newDoor(t, Gate{Hasher: h, Login: LoginPage{UserName: true}, Now: newClock().now, Observe: log.observe})
	for _, user := range []string{"", "ann", "ann@example.com", "Ann@example.com "} { // case and blanks count
		a := try("ann", pass)
		a.user, a.addr = user, addrOf(len(user))
		_, _, err := d.signIn(t.Context(), a)
		assert.Equal(t, errRefused, err)
	}
	assert.Equal(t, 4, h.verified)
	for _, e := range log.take() {
		assert.Equal(t, ReasonWrongUserName, e.Reason)
	}
	a := try("ann", pass)
	a.user = "Ann@example.com"
	_, _, err := d.signIn(t.Context(), a)
	require.NoError(t, err)
}

type countingPeople struct {
	people
	n int
}

func (c *countingPeople) Recipient(ctx context.Context, rid string) (Recipient, error) {
	c.n++
	return c.people.Recipient(ctx, rid)
}

// countingStore counts Find, Commit and Delete.
type countingStore struct {
	Sessions
	n [3]int
}

func (s *countingStore) Find(key string) ([]byte, bool, error) {
	s.n[0]++
	return s.Sessions.Find(key)
}

func (s *countingStore) Commit(key string, value []byte, expiry time.Time) error {
	s.n[1]++
	return s.Sessions.Commit(key, value, expiry)
}

func (s *countingStore) Delete(key string) error {
	s.n[2]++
	return s.Sessions.Delete(key)
}

// TestHashingIsBounded lets more sign in at once than may hash.
func TestHashingIsBounded(t *testing.T) {
	h := &gatedHasher{enter: make(chan struct{}), leave: make(chan struct{})}
	d := newDoor(t, Gate{Hasher: h, Now: newClock().now})
	most := cap(d.hashing)
	var wg sync.WaitGroup
	for i := range 3 * most {
		wg.Go(func() {
			a := try("r"+strconv.Itoa(i), "x")
			a.addr = addrOf(i)
			_, _, _ = d.signIn(context.Background(), a)
		})
	}
	for range most {
		<-h.enter
	}
	select {
	case <-h.enter:
		t.Error("one more hashes than may")
	default:
	}
	// One that gives up while it waits is not counted, and not told anything about the password.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := d.signIn(ctx, try("ann", pass))
	require.ErrorIs(t, err, errBusy)
	assert.Zero(t, d.throttle.pair.find(d.throttle.hash(throttleKey{rid: "ann", addr: network(home)}), 0))
	go func() {
		for range 2 * most {
			<-h.enter
		}
	}()
	close(h.leave)
	wg.Wait()
}

type gatedHasher struct {
	Hasher
	enter, leave chan struct{}
}

func (h *gatedHasher) Verify(password, stored string) (bool, error) {
	h.enter <- struct{}{}
	<-h.leave
	return h.Hasher.Verify(password, stored)
}
