package adaptertest

import (
	"bytes"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

const serverMetadataPath = "/.well-known/oauth-authorization-server"

// A logBuffer collects log lines of several goroutines.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// The ways in which an app gets metadata, each with an endpoint at /mcp.
var metadataShapes = map[string]func(a *app){
	"Mount": func(a *app) { a.build.Mount(a.rs, http.HandlerFunc(a.handle)) },
	"MountMetadata": func(a *app) {
		a.build.MountMetadata(a.rs)
		a.build.Handle("", "/mcp", userID, a.rs)
	},
	"Middleware on the root": func(a *app) {
		a.build.Use(a.rs)
		a.build.Handle("", "/mcp", userID, nil)
	},
}

// runGateway is behind a gateway that owns the prefix /prod, strips it, and routes nothing else: challenges lead to an address
// below the prefix.
func runGateway(t *testing.T, f *Framework) {
	const url = baseURL + "/prod/.well-known/oauth-protected-resource/mcp"
	for name, build := range metadataShapes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := f.prepare(t, func(cfg *mcpauth.Config) { cfg.BaseURL, cfg.MetadataURL = baseURL+"/prod", url })
			build(a)
			a.serve(t)
			resp := a.send(t, request{})
			if got := resp.header.Get("WWW-Authenticate"); resp.status != http.StatusUnauthorized || !strings.Contains(got, `resource_metadata="`+url+`"`) {
				t.Errorf("status %d, %s", resp.status, got)
			}
			for _, path := range []string{"/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-protected-resource/prod/mcp"} {
				for method, want := range map[string]int{"GET": 200, "HEAD": 200, "OPTIONS": 204, "POST": 405} {
					if resp := a.send(t, request{method: method, target: path}); resp.status != want || method == "GET" && !strings.Contains(resp.body, `{"resource":"`+baseURL+`/prod/mcp"`) {
						t.Errorf("%s %s: status %d, %s", method, path, resp.status, resp.body)
					}
				}
			}
			if resp := a.send(t, request{header: bearer(a.env.Token(nil))}); resp.status != http.StatusOK {
				t.Errorf("with a token: status %d", resp.status)
			}
		})
	}
}

// runMetadataElsewhere has the document at an address that is not a well-known one.
func runMetadataElsewhere(t *testing.T, f *Framework) {
	for name, build := range metadataShapes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := f.prepare(t, func(cfg *mcpauth.Config) { cfg.MetadataURL = baseURL + "/about/mcp.json" })
			build(a)
			a.serve(t)
			a.expectMetadata(t, "/about/mcp.json", metadataPath, rootMetadata)
		})
	}
}

// prefixed returns an app behind a proxy that was meant to strip a prefix and does not.
func (f *Framework) prefixed(t *testing.T, path string) (*app, *logBuffer) {
	log := new(logBuffer)
	return f.prepare(t, func(cfg *mcpauth.Config) {
		cfg.BaseURL, cfg.Path = baseURL+"/prod", path
		cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
	}), log
}

const unstrippedLine = "a request came with the path of BaseURL still in front"

func (l *logBuffer) expectCure(t *testing.T, path string) {
	t.Helper()
	cure := `have the proxy in front strip /prod, or set BASE_URL to https://mcp.example.com and Config.Path to ` + path + `"`
	if n := strings.Count(l.String(), unstrippedLine); n != 1 || !strings.Contains(l.String(), cure) {
		t.Errorf("%d lines with the cure: %s", n, l)
	}
}

