// Command devenv runs a local stand-in for a Scalekit environment until it is interrupted, and prints the variables
// that point an MCP server at it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/scalekit-mcp/mcpauth/devenv"
	"github.com/scalekit-mcp/mcpauth/devenv/internal/netaddr"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// errUsage is returned for a mistake that the flag package has already printed.
var errUsage = errors.New("usage")

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("devenv", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var config devenv.Config
	flags.StringVar(&config.Addr, "addr", "", "loopback `host:port` to listen at (default 127.0.0.1:3002, or a free port if that is taken)")
	network := flags.String("dangerously-allow-network", "", "`list` of host names under which other containers reach the environment, separated by spaces or commas; the first one is in its URL. "+
		"Everyone there can sign in as any user. -addr may then be any address")
	flags.StringVar(&config.ServerURL, "server-url", "http://localhost:3001/mcp", "`URL` of the MCP server")
	flags.StringVar(&config.ResourceID, "resource-id", "res_local", "`id` of the MCP server")
	flags.StringVar(&config.ClientID, "client-id", "skc_local", "`id` of the API credentials")
	flags.StringVar(&config.ClientSecret, "client-secret", "", "`secret` of the API credentials (default random)")
	flags.BoolVar(&config.BareIssuer, "bare-issuer", false, "make the environment URL the issuer of access tokens")
	flags.StringVar(&config.IssuerOrigin, "issuer-origin", "", "`origin` in the issuer of access tokens, such as https://acme.scalekit.com, as in tokens from before an environment got a domain of its own (default the environment URL)")
	flags.DurationVar(&config.AccessTokenTTL, "ttl", 0, "how long tokens are valid (default 5m)")
	audience := flags.String("aud", "", "`list` of the audiences of access tokens, separated by spaces or commas (default the server's URL and id)")
	scopes := flags.String("scopes", "", "`list` of scopes that clients may ask for, separated by spaces or commas")
	agent := flags.String("agent", "", "register a client on the MCP server that may ask for this `list` of scopes, and print its credentials")
	flags.BoolVar(&config.OrgClaims, "org-claims", false, "put organization, roles and permissions into access tokens; Scalekit documents tokens of MCP users without them")
	flags.StringVar(&config.EnvironmentID, "environment-id", "env_local", "`id` of the environment in webhooks")
	flags.StringVar(&config.WebhookSecret, "webhook-secret", "", "`secret` that signs webhooks: whsec_ and base64 (default random)")
	flags.Func("webhook-url", "`URL` that gets webhooks; give the flag again for further ones, such as other replicas", func(url string) error {
		config.WebhookURLs = append(config.WebhookURLs, url)
		return nil
	})
	verbose := flags.Bool("v", false, "log refused requests")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("devenv: unexpected argument %q; it takes flags only, see -h", flags.Arg(0))
	}
	level := slog.LevelInfo
	if *verbose {
		level = slog.LevelDebug
	}
	config.Logger = slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))
	config.Scopes, config.Audience, config.DangerouslyAllowNetwork = list(*scopes), list(*audience), list(*network)
	if *agent != "" {
		config.Clients = []devenv.Client{{ID: "m2m_agent", Scopes: list(*agent)}}
	}

	env, err := devenv.Start(ctx, config)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(stdout, exports(env, config)); err != nil {
		return errors.Join(err, env.Close())
	}
	<-ctx.Done()
	return env.Close()
}

// list splits the value of a flag.
func list(value string) []string {
	return strings.FieldsFunc(value, func(r rune) bool { return r == ' ' || r == ',' })
}

// exports returns export commands for a shell, with all values quoted. Those of webhooks are named as in docs/revocation.md,
// and those for other containers as the examples read them.
func exports(env *devenv.Environment, config devenv.Config) string {
	var b strings.Builder
	fmt.Fprintln(&b, "# A local Scalekit environment. In the shell of the MCP server:")
	export := func(name, value string) {
		fmt.Fprintf(&b, "export %s='%s'\n", name, strings.ReplaceAll(value, "'", `'\''`))
	}
	export("SCALEKIT_ENVIRONMENT_URL", env.URL())
	export("SCALEKIT_RESOURCE_ID", env.ResourceID())
	export("SCALEKIT_CLIENT_ID", env.ClientID())
	export("SCALEKIT_CLIENT_SECRET", env.ClientSecret())
	export("BASE_URL", origin(env.ServerURL()))
	if len(config.WebhookURLs) > 0 {
		export("WEBHOOK_SECRET", env.WebhookSecret())
		export("WEBHOOK_ENVIRONMENT_ID", env.EnvironmentID())
	}
	if config.IssuerOrigin != "" {
		fmt.Fprintf(&b, "# Access tokens name another issuer than this environment. The server accepts them with Config.Issuers: %s\n", env.Issuer())
	}
	if internal, insecure := networkURL(env.URL(), config.DangerouslyAllowNetwork); insecure {
		fmt.Fprintln(&b, "# If that server is in another container:")
		if internal != env.URL() {
			export("INTERNAL_ENVIRONMENT_URL", internal)
		}
		export("DANGEROUSLY_ALLOW_INSECURE_ENVIRONMENT", "1")
	}
	for _, client := range env.Clients() {
		fmt.Fprintln(&b, "# In the shell of the agent:")
		export("SCALEKIT_ENVIRONMENT_URL", env.URL())
		export("AGENT_CLIENT_ID", client.ID)
		export("AGENT_CLIENT_SECRET", client.Secret)
	}
	fmt.Fprintf(&b, "# Access tokens are for %s.\n# Sessions, requests and buttons: open %s/ in a browser. Press Ctrl-C to stop.\n",
		strings.Join(env.Audience(), " and "), env.URL())
	return b.String()
}

// networkURL returns the environment's address under the first of the names that is not on loopback, if there is one.
func networkURL(environmentURL string, names []string) (address string, ok bool) {
	u, err := url.Parse(environmentURL)
	if err != nil {
		return "", false
	}
	for _, name := range names {
		if !netaddr.IsLoopback(name) {
			u.Host = net.JoinHostPort(name, u.Port())
			return u.String(), true
		}
	}
	return "", false
}

func origin(serverURL string) string {
	u, err := url.Parse(serverURL)
	if err != nil {
		return serverURL
	}
	return u.Scheme + "://" + u.Host
}
