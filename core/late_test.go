package mcpauth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// A failing server runs a function, in which operations fail.
type failing func(w http.ResponseWriter, r *http.Request)

func (f failing) ServeSession(w http.ResponseWriter, r *http.Request) { f(w, r) }
func (failing) IsPublic(*http.Request) bool                           { return true }
func (f failing) ServePublic(w http.ResponseWriter, r *http.Request, _ bool) bool {
	f(w, r)
	return true
}

// TestLateStepUp has operations fail at several moments of a response.
func TestLateStepUp(t *testing.T) {
	t.Parallel()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	cfg := env.Config("https://mcp.example.com")
	cfg.RequiredScopes = []string{"base"}
	rs, err := mcpauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	op := mcpauth.Operation{Kind: mcpauth.OperationTool, Name: "t"}
	needs := fmt.Errorf("backend: %w", mcpauth.NeedScopes("late"))
	quiet := quietError{needs}
	fail := func(ctx context.Context, err error) error { return mcpauth.LateStepUp(ctx, op, err) }
	const named = "mcpauth: needs the scopes late: no"
	for name, c := range map[string]struct {
		body, scopes string
		run          func(w http.ResponseWriter, r *http.Request) error
		status       int
		tooLate      string
	}{
		"before": {"{}", "base", func(_ http.ResponseWriter, r *http.Request) error { return fail(r.Context(), needs) }, 403, ""},
		"twice": {"{}", "base", func(_ http.ResponseWriter, r *http.Request) error {
			return errors.Join(fail(r.Context(), needs), fail(r.Context(), needs))
		}, 403, ""},
		"another error": {"{}", "base", func(_ http.ResponseWriter, r *http.Request) error { return fail(r.Context(), io.EOF) }, 200, ""},
		"no error":      {"{}", "base", func(_ http.ResponseWriter, r *http.Request) error { return fail(r.Context(), nil) }, 200, ""},
		"held":          {"{}", "base late", func(_ http.ResponseWriter, r *http.Request) error { return fail(r.Context(), needs) }, 200, ""},
		"headers": {"{}", "base", func(w http.ResponseWriter, r *http.Request) error {
			w.Header().Set("Content-Type", "text/event-stream")
			w.Header().Set("Content-Length", "3")
			return fail(r.Context(), needs)
		}, 403, ""},
		"written": {"{}", "base", func(w http.ResponseWriter, r *http.Request) error {
			_, _ = io.WriteString(w, "x")
			return fail(r.Context(), needs)
		}, 200, "backend: mcpauth: needs the scopes late"},
		"written, with a text that names nothing": {"{}", "base", func(w http.ResponseWriter, r *http.Request) error {
			w.WriteHeader(http.StatusOK)
			return fail(r.Context(), quiet)
		}, 200, named},
		"flushed": {"{}", "base", func(w http.ResponseWriter, r *http.Request) error {
			_ = http.NewResponseController(w).Flush()
			return fail(r.Context(), quiet)
		}, 200, named},
		"a batch":             {" \n[{}]", "base", func(_ http.ResponseWriter, r *http.Request) error { return fail(r.Context(), quiet) }, 200, named},
		"a batch in a string": {`"["`, "base", func(_ http.ResponseWriter, r *http.Request) error { return fail(r.Context(), quiet) }, 403, ""},
		"another context":     {"{}", "base", func(http.ResponseWriter, *http.Request) error { return fail(context.Background(), needs) }, 200, ""},
	} {
		var tooLate error
		handler := rs.SDKHandler(failing(func(w http.ResponseWriter, r *http.Request) {
			if body, err := io.ReadAll(r.Body); err != nil || string(body) != c.body {
				t.Errorf("%s: the body is %q, %v", name, body, err)
			}
			tooLate = c.run(w, r)
			_, _ = io.WriteString(w, "the SDK's answer")
		}))
		r := httptest.NewRequest(http.MethodPost, rs.Path(), strings.NewReader(c.body))
		r.Header.Set("Authorization", "Bearer "+env.Token(map[string]any{"scope": c.scopes}))
		w := httptest.NewRecorder()
		w.Header().Set("X-Front", "1")
		handler.ServeHTTP(w, r)
		challenged := strings.Contains(w.Header().Get("WWW-Authenticate"), `error="insufficient_scope", scope="base late"`)
		if w.Code != c.status || challenged != (c.status == 403) || challenged == strings.Contains(w.Body.String(), "SDK") || w.Header().Get("X-Front") != "1" {
			t.Errorf("%s: %d %v %s", name, w.Code, w.Header(), w.Body)
		}
		if challenged && (w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Content-Length") == "3") {
			t.Errorf("%s: the headers are %v", name, w.Header())
		}
		if got := fmt.Sprint(tooLate); got != c.tooLate && (tooLate != nil || c.tooLate != "") {
			t.Errorf("%s: too late is %q, want %q", name, got, c.tooLate)
		}
		if tooLate != nil && mcpauth.NeededScopes(tooLate) == nil {
			t.Errorf("%s: %v has no scopes", name, tooLate)
		}
	}
}

