// Package flow is an MCP client that signs in. It discovers who may issue tokens for a server, registers, sends a person to
// the consent page, and calls tools with the token that it gets. The go-sdk does the protocol.
package flow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"
	"golang.org/x/oauth2"
)

// Options says where to connect, and as which user.
type Options struct {
	URL  string // the MCP endpoint
	Auto bool   // fill in the consent form, as a person would, instead of printing its address
	User string // the user to choose there, by id, name or email; "" keeps the form's choice
	CIMD bool   // use a client metadata document instead of registering

	Out       io.Writer         // gets the story as it happens; nil for none
	Transport http.RoundTripper // http.DefaultTransport by default
}

// A Session is a connection to an MCP server on behalf of the person who signed in.
type Session struct {
	*mcp.ClientSession

	handler  *auth.AuthorizationCodeHandler
	redirect *redirect
	story    *narrator
}

// Connect signs in and opens an MCP session. It waits for the person for as long as ctx lasts.
func Connect(ctx context.Context, options Options) (*Session, error) {
	if options.Out == nil {
		options.Out = io.Discard
	}
	if options.Transport == nil {
		options.Transport = http.DefaultTransport
	}
	redirect, err := listen(ctx)
	if err != nil {
		return nil, err
	}
	session, err := connect(ctx, options, redirect)
	if err != nil {
		redirect.close()
		return nil, err
	}
	return session, nil
}

func connect(ctx context.Context, options Options, redirect *redirect) (*Session, error) {
	story := &narrator{next: options.Transport, out: options.Out, endpoint: options.URL}
	client := &http.Client{Transport: story}
	config := &auth.AuthorizationCodeHandlerConfig{
		RedirectURL:         redirect.url(),
		RequestRefreshToken: true, // asks for offline_access where that is supported
		Client:              client,
		AuthorizationCodeFetcher: func(ctx context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
			return authorize(ctx, options, redirect, story, args.URL)
		},
	}
	if options.CIMD {
		// The go-sdk takes no http URL as ClientIDMetadataDocumentConfig, because the standard allows http only on loopback.
		// With the URL as a client id that is known in advance, the requests are the same.
		config.PreregisteredClient = &oauthex.ClientCredentials{ClientID: redirect.documentURL()}
		story.clientID = redirect.documentURL()
	} else {
		config.DynamicClientRegistrationConfig = &auth.DynamicClientRegistrationConfig{Metadata: redirect.metadata()}
	}
	handler, err := auth.NewAuthorizationCodeHandler(config)
	if err != nil {
		return nil, err
	}
	mcpClient := mcp.NewClient(&mcp.Implementation{Name: clientName, Version: "0.1.0"}, nil)
	connected, err := mcpClient.Connect(ctx, &mcp.StreamableClientTransport{
		Endpoint: options.URL, HTTPClient: client, OAuthHandler: handler,
	}, nil)
	if err != nil {
		return nil, err
	}
	return &Session{ClientSession: connected, handler: handler, redirect: redirect, story: story}, nil
}

