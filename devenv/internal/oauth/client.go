package oauth

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/luikyv/go-oidc/pkg/goidc"
)

// clientMetadata is what a client says about itself, by registration (RFC 7591 §2) or in its metadata document.
type clientMetadata struct {
	ClientID      string   `json:"client_id,omitempty"` // in a document only
	Name          string   `json:"client_name,omitempty"`
	URI           string   `json:"client_uri,omitempty"`
	LogoURI       string   `json:"logo_uri,omitempty"`
	RedirectURIs  []string `json:"redirect_uris"`
	AuthMethod    string   `json:"token_endpoint_auth_method,omitempty"`
	GrantTypes    []string `json:"grant_types,omitempty"`
	ResponseTypes []string `json:"response_types,omitempty"`
	Scope         string   `json:"scope,omitempty"`
}

// Register is the registration endpoint. go-oidc's own refuses private-use redirect schemes without a dot, as cursor:
// and vscode: are, and issues credentials for a management API that Scalekit does not have.
//
// Every client becomes public and may use codes and refresh tokens with every scope, whatever it asked for; the answer
// says so, as RFC 7591 §3.2.1 has it.
func (s *Server) Register(w http.ResponseWriter, r *http.Request) {
	var metadata clientMetadata
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBodyBytes)).Decode(&metadata); err != nil {
		writeError(w, http.StatusBadRequest, "invalid_client_metadata", "the body is not a JSON object of client metadata")
		return
	}
	if err := metadata.validate(); err != nil {
		code := "invalid_client_metadata"
		if errors.Is(err, errRedirectURI) {
			code = "invalid_redirect_uri"
		}
		writeError(w, http.StatusBadRequest, code, err.Error())
		return
	}
	client := metadata.client(randomID("m2m_")(r.Context()), s.config.Scopes)
	if err := s.store.SaveClient(r.Context(), client); err != nil {
		writeError(w, http.StatusInternalServerError, "server_error", "the client could not be stored")
		return
	}
	metadata.AuthMethod = string(client.TokenAuthnMethod)
	metadata.GrantTypes = []string{"authorization_code", "refresh_token"}
	metadata.ResponseTypes = []string{"code"}
	metadata.Scope = client.ScopeIDs
	metadata.ClientID = client.ID
	writeJSON(w, http.StatusCreated, struct {
		clientMetadata
		IssuedAt int64 `json:"client_id_issued_at"`
	}{metadata, time.Now().Unix()})
}

// client is how go-oidc knows the client.
func (m clientMetadata) client(id string, scopes []string) *goidc.Client {
	return &goidc.Client{
		ID:        id,
		CreatedAt: int(time.Now().Unix()),
		ClientMeta: goidc.ClientMeta{
			Name:             m.Name,
			RedirectURIs:     m.RedirectURIs,
			GrantTypes:       []goidc.GrantType{goidc.GrantAuthorizationCode, goidc.GrantRefreshToken},
			ResponseTypes:    []goidc.ResponseType{goidc.ResponseTypeCode},
			ScopeIDs:         strings.Join(scopes, " "),
			TokenAuthnMethod: goidc.AuthnMethodNone,
		},
	}
}

var errRedirectURI = errors.New("redirect_uris")

func (m clientMetadata) validate() error {
	if len(m.RedirectURIs) == 0 {
		return fmt.Errorf("%w: at least one is needed", errRedirectURI)
	}
	for _, uri := range m.RedirectURIs {
		if err := checkRedirectURI(uri); err != nil {
			return fmt.Errorf("%w: %q %w", errRedirectURI, uri, err)
		}
	}
	if len(m.GrantTypes) > 0 && !slices.Contains(m.GrantTypes, "authorization_code") {
		return errors.New("grant_types: authorization_code is the only way to get a token here")
	}
	if len(m.ResponseTypes) > 0 && !slices.Contains(m.ResponseTypes, "code") {
		return errors.New("response_types: only code is supported")
	}
	return nil
}

// checkRedirectURI allows https anywhere, http on loopback, and private-use schemes (RFC 8252 §7).
func checkRedirectURI(uri string) error {
	u, err := url.Parse(uri)
	switch {
	case err != nil || !u.IsAbs():
		return errors.New("is not an absolute URL")
	case strings.Contains(uri, "#"):
		return errors.New("has a fragment")
	case u.Scheme == "https" && u.Host == "":
		return errors.New("has no host")
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return errors.New("is http, but not on loopback")
	case slices.Contains([]string{"javascript", "data", "vbscript", "file", "blob", "about"}, u.Scheme):
		return errors.New("has a scheme that browsers run or read themselves")
	}
	return nil
}

// allowsRedirect compares as RFC 9700 §2.1 has it: exactly, but for the port of a loopback address, which a native
// client only knows once it listens (RFC 8252 §7.3).
func allowsRedirect(registered []string, asked string) bool {
	if slices.Contains(registered, asked) {
		return true
	}
	portless, ok := withoutLoopbackPort(asked)
	return ok && slices.ContainsFunc(registered, func(uri string) bool {
		have, ok := withoutLoopbackPort(uri)
		return ok && have == portless
	})
}

func withoutLoopbackPort(uri string) (string, bool) {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "http" || !isLoopback(u.Hostname()) || u.User != nil || strings.Contains(uri, "#") {
		return "", false
	}
	u.Host = u.Hostname()
	return u.String(), true
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
