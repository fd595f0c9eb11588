// Package app is what the examples have in common, apart from authentication: settings from the environment, a local
// Scalekit environment when none is configured, the address to listen at, and an orderly shutdown.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/devenv"
)

// An App is an example that is ready to serve.
type App struct {
	Config    mcpauth.Config // complete; from the environment
	Stateless bool           // STATELESS=1: no MCP sessions, as of MCP 2026-07-28
	Public    bool           // PUBLIC=1: one tool can be called without signing in
	Logger    *slog.Logger

	listener net.Listener
	ctx      context.Context //nolint:containedctx // the program's life, which a signal ends
}

// Main runs an example until SIGINT or SIGTERM. An error of serve goes to stderr, as do all mistakes in the settings, one
// line for each, and the exit code is 1.
func Main(serve func(*App) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	err := run(ctx, serve)
	stop()
	if err != nil {
		for _, line := range explain(err) {
			fmt.Fprintln(os.Stderr, line)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, serve func(*App) error) error {
	settings, err := readSettings()
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	listener, err := listen(ctx, settings)
	if err != nil {
		return err
	}
	defer func() { _ = listener.Close() }() // serve may have closed it already
	config := settings.config
	if config.BaseURL == "" {
		config.BaseURL = fmt.Sprintf("http://localhost:%d", listener.Addr().(*net.TCPAddr).Port)
	}
	config.Logger = logger
	config.ResourceName = "mcpauth examples"

	if config.EnvironmentURL == "" {
		environment, err := startEnvironment(ctx, settings, &config)
		if err != nil {
			return err
		}
		defer func() { _ = environment.Close() }() // the program ends anyway
		fmt.Printf("Scalekit environment: %s (a local stand-in, because SCALEKIT_ENVIRONMENT_URL is not set)\n", environment.URL())
	} else {
		fmt.Printf("Scalekit environment: %s\n", config.EnvironmentURL)
	}
	return serve(&App{Config: config, Stateless: settings.stateless, Public: settings.public, Logger: logger, listener: listener, ctx: ctx})
}

func listen(ctx context.Context, settings settings) (net.Listener, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(settings.addr, settings.port))
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("port %s is taken by another program; stop it, or set PORT to another one", settings.port)
	}
	return listener, err
}

// startEnvironment runs a local environment inside of this process and points config at it.
func startEnvironment(ctx context.Context, settings settings, config *mcpauth.Config) (*devenv.Environment, error) {
	config.Scopes = []string{"profile:read", "greet:write"}
	options := devenv.Config{
		ServerURL: strings.TrimSuffix(config.BaseURL, "/") + "/mcp",
		Scopes:    slices.Concat(config.RequiredScopes, config.Scopes, []string{"announce:send", "doors:open"}), // of single tools
		OrgClaims: true,                                                                                         // for get_organization and the role; Scalekit's tokens for MCP users need not have them
		Logger:    config.Logger,
	}
	if settings.devenvPort != "" {
		options.Addr = net.JoinHostPort("127.0.0.1", settings.devenvPort)
	}
	environment, err := devenv.Start(ctx, options)
	if err != nil {
		if settings.devenvPort != "" {
			err = fmt.Errorf("%w (DEVENV_PORT=%s)", err, settings.devenvPort)
		}
		return nil, err
	}
	config.EnvironmentURL = environment.URL()
	config.ResourceID = environment.ResourceID()
	config.ClientID = environment.ClientID()
	config.ClientSecret = mcpauth.NewSecret(environment.ClientSecret())
	return environment, nil
}

// Streamable returns the go-sdk's HTTP handler for server. It does not authenticate its callers.
func (a *App) Streamable(server *mcp.Server) http.Handler {
	return mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{
		Stateless:      a.Stateless,
		Logger:         a.Logger,
		SessionTimeout: 30 * time.Minute, // for sessions that the client never ends

		PropagateRequestCancellation: true, // without sessions, a tool ends with its call, and so with the token
	})
}

// ListenAndServe serves handler until the program gets a signal.
func (a *App) ListenAndServe(handler http.Handler) error {
	server := &http.Server{
		Handler: handler,
		// No WriteTimeout: it would cut streams, which have to stay open. ReadTimeout limits only how long a request and its
		// body may take to arrive.
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(a.Logger.Handler(), slog.LevelWarn),
	}
	return a.Run(server.Serve, func(ctx context.Context) error {
		err := server.Shutdown(ctx)
		if errors.Is(err, context.DeadlineExceeded) { // a stream is still open; Close ends it
			err = server.Close()
		}
		return err
	})
}

// grace is how long open requests may still take after the signal.
const grace = 2 * time.Second

// Run is ListenAndServe for a server that is not net/http's. serve accepts connections until shutdown is called; the context
// of shutdown ends after grace.
func (a *App) Run(serve func(net.Listener) error, shutdown func(context.Context) error) error {
	served := make(chan error, 1)
	go func() { served <- serve(a.listener) }()
	mode := "stateful"
	if a.Stateless {
		mode = "stateless"
	}
	fmt.Printf("MCP server: %s (%s)\n", a.endpoint(), mode)

	select {
	case err := <-served:
		return err
	case <-a.ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(a.ctx), grace)
	defer cancel()
	if err := shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("shutting down: %w", err)
	}
	return nil
}

func (a *App) endpoint() string {
	path := a.Config.Path
	if path == "" {
		path = "/mcp"
	}
	return strings.TrimSuffix(a.Config.BaseURL, "/") + path
}
