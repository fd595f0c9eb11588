package mcpauthrevocationredis_test

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	mcpauthrevocation "github.com/scalekit-mcp/mcpauth/revocation"
	mcpauthrevocationredis "github.com/scalekit-mcp/mcpauth/revocation/redis"
)

// TestR103NarrowLine has a stream that takes longer to arrive than a silent server is waited for: a replica catches up all the
// same.
func TestR103NarrowLine(t *testing.T) {
	t.Parallel()
	s := start(t, durable...)
	a := newReplica(t, s.client(nil), nil)
	a.ready()
	const revoked = 20_000 // some 2.5 MB
	many := make([]mcpauthrevocation.Entry, 0, revoked)
	for i := range revoked {
		many = append(many, mcpauthrevocation.User(fmt.Sprintf("usr_%018d", i)))
	}
	if err := a.list.Revoke(t.Context(), many...); err != nil {
		t.Fatal(err)
	}
	p := newProxy(t, s.addr())
	p.rate.Store(1 << 20)
	b := newReplica(t, s.client(func(o *redis.Options) { o.Addr = p.addr() }), nil)
	b.within(40*time.Second, "ready", b.isUp)
	if n := b.list.Len(); n != revoked {
		t.Errorf("%d entries", n)
	}
}

// TestR103FarAway has a server whose every answer takes longer than the first wait for one: a replica is ready, and goes on reading.
func TestR103FarAway(t *testing.T) {
	t.Parallel()
	s := start(t, durable...)
	near := newReplica(t, s.client(nil), nil)
	near.ready()
	near.revoke("usr_1")
	p := newProxy(t, s.addr())
	p.delay.Store(int64(450 * time.Millisecond))
	r := newReplica(t, s.client(func(o *redis.Options) { o.Addr = p.addr() }), nil)
	r.within(40*time.Second, "ready", r.isUp)
	const answers = 12
	before, enough := r.follows.Load(), r.batches.Load()+answers
	r.within(90*time.Second, "reads", func() bool { return r.batches.Load() >= enough })
	if again := r.follows.Load() - before; again > answers/3 {
		t.Errorf("it began %d times in %d answers", again, answers)
	}
}

// TestR103SwallowedPackets has a network that swallows the packets of one replica, for moments and for seconds, and never passes
// those of connections from before: the replica is heard again soon after, as a client of go-redis is set up by default.
func TestR103SwallowedPackets(t *testing.T) {
	t.Parallel()
	s := start(t, durable...)
	a := newReplica(t, s.client(nil), nil)
	p := newProxy(t, s.addr())
	b := newReplica(t, s.client(func(o *redis.Options) { o.Addr, o.MaxRetries = p.addr(), 0 }), nil)
	a.ready()
	b.ready()
	users := 0
	heardAfter := func(outage time.Duration) (took time.Duration) {
		users++
		user := fmt.Sprintf("usr_%d", users)
		refused := b.refuses(user)
		p.swallow(true)
		time.Sleep(outage)
		a.revoke(user)
		p.swallow(false)
		took = b.within(30*time.Second, user, refused)
		t.Logf("heard %v after an outage of %v", took, outage)
		return took
	}
	// 1 s is promised. A machine that runs many tests at once gets another one, and may take longer, but not each time.
	const late, tries = 2 * time.Second, 3
	for _, outage := range []time.Duration{10, 500, 1500, 2200, 2900, 5000} {
		outage *= time.Millisecond
		slow := 0
		for slow < tries && heardAfter(outage) > late {
			slow++
		}
		if slow == tries {
			t.Errorf("later than %v after an outage of %v, each time", late, outage)
		}
	}
}

// TestR103Deadline has a network that swallows everything: Revoke ends with its context, with the default settings of go-redis, too.
func TestR103Deadline(t *testing.T) {
	t.Parallel()
	s := start(t, durable...)
	p := newProxy(t, s.addr())
	r := newReplica(t, s.client(func(o *redis.Options) { o.Addr, o.MaxRetries = p.addr(), 0 }), nil)
	r.ready()
	p.swallow(true)
	for limit, most := range map[time.Duration]time.Duration{300 * time.Millisecond: 2 * time.Second, time.Minute: 8 * time.Second} {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		began := time.Now()
		err := r.list.Revoke(ctx, mcpauthrevocation.User("usr_1"))
		if took := time.Since(began); err == nil || took > most+busy {
			t.Errorf("within %v: %v after %v", limit, err, took)
		}
		cancel()
	}
}

