package mcpauth_test

// What must stay inside: tokens and their claims out of logs and answers, the causes of failures out of answers.

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
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

var errHook = errors.New("dial tcp " + internalAddress + ": " + internalText)

// A leakWorld is a way in which things are broken.
type leakWorld struct {
	name   string
	change func(*mcpauth.Config)
	bend   func(*mcpauthtest.Environment)
	warm   bool // the keys are fetched before the environment is bent
	admits bool // a good token gets in
	late   *clock
}

func respondWith(status int, contentType, body string) func(*mcpauthtest.Environment) {
	return everywhere(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("X-Backend", internalAddress)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

func everywhere(handler http.HandlerFunc) func(*mcpauthtest.Environment) {
	return func(env *mcpauthtest.Environment) {
		for _, path := range []string{
			mcpauthtest.MetadataPath, mcpauthtest.AppendedMetadataPath, mcpauthtest.OpenIDPath, mcpauthtest.KeysPath,
		} {
			env.Handle(path, handler)
		}
	}
}

func hook(answer func() (bool, error)) func(*mcpauth.Config) {
	return func(cfg *mcpauth.Config) {
		cfg.IsRevoked = func(context.Context, *mcpauth.Session) (bool, error) { return answer() }
	}
}

func leakWorlds() []leakWorld {
	stop := (*mcpauthtest.Environment).Stop
	tomorrow, later := newClock(), newClock()
	return []leakWorld{
		{name: "healthy", admits: true},
		{name: "without a cache", admits: true, change: func(cfg *mcpauth.Config) { cfg.Cache.Disabled = true }},
		{name: "garbage", bend: respondWith(200, "application/json", "\x00\xff{"+internalText)},
		{name: "HTML", bend: respondWith(200, "text/html", "<html>"+internalText+" "+internalAddress+"</html>")},
		{name: "500", bend: respondWith(500, "text/plain", internalText+" at "+internalAddress)},
		{name: "another's metadata", bend: func(env *mcpauthtest.Environment) {
			respondWith(200, "application/json", `{"issuer":"https://`+internalText+`","jwks_uri":"http://`+internalAddress+`/keys"}`)(env)
			env.Handle(mcpauthtest.KeysPath, http.NotFoundHandler())
		}},
		{name: "redirect", bend: everywhere(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://"+internalAddress+"/"+internalText, http.StatusFound)
		})},
		{name: "broken off", bend: everywhere(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, internalText)
		})},
		{name: "hanging", bend: func(env *mcpauthtest.Environment) { env.SetDelay(time.Minute) }},
		{name: "stopped", bend: stop},
		{name: "stopped, with keys from before", warm: true, admits: true, bend: stop},
		{
			name: "stopped, with keys too old", warm: true, change: func(cfg *mcpauth.Config) { cfg.Now = tomorrow.now },
			bend: func(env *mcpauthtest.Environment) { env.Stop(); tomorrow.advance(25 * time.Hour) },
		},
		{name: "expired in the cache", late: later, change: func(cfg *mcpauth.Config) {
			cfg.Now, cfg.Cache.MaxAge = later.now, 10*time.Minute
		}},
		{name: "revoked", change: hook(func() (bool, error) { return true, nil })},
		{name: "the hook fails", change: hook(func() (bool, error) { return false, errHook })},
		{name: "the hook panics", change: hook(func() (bool, error) { panic(errHook) })},
		{name: "a scope is missing", change: func(cfg *mcpauth.Config) { cfg.RequiredScopes = []string{"leak:never"} }},
	}
}

// A leakRequest is a request that must be refused, and what of it must not be seen again.
type leakRequest struct {
	name          string
	authorization []string
	origin        string
	query, cookie string
	good          bool // but for the world, it would get in

	pieces []string // no 16 characters in a row of these
	never  []string // neither in an answer nor in the log
	signed []string // iss and aud of a token whose signature holds: in the log, but in no answer
}

