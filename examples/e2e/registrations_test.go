package e2e_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/devenv"
	"github.com/scalekit-mcp/mcpauth/examples/client/flow"
	"github.com/scalekit-mcp/mcpauth/examples/tools"
	mcpauthgosdk "github.com/scalekit-mcp/mcpauth/gosdk"
	mcpauthhttp "github.com/scalekit-mcp/mcpauth/nethttp"
)

// A registration is a row of the table in docs/scalekit.md: how an MCP server is registered, and what that means.
type registration struct {
	guide, serverURL, path string
	audience               []string
	with, without          string // "works" or "refused", with and without the resource's id
}

var quoted = regexp.MustCompile("`([^`]*)`")

func registrations(t *testing.T) (rows []registration) {
	t.Helper()
	document, err := os.ReadFile("../../docs/scalekit.md")
	if err != nil {
		t.Fatal(err)
	}
	code := func(cell string) (values []string) {
		for _, match := range quoted.FindAllStringSubmatch(cell, -1) {
			values = append(values, match[1])
		}
		return values
	}
	for line := range strings.Lines(string(document)) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if len(cells) != 6 || strings.Contains(line, "Server URL in the dashboard") {
			continue
		}
		row := registration{guide: strings.TrimPrefix(cells[0], "| "), path: code(cells[2])[0], audience: code(cells[3]), with: cells[4], without: strings.TrimSuffix(cells[5], " |")}
		if urls := code(cells[1]); len(urls) > 0 {
			row.serverURL = urls[0]
		}
		rows = append(rows, row)
	}
	if len(rows) < 9 {
		t.Fatalf("%d rows in the table", len(rows))
	}
	return rows
}

// TestRegistrations walks the table of docs/scalekit.md: a client signs in at a server that is registered so, with both forms of the
// issuer, and the same token is sent to a server that does not know its id.
func TestRegistrations(t *testing.T) {
	t.Parallel()
	for _, row := range registrations(t) {
		for _, bare := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s %s at %s bare=%v", row.guide, row.serverURL, row.path, bare), func(t *testing.T) {
				t.Parallel()
				row.try(t, bare)
			})
		}
	}
}

func (row registration) try(t *testing.T, bareIssuer bool) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := fmt.Sprintf("http://localhost:%d", listener.Addr().(*net.TCPAddr).Port)
	local := func(url string) string { return strings.Replace(url, "https://host", host, 1) }
	config := devenv.Config{
		Addr: "127.0.0.1:0", ServerURL: local(row.serverURL), BareIssuer: bareIssuer, Logger: slog.New(slog.DiscardHandler),
	}
	if row.serverURL == "" {
		config.ServerURL = host + row.path // which only says what clients may ask for
	}
	for _, audience := range row.audience {
		config.Audience = append(config.Audience, local(audience))
	}
	env, err := devenv.Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = env.Close() })

	settings := mcpauth.Config{EnvironmentURL: env.URL(), ResourceID: env.ResourceID(), BaseURL: host, Path: row.path, Logger: config.Logger}
	rs, err := mcpauth.New(settings)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, listener, rs, tools.New(rs, settings.Logger), nil)
	session, err := flow.Connect(t.Context(), flow.Options{URL: host + row.path, Auto: true, User: "usr_ada"})
	if got := verdict(err == nil); got != row.with {
		t.Fatalf("with the id it is %s, not %s: %v", got, row.with, err)
	}
	defer func() { _ = session.Close() }()
	if identity := mustWhoami(t, session); identity.UserID != "usr_ada" {
		t.Errorf("the caller is %q", identity.UserID)
	}

	settings.ResourceID = ""
	if bareIssuer {
		settings.Issuers = nil
	} else {
		settings.Issuers = []string{env.URL() + "/resources/" + env.ResourceID()} // which the id would imply
	}
	unaware, err := mcpauth.New(settings)
	if err != nil {
		t.Fatal(err)
	}
	header := http.Header{"Authorization": {"Bearer " + accessToken(t, session)}}
	decision := unaware.Authenticate(t.Context(), mcpauth.Request{Method: http.MethodPost, Path: row.path, Header: header.Values})
	if got := verdict(decision.Outcome == mcpauth.OutcomeAllowed); got != row.without {
		t.Errorf("without the id it is %s (%s), not %s", got, decision.Outcome, row.without)
	}
}

func verdict(ok bool) string {
	if ok {
		return "works"
	}
	return "refused"
}

// serve serves an MCP server behind rs until the test ends.
func serve(t *testing.T, listener net.Listener, rs *mcpauth.ResourceServer, server *mcp.Server, options *mcp.StreamableHTTPOptions) {
	t.Helper()
	mux := http.NewServeMux()
	mcpauthhttp.Mount(mux, rs, mcpauthgosdk.Handler(rs, mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, options)))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.Serve(listener) }()
	t.Cleanup(func() { _ = s.Shutdown(context.WithoutCancel(t.Context())) })
}

// TestCustomDomain has an environment that is reached under another name than its tokens say.
func TestCustomDomain(t *testing.T) {
	t.Parallel()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := fmt.Sprintf("http://localhost:%d", listener.Addr().(*net.TCPAddr).Port)
	env, err := devenv.Start(t.Context(), devenv.Config{Addr: "127.0.0.1:0", ServerURL: host + "/mcp", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = env.Close() })
	settings := mcpauth.Config{EnvironmentURL: env.URL(), ResourceID: env.ResourceID(), BaseURL: host, Logger: slog.New(slog.DiscardHandler)}
	old, err := mcpauth.New(settings)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, listener, old, tools.New(old, settings.Logger), nil)
	session, err := flow.Connect(t.Context(), flow.Options{URL: host + "/mcp", Auto: true, User: "usr_ada"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = session.Close() }()
	header := http.Header{"Authorization": {"Bearer " + accessToken(t, session)}}

	settings.EnvironmentURL = strings.Replace(env.URL(), "localhost", "127.0.0.1", 1)
	if settings.EnvironmentURL == env.URL() {
		settings.EnvironmentURL = strings.Replace(env.URL(), "127.0.0.1", "localhost", 1)
	}
	for _, c := range []struct {
		issuers []string
		want    mcpauth.Outcome
	}{
		{nil, mcpauth.OutcomeInvalidToken},
		{[]string{env.URL(), env.URL() + "/resources/" + env.ResourceID()}, mcpauth.OutcomeAllowed},
	} {
		settings.Issuers = c.issuers
		rs, err := mcpauth.New(settings)
		if err != nil {
			t.Fatal(err)
		}
		decision := rs.Authenticate(t.Context(), mcpauth.Request{Method: http.MethodPost, Path: rs.Path(), Header: header.Values})
		if decision.Outcome != c.want {
			t.Errorf("with the issuers %q: %s, want %s", c.issuers, decision.Outcome, c.want)
		}
	}
}
