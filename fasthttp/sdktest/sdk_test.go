package sdktest_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthfasthttp "github.com/scalekit-mcp/mcpauth/fasthttp"
	mcpauthgosdk "github.com/scalekit-mcp/mcpauth/gosdk"
	"github.com/valyala/fasthttp"
)

// A fixture is an MCP server under fasthttp.
type fixture struct {
	env    *mcpauthtest.Environment
	server *mcp.Server
	url    string
	seen   chan struct{} // what the tool "progress" waits for
}

type none struct{}

func newFixture(t *testing.T, opts *mcp.StreamableHTTPOptions) *fixture {
	t.Helper()
	f := &fixture{env: mcpauthtest.NewEnvironment(), seen: make(chan struct{})}
	t.Cleanup(f.env.Close)
	rs, err := mcpauth.New(f.env.Config("http://localhost:3001"))
	if err != nil {
		t.Fatal(err)
	}
	server := mcp.NewServer(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	f.server = server
	mcpauthgosdk.Attach(server)
	mcp.AddTool(server, &mcp.Tool{Name: "whoami"}, func(ctx context.Context, _ *mcp.CallToolRequest, _ none) (*mcp.CallToolResult, any, error) {
		session, err := mcpauth.SessionFromContext(ctx)
		if err != nil {
			return nil, nil, err
		}
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: session.UserID()}}}, nil, nil
	})
	mcp.AddTool(server, &mcp.Tool{Name: "progress"}, func(ctx context.Context, req *mcp.CallToolRequest, _ none) (*mcp.CallToolResult, any, error) {
		for i := range 3 {
			err := req.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: req.Params.GetProgressToken(), Progress: float64(i + 1)})
			if err != nil {
				return nil, nil, err
			}
			select {
			case <-f.seen:
			case <-time.After(10 * time.Second):
				return nil, nil, errors.New("the client has not seen the progress")
			}
		}
		return &mcp.CallToolResult{}, nil, nil
	})
	app := &fasthttp.Server{ReadBufferSize: 32 << 10, StreamRequestBody: true, DisablePreParseMultipartForm: true}
	mcpauthfasthttp.Mount(app, rs, mcpauthgosdk.Handler(rs, mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, opts)))
	var lc net.ListenConfig
	listener, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := app.Serve(listener); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = app.ShutdownWithContext(ctx)
		<-ended
	})
	f.url = "http://" + listener.Addr().String() + "/mcp"
	return f
}

// A bearer adds a token to each request, from a function so that it can change.
type bearer func() string

func (b bearer) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+b())
	return http.DefaultTransport.RoundTrip(req)
}

func (f *fixture) connect(t *testing.T, user string, opts *mcp.ClientOptions) *mcp.ClientSession {
	t.Helper()
	client := mcp.NewClient(&mcp.Implementation{Name: "client", Version: "1"}, opts)
	tokens := bearer(func() string { return f.env.Token(map[string]any{"sub": user}) })
	session, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: f.url, HTTPClient: &http.Client{Transport: tokens}, DisableStandaloneSSE: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	return session
}

func whoami(ctx context.Context, session *mcp.ClientSession) (string, error) {
	result, err := session.CallTool(ctx, &mcp.CallToolParams{Name: "whoami"})
	if err != nil {
		return "", err
	}
	text, ok := result.Content[0].(*mcp.TextContent)
	if !ok || result.IsError {
		return "", fmt.Errorf("answer %+v", result)
	}
	return text.Text, nil
}

func modes(t *testing.T, test func(*testing.T, *mcp.StreamableHTTPOptions)) {
	t.Parallel()
	for name, opts := range map[string]*mcp.StreamableHTTPOptions{
		"stateful": {}, "stateless": {Stateless: true}, "stateful JSON": {JSONResponse: true}, "stateless JSON": {Stateless: true, JSONResponse: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, opts)
		})
	}
}

// TestR69EachCallSeesItsOwnUser runs two users, with a new token for every call, 200 calls each at once.
func TestR69EachCallSeesItsOwnUser(t *testing.T) {
	modes(t, func(t *testing.T, opts *mcp.StreamableHTTPOptions) {
		f := newFixture(t, opts)
		var wg sync.WaitGroup
		for _, user := range []string{"usr_ada", "usr_grace"} {
			session := f.connect(t, user, nil)
			for range 4 {
				wg.Go(func() {
					for range 50 {
						if got, err := whoami(t.Context(), session); err != nil || got != user {
							t.Errorf("%s saw %q, %v", user, got, err)
							return
						}
					}
				})
			}
		}
		wg.Wait()
	})
}

// TestProgressArrivesOnTime: the tool waits until the client has seen each notification.
func TestProgressArrivesOnTime(t *testing.T) {
	t.Parallel()
	for _, stateless := range []bool{false, true} {
		f := newFixture(t, &mcp.StreamableHTTPOptions{Stateless: stateless})
		session := f.connect(t, "usr_ada", &mcp.ClientOptions{ProgressNotificationHandler: func(context.Context, *mcp.ProgressNotificationClientRequest) {
			f.seen <- struct{}{}
		}})
		params := &mcp.CallToolParams{Name: "progress"}
		params.SetProgressToken("p")
		result, err := session.CallTool(t.Context(), params)
		if err != nil || result.IsError {
			t.Errorf("stateless=%v: %+v, %v", stateless, result, err)
		}
	}
}

// stream opens the stand-alone stream of an MCP session.
func (f *fixture) stream(t *testing.T, id, lastEvent string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Authorization": "Bearer " + f.env.Token(map[string]any{"sub": "usr_ada"}), "Accept": "text/event-stream",
		"Mcp-Session-Id": id, "Mcp-Protocol-Version": "2025-06-18", "Last-Event-Id": lastEvent,
	} {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// TestStreamReconnects: the go-sdk allows one stand-alone stream, and refuses a second until the first is gone, which it
// learns from the request's context alone.
func TestStreamReconnects(t *testing.T) {
	t.Parallel()
	f := newFixture(t, &mcp.StreamableHTTPOptions{EventStore: mcp.NewMemoryEventStore(nil)})
	id := f.connect(t, "usr_ada", nil).ID()
	lastEvent := ""
	for round := range 5 {
		var resp *http.Response
		for deadline := time.Now().Add(10 * time.Second); ; {
			resp = f.stream(t, id, lastEvent)
			if resp.StatusCode == http.StatusOK {
				break
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusConflict || time.Now().After(deadline) {
				t.Fatalf("round %d: %s", round, resp.Status)
			}
		}
		mcp.AddTool(f.server, &mcp.Tool{Name: fmt.Sprint("tool", round)}, func(context.Context, *mcp.CallToolRequest, none) (*mcp.CallToolResult, any, error) {
			return &mcp.CallToolResult{}, nil, nil
		}) // which the server tells its clients about
		lines := bufio.NewScanner(resp.Body)
		for lines.Scan() {
			if event, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
				lastEvent = event
			}
			if strings.Contains(lines.Text(), "list_changed") {
				break
			}
		}
		if lines.Err() != nil || lastEvent == "" {
			t.Errorf("round %d: event %q, %v", round, lastEvent, lines.Err())
		}
		_ = resp.Body.Close()
	}
}
