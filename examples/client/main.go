// Command client is an MCP client for the command line that signs in, and shows each step of it.
//
//	go run ./examples/client -url http://localhost:3001/mcp
//
// It prints the address of a page to open in a browser, or fills in the form itself:
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
	flag.BoolVar(&options.Auto, "auto", false, "fill in the consent form; works only with the local environment")
	flag.StringVar(&options.User, "user", "", "`user` to choose in the form, by id, name or email")
	flag.BoolVar(&options.CIMD, "cimd", false, "use a client metadata document instead of registering")
	tool := flag.String("tool", "", "`tool` to call (default: the calls of the demo)")
	args := flag.String("args", "", "arguments of -tool, a JSON `object`")
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
		return fmt.Errorf("unexpected argument %q; give flags only, see -h", flag.Arg(0))
	case args != "" && tool == "":
		return errors.New("-args needs -tool; give the tool that it is for")
	case args != "" && json.Unmarshal([]byte(args), &map[string]any{}) != nil:
		return errors.New("-args is not a JSON object; give one such as '{\"name\":\"Ada\"}'")
	}
	return nil
}
