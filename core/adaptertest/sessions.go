package adaptertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// runSessionLife keeps the contexts of requests: each holds the session as long as the response lasts, and no longer.
func runSessionLife(t *testing.T, f *Framework) {
	for _, middleware := range []bool{false, true} {
		for name, end := range map[string]func(http.ResponseWriter){
			"returns":         func(w http.ResponseWriter) { _, _ = io.WriteString(w, "end") },
			"writes nothing":  func(http.ResponseWriter) {},
			"aborts a stream": func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
		} {
			t.Run(fmt.Sprintf("middleware %t, %s", middleware, name), func(t *testing.T) {
				t.Parallel()
				a := f.prepare(t, nil)
				if middleware {
					a.build.Use(a.rs)
				}
				kept := make(chan context.Context, 1)
				a.build.Mount(a.rs, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.WriteString(w, "begin")
					_ = http.NewResponseController(w).Flush()
					if session, err := mcpauth.SessionFromContext(r.Context()); err != nil || session.UserID() != "usr_1" {
						t.Errorf("after a Flush: %v, %v", session, err)
					}
					kept <- context.WithoutCancel(r.Context())
					end(w)
				}))
				a.serve(t)
				conn := a.dial(t)
				_, _ = fmt.Fprintf(conn, "POST /mcp HTTP/1.1\r\nHost: mcp.example.com\r\nConnection: close\r\nAuthorization: Bearer %s\r\nContent-Length: 0\r\n\r\n", a.env.Token(nil))
				_, _ = io.Copy(io.Discard, conn)
				_ = conn.Close()
				ctx := await(t, "the handler", kept)
				for give := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
					_, err := mcpauth.SessionFromContext(ctx)
					if errors.Is(err, mcpauth.ErrNoSession) {
						return
					}
					if time.Now().After(give) {
						t.Fatal("the session outlives its response")
					}
				}
			})
		}
	}
}

// runWhoseSession has the endpoint of one resource behind the middleware of another, whose sessions do not count here.
func runWhoseSession(t *testing.T, f *Framework) {
	a := f.prepare(t, func(cfg *mcpauth.Config) { cfg.ResourceID = "" })
	outer := a.resourceServer(t, func(cfg *mcpauth.Config) { cfg.Path, cfg.ResourceID = "/outer", "" })
	a.build.Use(outer)
	a.build.Mount(a.rs, http.HandlerFunc(a.handle))
	a.serve(t)
	token := func(aud ...string) http.Header {
		return bearer(a.env.Token(map[string]any{"iss": a.env.URL(), "aud": aud}))
	}
	if resp := a.send(t, request{header: token(baseURL + "/outer")}); resp.status != http.StatusUnauthorized || a.ran.Load() != 0 {
		t.Errorf("a token for the outer resource alone: status %d, the handler ran %d times", resp.status, a.ran.Load())
	}
	if resp := a.send(t, request{header: token(baseURL+"/outer", baseURL+"/mcp"), body: "x"}); resp.body != "usr_1 x" {
		t.Errorf("a token for both: status %d, %q", resp.status, resp.body)
	}
}

// runRelated has an endpoint that requires more scopes than the middleware in front of it, for the same resource.
func runRelated(t *testing.T, f *Framework) {
	a := f.prepare(t, nil)
	a.build.Use(a.rs)
	a.build.Mount(a.rs.WithRequiredScopes("admin"), http.HandlerFunc(a.handle))
	a.serve(t)
	resp := a.send(t, request{header: bearer(a.env.Token(nil))})
	if challenge := resp.header.Get("WWW-Authenticate"); resp.status != http.StatusForbidden || !strings.Contains(challenge, `scope="admin"`) || a.ran.Load() != 0 {
		t.Errorf("without the scope: status %d, %s", resp.status, challenge)
	}
	if resp := a.send(t, request{header: bearer(a.env.Token(map[string]any{"scope": "admin"})), body: "x"}); resp.body != "usr_1 x" {
		t.Errorf("with the scope: status %d, %q", resp.status, resp.body)
	}
}
