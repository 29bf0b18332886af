package apisec

import (
	"bytes"
	"context"
	"errors"
	"sync"
)

// Store keeps the state of one [Rotation]. During a turn the state holds secrets in clear:
// keep it at least as well as the place where clients read theirs.
//
// What is there changes in one step or not at all, and is durable when Swap returns: after a
// crash at any instant Load returns the old data or the new.
type Store interface {
	// Lock takes the exclusive right to act until unlock is called, or this process ends. If
	// another has it, the error is [ErrLocked], at once.
	Lock(ctx context.Context) (unlock func(), err error)
	// Load returns what was stored last, nil if nothing ever was.
	Load(ctx context.Context) ([]byte, error)
	// Swap replaces old, as Load returned it, by new. If something else is there by now, the
	// error is [ErrConflict] and nothing changes.
	Swap(ctx context.Context, old, new []byte) error
}

var (
	// ErrLocked says that another operator acts on the rotation at this moment.
	ErrLocked = errors.New("apisec: the rotation is in use by another process; try again when that has ended")
	// ErrConflict says that the state was changed by someone who did not have the lock.
	ErrConflict = errors.New("apisec: the state of the rotation was changed by someone else meanwhile; look at it again before going on")
)

// MemoryStore keeps the state in memory, for tests and for demonstrations. The zero value is
// empty.
type MemoryStore struct {
	lock sync.Mutex // of the operator
	mu   sync.Mutex
	data []byte
}

// Lock implements [Store].
func (m *MemoryStore) Lock(context.Context) (func(), error) {
	if !m.lock.TryLock() {
		return nil, ErrLocked
	}
	return m.lock.Unlock, nil
}

// Load implements [Store].
func (m *MemoryStore) Load(context.Context) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return bytes.Clone(m.data), nil
}

// Swap implements [Store].
func (m *MemoryStore) Swap(_ context.Context, old, new []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !bytes.Equal(m.data, old) {
		return ErrConflict
	}
	m.data = bytes.Clone(new)
	return nil
}
