package mcpauth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// scoped is an error that has scopes in its method As.
type scoped struct{ error }

func (e scoped) As(target any) bool { return errors.As(e.error, target) }

// TestNeededScopes has errors of NeedScopes in every place of a tree.
func TestNeededScopes(t *testing.T) {
	t.Parallel()
	no, a, b := errors.New("no"), mcpauth.NeedScopes("a", "c"), mcpauth.NeedScopes("b", "a")
	for name, c := range map[string]struct {
		err  error
		want []string
	}{
		"nil":             {nil, nil},
		"another error":   {no, nil},
		"itself":          {a, []string{"a", "c"}},
		"repeated":        {mcpauth.NeedScopes("a", "a"), []string{"a"}},
		"wrapped":         {fmt.Errorf("x: %w", a), []string{"a", "c"}},
		"joined":          {errors.Join(a, no, b), []string{"a", "c", "b"}},
		"joined to none":  {errors.Join(no, no), nil},
		"wrapped twice":   {fmt.Errorf("%w: %w", b, fmt.Errorf("x: %w", a)), []string{"b", "a", "c"}},
		"joined in depth": {fmt.Errorf("x: %w", errors.Join(no, errors.Join(no, a), b)), []string{"a", "c", "b"}},
		"by its As":       {errors.Join(scoped{a}, b), []string{"a", "c", "b"}},
		"not by its As":   {scoped{no}, nil},
	} {
		if got := mcpauth.NeededScopes(c.err); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// A brokenError has a method that panics for nil, which a Check with a result of this type returns as an error.
type brokenError struct{ cause error }

func (e *brokenError) Error() string { return "broken" }
func (e *brokenError) Unwrap() error { return e.cause }

// TestR98PanicWithNil has a Check whose panic recover does not see, in programs that ask Go for its old behavior.
func TestR98PanicWithNil(t *testing.T) {
	t.Setenv("GODEBUG", "panicnil=1")
	rules := mcpauth.Rules{Check: func(context.Context, *mcpauth.Session, mcpauth.Operation) error { panic(nil) }}
	if w, ran, _ := callWith(t, rules, "", `{}`); w.Code != http.StatusServiceUnavailable || ran {
		t.Errorf("status %d, the handler ran: %t", w.Code, ran)
	}
	if shown := newPolicy(t, rules).Visible(t.Context(), mcpauthtest.NewSession(nil), mcpauth.OperationTool, []string{"t"}); shown[0] {
		t.Error("it is listed")
	}
}

// TestCheckGivesUp has a Check that returns the error of its context when its time is over, as one does that asks another
// server, and when the request has a time of its own. Such a Check has not answered, and has not refused either.
func TestCheckGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rules := mcpauth.Rules{CheckTimeout: 2 * time.Second, Check: func(ctx context.Context, _ *mcpauth.Session, _ mcpauth.Operation) error {
			<-ctx.Done()
			return fmt.Errorf("asking the decision point: %w", ctx.Err())
		}}
		for i := range 40 {
			start := time.Now()
			w, ran, log := callWith(t, rules, "", `{}`)
			if w.Code != http.StatusServiceUnavailable || ran || time.Since(start) != 2*time.Second || w.Header().Get("Retry-After") == "" || !strings.Contains(log, "no answer within 2s") {
				t.Fatalf("call %d: status %d after %v; %s", i, w.Code, time.Since(start), log)
			}
		}
		ctx, cancel := context.WithTimeout(mcpauth.NewContext(context.Background(), mcpauthtest.NewSession(nil)), time.Second)
		defer cancel()
		rs, err := mcpauth.New(quietConfig())
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		handler := rs.RequireOperations(newPolicy(t, rules))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler ran") }))
		handler.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodPost, "/mcp", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t"}}`)))
		if w.Code != http.StatusServiceUnavailable {
			t.Errorf("with a time of the request's own: status %d", w.Code)
		}
	})
}
