package mcpauth_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"unsafe"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// TestNothingIsKeptOfAHeader overwrites the header's bytes after each call, as fasthttp does with its buffers.
func TestNothingIsKeptOfAHeader(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.BaseURL = "http://localhost:3001" })
	call := func(lines map[string][]string) (mcpauth.Decision, func()) {
		var buffers []aliased
		d := f.rs.Authenticate(context.Background(), mcpauth.Request{
			Method: http.MethodPost, Path: "/mcp",
			Header: func(name string) []string {
				var out []string
				for _, line := range lines[name] {
					a := alias(line)
					buffers = append(buffers, a)
					out = append(out, a.s)
				}
				return out
			},
		})
		return d, func() {
			for _, b := range buffers {
				for i := range b.b {
					b.b[i] = 'X'
				}
			}
		}
	}
	header := map[string][]string{
		"Authorization": {"Bearer " + f.env.Token(m{"scope": "a", "roles": []string{"r"}})},
		"Origin":        {"http://localhost:6274"},
	}
	for range 2 { // verified, then from the cache
		d, overwrite := call(header)
		overwrite()
		if d.Session == nil || d.Session.UserID() != "usr_1" || d.Session.Scopes()[0] != "a" || d.Session.Roles()[0] != "r" || d.Session.Claims()["sub"] != "usr_1" {
			t.Fatalf("the session changed with the buffers: %+v", d.Session)
		}
		header := http.Header{}
		d.SetHeader(header)
		if got := header.Get("Access-Control-Allow-Origin"); got != "http://localhost:6274" {
			t.Errorf("the allowed origin changed with the buffers: %q", got)
		}
	}
	d, overwrite := func() (mcpauth.Decision, func()) {
		header["Access-Control-Request-Method"] = []string{"POST"}
		var overwrite func()
		d := f.rs.Authenticate(context.Background(), mcpauth.Request{Method: "OPTIONS", Path: "/mcp", Header: func(name string) []string {
			var out []string
			if name == "Access-Control-Request-Headers" {
				a := alias("mcp-param-x")
				overwrite = func() { copy(a.b, "XXXXXXXXXXX") }
				return []string{a.s}
			}
			for _, line := range header[name] {
				out = append(out, alias(line).s)
			}
			return out
		}})
		return d, overwrite
	}()
	overwrite()
	if got := d.Reply.Header.Get("Access-Control-Allow-Headers"); !strings.HasSuffix(got, ", mcp-param-x") {
		t.Errorf("the allowed headers changed with the buffers: %q", got)
	}
}

// An aliased string shares its bytes with a buffer, as fiber's header values do.
type aliased struct {
	s string
	b []byte
}

func alias(s string) aliased {
	b := []byte(s)
	return aliased{unsafe.String(unsafe.SliceData(b), len(b)), b}
}

// TestHitAllocatesNothing has a token from the cache, a scope and an Origin: the decision allocates nothing.
func TestHitAllocatesNothing(t *testing.T) {
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.RequiredScopes = []string{"a"}; cfg.Logger = nil })
	h := http.Header{"Authorization": {"Bearer " + f.env.Token(m{"scope": "a"})}, "Origin": {baseURL}}
	req := mcpauth.Request{Method: "POST", Path: "/mcp", Header: h.Values}
	f.rs.Authenticate(context.Background(), req)
	if n := testing.AllocsPerRun(100, func() { f.rs.Authenticate(context.Background(), req) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestR85NewContext has the context that adapters of other routers make of a decision: it carries the session until the end
// that comes with it is closed.
func TestR85NewContext(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	d := authenticate(f.rs, f.env.Token(nil))
	type key struct{}
	ctx, end := d.NewContext(context.WithValue(t.Context(), key{}, "kept"))
	child := context.WithValue(ctx, "x", 1) //nolint:staticcheck // the key may be a string in a test
	if session, err := mcpauth.SessionFromContext(child); err != nil || session != d.Session || child.Value(key{}) != "kept" {
		t.Errorf("%v, %v", session, err)
	}
	for range 2 {
		if err := end.Close(); err != nil {
			t.Error(err)
		}
		if _, err := mcpauth.SessionFromContext(child); !errors.Is(err, mcpauth.ErrNoSession) {
			t.Errorf("after the end: %v", err)
		}
	}
}
