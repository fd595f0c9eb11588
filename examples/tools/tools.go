// Package tools is the MCP server of the examples. It is the same under every router: a tool learns only from its context
// who calls it.
package tools

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	mcpauthgosdk "github.com/scalekit-mcp/mcpauth/gosdk"
)

// Rules say who may use which tool. A client asks its user for a scope only when it calls a tool that needs it. Who lacks a
// role does not see the tool at all, because no scope would help.
var Rules = mcpauth.Rules{
	Tools: map[string]mcpauth.Rule{
		"announce": {Scopes: []string{"announce:send"}},
		"audit":    {Roles: []string{"admin"}},
	},
}

// Policy returns the policy of Rules. With public, everybody may also call status, and open the server and see its lists,
// without signing in. Not all clients let their users sign in later than at the beginning.
func Policy(public bool) (*mcpauth.Policy, error) {
	rules := Rules
	rules.Tools = maps.Clone(Rules.Tools)
	rules.Tools["status"] = mcpauth.Rule{Public: public}
	return mcpauth.NewPolicy(rules)
}

// New returns an MCP server whose tools see the session of each call. get_organization uses the API credentials of rs.
// logger gets what a tool's caller must not see.
func New(rs *mcpauth.ResourceServer, logger *slog.Logger) *mcp.Server {
	server := mcp.NewServer(&mcp.Implementation{Name: "mcpauth-examples", Title: "mcpauth examples", Version: "0.1.0"}, nil)
	mcpauthgosdk.Attach(server)

	mcp.AddTool(server, &mcp.Tool{
		Name:        "status",
		Description: "Tells whether the server is up.",
		Annotations: &mcp.ToolAnnotations{ReadOnlyHint: true},
	}, status)
	mcp.AddTool(server, &mcp.Tool{
		Name:        "whoami",
		Description: "Tells who is calling: the user, the organization and the scopes of the access token, and when it ends.",
		Annotations: &mcp.ToolAnnotations{ReadOnlyHint: true},
	}, whoami)
	mcp.AddTool(server, &mcp.Tool{
		Name:        "greet",
		Description: "Greets the caller.",
		Annotations: &mcp.ToolAnnotations{ReadOnlyHint: true},
	}, greet)
	mcp.AddTool(server, &mcp.Tool{
		Name:        "announce",
		Description: "Announces something in the name of the caller. Needs the scope announce:send.",
	}, announce)
	mcp.AddTool(server, &mcp.Tool{
		Name:        "audit",
		Description: "Shows what happened. Needs the role admin.",
		Annotations: &mcp.ToolAnnotations{ReadOnlyHint: true},
	}, audit)
	mcp.AddTool(server, &mcp.Tool{
		Name:        "open_door",
		Description: "Opens a door. Some doors need the scope doors:open, and only the building knows which.",
	}, openDoor)
	mcp.AddTool(server, &mcp.Tool{
		Name:        "get_organization",
		Description: "Asks Scalekit about the organization of the caller's session.",
		Annotations: &mcp.ToolAnnotations{ReadOnlyHint: true},
	}, newOrganizations(rs, logger).get)
	mcp.AddTool(server, &mcp.Tool{
		Name:        "random_number",
		Description: "Returns a random whole number between min and max, including both.",
		Annotations: &mcp.ToolAnnotations{ReadOnlyHint: true},
	}, randomNumber)
	mcp.AddTool(server, &mcp.Tool{
		Name:        "report",
		Description: "Works for some seconds and reports its progress after each. A call that began with a valid token is finished, even if the token ends meanwhile.",
		Annotations: &mcp.ToolAnnotations{ReadOnlyHint: true},
	}, report)
	return server
}

type noArguments struct{}

// status may run without a session, when it is public.
func status(ctx context.Context, _ *mcp.CallToolRequest, _ noArguments) (*mcp.CallToolResult, any, error) {
	session, err := mcpauth.SessionFromContext(ctx)
	if err != nil {
		return text("The server is up. You are not signed in."), nil, nil
	}
	return text("The server is up. You are signed in as %s.", session.UserID()), nil, nil
}

// An Identity is the answer of whoami.
type Identity struct {
	UserID         string   `json:"userId" jsonschema:"the token's subject"`
	OrganizationID string   `json:"organizationId" jsonschema:"empty when the token has no organization"`
	Machine        bool     `json:"machine" jsonschema:"whether a program calls for itself, and not for a user"`
	Scopes         []string `json:"scopes"`
	ExpiresAt      string   `json:"expiresAt" jsonschema:"RFC 3339"`
}

func whoami(ctx context.Context, _ *mcp.CallToolRequest, _ noArguments) (*mcp.CallToolResult, Identity, error) {
	session, err := mcpauth.SessionFromContext(ctx)
	if err != nil {
		return nil, Identity{}, err
	}
	return nil, Identity{
		UserID:         session.UserID(),
		OrganizationID: session.OrganizationID(),
		Machine:        session.IsMachine(),
		Scopes:         append([]string{}, session.Scopes()...), // [] rather than null
		ExpiresAt:      session.ExpiresAt().Format(time.RFC3339),
	}, nil
}

