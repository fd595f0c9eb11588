package devenv

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"

	"github.com/scalekit-mcp/mcpauth/devenv/internal/oauth"
	"github.com/scalekit-mcp/mcpauth/devenv/internal/page"
	"github.com/scalekit-mcp/mcpauth/devenv/internal/webhook"
)

const (
	readTimeout  = 10 * time.Second
	writeTimeout = 20 * time.Second // of answers that don't stream; fetching a metadata document takes 5 s at most
)

// An Environment is a running stand-in for a Scalekit environment. It is safe for concurrent use.
type Environment struct {
	config   Config
	url      string
	keys     *mcpauthtest.KeySet
	tokens   *environmentTokens
	oauth    *oauth.Server
	orgs     *organizations
	clients  resourceClients
	signing  *signingKeys
	faults   *faults
	requests *requestLog
	webhooks *webhook.Sender
	page     *page.Page
	server   *http.Server
	served   chan struct{} // closed when no more connections are accepted
	ending   chan struct{} // closed when the environment begins to end
	forget   func() bool   // stops watching Start's context
	closing  sync.Once
	closed   error
}

// Start listens and serves until ctx is done or [Environment.Close] is called. Its error joins all mistakes in config.
func Start(ctx context.Context, config Config) (*Environment, error) {
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	listener, err := listen(ctx, config)
	if err != nil {
		return nil, err
	}
	env := &Environment{
		config: config,
		url:    "http://" + publicAddr(config, listener.Addr()),
		keys:   mcpauthtest.NewKeySet(),
		tokens: newEnvironmentTokens(),
		served: make(chan struct{}),
		ending: make(chan struct{}),
	}
	env.signing, env.faults, env.requests = newSigningKeys(env.keys), newFaults(config.AccessTokenTTL, env.ending), new(requestLog)
	for _, client := range config.Clients {
		env.clients.add(client.withDefaults())
	}
	handler, err := env.handler()
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	env.server = &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    maxFormBytes, // a query is no larger than a form
		ErrorLog:          slog.NewLogLogger(config.Logger.Handler(), slog.LevelDebug),
	}
	env.server.RegisterOnShutdown(func() { close(env.ending) })
	go func() {
		defer close(env.served)
		if err := env.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			config.Logger.Warn("the local environment stopped", "error", err)
		}
	}()
	env.forget = context.AfterFunc(ctx, env.stop)
	return env, nil
}

// listen uses a free port when the default one is taken, but never when Addr was set: other programs may have been told that
// port.
func listen(ctx context.Context, config Config) (net.Listener, error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", cmp.Or(config.Addr, defaultAddr))
	if errors.Is(err, syscall.EADDRINUSE) {
		if config.Addr != "" {
			return nil, fmt.Errorf("devenv: Addr: %s is taken by another program; stop it, or give another port", config.Addr)
		}
		config.Logger.Warn("the default port is taken; using a free one", "default", defaultAddr)
		listener, err = lc.Listen(ctx, "tcp", "127.0.0.1:0")
	}
	if err != nil {
		return nil, fmt.Errorf("devenv: Addr: %w", err)
	}
	if err := config.checkListener(listener.Addr()); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}

// publicAddr returns the host of Addr, or the first name for the network, with the port that the listener got. The host is not
// changed, because issuers are compared byte for byte.
func publicAddr(config Config, got net.Addr) string {
	_, port, err := net.SplitHostPort(got.String())
	if err != nil {
		return got.String()
	}
	if names := config.DangerouslyAllowNetwork; len(names) > 0 {
		return net.JoinHostPort(names[0], port)
	}
	host, _, err := net.SplitHostPort(cmp.Or(config.Addr, defaultAddr))
	if err != nil {
		return got.String()
	}
	return net.JoinHostPort(host, port)
}

// URL returns the environment URL, SCALEKIT_ENVIRONMENT_URL: an origin without trailing slash.
func (e *Environment) URL() string { return e.url }

// Issuer returns the issuer of access tokens.
func (e *Environment) Issuer() string {
	issuer := cmp.Or(e.config.IssuerOrigin, e.url)
	if !e.config.BareIssuer {
		issuer += "/resources/" + e.config.ResourceID
	}
	return issuer
}

// ResourceID returns the id of the MCP server, SCALEKIT_RESOURCE_ID.
func (e *Environment) ResourceID() string { return e.config.ResourceID }

// ServerURL returns the URL of the MCP server as it is registered.
func (e *Environment) ServerURL() string { return e.config.ServerURL }

// Audience returns the audiences of access tokens.
func (e *Environment) Audience() []string { return slices.Clone(e.config.Audience) }

// ClientID returns the id of the environment's API credentials, SCALEKIT_CLIENT_ID.
func (e *Environment) ClientID() string { return e.config.ClientID }

// ClientSecret returns the secret of the environment's API credentials, SCALEKIT_CLIENT_SECRET.
func (e *Environment) ClientSecret() string { return e.config.ClientSecret }

// EnvironmentID returns the environment_id of webhooks.
func (e *Environment) EnvironmentID() string { return e.config.EnvironmentID }

// WebhookSecret returns the secret that signs webhooks.
func (e *Environment) WebhookSecret() string { return e.config.WebhookSecret }

// Close stops listening, waits a moment for open requests, and drops the rest, webhooks included. A second call returns the
// error of the first.
func (e *Environment) Close() error {
	e.forget()
	e.stop()
	return e.closed
}

// stop is apart from Close because the context that it watches may be done before Start has stored forget.
func (e *Environment) stop() {
	e.closing.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		err := e.server.Shutdown(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			err = e.server.Close()
		}
		<-e.served
		e.webhooks.Close()
		e.closed = err
	})
}
