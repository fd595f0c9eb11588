package deploy_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	"github.com/scalekit-mcp/mcpauth/examples/deploy"
	mcpauthgosdk "github.com/scalekit-mcp/mcpauth/gosdk"
	mcpauthhttp "github.com/scalekit-mcp/mcpauth/nethttp"
)

// A drained server has the tool work, which returns when the test says so.
type drained struct {
	*deploy.Drain
	server  *http.Server
	url     string
	env     *mcpauthtest.Environment
	started chan struct{}
	finish  chan struct{}
}

func newDrained(t *testing.T, endsStreams bool) *drained {
	t.Helper()
	d := &drained{env: mcpauthtest.NewEnvironment(), started: make(chan struct{}), finish: make(chan struct{})}
	t.Cleanup(d.env.Close)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d.url = "http://" + listener.Addr().String() + "/mcp"
	rs, err := mcpauth.New(d.env.Config(strings.TrimSuffix(d.url, "/mcp")))
	if err != nil {
		t.Fatal(err)
	}
	server := mcp.NewServer(&mcp.Implementation{Name: "drained", Version: "1"}, nil)
	mcpauthgosdk.Attach(server)
	mcp.AddTool(server, &mcp.Tool{Name: "work"}, func(ctx context.Context, _ *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, any, error) {
		d.started <- struct{}{}
		select {
		case <-d.finish:
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "done"}}}, nil, nil
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	})
	streamable := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{Logger: slog.New(slog.DiscardHandler)})
	mux := http.NewServeMux()
	mcpauthhttp.Mount(mux, rs, mcpauthgosdk.Handler(rs, streamable))
	d.Drain = deploy.NewDrain(rs.Ready)
	mux.Handle("GET /healthz", d)
	d.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	if endsStreams {
		d.server.Handler = d.EndStreams(mux)
	}
	go func() { _ = d.server.Serve(listener) }() // it ends with the server
	t.Cleanup(func() { _ = d.server.Close() })
	return d
}

// do sends a request of a session, and returns when the answer has begun. The test's end ends it.
func (d *drained) do(t *testing.T, method, session, message string) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, d.url, strings.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+d.env.Token(nil))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	if session != "" {
		req.Header.Set("Mcp-Session-Id", session)
	}
	return (&http.Client{Timeout: 2 * patience}).Do(req)
}

// openStream opens an MCP session, and the stream of a client that listens.
func (d *drained) openStream(t *testing.T) (session string, stream io.Reader) {
	t.Helper()
	opened, err := d.do(t, http.MethodPost, "", initialize)
	if err != nil {
		t.Fatal(err)
	}
	_ = opened.Body.Close()
	session = opened.Header.Get("Mcp-Session-Id")
	listening, err := d.do(t, http.MethodGet, session, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listening.Body.Close() })
	if listening.StatusCode != http.StatusOK {
		t.Fatalf("the stream: %s", listening.Status)
	}
	return session, listening.Body
}

// work calls the tool, and sends the answer when it is there.
func (d *drained) work(t *testing.T, session string) (answers <-chan string) {
	t.Helper()
	answered := make(chan string, 1)
	go func() {
		resp, err := d.do(t, http.MethodPost, session, `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"work","arguments":{}}}`)
		if err != nil {
			answered <- err.Error()
			return
		}
		defer func() { _ = resp.Body.Close() }()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			answered <- err.Error()
			return
		}
		answered <- string(text)
	}()
	select {
	case <-d.started:
	case answer := <-answered:
		t.Fatalf("the call ends before the tool runs: %s", answer)
	case <-time.After(patience):
		t.Fatal("the tool does not run")
	}
	return answered
}

// Streams end, without an error for the client, and a call gets its answer.
func TestDrain(t *testing.T) {
	t.Parallel()
	d := newDrained(t, true)
	session, stream := d.openStream(t)
	answered := d.work(t, session)
	ended := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		ended <- d.Shutdown(ctx, d.server, 0)
	}()
	if _, err := io.ReadAll(stream); err != nil {
		t.Errorf("the stream ends with %v", err)
	}
	select {
	case answer := <-answered:
		t.Errorf("the call is over before the tool: %s", answer)
	case err := <-ended:
		t.Errorf("the shutdown is over before the tool: %v", err)
	default:
	}
	close(d.finish)
	if answer := <-answered; !strings.Contains(answer, `"text":"done"`) {
		t.Errorf("the call is answered with %s", answer)
	}
	if err := <-ended; err != nil {
		t.Errorf("the shutdown ends with %v", err)
	}
}

// What goes on for too long is cut.
func TestDrainCuts(t *testing.T) {
	t.Parallel()
	d := newDrained(t, true)
	session, _ := d.openStream(t)
	answered := d.work(t, session)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := d.Shutdown(ctx, d.server, 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the shutdown ends with %v", err)
	}
	if answer := <-answered; strings.Contains(answer, "done") {
		t.Errorf("the call is answered with %s", answer)
	}
}

// Without EndStreams, one stream holds the shutdown up.
func TestShutdownWaitsForStreams(t *testing.T) {
	t.Parallel()
	d := newDrained(t, false)
	d.openStream(t)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := d.Shutdown(ctx, d.server, 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the shutdown ends with %v", err)
	}
}

// The contexts of streams end, and those of calls don't.
func TestEndStreams(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		method, mcpMethod string
		ends              bool
	}{
		"GET":                  {http.MethodGet, "", true},
		"subscriptions/listen": {http.MethodPost, "subscriptions/listen", true},
		"a call":               {http.MethodPost, "tools/call", false},
		"an older call":        {http.MethodPost, "", false},
		"the end of a session": {http.MethodDelete, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := deploy.NewDrain(func(context.Context) error { return nil })
			r := httptest.NewRequestWithContext(t.Context(), tc.method, "/mcp", nil)
			r.Header.Set("Mcp-Method", tc.mcpMethod)
			d.EndStreams(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if err := d.Shutdown(t.Context(), new(http.Server), 0); err != nil || r.Context().Err() != nil && !tc.ends {
					t.Errorf("%v, %v", err, r.Context().Err())
				}
				if !tc.ends {
					return
				}
				select {
				case <-r.Context().Done():
				case <-time.After(patience):
					t.Error("it goes on")
				}
			})).ServeHTTP(httptest.NewRecorder(), r)
		})
	}
}

func TestReadiness(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var unready error
		d := deploy.NewDrain(func(context.Context) error { return unready })
		status := func() int {
			w := httptest.NewRecorder()
			d.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/healthz", nil))
			return w.Code
		}
		if got := status(); got != http.StatusOK {
			t.Errorf("ready: %d", got)
		}
		unready = errors.New("no keys")
		if got := status(); got != http.StatusServiceUnavailable {
			t.Errorf("without keys: %d", got)
		}
		unready = nil

		start := time.Now()
		ended := make(chan error, 1)
		go func() { ended <- d.Shutdown(t.Context(), new(http.Server), 5*time.Second) }()
		synctest.Wait()
		if got := status(); got != http.StatusServiceUnavailable {
			t.Errorf("while the load balancer finds out: %d", got)
		}
		if err := <-ended; err != nil || time.Since(start) != 5*time.Second {
			t.Errorf("the shutdown ends after %v with %v", time.Since(start), err)
		}
	})
}
