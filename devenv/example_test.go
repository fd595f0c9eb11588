package devenv_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"

	"github.com/scalekit-mcp/mcpauth/devenv"
)

// Start runs a local environment for a server under development or in an end-to-end test. The environment's methods return
// the settings of the server.
func ExampleStart() {
	env, err := devenv.Start(context.Background(), devenv.Config{
		Addr:      "127.0.0.1:0", // a free port
		ServerURL: "http://localhost:3001/mcp",
		Users:     []devenv.User{{ID: "usr_ada", Name: "Ada", Email: "ada@example.com"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = env.Close() }()
	rs, err := mcpauth.New(mcpauth.Config{
		EnvironmentURL: env.URL(),
		ResourceID:     env.ResourceID(),
		ClientID:       env.ClientID(),
		ClientSecret:   mcpauth.NewSecret(env.ClientSecret()),
		BaseURL:        strings.TrimSuffix(env.ServerURL(), "/mcp"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(rs.Resource(), rs.Ready(context.Background()))
	// Output: http://localhost:3001/mcp <nil>
}

// Other containers reach the environment as devenv, and the browser on the machine as localhost. Everyone in the network of the
// containers can sign in as any user. In a container, Addr is 0.0.0.0:3002.
func ExampleConfig_dangerouslyAllowNetwork() {
	env, err := devenv.Start(context.Background(), devenv.Config{
		Addr:                    "127.0.0.1:0",
		DangerouslyAllowNetwork: []string{"localhost", "devenv"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = env.Close() }()
	u, err := url.Parse(env.URL())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("issuer:", u.Hostname())
	for _, name := range []string{"localhost", "devenv", "evil.example"} {
		req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://127.0.0.1:"+u.Port()+"/keys", nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		req.Host = name + ":" + u.Port()
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			fmt.Println(err)
			return
		}
		_ = resp.Body.Close()
		fmt.Println(name, resp.StatusCode)
	}
	// Output:
	// issuer: localhost
	// localhost 200
	// devenv 200
	// evil.example 421
}

// Audience is what access tokens are for. Without a registered Server URL they name the resource's id alone.
func ExampleEnvironment_Audience() {
	for _, audience := range [][]string{nil, {"res_local"}} {
		env, err := devenv.Start(context.Background(), devenv.Config{Addr: "127.0.0.1:0", Audience: audience})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(env.Audience())
		_ = env.Close()
	}
	// Output:
	// [http://localhost:3001/mcp res_local]
	// [res_local]
}

// Issuer is what access tokens name. As those from before an environment got a domain of its own, they may name another one than
// URL, where clients sign in.
func ExampleEnvironment_Issuer() {
	env, err := devenv.Start(context.Background(), devenv.Config{Addr: "127.0.0.1:0", IssuerOrigin: "https://acme.scalekit.com"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = env.Close() }()
	rs, err := mcpauth.New(mcpauth.Config{
		EnvironmentURL: env.URL(), ResourceID: env.ResourceID(), BaseURL: "http://localhost:3001",
		Issuers: []string{env.Issuer()}, // without it, tokens are refused
	})
	fmt.Println(env.Issuer(), rs.Resource(), err)
	// Output: https://acme.scalekit.com/resources/res_local http://localhost:3001/mcp <nil>
}

// RotateKeys makes the environment sign with a new key. A running server accepts old tokens and new ones.
func ExampleEnvironment_RotateKeys() {
	env, err := devenv.Start(context.Background(), devenv.Config{Addr: "127.0.0.1:0"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = env.Close() }()
	for range 2 {
		resp, err := http.Get(env.URL() + "/keys")
		if err != nil {
			fmt.Println(err)
			return
		}
		var published struct{ Keys []any }
		err = json.NewDecoder(resp.Body).Decode(&published)
		_ = resp.Body.Close()
		fmt.Println(len(published.Keys), err)
		env.RotateKeys()
	}
	// Output:
	// 1 <nil>
	// 2 <nil>
}

// CreateClient registers a program on the MCP server, such as an agent, and the program gets a token for itself.
func ExampleEnvironment_CreateClient() {
	env, err := devenv.Start(context.Background(), devenv.Config{Addr: "127.0.0.1:0"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = env.Close() }()
	agent := env.CreateClient("greet:write")
	resp, err := http.PostForm(env.URL()+"/oauth/token", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {agent.ID}, "client_secret": {agent.Secret},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	var answer struct{ Scope string }
	err = json.NewDecoder(resp.Body).Decode(&answer)
	fmt.Println(answer.Scope, err, len(env.Clients()))
	// Output: greet:write <nil> 1
}
