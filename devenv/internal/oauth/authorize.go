package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
)

// Authorize is the authorization endpoint. Requests below its path answer the sign-in page.
func (s *Server) Authorize(w http.ResponseWriter, r *http.Request) {
	secureHeaders(w.Header())
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		w.Header().Set("Allow", "GET, POST")
		renderMessage(w, http.StatusMethodNotAllowed, "This address accepts only GET and POST.")
		return
	}
	if !isNavigation(r) {
		renderMessage(w, http.StatusForbidden, "Open this address in the address bar of a browser. It does not work in images, frames and scripts.")
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
	// go-oidc compares redirect URIs byte for byte, and its exception for loopback expects a registered URI without a port.
	// So the store gets the requested URI, and compares it by RFC 8252 §7.3.
	ctx := context.WithValue(r.Context(), redirectKey{}, params.Get("redirect_uri"))
	s.provider.ServeHTTP(w, r.WithContext(ctx))
}

// answer handles what a person chose on the sign-in page, or shows the page again.
func (s *Server) answer(w http.ResponseWriter, r *http.Request) {
	if err := s.sameSite.Check(r); err != nil {
		renderMessage(w, http.StatusForbidden, "This form was sent from another site. Start again from the client.")
		return
	}
	s.exchange.Lock()
	defer s.exchange.Unlock()
	s.provider.ServeHTTP(w, r)
}

// isNavigation reports whether a person may be about to look at the response. Browsers say when a response is for something
// else (Fetch Metadata); programs send no such header. A hostile page can still navigate, but only by leaving itself, and so
// not a thousand times.
func isNavigation(r *http.Request) bool {
	dest := r.Header.Get("Sec-Fetch-Dest")
	return (dest == "" || dest == "document") && r.Header.Get("Sec-Purpose") == "" // prefetches have it
}

// learn fetches the metadata document of the client that an authorization request names, if its id is a URL. Nothing else
// fetches anything: later requests of the flow find the client in the store.
//
// Any website can send a browser here, so the request has to be one that could succeed. Its mistakes are shown to the person
// and not sent to the client, because the client's address is in the document.
func (s *Server) learn(ctx context.Context, params url.Values) error {
	for _, name := range []string{"client_id", "redirect_uri", "response_type", "code_challenge", "code_challenge_method"} {
		if len(params[name]) > 1 {
			return fmt.Errorf("the parameter %s is sent twice; send it once (RFC 6749 §3.1)", name)
		}
	}
	id := params.Get("client_id")
	if !isDocumentURL(id) {
		return nil
	}
	if params.Get("response_type") != "code" {
		return errors.New("response_type is not supported; send response_type=code")
	}
	if params.Get("code_challenge_method") != "S256" || params.Get("code_challenge") == "" {
		return errors.New("PKCE is required; send code_challenge and code_challenge_method=S256")
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
