package mcpauthtest

import (
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"sync"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// An Environment is a fake Scalekit environment. It serves its keys and the authorization server metadata of one MCP
// resource on a free port of 127.0.0.1, counts the requests, and can be told to misbehave. It is safe for concurrent use.
type Environment struct {
	keys *KeySet
	addr string

	mu       sync.Mutex
	server   *http.Server // nil while stopped
	handlers map[string]http.Handler
	requests map[string]int
	delay    time.Duration
}

const resourceID = "res_test"

// NewEnvironment starts an environment. Close it when the test ends. It panics when it can't listen.
func NewEnvironment() *Environment {
	e := &Environment{
		keys:     NewKeySet(),
		addr:     "127.0.0.1:0",
		handlers: make(map[string]http.Handler),
		requests: make(map[string]int),
	}
	e.Start()
	return e
}

// URL returns the environment URL, such as http://127.0.0.1:41234.
func (e *Environment) URL() string { return "http://" + e.addr }

// ResourceID returns the id of the MCP resource.
func (e *Environment) ResourceID() string { return resourceID }

// Issuer returns the resource-scoped issuer, the iss of minted tokens. [Environment.URL] is the other valid form.
func (e *Environment) Issuer() string { return e.URL() + "/resources/" + resourceID }

// Keys returns the environment's keys, for rotating and withdrawing them.
func (e *Environment) Keys() *KeySet { return e.keys }

// Config returns a configuration that trusts the environment, for a server at baseURL with the endpoint /mcp, and logs
// nothing.
func (e *Environment) Config(baseURL string) mcpauth.Config {
	return mcpauth.Config{
		EnvironmentURL: e.URL(),
		ResourceID:     resourceID,
		BaseURL:        baseURL,
		Logger:         discard,
	}
}

// A Token says how a token differs from a good one.
type Token struct {
	Header map[string]any // members to set; a nil value removes one
	Claims map[string]any // members to set; a nil value removes one

	Key        *Key   // signs; the environment's current key by default. Its id becomes the kid.
	RawHeader  []byte // replaces the whole header
	RawPayload []byte // replaces all claims
}

// Token mints the access token of a user: sub usr_1, client_id m2m_1, sid ses_1, aud the resource's id, issued now and
// good for five minutes, with claims set on top. A nil value removes a claim.
func (e *Environment) Token(claims map[string]any) string { return e.Mint(Token{Claims: claims}) }

// Mint mints any token.
func (e *Environment) Mint(t Token) string {
	key := t.Key
	if key == nil {
		key = e.keys.Current()
	}
	header := t.RawHeader
	if header == nil {
		header = mustJSON(with(map[string]any{"alg": "RS256", "kid": key.ID(), "typ": "JWT"}, t.Header))
	}
	payload := t.RawPayload
	if payload == nil {
		payload = mustJSON(with(defaultClaims(e.Issuer()), t.Claims))
	}
	return key.Sign(header, payload)
}

func defaultClaims(issuer string) map[string]any {
	now := time.Now()
	return map[string]any{
		"iss":       issuer,
		"aud":       []string{resourceID},
		"sub":       "usr_1",
		"client_id": "m2m_1",
		"sid":       "ses_1",
		"iat":       now.Unix(),
		"exp":       now.Add(5 * time.Minute).Unix(),
	}
}

// with returns base with changes applied. A nil value removes a member.
func with(base, changes map[string]any) map[string]any {
	maps.Copy(base, changes)
	maps.DeleteFunc(base, func(_ string, v any) bool { return v == nil })
	return base
}

// Handle makes handler answer a path, such as "/keys", instead of the environment. A nil handler restores the environment's
// own answer.
func (e *Environment) Handle(path string, handler http.Handler) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if handler == nil {
		delete(e.handlers, path)
		return
	}
	e.handlers[path] = handler
}

// SetDelay makes every answer wait for d, or until the client disconnects.
func (e *Environment) SetDelay(d time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.delay = d
}

// Requests returns how often a path was asked for.
func (e *Environment) Requests(path string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.requests[path]
}

// Stop makes the environment disappear: connections are refused until [Environment.Start].
func (e *Environment) Stop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.server != nil {
		_ = e.server.Close()
		e.server = nil
	}
}

// Start brings the environment back on the same port. It panics when another program has taken the port meanwhile.
func (e *Environment) Start() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.server != nil {
		return
	}
	listener, err := net.Listen("tcp", e.addr) //nolint:noctx // there is nothing to cancel
	if err != nil {
		panic(fmt.Sprintf("mcpauthtest: %v", err))
	}
	e.addr = listener.Addr().String()
	e.server = &http.Server{
		Handler:           http.HandlerFunc(e.serve),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	go e.server.Serve(listener) //nolint:errcheck // it ends with Stop
}

// Close ends the environment.
func (e *Environment) Close() { e.Stop() }

func (e *Environment) serve(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	e.requests[r.URL.Path]++
	handler, delay := e.handlers[r.URL.Path], e.delay
	e.mu.Unlock()

	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-r.Context().Done():
			return
		}
	}
	if handler != nil {
		handler.ServeHTTP(w, r)
		return
	}
	var document []byte
	switch r.URL.Path {
	case MetadataPath, AppendedMetadataPath:
		document = mustJSON(AuthorizationServerMetadata(e.URL(), resourceID))
	case OpenIDPath:
		document = mustJSON(map[string]any{"issuer": e.URL(), "jwks_uri": e.URL() + KeysPath})
	case KeysPath:
		document = e.keys.JWKS()
	default:
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(document)
}

// The paths that the environment serves.
const (
	MetadataPath         = "/.well-known/oauth-authorization-server/resources/" + resourceID
	AppendedMetadataPath = "/resources/" + resourceID + "/.well-known/oauth-authorization-server"
	OpenIDPath           = "/.well-known/openid-configuration"
	KeysPath             = "/keys"
)
