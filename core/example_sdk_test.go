package mcpauth_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// A bank is an MCP server of an SDK whose only operation learns late that a scope is missing.
type bank struct{ greeter }

func (bank) ServeSession(w http.ResponseWriter, r *http.Request) {
	op := mcpauth.Operation{Kind: mcpauth.OperationTool, Name: "transfer"}
	failed := fmt.Errorf("the account is abroad: %w", mcpauth.NeedScopes("transfer:abroad"))
	if tooLate := mcpauth.LateStepUp(r.Context(), op, failed); tooLate != nil {
		failed = tooLate
	}
	_, _ = fmt.Fprintln(w, failed) // which is not sent, if it is not too late
}

// A module for an MCP SDK hands the error of an operation to LateStepUp. The client gets a challenge instead of an answer.
func ExampleLateStepUp() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	handler := rs.SDKHandler(bank{})
	for _, scopes := range []string{"accounts", "accounts transfer:abroad"} {
		r := httptest.NewRequest(http.MethodPost, "/mcp", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"transfer"}}`))
		r.Header.Set("Authorization", "Bearer "+env.Token(map[string]any{"scope": scopes}))
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code == http.StatusOK {
			fmt.Print(w.Body)
			continue
		}
		fmt.Println(w.Code, strings.Split(w.Header().Get("WWW-Authenticate"), ", ")[1])
	}
	// Output:
	// 403 scope="transfer:abroad"
	// the account is abroad: mcpauth: needs the scopes transfer:abroad
}

// A host is an MCP server of an SDK that opens MCP sessions. It calls all of them "inner".
type host struct{ public *mcpauth.PublicSessions }

func (h *host) ServeSession(w http.ResponseWriter, r *http.Request) {
	session, err := mcpauth.SessionFromContext(r.Context())
	if err != nil {
		return
	}
	r = r.Clone(r.Context()) // with headers for the SDK
	switch named, foreign := h.public.ServeSession(w, r, session, h.sdk); {
	case foreign:
		http.Error(w, "session user mismatch", http.StatusForbidden)
	case !named:
		h.sdk(w, r)
	}
}

func (h *host) IsPublic(r *http.Request) bool { return h.public.IsPublic(r) }

func (h *host) ServePublic(w http.ResponseWriter, r *http.Request, opens bool) bool {
	return h.public.ServePublic(w, r.Clone(r.Context()), opens, h.sdk)
}

func (*host) sdk(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Mcp-Session-Id") == "" {
		w.Header().Set("Mcp-Session-Id", "inner")
	}
	session, err := mcpauth.SessionFromContext(r.Context())
	if errors.Is(err, mcpauth.ErrNoSession) {
		_, _ = fmt.Fprint(w, "a stranger, on ", r.Header.Get("Mcp-Session-Id"))
		return
	}
	_, _ = fmt.Fprint(w, session.UserID(), ", on ", r.Header.Get("Mcp-Session-Id"))
}

// A module for an MCP SDK keeps the MCP sessions that were opened without credentials. The first user who signs in on one gets
// it.
func ExampleNewPublicSessions() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	policy, err := mcpauth.NewPolicy(mcpauth.Rules{Tools: map[string]mcpauth.Rule{"weather": {Public: true}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	config := env.Config("https://mcp.example.com")
	config.Policy, config.Logger = policy, slog.New(slog.DiscardHandler)
	rs, err := mcpauth.New(config)
	if err != nil {
		fmt.Println(err)
		return
	}
	h := &host{mcpauth.NewPublicSessions(func(id string) { fmt.Println("the SDK ends", id) })}
	endpoint := rs.Endpoint(rs.SDKHandler(h))
	send := func(user, id, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, "/mcp", strings.NewReader(body))
		if user != "" {
			r.Header.Set("Authorization", "Bearer "+env.Token(map[string]any{"sub": user}))
		}
		if id != "" {
			r.Header.Set("Mcp-Session-Id", id)
		}
		w := httptest.NewRecorder()
		endpoint.ServeHTTP(w, r)
		return w
	}
	const call = `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"weather"}}`
	id := send("", "", `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}`).Header().Get("Mcp-Session-Id")
	fmt.Println("the client has the SDK's id:", id == "inner")
	for _, user := range []string{"", "usr_ada", "usr_eve", ""} {
		w := send(user, id, call)
		if w.Code == http.StatusOK {
			fmt.Println(w.Code, w.Body)
			continue
		}
		fmt.Println(w.Code)
	}
	h.public.Forget("inner") // the SDK has ended it
	fmt.Println(send("usr_ada", id, call).Code)
	// Output:
	// the client has the SDK's id: false
	// 200 a stranger, on inner
	// 200 usr_ada, on inner
	// 403
	// 401
	// 404
}
