package adaptertest

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"
)

// open sends a request whose response is a stream, and returns after the first line of it.
func (a *app) open(t *testing.T) (line string, closeConn func()) {
	t.Helper()
	conn := a.dial(t)
	if _, err := fmt.Fprintf(conn, "GET /mcp HTTP/1.1\r\nHost: mcp.example.com\r\nAuthorization: Bearer %s\r\n\r\n", a.env.Token(nil)); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil) //nolint:bodyclose // the caller closes it
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.SetDeadline(time.Now()) }() // the body is not read to its end
	line, err = bufio.NewReader(resp.Body).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return line, func() { _ = conn.Close(); _ = resp.Body.Close() }
}

// runStream sends a first event, and returns from the handler only after the client has received it.
func runStream(t *testing.T, f *Framework) {
	a := f.prepare(t, nil)
	seen := make(chan struct{})
	returned := make(chan bool, 1)
	a.build.Mount(a.rs, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: 1\n\n")
		flusher, ok := w.(http.Flusher)
		if !ok {
			t.Error("the response writer is not an http.Flusher")
			return
		}
		flusher.Flush()
		select {
		case <-seen:
			returned <- true
		case <-time.After(patience):
			returned <- false
		case <-r.Context().Done():
			returned <- false
		}
	}))
	a.serve(t)
	line, closeConn := a.open(t)
	close(seen)
	if line != "data: 1\n" || !await(t, "the handler's return", returned) {
		t.Errorf("the first event, %q, came only when the handler had returned", line)
	}
	closeConn()
}

// runTokenEnds has a stream whose handler waits only for its context: Mount has to end it when the token ends.
func runTokenEnds(t *testing.T, f *Framework) {
	var clock clock
	a := f.prepare(t, clock.set)
	ended := make(chan time.Time, 1)
	a.build.Mount(a.rs, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "data: 1\n")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-r.Context().Done():
			ended <- time.Now()
		case <-time.After(patience):
			ended <- time.Time{}
		}
	}))
	a.serve(t)
	_, closeConn := a.open(t)
	defer closeConn()
	end := clock.endTokens()
	switch at := await(t, "the handler's end", ended); {
	case at.IsZero():
		t.Error("the stream goes on without a token")
	case at.Before(end):
		t.Error("the stream ended before its token")
	}
}

func runDisconnect(t *testing.T, f *Framework) {
	a := f.prepare(t, nil)
	cancelled := make(chan bool, 1)
	a.build.Mount(a.rs, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "data: 1\n")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-r.Context().Done():
			cancelled <- true
		case <-time.After(patience):
			cancelled <- false
		}
	}))
	a.serve(t)
	_, closeConn := a.open(t)
	closeConn()
	if !await(t, "the handler's end", cancelled) {
		t.Error("the client's disconnect did not reach the handler's context")
	}
}

// runSilentDisconnect disconnects before the handler has written anything.
func runSilentDisconnect(t *testing.T, f *Framework) {
	a := f.prepare(t, nil)
	running := make(chan struct{})
	cancelled := make(chan bool, 1)
	a.build.Mount(a.rs, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(running)
		select {
		case <-r.Context().Done():
			cancelled <- true
		case <-time.After(patience):
			cancelled <- false
		}
	}))
	a.serve(t)
	conn := a.dial(t)
	if _, err := fmt.Fprintf(conn, "GET /mcp HTTP/1.1\r\nHost: mcp.example.com\r\nAuthorization: Bearer %s\r\n\r\n", a.env.Token(nil)); err != nil {
		t.Fatal(err)
	}
	await(t, "the handler's start", running)
	_ = conn.Close()
	if !await(t, "the handler's end", cancelled) {
		t.Error("the client's disconnect did not reach the handler's context")
	}
}
