package mcpauthrevocationredis_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthrevocation "github.com/scalekit-mcp/mcpauth/revocation"
	mcpauthrevocationredis "github.com/scalekit-mcp/mcpauth/revocation/redis"
)

// A logBuffer collects log lines of several goroutines.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// A replica is a list that follows a server until the test ends.
type replica struct {
	t     testing.TB
	store *mcpauthrevocationredis.Store
	list  *mcpauthrevocation.List
	log   *logBuffer
}

func newReplica(t testing.TB, client *redis.Client, change func(*mcpauthrevocationredis.Config, *mcpauthrevocation.Config)) *replica {
	t.Helper()
	r := &replica{t: t, log: new(logBuffer)}
	logger := slog.New(slog.NewTextHandler(r.log, nil))
	storeConfig, listConfig := mcpauthrevocationredis.Config{Client: client, Logger: logger}, mcpauthrevocation.Config{Logger: logger}
	if change != nil {
		change(&storeConfig, &listConfig)
	}
	var err error
	if r.store, err = mcpauthrevocationredis.New(storeConfig); err != nil {
		t.Fatal(err)
	}
	listConfig.Store = r.store
	if r.list, err = mcpauthrevocation.New(listConfig); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- r.list.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	})
	return r
}

// within waits until ok returns true.
func (r *replica) within(limit time.Duration, what string, ok func() bool) time.Duration {
	r.t.Helper()
	began := time.Now()
	for !ok() {
		if time.Since(began) > limit {
			r.t.Fatalf("%s: not within %v: %s", what, limit, r.log)
		}
		time.Sleep(time.Millisecond)
	}
	return time.Since(began)
}

// refuses returns why the session of a user is refused.
func (r *replica) refuses(user string) func() bool {
	check := r.list.Watch(mcpauthtest.NewSession(map[string]any{"sub": user, "iat": time.Now().Unix() - 2}))
	return func() bool { err := check(); return err != nil && strings.Contains(err.Error(), "user "+user) }
}

func (r *replica) isUp() bool {
	return r.list.Watch(mcpauthtest.NewSession(map[string]any{"sub": "usr_nobody_revoked"}))() == nil
}

func (r *replica) ready() { r.t.Helper(); r.within(20*time.Second, "ready", r.isUp) }

func (r *replica) revoke(user string) {
	r.t.Helper()
	if err := r.list.Revoke(r.t.Context(), mcpauthrevocation.User(user)); err != nil {
		r.t.Fatal(err)
	}
}
