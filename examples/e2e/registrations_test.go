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
	issuer                 string // of the tokens: that of the environment, or another one
	listed                 bool   // in Config.Issuers
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
		if len(cells) != 7 || strings.Contains(line, "Server URL in the dashboard") {
			continue
		}
		row := registration{
			guide: strings.TrimPrefix(cells[0], "| "), path: code(cells[2])[0], audience: code(cells[3]), issuer: code(cells[4])[0],
			listed: strings.Contains(cells[0], "`Config.Issuers`"), with: cells[5], without: strings.TrimSuffix(cells[6], " |"),
		}
		if urls := code(cells[1]); len(urls) > 0 {
			row.serverURL = urls[0]
		}
		rows = append(rows, row)
	}
	if len(rows) < 11 {
		t.Fatalf("%d rows in the table", len(rows))
	}
	return rows
}

// TestRegistrations walks the table of docs/scalekit.md: a client signs in at a server that is registered so, with both forms of the
// issuer, and the same token is sent to a server with the settings of the row, and to one that does not know its id.
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
	if row.issuer != "https://env" {
		config.IssuerOrigin = row.issuer
	}
	env, err := devenv.Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = env.Close() })

	settings := mcpauth.Config{EnvironmentURL: env.URL(), ResourceID: env.ResourceID(), BaseURL: host, Path: row.path, Logger: config.Logger}
	var issuers []string // what Config.Issuers has to hold
	if config.IssuerOrigin != "" {
		issuers = []string{config.IssuerOrigin, config.IssuerOrigin + "/resources/" + env.ResourceID()}
	}
	settings.Issuers = issuers
	rs, err := mcpauth.New(settings)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, listener, rs, tools.New(rs, settings.Logger), nil)
	session, err := flow.Connect(t.Context(), flow.Options{URL: host + row.path, Auto: true, User: "usr_ada"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = session.Close() }()
	if identity := mustWhoami(t, session); identity.UserID != "usr_ada" {
		t.Errorf("the caller is %q", identity.UserID)
	}

	token := accessToken(t, session)
	if !row.listed {
		settings.Issuers = nil
	}
	if got, outcome := judge(t, settings, token); got != row.with {
		t.Errorf("with the id it is %s (%s), not %s", got, outcome, row.with)
	}
	settings.ResourceID = ""
	if !bareIssuer && config.IssuerOrigin == "" {
		settings.Issuers = []string{env.Issuer()} // which the id would imply
	}
	if got, outcome := judge(t, settings, token); got != row.without {
		t.Errorf("without the id it is %s (%s), not %s", got, outcome, row.without)
	}
}

// judge returns what a server with these settings says of a token.
func judge(t *testing.T, settings mcpauth.Config, token string) (verdict string, outcome mcpauth.Outcome) {
	t.Helper()
	rs, err := mcpauth.New(settings)
	if err != nil {
		t.Fatal(err)
	}
	header := http.Header{"Authorization": {"Bearer " + token}}
	decision := rs.Authenticate(t.Context(), mcpauth.Request{Method: http.MethodPost, Path: rs.Path(), Header: header.Values})
	if decision.Outcome == mcpauth.OutcomeAllowed {
		return "works", decision.Outcome
	}
	return "refused", decision.Outcome
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
