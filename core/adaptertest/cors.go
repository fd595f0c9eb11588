package adaptertest

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"strings"
	"testing"
)

// runHeaderValues has a handler that changes the values of its response's headers in place.
func runHeaderValues(t *testing.T, f *Framework) {
	a := f.prepare(t, nil)
	a.build.Mount(a.rs, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Spoil") != "" {
			w.WriteHeader(http.StatusOK)
		}
		for _, values := range w.Header() {
			for i := range values {
				values[i] = "spoiled"
			}
		}
	}))
	a.serve(t)
	for _, spoil := range []string{"", "x"} {
		h := bearer(a.env.Token(nil))
		h["Origin"] = []string{baseURL}
		if spoil != "" {
			h["X-Spoil"] = []string{spoil}
		}
		for range 3 {
			a.send(t, request{header: h})
		}
	}
	for name, h := range map[string]http.Header{"allowed": bearer(a.env.Token(nil)), "denied": {}} {
		h["Origin"] = []string{baseURL}
		resp := a.send(t, request{header: h})
		if resp.header.Get("Vary") != "Origin" || resp.header.Get("Access-Control-Allow-Origin") != baseURL || strings.Contains(fmt.Sprint(resp.header), "spoiled") {
			t.Errorf("%s: %v", name, resp.header)
		}
	}
}

// runCORS has handlers and middlewares that set CORS headers of their own, like a proxy whose upstream sets them too.
func runCORS(t *testing.T, f *Framework) {
	upstream := func(h http.Header) {
		h.Add("Access-Control-Allow-Origin", "*")
		h.Add("Access-Control-Allow-Credentials", "true")
		h.Add("Access-Control-Allow-Private-Network", "true")
		h.Add("Access-Control-Expose-Headers", "X-Upstream")
		h.Add("Access-Control-Allow-Methods", "GET")
		h.Add("Access-Control-Allow-Methods", "PUT")
		h.Add("Vary", "Accept")
	}
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		outer   bool
	}{
		"adds": {handler: func(w http.ResponseWriter, _ *http.Request) { upstream(w.Header()); _, _ = io.WriteString(w, "x") }},
		"adds, and sends a status": {handler: func(w http.ResponseWriter, _ *http.Request) {
			upstream(w.Header())
			w.WriteHeader(http.StatusTeapot)
		}},
		"adds, and flushes": {handler: func(w http.ResponseWriter, _ *http.Request) {
			upstream(w.Header())
			_ = http.NewResponseController(w).Flush()
		}},
		"adds, and returns": {handler: func(w http.ResponseWriter, _ *http.Request) { upstream(w.Header()) }},
		"sets": {handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Access-Control-Allow-Origin", "https://evil.example")
			_, _ = io.WriteString(w, "x")
		}},
		"spells it differently": {handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["access-control-allow-origin"] = []string{"*"}
			w.Header()["ACCESS-CONTROL-ALLOW-CREDENTIALS"] = []string{"true"}
		}},
		"clears": {handler: func(w http.ResponseWriter, _ *http.Request) { clear(w.Header()); _, _ = io.WriteString(w, "x") }},
		"early hints, which clear": {handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", "</style.css>")
			w.WriteHeader(http.StatusEarlyHints)
			clear(w.Header()) // as httputil.ReverseProxy does
			upstream(w.Header())
			w.WriteHeader(http.StatusTeapot)
		}},
		"with a middleware in front": {outer: true, handler: func(w http.ResponseWriter, _ *http.Request) { upstream(w.Header()); _, _ = io.WriteString(w, "x") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := f.prepare(t, nil)
			exposed := "WWW-Authenticate, Mcp-Session-Id, MCP-Protocol-Version, Retry-After"
			if c.outer {
				a.build.Outer("Access-Control-Expose-Headers", "X-Request-Id, mcp-session-id")
				a.build.Outer("Access-Control-Allow-Credentials", "true")
				a.build.Outer("Access-Control-Allow-Origin", "https://outer.example")
				exposed += ", X-Request-Id"
			}
			a.build.Mount(a.rs, c.handler)
			a.serve(t)
			for _, token := range []bool{true, false} {
				h := http.Header{"Origin": {baseURL}}
				if token {
					h.Set("Authorization", "Bearer "+a.env.Token(nil))
				}
				header := a.rawHeader(t, request{header: h})
				if got := header["Access-Control-Allow-Origin"]; len(got) != 1 || got[0] != baseURL {
					t.Errorf("token %t: Access-Control-Allow-Origin %q", token, got)
				}
				if got := header["Access-Control-Expose-Headers"]; len(got) != 1 || got[0] != exposed {
					t.Errorf("token %t: Access-Control-Expose-Headers %q, want %q", token, got, exposed)
				}
				for _, name := range []string{"Access-Control-Allow-Credentials", "Access-Control-Allow-Private-Network"} {
					if got := header[name]; got != nil {
						t.Errorf("token %t: %s %q", token, name, got)
					}
				}
				if got := header["Access-Control-Allow-Methods"]; len(got) > 1 {
					t.Errorf("token %t: Access-Control-Allow-Methods %q", token, got)
				}
				if !strings.Contains(strings.Join(header["Vary"], ","), "Origin") {
					t.Errorf("token %t: Vary %q", token, header["Vary"])
				}
			}
		})
	}
}

// rawHeader sends a request and returns the header lines of the last response to it, under their canonical names, in
// whatever case they were sent.
func (a *app) rawHeader(t *testing.T, req request) http.Header {
	t.Helper()
	conn := a.dial(t)
	defer func() { _ = conn.Close() }()
	var b strings.Builder
	fmt.Fprintf(&b, "POST /mcp HTTP/1.1\r\nHost: mcp.example.com\r\nContent-Length: 0\r\n")
	for name, lines := range req.header {
		fmt.Fprintf(&b, "%s: %s\r\n", name, lines[0])
	}
	_, _ = io.WriteString(conn, b.String()+"\r\n")
	from := textproto.NewReader(bufio.NewReader(conn))
	for {
		status, err := from.ReadLine()
		if err != nil {
			t.Fatal(err)
		}
		header, err := from.ReadMIMEHeader()
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(status, " 103 ") {
			return http.Header(header)
		}
	}
}
