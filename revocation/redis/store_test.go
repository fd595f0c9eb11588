package mcpauthrevocationredis_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	mcpauthrevocation "github.com/scalekit-mcp/mcpauth/revocation"
	mcpauthrevocationredis "github.com/scalekit-mcp/mcpauth/revocation/redis"
)

// TestR103Redis has what one replica revokes in force on another within a second, and on one that starts later.
func TestR103Redis(t *testing.T) {
	t.Parallel()
	s := start(t, durable...)
	a, b := newReplica(t, s.client(nil), nil), newReplica(t, s.client(nil), nil)
	a.ready()
	b.ready()
	for i := range 30 {
		user := fmt.Sprintf("usr_%d", i)
		refused := b.refuses(user)
		a.revoke(user)
		b.within(time.Second, user, refused)
	}
	if err := errors.Join(a.list.Ready(t.Context()), a.store.Ready(t.Context())); err != nil {
		t.Error(err)
	}
	var many []mcpauthrevocation.Entry
	for i := range 3000 {
		many = append(many, mcpauthrevocation.User(fmt.Sprintf("usr_many_%d", i)))
	}
	if err := a.list.Revoke(t.Context(), many...); err != nil {
		t.Fatal(err)
	}
	c := newReplica(t, s.client(nil), nil)
	c.ready()
	if n := c.list.Len(); n != 3030 {
		t.Errorf("the later one has %d entries", n)
	}
	if c.log.String() != "" && strings.Contains(c.log.String(), "WARN") {
		t.Errorf("the log: %s", c.log)
	}
}

// TestR103KilledRedis has the server killed with -9 and restarted with its file: nothing acknowledged is lost, and replicas
// go on by themselves.
func TestR103KilledRedis(t *testing.T) {
	t.Parallel()
	s := start(t, durable...)
	a, b := newReplica(t, s.client(nil), nil), newReplica(t, s.client(nil), nil)
	a.ready()
	b.ready()
	a.revoke("usr_1")
	s.kill()
	if err := a.list.Revoke(t.Context(), mcpauthrevocation.User("usr_2")); err == nil {
		t.Error("acknowledged without a server")
	}
	if !a.refuses("usr_2")() {
		t.Error("not in force where it was revoked")
	}
	if b.refuses("usr_2")() || !b.isUp() {
		t.Error("the other replica refuses others than those that it knows of")
	}
	s.run()
	a.within(5*time.Second, "again", func() bool { return a.list.Revoke(t.Context(), mcpauthrevocation.User("usr_3")) == nil })
	b.within(3*time.Second, "usr_3", b.refuses("usr_3"))
	c := newReplica(t, s.client(nil), nil)
	c.ready()
	for _, user := range []string{"usr_1", "usr_3"} {
		if !c.refuses(user)() {
			t.Errorf("%s is let in by a later replica", user)
		}
	}
	if strings.Contains(a.log.String()+b.log.String(), "lost its past") {
		t.Errorf("the log: %s%s", a.log, b.log)
	}
}

// TestR103EmptiedRedis has the server lose its file, or its memory, or its memory while nothing but a new entry is seen: the replicas
// append what they hold, and a later one knows it.
func TestR103EmptiedRedis(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*testing.T, *server, *redis.Client){
		"killed, without its file": func(_ *testing.T, s *server, _ *redis.Client) { s.kill(); s.lose(); s.run() },
		"flushed": func(t *testing.T, _ *server, client *redis.Client) {
			if err := client.FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
		},
		"flushed, with an entry at once": func(t *testing.T, _ *server, client *redis.Client) {
			_, err := client.TxPipelined(t.Context(), func(p redis.Pipeliner) error {
				p.FlushAll(t.Context())
				p.XAdd(t.Context(), &redis.XAddArgs{Stream: "mcpauth:revocation", Values: []string{"entries", "[]"}})
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		},
		"its last message lost": func(t *testing.T, _ *server, client *redis.Client) {
			last, err := client.XRevRangeN(t.Context(), "mcpauth:revocation", "+", "-", 1).Result()
			if err != nil {
				t.Fatal(err)
			}
			if err := client.XDel(t.Context(), "mcpauth:revocation", last[0].ID).Err(); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, durable...)
			client := s.client(nil)
			a := newReplica(t, s.client(nil), nil)
			a.ready()
			for i := range 5 {
				a.revoke(fmt.Sprintf("usr_%d", i))
			}
			a.reads(client)
			lose(t, s, client)
			a.within(10*time.Second, "found out", func() bool { return strings.Contains(a.log.String(), "appended again") })
			later := newReplica(t, s.client(nil), nil)
			later.ready()
			for i := range 5 {
				later.within(5*time.Second, "appended again", later.refuses(fmt.Sprintf("usr_%d", i)))
			}
		})
	}
}