func authorize(ctx context.Context, options Options, redirect *redirect, story *narrator, address string) (*auth.AuthorizationResult, error) {
	state, err := stateOf(address)
	if err != nil {
		return nil, err
	}
	answer := redirect.expect(state)
	story.authorization(address)
	if options.Auto {
		choice, err := Consent(ctx, options.Transport, address, options.User)
		if err != nil {
			return nil, err
		}
		story.say("The consent form is filled in and sent: %s.", choice)
	} else {
		story.say("Open this page, and choose a user:\n\n   %s\n", address)
	}
	select {
	case query := <-answer:
		if code := query.Get("error"); code != "" {
			return nil, fmt.Errorf("the authorization server answers %s: %s", code, query.Get("error_description"))
		}
		return &auth.AuthorizationResult{Code: query.Get("code"), State: query.Get("state"), Iss: query.Get("iss")}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Token returns the access token that the next request will carry. It refreshes a token that is about to end.
func (s *Session) Token(ctx context.Context) (*oauth2.Token, error) {
	source, err := s.handler.TokenSource(ctx)
	if err != nil {
		return nil, err
	}
	if source == nil {
		return nil, errors.New("the server asked for no token")
	}
	return source.Token()
}

// Close ends the MCP session. The token stays valid until it expires.
func (s *Session) Close() error {
	s.redirect.close()
	return s.ClientSession.Close()
}

// A Call is a tool and its arguments.
type Call struct {
	Tool      string
	Arguments json.RawMessage // an object, or nothing
	Why       string          // what the call shows, for the story
}

// Text calls a tool and returns the text of its answer. If the tool itself reports an error, that is a *ToolError.
func (s *Session) Text(ctx context.Context, call Call) (string, error) {
	params := &mcp.CallToolParams{Name: call.Tool}
	if len(call.Arguments) > 0 {
		params.Arguments = call.Arguments
	}
	result, err := s.CallTool(ctx, params)
	if err != nil {
		return "", err
	}
	var texts []string
	for _, content := range result.Content {
		if text, ok := content.(*mcp.TextContent); ok {
			texts = append(texts, text.Text)
		}
	}
	text := strings.Join(texts, "\n")
	if result.IsError {
		return "", &ToolError{Text: text}
	}
	return text, nil
}

// A ToolError is a tool's own message when it fails.
type ToolError struct{ Text string }

func (e *ToolError) Error() string { return e.Text }

// Run connects, lists the tools and makes all the calls, and writes the story to options.Out. It signs in when the server
// asks for it, at the beginning or later. It returns the errors of all calls.
func Run(ctx context.Context, options Options, calls []Call) (err error) {
	session, err := Connect(ctx, options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, session.Close()) }()

	story := session.story
	story.title("Tools")
	listed, err := session.list(ctx, nil)
	if err != nil {
		return err
	}
	var failed []error
	for _, call := range calls {
		story.title("Call: %s(%s)", call.Tool, call.Arguments)
		if call.Why != "" {
			story.say("%s", call.Why)
		}
		signIns := story.signIns()
		answer, err := session.Text(ctx, call)
		if err != nil {
			answer = "error: " + err.Error()
			failed = append(failed, fmt.Errorf("calling %s: %w", call.Tool, err))
		}
		if story.signIns() != signIns {
			story.title("The answer of %s", call.Tool)
		}
		story.say("   %s", answer)
		if err == nil && signIns == 0 && story.signIns() != 0 { // after 403, the go-sdk's client has ended its MCP session
			story.title("Tools that only a user who has signed in sees")
			if _, err := session.list(ctx, listed); err != nil {
				return err
			}
		}
	}
	return errors.Join(failed...)
}

// list tells the tools that are not known yet, and returns the names of all.
func (s *Session) list(ctx context.Context, known []string) (names []string, err error) {
	for tool, err := range s.Tools(ctx, nil) {
		if err != nil {
			return nil, fmt.Errorf("listing tools: %w", err)
		}
		names = append(names, tool.Name)
		if !slices.Contains(known, tool.Name) {
			s.story.say("%-18s %s", tool.Name, tool.Description)
		}
	}
	return names, nil
}

// DemoCalls returns calls that show what the examples' tools know about their caller, and what they ask of one.
func DemoCalls() []Call {
	return []Call{
		{Tool: "status", Why: "Anyone may call this tool without signing in, if the server was started with PUBLIC=1."},
		{Tool: "whoami", Why: "This tool has to know who calls. A client without a token gets 401, and its user signs in."},
		{Tool: "greet", Arguments: json.RawMessage(`{"name":"Ada"}`)},
		{Tool: "get_organization", Why: "The server asks Scalekit, with its own credentials."},
		{Tool: "audit", Why: "This tool needs the role admin, which is in the token. The list does not show it to others."},
		{Tool: "announce", Arguments: json.RawMessage(`{"text":"the engine runs"}`), Why: "A rule asks for the scope announce:send before the tool runs. The client asks its user for it, and calls again."},
		{Tool: "open_door", Arguments: json.RawMessage(`{"door":"front"}`), Why: "No rule asks for a scope, and the front door needs none."},
		{Tool: "open_door", Arguments: json.RawMessage(`{"door":"vault"}`), Why: "While the tool runs, its backend tells it that the vault takes the scope doors:open. The client gets the same answer as from a rule."},
	}
}
