package mcpauthrevocation_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthrevocation "github.com/scalekit-mcp/mcpauth/revocation"
)

// A scriptedStore fails and is silent as it is told.
type scriptedStore struct {
	*mcpauthrevocation.MemoryStore
	mu     sync.Mutex
	down   chan struct{} // closed when it fails
	silent bool
	lose   bool
}

var errDown = errors.New("the store is down")

func (s *scriptedStore) Append(ctx context.Context, entries []mcpauthrevocation.Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil {
		return errDown
	}
	return s.MemoryStore.Append(ctx, entries)
}

func (s *scriptedStore) Follow(ctx context.Context, from mcpauthrevocation.Position, apply func(mcpauthrevocation.Batch)) error {
	s.mu.Lock()
	down, lose, memory := s.down != nil, s.lose, s.MemoryStore
	s.lose = s.lose && down
	s.mu.Unlock()
	switch {
	case down:
		return errDown
	case lose:
		return mcpauthrevocation.ErrPastLost
	}
	ctx, cancel := context.WithCancelCause(ctx)
	return errors.Join(memory.Follow(ctx, from, func(b mcpauthrevocation.Batch) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.down != nil {
			cancel(errDown)
		} else if !s.silent {
			apply(b)
		}
	}), context.Cause(ctx))
}

func (s *scriptedStore) set(down, silent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down, s.silent = nil, silent
	if down {
		s.down = make(chan struct{})
	}
}

// TestR103Staleness has a store that fails, or falls silent: what is known stays in force, after MaxStaleness nothing is let
// in, and that ends by itself.
func TestR103Staleness(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		maxStaleness time.Duration
		down         bool
		after        time.Duration
		want         string
	}{
		"down, not for long":   {0, true, 4*time.Minute + 57*time.Second, ""},
		"down":                 {0, true, 5*time.Minute + 2*time.Second, "MaxStaleness"},
		"silent":               {0, false, 5*time.Minute + 2*time.Second, "MaxStaleness"},
		"a minute":             {time.Minute, true, 62 * time.Second, "MaxStaleness"},
		"for ever":             {-1, true, 10 * time.Hour, ""},
		"for ever, and silent": {-1, false, 10 * time.Hour, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			session := mcpauthtest.NewSession(nil)
			synctest.Test(t, func(t *testing.T) {
				store := &scriptedStore{MemoryStore: mcpauthrevocation.NewMemoryStore(1000 * time.Hour)}
				log := new(logBuffer)
				list, err := mcpauthrevocation.New(mcpauthrevocation.Config{
					Store: store, MaxStaleness: c.maxStaleness, Logger: slog.New(slog.NewTextHandler(log, nil)),
				})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- list.Run(ctx) }()
				synctest.Wait()
				check := list.Watch(session)
				if err := check(); err != nil {
					t.Fatal(err)
				}
				var announced atomic.Int32
				list.Subscribe(func() { announced.Add(1) })
				store.set(c.down, !c.down)
				revoke := list.Revoke(t.Context(), mcpauthrevocation.Session("ses_2"))
				if c.down != errors.Is(revoke, errDown) {
					t.Errorf("Revoke: %v", revoke)
				}
				synctest.Wait()
				if n := announced.Load(); n != 1 {
					t.Errorf("announced %d times", n)
				}
				time.Sleep(c.after)
				synctest.Wait()
				err = check()
				if stale := (*mcpauth.StaleError)(nil); errors.As(err, &stale) != (c.want != "") || stale != nil && (!strings.Contains(stale.Cause, c.want) || stale.RetryAfter < time.Second) {
					t.Errorf("the answer is %v", err)
				}
				if list.Ready(t.Context()) != err { //nolint:errorlint // it is the same
					t.Errorf("Ready returns %v", list.Ready(t.Context()))
				}
				if c.want != "" && (announced.Load() != 2 || strings.Count(log.String(), `level=WARN msg="requests are refused"`) != 1) {
					t.Errorf("announced %d times: %s", announced.Load(), log)
				}
				store.set(false, false)
				_ = store.Append(t.Context(), []mcpauthrevocation.Entry{{Kind: "session", ID: "ses_1", At: time.Now()}})
				time.Sleep(time.Second)
				if entry := entryOf(t, check); entry != "session ses_1" {
					t.Errorf("after a second: refused for %q", entry)
				}
				cancel()
				if err := <-done; !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				if err := check(); !errors.As(err, new(*mcpauth.StaleError)) || !strings.Contains(err.Error(), "not running") {
					t.Errorf("without Run: %v", err)
				}
			})
		})
	}
}

