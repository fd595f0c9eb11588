package mcpauth

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

const (
	corsMethods = "POST, GET, DELETE"
	corsHeaders = "Authorization, Content-Type, Accept, MCP-Protocol-Version, Mcp-Session-Id, Mcp-Method, Mcp-Name, Last-Event-ID"
	corsExposed = "WWW-Authenticate, Mcp-Session-Id, MCP-Protocol-Version, Retry-After"
	corsMaxAge  = "7200" // seconds; browsers cap it there

	nullOrigin = "null" // of pages that have no origin of their own

	paramHeader     = "mcp-param-" // the headers of the tool parameters that a server lifted out of the body
	maxParamHeaders = 4 << 10      // bytes of them in an answer
)

// An originPolicy decides about the Origin header (the Fetch standard §3.2; MCP "Security Warning" of the Streamable
// HTTP transport): a browser on a page that is not allowed must not reach an MCP server, least of all one on loopback.
type originPolicy struct {
	exposed  string                 // headers that pages may read
	allowed  map[string]*corsValues // what a response to that origin carries
	any      *corsValues            // likewise for every other origin; nil unless "*" is configured
	loopback bool                   // all loopback origins are allowed
	null     bool                   // so is the opaque one
	absent   *corsValues            // what a response carries when the request names no origin
	refused  *corsValues
}

func newOriginPolicy(cfg *Config) *originPolicy {
	p := &originPolicy{
		exposed: unionOfLists(corsExposed, cfg.ExposedHeaders),
		null:    cfg.DangerouslyAllowNullOrigin,
		allowed: make(map[string]*corsValues),
		refused: &corsValues{refused: true, vary: true},
	}
	if slices.Contains(cfg.AllowedOrigins, "*") {
		// Every origin gets the same answer, so Vary is not needed.
		p.any = &corsValues{origin: "*", exposed: p.exposed}
		p.absent = &corsValues{}
		return p
	}
	p.absent = &corsValues{vary: true}
	base, err := url.Parse(cfg.BaseURL)
	if err != nil {
		return p // unreachable: the configuration was checked
	}
	p.loopback = isLoopback(base.Hostname())
	for _, origin := range append([]string{base.Scheme + "://" + base.Host}, cfg.AllowedOrigins...) {
		p.allowed[origin] = p.response(origin)
	}
	if p.null {
		p.allowed[nullOrigin] = p.response(nullOrigin)
	}
	return p
}

func (p *originPolicy) response(origin string) *corsValues {
	return &corsValues{origin: origin, exposed: p.exposed, vary: true}
}

// check returns what every response to a request with these Origin lines carries, and whether it may go on.
func (p *originPolicy) check(lines []string) (headers *corsValues, ok bool) {
	switch {
	case len(lines) == 0:
		return p.absent, true
	case len(lines) > 1 || lines[0] == nullOrigin && !p.null:
		return p.refused, false
	case p.any != nil:
		return p.any, true
	}
	if headers = p.allowed[lines[0]]; headers != nil {
		return headers, true
	}
	if p.loopback && isLoopbackOrigin(lines[0]) {
		return p.response(strings.Clone(lines[0])), true // the line is the framework's, and reused by some
	}
	return p.refused, false
}

// isLoopbackOrigin reports whether origin is a page of this machine, on any port, written as browsers do (RFC 6454 §6.2).
func isLoopbackOrigin(origin string) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || !isLoopback(u.Hostname()) {
		return false
	}
	host := u.Hostname()
	if strings.Contains(host, ":") {
		host = "[" + host + "]" // else http://::1: would pass
	}
	if port := u.Port(); port != "" {
		host += ":" + port
	}
	return origin == u.Scheme+"://"+host
}

// preflight returns the reply to a CORS preflight of an allowed origin (the Fetch standard §3.2.2), without the headers that
// check returned for it. It adds the Mcp-Param-* that are asked for to the headers that are allowed anyway.
func preflight(allowed string, requested []string) *Reply {
	return &Reply{
		Status: http.StatusNoContent,
		Header: http.Header{
			"Access-Control-Allow-Methods": {corsMethods},
			"Access-Control-Allow-Headers": {allowed + paramHeaders(requested)},
			"Access-Control-Max-Age":       {corsMaxAge},
			"Vary":                         {"Access-Control-Request-Headers"},
		},
	}
}

// paramHeaders returns the Mcp-Param-* among the requested headers, each with ", " in front, as many as fit.
func paramHeaders(requested []string) string {
	var b strings.Builder
	for _, line := range requested {
		for name := range strings.SplitSeq(line, ",") {
			name = strings.Trim(name, " \t")
			if b.Len()+len(name) > maxParamHeaders {
				return b.String()
			}
			if len(name) > len(paramHeader) && strings.EqualFold(name[:len(paramHeader)], paramHeader) && isToken(name) {
				b.WriteString(", ")
				b.WriteString(name)
			}
		}
	}
	return b.String()
}

// Browsers neither let a page send the first ones, nor those that begin with Proxy- or Sec-, nor show it the others (the Fetch
// standard §2.2.2).
var (
	unsendableHeaders = []string{
		"Accept-Charset", "Accept-Encoding", "Access-Control-Request-Headers", "Access-Control-Request-Method",
		"Access-Control-Request-Private-Network", "Connection", "Content-Length", "Cookie", "Cookie2", "Date", "DNT", "Expect", "Host",
		"Keep-Alive", "Origin", "Referer", "Set-Cookie", "TE", "Trailer", "Transfer-Encoding", "Upgrade", "Via",
	}
	unreadableHeaders = []string{"Set-Cookie", "Set-Cookie2"}
)

func (c *checker) allowedHeader(name string) {
	const field = "AllowedHeaders"
	lower := strings.ToLower(name)
	if c.headerName(field, name, "traceparent") &&
		(listed(unsendableHeaders, name) || strings.HasPrefix(lower, "proxy-") || strings.HasPrefix(lower, "sec-")) {
		c.addKnown(field, name, "is a header that browsers let no page send; remove it")
	}
}

func (c *checker) exposedHeader(name string) {
	const field = "ExposedHeaders"
	if c.headerName(field, name, "X-Request-Id") && listed(unreadableHeaders, name) {
		c.addKnown(field, name, "is a header that browsers show to no page; remove it")
	}
}

// headerName reports whether name can be that of one header.
func (c *checker) headerName(field, name, example string) bool {
	switch {
	case isToken(name) && strings.Contains(name, "*"): // which a token may hold, and browsers take for all headers
		c.add(field, name, "is a pattern, and headers have to be named one by one; write each, such as "+example)
	case !isToken(name):
		c.add(field, name, "is not the name of a header; write one for each entry, such as "+example)
	default:
		return true
	}
	return false
}

func listed(names []string, name string) bool {
	return slices.ContainsFunc(names, func(other string) bool { return strings.EqualFold(other, name) })
}
