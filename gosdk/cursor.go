package mcpauthgosdk

import (
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

const (
	cursorTTL     = 24 * time.Hour
	cursorPurpose = "mcpauthgosdk cursor of "

	// invalidCursor is not base64. The go-sdk answers to it that the parameters are invalid.
	invalidCursor = "!"
)

// cursors seal where the pages of one caller's list end.
type cursors struct {
	sealer  *mcpauth.Sealer
	session *mcpauth.Session
	purpose string
}

func cursorsOf(sealer *mcpauth.Sealer, method string, req mcp.Request) *cursors {
	session := sessionOf(infoOf(req))
	if session == nil {
		// All callers without credentials share their cursors. No user has the principal of the zero Session.
		session = new(mcpauth.Session)
	}
	return &cursors{sealer, session, cursorPurpose + method}
}

// opened returns req with the cursor that the server behind made.
func (c *cursors) opened(req mcp.Request) mcp.Request {
	switch r := req.(type) {
	case *mcp.ListToolsRequest:
		return withCursor(c, r, func(p *mcp.ListToolsParams) *string { return &p.Cursor })
	case *mcp.ListPromptsRequest:
		return withCursor(c, r, func(p *mcp.ListPromptsParams) *string { return &p.Cursor })
	case *mcp.ListResourcesRequest:
		return withCursor(c, r, func(p *mcp.ListResourcesParams) *string { return &p.Cursor })
	case *mcp.ListResourceTemplatesRequest:
		return withCursor(c, r, func(p *mcp.ListResourceTemplatesParams) *string { return &p.Cursor })
	}
	return req
}

// sealed returns result, a copy that no other code has, with a cursor that says nothing to the caller.
func (c *cursors) sealed(result mcp.Result) (mcp.Result, error) {
	var cursor *string
	switch page := result.(type) {
	case *mcp.ListToolsResult:
		cursor = &page.NextCursor
	case *mcp.ListPromptsResult:
		cursor = &page.NextCursor
	case *mcp.ListResourcesResult:
		cursor = &page.NextCursor
	case *mcp.ListResourceTemplatesResult:
		cursor = &page.NextCursor
	}
	if cursor == nil || *cursor == "" {
		return result, nil
	}
	sealed, err := c.sealer.Seal(c.session, c.purpose, []byte(*cursor), cursorTTL)
	if err != nil {
		return nil, err // a name of more than 384 KiB
	}
	*cursor = sealed
	return result, nil
}

// withCursor returns req with the cursor that c opens. It changes a copy: other middlewares have req, too.
func withCursor[T any, P interface {
	*T
	mcp.Params
}](c *cursors, req *mcp.ServerRequest[P], cursorOf func(P) *string) mcp.Request {
	if req.Params == nil || *cursorOf(req.Params) == "" {
		return req
	}
	opened, err := c.sealer.Open(c.session, c.purpose, *cursorOf(req.Params))
	if err != nil {
		opened = []byte(invalidCursor)
	}
	changed, params := *req, *req.Params
	changed.Params = &params
	*cursorOf(&params) = string(opened)
	return &changed
}
