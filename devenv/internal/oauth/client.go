package oauth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/luikyv/go-oidc/pkg/goidc"
)

// clientMetadata is what a client says about itself, by registration (RFC 7591 §2) or in its metadata document.
type clientMetadata struct {
	ClientID      string   `json:"client_id,omitempty"` // only in a document
	Name          string   `json:"client_name,omitempty"`
	URI           string   `json:"client_uri,omitempty"`
	LogoURI       string   `json:"logo_uri,omitempty"`
	RedirectURIs  []string `json:"redirect_uris"`
	AuthMethod    string   `json:"token_endpoint_auth_method,omitempty"`
	GrantTypes    []string `json:"grant_types,omitempty"`
	ResponseTypes []string `json:"response_types,omitempty"`
	Scope         string   `json:"scope,omitempty"`
}

// Limits of one client's metadata. maxClients of them have to fit into memory.
const (
	maxMetadataBytes = 16 << 10
	maxRedirectURIs  = 32
)

// Register is the registration endpoint. go-oidc's own endpoint refuses private-use redirect schemes without a dot, such as
// cursor: and vscode:, and issues credentials for a management API that Scalekit does not have.
//
// Every client becomes public and may use codes and refresh tokens with every scope, whatever it asked for. The response
// says so, as RFC 7591 §3.2.1 requires.
func (s *Server) Register(w http.ResponseWriter, r *http.Request) {
	if !isJSON(r.Header.Values("Content-Type")) {
		writeError(w, http.StatusUnsupportedMediaType, "invalid_client_metadata", "send the registration as Content-Type: application/json")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxMetadataBytes))
	if err != nil {
		status := http.StatusBadRequest
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		writeError(w, status, "invalid_client_metadata", fmt.Sprintf("the body can't be read; send at most %d bytes", maxMetadataBytes))
		return
	}
	metadata, err := readMetadata(body)
	if err == nil {
		err = metadata.validate()
	}
	if err != nil {
		code := "invalid_client_metadata"
		if errors.Is(err, errRedirectURI) {
			code = "invalid_redirect_uri"
		}
		writeError(w, http.StatusBadRequest, code, err.Error())
		return
	}
	client := metadata.client(randomID("m2m_")(r.Context()), s.config.Scopes)
	s.store.clients.put(client)
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

// isJSON accepts one Content-Type line that says application/json, in UTF-8. Browsers send three other types to foreign
// origins without a preflight (text/plain and those of forms), so nothing that could be one of them is accepted.
func isJSON(contentTypes []string) bool {
	if len(contentTypes) != 1 {
		return false
	}
	mediaType, parameters, err := mime.ParseMediaType(contentTypes[0])
	if err != nil || mediaType != "application/json" {
		return false
	}
	charset, given := parameters["charset"]
	return !given || strings.EqualFold(charset, "utf-8")
}

// readMetadata reads one JSON object. It is stricter than encoding/json, which ignores the case of names, keeps the last of
// repeated members, and stops reading at the end of the object.
func readMetadata(body []byte) (clientMetadata, error) {
	var m clientMetadata
	members, err := readObject(body)
	if err != nil {
		return m, err
	}
	for name, value := range map[string]any{
		"client_id": &m.ClientID, "client_name": &m.Name, "client_uri": &m.URI, "logo_uri": &m.LogoURI,
		"redirect_uris": &m.RedirectURIs, "token_endpoint_auth_method": &m.AuthMethod, "grant_types": &m.GrantTypes,
		"response_types": &m.ResponseTypes, "scope": &m.Scope,
	} {
		if member, ok := members[name]; ok && json.Unmarshal(member, value) != nil {
			return m, fmt.Errorf("%s has a value of the wrong type (RFC 7591 §2)", name)
		}
	}
	return m, nil
}

var errNotObject = errors.New("the body is not one JSON object of client metadata")

func readObject(body []byte) (map[string]json.RawMessage, error) {
	if !utf8.Valid(body) {
		return nil, errNotObject
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return nil, errNotObject
	}
	members := make(map[string]json.RawMessage)
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil, errNotObject
		}
		key, _ := name.(string) // the decoder accepts only strings here
		if _, ok := members[key]; ok {
			return nil, fmt.Errorf("the member %q is there twice", key)
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil, errNotObject
		}
		members[key] = value
	}
	if _, err := decoder.Token(); err != nil {
		return nil, errNotObject
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errNotObject
	}
	return members, nil
}

// client returns the client as go-oidc needs it.
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
		return fmt.Errorf("%w: send at least one", errRedirectURI)
	}
	if len(m.RedirectURIs) > maxRedirectURIs {
		return fmt.Errorf("%w: %d are too many; send at most %d", errRedirectURI, len(m.RedirectURIs), maxRedirectURIs)
	}
	for _, uri := range m.RedirectURIs {
		if err := checkRedirectURI(uri); err != nil {
			return fmt.Errorf("%w: %q %w", errRedirectURI, uri, err)
		}
	}
	if len(m.GrantTypes) > 0 && !slices.Contains(m.GrantTypes, "authorization_code") {
		return errors.New("grant_types: authorization_code is missing; it is the only way to get a token here")
	}
	if len(m.ResponseTypes) > 0 && !slices.Contains(m.ResponseTypes, "code") {
		return errors.New("response_types: code is missing; it is the only supported one")
	}
	return nil
}
