package mcpauth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// The functions in Config run during requests. A panic of one refuses the request and does not end the process; one that
// hangs is left behind on its goroutine.

// hookTimeout is how long Config.IsRevoked and Config.Credential may take.
const hookTimeout = 5 * time.Second

var errHookTimeout = errors.New("no answer within 5 s")

// askRevoked calls Config.IsRevoked.
func (rs *ResourceServer) askRevoked(ctx context.Context, session *Session) (revoked bool, err error) {
	return callHook(ctx, func(ctx context.Context) (bool, error) { return rs.isRevoked(ctx, session) })
}

// callHook calls a function of Config on a goroutine of its own, because a hook that ignores its context could not be left
// behind otherwise. It returns an error when the hook panics, or does not answer within hookTimeout.
func callHook[T any](ctx context.Context, hook func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, hookTimeout, errHookTimeout)
	defer cancel()
	late := time.NewTimer(hookTimeout)
	defer late.Stop()
	type answer struct {
		value T
		err   error
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
		a.value, a.err = hook(ctx)
	}()
	select {
	case a := <-answered:
		return a.value, a.err
	case <-late.C: // and not the end of ctx, which a hook may ignore and answer all the same
		var none T
		return none, errHookTimeout
	}
}

// safeClock returns a clock for goroutines of ours, where a panic of the user's clock would end the program. It returns the
// system's time then.
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

// A safeHandler is the user's slog.Handler without its panics. Some lines are written by goroutines of ours, where a panic
// would end the program. A lost line changes no decision.
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
