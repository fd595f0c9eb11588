package mcpauth

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/scalekit-mcp/mcpauth/core/internal/keys"
)

// FuzzCompactToken checks that an accepted token has one spelling, and that one is refused for its shape only when its
// shape is wrong.
func FuzzCompactToken(f *testing.F) {
	encode := base64.RawURLEncoding.EncodeToString
	header, payload, signature := encode([]byte(`{"alg":"RS256","kid":"k"}`)), encode([]byte(`{"a":"~~?"}`)), encode([]byte("signature!"))
	for _, seed := range []string{
		header + "." + payload + "." + signature, header + "." + payload + ".", header + "." + payload, "..", "...", header + ".." + signature,
		header + "." + payload + "." + signature + ".", header + "." + payload + "=." + signature, header + "." + payload + "." + signature[:len(signature)-1] + "h",
		header + "\n." + payload + "." + signature, `{"payload":"` + payload + `","signatures":[]}`, header + "." + payload + "." + strings.Repeat("A", 1368),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		if len(token) > maxTokenBytes {
			return // refused before
		}
		s := getScratch()
		parsed, why := s.parse(token)
		*s = scratch{} // nothing that was returned may refer to it
		scratches.Put(s)
		if why != nil {
			if why.outcome != OutcomeInvalidToken {
				t.Fatalf("%q: the outcome is %s", token, why.outcome)
			}
			if why == refusalShape && hasCompactShape(token) {
				t.Errorf("%q has the right shape", token)
			}
			return
		}
		if !hasCompactShape(token) {
			t.Errorf("%q has another shape", token)
		}
		first, _, _ := strings.Cut(token, ".")
		document, err := base64.RawURLEncoding.DecodeString(first)
		if err != nil {
			t.Fatalf("%q: %v", first, err)
		}
		if again := encode(document) + "." + encode([]byte(parsed.claims)) + "." + encode(parsed.signature); again != token {
			t.Errorf("%q was read as %q", token, again)
		}
		if parsed.input+"."+encode(parsed.signature) != token {
			t.Errorf("%q: what is signed is %q", token, parsed.input)
		}
		var fields map[string]any
		if err := json.Unmarshal(document, &fields); err != nil || fields["kid"] != parsed.kid || fields["alg"] != "RS256" {
			t.Errorf("%q was accepted with the kid %q", document, parsed.kid)
		}
	})
}

// hasCompactShape is RFC 7515 §7.1 with no bit left over, spelled out.
func hasCompactShape(token string) bool {
	segments := strings.Split(token, ".")
	for _, segment := range segments {
		decoded, err := base64.RawURLEncoding.DecodeString(segment)
		if err != nil || segment == "" || base64.RawURLEncoding.EncodeToString(decoded) != segment {
			return false
		}
	}
	return len(segments) == 3 && base64.RawURLEncoding.DecodedLen(len(segments[2])) <= keys.MaxSignatureBytes
}

