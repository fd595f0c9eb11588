package mcpauth

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
)

// LateStepUp decides what becomes of an operation that ran and has failed with an error of [NeedScopes] in its tree. It is for
// the modules for MCP SDKs, and ctx is derived from the context of a request that [ResourceServer.SDKHandler] handed on.
//
//   - As long as nothing of the answer to the request was sent, and the request is not a batch, whose other messages have
//     answers as well, the client gets the reply of [ResourceServer.StepUp] instead. The SDK goes on as usual, and what it
//     writes goes nowhere. The result is nil.
//   - If failed needs no scopes, if the caller holds them, because to ask for what is held would never end, or if ctx has no
//     such request, as over stdio, the client gets failed as the SDK shows it. The result is nil.
//   - Otherwise it is too late for a challenge. The result is the error to show: failed, in a text that names the scopes.
func LateStepUp(ctx context.Context, op Operation, failed error) error {
	scopes := NeededScopes(failed)
	a, _ := ctx.Value(answerKey{}).(*answer)
	if scopes == nil || a == nil || a.session != nil && a.session.HasScopes(scopes...) || a.askFor(op, scopes) {
		return nil
	}
	needs := &scopesError{scopes}
	if strings.Contains(failed.Error(), needs.Error()) {
		return failed
	}
	return fmt.Errorf("%w: %w", needs, failed)
}

// LateResult returns the challenge for the scopes that failed needs as the result of a tool call, and logs it, if the client looks
// for challenges there ([Config.ChallengeInResultFor]) and does not hold the scopes. Otherwise it returns nil, and [LateStepUp] is
// next. The modules for MCP SDKs have the SDK send the result, which works also when something of the answer was sent already.
func LateResult(ctx context.Context, op Operation, failed error) *ToolRefusal {
	scopes := NeededScopes(failed)
	a, _ := ctx.Value(answerKey{}).(*answer)
	if scopes == nil || a == nil || a.session != nil && a.session.HasScopes(scopes...) {
		return nil
	}
	return a.rs.stepUpResult(ctx, op, scopes)
}

// answerKey is the key under which an answer, as the context of its request, answers with itself.
type answerKey struct{}

// An answer is the writer of the response to one request, the request's body, and its context. As long as nothing of the
// response was written, an operation of that request can have it replaced by a challenge.
//
// The SDK goes on as usual: it writes its own answer, which goes nowhere then, and returns. So nothing waits for anything, and
// the challenge is written when the SDK has returned.
type answer struct {
	context.Context
	rs      *ResourceServer
	session *Session     // nil without credentials
	request http.Request // with this context and this body
	body    io.ReadCloser

	mu     sync.Mutex          // never held while something is written
	w      http.ResponseWriter // nil when the handler has returned
	before http.Header         // the headers at the beginning
	first  byte                // of the body, white space aside; [ begins a batch
	begun  bool
	asked  bool // for the scopes, instead of sending what is written
	op     Operation
	scopes []string
}

func (a *answer) Value(key any) any {
	if key == (answerKey{}) {
		return a
	}
	return a.Context.Value(key)
}

// stepUpLate calls next with a writer that [LateStepUp] can keep from sending anything, and sends the challenge afterwards. next
// returns false if it has written nothing.
func (rs *ResourceServer) stepUpLate(w http.ResponseWriter, r *http.Request, next func(http.ResponseWriter, *http.Request) bool) bool {
	a := &answer{Context: r.Context(), rs: rs, body: r.Body, w: w}
	a.session, _ = SessionFromContext(r.Context())
	a.request = *r.WithContext(a)
	if header := w.Header(); len(header) > 0 {
		a.before = header.Clone()
	}
	if r.Body != nil && r.Body != http.NoBody {
		a.request.Body = (*answerBody)(a)
	}
	defer a.drop()
	if !next(a, &a.request) {
		return false
	}
	a.finish(r)
	return true
}

// askFor has the client get a challenge for scopes, which op needs, instead of the answer. It returns false if that is not
// possible any more.
func (a *answer) askFor(op Operation, scopes []string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.w == nil, a.begun, a.first == '[':
		return false
	case !a.asked: // otherwise the same error has come here before, by another middleware
		a.asked, a.op, a.scopes = true, op, scopes
	}
	return true
}

// finish sends the challenge, if there is to be one. The writer must not be used any more then.
func (a *answer) finish(r *http.Request) {
	a.mu.Lock()
	w, asked := a.w, a.asked
	a.w = nil
	a.mu.Unlock()
	if !asked {
		return
	}
	header := w.Header()
	clear(header) // of the SDK's answer
	maps.Copy(header, a.before)
	read := *r
	read.Body = http.NoBody // the SDK has read it to its end, so the reply need not wait for more
	a.rs.StepUp(r.Context(), a.op, a.scopes).ServeHTTP(w, &read)
}

// drop lets go of the writer and the body: an SDK may keep the request's context for as long as an MCP session lasts.
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

// Flush sends what was written. It is for code that looks for an http.Flusher.
func (a *answer) Flush() { _ = a.FlushError() }

// FlushError is Flush for http.ResponseController.
func (a *answer) FlushError() error {
	if w := a.begin(); w != nil {
		return http.NewResponseController(w).Flush()
	}
	return nil
}

// Hijack takes the connection over (http.Hijacker), after which it is too late for a challenge.
func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w := a.Unwrap()
	if w == nil {
		return nil, nil, errFinished
	}
	conn, buffer, err := http.NewResponseController(w).Hijack()
	if err == nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.begun, a.asked = true, false // what was asked for can't be sent any more
	}
	return conn, buffer, err
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
	n, err := b.reader().Read(p)
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
