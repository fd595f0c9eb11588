package mcpauthgosdk_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// busy is what a machine with other things to do may add to a time that is measured.
const busy = 10 * time.Second

// shortLife is usually long enough to open a stream.
const shortLife = 1500 * time.Millisecond

func noSkew(cfg *mcpauth.Config) { cfg.ClockSkew = time.Millisecond }

// asStreams makes calls end with their tokens, as streams do.
func asStreams(cfg *mcpauth.Config) { noSkew(cfg); cfg.MaxCall = -1 }

// openShort opens a stream with a token that ends soon, and reads its first event. It returns a reader of the rest. On a
// busy machine it tries again with a token that lives longer.
func openShort(t *testing.T, f *fixture, open func(token string) *http.Response) (rest *bufio.Reader, token string, end time.Time) {
	t.Helper()
	for life := shortLife; ; life *= 2 {
		var claims map[string]any
		claims, end = short(map[string]any{}, life)
		token = f.env.Token(claims)
		resp := open(token)
		rest, err := firstEvent(resp)
		if err == nil && time.Now().Before(end) {
			return rest, token, end
		}
		if life > deadline {
			t.Fatalf("the stream can't be opened: status %d, %v", resp.StatusCode, err)
		}
		_ = resp.Body.Close()
	}
}

// firstEvent reads up to the end of a stream's first event and returns the reader of the rest.
func firstEvent(resp *http.Response) (*bufio.Reader, error) {
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New(resp.Status)
	}
	from := bufio.NewReader(resp.Body)
	for {
		line, err := from.ReadString('\n')
		if err != nil {
			return nil, err
		}
		if line == "\n" {
			return from, nil
		}
	}
}

// endsAt waits for the end of a stream. Nothing more may come, and the end must not come before end.
func endsAt(t *testing.T, from io.Reader, end time.Time) {
	t.Helper()
	over := make(chan string, 1)
	go func() {
		rest, _ := io.ReadAll(from)
		over <- string(rest)
	}()
	select {
	case rest := <-over:
		if time.Now().Before(end) {
			t.Error("the stream ended before its token")
		}
		if rest != "" {
			t.Errorf("the stream goes on: %q", rest)
		}
	case <-time.After(deadline):
		t.Fatal("the stream outlives its token")
	}
}

// TestR83StandaloneStream ends a GET stream with its token. The MCP session waits for the next token of its owner.
func TestR83StandaloneStream(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setup{config: noSkew})
	id := f.open(t, f.env.Token(nil))
	rest, old, end := openShort(t, f, func(token string) *http.Response { return f.stream(t, token, id) })
	endsAt(t, rest, end)
	for method, body := range map[string]string{http.MethodPost: callWhoami, http.MethodGet: "", http.MethodDelete: ""} {
		if status := f.status(t, method, old, id, body); status != http.StatusUnauthorized {
			t.Errorf("%s with the old token: status %d", method, status)
		}
	}
	fresh := f.env.Token(map[string]any{"jti": "fresh"})
	if got := f.whoami(t, fresh, id); got != "usr_1 fresh" {
		t.Errorf("POST with a fresh token: %q", got)
	}
	again := f.stream(t, fresh, id)
	defer func() { _ = again.Body.Close() }()
	if _, err := firstEvent(again); err != nil {
		t.Errorf("GET with a fresh token: %v", err)
	}
}

// holding adds the tool hold, which reports progress once and then waits until the test releases it or its context ends. It
// sends the result to the channel.
func holding(t *testing.T, f *fixture) (release func(), outcome <-chan error) {
	t.Helper()
	hold, ended := make(chan struct{}), make(chan error, 10)
	mcp.AddTool(f.server, &mcp.Tool{Name: "hold"}, func(ctx context.Context, req *mcp.CallToolRequest, _ none) (*mcp.CallToolResult, any, error) {
		_ = req.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: "p", Progress: 1}) // the test looks
		select {
		case <-ctx.Done():
			ended <- ctx.Err()
		case <-hold:
			ended <- nil
		}
		return text("done"), nil, nil
	})
	release = sync.OnceFunc(func() { close(hold) })
	t.Cleanup(release)
	return release, ended
}

