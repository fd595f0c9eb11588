//go:build unix && !solaris && !aix

package mcpauthrevocationfile_test

import (
	"context"
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	mcpauthrevocation "github.com/scalekit-mcp/mcpauth/revocation"
)

// TestLocked has a process that was stopped while it held the lock: what waits for the lock ends with its context, and goes on
// when the lock is free.
func TestLocked(t *testing.T) {
	t.Parallel()
	store, path := newStore(t)
	if err := store.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	other, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(other.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	appending := func(ctx context.Context) error {
		return store.Append(ctx, []mcpauthrevocation.Entry{entry("ses_1")})
	}
	for name, call := range map[string]func(context.Context) error{
		"Append": appending, "Ready": store.Ready,
		"Follow": func(ctx context.Context) error {
			return store.Follow(ctx, "", func(mcpauthrevocation.Batch) { t.Error("followed") })
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		ended := make(chan error, 1)
		go func() { ended <- call(ctx) }()
		select {
		case err := <-ended:
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(30 * time.Second):
			t.Errorf("%s does not end with its context", name)
		}
		cancel()
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if err := appending(t.Context()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
