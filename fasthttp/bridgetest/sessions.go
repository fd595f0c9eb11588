package bridgetest

import (
	"context"
	"errors"
	"slices"
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// OwnKey is the key of a value that a handler in front of the middleware puts into the context, for [SessionsEnd].
type OwnKey struct{}

// SessionsEnd asks for each path, twice on one connection. The handler there sends its context to contexts, and what it finds
// of a session while it streams to streamed, if the path is one of streams. In that context the session has to be gone with
// the response, and the value of [OwnKey], "kept", still there.
func SessionsEnd(t *testing.T, addr, token string, paths, streams []string, contexts <-chan context.Context, streamed <-chan error) {
	t.Helper()
	isStream := make(map[string]bool)
	for _, path := range streams {
		isStream[path] = true
	}
	for _, path := range slices.Concat(paths, streams) {
		conn := Dial(t, addr)
		for range 2 {
			conn.Send("GET " + path + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token + "\r\n\r\n")
			conn.Answer("GET")
			if isStream[path] {
				if err := Await(t, "the handler", streamed); err != nil {
					t.Errorf("%s: during the stream: %v", path, err)
				}
			}
			ctx := Await(t, "the handler", contexts)
			conn.Send("GET /unknown HTTP/1.1\r\nHost: x\r\n\r\n") // fasthttp has finished the one before
			conn.Answer("GET")
			if session, err := mcpauth.SessionFromContext(ctx); session != nil || !errors.Is(err, mcpauth.ErrNoSession) {
				t.Errorf("%s: after the response: %v, %v", path, session, err)
			}
			if ctx.Value(OwnKey{}) != "kept" {
				t.Errorf("%s: a value of a handler in front is gone", path)
			}
		}
	}
}

// SessionOfADroppedStream asks for a stream that goes on, whose handler sends its context to contexts, and drops it. The
// session in it has to be gone when shutdown has waited for the connection's end.
func SessionOfADroppedStream(t *testing.T, addr, token string, contexts <-chan context.Context, shutdown func() error) {
	t.Helper()
	conn := Dial(t, addr)
	conn.Send("GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token + "\r\n\r\n")
	if _, err := conn.From.ReadByte(); err != nil {
		t.Fatal(err)
	}
	ctx := Await(t, "the handler", contexts)
	_ = conn.Close()
	if err := shutdown(); err != nil {
		t.Fatal(err)
	}
	if _, err := mcpauth.SessionFromContext(ctx); !errors.Is(err, mcpauth.ErrNoSession) {
		t.Errorf("after the connection's end: %v", err)
	}
}
