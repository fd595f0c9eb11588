package mcpauthrevocationredis_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	mcpauthrevocation "github.com/scalekit-mcp/mcpauth/revocation"
)

// TestR103Sentinel has a primary killed, and a Sentinel promote its replica: lists go on there by themselves, with what was revoked
// before.
func TestR103Sentinel(t *testing.T) {
	t.Parallel()
	primary := start(t, durable...)
	second := start(t, append([]string{"--replicaof", "127.0.0.1 " + primary.port}, durable...)...)
	sentinel := startSentinel(t, primary.port)
	failover := func() *redis.Client {
		client := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "test", SentinelAddrs: []string{sentinel}})
		t.Cleanup(func() { _ = client.Close() })
		return client
	}
	a, b := newReplica(t, failover(), nil), newReplica(t, failover(), nil)
	a.ready()
	b.ready()
	a.revoke("usr_1")
	a.within(20*time.Second, "replicated", func() bool {
		return second.client(nil).XLen(t.Context(), "mcpauth:revocation").Val() == 1
	})
	known := redis.NewSentinelClient(&redis.Options{Addr: sentinel})
	t.Cleanup(func() { _ = known.Close() })
	a.within(30*time.Second, "the Sentinel knows the replica", func() bool {
		replicas, err := known.Replicas(t.Context(), "test").Result()
		return err == nil && len(replicas) == 1
	})
	primary.kill()
	refused := b.refuses("usr_2")
	took := a.within(60*time.Second, "acknowledged", func() bool { return a.list.Revoke(t.Context(), mcpauthrevocation.User("usr_2")) == nil })
	b.within(10*time.Second, "usr_2", refused)
	t.Logf("acknowledged %v after the primary was killed", took)
	later := newReplica(t, second.client(nil), nil)
	later.ready()
	for _, user := range []string{"usr_1", "usr_2"} {
		if !later.refuses(user)() {
			t.Errorf("%s is let in by a later replica", user)
		}
	}
}

// startSentinel starts a Sentinel that watches a primary, and returns its address.
func startSentinel(t *testing.T, port string) (address string) {
	t.Helper()
	dir := t.TempDir()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = listener.Addr().String()
	_, own, _ := net.SplitHostPort(address)
	_ = listener.Close()
	config := filepath.Join(dir, "sentinel.conf")
	text := fmt.Sprintf("port %s\nbind 127.0.0.1\ndir %s\nsentinel monitor test 127.0.0.1 %s 1\nsentinel down-after-milliseconds test 1000\nsentinel failover-timeout test 5000\n", own, dir, port)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.Background(), "redis-server", config, "--sentinel")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	})
	return address
}
