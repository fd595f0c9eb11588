package mcpauthgin_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/adaptertest"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthgin "github.com/scalekit-mcp/mcpauth/gin"
)

func init() { gin.SetMode(gin.TestMode) }

func TestAdapter(t *testing.T) {
	t.Parallel()
	const setting = "gin redirects before any middleware runs; with engine.RedirectTrailingSlash = false it does not"
	adaptertest.Run(t, adaptertest.Framework{
		New: func() adaptertest.App { return app{gin.New()} },
		Deviations: map[string]string{
			"R89 redirects of a guarded root": setting,
			"R89 redirects of more slashes":   setting,
		},
	})
}

type app struct{ *gin.Engine }

func (a app) Outer(name, value string) {
	a.Engine.Use(func(c *gin.Context) { c.Header(name, value) })
}

func (a app) Recover() { a.Engine.Use(gin.RecoveryWithWriter(io.Discard)) }

func (a app) Use(rs *mcpauth.ResourceServer)                   { a.Engine.Use(mcpauthgin.Middleware(rs)) }
func (a app) Mount(rs *mcpauth.ResourceServer, h http.Handler) { mcpauthgin.Mount(a.Engine, rs, h) }
func (a app) MountMetadata(rs *mcpauth.ResourceServer)         { mcpauthgin.MountMetadata(a.Engine, rs) }

func (a app) Handle(prefix, path string, handler adaptertest.Handler, guard *mcpauth.ResourceServer, more ...*mcpauth.ResourceServer) {
	var chain []gin.HandlerFunc
	for _, rs := range more {
		chain = append(chain, mcpauthgin.Middleware(rs))
	}
	chain = append(chain, func(c *gin.Context) { c.String(http.StatusOK, "%s", handler(mcpauthgin.Session(c))) })
	switch {
	case prefix != "":
		a.Group(prefix, mcpauthgin.Middleware(guard)).Any(path, chain...)
	case guard != nil:
		a.Any(path, append([]gin.HandlerFunc{mcpauthgin.Middleware(guard)}, chain...)...)
	default:
		a.Any(path, chain...)
	}
}

func (a app) Serve(listener net.Listener) func() { return adaptertest.ServeHTTP(a.Engine, listener) }

// TestR89WithoutRedirects runs what gin can't do by default with the setting that its README names.
func TestR89WithoutRedirects(t *testing.T) {
	t.Parallel()
	adaptertest.Run(t, adaptertest.Framework{
		New: func() adaptertest.App {
			engine := gin.New()
			engine.RedirectTrailingSlash = false
			return app{engine}
		},
		Only: []string{"R89 redirects", "R89 redirects of a guarded root", "R89 redirects of more slashes"},
	})
}

// TestR89Wildcard has a wildcard of the user's below the endpoint, and a route with a slash at its end.
func TestR89Wildcard(t *testing.T) {
	t.Parallel()
	for _, route := range []string{"/mcp/*rest", "/mcp/", "/mcp/:id"} {
		env := mcpauthtest.NewEnvironment()
		t.Cleanup(env.Close)
		rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
		if err != nil {
			t.Fatal(err)
		}
		engine := gin.New()
		engine.Any(route, func(c *gin.Context) { c.String(http.StatusTeapot, "the user's") })
		mcpauthgin.Mount(engine, rs, http.NotFoundHandler())
		want := map[string]int{"/mcp": http.StatusUnauthorized, "/mcp/": http.StatusTeapot}
		if route == "/mcp/:id" {
			want["/mcp/"], want["/mcp/7"] = http.StatusNotFound, http.StatusTeapot
		}
		for path, status := range want {
			w := httptest.NewRecorder()
			engine.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, nil))
			if w.Code != status {
				t.Errorf("with %s: %s is answered with %d, want %d", route, path, w.Code, status)
			}
		}
	}
}

// TestR89OneMethod has a route of the user's with a slash at its end for one method. gin redirects none of the others.
func TestR89OneMethod(t *testing.T) {
	t.Parallel()
	for _, route := range []string{"/mcp/*rest", "/mcp/"} {
		env := mcpauthtest.NewEnvironment()
		t.Cleanup(env.Close)
		rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
		if err != nil {
			t.Fatal(err)
		}
		engine := gin.New()
		engine.GET(route, func(c *gin.Context) { c.String(http.StatusTeapot, "the user's") })
		engine.Handle("PROPFIND", "/mcp", func(c *gin.Context) { c.String(http.StatusTeapot, "the user's") })
		mcpauthgin.Mount(engine, rs, http.NotFoundHandler())
		for method, want := range map[string]int{"GET": http.StatusTeapot, "POST": http.StatusNotFound, "DELETE": http.StatusNotFound, "PROPFIND": http.StatusNotFound} {
			r := httptest.NewRequest(method, "/mcp/", nil)
			r.Header.Set("X-Forwarded-Prefix", "/evil")
			w := httptest.NewRecorder()
			engine.ServeHTTP(w, r)
			if w.Code != want {
				t.Errorf("with GET %s: %s /mcp/ is answered with %d, %q", route, method, w.Code, w.Header().Get("Location"))
			}
		}
	}
}

