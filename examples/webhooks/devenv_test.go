package webhooks_test

import (
	"context"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/devenv"
	"github.com/scalekit-mcp/mcpauth/examples/client/flow"
	"github.com/scalekit-mcp/mcpauth/examples/webhooks"
	mcpauthgosdk "github.com/scalekit-mcp/mcpauth/gosdk"
	mcpauthhttp "github.com/scalekit-mcp/mcpauth/nethttp"
	mcpauthrevocation "github.com/scalekit-mcp/mcpauth/revocation"
)

// A replica is one of several servers. Each has a list of its own, so that it knows only what its own webhook said.
type replica struct {
	url      string
	mux      *http.ServeMux
	answered chan struct{} // gets something after each webhook
}

func newReplica(t *testing.T) *replica {
	t.Helper()
	r := &replica{mux: http.NewServeMux(), answered: make(chan struct{}, 10)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mux.ServeHTTP(w, req)
		if req.URL.Path == webhooks.Path {
			r.answered <- struct{}{}
		}
	}))
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

// serve mounts an MCP server and the webhook. The hooks know the users of the environment, as an application does.
func (r *replica) serve(t *testing.T, env *devenv.Environment, baseURL string) {
	t.Helper()
	logger := slog.New(slog.DiscardHandler)
	list, err := mcpauthrevocation.New(mcpauthrevocation.Config{
		WebhookSecrets: []mcpauth.Secret{mcpauth.NewSecret(env.WebhookSecret())}, EnvironmentID: env.EnvironmentID(), Logger: logger,
		Members: func(_ context.Context, organization string) ([]string, error) {
			return map[string][]string{"org_analytical": {"usr_ada"}}[organization], nil
		},
		DirectoryUser: func(_ context.Context, user mcpauthrevocation.DirectoryUser) (string, error) {
			return map[string]string{"ada@analytical.example": "usr_ada"}[user.Email], nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = list.Run(t.Context()) }()
	rs, err := mcpauth.New(mcpauth.Config{EnvironmentURL: env.URL(), ResourceID: env.ResourceID(), BaseURL: baseURL, Revocation: list, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	server := mcp.NewServer(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	mcpauthgosdk.Attach(server)
	mcpauthhttp.Mount(r.mux, rs, mcpauthgosdk.Handler(rs, mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{Stateless: true})))
	webhooks.NetHTTP(r.mux, list)
}

// admits reports whether the replica lets the token in.
func (r *replica) admits(t *testing.T, token string) bool {
	t.Helper()
	header := bearer(token)
	header.Set("Accept", "application/json, text/event-stream")
	header.Set("Content-Type", "application/json")
	switch status := post(t, r.url+"/mcp", header, `{"jsonrpc":"2.0","id":1,"method":"ping"}`); status {
	case http.StatusOK:
		return true
	case http.StatusUnauthorized:
		return false
	default:
		t.Fatalf("status = %d", status)
		return false
	}
}

var csrfField = regexp.MustCompile(`name="csrf" value="([^"]*)"`)

// press presses a button of the environment's page.
func press(t *testing.T, env *devenv.Environment, button, target string) {
	t.Helper()
	resp, err := http.Get(env.URL() + "/")
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	form := url.Values{"csrf": {html.UnescapeString(csrfField.FindStringSubmatch(string(page))[1])}, "target": {target}}
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	if status := post(t, env.URL()+"/devenv/"+button, header, form.Encode()); status != http.StatusOK { // after the redirect
		t.Fatalf("%s: status %d", button, status)
	}
}

// TestR104ButtonsOfTheLocalEnvironment presses each button of the local environment's page that revokes, and has every replica refuse
// the token of the user it was about, and of no other one. The replicas have no store in common: each gets the webhook.
func TestR104ButtonsOfTheLocalEnvironment(t *testing.T) {
	t.Parallel()
	for button, target := range map[string]func(sid string) string{
		"end-session":         func(sid string) string { return sid },
		"remove-member":       func(string) string { return "usr_ada" },
		"delete-organization": func(string) string { return "org_analytical" },
		"deactivate-user":     func(string) string { return "usr_ada" },
	} {
		for _, organizations := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/organizations in tokens %v", button, organizations), func(t *testing.T) {
				t.Parallel()
				replicas := []*replica{newReplica(t), newReplica(t), newReplica(t)}
				config := devenv.Config{
					Addr: "127.0.0.1:0", ServerURL: replicas[0].url + "/mcp", OrgClaims: organizations,
					WebhookWaits: []time.Duration{0, 0, 0}, Logger: slog.New(slog.DiscardHandler),
				}
				for _, r := range replicas {
					config.WebhookURLs = append(config.WebhookURLs, r.url+webhooks.Path)
				}
				env, err := devenv.Start(t.Context(), config)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = env.Close() })
				for _, r := range replicas {
					r.serve(t, env, replicas[0].url)
				}
				ada, grace := signIn(t, replicas[0].url, "usr_ada"), signIn(t, replicas[0].url, "usr_grace")
				for i, r := range replicas {
					if !r.admits(t, ada) || !r.admits(t, grace) {
						t.Fatalf("replica %d refuses before anything was revoked", i)
					}
				}
				press(t, env, button, target(sessionOf(t, env, "usr_ada")))
				for _, r := range replicas {
					select {
					case <-r.answered:
					case <-time.After(30 * time.Second):
						t.Fatal("a replica gets no webhook")
					}
				}
				for i, r := range replicas {
					if r.admits(t, ada) {
						t.Errorf("replica %d admits the token that was revoked", i)
					}
					if !r.admits(t, grace) {
						t.Errorf("replica %d refuses another user's token", i)
					}
				}
			})
		}
	}
}

func signIn(t *testing.T, url, user string) string {
	t.Helper()
	session, err := flow.Connect(t.Context(), flow.Options{URL: url + "/mcp", Auto: true, User: user})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	token, err := session.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return token.AccessToken
}

func sessionOf(t *testing.T, env *devenv.Environment, user string) string {
	t.Helper()
	for _, session := range env.Sessions() {
		if session.UserID == user && strings.HasPrefix(session.ID, "ses_") {
			return session.ID
		}
	}
	t.Fatalf("%s has no session", user)
	return ""
}
