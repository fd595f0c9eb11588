package mcpauthtest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/internal/testsession"
)

var discard = slog.New(slog.DiscardHandler)

// NewSession returns the session that a request with a token of these claims would have. It is for testing a tool or a
// handler without HTTP: put it into a context with [mcpauth.NewContext]. Every resource server accepts it. The claims are
// set on top of those of [Environment.Token]; a nil value removes one.
//
// The session comes out of a real verification, so NewSession panics when the claims would be refused, for example because
// of an exp in the past.
func NewSession(claims map[string]any) *mcpauth.Session {
	env := offline{offlineKeys()}
	rs, err := mcpauth.New(mcpauth.Config{
		EnvironmentURL: offlineURL,
		ResourceID:     resourceID,
		BaseURL:        "https://server.mcpauthtest.invalid",
		HTTPClient:     &http.Client{Transport: env},
		Cache:          mcpauth.CacheConfig{Disabled: true},
		Logger:         discard,
	})
	if err != nil {
		panic(fmt.Sprintf("mcpauthtest: %v", err))
	}
	key := env.keys.Current()
	token := key.Sign(
		mustJSON(map[string]any{"alg": "RS256", "kid": key.ID(), "typ": "JWT"}),
		mustJSON(with(defaultClaims(offlineURL+"/resources/"+resourceID), claims)),
	)
	decision := rs.Authenticate(context.Background(), mcpauth.Request{
		Method: http.MethodPost,
		Path:   rs.Path(),
		Header: func(name string) []string {
			if name == "Authorization" {
				return []string{"Bearer " + token}
			}
			return nil
		},
	})
	if decision.Session == nil {
		panic(fmt.Sprintf("mcpauthtest: NewSession: the claims %s are refused: %s", mustJSON(claims), decision.Outcome))
	}
	testsession.Everywhere(decision.Session)
	return decision.Session
}

const offlineURL = "https://environment.mcpauthtest.invalid"

var offlineKeys = sync.OnceValue(NewKeySet)

// offline is an http.RoundTripper that answers in place of an environment. Each session has a resource server of its own, so
// that tests on a clock of their own (testing/synctest) share nothing that depends on time.
type offline struct{ keys *KeySet }

// RoundTrip serves the key set at its default address, where core looks when there is no metadata.
func (env offline) RoundTrip(req *http.Request) (*http.Response, error) {
	resp := &http.Response{StatusCode: http.StatusNotFound, Body: http.NoBody, Request: req}
	if req.URL.Path == KeysPath {
		resp.StatusCode = http.StatusOK
		resp.Body = io.NopCloser(bytes.NewReader(env.keys.JWKS()))
	}
	return resp, nil
}
