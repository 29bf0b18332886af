package securl

import (
	"fmt"
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// Throttle bounds attempts to sign in. Failures are counted for each recipient from one address,
// for each address, and for each recipient from everywhere. After some that are free, each makes
// the next attempt wait, twice as long each time, up to a bound. An attempt that comes too early
// is not looked at and not counted, so that nobody can prolong a wait. A day without failures
// clears a count.
//
// The last count is the one that others can raise against a recipient, so its wait is short, and
// twice as long for addresses that have used up what is free for this recipient, those in one /48 of
// IPv6 together: whoever comes from another one, and comes back when told, is looked at before they
// can begin the next wait. And a device on which the recipient has signed in before, marked by a
// signed cookie, is counted for itself alone: others cannot make it wait at all.
//
// Counts are in memory of this process: with n nodes an attacker has n times the attempts. They
// are not kept in Sessions, where every made-up key and address would leave a record, and which
// could not count two attempts at once. They take a fixed amount of memory. When there is no room,
// the lowest count is forgotten.
type Throttle struct {
	// Failures are free for one recipient from one address. Default 3, most 10. Addresses have
	// ten times as many, recipients seven times.
	Failures int
	// Wait is the longest for one recipient from one address, and for one address. Default 15
	// minutes; at least one.
	Wait time.Duration
	// RecipientWait is the longest for one recipient from anywhere: how long others can lock a
	// recipient out who uses a new device, once they stop or run out of addresses. It also bounds
	// guesses from many addresses. Default and most 5 minutes; at least 10 seconds.
	RecipientWait time.Duration
}

const (
	throttleSets = 1 << 13 // of each table
	throttleWays = 8
	// throttleForget is how long after its last wait a count is kept.
	throttleForget = 24 * time.Hour
	// A recipient may sign in this often in an hour before having to wait: whoever knows one
	// password could otherwise fill the store.
	freeSignIns = 60
)

// throttleKey is whom a count is about. Unused fields are zero.
type throttleKey struct {
	rid    string
	addr   netip.Prefix
	device string
}

// entry is one count. The hash stands for the key; it is seeded, so that nobody can aim.
type entry struct {
	hash  uint64
	count uint32
	until int64 // nanoseconds; the next attempt is looked at from then
}

// table holds counts in sets of entries. Zero hashes are free.
type table struct {
	free   uint32
	first  time.Duration // the first wait
	most   time.Duration // the longest
	forget time.Duration
	sets   *[throttleSets][throttleWays]entry
}

type throttle struct {
	mu   sync.Mutex
	seed maphash.Seed

	pair, addr, rid, device table // failures
	site                    table // failures for one recipient from one site; nobody waits for these
	signIns                 table // successes
}

func newThrottle(t Throttle) (*throttle, error) {
	if t.Failures == 0 {
		t.Failures = 3
	}
	if t.Wait == 0 {
		t.Wait = 15 * time.Minute
	}
	if t.RecipientWait == 0 {
		t.RecipientWait = 5 * time.Minute
	}
	switch {
	case t.Failures < 1 || t.Failures > 10:
		return nil, fmt.Errorf("securl: Throttle.Failures is %d: it must be from 1 to 10", t.Failures)
	case t.Wait < time.Minute || t.Wait > throttleForget:
		return nil, fmt.Errorf("securl: Throttle.Wait is %s: it must be from one minute to one day", t.Wait)
	case t.RecipientWait < 10*time.Second || t.RecipientWait > 5*time.Minute:
		return nil, fmt.Errorf("securl: Throttle.RecipientWait is %s: it must be from 10 seconds to 5 minutes", t.RecipientWait)
	}
	free := uint32(t.Failures)
	make := func(free uint32, first, most, forget time.Duration) table {
		return table{free, first, most, forget, new([throttleSets][throttleWays]entry)}
	}
	return &throttle{
		seed:    maphash.MakeSeed(),
		pair:    make(free, 2*time.Second, t.Wait, throttleForget),
		addr:    make(10*free, time.Second, t.Wait, throttleForget),
		rid:     make(7*free, time.Second, t.RecipientWait, throttleForget),
		device:  make(free, 2*time.Second, t.Wait, throttleForget),
		site:    make(free, 0, 0, throttleForget),
		signIns: make(freeSignIns, 10*time.Second, t.RecipientWait, time.Hour),
	}, nil
}

// find returns the entry of a key, or nil.
func (t *table) find(hash uint64, now int64) *entry {
	set := &t.sets[hash%throttleSets]
	for i := range set {
		if e := &set[i]; e.hash == hash {
			if e.until+int64(t.forget) <= now {
				*e = entry{}
				return nil
			}
			return e
		}
	}
	return nil
}

// wait returns how long the key has to.
func (t *table) wait(hash uint64, now int64) time.Duration {
	// A free failure makes nobody wait, although it may have been dated a little later by an
	// attempt that was counted sooner.
	if e := t.find(hash, now); e != nil && e.count > t.free && e.until > now {
		return time.Duration(e.until - now)
	}
	return 0
}

// usedUp reports whether the key has had the failures that are free.
func (t *table) usedUp(hash uint64, now int64) bool {
	e := t.find(hash, now)
	return e != nil && e.count >= t.free
}

// turn returns how long the key has to wait if it lets others go first: as long again as they.
func (t *table) turn(hash uint64, now int64) time.Duration {
	if e := t.find(hash, now); e != nil {
		if end := e.until + int64(t.delay(e.count)); e.count > t.free && end > now {
			return time.Duration(end - now)
		}
	}
	return 0
}

// delay is the wait after so many failures.
func (t *table) delay(count uint32) time.Duration {
	switch {
	case count <= t.free:
		return 0
	case count-t.free-1 >= 20:
		return t.most
	}
	return min(t.most, t.first<<(count-t.free-1))
}

// add counts one more, and returns the end of the wait as it was and as it is.
func (t *table) add(hash uint64, now int64) (before, until int64) {
	e := t.find(hash, now)
	if e == nil {
		e = t.victim(hash, now)
		*e = entry{hash: hash, until: now}
	}
	before = e.until
	if e.count < 1<<31 {
		e.count++
	}
	e.until = now + int64(t.delay(e.count))
	return before, e.until
}

// victim returns the entry to replace: a free or forgotten one, or else the one with the lowest
// count and, among those, the one whose last failure is longest ago. To have a high count
// forgotten takes as many failures of as many others.
func (t *table) victim(hash uint64, now int64) *entry {
	set := &t.sets[hash%throttleSets]
	v := &set[0]
	for i := range set {
		e := &set[i]
		if e.hash == 0 || e.until+int64(t.forget) <= now {
			return e
		}
		if e.count < v.count || e.count == v.count && e.until < v.until {
			v = e
		}
	}
	return v
}

// sub takes one count back, and its wait, unless another has come since.
func (t *table) sub(hash uint64, before, until int64) {
	set := &t.sets[hash%throttleSets]
	for i := range set {
		if e := &set[i]; e.hash == hash && e.count > 0 {
			if e.count--; e.count == 0 {
				*e = entry{}
			} else if e.until == until {
				e.until = before
			}
		}
	}
}

func (t *table) clear(hash uint64) {
	set := &t.sets[hash%throttleSets]
	for i := range set {
		if set[i].hash == hash {
			set[i] = entry{}
		}
	}
}

// count is one count that an attempt has raised.
type count struct {
	t             *table
	hash          uint64
	before, until int64 // of its wait
	own           bool  // a success clears it: nobody else can raise it
}

// taken is what an attempt has raised.
type taken struct {
	counts  [4]count
	n       int
	signIns uint64
}

func (t *throttle) hash(k throttleKey) uint64 { return max(1, maphash.Comparable(t.seed, k)) }

// begin counts an attempt as failed before it is looked at, so that many at once cannot all pass.
// If it has to wait, nothing is counted. The device is known, or "".
func (t *throttle) begin(now time.Time, rid string, addr netip.Addr, device string) (taken, time.Duration) {
	block := network(addr)
	var k taken
	add := func(t *table, hash uint64, own bool) {
		k.counts[k.n] = count{t: t, hash: hash, own: own}
		k.n++
	}
	k.signIns = t.hash(throttleKey{rid: rid})
	site := t.hash(throttleKey{rid: rid, addr: wider(block)})
	if device != "" {
		add(&t.device, t.hash(throttleKey{rid: rid, device: device}), true)
	} else {
		add(&t.pair, t.hash(throttleKey{rid: rid, addr: block}), true)
		add(&t.site, site, true)
		add(&t.addr, t.hash(throttleKey{addr: block}), false)
		add(&t.rid, k.signIns, false)
	}
	at := now.UnixNano()

	t.mu.Lock()
	defer t.mu.Unlock()
	wait := t.signIns.wait(k.signIns, at)
	for _, c := range k.counts[:k.n] {
		wait = max(wait, c.t.wait(c.hash, at))
	}
	if device == "" && t.site.usedUp(site, at) {
		wait = max(wait, t.rid.turn(k.signIns, at))
	}
	if wait > 0 {
		return taken{}, wait
	}
	for i := range k.counts[:k.n] {
		c := &k.counts[i]
		c.before, c.until = c.t.add(c.hash, at)
	}
	return k, 0
}

// undo takes back what begin counted.
func (t *throttle) undo(k taken) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.back(k)
}

