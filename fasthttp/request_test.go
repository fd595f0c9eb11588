package mcpauthfasthttp_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	mcpauthfasthttp "github.com/scalekit-mcp/mcpauth/fasthttp"
	"github.com/scalekit-mcp/mcpauth/fasthttp/bridgetest"
	"github.com/valyala/fasthttp"
)

// TestRequestsAreThoseOfNetHTTP sends the same bytes to net/http and to the bridge; the handler sees the same request.
func TestRequestsAreThoseOfNetHTTP(t *testing.T) {
	t.Parallel()
	addrs := twin(t, func(w http.ResponseWriter, r *http.Request) {
		if r.RemoteAddr != r.Header.Get("X-Me") {
			fmt.Fprintf(w, "from %s, and not %s\n", r.RemoteAddr, r.Header.Get("X-Me"))
		}
		r.Header.Del("X-Me")
		body, err := io.ReadAll(r.Body)
		names := make([]string, 0, len(r.Header))
		for name := range r.Header {
			names = append(names, name)
		}
		slices.Sort(names)
		local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		_, _, splitErr := net.SplitHostPort(r.RemoteAddr)
		fmt.Fprintf(w, "%s %q %q host=%q proto=%s %d.%d length=%d te=%q uri=%q tls=%v local=%q remote=%v body=%d %x %v\n", r.Method, r.URL.Path, r.URL.RawQuery,
			r.Host, r.Proto, r.ProtoMajor, r.ProtoMinor, r.ContentLength, r.TransferEncoding, r.RequestURI, r.TLS != nil,
			local.Network(), splitErr, len(body), body[:min(16, len(body))], err)
		for _, name := range names {
			fmt.Fprintf(w, "%s: %q\n", name, r.Header[name])
		}
	})
	for _, request := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /mcp?a=1&b=%20&a=2 HTTP/1.1\r\nHost: MCP.example.com:80\r\nUser-Agent: me\r\naccept: a\r\nAccept: b\r\nX-Empty:\r\n\r\n",
		"POST /a%2fb/%C3%A4 HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello",
		"POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("0123456789", 10000),
		"POST /mcp HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n",
		"GET http://mcp.example.com/mcp?x HTTP/1.1\r\nHost: other\r\n\r\n",
		"DELETE /mcp HTTP/1.1\r\nHost: x\r\nCookie: a=b; c=d\r\nMcp-Session-Id: 1\r\nMCP-Protocol-Version: 2\r\n\r\n",
		"GET //mcp HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 5\r\n\r\nhello",
		"GET /mcp HTTP/1.0\r\nHost: x\r\n\r\n",
		"POST /mcp HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
		"OPTIONS /mcp HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\n" + lines(30) + "\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\n" + lines(3) + lines(3) + lines(3) + "\r\n",
		"MKCOL /a/b;c=d?e=f&g HTTP/1.1\r\nHost: x\r\nX-Long: " + strings.Repeat("x", 10_000) + "\r\n\r\n",
		"PATCH /mcp?%zz=? HTTP/1.1\r\nHost: x\r\nx_y: z\r\nX.y: z\r\n\r\n",
		"PUT /mcp? HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		var got [2]string
		for i, addr := range addrs {
			conn := bridgetest.Dial(t, addr)
			conn.Send(strings.Replace(request, "\r\n", "\r\nX-Me: "+conn.LocalAddr().String()+"\r\n", 1))
			resp, body := conn.Answer("GET")
			if resp.StatusCode == http.StatusContinue {
				_, body = conn.Answer("GET")
			}
			got[i] = body
		}
		if got[0] != got[1] {
			t.Errorf("%.60q\nnet/http: %s\nbridge:   %s", request, got[0], got[1])
		}
	}
}

// lines returns header lines with the numbers up to n.
func lines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "X-%d: value %d\r\n", i, i)
	}
	return b.String()
}

// TestRemoteAddrOfIPv6 is written as net/http writes it.
func TestRemoteAddrOfIPv6(t *testing.T) {
	t.Parallel()
	var lc net.ListenConfig
	listener, err := lc.Listen(t.Context(), "tcp", "[::1]:0")
	if err != nil {
		t.Skip(err)
	}
	app := config()
	app.Handler = mcpauthfasthttp.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RemoteAddr) }))
	conn := bridgetest.Dial(t, serveOn(t, app, listener))
	conn.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, body := conn.Answer("GET"); body != conn.LocalAddr().String() {
		t.Errorf("%s, want %s", body, conn.LocalAddr())
	}
}

