package operations_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/big"
	"net/http"
	"slices"
	"strconv"
	"strings"

	gomcp "github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// The operations with arguments. Their names say how they read them.
const (
	rawTool    = "raw"    // JSON text, in which numbers are exact
	mapTool    = "map"    // a map, in which numbers are float64
	structTool = "struct" // the struct input, decoded by the SDK
	foldTool   = "fold"   // the struct input, decoded by encoding/json, which ignores case
	prompting  = "prompt" // a prompt, whose arguments are strings
)

// input is what tools with a type take. Core knows nothing of it: Check names inputNames.
type input struct {
	ID     int64          `json:"id"`
	Big    uint64         `json:"big"`
	Amount float64        `json:"amount"`
	Kind   string         `json:"kind"`
	Force  bool           `json:"force"`
	Names  []string       `json:"names"`
	Rest   map[string]any `json:"rest"`
	Order  *order         `json:"order"`
	Orders []order        `json:"orders"`
}

type order struct {
	Size *int64 `json:"size"`
	Note string `json:"note"`
	Next *order `json:"next"`
}

var inputNames = []string{"id", "big", "amount", "kind", "force", "names", "rest", "order", "orders", "size", "note", "next"}

func newGoSDKWithArguments(r *recorder) http.Handler {
	s := mcp.NewServer(&mcp.Implementation{Name: "arguments", Version: "1"}, nil)
	done := &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "done"}}}
	loose := func(name string) *mcp.Tool {
		return &mcp.Tool{Name: name, InputSchema: map[string]any{"type": "object"}}
	}
	s.AddTool(loose(rawTool), func(_ context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		r.received(useOf(rawTool, decoded(req.Params.Arguments)))
		return done, nil
	})
	s.AddTool(loose(foldTool), func(_ context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		var in input
		if len(req.Params.Arguments) > 0 {
			if err := json.Unmarshal(req.Params.Arguments, &in); err != nil {
				return nil, err
			}
		}
		r.received(useOf(foldTool, in.value()))
		return done, nil
	})
	mcp.AddTool(s, loose(mapTool), func(_ context.Context, _ *mcp.CallToolRequest, in map[string]any) (*mcp.CallToolResult, struct{}, error) {
		r.received(useOf(mapTool, in))
		return done, struct{}{}, nil
	})
	mcp.AddTool(s, loose(structTool), func(_ context.Context, _ *mcp.CallToolRequest, in input) (*mcp.CallToolResult, struct{}, error) {
		r.received(useOf(structTool, in.value()))
		return done, struct{}{}, nil
	})
	s.AddPrompt(&mcp.Prompt{Name: prompting}, func(_ context.Context, req *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
		r.received(useOf(prompting, texts(req.Params.Arguments)))
		return &mcp.GetPromptResult{Messages: []*mcp.PromptMessage{}}, nil
	})
	return mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s }, &mcp.StreamableHTTPOptions{Stateless: true})
}

func newMCPGoServerWithArguments(r *recorder) *server.MCPServer {
	s := server.NewMCPServer("arguments", "1", server.WithLogger(silent), server.WithPromptCapabilities(true))
	done := gomcp.NewToolResultText("done")
	s.AddTool(gomcp.NewTool(rawTool), func(_ context.Context, req gomcp.CallToolRequest) (*gomcp.CallToolResult, error) {
		raw, _ := req.GetRawArguments().(json.RawMessage)
		r.received(useOf(rawTool, decoded(raw)))
		return done, nil
	})
	s.AddTool(gomcp.NewTool(mapTool), func(_ context.Context, req gomcp.CallToolRequest) (*gomcp.CallToolResult, error) {
		r.received(useOf(mapTool, req.GetArguments()))
		return done, nil
	})
	for _, name := range []string{structTool, foldTool} { // mcp-go decodes with encoding/json
		s.AddTool(gomcp.NewTool(name), gomcp.NewTypedToolHandler(func(_ context.Context, _ gomcp.CallToolRequest, in input) (*gomcp.CallToolResult, error) {
			r.received(useOf(name, in.value()))
			return done, nil
		}))
	}
	s.AddPrompt(gomcp.NewPrompt(prompting), func(_ context.Context, req gomcp.GetPromptRequest) (*gomcp.GetPromptResult, error) {
		r.received(useOf(prompting, texts(req.Params.Arguments)))
		return gomcp.NewGetPromptResult("", []gomcp.PromptMessage{}), nil
	})
	return s
}

