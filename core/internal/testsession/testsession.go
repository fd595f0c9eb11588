// Package testsession is the way by which mcpauthtest makes sessions that count wherever a test puts them. No other
// session does: it counts for the resource server that verified it.
package testsession

// Everywhere makes a *mcpauth.Session, which nothing else has seen yet, count for every resource server. Package mcpauth
// sets it.
var Everywhere func(session any)