// runUnstripped has nothing at the path of a request that was not stripped: the router answers, and the log has the cure once.
func runUnstripped(t *testing.T, f *Framework) {
	for path, unstripped := range map[string]string{"/mcp": "/prod/mcp", "/": "/prod"} {
		a, log := f.prefixed(t, path)
		a.build.Mount(a.rs, http.HandlerFunc(a.handle))
		a.build.Handle("", "/prod/healthz", func(*mcpauth.Session, error) string { return "usr_1" }, nil)
		a.serve(t)
		a.expect(t, "/prod/healthz", 200, 200, nil)
		a.expect(t, unstripped+"x", 404, 404, nil)
		if strings.Contains(log.String(), unstrippedLine) {
			t.Errorf("another path: %s", log)
		}
		a.expect(t, unstripped, 404, 404, nil)
		if ran := a.ran.Load(); ran != 0 {
			t.Errorf("%s: the handler ran %d times", path, ran)
		}
		if resp := a.send(t, request{target: path, header: bearer(a.env.Token(nil))}); resp.status != http.StatusOK {
			t.Errorf("%s: status %d, %s", path, resp.status, resp.body)
		}
		log.expectCure(t, unstripped)
	}
}

// runUnstrippedRoute has a route of the application there, by itself or in a group, which Mount leaves alone.
func runUnstrippedRoute(t *testing.T, f *Framework) {
	a, _ := f.prefixed(t, "/mcp")
	a.build.Handle("", "/prod/mcp", func(*mcpauth.Session, error) string { return "usr_1" }, nil)
	a.build.Mount(a.rs, http.HandlerFunc(a.handle))
	a.serve(t)
	a.expect(t, "/prod/mcp", 200, 200, nil)
	a.expectMetadata(t, rootMetadata+"/prod/mcp")

	a, _ = f.prefixed(t, "/mcp")
	a.build.Handle("/prod", "/mcp", userID, a.rs)
	a.build.Mount(a.rs, http.HandlerFunc(a.handle))
	a.serve(t)
	a.expect(t, "/prod/mcp", 401, 200, nil)
	a.expectMetadata(t, rootMetadata+"/prod/mcp")
}

// runUnstrippedRoot has a guarded root, which does not know what is behind it: only the log tells.
func runUnstrippedRoot(t *testing.T, f *Framework) {
	a, log := f.prefixed(t, "/mcp")
	a.build.Use(a.rs)
	a.build.Handle("", "/mcp", userID, nil)
	a.serve(t)
	a.expect(t, "/prod/mcp", 401, 404, nil)
	log.expectCure(t, "/prod/mcp")
}

// runServerMetadata serves the environment's metadata of the authorization server, to clients of MCP 2025-03-26.
func runServerMetadata(t *testing.T, f *Framework) {
	for name, build := range metadataShapes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := f.prepare(t, func(cfg *mcpauth.Config) { cfg.ServeAuthorizationServerMetadata = true })
			build(a)
			a.serve(t)
			a.env.Stop()
			resp := a.send(t, request{method: "GET", target: serverMetadataPath})
			if resp.status != http.StatusServiceUnavailable || resp.header.Get("Retry-After") != "2" || resp.header.Get("Cache-Control") != "no-store" || !slices.Equal(resp.header["Access-Control-Allow-Origin"], []string{"*"}) {
				t.Errorf("without an environment: status %d, %v, %s", resp.status, resp.header, resp.body)
			}
			if strings.Contains(resp.body, a.env.URL()) {
				t.Errorf("an address of the environment in %s", resp.body)
			}
		})
		t.Run(name+", served", func(t *testing.T) {
			t.Parallel()
			a := f.prepare(t, func(cfg *mcpauth.Config) { cfg.ServeAuthorizationServerMetadata = true })
			build(a)
			a.serve(t)
			h := http.Header{"Origin": {"https://any.example"}, "Mcp-Protocol-Version": {"2025-03-26"}}
			for method, want := range map[string]int{"GET": 200, "HEAD": 200, "OPTIONS": 204, "POST": 405} {
				resp := a.send(t, request{method: method, target: serverMetadataPath, header: h})
				if resp.status != want || !slices.Equal(resp.header["Access-Control-Allow-Origin"], []string{"*"}) {
					t.Errorf("%s: status %d, %v", method, resp.status, resp.header)
				}
				if method != "GET" {
					continue
				}
				if resp.header.Get("Content-Type") != "application/json" || resp.header.Get("Cache-Control") != "public, max-age=300" {
					t.Errorf("%v", resp.header)
				}
				for _, member := range []string{`"issuer":"` + a.env.Issuer() + `"`, `"registration_endpoint":"` + a.env.URL() + "/api/v1/resources/" + a.env.ResourceID() + `/clients:register"`} {
					if !strings.Contains(resp.body, member) {
						t.Errorf("no %s in %s", member, resp.body)
					}
				}
			}
			a.expectMetadata(t, metadataPath, rootMetadata)
		})
	}
}

