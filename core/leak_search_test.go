package mcpauth_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// A haystack finds strings and pieces of strings, whatever their case, also in hexadecimal.
type haystack struct {
	text   string
	pieces map[string]int
}

func newHaystack(text []byte) *haystack {
	h := &haystack{text: string(bytes.ToLower(text)), pieces: make(map[string]int)}
	for i := range len(h.text) - leakPiece + 1 {
		h.pieces[h.text[i:i+leakPiece]] = i
	}
	return h
}

func (h *haystack) has(s string) string {
	s = strings.ToLower(s)
	if i := strings.Index(h.text, s); i >= 0 {
		return h.around(i)
	}
	if i := strings.Index(h.text, hex.EncodeToString([]byte(s))); i >= 0 {
		return h.around(i)
	}
	return ""
}

func (h *haystack) hasPieceOf(s string) string {
	s = strings.ToLower(s)
	for i := range len(s) - leakPiece + 1 {
		if at, ok := h.pieces[s[i:i+leakPiece]]; ok {
			return h.around(at)
		}
	}
	return ""
}

func (h *haystack) around(i int) string {
	return fmt.Sprintf("%q", h.text[max(0, i-80):min(len(h.text), i+80)])
}

// both returns a handler that writes all records in both of slog's formats.
func both(w io.Writer) slog.Handler {
	all := &slog.HandlerOptions{Level: slog.LevelDebug}
	return bothHandlers{slog.NewTextHandler(w, all), slog.NewJSONHandler(w, all)}
}

type bothHandlers [2]slog.Handler

func (h bothHandlers) Enabled(context.Context, slog.Level) bool { return true }

func (h bothHandlers) Handle(ctx context.Context, r slog.Record) error {
	return errors.Join(h[0].Handle(ctx, r.Clone()), h[1].Handle(ctx, r.Clone()))
}

func (h bothHandlers) WithAttrs(attrs []slog.Attr) slog.Handler {
	return bothHandlers{h[0].WithAttrs(attrs), h[1].WithAttrs(attrs)}
}

func (h bothHandlers) WithGroup(name string) slog.Handler {
	return bothHandlers{h[0].WithGroup(name), h[1].WithGroup(name)}
}
