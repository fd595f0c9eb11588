// Package devenv runs a local stand-in for a Scalekit environment, for development and for end-to-end tests: an MCP
// server, its clients and the Scalekit SDK work against it as they do against the real one, without an account.
//
// It listens on one loopback address and refuses any other, because its sign-in page asks for no password;
// [Config.DangerouslyAllowNetwork] opens it to other containers. A real OAuth server library does the protocol, the tokens are
// signed, and clients register and refresh; only people and organizations are made up. Everything is kept in memory and lost
// at the end.
//
//	go run ./devenv/cmd/devenv -server-url http://localhost:3001/mcp
//
// starts it alone and prints the variables to export. In a test:
//
//	env, err := devenv.Start(ctx, devenv.Config{Addr: "127.0.0.1:0", ServerURL: server.URL + "/mcp"})
//
// # The page at its root
//
// Open [Environment.URL] in a browser: it shows who is signed in, the claims of their access tokens and how long these are
// valid, clients, keys, the last requests as they happen, and the webhooks that were sent. It never shows a token, a code or a
// secret. It has a button for each of these methods, which tests and other programs can call:
//
//   - [Environment.EndSession], [Environment.RemoveMember], [Environment.DeleteOrganization] and [Environment.DeactivateUser] do
//     what an administrator does in Scalekit, or the directory of an organization.
//   - [Environment.RotateKeys] and [Environment.WithdrawKey] change the keys.
//   - [Environment.SetDelay], [Environment.SetDown] and [Environment.SetTokenLife] make it slow, take it down, and change how
//     long new tokens are valid. The page itself is neither slow nor down.
//
// All but the live part works without JavaScript.
//
// # Webhooks
//
// What an administrator does is sent to each of [Config.WebhookURLs] as Scalekit sends it: signed with
// [Config.WebhookSecret] (Standard Webhooks), and up to three times more when the answer is not 2xx within 10 s.
//
//   - EndSession: user.logout
//   - RemoveMember: user.organization_membership_deleted
//   - DeleteOrganization: organization.deleted
//   - DeactivateUser: organization.directory.user_updated with active false, which names the user by email
//
// One event is sent for each. Sessions that end with a member, an organization or a user send no user.logout of their own.
// Access tokens in circulation stay valid until they expire, unless the server refuses them after the webhook.
//
// # Tokens
//
// Access tokens have the claims that Scalekit documents for MCP users: iss, aud, sub, client_id, scope, sid, iat and exp. With
// [Config.OrgClaims] they name the organization of the user, too: oid, xoid, roles and permissions. They have no jti and no
// nbf, so that two tokens of one session that are issued in the same second may be equal.
//
// # What it serves
//
//   - /.well-known/oauth-authorization-server/resources/{id} and
//     /resources/{id}/.well-known/oauth-authorization-server: the same metadata (RFC 8414). Its issuer is always
//     {url}/resources/{id}, whatever [Config.BareIssuer] and [Config.IssuerOrigin] say about tokens.
//   - /.well-known/openid-configuration: of the environment; without registration_endpoint, as at Scalekit.
//   - /keys: the only key set. /resources/{id}/keys is 404, as at Scalekit.
//   - /resources/{id}/oauth/authorize, .../token, .../revoke: authorization code with PKCE (S256 required), refresh
//     with rotation, revocation (RFC 7009), resource indicators (RFC 8707).
//   - /api/v1/resources/{id}/clients:register: dynamic client registration (RFC 7591), as application/json. Every client
//     is public. A client id may also be the URL of a client metadata document: https, or http on loopback.
//   - /oauth/token: client credentials of the environment, for the Scalekit SDK and the endpoints below; and those of
//     [Config.Clients], agents for example, whose tokens are for the MCP server. These work at /resources/{id}/oauth/token, too.
//   - /scalekit.v1.organizations.OrganizationService/ (GetOrganization, ListOrganization; other methods are unimplemented)
//     and GET /api/v1/organizations/{id}: the organizations of [Config.Users], for the bearer of such a token.
//   - POST /api/v1/tokens, /api/v1/tokens:validate and /api/v1/tokens:invalidate: API keys of these organizations and their
//     users, for the bearer of such a token.
//
// # Web pages
//
// A developer's browser has pages open that can send requests here. All of them are taken to be hostile:
//
//   - Requests whose Host is neither a loopback name nor in [Config.DangerouslyAllowNetwork] are refused (DNS rebinding).
//   - Scripts of any page may read metadata and keys. Only those of pages on loopback may register, redeem and revoke
//     (CORS, and a 403 by Origin where no CORS is needed). No page may call endpoints that take the environment's credentials.
//   - The authorization endpoint is for navigation only: no script may read it (RFC 9700 §2.6), no frame may show it, and
//     a request for an image, a script, a frame or a prefetch is refused (Fetch Metadata).
//   - A client metadata document is fetched only for an authorization request that is complete. The
//     rest of the flow uses what was fetched. The host of an https URL has to have a public address, and the fetch goes
//     there without a proxy; it takes at most 5 s, 16 KiB and no redirect. What was fetched is good for a minute of
//     authorization requests, and in one minute at most 100 documents are fetched.
//   - Redirect URIs are https, http on loopback, or have the scheme of an app: a reverse domain name (RFC 8252 §7.1), or
//     one that MCP clients are known for, such as cursor and vscode.
//   - The page at the root is for navigation only, and no frame may show it. Its parts and its buttons answer only requests of
//     its own origin (Origin, Fetch Metadata), and a button needs the token of its form. It runs no scripts but its own
//     (Content-Security-Policy).
//   - At most 1000 clients are known at a time. A new one replaces an old one: first those that no person has signed in
//     with, and among them the oldest. A replaced client has to register again.
//
// # The sign-in page
//
// The page at the authorization endpoint is one HTML form that a person clicks or a program submits: POST, as
// application/x-www-form-urlencoded, to the form's action, with these fields:
//
//   - csrf: hidden; copy its value.
//   - user: radio buttons; the id of one of [Config.Users]. The first is checked, or the one that the parameter
//     login_hint names by id or email.
//   - decision: the name of both buttons; "approve" or "deny".
//
// The answer is a 303 to the client's redirect URI with code, state and iss, or with error=access_denied. Each form can be
// answered only once.
//
// # Differences from Scalekit
//
//   - A client that asks for no scope is granted none; refresh tokens need offline_access.
//   - A used refresh token that comes back is refused, and ends the whole session (RFC 9700 §4.14.2).
//   - Revoking an access token ends its session, that is its refresh token. The access token itself is verified without
//     asking the environment, so it works until it expires.
//   - What Scalekit grants to a client of [Config.Clients] that asks for scopes which it does not have is not documented.
//     Here such scopes are left out. Its tokens have their scopes as the list scopes, as other machines' tokens do.
//   - API keys can't be listed and updated.
//   - Every client that registers itself is public and may use refresh tokens and all scopes, whatever it asked for. Registrations
//     end with the process: a client that kept its id has to register again.
//   - {url}/oauth/authorize, which the environment's OpenID configuration names, answers 501: sign in at the resource.
package devenv