// TestR103FrozenRedis has a server that does not answer for a while: after MaxStaleness nothing is let in, what is known stays
// in force, and a second after it answers all is as before.
func TestR103FrozenRedis(t *testing.T) {
	t.Parallel()
	s := start(t, durable...)
	client := s.client(nil)
	r := newReplica(t, client, func(_ *mcpauthrevocationredis.Config, cfg *mcpauthrevocation.Config) {
		cfg.MaxStaleness = 2 * time.Second
	})
	r.ready()
	refused := r.refuses("usr_1")
	r.revoke("usr_1")
	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	r.within(4*time.Second, "stale", func() bool { return !r.isUp() })
	if read, ok := r.readAt.Load().(time.Time); !ok || time.Since(read) < 2*time.Second {
		t.Errorf("stale %v after it has read something", time.Since(read))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := r.list.Revoke(ctx, mcpauthrevocation.User("usr_2")); err == nil {
		t.Error("acknowledged by a frozen server")
	}
	if err := s.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	r.within(2*time.Second, "up again", r.isUp)
	if !refused() {
		t.Error("usr_1 is let in")
	}
}

// TestR103VolatileRedis has servers that may lose the stream: nothing is acknowledged, unless that is allowed.
func TestR103VolatileRedis(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"Debian's default":   {nil, "appendonly yes"},
		"evicting":           {append([]string{"--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"}, durable...), "noeviction"},
		"evicting at random": {append([]string{"--maxmemory-policy", "allkeys-random"}, durable...), "noeviction"},
		"evicting with TTL":  {append([]string{"--maxmemory", "100mb", "--maxmemory-policy", "volatile-lru"}, durable...), ""},
		"everysec":           {[]string{"--appendonly", "yes"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, c.args...)
			strict := newReplica(t, s.client(nil), nil)
			loose := newReplica(t, s.client(nil), func(cfg *mcpauthrevocationredis.Config, _ *mcpauthrevocation.Config) {
				cfg.DangerouslyAllowVolatile = true
			})
			strict.ready()
			loose.ready()
			for what, err := range map[string]error{
				"Revoke": strict.list.Revoke(t.Context(), mcpauthrevocation.User("usr_1")), "Ready": strict.list.Ready(t.Context()),
			} {
				if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
					t.Errorf("%s: %v", what, err)
				}
			}
			if !strict.refuses("usr_1")() {
				t.Error("not in force where it was revoked")
			}
			loose.revoke("usr_2")
			if err := loose.list.Ready(t.Context()); err != nil {
				t.Error(err)
			}
			for _, r := range []*replica{strict, loose} {
				if strings.Contains(r.log.String(), "may lose what it is given") != (c.want != "") {
					t.Errorf("the log: %s", r.log)
				}
			}
		})
	}
}

// TestR103FullRedis has a server without memory: it acknowledges nothing, and says why.
func TestR103FullRedis(t *testing.T) {
	t.Parallel()
	s := start(t, durable...)
	client := s.client(nil)
	r := newReplica(t, s.client(nil), nil)
	r.ready()
	r.revoke("usr_1")
	s.set(client, "maxmemory", "1")
	if err := r.list.Revoke(t.Context(), mcpauthrevocation.User("usr_2")); err == nil || !strings.Contains(err.Error(), "OOM") {
		t.Errorf("a full server: %v", err)
	}
	if !r.isUp() || !r.refuses("usr_1")() || !r.refuses("usr_2")() {
		t.Error("what is known is not in force")
	}
	s.set(client, "maxmemory", "0")
	r.revoke("usr_2")
}

