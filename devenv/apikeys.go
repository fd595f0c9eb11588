package devenv

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
)

// apiKeys is the REST form of Scalekit's ApiTokenService, whose API tokens are what Scalekit's guides call API keys: opaque
// text that belongs to an organization, or to one of its users. Creating, validating and invalidating a key work. Listing and
// updating keys is not there.
//
// As at Scalekit, a key can be named by its value or by its id, also where it is validated. An id is in logs and in
// administrators' lists, so a program that lets its callers in by a key must never pass on a value that begins with apit_.
type apiKeys struct {
	tokens *environmentTokens
	users  []User

	mu   sync.Mutex
	keys map[[sha256.Size]byte]*apiKey // by the hash of the value, and by that of the id
}

// An apiKey is what Scalekit tells about a key, and an answer's token_info.
type apiKey struct {
	ID                     string            `json:"token_id"`
	OrganizationID         string            `json:"organization_id"`
	OrganizationExternalID string            `json:"organization_external_id,omitempty"`
	UserID                 string            `json:"user_id,omitempty"` // of a key that belongs to a user
	Email                  string            `json:"email,omitempty"`
	CustomClaims           map[string]string `json:"custom_claims,omitempty"`
	Expiry                 *time.Time        `json:"expiry,omitempty"` // a key without one does not expire
	CreatedAt              time.Time         `json:"created_at"`
	Description            string            `json:"description,omitempty"`
	Suffix                 string            `json:"token_suffix"` // the last four characters of the value

	invalidated bool
}

// apiKeyIDPrefix is how the ids of keys begin.
const apiKeyIDPrefix = "apit_"

func newAPIKeys(users []User, tokens *environmentTokens) *apiKeys {
	return &apiKeys{tokens: tokens, users: users, keys: make(map[[sha256.Size]byte]*apiKey)}
}

// register adds the endpoints to mux and returns their paths.
func (k *apiKeys) register(mux *http.ServeMux) []string {
	const path = "/api/v1/tokens"
	endpoints := map[string]http.HandlerFunc{path: k.create, path + ":validate": k.validate, path + ":invalidate": k.invalidate}
	paths := make([]string, 0, len(endpoints))
	for path, serve := range endpoints {
		mux.HandleFunc("POST "+path, k.authenticated(serve))
		paths = append(paths, path)
	}
	return paths
}

// authenticated lets requests through that carry a token of the environment's API credentials.
func (k *apiKeys) authenticated(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if !k.tokens.allow(r.Header.Get("Authorization")) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			refuseAPI(w, http.StatusUnauthorized, connect.CodeUnauthenticated, errUnauthenticated.Error())
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
		next(w, r)
	}
}

func (k *apiKeys) create(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		OrganizationID string            `json:"organization_id"`
		UserID         string            `json:"user_id"`
		CustomClaims   map[string]string `json:"custom_claims"`
		Expiry         *time.Time        `json:"expiry"`
		Description    string            `json:"description"`
	}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		refuseAPI(w, http.StatusBadRequest, connect.CodeInvalidArgument, "the body is not a JSON object with organization_id and, if wanted, user_id, custom_claims, expiry and description")
		return
	}
	now := time.Now()
	key := &apiKey{
		ID: apiKeyIDPrefix + rand.Text(), UserID: asked.UserID, CustomClaims: asked.CustomClaims,
		Expiry: asked.Expiry, CreatedAt: now.UTC(), Description: asked.Description,
	}
	if err := key.check(now); err != nil {
		refuseAPI(w, http.StatusBadRequest, connect.CodeInvalidArgument, err.Error())
		return
	}
	if !k.assign(key, asked.OrganizationID) {
		refuseAPI(w, http.StatusNotFound, connect.CodeNotFound, "there is no such organization, or the user does not belong to it")
		return
	}
	value := rand.Text() + rand.Text()
	key.Suffix = value[len(value)-4:]
	k.mu.Lock()
	k.keys[sha256.Sum256([]byte(value))] = key
	k.keys[sha256.Sum256([]byte(key.ID))] = key
	k.mu.Unlock()
	writeJSON(w, http.StatusCreated, map[string]any{"token": value, "token_id": key.ID, "token_info": key})
}

// check compares a new key with Scalekit's limits.
func (key *apiKey) check(now time.Time) error {
	if key.Expiry != nil && !key.Expiry.After(now) {
		return fmt.Errorf("expiry: %s is past; give a time to come, or none", key.Expiry.Format(time.RFC3339))
	}
	if len(key.Description) > 255 {
		return fmt.Errorf("description: %d bytes are too many; give at most 255", len(key.Description))
	}
	if len(key.CustomClaims) > 20 {
		return fmt.Errorf("custom_claims: %d are too many; give at most 20", len(key.CustomClaims))
	}
	for name, value := range key.CustomClaims {
		if name == "" || len(name) > 30 || value == "" || len(value) > 256 {
			return fmt.Errorf("custom_claims: %.30q has a name or a value that is empty or too long; give names of at most 30 bytes, and values of at most 256", name)
		}
	}
	return nil
}

// assign gives a key to an organization and, if it names one, to a user of it.
func (k *apiKeys) assign(key *apiKey, organization string) bool {
	i := slices.IndexFunc(k.users, func(u User) bool {
		return organization != "" && u.Organization.ID == organization && (key.UserID == "" || u.ID == key.UserID)
	})
	if i < 0 {
		return false
	}
	owner := k.users[i]
	key.OrganizationID, key.OrganizationExternalID = owner.Organization.ID, owner.Organization.ExternalID
	if key.UserID != "" {
		key.Email = owner.Email
	}
	return true
}

// validate tells whose key it is. A key that is unknown, expired or invalidated is not found.
func (k *apiKeys) validate(w http.ResponseWriter, r *http.Request) {
	key, ok := k.named(w, r)
	if !ok {
		return
	}
	k.mu.Lock()
	invalidated := key == nil || key.invalidated
	k.mu.Unlock()
	if invalidated || key.Expiry != nil && !time.Now().Before(*key.Expiry) {
		refuseAPI(w, http.StatusNotFound, connect.CodeNotFound, "the token is not valid")
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"token_info": key})
}

// invalidate ends a key. It succeeds for one that was ended before.
func (k *apiKeys) invalidate(w http.ResponseWriter, r *http.Request) {
	key, ok := k.named(w, r)
	if !ok {
		return
	}
	if key == nil {
		refuseAPI(w, http.StatusNotFound, connect.CodeNotFound, "the token is not known")
		return
	}
	k.mu.Lock()
	key.invalidated = true
	k.mu.Unlock()
	writeJSON(w, http.StatusOK, struct{}{})
}

// named returns the key that a request names by value or id, or nil. It has refused a request that names none.
func (k *apiKeys) named(w http.ResponseWriter, r *http.Request) (key *apiKey, ok bool) {
	var asked struct {
		Token string `json:"token"`
	}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || strings.TrimSpace(asked.Token) == "" {
		refuseAPI(w, http.StatusBadRequest, connect.CodeInvalidArgument, "the body is not a JSON object with token: the value of a key, or its id")
		return nil, false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.keys[sha256.Sum256([]byte(asked.Token))], true
}

// refuseAPI answers like Scalekit's REST endpoints, with the number of a gRPC status code.
func refuseAPI(w http.ResponseWriter, status int, code connect.Code, message string) {
	writeJSON(w, status, map[string]any{"code": uint32(code), "message": message})
}
