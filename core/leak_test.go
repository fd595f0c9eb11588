package mcpauth_test

import (
	"bytes"
	"context"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

const (
	internalText    = "pq-internal-text-of-a-backend" // what a broken environment or hook says
	internalAddress = "10.11.12.13:5432"
	leakPiece       = 16 // so many characters of a token in a row are a leak
)

// internalWords are what no answer may contain: addresses, and the words of Go's and its libraries' errors.
var internalWords = []string{
	internalText, internalAddress, "127.0.0.1", "localhost", "[::1]", "jwx", "jws", "jwk", "jwt", "lestrrat", "rsa", "crypto", "dial", "tcp",
	"refused", "lookup", "no such host", "eof", "deadline", "timeout", "canceled", "context", "redirect", "unmarshal", "invalid character", "json:",
	"base64", "illegal", "status 500", "panic", "goroutine", "runtime", ".go", "mcpauth", "<html", "kid", "issuer", "audience", "backing", "fetch",
	"jwks",
}

// TestR56R72R74NothingLeaks sends requests that have to be refused, in environments that are broken in many ways. No token
// and no claim may be in the log or in an answer, and no internal text in an answer. It runs alone, because it also catches
// what is logged without Config.Logger.
func TestR56R72R74NothingLeaks(t *testing.T) {
	global := new(logBuffer)
	writer, flags, logger := log.Writer(), log.Flags(), slog.Default()
	slog.SetDefault(slog.New(both(global)))
	defer func() {
		slog.SetDefault(logger)
		log.SetOutput(writer)
		log.SetFlags(flags)
	}()

	forger := mcpauthtest.NewKey("snk_forger")
	var sent atomic.Int64
	t.Run("worlds", func(t *testing.T) {
		for _, world := range leakWorlds() {
			t.Run(world.name, func(t *testing.T) {
				t.Parallel()
				sent.Add(int64(world.run(t, forger)))
			})
		}
	})
	if n := sent.Load(); n < 500 {
		t.Errorf("only %d requests", n)
	}
	if s := global.String(); s != "" {
		t.Errorf("R72: logged past Config.Logger: %s", s)
	}
}

// run sends all requests to a server in the world, and looks for them in what comes out.
func (world *leakWorld) run(t *testing.T, forger *mcpauthtest.Key) (sent int) {
	env := mcpauthtest.NewEnvironment()
	defer env.Close()
	logged, panics := new(logBuffer), new(logBuffer)
	secret := marker("secret")
	cfg := env.Config(baseURL)
	cfg.ClientID, cfg.ClientSecret = "skc_leak", mcpauth.NewSecret(secret)
	cfg.Logger = slog.New(both(logged))
	if world.change != nil {
		world.change(&cfg)
	}
	rs, err := mcpauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(protect(rs, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	server.Config.ErrorLog = log.New(panics, "", 0)
	server.Start()
	defer server.Close()

	now := time.Now
	if cfg.Now != nil {
		now = cfg.Now
	}
	if world.warm {
		if err := rs.Ready(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if world.bend != nil {
		world.bend(env)
	}
	requests := leakRequests(env, forger, now())
	if world.late != nil { // the good token is cached, and then expires
		for _, r := range requests {
			if r.good && authenticate(rs, strings.TrimPrefix(r.authorization[0], "Bearer ")).Session == nil {
				t.Error("the good token is refused")
			}
		}
		world.late.advance(6 * time.Minute)
	}

	// All at once: those that wait for a hanging environment wait together.
	answers := make([][]byte, len(requests))
	var wg sync.WaitGroup
	for i, r := range requests {
		if r.good && world.admits {
			continue
		}
		sent++
		wg.Go(func() { answers[i] = world.send(t, server.URL, r) })
	}
	wg.Wait()
	server.Close()
	if world.bend != nil { // the line about a failed fetch comes after the answers
		logged.waitFor(t, `"msg":"JWKS resolution failed`)
	}

	lines := logged.String()
	output := append([]byte(lines+panics.String()), bytes.Join(answers, []byte("\n"))...)
	outside := newHaystack(bytes.Join(answers, []byte("\n")))
	everything := newHaystack(output)
	if found := everything.has(secret); found != "" {
		t.Errorf("R72: the client secret leaked: %s", found)
	}
	for _, word := range append(internalWords, env.URL(), strings.TrimPrefix(env.URL(), "http://"), strings.TrimPrefix(server.URL, "http://")) {
		if found := outside.has(word); found != "" {
			t.Errorf("R56: internal text %q in an answer: %s", word, found)
		}
	}
	for _, r := range requests {
		for _, secret := range r.never {
			if found := everything.has(secret); found != "" {
				t.Errorf("R72: %s: %s leaked: %s", r.name, secret, found)
			}
		}
		for _, secret := range r.signed {
			if found := outside.has(secret); found != "" {
				t.Errorf("R56: %s: %s is in an answer: %s", r.name, secret, found)
			}
		}
		for _, piece := range r.pieces {
			if found := everything.hasPieceOf(piece); found != "" {
				t.Errorf("R72: %s: a piece of the token leaked: %s", r.name, found)
			}
		}
	}

	// The log itself is seen: each refusal is there once in each format, and so is what may be told.
	if said := panics.String(); said != "" {
		t.Errorf("R93: net/http had something to report: %s", said)
	}
	if text, js := strings.Count(lines, `msg="request refused"`), strings.Count(lines, `"msg":"request refused"`); text != sent || js != sent {
		t.Errorf("%d and %d refusals in the log, want %d", text, js, sent)
	}
	if world.name == "healthy" {
		for _, r := range requests {
			if r.name == "another issuer" && !strings.Contains(lines, r.signed[0]) || r.name == "another audience" && !strings.Contains(lines, r.signed[1]) {
				t.Errorf("%s: the log does not say which", r.name)
			}
		}
	}
	return sent
}

// send sends one request, and returns all that comes back.
func (world *leakWorld) send(t *testing.T, url string, r *leakRequest) []byte {
	body := strings.NewReader("access_token=" + r.query)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/mcp?access_token="+r.query, body)
	if err != nil {
		t.Error(err)
		return nil
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Cookie", "access_token="+r.cookie)
	if r.origin != "" {
		req.Header.Set("Origin", r.origin)
	}
	req.Header["Authorization"] = r.authorization
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Errorf("%s: %v", r.name, err)
		return nil
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := httputil.DumpResponse(resp, true)
	if err != nil {
		t.Errorf("%s: %v", r.name, err)
	}
	switch resp.StatusCode {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusServiceUnavailable:
		if cc := resp.Header.Get("Cache-Control"); cc != "no-store" {
			t.Errorf("R74: %s: status %d with Cache-Control %q", r.name, resp.StatusCode, cc)
		}
	default:
		t.Errorf("%s: status %d", r.name, resp.StatusCode)
	}
	return answer
}
