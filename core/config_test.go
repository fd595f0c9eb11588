package mcpauth_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

func goodConfig() mcpauth.Config {
	return mcpauth.Config{EnvironmentURL: "https://acme.scalekit.com", BaseURL: baseURL}
}

// configErrors returns the *ConfigErrors that New reports.
func configErrors(t *testing.T, cfg mcpauth.Config) []*mcpauth.ConfigError {
	t.Helper()
	rs, err := mcpauth.New(cfg)
	if err == nil {
		return nil
	}
	if rs != nil {
		t.Error("New returned a resource server and an error")
	}
	all := slices.Collect(mcpauth.ConfigErrors(err))
	if lines := strings.Count(err.Error(), "\n") + 1; lines != len(all) {
		t.Errorf("%d mistakes in %d lines: %v", len(all), lines, err)
	}
	return all
}

// TestNewRefuses has one mistake a row, and the beginning of the only error that New returns for it.
func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(*mcpauth.Config)
		want   string // the start of the message
	}{
		{"no environment", func(c *mcpauth.Config) { c.EnvironmentURL = "" }, "EnvironmentURL: is missing; set SCALEKIT_ENVIRONMENT_URL"},
		{"an environment without scheme", func(c *mcpauth.Config) { c.EnvironmentURL = "acme.scalekit.com" }, `EnvironmentURL: "acme..." has no scheme`},
		{"an environment in the clear", func(c *mcpauth.Config) { c.EnvironmentURL = "http://acme.scalekit.com" }, `EnvironmentURL: "http://acme.scalekit.com" is not encrypted`},
		{"an environment with a path", func(c *mcpauth.Config) { c.EnvironmentURL = "https://acme.scalekit.com/resources/res_1" }, `EnvironmentURL: "https://acme.scalekit.com/..." has a path`},
		{"a password", func(c *mcpauth.Config) { c.EnvironmentURL = "https://user:hunter2@acme.scalekit.com" }, `EnvironmentURL: "[redacted]" holds a user name`},
		{"a password, and a port that is not one", func(c *mcpauth.Config) { c.EnvironmentURL = "https://user:hunter2@acme.scalekit.com:x" }, `EnvironmentURL: "[redacted]"`},
		{"an internal address in the clear", func(c *mcpauth.Config) { c.InternalEnvironmentURL = "http://scalekit.internal" }, `InternalEnvironmentURL: "http://scalekit.internal" is not encrypted; use https (http is for loopback only), or set DangerouslyAllowInsecureEnvironment`},
		{"an internal address with a path", func(c *mcpauth.Config) { c.InternalEnvironmentURL = "https://gateway.internal/scalekit" }, `InternalEnvironmentURL: "https://gateway.internal/..." has a path`},
		{"an internal address without scheme", func(c *mcpauth.Config) { c.InternalEnvironmentURL = "scalekit.internal:8443" }, `InternalEnvironmentURL: "scal..." has no scheme`},
		{"an internal address with a password", func(c *mcpauth.Config) { c.InternalEnvironmentURL = "https://user:hunter2@scalekit.internal" }, `InternalEnvironmentURL: "[redacted]" holds a user name`},
		{"insecure, and nothing is", func(c *mcpauth.Config) { c.DangerouslyAllowInsecureEnvironment = true }, "DangerouslyAllowInsecureEnvironment: is set, and no address of the environment begins with http://; remove it"},
		{"the server in the clear, although the environment may be", func(c *mcpauth.Config) {
			c.EnvironmentURL, c.DangerouslyAllowInsecureEnvironment, c.BaseURL = "http://devenv:3002", true, "http://server:3001"
		}, `BaseURL: "http://server:3001" is not encrypted; use https (http is for loopback only)`},
		{"insecure, and not a host", func(c *mcpauth.Config) {
			c.EnvironmentURL, c.DangerouslyAllowInsecureEnvironment = "http://devenv:3002/x y", true
		}, `EnvironmentURL: "http://devenv:3002/..." has a path`},
		{"R16 metadata on another origin", func(c *mcpauth.Config) { c.MetadataURL = "https://docs.example.com/mcp.json" }, `MetadataURL: "https://docs.example.com/..." is on another origin than BaseURL, and those who control it could send users to any authorization server; give an address on https://mcp.example.com, or set DangerouslyAllowForeignMetadataURL`},
		{"R16 metadata on another port", func(c *mcpauth.Config) { c.MetadataURL = baseURL + ":8443/mcp.json" }, `MetadataURL: "https://mcp.example.com:8443/..." is on another origin`},
		{"R16 metadata in the clear", func(c *mcpauth.Config) { c.MetadataURL = "http://mcp.example.com/mcp.json" }, `MetadataURL: "http://mcp.example.com/..." is not encrypted`},
		{"R16 metadata at the endpoint", func(c *mcpauth.Config) { c.MetadataURL = baseURL + "/mcp" }, `MetadataURL: "https://mcp.example.com/..." arrives here as the endpoint itself`},
		{"R16 metadata at the endpoint, behind a prefix", func(c *mcpauth.Config) { c.BaseURL += "/prod"; c.MetadataURL = c.BaseURL + "/mcp" }, `MetadataURL: "https://mcp.example.com/..." arrives here as the endpoint itself`},
		{"R16 metadata at the prefix", func(c *mcpauth.Config) { c.BaseURL += "/prod"; c.MetadataURL = c.BaseURL }, `MetadataURL: "https://mcp.example.com/..." arrives here as the endpoint itself`},
		{"R16 metadata without a path", func(c *mcpauth.Config) { c.MetadataURL = baseURL }, `MetadataURL: "https://mcp.example.com" has no path`},
		{"R16 metadata with a slash at the end", func(c *mcpauth.Config) { c.MetadataURL = baseURL + "/meta/" }, `MetadataURL: "https://mcp.example.com/..." ends in a slash`},
		{"R16 metadata at the root of the origin", func(c *mcpauth.Config) { c.MetadataURL = baseURL + "/" }, `MetadataURL: "https://mcp.example.com/" ends in a slash`},
		{"R16 metadata with a query", func(c *mcpauth.Config) { c.MetadataURL = baseURL + "/meta?x" }, `MetadataURL: "https://mcp.example.com/..." has a query`},
		{"R16 metadata at a pattern", func(c *mcpauth.Config) { c.MetadataURL = baseURL + "/{proxy+}/meta" }, `MetadataURL: "https://mcp.example.com/..." has a path that holds a character`},
		{"R16 metadata at a relative address", func(c *mcpauth.Config) { c.MetadataURL = "/meta" }, `MetadataURL: "/met..." has no scheme`},
		{"R16 the document of the origin", func(c *mcpauth.Config) { c.MetadataURL = baseURL + "/.well-known/oauth-protected-resource" }, `MetadataURL: "https://mcp.example.com/..." is where the document of the bare origin is, whose resource is BaseURL; set OmitRootMetadata`},
		{"R16 the authorization server's document", func(c *mcpauth.Config) {
			c.ServeAuthorizationServerMetadata, c.MetadataURL = true, baseURL+"/.well-known/oauth-authorization-server"
		}, `MetadataURL: "https://mcp.example.com/..." is where clients look for the document of the authorization server`},
		{"R16 the word without the address", func(c *mcpauth.Config) { c.DangerouslyAllowForeignMetadataURL = true }, "DangerouslyAllowForeignMetadataURL: is set while MetadataURL is empty"},
		{"R16 the word for an address that needs none", func(c *mcpauth.Config) {
			c.MetadataURL, c.DangerouslyAllowForeignMetadataURL = baseURL+"/meta", true
		}, "DangerouslyAllowForeignMetadataURL: is set while MetadataURL is on the origin of BaseURL"},
		{"R16 where the document of an authorization server is", func(c *mcpauth.Config) { c.MetadataURL = baseURL + "/.well-known/oauth-authorization-server/mcp" }, `MetadataURL: "https://mcp.example.com/..." is where clients look for the document of the authorization server`},
		{"R16 where another origin has it", func(c *mcpauth.Config) {
			c.MetadataURL, c.DangerouslyAllowForeignMetadataURL = "https://docs.example/.well-known/oauth-authorization-server", true
		}, `MetadataURL: "https://docs.example/..." is where clients look for the document of the authorization server`},
		{"R16 where OpenID Connect has it", func(c *mcpauth.Config) { c.MetadataURL = baseURL + "/.well-known/openid-configuration" }, `MetadataURL: "https://mcp.example.com/..." is where clients look for the document of the authorization server`},
		{"R16 metadata at the endpoint in capital letters", func(c *mcpauth.Config) { c.MetadataURL = baseURL + "/MCP" }, `MetadataURL: "https://mcp.example.com/..." arrives here as the endpoint itself`},
		{"R16 the default address in capital letters", func(c *mcpauth.Config) { c.MetadataURL = baseURL + "/.Well-Known/oauth-protected-resource/mcp" }, `MetadataURL: "https://mcp.example.com/..." arrives here at the path of the default address in other capital letters`},
		{"R16 the default address, and the endpoint in capital letters", func(c *mcpauth.Config) { c.MetadataURL = baseURL + "/.well-known/oauth-protected-resource/MCP" }, `MetadataURL: "https://mcp.example.com/..." arrives here at the path of the default address in other capital letters`},
		{"R16 the default address in capital letters, behind a prefix that is stripped", func(c *mcpauth.Config) {
			c.BaseURL += "/prod"
			c.MetadataURL = c.BaseURL + "/.well-known/oauth-protected-resource/PROD/mcp"
		}, `MetadataURL: "https://mcp.example.com/..." arrives here at the path of the default address in other capital letters`},
		{"R16 the document of the origin in capital letters", func(c *mcpauth.Config) { c.MetadataURL = baseURL + "/.well-known/OAuth-Protected-Resource" }, `MetadataURL: "https://mcp.example.com/..." is where the document of the bare origin is, whose resource is BaseURL; set OmitRootMetadata`},
		{"the metadata's place in capital letters", func(c *mcpauth.Config) { c.Path = "/.WELL-KNOWN/oauth-protected-resource/x" }, `Path: "/.WE..." is where the metadata`},
		{"the authorization server's place", func(c *mcpauth.Config) { c.Path = "/.well-known/oauth-authorization-server" }, `Path: "/.we..." is where the metadata`},
		{"R67 all headers", func(c *mcpauth.Config) { c.AllowedHeaders = []string{"*"} }, `AllowedHeaders: "*" is a pattern`},
		{"R67 a pattern of headers", func(c *mcpauth.Config) { c.AllowedHeaders = []string{"X-*"} }, `AllowedHeaders: "X-*" is a pattern`},
		{"R67 several headers in one", func(c *mcpauth.Config) { c.AllowedHeaders = []string{"a, b"} }, `AllowedHeaders: "a, b" is not the name of a header; write one for each entry`},
		{"R67 an empty header", func(c *mcpauth.Config) { c.AllowedHeaders = []string{""} }, "AllowedHeaders: is not the name of a header"},
		{"R67 a line feed", func(c *mcpauth.Config) { c.AllowedHeaders = []string{"a\nb"} }, `AllowedHeaders: "a\nb" is not the name of a header`},
		{"R67 a letter outside ASCII", func(c *mcpauth.Config) { c.AllowedHeaders = []string{"é"} }, `AllowedHeaders: "é" is not the name of a header`},
		{"R67 cookies", func(c *mcpauth.Config) { c.AllowedHeaders = []string{"cookie"} }, `AllowedHeaders: "cookie" is a header that browsers let no page send`},
		{"R67 a header of browsers", func(c *mcpauth.Config) { c.AllowedHeaders = []string{"Sec-Fetch-Site"} }, `AllowedHeaders: "Sec-Fetch-Site" is a header that browsers let no page send`},
		{"R97 all headers", func(c *mcpauth.Config) { c.ExposedHeaders = []string{"*"} }, `ExposedHeaders: "*" is a pattern`},
		{"R97 cookies", func(c *mcpauth.Config) { c.ExposedHeaders = []string{"set-cookie"} }, `ExposedHeaders: "set-cookie" is a header that browsers show to no page`},
		{"R97 a colon", func(c *mcpauth.Config) { c.ExposedHeaders = []string{"X-A:"} }, `ExposedHeaders: "X-A:" is not the name of a header`},
		{"no base URL", func(c *mcpauth.Config) { c.BaseURL = "" }, "BaseURL: is missing; set BASE_URL"},
		{"R3 a base URL without scheme", func(c *mcpauth.Config) { c.BaseURL = "mcp.example.com" }, `BaseURL: "mcp...." has no scheme`},
		{"R3 host and port without scheme", func(c *mcpauth.Config) { c.BaseURL = "mcp.example.com:8080" }, `BaseURL: "mcp...." `},
		{"R3 a fragment", func(c *mcpauth.Config) { c.BaseURL += "#f" }, `BaseURL: "https://mcp.example.com#..." has a fragment`},
		{"R3 an empty fragment", func(c *mcpauth.Config) { c.BaseURL += "#" }, `BaseURL: "https://mcp.example.com#" has a fragment`},
		{"R3 R12 in the clear off loopback", func(c *mcpauth.Config) { c.BaseURL = "http://mcp.example.com" }, `BaseURL: "http://mcp.example.com" is not encrypted`},
		{"a name that starts like loopback", func(c *mcpauth.Config) { c.BaseURL = "http://localhost.example.com" }, `BaseURL: "http://localhost.example.com" is not encrypted`},
		{"a query", func(c *mcpauth.Config) { c.BaseURL += "?a=b" }, `BaseURL: "https://mcp.example.com?..." has a query`},
		{"an empty query", func(c *mcpauth.Config) { c.BaseURL += "?" }, `BaseURL: "https://mcp.example.com?" has a query`},
		{"no host", func(c *mcpauth.Config) { c.BaseURL = "https://" }, `BaseURL: "https://" has no host`},
		{"capitals", func(c *mcpauth.Config) { c.BaseURL = "https://MCP.example.com" }, `BaseURL: "https://MCP.example.com" has capital letters`},
		{"the scheme's own port", func(c *mcpauth.Config) { c.BaseURL += ":443" }, `BaseURL: "https://mcp.example.com:443" has a port that is impossible, or that is the default`},
		{"an impossible port", func(c *mcpauth.Config) { c.BaseURL += ":99999" }, `BaseURL: "https://mcp.example.com:99999" has a port that is impossible`},
		{"two slashes in the prefix", func(c *mcpauth.Config) { c.BaseURL += "/a//b" }, `BaseURL: "https://mcp.example.com/..." has a path that has an empty segment`},
		{"a control character", func(c *mcpauth.Config) { c.BaseURL += "\n" }, `BaseURL: "https://mcp.example.com\n" is not a URL`},
		{"a host in Unicode", func(c *mcpauth.Config) { c.BaseURL = "https://münchen.example" }, `BaseURL: "https://münchen.example" has a host that is neither a name`},
		{"a placeholder", func(c *mcpauth.Config) { c.BaseURL = "https://<your-host>" }, `BaseURL: "https://<your-host>" `},
		{"a dot at the end", func(c *mcpauth.Config) { c.BaseURL = "https://mcp.example.com." }, `BaseURL: "https://mcp.example.com." has a host`},
		{"an address that is not canonical", func(c *mcpauth.Config) { c.BaseURL = "http://[0:0:0:0:0:0:0:1]" }, `BaseURL: "http://[0:0:0:0:0:0:0:1]" has a host`},
		{"the endpoint in the base URL", func(c *mcpauth.Config) { c.BaseURL += "/mcp" }, `BaseURL: "https://mcp.example.com/..." ends in the endpoint's path`},
		{"the environment as base URL", func(c *mcpauth.Config) { c.BaseURL = c.EnvironmentURL }, `BaseURL: "https://acme.scalekit.com" is the environment's own URL`},
		{"loopback in capitals", func(c *mcpauth.Config) { c.BaseURL = "http://App.LOCALHOST:3000" }, `BaseURL: "http://App.LOCALHOST:3000" has capital letters`},
		{"a name that ends like loopback", func(c *mcpauth.Config) { c.BaseURL = "http://evillocalhost" }, `BaseURL: "http://evillocalhost" is not encrypted`},
		{"a name below which loopback is", func(c *mcpauth.Config) { c.EnvironmentURL = "http://app.localhost.evil.com" }, `EnvironmentURL: "http://app.localhost.evil.com" is not encrypted`},
		{"loopback with a dot at the end", func(c *mcpauth.Config) { c.BaseURL = "http://app.localhost." }, `BaseURL: "http://app.localhost." has a host`},
		{"loopback with an empty label", func(c *mcpauth.Config) { c.BaseURL = "http://a..localhost" }, `BaseURL: "http://a..localhost" has a host`},
		{"the environment as audience, with a slash", func(c *mcpauth.Config) { c.Audiences = []string{c.EnvironmentURL + "/"} }, `Audiences: "https://acme.scalekit.com/" is the environment's own URL`},
		{"the environment as audience", func(c *mcpauth.Config) { c.Audiences = []string{c.EnvironmentURL} }, `Audiences: "https://acme.scalekit.com" is the environment's own URL`},
		{"nanoseconds of skew", func(c *mcpauth.Config) { c.ClockSkew = 30 }, `ClockSkew: "30ns" is out of range`},
		{"nanoseconds of cache", func(c *mcpauth.Config) { c.Cache.MaxAge = 60 }, `Cache.MaxAge: "60ns" is out of range`},
		{"a relative path", func(c *mcpauth.Config) { c.Path = "mcp" }, `Path: "mcp" does not start with a slash`},
		{"a pattern of gin", func(c *mcpauth.Config) { c.Path = "/:tenant/mcp" }, `Path: "/:te..." holds a character`},
		{"a pattern of net/http", func(c *mcpauth.Config) { c.Path = "/{tenant}" }, `Path: "/{te..." holds a character`},
		{"a wildcard", func(c *mcpauth.Config) { c.Path = "/*" }, `Path: "/*" holds a character`},
		{"a plus", func(c *mcpauth.Config) { c.Path = "/+" }, `Path: "/+" holds a character`},
		{"a query in the path", func(c *mcpauth.Config) { c.Path = "/mcp?x" }, `Path: "/mcp..." holds a character`},
		{"an escape", func(c *mcpauth.Config) { c.Path = "/%6dcp" }, `Path: "/%6d..." holds a character`},
		{"a space", func(c *mcpauth.Config) { c.Path = "/m cp" }, `Path: "/m c..." holds a character`},
		{"dots", func(c *mcpauth.Config) { c.Path = "/a/../mcp" }, `Path: "/a/...." has an empty segment`},
		{"the metadata's place", func(c *mcpauth.Config) { c.Path = "/.well-known/oauth-protected-resource" }, `Path: "/.we..." is where the metadata`},
		{"a connection id", func(c *mcpauth.Config) { c.ResourceID = "conn_1" }, `ResourceID: "conn_1" is a connection id; the MCP server's id starts with res_`},
		{"a client id for a resource", func(c *mcpauth.Config) { c.ResourceID = "skc_1" }, `ResourceID: "skc_1" is not an MCP server's id`},
		{"a path in the id", func(c *mcpauth.Config) { c.ResourceID = "res_1/../2" }, `ResourceID: "res_1/....." is not an id`},
		{"an id without a secret", func(c *mcpauth.Config) { c.ClientID = "skc_1" }, "ClientSecret: is missing while ClientID is set"},
		{"a secret without an id", func(c *mcpauth.Config) { c.ClientSecret = mcpauth.NewSecret("hunter2") }, "ClientID: is missing while ClientSecret is set"},
		{"a resource id for a client", func(c *mcpauth.Config) { c.ClientID, c.ClientSecret = "res_1", mcpauth.NewSecret("x") }, `ClientID: "res_1" is not the id of API credentials`},
		{"a secret with a line feed", func(c *mcpauth.Config) { c.ClientID, c.ClientSecret = "skc_1", mcpauth.NewSecret("hunter2\n") }, `ClientSecret: "[redacted]" holds white space`},
		{"R7 offline_access", func(c *mcpauth.Config) { c.Scopes = []string{"offline_access"} }, `Scopes: "offline_access" is a scope that clients ask the authorization server for`},
		{"R7 offline_access required", func(c *mcpauth.Config) { c.RequiredScopes = []string{"offline_access"} }, `RequiredScopes: "offline_access" is a scope that clients ask the authorization server for`},
		{"R17 two scopes in one", func(c *mcpauth.Config) { c.RequiredScopes = []string{"a b"} }, `RequiredScopes: "a b" is not a scope`},
		{"R17 a quote", func(c *mcpauth.Config) { c.Scopes = []string{`a"b`} }, `Scopes: "a\"b" is not a scope`},
		{"R17 a letter outside ASCII", func(c *mcpauth.Config) { c.Scopes = []string{"ä"} }, `Scopes: "ä" is not a scope`},
		{"R17 an empty scope", func(c *mcpauth.Config) { c.Scopes = []string{""} }, "Scopes: is not a scope"},
		{"R59 an impossible implication", func(c *mcpauth.Config) { c.ImpliedScopes = map[string][]string{"a": {"b c"}} }, `ImpliedScopes: "b c" is not a scope`},
		{"documentation that is not a URL", func(c *mcpauth.Config) { c.DocsURL = "docs" }, `DocsURL: "docs" is not a web address`},
		{"R13 a member of ours", func(c *mcpauth.Config) { c.ExtraMetadata = map[string]any{"resource": "x"} }, `ExtraMetadata: "resource" is a member`},
		{"R13 not JSON", func(c *mcpauth.Config) { c.ExtraMetadata = map[string]any{"x": math.NaN()} }, `ExtraMetadata: "x" can't be written as JSON`},
		{"R6 null", func(c *mcpauth.Config) { c.ExtraMetadata = map[string]any{"x": nil} }, `ExtraMetadata: "x" has no value`},
		{"R65 null", func(c *mcpauth.Config) { c.AllowedOrigins = []string{"null"} }, `AllowedOrigins: "null" stands for`},
		{"R65 a path", func(c *mcpauth.Config) { c.AllowedOrigins = []string{"https://a.example/"} }, `AllowedOrigins: "https://a.example/" is more than an origin`},
		{"R65 a pattern", func(c *mcpauth.Config) { c.AllowedOrigins = []string{"https://*.example"} }, `AllowedOrigins: "https://*.example" is a pattern`},
		{"R65 a host", func(c *mcpauth.Config) { c.AllowedOrigins = []string{"a.example"} }, `AllowedOrigins: "a.ex..." is not an origin`},
		{"a credential's header without a hook", func(c *mcpauth.Config) { c.CredentialHeader = "X-Api-Key" }, `CredentialHeader: "X-Ap..." is set while Credential is not`},
		{"a credential's header that has a meaning", func(c *mcpauth.Config) { c.Credential, c.CredentialHeader = knownKey, "mcp-session-ID" }, `CredentialHeader: "mcp-..." has a meaning of its own`},
		{"a credential's header that is Authorization", func(c *mcpauth.Config) { c.Credential, c.CredentialHeader = knownKey, "authorization" }, `CredentialHeader: "auth..." has a meaning of its own`},
		{"a credential's header that is not a name", func(c *mcpauth.Config) { c.Credential, c.CredentialHeader = knownKey, "X Api Key" }, `CredentialHeader: "X Ap..." is not the name of a header`},
		{"a client with its version", func(c *mcpauth.Config) { c.ChallengeInResultFor = []string{"openai-mcp/1.0.0"} }, `ChallengeInResultFor: "open..." is not the name of a product`},
		{"a client in words", func(c *mcpauth.Config) { c.ChallengeInResultFor = []string{"*", "Open AI"} }, `ChallengeInResultFor: "Open..." (number 2) is not the name of a product`},
		{"a client without a name", func(c *mcpauth.Config) { c.ChallengeInResultFor = []string{""} }, `ChallengeInResultFor: is not the name of a product`},
		{"R65 capitals", func(c *mcpauth.Config) { c.AllowedOrigins = []string{"https://A.example"} }, `AllowedOrigins: "https://A.example" has capital letters`},
		{"an issuer that is not a URL", func(c *mcpauth.Config) { c.Issuers = []string{"acme"} }, `Issuers: "acme" has no scheme`},
		{"an issuer in the clear", func(c *mcpauth.Config) { c.Issuers = []string{"http://old.example.com"} }, `Issuers: "http://old.example.com" is not encrypted`},
		{"an empty audience", func(c *mcpauth.Config) { c.Audiences = []string{""} }, "Audiences: holds an empty entry"},
		{"no document at all", func(c *mcpauth.Config) { c.Path, c.OmitRootMetadata = "/", true }, "OmitRootMetadata: leaves no metadata document"},
		{"R40 too much skew", func(c *mcpauth.Config) { c.ClockSkew = 6 * time.Minute }, `ClockSkew: "6m0s" is out of range`},
		{"R40 negative skew", func(c *mcpauth.Config) { c.ClockSkew = -1 }, `ClockSkew: "-1ns" is out of range`},
		{"a negative cache", func(c *mcpauth.Config) { c.Cache.MaxEntries = -1 }, `Cache.MaxEntries: "-1" is negative`},
		{"a cache for ever", func(c *mcpauth.Config) { c.Cache.MaxAge = time.Hour }, `Cache.MaxAge: "1h0m0s" is out of range`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := goodConfig()
			c.change(&cfg)
			errs := configErrors(t, cfg)
			if len(errs) != 1 {
				t.Fatalf("%d mistakes, want 1: %v", len(errs), errs)
			}
			if got := errs[0].Error(); !strings.HasPrefix(got, c.want) {
				t.Errorf("got  %s\nwant %s...", got, c.want)
			}
			if strings.Contains(errs[0].Error(), "hunter2") || strings.Contains(errs[0].Value, "hunter2") {
				t.Errorf("a secret is shown: %v", errs[0])
			}
		})
	}
}

