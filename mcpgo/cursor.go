package mcpauthmcpgo

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"

	protocol "github.com/mark3labs/mcp-go/mcp"
)

// cursors seal the cursors of lists. That of mcp-go is the name of the last entry of a page, which may be hidden.
type cursors struct{ aead cipher.AEAD }

func newCursors(key []byte) *cursors {
	h := hmac.New(sha256.New, key)
	h.Write([]byte("cursors"))
	block, err := aes.NewCipher(h.Sum(nil))
	if err != nil {
		panic(err) // unreachable: 32 bytes are a key
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // unreachable: so is the size of AES's block
	}
	return &cursors{aead}
}

// seal returns the cursor that the client gets for mcp-go's own, in a list of method.
func (s *cursors) seal(method protocol.MCPMethod, cursor protocol.Cursor) protocol.Cursor {
	if cursor == "" {
		return "" // there is no next page
	}
	sealed := s.aead.Seal(nil, nil, []byte(cursor), []byte(method)) //nolint:gosec // the nonce is a random one of its own
	return protocol.Cursor(base64.RawURLEncoding.EncodeToString(sealed))
}

// invalid is a cursor to which mcp-go answers that the parameters are invalid.
const invalid = "!"

// open returns mcp-go's own cursor.
func (s *cursors) open(method protocol.MCPMethod, cursor protocol.Cursor) protocol.Cursor {
	if cursor == "" {
		return "" // the first page
	}
	sealed, err := base64.RawURLEncoding.DecodeString(string(cursor))
	if err != nil {
		return invalid
	}
	opened, err := s.aead.Open(nil, nil, sealed, []byte(method))
	if err != nil {
		return invalid
	}
	return protocol.Cursor(opened)
}

// cursorsOf returns the cursors of the endpoint that ctx's call came to, which replicas share, and else other.
func cursorsOf(ctx context.Context, other *cursors) *cursors {
	if c := callIn(ctx); c != nil {
		return c.endpoint.cursors
	}
	return other
}
