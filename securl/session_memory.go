package securl

import (
	"crypto/sha256"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// MemorySessions keeps sessions in memory of this process. The zero value is ready to use; it
// must not be copied. It starts no goroutine: what has expired is found while other records are
// stored. A million sessions take 182 MB (go test -run ^$ -bench GateRead/handler ./securl).
type MemorySessions struct {
	// Most is how many records it holds. When it is full of live ones, nobody can sign in until
	// some expire: forgetting a sign-out instead would revive sessions. Default 4 million.
	Most int
	// Now is nil for time.Now.
	Now func() time.Time

	clock  atomic.Pointer[clock]
	count  atomic.Int64
	shards [memoryShards]memoryShard
}

const (
	memoryShards = 64
	memoryMost   = 4 << 20
	// memorySweep is how many records each Commit looks at. Of those in memory at most one in
	// four can then have expired, as long as new ones come.
	memorySweep = 4
)

// ErrSessionsFull says that a [MemorySessions] holds as many live records as it may.
var ErrSessionsFull = errors.New("securl: the memory for sessions is full")

type memoryShard struct {
	sync.RWMutex
	records map[[sha256.Size]byte]memoryRecord
}

type memoryRecord struct {
	value  string // not []byte, which takes 8 bytes more
	expiry int64  // nanoseconds
}

func (m *MemorySessions) now() int64 {
	c := m.clock.Load()
	if c == nil {
		c = &clock{read: m.Now}
		if c.read == nil {
			c.read = time.Now
		}
		if !m.clock.CompareAndSwap(nil, c) {
			c = m.clock.Load()
		}
	}
	return c.now().UnixNano()
}

func (m *MemorySessions) shard(key string) (*memoryShard, [sha256.Size]byte) {
	sum := sha256.Sum256([]byte(key))
	return &m.shards[sum[0]%memoryShards], sum
}

// Find returns the value that was last committed, until it expires.
func (m *MemorySessions) Find(key string) (value []byte, found bool, err error) {
	s, sum := m.shard(key)
	s.RLock()
	r, found := s.records[sum]
	s.RUnlock()
	if !found || r.expiry <= m.now() {
		return nil, false, nil
	}
	return []byte(r.value), true, nil
}

// Commit stores a value. It returns [ErrSessionsFull] if there is no room.
func (m *MemorySessions) Commit(key string, value []byte, expiry time.Time) error {
	now := m.now()
	s, sum := m.shard(key)
	s.Lock()
	defer s.Unlock()
	seen := 0
	for k, r := range s.records {
		if seen++; seen > memorySweep {
			break
		}
		m.drop(s, k, r, now)
	}
	if _, there := s.records[sum]; !there {
		most := int64(m.Most)
		if most <= 0 {
			most = memoryMost
		}
		if m.count.Add(1) > most {
			for k, r := range s.records {
				m.drop(s, k, r, now)
			}
			if m.count.Load() > most {
				m.count.Add(-1)
				return ErrSessionsFull
			}
		}
	}
	if s.records == nil {
		s.records = map[[sha256.Size]byte]memoryRecord{}
	}
	s.records[sum] = memoryRecord{string(value), expiry.UnixNano()}
	return nil
}

// drop deletes a record that has expired.
func (m *MemorySessions) drop(s *memoryShard, k [sha256.Size]byte, r memoryRecord, now int64) {
	if r.expiry <= now {
		delete(s.records, k)
		m.count.Add(-1)
	}
}

// Delete removes a record, if it is there.
func (m *MemorySessions) Delete(key string) error {
	s, sum := m.shard(key)
	s.Lock()
	defer s.Unlock()
	if _, there := s.records[sum]; there {
		delete(s.records, sum)
		m.count.Add(-1)
	}
	return nil
}
