// Package mcpgo_test runs the examples with mcp-go as users do: over sockets, under each router, with real clients.
package mcpgo_test

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

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// TestR69EachCallSeesItsOwnUser runs two users, with a new token for every call, 40 calls each at once, through each
// client and each version of the protocol.
func TestR69EachCallSeesItsOwnUser(t *testing.T) {
	eachRouter(t, func(t *testing.T, serve func(*testing.T, options) *fixture) {
		for _, stateless := range []bool{false, true} {
			f := serve(t, options{stateless: stateless})
			for _, version := range []string{legacy, modern} {
				var wg sync.WaitGroup
				for _, user := range []string{ada, grace} {
					for name, whoami := range map[string]caller{"mcp-go": f.mcpgoClient(t, user, version), "go-sdk": f.sdkClient(t, user, version)} {
						for range 2 {
							wg.Go(func() {
								for range 10 {
									if got, err := whoami(t.Context()); err != nil || got != user {
										t.Errorf("%s of %s, %s, stateless=%v: saw %q, %v", name, user, version, stateless, got, err)
										return
									}
								}
							})
						}
					}
				}
				wg.Wait()
			}
		}
	})
}

func TestR69SessionOfAnotherUser(t *testing.T) {
	eachRouter(t, func(t *testing.T, serve func(*testing.T, options) *fixture) {
		f := serve(t, options{})
		hers := f.initialize(t, ada)
		methods := map[string]string{http.MethodPost: call(7, "whoami"), http.MethodGet: "", http.MethodDelete: ""}
		for method, body := range methods {
			for token, want := range map[string]int{f.token(grace): http.StatusForbidden, f.token(ada + "\nx"): http.StatusForbidden, "": http.StatusUnauthorized} {
				if status, _ := f.send(t, message{method: method, token: token, session: hers, body: body}); status != want {
					t.Errorf("%s with token %q: status %d, want %d", method, token, status, want)
				}
			}
			if status, _ := f.send(t, message{method: method, token: f.token(ada), session: hers[1:], body: body}); status != http.StatusNotFound {
				t.Errorf("%s on a session that is not: status %d, want 404", method, status)
			}
		}

		// Each of these is with a token that the session has not seen before.
		for _, method := range []string{http.MethodPost, http.MethodGet, http.MethodDelete} {
			if status, body := f.send(t, message{method: method, token: f.token(ada), session: hers, body: methods[method]}); status != http.StatusOK {
				t.Errorf("%s by its owner: status %d: %s", method, status, body)
			}
		}
		for method, body := range methods {
			if status, _ := f.send(t, message{method: method, token: f.token(ada), session: hers, body: body}); status != http.StatusNotFound {
				t.Errorf("%s after its end: status %d, want 404", method, status)
			}
		}
	})
}

// ask is a tool that asks its caller.
func ask(s *server.MCPServer) server.ToolHandlerFunc {
	return func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		var question mcp.ElicitationRequest
		question.Params.Message = "Your password?"
		question.Params.RequestedSchema = map[string]any{"type": "object", "properties": map[string]any{"answer": map[string]any{"type": "string"}}}
		result, err := s.RequestElicitation(ctx, question)
		if err != nil {
			return nil, err
		}
		return mcp.NewToolResultText(fmt.Sprintf("%s %v", result.Action, result.Content)), nil
	}
}

// TestR69AnswerOfAnotherUser has a tool ask Ada, on the response of her call, and Grace answer. The ids of mcp-go's
// questions are 1, 2, 3.
func TestR69AnswerOfAnotherUser(t *testing.T) {
	eachRouter(t, func(t *testing.T, serve func(*testing.T, options) *fixture) {
		for _, stateless := range []bool{false, true} {
			f := serve(t, options{stateless: stateless})
			f.mcp.AddTool(mcp.NewTool("ask"), ask(f.mcp))
			hers, theirs := "", ""
			if !stateless {
				hers, theirs = f.initialize(t, ada), f.initialize(t, grace)
			}
			resp := f.open(t, message{token: f.token(ada), session: hers, body: call(3, "ask")}) //nolint:bodyclose // the end of the test does
			stream := bufio.NewReader(resp.Body)
			question := event(t, stream, "elicitation/create")
			answer := func(text string) string {
				return fmt.Sprintf(`{"jsonrpc":"2.0","id":%v,"result":{"action":"accept","content":{"answer":%q}}}`, question["id"], text)
			}
			for _, session := range []string{hers, theirs} {
				if status, _ := f.send(t, message{token: f.token(grace), session: session, body: answer("grace's")}); status < 400 {
					t.Errorf("stateless=%v: the answer of another user: status %d", stateless, status)
				}
			}
			if status, _ := f.send(t, message{token: f.token(ada), session: hers, body: answer("ada's")}); status != http.StatusAccepted {
				t.Errorf("stateless=%v: her own answer: status %d, want 202", stateless, status)
			}
			if got := fmt.Sprint(event(t, stream, `"result"`)); !strings.Contains(got, "ada's") {
				t.Errorf("stateless=%v: the tool was told %s", stateless, got)
			}
		}
	})
}

// openShort opens a stream with a token of ada that ends soon, and reads it up to a line with begin in it, or not at all. A
// machine with other things to do gets a token that lives longer.
func openShort(t *testing.T, f *fixture, begin string, of func(token string) message) (rest *bufio.Reader, end time.Time) {
	t.Helper()
	for life := 1500 * time.Millisecond; life < 30*time.Second; life *= 2 {
		end = time.Now().Add(life)
		resp := f.open(t, of(f.env.Token(map[string]any{"sub": ada, "exp": float64(end.UnixMilli()) / 1000})))
		rest = bufio.NewReader(resp.Body)
		line, err := "", error(nil)
		for resp.StatusCode == http.StatusOK && err == nil && !strings.Contains(line, begin) {
			line, err = rest.ReadString('\n')
		}
		if resp.StatusCode == http.StatusOK && err == nil && time.Now().Before(end) {
			return rest, end
		}
		_ = resp.Body.Close()
	}
	t.Fatal("the stream can't be opened")
	return nil, end
}

