package mcpauthfasthttp

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// An exchange is one run of a handler, on the goroutine of a worker. The goroutine that fasthttp called waits for the first
// Flush, returns, and comes back to read the stream. An exchange is one piece of memory, and made for one request.
type exchange struct {
	bridge   *Bridge
	worker   *worker
	request  *http.Request
	response response
	body     requestBody
	context  requestContext
	cancel   context.CancelCauseFunc
	url      url.URL
	values   [10]string // of the request's header

	conn      net.Conn
	shutdown  <-chan struct{} // nil once seen
	ahead     <-chan struct{} // ends with the context of a middleware in front
	late      atomic.Bool     // the handler takes long: when its body has been read, the connection is watched
	brokenOff atomic.Bool     // the response must not end as if it were whole

	mu         sync.Mutex // for deadlines, which any goroutine may set
	watching   func()     // stops the watch on the connection, if there is one
	over       bool       // the connection belongs to the next request
	limited    bool       // a write deadline was set
	writeUntil time.Time  // what it is

	// Of the workers.
	isEarly, seen  bool
	earlier, later *exchange
}

type exchangeKey struct{}

// Close is called by fasthttp when the response was written, because an exchange is a user value of its request.
func (x *exchange) Close() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.over = true
	if x.limited {
		_ = x.conn.SetWriteDeadline(time.Time{})
	}
	return nil
}

// breakOff makes sure that nothing more can be sent, whatever was put between the response and the connection. The
// deadline ends what is being written. fasthttp may set another one, so the connection is closed for writing, too.
func (x *exchange) breakOff() {
	x.brokenOff.Store(true)
	_ = x.setWriteDeadline(time.Unix(1, 0))
	if half, ok := innermost(x.conn).(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// innermost returns the connection below TLS.
func innermost(conn net.Conn) net.Conn {
	for {
		outer, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			return conn
		}
		conn = outer.NetConn()
	}
}

func (x *exchange) setWriteDeadline(t time.Time) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over {
		return errReturned
	}
	x.limited, x.writeUntil = true, t
	return x.conn.SetWriteDeadline(t)
}

// limit sets the write deadline again: when a handler has returned to fasthttp, that sets its own, by WriteTimeout.
func (x *exchange) limit() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.limited && !x.over {
		_ = x.conn.SetWriteDeadline(x.writeUntil)
	}
}

// tooLate reports whether the write deadline has passed.
func (x *exchange) tooLate() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.limited && !x.writeUntil.IsZero() && !x.writeUntil.After(time.Now())
}

// setReadDeadline is about the request's body. Once that has been read, the connection is watched, and left alone.
func (x *exchange) setReadDeadline(t time.Time) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over {
		return errReturned
	}
	if x.body.ended.Load() || x.watching != nil {
		return nil
	}
	return x.conn.SetReadDeadline(t)
}

// wait returns at the first Flush, or when the handler has returned.
func (x *exchange) wait() {
	what := <-x.worker.events
	if what == late {
		x.late.Store(true)
		x.watchIfRead()
	}
	for what != begun {
		select {
		case what = <-x.worker.events:
		case <-x.shutdown:
			x.shutDown()
		}
	}
	if x.response.streaming {
		x.watch()
	}
}

// watchIfRead watches the connection of a handler that takes long. As long as there is a body to read, the handler notices.
func (x *exchange) watchIfRead() {
	if x.late.Load() && x.body.ended.Load() {
		x.watch()
	}
}

func (x *exchange) shutDown() {
	x.shutdown = nil
	x.cancel(http.ErrServerClosed)
}

// watch cancels the request when the client disconnects.
func (x *exchange) watch() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.watching == nil {
		x.watching = watch(x.conn, func() { x.cancel(errDisconnected) })
	}
}

// stop leaves the connection to fasthttp.
func (x *exchange) stop() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.watching != nil {
		x.watching()
		x.watching = nil
	}
}
