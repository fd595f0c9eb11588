package adaptertest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// until is a token that ends in life, and when.
func (a *app) until(life time.Duration) (token string, end time.Time) {
	end = time.UnixMilli(time.Now().Add(life).UnixMilli())
	return a.env.Token(map[string]any{"exp": float64(end.UnixMilli()) / 1000}), end
}

func noSkew(cfg *mcpauth.Config) { cfg.ClockSkew = time.Millisecond }

// runCall has a call whose token ends while the handler works: it gets its answer, streamed or in one piece. A stream that
// says it is a call does not.
func runCall(t *testing.T, f *Framework) {
	for _, streamed := range []bool{false, true} {
		t.Run(fmt.Sprintf("streamed %t", streamed), func(t *testing.T) {
			t.Parallel()
			a := f.prepare(t, noSkew)
			token, end := a.until(1500 * time.Millisecond)
			a.build.Mount(a.rs, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if streamed {
					_, _ = io.WriteString(w, "progress\n")
					_ = http.NewResponseController(w).Flush()
				}
				select {
				case <-r.Context().Done():
					t.Errorf("the call was ended: %v", context.Cause(r.Context()))
				case <-time.After(time.Until(end.Add(300 * time.Millisecond))):
				}
				if _, err := mcpauth.SessionFromContext(r.Context()); err != nil {
					t.Error(err)
				}
				_, _ = io.WriteString(w, "answer\n")
			}))
			a.serve(t)
			resp := a.send(t, request{header: bearer(token)})
			if !strings.HasSuffix(resp.body, "answer\n") {
				t.Errorf("status %d, %q", resp.status, resp.body)
			}
		})
	}
}

// runNoReader has streams whose clients take nothing, and handlers that look at the errors of their writes alone.
func runNoReader(t *testing.T, f *Framework) {
	for _, flush := range []bool{true, false} {
		t.Run(fmt.Sprintf("flushing %t", flush), func(t *testing.T) {
			t.Parallel()
			a := f.prepare(t, noSkew)
			returned := make(chan time.Time, 1)
			a.build.Mount(a.rs, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				chunk := make([]byte, 64<<10)
				for {
					_, err := w.Write(chunk)
					if err == nil && flush {
						err = http.NewResponseController(w).Flush()
					}
					if err != nil {
						returned <- time.Now()
						return
					}
				}
			}))
			a.serve(t)
			token, end := a.until(1500 * time.Millisecond)
			conn := a.dial(t)
			defer func() { _ = conn.Close() }()
			_, _ = fmt.Fprintf(conn, "GET /mcp HTTP/1.1\r\nHost: mcp.example.com\r\nAuthorization: Bearer %s\r\n\r\n", token)
			at := await(t, "the handler's return", returned)
			if late := at.Sub(end); late < 0 || late > 5*time.Second {
				t.Errorf("the handler returned %v after the end of the token", late)
			}
		})
	}
}

