package deploy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// An answer is what a client gets for one request.
type answer struct {
	*http.Response
	body string
}

// ask sends a request to a URL with a token, or without one, and with further headers as pairs.
func ask(t *testing.T, client *http.Client, method, url, token string, body io.Reader, headers ...string) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	req.Header.Set("Accept", "application/json, text/event-stream")
	req.Header.Set("Content-Type", "application/json")
	for pair := range slices.Chunk(headers, 2) {
		req.Header.Set(pair[0], pair[1])
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp, string(text)}
}

func token(site *site) string { return site.backends[0].env.Token(nil) }

// The client speaks HTTP/2, and finds the metadata of the prefix at the root of the host.
func TestMetadata(t *testing.T) {
	forEach(t, proxies, func(t *testing.T, p *proxy) {
		site := open(t, p, setup{})
		metadata := site.origin + "/.well-known/oauth-protected-resource" + prefix + "/mcp"
		refused := ask(t, site.client, http.MethodPost, site.url, "", nil)
		if want := `resource_metadata="` + metadata + `"`; refused.StatusCode != http.StatusUnauthorized || !strings.Contains(refused.Header.Get("WWW-Authenticate"), want) {
			t.Errorf("without a token: %s, %v; want %s", refused.Status, refused.Header, want)
		}
		if refused.ProtoMajor != 2 {
			t.Errorf("the client gets %s", refused.Proto)
		}
		document := ask(t, site.client, http.MethodGet, metadata, "", nil)
		if want := `"resource":"` + site.url + `"`; document.StatusCode != http.StatusOK || !strings.Contains(document.body, want) {
			t.Errorf("metadata: %s %s; want %s", document.Status, document.body, want)
		}
		// What is not the server's own, a client does not get from it.
		for _, path := range []string{"/mcp", "/.well-known/oauth-protected-resource/mcp", "/healthz"} {
			if got := ask(t, site.client, http.MethodGet, site.origin+path, "", nil); got.StatusCode < 400 && got.body != "" {
				t.Errorf("%s: %s %s", path, got.Status, got.body)
			}
		}
	})
}

// forged are headers in which proxies tell servers about clients, sent by a client.
var forged = []string{
	"X-Forwarded-For", "6.6.6.6", "X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "http", "X-Forwarded-Port", "81",
	"X-Forwarded-Prefix", "/evil", "Forwarded", "for=6.6.6.6;host=evil.example;proto=http", "X-Real-Ip", "6.6.6.6",
	"X-Original-Url", "/evil", "X-Rewrite-Url", "/evil", "X-Forwarded-Server", "evil.example", "X-Forwarded-Scheme", "http",
}

func TestForwardedHeaders(t *testing.T) {
	forEach(t, proxies, func(t *testing.T, p *proxy) {
		site := open(t, p, setup{})
		metadata := site.origin + "/.well-known/oauth-protected-resource" + prefix + "/mcp"
		for method, url := range map[string]string{http.MethodGet: metadata, http.MethodPost: site.url} {
			plain, changed := ask(t, site.client, method, url, "", nil), ask(t, site.client, method, url, "", nil, forged...)
			plain.Header.Del("Date")
			changed.Header.Del("Date")
			if changed.Status != plain.Status || changed.body != plain.body || !maps.EqualFunc(changed.Header, plain.Header, slices.Equal) {
				t.Errorf("%s is answered with %s %v %s, and without the headers with %s %v %s", url,
					changed.Status, changed.Header, changed.body, plain.Status, plain.Header, plain.body)
			}
		}
		got := arrived(t, site, forged...)
		for name, want := range map[string]string{
			"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": publicName, "X-Forwarded-Proto": "https",
			"X-Forwarded-Prefix": "", "Forwarded": "", "Host": publicName, "Path": "/mcp",
		} {
			if got := strings.Join(got[name], ", "); got != want {
				t.Errorf("the server sees %s %q, want %q", name, got, want)
			}
		}
	})
}

