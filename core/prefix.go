package mcpauth

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
)

// unstrippedPath returns the path of requests for the endpoint that arrive with the path of BaseURL still in front, or "" if
// BaseURL has none.
func unstrippedPath(cfg *Config) string {
	prefix := strings.TrimPrefix(cfg.BaseURL, originOf(cfg.BaseURL))
	path := strings.TrimPrefix(resourceIdentifier(cfg), originOf(cfg.BaseURL))
	if prefix == "" || path == metadataURLPath(cfg) {
		return ""
	}
	return path
}

// UnstrippedPath returns the path at which requests for the endpoint arrive if the proxy in front does not strip the path of
// [Config.BaseURL], or "" if BaseURL has none. There is no endpoint at that path. It is for adapters: their Mount calls
// [ResourceServer.LogUnstripped] for such a request, and leaves it to the router.
func (rs *ResourceServer) UnstrippedPath() string { return rs.unstripped }

// LogUnstripped writes a line with the cure to [Config.Logger], at Warn, when it is called for the first time.
func (rs *ResourceServer) LogUnstripped(ctx context.Context) {
	rs.noteUnstripped.Do(func() {
		origin, path := originOf(rs.identifier), rs.unstripped
		prefix := strings.TrimSuffix(path, rs.path)
		rs.logger.LogAttrs(ctx, slog.LevelWarn, "a request came with the path of BaseURL still in front of the endpoint's",
			slog.String("path", path),
			slog.String("cure", "have the proxy in front strip "+prefix+", or set BASE_URL to "+origin+" and Config.Path to "+path))
	})
}

// registerUnstripped has requests that no proxy has stripped answered with 404, and the cure logged. A route of the
// application at that path stays: routers panic when a path is taken, which is right for our routes and wrong for this one.
func (rs *ResourceServer) registerUnstripped(register func(path string, handler http.Handler)) {
	if rs.unstripped == "" {
		return
	}
	defer ignorePanic()
	register(rs.unstripped, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rs.LogUnstripped(r.Context())
		notFound.ServeHTTP(w, r)
	}))
}

var notFound = jsonReply(http.StatusNotFound, member{"error_description", "there is no MCP endpoint at this path"})
