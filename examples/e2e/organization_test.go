package e2e_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/scalekit-mcp/mcpauth/devenv"
	"github.com/scalekit-mcp/mcpauth/examples/client/flow"
	"github.com/scalekit-mcp/mcpauth/examples/internal/child"
)

// TestTokensWithoutOrganization has the tools called with tokens as Scalekit documents them for MCP users. The other tests
// have the organization in them.
func TestTokensWithoutOrganization(t *testing.T) {
	forEach(t, func(t *testing.T, framework string) {
		port := freePort(t)
		env, err := devenv.Start(t.Context(), devenv.Config{
			Addr: "127.0.0.1:0", ServerURL: "http://localhost:" + port + "/mcp", Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = env.Close() })
		server, err := child.Start(context.WithoutCancel(t.Context()), program(t, framework), "PORT="+port,
			"SCALEKIT_ENVIRONMENT_URL="+env.URL(), "SCALEKIT_RESOURCE_ID="+env.ResourceID(),
			"SCALEKIT_CLIENT_ID="+env.ClientID(), "SCALEKIT_CLIENT_SECRET="+env.ClientSecret())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { stop(t, server) })
		session := signIn(t, server, "usr_grace")
		if identity := mustWhoami(t, session); identity.UserID != "usr_grace" || identity.OrganizationID != "" {
			t.Errorf("whoami = %+v", identity)
		}
		_, err = session.Text(t.Context(), flow.Call{Tool: "get_organization"})
		if refused := (*flow.ToolError)(nil); !errors.As(err, &refused) || refused.Text != "no organization associated with this session" {
			t.Errorf("get_organization: %v", err)
		}
	})
}
