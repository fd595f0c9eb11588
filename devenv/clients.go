package devenv

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Client is a program that was registered on the MCP server by hand: in Scalekit's dashboard under MCP Servers, Clients. It
// has a secret, and gets access tokens for itself by client credentials, at /oauth/token.
type Client struct {
	ID     string   // starts with m2m_; the token's client_id, and its sub
	Secret string   // random if it is empty
	Scopes []string // what the client may ask for; only the scopes of the MCP server among them are granted
}

// CreateClient registers a client on the MCP server, with a new id and secret.
func (e *Environment) CreateClient(scopes ...string) Client {
	client := Client{ID: "m2m_" + rand.Text(), Scopes: slices.Clone(scopes)}.withDefaults()
	e.clients.add(client)
	return client
}

// Clients returns the clients of [Config.Clients] and of [Environment.CreateClient], with their secrets.
func (e *Environment) Clients() []Client { return e.clients.all() }

func (c Client) withDefaults() Client {
	if c.Secret == "" {
		c.Secret = rand.Text()
	}
	c.Scopes = slices.Clone(c.Scopes)
	return c
}

func checkClients(clients []Client) []error {
	var errs []error
	known := make(map[string]bool)
	for _, c := range clients {
		if !strings.HasPrefix(c.ID, "m2m_") {
			errs = append(errs, fmt.Errorf("devenv: Clients: id %q does not start with m2m_; give one like m2m_agent", c.ID))
		}
		if known[c.ID] {
			errs = append(errs, fmt.Errorf("devenv: Clients: id %q is given twice; give each client an id of its own", c.ID))
		}
		known[c.ID] = true
		for _, scope := range c.Scopes {
			if !scopePattern.MatchString(scope) {
				errs = append(errs, fmt.Errorf("devenv: Clients: %q is not a scope (RFC 6749 §3.3); give names without spaces, quotes and backslashes, like greet:write", scope))
			}
		}
	}
	return errs
}

// resourceClients are the clients that were registered on the MCP server by hand. Those that register themselves are public,
// and package oauth has them.
type resourceClients struct {
	mu   sync.Mutex
	list []Client
}

func (t *resourceClients) add(c Client) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.list = append(t.list, c)
}

func (t *resourceClients) all() []Client {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.list)
}

// find returns the client with these credentials.
func (t *resourceClients) find(presented credentials) (Client, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.IndexFunc(t.list, func(c Client) bool { return presented.are(c.ID, c.Secret) })
	if i < 0 {
		return Client{}, false
	}
	return t.list[i], true
}

// serveResourceToken is the token endpoint that the metadata of the MCP server names. Clients with a secret get tokens there,
// too, because MCP clients look for the endpoint in that metadata. Everything else is answered by next.
func (e *Environment) serveResourceToken(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
		if err := r.ParseForm(); err != nil {
			refuseToken(w, http.StatusBadRequest, "invalid_request", "the body is not a form")
			return
		}
		if r.PostFormValue("grant_type") != "client_credentials" {
			next(w, r)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		client, ok := e.clients.find(readCredentials(r))
		if !ok {
			refuseClient(w, r)
			return
		}
		e.serveClientToken(w, r, client)
	}
}

// serveClientToken answers a client with a token for itself (RFC 6749 §4.4.3). There is no refresh token, and no user whose
// session the token could name.
func (e *Environment) serveClientToken(w http.ResponseWriter, r *http.Request, client Client) {
	scopes := e.grantedScopes(client, r.PostFormValue("scope"))
	config := e.oauthConfig()
	token, _, err := e.sign(map[string]any{
		"iss":       config.TokenIssuer,
		"aud":       config.Audience, // always the MCP server, whatever resource the client sends
		"sub":       client.ID,
		"client_id": client.ID,
		"scopes":    scopes,
	}, time.Now())
	if err != nil {
		refuseToken(w, http.StatusInternalServerError, "server_error", "the token could not be made")
		return
	}
	e.grantToken(w, token, map[string]any{"scope": strings.Join(scopes, " ")})
}

// grantedScopes returns the scopes that the environment, the MCP server and the client have in common. A client that asks for
// some gets no others.
func (e *Environment) grantedScopes(client Client, asked string) []string {
	wanted := strings.Fields(asked)
	scopes := []string{} // [] rather than null
	for _, scope := range client.Scopes {
		if slices.Contains(e.config.Scopes, scope) && (len(wanted) == 0 || slices.Contains(wanted, scope)) && !slices.Contains(scopes, scope) {
			scopes = append(scopes, scope)
		}
	}
	return scopes
}
