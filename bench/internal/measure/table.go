package measure

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// A Table is a Markdown table that can be read as it is. All columns but the first hold numbers.
type Table struct {
	Head []string
	Rows [][]string
}

// Add adds a row.
func (t *Table) Add(cells ...string) { t.Rows = append(t.Rows, cells) }

// Print writes the table and an empty line.
func (t *Table) Print(w io.Writer) {
	width := make([]int, len(t.Head))
	for _, row := range append([][]string{t.Head}, t.Rows...) {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	line := func(cells []string) {
		for i, cell := range cells {
			space := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				fmt.Fprint(w, "| ", cell, space, " |")
				continue
			}
			fmt.Fprint(w, " ", space, cell, " |")
		}
		fmt.Fprintln(w)
	}
	line(t.Head)
	for i := range t.Head {
		if i == 0 {
			fmt.Fprint(w, "|", strings.Repeat("-", width[i]+2), "|")
			continue
		}
		fmt.Fprint(w, strings.Repeat("-", width[i]+1), ":|")
	}
	fmt.Fprintln(w)
	for _, row := range t.Rows {
		line(row)
	}
	fmt.Fprintln(w)
}

// Micro writes nanoseconds as microseconds.
func Micro(ns float64) string {
	switch us := ns / 1000; {
	case us > -10 && us < 10:
		return fmt.Sprintf("%.2f", us)
	case us > -100 && us < 100:
		return fmt.Sprintf("%.1f", us)
	default:
		return fmt.Sprintf("%.0f", us)
	}
}

// Count writes a whole number, with commas.
func Count(n float64) string {
	text := fmt.Sprintf("%.0f", n)
	digits := strings.TrimLeft(text, "-")
	sign := text[:len(text)-len(digits)]
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}
