package devenv_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/scalekit-mcp/mcpauth/devenv"
)

// What an administrator does in Scalekit sends webhooks, by the buttons of the page at URL and by these methods.
func ExampleEnvironment() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent) // in a program, the handler is that of mcpauthrevocation's List.Webhook
	}))
	defer server.Close()
	env, err := devenv.Start(context.Background(), devenv.Config{
		Addr:        "127.0.0.1:0",
		WebhookURLs: []string{server.URL + "/webhooks/scalekit"}, // one for each replica
		OrgClaims:   true,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = env.Close() }()
	fmt.Println("The server needs the environment's id,", env.EnvironmentID()+", and its secret,", env.WebhookSecret()[:6]+"...")

	for _, session := range env.Sessions() { // none: no person has signed in yet
		fmt.Println(env.EndSession(session.ID))
	}
	fmt.Println(env.Users()[0].Organization.Name)
	fmt.Println(env.RemoveMember("usr_ada", "org_analytical"))
	fmt.Println(env.DeactivateUser("usr_grace"))
	fmt.Println(env.DeleteOrganization("org_compilers"))
	for _, delivery := range env.Deliveries() { // on their way
		fmt.Println(delivery.Type)
	}
	// Output:
	// The server needs the environment's id, env_local, and its secret, whsec_...
	// Analytical Engines
	// <nil>
	// <nil>
	// <nil>
	// organization.deleted
	// organization.directory.user_updated
	// user.organization_membership_deleted
}

// An environment can be slow or down, and withdraw the key of tokens that are in circulation.
func ExampleEnvironment_SetDown() {
	env, err := devenv.Start(context.Background(), devenv.Config{Addr: "127.0.0.1:0"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = env.Close() }()
	keys := func() {
		resp, err := http.Get(env.URL() + "/keys")
		if err != nil {
			fmt.Println("no answer")
			return
		}
		_ = resp.Body.Close()
		fmt.Println(resp.Status)
	}
	env.SetDown(true)
	keys()
	env.SetDown(false)
	env.SetDelay(10 * time.Millisecond)
	keys()

	fmt.Println(env.SetTokenLife(time.Minute)) // of the tokens from now on
	first := env.Keys()[0]
	env.RotateKeys()
	fmt.Println(env.WithdrawKey(first.ID), len(env.Keys()))
	// Output:
	// no answer
	// 200 OK
	// <nil>
	// <nil> 1
}