// FuzzBaseURL checks that an accepted base URL survives a client that parses and writes it again, and that everything
// that is made of it is on its origin.
func FuzzBaseURL(f *testing.F) {
	for _, seed := range []string{
		"https://mcp.example.com", "https://mcp.example.com/", "https://mcp.example.com/a/b", "https://mcp.example.com:8443", "https://mcp.example.com:443", "http://localhost:3000",
		"http://127.0.0.1", "http://[::1]:80", "http://[::1]:8080/x", "https://[2001:db8::1]", "http://mcp.example.com", "https://u:p@mcp.example.com", "https://mcp.example.com?a", "https://mcp.example.com/?",
		"https://mcp.example.com/a/../b", "https://mcp.example.com/%61", "https://MCP.example.com", "HTTPS://mcp.example.com", "https://mcp.example.com#", "https://mcp.example.com//", "https://mcp.example.com/a b",
		"https://mcp.example.com.", "https://-", "https://mcp.example.com:", "https://mcp.example.com:0", "https:mcp.example.com", "//mcp.example.com", "mcp.example.com", "https://ä.example.com", "https://[fe80::1%25lo]",
	} {
		f.Add(seed, "")
		f.Add(seed, "/")
	}
	f.Fuzz(func(t *testing.T, raw, path string) {
		rs, err := New(Config{EnvironmentURL: "https://env.example.com", ResourceID: "res_1", BaseURL: raw, Path: path})
		if err != nil {
			return
		}
		want := strings.TrimSuffix(raw, "/")
		if rs.Path() != "/" {
			want += rs.Path()
		}
		if rs.Resource() != want {
			t.Fatalf("%q and %q made the resource %q", raw, path, rs.Resource())
		}
		u, err := url.Parse(want)
		if err != nil {
			t.Fatalf("%q: %v", want, err)
		}
		if u.String() != want || u.JoinPath().String() != want && u.Path != "" {
			t.Errorf("%q was written again as %q and %q", want, u, u.JoinPath())
		}
		if u.User != nil || u.Opaque != "" || u.EscapedPath() != u.Path || u.Hostname() == "" || strings.ContainsAny(want, "?#%\\ \t\r\n") {
			t.Errorf("%q is more than an origin and a path", want)
		}
		if u.Scheme != "https" && (u.Scheme != "http" || !strings.HasSuffix("."+u.Hostname(), ".localhost") && !net.ParseIP(u.Hostname()).IsLoopback()) {
			t.Errorf("%q is not encrypted", want)
		}
		if u.Host != strings.ToLower(u.Host) || strings.HasSuffix(u.Host, ":") {
			t.Errorf("%q is written otherwise by clients", want)
		}
		metadata, err := url.Parse(rs.metadataURL)
		if err != nil {
			t.Fatalf("%q: %v", rs.metadataURL, err)
		}
		if metadata.String() != u.Scheme+"://"+u.Host+"/.well-known/oauth-protected-resource"+u.Path || metadata.Path != rs.MetadataRoutes()[0].Path {
			t.Errorf("the metadata of %q is at %q, and served at %q", want, metadata, rs.MetadataRoutes()[0].Path)
		}
		var document struct{ Resource string }
		if err := json.Unmarshal(ReplyOf(rs.MetadataRoutes()[0], http.MethodGet).Body, &document); err != nil || document.Resource != want {
			t.Errorf("the metadata of %q names %q (%v)", want, document.Resource, err)
		}
	})
}

// FuzzPath checks that an accepted path is a literal to net/http's router, and arrives as it was written.
func FuzzPath(f *testing.F) {
	for _, seed := range []string{
		"", "/", "/mcp", "/mcp/", "/a/b", "//", "/a//b", "/.", "/a/..", "/...", "mcp", "/{id}", "/mcp/{$}", "/a b", "/%6dcp", "/mcp?x", "/mcp#x", "/mcp;x", "/:a", "/*", "/+", "/a,b=c&d$e!f@g~h",
		"/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/x", "/ä", "/\x00", "/\\mcp", "GET /mcp", "/-_.",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		rs, err := New(Config{EnvironmentURL: "https://env.example.com", ResourceID: "res_1", BaseURL: "https://mcp.example.com", Path: path})
		if err != nil {
			return
		}
		route := rs.Path()
		if path != "" && route != path && route+"/" != path {
			t.Fatalf("%q became %q", path, route)
		}
		if strings.HasPrefix(route, "/.well-known/oauth-protected-resource") {
			t.Errorf("%q is where the metadata documents are", route)
		}
		pattern := route
		if route == "/" {
			pattern = "/{$}"
		}
		mux := http.NewServeMux()
		mux.Handle(pattern, http.NotFoundHandler()) // panics on what it can't parse
		for _, metadata := range rs.MetadataRoutes() {
			mux.Handle(metadata.Path, http.NotFoundHandler()) // panics on a conflict
		}
		matched := func(target string) string {
			req, err := http.ReadRequest(bufio.NewReader(strings.NewReader("POST " + target + " HTTP/1.1\r\nHost: mcp.example.com\r\n\r\n")))
			if err != nil {
				t.Fatalf("net/http can't read a request for %q: %v", target, err)
			}
			if req.URL.Path != target || req.URL.EscapedPath() != target {
				t.Errorf("%q arrives as %q", target, req.URL.Path)
			}
			_, got := mux.Handler(req)
			return got
		}
		if got := matched(route); got != pattern {
			t.Errorf("%q is routed to %q", route, got)
		}
		for _, other := range []string{route + "x", route + "/x", strings.TrimSuffix(route, "/") + "/-/" + route[1:]} {
			if got := matched(other); got == pattern {
				t.Errorf("%q is routed to %q", other, got)
			}
		}
	})
}

