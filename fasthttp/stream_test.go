package mcpauthfasthttp_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	mcpauthfasthttp "github.com/scalekit-mcp/mcpauth/fasthttp"
	"github.com/scalekit-mcp/mcpauth/fasthttp/bridgetest"
)

// TestFlushStreams: each event arrives while the handler waits for the client to say so.
func TestFlushStreams(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	_, addr := bridge(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		rc := http.NewResponseController(w)
		if err := rc.Flush(); err != nil { // the headers alone
			t.Error(err)
		}
		for i := range 100 {
			<-next
			fmt.Fprintf(w, "data: %d\n\n", i)
			if err := rc.Flush(); err != nil {
				t.Error(err)
			}
		}
	})
	conn := bridgetest.Dial(t, addr)
	for range 2 { // on one connection
		conn.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		resp, err := http.ReadResponse(conn.From, nil)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(resp.Body)
		for i := range 100 {
			bridgetest.Proceed(t, next)
			if !lines.Scan() || lines.Text() != fmt.Sprintf("data: %d", i) || !lines.Scan() {
				t.Fatalf("event %d: %q, %v", i, lines.Text(), lines.Err())
			}
		}
		if lines.Scan() || lines.Err() != nil {
			t.Errorf("%q, %v after the end", lines.Text(), lines.Err())
		}
		_ = resp.Body.Close()
	}
}

// TestBodyAfterFlush: it is gone, as under net/http, and was not left on the connection.
func TestBodyAfterFlush(t *testing.T) {
	t.Parallel()
	_, addr := bridge(t, func(w http.ResponseWriter, r *http.Request) {
		some := make([]byte, 5)
		_, err := io.ReadFull(r.Body, some)
		if err != nil {
			t.Error(err)
		}
		w.(http.Flusher).Flush()
		_, err = r.Body.Read(some)
		fmt.Fprint(w, errors.Is(err, http.ErrBodyReadAfterClose))
	})
	conn := bridgetest.Dial(t, addr)
	for range 2 {
		conn.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 100_000))
		if _, body := conn.Answer("POST"); body != "true" {
			t.Errorf("body %q", body)
		}
	}
}

// TestReadTimeoutDoesNotEndAStream: it is about requests, and not what ends a stream.
func TestReadTimeoutDoesNotEndAStream(t *testing.T) {
	t.Parallel()
	app := config()
	app.ReadTimeout, app.IdleTimeout = time.Second, bridgetest.Deadline // time enough to send a request on a busy machine
	app.Handler = mcpauthfasthttp.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		select {
		case <-r.Context().Done():
			t.Error(context.Cause(r.Context()))
		case <-time.After(1500 * time.Millisecond): // the subject of the test is time
		}
	}))
	conn := bridgetest.Dial(t, serve(t, app))
	for range 2 {
		conn.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		conn.Answer("GET")
	}
}

// TestDroppedStreamsLeaveNothing opens a thousand streams and drops them: no goroutine of theirs is left.
func TestDroppedStreamsLeaveNothing(t *testing.T) {
	const streams, atOnce = 1000, 50
	var handlers sync.WaitGroup
	app, addr := bridge(t, func(w http.ResponseWriter, r *http.Request) {
		defer handlers.Done()
		w.(http.Flusher).Flush()
		if r.URL.Path == "/noisy" {
			for {
				if _, err := w.Write(bytes.Repeat([]byte("x"), 1000)); err != nil {
					return
				}
			}
		}
		<-r.Context().Done()
	})
	var clients sync.WaitGroup
	for i := range atOnce {
		clients.Go(func() {
			for range streams / atOnce {
				handlers.Add(1)
				conn := bridgetest.Dial(t, addr)
				conn.Send("GET " + []string{"/silent", "/noisy"}[i%2] + " HTTP/1.1\r\nHost: x\r\n\r\n")
				if _, err := http.ReadResponse(conn.From, nil); err != nil { //nolint:bodyclose // it is dropped
					t.Error(err)
				}
				_ = conn.Close()
			}
		})
	}
	clients.Wait()
	handlers.Wait()
	if err := shutdown(app, bridgetest.Deadline); err != nil {
		t.Fatal(err)
	}
	noneLeft(t)
}
