// Command allocs measures the allocations of the hot paths and fails when one exceeds its budget. Unlike times they do not
// depend on the machine, so this is what CI looks at. Run it from the directory of the budget, or name it with -budget.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"

	"github.com/scalekit-mcp/mcpauth/bench/internal/fixture"
	"github.com/scalekit-mcp/mcpauth/bench/internal/measure"
)

func main() {
	path := flag.String("budget", "budget.txt", "the file with the limits")
	flag.Parse()
	if err := run(*path); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// A cost is that of one path: allocations and bytes for one operation.
type cost struct{ allocs, bytes float64 }

func run(path string) error {
	budget, names, err := readBudget(path)
	if err != nil {
		return err
	}
	costs, err := hotPaths()
	if err != nil {
		return err
	}
	var over []string
	for _, name := range names {
		got, ok := costs[name]
		want := budget[name]
		delete(costs, name)
		switch {
		case !ok:
			over = append(over, name+": there is no such path; take it out of "+path)
			continue
		case got.allocs > want.allocs || got.bytes > want.bytes:
			over = append(over, fmt.Sprintf("%s: %.0f allocations and %.0f bytes; the budget is %.0f and %.0f",
				name, got.allocs, got.bytes, want.allocs, want.bytes))
		}
		fmt.Printf("%-26s %4.0f of %4.0f allocations  %6.0f of %6.0f bytes\n", name, got.allocs, want.allocs, got.bytes, want.bytes)
	}
	for name, got := range costs {
		over = append(over, fmt.Sprintf("%s: %.0f allocations and %.0f bytes; %s has no budget for it", name, got.allocs, got.bytes, path))
	}
	if len(over) > 0 {
		return errors.New("over budget:\n  " + strings.Join(over, "\n  "))
	}
	return nil
}

// readBudget reads lines of a name, allocations and bytes.
func readBudget(path string) (budget map[string]cost, names []string, err error) {
	file, err := os.Open(path) //nolint:gosec // the user says which
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	budget = make(map[string]cost)
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if strings.TrimSpace(text) == "" {
			continue
		}
		var name string
		var limit cost
		if _, err := fmt.Sscan(text, &name, &limit.allocs, &limit.bytes); err != nil {
			return nil, nil, fmt.Errorf("%s: %q is not a name, allocations and bytes: %w", path, text, err)
		}
		if _, twice := budget[name]; twice {
			return nil, nil, fmt.Errorf("%s: %s is there twice", path, name)
		}
		budget[name] = limit
		names = append(names, name)
	}
	return budget, names, lines.Err()
}

// hotPaths measures what core costs, and what each adapter costs beyond its bare handler.
func hotPaths() (map[string]cost, error) {
	f, err := fixture.New()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	cached, err := f.ResourceServer(nil)
	if err != nil {
		return nil, err
	}
	uncached, err := f.ResourceServer(func(cfg *mcpauth.Config) { cfg.Cache.Disabled = true })
	if err != nil {
		return nil, err
	}
	costs := make(map[string]cost)
	for _, path := range []struct {
		name  string
		rs    *mcpauth.ResourceServer
		token string
		want  mcpauth.Outcome
	}{
		{"Authenticate/hit", cached, f.Token, mcpauth.OutcomeAllowed},
		{"Authenticate/first-sight", uncached, f.Token, mcpauth.OutcomeAllowed},
		{"Authenticate/forged", cached, f.Forged, mcpauth.OutcomeInvalidToken},
	} {
		request := fixture.Request(path.token)
		got, err := costOf(func() error {
			if d := path.rs.Authenticate(context.Background(), request); d.Outcome != path.want {
				return fmt.Errorf("%s: %s", path.name, d.Outcome)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		costs[path.name] = got
	}
	if costs["fasthttp/Handler"], err = costOfServer("fasthttp/Handler", fixture.Bridge(), f.Token); err != nil {
		return nil, err
	}
	for _, pair := range fixture.Pairs(cached) {
		name := strings.NewReplacer("net/http", "nethttp", " ", "/").Replace(pair.Name)
		bare, err := costOfServer(name, pair.Bare, f.Token)
		if err != nil {
			return nil, err
		}
		ours, err := costOfServer(name, pair.Ours, f.Token)
		if err != nil {
			return nil, err
		}
		costs[name] = cost{ours.allocs - bare.allocs, ours.bytes - bare.bytes}
	}
	return costs, nil
}

func costOfServer(name string, server fixture.Server, token string) (cost, error) {
	call := server(token)
	return costOf(func() error {
		if status := call(); status != 200 {
			return fmt.Errorf("%s: status %d", name, status)
		}
		return nil
	})
}

func costOf(once func() error) (c cost, err error) {
	c.allocs, c.bytes = measure.Allocs(func(n int) {
		for range n {
			if failed := once(); failed != nil {
				err = failed
			}
		}
	}, 500)
	return c, err
}
