package mcpauthtest_test

import (
	"crypto/rsa"
	"encoding/json"
	"fmt"

	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// Rotate and Withdraw do what an environment does with its keys: tokens of a withdrawn key are refused.
func ExampleKeySet() {
	env := mcpauthtest.NewEnvironment()
	defer env.Close()
	old := env.Keys().Current()
	token := env.Token(nil)
	env.Keys().Rotate()
	fmt.Println(outcome(env, token))
	env.Keys().Withdraw(old)
	fmt.Println(outcome(env, token))
	// Output:
	// allowed
	// invalid_token
}

// NewKeySet makes a key set without an environment, for a server of your own that publishes keys.
func ExampleNewKeySet() {
	keys := mcpauthtest.NewKeySet()
	keys.Rotate()
	var published struct{ Keys []map[string]any }
	fmt.Println(json.Unmarshal(keys.JWKS(), &published), len(published.Keys))
	// Output: <nil> 2
}

// NewKey makes a key that no environment knows. It signs any header and payload.
func ExampleNewKey() {
	env := mcpauthtest.NewEnvironment()
	defer env.Close()
	key := mcpauthtest.NewKey("snk_forger")
	token := key.Sign([]byte(`{"alg":"RS256","kid":"snk_forger"}`), []byte(`{"sub":"usr_admin"}`))
	fmt.Println(key.ID(), key.PublicJWK()["kty"], outcome(env, token))
	_, isRSA := key.Signer().Public().(*rsa.PublicKey)
	fmt.Println("RSA:", isRSA)
	// Output:
	// snk_forger RSA invalid_token
	// RSA: true
}

// AuthorizationServerMetadata returns the document in which clients and servers look for the environment's endpoints.
func ExampleAuthorizationServerMetadata() {
	document := mcpauthtest.AuthorizationServerMetadata("https://acme.scalekit.com", "res_1")
	fmt.Println(document["issuer"])
	fmt.Println(document["jwks_uri"])
	// Output:
	// https://acme.scalekit.com/resources/res_1
	// https://acme.scalekit.com/keys
}
