package mcpauth_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// TestR77StreamEndsWithItsToken opens a stream with a token that ends in a moment. The handler waits for its context
// alone.
func TestR77StreamEndsWithItsToken(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.ClockSkew = time.Millisecond })
	ended := make(chan error, 1)
	server := httptest.NewServer(protect(f.rs, f.rs.EndWithToken(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "data: 1\n\n")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		<-r.Context().Done()
		_, err := io.WriteString(w, "data: 2\n\n")
		ended <- err
	}))))
	defer server.Close()
	end := time.Now().Add(700 * time.Millisecond)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+f.env.Token(m{"exp": float64(end.UnixMilli()) / 1000}))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	from := bufio.NewReader(resp.Body)
	if line, err := from.ReadString('\n'); err != nil || line != "data: 1\n" {
		t.Fatalf("first event: %q, %v", line, err)
	}
	if time.Now().After(end) {
		t.Fatal("the first event came only with the end")
	}
	rest, err := io.ReadAll(from)
	if err != nil || string(rest) != "\n" {
		t.Errorf("after the first event: %q, %v", rest, err)
	}
	if time.Now().Before(end) {
		t.Error("the stream ended before its token")
	}
	if err := <-ended; err == nil {
		t.Error("writing to an ended stream succeeded")
	}
}

func TestEndWithTokenOnOneClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rs, err := mcpauth.New(goodConfig())
		if err != nil {
			t.Fatal(err)
		}
		serve := func(handler http.HandlerFunc) {
			session := mcpauthtest.NewSession(m{"exp": time.Now().Add(time.Minute).Unix()})
			r := httptest.NewRequestWithContext(mcpauth.NewContext(t.Context(), session), http.MethodGet, "/mcp", nil)
			rs.EndWithToken(handler).ServeHTTP(httptest.NewRecorder(), r)
		}
		serve(func(_ http.ResponseWriter, r *http.Request) {
			if _, err := mcpauth.SessionFromContext(r.Context()); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Hour)
			if r.Context().Err() != nil {
				t.Error("a response that was never flushed was ended")
			}
		})
		serve(func(w http.ResponseWriter, r *http.Request) {
			child, cancel := context.WithCancel(r.Context())
			defer cancel()
			start := time.Now()
			w.(http.Flusher).Flush() //nolint:forcetypeassert // the wrapper has to be one
			<-child.Done()
			if d := time.Since(start); d != 90*time.Second {
				t.Errorf("ended after %v, want exp and the skew of 30 s", d)
			}
			if context.Cause(child) == nil || context.Cause(child) == context.Canceled { //nolint:errorlint // the bare one
				t.Errorf("the cause is %v", context.Cause(child))
			}
		})
		serve(func(w http.ResponseWriter, r *http.Request) { // nobody looked before the end
			w.(http.Flusher).Flush() //nolint:forcetypeassert // as above
			time.Sleep(time.Hour)
			if r.Context().Err() == nil {
				t.Error("the context goes on")
			}
			if _, err := w.Write([]byte("x")); err == nil {
				t.Error("writing goes on")
			}
		})
	})
}