// marker returns a string that appears nowhere by chance. It is an id as well as a host name.
func marker(kind string) string { return "leak" + kind + strings.ToLower(rand.Text()[:20]) }

// leakRequests returns one request of each kind, with markers of its own in all places.
func leakRequests(env *mcpauthtest.Environment, forger *mcpauthtest.Key, now time.Time) []*leakRequest {
	key := env.Keys().Current()
	var all []*leakRequest
	add := func(name string, authorization ...string) *leakRequest {
		r := &leakRequest{name: name, authorization: authorization, query: marker("query"), cookie: marker("cookie")}
		r.never = append(r.never, r.query, r.cookie)
		for _, line := range authorization {
			r.pieces = append(r.pieces, strings.FieldsFunc(line, func(c rune) bool { return strings.ContainsRune(" .,\"", c) })...)
		}
		all = append(all, r)
		return r
	}

	// mint returns a token full of markers, with changes on top. Those of iss and aud are in front.
	mint := func(t mcpauthtest.Token) (token string, markers []string) {
		mark := func(kind string) string {
			markers = append(markers, marker(kind))
			return markers[len(markers)-1]
		}
		iss, aud := mark("iss"), mark("aud")
		claims := m{
			"iss": env.Issuer(), "aud": []string{env.ResourceID(), aud},
			"iat": now.Add(-time.Minute).Unix(), "exp": now.Add(5 * time.Minute).Unix(),
			"other_iss": "https://" + iss,
		}
		for _, name := range []string{"sub", "email", "name", "scope", "client_id", "sid", "jti", "oid", "xoid", "xuid", "custom"} {
			claims[name] = mark(strings.ReplaceAll(name, "_", ""))
		}
		claims["roles"], claims["permissions"] = []string{mark("role")}, []string{mark("permission")}
		header := m{
			mark("member"): mark("value"), "jku": "http://" + mark("jku") + ".example/keys", "x5u": "http://" + mark("xfu") + ".example",
		}
		for name, value := range t.Claims {
			switch value {
			case "iss":
				value = "https://" + iss
			case "aud":
				value = aud
			}
			claims[name] = value
		}
		for name, value := range t.Header {
			if value == "marker" {
				value = mark("header")
			}
			header[name] = value
		}
		t.Claims, t.Header = claims, header
		return env.Mint(t), markers
	}
	forged := func(name string, t mcpauthtest.Token) {
		token, markers := mint(t)
		r := add(name, "Bearer "+token)
		r.never = append(r.never, markers...)
	}
	signed := func(name string, claims m) *leakRequest {
		token, markers := mint(mcpauthtest.Token{Claims: claims})
		r := add(name, "Bearer "+token)
		r.signed, r.never = markers[:2], append(r.never, markers[2:]...)
		return r
	}

	signed("a good token", nil).good = true
	signed("another issuer", m{"iss": "iss"})
	signed("another audience", m{"aud": "aud"})
	signed("expired", m{"exp": 1})
	signed("not valid yet", m{"nbf": now.Add(time.Hour).Unix()})
	signed("issued in the future", m{"iat": now.Add(time.Hour).Unix()})
	signed("no subject", m{"sub": nil})
	signed("bound", m{"cnf": m{"jkt": "x"}})
	signed("no expiry", m{"exp": nil})
	signed("claims of wrong types", m{"sub": []int{1}})

	forged("another's key under a known kid", mcpauthtest.Token{Key: forger, Header: m{"kid": key.ID()}})
	forged("an unknown kid", mcpauthtest.Token{Key: forger, Header: m{"kid": "marker"}})
	forged("another issuer, forged", mcpauthtest.Token{Key: forger, Header: m{"kid": key.ID()}, Claims: m{"iss": "iss"}})
	forged("another audience, forged", mcpauthtest.Token{Key: forger, Header: m{"kid": key.ID()}, Claims: m{"aud": "aud"}})
	forged("expired, forged", mcpauthtest.Token{Key: forger, Header: m{"kid": key.ID()}, Claims: m{"exp": 1}})
	forged("alg none", mcpauthtest.Token{Header: m{"alg": "none"}})
	forged("alg of the attacker", mcpauthtest.Token{Header: m{"alg": "marker"}})
	forged("typ of the attacker", mcpauthtest.Token{Header: m{"typ": "marker"}})
	forged("crit", mcpauthtest.Token{Header: m{"crit": []string{"b64"}}})
	forged("a kid too long", mcpauthtest.Token{Header: m{"kid": strings.Repeat(marker("kid"), 12)}})
	forged("a header too long", mcpauthtest.Token{Header: m{"x": strings.Repeat(marker("long"), 200)}})
	forged("a token too long", mcpauthtest.Token{Claims: m{"x": strings.Repeat(marker("long"), 600)}})

	// Raw tokens: their markers are in what is no JSON, or no token.
	raw := func(name string, build func(mark func(string) string) string) {
		var markers []string
		line := build(func(kind string) string {
			markers = append(markers, marker(kind))
			return markers[len(markers)-1]
		})
		r := add(name, line)
		r.never = append(r.never, markers...)
	}
	good := func() string { return env.Token(m{"sub": marker("sub")}) }
	raw("a payload that is no JSON", func(mark func(string) string) string {
		return "Bearer " + env.Mint(mcpauthtest.Token{RawPayload: []byte("{" + mark("payload"))})
	})
	raw("a member twice", func(mark func(string) string) string {
		return "Bearer " + env.Mint(mcpauthtest.Token{RawPayload: []byte(`{"sub":"` + mark("sub") + `","sub":"` + mark("sub") + `"}`)})
	})
	raw("a header that is no JSON", func(mark func(string) string) string {
		return "Bearer " + env.Mint(mcpauthtest.Token{RawHeader: []byte(mark("header"))})
	})
	raw("a kid twice", func(mark func(string) string) string {
		return "Bearer " + env.Mint(mcpauthtest.Token{RawHeader: []byte(`{"alg":"RS256","kid":"` + mark("kid") + `","kid":"` + mark("kid") + `"}`)})
	})
	raw("no base64", func(mark func(string) string) string {
		return "Bearer " + mark("a") + "=." + mark("b") + "." + mark("c")
	})
	raw("five segments", func(mark func(string) string) string { return "Bearer " + good() + "." + mark("d") + "." + mark("e") })
	raw("the JSON serialization", func(mark func(string) string) string {
		return `Bearer {"payload":"` + mark("payload") + `","signature":"` + mark("signature") + `","protected":"` + mark("protected") + `"}`
	})
	raw("opaque", func(mark func(string) string) string { return "Bearer " + mark("opaque") })
	raw("half a token", func(func(string) string) string { token := good(); return "Bearer " + token[:len(token)/2] })
	raw("two tokens in a line", func(mark func(string) string) string { return "Bearer " + good() + " " + mark("second") })
	raw("quoted", func(func(string) string) string { return `Bearer "` + good() + `"` })
	raw("no space", func(func(string) string) string { return "Bearer" + good() })
	raw("a tab", func(func(string) string) string { return "Bearer\t" + good() })
	raw("an equals sign", func(func(string) string) string { return "Bearer=" + good() })
	raw("no scheme", func(func(string) string) string { return good() })
	raw("Basic", func(mark func(string) string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(mark("user")+":"+mark("password")))
	})
	raw("DPoP", func(func(string) string) string { return "DPoP " + good() })
	raw("a scheme of the attacker", func(mark func(string) string) string { return mark("scheme") + " " + good() })
	add("two lines", "Bearer "+good(), "Bearer "+good())
	add("no header")
	foreign := add("another origin", "Bearer "+good())
	foreign.origin = "https://" + marker("origin") + ".example"
	foreign.never = append(foreign.never, foreign.origin[len("https://"):])
	return all
}

