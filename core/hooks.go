package mcpauth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// What users hand to New runs among strangers' requests. A panic of theirs denies the request and ends no process, and a
// hang is left to itself.

// hookTimeout is how long Config.IsRevoked may take.
const hookTimeout = 5 * time.Second

var errHookTimeout = errors.New("no answer within 5 s")

// askRevoked calls the revocation hook. It runs on a goroutine of its own, because a hook that ignores its context could
// not be left otherwise.
func (rs *ResourceServer) askRevoked(ctx context.Context, session *Session) (revoked bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, hookTimeout, errHookTimeout)
	defer cancel()
	late := time.NewTimer(hookTimeout)
	defer late.Stop()
	type answer struct {
		revoked bool
		err     error
	}
	answered := make(chan answer, 1)
	go func() {
		a := answer{err: errors.New("the hook ended its goroutine")}
		defer func() {
			if v := recover(); v != nil {
				a = answer{err: fmt.Errorf("panic: %v", v)}
			}
			answered <- a
		}()
		a.revoked, a.err = rs.isRevoked(ctx, session)
	}()
	select {
	case a := <-answered:
		return a.revoked, a.err
	case <-late.C: // not the end of ctx: a hook that needs none may have answered by then
		return false, errHookTimeout
	}
}

// safeClock is now for goroutines of ours, where a panic of the user's clock would end the program: there the system's
// clock takes its place.
func safeClock(now func() time.Time) func() time.Time {
	return func() (t time.Time) {
		defer func() {
			if recover() != nil {
				t = time.Now()
			}
		}()
		return now()
	}
}

// A safeHandler is the user's slog.Handler. Its panics are dropped, because there is nowhere to report them: a line of the
// log decides nothing, and some are written by goroutines of ours, where a panic would end the program.
type safeHandler struct{ slog.Handler }

func safeLogger(logger *slog.Logger) *slog.Logger { return slog.New(safeHandler{logger.Handler()}) }

func (h safeHandler) Enabled(ctx context.Context, level slog.Level) (enabled bool) {
	defer func() { _ = recover() }()
	return h.Handler.Enabled(ctx, level)
}

func (h safeHandler) Handle(ctx context.Context, record slog.Record) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("mcpauth: panic in the slog.Handler: %v", v)
		}
	}()
	return h.Handler.Handle(ctx, record)
}

func (h safeHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return safeHandler{h.Handler.WithAttrs(attrs)}
}

func (h safeHandler) WithGroup(name string) slog.Handler {
	return safeHandler{h.Handler.WithGroup(name)}
}
