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
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/scalekit-mcp/mcpauth/devenv"
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
	flags.StringVar(&config.ServerURL, "server-url", "http://localhost:3001/mcp", "`URL` of the MCP server")
	flags.StringVar(&config.ResourceID, "resource-id", "res_local", "`id` of the MCP server")
	flags.StringVar(&config.ClientID, "client-id", "skc_local", "`id` of the API credentials")
	flags.StringVar(&config.ClientSecret, "client-secret", "", "`secret` of the API credentials (default random)")
	flags.BoolVar(&config.BareIssuer, "bare-issuer", false, "make the environment URL the issuer of access tokens")
	flags.DurationVar(&config.AccessTokenTTL, "ttl", 0, "how long tokens are valid (default 5m)")
	audience := flags.String("aud", "", "`list` of the audiences of access tokens, separated by spaces or commas (default the server's URL and id)")
	scopes := flags.String("scopes", "", "`list` of scopes that clients may ask for, separated by spaces or commas")
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
	config.Scopes, config.Audience = list(*scopes), list(*audience)

	env, err := devenv.Start(ctx, config)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(stdout, exports(env)); err != nil {
		return errors.Join(err, env.Close())
	}
	<-ctx.Done()
	return env.Close()
}

func list(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' })
}

// exports returns export commands for a shell, with all values quoted.
func exports(env *devenv.Environment) string {
	var b strings.Builder
	fmt.Fprintln(&b, "# A local Scalekit environment. In the shell of the MCP server:")
	for _, v := range [][2]string{
		{"SCALEKIT_ENVIRONMENT_URL", env.URL()},
		{"SCALEKIT_RESOURCE_ID", env.ResourceID()},
		{"SCALEKIT_CLIENT_ID", env.ClientID()},
		{"SCALEKIT_CLIENT_SECRET", env.ClientSecret()},
		{"BASE_URL", origin(env.ServerURL())},
	} {
		fmt.Fprintf(&b, "export %s='%s'\n", v[0], strings.ReplaceAll(v[1], "'", `'\''`))
	}
	fmt.Fprintf(&b, "# Access tokens are for %s. Press Ctrl-C to stop.\n", strings.Join(env.Audience(), " and "))
	return b.String()
}

func origin(serverURL string) string {
	u, err := url.Parse(serverURL)
	if err != nil {
		return serverURL
	}
	return u.Scheme + "://" + u.Host
}
