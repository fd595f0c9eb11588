package soak

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	mcpauthfiber "github.com/scalekit-mcp/mcpauth/fiber"
	mcpauthhttp "github.com/scalekit-mcp/mcpauth/nethttp"
)

// A target is one server.
type target struct {
	name     string
	url      string
	shutDown func(context.Context) error
	streams  atomic.Int64 // handlers that are streaming
	fresh    chan *token  // the server has not accepted their key yet, so these may wait for it
	known    chan *token
}

type serveFunc func(listener net.Listener, rs *mcpauth.ResourceServer, handler http.Handler) (shutDown func(context.Context) error)

func (s *soak) newTarget(name string, serve serveFunc) *target {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	cfg := s.env.Config("http://" + listener.Addr().String())
	cfg.Cache.MaxEntries = cacheSize
	cfg.ClockSkew = time.Second
	rs, err := mcpauth.New(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	g := &target{name: name, url: rs.Resource(), fresh: make(chan *token, 64), known: make(chan *token, 256)}
	g.shutDown = serve(listener, rs, http.HandlerFunc(g.echo))
	return g
}

func serveHTTP(listener net.Listener, rs *mcpauth.ResourceServer, handler http.Handler) func(context.Context) error {
	mux := http.NewServeMux()
	mcpauthhttp.Mount(mux, rs, handler)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	go server.Serve(listener) //nolint:errcheck // it ends with Shutdown
	return server.Shutdown
}

func serveFiber(listener net.Listener, rs *mcpauth.ResourceServer, handler http.Handler) func(context.Context) error {
	app := fiber.New(fiber.Config{
		ReadBufferSize: 32 << 10, StreamRequestBody: true, IdleTimeout: 2 * time.Minute, DisableStartupMessage: true,
	})
	mcpauthfiber.Mount(app, rs, handler)
	go app.Listener(listener) //nolint:errcheck // it ends with Shutdown
	return app.ShutdownWithContext
}

// echo answers with the caller and the request's body, in one piece or as a stream of lines.
func (g *target) echo(w http.ResponseWriter, r *http.Request) {
	session, err := mcpauth.SessionFromContext(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusTeapot)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	line := session.UserID() + " " + string(body) + "\n"
	if r.Header.Get("X-Stream") == "" {
		_, _ = io.WriteString(w, line)
		return
	}
	g.streams.Add(1)
	defer g.streams.Add(-1)
	for range streamLines {
		if _, err := io.WriteString(w, line); err != nil {
			return
		}
		if http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-time.After(streamPause):
		}
	}
}