// runOwnHeaders lets pages send and read headers that MCP does not know, also behind a middleware that exposes others, and has
// pages without an origin.
func runOwnHeaders(t *testing.T, f *Framework) {
	const ours = "WWW-Authenticate, Mcp-Session-Id, MCP-Protocol-Version, Retry-After"
	a := f.prepare(t, func(cfg *mcpauth.Config) {
		cfg.AllowedHeaders = []string{"traceparent", "x-workspace-id"}
		cfg.ExposedHeaders = []string{"X-Request-Id", "mcp-session-ID"}
		cfg.DangerouslyAllowNullOrigin = true
	})
	a.build.Outer("Access-Control-Expose-Headers", "X-Outer, x-request-id")
	a.build.Mount(a.rs, http.HandlerFunc(a.handle))
	a.serve(t)
	for _, origin := range []string{baseURL, "null"} {
		for _, token := range []bool{true, false} {
			h := http.Header{"Origin": {origin}, "Traceparent": {"00-1-2-01"}}
			if token {
				h.Set("Authorization", "Bearer "+a.env.Token(nil))
			}
			header := a.rawHeader(t, request{header: h})
			if got := header["Access-Control-Expose-Headers"]; !slices.Equal(got, []string{ours + ", X-Request-Id, X-Outer"}) {
				t.Errorf("%s: Access-Control-Expose-Headers %q", origin, got)
			}
			if got := header["Access-Control-Allow-Origin"]; !slices.Equal(got, []string{origin}) {
				t.Errorf("%s: Access-Control-Allow-Origin %q", origin, got)
			}
		}
	}
	preflight := http.Header{"Origin": {baseURL}, "Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {"authorization,traceparent,x-workspace-id"}}
	for _, target := range []string{"/mcp", metadataPath} {
		resp := a.send(t, request{method: http.MethodOptions, target: target, header: preflight})
		got := resp.header.Get("Access-Control-Allow-Headers")
		if resp.status != http.StatusNoContent || !strings.HasPrefix(got, "Authorization, ") || !strings.HasSuffix(got, ", Last-Event-ID, traceparent, x-workspace-id") {
			t.Errorf("%s: status %d, Access-Control-Allow-Headers %q", target, resp.status, got)
		}
	}
}

// runOfflineAccess advertises offline_access, and requires it of no token.
func runOfflineAccess(t *testing.T, f *Framework) {
	a := f.start(t, func(cfg *mcpauth.Config) {
		cfg.Scopes, cfg.RequiredScopes, cfg.AdvertiseOfflineAccess = []string{"greet"}, []string{"mcp"}, true
	})
	if resp := a.send(t, request{method: "GET", target: metadataPath}); !strings.Contains(resp.body, `"scopes_supported":["greet","mcp","offline_access"]`) {
		t.Errorf("%s", resp.body)
	}
	for scope, want := range map[string]int{"": 403, "offline_access": 403, "mcp": 200} {
		resp := a.send(t, request{header: bearer(a.env.Token(map[string]any{"scope": scope}))})
		if resp.status != want || want == 403 && !strings.Contains(resp.header.Get("WWW-Authenticate"), `scope="mcp offline_access"`) {
			t.Errorf("%q: status %d, %s", scope, resp.status, resp.header.Get("WWW-Authenticate"))
		}
	}
	if resp := a.send(t, request{}); !strings.Contains(resp.header.Get("WWW-Authenticate"), `scope="mcp offline_access"`) {
		t.Errorf("without a token: %s", resp.header.Get("WWW-Authenticate"))
	}
}
