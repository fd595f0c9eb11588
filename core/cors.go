package mcpauth

import (
	"net/http"
	"slices"
	"strings"
)

// The headers of a CORS answer (the Fetch standard §3.2.3, Private Network Access).
const (
	allowOrigin   = "Access-Control-Allow-Origin"
	exposeHeaders = "Access-Control-Expose-Headers"
	allowMethods  = "Access-Control-Allow-Methods"
	allowHeaders  = "Access-Control-Allow-Headers"
	maxAge        = "Access-Control-Max-Age"
	corsPrefix    = "Access-Control-"
	varyOrigin    = "Origin"
)

// A CORSAnswer holds the CORS headers that one response will have, whatever the handler and the middlewares in front of it
// set. Call [CORSAnswer.Set] when the headers are sent: until then a handler may add to them, as a reverse proxy does, or
// clear them, as Go's reverse proxy does after an informational response.
type CORSAnswer struct {
	ours *corsValues // of the decision; nil leaves all headers alone

	outer *outerCORS // nil when no middleware in front had set anything
}

// corsValues are the CORS headers of a decision.
type corsValues struct {
	refused bool   // no origin is allowed, not even one that a middleware in front allows
	origin  string // "" when the request has no Origin header
	exposed string
	vary    bool
}

// outerCORS is what a middleware in front had set when the decision was made. A request without an Origin header gets the
// middleware's answer, because the decision has none for it.
type outerCORS struct {
	origin  string
	exposed []string
}

// CORS returns the answer for a response. h holds the headers that middlewares in front have set. It is for adapters of
// routers that don't use net/http; [ResourceServer.Serve] does it for the others.
func (d *Decision) CORS(h http.Header) CORSAnswer {
	a := CORSAnswer{ours: d.cors}
	if len(h) == 0 {
		return a
	}
	origins, exposed := h[allowOrigin], h[exposeHeaders]
	if len(origins)+len(exposed) == 0 {
		return a
	}
	a.outer = &outerCORS{exposed: slices.Clone(exposed)}
	if len(origins) > 0 {
		a.outer.origin = origins[0]
	}
	return a
}

// Set sets the CORS headers in h, each in one line. Allow-Origin is the decision's, or, when
// the request has no Origin header, the one of a middleware in front. Expose-Headers is the union of the decision's and
// that middleware's. Allow-Credentials and Allow-Private-Network are removed. The values belong to this
// response, so that a handler may change them.
func (a *CORSAnswer) Set(h http.Header) { a.set(h, make([]string, 0, corsLines)) }

// corsLines is how many lines a CORSAnswer writes.
const corsLines = 3

// set is Set with memory for the lines.
func (a *CORSAnswer) set(h http.Header, lines []string) {
	if a.ours == nil {
		return
	}
	for name, values := range h {
		if len(name) > len(corsPrefix) && strings.EqualFold(name[:len(corsPrefix)], corsPrefix) {
			oneLine(h, name, values)
		}
	}
	line := func(name, value string) {
		lines = append(lines, value)
		last := len(lines)
		h[name] = lines[last-1 : last : last]
	}
	var outer outerCORS
	if a.outer != nil {
		outer = *a.outer
	}
	if a.ours.origin != "" {
		line(allowOrigin, a.ours.origin)
	} else if outer.origin != "" && !a.ours.refused {
		line(allowOrigin, outer.origin)
	}
	exposed := a.ours.exposed
	if len(outer.exposed) > 0 {
		exposed = unionOfLists(exposed, outer.exposed)
	}
	if exposed != "" {
		line(exposeHeaders, exposed)
	}
	if !a.ours.vary {
		return
	}
	if given := h["Vary"]; len(given) == 0 {
		line("Vary", varyOrigin)
	} else if !varies(given, varyOrigin) {
		h["Vary"] = append(slices.Clip(given), varyOrigin)
	}
}

// isHooked reports whether w lets middlewares in front change headers at the moment when they are sent, as an echo.Response
// does, and whether r comes from a page: to other clients these headers mean nothing.
func isHooked(w http.ResponseWriter, r *http.Request) bool {
	if len(r.Header["Origin"]) == 0 {
		return false
	}
	_, ok := w.(hooked)
	return ok
}

// A hooked writer calls the functions that Before was given, in their order, just before it sends the header.
type hooked interface{ Before(func()) }

// settle has the decision's headers set once more after what the middlewares in front do when the header is sent. It has a
// copy of the decision, which would be allocated for every request otherwise.
func (d Decision) settle(w http.ResponseWriter) {
	set := d.SetHeader
	if d.Reply == nil {
		set = func(h http.Header) {
			answer := d.CORS(h)
			answer.Set(h)
		}
	}
	w.(hooked).Before(func() { set(w.Header()) }) //nolint:forcetypeassert // isHooked has asked
}

// oneLine leaves at most one line of a CORS header that the handler or a middleware in front has set, and none of those
// that are the decision's to set, or that never go out: a page's cookies mean nothing here.
func oneLine(h http.Header, name string, values []string) {
	switch name {
	case allowMethods, allowHeaders:
		if len(values) > 1 {
			h[name] = []string{strings.Join(values, ", ")}
		}
	case maxAge:
		if len(values) > 1 {
			h[name] = []string{values[0]}
		}
	default: // other spellings too, which would go out as a second line
		delete(h, name)
	}
}

// unionOfLists returns the elements of two headers that are comma-separated lists, each once.
func unionOfLists(a string, b []string) string {
	if len(b) == 0 {
		return a
	}
	var all []string
	for _, line := range append([]string{a}, b...) {
		for element := range strings.SplitSeq(line, ",") {
			element = strings.Trim(element, " \t")
			if element != "" && !slices.ContainsFunc(all, func(s string) bool { return strings.EqualFold(s, element) }) {
				all = append(all, element)
			}
		}
	}
	return strings.Join(all, ", ")
}

// varies reports whether one of the Vary lines names a header.
func varies(lines []string, name string) bool {
	for _, line := range lines {
		if line == name {
			return true
		}
		for element := range strings.SplitSeq(line, ",") {
			if element = strings.Trim(element, " \t"); element == "*" || strings.EqualFold(element, name) {
				return true
			}
		}
	}
	return false
}
