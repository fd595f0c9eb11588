package mcpauth

import (
	"container/heap"
	"slices"
	"sync"
	"time"
)

// maxSleep is the longest sleep of the clock while a response is open. Timers run on the monotonic clock, and exp is wall
// time: the two differ after the machine has slept, or its clock was set. maxSleep, logTime and breakGrace add up to 5 s,
// the longest that a response outlives its end.
const maxSleep = 2500 * time.Millisecond

// A lifeClock ends the responses of a resource server in time. They share one timer: nearly all of them are over in a
// moment, and a timer of their own would be much of their cost.
type lifeClock struct {
	now func() time.Time

	mu    sync.Mutex
	open  exchangeHeap
	timer *time.Timer
	next  int64 // milliseconds since 1970, when the timer is due; 0 when it is not set
}

func (c *lifeClock) add(x *exchange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.push(x)
}

func (c *lifeClock) push(x *exchange) {
	heap.Push(&c.open, x)
	c.hasten(x.end)
}

// hasten sets the timer to end, if it is set to a later time.
func (c *lifeClock) hasten(end int64) {
	if c.next == 0 || end < c.next {
		c.set(end, c.now())
	}
}

// move gives x another end, and watches it if it is to be watched. x.mu is held.
func (c *lifeClock) move(x *exchange, end int64, watched bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	x.end = end
	switch {
	case x.place >= 0:
		heap.Fix(&c.open, x.place)
		c.hasten(end)
	case watched:
		c.push(x)
	}
}

// remove forgets x, if it is still there. It leaves the timer as it is, because setting it for every answer costs more than
// a wake-up for nothing.
func (c *lifeClock) remove(x *exchange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if x.place >= 0 {
		heap.Remove(&c.open, x.place)
	}
}

func (c *lifeClock) set(end int64, now time.Time) {
	wait := min(time.UnixMilli(end).Sub(now), maxSleep)
	c.next = now.Add(wait).UnixMilli()
	if c.timer == nil {
		c.timer = time.AfterFunc(wait, c.ring)
		return
	}
	c.timer.Reset(wait)
}

// ring ends the responses whose time has come.
func (c *lifeClock) ring() {
	ended := slices.DeleteFunc(c.due(), func(x *exchange) bool {
		first, _ := x.setEnded(nil)
		return !first
	})
	if len(ended) > 0 {
		endAll(ended)
	}
}

// due removes the responses whose time has come, and sets the timer for the next of the others.
func (c *lifeClock) due() (due []*exchange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	for len(c.open) > 0 && !time.UnixMilli(c.open[0].end).After(now) {
		due = append(due, heap.Pop(&c.open).(*exchange)) //nolint:forcetypeassert // the heap holds exchanges only
	}
	c.next = 0
	if len(c.open) > 0 {
		c.set(c.open[0].end, now)
	}
	return due
}

// An exchangeHeap is a heap (container/heap) of exchanges, of which the first is the next to end.
type exchangeHeap []*exchange

func (h exchangeHeap) Len() int           { return len(h) }
func (h exchangeHeap) Less(i, j int) bool { return h[i].end < h[j].end }

func (h exchangeHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

// Push is for package container/heap.
func (h *exchangeHeap) Push(x any) {
	s := x.(*exchange) //nolint:forcetypeassert // package container/heap hands on what add pushed
	s.place = len(*h)
	*h = append(*h, s)
}

// Pop is for package container/heap.
func (h *exchangeHeap) Pop() any {
	last := len(*h) - 1
	s := (*h)[last]
	(*h)[last] = nil // for the garbage collector
	*h = (*h)[:last]
	s.place = -1
	return s
}
