package mcpauthrevocationredis_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
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
	t      testing.TB
	store  *mcpauthrevocationredis.Store
	list   *mcpauthrevocation.List
	log    *logBuffer
	at     atomic.Value // the position up to which it has read the stream
	readAt atomic.Value // when it began to take in what it read last: a time.Time

	follows, batches atomic.Int64 // how often it has begun to read the stream, and got an answer
}

// A watchedStore tells its replica how far it has read.
type watchedStore struct {
	*mcpauthrevocationredis.Store
	of *replica
}

func (s watchedStore) Follow(ctx context.Context, from mcpauthrevocation.Position, apply func(mcpauthrevocation.Batch)) error {
	s.of.follows.Add(1)
	return s.Store.Follow(ctx, from, func(b mcpauthrevocation.Batch) {
		s.of.readAt.Store(time.Now())
		apply(b)
		s.of.at.Store(string(b.Position))
		s.of.batches.Add(1)
	})
}

// patience is how long a test waits for what has to come, and busy what a machine with other things to do may add to a time
// that is measured.
const (
	patience = 30 * time.Second
	busy     = 5 * time.Second
)

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
	listConfig.Store = watchedStore{r.store, r}
	if r.list, err = mcpauthrevocation.New(listConfig); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.list.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			t.Error("Run does not return")
		}
	})
	return r
}

// within waits until ok returns true, and a little longer on a busy machine. It returns how long that took.
func (r *replica) within(limit time.Duration, what string, ok func() bool) time.Duration {
	r.t.Helper()
	began := time.Now()
	for !ok() {
		if time.Since(began) > limit+busy {
			r.t.Fatalf("%s: not within %v: %s", what, limit, r.log)
		}
		time.Sleep(time.Millisecond)
	}
	return time.Since(began)
}

// refuses returns whether the session of a user is refused, who signed in before anything was revoked in these tests.
func (r *replica) refuses(user string) func() bool {
	check := r.list.Watch(mcpauthtest.NewSession(map[string]any{"sub": user, "iat": time.Now().Add(-10 * time.Minute).Unix()}))
	return func() bool { err := check(); return err != nil && strings.Contains(err.Error(), "user "+user) }
}

func (r *replica) isUp() bool {
	return r.list.Watch(mcpauthtest.NewSession(map[string]any{"sub": "usr_nobody_revoked"}))() == nil
}

func (r *replica) ready() { r.t.Helper(); r.within(patience, "ready", r.isUp) }

// reads waits until the replica has read the whole stream.
func (r *replica) reads(client *redis.Client) {
	r.t.Helper()
	last, err := client.XRevRangeN(r.t.Context(), "mcpauth:revocation", "+", "-", 1).Result()
	if err != nil || len(last) != 1 {
		r.t.Fatalf("the stream: %v, %v", last, err)
	}
	r.within(patience, "read up to "+last[0].ID, func() bool { return r.at.Load() == last[0].ID })
}

func (r *replica) revoke(user string) {
	r.t.Helper()
	if err := r.list.Revoke(r.t.Context(), mcpauthrevocation.User(user)); err != nil {
		r.t.Fatal(err)
	}
}
