package mcpauthfasthttp_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	mcpauthfasthttp "github.com/scalekit-mcp/mcpauth/fasthttp"
	"github.com/scalekit-mcp/mcpauth/fasthttp/bridgetest"
	"github.com/valyala/fasthttp"
)

// modes are the ways in which fasthttp hands over bodies and names.
func modes() map[string]func() *fasthttp.Server {
	buffered := func() *fasthttp.Server {
		app := config()
		app.StreamRequestBody = false
		return app
	}
	forms := func() *fasthttp.Server {
		app := buffered()
		app.DisablePreParseMultipartForm = false
		return app
	}
	names := func() *fasthttp.Server {
		app := config()
		app.DisableHeaderNamesNormalizing = true
		return app
	}
	return map[string]func() *fasthttp.Server{"streamed": config, "buffered": buffered, "buffered, with forms": forms, "names as they come": names}
}

// raw sends text and returns the responses until the server closes the connection, which it has to do.
func raw(t *testing.T, addr, text string) (answers []bridgetest.Answer) {
	t.Helper()
	conn := bridgetest.Dial(t, addr)
	_, _ = io.WriteString(conn.Conn, text) // the server may close while this is being sent
	if half, ok := conn.Conn.(*net.TCPConn); ok {
		_ = half.CloseWrite()
	}
	for {
		resp, err := http.ReadResponse(conn.From, nil)
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%.80q: the connection stays open", text)
			}
			return answers
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		answers = append(answers, bridgetest.Answer{StatusCode: resp.StatusCode, Header: resp.Header, Close: resp.Close, ContentLength: resp.ContentLength})
	}
}

// protected are the ways to protect an app, with the routes /mcp and /own, which read the body, and /open and /smuggled,
// which do not.
func protected(t *testing.T, newApp func() *fasthttp.Server) (addrs map[string]string, token string, ran *atomic.Int64, smuggledIn *atomic.Int64) {
	t.Helper()
	rs, env := bridgetest.NewResource(t, "")
	ran, smuggledIn = new(atomic.Int64), new(atomic.Int64)
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		ran.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
	})
	own := func(ctx *fasthttp.RequestCtx) {
		ran.Add(1)
		ctx.SetBodyString(fmt.Sprint(len(ctx.Request.Body())))
	}
	smuggle := func(*fasthttp.RequestCtx) { smuggledIn.Add(1) }
	guard := mcpauthfasthttp.Middleware(rs)
	mounted, guarded := newApp(), newApp()
	mounted.Handler = routes{"/smuggled": smuggle, "/own": guard(own), "/open": own}.serve
	mcpauthfasthttp.Mount(mounted, rs, handler)
	inside := guard(routes{"/mcp": mcpauthfasthttp.Handler(handler), "/own": own}.serve)
	guarded.Handler = func(ctx *fasthttp.RequestCtx) {
		if string(ctx.Path()) == "/smuggled" {
			smuggle(ctx)
			return
		}
		inside(ctx)
	}
	return map[string]string{"Mount": serve(t, mounted), "Middleware": serve(t, guarded)}, "Authorization: Bearer " + env.Token(nil) + "\r\n", ran, smuggledIn
}

