package mcpauthfasthttp

import (
	"net/http"
	"slices"
	"strings"
	"sync"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/valyala/fasthttp"
)

// A corsHeader is what of a response's header is a matter of CORS, in net/http's shape.
type corsHeader struct {
	http.Header
	names []string // as they are in the response, once each

	// The last answer, and the lines of a response that had none before: most responses of a server get the same.
	answer mcpauth.CORSAnswer
	lines  []line
}

var corsHeaderPool = sync.Pool{New: func() any { return &corsHeader{Header: make(http.Header)} }}

// corsOf returns the lines of header that are a matter of CORS. They are copies.
func corsOf(header *fasthttp.ResponseHeader) *corsHeader {
	c, _ := corsHeaderPool.Get().(*corsHeader)
	for name, value := range header.All() {
		if !isCORS(alias(name)) {
			continue
		}
		own := string(name)
		if c.Header[own] == nil {
			c.names = append(c.names, own)
		}
		c.Header[own] = append(c.Header[own], string(value))
	}
	return c
}

// isCORS reports whether a header is a matter of CORS.
func isCORS(name string) bool {
	const prefix = "Access-Control-"
	if name == "" || name[0]|0x20 != 'a' && name[0]|0x20 != 'v' {
		return false
	}
	return len(name) > len(prefix) && strings.EqualFold(name[:len(prefix)], prefix) || strings.EqualFold(name, fasthttp.HeaderVary)
}

func (c *corsHeader) release() {
	if len(c.Header) > 0 {
		clear(c.Header)
	}
	clear(c.names)
	c.names = c.names[:0]
	corsHeaderPool.Put(c)
}

// cors returns what decision says about the CORS headers of a response that has these so far.
func cors(header *fasthttp.ResponseHeader, decision *mcpauth.Decision) mcpauth.CORSAnswer {
	if !hasCORS(header) {
		return decision.CORS(nil)
	}
	c := corsOf(header)
	defer c.release()
	return decision.CORS(c.Header)
}

func hasCORS(header *fasthttp.ResponseHeader) bool {
	for name := range header.All() {
		if isCORS(alias(name)) {
			return true
		}
	}
	return false
}

// setCORS gives a response the CORS headers of answer. It runs when all handlers have returned, before the header is sent.
func setCORS(header *fasthttp.ResponseHeader, answer *mcpauth.CORSAnswer) {
	if hasCORS(header) {
		c := corsOf(header)
		defer c.release()
		answer.Set(c.Header)
		replaceLines(header, c.names, c.Header)
		return
	}
	c, _ := corsHeaderPool.Get().(*corsHeader)
	defer c.release()
	if c.answer != *answer {
		c.remember(answer)
	}
	for _, line := range c.lines {
		addLine(header, line.name, line.value)
	}
}

func (c *corsHeader) remember(answer *mcpauth.CORSAnswer) {
	c.answer, c.lines = *answer, c.lines[:0]
	answer.Set(c.Header)
	for name, values := range c.Header {
		for _, value := range values {
			c.lines = append(c.lines, line{name, value})
		}
	}
}

// setHeader is [mcpauth.Decision.SetHeader] for fasthttp.
func setHeader(header *fasthttp.ResponseHeader, decision *mcpauth.Decision) {
	c := corsOf(header)
	defer c.release()
	decision.SetHeader(c.Header)
	replaceLines(header, c.names, c.Header)
}

// replaceLines sets the lines of some headers, after those that are named were taken out: all that are a matter of CORS.
func replaceLines(header *fasthttp.ResponseHeader, out []string, set http.Header) {
	if len(out) > 0 {
		// Del changes the order of all lines that stay, which counts where several have one name: those are added anew.
		repeated := repeatedLines(header)
		for _, name := range out {
			header.Del(name)
		}
		for name, lines := range repeated {
			if !slices.Contains(out, name) {
				header.Del(name)
				addHeader(header, name, lines)
			}
		}
	}
	for name, lines := range set {
		if !isCORS(name) { // else it is out
			header.Del(name)
		}
		addHeader(header, name, lines)
	}
}

// repeatedLines returns the lines of headers that have several, nil when none has.
func repeatedLines(header *fasthttp.ResponseHeader) http.Header {
	counts := make(map[string]int)
	for name := range header.All() {
		counts[alias(name)]++
	}
	var repeated http.Header
	for name, value := range header.All() {
		if counts[alias(name)] < 2 || is(name, fasthttp.HeaderSetCookie) {
			continue
		}
		if repeated == nil {
			repeated = make(http.Header)
		}
		repeated[string(name)] = append(repeated[string(name)], string(value))
	}
	return repeated
}
