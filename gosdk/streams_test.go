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

// shortLife is usually long enough to open a stream in.
const shortLife = 1500 * time.Millisecond

func noSkew(cfg *mcpauth.Config) { cfg.ClockSkew = time.Millisecond }

// openShort opens a stream with a token that ends soon, and reads its first event. It returns the reader of the rest. A
// machine that is too busy to do so in time gets a token that lives longer.
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

// endsAt waits for the end of a stream, which says nothing more and must not come before end.
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

// TestR77StandaloneStream ends a GET stream with its token. The MCP session waits for the next token of its owner.
func TestR77StandaloneStream(t *testing.T) {
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

// holding adds the tool hold, which reports progress once and then waits until the test ends it, or its context ends. It
// says on the channel how it came out.
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

// callHold is a call of the tool, with an id that no other one has.
func callHold(meta ...string) string {
	meta = append(meta, `"progressToken":"p"`)
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"hold","arguments":{},"_meta":{%s}}}`,
		100+lastID.Add(1), strings.Join(meta, ","))
}

// TestR77StreamOfACall ends the stream of a tool call with its token. The tool goes on, and so does the MCP session.
func TestR77StreamOfACall(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setup{config: noSkew})
	release, outcome := holding(t, f)
	id := f.open(t, f.env.Token(nil))
	rest, _, end := openShort(t, f, func(token string) *http.Response { return f.send(t, http.MethodPost, token, id, callHold()) })
	endsAt(t, rest, end)
	if got := f.whoami(t, f.env.Token(map[string]any{"jti": "fresh"}), id); got != "usr_1 fresh" {
		t.Errorf("with a fresh token: %q", got)
	}
	release()
	if err := <-outcome; err != nil {
		t.Errorf("the tool was ended: %v", err)
	}
}

// TestR77StatelessStreamOfACall does it on a stateless server, where nobody could ask for the result again: with the
// go-sdk's PropagateRequestCancellation the tool ends as well. Without it the connection stays open until the tool
// returns, but says nothing more.
func TestR77StatelessStreamOfACall(t *testing.T) {
	t.Parallel()
	for name, propagate := range map[string]bool{"the tool ends": true, "the tool goes on": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, setup{config: noSkew, stateless: true, http: mcp.StreamableHTTPOptions{PropagateRequestCancellation: propagate}})
			release, outcome := holding(t, f)
			rest, _, end := openShort(t, f, func(token string) *http.Response {
				return f.send(t, http.MethodPost, token, "", callHold(newestMeta),
					"Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "hold")
			})
			if !propagate {
				time.AfterFunc(time.Until(end)+500*time.Millisecond, release)
			}
			endsAt(t, rest, end)
			if err := <-outcome; (err != nil) != propagate {
				t.Errorf("the tool ended with %v", err)
			}
		})
	}
}

// TestR77Subscription ends what a client of the newest version listens to.
func TestR77Subscription(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setup{config: noSkew, stateless: true})
	rest, _, end := openShort(t, f, func(token string) *http.Response {
		return f.send(t, http.MethodPost, token, "",
			`{"jsonrpc":"2.0","id":9,"method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true},"_meta":{`+newestMeta+`}}}`,
			"Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "subscriptions/listen")
	})
	endsAt(t, rest, end)
}

// TestClientReconnects has a go-sdk client whose standalone stream ends with its token. It comes back by itself with the
// next one, and hears what the server says.
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