func TestNewReportsEveryMistakeAtOnce(t *testing.T) {
	t.Parallel()
	errs := configErrors(t, mcpauth.Config{
		BaseURL: "http://mcp.example.com", Path: "mcp", ResourceID: "conn_1", ClientID: "skc_1",
		Scopes: []string{"offline_access", "a b"}, ClockSkew: time.Hour, AllowedOrigins: []string{"x"},
		InternalEnvironmentURL: "http://a", MetadataURL: "https://b/c", AllowedHeaders: []string{"a", "*"}, ExposedHeaders: []string{"a b"},
	})
	var fields []string
	for _, e := range errs {
		fields = append(fields, e.Field)
	}
	want := "EnvironmentURL InternalEnvironmentURL BaseURL Path MetadataURL ResourceID ClientSecret Scopes Scopes AllowedOrigins AllowedHeaders ExposedHeaders ClockSkew"
	if got := strings.Join(fields, " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestNewAcceptsDeployments has settings that look like those which TestNewRefuses refuses.
func TestNewAcceptsDeployments(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*mcpauth.Config){
		"an internal address":             func(c *mcpauth.Config) { c.InternalEnvironmentURL = "https://scalekit.internal:8443/" },
		"an internal address on loopback": func(c *mcpauth.Config) { c.InternalEnvironmentURL = "http://127.0.0.1:9000" },
		"the same address twice":          func(c *mcpauth.Config) { c.InternalEnvironmentURL = c.EnvironmentURL },
		"containers": func(c *mcpauth.Config) {
			c.EnvironmentURL, c.DangerouslyAllowInsecureEnvironment = "http://devenv:3002", true
		},
		"an internal address in the clear, by setting": func(c *mcpauth.Config) {
			c.InternalEnvironmentURL, c.DangerouslyAllowInsecureEnvironment = "http://scalekit:8080", true
		},
		"an environment on loopback, and an internal address in the clear, by setting": func(c *mcpauth.Config) {
			c.EnvironmentURL, c.InternalEnvironmentURL, c.DangerouslyAllowInsecureEnvironment = "http://localhost:3002", "http://devenv:3002", true
		},
		"an environment on loopback, with a setting that stays when it is elsewhere": func(c *mcpauth.Config) {
			c.EnvironmentURL, c.InternalEnvironmentURL, c.DangerouslyAllowInsecureEnvironment = "http://localhost:3002", "http://[::1]:3002", true
		},
		"an issuer in the clear, by setting": func(c *mcpauth.Config) {
			c.Issuers, c.DangerouslyAllowInsecureEnvironment = []string{"http://devenv:3002"}, true
		},
		"metadata at the default address": func(c *mcpauth.Config) { c.MetadataURL = baseURL + "/.well-known/oauth-protected-resource/mcp" },
		"metadata on another origin, by setting": func(c *mcpauth.Config) {
			c.MetadataURL, c.DangerouslyAllowForeignMetadataURL = "https://docs.example.com/mcp", true
		},
		"metadata in the document's place of the origin": func(c *mcpauth.Config) {
			c.MetadataURL, c.OmitRootMetadata = baseURL+"/.well-known/oauth-protected-resource", true
		},
		"metadata of an endpoint at the root": func(c *mcpauth.Config) { c.Path, c.MetadataURL = "/", baseURL+"/.well-known/oauth-protected-resource" },
		"metadata next to a prefix":           func(c *mcpauth.Config) { c.BaseURL += "/prod"; c.MetadataURL = baseURL + "/products" },
		"headers that MCP has, too": func(c *mcpauth.Config) {
			c.AllowedHeaders, c.ExposedHeaders = []string{"accept", "Mcp-Param-City"}, []string{"retry-after"}
		},
		"null, and every other origin":                  func(c *mcpauth.Config) { c.AllowedOrigins, c.DangerouslyAllowNullOrigin = []string{"*"}, true },
		"offline_access with no other scope":            func(c *mcpauth.Config) { c.AdvertiseOfflineAccess = true },
		"two resources, one with the server's metadata": func(c *mcpauth.Config) { c.OmitRootMetadata, c.ServeAuthorizationServerMetadata = true, true },
	} {
		cfg := goodConfig()
		change(&cfg)
		if _, err := mcpauth.New(cfg); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestConfigFromEnv(t *testing.T) {
	for name, value := range map[string]string{
		"SCALEKIT_ENVIRONMENT_URL": " https://acme.scalekit.com\n", "SCALEKIT_CLIENT_ID": "skc_1", "SCALEKIT_CLIENT_SECRET": "s",
		"SCALEKIT_RESOURCE_ID": "res_1", "BASE_URL": baseURL,
	} {
		t.Setenv(name, value)
	}
	cfg := mcpauth.ConfigFromEnv()
	if cfg.EnvironmentURL != "https://acme.scalekit.com" || cfg.ClientID != "skc_1" || cfg.ClientSecret.Reveal() != "s" || cfg.ResourceID != "res_1" || cfg.BaseURL != baseURL {
		t.Errorf("got %+v", cfg)
	}
	if _, err := mcpauth.New(cfg); err != nil {
		t.Error(err)
	}
}
