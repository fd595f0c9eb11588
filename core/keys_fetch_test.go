package mcpauth_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// TestR55HugeAndEndlessDocuments has key sets that must not be read to their end, with 500 requests waiting for them, and
// with keys from before that go on being used.
func TestR55HugeAndEndlessDocuments(t *testing.T) {
	t.Parallel()
	for name, chunk := range map[string]struct {
		size  int
		pause time.Duration
	}{
		"256 MB":        {1 << 20, 0},
		"a slow drip":   {1, 10 * time.Millisecond},
		"a slow stream": {8 << 10, 100 * time.Millisecond}, // within the bound of size when the time is over
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := newClock()
			f := newFixture(t, func(cfg *mcpauth.Config) { cfg.Now = clock.now })
			var sent atomic.Int64
			endless := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				rest := int64(256 << 20)
				_, _ = io.WriteString(w, `{"keys":[`)
				for spaces := bytes.Repeat([]byte(" "), chunk.size); rest > 0 && r.Context().Err() == nil; rest -= int64(chunk.size) {
					n, err := w.Write(spaces)
					sent.Add(int64(n))
					if err != nil || http.NewResponseController(w).Flush() != nil {
						return
					}
					select {
					case <-r.Context().Done():
					case <-time.After(chunk.pause):
					}
				}
			})
			f.env.Handle(mcpauthtest.KeysPath, endless)
			good := f.env.Token(nil)
			started := time.Now()
			inParallel(500, func(int) {
				if d := authenticate(f.rs, good); d.Outcome != mcpauth.OutcomeUnavailable {
					t.Errorf("outcome %s", d.Outcome)
				}
			})
			if took := time.Since(started); took > 5*time.Second+busy {
				t.Errorf("they waited %v", took)
			}
			if n := f.env.Requests(mcpauthtest.KeysPath); n != 1 {
				t.Errorf("%d requests for 500 waiters, want 1", n)
			}
			if sent.Load() > 16<<20 { // what fits between two sockets, in addition to the one MiB that is read
				t.Errorf("%d bytes were taken", sent.Load())
			}

			f.env.Handle(mcpauthtest.KeysPath, nil)
			clock.advance(time.Minute) // and so the backoff is over
			if got := f.send(t, good); got.status != http.StatusOK {
				t.Fatalf("status %d when the key set is there again", got.status)
			}
			f.env.Handle(mcpauthtest.KeysPath, endless)
			clock.advance(6 * time.Minute)
			later := f.env.Token(m{"exp": time.Now().Add(time.Hour).Unix()})
			if got := f.send(t, later); got.status != http.StatusOK {
				t.Errorf("status %d; the keys from before are there", got.status)
			}
		})
	}
}

// TestR55OwnTimeout has an environment that accepts connections and never answers. No request waits longer than five
// seconds, a client that gives up does not end the fetch for the others, and the failure is shared.
func TestR55OwnTimeout(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.env.SetDelay(time.Hour)
	token := f.env.Token(nil)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	gone := f.rs.Authenticate(ctx, mcpauth.Request{Method: "POST", Path: "/mcp", Header: func(name string) []string {
		return map[string][]string{"Authorization": {"Bearer " + token}}[name]
	}})
	if gone.Outcome != mcpauth.OutcomeUnavailable {
		t.Errorf("a client that is gone: %s", gone.Outcome)
	}
	started := time.Now()
	inParallel(50, func(int) {
		if d := authenticate(f.rs, token); d.Outcome != mcpauth.OutcomeUnavailable {
			t.Errorf("outcome %s", d.Outcome)
		}
	})
	if took := time.Since(started); took > 5*time.Second+busy {
		t.Errorf("they waited %v", took)
	}
	if n := f.env.Requests(mcpauthtest.MetadataPath); n != 1 {
		t.Errorf("%d requests for 51 waiters, want 1", n)
	}
}

// TestR55EachSourceHasItsOwnTimeout has a source of metadata that hangs: the next one is asked in time.
func TestR55EachSourceHasItsOwnTimeout(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.env.Handle(mcpauthtest.MetadataPath, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	started := time.Now()
	if got := f.send(t, f.env.Token(nil)); got.status != http.StatusOK || time.Since(started) > 3*time.Second+busy {
		t.Errorf("status %d after %v", got.status, time.Since(started))
	}
}

// TestPanicOfTheTransport has a Config.HTTPClient that panics. It runs on a goroutine of mcpauth, where a panic would end
// the program.
func TestPanicOfTheTransport(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.HTTPClient = &http.Client{Transport: panicking{}} })
	if got := f.send(t, f.env.Token(nil)); got.status != http.StatusServiceUnavailable {
		t.Errorf("status %d", got.status)
	}
}

type panicking struct{}

func (panicking) RoundTrip(*http.Request) (*http.Response, error) {
	panic("a bug in Config.HTTPClient")
}
