package mcpauthfasthttp

import (
	"sync"
	"time"
)

const (
	// watchAfter is how long a handler may take, at least, before its connection is watched: most are done by then, and
	// watching costs a goroutine.
	watchAfter = 10 * time.Millisecond

	// idleTime is how long a goroutine waits for the next handler, at least.
	idleTime = time.Second

	// maxKept is how much memory of a response is kept for the next one.
	maxKept = 64 << 10
)

// An event is what the goroutine that waits for a response is told.
type event bool

const (
	late  event = false // the handler takes longer than watchAfter
	begun event = true  // the response begins
)

// A worker is a goroutine that runs one handler after the other, and what they need that they never see. Whatever a handler
// can reach is made for each request: it may keep its writer and its request, and use them when the worker has gone on.
type worker struct {
	next   chan *exchange // what it runs; nil ends it
	events chan event     // of what it runs
	begun  bool           // it has a goroutine
	ended  bool           // its handler has ended it

	// Memory that is empty. An exchange takes it, and gives it back unless the response is a stream.
	buf  []byte
	ends []int
	sent []line
}

// workers are those of a bridge. None is left a few seconds after the last request.
type workers struct {
	mu       sync.Mutex
	idle     []*worker // the one that was used last is used first
	needless int       // how many of them have been idle since the last cut
	cut      time.Time
	early    *exchange // a list of those that are not late

	timer *time.Timer   // for all of it
	due   time.Duration // after how long it was set to come; 0 when it was not
}

// take gives an exchange a worker.
func (p *workers) take(x *exchange) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if last := len(p.idle) - 1; last >= 0 {
		x.worker, p.idle[last] = p.idle[last], nil
		p.idle = p.idle[:last]
		p.needless = min(p.needless, last)
	} else {
		x.worker = &worker{next: make(chan *exchange, 1), events: make(chan event, 2)} // each event can be there once
	}
	if x.later = p.early; x.later != nil {
		x.later.earlier = x
	}
	p.early, x.isEarly = x, true
	if p.due != watchAfter {
		p.wake(watchAfter)
	}
}

// start runs an exchange.
func (p *workers) start(x *exchange) {
	w := x.worker
	w.next <- x
	if !w.begun {
		w.begun = true
		go p.work(w)
	}
}

func (p *workers) work(w *worker) {
	for x := <-w.next; x != nil; x = <-w.next {
		x.run()
		if x.response.streaming {
			p.release(w)
		}
	}
}

// begin is called when the response of an exchange becomes a stream.
func (p *workers) begin(x *exchange) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unlink(x)
}

// give takes back the worker of an exchange whose response is not a stream. A stream keeps it until its handler returns.
func (p *workers) give(x *exchange) {
	w, r := x.worker, &x.response
	if cap(r.buf) <= maxKept {
		w.buf = r.buf[:0]
	}
	clear(r.sent)
	w.sent = r.sent[:0]
	r.buf, r.sent = nil, nil
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unlink(x)
	x.worker = nil // who keeps the exchange does not keep the worker
	select {
	case <-w.events: // it has become late in the last moment
	default:
	}
	p.park(w)
}

// release takes back the worker of a stream whose handler has returned.
func (p *workers) release(w *worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.park(w)
}

func (p *workers) park(w *worker) {
	if w.ended || !w.begun {
		return
	}
	p.idle = append(p.idle, w)
	if p.due == 0 {
		p.wake(idleTime)
	}
}

func (p *workers) unlink(x *exchange) {
	if !x.isEarly {
		return
	}
	x.isEarly = false
	if x.later != nil {
		x.later.earlier = x.earlier
	}
	if x.earlier != nil {
		x.earlier.later = x.later
	} else {
		p.early = x.later
	}
	x.earlier, x.later = nil, nil
}

func (p *workers) wake(after time.Duration) {
	p.due = after
	if p.timer == nil {
		p.timer = time.AfterFunc(after, p.tick)
		return
	}
	p.timer.Reset(after)
}

// tick tells those that wait for late handlers, and ends workers that are not needed.
func (p *workers) tick() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for x := p.early; x != nil; {
		next := x.later
		if x.seen {
			p.unlink(x)
			x.worker.events <- late
		}
		x.seen = true
		x = next
	}
	if now := time.Now(); now.Sub(p.cut) >= idleTime {
		p.cut = now
		for _, w := range p.idle[:p.needless] {
			w.next <- nil
		}
		rest := copy(p.idle, p.idle[p.needless:])
		clear(p.idle[rest:])
		p.idle = p.idle[:rest]
		p.needless = rest
	}
	switch {
	case p.early != nil:
		p.wake(watchAfter)
	case len(p.idle) > 0:
		p.wake(idleTime)
	default:
		p.due = 0
	}
}
