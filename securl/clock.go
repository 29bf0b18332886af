package securl

import (
	"sync"
	"time"
)

// clock is a time that never goes back and never stands still. When the machine's clock is set
// back, it goes on from the highest time seen, at the pace of the monotonic reading that
// time.Now has, or else of the clock itself.
type clock struct {
	read func() time.Time

	mu   sync.Mutex
	last time.Time // as read
	at   time.Time // as told
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.read()
	if c.last.IsZero() {
		c.last, c.at = t, t
		return t.Round(0)
	}
	// Sub uses the monotonic readings where both have one, and so counts what really passed.
	c.at = c.at.Add(max(0, t.Sub(c.last)))
	// The wall clock may be further: it was set right, or the machine slept.
	if t.Round(0).After(c.at.Round(0)) {
		c.at = t
	}
	c.last = t
	return c.at.Round(0)
}
