// Package adaptertest defines what an adapter has to do: [Run] sends real requests over TCP to apps that an adapter
// protects, and compares status, header lines and bodies with golden files that are the same for every framework.
package adaptertest

import (
	"bufio"
	"bytes"
	"context"
	"embed"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// An App is one app of the framework under test, put together and served the way the framework's users do it.
type App interface {
	// Outer adds another middleware in front of everything. It sets a header on each response.
	Outer(name, value string)

	// Recover adds the framework's own middleware that recovers panics, in front of everything that is added later.
	Recover()

	// Use adds the adapter's Middleware to the root.
	Use(rs *mcpauth.ResourceServer)

	// Mount and MountMetadata are the adapter's functions of these names.
	Mount(rs *mcpauth.ResourceServer, handler http.Handler)
	MountMetadata(rs *mcpauth.ResourceServer)

	// Handle registers a handler of the framework's own type for all methods of prefix+path. It calls the adapter's Session
	// and answers 200 with the text that handler returns. A prefix that is not empty is a group of the framework's own kind.
	// The adapter's Middleware of guard is on the group, or on the route if there is no prefix; those of more are on the
	// route. A nil guard leaves the route open; with a prefix, guard is never nil.
	Handle(prefix, path string, handler Handler, guard *mcpauth.ResourceServer, more ...*mcpauth.ResourceServer)

	// Serve serves the app until stop is called. stop also ends open connections.
	Serve(listener net.Listener) (stop func())
}

// ServeHTTP is Serve for frameworks that are http.Handlers.
func ServeHTTP(handler http.Handler, listener net.Listener) (stop func()) {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	go server.Serve(listener) //nolint:errcheck // it ends with Close
	return func() { _ = server.Close() }
}

// RecoverHTTP recovers panics, as users write it where the framework has no middleware for that.
func RecoverHTTP(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if recover() != nil {
				w.WriteHeader(http.StatusInternalServerError)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// A Handler is the part of a framework's handler that the suite is interested in.
type Handler func(session *mcpauth.Session, err error) (text string)

// A Framework is the framework under test.
type Framework struct {
	// New returns an empty app.
	New func() App

	// Only names the cases to run. If it is empty, all cases run.
	Only []string

	// Deviations names the cases that the framework can't pass, with the reason. Each is skipped.
	Deviations map[string]string
}

//go:embed testdata
var goldens embed.FS

// update is the directory to write the golden files to. If it is empty, responses are compared with them instead.
var update = os.Getenv("MCPAUTH_UPDATE_GOLDEN")

// baseURL is the public URL of the apps. They listen on another address: nothing may be taken from the address of a request.
const baseURL = "https://mcp.example.com"

// An app is a running app and its environment.
type app struct {
	env   *mcpauthtest.Environment
	addr  string
	ran   atomic.Int64 // how often the handler of mounted apps ran
	build App
	rs    *mcpauth.ResourceServer
}

// prepare returns an app that is not served yet, and a resource server for it.
func (f *Framework) prepare(t *testing.T, change func(*mcpauth.Config)) *app {
	t.Helper()
	a := &app{env: mcpauthtest.NewEnvironment(), build: f.New()}
	t.Cleanup(a.env.Close)
	a.rs = a.resourceServer(t, change)
	return a
}

func (a *app) resourceServer(t *testing.T, change func(*mcpauth.Config)) *mcpauth.ResourceServer {
	t.Helper()
	cfg := a.env.Config(baseURL)
	if change != nil {
		change(&cfg)
	}
	rs, err := mcpauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

func (a *app) serve(t *testing.T) {
	t.Helper()
	var lc net.ListenConfig
	listener, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a.addr = listener.Addr().String()
	t.Cleanup(a.build.Serve(listener))
}

// start serves an app with a mounted handler that answers 200 with the user's id and the body.
func (f *Framework) start(t *testing.T, change func(*mcpauth.Config)) *app {
	t.Helper()
	a := f.prepare(t, change)
	a.build.Mount(a.rs, http.HandlerFunc(a.handle))
	a.serve(t)
	return a
}

func (a *app) handle(w http.ResponseWriter, r *http.Request) {
	a.ran.Add(1)
	session, err := mcpauth.SessionFromContext(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusTeapot)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	_, _ = fmt.Fprintf(w, "%s %s", session.UserID(), body)
}

// A request is an HTTP request to send. A header may have several lines.
type request struct {
	method string // POST by default
	target string // /mcp by default
	header http.Header
	body   string
}

// A response is a response that was read to its end.
type response struct {
	status int
	header http.Header
	body   string
}

func bearer(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

// send sends a request on a connection of its own.
func (a *app) send(t *testing.T, req request) response {
	t.Helper()
	conn := a.dial(t)
	t.Cleanup(func() { _ = conn.Close() })
	return exchange(t, conn, bufio.NewReader(conn), req)
}

func (a *app) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{Timeout: patience}).DialContext(context.Background(), "tcp", a.addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(2 * patience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// exchange writes the request byte for byte as given (an http.Client would clean its target) and reads the response.
func exchange(t *testing.T, conn net.Conn, from *bufio.Reader, req request) response {
	t.Helper()
	if req.method == "" {
		req.method = http.MethodPost
	}
	if req.target == "" {
		req.target = "/mcp"
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", req.method, req.target)
	if req.header["Host"] == nil {
		b.WriteString("Host: mcp.example.com\r\n")
	}
	for name, lines := range req.header {
		for _, line := range lines {
			fmt.Fprintf(&b, "%s: %s\r\n", name, line)
		}
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(req.body), req.body)
	if _, err := conn.Write(b.Bytes()); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(from, &http.Request{Method: req.method})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response{resp.StatusCode, resp.Header, string(body)}
}

// text renders a response for a golden file, without the headers that the framework adds to each response by itself.
func (a *app) text(resp response) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d\n", resp.status)
	var lines []string
	for name, values := range resp.header {
		if slices.Contains([]string{"Date", "Server", "Content-Length", "Connection"}, name) {
			continue
		}
		for _, value := range values {
			lines = append(lines, name+": "+value+"\n")
		}
	}
	slices.Sort(lines)
	for _, line := range lines {
		b.WriteString(line)
	}
	b.WriteString("\n" + resp.body)
	return strings.TrimRight(strings.ReplaceAll(b.String(), a.env.URL(), "{ENV}"), "\n") + "\n"
}

// golden compares got with a golden file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	if update != "" {
		if err := os.WriteFile(filepath.Join(update, name), []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := goldens.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the response differs from %s\ngot:\n%s\nwant:\n%s", name, got, want)
	}
}
