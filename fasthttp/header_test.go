package mcpauthfasthttp_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	mcpauthfasthttp "github.com/scalekit-mcp/mcpauth/fasthttp"
	"github.com/scalekit-mcp/mcpauth/fasthttp/bridgetest"
)

// TestR87ControlsInValues, other than line ends, are sent as net/http sends them.
func TestR87ControlsInValues(t *testing.T) {
	t.Parallel()
	addrs := twin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Value", "a\x00b\x7f\x1bc\vd")
		if r.URL.RawQuery == "flush" {
			w.(http.Flusher).Flush()
		}
	})
	for _, target := range []string{"/", "/?flush"} {
		var lines [2]string
		for i, addr := range addrs {
			conn := bridgetest.Dial(t, addr)
			conn.Send("GET " + target + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			all, err := io.ReadAll(conn.From)
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(all)) {
				if strings.HasPrefix(line, "X-Value") {
					lines[i] = line
				}
			}
		}
		if lines[0] != lines[1] {
			t.Errorf("net/http: %q, bridge: %q", lines[0], lines[1])
		}
	}
}

// TestR95HeaderValuesAreTheHandlersOwn: what it writes into them reaches no other response.
func TestR95HeaderValuesAreTheHandlersOwn(t *testing.T) {
	t.Parallel()
	rs, env := bridgetest.NewResource(t, "")
	app := config()
	mcpauthfasthttp.Mount(app, rs, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "" {
			return
		}
		for _, values := range w.Header() {
			for i := range values {
				values[i] = "spoiled"
			}
		}
	}))
	conn := bridgetest.Dial(t, serve(t, app))
	for range 2 {
		for _, target := range []string{"/mcp?spoil", "/mcp", "/.well-known/oauth-protected-resource"} {
			for _, credentials := range []string{"", "Authorization: Bearer " + env.Token(nil) + "\r\n"} {
				conn.Send("GET " + target + " HTTP/1.1\r\nHost: x\r\nOrigin: https://mcp.example.com\r\n" + credentials + "\r\n")
				resp, _ := conn.Answer("GET")
				for name, values := range resp.Header {
					if slices.Contains(values, "spoiled") && target != "/mcp?spoil" {
						t.Errorf("%s of %s: %q", name, target, values)
					}
				}
			}
		}
	}
}
