package devenv

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"
)

const maxFormBytes = 64 << 10

// serveToken is the environment's own token endpoint (RFC 6749 §4.4). The Scalekit SDK exchanges the API credentials there
// for a token that the organization service accepts, and that an MCP server never does.
func (e *Environment) serveToken(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
	if err := r.ParseForm(); err != nil {
		refuseToken(w, http.StatusBadRequest, "invalid_request", "the body is not a form")
		return
	}
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	}
	if !same(id, e.config.ClientID) || !same(secret, e.config.ClientSecret) {
		if basic {
			w.Header().Set("WWW-Authenticate", `Basic realm="scalekit"`)
		}
		refuseToken(w, http.StatusUnauthorized, "invalid_client", "unknown client_id or wrong client_secret")
		return
	}
	if r.PostFormValue("grant_type") != "client_credentials" {
		refuseToken(w, http.StatusBadRequest, "unsupported_grant_type", "this endpoint supports only grant_type=client_credentials")
		return
	}
	token, err := e.mintEnvironmentToken(time.Now())
	if err != nil {
		refuseToken(w, http.StatusInternalServerError, "server_error", "the token could not be made")
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"access_token": token,
		"token_type":   "Bearer",
		"expires_in":   int(e.tokenLife() / time.Second),
	})
}

func refuseToken(w http.ResponseWriter, status int, code, description string) {
	writeJSON(w, status, map[string]any{"error": code, "error_description": description})
}

func (e *Environment) mintEnvironmentToken(now time.Time) (string, error) {
	key := e.keys.Current()
	expires := now.Add(e.tokenLife())
	header, err := json.Marshal(map[string]any{"alg": "RS256", "kid": key.ID(), "typ": "JWT"})
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(map[string]any{
		"iss":       e.url,
		"aud":       []string{e.config.ClientID, e.url},
		"sub":       e.config.ClientID,
		"client_id": e.config.ClientID,
		"jti":       "tkn_" + rand.Text(),
		"iat":       now.Unix(),
		"nbf":       now.Unix(),
		"exp":       expires.Unix(),
	})
	if err != nil {
		return "", err
	}
	token := key.Sign(header, payload)
	e.tokens.remember(token, now, expires)
	return token, nil
}

// environmentTokens remembers the environment's own tokens. They are checked by the program that made them, so a look-up is
// enough, and safer than a second verifier.
type environmentTokens struct {
	mu      sync.Mutex
	expires map[[sha256.Size]byte]time.Time
}

func newEnvironmentTokens() *environmentTokens {
	return &environmentTokens{expires: make(map[[sha256.Size]byte]time.Time)}
}

func (t *environmentTokens) remember(token string, now, expires time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for hash, end := range t.expires {
		if now.After(end) {
			delete(t.expires, hash)
		}
	}
	t.expires[sha256.Sum256([]byte(token))] = expires
}

// allow reports whether the Authorization header carries a token that is known and has not expired.
func (t *environmentTokens) allow(authorization string) bool {
	scheme, token, ok := strings.Cut(authorization, " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Now().Before(t.expires[sha256.Sum256([]byte(token))])
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
