package mcpauthmcpgo_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	mcpauthmcpgo "github.com/scalekit-mcp/mcpauth/mcpgo"
)

// busy is what a machine with other things to do may add to a time that is measured.
const busy = 10 * time.Second

// shortLife is usually long enough to open a stream in.
const shortLife = 1500 * time.Millisecond

func noSkew(cfg *mcpauth.Config) { cfg.ClockSkew = time.Millisecond }

// asStreams has calls end with their tokens as well.
func asStreams(cfg *mcpauth.Config) { noSkew(cfg); cfg.MaxCall = -1 }

// shortToken returns a token of ada that ends soon, and when.
func (f *fixture) shortToken(life time.Duration) (token string, end time.Time) {
	end = time.UnixMilli(time.Now().Add(life).UnixMilli())
	return f.env.Token(map[string]any{"sub": ada, "exp": float64(end.UnixMilli()) / 1000}), end
}

// openShort opens a stream with a token that ends soon, and reads its first line, or none of a stream that begins with
// silence. A machine that is too busy to do so in time gets a token that lives longer.
func openShort(t *testing.T, f *fixture, silent bool, m message) (rest *bufio.Reader, end time.Time) {
	t.Helper()
	for life := shortLife; life < deadline; life *= 2 {
		m.token, end = f.shortToken(life)
		resp := f.open(t, m)
		rest = bufio.NewReader(resp.Body)
		var err error
		if resp.StatusCode != http.StatusOK {
			err = errors.New(resp.Status)
		} else if !silent {
			_, err = rest.ReadString('\n')
		}
		if err == nil && time.Now().Before(end) {
			return rest, end
		}
		_ = resp.Body.Close()
	}
	t.Fatal("the stream can't be opened")
	return nil, end
}

// endsAt waits for the end of a stream, which must come with the end of its token.
func endsAt(t *testing.T, from io.Reader, end time.Time) {
	t.Helper()
	over := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, from)
		close(over)
	}()
	select {
	case <-over:
		if late := time.Since(end); late < 0 || late > 5*time.Second+busy {
			t.Errorf("the stream ended %v after its token", late)
		}
	case <-time.After(deadline):
		t.Fatal("the stream outlives its token")
	}
}

// TestR83StandaloneStream ends a GET stream with its token, also when it is a replay. The MCP session waits for the next
// token of its owner.
func TestR83StandaloneStream(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]server.StreamableHTTPOption{
		"silent": nil, "with a heartbeat": {server.WithHeartbeatInterval(100 * time.Millisecond)}, "kept events": {server.WithEventStore(server.NewInMemoryEventStore())},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, setup{config: noSkew, options: options})
			id := f.initialize(t, f.token(ada))
			rest, end := openShort(t, f, true, message{http: http.MethodGet, session: id})
			endsAt(t, rest, end)
			if status, body := f.send(t, call(f.token(ada), id, legacy, "whoami")); status != http.StatusOK || !strings.Contains(body, ada) {
				t.Errorf("POST with a fresh token: status %d: %s", status, body)
			}
			if status, _ := f.send(t, message{http: http.MethodGet, token: f.token(ada), session: id}); status != http.StatusOK {
				t.Errorf("GET with a fresh token: status %d", status)
			}
		})
	}
}

// TestR83Subscription ends what a client listens to, whose request is a POST like those of calls. Core sees it by a header;
// Handler by what mcp-go runs, also where a middleware behind core's door has set the header.
func TestR83Subscription(t *testing.T) {
	t.Parallel()
	listen := message{version: modern, method: "subscriptions/listen", id: 7, params: `"notifications":{"toolsListChanged":true}`}
	escaped, bare := listen, listen
	escaped.body = strings.Replace(listen.text(), "subscriptions/", `subscriptions\/`, 1)
	bare.header = http.Header{"Mcp-Method": nil}
	for name, m := range map[string]message{"plain": listen, "escaped": escaped, "without the header": bare} {
		for _, stateless := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, stateless=%v", name, stateless), func(t *testing.T) {
				t.Parallel()
				var f *fixture
				f = newFixture(t, setup{config: noSkew, sessions: mcpauthmcpgo.Config{Stateless: stateless}, outer: func(next http.Handler) http.Handler {
					return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						f.rs.Serve(w, r, func(w http.ResponseWriter, r *http.Request) {
							r.Header.Set("Mcp-Method", "subscriptions/listen")
							next.ServeHTTP(w, r)
						})
					})
				}})
				rest, end := openShort(t, f, false, m)
				event(t, rest, "acknowledged")
				endsAt(t, rest, end)
			})
		}
	}
}

// reporting adds a tool that works until the end of its caller's token, which end holds in milliseconds, and half a second
// longer. It tells of its work all the time.
func reporting(s *server.MCPServer, end *atomic.Int64) {
	s.AddTool(mcp.NewTool("report"), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		for time.Now().UnixMilli() < end.Load()+500 {
			_ = s.SendNotificationToClient(ctx, "notifications/progress", map[string]any{"progressToken": "p", "progress": 1})
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(100 * time.Millisecond):
			}
		}
		return mcp.NewToolResultText(caller(ctx)), nil
	})
}

