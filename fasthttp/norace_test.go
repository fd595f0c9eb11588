//go:build !race

package mcpauthfasthttp_test

const raceEnabled = false
