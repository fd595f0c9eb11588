package adaptertest

import (
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// A switchedList is a mcpauth.Revocation that revokes the Scalekit session ses_1 when it is switched on.
type switchedList struct {
	on      atomic.Bool
	mu      sync.Mutex
	changed []func()
}

// Watch returns the check of a session.
func (l *switchedList) Watch(session *mcpauth.Session) func() error {
	sid := session.SessionID()
	return func() error {
		if sid == "ses_1" && l.on.Load() {
			return &mcpauth.RevokedError{Entry: "session ses_1"}
		}
		return nil
	}
}

// Subscribe keeps what revoke calls.
func (l *switchedList) Subscribe(changed func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.changed = append(l.changed, changed)
}

func (l *switchedList) revoke() {
	l.on.Store(true)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, changed := range l.changed {
		changed()
	}
}

// runRevoked has streams of two sessions, one of which is revoked: its stream is over within a second, and its next request is
// refused. The other goes on.
func runRevoked(t *testing.T, f *Framework) {
	list := new(switchedList)
	a := f.prepare(t, func(cfg *mcpauth.Config) { cfg.Revocation = list })
	began, returned := make(chan string, 2), make(chan string, 2)
	release := make(chan struct{})
	a.build.Mount(a.rs, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, err := mcpauth.SessionFromContext(r.Context())
		if err != nil {
			t.Error(err)
			return
		}
		sid := session.SessionID()
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: 1\n\n")
		_ = http.NewResponseController(w).Flush()
		began <- sid
		select {
		case <-r.Context().Done():
		case <-release:
		}
		returned <- sid
	}))
	a.serve(t)
	var done sync.WaitGroup
	for _, sid := range []string{"ses_1", "ses_2"} {
		done.Go(func() {
			a.send(t, request{method: http.MethodGet, header: bearer(a.env.Token(map[string]any{"sid": sid}))})
		})
		await(t, "the stream of "+sid, began)
	}
	start := time.Now()
	list.revoke()
	if sid := await(t, "the end of a stream", returned); sid != "ses_1" {
		t.Errorf("the stream of %s ended", sid)
	}
	if took := time.Since(start); took > time.Second+busy {
		t.Errorf("it ended after %v", took)
	}
	if resp := a.send(t, request{header: bearer(a.env.Token(nil))}); resp.status != http.StatusUnauthorized {
		t.Errorf("the revoked session gets %d", resp.status)
	}
	select {
	case sid := <-returned:
		t.Errorf("the stream of %s ended", sid)
	default:
	}
	close(release)
	await(t, "the other stream", returned)
	done.Wait()
}
