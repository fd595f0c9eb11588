package mcpauth

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
)

// wellKnownPath is where protected resource metadata is (RFC 9728 §3), before the path of the resource.
const wellKnownPath = "/.well-known/oauth-protected-resource"

// A MetadataRoute is a path of the protected resource metadata (RFC 9728) on the root of the origin, and the http.Handler
// that serves it.
type MetadataRoute struct {
	// Path is to be matched exactly.
	Path string

	document Reply
}

// ServeHTTP answers GET and HEAD with the document, OPTIONS with what a browser needs to know, anything else with 405.
// The answers need no authentication and are the same for everyone.
func (m *MetadataRoute) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.reply(r.Method).ServeHTTP(w, r)
}

// Taken returns the text for an adapter's panic when another route has the path already: what is wrong, and the cure.
func (m *MetadataRoute) Taken() string { return m.Path + " is registered already; " + m.cure() }

// cure is what helps when the route can't be registered.
func (m *MetadataRoute) cure() string {
	if m.Path == wellKnownPath {
		return "of several resources on one origin, at most one may serve the origin's document: set Config.OmitRootMetadata in the others"
	}
	return "is the resource mounted twice?"
}

func (m *MetadataRoute) reply(method string) *Reply {
	switch method {
	case http.MethodGet, http.MethodHead:
		return &m.document
	case http.MethodOptions:
		return &metadataOptions
	}
	return &metadataNotAllowed
}

// metadataRoutes returns the document at the path that RFC 9728 §3.1 derives from the resource identifier, and, for
// clients that ask only the root, the one of the origin.
func metadataRoutes(cfg *Config, authorizationServer string) (routes []*MetadataRoute, documentURL string) {
	base, err := url.Parse(cfg.BaseURL)
	if err != nil {
		return nil, "" // unreachable: the configuration was checked
	}
	origin := base.Scheme + "://" + base.Host
	path := wellKnownPath + base.Path
	if cfg.Path != "/" {
		path += cfg.Path
	}
	routes = []*MetadataRoute{newMetadataRoute(cfg, path, resourceIdentifier(cfg), authorizationServer)}
	if !cfg.OmitRootMetadata && base.Path == "" && path != wellKnownPath {
		routes = append(routes, newMetadataRoute(cfg, wellKnownPath, cfg.BaseURL, authorizationServer))
	}
	return routes, origin + path
}

// resourceIdentifier is the URL that clients call (RFC 8707 §2).
func resourceIdentifier(cfg *Config) string {
	if cfg.Path == "/" {
		return cfg.BaseURL
	}
	return cfg.BaseURL + cfg.Path
}

// The replies to other methods are the same for every document.
var (
	metadataOptions = Reply{
		Status: http.StatusNoContent,
		Header: http.Header{
			"Access-Control-Allow-Origin":  anyOrigin,
			"Allow":                        {metadataMethods},
			"Access-Control-Allow-Methods": {metadataMethods},
			"Access-Control-Allow-Headers": {corsHeaders},
			"Access-Control-Max-Age":       {corsMaxAge},
		},
	}
	metadataNotAllowed = Reply{
		Status: http.StatusMethodNotAllowed,
		Header: http.Header{"Access-Control-Allow-Origin": anyOrigin, "Content-Type": contentJSON, "Allow": {metadataMethods}},
		Body:   []byte(`{"error_description":"the metadata document is read with GET"}`),
	}
)

const metadataMethods = "GET, HEAD, OPTIONS"

func newMetadataRoute(cfg *Config, path, resource, authorizationServer string) *MetadataRoute {
	return &MetadataRoute{path, Reply{
		Status: http.StatusOK,
		Header: http.Header{allowOrigin: anyOrigin, "Content-Type": contentJSON, "Cache-Control": {"public, max-age=3600"}},
		Body:   metadataDocument(cfg, resource, authorizationServer),
	}}
}

// metadataDocument returns the document, with the members of Config.ExtraMetadata last.
func metadataDocument(cfg *Config, resource, authorizationServer string) []byte {
	members := metadataMembers(cfg, resource, authorizationServer)
	for _, name := range slices.Sorted(maps.Keys(cfg.ExtraMetadata)) {
		members = append(members, member{name, cfg.ExtraMetadata[name]})
	}
	return encodeObject(members)
}

// metadataMembers are the members of the document that the library writes (RFC 9728 §2), in their order.
func metadataMembers(cfg *Config, resource, authorizationServer string) []member {
	return []member{
		{"resource", resource},
		{"authorization_servers", []string{authorizationServer}},
		{"bearer_methods_supported", []string{"header"}},
		{"scopes_supported", union(cfg.Scopes, cfg.RequiredScopes)},
		{"resource_name", cfg.ResourceName},
		{"resource_documentation", cfg.DocsURL},
	}
}
