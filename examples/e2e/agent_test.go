package e2e_test

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/auth/extauth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"
	"github.com/scalekit-mcp/mcpauth/devenv"
	"github.com/scalekit-mcp/mcpauth/examples/tools"
)

var buildAgent = sync.OnceValues(func() (string, error) {
	path := filepath.Join(programs.dir, "agent")
	out, err := exec.Command("go", "build", "-o", path, "github.com/scalekit-mcp/mcpauth/examples/agent").CombinedOutput()
	if err != nil {
		_, _ = os.Stderr.Write(out)
	}
	return path, err
})

// agent runs the example agent with a client's credentials.
func agent(t *testing.T, env *devenv.Environment, client devenv.Client, flags ...string) (stdout, stderr string, err error) {
	t.Helper()
	path, err := buildAgent()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, flags...)
	cmd.Env = append(os.Environ(), "SCALEKIT_ENVIRONMENT_URL="+env.URL(), "AGENT_CLIENT_ID="+client.ID, "AGENT_CLIENT_SECRET="+client.Secret)
	var out, said strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &said
	err = cmd.Run()
	return strings.TrimSpace(out.String()), strings.TrimSpace(said.String()), err
}

// An agent is a client that was registered on the MCP server. It gets in without a user, as a machine, and no further than its
// scopes.
func TestR43Agent(t *testing.T) {
	forEach(t, func(t *testing.T, framework string) {
		for mode, variable := range modes {
			t.Run(mode, func(t *testing.T) {
				t.Parallel()
				server, env := start(t, framework, devenv.Config{Clients: []devenv.Client{{ID: "m2m_agent", Secret: "s3cret", Scopes: []string{"announce:send", "orders:read"}}}}, variable)
				registered := env.Clients()[0]
				out, said, err := agent(t, env, registered, "-url", server.URL)
				var identity tools.Identity
				if err != nil || json.Unmarshal([]byte(out), &identity) != nil || identity.UserID != "m2m_agent" || !identity.Machine ||
					identity.OrganizationID != "" || !slices.Equal(identity.Scopes, []string{"announce:send"}) { // the MCP server has no orders:read
					t.Errorf("whoami: %s %s %v", out, said, err)
				}
				if out, said, err := agent(t, env, registered, "-url", server.URL, "-tool", "announce", "-args", `{"text":"it runs"}`); err != nil || out != "m2m_agent announces: it runs" {
					t.Errorf("announce: %s %s %v", out, said, err)
				}
				// There is no user who could give an agent more scopes or a role.
				without := env.CreateClient("greet:write")
				for _, tool := range []string{"announce", "audit"} {
					if out, said, err := agent(t, env, without, "-url", server.URL, "-tool", tool, "-args", `{"text":"it runs"}`); err == nil || out != "" || !strings.HasPrefix(said, "agent: ") {
						t.Errorf("%s without its scope or role: %s %s %v", tool, out, said, err)
					}
				}
				for name, client := range map[string]devenv.Client{
					"a wrong secret": {ID: registered.ID, Secret: "wr0ng-secret"}, "the API credentials": {ID: env.ClientID(), Secret: env.ClientSecret()},
				} {
					if out, said, err := agent(t, env, client, "-url", server.URL); err == nil || out != "" || strings.Contains(said, client.Secret) {
						t.Errorf("%s: %s %s %v", name, out, said, err)
					}
				}
			})
		}
	})
}

// The go-sdk has a client of its own for agents. It finds the token endpoint in the metadata of the MCP server, and asks for
// more scopes when a tool needs them.
func TestR43AgentOfTheSDK(t *testing.T) {
	forEach(t, func(t *testing.T, framework string) {
		server, env := start(t, framework, devenv.Config{})
		registered := env.CreateClient("profile:read", "announce:send")
		handler, err := extauth.NewClientCredentialsHandler(&extauth.ClientCredentialsHandlerConfig{Credentials: &oauthex.ClientCredentials{
			ClientID: registered.ID, ClientSecretAuth: &oauthex.ClientSecretAuth{ClientSecret: registered.Secret},
		}})
		if err != nil {
			t.Fatal(err)
		}
		session, err := mcp.NewClient(&mcp.Implementation{Name: "agent", Version: "1"}, nil).Connect(t.Context(),
			&mcp.StreamableClientTransport{Endpoint: server.URL, HTTPClient: &http.Client{}, OAuthHandler: handler}, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = session.Close() })
		for tool, want := range map[string]string{"whoami": `"machine":true`, "announce": registered.ID + " announces: it runs"} {
			params := &mcp.CallToolParams{Name: tool}
			if tool == "announce" {
				params.Arguments = map[string]any{"text": "it runs"}
			}
			result, err := session.CallTool(t.Context(), params)
			if err != nil {
				t.Errorf("%s: %v", tool, err)
				continue
			}
			if text, ok := result.Content[0].(*mcp.TextContent); !ok || result.IsError || !strings.Contains(text.Text, want) {
				t.Errorf("%s: %+v", tool, result.Content[0])
			}
		}
	})
}
