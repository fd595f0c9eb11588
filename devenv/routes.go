package devenv

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"github.com/scalekit-inc/scalekit-sdk-go/pkg/grpc/scalekit/v1/organizations/organizationsconnect"

	"github.com/scalekit-mcp/mcpauth/devenv/internal/netaddr"
	"github.com/scalekit-mcp/mcpauth/devenv/internal/oauth"
	"github.com/scalekit-mcp/mcpauth/devenv/internal/page"
)

// handler serves the environment's endpoints at the paths where Scalekit has them. Other paths are 404.
func (e *Environment) handler() (http.Handler, error) {
	resource := "/resources/" + e.config.ResourceID
	server, err := oauth.New(e.oauthConfig())
	if err != nil {
		return nil, err
	}
	e.oauth, e.orgs = server, newOrganizations(e.config.Users, e.tokens)
	developer, err := e.developerPage()
	if err != nil {
		return nil, err
	}
	// Endpoints for clients, wherever they run.
	open := http.NewServeMux()
	open.Handle("GET /.well-known/oauth-authorization-server"+resource, document(e.resourceMetadata()))
	open.Handle("GET "+resource+"/.well-known/oauth-authorization-server", document(e.resourceMetadata()))
	open.Handle("GET /.well-known/openid-configuration", document(e.openIDConfiguration()))
	open.HandleFunc("GET /keys", e.serveKeys)
	open.HandleFunc("POST "+resource+"/oauth/token", e.serveResourceToken(server.Token))
	open.HandleFunc("POST "+resource+"/oauth/revoke", server.Revoke)
	open.HandleFunc("POST /api/v1"+resource+"/clients:register", server.Register)

	// Endpoints for the user's server, which has the credentials.
	closed := http.NewServeMux()
	path, service := organizationsconnect.NewOrganizationServiceHandler(e.orgs, connect.WithReadMaxBytes(maxFormBytes))
	closed.Handle(path, service)
	closed.HandleFunc("GET /api/v1/organizations/{id}", e.orgs.serveREST)
	keys := newAPIKeys(e).register(closed)
	closed.HandleFunc("POST /oauth/token", e.serveToken)
	closed.HandleFunc("GET /oauth/authorize", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "the local environment signs people in only at "+e.url+resource+"/oauth/authorize",
			http.StatusNotImplemented)
	})
	refuseOthers := http.NewCrossOriginProtection()

	outer := http.NewServeMux()
	outer.Handle("/", allowPages(open))
	for _, own := range append(keys, path, "/api/v1/organizations/", "/oauth/") {
		outer.Handle(own, refuseOthers.Handler(closed))
	}
	// The sign-in page is for navigation, and must not be readable by scripts of other origins (RFC 9700 §2.6).
	outer.HandleFunc(resource+"/oauth/authorize", server.Authorize)
	outer.HandleFunc(resource+"/oauth/authorize/", server.Authorize)
	all := http.NewServeMux()
	all.Handle("/", e.requests.record(e.faults.slowOrDown(outer)))
	all.Handle("GET /{$}", developer) // stays usable with both
	all.Handle(page.Prefix, developer)
	return e.onlyOwnHosts(all), nil
}

func (e *Environment) oauthConfig() oauth.Config {
	config := oauth.Config{
		Issuer:      e.url + "/resources/" + e.config.ResourceID,
		TokenIssuer: e.Issuer(),
		PathPrefix:  "/resources/" + e.config.ResourceID,
		Audience:    e.config.Audience,
		Resources:   acceptedResources(e.config.ServerURL),
		Scopes:      e.scopes(),
		TTL:         e.config.AccessTokenTTL,
		OrgClaims:   e.config.OrgClaims,
		Keys:        e.keys,
		Logger:      e.config.Logger,

		OnlyPublicDocuments: len(e.config.DangerouslyAllowNetwork) > 0,
	}
	for _, u := range e.config.Users {
		config.Users = append(config.Users, oauth.User{
			ID: u.ID, Name: u.Name, Email: u.Email,
			OrganizationID: u.Organization.ID, OrganizationName: u.Organization.Name, OrganizationExternalID: u.Organization.ExternalID,
			Roles: u.Roles, Permissions: u.Permissions,
		})
	}
	return config
}

// acceptedResources returns the values that clients may send as resource: the registered URL, its origin, and /mcp below each,
// because many servers are registered without the path at which they serve MCP. Clients that are older than resource
// indicators send none.
func acceptedResources(serverURL string) []string {
	trimmed := strings.TrimSuffix(serverURL, "/")
	resources := []string{serverURL, trimmed, trimmed + "/", trimmed + "/mcp"}
	if u, err := url.Parse(serverURL); err == nil {
		origin := u.Scheme + "://" + u.Host
		resources = append(resources, origin, origin+"/", origin+"/mcp")
	}
	slices.Sort(resources)
	return slices.Compact(resources)
}

// allowPages lets scripts call next (CORS). Scripts of any page may read what it publishes; those of pages on loopback may
// also register, redeem and revoke. There are no cookies that a page could misuse, but a web page that could register and
// redeem would only need one careless click.
func allowPages(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Vary", "Origin, Access-Control-Request-Method")
		method, methods := r.Method, "GET, POST, OPTIONS"
		if method == http.MethodOptions {
			method = r.Header.Get("Access-Control-Request-Method")
		}
		if isFromWeb(r.Header.Values("Origin")) {
			if method != http.MethodGet && method != http.MethodHead {
				writeJSON(w, http.StatusForbidden, map[string]string{
					"error": "access_denied", "error_description": "only pages on loopback may call this endpoint of the local environment",
				})
				return
			}
			methods = "GET, OPTIONS"
		}
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Access-Control-Expose-Headers", "WWW-Authenticate")
		if r.Method == http.MethodOptions {
			h.Set("Access-Control-Allow-Methods", methods)
			h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Accept, MCP-Protocol-Version")
			h.Set("Access-Control-Max-Age", "3600")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isFromWeb reports whether a website, or a page that hides its origin, sent these Origin lines. Programs send none, and
// installed applications and browser extensions have schemes of their own that a website can't have.
func isFromWeb(origins []string) bool {
	if len(origins) == 0 {
		return false
	}
	u, err := url.Parse(origins[0])
	if len(origins) > 1 || err != nil || u.Scheme == "" || u.Host == "" { // includes null
		return true
	}
	return (u.Scheme == "http" || u.Scheme == "https") && !netaddr.IsLoopback(u.Hostname())
}

func document(v any) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, v) })
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
