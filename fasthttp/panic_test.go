package mcpauthfasthttp_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"testing"

	"github.com/scalekit-mcp/mcpauth/fasthttp/bridgetest"
)

func TestPanics(t *testing.T) {
	t.Parallel()
	handlers := map[string]func(http.ResponseWriter){
		"/panic":         func(http.ResponseWriter) { panic("secret") },
		"/written":       func(w http.ResponseWriter) { w.Header().Set("X", "y"); _, _ = io.WriteString(w, "x"); panic("secret") },
		"/code":          func(w http.ResponseWriter) { w.WriteHeader(7) },
		"/abort":         func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
		"/goexit":        func(http.ResponseWriter) { runtime.Goexit() },
		"/flushed":       func(w http.ResponseWriter) { w.(http.Flusher).Flush(); panic("secret") },
		"/flushed/abort": func(w http.ResponseWriter) { w.(http.Flusher).Flush(); panic(http.ErrAbortHandler) },
		"/fine":          func(w http.ResponseWriter) { _, _ = io.WriteString(w, "fine") },
	}
	_, addr := bridge(t, func(w http.ResponseWriter, r *http.Request) { handlers[r.URL.Path](w) })
	for path, want := range map[string]string{
		"/panic": "500 Internal Server Error <nil>", "/written": "500 Internal Server Error <nil>", "/code": "500 Internal Server Error <nil>",
		"/abort": "unexpected EOF", "/goexit": "unexpected EOF",
		"/flushed": "200  unexpected EOF", "/flushed/abort": "200  unexpected EOF", "/fine": "200 fine <nil>",
	} {
		conn := bridgetest.Dial(t, addr)
		conn.Send("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n")
		resp, err := http.ReadResponse(conn.From, nil)
		if err != nil {
			if err.Error() != want {
				t.Errorf("%s: %v, want %s", path, err, want)
			}
			continue
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if got := fmt.Sprint(resp.StatusCode, " ", string(body), " ", err); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

// TestAfterTheEnd: what a handler leaves behind can neither write nor read into the next request.
func TestAfterTheEnd(t *testing.T) {
	t.Parallel()
	result := make(chan string)
	_, addr := bridge(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "flush" {
			w.(http.Flusher).Flush()
		}
		go func() {
			<-r.Context().Done()
			_, written := w.Write([]byte("late"))
			flushed := http.NewResponseController(w).Flush()
			_, read := r.Body.Read(make([]byte, 1))
			result <- fmt.Sprint(written != nil, flushed != nil, read != nil, r.Header.Get("X"), r.URL.Path)
		}()
	})
	conn := bridgetest.Dial(t, addr)
	for i := range 10 {
		conn.Send(fmt.Sprintf("POST /%d?flush HTTP/1.1\r\nHost: x\r\nX: %d\r\nContent-Length: 2\r\n\r\nhi", i, i))
		if _, body := conn.Answer("POST"); body != "" {
			t.Errorf("body %q", body)
		}
		if got, want := bridgetest.Await(t, "the late goroutine", result), fmt.Sprintf("true true true%d/%d", i, i); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestR93PanicOfALogger: a logger that panics does not end the process, and the client has its answer.
func TestR93PanicOfALogger(t *testing.T) {
	quiet := slog.Default()
	slog.SetDefault(slog.New(panicking{slog.DiscardHandler}))
	defer slog.SetDefault(quiet)
	_, addr := bridge(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "flush" {
			w.(http.Flusher).Flush()
		}
		panic("x")
	})
	conn := bridgetest.Dial(t, addr)
	conn.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if resp, _ := conn.Answer("GET"); resp.StatusCode != http.StatusInternalServerError {
		t.Error(resp.StatusCode)
	}
	conn.Send("GET /?flush HTTP/1.1\r\nHost: x\r\n\r\n")
	resp, err := http.ReadResponse(conn.From, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("a stream that panicked seems complete")
	}
	_ = resp.Body.Close()
}

type panicking struct{ slog.Handler }

func (panicking) Enabled(context.Context, slog.Level) bool { return true }

func (panicking) Handle(context.Context, slog.Record) error { panic("a logger's panic") }
