package mcpauth_test

import (
	"errors"
	"fmt"
	"os"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// New reports every mistake in the configuration at once, each with what to do about it.
func ExampleNew() {
	_, err := mcpauth.New(mcpauth.Config{
		EnvironmentURL: "https://acme.scalekit.com",
		BaseURL:        "http://mcp.example.com",
		ResourceID:     "conn_1",
	})
	fmt.Println(err)
	// Output:
	// BaseURL: "http://mcp.example.com" is not encrypted; use https (http is for loopback only)
	// ResourceID: "conn_1" is a connection id; the MCP server's id starts with res_ and is shown by the dashboard under MCP Auth
}

// ConfigFromEnv reads the settings that differ between development and production. The program adds what is the same in
// both.
func ExampleConfigFromEnv() {
	for name, value := range map[string]string{ // as the shell or the platform does
		"SCALEKIT_ENVIRONMENT_URL": "https://acme.scalekit.com",
		"SCALEKIT_RESOURCE_ID":     "res_123",
		"BASE_URL":                 "https://mcp.example.com",
	} {
		_ = os.Setenv(name, value)
		defer func() { _ = os.Unsetenv(name) }()
	}

	cfg := mcpauth.ConfigFromEnv()
	cfg.Scopes = []string{"orders:read", "orders:write"}
	rs, err := mcpauth.New(cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(rs.Resource(), "is served at", rs.Path())
	// Output: https://mcp.example.com/mcp is served at /mcp
}

// ConfigErrors lists the mistakes one by one, for a program that shows them in its own words.
func ExampleConfigErrors() {
	_, err := mcpauth.New(mcpauth.Config{BaseURL: "https://mcp.example.com/mcp", ClientID: "skc_1"})
	for mistake := range mcpauth.ConfigErrors(err) {
		fmt.Println("please mend", mistake.Field)
	}
	// Output:
	// please mend EnvironmentURL
	// please mend ClientSecret
	// please mend BaseURL
}

// A ConfigError says which field is wrong, what it holds, and what to do about it.
func ExampleConfigError() {
	_, err := mcpauth.New(mcpauth.Config{EnvironmentURL: "https://acme.scalekit.com", BaseURL: "mcp.example.com"})
	var first *mcpauth.ConfigError
	if errors.As(err, &first) {
		fmt.Println(first.Field)
		fmt.Println(first.Error())
	}
	// Output:
	// BaseURL
	// BaseURL: "mcp...." has no scheme https; give the public URL of this server, such as https://host.example.com
}

// A Secret is not shown by anything that prints or logs a configuration; Reveal returns it.
func ExampleNewSecret() {
	cfg := mcpauth.Config{ClientID: "skc_1", ClientSecret: mcpauth.NewSecret("test_Xyz...")}
	fmt.Println(cfg.ClientSecret)
	fmt.Println(cfg.ClientSecret.Reveal())
	// Output:
	// [redacted]
	// test_Xyz...
}

// SharedSDKClient makes one client of the Scalekit SDK from the server's own settings, on its first use.
func ExampleSharedSDKClient() {
	type sdkClient struct{ environmentURL, clientID string }           // in production: scalekit.Scalekit
	newClient := func(environmentURL, clientID, _ string) *sdkClient { // in production: scalekit.NewScalekitClient
		return &sdkClient{environmentURL, clientID}
	}

	rs, err := mcpauth.New(mcpauth.Config{
		EnvironmentURL: "https://acme.scalekit.com", BaseURL: "https://mcp.example.com",
		ClientID: "skc_1", ClientSecret: mcpauth.NewSecret("test_Xyz..."),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := mcpauth.SharedSDKClient(rs, newClient)
	first, err := client()
	if err != nil {
		fmt.Println(err)
		return
	}
	second, err := client()
	fmt.Println(first.environmentURL, first == second, err)
	// Output: https://acme.scalekit.com true <nil>
}
