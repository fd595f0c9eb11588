package mcpauth

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/scalekit-mcp/mcpauth/core/internal/keys"
)

// serverMetadataPath is where clients of MCP 2025-03-26 look for the metadata of the authorization server, on the origin of
// the MCP server (RFC 8414 §3, MCP 2025-03-26 "Server Metadata Discovery").
const serverMetadataPath = wellKnown + "oauth-authorization-server"

// isServerMetadata reports whether path is where clients look for metadata of an authorization server, that of OpenID Connect
// included.
func isServerMetadata(path string) bool {
	for _, taken := range []string{serverMetadataPath, wellKnown + "openid-configuration"} {
		if hasPrefixFold(path, taken) && (len(path) == len(taken) || path[len(taken)] == '/') {
			return true
		}
	}
	return false
}

// serverMetadata serves the environment's authorization server metadata.
type serverMetadata struct{ document *keys.Document }

func newServerMetadataRoute(source keys.Source, options *Reply) *MetadataRoute {
	return &MetadataRoute{Path: serverMetadataPath, options: options, fetched: &serverMetadata{keys.NewDocument(source)}}
}

// reply returns the reply to GET: the document byte for byte, because its members are between client and environment.
func (s *serverMetadata) reply(ctx context.Context) *Reply {
	text, err := s.document.Get(ctx)
	if err != nil {
		return serverMetadataUnavailable(err)
	}
	return &Reply{
		Status: http.StatusOK,
		Header: http.Header{allowOrigin: anyOrigin, "Content-Type": contentJSON, "Cache-Control": {"public, max-age=300"}},
		Body:   []byte(text),
	}
}

// serverMetadataUnavailable is the reply while there is no document. Any page may read it, as it may the document.
func serverMetadataUnavailable(err error) *Reply {
	retryAfter := time.Second
	if down := (*keys.Unavailable)(nil); errors.As(err, &down) {
		retryAfter = down.RetryAfter
	}
	reply := jsonReply(http.StatusServiceUnavailable,
		member{"error", "temporarily_unavailable"}, member{"error_description", describeNoServerMetadata})
	setRetryAfter(&reply, retryAfter)
	reply.Header[allowOrigin] = anyOrigin
	reply.Header[exposeHeaders] = []string{"Retry-After"}
	return &reply
}

const describeNoServerMetadata = "the authorization server cannot be asked at the moment"
