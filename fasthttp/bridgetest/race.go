//go:build race

package bridgetest

// raceEnabled says that pools drop at random, so that allocations can't be compared.
const raceEnabled = true
