// Command client is an MCP client for the command line that signs in, and shows each step of it.
//
//	go run ./examples/client -url http://localhost:3001/mcp
//
// It prints a page to open in a browser, unless it is told to fill in the form itself:
//
//	go run ./examples/client --auto -user grace -tool greet -args '{"name":"Grace"}'
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/scalekit-mcp/mcpauth/examples/client/flow"
)

func main() {
	options := flow.Options{Out: os.Stdout}
	flag.StringVar(&options.URL, "url", "http://localhost:3001/mcp", "`URL` of the MCP server")
	flag.BoolVar(&options.Auto, "auto", false, "fill in the consent form; works with the local environment only")
	flag.StringVar(&options.User, "user", "", "`who` to choose in it, by id, name or email")
	flag.BoolVar(&options.CIMD, "cimd", false, "have a client metadata document instead of registering")
	tool := flag.String("tool", "", "the one `tool` to call (default: those of the demo)")
	args := flag.String("args", "", "its arguments, a JSON `object`")
	flag.Parse()

	calls := flow.DemoCalls()
	if *tool != "" {
		calls = []flow.Call{{Tool: *tool, Arguments: json.RawMessage(*args)}}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := check(*tool, *args)
	if err == nil {
		err = flow.Run(ctx, options, calls)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "client:", err)
		os.Exit(1)
	}
}

func check(tool, args string) error {
	switch {
	case flag.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", flag.Arg(0))
	case args != "" && tool == "":
		return errors.New("-args needs -tool")
	case args != "" && json.Unmarshal([]byte(args), &map[string]any{}) != nil:
		return errors.New("-args is no JSON object")
	}
	return nil
}