// runUnreadBodies announces bodies and does not send them. Each reply comes, and its connection is free, within seconds.
func runUnreadBodies(t *testing.T, f *Framework) {
	a := f.start(t, nil)
	const from = "Origin: " + baseURL + "\r\n"
	for name, head := range map[string]string{
		"no credentials":          "POST /mcp HTTP/1.1\r\nContent-Length: 65\r\n",
		"a few bytes of it":       "POST /mcp HTTP/1.1\r\nContent-Length: 65\r\n\r\n{\"js",
		"a large one":             "POST /mcp HTTP/1.1\r\nContent-Length: 65000000\r\n",
		"chunked":                 "POST /mcp HTTP/1.1\r\nTransfer-Encoding: chunked\r\n",
		"in the middle of chunks": "POST /mcp HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
		"an invalid token":        "POST /mcp HTTP/1.1\r\nAuthorization: Bearer x\r\nContent-Length: 65\r\n",
		"a malformed header":      "POST /mcp HTTP/1.1\r\nAuthorization: Bearer\r\nContent-Length: 65\r\n",
		"a refused origin":        "POST /mcp HTTP/1.1\r\nOrigin: https://evil.example\r\nContent-Length: 65\r\n",
		"a preflight":             "OPTIONS /mcp HTTP/1.1\r\n" + from + "Access-Control-Request-Method: POST\r\nContent-Length: 65\r\n",
		"metadata":                "GET " + metadataPath + " HTTP/1.1\r\nContent-Length: 65\r\n",
		"metadata by POST":        "POST " + rootMetadata + " HTTP/1.1\r\nContent-Length: 65\r\n",
		"100-continue":            "POST /mcp HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 65\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := a.dial(t)
			defer func() { _ = conn.Close() }()
			head, body, _ := strings.Cut(head, "\r\n\r\n")
			began := time.Now()
			_, _ = fmt.Fprintf(conn, "%s\r\nHost: mcp.example.com\r\n\r\n%s", strings.TrimSuffix(head, "\r\n"), body)
			reader := bufio.NewReader(conn)
			resp, err := http.ReadResponse(reader, nil)
			for err == nil && resp.StatusCode == http.StatusContinue {
				resp, err = http.ReadResponse(reader, nil)
			}
			if err != nil {
				t.Fatal(err)
			}
			_, err = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if took := time.Since(began); err != nil || took > 4*time.Second {
				t.Errorf("status %d came after %v, %v", resp.StatusCode, took, err)
			}
			if _, err := reader.ReadByte(); err == nil {
				t.Error("the server goes on talking")
			}
			if took := time.Since(began); took > 6*time.Second {
				t.Errorf("the connection was held for %v", took)
			}
		})
	}
	t.Run("a large upload sees its denial", func(t *testing.T) {
		t.Parallel()
		for range 10 {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+a.addr+"/mcp", strings.NewReader(strings.Repeat("x", 5<<20)))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Error(err)
				continue
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusUnauthorized {
				t.Errorf("status %d", resp.StatusCode)
			}
		}
	})
	t.Run("a denial does not hurt the next request", func(t *testing.T) { runAfterDenial(t, f) })
}

// runAfterDenial sends an allowed request on the connection of a denied one, and has it take its time.
func runAfterDenial(t *testing.T, f *Framework) {
	t.Parallel()
	a := f.prepare(t, nil)
	a.build.Mount(a.rs, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
		}
		select {
		case <-r.Context().Done():
			t.Errorf("the request was cancelled: %v", context.Cause(r.Context()))
		case <-time.After(1500 * time.Millisecond):
		}
		_, _ = io.WriteString(w, "answer")
	}))
	a.serve(t)
	conn := a.dial(t)
	defer func() { _ = conn.Close() }()
	from := bufio.NewReader(conn)
	for _, path := range []string{"/mcp", metadataPath} {
		if resp := exchange(t, conn, from, request{target: path, body: "{}"}); resp.status < 400 {
			t.Errorf("%s: status %d", path, resp.status)
		}
		if resp := exchange(t, conn, from, request{header: bearer(a.env.Token(nil)), body: "{}"}); resp.body != "answer" {
			t.Errorf("after %s: status %d, %q", path, resp.status, resp.body)
		}
	}
}

