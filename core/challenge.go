package mcpauth

import (
	"net/http"
	"strings"
)

// A challenge is the part of a Bearer challenge (RFC 6750 §3, RFC 9728 §5.1) that does not depend on what is wrong: where the
// metadata is, and the scopes to ask for.
type challenge struct{ metadataURL, scope string }

// value returns the value of WWW-Authenticate. With an empty code there is neither an error nor a description.
func (c challenge) value(code, description string) string {
	var b strings.Builder
	b.WriteString("Bearer ")
	if code != "" {
		writeParameter(&b, "error", code)
		b.WriteString(", ")
	}
	if c.scope != "" {
		writeParameter(&b, "scope", c.scope)
		b.WriteString(", ")
	}
	writeParameter(&b, "resource_metadata", c.metadataURL)
	if code != "" {
		b.WriteString(", ")
		writeParameter(&b, "error_description", description)
	}
	return b.String()
}

// reply returns a reply with a challenge. Without credentials there is no error code: RFC 6750 §3.1 wants none, and clients
// take one as a verdict on a token that they never sent.
func (c challenge) reply(status int, code, description, reason string) Reply {
	reply := jsonReply(status,
		member{"error", code}, member{"error_description", description}, member{"resource_metadata", c.metadataURL}, member{"reason", reason})
	reply.Header["Www-Authenticate"] = []string{c.value(code, description)}
	return reply
}

// noCredentials returns the reply to a request without credentials.
func (c challenge) noCredentials() Reply {
	return c.reply(http.StatusUnauthorized, "", describeNoCredentials, "")
}

// insufficientScope returns the reply to a token that lacks the challenge's scopes.
func (c challenge) insufficientScope() Reply {
	return c.reply(http.StatusForbidden, "insufficient_scope", describeScope, "")
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
