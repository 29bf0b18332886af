package securl

// The door is what both ways in share, the sign-in page and the XMPL interface:
//
//	d.signIn(ctx, attempt{…})  checks and counts a password, makes a session, returns its token
//	d.session(ctx, token)      finds the session that a token opens
//	d.signOut(ctx, session)    ends every session of that recipient
//	d.signOutRecipient(ctx, rid)
//
// Errors are told apart by errors.Is and errors.As: errRefused, *throttledError, errNoSession
// (errExpired is one), and everything else means that the service is not available. They may be
// shown to an operator. A visitor is told the four cases and no more.

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"runtime"
	"strings"
	"time"

	"github.com/connsec/connsec"
)

var (
	// errRefused is the one answer to every wrong sign-in.
	errRefused = errors.New("securl: sign-in refused")
	// errNoSession says that a token opens nothing.
	errNoSession = errors.New("securl: no session")
	// errExpired is the errNoSession of a token whose hour is over.
	errExpired = fmt.Errorf("%w: it has expired", errNoSession)
	// errBusy says that too many passwords were being hashed for too long.
	errBusy = errors.New("securl: too many sign-ins at once")
)

// throttledError says that an attempt was not looked at.
type throttledError struct{ after time.Duration }

func (e *throttledError) Error() string {
	return fmt.Sprintf("securl: too many attempts: try again in %s", e.after.Round(time.Second))
}

// hashWait is how long an attempt waits for others to be hashed.
const hashWait = 10 * time.Second

type door struct {
	name       string
	recipients Recipients
	store      ctxSessions
	hasher     PasswordHasher
	dummy      string // a stored value that no password matches, for recipients without one
	userName   bool
	lifetime   time.Duration
	clock      clock
	rand       io.Reader
	key        []byte
	throttle   *throttle
	observe    func(context.Context, Event)
	hashing    chan struct{} // bounds concurrent hashing, and with it memory
	revoking   stripes
}

// attempt is one try to sign in.
type attempt struct {
	rid      string
	user     string // ignored unless the gate asks for user names
	password connsec.Secret
	addr     netip.Addr
	device   string // the value of the device cookie, or ""
}

// keeper builds the part of the door that knows sessions, with the gate's defaults filled in.
func (g Gate) keeper() (*door, error) {
	d := &door{name: g.Name, lifetime: g.Lifetime, rand: g.Rand, observe: g.Observe}
	d.clock.read = g.Now
	if d.clock.read == nil {
		d.clock.read = time.Now
	}
	if d.rand == nil {
		d.rand = rand.Reader
	}
	if d.observe == nil {
		d.observe = func(context.Context, Event) {}
	}
	if d.name == "" {
		base, err := g.base()
		switch {
		case err != nil:
			return nil, err
		case base == "/" && g.Sessions != nil:
			return nil, errors.New("securl: Sessions is set and Base is the root of a host, as of any site that shares them: set Name, too, or a session of one would open the other")
		}
		d.name = base
	}
	switch {
	case strings.Contains(d.name, "\x00"):
		return nil, errors.New("securl: Name must not contain NUL")
	case d.lifetime == 0:
		d.lifetime = Lifetime
	case d.lifetime < 0 || d.lifetime > Lifetime:
		return nil, fmt.Errorf("securl: Lifetime is %s: it must be more than nothing and at most %s", d.lifetime, Lifetime)
	}
	store := g.Sessions
	if store == nil {
		store = &MemorySessions{Now: g.Now}
	}
	d.store = withContext(store)
	return d, nil
}

// door builds all of it.
func (g Gate) door() (*door, error) {
	if g.Recipients == nil {
		return nil, errors.New("securl: a gate needs Recipients")
	}
	d, err := g.keeper()
	if err != nil {
		return nil, err
	}
	d.recipients, d.hasher, d.userName = g.Recipients, g.Hasher, g.Login.UserName
	if d.hasher == nil {
		d.hasher = Hasher{}
	}
	d.hashing = make(chan struct{}, max(2, runtime.GOMAXPROCS(0)))
	if d.throttle, err = newThrottle(g.Throttle); err != nil {
		return nil, err
	}
	if err := d.setKey(g.Key); err != nil {
		return nil, err
	}
	random, err := d.draw()
	if err != nil {
		return nil, err
	}
	if d.dummy, err = d.hasher.Hash(base64.RawURLEncoding.EncodeToString(random)); err != nil {
		return nil, fmt.Errorf("securl: the Hasher cannot hash: %w", err)
	}
	return d, nil
}

func (d *door) setKey(secret connsec.Secret) (err error) {
	const least = 32
	key := secret.Reveal()
	switch {
	case key == "":
		d.key, err = d.draw()
		return err
	case len(key) < least:
		return fmt.Errorf("securl: Key has %d characters: it must have %d or more, from a random source", len(key), least)
	}
	d.key = []byte(key)
	return nil
}

// draw returns 256 random bits.
func (d *door) draw() ([]byte, error) {
	b := make([]byte, sha256.Size)
	if _, err := io.ReadFull(d.rand, b); err != nil {
		return nil, fmt.Errorf("securl: cannot draw random bytes: %w", err)
	}
	return b, nil
}

// sign returns the MAC of parts for a purpose; no part may contain NUL.
func sign(key []byte, purpose string, parts ...string) []byte {
	m := hmac.New(sha256.New, key)
	io.WriteString(m, "securl "+purpose)
	for _, p := range parts {
		m.Write([]byte{0})
		io.WriteString(m, p)
	}
	return m.Sum(nil)
}

