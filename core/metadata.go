package mcpauth

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

const (
	wellKnown = "/.well-known/"

	// wellKnownPath is where protected resource metadata is (RFC 9728 §3), before the path of the resource.
	wellKnownPath = wellKnown + "oauth-protected-resource"
)

// A MetadataRoute is a path of a metadata document, and the http.Handler that serves it: the protected resource metadata
// (RFC 9728), and with [Config.ServeAuthorizationServerMetadata] that of the authorization server.
type MetadataRoute struct {
	// Path is to be matched exactly.
	Path string

	document Reply
	options  *Reply
	fetched  *serverMetadata // serves instead of document, unless it is nil
	isOwn    bool            // Path is that of Config.MetadataURL alone
}

// ServeHTTP answers GET and HEAD with the document, OPTIONS with what a browser needs to know, anything else with 405.
// The answers need no authentication and are the same for everyone. A document that has to be fetched, and can't be had, gets 503.
func (m *MetadataRoute) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.reply(r.Context(), r.Method).ServeHTTP(w, r)
}

// Taken returns the text for an adapter's panic when another route has the path already: what is wrong, and the cure.
func (m *MetadataRoute) Taken() string { return m.Path + " is registered already; " + m.cure() }

// cure is what helps when the route can't be registered.
func (m *MetadataRoute) cure() string {
	switch {
	case m.fetched != nil:
		return "of several resources on one origin, one can serve it: set Config.ServeAuthorizationServerMetadata in that one alone"
	case m.isOwn:
		return "Config.MetadataURL leads there; give each resource an address that no other route has"
	case m.Path == wellKnownPath:
		return "of several resources on one origin, at most one may serve the origin's document: set Config.OmitRootMetadata in the others"
	}
	return "is the resource mounted twice?"
}

func (m *MetadataRoute) reply(ctx context.Context, method string) *Reply {
	switch method {
	case http.MethodGet, http.MethodHead:
		if m.fetched != nil {
			return m.fetched.reply(ctx)
		}
		return &m.document
	case http.MethodOptions:
		return m.options
	}
	return &metadataNotAllowed
}

// metadataRoutes returns the document at the path that RFC 9728 §3.1 derives from the resource identifier, the same at
// Config.MetadataURL, and, for clients that ask only the root, the one of the origin. documentURL is what challenges name.
func metadataRoutes(cfg *Config, corsHeaders string) (routes []*MetadataRoute, documentURL string) {
	options := metadataOptions
	if len(cfg.AllowedHeaders) > 0 {
		options = newMetadataOptions(corsHeaders)
	}
	add := func(path, resource string) {
		for _, route := range routes {
			if route.Path == path {
				return
			}
		}
		routes = append(routes, newMetadataRoute(cfg, path, resource, options))
	}
	base, _ := url.Parse(cfg.BaseURL) // it was checked
	path := defaultMetadataPath(cfg)
	add(path, resourceIdentifier(cfg))
	documentURL = originOf(cfg.BaseURL) + path
	if cfg.MetadataURL != "" {
		documentURL = cfg.MetadataURL
		if local := metadataURLPath(cfg); local != "" && local != path {
			add(local, resourceIdentifier(cfg))
			routes[len(routes)-1].isOwn = true
		}
	}
	if !cfg.OmitRootMetadata && base.Path == "" {
		add(wellKnownPath, cfg.BaseURL)
	}
	return routes, documentURL
}

// defaultMetadataPath returns the path of the document that clients find by themselves (RFC 9728 §3.1).
func defaultMetadataPath(cfg *Config) string {
	return wellKnownPath + strings.TrimPrefix(resourceIdentifier(cfg), originOf(cfg.BaseURL))
}

// metadataURLPath returns the path at which requests for Config.MetadataURL arrive, or "" if they are not expected here.
func metadataURLPath(cfg *Config) string {
	path := strings.TrimPrefix(cfg.MetadataURL, originOf(cfg.MetadataURL))
	if originOf(cfg.MetadataURL) != originOf(cfg.BaseURL) {
		if path == wellKnownPath || strings.HasPrefix(path, wellKnownPath+"/") {
			return path
		}
		return "" // another path on another origin may be any route of the application here
	}
	prefix := strings.TrimPrefix(cfg.BaseURL, originOf(cfg.BaseURL))
	if below, ok := strings.CutPrefix(path, prefix); ok && strings.HasPrefix(below, "/") {
		return below
	}
	return path
}

