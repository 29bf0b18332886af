package securl

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// skew is by how much the clocks of nodes may differ. A session that is further in the
	// future is refused, and a sign-out ends sessions up to that far ahead.
	skew = 10 * time.Second
	// grace is how long the store keeps a record after it has expired, so that a visitor can be
	// told so.
	grace = 5 * time.Minute

	tokenLength = 43 // characters: 256 bits in base64url
)

// session is one sign-in. It is stored under the hash of its token.
type session struct {
	key      string
	rid      string
	userName string
	created  time.Time
	expires  time.Time
	// epoch orders sessions and sign-outs of one recipient: those of at most the epoch of the
	// last sign-out have ended. It is the time in nanoseconds, pushed beyond the epoch of the
	// sign-outs that came before, so that clocks that differ do no harm.
	epoch int64
}

// recordKey is the key of a record: a hash, in the 43 characters that the tables of every scs
// store have room for.
func (d *door) recordKey(kind, of string) string {
	sum := sha256.Sum256([]byte("securl " + kind + "\x00" + d.name + "\x00" + of))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

const recordVersion = 1

func (s *session) encode() []byte {
	b := make([]byte, 1, 27+len(s.rid)+len(s.userName))
	b[0] = recordVersion
	b = binary.BigEndian.AppendUint64(b, uint64(s.created.UnixNano()))
	b = binary.BigEndian.AppendUint64(b, uint64(s.expires.UnixNano()))
	b = binary.BigEndian.AppendUint64(b, uint64(s.epoch))
	b = binary.BigEndian.AppendUint16(b, uint16(len(s.rid)))
	b = append(b, s.rid...)
	return append(b, s.userName...)
}

func decodeSession(b []byte) (session, error) {
	bad := errors.New("securl: a stored session is damaged")
	if len(b) < 27 || b[0] != recordVersion {
		return session{}, bad
	}
	at := func(i int) int64 { return int64(binary.BigEndian.Uint64(b[i:])) }
	s := session{created: time.Unix(0, at(1)), expires: time.Unix(0, at(9)), epoch: at(17)}
	n := int(binary.BigEndian.Uint16(b[25:]))
	if n > len(b)-27 {
		return session{}, bad
	}
	s.rid, s.userName = string(b[27:27+n]), string(b[27+n:])
	if !validRID(s.rid) {
		return session{}, bad
	}
	return s, nil
}

// commit stores a session under a new token.
func (d *door) commit(ctx context.Context, s *session) (token string, err error) {
	random, err := d.draw()
	if err != nil {
		return "", err
	}
	token = base64.RawURLEncoding.EncodeToString(random)
	s.key = d.recordKey("session", token)
	if err := d.store.CommitCtx(ctx, s.key, s.encode(), s.expires.Add(grace)); err != nil {
		return "", fmt.Errorf("securl: cannot store a session: %w", err)
	}
	return token, nil
}

// session returns the session that the token opens.
func (d *door) session(ctx context.Context, token string) (session, error) {
	if len(token) != tokenLength {
		return session{}, errNoSession
	}
	key := d.recordKey("session", token)
	value, found, err := d.store.FindCtx(ctx, key)
	if err != nil {
		return session{}, fmt.Errorf("securl: cannot look a session up: %w", err)
	}
	if !found {
		return session{}, errNoSession
	}
	s, err := decodeSession(value)
	if err != nil {
		return session{}, fmt.Errorf("%w: %w", errNoSession, err)
	}
	s.key = key
	epoch, err := d.epoch(ctx, s.rid)
	if err != nil {
		return session{}, err
	}
	// Read last, so that no time passes unseen.
	now := d.clock.now()
	switch {
	case s.epoch <= epoch:
		return session{}, errNoSession
	case s.created.After(now.Add(skew)), s.expires.Sub(s.created) > Lifetime:
		return session{}, errNoSession
	case !now.Before(s.expires):
		d.observe(ctx, Event{Kind: EventExpired, At: now, RID: s.rid})
		// If this fails, the record goes when the store lets it.
		_ = d.store.DeleteCtx(ctx, key)
		return session{}, errExpired
	}
	return s, nil
}

// epoch returns the epoch of a recipient's last sign-out, or a number below all if there was
// none for longer than a session can last.
func (d *door) epoch(ctx context.Context, rid string) (int64, error) {
	value, found, err := d.store.FindCtx(ctx, d.recordKey("sign-out", rid))
	switch {
	case err != nil:
		return 0, fmt.Errorf("securl: cannot look a sign-out up: %w", err)
	case !found:
		return 0, nil
	case len(value) != 9 || value[0] != recordVersion:
		return 0, errors.New("securl: a stored sign-out is damaged")
	}
	return int64(binary.BigEndian.Uint64(value[1:])), nil
}

// signOut ends all sessions of the session's recipient, on all nodes and devices.
//
// With no more than Find, Commit and Delete two sign-outs of one recipient on two nodes can
// overlap so that the earlier one is written last. Both end everything that began before either
// of them; a session that began between them, within the skew, survives. A sign-in that
// overlaps a sign-out ends with it.
func (d *door) signOut(ctx context.Context, s session) error {
	err := d.revoke(ctx, s.rid, s.epoch)
	// Afterwards, for what ends in between must not leave the others without one that can end
	// them. If it fails, the record goes when the store lets it.
	_ = d.store.DeleteCtx(ctx, s.key)
	return err
}

// signOutRecipient is signOut without a session, after a change of the password.
func (d *door) signOutRecipient(ctx context.Context, rid string) error {
	return d.revoke(ctx, rid, 0)
}

func (d *door) revoke(ctx context.Context, rid string, least int64) error {
	if _, _, err := d.revokeAfter(ctx, rid, least); err != nil {
		return err
	}
	d.observe(ctx, Event{Kind: EventSignedOut, At: d.clock.now(), RID: rid})
	return nil
}

// revokeAfter is revoke without the event. It returns the epochs of the sign-out before and of this
// one.
func (d *door) revokeAfter(ctx context.Context, rid string, least int64) (last, epoch int64, err error) {
	defer d.revoking.lock(rid)()
	last, err = d.epoch(ctx, rid)
	if err != nil {
		return 0, 0, err
	}
	now := d.clock.now()
	epoch = max(now.Add(skew).UnixNano(), last+1, least)
	value := binary.BigEndian.AppendUint64([]byte{recordVersion}, uint64(epoch))
	// Until nothing is left that it could have ended, by the clock of any node.
	if err := d.store.CommitCtx(ctx, d.recordKey("sign-out", rid), value, now.Add(Lifetime+grace+2*skew)); err != nil {
		return 0, 0, fmt.Errorf("securl: cannot store a sign-out: %w", err)
	}
	return last, epoch, nil
}

// forget deletes one session only, when another replaces it in the same browser.
func (d *door) forget(ctx context.Context, s session) { _ = d.store.DeleteCtx(ctx, s.key) }

// ctxSessions is what scs calls a CtxStore.
type ctxSessions interface {
	FindCtx(ctx context.Context, key string) (value []byte, found bool, err error)
	CommitCtx(ctx context.Context, key string, value []byte, expiry time.Time) error
	DeleteCtx(ctx context.Context, key string) error
}

func withContext(s Sessions) ctxSessions {
	if c, ok := s.(ctxSessions); ok {
		return c
	}
	return plainSessions{s}
}

type plainSessions struct{ Sessions }

func (p plainSessions) FindCtx(_ context.Context, key string) ([]byte, bool, error) {
	return p.Find(key)
}

func (p plainSessions) CommitCtx(_ context.Context, key string, value []byte, expiry time.Time) error {
	return p.Commit(key, value, expiry)
}

func (p plainSessions) DeleteCtx(_ context.Context, key string) error { return p.Delete(key) }

// stripes are locks by name; two names may share one.
type stripes [64]sync.Mutex

func (s *stripes) lock(name string) (unlock func()) {
	sum := sha256.Sum256([]byte(name))
	m := &s[sum[0]%uint8(len(s))]
	m.Lock()
	return m.Unlock
}
