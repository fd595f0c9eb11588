//go:build race

package child

// Flags are those that an example is to be built with for a test that was built like this one.
var Flags = []string{"-race"}
