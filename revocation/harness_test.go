package mcpauthrevocation_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	mcpauthrevocation "github.com/scalekit-mcp/mcpauth/revocation"
)

// patience is how long a test waits for what has to come. Only a failing test waits that long.
const patience = 30 * time.Second

type m = map[string]any

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

// newList returns a list that runs until the test ends, and its log. It has caught up with a store that answers.
func newList(t testing.TB, cfg mcpauthrevocation.Config) (*mcpauthrevocation.List, *logBuffer) {
	t.Helper()
	log := new(logBuffer)
	cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
	list, err := mcpauthrevocation.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	run(t, list)
	return list, log
}

// run has a list follow its store until the test ends or stop is called.
func run(t testing.TB, list *mcpauthrevocation.List) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := list.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	}()
	stop = func() {
		cancel()
		select {
		case <-ended:
		case <-time.After(patience):
			t.Error("Run does not return")
		}
	}
	t.Cleanup(stop)
	for deadline := time.Now().Add(patience); list.Ready(ctx) != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the list does not become ready: ", list.Ready(ctx))
		}
	}
	return stop
}

func revoke(t testing.TB, list *mcpauthrevocation.List, entries ...mcpauthrevocation.Entry) {
	t.Helper()
	if err := list.Revoke(context.Background(), entries...); err != nil {
		t.Fatal(err)
	}
}

// entryOf returns what a session was refused for, or "".
func entryOf(t testing.TB, check func() error) string {
	t.Helper()
	err := check()
	if err == nil {
		return ""
	}
	if revoked := (*mcpauth.RevokedError)(nil); errors.As(err, &revoked) {
		return revoked.Entry
	}
	t.Fatalf("not an entry: %v", err)
	return ""
}
