package mcpauthfasthttp

import (
	"bytes"
	"net/http"
	"net/textproto"
	"net/url"

	"github.com/valyala/fasthttp"
)

// request copies the request: fasthttp reuses the memory of all its strings. It is not on the heap yet, because the copy
// with its context will be.
func request(ctx *fasthttp.RequestCtx, body *requestBody) (r http.Request, err error) {
	header := &ctx.Request.Header
	r = http.Request{
		Method:        string(ctx.Method()),
		Proto:         string(header.Protocol()),
		Header:        make(http.Header),
		Body:          body,
		ContentLength: max(body.left, -1),
		Host:          string(header.Host()),
		RequestURI:    string(header.RequestURI()),
		RemoteAddr:    ctx.RemoteAddr().String(),
		TLS:           ctx.TLSConnectionState(),
	}
	if r.URL, err = url.ParseRequestURI(r.RequestURI); err != nil {
		return r, err
	}
	if r.URL.Host != "" { // absolute-form
		r.Host = r.URL.Host
	}
	reroute(r.URL, ctx.URI(), header.RequestURI())
	r.ProtoMajor, r.ProtoMinor, _ = http.ParseHTTPVersion(r.Proto)
	if r.ContentLength == 0 {
		r.Body = http.NoBody
	}
	values := make([]string, 0, header.Len()) // one piece of memory for most of them
	for key, value := range header.All() {
		switch name := textproto.CanonicalMIMEHeaderKey(string(key)); {
		case name == "Host", name == "Trailer":
		case name == "Content-Length" && r.ContentLength == 0, name == "Connection" && r.ProtoMinor == 0: // fasthttp's own
		case name == "Transfer-Encoding":
			if r.ContentLength < 0 {
				r.TransferEncoding = []string{"chunked"}
			}
		default:
			if lines := r.Header[name]; lines != nil {
				r.Header[name] = append(lines, string(value))
				continue
			}
			values = append(values, string(value))
			last := len(values)
			r.Header[name] = values[last-1 : last : last]
		}
	}
	return r, nil
}

// reroute gives u the path and the query that the router has routed, if a handler in front has changed those of the
// target, as Fiber's rewrite middleware does. A path is written as in a target, percent-encoded.
func reroute(u *url.URL, routed *fasthttp.URI, target []byte) {
	path := pathOf(target)
	if now := routed.PathOriginal(); !bytes.Equal(now, path) && (len(path) > 0 || len(now) > 1) {
		raw := string(now)
		u.Path, u.RawPath = raw, ""
		if plain, err := url.PathUnescape(raw); err == nil {
			u.Path = plain
			if exact := (&url.URL{Path: plain, RawPath: raw}); u.EscapedPath() != raw && exact.EscapedPath() == raw {
				u.RawPath = raw
			}
		}
		u.Opaque = ""
	}
	if now := routed.QueryString(); alias(now) != u.RawQuery {
		u.RawQuery, u.ForceQuery = string(now), false
	}
}

// pathOf returns the path of a target as it was sent.
func pathOf(target []byte) []byte {
	path, _, _ := bytes.Cut(target, []byte("?"))
	if len(path) == 0 || path[0] == '/' {
		return path
	}
	if scheme := bytes.Index(path, []byte("://")); scheme > 0 { // absolute-form
		path = path[scheme+len("://"):]
		if i := bytes.IndexByte(path, '/'); i >= 0 {
			return path[i:]
		}
		return nil
	}
	return path
}
