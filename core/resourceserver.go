package mcpauth

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/scalekit-mcp/mcpauth/core/internal/keys"
)

// A ResourceServer decides about the requests to one MCP endpoint. It is immutable and safe for concurrent use. It needs no
// Close: its goroutines end with the key fetches and responses that they are for.
type ResourceServer struct {
	*resource
	required []string
	replies  *replies
	public   bool // whether it may run public operations for callers without credentials
}

// A resource is what a ResourceServer shares with those made from it by WithRequiredScopes.
type resource struct {
	// What every request looks at.
	now       func() time.Time
	cache     *tokenCache // nil when disabled
	keys      *keys.Set
	origins   *originPolicy
	isRevoked func(context.Context, *Session) (bool, error)

	revocation Revocation     // nil: nothing is watched
	live       *openResponses // of watched sessions; nil without a revocation

	credential       func(ctx context.Context, scheme, value string) (*Claims, error)
	credentialHeader string // "" for values of Bearer
	credentialKey    string // credentialHeader in canonical form
	corsHeaders      string // that browsers may send

	clock    *lifeClock
	metadata []*MetadataRoute
	expect   expectations

	policy        *Policy // nil without one
	challengeHeld bool
	resultClients resultClients
	known         *knownScopes

	maxCall          int64 // milliseconds after the end of a token; negative: calls end as streams do
	path, identifier string
	unstripped       string // where requests for the endpoint arrive if no proxy strips the path of BaseURL; "" if it has none
	noteUnstripped   *sync.Once
	metadataURL      string
	metadataPath     string // where requests for Config.MetadataURL arrive, or ""
	advertiseOffline bool
	sdkURL           string // where the Scalekit SDK's client calls the environment
	clientID         string
	clientSecret     Secret
	logger           *slog.Logger
}

// New returns the resource server that cfg describes. It reports every mistake in cfg at once, as an errors.Join of
// *[ConfigError], and does no I/O: the environment is first asked for its keys by the first request with a token, or by
// [ResourceServer.Ready].
func New(cfg Config) (*ResourceServer, error) {
	cfg, err := normalize(cfg)
	if err != nil {
		return nil, err
	}
	cfg.Logger = safeLogger(cmp.Or(cfg.Logger, slog.Default()))
	now := cfg.Now
	if now == nil {
		now, cfg.Now = time.Now, time.Now
	} else {
		cfg.Now = safeClock(now)
	}

	expect := expectationsOf(&cfg)
	allowed := unionOfLists(corsHeaders, cfg.AllowedHeaders)
	if cfg.CredentialHeader != "" {
		allowed = unionOfLists(allowed, []string{cfg.CredentialHeader})
	}
	routes, metadataURL := metadataRoutes(&cfg, allowed)
	source := keys.Source{
		EnvironmentURL: cfg.EnvironmentURL, InternalURL: cfg.InternalEnvironmentURL, ResourceID: cfg.ResourceID, Issuers: expect.issuers,
		Client: cfg.HTTPClient, Now: cfg.Now, Logger: cfg.Logger, Quote: quoteForError,
	}
	if cfg.ServeAuthorizationServerMetadata {
		routes = append(routes, newServerMetadataRoute(source, routes[0].options))
	}
	set, err := cfg.SharedKeys.of(source)
	if err != nil {
		return nil, err
	}

	cache, err := newTokenCache(cfg.Cache)
	if err != nil {
		return nil, err
	}

	res := &resource{
		path: cfg.Path, identifier: resourceIdentifier(&cfg), metadataURL: metadataURL, metadataPath: metadataURLPath(&cfg),
		unstripped: unstrippedPath(&cfg), noteUnstripped: new(sync.Once), advertiseOffline: cfg.AdvertiseOfflineAccess,
		sdkURL: cmp.Or(cfg.InternalEnvironmentURL, cfg.EnvironmentURL), clientID: cfg.ClientID, clientSecret: cfg.ClientSecret,
		origins:   newOriginPolicy(&cfg),
		metadata:  routes,
		expect:    expect,
		keys:      set,
		cache:     cache,
		clock:     &lifeClock{now: cfg.Now},
		maxCall:   cfg.MaxCall.Milliseconds(),
		isRevoked: cfg.IsRevoked, logger: cfg.Logger, now: now,
		policy: cfg.Policy, challengeHeld: cfg.ChallengeHeldScopes, resultClients: newResultClients(cfg.ChallengeInResultFor), known: new(knownScopes),
		credential: cfg.Credential, credentialHeader: cfg.CredentialHeader, credentialKey: http.CanonicalHeaderKey(cfg.CredentialHeader), corsHeaders: allowed,
	}
	res.known.add(cfg.Scopes)
	rs := res.requiring(union(cfg.RequiredScopes, nil))
	if cfg.Policy != nil {
		res.known.add(cfg.Policy.scopes)
		rs.public = cfg.Policy.hasPublic
	}
	if cfg.Revocation != nil {
		res.revocation, res.live = cfg.Revocation, newOpenResponses()
		cfg.Revocation.Subscribe(reviewOf(res.live))
	}
	return rs, nil
}

func (r *resource) requiring(scopes []string) *ResourceServer {
	r.known.add(scopes)
	return &ResourceServer{resource: r, required: scopes, replies: newReplies(r.challenge(scopes))}
}

// WithRequiredScopes returns a resource server that requires scopes in addition, for some routes of an app. It shares keys
// and cache with rs. It never runs an operation without credentials. Advertise the scopes with [Config.Scopes]. Call it
// when the routes are set up: it panics on text that can't be a resource's scope (RFC 6749 §3.3).
func (rs *ResourceServer) WithRequiredScopes(scopes ...string) *ResourceServer {
	for _, scope := range scopes {
		if !isScope(scope) || scope == offlineAccess {
			panic("mcpauth: WithRequiredScopes: " + quoteForError(scope) + " can't be the scope of a resource; write one scope per argument, in printable ASCII without spaces")
		}
	}
	return rs.requiring(union(rs.required, scopes))
}

// MetadataRoutes returns the routes of the protected resource metadata, and with [Config.ServeAuthorizationServerMetadata] that
// of the authorization server. They belong to the root of the origin.
func (rs *ResourceServer) MetadataRoutes() []*MetadataRoute { return slices.Clone(rs.metadata) }

// Path returns the local route of the MCP endpoint, such as "/mcp".
func (rs *ResourceServer) Path() string { return rs.path }

// Resource returns the resource identifier, the URL that MCP clients are given (RFC 8707 §2).
func (rs *ResourceServer) Resource() string { return rs.identifier }

// Ready makes sure that there are keys to verify tokens with, fetching them if need be. It is for readiness probes; a
// server that is not ready answers 503 to requests with a token, and recovers by itself. The error names the
// environment's addresses: it is for the log.
func (rs *ResourceServer) Ready(ctx context.Context) error { return rs.keys.Ready(ctx) }

// PurgeCache forgets all verified tokens, so that each is verified again on its next use. The keys stay.
func (rs *ResourceServer) PurgeCache() {
	if rs.cache != nil {
		rs.cache.purge()
	}
}
