package mcpauthfasthttp

import (
	"strings"

	"github.com/valyala/fasthttp"
)

// addHeader adds lines to a response as net/http does: a name that is not a token is left out, and no value can begin
// another line (RFC 9110 section 5.5). Newer fasthttp replaces line ends too, but keeps the names.
func addHeader(header *fasthttp.ResponseHeader, name string, values []string) {
	for _, value := range values {
		addLine(header, name, value)
	}
}

func addLine(header *fasthttp.ResponseHeader, name, value string) {
	if isToken(name) {
		header.Add(name, fieldValue(value))
	}
}

func fieldValue(s string) string {
	if strings.ContainsAny(s, "\r\n") {
		s = lineEnds.Replace(s)
	}
	return strings.Trim(s, " \t")
}

var lineEnds = strings.NewReplacer("\r", " ", "\n", " ")
