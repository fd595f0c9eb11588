package mcpauth_test

import (
	"errors"
	"fmt"
	"strings"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// NewSealer makes a sealer for state that the client keeps between two requests. What was sealed for one user opens for no
// other one.
func ExampleNewSealer() {
	key := mcpauth.NewSecret(strings.Repeat("k", 32)) // in production: of the environment, made by openssl rand -base64 32
	sealer, err := mcpauth.NewSealer(key)
	if err != nil {
		fmt.Println(err)
		return
	}
	ada := mcpauthtest.NewSession(map[string]any{"sub": "usr_ada"})
	bob := mcpauthtest.NewSession(map[string]any{"sub": "usr_bob"})

	state, err := sealer.Seal(ada, "checkout step 2", []byte("order 7"), 10*time.Minute)
	if err != nil {
		fmt.Println(err)
		return
	}
	data, err := sealer.Open(ada, "checkout step 2", state)
	fmt.Println(string(data), err)
	_, err = sealer.Open(bob, "checkout step 2", state)
	fmt.Println("another user:", errors.Is(err, mcpauth.ErrNotSealed))
	_, err = sealer.Open(ada, "refund", state)
	fmt.Println("another purpose:", errors.Is(err, mcpauth.ErrNotSealed))
	// Output:
	// order 7 <nil>
	// another user: true
	// another purpose: true
}
