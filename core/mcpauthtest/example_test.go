package mcpauthtest_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// greet is a tool as users write them: it finds its caller in the context.
func greet(ctx context.Context) (string, error) {
	session, err := mcpauth.SessionFromContext(ctx)
	if err != nil {
		return "", err
	}
	return "hello " + session.UserID(), nil
}

// A tool is tested without HTTP: the session goes straight into the context.
func ExampleNewSession() {
	session := mcpauthtest.NewSession(map[string]any{"sub": "usr_ada", "scope": "greet"})
	fmt.Println(greet(mcpauth.NewContext(context.Background(), session)))
	_, err := greet(context.Background())
	fmt.Println(err != nil)
	// Output:
	// hello usr_ada <nil>
	// true
}

// A server is tested against an environment that mints good and bad tokens, and can disappear.
func ExampleEnvironment() {
	env := mcpauthtest.NewEnvironment()
	defer env.Close()
	cfg := env.Config("https://mcp.example.com")
	cfg.RequiredScopes = []string{"greet"}
	rs, err := mcpauth.New(cfg)
	if err != nil {
		fmt.Println(err)
		return
	}

	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		decision := rs.Authenticate(r.Context(), mcpauth.Request{Method: r.Method, Path: r.URL.Path, Header: r.Header.Values})
		fmt.Println(decision.Outcome)
	}))
	defer server.Close()
	call := func(token string) {
		req, _ := http.NewRequestWithContext(context.Background(), http.MethodPost, server.URL+"/mcp", nil)
		req.Header.Set("Authorization", "Bearer "+token)
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
		}
	}

	call(env.Token(map[string]any{"scope": "greet"}))
	call(env.Token(nil))
	call(env.Token(map[string]any{"scope": "greet", "exp": 1}))
	call(env.Mint(mcpauthtest.Token{Header: map[string]any{"alg": "none"}}))

	env.Keys().Rotate()
	env.Stop()
	call(env.Token(map[string]any{"scope": "greet"}))
	// Output:
	// allowed
	// insufficient_scope
	// expired
	// invalid_token
	// unavailable
}