// TestR86AmbiguousFramingIsRefused, on every route, before anything runs, and the connection ends with it.
func TestR86AmbiguousFramingIsRefused(t *testing.T) {
	t.Parallel()
	lines := map[string]string{
		"length and chunked":           fmt.Sprintf("HTTP/1.1\r\nContent-Length: %d\r\nTransfer-Encoding: chunked\r\n", len(smuggled)+5),
		"chunked and length":           "HTTP/1.1\r\nTransfer-Encoding: chunked\r\ncontent-length: 5\r\n",
		"chunked and length 0":         "HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n",
		"two lengths":                  "HTTP/1.1\r\nContent-Length: 65\r\nContent-Length: 0\r\n",
		"the same length twice":        "HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n",
		"an unknown coding":            "HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n",
		"identity":                     "HTTP/1.1\r\nTransfer-Encoding: identity\r\n",
		"identity and a length":        "HTTP/1.1\r\nTransfer-Encoding: identity\r\nContent-Length: 5\r\n",
		"chunked, twice":               "HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
		"chunked after another":        "HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n",
		"chunked, with a parameter":    "HTTP/1.1\r\nTransfer-Encoding: chunked;q=1\r\n",
		"chunked, quoted":              "HTTP/1.1\r\nTransfer-Encoding: \"chunked\"\r\n",
		"chunked in HTTP/1.0":          "HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n",
		"folded":                       "HTTP/1.1\r\nX: y\r\n z\r\n",
		"folded with a tab":            "HTTP/1.1\r\nX: y\r\n\tContent-Length: 5\r\n",
		"folded coding":                "HTTP/1.1\r\nTransfer-Encoding:\r\n chunked\r\n",
		"folded at the end":            "HTTP/1.1\r\nX: y\r\n \r\n",
		"a space behind a name":        "HTTP/1.1\r\nContent-Length : 5\r\n",
		"a tab behind a name":          "HTTP/1.1\r\nContent-Length\t: 5\r\n",
		"a space in a name":            "HTTP/1.1\r\nContent Length: 5\r\n",
		"a space before the first one": "HTTP/1.1\r\n Content-Length: 5\r\n",
		"no name":                      "HTTP/1.1\r\n: 5\r\n",
		"no colon":                     "HTTP/1.1\r\nContent-Length\r\n",
		"HTTP/1.2":                     "HTTP/1.2\r\n",
		"HTTP/0.9":                     "HTTP/0.9\r\n",
		"HTTP/2.0":                     "HTTP/2.0\r\n",
		"http/1.1":                     "http/1.1\r\n",
	}
	for mode, newApp := range modes() {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			addrs, token, ran, smuggledIn := protected(t, newApp)
			for by, addr := range addrs {
				for _, target := range []string{"/mcp", "/own", "/open", "/unknown", "/.well-known/oauth-protected-resource"} {
					for name, rest := range lines {
						for _, credentials := range []string{"", token} {
							answers := raw(t, addr, "POST "+target+" "+rest+"Host: mcp.example.com\r\n"+credentials+"\r\n0\r\n\r\n"+smuggled)
							if len(answers) != 1 || answers[0].StatusCode != http.StatusBadRequest && answers[0].StatusCode != http.StatusNotImplemented || !answers[0].Close {
								t.Errorf("%s, %s, %s, token: %v: %+v", by, name, target, credentials != "", answers)
							}
							if a, b := ran.Swap(0), smuggledIn.Swap(0); a+b != 0 {
								t.Errorf("%s, %s, %s: handlers ran: %d, %d smuggled", by, name, target, a, b)
							}
						}
					}
				}
			}
		})
	}
}

