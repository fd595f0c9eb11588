package mcpauthgosdk

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// An answer is the writer of the response to one request, and the request's body. As long as nothing of the response was
// written, the call of that request can have it replaced by a challenge.
//
// The go-sdk goes on as usual: it writes its own answer, which goes nowhere then, and returns. So nothing waits for anything,
// and the challenge is written where the go-sdk has returned.
type answer struct {
	body io.ReadCloser // read by the go-sdk before it runs a call

	mu     sync.Mutex          // never held while something is written
	w      http.ResponseWriter // nil when the handler has returned
	before http.Header         // the headers at the beginning
	first  byte                // of the body, white space aside; [ begins a batch
	begun  bool
	asked  bool // for the scopes, instead of sending what is written
	op     mcpauth.Operation
	scopes []string
}

// newAnswer returns the writer for the response to r, and becomes the body of r.
func newAnswer(w http.ResponseWriter, r *http.Request) *answer {
	a := &answer{w: w, body: r.Body}
	if header := w.Header(); len(header) > 0 {
		a.before = header.Clone()
	}
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = (*answerBody)(a)
	}
	return a
}

// askFor has the client get a challenge for scopes, which op needs, instead of the answer. It returns false if that is not
// possible any more, or the request is a batch, whose other calls have answers as well.
func (a *answer) askFor(op mcpauth.Operation, scopes []string) bool {
	if a == nil { // of a request that the Handler made itself
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.w == nil || a.begun || a.asked || a.first == '[' {
		return false
	}
	a.asked, a.op, a.scopes = true, op, scopes
	return true
}

// finish sends the challenge, if there is to be one. The writer must not be used any more then.
func (a *answer) finish(rs *mcpauth.ResourceServer, r *http.Request) {
	a.mu.Lock()
	w, asked := a.w, a.asked
	a.w = nil
	a.mu.Unlock()
	if !asked || w == nil {
		return
	}
	header := w.Header()
	clear(header) // of the go-sdk's answer
	maps.Copy(header, a.before)
	read := *r
	read.Body = http.NoBody // the go-sdk has read it to its end, so the reply need not wait for more
	rs.StepUp(requestIn(r.Context()).Context, a.op, a.scopes).ServeHTTP(w, &read)
}

// drop lets go of the writer and the body, which the go-sdk would keep for as long as the MCP session lasts.
func (a *answer) drop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.w, a.body = nil, nil
}

// begin returns the writer for something that is written now, or nil if it goes nowhere.
func (a *answer) begin() http.ResponseWriter {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.w == nil || a.asked {
		return nil
	}
	a.begun = true
	return a.w
}

// Header returns the headers of the response. When the handler has returned, they are not sent.
func (a *answer) Header() http.Header {
	if w := a.Unwrap(); w != nil {
		return w.Header()
	}
	return http.Header{}
}

// WriteHeader begins the response, unless status is informational.
func (a *answer) WriteHeader(status int) {
	if status < 200 && status != http.StatusSwitchingProtocols {
		if w := a.Unwrap(); w != nil {
			w.WriteHeader(status)
		}
		return
	}
	if w := a.begin(); w != nil {
		w.WriteHeader(status)
	}
}

func (a *answer) Write(p []byte) (int, error) {
	if w := a.begin(); w != nil {
		return w.Write(p)
	}
	return len(p), nil
}

// Flush sends what was written.
func (a *answer) Flush() { _ = a.FlushError() }

// FlushError is Flush for http.ResponseController.
func (a *answer) FlushError() error {
	if w := a.begin(); w != nil {
		return http.NewResponseController(w).Flush()
	}
	return nil
}

// Unwrap returns the writer below, for http.ResponseController, and nil when the handler has returned.
func (a *answer) Unwrap() http.ResponseWriter {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.w
}

// An answerBody is the body of a request. It notes whether it is a batch.
type answerBody answer

func (b *answerBody) Read(p []byte) (int, error) {
	body := b.reader()
	n, err := body.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range p[:n] {
		if b.first != 0 {
			break
		}
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			b.first = c
		}
	}
	return n, err
}

func (b *answerBody) Close() error { return b.reader().Close() }

// reader returns the body, which is empty when the handler has returned.
func (b *answerBody) reader() io.ReadCloser {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.body == nil {
		return http.NoBody
	}
	return b.body
}

// late returns what the go-sdk gets as the outcome of a call. If that is an error of [mcpauth.NeedScopes], the client gets a
// challenge instead, or an error that names the scopes. A client that reads challenges in results gets one there, which works
// whatever was sent before. A caller who holds them gets the error as it is: to ask for what is
// held would never end.
func (c *callContext) late(req mcp.Request, result mcp.Result, err error) (mcp.Result, error) {
	failed := err
	tool, isTool := result.(*mcp.CallToolResult)
	if isTool && tool != nil && failed == nil {
		failed = tool.GetError()
	}
	scopes := mcpauth.NeededScopes(failed)
	if scopes == nil || c.request == nil || c.request.session != nil && c.request.session.HasScopes(scopes...) {
		return result, err
	}
	op := operationOf(req)
	if refused := c.request.rs.StepUpResult(c, op, scopes); refused != nil {
		return &mcp.CallToolResult{
			IsError: true, Content: []mcp.Content{&mcp.TextContent{Text: refused.Text}}, Meta: maps.Clone(refused.Meta),
		}, nil
	}
	if c.request.answer.askFor(op, scopes) {
		return result, err // which is not sent
	}
	return tooLate(op, failed, mcpauth.NeedScopes(scopes...))
}

// tooLate returns the outcome of a call that needs more scopes, and whose response has begun.
func tooLate(op mcpauth.Operation, failed, needs error) (mcp.Result, error) {
	if !strings.Contains(failed.Error(), needs.Error()) {
		failed = fmt.Errorf("%w: %w", needs, failed)
	}
	if op.Kind != mcpauth.OperationTool {
		return nil, failed
	}
	result := new(mcp.CallToolResult)
	result.SetError(failed)
	return result, nil
}

// operationOf returns the operation that a request asks for, and the zero Operation if it is not known here.
func operationOf(req mcp.Request) mcpauth.Operation {
	switch p := req.GetParams().(type) {
	case *mcp.CallToolParamsRaw:
		return mcpauth.Operation{Kind: mcpauth.OperationTool, Name: p.Name}
	case *mcp.GetPromptParams:
		return mcpauth.Operation{Kind: mcpauth.OperationPrompt, Name: p.Name}
	case *mcp.ReadResourceParams:
		return mcpauth.Operation{Kind: mcpauth.OperationResource, Name: p.URI}
	case *mcp.CompleteParams:
		if p.Ref != nil && p.Ref.Type == "ref/prompt" {
			return mcpauth.Operation{Kind: mcpauth.OperationPrompt, Name: p.Ref.Name}
		}
		if p.Ref != nil {
			return mcpauth.Operation{Kind: mcpauth.OperationResource, Name: p.Ref.URI}
		}
	case *mcp.SubscribeParams:
		return mcpauth.Operation{Kind: mcpauth.OperationResource, Name: p.URI}
	}
	return mcpauth.Operation{}
}
