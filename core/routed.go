package mcpauth

import (
	"net/http"
	"strings"
)

// keepRoute gives r the pattern and the path values of next, the copy of r that a handler got: a router inside sets them
// there, and instrumentation in front looks for them in its own request (http.Request.Pattern). It is deferred, because
// instrumentation also looks after a panic.
func keepRoute(r, next *http.Request) {
	if next == nil || r == next || r.Pattern == next.Pattern {
		return
	}
	r.Pattern = next.Pattern
	for name := range wildcards(next.Pattern) {
		keepValue(r, next, name)
	}
	if strings.HasSuffix(next.Pattern, "*") { // as chi writes and names all that follows
		keepValue(r, next, "*")
	}
}

// keepValue leaves a value alone that r has already: r and next may share it, and a handler's goroutine may still read it.
func keepValue(r, next *http.Request, name string) {
	if value := next.PathValue(name); value != "" && value != r.PathValue(name) {
		r.SetPathValue(name, value)
	}
}

// wildcards calls yield with the names in the braces of a pattern, of an http.ServeMux ({name}, {name...}) and of chi
// ({name:expression}).
func wildcards(pattern string) func(yield func(name string) bool) {
	return func(yield func(name string) bool) {
		depth, begin := 0, 0
		for i := range len(pattern) {
			switch {
			case pattern[i] == '{':
				if depth++; depth == 1 {
					begin = i + 1
				}
			case pattern[i] == '}' && depth > 0:
				if depth--; depth > 0 {
					continue // of the expression
				}
				name, _, _ := strings.Cut(strings.TrimSuffix(pattern[begin:i], "..."), ":")
				if name != "" && name != "$" && !yield(name) {
					return
				}
			}
		}
	}
}