func (t *throttle) back(k taken) {
	for _, c := range k.counts[:k.n] {
		c.t.sub(c.hash, c.before, c.until)
	}
}

// succeed takes back what begin counted, and forgets the failures that came before from the same
// place. The counts that others share stay: an attacker with one password of his own must not
// clear them.
func (t *throttle) succeed(now time.Time, k taken) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.back(k)
	for _, c := range k.counts[:k.n] {
		if c.own {
			c.t.clear(c.hash)
		}
	}
	t.signIns.add(k.signIns, now.UnixNano())
}

// network is the part of an address that one visitor has: an IPv6 subscriber has a /64 at least,
// one of 6to4 a /48 (RFC 3056, section 2). Translated IPv4 addresses (RFC 6052, section 2.1) all
// have one /64, and stand for themselves.
func network(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
		switch b := a.As16(); {
		case [12]byte(b[:12]) == [12]byte{0, 0x64, 0xff, 0x9b}:
			a, bits = netip.AddrFrom4([4]byte(b[12:])), 32
		case b[0] == 0x20 && b[1] == 0x02:
			bits = 48
		}
	}
	p, _ := a.Prefix(bits) // an invalid address gives the invalid prefix, which all of them share
	return p
}

// wider is the block of whoever has the block: sites are assigned up to a /48 of IPv6 (RFC 6177), with
// 65536 networks in it.
func wider(p netip.Prefix) netip.Prefix {
	if p.Bits() > 48 && p.Addr().Is6() {
		p, _ = p.Addr().Prefix(48)
	}
	return p
}
