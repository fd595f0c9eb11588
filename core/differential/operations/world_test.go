package operations_test

import (
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// An op is something that a server ran: a tool or prompt by the name it was registered with, which the server looked up,
// or a resource by the URI that it read or subscribed to.
type op struct{ kind, name string }

const (
	tool     = "tool"
	prompt   = "prompt"
	resource = "resource"
)

// listedTools and listedPrompts have a scope each, so that a challenge tells which operations were checked. Open operations
// need a scope that every caller holds. Names differ in case, in Unicode form and in what some parsers do to them, and the
// same name is open in one list and guarded in the other.
var (
	listedTools = map[string]string{
		"open":           "t:open",
		"Open":           "t:guarded:Open",
		"OPEN":           "t:guarded:OPEN",
		"caf\u00e9":      "t:cafe",
		"cafe\u0301":     "t:guarded:cafe",
		"secret":         "t:guarded:secret",
		"ſecret":         "t:folded",
		"\u212aelvin":    "t:kelvin",
		"Kelvin":         "t:guarded:kelvin",
		"delete_order":   "t:guarded:delete",
		"files/delete":   "t:guarded:slash",
		"files\\delete":  "t:backslash",
		"a\"b":           "t:guarded:quote",
		"name":           "t:guarded:name",
		"task":           "t:guarded:task", // runs after its call has been answered
		"\U0001f511":     "t:guarded:key",
		"\ufffd":         "t:guarded:replacement",
		"tools/call":     "t:guarded:method",
		"null":           "t:guarded:null",
		"open ":          "t:guarded:space",
		"files%2Fdelete": "t:percent",
		"true":           "t:guarded:true",
		"1":              "t:guarded:1",
	}
	listedPrompts = map[string]string{
		"open":     "p:guarded:open", // an open tool has this name
		"secret":   "p:secret",       // a guarded tool has this name
		"review":   "p:guarded:review",
		"greeting": "p:greeting",
	}
	listedResources = map[string]string{
		"files:///secret/{+path}":    "r:guarded:secret",
		"files:///secret/deep/b/top": "r:guarded:top",
		"files:///public/{+path}":    "r:public",
		"note://{id}":                "r:guarded:note",
		"memo://{id}":                "r:memo",
		"db://*":                     "r:guarded:db",
		"mix://secret/*":             "r:guarded:mix",
		"mix://open/*":               "r:mix",
		"fixed://one":                "r:guarded:one",
		"fixed://two":                "r:two",
	}
)

// What the servers serve: the resources by URI, the others by template. Two of the tools are in no list.
var (
	unlistedTools     = []string{"free", "Secret"}
	servedResources   = []string{"fixed://one", "fixed://two", "files:///secret/deep/b/top"}
	resourceTemplates = []string{"files:///{+path}", "note://{id}", "memo://{id}", "db://{table}{?q}", "mix://{kind}/{id}"}
)

func isGuarded(scope string) bool { return strings.Contains(scope, ":guarded") }

// policy lists everything, each operation with its scope.
func policy() mcpauth.Rules {
	rules := func(listed map[string]string) map[string]mcpauth.Rule {
		all := make(map[string]mcpauth.Rule, len(listed))
		for name, scope := range listed {
			all[name] = mcpauth.Rule{Scopes: []string{scope}}
		}
		return all
	}
	return mcpauth.Rules{
		Tools: rules(listedTools), Prompts: rules(listedPrompts), Resources: rules(listedResources), MaxBodyBytes: maxBody,
	}
}

// openOnly lists only the open operations, and refuses all others.
func openOnly() mcpauth.Rules {
	rules := func(listed map[string]string) map[string]mcpauth.Rule {
		open := make(map[string]mcpauth.Rule)
		for name, scope := range listed {
			if !isGuarded(scope) {
				open[name] = mcpauth.Rule{}
			}
		}
		return open
	}
	return mcpauth.Rules{
		Tools: rules(listedTools), Prompts: rules(listedPrompts), Resources: rules(listedResources), MaxBodyBytes: maxBody, Strict: true,
	}
}

// openScopes returns the scopes of a caller without rights.
func openScopes() string {
	var scopes []string
	for _, listed := range []map[string]string{listedTools, listedPrompts, listedResources} {
		for _, scope := range listed {
			if !isGuarded(scope) {
				scopes = append(scopes, scope)
			}
		}
	}
	slices.Sort(scopes)
	return strings.Join(scopes, " ")
}

// needs returns the scopes that an operation should have been checked for.
func (o op) needs() (scopes []string) {
	one := func(scope string, listed bool) []string {
		if !listed {
			return nil
		}
		return []string{scope}
	}
	switch o.kind {
	case tool:
		scope, listed := listedTools[o.name]
		return one(scope, listed)
	case prompt:
		scope, listed := listedPrompts[o.name]
		return one(scope, listed)
	}
	scheme, rest, _ := strings.Cut(o.name, "://")
	switch scheme {
	case "files":
		for _, file := range filesOf(o.name) {
			switch {
			case file == "/secret/deep/b/top":
				scopes = append(scopes, listedResources["files:///secret/{+path}"], listedResources["files:///secret/deep/b/top"])
			case strings.HasPrefix(file, "/secret/"):
				scopes = append(scopes, listedResources["files:///secret/{+path}"])
			}
		}
		slices.Sort(scopes)
		return slices.Compact(scopes)
	case "note":
		return []string{listedResources["note://{id}"]}
	case "memo":
		return []string{listedResources["memo://{id}"]}
	case "db":
		return []string{listedResources["db://*"]}
	case "mix":
		for _, kind := range []string{"secret", "open"} {
			if strings.HasPrefix(rest, kind+"/") {
				return []string{listedResources["mix://"+kind+"/*"]}
			}
		}
	case "fixed":
		scope, listed := listedResources[o.name]
		return one(scope, listed)
	}
	return nil
}

// filesOf returns each file that a server could take a URI for. Servers may clean the path or resolve the URI by RFC 3986.
// They may keep percent-encoding, or have a file system that ignores case or takes \ for /.
func filesOf(uri string) (files []string) {
	var paths []string
	if u, err := url.Parse(uri); err == nil && u.Host == "" && u.User == nil {
		paths = append(paths, u.Path, u.EscapedPath())
		paths = append(paths, (&url.URL{Scheme: "files", Path: "/"}).ResolveReference(u).Path)
	}
	raw := strings.TrimPrefix(uri, "files://")
	paths = append(paths, raw)
	if decoded, err := url.PathUnescape(raw); err == nil {
		paths = append(paths, decoded)
	}
	if before, _, cut := strings.Cut(raw, "?"); cut {
		paths = append(paths, before)
	}
	for _, p := range paths {
		for _, p := range []string{p, strings.ReplaceAll(p, `\`, "/")} {
			if strings.HasPrefix(p, "/") {
				clean := path.Clean(p) // removes the slash at the end, which other servers keep
				if strings.HasSuffix(p, "/") && clean != "/" {
					files = append(files, clean+"/", foldCase(clean+"/"))
				}
				files = append(files, clean, foldCase(clean))
			}
		}
	}
	return files
}

// foldCase returns s in lower case, so that texts that strings.EqualFold considers equal become the same.
func foldCase(s string) string { return strings.ToLower(strings.ToUpper(s)) }

// A recorder records what ran. Servers call it from any goroutine.
type recorder struct {
	mu      sync.Mutex
	ops     []op
	all     []op // all that ever ran
	uses    []use
	methods []string
}

func (r *recorder) ran(kind, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops = append(r.ops, op{kind, name})
	if slices.ContainsFunc(op{kind, name}.needs(), isGuarded) {
		r.all = append(r.all, op{kind, name})
	}
}

// later records what ran after its call was answered, when it is not known which body caused it.
func (r *recorder) later(kind, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, op{kind, name})
}

// take returns what ran since the last call, in a fixed order.
func (r *recorder) take() []op {
	r.mu.Lock()
	defer r.mu.Unlock()
	ops := r.ops
	r.ops = nil
	slices.SortFunc(ops, func(a, b op) int { return strings.Compare(a.kind+a.name, b.kind+b.name) })
	return ops
}

// guarded returns the guarded operations that ever ran.
func (r *recorder) guarded() []op {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all)
}

// began records a method that a server has begun.
func (r *recorder) began(method string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.methods = append(r.methods, method)
}

// takeBegun is take for methods.
func (r *recorder) takeBegun() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	methods := r.methods
	r.methods = nil
	slices.Sort(methods)
	return methods
}

// received records what an operation got.
func (r *recorder) received(u use) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.uses = append(r.uses, u)
}

// takeUses is take for what was received.
func (r *recorder) takeUses() []use {
	r.mu.Lock()
	defer r.mu.Unlock()
	uses := r.uses
	r.uses = nil
	slices.SortFunc(uses, func(a, b use) int { return strings.Compare(a.name+a.arguments, b.name+b.arguments) })
	return uses
}

func needsOf(ops []op) (scopes []string) {
	for _, o := range ops {
		scopes = append(scopes, o.needs()...)
	}
	slices.Sort(scopes)
	return slices.Compact(scopes)
}
