package mcpauthfasthttp

import (
	"bytes"
	"net"
	"net/http"
	"net/netip"
	"net/textproto"
	"net/url"

	"github.com/valyala/fasthttp"
)

// copyRequest copies the request of ctx to r: fasthttp reuses the memory of all its strings. They are in one piece of memory
// afterwards.
func (x *exchange) copyRequest(r *http.Request, ctx *fasthttp.RequestCtx) (err error) {
	header := &ctx.Request.Header
	text := append(x.worker.buf, header.RequestURI()...)
	target := len(text)
	text = append(text, header.Host()...)
	host := len(text)
	text = appendAddr(text, ctx.RemoteAddr())
	remote := len(text)
	ends := x.worker.ends // of the names and values that follow
	for key, value := range header.All() {
		text = append(text, key...)
		ends = append(ends, len(text))
		text = append(text, value...)
		ends = append(ends, len(text))
	}
	all := string(text)
	x.worker.buf, x.worker.ends = text[:0], ends[:0]

	*r = http.Request{
		Method:        methodOf(ctx),
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Body:          &x.body,
		ContentLength: max(x.body.left, -1),
		Host:          all[target:host],
		RequestURI:    all[:target],
		RemoteAddr:    all[host:remote],
		TLS:           ctx.TLSConnectionState(),
	}
	if !header.IsHTTP11() {
		r.Proto, r.ProtoMinor = "HTTP/1.0", 0 // arrive lets no others through
	}
	if r.ContentLength == 0 {
		r.Body = http.NoBody
	}
	if r.URL, err = x.parseTarget(r.RequestURI); err != nil {
		return err
	}
	if r.URL.Host != "" { // absolute-form
		r.Host = r.URL.Host
	}
	reroute(r.URL, ctx.URI(), header.RequestURI())
	x.copyHeader(r, all, remote, ends)
	return nil
}

// copyHeader gives r the header lines, whose names and values follow each other in text and end there.
func (x *exchange) copyHeader(r *http.Request, text string, begin int, ends []int) {
	values := x.values[:0]
	if lines := len(ends) / 2; lines > len(x.values) {
		values = make([]string, 0, lines)
	}
	r.Header = make(http.Header, len(ends)/2)
	for ; len(ends) > 0; ends = ends[2:] {
		name, value := textproto.CanonicalMIMEHeaderKey(text[begin:ends[0]]), text[ends[0]:ends[1]]
		begin = ends[1]
		switch {
		case name == "Host", name == "Trailer":
			continue
		case name == "Content-Length" && r.ContentLength == 0, name == "Connection" && r.ProtoMinor == 0: // fasthttp's own
			continue
		case name == "Transfer-Encoding":
			if r.ContentLength < 0 {
				r.TransferEncoding = []string{"chunked"}
			}
			continue
		}
		if lines := r.Header[name]; lines != nil {
			r.Header[name] = append(lines, value)
			continue
		}
		values = append(values, value)
		last := len(values)
		r.Header[name] = values[last-1 : last : last]
	}
}

// methodOf spares the usual ones a copy.
func methodOf(ctx *fasthttp.RequestCtx) string {
	for _, usual := range [...]string{http.MethodPost, http.MethodGet, http.MethodDelete, http.MethodOptions, http.MethodHead, http.MethodPut} {
		if alias(ctx.Method()) == usual {
			return usual
		}
	}
	return string(ctx.Method())
}

// appendAddr appends what addr.String returns.
func appendAddr(text []byte, addr net.Addr) []byte {
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.Zone == "" {
		if at := tcp.AddrPort(); at.IsValid() {
			return netip.AddrPortFrom(at.Addr().Unmap(), at.Port()).AppendTo(text)
		}
	}
	return append(text, addr.String()...)
}

// parseTarget is url.ParseRequestURI, for which the usual targets need no memory of their own.
func (x *exchange) parseTarget(target string) (*url.URL, error) {
	if len(target) == 0 || target[0] != '/' {
		return url.ParseRequestURI(target)
	}
	path := 0
	for path < len(target) && plainBytes[target[path]] {
		path++
	}
	switch {
	case path == len(target):
		x.url.Path = target
		return &x.url, nil
	case target[path] != '?', path+1 == len(target):
		return url.ParseRequestURI(target)
	}
	for i := path; i < len(target); i++ {
		if target[i] < ' ' || target[i] == 0x7f {
			return url.ParseRequestURI(target)
		}
	}
	x.url.Path, x.url.RawQuery = target[:path], target[path+1:]
	return &x.url, nil
}

// plainBytes are those that a path has decoded as they are encoded.
var plainBytes = func() (table [256]bool) {
	for _, c := range "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" {
		table[c] = true
	}
	return table
}()

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