// TestR83CallGetsItsAnswer has a tool that works for longer than its caller's token lives.
func TestR83CallGetsItsAnswer(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, stateless bool, version string) {
		f := newFixture(t, setup{config: noSkew, sessions: mcpauthmcpgo.Config{Stateless: stateless}})
		var end atomic.Int64
		reporting(f.mcp, &end)
		m := call("", f.sessionOf(t, ada, stateless, version), version, "report")
		status, body := http.StatusUnauthorized, ""
		for life := shortLife; status == http.StatusUnauthorized && life < deadline; life *= 2 { // a busy machine needs more time to get to the tool
			token, until := f.shortToken(life)
			m.token = token
			end.Store(until.UnixMilli())
			status, body = f.send(t, m)
		}
		if status != http.StatusOK || !strings.Contains(body, `"text":"`+ada) {
			t.Errorf("status %d: %s", status, body)
		}
	})
}

// TestR83StreamOfACall ends the stream of a tool call with its token, where that is configured.
func TestR83StreamOfACall(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, stateless bool, version string) {
		f := newFixture(t, setup{config: asStreams, sessions: mcpauthmcpgo.Config{Stateless: stateless}})
		ended := make(chan error, 10)
		f.mcp.AddTool(mcp.NewTool("hold"), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			_ = f.mcp.SendNotificationToClient(ctx, "notifications/progress", map[string]any{"progressToken": "p", "progress": 1})
			<-ctx.Done()
			ended <- ctx.Err()
			return nil, ctx.Err()
		})
		rest, end := openShort(t, f, false, call("", f.sessionOf(t, ada, stateless, version), version, "hold"))
		endsAt(t, rest, end)
		if err := await(t, "the end of the tool", ended); err == nil {
			t.Error("the tool goes on")
		}
	})
}

// TestR69MessagesOfTheCall has two users' calls tell of their work at once, on one server: what a call says goes out on its
// own response. mcp-go may lose some of it at the end of a call.
func TestR69MessagesOfTheCall(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, stateless bool, version string) {
		f := newFixture(t, setup{sessions: mcpauthmcpgo.Config{Stateless: stateless}})
		f.mcp.AddTool(mcp.NewTool("tell"), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			for range 20 {
				if err := f.mcp.SendNotificationToClient(ctx, "notifications/message", map[string]any{"level": "info", "data": caller(ctx)}); err != nil {
					return nil, err
				}
			}
			return mcp.NewToolResultText("told"), nil
		})
		answers := make(chan [2]string, 2)
		users := []string{ada, grace}
		for _, user := range users {
			m := call(f.token(user), f.sessionOf(t, user, stateless, version), version, "tell")
			go func() {
				_, body := f.send(t, m)
				answers <- [2]string{user, body}
			}()
		}
		for range users {
			answer := await(t, "an answer", answers)
			if n := strings.Count(answer[1], `"data":"`+answer[0]); n == 0 || strings.Count(answer[1], `"data":"`) != n {
				t.Errorf("%s is told %s", answer[0], answer[1])
			}
		}
	})
}

// TestClientReconnects has a client of mcp-go whose GET stream ends with its token. It comes back by itself with the next
// token, on the same MCP session, and gets what the server sends.
func TestClientReconnects(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setup{config: noSkew})
	var streams atomic.Int32
	to, err := transport.NewStreamableHTTP(f.url, transport.WithContinuousListening(), transport.WithHTTPBasicClient(&http.Client{ //nolint:staticcheck // deprecated, and in use
		Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
			token := f.token(ada)
			if req.Method == http.MethodGet && streams.Add(1) == 1 {
				token, _ = f.shortToken(2 * shortLife)
			}
			return bearer(func() string { return token }).RoundTrip(req)
		}),
	}))
	if err != nil {
		t.Fatal(err)
	}
	c := client.NewClient(to, client.WithProtocolVersion(legacy))
	t.Cleanup(func() { _ = c.Close() })
	again := make(chan struct{}, 1) // it gets something on another stream than the first
	c.OnNotification(func(n mcp.JSONRPCNotification) {
		if n.Method == mcp.MethodNotificationToolsListChanged && streams.Load() > 1 {
			select {
			case again <- struct{}{}:
			default:
			}
		}
	})
	start(t, c, legacy)
	id := c.GetSessionId()
	for end, came := time.Now().Add(deadline), false; !came; {
		if time.Now().After(end) {
			t.Fatalf("after %d streams the client gets nothing", streams.Load())
		}
		f.mcp.SendNotificationToAllClients(mcp.MethodNotificationToolsListChanged, nil)
		select {
		case <-again:
			came = true
		case <-time.After(100 * time.Millisecond): // no stream is open
		}
	}
	if c.GetSessionId() != id {
		t.Error("the client opened another MCP session")
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