// FuzzOrigin checks that an origin is allowed when it is listed, or is a page of this machine and the server is on
// loopback, and is sent back byte for byte.
func FuzzOrigin(f *testing.F) {
	const base, listed = "https://mcp.example.com", "https://app.example.com:8443"
	public := newOriginPolicy(&Config{BaseURL: base + "/prefix", AllowedOrigins: []string{listed}})
	loopback := newOriginPolicy(&Config{BaseURL: "http://localhost:3000"})
	for _, seed := range []string{
		"", "null", base, base + "/", base + "/prefix", listed, "https://app.example.com", "HTTPS://mcp.example.com", "http://localhost", "http://localhost:6274", "https://127.0.0.1:1", "http://127.9.9.9", "http://[::1]:3000",
		"http://[::ffff:127.0.0.1]", "http://localhost.evil.example", "http://localhost@evil.example", "http://evil.example#localhost", `http://evil.example\@localhost`, "http://127.0.0.1.nip.io", "http://0.0.0.0", "http://2130706433",
		"http://[::1%25lo]", "http://[localhost]", "http://[[::1]]", "file://localhost", "http://localhost/", "http://localhost ", "http://localhost:x", "http://::1:", "http://LOCALHOST", "localhost", "http://10.0.0.1",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, origin string) {
		for _, c := range []struct {
			policy *originPolicy
			want   bool
			exact  bool
		}{
			{public, origin == base || origin == listed, true},
			{loopback, origin == "http://localhost:3000" || originHostIsLoopback(origin), false},
		} {
			header, ok := c.policy.check([]string{origin})
			sent := header.origin
			if ok && !c.want || c.exact && ok != c.want {
				t.Errorf("%q: allowed is %v", origin, ok)
			}
			if ok && sent != origin || !ok && sent != "" {
				t.Errorf("%q: allowed is %v, and %q is sent", origin, ok, sent)
			}
			if _, ok := c.policy.check([]string{origin, origin}); ok {
				t.Errorf("%q is allowed twice", origin)
			}
		}
	})
}

// originHostIsLoopback reads an origin (RFC 6454 §6.1) without net/url: scheme, host and port with nothing around.
func originHostIsLoopback(origin string) bool {
	host, ok := strings.CutPrefix(origin, "http://")
	if !ok {
		host, ok = strings.CutPrefix(origin, "https://")
	}
	if end := strings.LastIndexByte(host, ':'); end > strings.LastIndexByte(host, ']') {
		ok = ok && strings.Trim(host[end+1:], "0123456789") == ""
		host = host[:end]
	}
	if inner, bracketed := strings.CutPrefix(host, "["); bracketed {
		inner, ok2 := strings.CutSuffix(inner, "]")
		return ok && ok2 && strings.Contains(inner, ":") && net.ParseIP(inner).IsLoopback()
	}
	labels := strings.Split(host, ".")
	if slices.Contains(labels, "") || strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789.-_") != "" {
		return false
	}
	return ok && (labels[len(labels)-1] == "localhost" || net.ParseIP(host).To4() != nil && net.ParseIP(host).IsLoopback())
}