// TestR90RoutedPath: the handler sees the path that was routed, which a handler in front may have changed.
func TestR90RoutedPath(t *testing.T) {
	t.Parallel()
	rs, env := bridgetest.NewResource(t, "")
	show := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s|%s|%s|%s", r.URL.Path, r.URL.RawPath, r.URL.RawQuery, r.RequestURI)
	})
	app := config()
	app.Handler = mcpauthfasthttp.Handler(show)
	mcpauthfasthttp.Mount(app, rs, show)
	next := app.Handler
	app.Handler = func(ctx *fasthttp.RequestCtx) {
		switch string(ctx.Path()) {
		case "/v1/mcp":
			ctx.URI().SetPath("/mcp")
		case "/set":
			ctx.URI().SetPath("/path with spaces")
		case "/odd":
			ctx.URI().SetPath("/100%")
		case "/query":
			ctx.URI().SetPath("/changed")
			ctx.URI().SetQueryString("b=2")
		case "/uri":
			ctx.Request.SetRequestURI("/whole?c=3")
		}
		next(ctx)
	}
	addr := serve(t, app)
	for target, want := range map[string]string{
		"/v1/mcp?x=1":              "/mcp||x=1|/v1/mcp?x=1",
		"http://x/v1/mcp?x":        "/mcp||x|http://x/v1/mcp?x",
		"/set":                     "/path with spaces|||/set",
		"/odd":                     "/100%|||/odd",
		"/query?a=1":               "/changed||b=2|/query?a=1",
		"/uri?a=1":                 "/whole||c=3|/whole?c=3",
		"/plain?x=1#y":             "/plain||x=1|/plain?x=1#y",
		"/a%2fb":                   "/a/b|/a%2fb||/a%2fb",
		"/./a/../b":                "/./a/../b|||/./a/../b",
		"//double/b":               "//double/b|||//double/b",
		"http://other.example/a?b": "/a||b|http://other.example/a?b",
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

// FuzzTarget compares the URL that a handler sees with what net/http makes of the target.
func FuzzTarget(f *testing.F) {
	for _, target := range []string{"/", "/mcp", "/mcp?a=b", "/mcp?", "/?", "//x", "/a%2fb?c%20d", "/%zz", "/a b", "/ä", "/x?\x00", "/x?\x7f", "*", "x", "", "http://h/p?q", "/a;b=c,d:e@f$g&h+i!j", "/x#y?z", "/x?y#z", "/..", "/a?b?c", "//////:::::://"} {
		f.Add(target)
	}
	f.Fuzz(func(t *testing.T, target string) {
		if !strings.HasPrefix(target, "/") || strings.Contains(target, "#") {
			return // a router on fasthttp sees it without the fragment, and so does the handler
		}
		got, status, target, routed := targetSeen(target)
		if path, _, _ := strings.Cut(target, "?"); routed != path {
			return // fasthttp reads and routes another path, such as that of "//////:::::://", and the handler sees that one
		}
		want, wrong := url.ParseRequestURI(target)
		switch {
		case wrong != nil:
			if got != nil || status != http.StatusBadRequest {
				t.Errorf("%q: %v, %d, want 400", target, got, status)
			}
		case got == nil:
			t.Errorf("%q: %d, want %v", target, status, want)
		case got.RequestURI() != want.RequestURI() || got.Path != want.Path || got.RawPath != want.RawPath || got.RawQuery != want.RawQuery || got.ForceQuery != want.ForceQuery || got.Host != want.Host:
			t.Errorf("%q: %+v, want %+v", target, got, want)
		}
	})
}

// targetSeen returns the URL of a request with a target, as its handler sees it, and the target and the path that fasthttp
// has.
func targetSeen(target string) (seen *url.URL, status int, has, routed string) {
	var request fasthttp.Request
	request.Header.SetMethod("GET")
	request.Header.SetHost("x")
	request.SetRequestURI(target)
	var ctx fasthttp.RequestCtx
	ctx.Init(&request, nil, nil)
	mcpauthfasthttp.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.URL }))(&ctx)
	return seen, ctx.Response.StatusCode(), string(ctx.Request.Header.RequestURI()), string(ctx.URI().PathOriginal())
}
