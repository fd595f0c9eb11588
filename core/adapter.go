package mcpauth

import (
	"fmt"
	"net/http"
)

// What is here is for adapters of routers that serve net/http, which would otherwise repeat it.

// RequireToken returns a middleware of net/http's shape. It answers the requests that rs refuses, and runs next for the
// others, as [ResourceServer.Serve] describes. It is for adapters: mcpauthhttp.Middleware is this. It panics when rs is
// nil, and the middleware panics when next is nil.
func (rs *ResourceServer) RequireToken() func(next http.Handler) http.Handler {
	rs.mustBeSet()
	return func(next http.Handler) http.Handler {
		if next == nil {
			panic("mcpauth: nil http.Handler for the protected endpoint")
		}
		serve := next.ServeHTTP
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { rs.Serve(w, r, serve) })
	}
}

// RegisterRoutes calls register for the endpoint, with the [Endpoint] of handler, and then for each
// metadata document. It is what Mount of an adapter does. Each path is to be matched exactly, for all methods. It panics
// when rs or handler is nil, and as [ResourceServer.RegisterMetadata] does.
//
// If BaseURL has a path, which a proxy in front is to strip, register is called for [ResourceServer.UnstrippedPath], too: the
// handler there answers 404 and logs the cure. When register panics for it, the path is left to the route that has it. register
// has to leave it out where another route takes the path, or could be replaced.
func (rs *ResourceServer) RegisterRoutes(handler http.Handler, register func(path string, handler http.Handler)) {
	endpoint := rs.Endpoint(handler)
	register(rs.Path(), endpoint)
	rs.RegisterMetadata(register)
	rs.registerUnstripped(register)
}

// RegisterMetadata calls register for each metadata document. It is what MountMetadata of an adapter does. When register
// panics, as routers do for a path that is taken, RegisterMetadata panics with the router's text and the cure. It panics
// when rs is nil, too.
func (rs *ResourceServer) RegisterMetadata(register func(path string, handler http.Handler)) {
	rs.mustBeSet()
	for _, route := range rs.metadata {
		route.register(register)
	}
}

func (m *MetadataRoute) register(register func(path string, handler http.Handler)) {
	defer func() {
		if said := recover(); said != nil {
			panic(fmt.Sprintf("mcpauth: no route for %s: %v; %s", m.Path, said, m.cure()))
		}
	}()
	register(m.Path, m)
}

// ServeVisits returns a function that does what [ResourceServer.Serve] does, for middlewares of routers with a context of
// their own. A visit is what such a middleware keeps for one request. A request that rs refuses is answered, and the result
// is nil. Otherwise next runs, with a pointer to the visit and with the writer and the request that Serve would hand on,
// and the pointer is the result. When an outer middleware has let the request through already, next gets w itself.
//
// A visit is allocated together with the response's writer, and never used for another request: handlers may keep it.
//
// ServeVisits panics when rs is nil.
func ServeVisits[V any](rs *ResourceServer, next func(visit *V, w http.ResponseWriter, r *http.Request)) func(w http.ResponseWriter, r *http.Request, visit V) *V {
	rs.mustBeSet()
	return func(w http.ResponseWriter, r *http.Request, visit V) *V {
		decision, inForce := rs.admit(w, r)
		if decision.Reply != nil {
			return nil
		}
		if inForce {
			v := new(V)
			*v = visit
			next(v, w, r)
			return v
		}
		memory := &struct { // one allocation
			exchange hijackable
			visit    V
		}{visit: visit}
		writer, request := rs.open(&memory.exchange, w, r, decision)
		returned := false
		defer memory.exchange.close(&returned)
		defer keepRoute(r, request)
		next(&memory.visit, writer, request)
		returned = true
		return &memory.visit
	}
}

// KeepRoute gives r, the request that a visit was handed, the pattern and the path values of last, which its router's context
// had in the end: an http.ServeMux behind a middleware that has replaced the request sets them there. From r they get to the
// request in front of rs, where instrumentation looks for them (http.Request.Pattern). Defer it: instrumentation also looks
// after a panic. It does nothing when last has no pattern, or either is nil.
func KeepRoute(r, last *http.Request) {
	if r != nil && last != nil && last.Pattern != "" {
		keepRoute(r, last)
	}
}

func (rs *ResourceServer) mustBeSet() {
	if rs == nil {
		panic("mcpauth: nil *mcpauth.ResourceServer; did mcpauth.New return an error?")
	}
}
