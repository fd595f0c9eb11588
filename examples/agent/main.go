// Command agent is an MCP client that works for itself, without a user who could sign in. It is a client that was registered
// on the MCP server by hand, and gets its token by client credentials.
//
//	go run ./devenv/cmd/devenv -agent announce:send
//
// prints its settings, and those of the server. Then, in a shell with its settings:
//
//	go run ./examples/agent -tool announce -args '{"text":"the nightly job ran"}'
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

func main() {
	url := flag.String("url", "http://localhost:3001/mcp", "`URL` of the MCP server")
	tool := flag.String("tool", "whoami", "`tool` to call")
	args := flag.String("args", "{}", "its arguments, a JSON `object`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	answer, err := call(ctx, *url, &mcp.CallToolParams{Name: *tool, Arguments: json.RawMessage(*args)})
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "agent:", err)
		os.Exit(1)
	}
	fmt.Println(answer)
}

func call(ctx context.Context, url string, params *mcp.CallToolParams) (string, error) {
	// The token is for the MCP server without being asked to be. Leaving Scopes out asks for all that the agent may have.
	credentials := clientcredentials.Config{
		ClientID: os.Getenv("AGENT_CLIENT_ID"), ClientSecret: os.Getenv("AGENT_CLIENT_SECRET"),
		TokenURL:  strings.TrimSuffix(os.Getenv("SCALEKIT_ENVIRONMENT_URL"), "/") + "/oauth/token",
		AuthStyle: oauth2.AuthStyleInParams,
	}
	client := credentials.Client(ctx)                                                                    // it gets a new token before the old one ends; there is no refresh token
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // the token stays here
	session, err := mcp.NewClient(&mcp.Implementation{Name: "agent", Version: "0.1.0"}, nil).
		Connect(ctx, &mcp.StreamableClientTransport{Endpoint: url, HTTPClient: client}, nil)
	if err != nil {
		return "", err
	}
	defer func() { _ = session.Close() }()
	result, err := session.CallTool(ctx, params)
	if err != nil {
		return "", err
	}
	var answer strings.Builder
	for _, content := range result.Content {
		if text, ok := content.(*mcp.TextContent); ok {
			answer.WriteString(text.Text)
		}
	}
	if result.IsError {
		return "", fmt.Errorf("%s: %s", params.Name, answer.String())
	}
	return answer.String(), nil
}
