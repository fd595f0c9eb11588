package mcpauthrevocation_test

import (
	"fmt"
	"time"

	mcpauthrevocation "github.com/scalekit-mcp/mcpauth/revocation"
)

// A store that keeps text, such as a table of a database, has a row for each text. Follow gets the entries back from it.
func ExampleMarshalEntries() {
	logout := mcpauthrevocation.Session("ses_1")
	logout.At = time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC)
	texts, err := mcpauthrevocation.MarshalEntries([]mcpauthrevocation.Entry{logout})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, text := range texts {
		fmt.Printf("%s\n", text)
	}
	// Output: [{"kind":"session","id":"ses_1","at":"2026-11-26T08:00:00Z"}]
}

// A list reports entries that it can't put into force, so a store hands on what it can read, and logs the rest.
func ExampleUnmarshalEntries() {
	text := `[{"kind":"session","id":"ses_1","at":"2026-11-26T08:00:00Z"},{"kind":7}]`
	entries, err := mcpauthrevocation.UnmarshalEntries([]byte(text))
	fmt.Println(entries)
	fmt.Println(err != nil)
	// Output:
	// [session ses_1]
	// true
}
