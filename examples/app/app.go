// Package app is what the examples have in common and what is not about authentication: settings from the environment,
// a local Scalekit environment when none is configured, the address to listen at, and an orderly end.
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

// An App is an example that is about to serve.
type App struct {
	Config    mcpauth.Config // from the environment; complete
	Stateless bool           // STATELESS=1: no MCP sessions, as of MCP 2026-07-28
	Logger    *slog.Logger

	listener net.Listener
	ctx      context.Context //nolint:containedctx // the program's life, which ends with a signal
}

// Main runs an example until SIGINT or SIGTERM. What serve returns, and what is wrong with the settings, goes to stderr,
// one line for each mistake, and the exit code is 1.
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
	defer func() { _ = listener.Close() }() // closed already when serve got that far
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
		defer func() { _ = environment.Close() }() // nobody is left to tell
		fmt.Printf("Scalekit environment: %s (a local stand-in, since SCALEKIT_ENVIRONMENT_URL is not set)\n", environment.URL())
	} else {
		fmt.Printf("Scalekit environment: %s\n", config.EnvironmentURL)
	}
	return serve(&App{Config: config, Stateless: settings.stateless, Logger: logger, listener: listener, ctx: ctx})
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
		Scopes:    slices.Concat(config.RequiredScopes, config.Scopes, []string{"announce:send"}), // which one tool alone needs
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

// Streamable returns the go-sdk's HTTP handler for server. It authenticates nobody.
func (a *App) Streamable(server *mcp.Server) http.Handler {
	return mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{
		Stateless:      a.Stateless,
		Logger:         a.Logger,
		SessionTimeout: 30 * time.Minute, // sessions whose client never says good-bye

		PropagateRequestCancellation: true, // without sessions a tool ends with its call, and so with the token
	})
}

// ListenAndServe serves handler until the program is told to end.
func (a *App) ListenAndServe(handler http.Handler) error {
	server := &http.Server{
		Handler: handler,
		// No WriteTimeout: it would cut streams, which are to stay open. ReadTimeout bounds how long a request may take to
		// arrive with its body, and ends there.
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(a.Logger.Handler(), slog.LevelWarn),
	}
	return a.Run(server.Serve, func(ctx context.Context) error {
		err := server.Shutdown(ctx)
		if errors.Is(err, context.DeadlineExceeded) { // a stream is open; it ends here
			err = server.Close()
		}
		return err
	})
}

// grace is how long requests may take that are being answered when the program is told to end.
const grace = 2 * time.Second

// Run is ListenAndServe for a server that is not net/http's: serve accepts connections until shutdown is called, whose
// context ends when the time for an orderly end is over.
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
