// Command demo shows the whole conversation between an MCP client, a protected MCP server and its authorization server,
// on this machine alone, and then leaves the server running for other clients.
//
//	go run ./examples/demo
//
// FRAMEWORK chooses the router (nethttp by default), PORT the server's port (3001) and DEVENV_PORT that of the local
// Scalekit environment (3002). With CI=true it ends after the conversation.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/scalekit-mcp/mcpauth/examples/client/flow"
	"github.com/scalekit-mcp/mcpauth/examples/internal/child"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	err := run(ctx)
	interrupted := ctx.Err() != nil
	stop()
	if err != nil && !interrupted {
		fmt.Fprintln(os.Stderr, "demo:", strings.ReplaceAll(err.Error(), "\n", "; "))
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	framework := cmp.Or(os.Getenv("FRAMEWORK"), child.Frameworks[0])
	if err := child.Check(framework); err != nil {
		return err
	}
	port, devenvPort := cmp.Or(os.Getenv("PORT"), "3001"), cmp.Or(os.Getenv("DEVENV_PORT"), "3002")
	if err := free(ctx, port, "PORT"); err != nil { // before the time that building takes
		return err
	}
	if err := free(ctx, devenvPort, "DEVENV_PORT"); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mcpauth-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	fmt.Printf("Starting examples/%s; the first time, it is compiled before.\n", framework)
	program, err := child.Build(ctx, framework, dir)
	if err != nil {
		return err
	}
	ports := []string{"PORT=" + port, "DEVENV_PORT=" + devenvPort, "STATELESS=" + os.Getenv("STATELESS")}
	if err := converse(ctx, program, framework, append(ports, "PUBLIC=1")); err != nil {
		return err
	}
	if ci, err := strconv.ParseBool(os.Getenv("CI")); err == nil && ci {
		fmt.Println("\nAll of it worked.")
		return nil
	}
	// From here on without a public tool: some clients, such as mcp-remote, sign in only when their first request is refused.
	server, err := child.Start(ctx, program, ports...)
	if err != nil {
		return err
	}
	server.ForwardLog(os.Stderr)
	defer func() { err = errors.Join(err, server.Stop()) }()
	fmt.Printf(invitation, server.URL)
	select {
	case <-ctx.Done():
		return nil
	case <-server.Done():
		return errors.New("the server ended")
	}
}

// converse runs the server for as long as the client talks to it.
func converse(ctx context.Context, program, framework string, settings []string) (err error) {
	server, err := child.Start(ctx, program, settings...)
	if err != nil {
		return err
	}
	server.ForwardLog(os.Stderr)
	defer func() { err = errors.Join(err, server.Stop()) }()
	fmt.Printf("MCP server:           %s (%s)\nScalekit environment: %s (a local stand-in)\n", server.URL, framework, server.Environment)
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return flow.Run(ctx, flow.Options{URL: server.URL, Auto: true, Out: os.Stdout}, flow.DemoCalls())
}

const invitation = `
== Your turn
The server was started again, without public tools, and stays up until Ctrl-C. Everybody whom the sign-in page offers needs no password.

MCP Inspector (Node 22.19 or later): type this, and press the switch on the server's card.
  npx @modelcontextprotocol/inspector --server-url %[1]s --transport http

Claude Code: then choose "Authenticate" under /mcp.
  claude mcp add --transport http mcpauth-demo %[1]s

This project's own client, step by step in your browser:
  go run ./examples/client -url %[1]s
`

// free finds out early whether a port is taken. The server finds out for certain.
func free(ctx context.Context, port, variable string) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", port))
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("port %s is taken by another program; stop it, or set %s to another one", port, variable)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", variable, err)
	}
	return listener.Close()
}
