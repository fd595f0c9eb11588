package main

import (
	"fmt"
	"strings"
	"testing"
)

// table returns a table whose first row is r, with enough rows behind it.
func table(r string) string {
	rows := []string{r}
	for i := range 50 {
		rows = append(rows, fmt.Sprintf("| %d | P | filled in | `TestFilled` |", 200+i))
	}
	return strings.Join(rows, "\n") + "\n"
}

// log returns the output of go test -v in which a case of the suite passed and was skipped so often.
func log(test string, passed, skipped int) string {
	parent := caseOf(test)
	var b strings.Builder
	b.WriteString("--- PASS: TestFilled (0.00s)\n--- PASS: TestAlone (0.01s)\n")
	for range passed {
		fmt.Fprintf(&b, "--- PASS: TestAdapter (2.00s)\n    --- PASS: %s (0.10s)\n", parent)
		if test != parent {
			fmt.Fprintf(&b, "        --- PASS: %s (0.10s)\n", test)
		}
	}
	for range skipped {
		fmt.Fprintf(&b, "=== NAME  %s\n    run.go:91: a deviation of this framework: it can't\n--- PASS: TestAdapter (2.00s)\n    --- SKIP: %s (0.00s)\n", parent, parent)
	}
	return b.String()
}

func TestCheck(t *testing.T) {
	t.Parallel()
	const whole, inner = "TestAdapter/R1_whole", "TestAdapter/R1_whole/inner"
	for name, c := range map[string]struct {
		row, log string
		summary  string
		mistake  string
	}{
		"all pass":                   {"| 1 | M | text | `" + whole + "`, `TestAlone` |", log(whole, 9, 0), "51 requirements, 52 tests of them passed; 0 more", ""},
		"under one adapter not":      {"| 1 | P | text | `" + whole + "` |", log(whole, 8, 0), "51 requirements, 50 tests", "passed 8 times, want 9"},
		"a deviation":                {"| 1 | P | text | `" + whole + "` |", log(whole, 7, 2), "51 requirements, 50 tests of them passed; 1 more passed except for declared deviations, and the frameworks declare 2 in all", ""},
		"a deviation within a case":  {"| 1 | S | text | `" + inner + "` |", log(inner, 8, 1), "51 requirements, 50 tests of them passed; 1 more", ""},
		"a deviation, and a failure": {"| 1 | P | text | `" + whole + "` |", log(whole, 7, 1), "51 requirements, 50 tests", "passed 7 times, want 9"},
		"a demand of the standards":  {"| 1 | M | text | `" + whole + "` |", log(whole, 8, 1), "51 requirements, 50 tests of them passed; 0 more", "is a deviation under 1 of 9 frameworks"},
		"in a case that is skipped":  {"| 1 | M | text | `" + inner + "` |", log(inner, 8, 1), "51 requirements, 50 tests of them passed; 0 more", "is a deviation under 1 of 9 frameworks"},
		"as the row says":            {"| 1 | M | text; a deviation under gin | `" + whole + "` |", log(whole, 8, 1), "51 requirements, 50 tests of them passed; 1 more", ""},
		"another test is skipped":    {"| 1 | P | text | `TestSkipped` |", log(whole, 9, 0) + "--- SKIP: TestSkipped (0.00s)\n", "51 requirements, 50 tests", "TestSkipped passed 0 times"},
		"no test":                    {"| 1 | P | text | none |", log(whole, 9, 0), "51 requirements, 50 tests", "R1 has no test"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			summary, err := check(c.log, table(c.row))
			if !strings.HasPrefix(summary, c.summary) {
				t.Errorf("the summary is %q, want %q", summary, c.summary)
			}
			if (err != nil) != (c.mistake != "") || err != nil && !strings.Contains(err.Error(), c.mistake) {
				t.Errorf("the mistakes are %v, want %q", err, c.mistake)
			}
		})
	}
}