type quietError struct{ error }

func (quietError) Error() string   { return "no" }
func (e quietError) Unwrap() error { return e.error }

// TestLateStepUpAfterwards keeps the context and the writer for longer than the request.
func TestLateStepUpAfterwards(t *testing.T) {
	t.Parallel()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		t.Fatal(err)
	}
	var kept context.Context
	var writer http.ResponseWriter
	handler := rs.SDKHandler(failing(func(w http.ResponseWriter, r *http.Request) { kept, writer = r.Context(), w }))
	r := httptest.NewRequest(http.MethodPost, rs.Path(), strings.NewReader("{}"))
	r.Header.Set("Authorization", "Bearer "+env.Token(nil))
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	tooLate := mcpauth.LateStepUp(kept, mcpauth.Operation{}, mcpauth.NeedScopes("late"))
	if tooLate == nil || tooLate.Error() != "mcpauth: needs the scopes late" {
		t.Errorf("it is not too late: %v", tooLate)
	}
	writer.Header().Set("X-Late", "1")
	writer.WriteHeader(http.StatusTeapot)
	if n, err := io.WriteString(writer, "late"); n != 4 || err != nil {
		t.Errorf("writing: %d, %v", n, err)
	}
	_ = http.NewResponseController(writer).Flush()
	if w.Code != http.StatusOK || w.Body.Len() > 0 || w.Header().Get("X-Late") != "" || w.Flushed {
		t.Errorf("the response is %d %v %s", w.Code, w.Header(), w.Body)
	}
}

// TestLateStepUpOfAHijackedConnection has a tool fail whose handler has taken the connection over.
func TestLateStepUpOfAHijackedConnection(t *testing.T) {
	t.Parallel()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		t.Fatal(err)
	}
	const answered = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
	tooLate := make(chan error, 1)
	server := httptest.NewServer(rs.SDKHandler(failing(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, answered)
		tooLate <- mcpauth.LateStepUp(r.Context(), mcpauth.Operation{}, mcpauth.NeedScopes("late"))
	})))
	t.Cleanup(server.Close)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+rs.Path(), strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+env.Token(nil))
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "ok" {
		t.Errorf("the answer is %q, %v", body, err)
	}
	if err := await(t, "the handler's end", tooLate); err == nil || mcpauth.NeededScopes(err) == nil {
		t.Errorf("it is not too late: %v", err)
	}
}

// TestLateStepUpWithoutCredentials has a public operation that needs a user after all.
func TestLateStepUpWithoutCredentials(t *testing.T) {
	t.Parallel()
	cfg := quietConfig()
	cfg.RequiredScopes, cfg.Policy = []string{"base"}, newPolicy(t, publicRule(mcpauth.Rules{}))
	rs, err := mcpauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	e := rs.Endpoint(rs.SDKHandler(failing(func(w http.ResponseWriter, r *http.Request) {
		_ = mcpauth.LateStepUp(r.Context(), mcpauth.Operation{Kind: mcpauth.OperationTool, Name: "t"}, mcpauth.NeedScopes("late"))
		_, _ = io.WriteString(w, "the SDK's answer")
	})))
	if w := post(e, callPublic); w.Code != http.StatusUnauthorized || !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), `Bearer scope="base late"`) || strings.Contains(w.Body.String(), "SDK") {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
}
