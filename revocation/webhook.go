package mcpauthrevocation

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"
)

const (
	maxEvent    = 1 << 20
	webhookTime = 8 * time.Second         // for the body and the functions of Config
	storeTime   = 9500 * time.Millisecond // for all; Scalekit waits for 10 s
	unreadTime  = time.Second             // how long the answer to a refused request waits for its body
)

// Webhook returns the handler for Scalekit's webhooks. It takes POST alone, and belongs outside of what the middlewares of
// mcpauth protect: the signature is the credential. Serve it over https, at a path of your choice.
//
// It answers 204 when what the event revokes is durable in the store, and to events that revoke nothing. Until then it is
// 503, so that Scalekit sends the event again. 401 is a wrong or old signature, 403 another environment, 400 an event that can't
// be read. Answers have no body; the reason is in the log. An event that comes again, or late, changes nothing. A sender has 8 s
// for the body; under fasthttp and Fiber, which read it before they call a handler, set ReadTimeout of the server.
//
// What revokes:
//   - user.logout: the session
//   - user.organization_membership_deleted: the member
//   - organization.deleted: the organization, and the members that [Config.Members] names; the organization also when Members
//     fails
//   - organization.directory.user_deleted, and user_updated with active false: the user that [Config.DirectoryUser] names, as a
//     member of the organization
func (l *List) Webhook() http.Handler { return http.HandlerFunc(l.serveWebhook) }

// A webhookError is the answer to an event that changes nothing.
type webhookError struct {
	status      int
	cause, cure string
	err         error
}

func (e *webhookError) Error() string { return e.cause }
func (e *webhookError) Unwrap() error { return e.err }

func (l *List) serveWebhook(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	err := l.receive(w, r)
	if err == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	level := slog.LevelWarn
	if err.status == http.StatusUnauthorized || err.status == http.StatusMethodNotAllowed {
		level = slog.LevelInfo // a stranger's request: anyone can cause as many as they like
	}
	attrs := []slog.Attr{slog.Int("status", err.status), slog.String("cause", err.cause)}
	if err.err != nil {
		attrs = append(attrs, slog.Any("error", err.err))
	}
	l.cfg.Logger.LogAttrs(r.Context(), level, "webhook refused", append(attrs, slog.String("cure", err.cure))...)
	switch err.status {
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", http.MethodPost)
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "1")
	}
	if r.ContentLength != 0 {
		// net/http reads a body that is left over before it answers: a stranger who sends none would hold the connection.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(unreadTime))
	}
	w.WriteHeader(err.status)
}

const cureStranger = "nothing to do if it is a stranger's request; if Scalekit's are refused, set WebhookSecrets to the webhook's secret from the dashboard, and check this machine's clock"

// receive revokes what the event of a request says, and returns nil when that is durable.
func (l *List) receive(w http.ResponseWriter, r *http.Request) *webhookError {
	switch {
	case r.Method != http.MethodPost:
		return &webhookError{status: http.StatusMethodNotAllowed, cause: "the method is not POST", cure: cureStranger}
	case len(l.secrets) == 0:
		return &webhookError{
			status: http.StatusServiceUnavailable, cause: "there are no webhook secrets",
			cure: "set WebhookSecrets and EnvironmentID of mcpauthrevocation.Config",
		}
	}
	began := time.Now()
	ctx, cancel := context.WithDeadline(r.Context(), began.Add(webhookTime))
	defer cancel()
	signature, ok := l.signatureOf(r.Header)
	if !ok {
		return &webhookError{status: http.StatusUnauthorized, cause: "the signature's headers are missing, repeated, malformed, or not of the last 5 min", cure: cureStranger}
	}
	// Behind a writer that has no deadlines, the server's own ReadTimeout is what is left.
	_ = http.NewResponseController(w).SetReadDeadline(began.Add(webhookTime))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEvent))
	if tooLong := (*http.MaxBytesError)(nil); errors.As(err, &tooLong) {
		return &webhookError{status: http.StatusRequestEntityTooLarge, cause: "the body is longer than 1 MiB", cure: cureStranger}
	} else if err != nil {
		return &webhookError{status: http.StatusBadRequest, cause: "the body could not be read", cure: cureStranger, err: err}
	}
	if !signature.signs(body, l.secrets) {
		return &webhookError{status: http.StatusUnauthorized, cause: "no signature is that of a webhook secret", cure: cureStranger}
	}
	event, err := readEvent(body)
	if err != nil {
		return &webhookError{
			status: http.StatusBadRequest, cause: "the signed event can't be read", err: err,
			cure: "revoke by hand what the event was about, and report its form to the authors of mcpauth",
		}
	}
	if event.environment != l.cfg.EnvironmentID {
		return &webhookError{
			status: http.StatusForbidden, cause: "the signed event is of another environment",
			cure: "set EnvironmentID of mcpauthrevocation.Config to the environment that the webhook is configured in",
		}
	}
	entries, failed := l.entriesOf(ctx, event)
	// What a function of Config has not said, or a sender who has gone away, does not keep the rest from being revoked.
	storing, cancel := context.WithDeadline(context.WithoutCancel(ctx), began.Add(storeTime))
	defer cancel()
	return cmp.Or(failed, l.enter(storing, event, entries))
}

// enter revokes what an event has led to.
func (l *List) enter(ctx context.Context, event *event, entries []Entry) *webhookError {
	for i := range entries {
		entries[i].At, entries[i].EventID = event.occurredAt, event.id
		if err := entries[i].check(l.cfg.Now()); err != nil {
			return &webhookError{
				status: http.StatusBadRequest, cause: "the signed event can't be put into force", err: err,
				cure: "check this machine's clock, and revoke by hand what the event was about",
			}
		}
	}
	if err := l.Revoke(ctx, entries...); err != nil {
		return &webhookError{
			status: http.StatusServiceUnavailable, cause: "the store did not take what the event revokes", err: err,
			cure: "make the store reachable; Scalekit sends the event again, up to three times",
		}
	}
	return nil
}
