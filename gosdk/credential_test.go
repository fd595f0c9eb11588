package mcpauthgosdk_test

import (
	"context"
	"strings"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// TestNoCredentialForTools calls a tool that returns its headers, with an API key.
func TestNoCredentialForTools(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setup{stateless: true, config: func(cfg *mcpauth.Config) {
		cfg.CredentialHeader = "X-Api-Key"
		cfg.Credential = func(context.Context, string, string) (*mcpauth.Claims, error) {
			return &mcpauth.Claims{Subject: "robot", ExpiresAt: time.Now().Add(time.Hour)}, nil
		}
	}})
	resp := f.send(t, "POST", "", "", callOf("headers"), "X-Api-Key", "s3cret-key")
	defer func() { _ = resp.Body.Close() }()
	var b strings.Builder
	_ = resp.Write(&b)
	if said := b.String(); resp.StatusCode != 200 || strings.Contains(said, "s3cret-key") {
		t.Errorf("the tool sees the API key: %s", said)
	}
}
