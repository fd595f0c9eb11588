package mcpauth

import (
	"fmt"
	"net/http"
)

// This file is for adapters of routers that serve net/http: what each of them would otherwise repeat.

// RequireToken returns a middleware of net/http's shape that answers requests which rs refuses, and runs next for the
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

// RegisterRoutes calls register for the endpoint, with handler behind [ResourceServer.RequireToken], and then for each
// metadata document. It is what Mount of an adapter does. Each path is to be matched exactly, for all methods. It panics
// when rs or handler is nil, and as [ResourceServer.RegisterMetadata] does.
func (rs *ResourceServer) RegisterRoutes(handler http.Handler, register func(path string, handler http.Handler)) {
	protected := rs.RequireToken()(handler)
	register(rs.Path(), protected)
	rs.RegisterMetadata(register)
}

// RegisterMetadata calls register for each metadata document. It is what MountMetadata of an adapter does. When register
// panics, because the router has a route for the path already, it panics with what the router said and what helps. It
// panics when rs is nil, too.
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

// ServeVisits returns [ResourceServer.Serve] for middlewares of routers that have a context of their own. A visit is what
// such a middleware keeps for one request, of a type of its own. The function that ServeVisits returns answers a request
// that rs refuses by w, and returns nil. Otherwise it runs next, with the writer and the request that Serve would hand on
// and a pointer to the visit, and returns that pointer. The visit lives in the memory of the response, so that it costs no
// allocation, and is never used for another request.
//
// next gets w itself when an outer middleware has let the request through already.
//
// ServeVisits panics when rs is nil.
func ServeVisits[V any](rs *ResourceServer, next func(visit *V, w http.ResponseWriter, r *http.Request)) func(w http.ResponseWriter, r *http.Request, visit V) *V {
	rs.mustBeSet()
	return func(w http.ResponseWriter, r *http.Request, visit V) *V {
		decision, inForce := rs.judge(w, r)
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
		next(&memory.visit, writer, request)
		returned = true
		return &memory.visit
	}
}

func (rs *ResourceServer) mustBeSet() {
	if rs == nil {
		panic("mcpauth: nil *mcpauth.ResourceServer; did mcpauth.New return an error?")
	}
}
