package mcpauth_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// tenantConfig is the configuration of one of many resources on an origin.
func tenantConfig(env *mcpauthtest.Environment, shared *mcpauth.SharedKeys, tenant string) mcpauth.Config {
	cfg := env.Config(baseURL)
	cfg.SharedKeys, cfg.OmitRootMetadata = shared, true
	cfg.Path, cfg.ResourceID = "/"+tenant+"/mcp", "res_"+tenant
	return cfg
}

func tenantToken(env *mcpauthtest.Environment, tenant string) string {
	return env.Token(m{"aud": "res_" + tenant, "iss": env.URL() + "/resources/res_" + tenant})
}

// TestSharedKeys has 1,000 resource servers, made by several goroutines while requests come: the environment is asked for its
// keys once, and a token for one resource is refused by the others.
func TestSharedKeys(t *testing.T) {
	t.Parallel()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	shared := new(mcpauth.SharedKeys)
	const resources, makers = 1000, 4
	var wg sync.WaitGroup
	for maker := range makers {
		wg.Go(func() {
			for i := maker; i < resources; i += makers {
				tenant := fmt.Sprint("t", i)
				rs, err := mcpauth.New(tenantConfig(env, shared, tenant))
				if err != nil {
					t.Error(err)
					return
				}
				own, other := tenantToken(env, tenant), tenantToken(env, fmt.Sprint("t", i+1))
				if d := authenticate(rs, own); d.Outcome != mcpauth.OutcomeAllowed {
					t.Errorf("%s: its own token is %s", tenant, d.Outcome)
				}
				if d := authenticate(rs, other); d.Outcome != mcpauth.OutcomeInvalidToken {
					t.Errorf("%s: a token for another resource is %s", tenant, d.Outcome)
				}
				if got := rs.Resource(); got != baseURL+"/"+tenant+"/mcp" {
					t.Errorf("the resource is %s", got)
				}
			}
		})
	}
	wg.Wait()
	if n := env.Requests(mcpauthtest.KeysPath); n != 1 {
		t.Errorf("%d key fetches for %d resources, want 1", n, resources)
	}
}

// TestSharedKeysRotate has a new key, and the withdrawal of the old one, learned by one resource server from the fetch of
// another.
func TestSharedKeysRotate(t *testing.T) {
	t.Parallel()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	shared := new(mcpauth.SharedKeys)
	var servers []*mcpauth.ResourceServer
	for _, tenant := range []string{"a", "b"} {
		rs, err := mcpauth.New(tenantConfig(env, shared, tenant))
		if err != nil {
			t.Fatal(err)
		}
		servers = append(servers, rs)
	}
	a, b := servers[0], servers[1]
	oldKey, oldForB := env.Keys().Current(), tenantToken(env, "b")
	if d := authenticate(b, oldForB); d.Outcome != mcpauth.OutcomeAllowed { // cached by b
		t.Fatal(d.Outcome)
	}
	env.Keys().Rotate()
	env.Keys().Withdraw(oldKey)
	if d := authenticate(a, tenantToken(env, "a")); d.Outcome != mcpauth.OutcomeAllowed {
		t.Errorf("a token of the new key is %s", d.Outcome)
	}
	fetches := env.Requests(mcpauthtest.KeysPath)
	if d := authenticate(b, tenantToken(env, "b")); d.Outcome != mcpauth.OutcomeAllowed {
		t.Errorf("a token of the new key is %s for the other resource server", d.Outcome)
	}
	if n := env.Requests(mcpauthtest.KeysPath); fetches != 2 || n != fetches {
		t.Errorf("%d key fetches, then %d; want 2 in all", fetches, n)
	}
	mcpauth.Unpace(b) // otherwise the fetch for the old key id waits for some seconds
	if d := authenticate(b, oldForB); d.Outcome != mcpauth.OutcomeInvalidToken {
		t.Errorf("a cached token of a withdrawn key is %s", d.Outcome)
	}
}

// TestSharedKeysOfAnotherEnvironment has SharedKeys refused for settings that the first resource server did not have, with all
// other mistakes.
func TestSharedKeysOfAnotherEnvironment(t *testing.T) {
	t.Parallel()
	shared := new(mcpauth.SharedKeys)
	cfg := goodConfig()
	cfg.SharedKeys = shared
	bad := cfg
	bad.EnvironmentURL, bad.ResourceID = "https://other.example.com", "conn_1"
	if _, err := mcpauth.New(bad); err == nil {
		t.Fatal("a connection id was accepted")
	}
	if _, err := mcpauth.New(cfg); err != nil {
		t.Fatal("a refused configuration has chosen the environment: ", err)
	}
	for _, same := range []string{cfg.EnvironmentURL, cfg.EnvironmentURL + "/"} { // it says what the default is
		cfg.InternalEnvironmentURL = same
		if _, err := mcpauth.New(cfg); err != nil {
			t.Errorf("the same address, named: %v", err)
		}
	}
	bad.HTTPClient, bad.InternalEnvironmentURL = new(http.Client), "https://scalekit.internal"
	_, err := mcpauth.New(bad)
	var fields []string
	for mistake := range mcpauth.ConfigErrors(err) {
		fields = append(fields, mistake.Field)
	}
	if got := strings.Join(fields, " "); got != "ResourceID EnvironmentURL InternalEnvironmentURL HTTPClient" {
		t.Errorf("the mistakes are in %s:\n%v", got, err)
	}
}

