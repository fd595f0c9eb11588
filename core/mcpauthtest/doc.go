// Package mcpauthtest is for the tests of programs that use mcpauth: a fake Scalekit environment on loopback that mints
// any token, good or bad, rotates its keys, slows down, breaks and disappears; and sessions for testing a tool without
// HTTP.
package mcpauthtest
