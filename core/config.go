package mcpauth

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"
)

// Config says which MCP server is protected, which Scalekit environment issues its access tokens, and what a request
// needs. EnvironmentURL and BaseURL are required; the zero value of every other field is a safe default.
type Config struct {
	// EnvironmentURL is the origin of the Scalekit environment, such as https://acme.scalekit.com: the issuer of the
	// access tokens and the place of their keys. https, or http on loopback: localhost, a name below it or an address.
	EnvironmentURL string

	// InternalEnvironmentURL is the origin from which keys and discovery documents are fetched, if this server reaches the
	// environment at another address than clients do: https://scalekit.internal:8443 in a cluster, http://devenv:3002 between
	// containers. Tokens and documents still have to name EnvironmentURL as their issuer, and clients are still sent there. Where
	// a document names an address on EnvironmentURL's origin, as that of the keys, this origin is asked instead.
	//
	// The Scalekit SDK's client of [SharedSDKClient] calls this address, too. Those who answer here decide which tokens are valid,
	// and get that client's credentials. The certificate has to be for the name in the address; HTTPClient may trust a
	// certificate authority of your own.
	InternalEnvironmentURL string

	// DangerouslyAllowInsecureEnvironment allows http for EnvironmentURL, InternalEnvironmentURL and Issuers whose host is not
	// loopback. Everyone on the network in between can then answer in the environment's place, and make tokens of any user, and
	// read the credentials that the client of [SharedSDKClient] sends. It is for the containers of a development machine, such as
	// http://devenv:3002.
	DangerouslyAllowInsecureEnvironment bool

	// BaseURL is the public origin of this server, plus the path prefix that a reverse proxy strips, if it strips one.
	// https, or http on loopback. One trailing slash is trimmed.
	//
	// It is configured and never taken from a request: a client that chooses the Host header would choose the resource.
	BaseURL string

	// Path is the local route of the MCP endpoint, "/mcp" by default. BaseURL and Path together are the resource
	// identifier (RFC 8707 §2), and have to be, byte for byte, the URL that MCP clients are given.
	Path string

	// MetadataURL is the address of the protected resource metadata that challenges send clients to (RFC 9728 §5.1). It is for
	// gateways that can't route the default, which is /.well-known/oauth-protected-resource at the root of the origin, before the
	// path of the endpoint. With the BaseURL https://abc.execute-api.example/prod it may be
	// https://abc.execute-api.example/prod/.well-known/oauth-protected-resource/mcp.
	//
	// The resource in the document stays the URL of the endpoint. If MetadataURL is below BaseURL, the document is served at its
	// path without that of BaseURL, which the gateway strips; otherwise at its whole path. It is served at the default path, too,
	// for clients that look there by themselves.
	MetadataURL string

	// DangerouslyAllowForeignMetadataURL allows a MetadataURL on another origin than that of BaseURL. Those who control that
	// origin name the authorization server, and so decide where users type their passwords. The document there has to be this
	// server's, byte for byte in its resource, or clients refuse it (RFC 9728 §3.3). This server serves the document at the path
	// of a foreign MetadataURL only if that is below /.well-known/oauth-protected-resource.
	DangerouslyAllowForeignMetadataURL bool

	// ResourceID is the id that Scalekit gave to the MCP server when it was registered, such as res_123. With it, a
	// token must be meant for this id, and Scalekit's resource-scoped issuer is accepted in addition to the environment's own.
	// Without it, a token must be meant for the resource identifier or BaseURL.
	ResourceID string

	// ClientID and ClientSecret are the environment's API credentials. Only [SharedSDKClient] uses them. Set the secret with
	// [NewSecret].
	ClientID     string
	ClientSecret Secret

	// Scopes are advertised as scopes_supported in the protected resource metadata and not enforced.
	// Without any, most clients ask for no scope at all.
	Scopes []string

	// RequiredScopes are advertised like Scopes, named in every challenge, and required of every request: a token
	// without them gets 403 insufficient_scope (RFC 6750 §3.1).
	RequiredScopes []string

	// AdvertiseOfflineAccess adds offline_access to scopes_supported, and to challenges that name scopes. It is never required
	// of a token. With that scope, clients get refresh tokens.
	//
	// MCP says that servers should not, because clients ask the authorization server for it by themselves. Those with the SDK for
	// TypeScript do not: they ask for exactly what is advertised, and their users sign in again whenever an access token ends.
	// Set it for them, if the environment gives refresh tokens to every client that asks.
	AdvertiseOfflineAccess bool

	// ImpliedScopes is the hierarchy among scopes: a token that holds a key holds the values too, transitively.
	ImpliedScopes map[string][]string

	// ChallengeHeldScopes has each insufficient_scope challenge also name the scopes that the token holds, as far as this
	// server knows them: from Scopes, RequiredScopes, [ResourceServer.WithRequiredScopes] and the rules of policies. A scope
	// that only code asks for, by [NeedScopes], has to be in Scopes to be known. Scopes of other servers are never named.
	//
	// MCP since 2026-07-28 has challenges name what the operation needs, and clients add that to what they have, which is the
	// default. Set it for clients that ask for the scopes of the challenge alone, as those with the SDKs for TypeScript, Python
	// and C# do today: their users are asked again at each change between two tools that need different scopes.
	ChallengeHeldScopes bool

	// ChallengeInResultFor names the clients that read the challenge of a refused tool call in the result of the call, as
	// ChatGPT does, and not in the HTTP response. A client is named by a product of its User-Agent (RFC 9110 §10.1.5), without
	// the version and in any case: "openai-mcp" is ChatGPT. "*" names all clients. All others get 401 or 403, as MCP has it.
	//
	// A client that is named gets 200 with a tool result: isError, a fixed text, and the value of WWW-Authenticate in
	// _meta["mcp/www_authenticate"] (OpenAI Apps SDK). That is so for a single tools/call with an id, in a POST, which is
	// refused because scopes are missing that a policy or the tool itself ([NeedScopes]) asks for, or because it has no credentials
	// and the server has public operations ([Rule.Public]).
	//
	// Batches, prompts and resources get the HTTP status, and so does what is decided before the body is read: 401 for bad tokens,
	// and for no credentials where nothing is public, and 403 for RequiredScopes that are missing.
	//
	// The challenge in a result always has the error code insufficient_scope, without credentials too, because ChatGPT needs one.
	// The User-Agent is the client's word, and decides about nothing else.
	ChallengeInResultFor []string

	// Policy says who may use the operations of the MCP server. Mount of an adapter enforces it for every handler, and so do
	// mcpauthgosdk.Handler and mcpauthmcpgo.Handler by themselves: [ResourceServer.RequireOperations] is not needed then. The
	// middlewares of the adapters don't read bodies, and do not enforce it.
	//
	// If it has rules with [Rule.Public], clients call the operations of these rules without credentials, and are asked to sign
	// in only when they call another one. That takes one of these two handlers, made from the same resource server and given
	// directly to Mount; everywhere else a request without credentials gets 401. See [ResourceServer.Endpoint].
	Policy *Policy

	// ResourceName and DocsURL become resource_name and resource_documentation of the metadata (RFC 9728 §2).
	ResourceName string
	DocsURL      string

	// ExtraMetadata adds members to the metadata document. It can't replace those that the library writes.
	ExtraMetadata map[string]any

	// ServeAuthorizationServerMetadata serves the environment's authorization server metadata (RFC 8414) at
	// /.well-known/oauth-authorization-server, for clients of MCP 2025-03-26: they look for it at the origin of the MCP server
	// and nowhere else. With ResourceID it is the document of that resource, which says where clients register.
	//
	// The document is fetched when it is first asked for, has to name an issuer that is accepted in tokens, and is kept as the keys
	// are: fetched again after 5 min, and used for up to 24 h if that fails. If there is none, the answer is 503 with Retry-After. Of
	// several resources on one origin, one can serve it.
	ServeAuthorizationServerMetadata bool

	// AllowedOrigins are the web origins that may call the server from a browser, in addition to BaseURL's own and, while
	// BaseURL is loopback, every loopback origin. A request with any other Origin header is refused with 403.
	//
	// "*" allows all but the opaque origin "null". That is right for a server without ambient credentials (cookies,
	// client certificates, a trusted network) which browser clients are to reach.
	AllowedOrigins []string

	// DangerouslyAllowNullOrigin allows requests with "Origin: null", which browsers send for every sandboxed frame, local file
	// and data: page, no matter who made it. It is as open as "*" in AllowedOrigins, which does not include it.
	DangerouslyAllowNullOrigin bool

	// AllowedHeaders are request headers that pages on allowed origins may send, in addition to those of HTTP authentication and
	// MCP, such as "traceparent". They concern browsers alone: every other client may send any header.
	AllowedHeaders []string

	// ExposedHeaders are response headers that these pages may read, in addition to those of MCP and to what a middleware in
	// front exposes, such as "X-Request-Id".
	ExposedHeaders []string

	// Issuers are accepted in a token's iss in addition to the environment's own two. Their tokens too have to be signed by a
	// key of the environment.
	Issuers []string

	// Audiences are accepted in a token's aud in addition to the resource's own. Every entry lets tokens in that were
	// issued for something else. They are compared byte by byte, except that a web address without a path is the same with
	// a slash at its end (RFC 3986 §6.2.3).
	Audiences []string

	// OmitRootMetadata leaves out the metadata document of the bare origin, and BaseURL is not accepted as an audience. It is
	// for several resources on one origin, which can't all be the origin's resource.
	OmitRootMetadata bool

	// ClockSkew is the tolerance for a token's exp, nbf and iat, 30 s by default and at most 5 min.
	ClockSkew time.Duration

	// MaxCall is how long after the end of its token a call may go on that was allowed when it came, 1 hour by default: a
	// tool that works for longer than its caller's token lives still answers, and the client need not repeat what was
	// done. A negative MaxCall ends calls with their tokens. Streams that answer no call always end so; see
	// [ResourceServer.Serve].
	MaxCall time.Duration

	// Cache bounds the cache of verified tokens.
	Cache CacheConfig

	// Revocation, when set, is asked for every request with a valid token or credential, cached or not, before IsRevoked. What it
	// says is revoked is refused with 401, and open responses of such a session end. While it does not know, requests are
	// refused with 503, and open streams end. Package mcpauthrevocation has one.
	Revocation Revocation

	// IsRevoked, when set, is asked for every request with a valid token, cached or not. true refuses it with 401. An error, a
	// panic and no answer within 5 s refuse it with 503, because a check that can't be made must not let anyone in.
	IsRevoked func(context.Context, *Session) (bool, error)

	// Credential, when set, also lets requests in that carry a credential other than an access token, such as an API key. It
	// gets the value after "Bearer" or, with CredentialHeader, that of the header, and returns whose it is. scheme is "Bearer"
	// or CredentialHeader. It never gets a value that looks like a JWT: with two or four dots, or beginning with
	// eyJ or a brace.
	//
	// nil claims without an error refuse the request with 401 invalid_token. An error, a panic, claims without Subject or
	// ExpiresAt or from the future, and no answer within 5 s refuse it with 503. Answers are cached as tokens are, for
	// [CacheConfig.MaxAge] at most; IsRevoked, scopes and policies see a session like any other. Its [Session.Principal] is
	// never equal to that of a token. A request with an access token and another credential gets 400.
	//
	// Compare secrets in constant time, and look them up by a hash: the value is a stranger's text of up to 16 KiB.
	Credential func(ctx context.Context, scheme, value string) (*Claims, error)

	// CredentialHeader is the header that Credential gets the values of, such as "X-Api-Key". Browsers on allowed origins may
	// send it. Without it, Credential gets values of "Authorization: Bearer".
	CredentialHeader string

	// SharedKeys, when set, has the keys fetched once for all resource servers with the same value: for tenants, several hosts,
	// or several MCP servers of one environment. nil has this resource server fetch its own.
	SharedKeys *SharedKeys

	// HTTPClient fetches discovery documents and keys. Give one whose transport trusts your certificate authority
	// (tls.Config.RootCAs) if the environment's certificate comes from there. The default has its own transport and honours
	// HTTPS_PROXY and the like. Redirects to another origin are not followed, whatever the client. The library bounds the time and
	// size of every fetch itself, for which the client's transport has to honour the context of a request, as
	// http.Transport does.
	HTTPClient *http.Client

	// Logger receives refusals with their cause and cure (missing credentials at Debug, failures of the functions here at Warn,
	// others at Info) and failures of the environment (at Warn). It never receives a token. The default is slog.Default() at
	// the time of [New].
	Logger *slog.Logger

	// Now is the clock, time.Now by default.
	Now func() time.Time
}

