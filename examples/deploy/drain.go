// Package deploy ends a server behind a proxy or load balancer without losing calls. Next to it are configurations of nginx,
// HAProxy and Caddy, with tests that start them.
package deploy

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// A Drain ends an http.Server. [http.Server.Shutdown] alone would wait for MCP streams, which stay open for as long as their
// clients want, and [http.Server.Close] would cut calls that are being answered.
type Drain struct {
	ready             func(context.Context) error
	draining, streams context.Context //nolint:containedctx // how far the shutdown is
	drain, end        context.CancelFunc
}

// NewDrain returns a Drain for a server that is ready when ready returns nil. Give the method Ready of the resource server.
func NewDrain(ready func(context.Context) error) *Drain {
	d := &Drain{ready: ready}
	d.draining, d.drain = context.WithCancel(context.Background())
	d.streams, d.end = context.WithCancel(context.Background())
	return d
}

// ServeHTTP answers a readiness probe with 200, or with 503 when no token can be verified, or when Shutdown has begun. A
// load balancer sends no new requests then.
func (d *Drain) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if d.draining.Err() != nil || d.ready(r.Context()) != nil {
		http.Error(w, "not ready", http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok\n")) // a probe that left does not matter
}

// EndStreams cancels the contexts of streams when Shutdown says so, and no calls. It goes around everything else. A client
// whose stream has ended opens another one, and gets to a replica that is ready.
func (d *Drain) EndStreams(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isStream(r) {
			next.ServeHTTP(w, r)
			return
		}
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		stop := context.AfterFunc(d.streams, cancel)
		defer stop()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// isStream reports whether a request asks for a stream that answers no call. A client could say so about a call, which would
// end its own call early and nothing else.
func isStream(r *http.Request) bool {
	return r.Method == http.MethodGet || r.Header.Get("Mcp-Method") == "subscriptions/listen"
}

// Shutdown ends server, like [http.Server.Shutdown]. First, probes get 503 for as long as notice: the time in which the load
// balancer finds out. Then streams end, no connection is accepted any more, and calls are waited for. When ctx ends, the rest
// is cut, and the error is that of ctx.
func (d *Drain) Shutdown(ctx context.Context, server *http.Server, notice time.Duration) error {
	d.drain()
	select {
	case <-time.After(notice):
	case <-ctx.Done():
	}
	d.end()
	err := server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, server.Close())
	}
	return err
}