// metadataURL checks Config.MetadataURL, when what it depends on was checked.
func (c *checker) metadataURL(cfg *Config) {
	const field, word = "MetadataURL", "DangerouslyAllowForeignMetadataURL"
	raw := cfg.MetadataURL
	if raw == "" {
		if cfg.DangerouslyAllowForeignMetadataURL {
			c.add(word, "", "is set while MetadataURL is empty; remove it")
		}
		return
	}
	_, u := c.webURL(field, raw, "the address of the protected resource metadata")
	if u == nil {
		return
	}
	mistakes := len(c.errs)
	switch reason := pathMistake(u.EscapedPath()); {
	case strings.HasSuffix(raw, "/"):
		c.add(field, raw, "ends in a slash; give the address of the document itself, such as "+originOf(raw)+wellKnownPath+defaultPath)
	case u.Path == "":
		c.add(field, raw, "has no path; give the address of the document itself, such as "+raw+wellKnownPath+defaultPath)
	case reason != "":
		c.add(field, raw, "has a path that "+reason)
	}
	base := originOf(cfg.BaseURL)
	if base == "" || len(c.errs) > mistakes {
		return
	}
	foreign, local := originOf(raw) != base, metadataURLPath(cfg)
	switch {
	case foreign && !cfg.DangerouslyAllowForeignMetadataURL:
		c.add(field, raw, "is on another origin than BaseURL, and those who control it could send users to any authorization server; give an address on "+base+", or set "+word)
	case !foreign && cfg.DangerouslyAllowForeignMetadataURL:
		c.add(word, "", "is set while MetadataURL is on the origin of BaseURL; remove it")
	case raw == cfg.BaseURL || strings.EqualFold(local, cfg.Path): // some routers ignore case
		c.add(field, raw, "arrives here as the endpoint itself; give the document an address of its own, such as "+cfg.BaseURL+wellKnownPath+strings.TrimSuffix(cfg.Path, "/"))
	case local != defaultMetadataPath(cfg) && strings.EqualFold(local, defaultMetadataPath(cfg)):
		c.add(field, raw, "arrives here at the path of the default address in other capital letters, and some routers take both for one; leave MetadataURL empty, or choose another address")
	case strings.EqualFold(local, wellKnownPath) && cfg.Path != "/" && cfg.BaseURL == base && !cfg.OmitRootMetadata:
		c.add(field, raw, "is where the document of the bare origin is, whose resource is BaseURL; set OmitRootMetadata, or choose another address")
	case isServerMetadata(local) || isServerMetadata(u.Path):
		c.add(field, raw, "is where clients look for the document of the authorization server, which is another one; choose another address")
	}
}

// authorizationServer is the issuer that clients get their tokens from (RFC 9728 §2). Only a resource's has a registration
// endpoint.
func authorizationServer(cfg *Config) string {
	if cfg.ResourceID == "" {
		return cfg.EnvironmentURL
	}
	return cfg.EnvironmentURL + "/resources/" + cfg.ResourceID
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
	metadataOptions    = newMetadataOptions(corsHeaders)
	metadataNotAllowed = Reply{
		Status: http.StatusMethodNotAllowed,
		Header: http.Header{"Access-Control-Allow-Origin": anyOrigin, "Content-Type": contentJSON, "Allow": {metadataMethods}},
		Body:   []byte(`{"error_description":"the metadata document is read with GET"}`),
	}
)

const metadataMethods = "GET, HEAD, OPTIONS"

// newMetadataOptions returns the reply to OPTIONS, which allows pages to send headers.
func newMetadataOptions(headers string) *Reply {
	return &Reply{
		Status: http.StatusNoContent,
		Header: http.Header{
			"Access-Control-Allow-Origin":  anyOrigin,
			"Allow":                        {metadataMethods},
			"Access-Control-Allow-Methods": {metadataMethods},
			"Access-Control-Allow-Headers": {headers},
			"Access-Control-Max-Age":       {corsMaxAge},
		},
	}
}

func newMetadataRoute(cfg *Config, path, resource string, options *Reply) *MetadataRoute {
	return &MetadataRoute{Path: path, options: options, document: Reply{
		Status: http.StatusOK,
		Header: http.Header{allowOrigin: anyOrigin, "Content-Type": contentJSON, "Cache-Control": {"public, max-age=3600"}},
		Body:   metadataDocument(cfg, resource),
	}}
}

// metadataDocument returns the document, with the members of Config.ExtraMetadata last.
func metadataDocument(cfg *Config, resource string) []byte {
	members := metadataMembers(cfg, resource)
	for _, name := range slices.Sorted(maps.Keys(cfg.ExtraMetadata)) {
		members = append(members, member{name, cfg.ExtraMetadata[name]})
	}
	return encodeObject(members)
}

// metadataMembers are the members of the document that the library writes (RFC 9728 §2), in their order.
func metadataMembers(cfg *Config, resource string) []member {
	return []member{
		{"resource", resource},
		{"authorization_servers", []string{authorizationServer(cfg)}},
		{"bearer_methods_supported", []string{"header"}},
		{"scopes_supported", advertised(cfg)},
		{"resource_name", cfg.ResourceName},
		{"resource_documentation", cfg.DocsURL},
	}
}
