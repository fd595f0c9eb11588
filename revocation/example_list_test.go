package mcpauthrevocation_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthrevocation "github.com/scalekit-mcp/mcpauth/revocation"
)

var quiet = slog.New(slog.DiscardHandler)

// A list runs as long as the server, which asks it on every request.
func ExampleNew() {
	list, err := mcpauthrevocation.New(mcpauthrevocation.Config{Logger: quiet})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go list.Run(ctx) //nolint:errcheck // it ends with ctx

	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	cfg := env.Config("https://mcp.example.com")
	cfg.Revocation = list
	rs, err := mcpauth.New(cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	token := env.Token(nil)
	call := func() {
		r := httptest.NewRequest(http.MethodPost, rs.Path(), nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		rs.Serve(w, r, func(http.ResponseWriter, *http.Request) {})
		fmt.Println(w.Code)
	}
	for list.Ready(ctx) != nil {
		time.Sleep(time.Millisecond)
	}
	call()
	if err := list.Revoke(ctx, mcpauthrevocation.Session("ses_1")); err != nil {
		fmt.Println(err)
	}
	call()
	fmt.Println(list.Len())
	// Output:
	// 200
	// 401
	// 1
}

// Without Run, nothing is let in.
func ExampleNew_withoutRun() {
	list, _ := mcpauthrevocation.New(mcpauthrevocation.Config{})
	fmt.Println(list.Ready(context.Background()))
	// Output: mcpauth: the revocation list is not running
}

// The webhook is mounted outside of what the middlewares protect. It needs the secret from Scalekit's dashboard.
func ExampleNew_webhook() {
	list, err := mcpauthrevocation.New(mcpauthrevocation.Config{
		WebhookSecrets: []mcpauth.Secret{mcpauth.NewSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")},
		EnvironmentID:  "env_1",
		Logger:         quiet,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("/webhooks/scalekit", list.Webhook())

	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/webhooks/scalekit", nil))
	fmt.Println(w.Code)
	// Output: 401
}

// Core calls Watch once for each session, and the check on every request. Subscribe tells it when to look at open responses.
func ExampleNew_check() {
	list, _ := mcpauthrevocation.New(mcpauthrevocation.Config{Logger: quiet})
	go list.Run(context.Background()) //nolint:errcheck // it ends with the program
	for list.Ready(context.Background()) != nil {
		time.Sleep(time.Millisecond)
	}
	changed := make(chan struct{}, 1)
	list.Subscribe(func() { changed <- struct{}{} })
	check := list.Watch(mcpauthtest.NewSession(nil))
	fmt.Println(check())
	_ = list.Revoke(context.Background(), mcpauthrevocation.User("usr_1"))
	<-changed
	fmt.Println(check())
	// Output:
	// <nil>
	// mcpauth: the session was revoked: user usr_1
}

// Several lists of one process share a memory store. Stores for several machines have the same two methods.
func ExampleNewMemoryStore() {
	store := mcpauthrevocation.NewMemoryStore(24 * time.Hour)
	fmt.Println(store.Keeps() >= 24*time.Hour)
	e := mcpauthrevocation.Session("ses_1")
	e.At = time.Now()
	if err := store.Append(context.Background(), []mcpauthrevocation.Entry{e}); err != nil {
		fmt.Println(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	err := store.Follow(ctx, "", func(batch mcpauthrevocation.Batch) {
		fmt.Println(batch.Entries[0], batch.Position, batch.CaughtUp)
		cancel()
	})
	fmt.Println(err)
	// Output:
	// true
	// session ses_1 1 true
	// context canceled
}

// Entries stay for a little longer than was asked for, because the clocks of the machines that wrote them may be ahead.
func ExampleMemoryStore_Keeps() {
	fmt.Println(mcpauthrevocation.NewMemoryStore(24 * time.Hour).Keeps())
	// Output: 24h5m0s
}
