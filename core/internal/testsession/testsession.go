// Package testsession lets mcpauthtest make sessions that every resource server accepts. Any other session counts only for
// the resource server that verified it.
package testsession

// Everywhere makes a new *mcpauth.Session count for every resource server. It has to be called before anything else uses the
// session. Package mcpauth sets it.
var Everywhere func(session any)