const newestMeta = `"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}`

var lastID atomic.Int32

// callHold returns a call of the tool hold, with an id that no other call has.
func callHold(meta ...string) string {
	meta = append(meta, `"progressToken":"p"`)
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"hold","arguments":{},"_meta":{%s}}}`,
		100+lastID.Add(1), strings.Join(meta, ","))
}

// TestR83StreamOfACall ends the stream of a tool call with its token, where that is configured. The tool goes on, and so
// does the MCP session.
func TestR83StreamOfACall(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setup{config: asStreams})
	release, outcome := holding(t, f)
	id := f.open(t, f.env.Token(nil))
	rest, _, end := openShort(t, f, func(token string) *http.Response { return f.send(t, http.MethodPost, token, id, callHold()) })
	endsAt(t, rest, end)
	if got := f.whoami(t, f.env.Token(map[string]any{"jti": "fresh"}), id); got != "usr_1 fresh" {
		t.Errorf("with a fresh token: %q", got)
	}
	release()
	if err := await(t, "the end of the tool", outcome); err != nil {
		t.Errorf("the tool was ended: %v", err)
	}
}

// TestR83StatelessStreamOfACall does the same on a stateless server, where the result could not be fetched again. With the
// go-sdk's PropagateRequestCancellation the tool ends as well. Without it the connection stays open until the tool returns,
// but sends nothing more.
func TestR83StatelessStreamOfACall(t *testing.T) {
	t.Parallel()
	for name, propagate := range map[string]bool{"the tool ends": true, "the tool goes on": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, setup{config: asStreams, stateless: true, http: mcp.StreamableHTTPOptions{PropagateRequestCancellation: propagate}})
			release, outcome := holding(t, f)
			rest, _, end := openShort(t, f, func(token string) *http.Response {
				return f.send(t, http.MethodPost, token, "", callHold(newestMeta),
					"Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "hold")
			})
			if !propagate {
				time.AfterFunc(time.Until(end)+500*time.Millisecond, release)
			}
			endsAt(t, rest, end)
			if err := await(t, "the end of the tool", outcome); (err != nil) != propagate {
				t.Errorf("the tool ended with %v", err)
			}
		})
	}
}

// TestR83Subscription ends a client's subscription with its token, whatever the headers say about it. The go-sdk opens such
// a stream on a stateful server too, for a version of the protocol without subscriptions, and without a header that says so.
func TestR83Subscription(t *testing.T) {
	t.Parallel()
	listen := func(meta string) string {
		return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true}%s}}`, 100+lastID.Add(1), meta)
	}
	const newest = `,"_meta":{` + newestMeta + `}`
	for name, c := range map[string]struct {
		stateless bool
		body      string
		headers   []string
	}{
		"newest version":           {true, listen(newest), []string{"Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "subscriptions/listen"}},
		"old version, no headers":  {false, listen(""), nil},
		"old version, lying":       {false, listen(""), []string{"Mcp-Method", "tools/call"}},
		"old version, stateless":   {true, listen(""), []string{"Mcp-Protocol-Version", "2025-11-25"}},
		"no version, stateless":    {true, listen(""), nil},
		"escaped method, stateful": {false, strings.Replace(listen(""), "subscriptions/", `subscriptions\/`, 1), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, setup{config: noSkew, stateless: c.stateless})
			id := ""
			if !c.stateless {
				id = f.open(t, f.env.Token(nil))
			}
			rest, _, end := openShort(t, f, func(token string) *http.Response {
				return f.send(t, http.MethodPost, token, id, strings.Replace(c.body, `"id":`, `"id":9`, 1), c.headers...)
			})
			endsAt(t, rest, end)
			if late := time.Since(end); late > 5*time.Second+busy {
				t.Errorf("it ended %v after the token", late)
			}
		})
	}
}

