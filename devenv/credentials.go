package devenv

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

const maxFormBytes = 64 << 10

// serveToken is the environment's own token endpoint (RFC 6749 §4.4). The Scalekit SDK exchanges the API credentials there
// for a token that the environment's API accepts, and that an MCP server never does. Clients that were registered on the MCP
// server get a token for that server.
func (e *Environment) serveToken(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
	if err := r.ParseForm(); err != nil {
		refuseToken(w, http.StatusBadRequest, "invalid_request", "the body is not a form")
		return
	}
	presented := readCredentials(r)
	client, registered := e.clients.find(presented)
	if !registered && !presented.are(e.config.ClientID, e.config.ClientSecret) {
		refuseClient(w, r)
		return
	}
	if r.PostFormValue("grant_type") != "client_credentials" {
		refuseToken(w, http.StatusBadRequest, "unsupported_grant_type", "this endpoint supports only grant_type=client_credentials")
		return
	}
	if registered {
		e.serveClientToken(w, r, client)
		return
	}
	now := time.Now()
	token, expires, err := e.sign(map[string]any{
		"iss":       e.url,
		"aud":       []string{e.config.ClientID, e.url},
		"sub":       e.config.ClientID,
		"client_id": e.config.ClientID,
	}, now)
	if err != nil {
		refuseToken(w, http.StatusInternalServerError, "server_error", "the token could not be made")
		return
	}
	e.tokens.remember(token, now, expires)
	e.grantToken(w, token, nil)
}

// credentials are the id and the secret of a request to a token endpoint, in each of the ways in which they can be read.
type credentials [][2]string

// readCredentials reads those of the header, or else of the form. Clients have to encode both for the header as in a form
// (RFC 6749 §2.3.1). Many don't, so both count: what was sent, and what it is decoded.
func readCredentials(r *http.Request) credentials {
	id, secret, basic := r.BasicAuth()
	if !basic {
		return credentials{{r.PostFormValue("client_id"), r.PostFormValue("client_secret")}}
	}
	presented := credentials{{id, secret}}
	decodedID, badID := url.QueryUnescape(id)
	decodedSecret, badSecret := url.QueryUnescape(secret)
	if badID == nil && badSecret == nil {
		presented = append(presented, [2]string{decodedID, decodedSecret})
	}
	return presented
}

// are reports whether the credentials can be read as id and secret.
func (c credentials) are(id, secret string) bool {
	return slices.ContainsFunc(c, func(pair [2]string) bool { return same(pair[0], id) && same(pair[1], secret) })
}

func (e *Environment) grantToken(w http.ResponseWriter, token string, more map[string]any) {
	answer := map[string]any{
		"access_token": token,
		"token_type":   "Bearer",
		"expires_in":   int(e.tokenLife() / time.Second),
	}
	maps.Copy(answer, more)
	writeJSON(w, http.StatusOK, answer)
}

func refuseClient(w http.ResponseWriter, r *http.Request) {
	if _, _, basic := r.BasicAuth(); basic {
		w.Header().Set("WWW-Authenticate", `Basic realm="scalekit"`)
	}
	refuseToken(w, http.StatusUnauthorized, "invalid_client", "unknown client_id or wrong client_secret")
}

func refuseToken(w http.ResponseWriter, status int, code, description string) {
	writeJSON(w, status, map[string]any{"error": code, "error_description": description})
}

// sign returns a token that was issued now, with these claims, and when it expires.
func (e *Environment) sign(claims map[string]any, now time.Time) (token string, expires time.Time, err error) {
	key := e.keys.Current()
	expires = now.Add(e.tokenLife())
	header, err := json.Marshal(map[string]any{"alg": "RS256", "kid": key.ID(), "typ": "JWT"})
	if err != nil {
		return "", time.Time{}, err
	}
	claims["jti"], claims["iat"], claims["nbf"], claims["exp"] = "tkn_"+rand.Text(), now.Unix(), now.Unix(), expires.Unix()
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", time.Time{}, err
	}
	return key.Sign(header, payload), expires, nil
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