type greetArguments struct {
	Name string `json:"name,omitempty" jsonschema:"whom to greet"`
}

func greet(ctx context.Context, _ *mcp.CallToolRequest, args greetArguments) (*mcp.CallToolResult, any, error) {
	session, err := mcpauth.SessionFromContext(ctx)
	if err != nil {
		return nil, nil, err
	}
	name := strings.TrimSpace(args.Name)
	if name == "" {
		name = "there"
	}
	return text("Hello, %s! You are signed in as %s.", name, session.UserID()), nil, nil
}

type announceArguments struct {
	Text string `json:"text" jsonschema:"what to announce"`
}

// announce does not check scopes: Mount does, by the policy, before it is called.
func announce(ctx context.Context, _ *mcp.CallToolRequest, args announceArguments) (*mcp.CallToolResult, any, error) {
	session, err := mcpauth.SessionFromContext(ctx)
	if err != nil {
		return nil, nil, err
	}
	return text("%s announces: %s", session.UserID(), args.Text), nil, nil
}

func audit(ctx context.Context, _ *mcp.CallToolRequest, _ noArguments) (*mcp.CallToolResult, any, error) {
	session, err := mcpauth.SessionFromContext(ctx)
	if err != nil {
		return nil, nil, err
	}
	return text("For %s, with the roles %s: nothing happened so far.", session.UserID(), strings.Join(session.Roles(), ", ")), nil, nil
}

type openDoorArguments struct {
	Door string `json:"door" jsonschema:"front or vault"`
}

// openDoor asks its backend, the building, before it has done anything: a client that gets the scope calls it again, from
// the beginning.
func openDoor(ctx context.Context, _ *mcp.CallToolRequest, args openDoorArguments) (*mcp.CallToolResult, any, error) {
	session, err := mcpauth.SessionFromContext(ctx)
	if err != nil {
		return nil, nil, err
	}
	if isGuarded(args.Door) && !session.HasScopes("doors:open") {
		return nil, nil, fmt.Errorf("the door %s is guarded: %w", args.Door, mcpauth.NeedScopes("doors:open"))
	}
	return text("%s opens the door %s.", session.UserID(), args.Door), nil, nil
}

// isGuarded is what a server would ask a system behind it.
func isGuarded(door string) bool { return door == "vault" }

// Bounds of random_number: the integers that JSON can represent exactly (RFC 8259 §6).
const maxInteger = 1<<53 - 1

type randomNumberArguments struct {
	Min *int64 `json:"min,omitempty" jsonschema:"1 by default"`
	Max *int64 `json:"max,omitempty" jsonschema:"100 by default"`
}

func randomNumber(_ context.Context, _ *mcp.CallToolRequest, args randomNumberArguments) (*mcp.CallToolResult, any, error) {
	low, high := int64(1), int64(100)
	if args.Min != nil {
		low = *args.Min
	}
	if args.Max != nil {
		high = *args.Max
	}
	switch {
	case low < -maxInteger || low > maxInteger || high < -maxInteger || high > maxInteger:
		return nil, nil, errors.New("min and max have to be between -(2^53-1) and 2^53-1")
	case low > high:
		return nil, nil, fmt.Errorf("min (%d) is greater than max (%d)", low, high)
	}
	n, err := rand.Int(rand.Reader, big.NewInt(high-low+1))
	if err != nil {
		return nil, nil, errors.New("random numbers are not available")
	}
	return text("%d", low+n.Int64()), nil, nil
}

const maxReport = 60 // seconds

type reportArguments struct {
	Seconds int `json:"seconds,omitempty" jsonschema:"how long to work, 5 by default and 60 at most"`
}

func report(ctx context.Context, req *mcp.CallToolRequest, args reportArguments) (*mcp.CallToolResult, any, error) {
	if args.Seconds < 0 || args.Seconds > maxReport {
		return nil, nil, fmt.Errorf("seconds have to be between 1 and %d", maxReport)
	}
	seconds := cmp.Or(args.Seconds, 5)
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for done := 1; done <= seconds; done++ {
		select {
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		case <-second.C:
		}
		if token := req.Params.GetProgressToken(); token != nil {
			progress := &mcp.ProgressNotificationParams{ProgressToken: token, Progress: float64(done), Total: float64(seconds)}
			if err := req.Session.NotifyProgress(ctx, progress); err != nil {
				return nil, nil, err
			}
		}
	}
	return text("worked for %d seconds", seconds), nil, nil
}

func text(format string, args ...any) *mcp.CallToolResult {
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: fmt.Sprintf(format, args...)}}}
}