// TestR103Password has a server with users: one that may ask for INFO, and one that may not.
func TestR103Password(t *testing.T) {
	t.Parallel()
	users := strings.Fields("--user default off --user mcp on >secret ~mcpauth:* +xadd +xread +xrange +xinfo +info --user blind on >secret ~mcpauth:* +xadd +xread +xrange +xinfo")
	s := start(t, append(users, durable...)...)
	as := func(user, password string) *redis.Client {
		return s.client(func(o *redis.Options) { o.Username, o.Password = user, password })
	}
	r := newReplica(t, as("mcp", "secret"), nil)
	r.ready()
	r.revoke("usr_1")
	blind := newReplica(t, as("blind", "secret"), nil)
	blind.within(10*time.Second, "usr_1", blind.refuses("usr_1"))
	if err := blind.list.Revoke(t.Context(), mcpauthrevocation.User("usr_2")); err == nil || !strings.Contains(err.Error(), "allow the command INFO") {
		t.Errorf("without INFO: %v", err)
	}
	wrong := newReplica(t, as("mcp", "wrong"), nil)
	if err := wrong.list.Revoke(t.Context(), mcpauthrevocation.User("usr_2")); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("a wrong password: %v", err)
	}
	if wrong.isUp() {
		t.Error("ready without having read the stream")
	}
}

// TestR103Unreachable has a server that was never there, and one whose address goes nowhere any more.
func TestR103Unreachable(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0") // accepts nothing, and answers nothing
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	client := redis.NewClient(&redis.Options{Addr: listener.Addr().String(), MaxRetries: -1, DialTimeout: time.Second})
	defer func() { _ = client.Close() }()
	r := newReplica(t, client, nil)
	began := time.Now()
	if err := r.list.Revoke(t.Context(), mcpauthrevocation.User("usr_1")); err == nil {
		t.Error("acknowledged")
	}
	if took := time.Since(began); took > 8*time.Second+busy {
		t.Errorf("it took %v", took)
	}
	if r.isUp() {
		t.Error("ready without having read the stream")
	}
}

// TestR103Trimmed has messages that are older than Keep leave the stream, and a replica that has read none for longer go on.
func TestR103Trimmed(t *testing.T) {
	t.Parallel()
	s := start(t, durable...)
	client := s.client(nil)
	old := fmt.Sprintf("%d-0", time.Now().Add(-48*time.Hour).UnixMilli())
	for i := range 300 {
		if err := client.XAdd(t.Context(), &redis.XAddArgs{Stream: "mcpauth:revocation", ID: strings.TrimSuffix(old, "0") + fmt.Sprint(i), Values: []string{"entries", "[]"}}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	r := newReplica(t, s.client(nil), nil)
	r.ready()
	r.revoke("usr_1")
	r.revoke("usr_2")
	if n := client.XLen(t.Context(), "mcpauth:revocation").Val(); n > 102 {
		t.Errorf("the stream has %d messages", n)
	}
	other := newReplica(t, s.client(nil), nil)
	other.within(10*time.Second, "usr_2", other.refuses("usr_2"))
	time.Sleep(time.Second)
	if strings.Contains(r.log.String(), "lost its past") {
		t.Errorf("the log: %s", r.log)
	}
}

// TestConfig has settings that can't be meant.
func TestConfig(t *testing.T) {
	t.Parallel()
	if _, err := mcpauthrevocationredis.New(mcpauthrevocationredis.Config{Keep: time.Second}); err == nil || !strings.Contains(err.Error(), "Client") || !strings.Contains(err.Error(), "Keep") {
		t.Error(err)
	}
}
