package mcpauth

import (
	"container/heap"
	"sync"
	"time"
)

// A streamClock ends streams in time. All streams of a resource server share one timer: nearly all are answers that are
// over in a moment, and a timer of their own would be much of what they cost.
type streamClock struct {
	now func() time.Time

	mu      sync.Mutex
	streams streamHeap
	timer   *time.Timer
	next    int64 // milliseconds since 1970, when the timer is due; 0 when it is not set
}

func (c *streamClock) add(s *tokenStream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	heap.Push(&c.streams, s)
	if c.next == 0 || s.end < c.next {
		c.set(s.end, c.now())
	}
}

// remove forgets s, if it is still there. The timer stays as it is: to set it anew for every answer is what a clock for
// all of them saves.
func (c *streamClock) remove(s *tokenStream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.place >= 0 {
		heap.Remove(&c.streams, s.place)
	}
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

// due takes those streams out, and sets the timer for the next of the others.
func (c *streamClock) due() (due []*tokenStream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	for len(c.streams) > 0 && !time.UnixMilli(c.streams[0].end).After(now) {
		due = append(due, heap.Pop(&c.streams).(*tokenStream)) //nolint:forcetypeassert // there is nothing else in it
	}
	c.next = 0
	if len(c.streams) > 0 {
		c.set(c.streams[0].end, now)
	}
	return due
}

// A streamHeap is a heap (container/heap) of streams, of which the first is the next to end.
type streamHeap []*tokenStream

func (h streamHeap) Len() int           { return len(h) }
func (h streamHeap) Less(i, j int) bool { return h[i].end < h[j].end }

func (h streamHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

// Push is heap.Push's, which see.
func (h *streamHeap) Push(x any) {
	s := x.(*tokenStream) //nolint:forcetypeassert // as above
	s.place = len(*h)
	*h = append(*h, s)
}

// Pop is heap.Pop's, which see.
func (h *streamHeap) Pop() any {
	last := len(*h) - 1
	s := (*h)[last]
	(*h)[last] = nil // for the garbage collector
	*h = (*h)[:last]
	s.place = -1
	return s
}
