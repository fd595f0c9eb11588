// Package tools is the MCP server of the examples with github.com/mark3labs/mcp-go. It is the same under every router: a
// tool finds out who calls it from its context, and from nowhere else.
package tools

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	mcpauthmcpgo "github.com/scalekit-mcp/mcpauth/mcpgo"
)

// MaxRequestBytes bounds a request's body: by itself mcp-go reads one of any size into memory.
const MaxRequestBytes = 4 << 20

// Rules are what single tools need.
var Rules = mcpauth.Rules{
	Tools:        map[string]mcpauth.Rule{"announce": {Scopes: []string{"announce:send"}}},
	MaxBodyBytes: MaxRequestBytes, // what RequireOperations has read, mcp-go has no more of
}

// New returns an MCP server whose tools see the session of each call.
func New() *server.MCPServer {
	s := server.NewMCPServer("mcpauth-examples", "0.1.0",
		server.WithToolCapabilities(false),
		server.WithInputSchemaValidation(), // else a tool gets arguments that its schema does not allow
		// No WithRecovery: it sends the text of a panic to the client; the server's own recovery does not.
	)
	s.AddTool(mcp.NewTool("whoami",
		mcp.WithDescription("Tells who is calling: the user, the organization and the scopes of the access token, and its end."),
		mcp.WithReadOnlyHintAnnotation(true),
		mcp.WithOutputSchema[Identity](),
	), mcp.NewStructuredToolHandler(whoami))
	s.AddTool(mcp.NewTool("greet",
		mcp.WithDescription("Greets the caller."),
		mcp.WithReadOnlyHintAnnotation(true),
		mcp.WithString("name", mcp.Description("whom to greet")),
	), mcp.NewTypedToolHandler(greet))
	s.AddTool(mcp.NewTool("announce",
		mcp.WithDescription("Announces something in the name of the caller, for which they have to agree to announce:send."),
		mcp.WithString("text", mcp.Required(), mcp.Description("what to announce")),
	), mcp.NewTypedToolHandler(announce))
	return s
}

// Endpoint returns the MCP endpoint of s. Replicas would share a Key, from the environment.
func Endpoint(rs *mcpauth.ResourceServer, s *server.MCPServer, stateless bool, logger *slog.Logger) (*mcpauthmcpgo.Endpoint, error) {
	return mcpauthmcpgo.Handler(rs, s, mcpauthmcpgo.Config{Stateless: stateless},
		server.WithStreamableHTTPLogger(logger),
		// Sessions whose client never says good-bye: mcp-go keeps them for ever without it.
		server.WithSessionIdleTTL(30*time.Minute),
		// A stream on which nothing happens is idle, too; the beat keeps its session.
		server.WithHeartbeatInterval(time.Minute),
		// Not set, on purpose: WithStreamableHTTPCORS and WithProtectedResourceMetadata, which are mcpauth's to answer, and
		// WithEventStore, whose memory store keeps every message of a session until the session ends.
	)
}

// An Identity is the answer of whoami.
type Identity struct {
	UserID         string   `json:"userId" jsonschema:"the token's subject"`
	OrganizationID string   `json:"organizationId" jsonschema:"empty when the token belongs to no organization"`
	Scopes         []string `json:"scopes"`
	ExpiresAt      string   `json:"expiresAt" jsonschema:"RFC 3339"`
}

func whoami(ctx context.Context, _ mcp.CallToolRequest, _ struct{}) (Identity, error) {
	session, err := mcpauth.SessionFromContext(ctx)
	if err != nil {
		return Identity{}, err
	}
	return Identity{
		UserID:         session.UserID(),
		OrganizationID: session.OrganizationID(),
		Scopes:         append([]string{}, session.Scopes()...), // [] rather than null
		ExpiresAt:      session.ExpiresAt().Format(time.RFC3339),
	}, nil
}

type greetArguments struct {
	Name string `json:"name"`
}

func greet(ctx context.Context, _ mcp.CallToolRequest, args greetArguments) (*mcp.CallToolResult, error) {
	session, err := mcpauth.SessionFromContext(ctx)
	if err != nil {
		return nil, err
	}
	name := strings.TrimSpace(args.Name)
	if name == "" {
		name = "there"
	}
	return mcp.NewToolResultText(fmt.Sprintf("Hello, %s! You are signed in as %s.", name, session.UserID())), nil
}

type announceArguments struct {
	Text string `json:"text"`
}

// announce does not look at scopes: that it is reached at all is a matter of Rules.
func announce(ctx context.Context, _ mcp.CallToolRequest, args announceArguments) (*mcp.CallToolResult, error) {
	session, err := mcpauth.SessionFromContext(ctx)
	if err != nil {
		return nil, err
	}
	return mcp.NewToolResultText(fmt.Sprintf("%s announces: %s", session.UserID(), args.Text)), nil
}
