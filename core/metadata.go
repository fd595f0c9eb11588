package mcpauth

import (
	"bytes"
	"maps"
	"net/http"
	"net/url"
	"slices"
)

// wellKnownPath is where protected resource metadata is (RFC 9728 §3), before the path of the resource.
const wellKnownPath = "/.well-known/oauth-protected-resource"

// metadataMembers are the members of the metadata document that the library writes (RFC 9728 §2), in their order.
var metadataMembers = []string{
	"resource", "authorization_servers", "bearer_methods_supported", "scopes_supported", "resource_name", "resource_documentation",
}

// A MetadataRoute is a place of the protected resource metadata (RFC 9728) on the origin's root.
type MetadataRoute struct {
	// Path is to be matched exactly.
	Path string

	// Reply answers a request: GET and HEAD with the document, OPTIONS with what a browser needs to know, anything
	// else with 405. The answers need no authentication, are the same for everyone, and must not be modified.
	Reply func(method string) *Reply
}

// metadataRoutes returns the document at the path that RFC 9728 §3.1 derives from the resource identifier, and, for
// clients that ask only the root, the one of the origin.
func metadataRoutes(cfg *Config, authorizationServer string) (routes []MetadataRoute, documentURL string) {
	base, err := url.Parse(cfg.BaseURL)
	if err != nil {
		return nil, "" // unreachable: the configuration was checked
	}
	origin := base.Scheme + "://" + base.Host
	path := wellKnownPath + base.Path
	if cfg.Path != "/" {
		path += cfg.Path
	}
	routes = []MetadataRoute{newMetadataRoute(cfg, path, resourceIdentifier(cfg), authorizationServer)}
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

func newMetadataRoute(cfg *Config, path, resource, authorizationServer string) MetadataRoute {
	header := func(extra http.Header) http.Header {
		h := http.Header{"Access-Control-Allow-Origin": {"*"}}
		maps.Copy(h, extra)
		return h
	}
	const methods = "GET, HEAD, OPTIONS"
	document := &Reply{
		Status: http.StatusOK,
		Header: header(http.Header{"Content-Type": {"application/json"}, "Cache-Control": {"public, max-age=3600"}}),
		Body:   metadataDocument(cfg, resource, authorizationServer),
	}
	options := &Reply{
		Status: http.StatusNoContent,
		Header: header(http.Header{
			"Allow":                        {methods},
			"Access-Control-Allow-Methods": {methods},
			"Access-Control-Allow-Headers": {corsHeaders},
			"Access-Control-Max-Age":       {corsMaxAge},
		}),
	}
	notAllowed := &Reply{
		Status: http.StatusMethodNotAllowed,
		Header: header(http.Header{"Content-Type": {"application/json"}, "Allow": {methods}}),
		Body:   encodeJSON(denialBody{Description: "the metadata document is read with GET"}),
	}
	return MetadataRoute{path, func(method string) *Reply {
		switch method {
		case http.MethodGet, http.MethodHead:
			return document
		case http.MethodOptions:
			return options
		}
		return notAllowed
	}}
}

// metadataDocument writes the document. A member without a value is left out (RFC 9728 §2).
func metadataDocument(cfg *Config, resource, authorizationServer string) []byte {
	values := map[string]any{
		"resource":                 resource,
		"authorization_servers":    []string{authorizationServer},
		"bearer_methods_supported": []string{"header"},
	}
	if scopes := union(cfg.Scopes, cfg.RequiredScopes); len(scopes) > 0 {
		values["scopes_supported"] = scopes
	}
	if cfg.ResourceName != "" {
		values["resource_name"] = cfg.ResourceName
	}
	if cfg.DocsURL != "" {
		values["resource_documentation"] = cfg.DocsURL
	}
	maps.Copy(values, cfg.ExtraMetadata)

	names := append(slices.Clone(metadataMembers), slices.Sorted(maps.Keys(cfg.ExtraMetadata))...)
	var b bytes.Buffer
	for _, name := range names {
		if value, ok := values[name]; ok {
			b.WriteString(map[bool]string{true: "{", false: ","}[b.Len() == 0])
			b.Write(encodeJSON(name))
			b.WriteByte(':')
			b.Write(encodeJSON(value))
		}
	}
	b.WriteByte('}')
	return b.Bytes()
}

// union returns the elements of both lists, each once, in their order.
func union(a, b []string) []string {
	var all []string
	for _, s := range slices.Concat(a, b) {
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}
