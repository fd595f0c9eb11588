// Package mcpauth makes an MCP server an OAuth 2.1 protected resource with Scalekit as its authorization server.
//
// A [ResourceServer] decides about requests. It does not depend on a router; adapters carry out its decisions:
// github.com/scalekit-mcp/mcpauth/nethttp for net/http and everything compatible with it, and one module for each other
// router.
//
// # What happens to a request
//
// A request to the MCP endpoint is let through only with a valid access token, sent as "Authorization: Bearer ..."
// (RFC 6750 §2.1), or with another credential that [Config.Credential] accepts. The token must be signed by a current key of
// the environment with RS256, be issued by the environment for this very resource (RFC 8707), be within its lifetime, not be
// revoked ([Config.Revocation]), and hold [Config.RequiredScopes]. The handler finds the caller with [SessionFromContext].
//
// Everything else is answered without the handler:
//
//   - No credentials: 401 with a challenge that leads the client to the protected resource metadata (RFC 9728 §5.1).
//     The client needs no other configuration to get a token.
//   - A malformed Authorization header, two of them, or a token and another credential: 400 invalid_request.
//   - A token that is expired, revoked, forged, or meant for something else: 401 invalid_token.
//   - A token without a required scope: 403 insufficient_scope, naming all scopes that are needed.
//   - An Origin header that is not allowed: 403. A preflight of an allowed origin: 204.
//   - No key to verify with, because the environment can't be reached or was asked too often, or a function of [Config] that
//     failed: 503 with Retry-After. A 401 would make clients throw good tokens away.
//
// The body is read only where a [Policy] is enforced, for servers whose tools, prompts and resources have rules of their own
// ([Config.Policy], [ResourceServer.RequireOperations]), and only after authentication. Operations that a policy makes
// public are the one exception: see [ResourceServer.Endpoint].
//
// # What is for whom
//
// A program with an MCP server needs few of the names here:
//
//   - [New] makes a resource server of a [Config], which [ConfigFromEnv] fills in. Mount of an adapter protects the endpoint.
//   - [SessionFromContext] returns the [Session] of the caller.
//   - [NewPolicy] compiles [Rules] for single tools, prompts and resources. [NeedScopes] and [ErrHidden] are answers of
//     Rules.Check; a tool may return the former, too.
//   - [SharedKeys] is for several resource servers in one process, [NewSealer] for state that clients keep, and
//     [SharedSDKClient] for calls of Scalekit's API.
//
// Adapters of routers that serve net/http use [ResourceServer.RegisterRoutes], [ResourceServer.RegisterMetadata],
// [ResourceServer.RequireToken], [ResourceServer.Serve], [ServeVisits] and [KeepRoute]. Those of other routers use
// [ResourceServer.Endpoint], [Endpoint.Authenticate] and the methods of [Decision].
//
// The modules for MCP SDKs, mcpauthgosdk and mcpauthmcpgo, use [ResourceServer.SDKHandler], [PublicSessions], [LateStepUp],
// [LateResult] and [ResourceServer.SecuritySchemes].
package mcpauth
