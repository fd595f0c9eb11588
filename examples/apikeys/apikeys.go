// Package apikeys lets holders of Scalekit's API keys into an MCP server, next to users with access tokens. Scalekit's guides
// call them API keys, and its API calls them tokens. A key is opaque text: Scalekit has to be asked whose it is.
//
//	keys := apikeys.New(config)
//	config.Credential, config.CredentialHeader = keys.Credential, "X-Api-Key"
package apikeys

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// life is how long a session of a key lasts. An open stream ends after it, and its client opens another with the same key. A
// new request asks Scalekit again after [mcpauth.CacheConfig.MaxAge], which is a minute.
const life = 5 * time.Minute

const maxAnswer = 64 << 10

// Keys asks a Scalekit environment about keys. It is safe for concurrent use.
type Keys struct {
	validate    string // the endpoint
	credentials clientcredentials.Config
	client      *http.Client

	turn    chan struct{} // held by the caller that reads or renews current; a mutex would ignore the end of a context
	current *oauth2.Token // of the environment's API, for credentials
}

// New returns Keys that ask with the environment's API credentials in config, at its InternalEnvironmentURL if it has one, and with
// its HTTPClient.
func New(config mcpauth.Config) *Keys {
	environment := strings.TrimSuffix(cmp.Or(config.InternalEnvironmentURL, config.EnvironmentURL), "/")
	client := new(http.Client)
	if config.HTTPClient != nil {
		*client = *config.HTTPClient
	}
	client.CheckRedirect = refuseRedirect
	return &Keys{
		validate: environment + "/api/v1/tokens:validate",
		credentials: clientcredentials.Config{
			ClientID: config.ClientID, ClientSecret: config.ClientSecret.Reveal(), TokenURL: environment + "/oauth/token", AuthStyle: oauth2.AuthStyleInParams,
		},
		client: client,
		turn:   make(chan struct{}, 1),
	}
}

// refuseRedirect keeps keys and the secret at the environment: a client would send a body again to where a redirect points.
func refuseRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Credential is the function for [mcpauth.Config.Credential]. It returns nil claims for a key that is unknown, expired or
// invalidated, and an error when Scalekit can't be asked.
func (k *Keys) Credential(ctx context.Context, _, value string) (*mcpauth.Claims, error) {
	// Scalekit validates the id of a key like the key itself. Ids are not secret: they are in logs and lists, and begin with
	// apit_. Keys are letters and digits only.
	if strings.ContainsFunc(value, notBase62) {
		return nil, nil //nolint:nilnil // mcpauth.Config.Credential documents it
	}
	status, body, err := k.ask(ctx, value)
	switch {
	case err != nil:
		return nil, err
	case status == http.StatusNotFound || status == http.StatusBadRequest:
		return nil, nil //nolint:nilnil // likewise
	case status != http.StatusOK:
		return nil, fmt.Errorf("asking Scalekit about an API key: status %d", status) // the body could repeat the key
	}
	var answer struct {
		Key key `json:"token_info"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, errors.New("asking Scalekit about an API key: the answer is not the JSON of a key")
	}
	return answer.Key.claims(time.Now())
}

func notBase62(r rune) bool {
	return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
}

// A key is what Scalekit tells about one.
type key struct {
	ID                     string            `json:"token_id"`
	OrganizationID         string            `json:"organization_id"`
	OrganizationExternalID string            `json:"organization_external_id"`
	UserID                 string            `json:"user_id"` // empty for a key of the whole organization
	UserExternalID         string            `json:"user_external_id"`
	CustomClaims           map[string]string `json:"custom_claims"` // of your program's choice, when it creates a key
	Roles                  []string          `json:"roles"`
	Expiry                 time.Time         `json:"expiry"` // zero if it has none
}

// claims returns whose key it is. A key of a user acts for that user. A key of an organization is a program of its own: it is
// its own subject, and Session.IsMachine is true. Its scopes are in the custom claim scope, separated by spaces.
func (k key) claims(now time.Time) (*mcpauth.Claims, error) {
	if k.ID == "" || k.OrganizationID == "" {
		return nil, errors.New("asking Scalekit about an API key: the answer names no key or no organization")
	}
	claims := &mcpauth.Claims{
		Subject: k.UserID, TokenID: k.ID, OrganizationID: k.OrganizationID,
		Scopes: strings.Fields(k.CustomClaims["scope"]), Roles: k.Roles, ExpiresAt: now.Add(life),
		ExternalOrganizationID: k.OrganizationExternalID, ExternalUserID: k.UserExternalID,
	}
	if k.UserID == "" {
		claims.Subject, claims.ClientID = k.ID, k.ID
	}
	if !k.Expiry.IsZero() && k.Expiry.Before(claims.ExpiresAt) {
		claims.ExpiresAt = k.Expiry
	}
	return claims, nil
}

// ask sends a key to Scalekit, in the body, where no log of a proxy or of an error has it.
func (k *Keys) ask(ctx context.Context, value string) (status int, body []byte, err error) {
	token, err := k.token(ctx)
	if err != nil {
		return 0, nil, fmt.Errorf("asking Scalekit for a token: %w", err)
	}
	question, err := json.Marshal(map[string]string{"token": value})
	if err != nil {
		return 0, nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, k.validate, bytes.NewReader(question))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	token.SetAuthHeader(req)
	resp, err := k.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusUnauthorized {
		k.forget(ctx, token)
	}
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return resp.StatusCode, body, err
}

// token returns an access token for the environment's API. One caller renews it while the others wait, for as long as their
// requests may.
func (k *Keys) token(ctx context.Context) (*oauth2.Token, error) {
	select {
	case k.turn <- struct{}{}:
		defer func() { <-k.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if !k.current.Valid() {
		token, err := k.credentials.Token(context.WithValue(ctx, oauth2.HTTPClient, k.client))
		if err != nil {
			return nil, err
		}
		k.current = token
	}
	return k.current, nil
}

// forget drops a token that the API does not accept, so that the next request gets another.
func (k *Keys) forget(ctx context.Context, token *oauth2.Token) {
	select {
	case k.turn <- struct{}{}:
		defer func() { <-k.turn }()
	case <-ctx.Done():
		return
	}
	if k.current == token {
		k.current = nil
	}
}
