// Package tenants protects many MCP endpoints of one process, each with its own metadata, audience and scopes: one for each
// tenant, under /{tenant}/mcp, or one for each host. All of them share the keys of one Scalekit environment.
//
// The tenant is chosen by the path, and the resource server that was made for it decides. A token for one tenant is refused at
// the endpoints of the others.
package tenants

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// ErrUnknown is the error of [Config.Lookup] for a tenant that does not exist. It is answered with 404.
var ErrUnknown = errors.New("no such tenant")

// Config says what all tenants have in common, and how one is found.
type Config struct {
	// Base is the configuration of all tenants: environment, BaseURL, logger. Path, ResourceID and SharedKeys are set for each.
	// What is about a single resource has no place in it: MetadataURL, ServeAuthorizationServerMetadata, and Audiences, with which
	// a token for one tenant would be let in at all of them.
	Base mcpauth.Config

	// Lookup returns the id that Scalekit gave to the tenant's MCP server, such as res_123, from the application's database. It
	// is called for the first request to a tenant, and again after an error. Strangers choose the name, so it should be cheap.
	Lookup func(ctx context.Context, tenant string) (resourceID string, err error)

	// Handler returns the MCP server of a tenant, such as mcpauthgosdk.Handler(rs, handler). Each tenant needs one of its own:
	// MCP sessions of one tenant must not be known to another.
	Handler func(tenant string, rs *mcpauth.ResourceServer) http.Handler
}

// Tenants are the MCP endpoints of the tenants that were asked for so far.
type Tenants struct {
	cfg            Config
	logger         *slog.Logger
	noteUnstripped sync.Once

	mu        sync.Mutex
	byName    map[string]*tenant
	forgotten int // how often Forget was called
}

type tenant struct {
	endpoint *mcpauth.Endpoint
	metadata http.Handler
}

// New returns the endpoints of cfg. Mistakes in cfg.Base are reported here, before any tenant is asked for.
func New(cfg Config) (*Tenants, error) {
	cfg.Base.SharedKeys = new(mcpauth.SharedKeys)
	cfg.Base.OmitRootMetadata = true // the origin can't be the resource of all tenants
	_, err := mcpauth.New(cfg.Base)
	if cfg.Lookup == nil || cfg.Handler == nil {
		err = errors.Join(err, errors.New("tenants: Lookup and Handler have to be set"))
	}
	if cfg.Base.MetadataURL != "" || cfg.Base.ServeAuthorizationServerMetadata || len(cfg.Base.Audiences) > 0 {
		err = errors.Join(err, errors.New("tenants: MetadataURL, ServeAuthorizationServerMetadata and Audiences can't be those of all tenants; remove them"))
	}
	if err != nil {
		return nil, err
	}
	return &Tenants{cfg: cfg, logger: cmp.Or(cfg.Base.Logger, slog.Default()), byName: make(map[string]*tenant)}, nil
}

// Register registers the endpoints and their metadata with a mux that serves the root of the origin. A route for all that is
// below one segment, such as /static/, can't be on the same mux, because it could have /static/mcp, too: the mux panics. Those with
// more segments can, and so can GET /.
func (t *Tenants) Register(mux *http.ServeMux) {
	base, _ := url.Parse(t.cfg.Base.BaseURL) // which New has checked
	prefix := strings.TrimSuffix(base.Path, "/")
	register(mux, "/{tenant}/mcp", func(w http.ResponseWriter, r *http.Request) {
		if tenant := t.find(w, r); tenant != nil {
			tenant.endpoint.ServeHTTP(w, r)
		}
	})
	register(mux, "/.well-known/oauth-protected-resource"+prefix+"/{tenant}/mcp", func(w http.ResponseWriter, r *http.Request) {
		if tenant := t.find(w, r); tenant != nil {
			tenant.metadata.ServeHTTP(w, r)
		}
	})
	if prefix != "" {
		register(mux, prefix+"/{tenant}/mcp", func(w http.ResponseWriter, r *http.Request) {
			t.noteUnstripped.Do(func() {
				t.logger.WarnContext(r.Context(), "a request came with the path of BaseURL still in front of the endpoint's",
					"cure", "have the proxy in front strip "+prefix)
			})
			http.NotFound(w, r)
		})
	}
}

// register registers a pattern for each method: one for all methods would conflict with a catch-all for one, such as GET /.
func register(mux *http.ServeMux, pattern string, handler http.HandlerFunc) {
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete, http.MethodOptions, http.MethodPut, http.MethodPatch} {
		mux.Handle(method+" "+pattern, handler)
	}
}

// Forget makes the next request to a tenant look it up again, such as after it was deleted.
func (t *Tenants) Forget(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.byName, name)
	t.forgotten++
}

// Names hold no slash: the mux decodes "a%2Fb", and the tenant "a/b" would be served below the path of "a".
var validName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// find returns the tenant that the path names. If there is none, it answers the request and returns nil.
func (t *Tenants) find(w http.ResponseWriter, r *http.Request) *tenant {
	name := r.PathValue("tenant")
	if !validName.MatchString(name) {
		t.logger.InfoContext(r.Context(), "the path names no tenant", "tenant", shown(name),
			"cure", "names of tenants have up to 63 lower-case letters, digits and hyphens")
		http.NotFound(w, r)
		return nil
	}
	t.mu.Lock()
	found, forgotten := t.byName[name], t.forgotten
	t.mu.Unlock()
	if found != nil {
		return found
	}
	found, err := t.make(r.Context(), name, forgotten)
	switch {
	case errors.Is(err, ErrUnknown):
		t.logger.InfoContext(r.Context(), "unknown tenant", "tenant", name, "cure", "create the tenant, or correct the URL of the client")
		http.NotFound(w, r)
		return nil
	case err != nil:
		t.logger.WarnContext(r.Context(), "the tenant can't be served", "tenant", name, "error", err)
		w.Header().Set("Retry-After", "5")
		http.Error(w, "try again later", http.StatusServiceUnavailable)
		return nil
	}
	return found
}

// make makes a tenant's endpoint, which costs no request to the environment. Of two that were made at the same time, both
// requests get the first. One that was looked up before a call of Forget answers this request, and is not kept: the tenant may
// have been deleted since.
func (t *Tenants) make(ctx context.Context, name string, forgotten int) (*tenant, error) {
	resourceID, err := t.cfg.Lookup(ctx, name)
	if err != nil {
		return nil, err
	}
	cfg := t.cfg.Base
	cfg.Path, cfg.ResourceID = "/"+name+"/mcp", resourceID
	rs, err := mcpauth.New(cfg)
	if err != nil {
		return nil, err
	}
	made := &tenant{rs.Endpoint(t.cfg.Handler(name, rs)), rs.MetadataRoutes()[0]}
	t.mu.Lock()
	defer t.mu.Unlock()
	if earlier := t.byName[name]; earlier != nil {
		return earlier, nil
	}
	if t.forgotten == forgotten {
		t.byName[name] = made
	}
	return made, nil
}
