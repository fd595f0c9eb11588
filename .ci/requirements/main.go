// Command requirements checks the table of core/REQUIREMENTS.md against the output of go test -v. Each number needs a test.
// Each test in the table has to have run and passed, and those of the adapters' suite under every adapter.
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

// adapters is how many times the suite runs: seven adapters, chi and gorilla.
const adapters = 9

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(log string) error {
	text, err := os.ReadFile(log)
	if err != nil {
		return err
	}
	passed := make(map[string]int)
	for _, m := range regexp.MustCompile(`(?m)^\s*--- PASS: (.*) \([0-9.]+s\)$`).FindAllStringSubmatch(string(text), -1) {
		passed[m[1]]++
	}
	table, err := os.ReadFile("core/REQUIREMENTS.md")
	if err != nil {
		return err
	}
	var mistakes []error
	numbers, tests := 0, 0
	for _, row := range regexp.MustCompile(`(?m)^\| (\d+) \| [MSP] \|.*\| (.*) \|$`).FindAllStringSubmatch(string(table), -1) {
		numbers++
		names := regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[2], -1)
		if len(names) == 0 {
			mistakes = append(mistakes, fmt.Errorf("R%s has no test", row[1]))
		}
		for _, name := range names {
			tests++
			want := 1
			if strings.HasPrefix(name[1], "TestAdapter/") {
				want = adapters
			}
			if passed[name[1]] < want {
				mistakes = append(mistakes, fmt.Errorf("R%s: %s passed %d times, want %d", row[1], name[1], passed[name[1]], want))
			}
		}
	}
	if numbers < 50 {
		mistakes = append(mistakes, fmt.Errorf("only %d requirements found in the table; the pattern that finds them is broken", numbers))
	}
	fmt.Printf("%d requirements, %d tests of them passed\n", numbers, tests)
	return errors.Join(mistakes...)
}
