package mcpauth

import (
	"bufio"
	"errors"
	"net"
	"net/http"
)

// A hijackable exchange is one whose writer below is an http.Hijacker. The request that the handler gets is in the same piece
// of memory.
type hijackable struct {
	exchange
	handed http.Request
}

// canHijack reports whether w, or a writer that it unwraps to, is an http.Hijacker. It is false for HTTP/2,
// because some wrappers of its writer have the method, which then panics.
func canHijack(w http.ResponseWriter, r *http.Request) bool {
	for r.ProtoMajor == 1 {
		switch below := w.(type) {
		case http.Hijacker:
			return true
		case interface{ Unwrap() http.ResponseWriter }:
			w = below.Unwrap()
		default:
			return false
		}
	}
	return false
}

// Hijack takes the connection over (http.Hijacker). It is closed when the token ends.
func (h *hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	x := &h.exchange
	x.mu.Lock()
	ended := x.ended
	if ended == nil && x.finished.Load() {
		ended = errFinished
	}
	x.mu.Unlock()
	if ended != nil {
		return nil, nil, ended
	}
	conn, buffer, err := http.NewResponseController(x.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	x.makeStream()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ended != nil {
		_ = conn.Close() // the error to return is the reason of the end
		return nil, nil, x.ended
	}
	x.begun = true // the handler writes the headers itself
	x.hijacked = conn
	x.watch()
	return &hijackedConn{conn, x}, buffer, nil
}

// A hijackedConn is forgotten when it is closed.
type hijackedConn struct {
	net.Conn
	x *exchange
}

// NetConn returns the connection below, as that of tls.Conn does.
func (c *hijackedConn) NetConn() net.Conn { return c.Conn }

// CloseWrite closes the writing side, as that of *net.TCPConn and *tls.Conn does: reverse proxies look for it.
func (c *hijackedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Close closes the connection.
func (c *hijackedConn) Close() error {
	c.x.server.clock.remove(c.x)
	if c.x.isWatched() {
		c.x.server.live.remove(c.x)
	}
	return c.Conn.Close()
}
