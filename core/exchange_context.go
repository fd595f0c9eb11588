package mcpauth

import (
	"context"
	"sync/atomic"
	"time"
)

// exchangeKey is the key under which an exchangeContext answers with its exchange.
type exchangeKey struct{}

func exchangeIn(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

// verifiedKey is a key under which the contexts in this file answer with their session. That of NewContext does not.
type verifiedKey struct{}

// An exchangeContext is the context of an exchange. The one that it hands all questions to is of package context, so that
// contexts derived from an exchangeContext need no goroutine to follow it.
type exchangeContext exchange

func (c *exchangeContext) Deadline() (time.Time, bool) { return c.request.Deadline() }
func (c *exchangeContext) Done() <-chan struct{}       { return (*exchange)(c).inner(true).Done() }
func (c *exchangeContext) Err() error                  { return (*exchange)(c).inner(false).Err() }

func (c *exchangeContext) Value(key any) any {
	switch key {
	case contextKey{}, verifiedKey{}:
		if c.finished.Load() {
			return nil
		}
		return c.session
	case exchangeKey{}:
		return (*exchange)(c)
	}
	return (*exchange)(c).inner(false).Value(key)
}

// inner returns the context that answers for x: the request's own, or, from the first wait or the end of the response on, a
// cancellable one. With wait the clock watches x, so that code which waits hears of the end.
func (x *exchange) inner(wait bool) context.Context {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.cancelled != nil {
		return x.cancelled
	}
	over := x.ended != nil || x.finished.Load()
	if !wait && !over {
		return x.request
	}
	x.cancelled, x.cancel = context.WithCancelCause(x.request)
	switch {
	case x.ended != nil:
		x.cancel(x.ended)
	case over:
		x.cancel(errFinished)
	default:
		x.watch()
	}
	return x.cancelled
}

// A sessionContext carries a session until it is closed.
type sessionContext struct {
	context.Context
	session atomic.Pointer[Session]
}

func (c *sessionContext) Value(key any) any {
	switch key {
	case contextKey{}, verifiedKey{}:
		return c.session.Load()
	}
	return c.Context.Value(key)
}

// Close takes the session away (io.Closer).
func (c *sessionContext) Close() error {
	c.session.Store(nil)
	return nil
}
