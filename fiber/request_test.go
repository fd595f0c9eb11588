package mcpauthfiber_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/rewrite"
	"github.com/scalekit-mcp/mcpauth/fasthttp/bridgetest"
	mcpauthfiber "github.com/scalekit-mcp/mcpauth/fiber"
)

// TestR90RoutedPath: the handler sees the path that was routed, which a handler in front may have changed.
func TestR90RoutedPath(t *testing.T) {
	t.Parallel()
	rs, env := bridgetest.NewResource(t, "")
	show := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s|%s|%s|%s", r.URL.Path, r.URL.RawPath, r.URL.RawQuery, r.RequestURI)
	})
	app := fiber.New(config())
	app.Use(rewrite.New(rewrite.Config{Rules: map[string]string{"/v1/*": "/$1", "/old": "/new%2fpath", "/odd": "/100%"}}), func(c *fiber.Ctx) error {
		switch c.Path() {
		case "/set":
			c.Path("/path with spaces")
		case "/query":
			c.Path("/changed")
			c.Request().URI().SetQueryString("b=2")
		case "/uri":
			c.Request().SetRequestURI("/whole?c=3")
			c.Path("/whole")
		}
		return c.Next()
	})
	mcpauthfiber.Mount(app, rs, show)
	sub := fiber.New(config())
	sub.All("/inner", mcpauthfiber.Handler(show))
	app.Mount("/sub", sub)
	app.Use(mcpauthfiber.Handler(show))
	addr := serve(t, app)
	for target, want := range map[string]string{
		"/v1/mcp?x=1":              "/mcp||x=1|/v1/mcp?x=1",
		"/v1/a%2fb?x=%20":          "/a/b|/a%2fb|x=%20|/v1/a%2fb?x=%20",
		"/v1/a%20b":                "/a b|||/v1/a%20b",
		"http://x/v1/mcp?x":        "/mcp||x|http://x/v1/mcp?x",
		"/old":                     "/new/path|/new%2fpath||/old",
		"/odd":                     "/100%|||/odd",
		"/set":                     "/path with spaces|||/set",
		"/query?a=1":               "/changed||b=2|/query?a=1",
		"/uri?a=1":                 "/whole||c=3|/whole?c=3",
		"/sub/inner?x":             "/sub/inner||x|/sub/inner?x",
		"/plain?x=1#y":             "/plain||x=1|/plain?x=1#y",
		"/plain#y":                 "/plain|||/plain#y",
		"/a%2fb":                   "/a/b|/a%2fb||/a%2fb",
		"/./a/../b":                "/./a/../b|||/./a/../b",
		"//double/b":               "//double/b|||//double/b",
		"http://other.example/a?b": "/a||b|http://other.example/a?b",
		"http://other.example?b":   "||b|http://other.example?b",
		"/?":                       "/|||/?",
	} {
		conn := bridgetest.Dial(t, addr)
		conn.Send("GET " + target + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + env.Token(nil) + "\r\n\r\n")
		if resp, body := conn.Answer("GET"); body != want {
			t.Errorf("%s: %d %s, want %s", target, resp.StatusCode, body, want)
		}
	}
	conn := bridgetest.Dial(t, addr)
	conn.Send("POST /v1/mcp HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
	if resp, _ := conn.Answer("POST"); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("a rewritten endpoint without a token: %d", resp.StatusCode)
	}
}

// TestR90PathsOfFiber: whatever a client writes, the handler's path is the one that Fiber has.
func TestR90PathsOfFiber(t *testing.T) {
	t.Parallel()
	app := fiber.New(config())
	app.Use(func(c *fiber.Ctx) error {
		c.Set("X-Routed", base64.StdEncoding.EncodeToString([]byte(c.Path())))
		return c.Next()
	}, mcpauthfiber.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.Path) })))
	addr := serve(t, app)
	for _, target := range []string{
		"/mcp", "//mcp", "//mcp/x", "///", "/./mcp", "/x/../mcp", "/%6dcp", "/mcp%2f", "/mcp;x", "/mcp?x#y", "/mcp#x?y", "/mcp%23x", "/mcp%3fx",
		"http://mcp.example.com/mcp", "http://mcp.example.com//mcp", "https://x/mcp#y", "http://x/?y", "/a:b", "/:b", "/a\\b", "/http://x/mcp", "/mcp//", "/%2e%2e/mcp", "/a+b",
	} {
		conn := bridgetest.Dial(t, addr)
		conn.Send("GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n")
		resp, body := conn.Answer("GET")
		routed, err := base64.StdEncoding.DecodeString(resp.Header.Get("X-Routed"))
		if err != nil {
			t.Fatal(err)
		}
		if plain, err := url.PathUnescape(string(routed)); err != nil || resp.StatusCode != http.StatusOK || plain != body {
			t.Errorf("%s: %d, routed %q, seen %q, %v", target, resp.StatusCode, routed, body, err)
		}
	}
}
