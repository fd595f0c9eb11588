package devenv

import (
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/scalekit-inc/scalekit-sdk-go/pkg/grpc/scalekit/v1/organizations/organizationsconnect"

	"github.com/scalekit-mcp/mcpauth/devenv/internal/oauth"
)

// handler puts the environment's parts at the paths where Scalekit has them. What is not here is 404.
func (e *Environment) handler() (http.Handler, error) {
	resource := "/resources/" + e.config.ResourceID
	server, err := oauth.New(e.oauthConfig())
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()

	mux.Handle("GET /.well-known/oauth-authorization-server"+resource, document(e.resourceMetadata()))
	mux.Handle("GET "+resource+"/.well-known/oauth-authorization-server", document(e.resourceMetadata()))
	mux.Handle("GET /.well-known/openid-configuration", document(e.openIDConfiguration()))
	mux.HandleFunc("GET /keys", e.serveKeys)

	mux.HandleFunc("POST "+resource+"/oauth/token", server.Token)
	mux.HandleFunc("POST "+resource+"/oauth/revoke", server.Revoke)
	mux.HandleFunc("POST /api/v1"+resource+"/clients:register", server.Register)

	organizations := newOrganizations(e.config.Users, e.tokens)
	path, service := organizationsconnect.NewOrganizationServiceHandler(organizations)
	mux.Handle(path, service)
	mux.HandleFunc("GET /api/v1/organizations/{id}", organizations.serveREST)
	mux.HandleFunc("POST /oauth/token", e.serveToken)
	mux.HandleFunc("GET /oauth/authorize", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "the local environment signs people in at "+e.url+resource+"/oauth/authorize only",
			http.StatusNotImplemented)
	})

	// The authorization endpoint is for navigation and must not be readable by scripts of other origins
	// (RFC 9700 §2.6), so it stays outside of CORS.
	outer := http.NewServeMux()
	outer.HandleFunc(resource+"/oauth/authorize", server.Authorize)
	outer.HandleFunc(resource+"/oauth/authorize/", server.Authorize)
	outer.Handle("/", allowOrigins(mux))
	return onlyLoopbackHosts(outer), nil
}

func (e *Environment) oauthConfig() oauth.Config {
	config := oauth.Config{
		Issuer:      e.url + "/resources/" + e.config.ResourceID,
		TokenIssuer: e.url + "/resources/" + e.config.ResourceID,
		PathPrefix:  "/resources/" + e.config.ResourceID,
		Audience:    []string{e.config.ServerURL, e.config.ResourceID},
		Resources:   acceptedResources(e.config.ServerURL),
		Scopes:      e.scopes(),
		TTL:         e.config.AccessTokenTTL,
		Keys:        e.keys,
		Logger:      e.config.Logger,
	}
	if e.config.BareIssuer {
		config.TokenIssuer = e.url
	}
	for _, u := range e.config.Users {
		config.Users = append(config.Users, oauth.User{
			ID: u.ID, Name: u.Name, Email: u.Email,
			OrganizationID: u.Organization.ID, OrganizationName: u.Organization.Name,
		})
	}
	return config
}

// acceptedResources are the values that clients may send as resource: the server's URL, and its origin with and
// without the slash that URL libraries append. Clients that predate resource indicators send none.
func acceptedResources(serverURL string) []string {
	resources := []string{serverURL}
	if u, err := url.Parse(serverURL); err == nil {
		origin := u.Scheme + "://" + u.Host
		for _, r := range []string{origin, origin + "/"} {
			if r != serverURL {
				resources = append(resources, r)
			}
		}
	}
	return resources
}

// allowOrigins lets scripts of any origin call next: browser clients discover, register and redeem by themselves, and
// there are no cookies that a foreign origin could ride on.
func allowOrigins(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Access-Control-Expose-Headers", "WWW-Authenticate")
		if r.Method == http.MethodOptions {
			h.Set("Access-Control-Allow-Methods", "GET, POST, OPTIONS")
			h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Accept, MCP-Protocol-Version")
			h.Set("Access-Control-Max-Age", "3600")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// onlyLoopbackHosts refuses requests under any other name: a website whose own name was made to resolve to loopback
// (DNS rebinding) would be of the same origin as the sign-in page, and could click it.
func onlyLoopbackHosts(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if !isLoopback(strings.Trim(host, "[]")) {
			http.Error(w, "the local environment answers under loopback names only", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
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