// What no answer may contain: addresses, and what Go and its libraries call things.
var internalWords = []string{
	internalText, internalAddress, "127.0.0.1", "localhost", "[::1]", "jwx", "jws", "jwk", "jwt", "lestrrat", "rsa", "crypto", "dial", "tcp",
	"refused", "lookup", "no such host", "eof", "deadline", "timeout", "canceled", "context", "redirect", "unmarshal", "invalid character", "json:",
	"base64", "illegal", "status 500", "panic", "goroutine", "runtime", ".go", "mcpauth", "<html", "kid", "issuer", "audience", "backing", "fetch",
	"jwks",
}

func TestR56R72R74NothingLeaks(t *testing.T) {
	// What would go around Config.Logger is caught, too. So this test is alone.
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
		t.Errorf("R72: logged beside Config.Logger: %s", s)
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

	// Side by side: those that wait for a hanging environment wait together.
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
		for range 500 {
			if strings.Contains(logged.String(), `"msg":"JWKS resolution failed`) {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
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

	// The capture itself: each refusal is there once in each format, and so is what may be told.
	if said := panics.String(); said != "" {
		t.Errorf("R93: net/http had something to report: %s", said)
	}
	if text, js := strings.Count(lines, `msg="request refused"`), strings.Count(lines, `"msg":"request refused"`); text != sent || js != sent {
		t.Errorf("%d and %d refusals in the log, want %d", text, js, sent)
	}
	if world.bend != nil && !strings.Contains(lines, `"msg":"JWKS resolution failed`) {
		t.Error("the log does not say that the environment fails")
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

// A haystack finds strings and pieces of strings, whatever their case, also in hexadecimal.
type haystack struct {
	text   string
	pieces map[string]int
}

func newHaystack(text []byte) *haystack {
	h := &haystack{text: string(bytes.ToLower(text)), pieces: make(map[string]int)}
	for i := range len(h.text) - leakPiece + 1 {
		h.pieces[h.text[i:i+leakPiece]] = i
	}
	return h
}

func (h *haystack) has(s string) string {
	s = strings.ToLower(s)
	if i := strings.Index(h.text, s); i >= 0 {
		return h.around(i)
	}
	if i := strings.Index(h.text, hex.EncodeToString([]byte(s))); i >= 0 {
		return h.around(i)
	}
	return ""
}

func (h *haystack) hasPieceOf(s string) string {
	s = strings.ToLower(s)
	for i := range len(s) - leakPiece + 1 {
		if at, ok := h.pieces[s[i:i+leakPiece]]; ok {
			return h.around(at)
		}
	}
	return ""
}

func (h *haystack) around(i int) string {
	return fmt.Sprintf("%q", h.text[max(0, i-80):min(len(h.text), i+80)])
}

// both returns a handler that writes all records in both of slog's formats.
func both(w io.Writer) slog.Handler {
	all := &slog.HandlerOptions{Level: slog.LevelDebug}
	return bothHandlers{slog.NewTextHandler(w, all), slog.NewJSONHandler(w, all)}
}

type bothHandlers [2]slog.Handler

func (h bothHandlers) Enabled(context.Context, slog.Level) bool { return true }

func (h bothHandlers) Handle(ctx context.Context, r slog.Record) error {
	return errors.Join(h[0].Handle(ctx, r.Clone()), h[1].Handle(ctx, r.Clone()))
}

func (h bothHandlers) WithAttrs(attrs []slog.Attr) slog.Handler {
	return bothHandlers{h[0].WithAttrs(attrs), h[1].WithAttrs(attrs)}
}

func (h bothHandlers) WithGroup(name string) slog.Handler {
	return bothHandlers{h[0].WithGroup(name), h[1].WithGroup(name)}
}
