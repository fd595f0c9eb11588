package devenv

import (
	"net/http"
	"slices"

	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// resourceMetadata is the authorization server metadata of the MCP server (RFC 8414 §2).
func (e *Environment) resourceMetadata() map[string]any {
	doc := mcpauthtest.AuthorizationServerMetadata(e.url, e.config.ResourceID)
	doc["scopes_supported"] = e.scopes()
	doc["revocation_endpoint"] = e.url + "/resources/" + e.config.ResourceID + "/oauth/revoke"
	doc["revocation_endpoint_auth_methods_supported"] = []string{"none"}
	doc["authorization_response_iss_parameter_supported"] = true // RFC 9207
	return doc
}

// openIDConfiguration describes the environment as a whole, which registers no MCP clients.
func (e *Environment) openIDConfiguration() map[string]any {
	return map[string]any{
		"issuer":                                e.url,
		"authorization_endpoint":                e.url + "/oauth/authorize",
		"token_endpoint":                        e.url + "/oauth/token",
		"jwks_uri":                              e.url + "/keys",
		"response_types_supported":              []string{"code"},
		"grant_types_supported":                 []string{"authorization_code", "client_credentials", "refresh_token"},
		"subject_types_supported":               []string{"public"},
		"id_token_signing_alg_values_supported": []string{"RS256"},
		"scopes_supported":                      e.scopes(),
		"token_endpoint_auth_methods_supported": []string{"client_secret_post", "client_secret_basic"},
		"code_challenge_methods_supported":      []string{"S256"},
	}
}

func (e *Environment) scopes() []string {
	scopes := []string{"openid", "profile", "email", "offline_access"}
	for _, s := range e.config.Scopes {
		if !slices.Contains(scopes, s) {
			scopes = append(scopes, s)
		}
	}
	return scopes
}

func (e *Environment) serveKeys(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(e.keys.JWKS())
}
