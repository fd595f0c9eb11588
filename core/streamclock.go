package mcpauth

import (
	"sync"
	"time"
)

// A streamClock ends streams in time. All streams of a resource server share one timer: nearly all are answers that are
// over in a moment, and a timer of their own would be much of what they cost.
type streamClock struct {
	now func() time.Time

	mu    sync.Mutex
	first *tokenStream // of a list without order
	timer *time.Timer
	next  int64 // milliseconds since 1970, when the timer is due; 0 when it is not set
}

func (c *streamClock) add(s *tokenStream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.after = c.first; s.after != nil {
		s.after.before = s
	}
	c.first = s
	if c.next == 0 || s.end < c.next {
		c.set(s.end, c.now())
	}
}

// remove forgets s, if it is still there. The timer stays as it is: setting it anew would cost every answer what it saves
// one in many.
func (c *streamClock) remove(s *tokenStream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unlink(s)
}

func (c *streamClock) unlink(s *tokenStream) {
	switch {
	case s.before != nil:
		s.before.after = s.after
	case c.first == s:
		c.first = s.after
	}
	if s.after != nil {
		s.after.before = s.before
	}
	s.before, s.after = nil, nil
}

func (c *streamClock) set(end int64, now time.Time) {
	c.next = end
	wait := time.UnixMilli(end).Sub(now)
	if c.timer == nil {
		c.timer = time.AfterFunc(wait, c.ring)
		return
	}
	c.timer.Reset(wait)
}

// ring ends the streams whose time has come.
func (c *streamClock) ring() {
	for _, s := range c.due() {
		s.expire()
	}
}

// due takes those streams from the list, and sets the timer for the next of the others.
func (c *streamClock) due() (due []*tokenStream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	c.next = 0
	for s := c.first; s != nil; {
		after := s.after
		if time.UnixMilli(s.end).After(now) {
			if c.next == 0 || s.end < c.next {
				c.next = s.end
			}
		} else {
			c.unlink(s)
			due = append(due, s)
		}
		s = after
	}
	if c.next != 0 {
		c.set(c.next, now)
	}
	return due
}