// TestR103ReplicaOfRedis has a server that becomes a replica of another, which it may lag behind without saying so: a list that
// reads it is not up to date, and nothing is acknowledged.
func TestR103ReplicaOfRedis(t *testing.T) {
	t.Parallel()
	primary, s := start(t, durable...), start(t, durable...)
	client := s.client(nil)
	become := func(host, port string) {
		if err := client.ReplicaOf(t.Context(), host, port).Err(); err != nil {
			t.Fatal(err)
		}
	}
	r := newReplica(t, s.client(nil), func(_ *mcpauthrevocationredis.Config, cfg *mcpauthrevocation.Config) {
		cfg.MaxStaleness = 2 * time.Second
	})
	r.ready()
	host, port, err := net.SplitHostPort(primary.addr())
	if err != nil {
		t.Fatal(err)
	}
	become(host, port)
	r.within(20*time.Second, "not up to date", func() bool { return !r.isUp() })
	for what, err := range map[string]error{
		"Revoke": r.list.Revoke(t.Context(), mcpauthrevocation.User("usr_1")), "Ready": r.store.Ready(t.Context()),
	} {
		if err == nil || !strings.Contains(err.Error(), "the server is a replica") {
			t.Errorf("%s: %v", what, err)
		}
	}
	later := newReplica(t, s.client(nil), nil)
	later.within(20*time.Second, "told", func() bool { return strings.Contains(later.log.String(), "the server is a replica") })
	if later.isUp() {
		t.Error("a list that starts at a replica of Redis is up to date")
	}
	become("no", "one")
	r.within(20*time.Second, "up again", r.isUp)
	later.ready()
	r.revoke("usr_2")
	if !r.refuses("usr_1")() {
		t.Error("what was revoked meanwhile is not in force")
	}
}

// TestR103ForeignMessages has messages of others and of another version in the stream: each is told, and what can be read counts.
func TestR103ForeignMessages(t *testing.T) {
	t.Parallel()
	s := start(t, durable...)
	client := s.client(nil)
	const at = `"at":"2026-01-01T00:00:00Z"`
	for _, values := range [][]string{
		{"hello", "world"},
		{"entries", "{}"},
		{"entries", `[{"kind":"device","id":"dev_1",` + at + `},{"kind":5,` + at + `},{"kind":"session","id":"ses_9","until":[],` + at + `}]`},
	} {
		if err := client.XAdd(t.Context(), &redis.XAddArgs{Stream: "mcpauth:revocation", Values: values}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	r := newReplica(t, s.client(nil), nil)
	r.ready()
	if n := r.list.Len(); n != 1 {
		t.Errorf("%d entries", n)
	}
	log := r.log.String()
	if strings.Count(log, "can't be read") != 3 || !strings.Contains(log, "can't be put into force") || !strings.Contains(log, "device") {
		t.Errorf("the log: %s", log)
	}
}

// TestR103AnotherType has a key that is not a stream, in a server that may lose it: nothing is let in, and the log says each of it
// once, however often the replica tries again.
func TestR103AnotherType(t *testing.T) {
	t.Parallel()
	s := start(t)
	client := s.client(nil)
	if err := client.Set(t.Context(), "mcpauth:revocation", "x", 0).Err(); err != nil {
		t.Fatal(err)
	}
	r := newReplica(t, s.client(nil), nil)
	r.within(10*time.Second, "told", func() bool { return strings.Contains(r.log.String(), "WRONGTYPE") })
	if err := r.list.Revoke(t.Context(), mcpauthrevocation.User("usr_1")); err == nil || r.isUp() {
		t.Errorf("acknowledged (%v), or up to date", err)
	}
	if err := client.ConfigResetStat(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	r.within(20*time.Second, "tried again", func() bool {
		stats := client.Info(t.Context(), "commandstats").Val()
		_, reads, _ := strings.Cut(stats, "cmdstat_xread:calls=")
		reads, _, _ = strings.Cut(reads, ",")
		n, err := strconv.Atoi(reads)
		return err == nil && n >= 4
	})
	if n := strings.Count(r.log.String(), "may lose what it is given"); n != 1 {
		t.Errorf("%d times in the log: %s", n, r.log)
	}
	if err := client.Del(t.Context(), "mcpauth:revocation").Err(); err != nil {
		t.Fatal(err)
	}
	r.ready()
}