// TestR86BodiesAreNoRequests sends bodies that end at unexpected places, to handlers of both kinds that read them.
func TestR86BodiesAreNoRequests(t *testing.T) {
	t.Parallel()
	form := "--b\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\ny\r\n--b--\r\n"
	large := strings.Repeat("x", 20_000)
	bodies := map[string]string{
		"a chunk without a size": "Transfer-Encoding: chunked\r\n\r\n" + smuggled,
		"one byte for a size":    "Transfer-Encoding: chunked\r\n\r\nX" + smuggled,
		"one byte too many":      "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX" + smuggled,
		"a line feed alone":      "Transfer-Encoding: chunked\r\n\r\n5\n" + smuggled,
		"a line feed, extended":  "Transfer-Encoding: chunked\r\n\r\n5;x\n" + smuggled,
		"a signed chunk":         "Transfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n" + smuggled,
		"a chunk too long":       "Transfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n" + smuggled,
		"a chunk of line feeds":  "Transfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n" + smuggled,
		"a later chunk":          "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n" + smuggled,
		"a trailer":              "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nbad trailer\r\n\r\n" + smuggled,
		"a forbidden trailer":    "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n" + smuggled,
		"a form and more": fmt.Sprintf("Content-Type: multipart/form-data; boundary=b\r\nContent-Length: %d\r\n\r\n%s%s",
			len(form)+len(smuggled), form, smuggled),
		"a form and much more": fmt.Sprintf("Content-Type: multipart/form-data; boundary=b\r\nContent-Length: %d\r\n\r\n%s%s%s",
			4096+len(smuggled), form, strings.Repeat("x", 4096-len(form)), smuggled), // mime/multipart reads 4096 bytes at once
		"a large body": fmt.Sprintf("Content-Length: %d\r\n\r\n%s%s", len(large)+len(smuggled), large, smuggled),
	}
	for mode, newApp := range modes() {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			addrs, token, _, smuggledIn := protected(t, newApp)
			for by, addr := range addrs {
				for _, target := range []string{"/mcp", "/own", "/open"} {
					for name, rest := range bodies {
						for _, credentials := range []string{"", token} {
							raw(t, addr, "POST "+target+" HTTP/1.1\r\nHost: x\r\n"+credentials+rest)
							if n := smuggledIn.Swap(0); n != 0 {
								t.Errorf("%s, %s, %s, token: %v: %d requests were smuggled in", by, name, target, credentials != "", n)
							}
						}
					}
				}
			}
		})
	}
}

// TestR86MalformedBodyIsAnErrorOfRead, also of the next Read, and the connection ends with the response.
func TestR86MalformedBodyIsAnErrorOfRead(t *testing.T) {
	t.Parallel()
	type result struct {
		body       string
		err, again error
	}
	results := make(chan result, 1)
	_, addr := bridge(t, func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		_, again := r.Body.Read(make([]byte, 1))
		results <- result{string(body), err, again}
	})
	for _, body := range []string{"zz\r\n", "+5\r\nhello\r\n0\r\n\r\n", "5\r\nhelloX\r\n0\r\n\r\n", "5\r\nhello\r\n5 5\r\nhello\r\n", "5\r\nhello\r\n0\r\nbad trailer\r\n\r\n", "fffffffffffffffff\r\n", "5\nhello"} {
		answers := raw(t, addr, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"+body+smuggled)
		got := bridgetest.Await(t, "the end of the handler", results)
		if got.err == nil || got.again == nil || got.again == io.EOF || !strings.HasPrefix("hello", got.body) { //nolint:errorlint // as readers compare
			t.Errorf("%q: body %q, %v, then %v", body, got.body, got.err, got.again)
		}
		if len(answers) != 1 || !answers[0].Close {
			t.Errorf("%q: %+v", body, answers)
		}
	}
}

// TestR86BodyThatAHandlerInFrontCouldNotRead is an error behind it, and not the text that fasthttp makes of the error.
func TestR86BodyThatAHandlerInFrontCouldNotRead(t *testing.T) {
	t.Parallel()
	results := make(chan string, 1)
	rs, env := bridgetest.NewResource(t, "")
	app := config()
	bridged := mcpauthfasthttp.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		results <- fmt.Sprint(len(body), err)
	}))
	app.Handler = mcpauthfasthttp.Middleware(rs)(func(ctx *fasthttp.RequestCtx) {
		_ = ctx.Request.Body()
		bridged(ctx)
	})
	addr := serve(t, app)
	head := "POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + env.Token(nil) + "\r\nContent-Length: 20000\r\n\r\n"
	raw(t, addr, head+strings.Repeat("x", 10_000))
	if got := bridgetest.Await(t, "the end of the handler", results); got != "0 unexpected EOF" {
		t.Errorf("half a body: %s", got)
	}
	raw(t, addr, head+strings.Repeat("x", 20_000))
	if got := bridgetest.Await(t, "the end of the handler", results); got != "20000 <nil>" {
		t.Errorf("a whole body: %s", got)
	}
}

