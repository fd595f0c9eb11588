// Package mcpauthtest helps to test programs that use mcpauth. It has a fake Scalekit environment on loopback, which mints
// any token, good or bad, rotates its keys, slows down, breaks and disappears, and it has sessions for testing a tool
// without HTTP.
package mcpauthtest
