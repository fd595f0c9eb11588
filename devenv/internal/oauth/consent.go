package oauth

import (
	"bytes"
	"crypto/rand"
	"crypto/subtle"
	_ "embed"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/luikyv/go-oidc/pkg/goidc"
)

//go:embed consent.html
var consentHTML string

var pages = template.Must(template.New("pages").Parse(consentHTML))

// Keys of AuthnSession.Store.
const (
	storedCSRF     = "csrf"
	storedAnswered = "answered"
)

// consent asks who signs in, and whether the client may act for that person. go-oidc calls it for the authorization request,
// and for every request below the endpoint's path that names the session.
func (s *Server) consent(w http.ResponseWriter, r *http.Request, session *goidc.AuthnSession, client *goidc.Client) (goidc.Status, error) {
	answering := r.PathValue("callback") != ""
	if !answering {
		if session.Prompt == goidc.PromptTypeNone {
			return goidc.StatusFailure, goidc.NewError(goidc.ErrorCodeLoginRequired, "this environment keeps no sign-in; leave prompt=none out")
		}
		session.Store = map[string]any{storedCSRF: rand.Text()}
	}
	if answered, _ := session.Store[storedAnswered].(bool); answered {
		renderMessage(w, http.StatusBadRequest, "This form was answered already. Start again from the client.")
		return goidc.StatusPending, nil
	}
	if !answering || r.Method != http.MethodPost {
		return goidc.StatusPending, s.renderConsent(w, session, client)
	}

	csrf, _ := session.Store[storedCSRF].(string)
	if csrf == "" || subtle.ConstantTimeCompare([]byte(r.PostFormValue("csrf")), []byte(csrf)) != 1 {
		renderMessage(w, http.StatusForbidden, "The field csrf has a wrong value. Copy it from the form.")
		return goidc.StatusPending, nil
	}
	if !allowsRedirect(client.RedirectURIs, session.RedirectURI) {
		renderMessage(w, http.StatusBadRequest, "The client no longer lists the redirect URI. Start again from the client.")
		return goidc.StatusPending, nil
	}
	switch r.PostFormValue("decision") {
	case "approve":
		user, ok := s.users.get(r.PostFormValue("user"))
		if ok && user.Deactivated {
			renderMessage(w, http.StatusForbidden, "This user was deactivated in the directory. Choose another one.")
			return goidc.StatusPending, nil
		}
		if !ok {
			renderMessage(w, http.StatusBadRequest, "The field user is not the id of a user. Choose one from the form.")
			return goidc.StatusPending, nil
		}
		session.Store[storedAnswered] = true
		session.Subject, session.Username = user.ID, user.Email
		session.GrantedScopes = strings.Join(scopesOf(session.Scopes), " ")
		// Both the server's URL and its origin are granted, not only the one that was asked for. They mean the same, and
		// some clients send one here and the other at the token endpoint.
		session.GrantedResources = s.config.Resources
		return goidc.StatusSuccess, nil
	case "deny":
		session.Store[storedAnswered] = true
		return goidc.StatusFailure, errors.New("the user denied the request")
	default:
		renderMessage(w, http.StatusBadRequest, "The field decision has to be approve or deny.")
		return goidc.StatusPending, nil
	}
}

type consentPage struct {
	Client, ClientID, RedirectTo string
	Action, CSRF                 string
	Resource                     string
	Scopes                       []string
	Users                        []User
	Selected                     string
}

func (s *Server) renderConsent(w http.ResponseWriter, session *goidc.AuthnSession, client *goidc.Client) error {
	page := consentPage{
		Client:     client.Name,
		ClientID:   client.ID,
		RedirectTo: session.RedirectURI,
		Action:     s.config.Issuer + "/oauth/authorize/" + url.PathEscape(session.ID),
		Resource:   s.config.Audience[0],
		Scopes:     scopesOf(session.Scopes),
		Users:      s.users.all(),
	}
	page.CSRF, _ = session.Store[storedCSRF].(string)
	if page.Client == "" {
		page.Client = client.ID
	}
	for _, u := range page.Users {
		if page.Selected == "" && !u.Deactivated {
			page.Selected = u.ID
		}
		if !u.Deactivated && session.LoginHint != "" && (u.ID == session.LoginHint || u.Email == session.LoginHint) {
			page.Selected = u.ID
		}
	}
	return render(w, http.StatusOK, "consent", page)
}

// renderError shows an error that can't be sent to the client, because the client or its redirect URI is wrong.
func renderError(w http.ResponseWriter, _ *http.Request, err error) error {
	return render(w, http.StatusBadRequest, "message", err.Error())
}

func renderMessage(w http.ResponseWriter, status int, text string) {
	_ = render(w, status, "message", text)
}

// render executes the template into memory first, so that an error in it does not send half a page.
func render(w http.ResponseWriter, status int, name string, data any) error {
	var page bytes.Buffer
	if err := pages.ExecuteTemplate(&page, name, data); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, err := w.Write(page.Bytes())
	return err
}

// secureHeaders keep the page out of frames, and scripts out of the page. There is no form-action: browsers would also apply
// it to the redirect to the client that follows the form.
func secureHeaders(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// scopesOf splits a scope parameter and drops repeated scopes.
func scopesOf(parameter string) []string {
	var scopes []string
	for s := range strings.FieldsSeq(parameter) {
		if !slices.Contains(scopes, s) {
			scopes = append(scopes, s)
		}
	}
	return scopes
}