// TestR83CallGetsItsAnswer has a tool that reports progress for longer than its caller's token lives, called by clients of
// both kinds of server.
func TestR83CallGetsItsAnswer(t *testing.T) {
	t.Parallel()
	everyClient(t, func(t *testing.T, version string, stateless bool) {
		for _, jsonResponse := range []bool{false, true} {
			f := newFixture(t, setup{config: noSkew, stateless: stateless, http: mcp.StreamableHTTPOptions{JSONResponse: jsonResponse, PropagateRequestCancellation: true}})
			var running atomic.Bool
			var end atomic.Int64 // of the call's token
			mcp.AddTool(f.server, &mcp.Tool{Name: "report"}, func(ctx context.Context, req *mcp.CallToolRequest, _ none) (*mcp.CallToolResult, any, error) {
				until := end.Load()
				running.Store(true)
				for late := false; !late; {
					late = time.Now().UnixMilli() > until+500
					if err := req.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: req.Params.GetProgressToken(), Progress: 1}); err != nil && !jsonResponse {
						return nil, nil, err
					}
					select {
					case <-ctx.Done():
						return nil, nil, ctx.Err()
					case <-time.After(100 * time.Millisecond):
					}
				}
				return text(caller(ctx, req.Extra)), nil, nil
			})
			for span := shortLife; ; span *= 2 { // a busy machine needs more time to get to the tool
				var life atomic.Int64
				life.Store(int64(time.Minute))
				client := f.dial(t, version, func() string {
					claims, until := short(map[string]any{}, time.Duration(life.Load()))
					end.Store(until.UnixMilli())
					return f.env.Token(claims)
				}, nil)
				life.Store(int64(span))
				result, err := client.CallTool(t.Context(), &mcp.CallToolParams{Name: "report", Meta: mcp.Meta{"progressToken": "p"}})
				if err == nil && !result.IsError {
					break
				}
				if running.Load() || span > deadline {
					t.Fatalf("the answer is lost: %v, %s", err, marshal(result))
				}
			}
		}
	})
}

// TestClientReconnects has a go-sdk client whose standalone stream ends with its token. The client opens it again with the
// next token, and gets the server's notifications.
func TestClientReconnects(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setup{config: noSkew})
	var streams atomic.Int32
	changed := make(chan struct{}, 10)
	transport := &mcp.StreamableClientTransport{Endpoint: f.url, HTTPClient: &http.Client{Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
		claims := map[string]any{}
		if req.Method == http.MethodGet && streams.Add(1) == 1 {
			claims, _ = short(claims, 2*shortLife)
		}
		return bearer(func() string { return f.env.Token(claims) }).RoundTrip(req)
	})}}
	client, err := mcp.NewClient(&mcp.Implementation{Name: "client", Version: "1"}, &mcp.ClientOptions{
		ToolListChangedHandler: func(context.Context, *mcp.ToolListChangedRequest) {
			select {
			case changed <- struct{}{}:
			default:
			}
		},
	}).Connect(t.Context(), transport, nil)
	if err != nil {
		t.Fatal(err)
	}
	id := client.ID()
	for end := time.Now().Add(deadline); ; {
		if time.Now().After(end) {
			t.Fatalf("after %d streams the client hears nothing", streams.Load())
		}
		again := streams.Load() > 1 // and the first one is over
		for len(changed) > 0 {
			<-changed
		}
		f.server.AddTool(&mcp.Tool{Name: "new", InputSchema: map[string]any{"type": "object"}}, nil)
		f.server.RemoveTools("new")
		select {
		case <-changed:
			if again {
				break
			}
			continue
		case <-time.After(100 * time.Millisecond): // no stream is open
			continue
		}
		break
	}
	if client.ID() != id {
		t.Error("the client opened another MCP session")
	}
	if err := client.Close(); err != nil {
		t.Error(err)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
