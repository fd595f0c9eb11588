package mcpauthrevocationredis_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	mcpauthrevocation "github.com/scalekit-mcp/mcpauth/revocation"
	mcpauthrevocationredis "github.com/scalekit-mcp/mcpauth/revocation/redis"
)

// TestR103SteadyStream has messages that come one by one to a replica that asks for one at a time, as after some outages: it has
// caught up after each of them.
func TestR103SteadyStream(t *testing.T) {
	t.Parallel()
	s := start(t, durable...)
	const stale = 2 * time.Second
	r := newReplica(t, s.client(nil), func(_ *mcpauthrevocationredis.Config, cfg *mcpauthrevocation.Config) { cfg.MaxStaleness = stale })
	r.ready()
	r.store.AskForOne()
	client := s.client(nil)
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	defer done.Wait()
	defer cancel()
	done.Go(func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			if err := client.XAdd(ctx, message(t, fmt.Sprintf("usr_%d", n))).Err(); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
	time.Sleep(2 * stale)
	r.within(10*time.Second, "up to date", r.isUp)
}

// TestR103FarAwayStream has a stream of many messages on a server that is far away: it is not asked for a few of them each time.
func TestR103FarAwayStream(t *testing.T) {
	t.Parallel()
	s := start(t, durable...)
	client := s.client(nil)
	const messages = 4000
	if _, err := client.Pipelined(t.Context(), func(p redis.Pipeliner) error {
		for n := range messages {
			p.XAdd(t.Context(), message(t, fmt.Sprintf("usr_%d", n)))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	p := newProxy(t, s.addr())
	p.delay.Store(int64(150 * time.Millisecond))
	r := newReplica(t, s.client(func(o *redis.Options) { o.Addr = p.addr() }), nil)
	t.Logf("ready after %v", r.within(40*time.Second, "ready", r.isUp))
	if n := r.list.Len(); n != messages {
		t.Errorf("%d entries", n)
	}
}

func message(t *testing.T, user string) *redis.XAddArgs {
	entry := mcpauthrevocation.User(user)
	entry.At = time.Now()
	texts, err := mcpauthrevocation.MarshalEntries([]mcpauthrevocation.Entry{entry})
	if err != nil {
		t.Error(err)
	}
	return &redis.XAddArgs{Stream: "mcpauth:revocation", Values: []string{"entries", string(texts[0])}}
}

// TestR103DemotedBetweenReads has a server that becomes a replica in a moment when no command blocks, so that it ends none.
func TestR103DemotedBetweenReads(t *testing.T) {
	t.Parallel()
	primary, s := start(t, durable...), start(t, durable...)
	host, port, err := net.SplitHostPort(primary.addr())
	if err != nil {
		t.Fatal(err)
	}
	own := s.client(nil)
	demoted := make(chan error, 1)
	demote := sync.OnceFunc(func() { demoted <- own.ReplicaOf(context.Background(), host, port).Err() })
	var now atomic.Bool
	client := s.client(func(o *redis.Options) {
		o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			return &watchedConn{Conn: conn, before: func(command []byte) {
				if now.Load() && bytes.Contains(command, []byte("xread")) {
					demote()
				}
			}}, err
		}
	})
	r := newReplica(t, client, func(_ *mcpauthrevocationredis.Config, cfg *mcpauthrevocation.Config) {
		cfg.MaxStaleness = 2 * time.Second
	})
	r.ready()
	now.Store(true)
	r.within(20*time.Second, "not up to date", func() bool { return !r.isUp() })
	select {
	case err := <-demoted:
		if err != nil {
			t.Error(err)
		}
	default:
		t.Error("the server was not demoted")
	}
}

// A watchedConn calls before with what is about to be sent.
type watchedConn struct {
	net.Conn
	before func(command []byte)
}

func (c *watchedConn) Write(b []byte) (int, error) {
	c.before(b)
	return c.Conn.Write(b)
}

// TestR103NoInfo has a server without the command INFO, as some that are managed: it does not say whether it keeps the stream.
func TestR103NoInfo(t *testing.T) {
	t.Parallel()
	s := start(t, append([]string{"--rename-command", "INFO", ""}, durable...)...)
	strict := newReplica(t, s.client(nil), nil)
	strict.ready()
	if err := strict.list.Revoke(t.Context(), mcpauthrevocation.User("usr_1")); err == nil || !strings.Contains(err.Error(), "INFO") ||
		!strings.Contains(err.Error(), "DangerouslyAllowVolatile") {
		t.Errorf("acknowledged: %v", err)
	}
	volatile := newReplica(t, s.client(nil), func(cfg *mcpauthrevocationredis.Config, _ *mcpauthrevocation.Config) {
		cfg.DangerouslyAllowVolatile = true
	})
	volatile.ready()
	refused := strict.refuses("usr_2")
	volatile.revoke("usr_2")
	strict.within(10*time.Second, "usr_2", refused)
}
