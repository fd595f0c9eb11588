package conformance_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	node  = "../clients/node_modules/.bin/node"
	suite = "../clients/node_modules/@modelcontextprotocol/conformance/dist/index.js"
)

// A check is one statement of the suite about the server. Several checks may have the same id.
type check struct {
	ID      string `json:"id"`
	Status  string `json:"status"`
	Message string `json:"errorMessage"`
}

// counts reports whether c is a check, and not only information.
func (c check) counts() bool { return c.Status != "INFO" && c.Status != "SKIPPED" }

// An outcome has the checks of each scenario, in order.
type outcome map[string][]check

// A failure is a check that did not succeed. A SHOULD counts, too.
type failure struct{ run, scenario, check, status string }

func (f failure) String() string {
	return strings.Join([]string{f.run, f.scenario, f.check, f.status}, " ")
}

func (o outcome) count(scenario string) (passed, all int) {
	for _, c := range o[scenario] {
		if c.counts() {
			all++
		}
		if c.Status == "SUCCESS" {
			passed++
		}
	}
	return passed, all
}

func (o outcome) failures(run string) []failure {
	var all []failure
	for _, scenario := range slices.Sorted(maps.Keys(o)) {
		for _, c := range o[scenario] {
			f := failure{run, scenario, c.ID, c.Status}
			if c.Status != "SUCCESS" && c.Status != "INFO" && !slices.Contains(all, f) {
				all = append(all, f)
			}
		}
	}
	return all
}

func (o outcome) message(f failure) string {
	for _, c := range o[f.scenario] {
		if c.ID == f.check && c.Status == f.status {
			return c.Message
		}
	}
	return ""
}

// compare returns a line for each check that is not the same in both.
func compare(a, b outcome) []string {
	var lines []string
	names := maps.Clone(a)
	maps.Copy(names, b)
	for _, scenario := range slices.Sorted(maps.Keys(names)) {
		for i := range max(len(a[scenario]), len(b[scenario])) {
			one, other := at(a[scenario], i), at(b[scenario], i)
			if one != other {
				lines = append(lines, fmt.Sprintf("%s: %+v without authentication, %+v with it", scenario, one, other))
			}
		}
	}
	return lines
}

func at(checks []check, i int) check {
	if i < len(checks) {
		return checks[i]
	}
	return check{}
}

