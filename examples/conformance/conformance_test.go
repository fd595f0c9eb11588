// Package conformance_test runs the official conformance suite against a server without authentication, and against the same
// server behind mcpauth under each router. A client that has a token must not notice a difference.
package conformance_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/scalekit-mcp/mcpauth/examples/conformance/everything"
)

// runs are the suite's revisions of MCP that have requirements, each with a server of that kind, and its one scenario about
// resumed streams. That scenario has a server of its own: the other scenarios disconnect from such a server at its first
// event, and then expect its answer.
var runs = []run{
	{name: "2025-11-25", mode: everything.Stateful, revision: "2025-11-25"},
	{name: "2025-11-25-resumable", mode: everything.Resumable, revision: "2025-11-25", scenario: "server-sse-polling"},
	{name: "2026-07-28", mode: everything.Stateless, revision: "2026-07-28"},
}

type run struct {
	name     string
	mode     everything.Mode
	revision string
	scenario string // "" for all that the revision requires
}

// TestConformance needs what npm ci installs in examples/clients, so it runs only with MCPAUTH_CONFORMANCE=1.
func TestConformance(t *testing.T) {
	if os.Getenv("MCPAUTH_CONFORMANCE") != "1" {
		t.Skip("to run it, call make conformance, or npm ci in examples/clients and set MCPAUTH_CONFORMANCE=1")
	}
	expected, err := readExpected("expected-failures.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, run := range runs {
		t.Run(run.name, func(t *testing.T) {
			wanted := run.wanted(t)
			results := make(map[string]outcome)
			for _, router := range routers { // one after the other, because some scenarios are about time
				results[router.name] = run.do(t, startServer(t, router, run.mode), expected)
				for _, scenario := range wanted {
					if results[router.name][scenario] == nil {
						t.Errorf("%s: the suite did not run %s", router.name, scenario)
					}
				}
			}
			fmt.Println(table(run.name, results))

			plain := results[unprotected]
			found, reason := plain.failures(run.name), ""
			for _, e := range expected.of(run.name) {
				if e.reason != reason {
					reason = e.reason
					fmt.Printf("expected: %s\n", reason)
				}
				fmt.Printf("  %s %s %s\n", e.scenario, e.check, e.status)
				if !slices.Contains(found, e.failure) {
					t.Errorf("%s no longer happens; remove it from expected-failures.txt", e.failure)
				}
			}
			for _, failure := range found {
				if !expected.has(failure) {
					t.Errorf("without authentication: %s is not in expected-failures.txt; the suite says: %s", failure, plain.message(failure))
				}
			}
			differences := 0
			for _, router := range routers {
				for _, difference := range compare(plain, results[router.name]) {
					t.Errorf("%s differs: %s", router.name, difference)
					differences++
				}
			}
			fmt.Printf("%s: %d differences between the server without authentication and the %d behind mcpauth\n\n",
				run.name, differences, len(routers)-1)
		})
	}
}

// table shows how many checks of each scenario passed, of those that count.
func table(name string, results map[string]outcome) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%s\t", name)
	for _, router := range routers {
		fmt.Fprintf(w, "%s\t", router.name)
	}
	for _, scenario := range slices.Sorted(maps.Keys(results[unprotected])) {
		fmt.Fprintf(w, "\n%s\t", scenario)
		for _, router := range routers {
			passed, all := results[router.name].count(scenario)
			fmt.Fprintf(w, "%d/%d\t", passed, all)
		}
	}
	fmt.Fprint(w, "\nall checks\t")
	for _, router := range routers {
		passed, all := 0, 0
		for scenario := range results[router.name] {
			p, a := results[router.name].count(scenario)
			passed, all = passed+p, all+a
		}
		fmt.Fprintf(w, "%d/%d\t", passed, all)
	}
	_ = w.Flush() // writing to a Builder never fails
	return b.String()
}