func TestR83StreamEndsWithItsToken(t *testing.T) {
	eachRouter(t, func(t *testing.T, serve func(*testing.T, options) *fixture) {
		f := serve(t, options{skew: time.Millisecond})
		hers := f.initialize(t, ada)
		rest, end := openShort(t, f, "", func(token string) message {
			return message{method: http.MethodGet, token: token, session: hers}
		})
		if _, err := io.Copy(io.Discard, rest); errors.Is(err, context.DeadlineExceeded) {
			t.Error("the stream goes on")
		}
		if time.Now().Before(end) {
			t.Error("the stream ended before its token")
		}
		if status, _ := f.send(t, message{token: f.token(ada), session: hers, body: call(2, "whoami")}); status != http.StatusOK {
			t.Errorf("the session afterwards, with a new token: status %d", status)
		}
	})
}

// TestR83Subscription ends what a client listens to, whose request is a POST like those of calls.
func TestR83Subscription(t *testing.T) {
	eachRouter(t, func(t *testing.T, serve func(*testing.T, options) *fixture) {
		f := serve(t, options{skew: time.Millisecond, open: true})
		server.WithToolCapabilities(true)(f.mcp) // else there is nothing to listen to
		rest, end := openShort(t, f, "acknowledged", func(token string) message {
			return modernMessage(token, 7, "subscriptions/listen", "", `"notifications":{"toolsListChanged":true}`)
		})
		if _, err := io.Copy(io.Discard, rest); errors.Is(err, context.DeadlineExceeded) {
			t.Error("the stream goes on")
		}
		if late := time.Since(end); late < 0 || late > 15*time.Second { // 5 s, and a busy machine
			t.Errorf("the stream ended %v after its token", late)
		}
	})
}

// TestR83CallGetsItsAnswer has a tool that works for longer than its caller's token lives.
func TestR83CallGetsItsAnswer(t *testing.T) {
	eachRouter(t, func(t *testing.T, serve func(*testing.T, options) *fixture) {
		for _, stateless := range []bool{false, true} {
			f := serve(t, options{skew: time.Millisecond, stateless: stateless})
			var end atomic.Int64 // of the token, in milliseconds
			f.mcp.AddTool(mcp.NewTool("report"), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				for time.Now().UnixMilli() < end.Load()+300 {
					_ = server.ServerFromContext(ctx).SendNotificationToClient(ctx, "notifications/message", map[string]any{"level": "info", "data": "at work"})
					select {
					case <-ctx.Done():
						return nil, ctx.Err()
					case <-time.After(100 * time.Millisecond):
					}
				}
				return mcp.NewToolResultText("the answer"), nil
			})
			hers := ""
			if !stateless {
				hers = f.initialize(t, ada)
			}
			status, body := http.StatusUnauthorized, ""
			for life := 1500 * time.Millisecond; status == http.StatusUnauthorized && life < 30*time.Second; life *= 2 { // a busy machine takes its time
				end.Store(time.Now().Add(life).UnixMilli())
				token := f.env.Token(map[string]any{"sub": ada, "exp": float64(end.Load()) / 1000})
				status, body = f.send(t, message{token: token, session: hers, body: call(2, "report")})
			}
			if status != http.StatusOK || !strings.Contains(body, "the answer") {
				t.Errorf("stateless %t: status %d, %s", stateless, status, body)
			}
		}
	})
}

func TestR71ToolsDoNotSeeTheToken(t *testing.T) {
	eachRouter(t, func(t *testing.T, serve func(*testing.T, options) *fixture) {
		f := serve(t, options{})
		f.mcp.AddTool(mcp.NewTool("headers"), func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return mcp.NewToolResultText(fmt.Sprint(r.Header)), nil
		})
		token := f.token(ada)
		_, body := f.send(t, message{token: token, session: f.initialize(t, ada), body: call(2, "headers")})
		if strings.Contains(body, token[:20]) || strings.Contains(body, "Authorization") || !strings.Contains(body, "Content-Type") {
			t.Errorf("the tool sees %s", body)
		}
	})
}

func TestR81NoOtherSpellingReachesTheServer(t *testing.T) {
	eachRouter(t, func(t *testing.T, serve func(*testing.T, options) *fixture) {
		f := serve(t, options{stateless: true})
		exact := f.url
		for _, path := range []string{"/mcp", "/MCP", "/mcp/", "//mcp", "/%6dcp", "/mcp;x", "/x/../mcp"} {
			f.url = strings.TrimSuffix(exact, "/mcp") + path
			if status, body := f.send(t, message{body: call(1, "whoami")}); status != http.StatusUnauthorized && status != http.StatusNotFound || strings.Contains(body, "userId") {
				t.Errorf("%s without a token: %d %s", path, status, body)
			}
		}
	})
}

func TestBodiesAreBounded(t *testing.T) {
	eachRouter(t, func(t *testing.T, serve func(*testing.T, options) *fixture) {
		f := serve(t, options{stateless: true})
		body := strings.Replace(call(1, "greet"), `{}`, `{"name":"`+strings.Repeat("a", 5<<20)+`"}`, 1)
		if status, _ := f.send(t, message{token: f.token(ada), body: body}); status < 400 {
			t.Errorf("5 MiB: status %d", status)
		}
	})
}
