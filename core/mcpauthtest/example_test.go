package mcpauthtest_test

import (
	"context"
	"fmt"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// greet is a tool as users write them: it finds its caller in the context.
func greet(ctx context.Context) (string, error) {
	session, err := mcpauth.SessionFromContext(ctx)
	if err != nil {
		return "", err
	}
	return "hello " + session.UserID(), nil
}

// NewSession makes a session for testing a tool without HTTP: put it straight into the context.
func ExampleNewSession() {
	session := mcpauthtest.NewSession(map[string]any{"sub": "usr_ada", "scope": "greet"})
	fmt.Println(greet(mcpauth.NewContext(context.Background(), session)))
	_, err := greet(context.Background())
	fmt.Println(err != nil)
	// Output:
	// hello usr_ada <nil>
	// true
}
