package mcpauthfasthttp_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/scalekit-mcp/mcpauth/fasthttp/bridgetest"
)

// kept is what a handler has kept of its request.
type kept struct {
	id string
	w  http.ResponseWriter
	r  *http.Request
}

// use does all that a handler can do with what it was given, and returns what is wrong.
func (k *kept) use() string {
	rc := http.NewResponseController(k.w)
	k.w.WriteHeader(http.StatusTeapot)
	_, written := k.w.Write([]byte("late " + k.id))
	_, read := k.r.Body.Read(make([]byte, 8))
	if written == nil || read == nil || rc.Flush() == nil || rc.SetWriteDeadline(past) == nil || rc.SetReadDeadline(past) == nil {
		return k.id + ": something of it still works"
	}
	k.w.Header().Set("X-Late", k.id)
	if k.r.URL.Path != "/"+k.id || k.r.RequestURI != "/"+k.id+"?q="+k.id || k.r.Header.Get("X-Id") != k.id || k.r.Host != "host-"+k.id ||
		k.r.Method != "M"+k.id || k.r.URL.Query().Get("q") != k.id || context.Cause(k.r.Context()) == nil {
		return fmt.Sprintf("%s: became %s %s of %s, %q, %v", k.id, k.r.Method, k.r.RequestURI, k.r.Host, k.r.Header, context.Cause(k.r.Context()))
	}
	return ""
}

// TestR82HandlersMayKeepWhatTheyGot: goroutines, connections and memory are used again, and what a handler was given is not.
// What it keeps stays as it is, and does nothing to requests that come later.
func TestR82HandlersMayKeepWhatTheyGot(t *testing.T) {
	t.Parallel()
	const clients, rounds = 20, 30
	var mu sync.Mutex
	var all []kept
	ended := make(chan struct{})
	var busy sync.WaitGroup
	_, addr := bridge(t, func(w http.ResponseWriter, r *http.Request) {
		k := kept{r.Header.Get("X-Id"), w, r}
		if len(k.id)%2 == 0 {
			w.(http.Flusher).Flush()
		}
		_, _ = io.WriteString(w, k.id)
		mu.Lock()
		all = append(all, k)
		mu.Unlock()
		busy.Go(func() {
			<-r.Context().Done()
			for {
				if _, err := w.Write([]byte("late")); err == nil {
					t.Errorf("%s: what was written late seems to be sent", k.id)
				}
				_ = http.NewResponseController(w).Flush()
				select {
				case <-ended:
					return
				default:
					time.Sleep(time.Millisecond) // so that others get to run
				}
			}
		})
	})
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			conn := bridgetest.Dial(t, addr)
			for j := range rounds {
				id := strings.Repeat("x", j%2) + fmt.Sprintf("%04d", i*rounds+j)
				conn.Send("M" + id + " /" + id + "?q=" + id + " HTTP/1.1\r\nHost: host-" + id + "\r\nX-Id: " + id + "\r\nContent-Length: 4\r\n\r\nbody")
				resp, body := conn.Answer("POST")
				if resp.StatusCode != http.StatusOK || body != id || resp.Header["X-Late"] != nil {
					t.Errorf("%s: %d %q %q", id, resp.StatusCode, body, resp.Header)
				}
			}
		})
	}
	wg.Wait()
	close(ended)
	busy.Wait()
	if len(all) != clients*rounds {
		t.Errorf("%d handlers ran", len(all))
	}
	for i := range all {
		if wrong := all[i].use(); wrong != "" {
			t.Error(wrong)
		}
	}
}

// TestHandlersThatEndTheirGoroutine take none of the others with them.
func TestHandlersThatEndTheirGoroutine(t *testing.T) {
	t.Parallel()
	_, addr := bridge(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "flush" {
			w.(http.Flusher).Flush()
		}
		if r.URL.Path == "/goexit" {
			runtime.Goexit()
		}
		_, _ = io.WriteString(w, r.URL.Path)
	})
	for range 50 {
		for _, target := range []string{"/goexit", "/goexit?flush"} {
			conn := bridgetest.Dial(t, addr)
			conn.Send("GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n")
			if all, err := io.ReadAll(conn.From); err != nil || bytes.HasSuffix(all, []byte("0\r\n\r\n")) {
				t.Fatalf("%s: %q, %v", target, all, err)
			}
			conn = bridgetest.Dial(t, addr)
			for _, target := range []string{"/fine", "/fine?flush"} {
				conn.Send("GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n")
				if _, body := conn.Answer("GET"); body != "/fine" {
					t.Fatalf("%s: %q", target, body)
				}
			}
		}
	}
}

// TestWorkersEnd a few seconds after the last request, streams or not, of handlers that were quick and of some that were not.
func TestWorkersEnd(t *testing.T) {
	const clients = 100
	var together sync.WaitGroup
	together.Add(clients)
	app, addr := bridge(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/together" {
			together.Done()
			together.Wait()
			time.Sleep(50 * time.Millisecond) // all are watched
		}
		if r.URL.RawQuery == "flush" {
			w.(http.Flusher).Flush()
		}
	})
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			conn := bridgetest.Dial(t, addr)
			for _, path := range []string{"/together", "/alone", "/alone?flush"} {
				if i%2 == 0 && path == "/together" {
					path += "?flush"
				}
				conn.Send("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n")
				conn.Answer("GET")
			}
		})
	}
	wg.Wait()
	if err := shutdown(app, bridgetest.Deadline); err != nil {
		t.Fatal(err)
	}
	noneLeft(t)
}

// noneLeft waits until no goroutine runs a function of the package.
func noneLeft(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(bridgetest.Deadline); ; {
		stacks := make([]byte, 8<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		left := bytes.Count(stacks, []byte("mcpauth/fasthttp.")) // of the package, not of its tests
		if left == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d frames are left:\n%s", left, stacks)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestDisconnectAfterALateBody: a handler that takes long is told once its body has come.
func TestDisconnectAfterALateBody(t *testing.T) {
	t.Parallel()
	half, cause := make(chan struct{}, 1), make(chan error, 1)
	_, addr := bridge(t, func(_ http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadFull(r.Body, make([]byte, 10_000)); err != nil {
			t.Error(err)
		}
		half <- struct{}{}
		if n, err := io.Copy(io.Discard, r.Body); n != 10_000 || err != nil {
			t.Error(n, err)
		}
		half <- struct{}{}
		<-r.Context().Done()
		cause <- context.Cause(r.Context())
	})
	for _, head := range []string{"Content-Length: 20000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n4e20\r\n"} {
		conn := bridgetest.Dial(t, addr)
		conn.Send("POST / HTTP/1.1\r\nHost: x\r\n" + head + strings.Repeat("x", 10_000))
		bridgetest.Await(t, "half of the body", half)
		time.Sleep(50 * time.Millisecond) // the subject of the test is time
		conn.Send(strings.Repeat("x", 10_000))
		if strings.Contains(head, "chunked") {
			conn.Send("\r\n0\r\n\r\n")
		}
		bridgetest.Await(t, "half of the body", half)
		_ = conn.Close()
		if err := bridgetest.Await(t, "the end of the context", cause); err == nil || !strings.Contains(err.Error(), "disconnected") {
			t.Error(err)
		}
	}
}
