// Package mcpauthrevocation refuses what an administrator has ended: tokens, sessions, users, members, organizations and
// OAuth clients, on every replica of a server, within a second. A [List] is handed to [mcpauth.Config.Revocation]. It learns
// what was ended in Scalekit by [List.Webhook], what the application ends by [List.Revoke], and what the other replicas have
// learned by a [Store], which [List.Run] follows.
//
// Every request asks the list, which answers from its own memory: there is no look-up over the network, and no lock. A list
// that is not up to date refuses all requests with 503 instead of letting in what it does not know.
package mcpauthrevocation
