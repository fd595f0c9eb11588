package mcpauth

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// denials are the constant replies of a resource server with a certain set of required scopes.
type denials struct {
	noCredentials      Reply
	malformed          Reply
	invalidToken       Reply
	expired            Reply
	insufficientScope  Reply
	originRefused      Reply
	metadataURL, scope string
}

// The descriptions are fixed, and free of the words that clients search a challenge for without anchors
// ("scope=", "error=", "resource_metadata=").
const (
	describeNoCredentials = "an access token is required"
	describeMalformed     = "the Authorization header is malformed or repeated"
	describeInvalid       = "the access token is invalid"
	describeExpired       = "the access token is expired"
	describeScope         = "the access token lacks a required permission"
	describeOrigin        = "requests from this origin are not allowed"
	describeUnavailable   = "access tokens cannot be checked at the moment"
)

func newDenials(metadataURL string, required []string) *denials {
	d := &denials{metadataURL: metadataURL, scope: strings.Join(required, " ")}
	d.noCredentials = d.challenge(http.StatusUnauthorized, "", describeNoCredentials, "")
	d.malformed = d.challenge(http.StatusBadRequest, "invalid_request", describeMalformed, "")
	d.invalidToken = d.challenge(http.StatusUnauthorized, "invalid_token", describeInvalid, "")
	d.expired = d.challenge(http.StatusUnauthorized, "invalid_token", describeExpired, "token_expired")
	d.insufficientScope = d.challenge(http.StatusForbidden, "insufficient_scope", describeScope, "")
	d.originRefused = denial(http.StatusForbidden, member{"error_description", describeOrigin})
	return d
}

// challenge builds a reply with a Bearer challenge (RFC 6750 §3, RFC 9728 §5.1). Without credentials there is no error
// code: RFC 6750 §3.1 wants none, and clients take one as a verdict on a token that they never sent.
func (d *denials) challenge(status int, code, description, reason string) Reply {
	var b strings.Builder
	b.WriteString("Bearer ")
	if code != "" {
		writeParameter(&b, "error", code)
		b.WriteString(", ")
	}
	if d.scope != "" {
		writeParameter(&b, "scope", d.scope)
		b.WriteString(", ")
	}
	writeParameter(&b, "resource_metadata", d.metadataURL)
	if code != "" {
		b.WriteString(", ")
		writeParameter(&b, "error_description", description)
	}
	reply := denial(status,
		member{"error", code}, member{"error_description", description}, member{"resource_metadata", d.metadataURL}, member{"reason", reason})
	reply.Header["Www-Authenticate"] = []string{b.String()}
	return reply
}

// writeParameter writes name and a quoted-string (RFC 9110 §5.6.4, which is not Go's %q).
func writeParameter(b *strings.Builder, name, value string) {
	b.WriteString(name)
	b.WriteString(`="`)
	for _, c := range []byte(value) {
		if c == '"' || c == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	b.WriteByte('"')
}

// unavailable is the reply while tokens can't be checked. It has no challenge: a client that got one would throw a good
// token away.
func unavailable(retryAfter time.Duration) *Reply {
	reply := denial(http.StatusServiceUnavailable, member{"error", "temporarily_unavailable"}, member{"error_description", describeUnavailable})
	seconds := int64((retryAfter + time.Second - 1) / time.Second)
	reply.Header["Retry-After"] = []string{strconv.FormatInt(max(1, seconds), 10)}
	return &reply
}