// arrived returns the headers that the server sees, and its Host and Path.
func arrived(t *testing.T, site *site, headers ...string) http.Header {
	t.Helper()
	got := ask(t, site.client, http.MethodGet, site.url, token(site), nil, append(headers, "X-Probe", "request")...)
	var header http.Header
	if err := json.Unmarshal([]byte(got.body), &header); err != nil {
		t.Fatalf("%s %s: %v", got.Status, got.body, err)
	}
	return header
}

// The answers are the same whether a proxy keeps Host or writes another one. The SDK wants the public host, or loopback.
func TestHost(t *testing.T) {
	hosts := map[*proxy]edit{
		nginx:   {"proxy_set_header Host $host;", "proxy_set_header Host HOST;"},
		haproxy: {"http-request set-header X-Forwarded-Proto https", "http-request set-header X-Forwarded-Proto https\n    http-request set-header Host HOST"},
		caddy:   {"header_up -Forwarded", "header_up -Forwarded\n\t\t\theader_up Host HOST"},
	}
	forEach(t, proxies, func(t *testing.T, p *proxy) {
		plain := ask(t, open(t, p, setup{}).client, http.MethodPost, "https://"+publicName+prefix+"/mcp", "", nil)
		for host, want := range map[string]int{publicName: 200, "127.0.0.1:3001": 200, "mcp": 403} {
			e := hosts[p]
			e.new = strings.ReplaceAll(e.new, "HOST", host)
			site := open(t, p, setup{edits: []edit{e}})
			refused := ask(t, site.client, http.MethodPost, site.url, "", nil)
			if refused.body != plain.body || refused.Header.Get("WWW-Authenticate") != plain.Header.Get("WWW-Authenticate") {
				t.Errorf("with the host %s, the challenge is %v", host, refused.Header)
			}
			if got := ask(t, site.client, http.MethodPost, site.url, token(site), strings.NewReader(initialize)); got.StatusCode != want {
				t.Errorf("with the host %s, initialize is answered with %s %s, want %d", host, got.Status, got.body, want)
			}
		}
	})
}

const initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"by hand","version":"1"}}}`

// longToken returns a token of exactly length bytes, or a few less.
func longToken(env *mcpauthtest.Environment, length int) string {
	padding := ""
	for {
		token := env.Token(map[string]any{"padding": padding})
		missing := (length - len(token)) * 3 / 4
		if missing <= 0 {
			return token
		}
		padding += strings.Repeat("x", missing)
	}
}

func TestLongTokens(t *testing.T) {
	forEach(t, proxies, func(t *testing.T, p *proxy) {
		site := open(t, p, setup{})
		for protocol, client := range site.clients() {
			for _, length := range []int{8 << 10, 16 << 10} { // the longest that mcpauth takes
				token := longToken(site.backends[0].env, length)
				got := ask(t, client, http.MethodPost, site.url, token, strings.NewReader(initialize))
				if got.StatusCode != http.StatusOK {
					t.Errorf("%s: a token of %d bytes is answered with %s %s", protocol, len(token), got.Status, got.body)
				}
			}
		}
	})
}

func TestLargeBodies(t *testing.T) {
	const size = 4 << 20 // mcpauth's default
	body := func() io.Reader { return bytes.NewReader(make([]byte, size)) }
	chunked := func() io.Reader { return io.MultiReader(body()) } // of a length that is not announced
	forEach(t, proxies, func(t *testing.T, p *proxy) {
		site := open(t, p, setup{})
		for protocol, client := range site.clients() {
			for kind, body := range map[string]func() io.Reader{"announced": body, "chunked": chunked} {
				if got := ask(t, client, http.MethodPost, site.url, token(site), body(), "X-Probe", "length"); got.body != strconv.Itoa(size)+" <nil>" {
					t.Errorf("%s, %s: %s %s", protocol, kind, got.Status, got.body)
				}
			}
		}
		// The server refuses and closes its connection in the middle of the body. Over HTTP/1.1, Go's client may miss the
		// answer, because it still writes when the proxy closes.
		for range 5 {
			for kind, body := range map[string]func() io.Reader{"announced": body, "chunked": chunked} {
				if got := ask(t, site.client, http.MethodPost, site.url, "", body()); got.StatusCode != http.StatusUnauthorized {
					t.Errorf("%s, without a token: %s %s", kind, got.Status, got.body)
				}
			}
		}
	})
}