// LogValue gives a logger the settings that errors of [New] are about. It shows as little of each value as those errors do,
// because a secret may be in the wrong place.
func (c Config) LogValue() slog.Value { return slog.GroupValue(c.attrs()...) }

func (c Config) attrs() []slog.Attr {
	text := func(name, value string) slog.Attr { return slog.String(name, abridgeExcept(c.ClientSecret, value)) }
	list := func(name string, values []string) slog.Attr {
		shown := make([]string, len(values))
		for i, value := range values {
			shown[i] = abridgeExcept(c.ClientSecret, value)
		}
		return slog.Any(name, shown)
	}
	return []slog.Attr{
		text("environment_url", c.EnvironmentURL), text("internal_environment_url", c.InternalEnvironmentURL),
		text("base_url", c.BaseURL), text("path", c.Path), text("metadata_url", c.MetadataURL), text("resource_id", c.ResourceID),
		text("client_id", c.ClientID), slog.String("client_secret", c.ClientSecret.String()),
		list("scopes", c.Scopes), list("required_scopes", c.RequiredScopes), list("allowed_origins", c.AllowedOrigins),
		list("allowed_headers", c.AllowedHeaders), list("exposed_headers", c.ExposedHeaders),
		list("challenge_in_result_for", c.ChallengeInResultFor),
		list("issuers", c.Issuers), list("audiences", c.Audiences), slog.Duration("clock_skew", c.ClockSkew),
	}
}

