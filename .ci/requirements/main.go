// Command requirements checks the table of core/REQUIREMENTS.md against the output of go test -v. Each number needs a test.
// Each test in the table has to have run and passed, and those of the adapters' suite under every adapter. Where a framework
// can't pass a case of the suite, and says why (adaptertest.Framework.Deviations), the case is skipped: that is counted
// apart. What the standards demand (M) can't be met so, unless the row of the requirement has the word "deviation".
//
//	go run .ci/requirements/main.go test.log
package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
)

const (
	// adapters is how many times the suite runs: seven adapters, chi and gorilla.
	adapters = 9

	suite = "TestAdapter/"
)

func main() {
	if err := run(os.Args[1], "core/REQUIREMENTS.md"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(log, table string) error {
	text, err := os.ReadFile(log)
	if err != nil {
		return err
	}
	rows, err := os.ReadFile(table)
	if err != nil {
		return err
	}
	summary, err := check(string(text), string(rows))
	fmt.Println(summary)
	return err
}

var (
	row    = regexp.MustCompile(`(?m)^\| (\d+) \| ([MSP]) \|(.*)\| (.*) \|$`)
	name   = regexp.MustCompile("`([^`]+)`")
	result = regexp.MustCompile(`(?m)^\s*--- (PASS|SKIP): (.*) \([0-9.]+s\)$`)
)

// check compares the table with the log. The summary begins with the numbers of requirements and of tests that passed, which
// other tools read.
func check(log, table string) (summary string, err error) {
	passed, deviated, deviations := outcomes(log)
	var mistakes []error
	numbers, tests, deviating := 0, 0, 0
	for _, m := range row.FindAllStringSubmatch(table, -1) {
		number, kind, words := m[1], m[2], m[3]
		numbers++
		names := name.FindAllStringSubmatch(m[4], -1)
		if len(names) == 0 {
			mistakes = append(mistakes, fmt.Errorf("R%s has no test", number))
		}
		for _, n := range names {
			test, want := n[1], 1
			if strings.HasPrefix(test, suite) {
				want = adapters
			}
			skipped := deviated[caseOf(test)]
			switch {
			case passed[test]+skipped < want:
				mistakes = append(mistakes, fmt.Errorf("R%s: %s passed %d times, want %d", number, test, passed[test], want))
			case skipped == 0:
				tests++
			case kind == "M" && !strings.Contains(words, "deviation"):
				mistakes = append(mistakes, fmt.Errorf("R%s: %s is a deviation under %d of %d frameworks, and the standards demand it; "+
					"mend the adapter, or say in the row which deviation there is", number, test, skipped, want))
			default:
				deviating++
			}
		}
	}
	if numbers < 50 {
		mistakes = append(mistakes, fmt.Errorf("only %d requirements found in the table; the pattern that finds them is broken", numbers))
	}
	return fmt.Sprintf("%d requirements, %d tests of them passed; %d more passed except for declared deviations, and the frameworks declare %d in all",
		numbers, tests, deviating, deviations), errors.Join(mistakes...)
}

// outcomes counts how many times each test passed, and each case of the suite was skipped, and the latter in all. The suite
// skips nothing but deviations.
func outcomes(log string) (passed, deviated map[string]int, deviations int) {
	passed, deviated = make(map[string]int), make(map[string]int)
	for _, m := range result.FindAllStringSubmatch(log, -1) {
		switch test := m[2]; {
		case m[1] == "PASS":
			passed[test]++
		case strings.HasPrefix(test, suite):
			deviated[test]++
			deviations++
		}
	}
	return passed, deviated, deviations
}

// caseOf returns the case of the suite that a test belongs to: one that is skipped runs none of its tests.
func caseOf(test string) string {
	first, rest, _ := strings.Cut(test, "/")
	second, _, _ := strings.Cut(rest, "/")
	return first + "/" + second
}
