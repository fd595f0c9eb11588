package mcpauthrevocation

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// safeClock returns the user's clock without its panics, which would end the program on a goroutine of the list. It is the
// system's time then.
func safeClock(now func() time.Time) func() time.Time {
	if now == nil {
		return time.Now
	}
	return func() (t time.Time) {
		defer func() {
			if recover() != nil {
				t = time.Now()
			}
		}()
		return now()
	}
}

// A safeHandler is the user's slog.Handler without its panics. A lost line changes nothing that is refused.
type safeHandler struct{ slog.Handler }

func safeLogger(logger *slog.Logger) *slog.Logger { return slog.New(safeHandler{logger.Handler()}) }

func (h safeHandler) Enabled(ctx context.Context, level slog.Level) (enabled bool) {
	defer func() { _ = recover() }()
	return h.Handler.Enabled(ctx, level)
}

func (h safeHandler) Handle(ctx context.Context, record slog.Record) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("mcpauthrevocation: panic in the slog.Handler: %v", v)
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
