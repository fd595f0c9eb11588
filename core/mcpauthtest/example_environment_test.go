package mcpauthtest_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// NewEnvironment starts the environment that a server is tested against: it mints good and bad tokens, rotates its keys, and
// can disappear.
func ExampleNewEnvironment() {
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

// Token mints a user's access token. Any claim can be changed or, with nil, left out.
func ExampleEnvironment_Token() {
	env := mcpauthtest.NewEnvironment()
	defer env.Close()
	for _, claims := range []map[string]any{
		nil,
		{"iss": env.URL()}, // the other form of the issuer
		{"aud": "res_other"},
		{"sub": nil},
	} {
		fmt.Println(outcome(env, env.Token(claims)))
	}
	// Output:
	// allowed
	// allowed
	// invalid_token
	// invalid_token
}

// Mint mints a token that a good environment never would: with another header, another key, or text that is not JSON.
func ExampleEnvironment_Mint() {
	env := mcpauthtest.NewEnvironment()
	defer env.Close()
	forger := mcpauthtest.NewKey(env.Keys().Current().ID()) // a key of our own under the environment's key id
	fmt.Println(outcome(env, env.Mint(mcpauthtest.Token{Key: forger})))
	fmt.Println(outcome(env, env.Mint(mcpauthtest.Token{Header: map[string]any{"typ": "logout+jwt"}})))
	fmt.Println(outcome(env, env.Mint(mcpauthtest.Token{RawPayload: []byte("not JSON")})))
	// Output:
	// invalid_token
	// invalid_token
	// invalid_token
}

// Handle makes another handler answer a path of the environment, and Requests counts the requests for it.
func ExampleEnvironment_Handle() {
	env := mcpauthtest.NewEnvironment()
	defer env.Close()
	env.Handle(mcpauthtest.KeysPath, http.NotFoundHandler())
	fmt.Println(outcome(env, env.Token(nil)), env.Requests(mcpauthtest.KeysPath))
	env.Handle(mcpauthtest.KeysPath, nil)
	fmt.Println(outcome(env, env.Token(nil)), env.Requests(mcpauthtest.KeysPath))
	// Output:
	// unavailable 1
	// allowed 2
}

// Stop, Start and SetDelay make the environment disappear, come back, and answer slowly.
func ExampleEnvironment_Stop() {
	env := mcpauthtest.NewEnvironment()
	defer env.Close()
	token := env.Token(nil)
	env.Stop()
	fmt.Println(outcome(env, token))
	env.Start()
	env.SetDelay(50 * time.Millisecond)
	fmt.Println(outcome(env, token))
	// Output:
	// unavailable
	// allowed
}

// Config is the configuration of a server that trusts the environment. Change what the test is about before New.
func ExampleEnvironment_Config() {
	env := mcpauthtest.NewEnvironment()
	defer env.Close()
	cfg := env.Config("https://mcp.example.com")
	fmt.Println(cfg.ResourceID == env.ResourceID(), cfg.EnvironmentURL == env.URL())
	fmt.Println(env.Issuer() == env.URL()+"/resources/"+env.ResourceID())
	// Output:
	// true true
	// true
}

// outcome returns what a new server that trusts env decides about a token.
func outcome(env *mcpauthtest.Environment, token string) mcpauth.Outcome {
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		return mcpauth.Outcome(err.Error())
	}
	header := http.Header{"Authorization": {"Bearer " + token}}
	request := mcpauth.Request{Method: http.MethodPost, Path: rs.Path(), Header: header.Values}
	return rs.Authenticate(context.Background(), request).Outcome
}
