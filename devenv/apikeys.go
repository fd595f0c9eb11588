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
	"sync/atomic"
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
	environment *Environment

	mu   sync.Mutex
	keys map[[sha256.Size]byte]*apiKey // by the hash of the value, and by that of the id
}

// An apiKey is what Scalekit tells about a key, and an answer's token_info. What it says about the owner is that of the moment
// of an answer.
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
	Roles                  []string          `json:"roles,omitempty"`
	Suffix                 string            `json:"token_suffix"` // the last four characters of the value

	invalidated *atomic.Bool
}

func newAPIKeys(e *Environment) *apiKeys {
	return &apiKeys{environment: e, keys: make(map[[sha256.Size]byte]*apiKey)}
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
		if !k.environment.tokens.allow(r.Header.Get("Authorization")) {
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
		ID: "apit_" + rand.Text(), OrganizationID: asked.OrganizationID, UserID: asked.UserID,
		CustomClaims: asked.CustomClaims, Expiry: asked.Expiry, CreatedAt: now.UTC(), Description: asked.Description,
		invalidated: new(atomic.Bool),
	}
	if err := key.check(now); err != nil {
		refuseAPI(w, http.StatusBadRequest, connect.CodeInvalidArgument, err.Error())
		return
	}
	info, ok := k.describe(key)
	if !ok {
		refuseAPI(w, http.StatusNotFound, connect.CodeNotFound, "there is no such organization, or the user does not belong to it")
		return
	}
	value := rand.Text() + rand.Text()
	key.Suffix = value[len(value)-4:]
	info.Suffix = key.Suffix
	k.mu.Lock()
	k.keys[sha256.Sum256([]byte(value))] = key
	k.keys[sha256.Sum256([]byte(key.ID))] = key
	k.mu.Unlock()
	writeJSON(w, http.StatusCreated, map[string]any{"token": value, "token_id": key.ID, "token_info": info})
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

// describe returns a key with what is to be told about its owner. A key is worth nothing when its organization was deleted, or
// its user is not an active member any more.
func (k *apiKeys) describe(key *apiKey) (info apiKey, ok bool) {
	info = *key
	organizations := k.environment.orgs.all()
	i := slices.IndexFunc(organizations, func(o Organization) bool { return o.ID == key.OrganizationID })
	if i < 0 {
		return apiKey{}, false
	}
	info.OrganizationExternalID = organizations[i].ExternalID
	if key.UserID == "" {
		return info, true
	}
	user, known := k.environment.oauth.User(key.UserID)
	info.Email, info.Roles = user.Email, user.Roles
	return info, known && user.OrganizationID == key.OrganizationID && !user.Deactivated
}

// validate tells whose key it is. A key that is unknown, expired or invalidated is not found.
func (k *apiKeys) validate(w http.ResponseWriter, r *http.Request) {
	key, ok := k.named(w, r)
	if !ok {
		return
	}
	if key != nil {
		if info, valid := k.describe(key); valid && !info.invalidated.Load() && (info.Expiry == nil || time.Now().Before(*info.Expiry)) {
			writeJSON(w, http.StatusOK, map[string]any{"token_info": info})
			return
		}
	}
	refuseAPI(w, http.StatusNotFound, connect.CodeNotFound, "the token is not valid")
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
	key.invalidated.Store(true)
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
