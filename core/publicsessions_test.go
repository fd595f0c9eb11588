package mcpauth_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// An opener is an SDK that opens an MCP session for requests without an id, and records what ends.
type opener struct {
	public *mcpauth.PublicSessions
	opened int

	mu    sync.Mutex
	ended []string
}

func newOpener() *opener {
	o := new(opener)
	o.public = mcpauth.NewPublicSessions(func(id string) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.ended = append(o.ended, id)
		panic("of the user's code in the SDK")
	})
	return o
}

// endedSoFar returns the SDK's ids of the MCP sessions that the SDK was asked to end.
func (o *opener) endedSoFar() string {
	synctest.Wait()
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.ended, " ")
}

func (o *opener) sdk(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Mcp-Session-Id") == "" {
			o.opened++
			w.Header().Set("Mcp-Session-Id", "inner-"+strings.Repeat("i", o.opened))
		} else {
			w.Header().Set("Mcp-Session-Id", r.Header.Get("Mcp-Session-Id"))
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, r.Header.Get("Mcp-Session-Id"))
	}
}

func named(method, id string) *http.Request {
	r := httptest.NewRequest(method, "/mcp", http.NoBody)
	if id != "" {
		r.Header.Set("Mcp-Session-Id", id)
	}
	return r
}

// open opens an MCP session and returns its id.
func (o *opener) open(status int) string {
	w := httptest.NewRecorder()
	o.public.ServePublic(w, named(http.MethodPost, ""), true, o.sdk(status))
	return w.Header().Get("Mcp-Session-Id")
}

// TestR99PublicSessions follows MCP sessions from their opening to their end. Clients never see the SDK's ids.
func TestR99PublicSessions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newOpener()
		user := mcpauthtest.NewSession(map[string]any{"sub": "usr_ada"})
		other := mcpauthtest.NewSession(map[string]any{"sub": "usr_eve"})
		if id := o.open(http.StatusForbidden); id != "" {
			t.Errorf("a refused request opens %s", id)
		}
		id := o.open(http.StatusOK)
		if !strings.HasPrefix(id, "mcpauth-public-") || !o.public.IsPublic(named(http.MethodPost, id)) {
			t.Fatalf("the id is %q", id)
		}
		w := httptest.NewRecorder()
		if !o.public.ServePublic(w, named(http.MethodPost, id), false, o.sdk(http.StatusOK)) || w.Body.String() != "inner-ii" || w.Header().Get("Mcp-Session-Id") != id {
			t.Errorf("without a user: %v %s", w.Header(), w.Body)
		}
		for _, c := range []struct {
			id                 string
			session            *mcpauth.Session
			isNamed, isForeign bool
			status             int
			body               string
		}{
			{"", user, false, false, 200, ""},
			{"another", user, false, false, 200, ""},
			{"inner-ii", user, true, false, 404, "session not found\n"},
			{"mcpauth-public-x", user, true, false, 404, "session not found\n"},
			{id, user, true, false, 200, "inner-ii"},
			{id, other, true, true, 200, ""},
			{id, user, true, false, 200, "inner-ii"},
		} {
			w := httptest.NewRecorder()
			isNamed, isForeign := o.public.ServeSession(w, named(http.MethodPost, c.id), c.session, o.sdk(http.StatusOK))
			if isNamed != c.isNamed || isForeign != c.isForeign || w.Code != c.status || w.Body.String() != c.body {
				t.Errorf("%q: %t %t, %d %s", c.id, isNamed, isForeign, w.Code, w.Body)
			}
		}
		if o.public.IsPublic(named(http.MethodPost, id)) || o.public.ServePublic(httptest.NewRecorder(), named(http.MethodPost, id), false, o.sdk(http.StatusOK)) {
			t.Error("it is public when it has a user")
		}
		time.Sleep(59 * time.Minute)
		if ended := o.endedSoFar(); ended != "inner-i" { // its id was not told
			t.Errorf("ended: %s", ended)
		}
		time.Sleep(2 * time.Minute)
		if ended := o.endedSoFar(); ended != "inner-i inner-ii" {
			t.Errorf("ended: %s", ended)
		}
		o.open(http.StatusOK)
		time.Sleep(61 * time.Second)
		if ended := o.endedSoFar(); ended != "inner-i inner-ii inner-iii" {
			t.Errorf("ended: %s", ended)
		}
	})
}

// TestR99PublicSessionsOfClientsThatAreGone opens MCP sessions for clients that do not wait for the answer, so that the SDK writes
// none: they take no room, and the SDK is asked to end each.
func TestR99PublicSessionsOfClientsThatAreGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newOpener()
		for range 1100 {
			w := httptest.NewRecorder()
			if !o.public.ServePublic(w, named(http.MethodPost, ""), true, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Mcp-Session-Id", "inner")
			}) {
				t.Fatal("there is no room")
			}
			if id := w.Header().Get("Mcp-Session-Id"); id != "" {
				t.Fatalf("the client gets %s", id)
			}
		}
		if ended := len(strings.Fields(o.endedSoFar())); ended != 1100 {
			t.Errorf("%d have ended", ended)
		}
		if o.open(http.StatusOK) == "" {
			t.Error("there is no room for another client")
		}
	})
}

// TestR99PublicSessionsEnd ends MCP sessions in each way.
func TestR99PublicSessionsEnd(t *testing.T) {
	t.Parallel()
	user := mcpauthtest.NewSession(nil)
	for name, c := range map[string]struct {
		end   func(o *opener, id string)
		ended string // by the SDK, because it was asked to
	}{
		"DELETE": {func(o *opener, id string) {
			o.public.ServeSession(httptest.NewRecorder(), named(http.MethodDelete, id), user, o.sdk(http.StatusNoContent))
		}, "inner-i"},
		"404": {func(o *opener, id string) {
			o.public.ServeSession(httptest.NewRecorder(), named(http.MethodPost, id), user, o.sdk(http.StatusNotFound))
		}, "inner-i"},
		"the SDK itself": {func(o *opener, _ string) { o.public.Forget("inner-i") }, ""},
		"a panic": {func(o *opener, id string) {
			defer func() { _ = recover() }()
			o.public.ServePublic(httptest.NewRecorder(), named(http.MethodPost, id), false, func(http.ResponseWriter, *http.Request) { panic("x") })
		}, "inner-i"},
	} {
		synctest.Test(t, func(t *testing.T) {
			o := newOpener()
			id := o.open(http.StatusOK)
			c.end(o, id)
			if name == "a panic" {
				time.Sleep(61 * time.Second)
			}
			ended := o.endedSoFar()
			w := httptest.NewRecorder()
			if isNamed, _ := o.public.ServeSession(w, named(http.MethodPost, id), user, o.sdk(http.StatusOK)); !isNamed || w.Code != http.StatusNotFound || ended != c.ended {
				t.Errorf("%s: %d, ended %q", name, w.Code, ended)
			}
			for i := range 1001 { // nothing of the room is lost
				if got := o.open(http.StatusOK); (got != "") != (i < 1000) {
					t.Fatalf("%s: %d: %q", name, i, got)
				}
			}
			time.Sleep(2 * time.Hour)
		})
	}
}
