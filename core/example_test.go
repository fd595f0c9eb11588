package mcpauth_test

import (
	"errors"
	"fmt"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// Every mistake is reported at once, each with its cure.
func ExampleNew() {
	_, err := mcpauth.New(mcpauth.Config{
		EnvironmentURL: "https://acme.scalekit.com",
		BaseURL:        "http://mcp.example.com",
		ResourceID:     "conn_1",
	})
	fmt.Println(err)

	var first *mcpauth.ConfigError
	fmt.Println(errors.As(err, &first), first.Field)
	// Output:
	// BaseURL: "http://mcp.example.com" is not encrypted; use https (http is for loopback only)
	// ResourceID: "conn_1" is a connection id; the MCP server's id starts with res_ and is shown by the dashboard under MCP Auth
	// true BaseURL
}

// Scopes are asked of the session where one rule for the whole endpoint is not enough.
func ExampleSession_HasScopes() {
	session := mcpauthtest.NewSession(map[string]any{"scope": "orders:read orders:write"})
	fmt.Println(session.HasScopes("orders:read"), session.HasScopes("orders:read", "orders:delete"))
	// Output: true false
}
