package mcpauth_test

import (
	"fmt"
	"strings"
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// TestSharedSDKClient builds nothing before the first use, and nothing without credentials, and then one client for all.
func TestSharedSDKClient(t *testing.T) {
	t.Parallel()
	type client struct{ url, id, secret string }
	built := 0
	build := func(url, id, secret string) *client {
		built++
		return &client{url, id, secret}
	}
	cfg := goodConfig()
	rs, err := mcpauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := mcpauth.SharedSDKClient(rs, build)(); err == nil || c != nil || built != 0 || !strings.Contains(err.Error(), "SCALEKIT_CLIENT_ID") {
		t.Errorf("without credentials: %v, %v, built %d times", c, err, built)
	}
	cfg.ClientID, cfg.ClientSecret = "skc_1", mcpauth.NewSecret("secret")
	if rs, err = mcpauth.New(cfg); err != nil {
		t.Fatal(err)
	}
	shared := mcpauth.SharedSDKClient(rs, build)
	if built != 0 {
		t.Error("built before its first use")
	}
	first, err := shared()
	if err != nil || *first != (client{"https://acme.scalekit.com", "skc_1", "secret"}) {
		t.Errorf("got %v, %v", first, err)
	}
	if second, err := shared(); err != nil || second != first || built != 1 {
		t.Errorf("second use: %v, %v, built %d times", second, err, built)
	}
}

// The SDK's client calls the environment where this server reaches it: http://localhost:3002 would be the server's own container.
func TestSharedSDKClientCallsTheInternalAddress(t *testing.T) {
	t.Parallel()
	cfg := goodConfig()
	cfg.ClientID, cfg.ClientSecret = "skc_1", mcpauth.NewSecret("secret")
	cfg.InternalEnvironmentURL = "https://scalekit.internal:8443/"
	rs, err := mcpauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	url, err := mcpauth.SharedSDKClient(rs, func(url, _, _ string) string { return url })()
	if err != nil || url != "https://scalekit.internal:8443" {
		t.Errorf("the client calls %q, %v", url, err)
	}
}

// TestSharedSDKClientWithoutAnything panics where the client is set up, and not in the first request that needs it.
func TestSharedSDKClientWithoutAnything(t *testing.T) {
	t.Parallel()
	rs, err := mcpauth.New(goodConfig())
	if err != nil {
		t.Fatal(err)
	}
	build := func(string, string, string) int { return 1 }
	for want, set := range map[string]func(){
		"did mcpauth.New return an error?":           func() { mcpauth.SharedSDKClient(nil, build) },
		"give the constructor of the Scalekit SDK's": func() { mcpauth.SharedSDKClient[int](rs, nil) },
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			defer func() {
				if said := fmt.Sprint(recover()); !strings.Contains(said, want) {
					t.Errorf("it panics with %q, want %q in it", said, want)
				}
			}()
			set()
		})
	}
}
