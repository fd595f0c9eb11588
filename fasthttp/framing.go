package mcpauthfasthttp

import (
	"bytes"
	"net/http"
	"strings"

	"github.com/valyala/fasthttp"
)

// An arrival is what has to be known of a request before anything else looks at it.
type arrival uint8

const (
	arrived  arrival = 1 << iota // it was looked at, and may go on
	refused                      // its framing is ambiguous: a response is set, and the connection ends with it
	chunked                      // its body came with Transfer-Encoding: chunked
	streamed                     // its body was left on the connection for a handler to read
	formed                       // its body may have been taken for a form, and the end of it be left on the connection
)

type arrivalKey struct{}

// arrive looks at a request, once. Two parties that read its length differently take the body of one request for another
// request (RFC 9112 section 11.2), so what section 6 of the RFC forbids is refused, from the lines as they came.
func arrive(ctx *fasthttp.RequestCtx) arrival {
	if a, ok := ctx.UserValue(arrivalKey{}).(arrival); ok {
		return a
	}
	header := &ctx.Request.Header
	a := arrived
	status, coded := framing(alias(header.Protocol()), header.RawHeaders())
	switch {
	case status != 0:
		a = refused
		refuse(ctx, status)
	case ctx.Request.IsBodyStream():
		a |= streamed
	case coded:
		dropTrailers(header)
	case header.ContentLength() > 0 && bytes.HasPrefix(header.ContentType(), []byte("multipart/")):
		a |= formed
	}
	if coded {
		a |= chunked
	}
	ctx.SetUserValue(arrivalKey{}, a)
	return a
}

// framing judges the header lines of a request, as they came, and returns the status to refuse it with, or 0.
func framing(protocol string, lines []byte) (status int, coded bool) {
	if protocol != "HTTP/1.1" && protocol != "HTTP/1.0" {
		return http.StatusBadRequest, false
	}
	length := false
	for len(lines) > 0 {
		var line []byte
		line, lines, _ = bytes.Cut(lines, []byte("\n"))
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(line) == 0 {
			continue
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || !isToken(alias(name)) { // a folded line begins with white space
			return http.StatusBadRequest, false
		}
		switch {
		case is(name, "Content-Length"):
			if length || !isNumber(bytes.Trim(value, " \t")) {
				return http.StatusBadRequest, false
			}
			length = true
		case is(name, "Transfer-Encoding"):
			if coded || protocol == "HTTP/1.0" {
				return http.StatusBadRequest, false
			}
			if !is(bytes.Trim(value, " \t"), "chunked") {
				return http.StatusNotImplemented, false
			}
			coded = true
		}
	}
	if length && coded {
		return http.StatusBadRequest, false
	}
	return 0, coded
}

func is(b []byte, name string) bool { return len(b) == len(name) && strings.EqualFold(alias(b), name) }

func isNumber(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(b) > 0
}

// isToken reports whether s is a token (RFC 9110 section 5.6.2), as a header's name has to be.
func isToken(s string) bool {
	for i := range len(s) {
		if !tokenBytes[s[i]] {
			return false
		}
	}
	return s != ""
}

var tokenBytes = func() (table [256]bool) {
	for _, c := range "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" {
		table[c] = true
	}
	return table
}()

// refuse sets the response to a request that no handler gets.
func refuse(ctx *fasthttp.RequestCtx, status int) {
	_ = ctx.Request.CloseBodyStream()
	ctx.Response.Reset()
	ctx.SetStatusCode(status)
	ctx.SetContentType("text/plain; charset=utf-8")
	ctx.SetConnectionClose()
	respond(ctx, []byte(http.StatusText(status)+"\n"), true)
}

// dropTrailers takes those fields out of header that fasthttp has added to it from behind a chunked body, where no proxy
// looks. They are told by their number: the header itself is still there as it came.
func dropTrailers(header *fasthttp.RequestHeader) {
	came := make(map[string][][2]string) // by name in lower case
	for line := range bytes.Lines(header.RawHeaders()) {
		if name, value, ok := strings.Cut(strings.TrimRight(string(line), "\r\n"), ":"); ok {
			lower := strings.ToLower(name)
			came[lower] = append(came[lower], [2]string{name, strings.Trim(value, " \t")})
		}
	}
	there := make(map[string][][2]string)
	for name, value := range header.All() {
		lower := strings.ToLower(string(name))
		there[lower] = append(there[lower], [2]string{string(name), string(value)})
	}
	var again [][2]string // what is to be added anew
	trailers := false
	for _, own := range []string{"content-length", "transfer-encoding", "connection", "trailer"} {
		delete(there, own) // fasthttp's, and no trailers; from 1.76 on, those are kept apart as long as "trailer" names them
	}
	for lower, lines := range there {
		trailers = trailers || len(lines) > len(came[lower])
	}
	if !trailers {
		return
	}
	for lower, lines := range there {
		switch n := len(came[lower]); {
		case len(lines) > n:
			again = append(again, came[lower]...)
		case n > 1: // to delete one may change the order of others
			again = append(again, lines...)
		default:
			continue
		}
		for _, line := range lines {
			header.Del(line[0])
		}
	}
	for _, line := range again {
		header.Add(line[0], line[1])
	}
}
