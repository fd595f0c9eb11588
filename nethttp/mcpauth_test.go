package mcpauthhttp_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/adaptertest"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthhttp "github.com/scalekit-mcp/mcpauth/nethttp"
)

func TestAdapter(t *testing.T) {
	t.Parallel()
	adaptertest.Run(t, func(_ testing.TB, rs *mcpauth.ResourceServer, handler http.Handler, listener net.Listener) func() {
		mux := http.NewServeMux()
		mcpauthhttp.Mount(mux, rs, handler)
		server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
		go server.Serve(listener) //nolint:errcheck // it ends with Close
		return func() { _ = server.Close() }
	})
}

// newServer returns a resource server with its environment.
func newServer(t *testing.T, path string) (*mcpauth.ResourceServer, *mcpauthtest.Environment) {
	t.Helper()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	cfg := env.Config("https://mcp.example.com")
	cfg.Path = path
	rs, err := mcpauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return rs, env
}

func get(t *testing.T, url, token string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

var whoami = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	session, err := mcpauthhttp.Session(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusTeapot)
		return
	}
	_, _ = io.WriteString(w, session.UserID())
})

// TestMiddlewareAroundAMux is enough by itself: it answers the metadata and guards all else.
func TestMiddlewareAroundAMux(t *testing.T) {
	t.Parallel()
	rs, env := newServer(t, "")
	mux := http.NewServeMux()
	mux.Handle("/mcp", whoami)
	mux.Handle("/other", whoami)
	server := httptest.NewServer(mcpauthhttp.Middleware(rs)(mux))
	defer server.Close()
	for path, want := range map[string][2]int{ // without and with a token
		"/mcp":                                  {401, 200},
		"/other":                                {401, 200},
		"/unknown":                              {401, 404},
		"/.well-known/oauth-protected-resource": {200, 200},
		"/.well-known/oauth-protected-resource/mcp":  {200, 200},
		"/.well-known/oauth-protected-resource/mcp/": {401, 404},
		"/.well-known/oauth-protected-resource/x":    {401, 404},
	} {
		without, _ := get(t, server.URL+path, "")
		with, _ := get(t, server.URL+path, env.Token(nil))
		if without != want[0] || with != want[1] {
			t.Errorf("%s: status %d without and %d with a token, want %v", path, without, with, want)
		}
	}
}

// TestMountLeavesTheRestOpen also has the endpoint at the root, which http.ServeMux would take for everything.
func TestMountLeavesTheRestOpen(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/mcp", "/"} {
		rs, env := newServer(t, path)
		mux := http.NewServeMux()
		mcpauthhttp.Mount(mux, rs, whoami)
		mux.HandleFunc("/healthz", func(w http.ResponseWriter, r *http.Request) {
			if _, err := mcpauthhttp.Session(r); err == nil {
				t.Error("an open route has a session")
			}
			_, _ = io.WriteString(w, "ok")
		})
		server := httptest.NewServer(mux)
		defer server.Close()
		if status, body := get(t, server.URL+"/healthz", env.Token(nil)); status != http.StatusOK || body != "ok" {
			t.Errorf("%s: /healthz: %d %q", path, status, body)
		}
		if status, _ := get(t, server.URL+path, ""); status != http.StatusUnauthorized {
			t.Errorf("%s: status %d without a token", path, status)
		}
		if status, body := get(t, server.URL+path, env.Token(nil)); status != http.StatusOK || body != "usr_1" {
			t.Errorf("%s: %d %q with a token", path, status, body)
		}
		if status, _ := get(t, server.URL+"/nothing", env.Token(nil)); status != http.StatusNotFound {
			t.Errorf("%s: /nothing: status %d", path, status)
		}
	}
}

func TestMistakesPanicAtStart(t *testing.T) {
	t.Parallel()
	rs, _ := newServer(t, "")
	for name, mistake := range map[string]func(){
		"no resource server":           func() { mcpauthhttp.Middleware(nil) },
		"no resource server, Mount":    func() { mcpauthhttp.Mount(http.NewServeMux(), nil, whoami) },
		"no resource server, metadata": func() { mcpauthhttp.MountMetadata(http.NewServeMux(), nil) },
		"no handler":                   func() { mcpauthhttp.Mount(http.NewServeMux(), rs, nil) },
		"twice": func() {
			mux := http.NewServeMux()
			mcpauthhttp.Mount(mux, rs, whoami)
			mcpauthhttp.Mount(mux, rs, whoami)
		},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			mistake()
		}()
	}
}
