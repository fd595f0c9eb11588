package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
)

// Authorize is the authorization endpoint and, below it, the answers to the sign-in page.
func (s *Server) Authorize(w http.ResponseWriter, r *http.Request) {
	secureHeaders(w.Header())
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		w.Header().Set("Allow", "GET, POST")
		renderMessage(w, http.StatusMethodNotAllowed, "This address is for GET and POST.")
		return
	}
	if !isNavigation(r) {
		renderMessage(w, http.StatusForbidden, "This address is for the address bar of a browser, not for images, frames and scripts.")
		return
	}
	if !parseForm(w, r) {
		return
	}
	if r.URL.Path != s.config.PathPrefix+"/oauth/authorize" {
		s.answer(w, r)
		return
	}
	params := r.URL.Query()
	if r.Method == http.MethodPost {
		params = r.PostForm
	}
	if err := s.learn(r.Context(), params); err != nil {
		s.config.Logger.DebugContext(r.Context(), "refused an authorization request", "error", err)
		renderMessage(w, http.StatusBadRequest, err.Error())
		return
	}
	// go-oidc compares redirect URIs byte for byte, with an exception for loopback that assumes registration without a
	// port. The store is told what was asked for, and decides (RFC 8252 §7.3).
	ctx := context.WithValue(r.Context(), redirectKey{}, params.Get("redirect_uri"))
	s.provider.ServeHTTP(w, r.WithContext(ctx))
}

// answer takes what a person decided on the sign-in page, or shows the page again.
func (s *Server) answer(w http.ResponseWriter, r *http.Request) {
	if err := s.sameSite.Check(r); err != nil {
		renderMessage(w, http.StatusForbidden, "This form was sent from another site.")
		return
	}
	s.exchange.Lock()
	defer s.exchange.Unlock()
	s.provider.ServeHTTP(w, r)
}

// isNavigation reports whether r may be a person who looks at a page: browsers say where else an answer goes (Fetch
// Metadata), programs say nothing. A hostile page can still navigate, but only by leaving, and not a thousand times.
func isNavigation(r *http.Request) bool {
	dest := r.Header.Get("Sec-Fetch-Dest")
	return (dest == "" || dest == "document") && r.Header.Get("Sec-Purpose") == "" // which prefetches have
}

// learn fetches the metadata document of the client that an authorization request names, if its id is a URL. This is
// the only place that fetches anything: what comes later in the flow finds the client in the store.
//
// Any website can send a browser here, so the request has to be one that could succeed. Its mistakes are shown instead of
// being sent to the client, since where that is stands in the document.
func (s *Server) learn(ctx context.Context, params url.Values) error {
	for _, name := range []string{"client_id", "redirect_uri", "response_type", "code_challenge", "code_challenge_method"} {
		if len(params[name]) > 1 {
			return fmt.Errorf("%s is there twice (RFC 6749 §3.1)", name)
		}
	}
	id := params.Get("client_id")
	if !isDocumentURL(id) {
		return nil
	}
	if params.Get("response_type") != "code" {
		return errors.New("response_type is not code")
	}
	if params.Get("code_challenge_method") != "S256" || params.Get("code_challenge") == "" {
		return errors.New("PKCE with S256 is required: code_challenge and code_challenge_method")
	}
	redirect := params.Get("redirect_uri")
	if err := checkRedirectURI(redirect); err != nil {
		return fmt.Errorf("redirect_uri: %q %w", redirect, err)
	}
	metadata, err := s.documents.fetch(ctx, id)
	if err != nil {
		return fmt.Errorf("client metadata document: %w", err)
	}
	s.store.clients.put(metadata.client(id, s.config.Scopes))
	return nil
}
