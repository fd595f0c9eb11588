package mcpauthfasthttp_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	mcpauthfasthttp "github.com/scalekit-mcp/mcpauth/fasthttp"
	"github.com/scalekit-mcp/mcpauth/fasthttp/bridgetest"
	"github.com/valyala/fasthttp"
)

// smuggled is a body that would be an answered request, were it taken for one.
const smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"

// TestUnreadBodies: the rest of a body is not taken for a request, whichever handler leaves it.
func TestUnreadBodies(t *testing.T) {
	t.Parallel()
	rs, env := bridgetest.NewResource(t, "")
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "flush" {
			w.(http.Flusher).Flush()
		}
	})
	open := routes{
		"/smuggled": func(*fasthttp.RequestCtx) { t.Error("a body was taken for a request") },
		"/last":     func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString("last") },
		"/open":     func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString("ok") },
	}
	for name, protect := range map[string]func(*fasthttp.Server){
		"Mount": func(app *fasthttp.Server) { mcpauthfasthttp.Mount(app, rs, handler) },
		"Middleware": func(app *fasthttp.Server) {
			guarded := mcpauthfasthttp.Middleware(rs)(routes{"/mcp": mcpauthfasthttp.Handler(handler), "/open": open["/open"]}.serve)
			app.Handler = func(ctx *fasthttp.RequestCtx) {
				if path := string(ctx.Path()); path == "/smuggled" || path == "/last" {
					open.serve(ctx)
					return
				}
				guarded(ctx)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app := config()
			app.Handler = open.serve
			protect(app)
			addr := serve(t, app)
			for _, target := range []string{"/mcp", "/mcp?flush", "/open", "/unknown", "/.well-known/oauth-protected-resource"} {
				for _, token := range []string{"", env.Token(nil)} {
					for _, size := range []int{10, 20_000, 200_000, 2_000_000} {
						for _, chunked := range []bool{false, true} {
							conn := bridgetest.Dial(t, addr)
							body := strings.Repeat("x", size) + smuggled
							head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\n", target)
							if token != "" {
								head += "Authorization: Bearer " + token + "\r\n"
							}
							if chunked {
								head += "Transfer-Encoding: chunked\r\n\r\n"
								body = fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
							} else {
								head += fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body))
							}
							// The server may close while this is being sent.
							go io.WriteString(conn.Conn, head+body+"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") //nolint:errcheck // see above
							resp, _ := conn.Answer("POST")
							if resp.Close {
								continue
							}
							last, text := conn.Answer("GET")
							if text != "last" {
								t.Errorf("%s, %d bytes, chunked=%v: the next response is %d %q", target, size, chunked, last.StatusCode, text)
							}
						}
					}
				}
			}
		})
	}
}

// TestR32LargeBodyWithoutAToken is answered before it is sent.
func TestR32LargeBodyWithoutAToken(t *testing.T) {
	t.Parallel()
	rs, _ := bridgetest.NewResource(t, "")
	app := config()
	mcpauthfasthttp.Mount(app, rs, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler ran") }))
	addr := serve(t, app)
	conn := bridgetest.Dial(t, addr)
	conn.Send(fmt.Sprintf("POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", hundredMB, strings.Repeat("x", 100_000)))
	resp, body := conn.Answer("POST")
	if resp.StatusCode != http.StatusUnauthorized || !resp.Close || !strings.Contains(body, "access token is required") {
		t.Errorf("%d close=%v %q", resp.StatusCode, resp.Close, body)
	}
	if n, err := conn.From.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("the connection goes on: %d, %v", n, err)
	}

	// A client that goes on sending gets the answer all the same.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+"/mcp", io.LimitReader(endless{}, hundredMB))
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = hundredMB
	answered, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = answered.Body.Close()
	if answered.StatusCode != http.StatusUnauthorized {
		t.Error(answered.Status)
	}
}

// TestR86UnreadBodyOfAPanic: a handler that panics has not read its body, and a middleware in front answers for it.
func TestR86UnreadBodyOfAPanic(t *testing.T) {
	t.Parallel()
	rs, env := bridgetest.NewResource(t, "")
	app := config()
	recovering := mcpauthfasthttp.Middleware(rs)(func(*fasthttp.RequestCtx) { panic("x") })
	app.Handler = func(ctx *fasthttp.RequestCtx) {
		if string(ctx.Path()) == "/smuggled" {
			t.Error("a body was taken for a request")
			return
		}
		defer func() {
			if recover() != nil {
				ctx.SetStatusCode(http.StatusInternalServerError)
			}
		}()
		recovering(ctx)
	}
	addr := serve(t, app)
	for _, size := range []int{0, 8 << 10, 300_000} {
		body := strings.Repeat("x", size) + smuggled
		answers := raw(t, addr, fmt.Sprintf("POST /own HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", env.Token(nil), len(body), body))
		if len(answers) != 1 || answers[0].StatusCode != http.StatusInternalServerError {
			t.Errorf("%d bytes: %+v", size, answers)
		}
	}
}

// TestR86KeepAliveOfAHandler: a handler that asks to keep a connection on which it left a body does not get its way.
func TestR86KeepAliveOfAHandler(t *testing.T) {
	t.Parallel()
	rs, env := bridgetest.NewResource(t, "")
	for _, connection := range []string{"keep-alive", "Keep-Alive", "x", "", "close", "x, Close"} {
		handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/smuggled" {
				t.Error("a body was taken for a request")
			}
			w.Header().Set("Connection", connection)
			if r.URL.RawQuery == "flush" {
				w.(http.Flusher).Flush()
			}
		})
		app := config()
		app.Handler = mcpauthfasthttp.Handler(handler)
		mounted := config()
		mcpauthfasthttp.Mount(mounted, rs, handler)
		for _, addr := range []string{serve(t, app), serve(t, mounted)} {
			for _, target := range []string{"/mcp", "/mcp?flush"} {
				for _, rest := range []string{
					"Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX" + smuggled,
					fmt.Sprintf("Content-Length: 600000\r\n\r\n%s%s", strings.Repeat("x", 8<<10), strings.Repeat(smuggled, 100)),
				} {
					answers := raw(t, addr, "POST "+target+" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+env.Token(nil)+"\r\n"+rest)
					if len(answers) != 1 || !answers[0].Close {
						t.Errorf("%q, %s: %+v", connection, target, answers)
					}
				}
			}
		}
	}
}
