package deploy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	"github.com/scalekit-mcp/mcpauth/examples/tools"
	mcpauthgosdk "github.com/scalekit-mcp/mcpauth/gosdk"
	mcpauthhttp "github.com/scalekit-mcp/mcpauth/nethttp"
)

// A backend is a protected MCP server on a port of its own.
type backend struct {
	port    string
	env     *mcpauthtest.Environment // nil behind devenv
	server  *http.Server
	seen    chan struct{} // the client confirms an event
	arrived chan struct{} // a request has come whose client will leave
	left    chan struct{} // its handler has seen the client leave
	log     *log
}

// newBackend starts a backend whose tokens are minted by the test.
func newBackend(t *testing.T, base, name string, stateless bool) *backend {
	t.Helper()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	b := serve(t, env.Config(base), name, stateless)
	b.env = env
	return b
}

// serve starts a backend with the tools of the examples, and some of its own.
func serve(t *testing.T, config mcpauth.Config, name string, stateless bool) *backend {
	t.Helper()
	b := &backend{seen: make(chan struct{}), arrived: make(chan struct{}, 1), left: make(chan struct{}, 1), log: new(log)}
	config.Logger = slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	rs, err := mcpauth.New(config)
	if err != nil {
		t.Fatal(err)
	}
	server := tools.New(rs, config.Logger)
	mcp.AddTool(server, &mcp.Tool{Name: "replica"}, func(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, any, error) {
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: name}}}, nil, nil
	})
	mcp.AddTool(server, &mcp.Tool{Name: "steps"}, b.steps)
	policy, err := mcpauth.NewPolicy(tools.Rules)
	if err != nil {
		t.Fatal(err)
	}
	streamable := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{Stateless: stateless})
	protected := rs.RequireOperations(policy)(mcpauthgosdk.Handler(rs, streamable))

	mux := http.NewServeMux()
	mcpauthhttp.Mount(mux, rs, b.probes(protected))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		if rs.Ready(r.Context()) != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.port = fmt.Sprint(listener.Addr().(*net.TCPAddr).Port)
	b.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, IdleTimeout: 2 * time.Minute}
	go func() { _ = b.server.Serve(listener) }() // it ends with Close
	t.Cleanup(func() {
		_ = b.server.Close()
		if t.Failed() {
			t.Logf("the backend says:\n%s", b.log)
		}
	})
	return b
}

// patience is how long a test waits for what has to come.
const patience = 30 * time.Second

// steps reports its progress, and goes on only when the client has seen it: what a proxy keeps back, it never gets to see.
func (b *backend) steps(ctx context.Context, req *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, any, error) {
	for i := range 3 {
		progress := &mcp.ProgressNotificationParams{ProgressToken: req.Params.GetProgressToken(), Progress: float64(i)}
		if err := req.Session.NotifyProgress(ctx, progress); err != nil {
			return nil, nil, err
		}
		select {
		case <-b.seen:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "three steps"}}}, nil, nil
}

// probes answers the requests that say so by themselves, and leaves others to next. They are let in like all others.
func (b *backend) probes(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch probe := r.Header.Get("X-Probe"); probe {
		case "":
			next.ServeHTTP(w, r)
		case "length":
			n, err := io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, n, err)
		case "request":
			header := r.Header.Clone()
			header.Set("Host", r.Host)
			header.Set("Path", r.URL.Path)
			_ = json.NewEncoder(w).Encode(header)
		case "leaves", "leaves a stream":
			b.arrived <- struct{}{}
			if probe == "leaves a stream" {
				event(w, "hello")
			}
			<-r.Context().Done()
			b.left <- struct{}{}
		case "steps":
			for range 3 {
				event(w, "step")
				select {
				case <-b.seen:
				case <-r.Context().Done():
					return
				}
			}
		case "quiet", "quiet before the answer":
			quiet, _ := time.ParseDuration(r.Header.Get("X-Quiet")) // 0 fails the test, too
			if probe == "quiet" {
				event(w, "hello")
			}
			select {
			case <-time.After(quiet):
			case <-r.Context().Done():
				return
			}
			event(w, "goodbye")
		}
	})
}

func event(w http.ResponseWriter, data string) {
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprintf(w, "data: %s\n\n", data)
	_ = http.NewResponseController(w).Flush() // then the client does not see it
}
