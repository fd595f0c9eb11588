package oauth

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/luikyv/go-oidc/pkg/goidc"
)

// Token is the token endpoint. It signs its access tokens again: go-oidc always writes typ at+jwt, a grant_id and a jti, while
// Scalekit writes typ JWT and neither of the two.
func (s *Server) Token(w http.ResponseWriter, r *http.Request) {
	if !parseForm(w, r) {
		return
	}
	answer := newRecorder()
	s.exchange.Lock()
	s.provider.ServeHTTP(answer, r)
	s.exchange.Unlock()
	if answer.status == http.StatusOK {
		if err := s.reissue(&answer.body); err != nil {
			s.config.Logger.WarnContext(r.Context(), "the token could not be reissued", "error", err)
			writeError(w, http.StatusInternalServerError, "server_error", "the token could not be made")
			return
		}
	}
	answer.sendTo(w)
}

// Revoke is the revocation endpoint (RFC 7009). An access token is a JWT that resource servers verify by themselves, so
// revoking one ends its session: its refresh token stops working.
//
// go-oidc's own endpoint would look for its issuer and grant_id in the token, find neither, and answer 200 without doing
// anything.
func (s *Server) Revoke(w http.ResponseWriter, r *http.Request) {
	if !parseForm(w, r) {
		return
	}
	s.exchange.Lock()
	defer s.exchange.Unlock()
	if issued, ok := s.store.issued.find(r.PostFormValue("token")); ok {
		if r.PostFormValue("client_id") != issued.client {
			writeError(w, http.StatusUnauthorized, "invalid_client", "client_id is not the client that the token was issued to")
			return
		}
		s.store.RevokeGrant(issued.grant)
		w.WriteHeader(http.StatusOK)
		return
	}
	s.provider.ServeHTTP(w, r)
}

// tokenClaims adds Scalekit's claims of access tokens to those of go-oidc. The tokens of MCP users are documented without an
// organization.
func (s *Server) tokenClaims(_ context.Context, _ *goidc.Token, grant *goidc.Grant) map[string]any {
	claims := map[string]any{
		"iss": s.config.TokenIssuer,
		"aud": s.config.Audience,
		"sid": grant.ID,
	}
	if u, ok := s.users.get(grant.Subject); ok && s.config.OrgClaims {
		maps.Copy(claims, u.organizationClaims())
	}
	return claims
}

func (s *Server) idTokenClaims(_ context.Context, grant *goidc.Grant) map[string]any {
	claims := map[string]any{"sid": grant.ID}
	if u, ok := s.users.get(grant.Subject); ok {
		claims["name"], claims["email"] = u.Name, u.Email
		if u.OrganizationID != "" {
			claims["oid"] = u.OrganizationID
		}
	}
	return claims
}

// reissue replaces the access token in a token response with one in Scalekit's form, and remembers it.
func (s *Server) reissue(body *bytes.Buffer) error {
	var response map[string]any
	if err := json.Unmarshal(body.Bytes(), &response); err != nil {
		return err
	}
	token, _ := response["access_token"].(string)
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return errors.New("the access token is not a JWT")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(payload))
	decoder.UseNumber() // a float64 would be written as 1.7e+09
	var claims map[string]any
	if err := decoder.Decode(&claims); err != nil {
		return err
	}
	delete(claims, "grant_id")
	delete(claims, "jti") // the session is what tokens of MCP users name
	if payload, err = json.Marshal(claims); err != nil {
		return err
	}
	key := s.config.Keys.Current()
	header, err := json.Marshal(map[string]string{"alg": "RS256", "kid": key.ID(), "typ": "JWT"})
	if err != nil {
		return err
	}
	token = key.Sign(header, payload)
	grant, _ := claims["sid"].(string)
	client, _ := claims["client_id"].(string)
	s.store.issued.remember(token, issuedToken{grant: grant, client: client, key: key.ID(), claims: claims, expires: expiry(claims)})

	delete(response, "resources") // not in any standard
	response["access_token"] = token
	body.Reset()
	return json.NewEncoder(body).Encode(response)
}

// issuedTokens finds the session of an access token by the token's hash, until it expires.
type issuedTokens struct {
	mu     sync.Mutex
	byHash map[[sha256.Size]byte]issuedToken
}

type issuedToken struct {
	grant, client string
	key           string // its id
	claims        map[string]any
	expires       time.Time
}

func expiry(claims map[string]any) time.Time {
	exp, _ := claims["exp"].(json.Number)
	seconds, _ := exp.Int64() // go-oidc writes whole seconds
	return time.Unix(seconds, 0)
}

func (t *issuedTokens) remember(token string, issued issuedToken) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	for hash, old := range t.byHash {
		if now.After(old.expires) {
			delete(t.byHash, hash)
		}
	}
	t.byHash[sha256.Sum256([]byte(token))] = issued
}

func (t *issuedTokens) find(token string) (issuedToken, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	issued, ok := t.byHash[sha256.Sum256([]byte(token))]
	return issued, ok
}

// recorder holds a response back until it has been changed.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func newRecorder() *recorder { return &recorder{header: make(http.Header), status: http.StatusOK} }

func (a *recorder) Header() http.Header         { return a.header }
func (a *recorder) WriteHeader(status int)      { a.status = status }
func (a *recorder) Write(p []byte) (int, error) { return a.body.Write(p) }

func (a *recorder) sendTo(w http.ResponseWriter) {
	maps.Copy(w.Header(), a.header)
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body.Bytes())
}