func newMCPGoWithArguments(r *recorder) http.Handler {
	return server.NewStreamableHTTPServer(newMCPGoServerWithArguments(r), server.WithStateLess(true), server.WithStreamableHTTPLogger(silent))
}

// A use is an operation, with its arguments in canonical form.
type use struct{ name, arguments string }

func useOf(name string, arguments any) use {
	if m, ok := arguments.(map[string]any); arguments == nil || ok && m == nil {
		return use{name, "{}"} // absent, or null
	}
	return use{name, canonical(arguments)}
}

// decoded returns the value of JSON text, with exact numbers, nil when there is none.
func decoded(text []byte) (value any) {
	if len(text) == 0 {
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		return err.Error()
	}
	return value
}

// value returns what a tool sees in its input.
func (in input) value() any {
	text, err := json.Marshal(in)
	if err != nil {
		return err.Error()
	}
	return decoded(text)
}

func texts(arguments map[string]string) any {
	values := make(map[string]any, len(arguments))
	for name, value := range arguments {
		values[name] = value
	}
	return values
}

// inputOf returns what a tool that compares names exactly has to see when these are its arguments.
func inputOf(arguments map[string]any) any {
	text, err := json.Marshal(withNames(arguments))
	if err != nil {
		return err.Error()
	}
	var in input
	if err := json.Unmarshal(text, &in); err != nil {
		return err.Error()
	}
	return in.value()
}

// withNames returns a copy of a value without members of other names.
func withNames(value any) any {
	switch value := value.(type) {
	case map[string]any:
		known := make(map[string]any)
		for name, element := range value {
			if name == "rest" {
				known[name] = element
			} else if slices.Contains(inputNames, name) {
				known[name] = withNames(element)
			}
		}
		return known
	case []any:
		known := make([]any, len(value))
		for i, element := range value {
			known[i] = withNames(element)
		}
		return known
	}
	return value
}

// canonical writes a value so that equal values have equal texts. A number is the fraction that its reader has. For a float64
// that is an integer of up to 64 bits this is its exact value, and otherwise the shortest decimal number that is read as this
// float64.
func canonical(value any) string {
	switch value := value.(type) {
	case map[string]any:
		var b strings.Builder
		for _, name := range slices.Sorted(maps.Keys(value)) {
			b.WriteString(strconv.Quote(name) + ":" + canonical(value[name]) + ",")
		}
		return "{" + b.String() + "}"
	case []any:
		var b strings.Builder
		for _, element := range value {
			b.WriteString(canonical(element) + ",")
		}
		return "[" + b.String() + "]"
	case string:
		return strconv.Quote(value)
	case json.Number:
		return fraction(value.String())
	case float64:
		if value == math.Trunc(value) && math.Abs(value) < 1<<64 {
			return new(big.Rat).SetFloat64(value).RatString()
		}
		return fraction(strconv.FormatFloat(value, 'g', -1, 64))
	}
	return fmt.Sprint(value)
}

// fraction returns a decimal number as a fraction, and as it is if a float64 can't be near it.
func fraction(number string) string {
	f, err := strconv.ParseFloat(number, 64)
	mantissa, _, _ := strings.Cut(strings.ToLower(number), "e")
	switch {
	case err != nil, f == 0 && strings.ContainsAny(mantissa, "123456789"):
		return number // written out it may be long
	case f == 0:
		return "0"
	}
	r, _ := new(big.Rat).SetString(number)
	return r.RatString()
}
