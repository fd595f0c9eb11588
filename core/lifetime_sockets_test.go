package mcpauth_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// TestR83StreamEndsWithItsToken opens a stream with a token that ends in a few seconds. The handler waits for its context
// alone, and the client sees a clean end.
func TestR83StreamEndsWithItsToken(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.ClockSkew = time.Millisecond })
	ended := make(chan error, 1)
	server := httptest.NewServer(protect(f.rs, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "data: 1\n\n")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		<-r.Context().Done()
		_, err := io.WriteString(w, "data: 2\n\n")
		ended <- err
	})))
	defer server.Close()
	from, end := f.openUntilItEnds(t, server.URL)
	rest, err := io.ReadAll(from)
	if err != nil || string(rest) != "\n" {
		t.Errorf("after the first event: %q, %v", rest, err)
	}
	if time.Now().Before(end) {
		t.Error("the stream ended before its token")
	}
	if err := await(t, "the handler's end", ended); err == nil {
		t.Error("writing to an ended stream succeeded")
	}
	if n := strings.Count(f.log.String(), `msg="response ended"`); n != 1 {
		t.Errorf("the end was logged %d times: %s", n, f.log)
	}
}

// openUntilItEnds opens a stream with a token that ends soon, and reads its first event. A machine with other things to do
// takes its time with that, and gets a token that lives longer.
func (f *fixture) openUntilItEnds(t *testing.T, url string) (rest *bufio.Reader, end time.Time) {
	t.Helper()
	for life := 2 * time.Second; life < patience; life *= 2 {
		token, end := f.until(life)
		resp := get(t, url, token) //nolint:bodyclose // the end of the test does
		if resp.StatusCode == http.StatusUnauthorized {
			continue
		}
		from := bufio.NewReader(resp.Body)
		if line, err := from.ReadString('\n'); err != nil || line != "data: 1\n" {
			t.Fatalf("first event: %q, %v", line, err)
		}
		if time.Now().After(end) {
			t.Fatal("the first event came only with the end")
		}
		return from, end
	}
	t.Fatal("every token had ended when its request came")
	return nil, time.Time{}
}

// TestR83ClientThatDoesNotRead has clients that read nothing, and handlers that only look at the errors of their writes:
// they return within 5 s of the end of the token.
func TestR83ClientThatDoesNotRead(t *testing.T) {
	t.Parallel()
	for _, flush := range []bool{true, false} {
		for _, version := range []string{"HTTP/1.1", "HTTP/2"} {
			t.Run(fmt.Sprintf("%s, flushing %t", version, flush), func(t *testing.T) {
				t.Parallel()
				c := newClock()
				f := newFixture(t, func(cfg *mcpauth.Config) { cfg.Now = c.now })
				returned := make(chan time.Time, 1)
				server := httptest.NewUnstartedServer(protect(f.rs, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					chunk := make([]byte, 64<<10)
					for {
						_, err := w.Write(chunk)
						if err == nil && flush {
							err = http.NewResponseController(w).Flush()
						}
						if err != nil {
							returned <- time.Now()
							return
						}
					}
				})))
				server.EnableHTTP2 = version == "HTTP/2"
				server.StartTLS()
				defer server.Close()
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Authorization", "Bearer "+f.env.Token(nil))
				resp, err := server.Client().Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = resp.Body.Close() }()
				if resp.Proto[:6] != version[:6] || resp.StatusCode != http.StatusOK {
					t.Fatalf("%s, status %d", resp.Proto, resp.StatusCode)
				}
				end := time.Now()
				c.advance(time.Hour)
				if late := await(t, "the handler's return", returned).Sub(end); late < 0 || late > 5*time.Second+busy {
					t.Errorf("the handler returned %v after the end of the token", late)
				}
			})
		}
	}
}

// TestReadTimeoutCutsNoStream has an http.Server with a ReadTimeout, as the examples do: a stream goes on for longer.
func TestReadTimeoutCutsNoStream(t *testing.T) {
	t.Parallel()
	for _, http2 := range []bool{false, true} {
		for method, body := range map[string]string{http.MethodGet: "", http.MethodPost: "a body"} {
			t.Run(fmt.Sprintf("%s, HTTP/2 %t", method, http2), func(t *testing.T) {
				t.Parallel()
				f := newFixture(t, nil)
				const timeout = 2 * time.Second // with time for a handshake on a busy machine
				server := httptest.NewUnstartedServer(protect(f.rs, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					for range 3 {
						_, _ = io.WriteString(w, "x")
						_ = http.NewResponseController(w).Flush()
						select {
						case <-r.Context().Done():
							return
						case <-time.After(timeout / 2):
						}
					}
				})))
				server.EnableHTTP2 = http2
				server.Config.ReadTimeout = timeout
				server.StartTLS()
				defer server.Close()
				req, err := http.NewRequestWithContext(t.Context(), method, server.URL, strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Authorization", "Bearer "+f.env.Token(nil))
				resp, err := server.Client().Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = resp.Body.Close() }()
				if got, err := io.ReadAll(resp.Body); err != nil || string(got) != "xxx" {
					t.Errorf("%s: %q, %v", resp.Proto, got, err)
				}
			})
		}
	}
}
