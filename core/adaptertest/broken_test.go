package adaptertest_test

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/adaptertest"
)

// broken lists adapters with typical mistakes, and for each the case that has to fail.
var broken = map[string]struct {
	carry carrier
	fails string
}{
	"no abort": {func(rs *mcpauth.ResourceServer, next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			decision := authenticate(rs, r, r.Header.Values)
			if decision.Reply != nil {
				decision.WriteReply(w, r) // and does not return
			}
			decision.SetHeader(w.Header())
			if next != nil {
				next.ServeHTTP(w, r.WithContext(mcpauth.NewContext(r.Context(), decision.Session)))
			}
		})
	}, "wire/R14_R15_R16_R18_R21_R74_no_credentials"},
	"first header line only": {func(rs *mcpauth.ResourceServer, next http.Handler) http.Handler {
		return decide(rs, next, func(r *http.Request) func(string) []string {
			return func(name string) []string {
				if v := r.Header.Get(name); v != "" {
					return []string{v}
				}
				return nil
			}
		}, (*mcpauth.Decision).SetHeader)
	}, "wire/R27_two_lines,_the_first_good"},
	"dropped header lines": {func(rs *mcpauth.ResourceServer, next http.Handler) http.Handler {
		return decide(rs, next, headerOf, func(d *mcpauth.Decision, h http.Header) {
			if d.Reply != nil {
				(&mcpauth.Decision{Reply: d.Reply}).SetHeader(h) // the CORS headers are forgotten
			}
		})
	}, "R65_origin/R68_a_refusal_shows_its_challenge_to_the_page"},
	"added instead of replaced": {func(rs *mcpauth.ResourceServer, next http.Handler) http.Handler {
		return decide(rs, next, headerOf, func(d *mcpauth.Decision, h http.Header) {
			fresh := http.Header{}
			d.SetHeader(fresh)
			for name, values := range fresh {
				h[name] = append(h[name], values...)
			}
		})
	}, "outer_middleware"},
	"aliased strings": {func(rs *mcpauth.ResourceServer, next http.Handler) http.Handler {
		// Like a framework that reuses its buffers: when the session is asked for, the token is whatever the buffer holds by
		// then.
		var mu sync.Mutex
		buffer := make([]byte, 64<<10)
		var last string
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			if lines := r.Header.Values("Authorization"); len(lines) == 1 && len(lines[0]) < len(buffer) {
				last = unsafe.String(&buffer[0], copy(buffer, lines[0]))
			}
			mu.Unlock()
			decision := authenticate(rs, r, r.Header.Values)
			if decision.Reply != nil {
				decision.WriteReply(w, r)
				return
			}
			decision.SetHeader(w.Header())
			time.Sleep(time.Millisecond) // time for another request to overwrite the buffer
			mu.Lock()
			late := authenticate(rs, r, func(name string) []string {
				if name == "Authorization" {
					return []string{last}
				}
				return nil
			})
			mu.Unlock()
			next.ServeHTTP(w, r.WithContext(mcpauth.NewContext(r.Context(), late.Session)))
		})
	}, "sessions_under_load"},
	"session of the connection": {func(rs *mcpauth.ResourceServer, next http.Handler) http.Handler {
		var known sync.Map // by the client's address
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if session, ok := known.Load(r.RemoteAddr); ok && next != nil {
				next.ServeHTTP(w, r.WithContext(mcpauth.NewContext(r.Context(), session.(*mcpauth.Session)))) //nolint:forcetypeassert // stored below
				return
			}
			decision := authenticate(rs, r, r.Header.Values)
			if decision.Reply != nil {
				decision.WriteReply(w, r)
				return
			}
			known.Store(r.RemoteAddr, decision.Session)
			decision.SetHeader(w.Header())
			next.ServeHTTP(w, r.WithContext(mcpauth.NewContext(r.Context(), decision.Session)))
		})
	}, "R82_kept-alive_connection"},
	"exempts other spellings": {func(rs *mcpauth.ResourceServer, next http.Handler) http.Handler {
		right := carry(rs, next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.RequestURI != rs.Path() && next != nil {
				next.ServeHTTP(w, r)
				return
			}
			right.ServeHTTP(w, r)
		})
	}, "R81_aliases"},
	"buffers the response": {func(rs *mcpauth.ResourceServer, next http.Handler) http.Handler {
		right := carry(rs, next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { right.ServeHTTP(struct{ http.ResponseWriter }{w}, r) })
	}, "stream"},
	"context of its own": {func(rs *mcpauth.ResourceServer, next http.Handler) http.Handler {
		return carry(rs, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			session, _ := mcpauth.SessionFromContext(r.Context())
			next.ServeHTTP(w, r.WithContext(mcpauth.NewContext(context.WithoutCancel(r.Context()), session)))
		}))
	}, "disconnect"},
}

func authenticate(rs *mcpauth.ResourceServer, r *http.Request, header func(string) []string) mcpauth.Decision {
	return rs.Authenticate(r.Context(), mcpauth.Request{Method: r.Method, Path: r.URL.Path, Header: header})
}

func headerOf(r *http.Request) func(string) []string { return r.Header.Values }

// decide is a correct carry, apart from header and set, which may be wrong.
func decide(rs *mcpauth.ResourceServer, next http.Handler, header func(*http.Request) func(string) []string, set func(*mcpauth.Decision, http.Header)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		decision := authenticate(rs, r, header(r))
		set(&decision, w.Header())
		if decision.Reply != nil {
			w.WriteHeader(decision.Reply.Status)
			_, _ = w.Write(decision.Reply.Body)
			return
		}
		next.ServeHTTP(w, r.WithContext(mcpauth.NewContext(r.Context(), decision.Session)))
	})
}

const brokenVariable = "MCPAUTH_BROKEN_ADAPTER"

// TestBroken tests the suite: it has to fail for each broken adapter. Each runs in a process of its own.
func TestBroken(t *testing.T) {
	t.Parallel()
	if name := os.Getenv(brokenVariable); name != "" {
		only, _, _ := strings.Cut(broken[name].fails, "/")
		adaptertest.Run(t, adaptertest.Framework{New: newMini(broken[name].carry), Only: []string{strings.ReplaceAll(only, "_", " ")}})
		return
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range broken {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), program, "-test.run", "^TestBroken$", "-test.timeout", "2m")
			cmd.Env = append(os.Environ(), brokenVariable+"="+name)
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Fatal("the suite passed")
			}
			if !strings.Contains(string(out), "--- FAIL: TestBroken/"+b.fails) {
				t.Errorf("%s did not fail, but\n%s", b.fails, grep(string(out), "--- FAIL"))
			}
		})
	}
}

func grep(text, word string) string {
	var found []string
	for line := range strings.Lines(text) {
		if strings.Contains(line, word) {
			found = append(found, line)
		}
	}
	return strings.Join(found, "")
}
