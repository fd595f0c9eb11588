package main

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthgosdk "github.com/scalekit-mcp/mcpauth/gosdk"
	mcpauthhttp "github.com/scalekit-mcp/mcpauth/nethttp"

	"github.com/scalekit-mcp/mcpauth/bench/internal/fixture"
)

// The modes of -serve.
const (
	serveBare     = "bare"
	serveAttached = "attached" // unprotected, with nothing of mcpauth but Attach
	serveOurs     = "mcpauth"
	servePeer     = "peer"
)

// protects reports whether a server of mode refuses requests without a good token.
func protects(mode string) bool { return mode == serveOurs || mode == servePeer }

// The go-sdk allocates so much for a call that a server with nothing in its heap does little but collect garbage, and the
// few microseconds that are looked for are lost in it.
const toolGCPercent = 2000

// serveToolCalls is the child process: it serves MCP on a free port of loopback, prints the URL, and then, for each line
// of its input, the CPU time that it took so far. It ends with its input.
func serveToolCalls(mode string) error {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // denials are logged there
	handler, err := toolHandler(mode, mcpauth.ConfigFromEnv())
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go server.Serve(listener) //nolint:errcheck // it ends with the process
	fmt.Printf("http://%s/mcp\n", listener.Addr())
	input := bufio.NewScanner(os.Stdin)
	for input.Scan() {
		var usage syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
			return err
		}
		fmt.Println(time.Duration(usage.Utime.Nano() + usage.Stime.Nano()))
	}
	return input.Err()
}

func toolHandler(mode string, cfg mcpauth.Config) (http.Handler, error) {
	server := mcp.NewServer(&mcp.Implementation{Name: "bench", Version: "0.1.0"}, nil)
	streamable := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{Stateless: true})
	mux := http.NewServeMux()
	switch mode {
	case serveAttached:
		mcpauthgosdk.Attach(server)
		fallthrough
	case serveBare:
		addGreet(server, func(context.Context, *mcp.CallToolRequest) string { return fixture.Subject })
		mux.Handle("/mcp", streamable)
	case serveOurs:
		rs, err := mcpauth.New(cfg)
		if err != nil {
			return nil, err
		}
		addGreet(server, func(ctx context.Context, _ *mcp.CallToolRequest) string {
			session, err := mcpauth.SessionFromContext(ctx)
			if err != nil {
				return ""
			}
			return session.UserID()
		})
		mcpauthgosdk.Attach(server)
		mcpauthhttp.Mount(mux, rs, mcpauthgosdk.Handler(rs, streamable))
	case servePeer:
		p := &policy{issuer: cfg.EnvironmentURL + "/resources/" + cfg.ResourceID, audience: cfg.ResourceID}
		addGreet(server, func(_ context.Context, req *mcp.CallToolRequest) string {
			if req.Extra == nil || req.Extra.TokenInfo == nil {
				return ""
			}
			return req.Extra.TokenInfo.UserID
		})
		mux.Handle("/mcp", auth.RequireBearerToken(p.goSDKVerifier(cfg.EnvironmentURL+mcpauthtest.KeysPath), nil)(streamable))
	default:
		return nil, fmt.Errorf("-serve %s: no such server", mode)
	}
	return mux, nil
}

type greeting struct {
	Greeting string `json:"greeting"`
}

func addGreet(server *mcp.Server, who func(context.Context, *mcp.CallToolRequest) string) {
	mcp.AddTool(server, &mcp.Tool{Name: "greet", Description: "Greets the caller."},
		func(ctx context.Context, req *mcp.CallToolRequest, in greeting) (*mcp.CallToolResult, any, error) {
			text := in.Greeting + " " + who(ctx, req)
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: text}}}, nil, nil
		})
}