// runSessionLife keeps the context of requests: the session is there while the response lasts, and gone with it.
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
				for give := time.Now().Add(patience); ; {
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

// runWhoseSession has the endpoint of one resource behind the middleware of another: a session of that one is none here.
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

// runRelated has the endpoint require more scopes than the middleware in front, of the same resource.
func runRelated(t *testing.T, f *Framework) {
	a := f.prepare(t, nil)
	a.build.Use(a.rs)
	a.build.Mount(a.rs.WithScopes("admin"), http.HandlerFunc(a.handle))
	a.serve(t)
	resp := a.send(t, request{header: bearer(a.env.Token(nil))})
	if challenge := resp.header.Get("WWW-Authenticate"); resp.status != http.StatusForbidden || !strings.Contains(challenge, `scope="admin"`) || a.ran.Load() != 0 {
		t.Errorf("without the scope: status %d, %s", resp.status, challenge)
	}
	if resp := a.send(t, request{header: bearer(a.env.Token(map[string]any{"scope": "admin"})), body: "x"}); resp.body != "usr_1 x" {
		t.Errorf("with the scope: status %d, %q", resp.status, resp.body)
	}
}

// runBroken breaks answers off in the middle, with and without the framework's own recovery in front.
func runBroken(t *testing.T, f *Framework) {
	for _, recovery := range []bool{false, true} {
		for name, begin := range map[string]func(http.ResponseWriter){
			"with a length": func(w http.ResponseWriter) {
				w.Header().Set("Content-Length", "100")
				_, _ = io.WriteString(w, "sixteen bytes...")
			},
			"with a length, flushed": func(w http.ResponseWriter) {
				w.Header().Set("Content-Length", "100")
				_, _ = io.WriteString(w, "sixteen bytes...")
				_ = http.NewResponseController(w).Flush()
			},
			"a stream": func(w http.ResponseWriter) {
				_, _ = io.WriteString(w, "sixteen bytes...")
				_ = http.NewResponseController(w).Flush()
			},
			"not flushed": func(w http.ResponseWriter) { _, _ = io.WriteString(w, "sixteen bytes...") },
			"at once":     func(http.ResponseWriter) {},
		} {
			t.Run(fmt.Sprintf("recovery %t, %s", recovery, name), func(t *testing.T) {
				t.Parallel()
				a := f.prepare(t, nil)
				if recovery {
					a.build.Recover()
				}
				a.build.Mount(a.rs, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					begin(w)
					panic(http.ErrAbortHandler)
				}))
				a.serve(t)
				conn := a.dial(t)
				defer func() { _ = conn.Close() }()
				_, _ = fmt.Fprintf(conn, "POST /mcp HTTP/1.1\r\nHost: mcp.example.com\r\nAuthorization: Bearer %s\r\nContent-Length: 0\r\n\r\n", a.env.Token(nil))
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					return // nothing looks whole here
				}
				body, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if err == nil {
					t.Errorf("the client takes it for whole: status %d, %q", resp.StatusCode, body)
				}
			})
		}
	}
}

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

// redirect sends requests for a path that a router may redirect, with headers that say where to, and reports what is not
// one of these statuses.
func (a *app) redirect(t *testing.T, target string, statuses ...int) {
	t.Helper()
	for _, method := range []string{"POST", "GET", "OPTIONS"} {
		resp := a.send(t, request{method: method, target: target, header: http.Header{
			"X-Forwarded-Prefix": {"/evil"}, "X-Forwarded-Host": {"evil.example"}, "X-Forwarded-Proto": {"http"}, "Host": {"evil.example"},
		}})
		if location := resp.header.Get("Location"); strings.Contains(location, "evil") || !slices.Contains(statuses, resp.status) {
			t.Errorf("%s %s: status %d, Location %q; want one of %d", method, target, resp.status, location, statuses)
		}
	}
	if a.ran.Load() != 0 {
		t.Errorf("%s: the handler ran", target)
	}
}

// runRedirects asks for the paths of the endpoint and its metadata with a slash at the end. The metadata may be served
// there, too.
func runRedirects(t *testing.T, f *Framework) {
	a := f.start(t, nil)
	for _, target := range []string{"/mcp/", metadataPath + "/", rootMetadata + "/"} {
		a.redirect(t, target, http.StatusNotFound, http.StatusOK, http.StatusNoContent)
	}
}

// runMoreSlashes asks for paths with slashes that http.ServeMux cleans, by a redirect to the path alone.
func runMoreSlashes(t *testing.T, f *Framework) {
	a := f.start(t, nil)
	for _, target := range []string{"/mcp//", "//mcp", "/mcp///"} {
		a.redirect(t, target, http.StatusNotFound, http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusUnauthorized)
	}
}

// runRedirectsOfRoot does it with the middleware on the root, which guards all that the router lets through to it.
func runRedirectsOfRoot(t *testing.T, f *Framework) {
	a := f.prepare(t, nil)
	a.build.Use(a.rs)
	a.build.Handle("", "/other", userID, nil)
	a.serve(t)
	resp := a.send(t, request{target: "/other/", header: http.Header{"X-Forwarded-Prefix": {"/evil"}}})
	if resp.status != http.StatusUnauthorized {
		t.Errorf("status %d, Location %q; want 401", resp.status, resp.header.Get("Location"))
	}
}

// runCORS has handlers and middlewares that set CORS headers of their own, as a proxy to an upstream does that answers
// for itself.
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
		"spells it otherwise": {handler: func(w http.ResponseWriter, _ *http.Request) {
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

// rawHeader sends a request and returns the header lines of the last response to it, under their canonical names, however
// they are spelled.
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