// TestR84Slash announces a body for a path that differs from the endpoint only by its slash.
func TestR84Slash(t *testing.T) {
	t.Parallel()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		t.Fatal(err)
	}
	engine := gin.New()
	mcpauthgin.Mount(engine, rs, http.NotFoundHandler())
	server := httptest.NewServer(engine)
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	_, _ = io.WriteString(conn, "POST /mcp/ HTTP/1.1\r\nHost: x\r\nContent-Length: 65\r\n\r\n")
	if answer, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 404 ") {
		t.Errorf("the connection is held: %q, %v", answer, err)
	}
}

// TestR83Stream has gin's own way to stream. Its client sees a clean end when the token ends.
func TestR83Stream(t *testing.T) {
	t.Parallel()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	cfg := env.Config("https://mcp.example.com")
	var ahead atomic.Int64 // of the wall clock, once the stream is open
	cfg.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	rs, err := mcpauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	engine := gin.New()
	engine.Use(mcpauthgin.Middleware(rs))
	engine.GET("/events", func(c *gin.Context) {
		c.Stream(func(io.Writer) bool {
			c.SSEvent("tick", "")
			<-time.After(10 * time.Millisecond) // a tool that takes its time
			return true
		})
	})
	server := httptest.NewServer(engine)
	defer server.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+env.Token(nil))
	resp, err := (&http.Client{Timeout: 30 * time.Second}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.ReadFull(resp.Body, make([]byte, 20)); err != nil {
		t.Fatalf("before the end of its token: %v", err)
	}
	end := time.Now()
	ahead.Store(int64(time.Hour))
	_, err = io.Copy(io.Discard, resp.Body)
	if late := time.Since(end); err != nil || late > 10*time.Second { // at once, and a busy machine
		t.Errorf("%v after the end of its token: %v", late, err)
	}
}

// TestR97Writers sends responses in each of gin's ways behind the middleware, which has the last word on their headers.
func TestR97Writers(t *testing.T) {
	t.Parallel()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		t.Fatal(err)
	}
	for name, write := range map[string]gin.HandlerFunc{
		"WriteString":        func(c *gin.Context) { _, _ = c.Writer.WriteString("x") },
		"Write":              func(c *gin.Context) { _, _ = c.Writer.Write([]byte("x")) },
		"String":             func(c *gin.Context) { c.String(http.StatusOK, "x") },
		"WriteHeaderNow":     func(c *gin.Context) { c.Writer.WriteHeaderNow() },
		"AbortWithStatus":    func(c *gin.Context) { c.AbortWithStatus(http.StatusOK) },
		"Flush":              func(c *gin.Context) { c.Writer.Flush() },
		"ResponseController": func(c *gin.Context) { _ = http.NewResponseController(c.Writer).Flush() },
		"unwrapped": func(c *gin.Context) {
			_, _ = io.WriteString(c.Writer.(interface{ Unwrap() http.ResponseWriter }).Unwrap(), "x") //nolint:forcetypeassert // it has it
		},
		"nothing": func(*gin.Context) {},
	} {
		for times := range 2 {
			engine := gin.New()
			for range times + 1 {
				engine.Use(mcpauthgin.Middleware(rs))
			}
			var written bool
			engine.POST("/", func(c *gin.Context) {
				c.Writer.Header().Add("Access-Control-Allow-Origin", "*")
				write(c)
				written = c.Writer.Written()
				c.Writer.Header()["Access-Control-Allow-Origin"] = []string{"too late"}
			})
			r := httptest.NewRequest(http.MethodPost, "/", nil)
			r.Header.Set("Authorization", "Bearer "+env.Token(nil))
			r.Header.Set("Origin", "https://mcp.example.com")
			w := httptest.NewRecorder()
			engine.ServeHTTP(w, r)
			if got := w.Result().Header["Access-Control-Allow-Origin"]; len(got) != 1 || got[0] != "https://mcp.example.com" {
				t.Errorf("%s, %d times: %q", name, times+1, got)
			}
			if written != (name != "nothing") || w.Code != http.StatusOK {
				t.Errorf("%s: written %t, status %d", name, written, w.Code)
			}
		}
	}
}

// TestUnstrippedRouteForOneMethod has a route of the application for one method at the path of a prefix that was not stripped:
// Mount leaves the path alone for all methods.
func TestUnstrippedRouteForOneMethod(t *testing.T) {
	t.Parallel()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	rs, err := mcpauth.New(env.Config("https://mcp.example.com/prod"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/prod/mcp", "/prod/*rest"} {
		testUnstrippedRoute(t, rs, path)
	}
}

func testUnstrippedRoute(t *testing.T, rs *mcpauth.ResourceServer, path string) {
	t.Helper()
	engine := gin.New()
	engine.HandleMethodNotAllowed = true
	engine.DELETE(path, func(c *gin.Context) { c.String(http.StatusTeapot, "the application's") })
	mcpauthgin.Mount(engine, rs, http.NotFoundHandler())
	for method, want := range map[string]int{"DELETE": http.StatusTeapot, "GET": http.StatusMethodNotAllowed, "TRACE": http.StatusMethodNotAllowed} {
		w := httptest.NewRecorder()
		engine.ServeHTTP(w, httptest.NewRequest(method, "/prod/mcp", nil))
		if w.Code != want {
			t.Errorf("%s is answered with %d, want %d", method, w.Code, want)
		}
	}
}
