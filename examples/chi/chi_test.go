// Package chi runs the adapters' suite on chi, as one of the routers that take http.Handlers and need no adapter of
// their own.
package chi

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/adaptertest"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthhttp "github.com/scalekit-mcp/mcpauth/nethttp"
)

func TestAdapter(t *testing.T) {
	t.Parallel()
	const silent = "chi replaces a route silently"
	adaptertest.Run(t, adaptertest.Framework{
		New: func() adaptertest.App { return app{chi.NewRouter()} },
		Deviations: map[string]string{
			"a route registered twice panics at start": silent,
			"two root documents panic at start":        silent,
		},
	})
}

type app struct{ *chi.Mux }

func (a app) Outer(name, value string) {
	a.Mux.Use(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(name, value)
			next.ServeHTTP(w, r)
		})
	})
}

func (a app) Recover() { a.Mux.Use(adaptertest.RecoverHTTP) } // chi's own passes http.ErrAbortHandler on

func (a app) Use(rs *mcpauth.ResourceServer)                   { a.Mux.Use(mcpauthhttp.Middleware(rs)) }
func (a app) Mount(rs *mcpauth.ResourceServer, h http.Handler) { mcpauthhttp.Mount(a.Mux, rs, h) }
func (a app) MountMetadata(rs *mcpauth.ResourceServer)         { mcpauthhttp.MountMetadata(a.Mux, rs) }

func (a app) Handle(prefix, path string, handler adaptertest.Handler, guard *mcpauth.ResourceServer, more ...*mcpauth.ResourceServer) {
	register := func(r chi.Router) {
		if guard != nil {
			r.Use(mcpauthhttp.Middleware(guard))
		}
		for _, rs := range more {
			r.Use(mcpauthhttp.Middleware(rs))
		}
		r.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, handler(mcpauthhttp.Session(r)))
		})
	}
	if prefix == "" {
		a.Group(register)
		return
	}
	a.Route(prefix, register)
}

func (a app) Serve(listener net.Listener) func() { return adaptertest.ServeHTTP(a.Mux, listener) }

// TestUnstrippedPath has routes of the application at the path of a prefix that was not stripped, and around it. Mount leaves
// the path to those that do not take every path, and a route that is registered after Mount replaces its answer.
func TestUnstrippedPath(t *testing.T) {
	t.Parallel()
	for own, want := range map[string]int{
		"/prod/mcp": 200, "/prod/*": 200, "/{stage}/mcp": 200, "/prod/{page:[a-z]+}": 200, "/p*": 200,
		"/*": 404, "/prod/{page:[0-9]+}": 404, "/prod": 404, "/{stage}/mcpx": 404,
	} {
		for _, shape := range []string{"a route", "a route after Mount", "a group", "a router below"} {
			log := new(bytes.Buffer)
			rs, err := mcpauth.New(mcpauth.Config{
				EnvironmentURL: "https://acme.scalekit.com", BaseURL: "https://mcp.example.com/prod", Logger: slog.New(slog.NewTextHandler(log, nil)),
			})
			if err != nil {
				t.Fatal(err)
			}
			root := chi.NewRouter()
			page := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "the application's") }
			mount := func(root chi.Router) { mcpauthhttp.Mount(root, rs, http.NotFoundHandler()) }
			switch shape {
			case "a route":
				root.HandleFunc(own, page)
				mount(root)
			case "a route after Mount":
				if own != "/prod/mcp" {
					continue
				}
				mount(root)
				root.HandleFunc(own, page)
			case "a group":
				root.Post(own, page)
				root.Group(mount)
			case "a router below":
				below, ok := strings.CutPrefix(own, "/prod/")
				if !ok {
					continue
				}
				root.Route("/prod", func(r chi.Router) { r.HandleFunc("/"+below, page) })
				mount(root)
			}
			w := httptest.NewRecorder()
			root.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/prod/mcp", http.NoBody))
			if w.Code != want {
				t.Errorf("%s %s: %d, want %d", shape, own, w.Code, want)
			}
			if logged := strings.Count(log.String(), "strip /prod") == 1; logged != (want == http.StatusNotFound) {
				t.Errorf("%s %s: the log says %q", shape, own, log)
			}
		}
	}
}

// TestPatternOfChi has instrumentation in front of Middleware see what chi tells of a route, as it does without Middleware.
func TestPatternOfChi(t *testing.T) {
	t.Parallel()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		t.Fatal(err)
	}
	seen := func(guards ...func(http.Handler) http.Handler) []string {
		var told []string
		root := chi.NewRouter()
		root.Use(func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				next.ServeHTTP(w, r)
				told = append(told, r.Pattern, r.PathValue("tenant"), r.PathValue("*"))
			})
		})
		root.Use(guards...)
		page := func(http.ResponseWriter, *http.Request) {}
		root.Post("/{tenant:[a-z]+}/mcp", page)
		root.Post("/{tenant}/files/*", page)
		for _, path := range []string{"/acme/mcp", "/acme/files/a/b", "/nowhere"} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, http.NoBody)
			r.Header.Set("Authorization", "Bearer "+env.Token(nil))
			root.ServeHTTP(httptest.NewRecorder(), r)
		}
		return told
	}
	without, with := seen(), seen(mcpauthhttp.Middleware(rs))
	if !slices.Equal(with, without) || !slices.Contains(with, "a/b") {
		t.Errorf("without Middleware %q, with it %q", without, with)
	}
}
