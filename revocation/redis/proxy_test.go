package mcpauthrevocationredis_test

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A proxy stands between one replica and the server. It can be cut, swallow all packets, and be slow.
type proxy struct {
	listener net.Listener
	target   string
	rate     atomic.Int64 // bytes a second towards the replica; 0 for as fast as they come
	delay    atomic.Int64 // time.Duration before each piece towards the replica

	mu       sync.Mutex
	cut      bool
	swallows bool
	conns    map[net.Conn]bool // true when its packets are swallowed, for good
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, target: target, conns: make(map[net.Conn]bool)}
	t.Cleanup(func() { _ = listener.Close(); p.set(true) })
	go p.accept()
	return p
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		go p.serve(conn)
	}
}

func (p *proxy) serve(near net.Conn) {
	defer func() { _ = near.Close() }()
	far, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer func() { _ = far.Close() }()
	if !p.keep(near) {
		return
	}
	defer p.forget(near)
	go func() {
		_, _ = io.Copy(&passage{p, near, far}, near)
		_ = far.Close()
	}()
	_, _ = io.Copy(&passage{p, near, near}, far)
}

// A passage is one direction of a connection.
type passage struct {
	proxy *proxy
	near  net.Conn // of the connection
	to    net.Conn
}

func (p *passage) Write(b []byte) (int, error) {
	if p.proxy.lost(p.near) {
		return len(b), nil
	}
	if p.to == p.near {
		time.Sleep(time.Duration(p.proxy.delay.Load()))
		if rate := p.proxy.rate.Load(); rate > 0 {
			time.Sleep(time.Duration(len(b)) * time.Second / time.Duration(rate))
		}
	}
	return p.to.Write(b)
}

// lost reports whether what a connection carries is swallowed. One that has lost something stays so, as behind a firewall that
// has forgotten it.
func (p *proxy) lost(near net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.swallows {
		p.conns[near] = true
	}
	return p.conns[near]
}

// swallow has packets vanish, until it is called again with false. Connections that were used meanwhile stay dead.
func (p *proxy) swallow(yes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.swallows = yes
}

// keep reports whether a connection may be used.
func (p *proxy) keep(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.cut {
		p.conns[conn] = p.swallows
	}
	return !p.cut
}

func (p *proxy) forget(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, conn)
}

// set cuts all connections, and lets none through until it is called again.
func (p *proxy) set(cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = cut
	if cut {
		for conn := range p.conns {
			_ = conn.Close()
		}
	}
}