// TestR103NotReady has lists that nothing can be said of yet.
func TestR103NotReady(t *testing.T) {
	t.Parallel()
	list, err := mcpauthrevocation.New(mcpauthrevocation.Config{})
	if err != nil {
		t.Fatal(err)
	}
	session := mcpauthtest.NewSession(nil)
	for name, check := range map[string]func() error{"no Run": list.Watch(session), "nil list": (*mcpauthrevocation.List)(nil).Watch(session)} {
		if err := check(); err == nil || !strings.Contains(err.Error(), "not running") {
			t.Errorf("%s: %v", name, err)
		}
	}
	revoke(t, list, mcpauthrevocation.Session("ses_1")) // is in force later
	stop := run(t, list)
	if entry := entryOf(t, list.Watch(session)); entry != "session ses_1" {
		t.Errorf("refused for %q", entry)
	}
	if err := list.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "running already") {
		t.Errorf("a second Run: %v", err)
	}
	stop()
	if list.Ready(t.Context()) == nil {
		t.Error("ready without Run")
	}
}

// TestR103LostPast has a store that lost what it held: the list appends it again, and nothing is let in meanwhile.
func TestR103LostPast(t *testing.T) {
	t.Parallel()
	session := mcpauthtest.NewSession(nil)
	synctest.Test(t, func(t *testing.T) {
		store := &scriptedStore{MemoryStore: mcpauthrevocation.NewMemoryStore(24 * time.Hour)}
		log := new(logBuffer)
		list, err := mcpauthrevocation.New(mcpauthrevocation.Config{Store: store, Logger: slog.New(slog.NewTextHandler(log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- list.Run(ctx) }()
		synctest.Wait()
		entries := []mcpauthrevocation.Entry{mcpauthrevocation.Session("ses_1"), mcpauthrevocation.User("usr_2"), mcpauthrevocation.Member("usr_3", "org_3")}
		revoke(t, list, entries...)
		store.mu.Lock()
		store.MemoryStore, store.lose, store.down = mcpauthrevocation.NewMemoryStore(24*time.Hour), true, make(chan struct{})
		store.mu.Unlock()
		time.Sleep(3 * time.Second)
		store.set(false, false)
		time.Sleep(3 * time.Second)
		if entry := entryOf(t, list.Watch(session)); entry != "session ses_1" {
			t.Errorf("refused for %q", entry)
		}
		found := map[string]bool{}
		follow, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		_ = store.Follow(follow, "", func(b mcpauthrevocation.Batch) {
			for _, e := range b.Entries {
				found[e.String()] = true
			}
		})
		if len(found) != len(entries) || !strings.Contains(log.String(), "had lost its past") {
			t.Errorf("the store has %v: %s", found, log)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// A laggingStore has more to send than arrives.
type laggingStore struct{ behind atomic.Bool }

func (s *laggingStore) Append(context.Context, []mcpauthrevocation.Entry) error { return nil }

func (s *laggingStore) Follow(ctx context.Context, _ mcpauthrevocation.Position, apply func(mcpauthrevocation.Batch)) error {
	for ctx.Err() == nil {
		apply(mcpauthrevocation.Batch{Position: "1", CaughtUp: !s.behind.Load()})
		time.Sleep(500 * time.Millisecond)
	}
	return ctx.Err()
}

// TestR103FallingBehind has a store that answers all the time, and never with all it has: after MaxStaleness nothing is let in,
// because what was revoked since may not have come.
func TestR103FallingBehind(t *testing.T) {
	t.Parallel()
	session := mcpauthtest.NewSession(nil)
	synctest.Test(t, func(t *testing.T) {
		store := new(laggingStore)
		list, err := mcpauthrevocation.New(mcpauthrevocation.Config{Store: store, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- list.Run(ctx) }()
		synctest.Wait()
		check := list.Watch(session)
		for _, c := range []struct {
			behind bool
			after  time.Duration
			stale  bool
		}{{false, time.Hour, false}, {true, 4 * time.Minute, false}, {true, 2 * time.Minute, true}, {false, time.Second, false}} {
			store.behind.Store(c.behind)
			time.Sleep(c.after)
			if err := check(); errors.As(err, new(*mcpauth.StaleError)) != c.stale {
				t.Errorf("behind %t, after %v: %v", c.behind, c.after, err)
			}
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}