// TestR86TrailersAreNoHeaders: what comes behind a body is not what a proxy has looked at.
func TestR86TrailersAreNoHeaders(t *testing.T) {
	t.Parallel()
	const chunks = "5\r\nhello\r\n0\r\nX-User: mallory\r\nx-role: admin\r\nUser-Agent: mallory\r\nX-User: eve\r\n\r\n"
	seen := func(header func(string) []string) string {
		return fmt.Sprintf("%q %q %q", header("X-User"), header("X-Role"), header("User-Agent"))
	}
	for mode, newApp := range modes() {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			rs, env := bridgetest.NewResource(t, "")
			handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				before := seen(r.Header.Values)
				body, err := io.ReadAll(r.Body)
				_, _ = fmt.Fprintln(w, before, seen(r.Header.Values), string(body), err, len(r.Trailer))
			})
			native := func(ctx *fasthttp.RequestCtx) {
				values := func(name string) (values []string) {
					for key, value := range ctx.Request.Header.All() {
						if strings.EqualFold(string(key), name) {
							values = append(values, string(value))
						}
					}
					return values
				}
				before, body, after := seen(values), "hello", ""
				if after = before; !ctx.Request.IsBodyStream() { // else it has not read it yet
					body = string(ctx.Request.Body())
					after = seen(values)
				}
				ctx.SetBodyString(fmt.Sprintln(before, after, body, nil, 0))
			}
			guard := mcpauthfasthttp.Middleware(rs)
			both := routes{"/mcp": mcpauthfasthttp.Handler(handler), "/own": native}.serve
			mounted, guarded, alone := newApp(), newApp(), newApp()
			mounted.Handler = both
			mcpauthfasthttp.Mount(mounted, rs, handler)
			guarded.Handler = guard(both)
			alone.Handler = both
			for by, app := range map[string]*fasthttp.Server{"Mount": mounted, "Middleware": guarded, "Handler": alone} {
				addr := serve(t, app)
				for _, target := range []string{"/mcp", "/own"} {
					if by == "Handler" && target == "/own" {
						continue
					}
					conn := bridgetest.Dial(t, addr)
					for lines, want := range map[string]string{
						"X-User: ada\r\n":                `["ada"] [] []`,
						"":                               `[] [] []`,
						"X-User: ada\r\nX-User: bob\r\n": `["ada" "bob"] [] []`,
						"X-User: ada\r\nX-Role: none\r\nUser-Agent: me\r\n": `["ada"] ["none"] ["me"]`,
					} {
						conn.Send("POST " + target + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + env.Token(nil) + "\r\n" + lines + "Transfer-Encoding: chunked\r\n\r\n" + chunks)
						resp, body := conn.Answer("POST")
						if body != want+" "+want+" hello <nil> 0\n" {
							t.Errorf("%s, %s, %q: %s", by, target, lines, body)
						}
						if resp.Close {
							conn = bridgetest.Dial(t, addr)
						}
					}
				}
			}
		})
	}
}

// TestR86GoodBodiesKeepTheConnection, of every kind.
func TestR86GoodBodiesKeepTheConnection(t *testing.T) {
	t.Parallel()
	for mode, newApp := range modes() {
		addrs, token, ran, _ := protected(t, newApp)
		for by, addr := range addrs {
			conn := bridgetest.Dial(t, addr)
			for range 2 {
				for _, rest := range []string{
					"\r\n", "Content-Length: 0\r\n\r\n", "Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: Chunked \r\n\r\n5;ext=1\r\nhello\r\n0\r\nX: y\r\n\r\n",
					"content-length: 20000\r\n\r\n" + strings.Repeat("x", 20_000),
				} {
					conn.Send("POST /mcp HTTP/1.1\r\nHost: x\r\n" + token + rest)
					if resp, body := conn.Answer("POST"); resp.StatusCode != http.StatusOK || resp.Close {
						t.Fatalf("%s, %s, %.40q: %+v, %s", mode, by, rest, resp, body)
					}
				}
			}
			if n := ran.Swap(0); n != 10 {
				t.Errorf("%s, %s: %d requests ran", mode, by, n)
			}
		}
	}
}