// TestSharedKeysReady has one fetch made by the readiness probes of all resource servers.
func TestSharedKeysReady(t *testing.T) {
	t.Parallel()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	shared := new(mcpauth.SharedKeys)
	for i := range 3 {
		rs, err := mcpauth.New(tenantConfig(env, shared, fmt.Sprint("t", i)))
		if err != nil {
			t.Fatal(err)
		}
		if err := rs.Ready(context.Background()); err != nil {
			t.Error(err)
		}
	}
	if n := env.Requests(mcpauthtest.KeysPath); n != 1 {
		t.Errorf("%d key fetches, want 1", n)
	}
}

// BenchmarkSharedKeys makes one of many resource servers of an environment, and says how much memory it holds.
func BenchmarkSharedKeys(b *testing.B) {
	env := mcpauthtest.NewEnvironment()
	b.Cleanup(env.Close)
	shared := new(mcpauth.SharedKeys)
	before := heapInUse()
	kept = make([]*mcpauth.ResourceServer, 0, b.N)
	for i := range b.N {
		rs, err := mcpauth.New(tenantConfig(env, shared, fmt.Sprint("t", i)))
		if err != nil {
			b.Fatal(err)
		}
		kept = append(kept, rs)
	}
	b.StopTimer()
	b.ReportMetric(float64(heapInUse()-before)/float64(b.N), "heap-B/resource")
	runtime.KeepAlive(kept)
}

var kept []*mcpauth.ResourceServer

func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// TestSharedKeysAndServerMetadata has the authorization server's document of each resource served by that resource alone.
func TestSharedKeysAndServerMetadata(t *testing.T) {
	t.Parallel()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	shared := new(mcpauth.SharedKeys)
	for _, tenant := range []string{"acme", "globex", "acme"} {
		cfg := tenantConfig(env, shared, tenant)
		cfg.ServeAuthorizationServerMetadata = true
		document := `{"issuer":"` + env.URL() + "/resources/res_" + tenant + `"}`
		env.Handle(serverMetadataPath+"/resources/res_"+tenant, serveText(document))
		rs, err := mcpauth.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if w := getServerMetadata(t, rs); w.Code != http.StatusOK || w.Body.String() != document {
			t.Errorf("%s: %d %s", tenant, w.Code, w.Body)
		}
	}
}

// TestR91FloodAtOneTenant floods one resource server with tokens of unknown key ids, more of them than may wait. Another one with
// the same keys serves tokens of known keys meanwhile, and those of a new key within 5 s.
func TestR91FloodAtOneTenant(t *testing.T) {
	t.Parallel()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	shared := new(mcpauth.SharedKeys)
	var servers []*mcpauth.ResourceServer
	for _, tenant := range []string{"a", "b"} {
		rs, err := mcpauth.New(tenantConfig(env, shared, tenant))
		if err != nil {
			t.Fatal(err)
		}
		servers = append(servers, rs)
	}
	a, b := servers[0], servers[1]
	known, flood := tenantToken(env, "b"), make([]string, 1500)
	for i := range flood {
		flood[i] = unknownKid(tenantToken(env, "a"), i)
	}
	if err := a.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	authenticate(a, unknownKid(known, len(flood))) // from now on, unknown key ids wait for their turn
	var crowded atomic.Int64
	var wg sync.WaitGroup
	for _, token := range flood {
		wg.Go(func() {
			if authenticate(a, token).Outcome == mcpauth.OutcomeUnavailable {
				crowded.Add(1)
			}
		})
	}
	if d := authenticate(b, known); d.Outcome != mcpauth.OutcomeAllowed {
		t.Errorf("a token of a known key is %s", d.Outcome)
	}
	env.Keys().Rotate()
	token, published := tenantToken(env, "b"), time.Now()
	if d := authenticate(b, token); d.Outcome != mcpauth.OutcomeAllowed && d.Outcome != mcpauth.OutcomeUnavailable {
		t.Errorf("a token of a new key is %s", d.Outcome)
	}
	wg.Wait()
	d := authenticate(b, token)
	if took := time.Since(published); d.Outcome != mcpauth.OutcomeAllowed || took > 5*time.Second+busy {
		t.Errorf("a token of a new key is %s after %v", d.Outcome, took)
	}
	if crowded.Load() == 0 {
		t.Error("all of the flood was answered")
	}
}

// unknownKid returns token with another key id, which is all that its signature does not have to match.
func unknownKid(token string, i int) string {
	_, rest, _ := strings.Cut(token, ".")
	return base64.RawURLEncoding.EncodeToString([]byte(fmt.Sprintf(`{"alg":"RS256","typ":"JWT","kid":"snk_unknown_%d"}`, i))) + "." + rest
}