// signIn checks an attempt and makes a session. Unless the attempt is throttled, one password is
// hashed whatever is wrong with it.
func (d *door) signIn(ctx context.Context, a attempt) (token string, s session, err error) {
	now := d.clock.now()
	fail := func(kind EventKind, reason Reason, err error) (string, session, error) {
		e := Event{Kind: kind, At: now, RID: a.rid, Addr: a.addr, Reason: reason}
		if t := (*throttledError)(nil); errors.As(err, &t) {
			e.RetryAfter = t.after
		}
		if kind == EventUnavailable {
			e.Err = err
		}
		d.observe(ctx, e)
		return "", session{}, err
	}
	if !validRID(a.rid) {
		a.rid = ""
		return fail(EventFailed, ReasonBadRID, errRefused)
	}
	folded := foldRID(a.rid)
	taken, after := d.throttle.begin(now, folded, a.addr, d.deviceID(now, a.device, folded))
	if after > 0 {
		return fail(EventThrottled, 0, &throttledError{after})
	}
	// The sign-outs that this sign-in comes after are those read here, before the password: one
	// that happens while it is compared ends the new session, too.
	epoch, err := d.epoch(ctx, a.rid)
	if err == nil {
		s, err = d.authenticate(ctx, a, folded)
	}
	if err == nil && s.rid != a.rid {
		// In another spelling. Once more, after the sign-outs of the one that is stored.
		if epoch, err = d.epoch(ctx, s.rid); err == nil {
			s, err = d.authenticate(ctx, attempt{rid: s.rid, user: a.user, password: a.password}, folded)
		}
	}
	var wrong reasonError
	if errors.As(err, &wrong) {
		return fail(EventFailed, Reason(wrong), errRefused)
	}
	if err == nil {
		s.created, s.expires, s.epoch = now, now.Add(d.lifetime), max(now.UnixNano(), epoch+1)
		token, err = d.commit(ctx, &s)
	}
	if err != nil {
		d.throttle.undo(taken)
		return fail(EventUnavailable, 0, err)
	}
	d.throttle.succeed(now, taken)
	d.observe(ctx, Event{Kind: EventSignedIn, At: now, RID: s.rid, Addr: a.addr})
	return token, s, nil
}

// reasonError is why a sign-in is refused, for the operator only.
type reasonError Reason

func (e reasonError) Error() string { return "securl: " + Reason(e).String() }

// authenticate looks the recipient up and compares.
func (d *door) authenticate(ctx context.Context, a attempt, folded string) (session, error) {
	r, err := d.recipients.Recipient(ctx, a.rid)
	reason := Reason(0)
	switch {
	case errors.Is(err, ErrNoRecipient):
		reason = ReasonUnknownRecipient
	case err != nil:
		return session{}, fmt.Errorf("securl: cannot look the recipient up: %w", err)
	case !validRID(r.ID) || foldRID(r.ID) != folded:
		reason = ReasonUnknownRecipient // attempts would be counted for somebody else
	case r.Password == "":
		reason = ReasonNoPassword
	}
	stored := r.Password
	if reason != 0 {
		stored = d.dummy
	}
	password := a.password.Reveal()
	ok, err := d.verify(ctx, password, stored)
	if errors.Is(err, errBusy) {
		return session{}, err
	}
	if err != nil && stored != d.dummy {
		// A stored value of another format is refused without hashing, which would show.
		if _, err := d.verify(ctx, password, d.dummy); errors.Is(err, errBusy) {
			return session{}, err
		}
	}
	named := !d.userName || equal(a.user, r.UserName)
	switch {
	case reason != 0:
	case err != nil:
		reason = ReasonNotComparable
	case !ok || password == "":
		reason = ReasonWrongPassword
	case !named || d.userName && r.UserName == "":
		reason = ReasonWrongUserName
	default:
		return session{rid: r.ID, userName: r.UserName}, nil
	}
	return session{}, reasonError(reason)
}

// same reports whether a key is the session's recipient, perhaps in another spelling that the
// database takes for the same.
func (d *door) same(ctx context.Context, rid string, s session) bool {
	if rid == s.rid {
		return true
	}
	if foldRID(rid) != foldRID(s.rid) {
		return false
	}
	r, err := d.recipients.Recipient(ctx, rid)
	return err == nil && r.ID == s.rid
}

// verify compares, with a bound on how many do so at once.
func (d *door) verify(ctx context.Context, password, stored string) (bool, error) {
	free, err := d.hashSlot(ctx)
	if err != nil {
		return false, err
	}
	defer free()
	return d.hasher.Verify(password, stored)
}

// hash makes a stored value of a new password, with the same bound.
func (d *door) hash(ctx context.Context, password connsec.Secret) (string, error) {
	free, err := d.hashSlot(ctx)
	if err != nil {
		return "", err
	}
	defer free()
	return d.hasher.Hash(password.Reveal())
}

func (d *door) hashSlot(ctx context.Context) (free func(), err error) {
	select {
	case d.hashing <- struct{}{}:
	default:
		t := time.NewTimer(hashWait)
		defer t.Stop()
		select {
		case d.hashing <- struct{}{}:
		case <-t.C:
			return nil, errBusy
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", errBusy, ctx.Err())
		}
	}
	return func() { <-d.hashing }, nil
}

// equal compares in time that depends on neither.
func equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
