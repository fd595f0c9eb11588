package mcpauth_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

var errHook = errors.New("dial tcp " + internalAddress + ": " + internalText)

// A leakWorld is a configuration and an environment, most of them broken in some way.
type leakWorld struct {
	name   string
	change func(*mcpauth.Config)
	bend   func(*mcpauthtest.Environment)
	warm   bool // the keys are fetched before the environment is bent
	admits bool // a good token gets in
	late   *clock
}

func leakWorlds() []leakWorld {
	stop := (*mcpauthtest.Environment).Stop
	tomorrow, later := newClock(), newClock()
	return []leakWorld{
		{name: "healthy", admits: true},
		{name: "without a cache", admits: true, change: func(cfg *mcpauth.Config) { cfg.Cache.Disabled = true }},
		{name: "garbage", bend: respondWith(200, "application/json", "\x00\xff{"+internalText)},
		{name: "HTML", bend: respondWith(200, "text/html", "<html>"+internalText+" "+internalAddress+"</html>")},
		{name: "500", bend: respondWith(500, "text/plain", internalText+" at "+internalAddress)},
		{name: "another's metadata", bend: func(env *mcpauthtest.Environment) {
			respondWith(200, "application/json", `{"issuer":"https://`+internalText+`","jwks_uri":"http://`+internalAddress+`/keys"}`)(env)
			env.Handle(mcpauthtest.KeysPath, http.NotFoundHandler())
		}},
		{name: "redirect", bend: everywhere(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://"+internalAddress+"/"+internalText, http.StatusFound)
		})},
		{name: "broken off", bend: everywhere(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, internalText)
		})},
		{name: "hanging", bend: func(env *mcpauthtest.Environment) { env.SetDelay(time.Minute) }},
		{name: "stopped", bend: stop},
		{name: "stopped, with keys from before", warm: true, admits: true, bend: stop},
		{
			name: "stopped, with keys too old", warm: true, change: func(cfg *mcpauth.Config) { cfg.Now = tomorrow.now },
			bend: func(env *mcpauthtest.Environment) { env.Stop(); tomorrow.advance(25 * time.Hour) },
		},
		{name: "expired in the cache", late: later, change: func(cfg *mcpauth.Config) {
			cfg.Now, cfg.Cache.MaxAge = later.now, 10*time.Minute
		}},
		{name: "revoked", change: hook(func() (bool, error) { return true, nil })},
		{name: "the hook fails", change: hook(func() (bool, error) { return false, errHook })},
		{name: "the hook panics", change: hook(func() (bool, error) { panic(errHook) })},
		{name: "a scope is missing", change: func(cfg *mcpauth.Config) { cfg.RequiredScopes = []string{"leak:never"} }},
	}
}

func respondWith(status int, contentType, body string) func(*mcpauthtest.Environment) {
	return everywhere(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("X-Backend", internalAddress)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

func everywhere(handler http.HandlerFunc) func(*mcpauthtest.Environment) {
	return func(env *mcpauthtest.Environment) {
		for _, path := range []string{
			mcpauthtest.MetadataPath, mcpauthtest.AppendedMetadataPath, mcpauthtest.OpenIDPath, mcpauthtest.KeysPath,
		} {
			env.Handle(path, handler)
		}
	}
}

func hook(answer func() (bool, error)) func(*mcpauth.Config) {
	return func(cfg *mcpauth.Config) {
		cfg.IsRevoked = func(context.Context, *mcpauth.Session) (bool, error) { return answer() }
	}
}
