package mcpauth

import (
	"errors"
	"net/http"
	"sync"

	"github.com/scalekit-mcp/mcpauth/core/internal/keys"
)

// SharedKeys are the signing keys of one Scalekit environment, for several resource servers: one for each tenant, each host,
// or each MCP server of a process. The keys are found, fetched, refreshed and given up once for all of them. A resource server
// without SharedKeys does all that for itself.
//
// The zero value is ready for use:
//
//	shared := new(mcpauth.SharedKeys)
//	orders, err := mcpauth.New(mcpauth.Config{SharedKeys: shared, BaseURL: "https://orders.example.com", ...})
//	billing, err := mcpauth.New(mcpauth.Config{SharedKeys: shared, BaseURL: "https://billing.example.com", ...})
//
// Only the keys are shared, and with them what bounds a flood of tokens with unknown key ids: how often the environment is
// asked, and how many requests wait. Tokens of known keys are not affected by a flood. Each resource server has its own
// metadata, issuers, audiences, scopes, policy and cache of tokens, and a token for one is refused by the others. SharedKeys
// keeps no resource server alive: one that is not used any more is collected as garbage.
//
// The resource servers have to agree on EnvironmentURL, InternalEnvironmentURL and HTTPClient. The fetches use
// [Config.Logger], [Config.Now] and [Config.Issuers] of the first one that [New] made. The environment's own documents (RFC
// 8414, OpenID Connect Discovery) say where the keys are, and not those of a ResourceID. SharedKeys is safe for concurrent
// use, and must not be copied.
type SharedKeys struct {
	mu             sync.Mutex
	set            *keys.Set // nil before the first use
	environmentURL string
	internalURL    string
	client         *http.Client
}

// check adds to c the settings with which a resource server can't use the keys.
func (s *SharedKeys) check(c *checker, environmentURL, internalURL string, client *http.Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checkLocked(c, environmentURL, internalURL, client)
}

func (s *SharedKeys) checkLocked(c *checker, environmentURL, internalURL string, client *http.Client) {
	if s.set == nil {
		return
	}
	if s.environmentURL != environmentURL {
		c.add("EnvironmentURL", environmentURL, "is not the environment of the other resource servers with these SharedKeys; make SharedKeys for each environment")
	}
	if s.internalURL != internalURL {
		c.add("InternalEnvironmentURL", internalURL, "is not that of the other resource servers with these SharedKeys, at which the keys are fetched; give all of them the same")
	}
	if s.client != client {
		c.add("HTTPClient", "", "is not that of the other resource servers with these SharedKeys, which fetches the keys; give all of them the same")
	}
}

// of returns the keys, which are those of source from the first call on. Without SharedKeys they are keys of source's own.
func (s *SharedKeys) of(source keys.Source) (*keys.Set, error) {
	if s == nil {
		return keys.New(source), nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var c checker
	s.checkLocked(&c, source.EnvironmentURL, source.InternalURL, source.Client)
	if len(c.errs) > 0 { // another New came first, since check
		return nil, errors.Join(c.errs...)
	}
	if s.set == nil {
		s.environmentURL, s.internalURL, s.client = source.EnvironmentURL, source.InternalURL, source.Client
		source.ResourceID = ""
		s.set = keys.New(source)
	}
	return s.set, nil
}