// MarshalJSON returns what LogValue gives to a logger, as an object.
func (c Config) MarshalJSON() ([]byte, error) { return marshalAttrs(c.attrs()) }

// Format writes what LogValue gives to a logger, for every verb and flag. In an unexported field of another struct, fmt
// does not call it, and only ClientSecret is not shown.
func (c Config) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, c.LogValue().String()) }

// CacheConfig bounds the cache of verified tokens. The cache holds no token, only a MAC by which one is recognized, and
// only for tokens that passed every check; expiry, revocation hook and scopes are looked at again on each use.
type CacheConfig struct {
	// Disabled makes every request pay for a signature check.
	Disabled bool

	// MaxEntries is 10,000 by default.
	MaxEntries int

	// MaxAge is the longest that a token is trusted without checking its signature again: 60 s by default, at most
	// 10 min. A key that the environment withdrew is noticed with the next key fetch, whatever this says.
	MaxAge time.Duration
}

// ConfigFromEnv returns a Config with the fields that Scalekit's users know as environment variables:
// EnvironmentURL from SCALEKIT_ENVIRONMENT_URL, ClientID from SCALEKIT_CLIENT_ID, ClientSecret from
// SCALEKIT_CLIENT_SECRET, ResourceID from SCALEKIT_RESOURCE_ID and BaseURL from BASE_URL. White space around a value
// is dropped; nothing is checked before [New].
func ConfigFromEnv() Config {
	env := func(name string) string { return strings.TrimSpace(os.Getenv(name)) }
	return Config{
		EnvironmentURL: env("SCALEKIT_ENVIRONMENT_URL"),
		ClientID:       env("SCALEKIT_CLIENT_ID"),
		ClientSecret:   NewSecret(env("SCALEKIT_CLIENT_SECRET")),
		ResourceID:     env("SCALEKIT_RESOURCE_ID"),
		BaseURL:        env("BASE_URL"),
	}
}