// wanted returns the scenarios that have to run: those that the revision requires.
func (r run) wanted(t *testing.T) []string {
	t.Helper()
	if r.scenario != "" {
		return []string{r.scenario}
	}
	out, err := exec.CommandContext(t.Context(), node, suite, "list", "--server", "--requirements", r.revision).CombinedOutput()
	if err != nil {
		t.Fatalf("%v; run npm ci in examples/clients to install the suite\n%s", err, out)
	}
	_, list, _ := strings.Cut(string(out), "Server scenarios")
	list, _, _ = strings.Cut(list, "Client scenarios")
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^ +- (\S+)$`).FindAllStringSubmatch(list, -1) {
		names = append(names, m[1])
	}
	if len(names) < 20 {
		t.Fatalf("only %d scenarios found; the format of the suite's list has changed:\n%s", len(names), out)
	}
	return names
}

var resultDirectory = regexp.MustCompile(`^server-(.+)-\d{4}-\d\d-\d\dT[\d-]+Z$`)

// attempts is how often a scenario with an unsteady check runs, at most.
const attempts = 5

// do runs the scenarios against the server at url. It repeats those in which an unsteady check did not succeed.
func (r run) do(t *testing.T, url string, expected expectation) outcome {
	t.Helper()
	args := []string{"--requirements", r.revision}
	if r.scenario != "" {
		args = []string{"--spec-version", r.revision, "--scenario", r.scenario}
	}
	result := runSuite(t, url, args...)
	for range attempts - 1 {
		for _, f := range result.failures(r.name) {
			if expected.unsteady(f) {
				fmt.Printf("again: %s of %s: %s\n", f.check, f.scenario, result.message(f))
				again := runSuite(t, url, "--spec-version", r.revision, "--scenario", f.scenario)
				result[f.scenario] = again[f.scenario]
				break // other checks fail this time
			}
		}
	}
	return result
}

// runSuite runs the scenarios that args select against the server at url.
func runSuite(t *testing.T, url string, args ...string) outcome {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), node, append([]string{suite, "server", "--url", url, "--output-dir", dir}, args...)...)
	var failed *exec.ExitError // only says that a scenario failed; the results say more
	if out, err := cmd.CombinedOutput(); err != nil && !errors.As(err, &failed) {
		t.Fatalf("%v\n%s", err, out)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	result := make(outcome)
	for _, entry := range entries {
		m := resultDirectory.FindStringSubmatch(entry.Name())
		if m == nil {
			t.Fatalf("%s is not the result of a scenario", entry.Name())
		}
		text, err := os.ReadFile(filepath.Join(dir, entry.Name(), "checks.json"))
		if err != nil {
			t.Fatal(err)
		}
		var checks []check
		if err := json.Unmarshal(text, &checks); err != nil {
			t.Fatalf("%s: %v", entry.Name(), err)
		}
		for i := range checks {
			checks[i].Message = strings.ReplaceAll(checks[i].Message, url, "URL")
		}
		result[m[1]] = checks
	}
	return result
}

// unsteady is the status, in expected-failures.txt, of a check that sometimes fails.
const unsteady = "UNSTEADY"

// expectation is the content of expected-failures.txt.
type expectation []struct {
	failure
	reason string
}

// readExpected reads the file. A line with a # is the reason for the lines that follow it.
func readExpected(path string) (expectation, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var all expectation
	reason := ""
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0:
			reason = ""
		case fields[0] == "#":
			reason = strings.TrimSpace(reason + " " + strings.Join(fields[1:], " "))
		case len(fields) != 4 || reason == "":
			return nil, fmt.Errorf("%s: the line %q is not RUN SCENARIO CHECK STATUS, or no line with a reason is above it", path, line)
		default:
			all = append(all, struct {
				failure
				reason string
			}{failure{fields[0], fields[1], fields[2], fields[3]}, reason})
		}
	}
	return all, nil
}

// of returns the expected failures of a run.
func (e expectation) of(run string) expectation {
	var some expectation
	for _, one := range e {
		if one.run == run && one.status != unsteady {
			some = append(some, one)
		}
	}
	return some
}

func (e expectation) has(f failure) bool {
	for _, one := range e {
		if one.failure == f {
			return true
		}
	}
	return false
}

func (e expectation) unsteady(f failure) bool {
	f.status = unsteady
	return e.has(f)
}

// TestCompare checks that compare reports a check that failed, one that is missing, one that is new, and another message.
func TestCompare(t *testing.T) {
	t.Parallel()
	plain := outcome{"ping": {{ID: "a", Status: "SUCCESS"}, {ID: "b", Status: "FAILURE", Message: "x"}}}
	for name, other := range map[string]outcome{
		"nothing":          {},
		"another status":   {"ping": {{ID: "a", Status: "FAILURE"}, {ID: "b", Status: "FAILURE", Message: "x"}}},
		"a missing check":  {"ping": {{ID: "a", Status: "SUCCESS"}}},
		"another message":  {"ping": {{ID: "a", Status: "SUCCESS"}, {ID: "b", Status: "FAILURE", Message: "y"}}},
		"another scenario": {"ping": plain["ping"], "pong": {{ID: "a", Status: "SUCCESS"}}},
	} {
		if len(compare(plain, other)) == 0 || len(compare(other, plain)) == 0 {
			t.Errorf("%s: no difference", name)
		}
	}
	if got := compare(plain, outcome{"ping": slices.Clone(plain["ping"])}); got != nil {
		t.Errorf("the same: %v", got)
	}
}
