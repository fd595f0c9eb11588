package mcpauthhttp

import (
	"net/http"
	"net/url"
	"reflect"
	"strings"
)

// isFree reports whether root has no route that takes requests for path, but for one that takes requests for every path. If
// root can't be asked, the answer is no.
func isFree(root Router, path string) bool {
	find := finder(root)
	if find == nil {
		return false
	}
	for _, method := range methods {
		if pattern := find(method, path); pattern != "" && !isCatchAll(pattern) {
			return false
		}
	}
	return true
}

// finder returns a function that returns the pattern of the route for a request, or "" if there is none. It returns nil for a
// router that can't be asked.
func finder(root Router) func(method, path string) (pattern string) {
	if mux, ok := root.(*http.ServeMux); ok {
		return func(method, path string) string {
			_, pattern := mux.Handler(&http.Request{Method: method, URL: &url.URL{Path: path}})
			return pattern
		}
	}
	// A chi.Router has the method Find(rctx *chi.Context, method, path string) (pattern string) since chi 5.2.0. Its first type
	// keeps it out of every interface that can be written without importing chi, which users of net/http alone are not to get.
	find := reflect.ValueOf(root).MethodByName("Find")
	if !find.IsValid() || !isFind(find.Type()) {
		return nil
	}
	return func(method, path string) string {
		rctx := reflect.New(find.Type().In(0).Elem())
		return find.Call([]reflect.Value{rctx, reflect.ValueOf(method), reflect.ValueOf(path)})[0].String()
	}
}

// isFind reports whether a method has the shape of chi's Find, whose first parameter can say the pattern that was found. A
// method that finds something else must not be called.
func isFind(t reflect.Type) bool {
	text := reflect.TypeFor[string]()
	if t.NumIn() != 3 || t.In(1) != text || t.In(2) != text || t.NumOut() != 1 || t.Out(0) != text || t.IsVariadic() {
		return false
	}
	_, isContext := t.In(0).MethodByName("RoutePattern")
	return isContext && t.In(0).Kind() == reflect.Pointer
}

// isCatchAll reports whether a pattern of an http.ServeMux or of chi takes every path: /, /{name...} or /*.
func isCatchAll(pattern string) bool {
	path := pattern[max(0, strings.IndexByte(pattern, '/')):] // without method and host
	return path == "/" || path == "/*" || strings.LastIndexByte(path, '/') == 0 && strings.HasSuffix(path, "...}")
}
