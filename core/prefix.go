package mcpauth

import (
	"context"
	"iter"
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

// UnstrippedPathIsTaken reports whether a route of the application takes the requests for [ResourceServer.UnstrippedPath].
// Mount of an adapter leaves that path alone then. patterns are those of all routes, as gin and echo write them: a colon
// begins a name that stands for a segment, and a star stands for all that follows. A route for every path does not count: its
// page has nothing to do with a request that was not stripped, and would hide the mistake.
func (rs *ResourceServer) UnstrippedPathIsTaken(patterns iter.Seq[string]) bool {
	for pattern := range patterns {
		if !strings.HasPrefix(pattern, "/*") && rs.unstripped != "" && matches(pattern, rs.unstripped) {
			return true
		}
	}
	return false
}

func matches(pattern, path string) bool {
	for {
		literal := strings.IndexAny(pattern, ":*")
		if literal < 0 {
			return pattern == path
		}
		if !strings.HasPrefix(path, pattern[:literal]) {
			return false
		}
		if pattern[literal] == '*' {
			return true
		}
		pattern, path = pattern[literal:], path[literal:]
		pattern = pattern[segment(pattern):]
		end := segment(path)
		if end == 0 {
			return false
		}
		path = path[end:]
	}
}

// segment returns the length of the segment that path begins with.
func segment(path string) int {
	if end := strings.IndexByte(path, '/'); end >= 0 {
		return end
	}
	return len(path)
}

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
